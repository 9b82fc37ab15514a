//! Secrets in files that nobody has marked: private keys, values under the name of a password, passwords in URLs. They
//! are shown masked, and known to whatever redacts.

use std::sync::LazyLock;

use regex::Regex;
use runbook_engine::value::MASK;

/// A line of a configuration that gives a value under the name of a secret, and a password in a URL; `s` is the secret.
/// Narrower than what is told of containers: of files a diff has to say what changes.
const LOOKS: [&str; 2] = [
    r#"(?im)^[ \t]*(?:[#;][ \t]*)?(?:export[ \t]+)?["']?[\w.\-]*(?:password|passwd|passphrase|secret|token|private_key|api_key)["']?[ \t]*[=:][ \t]*["']?(?<s>[^\s"'][^\r\n]*?)["']?[ \t]*,?[ \t]*$"#,
    r#"://[^\s:/?#@"']*:(?<s>[^\s"'/?#]+)@"#,
];

/// Values that say how something is, or what stands in place of them.
const NO_SECRETS: [&str; 9] = [
    "true", "false", "none", "null", "yes", "no", "required", "optional", "default",
];

static PATTERNS: LazyLock<Vec<Regex>> =
    LazyLock::new(|| LOOKS.iter().filter_map(|p| Regex::new(p).ok()).collect());

/// The parts of a text that are values of secrets by their name or place.
fn named(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<_> = PATTERNS
        .iter()
        .flat_map(|p| p.captures_iter(text))
        .filter_map(|c| c.name("s"))
        .filter(|s| {
            let value = s.as_str();
            let reference = value.starts_with(['$', '{', '<', '%']) || value.starts_with("!vault");
            value.chars().count() >= 4
                && !reference
                && !NO_SECRETS.contains(&value.to_ascii_lowercase().as_str())
        })
        .map(|s| s.range())
        .collect();
    found.sort_by_key(|r| (r.start, r.end));
    let mut end = 0;
    found.retain(|r| {
        let apart = r.start >= end;
        end = end.max(r.end);
        apart
    });
    found
}

/// The text with all that may be a secret masked.
#[must_use]
pub fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for part in named(text) {
        shown.push_str(&text[at..part.start]);
        shown.push_str(MASK);
        at = part.end;
    }
    shown.push_str(&text[at..]);
    mask_private_keys(&shown)
}

/// All of them.
#[must_use]
pub fn secrets(text: &str) -> Vec<String> {
    let mut found = private_key_lines(text);
    found.extend(named(text).into_iter().map(|part| text[part].to_owned()));
    found
}

/// Is this the first line of a private key in PEM form (RFC 7468; OpenSSH's too)?
fn begins(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----")
}

fn ends(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("-----END ") && line.ends_with("PRIVATE KEY-----")
}

/// The text with the body of every private key masked.
#[must_use]
fn mask_private_keys(text: &str) -> String {
    if !text.contains("PRIVATE KEY-----") {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut within = false;
    for line in text.split_inclusive('\n') {
        if within && !ends(line) {
            continue;
        }
        within = begins(line);
        shown.push_str(line);
        if within {
            shown.push_str(MASK);
            shown.push('\n');
        }
    }
    shown
}

/// The lines of every private key in a text.
#[must_use]
fn private_key_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut within = false;
    for line in text.lines() {
        if begins(line) {
            within = true;
        } else if ends(line) {
            within = false;
        } else if within && line.trim().len() >= 8 {
            lines.push(line.trim().to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKC\nq0s4\n-----END RSA PRIVATE KEY-----\nb\n";

    #[test]
    fn the_body_of_a_private_key_is_masked_and_all_else_stays() {
        assert_eq!(
            mask_private_keys(KEY),
            "a\n-----BEGIN RSA PRIVATE KEY-----\n********\n-----END RSA PRIVATE KEY-----\nb\n"
        );
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(mask_private_keys(certificate), certificate);
    }

    #[test]
    fn a_key_without_an_end_is_masked_to_the_end() {
        let shown = mask_private_keys("-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKC\n");
        assert!(!shown.contains("MIIE"), "{shown}");
    }

    #[test]
    fn values_under_the_name_of_a_secret_are_masked_and_others_are_not() {
        assert_eq!(PATTERNS.len(), LOOKS.len());
        for line in [
            "password = …",
            "  db.password=…",
            "export API_TOKEN='…'",
            "client_secret: \"…\"",
            "  \"api_key\": \"…\",",
            "; old_passwd=…",
            "url = postgres://arc:…@db/x",
        ] {
            let text = format!("a=1\n{}\nb=2\n", line.replace('…', "geheim wort"));
            let text = text.replace("://arc:geheim wort", "://arc:geheim-wort");
            let shown = masked(&text);
            assert!(!shown.contains("geheim") && shown.contains(MASK), "{shown}");
            assert!(
                shown.starts_with("a=1\n") && shown.ends_with("\nb=2\n"),
                "{shown}"
            );
            assert_eq!(secrets(&text).len(), 1, "{text}");
        }
        for line in [
            "PasswordAuthentication yes",
            "password_file = /etc/secret",
            "password: ",
            "token = true",
            "password = {{ word }}",
            "password=${WORD}",
            "# the password = of the day is told by phone"
                .split('=')
                .next()
                .unwrap(),
            "http://host:8080/path",
            "ssh://git@host/x",
        ] {
            assert_eq!(masked(line), line);
        }
    }

    #[test]
    fn its_lines_are_secrets() {
        assert_eq!(private_key_lines(KEY), ["MIIEowIBAAKC"]);
    }
}
