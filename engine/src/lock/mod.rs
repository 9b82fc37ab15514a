//! One run at a time on a site.
//!
//! A run that writes takes two locks. One lies on the controller, beside the journal ([`Controller`]), for each site (or
//! host without a site) that the run works on; it is taken before anything else, for all of them or for none. The other
//! lies on the machine itself ([`machine`]), so that a run from elsewhere meets it too; it is taken before the first
//! change of a site, on all of its machines or on none ([`Locks`]).
//!
//! Both name their [`Holder`]. Both go when the run ends, however it ends. A run that was killed leaves them: it may
//! have stopped half way, so nobody else is let in until it is resumed, taken back, or unlocked.

mod controller;
mod holder;
pub mod machine;
mod site;

pub use controller::{Controller, Line, LockError, Taken};
pub use holder::{Holder, Trace};
pub use site::{Gate, Locks, Refusal};

/// Who asks for a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// As whom it is held. A lock of the same run is taken over: the run is being resumed.
    pub holder: Holder,
    /// Runs whose locks are taken over where their process is gone: the run that is taken back.
    pub succeeds: Vec<String>,
    /// A lock of the same run is taken over also where it cannot be seen from here whether its process is gone: who
    /// resumes a run says that it is.
    pub from_afar: bool,
    /// The inventories, as given, for whoever has to unlock.
    pub inventory: Vec<String>,
}

impl Claim {
    /// May it take over the lock of this holder? `touched`: the holder may have changed something.
    #[must_use]
    pub fn takes_over(&self, held: &Holder, touched: bool) -> bool {
        match held.trace() {
            Trace::Runs => false,
            Trace::Gone => {
                !touched || held.run == self.holder.run || self.succeeds.contains(&held.run)
            }
            Trace::Elsewhere => self.from_afar && held.run == self.holder.run,
        }
    }
}

/// A lock that is held by another run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The site, or the host without one.
    pub unit: String,
    /// The host whose machine holds it; none: it is held on this controller.
    pub host: Option<String>,
    /// By whom. `Err`: what stands in its place is no lock of this program; where, and whose it is.
    pub holder: Result<Box<Holder>, String>,
}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = &self.unit;
        let place = match &self.host {
            Some(host) if host != unit => format!("{unit} is locked on {host}"),
            _ => format!("{unit} is locked"),
        };
        let holder = match &self.holder {
            Ok(holder) => holder,
            Err(what) => {
                return write!(
                    f,
                    "{place}: {what}, and it is no lock of this program. Find out who put it there, and remove it"
                );
            }
        };
        let run = &holder.run;
        match holder.trace() {
            Trace::Runs => write!(
                f,
                "{place} by {holder}. Wait until it has ended (its process {} works here)",
                holder.pid
            ),
            Trace::Gone => write!(
                f,
                "{place} by {holder}. That run was cut off there, perhaps half way: its process is gone. \
                 `runbook resume {run}` goes on with it, `runbook rollback {run}` takes it back, `runbook unlock {unit}` \
                 leaves it as it is and lets others in"
            ),
            Trace::Elsewhere => write!(
                f,
                "{place} by {holder}. Whether it still works cannot be seen from here. Wait until it has ended; if it was \
                 cut off, `runbook resume {run}` there goes on with it, and `runbook unlock {unit}` lets others in"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
