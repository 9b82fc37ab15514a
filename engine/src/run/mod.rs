//! Predicts what a program would do, and does it.

pub mod before;
pub mod collect;
pub mod diff;
pub mod event;
pub mod frame;
pub mod hosts;
pub mod include;
pub mod local;
pub mod machine;
pub mod parallel;
pub mod redact;
pub mod settle;
pub mod shared;
pub mod state;
pub mod task;
pub mod walk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::join_all;

use self::event::{Event, Silence, Sink, TaskReport, now};
use self::hosts::Overlays;
use self::machine::Sight;
use self::settle::Stopped;
use self::shared::Shared;
use self::state::States;
use self::walk::{Walk, Way};
use crate::compile::program::Program;
use crate::journal::{Journal, NodeStatus, Record, RunSummary};

/// How often states that only the answers before made known are gathered before the walk itself asks one by one.
const GATHERINGS: usize = 3;

/// Exit codes of the command (`docs/exit-codes.md`).
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// The playbook or the call is wrong; nothing was touched.
    pub const WRONG: u8 = 1;
    /// A task failed.
    pub const FAILED: u8 = 2;
    /// With `--detailed-exitcode`: something was, or would be, changed.
    pub const CHANGED: u8 = 3;
    /// A host could not be reached.
    pub const UNREACHABLE: u8 = 4;
    /// Drift: a host is no longer as the plan found it.
    pub const DRIFT: u8 = 5;
    /// Another run holds the lock.
    pub const LOCKED: u8 = 6;
    /// Interrupted.
    pub const INTERRUPTED: u8 = 130;
}

/// A prediction of a whole program.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// How each task would go, in the order in which they were predicted.
    pub tasks: Vec<TaskReport>,
    /// Warnings on the way.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Where another prediction of the same program differs, one line each: a host has changed in between.
    #[must_use]
    pub fn drift(&self, now: &Plan) -> Vec<String> {
        let mut lines = Vec::new();
        let key = |t: &TaskReport| t.node.clone();
        let before: BTreeMap<String, &TaskReport> =
            self.tasks.iter().map(|t| (key(t), t)).collect();
        let after: BTreeMap<String, &TaskReport> = now.tasks.iter().map(|t| (key(t), t)).collect();
        for (node, task) in &after {
            let same = before
                .get(node)
                .is_some_and(|was| was.status == task.status && was.diff == task.diff);
            if !same {
                let told = |task: &TaskReport| {
                    let mut text = task.status.word().to_owned();
                    if !task.changes.is_empty() {
                        text.push_str(&format!(" ({})", task.changes.join("; ")));
                    }
                    text
                };
                let was = before
                    .get(node)
                    .map_or("not there".to_owned(), |was| told(was));
                let mut is = told(task);
                if was == is {
                    is.push_str(", to other content");
                }
                lines.push(format!(
                    "{}: {} was {was}, is now {is}",
                    task.host, task.task
                ));
            }
        }
        for (node, task) in &before {
            if !after.contains_key(node) {
                lines.push(format!(
                    "{}: {} is no longer part of it",
                    task.host, task.task
                ));
            }
        }
        lines
    }
}

/// Tasks by host and status.
pub type Tally = BTreeMap<String, BTreeMap<NodeStatus, u32>>;

/// A program with everything that running it needs.
pub struct Runner {
    /// What all walks share.
    pub shared: Arc<Shared>,
    /// What is to be done.
    pub program: Arc<Program>,
}

impl Runner {
    /// A runner.
    #[must_use]
    pub fn new(shared: Arc<Shared>, program: Arc<Program>) -> Self {
        Self { shared, program }
    }

    fn walk(&self, way: Way, sink: Arc<dyn Sink>) -> Walk {
        Walk {
            shared: self.shared.clone(),
            way,
            states: States::default(),
            overlays: Arc::new(Overlays::default()),
            sink,
            lookahead: Arc::default(),
            play: None,
        }
    }

    /// Reads together what is known beforehand to be needed: a few batches for the whole program instead of one for
    /// each task.
    pub async fn gather(&self) -> Result<(), Stopped> {
        for _ in 0..GATHERINGS {
            let needs = Arc::new(Mutex::new(BTreeMap::new()));
            self.walk(Way::Gather(needs.clone()), Arc::new(Silence))
                .program(&self.program)
                .await?;
            let needs = std::mem::take(
                &mut *needs
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
            );
            let mut asked = false;
            let reads = needs.into_iter().filter(|(_, keys)| !keys.is_empty()).map(
                |((host, user), keys)| {
                    asked = true;
                    async move {
                        // An early read that fails matters only when its task comes.
                        if let Ok(link) = self.shared.fleet.link(&host).await {
                            let sight = Sight::new(
                                self.shared.registry.clone(),
                                link.base.clone(),
                                None,
                                user,
                            );
                            let _ = sight.read(&link.probe, &keys).await;
                        }
                    }
                },
            );
            join_all(reads.collect::<Vec<_>>()).await;
            if !asked {
                break;
            }
        }
        Ok(())
    }

    /// Predicts the whole program. Nothing can be written: no target exists.
    pub async fn plan(&self) -> Result<Plan, Stopped> {
        self.gather().await?;
        let collected = Arc::new(Collected::default());
        self.walk(Way::Predict, collected.clone())
            .program(&self.program)
            .await?;
        Ok(collected.take())
    }

    /// The prediction, told as events (`--check`).
    pub async fn check(&self, sink: Arc<dyn Sink>) -> Result<Tally, Stopped> {
        self.gather().await?;
        let counted = Arc::new(Counted {
            tally: Mutex::default(),
            to: sink,
        });
        self.walk(Way::Predict, counted.clone())
            .program(&self.program)
            .await?;
        Ok(counted.take())
    }

    /// Does it.
    pub async fn apply(
        &self,
        journal: Arc<Journal>,
        started: Record,
        sink: Arc<dyn Sink>,
    ) -> Result<Tally, Stopped> {
        let run = self.shared.run.clone();
        journal.append(&run, "", "", &started)?;
        self.gather().await?;
        let counted = Arc::new(Counted {
            tally: Mutex::default(),
            to: sink,
        });
        let outcome = self
            .walk(Way::Apply(journal.clone()), counted.clone())
            .program(&self.program)
            .await;
        let tally = counted.take();
        outcome?;
        let hosts = tally.iter().map(|(host, by)| {
            (
                host.clone(),
                by.iter()
                    .map(|(status, n)| (status.word().to_owned(), *n))
                    .collect(),
            )
        });
        let summary = RunSummary {
            hosts: hosts.collect(),
            interrupted: self.shared.interrupted(),
        };
        journal.append(&run, "", "", &Record::RunFinished { summary })?;
        Ok(tally)
    }

    /// What connections have to say, as warnings; to be told before the last event.
    #[must_use]
    pub fn warnings(&self) -> Vec<Event> {
        let notes = self.shared.fleet.notes().into_iter();
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
    #[must_use]
    pub fn finished(&self, tally: &Tally, run: Option<String>, exit_code: u8) -> Event {
        let costs = self.shared.fleet.costs();
        Event::RunFinished {
            run,
            hosts: tally.clone(),
            costs: costs
                .into_iter()
                .map(|(host, cost)| (host, cost.into()))
                .collect(),
            kept: self.shared.kept_count(),
            interrupted: self.shared.interrupted(),
            exit_code,
            at: now(),
        }
    }

    /// The exit code that a tally asks for.
    #[must_use]
    pub fn exit_code(&self, tally: &Tally, detailed: bool) -> u8 {
        let any = |status: NodeStatus| tally.values().any(|by| by.contains_key(&status));
        let changes = [
            NodeStatus::Changed,
            NodeStatus::Unknown,
            NodeStatus::Conditional,
        ];
        if self.shared.interrupted() {
            exit::INTERRUPTED
        } else if any(NodeStatus::Failed) {
            exit::FAILED
        } else if any(NodeStatus::Unreachable) {
            exit::UNREACHABLE
        } else if detailed && changes.into_iter().any(any) {
            exit::CHANGED
        } else {
            exit::DONE
        }
    }
}

/// Keeps the reports of a prediction.
#[derive(Default)]
struct Collected(Mutex<Plan>);

impl Collected {
    fn take(&self) -> Plan {
        std::mem::take(
            &mut *self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

impl Sink for Collected {
    fn event(&self, event: Event) {
        let mut plan = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::TaskFinished(report) => plan.tasks.push(*report),
            Event::Warning { message, .. } => plan.warnings.push(message),
            _ => {}
        }
    }
}

/// Counts what passes through.
struct Counted {
    tally: Mutex<Tally>,
    to: Arc<dyn Sink>,
}

impl Counted {
    fn take(&self) -> Tally {
        std::mem::take(
            &mut *self
                .tally
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

impl Sink for Counted {
    fn event(&self, event: Event) {
        if let Event::TaskFinished(report) = &event {
            let mut tally = self
                .tally
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
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
        self.to.event(event);
    }
}
