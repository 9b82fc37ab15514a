//! Having compose make a container, and watching over it. The one before is gone then; where the new one does not become
//! healthy, it is made again as it was.

use runbook_engine::host::{HostError, Target};
use runbook_engine::resource::{Kept, WriteError};
use serde_json::Value as Json;

use super::super::aside;
use super::super::client::Writer;
use super::super::health;
use super::super::kind;
use super::super::replace;
use super::super::saved::{self, Saved};
use super::super::starting;
use super::super::state::Mount;
use super::super::write::{self, Changed, with_left};
use super::listed::{self, id_of, name_of};
use super::{Composed, call};

/// One that compose makes.
#[derive(Clone, Copy)]
pub(in super::super) struct Next<'a> {
    pub name: &'a str,
    pub change: &'a Changed,
    pub composed: &'a Composed,
}

impl Next<'_> {
    /// The containers of its service.
    async fn there(&self, daemon: &Writer) -> Result<Vec<Json>, HostError> {
        let (project, service) = (&self.composed.call.project, &self.composed.service);
        listed::of_service(daemon, project, service).await
    }
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

/// Goes on with what was cut off: a container that is half there is the new one or the one before as a whole again. The new
/// ones are watched then; for the ones before the task begins anew. Gives what was put aside.
pub(in super::super) async fn recover(
    host: &Target,
    daemon: &Writer,
    all: &[Next<'_>],
) -> Result<Vec<Kept>, WriteError> {
    let Some(first) = all.first() else {
        return Ok(Vec::new());
    };
    let script = format!("(\n{}\n)", call::at_rest(&first.composed.call));
    if host.script(&script, None).await?.status != 0 {
        return Err(WriteError::failed(format!(
            "compose still brings up the project {}, five minutes after it was last seen; look what it waits for",
            first.composed.call.project
        )));
    }
    let mut copies: Vec<Saved> = Vec::new();
    let mut new = Vec::new();
    for next in all {
        let (want, from) = (&next.change.want, &next.change.from);
        let found = saved::found(host, next.name, want, from).await?;
        let there = next.there(daemon).await?;
        let before = there.iter().any(|one| id_of(one) == from.id);
        let other = there
            .iter()
            .find(|one| id_of(one) != from.id && is_called(one, next.name));
        match other {
            Some(other) if !before => {
                if name_of(other) != next.name {
                    aside::rename(daemon, id_of(other), next.name).await?;
                }
                starting::start(daemon, next.name).await?;
                copies.push(found);
                new.push(*next);
            }
            None if before => {
                // No new one has ever run: what was saved is what still stands there.
                saved::forget(host, want, from).await?;
                back(host, daemon, next, &Saved::default()).await?;
                copies.push(Saved::default());
            }
            _ => {
                back(host, daemon, next, &found).await?;
                copies.push(Saved::default());
            }
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
                String::from_utf8_lossy(&reply.stdout).trim()
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

/// The container before is there again as it was; what is said of it. What compose has made or left half way goes.
async fn back(
    host: &Target,
    daemon: &Writer,
    next: &Next<'_>,
    copies: &Saved,
) -> Result<Option<String>, WriteError> {
    let (name, from) = (next.name, &next.change.from);
    // Whatever fails here, the one before has to run again.
    let mut left = Vec::new();
    let mut there = false;
    for one in next.there(daemon).await? {
        let done = if id_of(&one) == from.id {
            there = true;
            // Compose names one that it is about to replace after its id.
            match name_of(&one) == name {
                true => Ok(()),
                false => aside::rename(daemon, id_of(&one), name).await,
            }
        } else if is_called(&one, name) {
            aside::remove(daemon, id_of(&one)).await
        } else {
            Ok(())
        };
        left.extend(done.err().map(|error| error.to_string()));
    }
    left.extend(saved::restore(host, copies).await);
    let again = match (from.exists, there) {
        (false, _) => Ok(()),
        (true, false) => replace::again(daemon, name, from).await,
        (true, true) if from.running => starting::start(daemon, &from.id).await,
        (true, true) => Ok(()),
    };
    left.extend(again.err().map(|error| error.to_string()));
    if !left.is_empty() {
        return Err(WriteError::failed(left.join("; ")));
    }
    Ok((from.exists && (!there || from.running)).then(|| {
        let runs = if from.running { " and runs" } else { "" };
        format!("The container {name} is as it was ({}){runs}.", from.image)
    }))
}

/// Has it this name, or one that is given to it for the time of a replacement: by compose `ID_NAME`, by us `NAME.runbook-new`?
fn is_called(one: &Json, name: &str) -> bool {
    let called = name_of(one);
    called == name || called.ends_with(&format!("_{name}")) || called == aside::new_name(name)
}
