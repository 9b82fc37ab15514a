//! The program under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// The path of `runbook`: `RUNBOOK_PROGRAM` where that is set; else the one that lies beside the tests, which is built
/// first where it is absent or older than its sources.
///
/// # Errors
/// It cannot be built.
pub fn program() -> Result<PathBuf> {
    let found = PROGRAM.get_or_init(|| find().map_err(|e| format!("{e:#}")));
    found.clone().map_err(anyhow::Error::msg)
}

/// From now on [`program`] is this one, where none was asked for before.
pub fn choose(path: PathBuf) {
    let _ = PROGRAM.set(Ok(path));
}

fn find() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("RUNBOOK_PROGRAM") {
        return Ok(given.into());
    }
    // Tests lie in TARGET/PROFILE/deps, programs in TARGET/PROFILE.
    let own = std::env::current_exe()?;
    let mut folders = own.ancestors().skip(1);
    let folder = folders
        .find(|f| !f.ends_with("deps"))
        .context("the test lies in no folder of cargo")?;
    let target = folder
        .parent()
        .context("the folder of cargo has no parent")?;
    let program = folder.join("runbook");
    if is_newer_than_sources(&program)? {
        return Ok(program);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--package", "runbook"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(runbook_lab::Lab::project());
    match folder.file_name().and_then(|n| n.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            build.args(["--profile", profile]);
        }
    }
    let built = build.output().context("cargo does not start")?;
    if !built.status.success() {
        bail!(
            "the program cannot be built:\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
    }
    if !program.exists() {
        bail!("{}: it is not there after it was built", program.display());
    }
    Ok(program)
}

/// Cargo would know it best, but would take seconds to say so for each of many tests.
fn is_newer_than_sources(program: &Path) -> Result<bool> {
    let Ok(built) = program.metadata().and_then(|m| m.modified()) else {
        return Ok(false);
    };
    let project = runbook_lab::Lab::project();
    let mut open = vec![project.join("Cargo.toml"), project.join("Cargo.lock")];
    for part in ["engine", "modules", "cli"] {
        open.push(project.join(part).join("Cargo.toml"));
        open.push(project.join(part).join("src"));
    }
    while let Some(path) = open.pop() {
        let about = path
            .metadata()
            .with_context(|| path.display().to_string())?;
        if about.is_dir() {
            for entry in path.read_dir()? {
                open.push(entry?.path());
            }
        } else if about.modified()? > built {
            return Ok(false);
        }
    }
    Ok(true)
}
