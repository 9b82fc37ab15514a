//! The kind `command-output`: what a command says that only reads. Read only.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand};
use runbook_engine::module::Mark;
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::file::FileKind;
use crate::file::state::Content;

/// What commands say that only read.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommandOutput;

/// A command that only reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryKey {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables added to its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working directory.
    #[serde(default)]
    pub chdir: Option<String>,
    /// Standard input.
    #[serde(default)]
    pub stdin: Option<String>,
    /// What it reads, as `kind:id`; `None`: anything on the machine.
    #[serde(default)]
    pub reads: Option<Vec<String>>,
}

impl QueryKey {
    /// A command of these words, which may read anything.
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: words.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            chdir: None,
            stdin: None,
            reads: None,
        }
    }

    /// Could writing the resource change what the command says?
    fn may_read(&self, kind: &str, id: &str) -> bool {
        let written = Mark {
            kind: kind.to_owned(),
            id: id.trim_end_matches('/').to_owned(),
        };
        // It does not start where its folder is not.
        let folder = self.chdir.as_deref().map(|dir| dir.trim_end_matches('/'));
        if let (Some(folder), FileKind::NAME) = (folder, kind)
            && (folder == written.id || contains(&written.id, folder))
        {
            return true;
        }
        self.reads.as_ref().is_none_or(|reads| {
            reads
                .iter()
                .filter_map(|r| mark(r))
                .any(|m| m.overlaps(&written))
        })
    }

    fn reads_files(&self) -> bool {
        if self.chdir.is_some() {
            return true;
        }
        let is_file = |r: &String| mark(r).is_some_and(|m| m.kind == FileKind::NAME);
        self.reads
            .as_ref()
            .is_none_or(|reads| reads.iter().any(is_file))
    }
}

/// `kind:id` as a mark; a bare absolute path is a file.
#[must_use]
pub fn mark(text: &str) -> Option<Mark> {
    let (kind, id) = if text.starts_with('/') {
        ("file", text)
    } else {
        text.split_once(':')?
    };
    (!kind.is_empty() && !id.is_empty()).then(|| Mark {
        kind: kind.to_owned(),
        id: id.to_owned(),
    })
}

impl fmt::Display for QueryKey {
    /// The first word and a hash of all of it: words, variables and stdin may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = serde_json::to_vec(self).unwrap_or_default();
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        write!(f, "{name}#{}", &hex::encode(Sha256::digest(whole))[..16])
    }
}

/// What it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Its status.
    pub rc: i32,
    /// Standard output.
    pub stdout: Content,
    /// Standard error.
    pub stderr: Content,
}

#[async_trait]
impl ReadKind for CommandOutput {
    type Key = QueryKey;
    type State = Said;

    const NAME: &'static str = "command-output";
    /// What a program says moves by itself.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[QueryKey]) -> Vec<Result<Said, HostError>> {
        // Sent side by side, so that the connection carries them in one round trip.
        futures::future::join_all(keys.iter().map(|key| async move {
            let reply = host
                .command(&ReadCommand {
                    argv: key.argv.clone(),
                    env: key.env.clone(),
                    chdir: key.chdir.clone(),
                    stdin: key.stdin.as_ref().map(|s| s.clone().into()),
                })
                .await?;
            Ok(Said {
                rc: reply.status,
                stdout: Content(reply.stdout.to_vec()),
                stderr: Content(reply.stderr.to_vec()),
            })
        }))
        .await
    }

    /// A path may lead by way of a link to what was written: a command that reads files is asked again after each.
    fn touched_by(&self, key: &QueryKey, written: &Ref) -> bool {
        key.may_read(&written.kind, &written.id)
            || (written.kind == FileKind::NAME && key.reads_files())
    }

    fn rests_on(&self, key: &QueryKey) -> Vec<Mark> {
        let named = key.reads.iter().flatten().filter_map(|r| mark(r));
        let folder = key.chdir.as_deref().and_then(mark);
        named.chain(folder).collect()
    }

    fn predicted(&self, key: &QueryKey, world: &Predicted<'_>) -> Shadow<QueryKey, Said> {
        match world
            .changes
            .iter()
            .rev()
            .find(|c| key.may_read(&c.key.kind, &c.key.id))
        {
            Some(change) => Shadow::Unknown(format!("until \"{}\"", change.task)),
            None => Shadow::AsRead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook_engine::world::PredictedChange;

    fn change(kind: &str, id: &str) -> PredictedChange {
        PredictedChange {
            key: Ref {
                kind: kind.to_owned(),
                id: id.to_owned(),
                data: serde_json::Value::Null,
            },
            from: None,
            to: None,
            task: "T".to_owned(),
        }
    }

    #[test]
    fn an_answer_is_unknown_after_a_change_that_it_may_rest_on() {
        let anything = QueryKey::new(["uptime"]);
        let etc = QueryKey {
            reads: Some(vec!["/etc".to_owned(), "container:arc".to_owned()]),
            ..anything.clone()
        };
        let cases = [
            (&anything, change("container", "db"), false),
            (&etc, change("container", "db"), true),
            (&etc, change("container", "arc"), false),
            (&etc, change("file", "/etc/php.ini"), false),
            (&etc, change("file", "/etcetera"), true),
        ];
        for (key, change, as_read) in cases {
            let changes = [change];
            let shadow = ReadKind::predicted(&CommandOutput, key, &Predicted { changes: &changes });
            assert_eq!(shadow == Shadow::AsRead, as_read, "{key:?} {changes:?}");
            // A run asks again after each file that was written: a link may lead to it from anywhere.
            let again = !as_read || changes[0].key.kind == FileKind::NAME;
            assert_eq!(
                ReadKind::touched_by(&CommandOutput, key, &changes[0].key),
                again
            );
        }
        assert_eq!(
            ReadKind::predicted(&CommandOutput, &anything, &Predicted { changes: &[] }),
            Shadow::AsRead
        );
    }

    #[test]
    fn its_name_shows_no_argument() {
        let key = QueryKey::new(["/usr/bin/mysql", "-psecret"]);
        assert!(key.to_string().starts_with("mysql#") && !key.to_string().contains("secret"));
    }
}
