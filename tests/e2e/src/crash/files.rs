//! Generated playbooks of files and commands, on this machine and on a host of the lab over SSH.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::generate::{Generated, generate};
use super::harm::{Ended, Going, Harm};
use super::place::Place;
use super::trial::{Stage, State};
use crate::Scene;
use crate::proxy::{Break, Proxy};

/// How often it is looked whether a line has broken by now.
const LOOK: Duration = Duration::from_millis(20);

/// A generated playbook at a place.
pub struct Files {
    name: String,
    generated: Generated,
    place: Place,
    elsewhere: bool,
    taken_back: bool,
}

impl Files {
    /// A playbook of this seed and so many parts.
    #[must_use]
    pub fn new(name: &str, place: Place, seed: u64, parts: usize) -> Self {
        let becomes = matches!(place, Place::Host { .. });
        Self {
            name: name.to_owned(),
            generated: generate(seed, parts, becomes),
            place,
            elsewhere: false,
            taken_back: false,
        }
    }

    /// Its runs are taken back at their end.
    #[must_use]
    pub fn taken_back(self) -> Self {
        Self {
            taken_back: true,
            ..self
        }
    }

    /// Its runs are resumed from another machine.
    #[must_use]
    pub fn resumed_elsewhere(self) -> Self {
        Self {
            elsewhere: true,
            ..self
        }
    }

    /// The place, when all trials on it are done.
    #[must_use]
    pub fn into_place(self) -> Place {
        self.place
    }

    fn scene(&self, port: Option<u16>) -> Result<Scene> {
        let scene = Scene::new()?;
        scene.write("playbook.yaml", &self.generated.playbook)?;
        scene.write("inventory.yaml", &self.place.inventory(port)?)?;
        for (path, text) in &self.generated.files {
            scene.write(path, text)?;
        }
        Ok(scene)
    }

    /// Through a proxy that breaks the connection, or does not.
    fn through(&self, scene: &Scene, broken: Option<Break>) -> Result<(Ended, u64)> {
        let proxy = Proxy::breaking(self.place.address()?, broken)?;
        scene.write("inventory.yaml", &self.place.inventory(Some(proxy.port()))?)?;
        let args = self.play();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut going = Going::start(scene, &[], &args)?;
        if broken.is_some_and(|b| b.gone.is_none()) {
            while going.wait(LOOK)?.is_none() {
                if proxy.is_broken() {
                    // It is waiting for the line by then, or has only begun to.
                    if going
                        .wait(LOOK * u32::try_from(proxy.bytes() % 64)?)?
                        .is_none()
                    {
                        going.kill()?;
                    }
                    break;
                }
            }
            proxy.mend();
        }
        let mut ended = going.end()?;
        ended.in_time = broken.is_none() || proxy.is_broken();
        // What is resumed goes the same way: the proxy works on, and breaks nothing more.
        Ok((ended, proxy.bytes()))
    }

    /// How many bytes go over the connection of an undisturbed run.
    ///
    /// # Errors
    /// It fails.
    pub fn bytes(&self) -> Result<u64> {
        let scene = self.fresh()?;
        let (ended, bytes) = self.through(&scene, None)?;
        ensure!(ended.code == Some(0), "{}{}", ended.out, ended.err);
        Ok(bytes)
    }
}

impl Stage for Files {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn fresh(&self) -> Result<Scene> {
        self.place.empty(&self.generated.setup)?;
        self.scene(None)
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
        let Harm::Byte(bytes, gone) = harm else {
            bail!("{harm} is nothing for files");
        };
        let broken = Break {
            after: *bytes,
            gone: *gone,
        };
        Ok(self.through(scene, Some(broken))?.0)
    }

    fn is_taken_back(&self) -> bool {
        self.taken_back
    }

    fn resumed_by(&self, scene: &Scene) -> Result<Option<(Scene, Vec<String>)>> {
        self.elsewhere.then(|| other_machine(scene)).transpose()
    }
}

/// Another machine of the same people: the same playbooks and the same key, and nothing of any run.
///
/// # Errors
/// It cannot be made.
pub fn other_machine(scene: &Scene) -> Result<(Scene, Vec<String>)> {
    let other = Scene::new()?;
    let copied = Command::new("cp")
        .args(["-a", "--no-target-directory"])
        .arg(scene.folder())
        .arg(other.folder())
        .status()?;
    ensure!(copied.success(), "the working copy was not copied");
    match fs::remove_dir_all(other.path("state")) {
        // It was killed before it had made any.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    let more = ["-i", "inventory.yaml", "--from", "target"];
    Ok((other, more.map(str::to_owned).to_vec()))
}
