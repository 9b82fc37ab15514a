//! The module `wait_for`: until a port answers, or a file is there.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use indexmap::IndexMap;
use regex::bytes::Regex;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::host::{Address, FileQuery, FileType, HostError, Probe, Target};
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use crate::file::pattern::{Mode, compile};
use crate::file::state::tidy;

/// As much of a file or an answer is searched, in bytes.
const SEARCHED: u64 = 16 * 1024 * 1024;

/// Arguments of `wait_for`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitForArgs {
    /// Name or address of the server, as the host sees it. Default: 127.0.0.1
    #[serde(default = "here")]
    pub host: String,
    /// TCP port.
    pub port: Option<u16>,
    /// Absolute path of a file on the host, in place of a port.
    pub path: Option<String>,
    /// `started` or `present`: it shall be there; `stopped` or `absent`: it shall be gone. Default: started.
    #[serde(default)]
    pub state: WaitState,
    /// Found in the file, or in what the server says after connecting.
    pub search_regex: Option<String>,
    /// Seconds after which it fails. Default: 300.
    #[serde(default = "timeout")]
    pub timeout: u64,
    /// Seconds before the first look. Default: 0.
    #[serde(default)]
    pub delay: u64,
    /// Seconds between two looks. Default: 1.
    #[serde(default = "sleep")]
    pub sleep: u64,
    /// Seconds that one connection may take. Default: 5.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: u64,
    /// Said in place of the usual message when it fails.
    pub msg: Option<String>,
}

fn here() -> String {
    "127.0.0.1".to_owned()
}
fn timeout() -> u64 {
    300
}
fn sleep() -> u64 {
    1
}
fn connect_timeout() -> u64 {
    5
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitState {
    /// The port answers, the file is there.
    #[default]
    Started,
    /// The same.
    Present,
    /// The port does not answer, the file is not there.
    Stopped,
    /// The same.
    Absent,
}

/// The module.
pub struct WaitFor;

impl Module for WaitFor {
    type Args = WaitForArgs;
    const NAME: &'static str = "wait_for";
    const SUMMARY: &'static str = "Waits until a port answers or a file is there, or no more.";
    const DOC: &'static str = r#"
```yaml
- wait_for: {port: 8080, timeout: 120}
- wait_for: {path: /var/log/app/server.log, search_regex: 'started in \d+ms'}
- wait_for: {port: 11112, state: stopped}
```

The port is tried from the host's point of view, through the connection that there is; nothing is installed for it.

**Check mode**: it looks once. What is not there yet is unknown, and so is everything after a predicted change.
"#;

    fn validate(args: &WaitForArgs) -> Result<(), String> {
        match (&args.port, &args.path) {
            (Some(_), Some(_)) => return Err("`port` and `path` exclude each other".to_owned()),
            (None, None) => {
                return Err(
                    "`port` or `path` is missing; to wait for a time, use `pause`".to_owned(),
                );
            }
            (None, Some(path)) if !path.starts_with('/') => {
                return Err(format!("`path: {path}` must be an absolute path"));
            }
            _ => {}
        }
        if let Some(regex) = &args.search_regex {
            if matches!(args.state, WaitState::Stopped)
                || args.port.is_some() && args.state == WaitState::Absent
            {
                return Err(
                    "`search_regex` does not go with a port that shall be stopped".to_owned(),
                );
            }
            compile(regex, Mode::Lines)?;
        }
        Ok(())
    }

    fn touches(args: &WaitForArgs) -> Footprint {
        match &args.path {
            Some(path) => Footprint::nothing().reads("file", tidy(path)),
            None => Footprint::nothing().reads("*", "*"),
        }
    }

    fn want(args: &WaitForArgs, _world: &View<'_>) -> Result<Wanted, Stop> {
        let (what, name) = match (&args.path, args.port) {
            (Some(path), _) => (Awaited::File(tidy(path)), path.clone()),
            (None, port) => {
                let port = port.unwrap_or_default();
                (
                    Awaited::Port(args.host.clone(), port),
                    format!("{}:{port}", args.host),
                )
            }
        };
        let call = WaitCall {
            what,
            gone: matches!(args.state, WaitState::Stopped | WaitState::Absent),
            search: args.search_regex.clone(),
            timeout: args.timeout,
            delay: args.delay,
            sleep: args.sleep,
            connect_timeout: args.connect_timeout,
            msg: args.msg.clone(),
        };
        let until = if call.gone { "is gone" } else { "is there" };
        Ok(Wanted::action::<Wait>(
            &call,
            Effects::Nothing,
            format!("wait until {name} {until}"),
        ))
    }
}

/// The action `wait`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wait;

/// What to wait for, times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitCall {
    what: Awaited,
    gone: bool,
    search: Option<String>,
    timeout: u64,
    delay: u64,
    sleep: u64,
    connect_timeout: u64,
    msg: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Awaited {
    File(String),
    Port(String, u16),
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Port(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// What one look found.
enum Look {
    /// As it shall be, with the groups of the search.
    There(Option<Found>),
    /// Not yet, and what was found in its place.
    NotYet(String),
}

/// What `search_regex` found.
struct Found {
    groups: Vec<Value>,
    named: IndexMap<String, Value>,
}

#[async_trait]
impl ActionKind for Wait {
    type Call = WaitCall;

    const NAME: &'static str = "wait";

    fn after_cut(&self, _call: &WaitCall) -> AfterCut {
        // It only looks.
        AfterCut::Again
    }

    async fn run(
        &self,
        host: &Target,
        call: &WaitCall,
        _run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        let start = Instant::now();
        let end = start + Duration::from_secs(call.timeout);
        tokio::time::sleep(Duration::from_secs(call.delay)).await;
        loop {
            let last = match look(host, call).await? {
                Look::There(found) => return Ok(outcome(call, start, found, None)),
                Look::NotYet(last) => last,
            };
            if Instant::now() + Duration::from_secs(call.sleep) >= end {
                let said = call.msg.clone().unwrap_or_else(|| {
                    let until = if call.gone { "gone" } else { "there" };
                    format!(
                        "{} was not {until} within {} s: {last}",
                        call.what, call.timeout
                    )
                });
                return Ok(outcome(call, start, None, Some(said)));
            }
            tokio::time::sleep(Duration::from_secs(call.sleep.max(1))).await;
        }
    }

    async fn probe(&self, host: &Probe, call: &WaitCall) -> Result<Option<Outcome>, HostError> {
        Ok(match look(host, call).await? {
            Look::There(found) => Some(outcome(call, Instant::now(), found, None)),
            Look::NotYet(_) => None,
        })
    }
}

fn outcome(
    call: &WaitCall,
    start: Instant,
    found: Option<Found>,
    failed: Option<String>,
) -> Outcome {
    let mut output = IndexMap::new();
    let elapsed = i64::try_from(start.elapsed().as_secs()).unwrap_or(i64::MAX);
    output.insert("elapsed".to_owned(), Value::Int(elapsed));
    output.insert(
        "state".to_owned(),
        Value::from(if call.gone { "stopped" } else { "started" }),
    );
    match &call.what {
        Awaited::File(path) => output.insert("path".to_owned(), Value::from(path.clone())),
        Awaited::Port(_, port) => output.insert("port".to_owned(), Value::Int((*port).into())),
    };
    if let Some(found) = found {
        output.insert("match_groups".to_owned(), Value::List(found.groups));
        output.insert("match_groupdict".to_owned(), Value::Map(found.named));
    }
    if let Some(msg) = &failed {
        output.insert("msg".to_owned(), Value::from(msg.clone()));
    }
    Outcome {
        changed: false,
        failed,
        output,
    }
}

/// Looks once. Only what concerns the host itself is an error; a server that does not answer is an answer.
async fn look(host: &Probe, call: &WaitCall) -> Result<Look, HostError> {
    let regex = match &call.search {
        Some(text) => Some(compile(text, Mode::Lines).map_err(HostError::Failed)?),
        None => None,
    };
    match &call.what {
        Awaited::File(path) => file(host, call, path, regex.as_ref()).await,
        Awaited::Port(name, port) => port_of(host, call, name, *port, regex.as_ref()).await,
    }
}

async fn file(
    host: &Probe,
    call: &WaitCall,
    path: &str,
    regex: Option<&Regex>,
) -> Result<Look, HostError> {
    let query = FileQuery {
        path: path.to_owned(),
        follow: true,
        content_up_to: regex.map(|_| SEARCHED),
    };
    let entry = match host.files(&[query]).await?.pop() {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => return not_yet(error),
        None => return Ok(Look::NotYet("nothing was read".to_owned())),
    };
    let absent = entry.file_type == FileType::Absent;
    Ok(match (call.gone, absent, regex) {
        (true, true, _) | (false, false, None) => Look::There(None),
        (true, false, None) => Look::NotYet("it is still there".to_owned()),
        (false, true, _) => Look::NotYet("it does not exist".to_owned()),
        (gone, false, Some(regex)) => match (
            gone,
            search(regex, entry.content.as_deref().unwrap_or_default()),
        ) {
            (false, Some(found)) => Look::There(Some(found)),
            (true, None) => Look::There(None),
            (false, None) => Look::NotYet(format!("`{regex}` is not found in it")),
            (true, Some(_)) => Look::NotYet(format!("`{regex}` is still found in it")),
        },
    })
}

async fn port_of(
    host: &Probe,
    call: &WaitCall,
    name: &str,
    port: u16,
    regex: Option<&Regex>,
) -> Result<Look, HostError> {
    let address = Address::Tcp(name.to_owned(), port);
    let limit = Duration::from_secs(call.connect_timeout.max(1));
    let mut stream = match tokio::time::timeout(limit, host.open(&address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if call.gone => {
            return not_yet(error).map(|_| Look::There(None));
        }
        Ok(Err(error)) => return not_yet(error),
        Err(_) if call.gone => return Ok(Look::There(None)),
        Err(_) => {
            return Ok(Look::NotYet(format!(
                "no connection within {} s",
                limit.as_secs()
            )));
        }
    };
    if call.gone {
        return Ok(Look::NotYet("it still answers".to_owned()));
    }
    let Some(regex) = regex else {
        return Ok(Look::There(None));
    };
    let mut said = Vec::new();
    let until = tokio::time::Instant::now() + limit;
    let mut buffer = [0; 4096];
    while (said.len() as u64) < SEARCHED {
        match tokio::time::timeout_at(until, stream.read(&mut buffer)).await {
            Ok(Ok(n)) if n > 0 => {
                said.extend_from_slice(&buffer[..n]);
                if let Some(found) = search(regex, &said) {
                    return Ok(Look::There(Some(found)));
                }
            }
            _ => break,
        }
    }
    Ok(Look::NotYet(format!(
        "`{regex}` is not found in what it says"
    )))
}

/// A failure of what is asked is waited out; a host that cannot be reached is a failure of the task.
fn not_yet(error: HostError) -> Result<Look, HostError> {
    match error {
        HostError::Failed(said) => Ok(Look::NotYet(said)),
        other => Err(other),
    }
}

fn search(regex: &Regex, bytes: &[u8]) -> Option<Found> {
    let found = regex.captures(bytes)?;
    let text = |m: Option<regex::bytes::Match<'_>>| {
        m.map_or(Value::Null, |m| {
            Value::from(String::from_utf8_lossy(m.as_bytes()).into_owned())
        })
    };
    let named = regex
        .capture_names()
        .flatten()
        .map(|name| (name.to_owned(), text(found.name(name))))
        .collect();
    Some(Found {
        groups: (1..found.len()).map(|n| text(found.get(n))).collect(),
        named,
    })
}
