//! One task on one host: its loop, its conditions, and the way through it.

mod once;
mod outcome;
mod unsure;

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::event::now;
use super::frame::Trouble;
use super::past::Pass;
use super::settle::{Settled, Stopped};
use super::walk::{Here, Walk, Way};
use crate::compile::program::{Loop, Task};
use crate::journal::{NodeStatus, Record};
use crate::value::Value;

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
    /// It has changed something, or will: its handlers run.
    pub certain: bool,
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
            let vars = looped.vars(index, item.clone());
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
        let goes_on = task.ignore_errors.is_some();
        self.register(task, host, summed_up(&worst, results, goes_on));
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

/// What `register` gets of a loop. `goes_on`: what comes after it is reached though an item fails.
fn summed_up(statuses: &[NodeStatus], results: Vec<Value>, goes_on: bool) -> Value {
    let any = |status: NodeStatus| statuses.contains(&status);
    let changed = if any(NodeStatus::Changed) {
        Value::Bool(true)
    } else if any(NodeStatus::Unknown) || any(NodeStatus::Conditional) {
        Value::Unknown("an item of its loop is not known before the run".to_owned())
    } else {
        Value::Bool(false)
    };
    let is_unknown = |result: &Value| match result {
        Value::Map(map) => matches!(map.get("failed"), Some(Value::Unknown(_))),
        Value::Unknown(_) => goes_on,
        _ => false,
    };
    let failed = if !any(NodeStatus::Failed) && results.iter().any(is_unknown) {
        Value::Unknown("whether an item of its loop fails is not known before the run".to_owned())
    } else {
        Value::Bool(any(NodeStatus::Failed))
    };
    let all_skipped = !statuses.is_empty() && statuses.iter().all(|s| *s == NodeStatus::Skipped);
    Value::Map(IndexMap::from([
        ("changed".to_owned(), changed),
        ("failed".to_owned(), failed),
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
