//! SELinux: the rules that say which label a path gets, and the labels that paths have.

mod fcontext;
mod labels;
pub mod policy;
mod rules;
pub mod selinux_fcontext;

pub use fcontext::Fcontext;
pub use labels::Labels;
