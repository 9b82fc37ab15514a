//! Go on with a run that was cut off, interrupted, or has failed.

use std::io::IsTerminal as _;
use std::sync::Arc;

use runbook_engine::journal::{Entry, Journal, Record};
use runbook_engine::rollback::Told;
use runbook_engine::run::past::Past;
use runbook_engine::run::{CutOff, Decision, exit};

use super::{play, rollback};
use crate::conduct::{self, Going, RunArgs};
use crate::request::{Request, What};
use crate::{question, report};

/// Go on with a run that was cut off, interrupted, or has failed.
///
/// What is done is not done again: registers, facts and notified handlers are taken from the journal. A command that
/// was in flight is found on its host and waited for. A write in flight is finished. On a terminal what is left is shown
/// and you are asked before anything is changed.
#[derive(clap::Args)]
pub struct Args {
    /// The run (the last one)
    #[arg(value_name = "RUN")]
    run_id: Option<String>,
    /// Another inventory than the run's; it has to name the same hosts
    #[arg(short, long, value_name = "FILE|DIR|HOST,")]
    inventory: Vec<String>,
    /// What to do with a command of which nobody knows what became of it, since its host went down meanwhile
    #[arg(long, value_enum, default_value = "ask", value_name = "WHAT")]
    on_interrupted: OnInterrupted,
    /// Go on although files have changed since: tasks that are done stay as they are
    #[arg(long)]
    changed_files: bool,
    #[command(flatten)]
    run: RunArgs,
    /// Say more: what tasks give back (-v), and what each host has cost
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// What to do with a command of which nobody knows what became of it.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum OnInterrupted {
    /// Ask on the terminal; without one, fail.
    Ask,
    /// The task fails.
    Fail,
    /// It counts as done.
    Skip,
    /// It is done again.
    Rerun,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let journal = conduct::journal()?;
    let run = conduct::run_or_last(&journal, args.run_id.as_deref())?;
    let entries = journal.read(&run)?;
    let Some((mut request, began)) = Request::of(&entries) else {
        report::say_error(&format!(
            "run {run} was made by a runbook that could not go on with runs: play it again, what is done is found as done"
        ));
        return Ok(exit::WRONG);
    };
    if let Some(back) = taken_back_by(&journal, &run)? {
        report::say_error(&format!(
            "run {run} was taken back, wholly or in part, by {back}: play it again instead of going on with it"
        ));
        return Ok(exit::WRONG);
    }
    if is_done(&entries) {
        report::note(&format!(
            "run {run} came to its end; there is nothing to go on with"
        ));
        return Ok(exit::DONE);
    }
    request.go_there()?;
    if !args.inventory.is_empty() {
        request.hosts.inventory = args.inventory;
    }
    request.hosts.verbose = request.hosts.verbose.max(args.verbose);
    if let (Some(path), false) = (
        Told::from_entries(&entries).other_file(),
        args.changed_files,
    ) {
        report::say_error(&format!(
            "{path} is not what it was when run {run} began. Put it back; or go on with --changed-files, where what is \
             done stays as it is; or play again, where what is done is found as done"
        ));
        return Ok(exit::WRONG);
    }
    let past = Past::from_entries(&entries);
    report::note(&format!(
        "going on with run {run}: {} of its tasks are done",
        past.done()
    ));
    drop(journal);
    let going = Going {
        run,
        began,
        past: Arc::new(past),
        decider: decider(args.on_interrupted),
    };
    match &request.what {
        What::Rollback { .. } => rollback::carry_out(request, &args.run, Some(going)).await,
        _ => play::carry_out(request, &args.run, Some(going)).await,
    }
}

/// Nothing of it is left to do.
fn is_done(entries: &[Entry]) -> bool {
    let last = entries.iter().rev().find_map(|e| match &e.record {
        Record::RunFinished { summary } => Some(Some(summary)),
        Record::RunResumed { .. } | Record::RunStarted { .. } => Some(None),
        _ => None,
    });
    last.flatten().is_some_and(|summary| {
        let failed = |by: &std::collections::BTreeMap<String, u32>| {
            by.contains_key("failed") || by.contains_key("unreachable")
        };
        !summary.interrupted && !summary.hosts.values().any(failed)
    })
}

/// The rollback that has taken this run back.
fn taken_back_by(journal: &Journal, run: &str) -> anyhow::Result<Option<String>> {
    for line in journal.runs()? {
        let told = Told::from_entries(&journal.read(&line.run)?);
        if told.takes_back.as_deref() == Some(run) {
            return Ok(Some(line.run));
        }
    }
    Ok(None)
}

fn decider(on: OnInterrupted) -> runbook_engine::run::shared::Decider {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    match on {
        OnInterrupted::Ask if terminal => Arc::new(ask),
        OnInterrupted::Ask | OnInterrupted::Fail => Arc::new(|_| Decision::Fail),
        OnInterrupted::Skip => Arc::new(|_| Decision::Skip),
        OnInterrupted::Rerun => Arc::new(|_| Decision::Rerun),
    }
}

/// Asks on the terminal; anything but the two words is no decision.
fn ask(cut: &CutOff<'_>) -> Decision {
    report::say_error(&format!(
        "{}: {}: {}\n  {}",
        cut.host, cut.task, cut.what, cut.why
    ));
    let words = ["fail", "skip", "rerun"];
    match question::choose(
        "Do it again (rerun), take it for done (skip), or stop here (fail)?",
        &words,
    ) {
        Some(1) => Decision::Skip,
        Some(2) => Decision::Rerun,
        _ => Decision::Fail,
    }
}
