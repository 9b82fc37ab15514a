//! YAML text with the position of every node.

mod args;
mod de;
mod node;
mod parse;
mod places;
mod sources;
mod texts;

pub use args::check_args;
pub use de::{from_node, truth_of, untyped};
pub use node::{FileId, Kind, Node, Span};
pub use parse::{parse, parse_all, parse_one};
pub use places::locate;
pub use sources::Sources;
pub use texts::Texts;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod types_tests;
