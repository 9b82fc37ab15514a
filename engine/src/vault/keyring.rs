//! The passwords of a call, each with its id.

use std::fmt;

use rand::TryRngCore;
use zeroize::Zeroizing;

use super::cipher;
use super::envelope::Envelope;

/// The id of a password that was given without one.
pub const DEFAULT_ID: &str = "default";
/// Bytes of salt of a vault that is made here.
const SALT: usize = 32;

/// A password with its id.
#[derive(Clone)]
pub struct Key {
    /// The label that it was given under.
    pub id: String,
    password: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "password `{}`", self.id)
    }
}

impl Key {
    /// A password under an id. It may not be empty.
    #[must_use]
    pub fn new(id: &str, password: Zeroizing<Vec<u8>>) -> Option<Self> {
        (!password.is_empty()).then(|| Self {
            id: id.to_owned(),
            password,
        })
    }

    /// Are these the same password?
    #[must_use]
    pub fn same_password(&self, other: &Self) -> bool {
        self.password == other.password
    }

    /// Encrypts a text under this password. The id is written unless it is [`DEFAULT_ID`], as Ansible does.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn seal(&self, plain: &[u8]) -> Result<Envelope, String> {
        let mut salt = [0_u8; SALT];
        rand::rngs::OsRng
            .try_fill_bytes(&mut salt)
            .map_err(|e| format!("the system gives no random numbers: {e}"))?;
        let id = (self.id != DEFAULT_ID).then(|| self.id.clone());
        cipher::seal(plain, &self.password, &salt, id)
            .ok_or_else(|| "the text is too long to be encrypted".to_owned())
    }

    /// Decrypts with this password alone.
    #[must_use]
    pub fn open(&self, envelope: &Envelope) -> Option<Zeroizing<Vec<u8>>> {
        cipher::open(envelope, &self.password)
    }
}

/// The passwords that were given, in order.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

/// Why a vault stays shut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Locked {
    /// There is no password at all.
    #[error("it is encrypted with Ansible Vault{}, and no vault password was given", of_id(.id))]
    NoPassword {
        /// The id that the vault names.
        id: Option<String>,
    },
    /// None of the passwords fits.
    #[error(
        "none of the vault passwords that were given ({}) opens it{}: its password is another one, or it is damaged",
        .tried.join(", "), of_id(.id)
    )]
    NoneFits {
        /// The id that the vault names.
        id: Option<String>,
        /// The ids of the passwords that were tried.
        tried: Vec<String>,
    },
    /// The password of its own id does not fit, and no other does.
    #[error(
        "the vault password `{id}` does not open it, though it names that id: the password is another one, or it is \
         damaged"
    )]
    OwnDoesNotFit {
        /// The id that the vault names.
        id: String,
    },
}

fn of_id(id: &Option<String>) -> String {
    match id {
        Some(id) => format!(" under the id `{id}`"),
        None => String::new(),
    }
}

impl Locked {
    /// What to do.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoPassword { id: Some(id) } => {
                format!("give its password with `--vault-id {id}@FILE` or `--vault-id {id}@prompt`")
            }
            Self::NoPassword { id: None } => {
                "give its password with `--vault-password-file FILE`, or `-J` to be asked"
                    .to_owned()
            }
            Self::NoneFits { id: Some(id), .. } => {
                format!("give the password of `{id}` with `--vault-id {id}@FILE`")
            }
            Self::NoneFits { id: None, .. } | Self::OwnDoesNotFit { .. } => {
                "try the password with `runbook vault view FILE`; a damaged vault cannot be mended"
                    .to_owned()
            }
        }
    }
}

impl Keyring {
    /// Adds a password behind the others.
    pub fn add(&mut self, key: Key) {
        self.keys.push(key);
    }

    /// The passwords, in order.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The first password under an id.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|k| k.id == id)
    }

    /// Calls `found` with every password that is a text, for whoever keeps them out of what is shown.
    pub fn passwords(&self, found: &mut dyn FnMut(&str)) {
        for key in &self.keys {
            if let Ok(text) = std::str::from_utf8(&key.password) {
                found(text);
            }
        }
    }

    /// Decrypts: first with the passwords under the vault's own id, then with all others, as Ansible does. Gives also
    /// the password that fitted.
    pub fn open(&self, envelope: &Envelope) -> Result<(Zeroizing<Vec<u8>>, &Key), Locked> {
        let id = envelope.id.as_deref().unwrap_or(DEFAULT_ID);
        let (own, others): (Vec<&Key>, Vec<&Key>) = self.keys.iter().partition(|k| k.id == id);
        let has_own = !own.is_empty();
        for key in own.into_iter().chain(others) {
            if let Some(plain) = key.open(envelope) {
                return Ok((plain, key));
            }
        }
        let id = envelope.id.clone();
        Err(match id {
            _ if self.keys.is_empty() => Locked::NoPassword { id },
            Some(id) if has_own => Locked::OwnDoesNotFit { id },
            id => Locked::NoneFits {
                id,
                tried: self.keys.iter().map(|k| k.id.clone()).collect(),
            },
        })
    }
}
