//! Versions, compared as Ansible does.

use std::cmp::Ordering;

use minijinja::{Environment, Error};

use super::{bad, filter, text};

/// Compares versions. `kind`: `loose` (Python's LooseVersion: numbers as numbers, words as words), `strict` (two or
/// three numbers) or `semver` (semver.org 2.0: pre-releases before releases, build data not looked at).
pub(in crate::template) fn compare(
    a: &str,
    b: &str,
    operator: &str,
    kind: &str,
) -> Result<bool, Error> {
    if a.trim().is_empty() || b.trim().is_empty() {
        return Err(bad("an empty text is no version"));
    }
    let order = match kind {
        "loose" => loose(a, b),
        "semver" | "semantic" => semantic(a)?.cmp(&semantic(b)?),
        "strict" => {
            for version in [a, b] {
                let parts: Vec<&str> = version.split('.').collect();
                let numbers = parts.iter().all(|p| p.parse::<u64>().is_ok());
                if !numbers || !(2..=3).contains(&parts.len()) {
                    return Err(bad(format!(
                        "`{version}` is no strict version such as 5.32.0"
                    )));
                }
            }
            loose(a, b)
        }
        other => {
            return Err(bad(format!(
                "`{other}` is no kind of version; there are loose, strict, semver"
            )));
        }
    };
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

fn parts(text: &str) -> Vec<Result<u64, String>> {
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
        if c == '.' {
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
}

fn loose(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    for (x, y) in a.iter().zip(&b) {
        let order = match (x, y) {
            (Ok(x), Ok(y)) => x.cmp(y),
            (Err(x), Err(y)) => x.cmp(y),
            // Python refuses to compare a number with a word; here a number is newer: 5.32.1 comes after 5.32.rc.
            (Ok(_), Err(_)) => Ordering::Greater,
            (Err(_), Ok(_)) => Ordering::Less,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// A version in the order of semver.org: the numbers, then whether it is a release, then the pre-release's parts, of
/// which numbers come before words.
type Semantic = (Vec<u64>, bool, Vec<(bool, u64, String)>);

fn semantic(version: &str) -> Result<Semantic, Error> {
    let wrong = || {
        bad(format!(
            "`{version}` is no semantic version such as 5.32.0-rc.1"
        ))
    };
    let (core, _) = version.split_once('+').unwrap_or((version, ""));
    let (core, pre) = core.split_once('-').unwrap_or((core, ""));
    let numbers: Vec<u64> = core
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    if numbers.len() != 3 {
        return Err(wrong());
    }
    let parts = pre
        .split('.')
        .filter(|p| !p.is_empty())
        .map(|p| match p.parse::<u64>() {
            Ok(number) => (false, number, String::new()),
            Err(_) => (true, 0, p.to_owned()),
        });
    Ok((numbers, pre.is_empty(), parts.collect()))
}

pub(super) fn add(env: &mut Environment<'static>) {
    for name in ["version", "version_compare"] {
        filter(env, name, |value, given| {
            let other = given.text(0, "version")?.unwrap_or_default();
            let operator = given
                .text(1, "operator")?
                .unwrap_or_else(|| "==".to_owned());
            let strict = given.truth(2, "strict")?;
            let kind = given.text(3, "version_type")?;
            given.only(4)?;
            let kind = kind.unwrap_or_else(|| if strict { "strict" } else { "loose" }.to_owned());
            compare(&text(&value)?, &other, &operator, &kind).map(minijinja::Value::from)
        });
    }
}
