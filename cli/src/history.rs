//! The runs of this project in a few words each, and which of them is meant where none is named.

use std::collections::BTreeSet;

use runbook_engine::journal::{self, Entry, Journal, NodeStatus, Record, RunSummary};
use runbook_engine::lock::{Controller, Trace};
use runbook_engine::rollback::{Did, Told};

use crate::lookup;
use crate::request::Request;

/// All runs of the journal.
pub struct History {
    /// The oldest first.
    pub runs: Vec<Found>,
}

/// A run of the journal.
pub enum Found {
    /// One that can be read.
    Known(Box<Brief>),
    /// One that cannot.
    Unreadable {
        /// Its id.
        run: String,
        /// RFC 3339, UTC.
        started: String,
        /// Why.
        why: String,
    },
}

/// A host and the id of a node.
type Place = (String, String);

/// A run in a few words.
pub struct Brief {
    /// Its id.
    pub run: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// The playbooks, or the run that it took back.
    pub what: String,
    /// How it ended; `None`: it goes on, or was cut off.
    pub ending: Option<RunSummary>,
    /// How many tasks changed something; one that was run again, and changed something again, counts again.
    pub changed: usize,
    /// How many things it keeps aside on the hosts.
    pub kept: usize,
    /// The run that it takes back.
    pub takes_back: Option<String>,
    /// All that was asked for.
    asked: serde_json::Value,
    /// It can be gone on with.
    resumable: bool,
    /// It began to write or to act.
    began: bool,
    /// Where it did anything.
    did: BTreeSet<Place>,
    /// Where it did something that could be taken back.
    wrote: BTreeSet<Place>,
    /// What came to its end, and of a rollback what went back.
    ended: BTreeSet<Place>,
}

impl Brief {
    fn of(run: &str, entries: &[Entry]) -> Self {
        let told = Told::from_entries(entries);
        let mut brief = Self {
            run: run.to_owned(),
            started: entries.first().map(|e| e.at.clone()).unwrap_or_default(),
            what: match &told.takes_back {
                Some(of) => format!("rollback of {of}"),
                None => told.playbooks.join(" "),
            },
            ending: journal::ending(entries).cloned(),
            changed: 0,
            kept: told.kept.values().map(Vec::len).sum(),
            takes_back: told.takes_back,
            asked: serde_json::Value::Null,
            resumable: Request::of(entries).is_some(),
            began: entries.iter().any(|entry| entry.acts_on().is_some()),
            wrote: (told.steps.iter())
                .filter(|step| matches!(step.did, Did::Changes(_)))
                .map(|step| (step.host.clone(), step.node.clone()))
                .collect(),
            did: told.steps.into_iter().map(|s| (s.host, s.node)).collect(),
            ended: BTreeSet::new(),
        };
        for entry in entries {
            match &entry.record {
                Record::RunStarted { asked, .. } => brief.asked = asked.clone(),
                Record::NodeFinished { status, .. } => {
                    brief.changed += usize::from(*status == NodeStatus::Changed);
                    // A step of a rollback that is skipped was not taken back, but for a command, which cannot be.
                    if matches!(status, NodeStatus::Ok | NodeStatus::Changed) {
                        let place = (entry.host.clone(), entry.node.clone());
                        brief.ended.insert(place);
                    }
                }
                _ => {}
            }
        }
        brief
    }

    fn is_good(&self) -> bool {
        self.ending.as_ref().is_some_and(RunSummary::is_good)
    }

    /// It was refused, since others work there, before it began anything.
    fn was_refused(&self) -> bool {
        let locked = |summary: &RunSummary| {
            let mut hosts = summary.hosts.values();
            hosts.any(|by| by.contains_key("locked"))
        };
        !self.began && self.ending.as_ref().is_some_and(locked)
    }

    /// In a word: `done`, `failed`, `unreachable`, `locked`, `interrupted`, or `unfinished`.
    pub fn outcome(&self) -> &'static str {
        let Some(summary) = &self.ending else {
            return "unfinished";
        };
        let any = |word: &str| summary.hosts.values().any(|by| by.contains_key(word));
        let bad = ["failed", "unreachable", "locked"];
        match bad.into_iter().find(|word| any(word)) {
            _ if summary.interrupted => "interrupted",
            Some(word) => word,
            None => "done",
        }
    }
}

impl History {
    /// Reads the journal. A run that cannot be read keeps nobody from the others.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn of(journal: &Journal) -> anyhow::Result<Self> {
        let mut runs = Vec::new();
        for line in journal.runs()? {
            runs.push(match journal.read(&line.run) {
                Ok(entries) => Found::Known(Box::new(Brief::of(&line.run, &entries))),
                Err(error) if error.is_of_one_run() => Found::Unreadable {
                    run: line.run,
                    started: line.started,
                    why: error.to_string(),
                },
                Err(error) => return Err(error.into()),
            });
        }
        Ok(Self { runs })
    }

    /// Those that can be read, the newest first.
    fn newest(&self) -> impl Iterator<Item = &Brief> {
        self.runs.iter().rev().filter_map(|found| match found {
            Found::Known(brief) => Some(&**brief),
            Found::Unreadable { .. } => None,
        })
    }

    /// The last run that can be read.
    pub fn last(&self) -> Option<&Brief> {
        self.newest().next()
    }

    /// The rollbacks of a run that did not come to their end, but for the one that is gone on with.
    pub fn cut_off_on_the_way_back(&self, of: &str, but: Option<&str>) -> Vec<String> {
        let open = self.backs(of).filter(|back| back.ending.is_none());
        let others = open.filter(|back| Some(back.run.as_str()) != but);
        others.map(|back| back.run.clone()).collect()
    }

    /// Was this one, which takes a run back, followed by another that does, and came to its end?
    pub fn is_followed(&self, brief: &Brief) -> bool {
        let Some(of) = &brief.takes_back else {
            return false;
        };
        let mut later = self.backs(of).take_while(|back| back.run != brief.run);
        later.any(|back| back.ending.is_some())
    }

    /// The last run that wrote anything, forwards or back.
    pub fn last_that_wrote(&self) -> Option<&Brief> {
        self.newest().find(|brief| !brief.wrote.is_empty())
    }

    /// The runs that take this one back, the newest first.
    fn backs<'a>(&'a self, run: &'a str) -> impl Iterator<Item = &'a Brief> {
        self.newest()
            .filter(move |back| back.takes_back.as_deref() == Some(run))
    }

    /// The last run that has taken this one back, and whether nothing of it is left to take back.
    pub fn taken_back(&self, brief: &Brief) -> Option<(&str, bool)> {
        // A way back that was taken back itself has changed nothing in the end.
        let stands = |back: &&Brief| !self.is_back_whole(back);
        let gone: BTreeSet<&Place> = self
            .backs(&brief.run)
            .filter(stands)
            .flat_map(|back| &back.ended)
            .collect();
        let whole = brief.wrote.iter().all(|place| gone.contains(place));
        let last = self
            .newest()
            .find(|b| b.takes_back.as_ref() == Some(&brief.run))?;
        Some((&last.run, whole))
    }

    fn is_back_whole(&self, brief: &Brief) -> bool {
        self.taken_back(brief).is_some_and(|(_, whole)| whole)
    }

    /// The last run that did not come to a good end and was not taken back. One that was refused before it began is none;
    /// nor is one that was called again just so, with success.
    pub fn to_resume(&self) -> Option<&Brief> {
        let mut done = Vec::new();
        self.newest().find(|brief| {
            if brief.is_good() {
                done.push(&brief.asked);
            }
            let open = brief.resumable && !brief.is_good() && !brief.was_refused();
            open && self.taken_back(brief).is_none()
                && !self.is_followed(brief)
                && !done.contains(&&brief.asked)
        })
    }

    /// The last run after this one that changed something.
    pub fn changed_after(&self, brief: &Brief) -> Option<&Brief> {
        let mut later = self.newest().take_while(|later| later.run != brief.run);
        later.find(|later| !later.did.is_empty())
    }

    /// The last run that changed something, is no rollback, and is not back wholly; and the later one that is, if there
    /// is one.
    pub fn to_take_back(&self) -> (Option<&Brief>, Option<&Brief>) {
        let mut back = None;
        let open = self.newest().find(|brief| {
            let changed = brief.takes_back.is_none() && !brief.did.is_empty();
            let whole = changed && self.is_back_whole(brief);
            if whole && back.is_none() {
                back = Some(*brief);
            }
            changed && !whole
        });
        (open, back)
    }
}

/// Ids of the runs whose process works on this machine.
///
/// # Errors
/// The locks cannot be read.
pub fn at_work() -> anyhow::Result<BTreeSet<String>> {
    let Some(controller) = Controller::existing(&lookup::state())? else {
        return Ok(BTreeSet::new());
    };
    let holders = controller.list()?.into_iter().filter_map(|l| l.holder);
    let live = holders.filter(|holder| holder.trace() == Trace::Runs);
    Ok(live.map(|holder| holder.run).collect())
}
