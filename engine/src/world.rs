//! What is known of a host's resources, as a module sees it.
//!
//! The world itself (early reads, what a write makes invalid, predictions) belongs to the engine; modules and kinds
//! see it through [`View`] and [`Predicted`].

use std::collections::BTreeMap;

use serde::Deserialize as _;

use crate::module::{LocalFile, LocalFiles, Stop, reference};
use crate::resource::{Kind, Ref};

/// What the world says of one resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Its state, as the kind's JSON.
    State(serde_json::Value),
    /// Not known before the run, and why (`until "New archive"`).
    Unknown(String),
    /// Reading it failed; it matters only to the task that asks.
    Failed(String),
}

/// Where a view gets its states.
pub trait Lookup: Send + Sync {
    /// What is known of the resource; `None` where it has not been read.
    fn lookup(&self, key: &Ref) -> Option<Known>;
}

/// The world as a module sees it: states by key, the controller's files that its arguments name.
pub struct View<'a> {
    lookup: &'a dyn Lookup,
    local: &'a LocalFiles,
}

impl<'a> View<'a> {
    /// A view on `lookup`, with the local files loaded for the task.
    #[must_use]
    pub fn new(lookup: &'a dyn Lookup, local: &'a LocalFiles) -> Self {
        Self { lookup, local }
    }

    /// The state of one resource; [`Stop::Need`] where it must be read first.
    pub fn get<K: Kind>(&self, key: &K::Key) -> Result<K::State, Stop> {
        self.all::<K>(std::slice::from_ref(key))?
            .pop()
            .ok_or_else(|| Stop::refuse("the world gave no state"))
    }

    /// The states of several resources, in order; what is missing is asked for as one batch.
    pub fn all<K: Kind>(&self, keys: &[K::Key]) -> Result<Vec<K::State>, Stop> {
        let refs: Vec<Ref> = keys.iter().map(reference::<K>).collect();
        self.need(&refs)?;
        refs.iter()
            .map(|key| match self.lookup.lookup(key) {
                Some(Known::State(json)) => serde_json::from_value(json).map_err(|e| {
                    Stop::refuse(format!("the state of {key} cannot be understood: {e}"))
                }),
                Some(Known::Unknown(why)) => Err(Stop::Unknown(why)),
                Some(Known::Failed(why)) => Err(Stop::refuse(why)),
                None => Err(Stop::Need(vec![key.clone()])),
            })
            .collect()
    }

    /// The state of a resource whose kind is not known to the caller, as the kind's JSON.
    pub fn state(&self, key: &Ref) -> Result<serde_json::Value, Stop> {
        match self.lookup.lookup(key) {
            Some(Known::State(state)) => Ok(state),
            Some(Known::Unknown(why)) => Err(Stop::Unknown(why)),
            Some(Known::Failed(why)) => Err(Stop::refuse(why)),
            None => Err(Stop::Need(vec![key.clone()])),
        }
    }

    /// Asks for resources of several kinds as one batch before getting them one by one.
    pub fn need(&self, keys: &[Ref]) -> Result<(), Stop> {
        let missing: Vec<Ref> = keys
            .iter()
            .filter(|k| self.lookup.lookup(k).is_none())
            .cloned()
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Stop::Need(missing))
        }
    }

    /// A file on the controller that an argument in `LOCAL_FILES` names, by the name as written.
    pub fn local(&self, name: &str) -> Result<&'a LocalFile, Stop> {
        self.local.get(name).ok_or_else(|| {
            Stop::refuse(format!("the file `{name}` was not found on the controller"))
        })
    }
}

/// The changes predicted so far on one machine, for [`Kind::predicted`].
pub struct Predicted<'a> {
    /// Predicted changes in the order of their tasks: which resource, before, after (kind's JSON; `None`: unknown),
    /// and the name of the task that makes it.
    pub changes: &'a [PredictedChange],
}

/// One predicted change.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedChange {
    /// Which resource.
    pub key: Ref,
    /// State before, where known.
    pub from: Option<serde_json::Value>,
    /// State after, where known.
    pub to: Option<serde_json::Value>,
    /// Name of the task.
    pub task: String,
}

impl Predicted<'_> {
    /// The predicted changes of one kind: key, before, after, task; later ones last.
    pub fn of<K: Kind>(
        &self,
    ) -> impl Iterator<Item = (K::Key, Option<K::State>, Option<K::State>, &str)> {
        self.of_those::<K>(|_| true)
    }

    /// Those of them whose ids are such: a run may have predicted thousands, of which a question concerns a few.
    pub fn of_those<K: Kind>(
        &self,
        concerned: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (K::Key, Option<K::State>, Option<K::State>, &str)> {
        self.changes
            .iter()
            .filter(move |c| c.key.kind == K::NAME && concerned(&c.key.id))
            .filter_map(|c| {
                let key = K::Key::deserialize(&c.key.data).ok()?;
                let state = |s: &Option<serde_json::Value>| K::State::deserialize(s.as_ref()?).ok();
                Some((key, state(&c.from), state(&c.to), c.task.as_str()))
            })
    }

    /// Is anything at all predicted to change?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A world made of given states, for tests of modules: `args + states → wanted`, with no host.
#[derive(Debug, Default, Clone)]
pub struct Fixture {
    states: BTreeMap<Ref, Known>,
    /// Local files by name.
    pub local: LocalFiles,
}

impl Fixture {
    /// Adds a state.
    #[must_use]
    pub fn with<K: Kind>(mut self, key: &K::Key, state: &K::State) -> Self {
        self.states.insert(
            reference::<K>(key),
            Known::State(serde_json::to_value(state).unwrap_or_default()),
        );
        self
    }
    /// Adds something unknown.
    #[must_use]
    pub fn unknown<K: Kind>(mut self, key: &K::Key, why: &str) -> Self {
        self.states
            .insert(reference::<K>(key), Known::Unknown(why.to_owned()));
        self
    }
    /// Sees it as a module does.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::new(self, &self.local)
    }
}

impl Lookup for Fixture {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        self.states.get(key).cloned()
    }
}
