//! The module `assert`: goes on only where conditions hold.

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Evaluated;

/// Arguments of `assert`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssertArgs {
    /// The conditions, expressions without braces; one, or a list of which all must hold.
    #[schemars(with = "Vec<String>")]
    pub that: Vec<Evaluated>,
    /// Said when one does not hold. Also written `msg`.
    #[serde(alias = "msg")]
    pub fail_msg: Option<String>,
    /// Said when all hold. Default: All assertions passed
    pub success_msg: Option<String>,
    /// Say nothing when all hold. Default: no.
    #[serde(default)]
    pub quiet: bool,
}

/// The module.
pub struct Assert;

impl Module for Assert {
    type Args = AssertArgs;
    const NAME: &'static str = "assert";
    const SUMMARY: &'static str = "Fails where a condition does not hold.";
    const DOC: &'static str = r#"
```yaml
- assert:
    that:
      - version is match('5\.31\.')
      - free.stdout | int > 10000000
    fail_msg: "This playbook starts from 5.31 and needs 10 GB"
```

**Check mode**: the same. A condition that cannot be judged before the run is unknown until then.
"#;

    const EXPRESSIONS: &'static [&'static str] = &["that"];
    const CONDITIONS: &'static [&'static str] = &["that"];
    const NEEDS_HOST: bool = false;

    fn validate(args: &AssertArgs) -> Result<(), String> {
        if args.that.is_empty() {
            Err("`that` holds no condition".to_owned())
        } else {
            Ok(())
        }
    }

    fn touches(_args: &AssertArgs) -> Footprint {
        Footprint::nothing()
    }

    fn want(args: &AssertArgs, _world: &View<'_>) -> Result<Wanted, Stop> {
        let mut wanted = Wanted::nothing();
        let judged: Vec<(&str, Value)> = args
            .that
            .iter()
            .map(|c| (c.expr.as_str(), Value::from_json(&c.value)))
            .collect();
        let wrong = judged
            .iter()
            .find(|(_, value)| value.unknown().is_none() && !holds(value));
        if let Some((expr, _)) = wrong {
            let msg = args
                .fail_msg
                .clone()
                .unwrap_or_else(|| "Assertion failed".to_owned());
            wanted
                .facts
                .insert("assertion".to_owned(), Value::from(*expr));
            wanted
                .facts
                .insert("evaluated_to".to_owned(), Value::Bool(false));
            wanted
                .facts
                .insert("msg".to_owned(), Value::from(msg.clone()));
            wanted.failed = Some(format!("{msg} (does not hold: {expr})"));
            return Ok(wanted);
        }
        if let Some(why) = judged.iter().find_map(|(_, value)| value.unknown()) {
            return Err(Stop::Unknown(why.to_owned()));
        }
        if !args.quiet {
            let msg = args
                .success_msg
                .clone()
                .unwrap_or_else(|| "All assertions passed".to_owned());
            wanted.facts.insert("msg".to_owned(), Value::from(msg));
        }
        Ok(wanted)
    }
}

/// Truth as templates have it: nothing, zero and what is empty do not hold.
fn holds(value: &Value) -> bool {
    match value {
        Value::Null | Value::Unknown(_) => false,
        Value::Bool(b) => *b,
        Value::Int(n) => *n != 0,
        Value::Float(n) => *n != 0.0,
        Value::Str(s) => !s.is_empty(),
        Value::Secret(s) => !s.expose().is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook_engine::world::Fixture;

    fn want(that: &str) -> Result<Wanted, Stop> {
        let args: AssertArgs =
            serde_json::from_str(&format!(r#"{{"that": {that}, "msg": "no"}}"#)).unwrap();
        Assert::want(&args, &Fixture::default().view())
    }

    #[test]
    fn all_must_hold_and_one_that_does_not_is_named() {
        let holds = r#"{"expr": "a", "value": true}"#;
        let fails = r#"{"expr": "b > 1", "value": false}"#;
        let open = r#"{"expr": "c", "value": {"__runbook_unknown": "until X"}}"#;
        assert_eq!(
            want(&format!("[{holds}]")).unwrap().facts["msg"],
            Value::from("All assertions passed")
        );
        let wanted = want(&format!("[{holds}, {open}, {fails}]")).unwrap();
        assert_eq!(wanted.failed.as_deref(), Some("no (does not hold: b > 1)"));
        assert_eq!(wanted.facts["assertion"], Value::from("b > 1"));
        assert_eq!(
            want(&format!("[{holds}, {open}]")).unwrap_err(),
            Stop::Unknown("until X".to_owned())
        );
    }
}
