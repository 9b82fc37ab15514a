//! Ansible's tests (`is succeeded`, `is version`, …) for expressions.

use minijinja::{Environment, Error, ErrorKind, Value};
use regex::RegexBuilder;

use super::filters::compare_versions;

/// Adds them.
pub(super) fn add(env: &mut Environment<'static>) {
    let flag = |value: &Value, name: &str| -> Result<bool, Error> {
        let found = value.get_attr(name)?;
        if found.is_undefined() {
            Ok(false)
        } else {
            truth(&found)
        }
    };
    for name in ["succeeded", "success", "successful"] {
        env.add_test(name, move |v: Value| {
            flag(&v, "failed").map(|failed| !failed)
        });
    }
    for name in ["failed", "failure"] {
        env.add_test(name, move |v: Value| flag(&v, "failed"));
    }
    for name in ["changed", "change"] {
        env.add_test(name, move |v: Value| flag(&v, "changed"));
    }
    for name in ["skipped", "skip"] {
        env.add_test(name, move |v: Value| flag(&v, "skipped"));
    }
    env.add_test("unreachable", move |v: Value| flag(&v, "unreachable"));
    env.add_test("reachable", move |v: Value| {
        flag(&v, "unreachable").map(|u| !u)
    });
    env.add_test("match", |text: String, pattern: String| {
        matches(&text, &format!("^(?:{pattern})"))
    });
    env.add_test("search", |text: String, pattern: String| {
        matches(&text, &pattern)
    });
    env.add_test("regex", |text: String, pattern: String| {
        matches(&text, &pattern)
    });
    for name in ["version", "version_compare"] {
        env.add_test(name, |a: Value, b: Value, operator: Option<String>| {
            compare_versions(
                &a.to_string(),
                &b.to_string(),
                operator.as_deref().unwrap_or("=="),
            )
        });
    }
    env.add_test("subset", |a: Vec<Value>, b: Vec<Value>| {
        a.iter().all(|x| b.contains(x))
    });
    env.add_test("superset", |a: Vec<Value>, b: Vec<Value>| {
        b.iter().all(|x| a.contains(x))
    });
    env.add_test("contains", |a: Value, b: Value| -> Result<bool, Error> {
        for item in a.try_iter()? {
            if item == b {
                return Ok(true);
            }
        }
        Ok(a.as_str()
            .zip(b.as_str())
            .is_some_and(|(a, b)| a.contains(b)))
    });
    env.add_test("any", |a: Vec<Value>| a.iter().any(Value::is_true));
    env.add_test("all", |a: Vec<Value>| a.iter().all(Value::is_true));
    env.add_test("truthy", |v: Value| v.is_true());
    env.add_test("falsy", |v: Value| !v.is_true());
    env.add_test("abs", |path: String| path.starts_with('/'));
}

fn truth(value: &Value) -> Result<bool, Error> {
    // An invalid value (not known before the run) gives its error when it is looked at.
    bool::try_from(value.clone()).or_else(|error| match value.kind() {
        minijinja::value::ValueKind::Invalid => Err(error),
        _ => Ok(value.is_true()),
    })
}

fn matches(text: &str, pattern: &str) -> Result<bool, Error> {
    RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map(|r| r.is_match(text))
        .map_err(|e| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("not a regular expression: {e}"),
            )
        })
}
