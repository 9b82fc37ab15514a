//! A container that does one thing and goes: the arguments of it, and the action `container-oneshot`.
//!
//! Where the run is cut off meanwhile, it is found again by its label and waited for; and what came of it is written down
//! on the host before it is removed, so that nothing is done twice.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use indexmap::IndexMap;
use regex::Regex;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::host::{Command, HostError, Target};
use runbook_engine::module::Mark;
use runbook_engine::resource::WriteError;
use runbook_engine::value::{MASK, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::client::{Writer, encode};
use super::container::seconds;
use super::desired::desired;
use super::starting::start;
use super::state::{ContainerState, ContainerWant};
use super::{exec, health, kind, log, replace, secret, write};
use crate::command::exec::folder;
use crate::command::query::mark;

/// What a container with `state: oneshot` is there for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oneshot {
    /// It has done its work when this holds. Default: when it has ended by itself, with exit code 0.
    #[serde(default)]
    pub until: Option<Until>,
    /// It has failed when a line of its log matches this regular expression.
    #[serde(default)]
    pub fail_on: Option<String>,
    /// How long it may take: `30s`, `5m`, or seconds. Default: 10m.
    #[serde(default)]
    pub within: Option<String>,
    /// A path on the host: where it is there, nothing is done.
    #[serde(default)]
    pub creates: Option<String>,
    /// The resources that it changes, as `kind:id`, and nothing else. Without it (and without `creates`) nothing on the machine
    /// is known after it.
    #[serde(default)]
    pub changes: Vec<String>,
}

/// When a container has done its work. All that is named has to hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// A line of its log matches this regular expression.
    #[serde(default)]
    pub log: Option<String>,
    /// This line for `/bin/sh -c` within it ends with status 0: that the entries are there, rather than that it listens.
    #[serde(default)]
    pub command: Option<String>,
}

/// How long it may take by default.
const WITHIN: u64 = 600;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// How many lines of its log are told of.
const TOLD: usize = 50;
/// The label by which it is found again: the run and the node.
pub(super) const LABEL: &str = "org.runbook.oneshot";

impl Oneshot {
    pub(super) fn validate(&self) -> Result<(), String> {
        let within = self.within.as_deref();
        if let Some(within) = within.filter(|w| seconds(w).is_none()) {
            return Err(format!(
                "`within: {within}` is no time; write 30s, 5m or seconds"
            ));
        }
        if let Some(until) = &self.until
            && until.log.is_none()
            && until.command.is_none()
        {
            return Err("`until` asks for nothing: name `log` or `command`".to_owned());
        }
        let until = self.until.as_ref().and_then(|u| u.log.as_deref());
        for text in until.into_iter().chain(self.fail_on.as_deref()) {
            pattern(text)?;
        }
        if let Some(wrong) = self.changes.iter().find(|c| mark(c).is_none()) {
            return Err(format!("`{wrong}` in `changes` is not `kind:id`"));
        }
        match self.creates.as_deref().filter(|p| !p.starts_with('/')) {
            Some(path) => Err(format!("`creates: {path}` is no absolute path")),
            None => Ok(()),
        }
    }

    pub(super) fn effects(&self) -> Effects {
        let creates: Vec<Mark> = self.creates.iter().filter_map(|p| mark(p)).collect();
        let changes: Vec<Mark> = self.changes.iter().filter_map(|c| mark(c)).collect();
        match (changes.is_empty(), creates.is_empty()) {
            (false, _) => Effects::Changes(changes.into_iter().chain(creates).collect()),
            (true, false) => Effects::Creates(creates),
            (true, true) => Effects::Opaque,
        }
    }

    fn within(&self) -> Duration {
        let within = self.within.as_deref().and_then(seconds);
        Duration::from_secs(within.unwrap_or(WITHIN))
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|e| format!("`{text}` is no regular expression: {e}"))
}

/// Makes, starts, watches and removes a container.
pub struct OneshotRun;

/// Which one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneshotCall {
    /// Its name.
    pub name: String,
    /// What it is, with `healthy` and `stop_timeout` of it.
    pub want: ContainerWant,
    /// What it is there for.
    pub work: Oneshot,
}

#[async_trait]
impl ActionKind for OneshotRun {
    type Call = OneshotCall;

    const NAME: &'static str = "container-oneshot";

    fn after_cut(&self, _call: &OneshotCall) -> AfterCut {
        AfterCut::Again
    }

    async fn run(
        &self,
        host: &Target,
        call: &OneshotCall,
        run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        let daemon = Writer::new(host);
        let own = folder(run);
        let to = desired(&call.want, &ContainerState::default());
        let id = match find(&daemon, &own).await? {
            Some(id) => id,
            None => {
                if let Some(ended) = recorded(host, &own).await? {
                    return Ok(ended.outcome());
                }
                give_way(&daemon, &call.name).await?;
                replace::make(&daemon, &call.name, &to, (LABEL, &own))
                    .await
                    .map_err(failed)?
            }
        };
        let ended = match work(host, &daemon, call, &id).await {
            Err(ActionError::Host(e @ (HostError::Lost(_) | HostError::Unreachable(_)))) => {
                return Err(e.into());
            }
            Err(why) => Ended {
                failed: Some(why.to_string()),
                ..Ended::default()
            },
            Ok(ended) => ended,
        };
        drop(write::stop(&daemon, &id, &call.want).await);
        let exit_code = state(&daemon, call, &id).await?.exit_code;
        let ended = Ended { exit_code, ..ended }.without(&secret::of(&to));
        let ended = record(host, &own, ended).await?;
        remove(&daemon, &call.name, &id).await?;
        Ok(ended.outcome())
    }
}

fn failed(error: WriteError) -> ActionError {
    match error {
        WriteError::Host(error) => ActionError::Host(error),
        other => ActionError::Failed(other.to_string()),
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Ended {
    failed: Option<String>,
    exit_code: i64,
    log: Vec<String>,
}

impl Ended {
    /// What the container was given in secret is in nothing that it says.
    fn without(self, secrets: &[String]) -> Self {
        let masked = |text: String| {
            let real = secrets.iter().filter(|s| !s.is_empty());
            real.fold(text, |text, secret| text.replace(secret, MASK))
        };
        Self {
            failed: self.failed.map(masked),
            exit_code: self.exit_code,
            log: self.log.into_iter().map(masked).collect(),
        }
    }

    fn outcome(self) -> Outcome {
        let lines = self.log.iter().cloned().map(Value::from).collect();
        let output = IndexMap::from([
            ("exit_code".to_owned(), Value::Int(self.exit_code)),
            ("log".to_owned(), Value::List(lines)),
        ]);
        let failed = self.failed.map(|why| {
            if self.log.is_empty() {
                why
            } else {
                format!("{why}\nThe end of its log:\n{}", self.log.join("\n"))
            }
        });
        Outcome {
            changed: true,
            failed,
            output,
        }
    }
}

/// The container that this action has made before a cut.
async fn find(daemon: &Writer, own: &str) -> Result<Option<String>, HostError> {
    let filter = serde_json::json!({"label": [format!("{LABEL}={own}")]}).to_string();
    let path = format!("/containers/json?all=1&filters={}", encode(&filter));
    let list = daemon.get(&path).await?;
    let id = list.pointer("/0/Id").and_then(Json::as_str);
    Ok(id.map(str::to_owned))
}

/// Removes it, with its volumes that have no name.
async fn remove(daemon: &Writer, name: &str, id: &str) -> Result<(), ActionError> {
    let path = format!("/containers/{}?force=1&v=1", encode(id));
    let gone = daemon.delete(&path).await?;
    gone.map(drop)
        .map_err(|r| ActionError::Failed(format!("{name} could not be removed: {}", r.message)))
}

/// Removes one of this name that another attempt has left.
async fn give_way(daemon: &Writer, name: &str) -> Result<(), ActionError> {
    let left = kind::read(daemon, name).await?;
    if left.exists && left.labels().contains_key(LABEL) {
        remove(daemon, name, &left.id).await?;
    }
    Ok(())
}

/// The status of a place that was taken before anything was made.
const TAKEN: i32 = 75;

/// Where an attempt says on the host what came of it. A command in such a place runs once, and says the same ever after.
fn place(own: &str, slot: usize) -> String {
    format!("{own}.end{slot}")
}

/// What an earlier attempt has come to. Where there is no end, the next place is taken, which tells this attempt from those
/// before.
async fn recorded(host: &Target, own: &str) -> Result<Option<Ended>, ActionError> {
    let token = format!("{:x}", rand::random::<u128>());
    let words = ["sh", "-c", "printf %s \"$1\"; exit 75", "runbook", &token];
    let mut slot = 0;
    loop {
        let said = host.command(&command(&words), &place(own, slot)).await?;
        match said.status {
            0 => return read(&said.stdout).map(Some),
            TAKEN if said.stdout == token.as_bytes() => return Ok(None),
            TAKEN => slot += 1,
            status => return Err(not_noted(status, &said.stderr)),
        }
    }
}

/// Writes down what came of it, in the first place that was not taken; gives what stands there.
async fn record(host: &Target, own: &str, ended: Ended) -> Result<Ended, ActionError> {
    let command = Command {
        stdin: serde_json::to_vec(&ended).ok(),
        ..command(&["cat"])
    };
    let mut slot = 0;
    loop {
        let said = host.command(&command, &place(own, slot)).await?;
        match said.status {
            0 => return read(&said.stdout),
            TAKEN => slot += 1,
            status => return Err(not_noted(status, &said.stderr)),
        }
    }
}

fn read(said: &[u8]) -> Result<Ended, ActionError> {
    serde_json::from_slice(said)
        .map_err(|e| ActionError::Failed(format!("what came of the container cannot be read: {e}")))
}

fn not_noted(status: i32, said: &[u8]) -> ActionError {
    let said = String::from_utf8_lossy(said);
    ActionError::Failed(format!(
        "nothing can be noted on the host (status {status}): {}",
        said.trim()
    ))
}

fn command(words: &[&str]) -> Command {
    Command {
        argv: words.iter().map(|w| (*w).to_owned()).collect(),
        ..Command::default()
    }
}

/// How it stands.
async fn state(
    daemon: &Writer,
    call: &OneshotCall,
    id: &str,
) -> Result<ContainerState, ActionError> {
    let state = kind::read(daemon, &call.name).await?;
    if state.id == id {
        return Ok(state);
    }
    Err(ActionError::Failed(format!(
        "{} was removed by somebody before it had done its work",
        call.name
    )))
}

/// Starts it, unless an earlier attempt has, and waits until it has done its work or has failed.
async fn work(
    host: &Target,
    daemon: &Writer,
    call: &OneshotCall,
    id: &str,
) -> Result<Ended, ActionError> {
    if state(daemon, call, id).await?.status == "created" {
        start(daemon, id).await.map_err(failed)?;
    }
    let begin = Instant::now();
    let limit = call.work.within();
    let of = |text: Option<&String>| text.and_then(|t| pattern(t).ok());
    let until = call.work.until.clone().unwrap_or_default();
    let (wanted, wrong) = (of(until.log.as_ref()), of(call.work.fail_on.as_ref()));
    let by_itself = call.work.until.is_none() && call.want.healthy.is_none();
    let mut log = log::Follow::default();
    let mut said = wanted.is_none();
    let mut last = String::new();
    loop {
        let state = state(daemon, call, id).await?;
        for line in log.more(daemon, id).await? {
            said |= wanted.as_ref().is_some_and(|w| w.is_match(&line));
            if wrong.as_ref().is_some_and(|w| w.is_match(&line)) {
                return Ok(log.ended(Some(format!("{} says: {line}", call.name))));
            }
        }
        if !state.running {
            let done = state.exit_code == 0 && said && until.command.is_none();
            let why = format!("{} has ended with exit code {}", call.name, state.exit_code);
            let before = if by_itself {
                ""
            } else {
                " before its work was done"
            };
            let healthy = call.want.healthy.is_none();
            return Ok(log.ended((!done || !healthy).then(|| format!("{why}{before}{last}"))));
        }
        if !by_itself && said {
            match done(host, daemon, call, &until, id, &state).await {
                Ok(()) => return Ok(log.ended(None)),
                Err(why) => last = format!(": {why}"),
            }
        }
        if begin.elapsed() >= limit {
            return Ok(log.ended(Some(format!(
                "{} was not done within {} seconds{last}",
                call.name,
                limit.as_secs()
            ))));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Does all hold that can be asked of one that runs?
async fn done(
    host: &Target,
    daemon: &Writer,
    call: &OneshotCall,
    until: &Until,
    id: &str,
    state: &ContainerState,
) -> Result<(), String> {
    if let Some(healthy) = &call.want.healthy {
        health::look(host, daemon, id, state, healthy).await?;
    }
    let Some(line) = &until.command else {
        return Ok(());
    };
    let said = exec::run(daemon, &exec::Call::line(id, line))
        .await
        .map_err(|e| e.to_string())?;
    if said.rc == 0 {
        return Ok(());
    }
    let text = [said.stdout.trim(), said.stderr.trim()].join(" ");
    Err(format!(
        "its command ends with status {} {}",
        said.rc,
        text.trim()
    ))
}

impl log::Follow {
    fn ended(&self, failed: Option<String>) -> Ended {
        Ended {
            failed,
            exit_code: 0,
            log: self.last(TOLD),
        }
    }
}
