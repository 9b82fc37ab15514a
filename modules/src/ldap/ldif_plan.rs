//! `ldap_update` with `ldif` or `shipped`: LDIF files that are compared with the directory each time.

use std::collections::BTreeMap;

use runbook_engine::module::Stop;
use runbook_engine::world::View;

use super::applied;
use super::chain;
use super::dn::Dn;
use super::ldif::{Problem, Record};
use super::listing::{LdapListing, ListingKey};
use super::names::WRITTEN_BASE;
use super::planning::{Planned, ask, directory, known_schema, link, refuse};
use super::replacing::{self, Passwords};
use super::schema_names::{self, SchemaNames};
use super::server::Server;
use super::session::Depth;
use super::tree::Tree;
use super::update::LdapUpdateArgs;

/// Records with the files that they stand in, and all that is wrong with these.
#[derive(Default)]
struct Loaded {
    records: Vec<(String, Record)>,
    problems: Vec<(String, Problem)>,
    hashes: BTreeMap<String, String>,
}

impl Loaded {
    fn add(&mut self, shown: &str, content: &[u8], records: Result<Vec<Record>, Vec<Problem>>) {
        self.hashes.insert(shown.to_owned(), applied::hash(content));
        let named = |problem| (shown.to_owned(), problem);
        match records {
            Ok(records) => self
                .records
                .extend(records.into_iter().map(|r| (shown.to_owned(), r))),
            Err(problems) => self.problems.extend(problems.into_iter().map(named)),
        }
    }
}

/// `ldif: [files]`: files of the controller. What they name by `:<` is looked for in `files`.
pub(super) fn given(
    args: &LdapUpdateArgs,
    server: &Server,
    files: &[String],
    tree: impl Fn() -> Result<Tree, Stop>,
    world: &View<'_>,
) -> Result<Planned, Stop> {
    let contents = || {
        if args.files.is_some() {
            tree()
        } else {
            Ok(Tree::default())
        }
    };
    ask(world, server, Vec::new(), &contents)?;
    let contents = contents()?;
    let content = |path: &str| {
        let path = path.trim_start_matches("./");
        contents.get(path).map(<[u8]>::to_vec)
    };
    let mut loaded = Loaded::default();
    for name in files {
        let file = world.local(name)?;
        let text = file.content.to_vec();
        let tree = Tree::new("", [(name.clone(), text)].into());
        let records = tree.records_unloaded(name).and_then(|mut records| {
            let problems: Vec<Problem> =
                records.iter_mut().flat_map(|r| r.load(&content)).collect();
            if problems.is_empty() {
                Ok(records)
            } else {
                Err(problems)
            }
        });
        loaded.add(name, &file.content, records);
    }
    planned(args, server, files.join(", "), loaded, args.base(), world)
}

/// `shipped: [files]`: files that come with the archive, found in `files`.
pub(super) fn shipped(
    args: &LdapUpdateArgs,
    server: &Server,
    files: &[String],
    tree: impl Fn() -> Result<Tree, Stop>,
    world: &View<'_>,
) -> Result<Planned, Stop> {
    ask(world, server, Vec::new(), &tree)?;
    let tree = tree()?;
    let mut loaded = Loaded::default();
    for name in files {
        let path = tree.find(name).map_err(Stop::Refuse)?;
        let content = tree.get(path).unwrap_or_default();
        loaded.add(&tree.shown(path), content, tree.records(path));
    }
    let base = match args.base() {
        Some(base) => base,
        None => Dn::parse(WRITTEN_BASE).map_err(|e| Stop::refuse(e.to_string()))?,
    };
    planned(args, server, files.join(", "), loaded, Some(base), world)
}

fn planned(
    args: &LdapUpdateArgs,
    server: &Server,
    title: String,
    loaded: Loaded,
    base: Option<Dn>,
    world: &View<'_>,
) -> Result<Planned, Stop> {
    let Loaded {
        mut records,
        mut problems,
        hashes,
    } = loaded;
    let known = known_schema(server, world)?;
    for (_, record) in &mut records {
        args.names
            .apply(record, base.as_ref(), &mut BTreeMap::new());
    }
    let is_schema =
        |record: &Record| Dn::parse(&record.dn).is_ok_and(|dn| schema_names::is_schema(&dn));
    if records.iter().any(|(_, record)| is_schema(record)) {
        let place = Dn::parse(schema_names::PLACE).map_err(|e| Stop::refuse(e.to_string()))?;
        let listing = ListingKey::new(server, &place, Depth::Children, None);
        let mut names = SchemaNames::of(&world.get::<LdapListing>(&listing)?);
        for (_, record) in &mut records {
            names.settle(record);
        }
    }
    let mut links = Vec::new();
    for (name, record) in records {
        match link(&name, record, &known) {
            Ok(link) => links.push(link),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(refuse(&problems));
    }
    let (links, directory) = match args.replaced_branch().map_err(Stop::Refuse)? {
        Some(branch) => replacing::exactly(links, &branch, Passwords::Keep, server, &known, world)?,
        None => {
            let directory = directory(server, &links, &known, world)?;
            (links, directory)
        }
    };
    let net = chain::net(&links, &directory, &known, args.existing);
    Ok(Planned {
        title,
        links,
        net,
        record: None,
        notes: Vec::new(),
        facts: Vec::new(),
        hashes,
    })
}
