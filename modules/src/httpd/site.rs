//! A server's whole configuration while it is edited: what counts in it, what was changed, and what is wanted of it in the
//! end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;

use super::conf::Conf;
use super::effective::{Effective, Placed, Server};
use super::program::{Candidate, Httpd, HttpdKey, HttpdSays};
use super::tree::{Tree, included};
use crate::command::matches::GlobKind;
use crate::command::program::version;
use crate::file::FileKind;
use crate::file::contents::{ContentKind, bytes_of};
use crate::file::edit::{Edited, Frame};
use crate::file::listing::ListingKind;
use crate::file::state::{Content, FileKey, FileWant, join, parent};
use crate::file::target::absolute;

/// What the modules of this folder are told of the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// Its first file of configuration.
    pub conf: Option<&'a String>,
    /// Its program.
    pub program: Option<&'a String>,
    /// Its version, where no program says it.
    pub version: Option<&'a String>,
    /// Names that its command line defines.
    pub defines: &'a [String],
    /// Keep files as they were beside them.
    pub backup: bool,
}

impl Given<'_> {
    /// Refuses what cannot be.
    pub fn validate(&self) -> Result<(), String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let is_name = |d: &&String| d.is_empty() || d.starts_with('-') || !d.chars().all(fits);
        if let Some(wrong) = self.defines.iter().find(is_name) {
            return Err(format!("`defines`: `{wrong}` is no name"));
        }
        match self.version.filter(|v| version(v).is_none()) {
            Some(text) => Err(format!("`version: {text}` is none; write `\"2.4\"`")),
            None => Ok(()),
        }
    }

    /// What is looked at, whatever is asked. Files are written where the configuration lies, with all that it includes; where
    /// that is, only the host says.
    #[must_use]
    pub fn touches() -> Footprint {
        Footprint::nothing()
            .reads(Httpd::NAME, "*")
            .reads(FileKind::NAME, "*")
            .reads(ContentKind::NAME, "*")
            .reads(ListingKind::NAME, "*")
            .reads(GlobKind::NAME, "*")
            .writes(FileKind::NAME, "*")
    }

    fn key(&self) -> HttpdKey {
        HttpdKey {
            program: self.program.cloned(),
            candidate: None,
        }
    }
}

/// The configuration.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    given: Given<'a>,
    /// What the program says, where there is one.
    pub says: Option<HttpdSays>,
    /// Its files, as they are now.
    pub tree: Tree,
    /// What counts in them, as they are now.
    pub effective: Effective,
    server: Server,
    changed: BTreeSet<String>,
    /// Files that are to be made or changed beside those of the tree, and links.
    others: BTreeMap<String, Other>,
    /// What was done, for people.
    pub done: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Something that is wanted beside the files that the server reads.
#[derive(Debug, Clone)]
enum Other {
    File(Vec<u8>),
    Link(String),
    Gone,
}

impl<'a> Site<'a> {
    /// Reads it.
    pub fn look(given: Given<'a>, world: &View<'_>) -> Result<Self, Stop> {
        let says = world.get::<Httpd>(&given.key())?;
        let root = match (given.conf, &says) {
            (Some(conf), _) => absolute(conf)?,
            (None, Some(says)) => join(&says.server_root, &says.config_file),
            (None, None) => {
                return Err(Stop::refuse(
                    "there is no Apache HTTP Server on the host; name its first file of configuration with `conf`, or its \
                     program with `program`",
                ));
            }
        };
        let said = says.as_ref().map(|s| s.version.as_str());
        let said = given.version.map(String::as_str).or(said);
        let server = Server {
            version: said.map(str::to_owned),
            built_in: says
                .as_ref()
                .map(|s| s.built_in.clone())
                .unwrap_or_default(),
            defined: given.defines.to_vec(),
            environment: says
                .as_ref()
                .map(|s| s.environment.clone())
                .unwrap_or_default(),
        };
        let of_program = says.as_ref().map(|s| s.server_root.as_str());
        let tree = Tree::gather(world, &root, of_program.filter(|r| !r.is_empty()), &server)?;
        for (path, text) in &tree.files {
            if let Some(broken) = Conf::read(text).broken {
                return Err(Stop::refuse(format!(
                    "{path}:{}: {}; mend the file first",
                    broken.line, broken.why
                )));
            }
        }
        let effective = Effective::of(&tree, &server);
        let open = effective.open.iter().map(|place| {
            format!("{place} is a condition that only the server can judge; what stands below it was taken to count")
        });
        Ok(Self {
            given,
            says,
            notes: open.collect(),
            effective,
            server,
            tree,
            changed: BTreeSet::new(),
            others: BTreeMap::new(),
            done: Vec::new(),
        })
    }

    /// Its version, where it is known.
    #[must_use]
    pub fn version(&self) -> Option<(u32, u32)> {
        self.server.version.as_deref().and_then(version)
    }

    /// The text of one of its files.
    #[must_use]
    pub fn text(&self, path: &str) -> &[u8] {
        self.tree
            .files
            .get(path)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The bytes of a directive's line.
    #[must_use]
    pub fn line_at(&self, placed: &Placed) -> Range<usize> {
        let conf = Conf::read(self.text(&placed.path));
        conf.lines.get(placed.line).map_or(0..0, |l| l.at.clone())
    }

    /// Replaces bytes of a file that the server reads; what counts is found anew.
    pub fn splice(&mut self, path: &str, at: Range<usize>, new: &[u8]) {
        if let Some(text) = self.tree.files.get_mut(path) {
            text.splice(at, new.iter().copied());
            self.changed.insert(path.to_owned());
            self.effective = Effective::of(&self.tree, &self.server);
        }
    }

    /// Another text in a directive's line, or in its lines; the blanks before it and the end of the line stay.
    pub fn rewrite(&mut self, placed: &Placed, new: &str) {
        let at = self.line_at(placed);
        let old = &self.text(&placed.path)[at.clone()];
        let indent = old.iter().take_while(|b| b" \t".contains(b)).count();
        let end = old.iter().rev().take_while(|b| b"\r\n".contains(b)).count();
        let place = placed.path.clone();
        self.done.push(format!("{}: {new}", placed.place()));
        self.splice(&place, at.start + indent..at.end - end, new.as_bytes());
    }

    /// The line goes.
    pub fn remove(&mut self, placed: &Placed) {
        let at = self.line_at(placed);
        let old = String::from_utf8_lossy(&self.text(&placed.path)[at.clone()]).into_owned();
        self.done
            .push(format!("{}: without {}", placed.place(), old.trim()));
        let path = placed.path.clone();
        self.splice(&path, at, b"");
    }

    /// Lines at a place between two lines of a file, or at its end. Each gets the end that the file's lines have.
    pub fn insert(&mut self, path: &str, at: usize, lines: &[String]) {
        let text = self.text(path);
        // As the line before it ends.
        let newline = match text[..at].split_inclusive(|b| *b == b'\n').next_back() {
            Some(line) if line.ends_with(b"\r\n") => b"\r\n",
            Some(line) if line.ends_with(b"\n") => &b"\n"[..],
            _ => Conf::read(text).newline(),
        };
        let mut new = Vec::new();
        if at > 0 && !text[..at].ends_with(b"\n") {
            new.extend_from_slice(newline);
        }
        for line in lines {
            new.extend_from_slice(line.as_bytes());
            new.extend_from_slice(newline);
        }
        self.done.push(format!("{path}: {}", told(lines)));
        self.splice(path, at..at, &new);
    }

    /// A file that the server will read, since one of its `Include`s finds it: `in_tree` is its name there, `path` where it
    /// lies. `Err`: none finds it.
    pub fn add(&mut self, in_tree: &str, path: &str, text: &[u8]) -> Result<(), Stop> {
        if !self.tree.add(in_tree, text) {
            return Err(Stop::refuse(format!(
                "nothing includes {in_tree}, so that what stands in it would not count; name another `dest`"
            )));
        }
        self.others
            .insert(path.to_owned(), Other::File(text.to_vec()));
        self.effective = Effective::of(&self.tree, &self.server);
        Ok(())
    }

    /// Lines at the end of a file that the server reads or will read under the name `in_tree`, and that lies at `path`; where
    /// these are two, the first becomes a link to the second.
    pub fn write(
        &mut self,
        path: &str,
        in_tree: &str,
        lines: &[String],
        world: &View<'_>,
    ) -> Result<(), Stop> {
        if self.tree.files.contains_key(in_tree) {
            let end = self.text(in_tree).len();
            self.insert(in_tree, end, lines);
            return Ok(());
        }
        let state = world.get::<FileKind>(&FileKey::following(path))?;
        let mut text = match state.is {
            FileType::File => bytes_of(&state, world)?,
            _ => Vec::new(),
        };
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(format!("{}\n", lines.join("\n")).as_bytes());
        self.done.push(format!("{path}: {}", told(lines)));
        self.add(in_tree, path, &text)?;
        if path != in_tree {
            let (folder, file) = path.rsplit_once('/').unwrap_or_default();
            let folder = folder.rsplit('/').next().unwrap_or_default();
            self.others.insert(
                in_tree.to_owned(),
                Other::Link(format!("../{folder}/{file}")),
            );
        }
        Ok(())
    }

    /// A link that the server follows when it reads what one of its `Include`s finds, to a file of this text.
    pub fn enable(&mut self, in_tree: &str, to: &str, text: &[u8]) -> Result<(), Stop> {
        self.add(in_tree, in_tree, text)?;
        self.done.push(format!("{in_tree} -> {to}"));
        self.others
            .insert(in_tree.to_owned(), Other::Link(to.to_owned()));
        Ok(())
    }

    /// A file that the server reads by way of a link.
    pub fn put(&mut self, path: &str, says: &str, text: &[u8]) {
        self.done.push(format!("{path}: {says}"));
        self.others
            .insert(path.to_owned(), Other::File(text.to_vec()));
    }

    /// A link that the server followed goes.
    pub fn disable(&mut self, in_tree: &str) {
        self.tree.remove(in_tree);
        self.done.push(format!("without {in_tree}"));
        self.others.insert(in_tree.to_owned(), Other::Gone);
        self.effective = Effective::of(&self.tree, &self.server);
    }

    /// The directory of a layout in which each thing has a file of its own: where such a file goes, and the name under
    /// which the server finds it.
    pub fn own_file(&self, name: &str, world: &View<'_>) -> Result<Option<(String, String)>, Stop> {
        let found = |end: &str| self.tree.found.keys().find(|p| p.ends_with(end));
        if let Some(pattern) = found("/conf-enabled/*.conf") {
            let enabled = parent(pattern);
            let available = join(parent(enabled), "conf-available");
            let is = world.get::<FileKind>(&FileKey::following(&available))?.is;
            if is == FileType::Directory {
                let file = format!("{name}.conf");
                return Ok(Some((join(&available, &file), join(enabled, &file))));
            }
        }
        Ok(found("/conf.d/*.conf").map(|pattern| {
            let path = join(parent(pattern), &format!("{name}.conf"));
            (path.clone(), path)
        }))
    }

    /// What is wanted in the end. Where something is changed, the server has judged the whole of it before.
    pub fn want(self, world: &View<'_>) -> Result<Wanted, Stop> {
        let mut wanted = Wanted::nothing();
        let anything = !self.changed.is_empty() || !self.others.is_empty();
        if anything {
            self.judged(world)?;
        }
        let backup = self.given.backup;
        let mut add = |more: Wanted| {
            wanted.resources.extend(more.resources);
            wanted.notes.extend(more.notes);
            for (name, value) in more.facts {
                if name == "backup_file" {
                    wanted.facts.insert(name, value);
                }
            }
        };
        let others: BTreeSet<&String> = self.others.keys().collect();
        for path in self.changed.iter().filter(|p| !others.contains(p)) {
            let edited = edited(self.text(path));
            add(frame(path, backup).want(world, |_| Ok(edited))?);
        }
        for (path, other) in &self.others {
            let key = FileKey::new(path);
            match other {
                Other::File(text) => {
                    let edited = edited(text);
                    add(frame(path, backup).want(world, |_| Ok(edited))?);
                }
                Other::Link(to) => {
                    let want = FileWant {
                        is: Some(FileType::Link),
                        link: Some(to.clone()),
                        ..FileWant::default()
                    };
                    add(Wanted::one::<FileKind>(&key, &want));
                }
                Other::Gone => {
                    let want = FileWant {
                        is: Some(FileType::Absent),
                        ..FileWant::default()
                    };
                    add(Wanted::one::<FileKind>(&key, &want));
                }
            }
        }
        wanted.notes.extend(self.notes);
        if anything {
            wanted.summary = Some(self.done.join("; "));
        }
        let version = self.says.as_ref().map(|s| Value::from(s.version.clone()));
        wanted
            .facts
            .insert("msg".to_owned(), Value::from(self.done.join("; ")));
        wanted
            .facts
            .insert("httpd_version".to_owned(), version.unwrap_or(Value::Null));
        Ok(wanted)
    }

    /// The server takes the whole of it.
    fn judged(&self, world: &View<'_>) -> Result<(), Stop> {
        for (path, text) in &self.tree.files {
            if let Some(broken) = Conf::read(text).broken {
                return Err(Stop::refuse(format!(
                    "{path}:{}: {}",
                    broken.line, broken.why
                )));
            }
        }
        if self.says.is_none() {
            return Ok(());
        }
        let (text, places) = self.tree.whole(&self.effective);
        let key = HttpdKey {
            candidate: Some(Candidate {
                text: Content(text),
                server_root: self.tree.server_root.clone(),
                defines: self.given.defines.to_vec(),
            }),
            ..self.given.key()
        };
        let refuses = world.get::<Httpd>(&key)?.and_then(|says| says.refuses);
        refuses.map_or(Ok(()), |why| {
            let program = self.says.as_ref().map_or("httpd", |s| s.program.as_str());
            Err(Stop::refuse(format!(
                "{program} would not start with it: {}",
                placed(&why, &places)
            )))
        })
    }
}

/// Lines in one, for people.
#[must_use]
pub fn told(lines: &[String]) -> String {
    let lines: Vec<&str> = lines.iter().map(|l| l.trim()).collect();
    lines.join("; ")
}

fn frame(path: &str, backup: bool) -> Frame<'_> {
    Frame {
        create: true,
        backup,
        ..Frame::of(path)
    }
}

fn edited(text: &[u8]) -> Edited {
    Edited {
        content: text.to_vec(),
        msg: String::new(),
        found: None,
    }
}

/// What the server says of the whole, with the places of its lines in place of their numbers.
fn placed(why: &str, places: &[(String, usize)]) -> String {
    let lines = why.trim().lines().filter(|l| !l.contains("AH00558"));
    let place = |line: &str| {
        let (before, after) = line.split_once(" on line ")?;
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = after[..digits].parse().ok()?;
        let (path, number) = places.get(number.checked_sub(1)?)?;
        let rest = after[digits..]
            .split_once("/candidate")
            .map_or("", |(_, r)| r);
        Some(format!("{before} at {path}:{number}{rest}"))
    };
    let lines: Vec<String> = lines
        .map(|l| place(l).unwrap_or_else(|| l.to_owned()))
        .collect();
    lines.join("\n")
}

impl Tree {
    /// The whole in one file: what is included stands in place of what includes it. With each line's place.
    fn whole(&self, effective: &Effective) -> (Vec<u8>, Vec<(String, usize)>) {
        // What each line that counts includes, with what its variables stand for.
        let counting = effective.directives.iter().filter(|d| !d.opens);
        let filled: BTreeMap<(&str, usize), &str> = counting
            .filter_map(|d| Some(((d.path.as_str(), d.line), included(&d.directive)?)))
            .collect();
        let mut text = Vec::new();
        let mut places = Vec::new();
        self.pour(&self.root, &filled, 0, &mut text, &mut places);
        (text, places)
    }

    fn pour(
        &self,
        path: &str,
        filled: &BTreeMap<(&str, usize), &str>,
        depth: usize,
        into: &mut Vec<u8>,
        places: &mut Vec<(String, usize)>,
    ) {
        /// As deep as the server follows.
        const DEEPEST: usize = 128;
        let Some(own) = self.files.get(path).filter(|_| depth < DEEPEST) else {
            return;
        };
        for (n, line) in Conf::read(own).lines.iter().enumerate() {
            let found = match &line.says {
                super::conf::Says::Directive(directive) => filled
                    .get(&(path, n))
                    .copied()
                    .or_else(|| included(directive))
                    .and_then(|name| self.found.get(&self.absolute(name))),
                _ => None,
            };
            if let Some(found) = found.filter(|f| !f.is_empty()) {
                for file in found {
                    self.pour(file, filled, depth + 1, into, places);
                }
                continue;
            }
            let bytes = &own[line.at.clone()];
            let ends = bytes.iter().filter(|b| **b == b'\n').count();
            places.extend((0..ends.max(1)).map(|n| (path.to_owned(), line.number + n)));
            into.extend_from_slice(bytes);
            if !bytes.ends_with(b"\n") {
                into.push(b'\n');
            }
        }
    }
}
