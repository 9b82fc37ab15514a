//! Texts that templates read: each read once and used by its content.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// The texts read so far.
#[derive(Debug, Default)]
pub struct Texts {
    read: Mutex<HashMap<PathBuf, Arc<str>>>,
}

impl Texts {
    /// The text of a file, read at the first call; later calls give the same text.
    ///
    /// # Errors
    /// It cannot be read, or is not UTF-8.
    pub fn read(&self, path: &Path) -> io::Result<Arc<str>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = read.get(path) {
            return Ok(text.clone());
        }
        let text: Arc<str> = std::fs::read_to_string(path)?.into();
        read.insert(path.to_owned(), text.clone());
        Ok(text)
    }

    /// SHA-256 of every file read, by path.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = |text: &str| hex::encode(Sha256::digest(text.as_bytes()));
        read.iter()
            .map(|(path, text)| (path.display().to_string(), hash(text)))
            .collect()
    }
}
