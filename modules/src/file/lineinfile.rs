//! The module `lineinfile`: one line of a file.

use regex::bytes::Regex;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;
use super::edit::{Edited, Frame, bare, ending, lines, matches};
use super::pattern::{self, compile, expand};
use super::target::check_validator;

/// Arguments of `lineinfile`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineInFileArgs {
    /// The absolute path of the file. A link is followed. Also written `dest`, `destfile` or `name`.
    #[serde(alias = "dest", alias = "destfile", alias = "name")]
    pub path: String,
    /// The line to be. Also written `value`.
    #[serde(alias = "value")]
    pub line: Option<String>,
    /// Whether the line shall be there: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
    /// The last line in which this regular expression is found is replaced by `line`; with `state: absent` every one
    /// goes. Also written `regex`.
    #[serde(alias = "regex")]
    pub regexp: Option<String>,
    /// As `regexp`, for a literal text.
    pub search_string: Option<String>,
    /// Where nothing is found to replace: after the last line in which this regular expression is found, or `BOF`,
    /// or `EOF`. Default: EOF.
    pub insertafter: Option<String>,
    /// Where nothing is found to replace: before the last line in which this regular expression is found, or `BOF`.
    pub insertbefore: Option<String>,
    /// `\1` and its like in `line` are what the groups of `regexp` found; without a match nothing is done.
    /// Default: no.
    #[serde(default)]
    pub backrefs: bool,
    /// The first match counts in place of the last. Default: no.
    #[serde(default)]
    pub firstmatch: bool,
    /// Make the file, and the directories above it, where it is missing. Default: no.
    #[serde(default)]
    pub create: bool,
    /// Keep the file as it was beside it, as `NAME.HASH~`. Default: no.
    #[serde(default)]
    pub backup: bool,
    /// A command that checks the new file before it takes its place; `%s` is its path.
    pub validate: Option<String>,
    /// Permission bits of the file.
    pub mode: Option<Mode>,
    /// Owner, name or number.
    pub owner: Option<String>,
    /// Group, name or number.
    pub group: Option<String>,
}

/// Whether something shall be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It shall.
    #[default]
    Present,
    /// It shall not.
    Absent,
}

/// The module.
pub struct LineInFile;

impl Module for LineInFile {
    type Args = LineInFileArgs;
    const NAME: &'static str = "lineinfile";
    const SUMMARY: &'static str = "Sees to one line of a file.";
    const DOC: &'static str = r#"
```yaml
- lineinfile: {path: /etc/ssh/sshd_config, regexp: '^#?PermitRootLogin', line: PermitRootLogin no,
               validate: sshd -t -f %s}
- lineinfile: {path: /etc/hosts, line: 192.0.2.7 archive}
- lineinfile: {path: /etc/fstab, regexp: '^/dev/sdb1\s', state: absent}
```

It decides as Ansible's does, and keeps every byte that it was not asked to change: a file whose lines end in CR LF gets
lines that do, a last line without an end stays so unless something follows it. Look ahead, look behind and references
to groups within `regexp` are not supported and refused before the run.

**Check mode** predicts the file exactly. **Way back**: all of it.
"#;
    const PATHS: &'static [&'static str] = &["path", "dest", "destfile", "name"];

    fn validate(args: &LineInFileArgs) -> Result<(), String> {
        if args.insertafter.is_some() && args.insertbefore.is_some() {
            return Err("`insertafter` and `insertbefore` exclude each other".to_owned());
        }
        if args.regexp.is_some() && args.search_string.is_some() {
            return Err("`regexp` and `search_string` exclude each other".to_owned());
        }
        if args.backrefs && args.regexp.is_none() {
            return Err("`backrefs` needs `regexp`".to_owned());
        }
        match args.state {
            Presence::Present if args.line.is_none() => {
                return Err("`line` is missing".to_owned());
            }
            Presence::Absent
                if args.line.is_none() && args.regexp.is_none() && args.search_string.is_none() =>
            {
                return Err("`line`, `regexp` or `search_string` must say what shall go".to_owned());
            }
            _ => {}
        }
        finder(args)?;
        place(args)?;
        check_validator(args.validate.as_ref())
    }

    fn touches(args: &LineInFileArgs) -> Footprint {
        frame(args).touches()
    }

    fn want(args: &LineInFileArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        frame(args).want(world, |old| edit(args, old))
    }
}

fn frame(args: &LineInFileArgs) -> Frame<'_> {
    Frame {
        path: &args.path,
        create: args.create && args.state == Presence::Present,
        absent_is_fine: args.state == Presence::Absent,
        made: None,
        backup: args.backup,
        validate: args.validate.as_ref(),
        mode: args.mode.as_ref(),
        owner: args.owner.as_ref(),
        group: args.group.as_ref(),
    }
}

/// What is looked for.
enum Finder<'a> {
    Pattern(Regex),
    Text(&'a [u8]),
}

impl Finder<'_> {
    fn finds(&self, line: &[u8]) -> bool {
        match self {
            Self::Pattern(pattern) => matches(pattern, line),
            Self::Text(text) => text.is_empty() || line.windows(text.len()).any(|w| w == *text),
        }
    }
}

fn finder(args: &LineInFileArgs) -> Result<Option<Finder<'_>>, String> {
    Ok(match (&args.regexp, &args.search_string) {
        (Some(regexp), _) => Some(Finder::Pattern(compile(regexp, pattern::Mode::Line)?)),
        (None, Some(text)) => Some(Finder::Text(text.as_bytes())),
        (None, None) => None,
    })
}

/// Where a new line goes.
enum Place {
    Begin,
    End,
    After(Regex),
    Before(Regex),
}

fn place(args: &LineInFileArgs) -> Result<Place, String> {
    Ok(
        match (args.insertafter.as_deref(), args.insertbefore.as_deref()) {
            (Some("BOF"), _) | (None, Some("BOF")) => Place::Begin,
            (Some("EOF"), _) | (None, None) => Place::End,
            (Some(after), _) => Place::After(compile(after, pattern::Mode::Line)?),
            (None, Some(before)) => Place::Before(compile(before, pattern::Mode::Line)?),
        },
    )
}

/// The file that comes of it.
fn edit(args: &LineInFileArgs, old: &[u8]) -> Result<Edited, String> {
    let finder = finder(args)?;
    // A text block of YAML ends in a newline that is no part of the line.
    let line = args.line.as_deref().map(|l| bare(l.as_bytes()));
    match args.state {
        Presence::Present => present(args, line.unwrap_or_default(), finder.as_ref(), old),
        Presence::Absent => Ok(absent(line, finder.as_ref(), old)),
    }
}

fn absent(line: Option<&[u8]>, finder: Option<&Finder<'_>>, old: &[u8]) -> Edited {
    let all = lines(old);
    let stays = |l: &&[u8]| match (finder, line) {
        (Some(finder), _) => !finder.finds(l),
        (None, Some(line)) => bare(l) != line,
        (None, None) => true,
    };
    let kept: Vec<&[u8]> = all.iter().copied().filter(stays).collect();
    let found = all.len() - kept.len();
    Edited {
        content: kept.concat(),
        msg: if found == 0 {
            String::new()
        } else {
            format!("{found} line(s) removed")
        },
        found: Some(found),
    }
}

fn present(
    args: &LineInFileArgs,
    line: &[u8],
    finder: Option<&Finder<'_>>,
    old: &[u8],
) -> Result<Edited, String> {
    let all = lines(old);
    let place = place(args)?;

    let mut hits = all
        .iter()
        .enumerate()
        .filter(|(_, l)| finder.is_some_and(|f| f.finds(l)))
        .map(|(n, _)| n);
    let hit = if args.firstmatch {
        hits.next()
    } else {
        hits.next_back()
    };
    if let Some(at) = hit {
        let new = match finder {
            Some(Finder::Pattern(pattern)) if args.backrefs => {
                let found = pattern
                    .captures(all[at])
                    .or_else(|| pattern.captures(bare(all[at])))
                    .ok_or("the line that was found is found no more")?;
                let expanded = expand(line, &found)?;
                bare(&expanded).to_vec()
            }
            _ => line.to_vec(),
        };
        return Ok(replace(&all, at, &new));
    }

    let (exact, beside) = without_match(&all, line, &place, args.firstmatch);
    if let Some(at) = exact {
        return Ok(replace(&all, at, line));
    }
    if args.backrefs {
        return Ok(Edited::nothing(old));
    }
    let at = match (&place, beside) {
        (Place::Begin, _) => 0,
        (Place::After(_), Some(at)) => {
            // What stands behind the place already is not put there again; at the end, what stands before it.
            let neighbour = all.get(at).or_else(|| all.last());
            if neighbour.is_some_and(|l| bare(l) == line) {
                return Ok(Edited::nothing(old));
            }
            at
        }
        (Place::Before(_), Some(at)) => at,
        _ => all.len(),
    };
    Ok(insert(&all, at, line, ending(old)))
}

/// Where the line stands already, and the place at which it would be put. As in Ansible, with `firstmatch` nothing
/// behind the place is looked at.
fn without_match(
    all: &[&[u8]],
    line: &[u8],
    place: &Place,
    first: bool,
) -> (Option<usize>, Option<usize>) {
    let (mut exact, mut beside) = (None, None);
    for (n, l) in all.iter().enumerate() {
        if bare(l) == line {
            exact = Some(n);
            continue;
        }
        let at = match place {
            Place::After(pattern) if matches(pattern, l) => n + 1,
            Place::Before(pattern) if matches(pattern, l) => n,
            _ => continue,
        };
        beside = Some(at);
        if first {
            break;
        }
    }
    (exact, beside)
}

/// Another text in the line `at`, whose end stays.
fn replace(all: &[&[u8]], at: usize, new: &[u8]) -> Edited {
    if bare(all[at]) == new {
        return Edited::nothing(&all.concat());
    }
    let mut end = &all[at][bare(all[at]).len()..];
    if new.is_empty() && end.is_empty() {
        // An empty line at the end of a file is a line only where it has an end.
        end = ending(&all.concat());
    }
    let content = [
        &all[..at].concat()[..],
        new,
        end,
        &all[at + 1..].concat()[..],
    ]
    .concat();
    Edited {
        content,
        msg: "line replaced".to_owned(),
        found: None,
    }
}

/// A new line at `at`, with an end for the line before it where that has none.
fn insert(all: &[&[u8]], at: usize, line: &[u8], end: &[u8]) -> Edited {
    let mut content = all[..at].concat();
    if !content.is_empty() && !content.ends_with(b"\n") {
        content.extend_from_slice(end);
    }
    content.extend_from_slice(line);
    content.extend_from_slice(end);
    content.extend_from_slice(&all[at..].concat());
    Edited {
        content,
        msg: "line added".to_owned(),
        found: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(args: &str, old: &str) -> String {
        let args: LineInFileArgs =
            serde_json::from_str(&args.replacen('{', r#"{"path": "/f", "#, 1)).unwrap();
        LineInFile::validate(&args).unwrap();
        let once = edit(&args, old.as_bytes()).unwrap().content;
        let twice = edit(&args, &once).unwrap();
        assert_eq!(twice.content, once, "a second time changes it again");
        String::from_utf8(once).unwrap()
    }

    #[test]
    fn every_byte_that_was_not_meant_stays() {
        let cases = [
            (r#"{"line": "c"}"#, "a\r\nb\r\n", "a\r\nb\r\nc\r\n"),
            (r#"{"line": "c"}"#, "a\r\nb", "a\r\nb\r\nc\r\n"),
            (r#"{"line": "b"}"#, "a\r\nb\r\n", "a\r\nb\r\n"),
            (
                r#"{"regexp": "^b$", "line": "c"}"#,
                "a\r\nb\r\n",
                "a\r\nc\r\n",
            ),
            (r#"{"regexp": "^b", "line": "c"}"#, "a\nb", "a\nc"),
            (r#"{"line": "b"}"#, "a\nb", "a\nb"),
            (r#"{"line": "b", "insertafter": "^a"}"#, "a", "a\nb\n"),
            (r#"{"line": "c\n"}"#, "a\n", "a\nc\n"),
            (
                r#"{"regexp": "b", "state": "absent"}"#,
                "a\r\nb\r\nc",
                "a\r\nc",
            ),
        ];
        for (args, old, new) in cases {
            assert_eq!(run(args, old), new, "{args} on {old:?}");
        }
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        for args in [
            r#"{"path": "/f"}"#,
            r#"{"path": "/f", "line": "a", "insertafter": "x", "insertbefore": "y"}"#,
            r#"{"path": "/f", "line": "a", "regexp": "x", "search_string": "y"}"#,
            r#"{"path": "/f", "line": "a", "backrefs": true}"#,
            r#"{"path": "/f", "state": "absent"}"#,
            r#"{"path": "/f", "line": "a", "regexp": "(?!a)"}"#,
            r#"{"path": "/f", "line": "a", "validate": "true"}"#,
        ] {
            let args: LineInFileArgs = serde_json::from_str(args).unwrap();
            assert!(LineInFile::validate(&args).is_err(), "{args:?}");
        }
    }

    proptest! {
        #[test]
        fn one_line_at_most_changes(
            old in prop::collection::vec(any::<u8>(), 0..120),
            line in "[a-c]{0,3}",
            regexp in prop::option::of("[a-c^$.]{1,3}"),
            after in prop::option::of("[a-c]{1,2}"),
            firstmatch: bool,
        ) {
            let args = LineInFileArgs { line: Some(line.clone()), regexp, insertafter: after, firstmatch, ..LineInFileArgs::default() };
            let Ok(once) = edit(&args, &old) else { return Ok(()); };
            let (before, after) = (lines(&old), lines(&once.content));
            prop_assert!(after.len() >= before.len() && after.len() <= before.len() + 1);
            let same_front = before.iter().zip(&after).take_while(|(a, b)| bare(a) == bare(b)).count();
            let same_back = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| bare(a) == bare(b)).count();
            prop_assert!(same_front + same_back + 1 >= before.len());
            prop_assert!(after.iter().any(|l| bare(l) == line.as_bytes()));
        }
    }
}
