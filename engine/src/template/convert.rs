//! Values from minijinja, and how they are printed.

use std::fmt::Write as _;
use std::sync::LazyLock;

use indexmap::IndexMap;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value as Jinja};

use super::views::{CONTEXT, Context, List, Mapping, Marker, Omit};
use crate::value::Value;

/// Values may be nested this deep.
const DEEPEST: usize = 100;

fn bad(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Is it what an inline `if` without `else` gives where its condition does not hold? As in Jinja this is undefined and
/// still printed, as nothing. minijinja tells it apart only by printing it strictly.
pub(super) fn is_nothing(value: &Jinja) -> bool {
    static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| {
        let mut strict = Environment::empty();
        strict.set_undefined_behavior(UndefinedBehavior::Strict);
        strict
    });
    value.is_undefined() && STRICT.empty_state().format(value.clone()).is_ok()
}

/// A value from minijinja with all that hangs on it; `None` where it is `omit`. Inside lists and mappings what is
/// omitted is left out.
pub(super) fn from_jinja(value: &Jinja) -> Result<Option<Value>, Error> {
    convert(value, 0)
}

fn convert(value: &Jinja, depth: usize) -> Result<Option<Value>, Error> {
    if depth > DEEPEST {
        return Err(bad("the value is nested too deep"));
    }
    Ok(Some(match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => match value.as_i64() {
            Some(n) if value.is_integer() => Value::Int(n),
            _ => Value::Float(f64::try_from(value.clone())?),
        },
        ValueKind::String => Value::Str(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Bytes => {
            Value::Str(String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()? {
                items.extend(convert(&item, depth + 1)?);
            }
            Value::List(items)
        }
        ValueKind::Map => {
            let mut map = IndexMap::new();
            for key in value.try_iter()? {
                let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                if let Some(inner) = convert(&value.get_item(&key)?, depth + 1)? {
                    map.insert(name, inner);
                }
            }
            Value::Map(map)
        }
        ValueKind::Invalid => return Err(invalid(value)),
        _ if value.downcast_object_ref::<Omit>().is_some() => return Ok(None),
        _ if value.downcast_object_ref::<Marker>().is_some() => Value::Null,
        _ if super::filters::is_moment(value) => Value::Str(value.to_string()),
        _ => return Err(bad("a function or macro is no value")),
    }))
}

/// The place that a value is a view of: then it is taken as it is, its leaves with their own marks.
pub(super) fn place_of(value: &Jinja) -> Option<super::place::Place> {
    value
        .downcast_object_ref::<Mapping>()
        .map(|view| &view.place)
        .or_else(|| value.downcast_object_ref::<List>().map(|view| &view.place))
        .cloned()
}

pub(super) fn invalid(value: &Jinja) -> Error {
    // Any use of an invalid value gives the error that it holds.
    match value.try_iter() {
        Err(error) => error,
        Ok(_) => bad("this value cannot be used"),
    }
}

/// How values are printed into text: as Python does, so that playbooks written for Ansible say the same; what is
/// null or omitted is printed as nothing.
pub(super) fn formatter(out: &mut Output, state: &mut State, value: &Jinja) -> Result<(), Error> {
    if let Some(context) = state
        .lookup(CONTEXT)
        .and_then(|v| v.downcast_object::<Context>())
    {
        context.look.trace.emit(value);
    }
    let missing = value.downcast_object_ref::<Marker>();
    match value.kind() {
        _ if missing.is_some_and(Marker::is_undefined) => {
            Err(Error::from(ErrorKind::UndefinedError))
        }
        ValueKind::Undefined if is_nothing(value) => Ok(()),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Invalid => Err(invalid(value)),
        ValueKind::None => Ok(()),
        ValueKind::String => out
            .write_str(value.as_str().unwrap_or_default())
            .map_err(Error::from),
        _ => {
            let mut text = String::new();
            display(value, &mut text)?;
            out.write_str(&text).map_err(Error::from)
        }
    }
}

/// A value as Python's `str` writes it.
pub(super) fn text(value: &Jinja) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => {
            let mut out = String::new();
            display(value, &mut out)?;
            Ok(out)
        }
    }
}

fn display(value: &Jinja, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String => out.push_str(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => repr(value, out, 0)?,
        ValueKind::Undefined if is_nothing(value) => {}
        _ => scalar(value, out)?,
    }
    Ok(())
}

fn scalar(value: &Jinja, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Invalid => return Err(invalid(value)),
        ValueKind::Number if !value.is_integer() => {
            out.push_str(&float(f64::try_from(value.clone())?));
        }
        _ => {
            let _ = write!(out, "{value}");
        }
    }
    Ok(())
}

/// A number with a fraction as Python writes it: `5.0`, `1e+16`.
pub(super) fn float(n: f64) -> String {
    if n.is_nan() {
        return "nan".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if n != 0.0 && !(1e-4..1e16).contains(&n.abs()) {
        let text = format!("{n:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{n:?}")
}

/// A value as Python's `repr` writes it.
fn repr(value: &Jinja, out: &mut String, depth: usize) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(bad("the value is nested too deep"));
    }
    match value.kind() {
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            let tuple = value.is_tuple();
            let mut items = 0;
            out.push(if tuple { '(' } else { '[' });
            for item in value.try_iter()? {
                if items > 0 {
                    out.push_str(", ");
                }
                items += 1;
                repr(&item, out, depth + 1)?;
            }
            if tuple && items == 1 {
                out.push(',');
            }
            out.push(if tuple { ')' } else { ']' });
        }
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                repr(&key, out, depth + 1)?;
                out.push_str(": ");
                repr(&value.get_item(&key)?, out, depth + 1)?;
            }
            out.push('}');
        }
        _ => scalar(value, out)?,
    }
    Ok(())
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
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// A value for minijinja, copied. Only for values of which nothing is secret or unknown, such as parsed texts.
pub(super) fn to_jinja(value: &Value) -> Jinja {
    match value {
        Value::Null | Value::Unknown(_) => Jinja::from(()),
        Value::Bool(b) => Jinja::from(*b),
        Value::Int(n) => Jinja::from(*n),
        Value::Float(n) => Jinja::from(*n),
        Value::Str(s) => Jinja::from(s.as_str()),
        Value::Secret(s) => Jinja::from(s.expose()),
        Value::List(items) => items.iter().map(to_jinja).collect::<Vec<_>>().into(),
        Value::Map(map) => Jinja::from_pairs(map.iter().map(|(k, v)| (k.clone(), to_jinja(v)))),
    }
}
