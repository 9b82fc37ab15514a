//! One task on one host: ask the module what it wants, compare, and predict it or do it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::machine::{Base, Overlay, Seen, Seer, Sight};
use super::redact::Redactor;
use crate::action::{ActionCall, ActionError, ActionRun, Effects, Outcome};
use crate::host::{HostError, Probe, Target, User};
use crate::journal::{ChangeRecord, Journal, JournalError, NodeStatus, Record};
use crate::module::{Footprint, LocalFiles, Mark, Stop, Wanted};
use crate::registry::{ErasedChange, Prepared, Registry};
use crate::resource::{Change, Kept, Ref, Reversible, WriteError, contains};
use crate::value::Value;
use crate::world::{Known, Lookup, View};

/// How often a task may ask for more states before it is taken for endless.
const ROUNDS: usize = 100;
/// How often a write that found another state than was read starts again.
const MOVED: usize = 5;

/// How a task is to be settled.
pub enum Way {
    /// Only collect what would have to be read; nothing is asked of the host.
    Gather(Arc<Mutex<Vec<Ref>>>, Arc<Mutex<Overlay>>),
    /// Predict into an overlay.
    Predict(Arc<Mutex<Overlay>>),
    /// Do it, journalled.
    Apply(Arc<Journal>),
}

/// A machine as a task is handed it.
#[derive(Clone)]
pub struct Reach {
    /// What was read from it.
    pub base: Arc<Mutex<Base>>,
    /// How to read from it. `None` where the task needs no host.
    pub probe: Option<Probe>,
    /// As whom.
    pub user: Seer,
    /// Inventory name of the host that it is, where that is not the one that the task is about (`delegate_to`).
    pub on: Option<String>,
}

/// Everything that settling one task needs.
pub struct Settle<'a> {
    /// Modules, kinds and actions.
    pub registry: &'a Arc<Registry>,
    /// Secrets found on the way are added to it.
    pub redactor: &'a Redactor,
    /// Id of the run.
    pub run: &'a str,
    /// Inventory name of the host.
    pub host: &'a str,
    /// Id of the node.
    pub node: &'a str,
    /// Name of the task.
    pub task: &'a str,
    /// The controller's files that its arguments name.
    pub local: &'a LocalFiles,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Settled {
    /// The outcome, before `changed_when` and `failed_when`.
    pub status: Option<NodeStatus>,
    /// What differs.
    pub changes: Vec<String>,
    /// Before and after.
    pub diff: Option<String>,
    /// One line for the plan.
    pub summary: Option<String>,
    /// Why it failed, was skipped or is unknown.
    pub message: Option<String>,
    /// For a person.
    pub notes: Vec<String>,
    /// What the prediction rests on.
    pub assumptions: Vec<String>,
    /// What cannot be taken back.
    pub irreversible: Vec<String>,
    /// What going back leaves where it is, unless it is named.
    pub stays: Vec<String>,
    /// An opaque action.
    pub opaque: bool,
    /// Its action says that it changed something, even where it failed.
    pub acted: bool,
    /// An action that a prediction cannot know the result of.
    pub predicted_action: bool,
    /// What `register` gets from the module.
    pub output: IndexMap<String, Value>,
    /// What was kept aside.
    pub kept: Vec<Kept>,
    /// What was stopped (`false`) or started (`true`).
    pub running: Vec<(Ref, bool)>,
}

impl Settled {
    fn with(status: NodeStatus, message: impl Into<String>) -> Self {
        Self {
            status: Some(status),
            message: Some(message.into()),
            ..Self::default()
        }
    }

    /// A failure.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::with(NodeStatus::Failed, message)
    }
}

/// Why the run as a whole cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Nothing is changed that is not in the journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Settle<'_> {
    /// Settles the task.
    pub async fn settle(
        &self,
        prepared: &dyn Prepared,
        reach: &Reach,
        way: &Way,
    ) -> Result<Settled, Stopped> {
        let mut moved = 0;
        loop {
            let overlay = match way {
                Way::Gather(_, overlay) | Way::Predict(overlay) => Some(overlay.clone()),
                Way::Apply(_) => None,
            };
            let sight = Sight::new(
                self.registry.clone(),
                reach.base.clone(),
                overlay,
                reach.user.clone(),
            );
            let sight = match way {
                Way::Apply(_) => sight.fresh(),
                _ => sight,
            };
            let (wanted, changes) = match self.compare(prepared, reach, way, &sight).await {
                Ok(found) => found,
                Err(settled) => {
                    if settled.status == Some(NodeStatus::Unknown) {
                        self.spread(
                            way,
                            &prepared.touches(),
                            settled.message.as_deref().unwrap_or(""),
                        );
                    }
                    return Ok(*settled);
                }
            };
            match self
                .carry_out(prepared, reach, way, &sight, wanted, &changes)
                .await?
            {
                Done::Settled(settled) => return Ok(*settled),
                Done::Moved(message) => {
                    moved += 1;
                    if moved > MOVED {
                        return Ok(Settled::failed(format!(
                            "{message}; it kept changing while this task tried {MOVED} times. Find out who else \
                             changes it, then run again"
                        )));
                    }
                    let mut base = lock(&reach.base);
                    changes
                        .iter()
                        .for_each(|c| base.written(self.registry, &c.key));
                }
            }
        }
    }

    /// Asks the module until it answers, and compares what it wants with what is.
    async fn compare(
        &self,
        prepared: &dyn Prepared,
        reach: &Reach,
        way: &Way,
        sight: &Sight,
    ) -> Result<(Wanted, Vec<ErasedChange>), Box<Settled>> {
        let footprint = prepared.touches();
        let mut rounds = 0;
        let mut ask = Vec::new();
        let wanted = loop {
            if !ask.is_empty() {
                self.read(reach, way, sight, &ask).await?;
            }
            rounds += 1;
            if rounds > ROUNDS {
                return Err(Box::new(Settled::failed(format!(
                    "the module asked for new states {ROUNDS} times without an answer; this is a defect of the module"
                ))));
            }
            match prepared.want(&View::new(sight, self.local)) {
                Ok(wanted) => break wanted,
                Err(Stop::Need(keys)) => ask = keys,
                Err(Stop::Unknown(why)) => {
                    return Err(Box::new(Settled::with(NodeStatus::Unknown, why)));
                }
                Err(Stop::Refuse(why)) => return Err(Box::new(Settled::failed(why))),
            }
        };
        self.within(&footprint, sight, &wanted)
            .map_err(|e| Box::new(Settled::failed(e)))?;
        let keys: Vec<Ref> = wanted.resources.iter().map(|w| w.key.clone()).collect();
        if !sight.to_read(&keys).is_empty() {
            self.read(reach, way, sight, &keys).await?;
        }
        let mut changes = Vec::new();
        for want in &wanted.resources {
            let failed = |e: String| Box::new(Settled::failed(e));
            let kind = self
                .registry
                .find_kind(&want.key.kind)
                .ok_or_else(|| failed(format!("there is no resource kind `{}`", want.key.kind)))?;
            let from = match sight.lookup(&want.key) {
                Some(Known::State(state)) => state,
                Some(Known::Unknown(why)) => {
                    return Err(Box::new(Settled::with(NodeStatus::Unknown, why)));
                }
                Some(Known::Failed(why)) => return Err(failed(why)),
                None => return Err(failed(format!("{} could not be read", want.key))),
            };
            kind.secrets(&from)
                .iter()
                .for_each(|s| self.redactor.add(s));
            if !kind
                .differences(&want.want, &from)
                .map_err(failed)?
                .is_empty()
            {
                let to = kind.predict(&want.want, &from).map_err(failed)?;
                kind.secrets(&to).iter().for_each(|s| self.redactor.add(s));
                let key = sight.true_form(&want.key);
                changes.push(ErasedChange {
                    key,
                    change: Change {
                        from,
                        to,
                        want: want.want.clone(),
                    },
                });
            }
        }
        Ok((wanted, changes))
    }

    async fn read(
        &self,
        reach: &Reach,
        way: &Way,
        sight: &Sight,
        keys: &[Ref],
    ) -> Result<(), Box<Settled>> {
        if let Way::Gather(needs, _) = way {
            let missing = sight.to_read(keys);
            if missing.is_empty() {
                return Ok(());
            }
            lock(needs).extend(missing);
            return Err(Box::new(Settled::with(NodeStatus::Unknown, "not read yet")));
        }
        let Some(probe) = &reach.probe else {
            return Err(Box::new(Settled::failed(
                "this task needs a host that can be reached",
            )));
        };
        sight
            .read(probe, keys)
            .await
            .map_err(|e| Box::new(host_failure(&e)))
    }

    /// A `want` outside its footprint is a defect of the module, and would make order and prediction wrong.
    fn within(&self, footprint: &Footprint, sight: &Sight, wanted: &Wanted) -> Result<(), String> {
        if footprint.everything {
            return Ok(());
        }
        let seen = sight.seen();
        let covers = |key: &Ref, marks: &[&[Mark]]| {
            let here = Mark {
                kind: key.kind.clone(),
                id: key.id.clone(),
            };
            marks
                .iter()
                .any(|list| list.iter().any(|mark| mark.overlaps(&here)))
        };
        // What a name leads to (the file behind a link) is named by it.
        let leads_to = |asked: &Ref, state: &Known, key: &Ref| {
            let (Known::State(state), Some(kind)) = (state, self.registry.find_kind(&asked.kind))
            else {
                return false;
            };
            let form = kind.canonical(asked, state);
            form.id == key.id || contains(&form.id, &key.id)
        };
        let named = |key: &Ref, marks: &[&[Mark]]| {
            covers(key, marks)
                || seen
                    .iter()
                    .any(|(asked, state)| covers(asked, marks) && leads_to(asked, state, key))
        };
        let defect = |key: &Ref, did: &str| {
            format!(
                "the module {did} {key}, which its footprint does not name; this is a defect of the module"
            )
        };
        if let Some(w) = wanted
            .resources
            .iter()
            .find(|w| !named(&w.key, &[&footprint.writes]))
        {
            return Err(defect(&w.key, "wants to write"));
        }
        match seen
            .keys()
            .find(|key| !named(key, &[&footprint.reads, &footprint.writes]))
        {
            Some(key) => Err(defect(key, "read")),
            None => Ok(()),
        }
    }

    /// In a prediction, what a task of unknown outcome may write is unknown after it.
    pub fn spread(&self, way: &Way, footprint: &Footprint, why: &str) {
        let Way::Predict(overlay) = way else { return };
        let mut overlay = lock(overlay);
        if footprint.everything
            || footprint
                .writes
                .iter()
                .any(|m| m.kind == "*" || m.id == "*")
        {
            overlay.opaque(why);
            return;
        }
        for mark in &footprint.writes {
            let key = Ref {
                kind: mark.kind.clone(),
                id: mark.id.clone(),
                data: Json::Null,
            };
            overlay.unknown(&key, why, self.task);
        }
    }

    async fn carry_out(
        &self,
        prepared: &dyn Prepared,
        reach: &Reach,
        way: &Way,
        sight: &Sight,
        wanted: Wanted,
        changes: &[ErasedChange],
    ) -> Result<Done, Stopped> {
        let before = sight.seen();
        let mut settled = Settled {
            status: Some(NodeStatus::Ok),
            summary: wanted.summary.clone(),
            notes: wanted.notes.clone(),
            message: wanted.skipped.clone(),
            output: wanted.facts.clone(),
            ..Settled::default()
        };
        if wanted.skipped.is_some() {
            settled.status = Some(NodeStatus::Skipped);
        }
        if let Some(why) = wanted.failed {
            settled.status = Some(NodeStatus::Failed);
            settled.message = Some(why);
            settled.assumptions.extend(sight.assumptions());
            return Ok(Done::settled(settled));
        }
        let mut reversibles = Vec::with_capacity(changes.len());
        for change in changes {
            reversibles.push(self.describe(change, sight, &mut settled));
        }
        if let Some(diff) = &wanted.diff {
            settled.diff = (!changes.is_empty() || wanted.action.is_some()).then(|| diff.clone());
        }
        if !changes.is_empty() {
            settled.status = Some(NodeStatus::Changed);
            match way {
                Way::Gather(_, overlay) | Way::Predict(overlay) => self.predict(overlay, changes),
                Way::Apply(journal) => {
                    if let Some(done) = self
                        .write(reach, journal, changes, &reversibles, &mut settled)
                        .await?
                    {
                        return Ok(done);
                    }
                }
            }
        }
        if let Some(call) = &wanted.action {
            self.act(call, reach, way, &mut settled).await?;
        }
        settled.assumptions.extend(sight.assumptions());
        settled.assumptions.sort();
        settled.assumptions.dedup();
        if let (Way::Apply(_), Some(probe), false) = (
            way,
            &reach.probe,
            changes.is_empty() && wanted.action.is_none(),
        ) {
            // The output may look at everything that `want` looked at, as it is now.
            let keys: Vec<Ref> = before.keys().cloned().collect();
            if let Err(e) = sight.read(probe, &keys).await {
                return Ok(Done::settled(host_failure(&e)));
            }
        }
        if !matches!(way, Way::Gather(..)) && settled.status != Some(NodeStatus::Failed) {
            let seen = Seen(before);
            let (before, after) = (View::new(&seen, self.local), View::new(sight, self.local));
            for (name, value) in prepared.output(&before, &after) {
                settled.output.insert(name, value);
            }
        }
        Ok(Done::settled(settled))
    }

    /// Lines, diff, assumptions and the way back of one change.
    fn describe(&self, change: &ErasedChange, sight: &Sight, settled: &mut Settled) -> Reversible {
        let Some(kind) = self.registry.find_kind(&change.key.kind) else {
            return Reversible::Never("its kind is unknown".to_owned());
        };
        let lines = kind
            .differences(&change.change.want, &change.change.from)
            .unwrap_or_default();
        let texts = (
            kind.text(&change.key, &change.change.from),
            kind.text(&change.key, &change.change.to),
        );
        let part = match texts {
            (Some(from), Some(to)) if from != to => {
                super::diff::unified(&change.key.to_string(), &from, &to)
            }
            _ => {
                let body: String = lines.iter().map(|l| format!("  {l}\n")).collect();
                format!("{}\n{body}", change.key)
            }
        };
        settled.diff.get_or_insert_default().push_str(&part);
        settled.changes.extend(lines.into_iter().map(|line| {
            if line.contains(&change.key.id) {
                line
            } else {
                format!("{}: {line}", change.key.id)
            }
        }));
        kind.assumes(change)
            .into_iter()
            .for_each(|what| sight.assume(what));
        let reversible = kind.reversible(change);
        match &reversible {
            Reversible::Yes => {}
            Reversible::Stays(why) => settled.stays.push(why.clone()),
            Reversible::Loses(what) | Reversible::Never(what) => {
                settled.irreversible.push(what.clone())
            }
        }
        reversible
    }

    fn predict(&self, overlay: &Arc<Mutex<Overlay>>, changes: &[ErasedChange]) {
        let mut overlay = lock(overlay);
        for change in changes {
            overlay.change(
                self.registry,
                &change.key,
                Some(change.change.from.clone()),
                Known::State(change.change.to.clone()),
                self.task,
            );
        }
    }

    /// Journals, writes, and reads until it agrees. `Some`: the task ends here.
    async fn write(
        &self,
        reach: &Reach,
        journal: &Journal,
        changes: &[ErasedChange],
        reversibles: &[Reversible],
        settled: &mut Settled,
    ) -> Result<Option<Done>, Stopped> {
        let Some(probe) = &reach.probe else {
            return Ok(Some(Done::settled(Settled::failed(
                "this task needs a host that can be reached",
            ))));
        };
        let records = changes
            .iter()
            .zip(reversibles)
            .map(|(c, reversible)| ChangeRecord {
                key: c.key.clone(),
                from: c.change.from.clone(),
                to: c.change.to.clone(),
                want: c.change.want.clone(),
                reversible: reversible.clone(),
            });
        let intended = Record::ChangesIntended {
            task: self.task.to_owned(),
            on: reach.on.clone(),
            user: become_name(&reach.user.user),
            changes: records.collect(),
        };
        journal.append(self.run, self.host, self.node, &intended)?;
        let target = Target::new(probe.with_user(reach.user.user.clone()));
        let mut failed = None;
        for (kind, group) in by_kind(changes) {
            let Some(kind) = self.registry.find_kind(&kind) else {
                continue;
            };
            match kind.write(&target, &group).await {
                Ok(kept) => {
                    let user = become_name(&reach.user.user);
                    settled.kept.extend(kept.into_iter().map(|k| Kept {
                        user: user.clone(),
                        ..k
                    }));
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        {
            let mut base = lock(&reach.base);
            for change in changes {
                let kind = self.registry.find_kind(&change.key.kind);
                if kind.is_none_or(|kind| kind.stirs()) {
                    base.forget_all();
                }
                base.written(self.registry, &change.key);
            }
        }
        settled.running = self.running(changes, failed.is_some());
        let why = failed.as_ref().map(|e| self.redactor.clean(&e.to_string()));
        journal.append(
            self.run,
            self.host,
            self.node,
            &Record::ChangesWritten {
                kept: settled.kept.clone(),
                failed: why,
            },
        )?;
        Ok(match failed {
            None => self.agrees(reach, probe, changes).await.map(|failure| {
                Done::settled(Settled {
                    changes: settled.changes.clone(),
                    diff: settled.diff.clone(),
                    kept: settled.kept.clone(),
                    running: settled.running.clone(),
                    ..failure
                })
            }),
            Some(WriteError::Moved { what, found }) if settled.kept.is_empty() => Some(
                Done::Moved(format!("{what} is no longer as it was read: {found}")),
            ),
            Some(WriteError::Host(e)) => Some(Done::settled(host_failure(&e))),
            Some(error) => {
                let mut message = error.to_string();
                if let WriteError::Failed {
                    left: Some(left), ..
                } = &error
                {
                    message = format!("{message}\nNot taken back: {left}");
                }
                Some(Done::settled(Settled {
                    kept: settled.kept.clone(),
                    ..Settled::failed(message)
                }))
            }
        })
    }

    /// What these changes stop or start. What a failed write was about counts as it was: a kind brings it back.
    fn running(&self, changes: &[ErasedChange], failed: bool) -> Vec<(Ref, bool)> {
        if failed {
            return Vec::new();
        }
        let of = |c: &ErasedChange| {
            let kind = self.registry.find_kind(&c.key.kind)?;
            let (from, to) = (kind.runs(&c.change.from)?, kind.runs(&c.change.to)?);
            (from || to).then(|| (c.key.clone(), to))
        };
        changes.iter().filter_map(of).collect()
    }

    /// Reads until everything agrees with what was wanted or its kind's deadline has passed.
    async fn agrees(
        &self,
        reach: &Reach,
        probe: &Probe,
        changes: &[ErasedChange],
    ) -> Option<Settled> {
        let begin = Instant::now();
        let keys: Vec<Ref> = changes.iter().map(|c| c.key.clone()).collect();
        let mut pause = Duration::from_millis(50);
        loop {
            let sight = Sight::new(
                self.registry.clone(),
                reach.base.clone(),
                None,
                reach.user.clone(),
            );
            if let Err(e) = sight.read(probe, &keys).await {
                return Some(host_failure(&e));
            }
            let (mut differs, mut deadline) = (Vec::new(), Duration::ZERO);
            for change in changes {
                let Some(kind) = self.registry.find_kind(&change.key.kind) else {
                    continue;
                };
                let lines = match sight.lookup(&change.key) {
                    Some(Known::State(state)) => kind
                        .differences(&change.change.want, &state)
                        .unwrap_or_else(|e| vec![e]),
                    Some(Known::Failed(why) | Known::Unknown(why)) => vec![why],
                    None => vec!["it could not be read".to_owned()],
                };
                if !lines.is_empty() {
                    deadline = deadline.max(kind.deadline(&change.key, &change.change.want));
                    differs.push(format!("{}: {}", change.key, lines.join(", ")));
                }
            }
            if differs.is_empty() {
                return None;
            }
            if begin.elapsed() >= deadline {
                return Some(Settled::failed(format!(
                    "it was written, but what is read afterwards is not what was asked for:\n{}",
                    differs.join("\n")
                )));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
            let mut base = lock(&reach.base);
            keys.iter().for_each(|key| base.written(self.registry, key));
        }
    }

    async fn act(
        &self,
        call: &ActionCall,
        reach: &Reach,
        way: &Way,
        settled: &mut Settled,
    ) -> Result<(), Stopped> {
        let Some(kind) = self.registry.find_action(&call.kind) else {
            *settled = Settled::failed(format!("there is no action `{}`", call.kind));
            return Ok(());
        };
        settled.summary.get_or_insert_with(|| call.summary.clone());
        settled.opaque = call.effects == Effects::Opaque;
        match way {
            Way::Gather(..) => {
                settled.status = Some(if call.changes {
                    NodeStatus::Changed
                } else {
                    NodeStatus::Unknown
                });
            }
            Way::Predict(overlay) => {
                self.predict_action(call, kind.as_ref(), reach, overlay, settled)
                    .await;
            }
            Way::Apply(journal) => {
                let run = ActionRun {
                    run: self.run.to_owned(),
                    node: folder_name(self.node),
                };
                let folder = format!("{}/{}", run.run, run.node);
                let intended = Record::ActionIntended {
                    task: self.task.to_owned(),
                    action: call.clone(),
                    folder,
                };
                journal.append(self.run, self.host, self.node, &intended)?;
                let answer = match &reach.probe {
                    Some(probe) => {
                        let target = Target::new(probe.with_user(reach.user.user.clone()));
                        kind.run(&target, &call.call, &run).await
                    }
                    None => Err(ActionError::Failed(
                        "this task needs a host that can be reached".to_owned(),
                    )),
                };
                // Whatever it declares, it took its time, and others were at work meanwhile.
                lock(&reach.base).forget_all();
                let record = match &answer {
                    Ok(outcome) => Record::ActionFinished {
                        output: Value::Map(outcome.output.clone()).to_json(true),
                        changed: outcome.changed,
                        failed: outcome.failed.clone(),
                    },
                    Err(e) => Record::ActionFinished {
                        output: Json::Null,
                        changed: false,
                        failed: Some(e.to_string()),
                    },
                };
                journal.append(self.run, self.host, self.node, &record)?;
                match answer {
                    Ok(outcome) => take_outcome(outcome, settled),
                    Err(ActionError::Failed(why)) => {
                        *settled = Settled {
                            opaque: settled.opaque,
                            ..Settled::failed(why)
                        };
                    }
                    Err(ActionError::Host(e)) => *settled = host_failure(&e),
                }
            }
        }
        Ok(())
    }

    async fn predict_action(
        &self,
        call: &ActionCall,
        kind: &dyn crate::registry::AnyAction,
        reach: &Reach,
        overlay: &Arc<Mutex<Overlay>>,
        settled: &mut Settled,
    ) {
        let until = format!("until \"{}\"", self.task);
        match &call.effects {
            Effects::Nothing => {
                // What it would see may be changed by a task before it: then only the run can tell.
                let untouched = lock(overlay).is_untouched();
                let answer = match &reach.probe {
                    Some(probe) if untouched => {
                        kind.probe(&probe.with_user(reach.user.user.clone()), &call.call)
                            .await
                    }
                    _ => Ok(None),
                };
                match answer {
                    Ok(Some(outcome)) => take_outcome(outcome, settled),
                    Ok(None) if call.changes => {
                        settled.predicted_action = true;
                        settled.status = Some(NodeStatus::Changed);
                    }
                    Ok(None) => {
                        settled.status = Some(NodeStatus::Unknown);
                        settled.message.get_or_insert_with(|| until.clone());
                    }
                    Err(e) => *settled = host_failure(&e),
                }
            }
            Effects::Changes(marks) | Effects::Creates(marks) => {
                settled.predicted_action = true;
                settled.status = Some(NodeStatus::Changed);
                let mut overlay = lock(overlay);
                for mark in marks {
                    let key = Ref {
                        kind: mark.kind.clone(),
                        id: mark.id.clone(),
                        data: Json::Null,
                    };
                    overlay.unknown(&key, &until, self.task);
                }
                if matches!(call.effects, Effects::Creates(_)) {
                    settled.assumptions.push(format!(
                        "\"{}\" changes nothing but what `creates` or `removes` names",
                        self.task
                    ));
                }
            }
            Effects::Opaque => {
                settled.predicted_action = true;
                settled.status = Some(NodeStatus::Changed);
                lock(overlay).opaque(&until);
            }
        }
    }
}

/// Whether the task is settled or has to start again.
enum Done {
    Settled(Box<Settled>),
    Moved(String),
}

impl Done {
    fn settled(settled: Settled) -> Self {
        Self::Settled(Box::new(settled))
    }
}

fn take_outcome(outcome: Outcome, settled: &mut Settled) {
    let changed = outcome.changed || settled.status == Some(NodeStatus::Changed);
    settled.acted = changed;
    settled.status = Some(match (&outcome.failed, changed) {
        (Some(_), _) => NodeStatus::Failed,
        (None, true) => NodeStatus::Changed,
        (None, false) => NodeStatus::Ok,
    });
    if outcome.failed.is_some() {
        settled.message = outcome.failed;
    }
    settled.output.extend(outcome.output);
}

/// A host that does not answer stops alone; one that says no fails the task.
#[must_use]
pub fn host_failure(error: &HostError) -> Settled {
    let status = match error {
        HostError::Unreachable(_) => NodeStatus::Unreachable,
        _ => NodeStatus::Failed,
    };
    Settled::with(status, error.to_string())
}

fn become_name(user: &User) -> Option<String> {
    match user {
        User::Become(name) => Some(name.clone()),
        User::Login => None,
    }
}

/// The changes of each kind, kinds in the order in which they first come.
fn by_kind(changes: &[ErasedChange]) -> Vec<(String, Vec<ErasedChange>)> {
    let mut groups: Vec<(String, Vec<ErasedChange>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for change in changes {
        let kind = &change.key.kind;
        let at = *places.entry(kind.clone()).or_insert_with(|| {
            groups.push((kind.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(change.clone());
    }
    groups
}

/// A node's id as a name that every file system takes.
fn folder_name(node: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(&Sha256::digest(node.as_bytes())[..12])
}
