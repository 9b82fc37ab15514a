//! The kind `listing`: what stands below a directory, with modes and owners but without contents. Read only.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{FileType, HostError, Probe, ReadCommand, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError, contains,
};
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
}

/// How many entries that differ are named before the rest is counted.
const TOLD: usize = 6;

/// What is never asked for: a listing is not written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unchanged {}

#[async_trait]
impl Kind for ListingKind {
    type Key = FileKey;
    /// Sorted by path; empty where there is no such directory.
    type State = Vec<Entry>;
    type Want = Unchanged;

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

    fn differences(&self, _want: &Unchanged, _read: &Vec<Entry>) -> Vec<String> {
        Vec::new()
    }

    fn predict(&self, _want: &Unchanged, from: &Vec<Entry>) -> Vec<Entry> {
        from.clone()
    }

    fn reversible(&self, _change: &Change<Vec<Entry>, Unchanged>, _key: &FileKey) -> Reversible {
        Reversible::Yes
    }

    /// What lies there. Modes and owners count where something is wanted of them, one by one.
    fn drifted(
        &self,
        _key: &FileKey,
        _want: Option<&Unchanged>,
        was: &Vec<Entry>,
        now: &Vec<Entry>,
    ) -> Vec<String> {
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
        match below(&key.path, world) {
            Below::Untouched => Shadow::AsRead,
            Below::Only(entries) => Shadow::Known(entries.into_values().collect()),
            Below::Unknown(task) => Shadow::Unknown(format!("until \"{task}\"")),
        }
    }

    async fn write(
        &self,
        _host: &Target,
        _changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        Ok(Vec::new())
    }
}

/// What is predicted of all that stands below a directory.
enum Below {
    /// It is what the host has.
    Untouched,
    /// It is this and nothing else, by path: the directory itself is new, or it is gone.
    Only(BTreeMap<String, Entry>),
    /// Something of it may change in this task, in a way or to a state that is not known.
    Unknown(String),
}

fn below(path: &str, world: &Predicted<'_>) -> Below {
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
    let mut found = Below::Untouched;
    for (changed, from, to, task) in world.of::<FileKind>() {
        let at = changed.path.as_str();
        let unknown = || Below::Unknown(task.to_owned());
        let is_directory = |s: &Option<FileState>| s.as_ref().map(|s| s.is == FileType::Directory);
        if at == path || contains(at, path) {
            found = match (is_directory(&from), to.as_ref().map(|t| t.is)) {
                (Some(true), Some(FileType::Directory)) => found,
                (_, None | Some(FileType::Link)) => unknown(),
                _ => Below::Only(BTreeMap::new()),
            };
        } else if contains(path, at) {
            let name = at[path.len()..].trim_start_matches('/').to_owned();
            found = match (found, to) {
                (Below::Only(mut entries), Some(to)) => {
                    if !(is_directory(&from) == Some(true) && to.is == FileType::Directory) {
                        entries.retain(|p, _| *p != name && !contains(&name, p));
                    }
                    match (to.is, entry(&name, &to)) {
                        (FileType::Absent, _) => Below::Only(entries),
                        (_, Some(entry)) => {
                            entries.insert(name, entry);
                            Below::Only(entries)
                        }
                        (_, None) => unknown(),
                    }
                }
                _ => unknown(),
            };
        }
    }
    found
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
        "%P\\0%y\\0%m\\0%U\\0%u\\0%G\\0%g\\0",
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
        .chunks_exact(7)
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
        match ListingKind.predicted(&FileKey::new(path), &world) {
            Shadow::Known(entries) => Some(entries.into_iter().map(|e| e.path).collect()),
            _ => None,
        }
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
