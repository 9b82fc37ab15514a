//! Objects of the catalogue that statements name, and what the catalogue says of them.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

use serde::{Deserialize, Serialize};

/// An object, by the names of the catalogue. A table may have its schema before it: `other.study`; without one it is
/// looked up along the search path, as the statements themselves do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A table.
    Table(String),
    /// A sequence.
    Sequence(String),
    /// A column.
    Column {
        /// Its table.
        table: String,
        /// Its name.
        column: String,
    },
    /// An index.
    Index {
        /// Its name.
        name: String,
        /// What it is; one of the same definition under another name is the same to the programs that use it.
        definition: Definition,
    },
    /// A constraint.
    Constraint {
        /// Its table.
        table: String,
        /// Its name.
        name: String,
        /// What it is; see `Index`.
        definition: Definition,
    },
}

/// What an index or a constraint is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Definition {
    /// A B-tree on plain columns, without a condition.
    Index {
        /// Its table.
        table: String,
        /// The columns in order.
        columns: Vec<String>,
        /// No two rows are equal in them.
        unique: bool,
    },
    /// A unique constraint.
    Unique {
        /// The columns in order.
        columns: Vec<String>,
    },
    /// A foreign key.
    ForeignKey {
        /// The columns in order.
        columns: Vec<String>,
        /// The table that they refer to.
        to: String,
    },
    /// Anything else: known by its name alone.
    Other,
}

impl Display for Object {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table(name) => write!(f, "table {name}"),
            Self::Sequence(name) => write!(f, "sequence {name}"),
            Self::Column { table, column } => write!(f, "column {table}.{column}"),
            Self::Index { name, .. } => write!(f, "index {name}"),
            Self::Constraint { table, name, .. } => write!(f, "constraint {table}.{name}"),
        }
    }
}

/// What the catalogue says of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// It is not there.
    Absent,
    /// It is there, under this name where it has another than the one asked for.
    Present {
        /// The name, where it differs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        called: Option<String>,
        /// Of a column: `not null`. False of anything else.
        #[serde(default)]
        not_null: bool,
    },
    /// An index whose building was broken off, or a constraint that was not validated.
    Invalid,
}

impl Fact {
    /// There, under its own name.
    #[must_use]
    pub fn present(not_null: bool) -> Self {
        Self::Present {
            called: None,
            not_null,
        }
    }
}

/// Facts by the object's `Display`.
pub type Catalogue = BTreeMap<String, Fact>;
