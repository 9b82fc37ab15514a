//! What recorded updates have brought and is missing now.
//!
//! A file that the record names is not applied again: its removals and replacements were done once, and what an
//! administrator has made of them since is the administrator's. What it has *added* is still wanted, though: a value or
//! an entry that is gone is added again, so that a damaged directory is found and mended like everything else.

use std::collections::BTreeSet;

use super::chain::{self, Directory, Existing, Link};
use super::entry::{AttributeWant, Entry, EntryWant, ValuesWant, is_secret};
use super::ldif::{Operation, RecordChange, Value, Verb};
use super::octets::Octets;
use super::schema::Schema;

/// Records that add what is missing of these ones, which were applied. An entry that is there and was added as a whole
/// stays as it has become; passwords are left alone; so is an attribute that was replaced, or that can hold one value,
/// and holds another one now.
#[must_use]
pub fn missing(applied: &[Link], directory: &Directory, schema: &Schema) -> Vec<Link> {
    // All of them together: what one adds and a later one removes is not missing.
    let net = chain::net(applied, directory, schema, Existing::Keep);
    let mut found = Vec::new();
    for (dn, place, want) in net.wants {
        let before = directory.get(&place).and_then(|s| s.entry.as_ref());
        let change = match (want, before) {
            // The new place of an entry that was renamed is none that was added.
            (EntryWant::Entry(entry), None) if adds(applied, &place) => Some(RecordChange::Add(
                entry
                    .attributes
                    .into_iter()
                    .map(|a| (a.name, given(&a.values)))
                    .collect(),
            )),
            (EntryWant::Attributes(wants), Some(before)) => {
                let replaced = replaced(applied, &place, schema);
                let operations: Vec<Operation> = wants
                    .iter()
                    .filter_map(|want| operation(want, before, &replaced, schema))
                    .collect();
                (!operations.is_empty()).then_some(RecordChange::Modify(operations))
            }
            _ => None,
        };
        let from = applied.iter().rev().find(|l| l.place == place);
        if let (Some(change), Some(from)) = (change, from) {
            found.push(Link {
                file: from.file.clone(),
                line: from.line,
                dn,
                place,
                change,
            });
        }
    }
    found
}

fn adds(applied: &[Link], place: &str) -> bool {
    let mut here = applied.iter().filter(|l| l.place == place);
    here.any(|l| matches!(l.change, RecordChange::Add(_)))
}

fn given(values: &[Octets]) -> Vec<Value> {
    values.iter().cloned().map(Value::Given).collect()
}

/// The attributes of an entry that records replace as a whole.
fn replaced(applied: &[Link], place: &str, schema: &Schema) -> BTreeSet<String> {
    let changes = applied.iter().filter(|l| l.place == place);
    changes
        .filter_map(|l| match &l.change {
            RecordChange::Modify(operations) => Some(operations),
            _ => None,
        })
        .flatten()
        .filter(|o| o.verb == Verb::Replace)
        .map(|o| schema.attribute_key(&o.attribute))
        .collect()
}

fn operation(
    want: &AttributeWant,
    before: &Entry,
    replaced: &BTreeSet<String>,
    schema: &Schema,
) -> Option<Operation> {
    let held = before
        .attribute(&want.name)
        .is_some_and(|a| !a.values.is_empty());
    let single = schema.attribute(&want.name).is_some_and(|a| a.single);
    if is_secret(&want.name)
        || held && (single || replaced.contains(&schema.attribute_key(&want.name)))
    {
        return None;
    }
    let values = match &want.values {
        ValuesWant::Holds { with, .. } => with.as_slice(),
        // Values that cannot be told from each other: only a missing attribute is certainly missing.
        ValuesWant::Exactly(values) if !held => values,
        ValuesWant::Exactly(_) => &[],
    };
    (!values.is_empty()).then(|| Operation {
        verb: Verb::Add,
        attribute: want.name.clone(),
        values: given(values),
        line: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::{A, X, entry, schema};
    use super::super::dn::Dn;
    use super::super::ldif::parse;
    use super::*;

    /// What is missing of a chain, as `name attribute+value` and `name +` for an entry.
    fn missing_of(there: &[&str], chain: &str) -> Vec<String> {
        let schema = schema();
        let directory: Directory = there.iter().map(|e| entry(e, &schema)).collect();
        let links: Vec<Link> = parse(chain.as_bytes())
            .unwrap()
            .into_iter()
            .map(|r| {
                let dn = Dn::parse(&r.dn).unwrap();
                Link {
                    file: "f".to_owned(),
                    line: r.line,
                    place: dn.folded(Some(&schema)),
                    dn,
                    change: r.change,
                }
            })
            .collect();
        let mut lines = Vec::new();
        for link in missing(&links, &directory, &schema) {
            match link.change {
                RecordChange::Add(_) => lines.push(format!("{} +", link.dn)),
                RecordChange::Modify(operations) => {
                    for operation in operations {
                        assert_eq!(operation.verb, Verb::Add);
                        for value in chain::octets(&operation.values) {
                            let value = value.text().unwrap();
                            lines.push(format!("{} {}+{value}", link.dn, operation.attribute));
                        }
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        lines
    }

    #[test]
    fn what_was_added_and_is_gone_is_missing() {
        let added = "dn: cn=a,o=x\nadd: tag\ntag: 1\ntag: 2\n";
        assert_eq!(missing_of(&[A], added), ["cn=a,o=x tag+2"]);
        let both = "dn: cn=a,o=x\nobjectClass: thing\ncn: a\ntag: 1\ntag: 2\none: mine\n";
        assert!(missing_of(&[both], added).is_empty());
        let whole = "dn: cn=a,o=x\nobjectClass: thing\ncn: a\n";
        assert_eq!(missing_of(&[X], whole), ["cn=a,o=x +"]);
        // Below an entry that is gone too there is nothing to be done.
        assert!(missing_of(&[], whole).is_empty());
        assert!(missing_of(&[], added).is_empty());
        // An attribute that was replaced and is gone altogether.
        let replaced = "dn: cn=a,o=x\nreplace: tag\ntag: 7\n";
        let bare = "dn: cn=a,o=x\nobjectClass: thing\ncn: a\none: old\n";
        assert_eq!(missing_of(&[bare], replaced), ["cn=a,o=x tag+7"]);
    }

    #[test]
    fn what_an_administrator_has_made_of_it_stays() {
        // A removed value that was given back, a removed entry that was made again.
        assert!(missing_of(&[A], "dn: cn=a,o=x\ndelete: tag\ntag: 1\n").is_empty());
        assert!(missing_of(&[X, A], "dn: cn=a,o=x\nchangetype: delete\n").is_empty());
        // Replaced values that were changed since, and an attribute that holds one value.
        assert!(missing_of(&[A], "dn: cn=a,o=x\nreplace: tag\ntag: 7\n").is_empty());
        assert!(missing_of(&[A], "dn: cn=a,o=x\nadd: one\none: new\n").is_empty());
        // An entry that was added and configured since.
        let whole = "dn: cn=a,o=x\nobjectClass: thing\ncn: a\ntag: 5\n";
        assert!(missing_of(&[X, A], whole).is_empty());
        // What a later update takes away again.
        let chain = "dn: cn=a,o=x\nadd: tag\ntag: 2\n\ndn: cn=a,o=x\ndelete: tag\ntag: 2\n";
        assert!(missing_of(&[A], chain).is_empty());
    }
}
