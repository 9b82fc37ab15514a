//! Checks arguments against the JSON Schema of their type before they can be understood: values that are templates
//! whose variables are not known yet are accepted wherever they stand, everything else is held to the schema.

use serde_json::Value as Json;

use super::{Kind, Node, untyped};
use crate::diag::{Diagnostic, nearest};
use crate::value::Value;

/// All mistakes in `node` that `schema` (2020-12, as schemars writes it) shows. `deferred` says whether a scalar is a
/// template that cannot be rendered yet.
#[must_use]
pub fn check_args(schema: &Json, node: &Node, deferred: &dyn Fn(&Node) -> bool) -> Vec<Diagnostic> {
    let mut check = Check {
        root: schema,
        deferred,
        found: Vec::new(),
    };
    check.node(schema, node, "");
    check.found
}

struct Check<'a> {
    root: &'a Json,
    deferred: &'a dyn Fn(&Node) -> bool,
    found: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn resolve(&self, mut schema: &'a Json) -> &'a Json {
        for _ in 0..20 {
            let Some(name) = schema.get("$ref").and_then(Json::as_str) else {
                break;
            };
            let pointer = name.trim_start_matches('#');
            match self.root.pointer(pointer) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn node(&mut self, schema: &'a Json, node: &Node, name: &str) {
        let schema = self.resolve(schema);
        if (self.deferred)(node) || matches!(node.kind, Kind::Value(Value::Unknown(_))) {
            return;
        }
        if let Some(branches) = schema
            .get("anyOf")
            .or_else(|| schema.get("oneOf"))
            .and_then(Json::as_array)
        {
            self.branches(branches, node, name);
            return;
        }
        if let Some(all) = schema.get("allOf").and_then(Json::as_array) {
            all.iter().for_each(|part| self.node(part, node, name));
        }
        if let Some(allowed) = schema.get("enum").and_then(Json::as_array) {
            self.one_of(allowed, node);
            return;
        }
        if let Some(only) = schema.get("const") {
            self.one_of(std::slice::from_ref(only), node);
            return;
        }
        if schema.get("properties").is_some() {
            self.object(schema, node, name);
            return;
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            _ => return,
        };
        if !types.iter().any(|t| fits(t, node)) {
            self.found.push(
                Diagnostic::error(
                    "wrong-type",
                    format!("expected {}, found {}", wanted(schema, &types), found(node)),
                )
                .at(node.span, ""),
            );
            return;
        }
        if let Some(message) = out_of_range(schema, node) {
            self.found
                .push(Diagnostic::error("bad-value", message).at(node.span, ""));
            return;
        }
        match (
            &node.kind,
            schema.get("items"),
            schema.get("additionalProperties"),
        ) {
            (Kind::Seq(items), Some(of), _) => {
                items.iter().for_each(|item| self.node(of, item, name))
            }
            (Kind::Map(entries), _, Some(of)) if of.is_object() => {
                entries
                    .iter()
                    .for_each(|(_, value)| self.node(of, value, name));
            }
            (Kind::Map(entries), _, Some(Json::Bool(false))) => {
                for (key, _) in entries {
                    self.unknown(key, &[]);
                }
            }
            _ => {}
        }
    }

    /// Of several branches, the one that fits best says what is wrong.
    fn branches(&mut self, branches: &'a [Json], node: &Node, name: &str) {
        let mut best: Option<Vec<Diagnostic>> = None;
        for branch in branches {
            if branch.get("type").and_then(Json::as_str) == Some("null") && fits("null", node) {
                return;
            }
            let mut check = Check {
                root: self.root,
                deferred: self.deferred,
                found: Vec::new(),
            };
            check.node(branch, node, name);
            if check.found.is_empty() {
                return;
            }
            let is_null = branch.get("type").and_then(Json::as_str) == Some("null");
            let structured = self.resolve(branch).get("properties").is_some()
                && matches!(node.kind, Kind::Map(_));
            if !is_null && (best.is_none() || structured) {
                best = Some(check.found);
            }
        }
        // Enums with documented values come as one branch for each value.
        let values: Vec<&Json> = branches
            .iter()
            .filter_map(|b| self.resolve(b).get("const"))
            .collect();
        if values.len() > 1 {
            let values: Vec<Json> = values.into_iter().cloned().collect();
            self.one_of(&values, node);
        } else {
            self.found.extend(best.unwrap_or_default());
        }
    }

    fn one_of(&mut self, allowed: &[Json], node: &Node) {
        let texts: Vec<String> = allowed
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        let written = node.text().map(str::to_owned).or_else(|| match &node.kind {
            Kind::Value(value) => Some(value.to_json(false).to_string()),
            _ => None,
        });
        match written {
            Some(text) if texts.contains(&text) => {}
            Some(text) => {
                let mut bad = Diagnostic::error(
                    "bad-value",
                    format!("`{text}` is none of the values that this takes"),
                )
                .at(node.span, "");
                bad = match nearest(&text, texts.iter().map(String::as_str)) {
                    Some(near) => bad.help(format!("did you mean `{near}`?")),
                    None => bad.help(format!("it takes {}", texts.join(", "))),
                };
                self.found.push(bad);
            }
            None => {
                let message = format!(
                    "expected one of {}, found {}",
                    texts.join(", "),
                    found(node)
                );
                self.found
                    .push(Diagnostic::error("wrong-type", message).at(node.span, ""));
            }
        }
    }

    fn object(&mut self, schema: &'a Json, node: &Node, name: &str) {
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
            return;
        };
        let entries: &[(Node, Node)] = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar { text, plain: true } if text.is_empty() => &[],
            Kind::Value(_) => return,
            _ => {
                let message = format!("expected a mapping of arguments, found {}", found(node));
                self.found
                    .push(Diagnostic::error("wrong-type", message).at(node.span, ""));
                return;
            }
        };
        let closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
        // What a misspelt argument stands for is not missing, too.
        let mut meant = Vec::new();
        for (key, value) in entries {
            match properties.get(key.text().unwrap_or_default()) {
                Some(property) => self.node(property, value, key.text().unwrap_or_default()),
                None if closed => {
                    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                    meant.extend(nearest(
                        key.text().unwrap_or_default(),
                        known.iter().copied(),
                    ));
                    self.unknown(key, &known);
                }
                None => {
                    if let Some(of) = schema.get("additionalProperties").filter(|a| a.is_object()) {
                        self.node(of, value, key.text().unwrap_or_default());
                    }
                }
            }
        }
        let required = schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten();
        for missing in required
            .filter_map(Json::as_str)
            .filter(|r| node.get(r).is_none() && !meant.contains(r))
        {
            let of = if name.is_empty() {
                String::new()
            } else {
                format!(" of `{name}`")
            };
            let message = format!("the argument `{missing}`{of} is missing");
            let at = crate::source::Span {
                end: node.span.start,
                ..node.span
            };
            self.found
                .push(Diagnostic::error("missing-argument", message).at(at, ""));
        }
    }

    fn unknown(&mut self, key: &Node, known: &[&str]) {
        let written = key.text().unwrap_or_default();
        let unknown =
            Diagnostic::error("unknown-argument", format!("unknown argument `{written}`"))
                .at(key.span, "");
        self.found
            .push(match nearest(written, known.iter().copied()) {
                Some(near) => unknown.help(format!("did you mean `{near}`?")),
                None if known.is_empty() => unknown,
                None => unknown.help(format!("there are: {}", known.join(", "))),
            });
    }
}

/// Could the node be understood as this JSON type, by the rules of [`super::from_node`]?
fn fits(wanted: &str, node: &Node) -> bool {
    let scalar = matches!(node.kind, Kind::Scalar { .. })
        || matches!(&node.kind, Kind::Value(v) if !matches!(v, Value::List(_) | Value::Map(_)));
    match wanted {
        "object" => {
            matches!(node.kind, Kind::Map(_))
                || matches!(&node.kind, Kind::Value(Value::Map(_)))
                || empty(node)
        }
        // One value stands for a list of one.
        "array" => {
            !matches!(node.kind, Kind::Map(_)) && !matches!(&node.kind, Kind::Value(Value::Map(_)))
        }
        "string" => scalar && !empty(node),
        "integer" => scalar && number(node).is_some_and(|n| n.fract() == 0.0),
        "number" => scalar && number(node).is_some(),
        "boolean" => {
            let truth = |t: &str| {
                let low = t.to_ascii_lowercase();
                let words = [
                    "yes", "no", "on", "off", "true", "false", "y", "n", "t", "f", "1", "0",
                ];
                words.contains(&low.as_str())
            };
            matches!(&node.kind, Kind::Value(Value::Bool(_) | Value::Int(0 | 1)))
                || node.text().is_some_and(truth)
        }
        "null" => empty(node),
        _ => true,
    }
}

/// `minimum` and `maximum`, which numbers of a certain width have.
fn out_of_range(schema: &Json, node: &Node) -> Option<String> {
    let limit = |name: &str| schema.get(name).and_then(Json::as_f64);
    let (least, most) = (limit("minimum"), limit("maximum"));
    if least.is_none() && most.is_none() {
        return None;
    }
    let number = number(node)?;
    let outside = least.is_some_and(|l| number < l) || most.is_some_and(|m| number > m);
    outside.then(|| match (least, most) {
        (Some(least), Some(most)) => format!("{number} is not between {least} and {most}"),
        (Some(least), None) => format!("{number} is less than {least}"),
        (_, most) => format!("{number} is more than {}", most.unwrap_or_default()),
    })
}

fn number(node: &Node) -> Option<f64> {
    match &node.kind {
        Kind::Value(Value::Int(n)) => Some(*n as f64),
        Kind::Value(Value::Float(n)) => Some(*n),
        _ => super::de::number_of(node.text()?),
    }
}

fn empty(node: &Node) -> bool {
    matches!(untyped(node), Value::Null)
}

fn wanted(schema: &Json, types: &[&str]) -> String {
    let names: Vec<String> = types
        .iter()
        .filter(|t| **t != "null" || types.len() == 1)
        .map(|t| match *t {
            "integer" => match schema.get("format").and_then(Json::as_str) {
                Some(format) => format!("a whole number ({format})"),
                None => "a whole number".to_owned(),
            },
            "number" => "a number".to_owned(),
            "string" => "a text".to_owned(),
            "boolean" => "a truth value".to_owned(),
            "array" => "a list".to_owned(),
            "object" => "a mapping".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    names.join(" or ")
}

fn found(node: &Node) -> String {
    match untyped(node) {
        Value::Null => "nothing".to_owned(),
        Value::Bool(b) => format!("the truth value {b}"),
        Value::Int(n) => format!("the number {n}"),
        Value::Float(n) => format!("the number {n}"),
        Value::Str(s) => format!("the text \"{s}\""),
        Value::Secret(_) => "a secret".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Unknown(_) => "something not known yet".to_owned(),
    }
}
