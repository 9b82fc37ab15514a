//! The SSH transport against a real sshd, started as a plain process with keys and users of its own. Where there is no
//! sshd, or not the right to start one, each test says so by name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod basics;
mod proxy;
#[path = "../../../tests/rest.rs"]
mod rest;
mod server;
#[path = "../../../tests/skip.rs"]
mod skip;
mod ways;
