//! `ldap_update` with `schema: V`.

use std::collections::BTreeMap;

use runbook_engine::module::{Stop, reference};
use runbook_engine::value::Value;
use runbook_engine::world::View;

use super::applied;
use super::chain;
use super::dn::Dn;
use super::ldif::Problem;
use super::listing::{LdapListing, ListingKey};
use super::matching::without_index;
use super::planning::{Planned, ask, directory, known_schema, link, refuse};
use super::schema_names::{self, SchemaNames};
use super::server::Server;
use super::session::Depth;
use super::tree::Tree;
use super::update::LdapUpdateArgs;
use super::version::Version;

/// `schema: V`.
pub(super) fn schema(
    args: &LdapUpdateArgs,
    server: &Server,
    version: &Version,
    tree: impl Fn() -> Result<Tree, Stop>,
    world: &View<'_>,
) -> Result<Planned, Stop> {
    let base = Dn::parse(schema_names::PLACE).map_err(|e| Stop::refuse(e.to_string()))?;
    let listing = ListingKey::new(server, &base, Depth::Children, None);
    ask(
        world,
        server,
        vec![reference::<LdapListing>(&listing)],
        &tree,
    )?;
    let tree = tree()?;
    let paths = tree.schema_files(version);
    if paths.is_empty() {
        return Err(Stop::refuse(format!(
            "there are no files `…-modify.ldif` of schema {version} in {}",
            tree.origin
        )));
    }
    let known = known_schema(server, world)?;
    let names = world.get::<LdapListing>(&listing)?;
    if !names.exists {
        return Err(Stop::refuse(format!(
            "{} does not show cn=schema,cn=config to this bind name; bind as the administrator of cn=config",
            server.shown()
        )));
    }
    let numbered = SchemaNames::of(&names);
    let mut problems = Vec::new();
    let mut links = Vec::new();
    let mut hashes = BTreeMap::new();
    let mut files: Vec<(usize, String)> = Vec::new();
    for path in paths {
        // They build on each other in the order of their numbers in the files.
        let records = match tree.records(&path) {
            Ok(records) => records,
            Err(found) => {
                problems.extend(found.into_iter().map(|p| (tree.shown(&path), p)));
                continue;
            }
        };
        let order = records.first().map_or(0, |r| index_of(&r.dn));
        files.push((order, path));
    }
    if !problems.is_empty() {
        return Err(refuse(&problems));
    }
    files.sort();
    for (_, path) in files {
        let shown = tree.shown(&path);
        hashes.insert(
            shown.clone(),
            applied::hash(tree.get(&path).unwrap_or_default()),
        );
        for mut record in tree.records(&path).unwrap_or_default() {
            let line = record.line;
            let name = Dn::parse(&record.dn)
                .ok()
                .and_then(|d| d.rdns().first().and_then(|r| r.parts.first().cloned()));
            let name = name
                .map(|(_, value)| without_index(&value).to_owned())
                .unwrap_or_default();
            match numbered.find(&name) {
                Some(dn) => {
                    record.dn = dn.to_string();
                    match link(&shown, record, &known) {
                        Ok(link) => links.push(link),
                        Err(problem) => problems.push(problem),
                    }
                }
                None => problems.push((
                    shown.clone(),
                    Problem {
                        line,
                        message: format!(
                            "the server has no schema `{name}`; it has {}",
                            numbered.all().join(", ")
                        ),
                    },
                )),
            }
        }
    }
    if !problems.is_empty() {
        return Err(refuse(&problems));
    }
    let directory = directory(server, &links, &known, world)?;
    let net = chain::net(&links, &directory, &known, args.existing);
    Ok(Planned {
        title: format!("schema {version}"),
        links,
        net,
        record: None,
        notes: Vec::new(),
        facts: vec![("schema", Value::from(version.to_string()))],
        hashes,
    })
}

/// The number in `cn={4}dicom,…`.
fn index_of(dn: &str) -> usize {
    let digits: String = dn
        .chars()
        .skip_while(|c| *c != '{')
        .skip(1)
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(usize::MAX)
}
