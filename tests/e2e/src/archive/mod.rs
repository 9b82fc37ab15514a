//! An archive site of the lab and the upgrade of it: what the demo shows and the end-to-end tests demand.
//!
//! Whatever is claimed is looked at with other programs than ours: `docker`, `slapcat`, `ldapmodify`, `psql`, `pg_dump`,
//! `curl`, `sha256sum`, each run on the host without SSH.

mod adopted;
mod back;
mod by_hand;
mod composed;
mod damage;
mod day;
mod downtime;
mod kinds;
mod likeness;
mod logs;
mod mistaken;
mod played;
mod points;
mod real;
mod rebuilt;
mod records;
mod restored;
mod secured;
mod snapshot;
mod story;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use runbook_lab::{Lab, Site};

pub use back::Before;
pub use by_hand::Settings;
pub use composed::Compose;
pub use damage::lasting;
pub use downtime::Downtime;
pub use likeness::Likeness;
pub use played::{Finished, Played};
pub use points::POINTS;
pub use records::Records;
pub use snapshot::Snapshot;

use crate::rows;

/// A site with an archive, and the program that upgrades it.
pub struct Archive {
    site: Site,
    program: PathBuf,
    inventory: PathBuf,
    state: tempfile::TempDir,
    tell: fn(&str),
}

impl Drop for Archive {
    fn drop(&mut self) {
        let site = &self.site.name;
        if let Err(why) = rows::keep(site, &self.program, self.state.path(), &Lab::project()) {
            self.say(&format!("the journals of {site} are not kept: {why:#}"));
        }
    }
}

impl Archive {
    /// `tell` gets every command and what came of it, for people to read.
    ///
    /// # Errors
    /// The inventory cannot be written.
    pub fn new(site: Site, program: PathBuf, tell: fn(&str)) -> Result<Self> {
        Ok(Self {
            inventory: site.inventory()?,
            state: tempfile::tempdir()?,
            site,
            program,
            tell,
        })
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The path of its inventory.
    #[must_use]
    pub fn inventory(&self) -> &Path {
        &self.inventory
    }

    fn say(&self, text: &str) {
        (self.tell)(text);
    }

    /// Runs a playbook of the project as its users do, by its name.
    ///
    /// # Errors
    /// It ends with another exit code, or prints what is no event.
    pub fn play(&self, playbook: &str, more: &[&str], code: i32) -> Result<Played> {
        let mut args = vec!["play", playbook];
        args.extend(more);
        self.runbook(&args, code)
    }

    /// Calls the program as its users do, on the inventory of the site.
    ///
    /// # Errors
    /// It ends with another exit code, or prints what is no event.
    pub fn runbook(&self, args: &[&str], code: i32) -> Result<Played> {
        let played = self.call(args)?;
        ensure!(
            played.code == code,
            "exit code {}, not {code}: {}\n{}",
            played.code,
            played.said,
            played.lines().join("\n")
        );
        Ok(played)
    }

    /// The same, where tasks may fail.
    ///
    /// # Errors
    /// It ends with an exit code other than 0 and 2, or prints what is no event.
    pub fn attempt(&self, args: &[&str]) -> Result<Played> {
        let played = self.call(args)?;
        let (code, said) = (played.code, &played.said);
        ensure!(matches!(code, 0 | 2), "exit code {code}: {said}");
        Ok(played)
    }

    /// Takes back a run: its exit code is 5 where something was left, and only there.
    ///
    /// # Errors
    /// It ends with another exit code, or prints what is no event.
    pub fn rollback(&self, run: &str, more: &[&str]) -> Result<Played> {
        let played = self.call(&[&["rollback", run], more].concat())?;
        let left = played.notes().iter().any(|note| note.contains(": left: "));
        let code = if left { 5 } else { 0 };
        ensure!(
            played.code == code,
            "exit code {}, not {code}: {}\n{}",
            played.code,
            played.said,
            played.lines().join("\n")
        );
        Ok(played)
    }

    fn call(&self, args: &[&str]) -> Result<Played> {
        let inventory = self.inventory.to_string_lossy();
        self.called(&[args, &["-i", &inventory]].concat())
    }

    fn called(&self, args: &[&str]) -> Result<Played> {
        self.say(&format!("$ runbook {}", args.join(" ")));
        let output = Command::new(&self.program)
            .args(args)
            .args(["--output", "json"])
            .current_dir(Lab::project())
            .env("RUNBOOK_STATE", self.state.path())
            .env("RUNBOOK_KEY_FILE", self.state.path().join("journal.key"))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{} could not be started", self.program.display()))?;
        let played = Played::read(
            output.status.code().unwrap_or(-1),
            &String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )?;
        for line in played.lines() {
            self.say(&line);
        }
        Ok(played)
    }

    /// The host that has a part: ldap, db or arc.
    ///
    /// # Errors
    /// There is none.
    pub fn host_of(&self, part: &str) -> Result<&str> {
        let host = self
            .site
            .hosts
            .iter()
            .find(|h| h.groups.iter().any(|g| g == part));
        Ok(&host
            .with_context(|| format!("no host of {} has {part}", self.site.name))?
            .name)
    }

    /// Runs a shell command where a part is; its output.
    ///
    /// # Errors
    /// It fails.
    pub fn on(&self, part: &str, script: &str) -> Result<String> {
        let output = self.site.exec(self.host_of(part)?, script)?;
        ensure!(
            output.status == Some(0),
            "status {:?} of {script}\n{}{}",
            output.status,
            output.stdout,
            output.stderr
        );
        Ok(output.stdout)
    }

    /// Prints a command of the host with its answer, which has to be this.
    ///
    /// # Errors
    /// It is another one.
    pub fn confirm(&self, part: &str, script: &str, expected: &str) -> Result<()> {
        let answer = self.on(part, script)?;
        self.say(&format!("# {script}\n{}", answer.trim_end()));
        ensure!(
            answer.trim() == expected,
            "`{script}` says `{}`, not `{expected}`",
            answer.trim()
        );
        Ok(())
    }
}

/// Which version of the archive answers.
const VERSION: &str = "curl -sf http://localhost:8080/dcm4chee-arc/version";

/// What is no change of a resource and has no diff, but says in one line what it will do.
const WITHOUT_DIFF: [&str; 4] = ["directory_dump", "ldap_export", "pg_dump", "pg_restore"];

/// Both have the same tasks with the same outcome, and whatever changes a resource shows how.
///
/// # Errors
/// Where they differ, or say nothing.
pub fn equal(check: &Played, run: &Played) -> Result<usize> {
    let (check, run) = (check.finished(), run.finished());
    let differs: Vec<&Finished> = check.symmetric_difference(&run).collect();
    ensure!(differs.is_empty(), "check and run differ: {differs:#?}");
    let changed = run.iter().filter(|f| f.status == "changed");
    let silent: Vec<&Finished> = changed
        .filter(|f| f.diff.trim().is_empty() && !WITHOUT_DIFF.contains(&f.module.as_str()))
        .collect();
    ensure!(
        silent.is_empty(),
        "changed, and there is no diff: {silent:#?}"
    );
    Ok(run.len())
}

/// A set of names.
fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|n| (*n).to_owned()).collect()
}
