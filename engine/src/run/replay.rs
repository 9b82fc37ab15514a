//! Nodes that came to their end before the run was cut off, interrupted, or failed: what they gave is taken from the
//! journal.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::past::{End, Pass};
use super::settle::Stopped;
use super::task::{Effect, Node, Result_};
use super::walk::{Walk, Way};
use crate::journal::{ChangeRecord, NodeStatus};
use crate::module::LocalFiles;
use crate::value::Value;

impl Walk {
    /// How far the run came with a node before.
    pub(super) fn before_the_cut(&self, node: &Node<'_>) -> Option<Pass> {
        let cursor = self.cursor.as_ref()?;
        let handler = node.task.handler;
        cursor.next(node.host, &node.id, handler, |end| self.handled(node, end))
    }

    /// It failed, and the run went on in spite of it, or would have.
    fn handled(&self, node: &Node<'_>, end: &End) -> bool {
        let task = node.task;
        match end.status {
            // Nobody may have wanted it any more: neither `ignore_errors` nor a rescue answers that.
            NodeStatus::Failed if end.drifted => false,
            NodeStatus::Failed => {
                node.here.rescued || self.is_ignored(task.ignore_errors.as_ref(), node)
            }
            _ => self.is_ignored(task.ignore_unreachable.as_ref(), node),
        }
    }

    /// A node that is done: its register, facts and notified handlers as they were.
    pub(super) fn replay(&self, node: &Node<'_>, pass: Pass) -> Result<Option<Result_>, Stopped> {
        if let Way::Apply(_) = &self.way {
            let frame = self.frame(node.host, node.here, &node.task.common.layers, &node.item);
            let host = self.acting_host(node, &frame);
            let name = self.task_name(node);
            for write in &pass.writes {
                self.shared.kept(write.kept.as_deref().unwrap_or_default());
            }
            let changes: Vec<_> = pass.changes().iter().map(ChangeRecord::erased).collect();
            let files = LocalFiles::new();
            let running = self.settle_of(node, &name, &files).running(&changes, false);
            self.shared.running(&host, &name, &running);
        }
        let Some(end) = pass.end else {
            return Ok(None);
        };
        let ignored = match end.status {
            NodeStatus::Failed => self.is_ignored(node.task.ignore_errors.as_ref(), node),
            _ => self.is_ignored(node.task.ignore_unreachable.as_ref(), node),
        };
        let value = self.noted(&result_of(&end));
        let effect = Effect {
            name: &end.task,
            status: end.status,
            certain: end.status == NodeStatus::Changed,
            ignored,
            value: &value,
            facts: self.facts_of(&end.facts),
            notified: end.notified.clone(),
        };
        self.takes_effect(node, &effect);
        Ok(Some(Result_ {
            status: end.status,
            value,
        }))
    }

    fn facts_of(&self, facts: &BTreeMap<String, Json>) -> IndexMap<String, Value> {
        let values = facts.iter().map(|(k, v)| (k.clone(), self.noted(v)));
        values.collect()
    }

    /// A value from the journal: its secrets are not shown either.
    fn noted(&self, json: &Json) -> Value {
        let value = Value::from_json(json);
        self.shared.redactor.add_from(&value);
        value
    }
}

/// What `register` got. What nobody asked for was not kept; what a loop needs of it is its status.
fn result_of(end: &End) -> Json {
    match (&end.register, &end.result) {
        (Some((_, value)), _) | (None, Some(value)) => value.clone(),
        (None, None) => serde_json::json!({
            "changed": end.status == NodeStatus::Changed,
            "failed": false,
            "skipped": end.status == NodeStatus::Skipped,
        }),
    }
}
