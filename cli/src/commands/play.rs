//! Carry out a playbook, or with --check show what it would do.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use runbook_engine::compile::program::Item;
use runbook_engine::journal::{Journal, NodeStatus, Record, Sealer};
use runbook_engine::run::event::{Event, Sink, now};
use runbook_engine::run::hosts::Fleet;
use runbook_engine::run::redact::Redactor;
use runbook_engine::run::shared::{Options, Parts, Shared};
use runbook_engine::run::{Runner, exit};
use runbook_engine::source::{Sources, truth_of};

use crate::call::{self, ChoiceArgs, HostArgs, Ready};
use crate::connect::Ways;
use crate::interrupt::Interrupts;
use crate::lookup;
use crate::question;
use crate::report::{self, json::JsonLines, terminal::Terminal};
use crate::settings::Asked;

/// Carry out a playbook, or with --check show what it would do.
///
/// On a terminal the plan is shown and you are asked before anything is changed; -y does not ask.
#[derive(clap::Args)]
pub struct Args {
    /// Playbooks, in order; looked up in playbooks/ too
    #[arg(required = true)]
    playbooks: Vec<String>,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    run: RunArgs,
    /// List the hosts that each play is for
    #[arg(long)]
    list_hosts: bool,
    /// List the tasks
    #[arg(long)]
    list_tasks: bool,
    /// List the tags
    #[arg(long)]
    list_tags: bool,
    /// Only look for mistakes
    #[arg(long)]
    syntax_check: bool,
}

/// How it is carried out and told.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// Change nothing: show what would be done
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show what changes, line by line
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// How to report
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    pub output: Output,
    /// Exit code 3 means that something was, or would be, changed
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// How to report.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON event a line (docs/events.md).
    Json,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let playbooks: Vec<PathBuf> = args.playbooks.iter().map(|p| lookup::playbook(p)).collect();
    let sources = Arc::new(Sources::new());
    let ready = match call::compile(&args.hosts, &args.choice, &playbooks, sources)? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    if args.list_hosts || args.list_tasks || args.list_tags {
        list(&args, &ready);
        return Ok(exit::DONE);
    }
    if args.syntax_check {
        report::note("no mistakes found");
        return Ok(exit::DONE);
    }
    carry_out(ready, &args.hosts, &args.run, args.playbooks).await
}

/// Plans, asks, and applies; shared with `call`.
pub async fn carry_out(
    ready: Ready,
    hosts: &HostArgs,
    run: &RunArgs,
    playbooks: Vec<String>,
) -> anyhow::Result<u8> {
    let interrupts = Interrupts::listen();
    let redactor = Arc::new(Redactor::default());
    let asked = Asked::on_terminal(hosts, &redactor)?;
    let Ready {
        inventory,
        compiled,
        tools,
    } = ready;
    let extra = compiled
        .hosts
        .vars
        .values()
        .next()
        .map(|v| v.extra.clone())
        .unwrap_or_default();
    let ways = Ways::new(&inventory, &extra, &tools.engine, hosts, &asked, &redactor);
    let mut fleet = Fleet::new(Box::new(ways));
    fleet.warm = warm_users(&compiled.program, hosts);
    let run_id = run_id();
    let shared = Arc::new(Shared::new(Parts {
        registry: tools.registry.clone(),
        redactor,
        engine: tools.engine.clone(),
        fleet,
        hosts: compiled.hosts,
        options: Options {
            check: run.check,
            forks: hosts.forks,
            verbose: hosts.verbose,
            become_: hosts.become_,
            become_user: hosts.become_user.clone(),
        },
        sources: tools.sources.clone(),
        run: run_id.clone(),
    }));
    interrupts.hand_over(&shared);
    let runner = Runner::new(shared.clone(), Arc::new(compiled.program));
    let sink: Arc<dyn Sink> = match run.output {
        Output::Json => Arc::new(JsonLines::default()),
        Output::Text => Arc::new(Terminal::new(run.diff, hosts.verbose, run.check)),
    };
    let code = if run.check {
        let started = Event::RunStarted {
            run: None,
            playbooks,
            check: true,
            at: now(),
        };
        sink.event(started);
        let tally = runner.check(sink.clone()).await?;
        let code = runner.exit_code(&tally, run.detailed_exitcode);
        runner.warnings().into_iter().for_each(|w| sink.event(w));
        sink.event(runner.finished(&tally, None, code));
        code
    } else {
        apply(&runner, run, playbooks, sink, &run_id, hosts, &interrupts).await?
    };
    shared.fleet.close().await;
    Ok(code)
}

async fn apply(
    runner: &Runner,
    run: &RunArgs,
    playbooks: Vec<String>,
    sink: Arc<dyn Sink>,
    run_id: &str,
    hosts: &HostArgs,
    interrupts: &Interrupts,
) -> anyhow::Result<u8> {
    let shared = &runner.shared;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut approved = None;
    if terminal && !run.yes && run.output == Output::Text {
        let plan = runner.plan().await?;
        if shared.interrupted() {
            report::note("Nothing has been changed.");
            return Ok(exit::INTERRUPTED);
        }
        report::say(&report::plan::show(&plan, run.diff));
        let acts = plan
            .tasks
            .iter()
            .any(|t| !matches!(t.status, NodeStatus::Ok | NodeStatus::Skipped));
        if !acts {
            report::note("There is nothing to do.");
            return Ok(exit::DONE);
        }
        if !question::yes("Do exactly this?") {
            report::note("Nothing has been changed.");
            return Ok(exit::DONE);
        }
        approved = Some(plan);
    }
    if let Some(plan) = approved {
        // The person has looked for a while: what was approved is done only where the hosts are still the same.
        shared.fleet.forget_states();
        let again = runner.plan().await?;
        if shared.interrupted() {
            report::note("Nothing has been changed.");
            return Ok(exit::INTERRUPTED);
        }
        let drift = plan.drift(&again);
        if !drift.is_empty() {
            for line in drift {
                report::say_error(&line);
            }
            report::note(
                "A host has changed since the plan was made. Nothing has been changed; look at the new plan.",
            );
            return Ok(exit::DRIFT);
        }
    }
    let sealer = Sealer::from_key_file(&lookup::key_file())?;
    let journal = Arc::new(Journal::open(&lookup::state().join("runs.db"), sealer)?);
    let mut files = shared.sources.hashes();
    files.extend(shared.local.hashes());
    let started = Record::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        playbooks: playbooks.clone(),
        call: std::iter::once(format!("{:?}", hosts.inventory))
            .chain(hosts.limit.clone())
            .collect(),
        files,
    };
    sink.event(Event::RunStarted {
        run: Some(run_id.to_owned()),
        playbooks,
        check: false,
        at: now(),
    });
    interrupts.writing();
    let tally = runner.apply(journal, started, sink.clone()).await?;
    let code = runner.exit_code(&tally, run.detailed_exitcode);
    runner.warnings().into_iter().for_each(|w| sink.event(w));
    sink.event(runner.finished(&tally, Some(run_id.to_owned()), code));
    Ok(code)
}

/// Users whose shells will be needed: sudo is started while the host still tells of itself.
fn warm_users(
    program: &runbook_engine::compile::program::Program,
    hosts: &HostArgs,
) -> Vec<runbook_engine::host::User> {
    let mut becomes = hosts.become_;
    for play in &program.plays {
        for item in play.sections.iter().flatten() {
            item.each(&mut |item| {
                if let Item::Task(task) = item {
                    let plain_root = task.become_user.is_none();
                    becomes |= plain_root && task.become_.as_ref().and_then(truth_of) == Some(true);
                }
            });
        }
    }
    if becomes {
        vec![runbook_engine::host::User::Become("root".to_owned())]
    } else {
        Vec::new()
    }
}

/// An id that sorts by time and that a person can read out.
fn run_id() -> String {
    let now = jiff::Zoned::now();
    let nanos = now.timestamp().subsec_nanosecond().unsigned_abs();
    let tail = (u64::from(nanos) ^ u64::from(std::process::id()).rotate_left(13)) & 0xffff;
    format!("{}-{tail:04x}", now.strftime("%Y%m%d-%H%M%S"))
}

fn list(args: &Args, ready: &Ready) {
    for play in &ready.compiled.program.plays {
        report::say(&format!("play: {}", play.name));
        if args.list_hosts {
            for host in play.groups.iter().flat_map(|g| &g.hosts) {
                report::say(&format!("  {host}"));
            }
        }
        let mut tags = std::collections::BTreeSet::new();
        for item in play.sections.iter().flatten() {
            item.each(&mut |item| {
                let common = item.common();
                tags.extend(common.tags.iter().cloned());
                let is_task = matches!(item, Item::Task(_) | Item::Include(_));
                if args.list_tasks && common.selected && is_task {
                    let name = common.name.as_ref().and_then(|n| n.text()).map_or_else(
                        || match item {
                            Item::Task(task) => task.module.name().to_owned(),
                            _ => "include_tasks".to_owned(),
                        },
                        str::to_owned,
                    );
                    let tags: Vec<&str> = common.tags.iter().map(String::as_str).collect();
                    let shown = if tags.is_empty() {
                        String::new()
                    } else {
                        format!("  [{}]", tags.join(", "))
                    };
                    report::say(&format!("  {name}{shown}"));
                }
            });
        }
        if args.list_tags {
            let tags: Vec<String> = tags.into_iter().collect();
            let tags = if tags.is_empty() {
                "none".to_owned()
            } else {
                tags.join(", ")
            };
            report::say(&format!("  tags: {tags}"));
        }
    }
}
