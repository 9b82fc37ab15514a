//! Edits of a php.ini that touch no byte but those they were asked to.

use super::extension::{self, Form, Sort};
use super::ini::{Entry, Ini, Says, Scope, Statement, Value};
use super::value::Setting;

/// A file that is edited step by step. Each step reads it anew, as PHP would.
#[derive(Debug, Clone)]
pub struct Edit {
    text: Vec<u8>,
    /// What was done, for people.
    pub done: Vec<String>,
}

/// What is to happen to an extension.
#[derive(Debug, Clone, Copy)]
pub struct Wished<'a> {
    /// As the playbook names it.
    pub name: &'a str,
    /// Of PHP or of its engine.
    pub sort: Sort,
    /// The form in which a new line names it, where that is known.
    pub form: Option<Form>,
}

impl Edit {
    /// Begins with what PHP reads to its end.
    ///
    /// # Errors
    /// It does not: line and reason.
    pub fn new(text: &[u8]) -> Result<Self, String> {
        if let Some(broken) = Ini::read(text).broken {
            return Err(format!(
                "line {}: {}. PHP drops everything behind it without failing; mend the file first",
                broken.line, broken.why
            ));
        }
        Ok(Self {
            text: text.to_vec(),
            done: Vec::new(),
        })
    }

    /// The bytes as they are now.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// One setting, for all or for one path or host.
    ///
    /// # Errors
    /// The value cannot be written.
    pub fn set(&mut self, name: &str, setting: &Setting, scope: &Scope) -> Result<(), String> {
        let ini = Ini::read(&self.text);
        let last = ini.entries().rev().find(|e| holds(e, name, scope));
        if let Some(entry) = last {
            let now = &self.text[entry.at.clone()];
            if setting.agrees(entry.value, now) {
                return Ok(());
            }
            let new = setting.written(Some(now))?;
            let said = format!("line {}: {name} = {}", entry.statement.line, shown(&new));
            let at = entry.at.clone();
            self.value(at, &new);
            self.done.push(said);
            return Ok(());
        }
        let commented: Vec<Commented> = commented(&ini, scope)
            .filter(|c| c.name == name.as_bytes() && c.indent < PROSE)
            .collect();
        let best = commented
            .iter()
            .find(|c| setting.agrees(&c.value, &c.written))
            .or_else(|| commented.iter().min_by_key(|c| c.indent));
        if let Some(best) = best {
            let new = if setting.agrees(&best.value, &best.written) {
                best.written.clone()
            } else {
                setting.written(Some(&best.written))?
            };
            let line = best.line;
            let (at, from) = (best.value_at, best.at);
            self.value(at..at + best.written.len(), &new);
            self.replace(from..best.name_at, b"");
            self.done.push(format!(
                "line {line}: {name} = {}, no comment any more",
                shown(&new)
            ));
            return Ok(());
        }
        let new = setting.written(None)?;
        let line = [name.as_bytes(), b" = ", &new].concat();
        let line = line.trim_ascii_end().to_vec();
        self.insert_setting(name, &line, scope);
        self.done
            .push(format!("added: {}", String::from_utf8_lossy(&line)));
        Ok(())
    }

    /// No line sets it any more: each becomes a comment.
    pub fn unset(&mut self, name: &str, scope: &Scope) {
        self.comment_out(|e| holds(e, name, scope) || e.offset && named(e, name, scope));
    }

    /// The extension is loaded once.
    ///
    /// # Errors
    /// What it has to stand behind comes after what has to stand behind it.
    pub fn enable(&mut self, wished: Wished<'_>) -> Result<(), String> {
        let is = extension::named(wished.name.as_bytes());
        let ini = Ini::read(&self.text);
        if loading(&ini, wished.sort).any(|(_, name)| name == is) {
            return Ok(());
        }
        let after = loading(&ini, wished.sort)
            .filter(|(_, name)| extension::before(&is).contains(&&name[..]))
            .map(|(e, _)| e.statement.at.end)
            .max();
        let behind = loading(&ini, wished.sort)
            .filter(|(_, name)| extension::before(name).contains(&&is[..]))
            .map(|(e, _)| e.statement.at.start)
            .min();
        if let (Some(after), Some(behind)) = (after, behind)
            && after > behind
        {
            return Err(format!(
                "{is} has to stand behind one line and before another one that stands above it; put them into order first"
            ));
        }
        let form = wished.form.unwrap_or_else(|| usual_form(&ini, wished.sort));
        let value = if wished.name.contains(['.', '/', '\\']) {
            wished.name.to_owned()
        } else {
            extension::in_form(wished.name, form)
        };
        let fits =
            |c: &Commented| after.is_none_or(|at| c.at >= at) && behind.is_none_or(|at| c.at < at);
        let candidates: Vec<Commented> = commented(&ini, &Scope::All)
            .filter(|c| wished.sort.is(&c.name) && c.indent < PROSE && c.loads)
            .filter(|c| matches!(&c.value, Value::Is(v) if extension::named(v) == is))
            .filter(fits)
            .collect();
        let same = |c: &&Commented| matches!(&c.value, Value::Is(v) if *v == value.as_bytes());
        if let Some(best) = candidates.iter().find(same).or(candidates.first()) {
            let line = best.line;
            let new = Setting::Text(value.clone()).written(Some(&best.written))?;
            let (at, from) = (best.value_at, best.at);
            if !same(&best) {
                self.replace(at..at + best.written.len(), &new);
            }
            self.replace(from..best.name_at, b"");
            self.done
                .push(format!("line {line}: {is} is loaded, no comment any more"));
            return Ok(());
        }
        let new = Setting::Text(value).written(None)?;
        let line = [wished.sort.setting().as_bytes(), b"=", &new].concat();
        let place = behind.or(after).unwrap_or_else(|| {
            let of_sort = |s: &&Statement| s.loads && s.scope == Scope::All;
            let active = loading(&ini, wished.sort).map(|(e, _)| e.statement.at.end);
            let comments = commented(&ini, &Scope::All)
                .filter(|c| wished.sort.is(&c.name) && c.indent < PROSE && c.loads)
                .map(|c| c.end);
            let end = ini.statements.iter().rfind(of_sort).map_or(0, |s| s.at.end);
            active.chain(comments).max().unwrap_or(end)
        });
        self.insert_line(place, &line);
        self.done
            .push(format!("added: {}", String::from_utf8_lossy(&line)));
        Ok(())
    }

    /// No line loads it any more: each becomes a comment.
    pub fn disable(&mut self, wished: Wished<'_>) {
        let is = extension::named(wished.name.as_bytes());
        let ini = Ini::read(&self.text);
        let lines: Vec<usize> = loading(&ini, wished.sort)
            .filter(|(_, name)| *name == is)
            .map(|(e, _)| e.index)
            .collect();
        self.comment_out(|e| lines.contains(&e.index));
    }

    fn comment_out(&mut self, which: impl Fn(&Entry<'_>) -> bool) {
        let ini = Ini::read(&self.text);
        let mut places = Vec::new();
        let mut done = Vec::new();
        for entry in ini.entries().filter(|e| which(e)) {
            let from = entry.statement.at.start;
            places.push(from);
            // A value between quotes may have more than one line.
            let inner = &self.text[from..entry.at.end];
            let ends = inner
                .iter()
                .enumerate()
                .filter(|(n, b)| **b == b'\n' || **b == b'\r' && inner.get(n + 1) != Some(&b'\n'));
            places.extend(ends.map(|(n, _)| from + n + 1));
            done.push(format!(
                "line {}: {} is a comment",
                entry.statement.line,
                String::from_utf8_lossy(self.text[from..entry.at.end].trim_ascii())
            ));
        }
        for place in places.into_iter().rev() {
            self.text.insert(place, b';');
        }
        self.done.extend(done);
    }

    /// Another value. Where there was none, it stands as far from the `=` as the name does.
    fn value(&mut self, at: std::ops::Range<usize>, new: &[u8]) {
        let bare = at.is_empty() && self.text[..at.start].ends_with(b" =");
        let blank: &[u8] = if bare && !new.is_empty() { b" " } else { b"" };
        self.replace(at, &[blank, new].concat());
    }

    fn replace(&mut self, at: std::ops::Range<usize>, new: &[u8]) {
        self.text.splice(at, new.iter().copied());
    }

    /// A new line for a setting: behind those of its kind (`mysqli.…`), else at the end of the section that is called so,
    /// else at the end of what holds for all, or for this path or host.
    fn insert_setting(&mut self, name: &str, line: &[u8], scope: &Scope) {
        let ini = Ini::read(&self.text);
        let kind = name.split_once('.').map(|(kind, _)| format!("{kind}."));
        let is_kind = |name: &[u8]| {
            let begins = |kind: &String| name.starts_with(kind.as_bytes());
            kind.as_ref().is_some_and(begins)
        };
        let active = ini
            .entries()
            .filter(|e| e.statement.scope == *scope && is_kind(e.name))
            .map(|e| e.statement.at.end);
        let comments = commented(&ini, scope)
            .filter(|c| c.indent < PROSE && is_kind(&c.name))
            .map(|c| c.end);
        let section = || section_end(&ini, kind.as_deref()?, scope);
        let place = active.chain(comments).max().or_else(section);
        if let Some(place) = place.or_else(|| scope_end(&ini, scope)) {
            self.insert_line(place, line);
            return;
        }
        let header = match scope {
            Scope::All => Vec::new(),
            Scope::Only(key) => [b"[", &key[..], b"]"].concat(),
        };
        match scope {
            // What stands at the very beginning is before any path or host.
            Scope::All => self.insert_line(beginning(&self.text), line),
            Scope::Only(_) => {
                self.insert_line(self.text.len(), &header);
                self.insert_line(self.text.len(), line);
            }
        }
    }

    /// A whole line at the beginning of one, or at the end of the file.
    fn insert_line(&mut self, place: usize, line: &[u8]) {
        let end = newline(&self.text);
        let first = place == beginning(&self.text);
        let unended =
            !first && !self.text[..place].ends_with(b"\n") && !self.text[..place].ends_with(b"\r");
        let before = if unended { end } else { b"" };
        let new = [before, line, end].concat();
        self.text.splice(place..place, new);
    }
}

/// Indented so far behind its `;`, a line explains and is no default.
const PROSE: usize = 3;

fn shown(value: &[u8]) -> String {
    if value.is_empty() {
        "(nothing)".to_owned()
    } else {
        String::from_utf8_lossy(value).into_owned()
    }
}

/// Behind a byte order mark.
fn beginning(text: &[u8]) -> usize {
    if text.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    }
}

/// How lines end: as the first one does.
fn newline(text: &[u8]) -> &'static [u8] {
    match text.iter().position(|b| b"\r\n".contains(b)) {
        Some(at) if text[at] == b'\r' && text.get(at + 1) == Some(&b'\n') => b"\r\n",
        Some(at) if text[at] == b'\r' => b"\r",
        _ => b"\n",
    }
}

fn named(entry: &Entry<'_>, name: &str, scope: &Scope) -> bool {
    entry.name == name.as_bytes() && entry.statement.scope == *scope
}

/// Does the entry give this setting its value?
fn holds(entry: &Entry<'_>, name: &str, scope: &Scope) -> bool {
    !entry.offset && named(entry, name, scope)
}

/// The lines that load an extension, with its name.
pub fn loading<'a>(ini: &'a Ini<'_>, sort: Sort) -> impl Iterator<Item = (Entry<'a>, String)> {
    ini.entries().filter_map(move |entry| {
        let loads = sort.is(entry.name) && !entry.offset && entry.statement.loads;
        match entry.value {
            Value::Is(value) if loads && !value.is_empty() => {
                let name = extension::named(value);
                Some((entry, name))
            }
            _ => None,
        }
    })
}

/// The form in which the file names extensions, its comments among them.
fn usual_form(ini: &Ini<'_>, sort: Sort) -> Form {
    let active = ini.entries().filter_map(|e| match e.value {
        Value::Is(value) if sort.is(e.name) => Some(extension::form(value)),
        _ => None,
    });
    let comments = commented(ini, &Scope::All).filter_map(|c| match &c.value {
        Value::Is(value) if sort.is(&c.name) && c.indent < PROSE => Some(extension::form(value)),
        _ => None,
    });
    let mut forms: Vec<Form> = active.chain(comments).collect();
    // The templates of PHP before 7.2 have `php_X.dll` everywhere, whatever the system; the first line that is in use
    // tells it better.
    if forms.contains(&Form::Bare) || forms.is_empty() {
        return Form::Bare;
    }
    forms.retain(|f| *f == Form::Unix);
    forms.first().copied().unwrap_or(Form::Windows)
}

/// A setting that is a comment: `;name = value`.
#[derive(Debug, Clone)]
struct Commented {
    /// Where the `;` is, where the name begins, and where the statement ends.
    at: usize,
    name_at: usize,
    end: usize,
    line: usize,
    /// How many blanks stand behind the `;`.
    indent: usize,
    name: Vec<u8>,
    value: Value,
    /// How the value is written, and where.
    written: Vec<u8>,
    value_at: usize,
    loads: bool,
}

/// The settings of a scope that are comments, in their order.
fn commented<'a>(ini: &'a Ini<'_>, scope: &'a Scope) -> impl Iterator<Item = Commented> + 'a {
    let nothing = |s: &&Statement| s.says == Says::Nothing && s.scope == *scope;
    ini.statements
        .iter()
        .filter(nothing)
        .filter_map(|statement| read_comment(ini.text, statement))
}

fn read_comment(text: &[u8], statement: &Statement) -> Option<Commented> {
    let own = &text[statement.at.clone()];
    let blanks = own.iter().take_while(|b| b" \t".contains(b)).count();
    let inner = own[blanks..].strip_prefix(b";")?;
    let indent = inner.iter().take_while(|b| b" \t".contains(b)).count();
    let line = &inner[indent..];
    let ini = Ini::read(line);
    let [one] = &ini.statements[..] else {
        return None;
    };
    let Says::Entry {
        name,
        offset: false,
        at,
        value,
    } = &one.says
    else {
        return None;
    };
    if ini.broken.is_some() {
        return None;
    }
    let from = statement.at.start + blanks;
    let name_at = from + 1 + indent;
    Some(Commented {
        at: from,
        name_at,
        end: statement.at.end,
        line: statement.line,
        indent,
        name: name.clone(),
        value: value.clone(),
        written: line[at.clone()].to_vec(),
        value_at: name_at + at.start,
        loads: statement.loads,
    })
}

/// The end of the section that is called as the settings of this kind, without the empty lines there.
fn section_end(ini: &Ini<'_>, kind: &str, scope: &Scope) -> Option<usize> {
    let kind = kind.trim_end_matches('.').as_bytes();
    let is_it = |s: &Statement| {
        matches!(&s.says, Says::Section(name) if name.eq_ignore_ascii_case(kind))
            && s.scope == *scope
    };
    let from = ini.statements.iter().position(is_it)?;
    let rest = &ini.statements[from + 1..];
    let until = rest
        .iter()
        .position(|s| matches!(s.says, Says::Section(_)))
        .unwrap_or(rest.len());
    let last = rest[..until].iter().rev().find(|s| !is_empty(ini.text, s));
    Some(last.map_or(ini.statements[from].at.end, |s| s.at.end))
}

/// The end of what holds for all, or for one path or host, without the empty lines there.
fn scope_end(ini: &Ini<'_>, scope: &Scope) -> Option<usize> {
    let mut of_scope = ini.statements.iter().rev().filter(|s| s.scope == *scope);
    of_scope.find(|s| !is_empty(ini.text, s)).map(|s| s.at.end)
}

fn is_empty(text: &[u8], statement: &Statement) -> bool {
    text[statement.at.clone()].trim_ascii().is_empty()
}
