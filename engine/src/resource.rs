//! Resource kinds: the only code that reads states from hosts and writes changes to them.
//!
//! # Laws
//!
//! 1. In check mode nothing can be written: a [`Probe`] cannot change a host, and no [`Target`] exists.
//! 2. Wanting what already agrees wants nothing: `differences` of a want that `predict` gave is empty.
//! 3. After a write, what is read agrees with what was wanted, at the latest after [`Kind::deadline`].
//! 4. What check predicted (`predict`) is what the run does, or check said *unknown* or named the assumption.
//! 5. Writing the state before, after a write, restores it, or `reversible` said beforehand that it cannot.
//! 6. A write finds the state it was planned from, or writes nothing and gives [`WriteError::Moved`].
//! 7. No diff, error, log, journal or plan shows a secret.
//! 8. (Of modules: what is wanted stays within the footprint.)
//! 9. What a write has changed has drifted from the state before it, and not from what was predicted.
//!
//! Each law has one test that runs over every registered kind and module.

mod names;
mod read_kind;

use std::fmt::{Debug, Display};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::host::{HostError, Probe, Target};
use crate::module::Mark;
use crate::world::Predicted;

pub use names::Names;
pub use read_kind::{Nothing, ReadKind};

/// The identity of a resource on one machine, with the type of its kind erased.
///
/// Two refs are the same resource where `kind` and `id` are equal; `data` is what the kind needs to reach it
/// (a server's address, a bind name and its password) and may differ.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ref {
    /// Name of the kind: `file`, `container`, `ldap-entry`.
    pub kind: String,
    /// The key in its one true form, as shown: `/etc/php.ini`, `arc`.
    pub id: String,
    /// The whole key as the kind wrote it. Not part of the identity; may hold secrets, so never shown.
    pub data: serde_json::Value,
}

impl PartialEq for Ref {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.id == other.id
    }
}
impl Eq for Ref {}
impl PartialOrd for Ref {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ref {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.kind, &self.id).cmp(&(&other.kind, &other.id))
    }
}
impl std::hash::Hash for Ref {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.kind, &self.id).hash(state);
    }
}
impl Display for Ref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// A key of a kind. Its `Display` is the true form that identifies the resource; it shows no secret.
pub trait Key:
    Display + Debug + Clone + Send + Sync + Serialize + DeserializeOwned + 'static
{
}
impl<T: Display + Debug + Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Key for T {}

/// Plain data: serialisable, comparable.
pub trait Data:
    Debug + Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static
{
}
impl<T: Debug + Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static> Data
    for T
{
}

/// A kind of resource: how its states are read, compared, predicted, shown, written and taken back.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// The key.
    type Key: Key;
    /// All that is known of a resource when read. Absent is a state too.
    type State: Data;
    /// What is asked of it: each field a value, or *as it is* (`None`), or *known after*.
    type Want: Data;

    /// The name: `file`, `container`, `ldap-entry`. Lower case, hyphens, unique.
    const NAME: &'static str;

    /// Writing it sets something going (a container, a service) that may change anything on its machine: nothing that
    /// was read before counts after it.
    const STIRS: bool = false;

    /// A change that was planned with a look at it is not made where what was seen is no longer so. Not for a kind that
    /// shows what moves by itself (rows, entries that are exported, answers): of that counts only what follows from it.
    const BINDS: bool = true;

    /// Two keys may be names of one thing, and this is how its states tell.
    const NAMES: Option<Names> = None;

    /// Its states are some fields of another kind's, under the same keys: what is predicted of that one is predicted of it.
    const PART_OF: Option<&'static str> = None;

    /// What is predicted of what a thing of this kind lies in, and of what lies in it, shows in its own state:
    /// [`Kind::amid`] is asked.
    const AMID: bool = false;

    /// Reads the states of all `keys`, in their order, with as few round trips as can be.
    /// One key's failure is that key's alone.
    async fn read(&self, host: &Probe, keys: &[Self::Key]) -> Vec<Result<Self::State, HostError>>;

    /// The key in its one true form, where the host has to be asked (links, mounts, folded names).
    /// The default is the key as it is. Called after `read`, with what was read.
    fn canonical(&self, key: &Self::Key, _read: &Self::State) -> Self::Key {
        key.clone()
    }

    /// The one true form, asked as the other key was: whether a link at its end is followed.
    fn asked_as(&self, form: &Self::Key, _asked: &Self::Key) -> Self::Key {
        form.clone()
    }

    /// Where `read` does not agree with `want`, by the kind's own rules: without times, counters, order numbers.
    /// One short line a difference (`image 2.6.5-31.2 → 2.6.6-32.0`); empty when they agree. Shows no secret.
    fn differences(&self, want: &Self::Want, read: &Self::State) -> Vec<String>;

    /// The state that will be when `want` has been written over `from`. Pure; law 2 and 4 rest on it.
    fn predict(&self, want: &Self::Want, from: &Self::State) -> Self::State;

    /// Before and after as texts to be compared line by line, secrets masked. `None`: no text form, the lines of
    /// `differences` are all there is to show.
    fn text(&self, _key: &Self::Key, _state: &Self::State) -> Option<String> {
        None
    }

    /// Does it run? `None`: it is nothing that runs. What a run has stopped and not started again is told at its end.
    fn runs(&self, _state: &Self::State) -> Option<bool> {
        None
    }

    /// The secret texts in a state (passwords, private keys), so that nothing ever shows them.
    fn secrets(&self, _state: &Self::State) -> Vec<String> {
        Vec::new()
    }

    /// Can the change be taken back by writing `from` again?
    fn reversible(&self, change: &Change<Self::State, Self::Want>, key: &Self::Key) -> Reversible;

    /// What to want so that writing it over what the change made brings the state before it again, for a change that
    /// `reversible` does not call impossible. `None`: there is no way back.
    fn back(
        &self,
        _key: &Self::Key,
        _change: &Change<Self::State, Self::Want>,
    ) -> Option<Self::Want> {
        None
    }

    /// Is the resource, now in the state `now`, still what the change left, so that going back overwrites nobody's work?
    /// The default: nothing that was asked for differs, and the text is the same. A kind whose text masks something or
    /// leaves something out says it itself.
    fn still(
        &self,
        key: &Self::Key,
        change: &Change<Self::State, Self::Want>,
        now: &Self::State,
    ) -> bool {
        change.to == *now
            || (self.differences(&change.want, now).is_empty()
                && self.text(key, &change.to) == self.text(key, now))
    }

    /// What of `now` is not as it was in `was`, by the kind's own rules: without times, ids and counters; a short line
    /// each (`mode 0644 → 0600`), empty where they agree. Shows no secret. This is how a plan is held against the host.
    ///
    /// `want` is what a task asks of the resource, so that what others may well do to it is left out of account: a file of
    /// which only the mode is asked for may grow. `was` may have been predicted: what it does not know is not compared.
    /// The default: everything, told by the lines of the text.
    fn drifted(
        &self,
        key: &Self::Key,
        _want: Option<&Self::Want>,
        was: &Self::State,
        now: &Self::State,
    ) -> Vec<String> {
        if was == now {
            return Vec::new();
        }
        let lines = match (self.text(key, was), self.text(key, now)) {
            (Some(was), Some(now)) => crate::run::diff::lines(&was, &now),
            _ => Vec::new(),
        };
        if lines.is_empty() {
            vec!["is not what it was".to_owned()]
        } else {
            lines
        }
    }

    /// What lies now within resources that these changes made, as keys: entries of a directory, names below an entry.
    /// Going back would take it along, so what others have put there since keeps such a resource where it is. One
    /// answer a change, in order; only for changes that made something that holds others is the host asked.
    async fn within(
        &self,
        _host: &Probe,
        changes: &[KeyedChange<Self>],
    ) -> Vec<Result<Vec<Self::Key>, HostError>>
    where
        Self: Sized,
    {
        changes.iter().map(|_| Ok(Vec::new())).collect()
    }

    /// Why the change cannot be made, as far as what was read tells: a directory that this user may not write to. `world`
    /// is what is predicted before it and may have changed that. Such a task fails before it writes anything, in a check
    /// as in a run. `None`: nothing is known that hinders it.
    fn hinders(
        &self,
        _key: &Self::Key,
        _change: &Change<Self::State, Self::Want>,
        _world: &Predicted<'_>,
    ) -> Option<String> {
        None
    }

    /// Named when the prediction rests on something that only the run can show.
    fn assumes(&self, _key: &Self::Key, _change: &Change<Self::State, Self::Want>) -> Vec<String> {
        Vec::new()
    }

    /// Does writing the resource `written` (of this or another kind) end the validity of an early read of `key`?
    /// The default: the same resource, or one that contains it or is contained in it by a `/`.
    fn touched_by(&self, key: &Self::Key, written: &Ref) -> bool {
        if written.kind != Self::NAME {
            return false;
        }
        let id = key.to_string();
        id == written.id || contains(&id, &written.id) || contains(&written.id, &id)
    }

    /// What the predicted world answers for `key` when no state for exactly this key was predicted: below a
    /// predicted removal it is absent, below a predicted move it is read at the origin, through a replaced
    /// container it may be unknown.
    fn predicted(
        &self,
        _key: &Self::Key,
        _world: &Predicted<'_>,
    ) -> Shadow<Self::Key, Self::State> {
        Shadow::AsRead
    }

    /// What the answer rests on, beyond what `predicted` sees by the names in the key: places that may have other names
    /// (a path through a link). They are looked up, and what changes there under its true name makes the answer unknown.
    fn rests_on(&self, _key: &Self::Key) -> Vec<Mark> {
        Vec::new()
    }

    /// What was read, with what is predicted put over it, where `predicted` says [`Shadow::Over`].
    ///
    /// # Errors
    /// Why it is not known.
    fn over(
        &self,
        _key: &Self::Key,
        _read: Self::State,
        _world: &Predicted<'_>,
    ) -> Result<Self::State, String> {
        Err(format!("the kind {} does not tell", Self::NAME))
    }

    /// What is left of what is known of a resource (its state, or why it could not be read) by what is predicted around it:
    /// of a directory not its time, once something is made in it; nothing, once this user may not look there any more.
    fn amid(
        &self,
        _key: &Self::Key,
        known: Result<Self::State, String>,
        _world: &Predicted<'_>,
    ) -> Amid<Self::State> {
        known.map_or_else(Amid::Failed, Amid::State)
    }

    /// Where things with this id, or below it, may truly lie, where the host has to be asked for it (links).
    fn places(&self, _id: &str) -> Vec<Place> {
        Vec::new()
    }

    /// Why what was read of a resource may be another by the time the task comes, though nothing that was predicted names
    /// it: a user that is not there, and a command before that may make it. `None`: it is as read.
    fn may_become(
        &self,
        _key: &Self::Key,
        _read: &Self::State,
        _world: &Predicted<'_>,
    ) -> Option<String> {
        None
    }

    /// A state that was predicted for one user tells of that one, too (whose a file would be that it made). Where another
    /// user looks at it, this is what has to be read as that one to see it with its eyes: [`Kind::as_seen`].
    fn seen_by(&self, _state: &Self::State, _user: &str) -> Option<Self::Key> {
        None
    }

    /// The predicted state with the eyes of a user. `other`: what this user has read under the key of [`Kind::seen_by`].
    fn as_seen(&self, state: Self::State, _other: &Self::State) -> Self::State {
        state
    }

    /// Is this the state of something that may come by the way, when something below it is written: a directory that is
    /// not there yet?
    fn comes_on_the_way(&self, _read: &Self::State) -> bool {
        false
    }

    /// Writes all changes of one task: orders them, groups them, and takes back what it did if it fails half way.
    ///
    /// Each change must be found in its state `from` in the same step that writes it, else
    /// [`WriteError::Moved`] and nothing is written. Things replaced are kept on the target; the answer names them.
    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError>
    where
        Self: Sized;

    /// Brings a write that was cut off (the controller was killed, the connection or the machine went down) to where its
    /// resources can be read and wanted again: temporary things of it go, and what cannot be read back is finished. The
    /// answer names what it had put aside and is still there. `changes` are as they were given to [`Kind::write`]; any
    /// part of them may have been written, or nothing. Called again, it does nothing more.
    async fn recover(
        &self,
        _host: &Target,
        _changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError>
    where
        Self: Sized,
    {
        Ok(Vec::new())
    }

    /// How long after a write reading may go on until it agrees (a service that starts). Zero: at once.
    fn deadline(&self, _key: &Self::Key, _want: &Self::Want) -> Duration {
        Duration::ZERO
    }

    /// Does a state tell all that there is of the resource? A directory's does not: what it holds is told by others, so two
    /// that look alike need not be the same.
    fn is_whole(&self, _state: &Self::State) -> bool {
        true
    }

    /// Which of these things that were kept aside are still there, in their order. The default asks nobody and says all.
    async fn is_kept(&self, _host: &Probe, kept: &[Kept]) -> Result<Vec<bool>, HostError> {
        Ok(vec![true; kept.len()])
    }

    /// Removes what a write kept aside, at `runbook close`.
    async fn discard(&self, _host: &Target, _kept: &Kept) -> Result<(), HostError> {
        Ok(())
    }
}

/// A place that has to be looked up: the true form of the key, and what follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// What has to be read.
    pub key: Ref,
    /// What stands behind its id (`/*.conf`), or nothing.
    pub below: String,
}

/// `inner` lies below `outer`, as paths do.
#[must_use]
pub fn contains(outer: &str, inner: &str) -> bool {
    let outer = outer.trim_end_matches('/');
    inner.len() > outer.len() && inner.starts_with(outer) && inner.as_bytes()[outer.len()] == b'/'
}

/// One change: from what was read to what will be, for what is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change<S, W> {
    /// The state that was read.
    pub from: S,
    /// The predicted state.
    pub to: S,
    /// What the module asked for.
    pub want: W,
}

/// A change with its key.
pub struct KeyedChange<K: Kind> {
    /// Which resource.
    pub key: K::Key,
    /// The change.
    pub change: Change<K::State, K::Want>,
}

/// What the predicted world says about a key of which nothing was predicted itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Shadow<K, S> {
    /// As the host says now.
    AsRead,
    /// As the host says now, under a named assumption.
    Assuming(String),
    /// As the host says now, with what is predicted put over it: [`Kind::over`]; under an assumption where one is named.
    Over(Option<String>),
    /// As the host says now at another key (below a predicted move or link).
    At(K),
    /// This state.
    Known(S),
    /// Not known, and why (`until "New archive"`).
    Unknown(String),
}

/// What is known of a resource amid all that is predicted.
#[derive(Debug, Clone, PartialEq)]
pub enum Amid<S> {
    /// This state.
    State(S),
    /// It cannot be read, and why.
    Failed(String),
    /// Not known, and why (`until "Folder of the site"`).
    Unknown(String),
}

/// Can a change be taken back?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reversible {
    /// Wholly.
    Yes,
    /// What was before works with it, so going back leaves it where it is, for this reason, unless it is named.
    Stays(String),
    /// It can, but this is lost.
    Loses(String),
    /// It cannot, for this reason.
    Never(String),
}

/// A thing put aside on the target so that a change can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The kind that keeps it.
    pub kind: String,
    /// The resource whose change it belongs to.
    pub of: String,
    /// Where it is: a path, a container's name.
    pub place: String,
    /// Bytes it takes, where known.
    pub size: Option<u64>,
    /// As whom it was put there: the user that was become, if any. Set by the engine.
    #[serde(default)]
    pub user: Option<String>,
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The state was no longer the one it was planned from; nothing was written.
    #[error("{what} is no longer as it was read: {found}")]
    Moved {
        /// The resource.
        what: String,
        /// What was found in place of it, short, no secret.
        found: String,
    },
    /// The host did not do it. What had been done is taken back, unless `left` says what was not.
    #[error("{message}")]
    Failed {
        /// What was tried, what came back, what to do.
        message: String,
        /// What could not be taken back: where the host stands now.
        left: Option<String>,
    },
    /// The host or the connection.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl WriteError {
    /// A failure after which the host is as it was.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            left: None,
        }
    }
}
