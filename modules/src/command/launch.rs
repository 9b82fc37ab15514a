//! What `command`, `shell` and `script` share: whether a command runs at all, as what, and what it is taken to change.

use std::collections::BTreeMap;
use std::time::Duration;

use runbook_engine::action::Effects;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Mark, Stop, Wanted, path_help, reference};
use runbook_engine::resource::{Kind as _, Ref};
use runbook_engine::value::Value;
use runbook_engine::world::View;

use super::exec::{Exec, ExecCall, Shown, failure, said};
use super::matches::{GlobKind, Pattern};
use super::query::{CommandOutput, QueryKey, mark};
use crate::file::place::PathKind;
use crate::file::state::join;
use crate::file::{FileKey, FileKind};

/// The arguments that say when a command runs and what it does.
#[derive(Debug, Clone, Default)]
pub struct Launch<'a> {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// As the register shows it.
    pub shown: Option<Shown>,
    /// Working directory.
    pub chdir: Option<&'a String>,
    /// Not run where this is there.
    pub creates: Option<&'a String>,
    /// Not run where this is not there.
    pub removes: Option<&'a String>,
    /// Standard input.
    pub stdin: Option<String>,
    /// Cut empty ends of the output.
    pub strip_empty_ends: bool,
    /// It only reads.
    pub reads_only: bool,
    /// What it reads.
    pub reads: Option<&'a Vec<String>>,
    /// What it changes.
    pub changes: Option<&'a Vec<String>>,
    /// Not run where this command says yes.
    pub unless: Option<&'a String>,
    /// Run only where this command says yes.
    pub only_if: Option<&'a String>,
    /// Seconds.
    pub timeout: Option<u64>,
    /// Variables.
    pub environment: Option<&'a BTreeMap<String, String>>,
}

impl Launch<'_> {
    /// Refuses what contradicts itself.
    pub fn validate(&self) -> Result<(), String> {
        if self.reads_only && self.changes.is_some_and(|c| !c.is_empty()) {
            return Err("`reads_only` and `changes` contradict each other".to_owned());
        }
        if self.reads.is_some() && !self.reads_only && self.changes.is_none() {
            return Err("`reads` goes with `reads_only: true` or with `changes`".to_owned());
        }
        let paths = [
            ("chdir", self.chdir),
            ("creates", self.creates),
            ("removes", self.removes),
        ];
        for (name, path) in paths.into_iter().filter_map(|(n, p)| Some((n, p?))) {
            let variable = path.strip_prefix('$').is_some_and(|n| {
                n.starts_with(|c: char| c.is_ascii_alphabetic() || "_{".contains(c))
            });
            if path.starts_with('~') || variable {
                return Err(format!("`{name}: {path}`: {}", path_help(path)));
            }
            if name != "chdir" && self.chdir.is_none() && !path.starts_with('/') {
                return Err(format!(
                    "`{name}: {path}` is no absolute path, and no `chdir` says from where it counts"
                ));
            }
        }
        for text in self.reads.into_iter().chain(self.changes).flatten() {
            if mark(text).is_none() {
                return Err(format!(
                    "`{text}` names no resource; write a path, or KIND:ID as in `container:arc`"
                ));
            }
        }
        Ok(())
    }

    /// What it may touch.
    #[must_use]
    pub fn touches(&self) -> Footprint {
        if !self.reads_only && self.changes.is_none() {
            return Footprint::everything();
        }
        let reads = match self.reads {
            None => Footprint::nothing().reads("*", "*"),
            Some(reads) => reads
                .iter()
                .filter_map(|r| mark(r))
                .fold(self.looks_at(), |f, m| f.reads(&m.kind, m.id)),
        };
        self.changes
            .into_iter()
            .flatten()
            .filter_map(|c| mark(c))
            .fold(reads, |f, m| f.writes(&m.kind, m.id))
    }

    /// What says whether it runs, beside what the command itself reads.
    fn looks_at(&self) -> Footprint {
        let answers = Footprint::nothing().reads(CommandOutput::NAME, "*");
        if self.unless.is_some() || self.only_if.is_some() {
            return answers.reads("*", "*");
        }
        let paths = [self.chdir, self.creates, self.removes];
        paths.into_iter().flatten().fold(answers, |f, path| {
            let path = self
                .chdir
                .map_or_else(|| path.clone(), |dir| join(dir, path));
            if !Pattern::is_one(&path) {
                return f.reads(FileKind::NAME, path);
            }
            let pattern = Pattern(path);
            f.reads(FileKind::NAME, pattern.root())
                .reads(GlobKind::NAME, pattern.0)
        })
    }

    /// Whether it runs, and how.
    pub fn want(&self, world: &View<'_>) -> Result<Wanted, Stop> {
        let conditions = self.conditions()?;
        let folder = self.chdir.filter(|dir| dir.starts_with('/'));
        let folder = folder.map(|dir| FileKey::following(dir));
        let keys = conditions.iter().map(Condition::reference);
        let keys: Vec<Ref> = keys
            .chain(folder.as_ref().map(reference::<PathKind>))
            .collect();
        world.need(&keys)?;
        for condition in &conditions {
            if let Some(reason) = condition.skips(world)? {
                let mut wanted = Wanted::nothing();
                wanted.facts = said(format!("skipped, since {reason}").as_bytes(), b"", 0, true);
                wanted.facts.insert("cmd".to_owned(), self.cmd());
                wanted.skipped = Some(reason);
                return Ok(wanted);
            }
        }
        if let Some(folder) = &folder {
            let path = &folder.path;
            match world.get::<PathKind>(folder) {
                Ok(there) if there.is == FileType::Directory => {}
                // Whether a command succeeds is not known before either.
                Err(Stop::Unknown(_)) => {}
                Err(stop) => return Err(stop),
                Ok(there) if there.is == FileType::Absent => {
                    return Err(Stop::refuse(format!("`chdir`: {path} does not exist")));
                }
                Ok(_) => {
                    return Err(Stop::refuse(format!("`chdir`: {path} is no directory")));
                }
            }
        }
        if self.reads_only {
            return self.query(world);
        }
        let call = ExecCall {
            argv: self.argv.clone(),
            cmd: self
                .shown
                .clone()
                .unwrap_or_else(|| Shown::Words(self.argv.clone())),
            env: self.environment.cloned().unwrap_or_default(),
            chdir: self.chdir.cloned(),
            stdin: self.stdin.clone(),
            timeout: self.timeout.map(Duration::from_secs),
            strip_empty_ends: self.strip_empty_ends,
        };
        Ok(Wanted::action::<Exec>(
            &call,
            self.effects(),
            self.summary(),
        ))
    }

    fn query(&self, world: &View<'_>) -> Result<Wanted, Stop> {
        let answer = world.get::<CommandOutput>(&self.query_key(self.argv.clone()))?;
        let mut facts = said(
            &answer.stdout.0,
            &answer.stderr.0,
            answer.rc,
            self.strip_empty_ends,
        );
        facts.insert("cmd".to_owned(), self.cmd());
        let failed =
            (answer.rc != 0).then(|| failure(answer.rc, &answer.stdout.0, &answer.stderr.0));
        facts.insert(
            "msg".to_owned(),
            Value::from(failed.clone().unwrap_or_default()),
        );
        Ok(Wanted {
            facts,
            failed,
            ..Wanted::nothing()
        })
    }

    fn query_key(&self, argv: Vec<String>) -> QueryKey {
        QueryKey {
            argv,
            env: self.environment.cloned().unwrap_or_default(),
            chdir: self.chdir.cloned(),
            stdin: self.stdin.clone(),
            reads: self.reads.cloned(),
        }
    }

    fn conditions(&self) -> Result<Vec<Condition>, Stop> {
        let path = |text: &String| {
            if text.starts_with('/') {
                Ok(text.clone())
            } else if let Some(dir) = self.chdir {
                Ok(join(dir, text))
            } else {
                Err(Stop::refuse(format!(
                    "`{text}` is no absolute path, and no `chdir` says from where it counts"
                )))
            }
        };
        let line = |line: &String| QueryKey {
            stdin: None,
            reads: None,
            ..self.query_key(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()])
        };
        let mut conditions = Vec::new();
        if let Some(text) = self.creates {
            conditions.push(Condition::Creates(path(text)?));
        }
        if let Some(text) = self.removes {
            conditions.push(Condition::Removes(path(text)?));
        }
        if let Some(text) = self.unless {
            conditions.push(Condition::Unless(line(text), text.clone()));
        }
        if let Some(text) = self.only_if {
            conditions.push(Condition::OnlyIf(line(text), text.clone()));
        }
        Ok(conditions)
    }

    fn effects(&self) -> Effects {
        let marks = |texts: &mut dyn Iterator<Item = &String>| {
            texts
                .filter_map(|t| mark(t))
                .map(|m| Mark {
                    kind: m.kind,
                    id: m.id,
                })
                .collect()
        };
        if let Some(changes) = self.changes {
            return Effects::Changes(marks(&mut changes.iter()));
        }
        let paths: Vec<String> = self
            .creates
            .into_iter()
            .chain(self.removes)
            .map(|p| self.chdir.map_or_else(|| p.clone(), |dir| join(dir, p)))
            // Of a pattern, everything below its fixed directory may come or go.
            .map(|p| {
                if Pattern::is_one(&p) {
                    Pattern(p).root().to_owned()
                } else {
                    p
                }
            })
            .collect();
        if paths.is_empty() {
            Effects::Opaque
        } else {
            Effects::Creates(marks(&mut paths.iter()))
        }
    }

    fn cmd(&self) -> Value {
        match &self.shown {
            Some(Shown::Line(line)) => Value::from(line.clone()),
            Some(Shown::Words(words)) => {
                Value::List(words.iter().cloned().map(Value::from).collect())
            }
            None => Value::List(self.argv.iter().cloned().map(Value::from).collect()),
        }
    }

    /// One line for the plan. The engine's redactor masks the secrets in it.
    fn summary(&self) -> String {
        let line = match &self.shown {
            Some(Shown::Line(line)) => line.clone(),
            Some(Shown::Words(words)) => words.join(" "),
            None => self.argv.join(" "),
        };
        let mut line = line.lines().next().unwrap_or_default().to_owned();
        if line.chars().count() > 100 {
            line = line.chars().take(99).collect::<String>() + "…";
        }
        format!("run {line}")
    }
}

/// Something that decides whether the command runs.
enum Condition {
    Creates(String),
    Removes(String),
    Unless(QueryKey, String),
    OnlyIf(QueryKey, String),
}

impl Condition {
    fn reference(&self) -> Ref {
        match self {
            Self::Creates(path) | Self::Removes(path) if Pattern::is_one(path) => {
                reference::<GlobKind>(&Pattern(path.clone()))
            }
            Self::Creates(path) | Self::Removes(path) => reference::<PathKind>(&FileKey::new(path)),
            Self::Unless(key, _) | Self::OnlyIf(key, _) => reference::<CommandOutput>(key),
        }
    }

    /// Why the command does not run.
    fn skips(&self, world: &View<'_>) -> Result<Option<String>, Stop> {
        let there = |path: &String| -> Result<bool, Stop> {
            if Pattern::is_one(path) {
                Ok(!world.get::<GlobKind>(&Pattern(path.clone()))?.is_empty())
            } else {
                Ok(world.get::<PathKind>(&FileKey::new(path))?.is != FileType::Absent)
            }
        };
        Ok(match self {
            Self::Creates(path) => there(path)?.then(|| format!("{path} exists")),
            Self::Removes(path) => (!there(path)?).then(|| format!("{path} does not exist")),
            Self::Unless(key, line) => {
                (world.get::<CommandOutput>(key)?.rc == 0).then(|| format!("`{line}` says so"))
            }
            Self::OnlyIf(key, line) => {
                (world.get::<CommandOutput>(key)?.rc != 0).then(|| format!("`{line}` says no"))
            }
        })
    }
}

/// Standard input as a module's arguments give it.
#[must_use]
pub fn stdin(text: Option<&String>, add_newline: bool) -> Option<String> {
    text.map(|t| {
        if add_newline && !t.ends_with('\n') {
            format!("{t}\n")
        } else {
            t.clone()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn commands_that_say_what_they_touch_go_side_by_side() {
        let (one, other) = (list(&["/srv/one"]), list(&["/srv/other"]));
        let (none, both) = (list(&[]), list(&["/srv"]));
        let launch = |changes, reads| Launch {
            changes: Some(changes),
            reads,
            ..Launch::default()
        };
        let meet = |a: &Launch<'_>, b: &Launch<'_>| a.touches().meets(&b.touches());
        let alone = launch(&one, Some(&none));
        assert!(!meet(&alone, &launch(&other, Some(&none))));
        assert!(meet(&alone, &launch(&one, Some(&none))));
        assert!(meet(&alone, &launch(&other, Some(&both))));
        // What a command reads that does not say it may be anything.
        assert!(meet(&alone, &launch(&other, None)));
        let line = "test -e /srv/one".to_owned();
        let asks = Launch {
            unless: Some(&line),
            ..launch(&other, Some(&none))
        };
        assert!(meet(&alone, &asks));
        let path = "/srv/one/done".to_owned();
        let looks = Launch {
            creates: Some(&path),
            ..launch(&other, Some(&none))
        };
        assert!(meet(&alone, &looks));
        let pattern = "/srv/o*".to_owned();
        let matches = Launch {
            creates: Some(&pattern),
            ..launch(&other, Some(&none))
        };
        assert!(meet(&alone, &matches));
    }

    #[test]
    fn what_a_command_reads_is_said_with_what_it_changes() {
        let (none, paths) = (list(&[]), list(&["/srv"]));
        let refused = Launch {
            reads: Some(&paths),
            ..Launch::default()
        };
        assert!(refused.validate().is_err());
        let accepted = Launch {
            changes: Some(&none),
            ..refused
        };
        assert_eq!(accepted.validate(), Ok(()));
    }
}
