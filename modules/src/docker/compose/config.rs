//! What `config` of compose prints, as settings of containers. Pure.
//!
//! Version 1 prints short forms (`"389:389/tcp"`, `/a:/b:rw`), version 2 mappings (compose specification, "Services top-level
//! element"). In both a `$` is written `$$`.

use std::collections::BTreeMap;

use runbook_engine::source::{self, Sources};
use serde_json::{Map, Value as Json};

use super::super::state::{ContainerWant, WantedNetwork};
use super::order::Needs;
use super::{LABEL, OF_PROJECT, OF_SERVICE};

/// A project as compose understands its files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Services by name, as they are printed.
    pub services: BTreeMap<String, Json>,
    /// Networks: name in the files → name that Docker knows.
    pub networks: BTreeMap<String, String>,
    /// Volumes, likewise.
    pub volumes: BTreeMap<String, String>,
}

/// Reads what is printed.
///
/// # Errors
/// It is no mapping in YAML.
pub fn read(project: &str, text: &str) -> Result<Config, String> {
    let sources = Sources::new();
    let id = sources.add("config", text.to_owned());
    let node = source::parse_one(&sources, id)
        .map_err(|_| "what `config` of compose prints is no YAML".to_owned())?;
    let root = node.map(|n| source::untyped(&n).to_json(true));
    let mut root = root.unwrap_or_default();
    unescape(&mut root);
    let part = |name: &str| -> BTreeMap<String, Json> {
        let map = root.get(name).and_then(Json::as_object);
        map.into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    let names = |section: &str| -> BTreeMap<String, String> {
        let called = |(key, value): (String, Json)| {
            let external = value.get("external");
            let given = value.get("name").or_else(|| external?.get("name"));
            let own = match given.and_then(Json::as_str) {
                Some(name) => name.to_owned(),
                None if external == Some(&Json::Bool(true)) => key.clone(),
                None => format!("{project}_{key}"),
            };
            (key, own)
        };
        part(section).into_iter().map(called).collect()
    };
    let mut networks = names("networks");
    // Version 1 does not print the network that is there without being named.
    networks
        .entry("default".to_owned())
        .or_insert_with(|| format!("{project}_default"));
    Ok(Config {
        services: part("services"),
        networks,
        volumes: names("volumes"),
    })
}

fn unescape(value: &mut Json) {
    match value {
        Json::String(text) if text.contains("$$") => *text = text.replace("$$", "$"),
        Json::Array(items) => items.iter_mut().for_each(unescape),
        Json::Object(map) => map.values_mut().for_each(unescape),
        _ => {}
    }
}

/// A scalar as text.
fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// A mapping, or a list of `KEY=VALUE`, as names with values.
fn pairs(value: Option<&Json>, divider: &[char]) -> BTreeMap<String, String> {
    match value {
        Some(Json::Object(map)) => map
            .iter()
            .map(|(k, v)| (k.clone(), text(v).unwrap_or_default()))
            .collect(),
        Some(Json::Array(items)) => items
            .iter()
            .filter_map(Json::as_str)
            .map(|item| item.split_once(divider).unwrap_or((item, "")))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// A command: a list of words, or a line that is taken apart as a shell does.
fn command(value: Option<&Json>) -> Option<Vec<String>> {
    match value? {
        Json::Array(items) => Some(items.iter().filter_map(text).collect()),
        Json::String(line) => shlex::split(line),
        _ => None,
    }
}

/// `[address:][port:]inner[/udp]`.
fn port(value: &Json) -> Option<String> {
    let Json::Object(map) = value else {
        let short = text(value)?;
        return Some(short.trim_end_matches("/tcp").to_owned());
    };
    let part = |key: &str| map.get(key).and_then(text).filter(|p| !p.is_empty());
    let inner = part("target")?;
    let front = [part("host_ip"), part("published")];
    let front: Vec<String> = front.into_iter().flatten().collect();
    let protocol = part("protocol").filter(|p| p != "tcp");
    let outer = if front.is_empty() {
        String::new()
    } else {
        format!("{}:", front.join(":"))
    };
    let protocol = protocol.map(|p| format!("/{p}")).unwrap_or_default();
    Some(format!("{outer}{inner}{protocol}"))
}

impl Config {
    /// `source:target[:ro]`; `None` for what is no bind and no named volume.
    fn mount(&self, value: &Json) -> Option<String> {
        let named = |source: &str| {
            let own = self.volumes.get(source);
            own.cloned().unwrap_or_else(|| source.to_owned())
        };
        let Json::Object(map) = value else {
            let short = text(value)?;
            let (source, rest) = short.split_once(':')?;
            let (target, options) = rest.split_once(':').unwrap_or((rest, "rw"));
            let options: Vec<&str> = options.split(',').filter(|o| *o != "rw").collect();
            let end = if options.is_empty() {
                String::new()
            } else {
                format!(":{}", options.join(","))
            };
            return Some(format!("{}:{target}{end}", named(source)));
        };
        let part = |key: &str| map.get(key).and_then(Json::as_str);
        let source = part("source").filter(|s| !s.is_empty())?;
        if !matches!(part("type"), Some("bind" | "volume")) {
            return None;
        }
        let mut options = Vec::new();
        if map.get("read_only") == Some(&Json::Bool(true)) {
            options.push("ro".to_owned());
        }
        let bind = |key: &str| Some(value.pointer("/bind")?.get(key)?.as_str()?.to_owned());
        options.extend(bind("selinux"));
        options.extend(bind("propagation"));
        let end = if options.is_empty() {
            String::new()
        } else {
            format!(":{}", options.join(","))
        };
        Some(format!("{}:{}{end}", named(source), part("target")?))
    }

    /// The networks of a service. Version 2 also gives a container its own name as a name in them.
    fn networks(&self, service: &str, settings: &Json, own: Option<&str>) -> Vec<WantedNetwork> {
        let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
        match settings.get("networks") {
            Some(Json::Object(map)) => {
                for (name, more) in map {
                    let aliases = more.get("aliases").and_then(Json::as_array);
                    let aliases = aliases.into_iter().flatten().filter_map(text).collect();
                    asked.insert(name.clone(), aliases);
                }
            }
            Some(Json::Array(names)) => {
                asked.extend(names.iter().filter_map(text).map(|n| (n, Vec::new())));
            }
            _ => {
                asked.insert("default".to_owned(), Vec::new());
            }
        }
        let called = |(key, mut aliases): (String, Vec<String>)| {
            aliases.push(service.to_owned());
            aliases.extend(own.map(str::to_owned));
            aliases.sort();
            aliases.dedup();
            WantedNetwork {
                name: self.networks.get(&key).cloned().unwrap_or(key),
                aliases,
            }
        };
        asked.into_iter().map(called).collect()
    }

    /// What a container of a service has, as far as it is told: everything that is not among it is not told to anybody.
    #[must_use]
    pub fn wanted(&self, project: &str, service: &str, own_name: Option<&str>) -> ContainerWant {
        let empty = Json::Object(Map::new());
        let settings = self.services.get(service).unwrap_or(&empty);
        let of = |key: &str| settings.get(key);
        let list = |key: &str| of(key).and_then(Json::as_array).into_iter().flatten();
        let network_mode = of("network_mode").and_then(text);
        let mut labels = pairs(of("labels"), &['=']);
        labels.retain(|name, _| !name.starts_with(LABEL));
        labels.insert(OF_PROJECT.to_owned(), project.to_owned());
        labels.insert(OF_SERVICE.to_owned(), service.to_owned());
        ContainerWant {
            env: Some(pairs(of("environment"), &['='])),
            ports: Some(list("ports").filter_map(port).collect()),
            volumes: Some(list("volumes").filter_map(|v| self.mount(v)).collect()),
            networks: match network_mode {
                Some(_) => None,
                None => Some(self.networks(service, settings, own_name)),
            },
            network_mode,
            restart_policy: Some(of("restart").and_then(text).unwrap_or("no".to_owned())),
            etc_hosts: Some(pairs(of("extra_hosts"), &['=', ':'])),
            command: command(of("command")),
            entrypoint: command(of("entrypoint")),
            hostname: of("hostname").and_then(text),
            user: of("user").and_then(text),
            working_dir: of("working_dir").and_then(text),
            labels: Some(labels),
            ..ContainerWant::default()
        }
    }

    /// Services that others wait for to have ended with success: they run once.
    #[must_use]
    pub fn ending(&self) -> Vec<String> {
        let mut ending = Vec::new();
        for settings in self.services.values() {
            let Some(Json::Object(needs)) = settings.get("depends_on") else {
                continue;
            };
            for (service, need) in needs {
                let condition = need.get("condition").and_then(Json::as_str);
                if condition == Some("service_completed_successfully") {
                    ending.push(service.clone());
                }
            }
        }
        ending
    }

    /// What each service needs.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let needed = |settings: &Json| pairs(settings.get("depends_on"), &[]).into_keys().collect();
        let each = self.services.iter();
        each.map(|(name, settings)| (name.clone(), needed(settings)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = include_str!("fixtures/config-1.yaml");
    const TWO: &str = include_str!("fixtures/config-2.yaml");

    #[test]
    fn both_versions_say_the_same() {
        let (one, two) = (read("cx", ONE).unwrap(), read("cx", TWO).unwrap());
        for service in ["ldap", "db", "arc"] {
            let old = one.wanted("cx", service, None);
            assert_eq!(old, two.wanted("cx", service, None), "{service}");
        }
        let ldap = two.wanted("cx", "ldap", Some("cx-ldap"));
        assert_eq!(
            ldap.volumes.unwrap(),
            [
                "/srv/data:/var/lib/data",
                "/etc/localtime:/etc/localtime:ro"
            ]
        );
        assert_eq!(ldap.ports.unwrap(), ["127.0.0.1:3389:389"]);
        assert_eq!(ldap.command.unwrap(), ["sh", "-c", "sleep 1000"]);
        let networks = ldap.networks.unwrap();
        assert_eq!(networks[0].name, "cx_default");
        assert_eq!(networks[0].aliases, ["cx-ldap", "ldap"]);
        let db = one.wanted("cx", "db", None);
        assert_eq!(db.env.unwrap()["POSTGRES_DB"], "pa$cs");
        assert_eq!(db.volumes.unwrap(), ["cx_dbdata:/data"]);
        assert_eq!(db.restart_policy.as_deref(), Some("always"));
    }

    #[test]
    fn both_say_what_is_needed() {
        for text in [ONE, TWO] {
            let needs = read("cx", text).unwrap().needs();
            assert_eq!(needs["arc"], ["db", "ldap"]);
            assert_eq!(needs["ldap"], Vec::<String>::new());
        }
    }
}
