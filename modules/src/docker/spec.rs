//! Where a container differs from what is asked of it, and how it is shown: pure.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::desired::{desired, is_mark};
use super::secret::{difference, masked, masked_json, masked_words};
use super::state::{ContainerState, ContainerWant, Mount, Wanted};

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
        _ if !read.exists => found.anew.push(match (&want.earlier, &want.image) {
            (Some(earlier), _) => format!("absent → the one before, {}", named(&earlier.state)),
            (None, Some(image)) => format!("absent → created from {}", image.reference),
            (None, None) => "absent".to_owned(),
        }),
        _ => {
            let desired = desired(want, read);
            match want.compose {
                Some(_) => composed(want, read, &desired, &mut found),
                None => compare(want, read, &desired, &mut found),
            }
            let (now, then) = (read.doing(), desired.doing());
            if now != then {
                found.doing.push(format!("{now} → {then}"));
            }
        }
    }
    found
}

/// Which container it is, for people.
fn named(state: &ContainerState) -> String {
    let id = state.id.get(..12).unwrap_or(&state.id);
    format!("{} ({id})", state.image)
}

/// Compose says whether it makes a container anew; what of it will be another is shown, not compared.
fn composed(
    want: &ContainerWant,
    read: &ContainerState,
    desired: &ContainerState,
    found: &mut Differences,
) {
    let outdated = want.recreate.as_ref() == Some(&read.id);
    if desired.image_id != read.image_id || (outdated && desired.image != read.image) {
        found.anew.push(other_image(read, desired));
    } else if outdated {
        found
            .anew
            .push("made anew: its settings in the files are others".to_owned());
    }
}

fn other_image(read: &ContainerState, desired: &ContainerState) -> String {
    let (old, new) = (short(&read.image), short(&desired.image));
    if old == new {
        format!("image {new}: other content under the same tag")
    } else {
        format!("image {old} → {new}")
    }
}

fn compare(
    want: &ContainerWant,
    read: &ContainerState,
    desired: &ContainerState,
    found: &mut Differences,
) {
    if let Some(earlier) = want.earlier.as_ref().filter(|e| e.aside)
        && read.id != earlier.state.id
    {
        let (now, then) = (named(read), named(&earlier.state));
        found.anew.push(format!("{now} → the one before, {then}"));
    }
    if desired.image_id != read.image_id {
        found.anew.push(other_image(read, desired));
    }
    compare_env(read, desired, found);
    if mounts_of(&read.mounts) != mounts_of(&desired.mounts) {
        found.anew.push(format!(
            "mounts {} → {}",
            list(&shown_mounts(&read.mounts, &desired.mounts)),
            list(&shown_mounts(&desired.mounts, &read.mounts))
        ));
    }
    for (key, name) in [
        ("PortBindings", "ports"),
        ("ExtraHosts", "further names"),
        ("NetworkMode", "network mode"),
        ("Memory", "memory"),
        ("NanoCpus", "processors"),
        ("RestartPolicy", "restart policy"),
    ] {
        // The network mode of a container made without one is told by its networks.
        if key == "NetworkMode" && want.network_mode.is_none() && want.earlier.is_none() {
            continue;
        }
        let (now, then) = (field(&read.host, key), field(&desired.host, key));
        // Daemons write the policy of who asked for none in two ways, and the places of a port in any order.
        let loose = matches!(key, "RestartPolicy" | "PortBindings");
        if same(now, then) || (loose && plain(key, now) == plain(key, then)) {
            continue;
        }
        let line = format!("{name} {} → {}", plain(key, now), plain(key, then));
        // The daemon takes 0 for "as it is", so a limit is only taken away from a new container.
        let lifted = matches!(key, "Memory" | "NanoCpus") && same(then, &Json::Null);
        let lasting = matches!(key, "Memory" | "NanoCpus" | "RestartPolicy") && !lifted;
        if lasting {
            found.in_place.push(line);
        } else {
            found.anew.push(line);
        }
    }
    for (key, name) in OWN_FIELDS {
        let (now, then) = (field(&read.own, key), field(&desired.own, key));
        if !same(now, then) {
            found
                .anew
                .push(difference(name, &plain(key, now), &plain(key, then)));
        }
    }
    let (now, then) = (read.labels(), desired.labels());
    let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    for name in names.into_iter().filter(|n| !is_mark(n)) {
        if now.get(name) != then.get(name) {
            found.anew.push(difference(
                &format!("label {name}"),
                &shown(name, now.get(name)),
                &shown(name, then.get(name)),
            ));
        }
    }
    for network in desired.networks.keys() {
        match read.networks.get(network) {
            None => found.in_place.push(format!("joins network {network}")),
            Some(now) if aliases(now) != aliases(&desired.networks[network]) => {
                found.in_place.push(format!(
                    "names in network {network} {} → {}",
                    list(&aliases(now)),
                    list(&aliases(&desired.networks[network]))
                ));
            }
            Some(_) => {}
        }
    }
    for network in read.networks.keys() {
        if !desired.networks.contains_key(network) {
            found.in_place.push(format!("leaves network {network}"));
        }
    }
    if want.recreate.as_ref() == Some(&read.id) {
        found.anew.push("made anew, as asked".to_owned());
    }
}

/// Settings of `Config` that are compared as they are: key, name.
const OWN_FIELDS: [(&str, &str); 5] = [
    ("Cmd", "command"),
    ("Entrypoint", "entrypoint"),
    ("Hostname", "host name"),
    ("User", "user"),
    ("WorkingDir", "folder"),
];

/// The value of a variable or a label.
fn shown(name: &str, value: Option<&String>) -> String {
    value.map_or_else(|| "unset".to_owned(), |value| masked(name, value))
}

fn compare_env(read: &ContainerState, desired: &ContainerState, found: &mut Differences) {
    let (own, own_then) = (read.env(), desired.env());
    let (now, then) = (read.environment(), desired.environment());
    // Variables that only the images set differ with the images, which is said already.
    let names: BTreeSet<&String> = own.keys().chain(own_then.keys()).collect();
    for name in names {
        if now.get(name) != then.get(name) {
            found.anew.push(difference(
                &format!("variable {name}"),
                &shown(name, now.get(name)),
                &shown(name, then.get(name)),
            ));
        }
    }
}

fn field<'a>(of: &'a Json, key: &str) -> &'a Json {
    of.get(key).unwrap_or(&Json::Null)
}

pub(super) fn aliases(settings: &Json) -> Vec<String> {
    let list = field(settings, "Aliases").as_array().into_iter().flatten();
    let mut names: Vec<String> = list.filter_map(Json::as_str).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

pub(super) fn same(a: &Json, b: &Json) -> bool {
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

/// A setting in the words of the task.
fn plain(key: &str, value: &Json) -> String {
    let words = |list: &[Json]| {
        let words: Vec<&str> = list.iter().filter_map(Json::as_str).collect();
        masked_words(&words).join(" ")
    };
    match (key, value) {
        ("RestartPolicy", Json::Null) => "no".to_owned(),
        _ if same(value, &Json::Null) => "unset".to_owned(),
        ("Memory", Json::Number(n)) => size(n.as_i64().unwrap_or(0)),
        #[expect(clippy::cast_precision_loss, reason = "billionths of a processor")]
        ("NanoCpus", Json::Number(n)) => format!("{}", n.as_i64().unwrap_or(0) as f64 / 1e9),
        ("RestartPolicy", policy) => {
            let name = field(policy, "Name").as_str().unwrap_or_default();
            let most = field(policy, "MaximumRetryCount").as_i64().unwrap_or(0);
            match (name, most) {
                ("", _) => "no".to_owned(),
                (_, 0) => name.to_owned(),
                _ => format!("{name}:{most}"),
            }
        }
        ("Cmd" | "Entrypoint", Json::Array(items)) => {
            let words: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
            masked_words(&words).join(" ")
        }
        ("PortBindings", Json::Object(map)) => list(&ports_of(map)),
        (_, Json::String(s)) => masked(key, s),
        (_, Json::Array(items)) => words(items),
        (_, other) => masked_json(key, other).to_string(),
    }
}

pub(super) fn size(bytes: i64) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes >= 1 << shift && bytes % (1 << shift) == 0 {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Published ports as a task writes them.
pub(super) fn ports_of(bindings: &serde_json::Map<String, Json>) -> Vec<String> {
    let mut all = Vec::new();
    for (inner, places) in bindings {
        let inner = inner.trim_end_matches("/tcp");
        for place in places.as_array().into_iter().flatten() {
            let part = |key: &str| field(place, key).as_str().unwrap_or_default();
            let front = [part("HostIp"), part("HostPort")];
            let front: Vec<&str> = front.into_iter().filter(|p| !p.is_empty()).collect();
            all.push(if front.is_empty() {
                inner.to_owned()
            } else {
                format!("{}:{inner}", front.join(":"))
            });
        }
    }
    all.sort();
    all
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

/// The mounts for people. A volume without a name is told where there is none at its place afterwards, or before: its id
/// means nothing to anybody, and that of a container that is only predicted is not known.
fn shown_mounts(mounts: &[Mount], others: &[Mount]) -> Vec<String> {
    let stays =
        |m: &Mount| m.anonymous && others.iter().any(|o| o.anonymous && o.target == m.target);
    let (unnamed, named): (Vec<Mount>, Vec<Mount>) = mounts
        .iter()
        .filter(|m| !stays(m))
        .cloned()
        .partition(|m| m.anonymous);
    let mut all = mounts_of(&named);
    all.extend(unnamed.iter().map(|m| format!("(no name):{}", m.target)));
    all
}

/// The container as lines that can be compared, secrets masked.
#[must_use]
pub fn text(state: &ContainerState) -> String {
    lines(state, true)
}

/// Do both show the same, what is masked included?
#[must_use]
pub fn alike(one: &ContainerState, other: &ContainerState) -> bool {
    lines(one, false) == lines(other, false)
}

/// What of a container is not as it was. That it was started anew, or has another address, is nothing.
#[must_use]
pub fn drifted(was: &ContainerState, now: &ContainerState) -> Vec<String> {
    match (was.exists, now.exists) {
        (false, false) => return Vec::new(),
        (false, true) => return vec![format!("absent → {}", now.doing())],
        (true, false) => return vec![format!("{} → absent", was.doing())],
        (true, true) => {}
    }
    let mut found = runbook_engine::run::diff::lines(&text(was), &text(now));
    if found.is_empty() && !alike(was, now) {
        found.push("a value that is not shown has changed".to_owned());
    }
    // The ids of what is only predicted are not known.
    let known = |id: &str| !id.is_empty();
    if known(&was.image_id) && known(&now.image_id) && was.image_id != now.image_id {
        found.push(format!("image {}: other content", now.image));
    }
    if known(&was.id) && known(&now.id) {
        // What stands in the text is told by it.
        let told = [
            "PortBindings",
            "Memory",
            "NanoCpus",
            "RestartPolicy",
            "ExtraHosts",
            "Binds",
            "Mounts",
        ];
        let keys = |of: &Json| -> BTreeSet<String> {
            let map = of.as_object().into_iter().flatten();
            map.map(|(key, _)| key.clone()).collect()
        };
        for key in keys(&was.host).union(&keys(&now.host)) {
            let (old, new) = (field(&was.host, key), field(&now.host, key));
            if !told.contains(&key.as_str()) && key != "ContainerIDFile" && !same(old, new) {
                let (old, new) = (plain(key, old), plain(key, new));
                found.push(format!("{key} {old} → {new}"));
            }
        }
    }
    found
}

fn lines(state: &ContainerState, mask: bool) -> String {
    let shown = |name: &str, value: &str| {
        if mask {
            masked(name, value)
        } else {
            value.to_owned()
        }
    };
    if !state.exists {
        return String::new();
    }
    let mut lines = vec![format!("image: {}", state.image)];
    lines.push(format!("state: {}", state.doing()));
    for (name, value) in state.env() {
        lines.push(format!("env: {name}={}", shown(&name, &value)));
    }
    // The name of a volume without one comes from the daemon and says nothing.
    let named: Vec<_> = state
        .mounts
        .iter()
        .filter(|m| !m.anonymous)
        .cloned()
        .collect();
    lines.extend(mounts_of(&named).into_iter().map(|m| format!("mount: {m}")));
    if let Some(bindings) = field(&state.host, "PortBindings").as_object() {
        let ports = ports_of(bindings);
        lines.extend(ports.into_iter().map(|p| format!("port: {p}")));
    }
    for (name, settings) in &state.networks {
        // Where every container is that was given no network.
        if name == "bridge" {
            continue;
        }
        let aliases = aliases(settings);
        let known_as = if aliases.is_empty() {
            String::new()
        } else {
            format!(" as {}", aliases.join(", "))
        };
        lines.push(format!("network: {name}{known_as}"));
    }
    for (key, name) in [
        ("Memory", "memory"),
        ("NanoCpus", "processors"),
        ("RestartPolicy", "restart"),
        ("ExtraHosts", "further names"),
    ] {
        let value = field(&state.host, key);
        let unset = same(value, &Json::Null) || plain(key, value) == "no";
        if !unset {
            lines.push(format!("{name}: {}", plain(key, value)));
        }
    }
    for (key, name) in OWN_FIELDS {
        let value = field(&state.own, key);
        if !same(value, &Json::Null) {
            let plainly = match value {
                // As it is, word by word.
                Json::Array(_) if !mask => value.to_string(),
                _ => plain(key, value),
            };
            lines.push(format!("{name}: {plainly}"));
        }
    }
    for (name, value) in state.labels() {
        if !is_mark(&name) {
            lines.push(format!("label: {name}={}", shown(&name, &value)));
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
        let volumes = from.mounts.iter().filter(|m| m.kind == "volume").count();
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
