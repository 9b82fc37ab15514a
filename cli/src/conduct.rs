//! Carries out a job: shows the plan and asks where a person sits, does what was shown, and tells of it.

use std::io::IsTerminal;
use std::sync::Arc;

use runbook_engine::compile::Tools;
use runbook_engine::compile::program::Hosts;
use runbook_engine::host::User;
use runbook_engine::inventory::Inventory;
use runbook_engine::journal::{Journal, NodeStatus, Record, Sealer};
use runbook_engine::run::event::{Event, Sink, now};
use runbook_engine::run::hosts::Fleet;
use runbook_engine::run::past::Past;
use runbook_engine::run::redact::Redactor;
use runbook_engine::run::shared::{Decider, Options, Parts, Shared};
use runbook_engine::run::{Decision, Job, Plan, Tally, exit};

use crate::call::HostArgs;
use crate::connect::Ways;
use crate::interrupt::Interrupts;
use crate::locks::{self, Needed};
use crate::lookup;
use crate::question;
use crate::report::{self, json::JsonLines, terminal::Terminal};
use crate::request::Request;
use crate::settings::Asked;

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

/// What the walks of a job share, with ways to all hosts; nobody is connected yet. Passwords are asked for here.
///
/// # Errors
/// A password was to be asked for, and there is no terminal.
pub fn shared(
    inventory: &Inventory,
    of: Hosts,
    tools: &Tools,
    args: &HostArgs,
    setting: Setting,
) -> anyhow::Result<(Arc<Shared>, Interrupts)> {
    let interrupts = Interrupts::listen();
    let redactor = Arc::new(Redactor::default());
    let asked = Asked::on_terminal(args, &redactor)?;
    let extra = of.vars.values().next().map(|v| v.extra.clone());
    let ways = Ways::new(
        inventory,
        &extra.unwrap_or_default(),
        &tools.engine,
        args,
        &asked,
        &redactor,
    );
    let mut fleet = Fleet::new(Box::new(ways));
    fleet.warm = setting.warm;
    let (run, started, past, decider) = match setting.going {
        Some(going) => (
            going.run,
            Some(going.began),
            Some(going.past),
            going.decider,
        ),
        None => {
            let (run, started) = setting.planned.unzip();
            (run.unwrap_or_else(run_id), started, None, undecided())
        }
    };
    let shared = Arc::new(Shared::new(Parts {
        registry: tools.registry.clone(),
        redactor,
        engine: tools.engine.clone(),
        fleet,
        hosts: of,
        options: Options {
            check: setting.check,
            forks: args.forks,
            verbose: args.verbose,
            become_: args.become_,
            become_user: args.become_user.clone(),
            looks: setting.looks,
        },
        sources: tools.sources.clone(),
        run,
        started,
        past,
        decider,
    }));
    interrupts.hand_over(&shared);
    Ok((shared, interrupts))
}

/// How the walks of a job are made.
#[derive(Default)]
pub struct Setting {
    /// Nothing will be changed.
    pub check: bool,
    /// Users whose shells will be needed.
    pub warm: Vec<User>,
    /// A run that goes on.
    pub going: Option<Going>,
    /// Id and beginning (RFC 3339) that a plan has given to its run.
    pub planned: Option<(String, String)>,
    /// Only look how things stand: actions are left out.
    pub looks: bool,
}

/// A run that goes on.
pub struct Going {
    /// Its id.
    pub run: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// What it has done.
    pub past: Arc<Past>,
    /// Who is asked about an action of which nobody knows whether it was done.
    pub decider: Decider,
}

/// Without anybody to ask, an action of which nobody knows whether it was done has failed.
fn undecided() -> Decider {
    Arc::new(|_| Decision::Fail)
}

/// Where a job comes from.
pub struct Origin {
    /// The playbooks, as given.
    pub playbooks: Vec<String>,
    /// The inventories, as given.
    pub inventory: Vec<String>,
    /// What else was asked for that decides what runs.
    pub call: Vec<String>,
    /// The run that is taken back.
    pub takes_back: Option<String>,
    /// The request, for going on with it.
    pub asked: serde_json::Value,
    /// The plan that was approved when the run began, which goes on now.
    pub held: Option<Plan>,
}

impl Origin {
    /// Of a request.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn of(request: &Request) -> anyhow::Result<Self> {
        Ok(Self {
            playbooks: request.names(),
            inventory: request.hosts.inventory.clone(),
            call: request.hosts.limit.iter().cloned().collect(),
            takes_back: None,
            asked: serde_json::to_value(request)?,
            held: None,
        })
    }
}

/// The journal of this project.
///
/// # Errors
/// The journal or its key cannot be read or made, or its key is missing.
pub fn journal() -> anyhow::Result<Journal> {
    Ok(Journal::open(&journal_file(), sealer()?)?)
}

/// Has this project a journal?
#[must_use]
pub fn has_journal() -> bool {
    journal_file().exists()
}

/// The journal of this project, for who only looks: none is made.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn journal_so_far() -> anyhow::Result<Journal> {
    let file = journal_file();
    anyhow::ensure!(
        has_journal(),
        "there is no run in the journal: {} is not there (it is looked for in this folder, and in the next one above it \
         that has `.runbook` or `playbooks` in it; `RUNBOOK_STATE` names another)",
        file.display()
    );
    journal()
}

/// The key of this project's journal, which seals plans too.
///
/// # Errors
/// It cannot be read or made, or there is a journal and its key is missing.
pub fn sealer() -> anyhow::Result<Sealer> {
    Ok(Journal::key(&journal_file(), &lookup::key_file())?)
}

fn journal_file() -> std::path::PathBuf {
    lookup::state().join("runs.db")
}

/// Could a run be written down? Asked before anything is looked at or asked about; makes nothing.
///
/// # Errors
/// The journal cannot be used, or was begun with another key.
fn can_record() -> anyhow::Result<()> {
    if journal_file().exists() {
        journal()?.check_key()?;
    }
    Ok(())
}

/// The run of this id, or the last one.
///
/// # Errors
/// There is none.
pub fn run_or_last(journal: &Journal, named: Option<&str>) -> anyhow::Result<String> {
    match named {
        Some(run) => Ok(run.to_owned()),
        None => match journal.runs()?.pop() {
            Some(last) => Ok(last.run),
            None => anyhow::bail!("there is no run in the journal"),
        },
    }
}

/// Who hears of it.
pub fn sink_of(run: &RunArgs, verbose: u8) -> Arc<dyn Sink> {
    match run.output {
        Output::Json => Arc::new(JsonLines::default()),
        Output::Text => Arc::new(Terminal::new(run.diff, verbose, run.check)),
    }
}

/// Predicts the job, or plans, asks, and applies it. Gives the exit code.
///
/// # Errors
/// The journal cannot be written.
pub async fn conduct(
    job: &dyn Job,
    run: &RunArgs,
    verbose: u8,
    origin: Origin,
    interrupts: &Interrupts,
) -> anyhow::Result<u8> {
    let sink = sink_of(run, verbose);
    if !run.check {
        return apply(job, run, origin, sink, interrupts).await;
    }
    sink.event(Event::RunStarted {
        run: None,
        playbooks: origin.playbooks,
        takes_back: origin.takes_back,
        check: true,
        resumed: job.shared().past.is_some(),
        at: now(),
    });
    let tally = job.check(sink.clone()).await?;
    let code = job.exit_code(&tally, run.detailed_exitcode);
    job.warnings().into_iter().for_each(|w| sink.event(w));
    sink.event(job.finished(&tally, None, code));
    Ok(code)
}

/// Is a person shown what will be done, and asked?
pub fn asks(run: &RunArgs) -> bool {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    terminal && !run.yes && !run.check && run.output == Output::Text
}

async fn apply(
    job: &dyn Job,
    run: &RunArgs,
    origin: Origin,
    sink: Arc<dyn Sink>,
    interrupts: &Interrupts,
) -> anyhow::Result<u8> {
    let shared = job.shared();
    can_record()?;
    if let Some(code) = needed(job, &origin)?.look()? {
        return Ok(code);
    }
    let mut approved = None;
    if asks(run) {
        let plan = job.plan().await?;
        if shared.interrupted() {
            report::note("Nothing has been changed.");
            return Ok(exit::INTERRUPTED);
        }
        report::say(&report::plan::show(&plan, run.diff));
        let acts = plan.tasks.iter().any(|t| {
            !matches!(
                t.status,
                NodeStatus::Ok | NodeStatus::Left | NodeStatus::Skipped
            )
        });
        if !acts {
            report::note("There is nothing to do.");
            let left = plan.tasks.iter().any(|t| t.left);
            return Ok(if left { exit::DRIFT } else { exit::DONE });
        }
        if !question::yes("Do exactly this?") {
            report::note("Nothing has been changed.");
            return Ok(exit::DONE);
        }
        // The person has looked for a while: what was approved is done only where the hosts are still the same.
        shared.fleet.forget_states();
        approved = Some(plan);
    }
    let approved = approved.as_ref().map(|plan| Approval {
        plan,
        also: &|| None,
    });
    run_it(job, approved, run, origin, sink, interrupts).await
}

/// The locks that a job needs.
fn needed(job: &dyn Job, origin: &Origin) -> anyhow::Result<Needed> {
    let shared = job.shared();
    Needed::new(
        job.hosts(),
        &shared.hosts.sites,
        &shared.run,
        &locks::command(origin),
        &origin.inventory,
    )
    .taking_back(origin.takes_back.as_deref())
}

/// A plan that was approved.
pub struct Approval<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Looked at once the hosts were found as the plan says: an exit code refuses.
    pub also: &'a dyn Fn() -> Option<u8>,
}

/// Does it under its locks, as far as that is what was approved, and tells of it.
///
/// # Errors
/// The journal or the locks cannot be written.
pub async fn run_it(
    job: &dyn Job,
    approved: Option<Approval<'_>>,
    run: &RunArgs,
    origin: Origin,
    sink: Arc<dyn Sink>,
    interrupts: &Interrupts,
) -> anyhow::Result<u8> {
    let shared = job.shared();
    can_record()?;
    let (locks, notes) = match needed(job, &origin)?.take()? {
        Ok(taken) => taken,
        Err(code) => return Ok(code),
    };
    if let Some(past) = &shared.past {
        locks.begun_on(past.hosts());
    }
    shared.lock(locks);
    let ended = under_locks(job, approved, run, origin, notes, &sink, interrupts).await;
    let left = release(shared).await;
    let tally = match ended? {
        Ok(tally) => tally,
        Err(code) => return Ok(code),
    };
    for (host, message) in left {
        let host = Some(host);
        sink.event(Event::Warning { host, message });
    }
    let code = job.exit_code(&tally, run.detailed_exitcode);
    job.warnings().into_iter().for_each(|w| sink.event(w));
    sink.event(job.finished(&tally, Some(shared.run.clone()), code));
    Ok(code)
}

/// Holds the hosts against an approved plan, and the job to it from here on. `Some`: it is refused, with this exit code;
/// what has changed was told, and nothing was done.
///
/// # Errors
/// None that a prediction does not have.
async fn hold(
    job: &dyn Job,
    plan: &Plan,
    run: &RunArgs,
    sink: &Arc<dyn Sink>,
) -> anyhow::Result<Option<u8>> {
    let shared = job.shared();
    let again = job.plan().await?;
    if shared.interrupted() {
        report::note("Nothing has been changed.");
        return Ok(Some(exit::INTERRUPTED));
    }
    let drift = plan.drift(&again, &shared.registry, &shared.redactor);
    if drift.is_empty() {
        shared.approve(plan);
        return Ok(None);
    }
    report::drift::tell(drift, run, sink);
    job.warnings().into_iter().for_each(|w| sink.event(w));
    if run.output == Output::Json {
        sink.event(job.finished(&Tally::default(), None, exit::DRIFT));
    }
    Ok(Some(exit::DRIFT))
}

/// Does what was approved, if the hosts are still the same. `Ok(Err)`: nothing was begun; the exit code.
async fn under_locks(
    job: &dyn Job,
    approved: Option<Approval<'_>>,
    run: &RunArgs,
    origin: Origin,
    notes: Vec<String>,
    sink: &Arc<dyn Sink>,
    interrupts: &Interrupts,
) -> anyhow::Result<Result<Tally, u8>> {
    let shared = job.shared();
    if let Some(approval) = approved {
        if let Some(code) = hold(job, approval.plan, run, sink).await? {
            return Ok(Err(code));
        }
        if let Some(code) = (approval.also)() {
            return Ok(Err(code));
        }
    } else if let Some(plan) = &origin.held {
        // The hosts are in the midst of it: each task is held to it when it comes.
        shared.approve(plan);
    }
    let journal = Arc::new(journal()?);
    let files = shared.files();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let resumed = shared.past.is_some();
    let begins = if resumed {
        Record::RunResumed { version, files }
    } else {
        Record::RunStarted {
            version,
            playbooks: origin.playbooks.clone(),
            inventory: origin.inventory,
            call: origin.call,
            asked: origin.asked,
            began: shared.started.clone(),
            files,
            takes_back: origin.takes_back.clone(),
        }
    };
    sink.event(Event::RunStarted {
        run: Some(shared.run.clone()),
        playbooks: origin.playbooks,
        takes_back: origin.takes_back,
        check: false,
        resumed,
        at: now(),
    });
    for message in notes {
        let host = None;
        sink.event(Event::Warning { host, message });
    }
    interrupts.writing();
    Ok(Ok(job.apply(journal, begins, sink.clone()).await?))
}

/// Gives the locks back. Gives what could not be, by host.
async fn release(shared: &Shared) -> Vec<(String, String)> {
    match shared.locks() {
        Some(locks) => locks.release(&shared.fleet).await,
        None => Vec::new(),
    }
}

/// An id that sorts by time and that a person can read out.
fn run_id() -> String {
    let now = jiff::Zoned::now();
    let nanos = now.timestamp().subsec_nanosecond().unsigned_abs();
    let tail = (u64::from(nanos) ^ u64::from(std::process::id()).rotate_left(13)) & 0xffff;
    format!("{}-{tail:04x}", now.strftime("%Y%m%d-%H%M%S"))
}
