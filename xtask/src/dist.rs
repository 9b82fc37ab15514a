//! Builds the static binary.

use anyhow::Result;

use crate::run::{root, run as command, say, target};

/// One static binary in `dist/`: it needs nothing on the machine that it runs on.
pub fn run() -> Result<()> {
    let triple = "x86_64-unknown-linux-gnu";
    command(
        "env",
        &[
            "RUSTFLAGS=-C target-feature=+crt-static",
            "cargo",
            "build",
            "--release",
            "--package",
            "runbook",
            "--target",
            triple,
        ],
    )?;
    let dist = root().join("dist");
    std::fs::create_dir_all(&dist)?;
    let to = dist.join("runbook");
    std::fs::copy(target().join(triple).join("release/runbook"), &to)?;
    let size = std::fs::metadata(&to)?.len();
    say(&format!("dist/runbook, {} MiB, static", size >> 20));
    Ok(())
}
