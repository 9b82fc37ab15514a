//! Ansible's INI format: `[group]`, `[group:vars]`, `[group:children]`.

use std::path::Path;
use std::sync::Arc;

use super::{Inventory, Vars, ranges};
use crate::diag::Diagnostic;
use crate::source::{FileId, Kind, Node, Sources, Span};

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
        if let Some(rest) = content.strip_prefix('[') {
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
            let (Section::Hosts(group) | Section::Vars(group) | Section::Children(group)) =
                &section;
            into.group(group, Some(whole));
            continue;
        }
        match &section {
            Section::Hosts(group) => {
                let mut words = words(content);
                let (name_at, name) = words.remove(0);
                let mut vars = Vars::new();
                for (word_at, word) in words {
                    if word.starts_with('#') {
                        break;
                    }
                    match word.split_once('=') {
                        Some((key, value)) => {
                            let span = at(word_at + key.len() + 1, value.len());
                            vars.insert(key.to_owned(), Arc::new(literal(value, span)));
                        }
                        None => {
                            let wrong = Diagnostic::error(
                                "inventory",
                                format!("`{word}` is not `name=value`"),
                            );
                            errors.push(wrong.at(at(word_at, word.len()), ""));
                        }
                    }
                }
                let span = at(name_at, name.len());
                match ranges::expand(&name) {
                    Ok(names) => {
                        for name in names {
                            into.host(&name, Some(span), folder).vars.push(vars.clone());
                            into.group(group, None).hosts.insert(name);
                        }
                    }
                    Err(message) => {
                        errors.push(Diagnostic::error("inventory", message).at(span, ""))
                    }
                }
            }
            Section::Vars(group) => match content.split_once('=') {
                Some((key, value)) => {
                    let value_at = key.len() + 1 + (value.len() - value.trim_start().len());
                    let node = literal(value.trim(), at(value_at, value.trim().len()));
                    let vars = &mut into.group(group, None).vars;
                    if vars.is_empty() {
                        vars.push(Vars::new());
                    }
                    if let Some(last) = vars.last_mut() {
                        last.insert(key.trim().to_owned(), Arc::new(node));
                    }
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
    for (child, span) in children {
        if !into.groups.contains_key(&child) {
            let known: Vec<String> = into.groups.keys().cloned().collect();
            let wrong = Diagnostic::error("unknown-group", format!("there is no group `{child}`"))
                .at(span, "");
            errors.push(wrong.suggest(&child, known.iter().map(String::as_str)));
            into.group(&child, Some(span));
        }
    }
}

/// A value: as Ansible, quotes make it a text, anything else is what it looks like.
fn literal(value: &str, span: Span) -> Node {
    for quote in ['"', '\''] {
        if value.len() >= 2 && value.starts_with(quote) && value.ends_with(quote) {
            let text = value[1..value.len() - 1].to_owned();
            return Node {
                span,
                kind: Kind::Scalar { text, plain: false },
            };
        }
    }
    // Python's literals for lists and mappings are JSON but for the quotes.
    if value.starts_with(['[', '{']) && !value.starts_with("{{")
        && let Ok(json) = serde_json::from_str(&value.replace('\'', "\"")) {
            return Node {
                span,
                kind: Kind::Value(crate::value::Value::from_json(&json)),
            };
        }
    Node {
        span,
        kind: Kind::Scalar {
            text: value.to_owned(),
            plain: true,
        },
    }
}

/// Words of a line with their offsets; quotes hold words together.
fn words(line: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut start, mut quote) = (None, None);
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                start.get_or_insert(at);
            }
            None if c.is_whitespace() => {
                if let Some(from) = start.take() {
                    found.push((from, line[from..at].to_owned()));
                }
            }
            None => {
                start.get_or_insert(at);
            }
        }
    }
    if let Some(from) = start {
        found.push((from, line[from..].to_owned()));
    }
    found
}
