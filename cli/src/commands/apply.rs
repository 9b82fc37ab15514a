//! Do what a plan says.

use std::path::PathBuf;

use anyhow::Context as _;
use runbook_engine::run::exit;
use runbook_engine::run::plan::SavedPlan;

use super::play;
use crate::conduct::{self, Approval, Origin, Output, RunArgs, Setting};
use crate::request::Request;
use crate::{planned, report};

/// Do exactly what a plan says, where the hosts are as it found them.
///
/// Before the first change everything that the plan rests on is read again. Where a file or a host has changed since, it
/// is refused, and what has changed is shown. A task that turns out to want something else than the plan says stops its
/// host before it writes. Nothing is asked: the plan is what was approved.
#[derive(clap::Args)]
pub struct Args {
    /// The plan
    file: PathBuf,
    /// Show what changes, line by line
    #[arg(short = 'D', long)]
    diff: bool,
    /// How to report
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    output: Output,
    /// Exit code 3 means that something was changed
    #[arg(long)]
    detailed_exitcode: bool,
    /// Ask for the password to log in with
    #[arg(short = 'k', long)]
    ask_pass: bool,
    /// Ask for the password that sudo wants
    #[arg(short = 'K', long)]
    ask_become_pass: bool,
    /// Log in with this key
    #[arg(long, visible_alias = "key-file", value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// How many hosts at most work at the same time
    #[arg(short, long, value_name = "N")]
    forks: Option<usize>,
    /// Say more: what tasks give back (-v), and what each host has cost
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let SavedPlan { head, call, plan } = planned::open(&args.file)?;
    let mut request: Request = serde_json::from_value(call).with_context(|| {
        format!(
            "the call of {} is not understood; make a new plan",
            args.file.display()
        )
    })?;
    // Whoever goes on with the run is held to it, too.
    request.plan = Some(std::path::absolute(&args.file)?);
    let private_key = args.private_key.map(std::path::absolute).transpose()?;
    // Names in the call are meant from where it was made.
    request.go_there().with_context(|| {
        "the names in a plan are meant from the folder in which it was made; make a new plan here"
    })?;
    if let Some(run) = applied(&head.id)? {
        report::say_error(&format!(
            "this plan was applied already, as run {run}; make a new plan"
        ));
        return Ok(exit::WRONG);
    }
    if refuse_files(&head.other_files()) {
        return Ok(exit::DRIFT);
    }
    let hosts = &mut request.hosts;
    hosts.ask_pass |= args.ask_pass;
    hosts.ask_become_pass |= args.ask_become_pass;
    hosts.private_key = private_key.or(hosts.private_key.take());
    hosts.forks = args.forks.unwrap_or(hosts.forks).max(1);
    hosts.verbose = args.verbose;
    let ready = match request.compile()? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    if refuse_files(&head.other_than(&ready.tools.sources.hashes())) {
        return Ok(exit::DRIFT);
    }
    let setting = Setting {
        planned: Some((head.id.clone(), head.made.clone())),
        ..Setting::default()
    };
    let (runner, interrupts) = play::runner(ready, &mut request.hosts, setting)?;
    let shared = &runner.shared;
    let run = RunArgs {
        diff: args.diff,
        yes: true,
        output: args.output,
        detailed_exitcode: args.detailed_exitcode,
        ..RunArgs::default()
    };
    let sink = conduct::sink_of(&run, request.hosts.verbose);
    let approval = Approval {
        plan: &plan,
        // A file may have been changed while it was read a second time.
        also: &|| refuse_files(&head.other_than(&shared.files())).then_some(exit::DRIFT),
    };
    let origin = Origin::of(&request)?;
    let code = conduct::run_it(&runner, Some(approval), &run, origin, sink, &interrupts).await?;
    shared.fleet.close().await;
    Ok(code)
}

/// The run of this id, if there is one.
fn applied(id: &str) -> anyhow::Result<Option<String>> {
    let runs = conduct::journal()?.runs()?;
    Ok(runs.into_iter().map(|r| r.run).find(|run| run == id))
}

/// Tells of files that are not those of the plan. Are there any?
fn refuse_files(files: &[(String, String)]) -> bool {
    for (path, why) in files {
        report::say_error(&format!("{path} {why}"));
    }
    if !files.is_empty() {
        report::note(
            "What went into the plan has changed since it was made. Nothing has been changed; make a new plan.",
        );
    }
    !files.is_empty()
}
