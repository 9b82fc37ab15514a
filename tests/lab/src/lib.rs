//! The lab: containers on this machine that play the hosts of sites with an archive, made from Debian packages alone.
//!
//! `docs/lab.md` says what is real in it and what is a stand-in.

mod command;
mod inventory;
mod site;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

pub use command::Output;
use command::{Command, say};
pub use inventory::Variables;
pub use site::{Host, Hosts, Site};

/// The network that all hosts of the lab are in.
pub const NETWORK: &str = "runbook-lab";
/// What all images, containers, volumes and networks of the lab carry.
pub const LABEL: &str = "org.runbook.lab=stand-in";
const PACKAGES: [&str; 4] = ["docker.io", "debootstrap", "iptables", "openssh-client"];
const DATA_ROOT: &str = "/var/lib/runbook-lab-docker";

/// The lab of this project, ready for use.
#[derive(Debug, Clone)]
pub struct Lab {
    folder: PathBuf,
}

impl Lab {
    /// The project's folder.
    #[must_use]
    pub fn project() -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().nth(2).unwrap_or(here).to_owned()
    }

    /// The lab as it is, nothing prepared.
    #[must_use]
    pub fn here() -> Self {
        Self {
            folder: Self::project().join(".lab"),
        }
    }

    /// Prepares what is missing: packages, Docker, images, network, key. `yes` allows to install packages and to start
    /// Docker. Takes seconds where all is there, about five minutes where nothing is.
    ///
    /// # Errors
    /// What failed, with its output; what would have to be installed where `yes` is not given.
    pub fn up(yes: bool) -> Result<Self> {
        let lab = Self::here();
        fs::create_dir_all(&lab.folder)?;
        lab.packages(yes)?;
        lab.docker(yes)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/build.sh");
        Command::new(script).arg(&lab.folder).shown().run()?;
        if !Command::docker(["network", "inspect", NETWORK]).succeeds() {
            Command::docker(["network", "create", "--label", LABEL])
                .args(["--subnet", "10.213.77.0/24", NETWORK])
                .run()?;
        }
        let key = lab.key();
        if !key.exists() {
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"])
                .arg(&key)
                .run()?;
        }
        Ok(lab)
    }

    /// The lab where it is up; nothing is started or installed.
    ///
    /// # Errors
    /// What is missing, and how to have it.
    pub fn ready() -> Result<Self> {
        let lab = Self::here();
        let up = "bring the lab up: cargo xtask lab up";
        if !Command::docker(["info"]).succeeds() {
            bail!("Docker does not answer; {up}");
        }
        let network = Command::docker(["network", "ls", "-q", "--filter"])
            .arg(format!("label={LABEL}"))
            .args(["--filter", &format!("name=^{NETWORK}$")])
            .run()?;
        if network.stdout.trim().is_empty() || !lab.key().exists() {
            bail!("there is no lab; {up}");
        }
        Ok(lab)
    }

    /// Removes everything that the lab has made, Docker too where the lab has started it. Installed packages stay.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn down() -> Result<()> {
        let lab = Self::here();
        let filter = format!("label={LABEL}");
        if Command::docker(["info"]).succeeds() {
            for (listing, removal) in [
                (&["ps", "-aq"][..], &["rm", "-fv"][..]),
                (&["network", "ls", "-q"], &["network", "rm"]),
                (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
            ] {
                let out = Command::docker(listing).args(["--filter", &filter]).run()?;
                let found: BTreeSet<&str> = out.stdout.split_whitespace().collect();
                if !found.is_empty() {
                    Command::docker(removal).args(found).run()?;
                }
            }
            // By name and without force: an image that somebody has made out of one of ours bears the label, too.
            let out = Command::docker(["images", "--filter", &filter])
                .args(["--format", "{{.Repository}}:{{.Tag}}"])
                .run()?;
            let ours =
                |name: &&str| name.starts_with("runbook-lab/") || name.starts_with("dcm4che/");
            for name in out.stdout.split_whitespace().filter(ours) {
                Command::docker(["rmi", name]).run()?;
            }
        }
        if let Some(pid) = lab.daemon() {
            Command::new("kill").arg(&pid).run()?;
            let gone = || !Path::new("/proc").join(&pid).exists();
            command::wait("Docker stops", 30, || Ok(gone()))?;
            // The daemon mounts its folder upon itself, and leaves its default bridge behind.
            while Command::new("mountpoint")
                .args(["-q", DATA_ROOT])
                .succeeds()
            {
                Command::new("umount").arg(DATA_ROOT).run()?;
            }
            fs::remove_dir_all(DATA_ROOT).context(DATA_ROOT)?;
            Command::new("ip")
                .args(["link", "delete", "docker0"])
                .output()?;
        }
        if lab.folder.exists() {
            fs::remove_dir_all(&lab.folder)?;
        }
        Ok(())
    }

    /// The process of the Docker daemon that the lab has started, where it still runs: a number in a file may since
    /// have become another process's.
    fn daemon(&self) -> Option<String> {
        let pid = fs::read_to_string(self.folder.join("dockerd.pid")).ok()?;
        let pid = pid.trim().to_owned();
        let line = fs::read(Path::new("/proc").join(&pid).join("cmdline")).ok()?;
        let mut words = line.split(|b| *b == 0);
        let ours = words.next().is_some_and(|w| w.ends_with(b"dockerd"))
            && words.any(|w| w == DATA_ROOT.as_bytes());
        ours.then_some(pid)
    }

    /// The folder `.lab` with key, known hosts, images and inventories.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The private key that may log in to all hosts as ops and as root.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.join("id_ed25519")
    }

    /// The host keys of all hosts.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// A site with fresh hosts, the old versions of directory, database and archive running on them. One of the same
    /// name is replaced.
    ///
    /// # Errors
    /// What did not start, with its output.
    pub fn new_site(&self, name: &str, hosts: Hosts) -> Result<Site> {
        Site::create(self, name, hosts)
    }

    /// A site that is there already.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn site(&self, name: &str) -> Result<Site> {
        Site::find(self, name)
    }

    /// Hosts without Docker and without anything to upgrade, as a site of this name. One of the same name is replaced.
    ///
    /// # Errors
    /// What did not start, with its output.
    pub fn plain_hosts(&self, name: &str, count: usize) -> Result<Site> {
        Site::plain(self, name, count)
    }

    /// Containers of the lab: name, state, address.
    ///
    /// # Errors
    /// Docker does not answer.
    pub fn status(&self) -> Result<String> {
        let out = Command::docker(["ps", "-a", "--filter", &format!("label={LABEL}")])
            .args(["--format", "{{.Names}}\t{{.Status}}\t{{.Image}}"])
            .run()?;
        Ok(out.stdout)
    }

    /// Held while addresses are taken and host keys noted, so that tests in other processes take others.
    fn alone(&self) -> Result<fs::File> {
        let path = std::env::temp_dir().join("runbook-lab.lock");
        let lock = fs::File::create(&path).with_context(|| path.display().to_string())?;
        lock.lock().with_context(|| path.display().to_string())?;
        Ok(lock)
    }

    fn packages(&self, yes: bool) -> Result<()> {
        let missing: Vec<&str> = PACKAGES
            .into_iter()
            .filter(|p| !Command::new("dpkg").args(["-s", p]).succeeds())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let list = missing.join(" ");
        if !yes {
            bail!("the lab needs packages: apt-get install --no-install-recommends {list}");
        }
        say(&format!("apt-get install --no-install-recommends {list}"));
        Command::new("apt-get").args(["update", "-q"]).run()?;
        Command::new("apt-get")
            .args(["install", "-qy", "--no-install-recommends"])
            .args(missing)
            .run()?;
        Ok(())
    }

    fn docker(&self, yes: bool) -> Result<()> {
        if Command::docker(["info"]).succeeds() {
            return Ok(());
        }
        if !yes {
            bail!("Docker does not run; the lab would start: dockerd --data-root {DATA_ROOT}");
        }
        say(&format!("dockerd --data-root {DATA_ROOT}"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/dockerd.sh");
        Command::new(script)
            .arg(&self.folder)
            .arg(DATA_ROOT)
            .run()?;
        command::wait("Docker answers", 60, || {
            Ok(Command::docker(["info"]).succeeds())
        })
    }
}
