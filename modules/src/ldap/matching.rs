//! Matching rules (RFC 4517, 4518): when two values of an attribute are the same value.

use serde::{Deserialize, Serialize};

use super::dn::Dn;
use super::schema::description_folded;

/// How values of an attribute are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Text without regard to case; runs of blanks are one.
    #[default]
    CaseIgnore,
    /// Text; runs of blanks are one.
    CaseExact,
    /// Digits; blanks do not count.
    Numeric,
    /// Telephone numbers; case, blanks and hyphens do not count.
    Telephone,
    /// Whole numbers.
    Integer,
    /// `TRUE` and `FALSE`.
    Boolean,
    /// Distinguished names.
    DistinguishedName,
    /// Points in time.
    GeneralizedTime,
    /// Object identifiers and their names.
    Oid,
    /// Schema descriptions: by their words, whatever their order number and blanks.
    Description,
    /// Text with an order number `{n}` before it, which does not count.
    Ordered,
    /// Bytes.
    Octets,
    /// Bytes of an attribute whose values the server cannot compare: it can only be replaced as a whole.
    NoEquality,
}

impl Rule {
    /// The rule of an `EQUALITY` in a schema, by name or number. Unknown rules compare bytes.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "caseignorematch"
            | "2.5.13.2"
            | "caseignoreia5match"
            | "1.3.6.1.4.1.1466.109.114.2"
            | "caseignorelistmatch"
            | "2.5.13.11"
            | "uuidmatch"
            | "1.3.6.1.1.16.2" => Self::CaseIgnore,
            "caseexactmatch" | "2.5.13.5" | "caseexactia5match" | "1.3.6.1.4.1.1466.109.114.1" => {
                Self::CaseExact
            }
            "numericstringmatch" | "2.5.13.8" => Self::Numeric,
            "telephonenumbermatch" | "2.5.13.20" => Self::Telephone,
            "integermatch" | "2.5.13.14" => Self::Integer,
            "booleanmatch" | "2.5.13.13" => Self::Boolean,
            "distinguishednamematch" | "2.5.13.1" | "uniquemembermatch" | "2.5.13.23" => {
                Self::DistinguishedName
            }
            "generalizedtimematch" | "2.5.13.27" => Self::GeneralizedTime,
            "objectidentifiermatch" | "2.5.13.0" => Self::Oid,
            "objectidentifierfirstcomponentmatch" | "2.5.13.30" => Self::Description,
            _ => Self::Octets,
        }
    }

    /// The form of a value that is equal for equal values.
    #[must_use]
    pub fn fold(&self, value: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(value) else {
            return value.to_vec();
        };
        match self {
            Self::CaseIgnore => fold_text(text, false).into_bytes(),
            Self::CaseExact => fold_text(text, true).into_bytes(),
            Self::Numeric => text.replace(' ', "").into_bytes(),
            Self::Telephone => {
                let kept: String = text
                    .chars()
                    .filter(|c| !" -\u{2010}".contains(*c))
                    .collect();
                kept.to_lowercase().into_bytes()
            }
            Self::Integer => integer(text).into_bytes(),
            Self::Boolean => text.trim().to_ascii_uppercase().into_bytes(),
            Self::Oid => text.trim().to_ascii_lowercase().into_bytes(),
            Self::DistinguishedName => match Dn::parse(text) {
                Ok(dn) => dn.folded(None).into_bytes(),
                Err(_) => fold_text(text, false).into_bytes(),
            },
            Self::GeneralizedTime => time(text).into_bytes(),
            Self::Description => description_folded(text).into_bytes(),
            Self::Ordered => fold_text(without_index(text), true).into_bytes(),
            Self::Octets | Self::NoEquality => value.to_vec(),
        }
    }
}

/// RFC 4518 without its rarer mappings: blanks of every kind are one, controls are none, case folded unless exact.
/// Compatibility forms of characters (NFKC) are left as they are.
#[must_use]
pub fn fold_text(text: &str, exact: bool) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        if c.is_control() || c == '\u{ad}' || ('\u{200b}'..='\u{200f}').contains(&c) {
            continue;
        }
        if blank && !folded.is_empty() {
            folded.push(' ');
        }
        blank = false;
        if exact {
            folded.push(c);
        } else {
            folded.extend(c.to_lowercase());
        }
    }
    folded
}

/// Takes an order number `{n}` off.
#[must_use]
pub fn without_index(text: &str) -> &str {
    let rest = text.strip_prefix('{').and_then(|t| t.split_once('}'));
    match rest {
        Some((number, rest))
            if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'-') =>
        {
            rest
        }
        _ => text,
    }
}

fn integer(text: &str) -> String {
    let text = text.trim();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |d| ("-", d));
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        "0".to_owned()
    } else {
        format!("{sign}{digits}")
    }
}

/// A time in UTC to its last digit other than 0; as it is where it has another offset.
fn time(text: &str) -> String {
    let text = text.trim().to_ascii_uppercase();
    let Some(number) = text.strip_suffix('Z') else {
        return text;
    };
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
    let mut whole = whole.to_owned();
    while whole.len() < 14 && whole.len() >= 10 {
        whole.push('0');
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        format!("{whole}Z")
    } else {
        format!("{whole}.{fraction}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_one() {
        for (rule, a, b) in [
            (Rule::CaseIgnore, "Enhanced  US ", "enhanced us"),
            (Rule::CaseExact, " a  b", "a b"),
            (Rule::Numeric, "12 34", "1234"),
            (Rule::Telephone, "+43 1-23", "+43123"),
            (Rule::Integer, "007", "7"),
            (Rule::Integer, "-0", "0"),
            (Rule::Boolean, "true", "TRUE"),
            (Rule::DistinguishedName, "cn=A, o=b", "cn=a,o=B"),
            (
                Rule::GeneralizedTime,
                "202601010000Z",
                "20260101000000.000Z",
            ),
            (Rule::Oid, "dcmArchive", "DCMARCHIVE"),
            (Rule::Ordered, "{3}to * by  self", "to * by self"),
            (
                Rule::Description,
                "{0}( 1.2 NAME 'a'  DESC 'b  c' )",
                "( 1.2\n NAME ( 'a' ) DESC 'b  c' )",
            ),
        ] {
            assert_eq!(
                rule.fold(a.as_bytes()),
                rule.fold(b.as_bytes()),
                "{rule:?} {a} {b}"
            );
        }
    }

    #[test]
    fn values_that_are_two() {
        for (rule, a, b) in [
            (Rule::CaseExact, "0040a078", "0040A078"),
            (Rule::CaseIgnore, "a b", "ab"),
            (Rule::Octets, "a ", "a"),
            (Rule::Integer, "-1", "1"),
            (
                Rule::Description,
                "( 1.2 NAME 'a' )",
                "( 1.2 NAME 'a' SINGLE-VALUE )",
            ),
        ] {
            assert_ne!(
                rule.fold(a.as_bytes()),
                rule.fold(b.as_bytes()),
                "{rule:?} {a} {b}"
            );
        }
    }
}
