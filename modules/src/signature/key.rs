//! Keys, each of which says of what format its signatures are; and what a signature by it claims.

use super::digest::Question;
use super::{minisign, openpgp, openssl, ssh};

/// A signature that was read, and is to be held against the file.
pub trait Claim {
    /// The hash of the file that it takes.
    fn question(&self) -> &Question;

    /// Is the signature one of the file with this hash?
    ///
    /// # Errors
    /// It is not.
    fn verify(&self, hash: &[u8]) -> Result<Signer, String>;
}

/// Who has signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signer {
    /// openssl, minisign, ssh or openpgp.
    pub format: &'static str,
    /// The key, in the way that the tools of its format name it.
    pub key: String,
    /// What was signed beside the file: minisign's trusted comment.
    pub comment: Option<String>,
    /// When, in seconds since 1970, where the signature says so.
    pub time: Option<i64>,
}

/// What a task may say about how a signature was made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Making<'a> {
    /// The digest of `openssl dgst`.
    pub digest: Option<super::digest::Algorithm>,
    /// The namespace of `ssh-keygen -Y sign`.
    pub namespace: Option<&'a str>,
}

/// Reads a key and a signature by it. The key decides of what format the signature has to be: whoever could change the signature
/// could else choose.
///
/// # Errors
/// One of them cannot be read, or they are of different formats.
pub fn claim(key: &[u8], signature: &[u8], making: Making<'_>) -> Result<Box<dyn Claim>, String> {
    let text = std::str::from_utf8(key).unwrap_or_default();
    if text.contains("PRIVATE KEY") {
        return Err(
            "the key is a private one, which has no place here: give its public part".to_owned(),
        );
    }
    let made = |option: &str| format!("`{option}` does not go with such a key");
    let is_openssl = ["PUBLIC KEY-----", "BEGIN CERTIFICATE-----"]
        .iter()
        .any(|mark| text.contains(mark));
    if is_openssl && !text.contains("SSH2 PUBLIC KEY") {
        if making.namespace.is_some() {
            return Err(made("namespace"));
        }
        return openssl::claim(text, signature, making.digest);
    }
    if making.digest.is_some() {
        return Err(made("digest"));
    }
    if ssh::is_key(text) {
        return ssh::claim(text, signature, making.namespace.unwrap_or(ssh::NAMESPACE));
    }
    if making.namespace.is_some() {
        return Err(made("namespace"));
    }
    if minisign::is_key(text) {
        return minisign::claim(text, signature);
    }
    if openpgp::is_key(key) {
        return openpgp::claim(key, signature);
    }
    Err("the key is none that is known here: it has to be a public key in PEM or a certificate (OpenSSL), a public key of minisign, \
         of OpenSSH or of OpenPGP"
        .to_owned())
}
