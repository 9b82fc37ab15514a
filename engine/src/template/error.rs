//! What went wrong, at its exact place, with what was probably meant.

use std::ops::Range;
use std::sync::Arc;

use super::analyze::{Names, Use};
use super::backslash::Escaped;
use super::filters;
use super::scope::Scope;
use super::session::{Outcome, Session, Trace};
use crate::source::{Node, Sources, Span};

/// Why something could not be rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateError {
    /// What kind.
    pub kind: ErrorKind,
    /// What is wrong, terse. For [`ErrorKind::Unknown`] just until when.
    pub message: String,
    /// Where. Within another variable, if the mistake is there.
    pub span: Span,
    /// The bytes within the text of the scalar at `span`, where they are known. `span` is as narrow as they are only
    /// where the text stands in the file as it is, without escapes and folding.
    pub offset: Option<Range<usize>>,
    /// That whole scalar.
    pub scalar: Option<Box<Node>>,
    /// The template that looked at the variable in which the mistake is.
    pub used_at: Option<Span>,
    /// What to do.
    pub help: Option<String>,
}

/// What kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A variable that does not exist.
    Undefined,
    /// Not a template, or one with a filter, test or function that does not exist.
    Syntax,
    /// A variable that is made of itself.
    Cycle,
    /// A value that only the run will know; the message says until when.
    Unknown,
    /// A string that no vault password opens.
    Vault,
    /// A text where a truth value is meant.
    Condition,
    /// Anything else.
    Other,
}

impl TemplateError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>, span: Span) -> Self {
        Self {
            kind,
            message: message.into(),
            span,
            offset: None,
            scalar: None,
            used_at: None,
            help: None,
        }
    }

    /// The place as narrow as it can be told with the file at hand, also where folding and escapes moved it.
    #[must_use]
    pub fn exact_span(&self, sources: &Sources) -> Span {
        let Some(offset) = &self.offset else {
            return self.span;
        };
        let Some(scalar) = &self.scalar else {
            return self.span;
        };
        crate::source::locate(sources, scalar, offset.clone())
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for TemplateError {}

/// Where a range within a scalar's text stands in the file. Where escapes or folding moved it: the whole scalar.
#[must_use]
pub fn within(node: &Node, text: &str, range: Option<Range<usize>>) -> Span {
    let exact = node.span.end.saturating_sub(node.span.start) as usize;
    // A quoted scalar without escapes is its text and two quotes.
    let lead = match exact.checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) if !text.contains(['\n', '\\']) => 1,
        _ => return node.span,
    };
    match range {
        Some(range) if range.end <= text.len() && range.start < range.end => {
            let at = |n: usize| {
                node.span
                    .start
                    .saturating_add(u32::try_from(n + lead).unwrap_or(0))
            };
            Span {
                file: node.span.file,
                start: at(range.start),
                end: at(range.end),
            }
        }
        _ => node.span,
    }
}

/// A range that lies within a text, on whole characters, and shows at least one where there is any.
fn inside(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start.min(text.len().saturating_sub(1)));
    let end = text.ceil_char_boundary(range.end.clamp(start, text.len()));
    let next = text[start..].chars().next().map_or(0, char::len_utf8);
    start..end.max(start + next)
}

/// A text that is no template.
pub(super) fn syntax(
    error: &minijinja::Error,
    node: &Node,
    text: &str,
    escaped: &Escaped<'_>,
) -> TemplateError {
    let message = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    let range = error.range().map(|r| inside(text, &escaped.back(r)));
    let mut out = TemplateError::new(
        ErrorKind::Syntax,
        message,
        within(node, text, range.clone()),
    );
    let found = range.clone().and_then(|r| text.get(r.start..));
    if found.is_some_and(|t| t.starts_with('=') && !t.starts_with("==")) {
        out.help = Some("`==` compares".to_owned());
    }
    out.offset = range;
    out.scalar = Some(Box::new(node.clone()));
    out
}

/// All that is known about a run that failed.
pub(super) struct Report<'a> {
    pub(super) session: &'a Arc<Session>,
    pub(super) scope: &'a Scope,
    pub(super) trace: &'a Trace,
    pub(super) node: &'a Node,
    /// The text as it stands in the file.
    pub(super) written: &'a str,
    /// The way from the compiled text back to it.
    pub(super) escaped: &'a Escaped<'a>,
    /// The compiled text, which all ranges mean.
    pub(super) text: &'a str,
    /// Where the expression begins in the text.
    pub(super) shift: usize,
    pub(super) names: &'a Names,
}

impl Report<'_> {
    /// The outcome for an error of minijinja.
    pub(super) fn outcome(&self, error: &minijinja::Error) -> Outcome {
        let error = self.error(error);
        match error.kind {
            ErrorKind::Undefined => Outcome::Undefined(Arc::new(error)),
            _ => Outcome::Failed(Arc::new(error)),
        }
    }

    fn place(&self, mut error: TemplateError, range: Option<Range<usize>>) -> TemplateError {
        let range = range.map(|r| inside(self.written, &self.escaped.back(r)));
        error.span = within(self.node, self.written, range.clone());
        error.offset = range;
        error.scalar = Some(Box::new(self.node.clone()));
        error
    }

    fn through(&self, mut error: TemplateError) -> TemplateError {
        if error.span != self.node.span {
            error.used_at = Some(self.node.span);
        }
        error
    }

    pub(super) fn error(&self, error: &minijinja::Error) -> TemplateError {
        if let Some(own) = self.trace.failed() {
            return self.through(own);
        }
        let range = error
            .range()
            .map(|r| r.start + self.shift..r.end + self.shift);
        // The innermost error says what happened; the outermost one where in this text.
        let mut innermost = error;
        while let Some(source) =
            std::error::Error::source(innermost).and_then(|s| s.downcast_ref::<minijinja::Error>())
        {
            innermost = source;
        }
        use minijinja::ErrorKind as J;
        let kind = match innermost.kind() {
            J::UndefinedError => return self.undefined(range, None),
            J::SyntaxError | J::UnknownFilter | J::UnknownTest | J::UnknownFunction => {
                ErrorKind::Syntax
            }
            _ => ErrorKind::Other,
        };
        if kind == ErrorKind::Syntax
            && let Some((message, help, range)) =
                filters::unknown_name(&self.session.engine.strict, self.names)
        {
            let mut out = TemplateError::new(kind, message, self.node.span);
            out.help = help;
            return self.place(out, Some(range));
        }
        let message = match innermost.kind() {
            J::WriteFailure => format!("the text becomes longer than {} bytes", super::LONGEST),
            J::OutOfFuel => "the template takes too many steps".to_owned(),
            kind => innermost
                .detail()
                .map_or_else(|| kind.to_string(), str::to_owned),
        };
        if let Some(what) = filters::not_registered(innermost) {
            return self.not_registered(what, range);
        }
        if message.starts_with("tried to use % operator on unsupported types string") {
            let (message, help) = filters::no_formatting();
            let error = TemplateError::new(kind, message, self.node.span);
            return self.place(error.with_help(help), range);
        }
        if let Some(text) = filters::text_as_truth(innermost) {
            return self.text_as_truth(text, range);
        }
        let whole = (self.shift > 0).then(|| self.expression_range());
        self.place(
            TemplateError::new(kind, message, self.node.span),
            range.or(whole),
        )
    }

    /// Something is asked what only the result of a task can tell.
    fn not_registered(&self, what: &str, range: Option<Range<usize>>) -> TemplateError {
        let meets = |place: &Range<usize>| {
            let r = range.as_ref();
            r.is_none_or(|r| r.start < place.end && place.start < r.end)
        };
        let found = self.names.tests.iter().find(|(_, place)| meets(place));
        let place = found.map(|(_, place)| place.clone()).or(range);
        let asked = place.clone().and_then(|p| self.text.get(p));
        let (name, test) = asked
            .and_then(|t| t.split_once(" is "))
            .unwrap_or(("this", "…"));
        let message =
            format!("`is {test}` asks what a task has registered, and `{name}` is {what}");
        self.place(
            TemplateError::new(ErrorKind::Other, message, self.node.span),
            place,
        )
    }

    /// A text that says no, where only its being there would count.
    fn text_as_truth(&self, text: &str, range: Option<Range<usize>>) -> TemplateError {
        // minijinja's range begins somewhere within what is filtered.
        let judged = |(name, place): &&(String, Range<usize>)| {
            let meets = |r: &Range<usize>| r.start <= place.end && place.start <= r.end;
            name == filters::JUDGED && range.as_ref().is_none_or(meets)
        };
        let found = self.names.filters.iter().find(judged);
        let range = found.map(|(_, place)| place.clone()).or(range);
        let written = range.clone().map(|r| self.escaped.back(r));
        let name = written.and_then(|r| self.written.get(r)).unwrap_or("this");
        let secret = self.trace.is_secret();
        let text = if secret { crate::value::MASK } else { text };
        let message =
            format!("`{name}` is the text `{text}`, and every text but the empty one is true");
        let error = TemplateError::new(ErrorKind::Condition, message, self.node.span);
        self.place(error.with_help(format!("write `{name} | bool`")), range)
    }

    fn expression_range(&self) -> Range<usize> {
        let inner = self.text.get(self.shift..).unwrap_or_default();
        let inner = inner.trim_end().trim_end_matches('}');
        let lead = inner.len() - inner.trim_start().len();
        self.shift + lead..self.shift + inner.trim_end().len()
    }

    /// The error for something undefined: `range` as minijinja gave it, `shown` as a marker has it.
    pub(super) fn undefined(
        &self,
        range: Option<Range<usize>>,
        shown: Option<&str>,
    ) -> TemplateError {
        let overlaps = |used: &&Use| {
            range
                .as_ref()
                .is_none_or(|r| used.range.start < r.end && r.start < used.range.end)
        };
        let unguarded = self.names.uses.iter().filter(|u| !u.guarded);
        let candidates = unguarded
            .clone()
            .filter(overlaps)
            .chain(unguarded)
            .chain(self.names.uses.iter().filter(overlaps));
        for used in candidates {
            if let Some(missing) = self.missing(used)
                && shown.is_none_or(|s| s == missing.shown)
            {
                return match missing.cause {
                    Some(cause) => self.through(cause),
                    None => self.of_missing(used, &missing),
                };
            }
        }
        if let Some(cause) = shown.and_then(|s| self.trace.cause_of(s)) {
            return self.through(cause);
        }
        if let (None, Some(range)) = (shown, &self.names.elseless) {
            let message = "this `if` has no `else`, and its condition does not hold";
            let error = TemplateError::new(ErrorKind::Undefined, message, self.node.span);
            let help = "write `else` and what shall stand there then";
            return self.place(error.with_help(help), Some(range.clone()));
        }
        let range = range.or_else(|| Some(self.expression_range()));
        let name = shown.map(str::to_owned).or_else(|| {
            let text = self.text.get(range.clone()?)?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        });
        let message = format!(
            "`{}` is undefined",
            name.as_deref().unwrap_or(self.text.trim())
        );
        self.place(
            TemplateError::new(ErrorKind::Undefined, message, self.node.span),
            range,
        )
    }

    fn of_missing(&self, used: &Use, missing: &Absent) -> TemplateError {
        // `a.b.c` without `b` in `a`: only `a.b` is underlined, where it is written so.
        let written = self.text.get(used.range.clone()).unwrap_or_default();
        let range = if written.starts_with(&missing.shown) {
            used.range.start..used.range.start + missing.shown.len()
        } else {
            used.range.clone()
        };
        let message = format!("`{}` is undefined", missing.shown);
        let mut error = TemplateError::new(ErrorKind::Undefined, message, self.node.span);
        // Any letter is near to any other.
        if missing.name.chars().nth(1).is_some() {
            let known = missing.known.iter().map(String::as_str);
            error.help = crate::diag::nearest(&missing.name, known)
                .map(|near| format!("did you mean `{near}`?"));
        }
        self.place(error, Some(range))
    }

    /// The first part of a path that does not exist.
    fn missing(&self, used: &Use) -> Option<Absent> {
        let mut path = used.path.iter();
        let root = path.next()?;
        let engine = &self.session.engine;
        let mut scope = self.scope.clone();
        let absent = |shown: String, name: &str, known: Vec<String>| {
            Some(Absent {
                shown,
                name: name.to_owned(),
                known,
                cause: None,
            })
        };
        let mut shown = root.clone();
        let mut place = match self.session.find(&scope, root) {
            Some(Ok(place)) => place,
            Some(Err(inner)) => {
                scope = inner;
                loop {
                    let name = path.next()?;
                    shown = format!("{shown}.{name}");
                    match self.session.find(&scope, name) {
                        Some(Ok(place)) => break place,
                        Some(Err(inner)) => scope = inner,
                        None => return absent(shown, name, scope.all_names()),
                    }
                }
            }
            None if engine.is_global(root) || root == "vars" => return None,
            None => return absent(shown, root, scope.all_names()),
        };
        for name in path.map(Some).chain([None]) {
            place = match self.session.outcome(&place) {
                Outcome::Place(inner) => *inner,
                Outcome::Value(value) => {
                    super::place::Place::of_value(value, place.shown.clone(), &place.scope)
                }
                Outcome::Undefined(cause) => {
                    return Some(Absent {
                        shown: place.shown.to_string(),
                        name: String::new(),
                        known: Vec::new(),
                        cause: Some((*cause).clone()),
                    });
                }
                _ => return None,
            };
            let name = name?;
            let next = place.key(name).or_else(|| place.item(name.parse().ok()?));
            match next {
                Some(next) => place = next,
                None => {
                    let shown = place.member(name);
                    return absent(shown, name, place.keys());
                }
            }
        }
        None
    }
}

struct Absent {
    shown: String,
    name: String,
    known: Vec<String>,
    /// It exists, but what it is made of does not.
    cause: Option<TemplateError>,
}
