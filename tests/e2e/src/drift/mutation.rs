//! Random changes of files, as a person, a service or an attacker makes them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Dice;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// To which path, below the folder.
    pub path: String,
    /// What.
    pub how: &'static str,
}

const FILE: [&str; 13] = [
    "append",
    "same size",
    "empty",
    "mode",
    "owner",
    "group",
    "remove",
    "touch",
    "write the same",
    "to a directory",
    "to a link",
    "rename",
    "hole",
];
const DIRECTORY: [&str; 8] = [
    "mode",
    "owner",
    "group",
    "remove",
    "touch",
    "new file in it",
    "to a file",
    "to a link",
];
const LINK: [&str; 5] = [
    "remove",
    "target",
    "to a file",
    "to a directory",
    "link again",
];
const ABSENT: [&str; 3] = ["to a file", "to a directory", "to a link"];

/// Does one random thing to one of `paths` (relative to `folder`, there or not; at least one of them below a directory
/// that is there).
///
/// # Errors
/// A file operation fails.
pub fn mutate(dice: &mut Dice, folder: &Path, paths: &[String]) -> Result<Mutation> {
    let (path, at) = loop {
        let path = dice.one(paths);
        let at = folder.join(path);
        // Where nothing lies above it, there is nothing to be done.
        if at.symlink_metadata().is_ok() || at.parent().is_some_and(Path::is_dir) {
            break (path.clone(), at);
        }
    };
    let meta = at.symlink_metadata().ok();
    let mut how = match &meta {
        Some(m) if m.is_symlink() => *dice.one(&LINK),
        Some(m) if m.is_dir() => *dice.one(&DIRECTORY),
        Some(_) => *dice.one(&FILE),
        None => *dice.one(&ABSENT),
    };
    // Only root gives files away.
    if matches!(how, "owner" | "group") && fs::metadata("/proc/self")?.uid() != 0 {
        how = "mode";
    }
    let bit = [0o1, 0o2, 0o20, 0o40, 0o100, 0o200][dice.below(6)];
    let number = dice.below(1000);
    apply(&at, how, bit, number).with_context(|| format!("{path}: {how}"))?;
    Ok(Mutation { path, how })
}

fn apply(at: &Path, how: &str, bit: u32, number: usize) -> Result<()> {
    match how {
        "append" => {
            let mut content = fs::read(at)?;
            content.extend(format!("by others {number}\n").bytes());
            fs::write(at, content)?;
        }
        "same size" => {
            let mut content = fs::read(at)?;
            let length = content.len();
            match length {
                0 => content.push(b'x'),
                _ => content[number % length] ^= 1,
            }
            fs::write(at, content)?;
        }
        // Sizes that grow without content.
        "hole" => {
            let file = fs::OpenOptions::new().write(true).open(at)?;
            file.set_len(file.metadata()?.len() + 5)?;
        }
        "empty" => fs::write(at, if fs::read(at)?.is_empty() { "x" } else { "" })?,
        "mode" => {
            let mode = at.metadata()?.permissions().mode();
            fs::set_permissions(at, fs::Permissions::from_mode(mode ^ bit))?;
        }
        "owner" => chown(at, Some(4000 + u32::try_from(number)?), None)?,
        "group" => chown(at, None, Some(4000 + u32::try_from(number)?))?,
        "remove" => remove(at)?,
        "touch" => {
            let file = fs::File::open(at)?;
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)?;
        }
        "write the same" => {
            let (content, meta) = (fs::read(at)?, at.metadata()?);
            let beside = beside(at);
            fs::write(&beside, content)?;
            fs::set_permissions(&beside, meta.permissions())?;
            chown(&beside, Some(meta.uid()), Some(meta.gid()))?;
            fs::rename(&beside, at)?;
        }
        "to a file" => {
            remove(at)?;
            fs::write(at, format!("in its place {number}\n"))?;
        }
        "to a directory" => {
            remove(at)?;
            fs::create_dir(at)?;
        }
        "to a link" => {
            remove(at)?;
            symlink(format!("/nowhere/{number}"), at)?;
        }
        "target" => {
            remove(at)?;
            symlink(format!("elsewhere-{number}"), at)?;
        }
        "link again" => {
            let target = fs::read_link(at)?;
            remove(at)?;
            symlink(target, at)?;
        }
        "rename" => fs::rename(at, beside(at))?,
        "new file in it" => fs::write(at.join(format!("new-{number}")), "new\n")?,
        other => anyhow::bail!("there is no mutation `{other}`"),
    }
    Ok(())
}

fn beside(at: &Path) -> PathBuf {
    let name = at.file_name().unwrap_or_default().to_string_lossy();
    at.with_file_name(format!("{name}.moved"))
}

fn remove(at: &Path) -> Result<()> {
    match at.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(at)?,
        Ok(_) => fs::remove_file(at)?,
        Err(_) => {}
    }
    Ok(())
}
