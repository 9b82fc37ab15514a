//! What a prediction says of one task: the states that it will leave, and what is unknown after it.

use std::sync::{Arc, Mutex};

use serde_json::Value as Json;

use super::machine::{Overlay, Sight};
use super::settle::{Reach, Settle, Settled, Way, host_failure, lock, take_outcome};
use crate::action::{ActionCall, Effects};
use crate::journal::NodeStatus;
use crate::module::{Footprint, Left, Mark};
use crate::registry::AnyAction;
use crate::resource::Ref;
use crate::world::Known;

impl Settle<'_> {
    /// Changes from one state of a resource to another, put over what was read.
    pub(super) fn predict<'a>(
        &self,
        overlay: &Arc<Mutex<Overlay>>,
        changes: impl Iterator<Item = (&'a Ref, &'a Json, &'a Json)>,
    ) {
        let mut overlay = lock(overlay);
        for (key, from, to) in changes {
            overlay.change(
                &self.shared.registry,
                key,
                Some(from.clone()),
                Known::State(to.clone()),
                self.task,
            );
        }
    }

    /// What may be written, or may not.
    pub(super) fn may_be<'a>(
        &self,
        overlay: &Arc<Mutex<Overlay>>,
        keys: impl Iterator<Item = &'a Ref>,
    ) {
        let mark = |key: &Ref| Mark {
            kind: key.kind.clone(),
            id: key.id.clone(),
        };
        let marks: Vec<Mark> = keys.map(mark).collect();
        self.stirred(overlay, &marks);
    }

    /// Only the run can tell what these are after the task.
    pub(super) fn stirred(&self, overlay: &Arc<Mutex<Overlay>>, marks: &[Mark]) {
        let until = format!("until \"{}\"", self.task);
        let mut overlay = lock(overlay);
        for mark in marks {
            overlay.unknown(&self.shared.registry, mark, &until, self.task);
        }
    }

    /// What an action will do, as far as that is known, and what it leaves or may change. `marks`: the places that it says
    /// it changes, under all their names.
    pub(super) async fn predict_action(
        &self,
        (call, leaves): (&ActionCall, &[Left]),
        kind: &dyn AnyAction,
        reach: &Reach,
        overlay: &Arc<Mutex<Overlay>>,
        marks: Vec<Mark>,
        settled: &mut Settled,
    ) {
        let until = format!("until \"{}\"", self.task);
        let done = match call.changes {
            true => NodeStatus::Changed,
            false => NodeStatus::Ok,
        };
        match &call.effects {
            Effects::Nothing => {
                // What it would see may be changed by a task before it: then only the run can tell.
                let untouched = lock(overlay).is_untouched();
                let told = kind.foretold(&call.call);
                let answer = match &reach.probe {
                    _ if told.is_some() => Ok(told),
                    Some(probe) if untouched => {
                        kind.probe(&probe.with_user(reach.user.user.clone()), &call.call)
                            .await
                    }
                    _ => Ok(None),
                };
                match answer {
                    Ok(Some(outcome)) => take_outcome(outcome, settled),
                    Ok(None) if call.changes => {
                        settled.predicted_action = true;
                        settled.status = Some(NodeStatus::Changed);
                    }
                    Ok(None) => {
                        settled.status = Some(NodeStatus::Unknown);
                        settled.message.get_or_insert_with(|| until.clone());
                    }
                    Err(e) => *settled = host_failure(&e),
                }
            }
            Effects::Changes(_) | Effects::Creates(_) => {
                settled.predicted_action = true;
                settled.status = Some(done);
                let is_left = |m: &Mark| {
                    leaves
                        .iter()
                        .any(|l| l.key.kind == m.kind && l.key.id == m.id)
                };
                for mark in marks.iter().filter(|mark| !is_left(mark)) {
                    lock(overlay).unknown(&self.shared.registry, mark, &until, self.task);
                }
                self.predict(overlay, leaves.iter().map(|l| (&l.key, &l.from, &l.to)));
                if matches!(call.effects, Effects::Creates(_)) {
                    settled.assumptions.push(format!(
                        "\"{}\" changes nothing but what `creates` or `removes` names",
                        self.task
                    ));
                }
            }
            Effects::Opaque => {
                settled.predicted_action = true;
                settled.status = Some(done);
                lock(overlay).opaque(&until);
            }
        }
    }

    /// As [`Self::spread`], also where the places lie under other names, as far as the host tells.
    pub async fn spread_everywhere(
        &self,
        reach: &Reach,
        way: &Way,
        mut footprint: Footprint,
        why: &str,
    ) {
        let sight = self.sight(reach, way);
        let writes = std::mem::take(&mut footprint.writes);
        footprint.writes = self.everywhere(reach, way, &sight, writes).await;
        self.spread(way, &footprint, why);
    }

    /// In a prediction, what a task of unknown outcome may write is unknown after it.
    fn spread(&self, way: &Way, footprint: &Footprint, why: &str) {
        let Way::Predict(overlay) = way else { return };
        let mut overlay = lock(overlay);
        if footprint.everything
            || footprint
                .writes
                .iter()
                .any(|m| m.kind == "*" || m.id == "*")
        {
            overlay.opaque(why);
            return;
        }
        for mark in &footprint.writes {
            overlay.unknown(&self.shared.registry, mark, why, self.task);
        }
    }

    /// These places, and where they lie under other names, as far as the host tells: a link may lead to them.
    pub(super) async fn everywhere(
        &self,
        reach: &Reach,
        way: &Way,
        sight: &Sight,
        mut marks: Vec<Mark>,
    ) -> Vec<Mark> {
        let missing = sight.places_to_read(&marks);
        match way {
            Way::Gather(needs, _) => lock(needs).extend(missing),
            _ => {
                if let (Some(probe), false) = (&reach.probe, missing.is_empty()) {
                    // Who does not answer now is asked again by the next task, and says so there.
                    let _ = sight.read(probe, &missing).await;
                }
            }
        }
        marks.extend(sight.elsewhere(&marks));
        marks
    }
}
