//! The module `pause`: waits for a time.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::host::Target;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

/// Arguments of `pause`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseArgs {
    /// Seconds.
    pub seconds: Option<u64>,
    /// Minutes.
    pub minutes: Option<u64>,
}

/// The module.
pub struct Pause;

impl Module for Pause {
    type Args = PauseArgs;
    const NAME: &'static str = "pause";
    const SUMMARY: &'static str = "Waits for a time.";
    const DOC: &'static str = r#"
```yaml
- pause: {minutes: 2}
```

Where something is waited *for*, `wait_for` or `until` is the better choice: it goes on as soon as it is there.

**Check mode**: it does not wait.
"#;

    fn validate(args: &PauseArgs) -> Result<(), String> {
        match (args.seconds, args.minutes) {
            (None, None) => Err("`seconds` or `minutes` is missing".to_owned()),
            (Some(_), Some(_)) => Err("`seconds` and `minutes` exclude each other".to_owned()),
            _ => Ok(()),
        }
    }

    fn touches(_args: &PauseArgs) -> Footprint {
        Footprint::nothing()
    }

    fn want(args: &PauseArgs, _world: &View<'_>) -> Result<Wanted, Stop> {
        let seconds = args
            .seconds
            .unwrap_or_else(|| args.minutes.unwrap_or_default().saturating_mul(60));
        Ok(Wanted::action::<Sleep>(
            &seconds,
            Effects::Nothing,
            format!("wait {seconds} s"),
        ))
    }
}

/// The action `pause`: its call is a number of seconds, waited on the controller.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sleep;

#[async_trait]
impl ActionKind for Sleep {
    type Call = u64;

    const NAME: &'static str = "pause";

    fn after_cut(&self, _call: &u64) -> AfterCut {
        // It waits once more, wholly.
        AfterCut::Again
    }

    async fn run(
        &self,
        _host: &Target,
        seconds: &u64,
        _run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        let start = Instant::now();
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        Ok(waited(start.elapsed().as_secs()))
    }

    fn foretold(&self, seconds: &u64) -> Option<Outcome> {
        Some(waited(*seconds))
    }
}

fn waited(seconds: u64) -> Outcome {
    let mut output = IndexMap::new();
    output.insert(
        "delta".to_owned(),
        Value::Int(i64::try_from(seconds).unwrap_or(i64::MAX)),
    );
    Outcome {
        changed: false,
        failed: None,
        output,
    }
}
