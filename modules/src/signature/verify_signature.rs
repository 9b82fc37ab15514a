//! The module `verify_signature`: is a file the one that somebody has signed?

use indexmap::IndexMap;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::digest::Algorithm;
use super::key::{Claim, Making, Signer, claim};
use crate::command::query::CommandOutput;
use crate::file::FileKind;
use crate::file::state::{FileKey, FileState, tidy};
use crate::file::target::absolute;

/// Arguments of `verify_signature`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifySignatureArgs {
    /// The file that was signed: on the controller, looked up in `files/`; with `remote_src` its absolute path on the host.
    pub src: String,
    /// The file that holds the signature, beside it or elsewhere, on the same machine.
    pub signature: String,
    /// The file on the controller, looked up in `files/`, that holds the public key: PEM or a certificate (OpenSSL), or a key of
    /// minisign, of OpenSSH (one or several, a line each) or of OpenPGP (one or several). The key says of what format the signature is.
    pub key: String,
    /// `src` and `signature` are on the host. Default: no.
    #[serde(default)]
    pub remote_src: bool,
    /// For a key of OpenSSL: the digest of `openssl dgst`. Default: sha256.
    #[serde(default)]
    pub digest: Option<DigestName>,
    /// For keys of OpenSSH: what the signature has to be for, as `ssh-keygen -n` says. Default: file.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// A digest of `openssl dgst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DigestName {
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl From<DigestName> for Algorithm {
    fn from(name: DigestName) -> Self {
        match name {
            DigestName::Sha224 => Self::Sha224,
            DigestName::Sha256 => Self::Sha256,
            DigestName::Sha384 => Self::Sha384,
            DigestName::Sha512 => Self::Sha512,
        }
    }
}

/// The module.
pub struct VerifySignature;

impl Module for VerifySignature {
    type Args = VerifySignatureArgs;
    const NAME: &'static str = "verify_signature";
    const SUMMARY: &'static str = "Stops where a file is not the one that was signed.";
    const DOC: &'static str = include_str!("verify_signature.md");
    const LOCAL_FILES: &'static [&'static str] = &["src", "signature", "key"];
    const REMOTE_FILES: &'static [&'static str] = &["src", "signature"];

    fn validate(args: &VerifySignatureArgs) -> Result<(), String> {
        let relative = [&args.src, &args.signature]
            .into_iter()
            .find(|path| args.remote_src && !path.starts_with('/'));
        match relative {
            Some(path) => Err(format!(
                "`{path}` is no absolute path, and with `remote_src` it is one on the host"
            )),
            None => Ok(()),
        }
    }

    fn touches(args: &VerifySignatureArgs) -> Footprint {
        if !args.remote_src {
            return Footprint::nothing();
        }
        Footprint::nothing()
            .reads(FileKind::NAME, tidy(&args.src))
            .reads(FileKind::NAME, tidy(&args.signature))
            .reads(CommandOutput::NAME, "*")
    }

    fn want(args: &VerifySignatureArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let making = Making {
            digest: args.digest.map(Algorithm::from),
            namespace: args.namespace.as_deref(),
        };
        let key = &world.local(&args.key)?.content;
        let read = |signature: &[u8]| {
            claim(key, signature, making).map_err(|why| {
                Stop::refuse(format!(
                    "the signature {} cannot be taken: {why}",
                    args.signature
                ))
            })
        };
        let (claim, hash) = if args.remote_src {
            let (file, signature) = (on_host(&args.src, world)?, on_host(&args.signature, world)?);
            let Some(bytes) = signature.bytes() else {
                return Err(Stop::refuse(format!(
                    "{} is no signature: it is over 1 MiB",
                    args.signature
                )));
            };
            let claim = read(bytes)?;
            let hash = claim.question().on_host(&file, world)?;
            (claim, hash)
        } else {
            let claim = read(&world.local(&args.signature)?.content)?;
            let hash = claim.question().answer(&world.local(&args.src)?.content);
            (claim, hash)
        };
        let signer = verified(args, claim.as_ref(), &hash)?;
        let mut wanted = Wanted::nothing();
        wanted.facts.insert("signature".to_owned(), said(&signer));
        Ok(wanted)
    }
}

/// A file on the host, which has to be there.
fn on_host(path: &str, world: &View<'_>) -> Result<FileState, Stop> {
    let path = absolute(path)?;
    let state = world.get::<FileKind>(&FileKey::following(&path))?;
    match state.is {
        FileType::File => Ok(state),
        _ if state.is_absent() => Err(Stop::refuse(format!("{path} is not there"))),
        _ => Err(Stop::refuse(format!("{path} is no file"))),
    }
}

fn verified(args: &VerifySignatureArgs, claim: &dyn Claim, hash: &[u8]) -> Result<Signer, Stop> {
    claim.verify(hash).map_err(|why| {
        Stop::refuse(format!(
            "{} is not what its signature {} is about: {why}. Do not use it: get it again, and ask whoever has signed it where the \
             two differ still",
            args.src, args.signature
        ))
    })
}

fn said(signer: &Signer) -> Value {
    let text = |text: &str| Value::from(text.to_owned());
    let mut said = IndexMap::from([
        ("format".to_owned(), text(signer.format)),
        ("key".to_owned(), text(&signer.key)),
    ]);
    if let Some(comment) = &signer.comment {
        said.insert("comment".to_owned(), text(comment));
    }
    if let Some(time) = signer.time {
        said.insert("time".to_owned(), Value::Int(time));
    }
    Value::Map(said)
}
