//! Replacing a container: the next one is made beside the present one, or is one that was put aside earlier. The
//! present one is stopped and put aside; the next one takes its name, is started and watched. If it does not stay
//! healthy, the present one comes back.

use std::time::Duration;

use runbook_engine::host::{HostError, Target};
use runbook_engine::resource::{Kept, WriteError};
use serde_json::{Value as Json, json};

use super::aside::{self, REPLACES, refused};
use super::body::body;
use super::client::{Writer, encode};
use super::health;
use super::saved::{self, Saved};
use super::starting::start;
use super::state::{ContainerState, ContainerWant, Doing};
use super::unpacked;
use super::write::{Changed, gone, join, stop, told, with_left};

/// Makes a container again that is gone, under its name, and starts it where it ran.
pub(super) async fn again(
    daemon: &Writer,
    name: &str,
    was: &ContainerState,
) -> Result<(), WriteError> {
    let id = make(daemon, &aside::new_name(name), was, (REPLACES, "")).await?;
    aside::rename(daemon, &id, name).await?;
    if was.running {
        start(daemon, &id).await?;
    }
    Ok(())
}

pub(super) async fn replace(
    host: &Target,
    daemon: &Writer,
    name: &str,
    change: &Changed,
) -> Result<Vec<Kept>, WriteError> {
    let (from, to, want) = (&change.from, &change.to, &change.want);
    let brought = want.earlier.as_ref().filter(|e| e.aside);
    if from.exists {
        // What was saved earlier is copied back too.
        let copies = if want.earlier.is_some() { 2 } else { 1 };
        saved::room(host, want, from, copies).await?;
    }
    unpacked::check(host, want).await?;
    let new = match brought {
        Some(earlier) => find(daemon, name, &earlier.state).await?,
        // What is wrong with the new container's settings shows while the old one still runs.
        None => New {
            id: make(daemon, &aside::new_name(name), to, (REPLACES, &from.id)).await?,
            brought: None,
            earlier: want.earlier.as_ref().map(|e| &e.state),
        },
    };
    let mut old = Old {
        name,
        state: from,
        stopped: false,
        place: None,
        saved: Saved::default(),
    };
    match swap(host, daemon, &new, &mut old, to, want).await {
        Ok(()) => {
            if let Some(earlier) = new.earlier {
                // What they hold is in its place again, and a later copy goes where they are.
                saved::drop_earlier(host, want, earlier).await;
            }
            not_beside(daemon, old).await
        }
        Err(error) => {
            let left = back(host, daemon, &new, &old).await;
            Err(explained(error, &old, left))
        }
    }
}

/// How far a replacement had come that was cut off once the new container had the name.
pub(super) struct Halfway {
    /// The new container.
    pub id: String,
    /// It was started.
    pub running: bool,
    /// The old one is put aside, and has not gone with its end (`--rm`).
    pub old_is_aside: bool,
}

/// Goes on with it as if nothing had been in between.
pub(super) async fn carry_on(
    host: &Target,
    daemon: &Writer,
    name: &str,
    change: &Changed,
    halfway: Halfway,
) -> Result<Vec<Kept>, WriteError> {
    let (from, to, want) = (&change.from, &change.to, &change.want);
    let brought = want.earlier.as_ref();
    let brought = brought.filter(|e| e.aside && e.state.id == halfway.id);
    let new = New {
        id: halfway.id,
        brought: brought.map(|e| &e.state),
        earlier: want.earlier.as_ref().map(|e| &e.state),
    };
    let place = halfway
        .old_is_aside
        .then(|| aside::old_name(name, &from.id));
    if place.is_some() {
        // A daemon that was started again meanwhile starts one with such a policy, though it had been stopped: it has the ports,
        // and writes where the new one is to write.
        aside::silence(daemon, &from.id, from).await?;
        stop(daemon, &from.id, want).await?;
    }
    let mut old = Old {
        name,
        state: from,
        stopped: from.running,
        place,
        saved: saved::found(host, name, want, from).await?,
    };
    if !halfway.running && from.exists {
        saved::complete(host, name, want, from, &mut old.saved).await?;
    }
    match settle(host, daemon, &new, &mut old, to, want, halfway.running).await {
        Ok(()) => {
            if let Some(earlier) = new.earlier {
                saved::drop_earlier(host, want, earlier).await;
            }
            not_beside(daemon, old).await
        }
        Err(error) => {
            let left = back(host, daemon, &new, &old).await;
            Err(explained(error, &old, left))
        }
    }
}

/// What is kept of the old one; where it is compose's it does not stay beside the new one.
async fn not_beside(daemon: &Writer, old: Old<'_>) -> Result<Vec<Kept>, WriteError> {
    let mut kept = old.saved.kept;
    if let Some(place) = old.place.filter(|_| old.state.is_composed()) {
        aside::remove(daemon, &old.state.id).await?;
        kept.retain(|kept| kept.place != place);
    }
    Ok(kept)
}

/// The container that comes.
struct New<'a> {
    id: String,
    /// It is one that was put aside; its state before that.
    brought: Option<&'a ContainerState>,
    /// It is one that was there earlier, or is made like it.
    earlier: Option<&'a ContainerState>,
}

/// The one that was put aside.
async fn find<'a>(
    daemon: &Writer,
    name: &str,
    earlier: &'a ContainerState,
) -> Result<New<'a>, WriteError> {
    let path = format!("/containers/{}/json", encode(&earlier.id));
    if daemon.find(&path).await?.is_none() {
        return Err(WriteError::failed(format!(
            "the container that {name} was before ({}, {}) is not on the host any more; `runbook close` removes such \
             containers",
            earlier.image,
            earlier.id.get(..12).unwrap_or_default()
        )));
    }
    Ok(New {
        id: earlier.id.clone(),
        brought: Some(earlier),
        earlier: Some(earlier),
    })
}

impl New<'_> {
    /// It has the name: now it gets back what was taken from it when it was put aside, and what was saved of it.
    async fn revive(
        &self,
        host: &Target,
        daemon: &Writer,
        want: &ContainerWant,
    ) -> Result<(), WriteError> {
        if let Some(earlier) = self.brought {
            aside::give_voice(daemon, &self.id, earlier).await?;
        }
        match self.earlier {
            Some(earlier) => saved::bring(host, want, earlier).await,
            None => Ok(()),
        }
    }

    /// It goes where it came from.
    async fn away(&self, daemon: &Writer, name: &str) -> Result<(), WriteError> {
        let Some(earlier) = self.brought else {
            return aside::remove(daemon, &self.id).await;
        };
        let place = aside::old_name(name, &earlier.id);
        let path = format!("/containers/{}/json", encode(&place));
        if daemon.find(&path).await?.is_some() {
            return Ok(());
        }
        let _ = daemon
            .post(&format!("/containers/{}/stop", self.id), None)
            .await;
        aside::rename(daemon, &self.id, &place).await?;
        aside::silence(daemon, &self.id, earlier).await
    }

    /// It goes, or at least gives way where it cannot go: it does not run, does not come back by itself, and leaves the
    /// name to the old one. What could not be done.
    async fn give_way(&self, daemon: &Writer, name: &str) -> Vec<String> {
        let Err(error) = self.away(daemon, name).await else {
            return Vec::new();
        };
        let mut left = vec![format!("the new container could not be removed: {error}")];
        let path = format!("/containers/{}", self.id);
        let inspected = match daemon.find(&format!("{path}/json")).await {
            Ok(None) => return Vec::new(),
            Ok(Some(inspected)) => inspected,
            Err(_) => Json::Null,
        };
        let temporary = inspected.pointer("/HostConfig/AutoRemove") == Some(&Json::Bool(true));
        if !temporary && let Err(error) = aside::mute(daemon, &self.id).await {
            left.push(format!("it keeps its restart policy: {error}"));
        }
        let stopped = daemon.post(&format!("{path}/stop"), None).await;
        if !matches!(stopped, Ok(Ok(_)))
            && let Err(error) = killed(daemon, &self.id).await
        {
            left.push(format!("it could not be stopped: {error}"));
        }
        // The daemon was perhaps starting it again just when it got its policy, and then wrote the one of before.
        if !temporary {
            let _ = aside::mute(daemon, &self.id).await;
        }
        let ran = inspected.pointer("/State/Running") == Some(&Json::Bool(true));
        if temporary && ran && gone(daemon, &self.id).await.is_ok() {
            return Vec::new();
        }
        // Under this name the next run removes an unfinished one.
        let place = match self.brought {
            Some(earlier) => aside::old_name(name, &earlier.id),
            None => aside::new_name(name),
        };
        let called = inspected.get("Name").and_then(Json::as_str);
        if called == Some(format!("/{place}").as_str()) {
            return left;
        }
        left.push(match aside::rename(daemon, &self.id, &place).await {
            Ok(()) => format!("it is called {place} now"),
            Err(error) => format!("it is still called {name}: {error}"),
        });
        left
    }
}

/// Ends one that does not stop; one that does not run has ended.
async fn killed(daemon: &Writer, id: &str) -> Result<(), WriteError> {
    let done = daemon.post(&format!("/containers/{id}/kill"), None).await?;
    match done {
        Err(r) if r.status == 409 => Ok(()),
        other => other.map(drop).map_err(|r| refused(id, &r)),
    }
}

/// The old container on its way aside: how far it is.
struct Old<'a> {
    name: &'a str,
    state: &'a ContainerState,
    stopped: bool,
    place: Option<String>,
    saved: Saved,
}

/// Makes a container with a label of ours and has it join its networks; gives its id. It holds no port and no address before
/// it starts.
pub(super) async fn make(
    daemon: &Writer,
    as_name: &str,
    to: &ContainerState,
    (label, value): (&str, &str),
) -> Result<String, WriteError> {
    let mut made = body(to);
    if let Some(id) = other_content(daemon, to).await? {
        made.create["Image"] = json!(id);
    }
    if let Some(config) = made.create.as_object_mut() {
        let labels = config.entry("Labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(label.to_owned(), json!(value));
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

/// The id of its image, where the image's name means another one by now.
async fn other_content(daemon: &Writer, to: &ContainerState) -> Result<Option<String>, HostError> {
    let path = format!("/images/{}/json", encode(&to.image));
    let image = daemon.find(&path).await?;
    let id = image.as_ref().and_then(|i| i.get("Id")?.as_str());
    Ok((!to.image_id.is_empty() && id != Some(&to.image_id)).then(|| to.image_id.clone()))
}

async fn swap(
    host: &Target,
    daemon: &Writer,
    new: &New<'_>,
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
        old.saved = saved::save(host, name, want, from).await?;
        if aside::goes_when_it_stops(from) && from.running {
            gone(daemon, &from.id).await?;
        } else {
            let place = aside::old_name(name, &from.id);
            aside::rename(daemon, &from.id, &place).await?;
            old.place = Some(place);
        }
    }
    aside::rename(daemon, &new.id, name).await?;
    settle(host, daemon, new, old, to, want, false).await
}

/// The new container has the name: the old one is put aside for good, the new one is started and watched.
async fn settle(
    host: &Target,
    daemon: &Writer,
    new: &New<'_>,
    old: &mut Old<'_>,
    to: &ContainerState,
    want: &ContainerWant,
    started: bool,
) -> Result<(), WriteError> {
    let (name, from) = (old.name, old.state);
    if let Some(place) = &old.place {
        aside::silence(daemon, &from.id, from).await?;
        old.saved.kept.push(aside::kept(name, place.clone(), None));
    }
    if !started {
        new.revive(host, daemon, want).await?;
        unpacked::unpack(host, want).await?;
    }
    if to.running {
        if !started {
            start(daemon, name).await?;
        }
        health::wait(host, daemon, name, want)
            .await
            .map_err(WriteError::failed)?;
    }
    if to.doing() == Doing::Paused {
        told(daemon, name, "pause").await?;
    }
    Ok(())
}

/// A daemon that has ended is mostly started again, by what watches over it, within this time.
const RESTART: Duration = Duration::from_secs(30);

/// The new container goes, the old one comes back as it was. `Some`: what could not be brought back.
async fn back(host: &Target, daemon: &Writer, new: &New<'_>, old: &Old<'_>) -> Option<String> {
    let (name, from) = (old.name, old.state);
    if !daemon.answers_within(RESTART).await {
        // The directories stay with the container that has the name: when the daemon comes, it may start that one.
        let place = old.place.as_ref();
        let aside = place.map_or_else(String::new, |p| format!(", the old one stands by as {p}"));
        return Some(format!(
            "the Docker daemon does not answer, so all is as it stood then: the new container is made{aside}; \
             where it answers again, `runbook resume` goes on from there"
        ));
    }
    if from.exists && aside::goes_when_it_stops(from) && old.stopped && old.place.is_none() {
        return remade(host, daemon, new, old).await;
    }
    // Whatever fails here, the old one has to run again.
    let mut left = new.give_way(daemon, name).await;
    left.extend(saved::restore(host, &old.saved).await);
    let mut called = name;
    if let Some(place) = &old.place {
        if let Err(error) = aside::rename(daemon, &from.id, name).await {
            left.push(format!(
                "the old container is still called {place}: {error}"
            ));
            called = place;
        }
        if let Err(error) = aside::give_voice(daemon, &from.id, from).await {
            left.push(format!(
                "the old container has lost its restart policy: {error}"
            ));
        }
    }
    if old.stopped {
        match start(daemon, &from.id).await {
            Ok(()) if left.is_empty() => {}
            Ok(()) => left.push(format!("the old container runs as {called}")),
            Err(error) => left.push(format!(
                "the old container {called} does not start again: {error}"
            )),
        }
    }
    (!left.is_empty()).then(|| left.join("; "))
}

/// One that was made with `--rm` is gone; it is made again. Its volumes without a name live on as long as the new
/// container has them, so that one goes last.
async fn remade(host: &Target, daemon: &Writer, new: &New<'_>, old: &Old<'_>) -> Option<String> {
    let name = old.name;
    let lost = |why: String| {
        Some(format!(
            "the old container {name} is gone (it was made with --rm): {why}"
        ))
    };
    // The failed one may still write; it may hold the ports.
    let _ = daemon
        .post(&format!("/containers/{}/stop", new.id), None)
        .await;
    let mut left: Vec<String> = saved::restore(host, &old.saved).await.into_iter().collect();
    let place = aside::old_name(name, &old.state.id);
    let again = match make(daemon, &place, old.state, (REPLACES, "")).await {
        Ok(again) => again,
        Err(error) => return lost(error.to_string()),
    };
    left.extend(new.give_way(daemon, name).await);
    if let Err(error) = aside::rename(daemon, &again, name).await {
        left.push(format!(
            "what was made in its place is not called {name}: {error}"
        ));
    }
    if let Err(error) = start(daemon, &again).await {
        left.push(format!(
            "what was made in its place does not start: {error}"
        ));
        return lost(left.join("; "));
    }
    if left.is_empty() {
        return None;
    }
    left.push("the old container was made again and runs".to_owned());
    Some(left.join("; "))
}

fn explained(error: WriteError, old: &Old<'_>, left: Option<String>) -> WriteError {
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
