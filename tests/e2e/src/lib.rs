//! What end-to-end tests need: the real program, a folder to call it in, and lines that count what goes over them.
//!
//! The tests look at `runbook` as a user does: what it prints, its exit code, and what other programs then see.

pub mod archive;
mod counter;
mod program;
mod proxy;
mod scene;
mod terminal;

pub use counter::Counter;
pub use program::program;
pub use proxy::{Proxy, Traffic};
pub use scene::{Run, Scene};
pub use terminal::Terminal;

use std::io::Write as _;

/// Says by name that a test did not run, and why.
pub fn skip(test: &str, reason: &str) {
    // Nobody reads it when standard error is closed. Written past the capture of the test runner, so that it is seen.
    drop(writeln!(std::io::stderr(), "skipped: {test}: {reason}"));
}

/// Says what was measured; seen with `--nocapture`.
pub fn tell(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
