//! The forms in which a text comes back: servers, libraries and programs quote and encode what they are given.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter encoded forms are found in texts that have nothing to do with the secret.
const SHORTEST: usize = 8;

/// All forms of a text beside itself: escaped in JSON (also within JSON), quoted for a shell, encoded for URLs, in hex,
/// and in base64 wherever in a longer text it stood.
#[must_use]
pub fn forms(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let json = in_json(text);
    found.push(in_json(&json));
    found.push(json);
    found.push(text.replace('\'', r"'\''"));
    found.push(text.replace('\'', "''"));
    found.push(text.replace('"', "\"\""));
    found.push(format!("{text:?}").trim_matches('"').to_owned());
    found.push(ascii_json(text));
    found.push(html(text));
    for kept in ["", "!'()*", "/", "!$&'()*+,;=:@", "!$&'()*+,;=:@/?"] {
        let encoded = percent(text, kept);
        found.push(encoded.replace("%20", "+"));
        found.push(lower_hex(&encoded));
        found.push(encoded);
    }
    if text.len() >= SHORTEST {
        let hex = hex::encode(text);
        found.push(hex.to_uppercase());
        found.push(hex);
        for before in 0..3 {
            found.extend(base64_within(text.as_bytes(), before));
        }
    }
    found.retain(|form| form != text && form.len() > 2);
    found.sort_unstable();
    found.dedup();
    found
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted
        .get(1..quoted.len() - 1)
        .unwrap_or_default()
        .to_owned()
}

/// As Python's `json` writes it: nothing but ASCII.
fn ascii_json(text: &str) -> String {
    let mut out = String::new();
    for c in in_json(text).chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn percent(text: &str, kept: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || kept.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `%2F` as `%2f`.
fn lower_hex(text: &str) -> String {
    let mut out = String::new();
    let mut digits = 0;
    for c in text.chars() {
        if c == '%' {
            digits = 2;
        } else if digits > 0 {
            digits -= 1;
            out.push(c.to_ascii_lowercase());
            continue;
        }
        out.push(c);
    }
    out
}

/// What of the base64 of a longer text belongs to these bytes alone, where `before` bytes (0 to 2) stand in their first
/// group of three.
fn base64_within(bytes: &[u8], before: usize) -> Vec<String> {
    let padded: Vec<u8> = std::iter::repeat_n(0, before)
        .chain(bytes.iter().copied())
        .collect();
    // Of the first and the last group the neighbours know parts.
    let start = [0, 2, 3][before];
    let end = padded.len() * 8 / 6;
    let cut = |encoded: String| encoded.get(start..end).map(str::to_owned);
    [
        STANDARD_NO_PAD.encode(&padded),
        URL_SAFE_NO_PAD.encode(&padded),
    ]
    .into_iter()
    .filter_map(cut)
    .filter(|form| form.len() >= SHORTEST)
    .collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::forms;

    #[test]
    fn every_way_in_which_it_may_come_back_is_among_them() {
        let secret = "pä'ss \"w\\rd/&+1";
        let all = forms(secret);
        for form in [
            r#"pä'ss \"w\\rd/&+1"#,
            r#"p\u00e4'ss \"w\\rd/&+1"#,
            r#"pä'\''ss "w\rd/&+1"#,
            "p%C3%A4%27ss%20%22w%5Crd%2F%26%2B1",
            "p%c3%a4%27ss%20%22w%5crd%2f%26%2b1",
            "p%C3%A4%27ss+%22w%5Crd%2F%26%2B1",
            "pä&#39;ss &quot;w\\rd/&amp;+1",
        ] {
            assert!(all.iter().any(|f| f == form), "{form} is not in {all:#?}");
        }
        assert!(all.contains(&hex::encode(secret)));
    }

    #[test]
    fn base64_of_a_longer_text_holds_one_of_them_wherever_it_stands() {
        let secret = "quartz-lantern";
        for before in ["", "a", "ab", "abc", "user:", "x".repeat(40).as_str()] {
            for after in ["", "z", "zz", "@host"] {
                let encoded = STANDARD.encode(format!("{before}{secret}{after}"));
                let found = forms(secret).into_iter().find(|f| encoded.contains(f));
                assert!(found.is_some(), "{before}…{after}: {encoded}");
            }
        }
    }
}
