//! The module `copy`: files and directories from the controller, or from elsewhere on the host.

use indexmap::IndexMap;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, LocalFile, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::template::content_text;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::account::{self, AccountKind};
use super::compare::type_name;
use super::listing::ListingKind;
use super::state::{Content, FileKey, FileState, FileWant, Source, join, parent, sha256, tidy};
use super::target::{
    absolute, back_up, backups, check_validator, facts_of, missing_parents, need_parent,
    need_parent_of_end, set_attributes, source,
};
use super::{FileKind, Mode};

/// Arguments of `copy`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyArgs {
    /// A file or directory on the controller (looked for in `files/` too), or on the host with `remote_src`. Of a
    /// directory that ends in a slash, what is in it is copied, else the directory itself.
    pub src: Option<String>,
    /// The content itself, in place of `src`. A list or mapping is written as JSON.
    pub content: Option<serde_json::Value>,
    /// Absolute path of the file to be; ending in a slash, or where a directory stands: the directory to copy into.
    pub dest: String,
    /// Permission bits, octal, symbolic, or `preserve` for those of the source. Without it they stay; a new file
    /// gets 0644.
    pub mode: Option<CopyMode>,
    /// Owner, name or number.
    pub owner: Option<String>,
    /// Group, name or number.
    pub group: Option<String>,
    /// Keep the file that is replaced beside it, as `NAME.HASH~`. Default: no.
    #[serde(default)]
    pub backup: bool,
    /// Replace a file whose content differs. No: only where there is none. Default: yes.
    #[serde(default = "yes")]
    pub force: bool,
    /// Where the destination is a link: write to what it points to. Default: no, the link is replaced.
    #[serde(default)]
    pub follow: bool,
    /// A command that checks the new file before it takes its place; `%s` is its path.
    pub validate: Option<String>,
    /// Permission bits of directories that are made. Default: 0755.
    pub directory_mode: Option<Mode>,
    /// `src` is on the host. Default: no.
    #[serde(default)]
    pub remote_src: bool,
    /// Links below a directory are copied as what they point to on the controller. Accepted for Ansible's sake.
    #[serde(default)]
    pub local_follow: Option<bool>,
    /// Decrypt files on the controller that are vaults. Default: yes. Read by the engine when it reads them.
    #[serde(default = "yes")]
    pub decrypt: bool,
    /// SHA-1 that the source must have.
    pub checksum: Option<String>,
}

fn yes() -> bool {
    true
}

/// A mode, or `preserve`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub enum CopyMode {
    /// These bits.
    Bits(Mode),
    /// Those of the source.
    Preserve,
}

impl<'de> Deserialize<'de> for CopyMode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = CopyMode;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mode like 0644 or u=rw,g=r,o=r, or preserve")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CopyMode, E> {
                if text == "preserve" {
                    return Ok(CopyMode::Preserve);
                }
                Mode::parse(text).map(CopyMode::Bits).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, digits: u64) -> Result<CopyMode, E> {
                self.visit_str(&digits.to_string())
            }
            fn visit_i64<E: serde::de::Error>(self, digits: i64) -> Result<CopyMode, E> {
                self.visit_str(&digits.to_string())
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// The module.
pub struct Copy;

impl Module for Copy {
    type Args = CopyArgs;
    const NAME: &'static str = "copy";
    const SUMMARY: &'static str = "Copies files and directories to the host, or writes a content.";
    const DOC: &'static str = r#"
```yaml
- copy: {src: php.ini, dest: /etc/php.ini, owner: root, mode: "0644"}
- copy: {content: "{{ banner }}\n", dest: /etc/motd}
- copy: {src: certs/, dest: /etc/pki/app/, mode: "0600", directory_mode: "0700"}
- copy: {src: /etc/app.conf, dest: /etc/app.conf.old, remote_src: true}
```

The new content is written beside its place, checked by `validate`, flushed to the disk and renamed over. Extended
attributes, access lists and SELinux labels of a replaced file stay.

**Check mode** predicts everything but what `validate` says, which the plan names as an assumption.

**Way back.** Content, mode, owner, access lists and attributes, not the time; of several names of one file only this one,
and the plan says so. A replaced file over 1 MiB stays as `.NAME.runbook-…~` beside its place until `runbook close`.
"#;
    const PATHS: &'static [&'static str] = &["dest"];
    const LOCAL_FILES: &'static [&'static str] = &["src"];
    const REMOTE_FILES: &'static [&'static str] = &["src"];

    fn validate(args: &CopyArgs) -> Result<(), String> {
        match (&args.src, &args.content) {
            (None, None) => return Err("`src` or `content` is missing".to_owned()),
            (Some(_), Some(_)) => return Err("`src` and `content` exclude each other".to_owned()),
            (None, Some(_)) if args.dest.ends_with('/') => {
                return Err("with `content`, `dest` must name a file, not a directory".to_owned());
            }
            (None, _) if args.remote_src => return Err("`remote_src` goes with `src`".to_owned()),
            (None, _) if args.mode == Some(CopyMode::Preserve) => {
                return Err("`mode: preserve` needs `src`".to_owned());
            }
            _ => {}
        }
        check_validator(args.validate.as_ref())
    }

    fn touches(args: &CopyArgs) -> Footprint {
        let dest = tidy(&args.dest);
        let footprint = Footprint::nothing()
            .reads(FileKind::NAME, parent(&dest))
            .reads(AccountKind::NAME, "*")
            .writes(FileKind::NAME, &dest);
        let footprint = if args.backup {
            backups(footprint, &dest)
        } else {
            footprint
        };
        match (&args.src, args.remote_src) {
            (Some(src), true) => footprint
                .reads(FileKind::NAME, tidy(src))
                .reads(ListingKind::NAME, tidy(src)),
            _ => footprint,
        }
    }

    fn want(args: &CopyArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let dest = absolute(&args.dest)?;
        let wanted = match (&args.content, &args.src) {
            (Some(content), _) => {
                let bytes = content_text(&Value::from_json(content)).into_bytes();
                let item = Item::of(Source::Bytes(Content(bytes)), 0o644);
                single(args, &dest, "", &item, world)?
            }
            (None, Some(src)) if args.remote_src => from_host(args, &dest, src, world)?,
            (None, Some(src)) => from_controller(args, &dest, src, world)?,
            (None, None) => return Err(Stop::refuse("`src` or `content` is missing")),
        };
        let at = FileKey {
            follow: args.follow,
            path: dest,
        };
        account::known(wanted, world, &at, args.owner.as_ref(), args.group.as_ref())
    }

    fn output(args: &CopyArgs, before: &View<'_>, after: &View<'_>) -> IndexMap<String, Value> {
        let dest = tidy(&args.dest);
        let key = FileKey {
            path: dest.clone(),
            follow: args.follow,
        };
        let mut at = dest.clone();
        if (before
            .get::<FileKind>(&FileKey::following(&dest))
            .is_ok_and(|s| s.is == FileType::Directory)
            || args.dest.ends_with('/'))
            && let Some(name) = args
                .src
                .as_deref()
                .filter(|s| !s.ends_with('/'))
                .map(base_name)
        {
            at = join(&dest, name);
        }
        let key = if at == dest { key } else { FileKey::new(&at) };
        let mut output = facts_of(after, &key, &at, "dest");
        if let Ok(state) = after.get::<FileKind>(&key)
            && let Some(bytes) = state.bytes()
        {
            use sha1::Digest as _;
            output.insert(
                "checksum".to_owned(),
                Value::from(hex::encode(sha1::Sha1::digest(bytes))),
            );
        }
        if let Some(src) = &args.src {
            output.insert("src".to_owned(), Value::from(src.clone()));
        }
        output
    }
}

/// Wants a content that was rendered from `src`: it is on no disk of the controller, so it travels whole.
pub fn rendered(
    args: &CopyArgs,
    content: Vec<u8>,
    mode: u32,
    world: &View<'_>,
) -> Result<Wanted, Stop> {
    let dest = absolute(&args.dest)?;
    let item = Item::of(Source::Bytes(Content(content)), mode);
    let name = base_name(args.src.as_deref().unwrap_or_default());
    let wanted = single(args, &dest, name, &item, world)?;
    let at = FileKey {
        follow: args.follow,
        path: dest,
    };
    account::known(wanted, world, &at, args.owner.as_ref(), args.group.as_ref())
}

/// A file to be copied.
struct Item {
    source: Source,
    mode: u32,
}

impl Item {
    fn of(source: Source, mode: u32) -> Self {
        Self {
            source,
            mode: mode & 0o7777,
        }
    }

    fn local(file: &LocalFile) -> Self {
        // What was decrypted lies nowhere on the controller that it could be read from later.
        let path = (!file.secret).then_some(file.path.as_path());
        Self::of(source(&file.content, path), file.mode)
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

/// One file to `dest`, or into it where it is a directory or ends in a slash.
fn single(
    args: &CopyArgs,
    dest: &str,
    name: &str,
    item: &Item,
    world: &View<'_>,
) -> Result<Wanted, Stop> {
    let keys = [
        FileKey::new(dest),
        FileKey::following(dest),
        FileKey::following(parent(dest)),
    ];
    world.need(&keys.clone().map(|k| reference::<FileKind>(&k)))?;
    let end = world.get::<FileKind>(&keys[1])?;
    let mut wanted = Wanted::nothing();
    if end.is == FileType::Directory || args.dest.ends_with('/') {
        if name.is_empty() {
            return Err(Stop::refuse(format!(
                "{dest} is a directory; `dest` must name a file"
            )));
        }
        let inner = join(dest, name);
        if end.is == FileType::Absent {
            directories(args, &inner, &mut wanted, world)?;
        } else if end.is != FileType::Directory {
            return Err(Stop::refuse(format!(
                "{dest} is a {}, not a directory",
                type_name(end.is)
            )));
        }
        put(args, &inner, item, &mut wanted, world)?;
    } else {
        need_parent(world, dest)?;
        put(args, dest, item, &mut wanted, world)?;
    }
    Ok(wanted)
}

/// Wants one file at exactly `dest`.
fn put(
    args: &CopyArgs,
    dest: &str,
    item: &Item,
    wanted: &mut Wanted,
    world: &View<'_>,
) -> Result<(), Stop> {
    let now = world.get::<FileKind>(&FileKey {
        path: dest.to_owned(),
        follow: args.follow,
    })?;
    if now.is == FileType::Directory {
        return Err(Stop::refuse(format!(
            "{dest} is a directory; a file is not put into its place"
        )));
    }
    if args.follow {
        need_parent_of_end(world, dest, &now)?;
    }
    let at = FileKey::found_at(&now.path, dest);
    let mut want = FileWant {
        is: Some(FileType::File),
        content: Some(item.source.clone()),
        validate: args.validate.clone(),
        ..FileWant::default()
    };
    if !args.force && !now.is_absent() {
        want.is = Some(now.is);
        want.content = None;
    }
    let mode = match &args.mode {
        Some(CopyMode::Bits(mode)) => Some(mode),
        _ => None,
    };
    set_attributes(
        &mut want,
        &now,
        FileType::File,
        mode,
        args.owner.as_ref(),
        args.group.as_ref(),
    )?;
    if args.mode == Some(CopyMode::Preserve) {
        want.mode = Some(item.mode);
    }
    if args.backup && want.content.is_some() && now.sha256.as_ref() != Some(&item.source.sha256()) {
        back_up(wanted, dest, &now);
    }
    wanted.set::<FileKind>(&at, &want);
    Ok(())
}

/// Wants the directories that are missing above `path`.
fn directories(
    args: &CopyArgs,
    path: &str,
    wanted: &mut Wanted,
    world: &View<'_>,
) -> Result<(), Stop> {
    for (key, state) in missing_parents(world, path, &FileKey::new(path))? {
        directory(args, &key, &state, wanted)?;
    }
    Ok(())
}

fn directory(
    args: &CopyArgs,
    key: &FileKey,
    now: &FileState,
    wanted: &mut Wanted,
) -> Result<(), Stop> {
    let mut want = FileWant {
        is: Some(FileType::Directory),
        ..FileWant::default()
    };
    let (owner, group) = (args.owner.as_ref(), args.group.as_ref());
    // As in Ansible, directory_mode is for directories that are made, not for those that are there.
    let mode = args.directory_mode.as_ref().filter(|_| now.is_absent());
    set_attributes(&mut want, now, FileType::Directory, mode, owner, group)?;
    wanted.set::<FileKind>(key, &want);
    Ok(())
}

fn from_controller(
    args: &CopyArgs,
    dest: &str,
    src: &str,
    world: &View<'_>,
) -> Result<Wanted, Stop> {
    let file = world.local(src)?;
    let Some(entries) = &file.entries else {
        let item = Item::local(file);
        if let Some(expected) = &args.checksum {
            use sha1::Digest as _;
            let found = hex::encode(sha1::Sha1::digest(&file.content));
            if found != *expected {
                return Err(Stop::refuse(format!(
                    "{src} has the SHA-1 {found}, not {expected} as asked"
                )));
            }
        }
        return single(args, dest, base_name(src), &item, world);
    };
    let root = if src.ends_with('/') {
        dest.to_owned()
    } else {
        join(dest, base_name(src))
    };
    let tree: Vec<(String, Option<Item>)> = entries
        .iter()
        .map(|(path, file)| {
            (
                path.clone(),
                file.entries.is_none().then(|| Item::local(file)),
            )
        })
        .collect();
    whole(args, &root, &tree, world)
}

/// A directory: `tree` has what is below it, directories without an item.
fn whole(
    args: &CopyArgs,
    root: &str,
    tree: &[(String, Option<Item>)],
    world: &View<'_>,
) -> Result<Wanted, Stop> {
    let mut dirs = std::collections::BTreeSet::from([root.to_owned()]);
    for (path, item) in tree {
        let at = join(root, path);
        let mut dir = if item.is_some() {
            parent(&at)
        } else {
            at.as_str()
        };
        while dir.len() > root.len() {
            dirs.insert(dir.to_owned());
            dir = parent(dir);
        }
    }
    let mut keys: Vec<_> = dirs
        .iter()
        .map(|d| reference::<FileKind>(&FileKey::following(d)))
        .collect();
    keys.extend(tree.iter().filter(|(_, i)| i.is_some()).map(|(path, _)| {
        reference::<FileKind>(&FileKey {
            path: join(root, path),
            follow: args.follow,
        })
    }));
    world.need(&keys)?;
    let mut wanted = Wanted::nothing();
    directories(args, root, &mut wanted, world)?;
    for dir in &dirs {
        let now = world.get::<FileKind>(&FileKey::following(dir))?;
        if !matches!(now.is, FileType::Absent | FileType::Directory) {
            return Err(Stop::refuse(format!(
                "{dir} is a {}, not a directory",
                type_name(now.is)
            )));
        }
        directory(args, &FileKey::found_at(&now.path, dir), &now, &mut wanted)?;
    }
    for (path, item) in tree {
        if let Some(item) = item {
            put(args, &join(root, path), item, &mut wanted, world)?;
        }
    }
    Ok(wanted)
}

fn from_host(args: &CopyArgs, dest: &str, src: &str, world: &View<'_>) -> Result<Wanted, Stop> {
    let at = absolute(src)?;
    let state = world.get::<FileKind>(&FileKey::following(&at))?;
    match state.is {
        FileType::File => single(args, dest, base_name(&at), &copied(&state), world),
        FileType::Directory => {
            let root = if src.ends_with('/') {
                dest.to_owned()
            } else {
                join(dest, base_name(&at))
            };
            let entries = world.get::<ListingKind>(&FileKey::new(&state.path))?;
            let keys: Vec<FileKey> = entries
                .iter()
                .filter(|e| e.is != FileType::Directory)
                .map(|e| FileKey::following(&join(&state.path, &e.path)))
                .collect();
            let mut states = world.all::<FileKind>(&keys)?.into_iter();
            let mut tree = Vec::new();
            for entry in entries {
                if entry.is == FileType::Directory {
                    tree.push((entry.path, None));
                } else if let Some(state) = states.next().filter(|s| s.is == FileType::File) {
                    tree.push((entry.path, Some(copied(&state))));
                }
            }
            whole(args, &root, &tree, world)
        }
        FileType::Absent => Err(Stop::refuse(format!("{at} does not exist on the host"))),
        other => Err(Stop::refuse(format!(
            "{at} is a {}; it is not copied",
            type_name(other)
        ))),
    }
}

/// A file on the host as an item.
fn copied(state: &FileState) -> Item {
    let source = Source::Copy {
        path: state.path.clone(),
        sha256: state.sha256.clone().unwrap_or_else(|| sha256(b"")),
        size: state.size.unwrap_or_default(),
        content: state.content.clone(),
    };
    Item::of(source, state.mode.unwrap_or(0o644))
}
