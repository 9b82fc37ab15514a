//! The key that a journal was begun with. No record that is sealed with another key comes into it: nobody could read both.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction};

use super::{Journal, JournalError, Sealer};

/// What helps where the key is another one.
pub(super) const REMEDY: &str = "Say where its key lies: RUNBOOK_KEY_FILE=FILE (a call under `sudo` looks in the home of \
     root). If that key is lost, its runs can neither be read nor taken back: move the journal away to begin another";

/// The key that a journal was begun with, as far as the journal knows it: an older runbook did not note it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// [`Sealer::mark`] and [`Sealer::place`] of then.
    noted: Option<(String, String)>,
}

impl std::fmt::Display for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.noted {
            None => write!(f, "another key"),
            Some((mark, place)) if place.is_empty() => write!(f, "the key {mark}"),
            Some((mark, place)) => write!(f, "the key {mark}, which lay in {place}"),
        }
    }
}

impl Journal {
    /// The key in the file `key` for the journal at `path`. It is made (0600, its folder 0700) where it is missing, but
    /// not where the journal was begun with one.
    ///
    /// # Errors
    /// It cannot be read or made, or it is missing and the journal has records.
    pub fn key(path: &Path, key: &Path) -> Result<Sealer, JournalError> {
        if !key.exists()
            && path.exists()
            && let Some(begun) = begun_at(path).map_err(|source| JournalError::Store {
                path: path.display().to_string(),
                source,
            })?
        {
            return Err(JournalError::OtherKey {
                path: path.display().to_string(),
                begun,
                key: format!("there is no key in {}", key.display()),
            });
        }
        Ok(Sealer::from_key_file(key)?)
    }

    /// May records be appended with this key?
    ///
    /// # Errors
    /// The journal was begun with another one.
    pub fn check_key(&self) -> Result<(), JournalError> {
        match self.with(|store| other(store, &self.sealer))? {
            Some(begun) => Err(self.other_key(begun)),
            None => Ok(()),
        }
    }

    /// Writes, if the journal was begun with this key; or begins it.
    pub(super) fn as_owner<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let written = self.with(|store| {
            let tx = store.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            if let Some(begun) = other(&tx, &self.sealer)? {
                return Ok(Err(begun));
            }
            if noted(&tx)?.is_none_or(|(mark, _)| mark != self.sealer.mark()) {
                tx.execute("delete from key", [])?;
                tx.execute(
                    "insert into key (mark, place) values (?1, ?2)",
                    [self.sealer.mark(), self.sealer.place()],
                )?;
            }
            let value = write(&tx)?;
            tx.commit()?;
            Ok(Ok(value))
        })?;
        written.map_err(|begun| self.other_key(begun))
    }

    fn other_key(&self, begun: Begun) -> JournalError {
        JournalError::OtherKey {
            path: self.path.clone(),
            begun,
            key: match self.sealer.place() {
                "" => format!("this is the key {}", self.sealer.mark()),
                place => format!("in {place} is the key {}", self.sealer.mark()),
            },
        }
    }
}

/// The key of the journal, if it is another one. A journal without records is nobody's; one that does not name its key
/// is his who can read its first record.
fn other(store: &Connection, sealer: &Sealer) -> rusqlite::Result<Option<Begun>> {
    let noted = noted(store)?;
    if noted
        .as_ref()
        .is_some_and(|(mark, _)| mark == sealer.mark())
    {
        return Ok(None);
    }
    let first: Option<Vec<u8>> = store
        .query_row("select body from records order by seq limit 1", [], |r| {
            r.get(0)
        })
        .optional()?;
    Ok(match (first, noted) {
        (None, _) => None,
        (Some(body), None) if sealer.open(&body).is_ok() => None,
        (Some(_), noted) => Some(Begun { noted }),
    })
}

fn noted(store: &Connection) -> rusqlite::Result<Option<(String, String)>> {
    store
        .query_row("select mark, place from key limit 1", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .optional()
}

/// The key of a journal that has records; `None`: it has none. Makes and changes nothing.
fn begun_at(path: &Path) -> rusqlite::Result<Option<Begun>> {
    let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    store.busy_timeout(std::time::Duration::from_secs(10))?;
    let has = |table: &str| -> rusqlite::Result<bool> {
        store
            .prepare("select 1 from sqlite_master where type = 'table' and name = ?1")?
            .exists([table])
    };
    if !has("records")? || !store.prepare("select 1 from records limit 1")?.exists([])? {
        return Ok(None);
    }
    let noted = if has("key")? { noted(&store)? } else { None };
    Ok(Some(Begun { noted }))
}
