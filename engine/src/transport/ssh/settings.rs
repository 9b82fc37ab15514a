//! How a host is reached: what the inventory says, completed by `~/.ssh/config`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::config::{self, HostConfig};
use super::known_hosts::KnownHost;
use crate::host::HostError;
use crate::value::Secret;

/// What is known of a host before it is connected to. The default has no name, and home, agent and login name are
/// those of the process.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// Its name in the inventory, for messages.
    pub name: String,
    /// Host name, address, or a `Host` of `~/.ssh/config` (`ansible_host`).
    pub address: String,
    /// Port; else what `~/.ssh/config` says, else 22.
    pub port: Option<u16>,
    /// Login user; else what `~/.ssh/config` says, else the person who runs this.
    pub user: Option<String>,
    /// Private key to try before all others.
    pub key: Option<PathBuf>,
    /// What that key is encrypted with.
    pub passphrase: Option<Secret>,
    /// Asks for passphrases of keys.
    pub passphrases: Arc<Passphrases>,
    /// Password, for the methods `password` and `keyboard-interactive`.
    pub password: Option<Secret>,
    /// Password for sudo.
    pub become_password: Option<Secret>,
    /// Which host keys are right.
    pub host_keys: HostKeys,
    /// Jump hosts in order, `[user@]host[:port]`; else what `~/.ssh/config` says.
    pub jump: Vec<String>,
    /// Read `~/.ssh/config`. Default yes.
    pub use_config: bool,
    /// For each of: connecting, exchanging keys. Default 10 s.
    pub connect_timeout: Option<Duration>,
    /// For how long a lost connection is taken up again. Default 10 minutes.
    pub reconnect: Duration,
    /// Compress what is sent. Default no.
    pub compression: bool,
    /// Folder of the person, for `.ssh`.
    pub home: PathBuf,
    /// Socket of the SSH agent.
    pub agent: Option<PathBuf>,
}

/// Which keys of a host are right.
#[derive(Debug, Clone, Default)]
pub struct HostKeys {
    /// File in place of the person's and the system's `known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// `SHA256:…` of the only right key; then no file is looked at.
    pub fingerprint: Option<String>,
    /// A host of which nothing is known is accepted, and its key is added to the first known_hosts file.
    pub accept_new: bool,
}

impl Default for SshSettings {
    fn default() -> Self {
        let folder = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        Self {
            name: String::new(),
            address: String::new(),
            port: None,
            user: None,
            key: None,
            passphrase: None,
            passphrases: Arc::default(),
            password: None,
            become_password: None,
            host_keys: HostKeys::default(),
            jump: Vec::new(),
            use_config: true,
            connect_timeout: None,
            reconnect: Duration::from_secs(600),
            compression: false,
            home: folder("HOME").unwrap_or_else(|| PathBuf::from("/")),
            agent: folder("SSH_AUTH_SOCK").filter(|p| !p.as_os_str().is_empty()),
        }
    }
}

impl SshSettings {
    /// A host under its inventory name, with nothing else said.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: name.to_owned(),
            ..Self::default()
        }
    }
}

/// Passphrases of private keys: each is asked for once, however many hosts the key opens.
#[derive(Default)]
pub struct Passphrases {
    ask: Option<Box<dyn Fn(&str) -> Option<Secret> + Send + Sync>>,
    known: Mutex<HashMap<PathBuf, Option<Secret>>>,
}

impl std::fmt::Debug for Passphrases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrases")
    }
}

impl Passphrases {
    /// `ask` is given the path of a key and returns its passphrase; it may block.
    #[must_use]
    pub fn new(ask: impl Fn(&str) -> Option<Secret> + Send + Sync + 'static) -> Self {
        Self {
            ask: Some(Box::new(ask)),
            known: Mutex::default(),
        }
    }

    /// The passphrase of a key, if there is one. Blocks while a person types.
    pub(super) fn of(&self, key: &std::path::Path) -> Option<Secret> {
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = known.entry(key.to_owned()).or_insert_with(|| {
            let ask = self.ask.as_ref()?;
            ask(&key.display().to_string())
        });
        entry.clone()
    }
}

/// Everything decided about one host on the way.
pub(super) struct Route {
    /// For messages: the inventory name, or the jump host as it was written.
    pub name: String,
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Keys in the order in which they are tried, and whether the person named them.
    pub keys: Vec<PathBuf>,
    pub keys_named: bool,
    pub certificates: Vec<PathBuf>,
    pub identities_only: bool,
    pub agent: Option<PathBuf>,
    pub password: Option<Secret>,
    pub passphrase: Option<Secret>,
    pub passphrases: Arc<Passphrases>,
    pub key_name: String,
    pub known_hosts: Vec<PathBuf>,
    pub host_key: Option<String>,
    pub accept_new: bool,
    pub timeout: Duration,
    pub compression: bool,
    /// The hosts to go through first, in order.
    pub jumps: Vec<Route>,
    pub proxy_command: Option<String>,
    pub ignored: Vec<String>,
}

impl Route {
    /// Where it is, for messages.
    pub fn place(&self) -> String {
        let mut place = format!("{} port {}", self.host, self.port);
        for jump in &self.jumps {
            place.push_str(&format!(" through {}", jump.name));
        }
        place
    }

    /// What the known_hosts files say of it now.
    pub fn known(&self) -> KnownHost {
        KnownHost::read(&self.known_hosts, &self.key_name, self.port)
    }
}

/// Completes the settings of a host with `~/.ssh/config`, and finds its jump hosts.
pub(super) async fn route(settings: &SshSettings) -> Result<Route, HostError> {
    resolve(settings, 0).await
}

async fn resolve(settings: &SshSettings, depth: usize) -> Result<Route, HostError> {
    if depth > 8 {
        return Err(HostError::unreachable(format!(
            "{}: its jump hosts lead in a circle; look at ProxyJump in ~/.ssh/config",
            settings.name
        )));
    }
    let config = if settings.use_config {
        config::of(&settings.address, &settings.home).await
    } else {
        HostConfig::default()
    };
    let home = &settings.home;
    let written = if settings.jump.is_empty() {
        config.proxy_jump.clone()
    } else {
        settings.jump.clone()
    };
    let mut jumps = Vec::new();
    for (index, jump) in written.iter().enumerate() {
        let hop = jump_settings(settings, jump)?;
        let mut route = Box::pin(resolve(&hop, depth + 1)).await?;
        // Only the first host on the way is reached from here; what comes after it is reached from there.
        let before = std::mem::take(&mut route.jumps);
        if index == 0 {
            jumps.extend(before);
        } else {
            route.proxy_command = None;
        }
        jumps.push(route);
    }
    let default_keys = ["id_ed25519", "id_ecdsa", "id_rsa"].map(|k| home.join(".ssh").join(k));
    let mut keys: Vec<PathBuf> = settings.key.iter().cloned().collect();
    let more = if config.identity_files.is_empty() {
        default_keys.to_vec()
    } else {
        config.identity_files.clone()
    };
    for key in more {
        if !keys.contains(&key) && key.exists() {
            keys.push(key);
        }
    }
    let known_hosts = if let Some(file) = &settings.host_keys.known_hosts {
        vec![file.clone()]
    } else {
        let or = |found: &Vec<PathBuf>, default: Vec<PathBuf>| {
            if found.is_empty() {
                default
            } else {
                found.clone()
            }
        };
        let mut files = or(
            &config.user_known_hosts,
            vec![
                home.join(".ssh/known_hosts"),
                home.join(".ssh/known_hosts2"),
            ],
        );
        files.extend(or(
            &config.global_known_hosts,
            vec![
                PathBuf::from("/etc/ssh/ssh_known_hosts"),
                PathBuf::from("/etc/ssh/ssh_known_hosts2"),
            ],
        ));
        files
    };
    let host = config
        .host_name
        .clone()
        .unwrap_or_else(|| settings.address.clone());
    let user = settings
        .user
        .clone()
        .or(config.user)
        .or_else(|| std::env::var("USER").ok())
        .or_else(|| std::env::var("LOGNAME").ok())
        .unwrap_or_else(|| "root".to_owned());
    let agent = match config.identity_agent.as_deref() {
        Some("none") => None,
        Some(path) if path.starts_with('/') => Some(PathBuf::from(path)),
        Some(path) if path.starts_with("~/") => Some(home.join(&path[2..])),
        _ => settings.agent.clone(),
    };
    Ok(Route {
        name: settings.name.clone(),
        port: settings.port.or(config.port).unwrap_or(22),
        user,
        keys_named: settings.key.is_some(),
        passphrase: settings.passphrase.clone(),
        keys,
        certificates: config.certificate_files,
        identities_only: config.identities_only,
        agent,
        password: settings.password.clone(),
        passphrases: settings.passphrases.clone(),
        key_name: config.host_key_alias.unwrap_or_else(|| host.clone()),
        host,
        known_hosts,
        host_key: settings.host_keys.fingerprint.clone(),
        accept_new: settings.host_keys.accept_new || config.accept_new,
        timeout: settings
            .connect_timeout
            .or(config.connect_timeout)
            .unwrap_or(Duration::from_secs(10)),
        compression: settings.compression,
        proxy_command: config.proxy_command.filter(|_| jumps.is_empty()),
        jumps,
        ignored: config.ignored,
    })
}

/// A jump host has its own name, port, user and configuration; it shares who the person is. The password of the host
/// behind it is not for it.
fn jump_settings(settings: &SshSettings, jump: &str) -> Result<SshSettings, HostError> {
    let wrong = || {
        HostError::unreachable(format!(
            "{}: the jump host `{jump}` is not of the form [user@]host[:port]",
            settings.name
        ))
    };
    let text = jump.strip_prefix("ssh://").unwrap_or(jump);
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, text),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            (host, port.strip_prefix(':'))
        }
        None => match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (place, None),
        },
    };
    if host.is_empty() {
        return Err(wrong());
    }
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().map_err(|_| wrong())?),
    };
    Ok(SshSettings {
        name: format!("jump host {jump}"),
        address: host.to_owned(),
        port,
        user,
        password: None,
        become_password: None,
        host_keys: HostKeys {
            fingerprint: None,
            ..settings.host_keys.clone()
        },
        jump: Vec::new(),
        ..settings.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_read_as_ssh_reads_them() {
        let settings = SshSettings::new("target");
        let read = |jump: &str| {
            jump_settings(&settings, jump)
                .map(|s| (s.user, s.address, s.port))
                .ok()
        };
        let some = |user: Option<&str>, host: &str, port| {
            Some((user.map(str::to_owned), host.to_owned(), port))
        };
        assert_eq!(read("b"), some(None, "b", None));
        assert_eq!(read("ops@b:2222"), some(Some("ops"), "b", Some(2222)));
        assert_eq!(
            read("ops@[fe80::1]:22"),
            some(Some("ops"), "fe80::1", Some(22))
        );
        assert_eq!(read("fe80::1"), some(None, "fe80::1", None));
        assert_eq!(read("b:x"), None);
        assert_eq!(read("ops@"), None);
    }

    #[test]
    fn a_passphrase_is_asked_for_once() {
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = count.clone();
        let passphrases = Passphrases::new(move |_| {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Some(Secret::new("x"))
        });
        for _ in 0..3 {
            assert!(passphrases.of(std::path::Path::new("/k")).is_some());
        }
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}
