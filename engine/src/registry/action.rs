//! Action kinds with their types erased.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::action::{ActionError, ActionKind, ActionRun, AfterCut, Outcome};
use crate::host::{HostError, Probe, Target};

/// An [`ActionKind`] with its types erased.
#[async_trait]
pub trait AnyAction: Send + Sync {
    /// See [`ActionKind::NAME`].
    fn name(&self) -> &'static str;
    /// See [`ActionKind::run`].
    async fn run(
        &self,
        host: &Target,
        call: &Json,
        run: &ActionRun,
    ) -> Result<Outcome, ActionError>;
    /// See [`ActionKind::after_cut`].
    fn after_cut(&self, call: &Json) -> AfterCut;
    /// See [`ActionKind::foretold`].
    fn foretold(&self, call: &Json) -> Option<Outcome>;
    /// See [`ActionKind::probe`].
    async fn probe(&self, host: &Probe, call: &Json) -> Result<Option<Outcome>, HostError>;
}

pub(super) struct Erased<A>(pub A);

#[async_trait]
impl<A: ActionKind> AnyAction for Erased<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    async fn run(
        &self,
        host: &Target,
        call: &Json,
        run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        let call = A::Call::deserialize(call).map_err(|e| {
            ActionError::Failed(format!("the call of {} cannot be understood: {e}", A::NAME))
        })?;
        self.0.run(host, &call, run).await
    }

    fn after_cut(&self, call: &Json) -> AfterCut {
        // A call that this version does not understand was one of another.
        A::Call::deserialize(call).map_or(AfterCut::Undecided, |call| self.0.after_cut(&call))
    }

    fn foretold(&self, call: &Json) -> Option<Outcome> {
        self.0.foretold(&A::Call::deserialize(call).ok()?)
    }

    async fn probe(&self, host: &Probe, call: &Json) -> Result<Option<Outcome>, HostError> {
        let call = A::Call::deserialize(call).map_err(|e| {
            HostError::failed(format!("the call of {} cannot be understood: {e}", A::NAME))
        })?;
        self.0.probe(host, &call).await
    }
}
