//! The kind `listing`: what stands below a directory, with modes and owners but without contents. Read only.

use async_trait::async_trait;
use runbook_engine::host::{FileType, HostError, Probe, ReadCommand, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError, contains,
};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use super::FileKind;
use super::state::FileKey;

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
        futures::future::join_all(keys.iter().map(|key| list(host, &key.path))).await
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
        let met = world.of::<FileKind>().find(|(changed, ..)| {
            changed.path == key.path
                || contains(&key.path, &changed.path)
                || contains(&changed.path, &key.path)
        });
        match met {
            Some((.., task)) => Shadow::Unknown(format!("until \"{task}\"")),
            None => Shadow::AsRead,
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
