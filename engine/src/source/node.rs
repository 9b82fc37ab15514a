//! The tree that everything written in YAML is kept in: every node knows where it stands.

use crate::value::Value;

/// A file in the table of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A half-open range of bytes in a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

/// A node: what stands there, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands. A rendered node keeps the place of its template.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar as written. `plain` is false where it was quoted or a block: then it is a string whatever it
    /// looks like. Plain scalars get a type from the position they stand in, else from YAML 1.1, as Ansible reads it
    /// (numbers with a leading zero stay strings).
    Scalar {
        /// The text, escapes and folding resolved.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// A value that came out of a template or from the run, at the place of the template.
    Value(Value),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping in written order; keys are scalars. Duplicate keys were refused when it was read.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar (written or rendered string).
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Value(v) => v.as_str(),
            _ => None,
        }
    }

    /// The value of `key` where this is a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|(k, _)| k.text() == Some(key))
                .map(|(_, v)| v),
            _ => None,
        }
    }
}
