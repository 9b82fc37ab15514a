//! `vars_prompt`: variables that are asked for when a run begins.

use super::keywords::unknown;
use crate::diag::Diagnostic;
use crate::source::{Kind, Node, Span, truth_of, untyped};
use crate::value::Value;

/// What an entry may say.
const KNOWN: &[&str] = &["name", "prompt", "private", "default", "confirm", "unsafe"];

/// A variable that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The variable.
    pub name: String,
    /// What is asked; the variable's name where nothing was said.
    pub question: String,
    /// The answer is a secret, and not shown while it is typed (true).
    pub private: bool,
    /// What an empty answer stands for.
    pub default: Option<String>,
    /// It is asked for twice (false).
    pub confirm: bool,
    /// Where it stands.
    pub span: Span,
}

/// Reads the list of them.
pub fn read(value: &Node, errors: &mut Vec<Diagnostic>) -> Vec<Prompt> {
    let Kind::Seq(items) = &value.kind else {
        let wrong = Diagnostic::error("wrong-type", "`vars_prompt` takes a list of mappings");
        errors.push(
            wrong
                .at(value.span, "")
                .help("begin each with `- name: VARIABLE`"),
        );
        return Vec::new();
    };
    items.iter().filter_map(|item| one(item, errors)).collect()
}

fn one(item: &Node, errors: &mut Vec<Diagnostic>) -> Option<Prompt> {
    let Kind::Map(entries) = &item.kind else {
        let wrong = Diagnostic::error("wrong-type", "an entry of `vars_prompt` is a mapping");
        errors.push(wrong.at(item.span, "").help("write `name: VARIABLE`"));
        return None;
    };
    let mut prompt = Prompt {
        name: String::new(),
        question: String::new(),
        private: true,
        default: None,
        confirm: false,
        span: item.span,
    };
    for (key, value) in entries {
        let mut wrong = |wants: &str| {
            let name = key.text().unwrap_or_default();
            let message = format!("`{name}` takes {wants}");
            errors.push(Diagnostic::error("wrong-type", message).at(value.span, ""));
        };
        match key.text().unwrap_or_default() {
            "name" => match value.text().filter(|t| is_name(t)) {
                Some(name) => prompt.name = name.to_owned(),
                None => wrong("the name of a variable"),
            },
            "prompt" => match value.text() {
                Some(text) => prompt.question = text.to_owned(),
                None => wrong("a text"),
            },
            "default" => match untyped(value) {
                Value::Null => {}
                Value::List(_) | Value::Map(_) => wrong("a text"),
                _ => prompt.default = crate::source::from_node(value).ok(),
            },
            key @ ("private" | "confirm" | "unsafe") => match truth_of(value) {
                // What is typed is never a template, so that nothing in it is unsafe.
                Some(_) if key == "unsafe" => {}
                Some(truth) if key == "private" => prompt.private = truth,
                Some(truth) => prompt.confirm = truth,
                None => wrong("true or false"),
            },
            "encrypt" | "salt" | "salt_size" => {
                let refused = Diagnostic::error(
                    "unknown-keyword",
                    "what is asked for is not hashed: a random salt would change with each run",
                );
                let help =
                    "where the hash is wanted, write `{{ NAME | password_hash('sha512', SALT) }}`";
                errors.push(refused.at(key.span, "").help(help));
            }
            _ => errors.push(unknown(key, KNOWN, "an entry of `vars_prompt`")),
        }
    }
    if prompt.name.is_empty() {
        if !entries.iter().any(|(k, _)| k.text() == Some("name")) {
            let missing =
                Diagnostic::error("missing-argument", "the `name` of the variable is missing");
            let start = Span {
                end: item.span.start,
                ..item.span
            };
            errors.push(missing.at(start, ""));
        }
        return None;
    }
    if prompt.question.is_empty() {
        prompt.question.clone_from(&prompt.name);
    }
    Some(prompt)
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters
        .next()
        .is_some_and(|c| c.is_alphabetic() || c == '_')
        && characters.all(|c| c.is_alphanumeric() || c == '_')
}
