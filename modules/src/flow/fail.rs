//! The module `fail`: ends the host with a message.

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

/// Arguments of `fail`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailArgs {
    /// The message. Default: Failed as requested from task
    pub msg: Option<String>,
}

/// The module.
pub struct Fail;

impl Module for Fail {
    type Args = FailArgs;
    const NAME: &'static str = "fail";
    const SUMMARY: &'static str = "Fails with a message.";
    const DOC: &'static str = r#"
```yaml
- fail: {msg: "The database is of major version {{ found }}; there is no image for it"}
  when: found not in images
```

**Check mode**: the same, where its condition is known to hold.
"#;
    const FREE_FORM: Option<&'static str> = Some("msg");
    const NEEDS_HOST: bool = false;

    fn touches(_args: &FailArgs) -> Footprint {
        Footprint::nothing()
    }

    fn want(args: &FailArgs, _world: &View<'_>) -> Result<Wanted, Stop> {
        let msg = args
            .msg
            .clone()
            .unwrap_or_else(|| "Failed as requested from task".to_owned());
        let mut wanted = Wanted::nothing();
        wanted
            .facts
            .insert("msg".to_owned(), Value::from(msg.clone()));
        wanted.failed = Some(msg);
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook_engine::world::Fixture;

    #[test]
    fn it_fails_with_its_message() {
        let fail = |msg: Option<&str>| {
            let args = FailArgs {
                msg: msg.map(str::to_owned),
            };
            Fail::want(&args, &Fixture::default().view())
                .unwrap()
                .failed
        };
        assert_eq!(fail(Some("no image")).as_deref(), Some("no image"));
        assert_eq!(fail(None).as_deref(), Some("Failed as requested from task"));
    }
}
