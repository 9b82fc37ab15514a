//! Remove what runs have kept aside on the hosts.

use std::io::IsTerminal as _;
use std::sync::Arc;

use runbook_engine::diag::Severity;
use runbook_engine::inventory;
use runbook_engine::journal::{Journal, Record};
use runbook_engine::rollback::Told;
use runbook_engine::run::exit;
use runbook_engine::run::hosts::Fleet;
use runbook_engine::run::redact::Redactor;
use runbook_engine::source::Sources;
use runbook_engine::template::Engine;

use crate::call::HostArgs;
use crate::connect::Ways;
use crate::interrupt::Interrupts;
use crate::settings::Asked;
use crate::{conduct, lookup, question, report};

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
    let journal = conduct::journal()?;
    let (run, told) = match args.run {
        Some(run) => {
            let told = Told::from_entries(&journal.read(&run)?);
            (run, told)
        }
        None => last_that_keeps(&journal)?,
    };
    let kept = told.kept;
    let mut hosts = args.hosts;
    if hosts.inventory.is_empty() {
        hosts.inventory = told.inventory;
    }
    if kept.is_empty() {
        report::note(&format!("run {run} keeps nothing aside"));
        return Ok(exit::DONE);
    }
    for (host, list) in &kept {
        for one in list {
            report::say(&format!("{host}: {} ({})", one.place, one.of));
        }
    }
    if !args.yes {
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
    let sources = Sources::new();
    let given: Vec<String> = hosts
        .inventory
        .iter()
        .map(|i| lookup::inventory(i))
        .collect();
    let (inventory, errors) = inventory::read(&given, &sources);
    report::diagnostics(&errors, &sources);
    if errors.iter().any(|e| e.severity == Severity::Error) {
        return Ok(exit::WRONG);
    }
    let engine = Arc::new(Engine::new());
    let redactor = Arc::new(Redactor::default());
    let interrupts = Interrupts::listen();
    let asked = Asked::on_terminal(&hosts, &redactor)?;
    let ways = Ways::new(
        &inventory,
        &Arc::default(),
        &engine,
        &hosts,
        &asked,
        &redactor,
    );
    let fleet = Fleet::new(Box::new(ways));
    let registry = runbook_modules::registry();
    let mut code = exit::DONE;
    interrupts.writing();
    for (host, list) in kept {
        match fleet.discard(&registry, &host, hosts.become_, &list).await {
            Ok((removed, failed)) => {
                journal.append(&run, &host, "", &Record::Closed { removed })?;
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
    fleet.close().await;
    Ok(code)
}

/// The last run that keeps something aside; else the last one.
fn last_that_keeps(journal: &Journal) -> anyhow::Result<(String, Told)> {
    let mut last = None;
    for run in journal.runs()?.into_iter().rev() {
        let told = Told::from_entries(&journal.read(&run.run)?);
        if !told.kept.is_empty() {
            return Ok((run.run, told));
        }
        last.get_or_insert((run.run, told));
    }
    last.ok_or_else(|| anyhow::anyhow!("there is no run in the journal"))
}
