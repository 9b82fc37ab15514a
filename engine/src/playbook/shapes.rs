//! What each keyword takes. A value that is a template is judged when it is rendered; all others are judged here.

use crate::diag::Diagnostic;
use crate::source::{Kind, Node, truth_of, untyped};
use crate::template::is_template;
use crate::value::Value;

/// Keywords that are true or false.
const TRUTHS: &[&str] = &[
    "become",
    "ignore_errors",
    "ignore_unreachable",
    "check_mode",
    "diff",
    "no_log",
];

/// Those of them that shape the program, so that they cannot wait for a template.
const STATIC_TRUTHS: &[&str] = &[
    "run_once",
    "any_errors_fatal",
    "gather_facts",
    "parallel",
    "collect_failures",
];

/// Checks the value of a keyword; gives it in the form that later stages expect.
pub fn shaped(key: &str, value: &Node, errors: &mut Vec<Diagnostic>) -> Node {
    let templated = value.text().is_some_and(is_template);
    let mut wrong = |at: &Node, wants: &str, help: Option<&str>| {
        let message = format!("`{key}` takes {wants}");
        let mut found = Diagnostic::error("wrong-type", message).at(at.span, "");
        found.help = help.map(str::to_owned);
        errors.push(found);
    };
    match key {
        _ if STATIC_TRUTHS.contains(&key) && templated => {
            let help = "it shapes the run and has to be known before anything is rendered";
            wrong(value, "true or false, no template", Some(help));
        }
        _ if (TRUTHS.contains(&key) || STATIC_TRUTHS.contains(&key)) && !templated => {
            match truth_of(value) {
                Some(truth) => {
                    return Node {
                        span: value.span,
                        kind: Kind::Value(Value::Bool(truth)),
                    };
                }
                None => wrong(value, "true or false", None),
            }
        }
        "retries" | "delay" if !templated => {
            let number = match untyped(value) {
                Value::Str(text) => text.trim().parse::<f64>().ok(),
                Value::Int(n) => Some(n as f64),
                Value::Float(n) => Some(n),
                _ => None,
            };
            let whole = key == "delay" || number.is_some_and(|n| n.fract() == 0.0);
            if !number.is_some_and(|n| n >= 0.0) || !whole {
                wrong(
                    value,
                    if key == "delay" {
                        "a number of seconds"
                    } else {
                        "a whole number"
                    },
                    None,
                );
            }
        }
        "name" | "id" | "register" | "become_user" | "delegate_to" if value.text().is_none() => {
            wrong(value, "a text", None);
        }
        "loop" => match &value.kind {
            Kind::Seq(_) | Kind::Value(_) => {}
            Kind::Encrypted(_) => wrong(value, "a list", None),
            Kind::Map(_) => wrong(
                value,
                "a list",
                Some(
                    "for a mapping write `\"{{ mapping | dict2items }}\"` and use `item.key`, `item.value`",
                ),
            ),
            Kind::Scalar { text, .. } if !templated => {
                let help = format!("for a variable write `\"{{{{ {} }}}}\"`", text.trim());
                let word = text
                    .trim()
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_.[]'".contains(c));
                wrong(
                    value,
                    "a list",
                    (word && !text.trim().is_empty()).then_some(help.as_str()),
                );
            }
            Kind::Scalar { .. } => {}
        },
        "vars" | "loop_control" | "module_defaults" => match &value.kind {
            Kind::Map(entries) if key == "vars" => names(entries, errors),
            Kind::Map(entries) if key == "module_defaults" => {
                for (module, arguments) in entries {
                    let text = arguments.text().is_some_and(is_template);
                    if !matches!(arguments.kind, Kind::Map(_)) && !text {
                        let name = module.text().unwrap_or_default();
                        let message = format!("the defaults of `{name}` are a mapping");
                        errors
                            .push(Diagnostic::error("wrong-type", message).at(arguments.span, ""));
                    }
                }
            }
            Kind::Map(_) => {}
            _ if untyped(value) == Value::Null => {}
            _ => wrong(value, "a mapping", None),
        },
        "environment" if !templated => {
            let mapping =
                |n: &Node| matches!(n.kind, Kind::Map(_)) || n.text().is_some_and(is_template);
            match &value.kind {
                Kind::Seq(items) => {
                    for item in items.iter().filter(|i| !mapping(i)) {
                        wrong(item, "a mapping or a list of mappings", None);
                    }
                }
                _ if mapping(value) || untyped(value) == Value::Null => {}
                _ => wrong(value, "a mapping or a list of mappings", None),
            }
        }
        _ => {}
    }
    value.clone()
}

/// Names of variables are words: a template could not name them otherwise.
pub fn names(entries: &[(Node, Node)], errors: &mut Vec<Diagnostic>) {
    for (key, _) in entries {
        let name = key.text().unwrap_or_default();
        let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !word || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("`{name}` cannot be the name of a variable");
            let wrong = Diagnostic::error("bad-name", message).at(key.span, "");
            errors.push(wrong.help("letters, digits and `_`, not beginning with a digit"));
        }
    }
}
