//! Where a value stands: a variable and the way into it. Looking further in copies and renders nothing.

use std::sync::Arc;

use indexmap::IndexMap;

use super::scope::{Found, Scope};
use crate::source::{FileId, Kind, Node, Span};
use crate::value::Value;

/// A value within a variable, found again from its root by the indices of the entries that lead to it.
#[derive(Clone)]
pub(super) struct Place {
    root: Root,
    path: Vec<u32>,
    /// The scope in which templates found there are rendered.
    pub(super) scope: Scope,
    /// As a person would write it: `db.hosts[0]`.
    pub(super) shown: Arc<str>,
    /// The variable or a key on the way has the name of a secret.
    pub(super) secret: bool,
}

#[derive(Clone)]
enum Root {
    Node(Arc<Node>),
    Value(Arc<Value>),
    Within(Arc<IndexMap<String, Value>>, usize),
}

/// What stands at a place.
pub(super) enum Seen<'a> {
    Node(&'a Node),
    Value(&'a Value),
}

/// Identity of a place within one rendering.
pub(super) type Id = (u64, usize, Vec<u32>);

impl Place {
    /// The place of a variable; a scope is no place.
    pub(super) fn of(found: Found, name: &str, scope: &Scope) -> Result<Self, Scope> {
        let root = match found {
            Found::Node(node) => Root::Node(node),
            Found::Value(value) => Root::Value(value),
            Found::Within(layer, at) => Root::Within(layer, at),
            Found::Scope(scope) => return Err(scope),
        };
        Ok(Self {
            secret: named_like_a_secret(name),
            root,
            path: Vec::new(),
            scope: scope.clone(),
            shown: Arc::from(name),
        })
    }

    /// A value without a variable.
    pub(super) fn of_value(value: Arc<Value>, shown: Arc<str>, scope: &Scope) -> Self {
        Self {
            root: Root::Value(value),
            path: Vec::new(),
            scope: scope.clone(),
            shown,
            secret: false,
        }
    }

    pub(super) fn id(&self) -> Id {
        let root = match &self.root {
            Root::Node(node) => Arc::as_ptr(node).cast::<u8>() as usize,
            Root::Value(value) => Arc::as_ptr(value).cast::<u8>() as usize,
            Root::Within(layer, at) => Arc::as_ptr(layer).cast::<u8>() as usize ^ at,
        };
        (self.scope.id(), root, self.path.clone())
    }

    /// Where its variable is written; nowhere, if it came out of the run.
    pub(super) fn span(&self) -> Span {
        match &self.root {
            Root::Node(node) => node.span,
            _ => Span {
                file: FileId::NOWHERE,
                start: 0,
                end: 0,
            },
        }
    }

    /// What stands there is to be a secret: by its name, or because it was encrypted where it is written.
    pub(super) fn is_secret(&self) -> bool {
        let in_vault = |seen: &Seen<'_>| match seen {
            Seen::Node(node) => node.span.file.is_secret(),
            Seen::Value(_) => false,
        };
        self.secret || self.see().as_ref().is_some_and(in_vault)
    }

    pub(super) fn see(&self) -> Option<Seen<'_>> {
        let mut seen = match &self.root {
            Root::Node(node) => Seen::Node(node),
            Root::Value(value) => Seen::Value(value),
            Root::Within(layer, at) => Seen::Value(layer.get_index(*at)?.1),
        };
        for step in &self.path {
            seen = seen.at(*step as usize)?;
        }
        Some(match seen {
            Seen::Node(Node {
                kind: Kind::Value(value),
                ..
            }) => Seen::Value(value),
            other => other,
        })
    }

    fn step(&self, at: usize, shown: String, secret: bool) -> Option<Self> {
        let mut path = Vec::with_capacity(self.path.len() + 1);
        path.extend_from_slice(&self.path);
        path.push(u32::try_from(at).ok()?);
        Some(Self {
            root: self.root.clone(),
            path,
            scope: self.scope.clone(),
            shown: Arc::from(shown),
            secret: self.secret || secret,
        })
    }

    /// The value of a key.
    pub(super) fn key(&self, key: &str) -> Option<Self> {
        let seen = self.see()?;
        let at = match &seen {
            Seen::Node(Node {
                kind: Kind::Map(entries),
                ..
            }) => entries.iter().position(|(k, _)| k.text() == Some(key))?,
            Seen::Value(Value::Map(map)) => map.get_index_of(key)?,
            _ => return None,
        };
        let secret = named_like_a_secret(key);
        self.step(at, self.member(key), secret)
    }

    /// A key as a person would write it behind this place.
    pub(super) fn member(&self, key: &str) -> String {
        if key.chars().all(|c| c.is_alphanumeric() || c == '_') {
            format!("{}.{key}", self.shown)
        } else {
            format!("{}['{key}']", self.shown)
        }
    }

    /// The item at an index.
    pub(super) fn item(&self, at: usize) -> Option<Self> {
        let is_list = match self.see()? {
            Seen::Node(Node {
                kind: Kind::Seq(items),
                ..
            }) => at < items.len(),
            Seen::Value(Value::List(items)) => at < items.len(),
            _ => false,
        };
        if is_list {
            self.step(at, format!("{}[{at}]", self.shown), false)
        } else {
            None
        }
    }

    /// The keys of a mapping.
    pub(super) fn keys(&self) -> Vec<String> {
        match self.see() {
            Some(Seen::Node(Node {
                kind: Kind::Map(entries),
                ..
            })) => entries
                .iter()
                .filter_map(|(k, _)| k.text().map(str::to_owned))
                .collect(),
            Some(Seen::Value(Value::Map(map))) => map.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// The number of items or entries.
    pub(super) fn len(&self) -> usize {
        match self.see() {
            Some(Seen::Node(node)) => match &node.kind {
                Kind::Seq(items) => items.len(),
                Kind::Map(entries) => entries.len(),
                _ => 0,
            },
            Some(Seen::Value(Value::List(items))) => items.len(),
            Some(Seen::Value(Value::Map(map))) => map.len(),
            _ => 0,
        }
    }
}

impl<'a> Seen<'a> {
    fn at(self, step: usize) -> Option<Seen<'a>> {
        let found = match self {
            Seen::Node(node) => match &node.kind {
                Kind::Seq(items) => Seen::Node(items.get(step)?),
                Kind::Map(entries) => Seen::Node(&entries.get(step)?.1),
                Kind::Value(value) => return Seen::Value(value).at(step),
                Kind::Scalar { .. } | Kind::Encrypted(_) => return None,
            },
            Seen::Value(Value::List(items)) => Seen::Value(items.get(step)?),
            Seen::Value(Value::Map(map)) => Seen::Value(map.get_index(step)?.1),
            Seen::Value(_) => return None,
        };
        Some(found)
    }
}

/// Variables and keys of these names hold secrets, wherever they come from.
#[must_use]
pub fn named_like_a_secret(name: &str) -> bool {
    const ENDS: &[&str] = &[
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "private_key",
        "api_key",
        "become_pass",
    ];
    let name = name.to_ascii_lowercase();
    ENDS.iter().any(|end| name.ends_with(end)) || name == "ansible_ssh_pass"
}
