//! The task that describes a container as it is, for one that somebody made by hand. Pure.

use std::collections::BTreeMap;

use runbook_engine::value::Secret;
use serde_json::{Map, Value as Json, json};

use super::body::written;
use super::desired::is_mark;
use super::secret::{self, is_secret_name};
use super::spec::{aliases, ports_of, same, size};
use super::state::ContainerState;

/// Settings of the host's side that the task has arguments for.
const KNOWN: [&str; 10] = [
    "PortBindings",
    "Binds",
    "Mounts",
    "NetworkMode",
    "RestartPolicy",
    "Memory",
    "MemorySwap",
    "NanoCpus",
    "ExtraHosts",
    "AutoRemove",
];
/// Settings that Docker gives every container, with the values that it gives, as JSON.
const USUAL: [(&str, &str); 10] = [
    ("LogConfig", r#"{"Config":{},"Type":"json-file"}"#),
    ("ShmSize", "67108864"),
    ("Runtime", r#""runc""#),
    ("IpcMode", r#""private""#),
    ("CgroupnsMode", r#""private""#),
    ("CgroupnsMode", r#""host""#),
    ("VolumeDriver", r#""""#),
    ("Isolation", r#""""#),
    ("ConsoleSize", "[0,0]"),
    ("MemorySwappiness", "-1"),
];
/// Paths that Docker hides or protects in every container.
const PATHS: [&str; 2] = ["MaskedPaths", "ReadonlyPaths"];
/// Own settings that the task has no arguments for.
const OTHERS: [&str; 6] = [
    "Healthcheck",
    "StopSignal",
    "StopTimeout",
    "Tty",
    "OpenStdin",
    "Domainname",
];

/// A container as a task.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// Arguments of `docker_container`, in the order in which a person would write them. In place of secrets they have
    /// templates, `{{ arc_db_password }}`.
    pub args: Map<String, Json>,
    /// Those secrets, by the variables' names.
    pub secrets: BTreeMap<String, Secret>,
    /// Settings that the task has no arguments for. It keeps them.
    pub kept: Vec<String>,
}

/// The task of a container.
///
/// # Errors
/// There is none of that name, or it is compose that makes it.
pub fn adopted(name: &str, state: &ContainerState) -> Result<Adopted, String> {
    if !state.exists {
        return Err(format!("there is no container {name}"));
    }
    if state.is_composed() {
        return Err(format!(
            "container {name} belongs to a project of compose: `docker_compose` is the module for it"
        ));
    }
    let mut writing = Writing {
        container: identifier(name),
        all: secret::of(state),
        secrets: BTreeMap::new(),
    };
    // The longest first: one secret may be a part of another.
    writing.all.sort_by_key(|s| std::cmp::Reverse(s.len()));
    let args = arguments(name, state, &mut writing);
    Ok(Adopted {
        args,
        secrets: writing.secrets,
        kept: kept(state),
    })
}

fn arguments(name: &str, state: &ContainerState, writing: &mut Writing) -> Map<String, Json> {
    let mut args = Map::new();
    let mut set = |key: &str, value: Option<Json>| {
        if let Some(value) = value {
            args.insert(key.to_owned(), value);
        }
    };
    let some = |list: Vec<Json>| (!list.is_empty()).then_some(Json::Array(list));
    let of_map = |map: Map<String, Json>| (!map.is_empty()).then_some(Json::Object(map));
    set("name", Some(json!(name)));
    set("image", Some(json!(plain(&state.image))));
    set("state", (!state.running).then(|| json!("stopped")));
    let env = state.env().into_iter();
    set(
        "env",
        of_map(
            env.map(|(k, v)| (k.clone(), writing.value(&k, &v)))
                .collect(),
        ),
    );
    let ports = state.host.get("PortBindings").and_then(Json::as_object);
    let ports = ports.map(ports_of).unwrap_or_default();
    set("ports", some(ports.into_iter().map(|p| json!(p)).collect()));
    let named = state.mounts.iter();
    let named = named.filter(|m| !m.anonymous && matches!(m.kind.as_str(), "bind" | "volume"));
    set(
        "volumes",
        some(named.map(|m| json!(plain(&written(m)))).collect()),
    );
    let mode = state.host.get("NetworkMode").and_then(Json::as_str);
    let mode = mode.unwrap_or("default");
    let is_network = state.networks.contains_key(mode);
    if is_network && !matches!(mode, "bridge" | "host" | "none") {
        set("networks", Some(networks(mode, state)));
    } else if !matches!(mode, "default" | "bridge") {
        set("network_mode", Some(json!(mode)));
    }
    let policy = |key: &str| state.host.pointer(&format!("/RestartPolicy/{key}"));
    let most = policy("MaximumRetryCount")
        .and_then(Json::as_i64)
        .unwrap_or(0);
    match policy("Name").and_then(Json::as_str).unwrap_or_default() {
        "" | "no" => {}
        name if most > 0 => set("restart_policy", Some(json!(format!("{name}:{most}")))),
        name => set("restart_policy", Some(json!(name))),
    }
    let number = |key: &str| {
        state
            .host
            .get(key)
            .and_then(Json::as_i64)
            .filter(|n| *n > 0)
    };
    set("memory", number("Memory").map(|n| json!(size(n))));
    #[expect(clippy::cast_precision_loss, reason = "billionths of a processor")]
    set("cpus", number("NanoCpus").map(|n| json!(n as f64 / 1e9)));
    let hosts = state.host.get("ExtraHosts").and_then(Json::as_array);
    let hosts = hosts.into_iter().flatten().filter_map(Json::as_str);
    let hosts = hosts.filter_map(|line| line.split_once(':'));
    set(
        "etc_hosts",
        of_map(hosts.map(|(n, a)| (n.to_owned(), json!(a))).collect()),
    );
    for (key, own) in [("entrypoint", "Entrypoint"), ("command", "Cmd")] {
        let words = state.own.get(own).and_then(Json::as_array);
        let words = words.into_iter().flatten().filter_map(Json::as_str);
        set(key, some(words.map(|w| writing.word(key, w)).collect()));
    }
    for (key, own) in [
        ("hostname", "Hostname"),
        ("user", "User"),
        ("working_dir", "WorkingDir"),
    ] {
        let text = state.own.get(own).and_then(Json::as_str);
        set(key, text.filter(|t| !t.is_empty()).map(|t| json!(plain(t))));
    }
    let labels = state.labels().into_iter().filter(|(k, _)| !is_mark(k));
    set(
        "labels",
        of_map(
            labels
                .map(|(k, v)| (k.clone(), writing.value(&k, &v)))
                .collect(),
        ),
    );
    args
}

/// Its own network first.
fn networks(own: &str, state: &ContainerState) -> Json {
    let mut names: Vec<&String> = state.networks.keys().collect();
    names.sort_by_key(|name| name.as_str() != own);
    let list = names.into_iter().map(|name| {
        let mut network = json!({"name": name});
        let aliases = aliases(&state.networks[name]);
        if !aliases.is_empty() {
            network["aliases"] = json!(aliases);
        }
        network
    });
    Json::Array(list.collect())
}

/// Names of settings that are not Docker's usual ones, and have no argument.
fn kept(state: &ContainerState) -> Vec<String> {
    let mut kept = Vec::new();
    for (key, value) in state.host.as_object().into_iter().flatten() {
        let is = |text: &str| serde_json::from_str::<Json>(text).is_ok_and(|v| v == *value);
        let usual = USUAL.iter().any(|(k, text)| k == key && is(text));
        let known = KNOWN.contains(&key.as_str()) || PATHS.contains(&key.as_str());
        if !known && !usual && !same(value, &Json::Null) && *value != json!(false) {
            kept.push(key.clone());
        }
    }
    for key in OTHERS {
        let value = state.own.get(key).unwrap_or(&Json::Null);
        if !same(value, &Json::Null) && *value != json!(false) {
            kept.push(key.to_owned());
        }
    }
    if state.mounts.iter().any(|m| m.kind == "tmpfs") && !kept.iter().any(|k| k == "Tmpfs") {
        kept.push("Tmpfs".to_owned());
    }
    if state.mounts.iter().any(|m| m.anonymous) {
        kept.push("volumes without a name".to_owned());
    }
    kept.sort();
    kept
}

/// A text that is no template, as one.
fn plain(text: &str) -> String {
    let mut written = text.to_owned();
    if ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
        written = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            written.push_str(before);
            written.push_str("{{ '{' }}");
            rest = &from[1..];
        }
        written.push_str(rest);
    }
    written
}

/// Lower case, with underlines for what a variable's name cannot have.
fn identifier(text: &str) -> String {
    let part = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let name: String = text.chars().map(part).collect();
    match name.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("c{name}"),
        false => name,
    }
}

/// What is written, and the secrets that were taken out of it.
struct Writing {
    /// Begins the variables' names.
    container: String,
    /// All that may be secrets of the container, the longest first.
    all: Vec<String>,
    secrets: BTreeMap<String, Secret>,
}

impl Writing {
    /// The value of a variable or a label.
    fn value(&mut self, name: &str, value: &str) -> Json {
        let is_shown = value.is_empty() || secret::masked(name, value) == value;
        if !is_shown && is_secret_name(name) {
            return json!(self.hidden(name, value));
        }
        self.word(name, value)
    }

    /// A text, with templates for the secrets in it.
    fn word(&mut self, name: &str, text: &str) -> Json {
        let found = self
            .all
            .iter()
            .find(|secret| text.contains(secret.as_str()));
        let Some(secret) = found.cloned() else {
            return json!(plain(text));
        };
        let parts: Vec<String> = text
            .split(secret.as_str())
            .map(|part| match self.word(name, part) {
                Json::String(part) => part,
                _ => String::new(),
            })
            .collect();
        json!(parts.join(&self.hidden(name, &secret)))
    }

    /// The template of a secret; the same one for the same secret of the same setting.
    fn hidden(&mut self, name: &str, secret: &str) -> String {
        let base = format!("{}_{}", self.container, identifier(name));
        let mut variable = base.clone();
        let mut number = 1;
        while self
            .secrets
            .get(&variable)
            .is_some_and(|known| known.expose() != secret)
        {
            number += 1;
            variable = format!("{base}_{number}");
        }
        self.secrets.insert(variable.clone(), Secret::new(secret));
        format!("{{{{ {variable} }}}}")
    }
}

impl Adopted {
    /// The task as YAML, in a list of tasks.
    #[must_use]
    pub fn yaml(&self, task: &str) -> String {
        let mut out = String::new();
        for setting in &self.kept {
            out.push_str(&format!(
                "# kept as it is, without an argument: {setting}\n"
            ));
        }
        out.push_str(&format!(
            "- name: {}\n  docker_container:\n",
            scalar(&json!(task))
        ));
        for (key, value) in &self.args {
            block(&mut out, 4, &format!("{key}:"), value);
        }
        out
    }
}

/// A key, or the dash of a list, and what belongs to it.
fn block(out: &mut String, indent: usize, head: &str, value: &Json) {
    let blanks = " ".repeat(indent);
    match value {
        Json::Object(map) => {
            out.push_str(&format!("{blanks}{head}\n"));
            for (key, value) in map {
                block(out, indent + 2, &format!("{}:", scalar(&json!(key))), value);
            }
        }
        Json::Array(items) => {
            out.push_str(&format!("{blanks}{head}\n"));
            for item in items {
                out.push_str(&format!("{blanks}  - {}\n", scalar(item)));
            }
        }
        other => out.push_str(&format!("{blanks}{head} {}\n", scalar(other))),
    }
}

/// On one line (YAML 1.2): plain where that can be read in one way only, else in double quotes as JSON has them.
fn scalar(value: &Json) -> String {
    match value {
        Json::Object(map) => {
            let pairs = map.iter().map(|(k, v)| format!("{k}: {}", scalar(v)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            format!("[{}]", items.join(", "))
        }
        Json::String(text) => {
            let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
            let is_plain = is_word
                && !text.ends_with(':')
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_./:@-".contains(&b));
            let means_more = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
            if is_plain && !means_more.contains(&text.to_ascii_lowercase().as_str()) {
                text.clone()
            } else {
                value.to_string()
            }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(own: Json, host: Json) -> ContainerState {
        ContainerState {
            exists: true,
            running: true,
            image: "dcm4che/dcm4chee-arc-psql:5.31.2".to_owned(),
            own,
            host,
            ..ContainerState::default()
        }
    }

    #[test]
    fn secrets_become_variables() {
        let own = json!({
            "Env": ["DB_PASSWORD=geheim-1", "SITE=St. Anna", "DB_URL=postgres://pacs:geheim-2@db/pacsdb", "TOKEN="],
            "Cmd": ["serve", "--password", "geheim-3", "--at={{ here }}"],
            "Labels": {"owner": "yes", "org.runbook.asked.env": "X"},
        });
        let adopted = adopted("arc-1", &state(own, json!({"NetworkMode": "default"}))).unwrap();
        let yaml = adopted.yaml("Container arc-1");
        for secret in ["geheim-1", "geheim-2", "geheim-3"] {
            assert!(!yaml.contains(secret), "{yaml}");
        }
        let secrets: Vec<(&str, &str)> = adopted
            .secrets
            .iter()
            .map(|(k, v)| (k.as_str(), v.expose()))
            .collect();
        assert_eq!(
            secrets,
            [
                ("arc_1_command", "geheim-3"),
                ("arc_1_db_password", "geheim-1"),
                ("arc_1_db_url", "geheim-2"),
            ]
        );
        let expected = r#"- name: "Container arc-1"
  docker_container:
    name: arc-1
    image: dcm4che/dcm4chee-arc-psql:5.31.2
    env:
      DB_PASSWORD: "{{ arc_1_db_password }}"
      DB_URL: "postgres://pacs:{{ arc_1_db_url }}@db/pacsdb"
      SITE: "St. Anna"
      TOKEN: ""
    command:
      - serve
      - "--password"
      - "{{ arc_1_command }}"
      - "--at={{ '{' }}{{ '{' }} here }}"
    labels:
      owner: "yes"
"#;
        assert_eq!(yaml, expected);
    }

    #[test]
    fn what_has_no_argument_is_named() {
        let host = json!({
            "NetworkMode": "host", "CapDrop": ["NET_RAW"], "ShmSize": 67_108_864, "Memory": 536_870_912,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "81/udp": [{"HostIp": "", "HostPort": "81"}]},
            "ExtraHosts": ["modality:192.0.2.7", "six:2001:db8::1"], "Privileged": false,
        });
        let adopted = adopted("arc", &state(json!({"StopSignal": "SIGINT"}), host)).unwrap();
        assert_eq!(adopted.kept, ["CapDrop", "LogConfig", "StopSignal"]);
        assert_eq!(
            Json::Object(adopted.args),
            json!({
                "name": "arc", "image": "dcm4che/dcm4chee-arc-psql:5.31.2", "ports": ["127.0.0.1:8080:80", "81:81/udp"],
                "network_mode": "host", "restart_policy": "on-failure:3", "memory": "512M",
                "etc_hosts": {"modality": "192.0.2.7", "six": "2001:db8::1"},
            })
        );
    }

    #[test]
    fn composed_ones_are_refused() {
        let own = json!({"Labels": {"com.docker.compose.project": "dcm4chee"}});
        let refused = adopted("arc", &state(own, json!({}))).unwrap_err();
        assert!(refused.contains("docker_compose"), "{refused}");
        let none = adopted("arc", &ContainerState::default()).unwrap_err();
        assert_eq!(none, "there is no container arc");
    }
}
