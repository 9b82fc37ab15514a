//! A folder as other programs see it, and copies of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// Type, mode, owner, link and hash of everything below a folder, by path; without times and inodes, and without what
/// runbook keeps aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, String>);

impl Tree {
    /// As it is now.
    ///
    /// # Errors
    /// `find` or `sha256sum` fail.
    pub fn of(folder: &Path) -> Result<Self> {
        let script = r"
find . -mindepth 1 -name '.*.runbook-*' -prune -o -printf '%P\t%y %m %U %G %l\n'
find . -name '.*.runbook-*' -prune -o -type f -print0 | xargs -0r sha256sum | sed 's/^\([0-9a-f]*\) .\.\/\(.*\)/\2\t\1/'";
        let output = Command::new("sh")
            .args(["-c", script])
            .current_dir(folder)
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut tree: BTreeMap<String, String> = BTreeMap::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            if let Some((path, what)) = line.split_once('\t') {
                let entry = tree.entry(path.to_owned()).or_default();
                entry.push_str(what);
                entry.push(' ');
            }
        }
        Ok(Self(tree))
    }

    /// The paths at which another tree differs.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Vec<String> {
        let paths = self.0.keys().chain(other.0.keys());
        let mut differing: Vec<String> = paths
            .filter(|path| self.0.get(*path) != other.0.get(*path))
            .cloned()
            .collect();
        differing.sort();
        differing.dedup();
        differing
    }
}

/// A copy of folders, to which they can be brought back.
pub struct Snapshot {
    kept: tempfile::TempDir,
    folders: Vec<PathBuf>,
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

impl Snapshot {
    /// Of these folders, as they are now.
    ///
    /// # Errors
    /// They cannot be copied.
    pub fn of(folders: &[PathBuf]) -> Result<Self> {
        let kept = tempfile::tempdir()?;
        for (number, folder) in folders.iter().enumerate() {
            copy(folder, &kept.path().join(number.to_string()))?;
        }
        Ok(Self {
            kept,
            folders: folders.to_vec(),
        })
    }

    /// Brings them back.
    ///
    /// # Errors
    /// They cannot be removed or copied.
    pub fn restore(&self) -> Result<()> {
        for (number, folder) in self.folders.iter().enumerate() {
            std::fs::remove_dir_all(folder)?;
            copy(&self.kept.path().join(number.to_string()), folder)?;
        }
        Ok(())
    }
}
