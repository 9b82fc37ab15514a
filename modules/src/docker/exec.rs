//! The module `docker_exec`: a command inside a running container.

use std::collections::BTreeMap;

use async_trait::async_trait;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, Effects, Outcome};
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::module::{Footprint, Mark, Module, Stop, Wanted};
use runbook_engine::resource::{ReadKind, Ref, Shadow};
use runbook_engine::value::Value;
use runbook_engine::world::{Predicted, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::client::{Reader, Writer, encode, failed};
use super::health::demultiplexed;
use super::kind::Container;
use super::state::ContainerKey;

/// The module.
pub struct DockerExec;

/// A command in a container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Name of the container; it has to run.
    pub container: String,
    /// The command, word by word.
    #[serde(default)]
    pub argv: Vec<String>,
    /// The command as a line for `/bin/sh -c`, in place of `argv`.
    #[serde(default)]
    pub command: Option<String>,
    /// User within the container.
    #[serde(default)]
    pub user: Option<String>,
    /// Folder within the container.
    #[serde(default)]
    pub chdir: Option<String>,
    /// Variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// It only reads: it runs in check mode too.
    #[serde(default)]
    pub reads_only: bool,
    /// The resources that it changes, as `kind:id`, and nothing else. Without it nothing on the machine is known after
    /// it.
    #[serde(default)]
    pub changes: Vec<String>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    container: String,
    argv: Vec<String>,
    user: Option<String>,
    chdir: Option<String>,
    env: BTreeMap<String, String>,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_deref().unwrap_or_default();
        let chdir = self.chdir.as_deref().unwrap_or_default();
        write!(f, "{}/{user}/{chdir}/{:?}", self.container, self.argv)?;
        for name in self.env.keys() {
            write!(f, "/{name}")?;
        }
        Ok(())
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Said {
    /// Exit status.
    pub rc: i64,
    /// Output.
    pub stdout: String,
    /// Error output.
    pub stderr: String,
}

impl Args {
    fn call(&self) -> Call {
        let argv = match &self.command {
            Some(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
            None => self.argv.clone(),
        };
        Call {
            container: self.container.clone(),
            argv,
            user: self.user.clone(),
            chdir: self.chdir.clone(),
            env: self.env.clone(),
        }
    }
}

impl Call {
    /// A line for the shell in a container.
    #[must_use]
    pub fn line(container: &str, line: &str) -> Self {
        Self {
            container: container.to_owned(),
            argv: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
            user: None,
            chdir: None,
            env: BTreeMap::new(),
        }
    }
}

/// Runs a command in a container and waits for its end.
pub async fn run(daemon: &Writer, call: &Call) -> Result<Said, HostError> {
    let env: Vec<String> = call.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut body =
        json!({"AttachStdout": true, "AttachStderr": true, "Cmd": call.argv, "Env": env});
    if let Some(user) = &call.user {
        body["User"] = json!(user);
    }
    if let Some(folder) = &call.chdir {
        body["WorkingDir"] = json!(folder);
    }
    let path = format!("/containers/{}/exec", encode(&call.container));
    let made = daemon
        .post(&path, Some(&body))
        .await?
        .map_err(|r| failed(&call.container, &r))?;
    let id = made
        .get("Id")
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_owned();
    let output = daemon.run_exec(&id).await?;
    let (stdout, stderr) = output;
    let end = daemon.get(&format!("/exec/{id}/json")).await?;
    let rc = end.get("ExitCode").and_then(Json::as_i64).unwrap_or(-1);
    Ok(Said { rc, stdout, stderr })
}

/// Splits the daemon's stream into both outputs.
#[must_use]
pub fn both(bytes: &[u8]) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    while let [stream @ 0..=2, 0, 0, 0, a, b, c, d, tail @ ..] = rest {
        let length = (u32::from_be_bytes([*a, *b, *c, *d]) as usize).min(tail.len());
        let into = if *stream == 2 { &mut err } else { &mut out };
        into.extend_from_slice(&tail[..length]);
        rest = &tail[length..];
    }
    if out.is_empty() && err.is_empty() && !bytes.is_empty() {
        return (demultiplexed(bytes), String::new());
    }
    (
        String::from_utf8_lossy(&out).into_owned(),
        String::from_utf8_lossy(&err).into_owned(),
    )
}

fn register(said: &Said, call: &Call) -> IndexMap<String, Value> {
    let lines = |text: &str| Value::List(text.lines().map(Value::from).collect());
    IndexMap::from([
        ("rc".to_owned(), Value::Int(said.rc)),
        (
            "stdout".to_owned(),
            Value::Str(said.stdout.trim_end().to_owned()),
        ),
        (
            "stderr".to_owned(),
            Value::Str(said.stderr.trim_end().to_owned()),
        ),
        ("stdout_lines".to_owned(), lines(&said.stdout)),
        ("stderr_lines".to_owned(), lines(&said.stderr)),
        (
            "cmd".to_owned(),
            Value::List(call.argv.iter().map(|w| Value::Str(w.clone())).collect()),
        ),
    ])
}

fn why(said: &Said) -> String {
    let tail: Vec<&str> = said.stderr.lines().rev().take(10).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    format!("it ended with status {}: {}", said.rc, tail.join("\n"))
}

/// The action.
pub struct Exec;

#[async_trait]
impl ActionKind for Exec {
    type Call = Call;

    const NAME: &'static str = "container-exec";

    async fn run(&self, host: &Target, call: &Call, _: &ActionRun) -> Result<Outcome, ActionError> {
        let said = run(&Writer::new(host), call).await?;
        let failed = (said.rc != 0).then(|| why(&said));
        Ok(Outcome {
            changed: true,
            failed,
            output: register(&said, call),
        })
    }
}

/// What a command that only reads says.
pub struct ExecOutput;

#[async_trait]
impl ReadKind for ExecOutput {
    type Key = Call;
    type State = Said;

    const NAME: &'static str = "container-output";
    /// What a program says moves by itself.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[Call]) -> Vec<Result<Said, HostError>> {
        let daemon = Reader::new(host);
        super::client::side_by_side(keys.iter().map(|call| daemon.declared_reading(call))).await
    }

    fn touched_by(&self, _: &Call, _: &Ref) -> bool {
        true
    }

    fn predicted(&self, _: &Call, world: &Predicted<'_>) -> Shadow<Call, Said> {
        match world.changes.last() {
            Some(change) => Shadow::Unknown(format!("until \"{}\"", change.task)),
            None => Shadow::AsRead,
        }
    }
}

impl Module for DockerExec {
    type Args = Args;

    const NAME: &'static str = "docker_exec";
    const SUMMARY: &'static str = "Runs a command inside a running container.";
    const DOC: &'static str = "\
## Example

    - docker_exec: {container: db, argv: [psql, --version], reads_only: true}
      register: version

## Check mode

With `reads_only` it runs, unless a change before it is predicted. Else what it does is not ours to know: it counts as a
change, and after it nothing on the machine is known but what `changes` leaves out.

## Way back

None.

## Requirements

A Docker daemon, as for `docker_container`.
";
    const FREE_FORM: Option<&'static str> = None;

    fn validate(args: &Args) -> Result<(), String> {
        match (&args.command, args.argv.is_empty()) {
            (Some(_), false) => Err("`command` and `argv` are two ways to say the same".to_owned()),
            (None, true) => Err("`argv` or `command` is missing".to_owned()),
            _ if args.reads_only && !args.changes.is_empty() => {
                Err("what only reads has no `changes`".to_owned())
            }
            _ => match args.changes.iter().find(|c| !c.contains(':')) {
                Some(wrong) => Err(format!("`{wrong}` in `changes` is not `kind:id`")),
                None => Ok(()),
            },
        }
    }

    fn touches(args: &Args) -> Footprint {
        if args.reads_only {
            return Footprint::nothing()
                .reads(ExecOutput::NAME, args.call().to_string())
                .reads("container", &args.container);
        }
        if args.changes.is_empty() {
            return Footprint::everything();
        }
        let footprint = Footprint::nothing().reads("container", &args.container);
        args.changes
            .iter()
            .filter_map(|c| c.split_once(':'))
            .fold(footprint, |f, (kind, id)| f.writes(kind, id))
    }

    fn want(args: &Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let call = args.call();
        let key = ContainerKey {
            name: args.container.clone(),
        };
        let container = world.get::<Container>(&key)?;
        if !container.exists || !container.running {
            let what = if container.exists {
                "does not run"
            } else {
                "is not there"
            };
            return Err(Stop::refuse(format!("container {key} {what}")));
        }
        if args.reads_only {
            let said = world.get::<ExecOutput>(&call)?;
            let mut wanted = Wanted::nothing();
            wanted.facts = register(&said, &call);
            wanted.failed = (said.rc != 0).then(|| why(&said));
            return Ok(wanted);
        }
        let effects = if args.changes.is_empty() {
            Effects::Opaque
        } else {
            let marks = args.changes.iter().filter_map(|c| c.split_once(':'));
            Effects::Changes(
                marks
                    .map(|(kind, id)| Mark {
                        kind: kind.to_owned(),
                        id: id.to_owned(),
                    })
                    .collect(),
            )
        };
        let line = args.command.clone().unwrap_or_else(|| args.argv.join(" "));
        Ok(Wanted::action::<Exec>(
            &call,
            effects,
            format!("{}: {line}", args.container),
        ))
    }
}
