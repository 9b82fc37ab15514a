//! One step of the way back, as a module sees it: from the states that are to the states that were. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::aside::{Aside, Whereabouts};
use super::choice::Choice;
use crate::journal::ChangeRecord;
use crate::module::{Footprint, Mark, Stop, Wanted, WantedState};
use crate::registry::{Prepared, Registry};
use crate::resource::{Ref, Reversible};
use crate::value::Value;
use crate::world::View;

/// How often a resource that stays is named in a note before the rest is counted.
const NAMED: usize = 5;

/// What lies within the things that a run made, as read when the rollback began.
pub type Within = BTreeMap<Ref, Result<Vec<Ref>, String>>;

/// The changes of one step, to be taken back.
pub struct Back<'a> {
    /// The kinds.
    pub registry: &'a Arc<Registry>,
    /// The changes.
    pub changes: &'a [ChangeRecord],
    /// What goes back although others have changed it, or although it could stay.
    pub choice: &'a Choice,
    /// What lies within the things that were made.
    pub within: &'a Within,
    /// What this rollback has taken back so far: it does not hold the thing that it lay in.
    pub gone: &'a Mutex<BTreeSet<Ref>>,
    /// What commands of the run have made, which stays.
    pub made: &'a [Mark],
    /// Changes before these, of the same resources, that this rollback takes back, too.
    pub earlier: &'a [&'a ChangeRecord],
    /// What the step had put aside.
    pub asides: &'a [Aside],
    /// What this rollback has left so far.
    pub left: &'a BTreeSet<Ref>,
    /// What this step leaves.
    pub leaves: &'a Mutex<BTreeSet<Ref>>,
}

/// What becomes of one change.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It is as it was before the change.
    Already,
    /// This is wanted.
    Wanted(Json),
    /// It could go back, and is left as it is, for this reason.
    Left(String),
    /// Going back leaves it by itself, for this reason.
    Stays(String),
    /// There is no way back, for this reason.
    Never(String),
}

impl Back<'_> {
    /// What becomes of a change, with the resource in the state `now`. `going`: what the same step takes back.
    #[must_use]
    pub fn fate(&self, record: &ChangeRecord, now: &Json, going: &BTreeSet<Ref>) -> Fate {
        let key = &record.key;
        let Some(kind) = self.registry.find_kind(&key.kind) else {
            return Fate::Never(format!("there is no resource kind `{}`", key.kind));
        };
        let change = record.erased();
        match &record.reversible {
            Reversible::Never(why) => return Fate::Never(why.clone()),
            Reversible::Stays(why) if !self.choice.includes(key) => {
                return Fate::Stays(why.clone());
            }
            _ => {}
        }
        let Some(want) = kind.back(&change) else {
            return match &record.reversible {
                Reversible::Stays(why) => Fate::Never(why.clone()),
                _ => Fate::Never("it cannot be said what it was".to_owned()),
            };
        };
        match kind.differences(&want, now) {
            // While the one that was there lies aside, what looks like it is another one.
            Ok(lines) if lines.is_empty() => {
                return match self.aside(key, Whereabouts::There) {
                    Some(aside) if !kind.is_whole(&record.from) => Fate::Left(format!(
                        "others have made one of that name since; the one that was there is kept as {}: move the new one \
                         away and take the run back again",
                        aside.kept.place
                    )),
                    _ => Fate::Already,
                };
            }
            Ok(_) => {}
            Err(why) => return Fate::Never(why),
        }
        let still = kind.still(&change, now);
        if !still && self.is_before(record, now) {
            return Fate::Already;
        }
        if self.aside(key, Whereabouts::Closed).is_some() {
            return Fate::Left(
                "the run was closed: what was kept aside to take it back with is removed"
                    .to_owned(),
            );
        }
        if let Some(aside) = self.aside(key, Whereabouts::Gone) {
            return Fate::Left(format!(
                "what was kept aside to take it back with is gone: {}",
                aside.kept.place
            ));
        }
        if !still && self.left.contains(key) && !self.choice.overwrites(key) {
            return Fate::Left("what came after it was left, too".to_owned());
        }
        if !still && !self.choice.overwrites(key) {
            return Fate::Left(format!(
                "others have changed it since; `--overwrite {key}` takes it back all the same"
            ));
        }
        match self.within.get(key) {
            Some(Ok(inside)) => {
                let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
                let others: Vec<&Ref> = inside
                    .iter()
                    .filter(|k| !gone.contains(k) && !going.contains(k))
                    .collect();
                let theirs = others.iter().find(|other| !self.is_made(other));
                if let Some(first) = theirs.or(others.first())
                    && !self.choice.overwrites(key)
                {
                    let more = match others.len() {
                        1 => String::new(),
                        n => format!(" and {} more", n - 1),
                    };
                    if theirs.is_none() {
                        return Fate::Stays(format!(
                            "it holds what commands of the run have made: {}{more}",
                            first.id
                        ));
                    }
                    return Fate::Left(format!(
                        "it still holds {}{more}; `--overwrite {key}` takes all of it away",
                        first.id
                    ));
                }
            }
            Some(Err(why)) => {
                return Fate::Left(format!("it is not known what it holds now: {why}"));
            }
            None => {}
        }
        Fate::Wanted(want)
    }
}

impl Back<'_> {
    /// Has a command of the run made it, or something in it?
    fn is_made(&self, other: &Ref) -> bool {
        let other = Mark {
            kind: other.kind.clone(),
            id: other.id.clone(),
        };
        self.made.iter().any(|mark| mark.overlaps(&other))
    }

    /// What becomes of each change. What stays keeps what holds it, though the same step has made both.
    fn fates(&self, world: &View<'_>) -> Result<Vec<Fate>, Stop> {
        let states: Vec<Json> = self
            .changes
            .iter()
            .map(|record| world.state(&record.key))
            .collect::<Result<_, _>>()?;
        let mut going: BTreeSet<Ref> = self.changes.iter().map(|c| c.key.clone()).collect();
        loop {
            let with_states = self.changes.iter().zip(&states);
            let fates: Vec<Fate> = with_states
                .map(|(record, now)| self.fate(record, now, &going))
                .collect();
            let mut still_going = going.clone();
            for (record, fate) in self.changes.iter().zip(&fates) {
                if !matches!(fate, Fate::Wanted(_) | Fate::Already) {
                    still_going.remove(&record.key);
                }
            }
            // It only ever grows smaller.
            if still_going == going {
                return Ok(fates);
            }
            going = still_going;
        }
    }

    /// What the change of a resource had put aside, where that has become of it.
    fn aside(&self, key: &Ref, is: Whereabouts) -> Option<&Aside> {
        self.asides.iter().find(|a| a.is == is && a.is_of(key))
    }

    /// Is the resource as it was before a still earlier change of this run? Then it has gone the whole way.
    fn is_before(&self, record: &ChangeRecord, now: &Json) -> bool {
        let Some(kind) = self.registry.find_kind(&record.key.kind) else {
            return false;
        };
        let of_it = self.earlier.iter().filter(|c| c.key == record.key);
        let mut wanted = of_it.filter_map(|c| kind.back(&c.erased()));
        wanted.any(|want| {
            kind.differences(&want, now)
                .is_ok_and(|lines| lines.is_empty())
        })
    }
}

impl Prepared for Back<'_> {
    fn touches(&self) -> Footprint {
        self.changes
            .iter()
            .fold(Footprint::nothing(), |footprint, record| {
                footprint.writes(&record.key.kind, record.key.id.clone())
            })
    }

    fn want(&self, world: &View<'_>) -> Result<Wanted, Stop> {
        let keys: Vec<Ref> = self.changes.iter().map(|c| c.key.clone()).collect();
        world.need(&keys)?;
        let fates = self.fates(world)?;
        let mut wanted = Wanted::nothing();
        let mut left: IndexMap<String, Vec<String>> = IndexMap::new();
        let mut counts = Counts::default();
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        leaves.clear();
        // The last that was written goes back first.
        for (record, fate) in self.changes.iter().zip(fates).rev() {
            let why = match fate {
                Fate::Already => {
                    counts.already += 1;
                    continue;
                }
                Fate::Wanted(want) => {
                    wanted.resources.push(WantedState {
                        key: record.key.clone(),
                        want,
                    });
                    continue;
                }
                Fate::Left(why) => {
                    counts.left += 1;
                    leaves.insert(record.key.clone());
                    format!("left: {}", why.replace(&record.key.to_string(), "KEY"))
                }
                Fate::Stays(why) => {
                    counts.stays += 1;
                    format!("stays: {why}")
                }
                Fate::Never(why) => {
                    counts.never += 1;
                    format!("cannot go back: {why}")
                }
            };
            left.entry(why).or_default().push(record.key.to_string());
        }
        for (why, mut keys) in left {
            let more = keys.len().saturating_sub(NAMED);
            keys.truncate(NAMED);
            let why = match keys.as_slice() {
                [only] if more == 0 => why.replace("KEY", only),
                _ => why,
            };
            let more = match more {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            wanted
                .notes
                .push(format!("{}{more}: {why}", keys.join(", ")));
        }
        wanted.facts = counts.facts();
        Ok(wanted)
    }

    fn output(&self, _before: &View<'_>, _after: &View<'_>) -> IndexMap<String, Value> {
        IndexMap::new()
    }
}

/// How many changes of a step are not taken back, and why.
#[derive(Default)]
struct Counts {
    already: i64,
    left: i64,
    stays: i64,
    never: i64,
}

impl Counts {
    fn facts(&self) -> IndexMap<String, Value> {
        let counts = [
            ("already", self.already),
            ("left", self.left),
            ("stays", self.stays),
            ("never", self.never),
        ];
        counts
            .into_iter()
            .map(|(name, n)| (name.to_owned(), Value::Int(n)))
            .collect()
    }
}
