//! Methods of Python's texts and lists beyond those that minijinja brings.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::{bad, text};

/// What Python's texts and lists can do beyond the methods that minijinja brings.
pub(super) fn method(value: &Value, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    if let Some(subject) = value.as_str() {
        let argument = || args.first().map(text).transpose();
        let wide = |fill: fn(&str, usize, char) -> String| -> Result<Value, Error> {
            let width = args
                .first()
                .and_then(Value::as_usize)
                .filter(|w| *w <= 10_000)
                .ok_or_else(|| bad(format!("`{name}` takes a width of at most 10000")))?;
            let with = args.get(1).and_then(Value::as_str);
            let with = with.and_then(|s| s.chars().next());
            let missing = width.saturating_sub(subject.chars().count());
            Ok(Value::from(fill(
                subject,
                missing,
                with.unwrap_or(if name == "zfill" { '0' } else { ' ' }),
            )))
        };
        return match name {
            "zfill" => Some(wide(|s, n, c| match s.strip_prefix(['-', '+']) {
                Some(rest) => format!("{}{}{rest}", &s[..1], c.to_string().repeat(n)),
                None => c.to_string().repeat(n) + s,
            })),
            "rjust" => Some(wide(|s, n, c| c.to_string().repeat(n) + s)),
            "ljust" => Some(wide(|s, n, c| s.to_owned() + &c.to_string().repeat(n))),
            "center" => Some(wide(|s, n, c| {
                let c = c.to_string();
                c.repeat(n / 2) + s + &c.repeat(n - n / 2)
            })),
            "removeprefix" => Some(argument().map(|a| {
                let a = a.unwrap_or_default();
                Value::from(subject.strip_prefix(a.as_str()).unwrap_or(subject))
            })),
            "removesuffix" => Some(argument().map(|a| {
                let a = a.unwrap_or_default();
                Value::from(subject.strip_suffix(a.as_str()).unwrap_or(subject))
            })),
            "partition" | "rpartition" => Some(argument().map(|a| {
                let a = a.unwrap_or_default();
                let first = name == "partition";
                let cut = if first {
                    subject.split_once(a.as_str())
                } else {
                    subject.rsplit_once(a.as_str())
                };
                let parts = match cut {
                    Some((head, tail)) => [head, a.as_str(), tail],
                    None if first => [subject, "", ""],
                    None => ["", "", subject],
                };
                Value::from(parts.map(Value::from).to_vec())
            })),
            "rsplit" if args.len() == 2 => Some(argument().map(|a| {
                let a = a.unwrap_or_default();
                let most = args
                    .get(1)
                    .and_then(Value::as_usize)
                    .unwrap_or(usize::MAX - 1);
                let mut parts: Vec<Value> = subject
                    .rsplitn(most.saturating_add(1), a.as_str())
                    .map(Value::from)
                    .collect();
                parts.reverse();
                Value::from(parts)
            })),
            _ => None,
        };
    }
    if matches!(value.kind(), ValueKind::Seq) && name == "index" {
        return Some(super::items(value).and_then(|items| {
            items
                .iter()
                .position(|i| Some(i) == args.first())
                .map(Value::from)
                .ok_or_else(|| bad("the list has no such item"))
        }));
    }
    None
}
