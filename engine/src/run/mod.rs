//! Predicts what a program would do, and does it.

mod act;
pub mod before;
pub mod collect;
pub mod copies;
pub mod diff;
pub mod event;
pub mod flight;
mod footprint;
mod foretold;
mod forms;
pub mod frame;
pub mod hosts;
pub mod include;
pub mod job;
pub mod local;
pub mod machine;
mod on_fail;
pub mod parallel;
pub mod past;
pub mod plan;
pub mod redact;
mod replay;
mod rescue;
pub mod runner;
pub mod settle;
pub mod shared;
mod standin;
pub mod state;
pub mod task;
mod touched;
pub mod walk;
mod write;

pub use act::{CutOff, Decision};
pub use job::{Job, Tally};
pub use plan::Plan;
pub use runner::Runner;

/// Exit codes of the command (`docs/exit-codes.md`).
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// The playbook or the call is wrong; nothing was touched.
    pub const WRONG: u8 = 1;
    /// A task failed.
    pub const FAILED: u8 = 2;
    /// With `--detailed-exitcode`: something was, or would be, changed.
    pub const CHANGED: u8 = 3;
    /// A host could not be reached.
    pub const UNREACHABLE: u8 = 4;
    /// Drift: a host is no longer as the plan found it.
    pub const DRIFT: u8 = 5;
    /// Another run holds the lock.
    pub const LOCKED: u8 = 6;
    /// Interrupted.
    pub const INTERRUPTED: u8 = 130;
}
