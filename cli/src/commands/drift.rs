//! What is not as a playbook says, or no longer as a run left it.

use std::sync::Arc;

use runbook_engine::journal::NodeStatus;
use runbook_engine::rollback::{Told, left, look};
use runbook_engine::run::event::{Event, TaskReport, now};
use runbook_engine::run::plan::Drift;
use runbook_engine::run::{Job, Plan, Tally, exit};
use runbook_engine::source::Sources;

use super::play;
use crate::call::{self, ChoiceArgs, HostArgs, Ready};
use crate::conduct::{self, Output, RunArgs, Setting};
use crate::history::History;
use crate::request::{Request, What};
use crate::{planned, report};

/// Show what is not as a playbook says, or, without one, what has changed since a run left.
///
/// Nothing is changed. With a playbook only resources are looked at: commands and other actions leave nothing that could
/// be. Without one every resource that the run wrote is read and compared with what it wrote.
#[derive(clap::Args)]
pub struct Args {
    /// Playbooks, in order; looked up in playbooks/ too
    playbooks: Vec<String>,
    /// The run (the last one that changed a resource)
    #[arg(long, value_name = "RUN", num_args = 0..=1, conflicts_with = "playbooks")]
    run: Option<Option<String>>,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Show what differs, line by line
    #[arg(short = 'D', long)]
    diff: bool,
    /// How to report
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    output: Output,
    /// Exit code 3 means that something differs
    #[arg(long)]
    detailed_exitcode: bool,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    if args.playbooks.is_empty() {
        since_run(args).await
    } else {
        from_playbook(args).await
    }
}

async fn from_playbook(args: Args) -> anyhow::Result<u8> {
    let mut request = Request::new(&args.hosts, args.choice, What::Play(args.playbooks));
    let ready = match request.compile()? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    let setting = Setting {
        check: true,
        looks: true,
        ..Setting::default()
    };
    let (runner, _interrupts) = play::runner(ready, &mut request.hosts, setting)?;
    let shared = &runner.shared;
    let plan = runner.plan().await?;
    shared.fleet.close().await;
    let code = match runner.exit_code(&planned::tally(&plan), false) {
        exit::DONE if args.detailed_exitcode && plan.tasks.iter().any(differs) => exit::CHANGED,
        code => code,
    };
    match args.output {
        Output::Json => planned::tell(&request.names(), &shared.started, &plan, code),
        Output::Text => report::say(&differences(&plan, args.diff)),
    }
    Ok(code)
}

/// Would the task change a resource?
fn differs(task: &TaskReport) -> bool {
    let changes = task.bound.as_ref().is_some_and(|b| b.changes());
    task.status == NodeStatus::Changed && changes
}

/// The tasks that would change a resource, and those of which that is not known.
fn differences(plan: &Plan, diff: bool) -> String {
    let mut text = String::new();
    let (mut differ, mut open, mut failed) = (0, 0, 0);
    for task in &plan.tasks {
        let changes = differs(task);
        let (word, what) = match task.status {
            NodeStatus::Changed if changes => {
                differ += 1;
                ("differs", task.changes.join("; "))
            }
            NodeStatus::Unknown | NodeStatus::Conditional => {
                open += 1;
                ("not known", task.message.clone().unwrap_or_default())
            }
            NodeStatus::Failed | NodeStatus::Unreachable => {
                failed += u32::from(!task.ignored);
                (task.status.word(), task.message.clone().unwrap_or_default())
            }
            _ => continue,
        };
        let item = task.item.as_ref().map(|i| format!(" ({i})"));
        let item = item.unwrap_or_default();
        text.push_str(&format!(
            "{word:<11} {}: {}{item}  {what}\n",
            task.host, task.task
        ));
        if diff && let Some(diff) = task.diff.as_ref().filter(|_| changes) {
            text.push_str(&report::terminal::coloured(diff, 4));
        }
    }
    let open = match open {
        0 => String::new(),
        1 => ", 1 task is not known".to_owned(),
        n => format!(", {n} tasks are not known"),
    };
    let differs = match differ {
        0 => "nothing differs from what the playbook says".to_owned(),
        1 => "1 task differs".to_owned(),
        n => format!("{n} tasks differ"),
    };
    text.push_str(&match failed {
        0 => capital(&differs),
        _ => format!(
            "Not looked at to the end: where a task fails, what comes after it is not looked at. Up to there {differs}"
        ),
    });
    text.push_str(&format!("{open}."));
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

async fn since_run(args: Args) -> anyhow::Result<u8> {
    args.hosts.without_limit(
        "without a playbook all that a run wrote is compared, on all of its hosts",
    )?;
    let journal = conduct::journal_so_far()?;
    let run = match args.run.flatten() {
        Some(run) => run,
        None => match History::of(&journal)?.last_that_wrote() {
            Some(brief) => brief.run.clone(),
            None => anyhow::bail!("no run in the journal has changed a resource"),
        },
    };
    let entries = journal.read(&run)?;
    drop(journal);
    if entries.is_empty() {
        anyhow::bail!("there is no run {run} in the journal; `runbook runs` lists them");
    }
    let mut hosts = args.hosts;
    if hosts.inventory.is_empty() {
        hosts.inventory = Told::from_entries(&entries).inventory;
    }
    let sources = Arc::new(Sources::new());
    let ready = match call::compile(&hosts, &ChoiceArgs::default(), &[], sources)? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    let Ready {
        inventory,
        compiled,
        tools,
    } = ready;
    let setting = Setting {
        check: true,
        ..Setting::default()
    };
    let (shared, _interrupts) =
        conduct::shared(&inventory, compiled.hosts, &tools, &hosts, setting)?;
    let told = Told::from_entries(&entries);
    told.secrets
        .iter()
        .for_each(|secret| shared.redactor.add_lines(secret));
    let looked = look(&shared, &left(&entries)).await;
    shared.fleet.close().await;
    let differs = !looked.drift.is_empty();
    let code = if shared.interrupted() {
        exit::INTERRUPTED
    } else if !looked.failed.is_empty() {
        exit::FAILED
    } else if !looked.unreachable.is_empty() {
        exit::UNREACHABLE
    } else if differs && args.detailed_exitcode {
        exit::CHANGED
    } else {
        exit::DONE
    };
    let told = RunArgs {
        check: true,
        diff: args.diff,
        output: args.output,
        ..RunArgs::default()
    };
    if args.output == Output::Json {
        tell(&shared, &told, hosts.verbose, looked.drift, code);
    } else {
        for one in &looked.drift {
            report::say(&report::drift::line(one));
            if args.diff
                && let Some(diff) = &one.diff
            {
                report::say(report::terminal::coloured(diff, 4).trim_end());
            }
        }
        report::say(&format!(
            "{} of {} resources that run {run} wrote are not as it left them.",
            looked.drift.len(),
            looked.resources
        ));
    }
    for (host, why) in looked.failed.iter().chain(&looked.unreachable) {
        report::say_error(&format!("{host}: {why}"));
    }
    Ok(code)
}

fn tell(
    shared: &runbook_engine::run::shared::Shared,
    run: &RunArgs,
    verbose: u8,
    drift: Vec<Drift>,
    exit_code: u8,
) {
    let sink = conduct::sink_of(run, verbose);
    sink.event(Event::RunStarted {
        run: None,
        playbooks: Vec::new(),
        takes_back: None,
        check: true,
        resumed: false,
        at: shared.started.clone(),
    });
    drift
        .into_iter()
        .for_each(|one| sink.event(report::drift::event(one)));
    let costs = shared.fleet.costs().into_iter();
    sink.event(Event::RunFinished {
        run: None,
        hosts: Tally::new(),
        costs: costs.map(|(host, cost)| (host, cost.into())).collect(),
        kept: 0,
        down: Vec::new(),
        interrupted: shared.interrupted(),
        exit_code,
        at: now(),
    });
}
