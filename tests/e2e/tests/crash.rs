//! A sample of what `cargo xtask crash --all` tries: runs are killed and resumed. With `RUNBOOK_LONG=1`, all of it.

use anyhow::{Result, ensure};
use runbook_e2e::crash::{self, Choice};
use runbook_e2e::tell;

/// Tries the stages whose names begin so.
fn tried(stages: &[&str]) -> Result<()> {
    let choice = Choice {
        seed: 1,
        only: stages.iter().map(|s| (*s).to_owned()).collect(),
        case: None,
        all: std::env::var_os("RUNBOOK_LONG").is_some_and(|v| v == "1"),
        keep: false,
    };
    let table = crash::run(&choice, tell)?;
    ensure!(table.failed() == 0, "{}", table.failures());
    Ok(())
}

#[test]
fn files_and_commands_on_this_machine() -> Result<()> {
    tried(&["here", "back"])
}

#[test]
fn files_and_commands_on_a_host() -> Result<()> {
    tried(&["ssh", "elsewhere", "long"])
}

#[test]
fn a_line_that_breaks() -> Result<()> {
    tried(&["cut"])
}

#[test]
fn full_disks() -> Result<()> {
    tried(&["disk"])
}

#[test]
fn containers_entries_and_schema() -> Result<()> {
    tried(&["services"])
}

#[test]
fn servers_that_are_killed() -> Result<()> {
    tried(&["servers"])
}

#[test]
fn an_upgrade_that_is_killed() -> Result<()> {
    tried(&["upgrade"])
}
