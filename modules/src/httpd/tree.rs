//! All files of a server's configuration, found by way of `Include` from the first one on.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use runbook_engine::host::FileType;
use runbook_engine::module::{Stop, reference};
use runbook_engine::world::View;

use super::conf::{Conf, Directive, Says};
use super::effective::{Effective, Server};
use crate::command::matches::{GlobKind, Pattern};
use crate::file::FileKind;
use crate::file::contents::bytes_of;
use crate::file::listing::{Entry, ListingKind};
use crate::file::state::{FileKey, join, parent};

/// The files of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The first one.
    pub root: String,
    /// The directory that relative paths begin at.
    pub server_root: String,
    /// By path, as it is named by what includes it.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The files that each `Include` finds, by its argument as an absolute path, in the order in which they are read.
    pub found: BTreeMap<String, Vec<String>>,
}

/// Deeper than this the server takes it for a circle.
const DEEPEST: usize = 128;

impl Tree {
    /// Reads all of them, for such a server. Conditions are not looked at: what is included under one is read, too.
    pub fn gather(
        world: &View<'_>,
        root: &str,
        server_root: Option<&str>,
        server: &Server,
    ) -> Result<Self, Stop> {
        let mut tree = Self {
            root: root.to_owned(),
            ..Self::default()
        };
        let first = world.get::<FileKind>(&FileKey::following(root))?;
        if first.is != FileType::File {
            return Err(Stop::refuse(format!(
                "there is no configuration at {root}; name its first file with `conf`"
            )));
        }
        tree.files.insert(root.to_owned(), bytes_of(&first, world)?);
        server_root
            .unwrap_or_else(|| parent(root))
            .clone_into(&mut tree.server_root);
        let said = Effective::of(&tree, server);
        let said = said.all("ServerRoot").next_back();
        if let Some(root) = said.and_then(|d| d.directive.words.first()) {
            root.clone_into(&mut tree.server_root);
        }
        for _ in 0..DEEPEST {
            let names = tree.includes(&Effective::of(&tree, server));
            if names.is_empty() {
                return Ok(tree);
            }
            tree.include(world, &names)?;
        }
        Err(Stop::refuse(format!(
            "the files that {root} includes go round in a circle"
        )))
    }

    /// A path as the server takes it.
    #[must_use]
    pub fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            crate::file::state::tidy(path)
        } else {
            join(&self.server_root, path)
        }
    }

    /// A new file, where an `Include` finds its name; false where none does.
    pub fn add(&mut self, path: &str, text: &[u8]) -> bool {
        let mut any = false;
        for (name, found) in &mut self.found {
            let fits = match Sort::of(name) {
                Sort::Names { dir, pattern } => path
                    .strip_prefix(dir)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .filter(|rest| !rest.contains('/'))
                    .is_some_and(|rest| expression(pattern).is_ok_and(|p| p.is_match(rest))),
                Sort::Path => name == path || crate::file::state::parent(path) == name,
                Sort::Deeper => false,
            };
            if fits {
                any = true;
                if !found.iter().any(|p| p == path) {
                    found.push(path.to_owned());
                    found.sort_unstable();
                }
            }
        }
        if any {
            self.files.insert(path.to_owned(), text.to_vec());
        }
        any
    }

    /// A file that the server does not find any more.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
        for found in self.found.values_mut() {
            found.retain(|p| p != path);
        }
    }

    /// What the files include and has not been looked for: with what its variables stand for, where it counts, else as it is
    /// written.
    fn includes(&self, effective: &Effective) -> Vec<String> {
        let counts = effective.directives.iter().filter(|d| !d.opens);
        let mut names: BTreeSet<String> = counts
            .filter_map(|d| included(&d.directive))
            .map(|name| self.absolute(name))
            .collect();
        for text in self.files.values() {
            for line in &Conf::read(text).lines {
                let Says::Directive(directive) = &line.says else {
                    continue;
                };
                let name = included(directive).filter(|name| !name.contains("${"));
                names.extend(name.map(|name| self.absolute(name)));
            }
        }
        names.retain(|name| !self.found.contains_key(name));
        names.into_iter().collect()
    }

    /// Finds and reads what these names stand for.
    fn include(&mut self, world: &View<'_>, names: &[String]) -> Result<(), Stop> {
        let mut needs = Vec::new();
        for name in names {
            needs.push(match Sort::of(name) {
                Sort::Path => reference::<FileKind>(&FileKey::following(name)),
                Sort::Names { dir, .. } => reference::<ListingKind>(&FileKey::following(dir)),
                Sort::Deeper => reference::<GlobKind>(&Pattern(name.clone())),
            });
        }
        world.need(&needs)?;
        let mut paths = BTreeMap::new();
        for name in names {
            paths.insert(name.clone(), found_by(world, name)?);
        }
        let new: BTreeSet<String> = paths
            .values()
            .flatten()
            .filter(|p| !self.files.contains_key(*p))
            .cloned()
            .collect();
        let keys: Vec<FileKey> = new.iter().map(|p| FileKey::following(p)).collect();
        let states = world.all::<FileKind>(&keys)?;
        for (path, state) in new.iter().zip(&states) {
            if state.is == FileType::File {
                self.files.insert(path.clone(), bytes_of(state, world)?);
            }
        }
        self.found.extend(paths);
        Ok(())
    }
}

/// What a directive includes.
#[must_use]
pub fn included(directive: &Directive) -> Option<&str> {
    let includes = directive.is("Include") || directive.is("IncludeOptional");
    directive
        .words
        .first()
        .filter(|name| includes && !name.is_empty())
        .map(String::as_str)
}

/// What the argument of an `Include` is.
enum Sort<'a> {
    /// A file or a directory.
    Path,
    /// Files of one directory, by a pattern.
    Names { dir: &'a str, pattern: &'a str },
    /// A pattern of directories, too.
    Deeper,
}

impl Sort<'_> {
    fn of(name: &str) -> Sort<'_> {
        match name.rsplit_once('/') {
            Some((dir, pattern)) if Pattern::is_one(pattern) && !Pattern::is_one(dir) => {
                Sort::Names { dir, pattern }
            }
            _ if Pattern::is_one(name) => Sort::Deeper,
            _ => Sort::Path,
        }
    }
}

/// The files that a name stands for, in the order in which the server reads them.
fn found_by(world: &View<'_>, name: &str) -> Result<Vec<String>, Stop> {
    let in_dir = |dir: &str, fits: &dyn Fn(&Entry) -> bool| -> Result<Vec<String>, Stop> {
        let entries = world.get::<ListingKind>(&FileKey::following(dir))?;
        let is_one = |e: &&Entry| matches!(e.is, FileType::File | FileType::Link) && fits(e);
        let mut paths: Vec<String> = entries
            .iter()
            .filter(is_one)
            .map(|e| join(dir, &e.path))
            .collect();
        paths.sort_unstable();
        Ok(paths)
    };
    match Sort::of(name) {
        Sort::Names { dir, pattern } => {
            let pattern = expression(pattern)?;
            in_dir(dir, &|e| !e.path.contains('/') && pattern.is_match(&e.path))
        }
        Sort::Deeper => world.get::<GlobKind>(&Pattern(name.to_owned())),
        Sort::Path => match world.get::<FileKind>(&FileKey::following(name))?.is {
            FileType::File => Ok(vec![name.to_owned()]),
            // All that is below it.
            FileType::Directory => in_dir(name, &|_| true),
            _ => Ok(Vec::new()),
        },
    }
}

/// A shell pattern for a name, as a regular expression. A dot at the beginning is not found by `*`.
fn expression(pattern: &str) -> Result<Regex, Stop> {
    let out = match (pattern.strip_prefix('*'), pattern.strip_prefix('?')) {
        (Some(rest), _) => format!("^(?:[^.].*)?{}$", body(rest)),
        (_, Some(rest)) => format!("^[^.]{}$", body(rest)),
        _ => format!("^{}$", body(pattern)),
    };
    Regex::new(&out).map_err(|_| Stop::refuse(format!("`{pattern}` is no pattern of file names")))
}

fn body(pattern: &str) -> String {
    let mut out = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                out.push('[');
                if matches!(letters.peek(), Some('!' | '^')) {
                    letters.next();
                    out.push('^');
                }
                let set: String = letters.by_ref().take_while(|c| *c != ']').collect();
                out.push_str(&set.replace('\\', "\\\\").replace('[', "\\["));
                out.push(']');
            }
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::expression;

    #[test]
    fn patterns_of_names() {
        for (pattern, name, is) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            ("*.conf", "a.conf.bak", false),
            ("*", "a", true),
            ("?x", "ax", true),
            ("?x", ".x", false),
            ("[0-9]*.load", "10-a.load", true),
            ("[!0-9]*", "1", false),
            ("a+b.*", "a+b.c", true),
        ] {
            assert_eq!(
                expression(pattern).unwrap().is_match(name),
                is,
                "{pattern} {name}"
            );
        }
    }
}
