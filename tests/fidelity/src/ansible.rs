//! The same measure for `ansible-playbook --check`: playbooks of files alone, which mean the same to both.
//!
//! Of Ansible only the status of each task is compared, not the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::Scene;
use runbook_lab::Lab;
use serde_json::Value;

use crate::compare::{Figures, NOT_COUNTED};
use crate::corpus::scene_of;
use crate::generate::generate_files;
use crate::script::TARGET;
use crate::trial::{PLAY, Place, tried};

/// How often each of both was right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rivals {
    /// Playbooks.
    pub playbooks: usize,
    /// Ours: status, changes and diff.
    pub ours: Figures,
    /// Tasks that Ansible's run has done.
    pub theirs: usize,
    /// Those whose status its check had said.
    pub right: usize,
}

/// `ansible-playbook`: `RUNBOOK_ANSIBLE` where that is set, else the one in the search path.
#[must_use]
pub fn program() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("RUNBOOK_ANSIBLE") {
        return Some(given.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("ansible-playbook"))
        .find(|program| program.exists())
}

/// The playbook of twenty tasks that stands in the corpus.
///
/// # Errors
/// One of both cannot be tried at all.
pub fn twenty(program: &Path, place: &Place) -> Result<Rivals> {
    both(program, place, &|| scene_of("twenty", 0, place))
}

/// Generated playbooks of files, of `count` seeds.
///
/// # Errors
/// One of both cannot be tried at all.
pub fn generated_files(first: u64, count: usize, program: &Path, place: &Place) -> Result<Rivals> {
    let mut all = Rivals::default();
    for at in 0..count {
        let script = generate_files(first + u64::try_from(at)?);
        let one = both(program, place, &|| {
            let scene = Scene::within(&place.folder, &place.program)?;
            script.lay_out(&scene)?;
            Ok(scene)
        })?;
        all.playbooks += 1;
        all.ours += one.ours;
        all.theirs += one.theirs;
        all.right += one.right;
    }
    Ok(all)
}

/// Tries a playbook with both, each on a clean host of its own.
fn both(program: &Path, place: &Place, scene: &dyn Fn() -> Result<Scene>) -> Result<Rivals> {
    let (ours, theirs) = (scene()?, scene()?);
    let compared = tried(&ours, &ours.path(TARGET), &PLAY)?;
    ensure!(
        compared.wrong.is_empty(),
        "a wrong prediction of ours:\n{}",
        crate::generated::listed(&compared.wrong)
    );
    let check = called(program, &theirs, place, &["--check", "--diff"])?;
    let run = called(program, &theirs, place, &[])?;
    let right = run
        .iter()
        .filter(|(task, status)| check.get(*task) == Some(status));
    Ok(Rivals {
        playbooks: 1,
        ours: compared.figures,
        theirs: run.len(),
        right: right.count(),
    })
}

/// Task and item → status.
fn called(
    program: &Path,
    scene: &Scene,
    place: &Place,
    more: &[&str],
) -> Result<BTreeMap<(String, String), String>> {
    let told = scene.path("told");
    fs::write(&told, "")?;
    let output = Command::new(program)
        .args(["-i", "localhost,", "-c", "local", "play.yaml"])
        .args([
            "-e",
            "ansible_python_interpreter='{{ ansible_playbook_python }}'",
        ])
        .args(more)
        .current_dir(scene.folder())
        .env("TOLD", &told)
        .env("HOME", scene.folder())
        .env("ANSIBLE_LOCAL_TEMP", place.folder.join("runbook-ansible"))
        .env("ANSIBLE_CALLBACKS_ENABLED", "told")
        .env(
            "ANSIBLE_CALLBACK_PLUGINS",
            Lab::project().join("tests/fidelity/ansible"),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} could not be started", program.display()))?;
    let mut found = BTreeMap::new();
    for line in fs::read_to_string(&told)?.lines() {
        let event: Value = serde_json::from_str(line)?;
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        let counts = !NOT_COUNTED.iter().any(|module| name.ends_with(module));
        if counts && name != "Gathering Facts" {
            found.insert((name, text("item")), text("status"));
        }
    }
    ensure!(
        !found.is_empty(),
        "ansible-playbook has done nothing:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(found)
}
