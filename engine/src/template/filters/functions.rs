//! `lookup` and `query`.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, State, Value};

use super::times::context;
use super::{bad, items, text, valid};

/// Every lookup.
pub(in crate::template) const LOOKUPS: &[&str] = &[
    "dict",
    "env",
    "file",
    "flattened",
    "indexed_items",
    "items",
    "list",
    "nested",
    "sequence",
    "subelements",
    "together",
    "varnames",
    "vars",
];

/// Why there is no lookup of this name, and what to do; `None`: there is one.
pub(in crate::template) fn unknown_lookup(name: &str) -> Option<(String, Option<String>)> {
    let short = name.rsplit('.').next().unwrap_or(name);
    if LOOKUPS.contains(&short) {
        return None;
    }
    let instead = match short {
        "password" | "random_choice" => {
            "its result differs from run to run; give the value in a variable"
        }
        "url" => "use the module `uri` and register its result",
        "pipe" | "lines" => {
            "use the module `command` on localhost with `reads_only: true` and register its result"
        }
        "fileglob" | "filetree" => "name the files in a list; `copy` takes a whole folder, too",
        "first_found" => {
            "write the names in a list and choose with a condition; `| default` chooses among variables"
        }
        "template" => "use the module `template`, or write the template as a variable",
        "ini" | "csvfile" | "unvault" | "config" => "put the values into a file of variables",
        "inventory_hostnames" => "use `groups`",
        _ => {
            let near = crate::diag::nearest(short, LOOKUPS.iter().copied());
            return Some((
                format!("there is no lookup `{short}`"),
                near.map(|n| format!("did you mean `{n}`?")),
            ));
        }
    };
    Some((
        format!("the lookup `{short}` is not made here"),
        Some(instead.to_owned()),
    ))
}

/// What a lookup finds, one value for each term.
fn found(
    state: &mut State<'_, '_>,
    kind: &str,
    terms: &[Value],
    options: &Kwargs,
) -> Result<Vec<Value>, Error> {
    let texts = || terms.iter().map(text).collect::<Result<Vec<_>, _>>();
    let default = options.get::<Option<Value>>("default")?;
    match kind {
        "env" => Ok(texts()?
            .iter()
            .map(|name| match (std::env::var(name), &default) {
                (Ok(value), _) => Value::from(value),
                (Err(_), Some(default)) => default.clone(),
                (Err(_), None) => Value::from(""),
            })
            .collect()),
        "file" => {
            let left = options.get::<Option<bool>>("lstrip")?.unwrap_or(false);
            let right = options.get::<Option<bool>>("rstrip")?.unwrap_or(true);
            let context = context(state)?;
            let files = context.look.session.engine.files().clone();
            let folder = context
                .variable("playbook_dir")
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default();
            let read = |name: &String| {
                let beside = std::path::Path::new(&folder);
                // Where Ansible looks for `file`: in `files` beside the playbook, then beside the playbook.
                let places = [beside.join("files").join(name), beside.join(name)];
                let path = places.iter().find(|p| p.is_file()).ok_or_else(|| {
                    bad(format!(
                        "the file `{name}` was not found in {}",
                        beside.display()
                    ))
                })?;
                let mut content = files
                    .read(path)
                    .map(|text| text.to_string())
                    .map_err(|e| bad(format!("{} cannot be read: {e}", path.display())))?;
                if crate::vault::is_vault(content.as_bytes()) {
                    return Err(bad(format!(
                        "{} is encrypted, and a lookup decrypts nothing; make it a variable, or copy it with `copy`",
                        path.display()
                    )));
                }
                if right {
                    content.truncate(content.trim_end().len());
                }
                Ok(Value::from(if left {
                    content.trim_start()
                } else {
                    &content
                }))
            };
            texts()?.iter().map(read).collect()
        }
        "vars" => {
            let context = context(state)?;
            texts()?
                .iter()
                .map(|name| match (context.variable(name), &default) {
                    (Some(value), _) => valid(value),
                    (None, Some(default)) => Ok(default.clone()),
                    (None, None) => Err(Error::new(
                        minijinja::ErrorKind::UndefinedError,
                        format!("`{name}` is undefined"),
                    )),
                })
                .collect()
        }
        "varnames" => {
            let names = context(state)?.scope.all_names();
            let mut out = Vec::new();
            for pattern in texts()? {
                let pattern = super::regex(&pattern, false, false)?;
                out.extend(
                    names
                        .iter()
                        .filter(|n| pattern.is_match(n))
                        .map(|n| Value::from(n.as_str())),
                );
            }
            Ok(out)
        }
        "items" => {
            let mut out = Vec::new();
            for term in terms {
                match items(term) {
                    Ok(inner) if term.as_str().is_none() => out.extend(inner),
                    _ => out.push(term.clone()),
                }
            }
            Ok(out)
        }
        "list" => Ok(terms.to_vec()),
        "flattened" => {
            let all = state.apply_filter("flatten", &[Value::from(terms.to_vec())])?;
            items(&all)
        }
        "dict" => {
            let mut out = Vec::new();
            for term in terms {
                out.extend(items(
                    &state.apply_filter("dict2items", std::slice::from_ref(term))?,
                )?);
            }
            Ok(out)
        }
        "indexed_items" => {
            let mut out = Vec::new();
            for item in terms
                .iter()
                .map(items)
                .collect::<Result<Vec<_>, _>>()?
                .concat()
            {
                out.push(Value::from(vec![Value::from(out.len()), item]));
            }
            Ok(out)
        }
        "together" => match terms.split_first() {
            Some((first, rest)) => {
                let args: Vec<Value> = std::iter::once(first).chain(rest).cloned().collect();
                items(&state.apply_filter("zip_longest", &args)?)
            }
            None => Ok(Vec::new()),
        },
        "nested" => items(&state.apply_filter("product", terms)?),
        "subelements" => items(&state.apply_filter("subelements", terms)?),
        "sequence" => {
            let option = |name: &str, other: i64| -> Result<i64, Error> {
                let named = options.get::<Option<i64>>(name)?;
                let written = terms
                    .iter()
                    .filter_map(Value::as_str)
                    .flat_map(str::split_whitespace);
                let written = written
                    .filter_map(|p| p.split_once('='))
                    .find(|(n, _)| *n == name);
                match (named, written) {
                    (Some(n), _) => Ok(n),
                    (None, Some((_, n))) => n
                        .parse()
                        .map_err(|_| bad(format!("`{n}` is no whole number"))),
                    (None, None) => Ok(other),
                }
            };
            let start = option("start", 1)?;
            let stride = option("stride", 1)?;
            let count = option("count", -1)?;
            let end = if count >= 0 {
                start.saturating_add(stride.saturating_mul(count - 1))
            } else {
                option("end", 0)?
            };
            if stride == 0
                || (count < 0 && end.abs_diff(start) / stride.unsigned_abs() > 100_000)
                || count > 100_000
            {
                return Err(bad(
                    "a sequence has at most 100000 items and a stride other than 0",
                ));
            }
            let mut out = Vec::new();
            let mut at = start;
            while (stride > 0 && at <= end) || (stride < 0 && at >= end) {
                out.push(Value::from(at.to_string()));
                at = at.saturating_add(stride);
            }
            Ok(out)
        }
        other => {
            let (message, help) = unknown_lookup(other).unwrap_or_default();
            Err(bad(match help {
                Some(help) => format!("{message}: {help}"),
                None => message,
            }))
        }
    }
}

fn lookup(
    state: &mut State<'_, '_>,
    kind: String,
    terms: Rest<Value>,
    options: Kwargs,
    listed: bool,
) -> Result<Value, Error> {
    let wanted = options.get::<Option<bool>>("wantlist")?.unwrap_or(listed);
    let name = kind.rsplit('.').next().unwrap_or(&kind);
    let mut all = found(state, name, &terms, &options)?;
    options.assert_all_used()?;
    if wanted {
        return Ok(Value::from(all));
    }
    // One result is itself; several become a text, as in Ansible.
    if all.len() == 1 {
        return Ok(all.pop().unwrap_or_default());
    }
    if all.iter().all(|v| v.as_str().is_some()) {
        let texts: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
        return Ok(Value::from(texts.join(",")));
    }
    Ok(Value::from(all))
}

pub(super) fn add(env: &mut Environment<'static>) {
    env.add_function(
        "lookup",
        |state: &mut State, kind: String, terms: Rest<Value>, options: Kwargs| {
            lookup(state, kind, terms, options, false)
        },
    );
    for name in ["query", "q"] {
        env.add_function(
            name,
            |state: &mut State, kind: String, terms: Rest<Value>, options: Kwargs| {
                lookup(state, kind, terms, options, true)
            },
        );
    }
    env.add_function("undef", |_: Kwargs| Value::UNDEFINED);
}
