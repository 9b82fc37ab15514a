//! From what is asked of a container and what it is to what it shall be: pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::state::{ContainerState, ContainerWant, Mount, Wanted, is_secret_name};

/// The label that remembers which variables were asked for: names only.
pub const ASKED_ENV: &str = "org.runbook.asked.env";

/// What differs between what it is and what it shall be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Differences {
    /// It has to be made anew for these.
    pub anew: Vec<String>,
    /// These can be changed while it stays.
    pub in_place: Vec<String>,
    /// What it does.
    pub doing: Vec<String>,
}

impl Differences {
    /// All of them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.anew
            .iter()
            .chain(&self.in_place)
            .chain(&self.doing)
            .cloned()
            .collect()
    }
}

/// `repo:tag` without what both have in common.
fn short(reference: &str) -> &str {
    reference
        .rsplit_once('/')
        .map_or(reference, |(_, name)| name)
        .rsplit_once(':')
        .map_or(reference, |(_, tag)| tag)
}

/// Compares.
#[must_use]
pub fn differences(want: &ContainerWant, read: &ContainerState) -> Differences {
    let mut found = Differences::default();
    match want.state {
        Wanted::Absent => {
            if read.exists {
                found.doing.push("removed".to_owned());
            }
            return found;
        }
        _ if !read.exists => {
            found.anew.push(match &want.image {
                Some(image) => format!("absent → created from {}", image.reference),
                None => "absent".to_owned(),
            });
        }
        _ => compare(want, read, &mut found),
    }
    let doing = if read.running { "running" } else { "stopped" };
    match want.state {
        Wanted::Started if read.exists && !read.running => {
            found.doing.push(format!("{doing} → running"))
        }
        Wanted::Stopped if read.running => found.doing.push(format!("{doing} → stopped")),
        _ => {}
    }
    found
}

fn compare(want: &ContainerWant, read: &ContainerState, found: &mut Differences) {
    if let Some(image) = &want.image
        && image.id != read.image_id
    {
        let (old, new) = (short(&read.image), short(&image.reference));
        let line = if old == new {
            format!("image {new}: other content under the same tag")
        } else {
            format!("image {old} → {new}")
        };
        found.anew.push(line);
    }
    let desired = desired(want, read);
    let shown = |name: &str, value: Option<&String>| match value {
        None => "unset".to_owned(),
        Some(_) if is_secret_name(name) => runbook_engine::value::MASK.to_owned(),
        Some(v) => v.clone(),
    };
    let (now, then) = (read.env(), desired.env());
    let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    for name in names {
        if now.get(name) != then.get(name) {
            found.anew.push(format!(
                "variable {name} {} → {}",
                shown(name, now.get(name)),
                shown(name, then.get(name))
            ));
        }
    }
    if mounts_of(&read.mounts) != mounts_of(&desired.mounts) {
        found.anew.push(format!(
            "mounts {} → {}",
            list(&mounts_of(&read.mounts)),
            list(&mounts_of(&desired.mounts))
        ));
    }
    let at = |state: &ContainerState, path: &str| {
        state.host.pointer(path).cloned().unwrap_or(Json::Null)
    };
    let own = |state: &ContainerState, key: &str| state.own.get(key).cloned().unwrap_or(Json::Null);
    let mut host_field = |path: &str, name: &str, anew: bool| {
        let (now, then) = (at(read, path), at(&desired, path));
        if !same(&now, &then) {
            let line = format!("{name} {} → {}", plain(&now), plain(&then));
            if anew {
                found.anew.push(line)
            } else {
                found.in_place.push(line)
            }
        }
    };
    host_field("/PortBindings", "ports", true);
    host_field("/ExtraHosts", "further names", true);
    host_field("/Memory", "memory", false);
    host_field("/RestartPolicy", "restart policy", false);
    for (key, name) in [
        ("Cmd", "command"),
        ("Entrypoint", "entrypoint"),
        ("Hostname", "host name"),
        ("User", "user"),
    ] {
        let (now, then) = (own(read, key), own(&desired, key));
        if !same(&now, &then) {
            found
                .anew
                .push(format!("{name} {} → {}", plain(&now), plain(&then)));
        }
    }
    let not_ours = |labels: BTreeMap<String, String>| -> BTreeMap<String, String> {
        labels
            .into_iter()
            .filter(|(k, _)| !k.starts_with("org.runbook."))
            .collect()
    };
    if not_ours(read.labels()) != not_ours(desired.labels()) {
        found.anew.push("labels".to_owned());
    }
    let names = |state: &ContainerState| state.networks.keys().cloned().collect::<Vec<_>>();
    if names(read) != names(&desired) {
        found.in_place.push(format!(
            "networks {} → {}",
            list(&names(read)),
            list(&names(&desired))
        ));
    }
    if want.recreate {
        found.anew.push("made anew, as asked".to_owned());
    }
}

fn same(a: &Json, b: &Json) -> bool {
    let empty = |v: &Json| match v {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::String(s) => s.is_empty(),
        Json::Number(n) => n.as_i64() == Some(0),
        Json::Bool(_) => false,
    };
    a == b || (empty(a) && empty(b))
}

fn plain(value: &Json) -> String {
    match value {
        Json::Null => "unset".to_owned(),
        Json::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

fn mounts_of(mounts: &[Mount]) -> Vec<String> {
    let mut all: Vec<String> = mounts
        .iter()
        .map(|m| {
            format!(
                "{}:{}{}",
                m.source,
                m.target,
                if m.read_only { ":ro" } else { "" }
            )
        })
        .collect();
    all.sort();
    all
}

/// What the container shall be: what it is, with everything set that is asked for.
#[must_use]
pub fn desired(want: &ContainerWant, from: &ContainerState) -> ContainerState {
    if want.state == Wanted::Absent {
        return ContainerState::default();
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
    if let Some(image) = &want.image {
        to.image.clone_from(&image.reference);
        to.image_id.clone_from(&image.id);
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
    if let Some(labels) = &want.labels {
        let mut all = to.labels();
        all.extend(labels.clone());
        if let Some(map) = to.own.as_object_mut() {
            map.insert("Labels".to_owned(), json!(all));
        }
    }
    set_host(want, &mut to);
    if let Some(networks) = &want.networks {
        let kept = std::mem::take(&mut to.networks);
        for network in networks {
            let mut settings = kept
                .get(&network.name)
                .cloned()
                .unwrap_or_else(|| json!({}));
            if !network.aliases.is_empty() {
                settings["Aliases"] = json!(network.aliases);
            }
            to.networks.insert(network.name.clone(), settings);
        }
        if let (Some(first), Some(host)) = (networks.first(), to.host.as_object_mut()) {
            host.insert("NetworkMode".to_owned(), json!(first.name));
        }
    }
    match want.state {
        Wanted::Started => to.running = true,
        Wanted::Stopped => to.running = false,
        Wanted::Present | Wanted::Absent => {}
    }
    to.status = if to.running {
        "running".to_owned()
    } else {
        to.status.clone()
    };
    to
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
    labels.insert(
        ASKED_ENV.to_owned(),
        asked.keys().cloned().collect::<Vec<_>>().join(","),
    );
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
        host.insert("Memory".to_owned(), json!(memory));
    }
    if let Some(hosts) = &want.etc_hosts {
        let list: Vec<String> = hosts
            .iter()
            .map(|(name, address)| format!("{name}:{address}"))
            .collect();
        host.insert("ExtraHosts".to_owned(), json!(list));
    }
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

/// The body that makes the container: its own settings, its host settings with every mount in them, its first network.
#[must_use]
pub fn body(state: &ContainerState) -> Json {
    let mut config = state.own.as_object().cloned().unwrap_or_default();
    config.insert("Image".to_owned(), json!(state.image));
    let mut host = state.host.as_object().cloned().unwrap_or_default();
    let binds: Vec<String> = state
        .mounts
        .iter()
        .filter(|m| m.kind != "tmpfs" && !m.source.is_empty())
        .map(|m| {
            format!(
                "{}:{}{}",
                m.source,
                m.target,
                if m.read_only { ":ro" } else { "" }
            )
        })
        .collect();
    host.insert("Binds".to_owned(), json!(binds));
    // The same mounts are in `Mounts` of containers made with `--mount`; named twice the daemon refuses them.
    let taken: BTreeSet<&str> = state.mounts.iter().map(|m| m.target.as_str()).collect();
    if let Some(Json::Array(mounts)) = host.get_mut("Mounts") {
        mounts.retain(|m| {
            m.get("Target")
                .and_then(Json::as_str)
                .is_none_or(|t| !taken.contains(t))
        });
    }
    let mode = host
        .get("NetworkMode")
        .and_then(Json::as_str)
        .unwrap_or("default")
        .to_owned();
    let own_network = state
        .networks
        .get(&mode)
        .or_else(|| (mode == "default").then(|| state.networks.get("bridge"))?);
    if let Some(settings) =
        own_network.filter(|_| mode != "default" && mode != "bridge" && mode != "host")
    {
        config.insert(
            "NetworkingConfig".to_owned(),
            json!({"EndpointsConfig": {mode: settings}}),
        );
    }
    config.insert("HostConfig".to_owned(), Json::Object(host));
    Json::Object(config)
}

/// The container as lines that can be compared, secrets masked.
#[must_use]
pub fn text(state: &ContainerState) -> String {
    if !state.exists {
        return String::new();
    }
    let mut lines = vec![format!("image: {}", state.image)];
    lines.push(format!(
        "state: {}",
        if state.running { "running" } else { "stopped" }
    ));
    for (name, value) in state.env() {
        let value = if is_secret_name(&name) {
            runbook_engine::value::MASK.to_owned()
        } else {
            value
        };
        lines.push(format!("env: {name}={value}"));
    }
    lines.extend(
        mounts_of(&state.mounts)
            .into_iter()
            .map(|m| format!("mount: {m}")),
    );
    let ports = state.host.get("PortBindings").and_then(Json::as_object);
    for (inner, outer) in ports.into_iter().flatten() {
        for place in outer.as_array().into_iter().flatten() {
            let part = |key: &str| place.get(key).and_then(Json::as_str).unwrap_or_default();
            let address = if part("HostIp").is_empty() {
                String::new()
            } else {
                format!("{}:", part("HostIp"))
            };
            lines.push(format!("port: {address}{}:{inner}", part("HostPort")));
        }
    }
    for name in state.networks.keys() {
        lines.push(format!("network: {name}"));
    }
    for (key, name) in [
        ("Memory", "memory"),
        ("RestartPolicy", "restart"),
        ("ExtraHosts", "further names"),
    ] {
        if let Some(value) = state.host.get(key).filter(|v| !same(v, &Json::Null)) {
            let value = value.get("Name").unwrap_or(value);
            lines.push(format!("{name}: {}", plain(value)));
        }
    }
    for key in ["Cmd", "Entrypoint", "Hostname", "User"] {
        if let Some(value) = state.own.get(key).filter(|v| !same(v, &Json::Null)) {
            lines.push(format!("{}: {}", key.to_lowercase(), plain(value)));
        }
    }
    for (name, value) in state.labels() {
        if !name.starts_with("org.runbook.") {
            lines.push(format!("label: {name}={value}"));
        }
    }
    lines.join("\n") + "\n"
}

/// What a replaced container keeps, in a few words: `4 variables, 2 binds, 389`.
#[must_use]
pub fn kept(want: &ContainerWant, from: &ContainerState) -> String {
    let mut parts = Vec::new();
    let variables = from
        .env()
        .keys()
        .filter(|k| want.env.as_ref().is_none_or(|e| !e.contains_key(*k)))
        .count();
    if variables > 0 {
        parts.push(format!(
            "{variables} variable{}",
            if variables == 1 { "" } else { "s" }
        ));
    }
    if want.volumes.is_none() && !from.mounts.is_empty() {
        let binds = from.mounts.iter().filter(|m| m.kind == "bind").count();
        let volumes = from.mounts.len() - binds;
        if binds > 0 {
            parts.push(format!("{binds} bind{}", if binds == 1 { "" } else { "s" }));
        }
        if volumes > 0 {
            parts.push(format!(
                "{volumes} volume{}",
                if volumes == 1 { "" } else { "s" }
            ));
        }
    }
    if want.ports.is_none() {
        let ports = from
            .host
            .get("PortBindings")
            .and_then(Json::as_object)
            .into_iter()
            .flatten();
        let names: Vec<&str> = ports.map(|(p, _)| p.trim_end_matches("/tcp")).collect();
        if !names.is_empty() {
            parts.push(names.join(" "));
        }
    }
    let host = |key: &str| from.host.get(key).is_some_and(|v| !same(v, &Json::Null));
    if want.memory.is_none() && host("Memory") {
        parts.push("memory limit".to_owned());
    }
    let policy = from
        .host
        .pointer("/RestartPolicy/Name")
        .and_then(Json::as_str)
        .unwrap_or("no");
    if want.restart_policy.is_none() && !matches!(policy, "no" | "") {
        parts.push("restart policy".to_owned());
    }
    if want.etc_hosts.is_none() && host("ExtraHosts") {
        parts.push("further names".to_owned());
    }
    parts.join(", ")
}
