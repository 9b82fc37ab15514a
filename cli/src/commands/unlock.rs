//! Remove the locks that a run has left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;

use runbook_engine::host::HostError;
use runbook_engine::inventory::Inventory;
use runbook_engine::journal::Record;
use runbook_engine::lock::{Controller, Holder, Line, Trace, machine};
use runbook_engine::rollback::Told;
use runbook_engine::run::exit;
use runbook_engine::run::flight::{Stage, by_user};
use runbook_engine::run::hosts::Fleet;
use runbook_engine::run::redact::Redactor;

use crate::call::HostArgs;
use crate::interrupt::Interrupts;
use crate::{conduct, connect, lookup, question, report};

/// Remove the locks that a run has left, on this controller and on the hosts.
///
/// What the run has done stays as it is, perhaps half done: resume it, or take it back, where that is not what you want.
#[derive(clap::Args)]
pub struct Args {
    /// Sites or hosts (all that are locked on this controller; with -i, all of the inventory)
    #[arg(value_name = "SITE|HOST")]
    names: Vec<String>,
    #[command(flatten)]
    hosts: HostArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Remove it although the run that holds it still works on this machine
    #[arg(long)]
    force: bool,
}

/// A lock that was found.
struct Lock {
    /// Where it lies.
    place: Place,
    /// Who holds it. `Err`: what stands there instead.
    holder: Result<Holder, String>,
}

enum Place {
    /// On this controller.
    Here(Line),
    /// On the machine of a host; its site, or itself.
    There {
        host: String,
        unit: String,
        found: machine::Found,
    },
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    args.hosts
        .without_limit("name the sites or hosts, as in `runbook unlock st-anna`")?;
    let controller = Controller::existing(&lookup::state())?;
    let all = match &controller {
        Some(controller) => controller.list()?,
        None => Vec::new(),
    };
    let named = |unit: &String| args.names.is_empty() || args.names.contains(unit);
    let mut hosts = args.hosts;
    let asked_for = !hosts.inventory.is_empty();
    if !asked_for {
        let of_runs = all.iter().filter(|line| named(&line.unit));
        let given: BTreeSet<String> = of_runs.flat_map(|line| line.inventory.clone()).collect();
        hosts.inventory = given.into_iter().collect();
    }
    let interrupts = Interrupts::listen();
    let Some((inventory, fleet)) = connect::fleet(&hosts)? else {
        return Ok(exit::WRONG);
    };
    let units = match units(&args.names, asked_for, &inventory, &all) {
        Ok(units) => units,
        Err(message) => {
            report::say_error(&message);
            return Ok(exit::WRONG);
        }
    };
    let here = all.into_iter().filter(|l| units.contains_key(&l.unit));
    let mut found: Vec<Lock> = here
        .map(|line| Lock {
            holder: line
                .holder
                .clone()
                .ok_or_else(|| "a lock that this version cannot read".to_owned()),
            place: Place::Here(line),
        })
        .collect();
    let unreachable = look(&fleet, &units, &mut found).await;
    let still = still_running(&fleet, &units, &found, hosts.become_).await;
    let stops = decide(&found, &still, args.yes, args.force);
    let mut code = stops.unwrap_or(exit::DONE);
    if stops.is_none() {
        interrupts.writing();
        let by = Holder::here("", "runbook unlock");
        for lock in &found {
            let removed = remove(controller.as_ref(), &fleet, hosts.become_, lock).await;
            match removed {
                Ok(()) => {
                    // Who has not the key of the journal may remove locks all the same.
                    if let Err(error) = note_in_journal(lock, &by) {
                        report::note(&format!("the journal does not note it: {error:#}"));
                    }
                }
                Err(message) => {
                    report::say_error(&message);
                    code = exit::FAILED;
                }
            }
        }
    }
    fleet.close().await;
    if code == exit::DONE && unreachable {
        code = exit::UNREACHABLE;
    }
    Ok(code)
}

/// The sites, and hosts without one, that are meant, each with the hosts to look at.
fn units(
    names: &[String],
    all_of_inventory: bool,
    inventory: &Inventory,
    held: &[Line],
) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut by_unit: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut unit_of: BTreeMap<&str, &str> = BTreeMap::new();
    for host in inventory.hosts.keys() {
        let unit = inventory.site_of(host).unwrap_or(host);
        unit_of.insert(host, unit);
        let known = by_unit.entry(unit.to_owned()).or_default();
        known.insert(host.clone());
    }
    let mut meant: BTreeSet<String> = BTreeSet::new();
    for name in names {
        let is_held = held.iter().any(|line| line.unit == *name);
        let group = inventory.groups.contains_key(name);
        let in_group = group.then(|| inventory.hosts_of(name));
        match (unit_of.get(name.as_str()), in_group) {
            (Some(unit), _) => drop(meant.insert((*unit).to_owned())),
            _ if is_held || inventory.sites.contains_key(name) => drop(meant.insert(name.clone())),
            (None, Some(hosts)) => meant.extend(
                hosts
                    .iter()
                    .filter_map(|h| unit_of.get(h.as_str()).map(|u| (*u).to_owned())),
            ),
            (None, None) => {
                return Err(format!(
                    "there is no site, group or host `{name}` in the inventory, and nothing of that name is locked here"
                ));
            }
        }
    }
    if names.is_empty() {
        meant.extend(held.iter().map(|line| line.unit.clone()));
        if all_of_inventory {
            let implicit = |unit: &String| inventory.hosts.get(unit).is_some_and(|h| h.implicit);
            meant.extend(by_unit.keys().filter(|unit| !implicit(unit)).cloned());
        }
    }
    Ok(meant
        .into_iter()
        .map(|unit| {
            let hosts = by_unit.remove(&unit).unwrap_or_default();
            (unit, hosts)
        })
        .collect())
}

/// Looks at the machines. Gives whether one could not be reached.
async fn look(
    fleet: &Fleet,
    units: &BTreeMap<String, BTreeSet<String>>,
    locks: &mut Vec<Lock>,
) -> bool {
    let hosts = units
        .iter()
        .flat_map(|(unit, hosts)| hosts.iter().map(move |host| (unit, host)));
    let looks = hosts.map(|(unit, host)| async move {
        let link = fleet.link(host).await?;
        let found = machine::look(&link.probe).await?;
        Ok::<_, HostError>(found.map(|found| (link.machine.clone(), unit, host, found)))
    });
    let mut unreachable = false;
    // Two names of one machine are one lock.
    let mut seen = BTreeSet::new();
    for outcome in futures::future::join_all(looks).await {
        match outcome {
            Ok(Some((machine, unit, host, found))) => {
                if seen.insert(machine) {
                    locks.push(Lock {
                        holder: found.holder(),
                        place: Place::There {
                            host: host.clone(),
                            unit: unit.clone(),
                            found,
                        },
                    });
                }
            }
            Ok(None) => {}
            Err(error) => {
                report::say_error(&error.to_string());
                unreachable = true;
            }
        }
    }
    unreachable
}

/// Commands that still run on the hosts although the run that has begun them is gone, a line each.
async fn still_running(
    fleet: &Fleet,
    units: &BTreeMap<String, BTreeSet<String>>,
    found: &[Lock],
    become_root: bool,
) -> Vec<String> {
    if found.iter().all(|lock| lock.holder.is_err()) {
        return Vec::new();
    }
    let journal = match conduct::journal() {
        Ok(journal) => Some(journal),
        Err(error) => {
            report::note(&format!(
                "the journal cannot be asked which commands still run: {error:#}"
            ));
            None
        }
    };
    let hosts: BTreeSet<&String> = units.values().flatten().collect();
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for lock in found {
        let Ok(holder) = &lock.holder else { continue };
        let run = &holder.run;
        if holder.trace() == Trace::Runs {
            continue;
        }
        let mut still = Vec::new();
        // A run that is not in it, or cannot be read, is asked after like one of another controller.
        let entries = journal.as_ref().and_then(|j| j.read(run).ok());
        if let Some(entries) = entries {
            if !seen.insert((run, "")) {
                continue;
            }
            let mut told = Told::from_entries(&entries);
            told.begun.retain(|b| !b.known && hosts.contains(&b.host));
            let redactor = Redactor::default();
            told.secrets.iter().for_each(|s| redactor.add_lines(s));
            for ((host, user), list) in by_user(&told.begun) {
                match fleet.stages(&host, user.as_deref(), &list).await {
                    Ok(stages) => {
                        let running = list.iter().zip(stages);
                        let running = running.filter(|(_, stage)| *stage == Stage::Running);
                        still.extend(running.map(|(begun, _)| {
                            let task = redactor.clean(&begun.task);
                            format!("{host}: the command of \"{task}\" of run {run} still runs")
                        }));
                    }
                    Err(error) => lines.push(format!(
                        "whether a command of run {run} still runs cannot be seen: {error}"
                    )),
                }
            }
        } else if let Place::There { host, .. } = &lock.place {
            if !seen.insert((run, host)) {
                continue;
            }
            // The journal of another controller knows of which tasks they are.
            let users = [Some(None), become_root.then_some(Some("root"))];
            let mut amount = 0;
            for user in users.into_iter().flatten() {
                amount += fleet.runs_still(host, user, run).await.unwrap_or_default();
            }
            match amount {
                0 => {}
                1 => still.push(format!("{host}: a command of run {run} still runs")),
                n => still.push(format!("{host}: {n} commands of run {run} still run")),
            }
        }
        lines.extend(still.into_iter().map(|what| {
            format!(
                "{what}: `runbook resume {run}` waits for it and goes on, `runbook rollback {run}` waits for it and takes \
                 the run back; without this lock another run can come in between"
            )
        }));
    }
    lines
}

/// Shows what there is, and asks. Gives the exit code where nothing is to be removed.
fn decide(found: &[Lock], still: &[String], yes: bool, force: bool) -> Option<u8> {
    if found.is_empty() {
        report::note("nothing is locked; `-i` says which hosts are looked at");
        return Some(exit::DONE);
    }
    for lock in found {
        let place = match &lock.place {
            Place::Here(line) => format!("{}: locked on this controller", line.unit),
            Place::There { host, found, .. } => format!("{host}: locked at {}", found.place),
        };
        match &lock.holder {
            Ok(holder) => {
                let trace = match holder.trace() {
                    Trace::Runs => format!("its process {} works on this machine", holder.pid),
                    Trace::Gone => "its process is gone".to_owned(),
                    Trace::Elsewhere => {
                        "whether it works still cannot be seen from here".to_owned()
                    }
                };
                report::say(&format!("{place} by {holder}; {trace}"));
            }
            Err(what) => report::say(&format!("{place}: {what}")),
        }
    }
    for line in still {
        report::say(&format!("warning: {line}"));
    }
    let holders = found.iter().filter_map(|lock| lock.holder.as_ref().ok());
    if let Some(alive) = holders.into_iter().find(|h| h.trace() == Trace::Runs)
        && !force
    {
        report::say_error(&format!(
            "run {} still works (process {} of this machine), so nothing was removed. End it first; `--force` removes \
             its locks all the same",
            alive.run, alive.pid
        ));
        return Some(exit::LOCKED);
    }
    if yes {
        return None;
    }
    if !std::io::stdin().is_terminal() {
        report::say_error("nothing was removed: there is no terminal to ask on; `-y` does not ask");
        return Some(exit::WRONG);
    }
    if question::yes("Remove these locks? What the run has done stays as it is.") {
        return None;
    }
    report::note("Nothing was removed.");
    Some(exit::DONE)
}

async fn remove(
    controller: Option<&Controller>,
    fleet: &Fleet,
    become_root: bool,
    lock: &Lock,
) -> Result<(), String> {
    let (host, found) = match (&lock.place, controller) {
        (Place::Here(line), Some(controller)) => {
            return controller.remove(line).map(drop).map_err(|e| e.to_string());
        }
        (Place::Here(_), None) => return Ok(()),
        (Place::There { host, found, .. }, _) => (host, found),
    };
    if found.text.is_none() {
        return Err(format!(
            "{host}: what stands at {} is no lock of this program; look what it is, and remove it there",
            found.place
        ));
    }
    match fleet.unlock(host, become_root, found).await {
        Ok(()) => Ok(()),
        Err(error) => Err(format!(
            "{error}. It belongs to the user {}: log in as that user (`-u`), or become root (`-b`)",
            found.owner
        )),
    }
}

/// The run is told of it, where it stands in the journal of this project.
fn note_in_journal(lock: &Lock, by: &Holder) -> anyhow::Result<()> {
    let Ok(holder) = &lock.holder else {
        return Ok(());
    };
    let journal = conduct::journal()?;
    if journal.runs()?.iter().any(|line| line.run == holder.run) {
        let (host, unit) = match &lock.place {
            Place::Here(line) => ("", &line.unit),
            Place::There { host, unit, .. } => (host.as_str(), unit),
        };
        let record = Record::Unlocked {
            unit: unit.clone(),
            by: format!("{}@{}", by.user, by.machine),
        };
        journal.append(&holder.run, host, "", &record)?;
    }
    Ok(())
}
