//! Backslashes in the texts of `{{ … }}`.
//!
//! In a playbook a backslash within a text of an expression is just a backslash: `regex_replace('^(.)\.', '\1')` means
//! what it says, where Jinja alone would have it doubled. Ansible does so for `{{ }}` of playbooks and variables, and
//! not for `{% %}`, bare conditions and template files.

use std::borrow::Cow;
use std::ops::Range;

/// A template with its backslashes doubled or something else put into it, and the way back.
pub(super) struct Escaped<'a> {
    /// What is compiled.
    pub(super) text: Cow<'a, str>,
    /// Each byte that was put into it, ascending.
    added: Vec<usize>,
}

impl<'a> Escaped<'a> {
    /// A text that is compiled as it is.
    pub(super) fn none(text: &'a str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            added: Vec::new(),
        }
    }

    /// A text with something put in behind each of these offsets, which ascend.
    pub(super) fn with(text: &'a str, offsets: &[usize], put: &str) -> Self {
        let mut out = String::with_capacity(text.len() + offsets.len() * put.len());
        let mut added = Vec::new();
        let mut done = 0;
        for offset in offsets {
            out.push_str(text.get(done..*offset).unwrap_or_default());
            added.extend(out.len()..out.len() + put.len());
            out.push_str(put);
            done = *offset;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Self {
            text: Cow::Owned(out),
            added,
        }
    }

    /// Doubles them.
    pub(super) fn new(text: &'a str) -> Self {
        if !text.contains('\\') {
            return Self::none(text);
        }
        let mut out = String::with_capacity(text.len() + 8);
        let mut added = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, tag) = rest.split_at(at);
            out.push_str(before);
            let end = match tag.as_bytes().get(1) {
                Some(b'{') => expression(tag),
                Some(b'%') => statement(tag),
                Some(b'#') => tag.find("#}").map_or(tag.len(), |e| e + 2),
                _ => 1,
            };
            let (tag, behind) = tag.split_at(end);
            if tag.starts_with("{{") {
                double(tag, &mut out, &mut added);
            } else {
                out.push_str(tag);
            }
            rest = behind;
        }
        out.push_str(rest);
        Self {
            text: Cow::Owned(out),
            added,
        }
    }

    /// A range of the compiled text as a range of the written one.
    pub(super) fn back(&self, range: Range<usize>) -> Range<usize> {
        let at = |offset: usize| offset - self.added.partition_point(|added| *added < offset);
        at(range.start)..at(range.end)
    }
}

/// The end of a text that begins with a quote.
fn quoted(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else {
        return 0;
    };
    let mut escaped = false;
    for (at, c) in chars {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The end of `{{ … }}`.
fn expression(tag: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 2;
    while let Some(c) = tag.get(at..).and_then(|r| r.chars().next()) {
        match c {
            '\'' | '"' => {
                at += quoted(&tag[at..]);
                continue;
            }
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' if tag[at..].starts_with("}}") => return at + 2,
            _ => {}
        }
        at += c.len_utf8();
    }
    tag.len()
}

/// The end of `{% … %}`, or of all that `raw` covers.
fn statement(tag: &str) -> usize {
    let end = tag.find("%}").map_or(tag.len(), |e| e + 2);
    let name = tag[..end].trim_matches(['{', '%', '}', '-', '+', ' ']);
    if name == "raw" {
        return tag.find("endraw").unwrap_or(tag.len());
    }
    end
}

fn double(tag: &str, out: &mut String, added: &mut Vec<usize>) {
    let mut at = 0;
    while let Some(c) = tag.get(at..).and_then(|r| r.chars().next()) {
        if matches!(c, '\'' | '"') {
            let end = at + quoted(&tag[at..]);
            let body = &tag[at..end];
            let mut escaped = false;
            for (offset, c) in body.char_indices() {
                out.push(c);
                // An escaped quote stays one, or the text would end there.
                let next = body.get(offset + 1..).and_then(|r| r.chars().next());
                if c == '\\' && !escaped && !matches!(next, Some('\'' | '"')) {
                    added.push(out.len());
                    out.push('\\');
                    if next == Some('\\') {
                        escaped = true;
                        continue;
                    }
                } else if c == '\\' && escaped {
                    added.push(out.len());
                    out.push('\\');
                }
                escaped = false;
            }
            at = end;
            continue;
        }
        out.push(c);
        at += c.len_utf8();
    }
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn doubled() {
        for (text, expected) in [
            (r"{{ 'a\1' }}", r"{{ 'a\\1' }}"),
            (r"{{ 'a\\1' }}", r"{{ 'a\\\\1' }}"),
            (r"{{ 'it\'s' }}\d", r"{{ 'it\'s' }}\d"),
            (
                r"\d {% if 'x\d' %}{{ '\d' }}",
                r"\d {% if 'x\d' %}{{ '\\d' }}",
            ),
            (
                r"{% raw %}{{ '\d' }}{% endraw %}{{ '\d' }}",
                r"{% raw %}{{ '\d' }}{% endraw %}{{ '\\d' }}",
            ),
            (r"{{ {'a': '}}\d'} }}", r"{{ {'a': '}}\\d'} }}"),
            (r"{{ 'open\", r"{{ 'open\\"),
            (r"{# '\d' #}", r"{# '\d' #}"),
        ] {
            assert_eq!(Escaped::new(text).text, expected, "{text}");
        }
    }

    #[test]
    fn ranges_find_back() {
        let text = r"{{ 'a\1' ~ b\n }}";
        let escaped = Escaped::new(text);
        let at = escaped.text.find('b').unwrap();
        assert_eq!(&text[escaped.back(at..at + 1)], "b");
    }
}
