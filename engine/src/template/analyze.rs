//! Which variables a text mentions: the only place that looks into minijinja's own idea of a template.

use std::collections::BTreeSet;

use minijinja::Environment;
use regex::Regex;

use super::{is_template, single_expression};

/// The variables that a text mentions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// All of them, the first part of each path.
    pub all: BTreeSet<String>,
    /// Those that have to exist: they stand under no `default` and no `is defined`.
    pub needed: BTreeSet<String>,
}

/// The variables of a template, or with `bare` of an expression. Empty where it is not well-formed.
#[must_use]
pub fn names(text: &str, bare: bool) -> Names {
    let mut env = Environment::new();
    // Unknown filters and tests do not hinder the parser, only the missing ones at rendering.
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Lenient);
    let all: BTreeSet<String> = if is_template(text) {
        match single_expression(text) {
            Some((_, e)) => env
                .compile_expression(e)
                .map(|e| e.undeclared_variables(false)),
            None => env
                .template_from_str(text)
                .map(|t| t.undeclared_variables(false)),
        }
        .unwrap_or_default()
        .into_iter()
        .collect()
    } else if bare {
        env.compile_expression(text)
            .map(|e| e.undeclared_variables(false))
            .unwrap_or_default()
            .into_iter()
            .collect()
    } else {
        BTreeSet::new()
    };
    let needed = all
        .iter()
        .filter(|name| !is_guarded(text, name))
        .cloned()
        .collect();
    Names { all, needed }
}

/// Somewhere in the text it is asked whether the variable exists, or a default is given for it.
fn is_guarded(text: &str, name: &str) -> bool {
    let pattern = format!(
        r#"\b{}(\.\w+|\[[^\]]*\])*\s*\)?\s*(\|\s*(default|d)\b|is\s+(not\s+)?(defined|undefined)\b)"#,
        regex::escape(name)
    );
    Regex::new(&pattern).is_ok_and(|r| r.is_match(text))
}
