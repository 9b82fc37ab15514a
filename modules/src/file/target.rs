//! What the modules of this folder share: paths, attributes, backups, missing directories.

use indexmap::IndexMap;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Stop, Wanted, path_help, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;

use super::compare::type_name;
use super::state::{
    CONTENT_LIMIT, Content, FileKey, FileState, FileWant, Source, join, parent, sha256, tidy,
};
use super::{FileKind, Mode, words};

/// The path, if it is absolute.
pub fn absolute(path: &str) -> Result<String, Stop> {
    if path.starts_with('/') {
        Ok(tidy(path))
    } else {
        Err(Stop::refuse(format!(
            "`{path}` is no absolute path; {}",
            path_help(path)
        )))
    }
}

/// What `validate` of a module refuses before anything runs.
pub fn check_validator(validate: Option<&String>) -> Result<(), String> {
    match validate {
        Some(line) if !line.contains("%s") => Err(format!(
            "`validate: {line}` must contain %s, which becomes the file to check"
        )),
        Some(line) => words::split(line).map(drop),
        None => Ok(()),
    }
}

/// Sets mode, owner and group as the arguments ask.
pub fn set_attributes(
    want: &mut FileWant,
    now: &FileState,
    is: FileType,
    mode: Option<&Mode>,
    owner: Option<&String>,
    group: Option<&String>,
) -> Result<(), Stop> {
    let old = now.mode.filter(|_| now.is == is);
    want.mode = mode
        .map(|m| m.bits(old, is))
        .transpose()
        .map_err(Stop::Refuse)?;
    want.owner = owner.cloned();
    want.group = group.cloned();
    Ok(())
}

/// A content as a source: carried where it is small, named where it is large.
#[must_use]
pub fn source(bytes: &[u8], local: Option<&std::path::Path>) -> Source {
    match local {
        Some(path) if bytes.len() as u64 > CONTENT_LIMIT => Source::Local {
            path: path.to_string_lossy().into_owned(),
            sha256: sha256(bytes),
            size: bytes.len() as u64,
        },
        _ => Source::Bytes(Content(bytes.to_vec())),
    }
}

/// What may be written of backups of `path`, with or without links in it.
#[must_use]
pub fn backups(footprint: Footprint, path: &str) -> Footprint {
    footprint.writes(FileKind::NAME, format!("{path}.*~"))
}

/// Where `backup: true` puts what stands at `path`: beside it, named by its content. So a check and the run give it the
/// same name, and no backup stands over another.
#[must_use]
pub fn backup_path(path: &str, now: &FileState) -> String {
    let sha = now.sha256.as_deref().unwrap_or_default();
    format!("{path}.{}~", &sha[..sha.len().min(12)])
}

/// Wants what stands at `path` to be kept beside it, and says where. Of a link that is followed the file is kept.
pub fn back_up(wanted: &mut Wanted, path: &str, now: &FileState) -> Option<String> {
    if now.is != FileType::File {
        return None;
    }
    let place = backup_path(path, now);
    wanted.set::<FileKind>(
        &FileKey::new(&place),
        &FileWant {
            is: Some(FileType::File),
            content: Some(Source::Copy {
                path: now.path.clone(),
                sha256: now.sha256.clone().unwrap_or_default(),
                size: now.size.unwrap_or_default(),
                content: now.content.clone(),
            }),
            mode: now.mode,
            owner: now.uid.map(|n| n.to_string()).or_else(|| now.owner.clone()),
            group: now.gid.map(|n| n.to_string()).or_else(|| now.group.clone()),
            ..FileWant::default()
        },
    );
    wanted
        .facts
        .insert("backup_file".to_owned(), Value::from(place.clone()));
    Some(place)
}

/// The directories above `path` that do not exist, outermost first. `also` is read in the same batch.
pub fn missing_parents(
    world: &View<'_>,
    path: &str,
    also: &FileKey,
) -> Result<Vec<(FileKey, FileState)>, Stop> {
    let mut keys = Vec::new();
    let mut at = parent(path);
    while at != "/" {
        keys.push(FileKey::following(at));
        at = parent(at);
    }
    keys.reverse();
    let mut refs: Vec<_> = keys.iter().map(reference::<FileKind>).collect();
    refs.push(reference::<FileKind>(also));
    world.need(&refs)?;
    let states = world.all::<FileKind>(&keys)?;
    let mut missing = Vec::new();
    for (key, state) in keys.into_iter().zip(states) {
        match state.is {
            FileType::Directory => {}
            FileType::Absent => {
                let plain = FileKey::new(&key.path);
                if world.get::<FileKind>(&plain)?.is == FileType::Link {
                    return Err(Stop::refuse(format!(
                        "{path} cannot be made: {} is a link that leads to {}, which does not exist",
                        key.path, state.path
                    )));
                }
                missing.push((plain, state));
            }
            other => {
                return Err(Stop::refuse(format!(
                    "{} cannot be made: {} is a {}",
                    path,
                    key.path,
                    type_name(other)
                )));
            }
        }
    }
    Ok(missing)
}

/// Refuses where the directory that is to hold `path` does not exist.
pub fn need_parent(world: &View<'_>, path: &str) -> Result<(), Stop> {
    let dir = parent(path);
    let state = world.get::<FileKind>(&FileKey::following(dir))?;
    match state.is {
        FileType::Directory => Ok(()),
        // By way of a link: the directory that is missing is another.
        FileType::Absent if !state.path.is_empty() && state.path != dir => {
            let end = &state.path;
            Err(Stop::refuse(format!(
                "{dir} leads to {end}, and that directory does not exist; make it first with `file: {{path: {end}, state: \
                 directory}}`"
            )))
        }
        FileType::Absent => Err(Stop::refuse(format!(
            "the directory {dir} does not exist; make it first with `file: {{path: {dir}, state: directory}}`"
        ))),
        other => Err(Stop::refuse(format!(
            "{dir} is a {}, not a directory",
            type_name(other)
        ))),
    }
}

/// Was a link followed from `path` to where nothing stands, `now`?
pub fn leads_to_nothing(world: &View<'_>, path: &str, now: &FileState) -> Result<bool, Stop> {
    if !now.is_absent() || now.path.is_empty() || now.path == path {
        return Ok(false);
    }
    // The directories above `path` may be links too.
    let dir = world.get::<FileKind>(&FileKey::following(parent(path)))?;
    let name = path.rsplit('/').next().unwrap_or_default();
    Ok(!dir.path.is_empty() && join(&dir.path, name) != now.path)
}

/// Refuses where a link that was followed from `path` leads to nothing, `now`, in a directory that does not exist either.
pub fn need_parent_of_end(world: &View<'_>, path: &str, now: &FileState) -> Result<(), Stop> {
    match leads_to_nothing(world, path, now)? {
        true => need_parent(world, &now.path),
        false => Ok(()),
    }
}

/// What modules put into the register of a file: path, mode, owner and so on, as Ansible names them.
#[must_use]
pub fn facts_of(
    after: &View<'_>,
    key: &FileKey,
    path: &str,
    name: &str,
) -> IndexMap<String, Value> {
    let mut output = IndexMap::new();
    output.insert(name.to_owned(), Value::from(path));
    match after.get::<FileKind>(key) {
        Ok(state) => {
            let kind = match state.is {
                FileType::Absent => "absent",
                FileType::File => "file",
                FileType::Directory => "directory",
                FileType::Link => "link",
                FileType::Other => "other",
            };
            output.insert("state".to_owned(), Value::from(kind));
            // What the host has not been asked is not nothing.
            let soon = || Value::Unknown("until it is written".to_owned());
            let number = |n: Option<u32>| n.map_or_else(soon, |n| Value::Int(n.into()));
            if !state.is_absent() {
                output.insert(
                    "mode".to_owned(),
                    state
                        .mode
                        .map_or_else(soon, |m| Value::from(format!("{m:04o}"))),
                );
                output.insert("uid".to_owned(), number(state.uid));
                output.insert("gid".to_owned(), number(state.gid));
                output.insert(
                    "owner".to_owned(),
                    state.owner.map_or_else(soon, Value::from),
                );
                output.insert(
                    "group".to_owned(),
                    state.group.map_or_else(soon, Value::from),
                );
                if let Some(size) = state.size {
                    output.insert(
                        "size".to_owned(),
                        Value::Int(i64::try_from(size).unwrap_or(i64::MAX)),
                    );
                }
            }
        }
        Err(Stop::Unknown(why)) => {
            output.insert("state".to_owned(), Value::Unknown(why));
        }
        Err(_) => {}
    }
    output
}
