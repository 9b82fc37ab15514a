//! Variables by precedence, rendered when they are looked at.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object};

use super::{Engine, ErrorKind, TemplateError, convert, is_template};
use crate::source::{Kind, Node, Span, untyped};
use crate::value::Value;

/// Variables that are looked up by code: `hostvars`, registers, facts.
pub trait Names: Send + Sync {
    /// The value of a name.
    fn get(&self, name: &str) -> Option<Value>;
    /// All names.
    fn names(&self) -> Vec<String>;
    /// A value that is itself looked up by name (`hostvars[host]`), where `name` is such a one.
    fn child(&self, _name: &str) -> Option<Scope> {
        None
    }
}

#[derive(Clone)]
enum Layer {
    Nodes(Arc<IndexMap<String, Arc<Node>>>),
    Values(Arc<IndexMap<String, Value>>),
    Dynamic(Arc<dyn Names>),
}

/// Variables, lowest precedence first. Cheap to clone and to lay something over.
#[derive(Clone, Default)]
pub struct Scope {
    layers: Vec<Layer>,
}

impl Scope {
    /// Lays written variables over it.
    pub fn push_nodes(&mut self, layer: Arc<IndexMap<String, Arc<Node>>>) {
        self.layers.push(Layer::Nodes(layer));
    }

    /// Lays values over it.
    pub fn push_values(&mut self, layer: Arc<IndexMap<String, Value>>) {
        self.layers.push(Layer::Values(layer));
    }

    /// Lays variables over it that are looked up by code.
    pub fn push_dynamic(&mut self, layer: Arc<dyn Names>) {
        self.layers.push(Layer::Dynamic(layer));
    }

    /// All names there are.
    #[must_use]
    pub fn all_names(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for layer in &self.layers {
            match layer {
                Layer::Nodes(map) => all.extend(map.keys().cloned()),
                Layer::Values(map) => all.extend(map.keys().cloned()),
                Layer::Dynamic(names) => all.extend(names.names()),
            }
        }
        all.sort();
        all.dedup();
        all
    }

    fn find(&self, name: &str) -> Option<Found> {
        self.layers.iter().rev().find_map(|layer| match layer {
            Layer::Nodes(map) => map.get(name).map(|n| Found::Node(n.clone())),
            Layer::Values(map) => map.get(name).map(|v| Found::Value(v.clone())),
            Layer::Dynamic(names) => names
                .child(name)
                .map(Found::Scope)
                .or_else(|| names.get(name).map(Found::Value)),
        })
    }
}

enum Found {
    Node(Arc<Node>),
    Value(Value),
    Scope(Scope),
}

/// What happened while something was rendered.
#[derive(Default)]
pub(super) struct Marks {
    secret: AtomicBool,
    /// The names that are being looked at, to find circles.
    path: Mutex<Vec<String>>,
}

impl Marks {
    pub(super) fn saw_secret(&self) -> bool {
        self.secret.load(Ordering::Relaxed)
    }

    fn see(&self, value: &Value) {
        value.secrets(&mut |_| self.secret.store(true, Ordering::Relaxed));
    }

    fn path(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scope as minijinja sees it.
pub(super) struct Context {
    engine: Arc<Engine>,
    scope: Scope,
    marks: Arc<Marks>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables")
    }
}

impl Context {
    pub(super) fn new(engine: Arc<Engine>, scope: Scope, marks: Arc<Marks>) -> Self {
        Self {
            engine,
            scope,
            marks,
        }
    }

    fn rendered(&self, node: &Node) -> Result<Value, TemplateError> {
        Ok(match &node.kind {
            Kind::Scalar { text, .. } if is_template(text) => {
                self.engine
                    .scalar_marked(&self.scope, node, text, &self.marks)?
            }
            Kind::Seq(items) => Value::List(
                items
                    .iter()
                    .map(|i| self.rendered(i))
                    .collect::<Result<_, _>>()?,
            ),
            Kind::Map(entries) => {
                let mut map = IndexMap::new();
                for (key, value) in entries {
                    let name = match self.rendered(key)? {
                        Value::Str(s) => s,
                        other => other
                            .as_str()
                            .map_or_else(|| other.to_json(false).to_string(), str::to_owned),
                    };
                    // What is not known yet matters only to who looks at it.
                    let value = match self.rendered(value) {
                        Err(e) if e.kind == ErrorKind::Unknown => Value::Unknown(e.message),
                        other => other?,
                    };
                    map.insert(name, value);
                }
                Value::Map(map)
            }
            _ => untyped(node),
        })
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        let name = key.as_str()?;
        match self.scope.find(name)? {
            Found::Value(value) => {
                self.marks.see(&value);
                Some(convert::to_jinja(&value))
            }
            Found::Scope(scope) => {
                let child = Self {
                    engine: self.engine.clone(),
                    scope,
                    marks: self.marks.clone(),
                };
                Some(minijinja::Value::from_object(child))
            }
            Found::Node(node) => {
                let circle = {
                    let mut path = self.marks.path();
                    let circle = path
                        .iter()
                        .any(|p| p == name)
                        .then(|| format!("{} → {name}", path.join(" → ")));
                    path.push(name.to_owned());
                    circle
                };
                let value = match circle {
                    Some(circle) => {
                        let message = format!("the variable `{name}` is made of itself: {circle}");
                        Err(TemplateError {
                            kind: ErrorKind::Other,
                            message,
                            span: node.span,
                            help: None,
                        })
                    }
                    None => self.rendered(&node),
                };
                self.marks.path().pop();
                Some(match value {
                    Ok(value) => {
                        let value = if named_like_a_secret(name) {
                            super::secret(value)
                        } else {
                            value
                        };
                        self.marks.see(&value);
                        convert::to_jinja(&value)
                    }
                    Err(error) => minijinja::Value::from(wrap(error)),
                })
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(
            self.scope
                .all_names()
                .into_iter()
                .map(minijinja::Value::from)
                .collect(),
        )
    }
}

/// Variables of these names hold secrets, wherever they come from.
fn named_like_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "private_key",
        "api_key",
        "become_pass",
    ];
    ends.iter().any(|end| name.ends_with(end)) || name == "ansible_ssh_pass"
}

/// Our error, carried through minijinja.
#[derive(Debug)]
struct Carried(TemplateError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}
impl std::error::Error for Carried {}

fn wrap(error: TemplateError) -> minijinja::Error {
    let message = error.message.clone();
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message)
        .with_source(Carried(error))
}

/// The error of a value that only the run will know.
pub(super) fn unknown(why: &str) -> minijinja::Error {
    let span = Span {
        file: crate::source::FileId(u32::MAX),
        start: 0,
        end: 0,
    };
    wrap(TemplateError {
        kind: ErrorKind::Unknown,
        message: why.to_owned(),
        span,
        help: None,
    })
}

/// Our error, where minijinja's carries one.
pub(super) fn our_error(error: &minijinja::Error) -> Option<TemplateError> {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = at {
        if let Some(Carried(own)) = found.downcast_ref::<Carried>() {
            return Some(own.clone());
        }
        at = found.source();
    }
    None
}
