//! PostgreSQL: schema versions from SQL scripts with a ledger, dumps, facts.

pub mod chain;
pub mod evidence;
pub mod inverse;
pub mod ledger;
pub mod object;
pub mod operation;
pub mod plan;
pub mod script;
pub mod version;
