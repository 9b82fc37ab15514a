//! PHP: its configuration.

mod edit;
mod extension;
mod ini;
#[cfg(test)]
mod laws;
pub mod php_ini;
pub mod program;
mod removed;
mod scan;
mod scanned;
mod value;
