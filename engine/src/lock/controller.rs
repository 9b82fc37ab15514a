//! Locks on the controller: a small SQLite file beside the journal.
//!
//! SQLite's own locking makes «look who holds it, then take it» one step, also where the lock of a dead process is taken
//! over: of two that try, one gets it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{Blocked, Claim, Holder};

/// The file, in the folder of the journal.
const FILE: &str = "locks.db";

/// Why locks could not be looked at or taken. Nothing is changed without them.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// SQLite said no.
    #[error("the locks {path} cannot be used: {source}")]
    Store {
        /// The file.
        path: String,
        /// Its reason.
        source: rusqlite::Error,
    },
    /// The folder could not be made.
    #[error("the folder of the locks {path} cannot be made: {source}")]
    Folder {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The site, or the host without one.
    pub unit: String,
    /// By whom; none: a newer version wrote it.
    pub holder: Option<Holder>,
    /// What stands there.
    pub text: String,
    /// The run has come to its first change there.
    pub touched: bool,
    /// The inventories of the run.
    pub inventory: Vec<String>,
}

/// The locks of one folder of runs.
pub struct Controller {
    store: Mutex<Connection>,
    path: String,
}

/// Locks that this process holds. They go when this is dropped.
pub struct Taken {
    controller: Arc<Controller>,
    units: Vec<String>,
    holder: String,
    /// Of these, those taken over from a process that may have left locks on the machines there.
    pub behind: Vec<String>,
    /// What was taken over, a line for a person each.
    pub notes: Vec<String>,
}

impl Controller {
    /// Opens them, making the file (0600, its folder 0700) where it is missing.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn open(state: &Path) -> Result<Self, LockError> {
        let path = state.join(FILE);
        let shown = path.display().to_string();
        crate::journal::make_private(&path).map_err(|source| LockError::Folder {
            path: shown.clone(),
            source,
        })?;
        let store = Connection::open(&path).map_err(|source| LockError::Store {
            path: shown.clone(),
            source,
        })?;
        let controller = Self {
            store: Mutex::new(store),
            path: shown,
        };
        controller.with(|store| {
            store.busy_timeout(std::time::Duration::from_secs(10))?;
            store.execute_batch(
                "create table if not exists locks (
                     unit text primary key, holder text not null, touched integer not null,
                     inventory text not null) strict;",
            )
        })?;
        Ok(controller)
    }

    /// Opens them where there are any.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn existing(state: &Path) -> Result<Option<Self>, LockError> {
        if state.join(FILE).exists() {
            Self::open(state).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes all of them, or none.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn take(
        self: &Arc<Self>,
        units: &[String],
        claim: &Claim,
    ) -> Result<Result<Taken, Vec<Blocked>>, LockError> {
        let holder = claim.holder.text();
        let inventory = serde_json::to_string(&claim.inventory).unwrap_or_default();
        let (blocked, notes, behind) = self.with(|store| {
            let tx = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (mut blocked, mut notes, mut behind) = (Vec::new(), Vec::new(), Vec::new());
            for unit in units {
                let held = tx
                    .query_row(
                        "select holder, touched from locks where unit = ?1",
                        [unit],
                        |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)? != 0)),
                    )
                    .optional()?;
                // What cannot be read was written by a newer version.
                let held = held.map(|(text, touched)| (Holder::read(&text), touched));
                let touched = match held {
                    None => false,
                    Some((Some(other), touched)) if claim.takes_over(&other, touched) => {
                        notes.push(format!(
                            "the lock of {unit} was left by {other}; it is taken over"
                        ));
                        if touched {
                            behind.push(unit.clone());
                        }
                        touched && other.run == claim.holder.run
                    }
                    Some((other, _)) => {
                        blocked.push(self.blocked(unit.clone(), other));
                        continue;
                    }
                };
                tx.execute(
                    "insert or replace into locks (unit, holder, touched, inventory) values (?1, ?2, ?3, ?4)",
                    params![unit, holder, touched, inventory],
                )?;
            }
            if blocked.is_empty() {
                tx.commit()?;
            }
            Ok((blocked, notes, behind))
        })?;
        if !blocked.is_empty() {
            return Ok(Err(blocked));
        }
        Ok(Ok(Taken {
            controller: self.clone(),
            units: units.to_vec(),
            holder,
            behind,
            notes,
        }))
    }

    /// Who would not let this claim in, without taking anything.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn look(&self, units: &[String], claim: &Claim) -> Result<Vec<Blocked>, LockError> {
        let held = self.list()?;
        let stops = held
            .into_iter()
            .filter(|line| units.contains(&line.unit))
            .filter(|line| {
                let takes_over = |holder| claim.takes_over(holder, line.touched);
                !line.holder.as_ref().is_some_and(takes_over)
            });
        Ok(stops
            .map(|line| self.blocked(line.unit, line.holder))
            .collect())
    }

    /// All locks that are held.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn list(&self) -> Result<Vec<Line>, LockError> {
        type Row = (String, String, bool, String);
        let rows: Vec<Row> = self.with(|store| {
            let mut query = store
                .prepare("select unit, holder, touched, inventory from locks order by unit")?;
            let rows = query.query_map([], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get::<_, i64>(2)? != 0, r.get(3)?))
            })?;
            rows.collect()
        })?;
        let lines = rows
            .into_iter()
            .map(|(unit, text, touched, inventory)| Line {
                unit,
                holder: Holder::read(&text),
                text,
                touched,
                inventory: serde_json::from_str(&inventory).unwrap_or_default(),
            });
        Ok(lines.collect())
    }

    /// Removes a lock, if it is still this one. Gives whether it was.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn remove(&self, line: &Line) -> Result<bool, LockError> {
        self.with(|store| {
            store.execute(
                "delete from locks where unit = ?1 and holder = ?2",
                params![line.unit, line.text],
            )
        })
        .map(|removed| removed > 0)
    }

    fn blocked(&self, unit: String, holder: Option<Holder>) -> Blocked {
        let path = &self.path;
        Blocked {
            unit,
            host: None,
            holder: holder
                .map(Box::new)
                .ok_or_else(|| format!("something stands in {path}")),
        }
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LockError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut store).map_err(|source| LockError::Store {
            path: self.path.clone(),
            source,
        })
    }
}

impl Taken {
    /// From here on the run may have changed something there.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn touched(&self, unit: &str) -> Result<(), LockError> {
        self.controller.with(|store| {
            store.execute(
                "update locks set touched = 1 where unit = ?1 and holder = ?2",
                params![unit, self.holder],
            )
        })?;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let removed = self.controller.with(|store| {
            for unit in &self.units {
                store.execute(
                    "delete from locks where unit = ?1 and holder = ?2",
                    params![unit, self.holder],
                )?;
            }
            Ok(())
        });
        if let Err(error) = removed {
            // The next run finds that this process is gone.
            tracing::warn!(%error, "locks stay");
        }
    }
}
