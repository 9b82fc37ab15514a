//! What all walks of one run share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::act::{CutOff, Decision};
use super::copies::{Copies, CopyError};
use super::event::Place;
use super::hosts::Fleet;
use super::local::LocalStore;
use super::past::{Cursor, Past};
use super::plan::{Approved, Plan};
use super::redact::Redactor;
use crate::compile::program::Hosts;
use crate::diag::Diagnostic;
use crate::journal::Journal;
use crate::lock::{Gate, Locks};
use crate::registry::Registry;
use crate::resource::{Kept, Ref};
use crate::source::{Sources, Span};
use crate::template::Engine;

/// What a person asked for on the command line that a walk looks at.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--check`.
    pub check: bool,
    /// How many hosts at most do a task at the same time.
    pub forks: usize,
    /// `-v`, counted.
    pub verbose: u8,
    /// `-b`: become, where a task does not say.
    pub become_: bool,
    /// `--become-user`.
    pub become_user: Option<String>,
    /// Only look how things stand (`runbook drift`): of actions, and of what is only for the time of a change, nothing is
    /// predicted.
    pub looks: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            check: false,
            forks: 25,
            verbose: 0,
            become_: false,
            become_user: None,
            looks: false,
        }
    }
}

/// What all walks of a run share.
pub struct Shared {
    /// Modules, kinds, actions.
    pub registry: Arc<Registry>,
    /// Secrets.
    pub redactor: Arc<Redactor>,
    /// Templates.
    pub engine: Arc<Engine>,
    /// Connections.
    pub fleet: Arc<Fleet>,
    /// Variables and groups from the inventory.
    pub hosts: Arc<Hosts>,
    /// What was asked for.
    pub options: Options,
    /// Files on the controller that tasks name, each read once.
    pub local: Arc<LocalStore>,
    /// The sources, for places.
    pub sources: Arc<Sources>,
    /// Id of the run; of a check too, though it is not journalled.
    pub run: String,
    /// When it began, RFC 3339; of a saved plan: when it was made, so that templates say what was approved.
    pub started: String,
    /// What the run has done before, where it goes on.
    pub past: Option<Arc<Past>>,
    /// How many actions each node has called.
    pub calls: Calls,
    /// Copies of the journal on the hosts.
    pub copies: Copies,
    decider: Decider,
    turns: Semaphore,
    interrupted: Arc<AtomicBool>,
    kept: Arc<AtomicU32>,
    /// Predictions keep what they rest on.
    binds: AtomicBool,
    /// What a person has approved.
    approved: OnceLock<Arc<Approved>>,
    drifted: AtomicU32,
    /// Tasks of which a rollback has left something.
    left: AtomicU32,
    /// What was stopped and not started again, by host and key: the task that did it.
    down: Arc<Mutex<BTreeMap<(String, String), String>>>,
    locks: Arc<OnceLock<Locks>>,
    /// How many runs this one has made to take itself back.
    back: Arc<AtomicU32>,
    /// It is such a run.
    is_back: bool,
}

/// What [`Shared`] is made of.
pub struct Parts {
    /// See [`Shared::registry`].
    pub registry: Arc<Registry>,
    /// See [`Shared::redactor`].
    pub redactor: Arc<Redactor>,
    /// See [`Shared::engine`].
    pub engine: Arc<Engine>,
    /// See [`Shared::fleet`].
    pub fleet: Fleet,
    /// See [`Shared::hosts`].
    pub hosts: Hosts,
    /// See [`Shared::options`].
    pub options: Options,
    /// See [`Shared::sources`].
    pub sources: Arc<Sources>,
    /// See [`Shared::run`].
    pub run: String,
    /// See [`Shared::started`]; now, where it is `None`.
    pub started: Option<String>,
    /// See [`Shared::past`].
    pub past: Option<Arc<Past>>,
    /// Who is asked about an action of which nobody knows whether it was done.
    pub decider: Decider,
}

/// Decides about an action of which nobody knows whether it was done.
pub type Decider = Arc<dyn Fn(&CutOff<'_>) -> Decision + Send + Sync>;

/// How many actions each node has called so far, so that none finds what another left.
#[derive(Default)]
pub struct Calls {
    past: Option<Arc<Past>>,
    now: Mutex<HashMap<(String, String), u32>>,
}

impl Calls {
    /// The number of the next one, from 0.
    pub fn next(&self, host: &str, node: &str) -> u32 {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (host.to_owned(), node.to_owned());
        let before = || self.past.as_ref().map_or(0, |p| p.calls(host, node));
        let next = now.entry(place).or_insert_with(before);
        *next += 1;
        *next - 1
    }
}

impl Shared {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let secrets = parts.past.iter().flat_map(|past| &past.secrets);
        secrets.for_each(|secret| parts.redactor.add_lines(secret));
        let keyring = parts.sources.keyring();
        keyring.passwords(&mut |password| parts.redactor.add(password));
        let turns = Semaphore::new(parts.options.forks.max(1));
        Self {
            registry: parts.registry,
            redactor: parts.redactor,
            engine: parts.engine,
            fleet: Arc::new(parts.fleet),
            hosts: Arc::new(parts.hosts),
            options: parts.options,
            local: Arc::new(LocalStore::new(keyring)),
            sources: parts.sources,
            run: parts.run,
            started: parts.started.unwrap_or_else(super::event::now),
            calls: Calls {
                past: parts.past.clone(),
                ..Calls::default()
            },
            past: parts.past,
            copies: Copies::default(),
            decider: parts.decider,
            turns,
            interrupted: Arc::default(),
            kept: Arc::default(),
            down: Arc::default(),
            locks: Arc::default(),
            back: Arc::default(),
            is_back: false,
            binds: AtomicBool::new(false),
            approved: OnceLock::new(),
            drifted: AtomicU32::new(0),
            left: AtomicU32::new(0),
        }
    }

    /// Brings the copy of the journal on a host up to date, before something is done there.
    ///
    /// # Errors
    /// The journal cannot be read, or the host does not take it.
    pub async fn copy_journal(&self, journal: &Journal, host: &str) -> Result<(), CopyError> {
        let link = self.fleet.link(host).await?;
        let site = self.hosts.sites.get(host);
        let belongs =
            |other: &str| other == host || (site.is_some() && self.hosts.sites.get(other) == site);
        self.copies
            .bring(journal, &self.run, host, &link, belongs)
            .await
    }

    /// The beginning of what the run has done before, for one walk.
    #[must_use]
    pub fn cursor(&self) -> Option<Arc<Cursor>> {
        let past = self.past.clone()?;
        Some(Arc::new(Cursor::new(past)))
    }

    /// What is done about an action of which nobody knows whether it was done.
    #[must_use]
    pub fn decide(&self, cut: &CutOff<'_>) -> Decision {
        (self.decider)(cut)
    }

    /// For a run of its own, within this one, that takes back what this one did: same hosts, same locks, another id.
    #[must_use]
    pub fn for_the_way_back(&self) -> Self {
        let number = self.back.fetch_add(1, Ordering::SeqCst) + 1;
        Self {
            registry: self.registry.clone(),
            redactor: self.redactor.clone(),
            engine: self.engine.clone(),
            fleet: self.fleet.clone(),
            hosts: self.hosts.clone(),
            options: self.options.clone(),
            local: self.local.clone(),
            sources: self.sources.clone(),
            run: format!("{}-back{number}", self.run),
            started: super::event::now(),
            past: None,
            calls: Calls::default(),
            copies: Copies::default(),
            decider: self.decider.clone(),
            turns: Semaphore::new(self.options.forks.max(1)),
            interrupted: self.interrupted.clone(),
            kept: self.kept.clone(),
            down: self.down.clone(),
            locks: self.locks.clone(),
            back: self.back.clone(),
            is_back: true,
            binds: AtomicBool::new(false),
            approved: OnceLock::new(),
            drifted: AtomicU32::new(0),
            left: AtomicU32::new(0),
        }
    }

    /// A text for an event: without secrets, and with `<run>` for the id of the run, so that check and run say the same.
    #[must_use]
    pub fn told(&self, text: &str) -> String {
        let clean = self.redactor.clean(text);
        if self.is_back {
            // Whoever puts the id back knows only the one of the run around it.
            clean
        } else {
            clean.replace(&self.run, "<run>")
        }
    }

    /// From now on nothing is written but under these locks.
    pub fn lock(&self, locks: Locks) {
        let _ = self.locks.set(locks);
    }

    /// The locks of the run; a check has none.
    #[must_use]
    pub fn locks(&self) -> Option<&Locks> {
        self.locks.get()
    }

    /// Does it take back the run around it?
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.is_back
    }

    /// What a task passes before it writes.
    #[must_use]
    pub fn gate(&self) -> Option<Gate<'_>> {
        let fleet = &self.fleet;
        self.locks.get().map(|locks| Gate { locks, fleet })
    }

    /// Waits for a turn: at most `forks` hosts work at the same time.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// What is in flight is finished, nothing new starts.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
    }

    /// Was the run interrupted?
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// From here on predictions keep what they rest on.
    pub fn bind(&self) {
        self.binds.store(true, Ordering::SeqCst);
    }

    /// Do predictions keep what they rest on?
    #[must_use]
    pub fn binds(&self) -> bool {
        self.binds.load(Ordering::SeqCst)
    }

    /// From here on nothing is done but what this plan says.
    pub fn approve(&self, plan: &Plan) {
        let _ = self.approved.set(Arc::new(Approved::new(plan)));
    }

    /// What a person has approved.
    #[must_use]
    pub fn approved(&self) -> Option<&Approved> {
        self.approved.get().map(Arc::as_ref)
    }

    /// SHA-256 of every file of the controller that went into this so far, by path.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = self.sources.hashes();
        files.extend(self.local.hashes());
        files.extend(self.engine.files().hashes());
        files
    }

    /// Counts a task that was stopped because it was not what was approved.
    pub fn drift(&self) {
        self.drifted.fetch_add(1, Ordering::SeqCst);
    }

    /// How many tasks were stopped because they were not what was approved.
    #[must_use]
    pub fn drifted(&self) -> u32 {
        self.drifted.load(Ordering::SeqCst)
    }

    /// Counts a task of which the rollback has left something that was to go back.
    pub fn leave(&self) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }

    /// Has the rollback left something that was to go back?
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst) > 0
    }

    /// Counts things kept aside.
    pub fn kept(&self, kept: &[Kept]) {
        self.kept.fetch_add(
            u32::try_from(kept.len()).unwrap_or(u32::MAX),
            Ordering::SeqCst,
        );
    }

    /// Notes what a task has stopped or started.
    pub fn running(&self, host: &str, task: &str, running: &[(Ref, bool)]) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, runs) in running {
            let place = (host.to_owned(), key.to_string());
            if *runs {
                down.remove(&place);
            } else {
                down.insert(place, task.to_owned());
            }
        }
    }

    /// What was stopped and not started again, one line each.
    #[must_use]
    pub fn down(&self) -> Vec<String> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.iter()
            .map(|((host, key), task)| format!("{host}: {key}, since \"{task}\""))
            .collect()
    }

    /// How many things were kept aside.
    #[must_use]
    pub fn kept_count(&self) -> u32 {
        self.kept.load(Ordering::SeqCst)
    }

    /// Where a span stands.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        let (file, line, column) = crate::diag::place(&self.sources, span);
        Place { file, line, column }
    }

    /// A diagnostic as the message of a failed task: what, where, and what to do.
    #[must_use]
    pub fn plain(&self, diagnostic: &Diagnostic) -> String {
        diagnostic.one_line(&self.sources)
    }
}
