//! The tests that did not run: each appends a line to one file, and all are named at the end.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::{env, fs, process};

use anyhow::{Context as _, Result, ensure};

use crate::run::say;

/// The file of those that were skipped. `tests/skip.rs` writes it.
pub struct Skipped(PathBuf);

impl Skipped {
    /// An empty one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("runbook-skipped-{}", process::id()));
        fs::write(&path, "").with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// The variable that names it to the tests, as `env` takes it.
    pub fn variable(&self) -> String {
        format!("RUNBOOK_SKIPPED={}", self.0.display())
    }

    /// Notes what is not tested, as tests do.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&self, what: &str, reason: &str) -> Result<()> {
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let file = fs::OpenOptions::new().append(true).open(&self.0);
        let written = file.and_then(|mut f| f.write_all(format!("{what}: {reason}\n").as_bytes()));
        written.with_context(|| self.0.display().to_string())
    }

    /// Names all of them and says how many they are.
    ///
    /// # Errors
    /// There is one, and everything has to run: `all`, or `RUNBOOK_REQUIRE=1` says so.
    pub fn end(self, all: bool) -> Result<()> {
        let text = fs::read_to_string(&self.0).with_context(|| self.0.display().to_string())?;
        fs::remove_file(&self.0)?;
        for line in closing(&text) {
            say(&line);
        }
        let required = all || env::var_os("RUNBOOK_REQUIRE").is_some_and(|v| v == "1");
        ensure!(
            text.is_empty() || !required,
            "something was skipped, and everything has to run (--all, or RUNBOOK_REQUIRE=1)"
        );
        Ok(())
    }
}

/// A line for each, however often it was said, and the number of them.
fn closing(text: &str) -> Vec<String> {
    let named: BTreeSet<&str> = text.lines().collect();
    let mut lines: Vec<String> = named.iter().map(|n| format!("skipped: {n}")).collect();
    lines.push(match named.len() {
        0 => "nothing was skipped".to_owned(),
        many => format!("{many} skipped: what they test was not tested here"),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::closing;

    #[test]
    fn each_is_named_once_and_counted() {
        assert_eq!(closing(""), ["nothing was skipped"]);
        assert_eq!(
            closing("b: no slapd\na: no lab\nb: no slapd\n"),
            [
                "skipped: a: no lab",
                "skipped: b: no slapd",
                "2 skipped: what they test was not tested here"
            ]
        );
    }
}
