//! The variables that say how to reach a host: judged where they are written, before anything connects.

use std::path::PathBuf;

use super::{Inventory, Vars};
use crate::diag::{Diagnostic, nearest};
use crate::source::{Node, truth_of, untyped};
use crate::template::is_template;
use crate::value::Value;

/// Names that are understood.
pub(crate) const KNOWN: &[&str] = &[
    "ansible_host",
    "ansible_ssh_host",
    "ansible_port",
    "ansible_ssh_port",
    "ansible_user",
    "ansible_ssh_user",
    "ansible_connection",
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_passphrase",
    "ansible_private_key_passphrase",
    "ansible_ssh_private_key_file",
    "ansible_private_key_file",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_ssh_args",
    "ansible_become",
    "ansible_become_user",
    "ansible_become_method",
    "ansible_become_password",
    "ansible_become_pass",
    "ansible_sudo_pass",
    "ansible_group_priority",
];

/// Names near to those above that mean something else to Ansible.
const OTHER: &[&str] = &[
    "ansible_hosts",
    "ansible_hostname",
    "ansible_become_exe",
    "ansible_become_flags",
    "ansible_ssh_executable",
    "ansible_ssh_transfer_method",
    "ansible_ssh_retries",
    "ansible_ssh_timeout",
    "ansible_ssh_pipelining",
    "ansible_scp_extra_args",
    "ansible_sftp_extra_args",
];

/// Checks all connection variables that are no templates.
pub fn check(inventory: &Inventory, errors: &mut Vec<Diagnostic>) {
    let of_groups = inventory.groups.values().map(|g| (&g.vars, &g.files));
    let of_hosts = inventory.hosts.values().map(|h| (&h.vars, &h.files));
    for (own, files) in of_groups.chain(of_hosts) {
        let layers: [&Vec<Vars>; 3] = [own, &files.beside_inventory, &files.beside_playbook];
        for (name, node) in layers.into_iter().flatten().flatten() {
            // What is encrypted is decrypted for the hosts of a play only.
            let encrypted = matches!(node.kind, crate::source::Kind::Encrypted(_));
            if !encrypted && !node.text().is_some_and(is_template) {
                errors.extend(judge(name, node));
            }
        }
    }
}

fn judge(name: &str, node: &Node) -> Option<Diagnostic> {
    let wrong =
        |message: String| Some(Diagnostic::error("bad-connection", message).at(node.span, ""));
    let text = match untyped(node) {
        Value::Null => return None,
        Value::Int(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Str(text) => text,
        Value::List(_) | Value::Map(_) if KNOWN.contains(&name) || name == "jump" => {
            return wrong(format!("`{name}` takes a text"));
        }
        _ => node.text().unwrap_or_default().to_owned(),
    };
    match name {
        "ansible_port" | "ansible_ssh_port" => match text.parse::<u16>() {
            Ok(port) if port > 0 => None,
            _ => wrong(format!("`{name}` takes a port, 1 to 65535, not `{text}`")),
        },
        "ansible_connection" => match text.as_str() {
            "ssh" | "smart" | "local" | "paramiko" | "paramiko_ssh" => None,
            "winrm" | "psrp" => wrong("Windows hosts are reached by SSH here, not by WinRM".to_owned())
                .map(|d| d.help("OpenSSH for Windows is part of Windows; write `ansible_connection: ssh`")),
            other => wrong(format!("there is no connection `{other}`")).map(|d| d.help("there are ssh and local")),
        },
        "ansible_become" => match truth_of(node) {
            Some(_) => None,
            None => wrong("`ansible_become` is true or false".to_owned()),
        },
        "ansible_become_method" if text != "sudo" => {
            wrong("the only way to become another user is `sudo`".to_owned())
        }
        "host_key" if !is_fingerprint(&text) => wrong("`host_key` takes a fingerprint".to_owned())
            .map(|d| d.help("as `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints it on the host: SHA256:…")),
        "ansible_ssh_common_args" | "ansible_ssh_extra_args" | "ansible_ssh_args" => {
            SshOptions::parse(&text).err().and_then(wrong)
        }
        _ if name.starts_with("ansible_") && !KNOWN.contains(&name) && !OTHER.contains(&name) => {
            let near = nearest(name, KNOWN.iter().copied());
            let near = near.filter(|n| strsim::damerau_levenshtein(n, name) <= 2)?;
            let message = format!("`{name}` has no meaning for the connection");
            let warning = Diagnostic::warning("unknown-connection-variable", message);
            Some(warning.at(node.span, "").help(format!("did you mean `{near}`?")))
        }
        _ => None,
    }
}

/// `SHA256:` and 32 bytes in Base64, as ssh-keygen(1) prints them.
fn is_fingerprint(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("SHA256:") else {
        return false;
    };
    let digits = digits.trim_end_matches('=');
    digits.len() == 43
        && digits
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// What is understood of OpenSSH's options in `ansible_ssh_common_args`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshOptions {
    /// `-J` or `ProxyJump`.
    pub jump: Option<String>,
    /// `UserKnownHostsFile`.
    pub known_hosts: Option<PathBuf>,
    /// `StrictHostKeyChecking=accept-new`.
    pub accept_new: bool,
}

impl SshOptions {
    /// Takes the options apart. `Err`: which one cannot be followed, and what to do instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let unquoted = text.replace(['\'', '"'], "");
        let mut words = unquoted.split_whitespace();
        while let Some(word) = words.next() {
            let mut value_of = |short: &str| {
                let rest = word.strip_prefix(short)?;
                let given = if rest.is_empty() {
                    words.next().unwrap_or_default()
                } else {
                    rest
                };
                Some(given.to_owned())
            };
            if let Some(jump) = value_of("-J") {
                found.jump = Some(jump);
            } else if let Some(option) = value_of("-o") {
                let (name, value) = option.split_once('=').unwrap_or((&option, ""));
                found.option(name, value)?;
            } else if word != "-C" && word != "-q" {
                return Err(format!(
                    "`{word}` in the options of ssh is not followed; put it into ~/.ssh/config"
                ));
            }
        }
        Ok(found)
    }

    fn option(&mut self, name: &str, value: &str) -> Result<(), String> {
        let checked =
            "host keys are always checked: pin one with `host_key`, or use `--accept-new`";
        match name.to_ascii_lowercase().as_str() {
            "proxyjump" => self.jump = Some(value.to_owned()),
            "userknownhostsfile" if value == "/dev/null" => return Err(checked.to_owned()),
            "userknownhostsfile" => self.known_hosts = Some(PathBuf::from(value)),
            "stricthostkeychecking" => match value {
                "accept-new" => self.accept_new = true,
                "yes" | "ask" => {}
                _ => return Err(checked.to_owned()),
            },
            // One connection carries everything here, and it is kept alive.
            "controlmaster"
            | "controlpersist"
            | "controlpath"
            | "connecttimeout"
            | "serveraliveinterval"
            | "serveralivecountmax"
            | "identitiesonly"
            | "compression"
            | "loglevel" => {}
            "proxycommand" => {
                return Err(
                    "`ProxyCommand` is not followed; name the jump host with `jump`".to_owned(),
                );
            }
            _ => {
                return Err(format!(
                    "the option `{name}` of ssh is not followed; put it into ~/.ssh/config"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::SshOptions;

    #[test]
    fn options_of_ssh() {
        for (text, expected) in [
            ("", Ok((None, None, false))),
            (
                "-J a.example,b.example",
                Ok((Some("a.example,b.example"), None, false)),
            ),
            (
                "-o ProxyJump=ops@a -oStrictHostKeyChecking=accept-new",
                Ok((Some("ops@a"), None, true)),
            ),
            (
                "-o 'UserKnownHostsFile=/k' -C",
                Ok((None, Some("/k"), false)),
            ),
            (
                "-o ControlMaster=auto -o ControlPersist=60s",
                Ok((None, None, false)),
            ),
            (
                "-o StrictHostKeyChecking=no",
                Err("host keys are always checked"),
            ),
            (
                "-o UserKnownHostsFile=/dev/null",
                Err("host keys are always checked"),
            ),
            (
                "-o ProxyCommand='ssh -W %h:%p x'",
                Err("`ProxyCommand` is not followed"),
            ),
            ("-v", Err("`-v` in the options")),
            ("-o Frob=1", Err("the option `Frob`")),
        ] {
            let found = SshOptions::parse(text);
            match (found, expected) {
                (Ok(found), Ok((jump, known, new))) => {
                    assert_eq!(found.jump.as_deref(), jump, "{text}");
                    assert_eq!(
                        found.known_hosts.as_deref(),
                        known.map(std::path::Path::new),
                        "{text}"
                    );
                    assert_eq!(found.accept_new, new, "{text}");
                }
                (Err(found), Err(expected)) => {
                    assert!(found.starts_with(expected), "{text}: {found}")
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
