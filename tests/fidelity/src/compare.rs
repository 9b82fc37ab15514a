//! A check beside the run that followed it, task by task.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::AddAssign;

use serde_json::Value;

/// Modules that do nothing on a host; what is said of them is compared, but not counted.
pub const NOT_COUNTED: [&str; 4] = ["assert", "debug", "include_tasks", "set_fact"];

/// What was compared. A task with a loop counts once for each item, a handler as often as it ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Tasks of the check.
    pub tasks: usize,
    /// Those that it knew: the run had to do the same, in status, changes and diff.
    pub known: usize,
    /// Of these, those that were said to change something.
    pub changes: usize,
    /// Of these, those that were said to fail.
    pub failures: usize,
    /// Of these, those that rest on a named assumption.
    pub assumed: usize,
    /// Known ones that the run did otherwise.
    pub wrong: usize,
    /// What they do was unknown.
    pub unknown: usize,
    /// Whether they run was unknown.
    pub conditional: usize,
    /// Known under an assumption, and the run did otherwise, which is what the assumption said.
    pub assumed_otherwise: usize,
    /// Actions that were to be done, as predicted, and then failed: no check can know that.
    pub failed_actions: usize,
    /// Tasks after such a failure, or after one of an unknown task: not compared.
    pub beyond: usize,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        let pairs = [
            (&mut self.tasks, other.tasks),
            (&mut self.known, other.known),
            (&mut self.changes, other.changes),
            (&mut self.failures, other.failures),
            (&mut self.assumed, other.assumed),
            (&mut self.wrong, other.wrong),
            (&mut self.unknown, other.unknown),
            (&mut self.conditional, other.conditional),
            (&mut self.assumed_otherwise, other.assumed_otherwise),
            (&mut self.failed_actions, other.failed_actions),
            (&mut self.beyond, other.beyond),
        ];
        for (mine, more) in pairs {
            *mine += more;
        }
    }
}

impl Figures {
    /// Unknown and conditional ones of a hundred tasks that were compared.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn open_percent(&self) -> f64 {
        (self.unknown + self.conditional) as f64 * 100.0 / (self.tasks - self.beyond).max(1) as f64
    }
}

/// A wrong prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The node.
    pub node: String,
    /// The task's name.
    pub task: String,
    /// The module.
    pub module: String,
    /// What the check said.
    pub check: String,
    /// What the run did.
    pub run: String,
}

/// What came of comparing.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// How many.
    pub figures: Figures,
    /// What was predicted wrongly.
    pub wrong: Vec<Wrong>,
    /// What was not predicted, or only under a condition: the task, and why.
    pub open: Vec<String>,
    /// What was predicted under an assumption, and came otherwise.
    pub otherwise: Vec<Wrong>,
    /// How many tasks there were of each module.
    pub modules: BTreeMap<String, usize>,
    /// From some place on the run could go another way than the check, since something failed that nobody could know.
    pub parted: bool,
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_true(event: &Value, key: &str) -> bool {
    event.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn finished(events: &[Value]) -> impl Iterator<Item = &Value> {
    events
        .iter()
        .filter(|e| text(e, "event") == "task-finished")
}

/// All that has to agree.
fn told(event: &Value) -> String {
    let mut all = format!(
        "{}{}",
        text(event, "status"),
        match is_true(event, "ignored") {
            true => " (ignored)",
            false => "",
        }
    );
    for key in ["task", "item"] {
        if !text(event, key).is_empty() {
            all.push_str(&format!("\n  {key}: {}", text(event, key)));
        }
    }
    let changes = event.get("changes").and_then(Value::as_array);
    for change in changes.into_iter().flatten() {
        all.push_str(&format!("\n  {}", change.as_str().unwrap_or_default()));
    }
    for line in text(event, "diff").split_inclusive('\n') {
        all.push_str(&format!("\n  | {}", line.escape_debug()));
    }
    if text(event, "status") == "failed" {
        all.push_str(&format!("\n  says: {}", text(event, "message")));
    }
    all
}

/// An action has nothing to show beforehand but that it will be done.
fn is_action(event: &Value) -> bool {
    let done = text(event, "status") == "changed"
        || (text(event, "status") == "ok"
            && (is_true(event, "opaque") || text(event, "module") == "uri"));
    done && text(event, "diff").is_empty()
        && event
            .get("changes")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
}

/// The place of a node's task in the playbook, without host and item.
fn place(node: &str) -> &str {
    node.split('@').next().unwrap_or_default()
}

/// The tasks that have ended, each with what tells it from others: its node, and of a handler, which may run after each
/// flush, the task that it came after.
fn told_apart(events: &[Value]) -> Vec<((&str, &str), &Value)> {
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    let told = finished(events).map(|event| {
        let (node, host) = (text(event, "node"), text(event, "host"));
        if place(node).contains("/handlers/") {
            return ((node, last.get(host).copied().unwrap_or_default()), event);
        }
        last.insert(host, place(node));
        ((node, ""), event)
    });
    told.collect()
}

/// Compares the events of a check with those of the run.
#[must_use]
pub fn compare(check: &[Value], run: &[Value]) -> Compared {
    let mut done: BTreeMap<(&str, &str), VecDeque<&Value>> = BTreeMap::new();
    for (key, event) in told_apart(run) {
        done.entry(key).or_default().push_back(event);
    }
    let foreseen: BTreeSet<(&str, &str)> = told_apart(check).iter().map(|(key, _)| *key).collect();
    // Where the run goes on beyond what the check could foresee, by host: everything after that node.
    let mut result = Compared::default();
    let mut open: Vec<&str> = Vec::new();
    let mut parted: Vec<&str> = Vec::new();
    for (key, event) in told_apart(check) {
        let (node, module, host) = (
            text(event, "node"),
            text(event, "module"),
            text(event, "host"),
        );
        // A file of which it is not known whether, or which, is included hides its tasks.
        let hides =
            module == "include_tasks" && matches!(text(event, "status"), "unknown" | "conditional");
        let counts = hides || !NOT_COUNTED.contains(&module);
        let mut figures = Figures {
            tasks: 1,
            ..Figures::default()
        };
        if counts {
            *result.modules.entry(module.to_owned()).or_default() += 1;
        }
        // A handler may come after a task of a file that is only included in the run, and of which the check knows nothing.
        let at = match done.get(&key) {
            Some(left) if !left.is_empty() => Some(key),
            _ => done
                .iter()
                .find(|(at, left)| at.0 == node && !left.is_empty() && !foreseen.contains(*at))
                .map(|(at, _)| *at),
        };
        let ran = at.and_then(|at| done.get_mut(&at)?.pop_front());
        let failed = ran.is_some_and(|r| matches!(text(r, "status"), "failed" | "unreachable"));
        // Where the play goes on in spite of it, what comes after it was foretold with that in mind.
        let goes_on = ran.is_some_and(|r| is_true(r, "ignored") && !is_true(r, "rescued"));
        if parted.contains(&host) {
            figures.beyond = 1;
        } else {
            match text(event, "status") {
                status @ ("unknown" | "conditional") => {
                    match status {
                        "unknown" => figures.unknown = 1,
                        _ => figures.conditional = 1,
                    }
                    open.push(node);
                    let (task, why) = (text(event, "task"), text(event, "message"));
                    result.open.push(format!("{task}: {status}: {why}"));
                    if ran.is_none() {
                        // Its items, or the tasks of its file, come with ids of their own.
                        let of_it = finished(run).filter(|r| is_within(text(r, "node"), node));
                        if of_it.into_iter().any(|r| text(r, "status") == "failed") {
                            parted.push(host);
                        }
                    } else if failed && !goes_on {
                        parted.push(host);
                    }
                }
                _ => {
                    figures.known = 1;
                    figures.changes = usize::from(text(event, "status") == "changed");
                    figures.failures = usize::from(text(event, "status") == "failed");
                    let assumed = event
                        .get("assumptions")
                        .and_then(Value::as_array)
                        .is_some_and(|a| !a.is_empty());
                    figures.assumed = usize::from(assumed);
                    let (said, did) = (told(event), ran.map(told));
                    if did.as_ref() != Some(&said) {
                        let differs = Wrong {
                            node: node.to_owned(),
                            task: text(event, "task").to_owned(),
                            module: module.to_owned(),
                            check: said,
                            run: did.unwrap_or_else(|| "nothing: it did not come to it".to_owned()),
                        };
                        if failed && is_action(event) {
                            figures.failed_actions = 1;
                            if !goes_on {
                                parted.push(host);
                            }
                        } else if assumed && ran.is_some() {
                            figures.assumed_otherwise = 1;
                            result.otherwise.push(differs);
                            parted.push(host);
                        } else {
                            figures.wrong = 1;
                            result.wrong.push(differs);
                        }
                    }
                }
            }
        }
        if counts {
            result.figures += figures;
        } else {
            result.figures.wrong += figures.wrong;
        }
    }
    for event in done.values().flatten() {
        let (node, host) = (text(event, "node"), text(event, "host"));
        if parted.contains(&host) || open.iter().any(|o| is_within(node, o)) {
            continue;
        }
        result.figures.wrong += 1;
        result.wrong.push(Wrong {
            node: node.to_owned(),
            task: text(event, "task").to_owned(),
            module: text(event, "module").to_owned(),
            check: "nothing".to_owned(),
            run: told(event),
        });
    }
    result.parted = !parted.is_empty();
    result
}

/// Is the node an item of the other, or a task of the file that the other includes?
fn is_within(node: &str, other: &str) -> bool {
    let (inner, outer) = (place(node), place(other));
    node.strip_prefix(other)
        .is_some_and(|rest| rest.starts_with('#'))
        || inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with(['/', '#', '[']))
}
