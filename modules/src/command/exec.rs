//! The action `exec`: a command on the host, apart from the shell that carries it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use jiff::Timestamp;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Outcome};
use runbook_engine::host::{Command, Finished, HostError, Probe, ReadCommand, Target};
use runbook_engine::value::Value;
use serde::{Deserialize, Serialize};

/// How much of what a failed command said goes into its message, in bytes.
const TAIL: usize = 2000;

/// Runs commands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exec;

/// A command to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecCall {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// What `cmd` of the output says: the line as the playbook has it, or the words.
    pub cmd: Shown,
    /// Variables added to the environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory.
    #[serde(default)]
    pub chdir: Option<String>,
    /// Standard input.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Killed after this long.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// Take empty lines away from the end of the output.
    #[serde(default = "yes")]
    pub strip_empty_ends: bool,
}

/// The command as shown: one line, or words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// A line for a shell.
    Line(String),
    /// Words.
    Words(Vec<String>),
}

fn yes() -> bool {
    true
}

impl ExecCall {
    /// A command of these words, with nothing else asked.
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        let argv: Vec<String> = words.into_iter().map(Into::into).collect();
        Self {
            cmd: Shown::Words(argv.clone()),
            argv,
            env: BTreeMap::new(),
            chdir: None,
            stdin: None,
            timeout: None,
            strip_empty_ends: true,
        }
    }
}

#[async_trait]
impl ActionKind for Exec {
    type Call = ExecCall;

    const NAME: &'static str = "exec";

    fn after_cut(&self, _call: &ExecCall) -> AfterCut {
        // Its folder on the host says whether it was started, and holds what came of it.
        AfterCut::Again
    }

    async fn run(
        &self,
        host: &Target,
        call: &ExecCall,
        run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        let command = Command {
            argv: call.argv.clone(),
            env: call.env.clone(),
            chdir: call.chdir.clone(),
            stdin: call.stdin.as_ref().map(|s| s.clone().into_bytes()),
            timeout: call.timeout,
            private: run.private,
        };
        let folder = folder(run);
        let finished = host.command(&command, &folder).await?;
        Ok(outcome(call, &finished))
    }

    async fn probe(&self, host: &Probe, call: &ExecCall) -> Result<Option<Outcome>, HostError> {
        // Only a command that declares to change nothing comes here.
        let reply = host
            .command(&ReadCommand {
                argv: call.argv.clone(),
                env: call.env.clone(),
                chdir: call.chdir.clone(),
                stdin: call.stdin.as_ref().map(|s| s.clone().into()),
            })
            .await?;
        Ok(Some(outcome(
            call,
            &Finished {
                status: reply.status,
                stdout: reply.stdout,
                stderr: reply.stderr,
                started_ms: 0,
                ended_ms: 0,
                timed_out: false,
            },
        )))
    }
}

/// The folder of an action's command on the target.
#[must_use]
pub fn folder(run: &ActionRun) -> String {
    format!("{}/{}", run.run, run.node)
}

/// What came of a command that ended: any status but 0 is a failure.
#[must_use]
pub fn outcome(call: &ExecCall, finished: &Finished) -> Outcome {
    let mut output = said(
        &finished.stdout,
        &finished.stderr,
        finished.status,
        call.strip_empty_ends,
    );
    let cmd = match &call.cmd {
        Shown::Line(line) => Value::from(line.clone()),
        Shown::Words(words) => Value::List(words.iter().cloned().map(Value::from).collect()),
    };
    output.insert("cmd".to_owned(), cmd);
    if finished.started_ms > 0 {
        output.insert("start".to_owned(), Value::from(moment(finished.started_ms)));
        output.insert("end".to_owned(), Value::from(moment(finished.ended_ms)));
        output.insert(
            "delta".to_owned(),
            Value::from(delta(finished.ended_ms - finished.started_ms)),
        );
    }
    let failed = if finished.timed_out {
        Some(format!(
            "it was stopped after its timeout of {} s",
            call.timeout.map_or(0, |t| t.as_secs())
        ))
    } else if finished.status != 0 {
        Some(failure(finished.status, &finished.stdout, &finished.stderr))
    } else {
        None
    };
    output.insert(
        "msg".to_owned(),
        Value::from(failed.clone().unwrap_or_default()),
    );
    Outcome {
        changed: true,
        failed,
        output,
    }
}

/// Status, stdout and stderr as registers name them, each also as lines.
#[must_use]
pub fn said(stdout: &[u8], stderr: &[u8], status: i32, strip: bool) -> IndexMap<String, Value> {
    let mut output = IndexMap::new();
    output.insert("rc".to_owned(), Value::Int(status.into()));
    for (name, bytes) in [("stdout", stdout), ("stderr", stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let text = if strip {
            text.trim_end_matches(['\r', '\n'])
        } else {
            &text
        };
        let lines = text.lines().map(Value::from).collect();
        output.insert(name.to_owned(), Value::from(text));
        output.insert(format!("{name}_lines"), Value::List(lines));
    }
    output
}

/// Why a command with this status failed: the end of what it said.
#[must_use]
pub fn failure(status: i32, stdout: &[u8], stderr: &[u8]) -> String {
    let shown = if stderr.trim_ascii().is_empty() {
        stdout
    } else {
        stderr
    };
    let text = String::from_utf8_lossy(shown);
    let text = text.trim();
    let mut start = text.len().saturating_sub(TAIL);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let why = match status {
        126 => "status 126: it could not be executed".to_owned(),
        127 => "status 127: the command was not found".to_owned(),
        // Signals have the numbers 1 to 64 (signal(7)).
        n @ 129..=192 => format!("status {n}: ended by signal {}", n - 128),
        n => format!("status {n}"),
    };
    if text.is_empty() {
        why
    } else {
        format!("{why}: {}", &text[start..])
    }
}

fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map(|t| t.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string())
        .unwrap_or_default()
}

/// `H:MM:SS.ffffff`, as a register's `delta` is written.
fn delta(ms: i64) -> String {
    let ms = ms.max(0);
    format!(
        "{}:{:02}:{:02}.{:03}000",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(status: i32, stdout: &str, stderr: &str) -> Finished {
        Finished {
            status,
            stdout: stdout.to_owned().into(),
            stderr: stderr.to_owned().into(),
            started_ms: 1_000,
            ended_ms: 63_250,
            timed_out: false,
        }
    }

    #[test]
    fn a_register_holds_what_ansible_users_expect() {
        let outcome = outcome(&ExecCall::new(["ls"]), &finished(0, "a\nb\n\n", ""));
        let json = Value::Map(outcome.output).to_json(false);
        assert_eq!(
            json,
            serde_json::json!({
                "rc": 0, "stdout": "a\nb", "stdout_lines": ["a", "b"], "stderr": "", "stderr_lines": [],
                "cmd": ["ls"], "start": "1970-01-01 00:00:01.000000", "end": "1970-01-01 00:01:03.250000",
                "delta": "0:01:02.250000", "msg": ""
            })
        );
        assert_eq!(outcome.failed, None);
        assert!(outcome.changed);
    }

    #[test]
    fn a_failure_says_the_end_of_stderr() {
        let long = format!("{}the reason\n", "é".repeat(5000));
        let outcome = outcome(&ExecCall::new(["x"]), &finished(3, "out", &long));
        let message = outcome.failed.unwrap();
        assert!(
            message.starts_with("status 3: ") && message.ends_with("the reason"),
            "{message}"
        );
        assert!(message.len() < 2100);
    }

    #[test]
    fn blank_ends_stay_where_asked() {
        let call = ExecCall {
            strip_empty_ends: false,
            ..ExecCall::new(["x"])
        };
        let outcome = outcome(&call, &finished(0, "a\n\n", ""));
        assert_eq!(outcome.output["stdout"], Value::from("a\n\n"));
    }
}
