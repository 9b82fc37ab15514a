//! Is this the key of that host? Reads `known_hosts` files (format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use sha1::{Digest, Sha1};

/// What the files say of one host.
#[derive(Debug, Default)]
pub(super) struct KnownHost {
    /// As the files write it: `name`, or `[name]:port` for another port than 22.
    name: String,
    files: Vec<PathBuf>,
    keys: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    file: PathBuf,
    number: usize,
    marker: Option<Marker>,
    key: PublicKey,
}

/// What is to become of a key that the host showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the host's.
    Known,
    /// Nothing is known of this host.
    New,
    /// It must not be used; the text says why.
    Refused(String),
}

impl KnownHost {
    /// Reads what `files` say of a host. Files that do not exist say nothing; lines that cannot be read neither, as
    /// with OpenSSH, so that an algorithm of tomorrow does not lock anybody out today.
    pub fn read(files: &[PathBuf], host: &str, port: u16) -> Self {
        let name = written_name(host, port);
        let mut keys = Vec::new();
        for file in files {
            let Ok(text) = std::fs::read_to_string(file) else {
                continue;
            };
            for (index, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let fields: Vec<&str> = line.split_whitespace().collect();
                let Ok(entry) = fields.join(" ").parse::<Entry>() else {
                    continue;
                };
                if matches(entry.host_patterns(), &name) {
                    keys.push(Line {
                        file: file.clone(),
                        number: index + 1,
                        marker: entry.marker().copied(),
                        key: entry.public_key().clone(),
                    });
                }
            }
        }
        Self {
            name,
            files: files.to_vec(),
            keys,
        }
    }

    /// The algorithms of the keys that are known: the host is asked for one of these first, else it would show a key
    /// that is not in the file although another of its keys is.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let plain = self.keys.iter().filter(|l| l.marker.is_none());
        plain.map(|l| l.key.algorithm()).collect()
    }

    /// Is a certificate authority known for this host?
    pub fn has_authority(&self) -> bool {
        self.keys
            .iter()
            .any(|l| l.marker == Some(Marker::CertAuthority))
    }

    /// Judges what the host showed; `host` is its name without a port, as a certificate names it.
    pub fn judge(&self, shown: &PublicKeyOrCertificate, host: &str) -> Verdict {
        let key = shown.public_key();
        let fingerprint = fingerprint(&key);
        let of = |marker: Option<Marker>| self.keys.iter().filter(move |l| l.marker == marker);
        let same = |line: &&Line| line.key.key_data() == key.key_data();
        if let Some(line) = of(Some(Marker::Revoked)).find(|line| {
            same(line)
                || shown
                    .certificate()
                    .is_some_and(|c| c.signature_key() == line.key.key_data())
        }) {
            return Verdict::Refused(format!(
                "its key {fingerprint} is marked as revoked in {}, line {}",
                line.file.display(),
                line.number
            ));
        }
        if let Some(certificate) = shown.certificate() {
            let authorities: Vec<_> = of(Some(Marker::CertAuthority))
                .map(|l| l.key.fingerprint(HashAlg::Sha256))
                .collect();
            let named = certificate.valid_principals().is_empty()
                || certificate.valid_principals().iter().any(|p| p == host);
            let for_hosts =
                certificate.cert_type() == russh::keys::ssh_key::certificate::CertType::Host;
            let valid = certificate.validate(authorities.iter()).is_ok();
            return if valid && named && for_hosts && certificate.critical_options().is_empty() {
                Verdict::Known
            } else {
                let why = if !named {
                    format!("it is for {}", certificate.valid_principals().join(", "))
                } else if !for_hosts {
                    "it is no host certificate".to_owned()
                } else {
                    "it is out of date, or no known authority has signed it".to_owned()
                };
                Verdict::Refused(format!("its certificate cannot be accepted: {why}"))
            };
        }
        if of(None).any(|line| same(&line)) {
            return Verdict::Known;
        }
        let old = of(None)
            .find(|l| l.key.algorithm() == key.algorithm())
            .or_else(|| of(None).next());
        match old {
            None => Verdict::New,
            Some(line) => Verdict::Refused(format!(
                "its key has changed: it shows {fingerprint} ({}), but {}, line {}, says {} ({}). Somebody may be in \
                 between; or the host was installed anew. If its administrator confirms the new fingerprint, remove \
                 the line (`ssh-keygen -R '{}' -f {}`) and accept the new key",
                key.algorithm(),
                line.file.display(),
                line.number,
                self::fingerprint(&line.key),
                line.key.algorithm(),
                self.name,
                line.file.display(),
            )),
        }
    }

    /// Adds a key to the first of the files: written beside, then renamed over, so that a reader never sees half a
    /// line and a crash loses nothing.
    pub fn add(&self, key: &PublicKey) -> std::io::Result<PathBuf> {
        let file = self.files.first().ok_or_else(|| {
            std::io::Error::new(std::io::ErrorKind::NotFound, "no known_hosts file is named")
        })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        // One writer at a time: two hosts accepted at once must both be in the file afterwards.
        static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _one = WRITING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let place = std::fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        let mut text = match std::fs::read_to_string(&place) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let mut bare = key.clone();
        bare.set_comment("");
        let written = bare.to_openssh().map_err(std::io::Error::other)?;
        text.push_str(&format!("{} {}\n", self.name, written.trim_end()));
        let beside = place.with_file_name(format!(
            ".{}.{}",
            place
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .trim_start_matches('.'),
            std::process::id()
        ));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let outcome = options.open(&beside).and_then(|mut out| {
            if let Ok(old) = std::fs::metadata(&place) {
                out.set_permissions(old.permissions())?;
            }
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            std::fs::rename(&beside, &place)
        });
        if outcome.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        outcome.map(|()| place)
    }

    /// The files that were read, for messages.
    pub fn files(&self) -> String {
        let names: Vec<String> = self.files.iter().map(|f| f.display().to_string()).collect();
        names.join(", ")
    }
}

/// `SHA256:…` of a key, as `ssh-keygen -l` writes it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn written_name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => hmac_sha1(salt, name.as_bytes()) == *hash,
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                let lower = pattern.to_lowercase();
                match lower.strip_prefix('!') {
                    Some(negated) if glob(negated.as_bytes(), name.as_bytes()) => return false,
                    Some(_) => {}
                    None => found |= glob(lower.as_bytes(), name.as_bytes()),
                }
            }
            found
        }
    }
}

/// `*` stands for any text, `?` for any character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// HMAC-SHA1 (RFC 2104), with which OpenSSH hides names.
fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..20].copy_from_slice(&Sha1::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|b| b ^ byte);
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

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
