//! Files of variables, `NAME=value`: how the programs that read them understand a value, and how it is written for them.
//!
//! There is no standard. What they agree on is read and written without being told who reads the file; where they do not, the
//! reader has to be named.
//!
//! Sources: `docker run --env-file` (docker/cli, `opts/envfile.go`), `env_file` and `.env` of Compose version 2 (compose-go,
//! `dotenv/parser.go`), POSIX XCU 2.2 and 2.3 for shells.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

/// Who reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `docker run --env-file`: all behind `=` is the value, quotes too.
    Docker,
    /// Compose, version 2.
    Compose,
    /// A shell, or systemd's `EnvironmentFile`.
    Shell,
}

/// What stands behind a `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// This value.
    Is(String),
    /// What it is is known only when it is read: it names other variables, or runs commands.
    Computed,
    /// Readers understand it differently.
    Unclear,
}

/// A variable of a file. Places are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is set to.
    pub meaning: Meaning,
    /// Where its value stands, with its quotes, without what comes behind it.
    pub value: Range<usize>,
    /// Where its line stands (or its lines), with the end of it.
    pub line: Range<usize>,
    /// `export` stands before it.
    pub exported: bool,
}

/// A value that is never closed, or that goes on in the next line for some readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

/// The variables of a file, in their order. Lines that set none are left out.
///
/// # Errors
/// A value does not end where a line does, and should, or may do so.
pub fn variables(text: &str, format: Option<Format>) -> Result<Vec<Variable>, Broken> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = line_end(text, at);
        let Some(head) = head(&text[at..end], format) else {
            at = end;
            continue;
        };
        let from = at + head.value_at;
        let read = match format {
            Some(Format::Docker) => verbatim(text, from),
            Some(Format::Compose) => compose(text, from),
            Some(Format::Shell) => shell(text, from),
            None => agreed(text, from),
        };
        let broken = |why| Broken {
            line: text[..at].matches('\n').count() + 1,
            why,
        };
        let (value, meaning) = read.map_err(broken)?;
        let line = at..line_end(text, value.end);
        at = line.end;
        all.push(Variable {
            name: head.name.to_owned(),
            meaning,
            value,
            line,
            exported: head.exported,
        });
    }
    Ok(all)
}

/// Where the next line begins.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |n| at + n + 1)
}

/// Where the text of a line ends.
fn text_end(text: &str, at: usize) -> usize {
    let line = &text[at..line_end(text, at)];
    at + line.trim_end_matches(['\n', '\r']).len()
}

struct Head<'a> {
    name: &'a str,
    exported: bool,
    value_at: usize,
}

/// What stands before the value, where a line sets a variable.
fn head(line: &str, format: Option<Format>) -> Option<Head<'_>> {
    let blank = [' ', '\t'];
    let rest = line.trim_start_matches(blank);
    if rest.starts_with('#') {
        return None;
    }
    let (before, _) = rest.split_once('=')?;
    let is_docker = format == Some(Format::Docker);
    let spoken = before
        .strip_prefix("export")
        .filter(|r| r.starts_with(blank));
    let exported = !is_docker && spoken.is_some();
    let name = match spoken {
        Some(name) if exported => name.trim_start_matches(blank),
        _ => before,
    };
    // Only Compose takes blanks around the sign; the others do not read such a line as a variable.
    let loose = matches!(format, None | Some(Format::Compose));
    let name = if loose {
        name.trim_end_matches(blank)
    } else {
        name
    };
    if !is_name(name) {
        return None;
    }
    let mut value_at = line.len() - rest.len() + before.len() + 1;
    // Blanks behind it alone are a part of the value for Docker, and end it for a shell.
    if format == Some(Format::Compose) || loose && before.ends_with(blank) {
        let value = &line[value_at..];
        value_at += value.len() - value.trim_start_matches(blank).len();
    }
    Some(Head {
        name,
        exported,
        value_at,
    })
}

/// Is it a name that every reader takes? (A shell takes no dot and no hyphen.)
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

type Read = Result<(Range<usize>, Meaning), &'static str>;

/// All of the line.
fn verbatim(text: &str, from: usize) -> Read {
    let to = text_end(text, from);
    Ok((from..to, Meaning::Is(text[from..to].to_owned())))
}

/// A letter that means itself for every reader, without quotes.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "_-./:@%+,=^".contains(c)
        || !c.is_ascii() && !c.is_whitespace() && !c.is_control()
}

/// A letter that means itself for every reader that knows quotes, between them.
fn is_plain_within(c: char) -> bool {
    !c.is_control() && !"'\"\\$`!".contains(c)
}

/// What all readers agree on. Quotes are quotes: whoever reads them as a part of the value goes on getting them.
fn agreed(text: &str, from: usize) -> Read {
    let whole = text[from..text_end(text, from)].trim_end_matches([' ', '\t']);
    let range = from..from + whole.len();
    let quoted = ['\'', '"'].iter().find_map(|quote| {
        let inner = whole.strip_prefix(*quote)?.strip_suffix(*quote)?;
        inner.chars().all(is_plain_within).then_some(inner)
    });
    let plain = whole.chars().all(is_plain).then_some(whole);
    if let Some(value) = quoted.or(plain) {
        return Ok((range, Meaning::Is(value.to_owned())));
    }
    let open = |c: char| whole.matches(c).count() % 2 == 1;
    if ['\'', '"', '`'].into_iter().any(open) || whole.contains("$(") || whole.ends_with('\\') {
        return Err("the value may go on in the next line for some of those that read such files");
    }
    Ok((range, Meaning::Unclear))
}

/// As compose-go reads it: quotes enclose a whole value, which may be more than a line.
fn compose(text: &str, from: usize) -> Read {
    let end = text_end(text, from);
    let Some(quote) = text[from..]
        .chars()
        .next()
        .filter(|c| matches!(c, '\'' | '"'))
    else {
        let line = &text[from..end];
        let value = line.split_once(" #").map_or(line, |(value, _)| value);
        let value = value.trim_end();
        let meaning = match value.contains('$') {
            true => expanded(value),
            false => Meaning::Is(value.to_owned()),
        };
        return Ok((from..from + value.len(), meaning));
    };
    let mut raw = String::new();
    let mut escaped = false;
    for (at, c) in text[from + 1..].char_indices() {
        if c == quote && !escaped {
            let meaning = match quote {
                '\'' => Meaning::Is(raw),
                _ => unescaped(&raw),
            };
            return Ok((from..from + 1 + at + 1, meaning));
        }
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        if escaped && c != quote {
            raw.push('\\');
        }
        escaped = false;
        raw.push(c);
    }
    Err("a quote is not closed")
}

/// `$$` is a dollar sign; any other names a variable.
fn expanded(value: &str) -> Meaning {
    if value.replace("$$", "").contains('$') {
        return Meaning::Computed;
    }
    Meaning::Is(value.replace("$$", "$"))
}

/// What compose-go makes of the inner of double quotes.
fn unescaped(raw: &str) -> Meaning {
    let mut value = String::new();
    let mut letters = raw.chars();
    while let Some(c) = letters.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match letters.next() {
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some('t') => value.push('\t'),
            Some('"') => value.push('"'),
            Some('\\') => value.push('\\'),
            Some('$') => value.push_str("$$"),
            // Numbers of characters, and what nobody writes.
            Some('a' | 'b' | 'c' | 'f' | 'v' | '0') => return Meaning::Computed,
            Some(other) => value.extend(['\\', other]),
            None => value.push('\\'),
        }
    }
    expanded(&value)
}

/// A word of the shell.
fn shell(text: &str, from: usize) -> Read {
    let mut value = String::new();
    let mut computed = false;
    // The quote that is open.
    let mut quote = None;
    let mut rest = &text[from..];
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let ends = " \t\n;&|<>()".contains(c) || rest.starts_with("\r\n");
        let taken = match (quote, c) {
            (None, _) if ends => break,
            (None, '\'' | '"') => {
                quote = Some(c);
                0
            }
            (Some(open), c) if open == c => {
                quote = None;
                0
            }
            (Some('\''), c) => {
                value.push(c);
                0
            }
            (_, '\\') => match after.chars().next() {
                None => return Err("a backslash ends the file"),
                Some('\n') => 1,
                Some(next) => {
                    if quote.is_some() && !"$`\"\\".contains(next) {
                        value.push('\\');
                    }
                    value.push(next);
                    next.len_utf8()
                }
            },
            (_, '`') => return Err("it runs a command, whose end is not looked for here"),
            (_, '$') => {
                computed = true;
                named(after, quote.is_some())?
            }
            (None, '~') if value.is_empty() || value.ends_with(':') => {
                computed = true;
                0
            }
            (_, c) => {
                value.push(c);
                0
            }
        };
        rest = &after[taken..];
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    let meaning = match computed {
        true => Meaning::Computed,
        false => Meaning::Is(value),
    };
    Ok((from..text.len() - rest.len(), meaning))
}

/// How many bytes behind a `$` belong to it beyond letters of a name.
fn named(after: &str, quoted: bool) -> Result<usize, &'static str> {
    match after.chars().next() {
        Some('(') => Err("it runs a command, whose end is not looked for here"),
        Some('\'' | '"') if !quoted => Err("quotes with a dollar sign are not understood here"),
        Some('{') => {
            let inner = after.split_once('}').map(|(inner, _)| inner);
            let plain = inner.filter(|i| !i.contains(['\'', '"', '`', '$', '\\', '\n']));
            plain
                .map(|inner| inner.len() + 1)
                .ok_or("what stands in the braces is not understood here")
        }
        _ => Ok(0),
    }
}

/// How a value stands in the file: as `now` does where it can be held so, else as it must be.
///
/// # Errors
/// It cannot be written for this reader; or readers differ about it, and which one it is has not been said.
pub fn written(value: &str, now: &str, format: Option<Format>) -> Result<String, String> {
    if value.contains('\0') {
        return Err("a variable cannot hold a NUL byte".to_owned());
    }
    let quote = now.chars().next().filter(|c| matches!(c, '\'' | '"'));
    match format {
        Some(Format::Docker) if value.contains(['\n', '\r']) => {
            Err("`docker run --env-file` knows no value of more than a line".to_owned())
        }
        Some(Format::Docker) => Ok(value.to_owned()),
        Some(format) => {
            let ways = quote.into_iter().map(Some).chain([None, Some('\''), Some('"')]);
            let written = ways.filter_map(|way| in_way(value, way, format)).next();
            written.ok_or_else(|| "the value cannot be written for this reader: it has single quotes and backslashes side by side".to_owned())
        }
        None => match quote {
            Some(quote) if value.chars().all(is_plain_within) => Ok(format!("{quote}{value}{quote}")),
            None if value.chars().all(is_plain) => Ok(value.to_owned()),
            _ => Err(
                "the value is not written alike for all that read such files; say who reads this one, with `format: docker` (docker run \
                 --env-file), `compose` or `shell` (systemd too)"
                    .to_owned(),
            ),
        },
    }
}

/// A value between these quotes, or without, where it can be held so.
fn in_way(value: &str, quote: Option<char>, format: Format) -> Option<String> {
    match (quote, format) {
        (None, _) => value.chars().all(is_plain).then(|| value.to_owned()),
        (Some('\''), Format::Compose) => {
            let held = !value.contains('\'') && !value.ends_with('\\');
            held.then(|| format!("'{value}'"))
        }
        (Some('\''), _) => (!value.contains('\'')).then(|| format!("'{value}'")),
        (_, Format::Compose) => {
            let mut text = String::from("\"");
            for c in value.chars() {
                match c {
                    '\n' => text.push_str("\\n"),
                    '\r' => text.push_str("\\r"),
                    '"' | '\\' | '$' => text.extend(['\\', c]),
                    c => text.push(c),
                }
            }
            Some(text + "\"")
        }
        (_, _) => {
            let mut text = String::from("\"");
            for c in value.chars() {
                if matches!(c, '"' | '\\' | '$' | '`') {
                    text.push('\\');
                }
                text.push(c);
            }
            Some(text + "\"")
        }
    }
}
