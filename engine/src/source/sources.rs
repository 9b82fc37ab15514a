//! The table of source files: each read once and used by its content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use super::{FileId, Node, Span, parse, parse_all};
use crate::diag::Diagnostic;

/// All source files of a call. Cheap to share.
#[derive(Debug, Default)]
pub struct Sources {
    files: RwLock<Vec<(String, Arc<str>)>>,
    /// Of the files that were read: SHA-256 by path. What stood on the command line is no file.
    hashes: RwLock<BTreeMap<String, String>>,
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

    /// The text of a file, read at the first call; later calls give the same text.
    pub fn load(&self, path: &Path) -> Result<FileId, Diagnostic> {
        let shown = path.display().to_string();
        let find = |files: &[(String, Arc<str>)]| {
            let at = files.iter().position(|(p, _)| *p == shown);
            at.map(|at| FileId(u32::try_from(at).unwrap_or(u32::MAX)))
        };
        let known = find(&self.files.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(file) = known {
            return Ok(file);
        }
        let bytes = std::fs::read(path).map_err(|e| {
            Diagnostic::error("unreadable-file", format!("{shown} cannot be read: {e}"))
        })?;
        let hash = hex::encode(Sha256::digest(&bytes));
        let (text, broken) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            // Kept as far as it can be shown, so that the mistake has a line and a column.
            Err(e) => {
                let at = e.utf8_error().valid_up_to();
                (String::from_utf8_lossy(e.as_bytes()).into_owned(), Some(at))
            }
        };
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have read it meanwhile; all use one text.
        if let Some(file) = find(&files) {
            return Ok(file);
        }
        let mut hashes = self.hashes.write().unwrap_or_else(PoisonError::into_inner);
        hashes.insert(shown.clone(), hash);
        let file = FileId(u32::try_from(files.len()).unwrap_or(u32::MAX));
        let Some(at) = broken else {
            files.push((shown, text.into()));
            return Ok(file);
        };
        let message = format!("{shown} is not UTF-8");
        files.push((format!("{shown} (not UTF-8)"), text.into()));
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let span = Span {
            file,
            start: at,
            end: at,
        };
        let wrong = Diagnostic::error("not-utf-8", message).at(span, "this byte");
        Err(wrong.help("save the file as UTF-8"))
    }

    /// A file and its documents. `Err`: everything that is wrong with it as YAML.
    pub fn read(&self, path: &Path) -> Result<(FileId, Vec<Node>), Vec<Diagnostic>> {
        let file = self.load(path).map_err(|e| vec![e])?;
        parse(self, file).map(|nodes| (file, nodes))
    }

    /// The documents of a file as far as they can be read; what is wrong goes to `errors`. So a key that stands twice
    /// does not hide the mistakes in the rest of the file.
    pub fn documents(&self, path: &Path, errors: &mut Vec<Diagnostic>) -> Vec<Node> {
        match self.load(path) {
            Ok(file) => parse_all(self, file, errors),
            Err(error) => {
                errors.push(error);
                Vec::new()
            }
        }
    }

    /// SHA-256 of every file that was read, by path.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
        hashes.clone()
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
