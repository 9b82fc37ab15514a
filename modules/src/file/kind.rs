//! The kind `file`: regular files, directories and links by their path.
//!
//! A file is written beside its place, checked by its validator, flushed and renamed over. What a write replaces and
//! the journal does not hold (files over 1 MiB, directories with something in them) is renamed aside in the same
//! directory as `.NAME.runbook-INODE~`: never a copy, out of reach of every `*.conf`, and found again by its inode.

use async_trait::async_trait;
use runbook_engine::host::{FileEntry, FileQuery, FileType, HostError, Probe, ReadCommand, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Names, Ref, Reversible, Shadow, WriteError, contains,
};
use runbook_engine::transport::quote::word;
use runbook_engine::world::Predicted;

use super::masking::{masked, secrets};
use super::state::{
    CONTENT_LIMIT, Content, Creator, FileKey, FileState, FileWant, Handed, SETGID, join, parent,
    tidy,
};
use super::write;

/// Texts longer than this are not compared line by line.
const TEXT_LIMIT: usize = 100_000;

/// Files, directories and links.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileKind;

#[async_trait]
impl Kind for FileKind {
    type Key = FileKey;
    type State = FileState;
    type Want = FileWant;

    const NAME: &'static str = "file";
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
                content_up_to: CONTENT_LIMIT,
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

    fn differences(&self, want: &FileWant, read: &FileState) -> Vec<String> {
        let mut found = Vec::new();
        let is = want.is.unwrap_or(read.is);
        if is != read.is {
            found.push(format!("{} → {}", type_name(read.is), type_name(is)));
        }
        if is == FileType::Absent {
            return found;
        }
        if let (FileType::File, Some(source)) = (is, &want.content) {
            let sha = source.sha256();
            if read.is != FileType::File {
                found.push(format!("content {}", bytes(source.size())));
            } else if read.sha256.as_deref() != Some(&sha) {
                found.push(format!(
                    "content {} → {}",
                    bytes(read.size.unwrap_or_default()),
                    bytes(source.size())
                ));
            }
        }
        if let (FileType::File, Some(earlier)) = (is, &want.earlier)
            && read.sha256 != earlier.sha256
        {
            found.push(format!(
                "content {} → {} as it was",
                bytes(read.size.unwrap_or_default()),
                bytes(earlier.size.unwrap_or_default())
            ));
        }
        if let (FileType::Link, Some(link)) = (is, &want.link)
            && read.link.as_ref() != Some(link)
        {
            found.push(match &read.link {
                Some(old) => format!("link to {old} → {link}"),
                None => format!("link to {link}"),
            });
        }
        if let Some(hard) = &want.hard
            && (hard.inode.is_none() || read.inode != hard.inode)
        {
            found.push(format!("hard link to {}", hard.path));
        }
        if let (Some(mode), true) = (want.mode, is != FileType::Link)
            && (read.mode != Some(mode) || read.is != is)
        {
            found.push(match read.mode.filter(|_| read.is == is) {
                Some(old) => format!("mode {old:04o} → {mode:04o}"),
                None => format!("mode {mode:04o}"),
            });
        }
        let named =
            |what: &str, want: &Option<String>, name: &Option<String>, number: Option<u32>| {
                let want = want.as_ref()?;
                let same =
                    name.as_ref() == Some(want) || number.is_some_and(|n| n.to_string() == *want);
                (!same).then(|| match name {
                    Some(old) => format!("{what} {old} → {want}"),
                    None => format!("{what} {want}"),
                })
            };
        found.extend(named("owner", &want.owner, &read.owner, read.uid));
        found.extend(named("group", &want.group, &read.group, read.gid));
        found
    }

    fn predict(&self, want: &FileWant, from: &FileState) -> FileState {
        let is = want.is.unwrap_or(from.is);
        if let Some(earlier) = &want.earlier {
            return earlier.as_ref().clone();
        }
        if is == FileType::Absent {
            return FileState::absent_for(&from.path, from.creator.as_ref());
        }
        let mut to = from.clone();
        if is != from.is {
            to = FileState {
                uid: from.uid,
                owner: from.owner.clone(),
                gid: from.gid,
                group: from.group.clone(),
                is,
                mode: Some(mode_of_new(is, from.creator.as_ref())),
                creator: from.creator.clone(),
                ..FileState::absent(&from.path)
            };
            if is == FileType::File && want.content.is_none() {
                to.content = Some(Content::default());
                to.sha256 = Some(Content::default().sha256());
                to.size = Some(0);
                to.inode = Some(another(from, ""));
            }
        }
        if let (FileType::File, Some(source)) = (is, &want.content) {
            let sha = source.sha256();
            if to.sha256.as_ref() != Some(&sha) {
                to.inode = Some(another(from, &sha));
                to.shared = false;
                to.mtime = None;
            }
            to.sha256 = Some(sha);
            to.size = Some(source.size());
            to.content = source.content().cloned();
        }
        if let (FileType::Link, Some(link)) = (is, &want.link) {
            if to.link.as_ref() != Some(link) {
                to.inode = Some(another(from, link));
                to.mtime = None;
            }
            to.link = Some(link.clone());
        }
        if let Some(hard) = &want.hard {
            to.inode.clone_from(&hard.inode);
            to.shared = true;
            if let Some(theirs) = hard.owner.clone() {
                (to.uid, to.owner) = (Some(theirs.uid), Some(theirs.owner));
                (to.gid, to.group) = (Some(theirs.gid), Some(theirs.group));
            }
        }
        if let (Some(mode), true) = (want.mode, is != FileType::Link) {
            to.mode = Some(mode);
        }
        let creator = from.creator.as_ref();
        let user = creator.map(|c| (c.owner.as_str(), c.uid));
        let group = creator.map(|c| (c.group.as_str(), c.gid));
        set_name(&want.owner, user, &mut to.owner, &mut to.uid);
        set_name(&want.group, group, &mut to.group, &mut to.gid);
        to
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

    fn reversible(&self, change: &Change<FileState, FileWant>, _key: &FileKey) -> Reversible {
        match (change.from.is, change.to.is) {
            (from @ FileType::Other, to) if from != to => {
                Reversible::Never("a socket, pipe or device is not made again".to_owned())
            }
            _ => Reversible::Yes,
        }
    }

    /// What takes the place of another thing, or goes, is a matter of the directory; owner and mode are the owner's.
    fn hinders(
        &self,
        key: &FileKey,
        change: &Change<FileState, FileWant>,
        world: &Predicted<'_>,
    ) -> Option<String> {
        let (from, to) = (&change.from, &change.to);
        let user = from.creator.as_ref()?;
        let path = key.path.as_str();
        // A task before it may give it away, or open the directory.
        let touched = |id: &str| id == path || contains(id, path);
        if world.of::<Self>().any(|(at, ..)| touched(&at.path)) {
            return None;
        }
        let only_attributes = from.is == to.is
            && from.sha256 == to.sha256
            && from.link == to.link
            && from.inode == to.inode;
        let named = &user.owner;
        if !only_attributes {
            let above = parent(path);
            return match (from.closed, user.uid) {
                (false, _) => None,
                (true, 0) => Some(format!(
                    "{path} cannot be written: {above} is read-only, even for {named}"
                )),
                (true, _) => Some(format!(
                    "{path} cannot be written: {named} may not write to {above}; use `become`"
                )),
            };
        }
        let theirs = from.uid.filter(|uid| user.uid != 0 && *uid != user.uid)?;
        let owner = from.owner.clone().unwrap_or_else(|| theirs.to_string());
        Some(format!(
            "{path} cannot be changed: it belongs to {owner}, and {named} may not; use `become`"
        ))
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
        let to = &change.to;
        // What a prediction could not know (the number of a new owner) is taken as it is.
        let same = |a: Option<String>, b: Option<String>| a.is_none() || a == b;
        let number = |n: Option<u32>| n.map(|n| n.to_string());
        to.is == now.is
            && (to.is == FileType::Absent
                || ((to.is == FileType::Link || same(number(to.mode), number(now.mode)))
                    && same(number(to.uid), number(now.uid))
                    && same(to.owner.clone(), now.owner.clone())
                    && same(number(to.gid), number(now.gid))
                    && same(to.group.clone(), now.group.clone())
                    && same(to.sha256.clone(), now.sha256.clone())
                    && to.link == now.link))
    }

    fn drifted(
        &self,
        _key: &FileKey,
        want: Option<&FileWant>,
        was: &FileState,
        now: &FileState,
    ) -> Vec<String> {
        if was.is != now.is {
            return vec![format!("{} → {}", type_name(was.is), type_name(now.is))];
        }
        let mut lines = Vec::new();
        if was.is == FileType::Absent {
            return lines;
        }
        // What only has its mode set may well grow.
        let content = want.is_none_or(|w| {
            w.content.is_some()
                || w.earlier.is_some()
                || w.hard.is_some()
                || w.is.is_some_and(|is| is != was.is)
        });
        if content && was.sha256.is_some() && was.sha256 != now.sha256 {
            let size = |state: &FileState| bytes(state.size.unwrap_or_default());
            lines.push(match (size(was), size(now)) {
                (old, new) if old == new => format!("other content, {new}"),
                (old, new) => format!("content {old} → {new}"),
            });
        }
        // Of what is to go, nothing else will be.
        let goes = want.is_some_and(|w| w.is == Some(FileType::Absent));
        if was.link != now.link {
            let to = |state: &FileState| state.link.clone().unwrap_or_default();
            lines.push(format!("link to {} → {}", to(was), to(now)));
        }
        if goes {
            return lines;
        }
        if let (Some(old), Some(new)) = (was.mode, now.mode)
            && was.is != FileType::Link
            && old != new
        {
            lines.push(format!("mode {old:04o} → {new:04o}"));
        }
        // Of a predicted owner it may be that only the name is known, or only the number.
        let mut named =
            |what: &str,
             (name, number): (&Option<String>, Option<u32>),
             (name_now, number_now): (&Option<String>, Option<u32>)| {
                let same_name = name.is_some() && name == name_now;
                let same_number = number.is_some() && number == number_now;
                let shown = |name: &Option<String>, number: Option<u32>| {
                    let number = number.map(|n| n.to_string());
                    name.clone().or(number).unwrap_or_default()
                };
                if (name.is_some() || number.is_some()) && !same_name && !same_number {
                    let (old, new) = (shown(name, number), shown(name_now, number_now));
                    lines.push(format!("{what} {old} → {new}"));
                }
            };
        named("owner", (&was.owner, was.uid), (&now.owner, now.uid));
        named("group", (&was.group, was.gid), (&now.group, now.gid));
        lines
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
            link: from.link.clone(),
            ..FileWant::default()
        })
    }

    fn touched_by(&self, key: &FileKey, written: &Ref) -> bool {
        let id = key.path.as_str();
        let other = written.id.trim_end_matches('/');
        written.kind == Self::NAME && (id == other || contains(id, other) || contains(other, id))
    }

    fn predicted(&self, key: &FileKey, world: &Predicted<'_>) -> Shadow<FileKey, FileState> {
        if let Some(path) = folded(&key.path, world) {
            let plain = FileKey {
                path,
                follow: key.follow,
            };
            return match self.predicted(&plain, world) {
                Shadow::AsRead => Shadow::At(plain),
                other => other,
            };
        }
        let mut shadow = Shadow::AsRead;
        for (changed, from, to, task) in world.of::<Self>() {
            let at = changed.path.as_str();
            if key.path == at {
                shadow = match to {
                    None => Shadow::Unknown(format!("until \"{task}\"")),
                    Some(to) if key.follow && to.is == FileType::Link => Shadow::At(
                        FileKey::following(&join(parent(at), to.link.as_deref().unwrap_or("/"))),
                    ),
                    Some(to) => Shadow::Known(to),
                };
                continue;
            }
            if !contains(at, &key.path) {
                continue;
            }
            let creator = to.as_ref().and_then(|to| {
                let handed = to.hands_on();
                to.creator.clone().map(|c| Creator { handed, ..c })
            });
            let absent = || Shadow::Known(FileState::absent_for(&key.path, creator.as_ref()));
            let handed_on = from.as_ref().and_then(FileState::hands_on);
            shadow = match (from.map(|f| f.is), to) {
                (_, None) => Shadow::Unknown(format!("until \"{task}\"")),
                (_, Some(to))
                    if matches!(to.is, FileType::Absent | FileType::File | FileType::Other) =>
                {
                    absent()
                }
                (was, Some(to)) if to.is == FileType::Directory => match was {
                    // Whose what is made in it will be is seen when the directory is as it will be.
                    Some(FileType::Directory)
                        if parent(&key.path) == at && to.hands_on() != handed_on =>
                    {
                        Shadow::Unknown(format!("until \"{task}\""))
                    }
                    Some(FileType::Directory) => shadow,
                    _ => absent(),
                },
                (_, Some(to)) => {
                    let end = join(parent(at), to.link.as_deref().unwrap_or("/"));
                    let below = format!("{end}{}", &key.path[at.len()..]);
                    Shadow::At(FileKey {
                        path: tidy(&below),
                        follow: key.follow,
                    })
                }
            };
        }
        shadow
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

/// The path without the first `..` that leads out of a directory which is predicted to be made. Of what is there already
/// only the host knows what `..` means.
fn folded(path: &str, world: &Predicted<'_>) -> Option<String> {
    if !path.contains("/..") {
        return None;
    }
    let made: Vec<String> = world
        .of::<FileKind>()
        .filter(|(_, from, to, _)| {
            to.as_ref().is_some_and(|t| t.is == FileType::Directory)
                && from.as_ref().is_none_or(|f| f.is != FileType::Directory)
        })
        .map(|(key, ..)| key.path)
        .collect();
    let mut from = 0;
    while let Some(at) = path[from..].find("/..").map(|at| at + from) {
        let (above, rest) = (&path[..at], &path[at + 3..]);
        if (rest.is_empty() || rest.starts_with('/')) && made.iter().any(|m| m == above) {
            return Some(join(parent(above), rest.trim_start_matches('/')));
        }
        from = at + 1;
    }
    None
}

/// A name or number that is set where one is wanted. The other half is unknown then, only the host can tell; but that of
/// the user or group that reads is known.
fn set_name(
    want: &Option<String>,
    known: Option<(&str, u32)>,
    name: &mut Option<String>,
    number: &mut Option<u32>,
) {
    let Some(want) = want else { return };
    let is = |name: &str, number: u32| name == want || number.to_string() == *want;
    if name.as_ref() == Some(want) || number.is_some_and(|n| n.to_string() == *want) {
        return;
    }
    if let Some((called, numbered)) = known.filter(|(name, number)| is(name, *number)) {
        (*name, *number) = (Some(called.to_owned()), Some(numbered));
        return;
    }
    *number = want.parse().ok();
    *name = number.is_none().then(|| want.clone());
}

/// Stands for the inode of what will be made in place of `from`: another one than any that was, and the same for all
/// who see this prediction, so that a hard link to it is known for one.
fn another(from: &FileState, content: &str) -> String {
    let before = from.inode.as_deref().unwrap_or_default();
    let all = format!("{before}\n{}\n{content}", from.path);
    format!("{PREDICTED}{}", &super::state::sha256(all.as_bytes())[..16])
}

/// Does it only stand for an inode?
pub(super) fn is_predicted(inode: &str) -> bool {
    inode.starts_with(PREDICTED)
}

const PREDICTED: &str = "predicted:";

/// Mode of what is made new without a wanted mode.
pub(super) fn default_mode(is: FileType) -> u32 {
    match is {
        FileType::Directory => 0o755,
        FileType::Link => 0o777,
        _ => 0o644,
    }
}

/// How a type is called in messages.
#[must_use]
pub fn type_name(is: FileType) -> &'static str {
    match is {
        FileType::Absent => "absent",
        FileType::File => "file",
        FileType::Directory => "directory",
        FileType::Link => "link",
        FileType::Other => "socket, pipe or device",
    }
}

fn bytes(size: u64) -> String {
    format!("{size} bytes")
}

fn text_of(state: &FileState) -> String {
    let short = |what: &str| {
        format!(
            "{what}, {}, sha256 {}\n",
            bytes(state.size.unwrap_or_default()),
            state.sha256.as_deref().unwrap_or("unknown")
        )
    };
    let Some(content) = state.bytes() else {
        return short("large");
    };
    if content.len() > TEXT_LIMIT {
        return short("large");
    }
    match std::str::from_utf8(content) {
        Ok(text) if !text.contains('\0') => masked(text),
        _ => short("binary"),
    }
}

/// The mode of what is made without one being asked for. A directory hands on what it was handed.
fn mode_of_new(is: FileType, creator: Option<&Creator>) -> u32 {
    let handed = creator.is_some_and(|c| c.handed.is_some());
    match is {
        FileType::Directory if handed => default_mode(is) | SETGID,
        _ => default_mode(is),
    }
}

/// Whose file it would be that the reading user made.
async fn creator(host: &Probe) -> Result<std::sync::Arc<Creator>, HostError> {
    let name = format!("file creator {:?}", host.user());
    host.session(&name, || async {
        let id = |flag: &'static str| async move {
            let reply = host.command(&ReadCommand::new(["id", flag])).await?;
            Ok::<_, HostError>(String::from_utf8_lossy(&reply.stdout).trim().to_owned())
        };
        let (uid, owner, gid, group) = tokio::try_join!(id("-u"), id("-un"), id("-g"), id("-gn"))?;
        let number = |text: &str| {
            text.parse().map_err(|_| {
                HostError::failed(format!("`id` answered {text:?} in place of a number"))
            })
        };
        Ok(Creator {
            uid: number(&uid)?,
            gid: number(&gid)?,
            owner,
            group,
            handed: None,
        })
    })
    .await
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
    let closed = !entry.writable;
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

#[cfg(test)]
mod tests {
    use runbook_engine::world::PredictedChange;

    use super::*;
    use crate::file::foretold;

    fn change(from: FileState, want: FileWant) -> PredictedChange {
        foretold::change(&from, &FileKind.predict(&want, &from))
    }

    fn want(is: FileType) -> FileWant {
        FileWant {
            is: Some(is),
            ..FileWant::default()
        }
    }

    fn ops() -> Creator {
        Creator {
            uid: 1000,
            owner: "ops".to_owned(),
            gid: 100,
            group: "users".to_owned(),
            handed: None,
        }
    }

    #[test]
    fn a_setgid_directory_hands_on_its_group_and_that_it_does() {
        let devs = || Handed {
            gid: Some(50),
            group: Some("devs".to_owned()),
        };
        let creator = Creator {
            handed: Some(devs()),
            ..ops()
        };
        let before = FileState::absent_for("/srv/shared/app", Some(&creator));
        let made = FileKind.predict(&want(FileType::Directory), &before);
        assert_eq!((made.mode, made.gid), (Some(0o2755), Some(50)));
        let file = FileKind.predict(&want(FileType::File), &before);
        assert_eq!(
            (file.mode, file.group.as_deref()),
            (Some(0o644), Some("devs"))
        );
        // What is made in it is of that group, too; in one whose mode was asked for without the bit it is not.
        let below = |to: &FileState| {
            let changes = [foretold::change(&before, to)];
            let world = Predicted { changes: &changes };
            match FileKind.predicted(&FileKey::new("/srv/shared/app/conf"), &world) {
                Shadow::Known(state) => state.gid,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(below(&made), Some(50));
        let plain = FileWant {
            mode: Some(0o755),
            ..want(FileType::Directory)
        };
        assert_eq!(below(&FileKind.predict(&plain, &before)), Some(100));
        // Where a directory that is there begins to hand it on, what is in it is read again.
        let begins = FileWant {
            mode: Some(0o2775),
            ..want(FileType::Directory)
        };
        let changes = [change(FileState::directory("/srv"), begins)];
        let world = Predicted { changes: &changes };
        let at = |path: &str| FileKind.predicted(&FileKey::new(path), &world);
        assert!(matches!(at("/srv/new"), Shadow::Unknown(_)));
        assert_eq!(at("/srv/deep/new"), Shadow::AsRead);
    }

    #[test]
    fn what_is_made_where_something_was_removed_belongs_to_who_makes_it() {
        let theirs = FileState {
            creator: Some(ops()),
            ..FileState::directory("/srv/app")
        };
        let gone = FileKind.predict(&want(FileType::Absent), &theirs);
        assert_eq!((gone.uid, gone.owner.as_deref()), (Some(1000), Some("ops")));
        // And so does what is made below it.
        let changes = [change(theirs, want(FileType::Absent))];
        let world = Predicted { changes: &changes };
        let below = FileKind.predicted(&FileKey::new("/srv/app/conf"), &world);
        let absent = FileState::absent_for("/srv/app/conf", Some(&ops()));
        assert_eq!(below, Shadow::Known(absent));
    }

    #[test]
    fn up_from_a_directory_that_will_be_made_is_what_holds_it() {
        let changes = [change(
            FileState::absent("/opt/app"),
            want(FileType::Directory),
        )];
        let world = Predicted { changes: &changes };
        let at = |path: &str| FileKind.predicted(&FileKey::following(path), &world);
        assert_eq!(
            at("/opt/app/../etc/conf"),
            Shadow::At(FileKey::following("/opt/etc/conf"))
        );
        assert_eq!(at("/srv/../opt"), Shadow::AsRead, "only the host knows");
        assert_eq!(
            at("/opt/app/..conf"),
            Shadow::Known(FileState::absent("/opt/app/..conf"))
        );
    }

    #[test]
    fn a_hard_link_to_a_file_that_will_be_written_is_known_for_one() {
        let content = FileWant {
            content: Some(super::super::state::Source::Bytes("a\n".into())),
            ..want(FileType::File)
        };
        let file = FileKind.predict(&content, &FileState::absent("/a"));
        let link = FileWant {
            hard: Some(super::super::state::Hard {
                path: "/a".to_owned(),
                inode: file.inode.clone(),
                owner: Some(ops()),
            }),
            ..want(FileType::File)
        };
        let linked = FileKind.predict(&link, &FileState::absent("/b"));
        assert!(FileKind.differences(&link, &linked).is_empty());
        assert_eq!(linked.belongs_to(), Some(ops()), "it is the same file");
        // A content takes the place of the file: the other name keeps the one before.
        let other = FileWant {
            content: Some(super::super::state::Source::Bytes("b\n".into())),
            ..want(FileType::File)
        };
        assert_ne!(FileKind.predict(&other, &file).inode, linked.inode);
    }
}
