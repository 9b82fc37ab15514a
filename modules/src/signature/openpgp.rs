//! Detached signatures of OpenPGP: `gpg --detach-sign`, `sq sign --signature-file`.
//!
//! Source: RFC 9580, 5.2.4 (what is hashed), 5.2.3 (subpackets), 10.1.1 (keys).

use std::io::Cursor;
use std::time::UNIX_EPOCH;

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    Signature as Packet, SignatureConfig, SignatureType, SignatureVersionSpecific, SubpacketType,
};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, KeyVersion, SignatureBytes, Tag, Timestamp, VerifyingKey};

use super::digest::{Algorithm, Question};
use super::key::{Claim, Signer};

struct Signature {
    question: Question,
    packet: Packet,
    /// The primary key and its subkeys that may sign and that may have made it.
    keys: Vec<Box<dyn Verifier>>,
    time: Option<i64>,
}

/// A key that may have signed.
trait Verifier {
    fn agrees(&self, algorithm: HashAlgorithm, hash: &[u8], signature: &SignatureBytes) -> bool;
    fn name(&self) -> String;
}

impl<K: VerifyingKey> Verifier for K {
    fn agrees(&self, algorithm: HashAlgorithm, hash: &[u8], signature: &SignatureBytes) -> bool {
        self.verify(algorithm, hash, signature).is_ok()
    }

    fn name(&self) -> String {
        format!("{:X}", self.fingerprint())
    }
}

/// Is it a public key of OpenPGP, in ASCII or in bytes?
pub fn is_key(bytes: &[u8]) -> bool {
    // A packet of the type 6, in the old form and in the new one.
    matches!(bytes.first(), Some(0x98..=0x9b | 0xc6))
        || String::from_utf8_lossy(bytes).contains("-----BEGIN PGP PUBLIC KEY BLOCK-----")
}

/// Reads a signature.
///
/// # Errors
/// It is none of OpenPGP, by none of these keys, weak, of a text, over its time, or by a key that was revoked or over its time.
pub fn claim(key: &[u8], signature: &[u8]) -> Result<Box<dyn Claim>, String> {
    let none = |e: pgp::errors::Error| {
        format!("the key is one of OpenPGP, and the signature is no detached one of it: {e}")
    };
    let (found, _) = DetachedSignature::from_reader_single(Cursor::new(signature)).map_err(none)?;
    let packet = found.signature;
    let config = packet.config().ok_or_else(|| {
        format!(
            "signatures of version {:?} are not known here",
            packet.version()
        )
    })?;
    if packet.typ() != Some(SignatureType::Binary) {
        return Err("it is one of a text, not of a file: sign without `--textmode`".to_owned());
    }
    let question = question(config)?;
    let created = packet.created();
    in_time(&packet)?;
    let certificates = SignedPublicKey::from_reader_many(Cursor::new(key))
        .and_then(|(all, _)| all.collect::<Result<Vec<_>, _>>())
        .map_err(|e| format!("the key cannot be read: {e}"))?;
    let mut keys: Vec<Box<dyn Verifier>> = Vec::new();
    let mut why = Vec::new();
    for certificate in certificates {
        match usable(&certificate, &packet, created) {
            Ok(found) => keys.extend(found),
            Err(reason) => why.push(reason),
        }
    }
    if keys.is_empty() && !why.is_empty() {
        return Err(why.join("; "));
    }
    if keys.is_empty() {
        return Err(format!(
            "it was signed with the key {}, which is none of those given that may sign",
            issuer(&packet)
        ));
    }
    let time = created.map(|t| i64::from(t.as_secs()));
    Ok(Box::new(Signature {
        question,
        packet,
        keys,
        time,
    }))
}

/// What is hashed beside the file.
fn question(config: &SignatureConfig) -> Result<Question, String> {
    let algorithm = match config.hash_alg {
        HashAlgorithm::Sha224 => Algorithm::Sha224,
        HashAlgorithm::Sha256 => Algorithm::Sha256,
        HashAlgorithm::Sha384 => Algorithm::Sha384,
        HashAlgorithm::Sha512 => Algorithm::Sha512,
        weak @ (HashAlgorithm::Md5 | HashAlgorithm::Sha1 | HashAlgorithm::Ripemd160) => {
            return Err(format!("it was made with {weak}, which is too weak"));
        }
        other => return Err(format!("its hash, {other}, is not known here")),
    };
    let mut area = Vec::new();
    for subpacket in &config.hashed_subpackets {
        if subpacket.is_critical && matches!(subpacket.typ(), SubpacketType::Other(_)) {
            return Err(
                "it says something that has to be understood, and is not known here".to_owned(),
            );
        }
        subpacket
            .to_writer(&mut area)
            .map_err(|e| format!("it cannot be read: {e}"))?;
    }
    let (before, length) = match &config.version_specific {
        SignatureVersionSpecific::V4 => (
            Vec::new(),
            u16::try_from(area.len()).map(|n| n.to_be_bytes().to_vec()),
        ),
        SignatureVersionSpecific::V6 { salt } => {
            if config.hash_alg.salt_len() != Some(salt.len()) {
                return Err("its salt has a wrong length".to_owned());
            }
            let length = u32::try_from(area.len()).map(|n| n.to_be_bytes().to_vec());
            (salt.clone(), length)
        }
        _ => {
            return Err(
                "it is of a version from before 1998: sign with a tool of this century".to_owned(),
            );
        }
    };
    let length = length.map_err(|_| "it is too large".to_owned())?;
    let mut after = vec![
        config.version().into(),
        config.typ.into(),
        config.pub_alg.into(),
        config.hash_alg.into(),
    ];
    after.extend(length);
    after.extend(area);
    let trailer = config.trailer(after.len()).map_err(|e| e.to_string())?;
    after.extend(trailer);
    Ok(Question {
        algorithm,
        before,
        after,
    })
}

/// Seconds of a duration that OpenPGP gives; zero means for ever.
fn seconds(of: Option<pgp::types::Duration>) -> Option<u64> {
    of.map(|d| std::time::Duration::from(d).as_secs())
        .filter(|s| *s > 0)
}

fn in_time(packet: &Packet) -> Result<(), String> {
    let Some(created) = packet.created() else {
        return Err("it does not say when it was made".to_owned());
    };
    let now = UNIX_EPOCH.elapsed().map_or(0, |t| t.as_secs());
    match seconds(packet.signature_expiration_time()) {
        Some(lasts) if u64::from(created.as_secs()) + lasts < now => {
            Err("it is over its time".to_owned())
        }
        _ => Ok(()),
    }
}

/// Who has signed, as the signature says.
fn issuer(packet: &Packet) -> String {
    let fingerprint = packet
        .issuer_fingerprint()
        .first()
        .map(|f| format!("{f:X}"));
    let number = packet.issuer_key_id().first().map(hex::encode_upper);
    fingerprint
        .or(number)
        .unwrap_or_else(|| "(not named)".to_owned())
}

/// May the signature be by this key, as it says itself?
fn may_be_by(packet: &Packet, key: &impl KeyDetails) -> bool {
    let (numbers, prints) = (packet.issuer_key_id(), packet.issuer_fingerprint());
    let named = numbers.iter().any(|n| **n == key.legacy_key_id())
        || prints.iter().any(|f| **f == key.fingerprint());
    // RFC 9580, 5.2.3.35: version 6 belongs to version 6.
    let is_six = |v6: bool| v6 == (key.version() == KeyVersion::V6);
    let version = packet.config().map(|c| &c.version_specific);
    (named || numbers.is_empty() && prints.is_empty())
        && is_six(matches!(version, Some(SignatureVersionSpecific::V6 { .. })))
}

/// Was the key over its time when the signature was made?
fn was_over(key: &impl KeyDetails, lasts: Option<u64>, created: Option<Timestamp>) -> bool {
    let (Some(lasts), Some(created)) = (lasts, created) else {
        return false;
    };
    u64::from(key.created_at().as_secs()) + lasts < u64::from(created.as_secs())
}

/// The keys of a certificate that may have made the signature, and were good for it.
fn usable(
    certificate: &SignedPublicKey,
    packet: &Packet,
    created: Option<Timestamp>,
) -> Result<Vec<Box<dyn Verifier>>, String> {
    let primary = &certificate.primary_key;
    let subkeys = certificate.public_subkeys.iter();
    let subkeys: Vec<&SignedPublicSubKey> = subkeys.filter(|s| may_be_by(packet, &s.key)).collect();
    let by_primary = may_be_by(packet, primary);
    if subkeys.is_empty() && !by_primary {
        return Ok(Vec::new());
    }
    let name = format!("{:X}", primary.fingerprint());
    let details = &certificate.details;
    let revoked = details
        .revocation_signatures
        .iter()
        .any(|r| r.verify_key(primary).is_ok());
    if revoked {
        return Err(format!("the key {name} was revoked"));
    }
    let of_itself = details
        .direct_signatures
        .iter()
        .filter(|s| s.verify_key(primary).is_ok());
    let of_names = details.users.iter().flat_map(|user| {
        let own = move |s: &&Packet| {
            s.typ() != Some(SignatureType::CertRevocation)
                && s.verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
        };
        user.signatures.iter().filter(own)
    });
    let Some(latest) = of_itself.chain(of_names).max_by_key(|s| s.created()) else {
        return Err(format!(
            "the key {name} says of itself nothing that it has signed"
        ));
    };
    if was_over(primary, seconds(latest.key_expiration_time()), created) {
        return Err(format!("the key {name} was over its time when it signed"));
    }
    let mut found: Vec<Box<dyn Verifier>> = Vec::new();
    if by_primary && latest.key_flags().sign() {
        found.push(Box::new(primary.clone()));
    }
    for subkey in subkeys {
        if may_sign(certificate, subkey, created)? {
            found.push(Box::new(subkey.key.clone()));
        }
    }
    Ok(found)
}

/// May the subkey sign? Both keys have to say so (RFC 9580, 5.2.1.8 and 5.2.1.9).
fn may_sign(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    created: Option<Timestamp>,
) -> Result<bool, String> {
    let primary = &certificate.primary_key;
    let valid = |typ: SignatureType| {
        subkey.signatures.iter().filter(move |s| {
            s.typ() == Some(typ) && s.verify_subkey_binding(primary, &subkey.key).is_ok()
        })
    };
    let name = format!("{:X}", subkey.key.fingerprint());
    if valid(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(format!("the subkey {name} was revoked"));
    }
    let Some(latest) = valid(SignatureType::SubkeyBinding).max_by_key(|s| s.created()) else {
        return Ok(false);
    };
    if was_over(&subkey.key, seconds(latest.key_expiration_time()), created) {
        return Err(format!(
            "the subkey {name} was over its time when it signed"
        ));
    }
    let back = latest
        .embedded_signature()
        .is_some_and(|b| b.verify_primary_key_binding(&subkey.key, primary).is_ok());
    Ok(latest.key_flags().sign() && back)
}

impl Claim for Signature {
    fn question(&self) -> &Question {
        &self.question
    }

    fn verify(&self, hash: &[u8]) -> Result<Signer, String> {
        let changed = || "the file is not the one that was signed".to_owned();
        let start = self.packet.signed_hash_value().ok_or_else(changed)?;
        let (Some(signature), Some(algorithm)) = (self.packet.signature(), self.packet.hash_alg())
        else {
            return Err(changed());
        };
        if !hash.starts_with(&start) {
            return Err(changed());
        }
        let key = self
            .keys
            .iter()
            .find(|key| key.agrees(algorithm, hash, signature))
            .ok_or_else(changed)?;
        Ok(Signer {
            format: "openpgp",
            key: key.name(),
            comment: None,
            time: self.time,
        })
    }
}
