//! Something that can be predicted and then done: a program, or the way back of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::copies::{self, CopyError};
use super::event::{Event, Sink, now};
use super::exit;
use super::plan::{Collected, Plan};
use super::settle::Stopped;
use super::shared::Shared;
use crate::journal::{Entry, Journal, NodeStatus, Record, RunSummary};

/// Tasks by host and status.
pub type Tally = BTreeMap<String, BTreeMap<NodeStatus, u32>>;

/// A job on the hosts of one run.
#[async_trait]
pub trait Job: Send + Sync {
    /// What its walks share.
    fn shared(&self) -> &Arc<Shared>;

    /// The hosts that it is for.
    fn hosts(&self) -> BTreeSet<String>;

    /// Tells how it would go. Nothing can be written: no target exists.
    async fn predict(&self, sink: Arc<dyn Sink>) -> Result<(), Stopped>;

    /// Does it; every change stands in the journal before it is made.
    async fn carry_out(&self, journal: Arc<Journal>, sink: Arc<dyn Sink>) -> Result<(), Stopped>;

    /// Its prediction as a whole, with what it rests on.
    async fn plan(&self) -> Result<Plan, Stopped> {
        self.shared().bind();
        let collected = Arc::new(Collected::default());
        self.predict(collected.clone()).await?;
        Ok(collected.take())
    }

    /// Its prediction, told as events (`--check`).
    async fn check(&self, sink: Arc<dyn Sink>) -> Result<Tally, Stopped> {
        let counted = Arc::new(Counted::telling(self.shared(), sink));
        self.predict(counted.clone()).await?;
        Ok(counted.take())
    }

    /// Does it as a run, which `begins` with a record of its start, or of its going on.
    async fn apply(
        &self,
        journal: Arc<Journal>,
        begins: Record,
        sink: Arc<dyn Sink>,
    ) -> Result<Tally, Stopped> {
        let run = self.shared().run.clone();
        let redactor = self.shared().redactor.clone();
        journal.name_secrets(move |text| redactor.within(text));
        journal.append(&run, "", "", &begins)?;
        let counted = Arc::new(Counted::telling(self.shared(), sink));
        self.carry_out(journal.clone(), counted.clone()).await?;
        if let Some(past) = &self.shared().past {
            for ((host, user), folders) in past.folders() {
                // A host that is gone keeps them; they hold what its own user may see anyway.
                if let Ok(link) = self.shared().fleet.link(host).await {
                    link.collected(user.as_deref(), folders);
                }
            }
        }
        // Who goes on from a copy must find there what came of commands whose folders are gone.
        if self.shared().fleet.is_untidy() {
            let hosts = self.shared().copies.hosts();
            let brought = hosts
                .iter()
                .map(|host| self.shared().copy_journal(&journal, host));
            for outcome in futures::future::join_all(brought).await {
                match outcome {
                    Ok(()) => {}
                    Err(CopyError::Journal(error)) => return Err(error.into()),
                    // One that is gone now was told of when it went.
                    Err(CopyError::Host(_)) => {}
                }
            }
        }
        // Once the end of the run is in the journal nobody comes back for it.
        self.shared().fleet.tidy().await;
        if let Some(locks) = self.shared().locks().filter(|_| !self.shared().is_back()) {
            locks.leave_machines(&self.shared().fleet).await;
        }
        let tally = counted.take();
        let hosts = tally.iter().map(|(host, by)| {
            let words = by.iter().map(|(status, n)| (status.word().to_owned(), *n));
            (host.clone(), words.collect())
        });
        let summary = RunSummary {
            hosts: hosts.collect(),
            interrupted: self.shared().interrupted(),
        };
        // This machine goes on with it, if anybody does: the copies have served their purpose.
        let entries = journal.read(&run)?;
        let hosts: BTreeSet<String> = entries.iter().filter_map(Entry::acts_on).collect();
        copies::remove(&self.shared().fleet, &run, hosts).await;
        journal.append(&run, "", "", &Record::RunFinished { summary })?;
        Ok(tally)
    }

    /// What connections have to say, as warnings; to be told before the last event.
    fn warnings(&self) -> Vec<Event> {
        let notes = self.shared().fleet.notes().into_iter();
        notes
            .flat_map(|(host, notes)| {
                notes.into_iter().map(move |message| Event::Warning {
                    host: Some(host.clone()),
                    message,
                })
            })
            .collect()
    }

    /// The last event.
    fn finished(&self, tally: &Tally, run: Option<String>, exit_code: u8) -> Event {
        let shared = self.shared();
        let costs = shared.fleet.costs();
        Event::RunFinished {
            run,
            hosts: tally.clone(),
            costs: costs
                .into_iter()
                .map(|(host, cost)| (host, cost.into()))
                .collect(),
            kept: shared.kept_count(),
            down: shared.down(),
            interrupted: shared.interrupted(),
            exit_code,
            at: now(),
        }
    }

    /// The exit code that a tally asks for.
    fn exit_code(&self, tally: &Tally, detailed: bool) -> u8 {
        let count = |status: NodeStatus| -> u32 {
            let of_hosts = tally.values().filter_map(|by| by.get(&status));
            of_hosts.sum()
        };
        let any = |status: NodeStatus| count(status) > 0;
        let drifted = self.shared().drifted();
        let changes = [
            NodeStatus::Changed,
            NodeStatus::Unknown,
            NodeStatus::Conditional,
        ];
        if self.shared().interrupted() {
            exit::INTERRUPTED
        } else if count(NodeStatus::Failed) > drifted {
            exit::FAILED
        } else if any(NodeStatus::Unreachable) {
            exit::UNREACHABLE
        } else if any(NodeStatus::Locked) {
            exit::LOCKED
        } else if drifted > 0 || self.shared().has_left() {
            exit::DRIFT
        } else if detailed && changes.into_iter().any(any) {
            exit::CHANGED
        } else {
            exit::DONE
        }
    }
}

/// Counts what passes through.
struct Counted {
    tally: Mutex<Tally>,
    /// Hosts on which what was done is just being taken back: that counts in a run of its own.
    back: Mutex<BTreeSet<String>>,
    shared: Arc<Shared>,
    to: Arc<dyn Sink>,
}

impl Counted {
    fn telling(shared: &Arc<Shared>, to: Arc<dyn Sink>) -> Self {
        Self {
            tally: Mutex::default(),
            back: Mutex::default(),
            shared: shared.clone(),
            to,
        }
    }

    fn back(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_going_back(&self, host: &str) -> bool {
        self.back().contains(host)
    }

    fn take(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Counted {
    fn event(&self, event: Event) {
        if let Event::TaskFinished(report) = &event
            && !self.is_going_back(&report.host)
        {
            if report.drifted {
                self.shared.drift();
            }
            if report.left {
                self.shared.leave();
            }
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            // An ignored failure does not make the run fail.
            let status = if report.ignored {
                NodeStatus::Ok
            } else {
                report.status
            };
            *tally
                .entry(report.host.clone())
                .or_default()
                .entry(status)
                .or_default() += 1;
        }
        match &event {
            Event::RollbackStarted { hosts, .. } => self.back().extend(hosts.iter().cloned()),
            Event::RollbackFinished { hosts, .. } => self.back().retain(|h| !hosts.contains(h)),
            _ => {}
        }
        self.to.event(event);
    }
}
