//! Splitting a command line into words as a POSIX shell does, without anything else that a shell does.

/// The words of `line`: blanks separate, quotes and backslashes keep together.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(format!("a single quote is not closed in: {line}")),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\')) => word.push(c),
                            Some(c) => {
                                word.push('\\');
                                word.push(c);
                            }
                            None => return Err(format!("a double quote is not closed in: {line}")),
                        },
                        Some(c) => word.push(c),
                        None => return Err(format!("a double quote is not closed in: {line}")),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(format!("nothing follows the last backslash in: {line}")),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_as_a_shell_splits_them() {
        let cases: &[(&str, &[&str])] = &[
            ("ls -l  /tmp", &["ls", "-l", "/tmp"]),
            ("echo 'a b' \"c d\"", &["echo", "a b", "c d"]),
            (
                r#"echo a\ b "\"q\"" "\n""#,
                &["echo", "a b", "\"q\"", "\\n"],
            ),
            ("a''b ''", &["ab", ""]),
            ("", &[]),
        ];
        for (line, words) in cases {
            assert_eq!(split(line).unwrap(), *words, "{line}");
        }
        for line in ["echo 'a", "echo \"a", "echo a\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
