//! What a run tells: one stream of events, from which every report is made.
//!
//! Each event is one JSON object with the field `event`; `--output json` prints one a line. Times are RFC 3339, UTC,
//! with milliseconds. No event shows a secret.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::host::Cost;
use crate::journal::NodeStatus;

/// One event.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run or a check begins.
    RunStarted {
        /// Id of the run; absent in a check.
        run: Option<String>,
        /// The playbooks, as given.
        playbooks: Vec<String>,
        /// The run that it takes back, if it is a rollback.
        #[serde(skip_serializing_if = "Option::is_none")]
        takes_back: Option<String>,
        /// It is a check: nothing will be changed.
        check: bool,
        /// It goes on: what was done before is not told again.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        resumed: bool,
        /// When.
        at: String,
    },
    /// A play begins on its hosts.
    PlayStarted {
        /// Name of the play.
        play: String,
        /// Its hosts, in inventory order.
        hosts: Vec<String>,
        /// What it does on a host (or site) is taken back where it fails there (`on_fail: rollback`).
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        goes_back: bool,
    },
    /// A task begins on a host.
    TaskStarted {
        /// The host.
        host: String,
        /// Name of the task.
        task: String,
        /// When.
        at: String,
    },
    /// A task will be tried again.
    TaskRetry {
        /// The host.
        host: String,
        /// Name of the task.
        task: String,
        /// Which try comes next, from 2.
        next: u32,
        /// How many there are at most.
        of: u32,
        /// What the last one said.
        message: Option<String>,
    },
    /// A task is done on a host; of a loop, one event for each item.
    TaskFinished(Box<TaskReport>),
    /// In a prediction: what a `rescue` would do if its block failed, as far as that is known before the block. No
    /// task of the prediction follows from it.
    RescueForetold {
        /// Name of the block, or of its first task.
        block: String,
        /// How a task of the rescue would go.
        #[serde(flatten)]
        report: Box<TaskReport>,
    },
    /// A host is no longer as an approved plan found it: nothing is applied.
    Drifted {
        /// The host.
        host: String,
        /// Name of the task that rests on it.
        task: String,
        /// The resource (`file:/etc/hosts`); absent where the task as a whole would go another way.
        #[serde(skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
        /// Was → is, one short line each.
        changes: Vec<String>,
        /// Was and is, as a unified diff.
        diff: Option<String>,
    },
    /// Something a person should know that belongs to no task.
    Warning {
        /// The host, if it is about one.
        host: Option<String>,
        /// What.
        message: String,
    },
    /// A play has failed on a host or site, and what it did there is taken back, as a run of its own (`on_fail:
    /// rollback`). What follows of these hosts belongs to it until `rollback-finished`.
    RollbackStarted {
        /// Id of the run that takes it back.
        run: String,
        /// The run around it.
        takes_back: String,
        /// Name of the play.
        play: String,
        /// The hosts.
        hosts: Vec<String>,
        /// When.
        at: String,
    },
    /// It has come to its end. Of a run that was called to take another back: told only where something was left.
    RollbackFinished {
        /// See `rollback-started`.
        run: String,
        /// See there.
        takes_back: String,
        /// See there; absent where it is not `on_fail: rollback`.
        #[serde(skip_serializing_if = "Option::is_none")]
        play: Option<String>,
        /// See there.
        hosts: Vec<String>,
        /// What is not as it was before, and why, a line each.
        left: Vec<String>,
        /// When.
        at: String,
    },
    /// The run or check came to its end.
    RunFinished {
        /// Id of the run; absent in a check.
        run: Option<String>,
        /// Tasks by host and status.
        hosts: BTreeMap<String, BTreeMap<NodeStatus, u32>>,
        /// What each host has cost: round trips and bytes.
        costs: BTreeMap<String, CostReport>,
        /// Things kept aside on hosts until `runbook close`.
        kept: u32,
        /// What the run has stopped and not started again, a line each.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        down: Vec<String>,
        /// A person or signal interrupted it.
        interrupted: bool,
        /// The exit code of the command.
        exit_code: u8,
        /// When.
        at: String,
    },
}

/// How a task went on one host, for one item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskReport {
    /// The host.
    pub host: String,
    /// The site it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Name of the play.
    pub play: String,
    /// Name of the task.
    pub task: String,
    /// Id of the node: its place in the playbooks, its host and its item; the same in check, plan and run.
    pub node: String,
    /// The module.
    pub module: String,
    /// The item of a loop, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// It is a handler.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handler: bool,
    /// The outcome.
    pub status: NodeStatus,
    /// It failed, but `ignore_errors` or a rescue lets the host go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
    /// Of these: what comes after it in its block is left out, and a rescue has its turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rescued: bool,
    /// What differs, one short line each.
    pub changes: Vec<String>,
    /// Before and after, as a unified diff. Always filled; a report shows it when asked (`--diff`).
    pub diff: Option<String>,
    /// One line for the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Why it failed, was skipped, is unknown or conditional; for debug, what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Things a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the prediction rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    /// What cannot be taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub irreversible: Vec<String>,
    /// What a rollback leaves where it is, unless it is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<String>,
    /// Under an approved plan: it was stopped before it wrote, since it is no longer what was approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drifted: bool,
    /// In a rollback: something of it was to go back, and was left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// It is an opaque action: its effect is not ours to know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opaque: bool,
    /// What `register` gets, secrets masked; only where the task failed or asked to be seen (`debug`), or with `-v`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub output: IndexMap<String, serde_json::Value>,
    /// File, line and column in the playbook.
    pub place: Place,
    /// Begin, RFC 3339.
    pub start: String,
    /// End, RFC 3339.
    pub end: String,
    /// In a prediction that is to become a plan: what it rests on. It holds secrets and is never shown.
    #[serde(skip)]
    pub bound: Option<std::sync::Arc<super::plan::Bound>>,
}

/// A place in a playbook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// What a host has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CostReport {
    /// Times that something was sent and its answer waited for, after authentication.
    pub round_trips: u64,
    /// Bytes sent to it.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
}

impl From<Cost> for CostReport {
    fn from(cost: Cost) -> Self {
        Self {
            round_trips: cost.round_trips,
            sent: cost.sent,
            received: cost.received,
        }
    }
}

/// Where events go. Called from many tasks at once, in one order.
pub trait Sink: Send + Sync {
    /// Takes one event. Must not block for long.
    fn event(&self, event: Event);
}

/// Events that nobody hears: a prediction made along the way.
pub struct Silence;

impl Sink for Silence {
    fn event(&self, _: Event) {}
}

/// Now, as events write it.
#[must_use]
pub fn now() -> String {
    written(jiff::Timestamp::now())
}

/// Always with three digits of a second, so that times compare as texts.
fn written(time: jiff::Timestamp) -> String {
    let time = time.round(jiff::Unit::Millisecond).unwrap_or(time);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::{now, written};

    #[test]
    fn times_are_all_of_one_length_and_compare_as_texts() {
        let at = |nanoseconds| {
            let seconds = 1_709_281_843_000_000_000_i128;
            written(jiff::Timestamp::from_nanosecond(seconds + nanoseconds).unwrap())
        };
        let in_order = [
            (0, "2024-03-01T08:30:43.000Z"),
            (40_000_000, "2024-03-01T08:30:43.040Z"),
            (900_000_000, "2024-03-01T08:30:43.900Z"),
            (980_400_000, "2024-03-01T08:30:43.980Z"),
            (999_600_000, "2024-03-01T08:30:44.000Z"),
        ];
        for (nanoseconds, text) in in_order {
            assert_eq!(at(nanoseconds), text);
        }
        assert!(in_order.is_sorted_by_key(|(_, text)| *text));
        assert_eq!(now().len(), "2024-03-01T08:30:43.000Z".len());
    }
}
