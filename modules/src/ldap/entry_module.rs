//! The module `ldap_entry`: an entry that is there, or not.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Secret;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::chain::Existing;
use super::dn::Dn;
use super::ensure::{Asked, attributes, footprint, octets, values};
use super::ldif::{RecordChange, Value};
use super::server::Server;

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
    /// Encrypt the session on the plain port (StartTLS). With ldaps it is encrypted from the beginning: `ldaps://NAME`
    /// or `ldaps://NAME:PORT` (port 636 by default) as `container` or `server`.
    #[serde(default)]
    pub start_tls: bool,
    /// Does the certificate have to be good, and to be of the name that `container` or `server` has? Default: yes.
    #[serde(default)]
    pub validate_certs: Option<bool>,
    /// PEM file on the controller with the authorities to trust. Default: those of the controller's system.
    #[serde(default)]
    pub ca_path: Option<String>,
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

impl LdapEntryArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.bind_dn.as_deref(),
            self.password.as_ref(),
        )?
        .encrypted(self.start_tls, self.validate_certs, self.ca_path.as_deref())
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
        footprint(args.server(), &args.dn)
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        if args.state == EntryStateArg::Present {
            let add = RecordChange::Add(args.described().map_err(Stop::Refuse)?);
            return Asked::of(server, &args.dn, add, world)?.wanted(Existing::Keep);
        }
        let mut asked = Asked::of(server, &args.dn, RecordChange::Delete, world)?;
        let below = match args.recursive {
            true => asked.with_all_below()?,
            false => 0,
        };
        let mut wanted = asked.wanted(Existing::Compare)?;
        match below {
            0 => {}
            1 => wanted
                .notes
                .push("the entry below it goes with it".to_owned()),
            n => wanted
                .notes
                .push(format!("the {n} entries below it go with it")),
        }
        Ok(wanted)
    }
}
