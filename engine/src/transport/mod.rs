//! Ways to a host.

pub mod files;
pub mod quote;
