//! What a walk knows of its hosts' variables, failures and pending handlers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;

use crate::journal::NodeStatus;
use crate::value::Value;

/// One host within one walk.
#[derive(Debug, Clone, Default)]
pub struct HostState {
    /// Registers and facts set by tasks.
    pub vars: IndexMap<String, Value>,
    /// Handlers told of a change; `true`: of one that is only possible (in a prediction).
    pub notified: BTreeMap<String, bool>,
    /// It is out: failed or unreachable, and not rescued.
    pub out: Option<NodeStatus>,
    /// It is done with the current play (`meta: end_host`).
    pub ended: bool,
    /// In a prediction, it may have ended or failed before here, for this reason: what follows is conditional.
    pub uncertain: Option<String>,
}

/// The states of all hosts of a walk. Cheap to share; [`States::fork`] makes a copy that goes its own way.
#[derive(Clone, Default)]
pub struct States {
    hosts: Arc<Mutex<BTreeMap<String, HostState>>>,
    /// Nodes that are done, by id: a look-ahead does not do them again.
    done: Arc<Mutex<BTreeSet<String>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl States {
    /// A copy that goes its own way.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            hosts: Arc::new(Mutex::new(lock(&self.hosts).clone())),
            done: Arc::new(Mutex::new(lock(&self.done).clone())),
        }
    }

    /// Looks at or changes one host.
    pub fn with<T>(&self, host: &str, work: impl FnOnce(&mut HostState) -> T) -> T {
        work(lock(&self.hosts).entry(host.to_owned()).or_default())
    }

    /// A register or fact of a host.
    #[must_use]
    pub fn var(&self, host: &str, name: &str) -> Option<Value> {
        lock(&self.hosts)
            .get(host)
            .and_then(|h| h.vars.get(name).cloned())
    }

    /// Names of the registers and facts of a host.
    #[must_use]
    pub fn names(&self, host: &str) -> Vec<String> {
        lock(&self.hosts)
            .get(host)
            .map(|h| h.vars.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Has the host failed, or been out of reach, and not been rescued?
    #[must_use]
    pub fn is_out(&self, host: &str) -> bool {
        lock(&self.hosts).get(host).is_some_and(|h| h.out.is_some())
    }

    /// Can the host go on?
    #[must_use]
    pub fn goes_on(&self, host: &str) -> bool {
        self.with(host, |h| h.out.is_none() && !h.ended)
    }

    /// Marks a node as done.
    pub fn set_done(&self, node: &str) {
        lock(&self.done).insert(node.to_owned());
    }

    /// Was the node done before?
    #[must_use]
    pub fn is_done(&self, node: &str) -> bool {
        lock(&self.done).contains(node)
    }
}
