//! INI files, line by line: sections, options, and where a line that is asked for goes.

use super::edit::{Edited, bare, lines};
use super::ini_file::{HasValues, IniFileArgs};
use super::lineinfile::Presence;

/// A line that is an option, or would be one without the sign that makes it a comment.
struct Opt<'a> {
    name: &'a str,
    /// `None`: there is no `=`.
    value: Option<&'a str>,
    inactive: bool,
    /// Where the name begins, and where the value does, in the line.
    name_at: usize,
    value_at: usize,
}

fn option(line: &[u8]) -> Option<Opt<'_>> {
    // What is no UTF-8 is left alone, but for its first part, which may be.
    let line = match std::str::from_utf8(bare(line)) {
        Ok(line) => line,
        Err(_) => return None,
    };
    let blank = |c: char| c == ' ' || c == '\t';
    let rest = line.trim_start_matches(blank);
    let inactive = rest.starts_with(['#', ';']);
    let rest = if inactive {
        rest[1..].trim_start_matches(blank)
    } else {
        rest
    };
    let name_at = line.len() - rest.len();
    if rest.is_empty() || rest.starts_with('[') {
        return None;
    }
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name.trim_end_matches(blank), Some(value)),
        None => (rest.trim_end(), None),
    };
    let value_at = value.map_or(name_at + name.len(), |v| {
        line.len() - v.trim_start_matches(blank).len()
    });
    Some(Opt {
        name,
        value: value.map(str::trim),
        inactive,
        name_at,
        value_at,
    })
}

/// `[name]`, with whatever blanks before it.
fn section(line: &[u8]) -> Option<&[u8]> {
    let rest = line.trim_ascii_start().strip_prefix(b"[")?;
    let end = rest.iter().position(|b| *b == b']')?;
    Some(&rest[..end])
}

/// The lines of the sections that are meant, without their heads: for each from where to where.
fn scopes(args: &IniFileArgs, all: &[Vec<u8>]) -> Vec<std::ops::Range<usize>> {
    let heads: Vec<usize> = (0..all.len())
        .filter(|n| section(&all[*n]).is_some())
        .collect();
    let Some(name) = &args.section else {
        let whole = 0..heads.first().copied().unwrap_or(all.len());
        return vec![whole];
    };
    let mut found = Vec::new();
    for (n, head) in heads.iter().enumerate() {
        let end = heads.get(n + 1).copied().unwrap_or(all.len());
        let own = section(&all[*head]) == Some(name.as_bytes());
        let has = |asked: &HasValues| {
            let lines = all[head + 1..end].iter().filter_map(|l| option(l));
            let values: Vec<Option<&str>> = lines
                .filter(|o| !o.inactive && args.same_name(o.name, &asked.option))
                .map(|o| o.value)
                .collect();
            let wanted = asked.texts();
            !values.is_empty() && wanted.iter().all(|w| values.contains(&Some(w.as_str())))
        };
        if own && args.section_has_values.iter().all(has) {
            found.push(head + 1..end);
        }
    }
    found
}

/// The end of a line, which the last one may be without.
fn end(line: &[u8]) -> &[u8] {
    &line[bare(line).len()..]
}

/// How a line ends that is put at this place.
fn newline_at(all: &[Vec<u8>], at: usize) -> &[u8] {
    let beside = all[..at].last().or(all.get(at));
    match beside.map(|line| end(line)) {
        Some(end) if !end.is_empty() => end,
        _ => all
            .iter()
            .map(|line| end(line))
            .find(|e| !e.is_empty())
            .unwrap_or(b"\n"),
    }
}

fn insert(all: &mut Vec<Vec<u8>>, at: usize, text: &str) {
    let newline = newline_at(all, at).to_vec();
    if let Some(before) = all[..at].last_mut().filter(|l| end(l).is_empty()) {
        before.extend_from_slice(&newline);
    }
    all.insert(at, [text.as_bytes(), &newline].concat());
}

fn written(args: &IniFileArgs, name: &str, value: Option<&String>) -> String {
    match value {
        None => name.to_owned(),
        Some(value) if args.no_extra_spaces => format!("{name}={value}"),
        // Without a blank at its end where the value is empty.
        Some(value) => format!("{name} = {value}").trim_end().to_owned(),
    }
}

/// The line with another value, and without the sign of a comment.
fn changed(args: &IniFileArgs, line: &[u8], value: Option<&String>) -> Vec<u8> {
    let newline = end(line).to_vec();
    let Some(is) = option(line) else {
        return line.to_vec();
    };
    let text = String::from_utf8_lossy(bare(line)).into_owned();
    let sign = text.len() - text.trim_start().len();
    let begin = if is.inactive {
        &text[..sign]
    } else {
        &text[..is.name_at]
    };
    let new = match (value, is.value) {
        (Some(value), Some(_)) => {
            let own = &text[is.name_at..is.value_at];
            // A line `name =` has no blank to be kept behind its sign.
            let blank = match is.value {
                Some("") if own.ends_with(" =") => " ",
                _ => "",
            };
            format!("{own}{blank}{value}")
        }
        _ => written(args, is.name, value),
    };
    [begin.as_bytes(), new.trim_end().as_bytes(), &newline].concat()
}

/// The file with the option in it, or without it.
pub(super) fn edit(args: &IniFileArgs, old: &[u8]) -> Edited {
    let mut all: Vec<Vec<u8>> = lines(old).into_iter().map(<[u8]>::to_vec).collect();
    let msg = match args.state {
        Presence::Present => present(args, &mut all),
        Presence::Absent => absent(args, &mut all),
    };
    Edited {
        content: all.concat(),
        msg: msg.to_owned(),
        found: None,
    }
}

/// The lines of the option within scopes.
fn own_lines(args: &IniFileArgs, all: &[Vec<u8>], name: &str) -> Vec<usize> {
    let is = |n: &usize| option(&all[*n]).is_some_and(|o| args.same_name(o.name, name));
    scopes(args, all).into_iter().flatten().filter(is).collect()
}

fn absent(args: &IniFileArgs, all: &mut Vec<Vec<u8>>) -> &'static str {
    let gone: Vec<usize> = match &args.option {
        None => scopes(args, all)
            .into_iter()
            .flat_map(|r| r.start - 1..r.end)
            .collect(),
        Some(name) => {
            let values = args.texts();
            let meant = |n: &usize| {
                option(&all[*n]).is_some_and(|o| {
                    let named = o.value.is_some_and(|v| values.iter().any(|w| w == v));
                    !o.inactive && (args.exclusive || named)
                })
            };
            own_lines(args, all, name)
                .into_iter()
                .filter(meant)
                .collect()
        }
    };
    if gone.is_empty() {
        return "";
    }
    for n in gone.into_iter().rev() {
        all.remove(n);
    }
    match args.option {
        None => "section removed",
        Some(_) => "option removed",
    }
}

fn present(args: &IniFileArgs, all: &mut Vec<Vec<u8>>) -> &'static str {
    if scopes(args, all).is_empty() {
        return new_section(args, all);
    }
    let Some(name) = &args.option else {
        return "";
    };
    let mut wanted: Vec<Option<String>> = args.texts().into_iter().map(Some).collect();
    if wanted.is_empty() {
        wanted.push(None);
    }
    let (active, inactive): (Vec<usize>, Vec<usize>) = own_lines(args, all, name)
        .into_iter()
        .partition(|n| option(&all[*n]).is_some_and(|o| !o.inactive));
    let says = |all: &[Vec<u8>], n: usize, value: &Option<String>| {
        option(&all[n]).is_some_and(|o| o.value == value.as_deref())
    };
    // Lines that say a value that is wanted, each for one.
    let mut others = Vec::new();
    for n in active {
        match wanted.iter().position(|value| says(all, n, value)) {
            Some(at) => drop(wanted.remove(at)),
            None => others.push(n),
        }
    }
    let mut msg = "";
    let mut gone = Vec::new();
    if args.exclusive {
        for n in others {
            msg = "option changed";
            if wanted.is_empty() {
                gone.push(n);
            } else {
                let value = wanted.remove(0);
                all[n] = changed(args, &all[n], value.as_ref());
            }
        }
    }
    if args.modify_inactive_option {
        let exact = |all: &[Vec<u8>], wanted: &[Option<String>]| {
            inactive.iter().find_map(|n| {
                let still = option(&all[*n]).is_some_and(|o| o.inactive);
                let at = wanted.iter().position(|value| says(all, *n, value))?;
                still.then_some((*n, at))
            })
        };
        while let Some((n, at)) = exact(all, &wanted) {
            let value = wanted.remove(at);
            all[n] = changed(args, &all[n], value.as_ref());
            msg = "option changed";
        }
        let mut left = inactive.iter().copied().filter(|_| args.exclusive);
        while !wanted.is_empty() {
            let Some(n) = left.find(|n| option(&all[*n]).is_some_and(|o| o.inactive)) else {
                break;
            };
            let value = wanted.remove(0);
            all[n] = changed(args, &all[n], value.as_ref());
            msg = "option changed";
        }
    }
    for n in gone.into_iter().rev() {
        all.remove(n);
    }
    for value in wanted {
        if let Some(scope) = scopes(args, all).pop() {
            let at = end_of(all, &scope);
            insert(all, at, &written(args, name, value.as_ref()));
            msg = "option added";
        }
    }
    msg
}

/// Behind the last line of a section that is neither empty nor a comment.
fn end_of(all: &[Vec<u8>], scope: &std::ops::Range<usize>) -> usize {
    let counts = |line: &Vec<u8>| {
        let text = line.trim_ascii();
        !text.is_empty() && !text.starts_with(b"#") && !text.starts_with(b";")
    };
    let last = all[scope.clone()].iter().rposition(counts);
    last.map_or(scope.start, |n| scope.start + n + 1)
}

fn new_section(args: &IniFileArgs, all: &mut Vec<Vec<u8>>) -> &'static str {
    let mut add = |text: String| {
        let at = all.len();
        insert(all, at, &text);
    };
    add(format!("[{}]", args.section.as_deref().unwrap_or_default()));
    for has in &args.section_has_values {
        let values: Vec<Option<String>> = match has.texts() {
            values if values.is_empty() => vec![None],
            values => values.into_iter().map(Some).collect(),
        };
        for value in values {
            add(written(args, &has.option, value.as_ref()));
        }
    }
    let Some(name) = &args.option else {
        return "section added";
    };
    let values = args.texts();
    if values.is_empty() {
        add(name.clone());
    }
    for value in &values {
        add(written(args, name, Some(value)));
    }
    "section and option added"
}
