//! The module `file`: what stands at a path, its mode and its owner.

use std::collections::HashSet;

use indexmap::IndexMap;
use runbook_engine::action::Effects;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Mark, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::account::{self, AccountKind};
use super::compare::type_name;
use super::listing::ListingKind;
use super::place::PathKind;
use super::rights::{may, owns};
use super::state::{FileKey, FileState, FileWant, Hard, join, parent, tidy};
use super::target::{
    absolute, facts_of, leads_to_nothing, missing_parents, need_parent, need_parent_of_end,
    set_attributes,
};
use super::{FileKind, Mode};
use crate::command::exec::{Exec, ExecCall};

/// Arguments of `file`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileArgs {
    /// The absolute path. Also written `dest` or `name`.
    #[serde(alias = "dest", alias = "name")]
    pub path: String,
    /// What shall stand there. Without it: what stands there now, of which mode and owner are set.
    pub state: Option<FileStateArg>,
    /// What a link points to, as it shall be written in it; for `hard` the other file.
    pub src: Option<String>,
    /// Permission bits, octal or symbolic. Without it they stay; new files get 0644, new directories 0755.
    pub mode: Option<Mode>,
    /// Owner, name or number.
    pub owner: Option<String>,
    /// Group, name or number.
    pub group: Option<String>,
    /// Set mode, owner and group of everything below the directory too. Default: no.
    #[serde(default)]
    pub recurse: bool,
    /// Where the path is a link: work on what it points to. Default: yes.
    #[serde(default = "yes")]
    pub follow: bool,
    /// Make a link although its target does not exist or something else stands in its place. Default: no.
    #[serde(default)]
    pub force: bool,
    /// For `touch`: `now` or `preserve`. Default: now.
    pub modification_time: Option<TouchTime>,
    /// For `touch`: `now` or `preserve`. Default: now.
    pub access_time: Option<TouchTime>,
}

/// What shall stand at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileStateArg {
    /// A file that is already there; `file` does not make one (see `copy`, or `touch`).
    File,
    /// A directory, made with its parents where it is missing.
    Directory,
    /// A symbolic link.
    Link,
    /// A hard link.
    Hard,
    /// A file, made empty where it is missing, with new times where it is not.
    Touch,
    /// Nothing. A directory goes with all that is in it.
    Absent,
}

/// A time for `touch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TouchTime {
    /// The time of the run: a change every time.
    Now,
    /// As it is.
    Preserve,
}

fn yes() -> bool {
    true
}

/// The module.
pub struct File;

impl Module for File {
    type Args = FileArgs;
    const NAME: &'static str = "file";
    const SUMMARY: &'static str =
        "Sets what stands at a path: a directory, a link, nothing; its mode and owner.";
    const DOC: &'static str = r#"
```yaml
- file: {path: /var/backups/upgrade, state: directory, mode: "0700", owner: root}
- file: {path: /etc/localtime, src: /usr/share/zoneinfo/Europe/Vienna, state: link}
- file: {path: /srv/old, state: absent}
```

**Check mode** predicts everything but the time that `touch` gives, also below directories that an earlier task makes, changes
or removes.

**Way back.** What is removed and is large (a directory, a file over 1 MiB) is renamed to `.NAME.runbook-…~` beside its place
and stays there until `runbook close`: it comes back as it was. A smaller file comes back with content, mode and owner, not
with its times, access lists, extended attributes and capabilities; of several names of one file only this one, and the plan
says so.

**On the target**: a POSIX shell with `stat`, `chmod`, `chown`, `mv`; `find` of GNU for `recurse`.
"#;
    const PATHS: &'static [&'static str] = &["path", "dest", "name"];

    fn validate(args: &FileArgs) -> Result<(), String> {
        use FileStateArg::{Directory, Hard, Link};
        match (args.state, &args.src) {
            (Some(Hard), None) => Err("`state: hard` needs `src`, the other file".to_owned()),
            (Some(Link), None) if !args.follow => Err("`state: link` needs `src`".to_owned()),
            (Some(state), Some(_)) if !matches!(state, Link | Hard) => {
                Err("`src` goes with `state: link` and `state: hard` only".to_owned())
            }
            (state, _) if args.recurse && state.is_some_and(|s| s != Directory) => {
                Err("`recurse` goes with `state: directory` only".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn touches(args: &FileArgs) -> Footprint {
        let path = tidy(&args.path);
        let mut footprint = Footprint::nothing()
            .writes(FileKind::NAME, &path)
            .reads(FileKind::NAME, parent(&path))
            .reads(AccountKind::NAME, "*");
        if args.recurse || args.force || args.state == Some(FileStateArg::Absent) {
            footprint = footprint.reads(ListingKind::NAME, &path);
        }
        match (&args.src, args.state) {
            (Some(src), Some(FileStateArg::Hard)) if gives_rights(args) => footprint
                .reads(FileKind::NAME, src)
                .writes(FileKind::NAME, tidy(src)),
            (Some(src), Some(FileStateArg::Hard)) => footprint.reads(FileKind::NAME, src),
            (Some(src), _) => {
                let end = join(parent(&path), src);
                footprint
                    .reads(FileKind::NAME, &end)
                    .writes(FileKind::NAME, end)
            }
            _ => footprint,
        }
    }

    fn want(args: &FileArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let path = absolute(&args.path)?;
        let wanted = match args.state {
            Some(FileStateArg::Absent) => return absent(&path, world),
            Some(FileStateArg::Directory) => directory(args, &path, world)?,
            Some(FileStateArg::Link) => link(args, &path, world)?,
            Some(FileStateArg::Hard) => hard(args, &path, world)?,
            Some(FileStateArg::Touch) => touch(args, &path, world)?,
            Some(FileStateArg::File) => existing(args, &path, world)?,
            None => {
                let now = world.get::<FileKind>(&key(args, &path))?;
                match now.is {
                    FileType::Absent if args.recurse => directory(args, &path, world)?,
                    FileType::Directory => directory(args, &path, world)?,
                    _ => existing(args, &path, world)?,
                }
            }
        };
        let at = key(args, &path);
        account::known(wanted, world, &at, args.owner.as_ref(), args.group.as_ref())
    }

    fn output(args: &FileArgs, _before: &View<'_>, after: &View<'_>) -> IndexMap<String, Value> {
        let name = match args.state {
            Some(FileStateArg::Link | FileStateArg::Hard | FileStateArg::Touch) => "dest",
            _ => "path",
        };
        let follows = !matches!(
            args.state,
            Some(FileStateArg::Absent | FileStateArg::Link | FileStateArg::Hard)
        );
        let key = FileKey {
            follow: args.follow && follows,
            ..FileKey::new(&args.path)
        };
        facts_of(after, &key, &args.path, name)
    }
}

fn key(args: &FileArgs, path: &str) -> FileKey {
    FileKey {
        path: path.to_owned(),
        follow: args.follow,
    }
}

/// Is a mode, an owner or a group asked for?
fn gives_rights(args: &FileArgs) -> bool {
    args.mode.is_some() || args.owner.is_some() || args.group.is_some()
}

fn attributes(args: &FileArgs, now: &FileState, is: FileType) -> Result<FileWant, Stop> {
    let mut want = FileWant {
        is: Some(is),
        ..FileWant::default()
    };
    set_attributes(
        &mut want,
        now,
        is,
        args.mode.as_ref(),
        args.owner.as_ref(),
        args.group.as_ref(),
    )?;
    Ok(want)
}

fn existing(args: &FileArgs, path: &str, world: &View<'_>) -> Result<Wanted, Stop> {
    let now = world.get::<FileKind>(&key(args, path))?;
    let expected_file = args.state == Some(FileStateArg::File);
    match now.is {
        FileType::Absent => Err(Stop::refuse(format!(
            "{path} does not exist; `state: touch` makes an empty file, `state: directory` a directory"
        ))),
        FileType::Directory | FileType::Other if expected_file => Err(Stop::refuse(format!(
            "{path} is a {}, not a file",
            type_name(now.is)
        ))),
        is => Ok(Wanted::one::<FileKind>(
            &FileKey::found_at(&now.path, path),
            &attributes(args, &now, is)?,
        )),
    }
}

/// What lies in a directory goes with it, so that is looked at too.
fn absent(path: &str, world: &View<'_>) -> Result<Wanted, Stop> {
    let key = FileKey::new(path);
    let mut wanted = Wanted::one::<FileKind>(
        &key,
        &FileWant {
            is: Some(FileType::Absent),
            ..FileWant::default()
        },
    );
    let now = world.get::<FileKind>(&key)?;
    if now.is == FileType::Directory {
        match world.get::<ListingKind>(&FileKey::found_at(&now.path, path)) {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => wanted.notes.push(match entries.len() {
                1 => "what lies in it goes with it".to_owned(),
                n => format!("the {n} things in it go with it"),
            }),
            // A task before this one changes what lies in it.
            Err(Stop::Unknown(_)) => {}
            Err(stop) => return Err(stop),
        }
    }
    Ok(wanted)
}

fn directory(args: &FileArgs, path: &str, world: &View<'_>) -> Result<Wanted, Stop> {
    let mut missing = missing_parents(world, path, &key(args, path))?;
    let now = world.get::<FileKind>(&key(args, path))?;
    if missing.is_empty() && leads_to_nothing(world, path, &now)? {
        missing = missing_parents(world, &now.path, &FileKey::new(&now.path))?;
    }
    if !matches!(now.is, FileType::Absent | FileType::Directory) {
        return Err(Stop::refuse(format!(
            "{path} is already there as a {}",
            type_name(now.is)
        )));
    }
    let mut wanted = Wanted::nothing();
    for (parent, state) in &missing {
        wanted.set::<FileKind>(parent, &attributes(args, state, FileType::Directory)?);
    }
    let at = FileKey::found_at(&now.path, path);
    wanted.set::<FileKind>(&at, &attributes(args, &now, FileType::Directory)?);
    if args.recurse && now.is == FileType::Directory {
        let mut told = HashSet::new();
        for entry in world.get::<ListingKind>(&at)? {
            // Of two names of one file the second has what is given to the first.
            let is_new = |inode: &String| told.insert(inode.clone());
            if entry.is == FileType::File && !entry.inode.as_ref().is_none_or(is_new) {
                continue;
            }
            let state = FileState {
                is: entry.is,
                mode: Some(entry.mode),
                uid: entry.uid,
                owner: entry.owner,
                gid: entry.gid,
                group: entry.group,
                ..FileState::absent(&join(&at.path, &entry.path))
            };
            let mut want = attributes(args, &state, entry.is)?;
            if entry.is == FileType::Link {
                want.mode = None;
            }
            if !FileKind.differences(&want, &state).is_empty() {
                wanted.set::<FileKind>(&FileKey::new(&state.path), &want);
            }
        }
    }
    Ok(wanted)
}

fn link(args: &FileArgs, path: &str, world: &View<'_>) -> Result<Wanted, Stop> {
    let at = FileKey::new(path);
    let now = world.get::<FileKind>(&at)?;
    let src = match (&args.src, &now.link) {
        (Some(src), _) => src.clone(),
        (None, Some(link)) => link.clone(),
        (None, None) => {
            return Err(Stop::refuse(format!(
                "`src` is needed: {path} is no link yet"
            )));
        }
    };
    let end_path = join(parent(path), &src);
    let end_key = FileKey::following(&end_path);
    // What the link leads to is looked at where it matters: whether it is there, and what is there for its rights.
    let gives = args.follow && gives_rights(args);
    let mut keys = vec![reference::<FileKind>(&FileKey::following(parent(path)))];
    keys.extend((!args.force).then(|| reference::<PathKind>(&end_key)));
    keys.extend(gives.then(|| reference::<FileKind>(&end_key)));
    world.need(&keys)?;
    need_parent(world, path)?;
    if !args.force && world.get::<PathKind>(&end_key)?.is == FileType::Absent {
        return Err(Stop::refuse(format!(
            "{end_path}, to which the link shall lead, does not exist; `force: true` makes the link nevertheless"
        )));
    }
    match now.is {
        FileType::Absent | FileType::Link => {}
        is if !args.force => {
            return Err(Stop::refuse(format!(
                "{path} is already there as a {}; `force: true` puts the link into its place",
                type_name(is)
            )));
        }
        FileType::Directory
            if !world
                .get::<ListingKind>(&FileKey::found_at(&now.path, path))?
                .is_empty() =>
        {
            return Err(Stop::refuse(format!(
                "{path} is a directory that is not empty; it is not made a link"
            )));
        }
        _ => {}
    }
    let mut wanted = Wanted::one::<FileKind>(
        &at,
        &FileWant {
            is: Some(FileType::Link),
            link: Some(src),
            owner: args.owner.clone().filter(|_| !args.follow),
            group: args.group.clone().filter(|_| !args.follow),
            ..FileWant::default()
        },
    );
    if gives {
        let end = world.get::<FileKind>(&end_key)?;
        if !end.is_absent() {
            wanted.set::<FileKind>(
                &FileKey::found_at(&end.path, &end_path),
                &attributes(args, &end, end.is)?,
            );
        }
    }
    Ok(wanted)
}

fn hard(args: &FileArgs, path: &str, world: &View<'_>) -> Result<Wanted, Stop> {
    let src = absolute(args.src.as_deref().unwrap_or_default())?;
    let at = FileKey::new(path);
    let states = world.all::<FileKind>(&[at.clone(), FileKey::following(&src)])?;
    let [now, other] = states.as_slice() else {
        return Err(Stop::refuse("the world gave no state"));
    };
    if other.is != FileType::File {
        return Err(Stop::refuse(format!(
            "{src} is a {}; only a file can get another name",
            type_name(other.is)
        )));
    }
    if !matches!(now.is, FileType::Absent) && now.inode != other.inode && !args.force {
        return Err(Stop::refuse(format!(
            "{path} is already there as another {}; `force: true` puts the link into its place",
            type_name(now.is)
        )));
    }
    if now.is == FileType::Directory {
        return Err(Stop::refuse(format!(
            "{path} is a directory; it is not made a link"
        )));
    }
    need_parent(world, path)?;
    let mut want = attributes(args, other, FileType::File)?;
    let mut wanted = Wanted::nothing();
    if now.inode != other.inode && gives_rights(args) {
        // They are those of the file, under each of its names.
        wanted.set::<FileKind>(&FileKey::found_at(&other.path, &src), &want);
    }
    want.hard = Some(Hard {
        path: other.path.clone(),
        inode: other.inode.clone(),
        owner: other.belongs_to(),
    });
    want.content = Some(super::Source::Copy {
        path: other.path.clone(),
        sha256: other.sha256.clone().unwrap_or_default(),
        size: other.size.unwrap_or_default(),
        content: other.content.clone(),
    });
    if want.mode.is_none() {
        want.mode = other.mode;
    }
    wanted.set::<FileKind>(&at, &want);
    Ok(wanted)
}

fn touch(args: &FileArgs, path: &str, world: &View<'_>) -> Result<Wanted, Stop> {
    let now = world.get::<FileKind>(&key(args, path))?;
    let at = FileKey::found_at(&now.path, path);
    if now.is_absent() {
        need_parent(world, path)?;
        need_parent_of_end(world, path, &now)?;
        return Ok(Wanted::one::<FileKind>(
            &at,
            &attributes(args, &now, FileType::File)?,
        ));
    }
    let want = attributes(args, &now, now.is)?;
    let mut wanted = Wanted::one::<FileKind>(&at, &want);
    let flag = match (
        args.access_time != Some(TouchTime::Preserve),
        args.modification_time != Some(TouchTime::Preserve),
    ) {
        (true, true) => Some("-am"),
        (true, false) => Some("-a"),
        (false, true) => Some("-m"),
        (false, false) => None,
    };
    if let Some(flag) = flag {
        if now.is != FileType::Link
            && let Some(user) = now.creator.as_ref()
            && !owns(user, &now)
            && !may(user, &now, 0o2)
        {
            return Err(Stop::refuse(format!(
                "{path}: {} is neither its owner nor may write to it, and so may not set its times; use `become`",
                user.owner
            )));
        }
        let call = ExecCall::new(["touch", flag, "--", at.path.as_str()]);
        let effects = Effects::Changes(vec![Mark {
            kind: FileKind::NAME.to_owned(),
            id: at.path.clone(),
        }]);
        wanted.action =
            Wanted::action::<Exec>(&call, effects, format!("new times for {}", at.path)).action;
        // Of a link, what it leads to gets them.
        if now.is != FileType::Link {
            let from = FileKind.predict(&want, &now);
            let to = FileState {
                mtime: from.mtime.filter(|_| flag == "-a"),
                ..from.clone()
            };
            wanted.leaves::<FileKind>(&at, &from, &to);
        }
    }
    Ok(wanted)
}
