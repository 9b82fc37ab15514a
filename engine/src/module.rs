//! Modules: pure functions from typed arguments and the states of resources to the states that are wanted.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::action::{ActionCall, ActionKind};
use crate::resource::{Kind, Ref};
use crate::value::Value;
use crate::world::View;

/// What a task calls. A module does no I/O: it asks the [`View`] for states and says what it wants.
///
/// # Laws
///
/// * `want` is pure: the same arguments and states give the same answer, and it never asks the clock or the host.
/// * `want` stays within `touches`; the engine makes anything else an error.
/// * `want` on the world it wanted wants nothing (it is idempotent), unless it calls an action.
/// * `output` never shows a secret that was not in the arguments as plain text.
pub trait Module: Send + Sync + 'static {
    /// The arguments, exactly as a playbook writes them: `#[serde(deny_unknown_fields)]`, a doc comment with unit
    /// and default on every field; no `flatten`, no `untagged` (they lose positions).
    type Args: DeserializeOwned + JsonSchema + Send + Sync;

    /// The name in playbooks.
    const NAME: &'static str;
    /// One sentence for `runbook doc`.
    const SUMMARY: &'static str;
    /// Markdown for `runbook doc MODULE`: example, check mode, what is irreversible, requirements on the target.
    const DOC: &'static str;
    /// The argument that a bare string sets (`command: ls -l`, `fail: text`), if any.
    const FREE_FORM: Option<&'static str> = None;
    /// Arguments that name files on the controller, looked up beside the playbook (`files/`, `templates/`), whose
    /// content the engine loads before `want` (see [`View::local`]). A dot leads into a mapping: `files.path`.
    const LOCAL_FILES: &'static [&'static str] = &[];
    /// Those of [`Module::LOCAL_FILES`] that name files on the host where the argument `remote_src` is true.
    const REMOTE_FILES: &'static [&'static str] = &[];

    /// Arguments that hold bare expressions (`assert.that`, `debug.var`). The engine evaluates each: in place of the
    /// text (or of each text of a list) the module gets a mapping `{expr: TEXT, value: VALUE}`.
    const EXPRESSIONS: &'static [&'static str] = &[];
    /// Those of [`Module::EXPRESSIONS`] that are asked whether they hold, as `when` is: VALUE is true or false.
    const CONDITIONS: &'static [&'static str] = &[];
    /// Arguments, with their other names, that are absolute paths on the host.
    const PATHS: &'static [&'static str] = &[];
    /// `false`: it works on the controller alone, and no host is connected for it (debug, set_fact, assert, fail).
    const NEEDS_HOST: bool = true;

    /// Checks what the types cannot say (exclusive arguments, ranges). Runs before the first connection.
    fn validate(_args: &Self::Args) -> Result<(), String> {
        Ok(())
    }

    /// Checks the content of a file that `argument`, one of [`Module::LOCAL_FILES`], names. Runs before the first
    /// connection; each text is one mistake, with its line. `content` reads the file, which may be large; it gives none
    /// where that is not possible, which the task itself tells of.
    fn validate_file(_argument: &str, _content: &dyn Fn() -> Option<Vec<u8>>) -> Vec<String> {
        Vec::new()
    }

    /// An upper bound of what is read and written.
    fn touches(args: &Self::Args) -> Footprint;

    /// What should be true. Asks the world for what it needs to know; when the world does not hold something yet it
    /// gives `Err(Stop::Need)` by itself through `?`, the engine reads it, and `want` is called again.
    /// Where several states are needed, ask with [`View::all`] so that they are read as one batch.
    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop>;

    /// What `register` gets, beside `changed`, `failed`, `skipped` and `diff`, which the engine sets.
    /// `before` is the world that `want` saw; `after` the one read (or predicted) afterwards, in which a state may be
    /// unknown: then put [`Value::Unknown`] there.
    fn output(
        _args: &Self::Args,
        _before: &View<'_>,
        _after: &View<'_>,
    ) -> IndexMap<String, Value> {
        IndexMap::new()
    }
}

/// What to write for a path of a host that is none: `~` and `$NAME` stand for themselves, and nothing says from where
/// any other would count.
#[must_use]
pub fn path_help(path: &str) -> String {
    let whole = |rest: &str, sign: &str| {
        format!(
            "`{sign}` is not expanded: write the whole path, or `{{{{ ansible_user_dir }}}}{rest}`"
        )
    };
    let rest = |from: &str| {
        path.strip_prefix(from)
            .filter(|r| r.is_empty() || r.starts_with('/'))
    };
    if let Some(rest) = rest("~") {
        whole(rest, "~")
    } else if let Some(rest) = rest("$HOME").or_else(|| rest("${HOME}")) {
        whole(rest, "$HOME")
    } else if path.starts_with(['~', '$']) {
        "`~` and `$NAME` are not expanded: write the whole path".to_owned()
    } else {
        "write it from `/` on".to_owned()
    }
}

/// Why `want` did not answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// These states have to be read first.
    Need(Vec<Ref>),
    /// A state it rests on is unknown in the predicted world, and why.
    Unknown(String),
    /// It cannot be done, and what to do: the task fails. No secret.
    Refuse(String),
}

impl Stop {
    /// A refusal.
    pub fn refuse(message: impl Into<String>) -> Self {
        Self::Refuse(message.into())
    }
}

/// What a module wants: states of resources, and at most one action after they are reached.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The states, in the order of writing between kinds; a kind orders its own.
    pub resources: Vec<WantedState>,
    /// The action.
    pub action: Option<ActionCall>,
    /// States in which the action leaves resources, where they are known beforehand. What else it changes is unknown after
    /// it.
    pub leaves: Vec<Left>,
    /// Places of which only the run can tell what they are once the states are written: a directory into which a container's
    /// replacement unpacks an archive. They are unknown after the task where it writes anything.
    pub stirs: Vec<Mark>,
    /// One line for the plan in place of the differences (`pacsdb 5.31 → 5.32 part 1: 4 statements`).
    pub summary: Option<String>,
    /// Things a person should know (kept fields, a shadowed rule).
    pub notes: Vec<String>,
    /// Register values that `want` itself computes (`version_found: 5.31.2`), merged below `output`.
    pub facts: IndexMap<String, Value>,
    /// The task is to be reported as skipped, for this reason (`creates` exists).
    pub skipped: Option<String>,
    /// The task has failed, for this reason, and `facts` are its register (a query that ended with another status
    /// than 0). Nothing else is wanted then; `failed_when` may see it otherwise.
    pub failed: Option<String>,
    /// Diff to show in place of the kind's own texts.
    pub diff: Option<String>,
}

/// A wanted state with the types erased.
#[derive(Debug, Clone)]
pub struct WantedState {
    /// Which resource.
    pub key: Ref,
    /// The kind's `Want` as JSON.
    pub want: serde_json::Value,
}

/// What an action makes of a resource, with the types erased.
#[derive(Debug, Clone)]
pub struct Left {
    /// Which resource.
    pub key: Ref,
    /// Its state before, as JSON.
    pub from: serde_json::Value,
    /// Its state after.
    pub to: serde_json::Value,
}

impl Wanted {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One resource.
    #[must_use]
    pub fn one<K: Kind>(key: &K::Key, want: &K::Want) -> Self {
        let mut wanted = Self::default();
        wanted.set::<K>(key, want);
        wanted
    }

    /// Adds a wanted state.
    pub fn set<K: Kind>(&mut self, key: &K::Key, want: &K::Want) {
        self.resources.push(WantedState {
            key: reference::<K>(key),
            want: serde_json::to_value(want).unwrap_or_default(),
        });
    }

    /// The action makes one state of a resource into another.
    pub fn leaves<K: Kind>(&mut self, key: &K::Key, from: &K::State, to: &K::State) {
        self.leaves.push(Left {
            key: reference::<K>(key),
            from: serde_json::to_value(from).unwrap_or_default(),
            to: serde_json::to_value(to).unwrap_or_default(),
        });
    }

    /// An action.
    #[must_use]
    pub fn action<A: ActionKind>(
        call: &A::Call,
        effects: crate::action::Effects,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            action: Some(ActionCall::new::<A>(call, effects, summary)),
            ..Self::default()
        }
    }
}

/// The erased form of a key.
#[must_use]
pub fn reference<K: Kind>(key: &K::Key) -> Ref {
    Ref {
        kind: K::NAME.to_owned(),
        id: key.to_string(),
        data: serde_json::to_value(key).unwrap_or_default(),
    }
}

/// An upper bound of what a task reads and writes on its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// It may read and write anything: an opaque command, arguments not known yet.
    pub everything: bool,
    /// Resources read, with all that lies below them.
    pub reads: Vec<Mark>,
    /// Resources written, with all that lies below them.
    pub writes: Vec<Mark>,
}

/// A place in a footprint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// The kind, or `*`.
    pub kind: String,
    /// The id, or `*` for all of the kind. A `*` within it stands for anything: `/etc/hosts.*~`.
    pub id: String,
}

impl Footprint {
    /// Nothing on the machine at all (debug, set_fact).
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }
    /// The whole machine.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }
    /// Adds something read.
    #[must_use]
    pub fn reads(mut self, kind: &str, id: impl Into<String>) -> Self {
        self.reads.push(Mark {
            kind: kind.to_owned(),
            id: id.into(),
        });
        self
    }
    /// Adds something written.
    #[must_use]
    pub fn writes(mut self, kind: &str, id: impl Into<String>) -> Self {
        self.writes.push(Mark {
            kind: kind.to_owned(),
            id: id.into(),
        });
        self
    }
    /// Must the two keep their written order?
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        if self.everything || other.everything {
            return !(self.is_empty() || other.is_empty());
        }
        let cross = |a: &[Mark], b: &[Mark]| a.iter().any(|x| b.iter().any(|y| x.overlaps(y)));
        cross(&self.writes, &other.writes)
            || cross(&self.writes, &other.reads)
            || cross(&self.reads, &other.writes)
    }
    /// Does it touch nothing at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.reads.is_empty() && self.writes.is_empty()
    }
}

impl Mark {
    /// The same place, or one that contains the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        (self.kind == "*" || other.kind == "*" || self.kind == other.kind)
            && (self.id == other.id
                || could_be(&self.id, &other.id)
                || crate::resource::contains(&self.id, &other.id)
                || crate::resource::contains(&other.id, &self.id))
    }
}

/// Could two ids, in which a `*` stands for anything, be the same? At times it says so though they could not.
fn could_be(one: &str, other: &str) -> bool {
    let ends = |id: &'_ str| match id.split_once('*') {
        Some((begin, rest)) => {
            let end = rest.rsplit('*').next().unwrap_or(rest);
            (begin.to_owned(), end.to_owned(), begin.len() + end.len())
        }
        None => (id.to_owned(), id.to_owned(), id.len()),
    };
    let ((begin, end, least), (other_begin, other_end, other_least)) = (ends(one), ends(other));
    let fits = match (one.contains('*'), other.contains('*')) {
        (false, false) => one == other,
        (true, false) => least <= other.len(),
        (false, true) => other_least <= one.len(),
        (true, true) => true,
    };
    let begins = begin.starts_with(&other_begin) || other_begin.starts_with(&begin);
    let ended = end.ends_with(&other_end) || other_end.ends_with(&end);
    fits && begins && ended
}

#[cfg(test)]
mod tests {
    use super::Mark;

    #[test]
    fn marks_that_meet() {
        let meet = |a: &str, b: &str| {
            let mark = |id: &str| Mark {
                kind: "file".to_owned(),
                id: id.to_owned(),
            };
            assert_eq!(mark(a).overlaps(&mark(b)), mark(b).overlaps(&mark(a)));
            mark(a).overlaps(&mark(b))
        };
        for (a, b, expected) in [
            ("/etc", "/etc", true),
            ("/etc", "/etc/hosts", true),
            ("/etc", "/etcetera", false),
            ("*", "/etc", true),
            ("*", "", true),
            ("/etc/a.*~", "/etc/a.12ab~", true),
            ("/etc/a.*~", "/etc/a.~", true),
            ("/etc/a.*~", "/etc/a~", false),
            ("/etc/a.*~", "/etc/a", false),
            ("/etc/a.*~", "/etc/b.12ab~", false),
            ("/etc/a.*~", "/etc", true),
            ("/etc/a.*~", "/etc/a.*~", true),
            ("/etc/a.*~", "/etc/a.b.*~", true),
            ("/etc/a.*~", "/etc/b.*~", false),
        ] {
            assert_eq!(meet(a, b), expected, "{a} {b}");
        }
    }
}

/// Local files that a task's arguments name, read once, by the name as written.
pub type LocalFiles = BTreeMap<String, LocalFile>;

/// A file (or directory) on the controller.
#[derive(Debug, Clone)]
pub struct LocalFile {
    /// Where it was found.
    pub path: std::path::PathBuf,
    /// Its content (of a template: rendered), empty for a directory.
    pub content: bytes::Bytes,
    /// Permission bits.
    pub mode: u32,
    /// For a directory: what is in it, by relative path.
    pub entries: Option<BTreeMap<String, LocalFile>>,
    /// It is a vault on the controller, and `content` is what was encrypted.
    pub secret: bool,
}

impl LocalFile {
    /// Calls `found` with the content of every file, it and those in it, that is a vault on the controller.
    pub fn secrets(&self, found: &mut dyn FnMut(&[u8])) {
        if self.secret {
            found(&self.content);
        }
        for file in self.entries.iter().flat_map(BTreeMap::values) {
            file.secrets(found);
        }
    }

    /// Is anything of it encrypted on the controller?
    #[must_use]
    pub fn holds_secrets(&self) -> bool {
        let mut any = false;
        self.secrets(&mut |_| any = true);
        any
    }
}
