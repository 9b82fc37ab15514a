//! A plan that was approved, while it is carried out: a task that wants something else is stopped before it writes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;

use super::{Bound, Plan};
use crate::action::{ActionCall, Effects};
use crate::journal::NodeStatus;
use crate::module::{Footprint, Mark, Wanted};
use crate::registry::{ErasedChange, Registry};
use crate::resource::Ref;

/// What was approved, by node.
pub struct Approved {
    nodes: HashMap<String, Vec<Announced>>,
    /// Nodes that were done once: with `until` a task does the rest of what it may at its next try.
    begun: Mutex<BTreeSet<String>>,
    /// Hosts on which something has failed: from there on the playbook goes ways that nobody could predict.
    astray: Mutex<BTreeSet<String>>,
}

/// A task that the plan announced.
#[derive(Clone)]
struct Announced {
    status: NodeStatus,
    /// Of a `rescue`: it was predicted from the states before its block.
    rescue: bool,
    module: String,
    bound: Option<Arc<Bound>>,
    /// It rests on an assumption: what it looked at stands for what will be there then (a server that is replaced).
    assumed: bool,
}

/// What a task wants now.
pub struct Intent<'a> {
    /// Its module's answer.
    pub wanted: &'a Wanted,
    /// What differs.
    pub changes: &'a [ErasedChange],
    /// The key of each change as the module asked for it.
    pub asked: &'a [Ref],
    /// What its module looked at.
    pub seen: &'a [(Ref, Json)],
}

impl Intent<'_> {
    /// It writes, or calls something that may.
    fn does_something(&self) -> bool {
        let acts = |a: &ActionCall| a.effects != Effects::Nothing;
        !self.changes.is_empty() || self.wanted.action.as_ref().is_some_and(acts)
    }
}

impl Approved {
    /// Of a plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut nodes: HashMap<String, Vec<Announced>> = HashMap::new();
        let rescues = plan.rescues.iter().map(|(_, task)| (task, true));
        for (task, rescue) in plan.tasks.iter().map(|task| (task, false)).chain(rescues) {
            nodes.entry(task.node.clone()).or_default().push(Announced {
                status: task.status,
                rescue,
                module: task.module.clone(),
                bound: task.bound.clone(),
                assumed: !task.assumptions.is_empty(),
            });
        }
        Self {
            nodes,
            begun: Mutex::default(),
            astray: Mutex::default(),
        }
    }

    /// Something has failed on the host, and the playbook does not go on as if it had not: what comes now is its answer to
    /// that (`rescue`, `always`), and is held to what the plan has of it, no longer to the states.
    pub fn has_failed(&self, host: &str) {
        let mut astray = self.astray.lock().unwrap_or_else(PoisonError::into_inner);
        astray.insert(host.to_owned());
    }

    /// Did the plan say that this task fails on its host?
    #[must_use]
    pub fn says_failed(&self, node: &str) -> bool {
        let of_node = self.nodes.get(node).into_iter().flatten();
        of_node
            .filter(|a| !a.rescue)
            .any(|a| matches!(a.status, NodeStatus::Failed | NodeStatus::Unreachable))
    }

    /// What the plan has for a node: itself, or, where they were not known, the loop or the include that it is of.
    fn announced(&self, node: &str) -> Option<Vec<Announced>> {
        if let Some(found) = self.nodes.get(node) {
            return Some(found.clone());
        }
        let (path, host) = node.split_once('@')?;
        let (host, item) = match host.split_once('#') {
            Some((host, item)) => (host, Some(item)),
            None => (host, None),
        };
        if item.is_some() {
            let whole = self.nodes.get(&format!("{path}@{host}"));
            if let Some(whole) = whole.filter(|a| a.iter().any(Announced::is_open)) {
                return Some(whole.clone());
            }
        }
        let mut above = path;
        while let Some((shorter, _)) = above.rsplit_once('/') {
            above = shorter;
            let include = self.nodes.get(&format!("{above}@{host}"));
            if let Some(include) = include.filter(|all| {
                all.iter()
                    .any(|a| a.module == "include_tasks" && a.is_open())
            }) {
                return Some(include.clone());
            }
        }
        None
    }

    /// Why a task must not go on: it is not what was approved. `None`: it is.
    #[must_use]
    pub fn objection(
        &self,
        registry: &Registry,
        host: &str,
        node: &str,
        intent: &Intent<'_>,
    ) -> Option<String> {
        let again = {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            !begun.insert(node.to_owned())
        };
        let Some(announced) = self.announced(node) else {
            return intent
                .does_something()
                .then(|| "the plan does not have it on this host".to_owned());
        };
        let astray = {
            let astray = self.astray.lock().unwrap_or_else(PoisonError::into_inner);
            astray.contains(host)
        };
        let mut first = None;
        for one in &announced {
            let objection = if astray || again || one.rescue || one.is_open() {
                one.outside(intent)
            } else {
                one.otherwise(registry, intent)
            };
            match objection {
                None => return None,
                Some(why) => first = first.or(Some(why)),
            }
        }
        first
    }

    /// Why a task must not be left out: the plan says that it changes something.
    #[must_use]
    pub fn misses(&self, host: &str, node: &str) -> Option<String> {
        let astray = self.astray.lock().unwrap_or_else(PoisonError::into_inner);
        if astray.contains(host) {
            return None;
        }
        let all = self.nodes.get(node)?;
        let changes = |a: &Announced| a.status == NodeStatus::Changed;
        (!all.is_empty() && all.iter().all(changes))
            .then(|| "the plan says that it changes something, and it would not run".to_owned())
    }
}

impl Announced {
    /// The plan left open what it does, or whether it runs.
    fn is_open(&self) -> bool {
        matches!(self.status, NodeStatus::Unknown | NodeStatus::Conditional)
    }

    /// Why what is wanted lies outside of what this task may touch.
    fn outside(&self, intent: &Intent<'_>) -> Option<String> {
        let Some(bound) = &self.bound else {
            // What is open has none where its arguments were not known.
            return (!self.is_open() && intent.does_something())
                .then(|| format!("the plan says that it is {}", self.status.word()));
        };
        let footprint = bound.footprint.as_ref().filter(|f| !f.everything)?;
        let stray = intent
            .wanted
            .resources
            .iter()
            .find(|w| !covers(footprint, &w.key));
        stray.map(|w| format!("the plan does not say that it may touch {}", w.key))
    }

    /// Why what is wanted is not what was announced.
    fn otherwise(&self, registry: &Registry, intent: &Intent<'_>) -> Option<String> {
        let nothing = Bound::default();
        let bound = self.bound.as_deref().unwrap_or(&nothing);
        let mut lines = Vec::new();
        for (change, asked) in intent.changes.iter().zip(intent.asked) {
            let (Some(planned), Some(kind)) =
                (bound.wanted(asked), registry.find_kind(&change.key.kind))
            else {
                lines.push(format!("{asked}: the plan does not change it"));
                continue;
            };
            let mut found = planned.drifted(kind.as_ref(), &change.change.from);
            if found.is_empty() {
                found = planned.differs(kind.as_ref(), &change.change.to);
            }
            lines.extend(found.into_iter().map(|line| format!("{asked}: {line}")));
        }
        for planned in bound.wanted.iter().filter(|w| w.to.is_some()) {
            if !intent.asked.contains(&planned.asked) {
                lines.push(format!("{}: is already as it was to be", planned.asked));
            }
        }
        if bound.changes() && !self.assumed {
            lines.extend(moved(bound, registry, intent));
        }
        let acts = |a: &&ActionCall| a.effects != Effects::Nothing;
        let was = bound.action.as_ref().filter(acts);
        let is = intent.wanted.action.as_ref().filter(acts);
        let otherwise = match (was, is) {
            (None, Some(_)) => Some("the plan does not say that it runs"),
            (Some(_), None) => Some("the plan says that it runs, and it would not"),
            (Some(was), Some(is)) if !was.does_as(is) => {
                Some("it would run otherwise than planned")
            }
            _ => None,
        };
        lines.extend(otherwise.map(str::to_owned));
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// What the module looked at for the sake of what it writes, and that is not as the plan found it: a directory that goes with
/// more in it than was told.
fn moved(bound: &Bound, registry: &Registry, intent: &Intent<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, was) in &bound.seen {
        let is = intent.seen.iter().find(|(k, _)| k == key);
        let kind = registry.find_kind(&key.kind).filter(|kind| kind.binds());
        let (Some((_, is)), Some(kind)) = (is, kind) else {
            continue;
        };
        if bound.wanted_of_seen(key, was).is_none() {
            let drifted = kind.drifted(key, None, was, is);
            lines.extend(drifted.into_iter().map(|line| format!("{key}: {line}")));
        }
    }
    lines
}

fn covers(footprint: &Footprint, key: &Ref) -> bool {
    let here = Mark {
        kind: key.kind.clone(),
        id: key.id.clone(),
    };
    footprint.writes.iter().any(|mark| mark.overlaps(&here))
}
