//! What a site is, seen with other programs than ours.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use runbook_lab::{Host, Site};
use serde_json::Value;

/// Files with content, rights and times, containers with what they have written, images, networks, volumes, directories
/// and databases of all hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Host and what was looked at → the answer's lines.
    parts: BTreeMap<(String, &'static str), Vec<String>>,
}

/// Where files are not compared as such: what the kernel shows; the store of Docker, which Docker describes; and the
/// folders that directory, database and archive write all the time, the first two of which are compared by what their
/// servers say of them; and the network namespaces, where Docker sweeps once a minute what containers have left.
const PRUNED: &str = r"-path /proc -o -path /sys -o -path /dev -o -path /var/lib/docker -o -path /var/lib/containerd
 -o -path /var/local/dcm4chee-arc/ldap -o -path /var/local/dcm4chee-arc/db -o -path /var/local/dcm4chee-arc/wildfly/log
 -o -path /run/docker/netns";
/// Names that running daemons write all the time: the log of Docker, the greeting that sshd makes at each login, the
/// folders of Docker's processes with the pipes of commands in containers, and the folders in which
/// greeting and commands lie for a moment. Their times and contents are not compared; that they are there is.
const WRITTEN: &str = r"-path /var/log/dockerd.log -o -path /run/motd.dynamic -o -path /run -o -path /tmp
 -o -path '/run/docker/containerd/*' -o -path '/run/docker/runtime-runc/*'";
/// Every entry with type, rights, owner, target, size and time, every file with its hash.
const FILES: &str = r"
look() { find $1 -xdev \( $prune \) -prune -o \( $written \) -printf '%p %y %M %U %G %l\n' -o -printf '%p %y %M %U %G %s %T@ %l\n'; }
hash() { find $1 -xdev \( $prune \) -prune -o \( $written \) -o -type f -print0 | xargs -0r sha256sum; }
set -f
look / | grep -v '^/run/motd.dynamic ' | LC_ALL=C sort
hash / | LC_ALL=C sort -k2
set +f
for folder in /var/local/dcm4chee-arc/{ldap,db,wildfly/log}; do
    [ ! -d $folder ] || find $folder -maxdepth 1 -printf '%p %y %M %U %G %l\n' | LC_ALL=C sort
done
";
/// What is kept aside, and not compared as files are: containers, and files and folders, with a hash of all in them.
pub const KEPT: &str = r"
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /var/lib/docker \) -prune -o -name '*.runbook-*' -print -prune | LC_ALL=C sort | while read -r path; do
    all=$(find $path -printf '%P %y %M %U %G %l\n' | LC_ALL=C sort; find $path -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum)
    echo $path, sha256 $(sha256sum <<<$all | cut -c -12)
done
docker ps -a --filter 'name=\.runbook-' --format '{{.Names}}' | LC_ALL=C sort
echo end";
const CONTAINERS: &str = "docker ps -aq --no-trunc | LC_ALL=C sort | xargs -r docker inspect";
/// What containers have written into their own file systems: as Docker says it, and the files themselves.
const LAYERS: &str = r"
for name in $(docker ps -a --format '{{.Names}}' | LC_ALL=C sort); do
    echo $name; docker diff $name | LC_ALL=C sort
    layer=$(docker inspect -f '{{.GraphDriver.Data.UpperDir}}' $name)
    cd $layer
    find . -printf '%P %y %M %U %G %s %T@ %l\n' | LC_ALL=C sort
    find . -type f -print0 | xargs -0r sha256sum | LC_ALL=C sort -k2
done";
const IMAGES: &str = "docker images --all --no-trunc --format '{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}' | LC_ALL=C sort";
const IMAGE_SETTINGS: &str =
    "docker images --all --no-trunc --quiet | LC_ALL=C sort -u | xargs -r docker inspect";
const NETWORKS: &str = "docker network ls -q | LC_ALL=C sort | xargs -r docker network inspect";
const VOLUMES: &str = r#"names=$(docker volume ls -q | LC_ALL=C sort)
if [ -n "$names" ]; then docker volume inspect $names; else echo '[]'; fi"#;
/// Docker keeps its own list of volumes in two files, and writes it when it makes a container.
const VOLUME_FILES: &str = r"
find /var/lib/docker/volumes -mindepth 1 ! -name metadata.db ! -name backingFsBlockDev -printf '%p %y %M %U %G %s %T@ %l\n' | LC_ALL=C sort
find /var/lib/docker/volumes -mindepth 2 -type f -print0 | xargs -0r sha256sum | LC_ALL=C sort -k2
echo end";
/// Data with operational attributes, and the configuration with the schema.
const DIRECTORY: &str =
    "for n in 1 0; do docker exec ldap slapcat -F /etc/openldap/slapd.d -n $n; done";
/// All databases and roles. Recent versions write a random word into `\restrict`.
const DATABASE: &str =
    r"docker exec db pg_dumpall -U pacs | grep -v '^\\\(un\)\?restrict ' | LC_ALL=C sort";

/// The look at files.
fn files() -> String {
    let one_line = |names: &str| names.replace(['\n', '\''], "");
    format!(
        "prune=\"{}\"\nwritten=\"{}\"\n{FILES}",
        one_line(PRUNED),
        one_line(WRITTEN)
    )
}

/// The look at files that are to be what they were, whenever they were written: without times, sizes of folders, what
/// runs, logs, and what is kept aside.
pub fn files_without_times() -> String {
    let pruned = PRUNED.replace('\n', "");
    format!(
        r"prune='{pruned} -o -path /run -o -path /tmp -o -path /var/log -o -name *.runbook-*'
set -f
find / -xdev \( $prune \) -prune -o -printf '%p %y %M %U %G %l\n'
find / -xdev \( $prune \) -prune -o -type f -print0 | xargs -0r sha256sum"
    )
}

impl Snapshot {
    /// Looks at all of it.
    ///
    /// # Errors
    /// A program fails.
    pub fn of(site: &Site) -> Result<Self> {
        let mut parts = BTreeMap::new();
        let files = files();
        for host in &site.hosts {
            let has = |group: &str| host.groups.iter().any(|g| g == group);
            let mut looks = vec![
                ("files", files.as_str()),
                ("containers", CONTAINERS),
                ("layers", LAYERS),
                ("images", IMAGES),
                ("image settings", IMAGE_SETTINGS),
                ("networks", NETWORKS),
                ("volumes", VOLUMES),
                ("volume files", VOLUME_FILES),
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

/// The lines that a script prints on a host; of JSON one for each value.
pub fn lines(site: &Site, host: &Host, script: &str) -> Result<Vec<String>> {
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
pub fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
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
