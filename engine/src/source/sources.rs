//! The table of source files: each read once and used by its content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use super::{FileId, Node, Span, parse};
use crate::diag::Diagnostic;

/// All source files of a call. Cheap to share.
#[derive(Debug, Default)]
pub struct Sources {
    files: RwLock<Vec<(String, Arc<str>)>>,
}

impl Sources {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under the name that messages show.
    pub fn add(&self, path: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.push((path.into(), text.into()));
        FileId(u32::try_from(files.len() - 1).unwrap_or(u32::MAX))
    }

    /// Path and text of a file.
    #[must_use]
    pub fn get(&self, file: FileId) -> (String, Arc<str>) {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files
            .get(file.0 as usize)
            .cloned()
            .unwrap_or_else(|| ("?".to_owned(), Arc::from("")))
    }

    /// Reads a file (once; a second call gives the first text) and its documents.
    pub fn read(&self, path: &Path) -> Result<(FileId, Vec<Node>), Vec<Diagnostic>> {
        let shown = path.display().to_string();
        let known = {
            let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
            files
                .iter()
                .position(|(p, _)| *p == shown)
                .map(|at| FileId(u32::try_from(at).unwrap_or(u32::MAX)))
        };
        let file = match known {
            Some(file) => file,
            None => {
                let bytes = std::fs::read(path).map_err(|e| {
                    vec![Diagnostic::error(
                        "unreadable-file",
                        format!("{shown} cannot be read: {e}"),
                    )]
                })?;
                let text = String::from_utf8(bytes).map_err(|e| {
                    let at = e.utf8_error().valid_up_to();
                    vec![
                        Diagnostic::error("not-utf-8", format!("{shown} is not UTF-8 (byte {at})"))
                            .help("save it as UTF-8"),
                    ]
                })?;
                self.add(shown, text)
            }
        };
        parse(self, file).map(|nodes| (file, nodes))
    }

    /// SHA-256 of every file, by path.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files
            .iter()
            .map(|(path, text)| (path.clone(), hex::encode(Sha256::digest(text.as_bytes()))))
            .collect()
    }

    /// The folder of a file.
    #[must_use]
    pub fn folder(&self, file: FileId) -> PathBuf {
        Path::new(&self.get(file).0)
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default()
    }

    /// A span of all of a file.
    #[must_use]
    pub fn whole(&self, file: FileId) -> Span {
        Span {
            file,
            start: 0,
            end: 0,
        }
    }
}
