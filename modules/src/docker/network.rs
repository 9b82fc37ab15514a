//! The kind `network`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError,
};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::client::{Reader, Writer, encode, failed};
use super::kind::Container;

/// Networks of the host's Docker daemon.
pub struct Network;

/// Which network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkKey {
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// What is known of a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NetworkState {
    /// There is one.
    pub exists: bool,
    /// Its driver.
    pub driver: String,
    /// Its subnet, where it has one.
    pub subnet: Option<String>,
    /// Names of the containers in it.
    pub containers: Vec<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What else it was made with, as the daemon says it (`Internal`, `Options`, `IPAM`, …).
    #[serde(default)]
    pub settings: BTreeMap<String, Json>,
}

/// Settings that are kept for one that is made again (Docker Engine API, `NetworkCreate`).
const SETTINGS: [&str; 5] = ["Internal", "EnableIPv6", "Attachable", "Options", "IPAM"];

/// What is asked of a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NetworkWant {
    /// It shall be there, or not.
    pub present: bool,
    /// Its driver.
    pub driver: Option<String>,
    /// Its subnet.
    pub subnet: Option<String>,
    /// Labels of one that is made.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Other settings of one that is made again.
    #[serde(default)]
    pub settings: BTreeMap<String, Json>,
}

/// Is a container of a project predicted to be in it?
fn of_project(key: &NetworkKey, world: &Predicted<'_>) -> bool {
    world.of::<Container>().any(|(_, _, to, _)| {
        to.is_some_and(|to| to.exists && to.is_composed() && to.networks.contains_key(&key.name))
    })
}

async fn read(daemon: &Reader, name: &str) -> Result<NetworkState, HostError> {
    let Some(network) = daemon.find(&format!("/networks/{}", encode(name))).await? else {
        return Ok(NetworkState::default());
    };
    // The daemon also finds networks by the beginning of their id.
    if network.get("Name").and_then(Json::as_str) != Some(name) {
        return Ok(NetworkState::default());
    }
    let members = network
        .get("Containers")
        .and_then(Json::as_object)
        .into_iter()
        .flatten();
    let labels = network.get("Labels").and_then(Json::as_object);
    let labels = labels.into_iter().flatten();
    let settings = SETTINGS
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), network.get(*key)?.clone())));
    Ok(NetworkState {
        settings: settings.collect(),
        exists: true,
        driver: network
            .get("Driver")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned(),
        subnet: network
            .pointer("/IPAM/Config/0/Subnet")
            .and_then(Json::as_str)
            .map(str::to_owned),
        containers: members
            .filter_map(|(_, c)| c.get("Name").and_then(Json::as_str).map(str::to_owned))
            .collect(),
        labels: labels
            .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()))
            .collect(),
    })
}

#[async_trait]
impl Kind for Network {
    type Key = NetworkKey;
    type State = NetworkState;
    type Want = NetworkWant;

    const NAME: &'static str = "network";

    async fn read(
        &self,
        host: &Probe,
        keys: &[NetworkKey],
    ) -> Vec<Result<NetworkState, HostError>> {
        let daemon = Reader::new(host);
        super::client::side_by_side(keys.iter().map(|key| read(&daemon, &key.name))).await
    }

    fn differences(&self, want: &NetworkWant, read: &NetworkState) -> Vec<String> {
        let mut lines = Vec::new();
        match (want.present, read.exists) {
            (true, false) => lines.push("absent → created".to_owned()),
            (false, true) => lines.push("removed".to_owned()),
            (false, false) => {}
            (true, true) => {
                if let Some(driver) = want.driver.as_ref().filter(|d| **d != read.driver) {
                    lines.push(format!("driver {} → {driver}", read.driver));
                }
                if let Some(subnet) = want
                    .subnet
                    .as_ref()
                    .filter(|s| Some(*s) != read.subnet.as_ref())
                {
                    lines.push(format!(
                        "subnet {} → {subnet}",
                        read.subnet.as_deref().unwrap_or("none")
                    ));
                }
            }
        }
        lines
    }

    fn predict(&self, want: &NetworkWant, from: &NetworkState) -> NetworkState {
        if !want.present {
            return NetworkState::default();
        }
        NetworkState {
            exists: true,
            driver: want.driver.clone().unwrap_or_else(|| {
                if from.exists {
                    from.driver.clone()
                } else {
                    "bridge".to_owned()
                }
            }),
            subnet: want.subnet.clone().or_else(|| from.subnet.clone()),
            containers: from.containers.clone(),
            labels: if from.exists {
                &from.labels
            } else {
                &want.labels
            }
            .clone(),
            settings: if from.exists && want.settings.is_empty() {
                from.settings.clone()
            } else {
                want.settings.clone()
            },
        }
    }

    fn reversible(&self, _: &Change<NetworkState, NetworkWant>, _: &NetworkKey) -> Reversible {
        Reversible::Yes
    }

    fn back(
        &self,
        _: &NetworkKey,
        change: &Change<NetworkState, NetworkWant>,
    ) -> Option<NetworkWant> {
        let from = &change.from;
        Some(NetworkWant {
            present: from.exists,
            driver: from.exists.then(|| from.driver.clone()),
            subnet: from.subnet.clone(),
            labels: from.labels.clone(),
            settings: from.settings.clone(),
        })
    }

    /// Which containers are in it is theirs.
    fn drifted(
        &self,
        _: &NetworkKey,
        _: Option<&NetworkWant>,
        was: &NetworkState,
        now: &NetworkState,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        match (was.exists, now.exists) {
            (false, true) => lines.push("absent → present".to_owned()),
            (true, false) => lines.push("present → absent".to_owned()),
            (false, false) => {}
            (true, true) => {
                if was.driver != now.driver {
                    lines.push(format!("driver {} → {}", was.driver, now.driver));
                }
                // The subnet of a network that is only predicted is chosen by the daemon.
                if let Some(subnet) = &was.subnet
                    && now.subnet.as_ref() != Some(subnet)
                {
                    let new = now.subnet.as_deref().unwrap_or("none");
                    lines.push(format!("subnet {subnet} → {new}"));
                }
            }
        }
        lines
    }

    fn touched_by(&self, key: &NetworkKey, written: &Ref) -> bool {
        (written.kind == Self::NAME && written.id == key.name) || written.kind == "container"
    }

    /// Compose makes the networks of a project together with the first container in them.
    fn predicted(
        &self,
        key: &NetworkKey,
        world: &Predicted<'_>,
    ) -> Shadow<NetworkKey, NetworkState> {
        if of_project(key, world) {
            Shadow::Over(None)
        } else {
            Shadow::AsRead
        }
    }

    fn over(
        &self,
        _: &NetworkKey,
        read: NetworkState,
        _: &Predicted<'_>,
    ) -> Result<NetworkState, String> {
        Ok(if read.exists {
            read
        } else {
            NetworkState {
                exists: true,
                driver: "bridge".to_owned(),
                ..NetworkState::default()
            }
        })
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        let daemon = Writer::new(host);
        for change in changes {
            let (name, from, want) = (&change.key.name, &change.change.from, &change.change.want);
            let now = read(&daemon, name).await?;
            if now.exists != from.exists {
                let found = if now.exists {
                    "it exists"
                } else {
                    "it does not exist"
                };
                return Err(WriteError::Moved {
                    what: format!("network {name}"),
                    found: found.to_owned(),
                });
            }
            if now.exists && !now.containers.is_empty() {
                return Err(WriteError::failed(format!(
                    "network {name} cannot be changed while containers are in it: {}",
                    now.containers.join(", ")
                )));
            }
            if from.exists {
                let gone = daemon
                    .delete(&format!("/networks/{}", encode(name)))
                    .await?;
                gone.map_err(|r| WriteError::failed(failed(name, &r).to_string()))?;
            }
            if want.present {
                let mut body = json!({"Name": name, "CheckDuplicate": true, "Driver": change.change.to.driver, "Labels": change.change.to.labels});
                for (key, value) in &want.settings {
                    body[key] = value.clone();
                }
                if let Some(subnet) = &change.change.to.subnet
                    && !want.settings.contains_key("IPAM")
                {
                    body["IPAM"] = json!({"Config": [{"Subnet": subnet}]});
                }
                let made = daemon.post("/networks/create", Some(&body)).await?;
                made.map_err(|r| WriteError::failed(failed(name, &r).to_string()))?;
            }
        }
        Ok(Vec::new())
    }
}
