//! The module `debug`: shows a message or a value.

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Evaluated;

/// Arguments of `debug`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DebugArgs {
    /// The message; lists and mappings are shown as they are. Default: Hello world!
    pub msg: Option<serde_json::Value>,
    /// An expression, without braces, whose value is shown.
    #[schemars(with = "Option<String>")]
    pub var: Option<Evaluated>,
    /// Shown only with at least so many `-v`. Default: 0.
    #[serde(default)]
    pub verbosity: u8,
}

/// The module.
pub struct Debug;

impl Module for Debug {
    type Args = DebugArgs;
    const NAME: &'static str = "debug";
    const SUMMARY: &'static str = "Shows a message or the value of an expression.";
    const DOC: &'static str = r#"
```yaml
- debug: {msg: "The archive is at {{ version }}"}
- debug: {var: found.stdout_lines}
```

**Check mode**: the same. What is not known before the run is shown as unknown.
"#;
    const FREE_FORM: Option<&'static str> = Some("msg");
    const EXPRESSIONS: &'static [&'static str] = &["var"];
    const NEEDS_HOST: bool = false;

    fn validate(args: &DebugArgs) -> Result<(), String> {
        if args.msg.is_some() && args.var.is_some() {
            return Err("`msg` and `var` exclude each other".to_owned());
        }
        Ok(())
    }

    fn touches(_args: &DebugArgs) -> Footprint {
        Footprint::nothing()
    }

    fn want(args: &DebugArgs, _world: &View<'_>) -> Result<Wanted, Stop> {
        let mut wanted = Wanted::nothing();
        match (&args.var, &args.msg) {
            (Some(var), _) => {
                wanted
                    .facts
                    .insert(var.expr.clone(), Value::from_json(&var.value));
            }
            (None, Some(msg)) => {
                wanted.facts.insert("msg".to_owned(), Value::from_json(msg));
            }
            (None, None) => {
                wanted
                    .facts
                    .insert("msg".to_owned(), Value::from("Hello world!"));
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook_engine::world::Fixture;

    #[test]
    fn it_shows_a_message_or_a_value() {
        let cases = [
            (r#"{"msg": "hi"}"#, r#"{"msg":"hi"}"#),
            (r#"{}"#, r#"{"msg":"Hello world!"}"#),
            (r#"{"msg": ["a", {"b": 1}]}"#, r#"{"msg":["a",{"b":1}]}"#),
            (
                r#"{"var": {"expr": "x.y", "value": [1, 2]}}"#,
                r#"{"x.y":[1,2]}"#,
            ),
        ];
        for (args, facts) in cases {
            let args: DebugArgs = serde_json::from_str(args).unwrap();
            let wanted = Debug::want(&args, &Fixture::default().view()).unwrap();
            assert_eq!(Value::Map(wanted.facts).to_json(false).to_string(), facts);
        }
    }
}
