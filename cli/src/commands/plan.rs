//! Show what a playbook would do, and keep it as a plan.

use std::path::PathBuf;

use runbook_engine::run::{Job, exit};

use super::play;
use crate::call::{ChoiceArgs, HostArgs};
use crate::conduct::{Output, Setting};
use crate::request::{Request, What};
use crate::{planned, report};

/// Show what a playbook would do, and keep it as a plan.
///
/// `runbook apply FILE` then does exactly that, and refuses where a host or a file that went into it has changed since.
/// Anybody may read in FILE what it is and which files went into it; `runbook show FILE` shows all of it. States and the
/// values of variables are sealed with the key of the journal, so it can be shown and applied only where that key is.
#[derive(clap::Args)]
pub struct Args {
    /// Playbooks, in order; looked up in playbooks/ too
    #[arg(required = true)]
    playbooks: Vec<String>,
    /// Write the plan to this file
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Show what changes, line by line
    #[arg(short = 'D', long)]
    diff: bool,
    /// How to report
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    output: Output,
    /// Exit code 3 means that something would be changed
    #[arg(long)]
    detailed_exitcode: bool,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let mut request = Request::new(&args.hosts, args.choice, What::Play(args.playbooks));
    let ready = match request.compile()? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    let setting = Setting {
        check: true,
        ..Setting::default()
    };
    let (runner, _interrupts) = play::runner(ready, &mut request.hosts, setting)?;
    let shared = &runner.shared;
    let plan = runner.plan().await?;
    shared.fleet.close().await;
    if shared.interrupted() {
        report::note("No plan was made. Nothing has been changed.");
        return Ok(exit::INTERRUPTED);
    }
    let code = runner.exit_code(&planned::tally(&plan), args.detailed_exitcode);
    match args.output {
        Output::Json => planned::tell(&request.names(), &shared.started, &plan, code),
        Output::Text => report::say(&report::plan::show(&plan, args.diff)),
    }
    if let Some(out) = &args.out {
        planned::write(&planned::make(&request, plan, shared)?, out)?;
        report::note(&format!(
            "The plan is in {0}. `runbook apply {0}` does exactly this.",
            out.display()
        ));
    }
    Ok(code)
}
