//! Encryption at rest: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce before each record.

use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use rand::TryRngCore;
use sha2::{Digest as _, Sha256};

/// Bytes of the nonce that stands before the ciphertext.
const NONCE: usize = 12;

/// Why a sealed text could not be opened or a key not be had.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Made with another key, or damaged.
    #[error("it was sealed with another key, or is damaged")]
    Wrong,
    /// The key file.
    #[error("the key file {path} cannot be used: {reason}")]
    KeyFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Seals and opens what rests in journal and plans, with one key of the person or controller.
pub struct Sealer {
    cipher: Aes256Gcm,
    mark: String,
    place: String,
}

impl Sealer {
    /// With a key of 32 bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let hashed = Sha256::new()
            .chain_update("runbook journal key")
            .chain_update(key);
        Self {
            cipher: Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key)),
            mark: hex::encode(&hashed.finalize()[..8]),
            place: String::new(),
        }
    }

    /// What tells the key from others without giving it away: the first 8 bytes of a SHA-256 over it, in hexadecimal
    /// digits.
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The file that the key was read from, as a whole path; empty where it came from none.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// With the key in `path` (64 hex digits), which is made (0600, its folder 0700) where it is missing. It lies
    /// outside the project, never beside the journal.
    pub fn from_key_file(path: &Path) -> Result<Self, SealError> {
        let bad = |reason: String| SealError::KeyFile {
            path: path.display().to_string(),
            reason,
        };
        if !path.exists() {
            make_key(path).map_err(|e| bad(e.to_string()))?;
        }
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let mut key = [0_u8; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
            bad("it should hold 64 hexadecimal digits; restore it from your backup".to_owned())
        })?;
        let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self {
            place: place.display().to_string(),
            ..Self::new(&key)
        })
    }

    /// Seals.
    #[must_use]
    pub fn seal(&self, clear: &[u8]) -> Vec<u8> {
        let nonce = random::<NONCE>();
        let sealed = self
            .cipher
            .encrypt(Nonce::from_slice(&nonce), clear)
            .unwrap_or_default();
        [&nonce[..], &sealed].concat()
    }

    /// Opens what [`Sealer::seal`] gave.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, body) = sealed.split_at_checked(NONCE).ok_or(SealError::Wrong)?;
        self.cipher
            .decrypt(Nonce::from_slice(nonce), body)
            .map_err(|_| SealError::Wrong)
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    // Without the system's random numbers no nonce is safe; there is nothing sensible to go on with.
    if rand::rngs::OsRng.try_fill_bytes(&mut bytes).is_err() {
        std::process::abort();
    }
    bytes
}

fn make_key(path: &Path) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    // Written beside and linked into place, so that two first runs at once agree on one key.
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    writeln!(file, "{}", hex::encode(random::<32>()))?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside)?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}
