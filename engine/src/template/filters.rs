//! Ansible's filters and functions, with its meaning.

use std::cmp::Ordering;

use base64::Engine as _;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use regex::{Captures, Regex, RegexBuilder};
use sha2::Digest as _;

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn regex(pattern: &str, options: &Kwargs) -> Result<Regex, Error> {
    RegexBuilder::new(pattern)
        .case_insensitive(options.get::<Option<bool>>("ignorecase")?.unwrap_or(false))
        .multi_line(options.get::<Option<bool>>("multiline")?.unwrap_or(false))
        .size_limit(1 << 20)
        .build()
        .map_err(|e| bad(format!("`{pattern}` is not a regular expression: {e}")))
}

/// Python writes `\1` and `\g<name>` for groups.
fn expand(template: &str, found: &Captures<'_>) -> String {
    let mut out = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('\\', Some(d)) if d.is_ascii_digit() => {
                chars.next();
                let group = d.to_digit(10).unwrap_or(0) as usize;
                out.push_str(found.get(group).map_or("", |m| m.as_str()));
            }
            ('\\', Some('g')) => {
                chars.next();
                let name: String = chars.by_ref().skip(1).take_while(|c| *c != '>').collect();
                let group = name
                    .parse()
                    .ok()
                    .and_then(|n: usize| found.get(n))
                    .or_else(|| found.name(&name));
                out.push_str(group.map_or("", |m| m.as_str()));
            }
            ('\\', Some('n')) => {
                chars.next();
                out.push('\n');
            }
            ('\\', Some('\\')) => {
                chars.next();
                out.push('\\');
            }
            _ => out.push(c),
        }
    }
    out
}

fn items(value: &Value) -> Result<Vec<Value>, Error> {
    value.try_iter().map(Iterator::collect)
}

fn unique(all: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut seen: Vec<Value> = Vec::new();
    for item in all {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

fn merge(base: &Value, over: &Value, recursive: bool) -> Result<Value, Error> {
    if base.kind() != ValueKind::Map || over.kind() != ValueKind::Map {
        return Err(bad("`combine` takes mappings"));
    }
    let mut pairs: Vec<(String, Value)> = Vec::new();
    for key in base.try_iter()? {
        pairs.push((key.to_string(), base.get_item(&key)?));
    }
    for key in over.try_iter()? {
        let (name, value) = (key.to_string(), over.get_item(&key)?);
        match pairs.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old))
                if recursive && old.kind() == ValueKind::Map && value.kind() == ValueKind::Map =>
            {
                *old = merge(old, &value, true)?;
            }
            Some((_, old)) => *old = value,
            None => pairs.push((name, value)),
        }
    }
    Ok(Value::from_pairs(pairs))
}

fn flatten(value: &Value, levels: Option<i64>, out: &mut Vec<Value>) -> Result<(), Error> {
    for item in value.try_iter()? {
        if matches!(item.kind(), ValueKind::Seq) && levels.is_none_or(|l| l > 0) {
            flatten(&item, levels.map(|l| l - 1), out)?;
        } else if !item.is_none() {
            out.push(item);
        }
    }
    Ok(())
}

fn digest(text: &str, algorithm: &str) -> Result<String, Error> {
    Ok(match algorithm {
        "md5" => hex::encode(md5::Md5::digest(text.as_bytes())),
        "sha1" => hex::encode(sha1::Sha1::digest(text.as_bytes())),
        "sha224" => hex::encode(sha2::Sha224::digest(text.as_bytes())),
        "sha256" => hex::encode(sha2::Sha256::digest(text.as_bytes())),
        "sha384" => hex::encode(sha2::Sha384::digest(text.as_bytes())),
        "sha512" => hex::encode(sha2::Sha512::digest(text.as_bytes())),
        other => return Err(bad(format!("there is no hash `{other}`"))),
    })
}

/// Compares versions as Python's LooseVersion does: numbers as numbers, letters as letters.
pub(super) fn compare_versions(a: &str, b: &str, operator: &str) -> Result<bool, Error> {
    let order = version_order(a, b);
    Ok(match operator {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        other => {
            return Err(bad(format!(
                "`{other}` is no comparison; there are ==, !=, <, <=, >, >="
            )));
        }
    })
}

fn version_order(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<Result<u64, String>> {
        let mut parts = Vec::new();
        let mut current = String::new();
        let mut digits = false;
        let mut push = |current: &mut String| {
            if !current.is_empty() {
                let word = std::mem::take(current);
                parts.push(word.parse::<u64>().map_err(|_| word));
            }
        };
        for c in text.trim().chars() {
            if !c.is_ascii_alphanumeric() {
                push(&mut current);
                continue;
            }
            if c.is_ascii_digit() != digits {
                push(&mut current);
            }
            digits = c.is_ascii_digit();
            current.push(c);
        }
        push(&mut current);
        parts
    };
    let (a, b) = (parts(a), parts(b));
    for (x, y) in a.iter().zip(&b) {
        let order = match (x, y) {
            (Ok(x), Ok(y)) => x.cmp(y),
            (Err(x), Err(y)) => x.cmp(y),
            // A number is newer than a letter: 5.32.1 comes after 5.32.rc.
            (Ok(_), Err(_)) => Ordering::Greater,
            (Err(_), Ok(_)) => Ordering::Less,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn shell_word(text: &str) -> String {
    crate::transport::quote::word(text)
}

fn json(value: &Value) -> Result<serde_json::Value, Error> {
    Ok(super::convert::from_jinja(value)?.to_json(true))
}

fn from_json(text: &str) -> Result<Value, Error> {
    let parsed: serde_json::Value =
        serde_json::from_str(text).map_err(|e| bad(format!("this is not JSON: {e}")))?;
    Ok(super::convert::to_jinja(&crate::value::Value::from_json(
        &parsed,
    )))
}

fn from_yaml(text: &str) -> Result<Value, Error> {
    let sources = crate::source::Sources::new();
    let file = sources.add("from_yaml", text.to_owned());
    match crate::source::parse_one(&sources, file) {
        Ok(Some(node)) => Ok(super::convert::to_jinja(&crate::source::untyped(&node))),
        Ok(None) => Ok(Value::from(())),
        Err(errors) => Err(bad(errors
            .first()
            .map_or_else(String::new, |e| e.message.clone()))),
    }
}

/// A number of bytes from a text as `512M`, `1.5 GiB`.
fn to_bytes(text: &str) -> Result<i64, Error> {
    let text = text.trim();
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..at]
        .parse()
        .map_err(|_| bad(format!("`{text}` is not a size")))?;
    let power = match text[at..].trim().to_ascii_uppercase().chars().next() {
        None | Some('B') => 0,
        Some('K') => 1,
        Some('M') => 2,
        Some('G') => 3,
        Some('T') => 4,
        Some('P') => 5,
        Some(other) => return Err(bad(format!("`{other}` is not a unit of size"))),
    };
    Ok((number * 1024_f64.powi(power)) as i64)
}

fn human(bytes: f64) -> String {
    let units = ["Bytes", "KB", "MB", "GB", "TB", "PB"];
    let mut value = bytes;
    let mut at = 0;
    while value >= 1024.0 && at + 1 < units.len() {
        value /= 1024.0;
        at += 1;
    }
    format!("{value:.2} {}", units[at])
}

/// Adds them.
pub(super) fn add(env: &mut Environment<'static>) {
    collections(env);
    texts(env);
    formats(env);
    paths(env);
    functions(env);
}

fn collections(env: &mut Environment<'static>) {
    env.add_filter(
        "combine",
        |base: Value, over: Rest<Value>, options: Kwargs| -> Result<Value, Error> {
            let recursive = options.get::<Option<bool>>("recursive")?.unwrap_or(false);
            options.assert_all_used()?;
            over.iter()
                .try_fold(base, |base, over| merge(&base, over, recursive))
        },
    );
    env.add_filter(
        "difference",
        |a: Value, b: Value| -> Result<Vec<Value>, Error> {
            let b = items(&b)?;
            Ok(unique(items(&a)?.into_iter().filter(|x| !b.contains(x))))
        },
    );
    env.add_filter(
        "intersect",
        |a: Value, b: Value| -> Result<Vec<Value>, Error> {
            let b = items(&b)?;
            Ok(unique(items(&a)?.into_iter().filter(|x| b.contains(x))))
        },
    );
    env.add_filter("union", |a: Value, b: Value| -> Result<Vec<Value>, Error> {
        Ok(unique(items(&a)?.into_iter().chain(items(&b)?)))
    });
    env.add_filter(
        "symmetric_difference",
        |a: Value, b: Value| -> Result<Vec<Value>, Error> {
            let (a, b) = (items(&a)?, items(&b)?);
            let one = |x: &[Value], y: &[Value]| {
                x.iter()
                    .filter(|i| !y.contains(i))
                    .cloned()
                    .collect::<Vec<_>>()
            };
            Ok(unique(one(&a, &b).into_iter().chain(one(&b, &a))))
        },
    );
    env.add_filter(
        "flatten",
        |value: Value, options: Kwargs| -> Result<Vec<Value>, Error> {
            let mut out = Vec::new();
            flatten(&value, options.get::<Option<i64>>("levels")?, &mut out)?;
            Ok(out)
        },
    );
    env.add_filter(
        "dict2items",
        |value: Value, options: Kwargs| -> Result<Vec<Value>, Error> {
            let key_name: String = options
                .get::<Option<String>>("key_name")?
                .unwrap_or_else(|| "key".to_owned());
            let value_name: String = options
                .get::<Option<String>>("value_name")?
                .unwrap_or_else(|| "value".to_owned());
            let mut out = Vec::new();
            for key in items(&value)? {
                let inner = value.get_item(&key)?;
                out.push(Value::from_pairs([
                    (key_name.clone(), key),
                    (value_name.clone(), inner),
                ]));
            }
            Ok(out)
        },
    );
    env.add_filter(
        "items2dict",
        |value: Value, options: Kwargs| -> Result<Value, Error> {
            let key_name: String = options
                .get::<Option<String>>("key_name")?
                .unwrap_or_else(|| "key".to_owned());
            let value_name: String = options
                .get::<Option<String>>("value_name")?
                .unwrap_or_else(|| "value".to_owned());
            let mut pairs = Vec::new();
            for item in items(&value)? {
                pairs.push((
                    item.get_attr(&key_name)?.to_string(),
                    item.get_attr(&value_name)?,
                ));
            }
            Ok(Value::from_pairs(pairs))
        },
    );
    env.add_filter(
        "ternary",
        |value: Value, yes: Value, no: Value, none: Option<Value>| -> Value {
            match none {
                Some(none) if value.is_none() => none,
                _ if value.is_true() => yes,
                _ => no,
            }
        },
    );
    env.add_filter(
        "mandatory",
        |value: Value, message: Option<String>| -> Result<Value, Error> {
            if value.is_undefined() {
                return Err(bad(message.unwrap_or_else(|| {
                    "a mandatory variable is not defined".to_owned()
                })));
            }
            Ok(value)
        },
    );
    env.add_filter(
        "product",
        |a: Value, b: Value| -> Result<Vec<Vec<Value>>, Error> {
            let (a, b) = (items(&a)?, items(&b)?);
            Ok(a.iter()
                .flat_map(|x| b.iter().map(move |y| vec![x.clone(), y.clone()]))
                .collect())
        },
    );
    env.add_filter(
        "zip",
        |a: Value, b: Value| -> Result<Vec<Vec<Value>>, Error> {
            Ok(items(&a)?
                .into_iter()
                .zip(items(&b)?)
                .map(|(x, y)| vec![x, y])
                .collect())
        },
    );
    env.add_filter("extract", |key: Value, container: Value| {
        container.get_item(&key)
    });
    env.add_filter(
        "subelements",
        |value: Value, name: String| -> Result<Vec<Vec<Value>>, Error> {
            let mut out = Vec::new();
            for item in items(&value)? {
                for inner in items(&item.get_attr(&name)?)? {
                    out.push(vec![item.clone(), inner]);
                }
            }
            Ok(out)
        },
    );
}

fn texts(env: &mut Environment<'static>) {
    env.add_filter("bool", |value: Value| -> bool {
        match value.as_str() {
            Some(text) => matches!(
                text.to_ascii_lowercase().as_str(),
                "yes" | "on" | "1" | "true" | "y" | "t"
            ),
            None => value.is_true(),
        }
    });
    env.add_filter("quote", |text: Value| shell_word(&text.to_string()));
    env.add_filter(
        "regex_replace",
        |text: Value, pattern: String, with: Option<String>, options: Kwargs| {
            let expression = regex(&pattern, &options)?;
            let (text, with) = (text.to_string(), with.unwrap_or_default());
            Ok::<_, Error>(
                expression
                    .replace_all(&text, |found: &Captures<'_>| expand(&with, found))
                    .into_owned(),
            )
        },
    );
    env.add_filter(
        "regex_search",
        |text: Value, pattern: String, groups: Rest<String>, options: Kwargs| {
            let expression = regex(&pattern, &options)?;
            let text = text.to_string();
            let Some(found) = expression.captures(&text) else {
                return Ok::<_, Error>(Value::from(()));
            };
            if groups.is_empty() {
                return Ok(Value::from(found.get(0).map_or("", |m| m.as_str())));
            }
            Ok(Value::from(
                groups.iter().map(|g| expand(g, &found)).collect::<Vec<_>>(),
            ))
        },
    );
    env.add_filter(
        "regex_findall",
        |text: Value, pattern: String, options: Kwargs| {
            let expression = regex(&pattern, &options)?;
            let text: String = text.to_string();
            let all: Vec<Value> = expression
                .captures_iter(&text)
                .map(|found| match found.len() {
                    1 => Value::from(&found[0]),
                    2 => Value::from(found.get(1).map_or("", |m| m.as_str())),
                    n => {
                        let groups =
                            (1..n).map(|i| found.get(i).map_or("", |m| m.as_str()).to_owned());
                        Value::from(groups.collect::<Vec<String>>())
                    }
                })
                .collect();
            Ok::<_, Error>(all)
        },
    );
    env.add_filter("regex_escape", |text: String| regex::escape(&text));
    env.add_filter("b64encode", |text: Value| {
        base64::engine::general_purpose::STANDARD.encode(text.to_string())
    });
    env.add_filter("b64decode", |text: String| -> Result<String, Error> {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text.split_whitespace().collect::<String>())
            .map_err(|e| bad(format!("this is not base64: {e}")))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    env.add_filter("hash", |text: Value, algorithm: Option<String>| {
        digest(&text.to_string(), algorithm.as_deref().unwrap_or("sha1"))
    });
    env.add_filter("checksum", |text: Value| digest(&text.to_string(), "sha1"));
    for name in ["version", "version_compare"] {
        env.add_filter(name, |a: Value, b: Value, operator: Option<String>| {
            compare_versions(
                &a.to_string(),
                &b.to_string(),
                operator.as_deref().unwrap_or("=="),
            )
        });
    }
    env.add_filter("comment", |text: String| -> String {
        text.lines()
            .map(|l| {
                if l.is_empty() {
                    "#\n".to_owned()
                } else {
                    format!("# {l}\n")
                }
            })
            .collect()
    });
    env.add_filter("human_to_bytes", |text: Value| to_bytes(&text.to_string()));
    env.add_filter("human_readable", |value: Value| -> Result<String, Error> {
        value
            .to_string()
            .parse()
            .map(human)
            .map_err(|_| bad("`human_readable` takes a number of bytes"))
    });
    env.add_filter("type_debug", |value: Value| value.kind().to_string());
}

fn formats(env: &mut Environment<'static>) {
    env.add_filter("to_json", |value: Value| -> Result<String, Error> {
        Ok(json(&value)?.to_string())
    });
    env.add_filter(
        "to_nice_json",
        |value: Value, options: Kwargs| -> Result<String, Error> {
            let indent = options.get::<Option<usize>>("indent")?.unwrap_or(4);
            let mut out = Vec::new();
            let spaces = " ".repeat(indent);
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            let mut writer = serde_json::Serializer::with_formatter(&mut out, formatter);
            serde::Serialize::serialize(&json(&value)?, &mut writer)
                .map_err(|e| bad(e.to_string()))?;
            Ok(String::from_utf8_lossy(&out).into_owned())
        },
    );
    // Every JSON text is YAML; what reads it back sees the same values.
    env.add_filter("to_yaml", |value: Value| -> Result<String, Error> {
        Ok(format!("{}\n", json(&value)?))
    });
    env.add_filter("to_nice_yaml", |value: Value| -> Result<String, Error> {
        let mut out = String::new();
        nice_yaml(&json(&value)?, 0, &mut out);
        Ok(out)
    });
    env.add_filter("from_json", |text: String| from_json(&text));
    env.add_filter("from_yaml", |text: String| from_yaml(&text));
}

/// Block-style YAML; texts that could be taken for something else are quoted as JSON, which YAML understands.
fn nice_yaml(value: &serde_json::Value, indent: usize, out: &mut String) {
    use serde_json::Value as J;
    let pad = " ".repeat(indent);
    let scalar = |v: &J| match v {
        J::String(s) => {
            let safe = !s.is_empty()
                && s.chars().all(|c| c.is_alphanumeric() || "_./-".contains(c))
                && s.chars().next().is_some_and(char::is_alphabetic)
                && !matches!(
                    s.to_ascii_lowercase().as_str(),
                    "yes" | "no" | "on" | "off" | "true" | "false" | "null"
                );
            if safe { s.clone() } else { v.to_string() }
        }
        other => other.to_string(),
    };
    match value {
        J::Object(map) if !map.is_empty() => {
            for (key, inner) in map {
                let key = scalar(&J::String(key.clone()));
                if matches!(inner, J::Object(m) if !m.is_empty())
                    || matches!(inner, J::Array(a) if !a.is_empty())
                {
                    out.push_str(&format!("{pad}{key}:\n"));
                    nice_yaml(inner, indent + 4, out);
                } else {
                    out.push_str(&format!("{pad}{key}: {}\n", scalar(inner)));
                }
            }
        }
        J::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                nice_yaml(item, indent + 2, &mut inner);
                let trimmed = inner.trim_start_matches(' ');
                out.push_str(&format!("{pad}- {trimmed}"));
            }
        }
        other => out.push_str(&format!("{pad}{}\n", scalar(other))),
    }
}

fn paths(env: &mut Environment<'static>) {
    env.add_filter("basename", |path: String| {
        path.rsplit('/').next().unwrap_or_default().to_owned()
    });
    env.add_filter("dirname", |path: String| -> String {
        match path.rfind('/') {
            Some(0) => "/".to_owned(),
            Some(at) => path[..at].to_owned(),
            None => String::new(),
        }
    });
    env.add_filter("win_basename", |path: String| {
        path.rsplit(['\\', '/'])
            .next()
            .unwrap_or_default()
            .to_owned()
    });
    env.add_filter("splitext", |path: String| -> Vec<String> {
        let name_at = path.rfind('/').map_or(0, |at| at + 1);
        match path[name_at..].rfind('.') {
            Some(at) if at > 0 => vec![
                path[..name_at + at].to_owned(),
                path[name_at + at..].to_owned(),
            ],
            _ => vec![path, String::new()],
        }
    });
}

fn functions(env: &mut Environment<'static>) {
    env.add_function(
        "lookup",
        |kind: String, args: Rest<Value>| -> Result<Value, Error> {
            let first = args.first().map(ToString::to_string).unwrap_or_default();
            match kind.rsplit('.').next().unwrap_or(&kind) {
                "env" => Ok(Value::from(std::env::var(&first).unwrap_or_default())),
                "file" => std::fs::read_to_string(&first)
                    .map(|text| Value::from(text.trim_end()))
                    .map_err(|e| bad(format!("{first} cannot be read: {e}"))),
                other => Err(bad(format!(
                    "there is no lookup `{other}`; there are `env` and `file`"
                ))),
            }
        },
    );
    env.add_function("now", |_: Kwargs| -> Result<Value, Error> {
        Err(bad("`now` gives another answer each time, so no check could be true; use `runbook_run_time`"))
    });
}
