//! A playbook as data: it can be written down, cut short, and made smaller for a report.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::Scene;
use serde_json::{Value, json};

/// Stands for the folder on the host in all texts.
pub const AT: &str = "@AT@";
/// The folder on the host, in the scene.
pub const TARGET: &str = "target";

/// A playbook with all that it needs.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Shell lines that make what is on the host before, each by itself, in the folder on the host.
    pub before: Vec<String>,
    /// Files on the controller: path beside the playbook, content.
    pub files: Vec<(String, String)>,
    /// Task files: path beside the playbook, tasks.
    pub included: Vec<(String, Vec<Value>)>,
    /// The play's tasks.
    pub tasks: Vec<Value>,
    /// The play's handlers.
    pub handlers: Vec<Value>,
    /// How many tasks of the playbook have run on the half-done host.
    pub done: usize,
    /// Shell lines: what somebody else has done on the half-done host since.
    pub damage: Vec<String>,
}

impl Script {
    /// The play; where a number is given it ends after so many tasks, as if it had been interrupted there.
    fn play(&self, first: Option<usize>) -> Value {
        let mut tasks = self.tasks.clone();
        if let Some(first) = first {
            // What comes after is still understood, and handlers are not done.
            tasks.insert(first.min(tasks.len()), json!({"meta": "end_play"}));
        }
        json!([{
            "name": "Generated",
            "hosts": "all",
            "vars": {"word": "plain", "number": 7, "names": ["one", "two", "three"]},
            "tasks": tasks,
            "handlers": self.handlers,
        }])
    }

    /// Writes it into a scene and makes what is on the host before.
    ///
    /// # Errors
    /// Something cannot be written, or a shell line fails.
    pub fn lay_out(&self, scene: &Scene) -> Result<()> {
        let at = scene.path(TARGET);
        fs::create_dir_all(&at)?;
        for (name, content) in &self.files {
            scene.write(name, content)?;
        }
        for (name, tasks) in &self.included {
            scene.write(name, &filled(&json!(tasks), &at)?)?;
        }
        scene.write("play.yaml", &filled(&self.play(None), &at)?)?;
        let begun = self.play(Some(self.done));
        scene.write("begun.yaml", &filled(&begun, &at)?)?;
        for line in &self.before {
            shell(line, &at)?;
        }
        Ok(())
    }

    /// Writes a playbook with one of the tasks alone.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn alone(&self, scene: &Scene, name: &str, at: usize) -> Result<()> {
        let alone = Self {
            tasks: self.tasks.get(at).cloned().into_iter().collect(),
            ..self.clone()
        };
        scene.write(name, &filled(&alone.play(None), &scene.path(TARGET))?)?;
        Ok(())
    }

    /// What somebody else has done meanwhile. That one finds nothing to do it to is no fault.
    ///
    /// # Errors
    /// No shell starts.
    pub fn damage(&self, scene: &Scene) -> Result<()> {
        let at = scene.path(TARGET);
        for line in &self.damage {
            Command::new("/bin/sh")
                .args(["-c", line])
                .current_dir(&at)
                .output()?;
        }
        Ok(())
    }

    /// All of it for a person, who could write it down and call it.
    #[must_use]
    pub fn shown(&self, half_done: bool) -> String {
        let mut text = String::new();
        for line in &self.before {
            text.push_str(&format!("  $ {line}\n"));
        }
        if half_done {
            text.push_str(&format!("  (the first {} tasks have run)\n", self.done));
            for line in &self.damage {
                text.push_str(&format!("  $ {line}\n"));
            }
        }
        for (name, content) in &self.files {
            text.push_str(&format!("  {name}: {content:?}\n"));
        }
        for (name, tasks) in &self.included {
            text.push_str(&format!("  {name}:\n"));
            tasks
                .iter()
                .for_each(|t| text.push_str(&format!("    - {t}\n")));
        }
        text.push_str("  tasks:\n");
        for task in &self.tasks {
            text.push_str(&format!("    - {task}\n"));
        }
        if !self.handlers.is_empty() {
            text.push_str("  handlers:\n");
            for task in &self.handlers {
                text.push_str(&format!("    - {task}\n"));
            }
        }
        text
    }
}

/// JSON is YAML, too.
fn filled(value: &Value, at: &Path) -> Result<String> {
    let at = at.to_str().context("the folder's name is no text")?;
    Ok(serde_json::to_string_pretty(value)?.replace(AT, at))
}

pub(crate) fn shell(line: &str, folder: &Path) -> Result<()> {
    let output = Command::new("/bin/sh")
        .args(["-ec", line])
        .current_dir(folder)
        .output()?;
    ensure!(
        output.status.success(),
        "`{line}`: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
