//! Modules that touch no host: they show, set, check and wait.

pub mod assert;
pub mod debug;
pub mod fail;
pub mod pause;
pub mod set_fact;

use serde::Deserialize;

/// An expression that the engine has evaluated.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluated {
    /// As the playbook has it.
    pub expr: String,
    /// Its value.
    #[serde(default)]
    pub value: serde_json::Value,
}
