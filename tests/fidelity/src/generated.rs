//! Generated playbooks, each on a clean and on a half-done host, as many side by side as there are processors.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use crate::compare::{Figures, Wrong};
use crate::generate::generate;
use crate::shrink::shrunk;
use crate::trial::{Place, of_script};

/// What came of them.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// The seeds, from the first to the last.
    pub seeds: (u64, u64),
    /// Tasks as written.
    pub written: usize,
    /// Of these, those that build on an earlier one.
    pub building: usize,
    /// Of these, those that must fail.
    pub failing: usize,
    /// On clean hosts, and on half-done ones.
    pub figures: [Figures; 2],
    /// What was wrong, for a person.
    pub wrong: Vec<String>,
    /// What was told under an assumption and came otherwise, for a person.
    pub otherwise: Vec<String>,
}

/// Tries the playbooks of `count` seeds from `first` on. Of those with a wrong prediction `shown` are made small for the
/// report, which takes a while.
///
/// # Errors
/// A playbook cannot be tried at all.
pub fn generated(
    first: u64,
    count: usize,
    shown: usize,
    place: &Place,
    tell: fn(&str),
) -> Result<Generated> {
    let next = AtomicUsize::new(0);
    let last = first + u64::try_from(count.saturating_sub(1))?;
    let all = Mutex::new(Generated {
        seeds: (first, last),
        ..Generated::default()
    });
    let outcomes = std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let work = || -> Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok(());
                }
                if let Err(error) = one(first + u64::try_from(at)?, shown, place, &all) {
                    // The others need not go on.
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
                if (at + 1).is_multiple_of(100) {
                    tell(&format!("{} of {count} playbooks", at + 1));
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let join = |w: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            w.join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a worker has panicked")))
        };
        workers.into_iter().map(join).collect::<Vec<_>>()
    });
    outcomes.into_iter().collect::<Result<()>>()?;
    Ok(all
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn one(seed: u64, shown: usize, place: &Place, all: &Mutex<Generated>) -> Result<()> {
    let generated = generate(seed);
    let lock = || {
        all.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    {
        let mut all = lock();
        all.written += generated.tasks;
        all.building += generated.building;
        all.failing += generated.failing;
    }
    for half_done in [false, true] {
        let host = if half_done { "half-done" } else { "clean" };
        let compared = of_script(&generated.script, half_done, place)
            .map_err(|e| e.context(format!("seed {seed}, {host} host")))?;
        let shows = {
            let mut all = lock();
            all.figures[usize::from(half_done)] += compared.figures;
            !compared.wrong.is_empty() && all.wrong.len() < shown
        };
        let which = format!("seed {seed}, {host} host");
        if !compared.otherwise.is_empty() {
            let text = format!("{which}:\n{}", listed(&compared.otherwise));
            lock().otherwise.push(text);
        }
        if compared.wrong.is_empty() {
            continue;
        }
        let mut report = format!("{which}:\n{}", listed(&compared.wrong));
        if shows {
            let module = &compared.wrong[0].module;
            let small = shrunk(&generated.script, half_done, module, place);
            let still = of_script(&small, half_done, place).unwrap_or_default();
            report.push_str(&format!(
                "made small:\n{}{}",
                small.shown(half_done),
                listed(&still.wrong)
            ));
        }
        lock().wrong.push(report);
    }
    Ok(())
}

/// What the check said and what the run did, one after the other.
#[must_use]
pub fn listed(differing: &[Wrong]) -> String {
    let mut text = String::new();
    for wrong in differing {
        text.push_str(&format!(
            "  {} ({})\n    check: {}\n    run:   {}\n",
            wrong.task,
            wrong.node,
            wrong.check.replace('\n', "\n    "),
            wrong.run.replace('\n', "\n    ")
        ));
    }
    text
}
