//! The way back over the hosts: the steps of a site one after the other, sites side by side, handlers at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::join_all;
use indexmap::IndexMap;

use super::aside::{self, Aside, Whereabouts};
use super::back::{Back, Within};
use super::choice::Choice;
use super::remaining::Remaining;
use super::steps::{Did, Step};
use super::wait::Found;
use crate::compile::program::Program;
use crate::host::HostError;
use crate::journal::{ChangeRecord, Journal, NodeStatus, Record};
use crate::module::{LocalFiles, Mark};
use crate::registry::ErasedChange;
use crate::resource::Ref;
use crate::run::Job;
use crate::run::copies;
use crate::run::event::{Event, Place, Sink, TaskReport, now};
use crate::run::flight::Begun;
use crate::run::hosts::{Link, Overlays};
use crate::run::machine::Sight;
use crate::run::past::{Cursor, Pass};
use crate::run::settle::{Reach, Settle, Settled, Stopped, Way as SettleWay, host_failure};
use crate::run::shared::Shared;
use crate::run::state::States;
use crate::run::walk::{Walk, Way};
use crate::value::{MASK, Value};

/// The handlers that are run once what notified them has been taken back.
pub struct Handlers {
    /// The playbooks of the run, as they were; absent where they are not at hand, and no handler is run.
    pub program: Option<Arc<Program>>,
    /// Names that were notified, by host and node of the run.
    pub notified: BTreeMap<(String, String), Vec<String>>,
}

/// A run that is taken back.
pub struct Rollback {
    /// What its walks share.
    pub shared: Arc<Shared>,
    /// Id of the run.
    pub of: String,
    /// What is taken back, newest first ([`Choice::of`]).
    pub steps: Vec<Step>,
    /// What a person asked for.
    pub choice: Choice,
    /// Its handlers.
    pub handlers: Handlers,
    /// What the run has begun on the hosts, and may still run there.
    pub begun: Vec<Begun>,
    /// Rollbacks of the run that were cut off: this one takes their place.
    pub earlier: Vec<String>,
}

/// One walk over the steps.
pub(super) struct Course<'a> {
    pub(super) rollback: &'a Rollback,
    pub(super) way: Way,
    overlays: Arc<Overlays>,
    pub(super) sink: Arc<dyn Sink>,
    /// How the commands of the run were found, by host and node of the run.
    pub(super) found: Mutex<BTreeMap<(String, String), Found>>,
    /// What has gone back so far, by machine.
    gone: Mutex<BTreeMap<String, Arc<Mutex<BTreeSet<Ref>>>>>,
    /// What has been left so far, by machine.
    left: Mutex<BTreeMap<String, BTreeSet<Ref>>>,
    /// Handlers to run, by host.
    notified: Mutex<BTreeMap<String, Vec<String>>>,
    /// What was done before this rollback was cut off.
    cursor: Option<Arc<Cursor>>,
}

/// How far a step came before the rollback was cut off.
enum Before {
    Done,
    Begun(Option<Pass>),
}

/// What was read before the first step of a site, by host.
#[derive(Default)]
struct Ahead {
    /// By step: what one task has made, another one may only have changed.
    within: BTreeMap<(String, String), Within>,
    asides: BTreeMap<String, Vec<Aside>>,
}

impl Ahead {
    /// What the step had put aside, and what has become of it.
    fn asides(&self, step: &Step) -> Vec<Aside> {
        let found = self.asides.get(acting(step)).into_iter().flatten();
        let of_step = found.filter(|aside| step.kept.contains(&aside.kept));
        let closed = step.closed.iter().map(|kept| Aside {
            kept: kept.clone(),
            is: Whereabouts::Closed,
        });
        of_step.cloned().chain(closed).collect()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host that a step was done on.
fn acting(step: &Step) -> &str {
    step.on.as_deref().unwrap_or(&step.host)
}

impl Rollback {
    pub(super) fn site_of(&self, host: &str) -> String {
        let site = self.shared.hosts.sites.get(host);
        site.cloned().unwrap_or_else(|| host.to_owned())
    }

    async fn walk(&self, way: Way, sink: Arc<dyn Sink>) -> Result<(), Stopped> {
        let course = Course {
            rollback: self,
            way,
            overlays: Arc::default(),
            sink,
            found: Mutex::default(),
            gone: Mutex::default(),
            left: Mutex::default(),
            notified: Mutex::default(),
            cursor: self.shared.cursor(),
        };
        let mut sites: IndexMap<String, Vec<&Step>> = IndexMap::new();
        for step in &self.steps {
            sites
                .entry(self.site_of(&step.host))
                .or_default()
                .push(step);
        }
        let walks = sites.iter().map(|(site, steps)| async {
            let _turn = self.shared.turn().await;
            course.site(site, steps).await
        });
        for outcome in join_all(walks).await {
            outcome?;
        }
        course.run_handlers().await
    }

    /// Reads, in a few batches, what all steps of a site will ask for, what lies within things that the run made, and what
    /// has become of what it put aside.
    async fn look_ahead(&self, steps: &[&Step]) -> Ahead {
        let mut keys: BTreeMap<(String, Option<String>), Vec<(&str, &ChangeRecord)>> =
            BTreeMap::new();
        for step in steps {
            if let Did::Changes(changes) = &step.did {
                let place = (acting(step).to_owned(), step.user.clone());
                let of_step = changes.iter().map(|change| (step.node.as_str(), change));
                keys.entry(place).or_default().extend(of_step);
            }
        }
        let reads = keys.into_iter().map(|((host, user), records)| async move {
            // A host that cannot be reached says so at its first step.
            let Ok(link) = self.shared.fleet.link(&host).await else {
                return (host, BTreeMap::new());
            };
            let user = link.user(user.as_deref());
            let probe = link.probe.with_user(user.clone());
            let sight = Sight::new(
                self.shared.registry.clone(),
                link.base.clone(),
                None,
                link.seer(user),
            );
            let keys: Vec<Ref> = records.iter().map(|(_, r)| r.key.clone()).collect();
            let _ = sight.read(&probe, &keys).await;
            let mut within: BTreeMap<String, Within> = BTreeMap::new();
            let mut by_kind: BTreeMap<&str, (Vec<&str>, Vec<ErasedChange>)> = BTreeMap::new();
            for (node, record) in records {
                let (nodes, changes) = by_kind.entry(&record.key.kind).or_default();
                nodes.push(node);
                changes.push(record.erased());
            }
            for (name, (nodes, changes)) in by_kind {
                let Some(kind) = self.shared.registry.find_kind(name) else {
                    continue;
                };
                let found = kind.within(&probe, &changes).await;
                for ((node, change), inside) in nodes.into_iter().zip(&changes).zip(found) {
                    let inside = inside.map_err(|e: HostError| e.to_string());
                    if !matches!(&inside, Ok(keys) if keys.is_empty()) {
                        let of_step = within.entry(node.to_owned()).or_default();
                        of_step.insert(change.key.clone(), inside);
                    }
                }
            }
            (host, within)
        });
        let mut by_host: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
        for step in steps {
            by_host.entry(acting(step)).or_default().push(step);
        }
        let looks = by_host.into_iter().map(|(host, steps)| async move {
            let asides = match self.shared.fleet.link(host).await {
                Ok(link) => aside::look(&self.shared.registry, &link, &steps).await,
                Err(_) => Vec::new(),
            };
            (host.to_owned(), asides)
        });
        let (read, looked) = tokio::join!(join_all(reads), join_all(looks));
        let mut ahead = Ahead {
            asides: looked.into_iter().collect(),
            ..Ahead::default()
        };
        for (host, within) in read {
            for (node, within) in within {
                let of_step = ahead.within.entry((host.clone(), node)).or_default();
                of_step.extend(within);
            }
        }
        ahead
    }
}

impl Rollback {
    /// What is not as it was before the run, a line each, also of what was done before this rollback was cut off.
    fn left(&self, told: &Remaining) -> Vec<String> {
        let (mut before, mut now) = (Vec::new(), Vec::new());
        for step in &self.steps {
            let past = self.shared.past.as_ref();
            match past.and_then(|past| past.ended(&step.host, &step.node)) {
                Some(NodeStatus::Left) => {
                    self.shared.leave();
                    let task = self.shared.told(&step.task);
                    before.push(format!(
                        "{}: {task}: was left before this went on",
                        step.host
                    ));
                }
                Some(NodeStatus::Ok | NodeStatus::Changed | NodeStatus::Skipped) => {}
                _ => now.push(step.clone()),
            }
        }
        before.extend(told.left(&now));
        before
    }
}

#[async_trait]
impl Job for Rollback {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn hosts(&self) -> BTreeSet<String> {
        self.steps.iter().map(|step| step.host.clone()).collect()
    }

    async fn predict(&self, sink: Arc<dyn Sink>) -> Result<(), Stopped> {
        self.walk(Way::Predict, sink).await
    }

    async fn carry_out(&self, journal: Arc<Journal>, sink: Arc<dyn Sink>) -> Result<(), Stopped> {
        let by = &self.shared.run;
        for host in self.hosts() {
            journal.append(&self.of, &host, "", &Record::TakenBack { by: by.clone() })?;
        }
        if self.shared.is_back() {
            // The run around it tells what is left.
            return self.walk(Way::Apply(journal), sink).await;
        }
        let told = Arc::new(Remaining::telling(sink.clone()));
        self.walk(Way::Apply(journal), told.clone()).await?;
        // A run that was cut off has left copies of its journal; nobody goes on with it now.
        let hosts = self.steps.iter().map(|step| acting(step).to_owned());
        let hosts: BTreeSet<String> = hosts.collect();
        for run in self.earlier.iter().chain([&self.of]) {
            copies::remove(&self.shared.fleet, run, hosts.iter().cloned()).await;
        }
        let left = self.left(&told);
        if !left.is_empty() {
            sink.event(Event::RollbackFinished {
                run: by.clone(),
                takes_back: self.of.clone(),
                play: None,
                hosts: self.hosts().into_iter().collect(),
                left,
                at: now(),
            });
        }
        Ok(())
    }
}

impl Course<'_> {
    /// The steps of one site. After a failure nothing more of the site goes back: what came before rests on it.
    async fn site(&self, site: &str, steps: &[&Step]) -> Result<(), Stopped> {
        let mut failed: Option<&str> = None;
        // What a command of the run does from now on would be done to what was taken back.
        let mut in_the_way = self.wait(site).await.err();
        let ahead = match &in_the_way {
            Some(_) => Ahead::default(),
            None => self.rollback.look_ahead(steps).await,
        };
        for (at, step) in steps.iter().enumerate() {
            if self.rollback.shared.interrupted() {
                break;
            }
            let start = now();
            let settled = match failed {
                Some(task) => Settled {
                    status: Some(NodeStatus::Skipped),
                    notes: vec![format!("not taken back, since \"{task}\" was not")],
                    ..Settled::default()
                },
                None => match self.before(step) {
                    Before::Done => continue,
                    Before::Begun(cut) => match in_the_way.take() {
                        Some(settled) => *settled,
                        None => self.step(&steps[at..], cut, &ahead).await?,
                    },
                },
            };
            if matches!(
                settled.status,
                Some(NodeStatus::Failed | NodeStatus::Unreachable | NodeStatus::Locked)
            ) {
                failed = Some(&step.task);
            }
            self.finish(step, settled, &start)?;
        }
        Ok(())
    }

    /// How far the step came before this rollback was cut off.
    fn before(&self, step: &Step) -> Before {
        let Some(cursor) = &self.cursor else {
            return Before::Begun(None);
        };
        match cursor.next(&step.host, &step.node, true, |_| false) {
            Some(pass) if pass.end.is_some() => {
                let notifies = pass.end.is_some_and(|end| {
                    end.status == NodeStatus::Changed || !end.notified.is_empty()
                });
                if notifies {
                    self.notify(step);
                }
                Before::Done
            }
            cut => Before::Begun(cut),
        }
    }

    /// The first of these steps; the others, which are older, follow it.
    async fn step(
        &self,
        steps: &[&Step],
        cut: Option<Pass>,
        ahead: &Ahead,
    ) -> Result<Settled, Stopped> {
        let [step, older @ ..] = steps else {
            return Ok(Settled::default());
        };
        let shared = &self.rollback.shared;
        let changes = match &step.did {
            Did::Changes(changes) => changes,
            Did::Action(call) => {
                return Ok(Settled {
                    status: Some(NodeStatus::Skipped),
                    notes: vec![format!("{}: {}", self.what_became_of(step), call.summary)],
                    ..Settled::default()
                });
            }
        };
        let link = match shared.fleet.link(acting(step)).await {
            Ok(link) => link,
            Err(error) => return Ok(host_failure(&error)),
        };
        let reach = self.reach(step, &link);
        let gone = lock(&self.gone)
            .entry(link.machine.clone())
            .or_default()
            .clone();
        let nothing = Within::new();
        let here = (acting(step).to_owned(), step.node.clone());
        let keys: BTreeSet<&Ref> = changes.iter().map(|c| &c.key).collect();
        let earlier: Vec<&ChangeRecord> = older
            .iter()
            .filter(|other| acting(other) == acting(step))
            .flat_map(|other| match &other.did {
                Did::Changes(changes) => changes.as_slice(),
                Did::Action(_) => &[],
            })
            .filter(|change| keys.contains(&change.key))
            .collect();
        let asides = ahead.asides(step);
        let steps_here = self.rollback.steps.iter();
        let steps_here = steps_here.filter(|other| acting(other) == acting(step));
        let made: Vec<Mark> = steps_here.flat_map(Step::made).collect();
        let left = lock(&self.left)
            .get(&link.machine)
            .cloned()
            .unwrap_or_default();
        let leaves = Mutex::default();
        let back = Back {
            registry: &shared.registry,
            changes,
            choice: &self.rollback.choice,
            within: ahead.within.get(&here).unwrap_or(&nothing),
            gone: &gone,
            made: &made,
            earlier: &earlier,
            asides: &asides,
            left: &left,
            leaves: &leaves,
        };
        let way = match &self.way {
            Way::Apply(journal) => {
                self.sink.event(Event::TaskStarted {
                    host: step.host.clone(),
                    task: shared.redactor.clean(&step.task),
                    at: now(),
                });
                SettleWay::Apply(journal.clone())
            }
            _ => SettleWay::Predict(self.overlays.of(&link.machine)),
        };
        let local = LocalFiles::default();
        let settle = Settle {
            shared,
            cut,
            host: &step.host,
            node: &step.node,
            task: &step.task,
            local: &local,
            hidden: step.hidden,
            ignored: false,
        };
        let mut settled = settle.settle(&back, &reach, &way).await?;
        let leaves = std::mem::take(&mut *lock(&leaves));
        if settled.status == Some(NodeStatus::Ok) && self.has_left(step, &settled) {
            settled.status = Some(NodeStatus::Left);
        }
        let mut left = lock(&self.left);
        left.entry(link.machine.clone()).or_default().extend(leaves);
        drop(left);
        if settled.status == Some(NodeStatus::Changed) {
            lock(&gone).extend(changes.iter().map(|c| c.key.clone()));
            self.notify(step);
        }
        Ok(settled)
    }

    fn reach(&self, step: &Step, link: &Link) -> Reach {
        let user = link.user(step.user.as_deref());
        Reach {
            base: link.base.clone(),
            probe: Some(link.probe.with_user(user.clone())),
            user: link.seer(user),
            on: step.on.clone(),
        }
    }

    fn notify(&self, step: &Step) {
        let names = self.notified_by(step);
        let mut notified = lock(&self.notified);
        let of_host = notified.entry(step.host.clone()).or_default();
        for name in names {
            if !of_host.contains(name) {
                of_host.push(name.clone());
            }
        }
    }

    /// The handlers that a step notified, and notifies again when it is taken back.
    fn notified_by(&self, step: &Step) -> &[String] {
        let place = (step.host.clone(), step.node.clone());
        let names = self.rollback.handlers.notified.get(&place);
        names.map_or(&[], Vec::as_slice)
    }

    async fn run_handlers(&self) -> Result<(), Stopped> {
        let notified = std::mem::take(&mut *lock(&self.notified));
        let Some(program) = &self.rollback.handlers.program else {
            return Ok(());
        };
        if notified.is_empty() || self.rollback.shared.interrupted() {
            return Ok(());
        }
        let walk = Walk {
            shared: self.rollback.shared.clone(),
            way: self.way.clone(),
            states: States::default(),
            overlays: self.overlays.clone(),
            sink: self.sink.clone(),
            lookahead: Arc::default(),
            play: None,
            foretells: false,
            cursor: self.cursor.clone(),
        };
        walk.handlers_of(program, &notified).await
    }

    /// Was something of it to go back, and was left? What a person has named with `--past` was not to go back.
    fn has_left(&self, step: &Step, settled: &Settled) -> bool {
        let some = |name: &str| matches!(settled.output.get(name), Some(Value::Int(n)) if *n > 0);
        some("left") || (some("never") && !self.rollback.choice.past.contains(&step.task))
    }

    /// Reports and journals one step.
    fn finish(&self, step: &Step, settled: Settled, start: &str) -> Result<(), Stopped> {
        let shared = &self.rollback.shared;
        let status = settled.status.unwrap_or(NodeStatus::Ok);
        if let Way::Apply(journal) = &self.way
            && status != NodeStatus::Locked
        {
            // What was left of it makes it one that is not back, whatever else of it is.
            let in_journal = match status {
                NodeStatus::Changed if self.has_left(step, &settled) => NodeStatus::Left,
                status => status,
            };
            // Whoever takes this rollback back runs them, too.
            let notified = match status {
                NodeStatus::Changed => self.notified_by(step).to_vec(),
                _ => Vec::new(),
            };
            let record = Record::NodeFinished {
                task: step.task.clone(),
                status: in_journal,
                register: None,
                facts: BTreeMap::new(),
                notified,
                result: None,
                drifted: false,
                skipped: None,
            };
            journal.append(&shared.run, &step.host, &step.node, &record)?;
            shared.kept(&settled.kept);
            shared.running(acting(step), &step.task, &settled.running);
        }
        let clean = |text: &str| match step.hidden {
            true => MASK.to_owned(),
            false => shared.told(text),
        };
        let all = |texts: &[String]| texts.iter().map(|t| clean(t)).collect::<Vec<_>>();
        let already = settled.output.get("already");
        let summary = match (status, already) {
            (NodeStatus::Ok, Some(Value::Int(n))) if *n > 0 && settled.notes.is_empty() => {
                Some("is as it was before the run".to_owned())
            }
            _ => settled.summary.as_deref().map(clean),
        };
        let report = TaskReport {
            host: step.host.clone(),
            site: shared.hosts.sites.get(&step.host).cloned(),
            play: format!("Rollback of {}", self.rollback.of),
            task: shared.told(&step.task),
            node: step.node.clone(),
            module: "rollback".to_owned(),
            item: None,
            handler: false,
            status,
            ignored: false,
            rescued: false,
            changes: all(&settled.changes),
            diff: settled.diff.as_deref().map(clean),
            summary,
            message: settled.message.as_deref().map(clean),
            // They name resources and say what becomes of them, never what is in them.
            notes: settled.notes.iter().map(|n| shared.told(n)).collect(),
            assumptions: all(&settled.assumptions),
            irreversible: all(&settled.irreversible),
            stays: Vec::new(),
            drifted: settled.drifted,
            left: self.has_left(step, &settled),
            opaque: false,
            output: IndexMap::new(),
            place: Place::default(),
            start: start.to_owned(),
            end: now(),
            bound: settled.bound.clone(),
        };
        self.sink.event(Event::TaskFinished(Box::new(report)));
        Ok(())
    }
}
