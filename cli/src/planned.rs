//! Plans in files: how one is made of a call, shown, and turned into the same call again.

use std::path::Path;

use runbook_engine::journal::{NodeStatus, Sealer};
use runbook_engine::run::event::{Event, Sink, now};
use runbook_engine::run::plan::{Head, SavedPlan};
use runbook_engine::run::shared::Shared;
use runbook_engine::run::{Plan, Tally, exit};

use crate::conduct::Output;
use crate::report::json::JsonLines;
use crate::request::Request;
use crate::{conduct, lookup, report};

/// What was asked for beside playbooks and inventories, as words that show no value of a variable.
fn words(request: &Request) -> Vec<String> {
    let mut words = Vec::new();
    let (hosts, choice) = (&request.hosts, &request.choice);
    let mut with = |name: &str, value: &str| words.push(format!("{name} {value}"));
    hosts.limit.iter().for_each(|v| with("--limit", v));
    hosts.user.iter().for_each(|v| with("--user", v));
    hosts
        .become_user
        .iter()
        .for_each(|v| with("--become-user", v));
    for given in &hosts.extra_vars {
        with("--extra-vars", &without_values(given));
    }
    for (name, list) in [("--tags", &choice.tags), ("--skip-tags", &choice.skip_tags)] {
        if !list.is_empty() {
            with(name, &list.join(","));
        }
    }
    choice
        .start_at_task
        .iter()
        .for_each(|v| with("--start-at-task", v));
    for (name, given) in [
        ("--become", hosts.become_),
        ("--part-of-site", hosts.part_of_site),
        ("--ask-pass", hosts.ask_pass),
        ("--ask-become-pass", hosts.ask_become_pass),
    ] {
        if given {
            words.push(name.to_owned());
        }
    }
    words
}

/// The variables of an `-e` without what they are set to.
fn without_values(given: &str) -> String {
    if given.starts_with('@') {
        return given.to_owned();
    }
    if given.trim_start().starts_with(['{', '[']) {
        return "…".to_owned();
    }
    // Whatever stands behind the first `=` may be a value with blanks in it.
    match given.split_once('=') {
        Some((name, _)) => format!("{name}=…"),
        None => "…".to_owned(),
    }
}

/// A prediction as a plan that can be saved.
///
/// # Errors
/// The request cannot be written down.
pub fn make(request: &Request, plan: Plan, shared: &Shared) -> anyhow::Result<SavedPlan> {
    let head = Head {
        runbook_plan: Head::FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: shared.run.clone(),
        made: shared.started.clone(),
        by: maker(),
        folder: request.folder.clone(),
        playbooks: request.names(),
        inventory: request.hosts.inventory.clone(),
        call: words(request),
        tasks: plan.counts(),
        files: shared.files(),
    };
    Ok(SavedPlan {
        head,
        call: serde_json::to_value(request)?,
        plan,
    })
}

/// Who makes it: `user@machine`.
fn maker() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| format!("user {}", rustix::process::getuid().as_raw()));
    let machine = rustix::system::uname();
    format!("{user}@{}", machine.nodename().to_string_lossy())
}

/// Opens a plan.
///
/// # Errors
/// It is none, or cannot be opened here.
pub fn open(path: &Path) -> anyhow::Result<SavedPlan> {
    let key = lookup::key_file();
    let sealer = Sealer::from_key_file(&key)?;
    Ok(SavedPlan::read(path, &sealer, &key)?)
}

/// The plan that a run was applied from, for going on with it.
///
/// # Errors
/// It is not there any more, or is another one.
pub fn of_run(path: &Path, run: Option<&str>) -> anyhow::Result<Plan> {
    let saved = open(path)?;
    anyhow::ensure!(
        run.is_none_or(|run| run == saved.head.id),
        "{} is not the plan of the run any more, but {}",
        path.display(),
        saved.head.id
    );
    Ok(saved.plan)
}

/// Seals and writes a plan.
///
/// # Errors
/// It cannot be written there.
pub fn write(plan: &SavedPlan, path: &Path) -> anyhow::Result<()> {
    Ok(plan.write(path, &conduct::sealer()?)?)
}

/// Shows a plan, as it was shown when it was made.
///
/// # Errors
/// It is none, or cannot be opened here.
pub fn show(path: &Path, diff: bool, output: Output) -> anyhow::Result<u8> {
    let SavedPlan { head, plan, .. } = open(path)?;
    match output {
        Output::Json => tell(&head.playbooks, &head.made, &plan, exit::DONE),
        Output::Text => {
            report::say(&format!(
                "{}  {}  {}, made by {}, runbook {}",
                head.id,
                head.made,
                head.playbooks.join(" "),
                head.by,
                head.version
            ));
            let inventory = head.inventory.iter().map(|i| format!("-i {i}"));
            let call: Vec<String> = inventory.chain(head.call).collect();
            report::say(&format!("in {}: {}", head.folder.display(), call.join(" ")));
            report::say(&report::plan::show(&plan, diff));
        }
    }
    Ok(exit::DONE)
}

/// A plan as the events of a check.
pub fn tell(playbooks: &[String], made: &str, plan: &Plan, exit_code: u8) {
    let sink = JsonLines::default();
    sink.event(Event::RunStarted {
        run: None,
        playbooks: playbooks.to_vec(),
        takes_back: None,
        check: true,
        resumed: false,
        at: made.to_owned(),
    });
    for task in &plan.tasks {
        sink.event(Event::TaskFinished(Box::new(task.clone())));
    }
    for (block, task) in &plan.rescues {
        sink.event(Event::RescueForetold {
            block: block.clone(),
            report: Box::new(task.clone()),
        });
    }
    for message in &plan.warnings {
        sink.event(Event::Warning {
            host: None,
            message: message.clone(),
        });
    }
    sink.event(Event::RunFinished {
        run: None,
        hosts: tally(plan),
        costs: std::collections::BTreeMap::new(),
        kept: 0,
        down: Vec::new(),
        interrupted: false,
        exit_code,
        at: now(),
    });
}

/// Tasks by host and status; a failure that is ignored does not count as one.
pub fn tally(plan: &Plan) -> Tally {
    let mut tally = Tally::new();
    for task in &plan.tasks {
        let status = if task.ignored {
            NodeStatus::Ok
        } else {
            task.status
        };
        *tally
            .entry(task.host.clone())
            .or_default()
            .entry(status)
            .or_default() += 1;
    }
    tally
}
