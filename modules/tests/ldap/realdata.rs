//! Where the upstream data lie.

use std::path::PathBuf;

/// The folder of the real LDIF files, or `None` and a notice.
pub fn folder(test: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("RUNBOOK_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let folder = shared.join("realdata/ldap");
    if folder.is_dir() {
        return Some(folder);
    }
    crate::skip::skip(test, &format!("no upstream data at {}", folder.display()));
    None
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
