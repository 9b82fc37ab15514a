//! A change of a container that was cut off half way.
//!
//! Up to the renaming of the new container the old one still is the one that is meant ([`super::aside`]), and the task
//! begins anew. After it the new one has the name: the old one is put aside for good, and the new one is started and
//! watched, as if nothing had been in between. Where the new one had failed and was on its way out, the old one comes
//! back first.

use runbook_engine::host::{HostError, Target};
use runbook_engine::resource::{Kept, WriteError};
use serde_json::Value as Json;

use super::client::{Writer, encode};
use super::replace::{self, Halfway};
use super::starting::start;
use super::state::Wanted;
use super::write::{Changed, stop};
use super::{aside, saved};

/// Carries on what was begun; what it keeps aside.
pub(super) async fn one(
    host: &Target,
    daemon: &Writer,
    name: &str,
    change: &Changed,
) -> Result<Vec<Kept>, WriteError> {
    let (from, want) = (&change.from, &change.want);
    if !from.exists {
        return Ok(Vec::new());
    }
    let place = aside::old_name(name, &from.id);
    let present = found(daemon, name).await?;
    let unborn = found(daemon, &aside::new_name(name)).await?;
    let old = found(daemon, &place)
        .await?
        .filter(|old| id(old) == from.id);
    let mut halfway = Halfway {
        old_is_aside: old.is_some(),
        id: String::new(),
        running: false,
    };
    match (&present, &unborn) {
        (None, None) if want.state == Wanted::Absent && old.is_some() => {
            aside::silence(daemon, &from.id, from).await?;
            // A daemon that was started again meanwhile may have started it.
            stop(daemon, &from.id, want).await?;
            return Ok(vec![aside::kept(name, place, None)]);
        }
        (None, None) if old.is_some() => {
            let copies = saved::found(host, name, want, from).await?;
            if let Some(left) = saved::restore(host, &copies).await {
                return Err(WriteError::failed(left));
            }
            aside::rename(daemon, &from.id, name).await?;
            aside::give_voice(daemon, &from.id, from).await?;
            if from.running {
                start(daemon, name).await?;
            }
            return Ok(Vec::new());
        }
        // The old one went when it was stopped (`--rm`): only the new one is left.
        (None, Some(new)) if old.is_none() && found(daemon, &from.id).await?.is_none() => {
            aside::rename(daemon, id(new), name).await?;
            halfway.id = id(new).to_owned();
        }
        // Reading finds the old one. The new one has never run: what was saved is what still stands there.
        (_, Some(_)) => {
            saved::forget(host, want, from).await?;
            return Ok(Vec::new());
        }
        (Some(new), None) if takes_its_place(new, change) => {
            halfway.id = id(new).to_owned();
            halfway.running = new.pointer("/State/Running") == Some(&Json::Bool(true));
        }
        _ => return Ok(Vec::new()),
    }
    replace::carry_on(host, daemon, name, change, halfway).await
}

/// Is it the one that the change puts there?
fn takes_its_place(new: &Json, change: &Changed) -> bool {
    let label = new
        .pointer("/Config/Labels")
        .and_then(|labels| labels.get(aside::REPLACES));
    let earlier = change.want.earlier.as_ref();
    id(new) != change.from.id
        && (label.and_then(Json::as_str) == Some(change.from.id.as_str())
            || earlier.is_some_and(|e| e.aside && e.state.id == id(new)))
}

async fn found(daemon: &Writer, name: &str) -> Result<Option<Json>, HostError> {
    daemon
        .find(&format!("/containers/{}/json", encode(name)))
        .await
}

fn id(inspected: &Json) -> &str {
    inspected
        .get("Id")
        .and_then(Json::as_str)
        .unwrap_or_default()
}
