//! One playbook on one host: check, look that the check has changed nothing, run, compare.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::{Run, Scene};

use crate::compare::{Compared, Wrong, compare};
use crate::script::{Script, TARGET};

/// Where trials are made, and with which program.
#[derive(Debug, Clone)]
pub struct Place {
    /// The program.
    pub program: PathBuf,
    /// A folder for the scenes.
    pub folder: PathBuf,
    /// What sites of the lab are called after, so that those of two places can be there at once.
    pub sites: String,
}

impl Place {
    /// For this program; in memory where that can be, since every record of a journal is flushed to the disk.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = match tempfile::tempdir_in(memory) {
            Ok(_) => memory.to_owned(),
            Err(_) => std::env::temp_dir(),
        };
        Self {
            program,
            folder,
            sites: "fid".to_owned(),
        }
    }

    /// The same, but with the prediction of one kind switched off. `unpredicting` is the program of this crate by that
    /// name; `links` is a folder that lives as long as this is used.
    ///
    /// # Errors
    /// A link cannot be made there.
    pub fn without(&self, kind: &str, unpredicting: &Path, links: &Path) -> Result<Self> {
        let program = links.join(kind);
        std::os::unix::fs::symlink(unpredicting, &program)
            .with_context(|| format!("{}", program.display()))?;
        Ok(Self {
            program,
            folder: self.folder.clone(),
            sites: format!("{}-{kind}", self.sites),
        })
    }
}

/// Everything below a folder: type, rights, owner, size, time and content.
///
/// # Errors
/// Something cannot be read.
pub fn snapshot(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let about = fs::symlink_metadata(&path)?;
        let content = if about.is_symlink() {
            fs::read_link(&path)?.display().to_string()
        } else if about.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
            String::new()
        } else {
            format!("{:?}", fs::read(&path)?)
        };
        let line = format!(
            "{:o} {} {} {} {}.{} {content}",
            about.permissions().mode(),
            about.uid(),
            about.gid(),
            about.nlink(),
            about.mtime(),
            about.mtime_nsec()
        );
        found.insert(path, line);
    }
    Ok(found)
}

pub(crate) const PLAY: [&str; 4] = ["play", "play.yaml", "-i", "localhost,"];

/// Makes the scene of a playbook and tries it there.
///
/// # Errors
/// The playbook cannot be tried at all: it is refused, or the program does not end as it should.
pub fn of_script(script: &Script, half_done: bool, place: &Place) -> Result<Compared> {
    let scene = Scene::within(&place.folder, &place.program)?;
    script.lay_out(&scene)?;
    if half_done {
        let begun =
            scene.runbook(&["play", "begun.yaml", "-i", "localhost,", "--output", "json"])?;
        accepted(&begun)?;
        script.damage(&scene)?;
    }
    tried(&scene, &scene.path(TARGET), &PLAY)
}

/// The playbook was accepted, whether or not its tasks failed.
pub(crate) fn accepted(run: &Run) -> Result<()> {
    ensure!(
        matches!(run.code, 0 | 2),
        "exit code {}: {}",
        run.code,
        run.err
    );
    Ok(())
}

/// Checks and runs in a scene.
///
/// # Errors
/// See [`of_script`].
pub fn tried(scene: &Scene, target: &Path, args: &[&str]) -> Result<Compared> {
    Ok(tried_by(scene, target, args)?.0)
}

/// Checks and runs in a scene; gives the run, too.
///
/// # Errors
/// See [`of_script`].
pub fn tried_by(scene: &Scene, target: &Path, args: &[&str]) -> Result<(Compared, Run)> {
    let call = |more: &[&str]| scene.runbook(&[args, &["--output", "json"], more].concat());
    let before = snapshot(target)?;
    let check = call(&["--check", "--diff"])?;
    accepted(&check)?;
    let after = snapshot(target)?;
    let run = call(&[])?;
    accepted(&run)?;
    let mut compared = compare(&check.events()?, &run.events()?);
    if before != after {
        let differs = before
            .iter()
            .filter(|(path, line)| after.get(*path) != Some(line))
            .map(|(path, _)| path)
            .chain(after.keys().filter(|path| !before.contains_key(*path)));
        let first = differs.into_iter().next().context("nothing differs")?;
        compared.wrong.push(Wrong {
            node: String::new(),
            task: "the check itself".to_owned(),
            module: String::new(),
            check: "changes nothing".to_owned(),
            run: format!("{} is another", first.display()),
        });
        compared.figures.wrong += 1;
    }
    if compared.wrong.is_empty() && !compared.parted && check.code != run.code {
        compared.wrong.push(Wrong {
            node: String::new(),
            task: "the exit code".to_owned(),
            module: String::new(),
            check: check.code.to_string(),
            run: run.code.to_string(),
        });
        compared.figures.wrong += 1;
    }
    Ok((compared, run))
}

/// What a tool without a predicted world would come to: every task is checked by itself, against the host as it is
/// before the playbook. Compared with the run as any check is.
///
/// # Errors
/// See [`of_script`].
pub fn each_alone(script: &Script, place: &Place) -> Result<Compared> {
    let scene = Scene::within(&place.folder, &place.program)?;
    script.lay_out(&scene)?;
    let mut check = Vec::new();
    for at in 0..script.tasks.len() {
        script.alone(&scene, "alone.yaml", at)?;
        let args = [
            "play",
            "alone.yaml",
            "-i",
            "localhost,",
            "--check",
            "--output",
            "json",
        ];
        let alone = scene.runbook(&args)?;
        accepted(&alone)?;
        for mut event in alone.events()? {
            if let Some(node) = event["node"].as_str() {
                let node = node.replacen("0/tasks/0@", &format!("0/tasks/{at}@"), 1);
                event["node"] = node.into();
            }
            check.push(event);
        }
    }
    let run = scene.runbook(&[&PLAY[..], &["--output", "json"]].concat())?;
    accepted(&run)?;
    Ok(compare(&check, &run.events()?))
}
