//! Regular expressions: those of the crate `regex`, linear in time, without backward references and look-around.

use minijinja::{Environment, Error, Value};
use regex::{Captures, Regex, RegexBuilder};

use super::{Given, bad, filter, text};

/// Compiles a pattern of Python's `re`, as far as it can be said without looking around.
pub(in crate::template) fn regex(
    pattern: &str,
    ignore_case: bool,
    multi_line: bool,
) -> Result<Regex, Error> {
    let around = ["(?=", "(?!", "(?<=", "(?<!"];
    let help = if around.iter().any(|a| pattern.contains(a)) {
        "; looking ahead or behind does not exist here, capture a group instead"
    } else {
        ""
    };
    RegexBuilder::new(&pattern.replace("\\Z", "\\z"))
        .case_insensitive(ignore_case)
        .multi_line(multi_line)
        .size_limit(1 << 20)
        .build()
        .map_err(|e| {
            let reason = e.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            bad(format!(
                "`{pattern}` is no regular expression: {}{help}",
                reason.trim_start_matches("error: ")
            ))
        })
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
                let group = match name.parse::<usize>() {
                    Ok(number) => found.get(number),
                    Err(_) => found.name(&name),
                };
                out.push_str(group.map_or("", |m| m.as_str()));
            }
            ('\\', Some('n')) => {
                chars.next();
                out.push('\n');
            }
            ('\\', Some('t')) => {
                chars.next();
                out.push('\t');
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

fn replace(value: Value, given: &Given) -> Result<Value, Error> {
    let pattern = given.text(0, "pattern")?.unwrap_or_default();
    let with = given.text(1, "replacement")?.unwrap_or_default();
    let folded = given.truth(2, "ignorecase")?;
    let lines = given.truth(3, "multiline")?;
    let count = given.int(4, "count")?.unwrap_or(0);
    let at_least = given.int(5, "mandatory_count")?.unwrap_or(0);
    given.only(6)?;
    let expression = regex(&pattern, folded, lines)?;
    let text = text(&value)?;
    let limit = usize::try_from(count).unwrap_or(0);
    if at_least > 0 {
        let found = expression.find_iter(&text).count();
        let made = if limit > 0 { found.min(limit) } else { found };
        if i64::try_from(made).unwrap_or(i64::MAX) < at_least {
            return Err(bad(format!(
                "`{pattern}` was found {made} times, {at_least} are asked for"
            )));
        }
    }
    Ok(Value::from(
        expression
            .replacen(&text, limit, |found: &Captures<'_>| expand(&with, found))
            .into_owned(),
    ))
}

fn search(value: Value, given: &Given) -> Result<Value, Error> {
    let pattern = given.text(0, "regex")?.unwrap_or_default();
    let expression = regex(
        &pattern,
        given.truth(usize::MAX, "ignorecase")?,
        given.truth(usize::MAX, "multiline")?,
    )?;
    given.only(usize::MAX)?;
    let groups = given.rest.get(1..).unwrap_or_default();
    let text_of = text(&value)?;
    let Some(found) = expression.captures(&text_of) else {
        return Ok(Value::from(()));
    };
    if groups.is_empty() {
        return Ok(Value::from(found.get(0).map_or("", |m| m.as_str())));
    }
    let mut out = Vec::new();
    for group in groups {
        let group = text(group)?;
        let known = group
            .strip_prefix("\\g<")
            .and_then(|g| g.strip_suffix('>'))
            .or_else(|| group.strip_prefix('\\'))
            .ok_or_else(|| {
                bad(format!(
                    "`{group}` names no group; write \\\\1 or \\\\g<name>"
                ))
            })?;
        let matched = match known.parse::<usize>() {
            Ok(number) => found.get(number),
            Err(_) => found.name(known),
        };
        out.push(matched.map_or_else(|| Value::from(()), |m| Value::from(m.as_str())));
    }
    Ok(Value::from(out))
}

fn find_all(value: Value, given: &Given) -> Result<Value, Error> {
    let pattern = given.text(0, "regex")?.unwrap_or_default();
    let lines = given.truth(1, "multiline")?;
    let folded = given.truth(2, "ignorecase")?;
    given.only(3)?;
    let expression = regex(&pattern, folded, lines)?;
    let text = text(&value)?;
    let group =
        |found: &Captures<'_>, at: usize| Value::from(found.get(at).map_or("", |m| m.as_str()));
    let all = expression
        .captures_iter(&text)
        .map(|found| match found.len() {
            1 => group(&found, 0),
            2 => group(&found, 1),
            n => Value::from((1..n).map(|at| group(&found, at)).collect::<Vec<_>>()),
        });
    Ok(Value::from(all.collect::<Vec<_>>()))
}

pub(super) fn add(env: &mut Environment<'static>) {
    filter(env, "regex_replace", replace);
    filter(env, "regex_search", search);
    filter(env, "regex_findall", find_all);
    filter(env, "regex_escape", |value, given| {
        let kind = given.text(0, "re_type")?;
        given.only(1)?;
        let special = match kind.as_deref() {
            None | Some("python") => "\\.^$*+?()[]{}|-&#~ \t\n\r\u{b}\u{c}",
            Some("posix_basic") => "\\.^$*[]",
            Some(other) => return Err(bad(format!("`{other}` is no kind of regular expression"))),
        };
        let mut out = String::new();
        for c in text(&value)?.chars() {
            if special.contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        Ok(Value::from(out))
    });
}
