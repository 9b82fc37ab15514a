//! The locks of a call: who asks for them, and what is said where another run holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use runbook_engine::lock::{Claim, Controller, Holder, Locks};
use runbook_engine::rollback::Told;
use runbook_engine::run::exit;

use crate::conduct::{self, Origin};
use crate::{lookup, report};

/// The locks that a call needs.
pub struct Needed {
    units: BTreeMap<String, BTreeSet<String>>,
    claim: Claim,
}

impl Needed {
    /// For these hosts, by site; `command` is what was called, without variables and arguments of modules.
    pub fn new(
        hosts: BTreeSet<String>,
        sites: &BTreeMap<String, String>,
        run: &str,
        command: &str,
        inventory: &[String],
    ) -> Self {
        let mut units: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for host in hosts {
            let unit = sites.get(&host).unwrap_or(&host).clone();
            units.entry(unit).or_default().insert(host);
        }
        let claim = Claim {
            holder: Holder::here(run, command),
            succeeds: Vec::new(),
            from_afar: true,
            inventory: inventory.to_vec(),
        };
        Self { units, claim }
    }

    /// Who takes a run back is let in where that run was cut off, and where a rollback of it was.
    ///
    /// # Errors
    /// The locks or the journal cannot be read.
    pub fn taking_back(mut self, run: Option<&str>) -> anyhow::Result<Self> {
        let Some(run) = run else {
            return Ok(self);
        };
        self.claim.succeeds.push(run.to_owned());
        let journal = conduct::journal()?;
        for line in
            Controller::existing(&lookup::state())?.map_or_else(|| Ok(Vec::new()), |c| c.list())?
        {
            let Some(holder) = line.holder else { continue };
            let told = journal.read(&holder.run).map(|e| Told::from_entries(&e));
            if told.is_ok_and(|told| told.takes_back.as_deref() == Some(run)) {
                self.claim.succeeds.push(holder.run);
            }
        }
        Ok(self)
    }

    /// For who merely tidies up after the run: nothing is taken over of which it cannot be seen that it has ended.
    pub fn only_where_it_ended(mut self) -> Self {
        self.claim.from_afar = false;
        self
    }

    fn names(&self) -> Vec<String> {
        self.units.keys().cloned().collect()
    }

    /// Says who is in the way; the exit code, if anybody is. Takes nothing.
    ///
    /// # Errors
    /// The locks cannot be read.
    pub fn look(&self) -> anyhow::Result<Option<u8>> {
        let Some(controller) = Controller::existing(&lookup::state())? else {
            return Ok(None);
        };
        let blocked = controller.look(&self.names(), &self.claim)?;
        Ok((!blocked.is_empty()).then(|| refuse(&blocked)))
    }

    /// Takes those of this controller, all or none; those of the machines are taken before the first change. Gives what
    /// was taken over, too. `Ok(Err)`: somebody was in the way, which was said.
    ///
    /// # Errors
    /// The locks cannot be written.
    pub fn take(self) -> anyhow::Result<Result<(Locks, Vec<String>), u8>> {
        let controller = Arc::new(Controller::open(&lookup::state())?);
        match controller.take(&self.names(), &self.claim)? {
            Ok(mut taken) => {
                let notes = std::mem::take(&mut taken.notes);
                Ok(Ok((Locks::new(self.claim, self.units, taken), notes)))
            }
            Err(blocked) => Ok(Err(refuse(&blocked))),
        }
    }
}

fn refuse(blocked: &[runbook_engine::lock::Blocked]) -> u8 {
    blocked
        .iter()
        .for_each(|b| report::say_error(&b.to_string()));
    report::note("Nothing was touched.");
    exit::LOCKED
}

/// What was called, for whoever meets the lock.
pub fn command(origin: &Origin) -> String {
    let what = match (&origin.takes_back, origin.playbooks.first()) {
        (Some(run), _) => format!("rollback {run}"),
        (None, Some(first)) if first.starts_with("call ") => first.clone(),
        _ => format!("play {}", origin.playbooks.join(" ")),
    };
    let mut line = format!("runbook {what}");
    for inventory in &origin.inventory {
        line.push_str(&format!(" -i {inventory}"));
    }
    for limit in &origin.call {
        line.push_str(&format!(" -l {limit}"));
    }
    line
}
