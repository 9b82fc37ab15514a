//! What containers that somebody started by hand carry and the playbook does not know.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Archive;

/// Per container: variables, ports, limit of memory, restart policy and further hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, BTreeMap<&'static str, Vec<String>>>);

fn texts(value: &Value) -> Vec<String> {
    let mut list: Vec<String> = value
        .as_array()
        .into_iter()
        .flatten()
        .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        .collect();
    list.sort();
    list
}

impl Settings {
    /// Reads them with `docker inspect`. Variables that the container's image sets by itself are left out: another
    /// image sets others.
    ///
    /// # Errors
    /// A container is not there.
    pub fn of(archive: &Archive) -> Result<Self> {
        let mut all = BTreeMap::new();
        for name in ["ldap", "db", "arc"] {
            let read = |what: &str| -> Result<Value> {
                let text = archive.on(name, &format!("docker inspect {what}"))?;
                let list: Vec<Value> = serde_json::from_str(&text)?;
                list.into_iter().next().context("docker says nothing")
            };
            let container = read(name)?;
            let image = read(container["Image"].as_str().unwrap_or_default())?;
            let own = texts(&image["Config"]["Env"]);
            let mut variables = texts(&container["Config"]["Env"]);
            variables.retain(|v| !own.contains(v));
            let host = &container["HostConfig"];
            let ports = host["PortBindings"].as_object().into_iter().flatten();
            all.insert(
                name.to_owned(),
                BTreeMap::from([
                    ("variables", variables),
                    (
                        "ports",
                        ports.map(|(port, to)| format!("{port} {to}")).collect(),
                    ),
                    ("memory", vec![host["Memory"].to_string()]),
                    ("restart policy", vec![host["RestartPolicy"].to_string()]),
                    ("hosts", texts(&host["ExtraHosts"])),
                    ("mounts", texts(&host["Binds"])),
                ]),
            );
        }
        Ok(Self(all))
    }

    /// Whether a container has this, said as `docker inspect` says it.
    #[must_use]
    pub fn has(&self, container: &str, what: &str, value: &str) -> bool {
        self.0
            .get(container)
            .and_then(|c| c.get(what))
            .is_some_and(|list| list.iter().any(|v| v.contains(value)))
    }

    /// What this has and the other has not, as lines.
    #[must_use]
    pub fn lost_in(&self, other: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        for (container, settings) in &self.0 {
            for (what, values) in settings {
                let theirs = other.0.get(container).and_then(|c| c.get(what));
                let gone = values
                    .iter()
                    .filter(|v| !theirs.is_some_and(|t| t.contains(v)));
                lost.extend(gone.map(|v| format!("{container}, {what}: {v}")));
            }
        }
        lost
    }
}
