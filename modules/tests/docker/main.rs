//! The Docker modules against a real daemon. Where there is none, each test says that it is skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod adopting;
mod back;
mod composing;
mod daemon;
mod env_files;
mod images;
mod keeping;
mod oneshot;
mod refusing;
mod registry;
mod registry_server;
mod replacing;
#[path = "../../../tests/skip.rs"]
mod skip;
mod unpacking;
