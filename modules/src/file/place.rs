//! The kind `path`: whether something stands at a path, of which type, and where that truly is. Read only.
//!
//! It is what a condition like `creates` asks: nothing of a file is read, however large it is and whoever may read it.

use async_trait::async_trait;
use runbook_engine::host::{FileQuery, FileType, HostError, Probe};
use runbook_engine::resource::{Kind, ReadKind, Ref};
use serde::{Deserialize, Serialize};

use super::FileKind;
use super::compare::type_name;
use super::state::FileKey;

/// What stands at paths.
#[derive(Debug, Clone, Copy, Default)]
pub struct PathKind;

/// What stands at a path: those fields of a file's state that tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The path with all links in it resolved.
    pub path: String,
    /// Type.
    pub is: FileType,
}

#[async_trait]
impl ReadKind for PathKind {
    type Key = FileKey;
    type State = Standing;

    const NAME: &'static str = "path";
    const PART_OF: Option<&'static str> = Some(FileKind::NAME);

    async fn read(&self, host: &Probe, keys: &[FileKey]) -> Vec<Result<Standing, HostError>> {
        let queries: Vec<FileQuery> = keys
            .iter()
            .map(|key| FileQuery {
                path: key.path.clone(),
                follow: key.follow,
                content_up_to: None,
            })
            .collect();
        match host.files(&queries).await {
            Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
            Ok(entries) => entries
                .into_iter()
                .map(|entry| {
                    entry.map(|e| Standing {
                        path: e.real_path,
                        is: e.file_type,
                    })
                })
                .collect(),
        }
    }

    fn canonical(&self, key: &FileKey, read: &Standing) -> FileKey {
        if read.path.is_empty() {
            key.clone()
        } else {
            FileKey::new(&read.path)
        }
    }

    fn drifted(&self, _key: &FileKey, was: &Standing, now: &Standing) -> Vec<String> {
        let type_of =
            (was.is != now.is).then(|| format!("{} → {}", type_name(was.is), type_name(now.is)));
        let place = (was.path != now.path).then(|| format!("{} → {}", was.path, now.path));
        type_of.into_iter().chain(place).collect()
    }

    fn touched_by(&self, key: &FileKey, written: &Ref) -> bool {
        FileKind.touched_by(key, written)
    }

    fn comes_on_the_way(&self, read: &Standing) -> bool {
        read.is == FileType::Absent
    }
}
