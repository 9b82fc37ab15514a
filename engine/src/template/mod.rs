//! Templates and expressions, with Ansible's meaning, on minijinja.
//!
//! What differs from Ansible's Jinja2 is listed in docs/ansible.md. Undefined variables are errors with their place;
//! values that only the run will know ([`Value::Unknown`]) make whatever uses them unknown; a text into which a secret
//! went is a secret.

mod analyze;
mod convert;
mod filters;
mod scope;
mod tests_of;

use std::path::Path;
use std::sync::Arc;

use minijinja::{Environment, UndefinedBehavior};

pub use analyze::{Names, names};
pub use scope::{Names as DynamicNames, Scope};

use self::scope::{Context, Marks};
use crate::source::{Kind, Node, Span};
use crate::value::{Secret, Value};

/// What stands in a rendered tree where `omit` was given; the key or item is taken out.
const OMIT: &str = "__omit_this_argument__";
/// Instructions that one template may take. A loop that never ends stops here.
const FUEL: u64 = 2_000_000;

/// Why something could not be rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateError {
    /// What kind.
    pub kind: ErrorKind,
    /// What is wrong, terse.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to do.
    pub help: Option<String>,
}

/// What kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A variable that does not exist.
    Undefined,
    /// Not a template.
    Syntax,
    /// A value that only the run will know; the message says until when.
    Unknown,
    /// Anything else.
    Other,
}

/// The language with its filters, tests and functions. One per call; cheap to use from many tasks at once.
pub struct Engine {
    environment: Environment<'static>,
    file_environment: Environment<'static>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// The language.
    #[must_use]
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_syntax(syntax(false));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(convert::formatter);
        minijinja_contrib::add_to_environment(&mut environment);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        filters::add(&mut environment);
        tests_of::add(&mut environment);
        environment.add_global("omit", OMIT);
        let mut file_environment = environment.clone();
        file_environment.set_syntax(syntax(true));
        Self {
            environment,
            file_environment,
        }
    }

    /// Renders a whole tree. Each scalar keeps its place; one that is just `{{ expression }}` keeps the type of its
    /// value. All errors come at once.
    pub fn render(
        self: &Arc<Self>,
        scope: &Scope,
        node: &Node,
    ) -> Result<Node, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let rendered = self.tree(scope, node, &mut errors);
        match rendered {
            _ if !errors.is_empty() => Err(errors),
            Some(node) => Ok(node),
            None => Ok(Node {
                span: node.span,
                kind: Kind::Value(Value::Null),
            }),
        }
    }

    /// `None`: omitted, or an error was noted.
    fn tree(
        self: &Arc<Self>,
        scope: &Scope,
        node: &Node,
        errors: &mut Vec<TemplateError>,
    ) -> Option<Node> {
        let kind = match &node.kind {
            Kind::Scalar { text, .. } if is_template(text) => {
                match self.scalar(scope, node, text) {
                    Ok(Value::Str(s)) if s == OMIT => return None,
                    Ok(value) => Kind::Value(value),
                    Err(error) if error.kind == ErrorKind::Unknown => {
                        Kind::Value(Value::Unknown(error.message))
                    }
                    Err(error) => {
                        errors.push(error);
                        return None;
                    }
                }
            }
            Kind::Scalar { .. } | Kind::Value(_) => node.kind.clone(),
            Kind::Seq(items) => Kind::Seq(
                items
                    .iter()
                    .filter_map(|i| self.tree(scope, i, errors))
                    .collect(),
            ),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .filter_map(|(key, value)| {
                        let key = self.tree(scope, key, errors)?;
                        Some((key, self.tree(scope, value, errors)?))
                    })
                    .collect(),
            ),
        };
        Some(Node {
            span: node.span,
            kind,
        })
    }

    /// The value of a node: a template's result, else what it is by itself.
    pub fn value(
        self: &Arc<Self>,
        scope: &Scope,
        node: &Node,
    ) -> Result<Value, Vec<TemplateError>> {
        self.render(scope, node)
            .map(|rendered| crate::source::untyped(&rendered))
    }

    fn scalar(
        self: &Arc<Self>,
        scope: &Scope,
        node: &Node,
        text: &str,
    ) -> Result<Value, TemplateError> {
        let marks = Arc::new(Marks::default());
        self.scalar_marked(scope, node, text, &marks)
    }

    pub(self) fn scalar_marked(
        self: &Arc<Self>,
        scope: &Scope,
        node: &Node,
        text: &str,
        marks: &Arc<Marks>,
    ) -> Result<Value, TemplateError> {
        let context =
            minijinja::Value::from_object(Context::new(self.clone(), scope.clone(), marks.clone()));
        let value = match single_expression(text) {
            Some((start, expression)) => self
                .environment
                .compile_expression(expression)
                .and_then(|e| e.eval(context))
                .map_err(|e| self.error(&e, node, text, start, scope))
                .and_then(|v| self.defined(v, node, text, scope))
                .and_then(|v| {
                    convert::from_jinja(&v).map_err(|e| self.error(&e, node, text, start, scope))
                })?,
            None => Value::Str(
                self.environment
                    .render_str(text, context)
                    .map_err(|e| self.error(&e, node, text, 0, scope))?,
            ),
        };
        Ok(if marks.saw_secret() {
            secret(value)
        } else {
            value
        })
    }

    fn defined(
        &self,
        value: minijinja::Value,
        node: &Node,
        text: &str,
        scope: &Scope,
    ) -> Result<minijinja::Value, TemplateError> {
        if value.is_undefined() {
            let error = minijinja::Error::from(minijinja::ErrorKind::UndefinedError);
            return Err(self.error(&error, node, text, 0, scope));
        }
        Ok(value)
    }

    /// The value of a bare expression (`when`, `until`, `changed_when`): no braces around it.
    pub fn eval(self: &Arc<Self>, scope: &Scope, node: &Node) -> Result<Value, TemplateError> {
        let text = match &node.kind {
            Kind::Scalar { text, .. } => text,
            Kind::Value(value) => return Ok(value.clone()),
            _ => {
                let message = "a condition is an expression".to_owned();
                return Err(TemplateError {
                    kind: ErrorKind::Other,
                    message,
                    span: node.span,
                    help: None,
                });
            }
        };
        if is_template(text) {
            return self.scalar(scope, node, text);
        }
        let marks = Arc::new(Marks::default());
        let context =
            minijinja::Value::from_object(Context::new(self.clone(), scope.clone(), marks));
        self.environment
            .compile_expression(text)
            .and_then(|e| e.eval(context))
            .map_err(|e| self.error(&e, node, text, 0, scope))
            .and_then(|v| self.defined(v, node, text, scope))
            .and_then(|v| convert::from_jinja(&v).map_err(|e| self.error(&e, node, text, 0, scope)))
    }

    /// Whether a condition holds. As in Ansible, a text that comes out of it is itself looked at: `"false"`, `"no"` and
    /// the empty text are false.
    pub fn holds(self: &Arc<Self>, scope: &Scope, node: &Node) -> Result<bool, TemplateError> {
        let unknown = |message: String| TemplateError {
            kind: ErrorKind::Unknown,
            message,
            span: node.span,
            help: None,
        };
        match self.eval(scope, node)? {
            Value::Bool(b) => Ok(b),
            Value::Null => Ok(false),
            Value::Int(n) => Ok(n != 0),
            Value::Float(n) => Ok(n != 0.0),
            Value::Str(s) => Ok(is_true_text(&s)),
            Value::Secret(s) => Ok(is_true_text(s.expose())),
            Value::List(l) => Ok(!l.is_empty()),
            Value::Map(m) => Ok(!m.is_empty()),
            Value::Unknown(why) => Err(unknown(why)),
        }
    }

    /// Renders a template file, as the module `template` does: the line end behind a block tag is taken away, the one
    /// at the end of the file kept. Other files that it includes are looked up beside it.
    pub fn file(
        self: &Arc<Self>,
        scope: &Scope,
        path: &Path,
        text: &str,
    ) -> Result<String, TemplateError> {
        let marks = Arc::new(Marks::default());
        let context =
            minijinja::Value::from_object(Context::new(self.clone(), scope.clone(), marks));
        let mut environment = self.file_environment.clone();
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        environment.set_loader(minijinja::path_loader(folder));
        let span = Span {
            file: crate::source::FileId(u32::MAX),
            start: 0,
            end: 0,
        };
        environment
            .render_named_str(&path.display().to_string(), text, context)
            .map_err(|e| {
                let node = Node {
                    span,
                    kind: Kind::Scalar {
                        text: text.to_owned(),
                        plain: false,
                    },
                };
                let mut error = self.error(&e, &node, text, 0, scope);
                if error.kind != ErrorKind::Unknown {
                    let name = e
                        .name()
                        .map_or_else(|| path.display().to_string(), str::to_owned);
                    error.message = format!("{name}:{}: {}", e.line().unwrap_or(1), error.message);
                }
                error
            })
    }

    /// Is the text a well-formed template (or, with `bare`, expression)?
    pub fn check_syntax(&self, node: &Node, bare: bool) -> Result<(), TemplateError> {
        let Kind::Scalar { text, .. } = &node.kind else {
            return Ok(());
        };
        let outcome = if is_template(text) {
            match single_expression(text) {
                Some((start, expression)) => self
                    .environment
                    .compile_expression(expression)
                    .map(drop)
                    .map_err(|e| self.error(&e, node, text, start, &Scope::default())),
                None => self
                    .environment
                    .template_from_str(text)
                    .map(drop)
                    .map_err(|e| self.error(&e, node, text, 0, &Scope::default())),
            }
        } else if bare {
            self.environment
                .compile_expression(text)
                .map(drop)
                .map_err(|e| self.error(&e, node, text, 0, &Scope::default()))
        } else {
            Ok(())
        };
        outcome
    }

    /// minijinja's error with the place in the playbook.
    fn error(
        &self,
        error: &minijinja::Error,
        node: &Node,
        text: &str,
        shift: usize,
        scope: &Scope,
    ) -> TemplateError {
        let mut innermost: &minijinja::Error = error;
        loop {
            if let Some(own) = scope::our_error(innermost) {
                return own;
            }
            match std::error::Error::source(innermost)
                .and_then(|s| s.downcast_ref::<minijinja::Error>())
            {
                Some(source) => innermost = source,
                None => break,
            }
        }
        let kind = match error.kind() {
            minijinja::ErrorKind::UndefinedError => ErrorKind::Undefined,
            minijinja::ErrorKind::SyntaxError
            | minijinja::ErrorKind::UnknownFilter
            | minijinja::ErrorKind::UnknownTest
            | minijinja::ErrorKind::UnknownFunction
            | minijinja::ErrorKind::UnknownMethod => ErrorKind::Syntax,
            _ => ErrorKind::Other,
        };
        let whole = || {
            let (start, expression) = single_expression(text)?;
            let lead = expression.len() - expression.trim_start().len();
            Some(start + lead..start + lead + expression.trim().len())
        };
        let range = error
            .range()
            .map(|r| r.start + shift..r.end + shift)
            .or_else(whole);
        let span = within(node, text, range.clone());
        let mut message = error
            .detail()
            .map_or_else(|| error.kind().to_string(), str::to_owned);
        let mut help = None;
        if kind == ErrorKind::Undefined {
            let name = range
                .and_then(|r| text.get(r).map(str::trim).map(str::to_owned))
                .filter(|n| {
                    !n.is_empty()
                        && n.chars()
                            .all(|c| c.is_alphanumeric() || "_.[]'\"".contains(c))
                })
                .or_else(|| single_expression(text).map(|(_, e)| e.trim().to_owned()))
                .unwrap_or_else(|| text.trim().to_owned());
            message = format!("`{name}` is undefined");
            let root = name.split(['.', '[']).next().unwrap_or(&name);
            let known = scope.all_names();
            if known.iter().all(|k| k != root) {
                help = crate::diag::nearest(root, known.iter().map(String::as_str))
                    .map(|near| format!("did you mean `{near}`?"));
            }
        }
        TemplateError {
            kind,
            message,
            span,
            help,
        }
    }
}

/// Jinja2's syntax with the line ends that Ansible sees to.
fn syntax(trim_blocks: bool) -> minijinja::syntax::SyntaxConfig {
    let mut builder = minijinja::syntax::SyntaxConfig::builder();
    builder.keep_trailing_newline(true).trim_blocks(trim_blocks);
    builder.build().unwrap_or_default()
}

/// Where a range within a scalar's text stands in the file. Where escapes or folding moved it: the whole scalar.
#[must_use]
pub fn within(node: &Node, text: &str, range: Option<std::ops::Range<usize>>) -> Span {
    let exact = (node.span.end - node.span.start) as usize;
    // A quoted scalar without escapes is its text and two quotes.
    let lead = match exact.checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) if !text.contains(['\n', '\\', '"', '\'']) => 1,
        _ => return node.span,
    };
    match range {
        Some(range) if range.end <= text.len() && range.start < range.end => {
            let at = |n: usize| node.span.start + u32::try_from(n + lead).unwrap_or(0);
            Span {
                file: node.span.file,
                start: at(range.start),
                end: at(range.end),
            }
        }
        _ => node.span,
    }
}

/// Does a text hold anything to be rendered?
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

fn is_true_text(text: &str) -> bool {
    !matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "" | "false" | "no" | "off" | "0" | "n" | "f" | "none"
    )
}

/// Where a text is just one `{{ expression }}`: the offset of the expression and the expression.
fn single_expression(text: &str) -> Option<(usize, &str)> {
    let lead = text.len() - text.trim_start().len();
    let inner = text.trim().strip_prefix("{{")?;
    let (mut quote, mut depth, mut escaped) = (None, 0_usize, false);
    for (at, c) in inner.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') => {
                let expression = &inner[..at];
                let controlled =
                    expression.starts_with(['-', '+']) || expression.ends_with(['-', '+']);
                return (&inner[at..] == "}}" && !controlled).then_some((lead + 2, expression));
            }
            _ => {}
        }
    }
    None
}

/// Every text in a value becomes secret.
fn secret(value: Value) -> Value {
    match value {
        Value::Str(s) if s == OMIT => Value::Str(s),
        Value::Str(s) => Value::Secret(Secret::new(s)),
        Value::List(items) => Value::List(items.into_iter().map(secret).collect()),
        Value::Map(map) => Value::Map(map.into_iter().map(|(k, v)| (k, secret(v))).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
