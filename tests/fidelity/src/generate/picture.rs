//! What is thought to be on the host while a playbook is made. It only guides chance: nothing is judged by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Random;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    Directory,
    File,
    Link,
    /// Something that a check cannot know.
    Murky,
}

/// What is thought to be on the host. Paths are below the folder on the host, without a slash at the front.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    things: BTreeMap<String, Thing>,
    /// Paths that a task has written.
    written: BTreeSet<String>,
}

const NAMES: [&str; 12] = [
    "a.conf", "b.conf", "c.ini", "d", "e.txt", "list", "note", "key", "main.cf", "x", "y", "hosts",
];
const DIRECTORIES: [&str; 8] = [
    "etc",
    "etc/app",
    "etc/app/in",
    "srv",
    "srv/data",
    "opt",
    "opt/app/lib",
    "var",
];

impl Picture {
    /// Something is there, though no task has made it.
    pub fn found(&mut self, path: &str, thing: Thing) {
        self.things.insert(path.to_owned(), thing);
    }

    /// A task makes it.
    pub fn writes(&mut self, path: &str, thing: Thing) {
        self.things.insert(path.to_owned(), thing);
        self.written.insert(path.to_owned());
    }

    /// A task removes it, and what is below it.
    pub fn removes(&mut self, path: &str) {
        let below = format!("{path}/");
        self.things
            .retain(|p, _| p != path && !p.starts_with(&below));
        self.written.insert(path.to_owned());
    }

    /// Has a task written it, or something above it?
    pub fn is_written(&self, path: &str) -> bool {
        self.written
            .iter()
            .any(|w| path == w || path.strip_prefix(w).is_some_and(|r| r.starts_with('/')))
    }

    fn all(&self, thing: Thing, written: Option<bool>) -> Vec<String> {
        let fits = |path: &String| written.is_none_or(|w| self.is_written(path) == w);
        let things = self.things.iter().filter(|(_, t)| **t == thing);
        things.map(|(p, _)| p.clone()).filter(|p| fits(p)).collect()
    }

    /// One that is there; often one that a task has written.
    pub fn existing(&self, thing: Thing, random: &mut Random) -> Option<String> {
        let written = self.all(thing, Some(true));
        let all = self.all(thing, None);
        if !written.is_empty() && random.chance(60) {
            return Some(random.pick(&written).clone());
        }
        (!all.is_empty()).then(|| random.pick(&all).clone())
    }

    /// One that no task has written.
    pub fn pristine(&self, thing: Thing, random: &mut Random) -> Option<String> {
        let all = self.all(thing, Some(false));
        (!all.is_empty()).then(|| random.pick(&all).clone())
    }

    /// A path at which nothing is thought to be, in a directory that is.
    pub fn new_path(&self, random: &mut Random) -> String {
        let directory = self.existing(Thing::Directory, random).unwrap_or_default();
        for _ in 0..20 {
            let name = *random.pick(&NAMES);
            let path = join(&directory, name);
            if !self.things.contains_key(&path) {
                return path;
            }
        }
        let number = random.below(1000);
        join(&directory, &format!("n{number}"))
    }

    /// A path for a directory: one that may be there or not.
    pub fn directory(&self, random: &mut Random) -> String {
        (*random.pick(&DIRECTORIES)).to_owned()
    }
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() {
        name.to_owned()
    } else {
        format!("{above}/{name}")
    }
}
