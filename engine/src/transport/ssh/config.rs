//! What `~/.ssh/config` says of a host. OpenSSH itself is asked (`ssh -G`), where it is there, so that `Match`,
//! `Include` and all else mean what they mean to it.

use std::path::PathBuf;
use std::time::Duration;

use super::SshSettings;
use crate::host::HostError;

/// Everything that connecting needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolved {
    /// Host name or address.
    pub address: String,
    /// The name that host keys are looked up by.
    pub key_name: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Private keys to try.
    pub keys: Vec<PathBuf>,
    /// Hosts to go through.
    pub jump: Vec<String>,
    /// Files with known host keys.
    pub known_hosts: Vec<PathBuf>,
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from)
}

fn expand(path: &str) -> PathBuf {
    path.strip_prefix("~/")
        .map_or_else(|| PathBuf::from(path), |rest| home().join(rest))
}

/// Settings win over the configuration, the configuration over the defaults.
pub(super) async fn resolve(settings: &SshSettings) -> Result<Resolved, HostError> {
    let mut resolved = Resolved {
        address: settings.address.clone(),
        key_name: settings.address.clone(),
        port: 22,
        user: std::env::var("USER").unwrap_or_else(|_| "root".to_owned()),
        keys: ["id_ed25519", "id_ecdsa", "id_rsa"]
            .iter()
            .map(|k| home().join(".ssh").join(k))
            .collect(),
        jump: Vec::new(),
        known_hosts: vec![
            home().join(".ssh/known_hosts"),
            PathBuf::from("/etc/ssh/ssh_known_hosts"),
        ],
    };
    if settings.use_config
        && let Some(text) = ask_openssh(&settings.address).await
    {
        apply(&text, &mut resolved);
    }
    if let Some(port) = settings.port {
        resolved.port = port;
    }
    if let Some(user) = &settings.user {
        resolved.user.clone_from(user);
    }
    if !settings.jump.is_empty() {
        resolved.jump.clone_from(&settings.jump);
    }
    if let Some(file) = &settings.host_keys.known_hosts {
        resolved.known_hosts = vec![file.clone()];
    }
    Ok(resolved)
}

async fn ask_openssh(host: &str) -> Option<String> {
    if host.starts_with('-') {
        return None;
    }
    let asked = tokio::process::Command::new("ssh")
        .args(["-G", host])
        .stdin(std::process::Stdio::null())
        .output();
    let output = tokio::time::timeout(Duration::from_secs(5), asked)
        .await
        .ok()?
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn apply(text: &str, resolved: &mut Resolved) {
    let mut keys = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else {
            continue;
        };
        match name {
            "hostname" => value.clone_into(&mut resolved.address),
            "hostkeyalias" => value.clone_into(&mut resolved.key_name),
            "port" => resolved.port = value.parse().unwrap_or(resolved.port),
            "user" => value.clone_into(&mut resolved.user),
            "identityfile" => keys.push(expand(value)),
            "proxyjump" if value != "none" => {
                resolved.jump = value.split(',').map(str::to_owned).collect()
            }
            "userknownhostsfile" => {
                let mut files: Vec<PathBuf> = value.split_whitespace().map(expand).collect();
                files.push(PathBuf::from("/etc/ssh/ssh_known_hosts"));
                resolved.known_hosts = files;
            }
            _ => {}
        }
    }
    if !keys.is_empty() {
        resolved.keys = keys;
    }
}

/// Settings of a jump host: `[user@]host[:port]`; those before it lead to it.
pub(super) fn jump_settings(jump: &str, before: &[String], from: &SshSettings) -> SshSettings {
    let (user, place) = match jump.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, jump),
    };
    let (address, port) = match place.rsplit_once(':') {
        Some((address, port)) if port.parse::<u16>().is_ok() && !address.contains(':') => {
            (address.to_owned(), port.parse().ok())
        }
        _ => (place.to_owned(), None),
    };
    SshSettings {
        name: format!("{} (jump host of {})", address, from.name),
        address,
        port,
        user: user.or_else(|| from.user.clone()),
        key: from.key.clone(),
        passphrase: from.passphrase.clone(),
        password: from.password.clone(),
        become_password: None,
        host_keys: super::HostKeys {
            fingerprint: None,
            ..from.host_keys.clone()
        },
        jump: before.to_vec(),
        use_config: from.use_config,
    }
}
