//! Files on the controller that tasks name: looked up as Ansible does, each read once and used by its content.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::module::LocalFile;

/// Files larger than this are given by path only: a module that ships such a file reads it through its own kind.
const LARGEST: u64 = 64 << 20;

/// The files read so far.
#[derive(Default)]
pub struct LocalStore {
    files: Mutex<HashMap<PathBuf, Arc<LocalFile>>>,
    /// SHA-256 of each, of all that is below a directory too.
    hashes: Mutex<BTreeMap<String, String>>,
}

impl LocalStore {
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
    pub fn load(&self, path: &Path) -> Result<Arc<LocalFile>, String> {
        if let Some(found) = self
            .files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
        {
            return Ok(found.clone());
        }
        let mut hashes = BTreeMap::new();
        let read = read(path, &mut hashes)
            .map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
        let read = Arc::new(read);
        self.hashes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(hashes);
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.to_owned(), read.clone());
        Ok(read)
    }

    /// SHA-256 of every file read, by path.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.clone()
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

fn read(path: &Path, hashes: &mut BTreeMap<String, String>) -> std::io::Result<LocalFile> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path)?;
    let mode = meta.permissions().mode() & 0o7777;
    if !meta.is_dir() {
        let (content, hash) = if meta.len() > LARGEST {
            (Bytes::new(), hash_of(path)?)
        } else {
            let content = Bytes::from(std::fs::read(path)?);
            let hash = hex::encode(Sha256::digest(&content));
            (content, hash)
        };
        hashes.insert(path.display().to_string(), hash);
        return Ok(LocalFile {
            path: path.to_owned(),
            content,
            mode,
            entries: None,
        });
    }
    let mut entries = BTreeMap::new();
    collect(path, "", &mut entries, hashes)?;
    Ok(LocalFile {
        path: path.to_owned(),
        content: Bytes::new(),
        mode,
        entries: Some(entries),
    })
}

fn collect(
    folder: &Path,
    prefix: &str,
    entries: &mut BTreeMap<String, LocalFile>,
    hashes: &mut BTreeMap<String, String>,
) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let meta = std::fs::metadata(entry.path())?;
        if meta.is_dir() {
            let mode = meta.permissions().mode() & 0o7777;
            let here = LocalFile {
                path: entry.path(),
                content: Bytes::new(),
                mode,
                entries: Some(BTreeMap::new()),
            };
            entries.insert(name.clone(), here);
            collect(&entry.path(), &format!("{name}/"), entries, hashes)?;
        } else {
            entries.insert(name, read(&entry.path(), hashes)?);
        }
    }
    Ok(())
}
