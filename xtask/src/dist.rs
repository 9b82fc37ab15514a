//! Builds the static binary.

use anyhow::Result;

use crate::run::{root, run as command, say};

/// One static binary in `dist/`: it needs nothing on the machine that it runs on.
pub fn run() -> Result<()> {
    let target = "x86_64-unknown-linux-gnu";
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
            target,
        ],
    )?;
    let built =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let dist = root().join("dist");
    std::fs::create_dir_all(&dist)?;
    let to = dist.join("runbook");
    std::fs::copy(built.join(target).join("release/runbook"), &to)?;
    let size = std::fs::metadata(&to)?.len();
    say(&format!("dist/runbook, {} MiB, static", size >> 20));
    Ok(())
}
