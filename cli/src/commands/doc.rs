//! Describe the modules.

use runbook_engine::registry::AnyModule;
use runbook_engine::run::exit;
use serde_json::Value;

use crate::report;

/// Describe the modules: a list, or one in full.
#[derive(clap::Args)]
pub struct Args {
    /// The module
    module: Option<String>,
    /// The JSON Schema of its arguments
    #[arg(long)]
    schema: bool,
}

pub fn run(args: &Args) -> anyhow::Result<u8> {
    let registry = crate::registry();
    let Some(name) = &args.module else {
        for module in registry.modules() {
            report::say(&format!("{:<22} {}", module.name(), module.summary()));
        }
        return Ok(exit::DONE);
    };
    let short = name.rsplit('.').next().unwrap_or(name);
    let Some(module) = registry.find_module(short) else {
        let names: Vec<String> = registry.modules().map(|m| m.name().to_owned()).collect();
        let near = runbook_engine::diag::nearest(short, names.iter().map(String::as_str));
        let hint = near
            .map(|n| format!("; did you mean `{n}`?"))
            .unwrap_or_default();
        report::say_error(&format!("there is no module `{name}`{hint}"));
        if let Some(instead) = runbook_engine::playbook::other_name(short, &names) {
            report::note(&instead);
        }
        return Ok(exit::WRONG);
    };
    if args.schema {
        report::say(&serde_json::to_string_pretty(&module.schema())?);
    } else {
        report::say(&page(module.as_ref()));
    }
    Ok(exit::DONE)
}

/// The manual page of a module, from its argument types.
pub fn page(module: &dyn AnyModule) -> String {
    let schema = module.schema();
    let mut text = format!(
        "# {}\n\n{}\n\n## Arguments\n\n",
        module.name(),
        module.summary()
    );
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let resolved = resolve(&schema, property);
        let must = if required.contains(&name.as_str()) {
            ", required"
        } else {
            ""
        };
        let description = property
            .get("description")
            .or_else(|| resolved.get("description"))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .replace('\n', " ");
        text.push_str(&format!(
            "- `{name}` ({}{must}): {description}\n",
            kind(&schema, property)
        ));
    }
    if let Some(free) = module.free_form() {
        text.push_str(&format!("\nA bare text is `{free}`.\n"));
    }
    text.push('\n');
    text.push_str(module.doc().trim());
    text.push('\n');
    text
}

fn resolve<'a>(root: &'a Value, property: &'a Value) -> &'a Value {
    property
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|r| root.pointer(r.trim_start_matches('#')))
        .unwrap_or(property)
}

fn kind(root: &Value, property: &Value) -> String {
    let property = resolve(root, property);
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        return values
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" | ");
    }
    if let Some(value) = property.get("const") {
        return value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
    }
    if let Some(branches) = property
        .get("anyOf")
        .or_else(|| property.get("oneOf"))
        .and_then(Value::as_array)
    {
        let kinds: Vec<String> = branches
            .iter()
            .filter(|b| b.get("type").and_then(Value::as_str) != Some("null"))
            .map(|b| kind(root, b))
            .collect();
        return kinds.join(" | ");
    }
    match property.get("type") {
        Some(Value::String(one)) => word(one),
        Some(Value::Array(several)) => {
            let words: Vec<String> = several
                .iter()
                .filter_map(Value::as_str)
                .filter(|t| *t != "null")
                .map(word)
                .collect();
            words.join(" | ")
        }
        _ => "any".to_owned(),
    }
}

fn word(kind: &str) -> String {
    match kind {
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "true or false",
        "array" => "list",
        "object" => "mapping",
        other => other,
    }
    .to_owned()
}
