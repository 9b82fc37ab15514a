//! All modules, resource kinds and action kinds there are, with their types erased.
//!
//! The registry lists and looks up; it does nothing else.

mod action;
mod kind;
mod module;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use action::AnyAction;
pub use kind::{AnyKind, ErasedChange};
pub use module::{AnyModule, Prepared};

use crate::action::ActionKind;
use crate::module::Module;
use crate::resource::Kind;

/// Modules, kinds and actions by name.
#[derive(Default, Clone)]
pub struct Registry {
    modules: BTreeMap<&'static str, Arc<dyn AnyModule>>,
    kinds: BTreeMap<&'static str, Arc<dyn AnyKind>>,
    actions: BTreeMap<&'static str, Arc<dyn AnyAction>>,
    unpredicted: Option<String>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a module.
    #[must_use]
    pub fn module<M: Module>(mut self) -> Self {
        self.modules
            .insert(M::NAME, Arc::new(module::Erased::<M>::default()));
        self
    }

    /// Adds a resource kind.
    #[must_use]
    pub fn kind<K: Kind>(mut self, kind: K) -> Self {
        self.kinds.insert(K::NAME, Arc::new(kind::Erased(kind)));
        self
    }

    /// Adds an action kind.
    #[must_use]
    pub fn action<A: ActionKind>(mut self, action: A) -> Self {
        self.actions
            .insert(A::NAME, Arc::new(action::Erased(action)));
        self
    }

    /// The same, but a check looks at the host for this kind, whatever it has predicted of it: to measure what the
    /// prediction is worth.
    #[must_use]
    pub fn without_prediction(mut self, kind: &str) -> Self {
        self.unpredicted = Some(kind.to_owned());
        self
    }

    /// Does a check predict states of this kind?
    #[must_use]
    pub fn predicts(&self, kind: &str) -> bool {
        self.unpredicted.as_deref() != Some(kind)
    }

    /// The module of this name.
    #[must_use]
    pub fn find_module(&self, name: &str) -> Option<&Arc<dyn AnyModule>> {
        self.modules.get(name)
    }

    /// The kind of this name.
    #[must_use]
    pub fn find_kind(&self, name: &str) -> Option<&Arc<dyn AnyKind>> {
        self.kinds.get(name)
    }

    /// The kind that says what is predicted of this one: itself, or the one that it is part of ([`Kind::PART_OF`]).
    #[must_use]
    pub fn whole_of<'a>(&self, kind: &'a str) -> &'a str {
        self.find_kind(kind)
            .and_then(|kind| kind.part_of())
            .unwrap_or(kind)
    }

    /// The action kind of this name.
    #[must_use]
    pub fn find_action(&self, name: &str) -> Option<&Arc<dyn AnyAction>> {
        self.actions.get(name)
    }

    /// All modules, by name.
    pub fn modules(&self) -> impl Iterator<Item = &Arc<dyn AnyModule>> {
        self.modules.values()
    }

    /// All kinds, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<dyn AnyKind>> {
        self.kinds.values()
    }

    /// All action kinds, by name.
    pub fn actions(&self) -> impl Iterator<Item = &Arc<dyn AnyAction>> {
        self.actions.values()
    }
}
