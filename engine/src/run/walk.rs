//! The walk over a program: lists, blocks, includes and handlers, on every host, in every way.
//!
//! The same walk gathers what has to be read, predicts, and does: the ways differ only where a task is settled
//! ([`super::settle`]). So a check cannot take another path than the run.
//!
//! Hosts of a group keep the written order: a task is done on all of them before the next begins. Groups (sites) never
//! wait for each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt, join_all};
use indexmap::IndexMap;

use super::before::Lookahead;
use super::collect::Collected;
use super::event::{Event, Sink};
use super::hosts::Overlays;
use super::past::Cursor;
use super::settle::Stopped;
use super::shared::Shared;
use super::state::States;
use super::touched::Set;
use crate::compile::program::{
    Block, Common, Group, Include, Item, Layer, Meta, MetaAction, Play, Program, Task,
};
use crate::host::User;
use crate::journal::{Journal, NodeStatus};
use crate::resource::Ref;
use crate::value::Value;

/// The way a walk is made.
#[derive(Clone)]
pub enum Way {
    /// Collects what has to be read, by host and user.
    Gather(Arc<Mutex<BTreeMap<(String, User), Vec<Ref>>>>),
    /// Predicts.
    Predict,
    /// Does it.
    Apply(Arc<Journal>),
}

/// One walk.
#[derive(Clone)]
pub struct Walk {
    /// What all walks of a run share.
    pub shared: Arc<Shared>,
    /// How it is made.
    pub way: Way,
    /// Variables, failures and pending handlers of the hosts.
    pub states: States,
    /// What is predicted.
    pub overlays: Arc<Overlays>,
    /// Who hears of it.
    pub sink: Arc<dyn Sink>,
    /// Answers of predictions made along the way for `before`.
    pub lookahead: Arc<Lookahead>,
    /// The play that is being walked.
    pub play: Option<Arc<Play>>,
    /// It is a prediction for people: what a `rescue` would do is told, too.
    pub foretells: bool,
    /// How far the walk has come in what the run did before, where the run goes on.
    pub cursor: Option<Arc<Cursor>>,
}

/// The hosts that a list of items is for.
#[derive(Clone)]
pub struct Here {
    /// All hosts of the group.
    pub group: Arc<Group>,
    /// A failure of one stops all.
    pub fatal: bool,
    /// Layers that an include put over everything in it.
    pub layers: Vec<Layer>,
    /// Failures in here are collected for the end of a block.
    pub collected: Option<Arc<Collected>>,
    /// A block around has a `rescue`: a failure is not the run's.
    pub rescued: bool,
}

impl Walk {
    /// A walk of its own over the same program, from the same variables, in which nothing is done.
    #[must_use]
    pub fn fork(&self, way: Way, sink: Arc<dyn Sink>) -> Self {
        Self {
            way,
            sink,
            states: self.states.fork(),
            overlays: Arc::new(self.overlays.fork()),
            lookahead: Arc::new(Lookahead::default()),
            foretells: false,
            cursor: self.cursor.as_ref().map(|c| Arc::new(c.fork())),
            ..self.clone()
        }
    }

    /// Is it a prediction (or the gathering for one)?
    #[must_use]
    pub fn predicts(&self) -> bool {
        !matches!(self.way, Way::Apply(_))
    }

    /// All plays, one after the other.
    pub async fn program(&self, program: &Program) -> Result<(), Stopped> {
        for play in &program.plays {
            self.clone().one_play(play).await?;
        }
        Ok(())
    }

    /// One play: its groups side by side.
    pub async fn one_play(mut self, play: &Arc<Play>) -> Result<(), Stopped> {
        self.play = Some(play.clone());
        let hosts: Vec<String> = play.groups.iter().flat_map(|g| g.hosts.clone()).collect();
        self.sink.event(Event::PlayStarted {
            play: play.name.clone(),
            hosts: hosts.clone(),
            goes_back: play.goes_back,
        });
        if play.uses_facts {
            self.gather_facts(&hosts).await;
        }
        let groups = groups_of(play);
        let walks = groups.iter().map(|here| self.group(play, here));
        for outcome in join_all(walks).await {
            outcome?;
        }
        groups.iter().for_each(|here| self.tell_of_stopped(here));
        for host in &hosts {
            self.states.with(host, |h| h.ended = false);
        }
        Ok(())
    }

    /// Only the handlers of the plays, as if tasks had notified them.
    pub async fn handlers_of(
        &self,
        program: &Program,
        notified: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), Stopped> {
        for (host, names) in notified {
            self.states.with(host, |state| {
                state.notified = names.iter().map(|n| (n.clone(), true)).collect();
            });
        }
        for play in &program.plays {
            let walk = Self {
                play: Some(play.clone()),
                ..self.clone()
            };
            let hosts: Vec<String> = play.groups.iter().flat_map(|g| g.hosts.clone()).collect();
            let hosts: Vec<String> = hosts
                .into_iter()
                .filter(|h| notified.contains_key(h))
                .collect();
            if play.uses_facts {
                walk.gather_facts(&hosts).await;
            }
            let groups = groups_of(play);
            let walks = groups.iter().map(|here| walk.handlers(play, here));
            for outcome in join_all(walks).await {
                outcome?;
            }
        }
        Ok(())
    }

    async fn group(&self, play: &Play, here: &Here) -> Result<(), Stopped> {
        for section in &play.sections {
            self.items(section, &here.group.hosts, here).await?;
            self.handlers(play, here).await?;
        }
        self.on_fail(here).await
    }

    /// The hosts of a site stop together: who would look for the rest is told where it went.
    fn tell_of_stopped(&self, here: &Here) {
        let out = |host: &String| self.states.with(host, |s| s.out);
        let why = here.group.hosts.iter().find_map(|h| Some((h, out(h)?)));
        let (true, Some((host, status))) = (here.fatal, why) else {
            return;
        };
        let others = here.group.hosts.iter().filter(|h| out(h).is_none());
        let others: Vec<&str> = others.map(String::as_str).collect();
        if others.is_empty() {
            return;
        }
        // In the plays that follow, too.
        for host in &others {
            self.states
                .with(host, |s| s.out = Some(NodeStatus::Skipped));
        }
        let how = match status {
            NodeStatus::Unreachable => "could not be reached",
            NodeStatus::Locked => "is locked",
            _ => "has failed",
        };
        self.sink.event(Event::Warning {
            host: None,
            message: format!(
                "{host} {how}, so nothing more is done on {}, which belong together with it",
                others.join(", ")
            ),
        });
    }

    /// A list of items on these hosts, in order.
    pub fn items<'a>(
        &'a self,
        items: &'a [Item],
        hosts: &'a [String],
        here: &'a Here,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        async move {
            for item in items {
                if self.stops(here) {
                    break;
                }
                let active: Vec<String> = hosts
                    .iter()
                    .filter(|h| self.states.goes_on(h))
                    .cloned()
                    .collect();
                if active.is_empty() {
                    break;
                }
                self.item(item, &active, here).await?;
            }
            Ok(())
        }
        .boxed()
    }

    /// Does nothing new start in this group: a host of it failed, or the run is being interrupted?
    fn stops(&self, here: &Here) -> bool {
        self.shared.interrupted()
            || (here.fatal
                && here
                    .group
                    .hosts
                    .iter()
                    .any(|h| self.states.with(h, |s| s.out.is_some())))
    }

    /// One item on these hosts.
    pub fn item<'a>(
        &'a self,
        item: &'a Item,
        hosts: &'a [String],
        here: &'a Here,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        async move {
            let common = item.common();
            let hosts: Vec<String> = hosts
                .iter()
                .filter(|h| common.hosts.as_ref().is_none_or(|only| only.contains(*h)))
                .cloned()
                .collect();
            if hosts.is_empty() {
                return Ok(());
            }
            match item {
                Item::Task(task) if common.selected => self.task(task, &hosts, here).await,
                Item::Include(include) if common.selected => {
                    self.include(include, &hosts, here).await
                }
                Item::Meta(meta) if common.selected => self.meta(meta, &hosts, here).await,
                Item::Block(block) => self.block(block, &hosts, here).await,
                _ => Ok(()),
            }
        }
        .boxed()
    }

    /// A task on its hosts: on different machines side by side; on one machine, also where several hosts delegate to it, one
    /// after the other, as a check walks them, unless it writes nothing.
    async fn task(&self, task: &Arc<Task>, hosts: &[String], here: &Here) -> Result<(), Stopped> {
        if task.common.run_once {
            let Some(first) = hosts.first() else {
                return Ok(());
            };
            self.task_on(task, first, here).await?;
            self.share_register(task, first, hosts);
            return Ok(());
        }
        let all = self.by_machine(task, hosts, here).map(|hosts| async move {
            for host in hosts {
                let _turn = self.shared.turn().await;
                self.task_on(task, host, here).await?;
            }
            Ok::<(), Stopped>(())
        });
        for outcome in join_all(all).await {
            outcome?;
        }
        Ok(())
    }

    /// The hosts of a task by the machine that it works on, as far as that is known before it is connected.
    fn by_machine<'h>(
        &self,
        task: &Task,
        hosts: &'h [String],
        here: &Here,
    ) -> impl Iterator<Item = Vec<&'h String>> + use<'h> {
        let mut machines: IndexMap<String, Vec<&String>> = IndexMap::new();
        for host in hosts {
            let to = task.delegate_to.as_ref().and_then(|to| {
                let frame = self.frame(host, here, &task.common.layers, &[]);
                frame.text(to).ok()
            });
            let acting = to.as_ref().unwrap_or(host);
            let machine = self.shared.fleet.machine_of(acting);
            let machine = machine.unwrap_or_else(|| acting.clone());
            machines.entry(machine).or_default().push(host);
        }
        // Who only looks, or waits, is in nobody's way.
        let writes = |host: &&String| {
            let footprint = self.touched(task, host, here, &Set::Names(BTreeSet::new()));
            footprint.everything || !footprint.writes.is_empty()
        };
        let in_order = |hosts: Vec<&'h String>| match hosts.len() > 1 && !hosts.iter().any(writes) {
            true => hosts.into_iter().map(|host| vec![host]).collect(),
            false => vec![hosts],
        };
        let groups: Vec<Vec<&String>> = machines.into_values().flat_map(in_order).collect();
        groups.into_iter()
    }

    /// What `run_once` registered on one host holds for all.
    fn share_register(&self, task: &Task, from: &str, hosts: &[String]) {
        if let Some(name) = &task.register
            && let Some(value) = self.states.var(from, name)
        {
            for host in hosts.iter().filter(|h| *h != from) {
                self.states
                    .with(host, |h| h.vars.insert(name.clone(), value.clone()));
            }
        }
    }

    async fn block(
        &self,
        block: &Arc<Block>,
        hosts: &[String],
        here: &Here,
    ) -> Result<(), Stopped> {
        // Fatal failures are the block's to rescue before they are the group's.
        let collected = block
            .collect_failures
            .then(|| Arc::new(Collected::default()));
        let within = Here {
            rescued: here.rescued || !block.rescue.is_empty(),
            collected: collected.clone().or_else(|| {
                // What a block rescues is not the business of a block around it.
                here.collected.clone().filter(|_| block.rescue.is_empty())
            }),
            ..here.clone()
        };
        let anew = |walk: &Self| walk.cursor.as_ref().map(|c| c.done_anew(hosts));
        let before = anew(self);
        let rescue = (self.foretells && !block.rescue.is_empty())
            .then(|| self.rescue_foreteller(block, hosts, here));
        if block.parallel {
            self.parallel(block, hosts, &within).await?;
        } else {
            self.items(&block.items, hosts, &within).await?;
        }
        if let Some(collected) = collected {
            for host in hosts.iter().filter(|h| collected.has(h)) {
                match &here.collected {
                    Some(outer) if block.rescue.is_empty() => outer.failed(host, "", None),
                    _ => self
                        .states
                        .with(host, |s| s.out = s.out.or(Some(NodeStatus::Failed))),
                }
            }
        }
        let failed: Vec<String> = hosts
            .iter()
            .filter(|h| self.states.with(h, |s| s.out == Some(NodeStatus::Failed)))
            .cloned()
            .collect();
        if let Some(rescue) = rescue.filter(|_| failed.is_empty()) {
            rescue.foretell(block, hosts, here).await?;
        }
        if !failed.is_empty() && !block.rescue.is_empty() && !self.shared.interrupted() {
            let rescued: Vec<String> = if here.fatal { hosts.to_vec() } else { failed };
            for host in &rescued {
                self.states
                    .with(host, |s| s.out = s.out.filter(|o| *o != NodeStatus::Failed));
            }
            self.items(&block.rescue, &rescued, here).await?;
        }
        if let Some(cursor) = self.cursor.as_ref().filter(|_| anew(self) != before) {
            // `always` has run after the failure from which the run goes on, and is due once more.
            cursor.again(hosts, &format!("{}/always", block.common.path));
        }
        if !block.always.is_empty() {
            // `always` runs on hosts that are out too, and leaves them out.
            let mut out = BTreeMap::new();
            for host in hosts {
                let was = self
                    .states
                    .with(host, |s| s.out.take_if(|o| *o == NodeStatus::Failed));
                out.insert(host.clone(), was);
            }
            let inner = Here {
                fatal: false,
                ..here.clone()
            };
            self.items(&block.always, hosts, &inner).await?;
            for (host, was) in out {
                self.states.with(&host, |s| s.out = s.out.or(was));
            }
        }
        Ok(())
    }

    /// The branches of a parallel block, each as soon as those that it must wait for are done.
    async fn parallel(&self, block: &Block, hosts: &[String], here: &Here) -> Result<(), Stopped> {
        let waits = self.branch_order(block, hosts, here).await;
        let done: Vec<tokio::sync::watch::Sender<bool>> = block
            .items
            .iter()
            .map(|_| tokio::sync::watch::channel(false).0)
            .collect();
        let done = &done;
        let branches = block.items.iter().enumerate().map(|(at, item)| {
            let before = waits[at].clone();
            async move {
                for other in before {
                    // The sender lives as long as this function: waiting can only end well.
                    let _ = done[other].subscribe().wait_for(|finished| *finished).await;
                }
                let outcome = self.items(std::slice::from_ref(item), hosts, here).await;
                done[at].send_replace(true);
                outcome
            }
        });
        for outcome in join_all(branches).await {
            outcome?;
        }
        Ok(())
    }

    async fn include(
        &self,
        include: &Arc<Include>,
        hosts: &[String],
        here: &Here,
    ) -> Result<(), Stopped> {
        // Hosts that include the same file with the same item go through it together.
        let mut together: Vec<((PathBuf, usize, Option<Layer>), Vec<String>)> = Vec::new();
        let mut places: HashMap<(PathBuf, usize), usize> = HashMap::new();
        for host in hosts {
            for (path, index, layer) in self.included_files(include, host, here).await? {
                let at = *places.entry((path.clone(), index)).or_insert_with(|| {
                    together.push(((path, index, layer), Vec::new()));
                    together.len() - 1
                });
                together[at].1.push(host.clone());
            }
        }
        for ((path, index, layer), hosts) in together {
            match (include.compile)(&path, layer.clone(), index) {
                Ok(items) => self.items(&items, &hosts, here).await?,
                Err(message) => {
                    for host in &hosts {
                        self.failed_include(include, host, here, &message);
                    }
                }
            }
        }
        Ok(())
    }

    async fn meta(&self, meta: &Meta, hosts: &[String], here: &Here) -> Result<(), Stopped> {
        let mut told = Vec::new();
        for host in hosts {
            match self.holds(&meta.common, host, here) {
                Ok(true) => told.push(host.clone()),
                Ok(false) => {}
                Err(why) => self.states.with(host, |h| h.uncertain = Some(why)),
            }
        }
        match meta.action {
            MetaAction::FlushHandlers => {
                if let Some(play) = self.play.clone() {
                    self.handlers(&play, here).await?;
                }
            }
            MetaAction::EndHost => told
                .iter()
                .for_each(|h| self.states.with(h, |s| s.ended = true)),
            MetaAction::EndPlay if !told.is_empty() => {
                here.group
                    .hosts
                    .iter()
                    .for_each(|h| self.states.with(h, |s| s.ended = true));
            }
            MetaAction::ClearHostErrors => told
                .iter()
                .for_each(|h| self.states.with(h, |s| s.out = None)),
            MetaAction::ResetConnection if !self.predicts() => {
                for host in &told {
                    self.shared.fleet.forget(host).await;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs the notified handlers, each once, in order of definition; those that they notify after them.
    async fn handlers(&self, play: &Play, here: &Here) -> Result<(), Stopped> {
        let mut ran: BTreeSet<(String, String)> = BTreeSet::new();
        loop {
            let mut any = false;
            for handler in &play.handlers {
                let mut hosts = Vec::new();
                for host in &here.group.hosts {
                    if !self.states.goes_on(host) || self.stops(here) {
                        continue;
                    }
                    let key = (handler.common.path.clone(), host.clone());
                    if let Some(certain) = self.take_notified(handler, host, here)
                        && ran.insert(key)
                    {
                        hosts.push((host.clone(), certain));
                    }
                }
                for (host, certain) in hosts {
                    any = true;
                    self.handler(handler, &host, here, certain).await?;
                }
            }
            if !any {
                break;
            }
        }
        // A topic has been heard by all that listen to it: it is not heard a second time.
        for host in &here.group.hosts {
            if self.states.goes_on(host) && !self.stops(here) {
                self.states.with(host, |state| state.notified.clear());
            }
        }
        Ok(())
    }

    /// Was the handler notified on the host? `Some(false)`: it may be.
    fn take_notified(&self, handler: &Task, host: &str, here: &Here) -> Option<bool> {
        let mut names: Vec<String> = handler.listen.clone();
        names.extend(self.name_of(&handler.common, host, here));
        names.extend(handler.common.id.clone());
        self.states.with(host, |state| {
            let mut found = None;
            for name in &names {
                if let Some(certain) = state.notified.get(name) {
                    found = Some(found.unwrap_or(false) || *certain);
                }
            }
            // A topic that several handlers listen to stays until the last of them; names are taken.
            if let (Some(_), Some(own)) = (found, names.last()) {
                state.notified.remove(own);
            }
            found
        })
    }

    /// Variables that the current walk lays over everything on a host: the group's and the include's.
    #[must_use]
    pub fn layers_here(&self, here: &Here) -> Vec<Layer> {
        here.layers.clone()
    }

    /// Do the item's conditions hold on the host? `Err`: not known, and why.
    fn holds(&self, common: &Common, host: &str, here: &Here) -> Result<bool, String> {
        let frame = self.frame(host, here, &common.layers, &[]);
        match frame.truth(&common.when) {
            Ok(found) => Ok(found.is_none()),
            Err(trouble) => Err(trouble.message()),
        }
    }

    /// The item's name for people, rendered for the host as far as that can be.
    #[must_use]
    pub fn name_of(&self, common: &Common, host: &str, here: &Here) -> Option<String> {
        let name = common.name.as_ref()?;
        let frame = self.frame(host, here, &common.layers, &[]);
        Some(
            frame
                .text(name)
                .unwrap_or_else(|_| name.text().unwrap_or_default().to_owned()),
        )
    }

    async fn gather_facts(&self, hosts: &[String]) {
        // A host that cannot be reached says so at its first task.
        let all = hosts.iter().map(|host| async move {
            if !self.states.goes_on(host) {
                return;
            }
            if let Ok(link) = self.shared.fleet.link(host).await {
                let facts = link.facts.to_value();
                self.states.with(host, |h| {
                    if let Value::Map(map) = &facts {
                        for (name, value) in map {
                            h.vars
                                .entry(format!("ansible_{name}"))
                                .or_insert_with(|| value.clone());
                        }
                    }
                    h.vars.insert("ansible_facts".to_owned(), facts.clone());
                });
            }
        });
        join_all(all).await;
    }
}

/// The groups of a play, each of which keeps the written order among its hosts.
fn groups_of(play: &Play) -> Vec<Here> {
    let mut groups = Vec::new();
    for group in &play.groups {
        let fatal = play.any_errors_fatal || group.site.is_some();
        if play.free && group.site.is_none() {
            for host in &group.hosts {
                let alone = Group {
                    site: None,
                    hosts: vec![host.clone()],
                };
                groups.push(Here {
                    group: Arc::new(alone),
                    fatal: false,
                    layers: Vec::new(),
                    collected: None,
                    rescued: false,
                });
            }
        } else {
            groups.push(Here {
                group: Arc::new(group.clone()),
                fatal,
                layers: Vec::new(),
                collected: None,
                rescued: false,
            });
        }
    }
    groups
}
