//! What a prediction says of a machine, over what was read from it.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::module::Mark;
use crate::registry::Registry;
use crate::resource::{Names, Ref, Shadow, contains};
use crate::world::{Known, Predicted, PredictedChange};

/// What a prediction has put over the states that were read.
#[derive(Default, Clone)]
pub struct Overlay {
    pub(super) states: HashMap<Ref, Known>,
    pub(super) changes: Vec<PredictedChange>,
    /// Everything that is not in `states` is unknown since this.
    pub(super) opaque: Option<String>,
}

impl Overlay {
    /// A predicted change.
    pub fn change(
        &mut self,
        registry: &Registry,
        key: &Ref,
        from: Option<Json>,
        to: Known,
        task: &str,
    ) {
        if !registry.predicts(&key.kind) {
            return;
        }
        let kind_of = |k: &Ref| registry.find_kind(&k.kind).cloned();
        let known_to = match &to {
            Known::State(state) => Some(state.clone()),
            _ => None,
        };
        self.changes.push(PredictedChange {
            key: key.clone(),
            from,
            to: known_to,
            task: task.to_owned(),
        });
        // What was predicted of a directory, or of an entry, holds though something below it changes; and what was
        // predicted of a network holds though a container leaves it. To look at the host again would show what was.
        let world = Predicted {
            changes: &self.changes,
        };
        self.states.retain(|k, _| {
            let Some(kind) = kind_of(k) else {
                return true;
            };
            let stays = || match k.kind == key.kind {
                true => contains(&k.id, &key.id),
                false => matches!(
                    kind.predicted(k, &world),
                    Shadow::AsRead | Shadow::Assuming(_)
                ),
            };
            k == key || !kind.touched_by(k, key) || stays()
        });
        self.states.insert(key.clone(), to);
        self.tell_other_names(registry);
    }

    /// What the last change did to a thing is seen under its other names.
    fn tell_other_names(&mut self, registry: &Registry) {
        let Some(last) = self.changes.last() else {
            return;
        };
        let kind = registry.find_kind(&last.key.kind);
        let Some(names) = kind.and_then(|kind| kind.names()) else {
            return;
        };
        for (key, known) in &mut self.states {
            if let Known::State(state) = &*known
                && let Some(told) = told_under(&names, key, state, last)
            {
                *known = told;
            }
        }
    }

    /// What was predicted of a thing under other names than `key`, of which only `read` is known, the state on the host.
    pub(super) fn under_other_name(
        &self,
        registry: &Registry,
        key: &Ref,
        read: &Json,
    ) -> Option<Known> {
        told_since(registry, key, read, &self.changes)
    }

    /// A state that the changes of `key` itself, or of what it lies in, leave, with what was done to the thing under its
    /// other names since then.
    pub(super) fn retold(&self, registry: &Registry, key: &Ref, state: Json) -> Known {
        let own = self.changes.iter().rposition(|c| c.key == *key);
        let since = &self.changes[own.map_or(0, |at| at + 1)..];
        told_since(registry, key, &state, since).unwrap_or(Known::State(state))
    }

    /// Something that this walk may or may not write: the resources of a mark.
    pub fn unknown(&mut self, registry: &Registry, mark: &Mark, why: &str, task: &str) {
        if !registry.predicts(&mark.kind) {
            return;
        }
        let key = Ref {
            kind: mark.kind.clone(),
            id: mark.id.clone(),
            data: Json::Null,
        };
        // What stands above it stays known, but where it is only made for the sake of what comes below.
        let touched = |k: &Ref, known: &Known| {
            is_marked(mark, k)
                || (contains(&k.id, &mark.id) && comes_on_the_way(registry, k, known))
        };
        self.states
            .iter_mut()
            .filter(|(k, known)| k.kind == mark.kind && touched(k, known))
            .for_each(|(_, known)| *known = Known::Unknown(why.to_owned()));
        self.changes.push(PredictedChange {
            key: key.clone(),
            from: None,
            to: None,
            task: task.to_owned(),
        });
        self.states.insert(key, Known::Unknown(why.to_owned()));
        self.tell_other_names(registry);
    }

    /// The changes of which only the place is known.
    fn marks(&self) -> impl Iterator<Item = (Mark, &str)> {
        let unknown = self
            .changes
            .iter()
            .filter(|c| c.from.is_none() && c.to.is_none());
        unknown.map(|c| {
            let mark = Mark {
                kind: c.key.kind.clone(),
                id: c.key.id.clone(),
            };
            (mark, c.task.as_str())
        })
    }

    /// The task that may write the key, or something that the key lies in.
    pub(super) fn marked(&self, key: &Ref) -> Option<Known> {
        let (_, task) = self.marks().find(|(mark, _)| is_marked(mark, key))?;
        Some(until(task))
    }

    /// The task that may write something below the key and make the key on the way.
    pub(super) fn on_the_way(
        &self,
        registry: &Registry,
        key: &Ref,
        known: &Known,
    ) -> Option<Known> {
        let kind = registry.whole_of(&key.kind);
        let below = |(mark, _): &(Mark, &str)| mark.kind == kind && contains(&key.id, &mark.id);
        let (_, task) = self.marks().find(below)?;
        comes_on_the_way(registry, key, known).then(|| until(task))
    }

    /// What was predicted, in the order of the tasks.
    #[must_use]
    pub fn changes(&self) -> &[PredictedChange] {
        &self.changes
    }

    /// Nothing was predicted so far: what is read now is what the run will find.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.changes.is_empty() && self.opaque.is_none()
    }

    /// From here on nothing is known that is not predicted after it.
    pub fn opaque(&mut self, why: &str) {
        self.states.clear();
        self.opaque = Some(why.to_owned());
    }
}

/// What these changes, one after the other, tell of a thing whose state under `key` was this, where they tell of it.
fn told_since(
    registry: &Registry,
    key: &Ref,
    state: &Json,
    changes: &[PredictedChange],
) -> Option<Known> {
    let names = registry.find_kind(&key.kind)?.names()?;
    names.thing(state)?;
    let mut now = None;
    for change in changes {
        let state = match &now {
            Some(Known::State(state)) => state,
            _ => state,
        };
        if let Some(told) = told_under(&names, key, state, change) {
            now = Some(told);
        }
    }
    now
}

/// What a change tells of a state of another name, if they may be names of one thing.
fn told_under(names: &Names, key: &Ref, state: &Json, change: &PredictedChange) -> Option<Known> {
    if change.key.kind != key.kind || change.key == *key {
        return None;
    }
    let is_one = |other: &Json| {
        let thing = names.thing(other);
        thing.is_some() && thing == names.thing(state)
    };
    match (&change.from, &change.to) {
        (_, Some(to)) => is_one(to).then(|| Known::State(names.under(state, to))),
        (Some(from), None) => is_one(from).then(|| until(&change.task)),
        // Of what thing that is a name is not known.
        (None, None) => names.is_shared(state).then(|| until(&change.task)),
    }
}

fn until(task: &str) -> Known {
    Known::Unknown(format!("until \"{task}\""))
}

/// Is the key what the mark names, or does it lie in it?
fn is_marked(mark: &Mark, key: &Ref) -> bool {
    let id = match key.id.len() {
        0 | 1 => key.id.as_str(),
        _ => key.id.trim_end_matches('/'),
    };
    let key = Mark {
        kind: key.kind.clone(),
        id: id.to_owned(),
    };
    mark.overlaps(&key) && !contains(&key.id, &mark.id)
}

fn comes_on_the_way(registry: &Registry, key: &Ref, known: &Known) -> bool {
    let (Known::State(state), Some(kind)) = (known, registry.find_kind(&key.kind)) else {
        return false;
    };
    kind.comes_on_the_way(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_predicted_holds_though_something_below_it_changes() {
        let key = |id: &str| Ref {
            kind: "entry".to_owned(),
            id: id.to_owned(),
            data: Json::Null,
        };
        let registry = Registry::default();
        let mut overlay = Overlay::default();
        let here = Known::State(Json::Bool(true));
        for id in ["dc=org/ou=ours", "dc=org/ou=ours/cn=a"] {
            overlay.change(&registry, &key(id), Some(Json::Null), here.clone(), "T");
        }
        assert_eq!(overlay.states.get(&key("dc=org/ou=ours")), Some(&here));
    }

    #[test]
    fn what_may_be_written_is_unknown_with_all_below_it_and_nothing_above() {
        let key = |id: &str| Ref {
            kind: "file".to_owned(),
            id: id.to_owned(),
            data: Json::Null,
        };
        let registry = Registry::default();
        let mut overlay = Overlay::default();
        let here = Known::State(Json::Bool(true));
        for id in ["/etc", "/etc/app", "/etc/app/conf", "/srv"] {
            overlay.change(&registry, &key(id), Some(Json::Null), here.clone(), "T");
        }
        let mark = Mark {
            kind: "file".to_owned(),
            id: "/etc/app".to_owned(),
        };
        overlay.unknown(&registry, &mark, "until \"U\"", "U");
        let known = |id: &str| overlay.states.get(&key(id)) == Some(&here);
        let all = ["/etc", "/etc/app", "/etc/app/conf", "/srv"].map(known);
        assert_eq!(all, [true, false, false, true]);
        // What nobody has looked at so far, too.
        assert_eq!(overlay.marked(&key("/etc/app/new")), Some(until("U")));
        assert_eq!(overlay.marked(&key("/etc/application")), None);
        assert_eq!(overlay.marked(&key("/etc")), None);
    }
}
