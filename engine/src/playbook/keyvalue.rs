//! Arguments in Ansible's old form: `dest=/etc/motd content="a b" mode=0644`.

use std::ops::Range;

use crate::source::{Kind, Node, Span};

/// What words mean that are not `key=value`.
#[derive(Debug, Clone, Copy)]
pub enum Free<'a> {
    /// Nothing: they are a mistake.
    Nowhere,
    /// The line of a command, which is this argument. As in Ansible, [`OPTIONS`] are taken out of it wherever they
    /// stand, and everything else is the program's: `dd if=/a of=/b`.
    Line(&'a str),
    /// A text, which is the argument of this name, where none of the arguments of the module is given by name.
    Text(&'a str, &'a [String]),
}

/// What Ansible takes out of the line of a command.
const OPTIONS: &[&str] = &[
    "creates",
    "removes",
    "chdir",
    "executable",
    "warn",
    "stdin",
    "stdin_add_newline",
    "strip_empty_ends",
];

/// Takes a text apart into a mapping; each value keeps its place. `place` says where a range of the text stands in the
/// file.
pub fn split_key_values(
    node: &Node,
    text: &str,
    place: &dyn Fn(Range<usize>) -> Span,
    free: Free<'_>,
) -> Result<Node, (Span, String)> {
    let words =
        words(text).map_err(|at| (place(at..text.len()), "a quote is not closed".to_owned()))?;
    let is_key = |key: &str| match free {
        Free::Nowhere => true,
        Free::Line(_) => OPTIONS.contains(&key),
        Free::Text(_, known) => known.iter().any(|k| k == key),
    };
    let key_at = |(start, end): &(usize, usize)| key_of(&text[*start..*end]).filter(|k| is_key(k));
    let named = words.iter().any(|word| key_at(word).is_some());
    let mut entries: Vec<(Node, Node)> = Vec::new();
    let mut loose: Vec<(usize, usize)> = Vec::new();
    for (start, end) in words {
        let word = &text[start..end];
        // Beside arguments that are named nothing is free but the line of a command.
        let key = match free {
            Free::Text(..) if named => key_of(word),
            _ => key_at(&(start, end)),
        };
        let Some(key) = key else {
            loose.push((start, end));
            continue;
        };
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
                span: place(start..start + key.len()),
                kind: name,
            },
            Node {
                span: place(value_start..end),
                kind: value,
            },
        ));
    }
    if let (Some((start, first_end)), Some((_, end))) = (loose.first(), loose.last()) {
        let free = match free {
            Free::Line(free) => free,
            Free::Text(free, _) if !named => free,
            Free::Nowhere | Free::Text(..) => {
                let word = &text[*start..*first_end];
                let message = format!("`{word}` is not `key=value`");
                return Err((place(*start..*first_end), message));
            }
        };
        let span = place(*start..*end);
        let name = Kind::Scalar {
            text: free.to_owned(),
            plain: true,
        };
        let value = Kind::Scalar {
            text: line(text, &loose),
            plain: false,
        };
        entries.insert(0, (Node { span, kind: name }, Node { span, kind: value }));
    }
    Ok(Node {
        span: node.span,
        kind: Kind::Map(entries),
    })
}

/// The words with what stands between them; of what was taken out the blanks on its left go, too.
fn line(text: &str, words: &[(usize, usize)]) -> String {
    let mut out = String::new();
    let mut behind: Option<usize> = None;
    for (start, end) in words {
        if let Some(behind) = behind {
            let between = &text[behind..*start];
            if between.trim().is_empty() {
                out.push_str(between);
            } else {
                let last = between.trim_end();
                out.push_str(&between[last.len()..]);
            }
        }
        out.push_str(&text[*start..*end]);
        behind = Some(*end);
    }
    // A line that went on with nothing but options.
    while let Some(shorter) = out.strip_suffix("\\\n") {
        out.truncate(shorter.trim_end_matches([' ', '\t']).len());
    }
    out
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
    use super::{Free, split_key_values};
    use crate::source::{FileId, Kind, Node, Span, untyped};

    fn split(text: &str, free: Free<'_>) -> String {
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
        match split_key_values(&node, text, &place, free) {
            Ok(node) => untyped(&node).to_json(false).to_string(),
            Err((span, message)) => format!("{}-{}: {message}", span.start, span.end),
        }
    }

    #[test]
    fn keys_and_values() {
        for (text, free, expected) in [
            (
                "dest=/etc/motd mode=0644",
                Free::Nowhere,
                r#"{"dest":"/etc/motd","mode":"0644"}"#,
            ),
            (
                r#"content="a b" force=yes"#,
                Free::Nowhere,
                r#"{"content":"a b","force":true}"#,
            ),
            (
                r#"line='it\'s' x="{{ a | b }}""#,
                Free::Nowhere,
                r#"{"line":"it's","x":"{{ a | b }}"}"#,
            ),
            (
                "dest={{ base }}/x mode={{ m }}",
                Free::Nowhere,
                r#"{"dest":"{{ base }}/x","mode":"{{ m }}"}"#,
            ),
            (
                r#"content="a\nb\n" line=a\tb"#,
                Free::Nowhere,
                r#"{"content":"a\nb\n","line":"a\tb"}"#,
            ),
            (
                r#"regexp="^a\.b$" line="\1 \\n \d \x41\u00e9 \x4""#,
                Free::Nowhere,
                r#"{"regexp":"^a\\.b$","line":"\\1 \\n \\d Aé \\x4"}"#,
            ),
            ("ls -l /tmp", Free::Line("cmd"), r#"{"cmd":"ls -l /tmp"}"#),
            (
                "chdir=/tmp ls -l a=b",
                Free::Line("cmd"),
                r#"{"cmd":"ls -l a=b","chdir":"/tmp"}"#,
            ),
            ("FOO=1 make", Free::Line("cmd"), r#"{"cmd":"FOO=1 make"}"#),
            (
                "dest=/x oops",
                Free::Nowhere,
                "18-22: `oops` is not `key=value`",
            ),
            ("line=\"open", Free::Nowhere, "15-20: a quote is not closed"),
        ] {
            assert_eq!(split(text, free), expected, "{text}");
        }
    }
    #[test]
    fn the_options_of_a_command_are_taken_out_of_its_line() {
        for (text, expected) in [
            (
                "echo once >> F creates=F",
                r#"{"cmd":"echo once >> F","creates":"F"}"#,
            ),
            ("pwd chdir=/etc", r#"{"cmd":"pwd","chdir":"/etc"}"#),
            (
                r#"echo a creates="/no such" b"#,
                r#"{"cmd":"echo a b","creates":"/no such"}"#,
            ),
            (
                "creates={{ a | b }} echo {{ 'creates=/x' }}",
                r#"{"cmd":"echo {{ 'creates=/x' }}","creates":"{{ a | b }}"}"#,
            ),
            (
                r#"echo 'creates=/x' "removes=/y" --chdir=/z FOO=1 creates =/x"#,
                r#"{"cmd":"echo 'creates=/x' \"removes=/y\" --chdir=/z FOO=1 creates =/x"}"#,
            ),
            (r"echo creates\=/x", r#"{"cmd":"echo creates\\=/x"}"#),
            (
                "cat stdin='hello you' stdin_add_newline=no",
                r#"{"cmd":"cat","stdin":"hello you","stdin_add_newline":false}"#,
            ),
            (
                "echo a\necho  b chdir=/etc\necho c",
                r#"{"cmd":"echo a\necho  b\necho c","chdir":"/etc"}"#,
            ),
            (
                "echo a \\\n  creates=/x \\\n  chdir=/y",
                r#"{"cmd":"echo a","creates":"/x","chdir":"/y"}"#,
            ),
            // Only Ansible's options: what is ours alone, and any other name, is the program's.
            (
                "timeout=5 ./go reads_only=yes argv=x cmd=y",
                r#"{"cmd":"timeout=5 ./go reads_only=yes argv=x cmd=y"}"#,
            ),
            ("creates=/x", r#"{"creates":"/x"}"#),
        ] {
            assert_eq!(split(text, Free::Line("cmd")), expected, "{text}");
        }
    }

    #[test]
    fn a_text_is_free_where_nothing_is_named() {
        let known = ["msg".to_owned(), "verbosity".to_owned()];
        let free = Free::Text("msg", &known);
        for (text, expected) in [
            ("all is well", r#"{"msg":"all is well"}"#),
            ("x=1  y=2", r#"{"msg":"x=1  y=2"}"#),
            ("msg=\"a b\" verbosity=1", r#"{"msg":"a b","verbosity":1}"#),
            ("msg=\"x\" when=foo", r#"{"msg":"x","when":"foo"}"#),
            ("msg={{ a }} and more", "22-25: `and` is not `key=value`"),
            ("look msg=x", "10-14: `look` is not `key=value`"),
        ] {
            assert_eq!(split(text, free), expected, "{text}");
        }
    }
}
