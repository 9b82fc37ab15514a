//! Arguments in Ansible's old form: `dest=/etc/motd content="a b" mode=0644`.

use std::ops::Range;

use crate::source::{Kind, Node, Span};

/// Takes a text apart into a mapping; each value keeps its place. Words without `=` are the free form: they are put,
/// joined as they stand, under `free`, or are an error where `free` is `None`. Where there is a free form, only the
/// names in `known` are keys: `FOO=1 make` is a command.
///
/// `place` says where a range of the text stands in the file.
pub fn split_key_values(
    node: &Node,
    text: &str,
    place: &dyn Fn(Range<usize>) -> Span,
    free: Option<&str>,
    known: &[String],
) -> Result<Node, (Span, String)> {
    let span_of = |start: usize, end: usize| place(start..end);
    let mut entries: Vec<(Node, Node)> = Vec::new();
    let mut loose: Vec<(usize, usize)> = Vec::new();
    for (start, end) in
        words(text).map_err(|at| (span_of(at, text.len()), "a quote is not closed".to_owned()))?
    {
        let word = &text[start..end];
        match key_of(word) {
            Some(key) if free.is_none() || (loose.is_empty() && known.iter().any(|k| k == key)) => {
                let value_start = start + key.len() + 1;
                let raw = &text[value_start..end];
                let name = Kind::Scalar {
                    text: key.to_owned(),
                    plain: true,
                };
                let quoted = raw.starts_with(['"', '\'']);
                let value = Kind::Scalar {
                    text: unquote(raw),
                    plain: !quoted,
                };
                entries.push((
                    Node {
                        span: span_of(start, start + key.len()),
                        kind: name,
                    },
                    Node {
                        span: span_of(value_start, end),
                        kind: value,
                    },
                ));
            }
            _ => loose.push((start, end)),
        }
    }
    if let (Some((start, _)), Some((_, end))) = (loose.first(), loose.last()) {
        let Some(free) = free else {
            let word = &text[*start..loose[0].1];
            return Err((
                span_of(*start, loose[0].1),
                format!("`{word}` is not `key=value`"),
            ));
        };
        let span = span_of(*start, *end);
        let name = Kind::Scalar {
            text: free.to_owned(),
            plain: true,
        };
        let value = Kind::Scalar {
            text: text[*start..*end].to_owned(),
            plain: false,
        };
        entries.insert(0, (Node { span, kind: name }, Node { span, kind: value }));
    }
    Ok(Node {
        span: node.span,
        kind: Kind::Map(entries),
    })
}

fn key_of(word: &str) -> Option<&str> {
    let (key, _) = word.split_once('=')?;
    let named = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (named && !key.starts_with(|c: char| c.is_ascii_digit())).then_some(key)
}

/// The value as Ansible takes it: escapes first, then the quotes around it.
fn unquote(raw: &str) -> String {
    let text = unescaped(raw);
    for quote in ['"', '\''] {
        let inner = text
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner.to_owned();
        }
    }
    text
}

/// With Python's escapes replaced: `\n` and its like, quotes, `\\`, `\x41`, `\u00e9`, `\U0001f600`. Any other backslash
/// stays, as in `\d` and `\1`.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let digits = |count: usize| {
            let hex = escape.get(1..=count)?;
            let all_hex = hex.bytes().all(|b| b.is_ascii_hexdigit());
            let number = all_hex.then(|| u32::from_str_radix(hex, 16).ok())??;
            Some((char::from_u32(number)?, 1 + count))
        };
        let found = match escape.bytes().next() {
            Some(b @ (b'\\' | b'\'' | b'"')) => Some((char::from(b), 1)),
            Some(b'a') => Some(('\u{7}', 1)),
            Some(b'b') => Some(('\u{8}', 1)),
            Some(b'f') => Some(('\u{c}', 1)),
            Some(b'n') => Some(('\n', 1)),
            Some(b'r') => Some(('\r', 1)),
            Some(b't') => Some(('\t', 1)),
            Some(b'v') => Some(('\u{b}', 1)),
            Some(b'x') => digits(2),
            Some(b'u') => digits(4),
            Some(b'U') => digits(8),
            _ => None,
        };
        let (c, length) = found.unwrap_or(('\\', 0));
        out.push(c);
        rest = &escape[length..];
    }
    out + rest
}

/// The words of a text as ranges of bytes. Quotes and `{{ … }}` hold words together. `Err`: where a quote opens that
/// is never closed.
fn words(text: &str) -> Result<Vec<(usize, usize)>, usize> {
    let mut found = Vec::new();
    let mut start = None;
    let mut quote: Option<(char, usize)> = None;
    let mut depth = 0_usize;
    let mut escaped = false;
    let mut last = '\0';
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some((open, _)), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => {
                start.get_or_insert(at);
                quote = Some((c, at));
            }
            (None, '{') if last == '{' => depth += 1,
            (None, '}') if last == '}' && depth > 0 => depth -= 1,
            (None, c) if c.is_whitespace() && depth == 0 => {
                if let Some(from) = start.take() {
                    found.push((from, at));
                }
            }
            _ => {}
        }
        if !c.is_whitespace() {
            start.get_or_insert(at);
        }
        last = c;
    }
    if let Some((_, at)) = quote {
        return Err(at);
    }
    if let Some(from) = start {
        found.push((from, text.len()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::split_key_values;
    use crate::source::{FileId, Kind, Node, Span, untyped};

    fn split(text: &str, free: Option<&str>) -> String {
        let span = Span {
            file: FileId::NOWHERE,
            start: 10,
            end: 10 + u32::try_from(text.len()).unwrap(),
        };
        let node = Node {
            span,
            kind: Kind::Scalar {
                text: text.to_owned(),
                plain: true,
            },
        };
        let place = |range: std::ops::Range<usize>| Span {
            file: FileId::NOWHERE,
            start: 10 + u32::try_from(range.start).unwrap(),
            end: 10 + u32::try_from(range.end).unwrap(),
        };
        match split_key_values(&node, text, &place, free, &["chdir".to_owned()]) {
            Ok(node) => untyped(&node).to_json(false).to_string(),
            Err((span, message)) => format!("{}-{}: {message}", span.start, span.end),
        }
    }

    #[test]
    fn keys_and_values() {
        for (text, free, expected) in [
            (
                "dest=/etc/motd mode=0644",
                None,
                r#"{"dest":"/etc/motd","mode":"0644"}"#,
            ),
            (
                r#"content="a b" force=yes"#,
                None,
                r#"{"content":"a b","force":true}"#,
            ),
            (
                r#"line='it\'s' x="{{ a | b }}""#,
                None,
                r#"{"line":"it's","x":"{{ a | b }}"}"#,
            ),
            (
                "dest={{ base }}/x mode={{ m }}",
                None,
                r#"{"dest":"{{ base }}/x","mode":"{{ m }}"}"#,
            ),
            (
                r#"content="a\nb\n" line=a\tb"#,
                None,
                r#"{"content":"a\nb\n","line":"a\tb"}"#,
            ),
            (
                r#"regexp="^a\.b$" line="\1 \\n \d \x41\u00e9 \x4""#,
                None,
                r#"{"regexp":"^a\\.b$","line":"\\1 \\n \\d Aé \\x4"}"#,
            ),
            ("ls -l /tmp", Some("cmd"), r#"{"cmd":"ls -l /tmp"}"#),
            (
                "chdir=/tmp ls -l a=b",
                Some("cmd"),
                r#"{"cmd":"ls -l a=b","chdir":"/tmp"}"#,
            ),
            ("FOO=1 make", Some("cmd"), r#"{"cmd":"FOO=1 make"}"#),
            ("dest=/x oops", None, "18-22: `oops` is not `key=value`"),
            ("line=\"open", None, "15-20: a quote is not closed"),
        ] {
            assert_eq!(split(text, free), expected, "{text}");
        }
    }
}
