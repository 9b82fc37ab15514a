//! What a run has done so far, as its journal tells it: what a run that goes on need not do again.
//!
//! The walk goes over the whole program once more. A node that came to its end is *replayed*: its register, facts and
//! notified handlers come from the journal, and nothing is asked of the host. A node that was cut off is *carried on*:
//! its write is read and finished, its command collected. A node whose failure stopped its host starts anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;

use crate::action::ActionCall;
use crate::journal::{ChangeRecord, Entry, NodeStatus, Record};
use crate::resource::Kept;

/// One time that a node was settled, whole or cut off. A handler may have several, and a node that failed before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pass {
    /// Its writes, in order.
    pub writes: Vec<Write>,
    /// Its actions, in order: more than one where it was tried again.
    pub calls: Vec<Called>,
    /// Its end. Without it the node was cut off.
    pub end: Option<End>,
}

/// A write.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// What was to be written.
    pub changes: Vec<ChangeRecord>,
    /// What it put aside; `None` where it was cut off.
    pub kept: Option<Vec<Kept>>,
}

/// An action.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// What was called.
    pub action: ActionCall,
    /// Its folder on the target.
    pub folder: String,
    /// What it gave; `None` where it was cut off.
    pub outcome: Option<Gave>,
}

/// What an action gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Gave {
    /// What `register` gets.
    pub output: Json,
    /// It counts as a change.
    pub changed: bool,
    /// Why it failed, if it did.
    pub failed: Option<String>,
}

/// How a node ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Name of the task.
    pub task: String,
    /// The outcome.
    pub status: NodeStatus,
    /// The name and value that were registered.
    pub register: Option<(String, Json)>,
    /// Variables that were set.
    pub facts: BTreeMap<String, Json>,
    /// Handlers that were notified.
    pub notified: Vec<String>,
    /// Its whole result, where it failed.
    pub result: Option<Json>,
    /// It was stopped before it wrote, since it was not what was approved.
    pub drifted: bool,
}

impl Pass {
    /// Did it begin to write or to act, and was cut off before it was known how that went?
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut_write().is_some() || self.cut_call().is_some()
    }

    /// The write that was cut off.
    #[must_use]
    pub fn cut_write(&self) -> Option<&Write> {
        self.writes.last().filter(|w| w.kept.is_none())
    }

    /// The action that was cut off.
    #[must_use]
    pub fn cut_call(&self) -> Option<&Called> {
        self.calls.last().filter(|c| c.outcome.is_none())
    }

    /// Nothing was begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.calls.is_empty() && self.end.is_none()
    }

    /// Every change that it wrote or began to write, each resource once: from the state before the first of them.
    #[must_use]
    pub fn changes(&self) -> Vec<ChangeRecord> {
        let mut all: Vec<ChangeRecord> = Vec::new();
        for change in self.writes.iter().flat_map(|w| &w.changes) {
            match all.iter_mut().find(|c| c.key == change.key) {
                Some(earlier) => {
                    *earlier = ChangeRecord {
                        from: earlier.from.clone(),
                        ..change.clone()
                    };
                }
                None => all.push(change.clone()),
            }
        }
        all
    }
}

/// The past of a run.
#[derive(Debug, Default)]
pub struct Past {
    /// Texts in its records that are secrets.
    pub secrets: Vec<String>,
    nodes: HashMap<(String, String), Vec<Pass>>,
    /// How many actions each node has called.
    calls: HashMap<(String, String), u32>,
    /// Folders of commands whose result is in the journal, by host and user that was become.
    folders: BTreeMap<(String, Option<String>), Vec<String>>,
}

impl Past {
    /// The hosts for which it had begun to write or to act.
    pub fn hosts(&self) -> impl Iterator<Item = &String> {
        let began = |pass: &Pass| !pass.writes.is_empty() || !pass.calls.is_empty();
        let hosts = self.nodes.iter();
        hosts.filter_map(move |((host, _), passes)| passes.iter().any(began).then_some(host))
    }

    /// From the records of one run.
    #[must_use]
    pub fn from_entries(entries: &[Entry]) -> Self {
        let mut past = Self::default();
        let mut begun: HashMap<(String, String), (String, Option<String>)> = HashMap::new();
        for entry in entries {
            if let Record::Secrets { texts } = &entry.record {
                past.secrets.extend(texts.iter().cloned());
                continue;
            }
            let place = (entry.host.clone(), entry.node.clone());
            let passes = past.nodes.entry(place.clone()).or_default();
            if passes.last().is_none_or(|p| p.end.is_some()) {
                // A node whose end was that its host was lost is still cut off where it was.
                match passes.last_mut() {
                    Some(last)
                        if last.is_cut()
                            && !matches!(entry.record, Record::HandlerStarted { .. }) =>
                    {
                        last.end = None;
                    }
                    _ => passes.push(Pass::default()),
                }
            }
            let Some(pass) = passes.last_mut() else {
                continue;
            };
            match &entry.record {
                Record::ChangesIntended { changes, .. } => pass.writes.push(Write {
                    changes: changes.clone(),
                    kept: None,
                }),
                Record::ChangesWritten { kept, .. } => {
                    if let Some(write) = pass.writes.last_mut() {
                        write.kept = Some(kept.clone());
                    }
                }
                Record::ActionIntended {
                    action,
                    folder,
                    on,
                    user,
                    ..
                } => {
                    *past.calls.entry(place.clone()).or_default() += 1;
                    let host = on.clone().unwrap_or_else(|| entry.host.clone());
                    begun.insert(place, (host, user.clone()));
                    pass.calls.push(Called {
                        action: action.clone(),
                        folder: folder.clone(),
                        outcome: None,
                    });
                }
                Record::ActionFinished {
                    output,
                    changed,
                    failed,
                } => {
                    if let Some(called) = pass.calls.last_mut() {
                        called.outcome = Some(Gave {
                            output: output.clone(),
                            changed: *changed,
                            failed: failed.clone(),
                        });
                        if let Some(at) = begun.get(&place) {
                            let of_user = past.folders.entry(at.clone()).or_default();
                            of_user.push(called.folder.clone());
                        }
                    }
                }
                Record::NodeFinished {
                    task,
                    status,
                    register,
                    facts,
                    notified,
                    result,
                    drifted,
                    ..
                } => {
                    pass.end = Some(End {
                        task: task.clone(),
                        status: *status,
                        register: register.clone(),
                        facts: facts.clone(),
                        notified: notified.clone(),
                        result: result.clone(),
                        drifted: *drifted,
                    });
                }
                _ => {}
            }
        }
        for passes in past.nodes.values_mut() {
            passes.retain(|p| !p.is_empty());
        }
        past.nodes.retain(|_, passes| !passes.is_empty());
        past
    }

    /// How many nodes came to a good end.
    #[must_use]
    pub fn done(&self) -> usize {
        let good = |pass: &Pass| pass.end.as_ref().is_some_and(|end| !failed(end));
        let ended = |passes: &&Vec<Pass>| passes.last().is_some_and(good);
        self.nodes.values().filter(ended).count()
    }

    /// How a node ended.
    #[must_use]
    pub fn ended(&self, host: &str, node: &str) -> Option<NodeStatus> {
        let passes = self.nodes.get(&(host.to_owned(), node.to_owned()))?;
        Some(passes.last()?.end.as_ref()?.status)
    }

    /// How many actions a node has called.
    #[must_use]
    pub fn calls(&self, host: &str, node: &str) -> u32 {
        let place = (host.to_owned(), node.to_owned());
        self.calls.get(&place).copied().unwrap_or_default()
    }

    /// Folders of commands whose result is in the journal, by host and user that was become: they may go.
    #[must_use]
    pub fn folders(&self) -> &BTreeMap<(String, Option<String>), Vec<String>> {
        &self.folders
    }
}

/// How far one walk has come in the past of its run.
#[derive(Default)]
pub struct Cursor {
    past: Arc<Past>,
    taken: Mutex<Taken>,
}

#[derive(Clone, Default)]
struct Taken {
    /// How many passes of a node were looked at.
    passes: HashMap<(String, String), usize>,
    /// Hosts on which something was done anew, and how much.
    anew: HashMap<String, usize>,
    /// What is done in any case, since what came before it was done anew: host and path.
    again: HashSet<(String, String)>,
}

impl Cursor {
    /// At the beginning.
    #[must_use]
    pub fn new(past: Arc<Past>) -> Self {
        Self {
            past,
            taken: Mutex::default(),
        }
    }

    /// Another, at the same place.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            past: self.past.clone(),
            taken: Mutex::new(self.lock().clone()),
        }
    }

    /// What is known of a node that is reached now. A handler may be reached several times. `handled`: it failed, and
    /// the run went on in spite of it.
    pub fn next(
        &self,
        host: &str,
        node: &str,
        handler: bool,
        handled: impl Fn(&End) -> bool,
    ) -> Option<Pass> {
        let place = (host.to_owned(), node.to_owned());
        let Some(passes) = self.past.nodes.get(&place) else {
            self.anew(host);
            return None;
        };
        let mut taken = self.lock();
        let path = node.split('@').next().unwrap_or(node);
        if taken
            .again
            .iter()
            .any(|(h, p)| h == host && within(path, p))
        {
            drop(taken);
            self.anew(host);
            return None;
        }
        let at = taken.passes.entry(place).or_default();
        if !handler {
            *at = (*at).max(passes.len() - 1);
        }
        while let Some(pass) = passes.get(*at) {
            *at += 1;
            match &pass.end {
                Some(end) if !failed(end) || handled(end) => return Some(pass.clone()),
                _ if pass.is_cut() || pass.end.is_none() => {
                    let cut = Pass {
                        end: None,
                        ..pass.clone()
                    };
                    drop(taken);
                    self.anew(host);
                    return Some(cut);
                }
                _ => {}
            }
        }
        drop(taken);
        self.anew(host);
        None
    }

    fn anew(&self, host: &str) {
        *self.lock().anew.entry(host.to_owned()).or_default() += 1;
    }

    /// How much was done anew on these hosts.
    #[must_use]
    pub fn done_anew(&self, hosts: &[String]) -> usize {
        let taken = self.lock();
        hosts.iter().filter_map(|h| taken.anew.get(h)).sum()
    }

    /// What lies below this path is done again on these hosts, though it was done before: what came before it was not.
    pub fn again(&self, hosts: &[String], path: &str) {
        let mut taken = self.lock();
        let places = hosts.iter().map(|h| (h.clone(), path.to_owned()));
        taken.again.extend(places);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does a path lie at or below another?
fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn failed(end: &End) -> bool {
    matches!(end.status, NodeStatus::Failed | NodeStatus::Unreachable)
}

#[cfg(test)]
mod tests;
