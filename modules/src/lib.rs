//! See ARCHITECTURE.md.

pub mod ldap;
