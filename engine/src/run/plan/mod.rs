//! What a prediction says, kept for a person to look at, to be compared with a later one, and to be held to.

mod approved;
mod bound;
mod drift;
mod saved;

use std::sync::{Mutex, PoisonError};

pub use approved::{Approved, Intent};
pub use bound::{Bound, BoundState};
pub use drift::Drift;
pub(crate) use drift::NOT_SHOWN;
pub use saved::{Head, PlanError, SavedPlan};

use super::event::{Event, Sink, TaskReport};

/// A prediction of a whole program.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// How each task would go, in the order in which they were predicted.
    pub tasks: Vec<TaskReport>,
    /// What would be done if a block failed: the block's name, and how a task of its `rescue` would go.
    pub rescues: Vec<(String, TaskReport)>,
    /// Plays that are taken back where they fail.
    pub goes_back: Vec<String>,
    /// Warnings on the way.
    pub warnings: Vec<String>,
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
            Event::PlayStarted {
                play: name,
                goes_back: true,
                ..
            } => plan.goes_back.push(name),
            _ => {}
        }
    }
}
