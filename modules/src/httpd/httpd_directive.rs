//! The module `httpd_directive`: one directive of the server's configuration.

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::conf::{Conf, Says};
use super::effective::Placed;
use super::extensions;
use super::nature::{By, may_be_several};
use super::section::{Asked, find, inside, into, is_shared};
use super::site::{Given, Site};
use super::words::{words, written};
use crate::file::FileKind;
use crate::file::lineinfile::Presence;
use crate::file::target::absolute;

/// The module.
pub struct HttpdDirective;

/// One word or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// As it stands in the file.
    Text(String),
    /// Each is quoted where it has to be.
    Words(Vec<String>),
}

/// The section in which it stands, and those around that.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Sections {
    /// One.
    One(String),
    /// From the outermost on.
    Path(Vec<String>),
}

/// Arguments of `httpd_directive`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpdDirectiveArgs {
    /// Its name: `TypesConfig`.
    pub name: String,
    /// What stands behind it: a text as it stands in the file, or a list of words, each of which is quoted where it has to be.
    #[serde(default)]
    pub value: Option<Value>,
    /// Whether it shall be there: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
    /// The section in which it stands: `VirtualHost *:443`; a list where sections stand in each other, the outermost first.
    /// Default: none, that is the whole server.
    #[serde(default)]
    pub section: Option<Sections>,
    /// Of several virtual hosts, the one with this `ServerName`.
    #[serde(default)]
    pub server_name: Option<String>,
    /// What tells it from others of its name: `name` (of several the last one counts), `first` (its first word), `all` (they
    /// count side by side), `extension`. Default: what is known of the directive; where nothing is known it is needed.
    #[serde(default)]
    pub by: Option<By>,
    /// The file for what is new. Default: behind the last one of its name, behind a comment that shows it, at the end of the
    /// section, else at the end of the first file.
    #[serde(default)]
    pub dest: Option<String>,
    /// The first file of configuration. Default: the one that the program names.
    #[serde(default)]
    pub conf: Option<String>,
    /// The server's program. Default: apache2 or httpd, where they are found.
    #[serde(default)]
    pub program: Option<String>,
    /// The server's version, where no program says it: `"2.4"`.
    #[serde(default)]
    pub version: Option<String>,
    /// Names that the server's command line defines (`-D`).
    #[serde(default)]
    pub defines: Vec<String>,
    /// Keep the files as they were beside them, as `NAME.HASH~`. Default: no.
    #[serde(default)]
    pub backup: bool,
}

impl HttpdDirectiveArgs {
    fn given(&self) -> Given<'_> {
        Given {
            conf: self.conf.as_ref(),
            program: self.program.as_ref(),
            version: self.version.as_ref(),
            defines: &self.defines,
            backup: self.backup,
        }
    }

    fn by(&self) -> Result<By, String> {
        self.by.or_else(|| By::of(&self.name)).ok_or_else(|| {
            format!(
                "nothing is known of the directive {}; say with `by` what tells it from others of its name: name, first or all",
                self.name
            )
        })
    }

    /// What stands behind the name, as it is written.
    fn rest(&self) -> String {
        match &self.value {
            Some(Value::Text(text)) => text.trim().to_owned(),
            Some(Value::Words(words)) => {
                let words: Vec<String> = words.iter().map(|w| written(w)).collect();
                words.join(" ")
            }
            None => String::new(),
        }
    }

    pub(super) fn words(&self) -> Vec<String> {
        words(self.rest().as_bytes())
    }

    fn sections(&self) -> Result<Vec<Asked>, String> {
        match &self.section {
            None => Ok(Vec::new()),
            Some(Sections::One(one)) => Asked::read(one).map(|asked| vec![asked]),
            Some(Sections::Path(path)) => path.iter().map(|one| Asked::read(one)).collect(),
        }
    }

    pub(super) fn line(&self) -> String {
        format!("{} {}", self.name, self.rest())
            .trim_end()
            .to_owned()
    }
}

impl Module for HttpdDirective {
    type Args = HttpdDirectiveArgs;
    const NAME: &'static str = "httpd_directive";
    const SUMMARY: &'static str = "Sees to a directive of the Apache HTTP Server.";
    const DOC: &'static str = include_str!("httpd_directive.md");
    const PATHS: &'static [&'static str] = &["dest", "conf"];

    fn validate(args: &HttpdDirectiveArgs) -> Result<(), String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if args.name.is_empty() || !args.name.chars().all(fits) {
            return Err(format!("`name: {}` is no directive", args.name));
        }
        for (name, module) in [("LoadModule", "httpd_module"), ("Alias", "httpd_alias")] {
            if args.name.eq_ignore_ascii_case(name) {
                return Err(format!("{name} is what `{module}` is for"));
            }
        }
        let present = args.state == Presence::Present;
        let by = args.by()?;
        let rest = args.rest();
        if rest.contains(['\n', '\r']) || rest.ends_with('\\') {
            return Err("`value` is more than a line".to_owned());
        }
        let enough = match by {
            By::Extension if present => 2,
            By::Name if !present => 0,
            _ => 1,
        };
        if args.words().len() < enough {
            return Err(match by {
                By::Extension => "`value` names no extension".to_owned(),
                _ => "`value` is missing: what stands behind the name".to_owned(),
            });
        }
        if args.server_name.is_some() && args.section.is_none() {
            return Err(
                "`server_name` says which `section` of virtual hosts, and there is none".to_owned(),
            );
        }
        if args.dest.is_some() && args.section.is_some() {
            return Err("`dest` does not go with `section`, which is where it is".to_owned());
        }
        // One that is there has to be taken away.
        if let Some(slip) = args
            .words()
            .first()
            .and_then(|word| slip(word))
            .filter(|_| present)
        {
            return Err(slip);
        }
        args.sections()?;
        args.given().validate()
    }

    fn touches(args: &HttpdDirectiveArgs) -> Footprint {
        let footprint = Given::touches();
        match &args.dest {
            Some(dest) => footprint.writes(FileKind::NAME, dest.clone()),
            None => footprint,
        }
    }

    fn want(args: &HttpdDirectiveArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let by = args.by().map_err(Stop::Refuse)?;
        let mut site = Site::look(args.given(), world)?;
        match (args.state, by) {
            (Presence::Absent, By::Extension) => extensions::absent(args, &mut site)?,
            (Presence::Absent, _) => {
                while let Some(line) = there(args, &site)?
                    .iter()
                    .rfind(|d| meant(args, by, d, &site))
                {
                    own(args, line, &site)?;
                    site.remove(line);
                }
            }
            (Presence::Present, By::Extension) => extensions::present(args, &mut site, world)?,
            (Presence::Present, _) => present(args, by, &mut site, world)?,
        }
        tell(args, by, &mut site)?;
        site.want(world)
    }
}

/// The type that the server's own documentation of PHP has, with letters in another order: nothing handles it, and the server
/// sends the source of every page.
pub(super) fn slip(word: &str) -> Option<String> {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let rest = word.strip_prefix("application/x-")?;
    let (name, what) = rest.split_once('-')?;
    (name != "httpd" && sorted(name) == sorted("httpd")).then(|| {
        format!("`{word}` is a slip: nothing handles it, and pages would be sent as their source; write `application/x-httpd-{what}`")
    })
}

/// The sections that are meant; none: the whole server.
fn sections(args: &HttpdDirectiveArgs, site: &Site<'_>) -> Result<Vec<Placed>, Stop> {
    let asked = args.sections().map_err(Stop::Refuse)?;
    find(site, &asked, args.server_name.as_deref())
}

/// The directives of this name in the place that is meant, in the order in which they are read.
pub(super) fn there(args: &HttpdDirectiveArgs, site: &Site<'_>) -> Result<Vec<Placed>, Stop> {
    let mut all: Vec<Placed> = if args.section.is_some() {
        let sections = sections(args, site)?;
        sections.iter().flat_map(|s| inside(site, s)).collect()
    } else {
        let outside = |d: &&Placed| d.around.is_empty() && !d.opens;
        let all = site.effective.directives.iter();
        all.filter(outside).cloned().collect()
    };
    all.retain(|d| d.directive.is(&args.name));
    Ok(all)
}

/// Refuses to change a line of a section that other sections include, too.
pub(super) fn own(args: &HttpdDirectiveArgs, line: &Placed, site: &Site<'_>) -> Result<(), Stop> {
    if args.section.is_none() || !is_shared(site, line) {
        return Ok(());
    }
    Err(Stop::refuse(format!(
        "{}: more than one section includes this line, and would change with it; take it out of that file first",
        line.place()
    )))
}

/// Words that say the same: capitals do not count in those that are a choice.
fn same(one: &[String], other: &[String]) -> bool {
    let choice = |w: &str| ["on", "off", "all", "none"].contains(&w.to_ascii_lowercase().as_str());
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(a, b)| a == b || (choice(a) && a.eq_ignore_ascii_case(b)))
}

/// Does the line say what is asked, as it stands or with its variables filled in?
pub(super) fn says(args: &HttpdDirectiveArgs, line: &Placed, site: &Site<'_>) -> bool {
    let wanted = args.words();
    if same(&line.directive.words, &site.effective.filled(&wanted)) {
        return true;
    }
    let conf = Conf::read(site.text(&line.path));
    match conf.lines.get(line.line).map(|l| &l.says) {
        Some(Says::Directive(raw)) => same(&raw.words, &wanted),
        _ => false,
    }
}

/// Is it the line that is asked for, whatever it says beside what tells it from others?
fn meant(args: &HttpdDirectiveArgs, by: By, line: &Placed, site: &Site<'_>) -> bool {
    let wanted = args.words();
    match by {
        By::Name => wanted.is_empty() || args.state == Presence::Present || says(args, line, site),
        By::First if wanted.len() > 1 && args.state == Presence::Absent => says(args, line, site),
        By::First => line.directive.words.first() == site.effective.filled(&wanted).first(),
        By::All | By::Extension => says(args, line, site),
    }
}

fn present(
    args: &HttpdDirectiveArgs,
    by: By,
    site: &mut Site<'_>,
    world: &View<'_>,
) -> Result<(), Stop> {
    let there = there(args, site)?;
    if args.by.is_none() && may_be_several(&args.name) && there.len() > 1 {
        let places: Vec<String> = there.iter().map(Placed::place).collect();
        return Err(Stop::refuse(format!(
            "there are several {}: {}; say with `by` whether they count side by side (all), or the last one is to be changed (name)",
            args.name,
            places.join(", ")
        )));
    }
    match there.iter().rfind(|d| meant(args, by, d, site)) {
        Some(line) if says(args, line, site) => {}
        // What others include, too, stays; a line behind it counts here.
        Some(line) if own(args, line, site).is_err() => {
            if let Some(section) = sections(args, site)?.pop() {
                into(site, &section, &[args.line()]);
            }
        }
        Some(line) => site.rewrite(line, &args.line()),
        None => put(args, site, world)?,
    }
    let there = self::there(args, site)?;
    let counts = there.iter().rfind(|d| meant(args, by, d, site));
    match counts {
        Some(line) if says(args, line, site) => {
            let own = (&line.path, line.line);
            let others = there
                .iter()
                .filter(|d| by != By::All && meant(args, by, d, site));
            let notes: Vec<String> = others
                .filter(|d| (&d.path, d.line) != own)
                .map(|other| {
                    let (place, counts) = (other.place(), line.place());
                    format!(
                        "{place}: this {} never counts, since {counts} comes behind",
                        args.name
                    )
                })
                .collect();
            site.notes.extend(notes);
            Ok(())
        }
        _ => Err(Stop::refuse(format!(
            "{} would not count where it was put; name another `dest`",
            args.name
        ))),
    }
}

/// A new line.
pub(super) fn put(
    args: &HttpdDirectiveArgs,
    site: &mut Site<'_>,
    world: &View<'_>,
) -> Result<(), Stop> {
    let line = args.line();
    if let Some(dest) = &args.dest {
        let dest = absolute(dest)?;
        return site.write(&dest, &dest, &[line], world);
    }
    let section = sections(args, site)?.pop();
    // Behind the last of its name, where that stands in no condition.
    let around = section.as_ref().map(|s| (s.path.clone(), s.line));
    let direct = |d: &&Placed| {
        let conf = Conf::read(site.text(&d.path));
        let inside = conf.lines.get(d.line).and_then(|l| l.inside);
        inside.map(|line| (d.path.clone(), line)) == around
    };
    if let Some(last) = there(args, site)?.iter().rfind(direct) {
        let at = site.line_at(last);
        let text = &site.text(&last.path)[at.clone()];
        let blanks = text
            .iter()
            .map_while(|b| b" \t".contains(b).then_some(*b as char));
        let line = format!("{}{line}", blanks.collect::<String>());
        let path = last.path.clone();
        site.insert(&path, at.end, &[line]);
        return Ok(());
    }
    if let Some(section) = section {
        into(site, &section, &[line]);
        return Ok(());
    }
    let root = site.tree.root.clone();
    let at = shown(args, site).unwrap_or(site.text(&root).len());
    site.insert(&root, at, &[line]);
    Ok(())
}

/// Behind a comment of the first file that shows the directive, outside of sections: `#ServerName www.example.com:80`.
fn shown(args: &HttpdDirectiveArgs, site: &Site<'_>) -> Option<usize> {
    let conf = Conf::read(site.text(&site.tree.root));
    let shows = |bytes: &[u8]| {
        let comment = bytes.trim_ascii().strip_prefix(b"#");
        // With a blank behind its sign it is prose that begins with the word.
        let first = comment.and_then(|c| c.split(u8::is_ascii_whitespace).next());
        first.is_some_and(|f| f.eq_ignore_ascii_case(args.name.as_bytes()))
    };
    let line = conf.lines.iter().rfind(|line| {
        line.inside.is_none() && line.says == Says::Nothing && shows(&conf.text[line.at.clone()])
    })?;
    Some(line.at.end)
}

/// Virtual hosts that say it for themselves, and types that are a slip.
fn tell(args: &HttpdDirectiveArgs, by: By, site: &mut Site<'_>) -> Result<(), Stop> {
    let mut notes = Vec::new();
    if by == By::Extension {
        for line in there(args, site)? {
            let slip = line.directive.words.first().and_then(|w| slip(w));
            notes.extend(slip.map(|slip| format!("{}: {slip}", line.place())));
        }
    }
    if by == By::Name && args.section.is_none() && args.state == Presence::Present {
        let own = site.effective.all(&args.name).filter(|d| {
            let host = d.around.first().is_some_and(|a| a.name == "virtualhost");
            host && d.around.len() == 1 && !same(&d.directive.words, &args.words())
        });
        notes.extend(own.map(|d| {
            format!(
                "{}: a virtual host says it for itself: {} {}",
                d.place(),
                d.directive.name,
                String::from_utf8_lossy(&d.directive.rest)
            )
        }));
    }
    // Each virtual host has a name of its own.
    if !args.name.eq_ignore_ascii_case("ServerName")
        && !args.name.eq_ignore_ascii_case("DocumentRoot")
    {
        site.notes.extend(notes);
    }
    Ok(())
}
