//! Runs that are killed at every point, and what `runbook resume` makes of them.
//!
//! A *stage* is a playbook and a place where it runs. It runs undisturbed first. Then, each time from the beginning, it
//! is disturbed in one way (the program killed at a flush of its journal or at some instant, the connection cut at a
//! byte, a server killed, a disk full) and resumed. The end state has to be that of the undisturbed run; each command
//! has counted how often it ran; nothing may be left but what `runbook close` lists, and nothing at all after it.
//!
//! What happens is made by chance from a seed, so that each case can be repeated: its name says what was done.

mod chance;
mod disk;
mod files;
mod generate;
mod harm;
mod long;
mod place;
mod progress;
mod services;
mod table;
mod trial;
mod upgrade;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use runbook_lab::{Hosts, Lab};

use chance::Chance;
use disk::{OfController, OfTarget, full_at};
use files::Files;
use harm::Harm;
use long::{KILLED, Long};
use place::Place;
use services::{SERVERS, Services};
pub use table::Table;
use trial::{Reference, Stage};
use upgrade::Upgrade;

use crate::archive::Archive;
use crate::{program, skip};

/// What is to be tried.
#[derive(Debug, Clone)]
pub struct Choice {
    /// From which all chance is made.
    pub seed: u64,
    /// Only stages whose names begin so; all of them where it is empty.
    pub only: Vec<String>,
    /// Only this case, as it is named in a report.
    pub case: Option<String>,
    /// Every point, in place of a sample.
    pub all: bool,
    /// Hosts of the lab stay for a person to look at, and are taken as they are the next time.
    pub keep: bool,
}

impl Choice {
    fn wants(&self, stage: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| stage.starts_with(o.as_str()))
    }

    fn count(&self, sample: usize, all: usize) -> usize {
        if self.all { all } else { sample }
    }
}

/// Of a run that is killed again and again every so many records are passed over.
const PASSED_OVER: usize = 8;
/// So often it is tried to see each record as the last one.
const TURNS: usize = 5;

/// Trials in course.
struct Course<'a> {
    choice: &'a Choice,
    table: Table,
    tell: fn(&str),
}

/// Tries all that was chosen, telling of each stage and of what is not as it should be.
///
/// # Errors
/// The harness itself cannot go on. What the program does wrong is in the table.
pub fn run(choice: &Choice, tell: fn(&str)) -> Result<Table> {
    let mut course = Course {
        choice,
        table: Table::default(),
        tell,
    };
    tell(&format!("seed {}", choice.seed));
    if !harm::can_follow() {
        skip(
            "crash: kills at every record",
            "strace cannot follow programs here",
        );
    }
    course.files_here()?;
    course.files_taken_back()?;
    course.full_disks()?;
    course.on_a_host()?;
    course.on_a_site()?;
    tell(&course.table.text());
    Ok(course.table)
}

impl Course<'_> {
    /// Generated playbooks on this machine.
    fn files_here(&mut self) -> Result<()> {
        for n in 0..self.choice.count(1, 3) {
            let name = format!("here-{n}");
            if self.choice.wants(&name) {
                let seed = self.choice.seed + n as u64;
                let stage = Files::new(&name, Place::here()?, seed, 13);
                self.try_all(&stage, (4, usize::MAX), (3, 20), &[])?;
            }
        }
        Ok(())
    }

    /// A run that was disturbed and resumed is taken back as one that was not.
    fn files_taken_back(&mut self) -> Result<()> {
        if self.choice.wants("back") {
            let seed = self.choice.seed + 20;
            let stage = Files::new("back", Place::here()?, seed, 13).taken_back();
            self.try_all(&stage, (3, 40), (0, 0), &[])?;
        }
        Ok(())
    }

    /// Disks that are full, here and on the host.
    fn full_disks(&mut self) -> Result<()> {
        let names = ["disk-of-controller", "disk-of-target"];
        if !names.iter().any(|n| self.choice.wants(n)) {
            return Ok(());
        }
        if let Some(why) = disk::refused() {
            skip("crash: full disks", &why);
            return Ok(());
        }
        let mut chance = Chance::new(self.choice.seed, "disks");
        if self.choice.wants(names[0]) {
            let stage = OfController::new(self.choice.seed + 50)?;
            let count = self.choice.count(2, 20);
            let sizes: Vec<Harm> = (0..count)
                .map(|_| full_at(4 * (8 + chance.below(120))))
                .collect();
            self.try_all(&stage, (0, 0), (0, 0), &sizes)?;
        }
        if self.choice.wants(names[1]) {
            let stage = OfTarget::new()?;
            let count = self.choice.count(2, 12);
            let sizes: Vec<Harm> = (0..count)
                .map(|_| full_at(4 * (1060 + chance.below(1000))))
                .collect();
            self.try_all(&stage, (0, 0), (0, 0), &sizes)?;
        }
        Ok(())
    }

    /// On a host of the lab over SSH: generated playbooks, resumed from here and from another machine; the line to it
    /// cut; a long command.
    fn on_a_host(&mut self) -> Result<()> {
        let names = ["ssh", "elsewhere", "cut", "long", "long-elsewhere"];
        let Some(host) = self.place_of(&names) else {
            return Ok(());
        };
        let Some(lab) = lab("crash: over SSH") else {
            return Ok(());
        };
        let seed = self.choice.seed + 100;
        let mut place = Place::host(&lab, &host)?;
        if self.choice.wants(names[0]) {
            let stage = Files::new(names[0], place, seed, 13);
            self.try_all(&stage, (3, usize::MAX), (2, 80), &[])?;
            place = stage.into_place();
        }
        if self.choice.wants(names[1]) {
            let stage = Files::new(names[1], place, seed + 1, 13).resumed_elsewhere();
            self.try_all(&stage, (0, 20), (1, 20), &[])?;
            place = stage.into_place();
        }
        if self.choice.wants(names[2]) {
            let stage = Files::new(names[2], place, seed + 2, 12);
            let bytes = stage.bytes()?;
            let mut chance = Chance::new(self.choice.seed, "bytes");
            let cuts: Vec<Harm> = (0..self.choice.count(4, 200))
                .map(|n| {
                    // Every other line comes back while the run waits for it.
                    let gone = Duration::from_millis(chance.below(3000));
                    Harm::Byte(chance.below(bytes), (n % 2 == 0).then_some(gone))
                })
                .collect();
            self.try_all(&stage, (0, 0), (0, 0), &cuts)?;
            place = stage.into_place();
        }
        for (name, elsewhere) in [(names[3], false), (names[4], true)] {
            if self.choice.wants(name) {
                let (takes, pause) = if self.choice.all { (30, 5) } else { (4, 1) };
                let stage = Long::new(place, takes, Duration::from_secs(pause), elsewhere);
                let killed = Harm::Own(KILLED.to_owned());
                self.try_all(&stage, (0, 0), (0, 0), &[killed])?;
                place = stage.into_place();
            }
        }
        place.gone()
    }

    /// On a site of the lab: containers, directory and database; their servers killed; the whole upgrade.
    fn on_a_site(&mut self) -> Result<()> {
        let names = ["services", "servers", "upgrade"];
        let Some(site) = self.place_of(&names) else {
            return Ok(());
        };
        let Some(lab) = lab("crash: on a site") else {
            return Ok(());
        };
        let there = lab.site(&site).ok().filter(|_| self.choice.keep);
        let site = match there {
            Some(site) => site,
            None => {
                let site = lab.new_site(&site, Hosts::One)?;
                site.keep()?;
                site
            }
        };
        let silent: fn(&str) = |_| {};
        let archive = Archive::new(site, program()?, silent)?;
        if self.choice.wants(names[0]) {
            let stage = Services::new(&archive, names[0])?;
            self.try_all(&stage, (1, usize::MAX), (1, 30), &[])?;
        }
        if self.choice.wants(names[1]) {
            let stage = Services::new(&archive, names[1])?;
            let mut chance = Chance::new(self.choice.seed, "servers");
            let mut kills = Vec::new();
            for (server, _) in SERVERS {
                for _ in 0..self.choice.count(1, 5) {
                    let at = 5 + chance.below(75);
                    kills.push(Harm::Own(format!("{server}-killed-at-{at}%")));
                }
            }
            self.try_all(&stage, (0, 0), (0, 0), &kills)?;
        }
        if self.choice.wants(names[2]) {
            let stage = Upgrade::new(&archive);
            self.try_all(&stage, (1, usize::MAX), (0, 10), &[])?;
        }
        if self.choice.keep {
            return Ok(());
        }
        archive.site().destroy()
    }

    /// The name of the site for those of these stages that are wanted. Calls for other stages have other ones, so that they can
    /// go side by side.
    fn place_of(&self, stages: &[&str]) -> Option<String> {
        let first = stages.iter().find(|stage| self.choice.wants(stage))?;
        Some(format!("crash-{first}"))
    }

    /// Disturbs a stage at flushes of the journal and at instants (of each as many as in a sample and in all), and in
    /// ways of its own.
    fn try_all(
        &mut self,
        stage: &dyn Stage,
        flushes: (usize, usize),
        instants: (usize, usize),
        own: &[Harm],
    ) -> Result<()> {
        let name = stage.name();
        let reference = match trial::reference(stage) {
            Ok(reference) => reference,
            Err(error) => {
                let why = format!("{error:#}");
                (self.tell)(&format!("{name}: {why}"));
                self.table.cannot(&name, &why);
                return Ok(());
            }
        };
        (self.tell)(&format!(
            "{name}: undisturbed in {:.1} s, {} records, {} flushes",
            reference.took.as_secs_f64(),
            reference.records.len(),
            reference.flushes.map_or("?".to_owned(), |f| f.to_string())
        ));
        let mut chance = Chance::new(self.choice.seed, &name);
        let all_points = self.choice.all && flushes.1 == usize::MAX && reference.flushes.is_some();
        let mut harms = match all_points {
            true => {
                let alone = (1..=reference.before_its_records()).map(Harm::Flush);
                let all = reference.missing(&BTreeSet::new());
                let every = |first: usize| {
                    let some = all.iter().skip(first).step_by(PASSED_OVER + 1);
                    Harm::Records(some.copied().collect())
                };
                alone.chain((0..=PASSED_OVER).map(every)).collect()
            }
            false => self.flushes(&reference, flushes, &mut chance),
        };
        for _ in 0..self.choice.count(instants.0, instants.1) {
            let most = u64::try_from(reference.took.as_micros())?;
            harms.push(Harm::Instant(Duration::from_micros(chance.below(most))));
        }
        harms.extend(own.iter().cloned());
        if let (Some(_), true, false) = (reference.flushes, flushes.1 > 0, all_points) {
            for _ in 0..2 {
                let first = 1 + chance.below(PASSED_OVER as u64);
                let then = PASSED_OVER as u64 + 1 + chance.below(20);
                harms.push(Harm::Every(u32::try_from(first)?, u32::try_from(then)?));
            }
        }
        // How many bytes there are, or how long it takes, differs from time to time: a case is found by its name alone.
        if let Some(named) = self.choice.case.as_deref().and_then(Harm::named) {
            harms = vec![named];
        }
        let mut seen = BTreeSet::new();
        for harm in &harms {
            self.try_one(stage, &reference, harm, &mut seen)?;
        }
        if all_points && self.choice.case.is_none() {
            self.those_missed(stage, &reference, &mut seen)?;
        }
        Ok(())
    }

    /// One case, if it was chosen. `seen` gets the last record of each branch, each time that it was resumed.
    fn try_one(
        &mut self,
        stage: &dyn Stage,
        reference: &Reference,
        harm: &Harm,
        seen: &mut BTreeSet<String>,
    ) -> Result<()> {
        let case = self.choice.case.as_ref();
        if case.is_some_and(|case| *case != harm.to_string()) {
            return Ok(());
        }
        let begin = Instant::now();
        let outcome = trial::one(stage, reference, harm)?;
        seen.extend(outcome.seen.iter().cloned());
        let name = stage.name();
        if self.choice.all {
            let took = begin.elapsed().as_secs_f64();
            (self.tell)(&format!(
                "{name}, {harm}: resumed {} times, {took:.1} s",
                outcome.ends
            ));
        }
        if outcome.obeyed {
            (self.tell)(&format!(
                "{name}, {harm}: went on after what it had asked for was done"
            ));
        }
        let again = format!(
            "cargo xtask crash --seed {}{} --only {name} --case {harm}",
            self.choice.seed,
            if self.choice.all { " --all" } else { "" },
        );
        let failed = self.table.failed();
        self.table.add(&name, &outcome, &again);
        if self.table.failed() > failed {
            (self.tell)(self.table.last_failure().unwrap_or_default());
        }
        Ok(())
    }

    /// Whoever claims to have killed it after every record has to have seen each as the last one of its branch: those that
    /// were not are tried once more.
    fn those_missed(
        &mut self,
        stage: &dyn Stage,
        reference: &Reference,
        seen: &mut BTreeSet<String>,
    ) -> Result<()> {
        for _ in 0..TURNS {
            let missing = reference.missing(seen);
            if missing.is_empty() {
                return Ok(());
            }
            self.try_one(stage, reference, &Harm::Records(missing), seen)?;
        }
        let mut missed = reference.records.iter().filter(|r| !seen.contains(*r));
        if let Some(first) = missed.next() {
            let name = stage.name();
            let more = missed.count();
            let why = format!("never killed after the record {first}, and {more} more");
            (self.tell)(&format!("{name}: {why}"));
            self.table.cannot(&name, &why);
        }
        Ok(())
    }

    fn flushes(
        &self,
        reference: &Reference,
        counts: (usize, usize),
        chance: &mut Chance,
    ) -> Vec<Harm> {
        let every: Vec<Harm> = (1..=reference.flushes.unwrap_or(0))
            .map(Harm::Flush)
            .collect();
        chance.some_of(&every, self.choice.count(counts.0, counts.1))
    }
}

/// The lab where it is up; else it is said by name that it is not.
fn lab(what: &str) -> Option<Lab> {
    match Lab::ready() {
        Ok(lab) => Some(lab),
        Err(why) => {
            skip(what, &format!("{why:#}"));
            None
        }
    }
}
