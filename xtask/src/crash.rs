//! Runs are killed at every point and resumed: the same end state, no command twice, nothing left.

use anyhow::{Result, ensure};
use runbook_e2e::crash::{self, Choice};
use runbook_lab::Lab;

use crate::needs;
use crate::run::{built_for_long, say};

/// Kill the program, its connections and servers at every point, and resume.
#[derive(clap::Args)]
pub struct Args {
    /// From which all chance is made
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only stages whose names begin so
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only this case, as a report names it
    #[arg(long)]
    case: Option<String>,
    /// Every point, in place of a sample
    #[arg(long)]
    all: bool,
    /// Leave the site of the lab as it is, and take the one that is there
    #[arg(long)]
    keep: bool,
}

/// Does it; an error where anything is not as it should be.
pub fn run(args: &Args) -> Result<()> {
    needs::install()?;
    runbook_e2e::choose(built_for_long(&["runbook"])?.join("runbook"));
    if let Err(why) = Lab::up(true) {
        // A part of it needs no lab, where that is asked for.
        ensure!(
            !args.only.is_empty(),
            "the lab cannot be had here: {why:#}; --only here,back,disk tries what needs none"
        );
        say(&format!("the lab cannot be had here: {why:#}"));
    }
    let choice = Choice {
        seed: args.seed,
        only: args.only.clone(),
        case: args.case.clone(),
        all: args.all,
        keep: args.keep,
    };
    let table = crash::run(&choice, say)?;
    ensure!(table.disturbed() > 0, "nothing was tried");
    ensure!(
        table.failed() == 0,
        "{} not as they should be",
        table.failed()
    );
    Ok(())
}
