//! Blocks with `collect_failures`: every task is tried, and the block fails at its end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::parallel::{mentions_name, texts};
use crate::compile::program::Task;

/// What has failed so far in a block whose failures are collected.
#[derive(Debug, Default)]
pub struct Collected(Mutex<BTreeMap<String, Vec<Failure>>>);

#[derive(Debug)]
struct Failure {
    task: String,
    register: Option<String>,
}

impl Collected {
    /// A task has failed on a host.
    pub fn failed(&self, host: &str, task: &str, register: Option<&str>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(host.to_owned()).or_default().push(Failure {
            task: task.to_owned(),
            register: register.map(str::to_owned),
        });
    }

    /// Has one failed there?
    #[must_use]
    pub fn has(&self, host: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.contains_key(host)
    }

    /// Why a task cannot be tried on a host: it mentions what a failed one was to register.
    #[must_use]
    pub fn prevents(&self, host: &str, task: &Task) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = all.get(host)?;
        let mut mentioned = Vec::new();
        texts(&task.args, &mut mentioned);
        for when in &task.common.when {
            texts(when, &mut mentioned);
        }
        if let Some(looped) = &task.looped {
            texts(&looped.items, &mut mentioned);
        }
        let prevents = failures.iter().find(|failure| {
            let register = failure.register.as_ref();
            register.is_some_and(|name| mentioned.iter().any(|text| mentions_name(text, name)))
        })?;
        Some(format!("\"{}\" has failed", prevents.task))
    }
}
