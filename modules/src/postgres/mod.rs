//! PostgreSQL: schema versions from SQL scripts with a ledger, dumps, facts.

pub mod catalogue;
pub mod chain;
pub mod container;
pub mod evidence;
pub mod facts_kind;
pub mod files;
mod gentle;
pub mod inverse;
pub mod ledger;
pub mod object;
pub mod operation;
pub mod pg_dump;
pub mod pg_info;
pub mod pg_schema;
pub mod plan;
pub mod schema_kind;
pub mod script;
pub mod server;
pub mod session;
pub mod version;
mod writing;
