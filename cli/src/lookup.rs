//! Where playbooks and inventories are looked up, and where the state of runs lies.

use std::path::{Path, PathBuf};

/// A playbook: as given, else in `playbooks/`, of this folder or of one above it.
#[must_use]
pub fn playbook(name: &str) -> PathBuf {
    find(name, "playbooks")
}

/// An inventory: as given, else in `inventories/`. A list of hosts (`a,b`) is kept as it is.
#[must_use]
pub fn inventory(name: &str) -> String {
    if name.contains(',') {
        return name.to_owned();
    }
    find(name, "inventories").display().to_string()
}

fn find(name: &str, folder: &str) -> PathBuf {
    let given = Path::new(name);
    if given.exists() || given.is_absolute() {
        return given.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    for above in here.ancestors() {
        let candidate = above.join(folder).join(name);
        if candidate.exists() {
            // Short names make short messages.
            return if above == here {
                Path::new(folder).join(name)
            } else {
                candidate
            };
        }
    }
    given.to_owned()
}

/// The folder of the state of runs: `RUNBOOK_STATE`, else `.runbook/` of the project (the nearest folder above that
/// has one, or `playbooks/`, or this one).
#[must_use]
pub fn state() -> PathBuf {
    if let Some(folder) = std::env::var_os("RUNBOOK_STATE") {
        return folder.into();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let root = here
        .ancestors()
        .find(|a| a.join(".runbook").is_dir() || a.join("playbooks").is_dir());
    root.unwrap_or(&here).join(".runbook")
}

/// The file with the key that seals the journal: `RUNBOOK_KEY_FILE`, else in the user's configuration folder. It lies
/// outside the project, so that whoever has a copy of the project has not the key.
#[must_use]
pub fn key_file() -> PathBuf {
    if let Some(file) = std::env::var_os("RUNBOOK_KEY_FILE") {
        return file.into();
    }
    let config = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    config
        .unwrap_or_else(|| home().join(".config"))
        .join("runbook/journal.key")
}
