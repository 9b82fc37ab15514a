//! The database modules on real data and against a real PostgreSQL. What is absent is skipped by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod cluster;
mod damaged;
mod dumping;
mod failing;
mod host;
mod latency;
mod restoring;
#[path = "../../../tests/skip.rs"]
mod skip;
mod upgrading;
