//! Texts, encodings and hashes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, Value};
use sha2::Digest as _;

use super::{Given, bad, filter, text};
use crate::template::crypt;

fn digest(text: &str, algorithm: &str) -> Result<String, Error> {
    let bytes = text.as_bytes();
    Ok(match algorithm {
        "md5" => hex::encode(md5::Md5::digest(bytes)),
        "sha1" => hex::encode(sha1::Sha1::digest(bytes)),
        "sha224" => hex::encode(sha2::Sha224::digest(bytes)),
        "sha256" => hex::encode(sha2::Sha256::digest(bytes)),
        "sha384" => hex::encode(sha2::Sha384::digest(bytes)),
        "sha512" => hex::encode(sha2::Sha512::digest(bytes)),
        other => {
            return Err(bad(format!(
                "there is no hash `{other}`; there are md5, sha1, sha224, sha256, sha384, sha512"
            )));
        }
    })
}

fn comment(value: Value, given: &Given) -> Result<Value, Error> {
    let style = given
        .text(0, "style")?
        .unwrap_or_else(|| "plain".to_owned());
    let (start, line, end) = match style.as_str() {
        "plain" => ("", "# ", ""),
        "erlang" => ("", "% ", ""),
        "c" => ("", "// ", ""),
        "cblock" => ("/*", " * ", " */"),
        "xml" => ("<!--", " - ", "-->"),
        other => {
            return Err(bad(format!(
                "there is no comment style `{other}`; there are plain, erlang, c, cblock, xml"
            )));
        }
    };
    let line = given
        .text(usize::MAX, "decoration")?
        .unwrap_or_else(|| line.to_owned());
    let edge = line.trim_end().to_owned();
    let prefix = given
        .text(usize::MAX, "prefix")?
        .unwrap_or_else(|| edge.clone());
    let postfix = given
        .text(usize::MAX, "postfix")?
        .unwrap_or_else(|| edge.clone());
    given.only(1)?;
    let mut lines = Vec::new();
    lines.extend((!start.is_empty()).then(|| start.to_owned()));
    lines.extend((!prefix.is_empty()).then_some(prefix));
    lines.extend(
        text(&value)?
            .split('\n')
            .map(|l| format!("{line}{l}").trim_end().to_owned()),
    );
    lines.extend((!postfix.is_empty()).then_some(postfix));
    lines.extend((!end.is_empty()).then(|| end.to_owned()));
    Ok(Value::from(lines.join("\n")))
}

fn password_hash(value: Value, given: &Given) -> Result<Value, Error> {
    let scheme = given
        .text(0, "hashtype")?
        .unwrap_or_else(|| "sha512".to_owned());
    let salt = given.text(1, "salt")?;
    let _ = given.value(2, "salt_size")?;
    let rounds = given.int(3, "rounds")?;
    given.only(4)?;
    let Some(salt) = salt else {
        return Err(bad(
            "`password_hash` without a salt gives another hash each time, so every run would change it; give `salt=`",
        ));
    };
    let rounds = rounds.map(|n| u32::try_from(n).unwrap_or(0));
    crypt::hash(&text(&value)?, &scheme, &salt, rounds)
        .map(Value::from)
        .map_err(bad)
}

/// Quoted for a POSIX shell where it needs to be, as Python's `shlex.quote` does.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\"'\"'"))
    }
}

pub(super) fn add(env: &mut Environment<'static>) {
    filter(env, "quote", |value, given| {
        given.only(0)?;
        Ok(Value::from(quote(&if value.is_none() {
            String::new()
        } else {
            text(&value)?
        })))
    });
    filter(env, "string", |value, given| {
        given.only(0)?;
        text(&value).map(Value::from)
    });
    filter(env, "b64encode", |value, given| {
        only_utf8(given.text(0, "encoding")?)?;
        let urlsafe = given.truth(usize::MAX, "urlsafe")?;
        given.only(1)?;
        let engine = if urlsafe { URL_SAFE } else { STANDARD };
        Ok(Value::from(engine.encode(text(&value)?)))
    });
    filter(env, "b64decode", |value, given| {
        only_utf8(given.text(0, "encoding")?)?;
        let urlsafe = given.truth(usize::MAX, "urlsafe")?;
        given.only(1)?;
        let engine = if urlsafe { URL_SAFE } else { STANDARD };
        let packed: String = text(&value)?.split_whitespace().collect();
        let bytes = engine
            .decode(packed)
            .map_err(|e| bad(format!("this is not base64: {e}")))?;
        String::from_utf8(bytes)
            .map(Value::from)
            .map_err(|_| bad("what was in base64 is no UTF-8 text"))
    });
    filter(env, "hash", |value, given| {
        let algorithm = given.text(0, "hashtype")?;
        given.only(1)?;
        digest(&text(&value)?, algorithm.as_deref().unwrap_or("sha1")).map(Value::from)
    });
    for (name, algorithm) in [("checksum", "sha1"), ("sha1", "sha1"), ("md5", "md5")] {
        filter(env, name, move |value, given| {
            given.only(0)?;
            digest(&text(&value)?, algorithm).map(Value::from)
        });
    }
    filter(env, "password_hash", password_hash);
    filter(env, "comment", comment);
    filter(env, "to_uuid", |value, given| {
        let namespace = given.text(0, "namespace")?;
        given.only(1)?;
        let namespace = namespace
            .as_deref()
            .unwrap_or("361E6D51-FAEC-444A-9079-341386DA8E2E");
        let bytes = hex::decode(namespace.replace('-', ""))
            .ok()
            .filter(|b| b.len() == 16)
            .ok_or_else(|| bad(format!("`{namespace}` is no UUID")))?;
        let mut hash = sha1::Sha1::new();
        hash.update(&bytes);
        hash.update(text(&value)?.as_bytes());
        let mut id: Vec<u8> = hash.finalize().to_vec();
        id.truncate(16);
        // RFC 9562: version 5, variant 10.
        id[6] = (id[6] & 0x0f) | 0x50;
        id[8] = (id[8] & 0x3f) | 0x80;
        let h = hex::encode(id);
        Ok(Value::from(format!(
            "{}-{}-{}-{}-{}",
            &h[..8],
            &h[8..12],
            &h[12..16],
            &h[16..20],
            &h[20..]
        )))
    });
    filter(env, "replace", |value, given| {
        let old = given.text(0, "old")?.unwrap_or_default();
        let new = given.text(1, "new")?.unwrap_or_default();
        let count = given.int(2, "count")?;
        given.only(3)?;
        let text = text(&value)?;
        Ok(Value::from(match count.map(usize::try_from) {
            Some(Ok(count)) => text.replacen(&old, &new, count),
            _ => text.replace(&old, &new),
        }))
    });
    filter(env, "wordcount", |value, given| {
        given.only(0)?;
        Ok(Value::from(text(&value)?.split_whitespace().count()))
    });
    filter(env, "truncate", truncate);
    filter(env, "wordwrap", wordwrap);
    filter(env, "center", |value, given| {
        let width = given.int(0, "width")?.unwrap_or(80).clamp(0, 10_000);
        given.only(1)?;
        let text = text(&value)?;
        let missing = usize::try_from(width)
            .unwrap_or(0)
            .saturating_sub(text.chars().count());
        let left = missing / 2;
        Ok(Value::from(format!(
            "{}{text}{}",
            " ".repeat(left),
            " ".repeat(missing - left)
        )))
    });
    filter(env, "urlencode", |value, given| {
        given.only(0)?;
        let part = |v: &Value| text(v).map(|t| percent_encode(&t, ""));
        let mut pairs = Vec::new();
        match value.kind() {
            ValueKind::Map => {
                for key in value.try_iter()? {
                    pairs.push(format!("{}={}", part(&key)?, part(&value.get_item(&key)?)?));
                }
            }
            ValueKind::Seq => {
                for pair in super::items(&value)? {
                    match super::items(&pair)?.as_slice() {
                        [key, value] => pairs.push(format!("{}={}", part(key)?, part(value)?)),
                        _ => {
                            return Err(bad(
                                "`urlencode` takes a text, a mapping or a list of pairs",
                            ));
                        }
                    }
                }
            }
            _ => return Ok(Value::from(percent_encode(&text(&value)?, "/"))),
        }
        Ok(Value::from(pairs.join("&")))
    });
    filter(env, "urldecode", |value, given| {
        given.only(0)?;
        Ok(Value::from(percent_decode(&text(&value)?, true)))
    });
    filter(env, "type_debug", |value, given| {
        given.only(0)?;
        Ok(Value::from(match value.kind() {
            ValueKind::None => "NoneType",
            ValueKind::Bool => "bool",
            ValueKind::Number if value.is_integer() => "int",
            ValueKind::Number => "float",
            ValueKind::String => "str",
            ValueKind::Bytes => "bytes",
            ValueKind::Seq if value.is_tuple() => "tuple",
            ValueKind::Seq => "list",
            ValueKind::Map => "dict",
            ValueKind::Iterable => "generator",
            _ => "object",
        }))
    });
}

fn truncate(value: Value, given: &Given) -> Result<Value, Error> {
    let length = given.int(0, "length")?.unwrap_or(255);
    let cut_words = given.truth(1, "killwords")?;
    let end = given.text(2, "end")?.unwrap_or_else(|| "...".to_owned());
    let leeway = given.int(3, "leeway")?.unwrap_or(5);
    given.only(4)?;
    let size = |n: i64| usize::try_from(n).unwrap_or(0);
    let text = text(&value)?;
    if text.chars().count() <= size(length).saturating_add(size(leeway)) {
        return Ok(Value::from(text));
    }
    let kept = size(length).saturating_sub(end.chars().count());
    let head: String = text.chars().take(kept).collect();
    let head = match head.rsplit_once(' ') {
        Some((words, _)) if !cut_words => words,
        _ => &head,
    };
    Ok(Value::from(format!("{head}{end}")))
}

fn wordwrap(value: Value, given: &Given) -> Result<Value, Error> {
    let width = given.int(0, "width")?.unwrap_or(79).clamp(1, 10_000);
    let cut_words = given
        .value(1, "break_long_words")?
        .is_none_or(|v| v.is_true());
    let end = given
        .text(2, "wrapstring")?
        .unwrap_or_else(|| "\n".to_owned());
    let _ = given.value(3, "break_on_hyphens")?;
    given.only(4)?;
    let width = usize::try_from(width).unwrap_or(79);
    let mut lines = Vec::new();
    for paragraph in text(&value)?.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|w| !w.is_empty()) {
            let mut word = word.to_owned();
            let used = line.chars().count();
            if used > 0 && used + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            while cut_words && word.chars().count() > width {
                let rest: String = word.chars().skip(width).collect();
                lines.push(word.chars().take(width).collect());
                word = rest;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        lines.push(line);
    }
    Ok(Value::from(lines.join(&end)))
}

/// Encodes all bytes but letters, digits, `_.-~` and those in `safe`.
fn percent_encode(text: &str, safe: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if byte.is_ascii_alphanumeric()
            || "_.-~".contains(c)
            || (byte.is_ascii() && safe.contains(c))
        {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn only_utf8(encoding: Option<String>) -> Result<(), Error> {
    match encoding {
        Some(name)
            if !matches!(
                name.to_ascii_lowercase().as_str(),
                "utf-8" | "utf8" | "ascii"
            ) =>
        {
            Err(bad(format!(
                "the encoding `{name}` is not known here; there is utf-8"
            )))
        }
        _ => Ok(()),
    }
}

/// Decodes `%41`; with `plus`, `+` is a blank.
pub(super) fn percent_decode(text: &str, plus: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes().peekable();
    let mut rest = text.as_bytes();
    while let Some(byte) = bytes.next() {
        rest = rest.get(1..).unwrap_or_default();
        match byte {
            b'+' if plus => out.push(b' '),
            b'%' => match rest.get(..2).and_then(|h| hex::decode(h).ok()) {
                Some(decoded) => {
                    out.extend(decoded);
                    bytes.next();
                    bytes.next();
                    rest = rest.get(2..).unwrap_or_default();
                }
                None => out.push(b'%'),
            },
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
