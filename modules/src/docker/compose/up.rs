//! Having compose make a container, and watching over it. The one before is gone then; where the new one does not become
//! healthy, it is made again as it was.

use runbook_engine::host::{HostError, Target};
use runbook_engine::resource::{Kept, WriteError};
use serde_json::Value as Json;

use super::super::aside;
use super::super::client::{Writer, encode};
use super::super::health;
use super::super::kind;
use super::super::replace;
use super::super::saved::{self, Saved};
use super::super::state::Mount;
use super::super::write::{self, Changed, with_left};
use super::{Composed, OF_PROJECT, OF_SERVICE, call};

/// One that compose makes.
#[derive(Clone, Copy)]
pub(in super::super) struct Next<'a> {
    pub name: &'a str,
    pub change: &'a Changed,
    pub composed: &'a Composed,
}

/// The containers of services of one project, out of its files as they are now.
pub(in super::super) async fn anew(
    host: &Target,
    daemon: &Writer,
    all: &[Next<'_>],
) -> Result<Vec<Kept>, WriteError> {
    let Some(first) = all.first() else {
        return Ok(Vec::new());
    };
    for next in all {
        write::still(daemon, next.name, &next.change.from).await?;
        saved::room(host, &next.change.want, &next.change.from, 1).await?;
    }
    let mut copies: Vec<Saved> = all.iter().map(|_| Saved::default()).collect();
    match made(host, daemon, all, first, &mut copies).await {
        Ok(()) => Ok(copies.into_iter().flat_map(|s| s.kept).collect()),
        Err(error) => Err(undone(host, daemon, all, &copies, error).await),
    }
}

/// Goes on with what was cut off, as far as compose had come: what is there already is watched, what is not is made when it is
/// asked for again. Gives what was put aside.
pub(in super::super) async fn recover(
    host: &Target,
    daemon: &Writer,
    all: &[Next<'_>],
) -> Result<Vec<Kept>, WriteError> {
    let mut copies: Vec<Saved> = Vec::new();
    let mut new = Vec::new();
    for next in all {
        let (want, from) = (&next.change.want, &next.change.from);
        let now = kind::read(daemon, next.name).await?;
        if from.exists && now.id == from.id {
            // No new one has ever run: what was saved is what still stands there.
            saved::forget(host, want, from).await?;
            copies.push(Saved::default());
            continue;
        }
        copies.push(saved::found(host, next.name, want, from).await?);
        if now.exists {
            new.push(*next);
        }
    }
    match watched(host, daemon, &new).await {
        Ok(()) => Ok(copies.into_iter().flat_map(|s| s.kept).collect()),
        Err(error) => Err(undone(host, daemon, all, &copies, error).await),
    }
}

/// All of them are what they were; what is said of it beside the error.
async fn undone(
    host: &Target,
    daemon: &Writer,
    all: &[Next<'_>],
    copies: &[Saved],
    error: WriteError,
) -> WriteError {
    let (mut said, mut left) = (Vec::new(), Vec::new());
    for (next, copies) in all.iter().zip(copies) {
        match back(host, daemon, next, copies).await {
            Ok(line) => said.extend(line),
            Err(error) => left.push(error.to_string()),
        }
    }
    let mut message = match error {
        WriteError::Failed { message, .. } => message,
        other => other.to_string(),
    };
    if !said.is_empty() {
        said.push("The project's files are not taken back.".to_owned());
        message = format!("{message}\n{}", said.join("\n"));
    }
    let error = WriteError::failed(message);
    if left.is_empty() {
        error
    } else {
        with_left(&error, left.join("; "))
    }
}

/// Compose makes them, and they become healthy.
async fn made(
    host: &Target,
    daemon: &Writer,
    all: &[Next<'_>],
    first: &Next<'_>,
    copies: &mut [Saved],
) -> Result<(), WriteError> {
    for (next, copies) in all.iter().zip(copies) {
        let (want, from) = (&next.change.want, &next.change.from);
        if from.exists && !want.save.is_empty() {
            if from.running {
                write::stop(daemon, next.name, want).await?;
            }
            *copies = saved::save(host, next.name, want, from).await?;
        }
    }
    let services: Vec<&str> = all.iter().map(|n| n.composed.service.as_str()).collect();
    let (call, timeout) = (&first.composed.call, first.change.want.stop_timeout);
    // Its functions are its own, not those of the shell that carries it.
    let script = format!("(\n{}\n)", call::up(call, &services, timeout));
    let reply = host.script(&script, None).await?;
    match reply.status {
        0 => {}
        91 => {
            return Err(WriteError::failed(
                "compose is not installed there any more",
            ));
        }
        status => {
            return Err(WriteError::failed(format!(
                "compose could not bring up {} ({status}): {}",
                services.join(", "),
                end_of(&String::from_utf8_lossy(&reply.stdout))
            )));
        }
    }
    watched(host, daemon, all).await
}

/// They hold what the ones before held, and become healthy.
async fn watched(host: &Target, daemon: &Writer, all: &[Next<'_>]) -> Result<(), WriteError> {
    for next in all {
        if let Some(why) = emptied(daemon, next.name, next.change).await? {
            return Err(WriteError::failed(why));
        }
    }
    for next in all {
        health::wait(host, daemon, next.name, &next.change.want)
            .await
            .map_err(WriteError::failed)?;
    }
    Ok(())
}

/// Volumes without a name hold what nobody else has. Version 1 knows them only of images that were built in a certain way, and
/// gives the new container empty ones for the others.
async fn emptied(
    daemon: &Writer,
    name: &str,
    change: &Changed,
) -> Result<Option<String>, HostError> {
    let now = kind::read(daemon, name).await?;
    let other = |was: &&Mount| {
        let is = now.mounts.iter().find(|m| m.target == was.target);
        was.anonymous && is.is_some_and(|is| is.anonymous && is.source != was.source)
    };
    Ok(change.from.mounts.iter().find(other).map(|was| {
        format!(
            "compose has given {name} a new, empty volume for {}; give it a volume with a name in the project's file, or a \
             folder, with what is in the volume {}",
            was.target, was.source
        )
    }))
}

/// The last lines of what a program has said.
fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join("\n")
}

/// The container before is there again as it was; what is said of it. What compose has made or left half way goes.
async fn back(
    host: &Target,
    daemon: &Writer,
    next: &Next<'_>,
    copies: &Saved,
) -> Result<Option<String>, WriteError> {
    let (name, composed, from) = (next.name, next.composed, &next.change.from);
    let mut there = false;
    for one in of_service(daemon, composed).await? {
        let text = |path: &str| one.pointer(path).and_then(Json::as_str).unwrap_or_default();
        let (id, called) = (text("/Id"), text("/Names/0").trim_start_matches('/'));
        if id == from.id {
            // Compose names one that it is about to replace after its id.
            if called != name {
                aside::rename(daemon, id, name).await?;
            }
            there = true;
        } else if called == name || called.ends_with(&format!("_{name}")) {
            aside::remove(daemon, id).await?;
        }
    }
    if let Some(left) = saved::restore(host, copies).await {
        return Err(WriteError::failed(left));
    }
    if !from.exists {
        return Ok(None);
    }
    if !there {
        replace::again(daemon, name, from).await?;
    } else if from.running {
        super::super::starting::start(daemon, name).await?;
    } else {
        return Ok(None);
    }
    let runs = if from.running { " and runs" } else { "" };
    Ok(Some(format!(
        "The container {name} is as it was ({}){runs}.",
        from.image
    )))
}

/// The containers of the service, whatever compose calls them at this moment.
async fn of_service(daemon: &Writer, composed: &Composed) -> Result<Vec<Json>, HostError> {
    let labels = [
        format!("{OF_PROJECT}={}", composed.call.project),
        format!("{OF_SERVICE}={}", composed.service),
    ];
    let filter = serde_json::json!({"label": labels}).to_string();
    let path = format!("/containers/json?all=1&filters={}", encode(&filter));
    let found = daemon.get(&path).await?;
    Ok(found.as_array().cloned().unwrap_or_default())
}
