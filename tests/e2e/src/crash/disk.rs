//! Disks that are full: that of the journal, and that of the host. After room was made the run is resumed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::generate::{Generated, generate};
use super::harm::{Ended, Going, Harm};
use super::place::Place;
use super::trial::{Stage, State};
use crate::Scene;

/// A file system in memory, of a size that can be changed. It goes when this is dropped.
struct Disk(tempfile::TempDir);

fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).output()?;
    ensure!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

impl Disk {
    fn new(kilobytes: u64) -> Result<Self> {
        let disk = Self(tempfile::tempdir()?);
        let size = format!("size={kilobytes}k");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &size, "tmpfs", &disk.shown()],
        )?;
        Ok(disk)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn shown(&self) -> String {
        self.path().display().to_string()
    }

    fn resize(&self, kilobytes: u64) -> Result<()> {
        let size = format!("remount,size={kilobytes}k");
        run("mount", &["-o", &size, &self.shown()])
    }

    fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(self.path())? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(run("umount", &[&self.shown()]));
    }
}

/// Can file systems be mounted here? Why not.
#[must_use]
pub fn refused() -> Option<String> {
    Disk::new(64).err().map(|e| format!("{e:#}"))
}

/// Room for all of a run, in kilobytes.
const ROOM: u64 = 64 * 1024;

/// The size that the name of a case gives.
fn size_of(harm: &Harm) -> Result<u64> {
    let Harm::Own(what) = harm else {
        bail!("{harm} is nothing for a disk");
    };
    let size = what
        .strip_prefix("full-at:")
        .and_then(|w| w.strip_suffix('k'));
    size.and_then(|s| s.parse().ok())
        .with_context(|| format!("{what} is no size"))
}

/// A disk that is full at so many kilobytes.
#[must_use]
pub fn full_at(kilobytes: u64) -> Harm {
    Harm::Own(format!("full-at:{kilobytes}k"))
}

fn says(ended: &Ended, codes: &[i32], words: &[&str]) -> Result<()> {
    let code = ended.code.context("it was ended by a signal")?;
    let text = format!("{}{}", ended.out, ended.err);
    ensure!(codes.contains(&code), "exit code {code}:\n{text}");
    let lower = text.to_lowercase();
    ensure!(
        words.iter().any(|w| lower.contains(w)),
        "it does not say that the disk is full:\n{text}"
    );
    Ok(())
}

/// The journal's disk is full.
pub struct OfController {
    place: Place,
    generated: Generated,
    disk: Disk,
}

impl OfController {
    /// A generated playbook on this machine.
    ///
    /// # Errors
    /// Nothing can be mounted.
    pub fn new(seed: u64) -> Result<Self> {
        Ok(Self {
            place: Place::here()?,
            generated: generate(seed, 10, false),
            disk: Disk::new(ROOM)?,
        })
    }
}

impl Stage for OfController {
    fn name(&self) -> String {
        "disk-of-controller".to_owned()
    }

    fn fresh(&self) -> Result<Scene> {
        self.place.empty(&self.generated.setup)?;
        self.disk.resize(ROOM)?;
        self.disk.empty()?;
        let scene = Scene::new()?;
        symlink(self.disk.path(), scene.path("state"))?;
        scene.write("playbook.yaml", &self.generated.playbook)?;
        scene.write("inventory.yaml", &self.place.inventory(None)?)?;
        for (path, text) in &self.generated.files {
            scene.write(path, text)?;
        }
        Ok(scene)
    }

    fn play(&self) -> Vec<String> {
        ["play", "playbook.yaml", "-i", "inventory.yaml", "-y"]
            .map(str::to_owned)
            .to_vec()
    }

    fn look(&self, runs: &[String]) -> Result<State> {
        self.place.look(runs)
    }

    fn disturb(&self, scene: &Scene, harm: &Harm) -> Result<Ended> {
        self.disk.resize(size_of(harm)?)?;
        let args = self.play();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Going::start(scene, &[], &args)?.end()
    }

    fn mend(&self, _scene: &Scene) -> Result<()> {
        self.disk.resize(ROOM)
    }

    fn heard(&self, _harm: &Harm, ended: &Ended) -> Result<()> {
        says(ended, &[1, 2], &["full", "no space", "no room"])
    }
}

/// The host's disk is full.
pub struct OfTarget {
    place: Place,
    disk: Disk,
}

/// Room for all files with those that are kept aside, in kilobytes.
const FILES: u64 = 16 * 1024;

impl OfTarget {
    /// Large files on this machine.
    ///
    /// # Errors
    /// Nothing can be mounted.
    pub fn new() -> Result<Self> {
        Ok(Self {
            place: Place::here()?,
            disk: Disk::new(FILES)?,
        })
    }
}

impl Stage for OfTarget {
    fn name(&self) -> String {
        "disk-of-target".to_owned()
    }

    fn fresh(&self) -> Result<Scene> {
        self.disk.resize(FILES)?;
        self.disk.empty()?;
        let disk = self.disk.shown();
        self.place.empty(&format!(
            "mkdir counts; ln -s {disk} disk; for n in 1 2 3; do yes before | head -c 1400000 > disk/large-$n; done"
        ))?;
        let scene = Scene::new()?;
        scene.write("inventory.yaml", &self.place.inventory(None)?)?;
        scene.write("files/large", &"after, and long\n".repeat(90_000))?;
        scene.write(
            "playbook.yaml",
            &format!(
                "- name: Large files
  hosts: all
  gather_facts: false
  tasks:
    - name: Before them
      shell: echo ran >> {{{{ root }}}}/counts/before
      register: before
    - name: Large
      copy: {{src: large, dest: \"{disk}/large-{{{{ item }}}}\"}}
      loop: [1, 2, 3]
      notify: told
    - name: New, and by content
      copy: {{dest: \"{disk}/new\", content: \"{{{{ 'x' * 300000 }}}}\"}}
    - name: After them
      shell: echo ran >> {{{{ root }}}}/counts/after
  handlers:
    - name: told
      shell: echo ran >> {{{{ root }}}}/counts/told
"
            ),
        )?;
        Ok(scene)
    }

    fn play(&self) -> Vec<String> {
        ["play", "playbook.yaml", "-i", "inventory.yaml", "-y"]
            .map(str::to_owned)
            .to_vec()
    }

    fn look(&self, runs: &[String]) -> Result<State> {
        let mut state = self.place.look(runs)?;
        let disk = self.disk.shown();
        let files = self.place.run(&format!(
            r"cd {disk}; find . -name '*.runbook-*' -prune -o -printf 'disk/%P %y %m %U:%G\n'
find . -name '*.runbook-*' -prune -o -type f -print0 | xargs -0r sha256sum"
        ))?;
        state.lines.extend(files.lines().map(str::to_owned));
        let aside = self
            .place
            .run(&format!("find {disk} -name '*.runbook-*' -prune -print"))?;
        state.aside.extend(aside.lines().map(str::to_owned));
        Ok(state)
    }

    fn disturb(&self, scene: &Scene, harm: &Harm) -> Result<Ended> {
        self.disk.resize(size_of(harm)?)?;
        let args = self.play();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Going::start(scene, &[], &args)?.end()
    }

    fn mend(&self, _scene: &Scene) -> Result<()> {
        self.disk.resize(FILES)
    }

    fn heard(&self, _harm: &Harm, ended: &Ended) -> Result<()> {
        says(
            ended,
            &[2],
            &["no space left", "no room", "not enough room"],
        )
    }
}
