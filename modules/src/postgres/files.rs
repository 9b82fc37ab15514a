//! Where update files come from: a directory in an image, or one on the controller.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Stop};
use runbook_engine::resource::Kind as _;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::docker::image::{ImageFiles, ImageFilesKey};

/// Where update files come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// An image on the host; a container of it is created and never started.
    #[serde(default)]
    pub image: Option<String>,
    /// The directory inside the image. Default: `/sql`.
    #[serde(default)]
    pub dir: Option<String>,
    /// A directory on the controller, in place of `image`.
    #[serde(default)]
    pub path: Option<String>,
}

const DIRECTORY: &str = "/sql";

impl Files {
    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<(), String> {
        match (&self.image, &self.path, &self.dir) {
            (Some(_), None, _) | (None, Some(_), None) => Ok(()),
            (None, Some(_), Some(_)) => Err("files: `dir` goes with `image` only".to_owned()),
            _ => Err("files: give either `image` or `path`".to_owned()),
        }
    }

    fn key(&self, image: &str) -> ImageFilesKey {
        let directory = self.dir.clone().unwrap_or_else(|| DIRECTORY.to_owned());
        ImageFilesKey {
            image: image.to_owned(),
            directory,
        }
    }

    /// Adds what is read of them.
    pub(super) fn touches(&self, footprint: Footprint) -> Footprint {
        match &self.image {
            Some(image) => footprint
                .reads(ImageFiles::NAME, self.key(image).to_string())
                .reads("image", image.clone()),
            None => footprint,
        }
    }

    /// The files by name, without their folders.
    pub(super) fn contents(&self, world: &View<'_>) -> Result<BTreeMap<String, Vec<u8>>, Stop> {
        let found: BTreeMap<String, Vec<u8>> = match (&self.image, &self.path) {
            (Some(image), _) => world.get::<ImageFiles>(&self.key(image))?.contents(),
            (None, Some(path)) => {
                let folder = world.local(path)?;
                let Some(entries) = &folder.entries else {
                    return Err(Stop::refuse(format!("files: `{path}` is no directory")));
                };
                entries
                    .iter()
                    .filter(|(_, file)| file.entries.is_none())
                    .map(|(name, file)| (name.clone(), file.content.to_vec()))
                    .collect()
            }
            (None, None) => return Err(Stop::refuse("files: give either `image` or `path`")),
        };
        Ok(found
            .into_iter()
            .map(|(path, content)| (path.rsplit('/').next().unwrap_or(&path).to_owned(), content))
            .collect())
    }
}
