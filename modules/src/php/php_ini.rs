//! The module `php_ini`: settings and extensions of PHP.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::edit::{Edit, Wished};
use super::extension::{self, Form, Sort};
use super::ini::{self, Ini, Scope};
use super::program::{Php, PhpKey, PhpSays};
use super::removed::removed;
use super::scanned::{Scanned, directory_of, loaded, shadow};
use super::value::Setting;
use crate::command::program::version;
use crate::file::contents::{ContentKind, bytes_of};
use crate::file::edit::{Edited, Frame};
use crate::file::listing::ListingKind;
use crate::file::state::{Content, FileKey, FileState, join, tidy};
use crate::file::target::{absolute, check_validator};
use crate::file::{FileKind, Mode};

/// The module.
pub struct PhpIni;

/// Arguments of `php_ini`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhpIniArgs {
    /// The absolute path of the php.ini, or of a file in the directory that PHP reads after it. A link is followed.
    pub path: String,
    /// Where `path` is missing: a file on the host to begin with, such as a php.ini-production.
    #[serde(default)]
    pub template: Option<String>,
    /// Where `path` is missing and there is no `template`: begin with an empty file. Default: no.
    #[serde(default)]
    pub create: bool,
    /// Settings and their values: a text, a number, true or false (`On`, `Off`), or nothing (`name =`).
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub set: IndexMap<String, Json>,
    /// Settings that no line shall give a value; lines that do become comments.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Extensions that are loaded, in this order: `mbstring`, or a file's name (`imagick.so`).
    #[serde(default)]
    pub enable: Vec<String>,
    /// Extensions that are not loaded; lines that load them become comments.
    #[serde(default)]
    pub disable: Vec<String>,
    /// Extensions of PHP's engine that are loaded (`zend_extension`): opcache, xdebug.
    #[serde(default)]
    pub zend_enable: Vec<String>,
    /// Extensions of PHP's engine that are not loaded.
    #[serde(default)]
    pub zend_disable: Vec<String>,
    /// `PATH=/DIRECTORY` or `HOST=NAME`: `set` and `unset` are for scripts there alone. Default: for all.
    #[serde(default)]
    pub section: Option<String>,
    /// The directory whose `.ini` files PHP reads after this one; an empty text: none. Default: `conf.d` beside `path`,
    /// `/etc/php.d` for `/etc/php.ini`, or the one that `path` lies in.
    #[serde(default)]
    pub scan_dir: Option<String>,
    /// What to do where a file that PHP reads later sets something else: `refuse` or `allow`. Default: refuse.
    #[serde(default)]
    pub shadowed: Shadowed,
    /// The `php` command of the host that knows this PHP, which says its version and tries the new file. Default:
    /// `phpX.Y` where `path` has that version in it (`/etc/php/8.2/…`), else `php`. Where there is none nothing is asked.
    #[serde(default)]
    pub program: Option<String>,
    /// The version of PHP that reads the file, where `program` does not say it: `"8.2"`.
    #[serde(default)]
    pub version: Option<String>,
    /// Keep the file as it was beside it, as `NAME.HASH~`. Default: no.
    #[serde(default)]
    pub backup: bool,
    /// One more command that checks the new file before it takes its place; `%s` is its path.
    #[serde(default)]
    pub validate: Option<String>,
    /// Permission bits of the file.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Owner, name or number.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group, name or number.
    #[serde(default)]
    pub group: Option<String>,
}

/// What to do with a setting that does not count in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shadowed {
    /// The task fails, and names the line that counts.
    #[default]
    Refuse,
    /// It is said.
    Allow,
}

impl Module for PhpIni {
    type Args = PhpIniArgs;
    const NAME: &'static str = "php_ini";
    const SUMMARY: &'static str = "Sees to settings and extensions of PHP in a php.ini.";
    const DOC: &'static str = include_str!("php_ini.md");
    const PATHS: &'static [&'static str] = &["path", "template"];

    fn validate(args: &PhpIniArgs) -> Result<(), String> {
        args.settings()?;
        args.scope()?;
        for name in args.set.keys().chain(&args.unset) {
            check_name(name)?;
        }
        if let Some(name) = args.set.keys().find(|n| args.unset.contains(n)) {
            return Err(format!("`{name}` stands in `set` and in `unset`"));
        }
        for (sort, enable, disable) in args.lists() {
            let names = |list: &[String]| {
                list.iter()
                    .map(|n| extension::named(n.as_bytes()))
                    .collect::<Vec<_>>()
            };
            let (on, off) = (names(enable), names(disable));
            if on.iter().chain(&off).any(String::is_empty) {
                return Err("an extension has a name".to_owned());
            }
            if let Some(name) = on.iter().find(|n| off.contains(n)) {
                return Err(format!(
                    "the {} `{name}` is to be loaded and not to be loaded",
                    sort.setting()
                ));
            }
        }
        if let Some(text) = &args.version
            && version(text).is_none()
        {
            return Err(format!("`version: {text}` is none; write `\"8.2\"`"));
        }
        check_validator(args.validate.as_ref())
    }

    fn touches(args: &PhpIniArgs) -> Footprint {
        let mut footprint = args.frame().touches().reads(Php::NAME, "*");
        if let Some(dir) = args.scan_dir() {
            footprint = footprint
                .reads(ListingKind::NAME, &dir)
                .reads(FileKind::NAME, &dir)
                .reads(ContentKind::NAME, "*");
        }
        if let Some(template) = &args.template {
            footprint = footprint
                .reads(FileKind::NAME, tidy(template))
                .reads(ContentKind::NAME, "*");
        }
        // The files of extensions.
        if args.enable.is_empty() && args.zend_enable.is_empty() {
            footprint
        } else {
            footprint.reads(FileKind::NAME, "*")
        }
    }

    fn want(args: &PhpIniArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let now = Now::look(args, world)?;
        let Some(old) = &now.old else {
            // It refuses by itself: there is nothing to begin with.
            return args
                .frame()
                .want(world, |_| Err("there is no such file".to_owned()));
        };
        let mut edit = Edit::new(old).map_err(|e| Stop::refuse(format!("{}, {e}", args.path)))?;
        let mut notes = Vec::new();
        let scope = args.scope().map_err(Stop::Refuse)?;
        for (name, setting) in args.settings().map_err(Stop::Refuse)? {
            now.allows(name, &setting).map_err(Stop::Refuse)?;
            edit.set(name, &setting, &scope).map_err(Stop::Refuse)?;
            if let Some(line) =
                shadow(&now.others, name, Some(&setting)).filter(|_| scope == Scope::All)
            {
                args.shadowed.counts(name, &line.to_string(), &mut notes)?;
            }
        }
        for name in &args.unset {
            edit.unset(name, &scope);
            if let Some(line) = shadow(&now.others, name, None).filter(|_| scope == Scope::All) {
                args.shadowed.counts(name, &line.to_string(), &mut notes)?;
            }
        }
        for (sort, enable, disable) in args.lists() {
            // What makes room goes first: one extension for another of the same functions.
            for name in disable {
                now.not_elsewhere(name, sort)?;
                edit.disable(Wished {
                    name,
                    sort,
                    form: None,
                });
            }
            for name in enable {
                now.enable(&mut edit, name, sort, world, &mut notes)?;
            }
        }
        let text = edit.text().to_vec();
        holds(&text, args, &scope)?;
        if text != *old || now.is_new {
            now.tried(&text, args, world)?;
        }
        let edited = Edited {
            msg: edit.done.join("; "),
            content: text.clone(),
            found: None,
        };
        let mut wanted = args.frame().want(world, |_| Ok(edited))?;
        wanted.notes.extend(notes);
        if !edit.done.is_empty() {
            wanted.summary = Some(format!("{} {}", args.path, edit.done.join("; ")));
        }
        let facts = now.facts(&text, args);
        wanted.facts.extend(facts);
        Ok(wanted)
    }
}

impl Shadowed {
    /// Another line counts in place of what is asked.
    fn counts(self, name: &str, line: &str, notes: &mut Vec<String>) -> Result<(), Stop> {
        match self {
            Self::Refuse => Err(Stop::refuse(format!(
                "`{name}` would not be what is asked: PHP reads {line} later, and that counts. Change it there (`path`), or \
                 say `shadowed: allow`"
            ))),
            Self::Allow => {
                notes.push(format!("{name}: {line} counts"));
                Ok(())
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err(format!("`{name}` is no name of a setting"));
    }
    for sort in [Sort::Php, Sort::Zend] {
        if sort.is(name.as_bytes()) {
            return Err(format!(
                "`{name}` loads an extension, of which there may be many: name it in `enable` or `zend_enable`"
            ));
        }
    }
    let reserved = ["on", "off", "yes", "no", "true", "false", "none", "null"];
    if reserved.iter().any(|w| name.eq_ignore_ascii_case(w)) {
        return Err(format!(
            "`{name}` is a word of php.ini and no name of a setting"
        ));
    }
    Ok(())
}

impl PhpIniArgs {
    fn frame(&self) -> Frame<'_> {
        Frame {
            path: &self.path,
            create: self.create || self.template.is_some(),
            absent_is_fine: false,
            made: None,
            backup: self.backup,
            validate: self.validate.as_ref(),
            mode: self.mode.as_ref(),
            owner: self.owner.as_ref(),
            group: self.group.as_ref(),
        }
    }

    fn settings(&self) -> Result<Vec<(&str, Setting)>, String> {
        let read = |(name, given): (&'_ String, &Json)| {
            Setting::read(given).map_err(|e| format!("`{name}`: {e}"))
        };
        let settings: Result<Vec<Setting>, String> = self.set.iter().map(read).collect();
        let names = self.set.keys().map(String::as_str);
        Ok(names.zip(settings?).collect())
    }

    /// What is loaded and what is not, by sort.
    fn lists(&self) -> [(Sort, &[String], &[String]); 2] {
        [
            (Sort::Php, &self.enable, &self.disable),
            (Sort::Zend, &self.zend_enable, &self.zend_disable),
        ]
    }

    fn scope(&self) -> Result<Scope, String> {
        let Some(section) = &self.section else {
            return Ok(Scope::All);
        };
        let help = || {
            format!(
                "`section: {section}` is for no path or host; write `PATH=/DIRECTORY` or `HOST=NAME`"
            )
        };
        let (kind, key) = section.split_once('=').ok_or_else(help)?;
        let fits = |c: char| !c.is_control() && !"[];\"'\\$".contains(c);
        if !["PATH", "HOST"].contains(&kind) || key.trim().is_empty() || !key.chars().all(fits) {
            return Err(help());
        }
        let header = format!("[{kind}={}]\n", key.trim());
        match Ini::read(header.as_bytes()).statements.first() {
            Some(statement) if statement.scope != Scope::All => Ok(statement.scope.clone()),
            _ => Err(help()),
        }
    }

    fn scan_dir(&self) -> Option<String> {
        match &self.scan_dir {
            None => directory_of(&tidy(&self.path)),
            Some(dir) if dir.is_empty() => None,
            Some(dir) => Some(tidy(dir)),
        }
    }

    fn program(&self) -> String {
        if let Some(program) = &self.program {
            return program.clone();
        }
        let of_path = self.path.split('/').find(|part| {
            let numbers = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
            part.split_once('.')
                .is_some_and(|(major, minor)| numbers(major) && numbers(minor))
        });
        of_path.map_or_else(|| "php".to_owned(), |version| format!("php{version}"))
    }
}

/// What is there before.
struct Now {
    /// The bytes to begin with; `None` where there are none and none are to be made.
    old: Option<Vec<u8>>,
    is_new: bool,
    php: Option<PhpSays>,
    version: Option<(u32, u32)>,
    /// The other files that PHP reads.
    others: Vec<Scanned>,
}

impl Now {
    fn look(args: &PhpIniArgs, world: &View<'_>) -> Result<Self, Stop> {
        let path = absolute(&args.path)?;
        let file = FileKey::following(&path);
        let template = args.template.as_deref().map(absolute).transpose()?;
        let template = template.as_deref().map(FileKey::following);
        let scan_dir = args.scan_dir().map(|dir| FileKey::following(&dir));
        let php = PhpKey {
            program: args.program(),
            candidate: None,
        };
        let mut needs = vec![reference::<FileKind>(&file), reference::<Php>(&php)];
        needs.extend(template.iter().map(reference::<FileKind>));
        needs.extend(scan_dir.iter().map(reference::<ListingKind>));
        world.need(&needs)?;

        let now = world.get::<FileKind>(&file)?;
        let is_new = now.is_absent();
        let old = match (&template, now.is) {
            (_, FileType::File) => Some(bytes_of(&now, world)?),
            (Some(template), FileType::Absent) => {
                let state = world.get::<FileKind>(template)?;
                if state.is_absent() {
                    return Err(Stop::refuse(format!(
                        "`template`: there is no {} on the host",
                        template.path
                    )));
                }
                Some(bytes_of(&state, world)?)
            }
            (None, FileType::Absent) if args.create => Some(Vec::new()),
            _ => None,
        };
        let php = world.get::<Php>(&php)?;
        let said = php.as_ref().map(|p| p.version.as_str());
        let version = args.version.as_deref().or(said).and_then(version);
        let others = match &scan_dir {
            Some(dir) => scanned(dir, &path, world)?,
            None => Vec::new(),
        };
        Ok(Self {
            old,
            is_new,
            php,
            version,
            others,
        })
    }

    /// Does this PHP start with it?
    fn allows(&self, name: &str, setting: &Setting) -> Result<(), String> {
        let is_off = setting.agrees(&ini::Value::Is(b"0".to_vec()), b"0")
            || setting.agrees(&ini::Value::Is(Vec::new()), b"");
        let Some(version) = self.version.filter(|_| !is_off) else {
            return Ok(());
        };
        removed(name, version).map_or(Ok(()), |since| {
            Err(format!(
                "with `{name}` PHP {}.{} does not start: it was removed in {}.{}; leave it out, or set it to false",
                version.0, version.1, since.0, since.1
            ))
        })
    }

    /// No other file loads it.
    fn not_elsewhere(&self, name: &str, sort: Sort) -> Result<(), Stop> {
        let is = extension::named(name.as_bytes());
        loaded(&self.others, &is, sort).map_or(Ok(()), |line| {
            Err(Stop::refuse(format!(
                "{is} would still be loaded, by {line}: disable it there, with another task whose `path` is that file"
            )))
        })
    }

    fn enable(
        &self,
        edit: &mut Edit,
        name: &str,
        sort: Sort,
        world: &View<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(), Stop> {
        let is = extension::named(name.as_bytes());
        let built_in = |php: &PhpSays| sort == Sort::Php && php.built_in.contains(&is);
        if self.php.as_ref().is_some_and(built_in) {
            notes.push(format!("{is} is built into this PHP"));
            return Ok(());
        }
        if let Some(line) = loaded(&self.others, &is, sort) {
            notes.push(format!("{is} is loaded by {line}"));
            return Ok(());
        }
        let bare_names = self.version.map(|v| v >= (7, 2));
        let form = bare_names.map(|bare| if bare { Form::Bare } else { Form::Unix });
        edit.enable(Wished { name, sort, form })
            .map_err(Stop::Refuse)?;
        self.file_exists(edit.text(), name, world)
    }

    /// PHP goes on without an extension whose file it does not find.
    fn file_exists(&self, text: &[u8], name: &str, world: &View<'_>) -> Result<(), Stop> {
        let path = if name.starts_with('/') {
            name.to_owned()
        } else {
            let ini = Ini::read(text);
            let set = ini
                .entries()
                .filter(|e| e.name == b"extension_dir" && e.statement.scope == Scope::All)
                .filter_map(|e| match e.value {
                    ini::Value::Is(dir) => Some(String::from_utf8_lossy(dir).into_owned()),
                    ini::Value::Depends => None,
                })
                .next_back();
            let of_php = || self.php.as_ref().map(|p| p.extension_dir.clone());
            let Some(dir) = set.or_else(of_php).filter(|d| d.starts_with('/')) else {
                return Ok(());
            };
            let file = match extension::form(name.as_bytes()) {
                Form::Bare => extension::in_form(name, Form::Unix),
                Form::Unix | Form::Windows => name.to_owned(),
            };
            join(&dir, &file)
        };
        let state: FileState = world.get::<FileKind>(&FileKey::following(&path))?;
        if state.is == FileType::File {
            return Ok(());
        }
        Err(Stop::refuse(format!(
            "{name} cannot be loaded: there is no file {path}, and PHP would go on without it; install it first"
        )))
    }

    /// The host's own PHP reads the new file to its end.
    fn tried(&self, text: &[u8], args: &PhpIniArgs, world: &View<'_>) -> Result<(), Stop> {
        if self.php.is_none() {
            return Ok(());
        }
        let key = PhpKey {
            program: args.program(),
            candidate: Some(Content(text.to_vec())),
        };
        let why = world.get::<Php>(&key)?.and_then(|said| said.refuses);
        why.map_or(Ok(()), |why| {
            Err(Stop::refuse(format!(
                "{} does not read what {} would be: {why}",
                args.program(),
                args.path
            )))
        })
    }

    /// What `register` gets: what counts in the end, and where it stands.
    fn facts(&self, text: &[u8], args: &PhpIniArgs) -> IndexMap<String, Value> {
        let mut facts = IndexMap::new();
        let version = self.php.as_ref().map(|p| Value::from(p.version.clone()));
        facts.insert("php_version".to_owned(), version.unwrap_or(Value::Null));
        let zts = self.php.as_ref().map(|p| Value::Bool(p.thread_safe));
        facts.insert("php_thread_safe".to_owned(), zts.unwrap_or(Value::Null));
        let all = [Scanned {
            path: args.path.clone(),
            text: text.to_vec(),
            later: true,
        }];
        let all = all.iter().chain(self.others.iter().filter(|f| f.later));
        let mut effective: IndexMap<String, Value> = IndexMap::new();
        for file in all {
            let ini = Ini::read(&file.text);
            for name in args.set.keys() {
                let last = ini.entries().rev().find(|e| {
                    e.name == name.as_bytes() && !e.offset && e.statement.scope == Scope::All
                });
                let Some(entry) = last else { continue };
                let value = match entry.value {
                    ini::Value::Is(value) => {
                        Value::from(String::from_utf8_lossy(value).into_owned())
                    }
                    ini::Value::Depends => Value::Null,
                };
                let line = i64::try_from(entry.statement.line).unwrap_or(i64::MAX);
                let found = IndexMap::from([
                    ("value".to_owned(), value),
                    ("path".to_owned(), Value::from(file.path.clone())),
                    ("line".to_owned(), Value::Int(line)),
                ]);
                effective.insert(name.clone(), Value::Map(found));
            }
        }
        facts.insert("effective".to_owned(), Value::Map(effective));
        facts
    }
}

/// The `.ini` files of a directory, as PHP reads them: by name, those that end in `.ini` alone.
fn scanned(dir: &FileKey, own: &str, world: &View<'_>) -> Result<Vec<Scanned>, Stop> {
    let entries = world.get::<ListingKind>(dir)?;
    let mut names: Vec<&str> = entries
        .iter()
        .filter(|e| matches!(e.is, FileType::File | FileType::Link))
        .map(|e| e.path.as_str())
        .filter(|name| name.ends_with(".ini") && !name.contains('/'))
        .collect();
    names.sort_unstable();
    let paths: Vec<String> = names.iter().map(|name| join(&dir.path, name)).collect();
    let own_place = paths.iter().position(|p| p == own);
    let keys: Vec<FileKey> = paths.iter().map(|p| FileKey::following(p)).collect();
    let states = world.all::<FileKind>(&keys)?;
    let mut found = Vec::new();
    for (n, (path, state)) in paths.into_iter().zip(states).enumerate() {
        if own_place == Some(n) || state.is != FileType::File {
            continue;
        }
        found.push(Scanned {
            path,
            text: bytes_of(&state, world)?,
            later: own_place.is_none_or(|own| n > own),
        });
    }
    Ok(found)
}

/// What was asked is what PHP will read.
fn holds(text: &[u8], args: &PhpIniArgs, scope: &Scope) -> Result<(), Stop> {
    let ini = Ini::read(text);
    if let Some(broken) = &ini.broken {
        return Err(Stop::refuse(format!(
            "{} would not be read to its end: line {}: {}",
            args.path, broken.line, broken.why
        )));
    }
    for (name, setting) in args.settings().map_err(Stop::Refuse)? {
        let last = ini
            .entries()
            .rev()
            .find(|e| e.name == name.as_bytes() && !e.offset && e.statement.scope == *scope);
        let agrees = last.is_some_and(|e| setting.agrees(e.value, &text[e.at.clone()]));
        if !agrees {
            return Err(Stop::refuse(format!(
                "`{name}` could not be set in {}; set it by hand and tell us of the file",
                args.path
            )));
        }
    }
    Ok(())
}
