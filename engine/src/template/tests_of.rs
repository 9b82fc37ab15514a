//! Ansible's tests (`is succeeded`, `is version`, …) for expressions.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::filters::{asks_for_a_result, bad, compare_versions, items, regex, text, valid};
use super::views::Marker;

/// Every test, for suggestions.
pub(super) const TESTS: &[&str] = &[
    "abs",
    "all",
    "any",
    "boolean",
    "change",
    "changed",
    "contains",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "failed",
    "failure",
    "false",
    "falsy",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "match",
    "ne",
    "none",
    "number",
    "odd",
    "reachable",
    "regex",
    "sameas",
    "search",
    "sequence",
    "skip",
    "skipped",
    "startingwith",
    "string",
    "subset",
    "succeeded",
    "success",
    "successful",
    "superset",
    "test",
    "true",
    "truthy",
    "undefined",
    "unreachable",
    "upper",
    "url",
    "version",
    "version_compare",
    "nan",
    "finished",
    "started",
    "timedout",
];

/// Whether a registered result says so.
fn flag(value: &Value, name: &str) -> Result<bool, Error> {
    if value.kind() == ValueKind::Plain {
        return Ok(false);
    }
    if value.kind() != ValueKind::Map {
        let what = match value.kind() {
            // Whoever reports it names what is undefined.
            ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
            ValueKind::None => "nothing",
            ValueKind::Bool => "a truth value",
            ValueKind::Number => "a number",
            ValueKind::String => "a text",
            _ => "a list",
        };
        return Err(asks_for_a_result(what));
    }
    let found = valid(value.get_item(&Value::from(name))?)?;
    Ok(!found.is_undefined() && found.is_true())
}

fn versions(
    value: &Value,
    other: &Value,
    operator: Option<String>,
    options: &Kwargs,
) -> Result<bool, Error> {
    let operator = operator.or(options.get::<Option<String>>("operator")?);
    let strict = options.get::<Option<bool>>("strict")?.unwrap_or(false);
    let kind = options.get::<Option<String>>("version_type")?;
    options.assert_all_used()?;
    let kind = kind.unwrap_or_else(|| if strict { "strict" } else { "loose" }.to_owned());
    compare_versions(
        &text(value)?,
        &text(other)?,
        operator.as_deref().unwrap_or("=="),
        &kind,
    )
}

fn matches(value: &Value, pattern: &str, options: &Kwargs, anchor: &str) -> Result<bool, Error> {
    let folded = options.get::<Option<bool>>("ignorecase")?.unwrap_or(false);
    let lines = options.get::<Option<bool>>("multiline")?.unwrap_or(false);
    let how = options.get::<Option<String>>("match_type")?;
    options.assert_all_used()?;
    let pattern = match how.as_deref().unwrap_or(anchor) {
        "match" => format!("\\A(?:{pattern})"),
        "fullmatch" => format!("\\A(?:{pattern})\\z"),
        "search" => pattern.to_owned(),
        other => return Err(bad(format!("`{other}` is no way to match"))),
    };
    Ok(regex(&pattern, folded, lines)?.is_match(&text(value)?))
}

/// Does the question whether it exists concern something undefined? The question itself settles a marker.
fn undefined(value: &Value) -> bool {
    match value.downcast_object_ref::<Marker>() {
        Some(marker) => {
            marker.trace.settle(marker.id);
            marker.is_undefined()
        }
        None => value.is_undefined(),
    }
}

/// Adds them.
pub(super) fn add(env: &mut Environment<'static>) {
    env.add_test("defined", |value: &Value| !undefined(value));
    env.add_test("undefined", |value: &Value| undefined(value));
    for name in ["succeeded", "success", "successful"] {
        env.add_test(name, |v: &Value| flag(v, "failed").map(|failed| !failed));
    }
    for name in ["failed", "failure"] {
        env.add_test(name, |v: &Value| flag(v, "failed"));
    }
    for name in ["changed", "change"] {
        env.add_test(name, |v: &Value| flag(v, "changed"));
    }
    for name in ["skipped", "skip"] {
        env.add_test(name, |v: &Value| flag(v, "skipped"));
    }
    for name in ["finished", "started", "timedout", "unreachable"] {
        env.add_test(name, move |v: &Value| flag(v, name));
    }
    env.add_test("reachable", |v: &Value| flag(v, "unreachable").map(|u| !u));
    for (name, anchor) in [
        ("match", "match"),
        ("search", "search"),
        ("regex", "search"),
    ] {
        env.add_test(name, move |v: &Value, pattern: String, options: Kwargs| {
            matches(v, &pattern, &options, anchor)
        });
    }
    for name in ["version", "version_compare"] {
        env.add_test(
            name,
            |a: &Value, b: &Value, operator: Option<String>, options: Kwargs| {
                versions(a, b, operator, &options)
            },
        );
    }
    for name in ["subset", "issubset"] {
        env.add_test(name, |a: &Value, b: &Value| -> Result<bool, Error> {
            let b = items(b)?;
            Ok(items(a)?.iter().all(|x| b.contains(x)))
        });
    }
    for name in ["superset", "issuperset"] {
        env.add_test(name, |a: &Value, b: &Value| -> Result<bool, Error> {
            let a = items(a)?;
            Ok(items(b)?.iter().all(|x| a.contains(x)))
        });
    }
    env.add_test("contains", |a: &Value, b: &Value| -> Result<bool, Error> {
        match a.as_str() {
            Some(whole) => Ok(whole.contains(&text(b)?)),
            None => Ok(items(a)?.contains(b)),
        }
    });
    env.add_test("any", |a: &Value| {
        items(a).map(|all| all.iter().any(Value::is_true))
    });
    env.add_test("all", |a: &Value| {
        items(a).map(|all| all.iter().all(Value::is_true))
    });
    for (name, wanted) in [("truthy", true), ("falsy", false)] {
        env.add_test(
            name,
            move |v: &Value, options: Kwargs| -> Result<bool, Error> {
                let convert = options
                    .get::<Option<bool>>("convert_bool")?
                    .unwrap_or(false);
                options.assert_all_used()?;
                let said = v.as_str().filter(|_| convert).and_then(super::truth);
                Ok(said.unwrap_or_else(|| v.is_true()) == wanted)
            },
        );
    }
    // As in Jinja everything that has a length and items.
    env.add_test("sequence", |v: &Value| {
        matches!(
            v.kind(),
            ValueKind::Seq | ValueKind::Map | ValueKind::String
        )
    });
    env.add_test("abs", |path: &Value| text(path).map(|p| p.starts_with('/')));
    env.add_test("url", |v: &Value| -> Result<bool, Error> {
        let url = text(v)?;
        Ok(url
            .split_once("://")
            .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()))
    });
    env.add_test("nan", |v: &Value| {
        f64::try_from(v.clone()).is_ok_and(f64::is_nan)
    });
}
