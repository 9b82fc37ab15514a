//! A server inside a container: its address now, and what predicted changes of the container do to its data.

use runbook_engine::host::{Address, HostError, Probe};
use runbook_engine::world::{Predicted, PredictedChange};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::Through;

/// The name of the kind of containers.
pub const KIND: &str = "container";

const DOCKER: &str = "/var/run/docker.sock";

/// The address of a port of a running container, as seen from the host.
///
/// # Errors
/// Where it does not run, or has no address of its own.
pub async fn address(probe: &Probe, name: &str, port: u16) -> Result<Address, HostError> {
    let inspect = inspect(probe, name).await?;
    if inspect.pointer("/State/Running") != Some(&Json::Bool(true)) {
        return Err(HostError::failed(format!(
            "container {name} does not run; start it first"
        )));
    }
    if inspect
        .pointer("/HostConfig/NetworkMode")
        .and_then(Json::as_str)
        == Some("host")
    {
        return Ok(Address::Tcp("127.0.0.1".to_owned(), port));
    }
    let networks = inspect
        .pointer("/NetworkSettings/Networks")
        .and_then(Json::as_object);
    let own = networks
        .into_iter()
        .flat_map(|n| n.values())
        .filter_map(|n| n.get("IPAddress").and_then(Json::as_str))
        .find(|ip| !ip.is_empty());
    match own {
        Some(ip) => Ok(Address::Tcp(ip.to_owned(), port)),
        None => Err(HostError::failed(format!(
            "container {name} is in no network, so port {port} cannot be reached"
        ))),
    }
}

/// Asks the Docker daemon of the host for a container.
async fn inspect(probe: &Probe, name: &str) -> Result<Json, HostError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(HostError::failed(format!(
            "`{name}` is no name of a container"
        )));
    }
    let broken = |e: std::io::Error| {
        HostError::failed(format!("the Docker daemon did not answer for {name}: {e}"))
    };
    let mut stream = probe.open(&Address::Unix(DOCKER.to_owned())).await?;
    let request = format!("GET /containers/{name}/json HTTP/1.0\r\nHost: docker\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(30), reading)
        .await
        .map_err(|_| {
            HostError::failed(format!(
                "the Docker daemon did not answer for {name} within 30 s"
            ))
        })?
        .map_err(broken)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split_whitespace().nth(1) {
        Some("200") => serde_json::from_str(body).map_err(|e| {
            HostError::failed(format!(
                "the Docker daemon's answer for {name} is no JSON: {e}"
            ))
        }),
        Some("404") => Err(HostError::failed(format!("there is no container {name}"))),
        _ => Err(HostError::failed(format!(
            "the Docker daemon refused to show container {name}: {}",
            head.lines().next().unwrap_or_default()
        ))),
    }
}

/// What the predicted changes of a container do to what is read through it now.
///
/// A container that was stopped and will run cannot be read yet. One that is replaced is read as it is, on the
/// assumption that what it mounts keeps the data; without a mount that is kept, nothing is known.
#[must_use]
pub fn through(name: &str, world: &Predicted<'_>) -> Through {
    let changes: Vec<&PredictedChange> = world
        .changes
        .iter()
        .filter(|c| c.key.kind == KIND && c.key.id == name)
        .collect();
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
        return Through::Same;
    };
    let until = |task: &str| Through::Unknown(format!("until \"{task}\""));
    let (Some(now), Some(then)) = (&first.from, &last.to) else {
        return until(&last.task);
    };
    if !runs(then) {
        return Through::Unknown(format!(
            "container {name} does not run after \"{}\"",
            last.task
        ));
    }
    if !runs(now) {
        return until(&last.task);
    }
    if mounts(now) != mounts(then) {
        return Through::Unknown(format!(
            "\"{}\" gives container {name} other mounts",
            last.task
        ));
    }
    if mounts(then).is_empty() {
        return if created(now).is_some() && created(now) == created(then) {
            Through::Assuming(format!(
                "container {name} keeps its data in \"{}\"",
                last.task
            ))
        } else {
            until(&last.task)
        };
    }
    Through::Assuming(format!(
        "container {name} keeps the data that it mounts in \"{}\"",
        last.task
    ))
}

/// Anything in the state that says that the container runs.
fn runs(state: &Json) -> bool {
    for key in ["running", "Running"] {
        if let Some(found) = find(state, key).and_then(Json::as_bool) {
            return found;
        }
    }
    for key in ["status", "Status", "state", "State"] {
        if let Some(found) = find(state, key).and_then(Json::as_str) {
            return matches!(found, "running" | "started" | "healthy");
        }
    }
    false
}

fn created(state: &Json) -> Option<&Json> {
    find(state, "id")
}

/// Sources of the mounts that outlive the container, sorted.
fn mounts(state: &Json) -> Vec<String> {
    let mut found: Vec<String> = ["binds", "mounts", "volumes"]
        .iter()
        .filter_map(|key| find(state, key))
        .flat_map(|list| match list {
            Json::Array(items) => items.iter().map(ToString::to_string).collect::<Vec<_>>(),
            Json::Object(map) => map.iter().map(|(k, v)| format!("{k}={v}")).collect(),
            _ => Vec::new(),
        })
        .filter(|m| !m.contains("\"anonymous\":true"))
        .collect();
    found.sort();
    found
}

/// The first value of a key, at the top or one level below.
fn find<'a>(state: &'a Json, key: &str) -> Option<&'a Json> {
    let map = state.as_object()?;
    map.get(key)
        .or_else(|| map.values().find_map(|v| v.as_object()?.get(key)))
}

#[cfg(test)]
mod tests {
    use runbook_engine::resource::Ref;
    use serde_json::json;

    use super::*;

    fn check(changes: &[(Json, Json)]) -> Through {
        let changes: Vec<PredictedChange> = changes
            .iter()
            .map(|(from, to)| PredictedChange {
                key: Ref {
                    kind: KIND.to_owned(),
                    id: "ldap".to_owned(),
                    data: Json::Null,
                },
                from: Some(from.clone()),
                to: Some(to.clone()),
                task: "New server".to_owned(),
            })
            .collect();
        assert_eq!(
            through("db", &Predicted { changes: &changes }),
            Through::Same
        );
        through("ldap", &Predicted { changes: &changes })
    }

    #[test]
    fn what_is_read_through_a_container_that_changes() {
        let state = |running: bool, image: &str, binds: &[&str]| json!({"spec": {"image": image, "binds": binds}, "running": running});
        let data: &[&str] = &["/var/local/ldap:/var/lib/openldap"];
        assert_eq!(check(&[]), Through::Same);
        let kept = check(&[(state(true, "1", data), state(true, "2", data))]);
        assert!(matches!(kept, Through::Assuming(_)), "{kept:?}");
        // Stopped on the way and started again is still the server that runs now.
        let through_a_stop = check(&[
            (state(true, "1", data), state(false, "1", data)),
            (state(false, "1", data), state(true, "2", data)),
        ]);
        assert!(
            matches!(through_a_stop, Through::Assuming(_)),
            "{through_a_stop:?}"
        );
        for (from, to) in [
            (state(false, "1", data), state(true, "1", data)),
            (Json::Null, state(true, "2", data)),
            (
                state(true, "1", data),
                state(true, "2", &["/new:/var/lib/openldap"]),
            ),
            (state(true, "1", &[]), state(true, "2", &[])),
            (state(true, "1", data), state(false, "1", data)),
            (state(true, "1", data), Json::Null),
        ] {
            let found = check(&[(from.clone(), to.clone())]);
            assert!(
                matches!(found, Through::Unknown(_)),
                "{from} {to}: {found:?}"
            );
        }
    }
}
