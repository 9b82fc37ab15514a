//! The laws of `engine/src/resource.rs`, each looked at with every case; the eighth is that of modules, which stay within
//! their footprint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use runbook_engine::action::{ActionRun, Effects};
use runbook_engine::module::{Footprint, Mark, Stop, Wanted};
use runbook_engine::registry::{AnyKind, ErasedChange, Registry};
use runbook_engine::resource::{Change, Kept, Ref, Reversible, WriteError};
use runbook_engine::source::{Sources, parse};
use runbook_engine::world::{Known, Lookup, View};
use serde_json::Value as Json;

use crate::case::{Case, Needs};
use crate::rig::{Outside, Rig};

/// A law that something breaks: its number, who, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    pub law: u8,
    pub who: String,
    pub how: String,
}

/// What all cases together have looked at.
#[derive(Debug, Default)]
pub struct Seen {
    pub modules: BTreeSet<String>,
    pub read: BTreeSet<String>,
    pub written: BTreeSet<String>,
    pub restored: BTreeSet<String>,
    pub moved: BTreeSet<String>,
    /// Actions that were carried out.
    pub acted: BTreeSet<String>,
    /// What is not on this machine.
    pub skipped: BTreeSet<Needs>,
}

#[derive(Default)]
struct World(BTreeMap<Ref, Known>);

impl Lookup for World {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        self.0.get(key).cloned()
    }
}

type Changes = Vec<(Arc<dyn AnyKind>, ErasedChange)>;

struct Plan {
    wanted: Wanted,
    changes: Changes,
    /// What `register` would get.
    output: String,
}

struct Trial<'a> {
    registry: &'a Registry,
    case: &'a Case,
    seen: &'a mut Seen,
    breaches: Vec<Breach>,
}

/// Looks at a case with every law; what breaks one.
pub async fn judge(registry: &Registry, case: &Case, seen: &mut Seen) -> Vec<Breach> {
    let mut trial = Trial {
        registry,
        case,
        seen,
        breaches: Vec::new(),
    };
    trial.all().await;
    trial.breaches
}

impl Trial<'_> {
    fn breach(&mut self, law: u8, who: &str, how: impl Into<String>) {
        self.breaches.push(Breach {
            law,
            who: who.to_owned(),
            how: how.into(),
        });
    }

    async fn all(&mut self) {
        let Some(rig) = Rig::new(self.case) else {
            self.seen.skipped.insert(self.case.needs);
            return;
        };
        self.seen.modules.insert(self.case.module.to_owned());
        let before = rig.look(self.case);
        let outside = Outside::look();
        let plan = match self.plan(&rig).await {
            Ok(plan) => plan,
            Err(why) => return self.breach(4, self.case.module, format!("it refuses: {why}")),
        };
        let again = self.plan(&rig).await.map(|p| format!("{:?}", p.wanted));
        if again != Ok(format!("{:?}", plan.wanted)) {
            self.breach(4, self.case.module, "two checks of one state differ");
        }
        if rig.look(self.case) != before {
            self.breach(1, self.case.module, "the check has changed the host");
            return;
        }
        // Others write there, too: only what comes with each check, and not without one, comes from it.
        let mut left = outside.changed();
        for _ in 0..3 {
            if left.is_empty() {
                break;
            }
            let quiet = Outside::look();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let noise = quiet.changed();
            let outside = Outside::look();
            let _ = self.plan(&rig).await;
            let now = outside.changed();
            left.retain(|name| now.contains(name) && !noise.contains(name));
        }
        if !left.is_empty() {
            let how = format!("the check leaves {left:?} outside");
            self.breach(1, self.case.module, how);
        }
        self.shown(&plan);
        for (kind, change) in &plan.changes {
            let to = &change.change.to;
            let twice = kind.predict(&change.change.want, to);
            if kind.differences(&change.change.want, to) != Ok(Vec::new())
                || twice.as_ref() != Ok(to)
            {
                self.breach(2, kind.name(), "wanting what was predicted wants something");
            }
        }
        if plan.changes.is_empty() {
            self.acted(&rig, &plan).await;
            return;
        }
        if !self.case.foreign.is_empty() {
            self.moved().await;
        }
        self.written(&rig, &plan, &before).await;
    }

    /// Reads what the module asks for until it knows what it wants.
    async fn plan(&mut self, rig: &Rig) -> Result<Plan, String> {
        let module = self
            .registry
            .find_module(self.case.module)
            .ok_or("there is no such module")?;
        let sources = Sources::new();
        let file = sources.add("case", rig.fill(self.case.args));
        let nodes = parse(&sources, file).map_err(|e| format!("{e:?}"))?;
        let prepared = module.prepare(&nodes[0]).map_err(|e| format!("{e:?}"))?;
        let local = self.case.local(|text| rig.fill(text));
        let mut world = World::default();
        for _ in 0..10 {
            match prepared.want(&View::new(&world, &local)) {
                Ok(wanted) => {
                    self.within(&prepared.touches(), &world, &wanted);
                    let view = View::new(&world, &local);
                    let output = format!("{:?}", prepared.output(&view, &view));
                    return self.changes(rig, wanted, output, &mut world).await;
                }
                Err(Stop::Need(refs)) => self.read(rig, &refs, &mut world).await?,
                Err(Stop::Refuse(why) | Stop::Unknown(why)) => return Err(why),
            }
        }
        Err("it asks and asks".to_owned())
    }

    async fn read(&mut self, rig: &Rig, refs: &[Ref], world: &mut World) -> Result<(), String> {
        let mut kinds: BTreeMap<&str, Vec<Ref>> = BTreeMap::new();
        for key in refs {
            kinds.entry(&key.kind).or_default().push(key.clone());
        }
        for (name, keys) in kinds {
            let kind = self.registry.find_kind(name);
            let kind = kind.ok_or_else(|| format!("there is no kind {name}"))?;
            self.seen.read.insert(name.to_owned());
            for (key, state) in keys.iter().zip(kind.read(&rig.probe, &keys).await) {
                let known = match state {
                    Ok(state) => Known::State(state),
                    Err(error) => Known::Failed(error.to_string()),
                };
                world.0.insert(key.clone(), known);
            }
        }
        Ok(())
    }

    async fn changes(
        &mut self,
        rig: &Rig,
        wanted: Wanted,
        output: String,
        world: &mut World,
    ) -> Result<Plan, String> {
        let unread: Vec<Ref> = wanted
            .resources
            .iter()
            .map(|r| r.key.clone())
            .filter(|k| world.lookup(k).is_none())
            .collect();
        self.read(rig, &unread, world).await?;
        let mut changes = Vec::new();
        for one in &wanted.resources {
            let kind = self.registry.find_kind(&one.key.kind);
            let kind = kind.ok_or_else(|| format!("there is no kind {}", one.key.kind))?;
            let from = match world.lookup(&one.key) {
                Some(Known::State(from)) => from,
                other => return Err(format!("{} cannot be read: {other:?}", one.key)),
            };
            if kind.differences(&one.want, &from)?.is_empty() {
                continue;
            }
            let change = Change {
                to: kind.predict(&one.want, &from)?,
                from,
                want: one.want.clone(),
            };
            let key = one.key.clone();
            changes.push((kind.clone(), ErasedChange { key, change }));
        }
        Ok(Plan {
            wanted,
            changes,
            output,
        })
    }

    /// Law 8: all that was read and is to be written lies within what the module said beforehand.
    fn within(&mut self, footprint: &Footprint, world: &World, wanted: &Wanted) {
        if footprint.everything {
            return;
        }
        let lies = |key: &Ref, lists: &[&[Mark]]| {
            let here = Mark {
                kind: self.registry.whole_of(&key.kind).to_owned(),
                id: key.id.clone(),
            };
            lists
                .iter()
                .any(|marks| marks.iter().any(|mark| mark.overlaps(&here)))
        };
        let written = wanted.resources.iter().map(|w| &w.key);
        let outside: Vec<String> = written
            .filter(|key| !lies(key, &[&footprint.writes]))
            .chain(
                world
                    .0
                    .keys()
                    .filter(|key| !lies(key, &[&footprint.reads, &footprint.writes])),
            )
            .map(ToString::to_string)
            .collect();
        if !outside.is_empty() {
            let how = format!("its footprint does not name {outside:?}");
            self.breach(8, self.case.module, how);
        }
    }

    /// Law 7: a text that people see shows no secret of the case.
    fn tells(&mut self, who: &str, text: &str) {
        for secret in self.case.secrets {
            if text.contains(secret) {
                self.breach(7, who, format!("it shows {secret}: {text}"));
            }
        }
    }

    /// Law 7 for what a kind says when it does not write. What the engine is told of as secret it masks, but for what is
    /// found in place of a state: that it has never seen.
    fn refuses(&mut self, kind: &dyn AnyKind, changes: &[ErasedChange], error: &WriteError) {
        let mut text = match error {
            WriteError::Moved { what, found } => {
                return self.tells(kind.name(), &format!("{what} {found}"));
            }
            WriteError::Failed { message, left } => format!("{message} {left:?}"),
            WriteError::Host(error) => error.to_string(),
        };
        for change in changes {
            for state in [&change.change.from, &change.change.to] {
                for secret in kind.secrets(state) {
                    text = text.replace(&secret, "***");
                }
            }
        }
        self.tells(kind.name(), &text);
    }

    /// Law 7 for actions: they are carried out, and what they say shows no secret.
    async fn acted(&mut self, rig: &Rig, plan: &Plan) {
        let Some(call) = &plan.wanted.action else {
            return;
        };
        let Some(action) = self.registry.find_action(&call.kind) else {
            return self.breach(4, self.case.module, format!("there is no {}", call.kind));
        };
        if call.effects == Effects::Nothing {
            let said = action.probe(&rig.probe, &call.call).await;
            self.tells(action.name(), &format!("{said:?}"));
        }
        let run = ActionRun {
            run: rig.fill("$NAME"),
            node: "law".to_owned(),
            private: false,
        };
        let outcome = action.run(&rig.target, &call.call, &run).await;
        self.tells(action.name(), &format!("{outcome:?}"));
        if let Err(error) = &outcome {
            self.tells(action.name(), &error.to_string());
        }
        self.seen.acted.insert(action.name().to_owned());
        // The folder of a command goes with its connection.
        rig.connection.close().await;
    }

    /// Law 7: what people see of a plan shows no secret of the case.
    fn shown(&mut self, plan: &Plan) {
        let wanted = &plan.wanted;
        let action = wanted.action.as_ref().map(|a| &a.summary);
        let mut texts = vec![(
            self.case.module.to_owned(),
            format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {action:?} {}",
                wanted.summary,
                wanted.notes,
                wanted.diff,
                wanted.facts,
                wanted.skipped,
                wanted.failed,
                plan.output
            ),
        )];
        for (kind, change) in &plan.changes {
            let (from, to) = (&change.change.from, &change.change.to);
            let mut text = format!("{}", change.key);
            for part in kind
                .differences(&change.change.want, from)
                .unwrap_or_default()
            {
                text.push_str(&part);
            }
            for state in [from, to] {
                let masked = kind.text(&change.key, state).unwrap_or_default();
                // What a kind calls secret is masked wherever it is shown.
                let secrets = kind.secrets(state);
                text.push_str(
                    &secrets
                        .iter()
                        .fold(masked, |t, s| t.replace(s.as_str(), "***")),
                );
            }
            texts.push((kind.name().to_owned(), text));
        }
        for (who, text) in texts {
            self.tells(&who, &text);
        }
    }

    /// Law 6: what somebody else has changed since it was read is not written over.
    async fn moved(&mut self) {
        let Some(rig) = Rig::new(self.case) else {
            return;
        };
        let Ok(plan) = self.plan(&rig).await else {
            return;
        };
        rig.sh(self.case.foreign);
        let before = rig.look(self.case);
        // The first kind that is written: what somebody has changed is of that one.
        if let Some((kind, changes)) = grouped(&plan.changes).into_iter().next() {
            let name = kind.name();
            match kind.write(&rig.target, &changes).await {
                Err(error @ WriteError::Moved { .. }) => {
                    self.refuses(kind.as_ref(), &changes, &error);
                    self.seen.moved.insert(name.to_owned());
                }
                other => {
                    if let Err(error) = &other {
                        self.refuses(kind.as_ref(), &changes, error);
                    }
                    self.breach(
                        6,
                        name,
                        format!("what somebody has changed was not seen: {other:?}"),
                    );
                }
            }
        }
        if rig.look(self.case) != before && !self.breaches.iter().any(|b| b.law == 6) {
            self.breach(
                6,
                self.case.module,
                "it wrote over what somebody has changed",
            );
        }
    }

    /// Laws 3, 4, 2 and 5, in the order in which a write shows them.
    async fn written(&mut self, rig: &Rig, plan: &Plan, before: &str) {
        let mut kept = Vec::new();
        for (kind, changes) in grouped(&plan.changes) {
            let name = kind.name();
            self.seen.written.insert(name.to_owned());
            match kind.write(&rig.target, &changes).await {
                Ok(aside) => kept.extend(aside),
                Err(error) => {
                    self.refuses(kind.as_ref(), &changes, &error);
                    return self.breach(3, name, format!("it cannot be written: {error}"));
                }
            }
            for change in &changes {
                self.agrees(rig, kind.as_ref(), change).await;
            }
        }
        match self.plan(rig).await {
            // Also what it tells of itself afterwards.
            Ok(second) if second.changes.is_empty() => self.shown(&second),
            Ok(second) if self.breaches.is_empty() => {
                let left: Vec<Vec<String>> = second
                    .changes
                    .iter()
                    .map(|(k, c)| {
                        k.differences(&c.change.want, &c.change.from)
                            .unwrap_or_default()
                    })
                    .collect();
                self.breach(
                    2,
                    self.case.module,
                    format!("a second run changes {left:?}"),
                );
            }
            Ok(_) => {}
            Err(why) => self.breach(2, self.case.module, format!("a second run refuses: {why}")),
        }
        if self.breaches.is_empty() {
            self.restored(rig, plan, before, kept).await;
        }
    }

    /// A plan that was made before the change sees it, and one that foretold it is content.
    fn drifted(&mut self, kind: &dyn AnyKind, change: &ErasedChange, read: &Json) {
        let Change { from, to, want } = &change.change;
        for (said, state) in [("it was", from), ("it is", read)] {
            let lines = kind.drifted(&change.key, Some(want), state, state);
            if !lines.is_empty() {
                let how = format!("what {said} differs from itself: {lines:?}");
                self.breach(9, kind.name(), how);
            }
        }
        let lines = kind.drifted(&change.key, Some(want), to, read);
        if !lines.is_empty() {
            let how = format!("it came as predicted and is drift all the same: {lines:?}");
            self.breach(9, kind.name(), how);
        }
        let lines = kind.drifted(&change.key, None, from, read);
        if lines.is_empty() {
            self.breach(9, kind.name(), "what a change has changed is no drift");
        }
        for secret in self.case.secrets {
            if lines.iter().any(|line| line.contains(secret)) {
                self.breach(7, kind.name(), format!("drift shows {secret}"));
            }
        }
    }

    async fn agrees(&mut self, rig: &Rig, kind: &dyn AnyKind, change: &ErasedChange) {
        let begin = Instant::now();
        let deadline = kind.deadline(&change.key, &change.change.want);
        loop {
            let read = kind
                .read(&rig.probe, std::slice::from_ref(&change.key))
                .await;
            let read = match read.into_iter().next() {
                Some(Ok(read)) => read,
                other => {
                    return self.breach(
                        3,
                        kind.name(),
                        format!("not read after a write: {other:?}"),
                    );
                }
            };
            let left = kind.differences(&change.change.want, &read);
            if left == Ok(Vec::new()) {
                let (came, said) = (
                    kind.text(&change.key, &read),
                    kind.text(&change.key, &change.change.to),
                );
                if came != said {
                    self.breach(
                        4,
                        kind.name(),
                        format!("predicted {said:?}, and it came to {came:?}"),
                    );
                }
                if self.breaches.is_empty() {
                    self.drifted(kind, change, &read);
                }
                return;
            }
            if begin.elapsed() >= deadline {
                return self.breach(3, kind.name(), format!("after the write it lacks {left:?}"));
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Law 5: where a kind says that a change can be wholly taken back, and how, it is as before then. So it is when
    /// also what was kept aside on the way there and back is discarded, as `runbook close` does.
    async fn restored(&mut self, rig: &Rig, plan: &Plan, before: &str, mut kept: Vec<Kept>) {
        let mut back: Changes = Vec::new();
        for (kind, change) in plan.changes.iter().rev() {
            if !matches!(
                kind.reversible(change),
                Reversible::Yes | Reversible::Stays(_)
            ) {
                return;
            }
            let Some(want) = kind.back(change) else {
                return;
            };
            let read = kind
                .read(&rig.probe, std::slice::from_ref(&change.key))
                .await;
            let Some(Ok(from)) = read.into_iter().next() else {
                return self.breach(5, kind.name(), "what was written cannot be read");
            };
            let to = kind.predict(&want, &from).unwrap_or(Json::Null);
            let key = change.key.clone();
            let change = Change { from, to, want };
            back.push((kind.clone(), ErasedChange { key, change }));
        }
        for (kind, changes) in grouped(&back) {
            match kind.write(&rig.target, &changes).await {
                Ok(aside) => kept.extend(aside),
                Err(error) => {
                    let how = format!("it cannot be written back: {error}");
                    return self.breach(5, kind.name(), how);
                }
            }
            for change in &changes {
                self.agrees(rig, kind.as_ref(), change).await;
            }
            self.seen.restored.insert(kind.name().to_owned());
        }
        for aside in &kept {
            let Some(kind) = self.registry.find_kind(&aside.kind) else {
                return self.breach(5, &aside.kind, "what was kept is of no kind that there is");
            };
            if let Err(error) = kind.discard(&rig.target, aside).await {
                let how = format!("what was kept aside cannot be discarded: {error}");
                return self.breach(5, kind.name(), how);
            }
        }
        let after = rig.look(self.case);
        if after != before {
            let who = back.first().map_or(self.case.module, |(k, _)| k.name());
            self.breach(5, who, format!("not as before:\n{before}\nbut\n{after}"));
        }
    }
}

/// Changes of one kind that follow each other are one write.
fn grouped(changes: &Changes) -> Vec<(Arc<dyn AnyKind>, Vec<ErasedChange>)> {
    let mut groups: Vec<(Arc<dyn AnyKind>, Vec<ErasedChange>)> = Vec::new();
    for (kind, change) in changes {
        match groups.last_mut() {
            Some((last, list)) if last.name() == kind.name() => list.push(change.clone()),
            _ => groups.push((kind.clone(), vec![change.clone()])),
        }
    }
    groups
}
