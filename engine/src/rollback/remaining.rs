//! What of a run is not as it was once it has been taken back.

use std::sync::{Arc, Mutex, PoisonError};

use super::steps::Step;
use crate::journal::NodeStatus;
use crate::run::event::{Event, Sink, TaskReport};

/// Passes on what a rollback tells, and keeps what of it is not as it was.
pub struct Remaining {
    to: Arc<dyn Sink>,
    reports: Mutex<Vec<TaskReport>>,
}

impl Remaining {
    /// Passes it on to this one.
    #[must_use]
    pub fn telling(to: Arc<dyn Sink>) -> Self {
        Self {
            to,
            reports: Mutex::default(),
        }
    }

    /// What is not as it was, a line each; `steps` is all that was to be taken back.
    #[must_use]
    pub fn left(&self, steps: &[Step]) -> Vec<String> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        for report in reports.iter() {
            let place = format!("{}: {}", report.host, report.task);
            let bad = matches!(
                report.status,
                NodeStatus::Failed | NodeStatus::Unreachable | NodeStatus::Locked
            );
            if bad && !report.ignored {
                let why = report.message.as_deref().unwrap_or_default();
                let what = if report.handler {
                    "the handler has failed"
                } else {
                    "was not taken back"
                };
                lines.push(format!("{place}: {what}: {why}"));
            }
            lines.extend(report.notes.iter().map(|note| format!("{place}: {note}")));
        }
        // A rollback that was interrupted has not come to these.
        let mut reached: Vec<(&str, &str)> = reports
            .iter()
            .filter(|r| !r.handler)
            .map(|r| (r.host.as_str(), r.node.as_str()))
            .collect();
        for step in steps {
            let place = (step.host.as_str(), step.node.as_str());
            match reached.iter().position(|r| *r == place) {
                Some(at) => drop(reached.swap_remove(at)),
                None => lines.push(format!(
                    "{}: {}: was not taken back: interrupted before it",
                    step.host, step.task
                )),
            }
        }
        lines
    }
}

impl Sink for Remaining {
    fn event(&self, event: Event) {
        if let Event::TaskFinished(report) = &event {
            let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            reports.push(report.as_ref().clone());
        }
        self.to.event(event);
    }
}
