//! Reads what `-i` names: a list of hosts, files, folders of files.

use std::path::{Path, PathBuf};

use super::vars_files::load_beside_inventory;
use super::{Inventory, connection, ini, ranges, yaml};
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
    if !inventory.hosts.contains_key("localhost") {
        let host = inventory.host("localhost", None, Path::new(""));
        host.vars.push(local());
        host.implicit = true;
    }
    inventory.complete(&mut errors);
    for folder in folders {
        load_beside_inventory(&folder, sources, &mut inventory, &mut errors);
    }
    connection::check(&inventory, &mut errors);
    (inventory, errors)
}

fn local() -> super::Vars {
    given("ansible_connection", "local")
}

/// A variable that stands in no file.
fn given(name: &str, text: &str) -> super::Vars {
    let span = crate::source::Span {
        file: crate::source::FileId::NOWHERE,
        start: 0,
        end: 0,
    };
    let kind = crate::source::Kind::Scalar {
        text: text.to_owned(),
        plain: true,
    };
    super::Vars::from([(
        name.to_owned(),
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
        let (name, port) = ini::with_port(word);
        match ranges::expand(name) {
            Ok(names) => {
                for name in names {
                    let host = inventory.host(&name, None, Path::new(""));
                    if let Some(port) = port {
                        host.vars.push(given("ansible_port", port));
                    }
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
    let file = match sources.load(path) {
        Ok(file) => file,
        Err(error) => return errors.push(error),
    };
    let (_, text) = sources.get(file);
    if text.starts_with("#!") {
        let wrong = Diagnostic::error(
            "inventory",
            "this inventory is a program, and programs are not run",
        );
        let help = "write its output to a file: `./PROGRAM --list` gives JSON that can be turned into YAML";
        errors.push(wrong.at(sources.whole(file), "").help(help));
        return;
    }
    let is_yaml = matches!(extension.as_str(), "yaml" | "yml" | "json")
        || (extension.is_empty() && looks_like_yaml(&text));
    if is_yaml {
        for document in sources.documents(path, errors) {
            yaml::read(&document, &folder, inventory, errors);
        }
    } else {
        ini::read(sources, file, &folder, inventory, errors);
    }
}

fn looks_like_yaml(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'))
        .is_some_and(|l| l == "---" || (l.ends_with(':') && !l.starts_with('[')))
}
