//! The tree that everything written in YAML is kept in: every node knows where it stands.

use std::sync::Arc;

use crate::value::Value;
use crate::vault::Encrypted;

/// A file in the table of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

impl FileId {
    /// The place of what stands in no file.
    pub const NOWHERE: Self = Self(u32::MAX);
    /// The bit that says that the file is a vault, so that every place within it knows.
    const VAULT: u32 = 1 << 31;

    /// The file of this number in the table.
    pub(super) fn numbered(number: usize) -> Self {
        match u32::try_from(number) {
            Ok(number) if number & Self::VAULT == 0 => Self(number),
            _ => Self::NOWHERE,
        }
    }

    /// Its number in the table.
    pub(super) fn number(self) -> usize {
        if self == Self::NOWHERE {
            usize::MAX
        } else {
            (self.0 & !Self::VAULT) as usize
        }
    }

    /// The same file, whose values are secrets.
    pub(super) fn in_vault(self) -> Self {
        Self(self.0 | Self::VAULT)
    }

    /// The same file, as if its values were none.
    fn in_clear(self) -> Self {
        if self == Self::NOWHERE {
            self
        } else {
            Self(self.0 & !Self::VAULT)
        }
    }

    /// What is written there was encrypted, so its values are secrets.
    #[must_use]
    pub fn is_secret(self) -> bool {
        self != Self::NOWHERE && self.0 & Self::VAULT != 0
    }
}

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
    /// A text behind `!vault`, decrypted when it is looked at. No template, whatever it holds.
    Encrypted(Arc<Encrypted>),
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
            Kind::Encrypted(text) => text.open().ok().map(|t| t.expose()),
            _ => None,
        }
    }

    /// The tree of a playbook or a file of tasks. Where that is a vault, the values of its `vars` are secrets, and what
    /// else it says is told like that of any playbook.
    #[must_use]
    pub fn of_playbook(mut self) -> Self {
        self.span.file = self.span.file.in_clear();
        match &mut self.kind {
            Kind::Seq(items) => {
                for item in items {
                    let own = std::mem::replace(item, Self::nothing(self.span));
                    *item = own.of_playbook();
                }
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    key.span.file = key.span.file.in_clear();
                    if key.text() != Some("vars") {
                        let own = std::mem::replace(value, Self::nothing(self.span));
                        *value = own.of_playbook();
                    }
                }
            }
            Kind::Scalar { .. } | Kind::Value(_) | Kind::Encrypted(_) => {}
        }
        self
    }

    /// Stands a text behind `!vault` anywhere in it?
    #[must_use]
    pub fn holds_encrypted(&self) -> bool {
        match &self.kind {
            Kind::Encrypted(_) => true,
            Kind::Seq(items) => items.iter().any(Self::holds_encrypted),
            Kind::Map(entries) => entries.iter().any(|(_, v)| v.holds_encrypted()),
            Kind::Scalar { .. } | Kind::Value(_) => false,
        }
    }

    fn nothing(span: Span) -> Self {
        Self {
            span,
            kind: Kind::Value(Value::Null),
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
