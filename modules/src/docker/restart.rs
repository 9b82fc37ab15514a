//! The action `container-restart`.

use async_trait::async_trait;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Outcome};
use runbook_engine::host::Target;
use serde::{Deserialize, Serialize};

use super::state::ContainerWant;
use super::write;

/// Stops and starts a container, and waits until it is healthy.
pub struct Restart;

/// Which one, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestartCall {
    /// Its name.
    pub name: String,
    /// `healthy`, `within` and `stop_timeout` of it.
    pub want: ContainerWant,
}

#[async_trait]
impl ActionKind for Restart {
    type Call = RestartCall;

    const NAME: &'static str = "container-restart";

    fn after_cut(&self, _call: &RestartCall) -> AfterCut {
        // A container that is restarted twice is the same.
        AfterCut::Again
    }

    async fn run(
        &self,
        host: &Target,
        call: &RestartCall,
        _: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        write::restart(host, &call.name, &call.want).await?;
        Ok(Outcome {
            changed: true,
            failed: None,
            output: IndexMap::new(),
        })
    }
}
