//! `before: [ids]`: a task that runs only if one of those tasks will change something, or may.
//!
//! The rest of the program is predicted from where the walk stands, and it is looked whether one of the named tasks
//! (or a task within a named block) changes. Tasks with a `before` of their own are left out of that prediction: they
//! make room for a change and are not what decides whether there is one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::event::Silence;
use super::settle::Stopped;
use super::walk::{Here, Walk, Way};
use crate::compile::program::{Common, Item, Task};
use crate::journal::NodeStatus;

/// What predictions made along the way have found.
#[derive(Default)]
pub struct Lookahead {
    /// In a look-ahead: the ids that are looked for, and whether one of them changes.
    looked_for: Option<Targets>,
    /// Answers so far, by group and ids: `None`, one of them changes.
    answers: tokio::sync::Mutex<BTreeMap<(Vec<String>, Vec<String>), Option<String>>>,
}

struct Targets {
    /// Paths of the named tasks and of those within named blocks.
    paths: Vec<String>,
    /// One of them will change something, or may.
    found: Mutex<bool>,
}

impl Lookahead {
    /// Is this walk a look-ahead?
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.looked_for.is_some()
    }

    /// A task has come to this status.
    pub(super) fn saw(&self, common: &Common, status: NodeStatus) {
        let Some(targets) = &self.looked_for else {
            return;
        };
        let changes = matches!(
            status,
            NodeStatus::Changed | NodeStatus::Unknown | NodeStatus::Conditional
        );
        if changes && targets.paths.contains(&common.path) {
            *targets
                .found
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = true;
        }
    }
}

impl Walk {
    /// Why a task with `before` need not run; `None` where it must.
    pub(super) async fn not_needed_before(
        &self,
        task: &Task,
        here: &Here,
    ) -> Result<Option<String>, Stopped> {
        if self.lookahead.is_one() {
            return Ok(Some("left out of a look-ahead".to_owned()));
        }
        if matches!(self.way, Way::Gather(_)) {
            // What the task itself would need to read is wanted in any case.
            return Ok(None);
        }
        let key = (here.group.hosts.clone(), task.common.before.clone());
        let mut answers = self.lookahead.answers.lock().await;
        if let Some(answer) = answers.get(&key) {
            return Ok(answer.clone());
        }
        let Some(play) = self.play.clone() else {
            return Ok(None);
        };
        let mut paths = Vec::new();
        for item in play.sections.iter().flatten() {
            item.each(&mut |item| {
                let named = item
                    .common()
                    .id
                    .as_ref()
                    .is_some_and(|id| task.common.before.contains(id));
                if named {
                    item.each(&mut |inner| {
                        if matches!(inner, Item::Task(_)) {
                            paths.push(inner.common().path.clone());
                        }
                    });
                }
            });
        }
        let targets = Targets {
            paths,
            found: Mutex::new(false),
        };
        let mut walk = self.fork(Way::Predict, Arc::new(Silence));
        walk.lookahead = Arc::new(Lookahead {
            looked_for: Some(targets),
            answers: tokio::sync::Mutex::default(),
        });
        for section in &play.sections {
            walk.items(section, &here.group.hosts, here).await?;
        }
        let found = walk.lookahead.looked_for.as_ref().is_some_and(|t| {
            *t.found
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        });
        let answer = (!found).then(|| {
            format!(
                "it is only for the time of a change by `{}`, and there is none",
                task.common.before.join("`, `")
            )
        });
        answers.insert(key, answer.clone());
        Ok(answer)
    }
}
