//! Keeps secrets out of everything that is shown.
//!
//! Marked values render as [`MASK`](crate::value::MASK) by themselves. This is the second line: whatever text comes
//! back from a host, a server or a library is searched for every secret that was ever rendered or read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};

use super::forms::forms;

use crate::template::named_like_a_secret;
use crate::value::{MASK, Value};

/// Secrets shorter than this are only masked as whole words; of one or two characters, not at all: masking them
/// would tell more (their length, their places) than it hides.
const SHORT: usize = 8;

/// All secrets of a run.
#[derive(Default)]
pub struct Redactor {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    secrets: BTreeSet<String>,
    /// The secrets and all their forms, each with the secret that it is one of.
    forms: BTreeMap<Longest, String>,
}

impl Known {
    fn add(&mut self, secret: &str) {
        if secret.len() > 2
            && !secret.starts_with("-----")
            && self.secrets.insert(secret.to_owned())
        {
            let all = forms(secret).into_iter().chain([secret.to_owned()]);
            self.forms
                .extend(all.map(|form| (Longest(form), secret.to_owned())));
        }
    }
}

/// Ordered longest first, so that a secret that contains another is masked whole.
#[derive(PartialEq, Eq, Clone)]
struct Longest(String);

impl Ord for Longest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other
            .0
            .len()
            .cmp(&self.0.len())
            .then_with(|| self.0.cmp(&other.0))
    }
}
impl PartialOrd for Longest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Redactor {
    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a secret, and its lines where it has several (a private key is often shown line by line).
    pub fn add(&self, secret: &str) {
        self.add_longer(secret, SHORT);
    }

    /// Adds a text of which no line is shown, be it ever so short.
    pub fn add_lines(&self, secret: &str) {
        self.add_longer(secret, 3);
    }

    fn add_longer(&self, secret: &str, least: usize) {
        let mut known = self.write();
        let lines = secret.lines().map(str::trim).filter(|l| l.len() >= least);
        lines
            .chain([secret.trim()])
            .for_each(|text| known.add(text));
    }

    /// The secrets that stand in a text, in whatever form.
    #[must_use]
    pub fn within(&self, text: &str) -> Vec<String> {
        let known = self.read();
        let standing = known
            .forms
            .iter()
            .filter(|(form, _)| text.contains(&form.0));
        let found: BTreeSet<&String> = standing.map(|(_, secret)| secret).collect();
        found.into_iter().cloned().collect()
    }

    /// Adds every secret within a value.
    pub fn add_from(&self, value: &Value) {
        value.secrets(&mut |s| self.add(s));
    }

    /// Every text in a JSON value, cleaned; what stands under the name of a secret is one.
    #[must_use]
    pub fn clean_json(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value as J;
        match value {
            J::String(s) => J::String(self.clean(&s)),
            J::Array(items) => J::Array(items.into_iter().map(|v| self.clean_json(v)).collect()),
            J::Object(map) => J::Object(
                map.into_iter()
                    .map(|(k, v)| match v {
                        J::String(_) | J::Number(_) if named_like_a_secret(&k) => {
                            (k, J::String(MASK.to_owned()))
                        }
                        v => (self.clean(&k), self.clean_json(v)),
                    })
                    .collect(),
            ),
            other => other,
        }
    }

    /// The text with every secret replaced.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let known = self.read();
        if known.forms.is_empty() {
            return text.to_owned();
        }
        let mut clean = text.to_owned();
        // What cannot stand within a word in base64, while nothing of it is masked yet; then what is encoded, while that is
        // still whole; then all others.
        known.replace_in(&mut clean, |secret| !secret.chars().all(in_base64));
        clean = known.without_encoded(&clean);
        known.replace_in(&mut clean, |_| true);
        clean
    }
}

impl Known {
    fn replace_in(&self, text: &mut String, which: impl Fn(&str) -> bool) {
        for Longest(secret) in self.forms.keys().filter(|l| which(&l.0)) {
            if text.contains(secret.as_str()) {
                *text = replace(text, secret, secret.len() < SHORT);
            }
        }
    }

    /// The text without its words in base64 that hold a secret: no form of the secret tells where in its group of three
    /// bytes it begins and ends.
    fn without_encoded(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(in_base64) {
            let (before, from) = rest.split_at(begin);
            let end = from.find(|c| !in_base64(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            clean.push_str(before);
            let holds = (word.len() >= ENCODED).then(|| decoded(word)).flatten();
            let holds = holds.is_some_and(|held| {
                let mut masked = held.clone();
                self.replace_in(&mut masked, |_| true);
                masked != held
            });
            clean.push_str(if holds { MASK } else { word });
            rest = after;
        }
        clean.push_str(rest);
        clean
    }
}

/// Shorter words are hardly encoded ones.
const ENCODED: usize = 8;

fn in_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

/// What a word in base64 (either alphabet, RFC 4648) holds, if it is a text.
fn decoded(word: &str) -> Option<String> {
    let plain = word.replace('-', "+").replace('_', "/");
    let bytes = BASE64.decode(plain).ok()?;
    String::from_utf8(bytes).ok()
}

/// With or without its padding, which is not part of the word here.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn replace(text: &str, secret: &str, whole_words: bool) -> String {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let (head, tail) = (&rest[..at], &rest[at + secret.len()..]);
        let before = head.chars().next_back().or_else(|| out.chars().next_back());
        out.push_str(head);
        if whole_words && (word(before) || word(tail.chars().next())) {
            out.push_str(secret);
        } else {
            out.push_str(MASK);
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::Redactor;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let redactor = Redactor::default();
        redactor.add("hunter2hunter2");
        redactor.add("pacs");
        redactor.add("hunter2hunter2-longer");
        for (text, clean) in [
            (
                "bind with hunter2hunter2 failed",
                "bind with ******** failed",
            ),
            ("xhunter2hunter2x", "x********x"),
            ("hunter2hunter2-longer", "********"),
            (
                "user pacs, database pacsdb",
                "user ********, database pacsdb",
            ),
            ("PACS", "PACS"),
        ] {
            assert_eq!(redactor.clean(text), clean);
        }
    }

    #[test]
    fn what_is_encoded_with_other_things_is_masked_whole() {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
        let redactor = Redactor::default();
        redactor.add("hunter2hunter2");
        redactor.add("s3cr.t");
        for before in ["", "a ", "ab ", "abc "] {
            for secret in ["hunter2hunter2", "s3cr.t"] {
                let text = format!("{before}{secret} more\n");
                for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    let shown = redactor.clean(&format!("{{\"content\": \"{encoded}\"}}"));
                    assert!(shown.starts_with("{\"content\": \"********"), "{shown}");
                    assert!(shown.len() < 30, "{shown}");
                }
            }
        }
        let other = STANDARD.encode("nothing of that kind\n");
        assert_eq!(redactor.clean(&other), other);
    }

    #[test]
    fn a_secret_that_holds_an_encoded_one_is_masked_whole() {
        let redactor = Redactor::default();
        redactor.add("hunter2-hunter2");
        redactor.add("1 aHVudGVyMi1odW50ZXIy HUNTER2-HUNTER2");
        let clean = redactor.clean("msg: 1 aHVudGVyMi1odW50ZXIy HUNTER2-HUNTER2.");
        assert_eq!(clean, "msg: ********.");
    }

    #[test]
    fn lines_of_a_key_are_masked_one_by_one() {
        let redactor = Redactor::default();
        redactor.add(
            "-----BEGIN PRIVATE KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END PRIVATE KEY-----\n",
        );
        assert_eq!(redactor.clean("+mnopqrstuvwx"), "+********");
        assert_eq!(
            redactor.clean("-----BEGIN PRIVATE KEY-----"),
            "-----BEGIN PRIVATE KEY-----"
        );
    }
}
