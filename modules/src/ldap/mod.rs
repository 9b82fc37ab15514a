//! Directories (LDAP): entries and schema as resources, updates from LDIF, exports.

pub mod applied;
pub mod chain;
pub mod container;
mod data_plan;
pub mod dn;
pub mod entry;
pub mod entry_kind;
mod evidence;
pub mod export;
pub mod image;
pub mod ldif;
pub mod listing;
pub mod matching;
mod mending;
mod model;
pub mod names;
pub mod octets;
mod planning;
pub mod schema;
pub mod schema_kind;
mod schema_plan;
pub mod server;
pub mod session;
pub mod tree;
pub mod update;
pub mod version;
mod writing;
