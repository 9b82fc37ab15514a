//! The files that PHP reads after a php.ini, and what they make of its settings.

use super::edit::loading;
use super::extension::Sort;
use super::ini::{Ini, Scope, Value};
use super::value::Setting;

/// A file that PHP reads, too.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// Its path.
    pub path: String,
    /// Its bytes.
    pub text: Vec<u8>,
    /// Is it read after the file that is edited? What it says counts then.
    pub later: bool,
}

/// A line of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The file.
    pub path: String,
    /// The line, from 1 on.
    pub line: usize,
    /// The value as it is written there.
    pub written: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} ({})", self.path, self.line, self.written)
    }
}

/// The last line of all later files that sets it for all to something else; what comes after it counts.
#[must_use]
pub fn shadow(files: &[Scanned], name: &str, setting: Option<&Setting>) -> Option<Line> {
    let mut found = None;
    for file in files.iter().filter(|f| f.later) {
        let ini = Ini::read(&file.text);
        let sets = ini
            .entries()
            .filter(|e| e.name == name.as_bytes() && !e.offset && e.statement.scope == Scope::All);
        for entry in sets {
            let written = &file.text[entry.at.clone()];
            let same = setting.is_some_and(|s| s.agrees(entry.value, written));
            found = (!same).then(|| Line {
                path: file.path.clone(),
                line: entry.statement.line,
                written: String::from_utf8_lossy(written).into_owned(),
            });
        }
    }
    found
}

/// A line of another file, before or after, that loads this extension.
#[must_use]
pub fn loaded(files: &[Scanned], name: &str, sort: Sort) -> Option<Line> {
    files.iter().find_map(|file| {
        let ini = Ini::read(&file.text);
        let line = loading(&ini, sort).find(|(_, is)| is == name);
        line.map(|(entry, _)| Line {
            path: file.path.clone(),
            line: entry.statement.line,
            written: match entry.value {
                Value::Is(value) => String::from_utf8_lossy(value).into_owned(),
                Value::Depends => String::new(),
            },
        })
    })
}

/// The directory whose `.ini` files PHP reads after this one, by the layouts of Debian, Red Hat and the official
/// images: `conf.d` beside it, `/etc/php.d` beside `/etc/php.ini`. A file within such a directory is one of them.
#[must_use]
pub fn directory_of(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    let last = folder.rsplit('/').next().unwrap_or_default();
    if matches!(last, "conf.d" | "php.d") {
        return Some(folder.to_owned());
    }
    match (folder, name) {
        ("/etc", "php.ini") => Some("/etc/php.d".to_owned()),
        _ => Some(format!("{folder}/conf.d")),
    }
}
