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

/// A command line for a [`ReadCommand`], without its stdin.
#[must_use]
pub fn command_line(command: &ReadCommand) -> String {
    let mut line = String::new();
    if let Some(dir) = &command.chdir {
        line.push_str("cd -- ");
        line.push_str(&word(dir));
        line.push_str(" && ");
    }
    if !command.env.is_empty() {
        line.push_str("env ");
        for (name, value) in &command.env {
            line.push_str(&word(&format!("{name}={value}")));
            line.push(' ');
        }
    }
    let words: Vec<String> = command.argv.iter().map(|w| word(w)).collect();
    line.push_str(&words.join(" "));
    line
}
