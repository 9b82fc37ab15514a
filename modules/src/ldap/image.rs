//! Files inside an image, as the kind `image-files` gives them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::resource::{Change, Kept, KeyedChange, Kind, Reversible, WriteError};
use serde::{Deserialize, Serialize};

/// The kind, as far as this module needs to ask for its states.
pub struct ImageFiles;

/// Which files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFilesKey {
    /// Reference of the image.
    pub image: String,
    /// Directory inside it.
    pub directory: String,
}

impl std::fmt::Display for ImageFilesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.image, self.directory)
    }
}

/// The files below the directory by relative path.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageFilesState {
    /// Contents in base64.
    pub files: BTreeMap<String, String>,
}

impl ImageFilesState {
    /// The contents.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.files
            .iter()
            .filter_map(|(p, c)| Some((p.clone(), STANDARD.decode(c).ok()?)))
            .collect()
    }
}

#[async_trait]
impl Kind for ImageFiles {
    type Key = ImageFilesKey;
    type State = ImageFilesState;
    type Want = ImageFilesState;
    const NAME: &'static str = "image-files";

    async fn read(
        &self,
        _host: &Probe,
        keys: &[ImageFilesKey],
    ) -> Vec<Result<ImageFilesState, HostError>> {
        keys.iter()
            .map(|k| {
                Err(HostError::failed(format!(
                    "files of {} cannot be read here",
                    k.image
                )))
            })
            .collect()
    }
    fn differences(&self, want: &ImageFilesState, read: &ImageFilesState) -> Vec<String> {
        if want == read {
            Vec::new()
        } else {
            vec!["other files".to_owned()]
        }
    }
    fn predict(&self, want: &ImageFilesState, _from: &ImageFilesState) -> ImageFilesState {
        want.clone()
    }
    fn reversible(
        &self,
        _: &Change<ImageFilesState, ImageFilesState>,
        _: &ImageFilesKey,
    ) -> Reversible {
        Reversible::Never("an image does not change".to_owned())
    }
    async fn write(&self, _: &Target, _: &[KeyedChange<Self>]) -> Result<Vec<Kept>, WriteError> {
        Err(WriteError::failed("an image does not change"))
    }
}
