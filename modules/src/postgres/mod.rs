//! PostgreSQL: schema versions from SQL scripts with a ledger, dumps and what becomes of them, facts.

pub mod catalogue;
pub mod chain;
pub mod client;
pub mod container;
pub mod database_kind;
pub mod dump_file;
pub mod evidence;
pub mod facts_kind;
pub mod files;
mod gentle;
pub mod inverse;
pub mod ledger;
pub mod object;
pub mod operation;
pub mod pg_database;
pub mod pg_dump;
pub mod pg_info;
pub mod pg_restore;
pub mod pg_schema;
pub mod plan;
pub mod rows_kind;
pub mod schema_kind;
pub mod script;
pub mod server;
pub mod session;
pub mod version;
mod writing;
