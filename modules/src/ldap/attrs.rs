//! The module `ldap_attrs`: values that an entry has, or has not.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Secret;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::chain::Existing;
use super::dn::Dn;
use super::ensure::{Asked, attributes, footprint, octets};
use super::ldif::{Operation, RecordChange, Verb};
use super::server::Server;

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

impl LdapAttrsArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.bind_dn.as_deref(),
            self.password.as_ref(),
        )?
        .encrypted(self.start_tls, self.validate_certs, self.ca_path.as_deref())
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
        footprint(args.server(), &args.dn)
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let operations = args.operations().map_err(Stop::Refuse)?;
        if operations.is_empty() {
            return Ok(Wanted::nothing());
        }
        let server = args.server().map_err(Stop::Refuse)?;
        let modify = RecordChange::Modify(operations);
        Asked::of(server, &args.dn, modify, world)?.wanted(Existing::Compare)
    }
}
