//! What end-to-end tests need: the real program, a folder to call it in, and lines that count what goes over them.
//!
//! The tests look at `runbook` as a user does: what it prints, its exit code, and what other programs then see.

pub mod archive;
mod counter;
pub mod crash;
pub mod drift;
pub mod guide;
mod program;
mod proxy;
#[path = "../../realdata.rs"]
mod realdata;
#[path = "../../rest.rs"]
mod rest;
pub mod rows;
mod scene;
pub mod secrets;
#[path = "../../skip.rs"]
mod skip;
mod terminal;

pub use counter::Counter;
pub use program::{choose, program};
pub use proxy::{Proxy, Side, Traffic};
pub use realdata::realdata;
pub use rest::at_rest;
pub use scene::{Run, Scene, Started, appears, call};
pub use skip::skip;
pub use terminal::Terminal;

use std::io::Write as _;

/// Says what was measured; seen with `--nocapture`.
pub fn tell(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
