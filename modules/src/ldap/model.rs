//! A directory in memory, on which the records of a chain are carried out one after the other.

use std::collections::BTreeSet;

use super::chain::{Directory, Link, Verdict, octets, renamed};
use super::dn::Dn;
use super::entry::{Attribute, Entry, EntryState, is_secret};
use super::ldif::{Operation, RecordChange, Value, Verb};
use super::octets::Octets;
use super::schema::Schema;

/// The directory while the chain is carried out on it.
pub(super) struct Model<'a> {
    pub(super) now: Directory,
    pub(super) schema: &'a Schema,
    pub(super) unknown: BTreeSet<String>,
}

impl Model<'_> {
    pub(super) fn entry(&self, place: &str) -> Option<&Entry> {
        self.now.get(place)?.entry.as_ref()
    }

    fn put(&mut self, place: &str, entry: Option<Entry>) {
        let state = self.now.entry(place.to_owned()).or_default();
        state.entry = entry;
    }

    /// The name by which an attribute of an entry goes, so that aliases meet.
    fn name(&self, entry: &Entry, attribute: &str) -> String {
        let key = self.schema.attribute_key(attribute);
        entry
            .attributes
            .iter()
            .find(|a| self.schema.attribute_key(&a.name) == key)
            .map_or_else(|| attribute.to_owned(), |a| a.name.clone())
    }

    fn know(&mut self, link: &Link, attribute: &str) {
        if self.schema.attribute(attribute).is_none() {
            self.unknown.insert(format!(
                "attribute {attribute} ({} line {})",
                link.file, link.line
            ));
        }
    }

    fn know_classes(&mut self, link: &Link, attribute: &str, values: &[Octets]) {
        if self.schema.attribute_key(attribute) == "objectclass" {
            for class in values.iter().filter_map(Octets::text) {
                if self.schema.class(class).is_none() {
                    self.unknown.insert(format!(
                        "object class {class} ({} line {})",
                        link.file, link.line
                    ));
                }
            }
        }
    }

    /// The entry that an add record describes, its relative name's values among its own as a server puts them.
    fn described(&self, dn: &Dn, attributes: &[(String, Vec<Value>)]) -> Entry {
        let mut entry = Entry {
            dn: dn.to_string(),
            attributes: Vec::new(),
        };
        for (name, values) in attributes {
            let name = self.name(&entry, name);
            entry.add(&name, &self.schema.rule(&name), &octets(values));
        }
        for (name, value) in dn.rdns().first().into_iter().flat_map(|r| &r.parts) {
            let name = self.name(&entry, name);
            entry.add(
                &name,
                &self.schema.rule(&name),
                &[Octets::from(value.as_str())],
            );
        }
        entry
    }

    pub(super) fn add(&mut self, link: &Link, attributes: &[(String, Vec<Value>)]) -> Verdict {
        if let Some(parent) = link.dn.parent().filter(|p| p.depth() > 0)
            && self.entry(&parent.folded(Some(self.schema))).is_none()
        {
            return Verdict::Conflict(format!("the entry above it, {parent}, is absent"));
        }
        for (name, values) in attributes {
            self.know(link, name);
            self.know_classes(link, name, &octets(values));
        }
        let entry = self.described(&link.dn, attributes);
        if let Some(many) = self.too_many(&entry) {
            return Verdict::Conflict(many);
        }
        if let Some(missing) = self.missing(&entry) {
            return Verdict::Conflict(format!(
                "its object classes require {missing}, which it does not have"
            ));
        }
        self.put(&link.place, Some(entry));
        Verdict::Apply
    }

    /// An attribute with several values that may have one.
    fn too_many(&self, entry: &Entry) -> Option<String> {
        let single = |a: &&Attribute| self.schema.attribute(&a.name).is_some_and(|t| t.single);
        let found = entry
            .attributes
            .iter()
            .filter(single)
            .find(|a| a.folded().len() > 1)?;
        if is_secret(&found.name) {
            return Some(format!(
                "{} holds one value and would have several",
                found.name
            ));
        }
        let values: Vec<String> = found.values.iter().map(Octets::shown).collect();
        Some(format!(
            "{} holds one value and would have {}",
            found.name,
            values.join(" and ")
        ))
    }

    /// The first attribute that the entry's classes require and that it does not have.
    fn missing(&self, entry: &Entry) -> Option<String> {
        let has: BTreeSet<String> = entry
            .attributes
            .iter()
            .map(|a| self.schema.attribute_key(&a.name))
            .collect();
        self.schema
            .required(&entry.texts("objectClass"))
            .into_iter()
            .find(|r| !has.contains(r))
    }

    /// The last record up to which an entry that exists has everything that the records on it bring, the one at
    /// `first` adding it; an error where it lacks something of the first.
    pub(super) fn caught_up(
        &self,
        links: &[Link],
        first: usize,
        found: &Entry,
    ) -> Result<usize, String> {
        let link = &links[first];
        let RecordChange::Add(attributes) = &link.change else {
            return Ok(first);
        };
        let mut scratch = Model {
            now: self.now.clone(),
            schema: self.schema,
            unknown: BTreeSet::new(),
        };
        let described = self.described(&link.dn, attributes);
        let mut until = lacking(&described, found).is_empty().then_some(first);
        let why = lacking(&described, found);
        scratch.put(&link.place, Some(described));
        for (index, later) in links
            .iter()
            .enumerate()
            .skip(first + 1)
            .filter(|(_, l)| l.place == link.place)
        {
            let RecordChange::Modify(operations) = &later.change else {
                break;
            };
            let rest: Vec<&Link> = links[index + 1..]
                .iter()
                .filter(|l| l.place == link.place)
                .collect();
            scratch.modify(later, operations, &rest);
            if scratch
                .entry(&link.place)
                .is_some_and(|e| lacking(e, found).is_empty())
            {
                until = Some(index);
            }
        }
        until.ok_or_else(|| format!("the entry exists and lacks {}", why.join(", ")))
    }

    pub(super) fn modify(
        &mut self,
        link: &Link,
        operations: &[Operation],
        later: &[&Link],
    ) -> Verdict {
        let Some(before) = self.entry(&link.place).cloned() else {
            return Verdict::Conflict("the entry is absent".to_owned());
        };
        let mut entry = before.clone();
        for operation in operations {
            let name = self.name(&entry, &operation.attribute);
            let rule = entry
                .attribute(&name)
                .map_or_else(|| self.schema.rule(&name), |a| a.rule.clone());
            let values = octets(&operation.values);
            match operation.verb {
                Verb::Add => {
                    self.know(link, &name);
                    self.know_classes(link, &name, &values);
                    entry.add(&name, &rule, &values);
                }
                Verb::Replace => {
                    if !values.is_empty() {
                        self.know(link, &name);
                        self.know_classes(link, &name, &values);
                    }
                    entry.set(&name, &rule, values);
                }
                Verb::Delete if values.is_empty() => entry.set(&name, &rule, Vec::new()),
                Verb::Delete => {
                    entry.remove(&name, &values);
                }
            }
        }
        if let Some(many) = self.too_many(&entry) {
            let resolved = |attribute: &Attribute| {
                later
                    .iter()
                    .any(|l| settles(l, &self.schema.attribute_key(&attribute.name), self.schema))
            };
            let single = |a: &&Attribute| {
                self.schema.attribute(&a.name).is_some_and(|t| t.single) && a.folded().len() > 1
            };
            let open = entry.attributes.iter().filter(single).any(|a| !resolved(a));
            if open {
                return Verdict::Conflict(many);
            }
        }
        if let Some(missing) = self
            .missing(&entry)
            .filter(|_| self.missing(&before).is_none())
        {
            return Verdict::Conflict(format!(
                "it would lose its last value of {missing}, which its classes require"
            ));
        }
        if entry.agrees(&before) {
            return Verdict::Already;
        }
        self.put(&link.place, Some(entry));
        Verdict::Apply
    }

    pub(super) fn delete(&mut self, link: &Link) -> Verdict {
        let Some(state) = self.now.get(&link.place) else {
            return Verdict::Already;
        };
        if state.entry.is_none() {
            return Verdict::Already;
        }
        let below = format!("{}/", link.place);
        let known: Vec<&EntryState> = self
            .now
            .range(below.clone()..)
            .take_while(|(p, _)| p.starts_with(&below))
            .map(|(_, s)| s)
            .collect();
        let left = known.iter().filter(|s| s.entry.is_some()).count();
        if left > 0 || (state.has_children && known.is_empty()) {
            return Verdict::Conflict(
                "entries lie below it that the chain does not remove".to_owned(),
            );
        }
        self.put(&link.place, None);
        Verdict::Apply
    }

    pub(super) fn rename(&mut self, link: &Link) -> Verdict {
        let RecordChange::Rename { delete_old, .. } = &link.change else {
            return Verdict::Already;
        };
        let Some(new) = renamed(link) else {
            return Verdict::Conflict("its new name cannot be understood".to_owned());
        };
        let place = new.folded(Some(self.schema));
        match (
            self.entry(&link.place).cloned(),
            self.entry(&place).is_some(),
        ) {
            (None, true) => Verdict::Already,
            (None, false) => {
                Verdict::Conflict("neither the entry nor its new name exists".to_owned())
            }
            (Some(_), true) if place != link.place => {
                Verdict::Conflict(format!("{new} exists already"))
            }
            (Some(_), _) if self.now.get(&link.place).is_some_and(|s| s.has_children) => {
                Verdict::Conflict("entries lie below it; rename it by hand".to_owned())
            }
            (Some(mut entry), _) => {
                if *delete_old {
                    for (name, value) in link.dn.rdns().first().into_iter().flat_map(|r| &r.parts) {
                        let name = self.name(&entry, name);
                        entry.remove(&name, &[Octets::from(value.as_str())]);
                    }
                }
                for (name, value) in new.rdns().first().into_iter().flat_map(|r| &r.parts) {
                    let name = self.name(&entry, name);
                    let rule = self.schema.rule(&name);
                    entry.add(&name, &rule, &[Octets::from(value.as_str())]);
                }
                entry.dn = new.to_string();
                self.put(&link.place, None);
                self.put(&place, Some(entry));
                Verdict::Apply
            }
        }
    }
}

/// Does a later record decide what the attribute holds, whatever it holds now?
fn settles(link: &Link, key: &str, schema: &Schema) -> bool {
    match &link.change {
        RecordChange::Delete => true,
        RecordChange::Modify(operations) => operations.iter().any(|o| {
            schema.attribute_key(&o.attribute) == key
                && (o.verb == Verb::Replace || (o.verb == Verb::Delete && o.values.is_empty()))
        }),
        RecordChange::Add(_) | RecordChange::Rename { .. } => false,
    }
}

/// What `found` lacks of `described`, by attribute.
fn lacking(described: &Entry, found: &Entry) -> Vec<String> {
    described
        .attributes
        .iter()
        .filter_map(|attribute| {
            let has = found.attribute(&attribute.name);
            let missing: Vec<String> = attribute
                .values
                .iter()
                .filter(|v| !has.is_some_and(|h| h.has(v)))
                .map(|v| {
                    if is_secret(&attribute.name) {
                        "a value".to_owned()
                    } else {
                        v.shown()
                    }
                })
                .collect();
            (!missing.is_empty()).then(|| format!("{} {}", attribute.name, missing.join(", ")))
        })
        .collect()
}
