//! What is known of a container, and what can be asked of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::compose::{Composed, OF_PROJECT};

/// Which container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerKey {
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ContainerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// A container as the daemon describes it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ContainerState {
    /// There is one.
    pub exists: bool,
    /// Its id; empty where it is only predicted.
    pub id: String,
    /// It runs.
    pub running: bool,
    /// `created`, `running`, `exited`, `restarting`, …
    pub status: String,
    /// Exit code of one that has ended.
    pub exit_code: i64,
    /// When it was started, as the daemon writes it; empty where that is only known after.
    pub started_at: String,
    /// How often the daemon has restarted it.
    pub restart_count: i64,
    /// Its image as it was asked for.
    pub image: String,
    /// Id of that image.
    pub image_id: String,
    /// Mounts, by target.
    pub mounts: Vec<Mount>,
    /// How it was made: `Config` of the daemon, without what is its image's.
    pub own: Json,
    /// `Config` of its image: what it has without having been asked for it. Null where the image is gone.
    #[serde(default)]
    pub defaults: Json,
    /// `HostConfig` of the daemon, whole.
    pub host: Json,
    /// Networks: name → what was asked for there (`Aliases`, `IPAMConfig`, `Links`, `DriverOpts`).
    pub networks: BTreeMap<String, Json>,
    /// Addresses by network; empty where it does not run.
    pub addresses: BTreeMap<String, String>,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`.
    pub kind: String,
    /// Path on the host, or name of the volume.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Read only.
    pub read_only: bool,
    /// A volume that nobody has named.
    pub anonymous: bool,
    /// Further options as Docker writes them after the second colon (`z`, `rslave`); not compared.
    #[serde(default)]
    pub options: String,
}

fn variables(config: &Json) -> BTreeMap<String, String> {
    let list = config.get("Env").and_then(Json::as_array).into_iter();
    list.flatten()
        .filter_map(Json::as_str)
        .map(|entry| {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// What is asked of a container. Everything left out stays as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ContainerWant {
    /// What it shall be doing.
    pub state: Wanted,
    /// Its image.
    pub image: Option<WantedImage>,
    /// Variables to be set.
    pub env: Option<BTreeMap<String, String>>,
    /// Published ports: `[address:]port:port[/udp]`.
    pub ports: Option<Vec<String>>,
    /// Mounts: `source:target[:ro]`.
    pub volumes: Option<Vec<String>>,
    /// Networks, the first one being its own.
    pub networks: Option<Vec<WantedNetwork>>,
    /// Restart policy: `no`, `always`, `unless-stopped`, `on-failure[:n]`.
    pub restart_policy: Option<String>,
    /// Most memory, bytes.
    pub memory: Option<i64>,
    /// Further names: name → address.
    pub etc_hosts: Option<BTreeMap<String, String>>,
    /// Command.
    pub command: Option<Vec<String>>,
    /// Entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Host name.
    pub hostname: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Labels to be set.
    pub labels: Option<BTreeMap<String, String>>,
    /// Folder in which its command runs.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// The network that is its own: `bridge`, `host`, `none`, `container:NAME`, or a name.
    #[serde(default)]
    pub network_mode: Option<String>,
    /// Processor time: 1.5 is one and a half processors.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Make it anew although nothing differs: the container of this id shall go.
    #[serde(default)]
    pub recreate: Option<String>,
    /// When it counts as healthy after a start.
    pub healthy: Option<Healthy>,
    /// Seconds that it may take for that.
    pub within: u64,
    /// Seconds that it may take to stop.
    pub stop_timeout: Option<i64>,
    /// Paths on the host of which a copy is kept when it is replaced.
    pub save: Vec<String>,
    /// Of these paths: archives on the host whose content takes the place of what is there, when it is replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unpack: BTreeMap<String, String>,
    /// Also remove its anonymous volumes with it.
    pub remove_volumes: bool,
    /// Be again what it was: everything else here but `state`, `healthy` and `save` is then left out.
    #[serde(default)]
    pub earlier: Option<Box<Earlier>>,
    /// It is compose that makes it anew.
    #[serde(default)]
    pub compose: Option<Composed>,
}

/// What a container was before a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its state then.
    pub state: ContainerState,
    /// The container itself was put aside and takes its place again. Else the one that is there is changed, or where
    /// that is impossible another one like it is made.
    pub aside: bool,
}

/// What a container shall be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// Exist and run.
    #[default]
    Started,
    /// Exist, whatever it does.
    Present,
    /// Exist and not run.
    Stopped,
    /// Not exist.
    Absent,
}

/// An image that is on the host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WantedImage {
    /// As asked for.
    pub reference: String,
    /// Its id.
    pub id: String,
    /// Its `Config`: the defaults of a container made from it.
    pub config: Json,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WantedNetwork {
    /// Its name.
    pub name: String,
    /// Names of the container in it.
    pub aliases: Vec<String>,
}

/// When a container counts as healthy: everything given holds, for a moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Healthy {
    /// A port in the container takes a connection.
    #[serde(default)]
    pub tcp: Option<u16>,
    /// A URL as seen from within the container (`http://localhost:8080/…`) answers with success.
    #[serde(default)]
    pub http: Option<String>,
    /// The LDAP server on this port answers a search for its root.
    #[serde(default)]
    pub ldap: Option<u16>,
    /// The PostgreSQL server answers this query over TCP, as the user and database in the container's variables.
    #[serde(default)]
    pub sql: Option<String>,
    /// The image's own health check says so.
    #[serde(default)]
    pub container: Option<bool>,
    /// How long it may take: `30s`, `5m`, or seconds (60 s).
    #[serde(default)]
    pub within: Option<String>,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It runs.
    Running,
    /// It runs and is paused.
    Paused,
    /// It does not run.
    Stopped,
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl ContainerState {
    /// What it does.
    #[must_use]
    pub fn doing(&self) -> Doing {
        match (self.running, self.status.as_str()) {
            (true, "paused") => Doing::Paused,
            (true, _) => Doing::Running,
            (false, _) => Doing::Stopped,
        }
    }

    /// It belongs to a project of compose, which goes by labels: two containers of one service are too many for it, so none
    /// of them is ever put aside.
    #[must_use]
    pub fn is_composed(&self) -> bool {
        self.labels().contains_key(OF_PROJECT)
    }

    /// Own variables, by name.
    #[must_use]
    pub fn env(&self) -> BTreeMap<String, String> {
        variables(&self.own)
    }

    /// All variables, those of its image included.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut all = variables(&self.defaults);
        all.extend(self.env());
        all
    }

    /// Own labels.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let map = self
            .own
            .get("Labels")
            .and_then(Json::as_object)
            .into_iter()
            .flatten();
        map.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()))
            .collect()
    }
}
