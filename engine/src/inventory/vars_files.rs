//! `group_vars/` and `host_vars/` beside an inventory or a playbook.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileVars, Inventory, Vars};
use crate::diag::Diagnostic;
use crate::playbook::names;
use crate::source::{Kind, Node, Sources, untyped};
use crate::value::Value;

/// Lays the variables found beside a playbook in `folder` over the ones that are there. Files: NAME, NAME.yaml,
/// NAME.yml, NAME.json, or all files of a folder NAME, by name. A folder that was read before is not read again.
pub fn load_beside(
    folder: &Path,
    sources: &Sources,
    into: &mut Inventory,
    errors: &mut Vec<Diagnostic>,
) {
    lay(folder, sources, into, errors, |files| {
        &mut files.beside_playbook
    });
}

/// The same beside an inventory.
pub(super) fn load_beside_inventory(
    folder: &Path,
    sources: &Sources,
    into: &mut Inventory,
    errors: &mut Vec<Diagnostic>,
) {
    lay(folder, sources, into, errors, |files| {
        &mut files.beside_inventory
    });
}

fn lay(
    folder: &Path,
    sources: &Sources,
    into: &mut Inventory,
    errors: &mut Vec<Diagnostic>,
    part: fn(&mut FileVars) -> &mut Vec<Vars>,
) {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let same = here.canonicalize().unwrap_or_else(|_| here.to_owned());
    if !into.loaded.insert(same) {
        return;
    }
    for (name, group) in &mut into.groups {
        let found = load(&folder.join("group_vars"), name, sources, errors);
        part(&mut group.files).extend(found);
    }
    for (name, host) in &mut into.hosts {
        let found = load(&folder.join("host_vars"), name, sources, errors);
        part(&mut host.files).extend(found);
    }
}

fn load(folder: &Path, name: &str, sources: &Sources, errors: &mut Vec<Diagnostic>) -> Vec<Vars> {
    let mut files: Vec<PathBuf> = Vec::new();
    for extension in ["", ".yaml", ".yml", ".json"] {
        let path = folder.join(format!("{name}{extension}"));
        if path.is_dir() && extension.is_empty() {
            below(&path, &mut files);
        } else if path.is_file() {
            files.push(path);
        }
    }
    let mut layers = Vec::new();
    for file in files {
        for document in sources.documents(&file, errors) {
            match document.kind {
                Kind::Map(entries) => {
                    names(&entries, errors);
                    let named = |(key, value): (Node, Node)| {
                        (key.text().unwrap_or_default().to_owned(), Arc::new(value))
                    };
                    layers.push(entries.into_iter().map(named).collect());
                }
                _ if untyped(&document) == Value::Null => {}
                _ => {
                    let wrong = Diagnostic::error("wrong-type", "a file of variables is a mapping");
                    errors.push(wrong.at(document.span, ""));
                }
            }
        }
    }
    layers
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    paths.sort();
    for path in paths {
        let hidden = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            below(&path, files);
        } else if !hidden && is_vars_file(&path) {
            files.push(path);
        }
    }
}

/// As in Ansible: other files, a README say, may lie there too.
fn is_vars_file(path: &Path) -> bool {
    match path.extension() {
        None => !path.to_string_lossy().ends_with('~'),
        Some(extension) => ["yaml", "yml", "json"].iter().any(|e| extension == *e),
    }
}
