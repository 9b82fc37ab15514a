//! A private folder for a decrypted file, which goes whatever happens.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder that only its owner can enter. It is emptied and removed when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one, in memory where the system has a place for that.
    ///
    /// # Errors
    /// None can be made.
    pub fn new() -> std::io::Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let places = runtime
            .into_iter()
            .chain([PathBuf::from("/dev/shm"), std::env::temp_dir()]);
        let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
        for place in places.filter(|p| p.is_absolute()) {
            for number in 0..100_u32 {
                let path = place.join(format!("runbook-vault-{}-{number}", std::process::id()));
                match DirBuilder::new().mode(0o700).create(&path) {
                    Ok(()) => return Ok(Self(path)),
                    Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                    Err(e) => {
                        last = e;
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Writes a new file in it, for its owner only.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn file(&self, name: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let path = self.0.join(name.file_name().unwrap_or("vault".as_ref()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(bytes)?;
        Ok(path)
    }

    /// Overwrites and removes all that is in it, what an editor has left there too, and itself.
    pub fn clear(&self) {
        wipe(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wipe(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else {
            continue;
        };
        if about.is_dir() {
            wipe(&entry.path());
        } else if about.is_file()
            && let Ok(mut file) = OpenOptions::new().write(true).open(entry.path())
        {
            let mut left = usize::try_from(about.len()).unwrap_or(0);
            let zeros = [0; 4096];
            while left > 0 {
                let part = left.min(zeros.len());
                if file.write_all(&zeros[..part]).is_err() {
                    break;
                }
                left -= part;
            }
            let _ = file.sync_all();
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clear();
    }
}
