//! Take a run back.

use std::path::PathBuf;
use std::sync::Arc;

use runbook_engine::journal::{Entry, Journal, JournalError};
use runbook_engine::rollback::{Choice, Handlers, Rollback, Told};
use runbook_engine::run::exit;
use runbook_engine::source::Sources;

use crate::call::{self, ChoiceArgs, HostArgs};
use crate::conduct::{self, Going, Origin, RunArgs, Setting, conduct};
use crate::history::History;
use crate::request::{Request, What};
use crate::{lookup, prompts, report};

/// Take a run back: the states before, in reverse order, where nobody has changed them since.
///
/// What others have changed is shown and left. What the version before works with (a database schema) stays. On a
/// terminal the plan is shown and you are asked before anything is changed.
#[derive(clap::Args)]
pub struct Args {
    /// The run (the last one that changed something, is no rollback, and is not back yet)
    #[arg(value_name = "RUN")]
    run_id: Option<String>,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    run: RunArgs,
    /// Only what it did on this host (may be given again)
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Back to the moment before this task: it and all that came after it
    #[arg(long, value_name = "TASK")]
    to: Option<String>,
    /// Leave what this task did, which cannot be taken back, and take back what came before it too
    #[arg(long, value_name = "TASK")]
    past: Vec<String>,
    /// Take this back although others have changed it since (`file:/etc/hosts`)
    #[arg(long, value_name = "KEY")]
    overwrite: Vec<String>,
    /// Take this back although it could stay (`pg-schema:…`)
    #[arg(long, value_name = "KEY")]
    also: Vec<String>,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    args.hosts
        .without_limit("`--host HOST` takes back what the run did on that host")?;
    let journal = conduct::journal_so_far()?;
    let of = match args.run_id {
        Some(run) => run,
        None => match last_forward(&journal, &args.run)? {
            Some(run) => run,
            // What is named beside it is not in the run, whichever that is.
            None if args.to.is_some() || !args.host.is_empty() => return Ok(exit::WRONG),
            None => return Ok(exit::DONE),
        },
    };
    drop(journal);
    let choice = Choice {
        hosts: args.host,
        to: args.to,
        past: args.past,
        overwrite: args.overwrite,
        also: args.also,
    };
    let what = What::Rollback { of, choice };
    let request = Request::new(&args.hosts, ChoiceArgs::default(), what);
    carry_out(request, &args.run, None).await
}

/// Plans, asks, and goes back; shared with `resume`.
pub async fn carry_out(
    mut request: Request,
    run: &RunArgs,
    going: Option<Going>,
) -> anyhow::Result<u8> {
    let What::Rollback { of, choice } = request.what.clone() else {
        anyhow::bail!("this is no rollback");
    };
    let journal = conduct::journal_so_far()?;
    let entries = journal.read(&of)?;
    let earlier =
        History::of(&journal)?.cut_off_on_the_way_back(&of, going.as_ref().map(|g| g.run.as_str()));
    drop(journal);
    let told = Told::from_entries(&entries);
    let forward = forward(&of, &told)?;
    let (origin, of_origin) = match &forward {
        Some((origin, entries)) => (origin, entries),
        None => (&told, &entries),
    };
    if let Some((run, _)) = Request::of(of_origin) {
        // Its handlers want the variables that it had.
        request.hosts.extra_vars.splice(0..0, run.hosts.extra_vars);
        request.hosts.answers.extend(run.hosts.answers);
    }
    if request.hosts.inventory.is_empty() {
        request.hosts.inventory.clone_from(&told.inventory);
    }
    let mut answers = request.hosts.answers.clone();
    let hosts = &request.hosts;
    let playbooks = playbooks_of(origin, &told);
    let sources = Arc::new(Sources::new());
    let ready = match call::compile(hosts, &request.choice, &playbooks, sources)? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    let sites = &ready.compiled.hosts.sites;
    let site_of = |host: &str| sites.get(host).cloned().unwrap_or_else(|| host.to_owned());
    let steps = match choice.of(&told.steps, &site_of) {
        Ok(steps) => steps,
        Err(wrong) => {
            wrong.iter().for_each(|w| report::say_error(w));
            report::note("Nothing was touched; no host was connected.");
            return Ok(exit::WRONG);
        }
    };
    if steps.is_empty() {
        report::note(&format!("run {of} changed nothing"));
        return Ok(exit::DONE);
    }
    let call::Ready {
        inventory,
        mut compiled,
        tools,
    } = ready;
    // Only its handlers look at the variables.
    prompts::ask(&mut compiled.program, &mut answers)?;
    let setting = Setting {
        check: run.check,
        warm: Vec::new(),
        going,
        ..Setting::default()
    };
    let (shared, interrupts) = conduct::shared(&inventory, compiled.hosts, &tools, hosts, setting)?;
    let secrets = told.secrets.iter();
    secrets.for_each(|s| shared.redactor.add_lines(s));
    let handlers = Handlers {
        program: (!playbooks.is_empty()).then(|| Arc::new(compiled.program)),
        notified: told.notified.clone(),
    };
    let rollback = Rollback {
        shared: shared.clone(),
        of: of.clone(),
        steps,
        choice,
        handlers,
        begun: told.begun,
        earlier,
    };
    let origin = Origin {
        playbooks: told.playbooks,
        takes_back: Some(of),
        ..Origin::of(&request)?
    };
    let code = conduct(&rollback, run, hosts.verbose, origin, &interrupts).await?;
    shared.fleet.close().await;
    Ok(code)
}

/// The last run that changed something, is no rollback itself, and is not back yet. Said twice, it must not take back an
/// older run unless a person sees which: `None`, and it was said.
fn last_forward(journal: &Journal, run: &RunArgs) -> anyhow::Result<Option<String>> {
    let history = History::of(journal)?;
    match history.to_take_back() {
        (Some(open), Some(back)) if !run.check && !conduct::asks(run) => {
            report::note(&format!(
                "run {}, the last that changed something, has been taken back. Of those before it {} could be: `runbook \
                 rollback {}`",
                back.run, open.run, open.run
            ));
            Ok(None)
        }
        (Some(open), _) => Ok(Some(open.run.clone())),
        (None, Some(back)) => {
            report::note(&format!(
                "run {}, the last that changed something, has been taken back, and there is none before it",
                back.run
            ));
            Ok(None)
        }
        (None, None) => anyhow::bail!("there is no run in the journal that could be taken back"),
    }
}

/// Of a run that took back another: the first of them, that did what is taken back and brought back by turns.
fn forward(of: &str, told: &Told) -> anyhow::Result<Option<(Told, Vec<Entry>)>> {
    let journal = conduct::journal_so_far()?;
    let mut seen = vec![of.to_owned()];
    let mut next = told.takes_back.clone();
    let mut found = None;
    while let Some(run) = next.filter(|run| !seen.contains(run)) {
        let entries = match journal.read(&run) {
            Err(JournalError::NoRun(_)) => break,
            entries => entries?,
        };
        let told = Told::from_entries(&entries);
        next = told.takes_back.clone();
        seen.push(run);
        found = Some((told, entries));
    }
    Ok(found)
}

/// The playbooks of the run that did it first, for the handlers that `told` has notified. None where a file of that run
/// is no longer what it was: its handlers might be others now.
fn playbooks_of(origin: &Told, told: &Told) -> Vec<PathBuf> {
    if told.notified.is_empty() {
        return Vec::new();
    }
    if let Some(path) = origin.other_file() {
        let mut names: Vec<&str> = told
            .notified
            .values()
            .flatten()
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        report::say_error(&format!(
            "{path} has changed since the run, so no handler is run; do by hand what has to be done: {}",
            names.join(", ")
        ));
        return Vec::new();
    }
    origin
        .playbooks
        .iter()
        .map(|p| lookup::playbook(p))
        .filter(|p| p.is_file())
        .collect()
}
