//! Templates and expressions, with Ansible's meaning, on minijinja.
//!
//! What differs from Ansible's Jinja2 is listed in docs/ansible.md. Undefined variables are errors with their place;
//! values that only the run will know ([`Value::Unknown`]) make whatever uses them unknown; a text into which a secret
//! went is a secret.
//!
//! A template is first run strictly: whatever is undefined is an error with its exact bytes. Ansible lets `default`
//! and `is defined` save a path of which an earlier part is missing (`a.b.c | default('d')` without `a`). Where the
//! error lies in such an operand, the template is run again with markers in place of what is undefined; a marker that
//! reaches anything else than `default` and `is defined` makes the same error.

mod analyze;
mod backslash;
mod convert;
mod crypt;
mod error;
mod files;
mod filters;
mod place;
mod scope;
mod session;
mod tests_of;
mod views;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{Environment, UndefinedBehavior, Value as Jinja};

pub use analyze::{Names, Use, defined_where, names};
pub use error::{ErrorKind, TemplateError, within};
pub use files::{FileMistake, FileOptions};
pub use place::named_like_a_secret;
pub use scope::{Names as DynamicNames, Scope};

use self::analyze::single_expression;
use self::backslash::Escaped;
use self::session::{Missing, Outcome, Session, Trace};
use self::views::{Context, Look};
use crate::source::{Kind, Node, Texts};
use crate::value::Value;

/// Instructions that one template may take. A loop that never ends stops here.
const FUEL: u64 = 2_000_000;
/// Bytes that one template may write.
const LONGEST: usize = 16 << 20;

/// The language with its filters, tests and functions. One per call; cheap to use from many tasks at once.
pub struct Engine {
    strict: Environment<'static>,
    /// Undefined things in bracketed paths are passed on, for the second run.
    lenient: Environment<'static>,
    /// Texts of secrets that templates have used.
    secrets: Mutex<BTreeSet<String>>,
    /// Files that templates have read.
    files: Arc<Texts>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

/// What is run.
#[derive(Clone, Copy)]
struct Form<'a> {
    /// The text as it is compiled.
    escaped: &'a Escaped<'a>,
    /// Where the expression begins in it, and the expression; `None`: the text is rendered into a text.
    expression: Option<(usize, &'a str)>,
}

enum Got {
    Native(Jinja),
    Text(String),
    /// Nothing was printed at all.
    Nothing,
}

impl Engine {
    fn note(&self, secrets: Vec<String>) {
        let mut noted = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        noted.extend(secrets);
    }

    fn noted(&self, value: Value) -> Value {
        let mut secrets = Vec::new();
        value.secrets(&mut |secret| secrets.push(secret.to_owned()));
        self.note(secrets);
        value
    }

    /// The texts of secrets that templates have used since this was asked last.
    #[must_use]
    pub fn used_secrets(&self) -> Vec<String> {
        let mut noted = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *noted).into_iter().collect()
    }

    /// The language.
    #[must_use]
    pub fn new() -> Self {
        let mut strict = Environment::new();
        strict.set_undefined_behavior(UndefinedBehavior::Strict);
        strict.set_fuel(Some(FUEL));
        strict.set_syntax(syntax());
        strict.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        strict.set_formatter(convert::formatter);
        strict.set_unknown_method_callback(filters::method);
        filters::add(&mut strict);
        tests_of::add(&mut strict);
        strict.add_global("omit", Jinja::from_object(views::Omit));
        let mut lenient = strict.clone();
        lenient.set_undefined_behavior(UndefinedBehavior::Chainable);
        Self {
            strict,
            lenient,
            secrets: Mutex::default(),
            files: Arc::default(),
        }
    }

    /// The files that templates have read: `lookup('file')`, and what template files include.
    #[must_use]
    pub fn files(&self) -> &Arc<Texts> {
        &self.files
    }

    /// Renders a whole tree. Each scalar keeps its place; one that is just `{{ expression }}` keeps the type of its
    /// value, and what stands for `omit` is taken out. What is unknown becomes [`Value::Unknown`] at its scalar. All
    /// errors come at once.
    pub fn render(
        self: &Arc<Self>,
        scope: &Scope,
        node: &Node,
    ) -> Result<Node, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let rendered = self.tree(&Session::new(self), scope, node, &mut errors);
        match rendered {
            _ if !errors.is_empty() => Err(errors),
            Some(node) => Ok(node),
            None => Ok(Node {
                span: node.span,
                kind: Kind::Value(Value::Null),
            }),
        }
    }

    /// As [`Engine::render`], with an error for everything that is unknown.
    pub fn render_known(
        self: &Arc<Self>,
        scope: &Scope,
        node: &Node,
    ) -> Result<Node, Vec<TemplateError>> {
        let rendered = self.render(scope, node)?;
        let mut errors = Vec::new();
        unknowns(&rendered, &mut errors);
        if errors.is_empty() {
            Ok(rendered)
        } else {
            Err(errors)
        }
    }

    /// `None`: omitted, or an error was noted.
    fn tree(
        self: &Arc<Self>,
        session: &Arc<Session>,
        scope: &Scope,
        node: &Node,
        errors: &mut Vec<TemplateError>,
    ) -> Option<Node> {
        let kind = match &node.kind {
            Kind::Scalar { text, .. } if is_template(text) => {
                let outcome = self.scalar(session, scope, node, text);
                match self.settled(session, outcome) {
                    Ok(value) => Kind::Value(value?),
                    Err(error) => {
                        errors.push(error);
                        return None;
                    }
                }
            }
            Kind::Encrypted(text) => match session::decrypted(text, node) {
                Ok(value) => Kind::Value(self.noted(value)),
                Err(error) => {
                    errors.push(error);
                    return None;
                }
            },
            Kind::Scalar { .. } if node.span.file.is_secret() => {
                let value = session::secret(crate::source::untyped(node));
                Kind::Value(self.noted(value))
            }
            Kind::Scalar { .. } | Kind::Value(_) => node.kind.clone(),
            Kind::Seq(items) => Kind::Seq(
                items
                    .iter()
                    .filter_map(|i| self.tree(session, scope, i, errors))
                    .collect(),
            ),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .filter_map(|(key, value)| {
                        let key = self.tree(session, scope, key, errors)?;
                        Some((key, self.tree(session, scope, value, errors)?))
                    })
                    .collect(),
            ),
        };
        Some(Node {
            span: node.span,
            kind,
        })
    }

    /// The whole value of an outcome; `None`: omitted.
    fn settled(
        self: &Arc<Self>,
        session: &Arc<Session>,
        outcome: Outcome,
    ) -> Result<Option<Value>, TemplateError> {
        match outcome {
            Outcome::Place(place) => session.whole(&place),
            Outcome::Value(value) => Ok(Some((*value).clone())),
            Outcome::Omit => Ok(None),
            Outcome::Unknown(why) => Ok(Some(Value::Unknown(why))),
            Outcome::Undefined(error) | Outcome::Failed(error) => Err((*error).clone()),
        }
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

    /// The value of a bare expression (`debug: var`): no braces around it.
    pub fn eval(self: &Arc<Self>, scope: &Scope, node: &Node) -> Result<Value, TemplateError> {
        self.evaluated(scope, node, false)
    }

    /// `judged`: it is asked only whether it is true.
    fn evaluated(
        self: &Arc<Self>,
        scope: &Scope,
        node: &Node,
        judged: bool,
    ) -> Result<Value, TemplateError> {
        let text = match &node.kind {
            Kind::Scalar { text, .. } => text,
            Kind::Value(Value::Unknown(why)) => {
                return Err(TemplateError::new(
                    ErrorKind::Unknown,
                    why.clone(),
                    node.span,
                ));
            }
            Kind::Value(value) => return Ok(value.clone()),
            Kind::Encrypted(text) => return session::decrypted(text, node),
            _ => {
                return Err(TemplateError::new(
                    ErrorKind::Other,
                    "a condition is an expression",
                    node.span,
                ));
            }
        };
        let session = Session::new(self);
        let outcome = if is_template(text) {
            self.scalar(&session, scope, node, text)
        } else {
            let escaped = if judged {
                let put = format!("|{}", filters::JUDGED);
                Escaped::with(text, &analyze::judged(text), &put)
            } else {
                Escaped::none(text)
            };
            let form = Form {
                escaped: &escaped,
                expression: Some((0, &escaped.text)),
            };
            self.outcome(&session, scope, node, text, form)
        };
        match self.settled(&session, outcome)? {
            Some(Value::Unknown(why)) => {
                Err(TemplateError::new(ErrorKind::Unknown, why, node.span))
            }
            Some(value) => Ok(value),
            None => Ok(Value::Null),
        }
    }

    /// Whether a condition holds.
    ///
    /// A truth value is what it is; null, zero, the empty text and empty lists and mappings are false, as in Ansible.
    /// Variables given as `-e flag=false` are texts, and to Jinja such a text is true: where one that says no is asked
    /// whether it is true, in `flag`, `not flag` or `flag and x`, this is an error, because Ansible would do the
    /// opposite of what is meant. One that says yes is true. Any other text that a condition comes to is an error, as
    /// it is in ansible-core since 2.19: `when: "'a' in b"`, quoted once too often, would else always hold.
    pub fn holds(self: &Arc<Self>, scope: &Scope, node: &Node) -> Result<bool, TemplateError> {
        let value = self.evaluated(scope, node, true)?;
        match &value {
            Value::Bool(b) => Ok(*b),
            Value::Null => Ok(false),
            Value::Int(n) => Ok(*n != 0),
            Value::Float(n) => Ok(*n != 0.0),
            Value::Str(_) | Value::Secret(_) => {
                let text = value.as_str().unwrap_or_default();
                if text.is_empty() {
                    return Ok(false);
                }
                let shown = if matches!(value, Value::Secret(_)) {
                    crate::value::MASK
                } else {
                    text
                };
                let error = |message| TemplateError::new(ErrorKind::Condition, message, node.span);
                match truth(text) {
                    Some(true) => Ok(true),
                    Some(false) => Err(error(format!(
                        "the condition comes to the text `{shown}`, and every text but the empty one is true"
                    ))
                    .with_help("make a truth value of it: `… | bool`")),
                    None => Err(error(format!(
                        "the condition comes to the text `{shown}`, neither true nor false"
                    ))
                    .with_help("compare it with something, or write `… | length > 0`")),
                }
            }
            Value::List(l) => Ok(!l.is_empty()),
            Value::Map(m) => Ok(!m.is_empty()),
            Value::Unknown(why) => Err(TemplateError::new(
                ErrorKind::Unknown,
                why.clone(),
                node.span,
            )),
        }
    }

    /// Is the text a well-formed template (or, with `bare`, expression), all of whose filters, tests and functions
    /// exist?
    pub fn check_syntax(&self, node: &Node, bare: bool) -> Result<(), TemplateError> {
        let Kind::Scalar { text, .. } = &node.kind else {
            return Ok(());
        };
        let escaped = if is_template(text) {
            Escaped::new(text)
        } else {
            Escaped::none(text)
        };
        let found = analyze::analyze(&escaped.text, bare)
            .map_err(|e| error::syntax(&e, node, text, &escaped))?;
        if bare && let Some(error) = within_expression(node, text, &escaped) {
            return Err(error);
        }
        filters::unknown_name(&self.strict, &found).map_or(Ok(()), |(message, help, range)| {
            let range = escaped.back(range);
            let mut error = TemplateError::new(
                ErrorKind::Syntax,
                message,
                within(node, text, Some(range.clone())),
            );
            error.offset = Some(range);
            error.scalar = Some(Box::new(node.clone()));
            error.help = help;
            Err(error)
        })
    }

    /// A function or another name of the language itself.
    fn is_global(&self, name: &str) -> bool {
        filters::FUNCTIONS.contains(&name) || name == "omit"
    }

    /// Renders a scalar that is a template.
    fn scalar(
        self: &Arc<Self>,
        session: &Arc<Session>,
        scope: &Scope,
        node: &Node,
        text: &str,
    ) -> Outcome {
        let escaped = Escaped::new(text);
        let form = Form {
            escaped: &escaped,
            expression: single_expression(&escaped.text),
        };
        self.outcome(session, scope, node, text, form)
    }

    fn outcome(
        self: &Arc<Self>,
        session: &Arc<Session>,
        scope: &Scope,
        node: &Node,
        text: &str,
        form: Form<'_>,
    ) -> Outcome {
        let found = match analyze::analyze(&form.escaped.text, form.expression.is_some()) {
            Ok(found) => found,
            Err(error) => {
                return Outcome::Failed(Arc::new(error::syntax(&error, node, text, form.escaped)));
            }
        };
        let look = |lenient| Look {
            session: session.clone(),
            trace: Trace::new(found.straight),
            depth: 0,
            lenient,
        };
        let mut used = look(false);
        let mut result = run(&self.strict, &used, scope, form);
        if let Err(error) = &result
            && may_be_saved(error, &found, form)
        {
            used = look(true);
            result = run(&self.lenient, &used, scope, form);
        }
        let report = error::Report {
            session,
            scope,
            trace: &used.trace,
            node,
            written: text,
            escaped: form.escaped,
            text: &form.escaped.text,
            shift: form.expression.map_or(0, |(at, _)| at),
            names: &found,
        };
        match used.trace.pending() {
            Some(Missing::Unknown(why)) => return Outcome::Unknown(why),
            Some(Missing::Undefined(shown)) => {
                return Outcome::Undefined(Arc::new(report.undefined(None, Some(&shown))));
            }
            None => {}
        }
        let value = match result {
            Ok(Got::Nothing) => return Outcome::Value(Arc::new(Value::Str(String::new()))),
            Ok(Got::Text(text)) => Value::Str(text),
            Ok(Got::Native(value)) if convert::is_nothing(&value) => Value::Str(String::new()),
            Ok(Got::Native(value)) if value.is_undefined() => {
                return Outcome::Undefined(Arc::new(report.undefined(None, None)));
            }
            Ok(Got::Native(value)) => {
                if let Some(place) = convert::place_of(&value) {
                    return Outcome::Place(Box::new(place));
                }
                match convert::from_jinja(&value) {
                    // Converting looks at all that hangs on the value.
                    _ if used.trace.pending().is_some() => {
                        return match used.trace.pending() {
                            Some(Missing::Unknown(why)) => Outcome::Unknown(why),
                            _ => Outcome::Undefined(Arc::new(report.undefined(None, None))),
                        };
                    }
                    Ok(Some(value)) => value,
                    Ok(None) => return Outcome::Omit,
                    Err(error) => return report.outcome(&error),
                }
            }
            Err(error) => return report.outcome(&error),
        };
        // As in Ansible: a text ends with as many line ends as its template; any other value keeps its type.
        let value = match value {
            Value::Str(mut text) if is_template(&form.escaped.text) => {
                let wanted = line_ends(&form.escaped.text);
                for _ in line_ends(&text)..wanted {
                    text.push('\n');
                }
                Value::Str(text)
            }
            other => other,
        };
        // What a template of a vault says by itself is as secret as what it looks up.
        let value = if used.trace.is_secret() || node.span.file.is_secret() {
            self.note(used.trace.take_secrets());
            session::secret(value)
        } else {
            value
        };
        Outcome::Value(Arc::new(value))
    }
}

/// The mistake of braces within an expression, which make a text of it: `'{{ a }}' == 'b'`.
fn within_expression(node: &Node, text: &str, escaped: &Escaped<'_>) -> Option<TemplateError> {
    let open = text.find("{{")?;
    if text.contains("{%") || single_expression(&escaped.text).is_some() {
        return None;
    }
    let close = text[open..].find("}}").map_or(text.len(), |n| open + n + 2);
    let message = "this is an expression already, and braces within it make a text of it";
    let mut error = TemplateError::new(ErrorKind::Syntax, message, node.span);
    error.offset = Some(open..close);
    error.span = within(node, text, Some(open..close));
    error.scalar = Some(Box::new(node.clone()));
    Some(error.with_help(format!(
        "write it without the braces: `{}`",
        unbraced(text.trim())
    )))
}

/// With `'{{ a }}'` and `{{ a }}` as what stands in them.
fn unbraced(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, (inner, behind))) = rest
        .split_once("{{")
        .and_then(|(before, tag)| Some((before, tag.split_once("}}")?)))
    {
        let quote = before.chars().last().filter(|c| "'\"".contains(*c));
        match quote.and_then(|q| Some((before.strip_suffix(q)?, behind.strip_prefix(q)?))) {
            Some((before, behind)) => {
                out.push_str(before);
                rest = behind;
            }
            None => {
                out.push_str(before);
                rest = behind;
            }
        }
        out.push_str(inner.trim_matches(['-', '+']).trim());
    }
    out + rest
}

/// The error lies where something undefined is no mistake.
fn may_be_saved(error: &minijinja::Error, found: &Names, form: Form<'_>) -> bool {
    if error.kind() != minijinja::ErrorKind::UndefinedError {
        return false;
    }
    let shift = form.expression.map_or(0, |(at, _)| at);
    match error.range() {
        Some(range) => found
            .guarded
            .iter()
            .any(|g| g.start <= range.start + shift && range.end + shift <= g.end),
        None => !found.guarded.is_empty(),
    }
}

fn run(
    environment: &Environment<'_>,
    look: &Look,
    scope: &Scope,
    form: Form<'_>,
) -> Result<Got, minijinja::Error> {
    let context = Jinja::from_object(Context {
        look: look.clone(),
        scope: scope.clone(),
        top: true,
    });
    match form.expression {
        Some((_, expression)) => environment
            .compile_expression(expression)?
            .eval(context)
            .map(Got::Native),
        None => {
            let template = environment.template_from_str(&form.escaped.text)?;
            let text = written(&template, context);
            // As in Ansible, a template that prints one value and nothing else is that value.
            let only = look.trace.take_emitted();
            let text = text?;
            match only {
                Some(value)
                    if value.is_none() && text.is_empty()
                        || convert::text(&value).is_ok_and(|t| t == text) =>
                {
                    Ok(Got::Native(value))
                }
                None if text.is_empty() => Ok(Got::Nothing),
                _ => Ok(Got::Text(text)),
            }
        }
    }
}

/// Renders into a text that does not grow without end.
fn written(
    template: &minijinja::Template<'_, '_>,
    context: Jinja,
) -> Result<String, minijinja::Error> {
    let mut out = Limited(Vec::new());
    template.render_captured_to(context, &mut out)?;
    String::from_utf8(out.0)
        .map_err(|e| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, e.to_string()))
}

struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::Error::other(format!(
                "the text becomes longer than {LONGEST} bytes"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unknowns(node: &Node, errors: &mut Vec<TemplateError>) {
    match &node.kind {
        Kind::Scalar { .. } | Kind::Encrypted(_) => {}
        Kind::Value(value) => errors.extend(
            value
                .unknown()
                .map(|why| TemplateError::new(ErrorKind::Unknown, why, node.span)),
        ),
        Kind::Seq(items) => items.iter().for_each(|i| unknowns(i, errors)),
        Kind::Map(entries) => entries.iter().for_each(|(k, v)| {
            unknowns(k, errors);
            unknowns(v, errors);
        }),
    }
}

/// Jinja2's syntax as Ansible sets it up for texts: the line end behind a block tag is taken away, and the last one,
/// which is put back behind a text.
fn syntax() -> minijinja::syntax::SyntaxConfig {
    let mut builder = minijinja::syntax::SyntaxConfig::builder();
    builder.keep_trailing_newline(false).trim_blocks(true);
    builder.build().unwrap_or_default()
}

/// How many line ends a text ends with.
fn line_ends(text: &str) -> usize {
    text.len() - text.trim_end_matches('\n').len()
}

/// The text that Ansible makes of a value where a file's content is wanted: lists and mappings as JSON, anything else as
/// Python prints it.
#[must_use]
pub fn content_text(value: &Value) -> String {
    let seen = convert::to_jinja(value);
    let text = match value {
        Value::List(_) | Value::Map(_) => filters::json_text(&seen),
        _ => convert::text(&seen),
    };
    text.unwrap_or_default()
}

/// Does a text hold anything to be rendered?
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// What a text says as a truth value.
fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "y" | "t" => Some(true),
        "" | "false" | "no" | "off" | "0" | "n" | "f" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
