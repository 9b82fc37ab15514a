//! From playbooks and inventory to a program.
pub mod program;
