//! The kind `file-content`: the bytes of a file that is too large for the state of its `file`. Read only.

use std::fmt;

use async_trait::async_trait;
use runbook_engine::host::{FileType, HostError, Probe, ReadCommand};
use runbook_engine::module::Stop;
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::{Predicted, View};
use serde::{Deserialize, Serialize};

use super::FileKind;
use super::state::{Content, FileState};

/// The bytes of large files.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContentKind;

/// The true path of a regular file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentKey(pub String);

impl fmt::Display for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bytes of a file, from its state where that holds them, else read for this purpose.
pub fn bytes_of(state: &FileState, world: &View<'_>) -> Result<Vec<u8>, Stop> {
    match &state.content {
        Some(content) => Ok(content.0.clone()),
        None if state.is == FileType::File => {
            Ok(world.get::<ContentKind>(&ContentKey(state.path.clone()))?.0)
        }
        None => Err(Stop::refuse(format!("{} has no content", state.path))),
    }
}

#[async_trait]
impl ReadKind for ContentKind {
    type Key = ContentKey;
    type State = Content;

    const NAME: &'static str = "file-content";

    async fn read(&self, host: &Probe, keys: &[ContentKey]) -> Vec<Result<Content, HostError>> {
        futures::future::join_all(keys.iter().map(|key| async move {
            let reply = host
                .command(&ReadCommand::new(["cat", "--", key.0.as_str()]))
                .await?;
            if reply.status == 0 {
                Ok(Content(reply.stdout.to_vec()))
            } else {
                Err(HostError::failed(format!(
                    "{} cannot be read: {}",
                    key.0,
                    String::from_utf8_lossy(&reply.stderr).trim()
                )))
            }
        }))
        .await
    }

    fn touched_by(&self, key: &ContentKey, written: &Ref) -> bool {
        let other = written.id.trim_end_matches('/');
        written.kind == FileKind::NAME && (key.0 == other || contains(other, &key.0))
    }

    fn predicted(&self, key: &ContentKey, world: &Predicted<'_>) -> Shadow<ContentKey, Content> {
        let mut shadow = Shadow::AsRead;
        for (changed, from, to, task) in world.of::<FileKind>() {
            if changed.path == key.0 {
                let same = matches!((&from, &to), (Some(f), Some(t)) if f.sha256 == t.sha256);
                shadow = match to.and_then(|t| t.content) {
                    Some(content) => Shadow::Known(content),
                    None if same => shadow,
                    None => Shadow::Unknown(format!("until \"{task}\"")),
                };
            } else if contains(&changed.path, &key.0) {
                shadow = Shadow::Unknown(format!("until \"{task}\""));
            }
        }
        shadow
    }
}
