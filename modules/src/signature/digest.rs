//! The hash that a signature was made over.

use runbook_engine::module::Stop;
use runbook_engine::world::View;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::command::query::{CommandOutput, QueryKey};
use crate::file::state::FileState;

/// A hash algorithm that is still good for signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// BLAKE2b of 64 bytes.
    Blake2b,
}

impl Algorithm {
    /// The program of GNU coreutils and of BusyBox that says it.
    fn program(self) -> &'static str {
        match self {
            Self::Sha224 => "sha224sum",
            Self::Sha256 => "sha256sum",
            Self::Sha384 => "sha384sum",
            Self::Sha512 => "sha512sum",
            Self::Blake2b => "b2sum",
        }
    }

    /// Bytes of such a hash.
    fn size(self) -> usize {
        match self {
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Blake2b => 64,
        }
    }

    fn of(self, parts: [&[u8]; 3]) -> Vec<u8> {
        fn hash<D: sha2::Digest>(parts: [&[u8]; 3]) -> Vec<u8> {
            let mut hash = D::new();
            for part in parts {
                hash.update(part);
            }
            hash.finalize().to_vec()
        }
        match self {
            Self::Sha224 => hash::<Sha224>(parts),
            Self::Sha256 => hash::<Sha256>(parts),
            Self::Sha384 => hash::<Sha384>(parts),
            Self::Sha512 => hash::<Sha512>(parts),
            Self::Blake2b => hash::<blake2::Blake2b512>(parts),
        }
    }
}

/// Which hash is asked for: of `before`, the file, and `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// How.
    pub algorithm: Algorithm,
    /// Bytes before the file.
    pub before: Vec<u8>,
    /// Bytes behind it.
    pub after: Vec<u8>,
}

/// Reads the file with bytes around it. `$1` the file, `$2` and `$3` the bytes as `printf %b` takes them, `$4` the program.
const AROUND: &str = "exec <\"$1\" || exit; { printf %b \"$2\"; cat; printf %b \"$3\"; } | \"$4\"";

impl Question {
    /// The hash of the file alone.
    pub fn plain(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    /// The answer for a file whose content is here.
    pub fn answer(&self, content: &[u8]) -> Vec<u8> {
        self.algorithm.of([&self.before, content, &self.after])
    }

    /// The answer for a file on the host.
    ///
    /// # Errors
    /// The host has not been asked yet; or it has no program that says such a hash.
    pub fn on_host(&self, file: &FileState, world: &View<'_>) -> Result<Vec<u8>, Stop> {
        let plain = self.before.is_empty() && self.after.is_empty();
        if let (Some(sha), Algorithm::Sha256, true) = (&file.sha256, self.algorithm, plain)
            && let Ok(hash) = hex::decode(sha)
        {
            return Ok(hash);
        }
        if let Some(content) = file.bytes() {
            return Ok(self.answer(content));
        }
        let said = world.get::<CommandOutput>(&QueryKey {
            reads: Some(vec![file.path.clone()]),
            ..QueryKey::new(self.command(&file.path))
        })?;
        let text = String::from_utf8_lossy(&said.stdout.0).into_owned();
        let word = text
            .trim_start_matches('\\')
            .split_whitespace()
            .next()
            .unwrap_or_default();
        match hex::decode(word) {
            Ok(hash) if said.rc == 0 && hash.len() == self.algorithm.size() => Ok(hash),
            _ => Err(Stop::refuse(format!(
                "the hash of {} that the signature was made over could not be had: {}: {}",
                file.path,
                self.algorithm.program(),
                match String::from_utf8_lossy(&said.stderr.0).trim() {
                    "" => "it said nothing",
                    said => said,
                }
            ))),
        }
    }

    /// The command that says the hash of a file.
    pub fn command(&self, path: &str) -> Vec<String> {
        let program = self.algorithm.program();
        if self.before.is_empty() && self.after.is_empty() {
            return [program, "--", path].map(str::to_owned).to_vec();
        }
        let octal = |bytes: &[u8]| bytes.iter().map(|b| format!("\\0{b:03o}")).collect();
        let words = ["sh", "-c", AROUND, "sh", path].map(str::to_owned);
        let around: [String; 2] = [octal(&self.before), octal(&self.after)];
        [&words[..], &around[..], &[program.to_owned()]].concat()
    }
}
