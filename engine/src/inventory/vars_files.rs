//! `group_vars/` and `host_vars/` beside an inventory or a playbook.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Inventory, Vars};
use crate::diag::Diagnostic;
use crate::source::{Kind, Sources};

/// Lays the variables found beside `folder` over the ones that are there. Files: NAME, NAME.yaml, NAME.yml, NAME.json,
/// or all files of a folder NAME, by name.
pub fn load_beside(
    folder: &Path,
    sources: &Sources,
    into: &mut Inventory,
    errors: &mut Vec<Diagnostic>,
) {
    for name in into.groups.keys().cloned().collect::<Vec<_>>() {
        let found = load(&folder.join("group_vars"), &name, sources, errors);
        into.group(&name, None).vars.extend(found);
    }
    for name in into.hosts.keys().cloned().collect::<Vec<_>>() {
        let found = load(&folder.join("host_vars"), &name, sources, errors);
        if let Some(host) = into.hosts.get_mut(&name) {
            host.vars.extend(found);
        }
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
        match sources.read(&file) {
            Ok((_, documents)) => {
                for document in documents {
                    match document.kind {
                        Kind::Map(entries) => layers.push(
                            entries
                                .into_iter()
                                .map(|(k, v)| {
                                    (k.text().unwrap_or_default().to_owned(), Arc::new(v))
                                })
                                .collect(),
                        ),
                        Kind::Scalar {
                            ref text,
                            plain: true,
                        } if text.is_empty() => {}
                        _ => errors.push(
                            Diagnostic::error("wrong-type", "a file of variables is a mapping")
                                .at(document.span, ""),
                        ),
                    }
                }
            }
            Err(found) => errors.extend(found),
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
        } else if !hidden && !path.to_string_lossy().ends_with('~') {
            files.push(path);
        }
    }
}
