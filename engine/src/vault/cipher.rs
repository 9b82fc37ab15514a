//! Key derivation, encryption and authentication.

use aes::Aes256;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::envelope::{BLOCK, Envelope};

/// Rounds of PBKDF2, fixed by the format.
const ROUNDS: u32 = 10_000;

type Ctr = ctr::Ctr128BE<Aes256>;

/// 32 bytes for AES, 32 for HMAC and 16 for the first counter.
fn derived(password: &[u8], salt: &[u8]) -> Zeroizing<[u8; 80]> {
    let mut key = Zeroizing::new([0; 80]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, ROUNDS, key.as_mut());
    key
}

fn authenticator(key: &[u8; 80]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(&key[32..64]).ok()
}

fn apply(key: &[u8; 80], bytes: &mut [u8]) -> Option<()> {
    let mut stream = Ctr::new_from_slices(&key[..32], &key[64..]).ok()?;
    stream.try_apply_keystream(bytes).ok()
}

/// Encrypts. `None`: the text is longer than the cipher allows (2^132 bytes).
pub(super) fn seal(
    plain: &[u8],
    password: &[u8],
    salt: &[u8],
    id: Option<String>,
) -> Option<Envelope> {
    let key = derived(password, salt);
    // PKCS #7: at least one byte, each of them the number of those that were added.
    let padding = BLOCK - plain.len() % BLOCK;
    let mut bytes = Zeroizing::new(Vec::with_capacity(plain.len() + padding));
    bytes.extend_from_slice(plain);
    bytes.resize(plain.len() + padding, u8::try_from(padding).ok()?);
    apply(&key, &mut bytes)?;
    let hmac = authenticator(&key)?.chain_update(&*bytes).finalize();
    Some(Envelope {
        id,
        salt: salt.to_vec(),
        hmac: hmac.into_bytes().into(),
        ciphertext: bytes.to_vec(),
    })
}

/// Decrypts. `None`: it was made with another password, or changed since, which cannot be told apart.
pub(super) fn open(envelope: &Envelope, password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let key = derived(password, &envelope.salt);
    // Compares in constant time.
    authenticator(&key)?
        .chain_update(&envelope.ciphertext)
        .verify_slice(&envelope.hmac)
        .ok()?;
    let mut bytes = Zeroizing::new(envelope.ciphertext.clone());
    apply(&key, &mut bytes)?;
    let padding = usize::from(*bytes.last()?);
    let text = bytes.len().checked_sub(padding)?;
    let padded =
        (1..=BLOCK).contains(&padding) && bytes[text..].iter().all(|b| usize::from(*b) == padding);
    if !padded {
        return None;
    }
    bytes.truncate(text);
    Some(bytes)
}
