//! From the arguments of `ldap_update` to judged records: what its tasks have in common.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Stop, Wanted, reference};
use runbook_engine::resource::Ref;
use runbook_engine::value::Value;
use runbook_engine::world::View;

use super::chain::{self, Directory, Link, Net};
use super::dn::Dn;
use super::entry::EntryWant;
use super::entry_kind::{EntryKey, LdapEntry};
use super::ldif::{Problem, Record, RecordChange};
use super::listing::{LdapListing, ListingKey};
use super::schema::Schema;
use super::schema_kind::{LdapSchema, Part, SchemaKey};
use super::server::Server;
use super::session::Depth;
use super::tree::Tree;

/// What is to be done, judged.
pub struct Planned {
    /// For the summary: `5.31.1 → 5.32.0`.
    pub title: String,
    /// The records, in order.
    pub links: Vec<Link>,
    /// What they come to.
    pub net: Net,
    /// The record of what was applied, and what is wanted of it.
    pub record: Option<(EntryKey, EntryWant)>,
    /// For a person.
    pub notes: Vec<String>,
    /// For `register`.
    pub facts: Vec<(&'static str, Value)>,
    /// Hashes of the files, by path as shown.
    pub hashes: BTreeMap<String, String>,
}

/// Mistakes of several files, as one refusal.
pub(super) fn refuse(problems: &[(String, Problem)]) -> Stop {
    let lines: Vec<String> = problems
        .iter()
        .map(|(file, p)| format!("{file} {p}"))
        .collect();
    Stop::refuse(format!(
        "the LDIF cannot be applied as it is; nothing was sent:\n  {}",
        lines.join("\n  ")
    ))
}

/// The record as a link of the chain, folded by the schema.
pub(super) fn link(file: &str, record: Record, schema: &Schema) -> Result<Link, (String, Problem)> {
    let line = record.line;
    match Dn::parse(&record.dn) {
        Ok(dn) => Ok(Link {
            file: file.to_owned(),
            line,
            place: dn.folded(Some(schema)),
            dn,
            change: record.change,
        }),
        Err(e) => Err((
            file.to_owned(),
            Problem {
                line,
                message: e.to_string(),
            },
        )),
    }
}

/// A record that stands in no file, but that a task comes to.
pub(super) fn of_task(dn: Dn, change: RecordChange, schema: &Schema) -> Link {
    Link {
        file: "the task".to_owned(),
        line: 1,
        place: dn.folded(Some(schema)),
        dn,
        change,
    }
}

/// Records that remove the entries at such places, the deepest first.
pub(super) fn removals(
    directory: &Directory,
    goes: impl Fn(&str) -> bool,
    schema: &Schema,
) -> Result<Vec<Link>, Stop> {
    let entries = directory.iter().filter(|(place, _)| goes(place));
    let mut links = Vec::new();
    for entry in entries.filter_map(|(_, state)| state.entry.as_ref()) {
        let dn = Dn::parse(&entry.dn)
            .map_err(|e| Stop::refuse(format!("the server's name `{}`: {e}", entry.dn)))?;
        links.push(of_task(dn, RecordChange::Delete, schema));
    }
    links.sort_by_key(|link| std::cmp::Reverse(link.dn.depth()));
    Ok(links)
}

pub(super) fn schema_keys(server: &Server) -> [SchemaKey; 2] {
    [Part::Now, Part::Coming].map(|part| SchemaKey {
        server: server.clone(),
        part,
    })
}

/// The schema as it will be when the task runs.
pub(super) fn known_schema(server: &Server, world: &View<'_>) -> Result<Schema, Stop> {
    let states = world.all::<LdapSchema>(&schema_keys(server))?;
    match states.as_slice() {
        [now, coming] => Ok(Schema::new(&now.with(coming))),
        _ => Err(Stop::refuse("the schema was not read")),
    }
}

/// The states that a chain has to know, read as one batch; what lies below removed and renamed entries in a second one.
pub(super) fn directory(
    server: &Server,
    links: &[Link],
    schema: &Schema,
    world: &View<'_>,
) -> Result<Directory, Stop> {
    let places = chain::places(links, schema);
    let keys: Vec<EntryKey> = places
        .iter()
        .map(|(place, dn)| EntryKey::at(server, dn, place))
        .collect();
    let states = world.all::<LdapEntry>(&keys)?;
    let mut directory: Directory = places.into_keys().zip(states).collect();
    // What a server says of an entry's children is as old as its reading: what lies below it is asked for itself.
    let parents: Vec<&Link> = links
        .iter()
        .filter(|l| {
            let needs_it = matches!(l.change, RecordChange::Delete | RecordChange::Rename { .. });
            needs_it && directory.get(&l.place).is_some_and(|s| s.entry.is_some())
        })
        .collect();
    let listings: Vec<ListingKey> = parents
        .iter()
        .map(|l| ListingKey::new(server, &l.dn, Depth::Subtree, Some(schema)))
        .collect();
    let mut below = Vec::new();
    for (parent, listing) in parents.iter().zip(world.all::<LdapListing>(&listings)?) {
        let mut has_children = false;
        for name in listing.names {
            let dn = Dn::parse(&name)
                .map_err(|e| Stop::refuse(format!("the server's name `{name}`: {e}")))?;
            let key = EntryKey::new(server, &dn, Some(schema));
            has_children |= key.place != parent.place;
            if !directory.contains_key(&key.place) {
                below.push(key);
            }
        }
        if let Some(state) = directory.get_mut(&parent.place) {
            state.has_children = has_children;
        }
    }
    let states = world.all::<LdapEntry>(&below)?;
    directory.extend(below.into_iter().map(|k| k.place).zip(states));
    Ok(directory)
}

/// What judging records may read of a server.
pub(super) fn reads(server: &Server) -> Footprint {
    let id = server.id();
    let footprint = Footprint::nothing()
        .reads("ldap-schema", id.clone())
        .reads("ldap-listing", id.clone())
        .reads("ldap-entry", id);
    server.within(footprint)
}

/// Wants what the records come to.
pub(super) fn set_all(wanted: &mut Wanted, server: &Server, net: &Net) {
    for (dn, place, want) in &net.wants {
        wanted.set::<LdapEntry>(&EntryKey::at(server, dn, place), want);
    }
}

/// Asks for everything of the first round at once.
pub(super) fn ask(
    world: &View<'_>,
    server: &Server,
    mut keys: Vec<Ref>,
    tree: &impl Fn() -> Result<Tree, Stop>,
) -> Result<(), Stop> {
    keys.extend(schema_keys(server).iter().map(reference::<LdapSchema>));
    let mut missing = match world.need(&keys) {
        Err(Stop::Need(missing)) => missing,
        Err(other) => return Err(other),
        Ok(()) => Vec::new(),
    };
    if let Err(Stop::Need(more)) = tree() {
        missing.extend(more);
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Stop::Need(missing))
    }
}
