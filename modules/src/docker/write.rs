//! Changing a container where it stands, or handing it on to be replaced.

use runbook_engine::host::{HostError, Target};
use runbook_engine::resource::{Change, Kept, WriteError};
use serde_json::{Map, Value as Json, json};

use super::aside::{self, refused};
use super::client::{Writer, encode, failed};
use super::starting::start;
use super::state::{ContainerState, ContainerWant, Doing, Wanted};
use super::{earlier, health, kind, replace, spec};

pub(super) type Changed = Change<ContainerState, ContainerWant>;

/// One container.
pub(super) async fn one(
    host: &Target,
    daemon: &Writer,
    name: &str,
    change: &Changed,
) -> Result<Vec<Kept>, WriteError> {
    still(daemon, name, &change.from).await?;
    aside::settle(daemon, name).await?;
    let (want, from) = (&change.want, &change.from);
    if want.state == Wanted::Absent {
        return remove(daemon, name, want, from).await;
    }
    if !spec::differences(want, from).anew.is_empty() {
        return replace::replace(host, daemon, name, change).await;
    }
    if let Err(error) = in_place(daemon, name, from, &change.to).await {
        // Half of it may have been done.
        return Err(match in_place(daemon, name, &change.to, from).await {
            Ok(()) => error,
            Err(left) => with_left(&error, left.to_string()),
        });
    }
    if from.running && !change.to.running {
        stop(daemon, name, want).await?;
    } else if !from.running && change.to.running {
        start(daemon, name).await?;
        if let Err(why) = health::wait(host, daemon, name, want).await {
            stop(daemon, name, want).await?;
            return Err(WriteError::failed(format!(
                "{why}\n{name} is stopped again, as it was."
            )));
        }
    }
    match (from.doing(), change.to.doing()) {
        (Doing::Paused, Doing::Running) => told(daemon, name, "unpause").await?,
        (Doing::Running | Doing::Stopped, Doing::Paused) => told(daemon, name, "pause").await?,
        _ => {}
    }
    Ok(Vec::new())
}

/// Is the container the one that the change was made for?
pub(super) async fn still(
    daemon: &Writer,
    name: &str,
    from: &ContainerState,
) -> Result<(), WriteError> {
    let now = kind::read(daemon, name).await?;
    match moved(&now, from) {
        None => Ok(()),
        Some(found) => Err(WriteError::Moved {
            what: format!("container {name}"),
            found,
        }),
    }
}

/// Has the daemon do something with a container that takes no more words: `pause`, `unpause`.
pub(super) async fn told(daemon: &Writer, name: &str, what: &str) -> Result<(), WriteError> {
    let path = format!("/containers/{}/{what}", encode(name));
    let done = daemon.post(&path, None).await?;
    done.map(drop).map_err(|r| refused(name, &r))
}

/// What is found, where it is not what the change was made for.
fn moved(now: &ContainerState, from: &ContainerState) -> Option<String> {
    let same = now.exists == from.exists
        && now.id == from.id
        && now.doing() == from.doing()
        && now.image_id == from.image_id
        && now.own == from.own
        && now.host == from.host
        && now.networks == from.networks;
    if same {
        return None;
    }
    Some(if now.exists {
        let id = now.id.get(..12).unwrap_or_default();
        let settings = if now.id == from.id && now.doing() == from.doing() {
            ", with other settings"
        } else {
            ""
        };
        format!("container {id} ({}), {}{settings}", now.image, now.status)
    } else {
        "no such container".to_owned()
    })
}

pub(super) fn with_left(error: &WriteError, left: String) -> WriteError {
    let message = match error {
        WriteError::Failed { message, .. } => message.clone(),
        other => other.to_string(),
    };
    WriteError::Failed {
        message,
        left: Some(left),
    }
}

/// A removed container is stopped and put aside, so that it can come back.
async fn remove(
    daemon: &Writer,
    name: &str,
    want: &ContainerWant,
    from: &ContainerState,
) -> Result<Vec<Kept>, WriteError> {
    if from.running {
        stop(daemon, name, want).await?;
    }
    if aside::goes_when_it_stops(from) && from.running {
        gone(daemon, &from.id).await?;
        return Ok(Vec::new());
    }
    if earlier::removes_volumes(want, from) {
        let gone = daemon
            .delete(&format!("/containers/{}?v=1", from.id))
            .await?;
        gone.map_err(|r| refused(name, &r))?;
        return Ok(Vec::new());
    }
    if from.is_composed() {
        aside::remove(daemon, &from.id).await?;
        return Ok(Vec::new());
    }
    let place = aside::old_name(name, &from.id);
    aside::rename(daemon, &from.id, &place).await?;
    aside::silence(daemon, &from.id, from).await?;
    Ok(vec![aside::kept(name, place, None)])
}

/// Waits until the daemon has removed a stopped container that was made with `--rm`.
pub(super) async fn gone(daemon: &Writer, id: &str) -> Result<(), WriteError> {
    for _ in 0..200 {
        if daemon
            .find(&format!("/containers/{id}/json"))
            .await?
            .is_none()
        {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(WriteError::failed(format!(
        "container {id} was made with --rm, but is still there 20 seconds after it was stopped"
    )))
}

pub(super) async fn stop(
    daemon: &Writer,
    name: &str,
    want: &ContainerWant,
) -> Result<(), WriteError> {
    let limit = want
        .stop_timeout
        .map(|t| format!("?t={t}"))
        .unwrap_or_default();
    let done = daemon
        .post(&format!("/containers/{}/stop{limit}", encode(name)), None)
        .await?;
    done.map(drop)
        .map_err(|r| refused(&format!("{name} could not be stopped"), &r))
}

/// Limits and restart policy are changed, networks left and joined, while it stays.
async fn in_place(
    daemon: &Writer,
    name: &str,
    from: &ContainerState,
    to: &ContainerState,
) -> Result<(), WriteError> {
    let mut update = Map::new();
    for key in ["Memory", "MemorySwap", "NanoCpus", "RestartPolicy"] {
        if from.host.get(key) != to.host.get(key)
            && let Some(value) = to.host.get(key)
        {
            // Without a name the daemon would leave the policy as it is.
            let unnamed = value.get("Name").and_then(Json::as_str) == Some("");
            let value = if unnamed {
                json!({"Name": "no"})
            } else {
                value.clone()
            };
            update.insert(key.to_owned(), value);
        }
    }
    if !update.is_empty() {
        let done = daemon
            .post(
                &format!("/containers/{}/update", encode(name)),
                Some(&Json::Object(update)),
            )
            .await?;
        done.map_err(|r| refused(name, &r))?;
    }
    for (network, settings) in &from.networks {
        if to.networks.get(network) == Some(settings) {
            continue;
        }
        let body = json!({"Container": name, "Force": true});
        let done = daemon
            .post(
                &format!("/networks/{}/disconnect", encode(network)),
                Some(&body),
            )
            .await?;
        match done {
            Err(r) if !r.message.contains("is not connected") => {
                return Err(refused(network, &r));
            }
            _ => {}
        }
    }
    for (network, settings) in &to.networks {
        if from.networks.get(network) != Some(settings) {
            join(daemon, name, network, settings).await?;
        }
    }
    Ok(())
}

pub(super) async fn join(
    daemon: &Writer,
    name: &str,
    network: &str,
    settings: &Json,
) -> Result<(), WriteError> {
    let body = json!({"Container": name, "EndpointConfig": settings});
    let done = daemon
        .post(
            &format!("/networks/{}/connect", encode(network)),
            Some(&body),
        )
        .await?;
    match done {
        Err(r) if r.status == 403 && r.message.contains("already exists") => Ok(()),
        other => other.map(drop).map_err(|r| refused(network, &r)),
    }
}

/// Restarts a container and waits until it is healthy.
pub(super) async fn restart(
    host: &Target,
    name: &str,
    want: &ContainerWant,
) -> Result<(), HostError> {
    let daemon = Writer::new(host);
    let limit = want
        .stop_timeout
        .map(|t| format!("?t={t}"))
        .unwrap_or_default();
    let done = daemon
        .post(
            &format!("/containers/{}/restart{limit}", encode(name)),
            None,
        )
        .await?;
    done.map_err(|r| failed(&format!("{name} could not be restarted"), &r))?;
    health::wait(host, &daemon, name, want)
        .await
        .map_err(HostError::failed)
}
