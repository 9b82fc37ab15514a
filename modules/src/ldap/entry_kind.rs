//! Resource kind `ldap-entry`: one entry of a directory.
//!
//! A state is absent, or the user attributes with their values, compared by the server's matching rules. A write
//! reads all its entries again, refuses where one is no longer as it was planned from, and sends every change with
//! the assertion (RFC 4528) that the entry's `entryCSN` is still the one just read. Where the server has no
//! assertions, the reading right before is all there is. Transactions (RFC 5805) are not used: they have brought
//! servers down.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::future::join_all;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError, contains,
};
use runbook_engine::world::{Predicted, PredictedChange};
use serde::{Deserialize, Serialize};

use super::dn::Dn;
use super::entry::{
    Attribute, Entry, EntryState, EntryWant, differences, is_secret, predicted, shown,
};
use super::schema::Schema;
use super::server::{Server, Through};
use super::session::{Depth, Raw, Refused, Session};
use super::writing::{self, is_config, is_schema};

/// The kind.
pub struct LdapEntry;

/// Which entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryKey {
    /// The server.
    pub server: Server,
    /// The name, as it is sent.
    pub dn: String,
    /// The name folded, root first, with slashes: what identifies the entry on its server.
    pub place: String,
    /// It is written after all others, because it says that they are.
    #[serde(default)]
    pub last: bool,
}

impl EntryKey {
    /// The key of a name, folded by the server's schema where it is at hand.
    #[must_use]
    pub fn new(server: &Server, dn: &Dn, schema: Option<&Schema>) -> Self {
        Self::at(server, dn, &dn.folded(schema))
    }

    /// The key of a name that is folded already.
    #[must_use]
    pub fn at(server: &Server, dn: &Dn, place: &str) -> Self {
        Self {
            server: server.clone(),
            dn: dn.to_string(),
            place: place.to_owned(),
            last: false,
        }
    }
}

impl std::fmt::Display for EntryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.server.id(), self.place)
    }
}

/// The server's configuration gets its first certificate. OpenLDAP (slapd 2.5 and 2.6) refuses to be without one from then on
/// (code 53), since it builds its TLS anew with each change of these attributes.
fn gets_certificate(key: &EntryKey, from: &Entry, to: &Entry) -> bool {
    let has = |entry: &Entry| {
        let mut names = entry.attributes.iter().map(|a| a.name.to_ascii_lowercase());
        names.any(|name| name.starts_with("olctlsc"))
    };
    key.place == "cn=config" && !has(from) && has(to)
}

#[async_trait]
impl Kind for LdapEntry {
    type Key = EntryKey;
    type State = EntryState;
    type Want = EntryWant;

    const NAME: &'static str = "ldap-entry";

    async fn read(&self, host: &Probe, keys: &[EntryKey]) -> Vec<Result<EntryState, HostError>> {
        let mut states: Vec<Option<Result<EntryState, HostError>>> =
            keys.iter().map(|_| None).collect();
        let groups = by_server(keys.iter());
        let read = join_all(groups.iter().map(|indices| async {
            let chosen: Vec<&EntryKey> = indices.iter().map(|i| &keys[*i]).collect();
            read_from(host, &chosen).await
        }));
        for (indices, found) in groups.iter().zip(read.await) {
            for (index, state) in indices.iter().zip(found) {
                states[*index] = Some(state);
            }
        }
        let missing = || Err(HostError::failed("the directory gave no answer"));
        states
            .into_iter()
            .map(|s| s.unwrap_or_else(missing))
            .collect()
    }

    fn differences(&self, want: &EntryWant, read: &EntryState) -> Vec<String> {
        differences(want, read)
    }

    fn predict(&self, want: &EntryWant, from: &EntryState) -> EntryState {
        predicted(want, from)
    }

    fn text(&self, _key: &EntryKey, state: &EntryState) -> Option<String> {
        Some(state.entry.as_ref().map(shown).unwrap_or_default())
    }

    fn secrets(&self, state: &EntryState) -> Vec<String> {
        let attributes = state
            .entry
            .iter()
            .flat_map(|e| &e.attributes)
            .filter(|a| is_secret(&a.name));
        attributes
            .flat_map(|a| a.values.iter().filter_map(|v| v.text().map(str::to_owned)))
            .collect()
    }

    fn reversible(&self, change: &Change<EntryState, EntryWant>, key: &EntryKey) -> Reversible {
        match (&change.from.entry, &change.to.entry) {
            (None, Some(_)) if is_config(key) => Reversible::Stays(
                "slapd does not delete entries of its configuration; what was before works beside them"
                    .to_owned(),
            ),
            (Some(from), Some(to)) if gets_certificate(key, from, to) => Reversible::Stays(
                "slapd does not give up its certificate when it has one; what was before works with it"
                    .to_owned(),
            ),
            (Some(_), Some(_)) if is_schema(key) => Reversible::Stays(
                "entries may use the schema by now, and what was before works with it".to_owned(),
            ),
            (Some(_), None) => Reversible::Loses(
                "its times and its entryUUID, which the server sets anew".to_owned(),
            ),
            _ => Reversible::Yes,
        }
    }

    fn still(
        &self,
        _key: &EntryKey,
        change: &Change<EntryState, EntryWant>,
        now: &EntryState,
    ) -> bool {
        let left = change
            .to
            .entry
            .clone()
            .map_or(EntryWant::Absent, EntryWant::Entry);
        differences(&left, now).is_empty()
    }

    /// By the server's own rules, whoever wrote it and when.
    fn drifted(
        &self,
        _key: &EntryKey,
        _want: Option<&EntryWant>,
        was: &EntryState,
        now: &EntryState,
    ) -> Vec<String> {
        match (&was.entry, &now.entry) {
            (None, None) => Vec::new(),
            (None, Some(_)) => vec!["absent → present".to_owned()],
            (Some(_), None) => vec!["present → absent".to_owned()],
            (Some(_), Some(entry)) => differences(&EntryWant::Entry(entry.clone()), was),
        }
    }

    async fn within(
        &self,
        host: &Probe,
        changes: &[KeyedChange<Self>],
    ) -> Vec<Result<Vec<EntryKey>, HostError>> {
        super::below::below(host, changes).await
    }

    fn back(&self, key: &EntryKey, change: &Change<EntryState, EntryWant>) -> Option<EntryWant> {
        match (&change.from.entry, &change.to.entry) {
            (Some(from), Some(to)) if gets_certificate(key, from, to) => None,
            (Some(from), _) => Some(EntryWant::Entry(from.clone())),
            (None, _) if is_config(key) => None,
            (None, _) => Some(EntryWant::Absent),
        }
    }

    fn touched_by(&self, key: &EntryKey, written: &Ref) -> bool {
        (written.kind == Self::NAME && along(&key.to_string(), &written.id))
            || key.server.is_container(written)
    }

    fn predicted(&self, key: &EntryKey, world: &Predicted<'_>) -> Shadow<EntryKey, EntryState> {
        let id = key.to_string().to_lowercase();
        let concerns = |other: &str| other == id || contains(other, &id);
        let mut foretold = None;
        let changes = world.of_those::<Self>(|id| concerns(&id.to_lowercase()));
        for (other, from, to, task) in changes {
            let other = other.to_string().to_lowercase();
            let exists = |s: &Option<EntryState>| s.as_ref().map(|s| s.entry.is_some());
            let comes_or_goes = matches!(
                (exists(&from), exists(&to)),
                (_, Some(false)) | (Some(false), Some(true))
            );
            if other == id {
                // It was changed itself, and since then only what lies above it.
                foretold = Some(match to {
                    Some(state) => Shadow::Known(state),
                    None => Shadow::Unknown(format!("until \"{task}\"")),
                });
            } else if comes_or_goes {
                // What lies below an entry that goes, or that only just came, is not there.
                foretold = Some(Shadow::Known(EntryState::absent()));
            }
        }
        // What has become of the server since then.
        let is_of_it =
            |c: &PredictedChange| c.key.kind == Self::NAME && concerns(&c.key.id.to_lowercase());
        let last = world.changes.iter().rposition(is_of_it);
        let since = Predicted {
            changes: match &foretold {
                Some(_) => &world.changes[last.map_or(0, |at| at + 1)..],
                None => world.changes,
            },
        };
        match (foretold, key.server.predicted(&since)) {
            (_, Through::Unknown(why)) => Shadow::Unknown(why),
            (Some(foretold), _) => foretold,
            (None, Through::Same) => Shadow::AsRead,
            (None, Through::Assuming(what)) => Shadow::Assuming(what),
        }
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        let groups = by_server(changes.iter().map(|c| &c.key));
        for indices in &groups {
            let chosen: Vec<&KeyedChange<Self>> = indices.iter().map(|i| &changes[*i]).collect();
            writing::write(host, &chosen).await?;
        }
        Ok(Vec::new())
    }
}

/// Is one of two ids the other, or above it? Ids made with and without a schema may differ in case, so it does not
/// count here.
pub(super) fn along(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    a == b || contains(&a, &b) || contains(&b, &a)
}

/// Indices of keys that go over one session, in their order.
fn by_server<'a>(keys: impl Iterator<Item = &'a EntryKey>) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&Server, Vec<usize>)> = Vec::new();
    for (index, key) in keys.enumerate() {
        match groups.iter_mut().find(|(s, _)| **s == key.server) {
            Some((_, group)) => group.push(index),
            None => groups.push((&key.server, vec![index])),
        }
    }
    groups.into_iter().map(|(_, g)| g).collect()
}

/// Reads entries of one server. A session that turns out broken is opened once more.
pub(super) async fn read_from(
    host: &Probe,
    keys: &[&EntryKey],
) -> Vec<Result<EntryState, HostError>> {
    let all = |error: HostError| keys.iter().map(|_| Err(error.clone())).collect();
    let Some(first) = keys.first() else {
        return Vec::new();
    };
    let bases: Vec<(String, Depth)> = keys.iter().map(|k| (k.dn.clone(), Depth::Base)).collect();
    for attempt in 0..2 {
        let session = match Session::of(host, &first.server).await {
            Ok(session) => session,
            Err(error) => return all(error),
        };
        let schema = match session.schema(host).await {
            Ok(schema) => schema,
            Err(_) if attempt == 0 => {
                session.forget(host).await;
                continue;
            }
            Err(error) => return all(error),
        };
        let found = session
            .search_all(&bases, &["*", "entryCSN", "hasSubordinates"])
            .await;
        if attempt == 0 && found.iter().any(|f| matches!(f, Err(Refused::Broken(_)))) {
            session.forget(host).await;
            continue;
        }
        return found
            .into_iter()
            .zip(keys)
            .map(|(answer, key)| match answer {
                Ok(entries) => Ok(entries
                    .into_iter()
                    .next()
                    .map_or_else(EntryState::absent, |e| state(e, &schema))),
                Err(Refused::Code(32, _)) => Ok(EntryState::absent()),
                Err(refused) => Err(session.error(&format!("reading {}", key.dn), &refused)),
            })
            .collect();
    }
    all(HostError::failed(format!(
        "the session with {} breaks again and again",
        first.server.shown()
    )))
}

/// An entry as read, with the rules by which its values are compared.
pub(super) fn state(raw: Raw, schema: &Schema) -> EntryState {
    let csn = raw.texts("entryCSN").into_iter().next();
    let has_children = raw
        .texts("hasSubordinates")
        .first()
        .is_some_and(|t| t.eq_ignore_ascii_case("true"));
    EntryState {
        entry: Some(entry(raw, schema)),
        csn,
        has_children,
    }
}

/// The user attributes of an entry as read.
pub(super) fn entry(raw: Raw, schema: &Schema) -> Entry {
    let attributes = raw
        .attributes
        .into_iter()
        .filter(|(n, _)| {
            !n.eq_ignore_ascii_case("entryCSN") && !n.eq_ignore_ascii_case("hasSubordinates")
        })
        .map(|(name, values)| Attribute {
            rule: schema.rule(&name),
            name,
            values,
        })
        .collect();
    Entry {
        dn: raw.dn,
        attributes,
    }
}

/// Groups by depth, the root's side first.
pub(super) fn by_depth<T>(items: Vec<(usize, T)>) -> BTreeMap<usize, Vec<T>> {
    let mut groups: BTreeMap<usize, Vec<T>> = BTreeMap::new();
    for (depth, item) in items {
        groups.entry(depth).or_default().push(item);
    }
    groups
}
