//! Actions: tasks that are no resource change. They end where they began, or their effect is not ours to know.

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::host::{HostError, Probe, Target};
use crate::module::Mark;
use crate::resource::Data;
use crate::value::Value;

/// A kind of action: a command, a wait, a restart, a backup. The only other code, beside the resource kinds, that
/// holds a [`Target`].
#[async_trait]
pub trait ActionKind: Send + Sync + 'static {
    /// What to do, as plain data, computed by a module.
    type Call: Data;

    /// The name: `exec`, `wait`, `container-restart`.
    const NAME: &'static str;

    /// Does it.
    async fn run(
        &self,
        host: &Target,
        call: &Self::Call,
        run: &ActionRun,
    ) -> Result<Outcome, ActionError>;

    /// What going on with it means where the run was cut off after it was begun and before it was known how it ended.
    fn after_cut(&self, _call: &Self::Call) -> AfterCut {
        AfterCut::Undecided
    }

    /// In check mode: how it will end, where the call alone tells, whatever is on the host by then (a pause).
    fn foretold(&self, _call: &Self::Call) -> Option<Outcome> {
        None
    }

    /// In check mode, where [`Effects::Nothing`] was declared: what it would answer now, or `None` where only the
    /// run can tell (a wait that would have to wait).
    async fn probe(&self, _host: &Probe, _call: &Self::Call) -> Result<Option<Outcome>, HostError> {
        Ok(None)
    }
}

/// Where an action runs: names its folder on the target, so that it is never started twice. A further command of the same
/// action has a folder of this name, a dot and a name of its own, and is removed with it.
#[derive(Debug, Clone)]
pub struct ActionRun {
    /// Id of the run.
    pub run: String,
    /// Id of the node within the run, safe in a file name.
    pub node: String,
    /// What it is called with holds a secret.
    pub private: bool,
}

/// What can be done about an action that was begun, and of which it is not known how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCut {
    /// It is called once more, with the same [`ActionRun`]: it finds what was begun there and takes it up, or doing it
    /// twice is the same as doing it once.
    Again,
    /// Nobody can see whether it was done, and doing it twice may not be the same: a person decides.
    Undecided,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Did it change something? Ansible's commands always say so.
    pub changed: bool,
    /// Failed, for this reason (a command's status other than 0 is a failure that still has an output).
    pub failed: Option<String>,
    /// What `register` gets.
    pub output: IndexMap<String, Value>,
}

/// Why an action did not come to an outcome.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// It could not be done; what was tried, what came back, what to do. No secret.
    #[error("{0}")]
    Failed(String),
    /// The host or the connection.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// An action that a module calls for, with the type of its kind erased.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionCall {
    /// Name of the action kind.
    pub kind: String,
    /// The call as JSON. May hold secrets; journalled encrypted, never shown.
    pub call: serde_json::Value,
    /// What it declares.
    pub effects: Effects,
    /// One line for the plan, no secret.
    pub summary: String,
    /// Seen as a change when it runs? (`command` yes, `wait_for` no.) Known before it runs, unless `changed_when`.
    pub changes: bool,
}

impl ActionCall {
    /// Would it do the same as the other? What it tells people beforehand (how many entries an export has) may differ, and
    /// whether it counts as a change is told by the status of its task.
    #[must_use]
    pub fn does_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.call == other.call && self.effects == other.effects
    }

    /// A call of kind `A` that counts as a change unless it declares [`Effects::Nothing`].
    #[must_use]
    pub fn new<A: ActionKind>(
        call: &A::Call,
        effects: Effects,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            kind: A::NAME.to_owned(),
            call: serde_json::to_value(call).unwrap_or_default(),
            changes: effects != Effects::Nothing,
            effects,
            summary: summary.into(),
        }
    }
}

/// What an action declares of its effects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effects {
    /// Changes nothing on the machine (wait, pause, export). Its result may be asked for in check mode.
    Nothing,
    /// Changes these and nothing else.
    Changes(Vec<Mark>),
    /// Creates (or removes) these, and is assumed to change nothing else.
    Creates(Vec<Mark>),
    /// Not ours to know: a barrier, after which nothing on the machine is known.
    Opaque,
}

impl Effects {
    /// The places that it changes, as far as that is said.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        match self {
            Self::Nothing | Self::Opaque => &[],
            Self::Changes(marks) | Self::Creates(marks) => marks,
        }
    }
}
