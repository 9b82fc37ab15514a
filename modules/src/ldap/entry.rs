//! Entries as states: plain data, compared by the server's own rules.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::dn::Dn;
use super::matching::Rule;
use super::octets::Octets;

/// What stands at a distinguished name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EntryState {
    /// The entry; none where it is absent.
    pub entry: Option<Entry>,
    /// The server's `entryCSN` when it was read, which guards a write. Not part of the state.
    pub csn: Option<String>,
    /// The server says that entries lie below it. Not part of the state.
    pub has_children: bool,
}

/// An entry with its user attributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name as the server writes it.
    pub dn: String,
    /// Its attributes; operational ones are left out.
    pub attributes: Vec<Attribute>,
}

/// An attribute of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its description as the server writes it, options included.
    pub name: String,
    /// How its values are compared.
    pub rule: Rule,
    /// Its values, in no order.
    pub values: Vec<Octets>,
}

/// What is asked of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryWant {
    /// It does not exist.
    Absent,
    /// It exists with exactly these attributes.
    Entry(Entry),
    /// It exists, and these of its attributes are so; all others as they are.
    Attributes(Vec<AttributeWant>),
}

/// What is asked of one attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeWant {
    /// Its description.
    pub name: String,
    /// How its values are compared.
    pub rule: Rule,
    /// Its values.
    pub values: ValuesWant,
}

/// What is asked of the values of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValuesWant {
    /// Exactly these; none means that the attribute is absent.
    Exactly(Vec<Octets>),
    /// The first are among them, the second are not; all others as they are.
    Holds {
        /// Values that it has.
        with: Vec<Octets>,
        /// Values that it does not have.
        without: Vec<Octets>,
    },
}

impl PartialEq for EntryState {
    fn eq(&self, other: &Self) -> bool {
        match (&self.entry, &other.entry) {
            (None, None) => true,
            (Some(a), Some(b)) => a.agrees(b),
            _ => false,
        }
    }
}

impl EntryState {
    /// No entry.
    #[must_use]
    pub fn absent() -> Self {
        Self::default()
    }

    /// This entry.
    #[must_use]
    pub fn of(entry: Entry) -> Self {
        Self {
            entry: Some(entry),
            ..Self::default()
        }
    }
}

impl Attribute {
    /// Does it have this value, by its rule?
    #[must_use]
    pub fn has(&self, value: &Octets) -> bool {
        let folded = self.rule.fold(value.bytes());
        self.values
            .iter()
            .any(|v| self.rule.fold(v.bytes()) == folded)
    }

    /// Its values in the form that is equal for equal sets.
    #[must_use]
    pub fn folded(&self) -> BTreeSet<Vec<u8>> {
        self.values
            .iter()
            .map(|v| self.rule.fold(v.bytes()))
            .collect()
    }
}

impl Entry {
    /// The attribute of this description.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| same_name(&a.name, name))
    }

    /// The texts of an attribute.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        let values = self
            .attribute(name)
            .map(|a| a.values.as_slice())
            .unwrap_or_default();
        values
            .iter()
            .filter_map(Octets::text)
            .map(str::to_owned)
            .collect()
    }

    /// The same attributes with the same values, by their rules.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.attributes.len() == other.attributes.len()
            && self.attributes.iter().all(|a| {
                other
                    .attribute(&a.name)
                    .is_some_and(|b| a.folded() == b.folded())
            })
    }

    /// Sets the values of an attribute; none removes it.
    pub fn set(&mut self, name: &str, rule: &Rule, values: Vec<Octets>) {
        match self
            .attributes
            .iter()
            .position(|a| same_name(&a.name, name))
        {
            Some(at) if values.is_empty() => {
                self.attributes.remove(at);
            }
            Some(at) => self.attributes[at].values = values,
            None if values.is_empty() => {}
            None => self.attributes.push(Attribute {
                name: name.to_owned(),
                rule: rule.clone(),
                values,
            }),
        }
    }

    /// Adds the values that it does not have yet and gives them.
    pub fn add(&mut self, name: &str, rule: &Rule, values: &[Octets]) -> Vec<Octets> {
        let mut attribute = self.attribute(name).cloned().unwrap_or_else(|| Attribute {
            name: name.to_owned(),
            rule: rule.clone(),
            values: Vec::new(),
        });
        let mut added = Vec::new();
        for value in values {
            if !attribute.has(value) {
                attribute.values.push(value.clone());
                added.push(value.clone());
            }
        }
        self.set(name, rule, attribute.values);
        added
    }

    /// Removes those of the values that it has and gives them.
    pub fn remove(&mut self, name: &str, values: &[Octets]) -> Vec<Octets> {
        let Some(attribute) = self.attribute(name).cloned() else {
            return Vec::new();
        };
        let gone: BTreeSet<Vec<u8>> = values
            .iter()
            .map(|v| attribute.rule.fold(v.bytes()))
            .collect();
        let (removed, kept): (Vec<_>, Vec<_>) = attribute
            .values
            .iter()
            .cloned()
            .partition(|v| gone.contains(&attribute.rule.fold(v.bytes())));
        self.set(name, &attribute.rule, kept);
        removed
    }
}

/// Attribute descriptions are compared without regard to case.
#[must_use]
pub fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Attributes whose values are never shown.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let base = name
        .split(';')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    matches!(
        base.as_str(),
        "userpassword"
            | "authpassword"
            | "olcrootpw"
            | "sambantpassword"
            | "sambalmpassword"
            | "krbprincipalkey"
            | "pwdhistory"
            | "userpkcs12"
            | "dcmkeystorepin"
            | "dcmkeystorekeypin"
            | "dcmtruststorepin"
            | "olcsyncrepl"
            | "olcdbidassertbind"
    )
}

/// What is asked, applied to a state: the state that will be.
#[must_use]
pub fn predicted(want: &EntryWant, from: &EntryState) -> EntryState {
    match want {
        EntryWant::Absent => EntryState::absent(),
        EntryWant::Entry(entry) => EntryState {
            has_children: from.has_children,
            ..EntryState::of(entry.clone())
        },
        EntryWant::Attributes(list) => {
            // Attributes of an absent entry cannot be set; the write refuses, and the difference stays.
            let Some(mut entry) = from.entry.clone() else {
                return from.clone();
            };
            for attribute in list {
                match &attribute.values {
                    ValuesWant::Exactly(values) => {
                        entry.set(&attribute.name, &attribute.rule, values.clone())
                    }
                    ValuesWant::Holds { with, without } => {
                        entry.remove(&attribute.name, without);
                        entry.add(&attribute.name, &attribute.rule, with);
                    }
                }
            }
            EntryState {
                entry: Some(entry),
                csn: None,
                has_children: from.has_children,
            }
        }
    }
}

/// Where a state is not as asked, one short line each.
#[must_use]
pub fn differences(want: &EntryWant, read: &EntryState) -> Vec<String> {
    match (want, &read.entry) {
        (EntryWant::Absent, None) => Vec::new(),
        (EntryWant::Absent, Some(entry)) => vec![format!("remove {}", entry.dn)],
        (EntryWant::Entry(entry), None) => vec![format!("add {}", entry.dn)],
        (EntryWant::Attributes(_), None) => vec!["the entry is absent".to_owned()],
        (EntryWant::Entry(wanted), Some(entry)) => {
            let mut lines = Vec::new();
            for attribute in &wanted.attributes {
                lines.extend(value_differences(
                    &attribute.name,
                    &attribute.rule,
                    entry.attribute(&attribute.name),
                    &ValuesWant::Exactly(attribute.values.clone()),
                ));
            }
            for attribute in entry
                .attributes
                .iter()
                .filter(|a| wanted.attribute(&a.name).is_none())
            {
                lines.push(format!("{} removed", attribute.name));
            }
            lines
        }
        (EntryWant::Attributes(list), Some(entry)) => list
            .iter()
            .flat_map(|a| value_differences(&a.name, &a.rule, entry.attribute(&a.name), &a.values))
            .collect(),
    }
}

fn value_differences(
    name: &str,
    rule: &Rule,
    found: Option<&Attribute>,
    want: &ValuesWant,
) -> Vec<String> {
    let rule = found.map_or(rule, |a| &a.rule);
    let fold = |values: &[Octets]| -> BTreeSet<Vec<u8>> {
        values.iter().map(|v| rule.fold(v.bytes())).collect()
    };
    let has = found.map(|a| fold(&a.values)).unwrap_or_default();
    let (add, remove): (Vec<&Octets>, Vec<&Octets>) = match want {
        ValuesWant::Exactly(values) => {
            let wanted = fold(values);
            (
                values
                    .iter()
                    .filter(|v| !has.contains(&rule.fold(v.bytes())))
                    .collect(),
                found
                    .map(|a| a.values.as_slice())
                    .unwrap_or_default()
                    .iter()
                    .filter(|v| !wanted.contains(&rule.fold(v.bytes())))
                    .collect(),
            )
        }
        ValuesWant::Holds { with, without } => (
            with.iter()
                .filter(|v| !has.contains(&rule.fold(v.bytes())))
                .collect(),
            without
                .iter()
                .filter(|v| has.contains(&rule.fold(v.bytes())))
                .collect(),
        ),
    };
    let shown = |v: &Octets| {
        if is_secret(name) {
            runbook_engine::value::MASK.to_owned()
        } else if *rule == Rule::Description {
            v.text()
                .and_then(super::schema::description_name)
                .unwrap_or_else(|| v.shown())
        } else {
            v.shown()
        }
    };
    remove
        .into_iter()
        .map(|v| format!("{name} - {}", shown(v)))
        .chain(add.into_iter().map(|v| format!("{name} + {}", shown(v))))
        .collect()
}

/// An entry as lines of LDIF, values in one order, secrets masked: for comparing before and after.
#[must_use]
pub fn shown(entry: &Entry) -> String {
    let mut attributes: Vec<&Attribute> = entry.attributes.iter().collect();
    attributes.sort_by_key(|a| {
        (
            !same_name(&a.name, "objectClass"),
            a.name.to_ascii_lowercase(),
        )
    });
    let mut text = format!("dn: {}\n", entry.dn);
    for attribute in attributes {
        let mut values: Vec<&Octets> = attribute.values.iter().collect();
        values.sort_by_key(|v| attribute.rule.fold(v.bytes()));
        for value in values {
            let shown = if is_secret(&attribute.name) {
                runbook_engine::value::MASK.to_owned()
            } else {
                match (&attribute.rule, value.text()) {
                    // Long, many and full of order numbers: one line each, without its number.
                    (Rule::Description, Some(text)) => {
                        super::matching::fold_text(super::matching::without_index(text), true)
                    }
                    (_, Some(text)) => text.replace('\n', "\\n"),
                    (_, None) => format!(
                        "({} bytes, sha256 {})",
                        value.bytes().len(),
                        short_hash(value.bytes())
                    ),
                }
            };
            text.push_str(&format!("{}: {shown}\n", attribute.name));
        }
    }
    text
}

/// The first 16 hex digits of the SHA-256.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let mut text = hex::encode(Sha256::digest(bytes));
    text.truncate(16);
    text
}

/// Entries in an order in which they can be added: parents first, equals by name.
pub fn parents_first(entries: &mut [Entry]) {
    entries.sort_by_cached_key(|e| {
        Dn::parse(&e.dn)
            .map(|dn| (dn.depth(), dn.folded(None)))
            .unwrap_or_default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn entry(lines: &[(&str, Rule, &[&str])]) -> Entry {
        Entry {
            dn: "cn=a,o=b".to_owned(),
            attributes: lines
                .iter()
                .map(|(name, rule, values)| Attribute {
                    name: (*name).to_owned(),
                    rule: rule.clone(),
                    values: values.iter().map(|v| Octets::from(*v)).collect(),
                })
                .collect(),
        }
    }

    fn values(list: &[&str]) -> Vec<Octets> {
        list.iter().map(|v| Octets::from(*v)).collect()
    }

    #[test]
    fn predicted_states_agree_with_what_was_asked() {
        let from = EntryState::of(entry(&[
            ("cn", Rule::CaseIgnore, &["a"]),
            ("tag", Rule::CaseExact, &["1", "2"]),
        ]));
        let want = |values| {
            EntryWant::Attributes(vec![AttributeWant {
                name: "TAG".into(),
                rule: Rule::CaseExact,
                values,
            }])
        };
        for (asked, lines) in [
            (want(ValuesWant::Exactly(values(&["2", "1"]))), vec![]),
            (
                want(ValuesWant::Exactly(values(&["3"]))),
                vec!["TAG - 1", "TAG - 2", "TAG + 3"],
            ),
            (
                want(ValuesWant::Exactly(vec![])),
                vec!["TAG - 1", "TAG - 2"],
            ),
            (
                want(ValuesWant::Holds {
                    with: values(&["2", "3"]),
                    without: values(&["1", "9"]),
                }),
                vec!["TAG - 1", "TAG + 3"],
            ),
            (EntryWant::Absent, vec!["remove cn=a,o=b"]),
            (
                EntryWant::Entry(entry(&[("cn", Rule::CaseIgnore, &["A"])])),
                vec!["tag removed"],
            ),
        ] {
            assert_eq!(differences(&asked, &from), lines, "{asked:?}");
            let to = predicted(&asked, &from);
            assert!(differences(&asked, &to).is_empty(), "{asked:?} {to:?}");
        }
    }

    #[test]
    fn secrets_are_masked() {
        let from = EntryState::of(entry(&[("userPassword", Rule::Octets, &["{SSHA}geheim"])]));
        let entry = from.entry.clone().unwrap();
        assert_eq!(shown(&entry), "dn: cn=a,o=b\nuserPassword: ********\n");
        let want = EntryWant::Attributes(vec![AttributeWant {
            name: "userPassword".into(),
            rule: Rule::Octets,
            values: ValuesWant::Exactly(values(&["neu"])),
        }]);
        assert_eq!(
            differences(&want, &from),
            ["userPassword - ********", "userPassword + ********"]
        );
    }
}
