//! Gathers basic facts with one snippet.

use super::connection::Carried;
use crate::host::{Connection, HostError, HostFacts, User};

/// Everything in one snippet; each line is `name=value`.
const SNIPPET: &str = r#"echo "user=$(id -un)"; echo "uid=$(id -u)"; echo "home=$HOME"
echo "system=$(uname -s)"; echo "kernel=$(uname -r)"; echo "architecture=$(uname -m)"; echo "hostname=$(uname -n)"
echo "boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"; echo "ns=$(stat -L -c %i /proc/self/ns/mnt 2>/dev/null)"
echo "id=$(cat /etc/machine-id 2>/dev/null)"
while IFS= read -r l; do echo "os.$l"; done < /etc/os-release 2>/dev/null
for t in base64 sha256sum stat sudo docker setsid getfattr restorecon python3 perl; do command -v $t >/dev/null 2>&1 && echo "tool=$t"; done
c=0; m=0; while read -r k v; do case $k in processor) c=$((c+1));; esac; done < /proc/cpuinfo 2>/dev/null
while read -r k v u; do case $k in MemTotal:) m=$((v/1024)); break;; esac; done < /proc/meminfo 2>/dev/null
echo "cpus=$c"; echo "memory=$m""#;

/// Asks the host.
pub(super) async fn gather(host: &Carried, name: &str) -> Result<HostFacts, HostError> {
    let reply = host.shell(&User::Login, SNIPPET, None, true).await?;
    let text = String::from_utf8_lossy(&reply.stdout).into_owned();
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
            "system" => facts.system = value,
            "kernel" => facts.kernel = value,
            "architecture" => facts.architecture = value,
            "hostname" => {
                facts.hostname = value.split('.').next().unwrap_or(&value).to_owned();
                facts.fqdn = value;
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
        let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
        return Err(HostError::failed(format!(
            "{name}: its shell does not answer as a POSIX shell does: {said}"
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
