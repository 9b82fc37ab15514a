//! Ansible Vault: texts that are encrypted with a password, in its formats 1.1 and 1.2.
//!
//! The format is Ansible's own, so that files go back and forth: the key is made of the password with
//! PBKDF2-HMAC-SHA256 (10,000 rounds), the text is encrypted with AES-256-CTR and authenticated with HMAC-SHA256.
//! Everything is hexadecimal twice over, in lines of 80 characters.

mod cipher;
mod encrypted;
mod envelope;
mod keyring;

pub use encrypted::{Encrypted, Shut};
pub use envelope::{Envelope, Malformed, is_vault};
pub use keyring::{DEFAULT_ID, Key, Keyring, Locked};

#[cfg(test)]
mod tests;
