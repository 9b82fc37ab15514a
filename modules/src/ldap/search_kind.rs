//! Resource kind `ldap-search`: what a search in a directory finds. Read only.

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe};
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use super::dn::Dn;
use super::entry::is_secret;
use super::entry_kind::{LdapEntry, along};
use super::octets::Octets;
use super::server::{Server, Through};
use super::session::{Depth, Refused, Session};

/// The kind.
pub struct LdapSearch;

/// Which search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchKey {
    /// The server.
    pub server: Server,
    /// Where it begins.
    pub base: String,
    /// How far below.
    pub depth: Depth,
    /// A filter (RFC 4515).
    pub filter: String,
    /// The attributes asked for; empty: all but the operational ones.
    pub attributes: Vec<String>,
}

impl SearchKey {
    fn place(&self) -> String {
        let base = Dn::parse(&self.base).map_or_else(|_| self.base.clone(), |dn| dn.folded(None));
        format!("{}/{base}", self.server.id())
    }
}

impl std::fmt::Display for SearchKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let depth = match self.depth {
            Depth::Base => "base",
            Depth::Children => "one",
            Depth::Subtree => "sub",
        };
        write!(f, "{}/{depth}?{}", self.place(), self.filter)?;
        if !self.attributes.is_empty() {
            write!(f, "?{}", self.attributes.join(","))?;
        }
        if let Some(name) = &self.server.bind_dn {
            write!(f, " as {name}")?;
        }
        Ok(())
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Found {
    /// The base exists.
    pub exists: bool,
    /// Entries in the server's order.
    pub entries: Vec<FoundEntry>,
}

/// An entry with the attributes that were asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundEntry {
    /// Its name as the server writes it.
    pub dn: String,
    /// Attributes in the server's order.
    pub attributes: Vec<(String, Vec<Octets>)>,
}

#[async_trait]
impl ReadKind for LdapSearch {
    type Key = SearchKey;
    type State = Found;

    const NAME: &'static str = "ldap-search";
    /// Entries come and go.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[SearchKey]) -> Vec<Result<Found, HostError>> {
        let mut states = Vec::with_capacity(keys.len());
        for key in keys {
            states.push(search(host, key).await);
        }
        states
    }

    fn secrets(&self, state: &Found) -> Vec<String> {
        let attributes = state.entries.iter().flat_map(|e| &e.attributes);
        attributes
            .filter(|(name, _)| is_secret(name))
            .flat_map(|(_, values)| values.iter().filter_map(|v| v.text().map(str::to_owned)))
            .collect()
    }

    fn touched_by(&self, key: &SearchKey, written: &Ref) -> bool {
        (written.kind == LdapEntry::NAME && along(&key.place(), &written.id))
            || key.server.is_container(written)
    }

    fn predicted(&self, key: &SearchKey, world: &Predicted<'_>) -> Shadow<SearchKey, Found> {
        let place = key.place();
        let changed = world.of_those::<LdapEntry>(|id| along(id, &place)).next();
        if let Some((_, _, _, task)) = changed {
            return Shadow::Unknown(format!("until \"{task}\""));
        }
        match key.server.predicted(world) {
            Through::Same => Shadow::AsRead,
            Through::Assuming(what) => Shadow::Assuming(what),
            Through::Unknown(why) => Shadow::Unknown(why),
        }
    }
}

async fn search(host: &Probe, key: &SearchKey) -> Result<Found, HostError> {
    let attributes: Vec<&str> = key.attributes.iter().map(String::as_str).collect();
    for attempt in 0..2 {
        let session = Session::of(host, &key.server).await?;
        let found = session
            .search_for(&key.base, key.depth, &key.filter, &attributes)
            .await;
        match found {
            Ok(found) => {
                let entries = found.into_iter().map(|raw| FoundEntry {
                    dn: raw.dn,
                    attributes: raw.attributes,
                });
                return Ok(Found {
                    exists: true,
                    entries: entries.collect(),
                });
            }
            Err(Refused::Code(32, _)) => return Ok(Found::default()),
            Err(Refused::Broken(_)) if attempt == 0 => session.forget(host).await,
            Err(refused) => {
                return Err(session.error(&format!("searching {}", key.base), &refused));
            }
        }
    }
    Err(HostError::failed(format!(
        "the session with {} breaks again and again",
        key.server.shown()
    )))
}
