//! A section of a configuration, as the modules ask for it and write into it.

use runbook_engine::module::Stop;

use super::conf::{Conf, Says};
use super::effective::{Around, Placed, is_question};
use super::site::Site;
use super::words::words;

/// A section as a playbook names it: `VirtualHost *:443`, with or without `<` and `>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    name: String,
    words: Vec<String>,
}

impl Asked {
    /// Reads it.
    ///
    /// # Errors
    /// It has no name, or the name of one that only asks something.
    pub fn read(text: &str) -> Result<Self, String> {
        let bare = text.trim();
        let bare = bare
            .strip_prefix('<')
            .and_then(|b| b.strip_suffix('>'))
            .unwrap_or(bare);
        let mut all = words(bare.as_bytes());
        let fits = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric());
        if !all.first().is_some_and(fits) || bare.contains(['\n', '\r']) {
            return Err(format!(
                "`section: {text}` is none; write `Directory /srv/www`"
            ));
        }
        let name = all.remove(0).to_ascii_lowercase();
        if is_question(&name) {
            return Err(format!(
                "`section: {text}` only asks something: what stands in it counts as if it stood outside"
            ));
        }
        Ok(Self { name, words: all })
    }

    fn is(&self, name: &str, of: &[String]) -> bool {
        let is_directory = self.name.eq_ignore_ascii_case("directory");
        let bare = |word: &String| match word.trim_end_matches('/') {
            bare if is_directory && !bare.is_empty() => bare.to_owned(),
            _ => word.clone(),
        };
        let same = self.words.iter().map(bare).eq(of.iter().map(bare));
        self.name.eq_ignore_ascii_case(name) && same
    }

    fn is_around(&self, around: &Around) -> bool {
        self.is(&around.name, &around.words)
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}", self.name)?;
        for word in &self.words {
            write!(f, " {word}")?;
        }
        f.write_str(">")
    }
}

/// The sections that are asked for, from the outermost name to the innermost, in the order in which they are read: the last
/// one counts where they say different things. Of several virtual hosts the one of this name. None where none is asked for.
///
/// # Errors
/// There is none, or of virtual hosts more than one.
pub fn find(
    site: &Site<'_>,
    asked: &[Asked],
    server_name: Option<&str>,
) -> Result<Vec<Placed>, Stop> {
    let Some((inner, outer)) = asked.split_last() else {
        return Ok(Vec::new());
    };
    let mut found: Vec<&Placed> = site
        .effective
        .directives
        .iter()
        .filter(|d| d.opens && inner.is(&d.directive.name, &d.directive.words))
        .filter(|d| d.around.len() == outer.len())
        .filter(|d| {
            outer
                .iter()
                .zip(&d.around)
                .all(|(asked, is)| asked.is_around(is))
        })
        .collect();
    if let Some(name) = server_name {
        found.retain(|section| {
            let own = inside(site, section);
            let mut names = own.iter().filter(|d| d.directive.is("ServerName"));
            names.any(|d| {
                let is = d.directive.words.first().map(|w| host(w));
                is.is_some_and(|is| is.eq_ignore_ascii_case(host(name)))
            })
        });
    }
    let path: Vec<String> = asked.iter().map(Asked::to_string).collect();
    let path = path.join(" ");
    match &found[..] {
        [] => Err(Stop::refuse(match server_name {
            Some(name) => format!("there is no section {path} with `ServerName {name}`"),
            None => format!("there is no section {path} that counts"),
        })),
        // Each is a host of its own.
        [_, _, ..] if inner.name == "virtualhost" => {
            let places: Vec<String> = found.iter().map(|d| d.place()).collect();
            Err(Stop::refuse(format!(
                "there are several sections {path}: {}; say with `server_name` which",
                places.join(", ")
            )))
        }
        sections => Ok(sections.iter().map(|s| (*s).clone()).collect()),
    }
}

/// The host in `ServerName [https://]pacs.example[:443]`.
fn host(name: &str) -> &str {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => name,
    }
}

/// Is the line read more than once, since more than one place includes its file? Then a change in it is one for all of them.
#[must_use]
pub fn is_shared(site: &Site<'_>, line: &Placed) -> bool {
    let all = site.effective.directives.iter();
    all.filter(|d| d.path == line.path && d.line == line.line)
        .count()
        > 1
}

/// What counts directly in a section.
#[must_use]
pub fn inside(site: &Site<'_>, section: &Placed) -> Vec<Placed> {
    let is = |d: &&Placed| {
        let around = d.around.last();
        !d.opens && around.is_some_and(|a| a.path == section.path && a.line == section.line)
    };
    site.effective
        .directives
        .iter()
        .filter(is)
        .cloned()
        .collect()
}

/// New lines at the end of a section, indented as its first line is.
pub fn into(site: &mut Site<'_>, section: &Placed, lines: &[String]) {
    let conf = Conf::read(site.text(&section.path));
    let range = conf.section(section.line);
    let blanks = |n: usize| -> String {
        let text = &conf.text[conf.lines[n].at.clone()];
        text.iter()
            .map_while(|b| b" \t".contains(b).then_some(*b as char))
            .collect()
    };
    let first = range.clone().find(|n| conf.lines[*n].says != Says::Nothing);
    let indent = first.map_or_else(|| format!("{}    ", blanks(section.line)), blanks);
    let at = conf
        .lines
        .get(range.end)
        .map_or(conf.text.len(), |l| l.at.start);
    let lines: Vec<String> = lines.iter().map(|l| format!("{indent}{l}")).collect();
    let path = section.path.clone();
    site.insert(&path, at, &lines);
}
