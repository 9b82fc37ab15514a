//! What will be at a path: after a write to it, and after writes to what it lies in or leads to.

use std::collections::BTreeMap;

use runbook_engine::host::FileType;
use runbook_engine::resource::{Amid, Shadow, contains};
use runbook_engine::transport::files::{not_readable, shut_out};
use runbook_engine::world::Predicted;

use super::FileKind;
use super::account::Named;
use super::rights::{self, mode_of_new, set_name};
use super::state::{Content, Creator, FileKey, FileState, FileWant, join, parent, tidy};

const PREDICTED: &str = "predicted:";

/// The state when `want` has been written over `from`.
pub(super) fn predict(want: &FileWant, from: &FileState) -> FileState {
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
    let named = |n: &Named| (n.name.clone(), n.id);
    let user = want.owner_is.as_ref().map(named);
    let user = user.or_else(|| creator.map(|c| (c.owner.clone(), c.uid)));
    let group = want.group_is.as_ref().map(named);
    let group = group.or_else(|| creator.map(|c| (c.group.clone(), c.gid)));
    set_name(&want.owner, user, &mut to.owner, &mut to.uid);
    set_name(&want.group, group, &mut to.group, &mut to.gid);
    to
}

/// What the predicted changes leave of a path of which none was predicted itself.
pub(super) fn shadow(key: &FileKey, world: &Predicted<'_>) -> Shadow<FileKey, FileState> {
    if let Some(path) = folded(&key.path, world) {
        let plain = FileKey {
            path,
            follow: key.follow,
        };
        return match shadow(&plain, world) {
            Shadow::AsRead => Shadow::At(plain),
            other => other,
        };
    }
    let mut shadow = Shadow::AsRead;
    for (changed, from, to, task) in world.of::<FileKind>() {
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

/// A directory of which something is predicted that lies in it: when it was last changed is not known any more. Each write
/// takes the place of what was there, so a new content is a new entry, too. What may be made deeper down may need directories
/// on the way.
pub(super) fn holding(state: FileState, world: &Predicted<'_>) -> FileState {
    if state.is != FileType::Directory || state.mtime.is_none() {
        return state;
    }
    let made = |from: Option<&FileState>, to: &FileState| {
        from.is_none_or(|from| from.is != to.is || from.inode != to.inode || from.link != to.link)
    };
    let changed = world.of::<FileKind>().any(|(key, from, to, _)| match &to {
        Some(to) => parent(&key.path) == state.path && made(from.as_ref(), to),
        None => contains(&state.path, &key.path),
    });
    FileState {
        mtime: state.mtime.filter(|_| !changed),
        ..state
    }
}

/// What is known of a path amid predicted changes of rights on the way to it. `known`: what it is, seen by whom; or why it
/// could not be read, by somebody of whom nothing is known then.
pub(super) fn seen(
    key: &FileKey,
    known: Result<FileState, String>,
    world: &Predicted<'_>,
) -> Amid<FileState> {
    let read = known.as_ref().ok();
    let path = read.map_or(&key.path, |read| &read.path).clone();
    let nobody = Creator::nobody();
    let user = read.and_then(|r| r.creator.as_ref()).unwrap_or(&nobody);
    let sees = |state: &FileState| match state.is {
        FileType::Directory => state.path == path || rights::may(user, state, 0o1),
        FileType::File => rights::may(user, state, 0o4),
        _ => true,
    };
    // By the last change of each place on the way.
    let mut ends: BTreeMap<String, (bool, String)> = BTreeMap::new();
    let mut opened = false;
    for (at, from, to, task) in world.of::<FileKind>() {
        if let (Some(from), Some(to)) = (from, to)
            && (at.path == path || contains(&at.path, &path))
        {
            opened |= !sees(&from) && sees(&to);
            ends.insert(at.path, (sees(&to), task.to_owned()));
        }
    }
    // The first one on the way says no.
    let shut = ends.iter().find(|(_, (open, _))| !open);
    let unknown = |task: &str| Amid::Unknown(format!("until \"{task}\""));
    match (shut, known) {
        (None, Ok(state)) => Amid::State(state),
        (Some((at, _)), Ok(_)) if *at == path => Amid::Failed(not_readable(&path).to_string()),
        (Some(_), Ok(_)) => Amid::Failed(shut_out(&path).to_string()),
        (None, Err(_)) if opened => unknown(ends.values().next().map_or("", |(_, task)| task)),
        (_, Err(why)) => Amid::Failed(why),
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

#[cfg(test)]
mod tests {
    use runbook_engine::resource::Kind as _;
    use runbook_engine::world::PredictedChange;

    use super::*;
    use crate::file::foretold;
    use crate::file::state::{Handed, Hard, Source};

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
            groups: Vec::new(),
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
    fn when_a_directory_was_changed_is_unknown_once_something_in_it_is() {
        let dir = FileState {
            mtime: Some(7),
            ..FileState::directory("/srv/d")
        };
        let mtime = |changes: &[PredictedChange]| {
            let world = Predicted { changes };
            holding(dir.clone(), &world).mtime
        };
        let file = |path: &str| FileState {
            inode: Some("1:2".to_owned()),
            ..FileState::file(path, "a\n")
        };
        let content = FileWant {
            content: Some(Source::Bytes("b\n".into())),
            ..want(FileType::File)
        };
        let rights = FileWant {
            mode: Some(0o600),
            ..FileWant::default()
        };
        let made = change(FileState::absent("/srv/d/x"), want(FileType::Directory));
        assert_eq!(mtime(&[made]), None);
        let gone = change(file("/srv/d/x"), want(FileType::Absent));
        assert_eq!(mtime(&[gone]), None);
        assert_eq!(mtime(&[change(file("/srv/d/x"), content.clone())]), None);
        // What is deeper down, beside it, or keeps its place does not show in it.
        assert_eq!(
            mtime(&[change(file("/srv/d/e/x"), content.clone())]),
            Some(7)
        );
        assert_eq!(mtime(&[change(file("/srv/x"), content)]), Some(7));
        assert_eq!(mtime(&[change(file("/srv/d/x"), rights)]), Some(7));
    }

    #[test]
    fn what_a_user_sees_behind_rights_that_change_is_unknown() {
        let mode = |mode: u32| FileWant {
            mode: Some(mode),
            ..FileWant::default()
        };
        let dir = |m: u32| FileState {
            mode: Some(m),
            ..FileState::directory("/srv/d")
        };
        let file = |owner: Option<Creator>| FileState {
            creator: owner,
            ..FileState::file("/srv/d/x", "a\n")
        };
        let key = FileKey::new("/srv/d/x");
        let hidden = |read: Option<FileState>, changes: &[PredictedChange]| {
            let known = read.ok_or_else(|| "denied".to_owned());
            match seen(&key, known.clone(), &Predicted { changes }) {
                Amid::State(state) => known != Ok(state),
                Amid::Failed(why) => known != Err(why),
                Amid::Unknown(_) => true,
            }
        };
        let shut = [change(dir(0o755), mode(0o700))];
        assert!(hidden(Some(file(Some(ops()))), &shut));
        let root = Creator {
            uid: 0,
            ..Creator::nobody()
        };
        assert!(!hidden(Some(file(Some(root))), &shut), "root sees all");
        let open = [change(dir(0o700), mode(0o755))];
        assert!(hidden(None, &open), "what was refused is not any more");
        assert!(!hidden(None, &[change(dir(0o700), mode(0o710))]));
        assert!(!hidden(
            Some(file(Some(ops()))),
            &[change(dir(0o755), mode(0o751))]
        ));
        // Of a file itself the content.
        let own = [change(file(Some(ops())), mode(0o600))];
        assert!(hidden(Some(file(Some(ops()))), &own));
    }

    #[test]
    fn a_hard_link_to_a_file_that_will_be_written_is_known_for_one() {
        let content = FileWant {
            content: Some(Source::Bytes("a\n".into())),
            ..want(FileType::File)
        };
        let file = FileKind.predict(&content, &FileState::absent("/a"));
        let link = FileWant {
            hard: Some(Hard {
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
            content: Some(Source::Bytes("b\n".into())),
            ..want(FileType::File)
        };
        assert_ne!(FileKind.predict(&other, &file).inode, linked.inode);
    }
}
