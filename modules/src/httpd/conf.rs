//! What stands in a configuration file of Apache: its lines as the server joins them, and where each lies.
//!
//! Every byte belongs to one line, so that an edit replaces the bytes of some and leaves all others. Sources: "Configuration
//! Files" and "Configuration Sections" of the Apache HTTP Server's documentation, versions 2.2 and 2.4.

use std::ops::Range;

use super::words::words;

/// A whole file.
#[derive(Debug, Clone)]
pub struct Conf<'a> {
    /// Its bytes.
    pub text: &'a [u8],
    /// In their order.
    pub lines: Vec<Line>,
    /// The server does not take the file.
    pub broken: Option<Broken>,
}

/// Why the server does not take a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The line, from 1 on.
    pub line: usize,
    /// For people.
    pub why: String,
}

/// A line, with those that a backslash at its end joins to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its bytes, with the end of the line.
    pub at: Range<usize>,
    /// The number of its first line, from 1 on.
    pub number: usize,
    /// What it says.
    pub says: Says,
    /// The line that opens the section in which it stands; for one that closes a section, that section's.
    pub inside: Option<usize>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// Nothing: it is empty, or a comment.
    Nothing,
    /// `NAME ARGUMENTS`.
    Directive(Directive),
    /// `<NAME ARGUMENTS>`.
    Open(Directive),
    /// `</NAME>`.
    Close(String),
}

/// A name and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// As it is written; capitals do not count.
    pub name: String,
    /// What stands behind it, joined and without blanks at both ends; of a section without its `>`.
    pub rest: Vec<u8>,
    /// Cut into words as the server does, without quotes.
    pub words: Vec<String>,
}

impl Directive {
    /// Is this its name?
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl Line {
    /// The directive, where it is one.
    #[must_use]
    pub fn directive(&self, name: &str) -> Option<&Directive> {
        match &self.says {
            Says::Directive(directive) if directive.is(name) => Some(directive),
            _ => None,
        }
    }
}

impl Conf<'_> {
    /// Reads a file as the server does.
    #[must_use]
    pub fn read(text: &[u8]) -> Conf<'_> {
        let mut lines: Vec<Line> = Vec::new();
        let mut open: Vec<(usize, String)> = Vec::new();
        let mut broken = None;
        let mut number = 1;
        for (at, joined) in logical(text) {
            let mut says = said(&joined);
            let mut inside = open.last().map(|(line, _)| *line);
            match &mut says {
                Ok(Says::Open(directive)) => open.push((lines.len(), directive.name.clone())),
                Ok(Says::Close(name)) => {
                    let closes = |(_, open): &(usize, String)| open.eq_ignore_ascii_case(name);
                    if open.last().is_some_and(closes) {
                        inside = open.pop().map(|(line, _)| line);
                    } else {
                        let why = match open.last() {
                            Some((_, open)) => {
                                format!("</{name}> closes no section; <{open}> is open")
                            }
                            None => format!("</{name}> closes no section"),
                        };
                        broken.get_or_insert(Broken { line: number, why });
                    }
                }
                Ok(_) => {}
                Err(why) => {
                    broken.get_or_insert(Broken {
                        line: number,
                        why: std::mem::take(why),
                    });
                }
            }
            let ends = text[at.clone()].iter().filter(|b| **b == b'\n').count();
            lines.push(Line {
                at,
                number,
                says: says.unwrap_or(Says::Nothing),
                inside,
            });
            number += ends;
        }
        if let (Some((line, name)), None) = (open.last(), &broken) {
            broken = Some(Broken {
                line: lines[*line].number,
                why: format!("<{name}> is never closed"),
            });
        }
        Conf {
            text,
            lines,
            broken,
        }
    }

    /// The lines of a section without those that open and close it, by their places.
    #[must_use]
    pub fn section(&self, open: usize) -> Range<usize> {
        let closes = |line: &Line| matches!(line.says, Says::Close(_)) && line.inside == Some(open);
        let rest = self.lines.get(open + 1..).unwrap_or_default();
        let end = rest.iter().position(closes).unwrap_or(rest.len());
        open + 1..open + 1 + end
    }

    /// How the lines of the file end: as the first one does.
    #[must_use]
    pub fn newline(&self) -> &'static [u8] {
        let first = self.text.split_inclusive(|b| *b == b'\n').next();
        match first {
            Some(first) if first.ends_with(b"\r\n") => b"\r\n",
            _ => b"\n",
        }
    }
}

/// Lines as the server joins them: a backslash before the end of a line goes with it, in a comment, too.
fn logical(text: &[u8]) -> Vec<(Range<usize>, Vec<u8>)> {
    let mut all = Vec::new();
    let mut from = 0;
    let mut joined = Vec::new();
    let mut at = 0;
    for physical in text.split_inclusive(|b| *b == b'\n') {
        at += physical.len();
        let ended = physical
            .strip_suffix(b"\n")
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        if let Some(line) = ended.and_then(|line| line.strip_suffix(b"\\")) {
            joined.extend_from_slice(line);
            continue;
        }
        joined.extend_from_slice(physical);
        all.push((from..at, std::mem::take(&mut joined)));
        from = at;
    }
    if from < at {
        all.push((from..at, joined));
    }
    all
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn trim(text: &[u8]) -> &[u8] {
    let from = text.iter().take_while(|b| is_space(**b)).count();
    let text = &text[from..];
    let blank = text.iter().rev().take_while(|b| is_space(**b)).count();
    &text[..text.len() - blank]
}

fn said(joined: &[u8]) -> Result<Says, String> {
    let line = trim(joined);
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(Says::Nothing);
    }
    let end = line.iter().position(|b| is_space(*b)).unwrap_or(line.len());
    let name = String::from_utf8_lossy(&line[..end]).into_owned();
    let rest = trim(&line[end..]);
    if let Some(closed) = name.strip_prefix("</") {
        return match closed.strip_suffix('>') {
            Some(closed) => Ok(Says::Close(closed.to_owned())),
            None => Err(format!("{name} has no `>`")),
        };
    }
    let Some(section) = name.strip_prefix('<') else {
        return Ok(Says::Directive(directive(&name, rest)));
    };
    if let Some(bare) = section.strip_suffix('>') {
        return Ok(Says::Open(directive(bare, b"")));
    }
    // The server cuts at the last `>`.
    match rest.iter().rposition(|b| *b == b'>') {
        Some(bracket) => Ok(Says::Open(directive(section, trim(&rest[..bracket])))),
        None => Err(format!("<{section} has no `>`")),
    }
}

fn directive(name: &str, rest: &[u8]) -> Directive {
    Directive {
        name: name.to_owned(),
        rest: rest.to_vec(),
        words: words(rest),
    }
}
