//! What a setting is to be: when a value that stands there is the same to PHP, and how a new one is written.

use serde_json::Value as Json;

use super::ini::{Ini, Says, Value};
use super::scan::{FALSE, TRUE};

/// A value that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `On`, in whatever word it was asked for.
    On(String),
    /// `Off`, likewise.
    Off(String),
    /// No value: `name =`.
    Nothing,
    /// An expression of error levels, or a text with `${NAME}` in it: written as it is.
    Asis(String),
    /// Text, a number among them.
    Text(String),
}

fn is_one_of(text: &[u8], words: &[&str]) -> bool {
    let is = |word: &&str| text.eq_ignore_ascii_case(word.as_bytes());
    words.iter().any(is)
}

impl Setting {
    /// As a playbook gives it.
    ///
    /// # Errors
    /// It is no text, number or truth value, or has more than one line.
    pub fn read(given: &Json) -> Result<Self, String> {
        let text = match given {
            Json::Null => return Ok(Self::Nothing),
            Json::Bool(true) => return Ok(Self::On("On".to_owned())),
            Json::Bool(false) => return Ok(Self::Off("Off".to_owned())),
            Json::Number(number) => return Ok(Self::Text(number.to_string())),
            Json::String(text) => text,
            Json::Array(_) | Json::Object(_) => {
                return Err("a value of php.ini is a text, a number, true or false".to_owned());
            }
        };
        if text.contains(['\n', '\r', '\0']) {
            return Err("a value of php.ini is one line".to_owned());
        }
        let text = text.clone();
        Ok(if text.is_empty() || text.eq_ignore_ascii_case("null") {
            Self::Nothing
        } else if is_one_of(text.as_bytes(), &TRUE) {
            Self::On(text)
        } else if is_one_of(text.as_bytes(), &FALSE) {
            Self::Off(text)
        } else if is_levels(&text) || text.contains("${") {
            Self::Asis(text)
        } else {
            Self::Text(text)
        })
    }

    /// Is a value that stands there the same to PHP? `written` is how it stands there.
    #[must_use]
    pub fn agrees(&self, now: &Value, written: &[u8]) -> bool {
        let Value::Is(now) = now else {
            let inner = written
                .strip_prefix(b"\"")
                .and_then(|w| w.strip_suffix(b"\""));
            return matches!(self, Self::Asis(text) if text.as_bytes() == inner.unwrap_or(written));
        };
        match self {
            Self::On(_) => now == b"1" || is_one_of(now, &TRUE),
            Self::Off(_) => matches!(&now[..], b"" | b"0") || is_one_of(now, &FALSE),
            Self::Nothing => now.is_empty(),
            Self::Asis(text) => meaning(text.as_bytes()).as_ref() == Some(now),
            Self::Text(text) => {
                let off = text == "0" && is_one_of(written, &FALSE);
                let text = text.as_bytes();
                let quantities = quantity(text).zip(quantity(now));
                now == text || off || quantities.is_some_and(|(a, b)| a == b)
            }
        }
    }

    /// How it is to be written where `before` stands now: quoted as that is, and where it has to be.
    ///
    /// # Errors
    /// No way of writing gives PHP this text.
    pub fn written(&self, before: Option<&[u8]>) -> Result<Vec<u8>, String> {
        match self {
            Self::On(word) | Self::Off(word) => Ok(word.clone().into_bytes()),
            Self::Nothing => Ok(Vec::new()),
            Self::Asis(text) if text.contains("${") => {
                let quoted = quoted(text.as_bytes());
                match read_back(&quoted) {
                    Some(Value::Depends) => Ok(quoted),
                    _ => Err(format!("`{text}` can not be written as a value of php.ini")),
                }
            }
            Self::Asis(text) => Ok(text.clone().into_bytes()),
            Self::Text(text) => write_text(text, before),
        }
    }
}

/// The same text, in whichever way it has to be written.
fn write_text(text: &str, before: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_./:,@+-\\".contains(b);
    let was_quoted = |quote: u8| before.is_some_and(|b| b.len() > 1 && b[0] == quote);
    let mut ways = vec![quoted(bytes), [b"'", bytes, b"'"].concat()];
    if was_quoted(b'\'') {
        ways.swap(0, 1);
    }
    if bytes.iter().all(plain) && !was_quoted(b'"') && !was_quoted(b'\'') {
        ways.insert(0, bytes.to_vec());
    }
    let gives_it = |way: &Vec<u8>| read_back(way) == Some(Value::Is(bytes.to_vec()));
    ways.into_iter().find(gives_it).ok_or_else(|| {
        format!(
            "`{text}` can not be written as a value of php.ini: it holds `${{` and an apostrophe"
        )
    })
}

/// Between double quotes. A backslash is doubled only where PHP would take it as one that goes.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for (n, byte) in text.iter().enumerate() {
        let goes = matches!(text.get(n + 1), None | Some(b'\\' | b'"' | b'\'' | b'$'));
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' if goes => out.extend(b"\\\\"),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}

/// What PHP makes of a value that is written so, with a comment behind it.
fn read_back(written: &[u8]) -> Option<Value> {
    let line = [b"x = ", written, b" ; c\n"].concat();
    let ini = Ini::read(&line);
    match (&ini.statements[..], &ini.broken) {
        ([one], None) => match &one.says {
            Says::Entry { at, value, .. } if at.len() == written.len() => Some(value.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn meaning(written: &[u8]) -> Option<Vec<u8>> {
    match read_back(written)? {
        Value::Is(text) => Some(text),
        Value::Depends => None,
    }
}

/// Names of error levels and numbers with operators between them.
fn is_levels(text: &str) -> bool {
    let words = text.split(|c: char| c.is_whitespace() || "&|^~!()".contains(c));
    let mut words = words.filter(|w| !w.is_empty()).peekable();
    let level = |w: &str| w.starts_with("E_") || w.bytes().all(|b| b.is_ascii_digit());
    let named = text.contains("E_");
    named && words.peek().is_some() && words.all(level) && meaning(text.as_bytes()).is_some()
}

/// A size as PHP counts: `8M` is 8388608 (PHP manual, "Shorthand byte values").
fn quantity(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    // With a zero before it a number is octal or hexadecimal.
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let decimal = unsigned == "0" || !unsigned.starts_with('0') && !unsigned.starts_with('+');
    let number = decimal.then(|| digits.parse::<i64>().ok()).flatten()?;
    Some(i128::from(number) * factor)
}
