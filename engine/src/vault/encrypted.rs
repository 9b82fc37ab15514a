//! A value that is encrypted where it is written, and decrypted when somebody looks at it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::envelope::{Envelope, Malformed};
use super::keyring::{Keyring, Locked};
use crate::value::Secret;

/// A text behind `!vault`. Deriving its key takes some milliseconds, and a variable that nobody uses needs no password:
/// so it is decrypted when it is looked at first, and then kept.
pub struct Encrypted {
    envelope: Envelope,
    keyring: Arc<Keyring>,
    opened: OnceLock<Result<Secret, Shut>>,
}

/// Why it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Encrypted {
    /// Of the text as it is written.
    ///
    /// # Errors
    /// It is not a whole vault, which needs no password to be seen.
    pub fn new(text: &str, keyring: Arc<Keyring>) -> Result<Self, Malformed> {
        Ok(Self {
            envelope: Envelope::parse(text.trim_start())?,
            keyring,
            opened: OnceLock::new(),
        })
    }

    /// The text.
    ///
    /// # Errors
    /// No password opens it, or it is no text.
    pub fn open(&self) -> Result<&Secret, &Shut> {
        self.opened
            .get_or_init(|| {
                let (plain, _) = self
                    .keyring
                    .open(&self.envelope)
                    .map_err(|e| Shut::of(&e))?;
                match std::str::from_utf8(&plain) {
                    Ok(text) => Ok(Secret::new(text)),
                    Err(_) => Err(Shut {
                        message: "what is encrypted here is not UTF-8".to_owned(),
                        help: "encrypt it as a file of its own, and copy that with `copy`"
                            .to_owned(),
                    }),
                }
            })
            .as_ref()
    }
}

impl Shut {
    fn of(locked: &Locked) -> Self {
        Self {
            message: format!("this string cannot be decrypted: {locked}"),
            help: locked.help(),
        }
    }
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an encrypted string")
    }
}

impl PartialEq for Encrypted {
    fn eq(&self, other: &Self) -> bool {
        self.envelope == other.envelope
    }
}
