//! Files: the kind `file`, what is read of paths beside it, and the modules that are functions of file contents.

pub mod account;
#[cfg(test)]
mod as_ansible;
pub mod blockinfile;
mod compare;
pub mod contents;
pub mod copy;
#[cfg(test)]
mod decisions;
pub mod directory_dump;
pub mod edit;
#[cfg(test)]
mod env_cases;
pub mod env_file;
mod env_format;
#[expect(
    clippy::module_inception,
    reason = "the file of the module `file` is named after it"
)]
pub mod file;
mod foresee;
#[cfg(test)]
mod foretold;
pub mod fresh;
#[cfg(test)]
mod ini_cases;
mod ini_edit;
pub mod ini_file;
pub mod kind;
pub mod lineinfile;
pub mod listing;
mod masking;
pub mod mode;
pub mod pattern;
pub mod place;
pub mod replace;
mod rights;
pub mod slurp;
pub mod stat;
pub mod state;
pub mod target;
pub mod template;
pub mod words;
mod write;

pub use kind::FileKind;
pub use mode::Mode;
pub use state::{Content, FileKey, FileState, FileWant, Source};
