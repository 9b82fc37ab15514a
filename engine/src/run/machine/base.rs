//! The states that were read from a machine.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::registry::{ErasedChange, Registry};
use crate::resource::Ref;
use crate::world::Known;

/// The states read from a machine, each as one user sees it. Inventory hosts that are one machine share it.
///
/// A state counts until something that overlaps it is written; an action may end it for the whole machine.
#[derive(Default)]
pub struct Base {
    states: HashMap<(String, Ref), Read>,
    /// Other names of a resource: key as asked for → its one true form.
    aliases: HashMap<(String, Ref), Ref>,
}

/// A state that was read.
struct Read {
    known: Known,
    at: Instant,
}

/// How long a run takes a state that was read early for true. Nothing tells of what others do meanwhile, so what a task
/// calls ok is never older than this when the task begins; a write looks again in any case.
pub(super) const FRESH: Duration = Duration::from_secs(20);

impl Base {
    /// What was read at `since` or later.
    pub(super) fn get(&self, user: &str, key: &Ref, since: Option<Instant>) -> Option<&Known> {
        let asked = (user.to_owned(), key.clone());
        let read = match self.aliases.get(&asked) {
            Some(form) => self.states.get(&(user.to_owned(), form.clone())),
            None => self.states.get(&asked),
        }?;
        since
            .is_none_or(|since| read.at >= since)
            .then_some(&read.known)
    }

    pub(super) fn put(&mut self, user: &str, key: Ref, known: Known) {
        let at = Instant::now();
        self.states
            .insert((user.to_owned(), key), Read { known, at });
    }

    /// `key` turned out to be another form of `form`.
    pub(super) fn is_form_of(&mut self, user: &str, key: Ref, form: &Ref) {
        self.aliases.insert((user.to_owned(), key), form.clone());
    }

    /// The true form of a key, where reading has shown it.
    pub(super) fn true_form(&self, user: &str, key: &Ref) -> Ref {
        self.aliases
            .get(&(user.to_owned(), key.clone()))
            .cloned()
            .unwrap_or_else(|| key.clone())
    }

    /// Ends the validity of everything that writing `written` may have changed.
    pub fn written(&mut self, registry: &Registry, written: &Ref) {
        let touched = |key: &Ref| {
            key == written
                || registry
                    .find_kind(&key.kind)
                    .is_none_or(|kind| kind.touched_by(key, written))
        };
        self.states.retain(|(_, key), _| !touched(key));
        self.aliases
            .retain(|(_, asked), form| !touched(asked) && !touched(form));
    }

    /// Ends the validity of everything that making this change may have changed: under its other names, too.
    pub fn changed(&mut self, registry: &Registry, change: &ErasedChange) {
        self.written(registry, &change.key);
        let kind = registry.find_kind(&change.key.kind);
        let Some(names) = kind.and_then(|kind| kind.names()) else {
            return;
        };
        let states = [&change.change.from, &change.change.to];
        if states.iter().any(|state| names.is_shared(state)) {
            // What tells of things of this kind by their places (a listing) does not know of their other names.
            let looks_at = |key: &Ref| {
                let there = Ref {
                    kind: change.key.kind.clone(),
                    ..key.clone()
                };
                key.kind != change.key.kind
                    && registry
                        .find_kind(&key.kind)
                        .is_none_or(|kind| kind.touched_by(key, &there))
            };
            self.states.retain(|(_, key), _| !looks_at(key));
        }
        let things = states.map(|state| names.thing(state));
        let is_one = |state: &Json| things.contains(&names.thing(state));
        self.states.retain(|(_, key), read| match &read.known {
            Known::State(state) => {
                key.kind != change.key.kind || names.thing(state).is_none() || !is_one(state)
            }
            _ => true,
        });
    }

    /// Makes all that was read older.
    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        for read in self.states.values_mut() {
            read.at = read.at.checked_sub(by).unwrap_or(read.at);
        }
    }

    /// Ends the validity of everything.
    pub fn forget_all(&mut self) {
        self.states.clear();
        self.aliases.clear();
    }
}
