//! The kind `file`: regular files, directories and links by their path.
//!
//! A file is written beside its place, checked by its validator, flushed and renamed over. What a write replaces and
//! the journal does not hold (files over 1 MiB, directories with something in them) is renamed aside in the same
//! directory as `.NAME.runbook-INODE~`: never a copy, out of reach of every `*.conf`, and found again by its inode.

use async_trait::async_trait;
use runbook_engine::host::{FileEntry, FileQuery, FileType, HostError, Probe, ReadCommand, Target};
use runbook_engine::module::reference;
use runbook_engine::resource::{
    Amid, Change, Kept, KeyedChange, Kind, Names, Place, Ref, Reversible, Shadow, WriteError,
    contains,
};
use runbook_engine::transport::quote::word;
use runbook_engine::world::Predicted;

use super::account::Named;
use super::compare::{self, text_of};
use super::foresee;
use super::masking::secrets;
use super::place::PathKind;
use super::rights::{self, creator};
use super::state::{CONTENT_LIMIT, Content, Creator, FileKey, FileState, FileWant, Handed, parent};
use super::write;

/// Files, directories and links.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileKind;

#[async_trait]
impl Kind for FileKind {
    type Key = FileKey;
    type State = FileState;
    type Want = FileWant;

    const NAME: &'static str = "file";
    const AMID: bool = true;
    const NAMES: Option<Names> = Some(Names {
        thing: "inode",
        shared: "shared",
        own: &["path", "closed", "creator"],
    });

    async fn read(&self, host: &Probe, keys: &[FileKey]) -> Vec<Result<FileState, HostError>> {
        let queries: Vec<FileQuery> = keys
            .iter()
            .map(|key| FileQuery {
                path: key.path.clone(),
                follow: key.follow,
                content_up_to: Some(CONTENT_LIMIT),
            })
            .collect();
        let (entries, creator) = tokio::join!(host.files(&queries), creator(host));
        match entries {
            Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
            Ok(entries) => entries
                .into_iter()
                .map(|entry| entry.map(|e| state_of(e, creator.as_ref().ok())))
                .collect(),
        }
    }

    fn canonical(&self, key: &FileKey, read: &FileState) -> FileKey {
        if read.path.is_empty() {
            key.clone()
        } else {
            FileKey::new(&read.path)
        }
    }

    fn asked_as(&self, form: &FileKey, asked: &FileKey) -> FileKey {
        FileKey {
            path: form.path.clone(),
            follow: asked.follow,
        }
    }

    fn differences(&self, want: &FileWant, read: &FileState) -> Vec<String> {
        compare::differences(want, read)
    }

    fn predict(&self, want: &FileWant, from: &FileState) -> FileState {
        foresee::predict(want, from)
    }

    fn text(&self, _key: &FileKey, state: &FileState) -> Option<String> {
        match state.is {
            FileType::Absent => Some(String::new()),
            FileType::File => Some(text_of(state)),
            _ => None,
        }
    }

    fn secrets(&self, state: &FileState) -> Vec<String> {
        state
            .bytes()
            .map(|b| secrets(&String::from_utf8_lossy(b)))
            .unwrap_or_default()
    }

    fn reversible(&self, change: &Change<FileState, FileWant>, key: &FileKey) -> Reversible {
        match (change.from.is, change.to.is) {
            (from @ FileType::Other, to) if from != to => {
                Reversible::Never("a socket, pipe or device is not made again".to_owned())
            }
            // Its content goes, or comes anew, under this name alone.
            (FileType::File, _)
                if change.from.shared
                    && change.from.content.is_some()
                    && change.from.inode != change.to.inode =>
            {
                Reversible::Loses(format!(
                    "{} is one of several names of a file, and comes back as a file of its own",
                    key.path
                ))
            }
            _ => Reversible::Yes,
        }
    }

    fn hinders(
        &self,
        key: &FileKey,
        change: &Change<FileState, FileWant>,
        world: &Predicted<'_>,
    ) -> Option<String> {
        let path = key.path.as_str();
        let mut from = change.from.clone();
        // A task before it may make the directory, open it, or close it.
        for (at, _, to, _) in world.of::<Self>() {
            if at.path == parent(path) {
                let user = from.creator.as_ref();
                let open = |dir| user.is_none_or(|user| rights::may_write(user, &dir));
                from.closed = to.is_some_and(|dir| !open(dir));
            } else if contains(&at.path, path) {
                from.closed = false;
            }
        }
        rights::refusal(path, &from, &change.to)
    }

    fn assumes(&self, key: &FileKey, change: &Change<FileState, FileWant>) -> Vec<String> {
        let content = change.from.sha256 != change.to.sha256;
        let validator = change.want.validate.as_ref().filter(|_| content);
        validator
            .map(|command| format!("`{command}` accepts the new content of {}", key.path))
            .into_iter()
            .collect()
    }

    fn still(&self, _key: &FileKey, change: &Change<FileState, FileWant>, now: &FileState) -> bool {
        compare::is_still(&change.to, now)
    }

    fn drifted(
        &self,
        _key: &FileKey,
        want: Option<&FileWant>,
        was: &FileState,
        now: &FileState,
    ) -> Vec<String> {
        compare::drifted(want, was, now)
    }

    async fn within(
        &self,
        host: &Probe,
        changes: &[KeyedChange<Self>],
    ) -> Vec<Result<Vec<FileKey>, HostError>> {
        // What came back from where it was kept came with all that is in it, and is kept again when it goes.
        let made = |c: &KeyedChange<Self>| {
            c.change.to.is == FileType::Directory
                && c.change.from.is != FileType::Directory
                && c.change.want.earlier.is_none()
        };
        let lists = changes.iter().map(|keyed| async move {
            if !made(keyed) {
                return Ok(Vec::new());
            }
            let path = &keyed.key.path;
            let entries = super::listing::list(host, path).await?;
            // What this program has put aside there is nobody's.
            let theirs = entries.iter().filter(|e| !write::is_aside(&e.path));
            Ok(theirs
                .map(|e| FileKey::new(&super::state::join(path, &e.path)))
                .collect())
        });
        futures::future::join_all(lists).await
    }

    fn back(&self, _key: &FileKey, change: &Change<FileState, FileWant>) -> Option<FileWant> {
        let from = &change.from;
        let content = match (from.is, &from.content) {
            (FileType::File, Some(content)) => Some(super::state::Source::Bytes(content.clone())),
            _ => None,
        };
        // What is too large to be carried, and a directory with all that is in it, come back from where they were kept.
        let kept = match from.is {
            FileType::File => from.content.is_none() && from.sha256 != change.to.sha256,
            FileType::Directory => change.to.is != FileType::Directory,
            _ => false,
        };
        Some(FileWant {
            is: Some(from.is),
            content,
            earlier: kept.then(|| Box::new(from.clone())),
            mode: from.mode.filter(|_| from.is != FileType::Link),
            owner: from.mode.and(from.owner.clone()),
            group: from.mode.and(from.group.clone()),
            owner_is: named(from.owner.as_ref(), from.uid),
            group_is: named(from.group.as_ref(), from.gid),
            link: from.link.clone(),
            ..FileWant::default()
        })
    }

    fn touched_by(&self, key: &FileKey, written: &Ref) -> bool {
        let id = key.path.as_str();
        let other = written.id.trim_end_matches('/');
        written.kind == Self::NAME && (id == other || contains(id, other) || contains(other, id))
    }

    /// What a link leads to, and the path itself; of a pattern, the directory that all it finds lies in.
    fn places(&self, id: &str) -> Vec<Place> {
        if !id.starts_with('/') {
            return Vec::new();
        }
        let fixed = id.find('*').map_or(id, |star| parent(&id[..star]));
        let at = |key: FileKey| Place {
            key: reference::<PathKind>(&key),
            below: id[fixed.len()..].to_owned(),
        };
        let end = at(FileKey::following(fixed));
        if fixed == id {
            vec![end, at(FileKey::new(fixed))]
        } else {
            vec![end]
        }
    }

    fn predicted(&self, key: &FileKey, world: &Predicted<'_>) -> Shadow<FileKey, FileState> {
        foresee::shadow(key, world)
    }

    fn amid(
        &self,
        key: &FileKey,
        known: Result<FileState, String>,
        world: &Predicted<'_>,
    ) -> Amid<FileState> {
        match foresee::seen(key, known, world) {
            Amid::State(state) => Amid::State(foresee::holding(state, world)),
            hidden => hidden,
        }
    }

    fn seen_by(&self, state: &FileState, user: &str) -> Option<FileKey> {
        let creator = state.creator.as_ref()?;
        (creator.owner != user).then(|| FileKey::new("/"))
    }

    fn as_seen(&self, state: FileState, other: &FileState) -> FileState {
        let handed = state.creator.as_ref().and_then(|c| c.handed.clone());
        let creator = other.creator.clone().map(|c| Creator { handed, ..c });
        match state.is {
            FileType::Absent => FileState::absent_for(&state.path, creator.as_ref()),
            _ => FileState { creator, ..state },
        }
    }

    fn comes_on_the_way(&self, read: &FileState) -> bool {
        read.is_absent()
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        write::write(host, changes).await
    }

    async fn recover(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        write::recover(host, changes).await
    }

    fn is_whole(&self, state: &FileState) -> bool {
        state.is != FileType::Directory
    }

    async fn is_kept(&self, host: &Probe, kept: &[Kept]) -> Result<Vec<bool>, HostError> {
        let look = "for p; do if [ -e \"$p\" ] || [ -L \"$p\" ]; then echo there; else echo gone; fi; done";
        let words = ["sh", "-c", look, "sh"].into_iter();
        let words = words.chain(kept.iter().map(|k| k.place.as_str()));
        let reply = host.command(&ReadCommand::new(words)).await?;
        let text = String::from_utf8_lossy(&reply.stdout).into_owned();
        let found: Vec<bool> = text.lines().map(|line| line == "there").collect();
        if found.len() == kept.len() {
            return Ok(found);
        }
        let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
        Err(HostError::failed(format!(
            "it cannot be seen what is still kept aside: {said}"
        )))
    }

    async fn discard(&self, host: &Target, kept: &Kept) -> Result<(), HostError> {
        let name = kept.place.rsplit('/').next().unwrap_or_default();
        if !write::is_aside(name) {
            return Err(HostError::failed(format!(
                "{} is not a thing that was kept aside; it is left as it is",
                kept.place
            )));
        }
        let reply = host
            .script(&format!("rm -rf -- {}", word(&kept.place)), None)
            .await?;
        if reply.status == 0 {
            Ok(())
        } else {
            Err(HostError::failed(format!(
                "{} could not be removed: {}",
                kept.place,
                String::from_utf8_lossy(&reply.stderr).trim()
            )))
        }
    }
}

fn named(name: Option<&String>, id: Option<u32>) -> Option<Named> {
    Some(Named {
        name: name?.clone(),
        id: id?,
    })
}

fn state_of(entry: FileEntry, creator: Option<&std::sync::Arc<Creator>>) -> FileState {
    let handed = entry.handed.map(|(gid, group)| Handed {
        gid: Some(gid),
        group: Some(group),
    });
    let creator = creator.map(|creator| Creator {
        handed,
        ..creator.as_ref().clone()
    });
    let theirs = creator
        .as_ref()
        .is_some_and(|c| c.uid != 0 && c.uid != entry.uid);
    let there = entry.file_type != FileType::Absent;
    let closed = !entry.writable || (entry.sticky && there && theirs);
    if entry.file_type == FileType::Absent {
        return FileState {
            closed,
            ..FileState::absent_for(&entry.real_path, creator.as_ref())
        };
    }
    FileState {
        path: entry.real_path,
        is: entry.file_type,
        mode: Some(entry.mode),
        uid: Some(entry.uid),
        owner: Some(entry.owner),
        gid: Some(entry.gid),
        group: Some(entry.group),
        size: (entry.file_type == FileType::File).then_some(entry.size),
        sha256: entry.sha256,
        content: entry.content.map(|c| Content(c.to_vec())),
        link: entry.link,
        shared: entry.file_type == FileType::File && entry.links > 1,
        inode: Some(entry.inode),
        mtime: Some(entry.mtime),
        closed,
        creator,
    }
}
