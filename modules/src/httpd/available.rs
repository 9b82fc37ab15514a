//! Debian's layout of modules: what could be loaded lies in `mods-available`, what is loaded has a link in `mods-enabled`.
//!
//! Source: a2enmod(8), and `README` of Debian's `/etc/apache2`: `NAME.load` loads a module, `NAME.conf` configures it;
//! comments in `NAME.load` say what it depends on (`# Depends: A B`) and what it does not go with (`# Conflicts: A B`).

use std::collections::BTreeSet;

use runbook_engine::host::FileType;
use runbook_engine::module::{Stop, reference};
use runbook_engine::world::View;

use super::conf::{Conf, Says};
use super::effective::Placed;
use super::site::Site;
use crate::file::FileKind;
use crate::file::contents::bytes_of;
use crate::file::listing::ListingKind;
use crate::file::state::{FileKey, FileState, join, parent};

/// The two directories.
#[derive(Debug, Clone)]
pub struct Available {
    folder: String,
    enabled: String,
    /// The names of the files in the first.
    names: Vec<String>,
    /// The links in the second.
    links: BTreeSet<String>,
}

/// A module as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// `php8.2`.
    name: String,
    /// What its file loads: `php_module`.
    loads: Vec<String>,
    depends: Vec<String>,
    conflicts: Vec<String>,
}

impl Described {
    fn read(name: &str, text: &[u8]) -> Self {
        let conf = Conf::read(text);
        let loads = conf.lines.iter().filter_map(|l| l.directive("LoadModule"));
        let after = |begin: &str| {
            let comments = text
                .split(|b| *b == b'\n')
                .filter_map(|l| l.trim_ascii_start().strip_prefix(b"#"));
            let said = comments
                .map(|c| String::from_utf8_lossy(c).trim().to_owned())
                .filter_map(|c| c.strip_prefix(begin).map(str::to_owned));
            said.flat_map(|c| c.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .collect()
        };
        Self {
            name: name.to_owned(),
            loads: loads.filter_map(|d| d.words.first().cloned()).collect(),
            depends: after("Depends:"),
            conflicts: after("Conflicts:"),
        }
    }

    /// What it loads under this name, or first.
    #[must_use]
    pub fn identifier(&self, bare: &str) -> String {
        let own = format!("{bare}_module");
        let first = || self.loads.first().cloned();
        if self.loads.contains(&own) {
            return own;
        }
        first().unwrap_or(own)
    }

    fn is_loaded(&self, site: &Site<'_>) -> bool {
        !self.loads.is_empty() && self.loads.iter().all(|id| site.effective.has_module(id))
    }
}

impl Available {
    /// The layout, where the server has it.
    pub fn look(site: &Site<'_>, world: &View<'_>) -> Result<Option<Self>, Stop> {
        let mut found = site.tree.found.keys();
        let Some(pattern) = found.find(|p| p.ends_with("/mods-enabled/*.load")) else {
            return Ok(None);
        };
        let enabled = parent(pattern).to_owned();
        let folder = join(parent(&enabled), "mods-available");
        let [at, links] = [&folder, &enabled].map(|path| FileKey::following(path));
        world.need(&[reference::<FileKind>(&at), reference::<ListingKind>(&at)])?;
        if world.get::<FileKind>(&at)?.is != FileType::Directory {
            return Ok(None);
        }
        let names = world.get::<ListingKind>(&at)?;
        let links = world.get::<ListingKind>(&links)?;
        let links = links.into_iter().filter(|e| e.is == FileType::Link);
        Ok(Some(Self {
            names: names.into_iter().map(|e| e.path).collect(),
            links: links.map(|e| join(&enabled, &e.path)).collect(),
            folder,
            enabled,
        }))
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    fn at(&self, name: &str) -> FileKey {
        FileKey::following(&join(&self.folder, name))
    }

    /// The texts of files in the folder, read at once; of what is no file none.
    fn texts(&self, names: &[String], world: &View<'_>) -> Result<Vec<Vec<u8>>, Stop> {
        let keys: Vec<FileKey> = names.iter().map(|name| self.at(name)).collect();
        let states = world.all::<FileKind>(&keys)?;
        let text = |state: &FileState| match state.is {
            FileType::File => bytes_of(state, world),
            _ => Ok(Vec::new()),
        };
        states.iter().map(text).collect()
    }

    fn described(&self, names: &[String], world: &View<'_>) -> Result<Vec<Described>, Stop> {
        let files: Vec<String> = names.iter().map(|name| format!("{name}.load")).collect();
        let texts = self.texts(&files, world)?;
        let all = names.iter().zip(&texts);
        Ok(all
            .map(|(name, text)| Described::read(name, text))
            .collect())
    }

    /// The module of this name, or else the one that loads what has this name as its identifier.
    pub fn find(&self, bare: &str, world: &View<'_>) -> Result<Option<Described>, Stop> {
        if self.has(&format!("{bare}.load")) {
            return Ok(self.described(&[bare.to_owned()], world)?.pop());
        }
        let names = self.names.iter().filter_map(|n| n.strip_suffix(".load"));
        let names: Vec<String> = names.map(str::to_owned).collect();
        let mut found = self.described(&names, world)?;
        found.retain(|described| {
            described
                .loads
                .iter()
                .any(|id| id == &format!("{bare}_module"))
        });
        match &found[..] {
            [] | [_] => Ok(found.pop()),
            several => {
                let names: Vec<&str> = several.iter().map(|d| d.name.as_str()).collect();
                Err(Stop::refuse(format!(
                    "{bare}_module is loaded by more than one in {}: {}; name one of them",
                    self.folder,
                    names.join(", ")
                )))
            }
        }
    }

    /// Links for it and for what it depends on.
    pub fn enable(
        &self,
        own: &Described,
        site: &mut Site<'_>,
        world: &View<'_>,
    ) -> Result<(), Stop> {
        let mut order = Vec::new();
        self.needed(own, site, world, &mut order)?;
        let files: Vec<String> = order
            .iter()
            .flat_map(|name| ["load", "conf"].map(|end| format!("{name}.{end}")))
            .filter(|file| self.has(file))
            .collect();
        for (file, text) in files.iter().zip(self.texts(&files, world)?) {
            self.link(file, &text, site)?;
        }
        Ok(())
    }

    /// Its name and those of what it depends on and is not loaded yet.
    fn needed(
        &self,
        own: &Described,
        site: &Site<'_>,
        world: &View<'_>,
        order: &mut Vec<String>,
    ) -> Result<(), Stop> {
        order.push(own.name.clone());
        let place = join(&self.folder, &format!("{}.load", own.name));
        let missing = own.depends.iter().find(|d| !self.has(&format!("{d}.load")));
        if let Some(missing) = missing {
            return Err(Stop::refuse(format!(
                "{place}: {} depends on {missing}, which is not in {}",
                own.name, self.folder
            )));
        }
        let others = [&own.conflicts[..], &own.depends].concat();
        let others = self.described(&others, world)?;
        let (conflicts, depends) = others.split_at(own.conflicts.len());
        if let Some(other) = conflicts.iter().find(|other| other.is_loaded(site)) {
            return Err(Stop::refuse(format!(
                "{place}: {} does not go with {}, which is loaded; take that away first with `httpd_module: {{name: {}, state: \
                 absent}}`",
                own.name, other.name, other.name
            )));
        }
        for other in depends {
            if !order.contains(&other.name) && !other.is_loaded(site) {
                self.needed(other, site, world, order)?;
            }
        }
        Ok(())
    }

    fn link(&self, name: &str, text: &[u8], site: &mut Site<'_>) -> Result<(), Stop> {
        let folder = self.folder.rsplit('/').next().unwrap_or_default();
        let in_tree = join(&self.enabled, name);
        site.enable(&in_tree, &format!("../{folder}/{name}"), text)
    }

    /// A new module in the layout.
    pub fn make(
        &self,
        name: &str,
        line: &str,
        site: &mut Site<'_>,
        world: &View<'_>,
    ) -> Result<(), Stop> {
        let file = format!("{name}.load");
        let path = join(&self.folder, &file);
        let there = self.described(&[name.to_owned()], world)?;
        if there.iter().any(|d| d.loads.len() > 1) {
            return Err(Stop::refuse(format!(
                "{path} loads more than one module; change its lines there"
            )));
        }
        let text = format!("{line}\n").into_bytes();
        site.put(&path, line, &text);
        self.link(&file, &text, site)
    }

    /// The links of what loads this line go, where the line is all that stands there; false where it is not.
    pub fn disable(&self, line: &Placed, site: &mut Site<'_>) -> Result<bool, Stop> {
        let file = line.path.rsplit('/').next().unwrap_or_default();
        let Some(name) = file
            .strip_suffix(".load")
            .filter(|_| parent(&line.path) == self.enabled)
        else {
            return Ok(false);
        };
        let conf = Conf::read(site.text(&line.path));
        let says = conf.lines.iter().filter(|l| l.says != Says::Nothing);
        if says.count() != 1 {
            return Ok(false);
        }
        if !self.links.contains(&line.path) {
            return Ok(false);
        }
        self.needed_by_none(name, site)?;
        site.disable(&line.path);
        let conf = join(&self.enabled, &format!("{name}.conf"));
        if self.links.contains(&conf) {
            site.disable(&conf);
        }
        Ok(true)
    }

    /// Nothing that is loaded depends on it.
    fn needed_by_none(&self, name: &str, site: &Site<'_>) -> Result<(), Stop> {
        for (path, text) in &site.tree.files {
            let other = path
                .rsplit('/')
                .next()
                .and_then(|f| f.strip_suffix(".load"));
            let Some(other) = other.filter(|_| parent(path) == self.enabled) else {
                continue;
            };
            if Described::read(other, text)
                .depends
                .iter()
                .any(|d| d == name)
            {
                return Err(Stop::refuse(format!(
                    "{path}: {other} depends on {name}; take it away first with `httpd_module: {{name: {other}, state: absent}}`"
                )));
            }
        }
        Ok(())
    }
}
