//! The module `set_fact`: sets variables of the host for the tasks that follow.

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Value;
use runbook_engine::world::View;

/// Arguments of `set_fact`: any names with their values. `cacheable` is read and has no effect beyond the run.
pub type SetFactArgs = serde_json::Map<String, serde_json::Value>;

/// The module.
pub struct SetFact;

impl Module for SetFact {
    type Args = SetFactArgs;
    const NAME: &'static str = "set_fact";
    const SUMMARY: &'static str = "Sets variables of the host for the tasks that follow.";
    const DOC: &'static str = r#"
```yaml
- set_fact: {major: "{{ version | split('.') | first }}", kept: true}
```

The names become variables of the host, and `ansible_facts` of what is registered holds them.

**Check mode**: the same. A value that is not known before the run is an unknown variable until then.
"#;

    const NEEDS_HOST: bool = false;

    fn validate(args: &SetFactArgs) -> Result<(), String> {
        for name in args.keys() {
            let mut chars = name.chars();
            let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
            if !(first && chars.all(|c| c.is_alphanumeric() || c == '_')) {
                return Err(format!(
                    "`{name}` is no name of a variable: letters, digits and _, no digit first"
                ));
            }
        }
        if args.keys().all(|k| k == "cacheable") {
            return Err("no variable is named".to_owned());
        }
        Ok(())
    }

    fn touches(_args: &SetFactArgs) -> Footprint {
        Footprint::nothing()
    }

    fn want(_args: &SetFactArgs, _world: &View<'_>) -> Result<Wanted, Stop> {
        Ok(Wanted::nothing())
    }

    fn output(
        args: &SetFactArgs,
        _before: &View<'_>,
        _after: &View<'_>,
    ) -> IndexMap<String, Value> {
        let facts = args
            .iter()
            .filter(|(name, _)| *name != "cacheable")
            .map(|(name, value)| (name.clone(), Value::from_json(value)))
            .collect();
        IndexMap::from([("ansible_facts".to_owned(), Value::Map(facts))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let ok = |json: &str| SetFact::validate(&serde_json::from_str(json).unwrap()).is_ok();
        assert!(ok(r#"{"a_1": 1, "cacheable": true}"#));
        for wrong in [
            r#"{"a-b": 1}"#,
            r#"{"1a": 1}"#,
            r#"{"cacheable": true}"#,
            "{}",
            r#"{"": 1}"#,
        ] {
            assert!(!ok(wrong), "{wrong}");
        }
    }
}
