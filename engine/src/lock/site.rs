//! The locks of one run: its sites, and the machines of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex as Sync, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Mutex, OnceCell};

use super::machine::{self, Took};
use super::{Blocked, Claim, Taken};
use crate::host::{HostError, Target};
use crate::run::hosts::{Fleet, Link};

/// A machine that does not answer any more is not waited for longer when the run has ended.
const RELEASE: Duration = Duration::from_secs(20);

/// Why nothing may be written.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// Another run holds a lock.
    Locked(Arc<Blocked>),
    /// The machine could not be asked, or no lock can be made there.
    Host(HostError),
}

/// A machine that this run holds.
struct Machine {
    /// The host as which it was reached.
    host: String,
    /// The sites that need it. Inventory hosts of several sites may be one machine.
    units: BTreeSet<String>,
}

/// The locks of one run.
pub struct Locks {
    claim: Claim,
    text: String,
    /// Hosts of the run by site; a host without a site is by itself.
    units: BTreeMap<String, BTreeSet<String>>,
    unit_of: HashMap<String, String>,
    controller: Sync<Option<Taken>>,
    verdicts: Sync<HashMap<String, Arc<OnceCell<Result<(), Arc<Blocked>>>>>>,
    machines: Mutex<BTreeMap<String, Machine>>,
    /// Sites on whose machines the process that this one carries on from may have left its locks.
    behind: Sync<BTreeSet<String>>,
    /// What could not be given back, by host.
    left: Sync<Vec<(String, String)>>,
}

/// What a task passes before it writes.
#[derive(Clone, Copy)]
pub struct Gate<'a> {
    /// The locks of the run.
    pub locks: &'a Locks,
    /// Its hosts.
    pub fleet: &'a Fleet,
}

fn lock<T>(mutex: &Sync<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate<'_> {
    /// Before something is written for `host` (on `on`, where that is another): all machines of its site are held, or
    /// nothing is written. A machine that a task is only delegated to, beyond the site, is not held: many sites may
    /// delegate to one.
    ///
    /// # Errors
    /// Another run holds one of them, or one cannot be asked.
    pub async fn pass(&self, host: &str, on: Option<&str>) -> Result<(), Refusal> {
        self.locks.before_write(self.fleet, host, on).await
    }
}

impl Locks {
    /// For the hosts of a run, by site; nothing is held yet but what the controller has given.
    #[must_use]
    pub fn new(claim: Claim, units: BTreeMap<String, BTreeSet<String>>, controller: Taken) -> Self {
        let unit_of = units
            .iter()
            .flat_map(|(unit, hosts)| hosts.iter().map(move |h| (h.clone(), unit.clone())))
            .collect();
        Self {
            text: claim.holder.text(),
            claim,
            units,
            unit_of,
            behind: Sync::new(controller.behind.iter().cloned().collect()),
            controller: Sync::new(Some(controller)),
            verdicts: Sync::default(),
            machines: Mutex::default(),
            left: Sync::default(),
        }
    }

    /// The run had begun something on these hosts before it was cut off: where nothing is left to do, its locks are given
    /// back all the same.
    pub fn begun_on<'a>(&self, hosts: impl Iterator<Item = &'a String>) {
        let units = hosts.filter_map(|host| self.unit_of.get(host).cloned());
        lock(&self.behind).extend(units);
    }

    async fn before_write(
        &self,
        fleet: &Fleet,
        host: &str,
        on: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some(unit) = self.unit_of.get(host) else {
            // A host that came to the run later (`add_host`) is a site of its own.
            return self.late(fleet, host, host).await;
        };
        let verdict = self.verdict(unit);
        let held = verdict.get_or_try_init(|| self.site(fleet, unit)).await;
        match held.map_err(Refusal::Host)? {
            Ok(()) => {}
            Err(blocked) => return Err(Refusal::Locked(blocked.clone())),
        }
        // A host that could not be reached when its site was locked may be there by now.
        let acting = on.unwrap_or(host);
        if self.unit_of.get(acting) == Some(unit) {
            self.late(fleet, unit, acting).await?;
        }
        Ok(())
    }

    fn verdict(&self, unit: &str) -> Arc<OnceCell<Result<(), Arc<Blocked>>>> {
        lock(&self.verdicts)
            .entry(unit.to_owned())
            .or_default()
            .clone()
    }

    async fn late(&self, fleet: &Fleet, unit: &str, host: &str) -> Result<(), Refusal> {
        let link = fleet.link(host).await.map_err(Refusal::Host)?;
        match self.hold(unit, host, &link).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(blocked)) => Err(Refusal::Locked(Arc::new(blocked))),
            Err(error) => Err(Refusal::Host(error)),
        }
    }

    /// Holds all machines of a site, or none. One that cannot be reached is left out: nothing can be done there.
    async fn site(&self, fleet: &Fleet, unit: &str) -> Result<Result<(), Arc<Blocked>>, HostError> {
        let hosts = self.units.get(unit).into_iter().flatten();
        let links = join_all(hosts.map(|host| async move { (host, fleet.link(host).await) })).await;
        let machines: BTreeMap<String, (&String, Arc<Link>)> = links
            .into_iter()
            .filter_map(|(host, link)| link.ok().map(|l| (l.machine.clone(), (host, l))))
            .collect();
        let all: Vec<_> = machines.into_values().collect();
        // From here on a lock of this run may be there, for whoever carries on from it.
        let touched = lock(&self.controller).as_ref().map(|c| c.touched(unit));
        if let Some(Err(error)) = touched {
            return Err(HostError::failed(error.to_string()));
        }
        // Of two runs that come at once from two places, the one that gets the first machine gets them all.
        let (first, rest) = all.split_at(all.len().min(1));
        let mut refused = None;
        for part in [first, rest] {
            let taken = part.iter().map(|(host, link)| self.hold(unit, host, link));
            for outcome in join_all(taken).await {
                match outcome {
                    Ok(Ok(())) => {}
                    Ok(Err(blocked)) => refused = Some(Ok(Err(Arc::new(blocked)))),
                    Err(error) => refused = refused.or(Some(Err(error))),
                }
            }
            if let Some(refused) = refused.take() {
                self.let_go(fleet, unit).await;
                return refused;
            }
        }
        Ok(Ok(()))
    }

    /// Holds one machine for a site.
    async fn hold(
        &self,
        unit: &str,
        host: &str,
        link: &Arc<Link>,
    ) -> Result<Result<(), Blocked>, HostError> {
        {
            let mut machines = self.machines.lock().await;
            if let Some(machine) = machines.get_mut(&link.machine) {
                machine.units.insert(unit.to_owned());
                return Ok(Ok(()));
            }
        }
        let target = Target::new(link.probe.clone());
        let mut took = machine::take(&target, &self.text).await?;
        if let Took::Held(found) = &took
            && let Ok(holder) = found.holder()
            && self.claim.takes_over(&holder, true)
        {
            took = machine::take_over(&target, found, &self.text).await?;
        }
        if let Took::Held(found) = took {
            return Ok(Err(Blocked {
                unit: unit.to_owned(),
                host: Some(host.to_owned()),
                holder: found.holder().map(Box::new),
            }));
        }
        // Two of its names at once are no matter: whoever holds it already takes it again.
        let mut machines = self.machines.lock().await;
        let machine = machines.entry(link.machine.clone()).or_insert(Machine {
            host: host.to_owned(),
            units: BTreeSet::new(),
        });
        machine.units.insert(unit.to_owned());
        Ok(Ok(()))
    }

    /// Gives back what was taken for a site and no other needs.
    async fn let_go(&self, fleet: &Fleet, unit: &str) {
        let mut machines = self.machines.lock().await;
        let mut free = Vec::new();
        machines.retain(|_, machine| {
            if machine.units.remove(unit) && machine.units.is_empty() {
                free.push(machine.host.clone());
                return false;
            }
            true
        });
        for host in free {
            if let Err(error) = self.release_one(fleet, &host).await {
                tracing::warn!(%error, host, "a lock stays");
            }
        }
    }

    /// The run has ended: everything is given back. Gives what could not be, a line for a person each.
    pub async fn release(&self, fleet: &Fleet) -> Vec<(String, String)> {
        self.leave_machines(fleet).await;
        drop(lock(&self.controller).take());
        std::mem::take(&mut *lock(&self.left))
    }

    /// Nothing more is written: the machines are given back before the journal says that the run has ended. Killed in
    /// between, it has not ended, and whoever goes on with it takes them again.
    pub async fn leave_machines(&self, fleet: &Fleet) {
        self.leave_behind(fleet).await;
        let held = std::mem::take(&mut *self.machines.lock().await);
        let all = held.into_values().map(|machine| async move {
            let host = machine.host;
            let error = self.release_one(fleet, &host).await.err()?;
            let units: Vec<String> = machine.units.into_iter().collect();
            let message = format!(
                "the lock of this run stays there ({error}); `runbook unlock {}` removes it",
                units.join(" ")
            );
            Some((host, message))
        });
        let left: Vec<_> = join_all(all).await.into_iter().flatten().collect();
        lock(&self.left).extend(left);
    }

    /// Removes the locks of the process that this one carries on from, at sites where this one had nothing to do.
    async fn leave_behind(&self, fleet: &Fleet) {
        let behind = std::mem::take(&mut *lock(&self.behind));
        let held: BTreeSet<String> = {
            let machines = self.machines.lock().await;
            machines.values().flat_map(|m| m.units.clone()).collect()
        };
        let hosts = behind.difference(&held);
        let hosts = hosts.flat_map(|unit| self.units.get(unit).into_iter().flatten());
        let all = hosts.map(|host| async move {
            let remove = async {
                let link = fleet.link(host).await?;
                let Some(found) = machine::look(&link.probe).await? else {
                    return Ok(());
                };
                let ours = found.holder().is_ok_and(|h| self.claim.takes_over(&h, true));
                if let (Some(text), true) = (&found.text, ours) {
                    machine::remove(&Target::new(link.probe.clone()), text).await?;
                }
                Ok::<_, HostError>(())
            };
            let error = in_time(host, remove).await.err()?;
            let message = format!(
                "whether a lock of this run stays there cannot be seen ({error}); `runbook unlock {host}` removes it"
            );
            Some((host.clone(), message))
        });
        let left: Vec<_> = join_all(all).await.into_iter().flatten().collect();
        lock(&self.left).extend(left);
    }

    async fn release_one(&self, fleet: &Fleet, host: &str) -> Result<(), HostError> {
        let remove = async {
            let link = fleet.link(host).await?;
            machine::remove(&Target::new(link.probe.clone()), &self.text).await
        };
        in_time(host, remove).await.map(drop)
    }
}

/// What is asked of a machine at the end of a run, which waits no longer than [`RELEASE`] for it.
async fn in_time<T>(
    host: &str,
    asked: impl Future<Output = Result<T, HostError>>,
) -> Result<T, HostError> {
    let late = |_| HostError::unreachable(format!("{host} does not answer"));
    tokio::time::timeout(RELEASE, asked).await.map_err(late)?
}
