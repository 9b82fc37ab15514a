//! Directories (LDAP): entries and schema as resources, updates from LDIF, exports.

pub mod applied;
pub mod chain;
pub mod container;
pub mod dn;
pub mod entry;
pub mod entry_kind;
pub mod export;
pub mod image;
pub mod ldif;
pub mod listing;
pub mod matching;
pub mod names;
pub mod octets;
mod planning;
pub mod schema;
pub mod schema_kind;
pub mod server;
pub mod session;
pub mod tree;
pub mod update;
pub mod version;
mod writing;
