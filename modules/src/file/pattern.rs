//! Regular expressions as Python's `re` reads them, for bytes.

use regex::bytes::{Captures, Regex, RegexBuilder};

/// How a pattern is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `^` and `$` stand at the ends of the whole text (`$` before a last newline too). Classes are those of ASCII.
    Line,
    /// `^` and `$` stand at the ends of every line. Classes are those of Unicode.
    Lines,
    /// As [`Mode::Line`], and `.` stands for newlines too. Classes are those of Unicode.
    DotAll,
}

/// Compiles a pattern of Python's. What the engine cannot do (lookaround, back references) is refused by its name.
pub fn compile(pattern: &str, mode: Mode) -> Result<Regex, String> {
    let translated = translate(pattern, mode)?;
    RegexBuilder::new(&translated)
        .multi_line(mode == Mode::Lines)
        .dot_matches_new_line(mode == Mode::DotAll)
        .unicode(mode != Mode::Line)
        .size_limit(16 * 1024 * 1024)
        .build()
        .map_err(|e| {
            let reason = match e {
                regex::Error::Syntax(text) => text
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim()
                    .trim_start_matches("error: ")
                    .to_owned(),
                other => other.to_string(),
            };
            format!("the regular expression `{pattern}` cannot be used: {reason}")
        })
}

/// Python's spelling in that of the regex crate.
fn translate(pattern: &str, mode: Mode) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.char_indices().peekable();
    let lookaround = |what: &str| {
        Err(format!(
            "the regular expression `{pattern}` uses {what}, which is not supported here; match more and put it back \
             with a group, or use two tasks"
        ))
    };
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'Z')) => out.push_str("\\z"),
                Some((_, d)) if d.is_ascii_digit() && d != '0' => {
                    return lookaround("a reference to a group");
                }
                Some((_, e))
                    if e.is_ascii_alphanumeric()
                        || e.is_ascii_punctuation() && !"<>".contains(e) =>
                {
                    out.push('\\');
                    out.push(e);
                }
                // An escaped character that means nothing is itself.
                Some((_, e)) => out.push(e),
                None => {
                    return Err(format!(
                        "the regular expression `{pattern}` ends in a backslash"
                    ));
                }
            },
            '[' => class(pattern, &mut chars, &mut out, mode)?,
            '$' if mode == Mode::Lines => out.push('$'),
            // Before the newline that ends the text, too.
            '$' if mode == Mode::Line => out.push_str("(?m:$)"),
            '$' => out.push_str("(?:\\n?\\z)"),
            '(' if pattern[at..].starts_with("(?=") || pattern[at..].starts_with("(?!") => {
                return lookaround("a look ahead");
            }
            '(' if pattern[at..].starts_with("(?<=") || pattern[at..].starts_with("(?<!") => {
                return lookaround("a look behind");
            }
            '(' if pattern[at..].starts_with("(?P=") => {
                return lookaround("a reference to a group");
            }
            '(' if pattern[at..].starts_with("(?#") => {
                for (_, c) in chars.by_ref() {
                    if c == ')' {
                        break;
                    }
                }
            }
            // A brace that begins no repetition is itself.
            '{' if !repetition(&pattern[at..]) => out.push_str("\\{"),
            '}' if !closes(pattern, at) => out.push_str("\\}"),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// `{2}`, `{2,}`, `{,2}` or `{2,3}` at the start of `text`.
fn repetition(text: &str) -> bool {
    let Some(end) = text.find('}') else {
        return false;
    };
    let inner = &text[1..end];
    let (low, high) = inner.split_once(',').unwrap_or((inner, ""));
    inner.contains(|c: char| c.is_ascii_digit())
        && low.chars().chain(high.chars()).all(|c| c.is_ascii_digit())
}

/// Is the brace at `at` the end of a repetition, or of an escape such as `\x{…}`?
fn closes(pattern: &str, at: usize) -> bool {
    pattern[..at]
        .rfind('{')
        .is_some_and(|open| repetition(&pattern[open..]) && pattern[open..at].find('}').is_none())
}

/// A class: in Python's `[` and `&&` within it are themselves, and a first `]` too.
fn class(
    pattern: &str,
    chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
    out: &mut String,
    mode: Mode,
) -> Result<(), String> {
    out.push('[');
    if chars.next_if(|(_, c)| *c == '^').is_some() {
        out.push('^');
    }
    let mut first = true;
    while let Some((_, c)) = chars.next() {
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(());
            }
            ']' | '[' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => match chars.next() {
                Some((_, e))
                    if e.is_ascii_alphanumeric()
                        || e.is_ascii_punctuation() && !"<>".contains(e) =>
                {
                    out.push('\\');
                    out.push(e);
                }
                Some((_, e)) => out.push(e),
                None => break,
            },
            '-' if chars.peek().is_some_and(|(_, c)| *c == '-' || *c == ']') || first => {
                out.push_str("\\-")
            }
            // Of a class over bytes, each byte of a character is a member.
            c if !c.is_ascii() && mode == Mode::Line => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    out.push_str(&format!("\\x{byte:02x}"));
                }
            }
            c => out.push(c),
        }
        first = false;
    }
    Err(format!(
        "a `[` is not closed in the regular expression `{pattern}`"
    ))
}

/// A replacement as Python's `Match.expand` reads it: `\1`, `\g<1>`, `\g<name>`, `\n` and its like.
pub fn expand(template: &[u8], found: &Captures<'_>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut at = 0;
    let group = |out: &mut Vec<u8>, n: usize| match found.len() > n {
        // A group that took no part is empty.
        true => {
            out.extend_from_slice(found.get(n).map_or(&b""[..], |m| m.as_bytes()));
            Ok(())
        }
        false => Err(format!(
            "the replacement names group {n}, which the regular expression does not have"
        )),
    };
    while at < template.len() {
        let byte = template[at];
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(&escaped) = template.get(at) else {
            return Err("the replacement ends in a backslash".to_owned());
        };
        at += 1;
        match escaped {
            b'g' if template.get(at) == Some(&b'<') => {
                let end = template[at..]
                    .iter()
                    .position(|b| *b == b'>')
                    .ok_or("`\\g<` is not closed in the replacement")?;
                let name = String::from_utf8_lossy(&template[at + 1..at + end]).into_owned();
                at += end + 1;
                match name.parse::<usize>() {
                    Ok(n) => group(&mut out, n)?,
                    Err(_) => match found.name(&name) {
                        Some(m) => out.extend_from_slice(m.as_bytes()),
                        None => {
                            return Err(format!(
                                "the replacement names group `{name}`, which took no part"
                            ));
                        }
                    },
                }
            }
            b'0' => {
                let (value, taken) = octal(&template[at - 1..], 3);
                out.push(value);
                at += taken - 1;
            }
            b'1'..=b'9' => {
                let digits = &template[at - 1..];
                // Three octal digits are a character, else one or two digits are a group.
                if digits.len() >= 3
                    && digits[0] <= b'3'
                    && digits[..3].iter().all(|d| (b'0'..=b'7').contains(d))
                {
                    let (value, _) = octal(digits, 3);
                    out.push(value);
                    at += 2;
                } else {
                    let mut n = usize::from(escaped - b'0');
                    if let Some(next) = template.get(at).filter(|d| d.is_ascii_digit()) {
                        n = n * 10 + usize::from(next - b'0');
                        at += 1;
                    }
                    group(&mut out, n)?;
                }
            }
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(0x07),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'v' => out.push(0x0b),
            b'\\' => out.push(b'\\'),
            letter if letter.is_ascii_alphabetic() => {
                return Err(format!(
                    "`\\{}` means nothing in a replacement",
                    char::from(letter)
                ));
            }
            other => {
                out.push(b'\\');
                out.push(other);
            }
        }
    }
    Ok(out)
}

/// Up to `most` octal digits: their value and how many they are.
fn octal(digits: &[u8], most: usize) -> (u8, usize) {
    let taken = digits
        .iter()
        .take(most)
        .take_while(|d| (b'0'..=b'7').contains(d))
        .count();
    let value = digits[..taken]
        .iter()
        .fold(0_u32, |n, d| n * 8 + u32::from(d - b'0'));
    (u8::try_from(value & 0xff).unwrap_or_default(), taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_python() {
        let cases: &[(&str, Mode, &str, Option<&str>)] = &[
            ("^a$", Mode::Line, "a\n", Some("a")),
            ("^b$", Mode::Line, "a\nb", None),
            ("^b$", Mode::Lines, "a\nb\n", Some("b")),
            ("[[]x", Mode::Line, "[x", Some("[x")),
            ("[a&&b]+", Mode::Line, "&a", Some("&a")),
            ("[]]", Mode::Line, "]", Some("]")),
            ("[^]]+", Mode::Line, "]ab", Some("ab")),
            ("[--a]", Mode::Line, "b-", Some("-")),
            ("[a-]+", Mode::Line, "-a", Some("-a")),
            ("a{b", Mode::Line, "a{b", Some("a{b")),
            ("{{ x }}", Mode::Line, "{{ x }}", Some("{{ x }}")),
            ("a{2,3}", Mode::Line, "aaaa", Some("aaa")),
            ("\\Ab\\Z", Mode::Lines, "b", Some("b")),
            ("(?P<n>x)", Mode::Line, "x", Some("x")),
            ("(?i)ABC", Mode::Line, "abc", Some("abc")),
            (
                "\\/\\-\\#\\<\\>\\=\\:",
                Mode::Line,
                "/-#<>=:",
                Some("/-#<>=:"),
            ),
            ("a(?#no)b", Mode::Line, "ab", Some("ab")),
            ("é.", Mode::Lines, "éü", Some("éü")),
            ("[é]+", Mode::Line, "é", Some("é")),
            ("a.b", Mode::DotAll, "a\nb", Some("a\nb")),
            ("a.b", Mode::Line, "a\nb", None),
        ];
        for (pattern, mode, text, found) in cases {
            let regex = compile(pattern, *mode).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            let m = regex
                .find(text.as_bytes())
                .map(|m| String::from_utf8_lossy(m.as_bytes()).into_owned());
            assert_eq!(m.as_deref(), *found, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (pattern, said) in [
            ("^(?!#)", "a look ahead"),
            ("(?<=a)b", "a look behind"),
            (r"(a)\1", "a reference to a group"),
            ("(a", "unclosed group"),
            ("[a", "is not closed"),
            ("*a", "missing expression"),
        ] {
            let error = compile(pattern, Mode::Line).unwrap_err();
            assert!(error.contains(said), "{pattern}: {error}");
        }
    }

    #[test]
    fn replacements_mean_what_they_mean_in_python() {
        let regex = compile("(?P<key>a)(b)?(c)", Mode::Line).unwrap();
        let found = regex.captures(b"ac").unwrap();
        let cases = [
            (r"\1-\3", "a-c"),
            (r"[\2]", "[]"),
            (r"\g<key>\g<3>0", "ac0"),
            (r"\g<0>", "ac"),
            (r"a\nb\t\\", "a\nb\t\\"),
            (r"\101\0", "A\0"),
            (r"$1 \$", r"$1 \$"),
        ];
        for (template, text) in cases {
            let made =
                expand(template.as_bytes(), &found).unwrap_or_else(|e| panic!("{template}: {e}"));
            assert_eq!(String::from_utf8_lossy(&made), text, "{template}");
        }
        for template in [r"\4", r"\q", "\\", r"\g<no>"] {
            assert!(expand(template.as_bytes(), &found).is_err(), "{template}");
        }
    }
}
