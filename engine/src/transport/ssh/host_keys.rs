//! Whether a host is who it says: known_hosts files (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), with hashed names,
//! patterns, revoked keys and certificate authorities; or a fingerprint pinned in the inventory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::Handler;
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate, ssh_key};
use sha1::{Digest, Sha1};
use ssh_key::known_hosts::{HostPatterns, KnownHosts, Marker};

use super::config::Resolved;

/// Which keys of a host are right.
#[derive(Debug, Clone, Default)]
pub struct HostKeys {
    /// File in place of the usual ones.
    pub known_hosts: Option<PathBuf>,
    /// `SHA256:…` of the only right key.
    pub fingerprint: Option<String>,
    /// A host without any key so far is accepted, and its key remembered.
    pub accept_new: bool,
}

/// Why a key was refused, for whoever waits for the connection.
#[derive(Clone, Default)]
pub(super) struct Verdict(Arc<Mutex<Option<String>>>);

impl Verdict {
    /// The refusal, if there was one.
    pub fn refusal(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Judges the key that a server shows.
pub struct Check {
    keys: HostKeys,
    names: Vec<String>,
    files: Vec<PathBuf>,
    verdict: Verdict,
}

impl Check {
    pub(super) fn new(keys: &HostKeys, resolved: &Resolved) -> (Self, Verdict) {
        let verdict = Verdict::default();
        let name = |host: &str| {
            if resolved.port == 22 {
                host.to_owned()
            } else {
                format!("[{host}]:{}", resolved.port)
            }
        };
        let mut names = vec![name(&resolved.key_name)];
        if resolved.address != resolved.key_name {
            names.push(name(&resolved.address));
        }
        let check = Self {
            keys: keys.clone(),
            names,
            files: resolved.known_hosts.clone(),
            verdict: verdict.clone(),
        };
        (check, verdict)
    }

    fn judge(&self, shown: &PublicKeyOrCertificate) -> Result<(), String> {
        let key = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.clone(),
            PublicKeyOrCertificate::Certificate(certificate) => {
                PublicKey::from(certificate.public_key().clone())
            }
        };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if let Some(pinned) = &self.keys.fingerprint {
            return if pinned.trim_end_matches('=') == fingerprint {
                Ok(())
            } else {
                Err(format!(
                    "its host key is {fingerprint}, but the inventory pins {pinned}. Either this is another host, or it \
                     has a new key: ask who runs it, then change `host_key`"
                ))
            };
        }
        let mut others: Vec<String> = Vec::new();
        let mut found = false;
        for file in &self.files {
            let Ok(text) = std::fs::read_to_string(file) else {
                continue;
            };
            for (number, line) in text.lines().enumerate() {
                let Some(Ok(entry)) = KnownHosts::new(line).next() else {
                    continue;
                };
                if !self
                    .names
                    .iter()
                    .any(|name| matches(entry.host_patterns(), name))
                {
                    continue;
                }
                let place = format!("{}:{}", file.display(), number + 1);
                let same = entry.public_key().key_data() == key.key_data();
                match entry.marker() {
                    Some(Marker::Revoked) if same => {
                        return Err(format!("its host key {fingerprint} is revoked ({place})"));
                    }
                    Some(Marker::Revoked) => {}
                    Some(Marker::CertAuthority) => {
                        if let PublicKeyOrCertificate::Certificate(certificate) = shown {
                            found |= certified(certificate, entry.public_key(), &self.names);
                        }
                    }
                    None if same => found = true,
                    None if entry.public_key().algorithm() == key.algorithm() => {
                        let known = entry.public_key().fingerprint(HashAlg::Sha256);
                        others.push(format!("{known} ({place})"));
                    }
                    None => others.push(format!(
                        "a {} key ({place})",
                        entry.public_key().algorithm()
                    )),
                }
            }
        }
        if found {
            return Ok(());
        }
        if !others.is_empty() {
            return Err(format!(
                "its host key has changed: it shows {fingerprint}, known is {}. Either this is another host, or it has a \
                 new key: ask who runs it, then remove the old line",
                others.join(", ")
            ));
        }
        if self.keys.accept_new {
            return self
                .remember(&key)
                .map_err(|e| format!("its host key could not be remembered: {e}"));
        }
        Err(format!(
            "its host key {fingerprint} is not known. Compare it with what who runs the host says, then pin it in the \
             inventory (`host_key: \"{fingerprint}\"`), or accept it once with `--accept-new`"
        ))
    }

    fn remember(&self, key: &PublicKey) -> std::io::Result<()> {
        use std::io::Write;
        let Some(file) = self.files.first() else {
            return Ok(());
        };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = key.to_openssh().map_err(std::io::Error::other)?;
        let needs_line_end =
            std::fs::read(file).is_ok_and(|t| t.last().is_some_and(|b| *b != b'\n'));
        // One write appends the whole line: two runs at once cannot mix theirs.
        let line = format!(
            "{}{} {text}\n",
            if needs_line_end { "\n" } else { "" },
            self.names[0]
        );
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)?
            .write_all(line.as_bytes())
    }
}

fn certified(certificate: &ssh_key::Certificate, authority: &PublicKey, names: &[String]) -> bool {
    let host = |name: &String| {
        let bare = name
            .strip_prefix('[')
            .and_then(|n| n.split(']').next())
            .unwrap_or(name);
        certificate.valid_principals().is_empty()
            || certificate.valid_principals().iter().any(|p| p == bare)
    };
    let fingerprint = authority.fingerprint(HashAlg::Sha256);
    certificate.cert_type() == ssh_key::certificate::CertType::Host
        && certificate.validate([&fingerprint]).is_ok()
        && names.iter().any(host)
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => hmac_sha1(salt, name.as_bytes()) == *hash,
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(not) if wildcard(not, name) => return false,
                    Some(_) => {}
                    None => found |= wildcard(pattern, name),
                }
            }
            found
        }
    }
}

fn wildcard(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (
        pattern.to_lowercase().chars().collect(),
        name.to_lowercase().chars().collect(),
    );
    let (mut p, mut n, mut star, mut mark) = (0, 0, None, 0);
    while n < name.len() {
        if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*' {
            p += 1;
            n += 1;
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some(p);
            mark = n;
            p += 1;
        } else if let Some(at) = star {
            p = at + 1;
            mark += 1;
            n = mark;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// HMAC (RFC 2104) with SHA-1, which is what hashed names are made with.
fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..20].copy_from_slice(&Sha1::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|b| b ^ with);
    let inner = Sha1::new()
        .chain_update(pad(0x36))
        .chain_update(text)
        .finalize();
    Sha1::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

impl Handler for Check {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        match self.judge(shown) {
            Ok(()) => Ok(true),
            Err(why) => {
                *self
                    .verdict
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(why);
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{hmac_sha1, wildcard};

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*.example", "a.example", true),
            ("*.example", "example", false),
            ("h?st", "host", true),
            ("[*]:2222", "[a.b]:2222", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*", "anything", true),
        ] {
            assert_eq!(wildcard(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn hmac_of_rfc_2202() {
        let mac = hmac_sha1(&[0x0b; 20], b"Hi There");
        assert_eq!(hex::encode(mac), "b617318655057264e28bc0b6fb378c8ef146be00");
    }
}
