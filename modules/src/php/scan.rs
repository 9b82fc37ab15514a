//! The words of a php.ini, cut exactly as PHP cuts them.
//!
//! PHP's scanner is a set of patterns per state, of which the longest match counts and of equally long ones the first;
//! so is this one. What it does with odd input is kept, since a value means what PHP makes of it: an apostrophe without
//! its partner ends a value, an unquoted `;` begins a comment wherever it stands, and some bytes end the whole file.
//!
//! Source: the PHP manual, "The configuration file" and `parse_ini_file`; PHP 8.2's own answers, with which the tests
//! compare.

use std::ops::Range;

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What it is.
    pub is: Is,
    /// Its bytes in the file, blanks that belong to it included.
    pub at: Range<usize>,
}

/// The kinds of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// `[` at the beginning of a statement.
    Section,
    /// The `]` after it.
    SectionEnd,
    /// A name before `=`.
    Label,
    /// A name and its `[`.
    Offset,
    /// The `]` after it.
    OffsetEnd,
    /// `=` with the blanks around it.
    Equals,
    /// A name that may be a constant.
    Constant,
    /// A number or other text without quotes.
    Text,
    /// Text between apostrophes.
    Raw,
    /// Blanks within a value.
    Blank,
    /// `true`, `on`, `yes`.
    True,
    /// `false`, `off`, `no`, `none`, `null`.
    False,
    /// One of `& | ^ ~ ( ) !`.
    Operator(u8),
    /// A double quote that opens.
    Open,
    /// A double quote that closes.
    Close,
    /// Text between double quotes, still with its backslashes.
    Quoted,
    /// `${`.
    Dollar,
    /// The name after it.
    Variable,
    /// The `}` after that.
    DollarEnd,
    /// The end of a line, with a comment before it.
    Line,
    /// What has no place there.
    Wrong,
    /// The end, of the file or of what PHP reads of it.
    End,
}

/// Words that mean 1, in any case.
pub const TRUE: [&str; 3] = ["true", "on", "yes"];
/// Words that mean nothing, in any case; so does `null`.
pub const FALSE: [&str; 4] = ["false", "off", "none", "no"];

/// Where in a statement the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Initial,
    Section,
    Offset,
    Value,
    Quotes,
    Variable,
}

/// Cuts words off a file, one after the other.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    state: State,
    /// The states to come back to.
    outer: Vec<State>,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn in_label(byte: u8) -> bool {
    !b"=\n\r\t;&|^$~(){}!\"[".contains(&byte)
}

fn in_value(byte: u8) -> bool {
    !b"$= \t\n\r;&|^~()!\"'\0".contains(&byte)
}

fn in_section(byte: u8) -> bool {
    !b"$\n\r;\"']\\".contains(&byte)
}

/// How many bytes at the beginning of the text are so.
fn run(text: &[u8], so: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|b| so(**b)).count()
}

/// The length of an end of a line at the beginning.
fn newline(text: &[u8]) -> usize {
    match text {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

/// The longest match so far.
#[derive(Debug, Clone, Copy)]
struct Longest {
    is: Is,
    length: usize,
}

impl Longest {
    fn none() -> Self {
        Self {
            is: Is::End,
            length: 0,
        }
    }

    /// Of two matches of one length the one that was offered first counts.
    fn offer(&mut self, is: Is, length: usize) {
        if length > self.length {
            *self = Self { is, length };
        }
    }

    fn offer_some(&mut self, is: Is, length: Option<usize>) {
        self.offer(is, length.unwrap_or(0));
    }
}

impl<'a> Scanner<'a> {
    /// At the beginning of a file; a byte order mark is passed over.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        let mark = text.starts_with(b"\xef\xbb\xbf") && text.len() > 3;
        Self {
            text,
            at: if mark { 3 } else { 0 },
            state: State::Initial,
            outer: Vec::new(),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next word. After [`Is::End`] there is nothing more.
    pub fn next(&mut self) -> Word {
        loop {
            if self.rest().is_empty() {
                if self.state == State::Value {
                    self.state = State::Initial;
                    return self.word(Is::Line, 0);
                }
                return self.word(Is::End, 0);
            }
            if !matches!(self.state, State::Quotes | State::Variable) && self.runs_out() {
                return self.nothing_more();
            }
            let found = match self.state {
                State::Initial => self.initial(),
                State::Value => self.value(),
                State::Section => self.within(b']', Is::SectionEnd),
                State::Offset => self.within(b']', Is::OffsetEnd),
                State::Quotes => self.quotes(),
                State::Variable => self.variable(),
            };
            if let Some(found) = found {
                return found;
            }
        }
    }

    fn word(&mut self, is: Is, length: usize) -> Word {
        let from = self.at;
        self.at += length;
        Word {
            is,
            at: from..self.at,
        }
    }

    /// The end of a line with blanks and a comment before it, where there is one.
    fn line_end(&self) -> Option<usize> {
        let rest = self.rest();
        let blanks = run(rest, is_blank);
        let after = &rest[blanks..];
        let comment = match after.first() {
            Some(b';') => run(after, |b| !matches!(b, b'\r' | b'\n')),
            _ => 0,
        };
        let end = newline(&after[comment..]);
        (end > 0).then_some(blanks + comment + end)
    }

    /// Does something begin here that the file does not end: a comment without a newline behind it, an apostrophe
    /// without another one? There PHP stops to read.
    fn runs_out(&self) -> bool {
        let rest = self.rest();
        let after = &rest[run(rest, is_blank)..];
        let comment = after.first() == Some(&b';') && self.line_end().is_none();
        let is_value = self.state != State::Initial;
        let apostrophe = is_value && rest[0] == b'\'' && !rest[1..].contains(&b'\'');
        comment && !matches!(self.state, State::Section | State::Offset) || apostrophe
    }

    /// A word of these, in any case, and the blanks behind it.
    fn one_of(&self, words: &[&str]) -> Option<usize> {
        let rest = self.rest();
        let begins = |word: &&&str| {
            rest.get(..word.len())
                .is_some_and(|r| r.eq_ignore_ascii_case(word.as_bytes()))
        };
        let word = words.iter().filter(begins).max_by_key(|w| w.len())?;
        Some(word.len() + run(&rest[word.len()..], is_blank))
    }

    fn initial(&mut self) -> Option<Word> {
        let rest = self.rest();
        let label = run(rest, in_label);
        let blanks = run(rest, is_blank);
        let mut longest = Longest::none();
        longest.offer(Is::Section, usize::from(rest[0] == b'['));
        if rest.get(label) == Some(&b'[') && label > 0 {
            longest.offer(Is::Offset, label + 1 + run(&rest[label + 1..], is_blank));
        }
        longest.offer_some(Is::True, self.one_of(&TRUE));
        longest.offer_some(Is::False, self.one_of(&FALSE));
        longest.offer_some(Is::False, self.one_of(&["null"]));
        longest.offer(Is::Label, label);
        if rest.get(blanks) == Some(&b'=') {
            longest.offer(Is::Equals, blanks + 1 + run(&rest[blanks + 1..], is_blank));
        }
        let token = b":,.[]\"'()&|^+-/*=%$!~<>?@{}".contains(&rest[0]);
        longest.offer(Is::Wrong, usize::from(token));
        longest.offer(Is::Blank, blanks);
        longest.offer_some(Is::Line, self.line_end());
        match longest.is {
            Is::Section => self.state = State::Section,
            Is::Offset => self.state = State::Offset,
            Is::Equals => self.state = State::Value,
            Is::Blank => {
                self.at += longest.length;
                return None;
            }
            _ => {}
        }
        Some(self.word(longest.is, longest.length))
    }

    /// Text between apostrophes, at least one byte of it.
    fn raw(&self) -> Option<usize> {
        let rest = self.rest().strip_prefix(b"'")?;
        let inner = run(rest, |b| b != b'\'');
        (inner > 0 && rest.get(inner).is_some()).then_some(inner + 2)
    }

    fn constant(&self) -> usize {
        let rest = self.rest();
        if rest[0].is_ascii_alphabetic() || rest[0] == b'_' {
            run(rest, |b| b.is_ascii_alphanumeric() || b == b'_')
        } else {
            0
        }
    }

    /// `-1`, `12`, `1.5`, `.5`, `1.`; a sign only before a whole number.
    fn number(&self) -> usize {
        let rest = self.rest();
        let digits = |text: &[u8]| run(text, |b| b.is_ascii_digit());
        let sign = usize::from(rest[0] == b'-');
        let whole = match digits(&rest[sign..]) {
            0 => 0,
            n => n + sign,
        };
        let before = digits(rest);
        let decimal = match rest.get(before) {
            Some(b'.') => match (before, digits(&rest[before + 1..])) {
                (0, 0) => 0,
                (_, after) => before + 1 + after,
            },
            _ => 0,
        };
        whole.max(decimal)
    }

    /// Text of these bytes and of dollars that begin no `${`; with `escapes` also of a backslash and any byte behind it.
    fn text(&self, so: fn(u8) -> bool, escapes: bool) -> usize {
        let rest = self.rest();
        let mut at = 0;
        loop {
            at += match &rest[at..] {
                [b'$', b'{' | b'\0', ..] | [b'$'] | [] => return at,
                [b'$', _, ..] => 2,
                [b'\\', _, ..] if escapes => 2,
                [byte, ..] if so(*byte) => 1,
                _ => return at,
            };
        }
    }

    fn begin(&mut self, state: State) {
        self.outer.push(self.state);
        self.state = state;
    }

    fn end(&mut self) {
        self.state = self.outer.pop().unwrap_or(State::Initial);
    }

    fn value(&mut self) -> Option<Word> {
        let rest = self.rest();
        let blanks = run(rest, is_blank);
        let mut longest = Longest::none();
        longest.offer_some(Is::Raw, self.raw());
        longest.offer(Is::Dollar, if rest.starts_with(b"${") { 2 } else { 0 });
        longest.offer_some(Is::True, self.one_of(&TRUE));
        longest.offer_some(Is::False, self.one_of(&FALSE));
        longest.offer_some(Is::False, self.one_of(&["null"]));
        longest.offer_some(Is::Line, self.line_end());
        longest.offer(Is::Constant, self.constant());
        longest.offer(Is::Text, self.number());
        if b"&|^~()!".contains(&rest[0]) {
            longest.offer(Is::Operator(rest[0]), 1 + run(&rest[1..], is_blank));
        }
        if rest[0] == b'=' {
            // The value ends before it, and no statement begins with it.
            self.state = State::Initial;
            return Some(self.word(Is::Line, 0));
        }
        longest.offer(Is::Text, self.text(in_value, false));
        if rest.get(blanks) == Some(&b'"') {
            longest.offer(Is::Open, blanks + 1);
        }
        longest.offer(Is::Blank, blanks);
        match longest.is {
            Is::Dollar => self.begin(State::Variable),
            Is::Open => self.begin(State::Quotes),
            Is::Line => self.state = State::Initial,
            Is::End => {
                // Any other byte ends the value and is gone.
                self.state = State::Initial;
                return Some(self.word(Is::Line, 1));
            }
            _ => {}
        }
        Some(self.word(longest.is, longest.length))
    }

    /// The name of a section, or what stands between the brackets after a name.
    fn within(&mut self, bracket: u8, end: Is) -> Option<Word> {
        let rest = self.rest();
        let blanks = run(rest, is_blank);
        let mut longest = Longest::none();
        longest.offer_some(Is::Raw, self.raw());
        if end == Is::SectionEnd && rest[0] == bracket {
            let blanks = run(&rest[1..], is_blank);
            longest.offer(end, 1 + blanks + newline(&rest[1 + blanks..]));
        }
        if end == Is::OffsetEnd && rest.get(blanks) == Some(&bracket) {
            longest.offer(end, blanks + 1);
        }
        longest.offer(Is::Dollar, if rest.starts_with(b"${") { 2 } else { 0 });
        longest.offer(Is::Constant, self.constant());
        longest.offer(Is::Text, self.number());
        longest.offer(Is::Text, self.text(in_section, true));
        if rest.get(blanks) == Some(&b'"') {
            longest.offer(Is::Open, blanks + 1);
        }
        longest.offer(Is::Blank, blanks);
        match longest.is {
            Is::Dollar => self.begin(State::Variable),
            Is::Open => self.begin(State::Quotes),
            is if is == end => self.state = State::Initial,
            Is::End => return Some(self.nothing_more()),
            _ => {}
        }
        Some(self.word(longest.is, longest.length))
    }

    fn quotes(&mut self) -> Option<Word> {
        let rest = self.rest();
        if rest.starts_with(b"${") {
            self.begin(State::Variable);
            return Some(self.word(Is::Dollar, 2));
        }
        if rest[0] == b'"' {
            self.end();
            return Some(self.word(Is::Close, 1 + run(&rest[1..], is_blank)));
        }
        let mut at = 0;
        while at < rest.len() {
            match &rest[at..] {
                [b'"', ..] | [b'$', b'{', ..] => break,
                // The last backslash of a Windows path: what follows it closes the value.
                [b'\\', b'"'] | [b'\\', b'"', b'\r' | b'\n', ..] => {
                    at += 1;
                    break;
                }
                [b'\\', _, ..] => at += 2,
                _ => at += 1,
            }
        }
        Some(self.word(Is::Quoted, at))
    }

    fn variable(&mut self) -> Option<Word> {
        let rest = self.rest();
        if rest[0] == b'}' {
            self.end();
            return Some(self.word(Is::DollarEnd, 1));
        }
        match run(rest, in_label) {
            0 => Some(self.nothing_more()),
            name => Some(self.word(Is::Variable, name)),
        }
    }

    /// PHP reads no further.
    fn nothing_more(&mut self) -> Word {
        let word = self.word(Is::End, 0);
        self.at = self.text.len();
        self.state = State::Initial;
        word
    }
}
