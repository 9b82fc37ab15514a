//! How a test says that it did not run: one file for all tests, taken in by its path, since a crate of its own would be
//! one more dependency for each of them.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says by name that a test, or a part of one, did not run, and why: to standard error, and as a line `TEST: REASON` at
/// the end of the file that `RUNBOOK_SKIPPED` names, because runners hide what a test that passes has printed.
///
/// # Panics
/// With `RUNBOOK_REQUIRE=1`, where everything has to run; and where the file cannot be written.
pub fn skip(test: &str, reason: &str) {
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    // Nobody reads it when standard error is closed. Written past the capture of the test runner, so that it is seen.
    drop(writeln!(std::io::stderr(), "skipped: {test}: {reason}"));
    if let Some(path) = std::env::var_os("RUNBOOK_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // One write for a line: tests are processes of their own, and several may skip at once.
        let written = file.and_then(|mut f| f.write_all(format!("{test}: {reason}\n").as_bytes()));
        assert!(written.is_ok(), "{}: {written:?}", path.display());
    }
    assert!(
        std::env::var_os("RUNBOOK_REQUIRE").is_none_or(|v| v != "1"),
        "{test} has to run (RUNBOOK_REQUIRE=1): {reason}"
    );
}
