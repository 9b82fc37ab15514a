//! A command that takes long: the program is killed meanwhile, and the run resumed before the command has ended.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::files::other_machine;
use super::harm::{Ended, Going, Harm};
use super::place::Place;
use super::trial::{Stage, State};
use crate::Scene;

/// It.
pub struct Long {
    name: String,
    place: Place,
    takes: u64,
    pause: Duration,
    elsewhere: bool,
}

/// What is done to it.
pub const KILLED: &str = "killed-during-the-command";

impl Long {
    /// A command of so many seconds, resumed after a pause, here or from another machine.
    #[must_use]
    pub fn new(place: Place, takes: u64, pause: Duration, elsewhere: bool) -> Self {
        let name = if elsewhere { "long-elsewhere" } else { "long" };
        Self {
            name: name.to_owned(),
            place,
            takes,
            pause,
            elsewhere,
        }
    }

    /// The place, when all trials on it are done.
    #[must_use]
    pub fn into_place(self) -> Place {
        self.place
    }
}

impl Stage for Long {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn fresh(&self) -> Result<Scene> {
        self.place.empty("mkdir counts")?;
        let scene = Scene::new()?;
        scene.write("inventory.yaml", &self.place.inventory(None)?)?;
        let takes = self.takes;
        scene.write(
            "playbook.yaml",
            &format!(
                "- name: A long command
  hosts: all
  tasks:
    - name: A file before it
      copy: {{dest: \"{{{{ root }}}}/before\", content: \"before\\n\"}}
      notify: told
    - name: It
      shell: echo ran >> {{{{ root }}}}/counts/long; sleep {takes}; echo said after {takes}; echo to stderr >&2
      register: it
    - name: What it said
      copy: {{dest: \"{{{{ root }}}}/said\", content: \"{{{{ it.stdout }}}}, {{{{ it.stderr }}}}, {{{{ it.rc }}}}\\n\"}}
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
        self.place.look(runs)
    }

    fn disturb(&self, scene: &Scene, harm: &Harm) -> Result<Ended> {
        ensure!(
            *harm == Harm::Own(KILLED.to_owned()),
            "{harm} is nothing for a long command"
        );
        let args = self.play();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut going = Going::start(scene, &[], &args)?;
        let counter = format!("cat {}/counts/long 2>/dev/null || true", self.place.root());
        let end = Instant::now() + Duration::from_secs(60);
        while self.place.run(&counter)?.is_empty() {
            if Instant::now() > end {
                bail!("the command has not started within a minute");
            }
        }
        going.kill()?;
        std::thread::sleep(self.pause);
        going.end()
    }

    fn resumed_by(&self, scene: &Scene) -> Result<Option<(Scene, Vec<String>)>> {
        self.elsewhere.then(|| other_machine(scene)).transpose()
    }
}
