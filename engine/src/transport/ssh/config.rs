//! What `~/.ssh/config` says of a host.
//!
//! `ssh -G HOST` knows (with `Match`, `Include`, tokens and all); where there is no `ssh`, a small reader of `Host`
//! blocks with the same keywords stands in, which knows no `Match` and no `Include`.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The part of the configuration that is followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostConfig {
    pub host_name: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub identity_files: Vec<PathBuf>,
    pub identities_only: bool,
    pub identity_agent: Option<String>,
    pub certificate_files: Vec<PathBuf>,
    /// Jump hosts in order, `[user@]host[:port]`.
    pub proxy_jump: Vec<String>,
    pub proxy_command: Option<String>,
    pub user_known_hosts: Vec<PathBuf>,
    pub global_known_hosts: Vec<PathBuf>,
    pub host_key_alias: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub accept_new: bool,
    /// Settings that would change how the host is reached and are not followed.
    pub ignored: Vec<String>,
}

/// Asks `ssh`, or reads the file itself.
pub(super) async fn of(host: &str, home: &Path) -> HostConfig {
    let asked = tokio::process::Command::new("ssh")
        .args(["-G", "--", host])
        .stdin(std::process::Stdio::null())
        .output();
    match tokio::time::timeout(Duration::from_secs(10), asked).await {
        Ok(Ok(output)) if output.status.success() => {
            parse(&String::from_utf8_lossy(&output.stdout), home)
        }
        _ => {
            let text = std::fs::read_to_string(home.join(".ssh/config")).unwrap_or_default();
            let mut config = parse(&block_of(&text, host), home);
            if text.lines().any(|l| {
                let word = l.trim().to_lowercase();
                word.starts_with("match ") || word.starts_with("include ")
            }) {
                config.ignored.push(
                    "~/.ssh/config holds `Match` or `Include`, which need the program `ssh`"
                        .to_owned(),
                );
            }
            config
        }
    }
}

/// Reads lines `keyword value`, the output of `ssh -G`.
fn parse(text: &str, home: &Path) -> HostConfig {
    let mut config = HostConfig::default();
    for line in text.lines() {
        let Some((keyword, value)) = line.trim().split_once([' ', '\t', '=']) else {
            continue;
        };
        let value = value.trim_start_matches([' ', '\t', '=']).trim();
        let one = || value.trim_matches('"').to_owned();
        let paths = || {
            value
                .split_whitespace()
                .map(|p| expand(p.trim_matches('"'), home))
        };
        match keyword.to_lowercase().as_str() {
            "hostname" => {
                config.host_name.get_or_insert_with(one);
            }
            "port" => config.port = config.port.or(value.parse().ok()),
            "user" => {
                config.user.get_or_insert_with(one);
            }
            "identityfile" => config.identity_files.push(expand(&one(), home)),
            "certificatefile" if value != "none" => {
                config.certificate_files.push(expand(&one(), home));
            }
            "identitiesonly" => config.identities_only = value == "yes",
            "identityagent" if value != "SSH_AUTH_SOCK" => config.identity_agent = Some(one()),
            "proxyjump" if value != "none" => {
                config.proxy_jump = value.split(',').map(|h| h.trim().to_owned()).collect();
            }
            "proxycommand" if value != "none" => config.proxy_command = Some(value.to_owned()),
            "userknownhostsfile" => config.user_known_hosts.extend(paths()),
            "globalknownhostsfile" => config.global_known_hosts.extend(paths()),
            "hostkeyalias" => config.host_key_alias = Some(one()),
            "connecttimeout" => {
                config.connect_timeout = value.parse().ok().map(Duration::from_secs);
            }
            "stricthostkeychecking" => match value {
                "accept-new" => config.accept_new = true,
                "no" | "false" | "off" => config.ignored.push(
                    "StrictHostKeyChecking no: host keys are always checked; `accept-new` can be had"
                        .to_owned(),
                ),
                _ => {}
            },
            "bindaddress" | "bindinterface" if value != "none" => {
                config.ignored.push(format!("{keyword} {value}"));
            }
            "remotecommand" | "knownhostscommand" | "pkcs11provider" if value != "none" => {
                config.ignored.push(format!("{keyword} {value}"));
            }
            "gssapiauthentication" | "hostbasedauthentication" if value == "yes" => {
                // Debian's system file asks for GSSAPI by default; saying so for every host would help nobody.
                tracing::debug!(keyword, "not followed");
            }
            _ => {}
        }
    }
    config
}

/// The lines of the `Host` blocks that match, of a file without `Match` and `Include`.
fn block_of(text: &str, host: &str) -> String {
    let mut lines = String::new();
    let mut applies = true;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        match keyword.to_lowercase().as_str() {
            "host" => {
                let mut found = false;
                let mut refused = false;
                for pattern in value.split_whitespace() {
                    match pattern.strip_prefix('!') {
                        Some(negated) => refused |= wild(negated, host),
                        None => found |= wild(pattern, host),
                    }
                }
                applies = found && !refused;
            }
            "match" | "include" => applies = false,
            _ if applies => {
                lines.push_str(line);
                lines.push('\n');
            }
            _ => {}
        }
    }
    lines
}

fn wild(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => {
            pattern.len() == text.len()
                && pattern
                    .bytes()
                    .zip(text.bytes())
                    .all(|(p, t)| p == b'?' || p == t)
        }
        Some((head, tail)) => {
            text.len() >= head.len()
                && text.is_char_boundary(head.len())
                && wild(head, &text[..head.len()])
                && (head.len()..=text.len())
                    .filter(|at| text.is_char_boundary(*at))
                    .any(|at| wild(tail, &text[at..]))
        }
    }
}

fn expand(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix("~/").or_else(|| path.strip_prefix("%d/")) {
        Some(rest) => home.join(rest),
        None => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_prints_is_read() {
        let text = "host web\nuser ops\nhostname 192.0.2.7\nport 2222\nidentitiesonly yes\nidentityfile ~/.ssh/site\n\
                    proxyjump a@bastion:22,second\nuserknownhostsfile ~/.ssh/known_hosts /srv/known\n\
                    stricthostkeychecking accept-new\nconnecttimeout 7\nbindaddress 10.0.0.1\nproxycommand none\n";
        let config = parse(text, Path::new("/home/x"));
        assert_eq!(config.host_name.as_deref(), Some("192.0.2.7"));
        assert_eq!(config.port, Some(2222));
        assert_eq!(config.user.as_deref(), Some("ops"));
        assert_eq!(config.identity_files, [PathBuf::from("/home/x/.ssh/site")]);
        assert!(config.identities_only && config.accept_new);
        assert_eq!(config.proxy_jump, ["a@bastion:22", "second"]);
        assert_eq!(
            config.user_known_hosts,
            [
                PathBuf::from("/home/x/.ssh/known_hosts"),
                PathBuf::from("/srv/known")
            ]
        );
        assert_eq!(config.connect_timeout, Some(Duration::from_secs(7)));
        assert_eq!(config.proxy_command, None);
        assert_eq!(config.ignored, ["bindaddress 10.0.0.1"]);
    }

    #[test]
    fn without_ssh_the_first_value_of_matching_blocks_counts() {
        let text = "Port 2200\nHost db* !db9\n  User dba\n  Port 1\nHost other\n  User nobody\nHost *\n User=fallback\n";
        let config = parse(&block_of(text, "db1"), Path::new("/h"));
        assert_eq!(config.user.as_deref(), Some("dba"));
        assert_eq!(config.port, Some(2200));
        let config = parse(&block_of(text, "db9"), Path::new("/h"));
        assert_eq!(config.user.as_deref(), Some("fallback"));
    }
}
