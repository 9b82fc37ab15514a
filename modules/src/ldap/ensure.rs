//! What `ldap_entry` and `ldap_attrs` have in common: values as they are given, and records that are judged as those of
//! `ldap_update` are: by the server's own matching rules, against its schema, so that only what is missing is sent.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::world::View;
use serde_json::Value as Json;

use super::chain::{self, Directory, Existing, Link, Verdict};
use super::dn::Dn;
use super::entry_kind::{EntryKey, LdapEntry};
use super::ldif::{RecordChange, Value};
use super::octets::Octets;
use super::planning;
use super::schema::Schema;
use super::schema_kind::LdapSchema;
use super::server::Server;

/// The values of an attribute as they were given.
pub(super) fn values(name: &str, given: &Json) -> Result<Vec<String>, String> {
    match given {
        Json::String(text) => Ok(vec![text.clone()]),
        Json::Number(number) => Ok(vec![number.to_string()]),
        Json::Bool(_) => Err(format!(
            "{name}: `{given}` is no value of a directory; its own are TRUE and FALSE, in quotes"
        )),
        Json::Array(items) => {
            let mut all = Vec::new();
            for item in items {
                if item.is_array() {
                    return Err(format!("{name}: a list within a list"));
                }
                all.extend(values(name, item)?);
            }
            Ok(all)
        }
        Json::Null | Json::Object(_) => Err(format!(
            "{name}: a text, a number or a list of them is needed"
        )),
    }
}

pub(super) fn octets(values: &[String]) -> Vec<Value> {
    let given = values
        .iter()
        .map(|v| Value::Given(Octets::from(v.as_str())));
    given.collect()
}

pub(super) fn attributes(
    given: &BTreeMap<String, Json>,
) -> Result<Vec<(String, Vec<String>)>, String> {
    given
        .iter()
        .map(|(name, json)| Ok((name.clone(), values(name, json)?)))
        .collect()
}

/// What such a task may read and write.
pub(super) fn footprint(server: Result<Server, String>, dn: &str) -> Footprint {
    let (Ok(server), Ok(dn)) = (server, Dn::parse(dn)) else {
        return Footprint::everything();
    };
    let place = format!("{}/{}", server.id(), dn.certain());
    planning::reads(&server).writes(LdapEntry::NAME, place)
}

/// An entry and what is wanted of it, with all that it is judged by.
pub(super) struct Asked {
    server: Server,
    schema: Schema,
    links: Vec<Link>,
    /// The directory as it is.
    pub directory: Directory,
}

impl Asked {
    /// Reads what a record on an entry is judged by.
    pub fn of(
        server: Server,
        dn: &str,
        change: RecordChange,
        world: &View<'_>,
    ) -> Result<Self, Stop> {
        let dn = Dn::parse(dn).map_err(|e| Stop::refuse(e.to_string()))?;
        let mut keys: Vec<_> = planning::schema_keys(&server)
            .iter()
            .map(reference::<LdapSchema>)
            .collect();
        keys.push(reference::<LdapEntry>(&EntryKey::new(&server, &dn, None)));
        world.need(&keys)?;
        let schema = planning::known_schema(&server, world)?;
        let links = vec![planning::of_task(dn, change, &schema)];
        let directory = planning::directory(&server, &links, &schema, world)?;
        Ok(Self {
            server,
            schema,
            links,
            directory,
        })
    }

    /// Removes what lies below the entry before it, the deepest first; how many entries that are.
    pub fn with_all_below(&mut self) -> Result<usize, Stop> {
        let Some(own) = self.links.first() else {
            return Ok(0);
        };
        let below = format!("{}/", own.place);
        let goes = |place: &str| place.starts_with(&below);
        let links = planning::removals(&self.directory, goes, &self.schema)?;
        let count = links.len();
        self.links.splice(0..0, links);
        Ok(count)
    }

    /// What is missing; a refusal where it cannot be.
    pub fn wanted(&self, existing: Existing) -> Result<Wanted, Stop> {
        let net = chain::net(&self.links, &self.directory, &self.schema, existing);
        if !net.unknown.is_empty() {
            let name = |unknown: &String| unknown.split(" (").next().unwrap_or(unknown).to_owned();
            let names: Vec<String> = net.unknown.iter().map(name).collect();
            return Err(Stop::refuse(format!(
                "{} does not know {}; update its schema first, or mend the name",
                self.server.shown(),
                names.join(", ")
            )));
        }
        for (link, verdict) in self.links.iter().zip(&net.verdicts) {
            if let Verdict::Conflict(why) = verdict {
                return Err(Stop::refuse(format!("{}: {why}", link.dn)));
            }
        }
        let mut wanted = Wanted::nothing();
        planning::set_all(&mut wanted, &self.server, &net);
        Ok(wanted)
    }
}
