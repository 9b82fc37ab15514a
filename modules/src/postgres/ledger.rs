//! What a database says of itself: which statements of which version were applied, and which objects are there.

use serde::{Deserialize, Serialize};

use super::object::{Catalogue, Fact, Object};
use super::version::Version;

/// The state of a database's schema: its ledger, and the catalogue objects that statements name. Never rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SchemaState {
    /// The ledger by version and number; empty where there is none yet.
    pub ledger: Vec<Row>,
    /// The objects asked for.
    pub catalogue: Catalogue,
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The version.
    pub version: Version,
    /// Number of the statement within its version, from 1.
    pub number: u32,
    /// The part that it stood in.
    pub part: u8,
    /// Hash of the statement's normalised text.
    pub hash: String,
    /// How far it is.
    pub state: Progress,
}

/// How far a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Applied by us, and committed.
    Done,
    /// Found applied when the ledger was begun.
    Adopted,
    /// Begun by us: an update in batches, or a statement of several steps.
    Running,
}

impl Progress {
    /// As it stands in the ledger's table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Adopted => "adopted",
            Self::Running => "running",
        }
    }

    /// From the ledger's table.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Done, Self::Adopted, Self::Running]
            .into_iter()
            .find(|p| p.word() == word)
    }
}

impl SchemaState {
    /// The row of a statement.
    #[must_use]
    pub fn row(&self, version: &Version, number: u32) -> Option<&Row> {
        self.ledger
            .iter()
            .find(|r| r.version == *version && r.number == number)
    }

    /// Is the statement applied?
    #[must_use]
    pub fn applied(&self, version: &Version, number: u32) -> bool {
        self.row(version, number)
            .is_some_and(|r| r.state != Progress::Running)
    }

    /// What the catalogue says of an object.
    #[must_use]
    pub fn fact(&self, object: &Object) -> Option<&Fact> {
        self.catalogue.get(&object.to_string())
    }

    /// Puts a row in its place.
    pub fn put(&mut self, row: Row) {
        self.ledger
            .retain(|r| (&r.version, r.number) != (&row.version, row.number));
        self.ledger.push(row);
        self.ledger.sort();
    }
}
