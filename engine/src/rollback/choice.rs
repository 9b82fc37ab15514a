//! How much of a run is taken back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::steps::{Did, Step};
use crate::resource::{Ref, Reversible};

/// What a person asked for. Empty: all of the run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Choice {
    /// Only on these hosts.
    pub hosts: Vec<String>,
    /// Back to the moment before this task: it and all that came after it at its site.
    pub to: Option<String>,
    /// Points of no return (tasks) that may be crossed: what they did stays, what was before them goes back.
    pub past: Vec<String>,
    /// Resources that go back although others have changed them since.
    pub overwrite: Vec<String>,
    /// Resources that go back although they could stay.
    pub also: Vec<String>,
}

impl Choice {
    /// The steps that are taken back, newest first; or what is wrong with the choice, one text each.
    ///
    /// `site_of`: what a host belongs to; the hosts of a site go back together.
    pub fn of(
        &self,
        steps: &[Step],
        site_of: &dyn Fn(&str) -> String,
    ) -> Result<Vec<Step>, Vec<String>> {
        let mut wrong = Vec::new();
        for host in &self.hosts {
            if !steps.iter().any(|s| s.host == *host) {
                wrong.push(format!(
                    "--host {host}: the run changed nothing there; it worked on {}",
                    listed(steps.iter().map(|s| s.host.as_str()))
                ));
            }
        }
        let of_hosts: Vec<&Step> = steps
            .iter()
            .filter(|s| self.hosts.is_empty() || self.hosts.contains(&s.host))
            .collect();
        for task in self.to.iter().chain(&self.past) {
            if !of_hosts.iter().any(|s| s.task == *task) {
                wrong.push(format!(
                    "no task \"{task}\" of the run changed anything; these did: {}",
                    listed(of_hosts.iter().map(|s| s.task.as_str()))
                ));
            }
        }
        for key in self.overwrite.iter().chain(&self.also) {
            let known = of_hosts.iter().any(|s| match &s.did {
                Did::Changes(changes) => changes.iter().any(|c| names(key, &c.key)),
                Did::Action(_) => false,
            });
            if !known {
                wrong.push(format!(
                    "the run changed nothing that is called `{key}`; `runbook show` lists what it changed"
                ));
            }
        }
        // Newest first: the oldest time that the task did something is the last place that counts.
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for (at, step) in of_hosts.iter().enumerate() {
            if Some(&step.task) == self.to.as_ref() {
                ends.insert(site_of(&step.host), at);
            }
        }
        let chosen: Vec<Step> = of_hosts
            .iter()
            .enumerate()
            .filter(|(at, step)| {
                self.to.is_none() || ends.get(&site_of(&step.host)).is_some_and(|end| at <= end)
            })
            .map(|(_, step)| (*step).clone())
            .collect();
        wrong.extend(self.barriers(&chosen, site_of));
        if wrong.is_empty() {
            Ok(chosen)
        } else {
            Err(wrong)
        }
    }

    /// Points of no return that were not named, with something before them that would go back.
    fn barriers(&self, chosen: &[Step], site_of: &dyn Fn(&str) -> String) -> Vec<String> {
        let mut found = Vec::new();
        for (at, step) in chosen.iter().enumerate() {
            let Did::Changes(changes) = &step.did else {
                continue;
            };
            let never = changes.iter().find_map(|c| match &c.reversible {
                Reversible::Never(why) => Some((&c.key, why)),
                _ => None,
            });
            let Some((key, why)) = never.filter(|_| !self.past.contains(&step.task)) else {
                continue;
            };
            let after = chosen[..at]
                .iter()
                .rfind(|s| site_of(&s.host) == site_of(&step.host));
            let remedy = match after {
                Some(after) => format!("`--to \"{}\"` takes back what came after it", after.task),
                None => "it is the last thing that the run did there".to_owned(),
            };
            found.push(format!(
                "{}: \"{}\" cannot be taken back: {key}: {why}. {remedy}; `--past \"{}\"` leaves it as it is and takes \
                 back what came before it too",
                step.host, step.task, step.task
            ));
        }
        found
    }

    /// Is the resource to go back although others have changed it?
    #[must_use]
    pub fn overwrites(&self, key: &Ref) -> bool {
        self.overwrite.iter().any(|name| names(name, key))
    }

    /// Is the resource to go back although it could stay?
    #[must_use]
    pub fn includes(&self, key: &Ref) -> bool {
        self.also.iter().any(|name| names(name, key))
    }
}

/// `file:/etc/hosts`, or the id alone.
pub(super) fn names(name: &str, key: &Ref) -> bool {
    name == key.id || name == key.to_string()
}

/// Each once, in the order in which they first come, quoted where they are more than a word.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    if seen.is_empty() {
        return "nothing".to_owned();
    }
    let quoted: Vec<String> = seen.iter().map(|n| format!("\"{n}\"")).collect();
    quoted.join(", ")
}
