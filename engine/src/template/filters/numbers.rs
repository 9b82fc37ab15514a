//! Numbers and sizes.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, Value};

use super::{Given, bad, filter, text};

fn number(value: &Value) -> Result<f64, Error> {
    match value.as_str() {
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| bad(format!("`{text}` is no number"))),
        None => f64::try_from(value.clone()).map_err(|_| bad(format!("`{value}` is no number"))),
    }
}

/// As Ansible's `bool`: what is not known to be true is false.
fn truth(value: &Value) -> Value {
    if value.is_none() || value.kind() == ValueKind::Bool {
        return value.clone();
    }
    Value::from(match value.as_str() {
        Some(text) => matches!(
            text.to_ascii_lowercase().as_str(),
            "yes" | "on" | "1" | "true" | "y" | "t"
        ),
        None => value.is_number() && *value == Value::from(1),
    })
}

/// As Jinja's `int`: what is no number is the default.
fn int(value: Value, given: &Given) -> Result<Value, Error> {
    let other = given.value(0, "default")?.unwrap_or_else(|| Value::from(0));
    let base = given.int(1, "base")?.unwrap_or(10);
    given.only(2)?;
    let Some(subject) = value.as_str() else {
        return Ok(match value.kind() {
            ValueKind::Bool => Value::from(i64::from(value.is_true())),
            ValueKind::Number if value.is_integer() => value,
            // The fraction is cut off, as Python does.
            ValueKind::Number => match f64::try_from(value) {
                Ok(n) if n.abs() < 9e15 => Value::from(n.trunc() as i64),
                _ => other,
            },
            _ => other,
        });
    };
    let digits = subject.trim().replace('_', "");
    let stripped = match base {
        16 => digits.trim_start_matches("0x"),
        8 => digits.trim_start_matches("0o"),
        2 => digits.trim_start_matches("0b"),
        _ => &digits,
    };
    let base = u32::try_from(base).ok().filter(|b| (2..=36).contains(b));
    let base = base.ok_or_else(|| bad("a base lies between 2 and 36"))?;
    Ok(match i64::from_str_radix(stripped, base) {
        Ok(n) => Value::from(n),
        Err(_) if base == 10 => match digits.parse::<f64>() {
            Ok(n) if n.is_finite() && n.abs() < 9e15 => Value::from(n.trunc() as i64),
            _ => other,
        },
        Err(_) => other,
    })
}

/// Sizes as `512M`, `1.5 GiB`, `10 Mb`: bytes, or with `bits` bits.
fn to_bytes(size: &str, unit: Option<&str>, bits: bool) -> Result<i64, Error> {
    let size = size.trim();
    let at = size
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(size.len());
    let amount: f64 = size[..at]
        .parse()
        .map_err(|_| bad(format!("`{size}` is no size such as 512M")))?;
    let given = size[at..].trim();
    let unit = if given.is_empty() {
        unit.unwrap_or("")
    } else {
        given
    };
    let mut letters = unit.chars();
    let power = match letters.next().map(|c| c.to_ascii_uppercase()) {
        None | Some('B') => 0,
        Some('K') => 1,
        Some('M') => 2,
        Some('G') => 3,
        Some('T') => 4,
        Some('P') => 5,
        Some('E') => 6,
        Some('Z') => 7,
        Some('Y') => 8,
        Some(_) => return Err(bad(format!("`{unit}` is no unit of size"))),
    };
    let small = letters.as_str().ends_with('b') || unit == "b";
    if power > 0 && small != bits && !letters.as_str().is_empty() {
        let what = if bits {
            "bits, written Mb"
        } else {
            "bytes, written MB"
        };
        return Err(bad(format!("`{size}`: a size in {what} is expected")));
    }
    let bytes = (amount * 1024_f64.powi(power)).round();
    if bytes.is_finite() && bytes.abs() < 9e18 {
        Ok(bytes as i64)
    } else {
        Err(bad(format!("`{size}` is too large")))
    }
}

fn readable(value: Value, given: &Given) -> Result<Value, Error> {
    let bits = given.truth(0, "isbits")?;
    let unit = given.text(1, "unit")?;
    given.only(2)?;
    let bytes = number(&value)?;
    let base = if bits { "bits" } else { "Bytes" };
    let letter = if bits { "b" } else { "B" };
    let units = ["", "K", "M", "G", "T", "P", "E", "Z", "Y"];
    let wanted = unit.map(|u| u.to_ascii_uppercase());
    let at = match &wanted {
        Some(unit) => units
            .iter()
            .position(|u| !u.is_empty() && unit.starts_with(u))
            .unwrap_or(0),
        None => (1..units.len())
            .rev()
            .find(|at| bytes.abs() >= 1024_f64.powi(i32::try_from(*at).unwrap_or(0)))
            .unwrap_or(0),
    };
    let shown = bytes / 1024_f64.powi(i32::try_from(at).unwrap_or(0));
    let unit = if at == 0 {
        base.to_owned()
    } else {
        format!("{}{letter}", units[at])
    };
    Ok(Value::from(format!("{shown:.2} {unit}")))
}

pub(super) fn add(env: &mut Environment<'static>) {
    filter(env, "bool", |value, given| {
        given.only(0)?;
        Ok(truth(&value))
    });
    filter(env, "int", int);
    filter(env, "float", |value, given| {
        let other = given
            .value(0, "default")?
            .unwrap_or_else(|| Value::from(0.0));
        given.only(1)?;
        Ok(match value.kind() {
            ValueKind::Bool => Value::from(if value.is_true() { 1.0 } else { 0.0 }),
            _ => number(&value).map_or(other, Value::from),
        })
    });
    filter(env, "pow", |value, given| {
        let power = given
            .value(0, "y")?
            .ok_or_else(|| bad("`pow` takes a power"))?;
        given.only(1)?;
        Ok(Value::from(number(&value)?.powf(number(&power)?)))
    });
    filter(env, "root", |value, given| {
        let base = given.value(0, "base")?.map_or(Ok(2.0), |b| number(&b))?;
        given.only(1)?;
        let value = number(&value)?;
        // The square root has its own function, which is exact where the power is not.
        let exact = (base - 2.0).abs() < f64::EPSILON;
        Ok(Value::from(if exact {
            value.sqrt()
        } else {
            value.powf(1.0 / base)
        }))
    });
    filter(env, "log", |value, given| {
        let base = given.value(0, "base")?.map(|b| number(&b)).transpose()?;
        given.only(1)?;
        let value = number(&value)?;
        Ok(Value::from(match base {
            None => value.ln(),
            Some(base) if (base - 10.0).abs() < f64::EPSILON => value.log10(),
            Some(base) => value.log(base),
        }))
    });
    filter(env, "human_to_bytes", |value, given| {
        let unit = given.text(0, "default_unit")?;
        let bits = given.truth(1, "isbits")?;
        given.only(2)?;
        to_bytes(&text(&value)?, unit.as_deref(), bits).map(Value::from)
    });
    filter(env, "human_readable", readable);
}
