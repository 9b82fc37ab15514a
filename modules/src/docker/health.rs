//! Whether a started container does what it is there for. That it "runs" says little: it may be about to end, or to be
//! restarted again and again.

use std::time::{Duration, Instant};

use runbook_engine::host::{Address, HostError, Probe};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Reader, encode};
use super::kind::{address_in, read};
use super::state::{ContainerState, ContainerWant, Healthy};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// It has to stay so for this long.
const STEADY: Duration = Duration::from_secs(2);
/// One look may take this long.
const LOOK: Duration = Duration::from_secs(10);

/// One that waits for its servers may end a few times before they are there. Docker pauses twice as long each time; this
/// often is after more than six seconds of pauses.
const RESTARTS: i64 = 6;

/// Waits until it is healthy and stays so. `Err`: why not, with the end of its log.
pub(super) async fn wait(
    probe: &Probe,
    daemon: &Reader,
    name: &str,
    want: &ContainerWant,
) -> Result<(), String> {
    let begin = Instant::now();
    let limit = Duration::from_secs(want.within.max(1));
    let mut since: Option<Instant> = None;
    let mut restarts: Option<i64> = None;
    let mut first: Option<i64> = None;
    let mut last = "it has not been looked at".to_owned();
    loop {
        let state = read(daemon, name).await.map_err(|e| e.to_string())?;
        let restarted = restarts
            .replace(state.restart_count)
            .is_some_and(|before| state.restart_count > before);
        let often = state.restart_count - *first.get_or_insert(state.restart_count) >= RESTARTS
            && state.exit_code != 0;
        let healthy = if often {
            Err(format!(
                "Docker has restarted it {RESTARTS} times, and it has ended with exit code {} each time",
                state.exit_code
            ))
        } else if !state.running || state.status == "restarting" {
            let verb = if state.status == "exited" {
                "has"
            } else {
                "is"
            };
            Err(format!(
                "it {verb} {} (exit code {})",
                state.status, state.exit_code
            ))
        } else if restarted {
            Err(format!(
                "Docker restarts it (exit code {})",
                state.exit_code
            ))
        } else {
            match &want.healthy {
                None => Ok(()),
                Some(healthy) => {
                    let looking = look(probe, daemon, name, &state, healthy);
                    tokio::time::timeout(LOOK, looking)
                        .await
                        .unwrap_or_else(|_| Err("no answer in 10 seconds".to_owned()))
                }
            }
        };
        let ended = !state.running && state.status == "exited";
        match healthy {
            Ok(()) => {
                let from = *since.get_or_insert_with(Instant::now);
                if from.elapsed() >= STEADY {
                    return Ok(());
                }
            }
            Err(why) => {
                since = None;
                last = why;
            }
        }
        // One that has ended and is not restarted will not become healthy.
        let policy = state
            .host
            .pointer("/RestartPolicy/Name")
            .and_then(Json::as_str)
            .unwrap_or("no");
        let given_up = often
            || ended && matches!(policy, "no" | "") && begin.elapsed() > Duration::from_secs(1);
        if given_up || begin.elapsed() >= limit {
            let log = tail(daemon, name).await;
            return Err(format!(
                "{name} did not become healthy within {} seconds: {last}{log}",
                begin.elapsed().as_secs().max(1)
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

pub(super) async fn look(
    probe: &Probe,
    daemon: &Reader,
    name: &str,
    state: &ContainerState,
    healthy: &Healthy,
) -> Result<(), String> {
    let address = |port: u16| address_in(state, name, port).map_err(|e| e.to_string());
    if let Some(port) = healthy.tcp {
        open(probe, &address(port)?).await?;
    }
    if let Some(url) = &healthy.http {
        http(probe, url, &address).await?;
    }
    if let Some(port) = healthy.ldap {
        ldap(probe, &address(port)?).await?;
    }
    if let Some(query) = &healthy.sql {
        sql(probe, &address(5432)?, state, query).await?;
    }
    if healthy.container == Some(true) {
        let inspected = daemon
            .get(&format!("/containers/{}/json", encode(name)))
            .await
            .map_err(|e| e.to_string())?;
        let status = inspected
            .pointer("/State/Health/Status")
            .and_then(Json::as_str);
        match status {
            Some("healthy") => {}
            Some(other) => return Err(format!("its own health check says {other}")),
            None => {
                return Err(
                    "its image has no health check; use `tcp`, `http`, `ldap` or `sql`".to_owned(),
                );
            }
        }
    }
    Ok(())
}

async fn open(probe: &Probe, address: &Address) -> Result<runbook_engine::host::Stream, String> {
    probe
        .open(address)
        .await
        .map_err(|e: HostError| e.to_string())
}

async fn http(
    probe: &Probe,
    url: &str,
    address: &(dyn Fn(u16) -> Result<Address, String> + Sync),
) -> Result<(), String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("`{url}`: only http:// is looked at here"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = authority
        .rsplit_once(':')
        .and_then(|(_, p)| p.parse().ok())
        .unwrap_or(80);
    let mut stream = open(probe, &address(port)?).await?;
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|e| e.to_string())?;
    let mut head = [0_u8; 64];
    let mut got = 0;
    while got < 12 {
        let n = stream
            .read(&mut head[got..])
            .await
            .map_err(|e| e.to_string())?;
        if n == 0 {
            return Err(format!("{url} gave no answer"));
        }
        got += n;
    }
    let text = String::from_utf8_lossy(&head[..got]).into_owned();
    let status: u16 = text
        .split_whitespace()
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(format!("{url} answers {status}"))
    }
}

/// An anonymous search for the root of the server (RFC 4511, section 4.5): any answer shows that it answers.
async fn ldap(probe: &Probe, address: &Address) -> Result<(), String> {
    const SEARCH_ROOT: &[u8] = &[
        0x30, 0x25, 0x02, 0x01, 0x01, 0x63, 0x20, 0x04, 0x00, 0x0a, 0x01, 0x00, 0x0a, 0x01, 0x00,
        0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x01, 0x01, 0x00, 0x87, 0x0b, b'o', b'b', b'j', b'e',
        b'c', b't', b'c', b'l', b'a', b's', b's', 0x30, 0x00,
    ];
    let mut stream = open(probe, address).await?;
    stream
        .write_all(SEARCH_ROOT)
        .await
        .map_err(|e| e.to_string())?;
    let mut first = [0_u8; 1];
    match stream.read(&mut first).await {
        Ok(1) if first[0] == 0x30 => Ok(()),
        Ok(_) => Err("the LDAP server gave no answer".to_owned()),
        Err(e) => Err(format!("the LDAP server: {e}")),
    }
}

async fn sql(
    probe: &Probe,
    address: &Address,
    state: &ContainerState,
    query: &str,
) -> Result<(), String> {
    let env = state.environment();
    let user = env
        .get("POSTGRES_USER")
        .cloned()
        .unwrap_or_else(|| "postgres".to_owned());
    let mut config = tokio_postgres::Config::new();
    config
        .user(&user)
        .dbname(env.get("POSTGRES_DB").unwrap_or(&user));
    if let Some(password) = env.get("POSTGRES_PASSWORD") {
        config.password(password);
    }
    let stream = open(probe, address).await?;
    let (client, connection) = config
        .connect_raw(stream, tokio_postgres::NoTls)
        .await
        .map_err(|e| reason(&e))?;
    let serving = tokio::spawn(connection);
    let answer = client
        .simple_query(query)
        .await
        .map(drop)
        .map_err(|e| reason(&e));
    drop(client);
    serving.abort();
    answer
}

fn reason(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || format!("the PostgreSQL server: {error}"),
        |db| db.message().to_owned(),
    )
}

/// The last lines of its log.
async fn tail(daemon: &Reader, name: &str) -> String {
    let log = daemon
        .raw(&format!(
            "/containers/{}/logs?stdout=1&stderr=1&tail=15",
            encode(name)
        ))
        .await;
    let Ok(Some(bytes)) = log else {
        return String::new();
    };
    let text = demultiplexed(&bytes);
    if text.trim().is_empty() {
        String::new()
    } else {
        format!("\nThe end of its log:\n{}", text.trim_end())
    }
}

/// The daemon puts eight bytes before each piece of output: the stream, and its length.
#[must_use]
pub fn demultiplexed(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [stream @ 0..=2, 0, 0, 0, a, b, c, d, tail @ ..] = rest {
        let _ = stream;
        let length = (u32::from_be_bytes([*a, *b, *c, *d]) as usize).min(tail.len());
        out.extend_from_slice(&tail[..length]);
        rest = &tail[length..];
    }
    if out.is_empty() {
        out.extend_from_slice(bytes);
    }
    String::from_utf8_lossy(&out).into_owned()
}
