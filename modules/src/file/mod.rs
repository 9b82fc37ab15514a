//! Files: the kind `file`, what is read of paths beside it, and the modules that are functions of file contents.

pub mod copy;
#[expect(
    clippy::module_inception,
    reason = "the file of the module `file` is named after it"
)]
pub mod file;
pub mod kind;
pub mod listing;
mod masking;
pub mod mode;
pub mod stat;
pub mod state;
pub mod target;
pub mod words;
mod write;

pub use kind::FileKind;
pub use mode::Mode;
pub use state::{Content, FileKey, FileState, FileWant, Source};
