//! What the prediction of one task rests on, so that it can be held against the host again.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::action::ActionCall;
use crate::module::{Footprint, Wanted};
use crate::registry::{AnyKind, ErasedChange};
use crate::resource::Ref;
use crate::run::machine::Sight;
use crate::world::{Known, Lookup};

/// What a task wants, and what that was computed from.
///
/// It holds states as they are, secrets too: it rests sealed in a plan and is shown by no one.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// The resources that it wants something of.
    pub wanted: Vec<BoundState>,
    /// What its module looked at, as it was read from the host. What the plan itself predicts is no part of it: that is
    /// compared when it comes.
    pub seen: Vec<(Ref, Json)>,
    /// What it calls.
    pub action: Option<ActionCall>,
    /// The bound of what it may touch, where its arguments are known.
    pub footprint: Option<Footprint>,
    /// Nothing of what it does is shown (`no_log`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// A resource of which a task wants something.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundState {
    /// As the module asked for it; the true form of the key may be known only later.
    pub asked: Ref,
    /// What is wanted of it.
    pub want: Json,
    /// The state that it is planned from.
    pub from: Json,
    /// The state that it will have; `None`: it is as it should be, and nothing is written.
    pub to: Option<Json>,
}

impl Bound {
    /// Of a task as it was predicted. `asked`: the key of each change as the module asked for it.
    #[must_use]
    pub fn of(
        sight: &Sight,
        wanted: &Wanted,
        changes: &[ErasedChange],
        asked: &[Ref],
        footprint: Footprint,
    ) -> Self {
        let states = wanted.resources.iter().filter_map(|w| {
            let change = asked.iter().position(|key| *key == w.key);
            let (from, to) = match change.and_then(|at| changes.get(at)) {
                Some(c) => (c.change.from.clone(), Some(c.change.to.clone())),
                None => match sight.lookup(&w.key) {
                    Some(Known::State(state)) => (state, None),
                    _ => return None,
                },
            };
            Some(BoundState {
                asked: w.key.clone(),
                want: w.want.clone(),
                from,
                to,
            })
        });
        Self {
            wanted: states.collect(),
            seen: sight.read_states(),
            action: wanted.action.clone(),
            footprint: Some(footprint),
            hidden: false,
        }
    }

    /// It wants something of a resource that is not so yet.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.wanted.iter().any(|w| w.to.is_some())
    }

    /// What is wanted of something that was seen as this, also where it is the same under another name: the file behind a
    /// link.
    #[must_use]
    pub fn wanted_of_seen(&self, key: &Ref, state: &Json) -> Option<&BoundState> {
        let same =
            |w: &&BoundState| w.asked == *key || (w.asked.kind == key.kind && w.from == *state);
        self.wanted.iter().find(same)
    }

    /// The resource of this key, as asked for.
    #[must_use]
    pub fn wanted(&self, asked: &Ref) -> Option<&BoundState> {
        self.wanted.iter().find(|w| w.asked == *asked)
    }
}

impl BoundState {
    /// What of the state `now` is not as it was when this was planned, a line each.
    #[must_use]
    pub fn drifted(&self, kind: &dyn AnyKind, now: &Json) -> Vec<String> {
        kind.drifted(&self.asked, Some(&self.want), &self.from, now)
    }

    /// What of the state `to` is not what this said it would be, a line each.
    #[must_use]
    pub fn differs(&self, kind: &dyn AnyKind, to: &Json) -> Vec<String> {
        match &self.to {
            Some(planned) => kind.drifted(&self.asked, Some(&self.want), planned, to),
            None => vec!["was to be left as it is".to_owned()],
        }
    }
}

impl std::fmt::Debug for Bound {
    /// States may hold secrets, so only the keys are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wanted: Vec<String> = self.wanted.iter().map(|w| w.asked.to_string()).collect();
        let seen: Vec<String> = self.seen.iter().map(|(key, _)| key.to_string()).collect();
        f.debug_struct("Bound")
            .field("wanted", &wanted)
            .field("seen", &seen)
            .field("action", &self.action.as_ref().map(|a| &a.kind))
            .finish_non_exhaustive()
    }
}
