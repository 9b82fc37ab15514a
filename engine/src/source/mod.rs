//! YAML text with the position of every node.

mod node;

pub use node::{FileId, Kind, Node, Span};
