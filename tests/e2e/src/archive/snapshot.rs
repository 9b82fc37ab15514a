//! What a site is, seen with other programs than ours.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use runbook_lab::{Host, Site};
use serde_json::Value;

/// Files with content and rights, containers, images, networks, volumes, directories and databases of all hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Host and what was looked at → the answer's lines.
    parts: BTreeMap<(String, &'static str), Vec<String>>,
}

/// Every file with its hash, every entry with type, rights, owner and target. Left out: what the kernel shows, what
/// servers write all the time (logs, sockets, the data folders of directory and database, whose content is compared by
/// itself), and the store of Docker, which Docker describes.
const FILES: &str = r"
prune='-path /proc -o -path /sys -o -path /dev -o -path /run -o -path /var/log -o -path /var/lib/docker
 -o -path /var/lib/containerd -o -path /var/local/dcm4chee-arc/ldap -o -path /var/local/dcm4chee-arc/db
 -o -path /var/local/dcm4chee-arc/wildfly/log'
find / -xdev \( $prune \) -prune -o -printf '%p %y %M %U %G %l\n' | LC_ALL=C sort
find / -xdev \( $prune \) -prune -o -type f -print0 | xargs -0r sha256sum | LC_ALL=C sort -k2
";
const CONTAINERS: &str = "docker ps -aq --no-trunc | LC_ALL=C sort | xargs -r docker inspect";
const IMAGES: &str = "docker images --all --no-trunc --format '{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}' | LC_ALL=C sort";
const NETWORKS: &str = "docker network ls -q | LC_ALL=C sort | xargs -r docker network inspect";
const VOLUMES: &str = "docker volume ls --format '{{.Driver}} {{.Name}}' | LC_ALL=C sort; echo end";
/// Data with operational attributes, and the configuration with the schema.
const DIRECTORY: &str =
    "for n in 1 0; do docker exec ldap slapcat -F /etc/openldap/slapd.d -n $n; done";
/// Recent versions write a random word into `\restrict`.
const DATABASE: &str = r"docker exec db pg_dump -U pacs pacsdb | grep -v '^\\\(un\)\?restrict ' | LC_ALL=C sort; docker exec db pg_dumpall -U pacs --globals-only | grep -v '^\\\(un\)\?restrict '";

impl Snapshot {
    /// Looks at all of it.
    ///
    /// # Errors
    /// A program fails.
    pub fn of(site: &Site) -> Result<Self> {
        let mut parts = BTreeMap::new();
        for host in &site.hosts {
            let has = |group: &str| host.groups.iter().any(|g| g == group);
            let mut looks = vec![
                ("files", FILES),
                ("containers", CONTAINERS),
                ("images", IMAGES),
                ("networks", NETWORKS),
                ("volumes", VOLUMES),
            ];
            if has("ldap") {
                looks.push(("directory", DIRECTORY));
            }
            if has("db") {
                looks.push(("database", DATABASE));
            }
            for (what, script) in looks {
                parts.insert((host.name.clone(), what), lines(site, host, script)?);
            }
        }
        Ok(Self { parts })
    }

    /// The lines that are in one of both only, with the host and what was looked at.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, mine) in &self.parts {
            let none = Vec::new();
            let theirs = other.parts.get(key).unwrap_or(&none);
            if mine == theirs {
                continue;
            }
            let (host, what) = key;
            for (sign, from, without) in [('-', mine, theirs), ('+', theirs, mine)] {
                let gone = from.iter().filter(|line| !without.contains(line));
                found.extend(gone.map(|line| format!("{host}, {what}: {sign} {line}")));
            }
            if found.is_empty() {
                found.push(format!("{host}, {what}: another order"));
            }
        }
        found
    }

    /// How many lines it has, per thing looked at.
    #[must_use]
    pub fn size(&self) -> BTreeMap<&'static str, usize> {
        let mut sizes = BTreeMap::new();
        for ((_, what), lines) in &self.parts {
            *sizes.entry(*what).or_default() += lines.len();
        }
        sizes
    }
}

fn lines(site: &Site, host: &Host, script: &str) -> Result<Vec<String>> {
    let output = site.exec(&host.name, &format!("set -o pipefail\n{script}"))?;
    ensure!(
        output.status == Some(0) && !output.stdout.is_empty(),
        "{}: status {:?} of {script}\n{}",
        host.name,
        output.status,
        output.stderr
    );
    if output.stdout.starts_with('[') {
        let described: Value = serde_json::from_str(&output.stdout)?;
        let mut lines = Vec::new();
        flatten("", &described, &mut lines);
        return Ok(lines);
    }
    Ok(output.stdout.lines().map(str::to_owned).collect())
}

/// One line per value, with the path to it. Docker gives lists (names, mounts) in an order of chance, so they are
/// sorted.
fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flatten(&format!("{path}.{key}"), value, lines);
            }
        }
        Value::Array(list) => {
            let mut parts: Vec<Vec<String>> = list
                .iter()
                .map(|value| {
                    let mut part = Vec::new();
                    flatten(&format!("{path}[]"), value, &mut part);
                    part
                })
                .collect();
            parts.sort();
            lines.extend(parts.into_iter().flatten());
        }
        other => lines.push(format!("{path}: {other}")),
    }
}
