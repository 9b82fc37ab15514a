//! See ARCHITECTURE.md.

pub mod ldap;
pub mod file;
pub mod command;
pub mod flow;
