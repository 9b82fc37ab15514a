//! Where the upstream data lie that tests read: one file for all tests, taken in by its path as `skip.rs` is.

use std::path::{Path, PathBuf};

/// A folder of them, by its path below `realdata`; none, said by name, where it is absent. They lie in `shared` beside the
/// project, or where `RUNBOOK_SHARED` says.
#[must_use]
pub fn realdata(test: &str, part: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("RUNBOOK_SHARED").map(PathBuf::from);
    let shared = shared.or_else(|| {
        let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let project = above.find(|folder| folder.join("Cargo.lock").exists())?;
        Some(project.parent()?.join("shared"))
    });
    let folder = shared.unwrap_or_default().join("realdata").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    crate::skip::skip(test, &format!("no upstream data at {}", folder.display()));
    None
}
