//! Directories (LDAP): entries and schema as resources, updates from LDIF, exports.

pub mod container;
pub mod dn;
pub mod entry;
pub mod entry_kind;
pub mod ldif;
pub mod listing;
pub mod matching;
pub mod octets;
pub mod schema;
pub mod schema_kind;
pub mod server;
pub mod session;
mod writing;
