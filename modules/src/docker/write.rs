//! Changing a container: replaced by stopping the old one and renaming it aside, starting the new one, watching it stay
//! healthy; else the old one comes back.

use runbook_engine::host::{HostError, Target};
use runbook_engine::resource::{Change, Kept, WriteError};
use runbook_engine::transport::quote::word;
use serde_json::{Value as Json, json};

use super::client::{Refused, Writer, encode, failed};
use super::state::{ContainerState, ContainerWant, Wanted};
use super::{health, kind, spec};

type Changed = Change<ContainerState, ContainerWant>;

fn refused(what: &str, refused: &Refused) -> WriteError {
    WriteError::failed(failed(what, refused).to_string())
}

/// One container.
pub(super) async fn one(
    host: &Target,
    daemon: &Writer,
    name: &str,
    change: &Changed,
) -> Result<Vec<Kept>, WriteError> {
    let now = kind::read(daemon, name).await?;
    let from = &change.from;
    if now.exists != from.exists
        || now.id != from.id
        || now.running != from.running
        || now.image_id != from.image_id
    {
        let found = if now.exists {
            format!(
                "container {} ({}), {}",
                now.id.get(..12).unwrap_or_default(),
                now.image,
                now.status
            )
        } else {
            "no such container".to_owned()
        };
        return Err(WriteError::Moved {
            what: format!("container {name}"),
            found,
        });
    }
    let want = &change.want;
    if want.state == Wanted::Absent {
        return remove(daemon, name, want, from).await;
    }
    let differences = spec::differences(want, &now);
    if !differences.anew.is_empty() {
        return replace(host, daemon, name, change).await;
    }
    in_place(daemon, name, change).await?;
    if change.to.running && !from.running {
        start(daemon, name).await?;
        if let Err(why) = health::wait(host, daemon, name, want).await {
            stop(daemon, name, want).await?;
            return Err(WriteError::failed(why));
        }
    } else if !change.to.running && from.running {
        stop(daemon, name, want).await?;
    }
    Ok(Vec::new())
}

/// A removed container is stopped and renamed aside, so that it can come back.
async fn remove(
    daemon: &Writer,
    name: &str,
    want: &ContainerWant,
    from: &ContainerState,
) -> Result<Vec<Kept>, WriteError> {
    if from.running {
        stop(daemon, name, want).await?;
    }
    if from.host.get("AutoRemove") == Some(&Json::Bool(true)) {
        return Ok(Vec::new());
    }
    if want.remove_volumes {
        let gone = daemon
            .delete(&format!("/containers/{}?v=1", encode(name)))
            .await?;
        gone.map_err(|r| refused(name, &r))?;
        return Ok(Vec::new());
    }
    let aside = aside(name, from);
    rename(daemon, name, &aside).await?;
    Ok(vec![kept(name, aside)])
}

fn aside(name: &str, from: &ContainerState) -> String {
    format!("{name}.runbook-{}", from.id.get(..8).unwrap_or("before"))
}

fn kept(name: &str, place: String) -> Kept {
    Kept {
        kind: "container".to_owned(),
        of: format!("container:{name}"),
        place,
        size: None,
        user: None,
    }
}

async fn rename(daemon: &Writer, from: &str, to: &str) -> Result<(), WriteError> {
    let done = daemon
        .post(
            &format!("/containers/{}/rename?name={}", encode(from), encode(to)),
            None,
        )
        .await?;
    done.map(drop).map_err(|r| refused(from, &r))
}

async fn start(daemon: &Writer, name: &str) -> Result<(), WriteError> {
    let done = daemon
        .post(&format!("/containers/{}/start", encode(name)), None)
        .await?;
    done.map(drop)
        .map_err(|r| refused(&format!("{name} could not be started"), &r))
}

async fn stop(daemon: &Writer, name: &str, want: &ContainerWant) -> Result<(), WriteError> {
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

/// Memory and restart policy are changed, networks left and joined, while it stays.
async fn in_place(daemon: &Writer, name: &str, change: &Changed) -> Result<(), WriteError> {
    let (from, to) = (&change.from, &change.to);
    let mut update = serde_json::Map::new();
    for key in ["Memory", "RestartPolicy"] {
        if from.host.get(key) != to.host.get(key) {
            if let Some(value) = to.host.get(key) {
                update.insert(key.to_owned(), value.clone());
                if key == "Memory" {
                    update.insert("MemorySwap".to_owned(), json!(-1));
                }
            }
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
    for network in from
        .networks
        .keys()
        .filter(|n| !to.networks.contains_key(*n))
    {
        let body = json!({"Container": name, "Force": true});
        let done = daemon
            .post(
                &format!("/networks/{}/disconnect", encode(network)),
                Some(&body),
            )
            .await?;
        done.map_err(|r| refused(network, &r))?;
    }
    for (network, settings) in to
        .networks
        .iter()
        .filter(|(n, _)| !from.networks.contains_key(*n))
    {
        join(daemon, name, network, settings).await?;
    }
    Ok(())
}

async fn join(
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

async fn replace(
    host: &Target,
    daemon: &Writer,
    name: &str,
    change: &Changed,
) -> Result<Vec<Kept>, WriteError> {
    let (from, to, want) = (&change.from, &change.to, &change.want);
    let mut kept_things = Vec::new();
    let aside_name = aside(name, from);
    let auto_remove = from.host.get("AutoRemove") == Some(&Json::Bool(true));
    if from.exists {
        if from.running {
            stop(daemon, name, want).await?;
        }
        if !auto_remove {
            if let Err(error) = rename(daemon, name, &aside_name).await {
                return Err(back(daemon, name, from, None, error).await);
            }
        }
        match save(host, want, from).await {
            Ok(saved) => kept_things.extend(
                saved
                    .into_iter()
                    .map(|path| kept(name, format!("copy:{path}"))),
            ),
            Err(error) => {
                let aside = (!auto_remove).then_some(aside_name.as_str());
                return Err(back(daemon, name, from, aside, error).await);
            }
        }
    }
    match bring_up(host, daemon, name, to, want).await {
        Ok(()) => {
            if from.exists && !auto_remove {
                kept_things.push(kept(name, aside_name));
            }
            Ok(kept_things)
        }
        Err(error) => {
            let _ = daemon
                .delete(&format!("/containers/{}?force=1", encode(name)))
                .await;
            restore(host, &kept_things).await;
            if !from.exists {
                return Err(error);
            }
            let aside = (!auto_remove).then_some(aside_name.as_str());
            Err(back(daemon, name, from, aside, error).await)
        }
    }
}

/// Makes, joins, starts and watches the new container.
async fn bring_up(
    host: &Target,
    daemon: &Writer,
    name: &str,
    to: &ContainerState,
    want: &ContainerWant,
) -> Result<(), WriteError> {
    let created = daemon
        .post(
            &format!("/containers/create?name={}", encode(name)),
            Some(&spec::body(to)),
        )
        .await?;
    created.map_err(|r| refused(&format!("{name} could not be made from {}", to.image), &r))?;
    let mode = to
        .host
        .get("NetworkMode")
        .and_then(Json::as_str)
        .unwrap_or("default");
    for (network, settings) in to
        .networks
        .iter()
        .filter(|(n, _)| *n != mode && !(mode == "default" && *n == "bridge"))
    {
        join(daemon, name, network, settings).await?;
    }
    if to.running {
        start(daemon, name).await?;
        health::wait(host, daemon, name, want)
            .await
            .map_err(WriteError::failed)?;
    }
    Ok(())
}

/// The old container comes back, as it was.
async fn back(
    daemon: &Writer,
    name: &str,
    from: &ContainerState,
    aside: Option<&str>,
    error: WriteError,
) -> WriteError {
    let mut left = None;
    let renamed = match aside {
        Some(aside) => rename(daemon, aside, name).await,
        None => Ok(()),
    };
    if let Err(e) = renamed {
        left = Some(format!(
            "the old container is still called {}: {e}",
            aside.unwrap_or(name)
        ));
    } else if from.running {
        if let Err(e) = start(daemon, name).await {
            left = Some(format!(
                "the old container {name} does not start again: {e}"
            ));
        }
    }
    let message = match &error {
        WriteError::Failed { message, .. } => message.clone(),
        other => other.to_string(),
    };
    let message = match &left {
        None => format!(
            "{message}\nThe old container {name} ({}) is back{}.",
            from.image,
            if from.running { " and runs" } else { "" }
        ),
        Some(_) => message,
    };
    WriteError::Failed { message, left }
}

/// Copies of the paths to be saved, made while nothing writes to them. Room is looked at first.
async fn save(
    host: &Target,
    want: &ContainerWant,
    from: &ContainerState,
) -> Result<Vec<String>, WriteError> {
    let mut saved = Vec::new();
    for path in &want.save {
        let copy = format!(
            "{}.runbook-{}",
            path.trim_end_matches('/'),
            from.id.get(..8).unwrap_or("before")
        );
        let (p, c) = (word(path), word(&copy));
        let script = format!(
            "[ -e {p} ] || exit 3; [ ! -e {c} ] || exit 4; n=$(du -sk {p} | cut -f1); \
             f=$(df -Pk {p} | awk 'NR==2{{print $4}}'); [ \"$f\" -gt \"$n\" ] || {{ echo \"needs $n KiB, free are $f KiB\"; exit 5; }}; \
             cp -a --reflink=auto {p} {c} 2>/dev/null || {{ rm -rf {c}; cp -a {p} {c}; }}"
        );
        let reply = host.script(&script, None).await?;
        match reply.status {
            0 => saved.push(copy),
            // Nothing there to be saved.
            3 => {}
            4 => saved.push(copy),
            _ => {
                let said = format!(
                    "{}{}",
                    String::from_utf8_lossy(&reply.stdout),
                    String::from_utf8_lossy(&reply.stderr)
                );
                return Err(WriteError::failed(format!(
                    "no copy of {path} could be kept: {}",
                    said.trim()
                )));
            }
        }
    }
    Ok(saved)
}

/// The saved copies take the place of what the failed container may have written.
async fn restore(host: &Target, kept: &[Kept]) {
    for copy in kept.iter().filter_map(|k| k.place.strip_prefix("copy:")) {
        let Some((path, _)) = copy.rsplit_once(".runbook-") else {
            continue;
        };
        let (p, c) = (word(path), word(copy));
        let script = format!("mv {p} {c}.failed && mv {c} {p} && rm -rf {c}.failed");
        let _ = host.script(&script, None).await;
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
