//! The kind `glob`: which paths a shell pattern finds. Read only.

use std::fmt;

use async_trait::async_trait;
use runbook_engine::host::{FileType, HostError, Probe, ReadCommand};
use runbook_engine::module::Mark;
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use crate::file::FileKind;
use crate::file::state::parent;

/// Paths by pattern.
#[derive(Debug, Clone, Copy, Default)]
pub struct GlobKind;

/// An absolute pattern with `*`, `?` and `[…]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(pub String);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Does the text hold a pattern at all?
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    /// The directory below which everything stands that it can find.
    #[must_use]
    pub fn root(&self) -> &str {
        parent(&self.0[..self.0.find(['*', '?', '[']).unwrap_or(self.0.len())])
    }

    fn could_find_in(&self, path: &str) -> bool {
        let root = self.root();
        root == "/" || path == root || contains(root, path) || contains(path, root)
    }
}

#[async_trait]
impl ReadKind for GlobKind {
    type Key = Pattern;
    /// The paths that are there, sorted.
    type State = Vec<String>;

    const NAME: &'static str = "glob";

    async fn read(&self, host: &Probe, keys: &[Pattern]) -> Vec<Result<Vec<String>, HostError>> {
        futures::future::join_all(keys.iter().map(|key| async move {
            // The pattern is a word of its own and never part of the script; without blanks to split at, expanding
            // it unquoted does nothing but find paths.
            let script = "IFS=; for f in $1; do if [ -e \"$f\" ] || [ -L \"$f\" ]; then printf '%s\\0' \"$f\"; fi; done";
            let reply = host.command(&ReadCommand::new(["sh", "-c", script, "sh", key.0.as_str()])).await?;
            let text = String::from_utf8_lossy(&reply.stdout);
            Ok(text.split('\0').filter(|p| !p.is_empty()).map(str::to_owned).collect())
        }))
        .await
    }

    /// A pattern may lead by way of a link to what was written.
    fn touched_by(&self, _key: &Pattern, written: &Ref) -> bool {
        written.kind == FileKind::NAME
    }

    fn rests_on(&self, key: &Pattern) -> Vec<Mark> {
        vec![Mark {
            kind: FileKind::NAME.to_owned(),
            id: key.root().to_owned(),
        }]
    }

    fn predicted(&self, key: &Pattern, world: &Predicted<'_>) -> Shadow<Pattern, Vec<String>> {
        // What is only said to change has no state: it may come and go.
        let told = world.changes.iter().find(|c| {
            let told = c.key.kind == FileKind::NAME && c.from.is_none() && c.to.is_none();
            told && key.could_find_in(c.key.id.split('*').next().unwrap_or_default())
        });
        if let Some(change) = told {
            return Shadow::Unknown(format!("until \"{}\"", change.task));
        }
        let met = world.of::<FileKind>().find(|(changed, from, to, _)| {
            // A file that is there before and after is found before and after.
            let stays =
                matches!((from, to), (Some(f), Some(t)) if f.is == t.is && f.is == FileType::File);
            !stays && key.could_find_in(&changed.path)
        });
        match met {
            Some((.., task)) => Shadow::Unknown(format!("until \"{task}\"")),
            None => Shadow::AsRead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_looks_below_its_first_fixed_directory() {
        for (pattern, root) in [
            ("/var/backups/*.sql", "/var/backups"),
            ("/a/b?/c", "/a"),
            ("/*", "/"),
        ] {
            assert_eq!(Pattern(pattern.to_owned()).root(), root);
        }
        let pattern = Pattern("/var/backups/*.sql".to_owned());
        assert!(pattern.could_find_in("/var/backups/a.sql") && pattern.could_find_in("/var"));
        assert!(!pattern.could_find_in("/etc/passwd"));
    }
}
