//! Files inside an image: the kind of the `docker` domain.

pub use crate::docker::image::{ImageFiles, ImageFilesKey, ImageFilesState};
