//! The language and the machine of runbook: from playbook text to hosts, in one direction.
//!
//! ```text
//! source → playbook, inventory → compile → graph → run → journal, report
//! ```
//!
//! A stage knows the stages before it and none after it. The engine knows modules, resource kinds and actions
//! only through the traits in [`module`], [`resource`] and [`action`].

pub mod action;
pub mod compile;
pub mod diag;
pub mod graph;
pub mod host;
pub mod inventory;
pub mod journal;
pub mod lock;
pub mod module;
pub mod playbook;
pub mod registry;
pub mod resource;
pub mod rollback;
pub mod run;

#[cfg(test)]
#[path = "../../tests/skip.rs"]
mod skip;
pub mod source;
pub mod template;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod transport;
pub mod value;
pub mod vault;
pub mod world;
