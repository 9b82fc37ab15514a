//! What a container shall be: pure.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::compose;
use super::inspect::without_defaults;
use super::spec::aliases;
use super::state::{ContainerState, ContainerWant, Mount, Wanted};

/// Labels of ours begin so; they are no part of what a container is.
pub const OURS: &str = "org.runbook.";
/// The label that remembers which variables were asked for: names only.
pub const ASKED_ENV: &str = "org.runbook.asked.env";

/// Is it a label by which we or compose know something again? Those are no part of what a container is, but for the names of
/// its project and service.
#[must_use]
pub fn is_mark(label: &str) -> bool {
    let named = [compose::OF_PROJECT, compose::OF_SERVICE].contains(&label);
    label.starts_with(OURS) || (label.starts_with(compose::LABEL) && !named)
}

/// What the container shall be: what it is, with everything set that is asked for.
#[must_use]
pub fn desired(want: &ContainerWant, from: &ContainerState) -> ContainerState {
    if want.state == Wanted::Absent {
        return ContainerState::default();
    }
    if let Some(earlier) = &want.earlier {
        return earlier.state.clone();
    }
    let mut to = from.clone();
    if !from.exists {
        to = ContainerState {
            exists: true,
            own: json!({}),
            host: json!({}),
            ..ContainerState::default()
        };
    }
    if let Some(image) = &want.image
        && image.id != from.image_id
    {
        to.image.clone_from(&image.reference);
        to.image_id.clone_from(&image.id);
        to.defaults.clone_from(&image.config);
    }
    if want.compose.is_some() {
        forget_settings(&mut to);
    }
    set_env(want, &mut to);
    let mut own = |key: &str, value: Option<Json>| {
        if let (Some(value), Some(map)) = (value, to.own.as_object_mut()) {
            map.insert(key.to_owned(), value);
        }
    };
    own("Cmd", want.command.as_ref().map(|c| json!(c)));
    own("Entrypoint", want.entrypoint.as_ref().map(|c| json!(c)));
    own("Hostname", want.hostname.as_ref().map(|h| json!(h)));
    own("User", want.user.as_ref().map(|u| json!(u)));
    own("WorkingDir", want.working_dir.as_ref().map(|d| json!(d)));
    if let Some(labels) = &want.labels {
        let mut all = to.labels();
        all.extend(labels.clone());
        if let Some(map) = to.own.as_object_mut() {
            map.insert("Labels".to_owned(), json!(all));
        }
    }
    set_host(want, &mut to);
    set_networks(want, &mut to);
    if let Json::Object(own) = std::mem::take(&mut to.own) {
        to.own = without_defaults(own, &to.defaults);
    }
    match want.state {
        Wanted::Started => {
            to.running = true;
            "running".clone_into(&mut to.status);
        }
        Wanted::Stopped if from.running => {
            to.running = false;
            "exited".clone_into(&mut to.status);
        }
        Wanted::Stopped | Wanted::Present | Wanted::Absent => {}
    }
    if !from.exists && !to.running {
        "created".clone_into(&mut to.status);
    }
    to
}

/// What compose would make of a container is all that is asked for: settings that it is not told of are gone. Others than those
/// that can be asked for (limits of the log, a health check) are not told, and stay.
fn forget_settings(to: &mut ContainerState) {
    let labels: BTreeMap<String, String> = to
        .labels()
        .into_iter()
        .filter(|(name, _)| name.starts_with(compose::LABEL))
        .collect();
    if let Some(own) = to.own.as_object_mut() {
        for key in [
            "Env",
            "Cmd",
            "Entrypoint",
            "Hostname",
            "User",
            "WorkingDir",
            "ExposedPorts",
        ] {
            own.remove(key);
        }
        own.insert("Labels".to_owned(), json!(labels));
    }
    if let Some(host) = to.host.as_object_mut() {
        for key in ["PortBindings", "ExtraHosts"] {
            host.remove(key);
        }
    }
    to.networks.clear();
}

fn set_networks(want: &ContainerWant, to: &mut ContainerState) {
    let Some(host) = to.host.as_object_mut() else {
        return;
    };
    if let Some(networks) = &want.networks {
        let kept = std::mem::take(&mut to.networks);
        for network in networks {
            let mut settings = kept
                .get(&network.name)
                .cloned()
                .unwrap_or_else(|| json!({}));
            if !network.aliases.is_empty() {
                let mut all = aliases(&settings);
                all.extend(network.aliases.iter().cloned());
                all.sort();
                all.dedup();
                settings["Aliases"] = json!(all);
            }
            to.networks.insert(network.name.clone(), settings);
        }
        if let Some(first) = networks.first() {
            host.insert("NetworkMode".to_owned(), json!(first.name));
        }
    }
    if let Some(mode) = &want.network_mode {
        // Docker writes `default` for a container that was given none.
        let is_default = mode == "bridge"
            && matches!(
                host.get("NetworkMode").and_then(Json::as_str),
                Some("default")
            );
        if !is_default {
            host.insert("NetworkMode".to_owned(), json!(mode));
        }
        if want.networks.is_none()
            && !mode.starts_with("container:")
            && !to.networks.contains_key(mode)
            && !is_default
        {
            to.networks = BTreeMap::from([(mode.clone(), json!({}))]);
        }
    }
}

fn set_env(want: &ContainerWant, to: &mut ContainerState) {
    let Some(asked) = &want.env else { return };
    let mut env = to.env();
    let before = to.labels().get(ASKED_ENV).cloned().unwrap_or_default();
    // A variable that was asked for last time and is not any more is taken away.
    for name in before
        .split(',')
        .filter(|n| !n.is_empty() && !asked.contains_key(*n))
    {
        env.remove(name);
    }
    env.extend(asked.clone());
    let mut labels = to.labels();
    if want.compose.is_none() {
        let names: Vec<String> = asked.keys().cloned().collect();
        labels.insert(ASKED_ENV.to_owned(), names.join(","));
    }
    let list: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if let Some(map) = to.own.as_object_mut() {
        map.insert("Env".to_owned(), json!(list));
        map.insert("Labels".to_owned(), json!(labels));
    }
}

fn set_host(want: &ContainerWant, to: &mut ContainerState) {
    if let Some(volumes) = &want.volumes {
        let asked: Vec<Mount> = volumes.iter().map(|v| mount_of(v)).collect();
        // Volumes that nobody has named hold data that nobody else has: they stay unless their place is taken.
        let mut mounts: Vec<Mount> = to
            .mounts
            .iter()
            .filter(|m| m.anonymous && !asked.iter().any(|a| a.target == m.target))
            .cloned()
            .collect();
        mounts.extend(asked);
        to.mounts = mounts;
    }
    let Some(host) = to.host.as_object_mut() else {
        return;
    };
    if let Some(ports) = &want.ports {
        let mut bindings = serde_json::Map::new();
        let mut exposed = serde_json::Map::new();
        for port in ports {
            let (place, inner) = port_of(port);
            exposed.insert(inner.clone(), json!({}));
            let list = bindings.entry(inner).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(place);
            }
        }
        host.insert("PortBindings".to_owned(), Json::Object(bindings));
        if let Some(own) = to.own.as_object_mut() {
            own.insert("ExposedPorts".to_owned(), Json::Object(exposed));
        }
    }
    if let Some(policy) = &want.restart_policy {
        let (name, most) = policy.split_once(':').unwrap_or((policy, "0"));
        let most: i64 = most.parse().unwrap_or(0);
        host.insert(
            "RestartPolicy".to_owned(),
            json!({"Name": name, "MaximumRetryCount": most}),
        );
    }
    if let Some(memory) = want.memory {
        set_memory(host, memory);
    }
    if let Some(cpus) = want.cpus {
        #[expect(clippy::cast_possible_truncation, reason = "billionths of a processor")]
        host.insert("NanoCpus".to_owned(), json!((cpus * 1e9).round() as i64));
    }
    if let Some(hosts) = &want.etc_hosts {
        let list: Vec<String> = hosts
            .iter()
            .map(|(name, address)| format!("{name}:{address}"))
            .collect();
        host.insert("ExtraHosts".to_owned(), json!(list));
    }
}

/// Memory with swap beside it as before: unlimited stays so, else the same room for swap; by Docker's own default swap
/// is as much again.
fn set_memory(host: &mut serde_json::Map<String, Json>, memory: i64) {
    let number = |key: &str| host.get(key).and_then(Json::as_i64).unwrap_or(0);
    let (old, swap) = (number("Memory"), number("MemorySwap"));
    let swap = match (old, swap) {
        _ if memory == old => swap,
        _ if memory == 0 => 0,
        (_, -1) => -1,
        (0, _) | (_, 0) => memory.saturating_mul(2),
        (old, swap) if swap == old.saturating_mul(2) => memory.saturating_mul(2),
        (old, swap) => memory.saturating_add(swap.saturating_sub(old).max(0)),
    };
    host.insert("Memory".to_owned(), json!(memory));
    host.insert("MemorySwap".to_owned(), json!(swap));
}

/// `source:target[:ro]`.
#[must_use]
pub fn mount_of(text: &str) -> Mount {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options, ..] => (source, target, options),
        [] => ("", "", ""),
    };
    let kind = if source.starts_with('/') {
        "bind"
    } else {
        "volume"
    };
    Mount {
        kind: kind.to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        read_only: options.split(',').any(|o| o == "ro"),
        anonymous: source.is_empty(),
        options: options
            .split(',')
            .filter(|o| !matches!(*o, "" | "ro" | "rw"))
            .collect::<Vec<_>>()
            .join(","),
    }
}

/// `[address:][port:]inner[/protocol]` as the daemon writes it.
fn port_of(text: &str) -> (Json, String) {
    let (front, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let parts: Vec<&str> = front.rsplitn(3, ':').collect();
    let inner = format!("{}/{protocol}", parts.first().copied().unwrap_or_default());
    let outer = parts.get(1).copied().unwrap_or_default();
    let address = parts.get(2).copied().unwrap_or_default();
    (json!({"HostIp": address, "HostPort": outer}), inner)
}
