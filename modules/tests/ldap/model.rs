//! An independent model: a directory in memory on which LDIF records are carried out as they stand, one after the
//! other, with a reader of its own. It shares no code with the product.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;

/// Entries by folded name: attributes by small name, values as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model(pub BTreeMap<String, BTreeMap<String, BTreeSet<Vec<u8>>>>);

type Lines = Vec<(String, Vec<u8>)>;

fn fold(dn: &str) -> String {
    dn.to_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Blocks of `name, value` lines; a `-` has an empty name.
fn blocks(text: &str, vendor: &[u8]) -> Vec<Lines> {
    let text = text.replace("\r\n", "\n").replace("\n ", "");
    let mut blocks = Vec::new();
    for block in text.split("\n\n") {
        let mut lines = Lines::new();
        for line in block
            .lines()
            .filter(|l| !l.starts_with('#') && !l.is_empty())
        {
            if line == "-" {
                lines.push((String::new(), Vec::new()));
                continue;
            }
            let (name, rest) = line.split_once(':').unwrap();
            let value = if let Some(code) = rest.strip_prefix(':') {
                base64::engine::general_purpose::STANDARD
                    .decode(code.trim())
                    .unwrap()
            } else if rest.starts_with('<') {
                vendor.to_vec()
            } else {
                rest.trim_start().as_bytes().to_vec()
            };
            lines.push((name.to_lowercase(), value));
        }
        lines.retain(|(n, _)| n != "version");
        if !lines.is_empty() {
            blocks.push(lines);
        }
    }
    blocks
}

impl Model {
    /// From an export.
    pub fn read(text: &str) -> Self {
        let mut model = Self::default();
        model.apply(text, b"");
        model
    }

    /// Carries out every record; one that fails is a mistake of the test. Gives the number of records.
    pub fn apply(&mut self, ldif: &str, vendor: &[u8]) -> usize {
        let blocks = blocks(ldif, vendor);
        for lines in &blocks {
            let dn = fold(std::str::from_utf8(&lines[0].1).unwrap());
            assert_eq!(lines[0].0, "dn");
            let mut rest = &lines[1..];
            let mut kind = if matches!(rest[0].0.as_str(), "add" | "delete" | "replace") {
                "modify"
            } else {
                "add"
            }
            .to_owned();
            if rest[0].0 == "changetype" {
                kind = String::from_utf8_lossy(&rest[0].1).trim().to_lowercase();
                rest = &rest[1..];
            }
            match kind.as_str() {
                "add" => {
                    let mut entry: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
                    for (name, value) in rest {
                        entry.entry(name.clone()).or_default().insert(value.clone());
                    }
                    assert!(self.0.insert(dn.clone(), entry).is_none(), "{dn} exists");
                }
                "delete" => assert!(self.0.remove(&dn).is_some(), "{dn} does not exist"),
                "modify" => {
                    let entry = self
                        .0
                        .get_mut(&dn)
                        .unwrap_or_else(|| panic!("{dn} does not exist"));
                    for operation in rest
                        .split(|(name, _)| name.is_empty())
                        .filter(|o| !o.is_empty())
                    {
                        let attribute = String::from_utf8_lossy(&operation[0].1)
                            .trim()
                            .to_lowercase();
                        let values: Vec<Vec<u8>> =
                            operation[1..].iter().map(|(_, v)| v.clone()).collect();
                        let old = entry.entry(attribute.clone()).or_default();
                        match operation[0].0.as_str() {
                            "add" => values.into_iter().for_each(|v| {
                                assert!(old.insert(v), "{dn} {attribute} value exists")
                            }),
                            "delete" if values.is_empty() => old.clear(),
                            "delete" => values.iter().for_each(|v| {
                                assert!(old.remove(v), "{dn} {attribute} has no such value")
                            }),
                            "replace" => *old = values.into_iter().collect(),
                            other => panic!("{other}"),
                        }
                        if old.is_empty() {
                            entry.remove(&attribute);
                        }
                    }
                }
                other => panic!("{other}"),
            }
        }
        blocks.len()
    }

    /// Without the entries below and at a name.
    pub fn without(mut self, dn: &str) -> Self {
        self.0.retain(|k, _| !k.ends_with(&fold(dn)));
        self
    }

    /// The first difference, for a message that can be read.
    pub fn difference(&self, other: &Self) -> Option<String> {
        for dn in self.0.keys().chain(other.0.keys()) {
            if self.0.get(dn) != other.0.get(dn) {
                return Some(format!(
                    "{dn}:\n  {:?}\n  {:?}",
                    self.0.get(dn),
                    other.0.get(dn)
                ));
            }
        }
        None
    }
}
