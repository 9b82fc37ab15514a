//! A plan that was saved is applied as it is, or not at all.

#[path = "drift/files.rs"]
mod files;
#[path = "drift/plans.rs"]
mod plans;
