//! Private keys in texts: shown masked, and known to whatever redacts.

use runbook_engine::value::MASK;

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
pub fn mask_private_keys(text: &str) -> String {
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
pub fn private_key_lines(text: &str) -> Vec<String> {
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
    fn its_lines_are_secrets() {
        assert_eq!(private_key_lines(KEY), ["MIIEowIBAAKC"]);
    }
}
