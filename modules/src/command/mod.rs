//! Commands: the modules that run them, the action `exec`, and what commands say that only read.

#[expect(
    clippy::module_inception,
    reason = "the file of the module `command` is named after it"
)]
pub mod command;
pub mod exec;
mod guide;
pub mod launch;
pub mod matches;
pub mod memory;
pub mod program;
pub mod query;
pub mod shell;
