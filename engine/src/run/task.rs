//! One task on one host: its loop, conditions, retries, and what becomes of its result.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::event::{Event, TaskReport, now};
use super::frame::{Frame, Trouble};
use super::machine::Seer;
use super::past::Pass;
use super::settle::{Reach, Settle, Settled, Stopped, Way as SettleWay, host_failure};
use super::standin;
use super::walk::{Here, Walk, Way};
use crate::compile::program::{Loop, Task};
use crate::host::{HostError, User};
use crate::journal::{NodeStatus, Record};
use crate::module::LocalFiles;
use crate::registry::Prepared;
use crate::source::Kind;
use crate::value::{MASK, Value};

/// A task on a host for one item of its loop.
pub(super) struct Node<'a> {
    pub task: &'a Task,
    pub host: &'a str,
    pub here: &'a Here,
    /// Its id.
    pub id: String,
    /// Variables of the loop.
    pub item: Vec<(String, Value)>,
    /// The item as it is shown.
    pub label: Option<String>,
    /// It runs only perhaps: its notifier is not sure.
    pub certain: bool,
    /// Where the run goes on: how far it came with it before.
    pub cut: Option<Pass>,
}

/// What came of a node, as `register` sees it.
pub(super) struct Result_ {
    pub status: NodeStatus,
    pub value: Value,
}

/// What the end of a node means for what follows.
pub(super) struct Effect<'a> {
    pub name: &'a str,
    pub status: NodeStatus,
    pub ignored: bool,
    pub value: &'a Value,
    pub facts: IndexMap<String, Value>,
    pub notified: Vec<String>,
}

impl Walk {
    /// The task on a host, all items of its loop.
    pub(super) async fn task_on(
        &self,
        task: &Arc<Task>,
        host: &str,
        here: &Here,
    ) -> Result<(), Stopped> {
        self.task_with(task, host, here, true).await
    }

    /// A handler that was notified (`certain`), or may have been.
    pub(super) async fn handler(
        &self,
        task: &Arc<Task>,
        host: &str,
        here: &Here,
        certain: bool,
    ) -> Result<(), Stopped> {
        self.task_with(task, host, here, certain).await
    }

    async fn task_with(
        &self,
        task: &Task,
        host: &str,
        here: &Here,
        certain: bool,
    ) -> Result<(), Stopped> {
        let id = format!("{}@{host}", task.common.path);
        let collected = here.collected.as_ref();
        if let Some(why) = collected.and_then(|c| c.prevents(host, task)) {
            let node = Node {
                task,
                host,
                here,
                id,
                item: Vec::new(),
                label: None,
                certain,
                cut: None,
            };
            let settled = Settled {
                status: Some(NodeStatus::Skipped),
                message: Some(why),
                ..Settled::default()
            };
            self.finish(&node, settled, &now()).await?;
            return Ok(());
        }
        let Some(looped) = &task.looped else {
            let mut node = Node {
                task,
                host,
                here,
                id,
                item: Vec::new(),
                label: None,
                certain,
                cut: None,
            };
            if let Some(result) = self.node(&mut node).await? {
                self.register(task, host, result.value);
            }
            return Ok(());
        };
        let items = match self.loop_items(task, looped, host, here) {
            Ok(items) => items,
            Err(early) => {
                let node = Node {
                    task,
                    host,
                    here,
                    id,
                    item: Vec::new(),
                    label: None,
                    certain,
                    cut: None,
                };
                let settled = match early {
                    Early::Skipped(message) => Settled {
                        status: Some(NodeStatus::Skipped),
                        message: Some(message),
                        ..Settled::default()
                    },
                    Early::Unknown(why) => {
                        self.opaque_here(host, &why).await;
                        Settled {
                            status: Some(NodeStatus::Unknown),
                            message: Some(why),
                            ..Settled::default()
                        }
                    }
                    Early::Failed(why) => Settled::failed(why),
                };
                let start = now();
                if let Some(result) = self.finish(&node, settled, &start).await? {
                    self.register(task, host, result.value);
                }
                return Ok(());
            }
        };
        let mut results = Vec::new();
        let mut worst: Vec<NodeStatus> = Vec::new();
        let pause = looped
            .pause
            .as_ref()
            .map(|p| self.seconds(p, host, here, &task.common.layers, 0.0));
        for (index, item) in items.into_iter().enumerate() {
            if !self.states.goes_on(host) && task.ignore_errors.is_none() {
                break;
            }
            if let (Some(pause), true, false) = (pause, index > 0, self.predicts()) {
                tokio::time::sleep(pause).await;
            }
            let mut vars = vec![(looped.var.clone(), item.clone())];
            if let Some(name) = &looped.index_var {
                vars.push((
                    name.clone(),
                    Value::Int(i64::try_from(index).unwrap_or(i64::MAX)),
                ));
            }
            vars.push((
                "ansible_loop_var".to_owned(),
                Value::Str(looped.var.clone()),
            ));
            let frame = self.frame(host, here, &task.common.layers, &vars);
            let label = match &looped.label {
                Some(label) => frame.text(label).unwrap_or_default(),
                None => shown(&item),
            };
            let mut node = Node {
                task,
                host,
                here,
                id: format!("{id}#{index}"),
                item: vars,
                label: Some(label),
                certain,
                cut: None,
            };
            if let Some(mut result) = self.node(&mut node).await? {
                if let Value::Map(map) = &mut result.value {
                    map.insert(looped.var.clone(), item);
                }
                worst.push(result.status);
                results.push(result.value);
            }
        }
        self.register(task, host, summed_up(&worst, results));
        Ok(())
    }

    /// The items of a loop, or why there are none.
    fn loop_items(
        &self,
        task: &Task,
        looped: &Loop,
        host: &str,
        here: &Here,
    ) -> Result<Vec<Value>, Early> {
        let frame = self.frame(host, here, &task.common.layers, &[]);
        // As with Ansible, a condition that does not need the item also guards a list that cannot be had.
        let skipped = |trouble: Trouble| match frame.truth(&task.common.when) {
            Ok(Some(condition)) => Early::Skipped(format!("the condition `{condition}` is false")),
            _ => match trouble {
                Trouble::Unknown(why) => Early::Unknown(why),
                Trouble::Error(e) => Early::Failed(e),
            },
        };
        match frame.value(&looped.items).map_err(skipped)? {
            Value::List(items) => Ok(items),
            Value::Null => Ok(Vec::new()),
            Value::Unknown(why) => Err(skipped(Trouble::Unknown(why))),
            other => Err(Early::Failed(format!(
                "`loop` wants a list, but this is {}; for a mapping use `| dict2items`",
                kind_of(&other)
            ))),
        }
    }

    /// A task of which nothing can be known may touch anything on its host.
    pub(super) async fn opaque_here(&self, host: &str, why: &str) {
        if let (Way::Predict, Ok(link)) = (&self.way, self.shared.fleet.link(host).await) {
            let overlay = self.overlays.of(&link.machine);
            overlay
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .opaque(why);
        }
    }

    /// One node: condition, `before`, tries, result. `None`: it was done before, nothing happened.
    async fn node(&self, node: &mut Node<'_>) -> Result<Option<Result_>, Stopped> {
        if self.lookahead.is_one() && self.states.is_done(&node.id) {
            return Ok(None);
        }
        match self.before_the_cut(node) {
            Some(pass) if pass.end.is_some() => return self.replay(node, pass),
            cut => node.cut = cut,
        }
        if let (Way::Apply(journal), true, None) = (&self.way, node.task.handler, &node.cut) {
            let handler = self.task_name(node);
            let record = Record::HandlerStarted { handler };
            journal.append(&self.shared.run, node.host, &node.id, &record)?;
        }
        let node = &*node;
        let start = now();
        let frame = self.frame(node.host, node.here, &node.task.common.layers, &node.item);
        let unsure = match frame.truth(&node.task.common.when) {
            Ok(Some(condition)) => {
                let settled = Settled {
                    status: Some(NodeStatus::Skipped),
                    message: Some(format!("the condition `{condition}` is false")),
                    ..Settled::default()
                };
                return self.finish(node, settled, &start).await;
            }
            Ok(None) if node.certain => self.states.with(node.host, |h| h.uncertain.clone()),
            Ok(None) => Some("its notifier may or may not change something".to_owned()),
            Err(Trouble::Unknown(why)) => Some(why),
            Err(Trouble::Error(message)) => {
                return self.finish(node, Settled::failed(message), &start).await;
            }
        };
        if let Some(why) = unsure {
            return self.conditional(node, &frame, why, &start).await;
        }
        if !node.task.common.before.is_empty() && self.shared.options.looks {
            let settled = Settled {
                status: Some(NodeStatus::Skipped),
                message: Some("it is only for the time of a change".to_owned()),
                ..Settled::default()
            };
            return self.finish(node, settled, &start).await;
        }
        if !node.task.common.before.is_empty()
            && node.cut.is_none()
            && let Some(why_not) = self.not_needed_before(node.task, node.here).await?
        {
            let settled = Settled {
                status: Some(NodeStatus::Skipped),
                message: Some(why_not),
                ..Settled::default()
            };
            return self.finish(node, settled, &start).await;
        }
        let settled = self.tries(node, &frame).await?;
        self.finish(node, settled, &start).await
    }

    /// In a prediction: whether it runs is not known, so what it may write is not known after it.
    async fn conditional(
        &self,
        node: &Node<'_>,
        frame: &Frame,
        why: String,
        start: &str,
    ) -> Result<Option<Result_>, Stopped> {
        let mut settled = Settled {
            status: Some(NodeStatus::Conditional),
            message: Some(why.clone()),
            ..Settled::default()
        };
        if matches!(self.way, Way::Predict) {
            match self.prepare(node, frame) {
                Ok((prepared, _)) => {
                    if node.task.module.needs_host()
                        && let Ok((reach, machine)) = self.reach(node, frame).await
                    {
                        let overlay = self.overlays.of(&machine);
                        let way = SettleWay::Predict(overlay);
                        let no_files = LocalFiles::new();
                        let name = self.task_name(node);
                        let settle = self.settle_of(node, &name, &no_files);
                        settle.spread(&way, &prepared.touches(), &why);
                        settled.bound = settle.open_bound(prepared.as_ref());
                        drop(reach);
                    }
                }
                Err(_) => {
                    self.spread_unknown(node, frame, &why, &mut settled).await;
                }
            }
        }
        self.finish(node, settled, start).await
    }

    /// In a prediction: what a task may touch of which not all arguments are known is unknown after it; where that is not
    /// known either, everything is.
    async fn spread_unknown(
        &self,
        node: &Node<'_>,
        frame: &Frame,
        why: &str,
        settled: &mut Settled,
    ) {
        if !matches!(self.way, Way::Predict) {
            return;
        }
        let args = frame.arguments(node.task).ok();
        let touched = args.and_then(|args| standin::footprint(node.task.module.as_ref(), &args));
        let place = self.reach(node, frame).await;
        let (Some(footprint), Ok((_, machine))) = (touched, place) else {
            return self.opaque_here(node.host, why).await;
        };
        let way = SettleWay::Predict(self.overlays.of(&machine));
        let (no_files, name) = (LocalFiles::new(), self.task_name(node));
        let settle = self.settle_of(node, &name, &no_files);
        settle.spread(&way, &footprint, why);
        settled.bound = settle.bound_by(footprint);
    }

    /// Settles the node, again and again where `until` asks for it.
    async fn tries(&self, node: &Node<'_>, frame: &Frame) -> Result<Settled, Stopped> {
        let task = node.task;
        let repeats = !task.until.is_empty() || task.retries.is_some();
        let most = match (&task.retries, repeats) {
            (_, false) => 1,
            (None, true) => 3 + 1,
            (Some(retries), true) => match frame.value(retries) {
                Ok(Value::Int(n)) if n >= 0 => {
                    u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1)
                }
                Ok(Value::Str(s)) if s.trim().parse::<u32>().is_ok() => {
                    s.trim().parse().unwrap_or(3) + 1
                }
                _ => {
                    return Ok(Settled::failed(
                        "`retries` wants a whole number that is not negative",
                    ));
                }
            },
        };
        let delay = task.delay.as_ref().map_or(Duration::from_secs(5), |d| {
            self.seconds(d, node.host, node.here, &task.common.layers, 5.0)
        });
        let earlier = node.cut.as_ref().map_or(0, |cut| cut.calls.len());
        let mut attempt = u32::try_from(earlier).unwrap_or(1).max(1);
        let mut cut = node.cut.clone();
        loop {
            let mut settled = self.once(node, frame, cut.take()).await?;
            self.conclude(node, &mut settled);
            if !repeats || settled.drifted || settled.status == Some(NodeStatus::Locked) {
                return Ok(settled);
            }
            settled
                .output
                .insert("attempts".to_owned(), Value::Int(i64::from(attempt)));
            let reached = self.reached(node, &settled);
            match reached {
                Ok(true) => return Ok(settled),
                Err(Trouble::Unknown(why)) => {
                    return Ok(Settled {
                        status: Some(NodeStatus::Unknown),
                        message: Some(why),
                        ..settled
                    });
                }
                Err(Trouble::Error(e)) => return Ok(Settled::failed(e)),
                Ok(false) if self.predicts() => {
                    if settled.status == Some(NodeStatus::Unknown)
                        || !matches!(self.way, Way::Predict)
                    {
                        return Ok(settled);
                    }
                    let message = "`until` does not hold yet; only the run can tell".to_owned();
                    return Ok(Settled {
                        status: Some(NodeStatus::Unknown),
                        message: Some(message),
                        ..settled
                    });
                }
                Ok(false) => {}
            }
            if attempt >= most || self.shared.interrupted() {
                settled.interrupted = attempt < most;
                settled.status = Some(NodeStatus::Failed);
                settled
                    .message
                    .get_or_insert_with(|| format!("`until` did not hold in {attempt} tries"));
                return Ok(settled);
            }
            attempt += 1;
            self.sink.event(Event::TaskRetry {
                host: node.host.to_owned(),
                task: self.shared.redactor.clean(&self.task_name(node)),
                next: attempt,
                of: most,
                message: settled
                    .message
                    .as_deref()
                    .filter(|_| !self.is_hidden(node))
                    .map(|m| self.shared.redactor.clean(m)),
            });
            tokio::time::sleep(delay).await;
            // Waiting ends what was read early.
            if let Ok(link) = self.shared.fleet.link(node.host).await {
                link.base
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .forget_all();
            }
        }
    }

    /// Does `until` hold (or, without it, has it not failed)?
    fn reached(&self, node: &Node<'_>, settled: &Settled) -> Result<bool, Trouble> {
        if node.task.until.is_empty() {
            return Ok(settled.status != Some(NodeStatus::Failed));
        }
        if settled.status == Some(NodeStatus::Unknown) {
            return Err(Trouble::Unknown(
                settled.message.clone().unwrap_or_default(),
            ));
        }
        let frame = self.frame_with_result(node, settled);
        frame
            .truth(&node.task.until)
            .map(|failing| failing.is_none())
    }

    fn frame_with_result(&self, node: &Node<'_>, settled: &Settled) -> Frame {
        let mut vars = node.item.clone();
        if let Some(name) = &node.task.register {
            vars.push((name.clone(), result_value(settled)));
        }
        self.frame(node.host, node.here, &node.task.common.layers, &vars)
    }

    /// One settling of the node.
    async fn once(
        &self,
        node: &Node<'_>,
        frame: &Frame,
        cut: Option<Pass>,
    ) -> Result<Settled, Stopped> {
        let (prepared, local) = match self.prepare(node, frame) {
            Ok(found) => found,
            Err(Trouble::Error(message)) => return Ok(Settled::failed(message)),
            Err(Trouble::Unknown(why)) => {
                let mut settled = Settled {
                    status: Some(NodeStatus::Unknown),
                    message: Some(why.clone()),
                    ..Settled::default()
                };
                if node.task.module.needs_host() {
                    self.spread_unknown(node, frame, &why, &mut settled).await;
                }
                return Ok(settled);
            }
        };
        let (reach, machine) = if node.task.module.needs_host() {
            match self.reach(node, frame).await {
                Ok(found) => found,
                Err(Reaching::Host(e)) => return Ok(host_failure(&e)),
                Err(Reaching::Trouble(trouble)) => return Ok(Settled::failed(trouble.message())),
            }
        } else {
            (
                Reach {
                    base: Arc::default(),
                    probe: None,
                    user: Seer {
                        user: User::Login,
                        name: String::new(),
                    },
                    on: None,
                },
                String::new(),
            )
        };
        let only_check = match node.task.check_mode.as_ref().map(|c| frame.is_true(c)) {
            Some(Ok(check)) => check,
            Some(Err(trouble)) => return Ok(Settled::failed(trouble.message())),
            None => false,
        };
        // What a task with `check_mode: true` would do is not there for those that come after it.
        let overlay = || {
            let overlay = self.overlays.of(&machine);
            if !only_check {
                return overlay;
            }
            let copy = overlay
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone();
            Arc::new(std::sync::Mutex::new(copy))
        };
        let way = match &self.way {
            Way::Gather(needs) => {
                let found = Arc::default();
                let way = SettleWay::Gather(Arc::clone(&found), overlay());
                let name = self.task_name(node);
                let settled = self
                    .settle_of(node, &name, &local)
                    .settle(prepared.as_ref(), &reach, &way)
                    .await;
                let found = std::mem::take(
                    &mut *found
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner),
                );
                let mut needs = needs
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                let host = self.acting_host(node, frame);
                needs
                    .entry((host, reach.user.user.clone()))
                    .or_default()
                    .extend(found);
                return settled;
            }
            Way::Apply(_) if only_check => SettleWay::Predict(Arc::default()),
            Way::Predict => SettleWay::Predict(overlay()),
            Way::Apply(journal) => SettleWay::Apply(journal.clone()),
        };
        let name = self.task_name(node);
        if matches!(way, SettleWay::Apply(_)) {
            let (host, task) = (node.host.to_owned(), self.shared.redactor.clean(&name));
            self.sink.event(Event::TaskStarted {
                host,
                task,
                at: now(),
            });
        }
        let settle = Settle {
            cut,
            ..self.settle_of(node, &name, &local)
        };
        let mut settled = settle.settle(prepared.as_ref(), &reach, &way).await?;
        if matches!(self.way, Way::Predict) {
            settled.notes.extend(settle.in_flight(&reach).await);
        }
        if settle.hidden {
            self.hide(&mut settled);
        }
        Ok(settled)
    }

    /// What a task with `no_log` gives back is secret, wherever it goes from its register.
    fn hide(&self, settled: &mut Settled) {
        for (name, value) in &mut settled.output {
            if !TOLD.contains(&name.as_str()) {
                hide(value);
            }
        }
        if let Some(message) = &settled.message {
            self.shared.redactor.add(message);
        }
    }

    pub(super) fn settle_of<'b>(
        &'b self,
        node: &'b Node<'_>,
        name: &'b str,
        local: &'b LocalFiles,
    ) -> Settle<'b> {
        Settle {
            shared: &self.shared,
            cut: None,
            host: node.host,
            node: &node.id,
            task: name,
            local,
            hidden: self.is_hidden(node),
        }
    }

    /// Renders the arguments, understands them, and loads the files that they name.
    fn prepare(
        &self,
        node: &Node<'_>,
        frame: &Frame,
    ) -> Result<(Box<dyn Prepared>, LocalFiles), Trouble> {
        let task = node.task;
        let args = frame.arguments(task)?;
        if let Some(why) = super::frame::unknown_within(&args) {
            return Err(Trouble::Unknown(why));
        }
        let local = frame.local_files(task, &args)?;
        let prepared = task
            .module
            .prepare(&args)
            .map_err(|d| Trouble::Error(self.shared.plain(&d)))?;
        Ok((prepared, local))
    }

    /// The host that does the task: `delegate_to`, else its own.
    pub(super) fn acting_host(&self, node: &Node<'_>, frame: &Frame) -> String {
        match &node.task.delegate_to {
            Some(to) => frame.text(to).unwrap_or_else(|_| node.host.to_owned()),
            None => node.host.to_owned(),
        }
    }

    /// The machine that the task works on, as the user that it asks for.
    async fn reach(&self, node: &Node<'_>, frame: &Frame) -> Result<(Reach, String), Reaching> {
        let host = match &node.task.delegate_to {
            Some(to) => frame.text(to).map_err(Reaching::Trouble)?,
            None => node.host.to_owned(),
        };
        let become_user = frame.become_user(node.task).map_err(Reaching::Trouble)?;
        let link = self
            .shared
            .fleet
            .link(&host)
            .await
            .map_err(Reaching::Host)?;
        let user = link.user(become_user.as_deref());
        let probe = link.probe.with_user(user.clone());
        Ok((
            Reach {
                base: link.base.clone(),
                probe: Some(probe),
                user: link.seer(user),
                on: (host != node.host).then_some(host),
            },
            link.machine.clone(),
        ))
    }

    /// `failed_when` and `changed_when` have the last word.
    fn conclude(&self, node: &Node<'_>, settled: &mut Settled) {
        let task = node.task;
        // What is not known stays so: `changed_when` does not tell what will be written, nor whether it will fail.
        if settled.drifted
            || matches!(
                settled.status,
                Some(
                    NodeStatus::Skipped
                        | NodeStatus::Unreachable
                        | NodeStatus::Locked
                        | NodeStatus::Unknown
                )
            )
        {
            return;
        }
        let frame = self.frame_with_result(node, settled);
        if let Some(conditions) = &task.failed_when {
            match frame.truth(conditions) {
                Ok(None) => {
                    settled.status = Some(NodeStatus::Failed);
                    settled
                        .message
                        .get_or_insert_with(|| "`failed_when` holds".to_owned());
                }
                Ok(Some(_)) if settled.status == Some(NodeStatus::Failed) => {
                    settled.status = Some(if settled.acted {
                        NodeStatus::Changed
                    } else {
                        NodeStatus::Ok
                    });
                    settled.message = None;
                }
                Ok(Some(_)) => {}
                Err(Trouble::Unknown(_)) => {}
                Err(Trouble::Error(e)) => *settled = Settled::failed(e),
            }
        }
        if settled.status == Some(NodeStatus::Failed) {
            return;
        }
        if let Some(conditions) = &task.changed_when {
            match frame.truth(conditions) {
                Ok(None) => settled.status = Some(NodeStatus::Changed),
                Ok(Some(_)) => settled.status = Some(NodeStatus::Ok),
                Err(Trouble::Unknown(why)) => {
                    settled.status = Some(NodeStatus::Unknown);
                    settled.message.get_or_insert(why);
                }
                Err(Trouble::Error(e)) => *settled = Settled::failed(e),
            }
        }
    }

    /// Reports, journals, notifies; takes the host out where it failed.
    async fn finish(
        &self,
        node: &Node<'_>,
        mut settled: Settled,
        start: &str,
    ) -> Result<Option<Result_>, Stopped> {
        let task = node.task;
        self.hold_to_plan(node, &mut settled);
        let mut status = settled.status.unwrap_or(NodeStatus::Ok);
        let frame = self.frame(node.host, node.here, &task.common.layers, &node.item);
        let hidden = self.is_hidden(node);
        let ignored = match status {
            NodeStatus::Failed if settled.drifted => false,
            NodeStatus::Failed => self.is_ignored(task.ignore_errors.as_ref(), node),
            NodeStatus::Unreachable => self.is_ignored(task.ignore_unreachable.as_ref(), node),
            _ => false,
        };
        if status == NodeStatus::Unknown && !self.predicts() {
            // In a run everything is known; what is still unknown then is a defect, and nothing was done.
            status = NodeStatus::Failed;
            settled.status = Some(status);
        }
        let value = result_value(&settled);
        let name = self
            .name_of(&task.common, node.host, node.here)
            .unwrap_or_else(|| task.module.name().to_owned());
        let mut notified = Vec::new();
        if matches!(
            status,
            NodeStatus::Changed | NodeStatus::Unknown | NodeStatus::Conditional
        ) {
            for notify in &task.notify {
                match frame.list(notify) {
                    Ok(names) => notified.extend(names),
                    Err(trouble) => settled.notes.push(trouble.message()),
                }
            }
        }
        let mut facts = IndexMap::new();
        if task.module.name() == "set_fact"
            && matches!(status, NodeStatus::Ok | NodeStatus::Changed)
            && let Some(Value::Map(map)) = settled.output.get("ansible_facts")
        {
            facts.clone_from(map);
        }
        // Whatever a task sets that may or may not run, or to something that the run will tell, is unknown from here on.
        if task.module.name() == "set_fact"
            && matches!(status, NodeStatus::Unknown | NodeStatus::Conditional)
            && let Kind::Map(entries) = &task.args.kind
        {
            let names = entries.iter().filter_map(|(name, _)| name.text());
            facts.extend(
                names
                    .filter(|name| *name != "cacheable")
                    .map(|text| (text.to_owned(), Value::Unknown(format!("until \"{name}\"")))),
            );
        }
        let failed = matches!(
            status,
            NodeStatus::Failed | NodeStatus::Unreachable | NodeStatus::Locked
        );
        if let Way::Apply(journal) = &self.way
            && status != NodeStatus::Locked
        {
            let register = task
                .register
                .clone()
                .map(|name| (name, value.to_json(true)));
            let record = Record::NodeFinished {
                task: name.clone(),
                status,
                register,
                facts: facts
                    .iter()
                    .map(|(k, v)| (k.clone(), v.to_json(true)))
                    .collect(),
                notified: notified.clone(),
                result: failed.then(|| value.to_json(true)),
            };
            // What was broken off is not done: who goes on does it anew.
            if !settled.interrupted {
                journal.append(&self.shared.run, node.host, &node.id, &record)?;
            }
            self.shared.kept(&settled.kept);
            let host = self.acting_host(node, &frame);
            self.shared.running(&host, &name, &settled.running);
        }
        self.takes_effect(
            node,
            &Effect {
                name: &name,
                status,
                ignored,
                value: &value,
                facts,
                notified,
            },
        );
        self.lookahead.saw(&task.common, status);
        // Drift is told in any case: what was approved is not what was done.
        let rescued = status == NodeStatus::Failed && node.here.rescued && !settled.drifted;
        let ignored = ignored || rescued;
        self.report(node, &settled, status, ignored, hidden, name, start);
        Ok(Some(Result_ { status, value }))
    }

    /// What a node that came to its end means for what follows on its host.
    pub(super) fn takes_effect(&self, node: &Node<'_>, effect: &Effect<'_>) {
        let status = effect.status;
        let certain = status == NodeStatus::Changed;
        self.states.with(node.host, |state| {
            for handler in &effect.notified {
                let known = state.notified.entry(handler.clone()).or_insert(certain);
                *known |= certain;
            }
            state.vars.extend(effect.facts.clone());
        });
        if matches!(
            status,
            NodeStatus::Failed | NodeStatus::Unreachable | NodeStatus::Locked
        ) && !effect.ignored
        {
            match &node.here.collected {
                Some(collected) if status == NodeStatus::Failed => {
                    collected.failed(node.host, effect.name, node.task.register.as_deref());
                }
                _ => self
                    .states
                    .with(node.host, |state| state.out = Some(status)),
            }
            let failed_task = Value::Map(IndexMap::from([(
                "name".to_owned(),
                Value::from(effect.name),
            )]));
            self.states.with(node.host, |state| {
                let vars = &mut state.vars;
                vars.insert("ansible_failed_result".to_owned(), effect.value.clone());
                vars.insert("ansible_failed_task".to_owned(), failed_task);
            });
        }
        self.states.set_done(&node.id);
    }

    /// Under an approved plan: what it announced is not left out, and where something fails the playbook's own answer
    /// to that may come.
    fn hold_to_plan(&self, node: &Node<'_>, settled: &mut Settled) {
        let (Way::Apply(_), Some(approved)) = (&self.way, self.shared.approved()) else {
            return;
        };
        if settled.status == Some(NodeStatus::Skipped)
            && let Some(why) = approved.misses(node.host, &node.id)
        {
            let because = settled.message.take().unwrap_or_default();
            *settled = Settled::drifted(&format!("{why} ({because})"));
        }
        let failed = matches!(
            settled.status,
            Some(NodeStatus::Failed | NodeStatus::Unreachable)
        );
        if failed && !approved.says_failed(&node.id) {
            approved.has_failed(node.host);
            if node.here.fatal {
                let others = &node.here.group.hosts;
                others.iter().for_each(|host| approved.has_failed(host));
            }
        }
    }

    /// The task's name, or its module's.
    pub(super) fn task_name(&self, node: &Node<'_>) -> String {
        self.name_of(&node.task.common, node.host, node.here)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| node.task.module.name().to_owned())
    }

    /// `no_log`: nothing of what it did is shown. What cannot be evaluated hides.
    fn is_hidden(&self, node: &Node<'_>) -> bool {
        let frame = self.frame(node.host, node.here, &node.task.common.layers, &node.item);
        let no_log = node.task.no_log.as_ref();
        no_log.is_some_and(|n| frame.is_true(n).unwrap_or(true))
    }

    pub(super) fn is_ignored(
        &self,
        keyword: Option<&crate::source::Node>,
        node: &Node<'_>,
    ) -> bool {
        let frame = self.frame(node.host, node.here, &node.task.common.layers, &node.item);
        keyword.is_some_and(|k| frame.is_true(k).unwrap_or(false))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one event")]
    fn report(
        &self,
        node: &Node<'_>,
        settled: &Settled,
        status: NodeStatus,
        ignored: bool,
        hidden: bool,
        name: String,
        start: &str,
    ) {
        for secret in self.shared.engine.used_secrets() {
            self.shared.redactor.add(&secret);
        }
        let clean = |text: &str| {
            if hidden {
                MASK.to_owned()
            } else {
                // The same in a check and in the run that it foretells: the run's own folder has no name before.
                self.shared.told(text)
            }
        };
        let all = |texts: &[String]| texts.iter().map(|t| clean(t)).collect::<Vec<_>>();
        let module = node.task.module.name();
        let show =
            status == NodeStatus::Failed || module == "debug" || self.shared.options.verbose > 0;
        let mut output = IndexMap::new();
        if show && !hidden {
            for (key, value) in &settled.output {
                output.insert(key.clone(), self.shared.redactor.clean_json(value.shown()));
            }
        }
        // What waits for this task says `until` with its name; of itself that would say nothing.
        let own = format!("until \"{name}\"");
        let message = match settled.message.as_deref() {
            Some(message) if message == own => Some("only the run can tell"),
            other => other,
        };
        let report = TaskReport {
            host: node.host.to_owned(),
            site: self.shared.hosts.sites.get(node.host).cloned(),
            play: self
                .play
                .as_ref()
                .map(|p| p.name.clone())
                .unwrap_or_default(),
            task: self.shared.redactor.clean(&name),
            node: node.id.clone(),
            module: module.to_owned(),
            item: node.label.as_deref().map(clean),
            handler: node.task.handler,
            status,
            ignored,
            changes: all(&settled.changes),
            diff: settled.diff.as_deref().map(clean),
            summary: settled.summary.as_deref().map(clean),
            message: message.map(clean),
            notes: all(&settled.notes),
            assumptions: all(&settled.assumptions),
            irreversible: all(&settled.irreversible),
            stays: all(&settled.stays),
            drifted: settled.drifted,
            left: false,
            opaque: settled.opaque,
            output,
            place: self.shared.place(node.task.common.span),
            start: start.to_owned(),
            end: now(),
            bound: settled.bound.clone(),
        };
        self.sink.event(Event::TaskFinished(Box::new(report)));
    }

    fn register(&self, task: &Task, host: &str, value: Value) {
        if let Some(name) = &task.register {
            self.states
                .with(host, |h| h.vars.insert(name.clone(), value));
        }
    }

    /// A duration in seconds, whole or not.
    fn seconds(
        &self,
        node: &crate::source::Node,
        host: &str,
        here: &Here,
        layers: &[crate::compile::program::Layer],
        default: f64,
    ) -> Duration {
        let seconds = match self.frame(host, here, layers, &[]).value(node) {
            Ok(Value::Int(n)) => n as f64,
            Ok(Value::Float(f)) => f,
            Ok(Value::Str(s)) => s.trim().parse().unwrap_or(default),
            _ => default,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

/// Why a loop has no items.
enum Early {
    Skipped(String),
    Unknown(String),
    Failed(String),
}

/// Why a task's machine cannot be had.
enum Reaching {
    Host(HostError),
    Trouble(Trouble),
}

/// The names that the result of an action has; before it ran they are unknown.
const ACTION_RESULT: [&str; 9] = [
    "rc",
    "stdout",
    "stderr",
    "stdout_lines",
    "stderr_lines",
    "start",
    "end",
    "delta",
    "msg",
];

/// What is told of a task with `no_log`, too: what it was about, and how long it took.
const TOLD: [&str; 12] = [
    "start", "end", "delta", "dest", "path", "src", "state", "mode", "owner", "group", "uid", "gid",
];

/// Every text in a value becomes secret.
fn hide(value: &mut Value) {
    match value {
        Value::Str(text) => *value = Value::Secret(crate::value::Secret::new(std::mem::take(text))),
        Value::List(items) => items.iter_mut().for_each(hide),
        Value::Map(map) => map.values_mut().for_each(hide),
        _ => {}
    }
}

/// What `register` gets.
fn result_value(settled: &Settled) -> Value {
    let status = settled.status.unwrap_or(NodeStatus::Ok);
    let why = settled
        .message
        .clone()
        .unwrap_or_else(|| "only the run can tell".to_owned());
    if matches!(status, NodeStatus::Unknown | NodeStatus::Conditional) {
        return Value::Unknown(why);
    }
    let mut map = IndexMap::new();
    map.insert(
        "changed".to_owned(),
        Value::Bool(
            status == NodeStatus::Changed || (status == NodeStatus::Failed && settled.acted),
        ),
    );
    map.insert(
        "failed".to_owned(),
        Value::Bool(matches!(
            status,
            NodeStatus::Failed | NodeStatus::Unreachable | NodeStatus::Locked
        )),
    );
    if status == NodeStatus::Unreachable {
        map.insert("unreachable".to_owned(), Value::Bool(true));
    }
    if status == NodeStatus::Skipped {
        map.insert("skipped".to_owned(), Value::Bool(true));
    }
    if let Some(message) = &settled.message {
        map.insert("msg".to_owned(), Value::Str(message.clone()));
    }
    map.extend(settled.output.clone());
    if settled.predicted_action {
        for name in ACTION_RESULT {
            map.entry(name.to_owned())
                .or_insert_with(|| Value::Unknown(why.clone()));
        }
    }
    Value::Map(map)
}

/// What `register` gets of a loop.
fn summed_up(statuses: &[NodeStatus], results: Vec<Value>) -> Value {
    let any = |status: NodeStatus| statuses.contains(&status);
    let changed = if any(NodeStatus::Changed) {
        Value::Bool(true)
    } else if any(NodeStatus::Unknown) || any(NodeStatus::Conditional) {
        Value::Unknown("an item of its loop is not known before the run".to_owned())
    } else {
        Value::Bool(false)
    };
    let all_skipped = !statuses.is_empty() && statuses.iter().all(|s| *s == NodeStatus::Skipped);
    Value::Map(IndexMap::from([
        ("changed".to_owned(), changed),
        ("failed".to_owned(), Value::Bool(any(NodeStatus::Failed))),
        (
            "skipped".to_owned(),
            Value::Bool(all_skipped || statuses.is_empty()),
        ),
        ("results".to_owned(), Value::List(results)),
    ]))
}

/// An item as a person sees it.
fn shown(item: &Value) -> String {
    match item {
        Value::Str(s) => s.clone(),
        other => other.shown().to_string(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Str(_) | Value::Secret(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Unknown(_) => "not known yet",
    }
}
