//! Module `ldap_search`: what a search in a directory finds. Reads only.

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::dn::Dn;
use super::entry::is_secret;
use super::octets::Octets;
use super::search_kind::{Found, LdapSearch, SearchKey};
use super::server::Server;
use super::session::Depth;

/// The module.
pub struct LdapSearchModule;

/// Arguments of `ldap_search`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapSearchArgs {
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
    /// The entry where the search begins.
    pub dn: String,
    /// How far below it. Default: that entry alone.
    #[serde(default)]
    pub scope: Scope,
    /// Which entries (RFC 4515). Default: `(objectClass=*)`, all.
    #[serde(default)]
    pub filter: Option<String>,
    /// The attributes to give back. Default: all but the operational ones.
    #[serde(default)]
    pub attrs: Vec<String>,
}

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The entry alone.
    #[default]
    Base,
    /// The entries right below it.
    Onelevel,
    /// All entries below it, and itself.
    Subordinate,
    /// All entries below it, without itself.
    Children,
}

impl LdapSearchArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.bind_dn.as_deref(),
            self.password.as_ref(),
        )?
        .encrypted(self.start_tls, self.validate_certs, self.ca_path.as_deref())
    }

    fn filter(&self) -> &str {
        self.filter.as_deref().unwrap_or("(objectClass=*)")
    }

    fn key(&self) -> Result<SearchKey, String> {
        Ok(SearchKey {
            server: self.server()?,
            base: self.dn.clone(),
            depth: match self.scope {
                Scope::Base => Depth::Base,
                Scope::Onelevel => Depth::Children,
                Scope::Subordinate | Scope::Children => Depth::Subtree,
            },
            filter: self.filter().to_owned(),
            attributes: self.attrs.clone(),
        })
    }
}

impl Module for LdapSearchModule {
    type Args = LdapSearchArgs;

    const NAME: &'static str = "ldap_search";
    const SUMMARY: &'static str = "Finds entries in a directory.";
    const DOC: &'static str = include_str!("search.md");

    fn validate(args: &Self::Args) -> Result<(), String> {
        args.server()?;
        Dn::parse(&args.dn).map_err(|e| format!("dn: {e}"))?;
        ldap3::parse_filter(args.filter())
            .map(drop)
            .map_err(|()| format!("filter: `{}` is no filter, as `(cn=x)` is", args.filter()))
    }

    fn touches(args: &Self::Args) -> Footprint {
        let (Ok(server), Ok(base)) = (args.server(), Dn::parse(&args.dn)) else {
            return Footprint::everything();
        };
        let place = format!("{}/{}", server.id(), base.folded(None));
        let footprint = Footprint::nothing()
            .reads("ldap-entry", place.clone())
            .reads("ldap-search", place);
        server.within(footprint)
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let key = args.key().map_err(Stop::Refuse)?;
        let found = world.get::<LdapSearch>(&key)?;
        if !found.exists {
            return Err(Stop::refuse(format!(
                "{} has no entry {}",
                key.server.shown(),
                args.dn
            )));
        }
        let results = results(args, &found);
        let mut wanted = Wanted::nothing();
        wanted.summary = Some(match results.len() {
            1 => "1 entry".to_owned(),
            n => format!("{n} entries"),
        });
        wanted
            .facts
            .insert("results".to_owned(), Value::List(results));
        Ok(wanted)
    }
}

/// As Ansible gives them: an entry is a mapping, an attribute with one value is that value, with several a list.
fn results(args: &LdapSearchArgs, found: &Found) -> Vec<Value> {
    let base = Dn::parse(&args.dn).map(|dn| dn.folded(None)).ok();
    let entries = found.entries.iter().filter(|entry| {
        let itself = Dn::parse(&entry.dn).map(|dn| dn.folded(None)).ok() == base;
        !(itself && args.scope == Scope::Children)
    });
    entries
        .map(|entry| {
            let mut map = IndexMap::from([("dn".to_owned(), Value::from(entry.dn.as_str()))]);
            for (name, values) in &entry.attributes {
                let mut values: Vec<Value> = values.iter().map(|v| value(name, v)).collect();
                let one = if values.len() == 1 {
                    values.pop()
                } else {
                    None
                };
                map.insert(name.clone(), one.unwrap_or(Value::List(values)));
            }
            Value::Map(map)
        })
        .collect()
}

fn value(name: &str, value: &Octets) -> Value {
    let text = match value.text() {
        Some(text) => text.to_owned(),
        None => value.base64(),
    };
    if is_secret(name) {
        Value::Secret(Secret::new(text))
    } else {
        Value::Str(text)
    }
}
