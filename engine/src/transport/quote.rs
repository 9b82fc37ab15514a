//! Quoting for POSIX sh. No string reaches a shell any other way.

use crate::host::ReadCommand;

/// One word, so quoted that sh sees exactly these bytes.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_@%+:,./-".contains(&b));
    if plain {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A command line for a [`ReadCommand`], without its stdin. Its variables are set by the shell itself: on the command
/// line of `env` other users of the host would see them.
#[must_use]
pub fn command_line(command: &ReadCommand) -> String {
    let mut line = String::new();
    if let Some(dir) = &command.chdir {
        line.push_str("cd -- ");
        line.push_str(&word(dir));
        line.push_str(" && ");
    }
    if command.env.is_empty() {
        line.push_str(&words(&command.argv));
        return line;
    }
    for (name, value) in &command.env {
        line.push_str("export ");
        line.push_str(&word(&format!("{name}={value}")));
        line.push_str(" && ");
    }
    format!("( {line}exec {} )", words(&command.argv))
}

/// Words of a command. The first one is always quoted, so that a program named like a word of the shell's own language
/// (`if`, `time`) is a program.
#[must_use]
pub fn words(argv: &[String]) -> String {
    let mut line = String::new();
    for (index, text) in argv.iter().enumerate() {
        let quoted = word(text);
        if index == 0 && !quoted.starts_with('\'') {
            line.push_str(&format!("'{quoted}'"));
        } else if index == 0 {
            line.push_str(&quoted);
        } else {
            line.push(' ');
            line.push_str(&quoted);
        }
    }
    line
}

/// A script as one line that `eval` takes.
#[must_use]
pub fn one_line(script: &str) -> String {
    format!("eval {}", expanded(script))
}

/// A text as one word on one line: line ends travel as escapes that printf's `%b` puts back, those at its end do not.
#[must_use]
pub fn expanded(text: &str) -> String {
    if text.contains('\n') {
        let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
        format!("\"$(printf '%b' {})\"", word(&escaped))
    } else {
        word(text)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn shells() -> Vec<&'static str> {
        let there = |shell: &&str| {
            let found = Command::new(shell).args(["-c", "true"]).status();
            found.is_ok_and(|s| s.success())
        };
        let all = ["dash", "bash"];
        let found: Vec<_> = all.into_iter().filter(there).collect();
        for shell in all {
            if !found.contains(&shell) {
                crate::skip::skip(&format!("quoting in {shell}"), "it is not installed");
            }
        }
        assert!(!found.is_empty());
        found
    }

    /// What a shell makes of a word, in one line of a script.
    fn back(shell: &str, script: &str) -> Vec<u8> {
        let output = Command::new(shell)
            .args(["-c", script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{shell}: {script:?}");
        output.stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn any_text_comes_back_byte_for_byte(texts in proptest::collection::vec("[^\0]{0,12}|[-'\"\\\\$`!~#\n\r\t *?\\[{(&;|<>%]{0,12}", 1..8)) {
            let mut script = String::from("printf '%s\\1'");
            for text in &texts {
                script.push(' ');
                script.push_str(&word(text));
            }
            let expected: Vec<u8> = texts.iter().flat_map(|t| t.bytes().chain([1])).collect();
            for shell in shells() {
                prop_assert_eq!(&back(shell, &script), &expected, "{}", shell);
                prop_assert_eq!(&back(shell, &one_line(&script)), &expected, "{} in one line", shell);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn variables_reach_a_command_and_no_command_line(values in proptest::collection::vec("[^\0]{0,12}|[-'\"\\\\$`!~#\n\r\t *?\\[{(&;|<>%=]{0,12}", 1..5)) {
            let env: std::collections::BTreeMap<String, String> =
                values.iter().enumerate().map(|(n, v)| (format!("GIVEN_{n}"), v.clone())).collect();
            let line = command_line(&ReadCommand {
                argv: vec!["/bin/cat".to_owned(), "/proc/self/environ".to_owned()],
                env: env.clone(),
                chdir: Some("/".to_owned()),
                stdin: None,
            });
            for shell in shells() {
                for script in [line.clone(), one_line(&line)] {
                    // Where no program is found beside the one that is asked for, none was handed anything.
                    let script = format!("PATH=/nowhere; unset LC_ALL; {script}");
                    let given = back(shell, &script);
                    let given: Vec<&[u8]> = given.split(|b| *b == 0).filter(|v| v.starts_with(b"GIVEN_")).collect();
                    prop_assert_eq!(given.len(), env.len());
                    for (name, value) in &env {
                        prop_assert!(given.contains(&format!("{name}={value}").as_bytes()), "{}: {}", shell, value);
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_that_no_variable_can_have_fails_and_nothing_is_run() {
        let line = command_line(&ReadCommand {
            argv: vec!["echo".to_owned(), "run".to_owned()],
            env: [("no name".to_owned(), "x".to_owned())].into(),
            ..ReadCommand::default()
        });
        for shell in shells() {
            let output = Command::new(shell).args(["-c", &line]).output().unwrap();
            assert!(
                !output.status.success() && output.stdout.is_empty(),
                "{shell}"
            );
            assert!(!output.stderr.is_empty(), "{shell}");
        }
    }

    #[test]
    fn a_program_named_like_a_word_of_the_language_is_a_program() {
        for shell in shells() {
            let line = words(&["if".to_owned(), "x".to_owned()]);
            let output = Command::new(shell).args(["-c", &line]).output().unwrap();
            assert_eq!(output.status.code(), Some(127), "{shell}");
        }
    }
}
