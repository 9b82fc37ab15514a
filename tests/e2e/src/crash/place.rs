//! Where files and commands are tried: a folder of this machine, or a host of the lab.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use runbook_lab::{Lab, Site};

use super::trial::State;

/// Folder of the host in which a generated playbook works.
const FOLDER: &str = "/srv/crash";
/// Where on a whole host nothing is compared: what the kernel shows, and what logins and clocks write.
const ELSEWHERE: &str = r"find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /srv/crash \
 -o -path /var/log -o -name .cache -o -name .sudo_as_admin_successful \) -prune -o -print | LC_ALL=C sort";

/// Where it runs.
pub enum Place {
    /// This machine, in a folder of its own.
    Here(tempfile::TempDir),
    /// A host of the lab.
    Host {
        /// A site of one host.
        site: Site,
        /// All names on the host before the first run.
        names: BTreeSet<String>,
    },
}

impl Place {
    /// A folder of this machine.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn here() -> Result<Self> {
        Ok(Self::Here(tempfile::tempdir()?))
    }

    /// A fresh host of the lab.
    ///
    /// # Errors
    /// What did not start.
    pub fn host(lab: &Lab, name: &str) -> Result<Self> {
        let site = lab.plain_hosts(name, 1)?;
        let mut place = Self::Host {
            site,
            names: BTreeSet::new(),
        };
        let found = place.run(ELSEWHERE)?;
        if let Self::Host { names, .. } = &mut place {
            names.extend(found.lines().map(str::to_owned));
        }
        Ok(place)
    }

    /// Removes a host of the lab.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn gone(self) -> Result<()> {
        match self {
            Self::Here(folder) => Ok(folder.close()?),
            Self::Host { site, .. } => site.destroy(),
        }
    }

    /// The folder in which all happens.
    #[must_use]
    pub fn root(&self) -> String {
        match self {
            Self::Here(folder) => folder.path().join("t").display().to_string(),
            Self::Host { .. } => FOLDER.to_owned(),
        }
    }

    /// What a shell script of the owner of the place says; it has to succeed.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, script: &str) -> Result<String> {
        let (status, out, err) = match self {
            Self::Here(_) => {
                let output = Command::new("bash").args(["-c", script]).output()?;
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                (
                    output.status.code(),
                    text(output.stdout),
                    text(output.stderr),
                )
            }
            Self::Host { site, .. } => {
                let host = site.hosts.first().context("a site without a host")?;
                let output = site.exec(&host.name, script)?;
                (output.status, output.stdout, output.stderr)
            }
        };
        ensure!(
            status == Some(0),
            "status {status:?} of {script}\n{out}{err}"
        );
        Ok(out)
    }

    /// An inventory with this place as `target`; `port` is one of this machine that leads there.
    ///
    /// # Errors
    /// The host does not say its key.
    pub fn inventory(&self, port: Option<u16>) -> Result<String> {
        let mut text = "all:\n  hosts:\n".to_owned();
        match self {
            Self::Here(_) => text.push_str("    target: {ansible_connection: local}\n"),
            Self::Host { site, .. } => {
                let host = site.hosts.first().context("a site without a host")?;
                let lab = Lab::here();
                let (address, port) = match port {
                    Some(port) => ("127.0.0.1", port),
                    None => (host.address.as_str(), 22),
                };
                let _ = writeln!(
                    text,
                    "    target: {{ansible_host: {address}, ansible_port: {port}, ansible_user: ops, ansible_ssh_private_key_file: {}, host_key: \"{}\"}}",
                    lab.key().display(),
                    self.fingerprint()?
                );
            }
        }
        let _ = writeln!(text, "  vars: {{root: {}}}", self.root());
        Ok(text)
    }

    /// The address of the host's sshd.
    ///
    /// # Errors
    /// It is no host.
    pub fn address(&self) -> Result<SocketAddr> {
        let Self::Host { site, .. } = self else {
            bail!("there is no connection to this machine");
        };
        let host = site.hosts.first().context("a site without a host")?;
        Ok(format!("{}:22", host.address).parse()?)
    }

    fn fingerprint(&self) -> Result<String> {
        let said = self.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")?;
        let print = said.split_whitespace().find(|w| w.starts_with("SHA256:"));
        Ok(print.context("a key without a fingerprint")?.to_owned())
    }

    /// Makes the folder anew with what is in it beforehand, and removes what runs have left beside it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn empty(&self, setup: &str) -> Result<()> {
        let root = self.root();
        let owner = match self {
            Self::Here(_) => String::new(),
            // What an earlier run has left is its own finding, and must not be one of the next.
            Self::Host { .. } => format!(
                "chown -R ops:ops {root}; rm -rf /var/tmp/.runbook-* /tmp/.runbook-* /home/ops/.runbook-* /root/.runbook-*"
            ),
        };
        self.run(&format!(
            "set -e; rm -rf {root}; mkdir -p {root}; cd {root}\n{setup}\n{owner}"
        ))?;
        Ok(())
    }

    /// Files with content, rights and owners, counters, and what bears a name of ours.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn look(&self, runs: &[String]) -> Result<State> {
        let root = self.root();
        let mut state = State::default();
        let files = self.run(&format!(
            r"cd {root} && set -f
find . -mindepth 1 \( -name '*.runbook-*' -o -path ./counts \) -prune -o -printf '%P %y %m %U:%G %l\n'
find . \( -name '*.runbook-*' -o -path ./counts \) -prune -o -type f -print0 | xargs -0r sha256sum"
        ))?;
        state.lines.extend(files.lines().map(str::to_owned));
        let counts = self.run(&format!(
            "cd {root}/counts && {{ grep -c '^ran$' -r . || [ $? = 1 ]; }}"
        ))?;
        state.counts = counts
            .lines()
            .filter_map(|line| line.rsplit_once(':'))
            .map(|(name, count)| {
                let name = name.trim_start_matches("./").to_owned();
                Ok((name, count.parse()?))
            })
            .collect::<Result<BTreeMap<_, _>>>()?;
        let aside = self.run(&format!(
            r"find {root} -name '*.runbook-*' -prune -print
for b in /var/tmp/.runbook-* /tmp/.runbook-*; do [ ! -d $b ] || find $b; done"
        ))?;
        // Other runs may go on on this machine; of the lab's host we are the only user.
        let ours = |line: &str| match self {
            Self::Here(_) => line.starts_with(&root) || runs.iter().any(|run| line.contains(run)),
            Self::Host { .. } => true,
        };
        let aside = aside.lines().filter(|line| ours(line));
        state.aside.extend(aside.map(str::to_owned));
        if let Self::Host { names, .. } = self {
            let now = self.run(ELSEWHERE)?;
            let new = now.lines().filter(|line| !names.contains(*line));
            state.aside.extend(new.map(str::to_owned));
        }
        Ok(state)
    }
}
