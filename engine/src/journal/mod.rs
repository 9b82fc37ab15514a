//! The record of runs: every change before it is made, and what came of it.
//!
//! One SQLite file holds all runs of a project. Records are appended, never changed: each carries the SHA-256 of
//! the one before it, so that a record altered or removed later is found by [`Journal::verify`]. What a record says
//! is encrypted at rest ([`Sealer`]), since states may hold secrets; its envelope (run, host, node, kind of record)
//! is in clear, so that a reader without the key can still list what was done. Reader and writer may be different
//! processes. All of it is sealed with one key ([`owner`]).

mod owner;
mod record;
mod seal;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use owner::Begun;
pub use record::{ChangeRecord, NodeStatus, Record, RunSummary};
pub use seal::{SealError, Sealer};

/// The format of the file; a reader refuses a higher one.
pub const FORMAT: i64 = 1;

/// Why the journal could not be written or read. A run that cannot write its journal changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// SQLite said no (disk full, permission, not a database).
    #[error("the journal {path} cannot be used: {source}")]
    Store {
        /// The file.
        path: String,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// The file or its folder.
    #[error("the journal {path} cannot be made: {source}")]
    File {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A newer runbook wrote it.
    #[error(
        "the journal {path} has format {found}, this runbook reads up to {FORMAT}: use the newer runbook"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
    },
    /// A record cannot be read with this key.
    #[error("record {seq} of the journal cannot be read: {reason}")]
    Sealed {
        /// Its number.
        seq: i64,
        /// Why.
        reason: String,
    },
    /// It was begun with another key than the one at hand.
    #[error(
        "the journal {path} was begun with {begun}, and {key}. {}",
        owner::REMEDY
    )]
    OtherKey {
        /// The file.
        path: String,
        /// The key that it was begun with.
        begun: Begun,
        /// What there is instead, as half a sentence.
        key: String,
    },
    /// The key cannot be had.
    #[error(transparent)]
    Key(#[from] SealError),
    /// The chain of hashes is broken: the journal was altered.
    #[error(
        "record {seq} of the journal was altered or one before it removed: its hash does not follow"
    )]
    Altered {
        /// The first record that does not follow.
        seq: i64,
    },
    /// No such run.
    #[error("there is no run {0} in the journal")]
    NoRun(String),
}

impl JournalError {
    /// Does it only keep one run from being read? Others may be readable.
    #[must_use]
    pub fn is_of_one_run(&self) -> bool {
        matches!(self, Self::Sealed { .. } | Self::OtherKey { .. })
    }
}

/// A record with its envelope.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Number in the file, from 1 without gaps.
    pub seq: i64,
    /// The run.
    pub run: String,
    /// When, RFC 3339, UTC.
    pub at: String,
    /// The host it is about, or empty.
    pub host: String,
    /// The node it is about, or empty.
    pub node: String,
    /// What it says.
    pub record: Record,
}

impl Entry {
    /// The host that something was begun on, if this says so.
    #[must_use]
    pub fn acts_on(&self) -> Option<String> {
        match &self.record {
            Record::ChangesIntended { on, .. } | Record::ActionIntended { on, .. } => {
                Some(on.clone().unwrap_or_else(|| self.host.clone()))
            }
            _ => None,
        }
    }
}

/// How a run ended, by its records; `None` where it runs, goes on, or was cut off.
#[must_use]
pub fn ending(entries: &[Entry]) -> Option<&RunSummary> {
    let last = entries.iter().rev().find_map(|entry| match &entry.record {
        Record::RunFinished { summary } => Some(Some(summary)),
        Record::RunResumed { .. } | Record::RunStarted { .. } => Some(None),
        _ => None,
    });
    last.flatten()
}

/// A record as it lies in the file: sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raw {
    /// Its number in the file that it comes from.
    pub seq: i64,
    /// When, RFC 3339, UTC.
    pub at: String,
    /// The kind of record.
    pub kind: String,
    /// The host it is about, or empty.
    pub host: String,
    /// The node it is about, or empty.
    pub node: String,
    /// What it says, sealed; as JSON, in base 64.
    #[serde(with = "base64_text")]
    pub body: Vec<u8>,
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

/// A run as the list of runs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLine {
    /// Id.
    pub run: String,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// Number of records.
    pub records: i64,
    /// It came to its end.
    pub finished: bool,
    /// What it kept aside on hosts was removed.
    pub closed: bool,
}

/// Finds the secrets that stand in a record, which is JSON.
type FindSecrets = Box<dyn Fn(&str) -> Vec<String> + Send + Sync>;

/// The journal file, opened.
pub struct Journal {
    store: Mutex<Connection>,
    /// Finds the secrets in a text, while a run goes on; and those that the run's records have named.
    secrets: OnceLock<FindSecrets>,
    named: Mutex<BTreeSet<String>>,
    sealer: Sealer,
    path: String,
}

impl Journal {
    /// Opens the journal, making it (0600, its folder 0700) where it is missing.
    pub fn open(path: &Path, sealer: Sealer) -> Result<Self, JournalError> {
        let shown = path.display().to_string();
        let file_error = |source| JournalError::File {
            path: shown.clone(),
            source,
        };
        make_private(path).map_err(file_error)?;
        let store = Connection::open(path).map_err(|source| JournalError::Store {
            path: shown.clone(),
            source,
        })?;
        let journal = Self {
            store: Mutex::new(store),
            secrets: OnceLock::new(),
            named: Mutex::default(),
            sealer,
            path: shown,
        };
        journal.with(|store| {
            store.busy_timeout(std::time::Duration::from_secs(10))?;
            store.pragma_update(None, "journal_mode", "wal")?;
            store.pragma_update(None, "synchronous", "full")?;
            store.execute_batch(
                "create table if not exists meta (format integer not null);
                 insert into meta (format) select 1 where not exists (select 1 from meta);
                 create table if not exists records (
                     seq integer primary key, run text not null, at text not null, kind text not null,
                     host text not null, node text not null, body blob not null, prev blob not null,
                     hash blob not null) strict;
                 create table if not exists key (mark text not null, place text not null) strict;
                 create index if not exists records_of_run on records (run, seq);",
            )
        })?;
        let found: i64 =
            journal.with(|s| s.query_row("select format from meta", [], |r| r.get(0)))?;
        if found > FORMAT {
            return Err(JournalError::Newer {
                path: journal.path,
                found,
            });
        }
        Ok(journal)
    }

    /// From now on the secrets that `find` sees in a record are named in one before it ([`Record::Secrets`]): states and
    /// outputs that hold them are shown again by other processes, which never see what made them secret.
    pub fn name_secrets(&self, find: impl Fn(&str) -> Vec<String> + Send + Sync + 'static) {
        let _ = self.secrets.set(Box::new(find));
    }

    /// Appends a record; when this returns it is on disk. Gives its number.
    pub fn append(
        &self,
        run: &str,
        host: &str,
        node: &str,
        record: &Record,
    ) -> Result<i64, JournalError> {
        let text = serde_json::to_string(record).unwrap_or_default();
        if let Some(find) = self.secrets.get() {
            let mut texts = find(&text);
            {
                let mut named = self
                    .named
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                texts.retain(|text| named.insert(text.clone()));
            }
            if !texts.is_empty() {
                let record = Record::Secrets { texts };
                let text = serde_json::to_string(&record).unwrap_or_default();
                self.append_text(run, "", "", &record, &text)?;
            }
        }
        self.append_text(run, host, node, record, &text)
    }

    fn append_text(
        &self,
        run: &str,
        host: &str,
        node: &str,
        record: &Record,
        text: &str,
    ) -> Result<i64, JournalError> {
        let raw = Raw {
            seq: 0,
            at: jiff::Timestamp::now().to_string(),
            kind: record.kind().to_owned(),
            host: host.to_owned(),
            node: node.to_owned(),
            body: self.sealer.seal(text.as_bytes()),
        };
        self.as_owner(|tx| put(tx, run, &raw))
    }

    /// The records of a run after number `after`, sealed as they are.
    pub fn raw(&self, run: &str, after: i64) -> Result<Vec<Raw>, JournalError> {
        self.with(|store| {
            let mut query = store.prepare(
                "select seq, at, kind, host, node, body from records
                 where run = ?1 and seq > ?2 order by seq",
            )?;
            let rows = query.query_map(params![run, after], |r| {
                Ok(Raw {
                    seq: r.get(0)?,
                    at: r.get(1)?,
                    kind: r.get(2)?,
                    host: r.get(3)?,
                    node: r.get(4)?,
                    body: r.get(5)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Takes over the records of a run that another machine has begun: all of them, or none. They get numbers of this
    /// file.
    ///
    /// # Errors
    /// One cannot be read with this key; nothing is taken over then.
    pub fn take_over(&self, run: &str, rows: &[Raw]) -> Result<(), JournalError> {
        for row in rows {
            let sealed = |reason: String| JournalError::Sealed {
                seq: row.seq,
                reason,
            };
            let clear = self
                .sealer
                .open(&row.body)
                .map_err(|e| sealed(e.to_string()))?;
            serde_json::from_slice::<Record>(&clear).map_err(|e| sealed(e.to_string()))?;
        }
        self.as_owner(|tx| rows.iter().try_for_each(|row| put(tx, run, row).map(drop)))
    }

    /// All records of a run, in order.
    ///
    /// # Errors
    /// There is no such run, or it cannot be read with this key; others may be ([`JournalError::is_of_one_run`]).
    pub fn read(&self, run: &str) -> Result<Vec<Entry>, JournalError> {
        type Row = (i64, String, String, String, Vec<u8>);
        let rows: Vec<Row> = self.with(|store| {
            let mut query = store.prepare(
                "select seq, at, host, node, body from records where run = ?1 order by seq",
            )?;
            let rows = query.query_map([run], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?))
            })?;
            rows.collect()
        })?;
        if rows.is_empty() {
            return Err(JournalError::NoRun(run.to_owned()));
        }
        rows.into_iter()
            .map(|(seq, at, host, node, body)| {
                let sealed = |reason: String| JournalError::Sealed { seq, reason };
                let clear = match self.sealer.open(&body) {
                    Ok(clear) => clear,
                    Err(error) => {
                        self.check_key()?;
                        return Err(sealed(error.to_string()));
                    }
                };
                let record = serde_json::from_slice(&clear).map_err(|e| sealed(e.to_string()))?;
                Ok(Entry {
                    seq,
                    run: run.to_owned(),
                    at,
                    host,
                    node,
                    record,
                })
            })
            .collect()
    }

    /// The runs there are, oldest first.
    pub fn runs(&self) -> Result<Vec<RunLine>, JournalError> {
        self.with(|store| {
            let mut query = store.prepare(
                "select run, min(at), count(*),
                        max(seq * (kind = 'run-finished'))
                            > max(seq * (kind in ('run-started', 'run-resumed'))),
                        max(kind = 'closed')
                 from records group by run order by min(seq)",
            )?;
            let rows = query.query_map([], |r| {
                Ok(RunLine {
                    run: r.get(0)?,
                    started: r.get(1)?,
                    records: r.get(2)?,
                    finished: r.get::<_, i64>(3)? != 0,
                    closed: r.get::<_, i64>(4)? != 0,
                })
            })?;
            rows.collect()
        })
    }

    /// Recomputes the chain over the whole file; gives the number of records.
    pub fn verify(&self) -> Result<i64, JournalError> {
        let broken: Result<i64, i64> = self.with(|store| {
            let mut query = store.prepare(
                "select seq, run, at, kind, host, node, body, prev, hash from records order by seq",
            )?;
            let mut rows = query.query([])?;
            let (mut expected, mut before) = (1_i64, Vec::<u8>::new());
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                let text = |i: usize| row.get::<_, String>(i);
                let (body, prev, hash): (Vec<u8>, Vec<u8>, Vec<u8>) =
                    (row.get(6)?, row.get(7)?, row.get(8)?);
                let follows = chain(
                    &before,
                    seq,
                    &text(1)?,
                    &text(2)?,
                    &text(3)?,
                    &text(4)?,
                    &text(5)?,
                    &body,
                );
                if seq != expected || prev != before || hash != follows {
                    return Ok(Err(seq));
                }
                expected += 1;
                before = hash;
            }
            Ok(Ok(expected - 1))
        })?;
        broken.map_err(|seq| JournalError::Altered { seq })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let mut store = self
            .store
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut store).map_err(|source| JournalError::Store {
            path: self.path.clone(),
            source,
        })
    }
}

/// Puts a record at the end of the chain; gives its number.
fn put(tx: &rusqlite::Transaction<'_>, run: &str, raw: &Raw) -> rusqlite::Result<i64> {
    let last: Option<(i64, Vec<u8>)> = tx
        .query_row(
            "select seq, hash from records order by seq desc limit 1",
            [],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .optional()?;
    let (seq, prev) = last.map_or((1, Vec::new()), |(seq, hash)| (seq + 1, hash));
    let Raw {
        at,
        kind,
        host,
        node,
        body,
        ..
    } = raw;
    let hash = chain(&prev, seq, run, at, kind, host, node, body);
    tx.execute(
        "insert into records (seq, run, at, kind, host, node, body, prev, hash)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![seq, run, at, kind, host, node, body, prev, hash],
    )?;
    Ok(seq)
}

/// The hash of a record: over the hash before it and each part with its length, so that no two splits agree.
#[expect(
    clippy::too_many_arguments,
    reason = "these are the columns of one record"
)]
fn chain(
    prev: &[u8],
    seq: i64,
    run: &str,
    at: &str,
    kind: &str,
    host: &str,
    node: &str,
    body: &[u8],
) -> Vec<u8> {
    let mut hash = Sha256::new();
    let number = seq.to_be_bytes();
    for part in [
        prev,
        &number,
        run.as_bytes(),
        at.as_bytes(),
        kind.as_bytes(),
        host.as_bytes(),
        node.as_bytes(),
        body,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// Makes a file (0600) and its folder (0700) where they are missing.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        make_private_folder(folder)?;
    }
    make_private_file(path)
}

fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn make_private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

#[cfg(test)]
mod tests;
