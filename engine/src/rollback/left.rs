//! What a run left behind, and whether it is still so.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::host::HostError;
use crate::journal::{ChangeRecord, Entry, Record};
use crate::resource::Ref;
use crate::run::diff;
use crate::run::machine::Sight;
use crate::run::plan::{Drift, NOT_SHOWN};
use crate::run::shared::Shared;
use crate::world::{Known, Lookup};

/// A resource as a run left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// The host that it is on.
    pub host: String,
    /// The user that was become for it, if any.
    pub user: Option<String>,
    /// The task that wrote it last.
    pub task: String,
    /// What it wrote.
    pub change: ChangeRecord,
    /// Nothing of what the task did is shown (`no_log`).
    pub hidden: bool,
}

/// What came of looking at what a run left.
#[derive(Debug, Default)]
pub struct Looked {
    /// What is no longer so.
    pub drift: Vec<Drift>,
    /// How many resources were looked at.
    pub resources: usize,
    /// Why one could not be read, by host.
    pub failed: Vec<(String, String)>,
    /// Hosts that could not be reached, and why.
    pub unreachable: Vec<(String, String)>,
}

/// The resources that a run wrote, each as its last write left it. What was not written wholly is not among them.
#[must_use]
pub fn left(entries: &[Entry]) -> Vec<Left> {
    let mut begun: BTreeMap<(&str, &str), Vec<Left>> = BTreeMap::new();
    let mut left: IndexMap<(String, Ref), Left> = IndexMap::new();
    for entry in entries {
        let node = (entry.host.as_str(), entry.node.as_str());
        match &entry.record {
            Record::ChangesIntended {
                task,
                on,
                user,
                changes,
                hidden,
            } => {
                let made = |change: &ChangeRecord| Left {
                    host: on.clone().unwrap_or_else(|| entry.host.clone()),
                    user: user.clone(),
                    task: task.clone(),
                    change: change.clone(),
                    hidden: *hidden,
                };
                begun.insert(node, changes.iter().map(made).collect());
            }
            Record::ChangesWritten { failed, .. } => {
                let made = begun.remove(&node).unwrap_or_default();
                for one in made {
                    let key = (one.host.clone(), one.change.key.clone());
                    if failed.is_none() {
                        left.insert(key, one);
                    } else {
                        left.shift_remove(&key);
                    }
                }
            }
            _ => {}
        }
    }
    left.into_values().collect()
}

/// Reads what a run left, in one batch for each host and user, and compares it.
pub async fn look(shared: &Shared, left: &[Left]) -> Looked {
    let mut groups: IndexMap<(&str, Option<&str>), Vec<&Left>> = IndexMap::new();
    for one in left {
        let place = (one.host.as_str(), one.user.as_deref());
        groups.entry(place).or_default().push(one);
    }
    let reads = groups
        .into_iter()
        .map(|((host, user), of_host)| async move {
            let _turn = shared.turn().await;
            let found = group(shared, host, user, &of_host).await;
            (host.to_owned(), of_host.len(), found)
        });
    let mut looked = Looked::default();
    for (host, amount, found) in futures::future::join_all(reads).await {
        match found {
            Ok((drift, failed)) => {
                looked.resources += amount - failed.len();
                looked.drift.extend(drift);
                looked
                    .failed
                    .extend(failed.into_iter().map(|why| (host.clone(), why)));
            }
            Err(error) => looked.unreachable.push((host, error.to_string())),
        }
    }
    looked.unreachable.dedup();
    looked
}

async fn group(
    shared: &Shared,
    host: &str,
    user: Option<&str>,
    of_host: &[&Left],
) -> Result<(Vec<Drift>, Vec<String>), HostError> {
    let link = shared.fleet.link(host).await?;
    let user = link.user(user);
    let probe = link.probe.with_user(user.clone());
    let sight = Sight::new(
        shared.registry.clone(),
        link.base.clone(),
        None,
        link.seer(user),
    );
    let keys: Vec<Ref> = of_host.iter().map(|l| l.change.key.clone()).collect();
    sight.read(&probe, &keys).await?;
    let (mut drift, mut failed) = (Vec::new(), Vec::new());
    for one in of_host {
        let key = &one.change.key;
        match sight.lookup(key) {
            Some(Known::State(now)) => drift.extend(compare(shared, one, &now)),
            Some(Known::Failed(why) | Known::Unknown(why)) => failed.push(format!("{key}: {why}")),
            None => failed.push(format!("{key} could not be read")),
        }
    }
    let clean = |text: String| shared.redactor.clean(&text);
    Ok((drift, failed.into_iter().map(clean).collect()))
}

fn compare(shared: &Shared, left: &Left, now: &Json) -> Option<Drift> {
    let ChangeRecord { key, to, want, .. } = &left.change;
    let kind = shared.registry.find_kind(&key.kind)?;
    for state in [to, now] {
        kind.secrets(state)
            .iter()
            .for_each(|s| shared.redactor.add(s));
    }
    let lines = kind.drifted(key, Some(want), to, now);
    if lines.is_empty() {
        return None;
    }
    if left.hidden {
        return Some(Drift {
            host: left.host.clone(),
            task: shared.redactor.clean(&left.task),
            resource: Some(shared.redactor.clean(&key.to_string())),
            lines: vec![NOT_SHOWN.to_owned()],
            diff: None,
        });
    }
    let texts = (kind.text(key, to), kind.text(key, now));
    let shown = match texts {
        (Some(was), Some(is)) if was != is => {
            Some(diff::between("left", "now", &key.to_string(), &was, &is))
        }
        _ => None,
    };
    let clean = |text: &String| shared.redactor.clean(text);
    Some(Drift {
        host: left.host.clone(),
        task: clean(&left.task),
        resource: Some(shared.redactor.clean(&key.to_string())),
        lines: lines.iter().map(clean).collect(),
        diff: shown.as_ref().map(clean),
    })
}
