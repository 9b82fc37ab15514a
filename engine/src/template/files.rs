//! Template files, as the module `template` renders them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::analyze::analyze;
use super::backslash::Escaped;
use super::error::Report;
use super::session::{Missing, Session, Trace};
use super::views::{Context, Look};
use super::{Engine, ErrorKind, Scope, TemplateError, written};
use crate::source::{FileId, Kind, Node, Span, Texts};
use crate::value::{Secret, Value};

/// How a template file treats line ends and blanks around its block tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// The line end behind a block tag is taken away (true).
    pub trim_blocks: bool,
    /// Blanks in front of a block tag on its line are taken away (false).
    pub lstrip_blocks: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            trim_blocks: true,
            lstrip_blocks: false,
        }
    }
}

impl FileOptions {
    /// The syntax that they make.
    pub(super) fn syntax(self) -> minijinja::syntax::SyntaxConfig {
        let mut builder = minijinja::syntax::SyntaxConfig::builder();
        builder
            .keep_trailing_newline(true)
            .trim_blocks(self.trim_blocks)
            .lstrip_blocks(self.lstrip_blocks);
        builder.build().unwrap_or_default()
    }

    /// Reads Ansible's first line `#jinja2: trim_blocks: False, lstrip_blocks: True`; gives what to skip of the text.
    fn header(&mut self, text: &str) -> Result<usize, String> {
        let Some(rest) = text.strip_prefix("#jinja2:") else {
            return Ok(0);
        };
        let line = rest.lines().next().unwrap_or_default();
        for pair in line.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, value) = pair
                .split_once([':', '='])
                .ok_or_else(|| format!("`{pair}` is no option of a template file"))?;
            let value = super::truth(value)
                .ok_or_else(|| format!("`{}` is neither true nor false", value.trim()))?;
            match name.trim() {
                "trim_blocks" => self.trim_blocks = value,
                "lstrip_blocks" => self.lstrip_blocks = value,
                // The end of the file is always kept, as Ansible does.
                "keep_trailing_newline" => {}
                other => {
                    return Err(format!(
                        "`{other}` is no option of a template file; there are trim_blocks and lstrip_blocks"
                    ));
                }
            }
        }
        let skipped = text.len() - rest.len() + line.len();
        Ok(skipped + usize::from(text[skipped..].starts_with('\n')))
    }
}

/// What is wrong with a template file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMistake {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Engine {
    /// Is a template file well-formed, and does every filter, test, function and lookup exist that it uses?
    pub fn check_file(&self, text: &str) -> Result<(), FileMistake> {
        let mistake = |range, message: String, help| FileMistake {
            range,
            message,
            help,
        };
        let first_line = 0..text.lines().next().unwrap_or_default().len();
        let skipped = FileOptions::default()
            .header(text)
            .map_err(|message| mistake(first_line, message, None))?;
        let body = text.get(skipped..).unwrap_or_default();
        let found = analyze(body, false).map_err(|error| {
            let of_line = || {
                let line = error.line().unwrap_or(1).saturating_sub(1);
                let start: usize = body.split_inclusive('\n').take(line).map(str::len).sum();
                start..start
            };
            let range = error.range().unwrap_or_else(of_line);
            let message = error
                .detail()
                .map_or_else(|| error.to_string(), str::to_owned);
            mistake(range.start + skipped..range.end + skipped, message, None)
        })?;
        match super::filters::unknown_name(&self.strict, &found) {
            Some((message, help, range)) => Err(mistake(
                range.start + skipped..range.end + skipped,
                message,
                help,
            )),
            None => Ok(()),
        }
    }

    /// Renders a template file, as the module `template` does: the line end behind a block tag is taken away, the one
    /// at the end of the file kept. Other files that it includes, imports or extends are looked up beside it. A text
    /// into which a secret went is a [`Value::Secret`]. Errors name file and line in their message.
    pub fn file_value(
        self: &Arc<Self>,
        scope: &Scope,
        path: &Path,
        text: &str,
        mut options: FileOptions,
    ) -> Result<Value, TemplateError> {
        // As in Jinja2: however its lines end, they are written with `\n`.
        let plain_ends;
        let text = if text.contains('\r') {
            plain_ends = text.replace("\r\n", "\n").replace('\r', "\n");
            plain_ends.as_str()
        } else {
            text
        };
        let span = Span {
            file: FileId::NOWHERE,
            start: 0,
            end: 0,
        };
        let shown = path.display().to_string();
        let skipped = options.header(text).map_err(|message| {
            TemplateError::new(ErrorKind::Syntax, format!("{shown}:1: {message}"), span)
        })?;
        let body = text.get(skipped..).unwrap_or_default();
        let lines_before = text[..text.len() - body.len()].matches('\n').count();

        let mut environment = self.strict.clone();
        environment.set_syntax(options.syntax());
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let files = self.files().clone();
        environment.set_loader(move |name| beside(&files, &folder, name));

        let session = Session::new(self);
        let node = Node {
            span,
            kind: Kind::Scalar {
                text: body.to_owned(),
                plain: false,
            },
        };
        let found = analyze(body, false).unwrap_or_default();
        let mut used = None;
        let mut result = Ok(String::new());
        for lenient in [false, true] {
            if lenient {
                environment.set_undefined_behavior(minijinja::UndefinedBehavior::Chainable);
            }
            let look = Look {
                session: session.clone(),
                trace: Trace::new(false),
                depth: 0,
                lenient,
            };
            let context = minijinja::Value::from_object(Context {
                look: look.clone(),
                scope: scope.clone(),
                top: true,
            });
            result = environment
                .template_from_named_str(&shown, body)
                .and_then(|template| written(&template, context));
            look.trace.take_emitted();
            used = Some(look);
            // An undefined value in an included file may be saved by a `default` there, which is not analysed here.
            let saved = matches!(&result, Err(e) if is_undefined(e));
            if !saved {
                break;
            }
        }
        let trace = used.map(|look| look.trace).unwrap_or_default();
        let report = Report {
            session: &session,
            scope,
            trace: &trace,
            node: &node,
            written: body,
            escaped: &Escaped::none(body),
            text: body,
            shift: 0,
            names: &found,
        };
        let at_line = |mut error: TemplateError, source: Option<&minijinja::Error>| {
            if error.used_at.is_some() || error.kind == ErrorKind::Unknown {
                error.used_at = None;
                return error;
            }
            let named = source.and_then(innermost_place);
            let line = match (&named, &error.offset) {
                (Some((name, line)), _) if *name != shown => {
                    error.message = format!("{name}:{line}: {}", error.message);
                    return error;
                }
                (_, Some(range)) => body
                    .get(..range.start)
                    .map_or(1, |before| before.matches('\n').count() + 1),
                (Some((_, line)), None) => *line,
                (None, None) => 1,
            };
            error.message = format!("{shown}:{}: {}", line + lines_before, error.message);
            error
        };
        match trace.pending() {
            Some(Missing::Unknown(why)) => {
                return Err(TemplateError::new(ErrorKind::Unknown, why, span));
            }
            Some(Missing::Undefined(name)) => {
                let source = result.as_ref().err();
                return Err(at_line(report.undefined(None, Some(&name)), source));
            }
            None => {}
        }
        match result {
            Ok(text) if trace.is_secret() => {
                self.note(trace.take_secrets());
                Ok(Value::Secret(Secret::new(text)))
            }
            Ok(text) => Ok(Value::Str(text)),
            Err(error) => Err(at_line(report.error(&error), Some(&error))),
        }
    }
}

/// A file that a template names, below the folder that the template lies in.
fn beside(files: &Texts, folder: &Path, name: &str) -> Result<Option<String>, minijinja::Error> {
    let outside = |part: &str| part.starts_with('.') || part.contains('\\');
    if name.split('/').any(outside) {
        return Ok(None);
    }
    match files.read(&folder.join(name)) {
        Ok(text) => Ok(Some(text.to_string())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(minijinja::Error::new(
            minijinja::ErrorKind::InvalidOperation,
            format!("{name} cannot be read: {e}"),
        )),
    }
}

fn chain(error: &minijinja::Error) -> impl Iterator<Item = &minijinja::Error> {
    std::iter::successors(Some(error), |e| {
        std::error::Error::source(*e).and_then(|s| s.downcast_ref::<minijinja::Error>())
    })
}

fn is_undefined(error: &minijinja::Error) -> bool {
    chain(error).any(|e| e.kind() == minijinja::ErrorKind::UndefinedError)
}

/// File and line of the innermost error that has them.
fn innermost_place(error: &minijinja::Error) -> Option<(String, usize)> {
    chain(error)
        .filter_map(|e| Some((e.name()?.to_owned(), e.line()?)))
        .last()
}
