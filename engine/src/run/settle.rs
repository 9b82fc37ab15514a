//! One task on one host: ask the module what it wants, compare, and predict it or do it.

use std::sync::{Arc, Mutex};

use indexmap::IndexMap;

use super::machine::{Base, Overlay, Seen, Seer, Sight};
use super::past::{Pass, Write};
use super::plan::{Bound, Intent};
use super::shared::Shared;
use super::write::{self, Writing};
use crate::action::{ActionCall, Effects, Outcome};
use crate::host::{HostError, Probe};
use crate::journal::{Journal, JournalError, NodeStatus};
use crate::lock::Refusal;
use crate::module::{Footprint, Left, LocalFile, LocalFiles, Stop, Wanted};
use crate::registry::{ErasedChange, Prepared};
use crate::resource::{Change, Kept, Ref, Reversible};
use crate::value::Value;
use crate::world::{Known, Lookup, Predicted, PredictedChange, View};

/// How often a task may ask for more states before it is taken for endless.
const ROUNDS: usize = 100;
/// How often a write that found another state than was read starts again.
const MOVED: usize = 5;
/// How often a write whose connection was lost is read and carried on.
pub(super) const LOST: usize = 5;

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
    /// What all walks of the run share.
    pub shared: &'a Shared,
    /// Inventory name of the host.
    pub host: &'a str,
    /// Id of the node.
    pub node: &'a str,
    /// Name of the task.
    pub task: &'a str,
    /// The controller's files that its arguments name.
    pub local: &'a LocalFiles,
    /// Where it was cut off in this run before, if it was.
    pub cut: Option<Pass>,
    /// Nothing of what it does is shown (`no_log`), later either.
    pub hidden: bool,
    /// What comes after it is reached though it fails (`ignore_errors`).
    pub ignored: bool,
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
    /// Its write rests on something that only the run can show, and it may fail without an end to the play.
    pub risky: bool,
    /// Names that its register has where that write does not fail.
    pub if_written: Vec<String>,
    /// Of such an action: `failed_when` says, whatever its result, that it does not fail.
    pub cannot_fail: bool,
    /// Of such an action: what comes after it is reached though it fails, so whether it does is not known there, and why.
    pub may_fail: Option<String>,
    /// What `register` gets from the module.
    pub output: IndexMap<String, Value>,
    /// What was kept aside.
    pub kept: Vec<Kept>,
    /// A person broke it off before it was decided.
    pub interrupted: bool,
    /// What was stopped (`false`) or started (`true`).
    pub running: Vec<(Ref, bool)>,
    /// It failed, and a rescue has its turn.
    pub rescued: bool,
    /// It was stopped before it wrote, since it is not what was approved.
    pub drifted: bool,
    /// What the prediction rests on.
    pub bound: Option<Arc<Bound>>,
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

    /// Under an approved plan: nothing is written, for this reason.
    #[must_use]
    pub fn drifted(why: &str) -> Self {
        Self {
            drifted: true,
            ..Self::failed(format!(
                "this is not what the plan says, so nothing was written: {why}\nLook at what has changed, and make a \
                 new plan"
            ))
        }
    }
}

/// Why the run as a whole cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Nothing is changed that is not in the journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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
        let mut cut = self.cut.clone().filter(|_| matches!(way, Way::Apply(_)));
        if cut.is_some()
            && let Some(refused) = self.refused(reach).await
        {
            return Ok(refused);
        }
        if let (Way::Apply(journal), Some(pass)) = (way, &cut)
            && let Some(called) = pass.calls.last()
        {
            // It was begun: the module is not asked again whether it is wanted.
            return self.carry_on(pass, called, reach, journal).await;
        }
        let (mut moved, mut lost) = (0, 0);
        let mut kept = Vec::new();
        loop {
            if let Some(write) = cut.as_ref().and_then(Pass::cut_write) {
                match self.recover(reach, write).await {
                    Ok(found) => kept = found,
                    Err(Unrecovered::Lost(_)) if lost < LOST => {
                        lost += 1;
                        continue;
                    }
                    Err(Unrecovered::Lost(settled) | Unrecovered::Else(settled)) => {
                        return Ok(*settled);
                    }
                }
            }
            let sight = self.sight(reach, way);
            let (wanted, changes) = match self.compare(prepared, reach, way, &sight).await {
                Ok(found) => found,
                Err(mut settled) => {
                    if settled.status == Some(NodeStatus::Unknown) {
                        settled.bound = self.open_bound(prepared);
                        if !matches!(way, Way::Apply(_)) {
                            let why = settled.message.as_deref().unwrap_or("");
                            self.spread_everywhere(reach, way, prepared.touches(), why)
                                .await;
                        }
                    }
                    return Ok(*settled);
                }
            };
            let begun = Begun {
                cut: cut.as_ref(),
                kept: std::mem::take(&mut kept),
            };
            match self
                .carry_out(prepared, reach, way, &sight, wanted, &changes, begun)
                .await?
            {
                Done::Settled(settled) => return Ok(*settled),
                Done::Moved(message) if self.shared.approved().is_some() => {
                    return Ok(Settled::drifted(&message));
                }
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
                        .for_each(|c| base.changed(&self.shared.registry, c));
                }
                Done::Cut(write, error) => {
                    lost += 1;
                    if lost > LOST || matches!(error, HostError::Unreachable(_)) {
                        return Ok(host_failure(&error));
                    }
                    cut.get_or_insert_default().writes.push(write);
                }
            }
        }
    }

    pub(super) fn sight(&self, reach: &Reach, way: &Way) -> Sight {
        let overlay = match way {
            Way::Gather(_, overlay) | Way::Predict(overlay) => Some(overlay.clone()),
            Way::Apply(_) => None,
        };
        let sight = Sight::new(
            self.shared.registry.clone(),
            reach.base.clone(),
            overlay,
            reach.user.clone(),
        );
        match way {
            Way::Apply(_) => sight.fresh(),
            _ => sight,
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
                .shared
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
                .for_each(|s| self.shared.redactor.add(s));
            if !kind
                .differences(&want.want, &from)
                .map_err(failed)?
                .is_empty()
            {
                let to = kind.predict(&want.want, &from).map_err(failed)?;
                kind.secrets(&to)
                    .iter()
                    .for_each(|s| self.shared.redactor.add(s));
                let key = sight.true_form(&want.key, &from);
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

    /// Why one of the changes cannot be made, where that is known.
    fn hindered(&self, way: &Way, changes: &[ErasedChange]) -> Option<String> {
        let among = |predicted: &[PredictedChange]| {
            let world = Predicted { changes: predicted };
            changes.iter().find_map(|change| {
                let kind = self.shared.registry.find_kind(&change.key.kind)?;
                kind.hinders(change, &world)
            })
        };
        match way {
            Way::Gather(_, overlay) | Way::Predict(overlay) => among(lock(overlay).changes()),
            Way::Apply(_) => among(&[]),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all that is known of the task at this point"
    )]
    async fn carry_out(
        &self,
        prepared: &dyn Prepared,
        reach: &Reach,
        way: &Way,
        sight: &Sight,
        wanted: Wanted,
        changes: &[ErasedChange],
        begun: Begun<'_>,
    ) -> Result<Done, Stopped> {
        let mut before = sight.seen();
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
        let asked = asked_of(sight, &wanted, changes);
        // What was cut off in its midst is carried on to its recorded end, which was approved then.
        if let (Way::Apply(_), Some(approved), None) = (way, self.shared.approved(), begun.cut) {
            let intent = Intent {
                wanted: &wanted,
                changes,
                asked: &asked,
                seen: &sight.read_states(),
            };
            let registry = &self.shared.registry;
            if let Some(why) = approved.objection(registry, self.host, self.node, &intent) {
                return Ok(Done::settled(Settled::drifted(&why)));
            }
        }
        if self.shared.binds() && matches!(way, Way::Predict(_)) {
            let footprint = prepared.touches();
            let bound = Bound {
                hidden: self.hidden,
                ..Bound::of(sight, &wanted, changes, &asked, footprint)
            };
            settled.bound = Some(Arc::new(bound));
        }
        let whole = self.whole(begun.cut, changes);
        let mut records = Vec::with_capacity(whole.len());
        for change in &whole {
            let reversible = self.describe(change, Some(sight), &mut settled);
            records.push(write::record(change, &reversible));
        }
        if begun.cut.is_some() {
            for change in &whole {
                before.insert(change.key.clone(), Known::State(change.change.from.clone()));
            }
        }
        if let Some(diff) = &wanted.diff {
            settled.diff = (!whole.is_empty() || wanted.action.is_some()).then(|| diff.clone());
        }
        if let (Some(why), None) = (self.hindered(way, changes), begun.cut) {
            let mut failed = Settled::failed(why);
            failed.output = wanted.facts;
            failed.assumptions.extend(sight.assumptions());
            return Ok(Done::settled(failed));
        }
        if !whole.is_empty() {
            settled.status = Some(NodeStatus::Changed);
            settled.message = None;
            match way {
                Way::Gather(_, overlay) | Way::Predict(overlay) if self.is_risky(changes) => {
                    settled.risky = true;
                    self.may_be(overlay, changes.iter().map(|c| &c.key));
                    self.stirred(overlay, &wanted.stirs);
                }
                Way::Gather(_, overlay) | Way::Predict(overlay) => {
                    let all = changes
                        .iter()
                        .map(|c| (&c.key, &c.change.from, &c.change.to));
                    self.predict(overlay, all);
                    self.stirred(overlay, &wanted.stirs);
                }
                Way::Apply(journal) if changes.is_empty() => {
                    // The write that was cut off was whole.
                    settled.kept = begun.kept;
                    settled.running = self.running(&whole, false);
                    if begun.cut.is_some_and(|c| c.cut_write().is_some()) {
                        self.written(journal, &settled.kept, None)?;
                    }
                }
                Way::Apply(journal) => {
                    records.truncate(changes.len());
                    let writing = Writing {
                        changes,
                        records,
                        kept: begun.kept,
                        looked_at: before.keys().cloned().collect(),
                    };
                    if let Some(done) = self.write(reach, journal, writing, &mut settled).await? {
                        return Ok(done);
                    }
                }
            }
        }
        if let Some(call) = &wanted.action {
            self.action((call, &wanted.leaves), reach, way, sight, &mut settled)
                .await?;
            if settled.status == Some(NodeStatus::Locked) {
                return Ok(Done::settled(settled));
            }
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
            let written = settled.risky.then(|| {
                let mut written = before.clone();
                let to = |c: &ErasedChange| (c.key.clone(), Known::State(c.change.to.clone()));
                written.extend(changes.iter().map(to));
                Seen(written)
            });
            let seen = Seen(before);
            let (before, after) = (View::new(&seen, self.local), View::new(sight, self.local));
            for (name, value) in prepared.output(&before, &after) {
                settled.output.insert(name, value);
            }
            if let Some(written) = written {
                let output = prepared.output(&before, &View::new(&written, self.local));
                settled.if_written = output.into_keys().collect();
            }
        }
        Ok(Done::settled(settled))
    }

    /// Does one of these changes rest on something that only the run can show, where a failure is passed over?
    fn is_risky(&self, changes: &[ErasedChange]) -> bool {
        let assumes = |change: &ErasedChange| {
            let kind = self.shared.registry.find_kind(&change.key.kind);
            kind.is_some_and(|kind| !kind.assumes(change).is_empty())
        };
        self.ignored && changes.iter().any(assumes)
    }

    /// What a task that was cut off had written stands in its report.
    pub(super) fn tell_of_writes(&self, cut: &Pass, settled: &mut Settled) {
        let whole = self.whole(Some(cut), &[]);
        for change in &whole {
            self.describe(change, None, settled);
            settled.status = Some(NodeStatus::Changed);
        }
        settled.running = self.running(&whole, false);
    }

    async fn action(
        &self,
        (call, leaves): (&ActionCall, &[Left]),
        reach: &Reach,
        way: &Way,
        sight: &Sight,
        settled: &mut Settled,
    ) -> Result<(), Stopped> {
        let Some(kind) = self.shared.registry.find_action(&call.kind) else {
            *settled = Settled::failed(format!("there is no action `{}`", call.kind));
            return Ok(());
        };
        settled.summary.get_or_insert_with(|| call.summary.clone());
        settled.opaque = call.effects == Effects::Opaque;
        if !call.effects.marks().is_empty() {
            settled
                .stays
                .push("what it does is not taken back".to_owned());
        }
        match way {
            Way::Gather(..) => {
                self.everywhere(reach, way, sight, call.effects.marks().to_vec())
                    .await;
                settled.status = Some(if call.changes {
                    NodeStatus::Changed
                } else {
                    NodeStatus::Unknown
                });
            }
            Way::Predict(_) if self.shared.options.looks && call.effects != Effects::Nothing => {
                settled.predicted_action = true;
                settled.opaque = false;
                if settled.status != Some(NodeStatus::Changed) {
                    settled.status = Some(NodeStatus::Skipped);
                    settled.message = Some("an action leaves nothing to be looked at".to_owned());
                }
            }
            Way::Predict(overlay) => {
                let marks = self
                    .everywhere(reach, way, sight, call.effects.marks().to_vec())
                    .await;
                let action = (call, leaves);
                self.predict_action(action, kind.as_ref(), reach, overlay, marks, settled)
                    .await;
            }
            Way::Apply(journal) => {
                if call.effects != Effects::Nothing
                    && let Some(refused) = self.refused(reach).await
                {
                    *settled = refused;
                    return Ok(());
                }
                self.act(call, kind.as_ref(), reach, journal, settled)
                    .await?;
            }
        }
        Ok(())
    }

    /// Why nothing may be written, if another run works there.
    pub(super) async fn refused(&self, reach: &Reach) -> Option<Settled> {
        // What needs no host changes none.
        reach.probe.as_ref()?;
        match self
            .shared
            .gate()?
            .pass(self.host, reach.on.as_deref())
            .await
        {
            Ok(()) => None,
            Err(Refusal::Locked(by)) => Some(Settled::with(NodeStatus::Locked, by.to_string())),
            Err(Refusal::Host(error)) => Some(host_failure(&error)),
        }
    }

    /// Of a task whose outcome is not known: only what it may touch.
    #[must_use]
    pub fn open_bound(&self, prepared: &dyn Prepared) -> Option<Arc<Bound>> {
        self.bound_by(prepared.touches())
    }

    /// The same, of what it may touch.
    pub fn bound_by(&self, footprint: Footprint) -> Option<Arc<Bound>> {
        self.shared.binds().then(|| {
            Arc::new(Bound {
                footprint: Some(footprint),
                hidden: self.hidden,
                ..Bound::default()
            })
        })
    }

    /// Lines, diff, assumptions and the way back of one change.
    fn describe(
        &self,
        change: &ErasedChange,
        sight: Option<&Sight>,
        settled: &mut Settled,
    ) -> Reversible {
        let Some(kind) = self.shared.registry.find_kind(&change.key.kind) else {
            return Reversible::Never("its kind is unknown".to_owned());
        };
        let lines = kind
            .differences(&change.change.want, &change.change.from)
            .unwrap_or_default();
        let texts = (
            kind.text(&change.key, &change.change.from),
            kind.text(&change.key, &change.change.to),
        );
        if self.hidden {
            let both = [&texts.0, &texts.1].into_iter().flatten();
            both.for_each(|text| self.shared.redactor.add(text));
        }
        let part = match texts {
            _ if self.local.values().any(LocalFile::holds_secrets) => {
                format!("{}\n  what a vault holds is not shown\n", change.key)
            }
            (Some(from), Some(to)) if from != to => {
                let clean = |text: &str| self.shared.redactor.clean(text);
                for secret in super::diff::replaced_secrets(&from, &to, &clean) {
                    self.shared.redactor.add(&secret);
                }
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
        if let Some(sight) = sight {
            kind.assumes(change)
                .into_iter()
                .for_each(|what| sight.assume(what));
        }
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
}

/// What a task that was cut off had begun.
struct Begun<'a> {
    cut: Option<&'a Pass>,
    /// What the write that was cut off has put aside.
    kept: Vec<Kept>,
}

/// Whether the task is settled or has to start again.
pub(super) enum Done {
    Settled(Box<Settled>),
    /// Nothing was written, since the state is another.
    Moved(String),
    /// The connection was lost: whether this was written has to be read.
    Cut(Write, HostError),
}

/// Why a write that was cut off could not be brought to where it can be carried on.
pub(super) enum Unrecovered {
    /// The connection was lost once more.
    Lost(Box<Settled>),
    Else(Box<Settled>),
}

impl From<HostError> for Unrecovered {
    fn from(error: HostError) -> Self {
        let settled = Box::new(host_failure(&error));
        match error {
            HostError::Lost(_) => Self::Lost(settled),
            _ => Self::Else(settled),
        }
    }
}

impl Done {
    pub(super) fn settled(settled: Settled) -> Self {
        Self::Settled(Box::new(settled))
    }
}

/// The key of each change as the module asked for it; changes come in the order of what is wanted.
fn asked_of(sight: &Sight, wanted: &Wanted, changes: &[ErasedChange]) -> Vec<Ref> {
    let mut all = wanted.resources.iter();
    let asked = |change: &ErasedChange| {
        all.by_ref()
            .find(|w| {
                w.want == change.change.want
                    && sight.true_form(&w.key, &change.change.from) == change.key
            })
            .map_or_else(|| change.key.clone(), |w| w.key.clone())
    };
    changes.iter().map(asked).collect()
}

pub(super) fn take_outcome(outcome: Outcome, settled: &mut Settled) {
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

/// A host that does not answer, or not any more, stops alone; one that says no fails the task.
#[must_use]
pub fn host_failure(error: &HostError) -> Settled {
    let status = match error {
        HostError::Unreachable(_) | HostError::Lost(_) => NodeStatus::Unreachable,
        _ => NodeStatus::Failed,
    };
    Settled::with(status, error.to_string())
}
