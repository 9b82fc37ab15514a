//! What the journal says, record by record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::action::ActionCall;
use crate::registry::ErasedChange;
use crate::resource::{Change, Kept, Ref, Reversible};

/// One record. The order in which a node writes them: `ChangesIntended` before the first write of a task and
/// `ChangesWritten` after it; `ActionIntended` before an action starts and `ActionFinished` after it; `NodeFinished`
/// when its outcome is settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// A run begins.
    RunStarted {
        /// Version of runbook.
        version: String,
        /// The playbooks, as given.
        playbooks: Vec<String>,
        /// The inventories, as given.
        #[serde(default)]
        inventory: Vec<String>,
        /// What was asked for on the command line that decides what runs, for people.
        call: Vec<String>,
        /// All that was asked for on the command line, as the command needs it to do the same again (`resume`).
        #[serde(default)]
        asked: Json,
        /// When it began, as templates see it; RFC 3339.
        #[serde(default)]
        began: String,
        /// SHA-256 of every file that went into it, by path.
        files: BTreeMap<String, String>,
        /// The run that it takes back, if it is a rollback.
        #[serde(default)]
        takes_back: Option<String>,
    },
    /// The run goes on after it was cut off, interrupted, or has failed.
    RunResumed {
        /// Version of runbook.
        version: String,
        /// SHA-256 of every file that goes into it now, by path.
        files: BTreeMap<String, String>,
    },
    /// Texts in the records that follow that are secrets: whoever shows those masks these.
    Secrets {
        /// The texts.
        texts: Vec<String>,
    },
    /// A task is about to write these changes. Where an earlier record of the same node was not followed by
    /// `ChangesWritten`, it was cut off, and this one carries it on: `from` is the state before the first of them.
    ChangesIntended {
        /// Name of the task.
        task: String,
        /// The host that they are written to, where it is another than the one that the record is about
        /// (`delegate_to`).
        #[serde(default)]
        on: Option<String>,
        /// The user that was become, if any.
        #[serde(default)]
        user: Option<String>,
        /// All of them.
        changes: Vec<ChangeRecord>,
        /// Nothing of what the task does is shown (`no_log`).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hidden: bool,
    },
    /// The changes are written, or were not.
    ChangesWritten {
        /// What was put aside on the target.
        kept: Vec<Kept>,
        /// Why it failed, if it did.
        failed: Option<String>,
    },
    /// A task is about to start an action.
    ActionIntended {
        /// Name of the task.
        task: String,
        /// The action.
        action: ActionCall,
        /// The folder on the target that makes sure that it starts once.
        folder: String,
        /// As in `ChangesIntended`.
        #[serde(default)]
        on: Option<String>,
        /// As in `ChangesIntended`.
        #[serde(default)]
        user: Option<String>,
        /// As in `ChangesIntended`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hidden: bool,
    },
    /// The action ended.
    ActionFinished {
        /// What it gave.
        output: Json,
        /// It counts as a change.
        changed: bool,
        /// Why it failed, if it did.
        failed: Option<String>,
    },
    /// A task on a host (for one item) has its outcome.
    NodeFinished {
        /// Name of the task.
        task: String,
        /// The outcome.
        status: NodeStatus,
        /// The name and value that were registered.
        register: Option<(String, Json)>,
        /// Variables set on the host (`set_fact`).
        facts: BTreeMap<String, Json>,
        /// Handlers notified.
        notified: Vec<String>,
        /// Its whole result, where it failed.
        #[serde(default)]
        result: Option<Json>,
        /// It was stopped before it wrote, since it was not what was approved: who goes on does it anew.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        drifted: bool,
        /// Why it was skipped, unless nothing of what the task does is shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        skipped: Option<String>,
    },
    /// A handler began; it is no longer pending.
    HandlerStarted {
        /// Its name.
        handler: String,
    },
    /// The run came to its end.
    RunFinished {
        /// The summary.
        summary: RunSummary,
    },
    /// What the run kept aside on hosts was removed: it cannot be taken back any more.
    Closed {
        /// What was removed.
        removed: Vec<Kept>,
    },
    /// What the run did on the host begins to be taken back: it is not to be resumed there.
    TakenBack {
        /// The run that takes it back.
        by: String,
    },
    /// A person removed the lock that the run had left on a site (on the host that the record names, else on the
    /// controller).
    Unlocked {
        /// The site, or the host without one.
        unit: String,
        /// Who: `user@machine`.
        by: String,
    },
}

impl Record {
    /// The kind of record as it stands in clear beside it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run-started",
            Self::RunResumed { .. } => "run-resumed",
            Self::Secrets { .. } => "secrets",
            Self::ChangesIntended { .. } => "changes-intended",
            Self::ChangesWritten { .. } => "changes-written",
            Self::ActionIntended { .. } => "action-intended",
            Self::ActionFinished { .. } => "action-finished",
            Self::NodeFinished { .. } => "node-finished",
            Self::HandlerStarted { .. } => "handler-started",
            Self::RunFinished { .. } => "run-finished",
            Self::Closed { .. } => "closed",
            Self::TakenBack { .. } => "taken-back",
            Self::Unlocked { .. } => "unlocked",
        }
    }
}

/// A change as it is recorded: enough to carry it on and to take it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Which resource.
    pub key: Ref,
    /// State before.
    pub from: Json,
    /// State after.
    pub to: Json,
    /// What the module asked for.
    pub want: Json,
    /// Can it be taken back?
    pub reversible: Reversible,
}

impl ChangeRecord {
    /// The change, as kinds take it.
    #[must_use]
    pub fn erased(&self) -> ErasedChange {
        ErasedChange {
            key: self.key.clone(),
            change: Change {
                from: self.from.clone(),
                to: self.to.clone(),
                want: self.want.clone(),
            },
        }
    }
}

/// The outcome of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeStatus {
    /// It was as it should be.
    Ok,
    /// It was changed (in check mode: would be).
    Changed,
    /// In a rollback: it was not taken back, since others have changed it since, or nothing to take it back with is there.
    Left,
    /// A condition said no.
    Skipped,
    /// It failed.
    Failed,
    /// The host could not be reached.
    Unreachable,
    /// Another run works on it or on its site: nothing was done.
    Locked,
    /// Check mode only: what it will do is not known before the run.
    Unknown,
    /// Check mode only: whether it runs is not known before the run.
    Conditional,
}

impl NodeStatus {
    /// The word used in events and reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Left => "left",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Locked => "locked",
            Self::Unknown => "unknown",
            Self::Conditional => "conditional",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Nodes by status word, per host.
    pub hosts: BTreeMap<String, BTreeMap<String, u32>>,
    /// It was interrupted by a person.
    pub interrupted: bool,
}

impl RunSummary {
    /// Nothing failed, and nothing was left out because of a person.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let failed = |by: &BTreeMap<String, u32>| {
            ["failed", "unreachable", "locked"]
                .iter()
                .any(|word| by.contains_key(*word))
        };
        !self.interrupted && !self.hosts.values().any(failed)
    }
}
