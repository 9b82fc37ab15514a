//! Signatures of minisign.
//!
//! Source: "Minisign", the section on the signature format, <https://jedisct1.github.io/minisign/>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::digest::{Algorithm, Question};
use super::key::{Claim, Signer};

const UNTRUSTED: &str = "untrusted comment:";
const TRUSTED: &str = "trusted comment: ";

/// The key: algorithm (2 bytes), its number (8) and itself (32), in base64.
struct Key {
    number: [u8; 8],
    bytes: [u8; 32],
}

struct Signature {
    question: Question,
    key: Key,
    bytes: [u8; 64],
    comment: String,
}

/// Cuts a record into algorithm, number of the key, and the rest.
fn record<const N: usize>(line: &str) -> Option<([u8; 2], [u8; 8], [u8; N])> {
    let bytes = STANDARD.decode(line.trim()).ok()?;
    let (algorithm, rest) = bytes.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    Some((*algorithm, *number, rest.try_into().ok()?))
}

/// The line that counts of a file of one comment and one line; or the line alone.
fn key_line(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let line = lines.find(|l| !l.starts_with(UNTRUSTED))?;
    lines.next().is_none().then_some(line)
}

fn key(text: &str) -> Option<Key> {
    let (algorithm, number, bytes) = record(key_line(text)?)?;
    (&algorithm == b"Ed").then_some(Key { number, bytes })
}

/// Is it a public key of minisign?
pub fn is_key(text: &str) -> bool {
    key(text).is_some()
}

/// How minisign writes the number of a key.
fn shown(number: [u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(number))
}

/// Reads a signature; its own comment is verified here, as it needs no file.
///
/// # Errors
/// It is none of minisign's, or not by this key; or it is of the old form, which signs the file and not its hash.
pub fn claim(text: &str, signature: &[u8]) -> Result<Box<dyn Claim>, String> {
    let none = || "the key is one of minisign, and the signature is none of it".to_owned();
    let key = key(text).ok_or_else(none)?;
    let text = std::str::from_utf8(signature).map_err(|_| none())?;
    let mut lines = text.lines();
    let mut line = || lines.next().map(|l| l.trim_end_matches('\r'));
    let (untrusted, inner, comment, whole) = (line(), line(), line(), line());
    let inner = untrusted
        .filter(|l| l.starts_with(UNTRUSTED))
        .and(inner)
        .ok_or_else(none)?;
    let (algorithm, number, bytes) = record::<64>(inner).ok_or_else(none)?;
    let comment = comment
        .and_then(|l| l.strip_prefix(TRUSTED))
        .ok_or_else(none)?;
    let whole = whole
        .and_then(|l| STANDARD.decode(l.trim()).ok())
        .ok_or_else(none)?;
    if number != key.number {
        return Err(format!(
            "it was signed with the key {}, and the key given is {}",
            shown(number),
            shown(key.number)
        ));
    }
    match &algorithm {
        b"ED" => {}
        b"Ed" => {
            return Err(
                "it is in the old form, which signs the file itself: sign with minisign 0.10 or later, without `-l`"
                    .to_owned(),
            );
        }
        _ => return Err(none()),
    }
    let signed = [&bytes[..], comment.as_bytes()].concat();
    UnparsedPublicKey::new(&ED25519, key.bytes)
        .verify(&signed, &whole)
        .map_err(|_| {
            "its trusted comment was changed, or it was not made with this key".to_owned()
        })?;
    Ok(Box::new(Signature {
        question: Question::plain(Algorithm::Blake2b),
        key,
        bytes,
        comment: comment.to_owned(),
    }))
}

impl Claim for Signature {
    fn question(&self) -> &Question {
        &self.question
    }

    fn verify(&self, hash: &[u8]) -> Result<Signer, String> {
        UnparsedPublicKey::new(&ED25519, self.key.bytes)
            .verify(hash, &self.bytes)
            .map_err(|_| "the file is not the one that was signed".to_owned())?;
        Ok(Signer {
            format: "minisign",
            key: shown(self.key.number),
            comment: Some(self.comment.clone()),
            time: None,
        })
    }
}
