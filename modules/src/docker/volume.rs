//! The kind `volume`: named volumes of the host's Docker daemon (API `/volumes`).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::resource::{Change, Kept, KeyedChange, Kind, Ref, Reversible, WriteError};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::client::{Reader, Writer, encode, failed};
use super::kind::Container;
use super::secret;
use super::state::ContainerState;

/// The driver of a volume for which none is asked.
pub const LOCAL: &str = "local";

/// Volumes of the host's Docker daemon.
pub struct Volume;

/// Which volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeKey {
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for VolumeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// What is known of a volume.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VolumeState {
    /// There is one.
    pub exists: bool,
    /// Its driver.
    pub driver: String,
    /// Options that its driver was given.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Names of the containers that mount it, running or not, sorted.
    pub containers: Vec<String>,
}

/// What is asked of a volume.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VolumeWant {
    /// It shall be there, or not.
    pub present: bool,
    /// Its driver.
    pub driver: Option<String>,
    /// Options of its driver that it has to have; others may be there.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Labels that it has to have; others may be there.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What of a volume that is there is not as it is wanted. It cannot be changed, only made anew.
#[must_use]
pub fn other(want: &VolumeWant, read: &VolumeState) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(driver) = want.driver.as_ref().filter(|d| **d != read.driver) {
        lines.push(format!("driver {} → {driver}", read.driver));
    }
    for (what, wanted, has) in [
        ("option", &want.options, &read.options),
        ("label", &want.labels, &read.labels),
    ] {
        let differs = |name: &&String| wanted.get(*name) != has.get(*name);
        let names = wanted.keys().filter(differs);
        lines.extend(names.map(|name| changed(what, name, has, wanted)));
    }
    lines
}

/// How an option or a label of one is another in the other.
fn changed(
    what: &str,
    name: &str,
    was: &BTreeMap<String, String>,
    is: &BTreeMap<String, String>,
) -> String {
    let [was, is] = [was, is].map(|map| {
        map.get(name)
            .map_or("none".to_owned(), |v| secret::masked(name, v))
    });
    secret::difference(&format!("{what} {name}"), &was, &is)
}

async fn read(daemon: &Reader, name: &str) -> Result<VolumeState, HostError> {
    // The two questions travel together.
    let filter = encode(&json!({"volume": [name]}).to_string());
    let [volume, users] = [
        format!("/volumes/{}", encode(name)),
        format!("/containers/json?all=1&filters={filter}"),
    ];
    let (volume, users) = futures::try_join!(daemon.find(&volume), daemon.find(&users))?;
    let Some(volume) = volume else {
        return Ok(VolumeState::default());
    };
    let texts = |field: &str| {
        let map = volume.get(field).and_then(Json::as_object);
        map.into_iter()
            .flatten()
            .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
            .collect()
    };
    let users = users.as_ref().and_then(Json::as_array);
    let mut containers: Vec<String> = users
        .into_iter()
        .flatten()
        .filter_map(|c| c.pointer("/Names/0")?.as_str())
        .map(|n| n.trim_start_matches('/').to_owned())
        .collect();
    containers.sort();
    Ok(VolumeState {
        exists: true,
        driver: volume
            .get("Driver")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned(),
        options: texts("Options"),
        labels: texts("Labels"),
        containers,
    })
}

/// Why it cannot be removed.
fn in_use(name: &str, containers: &[String]) -> String {
    format!(
        "volume {name} is used by {}: remove the container first, or leave the volume",
        containers.join(", ")
    )
}

#[async_trait]
impl Kind for Volume {
    type Key = VolumeKey;
    type State = VolumeState;
    type Want = VolumeWant;

    const NAME: &'static str = "volume";

    async fn read(&self, host: &Probe, keys: &[VolumeKey]) -> Vec<Result<VolumeState, HostError>> {
        let daemon = Reader::new(host);
        super::client::side_by_side(keys.iter().map(|key| read(&daemon, &key.name))).await
    }

    fn differences(&self, want: &VolumeWant, read: &VolumeState) -> Vec<String> {
        match (want.present, read.exists) {
            (true, false) => vec!["absent → created".to_owned()],
            (false, true) => vec!["removed".to_owned()],
            (false, false) => Vec::new(),
            (true, true) => other(want, read),
        }
    }

    fn predict(&self, want: &VolumeWant, from: &VolumeState) -> VolumeState {
        if !want.present {
            return VolumeState::default();
        }
        if from.exists && other(want, from).is_empty() {
            return from.clone();
        }
        VolumeState {
            exists: true,
            driver: want.driver.clone().unwrap_or_else(|| LOCAL.to_owned()),
            options: want.options.clone(),
            labels: want.labels.clone(),
            containers: Vec::new(),
        }
    }

    fn secrets(&self, state: &VolumeState) -> Vec<String> {
        let pairs = state.options.iter().chain(&state.labels);
        pairs
            .flat_map(|(name, value)| secret::of_setting(name, value))
            .collect()
    }

    fn reversible(&self, change: &Change<VolumeState, VolumeWant>, _: &VolumeKey) -> Reversible {
        match change.from.exists {
            // What was stored in it since then is not this run's.
            false => Reversible::Stays("what was stored in it since then would go".to_owned()),
            true => Reversible::Never("what the volume holds is lost".to_owned()),
        }
    }

    fn back(&self, _: &VolumeKey, change: &Change<VolumeState, VolumeWant>) -> Option<VolumeWant> {
        (!change.from.exists).then(VolumeWant::default)
    }

    /// Which containers mount it is theirs.
    fn drifted(
        &self,
        _: &VolumeKey,
        _: Option<&VolumeWant>,
        was: &VolumeState,
        now: &VolumeState,
    ) -> Vec<String> {
        match (was.exists, now.exists) {
            (false, true) => vec!["absent → present".to_owned()],
            (true, false) => vec!["present → absent".to_owned()],
            (false, false) => Vec::new(),
            (true, true) => {
                let mut lines = Vec::new();
                if was.driver != now.driver {
                    lines.push(format!("driver {} → {}", was.driver, now.driver));
                }
                for (what, was, now) in [
                    ("option", &was.options, &now.options),
                    ("label", &was.labels, &now.labels),
                ] {
                    let names: BTreeSet<&String> = was.keys().chain(now.keys()).collect();
                    let differ = names.into_iter().filter(|n| was.get(*n) != now.get(*n));
                    lines.extend(differ.map(|name| changed(what, name, was, now)));
                }
                lines
            }
        }
    }

    fn hinders(
        &self,
        key: &VolumeKey,
        change: &Change<VolumeState, VolumeWant>,
        world: &Predicted<'_>,
    ) -> Option<String> {
        // A task before it may remove the container.
        let moved = world.changes.iter().any(|c| c.key.kind == Container::NAME);
        (change.from.exists && !change.from.containers.is_empty() && !moved)
            .then(|| in_use(&key.name, &change.from.containers))
    }

    /// A container brings the volumes that it names.
    fn touched_by(&self, key: &VolumeKey, written: &Ref) -> bool {
        (written.kind == Self::NAME && written.id == key.name) || written.kind == Container::NAME
    }

    fn may_become(
        &self,
        key: &VolumeKey,
        read: &VolumeState,
        world: &Predicted<'_>,
    ) -> Option<String> {
        if read.exists {
            return None;
        }
        let mounts = |to: &ContainerState| {
            to.exists
                && to
                    .mounts
                    .iter()
                    .any(|m| m.kind == "volume" && m.source == key.name)
        };
        // What is not known of a container may well be that it names this volume.
        let mut changes: Vec<_> = world.of::<Container>().collect();
        changes.reverse();
        let brings = |to: &Option<ContainerState>| to.as_ref().is_none_or(mounts);
        let (.., task) = changes.into_iter().find(|(_, _, to, _)| brings(to))?;
        Some(format!("until \"{task}\""))
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        let daemon = Writer::new(host);
        for change in changes {
            let (name, from, want) = (&change.key.name, &change.change.from, &change.change.want);
            let refused = |r| WriteError::failed(failed(name, &r).to_string());
            let now = read(&daemon, name).await?;
            if now.exists != from.exists || !other_state(from, &now).is_empty() {
                return Err(WriteError::Moved {
                    what: format!("volume {name}"),
                    found: match now.exists {
                        false => "it does not exist".to_owned(),
                        true if !from.exists => "it exists".to_owned(),
                        true => other_state(from, &now).join(", "),
                    },
                });
            }
            if now.exists {
                if !now.containers.is_empty() {
                    return Err(WriteError::failed(in_use(name, &now.containers)));
                }
                let gone = daemon.delete(&format!("/volumes/{}", encode(name))).await?;
                gone.map_err(refused)?;
            }
            if want.present {
                let to = &change.change.to;
                let body = json!({"Name": name, "Driver": to.driver, "DriverOpts": to.options, "Labels": to.labels});
                let made = daemon.post("/volumes/create", Some(&body)).await?;
                made.map_err(refused)?;
            }
        }
        Ok(Vec::new())
    }
}

/// What of one state of a volume that exists is not so in the other.
fn other_state(was: &VolumeState, now: &VolumeState) -> Vec<String> {
    Volume.drifted(
        &VolumeKey {
            name: String::new(),
        },
        None,
        was,
        now,
    )
}

#[cfg(test)]
mod tests {
    use runbook_engine::module::reference;
    use runbook_engine::world::PredictedChange;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pair = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_what_is_asked_for_is_compared_and_no_secret_is_told() {
        let read = VolumeState {
            exists: true,
            driver: LOCAL.to_owned(),
            options: map(&[("type", "cifs"), ("password", "geheim")]),
            labels: map(&[("site", "st-anna"), ("other", "x")]),
            containers: Vec::new(),
        };
        let mut want = VolumeWant {
            present: true,
            labels: map(&[("site", "st-anna")]),
            ..VolumeWant::default()
        };
        assert_eq!(other(&want, &read), Vec::<String>::new());
        want.driver = Some("nfs".to_owned());
        want.options = map(&[("type", "nfs"), ("password", "anders")]);
        let lines = other(&want, &read);
        assert_eq!(lines.len(), 3);
        assert!(
            lines.contains(&"driver local → nfs".to_owned()),
            "{lines:?}"
        );
        let text = lines.join("\n");
        assert!(
            !text.contains("geheim") && !text.contains("anders"),
            "{text}"
        );
        assert_eq!(Volume.secrets(&read), ["geheim"]);
    }

    #[test]
    fn only_a_container_that_may_name_it_brings_a_volume() {
        let mounting = |source: &str| ContainerState {
            exists: true,
            mounts: vec![super::super::state::Mount {
                kind: "volume".to_owned(),
                source: source.to_owned(),
                target: "/data".to_owned(),
                read_only: false,
                anonymous: false,
                options: String::new(),
            }],
            ..ContainerState::default()
        };
        let key = VolumeKey {
            name: "data".to_owned(),
        };
        let until = |to: Option<ContainerState>, read: &VolumeState| {
            let name = super::super::state::ContainerKey {
                name: "app".to_owned(),
            };
            let changes = [PredictedChange {
                key: reference::<Container>(&name),
                from: None,
                to: to.map(|to| serde_json::to_value(to).expect("a state")),
                task: "Replace".to_owned(),
            }];
            Volume.may_become(&key, read, &Predicted { changes: &changes })
        };
        let absent = VolumeState::default();
        assert_eq!(until(Some(mounting("other")), &absent), None);
        let known = Some("until \"Replace\"".to_owned());
        assert_eq!(until(Some(mounting("data")), &absent), known);
        assert_eq!(until(None, &absent), known);
        let there = VolumeState {
            exists: true,
            ..VolumeState::default()
        };
        assert_eq!(until(None, &there), None);
    }

    #[test]
    fn a_volume_that_was_made_stays_and_one_that_goes_is_lost() {
        let there = VolumeState {
            exists: true,
            driver: LOCAL.to_owned(),
            ..VolumeState::default()
        };
        let change = |from: &VolumeState, to: &VolumeState| Change {
            from: from.clone(),
            to: to.clone(),
            want: VolumeWant::default(),
        };
        let key = VolumeKey {
            name: "data".to_owned(),
        };
        let made = change(&VolumeState::default(), &there);
        assert!(matches!(
            Volume.reversible(&made, &key),
            Reversible::Stays(_)
        ));
        assert_eq!(Volume.back(&key, &made), Some(VolumeWant::default()));
        let gone = change(&there, &VolumeState::default());
        assert!(matches!(
            Volume.reversible(&gone, &key),
            Reversible::Never(_)
        ));
        assert_eq!(Volume.back(&key, &gone), None);
    }
}
