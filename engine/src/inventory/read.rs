//! Reads what `-i` names: a list of hosts, files, folders of files.

use std::path::{Path, PathBuf};

use super::{Inventory, ini, load_beside, ranges, yaml};
use crate::diag::Diagnostic;
use crate::source::Sources;

/// Reads all of `-i`, in order. `localhost` is there without being named, but belongs to no group.
pub fn read(given: &[String], sources: &Sources) -> (Inventory, Vec<Diagnostic>) {
    let mut inventory = Inventory::default();
    let mut errors = Vec::new();
    inventory.group("all", None);
    inventory.group("ungrouped", None);
    let mut folders: Vec<PathBuf> = Vec::new();
    for one in given {
        if one.contains(',') {
            list(one, &mut inventory, &mut errors);
            continue;
        }
        let path = Path::new(one);
        if !path.exists() {
            let missing =
                Diagnostic::error("unreadable-file", format!("there is no inventory {one}"));
            errors.push(missing.help("for a list of hosts write a comma, as in `-i localhost,`"));
            continue;
        }
        inventory.sources.push(path.to_owned());
        if path.is_dir() {
            folders.push(path.to_owned());
            let mut files: Vec<PathBuf> = std::fs::read_dir(path)
                .map(|entries| entries.filter_map(|e| e.ok().map(|e| e.path())).collect())
                .unwrap_or_default();
            files.sort();
            for file in files.iter().filter(|f| f.is_file() && is_inventory(f)) {
                read_file(file, sources, &mut inventory, &mut errors);
            }
        } else {
            folders.push(path.parent().map(Path::to_owned).unwrap_or_default());
            read_file(path, sources, &mut inventory, &mut errors);
        }
    }
    if inventory.hosts.is_empty() && errors.is_empty() {
        inventory
            .host("localhost", None, Path::new(""))
            .vars
            .push(local());
    }
    inventory.complete(&mut errors);
    folders.dedup();
    for folder in folders {
        load_beside(&folder, sources, &mut inventory, &mut errors);
    }
    (inventory, errors)
}

fn local() -> super::Vars {
    let span = crate::source::Span {
        file: crate::source::FileId(u32::MAX),
        start: 0,
        end: 0,
    };
    let kind = crate::source::Kind::Scalar {
        text: "local".to_owned(),
        plain: false,
    };
    super::Vars::from([(
        "ansible_connection".to_owned(),
        std::sync::Arc::new(crate::source::Node { span, kind }),
    )])
}

fn is_inventory(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let ignored = [
        "~", ".orig", ".bak", ".cfg", ".retry", ".pyc", ".md", ".txt", ".rst",
    ];
    !name.starts_with('.') && !ignored.iter().any(|end| name.ends_with(end))
}

fn list(text: &str, inventory: &mut Inventory, errors: &mut Vec<Diagnostic>) {
    for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        match ranges::expand(word) {
            Ok(names) => {
                for name in names {
                    let host = inventory.host(&name, None, Path::new(""));
                    if name == "localhost" {
                        host.vars.push(local());
                    }
                }
            }
            Err(message) => errors.push(Diagnostic::error("inventory", message)),
        }
    }
}

fn read_file(
    path: &Path,
    sources: &Sources,
    inventory: &mut Inventory,
    errors: &mut Vec<Diagnostic>,
) {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let extension = path
        .extension()
        .map(|e| e.to_string_lossy().into_owned())
        .unwrap_or_default();
    let text = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) => {
            errors.push(Diagnostic::error(
                "unreadable-file",
                format!("{} cannot be read: {e}", path.display()),
            ));
            return;
        }
    };
    let text = String::from_utf8_lossy(&text);
    let is_yaml = matches!(extension.as_str(), "yaml" | "yml" | "json")
        || (extension.is_empty() && looks_like_yaml(&text));
    if is_yaml {
        match sources.read(path) {
            Ok((_, documents)) => documents
                .iter()
                .for_each(|d| yaml::read(d, &folder, inventory, errors)),
            Err(found) => errors.extend(found),
        }
    } else {
        let file = sources.add(path.display().to_string(), text.into_owned());
        ini::read(sources, file, &folder, inventory, errors);
    }
}

fn looks_like_yaml(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'))
        .is_some_and(|l| l == "---" || (l.ends_with(':') && !l.starts_with('[')))
}
