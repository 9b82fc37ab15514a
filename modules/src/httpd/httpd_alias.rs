//! The module `httpd_alias`: a path of URLs that leads to a directory, and who may use it.

use regex::Regex;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::{Access, Form, NAMES};
use super::conf::Conf;
use super::effective::Placed;
use super::section::{inside, into};
use super::site::{Given, Site};
use super::words::{quoted, written};
use crate::file::FileKind;
use crate::file::lineinfile::Presence;
use crate::file::state::FileKey;
use crate::file::target::absolute;

/// The module.
pub struct HttpdAlias;

/// Arguments of `httpd_alias`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpdAliasArgs {
    /// The path of the URL: `/pacsone`.
    pub alias: String,
    /// The absolute path of the directory that it leads to.
    #[serde(default)]
    pub path: Option<String>,
    /// Whether it shall be there: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
    /// `Options` of the directory. Without it they stay as they are; a new section has none.
    #[serde(default)]
    pub options: Option<Vec<String>>,
    /// `AllowOverride` of the directory. Without it it stays as it is; a new section has none.
    #[serde(default)]
    pub allow_override: Option<Vec<String>>,
    /// Who may use it: `granted`, `denied`, or addresses, networks and names of hosts. Without it that stays as it is; a new
    /// section has `granted`.
    #[serde(default)]
    pub access: Option<Vec<String>>,
    /// The file for what is new. Default: one of its own, where the server's layout has such (`conf-available` with its link,
    /// `conf.d`), else the first file of configuration.
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

impl HttpdAliasArgs {
    fn given(&self) -> Given<'_> {
        Given {
            conf: self.conf.as_ref(),
            program: self.program.as_ref(),
            version: self.version.as_ref(),
            defines: &self.defines,
            backup: self.backup,
        }
    }

    fn access(&self) -> Result<Option<Access>, String> {
        self.access.as_deref().map(Access::read).transpose()
    }
}

impl Module for HttpdAlias {
    type Args = HttpdAliasArgs;
    const NAME: &'static str = "httpd_alias";
    const SUMMARY: &'static str =
        "Sees to an alias of the Apache HTTP Server and the directory it leads to.";
    const DOC: &'static str = include_str!("httpd_alias.md");
    const PATHS: &'static [&'static str] = &["path", "dest", "conf"];

    fn validate(args: &HttpdAliasArgs) -> Result<(), String> {
        if !args.alias.starts_with('/') || args.alias.contains(['\n', '\r']) {
            return Err(format!("`alias: {}` does not begin with `/`", args.alias));
        }
        if args.state == Presence::Present && args.path.is_none() {
            return Err("`path` is missing: the directory that the alias leads to".to_owned());
        }
        for word in args.options.iter().chain(&args.allow_override).flatten() {
            let fits = |c: char| c.is_ascii_alphanumeric() || "+-=,".contains(c);
            if word.is_empty() || !word.chars().all(fits) {
                return Err(format!("`{word}` is no option"));
            }
        }
        args.access()?;
        args.given().validate()
    }

    fn touches(args: &HttpdAliasArgs) -> Footprint {
        let footprint = Given::touches();
        match &args.dest {
            Some(dest) => footprint.writes(FileKind::NAME, dest.clone()),
            None => footprint,
        }
    }

    fn want(args: &HttpdAliasArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let mut site = Site::look(args.given(), world)?;
        if args.state == Presence::Absent {
            absent(args, &mut site);
            return site.want(world);
        }
        let path = absolute(args.path.as_deref().unwrap_or_default())?;
        // A slash at the end of one needs one at the end of the other.
        let slash = if args
            .path
            .as_deref()
            .is_some_and(|p| p.len() > 1 && p.ends_with('/'))
        {
            "/"
        } else {
            ""
        };
        let target = format!("{path}{slash}");
        if world.get::<FileKind>(&FileKey::following(&path))?.is != FileType::Directory {
            return Err(Stop::refuse(format!(
                "there is no directory {path}, to which the alias {} would lead; make it first",
                args.alias
            )));
        }
        if !site.effective.has_module("alias_module") {
            return Err(Stop::refuse(
                "the server does not load alias_module; load it first with `httpd_module: {name: alias_module}`",
            ));
        }
        let form = form(&site);
        let mut new = alias(args, &target, &mut site)?;
        let sections = sections(&site, &path);
        match sections.last() {
            Some(section) => adjust(args, section, form, &mut site)?,
            None => new.extend(section(args, &target, form).map_err(Stop::Refuse)?),
        }
        if !new.is_empty() {
            put(args, &new, &mut site, world)?;
        }
        let there = aliases(&site, &args.alias);
        if there
            .first()
            .is_none_or(|a| a.directive.words.get(1) != Some(&target))
            || self::sections(&site, &path).is_empty()
        {
            return Err(Stop::refuse(format!(
                "the alias {} would not count where it was put; name another `dest`",
                args.alias
            )));
        }
        hidden(args, &target, &mut site)?;
        site.want(world)
    }
}

/// The form that the server's version asks for. Where that is not known: that of what is there.
fn form(site: &Site<'_>) -> Form {
    match site.version() {
        Some(version) if version < (2, 4) => Form::Old,
        Some(_) => Form::New,
        None if site.effective.has_module("authz_core_module") => Form::New,
        None => match (
            site.effective.all("Order").next(),
            site.effective.all("Require").next(),
        ) {
            (Some(_), None) => Form::Old,
            _ => Form::New,
        },
    }
}

fn bare(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        bare => bare,
    }
}

/// The aliases of this path that hold for the whole server, in the order in which they count.
fn aliases(site: &Site<'_>, alias: &str) -> Vec<Placed> {
    let is = |d: &&Placed| {
        let word = d.directive.words.first().map(|w| bare(w));
        d.around.is_empty() && word == Some(bare(alias))
    };
    site.effective.all("Alias").filter(is).cloned().collect()
}

/// The sections of this directory that hold for the whole server.
fn sections(site: &Site<'_>, path: &str) -> Vec<Placed> {
    let is = |d: &&Placed| match &d.directive.words[..] {
        [word] => d.around.is_empty() && bare(word) == bare(path),
        _ => false,
    };
    site.effective
        .sections("Directory")
        .filter(is)
        .cloned()
        .collect()
}

/// The alias leads to the target; gives the line, where it has none.
fn alias(args: &HttpdAliasArgs, target: &str, site: &mut Site<'_>) -> Result<Vec<String>, Stop> {
    let line = format!("Alias {} {}", written(&args.alias), quoted(target));
    let there = aliases(site, &args.alias);
    let Some(first) = there.first() else {
        return Ok(vec![line]);
    };
    let wanted = [args.alias.clone(), target.to_owned()];
    if first.directive.words != wanted {
        if first
            .directive
            .words
            .get(1)
            .is_some_and(|w| w.contains("${"))
        {
            site.notes
                .push(format!("{}: the variable in it gives way", first.place()));
        }
        site.rewrite(first, &line);
    }
    for other in &there[1..] {
        site.notes.push(format!(
            "{}: this alias of the same path never counts, since {} comes before",
            other.place(),
            first.place()
        ));
    }
    Ok(Vec::new())
}

/// A new section.
fn section(args: &HttpdAliasArgs, target: &str, form: Form) -> Result<Vec<String>, String> {
    let mut lines = vec![format!("<Directory {}>", quoted(target))];
    let access = args.access()?.unwrap_or(Access::Granted);
    lines.extend(
        args.options
            .as_ref()
            .map(|w| format!("    Options {}", w.join(" "))),
    );
    lines.extend(
        args.allow_override
            .as_ref()
            .map(|w| format!("    AllowOverride {}", w.join(" "))),
    );
    lines.extend(access.lines(form).iter().map(|l| format!("    {l}")));
    lines.push("</Directory>".to_owned());
    Ok(lines)
}

/// A section that is there says what is asked.
fn adjust(
    args: &HttpdAliasArgs,
    section: &Placed,
    form: Form,
    site: &mut Site<'_>,
) -> Result<(), Stop> {
    let lists = [
        ("Options", &args.options),
        ("AllowOverride", &args.allow_override),
    ];
    for (name, words) in lists {
        let Some(words) = words else { continue };
        let line = format!("{name} {}", words.join(" "));
        let there = inside(site, section);
        // Of several the last one counts.
        match there.iter().rfind(|d| d.directive.is(name)) {
            Some(last) if same(&last.directive.words, words) => {}
            Some(last) => site.rewrite(last, &line),
            None => into(site, section, &[line]),
        }
    }
    let place = section.place();
    let there = inside(site, section);
    let lines: Vec<&Placed> = there
        .iter()
        .filter(|d| NAMES.iter().any(|n| d.directive.is(n)))
        .collect();
    let directives: Vec<_> = lines.iter().map(|l| &l.directive).collect();
    let wanted = args.access().map_err(Stop::Refuse)?;
    let said = match Access::of(&directives) {
        Ok(said) => said,
        Err(why) => return Err(Stop::refuse(format!("{place}: {why}"))),
    };
    let wanted = match (wanted, &said) {
        (Some(wanted), _) => wanted,
        (None, Some((_, access))) => access.clone(),
        (None, None) => return Ok(()),
    };
    if said
        .as_ref()
        .is_some_and(|(is, access)| *is == form && *access == wanted)
    {
        return Ok(());
    }
    let new = wanted.lines(form);
    // From the last one on, so that the places of those before stay.
    for line in lines.iter().skip(1).rev() {
        site.remove(line);
    }
    match lines.first() {
        None => into(site, section, &new),
        Some(first) => {
            let at = site.line_at(first);
            let text = site.text(&first.path)[at].to_vec();
            let indent: String = text
                .iter()
                .map_while(|b| b" \t".contains(b).then_some(*b as char))
                .collect();
            let newline = if text.ends_with(b"\r\n") {
                "\r\n"
            } else {
                "\n"
            };
            site.rewrite(first, &new.join(&format!("{newline}{indent}")));
        }
    }
    Ok(())
}

/// Words without regard to order and capitals.
fn same(one: &[String], other: &[String]) -> bool {
    let sorted = |words: &[String]| {
        let mut words: Vec<String> = words.iter().map(|w| w.to_ascii_lowercase()).collect();
        words.sort_unstable();
        words
    };
    sorted(one) == sorted(other)
}

/// New lines go to `dest`, to a file of their own, or behind all others of the first file.
fn put(
    args: &HttpdAliasArgs,
    lines: &[String],
    site: &mut Site<'_>,
    world: &View<'_>,
) -> Result<(), Stop> {
    if let Some(section) = args
        .path
        .as_deref()
        .and_then(|p| sections(site, p).pop())
        .filter(|_| args.dest.is_none())
    {
        // The alias of a directory that has a section goes before it.
        let at = site.line_at(&section).start;
        site.insert(&section.path, at, lines);
        return Ok(());
    }
    let existing = aliases(site, &args.alias)
        .first()
        .cloned()
        .filter(|_| args.dest.is_none());
    if let Some(alias) = existing {
        let at = site.line_at(&alias).end;
        site.insert(&alias.path, at, lines);
        return Ok(());
    }
    let own = match &args.dest {
        Some(dest) => {
            let dest = absolute(dest)?;
            Some((dest.clone(), dest))
        }
        None => site.own_file(&name_of(&args.alias), world)?,
    };
    let Some((path, in_tree)) = own else {
        let root = site.tree.root.clone();
        let end = site.text(&root).len();
        site.insert(&root, end, lines);
        return Ok(());
    };
    site.write(&path, &in_tree, lines, world)
}

/// The name of a file for this alias.
fn name_of(alias: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = alias
        .trim_matches('/')
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    if name.is_empty() {
        "root".to_owned()
    } else {
        name
    }
}

/// Refuses where something before the alias takes its URLs; tells of virtual hosts that have one of their own.
fn hidden(args: &HttpdAliasArgs, target: &str, site: &mut Site<'_>) -> Result<(), Stop> {
    let Some(own) = aliases(site, &args.alias).first().cloned() else {
        return Ok(());
    };
    let covers = |prefix: &str| {
        let prefix = bare(prefix);
        prefix == "/" || args.alias == prefix || args.alias.starts_with(&format!("{prefix}/"))
    };
    let before = site
        .effective
        .directives
        .iter()
        .take_while(|d| !(d.path == own.path && d.line == own.line))
        .filter(|d| d.around.is_empty() && !d.opens);
    let takes = |d: &&Placed| {
        let Some(first) = d.directive.words.first() else {
            return false;
        };
        if d.directive.is("Alias") || d.directive.is("ScriptAlias") {
            covers(first)
        } else if d.directive.is("AliasMatch") || d.directive.is("ScriptAliasMatch") {
            Regex::new(first).is_ok_and(|r| r.is_match(&args.alias))
        } else {
            false
        }
    };
    if let Some(other) = before.clone().find(takes) {
        return Err(Stop::refuse(format!(
            "{}: `{} {}` comes before the alias {} and takes its URLs; put it behind, or the alias into a file that is read \
             earlier (`dest`)",
            other.place(),
            other.directive.name,
            String::from_utf8_lossy(&other.directive.rest),
            args.alias
        )));
    }
    let hosts: Vec<String> = site
        .effective
        .all("Alias")
        .filter(|d| d.around.first().is_some_and(|a| a.name == "virtualhost"))
        .filter(|d| d.directive.words.first().is_some_and(|w| covers(w)))
        .filter(|d| d.directive.words.get(1).map(String::as_str) != Some(target))
        .map(|d| {
            format!(
                "{}: a virtual host has an alias of its own there, which counts for it: {}",
                d.place(),
                String::from_utf8_lossy(&d.directive.rest)
            )
        })
        .collect();
    site.notes.extend(hosts);
    Ok(())
}

/// The alias goes, and the section of its directory where no other alias leads there.
fn absent(args: &HttpdAliasArgs, site: &mut Site<'_>) {
    let mut targets: Vec<String> = args.path.iter().cloned().collect();
    while let Some(alias) = aliases(site, &args.alias).last() {
        targets.extend(alias.directive.words.get(1).cloned());
        site.remove(alias);
    }
    for target in targets {
        let used = site
            .effective
            .all("Alias")
            .chain(site.effective.all("DocumentRoot"));
        let leads = |d: &Placed| {
            d.directive
                .words
                .last()
                .is_some_and(|w| bare(w) == bare(&target))
        };
        if used.into_iter().any(leads) {
            continue;
        }
        while let Some(section) = sections(site, &target).last() {
            let conf = Conf::read(site.text(&section.path));
            let end = conf
                .lines
                .get(conf.section(section.line).end)
                .map_or(conf.text.len(), |l| l.at.end);
            let at = conf.lines[section.line].at.start..end;
            site.done
                .push(format!("{}: without <Directory {target}>", section.place()));
            let path = section.path.clone();
            site.splice(&path, at, b"");
        }
    }
}
