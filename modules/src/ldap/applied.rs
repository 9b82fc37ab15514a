//! The record of applied updates, an entry of its own in the directory.
//!
//! Without it, a change that an administrator makes after an update looks like a missing update and would be undone
//! by the next run. The entry is of the standard class `applicationProcess` (RFC 4519), which every directory
//! knows; each of its `description` values is one line in the format below.
//!
//! ```text
//! runbook 1 baseline=5.31.1 device=dcm4chee-arc
//! runbook 1 version=5.32.0 component=DCM4CHEE names=aet:DCM4CHEE,device:dcm4chee-arc sha256=0f3a… conflicts=0
//! ```

use std::collections::BTreeMap;

use super::dn::Dn;
use super::entry::{Attribute, AttributeWant, Entry, EntryWant, ValuesWant, short_hash};
use super::matching::Rule;
use super::octets::Octets;
use super::version::Version;

/// The common name of the record, right below the base.
pub const NAME: &str = "runbook";

const FORMAT: &str = "runbook 1 ";

/// What was applied to a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The version that was found when the directory was adopted, by device.
    pub baselines: BTreeMap<String, Version>,
    /// The files.
    pub files: Vec<AppliedFile>,
}

/// A file that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedFile {
    /// Its version.
    pub version: Version,
    /// Its component: `dev`, `DCM4CHEE`, …
    pub component: String,
    /// The names of entries that it was applied for, as `argument:value`, joined by commas.
    pub names: String,
    /// The first 16 hex digits of the SHA-256 of its text.
    pub hash: String,
    /// Records that were left out because they were in conflict.
    pub conflicts: usize,
}

impl AppliedFile {
    /// The same file for the same part of the directory, whatever its text.
    #[must_use]
    pub fn is(&self, version: &Version, component: &str, names: &str) -> bool {
        self.version == *version && self.component == component && self.names == names
    }
}

impl Applied {
    /// Reads the record; what is in a newer format is left alone.
    #[must_use]
    pub fn read(entry: &Entry) -> Self {
        let mut applied = Self::default();
        for line in entry.texts("description") {
            let Some(rest) = line.strip_prefix(FORMAT) else {
                continue;
            };
            let fields: BTreeMap<&str, &str> =
                rest.split(' ').filter_map(|f| f.split_once('=')).collect();
            if let (Some(baseline), Some(device)) = (fields.get("baseline"), fields.get("device")) {
                if let Some(version) = Version::parse(baseline) {
                    applied.baselines.insert(decoded(device), version);
                }
                continue;
            }
            let (Some(version), Some(component)) = (
                fields.get("version").and_then(|v| Version::parse(v)),
                fields.get("component"),
            ) else {
                continue;
            };
            applied.files.push(AppliedFile {
                version,
                component: decoded(component),
                names: fields.get("names").map(|n| decoded(n)).unwrap_or_default(),
                hash: fields
                    .get("sha256")
                    .map(|h| (*h).to_owned())
                    .unwrap_or_default(),
                conflicts: fields
                    .get("conflicts")
                    .and_then(|c| c.parse().ok())
                    .unwrap_or(0),
            });
        }
        applied
    }

    fn lines(&self) -> Vec<Octets> {
        let baselines = self.baselines.iter().map(|(device, version)| {
            format!("{FORMAT}baseline={version} device={}", encoded(device))
        });
        let files = self.files.iter().map(|f| {
            format!(
                "{FORMAT}version={} component={} names={} sha256={} conflicts={}",
                f.version,
                encoded(&f.component),
                encoded(&f.names),
                f.hash,
                f.conflicts
            )
        });
        baselines.chain(files).map(Octets::from).collect()
    }

    /// What is wanted of the record entry so that it holds all this too.
    #[must_use]
    pub fn want(&self, dn: &Dn, found: Option<&Entry>) -> EntryWant {
        if found.is_some() {
            return EntryWant::Attributes(vec![AttributeWant {
                name: "description".to_owned(),
                rule: Rule::CaseIgnore,
                values: ValuesWant::Holds {
                    with: self.lines(),
                    without: Vec::new(),
                },
            }]);
        }
        let attribute = |name: &str, rule, values| Attribute {
            name: name.to_owned(),
            rule,
            values,
        };
        let names: Vec<Octets> = dn
            .rdns()
            .first()
            .into_iter()
            .flat_map(|r| &r.parts)
            .map(|(_, v)| v.as_str().into())
            .collect();
        EntryWant::Entry(Entry {
            dn: dn.to_string(),
            attributes: vec![
                attribute(
                    "objectClass",
                    Rule::Oid,
                    vec!["top".into(), "applicationProcess".into()],
                ),
                attribute("cn", Rule::CaseIgnore, names),
                attribute("description", Rule::CaseIgnore, self.lines()),
            ],
        })
    }
}

/// Is this the entry of a record, which exports leave out?
#[must_use]
pub fn is_record(entry: &Entry) -> bool {
    entry
        .texts("objectClass")
        .iter()
        .any(|c| c.eq_ignore_ascii_case("applicationProcess"))
        && entry
            .texts("description")
            .iter()
            .any(|d| d.starts_with(FORMAT))
}

/// The names that a file was applied for, as the record holds them.
#[must_use]
pub fn names_text(used: &BTreeMap<&'static str, String>) -> String {
    used.iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// The hash of a file's text, as the record holds it.
#[must_use]
pub fn hash(text: &[u8]) -> String {
    short_hash(text)
}

/// Blanks, which part fields and of which a directory folds runs, are encoded, and what would be taken for an
/// encoding.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for c in text.chars() {
        if c.is_whitespace() || c == '%' || c == '=' {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                let _ = write!(out, "%{byte:02x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail
            .get(..2)
            .and_then(|p| std::str::from_utf8(p).ok())
            .and_then(|p| u8::from_str_radix(p, 16).ok());
        match (first, pair) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let version = |t: &str| Version::parse(t).unwrap();
        let applied = Applied {
            baselines: [("my arc 100%".to_owned(), version("5.31.1"))].into(),
            files: vec![AppliedFile {
                version: version("5.32.0"),
                component: "DCM4CHEE".into(),
                names: "aet:A B,device:my arc".into(),
                hash: "00ff".into(),
                conflicts: 2,
            }],
        };
        let dn = Dn::parse("cn=runbook,dc=a").unwrap();
        let EntryWant::Entry(entry) = applied.want(&dn, None) else {
            panic!()
        };
        assert!(is_record(&entry));
        assert_eq!(Applied::read(&entry), applied);
        let EntryWant::Attributes(more) = applied.want(&dn, Some(&entry)) else {
            panic!()
        };
        assert!(
            super::super::entry::differences(
                &EntryWant::Attributes(more),
                &super::super::entry::EntryState::of(entry)
            )
            .is_empty()
        );
    }
}
