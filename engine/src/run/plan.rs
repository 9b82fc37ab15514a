//! What a prediction says, kept for a person to look at and to compare with a later one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::event::{Event, Sink, TaskReport};

/// A prediction of a whole program.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// How each task would go, in the order in which they were predicted.
    pub tasks: Vec<TaskReport>,
    /// What would be done if a block failed: the block's name, and how a task of its `rescue` would go.
    pub rescues: Vec<(String, TaskReport)>,
    /// Warnings on the way.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Where another prediction of the same program differs, one line each: a host has changed in between.
    #[must_use]
    pub fn drift(&self, now: &Plan) -> Vec<String> {
        let mut lines = Vec::new();
        let key = |t: &TaskReport| t.node.clone();
        let before: BTreeMap<String, &TaskReport> =
            self.tasks.iter().map(|t| (key(t), t)).collect();
        let after: BTreeMap<String, &TaskReport> = now.tasks.iter().map(|t| (key(t), t)).collect();
        for (node, task) in &after {
            let same = before
                .get(node)
                .is_some_and(|was| was.status == task.status && was.diff == task.diff);
            if !same {
                let told = |task: &TaskReport| {
                    let mut text = task.status.word().to_owned();
                    if !task.changes.is_empty() {
                        text.push_str(&format!(" ({})", task.changes.join("; ")));
                    }
                    text
                };
                let was = before
                    .get(node)
                    .map_or("not there".to_owned(), |was| told(was));
                let mut is = told(task);
                if was == is {
                    is.push_str(", to other content");
                }
                lines.push(format!(
                    "{}: {} was {was}, is now {is}",
                    task.host, task.task
                ));
            }
        }
        for (node, task) in &before {
            if !after.contains_key(node) {
                lines.push(format!(
                    "{}: {} is no longer part of it",
                    task.host, task.task
                ));
            }
        }
        lines
    }
}

/// Keeps the reports of a prediction.
#[derive(Default)]
pub(super) struct Collected(Mutex<Plan>);

impl Collected {
    pub(super) fn take(&self) -> Plan {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Collected {
    fn event(&self, event: Event) {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::TaskFinished(report) => plan.tasks.push(*report),
            Event::RescueForetold { block, report } => plan.rescues.push((block, *report)),
            Event::Warning { message, .. } => plan.warnings.push(message),
            _ => {}
        }
    }
}
