//! Host patterns: `a:b`, `a,b`, `a:&b`, `a:!b`, globs, `~regex`, `group[0]`, `group[1:3]`.

use std::collections::BTreeSet;

use regex::Regex;

use super::Inventory;

/// A pattern, taken apart.
#[derive(Debug, Clone)]
pub struct Pattern {
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    how: How,
    text: String,
    subscript: Option<(i64, Option<i64>, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Add,
    Only,
    Not,
}

impl Pattern {
    /// Takes a pattern apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let (how, rest) = match part.as_bytes()[0] {
                b'&' => (How::Only, &part[1..]),
                b'!' => (How::Not, &part[1..]),
                _ => (How::Add, part),
            };
            let (name, subscript) = subscript(rest)?;
            if let Some(expression) = name.strip_prefix('~') {
                Regex::new(expression)
                    .map_err(|e| format!("`{expression}` is not a regular expression: {e}"))?;
            }
            terms.push(Term {
                how,
                text: name.to_owned(),
                subscript,
            });
        }
        if terms.is_empty() {
            return Err("the pattern names no host".to_owned());
        }
        // As in Ansible: first what is added, then what is kept, then what is taken out.
        terms.sort_by_key(|t| t.how);
        Ok(Self { terms })
    }

    /// The hosts it names, in inventory order, and the parts of it that name nothing.
    #[must_use]
    pub fn hosts(&self, inventory: &Inventory) -> (Vec<String>, Vec<String>) {
        let mut chosen: BTreeSet<String> = BTreeSet::new();
        let mut unknown = Vec::new();
        if self.terms.iter().all(|t| t.how != How::Add) {
            chosen.extend(inventory.named_hosts().map(str::to_owned));
        }
        for term in &self.terms {
            let Some(mut named) = named(inventory, &term.text) else {
                unknown.push(term.text.clone());
                if term.how == How::Only {
                    chosen.clear();
                }
                continue;
            };
            if let Some((from, to, is_range)) = term.subscript {
                named = cut(&named, from, to, is_range);
            }
            match term.how {
                How::Add => chosen.extend(named),
                How::Only => chosen.retain(|h| named.contains(h)),
                How::Not => chosen.retain(|h| !named.contains(h)),
            }
        }
        (
            inventory
                .hosts
                .keys()
                .filter(|h| chosen.contains(*h))
                .cloned()
                .collect(),
            unknown,
        )
    }
}

fn cut(named: &[String], from: i64, to: Option<i64>, is_range: bool) -> Vec<String> {
    let len = i64::try_from(named.len()).unwrap_or(i64::MAX);
    let index = |n: i64| if n < 0 { n + len } else { n };
    let first = index(from);
    let last = match (to, is_range) {
        (Some(to), _) => index(to),
        (None, true) => len - 1,
        (None, false) => first,
    };
    (0_i64..)
        .zip(named)
        .filter(|(at, _)| *at >= first && *at <= last)
        .map(|(_, name)| name.clone())
        .collect()
}

/// Splits at commas and at colons that do not belong to a subscript or an IPv6 address.
fn split(text: &str) -> Vec<String> {
    if text.contains(',') {
        return text.split(',').map(str::to_owned).collect();
    }
    let colons = text.matches(':').count();
    if colons >= 2 && text.parse::<std::net::Ipv6Addr>().is_ok() {
        return vec![text.to_owned()];
    }
    let (mut parts, mut current, mut depth) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ':' if depth == 0 => {
                parts.push(std::mem::take(&mut current));
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    parts.push(current);
    parts
}

type Subscript = Option<(i64, Option<i64>, bool)>;

fn subscript(text: &str) -> Result<(&str, Subscript), String> {
    if text.starts_with('~') || !text.ends_with(']') {
        return Ok((text, None));
    }
    let Some(open) = text.rfind('[') else {
        return Ok((text, None));
    };
    let inner = &text[open + 1..text.len() - 1];
    let number = |s: &str| {
        s.parse::<i64>()
            .map_err(|_| format!("`[{inner}]` is not an index"))
    };
    Ok(
        match inner
            .split_once([':', '-'])
            .filter(|(head, _)| !head.is_empty())
        {
            Some((from, "")) => (&text[..open], Some((number(from)?, None, true))),
            Some((from, to)) => (
                &text[..open],
                Some((number(from)?, Some(number(to)?), true)),
            ),
            // A glob's character class is no subscript.
            None if inner.parse::<i64>().is_err() => (text, None),
            None => (&text[..open], Some((number(inner)?, None, false))),
        },
    )
}

/// The hosts that one word names, or `None` where it names nothing there is.
fn named(inventory: &Inventory, word: &str) -> Option<Vec<String>> {
    if word == "all" || word == "*" {
        return Some(inventory.named_hosts().map(str::to_owned).collect());
    }
    if inventory.groups.contains_key(word) {
        return Some(inventory.hosts_of(word));
    }
    if inventory.hosts.contains_key(word) {
        return Some(vec![word.to_owned()]);
    }
    let matcher = match word.strip_prefix('~') {
        Some(expression) => Regex::new(&format!("^(?:{expression})")).ok()?,
        None if word.contains(['*', '?', '[']) => Regex::new(&glob(word)).ok()?,
        None => return None,
    };
    let mut found: BTreeSet<String> = inventory
        .named_hosts()
        .filter(|h| matcher.is_match(h))
        .map(str::to_owned)
        .collect();
    for group in inventory.groups.keys().filter(|g| matcher.is_match(g)) {
        found.extend(inventory.hosts_of(group));
    }
    if found.is_empty() {
        return None;
    }
    Some(
        inventory
            .hosts
            .keys()
            .filter(|h| found.contains(*h))
            .cloned()
            .collect(),
    )
}

pub(crate) fn glob(word: &str) -> String {
    let mut expression = "^".to_owned();
    let mut last = '\0';
    for c in word.chars() {
        match c {
            '!' if last == '[' => expression.push('^'),
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' | ']' => expression.push(c),
            _ => expression.push_str(&regex::escape(&c.to_string())),
        }
        last = c;
    }
    expression.push('$');
    expression
}
