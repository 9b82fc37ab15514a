//! Commands of the run that still run when it is to be taken back: they are waited for, and their folders go.

use std::time::Duration;

use super::steps::Step;
use super::walk::{Course, lock};
use crate::host::HostError;
use crate::journal::NodeStatus;
use crate::lock::Refusal;
use crate::run::event::Event;
use crate::run::flight::{Begun, Stage, by_user};
use crate::run::settle::{Settled, host_failure};
use crate::run::walk::Way;

/// Pause between two questions whether a command has ended.
const PAUSE: Duration = Duration::from_secs(1);

/// How a command was found when the rollback came to its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It runs, and a rollback would wait for it.
    Runs,
    /// It ran, and has been waited for.
    Awaited,
    /// It has not begun, and cannot any more.
    Unbegun,
    /// It is gone without a result.
    Lost,
}

impl Course<'_> {
    /// Waits for the commands of the run at a site, and removes their folders; a check only looks. `Err`: it cannot be
    /// seen whether they run.
    pub(super) async fn wait(&self, site: &str) -> Result<(), Box<Settled>> {
        let rollback = self.rollback;
        let shared = &rollback.shared;
        let hosts = &rollback.choice.hosts;
        let here: Vec<Begun> = rollback
            .begun
            .iter()
            .filter(|b| rollback.site_of(&b.host) == site)
            .filter(|b| hosts.is_empty() || hosts.contains(&b.host))
            .cloned()
            .collect();
        for ((host, user), mut list) in by_user(&here) {
            let user = user.as_deref();
            let failure = |error: HostError| Box::new(host_failure(&error));
            let stages = shared.fleet.stages(&host, user, &list).await;
            let stages = stages.map_err(failure)?;
            self.note(&list, &stages);
            if !matches!(self.way, Way::Apply(_)) || stages.iter().all(|s| *s == Stage::Absent) {
                continue;
            }
            self.pass(&list).await?;
            let mut waits = stages.contains(&Stage::Running);
            while !shared.interrupted() {
                let stages = shared.fleet.sweep(&host, user, &list).await;
                let stages = stages.map_err(failure)?;
                self.note(&list, &stages);
                let mut stages = stages.into_iter();
                list.retain(|_| stages.next() == Some(Stage::Running));
                if list.is_empty() {
                    break;
                }
                waits = true;
                tokio::time::sleep(PAUSE).await;
            }
            if waits && let Ok(link) = shared.fleet.link(&host).await {
                // It was at work meanwhile.
                lock(&link.base).forget_all();
            }
        }
        Ok(())
    }

    /// The locks, before anything is removed where these were begun.
    async fn pass(&self, list: &[Begun]) -> Result<(), Box<Settled>> {
        let (Some(gate), Some(one)) = (self.rollback.shared.gate(), list.first()) else {
            return Ok(());
        };
        let passed = gate.pass(&one.host, one.on.as_deref()).await;
        passed.map_err(|refusal| {
            Box::new(match refusal {
                Refusal::Locked(by) => Settled {
                    status: Some(NodeStatus::Locked),
                    message: Some(by.to_string()),
                    ..Settled::default()
                },
                Refusal::Host(error) => host_failure(&error),
            })
        })
    }

    /// Remembers how they stand, and says which of them still run, each once.
    fn note(&self, list: &[Begun], stages: &[Stage]) {
        let mut found = lock(&self.found);
        for (begun, stage) in list.iter().zip(stages).filter(|(begun, _)| !begun.known) {
            let place = (begun.host.clone(), begun.node.clone());
            let now = match stage {
                Stage::Running => Found::Runs,
                Stage::Ended if found.get(&place) == Some(&Found::Runs) => Found::Awaited,
                Stage::Unbegun => Found::Unbegun,
                Stage::Lost => Found::Lost,
                Stage::Ended | Stage::Absent => continue,
            };
            if found.insert(place, now) == Some(now) || now != Found::Runs {
                continue;
            }
            let waits = match self.way {
                Way::Apply(_) => "this waits for its end before anything is taken back here",
                _ => "a rollback waits for its end before it takes back anything here",
            };
            let task = self.rollback.shared.told(&begun.task);
            self.sink.event(Event::Warning {
                host: Some(begun.acting().to_owned()),
                message: format!("the command of \"{task}\" is still running; {waits}"),
            });
        }
    }

    /// What is to be said of a step that called a command.
    pub(super) fn what_became_of(&self, step: &Step) -> &'static str {
        let place = (step.host.clone(), step.node.clone());
        match lock(&self.found).get(&place) {
            None => "it ran, and what it did stays",
            Some(Found::Runs) => "still running, and what it does stays",
            Some(Found::Awaited) => "it ran until now, and what it did stays",
            Some(Found::Unbegun) => "it had not begun, and does not any more",
            Some(Found::Lost) => {
                "it was cut off, how far it came is not known, and what it did stays"
            }
        }
    }
}
