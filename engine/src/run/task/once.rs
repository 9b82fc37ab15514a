//! Carrying a task out, once or until it is right.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::outcome::result_value;
use crate::host::{HostError, User};
use crate::journal::NodeStatus;
use crate::module::LocalFiles;
use crate::registry::Prepared;
use crate::run::event::{Event, now};
use crate::run::frame;
use crate::run::frame::{Frame, Trouble};
use crate::run::machine::Seer;
use crate::run::past::Pass;
use crate::run::settle::{Reach, Settle, Settled, Stopped, Way as SettleWay, host_failure};
use crate::run::walk::{Walk, Way};
use crate::value::Value;

impl Walk {
    /// One settling of the node.
    pub(super) async fn once(
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
    pub(super) fn hide(&self, settled: &mut Settled) {
        for (name, value) in &mut settled.output {
            if !TOLD.contains(&name.as_str()) {
                hide(value);
            }
        }
        if let Some(message) = &settled.message {
            self.shared.redactor.add(message);
        }
    }

    pub(in crate::run) fn settle_of<'b>(
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
            ignored: self.goes_on_failed(node),
        }
    }

    /// Renders the arguments, understands them, and loads the files that they name.
    pub(super) fn prepare(
        &self,
        node: &Node<'_>,
        frame: &Frame,
    ) -> Result<(Box<dyn Prepared>, LocalFiles), Trouble> {
        let task = node.task;
        let args = frame.arguments(task)?;
        if let Some(why) = frame::unknown_within(&args) {
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
    pub(in crate::run) fn acting_host(&self, node: &Node<'_>, frame: &Frame) -> String {
        match &node.task.delegate_to {
            Some(to) => frame.text(to).unwrap_or_else(|_| node.host.to_owned()),
            None => node.host.to_owned(),
        }
    }

    /// The machine that the task works on, as the user that it asks for.
    pub(super) async fn reach(
        &self,
        node: &Node<'_>,
        frame: &Frame,
    ) -> Result<(Reach, String), Reaching> {
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

    /// Settles the node, again and again where `until` asks for it.
    pub(super) async fn tries(&self, node: &Node<'_>, frame: &Frame) -> Result<Settled, Stopped> {
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
                // As Ansible counts: where all was in vain, the retries.
                let counted = attempt.min(most.saturating_sub(1)).max(1);
                settled
                    .output
                    .insert("attempts".to_owned(), Value::Int(i64::from(counted)));
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
    pub(super) fn reached(&self, node: &Node<'_>, settled: &Settled) -> Result<bool, Trouble> {
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

    pub(super) fn frame_with_result(&self, node: &Node<'_>, settled: &Settled) -> Frame {
        let mut vars = node.item.clone();
        if let Some(name) = &node.task.register {
            vars.push((name.clone(), result_value(settled)));
        }
        self.frame(node.host, node.here, &node.task.common.layers, &vars)
    }
}

/// Why a task's machine cannot be had.
pub(super) enum Reaching {
    Host(HostError),
    Trouble(Trouble),
}

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
