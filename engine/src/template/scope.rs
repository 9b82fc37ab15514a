//! Variables by precedence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indexmap::IndexMap;

use crate::source::Node;
use crate::value::Value;

/// Variables that are looked up by code: `hostvars`, registers, facts.
pub trait Names: Send + Sync {
    /// The value of a name.
    fn get(&self, name: &str) -> Option<Value>;
    /// All names.
    fn names(&self) -> Vec<String>;
    /// A value that is itself looked up by name (`hostvars[host]`), where `name` is such a one. Its variables are
    /// rendered within it: a template in a host's variables sees that host's variables.
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

/// Variables, lowest precedence first. Cheap to clone and to lay something over: layers are shared.
#[derive(Clone)]
pub struct Scope {
    layers: Vec<Layer>,
    /// Tells scopes apart, so that what was rendered within one is not taken for what another would give.
    id: u64,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            id: fresh(),
        }
    }
}

fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Scope {
    /// Lays written variables over it. They are rendered when they are looked at.
    pub fn push_nodes(&mut self, layer: Arc<IndexMap<String, Arc<Node>>>) {
        self.push(Layer::Nodes(layer));
    }

    /// Lays values over it. What looks like a template in them is not one: a host's output is never code.
    pub fn push_values(&mut self, layer: Arc<IndexMap<String, Value>>) {
        self.push(Layer::Values(layer));
    }

    /// Lays variables over it that are looked up by code.
    pub fn push_dynamic(&mut self, layer: Arc<dyn Names>) {
        self.push(Layer::Dynamic(layer));
    }

    fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
        self.id = fresh();
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// All names there are, sorted.
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

    pub(super) fn find(&self, name: &str) -> Option<Found> {
        self.layers.iter().rev().find_map(|layer| match layer {
            Layer::Nodes(map) => map.get(name).map(|n| Found::Node(n.clone())),
            Layer::Values(map) => map
                .get_index_of(name)
                .map(|at| Found::Within(map.clone(), at)),
            Layer::Dynamic(names) => names
                .child(name)
                .map(Found::Scope)
                .or_else(|| names.get(name).map(|v| Found::Value(Arc::new(v)))),
        })
    }
}

/// What a name stands for.
pub(super) enum Found {
    Node(Arc<Node>),
    Value(Arc<Value>),
    /// The value at an index of a layer, which is not copied for being looked at.
    Within(Arc<IndexMap<String, Value>>, usize),
    Scope(Scope),
}
