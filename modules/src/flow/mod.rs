//! Modules that touch no host: they show, set, check and wait.

pub mod assert;
pub mod debug;
pub mod fail;
pub mod pause;
pub mod set_fact;
