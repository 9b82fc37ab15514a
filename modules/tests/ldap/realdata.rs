//! Where the upstream data lie.

use std::path::PathBuf;

#[path = "../../../tests/realdata.rs"]
mod shared;

/// The folder of the real LDIF files, or `None` and a notice.
pub fn folder(test: &str) -> Option<PathBuf> {
    shared::realdata(test, "ldap")
}

/// All files below, sorted.
pub fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found.sort();
    found
}
