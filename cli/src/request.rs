//! What a run was asked to do. Its journal keeps it, so that `resume` can do the same again.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use runbook_engine::journal::{Entry, Record};
use runbook_engine::rollback::Choice;
use runbook_engine::source::Sources;
use serde::{Deserialize, Serialize};

use crate::call::{self, ChoiceArgs, HostArgs, Ready};
use crate::lookup;

/// What a run was asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The folder from which relative names count.
    pub folder: PathBuf,
    /// Which hosts, and how to reach them.
    pub hosts: HostArgs,
    /// Which tasks.
    pub choice: ChoiceArgs,
    /// What.
    pub what: What,
    /// The plan that it is held to, where it was applied from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PathBuf>,
}

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Playbooks, as they were named.
    Play(Vec<String>),
    /// One module.
    Call {
        /// On which hosts.
        pattern: String,
        /// The module.
        module: String,
        /// Its arguments, as they were typed.
        args: String,
    },
    /// The way back.
    Rollback {
        /// Of this run.
        of: String,
        /// How much of it.
        choice: Choice,
    },
}

impl Request {
    /// From here and now.
    #[must_use]
    pub fn new(hosts: &HostArgs, choice: ChoiceArgs, what: What) -> Self {
        Self {
            folder: std::env::current_dir().unwrap_or_default(),
            hosts: hosts.clone(),
            choice,
            what,
            plan: None,
        }
    }

    /// Of a run, and when that began (RFC 3339). `None`: an older runbook made the run, which did not keep it.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Option<(Self, String)> {
        let (asked, began) = entries.iter().find_map(|e| match &e.record {
            Record::RunStarted { asked, began, .. } => Some((asked, began)),
            _ => None,
        })?;
        Some((serde_json::from_value(asked.clone()).ok()?, began.clone()))
    }

    /// Goes where it was asked, so that its relative names mean what they meant.
    ///
    /// # Errors
    /// The folder is not there any more.
    pub fn go_there(&self) -> anyhow::Result<()> {
        std::env::set_current_dir(&self.folder).with_context(|| {
            format!(
                "the run was started in {}, which cannot be entered",
                self.folder.display()
            )
        })
    }

    /// Reads and compiles what it asks for. `Ok(Err)`: it is wrong; everything was said, nothing was touched. A rollback
    /// has no program of its own.
    ///
    /// # Errors
    /// What was typed cannot be written as a playbook.
    pub fn compile(&self) -> anyhow::Result<Result<Ready, u8>> {
        let sources = Arc::new(Sources::new());
        let playbooks: Vec<PathBuf> = match &self.what {
            What::Play(names) => names.iter().map(|name| lookup::playbook(name)).collect(),
            What::Call {
                pattern,
                module,
                args,
            } => {
                let path = PathBuf::from("(call)");
                let text = one_task(pattern, module, args)?;
                sources.add(path.display().to_string(), text);
                vec![path]
            }
            What::Rollback { .. } => Vec::new(),
        };
        call::compile(&self.hosts, &self.choice, &playbooks, sources)
    }

    /// What was asked for, as people name it.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match &self.what {
            What::Play(names) => names.clone(),
            What::Call { module, .. } => vec![format!("call {module}")],
            What::Rollback { .. } => Vec::new(),
        }
    }
}

/// A play of one task.
fn one_task(pattern: &str, module: &str, args: &str) -> anyhow::Result<String> {
    let value = if args.trim_start().starts_with('{') {
        args.to_owned()
    } else {
        serde_json::to_string(args)?
    };
    let name = serde_json::to_string(module)?;
    let hosts = serde_json::to_string(pattern)?;
    Ok(format!(
        "- hosts: {hosts}\n  gather_facts: false\n  tasks:\n    - name: {name}\n      {module}: {value}\n"
    ))
}
