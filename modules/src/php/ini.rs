//! What stands in a php.ini: its statements, where each lies, and what PHP makes of it.
//!
//! Every byte of the file belongs to one statement, so that an edit is a replacement of the bytes of one of them, and
//! all others stay. Source: the PHP manual, "The configuration file", "Runtime configuration" and "[HOST=] and [PATH=]
//! sections", and the answers of PHP 8.2.

use std::ops::Range;

use super::scan::{Is, Scanner, Word};

/// A whole file.
#[derive(Debug, Clone)]
pub struct Ini<'a> {
    /// Its bytes.
    pub text: &'a [u8],
    /// In their order. The last one ends where PHP stops to read.
    pub statements: Vec<Statement>,
    /// PHP does not read the file to its end.
    pub broken: Option<Broken>,
}

/// Where PHP stops to read a file. What stands before counts, the rest is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The line, from 1 on.
    pub line: usize,
    /// Why, for people.
    pub why: &'static str,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its bytes, with blanks before it, and a comment and the end of the line behind it.
    pub at: Range<usize>,
    /// The line on which it begins, from 1 on.
    pub line: usize,
    /// What it says.
    pub says: Says,
    /// For whom it holds.
    pub scope: Scope,
    /// Would PHP load an extension that is named here? Not directly below `[PATH=…]` and `[HOST=…]`.
    pub loads: bool,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// Nothing: an empty line or a comment.
    Nothing,
    /// `[NAME]`.
    Section(Vec<u8>),
    /// A name without `=`, which PHP passes over.
    Name,
    /// `name = value`, or `name[offset] = value`.
    Entry {
        /// The name; capitals count.
        name: Vec<u8>,
        /// Is it an element of a list?
        offset: bool,
        /// The value's bytes, without the blanks and the comment behind it.
        at: Range<usize>,
        /// What PHP makes of them.
        value: Value,
    },
}

/// For whom an entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// For all.
    #[default]
    All,
    /// Below a `[PATH=…]` or `[HOST=…]`, as PHP keys it. A section of another name does not end it: PHP still keeps
    /// what follows for that path or host.
    Only(Vec<u8>),
}

/// What a value means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// This text. `on` is `1`, `off` and its like are nothing.
    Is(Vec<u8>),
    /// It rests on the environment, on another setting or on this build of PHP: `${NAME}`, `PHP_OS`.
    Depends,
}

impl Ini<'_> {
    /// Reads a file as PHP does.
    #[must_use]
    pub fn read(text: &[u8]) -> Ini<'_> {
        let mut reader = Reader {
            words: Words {
                scanner: Scanner::new(text),
                next: None,
            },
            text,
            statements: Vec::new(),
            scope: Scope::All,
            loads: true,
            at: 0,
            line: 1,
        };
        let broken = reader.all();
        Ini {
            text,
            statements: reader.statements,
            broken,
        }
    }

    /// The entries, with their statements.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Entry<'_>> {
        self.statements
            .iter()
            .enumerate()
            .filter_map(|(index, statement)| match &statement.says {
                Says::Entry {
                    name,
                    offset,
                    at,
                    value,
                } => Some(Entry {
                    index,
                    statement,
                    name,
                    offset: *offset,
                    at: at.clone(),
                    value,
                }),
                _ => None,
            })
    }
}

/// An entry and where it stands.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Its place among the statements.
    pub index: usize,
    /// Its statement.
    pub statement: &'a Statement,
    /// See [`Says::Entry`].
    pub name: &'a [u8],
    /// See [`Says::Entry`].
    pub offset: bool,
    /// See [`Says::Entry`].
    pub at: Range<usize>,
    /// See [`Says::Entry`].
    pub value: &'a Value,
}

/// Words with one that is looked at before it is taken.
struct Words<'a> {
    scanner: Scanner<'a>,
    next: Option<Word>,
}

impl Words<'_> {
    fn peek(&mut self) -> &Word {
        let scanner = &mut self.scanner;
        self.next.get_or_insert_with(|| scanner.next())
    }

    fn take(&mut self) -> Word {
        match self.next.take() {
            Some(word) => word,
            None => self.scanner.next(),
        }
    }

    /// Takes the word where it is of this kind.
    fn one(&mut self, is: Is) -> Option<Word> {
        (self.peek().is == is).then(|| self.take())
    }
}

struct Reader<'a> {
    words: Words<'a>,
    text: &'a [u8],
    statements: Vec<Statement>,
    scope: Scope,
    loads: bool,
    /// Where the statement begins that is being read, and on which line.
    at: usize,
    line: usize,
}

/// The grammar does not allow the word that comes.
struct Unexpected;

impl Reader<'_> {
    fn all(&mut self) -> Option<Broken> {
        loop {
            let first = self.words.take();
            if first.is == Is::End {
                return self.end(first.at.start);
            }
            match self.statement(first) {
                Ok((says, end)) => self.push(says, end),
                Err(Unexpected) => return Some(self.unexpected()),
            }
        }
    }

    /// PHP has come to its end here; is that the file's?
    fn end(&mut self, at: usize) -> Option<Broken> {
        let rest = self.text.get(at..).unwrap_or_default();
        let blanks = rest.iter().take_while(|b| b" \t".contains(b)).count();
        let comment = rest.get(blanks).is_none_or(|b| *b == b';');
        if self.at < self.text.len() && comment {
            self.push(Says::Nothing, self.text.len());
            return None;
        }
        (!rest.is_empty()).then(|| Broken {
            line: line_of(self.text, at),
            why: "PHP stops to read here, where an apostrophe or a bracket is never closed",
        })
    }

    fn unexpected(&mut self) -> Broken {
        let at = self.words.peek().at.start.min(self.text.len());
        let before = &self.text[..at];
        let open = before.iter().skip(self.at).filter(|b| **b == b'"').count();
        Broken {
            line: self.line,
            why: if open % 2 == 1 {
                "a double quote is never closed, or closed by a backslash before it"
            } else {
                "a syntax error; a value that holds one of `; & | ^ ~ ( ) ! = { } [ ] \"` needs quotes"
            },
        }
    }

    /// Adds a statement that ends here; a comment and the end of the line behind it belong to it.
    fn push(&mut self, says: Says, end: usize) {
        let ended = self
            .text
            .get(self.at..end)
            .is_some_and(|own| lines_in(own) > 0);
        let takes_end = matches!(says, Says::Entry { .. } | Says::Name) || !ended;
        let end = match takes_end.then(|| self.words.one(Is::Line)).flatten() {
            Some(line) => line.at.end,
            None => end,
        };
        let at = self.at..end.max(self.at);
        let line = self.line;
        self.line += lines_in(&self.text[at.clone()]);
        self.at = at.end;
        self.statements.push(Statement {
            at,
            line,
            says,
            scope: self.scope.clone(),
            loads: self.loads,
        });
    }

    fn statement(&mut self, first: Word) -> Result<(Says, usize), Unexpected> {
        match first.is {
            Is::Line => Ok((Says::Nothing, first.at.end)),
            Is::Section => {
                let name = match self.words.peek().is {
                    Is::SectionEnd => Vec::new(),
                    _ => self.section()?,
                };
                let end = self.words.one(Is::SectionEnd).ok_or(Unexpected)?;
                self.scope_of(&name);
                Ok((Says::Section(name), end.at.end))
            }
            Is::Label => {
                let name = trim(&self.text[first.at.clone()]).to_vec();
                if self.words.one(Is::Equals).is_none() {
                    return Ok((Says::Name, first.at.end));
                }
                self.entry(name, false)
            }
            Is::Offset => {
                let name = &self.text[first.at.clone()];
                let bracket = name.iter().rposition(|b| *b == b'[').unwrap_or(name.len());
                let name = trim(&name[..bracket]).to_vec();
                if self.words.peek().is != Is::OffsetEnd {
                    self.list()?;
                }
                self.words.one(Is::OffsetEnd).ok_or(Unexpected)?;
                self.words.one(Is::Equals).ok_or(Unexpected)?;
                self.entry(name, true)
            }
            _ => Err(Unexpected),
        }
    }

    fn entry(&mut self, name: Vec<u8>, offset: bool) -> Result<(Says, usize), Unexpected> {
        let from = self.words.peek().at.start;
        let (value, end) = match self.words.peek().is {
            Is::True => (Value::Is(b"1".to_vec()), self.words.take().at.end),
            Is::False => (Value::Is(Vec::new()), self.words.take().at.end),
            // The end of the line is the value, and nothing.
            Is::Line => (Value::Is(Vec::new()), from),
            _ => self.expression(0)?,
        };
        match self.words.peek().is {
            Is::Line | Is::End => {}
            _ => return Err(Unexpected),
        }
        let written = &self.text[from..end];
        let at = from..from + written.trim_ascii_end().len();
        let says = Says::Entry {
            name,
            offset,
            at,
            value,
        };
        Ok((says, end))
    }

    /// `a & ~b | c`: all operators of two sides are of one rank, from left to right.
    fn expression(&mut self, depth: usize) -> Result<(Value, usize), Unexpected> {
        let (mut value, mut end) = self.operand(depth)?;
        loop {
            let operator = match self.words.peek().is {
                Is::Operator(operator @ (b'&' | b'|' | b'^')) => operator,
                _ => return Ok((value, end)),
            };
            self.words.take();
            let (right, right_end) = self.operand(depth)?;
            end = right_end;
            value = match (number(&value), number(&right)) {
                (Some(a), Some(b)) => decimal(match operator {
                    b'&' => a & b,
                    b'|' => a | b,
                    _ => a ^ b,
                }),
                _ => Value::Depends,
            };
        }
    }

    fn operand(&mut self, depth: usize) -> Result<(Value, usize), Unexpected> {
        /// Deeper than anybody writes; PHP's own parser ends here, too, with its stack.
        const DEEPEST: usize = 64;
        if depth > DEEPEST {
            return Err(Unexpected);
        }
        match self.words.peek().is {
            Is::Operator(operator @ (b'~' | b'!')) => {
                self.words.take();
                let (value, end) = self.operand(depth + 1)?;
                let value = number(&value).map_or(Value::Depends, |n| {
                    decimal(if operator == b'~' {
                        !n
                    } else {
                        i32::from(n == 0)
                    })
                });
                Ok((value, end))
            }
            Is::Operator(b'(') => {
                self.words.take();
                let (value, _) = self.expression(depth + 1)?;
                let end = self.words.one(Is::Operator(b')')).ok_or(Unexpected)?;
                Ok((value, end.at.end))
            }
            _ => self.list(),
        }
    }

    /// Texts, quoted or not, one behind the other.
    fn list(&mut self) -> Result<(Value, usize), Unexpected> {
        self.texts(true)
    }

    fn section(&mut self) -> Result<Vec<u8>, Unexpected> {
        match self.texts(false)?.0 {
            Value::Is(name) => Ok(name),
            Value::Depends => Ok(Vec::new()),
        }
    }

    fn texts(&mut self, constants: bool) -> Result<(Value, usize), Unexpected> {
        let mut value = Value::Is(Vec::new());
        let mut end = None;
        loop {
            let more = match self.words.peek().is {
                Is::Constant if constants => constant(&self.text[self.words.peek().at.clone()]),
                Is::Constant | Is::Text | Is::Blank => {
                    Value::Is(self.text[self.words.peek().at.clone()].to_vec())
                }
                Is::Raw => {
                    let at = self.words.peek().at.clone();
                    Value::Is(self.text[at.start + 1..at.end - 1].to_vec())
                }
                Is::Dollar => {
                    end = Some(self.variable()?);
                    value = Value::Depends;
                    continue;
                }
                Is::Open => {
                    self.words.take();
                    let (inner, after) = self.quoted()?;
                    end = Some(after);
                    value = value.and(inner);
                    continue;
                }
                _ => break,
            };
            end = Some(self.words.take().at.end);
            value = value.and(more);
        }
        end.map(|end| (value, end)).ok_or(Unexpected)
    }

    /// What stands between double quotes; the first one is taken.
    fn quoted(&mut self) -> Result<(Value, usize), Unexpected> {
        let mut value = Value::Is(Vec::new());
        loop {
            match self.words.peek().is {
                Is::Quoted => {
                    let at = self.words.take().at;
                    value = value.and(Value::Is(unescaped(&self.text[at])));
                }
                Is::Dollar => {
                    self.variable()?;
                    value = Value::Depends;
                }
                Is::Close => return Ok((value, self.words.take().at.end)),
                _ => return Err(Unexpected),
            }
        }
    }

    fn variable(&mut self) -> Result<usize, Unexpected> {
        self.words.one(Is::Dollar).ok_or(Unexpected)?;
        self.words.one(Is::Variable).ok_or(Unexpected)?;
        let end = self.words.one(Is::DollarEnd).ok_or(Unexpected)?;
        Ok(end.at.end)
    }

    /// A section that begins with PATH or HOST, in any case, is for one path or host. Of any other PHP takes no notice.
    fn scope_of(&mut self, name: &[u8]) {
        self.loads = true;
        let Some((kind, key)) = name.split_at_checked(4) else {
            return;
        };
        let is_path = kind.eq_ignore_ascii_case(b"PATH");
        if !is_path && !kind.eq_ignore_ascii_case(b"HOST") {
            return;
        }
        self.loads = false;
        if key.is_empty() {
            return;
        }
        let from = key.iter().take_while(|b| b"= \t".contains(b)).count();
        let slashes = key.iter().rev().take_while(|b| b"/\\".contains(b)).count();
        let key = key.get(from..key.len() - slashes).unwrap_or_default();
        let key = if is_path {
            key.to_vec()
        } else {
            key.to_ascii_lowercase()
        };
        let kind = kind.to_ascii_uppercase();
        self.scope = Scope::Only([&kind, &b"="[..], &key].concat());
    }
}

/// The line of a place, from 1 on.
fn line_of(text: &[u8], at: usize) -> usize {
    1 + lines_in(text.get(..at).unwrap_or(text))
}

/// How many ends of lines there are: LF, CR LF, or CR alone.
fn lines_in(text: &[u8]) -> usize {
    let ends = |pair: &&[u8]| pair[0] == b'\n' || pair[0] == b'\r' && pair.get(1) != Some(&b'\n');
    let last = text.last().is_some_and(|b| b"\r\n".contains(b));
    text.windows(2).filter(|pair| ends(pair)).count() + usize::from(last)
}

/// Without blanks at both ends.
fn trim(text: &[u8]) -> &[u8] {
    let from = text.iter().take_while(|b| b" \t".contains(b)).count();
    let text = &text[from..];
    let blank = text.iter().rev().take_while(|b| b" \t\r\n".contains(b));
    &text[..text.len() - blank.count()]
}

impl Value {
    /// One text behind the other.
    fn and(self, more: Self) -> Self {
        match (self, more) {
            (Self::Is(mut one), Self::Is(more)) => {
                one.extend(more);
                Self::Is(one)
            }
            _ => Self::Depends,
        }
    }
}

/// What the backslashes between double quotes leave: only those before a double quote, an apostrophe, a dollar and
/// another backslash go.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(b'"' | b'\\' | b'\'' | b'$')) => out.extend(bytes.next()),
            (b'\\', Some(_)) => {
                out.push(byte);
                out.extend(bytes.next());
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Levels of error reporting, as PHP 5.4 to 8.3 number them.
const LEVELS: &[(&str, i32)] = &[
    ("E_ERROR", 1),
    ("E_WARNING", 2),
    ("E_PARSE", 4),
    ("E_NOTICE", 8),
    ("E_CORE_ERROR", 16),
    ("E_CORE_WARNING", 32),
    ("E_COMPILE_ERROR", 64),
    ("E_COMPILE_WARNING", 128),
    ("E_USER_ERROR", 256),
    ("E_USER_WARNING", 512),
    ("E_USER_NOTICE", 1024),
    ("E_STRICT", 2048),
    ("E_RECOVERABLE_ERROR", 4096),
    ("E_DEPRECATED", 8192),
    ("E_USER_DEPRECATED", 16384),
    ("E_ALL", 32767),
];

/// Beginnings of the names of PHP's other constants that exist when it reads its configuration.
const OF_THE_BUILD: &[&str] = &["PHP_", "ZEND_", "PEAR_", "DEFAULT_INCLUDE_PATH", "M_"];

/// What a name without quotes stands for: itself, unless PHP has a constant of this name.
fn constant(name: &[u8]) -> Value {
    let level = LEVELS.iter().find(|(level, _)| level.as_bytes() == name);
    if let Some((_, number)) = level {
        return decimal(*number);
    }
    let of_the_build = |begin: &&str| name.starts_with(begin.as_bytes());
    if OF_THE_BUILD.iter().any(of_the_build) {
        return Value::Depends;
    }
    Value::Is(name.to_vec())
}

fn decimal(number: i32) -> Value {
    Value::Is(number.to_string().into_bytes())
}

/// What an operator makes of a text: the number at its beginning, else 0.
fn number(value: &Value) -> Option<i32> {
    let Value::Is(text) = value else {
        return None;
    };
    let text = text.trim_ascii_start();
    let (sign, digits) = match text.split_first() {
        Some((b'-', rest)) => (-1_i64, rest),
        Some((b'+', rest)) => (1, rest),
        _ => (1, text),
    };
    let number = digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0_i64, |n, b| {
            n.saturating_mul(10).saturating_add(i64::from(b - b'0'))
        });
    i32::try_from(sign * number).ok()
}
