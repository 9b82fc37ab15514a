//! What a chain of LDIF records comes to on a directory as it is.
//!
//! Records are not sent one after the other as they stand: on a directory that has some of them already, or that its
//! administrators have changed, half of them would fail. The chain is carried out on a model of the directory, every
//! record is judged, and only the net change of each entry is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::dn::Dn;
use super::entry::{Attribute, AttributeWant, Entry, EntryState, EntryWant, ValuesWant};
use super::ldif::{Operation, RecordChange, Value, Verb};
use super::matching::Rule;
use super::octets::Octets;
use super::schema::Schema;

/// A record of the chain, at its place.
#[derive(Debug, Clone)]
pub struct Link {
    /// File, as shown.
    pub file: String,
    /// Line of the record.
    pub line: usize,
    /// The name.
    pub dn: Dn,
    /// The folded name.
    pub place: String,
    /// What it asks for, files loaded.
    pub change: RecordChange,
}

/// What a record comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has something to change.
    Apply,
    /// What it asks for is so already, or later records of the chain undo it.
    Already,
    /// It cannot be applied as it stands; why.
    Conflict(String),
}

/// What to do with an entry that a record adds and that exists with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Existing {
    /// It is a conflict.
    #[default]
    Compare,
    /// It stays as it is.
    Keep,
}

/// What the whole chain comes to.
#[derive(Debug, Clone, Default)]
pub struct Net {
    /// One verdict a record, in order.
    pub verdicts: Vec<Verdict>,
    /// The entries that change: name, place, what is wanted.
    pub wants: Vec<(Dn, String, EntryWant)>,
    /// Attributes and classes that the schema does not know, with the record that needs them.
    pub unknown: Vec<String>,
}

/// The directory as it is, by place. A place that is not in it has not been read.
pub type Directory = BTreeMap<String, EntryState>;

/// The places whose states a chain has to know: the entries themselves, what lies above new ones, what lies below
/// removed ones (from `below`).
#[must_use]
pub fn places(links: &[Link], schema: &Schema) -> BTreeMap<String, Dn> {
    let mut places = BTreeMap::new();
    let mut add = |dn: &Dn| {
        places
            .entry(dn.folded(Some(schema)))
            .or_insert_with(|| dn.clone());
    };
    for link in links {
        add(&link.dn);
        match &link.change {
            RecordChange::Add(_) => link.dn.parent().iter().for_each(&mut add),
            RecordChange::Rename { .. } => {
                if let Some(new) = renamed(link) {
                    new.parent().iter().for_each(&mut add);
                    add(&new);
                }
            }
            RecordChange::Delete | RecordChange::Modify(_) => {}
        }
    }
    places.remove("");
    places
}

/// The name after a rename.
fn renamed(link: &Link) -> Option<Dn> {
    let RecordChange::Rename {
        new_rdn,
        new_superior,
        ..
    } = &link.change
    else {
        return None;
    };
    let rdn = super::dn::Rdn::parse(new_rdn).ok()?;
    let parent = match new_superior {
        Some(text) => Dn::parse(text).ok()?,
        None => link.dn.parent()?,
    };
    Some(Dn::below(rdn, &parent))
}

/// Judges every record and gives the net change.
#[must_use]
pub fn net(links: &[Link], directory: &Directory, schema: &Schema, existing: Existing) -> Net {
    let mut model = Model {
        now: directory.clone(),
        schema,
        unknown: BTreeSet::new(),
    };
    let mut done_until: BTreeMap<&str, usize> = BTreeMap::new();
    let mut recreated: BTreeSet<String> = BTreeSet::new();
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(links.len());
    for (index, link) in links.iter().enumerate() {
        if done_until
            .get(link.place.as_str())
            .is_some_and(|until| index <= *until)
        {
            verdicts.push(Verdict::Already);
            continue;
        }
        let verdict = match &link.change {
            RecordChange::Add(attributes) => match model.entry(&link.place) {
                None => {
                    let verdict = model.add(link, attributes);
                    if verdict == Verdict::Apply
                        && directory
                            .get(&link.place)
                            .is_some_and(|s| s.entry.is_some())
                    {
                        recreated.insert(link.place.clone());
                    }
                    verdict
                }
                Some(_) if existing == Existing::Keep => Verdict::Already,
                Some(found) => match model.caught_up(links, index, found) {
                    Ok(until) => {
                        done_until.insert(&link.place, until);
                        Verdict::Already
                    }
                    Err(why) => Verdict::Conflict(why),
                },
            },
            RecordChange::Modify(operations) => {
                let later: Vec<&Link> = links[index + 1..]
                    .iter()
                    .filter(|l| l.place == link.place)
                    .collect();
                model.modify(link, operations, &later)
            }
            RecordChange::Delete => model.delete(link),
            RecordChange::Rename { .. } => model.rename(link),
        };
        verdicts.push(verdict);
    }
    let mut net = Net {
        verdicts,
        wants: Vec::new(),
        unknown: model.unknown.iter().cloned().collect(),
    };
    let mut names: BTreeMap<&str, &Dn> = links.iter().map(|l| (l.place.as_str(), &l.dn)).collect();
    let renamed: Vec<(String, Dn)> = links
        .iter()
        .filter_map(renamed)
        .map(|dn| (dn.folded(Some(schema)), dn))
        .collect();
    names.extend(renamed.iter().map(|(place, dn)| (place.as_str(), dn)));
    for (place, dn) in names {
        let before = directory.get(place).cloned().unwrap_or_default();
        let after = model.now.get(place).cloned().unwrap_or_default();
        if before == after {
            // Whatever the records did to it, it ends as it is.
            for (link, verdict) in links.iter().zip(&mut net.verdicts) {
                if link.place == place && *verdict == Verdict::Apply {
                    *verdict = Verdict::Already;
                }
            }
            continue;
        }
        let want = match (&before.entry, after.entry) {
            (_, None) => EntryWant::Absent,
            (None, Some(entry)) => EntryWant::Entry(entry),
            (Some(_), Some(entry)) if recreated.contains(place) => EntryWant::Entry(entry),
            (Some(old), Some(new)) => EntryWant::Attributes(attribute_wants(old, &new)),
        };
        net.wants.push((dn.clone(), place.to_owned(), want));
    }
    net
}

/// The attributes in which two states of an entry differ, value by value where values can be compared.
fn attribute_wants(old: &Entry, new: &Entry) -> Vec<AttributeWant> {
    let mut wants = Vec::new();
    let mut want = |attribute: &Attribute, before: &[Octets], after: &[Octets]| {
        let fold = |values: &[Octets]| -> BTreeSet<Vec<u8>> {
            values
                .iter()
                .map(|v| attribute.rule.fold(v.bytes()))
                .collect()
        };
        let (was, is) = (fold(before), fold(after));
        if was == is {
            return;
        }
        let only = |values: &[Octets], other: &BTreeSet<Vec<u8>>| -> Vec<Octets> {
            values
                .iter()
                .filter(|v| !other.contains(&attribute.rule.fold(v.bytes())))
                .cloned()
                .collect()
        };
        let whole = matches!(
            attribute.rule,
            Rule::NoEquality | Rule::Octets | Rule::Description | Rule::Ordered
        );
        wants.push(AttributeWant {
            name: attribute.name.clone(),
            rule: attribute.rule.clone(),
            values: if whole {
                ValuesWant::Exactly(after.to_vec())
            } else {
                ValuesWant::Holds {
                    with: only(after, &was),
                    without: only(before, &is),
                }
            },
        });
    };
    for attribute in &new.attributes {
        let before = old
            .attribute(&attribute.name)
            .map(|a| a.values.as_slice())
            .unwrap_or_default();
        want(attribute, before, &attribute.values);
    }
    for attribute in old
        .attributes
        .iter()
        .filter(|a| new.attribute(&a.name).is_none())
    {
        want(attribute, &attribute.values, &[]);
    }
    wants
}

/// The directory while the chain is carried out on it.
struct Model<'a> {
    now: Directory,
    schema: &'a Schema,
    unknown: BTreeSet<String>,
}

impl Model<'_> {
    fn entry(&self, place: &str) -> Option<&Entry> {
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

    fn add(&mut self, link: &Link, attributes: &[(String, Vec<Value>)]) -> Verdict {
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
    fn caught_up(&self, links: &[Link], first: usize, found: &Entry) -> Result<usize, String> {
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

    fn modify(&mut self, link: &Link, operations: &[Operation], later: &[&Link]) -> Verdict {
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

    fn delete(&mut self, link: &Link) -> Verdict {
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

    fn rename(&mut self, link: &Link) -> Verdict {
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
                    if super::entry::is_secret(&attribute.name) {
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

fn octets(values: &[Value]) -> Vec<Octets> {
    values.iter().filter_map(|v| v.octets().cloned()).collect()
}

/// How much of a record can be seen in the directory: `None` where it says nothing of it.
#[must_use]
pub fn evidence(link: &Link, directory: &Directory, schema: &Schema) -> Option<Evidence> {
    let state = directory.get(&link.place);
    let entry = state.and_then(|s| s.entry.as_ref());
    match &link.change {
        RecordChange::Add(_) => {
            let parent = link.dn.parent()?.folded(Some(schema));
            directory.get(&parent)?.entry.as_ref()?;
            Some(Evidence {
                additive: true,
                seen: entry.is_some(),
            })
        }
        RecordChange::Modify(operations) => {
            let entry = entry?;
            let mut found = None;
            for operation in operations {
                let key = schema.attribute_key(&operation.attribute);
                let attribute = entry
                    .attributes
                    .iter()
                    .find(|a| schema.attribute_key(&a.name) == key);
                let values = octets(&operation.values);
                if values.len() != operation.values.len() {
                    continue;
                }
                let (additive, seen) = match operation.verb {
                    Verb::Add | Verb::Replace if !values.is_empty() => (
                        true,
                        values.iter().all(|v| attribute.is_some_and(|a| a.has(v))),
                    ),
                    _ if values.is_empty() => (false, attribute.is_none()),
                    _ => (
                        false,
                        values.iter().all(|v| !attribute.is_some_and(|a| a.has(v))),
                    ),
                };
                found = Some(match found {
                    Some(Evidence {
                        additive: true,
                        seen: so_far,
                    }) if additive => Evidence {
                        additive,
                        seen: so_far && seen,
                    },
                    Some(earlier @ Evidence { additive: true, .. }) => earlier,
                    _ => Evidence { additive, seen },
                });
            }
            found
        }
        RecordChange::Delete => Some(Evidence {
            additive: false,
            seen: entry.is_none(),
        }),
        RecordChange::Rename { .. } => {
            let new = renamed(link)?.folded(Some(schema));
            Some(Evidence {
                additive: true,
                seen: directory.get(&new).is_some_and(|s| s.entry.is_some()),
            })
        }
    }
}

/// Whether a record has left its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// It brings something. What it only takes away may never have been there.
    pub additive: bool,
    /// What it asks for is so.
    pub seen: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ldap::entry::{differences, predicted};
    use crate::ldap::ldif::parse;
    use crate::ldap::schema::Descriptions;

    fn schema() -> Schema {
        let list = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
        Schema::new(&Descriptions {
            attribute_types: list(&[
                "( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch )",
                "( 2.5.4.3 NAME ( 'cn' 'commonName' ) EQUALITY caseIgnoreMatch )",
                "( 2.5.4.31 NAME 'member' EQUALITY distinguishedNameMatch )",
                "( 1.1 NAME 'tag' EQUALITY caseExactIA5Match )",
                "( 1.2 NAME 'one' EQUALITY caseExactMatch SINGLE-VALUE )",
                "( 1.3 NAME 'blob' SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )",
            ]),
            object_classes: list(&[
                "( 1.10 NAME 'thing' STRUCTURAL MUST cn MAY ( tag $ one $ blob ) )",
                "( 1.11 NAME 'group' STRUCTURAL MUST ( cn $ member ) )",
            ]),
        })
    }

    fn entry(text: &str, schema: &Schema) -> (String, EntryState) {
        let record = parse(text.as_bytes()).unwrap().remove(0);
        let RecordChange::Add(attributes) = record.change else {
            panic!("{text}")
        };
        let attributes = attributes
            .into_iter()
            .map(|(name, values)| Attribute {
                rule: schema.rule(&name),
                name,
                values: octets(&values),
            })
            .collect();
        let dn = Dn::parse(&record.dn).unwrap();
        (
            dn.folded(Some(schema)),
            EntryState::of(Entry {
                dn: record.dn,
                attributes,
            }),
        )
    }

    /// Entries that are there, records of the chain; verdicts by first letter, and the differences that are sent.
    fn check(there: &[&str], chain: &str, verdicts: &str, sent: &[&str]) -> Net {
        let schema = schema();
        let directory: Directory = there.iter().map(|e| entry(e, &schema)).collect();
        let links: Vec<Link> = parse(chain.as_bytes())
            .unwrap()
            .into_iter()
            .map(|r| {
                let dn = Dn::parse(&r.dn).unwrap();
                let place = dn.folded(Some(&schema));
                Link {
                    file: "f".to_owned(),
                    line: r.line,
                    dn,
                    place,
                    change: r.change,
                }
            })
            .collect();
        let net = net(&links, &directory, &schema, Existing::Compare);
        let found: String = net
            .verdicts
            .iter()
            .map(|v| match v {
                Verdict::Apply => '+',
                Verdict::Already => '=',
                Verdict::Conflict(_) => '!',
            })
            .collect();
        assert_eq!(found, verdicts, "{:?}", net.verdicts);
        let mut lines = Vec::new();
        for (dn, place, want) in &net.wants {
            let state = directory.get(place).cloned().unwrap_or_default();
            let found = differences(want, &state);
            assert!(!found.is_empty(), "{dn} is wanted as it is");
            lines.extend(found.iter().map(|l| format!("{dn}: {l}")));
            assert!(differences(want, &predicted(want, &state)).is_empty());
        }
        assert_eq!(lines, sent);
        net
    }

    fn why(net: &Net) -> &str {
        net.verdicts
            .iter()
            .find_map(|v| match v {
                Verdict::Conflict(why) => Some(why.as_str()),
                _ => None,
            })
            .unwrap_or_default()
    }

    const A: &str = "dn: cn=a,o=x\nobjectClass: thing\ncn: a\ntag: 1\none: old\n";
    const X: &str = "dn: o=x\nobjectClass: thing\ncn: x\n";

    #[test]
    fn values_come_and_go() {
        check(
            &[A],
            "dn: cn=a,o=x\nadd: tag\ntag: 2\n",
            "+",
            &["cn=a,o=x: tag + 2"],
        );
        check(&[A], "dn: CN=A, o=X\nadd: tag\ntag: 1\n", "=", &[]);
        check(
            &[A],
            "dn: cn=a,o=x\nadd: TAG\ntag: 1\nTag: 2\n",
            "+",
            &["cn=a,o=x: tag + 2"],
        );
        check(
            &[A],
            "dn: cn=a,o=x\ndelete: tag\ntag: 1\ntag: 9\n",
            "+",
            &["cn=a,o=x: tag - 1"],
        );
        check(&[A], "dn: cn=a,o=x\ndelete: blob\n", "=", &[]);
        check(
            &[A],
            "dn: cn=a,o=x\nreplace: one\none: new\n",
            "+",
            &["cn=a,o=x: one - old", "cn=a,o=x: one + new"],
        );
        // The case of a tag counts, the case of a name does not.
        check(
            &[A],
            "dn: cn=a,o=x\nadd: commonName\ncommonName: A\n",
            "=",
            &[],
        );
    }

    #[test]
    fn a_chain_is_judged_by_where_it_ends() {
        let chain = "dn: cn=a,o=x\nadd: tag\ntag: 2\n\ndn: cn=a,o=x\ndelete: tag\ntag: 2\n";
        check(&[A], chain, "==", &[]);
        let chain = "dn: cn=a,o=x\nadd: one\none: mid\n\ndn: cn=a,o=x\nreplace: one\none: new\n";
        check(
            &[A],
            chain,
            "++",
            &["cn=a,o=x: one - old", "cn=a,o=x: one + new"],
        );
        let added = "dn: cn=b,o=x\nobjectClass: thing\ncn: b\ntag: 1\n\n\
                     dn: cn=b,o=x\nchangetype: modify\nreplace: tag\ntag: 2\n";
        check(&[X], added, "++", &["cn=b,o=x: add cn=b,o=x"]);
        // Applied before: the entry is as the second record leaves it, not as the first brings it.
        check(
            &[X, "dn: cn=b,o=x\nobjectClass: thing\ncn: b\ntag: 2\n"],
            added,
            "==",
            &[],
        );
        // Half applied: the second record is still to come.
        let half = "dn: cn=b,o=x\nobjectClass: thing\ncn: b\ntag: 1\n";
        check(
            &[X, half],
            added,
            "=+",
            &["cn=b,o=x: tag - 1", "cn=b,o=x: tag + 2"],
        );
        // Applied, and the administrator has added something.
        let more = "dn: cn=b,o=x\nobjectClass: thing\ncn: b\ntag: 2\ntag: mine\n";
        check(&[X, more], added, "==", &[]);
        // Removed and brought back as something else.
        let chain = "dn: cn=a,o=x\nchangetype: delete\n\ndn: cn=a,o=x\nobjectClass: group\ncn: a\nmember: cn=z\n";
        let net = check(
            &[X, A],
            chain,
            "++",
            &[
                "cn=a,o=x: objectClass - thing",
                "cn=a,o=x: objectClass + group",
                "cn=a,o=x: member + cn=z",
                "cn=a,o=x: tag removed",
                "cn=a,o=x: one removed",
            ],
        );
        assert!(matches!(net.wants[0].2, EntryWant::Entry(_)));
    }

    #[test]
    fn conflicts() {
        let because = |there: &[&str], chain: &str, reason: &str| {
            let net = check(there, chain, "!", &[]);
            assert!(why(&net).contains(reason), "{}", why(&net));
        };
        because(
            &[],
            "dn: cn=a,o=x\nadd: tag\ntag: 1\n",
            "the entry is absent",
        );
        because(
            &[],
            "dn: cn=a,o=x\nobjectClass: thing\n",
            "the entry above it, o=x, is absent",
        );
        because(
            &[X, A],
            "dn: cn=a,o=x\nobjectClass: thing\none: new\n",
            "the entry exists and lacks one new",
        );
        because(
            &[A],
            "dn: cn=a,o=x\nadd: one\none: new\n",
            "one holds one value and would have old and new",
        );
        because(&[X], "dn: cn=g,o=x\nobjectClass: group\n", "require member");
        let group = "dn: cn=g,o=x\nobjectClass: group\ncn: g\nmember: cn=z, o=X\n";
        because(
            &[group],
            "dn: cn=g,o=x\ndelete: member\nmember: CN=Z,o=x\n",
            "lose its last value of member",
        );
        because(
            &[X, A],
            "dn: o=x\nchangetype: delete\n",
            "entries lie below it",
        );
        // A conflict leaves the record out, whole, and the others in.
        check(
            &[A],
            "dn: cn=a,o=x\nadd: tag\ntag: 2\n-\nadd: one\none: new\n\ndn: cn=a,o=x\nadd: tag\ntag: 3\n",
            "!+",
            &["cn=a,o=x: tag + 3"],
        );
    }

    #[test]
    fn removals_and_renames() {
        check(&[], "dn: cn=a,o=x\nchangetype: delete\n", "=", &[]);
        let chain = "dn: cn=a,o=x\nchangetype: delete\n\ndn: o=x\nchangetype: delete\n";
        check(
            &[X, A],
            chain,
            "++",
            &["o=x: remove o=x", "cn=a,o=x: remove cn=a,o=x"],
        );
        let rename = "dn: cn=a,o=x\nchangetype: modrdn\nnewrdn: cn=c\ndeleteoldrdn: 1\n";
        let net = check(
            &[X, A],
            rename,
            "+",
            &["cn=a,o=x: remove cn=a,o=x", "cn=c,o=x: add cn=c,o=x"],
        );
        let EntryWant::Entry(new) = &net.wants[1].2 else {
            panic!()
        };
        assert_eq!(new.texts("cn"), ["c"]);
        check(
            &[X, "dn: cn=c,o=x\nobjectClass: thing\ncn: c\n"],
            rename,
            "=",
            &[],
        );
        let net = check(&[X], rename, "!", &[]);
        assert!(why(&net).contains("neither"));
    }

    #[test]
    fn what_the_schema_does_not_know_is_named() {
        let net = check(
            &[X],
            "dn: cn=n,o=x\nobjectClass: thing\nobjectClass: newThing\nnewTag: 1\n",
            "+",
            &["cn=n,o=x: add cn=n,o=x"],
        );
        assert_eq!(
            net.unknown,
            [
                "attribute newTag (f line 1)",
                "object class newThing (f line 1)"
            ]
        );
    }

    #[test]
    fn marks_of_a_version() {
        let schema = schema();
        let directory: Directory = [X, A].iter().map(|e| entry(e, &schema)).collect();
        let mark = |text: &str| {
            let record = parse(text.as_bytes()).unwrap().remove(0);
            let dn = Dn::parse(&record.dn).unwrap();
            let place = dn.folded(Some(&schema));
            let link = Link {
                file: String::new(),
                line: 1,
                dn,
                place,
                change: record.change,
            };
            evidence(&link, &directory, &schema).map(|e| (e.additive, e.seen))
        };
        assert_eq!(mark("dn: cn=a,o=x\nadd: tag\ntag: 1\n"), Some((true, true)));
        assert_eq!(
            mark("dn: cn=a,o=x\nadd: tag\ntag: 1\ntag: 2\n"),
            Some((true, false))
        );
        assert_eq!(
            mark("dn: cn=a,o=x\ndelete: tag\ntag: 2\n"),
            Some((false, true))
        );
        assert_eq!(mark("dn: cn=a,o=x\nreplace: blob\nblob:< file:x\n"), None);
        assert_eq!(mark("dn: cn=q,o=x\nadd: tag\ntag: 1\n"), None);
        assert_eq!(
            mark("dn: cn=q,o=x\nobjectClass: thing\n"),
            Some((true, false))
        );
        assert_eq!(mark("dn: cn=q,o=y\nobjectClass: thing\n"), None);
    }
}
