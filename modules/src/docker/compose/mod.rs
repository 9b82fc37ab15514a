//! Projects of Docker Compose: containers that compose makes, from files that people keep.
//!
//! What a container of a project shall be is compose's to say: `docker compose config` reads the files (variables,
//! `extends`, defaults and all), and `docker compose up` makes the container. What is ours: a tag in the file, changed
//! without anything else in it; whether compose would make a container anew, asked without changing anything; the
//! container as the kind `container` has it, so that what is read through it is predicted as for any other; the watch over
//! its start, and the container before where the new one does not become healthy.

mod call;
mod config;
pub mod file;
mod given;
mod less;
mod listed;
mod meant;
pub mod module;
pub mod order;
pub mod project;
pub(super) mod up;

pub use call::Call;
pub use project::Project;

use serde::{Deserialize, Serialize};

/// Labels of compose begin so (compose, `pkg/api/labels.go`): how it knows its containers again.
pub const LABEL: &str = "com.docker.compose.";
/// The project of a container or network.
pub const OF_PROJECT: &str = "com.docker.compose.project";
/// The service of a container.
pub const OF_SERVICE: &str = "com.docker.compose.service";

/// A container that compose makes anew; the settings that are asked for beside this are all that it has then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Composed {
    /// Its project.
    pub call: Call,
    /// Its service.
    pub service: String,
}
