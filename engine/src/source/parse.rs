//! From YAML 1.2 text to nodes: anchors and merge keys resolved, duplicate keys refused.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::{FileId, Kind, Node, Sources, Span};
use crate::diag::Diagnostic;
use crate::value::{Secret, Value};
use crate::vault::{Encrypted, Keyring};

/// Aliases may multiply a document to at most this many nodes (a "billion laughs" stops here).
const MOST_NODES: usize = 1_000_000;
/// Nodes may be nested this deep.
const DEEPEST: usize = 200;

/// All documents of a file. All mistakes that can be told apart come at once.
pub fn parse(sources: &Sources, file: FileId) -> Result<Vec<Node>, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let documents = parse_all(sources, file, &mut errors);
    if errors.is_empty() {
        Ok(documents)
    } else {
        Err(errors)
    }
}

/// The documents of a file as far as they can be read. A key that stands twice keeps its first value, so that what
/// else is wrong can be told too; a document that is not YAML is left out.
pub fn parse_all(sources: &Sources, file: FileId, errors: &mut Vec<Diagnostic>) -> Vec<Node> {
    let (_, text) = sources.get(file);
    let mut reader = Reader {
        file,
        text: &text,
        keyring: sources.keyring(),
        anchors: HashMap::new(),
        sizes: HashMap::new(),
        nodes: 0,
        errors: Vec::new(),
        parser: Parser::new_from_str(&text),
    };
    let mut documents = Vec::new();
    while let Some((event, _)) = reader.next() {
        if let Event::DocumentStart(..) = event
            && let Some(node) = reader.node(0)
        {
            documents.push(node);
        }
    }
    errors.append(&mut reader.errors);
    documents
}

/// The only document of a file; `None` where it is empty.
pub fn parse_one(sources: &Sources, file: FileId) -> Result<Option<Node>, Vec<Diagnostic>> {
    let mut documents = parse(sources, file)?;
    if let Some(second) = documents.get(1) {
        return Err(vec![
            Diagnostic::error(
                "several-documents",
                "this file holds several YAML documents; one is read",
            )
            .at(second.span, "the second one"),
        ]);
    }
    Ok(documents.pop())
}

struct Reader<'a> {
    file: FileId,
    text: &'a str,
    keyring: Arc<Keyring>,
    anchors: HashMap<usize, Node>,
    sizes: HashMap<usize, usize>,
    nodes: usize,
    errors: Vec<Diagnostic>,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn span(&self, span: granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        let clamp = |at: usize| u32::try_from(at.min(self.text.len())).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            start: clamp(range.start),
            end: clamp(range.end),
        }
    }

    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        loop {
            match self.parser.next()? {
                Ok((Event::Comment(..) | Event::Anchor(..), _)) => {}
                Ok((event, span)) => return Some((event, self.span(span))),
                Err(error) => {
                    let at = error
                        .marker()
                        .byte_offset()
                        .unwrap_or(self.text.len())
                        .min(self.text.len());
                    let at = if error.info().contains("found a tab") {
                        self.indenting_tab(at).unwrap_or(at)
                    } else {
                        at
                    };
                    let span = self.span_at(at);
                    let message = format!("this is not YAML: {}", error.info());
                    let wrong = Diagnostic::error("yaml", message).at(span, "here");
                    self.errors.push(match self.likely(at) {
                        Some(help) => wrong.help(help),
                        None => wrong,
                    });
                    return None;
                }
            }
        }
    }

    fn span_at(&self, at: usize) -> Span {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            start: at,
            end: at,
        }
    }

    /// The first tab that indents a line from `at` on: the parser names the text before it, lines above perhaps.
    fn indenting_tab(&self, at: usize) -> Option<usize> {
        let rest = &self.text[at..];
        let lines = rest.match_indices('\n').map(|(end, _)| end + 1);
        let tabs = lines.filter_map(|start| {
            let line = rest[start..].lines().next().unwrap_or_default();
            let indent = &line[..line.len() - line.trim_start().len()];
            indent.find('\t').map(|tab| at + start + tab)
        });
        tabs.min()
    }

    /// What is mostly meant where YAML breaks off: the three slips that everybody makes.
    fn likely(&self, at: usize) -> Option<&'static str> {
        let (before, behind) = self.text.split_at(self.text.floor_char_boundary(at));
        if behind.starts_with("{{") || before.ends_with('{') && behind.starts_with('{') {
            return Some(
                "quote the value: within `{…}` and `[…]` braces of a template have to stand in quotes",
            );
        }
        let start = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        let before = self.text[..start].trim_end_matches('\n');
        let previous = &before[before.rfind('\n').map_or(0, |n| n + 1)..];
        let line = self.text[start..].lines().next().unwrap_or_default();
        let indent = |l: &str| l.len() - l.trim_start().len();
        for line in [line, previous] {
            if line[..indent(line)].contains('\t') {
                return Some("indent with spaces: YAML takes no tabs there");
            }
            let value = line.split_once(": ").map_or(line, |(_, value)| value);
            if value.trim_start().starts_with("{{") {
                return Some("a value that begins with `{{` has to be quoted: \"{{ … }}\"");
            }
            if value.contains(": ")
                && !value
                    .trim_start()
                    .starts_with(['"', '\'', '{', '[', '|', '>'])
            {
                return Some("a value that holds `: ` has to be quoted");
            }
        }
        None
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    fn node(&mut self, depth: usize) -> Option<Node> {
        let (event, span) = self.next()?;
        self.node_of(event, span, depth)
    }

    fn node_of(&mut self, event: Event<'a>, span: Span, depth: usize) -> Option<Node> {
        self.nodes += 1;
        if depth > DEEPEST || self.nodes > MOST_NODES {
            let limit = Diagnostic::error(
                "too-large",
                "this document is nested too deeply or has too many nodes",
            );
            self.error(limit.at(span, "up to here"));
            return None;
        }
        let before = self.nodes;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                // What is left out comes as `~` with a place before the colon.
                let left_out = style == ScalarStyle::Plain && span.start == span.end;
                let (text, span) = if left_out {
                    (String::new(), self.behind_colon(span))
                } else {
                    (text.into_owned(), span)
                };
                let kind = self.scalar(text, style, tag.as_deref(), span);
                let mut span = self.trimmed(span);
                if matches!(kind, Kind::Encrypted(_)) {
                    // Its header says enough.
                    let written = &self.text[span.start as usize..span.end as usize];
                    let header = written.lines().next().unwrap_or_default().len();
                    span.end = span.start + u32::try_from(header).unwrap_or(0);
                }
                let node = Node { span, kind };
                (node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.known_tag(tag.as_deref(), "seq", span);
                (self.sequence(span, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.known_tag(tag.as_deref(), "map", span);
                (self.mapping(span, depth)?, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    // The anchor is open still: it would hold itself.
                    let circle =
                        Diagnostic::error("alias-cycle", "this alias stands within its own anchor");
                    self.error(circle.at(span, ""));
                    return None;
                };
                self.nodes += self.sizes.get(&anchor).copied().unwrap_or(0);
                (node, 0)
            }
            _ => return None,
        };
        if anchor != 0 {
            self.sizes.insert(anchor, self.nodes - before);
            self.anchors.insert(anchor, node.clone());
        }
        Some(node)
    }

    /// A scalar by its style and tag. `!unsafe` is a text in which nothing is a template.
    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Kind {
        let Some(tag) = tag else {
            return Kind::Scalar {
                text,
                plain: style == ScalarStyle::Plain,
            };
        };
        let name = tag.core_suffix().unwrap_or(tag.suffix()).to_owned();
        match name.as_str() {
            "str" => Kind::Scalar { text, plain: false },
            "int" | "float" | "bool" | "null" if tag.is_yaml_core_schema() => {
                Kind::Scalar { text, plain: true }
            }
            "unsafe" if self.file.is_secret() => Kind::Value(Value::Secret(Secret::new(text))),
            "unsafe" => Kind::Value(Value::Str(text)),
            "vault" | "vault-encrypted" => match Encrypted::new(&text, self.keyring.clone()) {
                Ok(encrypted) => Kind::Encrypted(Arc::new(encrypted)),
                Err(malformed) => {
                    let message = format!("this string cannot be decrypted: {malformed}");
                    let wrong = Diagnostic::error("vault-string", message).at(span, "");
                    self.error(wrong.help(malformed.help()));
                    Kind::Value(Value::Null)
                }
            },
            _ => {
                self.known_tag(Some(tag), "str", span);
                Kind::Scalar { text, plain: false }
            }
        }
    }

    /// Refuses a tag that means nothing here.
    fn known_tag(&mut self, tag: Option<&Tag>, wanted: &str, span: Span) {
        if let Some(tag) = tag.filter(|t| t.core_suffix() != Some(wanted) && t.suffix() != "unsafe")
        {
            let message = format!("the tag `{}` has no meaning here", tag.original());
            self.error(Diagnostic::error("unknown-tag", message).at(span, ""));
        }
    }

    /// Block scalars end behind their last line end; the place of a mistake should not run into the next line.
    fn trimmed(&self, span: Span) -> Span {
        let text = self
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default();
        let end = span.start + u32::try_from(text.trim_end().len()).unwrap_or(0);
        Span {
            end: end.max(span.start),
            ..span
        }
    }

    fn behind_colon(&self, span: Span) -> Span {
        let colon = self.text[span.start as usize..].starts_with(':');
        let at = span.start + u32::from(colon);
        Span {
            start: at,
            end: at,
            ..span
        }
    }

    fn is_flow(&self, span: Span) -> bool {
        self.text[span.start as usize..].starts_with(['[', '{'])
    }

    fn sequence(&mut self, span: Span, depth: usize) -> Option<Node> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::SequenceEnd {
                let last = items.last().filter(|last| last.span.file == span.file);
                let end = match last {
                    _ if self.is_flow(span) => at.end,
                    Some(last) => last.span.end.max(span.end),
                    None => span.end,
                };
                return Some(Node {
                    span: Span { end, ..span },
                    kind: Kind::Seq(items),
                });
            }
            items.push(self.node_of(event, at, depth + 1)?);
        }
    }

    fn mapping(&mut self, span: Span, depth: usize) -> Option<Node> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<(Node, Node)> = Vec::new();
        let mut places: HashMap<String, Span> = HashMap::new();
        let closed;
        let mut last = 0;
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                closed = at.end;
                break;
            }
            let key = self.node_of(event, at, depth + 1)?;
            let value = self.node(depth + 1)?;
            // What an alias stands for is written further up, so it never moves the end.
            last = last.max(key.span.end).max(value.span.end);
            let Some(name) = key.text().map(str::to_owned) else {
                self.error(
                    Diagnostic::error("key-not-text", "a key of a mapping has to be a text")
                        .at(key.span, "")
                        .help("a value that begins with `{{` has to be quoted: \"{{ … }}\""),
                );
                continue;
            };
            if name == "<<" && matches!(key.kind, Kind::Scalar { plain: true, .. }) {
                self.merge(value, &mut merged);
                continue;
            }
            if let Some(first) = places.get(&name) {
                let duplicate =
                    Diagnostic::error("duplicate-key", format!("the key `{name}` stands twice"));
                self.errors
                    .push(duplicate.at(key.span, "again").and(*first, "first here"));
                continue;
            }
            places.insert(name, key.span);
            entries.push((key, value));
        }
        for (key, value) in merged {
            let name = key.text().unwrap_or_default();
            if !entries.iter().any(|(k, _)| k.text() == Some(name)) {
                entries.push((key, value));
            }
        }
        let end = if self.is_flow(span) {
            closed
        } else {
            last.max(span.end).max(span.start)
        };
        let span = Span { end, ..span };
        Some(Node {
            span,
            kind: Kind::Map(entries),
        })
    }

    /// `<<`: the entries of a mapping or of several, the first of equal keys wins.
    fn merge(&mut self, value: Node, merged: &mut Vec<(Node, Node)>) {
        match value.kind {
            Kind::Map(entries) => {
                for (key, value) in entries {
                    if !merged.iter().any(|(k, _)| k.text() == key.text()) {
                        merged.push((key, value));
                    }
                }
            }
            Kind::Seq(items) => items.into_iter().for_each(|item| self.merge(item, merged)),
            _ => self.error(
                Diagnostic::error(
                    "merge-not-mapping",
                    "`<<` takes a mapping or a list of mappings",
                )
                .at(value.span, "this is neither"),
            ),
        }
    }
}
