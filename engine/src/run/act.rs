//! Doing the action of a task: into the journal, then on the host. One that was cut off is carried on and not begun
//! again.

use serde_json::Value as Json;

use super::flight::{Begun, Stage};
use super::past::{Called, Pass};
use super::settle::{LOST, Reach, Settle, Settled, Stopped, host_failure, lock, take_outcome};
use super::write::become_name;
use crate::action::{ActionCall, ActionError, ActionRun, AfterCut, Outcome};
use crate::host::{HostError, Target};
use crate::journal::{Journal, NodeStatus, Record};
use crate::registry::AnyAction;
use crate::value::Value;

/// What is done about an action of which nobody knows whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The task fails; what it did is for a person to look at.
    Fail,
    /// It counts as done.
    Skip,
    /// It is done again.
    Rerun,
}

/// An action that was cut off, for whoever decides about it.
#[derive(Debug, Clone, Copy)]
pub struct CutOff<'a> {
    /// The host.
    pub host: &'a str,
    /// The task.
    pub task: &'a str,
    /// What was to be done, one line.
    pub what: &'a str,
    /// What is known of it.
    pub why: &'a str,
}

/// What becomes of an action of which nobody can see whether it was done.
const DECIDES: &str = "going on asks, or does as `--on-interrupted` says";

impl Settle<'_> {
    /// Does the action, once.
    pub(super) async fn act(
        &self,
        call: &ActionCall,
        kind: &dyn AnyAction,
        reach: &Reach,
        journal: &Journal,
        settled: &mut Settled,
    ) -> Result<(), Stopped> {
        loop {
            let tried = self.shared.calls.next(self.host, self.node);
            let folder = folder(&self.shared.run, self.node, tried);
            if self.hidden {
                self.shared.redactor.add(&call.summary);
            }
            let intended = Record::ActionIntended {
                task: self.task.to_owned(),
                action: call.clone(),
                folder: folder.clone(),
                on: reach.on.clone(),
                user: become_name(&reach.user.user),
                hidden: self.hidden,
            };
            self.journal(journal, &intended)?;
            if let Some(failure) = self.copied(reach, journal, settled).await? {
                *settled = failure;
                return Ok(());
            }
            if let Ended::Yes = self
                .carry(call, kind, &folder, reach, journal, settled)
                .await?
            {
                return Ok(());
            }
        }
    }

    /// Goes on with a task whose action was begun before it was cut off.
    pub(super) async fn carry_on(
        &self,
        cut: &Pass,
        called: &Called,
        reach: &Reach,
        journal: &Journal,
    ) -> Result<Settled, Stopped> {
        let call = &called.action;
        let mut settled = Settled {
            status: Some(NodeStatus::Ok),
            summary: Some(call.summary.clone()),
            opaque: call.effects == crate::action::Effects::Opaque,
            ..Settled::default()
        };
        self.tell_of_writes(cut, &mut settled);
        if let Some(gave) = &called.outcome {
            let output = match Value::from_json(&gave.output) {
                Value::Map(map) => map,
                _ => indexmap::IndexMap::new(),
            };
            let outcome = Outcome {
                changed: gave.changed,
                failed: gave.failed.clone(),
                output,
            };
            take_outcome(outcome, &mut settled);
            return Ok(settled);
        }
        let Some(kind) = self.shared.registry.find_action(&call.kind) else {
            return Ok(Settled::failed(format!(
                "there is no action `{}`",
                call.kind
            )));
        };
        if kind.after_cut(&call.call) == AfterCut::Undecided {
            let why = "the run was cut off while it was being done, and whether it was done cannot be seen";
            match self.decided(call, why) {
                Decision::Rerun => self.done_again(journal)?,
                decision => {
                    self.not_done(decision, why, journal, &mut settled)?;
                    return Ok(settled);
                }
            }
            self.act(call, kind.as_ref(), reach, journal, &mut settled)
                .await?;
            return Ok(settled);
        }
        let ended = self
            .carry(
                call,
                kind.as_ref(),
                &called.folder,
                reach,
                journal,
                &mut settled,
            )
            .await?;
        if let Ended::Again = ended {
            self.act(call, kind.as_ref(), reach, journal, &mut settled)
                .await?;
        }
        Ok(settled)
    }

    /// In a prediction of a run that goes on: what has become meanwhile of an action that was begun before the cut, as far
    /// as that can be seen.
    pub(super) async fn in_flight(&self, reach: &Reach) -> Option<String> {
        let called = self.cut.as_ref()?.calls.last()?;
        if called.outcome.is_some() {
            return Some("it has ended; going on takes what came of it".to_owned());
        }
        let kind = self.shared.registry.find_action(&called.action.kind)?;
        if kind.after_cut(&called.action.call) == AfterCut::Undecided {
            return Some(format!("whether it was done cannot be seen; {DECIDES}"));
        }
        let begun = Begun {
            host: self.host.to_owned(),
            on: reach.on.clone(),
            user: become_name(&reach.user.user),
            node: self.node.to_owned(),
            task: self.task.to_owned(),
            folder: called.folder.clone(),
            known: false,
        };
        let user = begun.user.as_deref();
        let one = std::slice::from_ref(&begun);
        let stages = self.shared.fleet.stages(begun.acting(), user, one).await;
        match stages.ok()?.first()? {
            Stage::Running => {
                Some("it still runs on the host; going on waits for its end".to_owned())
            }
            Stage::Ended => {
                Some("it has ended on the host; going on takes what came of it".to_owned())
            }
            Stage::Lost => Some(format!(
                "it was cut off on the host, and how far it came cannot be seen; {DECIDES}"
            )),
            Stage::Absent | Stage::Unbegun => None,
        }
    }

    /// Does what stands in the journal, or collects what was begun in this folder.
    async fn carry(
        &self,
        call: &ActionCall,
        kind: &dyn AnyAction,
        folder: &str,
        reach: &Reach,
        journal: &Journal,
        settled: &mut Settled,
    ) -> Result<Ended, Stopped> {
        let (run, node) = folder.split_once('/').unwrap_or((folder, ""));
        let run = ActionRun {
            run: run.to_owned(),
            node: node.to_owned(),
            private: self.holds_secrets(&call.call),
        };
        let mut lost = 0;
        let answer = loop {
            let answer = match &reach.probe {
                Some(probe) => {
                    let target = Target::new(probe.with_user(reach.user.user.clone()));
                    kind.run(&target, &call.call, &run).await
                }
                None => Err(ActionError::Failed(
                    "this task needs a host that can be reached".to_owned(),
                )),
            };
            let again = kind.after_cut(&call.call) == AfterCut::Again;
            match &answer {
                Err(ActionError::Host(HostError::Lost(_))) if again && lost < LOST => lost += 1,
                _ => break answer,
            }
        };
        // Whatever it declares, it took its time, and others were at work meanwhile.
        lock(&reach.base).forget_all();
        match answer {
            Ok(outcome) => {
                let record = Record::ActionFinished {
                    output: Value::Map(outcome.output.clone()).to_json(true),
                    changed: outcome.changed,
                    failed: outcome.failed.clone(),
                };
                self.journal(journal, &record)?;
                take_outcome(outcome, settled);
            }
            // How it went is not known: it stays begun in the journal, for whoever goes on.
            Err(ActionError::Host(e @ (HostError::Lost(_) | HostError::Unreachable(_)))) => {
                *settled = host_failure(&e);
            }
            Err(ActionError::Host(HostError::Undecided(why))) => match self.decided(call, &why) {
                Decision::Rerun => {
                    self.done_again(journal)?;
                    return Ok(Ended::Again);
                }
                decision => self.not_done(decision, &why, journal, settled)?,
            },
            Err(error) => {
                let opaque = settled.opaque;
                *settled = match &error {
                    ActionError::Failed(why) => Settled::failed(why.clone()),
                    ActionError::Host(e) => host_failure(e),
                };
                settled.opaque = opaque;
                self.ended(journal, false, Some(error.to_string()))?;
            }
        }
        Ok(Ended::Yes)
    }

    fn holds_secrets(&self, call: &Json) -> bool {
        self.shared.redactor.clean_json(call.clone()) != *call
    }

    fn decided(&self, call: &ActionCall, why: &str) -> Decision {
        let clean = |text: &str| self.shared.redactor.clean(text);
        self.shared.decide(&CutOff {
            host: self.host,
            task: &clean(self.task),
            what: &clean(&call.summary),
            why: &clean(why),
        })
    }

    /// It is not known what was done, and it is not done again.
    fn not_done(
        &self,
        decision: Decision,
        why: &str,
        journal: &Journal,
        settled: &mut Settled,
    ) -> Result<(), Stopped> {
        if decision == Decision::Skip {
            settled.status = Some(NodeStatus::Changed);
            settled.acted = true;
            settled.notes.push(format!("{why}; it counts as done"));
            return self.ended(journal, true, None);
        }
        // It stays begun in the journal: going on asks again.
        *settled = Settled::failed(format!(
            "{why}. Look what it did, then go on: `runbook resume {run} --on-interrupted rerun` does it again, \
             `--on-interrupted skip` takes it for done",
            run = self.shared.run
        ));
        Ok(())
    }

    /// What was begun is given up, and it is begun again.
    fn done_again(&self, journal: &Journal) -> Result<(), Stopped> {
        self.ended(journal, false, Some("cut off; done again".to_owned()))
    }

    fn ended(
        &self,
        journal: &Journal,
        changed: bool,
        failed: Option<String>,
    ) -> Result<(), Stopped> {
        let record = Record::ActionFinished {
            output: Json::Null,
            changed,
            failed,
        };
        self.journal(journal, &record)
    }
}

/// Did the action come to an end, or does it have to be begun again?
enum Ended {
    Yes,
    Again,
}

/// The folder of a node's action on the target: of this run, this node, and the how many-th time. Safe in a file name.
fn folder(run: &str, node: &str, tried: u32) -> String {
    use sha2::{Digest, Sha256};
    let name = hex::encode(&Sha256::digest(node.as_bytes())[..12]);
    match tried {
        0 => format!("{run}/{name}"),
        again => format!("{run}/{name}-{again}"),
    }
}
