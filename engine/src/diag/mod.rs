//! Mistakes in playbooks and inventories, as data: collected, never stopping at the first, rendered elsewhere.

mod ids;
mod render;

use serde::Serialize;

use crate::source::{Sources, Span};

pub use ids::{IDS, meaning};
pub use render::{plain, render};

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The playbook does not start.
    Error,
    /// It starts, but something is probably not meant so.
    Warning,
}

/// A place with a word to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there; may be empty.
    pub text: String,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable id: `unknown-argument`.
    pub id: &'static str,
    /// How grave.
    pub severity: Severity,
    /// What is wrong, terse.
    pub message: String,
    /// The place of the mistake. `None` only where there is no text (a missing file).
    pub primary: Option<Label>,
    /// Other places that matter.
    pub context: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    #[must_use]
    pub fn error(id: &'static str, message: impl Into<String>) -> Self {
        Self {
            id,
            severity: Severity::Error,
            message: message.into(),
            primary: None,
            context: Vec::new(),
            help: None,
        }
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(id: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(id, message)
        }
    }

    /// At this place.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some(Label {
            span,
            text: label.into(),
        });
        self
    }

    /// With another place that matters.
    #[must_use]
    pub fn and(mut self, span: Span, label: impl Into<String>) -> Self {
        self.context.push(Label {
            span,
            text: label.into(),
        });
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a suggestion, where one of `known` is near to what was written.
    #[must_use]
    pub fn suggest<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(written, known) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// What, where and what to do, on one line.
    #[must_use]
    pub fn one_line(&self, sources: &Sources) -> String {
        let mut line = String::new();
        if let Some(label) = &self.primary {
            let (file, at, column) = place(sources, label.span);
            line = format!("{file}:{at}:{column}: ");
        }
        line.push_str(&self.message);
        if let Some(help) = &self.help {
            line.push_str(" (");
            line.push_str(help);
            line.push(')');
        }
        line
    }

    /// As JSON: id, severity, message, file, line, column, end line and column, help.
    #[must_use]
    pub fn to_json(&self, sources: &Sources) -> serde_json::Value {
        let spot = |span: Span| {
            let (file, line, column) = place(sources, span);
            let (_, end_line, end_column) = place(
                sources,
                Span {
                    start: span.end,
                    ..span
                },
            );
            serde_json::json!({
                "file": file, "line": line, "column": column, "end_line": end_line, "end_column": end_column,
            })
        };
        serde_json::json!({
            "id": self.id,
            "severity": self.severity,
            "message": self.message,
            "place": self.primary.as_ref().map(|l| spot(l.span)),
            "context": self.context.iter().map(|l| {
                serde_json::json!({ "place": spot(l.span), "text": l.text })
            }).collect::<Vec<_>>(),
            "help": self.help,
        })
    }
}

/// The nearest of `known` to what was written, where it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = 1 + written.chars().count() / 3;
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, name)| name)
}

/// File, line and column (from 1, columns in characters) of a span's first byte.
#[must_use]
pub fn place(sources: &Sources, span: Span) -> (String, usize, usize) {
    let (path, text) = sources.get(span.file);
    let start = (span.start as usize).min(text.len());
    let before = text.get(..start).unwrap_or(&text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (path, line, column)
}

/// Sorts by place and takes out what is said twice.
#[must_use]
pub fn in_order(mut all: Vec<Diagnostic>) -> Vec<Diagnostic> {
    all.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.primary.as_ref().map(|l| l.span), d.id, d.message.clone());
        key(a).cmp(&key(b))
    });
    all.dedup();
    all
}
