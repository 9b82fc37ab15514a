//! Diagnostics for people.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Diagnostic, Severity};
use crate::source::Sources;

/// All diagnostics, with the lines of the source underlined.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&one(diagnostic, sources, &renderer));
        out.push_str("\n\n");
    }
    out
}

/// All diagnostics without colour.
#[must_use]
pub fn plain(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    render(diagnostics, sources, false)
}

fn one(diagnostic: &Diagnostic, sources: &Sources, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.id);
    let mut group = title.elements(Vec::<annotate_snippets::Element<'_>>::new());
    let mut files = Vec::new();
    for label in diagnostic.primary.iter().chain(&diagnostic.context) {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    for file in files {
        let (path, text) = sources.get(file);
        if sources.is_vault(file) {
            // A line of it would show secrets: only the place is told.
            let labels = diagnostic.primary.iter().chain(&diagnostic.context);
            for label in labels.filter(|l| l.span.file == file) {
                let (_, line, column) = super::place(sources, label.span);
                let origin = annotate_snippets::Origin::path(path.clone());
                group = group.element(origin.line(line).char_column(column));
            }
            continue;
        }
        let mut snippet = Snippet::source(text.to_string()).path(path).fold(true);
        let here = |l: &&super::Label| l.span.file == file;
        let range = |span: crate::source::Span| {
            let clamp = |at: u32| {
                let mut at = (at as usize).min(text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            clamp(span.start)..clamp(span.end).max(clamp(span.start))
        };
        if let Some(label) = diagnostic.primary.as_ref().filter(here) {
            let text = (!label.text.is_empty()).then_some(label.text.as_str());
            snippet =
                snippet.annotation(AnnotationKind::Primary.span(range(label.span)).label(text));
        }
        for label in diagnostic.context.iter().filter(here) {
            let text = (!label.text.is_empty()).then_some(label.text.as_str());
            snippet =
                snippet.annotation(AnnotationKind::Context.span(range(label.span)).label(text));
        }
        group = group.element(snippet);
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}
