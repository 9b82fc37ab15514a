//! All output of the command: data on stdout, everything else on stderr.

pub mod json;
pub mod plan;
pub mod terminal;

use runbook_engine::diag::{self, Diagnostic};
use runbook_engine::source::Sources;
use std::io::{IsTerminal, Write};

/// Prints a line of data.
pub fn say(text: &str) {
    // A reader that has gone away is no reason to fail.
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// Prints a line that is no data.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints an error.
pub fn say_error(text: &str) {
    let style = anstyle::AnsiColor::Red.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{style}error{style:#}: {text}");
}

/// Prints diagnostics, and how many there are.
pub fn diagnostics(all: &[Diagnostic], sources: &Sources) {
    if all.is_empty() {
        return;
    }
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut err = anstream::stderr();
    let _ = write!(err, "{}", diag::render(all, sources, colour));
    let errors = all
        .iter()
        .filter(|d| d.severity == diag::Severity::Error)
        .count();
    if errors > 0 {
        let plural = if errors == 1 { "mistake" } else { "mistakes" };
        let _ = writeln!(
            err,
            "{errors} {plural}. Nothing was touched; no host was connected."
        );
    }
}

/// Asks for a secret on the terminal, without showing what is typed.
pub fn ask_secret(prompt: &str) -> anyhow::Result<runbook_engine::value::Secret> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let tty = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| {
            anyhow::anyhow!(
                "there is no terminal to ask for a password on; put it into the inventory"
            )
        })?;
    let mut out = &tty;
    write!(out, "{prompt}: ")?;
    let before = tcgetattr(&tty)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&tty, OptionalActions::Now, &hidden)?;
    let mut line = String::new();
    let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(&tty), &mut line);
    tcsetattr(&tty, OptionalActions::Now, &before)?;
    writeln!(out)?;
    read?;
    Ok(runbook_engine::value::Secret::new(
        line.trim_end_matches(['\n', '\r']),
    ))
}

/// Asks a question that is answered by yes.
pub fn ask(question: &str) -> bool {
    let _ = write!(anstream::stderr(), "{question} [y/N] ");
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).is_ok();
    read && matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
}
