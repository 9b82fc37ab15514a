//! What the server makes of its configuration: the directives that count, in the order in which it reads them.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::conf::{Conf, Directive, Says};
use super::tree::{Tree, included};

/// What is known of the server beside its files.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// Its version: `2.4.62`, or `2.4` where no more is known.
    pub version: Option<String>,
    /// Modules that are built into it, as `mod_so.c`.
    pub built_in: Vec<String>,
    /// Names that its command line defines (`-D NAME`).
    pub defined: Vec<String>,
    /// Variables of its environment.
    pub environment: BTreeMap<String, String>,
}

/// The whole of it.
#[derive(Debug, Clone, Default)]
pub struct Effective {
    /// In the order of reading.
    pub directives: Vec<Placed>,
    /// Identifiers of modules that are loaded or built in: `alias_module`.
    pub modules: BTreeSet<String>,
    /// What the files that they are loaded from say of themselves, as identifiers: what `IfModule mod_alias.c` asks for.
    sources: BTreeSet<String>,
    /// Names that are defined, with their values.
    pub variables: BTreeMap<String, String>,
    /// Conditions whose outcome is not known here, with their places; what stands below them counts as if they held.
    pub open: Vec<String>,
}

/// A directive, or a section that opens.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its file.
    pub path: String,
    /// Its place among that file's lines.
    pub line: usize,
    /// The number of its line, from 1 on.
    pub number: usize,
    /// Its name and words; what it says of variables is filled in.
    pub directive: Directive,
    /// Does it open a section?
    pub opens: bool,
    /// The sections around it, the outermost first, but for those that only ask something (`IfModule`).
    pub around: Vec<Around>,
}

/// A section around a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Around {
    /// The name of the section, in small letters.
    pub name: String,
    /// Its words.
    pub words: Vec<String>,
    /// Where it opens.
    pub path: String,
    /// Its place among that file's lines.
    pub line: usize,
}

impl Placed {
    /// Where it stands, for people.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.path, self.number)
    }
}

impl Effective {
    /// Reads the tree as the server does.
    #[must_use]
    pub fn of(tree: &Tree, server: &Server) -> Self {
        let mut reader = Reader {
            tree,
            server,
            effective: Self::default(),
            files: BTreeMap::new(),
        };
        reader
            .effective
            .variables
            .extend(server.environment.clone());
        let names = server.built_in.iter().map(|file| identifier(file));
        reader.effective.modules.extend(names);
        reader.file(&tree.root, &mut Vec::new(), 0);
        reader.effective
    }

    /// Is the module loaded, by its identifier or the name of its file?
    #[must_use]
    pub fn has_module(&self, name: &str) -> bool {
        let id = identifier(name);
        self.modules.contains(&id) || (name.ends_with(".c") && self.sources.contains(&id))
    }

    /// Words with what their variables (`${NAME}`) stand for: what is defined, or stands in the environment; what is unknown
    /// stays as it is.
    #[must_use]
    pub fn filled(&self, words: &[String]) -> Vec<String> {
        let fill = |word: &String| {
            let mut out = String::new();
            let mut rest = word.as_str();
            while let Some((before, after)) = rest.split_once("${") {
                out.push_str(before);
                let Some((name, behind)) = after.split_once('}') else {
                    out.push_str("${");
                    rest = after;
                    continue;
                };
                match self.variables.get(name) {
                    Some(value) => out.push_str(value),
                    None => out.push_str(&format!("${{{name}}}")),
                }
                rest = behind;
            }
            out + rest
        };
        words.iter().map(fill).collect()
    }

    /// All directives of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Placed> {
        self.directives
            .iter()
            .filter(move |d| !d.opens && d.directive.is(name))
    }

    /// All sections of this name, where they open.
    pub fn sections<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Placed> {
        self.directives
            .iter()
            .filter(move |d| d.opens && d.directive.is(name))
    }
}

/// `mod_alias.c`, `mod_alias.so`, `modules/mod_alias.so` and `alias_module` are one module.
#[must_use]
pub fn identifier(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = [".c", ".cpp", ".so", ".dll"]
        .iter()
        .find_map(|end| file.strip_suffix(end))
        .unwrap_or(file);
    match (stem.strip_prefix("mod_"), stem) {
        (Some(bare), _) | (None, bare @ "core") => format!("{bare}_module"),
        (None, "http_core") => "http_module".to_owned(),
        // The sources of the ways to share out work have names of their own.
        (None, "event" | "prefork" | "worker" | "winnt") if stem != file => {
            format!("mpm_{stem}_module")
        }
        (None, _) => stem.to_owned(),
    }
}

struct Reader<'a> {
    tree: &'a Tree,
    server: &'a Server,
    effective: Effective,
    files: BTreeMap<String, Conf<'a>>,
}

/// As deep as the server follows includes.
const DEEPEST: usize = 128;

impl Reader<'_> {
    fn file(&mut self, path: &str, around: &mut Vec<Around>, depth: usize) {
        let Some(text) = self.tree.files.get(path).filter(|_| depth < DEEPEST) else {
            return;
        };
        let conf = self
            .files
            .entry(path.to_owned())
            .or_insert_with(|| Conf::read(text))
            .clone();
        let outer = around.len();
        // The line up to which nothing counts, since its section asks for what is not so.
        let mut until = 0;
        for (n, line) in conf.lines.iter().enumerate() {
            if n < until {
                continue;
            }
            match &line.says {
                Says::Nothing => {}
                Says::Close(name) => {
                    let closes = |a: &Around| a.path == path && Some(a.line) == line.inside;
                    if !is_question(name)
                        && around.len() > outer
                        && around.last().is_some_and(closes)
                    {
                        around.pop();
                    }
                }
                Says::Open(directive) => {
                    let directive = self.filled(directive);
                    if is_question(&directive.name) {
                        let place = format!("{path}:{}", line.number);
                        if !self.holds(&directive, &place) {
                            until = conf.section(n).end;
                        }
                        continue;
                    }
                    self.place(path, n, line.number, &directive, true, around);
                    around.push(Around {
                        name: directive.name.to_ascii_lowercase(),
                        words: directive.words.clone(),
                        path: path.to_owned(),
                        line: n,
                    });
                }
                Says::Directive(directive) => {
                    let directive = self.filled(directive);
                    self.place(path, n, line.number, &directive, false, around);
                    self.obey(&directive);
                    if let Some(name) = included(&directive) {
                        let name = self.tree.absolute(name);
                        let found = self.tree.found.get(&name).cloned().unwrap_or_default();
                        for file in found {
                            self.file(&file, around, depth + 1);
                        }
                    }
                }
            }
        }
        around.truncate(outer);
    }

    fn place(
        &mut self,
        path: &str,
        line: usize,
        number: usize,
        directive: &Directive,
        opens: bool,
        around: &[Around],
    ) {
        self.effective.directives.push(Placed {
            path: path.to_owned(),
            line,
            number,
            directive: directive.clone(),
            opens,
            around: around.to_vec(),
        });
    }

    /// With what its variables stand for here.
    fn filled(&self, directive: &Directive) -> Directive {
        Directive {
            words: self.effective.filled(&directive.words),
            ..directive.clone()
        }
    }

    /// What a directive changes for those behind it.
    fn obey(&mut self, directive: &Directive) {
        let word = |n: usize| directive.words.get(n).cloned();
        if directive.is("Define") {
            let value = word(1).unwrap_or_default();
            self.effective.variables.extend(word(0).map(|n| (n, value)));
        } else if directive.is("UnDefine") {
            self.effective
                .variables
                .remove(&word(0).unwrap_or_default());
        } else if directive.is("LoadModule") {
            self.effective.modules.extend(word(0));
            // A module is asked for by the name of its source, too, which its file tells.
            self.effective
                .sources
                .extend(word(1).map(|file| identifier(&file)));
        }
    }

    fn holds(&mut self, question: &Directive, place: &str) -> bool {
        let Some(first) = question.words.first() else {
            return true;
        };
        let (asked, yes) = match first.strip_prefix('!') {
            Some(asked) => (asked, false),
            None => (first.as_str(), true),
        };
        let is = if question.is("IfModule") {
            Some(self.effective.has_module(asked))
        } else if question.is("IfDefine") {
            let defined = self.server.defined.iter().any(|d| d == asked);
            Some(defined || self.effective.variables.contains_key(asked))
        } else if question.is("IfVersion") {
            return self.version(question).unwrap_or_else(|| {
                self.effective.open.push(format!("{place} (IfVersion)"));
                true
            });
        } else {
            None
        };
        is.map_or_else(
            || {
                self.effective
                    .open
                    .push(format!("{place} ({} {first})", question.name));
                true
            },
            |is| is == yes,
        )
    }

    /// `IfVersion [!]OPERATOR VERSION`, or `IfVersion VERSION`; `None`: not known. Numbers that are not written are 0.
    fn version(&self, question: &Directive) -> Option<bool> {
        let is = self.server.version.as_deref()?;
        let (operator, wanted) = match &question.words[..] {
            [wanted] => ("=", wanted.as_str()),
            [operator, wanted] => (operator.as_str(), wanted.as_str()),
            _ => return None,
        };
        let (operator, yes) = match operator.strip_prefix('!') {
            Some(operator) => (operator, false),
            None => (operator, true),
        };
        let numbers =
            |text: &str| -> Option<Vec<u32>> { text.split('.').map(|n| n.parse().ok()).collect() };
        let own = numbers(is)?;
        let between = wanted.strip_prefix('/').and_then(|w| w.strip_suffix('/'));
        let pattern = match operator {
            "~" => Some(wanted),
            "=" | "==" => between,
            _ => None,
        };
        if let Some(pattern) = pattern {
            let whole = own.len() == 3;
            return Some(Regex::new(pattern).ok().filter(|_| whole)?.is_match(is) == yes);
        }
        let mut wanted = numbers(wanted)?;
        wanted.resize(3, 0);
        let order = own.iter().cmp(wanted.iter().take(own.len()));
        let order = match own.len() {
            3 => order,
            // The last number is not known: it may be more than what is asked for, and is not less than 0.
            _ if order.is_eq() => {
                return match operator {
                    ">=" if wanted[2] == 0 => Some(yes),
                    "<" if wanted[2] == 0 => Some(!yes),
                    _ => None,
                };
            }
            _ => order,
        };
        let holds = match operator {
            "=" | "==" => order.is_eq(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            _ => return None,
        };
        Some(holds == yes)
    }
}

/// Does the section only ask something, so that what stands in it counts as if it stood outside?
#[must_use]
pub fn is_question(name: &str) -> bool {
    let questions = [
        "IfModule",
        "IfDefine",
        "IfVersion",
        "IfFile",
        "IfDirective",
        "IfSection",
    ];
    questions.iter().any(|q| q.eq_ignore_ascii_case(name))
}
