//! Distinguished names (RFC 4514), kept as written and compared as a directory compares them.

use super::matching::{Rule, fold_text};
use super::schema::Schema;

/// A distinguished name: relative names, the entry's own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dn {
    text: String,
    rdns: Vec<Rdn>,
}

/// A relative name: one or more attribute values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rdn {
    /// Attribute and value with escapes resolved, in written order.
    pub parts: Vec<(String, String)>,
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnError {
    /// A part without `=`.
    #[error("`{0}` has no `=`")]
    NoEquals(String),
    /// A part whose attribute is no name of one.
    #[error("`{0}` is no attribute")]
    NoAttribute(String),
    /// A backslash that escapes nothing, or bytes that are no text.
    #[error("`{0}` has a backslash that escapes nothing, or bytes that are no UTF-8")]
    Escape(String),
    /// A special character that has to be escaped.
    #[error("`{0}` has to be written `\\{0}`")]
    Special(char),
}

impl Dn {
    /// Reads a name. The empty name is the root.
    ///
    /// # Errors
    /// Where it does not follow RFC 4514.
    pub fn parse(text: &str) -> Result<Self, DnError> {
        if text.trim().is_empty() {
            return Ok(Self {
                text: String::new(),
                rdns: Vec::new(),
            });
        }
        let rdns = split(text, &[',', ';'])
            .into_iter()
            .map(Rdn::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            rdns,
        })
    }

    /// From relative names, the entry's own first.
    #[must_use]
    pub fn from_rdns(rdns: Vec<Rdn>) -> Self {
        let text = rdns
            .iter()
            .map(Rdn::to_string)
            .collect::<Vec<_>>()
            .join(",");
        Self { text, rdns }
    }

    /// The relative names, the entry's own first.
    #[must_use]
    pub fn rdns(&self) -> &[Rdn] {
        &self.rdns
    }

    /// The name of the entry above; `None` at the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        (!self.rdns.is_empty()).then(|| Self::from_rdns(self.rdns[1..].to_vec()))
    }

    /// The entry's own name in place of which stands another.
    #[must_use]
    pub fn below(rdn: Rdn, parent: &Self) -> Self {
        let mut rdns = vec![rdn];
        rdns.extend_from_slice(&parent.rdns);
        Self::from_rdns(rdns)
    }

    /// The form that is equal for equal names: root first, joined by `/`, each value folded by its attribute's
    /// matching rule (by case and blanks where no schema is at hand). One name lies below another where its form
    /// begins with the other's and a `/`.
    #[must_use]
    pub fn folded(&self, schema: Option<&Schema>) -> String {
        self.rdns
            .iter()
            .rev()
            .map(|r| r.folded(schema))
            .collect::<Vec<_>>()
            .join("/")
    }

    /// The form of the deepest name above this one, or of this one, of which no schema is needed to tell it: below it, values
    /// are in a case or with blanks that may count or not.
    #[must_use]
    pub fn certain(&self) -> String {
        let certain = self.rdns.iter().rev().take_while(|r| r.is_certain());
        let parts: Vec<String> = certain.map(|r| r.folded(None)).collect();
        parts.join("/")
    }

    /// Number of relative names.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.rdns.len()
    }
}

impl std::fmt::Display for Dn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Rdn {
    /// Reads one relative name.
    ///
    /// # Errors
    /// Where it does not follow RFC 4514.
    pub fn parse(text: &str) -> Result<Self, DnError> {
        let parts = split(text, &['+'])
            .into_iter()
            .map(part)
            .collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Whatever the matching rules of its attributes, its form is the same; those of RFC 4519 are known.
    fn is_certain(&self) -> bool {
        self.parts.iter().all(|(name, value)| {
            let known = ["cn", "o", "ou", "dc", "uid", "c", "l"].contains(&alias(name).as_str());
            let folded = Rule::CaseIgnore.fold(value.as_bytes());
            known || folded == value.as_bytes()
        })
    }

    fn folded(&self, schema: Option<&Schema>) -> String {
        let mut parts: Vec<String> = self
            .parts
            .iter()
            .map(|(name, value)| {
                let (name, rule) = match schema.and_then(|s| s.attribute(name)) {
                    Some(known) => (known.key(), known.rule.clone()),
                    None => (alias(name), Rule::CaseIgnore),
                };
                let value = match rule {
                    Rule::Octets | Rule::NoEquality => fold_text(value, false),
                    rule => String::from_utf8_lossy(&rule.fold(value.as_bytes())).into_owned(),
                };
                format!(
                    "{name}={}",
                    value
                        .replace('%', "%25")
                        .replace('/', "%2f")
                        .replace('+', "%2b")
                )
            })
            .collect();
        parts.sort();
        parts.join("+")
    }
}

impl std::fmt::Display for Rdn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (name, value)) in self.parts.iter().enumerate() {
            write!(
                f,
                "{}{name}={}",
                if i == 0 { "" } else { "+" },
                escaped(value)
            )?;
        }
        Ok(())
    }
}

/// The attribute names of RFC 4519 that have a long form or a number in common use.
fn alias(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "commonname" | "2.5.4.3" => "cn",
        "organizationname" | "2.5.4.10" => "o",
        "organizationalunitname" | "2.5.4.11" => "ou",
        "domaincomponent" | "0.9.2342.19200300.100.1.25" => "dc",
        "userid" | "0.9.2342.19200300.100.1.1" => "uid",
        "countryname" | "2.5.4.6" => "c",
        "localityname" | "2.5.4.7" => "l",
        _ => return name,
    }
    .to_owned()
}

/// Cuts at unescaped separators.
fn split<'a>(text: &'a str, separators: &[char]) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if separators.contains(&c) {
            parts.push(&text[start..i]);
            start = i + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// `attribute=value`.
fn part(text: &str) -> Result<(String, String), DnError> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| DnError::NoEquals(text.trim().to_owned()))?;
    let name = name.trim();
    let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if !valid {
        return Err(DnError::NoAttribute(name.to_owned()));
    }
    Ok((name.to_owned(), unescaped(value)?))
}

/// Resolves escapes and takes off blanks around the value.
fn unescaped(value: &str) -> Result<String, DnError> {
    let value = value.trim_start_matches(' ');
    let bad = || DnError::Escape(value.to_owned());
    let mut bytes = Vec::with_capacity(value.len());
    let mut keep = 0;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let first = chars.next().ok_or_else(bad)?;
                if first.is_ascii_hexdigit() {
                    let second = chars.next().ok_or_else(bad)?;
                    let pair: String = [first, second].iter().collect();
                    bytes.push(u8::from_str_radix(&pair, 16).map_err(|_| bad())?);
                } else if " \"#+,;<=>\\".contains(first) {
                    bytes.push(first as u8);
                } else {
                    return Err(bad());
                }
                keep = bytes.len();
            }
            '"' | '<' | '>' | '\0' => return Err(DnError::Special(c)),
            _ => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c != ' ' {
                    keep = bytes.len();
                }
            }
        }
    }
    bytes.truncate(keep);
    String::from_utf8(bytes).map_err(|_| bad())
}

/// A value as RFC 4514 writes it.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            '\0' => text.push_str("\\00"),
            ' ' | '#' if i == 0 => {
                text.push('\\');
                text.push(c);
            }
            ' ' if i == last => text.push_str("\\ "),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) {
        assert_eq!(
            Dn::parse(a).unwrap().folded(None),
            Dn::parse(b).unwrap().folded(None)
        );
    }

    #[test]
    fn equal_names() {
        same(
            "cn=Enhanced US Volume  Storage SCU,o=x",
            "CN=enhanced us volume storage scu, O=X",
        );
        same("cn=a\\,b,o=x", "cn=a\\2cb,o=x");
        same("a=1+b=2,o=x", "B=2+A=1,o=x");
        same("commonName=a", "2.5.4.3=a");
        same("cn= a ,o=x", "cn=a,o=x");
        same("cn=\u{e4}", "cn=\\c3\\A4");
        same("cn=fix#783", "cn=fix\\#783");
    }

    #[test]
    fn places() {
        let dn = Dn::parse("cn=a/b,ou=c,o=d").unwrap();
        assert_eq!(dn.folded(None), "o=d/ou=c/cn=a%2fb");
        for (name, certain) in [
            ("CN=A B, O=D", "o=d/cn=a b"),
            ("title=X,device=y,cn=Z,o=d", "o=d/cn=z/device=y"),
            ("device=y,title=X,o=d", "o=d"),
            ("device=y+title=X,o=d", "o=d"),
            ("title=X", ""),
        ] {
            assert_eq!(Dn::parse(name).unwrap().certain(), certain, "{name}");
        }
        assert_eq!(dn.parent().unwrap().to_string(), "ou=c,o=d");
        assert_eq!(Dn::parse("").unwrap().parent(), None);
        assert_eq!(
            Dn::from_rdns(Dn::parse("cn=\\ a\\,b\\ ,o=x").unwrap().rdns().to_vec()).to_string(),
            "cn=\\ a\\,b\\ ,o=x"
        );
    }

    #[test]
    fn no_names() {
        for text in ["a", "a=b,,c=d", "=b", "a=b\\", "a=b\\x", "a=\\ff", "a=<b>"] {
            assert!(Dn::parse(text).is_err(), "{text}");
        }
    }
}
