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
    /// Owner's number; in a prediction it may be unknown, as the name and the group's may.
    pub uid: Option<u32>,
    /// Owner's name.
    pub owner: Option<String>,
    /// Group's number.
    pub gid: Option<u32>,
    /// Group's name.
    pub group: Option<String>,
    /// Device and inode, by which two names of one file are told.
    #[serde(default)]
    pub inode: Option<String>,
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
        match below(&key.path, world, None) {
            Err(why) => Shadow::Unknown(why),
            Ok(Below {
                entries: Some(entries),
                ..
            }) => Shadow::Known(entries.into_values().collect()),
            Ok(Below { changed: true, .. }) => Shadow::Over(None),
            Ok(_) => Shadow::AsRead,
        }
    }

    fn over(
        &self,
        key: &FileKey,
        read: Vec<Entry>,
        world: &Predicted<'_>,
    ) -> Result<Vec<Entry>, String> {
        let read = read.into_iter().map(|e| (e.path.clone(), e)).collect();
        let found = below(&key.path, world, Some(read))?;
        Ok(found.entries.unwrap_or_default().into_values().collect())
    }
}

/// What is predicted of all that stands below a directory.
struct Below {
    /// By path; `None`: what the host has.
    entries: Option<BTreeMap<String, Entry>>,
    /// Something of it is not as the host has it, or may not be.
    changed: bool,
}

/// What the predicted changes make of what stands below a directory; `None`: of what the host has there.
///
/// # Errors
/// Why it is not known.
fn below(
    path: &str,
    world: &Predicted<'_>,
    read: Option<BTreeMap<String, Entry>>,
) -> Result<Below, String> {
    let until = |task: &str| format!("until \"{task}\"");
    // What is only said to change has no state, and may be anything.
    let told = world.changes.iter().find(|c| {
        let told = c.key.kind == FileKind::NAME && c.from.is_none() && c.to.is_none();
        told && may_be_below(c.key.id.trim_end_matches('/'), path)
    });
    if let Some(told) = told {
        return Err(until(&told.task));
    }
    let mut found = Below {
        entries: read,
        changed: false,
    };
    // Why something of it is not known.
    let mut unknown = None;
    for (at, from, to, task) in world.of::<FileKind>() {
        let at = at.path.as_str();
        let was_directory = from.as_ref().map(|s| s.is == FileType::Directory);
        if at == path || contains(at, path) {
            match (was_directory, to.as_ref().map(|t| t.is)) {
                (Some(true), Some(FileType::Directory)) => {}
                (_, None | Some(FileType::Link)) => unknown = Some(until(task)),
                _ => {
                    found.entries = Some(BTreeMap::new());
                    unknown = None;
                }
            }
            continue;
        }
        let name = contains(path, at).then(|| at[path.len()..].trim_start_matches('/'));
        let Some(to) = to else {
            if name.is_some() || from.is_some_and(|s| s.shared) {
                unknown = Some(until(task));
            }
            continue;
        };
        if to.shared {
            found.under_other_names(&to);
        }
        if let Some(name) = name
            && !found.put(name, was_directory == Some(true), &to)
        {
            unknown = Some(until(task));
        }
    }
    unknown.map_or(Ok(found), Err)
}

/// May something with this id, in which a `*` stands for anything, be the directory, lie in it, or hold it?
fn may_be_below(id: &str, path: &str) -> bool {
    match id.split_once('*') {
        None => id == path || contains(path, id) || contains(id, path),
        Some((before, _)) => {
            path.starts_with(before)
                || before.starts_with(&format!("{}/", path.trim_end_matches('/')))
        }
    }
}

impl Below {
    /// A file has come to this state, and is in it under each of its names.
    fn under_other_names(&mut self, to: &FileState) {
        self.changed = true;
        let entries = self.entries.iter_mut().flat_map(|e| e.values_mut());
        for other in entries.filter(|e| e.inode.is_some() && e.inode == to.inode) {
            if let Some(entry) = entry(&other.path, to) {
                *other = entry;
            }
        }
    }

    /// At this place comes this state; false where not all of it is known that an entry tells.
    fn put(&mut self, name: &str, was_directory: bool, to: &FileState) -> bool {
        self.changed = true;
        let entry = entry(name, to);
        if let Some(entries) = &mut self.entries {
            // What lay in a directory goes with it.
            if !(was_directory && to.is == FileType::Directory) {
                entries.retain(|p, _| *p != name && !contains(name, p));
            }
            let theirs = !name.split('/').any(is_aside);
            if let Some(entry) = entry.clone().filter(|_| !to.is_absent() && theirs) {
                entries.insert(name.to_owned(), entry);
            }
        }
        to.is_absent() || entry.is_some()
    }
}

/// The entry of a state, where its mode is known.
pub(super) fn entry(name: &str, state: &FileState) -> Option<Entry> {
    Some(Entry {
        path: name.to_owned(),
        is: state.is,
        mode: state.mode?,
        uid: state.uid,
        owner: state.owner.clone(),
        gid: state.gid,
        group: state.group.clone(),
        inode: state.inode.clone(),
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
        "%P\\0%y\\0%m\\0%U\\0%u\\0%G\\0%g\\0%D:%i\\0",
    ];
    let reply = host.command(&ReadCommand::new(argv)).await?;
    if reply.status != 0 {
        // What goes while it looks is not there; what it may not look into is no empty directory.
        let said = String::from_utf8_lossy(&reply.stderr);
        let refused = said.lines().find(|l| !l.contains("No such file"));
        if let Some(line) = refused {
            return Err(HostError::failed(format!(
                "{path} cannot be listed: {}",
                line.trim()
            )));
        }
        if reply.stdout.is_empty() {
            return Ok(Vec::new());
        }
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
                uid: Some(f[3].parse().ok()?),
                owner: Some(f[4].to_owned()),
                gid: Some(f[5].parse().ok()?),
                group: Some(f[6].to_owned()),
                inode: Some(f[7].to_owned()),
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
            Shadow::Over(None)
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
