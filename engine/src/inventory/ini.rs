//! Ansible's INI format: `[group]`, `[group:vars]`, `[group:children]`.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::literal::literal;
use super::{Inventory, Vars, ranges};
use crate::diag::Diagnostic;
use crate::source::{FileId, Kind, Node, Sources, Span};
use crate::value::Value;

enum Section {
    Hosts(String),
    Vars(String),
    Children(String),
}

/// Reads a file into the inventory.
pub fn read(
    sources: &Sources,
    file: FileId,
    folder: &Path,
    into: &mut Inventory,
    errors: &mut Vec<Diagnostic>,
) {
    let (_, text) = sources.get(file);
    let mut section = Section::Hosts("ungrouped".to_owned());
    let mut children: Vec<(String, Span)> = Vec::new();
    // Groups of which only variables are told.
    let mut vars_of: Vec<(String, Span)> = Vec::new();
    let mut told: IndexMap<String, Vars> = IndexMap::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        let lead = line.len() - line.trim_start().len();
        let at = |from: usize, len: usize| Span {
            file,
            start: u32::try_from(start + lead + from).unwrap_or(u32::MAX),
            end: u32::try_from(start + lead + from + len).unwrap_or(u32::MAX),
        };
        let whole = at(0, content.len());
        // `[2001:db8::1]:22` is a host.
        let is_host = content
            .split_once(']')
            .is_some_and(|(_, rest)| rest.starts_with(':'));
        if let Some(rest) = content.strip_prefix('[').filter(|_| !is_host) {
            let Some((header, _)) = rest.split_once(']') else {
                errors.push(Diagnostic::error("inventory", "a `[` is not closed").at(whole, ""));
                continue;
            };
            section = match header.split_once(':') {
                None => Section::Hosts(header.to_owned()),
                Some((group, "vars")) => Section::Vars(group.to_owned()),
                Some((group, "children")) => Section::Children(group.to_owned()),
                Some((_, other)) => {
                    let wrong = Diagnostic::error(
                        "inventory",
                        format!("`:{other}` is not a kind of section"),
                    );
                    errors.push(
                        wrong
                            .at(whole, "")
                            .help("there are [group], [group:vars] and [group:children]"),
                    );
                    continue;
                }
            };
            match &section {
                Section::Vars(group) => vars_of.push((group.clone(), whole)),
                Section::Hosts(group) | Section::Children(group) => {
                    into.group(group, Some(whole));
                }
            }
            continue;
        }
        match &section {
            Section::Hosts(group) => {
                let words = match words(content) {
                    Ok(words) => words,
                    Err(quote) => {
                        let open = Diagnostic::error("inventory", "a quote is not closed");
                        errors.push(open.at(at(quote, content.len() - quote), ""));
                        continue;
                    }
                };
                let Some((first, rest)) = words.split_first() else {
                    continue;
                };
                let mut vars = Vars::new();
                for word in rest {
                    match word.text.split_once('=') {
                        Some((key, text)) => {
                            let span = at(word.at + key.len() + 1, word.len - key.len() - 1);
                            vars.insert(key.to_owned(), Arc::new(value(text, span)));
                        }
                        None => {
                            let message = format!("`{}` is not `name=value`", word.text);
                            let wrong = Diagnostic::error("inventory", message);
                            errors.push(wrong.at(at(word.at, word.len), ""));
                        }
                    }
                }
                let span = at(first.at, first.len);
                let (name, port) = with_port(&first.text);
                if let Some(port) = port {
                    let kind = Kind::Scalar {
                        text: port.to_owned(),
                        plain: true,
                    };
                    let port = Arc::new(Node { span, kind });
                    vars.entry("ansible_port".to_owned()).or_insert(port);
                }
                match ranges::expand(name) {
                    Ok(names) => {
                        for name in names {
                            into.host(&name, Some(span), folder).vars.push(vars.clone());
                            into.group(group, None).hosts.insert(name);
                        }
                    }
                    Err(message) => {
                        errors.push(Diagnostic::error("inventory", message).at(span, ""));
                    }
                }
            }
            Section::Vars(group) => match content.split_once('=') {
                Some((key, text)) => {
                    let value_at = key.len() + 1 + (text.len() - text.trim_start().len());
                    let node = value(text.trim(), at(value_at, text.trim().len()));
                    let vars = told.entry(group.clone()).or_default();
                    vars.insert(key.trim().to_owned(), Arc::new(node));
                }
                None => errors
                    .push(Diagnostic::error("inventory", "this is not `name=value`").at(whole, "")),
            },
            Section::Children(group) => {
                let name = content
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                children.push((name.clone(), whole));
                into.group(group, None).children.insert(name);
            }
        }
    }
    for (name, vars) in told {
        into.group(&name, None).vars.push(vars);
    }
    children.extend(vars_of.into_iter().filter(|(name, _)| {
        let group = into.groups.get(name);
        group.is_none_or(|g| g.span.is_none()) && !matches!(name.as_str(), "all" | "ungrouped")
    }));
    for (child, span) in children {
        let named = into.groups.get(&child).is_some_and(|g| g.span.is_some());
        if !named && !matches!(child.as_str(), "all" | "ungrouped") {
            // Said once is enough.
            into.group(&child, Some(span));
            let known: Vec<String> = into
                .groups
                .keys()
                .filter(|k| **k != child)
                .cloned()
                .collect();
            let wrong = Diagnostic::error("unknown-group", format!("there is no group `{child}`"))
                .at(span, "");
            errors.push(wrong.suggest(&child, known.iter().map(String::as_str)));
        }
    }
}

/// `host:22` and `[2001:db8::1]:22`: the host and its port.
pub fn with_port(text: &str) -> (&str, Option<&str>) {
    let port = |p: &str| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit());
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']'))
        && address.parse::<std::net::Ipv6Addr>().is_ok()
    {
        return (address, rest.strip_prefix(':').filter(|p| port(p)));
    }
    // The colon of a range is no port's, and of an address with more colons none is.
    let in_range = |host: &str| host.matches('[').count() > host.matches(']').count();
    let beside = |host: &str| {
        host.split('[')
            .filter_map(|p| p.rsplit(']').next())
            .any(|p| p.contains(':'))
    };
    match text.rsplit_once(':') {
        Some((host, number)) if port(number) && !in_range(host) && !beside(host) => {
            (host, Some(number))
        }
        _ => (text, None),
    }
}

/// A value: a literal of Python, else the text that it is.
fn value(text: &str, span: Span) -> Node {
    // As in Ansible, a `#` makes it a text.
    let found = if text.contains('#') {
        None
    } else {
        literal(text)
    };
    let kind = match found {
        // Written so that it shows as written, and is the same number or truth value.
        Some(Value::Int(_) | Value::Float(_) | Value::Bool(_)) if !text.starts_with("0x") => {
            Kind::Scalar {
                text: text.to_owned(),
                plain: true,
            }
        }
        Some(Value::Str(text)) => Kind::Scalar { text, plain: false },
        Some(value) => Kind::Value(value),
        None => Kind::Scalar {
            text: text.to_owned(),
            plain: false,
        },
    };
    Node { span, kind }
}

/// A word of a host's line.
struct Word {
    at: usize,
    len: usize,
    text: String,
}

/// The words of a host's line as a shell takes them apart: quotes hold words together and vanish, a `#` at the
/// beginning of a word ends the line. `Err`: where a quote opens that is never closed.
fn words(line: &str) -> Result<Vec<Word>, usize> {
    let mut found: Vec<Word> = Vec::new();
    let mut current: Option<Word> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut signs = line.char_indices().peekable();
    while let Some((at, c)) = signs.next() {
        let ends = c.is_whitespace() && quote.is_none();
        if ends {
            found.extend(current.take());
            continue;
        }
        if c == '#' && current.is_none() {
            break;
        }
        let word = current.get_or_insert(Word {
            at,
            len: 0,
            text: String::new(),
        });
        word.len = at + c.len_utf8() - word.at;
        match (quote, c) {
            (Some((open, _)), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some((c, at)),
            (None | Some(('"', _)), '\\') => match signs.peek() {
                Some((_, next)) if quote.is_none() || matches!(next, '"' | '\\') => {
                    word.text.push(*next);
                    word.len += next.len_utf8();
                    signs.next();
                }
                _ => word.text.push(c),
            },
            _ => word.text.push(c),
        }
    }
    found.extend(current);
    match quote {
        Some((_, at)) => Err(at),
        None => Ok(found),
    }
}
