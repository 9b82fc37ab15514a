//! What is known of one machine: states read from it, and, in a prediction, what will be.

mod base;
mod overlay;
mod places;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value as Json;

pub use base::Base;
pub use overlay::Overlay;

use crate::host::{HostError, Probe, User};
use crate::registry::Registry;
use crate::resource::{Amid, Ref, Shadow};
use crate::world::{Known, Lookup, Predicted};

/// How many predicted links are gone along before they are taken for a circle.
const LINKS: usize = 40;

/// Where a key's state comes from.
enum Source {
    Overlay(Known),
    /// Predicted for another user: what this one has to read to see it with its own eyes.
    Through(Json, Ref),
    Base(Ref, Option<String>),
    /// What the host has, with what is predicted put over it.
    Over(Ref, Option<String>),
}

impl Source {
    /// What has to be read for it.
    fn rests_on(self) -> Option<Ref> {
        match self {
            Self::Overlay(_) => None,
            Self::Through(_, at) | Self::Base(at, _) | Self::Over(at, _) => Some(at),
        }
    }
}

/// What is known of a key.
#[derive(Default)]
struct Found {
    known: Option<Known>,
    /// What it rests on, if it is a prediction that does.
    assumption: Option<String>,
    /// It is what the host has.
    as_read: bool,
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
        self.since = Instant::now().checked_sub(base::FRESH);
        self
    }

    fn source(&self, key: &Ref) -> Source {
        match self.predicted(key) {
            Source::Overlay(Known::State(state)) => {
                let kind = self.registry.find_kind(&key.kind);
                match kind.and_then(|kind| kind.seen_by(&state, &self.name)) {
                    Some(other) => Source::Through(state, other),
                    None => Source::Overlay(Known::State(state)),
                }
            }
            source => source,
        }
    }

    fn predicted(&self, key: &Ref) -> Source {
        let Some(overlay) = &self.overlay else {
            return Source::Base(key.clone(), None);
        };
        let met = self.met_elsewhere(key);
        let whole = |key: Ref| Ref {
            kind: self.registry.whole_of(&key.kind).to_owned(),
            ..key
        };
        let part_of = |at: &Ref| Ref {
            kind: key.kind.clone(),
            ..at.clone()
        };
        let form_of = |at: &Ref| {
            let form = whole(lock(&self.base).true_form(&self.name, &part_of(at)));
            let kind = self.registry.find_kind(&form.kind);
            kind.map_or_else(|| form.clone(), |kind| kind.asked_as(&form, at))
        };
        match self.foretold(&lock(overlay), &whole(key.clone()), &form_of) {
            Source::Base(..) | Source::Over(..) if met.is_some() => {
                Source::Overlay(Known::Unknown(met.unwrap_or_default()))
            }
            Source::Base(at, assumption) => {
                let kind = key.kind.clone();
                Source::Base(Ref { kind, ..at }, assumption)
            }
            Source::Overlay(Known::State(state)) => Source::Overlay(self.part(&key.kind, state)),
            found => found,
        }
    }

    /// What the predicted world says of a key, as it was asked for and as the host has it (`form_of`, as far as that is
    /// known).
    fn foretold(&self, overlay: &Overlay, key: &Ref, form_of: &dyn Fn(&Ref) -> Ref) -> Source {
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
        let mut found = self.shadow(overlay, key, LINKS);
        for _ in 0..LINKS {
            let Source::Base(at, None) = &found else {
                break;
            };
            let form = form_of(at);
            if form == *at {
                break;
            }
            match self.shadow(overlay, &form, LINKS) {
                // Nothing was predicted of it under its true name, either: what was read under the other is true.
                Source::Base(same, assumption) if same == form => {
                    found = Source::Base(at.clone(), assumption);
                    break;
                }
                other => found = other,
            }
        }
        found
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
            Shadow::Over(assuming) => Source::Over(key.clone(), assuming),
            Shadow::Assuming(what) => Source::Base(key.clone(), Some(what)),
            // What programs make of that is theirs.
            Shadow::At(origin) if links == 0 => {
                Source::Overlay(Known::Unknown(format!("{origin}: links lead in a circle")))
            }
            Shadow::At(origin) => self.shadow(overlay, &origin, links - 1),
            Shadow::Known(state) => {
                let known = overlay.retold(&self.registry, key, state);
                let unknown = overlay.on_the_way(&self.registry, key, &known);
                Source::Overlay(unknown.unwrap_or(known))
            }
            Shadow::Unknown(why) => Source::Overlay(Known::Unknown(why)),
        }
    }

    /// A state that was predicted for another user, as this one sees it.
    fn with_own_eyes(&self, kind: &str, state: Json, read: &Known) -> Known {
        let kind = self.registry.find_kind(kind);
        let seen = match (kind, read) {
            (Some(kind), Known::State(read)) => kind.as_seen(&state, read).ok(),
            _ => None,
        };
        Known::State(seen.unwrap_or(state))
    }

    /// What was read, with what is predicted put over it.
    fn over(&self, kind: &str, at: &Ref, read: Known) -> Known {
        let (Known::State(read), Some(overlay)) = (&read, &self.overlay) else {
            return read;
        };
        let overlay = lock(overlay);
        let world = Predicted {
            changes: &overlay.changes,
        };
        let whole = self.registry.find_kind(&at.kind);
        let state = whole.map_or_else(|| Ok(read.clone()), |k| k.over(at, read, &world));
        match state {
            Ok(state) => self.part(kind, state),
            Err(why) => Known::Unknown(why),
        }
    }

    /// Of a state what this kind shows of it, where it is a part of another kind.
    fn part(&self, kind: &str, state: Json) -> Known {
        let kind = self.registry.find_kind(kind);
        let part = match kind.filter(|kind| kind.part_of().is_some()) {
            Some(kind) => kind.part(&state),
            None => Ok(state),
        };
        part.map_or_else(Known::Failed, Known::State)
    }

    /// What was read, where it may be another by then.
    fn may_become(&self, at: &Ref, read: &Known) -> Option<Known> {
        let (Known::State(read), Some(overlay)) = (read, &self.overlay) else {
            return None;
        };
        let overlay = lock(overlay);
        let world = Predicted {
            changes: &overlay.changes,
        };
        let kind = self.registry.find_kind(&at.kind)?;
        kind.may_become(at, read, &world).map(Known::Unknown)
    }

    /// What the predicted world says of what was read under this key, where a change was predicted under another name.
    fn under_other_name(&self, at: &Ref, read: &Known) -> Option<Known> {
        let (Known::State(read), Some(overlay)) = (read, &self.overlay) else {
            return None;
        };
        lock(overlay).under_other_name(&self.registry, at, read)
    }

    /// What is known, amid all that is predicted.
    fn amid(&self, key: &Ref, known: Known) -> Known {
        let kind = self.registry.find_kind(&key.kind).filter(|k| k.is_amid());
        let (Some(kind), Some(overlay)) = (kind, &self.overlay) else {
            return known;
        };
        let overlay = lock(overlay);
        if overlay.is_untouched() {
            return known;
        }
        let known = match known {
            Known::State(state) => Ok(state),
            Known::Failed(why) => Err(why),
            unknown @ Known::Unknown(_) => return unknown,
        };
        let world = Predicted {
            changes: &overlay.changes,
        };
        match kind.amid(key, known, &world) {
            Amid::State(state) => Known::State(state),
            Amid::Failed(why) => Known::Failed(why),
            Amid::Unknown(why) => Known::Unknown(why),
        }
    }

    /// What is known of a key, without noting that it was looked at.
    fn find(&self, key: &Ref) -> Found {
        let mut found = Found::default();
        match self.source(key) {
            Source::Overlay(known) => found.known = Some(known),
            Source::Through(state, other) => {
                let read = lock(&self.base)
                    .get(&self.name, &other, self.since)
                    .cloned();
                found.known = read.map(|read| self.with_own_eyes(&key.kind, state, &read));
            }
            Source::Over(at, assumption) => {
                let read = lock(&self.base).get(&self.name, &at, self.since).cloned();
                found.assumption = assumption.filter(|_| read.is_some());
                found.known = read.map(|read| self.over(&key.kind, &at, read));
                // It rests on what the host has, but for what this walk predicts, which is the same each time.
                found.as_read = found.known.is_some();
            }
            Source::Base(at, assumption) => {
                let known = lock(&self.base).get(&self.name, &at, self.since).cloned();
                found.assumption = assumption.filter(|_| known.is_some());
                let told = known
                    .as_ref()
                    .and_then(|known| self.under_other_name(&at, known));
                found.as_read = known.is_some() && told.is_none();
                let known = told.or(known);
                let unknown = known.as_ref().zip(self.overlay.as_ref());
                let unknown =
                    unknown.and_then(|(known, o)| lock(o).on_the_way(&self.registry, &at, known));
                let other = known.as_ref().and_then(|known| self.may_become(&at, known));
                found.known = unknown.or(other).or(known);
            }
        }
        found.known = found.known.map(|known| self.amid(key, known));
        found
    }

    /// What has to be read from the host so that these keys are known.
    #[must_use]
    pub fn to_read(&self, keys: &[Ref]) -> Vec<Ref> {
        let mut known = HashSet::new();
        let mut wanted = self.places_of(keys);
        wanted.retain(|place| known.insert(place.clone()));
        for key in keys {
            let Some(at) = self.source(key).rests_on() else {
                continue;
            };
            let base = lock(&self.base);
            if base.get(&self.name, &at, self.since).is_none() && known.insert(at.clone()) {
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
                            base.is_form_of(&self.name, key, &form);
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
        if self.predicts() && !self.places_of(std::slice::from_ref(key)).is_empty() {
            return None;
        }
        let found = self.find(key);
        if let Some(what) = found.assumption {
            self.assume(what);
        }
        if found.as_read {
            lock(&self.from_host).insert(key.clone());
        }
        if let Some(known) = &found.known {
            lock(&self.seen).insert(key.clone(), known.clone());
        }
        found.known
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
    use std::time::Duration;

    use super::base::FRESH;
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
        lock(&base).age(FRESH + Duration::from_secs(1));
        assert!(sight(&base).fresh().lookup(&key).is_none());
        assert!(sight(&base).lookup(&key).is_some(), "a check takes it");
    }
}
