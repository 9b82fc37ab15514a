//! A branch of the directory that shall be what records say, and nothing else: what they do not have goes, what is otherwise
//! is set. It takes the place of deleting a branch and adding it again, and does nothing the second time.

use std::collections::BTreeSet;

use runbook_engine::module::Stop;
use runbook_engine::world::View;

use super::chain::{Directory, Link};
use super::dn::Dn;
use super::entry::{Entry, is_secret};
use super::ldif::{Operation, RecordChange, Value, Verb};
use super::planning;
use super::schema::Schema;
use super::server::Server;

/// What becomes of the passwords of entries that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passwords {
    /// They stay.
    Keep,
    /// They are set to what the records have.
    Set,
}

impl Passwords {
    fn stay(self, attribute: &str) -> bool {
        self == Self::Keep && is_secret(attribute)
    }
}

/// Records by which a branch becomes exactly what the records `links` add to it, with the directory that they are judged by.
pub(super) fn exactly(
    mut links: Vec<Link>,
    branch: &Dn,
    passwords: Passwords,
    server: &Server,
    schema: &Schema,
    world: &View<'_>,
) -> Result<(Vec<Link>, Directory), Stop> {
    let place = branch.folded(Some(schema));
    let below = format!("{place}/");
    let within = |other: &str| other == place || other.starts_with(&below);
    let is_added = |link: &Link| matches!(link.change, RecordChange::Add(_)) && within(&link.place);
    let added: BTreeSet<String> = links
        .iter()
        .filter(|link| is_added(link))
        .map(|link| link.place.clone())
        .collect();
    if !added.contains(&place) {
        return Err(Stop::refuse(format!(
            "none of the files has the entry {branch}, so that nothing would be left of it; mend the name"
        )));
    }
    // Whoever removes an entry reads all that lies below it.
    let removal = planning::of_task(branch.clone(), RecordChange::Delete, schema);
    let asked: Vec<Link> = links.iter().cloned().chain([removal]).collect();
    let directory = planning::directory(server, &asked, schema, world)?;
    for link in &mut links {
        let there = directory.get(&link.place).and_then(|s| s.entry.as_ref());
        if let (true, Some(entry)) = (is_added(link), there)
            && let RecordChange::Add(attributes) = &link.change
        {
            let operations = set_all(entry, attributes, &link.dn, (link.line, passwords), schema);
            link.change = RecordChange::Modify(operations);
        }
    }
    let goes = |other: &str| within(other) && !added.contains(other);
    let removed = planning::removals(&directory, goes, schema)?;
    links.splice(0..0, removed);
    Ok((links, directory))
}

/// Operations after which the entry holds these attributes. Its passwords may stay, and the values of its name do.
fn set_all(
    entry: &Entry,
    attributes: &[(String, Vec<Value>)],
    dn: &Dn,
    (line, passwords): (usize, Passwords),
    schema: &Schema,
) -> Vec<Operation> {
    let replace = |attribute: &str, values: Vec<Value>| Operation {
        verb: Verb::Replace,
        attribute: attribute.to_owned(),
        values,
        line,
    };
    let mut named: BTreeSet<String> = dn
        .rdns()
        .first()
        .into_iter()
        .flat_map(|rdn| &rdn.parts)
        .map(|(name, _)| schema.attribute_key(name))
        .collect();
    let mut operations = Vec::new();
    for (name, values) in attributes.iter().filter(|(name, _)| !passwords.stay(name)) {
        named.insert(schema.attribute_key(name));
        operations.push(replace(name, values.clone()));
    }
    for attribute in &entry.attributes {
        if !passwords.stay(&attribute.name)
            && !named.contains(&schema.attribute_key(&attribute.name))
        {
            operations.push(replace(&attribute.name, Vec::new()));
        }
    }
    operations
}
