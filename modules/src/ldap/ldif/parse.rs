//! Reading LDIF.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Operation, Problem, Record, RecordChange, Value, Verb};
use crate::ldap::dn::{Dn, Rdn};
use crate::ldap::octets::Octets;

/// Reads all records of a text. Either every record is understood or every mistake is given.
///
/// # Errors
/// All mistakes of the text, in the order of their lines.
pub fn parse(text: &[u8]) -> Result<Vec<Record>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut records = Vec::new();
    for (index, block) in blocks(text, &mut problems).iter().enumerate() {
        let mut lines = block.as_slice();
        if index == 0 {
            lines = version(lines, &mut problems);
        }
        if lines.is_empty() {
            continue;
        }
        match record(lines) {
            Ok(record) => records.push(record),
            Err(found) => problems.extend(found),
        }
    }
    problems.sort_by_key(|p| p.line);
    if problems.is_empty() {
        Ok(records)
    } else {
        Err(problems)
    }
}

/// A line with its continuations joined.
struct Line {
    number: usize,
    last: usize,
    bytes: Vec<u8>,
}

/// The lines between blank lines, comments left out, continuations joined.
fn blocks(text: &[u8], problems: &mut Vec<Problem>) -> Vec<Vec<Line>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut blocks = vec![Vec::<Line>::new()];
    let mut in_comment = false;
    for (index, raw) in text.split(|b| *b == b'\n').enumerate() {
        let number = index + 1;
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        match raw.first() {
            None => {
                in_comment = false;
                if blocks.last().is_some_and(|b| !b.is_empty()) {
                    blocks.push(Vec::new());
                }
            }
            Some(b' ') if in_comment => {}
            Some(b' ') => match blocks.last_mut().and_then(|b| b.last_mut()) {
                Some(line) => {
                    line.bytes.extend_from_slice(&raw[1..]);
                    line.last = number;
                }
                None if raw.iter().all(|b| *b == b' ' || *b == b'\t') => {}
                None => problems.push(Problem {
                    line: number,
                    message: "a line that starts with a blank continues the line above, and there is none; \
                              remove the blank"
                        .to_owned(),
                }),
            },
            Some(b'#') => in_comment = true,
            Some(_) => {
                in_comment = false;
                if let Some(block) = blocks.last_mut() {
                    block.push(Line { number, last: number, bytes: raw.to_vec() });
                }
            }
        }
    }
    blocks.retain(|b| !b.is_empty());
    blocks
}

/// Takes `version: 1` off the first block.
fn version<'a>(lines: &'a [Line], problems: &mut Vec<Problem>) -> &'a [Line] {
    let Some((first, rest)) = lines.split_first() else {
        return lines;
    };
    let Ok((name, value)) = attribute(first) else {
        return lines;
    };
    if !name.eq_ignore_ascii_case("version") {
        return lines;
    }
    if value != Value::Given(Octets::from("1")) {
        problems.push(Problem {
            line: first.number,
            message: "this version of LDIF is not known; only `version: 1` is".to_owned(),
        });
    }
    rest
}

/// `name: value`, `name:: base64` or `name:< URL`.
fn attribute(line: &Line) -> Result<(String, Value), Problem> {
    let problem = |message: String| Problem {
        line: line.number,
        message,
    };
    let shown = || Octets::from(line.bytes.as_slice()).shown();
    let Some(colon) = line.bytes.iter().position(|b| *b == b':') else {
        return Err(problem(format!(
            "`{}` has no colon; write `attribute: value`, or begin the line with a blank where it continues the one \
             above",
            shown()
        )));
    };
    let name = String::from_utf8_lossy(&line.bytes[..colon]).into_owned();
    if !is_attribute(&name) {
        return Err(problem(format!("`{name}` is no name of an attribute")));
    }
    let rest = &line.bytes[colon + 1..];
    let trimmed = |bytes: &[u8]| {
        let start = bytes.iter().position(|b| *b != b' ').unwrap_or(bytes.len());
        bytes[start..].to_vec()
    };
    match rest.first() {
        Some(b':') => {
            let mut code = trimmed(&rest[1..]);
            while code.last().is_some_and(u8::is_ascii_whitespace) {
                code.pop();
            }
            STANDARD
                .decode(&code)
                .map(|bytes| (name.clone(), Value::Given(Octets::from(bytes))))
                .map_err(|e| {
                    problem(format!(
                        "the value of `{name}` is no base64 ({e}); encode it again"
                    ))
                })
        }
        Some(b'<') => {
            let url = String::from_utf8_lossy(&trimmed(&rest[1..]))
                .trim_end()
                .to_owned();
            let path = match url.get(..5) {
                Some(scheme) if scheme.eq_ignore_ascii_case("file:") => &url[5..],
                _ => {
                    return Err(problem(format!(
                        "`{url}` is no file URL; write `{name}:< file:NAME`, NAME as seen from the LDIF's folder"
                    )));
                }
            };
            let path = path
                .strip_prefix("//localhost")
                .or_else(|| path.strip_prefix("//"))
                .unwrap_or(path);
            match percent_decoded(path) {
                Some(path) if !path.is_empty() => Ok((
                    name,
                    Value::File {
                        path,
                        line: line.number,
                    },
                )),
                _ => Err(problem(format!("`{url}` names no file"))),
            }
        }
        _ => Ok((name, Value::Given(Octets::from(trimmed(rest))))),
    }
}

/// RFC 4512 `attributedescription`: a name or number, and options.
fn is_attribute(name: &str) -> bool {
    let mut parts = name.split(';');
    let base = parts.next().unwrap_or_default();
    let word = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let named = base.starts_with(|c: char| c.is_ascii_alphabetic()) && word(base);
    let numbered = base.starts_with(|c: char| c.is_ascii_digit())
        && base
            .split('.')
            .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    (named || numbered) && parts.all(word)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let pair = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Reads the lines of one record.
fn record(lines: &[Line]) -> Result<Record, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut parsed = Vec::with_capacity(lines.len());
    for line in lines {
        if line.bytes == b"-" {
            parsed.push(Part {
                line: line.number,
                item: None,
            });
            continue;
        }
        match attribute(line) {
            Ok(item) => parsed.push(Part {
                line: line.number,
                item: Some(item),
            }),
            Err(problem) => problems.push(problem),
        }
    }
    let start = lines.first().map_or(0, |l| l.number);
    let end = lines.last().map_or(start, |l| l.last);
    let dn = match parsed.first() {
        Some(Part {
            line,
            item: Some((name, value)),
        }) if name.eq_ignore_ascii_case("dn") => match text_of(value) {
            Some(dn) => {
                if let Err(e) = Dn::parse(&dn) {
                    problems.push(Problem {
                        line: *line,
                        message: format!("`{dn}` is no distinguished name: {e}"),
                    });
                }
                dn
            }
            None => {
                problems.push(Problem {
                    line: *line,
                    message: "the name after `dn:` is no text".to_owned(),
                });
                String::new()
            }
        },
        first => {
            // Mistakes inside a record that is none would only hide this one.
            let what = match first {
                Some(Part {
                    item: Some((name, _)),
                    ..
                }) => format!("here stands `{name}:`"),
                _ => "here stands something else".to_owned(),
            };
            return Err(vec![Problem {
                line: start,
                message: format!(
                    "a record begins with `dn:`, {what}; ldapmodify would skip these {} lines without a word. \
                     Write `dn: …` in this line",
                    end + 1 - start
                ),
            }]);
        }
    };
    let body = &parsed[1..];
    if let Some(again) = body
        .iter()
        .find(|p| p.name().is_some_and(|n| n.eq_ignore_ascii_case("dn")))
    {
        problems.push(Problem {
            line: again.line,
            message: "`dn:` stands inside a record; put a wholly empty line before it".to_owned(),
        });
        return Err(problems);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let change = change(body, start, &mut problems);
    match change {
        Some(change) if problems.is_empty() => Ok(Record {
            dn,
            line: start,
            end,
            change,
        }),
        _ => Err(problems),
    }
}

/// One line of a record; `item` is none for a `-`.
struct Part {
    line: usize,
    item: Option<(String, Value)>,
}

impl Part {
    fn name(&self) -> Option<&str> {
        self.item.as_ref().map(|(n, _)| n.as_str())
    }
    fn is(&self, name: &str) -> bool {
        self.name().is_some_and(|n| n.eq_ignore_ascii_case(name))
    }
}

fn text_of(value: &Value) -> Option<String> {
    value.octets()?.text().map(str::to_owned)
}

fn verb(name: &str) -> Option<Verb> {
    match name.to_ascii_lowercase().as_str() {
        "add" => Some(Verb::Add),
        "delete" => Some(Verb::Delete),
        "replace" => Some(Verb::Replace),
        _ => None,
    }
}

fn change(body: &[Part], start: usize, problems: &mut Vec<Problem>) -> Option<RecordChange> {
    let mut body = body;
    if let Some(first) = body.first().filter(|p| p.is("control")) {
        problems.push(Problem {
            line: first.line,
            message: "`control:` lines are not supported; remove the line".to_owned(),
        });
        return None;
    }
    let Some(first) = body.first() else {
        problems.push(Problem {
            line: start,
            message: "the record says nothing but its `dn:`".to_owned(),
        });
        return None;
    };
    let kind = if first.is("changetype") {
        body = &body[1..];
        let text = first
            .item
            .as_ref()
            .and_then(|(_, v)| text_of(v))
            .unwrap_or_default();
        (first.line, text.trim().to_ascii_lowercase())
    } else if first.name().and_then(verb).is_some() || first.is("increment") {
        (first.line, "modify".to_owned())
    } else {
        (first.line, "add".to_owned())
    };
    match kind.1.as_str() {
        "add" => add(body, start, problems),
        "modify" => modify(body, problems),
        "delete" => {
            for part in body {
                problems.push(Problem {
                    line: part.line,
                    message: "nothing may follow `changetype: delete`; put an empty line before the next record"
                        .to_owned(),
                });
            }
            Some(RecordChange::Delete)
        }
        "modrdn" | "moddn" => rename(body, kind.0, problems),
        other => {
            problems.push(Problem {
                line: kind.0,
                message: format!(
                    "`{other}` is no changetype; write add, delete, modify, modrdn or moddn"
                ),
            });
            None
        }
    }
}

fn add(body: &[Part], start: usize, problems: &mut Vec<Problem>) -> Option<RecordChange> {
    let mut attributes: Vec<(String, Vec<Value>)> = Vec::new();
    for part in body {
        match &part.item {
            Some((name, value)) => match attributes.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
                Some((_, values)) => values.push(value.clone()),
                None => attributes.push((name.clone(), vec![value.clone()])),
            },
            None => problems.push(Problem {
                line: part.line,
                message: "`-` has no place in an entry that is added; remove the line, or write `changetype: modify`"
                    .to_owned(),
            }),
        }
    }
    if attributes.is_empty() {
        problems.push(Problem {
            line: start,
            message: "an entry without attributes cannot be added".to_owned(),
        });
        return None;
    }
    Some(RecordChange::Add(attributes))
}

fn modify(body: &[Part], problems: &mut Vec<Problem>) -> Option<RecordChange> {
    let mut operations: Vec<Operation> = Vec::new();
    let mut open = false;
    for part in body {
        let Some((name, value)) = &part.item else {
            open = false;
            continue;
        };
        if !open {
            let Some(verb) = verb(name) else {
                let message = if name.eq_ignore_ascii_case("increment") {
                    "`increment:` is not supported; write `replace:` with the new value".to_owned()
                } else {
                    format!("`{name}:` stands where `add:`, `delete:` or `replace:` is due")
                };
                problems.push(Problem {
                    line: part.line,
                    message,
                });
                return None;
            };
            match text_of(value)
                .map(|t| t.trim().to_owned())
                .filter(|t| is_attribute(t))
            {
                Some(attribute) => {
                    operations.push(Operation {
                        verb,
                        attribute,
                        values: Vec::new(),
                        line: part.line,
                    });
                    open = true;
                }
                None => {
                    problems.push(Problem {
                        line: part.line,
                        message: format!(
                            "`{name}:` is followed by the name of an attribute, alone"
                        ),
                    });
                    return None;
                }
            }
            continue;
        }
        if let Some(operation) = operations.last_mut() {
            if operation.attribute.eq_ignore_ascii_case(name) {
                operation.values.push(value.clone());
            } else {
                problems.push(Problem {
                    line: part.line,
                    message: format!(
                        "`{name}:` stands among the values of `{}`; a line with `-` alone ends an operation",
                        operation.attribute
                    ),
                });
                return None;
            }
        }
    }
    for operation in &operations {
        if operation.verb == Verb::Add && operation.values.is_empty() {
            problems.push(Problem {
                line: operation.line,
                message: format!("`add: {}` is followed by no value", operation.attribute),
            });
        }
    }
    Some(RecordChange::Modify(operations))
}

fn rename(body: &[Part], line: usize, problems: &mut Vec<Problem>) -> Option<RecordChange> {
    let mut new_rdn = None;
    let mut delete_old = None;
    let mut new_superior = None;
    for part in body {
        let text = part
            .item
            .as_ref()
            .and_then(|(_, v)| text_of(v))
            .unwrap_or_default();
        if part.is("newrdn") && new_rdn.is_none() {
            if let Err(e) = Rdn::parse(&text) {
                problems.push(Problem {
                    line: part.line,
                    message: format!("`{text}` is no relative name: {e}"),
                });
            }
            new_rdn = Some(text);
        } else if part.is("deleteoldrdn") && delete_old.is_none() {
            match text.trim() {
                "0" => delete_old = Some(false),
                "1" => delete_old = Some(true),
                _ => {
                    problems.push(Problem {
                        line: part.line,
                        message: "`deleteoldrdn:` is 0 or 1".to_owned(),
                    });
                    delete_old = Some(false);
                }
            }
        } else if part.is("newsuperior") && new_superior.is_none() {
            if let Err(e) = Dn::parse(&text) {
                problems.push(Problem {
                    line: part.line,
                    message: format!("`{text}` is no distinguished name: {e}"),
                });
            }
            new_superior = Some(text);
        } else {
            problems.push(Problem {
                line: part.line,
                message: "a rename takes `newrdn:`, `deleteoldrdn:` and `newsuperior:`, each once"
                    .to_owned(),
            });
        }
    }
    match (new_rdn, delete_old) {
        (Some(new_rdn), Some(delete_old)) => Some(RecordChange::Rename {
            new_rdn,
            delete_old,
            new_superior,
        }),
        (None, _) => {
            problems.push(Problem {
                line,
                message: "the rename has no `newrdn:`".to_owned(),
            });
            None
        }
        (_, None) => {
            problems.push(Problem {
                line,
                message: "the rename has no `deleteoldrdn:`".to_owned(),
            });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records in a short form, one a line; problems as `line: first words`.
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = match parse(text.as_bytes()) {
            Ok(records) => records.iter().map(short).collect(),
            Err(problems) => problems
                .iter()
                .map(|p| format!("!{} {}", p.line, p.message))
                .collect(),
        };
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (f, e) in found.iter().zip(expected) {
            assert!(
                if e.starts_with('!') {
                    f.starts_with(e)
                } else {
                    f == e
                },
                "{f:?} is not {e:?}"
            );
        }
    }

    fn values(values: &[Value]) -> String {
        let shown: Vec<String> = values
            .iter()
            .map(|v| match v {
                Value::Given(o) => o.shown(),
                Value::File { path, .. } => format!("<{path}"),
            })
            .collect();
        shown.join("|")
    }

    fn short(r: &Record) -> String {
        let what = match &r.change {
            RecordChange::Add(attributes) => {
                let list: Vec<String> = attributes
                    .iter()
                    .map(|(n, v)| format!("{n}={}", values(v)))
                    .collect();
                format!("add {}", list.join(" "))
            }
            RecordChange::Delete => "delete".to_owned(),
            RecordChange::Modify(operations) => {
                let list: Vec<String> = operations
                    .iter()
                    .map(|o| format!("{:?} {}={}", o.verb, o.attribute, values(&o.values)))
                    .collect();
                list.join("; ")
            }
            RecordChange::Rename {
                new_rdn,
                delete_old,
                new_superior,
            } => {
                format!("rename {new_rdn} {delete_old} {new_superior:?}")
            }
        };
        format!("{}-{} {}: {what}", r.line, r.end, r.dn)
    }

    #[test]
    fn entries_and_changes() {
        check(
            "dn: cn=a\ncn: a\nobjectClass: top\nobjectclass: person",
            &["1-4 cn=a: add cn=a objectClass=top|person"],
        );
        check(
            "version: 1\n\ndn: cn=a\nchangetype: delete\n",
            &["3-4 cn=a: delete"],
        );
        check(
            "version: 1\ndn: cn=a\nchangeType: DELETE",
            &["2-3 cn=a: delete"],
        );
        check(
            "dn: cn=a\r\nadd: x\r\nx: 1\r\n-\r\n",
            &["1-4 cn=a: Add x=1"],
        );
        check(
            "dn: cn=a\nchangetype: modify\ndelete: x\n-\ndelete: y\ny: 1\ny: 2\n-\nreplace: z\nz: 3",
            &["1-10 cn=a: Delete x=; Delete y=1|2; Replace z=3"],
        );
        check(
            "dn: cn=a\nreplace: x\nx: 1\n-\nreplace: x\n",
            &["1-5 cn=a: Replace x=1; Replace x="],
        );
        check(
            "dn: cn=a\nchangetype: moddn\nnewrdn: cn=b\ndeleteoldrdn: 1\nnewsuperior: o=x\n",
            &["1-5 cn=a: rename cn=b true Some(\"o=x\")"],
        );
    }

    #[test]
    fn values_folds_and_comments() {
        check(
            "dn: cn=a,\n o=b\ncn:: YQ==\n# no\n  comment: x\nx:   1 \n",
            &["1-6 cn=a,o=b: add cn=a x=1 "],
        );
        check(
            "dn: cn=a\nx:< file:some%20file.zip\n",
            &["1-2 cn=a: add x=<some file.zip"],
        );
        check(
            "dn: cn=a\nx:< file:///etc/x\n",
            &["1-2 cn=a: add x=</etc/x"],
        );
        check("\n\n\ndn:: Y249w6Q=\nx:\n\n\n", &["4-5 cn=ä: add x="]);
        check(
            "dn: cn=a\nx;lang-de: 1\n2.5.4.3: a",
            &["1-3 cn=a: add x;lang-de=1 2.5.4.3=a"],
        );
        check("", &[]);
        check("version: 1\n", &[]);
    }

    #[test]
    fn mistakes_are_all_found_with_their_lines() {
        check(
            "dn: cn=a\nx: 1\n\ncn: cn=b\nx: 1\n",
            &["!4 a record begins with `dn:`, here stands `cn:`"],
        );
        check(
            "dn: cn=a\nx\n\ndn: b\nx: 1\n",
            &["!2 `x` has no colon", "!4 `b` is no distinguished name"],
        );
        check("dn: cn=a\nx:: %%\n", &["!2 the value of `x` is no base64"]);
        check(
            "dn: cn=a\nchangetype: modify\nadd: x\ny: 1\n",
            &["!4 `y:` stands among the values of `x`"],
        );
        check(
            "dn: cn=a\nchangetype: modify\nadd: x\n",
            &["!3 `add: x` is followed by no value"],
        );
        check(
            "dn: cn=a\nchangetype: mod\nadd: x\n",
            &["!2 `mod` is no changetype"],
        );
        check(
            "dn: cn=a\nchangetype: delete\ndn: cn=b\nx: 1\n",
            &["!3 `dn:` stands inside a record"],
        );
        check("dn: cn=a\n", &["!1 the record says nothing"]);
        check(
            "version: 2\n\ndn: cn=a\nx: 1\n",
            &["!1 this version of LDIF"],
        );
        check(
            "dn: cn=a\nx:< http://x/\n",
            &["!2 `http://x/` is no file URL"],
        );
        check(
            " dn: cn=a\nx: 1\n",
            &["!1 a line that starts with a blank", "!2 a record begins"],
        );
        check(
            "dn: cn=a\nchangetype: modrdn\nnewrdn: b\ndeleteoldrdn: 2\n",
            &["!3 `b` is no", "!4 `deleteoldrdn:`"],
        );
    }
}
