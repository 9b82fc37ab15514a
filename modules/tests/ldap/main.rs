//! The directory modules on real data and against a real slapd. What is absent is skipped by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod encrypting;
mod exporting;
mod host;
mod model;
mod parsing;
mod predicting;
mod realdata;
mod reprinting;
mod restoring;
mod shipped;
#[path = "../../../tests/skip.rs"]
mod skip;
mod slapd;
mod updating;
