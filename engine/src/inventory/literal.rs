//! Python's literals, which values in an INI inventory are written in: `5`, `True`, `[1, 'a']`, `{'x': 1}`.
//!
//! Ansible hands such a value to Python's `ast.literal_eval`; what is no literal stays the text that it is. So `yes`
//! and `true` are texts, `True` is not, and `0644` keeps its zero.

use indexmap::IndexMap;

use crate::value::Value;

/// The value of a literal; `None` where the text is none.
pub fn literal(text: &str) -> Option<Value> {
    let mut reader = Reader {
        rest: text.trim(),
        depth: 0,
    };
    let value = reader.value()?;
    reader.rest.trim().is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn takes(&mut self, sign: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.rest = self.rest.trim_start();
        self.depth += 1;
        if self.depth > 50 {
            return None;
        }
        let value = match self.rest.chars().next()? {
            '[' => self.list('[', ']'),
            '(' => self.list('(', ')'),
            '{' => self.map(),
            '"' | '\'' => self.text().map(Value::Str),
            _ => self.word(),
        };
        self.depth -= 1;
        value
    }

    fn list(&mut self, open: char, close: char) -> Option<Value> {
        let mut items = Vec::new();
        self.takes(open);
        loop {
            if self.takes(close) {
                return Some(Value::List(items));
            }
            items.push(self.value()?);
            if !self.takes(',') {
                // `(5)` is 5.
                let one = open == '(' && items.len() == 1;
                return match self.takes(close) {
                    true if one => items.pop(),
                    true => Some(Value::List(items)),
                    false => None,
                };
            }
        }
    }

    fn map(&mut self) -> Option<Value> {
        let mut entries = IndexMap::new();
        self.takes('{');
        loop {
            if self.takes('}') {
                return Some(Value::Map(entries));
            }
            let key = match self.value()? {
                Value::Str(key) => key,
                Value::Int(key) => key.to_string(),
                _ => return None,
            };
            if !self.takes(':') {
                return None;
            }
            entries.insert(key, self.value()?);
            if !self.takes(',') {
                return self.takes('}').then_some(Value::Map(entries));
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut text = String::new();
        let mut signs = self.rest.char_indices().skip(1);
        while let Some((at, c)) = signs.next() {
            if c == quote {
                self.rest = &self.rest[at + c.len_utf8()..];
                return Some(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match signs.next()?.1 {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                same @ ('\\' | '\'' | '"') => text.push(same),
                other => text.extend(['\\', other]),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self
            .rest
            .find([',', ']', ')', '}', ':'])
            .unwrap_or(self.rest.len());
        let word = self.rest[..end].trim();
        self.rest = &self.rest[end..];
        Some(match word {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            _ => number(word)?,
        })
    }
}

fn number(word: &str) -> Option<Value> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = lower.strip_prefix(prefix) {
            return i64::from_str_radix(rest, radix)
                .ok()
                .map(|n| Value::Int(sign * n));
        }
    }
    if lower.bytes().all(|b| b.is_ascii_digit()) {
        // Python takes no leading zeros, but for zero itself.
        let zero = lower.bytes().all(|b| b == b'0');
        return match lower.starts_with('0') && !zero {
            true => None,
            false => lower.parse::<i64>().ok().map(|n| Value::Int(sign * n)),
        };
    }
    let plain = lower
        .bytes()
        .all(|b| b.is_ascii_digit() || b".e+-".contains(&b));
    let number = lower
        .parse::<f64>()
        .ok()
        .filter(|n| plain && n.is_finite())?;
    Some(Value::Float(if sign < 0 { -number } else { number }))
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn as_python_reads_them() {
        for (text, expected) in [
            ("5", Some("5")),
            ("-5", Some("-5")),
            ("0", Some("0")),
            ("0x1f", Some("31")),
            ("1.5", Some("1.5")),
            ("1e3", Some("1000.0")),
            ("True", Some("true")),
            ("None", Some("null")),
            ("'a b'", Some("\"a b\"")),
            ("\"it\\'s\"", Some("\"it's\"")),
            ("[1, 'a', [True,], ]", Some("[1,\"a\",[true]]")),
            (
                "{'a': 1, 'b': {'c': []}}",
                Some("{\"a\":1,\"b\":{\"c\":[]}}"),
            ),
            ("(1, 2)", Some("[1,2]")),
            ("(1)", Some("1")),
            ("0644", None),
            ("true", None),
            ("yes", None),
            ("192.0.2.1", None),
            ("1.2.3", None),
            ("a b", None),
            ("{{ x }}", None),
            ("[a]", None),
            ("'open", None),
            ("[1", None),
            ("", None),
            ("5 x", None),
            ("inf", None),
        ] {
            let found = literal(text).map(|v| v.to_json(false).to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
