//! One rendering: what is looked at, how deep, and what it found out.
//!
//! Variables are rendered when they are looked at and only as far as they are: `{{ images.ldap }}` renders that entry
//! and none of its neighbours. What minijinja gets are views ([`super::views`]) of places, never copies.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::place::{Id, Place, Seen};
use super::scope::Scope;
use super::{Engine, ErrorKind, TemplateError, convert, is_template};
use crate::source::{Kind, Node, untyped};
use crate::value::{Secret, Value};
use crate::vault::Encrypted;

/// Templates that lead to templates may be this deep; a chain that is deeper is taken for one without end.
const DEEPEST: usize = 24;

/// What a template came to.
#[derive(Clone)]
pub(super) enum Outcome {
    /// Just what stands at a place, not copied and not rendered further.
    Place(Box<Place>),
    /// A value.
    Value(Arc<Value>),
    /// `omit`.
    Omit,
    /// Something it needs does not exist. `default` and `is defined` of whoever looks may still save it.
    Undefined(Arc<TemplateError>),
    /// It rests on what only the run will know.
    Unknown(String),
    /// It cannot be rendered.
    Failed(Arc<TemplateError>),
}

/// What one call of the engine shares between all templates that it comes across.
pub(super) struct Session {
    pub(super) engine: Arc<Engine>,
    cache: Mutex<HashMap<Id, Outcome>>,
    /// The variables that are being rendered, outermost first.
    stack: Mutex<Vec<(Id, Arc<str>)>>,
    /// Scopes below dynamic names, so that one keeps its identity.
    children: Mutex<HashMap<(u64, String), Scope>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(super) fn new(engine: &Arc<Engine>) -> Arc<Self> {
        Arc::new(Self {
            engine: engine.clone(),
            cache: Mutex::default(),
            stack: Mutex::default(),
            children: Mutex::default(),
        })
    }

    /// Finds a variable: its place, or the scope that it is.
    pub(super) fn find(&self, scope: &Scope, name: &str) -> Option<Result<Place, Scope>> {
        let key = (scope.id(), name.to_owned());
        if let Some(child) = locked(&self.children).get(&key) {
            return Some(Err(child.clone()));
        }
        let found = Place::of(scope.find(name)?, name, scope);
        if let Err(child) = &found {
            locked(&self.children).insert(key, child.clone());
        }
        Some(found)
    }

    /// Renders what stands at a place as far as it is one scalar. What is written there comes as it is, a number as a
    /// number; whether it is secret, the place says.
    pub(super) fn outcome(self: &Arc<Self>, place: &Place) -> Outcome {
        let (node, text) = match place.see() {
            Some(Seen::Node(node)) => match &node.kind {
                Kind::Scalar { text, .. } if is_template(text) => (node, text),
                Kind::Scalar { .. } => return Outcome::Value(Arc::new(untyped(node))),
                Kind::Encrypted(text) => {
                    return match decrypted(text, node) {
                        Ok(value) => Outcome::Value(Arc::new(value)),
                        Err(error) => Outcome::Failed(Arc::new(error)),
                    };
                }
                _ => return Outcome::Place(Box::new(place.clone())),
            },
            _ => return Outcome::Place(Box::new(place.clone())),
        };
        let id = place.id();
        if let Some(known) = locked(&self.cache).get(&id) {
            return known.clone();
        }
        if let Some(error) = self.enter(&id, place, node) {
            return Outcome::Failed(Arc::new(error));
        }
        let outcome = self.engine.scalar(self, &place.scope, node, text);
        locked(&self.stack).pop();
        let outcome = match outcome {
            Outcome::Value(value) if place.secret => {
                Outcome::Value(Arc::new(secret((*value).clone())))
            }
            Outcome::Place(mut inner) if place.secret => {
                inner.secret = true;
                Outcome::Place(inner)
            }
            other => other,
        };
        locked(&self.cache).insert(id, outcome.clone());
        outcome
    }

    fn enter(&self, id: &Id, place: &Place, node: &Node) -> Option<TemplateError> {
        let mut stack = locked(&self.stack);
        let start = stack.iter().position(|(known, _)| known == id);
        if start.is_none() && stack.len() < DEEPEST {
            stack.push((id.clone(), place.shown.clone()));
            return None;
        }
        let names: Vec<&str> = stack
            .iter()
            .skip(start.unwrap_or_default())
            .map(|(_, name)| &**name)
            .chain([&*place.shown])
            .collect();
        let chain = names.join(" → ");
        let message = match start {
            Some(_) => format!("the variable `{}` is made of itself: {chain}", place.shown),
            None => format!("variables lead to variables more than {DEEPEST} deep: {chain}"),
        };
        Some(TemplateError::new(ErrorKind::Cycle, message, node.span))
    }

    /// All that stands at a place, rendered to the end. What is unknown stays at its own leaf; `None` where it is
    /// `omit`.
    pub(super) fn whole(self: &Arc<Self>, place: &Place) -> Result<Option<Value>, TemplateError> {
        self.whole_within(place, &mut Vec::new())
    }

    /// `above`: the places around this one, and what they are called.
    fn whole_within(
        self: &Arc<Self>,
        place: &Place,
        above: &mut Vec<(Id, Arc<str>)>,
    ) -> Result<Option<Value>, TemplateError> {
        let inner = match self.outcome(place) {
            Outcome::Place(inner) => inner,
            Outcome::Value(value) => {
                let value = (*value).clone();
                return Ok(Some(if place.is_secret() {
                    secret(value)
                } else {
                    value
                }));
            }
            Outcome::Omit => return Ok(None),
            Outcome::Unknown(why) => return Ok(Some(Value::Unknown(why))),
            Outcome::Undefined(error) | Outcome::Failed(error) => return Err((*error).clone()),
        };
        let list = match inner.see() {
            Some(Seen::Value(value)) => {
                let value = value.clone();
                return Ok(Some(if inner.secret { secret(value) } else { value }));
            }
            Some(Seen::Node(node)) => {
                let id = inner.id();
                if let Some(at) = above.iter().position(|(known, _)| *known == id) {
                    let names = above.iter().skip(at).map(|(_, name)| &**name);
                    let names: Vec<&str> = names.chain([&*place.shown]).collect();
                    let message = format!(
                        "the variable `{}` is made of itself: {}",
                        inner.shown,
                        names.join(" → ")
                    );
                    return Err(TemplateError::new(ErrorKind::Cycle, message, node.span));
                }
                above.push((id, inner.shown.clone()));
                matches!(node.kind, Kind::Seq(_))
            }
            None => return Ok(Some(Value::Null)),
        };
        let value = self.entries(&inner, list, above);
        above.pop();
        value.map(Some)
    }

    fn entries(
        self: &Arc<Self>,
        inner: &Place,
        list: bool,
        above: &mut Vec<(Id, Arc<str>)>,
    ) -> Result<Value, TemplateError> {
        if list {
            let mut items = Vec::with_capacity(inner.len());
            for item in (0..inner.len()).filter_map(|at| inner.item(at)) {
                items.extend(self.whole_within(&item, above)?);
            }
            return Ok(Value::List(items));
        }
        let mut map = indexmap::IndexMap::new();
        for key in inner.keys() {
            let Some(entry) = inner.key(&key) else {
                continue;
            };
            if let Some(value) = self.whole_within(&entry, above)? {
                map.insert(key, value);
            }
        }
        Ok(Value::Map(map))
    }
}

/// What happened while one template was rendered.
#[derive(Default)]
pub(super) struct Trace(Mutex<Happened>);

#[derive(Default)]
struct Happened {
    secret: bool,
    /// The texts of those that were used.
    secrets: Vec<String>,
    /// One was used since something was printed last: what is printed next may be made of it.
    fresh: bool,
    /// Every marker that was handed out.
    markers: Vec<Missing>,
    /// Those of them whose absence matters.
    pending: BTreeSet<usize>,
    /// `is defined` of an unknown value settles it: nothing in the template can hold on to the marker.
    straight: bool,
    /// Our error behind an error of minijinja, and why variables that could not be rendered are undefined.
    failed: Option<TemplateError>,
    causes: HashMap<String, TemplateError>,
    /// The first value that was printed, and how many were.
    emitted: Option<minijinja::Value>,
    emissions: usize,
}

/// Why a marker stands where a value should.
#[derive(Clone)]
pub(super) enum Missing {
    /// Not known before the run.
    Unknown(String),
    /// There is nothing of that name.
    Undefined(String),
}

impl Trace {
    pub(super) fn new(straight: bool) -> Arc<Self> {
        let trace = Self::default();
        trace.lock().straight = straight;
        Arc::new(trace)
    }

    fn lock(&self) -> MutexGuard<'_, Happened> {
        locked(&self.0)
    }

    /// A secret is used: what it goes into is one, and wherever its text comes back from a host, it is known.
    pub(super) fn saw_secret(&self, value: &Value) {
        let mut happened = self.lock();
        happened.secret = true;
        happened.fresh = true;
        match value {
            Value::Secret(secret) => happened.secrets.push(secret.expose().to_owned()),
            Value::Str(text) => happened.secrets.push(text.clone()),
            Value::Int(number) => happened.secrets.push(number.to_string()),
            Value::Float(number) => happened.secrets.push(convert::float(*number)),
            _ => {}
        }
    }

    pub(super) fn take_secrets(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().secrets)
    }

    pub(super) fn is_secret(&self) -> bool {
        self.lock().secret
    }

    /// A marker is handed out.
    pub(super) fn miss(&self, missing: Missing) -> usize {
        let mut happened = self.lock();
        let id = happened.markers.len();
        happened.markers.push(missing);
        happened.pending.insert(id);
        id
    }

    /// A marker is used.
    pub(super) fn touch(&self, id: usize) {
        self.lock().pending.insert(id);
    }

    /// The use of a marker was only the question whether it exists.
    pub(super) fn settle(&self, id: usize) {
        let mut happened = self.lock();
        let settled = match happened.markers.get(id) {
            Some(Missing::Unknown(_)) => happened.straight,
            Some(Missing::Undefined(_)) => true,
            None => false,
        };
        if settled {
            happened.pending.remove(&id);
        }
    }

    pub(super) fn is_undefined(&self, id: usize) -> bool {
        matches!(self.lock().markers.get(id), Some(Missing::Undefined(_)))
    }

    /// The first absence that matters.
    pub(super) fn pending(&self) -> Option<Missing> {
        let happened = self.lock();
        let first = happened.pending.first()?;
        happened.markers.get(*first).cloned()
    }

    /// A value is printed.
    pub(super) fn emit(&self, value: &minijinja::Value) {
        let mut happened = self.lock();
        happened.emissions += 1;
        happened.emitted = (happened.emissions == 1).then(|| value.clone());
        let fresh = std::mem::take(&mut happened.fresh);
        if happened.secret
            && let Some(text) = value.as_str()
            && is_made_of(text, &happened.secrets, fresh)
        {
            happened.secrets.push(text.to_owned());
        }
    }

    /// The value that was printed where it was just one. Has to be taken: it may hold on to this trace.
    pub(super) fn take_emitted(&self) -> Option<minijinja::Value> {
        self.lock().emitted.take()
    }

    pub(super) fn fail(&self, error: TemplateError) {
        self.lock().failed.get_or_insert(error);
    }

    pub(super) fn failed(&self) -> Option<TemplateError> {
        self.lock().failed.clone()
    }

    /// The variable `shown` is undefined because of an error deeper in.
    pub(super) fn cause(&self, shown: &str, error: TemplateError) {
        self.lock().causes.insert(shown.to_owned(), error);
    }

    pub(super) fn cause_of(&self, shown: &str) -> Option<TemplateError> {
        self.lock().causes.get(shown).cloned()
    }
}

/// Texts shorter than this tell too little of a secret to be one.
const TELLING: usize = 4;
/// A text as long as this is a hash or a cipher rather than a word.
const LONG: usize = 16;

/// Is a text that is printed made of one of these secrets: a part of it, in other letters, backwards, hashed? `fresh`: one was
/// used for what is printed. What was kept in a variable of the template before has to be alike.
fn is_made_of(text: &str, secrets: &[String], fresh: bool) -> bool {
    if text.len() < TELLING || secrets.iter().any(|secret| secret == text) {
        return false;
    }
    if fresh && text.len() >= LONG {
        return true;
    }
    let text: Vec<char> = text.to_lowercase().chars().collect();
    secrets.iter().any(|secret| {
        let secret: Vec<char> = secret.to_lowercase().chars().collect();
        let back: Vec<char> = secret.iter().rev().copied().collect();
        let least = if fresh {
            TELLING
        } else {
            secret.len().div_ceil(2).max(TELLING)
        };
        text.windows(least).any(|part| {
            secret.windows(least).any(|of| of == part) || back.windows(least).any(|of| of == part)
        })
    })
}

/// The text of an encrypted string, or why there is none.
pub(super) fn decrypted(text: &Encrypted, node: &Node) -> Result<Value, TemplateError> {
    match text.open() {
        Ok(text) => Ok(Value::Secret(text.clone())),
        Err(shut) => {
            let error = TemplateError::new(ErrorKind::Vault, shut.message.clone(), node.span);
            Err(error.with_help(shut.help.clone()))
        }
    }
}

/// Every text and number in a value becomes secret.
pub(super) fn secret(value: Value) -> Value {
    match value {
        Value::Str(s) => Value::Secret(Secret::new(s)),
        Value::Int(n) => Value::Secret(Secret::new(n.to_string())),
        Value::Float(n) => Value::Secret(Secret::new(convert::float(n))),
        Value::List(items) => Value::List(items.into_iter().map(secret).collect()),
        Value::Map(map) => Value::Map(map.into_iter().map(|(k, v)| (k, secret(v))).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::is_made_of;

    #[test]
    fn what_is_made_of_a_secret_is_one() {
        let secrets = ["db-passw0rd!".to_owned()];
        for text in [
            "DB-PASSW0RD!",
            "db-pas",
            "!dr0wssap-bd",
            "5e884898da28047151d0e56f8dc6292773603d0d",
            "user:db-passw0rd!@host",
        ] {
            assert!(is_made_of(text, &secrets, true), "{text}");
        }
        for text in ["5432", "db-passw0rd!", "yes", "localhost"] {
            assert!(!is_made_of(text, &secrets, true), "{text}");
        }
        // Of what was kept before, only what is much like it.
        assert!(is_made_of("DB-PASSW0RD!", &secrets, false));
        for text in ["a long line of something else", "db-pa"] {
            assert!(!is_made_of(text, &secrets, false), "{text}");
        }
    }
}
