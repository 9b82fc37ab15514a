//! `on_fail: rollback`: where a play fails on a host or site, what it did there is taken back at once.
//!
//! It is done by the same steps as `runbook rollback`, as a run of its own that stands in the journal, within the run
//! that has failed and under its locks. What came before a point of no return stays, and is named.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::{Event, now};
use super::job::Job as _;
use super::machine::Sight;
use super::settle::Stopped;
use super::walk::{Here, Walk, Way};
use crate::compile::program::Program;
use crate::journal::{ChangeRecord, NodeStatus, Record};
use crate::resource::{Ref, Reversible};
use crate::rollback::{Choice, Did, Handlers, Remaining, Rollback, Step, Told};
use crate::world::{Known, Lookup as _};

impl Walk {
    /// The play has come to its end on these hosts. Where it failed and says so, what it did is taken back: on the whole
    /// site, or on each host that failed.
    pub(super) async fn on_fail(&self, here: &Here) -> Result<(), Stopped> {
        let (Way::Apply(journal), Some(play)) = (&self.way, &self.play) else {
            return Ok(());
        };
        let failed = |host: &&String| {
            let out = self.states.with(host, |s| s.out);
            matches!(out, Some(NodeStatus::Failed | NodeStatus::Unreachable))
        };
        let out: Vec<String> = here.group.hosts.iter().filter(failed).cloned().collect();
        if !play.goes_back || out.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        if shared.interrupted() {
            self.sink.event(Event::Warning {
                host: None,
                message: format!(
                    "\"{}\" has failed on {}, and is not taken back, since the run was interrupted: `runbook rollback {}` \
                     does it",
                    play.name,
                    out.join(", "),
                    shared.run
                ),
            });
            return Ok(());
        }
        let hosts = if here.fatal {
            here.group.hosts.clone()
        } else {
            out
        };
        let told = Told::from_entries(&journal.read(&shared.run)?);
        let of_play = format!("{}/", play.path);
        let steps: Vec<Step> = told
            .steps
            .iter()
            .filter(|step| hosts.contains(&step.host) && step.node.starts_with(&of_play))
            .cloned()
            .collect();
        let (steps, mut left) = self.before_no_return(steps).await;
        if steps.is_empty() && left.is_empty() {
            return Ok(());
        }
        let back = Arc::new(shared.for_the_way_back());
        let run = back.run.clone();
        self.sink.event(Event::RollbackStarted {
            run: run.clone(),
            takes_back: shared.run.clone(),
            play: play.name.clone(),
            hosts: hosts.clone(),
            at: now(),
        });
        if !steps.is_empty() {
            let told_of = Arc::new(Remaining::telling(self.sink.clone()));
            let started = Record::RunStarted {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                playbooks: told.playbooks.clone(),
                inventory: told.inventory.clone(),
                call: Vec::new(),
                asked: serde_json::Value::Null,
                began: back.started.clone(),
                files: told.files.clone(),
                takes_back: Some(shared.run.clone()),
            };
            let program = Program {
                plays: vec![play.clone()],
            };
            let all: Vec<Step> = steps.clone();
            let rollback = Rollback {
                shared: back,
                of: shared.run.clone(),
                steps,
                choice: Choice::default(),
                earlier: Vec::new(),
                begun: told
                    .begun
                    .into_iter()
                    .filter(|b| !b.known && hosts.contains(&b.host))
                    .collect(),
                handlers: Handlers {
                    program: Some(Arc::new(program)),
                    notified: told.notified,
                },
            };
            rollback
                .apply(journal.clone(), started, told_of.clone())
                .await?;
            left.splice(0..0, told_of.left(&all));
        }
        self.sink.event(Event::RollbackFinished {
            run,
            takes_back: shared.run.clone(),
            play: Some(play.name.clone()),
            hosts,
            left,
            at: now(),
        });
        Ok(())
    }

    /// Without what stands before a point of no return that was crossed; and what stays therefore, a line each.
    async fn before_no_return(&self, steps: Vec<Step>) -> (Vec<Step>, Vec<String>) {
        let unit_of = |step: &Step| {
            let site = self.shared.hosts.sites.get(&step.host);
            site.unwrap_or(&step.host).clone()
        };
        let mut crossed: BTreeMap<String, String> = BTreeMap::new();
        let (mut goes, mut stays) = (Vec::new(), Vec::new());
        for step in steps {
            let unit = unit_of(&step);
            if let Some(task) = crossed.get(&unit) {
                stays.push(format!(
                    "{}: {}: stays, since it came before \"{task}\"",
                    step.host, step.task
                ));
                continue;
            }
            match self.crossed(&step).await {
                Some((key, why)) => {
                    stays.push(format!(
                        "{}: {}: cannot be taken back: {key}: {why}",
                        step.host, step.task
                    ));
                    crossed.insert(unit, step.task.clone());
                }
                None => goes.push(step),
            }
        }
        (goes, stays)
    }

    /// What of a step cannot be taken back, if it was done: a task that failed may have left everything as it was.
    async fn crossed(&self, step: &Step) -> Option<(Ref, String)> {
        let Did::Changes(changes) = &step.did else {
            return None;
        };
        let never = |change: &&ChangeRecord| matches!(change.reversible, Reversible::Never(_));
        for change in changes.iter().filter(never) {
            if !self.is_as_before(step, change).await
                && let Reversible::Never(why) = &change.reversible
            {
                return Some((change.key.clone(), why.clone()));
            }
        }
        None
    }

    /// Is the resource as it was before this change? Not, where that cannot be read.
    async fn is_as_before(&self, step: &Step, change: &ChangeRecord) -> bool {
        let shared = &self.shared;
        let host = step.on.as_deref().unwrap_or(&step.host);
        let Some(kind) = shared.registry.find_kind(&change.key.kind) else {
            return false;
        };
        let Ok(link) = shared.fleet.link(host).await else {
            return false;
        };
        let user = link.user(step.user.as_deref());
        let probe = link.probe.with_user(user.clone());
        let (base, seer) = (Arc::default(), link.seer(user));
        let sight = Sight::new(shared.registry.clone(), base, None, seer);
        let keys = std::slice::from_ref(&change.key);
        if sight.read(&probe, keys).await.is_err() {
            return false;
        }
        let Some(Known::State(now)) = sight.lookup(&change.key) else {
            return false;
        };
        let missing = |state| kind.differences(&change.want, state);
        matches!((missing(&now), missing(&change.from)), (Ok(now), Ok(then)) if now == then)
    }
}
