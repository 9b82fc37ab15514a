//! Signatures of `ssh-keygen -Y sign`.
//!
//! Source: PROTOCOL.sshsig and ssh-keygen(1) of OpenSSH.

use ssh_key::{Algorithm as KeyAlgorithm, HashAlg, PublicKey, SshSig};

use super::digest::{Algorithm, Question};
use super::key::{Claim, Signer};

/// The namespace that the manual page names for files.
pub const NAMESPACE: &str = "file";

struct Signature {
    question: Question,
    signature: SshSig,
    key: PublicKey,
    namespace: String,
}

/// The lines of a file of keys that hold one: `TYPE BASE64 COMMENT`, or with a name before it, as in a file of allowed signers.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|l| !l.is_empty() && !l.starts_with('#'))
}

fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|start| word.starts_with(start))
}

/// Is it a public key of OpenSSH, or several?
pub fn is_key(text: &str) -> bool {
    let mut lines = lines(text).peekable();
    lines.peek().is_some() && lines.all(|line| line.split_whitespace().any(is_type))
}

/// The keys of a file.
fn keys(text: &str) -> Result<Vec<PublicKey>, String> {
    let read = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| is_type(word)).unwrap_or(0);
        if at > 1 {
            return Err(format!(
                "a key with options cannot be taken, as they would have no effect: `{}`",
                words[1..at].join(" ")
            ));
        }
        let bare = words[at..].iter().take(2).copied().collect::<Vec<_>>();
        PublicKey::from_openssh(&bare.join(" "))
            .map_err(|e| format!("a line of the key cannot be read: {e}"))
    };
    lines(text).map(read).collect()
}

/// Reads a signature.
///
/// # Errors
/// It is none of OpenSSH, not by one of these keys, or for something other than this namespace.
pub fn claim(text: &str, signature: &[u8], namespace: &str) -> Result<Box<dyn Claim>, String> {
    let keys = keys(text)?;
    let signature = SshSig::from_pem(signature).map_err(|e| {
        format!("the key is one of OpenSSH, and the signature is none of `ssh-keygen -Y sign`: {e}")
    })?;
    let Some(key) = keys
        .into_iter()
        .find(|k| k.key_data() == signature.public_key())
    else {
        return Err(format!(
            "it was signed with the key {}, which is none of those given",
            signature.public_key().fingerprint(HashAlg::Sha256)
        ));
    };
    if signature.namespace() != namespace {
        return Err(format!(
            "it was made for the namespace `{}`, and not for `{namespace}`",
            signature.namespace()
        ));
    }
    // PROTOCOL.sshsig: RSA signatures must be of SHA-2.
    if matches!(
        signature.signature().algorithm(),
        KeyAlgorithm::Rsa { hash: None } | KeyAlgorithm::Dsa
    ) {
        return Err("it was made with SHA-1, which is too weak".to_owned());
    }
    let algorithm = match signature.hash_alg() {
        HashAlg::Sha256 => Algorithm::Sha256,
        HashAlg::Sha512 => Algorithm::Sha512,
        other => return Err(format!("its hash, {other}, is not known here")),
    };
    Ok(Box::new(Signature {
        question: Question::plain(algorithm),
        signature,
        key,
        namespace: namespace.to_owned(),
    }))
}

impl Claim for Signature {
    fn question(&self) -> &Question {
        &self.question
    }

    fn verify(&self, hash: &[u8]) -> Result<Signer, String> {
        self.key
            .verify_prehash(&self.namespace, hash, &self.signature)
            .map_err(|_| "the file is not the one that was signed".to_owned())?;
        Ok(Signer {
            format: "ssh",
            key: self.key.fingerprint(HashAlg::Sha256).to_string(),
            comment: None,
            time: None,
        })
    }
}
