//! Debian's layout of modules: what could be loaded lies in `mods-available`, what is loaded has a link in `mods-enabled`.
//!
//! Source: a2enmod(8), and `README` of Debian's `/etc/apache2`: `NAME.load` loads a module, `NAME.conf` configures it;
//! comments in `NAME.load` say what it depends on (`# Depends: A B`) and what it does not go with (`# Conflicts: A B`).

use std::collections::BTreeSet;

use runbook_engine::host::FileType;
use runbook_engine::module::{Stop, reference};
use runbook_engine::world::View;

use super::conf::{Conf, Line};
use super::effective::Placed;
use super::rival::are_rivals;
use super::site::Site;
use super::words::written;
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
    /// What its file loads, and from where: `php_module`, `/usr/lib/apache2/modules/libphp8.2.so`.
    pub loads: Vec<(String, String)>,
    depends: Vec<String>,
    conflicts: Vec<String>,
    /// Its file's text.
    text: Vec<u8>,
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
            loads: loads
                .filter_map(|d| Some((d.words.first()?.clone(), d.words.get(1)?.clone())))
                .collect(),
            depends: after("Depends:"),
            conflicts: after("Conflicts:"),
            text: text.to_vec(),
        }
    }

    /// What it loads under this name, or alone.
    #[must_use]
    pub fn identifier(&self, bare: &str) -> String {
        let own = format!("{bare}_module");
        match &self.loads[..] {
            [(only, _)] => only.clone(),
            _ => own,
        }
    }

    fn loads(&self, id: &str) -> bool {
        self.loads.iter().any(|(own, _)| own == id)
    }

    fn is_loaded(&self, site: &Site<'_>) -> bool {
        let is = |(id, _): &(String, String)| site.effective.has_module(id);
        !self.loads.is_empty() && self.loads.iter().all(is)
    }

    /// Does it load something that cannot be beside something that the other loads?
    fn is_rival(&self, other: &Self) -> bool {
        let theirs = |id: &str| other.loads.iter().any(|(other, _)| are_rivals(id, other));
        self.loads.iter().any(|(id, _)| theirs(id))
    }

    /// Its text with another file for what it loads under this identifier.
    fn loading(&self, id: &str, file: &str) -> Option<Vec<u8>> {
        let conf = Conf::read(&self.text);
        let is = |line: &&Line| {
            let load = line.directive("LoadModule");
            load.is_some_and(|d| d.words.first().is_some_and(|w| w == id))
        };
        let at = conf.lines.iter().find(is)?.at.clone();
        let mut text = self.text.clone();
        let new = format!("LoadModule {id} {}\n", written(file));
        text.splice(at, new.into_bytes());
        Some(text)
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
        let id = format!("{bare}_module");
        found.retain(|described| described.loads(&id));
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

    /// The module and what it depends on and is not loaded yet.
    pub fn order(
        &self,
        own: &Described,
        site: &Site<'_>,
        world: &View<'_>,
    ) -> Result<Vec<Described>, Stop> {
        let mut order = Vec::new();
        self.needed(own, site, world, &mut order)?;
        Ok(order)
    }

    /// Links for these modules and their configuration; what one of them loads may be loaded from another file.
    pub fn enable(
        &self,
        order: &[Described],
        from: Option<(&str, &str)>,
        site: &mut Site<'_>,
        world: &View<'_>,
    ) -> Result<(), Stop> {
        let confs: Vec<String> = order
            .iter()
            .map(|described| format!("{}.conf", described.name))
            .filter(|file| self.has(file))
            .collect();
        let texts = self.texts(&confs, world)?;
        for described in order {
            let file = format!("{}.load", described.name);
            let other = from.filter(|(id, to)| {
                let is = |(own, file): &(String, String)| {
                    own == id && site.tree.absolute(file) != site.tree.absolute(to)
                };
                described.loads.iter().any(is)
            });
            let text = match other.and_then(|(id, to)| described.loading(id, to)) {
                Some(text) => {
                    let says = other.map_or("", |(_, to)| to);
                    site.put(&join(&self.folder, &file), says, &text);
                    text
                }
                None => described.text.clone(),
            };
            self.link(&file, &text, site)?;
        }
        for (file, text) in confs.iter().zip(&texts) {
            self.link(file, text, site)?;
        }
        Ok(())
    }

    /// The module and those that it depends on and are not loaded yet.
    fn needed(
        &self,
        own: &Described,
        site: &Site<'_>,
        world: &View<'_>,
        order: &mut Vec<Described>,
    ) -> Result<(), Stop> {
        order.push(own.clone());
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
        // What it cannot be beside gives way.
        let hinders = |other: &&Described| other.is_loaded(site) && !other.is_rival(own);
        if let Some(other) = conflicts.iter().find(hinders) {
            return Err(Stop::refuse(format!(
                "{place}: {} does not go with {}, which is loaded; take that away first with `httpd_module: {{name: {}, state: \
                 absent}}`",
                own.name, other.name, other.name
            )));
        }
        for other in depends {
            if !order.iter().any(|o| o.name == other.name) && !other.is_loaded(site) {
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
    pub fn make(&self, name: &str, line: &str, site: &mut Site<'_>) -> Result<(), Stop> {
        let file = format!("{name}.load");
        let text = format!("{line}\n").into_bytes();
        site.put(&join(&self.folder, &file), line, &text);
        self.link(&file, &text, site)
    }

    /// The links of the file in which this line stands go, where it is that of the module that is asked for, or loads nothing
    /// else; false where it is no such file.
    pub fn disable(&self, line: &Placed, asked: &str, site: &mut Site<'_>) -> Result<bool, Stop> {
        let file = line.path.rsplit('/').next().unwrap_or_default();
        let Some(name) = file
            .strip_suffix(".load")
            .filter(|_| self.links.contains(&line.path))
        else {
            return Ok(false);
        };
        let loads = Described::read(name, site.text(&line.path)).loads;
        if name != asked && loads.len() > 1 {
            return Err(Stop::refuse(format!(
                "{}: it is loaded together with others; take all of them away with `httpd_module: {{name: {name}, state: absent}}`",
                line.place()
            )));
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
