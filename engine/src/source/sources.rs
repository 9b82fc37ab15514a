//! The table of source files: each read once and used by its content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use super::{FileId, Node, Span, parse, parse_all};
use crate::diag::Diagnostic;
use crate::vault::{Envelope, Keyring, is_vault};

/// All source files of a call. Cheap to share.
#[derive(Debug, Default)]
pub struct Sources {
    files: RwLock<Vec<Source>>,
    /// Of the files that were read: SHA-256 of what lies on the disk, by path. What stood on the command line is no file.
    hashes: RwLock<BTreeMap<String, String>>,
    keyring: OnceLock<Arc<Keyring>>,
}

/// A file of the table.
#[derive(Debug)]
struct Source {
    path: String,
    text: Arc<str>,
    /// It was encrypted as a whole.
    vault: bool,
}

impl Source {
    fn clear(path: String, text: Arc<str>) -> Self {
        Self {
            path,
            text,
            vault: false,
        }
    }

    fn id(&self, number: usize) -> FileId {
        let id = FileId::numbered(number);
        if self.vault { id.in_vault() } else { id }
    }
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
        files.push(Source::clear(path.into(), text.into()));
        FileId::numbered(files.len() - 1)
    }

    /// The vault passwords of the call; the first ones that are given count.
    pub fn set_keyring(&self, keyring: Arc<Keyring>) {
        let _ = self.keyring.set(keyring);
    }

    /// The vault passwords of the call; none by default.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.get().cloned().unwrap_or_default()
    }

    /// Was the file encrypted as a whole? Then no line of it is shown.
    #[must_use]
    pub fn is_vault(&self, file: FileId) -> bool {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(file.number()).is_some_and(|f| f.vault)
    }

    /// Path and text of a file.
    #[must_use]
    pub fn get(&self, file: FileId) -> (String, Arc<str>) {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files
            .get(file.number())
            .map(|f| (f.path.clone(), f.text.clone()))
            .unwrap_or_else(|| ("?".to_owned(), Arc::from("")))
    }

    /// The text of a file, read at the first call; later calls give the same text. A vault is decrypted, and the places
    /// within it know that what stands there is secret.
    pub fn load(&self, path: &Path) -> Result<FileId, Diagnostic> {
        let shown = path.display().to_string();
        let find = |files: &[Source]| {
            let at = files.iter().position(|f| f.path == shown)?;
            Some(files[at].id(at))
        };
        let known = find(&self.files.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(file) = known {
            return Ok(file);
        }
        let bytes = std::fs::read(path).map_err(|e| {
            Diagnostic::error("unreadable-file", format!("{shown} cannot be read: {e}"))
        })?;
        let hash = hex::encode(Sha256::digest(&bytes));
        let (bytes, vault) = self.opened(&shown, bytes)?;
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
        let source = |path: String| Source {
            path,
            text: text.into(),
            vault,
        };
        let number = files.len();
        let Some(at) = broken else {
            files.push(source(shown));
            return Ok(files[number].id(number));
        };
        let message = format!("{shown} is not UTF-8");
        files.push(source(format!("{shown} (not UTF-8)")));
        let file = files[number].id(number);
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let span = Span {
            file,
            start: at,
            end: at,
        };
        let wrong = Diagnostic::error("not-utf-8", message).at(span, "this byte");
        Err(wrong.help("save the file as UTF-8"))
    }

    /// Content of a file as it counts, and whether that was encrypted.
    fn opened(&self, shown: &str, bytes: Vec<u8>) -> Result<(Vec<u8>, bool), Diagnostic> {
        if !is_vault(&bytes) {
            return Ok((bytes, false));
        }
        let wrong = |what: String, help: String| {
            Diagnostic::error("vault-file", format!("{shown} cannot be decrypted: {what}"))
                .help(help)
        };
        let text = String::from_utf8_lossy(&bytes);
        let envelope =
            Envelope::parse(&text).map_err(|e| wrong(e.to_string(), e.help().to_owned()))?;
        let (plain, _) = self
            .keyring()
            .open(&envelope)
            .map_err(|e| wrong(e.to_string(), e.help()))?;
        Ok((plain.to_vec(), true))
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
