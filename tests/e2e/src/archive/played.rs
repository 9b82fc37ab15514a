//! What a call of `runbook play --output json` has said.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A task that has ended on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finished {
    /// The host.
    pub host: String,
    /// The task's name.
    pub task: String,
    /// Its module.
    pub module: String,
    /// The item of its loop, as JSON; empty where there is none.
    pub item: String,
    /// ok, changed, skipped, failed, unreachable, unknown or conditional.
    pub status: String,
    /// What differs, as JSON.
    pub diff: String,
}

/// A call.
#[derive(Debug, Clone)]
pub struct Played {
    /// Exit code.
    pub code: i32,
    /// All events.
    pub events: Vec<Value>,
    /// What it wrote to standard error.
    pub said: String,
}

fn text(event: &Value, key: &str) -> String {
    match event.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

impl Played {
    /// Reads the lines.
    ///
    /// # Errors
    /// One is no JSON.
    pub fn read(code: i32, lines: &str, said: String) -> Result<Self> {
        let events = lines
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect::<Result<_>>()?;
        Ok(Self { code, events, said })
    }

    fn tasks(&self) -> impl Iterator<Item = &Value> {
        self.events
            .iter()
            .filter(|e| text(e, "event") == "task-finished")
    }

    /// All tasks that have ended.
    #[must_use]
    pub fn finished(&self) -> BTreeSet<Finished> {
        self.tasks()
            .map(|e| Finished {
                host: text(e, "host"),
                task: text(e, "task"),
                module: text(e, "module"),
                item: text(e, "item"),
                status: text(e, "status"),
                diff: text(e, "diff"),
            })
            .collect()
    }

    /// The id of the run.
    #[must_use]
    pub fn run_id(&self) -> Option<String> {
        let started = self
            .events
            .iter()
            .find(|e| text(e, "event") == "run-started")?;
        started.get("run")?.as_str().map(str::to_owned)
    }

    /// What is not as a plan found it, an event as JSON each.
    #[must_use]
    pub fn drifts(&self) -> Vec<String> {
        let drifted = self.events.iter();
        let drifted = drifted.filter(|e| text(e, "event") == "drifted");
        drifted.map(Value::to_string).collect()
    }

    /// What finished tasks note for a person.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let lists = self.tasks().filter_map(|e| e.get("notes")?.as_array());
        lists
            .flatten()
            .filter_map(|n| n.as_str().map(str::to_owned))
            .collect()
    }

    /// The names of all tasks with this status on any host.
    #[must_use]
    pub fn named(&self, status: &str) -> BTreeSet<String> {
        let tasks = self.finished().into_iter();
        tasks
            .filter(|f| f.status == status)
            .map(|f| f.task)
            .collect()
    }

    /// The diff of a task that has changed something on any host, as one text.
    #[must_use]
    pub fn diff_of(&self, task: &str) -> String {
        let tasks = self.finished().into_iter();
        let diffs: Vec<String> = tasks
            .filter(|f| f.task == task && f.status == "changed")
            .map(|f| f.diff)
            .collect();
        diffs.join("\n")
    }

    /// The lines that a task takes away and adds, of resources that are shown as texts.
    #[must_use]
    pub fn changed_lines(&self, task: &str) -> BTreeSet<String> {
        let diff = self.diff_of(task);
        let lines = diff.lines().filter(|l| l.starts_with(['+', '-']));
        lines
            .filter(|l| !l.starts_with("+++") && !l.starts_with("---"))
            .map(str::to_owned)
            .collect()
    }

    /// What failed tasks said.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<String, String> {
        self.tasks()
            .filter(|e| text(e, "status") == "failed")
            .map(|e| (text(e, "task"), text(e, "message")))
            .collect()
    }

    /// How many things the run keeps aside, as it says at its end.
    #[must_use]
    pub fn kept(&self) -> Option<u64> {
        let mut ends = self.events.iter();
        ends.find(|e| text(e, "event") == "run-finished")?["kept"].as_u64()
    }

    /// One line per task, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.tasks()
            .map(|e| {
                let item = text(e, "item");
                let item = if item.is_empty() {
                    item
                } else {
                    format!(" ({item})")
                };
                let mut line = format!(
                    "  {:<8} {:<12}{}{item}  {}",
                    text(e, "host"),
                    text(e, "status"),
                    text(e, "task"),
                    text(e, "summary")
                );
                let message = text(e, "message");
                if !message.is_empty() {
                    line.push_str(&format!("\n      {}", message.replace('\n', "\n      ")));
                }
                line.trim_end().to_owned()
            })
            .collect()
    }
}
