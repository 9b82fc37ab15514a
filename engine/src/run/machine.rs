//! What is known of one machine: states read from it, and, in a prediction, what will be.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::host::{HostError, Probe, User};
use crate::module::Mark;
use crate::registry::Registry;
use crate::resource::{Ref, Shadow, contains};
use crate::world::{Known, Lookup, Predicted, PredictedChange};

/// The states read from a machine, each as one user sees it. Inventory hosts that are one machine share it.
///
/// A state counts until something that overlaps it is written; an action may end it for the whole machine.
#[derive(Default)]
pub struct Base {
    states: HashMap<(String, Ref), Read>,
    /// Other names of a resource: key as asked for → its one true form.
    aliases: HashMap<(String, Ref), Ref>,
}

/// A state that was read.
struct Read {
    known: Known,
    at: Instant,
}

/// How long a run takes a state that was read early for true. Nothing tells of what others do meanwhile, so what a task
/// calls ok is never older than this when the task begins; a write looks again in any case.
const FRESH: Duration = Duration::from_secs(20);

impl Base {
    /// What was read at `since` or later.
    fn get(&self, user: &str, key: &Ref, since: Option<Instant>) -> Option<&Known> {
        let asked = (user.to_owned(), key.clone());
        let read = match self.aliases.get(&asked) {
            Some(form) => self.states.get(&(user.to_owned(), form.clone())),
            None => self.states.get(&asked),
        }?;
        since
            .is_none_or(|since| read.at >= since)
            .then_some(&read.known)
    }

    fn put(&mut self, user: &str, key: Ref, known: Known) {
        let at = Instant::now();
        self.states
            .insert((user.to_owned(), key), Read { known, at });
    }

    /// The true form of a key, where reading has shown it.
    fn true_form(&self, user: &str, key: &Ref) -> Ref {
        self.aliases
            .get(&(user.to_owned(), key.clone()))
            .cloned()
            .unwrap_or_else(|| key.clone())
    }

    /// Ends the validity of everything that writing `written` may have changed.
    pub fn written(&mut self, registry: &Registry, written: &Ref) {
        let touched = |key: &Ref| {
            key == written
                || registry
                    .find_kind(&key.kind)
                    .is_none_or(|kind| kind.touched_by(key, written))
        };
        self.states.retain(|(_, key), _| !touched(key));
        self.aliases
            .retain(|(_, asked), form| !touched(asked) && !touched(form));
    }

    /// Ends the validity of everything.
    pub fn forget_all(&mut self) {
        self.states.clear();
        self.aliases.clear();
    }
}

/// What a prediction has put over the states that were read.
#[derive(Default, Clone)]
pub struct Overlay {
    states: HashMap<Ref, Known>,
    changes: Vec<PredictedChange>,
    /// Everything that is not in `states` is unknown since this.
    opaque: Option<String>,
}

impl Overlay {
    /// A predicted change.
    pub fn change(
        &mut self,
        registry: &Registry,
        key: &Ref,
        from: Option<Json>,
        to: Known,
        task: &str,
    ) {
        if !registry.predicts(&key.kind) {
            return;
        }
        let kind_of = |k: &Ref| registry.find_kind(&k.kind).cloned();
        let known_to = match &to {
            Known::State(state) => Some(state.clone()),
            _ => None,
        };
        self.changes.push(PredictedChange {
            key: key.clone(),
            from,
            to: known_to,
            task: task.to_owned(),
        });
        // What was predicted of a directory, or of an entry, holds though something below it changes; and what was
        // predicted of a network holds though a container leaves it. To look at the host again would show what was.
        let world = Predicted {
            changes: &self.changes,
        };
        self.states.retain(|k, _| {
            let Some(kind) = kind_of(k) else {
                return true;
            };
            let stays = || match k.kind == key.kind {
                true => contains(&k.id, &key.id),
                false => matches!(
                    kind.predicted(k, &world),
                    Shadow::AsRead | Shadow::Assuming(_)
                ),
            };
            k == key || !kind.touched_by(k, key) || stays()
        });
        self.states.insert(key.clone(), to);
    }

    /// Something that this walk may or may not write: the resources of a mark.
    pub fn unknown(&mut self, registry: &Registry, mark: &Mark, why: &str, task: &str) {
        if !registry.predicts(&mark.kind) {
            return;
        }
        let key = Ref {
            kind: mark.kind.clone(),
            id: mark.id.clone(),
            data: Json::Null,
        };
        // What stands above it stays known, but where it is only made for the sake of what comes below.
        let touched = |k: &Ref, known: &Known| {
            is_marked(mark, k)
                || (contains(&k.id, &mark.id) && comes_on_the_way(registry, k, known))
        };
        self.states
            .iter_mut()
            .filter(|(k, known)| k.kind == mark.kind && touched(k, known))
            .for_each(|(_, known)| *known = Known::Unknown(why.to_owned()));
        self.changes.push(PredictedChange {
            key: key.clone(),
            from: None,
            to: None,
            task: task.to_owned(),
        });
        self.states.insert(key, Known::Unknown(why.to_owned()));
    }

    /// The changes of which only the place is known.
    fn marks(&self) -> impl Iterator<Item = (Mark, &str)> {
        let unknown = self
            .changes
            .iter()
            .filter(|c| c.from.is_none() && c.to.is_none());
        unknown.map(|c| {
            let mark = Mark {
                kind: c.key.kind.clone(),
                id: c.key.id.clone(),
            };
            (mark, c.task.as_str())
        })
    }

    /// The task that may write the key, or something that the key lies in.
    fn marked(&self, key: &Ref) -> Option<Known> {
        let (_, task) = self.marks().find(|(mark, _)| is_marked(mark, key))?;
        Some(until(task))
    }

    /// The task that may write something below the key and make the key on the way.
    fn on_the_way(&self, registry: &Registry, key: &Ref, known: &Known) -> Option<Known> {
        let below = |(mark, _): &(Mark, &str)| mark.kind == key.kind && contains(&key.id, &mark.id);
        let (_, task) = self.marks().find(below)?;
        comes_on_the_way(registry, key, known).then(|| until(task))
    }

    /// What was predicted, in the order of the tasks.
    #[must_use]
    pub fn changes(&self) -> &[PredictedChange] {
        &self.changes
    }

    /// Nothing was predicted so far: what is read now is what the run will find.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.changes.is_empty() && self.opaque.is_none()
    }

    /// From here on nothing is known that is not predicted after it.
    pub fn opaque(&mut self, why: &str) {
        self.states.clear();
        self.opaque = Some(why.to_owned());
    }
}

fn until(task: &str) -> Known {
    Known::Unknown(format!("until \"{task}\""))
}

/// Is the key what the mark names, or does it lie in it?
fn is_marked(mark: &Mark, key: &Ref) -> bool {
    let id = match key.id.len() {
        0 | 1 => key.id.as_str(),
        _ => key.id.trim_end_matches('/'),
    };
    let key = Mark {
        kind: key.kind.clone(),
        id: id.to_owned(),
    };
    mark.overlaps(&key) && !contains(&key.id, &mark.id)
}

fn comes_on_the_way(registry: &Registry, key: &Ref, known: &Known) -> bool {
    let (Known::State(state), Some(kind)) = (known, registry.find_kind(&key.kind)) else {
        return false;
    };
    kind.comes_on_the_way(state)
}

/// How many predicted links are gone along before they are taken for a circle.
const LINKS: usize = 40;

/// Where a key's state comes from.
enum Source {
    Overlay(Known),
    Base(Ref, Option<String>),
}

/// As whom a machine is seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seer {
    /// The user, as reads are asked for.
    pub user: User,
    /// The user's name, of the login user too.
    pub name: String,
}

/// What one task sees of its machine, as one user.
///
/// It notes every state that was given out, since a task may only see what its footprint names and the state before
/// is needed for its output; and every assumption that a state rests on.
pub struct Sight {
    registry: Arc<Registry>,
    base: Arc<Mutex<Base>>,
    overlay: Option<Arc<Mutex<Overlay>>>,
    user: User,
    /// Name of the user: two inventory hosts that are one machine may log in as two users, who see two things.
    name: String,
    /// What was read before this is read again; `None`: whatever was read counts.
    since: Option<Instant>,
    seen: Mutex<HashMap<Ref, Known>>,
    /// Of these, what came from the host and was not predicted.
    from_host: Mutex<BTreeSet<Ref>>,
    assumptions: Mutex<BTreeSet<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sight {
    /// A sight on `base`, below `overlay` in a prediction.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        base: Arc<Mutex<Base>>,
        overlay: Option<Arc<Mutex<Overlay>>>,
        user: Seer,
    ) -> Self {
        Self {
            registry,
            base,
            overlay,
            user: user.user,
            name: user.name,
            since: None,
            seen: Mutex::default(),
            from_host: Mutex::default(),
            assumptions: Mutex::default(),
        }
    }

    /// Takes only what was read a short while ago.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.since = Instant::now().checked_sub(FRESH);
        self
    }

    fn source(&self, key: &Ref) -> Source {
        let Some(overlay) = &self.overlay else {
            return Source::Base(key.clone(), None);
        };
        let form = lock(&self.base).true_form(&self.name, key);
        let overlay = lock(overlay);
        if let Some(known) = overlay.states.get(key) {
            return Source::Overlay(known.clone());
        }
        if let Some(why) = &overlay.opaque {
            return Source::Overlay(Known::Unknown(why.clone()));
        }
        if overlay.changes.is_empty() {
            return Source::Base(key.clone(), None);
        }
        // What was asked for comes before what the host has made of it: a link that leads elsewhere now may be gone.
        let found = self.shadow(&overlay, key, LINKS);
        match found {
            Source::Base(at, None) if at == *key && form != *key => {
                match self.shadow(&overlay, &form, LINKS) {
                    Source::Base(at, assumption) if at == form => {
                        Source::Base(key.clone(), assumption)
                    }
                    other => other,
                }
            }
            found => found,
        }
    }

    /// What the predicted world says of a key in this form.
    fn shadow(&self, overlay: &Overlay, key: &Ref, links: usize) -> Source {
        if let Some(known) = overlay.states.get(key) {
            return Source::Overlay(known.clone());
        }
        if let Some(unknown) = overlay.marked(key) {
            return Source::Overlay(unknown);
        }
        let kind = self.registry.find_kind(&key.kind);
        let Some(kind) = kind.filter(|_| self.registry.predicts(&key.kind)) else {
            return Source::Base(key.clone(), None);
        };
        let world = Predicted {
            changes: &overlay.changes,
        };
        match kind.predicted(key, &world) {
            Shadow::AsRead => Source::Base(key.clone(), None),
            Shadow::Assuming(what) => Source::Base(key.clone(), Some(what)),
            Shadow::At(origin) if links == 0 => {
                Source::Overlay(Known::Failed(format!("{origin}: links lead in a circle")))
            }
            Shadow::At(origin) => self.shadow(overlay, &origin, links - 1),
            Shadow::Known(state) => {
                let known = Known::State(state);
                let unknown = overlay.on_the_way(&self.registry, key, &known);
                Source::Overlay(unknown.unwrap_or(known))
            }
            Shadow::Unknown(why) => Source::Overlay(Known::Unknown(why)),
        }
    }

    /// What has to be read from the host so that these keys are known.
    #[must_use]
    pub fn to_read(&self, keys: &[Ref]) -> Vec<Ref> {
        let mut wanted = Vec::new();
        let mut known = HashSet::new();
        for key in keys {
            if let Source::Base(at, _) = self.source(key)
                && lock(&self.base).get(&self.name, &at, self.since).is_none()
                && known.insert(at.clone())
            {
                wanted.push(at);
            }
        }
        wanted
    }

    /// Reads what is missing for these keys; kinds side by side, so that their questions travel together.
    pub async fn read(&self, probe: &Probe, keys: &[Ref]) -> Result<(), HostError> {
        let missing = self.to_read(keys);
        let mut by_kind: Vec<(String, Vec<Ref>)> = Vec::new();
        for key in missing {
            match by_kind.iter_mut().find(|(kind, _)| *kind == key.kind) {
                Some((_, refs)) => refs.push(key),
                None => by_kind.push((key.kind.clone(), vec![key])),
            }
        }
        let probe = probe.with_user(self.user.clone());
        let reads = by_kind.into_iter().map(|(name, refs)| {
            let kind = self.registry.find_kind(&name).cloned();
            let probe = probe.clone();
            async move {
                let states = match &kind {
                    Some(kind) => kind.read(&probe, &refs).await,
                    None => refs
                        .iter()
                        .map(|_| Err(HostError::failed(format!("no kind `{name}`"))))
                        .collect(),
                };
                (kind, refs, states)
            }
        });
        let mut lost = None;
        for (kind, refs, states) in futures::future::join_all(reads).await {
            let mut base = lock(&self.base);
            for (key, state) in refs.into_iter().zip(states) {
                match state {
                    Ok(state) => {
                        let form = kind
                            .as_ref()
                            .map_or_else(|| key.clone(), |kind| kind.canonical(&key, &state));
                        if form != key {
                            base.aliases.insert((self.name.clone(), key), form.clone());
                        }
                        base.put(&self.name, form, Known::State(state));
                    }
                    Err(error @ HostError::Unreachable(_)) => lost = Some(error),
                    Err(error) => {
                        base.put(&self.name, key, Known::Failed(error.to_string()));
                    }
                }
            }
        }
        lost.map_or(Ok(()), Err)
    }

    /// The one true form of a key in the world that is seen, where its state is this.
    #[must_use]
    pub fn true_form(&self, key: &Ref, state: &Json) -> Ref {
        let kind = self.registry.find_kind(&key.kind);
        kind.map_or_else(|| key.clone(), |kind| kind.canonical(key, state))
    }

    /// Every state given out so far.
    #[must_use]
    pub fn seen(&self) -> HashMap<Ref, Known> {
        lock(&self.seen).clone()
    }

    /// The states that were given out as the host has them, in order of their keys.
    #[must_use]
    pub fn read_states(&self) -> Vec<(Ref, Json)> {
        let seen = lock(&self.seen);
        lock(&self.from_host)
            .iter()
            .filter_map(|key| match seen.get(key)? {
                Known::State(state) => Some((key.clone(), state.clone())),
                Known::Unknown(_) | Known::Failed(_) => None,
            })
            .collect()
    }

    /// Every assumption that they rest on.
    #[must_use]
    pub fn assumptions(&self) -> BTreeSet<String> {
        lock(&self.assumptions).clone()
    }

    /// Notes an assumption.
    pub fn assume(&self, what: String) {
        lock(&self.assumptions).insert(what);
    }
}

impl Lookup for Sight {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        let found = match self.source(key) {
            Source::Overlay(known) => Some(known),
            Source::Base(at, assumption) => {
                let known = lock(&self.base).get(&self.name, &at, self.since).cloned();
                if known.is_some()
                    && let Some(what) = assumption
                {
                    self.assume(what);
                }
                if known.is_some() {
                    lock(&self.from_host).insert(key.clone());
                }
                let unknown = known.as_ref().zip(self.overlay.as_ref());
                let unknown =
                    unknown.and_then(|(known, o)| lock(o).on_the_way(&self.registry, &at, known));
                unknown.or(known)
            }
        };
        if let Some(known) = &found {
            lock(&self.seen).insert(key.clone(), known.clone());
        }
        found
    }
}

/// The states that a task saw, kept for its output.
pub struct Seen(pub HashMap<Ref, Known>);

impl Lookup for Seen {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        self.0
            .get(key)
            .cloned()
            .or_else(|| Some(Known::Unknown("it was not read before".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_user_has_read_another_has_not() {
        let key = Ref {
            kind: "file".to_owned(),
            id: "/etc/shadow".to_owned(),
            data: Json::Null,
        };
        let base = Arc::new(Mutex::new(Base::default()));
        lock(&base).put("root", key.clone(), Known::State(Json::Null));
        let sight = |name: &str| {
            let user = Seer {
                user: User::Login,
                name: name.to_owned(),
            };
            Sight::new(Arc::default(), base.clone(), None, user)
        };
        assert_eq!(sight("postgres").lookup(&key), None);
        assert!(sight("root").lookup(&key).is_some());
    }

    #[test]
    fn what_is_predicted_holds_though_something_below_it_changes() {
        let key = |id: &str| Ref {
            kind: "entry".to_owned(),
            id: id.to_owned(),
            data: Json::Null,
        };
        let registry = Registry::default();
        let mut overlay = Overlay::default();
        let here = Known::State(Json::Bool(true));
        for id in ["dc=org/ou=ours", "dc=org/ou=ours/cn=a"] {
            overlay.change(&registry, &key(id), Some(Json::Null), here.clone(), "T");
        }
        assert_eq!(overlay.states.get(&key("dc=org/ou=ours")), Some(&here));
    }

    #[test]
    fn what_may_be_written_is_unknown_with_all_below_it_and_nothing_above() {
        let key = |id: &str| Ref {
            kind: "file".to_owned(),
            id: id.to_owned(),
            data: Json::Null,
        };
        let registry = Registry::default();
        let mut overlay = Overlay::default();
        let here = Known::State(Json::Bool(true));
        for id in ["/etc", "/etc/app", "/etc/app/conf", "/srv"] {
            overlay.change(&registry, &key(id), Some(Json::Null), here.clone(), "T");
        }
        let mark = Mark {
            kind: "file".to_owned(),
            id: "/etc/app".to_owned(),
        };
        overlay.unknown(&registry, &mark, "until \"U\"", "U");
        let known = |id: &str| overlay.states.get(&key(id)) == Some(&here);
        let all = ["/etc", "/etc/app", "/etc/app/conf", "/srv"].map(known);
        assert_eq!(all, [true, false, false, true]);
        // What nobody has looked at so far, too.
        assert_eq!(overlay.marked(&key("/etc/app/new")), Some(until("U")));
        assert_eq!(overlay.marked(&key("/etc/application")), None);
        assert_eq!(overlay.marked(&key("/etc")), None);
    }

    #[test]
    fn what_was_read_long_ago_is_read_again_in_a_run() {
        let key = Ref {
            kind: "file".to_owned(),
            id: "/etc/hosts".to_owned(),
            data: Json::Null,
        };
        let mut old = Base::default();
        old.put("root", key.clone(), Known::State(Json::Null));
        let sight = |base: &Arc<Mutex<Base>>| {
            let user = Seer {
                user: User::Login,
                name: "root".to_owned(),
            };
            Sight::new(Arc::default(), base.clone(), None, user)
        };
        let base = Arc::new(Mutex::new(old));
        assert!(sight(&base).fresh().lookup(&key).is_some());
        if let Some(read) = lock(&base).states.values_mut().next() {
            let before = Instant::now().checked_sub(FRESH + Duration::from_secs(1));
            read.at = before.unwrap_or(read.at);
        }
        assert!(sight(&base).fresh().lookup(&key).is_none());
        assert!(sight(&base).lookup(&key).is_some(), "a check takes it");
    }
}
