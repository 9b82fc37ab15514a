//! Go on with a run that was cut off, interrupted, or has failed.

use std::io::IsTerminal as _;
use std::sync::Arc;

use runbook_engine::journal::{self, Journal, RunSummary};
use runbook_engine::rollback::Told;
use runbook_engine::run::copies;
use runbook_engine::run::past::Past;
use runbook_engine::run::{CutOff, Decision, exit};

use super::{play, rollback};
use crate::call::HostArgs;
use crate::conduct::{self, Going, RunArgs};
use crate::history::{Found, History};
use crate::passwords::VaultArgs;
use crate::request::{Request, What};
use crate::{connect, question, report};

/// Go on with a run that was cut off, interrupted, or has failed.
///
/// What is done is not done again: registers, facts and notified handlers are taken from the journal. A command that
/// was in flight is found on its host and waited for. A write in flight is finished. On a terminal what is left is shown
/// and you are asked before anything is changed.
#[derive(clap::Args)]
pub struct Args {
    /// The run (the last one that can be gone on with)
    #[arg(value_name = "RUN")]
    run_id: Option<String>,
    /// Another inventory than the run's; it has to name the same hosts
    #[arg(short, long, value_name = "FILE|DIR|HOST,")]
    inventory: Vec<String>,
    /// The run was begun on another machine, which is lost: take its journal from the copy on this host. It wants the same
    /// journal key and the same playbooks
    #[arg(long, value_name = "HOST", requires = "inventory")]
    from: Option<String>,
    /// What to do with a command of which nobody knows what became of it, since its host went down meanwhile
    #[arg(long, value_enum, default_value = "ask", value_name = "WHAT")]
    on_interrupted: OnInterrupted,
    /// Go on although files have changed since: tasks that are done stay as they are
    #[arg(long)]
    changed_files: bool,
    #[command(flatten)]
    vault: VaultArgs,
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
    let journal = match &args.from {
        Some(_) => conduct::journal()?,
        None => conduct::journal_so_far()?,
    };
    let run = match &args.from {
        Some(host) => match from_host(&journal, host, &args).await? {
            Ok(run) => run,
            Err(code) => return Ok(code),
        },
        None => match &args.run_id {
            Some(run) => run.clone(),
            None => match last_open(&journal, &args.run)? {
                Some(run) => run,
                None => return Ok(exit::DONE),
            },
        },
    };
    let entries = journal.read(&run)?;
    let Some((mut request, began)) = Request::of(&entries) else {
        if let Some(of) = Told::from_entries(&entries).takes_back {
            report::say_error(&format!(
                "run {run} is the way back that followed the failure of {of}: go on with `runbook rollback {of}`, where \
                 what is back already is left alone"
            ));
            return Ok(exit::WRONG);
        }
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
    if journal::ending(&entries).is_some_and(RunSummary::is_good) {
        report::note(&format!(
            "run {run} came to its end; there is nothing to go on with"
        ));
        return Ok(exit::DONE);
    }
    if args.from.is_none() {
        request.go_there()?;
    }
    if !args.inventory.is_empty() {
        request.hosts.inventory = args.inventory;
    }
    // A file of passwords may lie elsewhere now.
    if args.vault.is_given() {
        request.hosts.vault = args.vault;
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

/// Takes the journal of the run over from the copies on the hosts of this one's site. Gives the run.
async fn from_host(
    journal: &Journal,
    host: &str,
    args: &Args,
) -> anyhow::Result<Result<String, u8>> {
    let hosts = HostArgs {
        inventory: args.inventory.clone(),
        vault: args.vault.clone(),
        ..HostArgs::default()
    };
    let Some((inventory, fleet)) = connect::fleet(&hosts)? else {
        return Ok(Err(exit::WRONG));
    };
    let wrong = |message: String| {
        report::say_error(&message);
        Ok(Err(exit::WRONG))
    };
    if !inventory.hosts.contains_key(host) {
        return wrong(format!("--from {host}: it is not in the inventory"));
    }
    let runs = match copies::runs_on(&fleet, host).await {
        Ok(runs) => runs,
        Err(error) => {
            report::say_error(&error.to_string());
            return Ok(Err(exit::UNREACHABLE));
        }
    };
    let run = match &args.run_id {
        Some(run) if runs.contains(run) => run.clone(),
        Some(run) => return wrong(format!("there is no copy of run {run} on {host}")),
        None => match runs.last() {
            Some(run) => run.clone(),
            None => {
                return wrong(format!(
                    "there is no copy of a run on {host}; runs that came to an end leave none"
                ));
            }
        },
    };
    if journal.runs()?.iter().any(|line| line.run == run) {
        return wrong(format!(
            "run {run} stands in the journal here; go on with it without --from"
        ));
    }
    let site = inventory.site_of(host);
    let together: Vec<String> = inventory
        .hosts
        .keys()
        .filter(|other| inventory.site_of(other) == site)
        .cloned()
        .collect();
    let rows = copies::read(&fleet, &run, &together).await;
    fleet.close().await;
    match rows {
        Ok(rows) => {
            journal.take_over(&run, &rows)?;
            report::note(&format!(
                "{} records of run {run} were taken over",
                rows.len()
            ));
            Ok(Ok(run))
        }
        Err(error) => {
            report::say_error(&error.to_string());
            Ok(Err(exit::UNREACHABLE))
        }
    }
}

/// The rollback that has taken this run back.
fn taken_back_by(journal: &Journal, run: &str) -> anyhow::Result<Option<String>> {
    let history = History::of(journal)?;
    let back = history.runs.into_iter().find_map(|found| match found {
        Found::Known(back) if back.takes_back.as_deref() == Some(run) => Some(back.run),
        _ => None,
    });
    Ok(back)
}

/// The last run that can be gone on with, where a person is asked or nothing was changed since. Else that is said.
fn last_open(journal: &Journal, run: &RunArgs) -> anyhow::Result<Option<String>> {
    let history = History::of(journal)?;
    if let Some(brief) = history.to_resume() {
        let Some(later) = history.changed_after(brief) else {
            return Ok(Some(brief.run.clone()));
        };
        let since = format!(
            "run {}, the last that can be gone on with, is older than {}, which has changed something since",
            brief.run, later.run
        );
        if run.check || conduct::asks(run) {
            report::note(&since);
            return Ok(Some(brief.run.clone()));
        }
        report::note(&format!(
            "{since}. If it is meant: `runbook resume {}`",
            brief.run
        ));
        return Ok(None);
    }
    let Some(last) = history.last() else {
        anyhow::bail!("there is no run in the journal that could be read");
    };
    report::note(&match last.outcome() {
        "done" => format!(
            "run {} came to its end; there is nothing to go on with",
            last.run
        ),
        _ => "there is nothing to go on with: every run came to its end, was taken back, or was refused before it began"
            .to_owned(),
    });
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

/// Asks on the terminal; who goes away without an answer decides nothing.
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
