//! The module `httpd_module`: a module of the server is loaded, or is not.

use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Module, Stop, Wanted, reference};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::available::Available;
use super::conf::{Conf, Directive, Says};
use super::effective::Placed;
use super::rival::are_rivals;
use super::site::{Given, Site};
use super::words::{words, written};
use crate::file::FileKind;
use crate::file::lineinfile::Presence;
use crate::file::state::{FileKey, join, parent};

/// The module.
pub struct HttpdModule;

/// Arguments of `httpd_module`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpdModuleArgs {
    /// Its identifier, `alias_module`, or the name that Debian's layout has for it: `alias`, `php8.2`.
    pub name: String,
    /// Whether it shall be loaded: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
    /// The file that it is loaded from, absolute or below `ServerRoot`. Default: where it is loaded from, or would be; where
    /// nothing says that, `mod_NAME.so` or `libNAME.so` beside the others.
    #[serde(default)]
    pub file: Option<String>,
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

impl HttpdModuleArgs {
    fn given(&self) -> Given<'_> {
        Given {
            conf: self.conf.as_ref(),
            program: self.program.as_ref(),
            version: self.version.as_ref(),
            defines: &self.defines,
            backup: self.backup,
        }
    }

    /// The name without what identifiers and files have around it: `alias`.
    fn bare(&self) -> &str {
        let bare = self.name.strip_suffix("_module").unwrap_or(&self.name);
        bare.strip_prefix("mod_").unwrap_or(bare)
    }
}

impl Module for HttpdModule {
    type Args = HttpdModuleArgs;
    const NAME: &'static str = "httpd_module";
    const SUMMARY: &'static str = "Sees to what modules the Apache HTTP Server loads.";
    const DOC: &'static str = include_str!("httpd_module.md");
    const PATHS: &'static [&'static str] = &["conf"];

    fn validate(args: &HttpdModuleArgs) -> Result<(), String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if args.bare().is_empty() || !args.name.chars().all(fits) {
            return Err(format!(
                "`name: {}` is no module; write its identifier, `alias_module`",
                args.name
            ));
        }
        match &args.file {
            Some(_) if args.state == Presence::Absent => Err(
                "`file` says where the module is loaded from, and so does not go with `state: absent`"
                    .to_owned(),
            ),
            Some(file) if file.is_empty() || file.contains(['\n', '\r']) => {
                Err("`file` is no path".to_owned())
            }
            _ => args.given().validate(),
        }
    }

    fn touches(_: &HttpdModuleArgs) -> Footprint {
        Given::touches()
    }

    fn want(args: &HttpdModuleArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let mut site = Site::look(args.given(), world)?;
        let available = Available::look(&site, world)?;
        let own = match &available {
            Some(available) => available.find(args.bare(), world)?,
            None => None,
        };
        // Debian's name of a module may be another one than its identifier's: php8.2 is php_module.
        let id = match &own {
            Some(own) => own.identifier(args.bare()),
            None => format!("{}_module", args.bare()),
        };
        match (args.state, &available, own) {
            (Presence::Absent, _, _) => absent(args.bare(), &id, available.as_ref(), &mut site)?,
            (Presence::Present, _, _) if site.effective.has_module(&id) => {
                from_file(args, &id, &mut site, world)?;
            }
            (Presence::Present, Some(available), Some(own)) => {
                let order = available.order(&own, &site, world)?;
                let loads: Vec<(String, String)> =
                    order.iter().flat_map(|d| d.loads.clone()).collect();
                let from = |other: &String, from: &String| {
                    let asked = args.file.clone().filter(|_| *other == id);
                    asked.unwrap_or_else(|| from.clone())
                };
                let files: Vec<(&String, String)> = loads
                    .iter()
                    .map(|(id, file)| (id, from(id, file)))
                    .collect();
                let keys = files.iter().map(|(_, file)| {
                    reference::<FileKind>(&FileKey::following(&site.tree.absolute(file)))
                });
                world.need(&keys.collect::<Vec<_>>())?;
                for (other, file) in &files {
                    existing(other, file, &site, world)?;
                }
                let from = args.file.as_deref().map(|file| (id.as_str(), file));
                available.enable(&order, from, &mut site, world)?;
                for (other, _) in &loads {
                    give_way(other, Some(available), &mut site)?;
                }
            }
            (Presence::Present, _, _) => {
                load(args, &id, available.as_ref(), &mut site, world)?;
                give_way(&id, available.as_ref(), &mut site)?;
            }
        }
        let loaded = site.effective.has_module(&id);
        if loaded != (args.state == Presence::Present) {
            return Err(Stop::refuse(if loaded {
                format!("{id} is built into the server, and cannot be taken out of it")
            } else {
                format!("{id} would not be loaded from there; name its `file`")
            }));
        }
        site.want(world)
    }
}

/// The lines that load it, in the order in which they are read; the first one counts.
fn loading(site: &Site<'_>, id: &str) -> Vec<Placed> {
    let is = |d: &&Placed| d.directive.words.first().is_some_and(|w| w == id);
    site.effective
        .all("LoadModule")
        .filter(is)
        .cloned()
        .collect()
}

/// What cannot be loaded beside it goes.
fn give_way(id: &str, available: Option<&Available>, site: &mut Site<'_>) -> Result<(), Stop> {
    let rival = |d: &&Placed| d.directive.words.first().is_some_and(|w| are_rivals(w, id));
    let find = |site: &Site<'_>| site.effective.all("LoadModule").find(rival).cloned();
    while let Some(line) = find(site) {
        let other = line.directive.words[0].clone();
        site.notes.push(format!(
            "{}: {other} gives way, since it cannot be loaded beside {id}",
            line.place()
        ));
        let bare = other.strip_suffix("_module").unwrap_or(&other);
        absent(bare, &other, available, site)?;
    }
    Ok(())
}

/// There is such a file.
fn is_there(file: &str, site: &Site<'_>, world: &View<'_>) -> Result<bool, Stop> {
    let key = FileKey::following(&site.tree.absolute(file));
    Ok(world.get::<FileKind>(&key)?.is == FileType::File)
}

/// One that is loaded is loaded from the file that is asked for.
fn from_file(
    args: &HttpdModuleArgs,
    id: &str,
    site: &mut Site<'_>,
    world: &View<'_>,
) -> Result<(), Stop> {
    let there = loading(site, id);
    for other in there.iter().skip(1) {
        site.notes.push(format!(
            "{}: {id} is loaded here once more, which never counts, since {} comes before",
            other.place(),
            there[0].place()
        ));
    }
    let Some(file) = &args.file else {
        return Ok(());
    };
    let Some(line) = there.first() else {
        return Err(Stop::refuse(format!(
            "{id} is built into the server, and is loaded from no file"
        )));
    };
    let is = line.directive.words.get(1);
    if is.is_some_and(|is| site.tree.absolute(is) == site.tree.absolute(file)) {
        return Ok(());
    }
    existing(id, file, site, world)?;
    site.rewrite(line, &format!("LoadModule {id} {}", written(file)));
    Ok(())
}

fn existing(id: &str, file: &str, site: &Site<'_>, world: &View<'_>) -> Result<(), Stop> {
    if is_there(file, site, world)? {
        return Ok(());
    }
    Err(Stop::refuse(format!(
        "there is no {}, from which {id} would be loaded; install it first",
        site.tree.absolute(file)
    )))
}

/// A line loads it: one that is there as a comment, or a new one.
fn load(
    args: &HttpdModuleArgs,
    id: &str,
    available: Option<&Available>,
    site: &mut Site<'_>,
    world: &View<'_>,
) -> Result<(), Stop> {
    if available.is_none() && uncomment(args, id, site, world)? {
        return Ok(());
    }
    let file = match &args.file {
        Some(file) => file.clone(),
        None => beside(args.bare(), id, site, world)?,
    };
    existing(id, &file, site, world)?;
    let line = format!("LoadModule {id} {}", written(&file));
    if let Some(available) = available {
        return available.make(args.bare(), &line, site);
    }
    let of_its_own = site.tree.found.keys();
    let folder = of_its_own
        .filter(|name| name.ends_with("/conf.modules.d/*.conf"))
        .map(|name| parent(name).to_owned())
        .next();
    if let Some(folder) = folder {
        let path = join(&folder, &format!("{}.conf", args.bare()));
        return site.write(&path, &path, &[line], world);
    }
    let (path, at) = behind_others(site);
    site.insert(&path, at, &[line]);
    Ok(())
}

/// Where nothing says from which file: one beside those of the others.
fn beside(bare: &str, id: &str, site: &Site<'_>, world: &View<'_>) -> Result<String, Stop> {
    let loaded = site.effective.all("LoadModule").next_back();
    let folder = loaded
        .and_then(|d| d.directive.words.get(1)?.rsplit_once('/'))
        .map_or("modules", |(folder, _)| folder);
    for name in [format!("mod_{bare}.so"), format!("lib{bare}.so")] {
        let file = format!("{folder}/{name}");
        if is_there(&file, site, world)? {
            return Ok(file);
        }
    }
    Err(Stop::refuse(format!(
        "there is neither mod_{bare}.so nor lib{bare}.so in {}, from which {id} would be loaded; name its `file`",
        site.tree.absolute(folder)
    )))
}

/// A line that would load it stands there as a comment, and counts without its `#`.
fn uncomment(
    args: &HttpdModuleArgs,
    id: &str,
    site: &mut Site<'_>,
    world: &View<'_>,
) -> Result<bool, Stop> {
    for (path, text) in site.tree.files.clone() {
        for line in &Conf::read(&text).lines {
            let bytes = &text[line.at.clone()];
            let Some((sign, found)) = commented(bytes).filter(|_| line.says == Says::Nothing)
            else {
                continue;
            };
            let [first, of_line] = &found[..] else {
                continue;
            };
            let file = args.file.as_ref().unwrap_or(of_line);
            if first != id || !is_there(file, site, world)? {
                continue;
            }
            let mut tried = site.clone();
            let at = line.at.start + sign..line.at.start + bytes.trim_ascii_end().len();
            let new = format!("LoadModule {id} {}", written(file));
            tried.done.push(format!("{path}:{}: {new}", line.number));
            tried.splice(&path, at, new.as_bytes());
            if tried.effective.has_module(id) {
                *site = tried;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Of a comment that is a line of LoadModule: where its sign stands, and the words behind the name.
fn commented(line: &[u8]) -> Option<(usize, Vec<String>)> {
    let sign = line.iter().position(|b| *b == b'#')?;
    if !line[..sign].trim_ascii().is_empty() || line.trim_ascii_end().contains(&b'\n') {
        return None;
    }
    let mut found = words(&line[sign + 1..]);
    if found.is_empty() || !found.remove(0).eq_ignore_ascii_case("LoadModule") {
        return None;
    }
    Some((sign, found))
}

/// The place for a new line: behind the last one that loads something and stands in no section; else behind `ServerRoot`,
/// which says where its file lies; else before all that says something.
fn behind_others(site: &Site<'_>) -> (String, usize) {
    let outside = |d: &&Placed| {
        let conf = Conf::read(site.text(&d.path));
        conf.lines.get(d.line).is_some_and(|l| l.inside.is_none())
    };
    let of = |name| site.effective.all(name).rfind(outside);
    if let Some(last) = of("LoadModule").or_else(|| of("ServerRoot")) {
        return (last.path.clone(), site.line_at(last).end);
    }
    let root = &site.tree.root;
    let conf = Conf::read(site.text(root));
    let first = conf.lines.iter().find(|l| l.says != Says::Nothing);
    (root.clone(), first.map_or(conf.text.len(), |l| l.at.start))
}

/// Nothing loads it any more.
fn absent(
    bare: &str,
    id: &str,
    available: Option<&Available>,
    site: &mut Site<'_>,
) -> Result<(), Stop> {
    while let Some(line) = loading(site, id).pop() {
        let disabled = match available {
            Some(available) => available.disable(&line, bare, site)?,
            None => false,
        };
        if !disabled {
            let says = said(&line.directive);
            site.rewrite(&line, &format!("#{says}"));
        }
    }
    Ok(())
}

fn said(directive: &Directive) -> String {
    let rest = String::from_utf8_lossy(&directive.rest);
    format!("{} {rest}", directive.name)
}
