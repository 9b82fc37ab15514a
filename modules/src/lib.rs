//! See ARCHITECTURE.md.

pub mod command;
pub mod file;
pub mod flow;
pub mod ldap;
pub mod postgres;
