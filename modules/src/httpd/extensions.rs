//! Directives that give something to extensions of file names: `AddType TYPE EXTENSION…`, `AddHandler`, and the like.

use runbook_engine::module::Stop;
use runbook_engine::world::View;

use super::conf::{Conf, Says};
use super::effective::Placed;
use super::httpd_directive::{HttpdDirectiveArgs, own, put, says, there};
use super::site::Site;
use super::words::written;

/// `.PHP` and `php` are one.
fn extension(word: &str) -> String {
    word.trim_start_matches('.').to_ascii_lowercase()
}

/// What is given, and the extensions that it is given to.
struct Given {
    what: String,
    extensions: Vec<String>,
}

impl Given {
    fn of(words: &[String]) -> Self {
        let (what, extensions) = words
            .split_first()
            .map_or((String::new(), &[][..]), |(w, e)| (w.clone(), e));
        Self {
            what,
            extensions: extensions.iter().map(|e| extension(e)).collect(),
        }
    }

    /// Does it give the same?
    fn is_same(&self, other: &Self) -> bool {
        self.what.eq_ignore_ascii_case(&other.what)
    }

    fn names_any_of(&self, other: &Self) -> bool {
        self.extensions.iter().any(|e| other.extensions.contains(e))
    }
}

/// Each of the extensions is given what is asked; others keep what they have.
pub fn present(
    args: &HttpdDirectiveArgs,
    site: &mut Site<'_>,
    world: &View<'_>,
) -> Result<(), Stop> {
    let wanted = Given::of(&site.effective.filled(&args.words()));
    if counts(&wanted, args, site)? {
        return Ok(());
    }
    let gives_other = |line: &Placed| {
        let given = Given::of(&line.directive.words);
        !given.is_same(&wanted) && given.names_any_of(&wanted)
    };
    while let Some(line) = there(args, site)?.into_iter().find(gives_other) {
        own(args, &line, site)?;
        let said = there(args, site)?.iter().any(|d| says(args, d, site));
        if !said && kept(&line, &wanted).is_empty() {
            site.rewrite(&line, &args.line());
        } else {
            without(args, &line, &wanted, site);
        }
    }
    if !counts(&wanted, args, site)? {
        put(args, site, world)?;
    }
    if counts(&wanted, args, site)? {
        return Ok(());
    }
    Err(Stop::refuse(format!(
        "{} would not count where it was put; name another `dest`",
        args.name
    )))
}

/// None of the extensions is given it any more; without extensions nothing is.
pub fn absent(args: &HttpdDirectiveArgs, site: &mut Site<'_>) -> Result<(), Stop> {
    let unwanted = Given::of(&site.effective.filled(&args.words()));
    let gives = |line: &Placed| {
        let given = Given::of(&line.directive.words);
        given.is_same(&unwanted)
            && (unwanted.extensions.is_empty() || given.names_any_of(&unwanted))
    };
    while let Some(line) = there(args, site)?.into_iter().find(gives) {
        own(args, &line, site)?;
        without(args, &line, &unwanted, site);
    }
    Ok(())
}

/// Does the last line that names each extension give it what is asked?
fn counts(wanted: &Given, args: &HttpdDirectiveArgs, site: &Site<'_>) -> Result<bool, Stop> {
    let lines: Vec<Given> = there(args, site)?
        .iter()
        .map(|d| Given::of(&d.directive.words))
        .collect();
    Ok(wanted.extensions.iter().all(|e| {
        let last = lines.iter().rfind(|line| line.extensions.contains(e));
        last.is_some_and(|last| last.is_same(wanted))
    }))
}

/// The extensions that a line keeps.
fn kept<'a>(line: &'a Placed, taken: &Given) -> Vec<&'a String> {
    let named = line.directive.words.iter().skip(1);
    named
        .filter(|e| !taken.extensions.is_empty() && !taken.extensions.contains(&extension(e)))
        .collect()
}

/// The line without these extensions; gone where it has no other.
fn without(args: &HttpdDirectiveArgs, line: &Placed, taken: &Given, site: &mut Site<'_>) {
    let kept: Vec<String> = kept(line, taken).into_iter().map(|e| written(e)).collect();
    // As it is written, with its variables.
    let conf = Conf::read(site.text(&line.path));
    let raw = match conf.lines.get(line.line).map(|l| &l.says) {
        Some(Says::Directive(raw)) => raw.words.first().map(|w| written(w)),
        _ => None,
    };
    match raw {
        Some(what) if !kept.is_empty() => {
            let new = format!("{} {what} {}", args.name, kept.join(" "));
            site.rewrite(line, &new);
        }
        _ => site.remove(line),
    }
}
