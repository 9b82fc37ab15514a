//! Writing the changes of a task: into the journal, onto the host, and reading until it agrees. A write that was cut off
//! is carried on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::copies::CopyError;
use super::machine::Sight;
use super::past::{Pass, Write};
use super::settle::{Done, Reach, Settle, Settled, Stopped, Unrecovered, host_failure, lock};
use crate::host::{HostError, Probe, Target, User};
use crate::journal::{ChangeRecord, Journal, Record};
use crate::registry::ErasedChange;
use crate::resource::{Change, Kept, Ref, Reversible, WriteError};
use crate::world::{Known, Lookup as _};

/// What is to be written, and what stands in the journal of it.
pub(super) struct Writing<'a> {
    /// From what was read now.
    pub changes: &'a [ErasedChange],
    /// Each with the state before the task in place of what was read now, where the task was cut off before.
    pub records: Vec<ChangeRecord>,
    /// What the write that was cut off has put aside.
    pub kept: Vec<Kept>,
    /// What else the task will look at when it is written: it is read together with what was written.
    pub looked_at: Vec<Ref>,
}

impl Settle<'_> {
    /// Journals, writes, and reads until it agrees. `Some`: the task ends here.
    pub(super) async fn write(
        &self,
        reach: &Reach,
        journal: &Journal,
        writing: Writing<'_>,
        settled: &mut Settled,
    ) -> Result<Option<Done>, Stopped> {
        let Some(probe) = &reach.probe else {
            return Ok(Some(Done::settled(Settled::failed(
                "this task needs a host that can be reached",
            ))));
        };
        if let Some(refused) = self.refused(reach).await {
            return Ok(Some(Done::settled(refused)));
        }
        let changes = writing.changes;
        let intended = Record::ChangesIntended {
            task: self.task.to_owned(),
            on: reach.on.clone(),
            user: become_name(&reach.user.user),
            changes: writing.records.clone(),
            hidden: self.hidden,
        };
        self.journal(journal, &intended)?;
        if let Some(failure) = self.copied(reach, journal, settled).await? {
            return Ok(Some(Done::settled(failure)));
        }
        let target = Target::new(probe.with_user(reach.user.user.clone()));
        let mut kept = Vec::new();
        let mut failed = None;
        for (kind, group) in by_kind(changes) {
            let Some(kind) = self.shared.registry.find_kind(&kind) else {
                continue;
            };
            match kind.write(&target, &group).await {
                Ok(found) => kept.extend(self.of_user(reach, found)),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        self.ends_what_was_read(reach, changes);
        if let Some(WriteError::Host(e @ (HostError::Lost(_) | HostError::Unreachable(_)))) =
            &failed
        {
            // Whether it was written has to be read: nothing more stands in the journal until it is known.
            let write = Write {
                changes: writing.records,
                kept: None,
            };
            return Ok(Some(Done::Cut(write, e.clone())));
        }
        let moved = matches!(failed, Some(WriteError::Moved { .. })) && kept.is_empty();
        settled.kept.extend(writing.kept);
        settled.kept.extend(kept);
        settled.running = self.running(changes, failed.is_some());
        if !(is_half_done(failed.as_ref()) && settled.kept.is_empty()) {
            self.written(journal, &settled.kept, failed.as_ref())?;
        }
        Ok(match failed {
            None => {
                let agrees = self.agrees(reach, probe, changes, &writing.looked_at).await;
                agrees.map(|failure| {
                    Done::settled(Settled {
                        changes: settled.changes.clone(),
                        diff: settled.diff.clone(),
                        kept: settled.kept.clone(),
                        running: settled.running.clone(),
                        ..failure
                    })
                })
            }
            Some(WriteError::Moved { what, found }) if moved => Some(Done::Moved(format!(
                "{what} is no longer as it was read: {found}"
            ))),
            Some(WriteError::Host(e)) => Some(Done::settled(host_failure(&e))),
            Some(error) => {
                let mut message = error.to_string();
                if let WriteError::Failed {
                    left: Some(left), ..
                } = &error
                {
                    message = format!("{message}\nNot taken back: {left}");
                }
                Some(Done::settled(Settled {
                    kept: settled.kept.clone(),
                    ..Settled::failed(message)
                }))
            }
        })
    }

    /// The changes are written, or were not.
    pub(super) fn written(
        &self,
        journal: &Journal,
        kept: &[Kept],
        failed: Option<&WriteError>,
    ) -> Result<(), Stopped> {
        let record = Record::ChangesWritten {
            kept: kept.to_vec(),
            failed: failed.map(|e| self.shared.redactor.clean(&e.to_string())),
        };
        self.journal(journal, &record)
    }

    pub(super) fn journal(&self, journal: &Journal, record: &Record) -> Result<(), Stopped> {
        journal.append(&self.shared.run, self.host, self.node, record)?;
        Ok(())
    }

    /// What is about to be done stands in the host's copy of the journal, too. `Some`: the host is lost.
    pub(super) async fn copied(
        &self,
        reach: &Reach,
        journal: &Journal,
        settled: &mut Settled,
    ) -> Result<Option<Settled>, Stopped> {
        let host = reach.on.as_deref().unwrap_or(self.host);
        match self.shared.copy_journal(journal, host).await {
            Ok(()) => Ok(None),
            Err(CopyError::Journal(e)) => Err(e.into()),
            Err(CopyError::Host(e @ (HostError::Unreachable(_) | HostError::Lost(_)))) => {
                Ok(Some(host_failure(&e)))
            }
            Err(CopyError::Host(e)) => {
                let why = self.shared.redactor.clean(&e.to_string());
                settled.notes.push(format!(
                    "no copy of the journal is kept on the host, so no other machine could go on: {why}"
                ));
                Ok(None)
            }
        }
    }

    /// Brings a write that was cut off to where it can be read and carried on. Gives what it has put aside.
    pub(super) async fn recover(
        &self,
        reach: &Reach,
        write: &Write,
    ) -> Result<Vec<Kept>, Unrecovered> {
        let Some(probe) = &reach.probe else {
            return Ok(Vec::new());
        };
        let target = Target::new(probe.with_user(reach.user.user.clone()));
        let changes: Vec<ErasedChange> = write.changes.iter().map(ChangeRecord::erased).collect();
        let mut kept = Vec::new();
        for (kind, group) in by_kind(&changes) {
            let Some(kind) = self.shared.registry.find_kind(&kind) else {
                continue;
            };
            match kind.recover(&target, &group).await {
                Ok(found) => kept.extend(self.of_user(reach, found)),
                Err(WriteError::Host(error)) => return Err(error.into()),
                Err(error) => {
                    let failed = Settled::failed(error.to_string());
                    return Err(Unrecovered::Else(Box::new(failed)));
                }
            }
        }
        self.ends_what_was_read(reach, &changes);
        Ok(kept)
    }

    /// What is told and journalled of the changes of a task that was cut off: each resource from its state before the
    /// task, also those that need no more writing.
    pub(super) fn whole(&self, cut: Option<&Pass>, changes: &[ErasedChange]) -> Vec<ErasedChange> {
        let earlier = cut.map(Pass::changes).unwrap_or_default();
        let mut whole: Vec<ErasedChange> = changes
            .iter()
            .map(|c| {
                let before = earlier.iter().find(|e| e.key == c.key);
                let from = before.map_or(&c.change.from, |e| &e.from);
                ErasedChange {
                    key: c.key.clone(),
                    change: Change {
                        from: from.clone(),
                        ..c.change.clone()
                    },
                }
            })
            .collect();
        let done = earlier
            .iter()
            .filter(|e| changes.iter().all(|c| c.key != e.key));
        whole.extend(done.map(ChangeRecord::erased));
        whole
    }

    fn of_user(&self, reach: &Reach, kept: Vec<Kept>) -> impl Iterator<Item = Kept> + use<> {
        let user = become_name(&reach.user.user);
        kept.into_iter().map(move |k| Kept {
            user: user.clone(),
            ..k
        })
    }

    fn ends_what_was_read(&self, reach: &Reach, changes: &[ErasedChange]) {
        let mut base = lock(&reach.base);
        for change in changes {
            let kind = self.shared.registry.find_kind(&change.key.kind);
            if kind.is_none_or(|kind| kind.stirs()) {
                base.forget_all();
            }
            base.changed(&self.shared.registry, change);
        }
    }

    /// What these changes stop or start. What a failed write was about counts as it was: a kind brings it back.
    pub(super) fn running(&self, changes: &[ErasedChange], failed: bool) -> Vec<(Ref, bool)> {
        if failed {
            return Vec::new();
        }
        let of = |c: &ErasedChange| {
            let kind = self.shared.registry.find_kind(&c.key.kind)?;
            let (from, to) = (kind.runs(&c.change.from)?, kind.runs(&c.change.to)?);
            (from || to).then(|| (c.key.clone(), to))
        };
        changes.iter().filter_map(of).collect()
    }

    /// Reads until everything agrees with what was wanted or its kind's deadline has passed.
    async fn agrees(
        &self,
        reach: &Reach,
        probe: &Probe,
        changes: &[ErasedChange],
        looked_at: &[Ref],
    ) -> Option<Settled> {
        let begin = Instant::now();
        let keys: Vec<Ref> = changes.iter().map(|c| c.key.clone()).collect();
        let mut together = [&keys, looked_at].concat();
        let mut pause = Duration::from_millis(50);
        loop {
            let sight = Sight::new(
                self.shared.registry.clone(),
                reach.base.clone(),
                None,
                reach.user.clone(),
            );
            if let Err(e) = sight.read(probe, &together).await {
                return Some(host_failure(&e));
            }
            together.truncate(keys.len());
            let (mut differs, mut deadline) = (Vec::new(), Duration::ZERO);
            for change in changes {
                let Some(kind) = self.shared.registry.find_kind(&change.key.kind) else {
                    continue;
                };
                let lines = match sight.lookup(&change.key) {
                    Some(Known::State(state)) => kind
                        .differences(&change.change.want, &state)
                        .unwrap_or_else(|e| vec![e]),
                    Some(Known::Failed(why) | Known::Unknown(why)) => vec![why],
                    None => vec!["it could not be read".to_owned()],
                };
                if !lines.is_empty() {
                    deadline = deadline.max(kind.deadline(&change.key, &change.change.want));
                    differs.push(format!("{}: {}", change.key, lines.join(", ")));
                }
            }
            if differs.is_empty() {
                return None;
            }
            if begin.elapsed() >= deadline {
                return Some(Settled::failed(format!(
                    "it was written, but what is read afterwards is not what was asked for:\n{}",
                    differs.join("\n")
                )));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
            // What was looked at was looked at too early.
            let mut base = lock(&reach.base);
            keys.iter()
                .chain(looked_at)
                .for_each(|key| base.written(&self.shared.registry, key));
        }
    }
}

/// It failed and could not take itself back, as where a server was gone in the middle: how far it came has to be read by
/// who goes on, so nothing more stands in the journal, as with a write that was cut off.
fn is_half_done(failed: Option<&WriteError>) -> bool {
    matches!(failed, Some(WriteError::Failed { left: Some(_), .. }))
}

/// As the journal has it.
pub(super) fn record(change: &ErasedChange, reversible: &Reversible) -> ChangeRecord {
    ChangeRecord {
        key: change.key.clone(),
        from: change.change.from.clone(),
        to: change.change.to.clone(),
        want: change.change.want.clone(),
        reversible: reversible.clone(),
    }
}

pub(super) fn become_name(user: &User) -> Option<String> {
    match user {
        User::Become(name) => Some(name.clone()),
        User::Login => None,
    }
}

/// The changes of each kind, kinds in the order in which they first come.
fn by_kind(changes: &[ErasedChange]) -> Vec<(String, Vec<ErasedChange>)> {
    let mut groups: Vec<(String, Vec<ErasedChange>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for change in changes {
        let kind = &change.key.kind;
        let at = *places.entry(kind.clone()).or_insert_with(|| {
            groups.push((kind.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(change.clone());
    }
    groups
}
