//! What a run did, newest first, as its journal tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::action::{ActionCall, Effects};
use crate::journal::{ChangeRecord, Entry, NodeStatus, Record};
use crate::module::Mark;
use crate::resource::Kept;
use crate::run::flight::{self, Begun};

/// What one task did on one host, in one write or action.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The host that the task was about.
    pub host: String,
    /// The host that it was done on, where that is another (`delegate_to`).
    pub on: Option<String>,
    /// The user that was become, if any.
    pub user: Option<String>,
    /// Id of the node.
    pub node: String,
    /// Name of the task.
    pub task: String,
    /// What it did.
    pub did: Did,
    /// Nothing of what the task did is shown (`no_log`).
    pub hidden: bool,
    /// What it has put aside on the host.
    pub kept: Vec<Kept>,
    /// What it had put aside, and `runbook close` has removed.
    pub closed: Vec<Kept>,
}

impl Step {
    /// What it has made by an action, as far as that was declared.
    #[must_use]
    pub fn made(&self) -> Vec<Mark> {
        match &self.did {
            Did::Action(call) => call.effects.marks().to_vec(),
            Did::Changes(_) => Vec::new(),
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq)]
pub enum Did {
    /// It wrote these, or began to.
    Changes(Vec<ChangeRecord>),
    /// It called this action, which nobody can call back.
    Action(ActionCall),
}

/// A run as its journal tells it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The playbooks, as they were given.
    pub playbooks: Vec<String>,
    /// The inventories, as they were given.
    pub inventory: Vec<String>,
    /// SHA-256 of every file that went into it, by path.
    pub files: BTreeMap<String, String>,
    /// The run that it took back, if it was a rollback.
    pub takes_back: Option<String>,
    /// Texts in it that are secrets.
    pub secrets: Vec<String>,
    /// What it did, newest first.
    pub steps: Vec<Step>,
    /// Handlers that were notified, by host and node.
    pub notified: BTreeMap<(String, String), Vec<String>>,
    /// What it keeps aside still, by host.
    pub kept: BTreeMap<String, Vec<Kept>>,
    /// Its actions whose folders may still be on the hosts.
    pub begun: Vec<Begun>,
}

impl Told {
    /// From the records of one run.
    #[must_use]
    pub fn from_entries(entries: &[Entry]) -> Self {
        let mut told = Self {
            begun: flight::begun(entries),
            ..Self::default()
        };
        let mut harmless: BTreeSet<(String, String)> = BTreeSet::new();
        // Steps of which it is not known whether they were written, by host and node.
        let mut unwritten: BTreeMap<(String, String), usize> = BTreeMap::new();
        // What steps have put aside, by their number.
        let mut aside: Vec<(usize, Kept)> = Vec::new();
        for entry in entries {
            let place = || (entry.host.clone(), entry.node.clone());
            let mut step =
                |task: &String, on: &Option<String>, user: &Option<String>, hidden, did| {
                    told.steps.push(Step {
                        host: entry.host.clone(),
                        on: on.clone(),
                        user: user.clone(),
                        node: entry.node.clone(),
                        task: task.clone(),
                        did,
                        hidden,
                        kept: Vec::new(),
                        closed: Vec::new(),
                    });
                };
            match &entry.record {
                Record::RunStarted {
                    playbooks,
                    inventory,
                    files,
                    takes_back,
                    ..
                } => {
                    told.playbooks.clone_from(playbooks);
                    told.inventory.clone_from(inventory);
                    told.files.clone_from(files);
                    told.takes_back.clone_from(takes_back);
                }
                Record::Secrets { texts } => told.secrets.extend(texts.iter().cloned()),
                Record::ChangesIntended {
                    task,
                    on,
                    user,
                    changes,
                    hidden,
                } => {
                    step(task, on, user, *hidden, Did::Changes(changes.clone()));
                    let this = told.steps.len() - 1;
                    if let Some(cut) = unwritten.insert(place(), this) {
                        told.carried_on(cut, changes);
                    }
                }
                Record::ActionIntended {
                    task,
                    action,
                    hidden,
                    ..
                } if action.effects != Effects::Nothing => {
                    step(task, &None, &None, *hidden, Did::Action(action.clone()));
                }
                Record::NodeFinished {
                    status, notified, ..
                } => {
                    if !notified.is_empty() {
                        told.notified.insert(place(), notified.clone());
                    }
                    if matches!(status, NodeStatus::Ok | NodeStatus::Skipped) {
                        harmless.insert(place());
                    }
                }
                Record::ChangesWritten { kept, .. } => {
                    let written = unwritten.remove(&place());
                    if kept.is_empty() {
                        continue;
                    }
                    if let Some(at) = written {
                        aside.extend(kept.iter().map(|k| (at, k.clone())));
                        told.steps[at].kept.extend(kept.iter().cloned());
                    }
                    let of_host = told.kept.entry(entry.host.clone()).or_default();
                    of_host.extend(kept.iter().cloned());
                }
                Record::Closed { removed } => {
                    if let Some(of_host) = told.kept.get_mut(&entry.host) {
                        of_host.retain(|k| !removed.contains(k));
                    }
                    for (at, kept) in &aside {
                        if let Some(step) = told.steps.get_mut(*at)
                            && step.host == entry.host
                            && removed.contains(kept)
                        {
                            step.kept.retain(|k| k != kept);
                            step.closed.push(kept.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        // A command that said itself that it changed nothing (`changed_when`) is nothing to take back, and a handler is
        // run again after what notified it.
        let handlers: BTreeSet<&String> = told.notified.values().flatten().collect();
        told.steps.retain(|step| {
            !matches!(step.did, Did::Action(_))
                || !(harmless.contains(&(step.host.clone(), step.node.clone()))
                    || handlers.contains(&step.task))
        });
        told.steps
            .retain(|step| !matches!(&step.did, Did::Changes(changes) if changes.is_empty()));
        told.kept.retain(|_, list| !list.is_empty());
        told.steps.reverse();
        told
    }

    /// A step that was cut off was carried on by a later one, which tells of the same resources from the same states.
    fn carried_on(&mut self, cut: usize, later: &[ChangeRecord]) {
        if let Some(Step {
            did: Did::Changes(changes),
            ..
        }) = self.steps.get_mut(cut)
        {
            changes.retain(|c| later.iter().all(|l| l.key != c.key));
        }
    }

    /// A file that went into the run and is not what it was then, if there is one.
    #[must_use]
    pub fn other_file(&self) -> Option<&str> {
        let other = self.files.iter().find(|(path, hash)| {
            match std::fs::read(path) {
                Ok(content) => hex::encode(Sha256::digest(&content)) != **hash,
                // What stood on the command line is no file.
                Err(_) => Path::new(path).components().count() > 1,
            }
        });
        other.map(|(path, _)| path.as_str())
    }
}
