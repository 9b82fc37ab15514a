//! Containers put aside: how they are called, and how a replacement is recognised that was cut off half way.
//!
//! A replacement makes the new container as `NAME.runbook-new`, puts the old one aside as `NAME.runbook-ID`, and gives
//! the new one its name. Cut off between the two renamings there is no `NAME`; then the old container still is the one
//! that is meant, and the next write gives it its name back first.

use runbook_engine::host::HostError;
use runbook_engine::resource::{Kept, WriteError};
use serde_json::{Value as Json, json};

use super::client::{Reader, Refused, Writer, encode, failed};
use super::state::ContainerState;

/// The label of a new container: id of the one whose place it takes.
pub(super) const REPLACES: &str = "org.runbook.replaces";

const MARK: &str = ".runbook-";

/// The name of a new container until it takes its place.
pub(super) fn new_name(name: &str) -> String {
    format!("{name}{MARK}new")
}

/// The name of an old container put aside.
pub(super) fn old_name(name: &str, id: &str) -> String {
    format!("{name}{MARK}{}", id.get(..8).unwrap_or("before"))
}

/// Is this the name of something put aside?
pub(super) fn is_aside(name: &str) -> bool {
    name.contains(MARK)
}

/// It was made to be removed as soon as it stops (`docker run --rm`).
pub(super) fn goes_when_it_stops(state: &ContainerState) -> bool {
    state.host.get("AutoRemove") == Some(&Json::Bool(true))
}

pub(super) fn kept(name: &str, place: String, size: Option<u64>) -> Kept {
    Kept {
        kind: "container".to_owned(),
        of: format!("container:{name}"),
        place,
        size,
        user: None,
    }
}

/// Where there is no container of this name: the old one of a replacement that was cut off, as the daemon describes it.
pub(super) async fn interrupted(daemon: &Reader, name: &str) -> Result<Option<Json>, HostError> {
    let path = format!("/containers/{}/json", encode(&new_name(name)));
    let Some(new) = daemon.find(&path).await? else {
        return Ok(None);
    };
    let replaced = new
        .pointer("/Config/Labels")
        .and_then(|labels| labels.get(REPLACES))
        .and_then(Json::as_str)
        .filter(|id| !id.is_empty());
    match replaced {
        Some(id) => daemon.find(&format!("/containers/{id}/json")).await,
        None => Ok(None),
    }
}

/// Brings what a cut off replacement left into order: the old container has its name, and no unfinished one is left.
pub(super) async fn settle(daemon: &Writer, name: &str) -> Result<(), WriteError> {
    let own = daemon
        .find(&format!("/containers/{}/json", encode(name)))
        .await?;
    if own.is_none()
        && let Some(old) = interrupted(daemon, name).await?
        && let Some(id) = old.get("Id").and_then(Json::as_str)
    {
        rename(daemon, id, name).await?;
    }
    let new = daemon
        .find(&format!("/containers/{}/json", encode(&new_name(name))))
        .await?;
    if let Some(id) = new
        .as_ref()
        .and_then(|n| n.get("Id"))
        .and_then(Json::as_str)
    {
        remove(daemon, id).await?;
    }
    Ok(())
}

/// Removes a container that is not to be kept; its volumes stay where another container has them.
pub(super) async fn remove(daemon: &Writer, id: &str) -> Result<(), WriteError> {
    let gone = daemon
        .delete(&format!("/containers/{}?force=1", encode(id)))
        .await?;
    gone.map(drop).map_err(|r| refused(id, &r))
}

pub(super) async fn rename(daemon: &Writer, from: &str, to: &str) -> Result<(), WriteError> {
    let path = format!("/containers/{}/rename?name={}", encode(from), encode(to));
    let done = daemon.post(&path, None).await?;
    done.map(drop)
        .map_err(|r| refused(&format!("it could not be named {to}"), &r))
}

/// One that is put aside must not come back when the daemon or the machine starts again.
pub(super) async fn silence(
    daemon: &Writer,
    id: &str,
    state: &ContainerState,
) -> Result<(), WriteError> {
    let policy = state.host.pointer("/RestartPolicy/Name");
    if matches!(policy.and_then(Json::as_str), None | Some("" | "no")) {
        return Ok(());
    }
    mute(daemon, id).await
}

/// It does not start again by itself.
pub(super) async fn mute(daemon: &Writer, id: &str) -> Result<(), WriteError> {
    set_policy(daemon, id, &json!({"Name": "no"})).await
}

/// Undoes [`silence`].
pub(super) async fn give_voice(
    daemon: &Writer,
    id: &str,
    state: &ContainerState,
) -> Result<(), WriteError> {
    match state.host.get("RestartPolicy") {
        Some(policy) if !goes_when_it_stops(state) => set_policy(daemon, id, policy).await,
        _ => Ok(()),
    }
}

async fn set_policy(daemon: &Writer, id: &str, policy: &Json) -> Result<(), WriteError> {
    let body = json!({"RestartPolicy": policy});
    let done = daemon
        .post(&format!("/containers/{}/update", encode(id)), Some(&body))
        .await?;
    done.map(drop).map_err(|r| refused(id, &r))
}

pub(super) fn refused(what: &str, refused: &Refused) -> WriteError {
    WriteError::failed(failed(what, refused).to_string())
}
