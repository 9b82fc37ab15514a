//! `ldap_update` with `to: V`: which files of which versions, and what was applied before.

use std::collections::BTreeMap;

use runbook_engine::module::{Stop, reference};
use runbook_engine::value::Value;
use runbook_engine::world::View;

use super::applied::{self, Applied, AppliedFile};
use super::chain::{self, Directory, Link, Verdict};
use super::dn::{Dn, Rdn};
use super::entry_kind::{EntryKey, LdapEntry};
use super::evidence::{Evidence, evidence};
use super::ldif::Problem;
use super::mending;
use super::names::{Names, WRITTEN_BASE};
use super::planning::{Planned, ask, directory, known_schema, link, refuse};
use super::schema::Schema;
use super::server::Server;
use super::tree::{Tree, UpdateFile};
use super::update::LdapUpdateArgs;
use super::version::Version;

/// The components of `update-data`, in its order.
pub const COMPONENTS: [&str; 11] = [
    "dev",
    "DCM4CHEE",
    "WORKLIST",
    "AS_RECEIVED",
    "IOCM_REGULAR_USE",
    "IOCM_QUALITY",
    "IOCM_PAT_SAFETY",
    "IOCM_WRONG_MWL",
    "IOCM_EXPIRED",
    "storescp",
    "stowrsd",
];

/// An update file with its records, the site's names in them.
struct Loaded {
    file: UpdateFile,
    shown: String,
    hash: String,
    names: String,
    links: Vec<Link>,
}

/// `to: V`.
pub(super) fn data(
    args: &LdapUpdateArgs,
    server: &Server,
    to: &Version,
    tree: impl Fn() -> Result<Tree, Stop>,
    world: &View<'_>,
) -> Result<Planned, Stop> {
    let base = match args.base() {
        Some(base) => base,
        None => Dn::parse(WRITTEN_BASE).map_err(|e| Stop::refuse(e.to_string()))?,
    };
    let record_dn = match &args.record {
        Some(text) => Dn::parse(text).map_err(|e| Stop::refuse(e.to_string()))?,
        None => Dn::below(
            Rdn {
                parts: vec![("cn".to_owned(), applied::NAME.to_owned())],
            },
            &base,
        ),
    };
    let record_key = EntryKey {
        last: true,
        ..EntryKey::new(server, &record_dn, None)
    };
    ask(
        world,
        server,
        vec![reference::<LdapEntry>(&record_key)],
        &tree,
    )?;
    let tree = tree()?;
    let known = known_schema(server, world)?;
    let record = world.get::<LdapEntry>(&record_key)?;
    let done = record.entry.as_ref().map(Applied::read).unwrap_or_default();
    let device = args
        .names
        .device
        .clone()
        .unwrap_or_else(|| "dcm4chee-arc".to_owned());

    let updates = tree.updates();
    let components = components(args, &updates, &tree)?;
    if !updates.iter().any(|u| u.version == *to) {
        let versions: Vec<String> = versions(&updates).iter().map(ToString::to_string).collect();
        return Err(Stop::refuse(format!(
            "there are no files of version {to} in {}; there are {}",
            tree.origin,
            if versions.is_empty() {
                "none at all".to_owned()
            } else {
                versions.join(", ")
            }
        )));
    }
    let mut notes = Vec::new();
    let from = match (
        args.from
            .as_deref()
            .filter(|f| *f != "auto")
            .and_then(Version::parse),
        done.baselines.get(&device),
    ) {
        (Some(given), _) => given,
        (None, Some(recorded)) => recorded.clone(),
        (None, None) => {
            let found = found_version(
                args, server, &updates, &tree, &base, &known, world, &mut notes,
            )?;
            notes.push(format!(
                "the directory has no record yet; by its content it is at {found}"
            ));
            found
        }
    };
    let mut problems = Vec::new();
    let mut loaded = Vec::new();
    for version in versions(&updates)
        .iter()
        .filter(|v| **v > from && **v <= *to)
    {
        for component in &components {
            let Some(file) = updates
                .iter()
                .find(|u| u.version == *version && u.component == *component)
            else {
                continue;
            };
            match load(&tree, file, &args.names, &base, &known, true) {
                Ok(one) => loaded.push(one),
                Err(found) => problems.extend(found),
            }
        }
    }
    if !problems.is_empty() {
        return Err(refuse(&problems));
    }
    let mut recorded = 0;
    let mut applied = Vec::new();
    loaded.retain(|one| {
        let earlier = done
            .files
            .iter()
            .find(|f| f.is(&one.file.version, &one.file.component, &one.names));
        let Some(earlier) = earlier else { return true };
        recorded += 1;
        if earlier.hash == one.hash {
            applied.extend(one.links.iter().cloned());
        } else {
            notes.push(format!(
                "{} was applied with another content; it is not applied again",
                one.shown
            ));
        }
        if earlier.conflicts > 0 {
            notes.push(format!(
                "{} was applied without {} records in conflict",
                one.shown, earlier.conflicts
            ));
        }
        false
    });
    let ranges: Vec<usize> = loaded.iter().map(|l| l.links.len()).collect();
    let coming = loaded.iter().flat_map(|l| l.links.iter().cloned());
    let all: Vec<Link> = applied.iter().cloned().chain(coming.clone()).collect();
    let directory = directory(server, &all, &known, world)?;
    let mut links = mending::missing(&applied, &directory, &known);
    notes.extend(links.iter().map(|link| {
        format!(
            "{} lacks what {} has brought; it is added again",
            link.dn, link.file
        )
    }));
    let mended = links.len();
    links.extend(coming);
    let net = chain::net(&links, &directory, &known, args.existing);

    let mut new = Applied::default();
    if !done.baselines.contains_key(&device) {
        new.baselines.insert(device, from.clone());
    }
    let mut at = mended;
    for (one, length) in loaded.iter().zip(ranges) {
        let verdicts = &net.verdicts[at..at + length];
        at += length;
        new.files.push(AppliedFile {
            version: one.file.version.clone(),
            component: one.file.component.clone(),
            names: one.names.clone(),
            hash: one.hash.clone(),
            conflicts: verdicts
                .iter()
                .filter(|v| matches!(v, Verdict::Conflict(_)))
                .count(),
        });
    }
    let record = (new != Applied::default())
        .then(|| (record_key, new.want(&record_dn, record.entry.as_ref())));
    let chain: Vec<Value> = versions(&updates)
        .iter()
        .filter(|v| **v > from && **v <= *to)
        .map(|v| Value::from(v.to_string()))
        .collect();
    let title = if from < *to {
        format!("{from} → {to}")
    } else {
        format!("{to}")
    };
    Ok(Planned {
        title,
        hashes: loaded
            .iter()
            .map(|l| (l.shown.clone(), l.hash.clone()))
            .collect(),
        links,
        net,
        record,
        notes,
        facts: vec![
            ("from", Value::from(from.to_string())),
            ("to", Value::from(to.to_string())),
            ("versions", Value::List(chain)),
            ("recorded", Value::Int(recorded)),
            (
                "mended",
                Value::Int(i64::try_from(mended).unwrap_or(i64::MAX)),
            ),
        ],
    })
}

/// The versions of which there are files, in order.
fn versions(updates: &[UpdateFile]) -> Vec<Version> {
    let mut versions: Vec<Version> = updates.iter().map(|u| u.version.clone()).collect();
    versions.sort();
    versions.dedup();
    versions
}

fn components(
    args: &LdapUpdateArgs,
    updates: &[UpdateFile],
    tree: &Tree,
) -> Result<Vec<String>, Stop> {
    let Some(chosen) = &args.components else {
        return Ok(COMPONENTS.iter().map(|c| (*c).to_owned()).collect());
    };
    for component in chosen {
        if !updates.iter().any(|u| u.component == *component) {
            let mut known: Vec<&str> = updates.iter().map(|u| u.component.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            return Err(Stop::refuse(format!(
                "there is no file of component `{component}` in {}; there are {}",
                tree.origin,
                known.join(", ")
            )));
        }
    }
    Ok(chosen.clone())
}

fn load(
    tree: &Tree,
    file: &UpdateFile,
    names: &Names,
    base: &Dn,
    schema: &Schema,
    contents: bool,
) -> Result<Loaded, Vec<(String, Problem)>> {
    let shown = tree.shown(&file.path);
    let records = if contents {
        tree.records(&file.path)
    } else {
        tree.records_unloaded(&file.path)
    };
    let records = records.map_err(|found| {
        found
            .into_iter()
            .map(|p| (shown.clone(), p))
            .collect::<Vec<_>>()
    })?;
    let mut used = BTreeMap::new();
    let mut links = Vec::with_capacity(records.len());
    let mut problems = Vec::new();
    for mut record in records {
        names.apply(&mut record, Some(base), &mut used);
        match link(&shown, record, schema) {
            Ok(link) => links.push(link),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let hash = applied::hash(tree.get(&file.path).unwrap_or_default());
    Ok(Loaded {
        file: file.clone(),
        shown,
        hash,
        names: applied::names_text(&used),
        links,
    })
}

/// The highest version of which at least half the marks are found. Used once, to adopt a directory.
#[expect(
    clippy::too_many_arguments,
    reason = "all of them are what the guess rests on"
)]
fn found_version(
    args: &LdapUpdateArgs,
    server: &Server,
    updates: &[UpdateFile],
    tree: &Tree,
    base: &Dn,
    schema: &Schema,
    world: &View<'_>,
    notes: &mut Vec<String>,
) -> Result<Version, Stop> {
    let mut links: Vec<(Version, Link)> = Vec::new();
    for file in updates
        .iter()
        .filter(|u| COMPONENTS.contains(&u.component.as_str()))
    {
        match load(tree, file, &args.names, base, schema, false) {
            Ok(one) => links.extend(one.links.into_iter().map(|l| (file.version.clone(), l))),
            Err(_) => notes.push(format!(
                "{} is malformed and was left out when looking for the version",
                tree.shown(&file.path)
            )),
        }
    }
    let all: Vec<Link> = links.iter().map(|(_, l)| l.clone()).collect();
    let places = chain::places(&all, schema);
    let keys: Vec<EntryKey> = places
        .iter()
        .map(|(place, dn)| EntryKey::at(server, dn, place))
        .collect();
    let states = world.all::<LdapEntry>(&keys)?;
    let directory: Directory = places.into_keys().zip(states).collect();
    let mut found = None;
    for version in versions(updates) {
        let marks: Vec<Evidence> = links
            .iter()
            .filter(|(v, _)| *v == version)
            .filter_map(|(_, l)| evidence(l, &directory, schema))
            .collect();
        let additive: Vec<Evidence> = marks.iter().copied().filter(|m| m.additive).collect();
        let telling = if additive.is_empty() { marks } else { additive };
        let seen = telling.iter().filter(|m| m.seen).count();
        if !telling.is_empty() && seen * 2 >= telling.len() {
            found = Some(version);
        }
    }
    found.ok_or_else(|| {
        Stop::refuse(format!(
            "the version of the data cannot be told: no update of {} has left its marks below {base}. Say it with \
             `from: VERSION`",
            tree.origin
        ))
    })
}
