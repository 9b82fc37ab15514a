//! Basic facts, gathered by the opening script of a host's first shell.

use crate::host::{HostError, HostFacts};

/// Everything in one line of sh, without backslashes, exclamation marks and single quotes (see the shell). Each line of
/// its output is `name=value`. Nothing in it may wait for a network: no name is looked up.
pub(super) const SNIPPET: &str = concat!(
    r#"echo "user=$(id -un)"; echo "uid=$(id -u)"; echo "gid=$(id -g)"; echo "home=$HOME"; echo "shell=$SHELL"; "#,
    r#"echo "uname=$(uname -s -r -m)"; h=$(uname -n); echo "hostname=$h"; "#,
    r#"while read -r a n o; do case $n in "${h%%.*}".*) echo "fqdn=$n"; break;; esac; done < /etc/hosts; "#,
    r#"read -r b < /proc/sys/kernel/random/boot_id; echo "boot=$b"; echo "ns="$(stat -L -c %i /proc/self/ns/mnt /); "#,
    r#"read -r i < /etc/machine-id; echo "id=$i"; "#,
    r#"while IFS= read -r l; do echo "os.$l"; done < /etc/os-release; "#,
    r#"for t in base64 sha256sum stat sudo docker setsid gzip getfattr restorecon getenforce systemctl socat nc python3 perl; "#,
    r#"do command -v $t >/dev/null && echo "tool=$t"; done; "#,
    r#"c=0; while read -r k v; do case $k in processor) c=$((c+1));; esac; done < /proc/cpuinfo; echo "cpus=$c"; "#,
    r#"while read -r k v u; do case $k in MemTotal:) echo "memory=$((v/1024))";; SwapTotal:) echo "swap=$((v/1024))"; "#,
    r#"break;; esac; done < /proc/meminfo; "#,
    r#"echo "date=$(date "+%s %z %Z")"; "#,
    r#"case $(stat --version) in *GNU*) echo "stat=gnu";; *) echo "stat=busybox";; esac; "#,
    r#"echo "route=$(ip -4 -o route get 192.0.2.1)""#,
);

/// Reads what the snippet printed.
pub(super) fn read(output: &[u8], name: &str) -> Result<HostFacts, HostError> {
    let text = String::from_utf8_lossy(output);
    let mut facts = HostFacts::default();
    let (mut boot, mut namespace, mut machine) = (String::new(), String::new(), String::new());
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.to_owned();
        match key {
            "user" => facts.user = value,
            "uid" => facts.uid = value.parse().unwrap_or(u32::MAX),
            "home" => facts.home = value,
            "gid" => facts.gid = value.parse().unwrap_or(u32::MAX),
            "shell" => facts.shell = value,
            "uname" => {
                let mut parts = value.split(' ').map(str::to_owned);
                facts.system = parts.next().unwrap_or_default();
                facts.kernel = parts.next().unwrap_or_default();
                facts.architecture = parts.next().unwrap_or_default();
            }
            "hostname" => {
                value
                    .split('.')
                    .next()
                    .unwrap_or(&value)
                    .clone_into(&mut facts.hostname);
                facts.fqdn = value;
            }
            "fqdn" => facts.fqdn = value,
            "swap" => facts.swap_mb = value.parse().unwrap_or(0),
            "stat" => facts.gnu_stat = value == "gnu",
            "date" => {
                let mut parts = value.split(' ').map(str::to_owned);
                facts.epoch = parts.next().and_then(|e| e.parse().ok()).unwrap_or(0);
                facts.utc_offset = parts.next().unwrap_or_default();
                facts.time_zone = parts.next().unwrap_or_default();
            }
            "route" => {
                let words: Vec<&str> = value.split_whitespace().collect();
                let after = |word: &str| {
                    let at = words.iter().position(|w| *w == word)?;
                    words.get(at + 1).map(|w| (*w).to_owned())
                };
                facts.address = after("src").unwrap_or_default();
                facts.interface = after("dev").unwrap_or_default();
                facts.gateway = after("via").unwrap_or_default();
            }
            "boot" => boot = value,
            "ns" => namespace = value,
            "id" => machine = value,
            "tool" => facts.tools.push(value),
            "cpus" => facts.cpus = value.parse().unwrap_or(0),
            "memory" => facts.memory_mb = value.parse().unwrap_or(0),
            _ => {
                if let Some(field) = key.strip_prefix("os.") {
                    facts
                        .os
                        .insert(field.to_owned(), value.trim_matches(['"', '\'']).to_owned());
                }
            }
        }
    }
    if facts.user.is_empty() {
        return Err(HostError::failed(format!(
            "{name}: its shell does not answer as a POSIX shell does: {}",
            text.chars().take(300).collect::<String>()
        )));
    }
    facts.identity = if boot.is_empty() || namespace.is_empty() {
        // Without these two names of one machine cannot be told from two machines; then each is its own.
        format!("{machine}/{name}")
    } else {
        format!("{boot}/{namespace}")
    };
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snippet_passes_through_any_login_shell() {
        assert!(!SNIPPET.contains(['\\', '!', '\'', '\n']));
    }

    #[test]
    fn what_it_prints_here_is_understood() {
        for shell in ["dash", "bash", "busybox"] {
            let mut command = std::process::Command::new(shell);
            if shell == "busybox" {
                command.arg("sh");
            }
            let Ok(output) = command.args(["-c", SNIPPET]).output() else {
                crate::skip::skip(&format!("facts with {shell}"), "it is not installed");
                continue;
            };
            let facts = read(&output.stdout, "here").unwrap();
            assert_eq!(facts.system, "Linux", "{shell}");
            assert!(facts.cpus > 0 && facts.memory_mb > 0 && facts.epoch > 1_600_000_000);
            assert!(facts.identity.contains('/') && !facts.os.is_empty());
            // Some builds of busybox prefer their own stat, others that of the system.
            assert!(facts.gnu_stat || shell == "busybox", "{shell}");
        }
    }

    #[test]
    fn two_names_of_one_machine_are_one_and_two_machines_are_two() {
        let identity = |text: &str, name: &str| read(text.as_bytes(), name).unwrap().identity;
        let here = "user=a\nboot=b1\nns=4026\nid=m\n";
        assert_eq!(identity(here, "one"), identity(here, "two"));
        let container = "user=a\nboot=b1\nns=4027\nid=m\n";
        assert_ne!(identity(here, "one"), identity(container, "one"));
        let without = "user=a\nid=m\n";
        assert_ne!(identity(without, "one"), identity(without, "two"));
    }
}
