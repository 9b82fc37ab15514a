//! The kind `listing`: what stands below a directory, with modes and owners but without contents. Read only.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{FileType, HostError, Probe, ReadCommand};
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use super::FileKind;
use super::state::{FileKey, FileState};
use super::write::is_aside;

/// Everything below a directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListingKind;

/// One thing below the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path from the directory on, without a leading slash.
    pub path: String,
    /// Type.
    pub is: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Owner's name.
    pub owner: String,
    /// Group's number.
    pub gid: u32,
    /// Group's name.
    pub group: String,
    /// A file with other names, too (hard links).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// How many entries that differ are named before the rest is counted.
const TOLD: usize = 6;

#[async_trait]
impl ReadKind for ListingKind {
    type Key = FileKey;
    /// Sorted by path; empty where there is no such directory.
    type State = Vec<Entry>;

    const NAME: &'static str = "listing";

    async fn read(&self, host: &Probe, keys: &[FileKey]) -> Vec<Result<Vec<Entry>, HostError>> {
        // What this program has put aside there is nobody's.
        let theirs = |entries: Vec<Entry>| -> Vec<Entry> {
            let is_theirs = |e: &Entry| !e.path.split('/').any(is_aside);
            entries.into_iter().filter(is_theirs).collect()
        };
        let all = keys.iter().map(|key| list(host, &key.path));
        let all = futures::future::join_all(all).await;
        all.into_iter().map(|list| list.map(theirs)).collect()
    }

    /// What lies there. Modes and owners count where something is wanted of them, one by one.
    fn drifted(&self, _key: &FileKey, was: &Vec<Entry>, now: &Vec<Entry>) -> Vec<String> {
        let lacks =
            |in_them: &[Entry], entry: &Entry| !in_them.iter().any(|e| e.path == entry.path);
        let gone = was
            .iter()
            .filter(|e| lacks(now, e))
            .map(|e| format!("- {}", e.path));
        let come = now
            .iter()
            .filter(|e| lacks(was, e))
            .map(|e| format!("+ {}", e.path));
        let other = now
            .iter()
            .filter(|e| was.iter().any(|w| w.path == e.path && w.is != e.is))
            .map(|e| format!("{} is of another type", e.path));
        let mut lines: Vec<String> = gone.chain(come).chain(other).collect();
        if lines.len() > TOLD {
            let more = lines.len() - TOLD;
            lines.truncate(TOLD);
            lines.push(format!("and {more} more"));
        }
        lines
    }

    fn touched_by(&self, key: &FileKey, written: &Ref) -> bool {
        written.kind == FileKind::NAME && FileKind.touched_by(key, written)
    }

    fn predicted(&self, key: &FileKey, world: &Predicted<'_>) -> Shadow<FileKey, Vec<Entry>> {
        match below(&key.path, world, Start::Host) {
            Below::Host { changed: false } => Shadow::AsRead,
            Below::Host { changed: true } => Shadow::Over,
            Below::Only(entries) => Shadow::Known(entries.into_values().collect()),
            Below::Unknown(task) => Shadow::Unknown(until(&task)),
        }
    }

    fn over(
        &self,
        key: &FileKey,
        read: Vec<Entry>,
        world: &Predicted<'_>,
    ) -> Result<Vec<Entry>, String> {
        let entries = read.into_iter().map(|e| (e.path.clone(), e)).collect();
        match below(&key.path, world, Start::These(entries)) {
            Below::Only(entries) => Ok(entries.into_values().collect()),
            Below::Unknown(task) => Err(until(&task)),
            Below::Host { .. } => Err("it was not read".to_owned()),
        }
    }
}

fn until(task: &str) -> String {
    format!("until \"{task}\"")
}

/// What stands below a directory, by path.
type Entries = BTreeMap<String, Entry>;

/// What predictions are put over.
enum Start {
    /// Only the host knows.
    Host,
    /// This was read.
    These(Entries),
}

/// What is predicted of all that stands below a directory.
enum Below {
    /// It is what the host has, but where something of it is changed.
    Host { changed: bool },
    /// It is this and nothing else: it was read, or the directory itself is new, or it is gone.
    Only(Entries),
    /// Something of it may change in this task, in a way or to a state that is not known.
    Unknown(String),
}

fn below(path: &str, world: &Predicted<'_>, start: Start) -> Below {
    // What is only said to change has no state, and may be anything.
    let told = world
        .changes
        .iter()
        .filter(|c| c.key.kind == FileKind::NAME);
    for mark in told.filter(|c| c.from.is_none() && c.to.is_none()) {
        let id = mark.key.id.trim_end_matches('/');
        let id = id.split('*').next().unwrap_or(id);
        if id.starts_with(path) || contains(id, path) {
            return Below::Unknown(mark.task.clone());
        }
    }
    // What is done to a file under one name is done to it under each.
    let is_shared = |s: &Option<FileState>| s.as_ref().is_some_and(|s| s.shared);
    let mut changes = world.of::<FileKind>();
    let elsewhere = changes.find(|(_, from, to, _)| is_shared(from) || is_shared(to));
    let mut found = match (start, elsewhere) {
        (Start::Host, elsewhere) => Below::Host {
            changed: elsewhere.is_some(),
        },
        (Start::These(entries), Some((_, _, _, task))) if entries.values().any(|e| e.shared) => {
            return Below::Unknown(task.to_owned());
        }
        (Start::These(entries), _) => Below::Only(entries),
    };
    for (at, from, to, task) in world.of::<FileKind>() {
        let at = at.path.as_str();
        let was_directory = from.as_ref().map(|s| s.is == FileType::Directory);
        found = if at == path || contains(at, path) {
            match (was_directory, to.as_ref().map(|t| t.is)) {
                (Some(true), Some(FileType::Directory)) => found,
                (_, None | Some(FileType::Link)) => Below::Unknown(task.to_owned()),
                _ => Below::Only(BTreeMap::new()),
            }
        } else if contains(path, at) {
            let name = at[path.len()..].trim_start_matches('/');
            match to {
                Some(to) => found.put(name, was_directory == Some(true), &to, task),
                None => Below::Unknown(task.to_owned()),
            }
        } else {
            found
        };
    }
    found
}

impl Below {
    /// With this state at this place, which a task brings about.
    fn put(self, name: &str, was_directory: bool, to: &FileState, task: &str) -> Self {
        let entry = entry(name, to);
        if !to.is_absent() && entry.is_none() {
            return Self::Unknown(task.to_owned());
        }
        match self {
            Self::Only(mut entries) => {
                // What lay in a directory goes with it.
                if !(was_directory && to.is == FileType::Directory) {
                    entries.retain(|p, _| *p != name && !contains(name, p));
                }
                if let Some(entry) = entry.filter(|_| !to.is_absent()) {
                    entries.insert(name.to_owned(), entry);
                }
                Self::Only(entries)
            }
            Self::Host { .. } => Self::Host { changed: true },
            Self::Unknown(task) => Self::Unknown(task),
        }
    }
}

/// The entry of a state of which everything is known.
pub(super) fn entry(name: &str, state: &FileState) -> Option<Entry> {
    Some(Entry {
        path: name.to_owned(),
        is: state.is,
        mode: state.mode?,
        uid: state.uid?,
        owner: state.owner.clone()?,
        gid: state.gid?,
        group: state.group.clone()?,
        shared: state.shared,
    })
}

pub(super) async fn list(host: &Probe, path: &str) -> Result<Vec<Entry>, HostError> {
    // The slash makes find look into a directory that a link leads to.
    let from = format!("{}/", path.trim_end_matches('/'));
    let argv = [
        "find",
        from.as_str(),
        "-mindepth",
        "1",
        "-printf",
        "%P\\0%y\\0%m\\0%U\\0%u\\0%G\\0%g\\0%n\\0",
    ];
    let reply = host.command(&ReadCommand::new(argv)).await?;
    if reply.status != 0 && reply.stdout.is_empty() {
        let said = String::from_utf8_lossy(&reply.stderr);
        if said.contains("No such file") {
            return Ok(Vec::new());
        }
        return Err(HostError::failed(format!(
            "{path} cannot be listed: {}",
            said.trim()
        )));
    }
    let text = String::from_utf8_lossy(&reply.stdout);
    let fields: Vec<&str> = text.split('\0').collect();
    let mut entries: Vec<Entry> = fields
        .chunks_exact(8)
        .filter_map(|f| {
            Some(Entry {
                path: f[0].to_owned(),
                is: match f[1] {
                    "f" => FileType::File,
                    "d" => FileType::Directory,
                    "l" => FileType::Link,
                    _ => FileType::Other,
                },
                mode: u32::from_str_radix(f[2], 8).ok()?,
                uid: f[3].parse().ok()?,
                owner: f[4].to_owned(),
                gid: f[5].parse().ok()?,
                group: f[6].to_owned(),
                shared: f[1] == "f" && f[7] != "1",
            })
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use runbook_engine::world::PredictedChange;

    use super::*;
    use crate::file::foretold::change;

    fn names(path: &str, changes: &[PredictedChange]) -> Option<Vec<String>> {
        let world = Predicted { changes };
        match ReadKind::predicted(&ListingKind, &FileKey::new(path), &world) {
            Shadow::Known(entries) => Some(entries.into_iter().map(|e| e.path).collect()),
            _ => None,
        }
    }

    /// What is below it, where the host has these.
    fn over(path: &str, read: &[FileState], changes: &[PredictedChange]) -> Vec<String> {
        let world = Predicted { changes };
        let key = FileKey::new(path);
        assert_eq!(
            ReadKind::predicted(&ListingKind, &key, &world),
            Shadow::Over
        );
        let name = |s: &FileState| s.path[path.len() + 1..].to_owned();
        let read = read.iter().filter_map(|s| entry(&name(s), s)).collect();
        let found = ReadKind::over(&ListingKind, &key, read, &world).unwrap();
        found
            .into_iter()
            .map(|e| format!("{} {:o}", e.path, e.mode))
            .collect()
    }

    #[test]
    fn what_changes_below_a_directory_that_is_there_is_put_over_what_the_host_has() {
        let dir = FileState::directory;
        let file = |path: &str| FileState::file(path, "x\n");
        let host = [
            dir("/srv/a"),
            file("/srv/a/x"),
            file("/srv/a-b"),
            dir("/srv/d"),
            file("/srv/d/y"),
        ];
        let closed = FileState {
            mode: Some(0o600),
            ..file("/srv/a/x")
        };
        let gone = |s: &FileState| change(s, &FileState::absent(&s.path));
        let mut changes = vec![change(&file("/srv/a/x"), &closed), gone(&dir("/srv/d"))];
        changes.push(change(&FileState::absent("/srv/new"), &file("/srv/new")));
        let expected = ["a 755", "a-b 644", "a/x 600", "new 644"];
        assert_eq!(over("/srv", &host, &changes), expected);
        // A directory that becomes a file keeps nothing; one that only gets other rights keeps all.
        let kept = FileState {
            mode: Some(0o700),
            ..dir("/srv/a")
        };
        changes.push(change(&dir("/srv/a"), &kept));
        let expected = ["a 700", "a-b 644", "a/x 600", "new 644"];
        assert_eq!(over("/srv", &host, &changes), expected);
        changes.push(change(&kept, &file("/srv/a")));
        assert_eq!(
            over("/srv", &host, &changes),
            ["a 644", "a-b 644", "new 644"]
        );
    }

    #[test]
    fn what_is_below_a_directory_that_will_be_made_is_what_will_be_made_there() {
        let made = |to: FileState| change(&FileState::absent(&to.path), &to);
        let gone = |from: FileState| change(&from, &FileState::absent(&from.path));
        let mut changes = vec![
            made(FileState::directory("/srv")),
            made(FileState::directory("/srv/app")),
            made(FileState::file("/srv/app/conf", "a\n")),
            made(FileState::directory("/srv/old")),
            made(FileState::file("/srv/old/x", "x\n")),
            made(FileState::file("/other", "o\n")),
        ];
        let all = ["app", "app/conf", "old", "old/x"].map(str::to_owned);
        assert_eq!(names("/srv", &changes), Some(all.to_vec()));
        assert_eq!(names("/srv/app", &changes), Some(vec!["conf".to_owned()]));
        changes.push(gone(FileState::directory("/srv/old")));
        let left = ["app", "app/conf"].map(str::to_owned);
        assert_eq!(names("/srv", &changes), Some(left.to_vec()));
        // Of a directory that is there, only the host knows the rest.
        let here = [made(FileState::file("/etc/new", ""))];
        assert_eq!(names("/etc", &here), None);
        // And nobody knows what a command may write.
        changes.push(PredictedChange {
            key: Ref {
                kind: FileKind::NAME.to_owned(),
                id: "/srv/app".to_owned(),
                data: serde_json::Value::Null,
            },
            from: None,
            to: None,
            task: "C".to_owned(),
        });
        assert_eq!(names("/srv", &changes), None);
    }
}
