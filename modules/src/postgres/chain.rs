//! The update files of a schema as one chain: `update-V-psql.sql`, and `update-V-N-psql.sql` for its parts.
//!
//! Part 1 is for the time while the old archive runs, part 2 for when it is stopped, part 3 for when the new one runs.
//! The parts of a version, put together, are the whole file of that version, where both are there. A version without
//! parts counts as part 1 where it only adds (indexes, tables, sequences, columns that may be null), else as part 2.

use std::collections::BTreeMap;

use super::object::Object;
use super::operation::Operation;
use super::script::{Script, Statement};
use super::version::Version;

/// All update files, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chain {
    /// The parts of all versions, by version and then by part.
    pub units: Vec<Unit>,
}

/// One part of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// The version.
    pub version: Version,
    /// 1, 2 or 3.
    pub part: u8,
    /// The only part of its version.
    pub only: bool,
    /// Name of its file.
    pub file: String,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Number of its first statement within the version, from 1.
    pub first: u32,
    /// Its statements.
    pub statements: Vec<Statement>,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.only {
            write!(f, "{}", self.version)
        } else {
            write!(f, "{} part {}", self.version, self.part)
        }
    }
}

impl Unit {
    /// Its statements with their numbers within the version.
    pub fn numbered(&self) -> impl DoubleEndedIterator<Item = (u32, &Statement)> {
        (self.first..)
            .zip(&self.statements)
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl Chain {
    /// From files by name; those of other names are passed over.
    ///
    /// # Errors
    /// All that is wrong with them, each with file and line.
    pub fn from_files<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Vec<String>> {
        let (mut wholes, mut parts) = (
            BTreeMap::new(),
            BTreeMap::<Version, BTreeMap<u8, Script>>::new(),
        );
        let mut errors = Vec::new();
        for (name, bytes) in files {
            let (version, part) = match parse_name(name) {
                None => continue,
                Some(Err(error)) => {
                    errors.push(error);
                    continue;
                }
                Some(Ok(found)) => found,
            };
            let script = match Script::parse(name, bytes) {
                Ok(script) => script,
                Err(mistakes) => {
                    errors.extend(mistakes.iter().map(ToString::to_string));
                    continue;
                }
            };
            let other = match part {
                None => wholes.insert(version.clone(), script),
                Some(n) => parts.entry(version.clone()).or_default().insert(n, script),
            };
            if let Some(other) = other {
                errors.push(format!(
                    "{name} and {} are both of version {version}; remove one",
                    other.file
                ));
            }
        }
        let mut units = Vec::new();
        let versions: std::collections::BTreeSet<Version> =
            wholes.keys().chain(parts.keys()).cloned().collect();
        for version in versions {
            match (wholes.remove(&version), parts.remove(&version)) {
                (whole, Some(split)) => {
                    if let Some(whole) = whole {
                        errors.extend(unequal(&whole, &split));
                    }
                    let mut first = 1;
                    let only = split.len() == 1;
                    for (part, script) in split {
                        let unit = unit(version.clone(), part, only && part == 1, first, script);
                        first += u32::try_from(unit.statements.len()).unwrap_or(u32::MAX);
                        units.push(unit);
                    }
                }
                (Some(whole), None) => {
                    let part = if whole.statements.iter().all(only_adds) {
                        1
                    } else {
                        2
                    };
                    units.push(unit(version, part, true, 1, whole));
                }
                (None, None) => {}
            }
        }
        if errors.is_empty() {
            Ok(Self { units })
        } else {
            Err(errors)
        }
    }

    /// All objects that statements name, sorted, each once.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        let mut objects: Vec<Object> = Vec::new();
        for operation in self.operations() {
            objects.extend(operation.effects().iter().map(|e| e.object().clone()));
            objects.extend(operation.table().map(|t| Object::Table(t.to_owned())));
        }
        // An object that is dropped is known by its name alone, the one that was created by its definition too:
        // keep the one that says more.
        objects.sort_by_key(|o| (o.to_string(), has_no_definition(o)));
        objects.dedup_by_key(|o| o.to_string());
        objects
    }

    /// All tables that statements name.
    #[must_use]
    pub fn tables(&self) -> Vec<String> {
        let mut tables: Vec<String> = self
            .operations()
            .filter_map(Operation::table)
            .map(str::to_owned)
            .collect();
        tables.sort();
        tables.dedup();
        tables
    }

    fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.units
            .iter()
            .flat_map(|u| &u.statements)
            .flat_map(|s| &s.operations)
    }
}

fn has_no_definition(object: &Object) -> bool {
    use super::object::Definition::Other;
    matches!(
        object,
        Object::Index {
            definition: Other,
            ..
        } | Object::Constraint {
            definition: Other,
            ..
        }
    )
}

fn unit(version: Version, part: u8, only: bool, first: u32, script: Script) -> Unit {
    Unit {
        version,
        part,
        only,
        file: script.file,
        sha256: script.sha256,
        first,
        statements: script.statements,
    }
}

/// Version and part from the name of a file; none where it is no update file of PostgreSQL.
fn parse_name(name: &str) -> Option<Result<(Version, Option<u8>), String>> {
    let stem = name.strip_prefix("update-")?.strip_suffix("-psql.sql")?;
    let (version, part) = match stem.split_once('-') {
        Some((version, part)) => (version, Some(part)),
        None => (stem, None),
    };
    let part = match part {
        None => None,
        Some("1") => Some(1),
        Some("2") => Some(2),
        Some("3") => Some(3),
        Some(other) => {
            return Some(Err(format!(
                "{name}: `{other}` is no part; there are 1, 2 and 3"
            )));
        }
    };
    Some(match version.parse() {
        Ok(version) => Ok((version, part)),
        Err(error) => Err(format!("{name}: {error}")),
    })
}

/// Where parts put together are not the whole.
fn unequal(whole: &Script, parts: &BTreeMap<u8, Script>) -> Option<String> {
    let split: Vec<(&str, &Statement)> = parts
        .values()
        .flat_map(|s| s.statements.iter().map(|t| (s.file.as_str(), t)))
        .collect();
    for (i, statement) in whole.statements.iter().enumerate() {
        match split.get(i) {
            Some((_, other)) if other.hash == statement.hash => {}
            Some((file, other)) => {
                return Some(format!(
                    "{file}:{} is not what {}:{} says: the parts of a version must be its whole file",
                    other.line, whole.file, statement.line
                ));
            }
            None => {
                return Some(format!(
                    "{}:{} is in no part: the parts of a version must be its whole file",
                    whole.file, statement.line
                ));
            }
        }
    }
    split.get(whole.statements.len()).map(|(file, other)| {
        format!(
            "{file}:{} is not in {}: the parts of a version must be its whole file",
            other.line, whole.file
        )
    })
}

fn only_adds(statement: &Statement) -> bool {
    statement.operations.iter().all(|o| match o {
        Operation::AddColumn {
            not_null, default, ..
        } => !not_null || *default,
        Operation::CreateTable { .. }
        | Operation::CreateIndex { .. }
        | Operation::CreateSequence { .. } => true,
        _ => false,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn chain(files: &[(&str, &str)]) -> Chain {
        Chain::from_files(files.iter().map(|(n, t)| (*n, t.as_bytes()))).unwrap()
    }

    #[test]
    fn versions_and_parts_in_order() {
        let chain = chain(&[
            ("update-5.10-psql.sql", "alter table t add a int"),
            (
                "update-5.9-2-psql.sql",
                "update t set b = 1 where b is null",
            ),
            (
                "update-5.9-1-psql.sql",
                "alter table t add b int; create index i on t (b)",
            ),
            ("update-5.10.1-psql.sql", "drop table u"),
            ("update-5.10-mysql.sql", "not read"),
            ("create-psql.sql", "not read either"),
        ]);
        let found: Vec<(String, u8, u32)> = chain
            .units
            .iter()
            .map(|u| (u.to_string(), u.part, u.first))
            .collect();
        assert_eq!(
            found,
            [
                ("5.9 part 1".to_owned(), 1, 1),
                ("5.9 part 2".to_owned(), 2, 3),
                ("5.10".to_owned(), 1, 1),
                ("5.10.1".to_owned(), 2, 1),
            ]
        );
        assert_eq!(chain.tables(), ["t", "u"]);
    }

    #[test]
    fn parts_must_be_the_whole() {
        let whole = (
            "update-1.2-psql.sql",
            "alter table t add a int;\nupdate t set a = 1;",
        );
        let errors = |files: &[(&str, &str)]| {
            Chain::from_files(files.iter().map(|(n, t)| (*n, t.as_bytes())))
                .unwrap_err()
                .join("\n")
        };
        let one = ("update-1.2-1-psql.sql", "-- note\nALTER TABLE t ADD a int");
        assert!(errors(&[whole, one]).contains("update-1.2-psql.sql:2 is in no part"));
        let two = ("update-1.2-2-psql.sql", "update t set a = 2");
        assert!(
            errors(&[whole, one, two])
                .contains("update-1.2-2-psql.sql:1 is not what update-1.2-psql.sql:2 says")
        );
        let more = ("update-1.2-2-psql.sql", "update t set a = 1; drop table x");
        assert!(errors(&[whole, one, more]).contains("is not in update-1.2-psql.sql"));
        let right = ("update-1.2-2-psql.sql", "update t set a=1");
        assert_eq!(chain(&[whole, one, right]).units.len(), 2);
        assert!(errors(&[("update-1.2-7-psql.sql", "")]).contains("no part"));
        assert!(errors(&[("update-1.x-psql.sql", "")]).contains("no version"));
        assert!(
            errors(&[("update-1.2-psql.sql", ""), ("update-1.2.0-psql.sql", "")])
                .contains("both of version")
        );
    }
}
