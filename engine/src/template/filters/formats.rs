//! JSON and YAML.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, Value};

use super::{Given, bad, filter, text};
use crate::template::convert;

/// Values may be nested this deep.
const DEEPEST: usize = 100;

fn too_deep(depth: usize) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(bad("the value is nested too deep"));
    }
    Ok(())
}

/// JSON as Python writes it: `, ` and `: ` between things, everything beyond ASCII escaped unless asked otherwise.
struct Json {
    indent: Option<usize>,
    item: String,
    key: String,
    sorted: bool,
    ascii: bool,
}

impl Json {
    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        too_deep(depth)?;
        match value.kind() {
            ValueKind::Undefined => return Err(Error::from(minijinja::ErrorKind::UndefinedError)),
            ValueKind::None | ValueKind::Plain => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => out.push_str(&value.to_string()),
            ValueKind::Number => out.push_str(&convert::float(f64::try_from(value.clone())?)),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = super::items(value)?;
                self.around("[", "]", items.len(), depth, out, |at, out| {
                    self.write(&items[at], depth + 1, out)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort_by_key(ToString::to_string);
                }
                self.around("{", "}", keys.len(), depth, out, |at, out| {
                    self.string(&keys[at].to_string(), out);
                    out.push_str(&self.key);
                    self.write(&value.get_item(&keys[at])?, depth + 1, out)
                })?;
            }
            _ => self.string(&text(value)?, out),
        }
        Ok(())
    }

    fn around(
        &self,
        open: &str,
        close: &str,
        count: usize,
        depth: usize,
        out: &mut String,
        mut each: impl FnMut(usize, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = |depth: usize, out: &mut String| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.push_str(&" ".repeat(indent * depth));
            }
        };
        out.push_str(open);
        for at in 0..count {
            if at > 0 {
                out.push_str(&self.item);
            }
            line(depth + 1, out);
            each(at, out)?;
        }
        if count > 0 {
            line(depth, out);
        }
        out.push_str(close);
        Ok(())
    }

    fn string(&self, text: &str, out: &mut String) {
        let quoted = serde_json::Value::String(text.to_owned()).to_string();
        if !self.ascii {
            out.push_str(&quoted);
            return;
        }
        for c in quoted.chars() {
            if c.is_ascii() && c != '\u{7f}' {
                out.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

/// A value as Python's `json.dumps` writes it.
pub(in crate::template) fn json_text(value: &Value) -> Result<String, Error> {
    let json = Json {
        indent: None,
        item: ", ".to_owned(),
        key: ": ".to_owned(),
        sorted: false,
        ascii: true,
    };
    let mut out = String::new();
    json.write(value, 0, &mut out)?;
    Ok(out)
}

fn to_json(value: Value, given: &Given, nice: bool) -> Result<Value, Error> {
    let indent = given.int(0, "indent")?.or(nice.then_some(4));
    let sorted = given.value(1, "sort_keys")?.map_or(nice, |v| v.is_true());
    let ascii = given
        .value(usize::MAX, "ensure_ascii")?
        .is_none_or(|v| v.is_true());
    let separators = given.value(usize::MAX, "separators")?;
    for ignored in ["vault_to_text", "preprocess_unsafe", "profile"] {
        let _ = given.value(usize::MAX, ignored)?;
    }
    given.only(2)?;
    let (mut item, mut key) = (
        if indent.is_some() { "," } else { ", " }.to_owned(),
        ": ".to_owned(),
    );
    if let Some(separators) = separators {
        let parts = super::items(&separators)?;
        let [first, second] = parts.as_slice() else {
            return Err(bad("`separators` are two: between items, behind keys"));
        };
        (item, key) = (text(first)?, text(second)?);
    }
    let indent = indent.map(|n| usize::try_from(n).unwrap_or(0).min(64));
    let mut out = String::new();
    Json {
        indent,
        item,
        key,
        sorted,
        ascii,
    }
    .write(&value, 0, &mut out)?;
    Ok(Value::from(out))
}

/// YAML as PyYAML writes it for Ansible.
struct Yaml {
    indent: usize,
    /// Lists and mappings that hold no others go on one line.
    flow_leaves: bool,
    sorted: bool,
    unicode: bool,
}

impl Yaml {
    fn nested(value: &Value) -> bool {
        matches!(
            value.kind(),
            ValueKind::Seq | ValueKind::Iterable | ValueKind::Map
        )
    }

    fn keys(&self, value: &Value) -> Result<Vec<Value>, Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sorted {
            keys.sort_by_key(ToString::to_string);
        }
        Ok(keys)
    }

    fn in_flow(&self, value: &Value) -> Result<bool, Error> {
        if value.len() == Some(0) {
            return Ok(true);
        }
        if !self.flow_leaves {
            return Ok(false);
        }
        Ok(match value.kind() {
            ValueKind::Map => {
                let mut leaf = true;
                for key in value.try_iter()? {
                    leaf &= !Self::nested(&value.get_item(&key)?);
                }
                leaf
            }
            _ => !super::items(value)?.iter().any(Self::nested),
        })
    }

    /// One line: a scalar, or a collection in brackets.
    fn flow(&self, value: &Value, depth: usize) -> Result<String, Error> {
        too_deep(depth)?;
        Ok(match value.kind() {
            ValueKind::Map => {
                let mut parts = Vec::new();
                for key in self.keys(value)? {
                    let inner = self.flow(&value.get_item(&key)?, depth + 1)?;
                    parts.push(format!("{}: {inner}", self.scalar(&key)?));
                }
                format!("{{{}}}", parts.join(", "))
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let parts: Vec<String> = super::items(value)?
                    .iter()
                    .map(|i| self.flow(i, depth + 1))
                    .collect::<Result<_, _>>()?;
                format!("[{}]", parts.join(", "))
            }
            _ => self.scalar(value)?,
        })
    }

    /// Lines at a depth of `at` blanks.
    fn block(&self, value: &Value, at: usize, depth: usize, out: &mut String) -> Result<(), Error> {
        too_deep(depth)?;
        let pad = " ".repeat(at);
        match value.kind() {
            ValueKind::Map => {
                for key in self.keys(value)? {
                    let inner = value.get_item(&key)?;
                    let key = self.scalar(&key)?;
                    if Self::nested(&inner) && !self.in_flow(&inner)? {
                        out.push_str(&format!("{pad}{key}:\n"));
                        // A list below a key stands as far left as the key.
                        let list = inner.kind() != ValueKind::Map;
                        let deeper = if list { at } else { at + self.indent };
                        self.block(&inner, deeper, depth + 1, out)?;
                    } else {
                        let inner = if Self::nested(&inner) {
                            self.flow(&inner, depth + 1)?
                        } else {
                            self.scalar(&inner)?
                        };
                        out.push_str(&format!("{pad}{key}: {inner}\n"));
                    }
                }
            }
            ValueKind::Seq | ValueKind::Iterable => {
                for item in super::items(value)? {
                    if Self::nested(&item) && !self.in_flow(&item)? {
                        let mut inner = String::new();
                        self.block(&item, at + self.indent, depth + 1, &mut inner)?;
                        let dash =
                            format!("{pad}-{}", " ".repeat(self.indent.saturating_sub(1).max(1)));
                        out.push_str(&dash);
                        out.push_str(inner.get(at + self.indent..).unwrap_or(&inner));
                    } else {
                        let inner = if Self::nested(&item) {
                            self.flow(&item, depth + 1)?
                        } else {
                            self.scalar(&item)?
                        };
                        out.push_str(&format!("{pad}- {inner}\n"));
                    }
                }
            }
            _ => out.push_str(&format!("{}\n", self.scalar(value)?)),
        }
        Ok(())
    }

    fn scalar(&self, value: &Value) -> Result<String, Error> {
        Ok(match value.kind() {
            ValueKind::Undefined => return Err(Error::from(minijinja::ErrorKind::UndefinedError)),
            ValueKind::None | ValueKind::Plain => "null".to_owned(),
            ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
            ValueKind::Number if value.is_integer() => value.to_string(),
            ValueKind::Number => convert::float(f64::try_from(value.clone())?),
            _ => self.string(&text(value)?),
        })
    }

    fn string(&self, text: &str) -> String {
        let special = |c: char| (c.is_control() && c != '\n') || (!self.unicode && !c.is_ascii());
        if text.chars().any(special) || text.contains('\n') {
            return double_quoted(text, self.unicode);
        }
        if is_plain(text) {
            text.to_owned()
        } else {
            format!("'{}'", text.replace('\'', "''"))
        }
    }
}

fn double_quoted(text: &str, unicode: bool) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii() && !c.is_control() => out.push(c),
            c if unicode && !c.is_control() => out.push(c),
            c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// A text that any reader of YAML, 1.1 or 1.2, takes for just that text without quotes.
fn is_plain(text: &str) -> bool {
    let first = match text.chars().next() {
        Some(c) => c,
        None => return false,
    };
    let second_is_blank = text.chars().nth(1).is_none_or(|c| c == ' ');
    if "#,[]{}&*!|>'\"%@`".contains(first) || ("-?:".contains(first) && second_is_blank) {
        return false;
    }
    if text.starts_with("---") || text.starts_with("...") || text == "=" || text == "<<" {
        return false;
    }
    if text.starts_with(' ')
        || text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #")
    {
        return false;
    }
    // Inside brackets these would end the text; PyYAML keeps to the same rule.
    if text.contains(['[', ']', '{', '}', ',']) && text.starts_with(['[', ']', '{', '}', ',']) {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    if matches!(
        lower.as_str(),
        "~" | "null"
            | "true"
            | "false"
            | "yes"
            | "no"
            | "on"
            | "off"
            | "y"
            | "n"
            | ".nan"
            | ".inf"
            | "-.inf"
            | "+.inf"
    ) {
        // `y` and `n` are texts to PyYAML, and it writes them so.
        return matches!(lower.as_str(), "y" | "n");
    }
    !looks_like_number_or_date(text)
}

fn looks_like_number_or_date(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let starts = digits.starts_with(|c: char| c.is_ascii_digit())
        || (digits.starts_with('.') && digits[1..].starts_with(|c: char| c.is_ascii_digit()));
    if !starts {
        return false;
    }
    let number = digits
        .chars()
        .all(|c| c.is_ascii_digit() || "._".contains(c))
        && digits.matches('.').count() < 2;
    let prefixed = digits.len() > 2
        && (digits.starts_with("0x")
            && digits[2..]
                .chars()
                .all(|c| c.is_ascii_hexdigit() || c == '_')
            || digits.starts_with("0o") && digits[2..].chars().all(|c| c.is_digit(8))
            || digits.starts_with("0b") && digits[2..].chars().all(|c| c.is_digit(2) || c == '_'));
    let float = digits.contains('e') | digits.contains('E') && digits.parse::<f64>().is_ok();
    let sixty = digits.contains(':')
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || ":._".contains(c));
    let date = {
        let mut parts = text.splitn(3, '-');
        let digit_run = |part: Option<&str>, lengths: &[usize]| {
            part.is_some_and(|p| {
                let run = p.chars().take_while(char::is_ascii_digit).count();
                lengths.contains(&run)
            })
        };
        digit_run(parts.next(), &[4])
            && digit_run(parts.next(), &[1, 2])
            && digit_run(parts.next(), &[1, 2])
    };
    number || prefixed || float || sixty || date
}

fn to_yaml(value: Value, given: &Given, nice: bool) -> Result<Value, Error> {
    let indent = given.int(0, "indent")?.unwrap_or(if nice { 4 } else { 2 });
    let flow = given.value(usize::MAX, "default_flow_style")?;
    let sorted = given
        .value(usize::MAX, "sort_keys")?
        .is_none_or(|v| v.is_true());
    let unicode = given
        .value(usize::MAX, "allow_unicode")?
        .is_none_or(|v| v.is_true());
    for ignored in ["width", "explicit_start", "explicit_end"] {
        let _ = given.value(usize::MAX, ignored)?;
    }
    given.only(1)?;
    let yaml = Yaml {
        indent: usize::try_from(indent).unwrap_or(2).clamp(2, 9),
        flow_leaves: flow.map_or(!nice, |v| v.is_true()),
        sorted,
        unicode,
    };
    let mut out = String::new();
    if Yaml::nested(&value) && !yaml.in_flow(&value)? {
        yaml.block(&value, 0, 0, &mut out)?;
    } else {
        out.push_str(&yaml.flow(&value, 0)?);
        out.push('\n');
    }
    Ok(Value::from(out))
}

fn from_json(source: &str) -> Result<Value, Error> {
    let parsed: serde_json::Value =
        serde_json::from_str(source).map_err(|e| bad(format!("this is not JSON: {e}")))?;
    Ok(convert::to_jinja(&crate::value::Value::from_json(&parsed)))
}

fn from_yaml(source: &str) -> Result<Vec<Value>, Error> {
    let sources = crate::source::Sources::new();
    let file = sources.add("from_yaml", source.to_owned());
    match crate::source::parse(&sources, file) {
        Ok(documents) if documents.iter().any(crate::source::Node::holds_encrypted) => Err(bad(
            "a text behind `!vault` is decrypted in files of variables only".to_owned(),
        )),
        Ok(documents) => Ok(documents
            .iter()
            .map(|node| convert::to_jinja(&crate::source::untyped(node)))
            .collect()),
        Err(errors) => Err(bad(format!(
            "this is not YAML: {}",
            errors.first().map_or("", |e| e.message.as_str())
        ))),
    }
}

pub(super) fn add(env: &mut Environment<'static>) {
    filter(env, "to_json", |value, given| to_json(value, given, false));
    filter(env, "to_nice_json", |value, given| {
        to_json(value, given, true)
    });
    filter(env, "to_yaml", |value, given| to_yaml(value, given, false));
    filter(env, "to_nice_yaml", |value, given| {
        to_yaml(value, given, true)
    });
    filter(env, "from_json", |value, given| {
        let _ = given.value(usize::MAX, "profile")?;
        given.only(0)?;
        from_json(&text(&value)?)
    });
    filter(env, "from_yaml", |value, given| {
        given.only(0)?;
        if value.as_str().is_none() {
            // As in Ansible, what is no text has been read already.
            return Ok(value);
        }
        let mut documents = from_yaml(&text(&value)?)?;
        if documents.len() > 1 {
            return Err(bad("there are several YAML documents; use `from_yaml_all`"));
        }
        Ok(documents.pop().unwrap_or_default())
    });
    filter(env, "from_yaml_all", |value, given| {
        given.only(0)?;
        from_yaml(&text(&value)?).map(Value::from)
    });
}
