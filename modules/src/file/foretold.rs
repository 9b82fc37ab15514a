//! Predicted changes of files, for the tests of what is foretold from them.

use runbook_engine::resource::{Kind as _, Ref};
use runbook_engine::world::PredictedChange;

use super::kind::FileKind;
use super::state::{FileKey, FileState};

/// The task "T" makes one state of a path into another.
pub(super) fn change(from: &FileState, to: &FileState) -> PredictedChange {
    let key = FileKey::new(&to.path);
    let value = |state| Some(serde_json::to_value(state).unwrap());
    PredictedChange {
        key: Ref {
            kind: FileKind::NAME.to_owned(),
            id: key.to_string(),
            data: serde_json::to_value(&key).unwrap(),
        },
        from: value(from),
        to: value(to),
        task: "T".to_owned(),
    }
}
