//! The search, in whatever form a secret may stand somewhere.

use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result};

use super::secret;

/// Something that is searched.
pub struct Haystack {
    /// What it is called in messages.
    pub name: String,
    bytes: Vec<u8>,
}

/// A secret that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub number: usize,
    /// Where.
    pub place: String,
    /// In which form.
    pub form: &'static str,
    /// What stands around it.
    pub around: String,
}

impl Haystack {
    /// Bytes under a name.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }

    /// The same without a part of it.
    #[must_use]
    pub fn changed(mut self, by: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        self.bytes = by(&self.bytes);
        self
    }

    /// Every file below a folder, but for those that `leave` says.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn below(folder: &Path, leave: &dyn Fn(&Path) -> bool) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(path) = open.pop() {
            if leave(&path) {
                continue;
            }
            let about = path.symlink_metadata()?;
            if about.is_dir() {
                for entry in path.read_dir()? {
                    open.push(entry?.path());
                }
            } else if about.is_file() {
                found.push(Self::new(path.display().to_string(), std::fs::read(&path)?));
            }
        }
        Ok(found)
    }

    /// The planted secrets that stand in it, each once.
    #[must_use]
    pub fn search(&self, secrets: &Secrets) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for met in secrets.finder.find_overlapping_iter(&self.bytes) {
            let (number, form) = secrets.forms[met.pattern().as_usize()];
            if found.iter().any(|f| f.number == number) {
                continue;
            }
            let from = met.start().saturating_sub(60);
            let to = (met.end() + 60).min(self.bytes.len());
            found.push(Found {
                number,
                place: self.name.clone(),
                form,
                around: String::from_utf8_lossy(&self.bytes[from..to]).into_owned(),
            });
        }
        found
    }
}

/// Secrets, by number, in every form.
pub struct Secrets {
    finder: AhoCorasick,
    forms: Vec<(usize, &'static str)>,
}

impl Secrets {
    /// Of these numbers.
    ///
    /// # Errors
    /// They are far too many.
    pub fn new(numbers: impl IntoIterator<Item = usize>) -> Result<Self> {
        Self::of(numbers.into_iter().map(|n| (n, secret(n))))
    }

    fn of(secrets: impl IntoIterator<Item = (usize, String)>) -> Result<Self> {
        let mut places = Vec::new();
        let mut needles = Vec::new();
        for (number, secret) in secrets {
            for (form, needle) in forms(&secret) {
                places.push((number, form));
                needles.push(needle);
            }
        }
        let finder = AhoCorasick::new(needles).context("the forms of the secrets")?;
        Ok(Self {
            finder,
            forms: places,
        })
    }
}

/// Written here once more, by other means than the program's own, so that both do not share a mistake.
fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let mut found = vec![("plain", bytes.to_vec())];
    let json = serde_json::Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let twice = serde_json::Value::from(json.as_str()).to_string();
    found.push(("in JSON", json.into_bytes()));
    found.push((
        "in JSON within JSON",
        twice.as_bytes()[1..twice.len() - 1].to_vec(),
    ));
    found.push((
        "quoted for a shell",
        secret.replace('\'', r"'\''").into_bytes(),
    ));
    // As strace prints what is not ASCII.
    let octal = bytes.iter().fold(String::new(), |text, byte| match byte {
        b'"' => text + "\\\"",
        b'\\' => text + "\\\\",
        0x20..=0x7e => text + &char::from(*byte).to_string(),
        byte => text + &format!("\\{byte:o}"),
    });
    found.push(("printed by strace", octal.into_bytes()));
    for upper in [true, false] {
        let percent = |byte: &u8| match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => char::from(*b).to_string(),
            b if upper => format!("%{b:02X}"),
            b => format!("%{b:02x}"),
        };
        let encoded: String = bytes.iter().map(percent).collect();
        found.push(("in a URL", encoded.replace("%20", "+").into_bytes()));
        found.push(("in a URL", encoded.into_bytes()));
        let hex: String = bytes
            .iter()
            .map(|b| {
                if upper {
                    format!("{b:02X}")
                } else {
                    format!("{b:02x}")
                }
            })
            .collect();
        found.push(("in hex", hex.into_bytes()));
    }
    for shift in 0..3 {
        for alphabet in [b"+/", b"-_"] {
            found.push(("in base64", base64(bytes, shift, *alphabet)));
        }
    }
    found
}

/// The sextets of a text that are its own alone, where it begins `shift` bytes into a group of three.
fn base64(bytes: &[u8], shift: usize, last: [u8; 2]) -> Vec<u8> {
    let bits: Vec<bool> = std::iter::repeat_n(false, shift * 8)
        .chain(
            bytes
                .iter()
                .flat_map(|b| (0..8).rev().map(move |bit| b >> bit & 1 == 1)),
        )
        .collect();
    let begin = (shift * 8).div_ceil(6);
    let end = bits.len() / 6;
    (begin..end)
        .map(|sextet| {
            let value = bits[sextet * 6..sextet * 6 + 6]
                .iter()
                .fold(0_u8, |value, bit| value << 1 | u8::from(*bit));
            match value {
                0..=25 => b'A' + value,
                26..=51 => b'a' + value - 26,
                52..=61 => b'0' + value - 52,
                62 => last[0],
                _ => last[1],
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Haystack, Secrets, forms};
    use crate::secrets::secret;

    #[test]
    fn each_form_is_found_and_nothing_else() {
        for number in 0..24 {
            let secrets = Secrets::new([number]).unwrap();
            for (form, needle) in forms(&secret(number)) {
                let text = [b"x=\"", needle.as_slice(), b"\";"].concat();
                let found = Haystack::new("here", text).search(&secrets);
                assert_eq!(found.len(), 1, "{form} of {number}");
            }
            let other = Haystack::new("here", secret(number + 1)).search(&secrets);
            assert_eq!(other, []);
        }
    }

    #[test]
    fn base64_is_found_as_others_write_it() {
        // `printf 'user:Pq00-abcdefgh@host' | base64`, as coreutils write it.
        let secrets = Secrets::of([(0, "Pq00-abcdefgh".to_owned())]).unwrap();
        let encoded = "dXNlcjpQcTAwLWFiY2RlZmdoQGhvc3Q=";
        let found = Haystack::new("header", encoded).search(&secrets);
        assert_eq!(found[0].form, "in base64");
    }
}
