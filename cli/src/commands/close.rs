//! Remove what runs have kept aside on the hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;

use runbook_engine::journal::{self, Entry, Journal, Record};
use runbook_engine::lock::{Gate, Refusal};
use runbook_engine::resource::Kept;
use runbook_engine::rollback::Told;
use runbook_engine::run::flight::{Begun, Stage, by_user};
use runbook_engine::run::redact::Redactor;
use runbook_engine::run::{copies, exit};

use crate::call::HostArgs;
use crate::interrupt::Interrupts;
use crate::locks::Needed;
use crate::{conduct, connect, question, report};

/// Remove what a run has kept aside on the hosts; its changes cannot be taken back afterwards.
#[derive(clap::Args)]
pub struct Args {
    /// The run (the last one that keeps something)
    run: Option<String>,
    #[command(flatten)]
    hosts: HostArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    args.hosts
        .without_limit("it removes what the run has kept on all of its hosts")?;
    let journal = conduct::journal_so_far()?;
    let (run, told) = match args.run {
        Some(run) => {
            let told = Told::from_entries(&journal.read(&run)?);
            (run, told)
        }
        None => last_that_keeps(&journal)?,
    };
    let Told {
        kept,
        begun,
        secrets,
        inventory: given,
        ..
    } = told;
    let mut hosts = args.hosts;
    if hosts.inventory.is_empty() {
        hosts.inventory = given;
    }
    let entries = journal.read(&run)?;
    if kept.is_empty() {
        report::note(&format!("run {run} keeps nothing aside"));
        // Its end has removed what was needed for going on.
        if journal::ending(&entries).is_some() && begun.is_empty() {
            return Ok(exit::DONE);
        }
    }
    let redactor = Redactor::default();
    secrets.iter().for_each(|s| redactor.add_lines(s));
    for (host, list) in &kept {
        for one in list {
            let line = format!("{host}: {} ({})", one.place, one.of);
            report::say(&redactor.clean(&line));
        }
    }
    if !args.yes && !kept.is_empty() {
        if !std::io::stdin().is_terminal() {
            report::say_error(
                "nothing was removed: there is no terminal to ask on; `-y` does not ask",
            );
            return Ok(exit::WRONG);
        }
        if !question::yes("Remove these? The changes of the run cannot be taken back afterwards.") {
            return Ok(exit::DONE);
        }
    }
    let interrupts = Interrupts::listen();
    let Some((inventory, fleet)) = connect::fleet(&hosts)? else {
        return Ok(exit::WRONG);
    };
    let of_commands = begun.iter().map(|b| &b.host);
    let at: BTreeSet<String> = kept.keys().chain(of_commands).cloned().collect();
    let sites = at.iter().filter_map(|host| {
        let site = inventory.site_of(host)?;
        Some((host.clone(), site.to_owned()))
    });
    let needed = Needed::new(
        at.clone(),
        &sites.collect(),
        &run,
        &format!("runbook close {run}"),
        &hosts.inventory,
    );
    let locks = match needed.only_where_it_ended().take()? {
        Ok((locks, _)) => locks,
        Err(code) => return Ok(code),
    };
    let gate = Gate {
        locks: &locks,
        fleet: &fleet,
    };
    interrupts.writing();
    let code = remove(&gate, &journal, &run, hosts.become_, kept).await?;
    let of_commands = sweep(&gate, &journal, &run, &begun, &redactor).await?;
    // A run that was cut off has left copies of its journal.
    copies::remove(&fleet, &run, entries.iter().filter_map(Entry::acts_on)).await;
    for (host, message) in locks.release(&fleet).await {
        report::note(&format!("{host}: {message}"));
    }
    fleet.close().await;
    Ok(if code == exit::DONE {
        of_commands
    } else {
        code
    })
}

/// Removes the folders of the run's commands that have ended, host by host: their scripts hold values of variables. Gives
/// the exit code.
async fn sweep(
    gate: &Gate<'_>,
    journal: &Journal,
    run: &str,
    begun: &[Begun],
    redactor: &Redactor,
) -> anyhow::Result<u8> {
    let mut code = exit::DONE;
    for ((host, user), list) in by_user(begun) {
        let Some(first) = list.first() else { continue };
        if let Err(Refusal::Locked(by)) = gate.pass(&first.host, first.on.as_deref()).await {
            report::say_error(&by.to_string());
            code = exit::LOCKED;
            continue;
        }
        let stages = match gate.fleet.sweep(&host, user.as_deref(), &list).await {
            Ok(stages) => stages,
            Err(error) => {
                report::say_error(&error.to_string());
                code = exit::UNREACHABLE;
                continue;
            }
        };
        for (begun, stage) in list.iter().zip(stages) {
            let task = redactor.clean(&begun.task);
            if stage == Stage::Running {
                report::say_error(&format!(
                    "{host}: the command of \"{task}\" is still running, and its folder stays; close the run again when \
                     it has ended"
                ));
                code = exit::FAILED;
                continue;
            }
            if stage != Stage::Absent {
                report::say(&format!(
                    "{host}: what was there of the command of \"{task}\" is removed"
                ));
            }
            // Whoever goes on must not take it for never begun.
            if !begun.known && stage != Stage::Absent {
                let gone = Record::ActionFinished {
                    output: serde_json::Value::Null,
                    changed: false,
                    failed: Some("what came of it was removed by `runbook close`".to_owned()),
                };
                journal.append(run, &begun.host, &begun.node, &gone)?;
            }
        }
    }
    Ok(code)
}

/// Removes what is kept, host by host. Gives the exit code.
async fn remove(
    gate: &Gate<'_>,
    journal: &Journal,
    run: &str,
    become_root: bool,
    kept: BTreeMap<String, Vec<Kept>>,
) -> anyhow::Result<u8> {
    let registry = crate::registry();
    let mut code = exit::DONE;
    for (host, list) in kept {
        if let Err(Refusal::Locked(by)) = gate.pass(&host, None).await {
            report::say_error(&by.to_string());
            code = exit::LOCKED;
            continue;
        }
        let removal = gate
            .fleet
            .discard(&registry, &host, become_root, &list)
            .await;
        match removal {
            Ok((removed, failed)) => {
                journal.append(run, &host, "", &Record::Closed { removed })?;
                for message in failed {
                    report::say_error(&format!("{host}: {message}"));
                    code = exit::FAILED;
                }
            }
            Err(error) => {
                report::say_error(&error.to_string());
                code = exit::UNREACHABLE;
            }
        }
    }
    Ok(code)
}

/// The last run that keeps something aside; else the last one.
fn last_that_keeps(journal: &Journal) -> anyhow::Result<(String, Told)> {
    let mut last = None;
    for run in journal.runs()?.into_iter().rev() {
        let told = match journal.read(&run.run) {
            Ok(entries) => Told::from_entries(&entries),
            Err(error) if error.is_of_one_run() => continue,
            Err(error) => return Err(error.into()),
        };
        if !told.kept.is_empty() {
            return Ok((run.run, told));
        }
        last.get_or_insert((run.run, told));
    }
    last.ok_or_else(|| anyhow::anyhow!("there is no run in the journal"))
}
