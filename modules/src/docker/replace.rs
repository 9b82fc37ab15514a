//! Replacing a container: the new one is made beside the old one, which is then stopped and put aside; the new one takes
//! its name, is started and watched. If it does not stay healthy, the old one comes back.

use runbook_engine::host::Target;
use runbook_engine::resource::{Kept, WriteError};
use serde_json::{Value as Json, json};

use super::aside::{self, refused};
use super::body::body;
use super::client::{Writer, encode};
use super::state::{ContainerState, ContainerWant};
use super::write::{Changed, gone, join, start, stop, with_left};
use super::{health, saved};

pub(super) async fn replace(
    host: &Target,
    daemon: &Writer,
    name: &str,
    change: &Changed,
) -> Result<Vec<Kept>, WriteError> {
    let (from, to, want) = (&change.from, &change.to, &change.want);
    if from.exists {
        saved::room(host, want, from).await?;
    }
    // What is wrong with the new container's settings shows while the old one still runs.
    let new = make(daemon, &aside::new_name(name), to, &from.id).await?;
    let mut old = Old {
        name,
        state: from,
        stopped: false,
        place: None,
        kept: Vec::new(),
    };
    match swap(host, daemon, &new, &mut old, to, want).await {
        Ok(()) => Ok(old.kept),
        Err(error) => {
            let left = back(host, daemon, &new, &old).await;
            Err(told(error, &old, left))
        }
    }
}

/// The old container on its way aside: how far it is.
struct Old<'a> {
    name: &'a str,
    state: &'a ContainerState,
    stopped: bool,
    place: Option<String>,
    kept: Vec<Kept>,
}

/// Makes a container and has it join its networks; gives its id. It holds no port and no address before it starts.
async fn make(
    daemon: &Writer,
    as_name: &str,
    to: &ContainerState,
    replaces: &str,
) -> Result<String, WriteError> {
    let mut made = body(to);
    if let Some(config) = made.create.as_object_mut() {
        let labels = config.entry("Labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(aside::REPLACES.to_owned(), json!(replaces));
        }
    }
    let created = daemon
        .post(
            &format!("/containers/create?name={}", encode(as_name)),
            Some(&made.create),
        )
        .await?;
    let created = created
        .map_err(|r| refused(&format!("no container could be made from {}", to.image), &r))?;
    let id = created.get("Id").and_then(Json::as_str).unwrap_or_default();
    for (network, settings) in &made.join {
        if let Err(error) = join(daemon, id, network, settings).await {
            return Err(match aside::remove(daemon, id).await {
                Ok(()) => error,
                Err(left) => with_left(&error, left.to_string()),
            });
        }
    }
    Ok(id.to_owned())
}

async fn swap(
    host: &Target,
    daemon: &Writer,
    new: &str,
    old: &mut Old<'_>,
    to: &ContainerState,
    want: &ContainerWant,
) -> Result<(), WriteError> {
    let (name, from) = (old.name, old.state);
    if from.exists {
        if from.running {
            old.stopped = true;
            stop(daemon, &from.id, want).await?;
        }
        old.kept = saved::save(host, name, want, from).await?;
        if aside::goes_when_it_stops(from) && from.running {
            gone(daemon, &from.id).await?;
        } else {
            let place = aside::old_name(name, &from.id);
            aside::rename(daemon, &from.id, &place).await?;
            old.place = Some(place);
        }
    }
    aside::rename(daemon, new, name).await?;
    if let Some(place) = &old.place {
        aside::silence(daemon, &from.id, from).await?;
        old.kept.push(aside::kept(name, place.clone(), None));
    }
    if to.running {
        start(daemon, name).await?;
        health::wait(host, daemon, name, want)
            .await
            .map_err(WriteError::failed)?;
    }
    Ok(())
}

/// The new container goes, the old one comes back as it was. `Some`: what could not be brought back.
async fn back(host: &Target, daemon: &Writer, new: &str, old: &Old<'_>) -> Option<String> {
    let (name, from) = (old.name, old.state);
    if from.exists && aside::goes_when_it_stops(from) && old.stopped && old.place.is_none() {
        return remade(host, daemon, new, old).await;
    }
    if let Err(error) = aside::remove(daemon, new).await {
        return Some(format!("the new container {name} is still there: {error}"));
    }
    let files = saved::restore(host, &old.kept).await;
    if let Some(place) = &old.place {
        if let Err(error) = aside::rename(daemon, &from.id, name).await {
            return Some(format!(
                "the old container is still called {place}: {error}"
            ));
        }
        if let Err(error) = aside::give_voice(daemon, &from.id, from).await {
            return Some(format!("{name} has lost its restart policy: {error}"));
        }
    }
    if old.stopped
        && let Err(error) = start(daemon, name).await
    {
        return Some(format!(
            "the old container {name} does not start again: {error}"
        ));
    }
    files
}

/// One that was made with `--rm` is gone; it is made again. Its volumes without a name live on as long as the new
/// container has them, so that one goes last.
async fn remade(host: &Target, daemon: &Writer, new: &str, old: &Old<'_>) -> Option<String> {
    let name = old.name;
    let lost = |why: String| {
        Some(format!(
            "the old container {name} is gone (it was made with --rm): {why}"
        ))
    };
    // The failed one may still write; it may hold the ports.
    let _ = daemon.post(&format!("/containers/{new}/stop"), None).await;
    let files = saved::restore(host, &old.kept).await;
    let again = match make(daemon, &aside::old_name(name, &old.state.id), old.state, "").await {
        Ok(again) => again,
        Err(error) => return lost(error.to_string()),
    };
    if let Err(error) = aside::remove(daemon, new).await {
        return lost(error.to_string());
    }
    if let Err(error) = aside::rename(daemon, &again, name).await {
        return lost(error.to_string());
    }
    match start(daemon, name).await {
        Ok(()) => files,
        Err(error) => lost(error.to_string()),
    }
}

fn told(error: WriteError, old: &Old<'_>, left: Option<String>) -> WriteError {
    if let Some(left) = left {
        return with_left(&error, left);
    }
    if !old.state.exists || (!old.stopped && old.place.is_none()) {
        return error;
    }
    let message = match &error {
        WriteError::Failed { message, .. } => message.clone(),
        other => other.to_string(),
    };
    WriteError::failed(format!(
        "{message}\nThe old container {} ({}) is back{}.",
        old.name,
        old.state.image,
        if old.stopped { " and runs" } else { "" }
    ))
}
