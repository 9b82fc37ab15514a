//! What the runs of the tests have done of each step of the guides.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use runbook_e2e::guide;
use runbook_e2e::rows::{FOLDER, judged, told};
use runbook_lab::Lab;

use crate::needs;
use crate::run::{built_for_long, root, run as command, say, target};

/// The guides, each with the letter that its steps begin with.
const GUIDES: [(&str, char); 1] = [("dcm4chee", 'D')];

/// Name for each step of the guides the runs in which its task changed something, had nothing to do, and was taken back.
#[derive(clap::Args)]
pub struct Args {
    /// Judge by the journals in this folder, and run nothing
    #[arg(long, value_name = "FOLDER")]
    journals: Option<PathBuf>,
}

/// Runs the tests of the sites unless it is told where their journals are, and judges.
pub fn run(args: &Args) -> Result<()> {
    if let Some(folder) = &args.journals {
        return judge(folder);
    }
    needs::install()?;
    Lab::up(true)?;
    needs::compose_plugin()?;
    let folder = folder()?;
    let program = built_for_long(&["runbook"])?.join("runbook");
    let program = format!("RUNBOOK_PROGRAM={}", program.display());
    let words = [
        variable(&folder),
        program,
        "RUNBOOK_LONG=1".to_owned(),
        "RUNBOOK_REQUIRE=1".to_owned(),
    ];
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend([
        "cargo",
        "test",
        "--package",
        "runbook-e2e",
        "--test",
        "archive",
    ]);
    command("env", &words)?;
    judge(&folder)
}

/// An empty folder for journals.
pub fn folder() -> Result<PathBuf> {
    folder_of(true)
}

/// The folder for journals, emptied where that is said.
pub fn folder_of(anew: bool) -> Result<PathBuf> {
    let folder = target().join("journals");
    if anew && folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The variable that names it to the tests, as `env` takes it.
pub fn variable(folder: &Path) -> String {
    format!("{FOLDER}={}", folder.display())
}

/// Says what is known of each step; an error where one has not been shown to do what it should.
pub fn judge(folder: &Path) -> Result<()> {
    let tasks = told(folder)?;
    let listed = fs::read_dir(root().join("playbooks"))?;
    let names: Vec<String> = listed
        .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    let playbooks = names.iter().map(String::as_str).collect();
    let mut all = Vec::new();
    for (name, letter) in GUIDES {
        let text = fs::read_to_string(root().join(format!("docs/guides/{name}.md")))?;
        let (lines, missing) = judged(&guide::rows(&text, letter), &tasks, &playbooks);
        ensure!(!lines.is_empty(), "{name}.md has no table of steps");
        for line in lines {
            say(&line);
        }
        all.extend(missing);
    }
    ensure!(
        all.is_empty(),
        "{} of the steps are not shown:\n  {}",
        all.len(),
        all.join("\n  ")
    );
    Ok(())
}
