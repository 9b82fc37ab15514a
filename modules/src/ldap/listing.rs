//! Resource kind `ldap-listing`: the names of the entries below one, for modules that must know what is there.
//!
//! Read only.

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe};
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use super::dn::Dn;
use super::entry_kind::{LdapEntry, along};
use super::schema::Schema;
use super::server::{Server, Through};
use super::session::{Depth, Refused, Session};

/// The kind.
pub struct LdapListing;

/// Which entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingKey {
    /// The server.
    pub server: Server,
    /// The entry below which they lie.
    pub base: String,
    /// Its place, as in the key of an entry.
    pub place: String,
    /// How far below.
    pub depth: Depth,
}

impl ListingKey {
    /// The entries below a name.
    #[must_use]
    pub fn new(server: &Server, base: &Dn, depth: Depth, schema: Option<&Schema>) -> Self {
        Self {
            server: server.clone(),
            base: base.to_string(),
            place: base.folded(schema),
            depth,
        }
    }
}

impl std::fmt::Display for ListingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let depth = match self.depth {
            Depth::Base => "",
            Depth::Children => "/*",
            Depth::Subtree => "/**",
        };
        write!(f, "{}/{}{depth}", self.server.id(), self.place)
    }
}

/// The names, in the server's order; none at all where the base is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Listing {
    /// The base exists.
    pub exists: bool,
    /// Names as the server writes them.
    pub names: Vec<String>,
}

#[async_trait]
impl ReadKind for LdapListing {
    type Key = ListingKey;
    type State = Listing;

    const NAME: &'static str = "ldap-listing";
    /// Entries come and go; what is wanted of them is bound one by one.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[ListingKey]) -> Vec<Result<Listing, HostError>> {
        let mut states = Vec::with_capacity(keys.len());
        for key in keys {
            states.push(list(host, key).await);
        }
        states
    }

    fn touched_by(&self, key: &ListingKey, written: &Ref) -> bool {
        let base = format!("{}/{}", key.server.id(), key.place);
        (written.kind == LdapEntry::NAME && along(&base, &written.id))
            || key.server.is_container(written)
    }

    fn predicted(&self, key: &ListingKey, world: &Predicted<'_>) -> Shadow<ListingKey, Listing> {
        let base = format!("{}/{}", key.server.id(), key.place);
        let moved = world.of_those::<LdapEntry>(|id| along(id, &base)).any(|(_, from, to, _)| {
            !matches!((from, to), (Some(f), Some(t)) if f.entry.is_some() == t.entry.is_some())
        });
        match (key.server.predicted(world), moved) {
            (Through::Unknown(why), _) => Shadow::Unknown(why),
            (Through::Same, true) => Shadow::Over(None),
            (Through::Same, false) => Shadow::AsRead,
            (Through::Assuming(what), true) => Shadow::Over(Some(what)),
            (Through::Assuming(what), false) => Shadow::Assuming(what),
        }
    }

    fn over(
        &self,
        key: &ListingKey,
        read: Listing,
        world: &Predicted<'_>,
    ) -> Result<Listing, String> {
        let base = format!("{}/{}", key.server.id(), key.place).to_lowercase();
        let depth = |dn: &str| Dn::parse(dn).map(|dn| dn.depth()).unwrap_or_default();
        let folded = |dn: &str| Dn::parse(dn).map(|dn| dn.folded(None)).ok();
        let above = depth(&key.base);
        let mut found = read;
        for (entry, _, to, task) in world.of_those::<LdapEntry>(|id| along(id, &base)) {
            let id = entry.to_string().to_lowercase();
            let Some(to) = to else {
                return Err(format!("until \"{task}\""));
            };
            let is_there = to.entry.is_some();
            if id == base {
                found.exists = is_there;
            }
            if !is_there && !contains(&base, &id) {
                // With the base, or what stands above it, all goes.
                found = Listing::default();
                continue;
            }
            let within = match key.depth {
                Depth::Base => id == base,
                Depth::Children => contains(&base, &id) && depth(&entry.dn) == above + 1,
                Depth::Subtree => id == base || contains(&base, &id),
            };
            let name = folded(&entry.dn);
            let is_it = |n: &String| folded(n) == name;
            match (within, is_there) {
                (true, false) => found.names.retain(|n| !is_it(n)),
                (true, true) if !found.names.iter().any(is_it) => found.names.push(entry.dn),
                _ => {}
            }
        }
        Ok(found)
    }
}

pub(super) async fn list(host: &Probe, key: &ListingKey) -> Result<Listing, HostError> {
    for attempt in 0..2 {
        let session = Session::of(host, &key.server).await?;
        match session.search(&key.base, key.depth, &["1.1"]).await {
            Ok(found) => {
                return Ok(Listing {
                    exists: true,
                    names: found.into_iter().map(|e| e.dn).collect(),
                });
            }
            Err(Refused::Code(32, _)) => return Ok(Listing::default()),
            Err(Refused::Broken(_)) if attempt == 0 => session.forget(host).await,
            Err(refused) => return Err(session.error(&format!("listing {}", key.base), &refused)),
        }
    }
    Err(HostError::failed(format!(
        "the session with {} breaks again and again",
        key.server.shown()
    )))
}
