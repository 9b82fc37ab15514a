//! Modules with their types erased.

use std::marker::PhantomData;

use indexmap::IndexMap;

use crate::diag::Diagnostic;
use crate::module::{Footprint, Module, Stop, Wanted, path_help};
use crate::source::{Node, from_node};
use crate::value::Value;
use crate::world::View;

/// A [`Module`] with its types erased.
pub trait AnyModule: Send + Sync {
    /// See [`Module::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Module::SUMMARY`].
    fn summary(&self) -> &'static str;
    /// See [`Module::DOC`].
    fn doc(&self) -> &'static str;
    /// See [`Module::FREE_FORM`].
    fn free_form(&self) -> Option<&'static str>;
    /// See [`Module::LOCAL_FILES`].
    fn local_files(&self) -> &'static [&'static str];
    /// See [`Module::REMOTE_FILES`].
    fn remote_files(&self) -> &'static [&'static str];
    /// See [`Module::validate_file`].
    fn validate_file(&self, argument: &str, content: &dyn Fn() -> Option<Vec<u8>>) -> Vec<String>;
    /// See [`Module::EXPRESSIONS`].
    fn expressions(&self) -> &'static [&'static str];
    /// See [`Module::CONDITIONS`].
    fn conditions(&self) -> &'static [&'static str];
    /// See [`Module::NEEDS_HOST`].
    fn needs_host(&self) -> bool;
    /// JSON Schema (2020-12) of the arguments.
    fn schema(&self) -> serde_json::Value;
    /// Does it take an argument of this name (an alias that the schema does not list)?
    fn accepts(&self, argument: &str) -> bool;
    /// Understands rendered arguments; every value keeps its place, so that the error does too.
    fn prepare(&self, args: &Node) -> Result<Box<dyn Prepared>, Diagnostic>;
}

/// A module with its arguments.
pub trait Prepared: Send + Sync {
    /// See [`Module::touches`].
    fn touches(&self) -> Footprint;
    /// See [`Module::want`].
    fn want(&self, world: &View<'_>) -> Result<Wanted, Stop>;
    /// See [`Module::output`].
    fn output(&self, before: &View<'_>, after: &View<'_>) -> IndexMap<String, Value>;
}

pub(super) struct Erased<M>(PhantomData<fn() -> M>);

impl<M> Default for Erased<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M: Module> AnyModule for Erased<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }
    fn summary(&self) -> &'static str {
        M::SUMMARY
    }
    fn doc(&self) -> &'static str {
        M::DOC
    }
    fn free_form(&self) -> Option<&'static str> {
        M::FREE_FORM
    }
    fn local_files(&self) -> &'static [&'static str] {
        M::LOCAL_FILES
    }
    fn remote_files(&self) -> &'static [&'static str] {
        M::REMOTE_FILES
    }
    fn validate_file(&self, argument: &str, content: &dyn Fn() -> Option<Vec<u8>>) -> Vec<String> {
        M::validate_file(argument, content)
    }
    fn expressions(&self) -> &'static [&'static str] {
        M::EXPRESSIONS
    }
    fn conditions(&self) -> &'static [&'static str] {
        M::CONDITIONS
    }
    fn needs_host(&self) -> bool {
        M::NEEDS_HOST
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(M::Args).to_value()
    }
    fn accepts(&self, argument: &str) -> bool {
        use crate::source::{FileId, Kind, Span};
        let span = Span {
            file: FileId::NOWHERE,
            start: 0,
            end: 0,
        };
        let node = |kind| Node { span, kind };
        let key = node(Kind::Scalar {
            text: argument.to_owned(),
            plain: true,
        });
        let only = node(Kind::Map(vec![(key, node(Kind::Value(Value::Null)))]));
        // The first key is looked at first: were it unknown, this would be said before anything else.
        from_node::<M::Args>(&only).map_or_else(|e| e.id != "unknown-argument", |_| true)
    }
    fn prepare(&self, args: &Node) -> Result<Box<dyn Prepared>, Diagnostic> {
        let typed: M::Args = from_node(args)?;
        let paths = M::PATHS.iter().filter_map(|name| args.get(name));
        for (node, path) in paths.filter_map(|node| Some((node, node.text()?))) {
            if !path.is_empty() && !path.starts_with('/') {
                let wrong =
                    Diagnostic::error("bad-argument", format!("`{path}` is no absolute path"));
                return Err(wrong.at(node.span, "").help(path_help(path)));
            }
        }
        M::validate(&typed).map_err(|e| Diagnostic::error("bad-argument", e).at(args.span, ""))?;
        Ok(Box::new(Ready::<M> { args: typed }))
    }
}

struct Ready<M: Module> {
    args: M::Args,
}

impl<M: Module> Prepared for Ready<M> {
    fn touches(&self) -> Footprint {
        M::touches(&self.args)
    }
    fn want(&self, world: &View<'_>) -> Result<Wanted, Stop> {
        M::want(&self.args, world)
    }
    fn output(&self, before: &View<'_>, after: &View<'_>) -> IndexMap<String, Value> {
        M::output(&self.args, before, after)
    }
}
