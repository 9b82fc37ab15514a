//! From offsets in a scalar's text to places in the file: through quotes, escapes, folded lines and indentation.

use std::ops::Range;

use super::{Kind, Node, Sources, Span};

/// Where a range of bytes of a scalar's text stands in the file. Where that cannot be said (the text came from
/// elsewhere), the whole scalar.
#[must_use]
pub fn locate(sources: &Sources, node: &Node, range: Range<usize>) -> Span {
    let Kind::Scalar { text, plain } = &node.kind else {
        return node.span;
    };
    let (_, file) = sources.get(node.span.file);
    let (start, end) = (node.span.start as usize, node.span.end as usize);
    let found = file
        .get(start..end)
        .filter(|_| range.start < range.end && range.end <= text.len())
        .and_then(|raw| places(raw, text, *plain))
        .and_then(|places| {
            let (first, _) = *places.get(range.start)?;
            let (_, last) = *places.get(range.end - 1)?;
            Some((first, last.max(first)))
        });
    let Some((first, last)) = found else {
        return node.span;
    };
    let at = |n: usize| node.span.start + u32::try_from(n).unwrap_or(0);
    Span {
        file: node.span.file,
        start: at(first),
        end: at(last),
    }
}

/// For each byte of `text` where in `raw` its character begins and ends; `raw` is the scalar as it stands in
/// the file. `None` where they do not belong together.
///
/// What YAML does to a scalar changes white space, escapes and doubled quotes, and nothing else: so the other
/// characters are matched one by one, and a run of white space is matched with a run.
fn places(raw: &str, text: &str, plain: bool) -> Option<Vec<(usize, usize)>> {
    let quoted = match raw.chars().next() {
        Some('\'') if !plain => aligned(single_quoted(raw), text),
        Some('"') if !plain => aligned(double_quoted(raw), text),
        _ => None,
    };
    // A block may well begin with a quote; its header is no part of its place.
    quoted.or_else(|| aligned(characters(raw), text))
}

fn aligned(signs: Vec<Sign>, text: &str) -> Option<Vec<(usize, usize)>> {
    let mut places = vec![(0, 0); text.len()];
    let mut signs = signs.into_iter().peekable();
    let mut text = text.char_indices().peekable();
    let mut end = 0;
    while let Some(&(at, c)) = text.peek() {
        if c.is_whitespace() {
            let mut run: Vec<(usize, usize)> = Vec::new();
            while let Some(sign) = signs.next_if(|s| s.means.is_whitespace()) {
                run.push((sign.at, sign.at + sign.len));
            }
            for number in 0.. {
                let Some((at, c)) = text.next_if(|(_, c)| c.is_whitespace()) else {
                    break;
                };
                let place = run
                    .get(number)
                    .or(run.last())
                    .copied()
                    .unwrap_or((end, end));
                (at..at + c.len_utf8()).for_each(|byte| places[byte] = place);
            }
            continue;
        }
        while signs.next_if(|s| s.means.is_whitespace()).is_some() {}
        let sign = signs.next().filter(|s| s.means == c)?;
        end = sign.at + sign.len;
        places[at..at + c.len_utf8()].fill((sign.at, end));
        text.next();
    }
    Some(places)
}

/// What one character of the text is written as.
struct Sign {
    at: usize,
    len: usize,
    means: char,
}

fn characters(raw: &str) -> Vec<Sign> {
    let signs = raw.char_indices().map(|(at, means)| Sign {
        at,
        len: means.len_utf8(),
        means,
    });
    signs.collect()
}

/// `''` is one quote; the outer quotes are no part of the text.
fn single_quoted(raw: &str) -> Vec<Sign> {
    let mut signs: Vec<Sign> = Vec::new();
    let mut rest = characters(raw).into_iter().skip(1);
    while let Some(mut sign) = rest.next() {
        if sign.means == '\'' {
            if rest.next().is_none() {
                break;
            }
            sign.len = 2;
        }
        signs.push(sign);
    }
    signs
}

/// Escapes of YAML 1.2, section 5.7; an escaped line end is nothing.
fn double_quoted(raw: &str) -> Vec<Sign> {
    let mut signs = Vec::new();
    let mut rest = raw.char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        if c == '"' {
            break;
        }
        if c != '\\' {
            signs.push(Sign {
                at,
                len: c.len_utf8(),
                means: c,
            });
            continue;
        }
        let Some((_, escape)) = rest.next() else {
            break;
        };
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let hex: String = (0..digits)
            .filter_map(|_| rest.next().map(|(_, c)| c))
            .collect();
        let means = match escape {
            '0' => '\0',
            'a' => '\x07',
            'b' => '\x08',
            't' => '\t',
            'n' => '\n',
            'v' => '\x0b',
            'f' => '\x0c',
            'r' => '\r',
            'e' => '\x1b',
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            'x' | 'u' | 'U' => {
                let code = u32::from_str_radix(&hex, 16).ok();
                code.and_then(char::from_u32).unwrap_or('\u{fffd}')
            }
            // The line end itself is white space and may stand for nothing.
            other => other,
        };
        signs.push(Sign {
            at,
            len: 1 + escape.len_utf8() + digits,
            means,
        });
    }
    signs
}
