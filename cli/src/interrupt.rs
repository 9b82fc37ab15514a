//! Ctrl-C and its like.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use runbook_engine::run::exit;
use runbook_engine::run::shared::Shared;
use tokio::signal::unix::{SignalKind, signal};

use crate::{question, report};

/// What is interrupted by Ctrl-C: once finishes what is in flight and starts nothing new, twice stops now. SIGTERM and
/// SIGHUP are like once. Where nothing has begun that could be finished, once is enough.
#[derive(Clone, Default)]
pub struct Interrupts {
    work: Arc<OnceLock<Arc<Shared>>>,
    writing: Arc<AtomicBool>,
    left: Arc<AtomicBool>,
}

/// What listens; all callers share it.
static LISTENING: OnceLock<Interrupts> = OnceLock::new();

impl Interrupts {
    /// Listens from now on. Whoever asks for it again gets the same.
    pub fn listen() -> Self {
        LISTENING.get_or_init(Self::begin).clone()
    }

    /// From now on the caller hears signals itself.
    pub fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
    }

    fn begin() -> Self {
        let interrupts = Self::default();
        for (kind, twice_stops) in [
            (SignalKind::interrupt(), true),
            (SignalKind::terminate(), false),
            (SignalKind::hangup(), false),
        ] {
            let Ok(mut signals) = signal(kind) else {
                continue;
            };
            let interrupts = interrupts.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    interrupts.heard(twice_stops);
                }
            });
        }
        interrupts
    }

    /// This is what can be finished.
    pub fn hand_over(&self, shared: &Arc<Shared>) {
        let _ = self.work.set(shared.clone());
    }

    /// From now on hosts are changed.
    pub fn writing(&self) {
        self.writing.store(true, Ordering::SeqCst);
    }

    fn heard(&self, twice_stops: bool) {
        if self.left.load(Ordering::SeqCst) {
            return;
        }
        let writing = self.writing.load(Ordering::SeqCst);
        match self.work.get() {
            // Whoever is asked something sees nothing else go on; who reads on would take the answer for a yes.
            Some(shared) if writing || !question::is_open() => {
                if shared.interrupted() && twice_stops {
                    if writing {
                        let run = &shared.run;
                        report::note(&format!(
                            "stopped: run {run} is cut off, and its locks stay. `runbook resume {run}` goes on with it, \
                             `runbook rollback {run}` takes it back"
                        ));
                    }
                    stop();
                }
                report::note("interrupted: finishing what is in flight; once more stops now");
                shared.interrupt();
            }
            _ => {
                question::give_back();
                report::note(if writing {
                    "interrupted"
                } else {
                    "\ninterrupted. Nothing has been changed."
                });
                stop();
            }
        }
    }
}

fn stop() -> ! {
    question::give_back();
    std::process::exit(i32::from(exit::INTERRUPTED));
}
