//! The module `blockinfile`: a block of lines between two markers.

use regex::bytes::Regex;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;
use super::edit::{Edited, Frame, bare, ending, lines, matches};
use super::lineinfile::Presence;
use super::pattern::{self, compile};
use super::target::check_validator;

/// Arguments of `blockinfile`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockInFileArgs {
    /// The absolute path of the file. A link is followed. Also written `dest`, `destfile` or `name`.
    #[serde(alias = "dest", alias = "destfile", alias = "name")]
    pub path: String,
    /// The lines between the markers; without any, block and markers go. Also written `content`.
    #[serde(default, alias = "content")]
    pub block: String,
    /// Whether the block shall be there: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
    /// The line before and after the block; `{mark}` becomes `marker_begin` and `marker_end`.
    /// Default: # {mark} ANSIBLE MANAGED BLOCK
    #[serde(default = "marker")]
    pub marker: String,
    /// Default: BEGIN
    #[serde(default = "begin")]
    pub marker_begin: String,
    /// Default: END
    #[serde(default = "end")]
    pub marker_end: String,
    /// A new block goes after the last line in which this regular expression is found, or to `EOF`. Default: EOF.
    pub insertafter: Option<String>,
    /// A new block goes before the last line in which this regular expression is found, or to `BOF`.
    pub insertbefore: Option<String>,
    /// An empty line before the block, unless there is one. Default: no.
    #[serde(default)]
    pub prepend_newline: bool,
    /// An empty line after the block, unless there is one. Default: no.
    #[serde(default)]
    pub append_newline: bool,
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

fn marker() -> String {
    "# {mark} ANSIBLE MANAGED BLOCK".to_owned()
}
fn begin() -> String {
    "BEGIN".to_owned()
}
fn end() -> String {
    "END".to_owned()
}

/// The module.
pub struct BlockInFile;

impl Module for BlockInFile {
    type Args = BlockInFileArgs;
    const NAME: &'static str = "blockinfile";
    const SUMMARY: &'static str = "Sees to a block of lines between two markers in a file.";
    const DOC: &'static str = r##"
```yaml
- blockinfile:
    path: /etc/hosts
    marker: "# {mark} archive hosts"
    block: |
      192.0.2.7 ldap
      192.0.2.8 db
```

It decides as Ansible's does, with the same markers, so that it takes over blocks that Ansible has written. Bytes outside
the block stay as they are; in a file whose lines end in CR LF those of the block do too.

**Check mode** predicts the file exactly. **Way back**: all of it.
"##;
    const PATHS: &'static [&'static str] = &["path", "dest", "destfile", "name"];

    fn validate(args: &BlockInFileArgs) -> Result<(), String> {
        if args.insertafter.is_some() && args.insertbefore.is_some() {
            return Err("`insertafter` and `insertbefore` exclude each other".to_owned());
        }
        if !args.marker.contains("{mark}") || args.marker_begin == args.marker_end {
            return Err("the two markers must differ: `marker` needs `{mark}` in it".to_owned());
        }
        if args.marker.trim_end_matches('\n').contains('\n') {
            return Err("`marker` must be one line".to_owned());
        }
        place(args)?;
        check_validator(args.validate.as_ref())
    }

    fn touches(args: &BlockInFileArgs) -> Footprint {
        frame(args).touches()
    }

    fn want(args: &BlockInFileArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        frame(args).want(world, |old| edit(args, old))
    }
}

fn frame(args: &BlockInFileArgs) -> Frame<'_> {
    Frame {
        path: &args.path,
        create: args.create && args.state == Presence::Present,
        absent_is_fine: args.state == Presence::Absent,
        made: Some("File created"),
        backup: args.backup,
        validate: args.validate.as_ref(),
        mode: args.mode.as_ref(),
        owner: args.owner.as_ref(),
        group: args.group.as_ref(),
    }
}

/// Where a new block goes.
enum Place {
    Begin,
    End,
    After(Regex, bool),
    Before(Regex, bool),
}

fn place(args: &BlockInFileArgs) -> Result<Place, String> {
    // A pattern that asks for it is looked for in the whole text, over several lines.
    let compiled = |text: &str| {
        let whole = text.strip_prefix("(?").is_some_and(|rest| {
            rest.split_once(')').is_some_and(|(flags, _)| {
                flags.chars().all(char::is_alphabetic) && flags.contains('m')
            })
        });
        let mode = if whole {
            pattern::Mode::Lines
        } else {
            pattern::Mode::Line
        };
        compile(text, mode).map(|regex| (regex, whole))
    };
    Ok(
        match (args.insertafter.as_deref(), args.insertbefore.as_deref()) {
            (Some("EOF"), _) | (None, None) => Place::End,
            (None, Some("BOF")) => Place::Begin,
            (Some(after), _) => {
                let (regex, whole) = compiled(after)?;
                Place::After(regex, whole)
            }
            (None, Some(before)) => {
                let (regex, whole) = compiled(before)?;
                Place::Before(regex, whole)
            }
        },
    )
}

/// The number of the line at which a new block goes.
fn at(place: &Place, old: &[u8], all: &[&[u8]]) -> usize {
    let newlines = |upto: usize| old[..upto].iter().filter(|b| **b == b'\n').count();
    let last = |pattern: &Regex| all.iter().rposition(|l| matches(pattern, l));
    let found = match place {
        Place::Begin => Some(0),
        Place::End => None,
        Place::After(pattern, true) => pattern.find(old).map(|m| newlines(m.end()) + 1),
        Place::Before(pattern, true) => pattern.find(old).map(|m| newlines(m.start())),
        Place::After(pattern, false) => last(pattern).map(|n| n + 1),
        Place::Before(pattern, false) => last(pattern),
    };
    found.map_or(all.len(), |n| n.min(all.len()))
}

fn edit(args: &BlockInFileArgs, old: &[u8]) -> Result<Edited, String> {
    let end = ending(old);
    let all = lines(old);
    let mark = |word: &str| {
        args.marker
            .trim_end_matches('\n')
            .replace("{mark}", word)
            .into_bytes()
    };
    let (first, last) = (mark(&args.marker_begin), mark(&args.marker_end));
    let present = args.state == Presence::Present;

    let mut block: Vec<Vec<u8>> = Vec::new();
    if present && !args.block.is_empty() {
        let own = |line: &[u8]| [line, end].concat();
        block.push(own(&first));
        block.extend(
            lines(args.block.as_bytes())
                .into_iter()
                .map(|l| own(bare(l))),
        );
        block.push(own(&last));
    }

    let opens = all.iter().rposition(|l| bare(l) == first);
    let closes = all.iter().rposition(|l| bare(l) == last);
    let (mut front, back, there) = match (opens, closes) {
        (Some(o), Some(c)) => (all[..o.min(c)].to_vec(), all[o.max(c) + 1..].to_vec(), true),
        _ => {
            let at = at(&place(args)?, old, &all);
            (all[..at].to_vec(), all[at..].to_vec(), false)
        }
    };
    if !there && block.is_empty() {
        return Ok(Edited::nothing(old));
    }
    // The end of a file without a last newline stays so where nothing follows the block.
    let bare_end = there && back.is_empty() && !old.ends_with(b"\n");
    let mut content = Vec::new();
    let unended = front.pop();
    content.extend_from_slice(&front.concat());
    if let Some(line) = unended {
        content.extend_from_slice(line);
        if !block.is_empty() && !line.ends_with(b"\n") {
            content.extend_from_slice(end);
        }
        if args.prepend_newline && present && !bare(line).is_empty() {
            content.extend_from_slice(end);
        }
    }
    content.extend_from_slice(&block.concat());
    if args.append_newline && present && back.first().is_some_and(|l| !bare(l).is_empty()) {
        content.extend_from_slice(end);
    }
    content.extend_from_slice(&back.concat());
    if bare_end && !block.is_empty() {
        content.truncate(content.len() - end.len());
    }
    if content == old {
        return Ok(Edited::nothing(old));
    }
    let msg = if block.is_empty() {
        "Block removed"
    } else {
        "Block inserted"
    };
    Ok(Edited {
        content,
        msg: msg.to_owned(),
        found: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &str, old: &str) -> String {
        let args: BlockInFileArgs = serde_json::from_str(&args.replacen(
            '{',
            r##"{"path": "/f", "marker": "#{mark}", "##,
            1,
        ))
        .unwrap();
        BlockInFile::validate(&args).unwrap();
        let once = edit(&args, old.as_bytes()).unwrap().content;
        assert_eq!(
            edit(&args, &once).unwrap().content,
            once,
            "a second time changes it again"
        );
        String::from_utf8(once).unwrap()
    }

    #[test]
    fn every_byte_that_was_not_meant_stays() {
        let cases = [
            (r#"{"block": "x"}"#, "a\r\n", "a\r\n#BEGIN\r\nx\r\n#END\r\n"),
            (
                r#"{"block": "y"}"#,
                "a\r\n#BEGIN\r\nx\r\n#END\r\nb",
                "a\r\n#BEGIN\r\ny\r\n#END\r\nb",
            ),
            (
                r#"{"block": "x"}"#,
                "a\n#BEGIN\nx\n#END",
                "a\n#BEGIN\nx\n#END",
            ),
            (
                r#"{"block": "y"}"#,
                "a\n#BEGIN\nx\n#END",
                "a\n#BEGIN\ny\n#END",
            ),
            (r#"{"block": ""}"#, "a\n#BEGIN\nx\n#END\nb", "a\nb"),
            (r#"{"block": "x", "state": "absent"}"#, "a", "a"),
        ];
        for (args, old, new) in cases {
            assert_eq!(run(args, old), new, "{args} on {old:?}");
        }
    }
}
