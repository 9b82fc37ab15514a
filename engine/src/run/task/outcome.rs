//! What comes of a task: for what follows, for the journal, and for whoever looks.

use indexmap::IndexMap;

use super::{Effect, Node, Result_};
use crate::compile::program::Task;
use crate::journal::{NodeStatus, Record};
use crate::run::event::{Event, TaskReport, now};
use crate::run::frame::Trouble;
use crate::run::settle::{Settled, Stopped};
use crate::run::walk::{Walk, Way};
use crate::source::Kind;
use crate::value::{MASK, Value};

impl Walk {
    /// `failed_when` and `changed_when` have the last word.
    pub(super) fn conclude(&self, node: &Node<'_>, settled: &mut Settled) {
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
                Ok(Some(_)) => settled.cannot_fail = true,
                Err(Trouble::Unknown(_)) => {
                    let name = self.task_name(node);
                    let assumed = format!("`failed_when` of \"{name}\" does not hold");
                    settled.assumptions.push(assumed);
                }
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
    pub(super) async fn finish(
        &self,
        node: &Node<'_>,
        mut settled: Settled,
        start: &str,
    ) -> Result<Option<Result_>, Stopped> {
        let task = node.task;
        self.leave_nothing_out(node, &mut settled);
        let mut status = settled.status.unwrap_or(NodeStatus::Ok);
        let frame = self.frame(node.host, node.here, &task.common.layers, &node.item);
        let hidden = self.is_hidden(node);
        let ignored = match status {
            NodeStatus::Failed if settled.drifted => false,
            NodeStatus::Failed => self.is_ignored(task.ignore_errors.as_ref(), node),
            NodeStatus::Unreachable => self.is_ignored(task.ignore_unreachable.as_ref(), node),
            _ => false,
        };
        self.stray_from_plan(node, status, ignored);
        if status == NodeStatus::Unknown && !self.predicts() {
            // In a run everything is known; what is still unknown then is a defect, and nothing was done.
            status = NodeStatus::Failed;
            settled.status = Some(status);
        }
        let name = self
            .name_of(&task.common, node.host, node.here)
            .unwrap_or_else(|| task.module.name().to_owned());
        if settled.risky || (settled.predicted_action && !settled.cannot_fail) {
            let goes_on = self.goes_on_failed(node);
            settled.may_fail = goes_on.then(|| format!("until \"{name}\""));
        }
        let value = result_value(&settled);
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
                drifted: settled.drifted,
                skipped: settled
                    .message
                    .clone()
                    .filter(|_| status == NodeStatus::Skipped && !hidden),
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
                certain: status == NodeStatus::Changed && settled.may_fail.is_none(),
                ignored,
                value: &value,
                facts,
                notified,
            },
        );
        self.lookahead.saw(&task.common, status);
        // Drift is told in any case: what was approved is not what was done.
        let rescued = status == NodeStatus::Failed && node.here.rescued && !settled.drifted;
        settled.rescued = rescued && !ignored;
        let ignored = ignored || rescued;
        self.report(node, &settled, status, ignored, hidden, name, start);
        Ok(Some(Result_ { status, value }))
    }

    /// What a node that came to its end means for what follows on its host.
    pub(in crate::run) fn takes_effect(&self, node: &Node<'_>, effect: &Effect<'_>) {
        let status = effect.status;
        let certain = effect.certain;
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

    /// Under an approved plan: what it announced is not left out.
    fn leave_nothing_out(&self, node: &Node<'_>, settled: &mut Settled) {
        if let (Way::Apply(_), Some(approved)) = (&self.way, self.shared.approved())
            && settled.status == Some(NodeStatus::Skipped)
            && let Some(why) = approved.misses(node.host, &node.id)
        {
            let because = settled.message.take().unwrap_or_default();
            *settled = Settled::drifted(&format!("{why} ({because})"));
        }
    }

    /// Under an approved plan: where something fails, the playbook's own answer to that may come. What fails and is ignored
    /// has none: what follows is what was approved, or open.
    fn stray_from_plan(&self, node: &Node<'_>, status: NodeStatus, ignored: bool) {
        let (Way::Apply(_), Some(approved)) = (&self.way, self.shared.approved()) else {
            return;
        };
        let failed = matches!(status, NodeStatus::Failed | NodeStatus::Unreachable) && !ignored;
        if failed && !approved.says_failed(&node.id) {
            approved.has_failed(node.host);
            if node.here.fatal {
                let others = &node.here.group.hosts;
                others.iter().for_each(|host| approved.has_failed(host));
            }
        }
    }

    /// Is what comes after the task reached though it fails? Or may it be.
    pub(super) fn goes_on_failed(&self, node: &Node<'_>) -> bool {
        let frame = self.frame(node.host, node.here, &node.task.common.layers, &node.item);
        let ignores = node.task.ignore_errors.as_ref();
        ignores.is_some_and(|k| frame.is_true(k).unwrap_or(true))
    }

    /// The task's name, or its module's.
    pub(in crate::run) fn task_name(&self, node: &Node<'_>) -> String {
        self.name_of(&node.task.common, node.host, node.here)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| node.task.module.name().to_owned())
    }

    /// `no_log`: nothing of what it did is shown. What cannot be evaluated hides.
    pub(super) fn is_hidden(&self, node: &Node<'_>) -> bool {
        let frame = self.frame(node.host, node.here, &node.task.common.layers, &node.item);
        let no_log = node.task.no_log.as_ref();
        no_log.is_some_and(|n| frame.is_true(n).unwrap_or(true))
    }

    pub(in crate::run) fn is_ignored(
        &self,
        keyword: Option<&crate::source::Node>,
        node: &Node<'_>,
    ) -> bool {
        let frame = self.frame(node.host, node.here, &node.task.common.layers, &node.item);
        keyword.is_some_and(|k| frame.is_true(k).unwrap_or(false))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one event")]
    pub(super) fn report(
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
            rescued: settled.rescued,
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

    pub(super) fn register(&self, task: &Task, host: &str, value: Value) {
        if let Some(name) = &task.register {
            self.states
                .with(host, |h| h.vars.insert(name.clone(), value));
        }
    }
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

/// What `register` gets.
pub(super) fn result_value(settled: &Settled) -> Value {
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
    if let Some(why) = &settled.may_fail {
        map.insert("failed".to_owned(), Value::Unknown(why.clone()));
        if settled.risky {
            map.insert("changed".to_owned(), Value::Unknown(why.clone()));
        }
    }
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
    for name in &settled.if_written {
        let why = settled.may_fail.as_ref().unwrap_or(&why);
        map.insert(name.clone(), Value::Unknown(why.clone()));
    }
    if settled.predicted_action {
        for name in ACTION_RESULT {
            map.entry(name.to_owned())
                .or_insert_with(|| Value::Unknown(why.clone()));
        }
    }
    Value::Map(map)
}
