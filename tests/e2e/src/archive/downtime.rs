//! How long the archive is down in an upgrade whose two branches are made to last.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use runbook_lab::Lab;
use serde_json::Value;

use super::Archive;

/// What was measured, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Downtime {
    /// From the last answer of the old archive to the first one of the new.
    pub down: f64,
    /// The directory's branch, from the start of its first task to the end of its last.
    pub directory: f64,
    /// The database's branch.
    pub database: f64,
    /// The new archive, stopped and started again by itself: until it answers.
    pub start: f64,
}

/// Asks the archive ten times a second, and writes down when it answered.
const WATCH: &str = r#"
cat >/tmp/watch.sh <<'S'
while [ -e /tmp/watch.on ]; do
    if curl -fso /dev/null -m 1 http://localhost:8080/dcm4chee-arc/ui2; then echo "$(date +%s.%N) up"; else echo "$(date +%s.%N) down"; fi
    sleep 0.1
done >/tmp/watch.log
S
touch /tmp/watch.on
setsid nohup bash /tmp/watch.sh >/dev/null 2>&1 &
"#;
/// When it answered for the last time before it was down, and for the first time after that.
const WATCHED: &str = r#"
rm /tmp/watch.on
sleep 0.5
awk '$2 == "up" && !down {last = $1} $2 == "down" {down = 1; first = 0} $2 == "up" && down && !first {first = $1} END {print last, first}' /tmp/watch.log
"#;
const START: &str = r#"
docker stop -t 60 arc >/dev/null
begin=$(date +%s.%N)
docker start arc >/dev/null
until curl -fso /dev/null -m 1 http://localhost:8080/dcm4chee-arc/ui2; do sleep 0.1; done
echo "$begin $(date +%s.%N)"
"#;
/// The last tasks of both branches.
const LAST: [(&str, &str); 2] = [
    (
        "tasks/directory.yaml",
        "- import_tasks: directory-tls.yaml\n",
    ),
    (
        "upgrade-5.32.yaml",
        "                - name: Part 2\n                  pg_schema: {to: \"5.32\", parts: [2]}\n",
    ),
];
const DIRECTORY_LASTS: &str = "The directory lasts";
const DATABASE_LASTS: &str = "The database lasts";

/// Two numbers on a line: how far the second is behind the first.
fn between(line: &str) -> Result<f64> {
    let numbers: Vec<f64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("no two times: {line}"))?;
    let [begin, end] = numbers[..] else {
        anyhow::bail!("no two times: {line}");
    };
    ensure!(begin > 0.0 && end > begin, "no time between them: {line}");
    Ok(end - begin)
}

/// When an event happened.
fn moment(event: &Value) -> Result<Timestamp> {
    let at = event["at"].as_str().context("an event without a time")?;
    at.parse().with_context(|| at.to_owned())
}

/// The playbooks, with a task at the end of each branch that only takes time.
fn lasting(folder: &Path, directory: u32, database: u32) -> Result<()> {
    let from = Lab::project().join("playbooks");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(&from)
        .arg(folder)
        .status()?;
    ensure!(copied.success(), "{} was not copied", from.display());
    for ((file, last), (name, seconds)) in LAST
        .into_iter()
        .zip([(DIRECTORY_LASTS, directory), (DATABASE_LASTS, database)])
    {
        let path = folder.join("playbooks").join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.matches(last).count() == 1, "{file} has no `{last}`");
        let indent = " ".repeat(last.len() - last.trim_start().len());
        // A command that might read or change anything would go alone.
        let task = format!(
            "{indent}- name: {name}\n{indent}  command: {{cmd: sleep {seconds}, changes: [\"/tmp/{seconds}\"], reads: []}}\n"
        );
        let more = format!("{last}\n{task}");
        fs::write(&path, text.replace(last, &more))?;
    }
    Ok(())
}

impl Archive {
    /// The upgrade, with a directory's branch that takes so many seconds longer than it would, and a database's branch
    /// that takes so many.
    ///
    /// # Errors
    /// It fails, or the archive was never seen down.
    pub fn is_down(&self, directory: u32, database: u32) -> Result<Downtime> {
        let folder = tempfile::tempdir()?;
        lasting(folder.path(), directory, database)?;
        let playbook = folder.path().join("playbooks/upgrade-5.32.yaml");
        self.on("arc", WATCH)?;
        let run = self.runbook(&["play", &playbook.to_string_lossy()], 0)?;
        let watched = self.on("arc", WATCHED)?;
        // Only the start of a task has a time; how long the last one takes is known.
        let branch = |first: &str, last: &str, takes: u32| -> Result<f64> {
            let started = |task: &str| {
                let found = run.events.iter().find(|e| {
                    e["event"].as_str() == Some("task-started") && e["task"].as_str() == Some(task)
                });
                moment(found.with_context(|| format!("{task} never began"))?)
            };
            let until = started(last)?.duration_since(started(first)?);
            Ok(until.as_secs_f64() + f64::from(takes))
        };
        Ok(Downtime {
            down: between(&watched)?,
            directory: branch("New directory server", DIRECTORY_LASTS, directory)?,
            database: branch("New database server", DATABASE_LASTS, database)?,
            start: between(&self.on("arc", START)?)?,
        })
    }
}
