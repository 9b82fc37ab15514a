//! Sites: hosts with the old versions running, started by hand as the guide says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::command::{Command, Output, say, wait};
use crate::inventory::{self, Variables};
use crate::{LABEL, Lab, NETWORK};

/// How the parts of an archive are spread over hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// All on pacs1.
    One,
    /// Directory on dir1, database on data1, archive on arch1.
    Three,
}

/// A host of a site.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name within the site.
    pub name: String,
    /// Its address in the lab's network.
    pub address: String,
    /// Groups that it is in: ldap, db, arc.
    pub groups: Vec<String>,
}

/// A site.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Its hosts.
    pub hosts: Vec<Host>,
    lab: Lab,
}

const START: &str = include_str!("../images/start-old.sh");
/// Goes before `START`, after `EMPTIED`: what was kept takes the place of all that was done since.
const AGAIN: &str = r#"cp -a /var/lib/lab-kept /var/local/dcm4chee-arc
"#;
/// Removes what ran, with all that it has kept; the network and the images stay, and nobody fills the database.
const EMPTIED: &str = r#"set -eu
command docker ps -aq | xargs -r docker rm -fv >/dev/null
command docker images --format '{{.Repository}}:{{.Tag}}' | { grep -F .runbook- || true; } | xargs -r docker rmi >/dev/null
rm -rf /var/local/dcm4chee-arc /var/backups/dcm4chee
docker() {
    case "$1 ${2-}" in
    "load -q") ;;
    "network create") command docker network inspect dcm4chee_default || command docker "$@" ;;
    "exec -i") cat >/dev/null ;;
    *) command docker "$@" ;;
    esac
}
"#;

impl Site {
    pub(crate) fn create(lab: &Lab, name: &str, hosts: Hosts) -> Result<Self> {
        let names: &[(&str, &[&str])] = match hosts {
            Hosts::One => &[("pacs1", &["ldap", "db", "arc"])],
            Hosts::Three => &[("dir1", &["ldap"]), ("data1", &["db"]), ("arch1", &["arc"])],
        };
        let site = Self::containers(lab, name, names, "runbook-lab/site:12")?;
        site.start_all("")?;
        say(&format!("{name}: the old versions run"));
        Ok(site)
    }

    fn start_all(&self, before: &str) -> Result<()> {
        let address = |group: &str| -> String {
            self.hosts
                .iter()
                .find(|h| h.groups.iter().any(|g| g == group))
                .map(|h| h.address.clone())
                .unwrap_or_default()
        };
        let v = Variables::of(&self.name);
        // The archive waits for the others by itself, so all hosts can go at once.
        std::thread::scope(|scope| {
            let running: Vec<_> = self
                .hosts
                .iter()
                .map(|host| {
                    let mut script = format!(
                        "GROUPS_HERE='{}' LDAP_AT={} DB_AT={} BASE_DN='{}' DEVICE={} AET={}\n\
                         LDAP_PASSWORD={} LDAP_CONFIG_PASSWORD={} PG_PASSWORD={}\n",
                        host.groups.join(" "),
                        address("ldap"),
                        address("db"),
                        v.base_dn,
                        v.device,
                        v.aet,
                        v.ldap_password,
                        v.ldap_config_password,
                        v.pg_password,
                    );
                    script.push_str(before);
                    script.push_str(START);
                    scope.spawn(move || self.start(host, script))
                })
                .collect();
            for thread in running {
                match thread.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("starting a host of {} has panicked", self.name),
                }
            }
            Ok(())
        })
    }

    /// Keeps what directory, database and archive of a fresh site hold, so that [`Site::again`] can go back to it.
    ///
    /// # Errors
    /// A host refuses.
    pub fn keep(&self) -> Result<()> {
        for host in &self.hosts {
            let script = "docker ps -q | xargs -r docker stop >/dev/null && cp -a /var/local/dcm4chee-arc /var/lib/lab-kept";
            self.start(host, format!("set -e\n{script}\n"))?;
        }
        self.again()
    }

    /// Removes all that runs and starts other old versions in its place, with empty directories and nothing but what their
    /// images bring: `images` are the variables of `start-old.sh` that say which.
    ///
    /// # Errors
    /// What did not start.
    pub fn others(&self, images: &[(&str, &str)]) -> Result<()> {
        let mut before = EMPTIED.to_owned();
        for (name, value) in images {
            before.push_str(&format!("{name}='{value}'\n"));
        }
        self.start_all(&before)
    }

    /// Puts what was kept in the place of all that was done on the site since; takes seconds.
    ///
    /// # Errors
    /// What did not start.
    pub fn again(&self) -> Result<()> {
        self.start_all(&format!("{EMPTIED}{AGAIN}"))
    }

    pub(crate) fn plain(lab: &Lab, name: &str, count: usize) -> Result<Self> {
        let names: Vec<String> = (1..=count).map(|n| format!("host{n}")).collect();
        let names: Vec<(&str, &[&str])> = names.iter().map(|n| (n.as_str(), &[][..])).collect();
        Self::containers(lab, name, &names, "runbook-lab/host:12")
    }

    pub(crate) fn find(lab: &Lab, name: &str) -> Result<Self> {
        let out = Command::docker([
            "ps",
            "-a",
            "--filter",
            &format!("label=org.runbook.lab.site={name}"),
        ])
        .args(["--format", "{{.Names}}"])
        .run()?;
        let mut hosts = Vec::new();
        for container in out.stdout.split_whitespace() {
            let out = Command::docker(["inspect", container, "--format"])
                .arg(format!(
                    "{{{{index .Config.Labels \"org.runbook.lab.host\"}}}}|{{{{(index .NetworkSettings.Networks \"{NETWORK}\").IPAMConfig.IPv4Address}}}}|{{{{index .Config.Labels \"org.runbook.lab.groups\"}}}}"
                ))
                .run()?;
            let mut parts = out.stdout.trim().split('|').map(str::to_owned);
            let mut next = || parts.next().unwrap_or_default();
            hosts.push(Host {
                name: next(),
                address: next(),
                groups: next().split_whitespace().map(str::to_owned).collect(),
            });
        }
        if hosts.is_empty() {
            bail!("there is no site {name} in the lab");
        }
        hosts.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(Self {
            name: name.to_owned(),
            hosts,
            lab: lab.clone(),
        })
    }

    /// Runs a shell command on a host, as root and without SSH, so that what is tested is not what looks.
    ///
    /// # Errors
    /// The host is not of this site, or Docker does not answer. A command that fails is no error: see its status.
    pub fn exec(&self, host: &str, command: &str) -> Result<Output> {
        let host = self.host(host)?;
        Command::docker(["exec", &self.container(host), "bash", "-c", command]).output()
    }

    /// A host by its name.
    ///
    /// # Errors
    /// The host is not of this site.
    pub fn host(&self, name: &str) -> Result<&Host> {
        let found = self.hosts.iter().find(|h| h.name == name);
        found.with_context(|| format!("{} has no host {name}", self.name))
    }

    /// The name of the container that plays a host.
    #[must_use]
    pub fn container(&self, host: &Host) -> String {
        format!("{}-{}", self.name, host.name)
    }

    /// Writes an inventory of this site alone and gives its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn inventory(&self) -> Result<PathBuf> {
        let folder = self.lab.folder().join("inventories");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.yaml", self.name));
        let text = inventory::site(&self.name, &self.hosts, "..");
        fs::write(&path, format!("sites:\n{text}"))?;
        Ok(path)
    }

    /// Starts hosts that do not run, as after a restart of this machine. What is on them starts as it would on a host.
    ///
    /// # Errors
    /// What did not start.
    pub fn wake(&self) -> Result<()> {
        for host in &self.hosts {
            let container = self.container(host);
            let state =
                Command::docker(["inspect", &container, "--format", "{{.State.Running}}"]).run()?;
            if state.stdout.trim() == "true" {
                continue;
            }
            say(&format!("{} {}: starts again", self.name, host.name));
            Command::docker(["start", &container]).run()?;
            wait(
                &format!("{} {}: sshd answers", self.name, host.name),
                60,
                || Ok(std::net::TcpStream::connect((host.address.as_str(), 22)).is_ok()),
            )?;
            if !host.groups.is_empty() {
                wait(
                    &format!("{} {}: Docker answers", self.name, host.name),
                    60,
                    || Ok(Command::docker(["exec", &container, "docker", "info"]).succeeds()),
                )?;
            }
        }
        Ok(())
    }

    /// Removes the site's hosts with all that is on them.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn destroy(&self) -> Result<()> {
        let _alone = self.lab.alone()?;
        for host in &self.hosts {
            Command::docker(["rm", "-fv", &self.container(host)]).run()?;
            knows(&self.lab, &host.address, None)?;
        }
        Ok(())
    }

    fn containers(lab: &Lab, name: &str, hosts: &[(&str, &[&str])], image: &str) -> Result<Self> {
        if let Ok(old) = Self::find(lab, name) {
            old.destroy()?;
        }
        let key = fs::read_to_string(lab.key().with_extension("pub"))?;
        let _alone = lab.alone()?;
        let mut site = Self {
            name: name.to_owned(),
            hosts: Vec::new(),
            lab: lab.clone(),
        };
        for (index, (host, groups)) in hosts.iter().enumerate() {
            let host = Host {
                name: (*host).to_owned(),
                address: address(name, index)?,
                groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            };
            let mut run = Command::docker(["run", "-d", "--name", &site.container(&host)])
                .args([
                    "--hostname",
                    &host.name,
                    "--network",
                    NETWORK,
                    "--ip",
                    &host.address,
                ])
                .args([
                    "--label",
                    LABEL,
                    "--label",
                    &format!("org.runbook.lab.site={name}"),
                ])
                .args(["--label", &format!("org.runbook.lab.host={}", host.name)])
                .args([
                    "--label",
                    &format!("org.runbook.lab.groups={}", groups.join(" ")),
                ])
                .args(["-e", &format!("LAB_KEY={}", key.trim())]);
            if image.contains("/site") {
                // What a Docker daemon inside a container needs where `--privileged` is refused.
                run = run
                    .args([
                        "--cap-add=ALL",
                        "--cap-drop=SYS_RESOURCE",
                        "--cgroupns=host",
                    ])
                    .args(["--security-opt", "seccomp=unconfined"])
                    .args(["--security-opt", "apparmor=unconfined"])
                    .args(["--security-opt", "systempaths=unconfined"])
                    .args([
                        "-v",
                        "/sys/fs/cgroup:/sys/fs/cgroup:rw",
                        "-v",
                        "/var/lib/docker",
                    ])
                    .arg("--device-cgroup-rule=a *:* rwm")
                    .arg("-v")
                    .arg(format!(
                        "{}:/lab-images:ro",
                        lab.folder().join("images").display()
                    ));
            }
            run.arg(image).run()?;
            site.hosts.push(host);
        }
        for host in &site.hosts {
            let read = [
                "exec",
                &site.container(host),
                "cat",
                "/etc/ssh/ssh_host_ed25519_key.pub",
            ];
            let mut line = String::new();
            wait(&format!("{name} {}: sshd answers", host.name), 60, || {
                line = Command::docker(read).output()?.stdout;
                Ok(std::net::TcpStream::connect((host.address.as_str(), 22)).is_ok())
            })?;
            let words: Vec<&str> = line.split_whitespace().take(2).collect();
            knows(lab, &host.address, Some(&words.join(" ")))?;
        }
        Ok(site)
    }

    fn start(&self, host: &Host, script: String) -> Result<()> {
        Command::docker(["exec", "-i", &self.container(host), "bash", "-s"])
            .input(script)
            .run()
            .with_context(|| format!("{} {}", self.name, host.name))?;
        Ok(())
    }
}

/// The key by which the lab knows the host at an address from now on, if any. What stood there before goes, also what a
/// run of tests has left that was killed. Tests do this side by side, and read the file meanwhile.
fn knows(lab: &Lab, address: &str, key: Option<&str>) -> Result<()> {
    let path = lab.known_hosts();
    let turn = fs::File::create(path.with_extension("lock"))?;
    turn.lock()?;
    let known = fs::read_to_string(&path).unwrap_or_default();
    let prefix = format!("{address} ");
    let others = known.lines().filter(|l| !l.starts_with(&prefix));
    let own = key.map(|key| format!("{prefix}{key}"));
    let lines = others.map(str::to_owned).chain(own);
    let new = path.with_extension("new");
    fs::write(&new, lines.map(|l| l + "\n").collect::<String>())?;
    Ok(fs::rename(new, path)?)
}

/// The two lasting sites have addresses of their own, written in the committed inventory; others take free ones.
fn address(site: &str, index: usize) -> Result<String> {
    let first = match site {
        "st-anna" => 11,
        "st-josef" => 21,
        _ => {
            let out =
                Command::docker(["ps", "-aq", "--filter", &format!("label={LABEL}")]).run()?;
            let ids: Vec<&str> = out.stdout.split_whitespace().collect();
            let mut used = BTreeSet::new();
            if !ids.is_empty() {
                let out = Command::docker(["inspect", "--format"])
                    .arg(format!(
                        "{{{{with index .NetworkSettings.Networks \"{NETWORK}\"}}}}{{{{.IPAMConfig.IPv4Address}}}}{{{{end}}}}"
                    ))
                    .args(ids)
                    .run()?;
                used.extend(out.stdout.split_whitespace().map(str::to_owned));
            }
            let free = (100..250)
                .map(|n| format!("10.213.77.{n}"))
                .find(|a| !used.contains(a));
            return free.context("all addresses of the lab are taken");
        }
    };
    Ok(format!("10.213.77.{}", first + index))
}
