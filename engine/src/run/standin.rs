//! What a task may touch whose arguments, or the files that they name, are not all known yet.
//!
//! Most of what is unknown is a content: the line that is to stand in a file, the text of a template. It decides what is
//! written, and not where. So words stand in for what is unknown; where the task would touch the same with each of them,
//! it touches that, whatever comes.

use crate::module::Footprint;
use crate::registry::AnyModule;
use crate::source::{Kind, Node};
use crate::value::Value;

/// Words of which a module that looks at them makes different things.
const WORDS: [&str; 3] = [
    "stands-in",
    "/stands/in\nfor: it\n",
    "{\"stands\": [\"in\"]}",
];

/// The same where a path on the host is wanted, which begins with a slash.
const PATHS: [&str; 3] = ["/stands-in", "/stands/in", "/{\"stands\": [\"in\"]}"];

/// The bound of what the task may touch, where that does not hang on what is unknown.
#[must_use]
pub fn footprint(module: &dyn AnyModule, args: &Node) -> Option<Footprint> {
    let touched = |word: &str| Some(module.prepare(&with(args, word)).ok()?.touches());
    let words = match touched(WORDS[0]) {
        Some(_) => WORDS,
        None => PATHS,
    };
    let first = touched(words[0])?;
    let same = words[1..]
        .iter()
        .all(|word| touched(word).as_ref() == Some(&first));
    (same && !first.everything).then_some(first)
}

/// The arguments, with a word for each unknown value.
fn with(node: &Node, word: &str) -> Node {
    let kind = match &node.kind {
        Kind::Value(value) => Kind::Value(known(value, word)),
        Kind::Seq(items) => Kind::Seq(items.iter().map(|item| with(item, word)).collect()),
        Kind::Map(entries) => Kind::Map(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), with(value, word)))
                .collect(),
        ),
        other => other.clone(),
    };
    Node {
        span: node.span,
        kind,
    }
}

fn known(value: &Value, word: &str) -> Value {
    match value {
        Value::Unknown(_) => Value::from(word.to_owned()),
        Value::List(items) => Value::List(items.iter().map(|item| known(item, word)).collect()),
        Value::Map(map) => Value::Map(
            map.iter()
                .map(|(key, value)| (key.clone(), known(value, word)))
                .collect(),
        ),
        other => other.clone(),
    }
}
