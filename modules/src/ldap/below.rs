//! What lies below entries that a run has added, found with one search for each subtree of them.

use std::collections::{BTreeMap, BTreeSet};

use runbook_engine::host::{HostError, Probe};
use runbook_engine::resource::{KeyedChange, contains};

use super::dn::Dn;
use super::entry_kind::{EntryKey, LdapEntry};
use super::listing::{ListingKey, list};
use super::session::Depth;
use super::writing::is_config;

/// For each change: the keys of the entries below the entry that it added.
///
/// Names are compared without the schema, as they stand in the changes; an entry that this takes for another one than
/// it is only makes that its parent stays.
pub(super) async fn below(
    host: &Probe,
    changes: &[KeyedChange<LdapEntry>],
) -> Vec<Result<Vec<EntryKey>, HostError>> {
    let added = |c: &KeyedChange<LdapEntry>| {
        c.change.from.entry.is_none() && c.change.to.entry.is_some() && !is_config(&c.key)
    };
    let place = |key: &EntryKey| {
        let dn = Dn::parse(&key.dn).ok()?;
        Some((key.server.id(), dn.folded(None)))
    };
    let known: BTreeMap<(String, String), &EntryKey> = changes
        .iter()
        .filter_map(|c| Some((place(&c.key)?, &c.key)))
        .collect();
    let mut roots: Vec<(String, String)> = Vec::new();
    // A parent comes before what lies below it: its name is the beginning of theirs.
    let all: BTreeSet<(String, String)> = changes
        .iter()
        .filter(|c| added(c))
        .filter_map(|c| place(&c.key))
        .collect();
    for (server, name) in all {
        let within = |root: &(String, String)| root.0 == server && contains(&root.1, &name);
        if !roots.iter().any(within) {
            roots.push((server, name));
        }
    }
    let mut found: BTreeMap<(String, String), Result<Vec<(String, Dn)>, HostError>> =
        BTreeMap::new();
    for root in roots {
        let Some(key) = known.get(&root) else {
            continue;
        };
        let names = match Dn::parse(&key.dn) {
            Ok(dn) => {
                list(
                    host,
                    &ListingKey::new(&key.server, &dn, Depth::Subtree, None),
                )
                .await
            }
            Err(error) => Err(HostError::failed(format!("{}: {error}", key.dn))),
        };
        let names = names.map(|listing| {
            let parsed = listing.names.iter().filter_map(|n| Dn::parse(n).ok());
            parsed.map(|dn| (dn.folded(None), dn)).collect()
        });
        found.insert(root, names);
    }
    changes
        .iter()
        .map(|change| {
            let Some((server, name)) = place(&change.key).filter(|_| added(change)) else {
                return Ok(Vec::new());
            };
            let root = found
                .iter()
                .find(|((on, root), _)| *on == server && (*root == name || contains(root, &name)));
            match root {
                Some((_, Ok(names))) => Ok(names
                    .iter()
                    .filter(|(other, _)| contains(&name, other))
                    .map(|(other, dn)| {
                        known.get(&(server.clone(), other.clone())).map_or_else(
                            || EntryKey::new(&change.key.server, dn, None),
                            |key| (*key).clone(),
                        )
                    })
                    .collect()),
                Some((_, Err(error))) => Err(error.clone()),
                None => Ok(Vec::new()),
            }
        })
        .collect()
}
