//! One stage, disturbed again and again: the end state after `runbook resume` against that of a run that nobody has
//! disturbed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::harm::{self, Ended, Going, Harm};
use super::progress;
use crate::Scene;

/// No run is killed more often than this.
const MOST: usize = 200;

/// What a stage is after a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// All that a person means by the state, a line each.
    pub lines: BTreeSet<String>,
    /// How often each command ran, as it has counted itself.
    pub counts: BTreeMap<String, usize>,
    /// What bears a name of ours or lies where nothing was before, by the name under which the program lists it.
    pub aside: BTreeSet<String>,
}

/// Where runs are carried out and disturbed.
pub trait Stage {
    /// Its name, by which it is chosen.
    fn name(&self) -> String;

    /// Makes all of it as it was before any run, and gives a folder with playbooks and without runs.
    ///
    /// # Errors
    /// What could not be made.
    fn fresh(&self) -> Result<Scene>;

    /// The arguments of the call that is disturbed.
    fn play(&self) -> Vec<String>;

    /// Looks at it with other programs than ours. `runs` are the ids of the runs in the journal.
    ///
    /// # Errors
    /// What could not be looked at.
    fn look(&self, runs: &[String]) -> Result<State>;

    /// Carries out the call and does what only this stage can do.
    ///
    /// # Errors
    /// It cannot be done.
    fn disturb(&self, _scene: &Scene, harm: &Harm) -> Result<Ended> {
        anyhow::bail!("{} does not know of {harm}", self.name())
    }

    /// Puts right what was broken, before the run is resumed.
    ///
    /// # Errors
    /// What stays broken.
    fn mend(&self, _scene: &Scene) -> Result<()> {
        Ok(())
    }

    /// Does what a resumed run that has failed asks a person to do; whether there was anything. It is resumed again then.
    ///
    /// # Errors
    /// It cannot be done.
    fn obey(&self, _said: &str) -> Result<bool> {
        Ok(false)
    }

    /// Where the run is resumed, and with which arguments beside `resume -y`: elsewhere, where another machine does it.
    ///
    /// # Errors
    /// What could not be prepared.
    fn resumed_by(&self, _scene: &Scene) -> Result<Option<(Scene, Vec<String>)>> {
        Ok(None)
    }

    /// The run is taken back at its end, in place of being closed at once: what comes of that is compared, too.
    fn is_taken_back(&self) -> bool {
        false
    }

    /// Looks at what the call has said before it was resumed; an error where it should have said something else.
    ///
    /// # Errors
    /// What is wrong with it.
    fn heard(&self, _harm: &Harm, _ended: &Ended) -> Result<()> {
        Ok(())
    }
}

/// What comes of a run that nobody disturbs.
pub struct Reference {
    /// Exit code.
    pub code: i32,
    /// How long it takes.
    pub took: Duration,
    /// How often the journal is flushed; none where that cannot be seen here.
    pub flushes: Option<u32>,
    /// The records that its journal has every time, as [`progress`] names them.
    pub records: Vec<String>,
    order: progress::Order,
    before_close: State,
    after_close: State,
    kept_of: BTreeSet<String>,
}

impl Reference {
    /// How often the journal is flushed for something else than its records, most of it while the journal is made.
    #[must_use]
    pub fn before_its_records(&self) -> u32 {
        let records = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        self.flushes.unwrap_or(0).saturating_sub(records)
    }

    /// Its records in the order of their names, which is the same each time.
    fn sorted(&self) -> BTreeSet<&String> {
        self.records.iter().collect()
    }

    /// The records of these numbers.
    fn named(&self, numbers: &BTreeSet<usize>) -> BTreeSet<String> {
        let numbered = self.sorted().into_iter().enumerate();
        let chosen = numbered.filter(|(number, _)| numbers.contains(number));
        chosen.map(|(_, record)| record.clone()).collect()
    }

    /// The numbers of those records that are not among these.
    #[must_use]
    pub fn missing(&self, seen: &BTreeSet<String>) -> BTreeSet<usize> {
        let numbered = self.sorted().into_iter().enumerate();
        let missing = numbered.filter(|(_, record)| !seen.contains(*record));
        missing.map(|(number, _)| number).collect()
    }
}

/// What came of one disturbed run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was done to it.
    pub harm: String,
    /// It was not over by then.
    pub disturbed: bool,
    /// How often the program was ended before its time.
    pub ends: usize,
    /// The last record of each branch in the journal, each time that it was resumed.
    pub seen: Vec<String>,
    /// A resumed run has failed and said what to do; it was done, and the run was resumed again.
    pub obeyed: bool,
    /// What is not as it should be.
    pub misses: Vec<Miss>,
    /// How the disturbed call itself ended, where it was not killed.
    pub said: Option<String>,
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// A call ends otherwise, or says something else.
    Call(String),
    /// The state is another one.
    State(String),
    /// A command did not run as often.
    Count(String),
    /// Something is left that nobody names, or is missing that is named.
    Left(String),
}

impl Miss {
    /// For people.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Call(text) | Self::State(text) | Self::Count(text) | Self::Left(text) => text,
        }
    }
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// A call that has to end with this code.
pub(super) fn call(scene: &Scene, args: &[&str], code: i32) -> Result<Ended> {
    let ended = Going::start(scene, &[], args)?.end()?;
    ensure!(
        ended.code == Some(code),
        "`runbook {}` ended with {:?}, not {code}\n{}{}",
        args.join(" "),
        ended.code,
        ended.out,
        ended.err
    );
    Ok(ended)
}

/// The runs in the journal, oldest first.
fn runs(scene: &Scene) -> Result<Vec<String>> {
    let listed = call(scene, &["runs", "--output", "json"], 0)?;
    let ids = listed.out.lines().map(|line| {
        let run: Value = serde_json::from_str(line)?;
        let id = run["run"].as_str().context("a run without an id")?;
        Ok(id.to_owned())
    });
    ids.collect()
}

/// What runs say that they keep aside: place and what it is of.
fn kept(scene: &Scene, runs: &[String]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for run in runs {
        // Without a terminal and without `-y` it lists, and removes nothing.
        let listed = Going::start(scene, &[], &["close", run])?.end()?;
        for line in listed.out.lines() {
            let parts = line.split_once(": ").and_then(|(_, rest)| {
                let (place, of) = rest.rsplit_once(" (")?;
                Some((place, of.strip_suffix(')')?))
            });
            if let Some((place, of)) = parts {
                // A copy of what a container mounts is called so.
                let place = place.strip_prefix("copy:").unwrap_or(place);
                found.insert(place.to_owned(), of.to_owned());
            }
        }
    }
    Ok(found)
}

/// Takes the run back where the stage wants that; the runs that there are then.
fn taken_back(stage: &dyn Stage, scene: &Scene, before: Vec<String>) -> Result<Vec<String>> {
    if !stage.is_taken_back() {
        return Ok(before);
    }
    call(scene, &["rollback", "-y"], 0)?;
    runs(scene)
}

fn close(scene: &Scene, runs: &[String]) -> Result<()> {
    for run in runs {
        call(scene, &["close", run, "-y"], 0)?;
    }
    Ok(())
}

/// Carries out the call undisturbed: once as it is, to know how long it takes, and once followed, to know how often the
/// journal is flushed. Both have to end in the same state, else nothing could be said of a third run.
///
/// # Errors
/// It fails, or no two runs end alike.
pub fn reference(stage: &dyn Stage) -> Result<Reference> {
    let args = stage.play();
    let args = words(&args);
    let undisturbed = |followed: bool| -> Result<(Reference, State)> {
        let scene = stage.fresh()?;
        let (ended, flushes) = if followed {
            let (ended, flushes) = harm::counted(&scene, &args)?;
            (ended, Some(flushes))
        } else {
            (Going::start(&scene, &[], &args)?.end()?, None)
        };
        let code = ended.code.context("the undisturbed run was killed")?;
        ensure!(
            code == 0,
            "the undisturbed run ends with {code}\n{}{}",
            ended.out,
            ended.err
        );
        let runs = runs(&scene)?;
        let before_close = stage.look(&runs)?;
        let kept = kept(&scene, &runs)?;
        for one in &before_close.aside {
            ensure!(kept.contains_key(one), "undisturbed, it leaves {one}");
        }
        let records = progress::of(&scene, &runs)?;
        let runs = taken_back(stage, &scene, runs)?;
        close(&scene, &runs)?;
        let after_close = stage.look(&runs)?;
        ensure!(
            after_close.aside.is_empty(),
            "undisturbed and closed, it leaves {:?}",
            after_close.aside
        );
        let reference = Reference {
            code,
            took: ended.took,
            flushes,
            records,
            order: progress::Order::of(&scene, &args)?,
            kept_of: kept.into_values().collect(),
            before_close: before_close.clone(),
            after_close,
        };
        Ok((reference, before_close))
    };
    let (mut reference, first) = undisturbed(false)?;
    if harm::can_follow() {
        let (followed, second) = undisturbed(true)?;
        let differs = compared(&first, &second);
        ensure!(
            differs.is_empty(),
            "two undisturbed runs end differently: {differs:#?}"
        );
        reference.flushes = followed.flushes;
        // How often something is tried until it is right depends on the moment.
        let records = std::mem::take(&mut reference.records).into_iter();
        reference.records = records.filter(|r| followed.records.contains(r)).collect();
    }
    Ok(reference)
}

/// What is otherwise in the second, but for what is kept aside.
fn compared(expected: &State, found: &State) -> Vec<Miss> {
    let gone = expected.lines.difference(&found.lines);
    let new = found.lines.difference(&expected.lines);
    let mut misses: Vec<Miss> = gone.map(|l| Miss::State(format!("state: - {l}"))).collect();
    misses.extend(new.map(|l| Miss::State(format!("state: + {l}"))));
    let names: BTreeSet<&String> = expected.counts.keys().chain(found.counts.keys()).collect();
    for name in names {
        let of = |state: &State| state.counts.get(name).copied().unwrap_or(0);
        let (wanted, ran) = (of(expected), of(found));
        if wanted != ran {
            let text = format!("command {name}: it ran {ran} times, not {wanted}");
            misses.push(Miss::Count(text));
        }
    }
    misses
}

/// Kills a call at the first of these flushes, and whatever resumes it at the second, until a resumed run comes to its
/// end. `seen` gets the journal's records after each kill. Gives how the last call ended: killed, where it was before the
/// run had begun.
fn every(
    scene: &Scene,
    args: &[&str],
    (first, then): (u32, u32),
    seen: &mut Vec<Vec<String>>,
) -> Result<Ended> {
    let mut ended = harm::killed_at_flush(scene, args, first)?;
    while ended.code.is_none() {
        let begun = runs(scene)?;
        if begun.is_empty() {
            break;
        }
        ensure!(
            seen.len() < MOST,
            "killed {MOST} times, the run has come no further than {:?}",
            seen.last().and_then(|records| records.last())
        );
        seen.push(progress::of(scene, &begun)?);
        ended = harm::killed_at_flush(scene, &["resume", "-y"], then)?;
    }
    Ok(ended)
}

/// Kills a call, and whatever resumes it, whenever one of these records has come to the journal, until none of them is left.
/// `seen` gets the journal's records after each kill. Gives how the last call ended, as [`every`] does.
fn after_records(
    scene: &Scene,
    args: &[&str],
    mut left: BTreeSet<String>,
    seen: &mut Vec<Vec<String>>,
) -> Result<Ended> {
    let mut ended = harm::killed_after_record(scene, args, &left)?;
    while ended.code.is_none() {
        let begun = runs(scene)?;
        if begun.is_empty() {
            break;
        }
        let records = progress::of(scene, &begun)?;
        let before = left.len();
        left.retain(|record| !records.contains(record));
        ensure!(
            left.len() < before,
            "killed, and none of {left:?} is in the journal"
        );
        seen.push(records);
        ended = harm::killed_after_record(scene, &["resume", "-y"], &left)?;
    }
    Ok(ended)
}

/// Disturbs one run, resumes it, and looks at what came of it.
///
/// # Errors
/// The harness itself cannot go on; what the program does wrong is in the outcome.
pub fn one(stage: &dyn Stage, reference: &Reference, harm: &Harm) -> Result<Outcome> {
    let scene = stage.fresh()?;
    let args = stage.play();
    let args = words(&args);
    let mut seen = Vec::new();
    let ended = match harm {
        Harm::Flush(n) => harm::killed_at_flush(&scene, &args, *n)?,
        Harm::Every(n, m) => every(&scene, &args, (*n, *m), &mut seen)?,
        Harm::Records(numbers) => {
            let wanted = reference.named(numbers);
            after_records(&scene, &args, wanted, &mut seen)?
        }
        Harm::Instant(after) => harm::killed_after(&scene, &args, *after)?,
        Harm::Byte(..) | Harm::Own(_) => stage.disturb(&scene, harm)?,
    };
    let mut outcome = Outcome {
        harm: harm.to_string(),
        // Of a line that was cut and of a server that was killed a run may get over by itself.
        disturbed: matches!(harm, Harm::Byte(..) | Harm::Own(_)) && ended.in_time
            || !seen.is_empty()
            || ended.code != Some(reference.code),
        ends: seen.len(),
        seen: seen
            .iter()
            .flat_map(|records| reference.order.last(records))
            .collect(),
        obeyed: false,
        misses: Vec::new(),
        said: ended.code.map(|code| {
            let mut last: Vec<&str> = ended.out.lines().rev().take(12).collect();
            last.reverse();
            format!(
                "it had ended with {code}: {}\n{}",
                ended.err,
                last.join("\n")
            )
        }),
    };
    if let (Harm::Every(..) | Harm::Records(_), Some(code)) = (harm, ended.code)
        && code != reference.code
    {
        outcome.misses.push(Miss::Call(format!(
            "after {} kills `resume -y` ended with {code}, not {}",
            outcome.ends, reference.code
        )));
    }
    if let Err(wrong) = stage.heard(harm, &ended) {
        outcome.misses.push(Miss::Call(format!("{wrong:#}")));
    }
    stage.mend(&scene)?;
    if let Err(wrong) = finish(stage, reference, &scene, &ended, &mut outcome) {
        outcome.misses.push(Miss::Call(format!("{wrong:#}")));
    }
    Ok(outcome)
}

fn finish(
    stage: &dyn Stage,
    reference: &Reference,
    scene: &Scene,
    ended: &Ended,
    outcome: &mut Outcome,
) -> Result<()> {
    let elsewhere = stage.resumed_by(scene)?;
    let mut by = scene;
    if ended.code != Some(reference.code) {
        let begun = runs(scene)?;
        outcome.ends += 1;
        let records = progress::of(scene, &begun)?;
        outcome.seen.extend(reference.order.last(&records));
        if let Some((other, more)) = &elsewhere {
            by = other;
            let mut args = vec!["resume", "-y"];
            args.extend(more.iter().map(String::as_str));
            let resumed = Going::start(other, &[], &args)?.end()?;
            let over = |record: &String| record.ends_with(" run-finished");
            let none = resumed.err.contains("there is no copy of a run");
            if none && records.last().is_some_and(over) {
                // It was killed when all was done and its copies were gone: there is nothing to go on with.
                by = scene;
            } else if none {
                // It was killed before it had begun anything on the host, perhaps with the lock in its hands: who comes
                // from elsewhere gives that back as the message says, and begins.
                let inventory = more.iter().skip_while(|word| *word != "-i").nth(1);
                let inventory = inventory.context("no inventory is named")?;
                Going::start(other, &[], &["unlock", "-i", inventory, "-y"])?.end()?;
                call(other, &words(&stage.play()), reference.code)?;
            } else if resumed.code != Some(reference.code) {
                bail!(
                    "`runbook {}` ended with {:?}, not {}\n{}{}",
                    args.join(" "),
                    resumed.code,
                    reference.code,
                    resumed.out,
                    resumed.err
                );
            }
        } else if begun.is_empty() {
            // It was killed before it had begun: there is nothing to go on with.
            call(scene, &words(&stage.play()), reference.code)?;
        } else {
            let resumed = scene.runbook(&["resume", "-y"])?;
            if resumed.code == reference.code || !stage.obey(&resumed.text())? {
                ensure!(
                    resumed.code == reference.code,
                    "`runbook resume -y` ended with {}, not {}\n{}",
                    resumed.code,
                    reference.code,
                    resumed.text()
                );
            } else {
                outcome.obeyed = true;
                call(scene, &["resume", "-y"], reference.code)?;
            }
        }
    }
    let runs = runs(by)?;
    let found = stage.look(&runs)?;
    outcome
        .misses
        .extend(compared(&reference.before_close, &found));
    let kept = kept(by, &runs)?;
    for one in &found.aside {
        if !kept.contains_key(one) {
            outcome
                .misses
                .push(Miss::Left(format!("left, and not named: {one}")));
        }
    }
    for (place, of) in &kept {
        if !found.aside.contains(place) {
            let text = format!("named as kept, and not there: {place} ({of})");
            outcome.misses.push(Miss::Left(text));
        }
    }
    let kept_of: BTreeSet<String> = kept.into_values().collect();
    for of in reference.kept_of.symmetric_difference(&kept_of) {
        let text = if kept_of.contains(of) {
            format!("{of} is kept aside, and is not in an undisturbed run")
        } else {
            format!("{of} is not kept aside, and is in an undisturbed run")
        };
        outcome.misses.push(Miss::Left(text));
    }
    let runs = taken_back(stage, by, runs)?;
    close(by, &runs)?;
    let closed = stage.look(&runs)?;
    for one in &closed.aside {
        outcome
            .misses
            .push(Miss::Left(format!("left after close: {one}")));
    }
    let after = compared(&reference.after_close, &closed);
    for miss in after {
        if !outcome.misses.contains(&miss) {
            outcome.misses.push(miss);
        }
    }
    Ok(())
}
