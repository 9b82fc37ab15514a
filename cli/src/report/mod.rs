//! All output of the command: data on stdout, everything else on stderr.

pub mod drift;
pub mod json;
pub mod plan;
mod skipped;
pub mod terminal;

use runbook_engine::diag::{self, Diagnostic};
use runbook_engine::source::Sources;
use std::io::{IsTerminal, Write};

/// Prints a line of data.
pub fn say(text: &str) {
    // A reader that has gone away is no reason to fail.
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// Prints data as it is.
///
/// # Errors
/// They cannot be written: whoever waits for them would take a part for the whole.
pub fn data(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
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
