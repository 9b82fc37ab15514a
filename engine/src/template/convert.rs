//! Values to and from minijinja, and how they are printed.

use std::fmt::Write as _;

use indexmap::IndexMap;
use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value as Jinja};

use super::scope::unknown;
use crate::value::Value;

/// A value for minijinja. What is unknown becomes an error at its first use.
pub(super) fn to_jinja(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(b) => Jinja::from(*b),
        Value::Int(n) => Jinja::from(*n),
        Value::Float(n) => Jinja::from(*n),
        Value::Str(s) => Jinja::from(s.as_str()),
        Value::Secret(s) => Jinja::from(s.expose()),
        Value::List(items) => items.iter().map(to_jinja).collect::<Vec<_>>().into(),
        Value::Map(map) => Jinja::from_pairs(map.iter().map(|(k, v)| (k.clone(), to_jinja(v)))),
        Value::Unknown(why) => Jinja::from(unknown(why)),
    }
}

/// A value from minijinja.
pub(super) fn from_jinja(value: &Jinja) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(Error::from(minijinja::ErrorKind::UndefinedError));
    }
    Ok(match value.kind() {
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(n) if value.is_integer() => Value::Int(n),
            _ => Value::Float(f64::try_from(value.clone())?),
        },
        ValueKind::String => Value::Str(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Bytes => {
            Value::Str(String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()? {
                items.push(from_nested(&item)?);
            }
            Value::List(items)
        }
        ValueKind::Map => {
            let mut map = IndexMap::new();
            for key in value.try_iter()? {
                let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                map.insert(name, from_nested(&value.get_item(&key)?)?);
            }
            Value::Map(map)
        }
        ValueKind::Invalid => return Err(invalid(value)),
        _ => Value::Str(value.to_string()),
    })
}

/// What is unknown within a list or mapping stays there; who looks at it finds out.
fn from_nested(value: &Jinja) -> Result<Value, Error> {
    match from_jinja(value) {
        Err(error) => match super::scope::our_error(&error) {
            Some(own) if own.kind == super::ErrorKind::Unknown => Ok(Value::Unknown(own.message)),
            _ => Err(error),
        },
        found => found,
    }
}

fn invalid(value: &Jinja) -> Error {
    // Any use of an invalid value gives the error that it holds.
    match value.try_iter() {
        Err(error) => error,
        Ok(_) => Error::new(
            minijinja::ErrorKind::InvalidOperation,
            "this value cannot be used",
        ),
    }
}

/// How values are printed into text: as Python does, so that playbooks written for Ansible say the same.
pub(super) fn formatter(out: &mut Output, state: &mut State, value: &Jinja) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Bool => out
            .write_str(if value.is_true() { "True" } else { "False" })
            .map_err(Error::from),
        ValueKind::None => out.write_str("None").map_err(Error::from),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            let mut text = String::new();
            python(&from_jinja(value)?, &mut text);
            out.write_str(&text).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// A value as Python's `repr` writes it.
fn python(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
        Value::Int(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Float(n) => {
            let _ = write!(out, "{n:?}");
        }
        Value::Str(s) => quoted(s, out),
        Value::Secret(s) => quoted(s.expose(), out),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                python(item, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (at, (key, item)) in map.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                quoted(key, out);
                out.push_str(": ");
                python(item, out);
            }
            out.push('}');
        }
        Value::Unknown(why) => {
            let _ = write!(out, "<unknown {why}>");
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}
