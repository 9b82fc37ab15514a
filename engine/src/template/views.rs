//! What minijinja sees of our values: variables, mappings and lists that are rendered when looked at, and markers for
//! what is not there.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind as JinjaKind, State, Value as Jinja};

use super::error::{ErrorKind, TemplateError};
use super::place::{Place, Seen};
use super::scope::Scope;
use super::session::{Missing, Outcome, Session, Trace};
use crate::source::Kind;
use crate::value::Value;

/// Views within views may be this deep.
const DEEPEST: u32 = 100;

/// The name under which functions find the context of the rendering they are called from. No template can write it.
pub(super) const CONTEXT: &str = "\0context";

/// One rendering of one template: what every view needs to look further.
#[derive(Clone)]
pub(super) struct Look {
    pub(super) session: Arc<Session>,
    pub(super) trace: Arc<Trace>,
    /// How many views lie around: a mapping that holds itself has no end.
    pub(super) depth: u32,
    /// Markers stand for undefined things too (see [`Engine::run`](super::Engine)).
    pub(super) lenient: bool,
}

impl Look {
    /// What minijinja gets for a place. `None`: undefined.
    pub(super) fn at(&self, place: &Place) -> Option<Jinja> {
        match self.session.outcome(place) {
            Outcome::Place(inner) => self.view(*inner),
            Outcome::Value(value) => {
                let mut inner = Place::of_value(value, place.shown.clone(), &place.scope);
                inner.secret = place.is_secret();
                self.view(inner)
            }
            Outcome::Omit => Some(Jinja::from_object(Omit)),
            Outcome::Unknown(why) => Some(self.marker(Missing::Unknown(why))),
            Outcome::Undefined(error) => {
                self.trace.cause(&place.shown, (*error).clone());
                self.undefined(&place.shown)
            }
            Outcome::Failed(error) => {
                self.trace.fail((*error).clone());
                Some(Jinja::from(Error::new(
                    JinjaKind::InvalidOperation,
                    error.message.clone(),
                )))
            }
        }
    }

    pub(super) fn undefined(&self, shown: &str) -> Option<Jinja> {
        self.lenient
            .then(|| self.marker(Missing::Undefined(shown.to_owned())))
    }

    fn marker(&self, missing: Missing) -> Jinja {
        let id = self.trace.miss(missing);
        Jinja::from_object(Marker {
            trace: self.trace.clone(),
            id,
        })
    }

    fn view(&self, place: Place) -> Option<Jinja> {
        let list = match place.see()? {
            Seen::Node(node) => match &node.kind {
                Kind::Seq(_) => true,
                Kind::Map(_) => false,
                // Rendered before it came here.
                Kind::Scalar { .. } | Kind::Value(_) | Kind::Encrypted(_) => return None,
            },
            Seen::Value(value) => {
                if place.secret && !matches!(value, Value::List(_) | Value::Map(_)) {
                    self.trace.saw_secret(value);
                }
                match value {
                    Value::Null => return Some(Jinja::from(())),
                    Value::Bool(b) => return Some(Jinja::from(*b)),
                    Value::Int(n) => return Some(Jinja::from(*n)),
                    Value::Float(n) => return Some(Jinja::from(*n)),
                    Value::Str(s) => return Some(Jinja::from(s.as_str())),
                    Value::Secret(s) => {
                        self.trace.saw_secret(value);
                        return Some(Jinja::from(s.expose()));
                    }
                    Value::Unknown(why) => return Some(self.marker(Missing::Unknown(why.clone()))),
                    Value::List(_) => true,
                    Value::Map(_) => false,
                }
            }
        };
        if self.depth > DEEPEST {
            let message = format!("`{}` is made of itself, or nested too deep", place.shown);
            let span = match place.see() {
                Some(Seen::Node(node)) => node.span,
                _ => place.span(),
            };
            self.trace
                .fail(TemplateError::new(ErrorKind::Cycle, &*message, span));
            return Some(Jinja::from(Error::new(
                JinjaKind::InvalidOperation,
                message,
            )));
        }
        let mut look = self.clone();
        look.depth += 1;
        Some(if list {
            Jinja::from_object(List { look, place })
        } else {
            Jinja::from_object(Mapping { look, place })
        })
    }
}

/// All variables of a scope.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) look: Look,
    pub(super) scope: Scope,
    /// The scope of the template itself, in which functions and further names of the language exist too.
    pub(super) top: bool,
}

impl Context {
    /// A variable by name; as in Ansible `vars` is all of them. One that exists and cannot be defined hides a function
    /// of its name.
    pub(super) fn variable(&self, name: &str) -> Option<Jinja> {
        match self.look.session.find(&self.scope, name) {
            Some(Ok(place)) => Some(self.look.at(&place).unwrap_or(Jinja::UNDEFINED)),
            Some(Err(scope)) => Some(Jinja::from_object(Self {
                look: self.look.clone(),
                scope,
                top: false,
            })),
            None if self.top && name == "vars" => Some(Jinja::from_object(Self {
                top: false,
                ..self.clone()
            })),
            None => None,
        }
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let name = key.as_str()?;
        if self.top && name == CONTEXT {
            return Some(Jinja::from_dyn_object(self.clone()));
        }
        self.variable(name)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Jinja> {
        if self.top && name == CONTEXT {
            return Some(Jinja::from_dyn_object(self.clone()));
        }
        let found = self.variable(name);
        // Functions and `omit` are found behind the variables, so nothing may stand before them.
        if found.is_none() && !(self.top && self.look.session.engine.is_global(name)) {
            return self.look.undefined(name);
        }
        found
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.scope.all_names();
        Enumerator::Values(names.into_iter().map(Jinja::from).collect())
    }
}

/// A mapping, its entries rendered when they are looked at.
pub(super) struct Mapping {
    look: Look,
    pub(super) place: Place,
}

/// The text that a key of the language stands for in a mapping, whose keys are texts.
fn key_text(key: &Jinja) -> Option<String> {
    match key.as_str() {
        Some(text) => Some(text.to_owned()),
        None if key.is_number() => Some(key.to_string()),
        None => None,
    }
}

impl Object for Mapping {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.look.at(&self.place.key(&key_text(key)?)?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Jinja> {
        match self.place.key(key) {
            Some(place) => self.look.at(&place),
            None => self.look.undefined(&self.place.member(key)),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.place.keys().into_iter().map(Jinja::from).collect())
    }
}

/// A list, its items rendered when they are looked at.
pub(super) struct List {
    look: Look,
    pub(super) place: Place,
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.look.at(&self.place.item(key.as_usize()?)?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.place.len())
    }
}

/// Stands for a value that is not there. Whatever is asked of it is noted, and makes the result what it is: unknown or
/// undefined. What it answers meanwhile is never seen.
pub(super) struct Marker {
    pub(super) trace: Arc<Trace>,
    pub(super) id: usize,
}

impl Marker {
    /// It is undefined, not unknown.
    pub(super) fn is_undefined(&self) -> bool {
        self.trace.is_undefined(self.id)
    }
}

impl Object for Marker {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Jinja) -> Option<Jinja> {
        Some(Jinja::from_dyn_object(self.clone()))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.trace.touch(self.id);
        false
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.trace.touch(self.id);
        Enumerator::Empty
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Jinja]) -> Result<Jinja, Error> {
        self.trace.touch(self.id);
        Ok(Jinja::from_dyn_object(self.clone()))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        _: &str,
        _: &[Jinja],
    ) -> Result<Jinja, Error> {
        self.trace.touch(self.id);
        Ok(Jinja::from_dyn_object(self.clone()))
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.touch(self.id);
        Ok(())
    }
}

/// `omit`: the argument that it stands in is not given at all.
#[derive(Debug)]
pub(super) struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

macro_rules! quiet_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
quiet_debug!(Context, Mapping, List, Marker);
