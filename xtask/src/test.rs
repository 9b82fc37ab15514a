//! Tests everything.

use anyhow::Result;
use runbook_lab::Lab;

use crate::needs;
use crate::run::{has, run as command, say};

/// Test everything: formatting, lints, tests.
#[derive(clap::Args)]
pub struct Args {
    /// The long matrices too
    #[arg(long)]
    all: bool,
}

pub fn run(args: &Args) -> Result<()> {
    needs::install()?;
    // The tests that need the lab say by name that they are skipped where it is not up.
    if let Err(why) = Lab::up(true) {
        say(&format!("the lab cannot be had here: {why:#}"));
    }
    command("cargo", &["fmt", "--all", "--check"])?;
    command(
        "cargo",
        &[
            "clippy",
            "--workspace",
            "--lib",
            "--bins",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    command("cargo", &["build", "--workspace", "--bins", "--quiet"])?;
    if args.all {
        say("with the long matrices (RUNBOOK_LONG=1)");
        command(
            "env",
            &[
                "RUNBOOK_LONG=1",
                "cargo",
                "test",
                "--workspace",
                "--no-fail-fast",
            ],
        )
    } else if has("cargo-nextest") {
        command(
            "cargo",
            &[
                "nextest",
                "run",
                "--workspace",
                "--no-fail-fast",
                "--status-level",
                "fail",
            ],
        )
    } else {
        command("cargo", &["test", "--workspace", "--no-fail-fast"])
    }
}
