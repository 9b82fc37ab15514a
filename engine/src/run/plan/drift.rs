//! Where two predictions of one program differ: a host has changed in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Bound, Plan};
use crate::registry::Registry;
use crate::resource::Ref;
use crate::run::diff;
use crate::run::event::TaskReport;
use crate::run::redact::Redactor;

/// One thing that is not as the plan found it. Nothing in it shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The host.
    pub host: String,
    /// Name of the task that rests on it, with the item of its loop.
    pub task: String,
    /// The resource; `None`: the task as a whole would go another way.
    pub resource: Option<String>,
    /// Was → is, a short line each.
    pub lines: Vec<String>,
    /// Was and is line by line, where there is a text.
    pub diff: Option<String>,
}

/// What is said of a resource of a task with `no_log` in place of what has become of it.
pub(crate) const NOT_SHOWN: &str = "is not what it was; `no_log` keeps from showing more";

/// A comparison of what two predictions rest on.
struct Comparison<'a> {
    registry: &'a Registry,
    redactor: &'a Redactor,
    found: Vec<Drift>,
}

impl Plan {
    /// Where `now`, another prediction of the same program, rests on other states or would do something else.
    #[must_use]
    pub fn drift(&self, now: &Self, registry: &Registry, redactor: &Redactor) -> Vec<Drift> {
        let mut comparison = Comparison {
            registry,
            redactor,
            found: Vec::new(),
        };
        let (before, after) = (self.by_node(), now.by_node());
        for (node, was) in &before {
            let is = after.get(node).map(Vec::as_slice).unwrap_or_default();
            for (at, was) in was.iter().enumerate() {
                match is.get(at) {
                    Some(is) => comparison.task(was, is),
                    None => comparison.whole(was, "is no longer part of it".to_owned()),
                }
            }
        }
        for (node, is) in &after {
            let known = before.get(node).map_or(0, Vec::len);
            for is in is.iter().skip(known) {
                comparison.whole(is, format!("was not part of it, is now {}", told(is)));
            }
        }
        comparison.found.dedup();
        comparison.found
    }

    /// The tasks of each node, in order.
    pub(super) fn by_node(&self) -> BTreeMap<&str, Vec<&TaskReport>> {
        let mut nodes: BTreeMap<&str, Vec<&TaskReport>> = BTreeMap::new();
        for task in &self.tasks {
            nodes.entry(&task.node).or_default().push(task);
        }
        nodes
    }
}

/// A task's status and what it would change.
fn told(task: &TaskReport) -> String {
    let mut text = task.status.word().to_owned();
    if !task.changes.is_empty() {
        text.push_str(&format!(" ({})", task.changes.join("; ")));
    }
    text
}

impl Comparison<'_> {
    fn task(&mut self, was: &TaskReport, is: &TaskReport) {
        let nothing = Arc::new(Bound::default());
        let (old, new) = (
            was.bound.as_ref().unwrap_or(&nothing).clone(),
            is.bound.as_ref().unwrap_or(&nothing).clone(),
        );
        let before = self.found.len();
        let same_action = match (&old.action, &new.action) {
            (Some(was), Some(is)) => was.does_as(is),
            (was, is) => was.is_none() && is.is_none(),
        };
        let mut other = was.status != is.status || !same_action;
        for wanted in &old.wanted {
            let (Some(now), Some(kind)) = (
                new.wanted(&wanted.asked),
                self.registry.find_kind(&wanted.asked.kind),
            ) else {
                other = true;
                continue;
            };
            let lines = wanted.drifted(kind.as_ref(), &now.from);
            if !lines.is_empty() {
                self.resource(was, &wanted.asked, lines, &wanted.from, &now.from);
                continue;
            }
            other |= match &now.to {
                Some(to) => !wanted.differs(kind.as_ref(), to).is_empty(),
                None => wanted.to.is_some(),
            };
        }
        other |= new.wanted.iter().any(|w| old.wanted(&w.asked).is_none());
        // What a task has looked at binds it where something is to be written; of the rest counts what follows from it.
        let changes = old.changes();
        for (key, state) in &old.seen {
            let (Some((_, now)), Some(kind)) = (
                new.seen.iter().find(|(k, _)| k == key),
                self.registry.find_kind(&key.kind),
            ) else {
                continue;
            };
            let told = |w: &super::BoundState| new.wanted(&w.asked).is_some();
            if old.wanted_of_seen(key, state).is_some_and(told)
                || !(other || changes && kind.binds())
            {
                continue;
            }
            let lines = kind.drifted(key, None, state, now);
            if !lines.is_empty() {
                self.resource(was, key, lines, state, now);
            }
        }
        if self.found.len() == before && other {
            let (was_told, mut is_told) = (told(was), told(is));
            if was_told == is_told {
                is_told.push_str(", to other content");
            }
            self.whole(was, format!("was {was_told}, is now {is_told}"));
        }
    }

    fn whole(&mut self, task: &TaskReport, line: String) {
        let lines = vec![self.redactor.clean(&line)];
        self.push(task, None, lines, None);
    }

    fn resource(
        &mut self,
        task: &TaskReport,
        key: &Ref,
        lines: Vec<String>,
        was: &Json,
        now: &Json,
    ) {
        if task.bound.as_ref().is_some_and(|bound| bound.hidden) {
            let lines = vec![NOT_SHOWN.to_owned()];
            return self.push(task, Some(key.to_string()), lines, None);
        }
        let mut shown = None;
        if let Some(kind) = self.registry.find_kind(&key.kind) {
            for state in [was, now] {
                kind.secrets(state)
                    .iter()
                    .for_each(|s| self.redactor.add(s));
            }
            if let (Some(was), Some(now)) = (kind.text(key, was), kind.text(key, now))
                && was != now
            {
                let text = diff::between("planned", "now", &key.to_string(), &was, &now);
                shown = Some(self.redactor.clean(&text));
            }
        }
        let lines = lines.iter().map(|l| self.redactor.clean(l)).collect();
        self.push(task, Some(key.to_string()), lines, shown);
    }

    fn push(
        &mut self,
        task: &TaskReport,
        resource: Option<String>,
        lines: Vec<String>,
        diff: Option<String>,
    ) {
        let name = match &task.item {
            Some(item) => format!("{} ({item})", task.task),
            None => task.task.clone(),
        };
        self.found.push(Drift {
            host: task.host.clone(),
            task: name,
            resource: resource.map(|key| self.redactor.clean(&key)),
            lines,
            diff,
        });
    }
}
