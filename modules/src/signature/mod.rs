//! Signatures of files: `verify_signature`.
//!
//! A file may be large and far away, so it is never fetched: each format is brought down to the hash of the file with a few
//! bytes before and behind it ([`digest::Question`]), which the host itself can say. The key and what is concluded from the hash
//! stay on the controller.

#[cfg(test)]
mod cases;
mod digest;
mod key;
mod minisign;
mod openpgp;
mod openssl;
mod ssh;
pub mod verify_signature;
