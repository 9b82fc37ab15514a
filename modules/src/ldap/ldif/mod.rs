//! LDIF (RFC 2849): what the text says, with the line of everything.
//!
//! The dialect is the one that `ldapadd` and `ldapmodify` take, without their silence: a record that they would skip
//! or misread is a [`Problem`] with its line and a remedy.

mod parse;
mod write;

pub use parse::parse;
pub use write::{Style, write};

use super::octets::Octets;

/// One record: an entry to add or a change to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The distinguished name as written.
    pub dn: String,
    /// Line of `dn:`, counted from 1.
    pub line: usize,
    /// Last line of the record.
    pub end: usize,
    /// What is to be done.
    pub change: RecordChange,
}

/// What a record asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// Adds the entry with these attributes, in the order in which they first occur.
    Add(Vec<(String, Vec<Value>)>),
    /// Deletes the entry.
    Delete,
    /// Changes attributes, one operation after the other.
    Modify(Vec<Operation>),
    /// Renames the entry, or moves it below another one.
    Rename {
        /// The new relative name.
        new_rdn: String,
        /// Whether the values of the old relative name leave the entry.
        delete_old: bool,
        /// The new parent; none keeps the old one.
        new_superior: Option<String>,
    },
}

/// One operation of a `modify` record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What to do.
    pub verb: Verb,
    /// The attribute, options included, as written.
    pub attribute: String,
    /// The values; none with `delete` and `replace` means the whole attribute.
    pub values: Vec<Value>,
    /// Line of the operation.
    pub line: usize,
}

/// What an operation does to an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Adds values.
    Add,
    /// Removes values, or the attribute.
    Delete,
    /// Sets the values, or removes the attribute.
    Replace,
}

/// A value as it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Written out, plain or in base64.
    Given(Octets),
    /// The content of a file (`:< file:vendor-data.zip`).
    File {
        /// Its path as in the URL, without the scheme.
        path: String,
        /// Line of the value.
        line: usize,
    },
}

/// A mistake in an LDIF text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl Record {
    /// Replaces every file value by what `content` has for its path. Gives a problem for each file that is absent.
    pub fn load(&mut self, content: &dyn Fn(&str) -> Option<Vec<u8>>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let lists: Vec<&mut Vec<Value>> = match &mut self.change {
            RecordChange::Add(attributes) => attributes.iter_mut().map(|(_, v)| v).collect(),
            RecordChange::Modify(operations) => {
                operations.iter_mut().map(|o| &mut o.values).collect()
            }
            RecordChange::Delete | RecordChange::Rename { .. } => Vec::new(),
        };
        for value in lists.into_iter().flatten() {
            if let Value::File { path, line } = value {
                match content(path) {
                    Some(bytes) => *value = Value::Given(Octets::from(bytes)),
                    None => problems.push(Problem {
                        line: *line,
                        message: format!(
                            "the file `{path}` is neither in the folder of this LDIF nor in one above it; put it there"
                        ),
                    }),
                }
            }
        }
        problems
    }
}

impl Value {
    /// The bytes; `None` where a file has not been loaded.
    #[must_use]
    pub fn octets(&self) -> Option<&Octets> {
        match self {
            Self::Given(octets) => Some(octets),
            Self::File { .. } => None,
        }
    }
}
