//! The kind `container`.

use std::time::Duration;

use async_trait::async_trait;
use runbook_engine::host::{Address, HostError, Probe, Target};
use runbook_engine::resource::{Change, Kept, KeyedChange, Kind, Ref, Reversible, WriteError};
use serde_json::Value as Json;

use super::client::{self, Reader, Writer, encode, failed};
use super::compose::up::{self, Next};
use super::desired::desired;
use super::state::{ContainerKey, ContainerState, ContainerWant};
use super::{aside, earlier, inspect, recover, secret, spec, write};

/// Containers of the host's Docker daemon.
pub struct Container;

/// Reads one container.
pub async fn read(daemon: &Reader, name: &str) -> Result<ContainerState, HostError> {
    let Some(inspected) = daemon
        .find(&format!("/containers/{}/json", encode(name)))
        .await?
    else {
        return match aside::interrupted(daemon, name).await? {
            Some(inspected) => state_of(daemon, &inspected).await,
            None => Ok(ContainerState::default()),
        };
    };
    // The daemon also finds containers by the beginning of their id.
    if inspected.get("Name").and_then(Json::as_str) != Some(format!("/{name}").as_str()) {
        return Ok(ContainerState::default());
    }
    state_of(daemon, &inspected).await
}

/// With what its image says of itself.
async fn state_of(daemon: &Reader, inspected: &Json) -> Result<ContainerState, HostError> {
    let image = inspected
        .get("Image")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let config = match daemon
        .find(&format!("/images/{}/json", encode(image)))
        .await?
    {
        Some(image) => image.get("Config").cloned().unwrap_or(Json::Null),
        None => Json::Null,
    };
    Ok(inspect::state(inspected, &config))
}

/// The address of a port of a running container, as seen from the host.
pub async fn address_of(probe: &Probe, name: &str, port: u16) -> Result<Address, HostError> {
    let state = read(&Reader::new(probe), name).await?;
    address_in(&state, name, port)
}

/// See [`address_of`].
pub fn address_in(state: &ContainerState, name: &str, port: u16) -> Result<Address, HostError> {
    if !state.exists {
        return Err(HostError::failed(format!("there is no container {name}")));
    }
    if !state.running {
        return Err(HostError::failed(format!(
            "container {name} does not run; start it first"
        )));
    }
    if state.host.get("NetworkMode").and_then(Json::as_str) == Some("host") {
        return Ok(Address::Tcp("127.0.0.1".to_owned(), port));
    }
    match state.addresses.values().next() {
        Some(address) => Ok(Address::Tcp(address.clone(), port)),
        None => Err(HostError::failed(format!(
            "container {name} has no address of its own, so port {port} cannot be reached"
        ))),
    }
}

#[async_trait]
impl Kind for Container {
    type Key = ContainerKey;
    type State = ContainerState;
    type Want = ContainerWant;

    const NAME: &'static str = "container";
    const STIRS: bool = true;

    async fn read(
        &self,
        host: &Probe,
        keys: &[ContainerKey],
    ) -> Vec<Result<ContainerState, HostError>> {
        let daemon = Reader::new(host);
        client::side_by_side(keys.iter().map(|key| read(&daemon, &key.name))).await
    }

    fn differences(&self, want: &ContainerWant, read: &ContainerState) -> Vec<String> {
        spec::differences(want, read).lines()
    }

    fn predict(&self, want: &ContainerWant, from: &ContainerState) -> ContainerState {
        let differences = spec::differences(want, from);
        let mut to = desired(want, from);
        if !differences.anew.is_empty() {
            // Known only after: the daemon gives these.
            to.id.clear();
            to.started_at.clear();
            to.addresses.clear();
            to.restart_count = 0;
        } else if from.running != to.running {
            to.started_at.clear();
            to.addresses.clear();
        }
        to
    }

    fn text(&self, _: &ContainerKey, state: &ContainerState) -> Option<String> {
        Some(spec::text(state))
    }

    fn runs(&self, state: &ContainerState) -> Option<bool> {
        Some(state.exists && state.running)
    }

    fn secrets(&self, state: &ContainerState) -> Vec<String> {
        secret::of(state)
    }

    fn reversible(
        &self,
        change: &Change<ContainerState, ContainerWant>,
        _: &ContainerKey,
    ) -> Reversible {
        earlier::reversible(change)
    }

    /// One that has stopped or been started since is still the one that was left.
    fn still(
        &self,
        _: &ContainerKey,
        change: &Change<ContainerState, ContainerWant>,
        now: &ContainerState,
    ) -> bool {
        let left = ContainerState {
            running: now.running,
            status: now.status.clone(),
            ..change.to.clone()
        };
        left.exists == now.exists
            && (!left.exists
                || (left.env() == now.env()
                    && (left.image_id.is_empty() || left.image_id == now.image_id)
                    && spec::alike(&left, now)))
    }

    fn drifted(
        &self,
        _: &ContainerKey,
        _: Option<&ContainerWant>,
        was: &ContainerState,
        now: &ContainerState,
    ) -> Vec<String> {
        spec::drifted(was, now)
    }

    fn back(
        &self,
        _: &ContainerKey,
        change: &Change<ContainerState, ContainerWant>,
    ) -> Option<ContainerWant> {
        Some(earlier::back(change))
    }

    fn assumes(
        &self,
        key: &ContainerKey,
        change: &Change<ContainerState, ContainerWant>,
    ) -> Vec<String> {
        let starts = change.to.running && !change.from.running;
        let anew = !spec::differences(&change.want, &change.from)
            .anew
            .is_empty();
        if change.to.running && (starts || anew) && change.want.healthy.is_some() {
            return vec![format!(
                "container {} becomes healthy with {}",
                key.name, change.to.image
            )];
        }
        Vec::new()
    }

    fn touched_by(&self, key: &ContainerKey, written: &Ref) -> bool {
        written.kind == Self::NAME && (written.id == key.name || written.id == "*")
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        let daemon = Writer::new(host);
        let (composed, others) = by_compose(changes);
        let mut kept = Vec::new();
        for change in others {
            kept.extend(write::one(host, &daemon, &change.key.name, &change.change).await?);
        }
        kept.extend(up::anew(host, &daemon, &composed).await?);
        Ok(kept)
    }

    async fn recover(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        let daemon = Writer::new(host);
        let (composed, others) = by_compose(changes);
        let mut kept = Vec::new();
        for change in others {
            kept.extend(recover::one(host, &daemon, &change.key.name, &change.change).await?);
        }
        kept.extend(up::recover(host, &daemon, &composed).await?);
        Ok(kept)
    }

    fn deadline(&self, _: &ContainerKey, want: &ContainerWant) -> Duration {
        Duration::from_secs(want.within.max(10))
    }

    async fn discard(&self, host: &Target, kept: &Kept) -> Result<(), HostError> {
        if let Some(path) = kept.place.strip_prefix("copy:") {
            let script = format!("rm -rf -- {}", runbook_engine::transport::quote::word(path));
            let reply = host.script(&script, None).await?;
            if reply.status != 0 {
                return Err(HostError::failed(
                    String::from_utf8_lossy(&reply.stderr).trim().to_owned(),
                ));
            }
            return Ok(());
        }
        if !aside::is_aside(&kept.place) {
            return Err(HostError::failed(format!(
                "{} is no container that was put aside",
                kept.place
            )));
        }
        let daemon = Writer::new(host);
        // Its volumes stay: the new container has them.
        let gone = daemon
            .delete(&format!("/containers/{}", encode(&kept.place)))
            .await?;
        match gone {
            // It is in its place again, or was removed by hand.
            Err(refused) if refused.status == 404 => Ok(()),
            other => other
                .map(drop)
                .map_err(|refused| failed(&kept.place, &refused)),
        }
    }
}

/// Those that compose makes (a task is about one project), and the others.
fn by_compose(changes: &[KeyedChange<Container>]) -> (Vec<Next<'_>>, Vec<&KeyedChange<Container>>) {
    let (mut composed, mut others) = (Vec::new(), Vec::new());
    for keyed in changes {
        let (name, change) = (keyed.key.name.as_str(), &keyed.change);
        match &change.want.compose {
            Some(by) => composed.push(Next {
                name,
                change,
                composed: by,
            }),
            None => others.push(keyed),
        }
    }
    (composed, others)
}
