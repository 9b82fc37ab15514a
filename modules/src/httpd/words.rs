//! The words behind a directive's name: how the server cuts them, and how they are written.

/// Cuts at blanks. Between double or single quotes blanks belong to a word, and a backslash takes the quote or backslash
/// behind it as it is; elsewhere it does so before another backslash alone.
#[must_use]
pub fn words(text: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = text.trim_ascii();
    while let Some(first) = rest.first() {
        let quote = Some(*first).filter(|b| matches!(b, b'"' | b'\''));
        let from = usize::from(quote.is_some());
        let mut word = Vec::new();
        let mut at = from;
        while let Some(byte) = rest.get(at) {
            let next = rest.get(at + 1);
            let escapes = *byte == b'\\' && next.is_some_and(|n| *n == b'\\' || Some(*n) == quote);
            if escapes {
                word.extend(next);
                at += 2;
                continue;
            }
            let ends = match quote {
                Some(quote) => *byte == quote,
                None => byte.is_ascii_whitespace(),
            };
            if ends {
                break;
            }
            word.push(*byte);
            at += 1;
        }
        all.push(String::from_utf8_lossy(&word).into_owned());
        rest = rest.get(at + from..).unwrap_or_default().trim_ascii_start();
    }
    all
}

/// A word as it has to be written.
#[must_use]
pub fn written(word: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !"\"'\\<>#".contains(c) || !c.is_ascii();
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    quoted(word)
}

/// A word between double quotes.
#[must_use]
pub fn quoted(word: &str) -> String {
    let mut out = String::from('"');
    let mut letters = word.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('"', _) => out.push_str("\\\""),
            // Only before these, and before the quote at the end, does the server take it as one that goes.
            ('\\', None | Some('\\' | '"')) => out.push_str("\\\\"),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cut_as_the_server_does() {
        let cases: [(&str, &[&str]); 8] = [
            ("/a /b", &["/a", "/b"]),
            ("  \"/a b\"\t'c d' ", &["/a b", "c d"]),
            (r#""a \"b\" \\ \n" x"#, &[r#"a "b" \ \n"#, "x"]),
            (r"C:\\a \\b", &[r"C:\a", r"\b"]),
            (r#"a"b c"#, &[r#"a"b"#, "c"]),
            (r#""never closed x"#, &["never closed x"]),
            (r#""a"b"#, &["a", "b"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(all in prop::collection::vec("[ -~\u{e9}]{0,8}", 0..4)) {
            let text = all.iter().map(|w| written(w)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(words(text.as_bytes()), all);
        }
    }
}
