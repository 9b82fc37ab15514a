//! Ways to a host.
//!
//! A [`carrier`] starts processes and opens sockets on a host: locally, or through SSH. Everything else, the persistent
//! shells, commands apart, files, facts, is the same for all of them and rests on the carrier alone.

mod bridge;
pub mod carrier;
pub(crate) mod command;
mod connection;
mod facts;
pub mod files;
pub mod local;
mod metered;
mod pipe;
pub mod quote;
mod shell;
pub mod ssh;
mod sudo;
