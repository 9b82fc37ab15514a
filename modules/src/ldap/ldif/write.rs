//! Writing LDIF.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ldap::entry::Entry;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Lines of any length, as `ldapsearch -o ldif-wrap=no` writes them.
    Unwrapped,
    /// Lines of at most 76 bytes, continued with a blank (RFC 2849, note 10).
    Wrapped,
}

/// The longest line of [`Style::Wrapped`], in bytes.
const WIDTH: usize = 76;

/// Writes entries in the order given, which is parents first for a file that can be loaded again.
#[must_use]
pub fn write(entries: &[Entry], style: Style) -> String {
    let mut text = String::from("version: 1\n");
    for entry in entries {
        text.push('\n');
        line(&mut text, "dn", entry.dn.as_bytes(), style);
        for attribute in &entry.attributes {
            for value in &attribute.values {
                line(&mut text, &attribute.name, value.bytes(), style);
            }
        }
    }
    text
}

/// One `name: value` line, in base64 where RFC 2849 does not allow the value as it is.
pub(super) fn line(text: &mut String, name: &str, value: &[u8], style: Style) {
    let line = match std::str::from_utf8(value) {
        Ok("") => format!("{name}:"),
        Ok(plain) if is_safe(value) => format!("{name}: {plain}"),
        _ => format!("{name}:: {}", STANDARD.encode(value)),
    };
    // A line is ASCII only, so that it can be cut at any byte.
    let mut rest = line.as_str();
    if style == Style::Wrapped {
        let mut width = WIDTH;
        while rest.len() > width {
            let (head, tail) = rest.split_at(width);
            text.push_str(head);
            text.push_str("\n ");
            rest = tail;
            width = WIDTH - 1;
        }
    }
    text.push_str(rest);
    text.push('\n');
}

/// RFC 2849 `SAFE-STRING`, without a blank at its end.
fn is_safe(value: &[u8]) -> bool {
    !value.first().is_some_and(|b| b" :<".contains(b))
        && !value.ends_with(b" ")
        && value
            .iter()
            .all(|b| (1..=127).contains(b) && *b != b'\n' && *b != b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ldap::entry::Attribute;
    use crate::ldap::ldif::{RecordChange, Value, parse};
    use crate::ldap::matching::Rule;
    use crate::ldap::octets::Octets;

    #[test]
    fn what_is_written_is_read_back() {
        let long = "x".repeat(300);
        let values: Vec<Octets> = [
            "plain", "", " lead", "trail ", ":c", "<u", "ä", "a\nb", &long,
        ]
        .into_iter()
        .map(Octets::from)
        .collect();
        let mut values = values;
        values.push(Octets::from(vec![0, 255, 10]));
        let entry = Entry {
            dn: "cn=ä,o=b".to_owned(),
            attributes: vec![Attribute {
                name: "x".to_owned(),
                rule: Rule::Octets,
                values: values.clone(),
            }],
        };
        for style in [Style::Wrapped, Style::Unwrapped] {
            let text = write(std::slice::from_ref(&entry), style);
            assert!(
                style == Style::Unwrapped || text.lines().all(|l| l.len() <= 76),
                "{text}"
            );
            let records = parse(text.as_bytes()).unwrap();
            assert_eq!(records[0].dn, entry.dn);
            let RecordChange::Add(attributes) = &records[0].change else {
                panic!("{records:?}")
            };
            assert_eq!(
                attributes[0].1,
                values.iter().cloned().map(Value::Given).collect::<Vec<_>>()
            );
        }
    }
}
