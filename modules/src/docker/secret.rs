//! What may be a secret in the settings of a container: variables, labels, command lines. Pure.
//!
//! Nobody has marked what a person gave a container by hand. So it is told by names (`DB_PWD`, `--password=`,
//! `-Djavax.….trustPass=`) and by the look of values (a password in a URL, a private key, a hash). Too much is hidden
//! rather than too little; what is searched for in all other texts is the secret part alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use runbook_engine::value::MASK;
use serde_json::Value as Json;

use super::state::ContainerState;

/// Shorter ones are found in too many texts that have nothing to do with them.
const SHORTEST: usize = 4;

/// Values that say how something is, under any name.
const NO_SECRETS: [&str; 10] = [
    "true", "false", "none", "null", "default", "enabled", "disabled", "required", "optional",
    "trust",
];

/// Values that are secrets by their look; the secret is the group `s`.
const LOOKS: [&str; 12] = [
    // user:password@ in a URL, up to the last @ before the path; with a path-like password; a token as the user.
    r#"://[^\s:/?#@"']*:(?<s>[^\s"'/?#]+)@"#,
    r#"://[^\s:/?#@"']*:(?<s>[^\s"'@/?#]*[^\s"'@/?#0-9][^\s"'@/?#]*[/?#][^\s"'@]*)@"#,
    r"://(?<s>[A-Za-z0-9_\-]{20,})@",
    r"-----BEGIN [A-Z0-9 ]+-----(?<s>[\s\S]+?)(?:-----END|\z)",
    r#"(?i)\bbearer\s+(?<s>[^\s"']+)|authorization["']?\s*[:=]\s*["']?(?:[a-z]+\s+)?(?<t>[^\s"']+)"#,
    // Hashes of passwords, and signed tokens.
    r#"(?<s>\$+(?:apr1|2[abxy]?|1|5|6|y|argon2[a-z]*)\$[^\s:,"']+)"#,
    r"\b(?<s>eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*)",
    // Programs that take a password behind a short option; numbers behind a colon are a user's group.
    r#"(?:^|[\s"'])(?:-u|-U|--user|--proxy-user)[=\s]?["']?[^\s:"'=]+:(?<s>[^\s"']*[^\s"'0-9][^\s"']*)"#,
    r#"(?:mysql|mariadb)[a-z\-]*\b[^|;&\n]*?\s-p(?<s>[^\s"'|;&]+)"#,
    r#"\bsshpass\s+-p\s*["']?(?<s>[^\s"']+)"#,
    r#"\bredis-cli\b[^|;&\n]*?\s-a\s*["']?(?<s>[^\s"']+)"#,
    r#"\bldap[a-z]+\b[^|;&\n]*?\s-w\s*["']?(?<s>[^\s"']+)"#,
];

/// A name and what leads to its value: `=`, `: `, a quoted name and a colon, or a blank after an option.
const NAMED: &str = r#"(?<n>[A-Za-z0-9_.\[\]\-]+)(?<e>=|["']\s*[:=]\s*|:\s+|\s+)"#;
/// A value in quotes, or up to a blank or what ends it in a URL or a shell.
const VALUE: &str = r#"\A(?:"([^"]*)|'([^']*)|([^\s"'&;]+))"#;

struct Patterns {
    looks: Vec<Regex>,
    named: Option<Regex>,
    value: Option<Regex>,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    looks: LOOKS.iter().filter_map(|p| Regex::new(p).ok()).collect(),
    named: Regex::new(NAMED).ok(),
    value: Regex::new(VALUE).ok(),
});

/// May what has this name be a secret?
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let upper = name.trim_start_matches('-').to_ascii_uppercase();
    // The file that holds it, and the shell's own folder.
    if ["_FILE", "-FILE", ".FILE"]
        .iter()
        .any(|e| upper.ends_with(e))
        || name.ends_with("File")
        || matches!(upper.as_str(), "PWD" | "OLDPWD")
    {
        return false;
    }
    let plainly = [
        "PASS", "SECRET", "TOKEN", "PWD", "CRED", "DSN", "PRIVATE", "SALT",
    ];
    // A word that others go on with: a key store, an author.
    let begins = |word: &str, others: &[&str]| {
        upper.match_indices(word).any(|(at, _)| {
            let rest = &upper[at + word.len()..];
            !others.iter().any(|other| rest.starts_with(other)) || rest.starts_with("ORIZATION")
        })
    };
    let words = || upper.split(|c: char| !c.is_ascii_alphanumeric());
    // How and where somebody shows who he is.
    let how = words().next_back().is_some_and(|last| {
        [
            "METHOD", "URL", "URI", "HOST", "PORT", "SERVER", "TYPE", "MODE", "REALM", "ENABLED",
        ]
        .contains(&last)
    });
    plainly.iter().any(|word| upper.contains(word))
        || words().any(|word| word.ends_with("PW"))
        || begins("KEY", &["STORE", "CLOAK", "BOARD"])
        || (begins("AUTH", &["OR"]) && !how)
}

/// Text that a shell or a task puts something in place of.
fn is_reference(value: &str) -> bool {
    let name = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    match value.strip_prefix('$') {
        None | Some("") => false,
        Some(rest) => rest.starts_with(['{', '(']) || name(rest),
    }
}

/// The parts of a text that are secrets by their look, or by a name that stands before them in it.
fn parts(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for look in &PATTERNS.looks {
        for captures in look.captures_iter(text) {
            let group = captures.name("s").or_else(|| captures.name("t"));
            found.extend(group.map(|g| g.range()));
        }
    }
    let (Some(named), Some(value)) = (&PATTERNS.named, &PATTERNS.value) else {
        return found;
    };
    let mut at = 0;
    while let Some(captures) = text.get(at..).and_then(|rest| named.captures(rest)) {
        let (Some(whole), Some(name), Some(leads)) =
            (captures.get(0), captures.name("n"), captures.name("e"))
        else {
            break;
        };
        at += whole.end();
        let option = name.as_str().starts_with('-');
        let blank = leads.as_str().trim().is_empty();
        if (blank && !option) || !is_secret_name(name.as_str()) {
            continue;
        }
        let Some(given) = text.get(at..).and_then(|rest| value.captures(rest)) else {
            continue;
        };
        let group = given.iter().skip(1).flatten().next();
        if let Some(group) = group
            && !is_reference(group.as_str())
            && !(blank && group.as_str().starts_with('-'))
        {
            found.push(at + group.start()..at + group.end());
            at += group.end();
        }
    }
    found.retain(|range| !range.is_empty());
    found.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in found {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The text with its secret parts masked.
#[must_use]
pub fn masked_text(text: &str) -> String {
    let mut shown = String::new();
    let mut at = 0;
    for part in parts(text) {
        shown.push_str(&text[at..part.start]);
        shown.push_str(MASK);
        at = part.end;
    }
    shown.push_str(&text[at..]);
    shown
}

/// The value of a variable or a label, as it may be shown.
#[must_use]
pub fn masked(name: &str, value: &str) -> String {
    if value.is_empty() || is_reference(value) {
        value.to_owned()
    } else if is_secret_name(name) {
        MASK.to_owned()
    } else {
        masked_text(value)
    }
}

/// The words of a command line, as they may be shown: what follows `--password` is one, too.
#[must_use]
pub fn masked_words(words: &[&str]) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let after = at.checked_sub(1).map_or("", |before| words[before]);
        shown.push(if let Some(part) = of_program(words, at) {
            format!("{}{MASK}{}", &word[..part.start], &word[part.end..])
        } else if is_option(after) && !word.starts_with('-') {
            masked(after, word)
        } else {
            masked_text(word)
        });
    }
    shown
}

/// The part of a word that is a secret to the program before it: what stands behind its short option.
fn of_program(words: &[&str], at: usize) -> Option<Range<usize>> {
    let line = words.get(..=at)?.join(" ");
    let own = line.len() - words.get(at)?.len();
    // The last five are those of programs.
    let programs = PATTERNS.looks.get(LOOKS.len() - 5..)?;
    let mut found = programs.iter().flat_map(|look| look.captures_iter(&line));
    let part = found.find_map(|captures| captures.name("s").filter(|s| s.start() >= own))?;
    Some(part.start() - own..part.end() - own)
}

/// A setting that is no text, with all that may be a secret in it masked.
#[must_use]
pub fn masked_json(name: &str, value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(masked(name, text)),
        Json::Array(items) => Json::Array(items.iter().map(|i| masked_json(name, i)).collect()),
        Json::Object(map) => Json::Object(
            map.iter()
                .map(|(k, v)| (k.clone(), masked_json(k, v)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// An option whose value is a word of its own, and a secret.
fn is_option(word: &str) -> bool {
    word.starts_with('-') && !word.contains(['=', ' ']) && is_secret_name(word)
}

/// Two masked forms of one setting, where it differs: how it differs is not said where that would tell of a secret.
#[must_use]
pub fn difference(what: &str, now: &str, then: &str) -> String {
    if now == then {
        format!("{what} differs in a secret")
    } else {
        format!("{what} {now} → {then}")
    }
}

/// Secrets within a text.
fn in_text(text: &str, found: &mut Vec<String>) {
    found.extend(parts(text).into_iter().map(|part| text[part].to_owned()));
}

fn in_value(name: &str, value: &str, found: &mut Vec<String>) {
    let before = found.len();
    in_text(value, found);
    if found.len() == before && is_secret_name(name) && !is_reference(value) {
        found.push(value.to_owned());
    }
}

/// Secrets among settings: options of a log driver, the line that looks whether a container is healthy.
fn in_json(name: &str, value: &Json, found: &mut Vec<String>) {
    match value {
        Json::String(text) => in_value(name, text, found),
        Json::Array(items) => items.iter().for_each(|item| in_json(name, item, found)),
        Json::Object(map) => map.iter().for_each(|(k, v)| in_json(k, v, found)),
        _ => {}
    }
}

/// The secrets of one setting.
#[must_use]
pub fn of_setting(name: &str, value: &str) -> Vec<String> {
    let mut found = Vec::new();
    in_value(name, value, &mut found);
    found
}

/// All that may be secrets of a container, each without what stands around it.
#[must_use]
pub fn of(state: &ContainerState) -> Vec<String> {
    let mut found = Vec::new();
    let named: [BTreeMap<String, String>; 2] = [state.environment(), state.labels()];
    for (name, value) in named.iter().flatten() {
        in_value(name, value, &mut found);
    }
    in_json("", &state.host, &mut found);
    in_json(
        "",
        state.own.get("Healthcheck").unwrap_or(&Json::Null),
        &mut found,
    );
    for key in ["Cmd", "Entrypoint"] {
        let words = state.own.get(key).and_then(Json::as_array);
        let words: Vec<&str> = words
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        for (at, word) in words.iter().enumerate() {
            let after = at.checked_sub(1).map_or("", |before| words[before]);
            if let Some(part) = of_program(&words, at) {
                found.push(word[part].to_owned());
            } else if is_option(after) && !word.starts_with('-') {
                in_value(after, word, &mut found);
            } else {
                in_text(word, &mut found);
            }
        }
    }
    found.retain(|secret| {
        let secret = secret.trim();
        secret.chars().count() >= SHORTEST
            && !NO_SECRETS.contains(&secret.to_ascii_lowercase().as_str())
    });
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
