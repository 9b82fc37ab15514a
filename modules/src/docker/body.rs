//! The request that makes a container from what it shall be: pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::desired::mount_of;
use super::state::{ContainerState, Mount};

/// A container to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// What `POST /containers/create` takes.
    pub create: Json,
    /// Networks to be joined afterwards: older daemons take only one when a container is made.
    pub join: BTreeMap<String, Json>,
}

/// Its own settings, its host settings with every mount in them, its first network.
#[must_use]
pub fn body(state: &ContainerState) -> Body {
    let mut config = state.own.as_object().cloned().unwrap_or_default();
    config.insert("Image".to_owned(), json!(state.image));
    let mut host = state.host.as_object().cloned().unwrap_or_default();
    set_mounts(&state.mounts, &mut host);
    let mode = mode(state, &host);
    if mode.starts_with("container:") {
        // It has the name and the ports of the other one, as the daemon filled in.
        for key in ["Hostname", "Domainname", "ExposedPorts"] {
            config.remove(key);
        }
    }
    if host.get("UTSMode").and_then(Json::as_str) == Some("host") {
        config.remove("Hostname");
    }
    let mut join = state.networks.clone();
    let builtin = ["default", "bridge", "host", "none"].contains(&mode.as_str());
    if builtin || mode.starts_with("container:") {
        join.remove(if mode == "default" { "bridge" } else { &mode });
    } else if let Some(settings) = join.remove(&mode) {
        config.insert(
            "NetworkingConfig".to_owned(),
            json!({"EndpointsConfig": {mode.clone(): settings}}),
        );
    }
    host.insert("NetworkMode".to_owned(), json!(mode));
    config.insert("HostConfig".to_owned(), Json::Object(host));
    Body {
        create: Json::Object(config),
        join,
    }
}

/// The network that it is made in. One that was left since it was made is not joined again.
fn mode(state: &ContainerState, host: &Map<String, Json>) -> String {
    let said = host.get("NetworkMode").and_then(Json::as_str);
    let said = said.filter(|s| !s.is_empty()).unwrap_or("default");
    let known_as = if said == "default" { "bridge" } else { said };
    let first = state.networks.keys().next();
    match first {
        Some(first)
            if !said.starts_with("container:") && !state.networks.contains_key(known_as) =>
        {
            first.clone()
        }
        _ => said.to_owned(),
    }
}

/// Every mount exactly once: as it was asked for where that is known, else by what it is. So volumes without a name,
/// and those of other containers, are named from now on.
fn set_mounts(mounts: &[Mount], host: &mut Map<String, Json>) {
    let text = |value: &Json, key: &str| {
        value
            .get(key)
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let list = |value: Option<Json>| match value {
        Some(Json::Array(list)) => list,
        _ => Vec::new(),
    };
    let binds = list(host.remove("Binds"));
    let typed = list(host.remove("Mounts"));
    host.remove("VolumesFrom");
    let in_memory = |target: &str| {
        host.get("Tmpfs")
            .and_then(Json::as_object)
            .is_some_and(|t| t.contains_key(target))
    };
    let (mut new_binds, mut new_typed) = (Vec::new(), Vec::new());
    for mount in mounts {
        let as_typed = typed.iter().find(|t| {
            text(t, "Target") == mount.target
                && (mount.kind == "tmpfs" || text(t, "Source") == mount.source)
                && (t.get("ReadOnly") == Some(&Json::Bool(true))) == mount.read_only
        });
        if let Some(typed) = as_typed {
            new_typed.push(typed.clone());
            continue;
        }
        match mount.kind.as_str() {
            "tmpfs" if in_memory(&mount.target) => {}
            "tmpfs" => new_typed.push(json!({"Type": "tmpfs", "Target": mount.target})),
            "bind" | "volume" => {
                let as_bind = binds.iter().filter_map(Json::as_str).find(|b| {
                    let bind = mount_of(b);
                    bind.target == mount.target
                        && bind.source == mount.source
                        && bind.read_only == mount.read_only
                });
                new_binds.push(as_bind.map_or_else(|| written(mount), str::to_owned));
            }
            // What else there may be (images, clusters, pipes) is only known as it was asked for.
            _ => {}
        }
    }
    host.insert("Binds".to_owned(), json!(new_binds));
    host.insert("Mounts".to_owned(), json!(new_typed));
}

/// `source:target[:options]`; a target alone makes a volume without a name.
pub(super) fn written(mount: &Mount) -> String {
    let ro = mount.read_only.then_some("ro");
    let options: Vec<&str> = ro
        .into_iter()
        .chain(mount.options.split(',').filter(|o| !o.is_empty()))
        .collect();
    let mut text = if mount.source.is_empty() {
        mount.target.clone()
    } else {
        format!("{}:{}", mount.source, mount.target)
    };
    if !options.is_empty() && !mount.source.is_empty() {
        text.push(':');
        text.push_str(&options.join(","));
    }
    text
}
