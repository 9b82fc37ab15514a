//! What a call of `runbook play --output json` has said.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A task that has ended on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finished {
    /// The host.
    pub host: String,
    /// The task's name.
    pub task: String,
    /// The item of its loop, as JSON; empty where there is none.
    pub item: String,
    /// ok, changed, skipped, failed, unreachable, unknown or conditional.
    pub status: String,
    /// What differs, as JSON.
    pub diff: String,
}

/// When a task ran on a host, as in the events: times of RFC 3339 in UTC, all written alike, so that they compare as
/// texts.
#[derive(Debug, Clone)]
pub struct Span {
    /// The task's name.
    pub task: String,
    /// Its begin.
    pub start: String,
    /// Its end.
    pub end: String,
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

    /// What failed tasks said.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<String, String> {
        self.tasks()
            .filter(|e| text(e, "status") == "failed")
            .map(|e| (text(e, "task"), text(e, "message")))
            .collect()
    }

    /// When these tasks ran, those that were skipped left out.
    ///
    /// # Errors
    /// One of them has no times.
    pub fn spans(&self, tasks: &[&str]) -> Result<Vec<Span>> {
        let chosen = self.tasks().filter(|e| {
            text(e, "status") != "skipped" && tasks.contains(&text(e, "task").as_str())
        });
        chosen
            .map(|e| {
                let span = Span {
                    task: text(e, "task"),
                    start: text(e, "start"),
                    end: text(e, "end"),
                };
                ensure!(!span.start.is_empty() && span.start <= span.end, "{e}");
                Ok(span)
            })
            .collect()
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
