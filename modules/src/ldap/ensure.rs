//! The modules `ldap_entry` and `ldap_attrs`: an entry that is there or not, values that an entry has or has not.
//!
//! Both say what they want as records of LDIF, and these are judged as the records of `ldap_update` are: by the server's own
//! matching rules, against its schema, and only what is missing is sent.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Module, Stop, Wanted, reference};
use runbook_engine::value::Secret;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::chain::{self, Existing, Link, Verdict};
use super::dn::Dn;
use super::entry_kind::{EntryKey, LdapEntry};
use super::ldif::{Operation, RecordChange, Value, Verb};
use super::listing::{LdapListing, ListingKey};
use super::octets::Octets;
use super::planning::{directory, known_schema, schema_keys};
use super::schema_kind::LdapSchema;
use super::server::{Place, Server};
use super::session::Depth;

/// The module `ldap_entry`.
pub struct LdapEntryModule;

/// Arguments of `ldap_entry`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapEntryArgs {
    /// The container that the directory server runs in, `NAME` or `NAME:PORT` (port 389 by default).
    #[serde(default)]
    pub container: Option<String>,
    /// The directory server as seen from the host, in place of `container`: `HOST:PORT`, or the path of its socket.
    #[serde(default, alias = "server_uri")]
    pub server: Option<String>,
    /// The name to bind with.
    #[serde(default)]
    pub bind_dn: Option<String>,
    /// The password of `bind_dn`.
    #[serde(default, alias = "bind_pw")]
    pub password: Option<Secret>,
    /// The entry's name.
    pub dn: String,
    /// `present` (the default) or `absent`.
    #[serde(default)]
    pub state: EntryStateArg,
    /// The classes of an entry that is made, a text or a list. An entry that is there keeps its own.
    #[serde(default, rename = "objectClass")]
    #[schemars(with = "Option<Vec<String>>")]
    pub object_class: Option<Json>,
    /// Attributes of an entry that is made: each a text, a number, or a list of them. An entry that is there keeps its own.
    #[serde(default)]
    pub attributes: BTreeMap<String, Json>,
    /// With `absent`: with all that lies below it.
    #[serde(default)]
    pub recursive: bool,
}

/// There or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryStateArg {
    /// There, whatever it holds.
    #[default]
    Present,
    /// Not there.
    Absent,
}

/// The module `ldap_attrs`.
pub struct LdapAttrs;

/// Arguments of `ldap_attrs`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapAttrsArgs {
    /// The container that the directory server runs in, `NAME` or `NAME:PORT` (port 389 by default).
    #[serde(default)]
    pub container: Option<String>,
    /// The directory server as seen from the host, in place of `container`: `HOST:PORT`, or the path of its socket.
    #[serde(default, alias = "server_uri")]
    pub server: Option<String>,
    /// The name to bind with.
    #[serde(default)]
    pub bind_dn: Option<String>,
    /// The password of `bind_dn`.
    #[serde(default, alias = "bind_pw")]
    pub password: Option<Secret>,
    /// The entry's name. It has to be there.
    pub dn: String,
    /// The attributes: each a text, a number, or a list of them.
    pub attributes: BTreeMap<String, Json>,
    /// What of the values: `present` (the default), `absent` or `exact`.
    #[serde(default)]
    pub state: ValuesStateArg,
}

/// What is wanted of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValuesStateArg {
    /// The attribute has them, whatever else it has.
    #[default]
    Present,
    /// It has none of them.
    Absent,
    /// It has them and no other; an empty list removes the attribute.
    Exact,
}

/// The values of an attribute as they were given.
fn values(name: &str, given: &Json) -> Result<Vec<String>, String> {
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

fn octets(values: &[String]) -> Vec<Value> {
    let given = values
        .iter()
        .map(|v| Value::Given(Octets::from(v.as_str())));
    given.collect()
}

fn attributes(given: &BTreeMap<String, Json>) -> Result<Vec<(String, Vec<String>)>, String> {
    given
        .iter()
        .map(|(name, json)| Ok((name.clone(), values(name, json)?)))
        .collect()
}

/// What such a task may read and write: `below`: what lies below its entry, too.
fn footprint(server: &Server, dn: &str) -> Footprint {
    let Ok(dn) = Dn::parse(dn) else {
        return Footprint::everything();
    };
    let id = server.id();
    let place = format!("{id}/{}", dn.folded(None));
    let mut footprint = Footprint::nothing()
        .reads("ldap-schema", id.clone())
        .reads("ldap-listing", id.clone())
        .reads("ldap-entry", id)
        .writes("ldap-entry", place);
    if let Place::Container { name, .. } = &server.at {
        footprint = footprint.reads(super::container::KIND, name.clone());
    }
    footprint
}

/// Judges the records, and wants what is missing.
fn wanted(
    server: &Server,
    changes: Vec<(Dn, RecordChange)>,
    existing: Existing,
    world: &View<'_>,
) -> Result<Wanted, Stop> {
    let schema = known_schema(server, world)?;
    let link = |(dn, change): (Dn, RecordChange)| Link {
        file: "the task".to_owned(),
        line: 1,
        place: dn.folded(Some(&schema)),
        dn,
        change,
    };
    let links: Vec<Link> = changes.into_iter().map(link).collect();
    let directory = directory(server, &links, &schema, world)?;
    let net = chain::net(&links, &directory, &schema, existing);
    if !net.unknown.is_empty() {
        let names: Vec<&str> = net
            .unknown
            .iter()
            .map(|u| u.split(" (").next().unwrap_or(u))
            .collect();
        return Err(Stop::refuse(format!(
            "{} does not know {}; update its schema first, or mend the name",
            server.shown(),
            names.join(", ")
        )));
    }
    let conflict = links
        .iter()
        .zip(&net.verdicts)
        .find_map(|(link, v)| match v {
            Verdict::Conflict(why) => Some(format!("{}: {why}", link.dn)),
            _ => None,
        });
    if let Some(why) = conflict {
        return Err(Stop::refuse(why));
    }
    let mut wanted = Wanted::nothing();
    for (dn, place, want) in &net.wants {
        let key = EntryKey {
            server: server.clone(),
            dn: dn.to_string(),
            place: place.clone(),
            last: false,
        };
        wanted.set::<LdapEntry>(&key, want);
    }
    Ok(wanted)
}

impl LdapEntryArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.bind_dn.as_deref(),
            self.password.as_ref(),
        )
    }

    /// The attributes of an entry that is made, its classes first.
    fn described(&self) -> Result<Vec<(String, Vec<Value>)>, String> {
        let classes = match &self.object_class {
            Some(given) => values("objectClass", given)?,
            None => Vec::new(),
        };
        let mut all = vec![("objectClass".to_owned(), octets(&classes))];
        let given = attributes(&self.attributes)?;
        all.extend(
            given
                .into_iter()
                .map(|(name, values)| (name, octets(&values))),
        );
        Ok(all)
    }
}

impl Module for LdapEntryModule {
    type Args = LdapEntryArgs;

    const NAME: &'static str = "ldap_entry";
    const SUMMARY: &'static str = "Makes or removes an entry of a directory.";
    const DOC: &'static str = include_str!("entry.md");

    fn validate(args: &Self::Args) -> Result<(), String> {
        args.server()?;
        Dn::parse(&args.dn).map_err(|e| format!("dn: {e}"))?;
        args.described()?;
        let makes = args.state == EntryStateArg::Present;
        match (&args.object_class, makes) {
            (None, true) => Err("`objectClass` is missing: what is the entry to be?".to_owned()),
            (_, true) if args.recursive => Err("`recursive` goes with `state: absent`".to_owned()),
            (Some(_), false) => Err("`objectClass` goes with `state: present`".to_owned()),
            (None, false) if !args.attributes.is_empty() => {
                Err("`attributes` go with `state: present`".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn touches(args: &Self::Args) -> Footprint {
        args.server()
            .map_or_else(|_| Footprint::everything(), |s| footprint(&s, &args.dn))
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let dn = Dn::parse(&args.dn).map_err(|e| Stop::refuse(e.to_string()))?;
        let mut keys: Vec<_> = schema_keys(&server)
            .iter()
            .map(reference::<LdapSchema>)
            .collect();
        keys.push(reference::<LdapEntry>(&EntryKey::new(&server, &dn, None)));
        world.need(&keys)?;
        if args.state == EntryStateArg::Present {
            let described = args.described().map_err(Stop::Refuse)?;
            let record = (dn, RecordChange::Add(described));
            return wanted(&server, vec![record], Existing::Keep, world);
        }
        let mut records = Vec::new();
        if args.recursive {
            let listing = ListingKey::new(&server, &dn, Depth::Subtree, None);
            for name in world.get::<LdapListing>(&listing)?.names {
                let below = Dn::parse(&name)
                    .map_err(|e| Stop::refuse(format!("the server's name `{name}`: {e}")))?;
                if below.depth() > dn.depth() {
                    records.push((below, RecordChange::Delete));
                }
            }
            // What lies deepest goes first.
            records.sort_by_key(|(below, _)| std::cmp::Reverse(below.depth()));
        }
        let below = records.len();
        records.push((dn, RecordChange::Delete));
        let mut wanted = wanted(&server, records, Existing::Keep, world)?;
        if below > 0 && !wanted.resources.is_empty() {
            wanted.notes.push(match below {
                1 => "the entry below it goes with it".to_owned(),
                n => format!("the {n} entries below it go with it"),
            });
        }
        Ok(wanted)
    }
}

impl LdapAttrsArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.bind_dn.as_deref(),
            self.password.as_ref(),
        )
    }

    fn operations(&self) -> Result<Vec<Operation>, String> {
        let verb = match self.state {
            ValuesStateArg::Present => Verb::Add,
            ValuesStateArg::Absent => Verb::Delete,
            ValuesStateArg::Exact => Verb::Replace,
        };
        let given = attributes(&self.attributes)?;
        // Adding or removing no value is nothing; in LDIF, a deletion without values would be one of all.
        let some = given
            .into_iter()
            .filter(|(_, values)| verb == Verb::Replace || !values.is_empty());
        let operation = |(attribute, values): (String, Vec<String>)| Operation {
            verb,
            attribute,
            values: octets(&values),
            line: 1,
        };
        Ok(some.map(operation).collect())
    }
}

impl Module for LdapAttrs {
    type Args = LdapAttrsArgs;

    const NAME: &'static str = "ldap_attrs";
    const SUMMARY: &'static str = "Adds, removes or sets values of an entry of a directory.";
    const DOC: &'static str = include_str!("attrs.md");

    fn validate(args: &Self::Args) -> Result<(), String> {
        args.server()?;
        Dn::parse(&args.dn).map_err(|e| format!("dn: {e}"))?;
        args.operations().map(drop)
    }

    fn touches(args: &Self::Args) -> Footprint {
        args.server()
            .map_or_else(|_| Footprint::everything(), |s| footprint(&s, &args.dn))
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let dn = Dn::parse(&args.dn).map_err(|e| Stop::refuse(e.to_string()))?;
        let mut keys: Vec<_> = schema_keys(&server)
            .iter()
            .map(reference::<LdapSchema>)
            .collect();
        keys.push(reference::<LdapEntry>(&EntryKey::new(&server, &dn, None)));
        world.need(&keys)?;
        let operations = args.operations().map_err(Stop::Refuse)?;
        if operations.is_empty() {
            return Ok(Wanted::nothing());
        }
        let record = (dn, RecordChange::Modify(operations));
        wanted(&server, vec![record], Existing::Compare, world)
    }
}
