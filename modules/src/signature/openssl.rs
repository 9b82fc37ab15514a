//! Detached signatures of `openssl dgst -sign`.
//!
//! Sources: openssl-dgst(1); RFC 8017 (RSA), RFC 5480 (elliptic curves).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, Pss, RsaPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use sha2::digest::FixedOutputReset;
use sha2::digest::const_oid::AssociatedOid;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::digest::{Algorithm, Question};
use super::key::{Claim, Signer};

enum Key {
    Rsa(RsaPublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

struct Signature {
    question: Question,
    key: Key,
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    fingerprint: String,
    bytes: Vec<u8>,
    /// Nobody has said which digest it is.
    supposed: bool,
}

/// The SubjectPublicKeyInfo of a key in PEM.
fn info(pem: &str) -> Result<Vec<u8>, String> {
    if pem.contains("BEGIN RSA PUBLIC KEY-----") {
        return Err(
            "the key is in PKCS#1; turn it into the usual form: openssl rsa -RSAPublicKey_in -in KEY -pubout"
                .to_owned(),
        );
    }
    if pem.contains("BEGIN CERTIFICATE-----") {
        let broken = |e: String| format!("the certificate cannot be read: {e}");
        let der =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| broken(e.to_string()))?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|e| broken(e.to_string()))?;
        return Ok(certificate.public_key().raw.to_vec());
    }
    SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
        .map(|der| der.as_ref().to_vec())
        .map_err(|e| format!("the key cannot be read: {e}"))
}

fn key(info: &[u8]) -> Result<Key, String> {
    RsaPublicKey::from_public_key_der(info)
        .map(Key::Rsa)
        .or_else(|_| p256::ecdsa::VerifyingKey::from_public_key_der(info).map(Key::P256))
        .or_else(|_| p384::ecdsa::VerifyingKey::from_public_key_der(info).map(Key::P384))
        .map_err(|_| {
            "the key is neither of RSA (1024 to 8192 bits) nor of the curves P-256 and P-384; Ed25519 keys of OpenSSL sign whole files \
             and no hash of them: sign with minisign or ssh-keygen -Y, which use such keys, too"
                .to_owned()
        })
}

/// Reads a signature; it may be in base64.
///
/// # Errors
/// The key cannot be read, or the signature cannot be one by such a key.
pub fn claim(
    pem: &str,
    signature: &[u8],
    digest: Option<Algorithm>,
) -> Result<Box<dyn Claim>, String> {
    let info = info(pem)?;
    let key = key(&info)?;
    let fits = |bytes: &[u8]| match &key {
        Key::Rsa(key) => bytes.len() == key.size(),
        Key::P256(_) => p256::ecdsa::DerSignature::try_from(bytes).is_ok(),
        Key::P384(_) => p384::ecdsa::DerSignature::try_from(bytes).is_ok(),
    };
    let bytes = if fits(signature) {
        signature.to_vec()
    } else {
        let text: Vec<u8> = signature
            .iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        let decoded = STANDARD.decode(text).ok().filter(|bytes| fits(bytes));
        decoded.ok_or_else(|| {
            format!(
                "the signature cannot be one by such a key ({} bytes; neither as it is nor in base64)",
                signature.len()
            )
        })?
    };
    Ok(Box::new(Signature {
        question: Question::plain(digest.unwrap_or(Algorithm::Sha256)),
        key,
        fingerprint: hex::encode(Sha256::digest(&info)),
        bytes,
        supposed: digest.is_none(),
    }))
}

/// With either padding; of PSS, with a salt of any length.
fn by_rsa<D>(key: &RsaPublicKey, hash: &[u8], signature: &[u8]) -> bool
where
    D: Digest + AssociatedOid + FixedOutputReset,
{
    let pss = Pss::<D> {
        blinded: false,
        digest: D::new(),
        salt_len: None,
    };
    key.verify(Pkcs1v15Sign::new::<D>(), hash, signature)
        .is_ok()
        || key.verify(pss, hash, signature).is_ok()
}

impl Signature {
    fn agrees(&self, hash: &[u8]) -> bool {
        let sig = self.bytes.as_slice();
        match &self.key {
            Key::Rsa(key) => match self.question.algorithm {
                Algorithm::Sha224 => by_rsa::<Sha224>(key, hash, sig),
                Algorithm::Sha256 => by_rsa::<Sha256>(key, hash, sig),
                Algorithm::Sha384 => by_rsa::<Sha384>(key, hash, sig),
                Algorithm::Sha512 => by_rsa::<Sha512>(key, hash, sig),
                Algorithm::Blake2b => false,
            },
            Key::P256(key) => p256::ecdsa::DerSignature::try_from(sig)
                .is_ok_and(|sig| key.verify_prehash(hash, &sig).is_ok()),
            Key::P384(key) => p384::ecdsa::DerSignature::try_from(sig)
                .is_ok_and(|sig| key.verify_prehash(hash, &sig).is_ok()),
        }
    }
}

impl Claim for Signature {
    fn question(&self) -> &Question {
        &self.question
    }

    fn verify(&self, hash: &[u8]) -> Result<Signer, String> {
        if !self.agrees(hash) {
            let supposed = match self.supposed {
                true => " (or not with `digest: sha256`)",
                false => "",
            };
            return Err(format!(
                "the file is not the one that was signed, or it was not signed with this key{supposed}"
            ));
        }
        Ok(Signer {
            format: "openssl",
            key: format!("sha256:{}", self.fingerprint),
            comment: None,
            time: None,
        })
    }
}
