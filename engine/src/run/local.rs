//! Files on the controller that tasks name: looked up as Ansible does, each read once and used by its content.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::module::LocalFile;
use crate::vault::{Envelope, Keyring, is_vault};

/// Files larger than this are given by path only: a module that ships such a file reads it through its own kind.
const LARGEST: u64 = 64 << 20;

/// The files read so far.
#[derive(Default)]
pub struct LocalStore {
    keyring: Arc<Keyring>,
    files: Mutex<HashMap<(PathBuf, Vaults), Arc<LocalFile>>>,
    /// SHA-256 of each as it lies on the disk, of all that is below a directory too.
    hashes: Mutex<BTreeMap<String, String>>,
}

/// What becomes of files that are encrypted with Ansible Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vaults {
    /// They are decrypted.
    Decrypted,
    /// They are taken as they are.
    AsTheyAre,
}

impl LocalStore {
    /// Nothing is read yet. Vaults are decrypted with these passwords.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self {
            keyring,
            ..Self::default()
        }
    }

    /// Where a name is found: as it is when absolute, else in `subfolder` of the folders, then in the folders.
    pub fn find(
        &self,
        name: &str,
        subfolder: &str,
        folders: &[PathBuf],
    ) -> Result<PathBuf, String> {
        let path = Path::new(name);
        if path.is_absolute() {
            return if path.exists() {
                Ok(path.to_owned())
            } else {
                Err(format!("there is no file {name}"))
            };
        }
        let places: Vec<PathBuf> = folders
            .iter()
            .flat_map(|folder| [folder.join(subfolder).join(name), folder.join(name)])
            .collect();
        places.iter().find(|p| p.exists()).cloned().ok_or_else(|| {
            let shown: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
            format!("there is no file `{name}`; looked for {}", shown.join(", "))
        })
    }

    /// The file (or the tree below a directory), read at the first use.
    pub fn load(&self, path: &Path, vaults: Vaults) -> Result<Arc<LocalFile>, String> {
        let key = (path.to_owned(), vaults);
        if let Some(found) = self
            .files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Ok(found.clone());
        }
        let read = Arc::new(self.read(path, vaults)?);
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, read.clone());
        Ok(read)
    }

    /// SHA-256 of every file read, as it lies on the disk, by path.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, String> {
        self.hashes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn read(&self, path: &Path, vaults: Vaults) -> Result<LocalFile, String> {
        use std::os::unix::fs::PermissionsExt;
        let failed = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
        let meta = std::fs::metadata(path).map_err(failed)?;
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_dir() {
            let mut entries = BTreeMap::new();
            self.collect(path, "", vaults, &mut entries)?;
            return Ok(LocalFile {
                path: path.to_owned(),
                content: Bytes::new(),
                mode,
                entries: Some(entries),
                secret: false,
            });
        }
        let (content, secret) = if meta.len() > LARGEST {
            let hash = hash_of(path).map_err(failed)?;
            self.note(path, hash);
            (Bytes::new(), false)
        } else {
            let bytes = std::fs::read(path).map_err(failed)?;
            self.note(path, hex::encode(Sha256::digest(&bytes)));
            match vaults {
                Vaults::Decrypted if is_vault(&bytes) => (self.opened(path, &bytes)?, true),
                _ => (Bytes::from(bytes), false),
            }
        };
        Ok(LocalFile {
            path: path.to_owned(),
            content,
            mode,
            entries: None,
            secret,
        })
    }

    fn note(&self, path: &Path, hash: String) {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.insert(path.display().to_string(), hash);
    }

    fn opened(&self, path: &Path, bytes: &[u8]) -> Result<Bytes, String> {
        let wrong = |what: String, help: &str| {
            format!("{} cannot be decrypted: {what} ({help})", path.display())
        };
        let text = String::from_utf8_lossy(bytes);
        let envelope = Envelope::parse(&text).map_err(|e| wrong(e.to_string(), e.help()))?;
        let (plain, _) = self
            .keyring
            .open(&envelope)
            .map_err(|e| wrong(e.to_string(), &e.help()))?;
        Ok(Bytes::copy_from_slice(&plain))
    }

    fn collect(
        &self,
        folder: &Path,
        prefix: &str,
        vaults: Vaults,
        entries: &mut BTreeMap<String, LocalFile>,
    ) -> Result<(), String> {
        use std::os::unix::fs::PermissionsExt;
        let failed = |e: std::io::Error| format!("{} cannot be read: {e}", folder.display());
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let meta = std::fs::metadata(entry.path())
                .map_err(|e| format!("{} cannot be read: {e}", entry.path().display()))?;
            if meta.is_dir() {
                let here = LocalFile {
                    path: entry.path(),
                    content: Bytes::new(),
                    mode: meta.permissions().mode() & 0o7777,
                    entries: Some(BTreeMap::new()),
                    secret: false,
                };
                entries.insert(name.clone(), here);
                self.collect(&entry.path(), &format!("{name}/"), vaults, entries)?;
            } else {
                entries.insert(name, self.read(&entry.path(), vaults)?);
            }
        }
        Ok(())
    }
}

/// SHA-256 of a file, hex, however large it is.
///
/// # Errors
/// It cannot be read.
pub fn hash_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}
