//! The module `replace`: every place where a regular expression is found.

use std::ops::Range;

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;
use super::edit::{Edited, Frame};
use super::pattern::{self, compile, expand};
use super::target::check_validator;

/// Arguments of `replace`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceArgs {
    /// The absolute path of the file. A link is followed. Also written `dest`, `destfile` or `name`.
    #[serde(alias = "dest", alias = "destfile", alias = "name")]
    pub path: String,
    /// What is looked for; `^` and `$` stand at the ends of every line.
    pub regexp: String,
    /// What takes its place; `\1`, `\g<name>` and their like are what the groups found. Default: nothing.
    #[serde(default)]
    pub replace: String,
    /// Only behind the first place where this regular expression is found (`.` stands for newlines too).
    pub after: Option<String>,
    /// Only before the first place where this regular expression is found (`.` stands for newlines too).
    pub before: Option<String>,
    /// Keep the file as it was beside it, as `NAME.HASH~`. Default: no.
    #[serde(default)]
    pub backup: bool,
    /// A command that checks the new file before it takes its place; `%s` is its path.
    pub validate: Option<String>,
    /// Accepted for Ansible's sake where it is utf-8; bytes that are no UTF-8 stay as they are.
    pub encoding: Option<String>,
    /// Permission bits of the file.
    pub mode: Option<Mode>,
    /// Owner, name or number.
    pub owner: Option<String>,
    /// Group, name or number.
    pub group: Option<String>,
}

/// The module.
pub struct Replace;

impl Module for Replace {
    type Args = ReplaceArgs;
    const NAME: &'static str = "replace";
    const SUMMARY: &'static str =
        "Replaces every place of a file in which a regular expression is found.";
    const DOC: &'static str = r#"
```yaml
- replace: {path: /etc/httpd/conf.d/ssl.conf, regexp: '^(\s*SSLProtocol)\s.*$', replace: '\1 -all +TLSv1.2 +TLSv1.3'}
- replace: {path: /etc/hosts, after: '# archive', regexp: old\.example, replace: new.example}
```

Look ahead, look behind and references to groups within `regexp` are not supported and refused before the run.

**Check mode** predicts the file exactly. **Way back**: all of it.
"#;
    const PATHS: &'static [&'static str] = &["path", "dest", "destfile", "name"];

    fn validate(args: &ReplaceArgs) -> Result<(), String> {
        compile(&args.regexp, pattern::Mode::Lines)?;
        section_pattern(args)
            .map(|p| compile(&p, pattern::Mode::DotAll))
            .transpose()?;
        let utf8 =
            |e: &String| matches!(e.to_ascii_lowercase().as_str(), "utf-8" | "utf8" | "ascii");
        if let Some(encoding) = args.encoding.as_ref().filter(|e| !utf8(e)) {
            return Err(format!(
                "`encoding: {encoding}` is not supported; bytes that are no UTF-8 stay as they are"
            ));
        }
        check_validator(args.validate.as_ref())
    }

    fn touches(args: &ReplaceArgs) -> Footprint {
        frame(args).touches()
    }

    fn want(args: &ReplaceArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        frame(args).want(world, |old| edit(args, old))
    }
}

fn frame(args: &ReplaceArgs) -> Frame<'_> {
    Frame {
        path: &args.path,
        create: false,
        absent_is_fine: false,
        made: None,
        backup: args.backup,
        validate: args.validate.as_ref(),
        mode: args.mode.as_ref(),
        owner: args.owner.as_ref(),
        group: args.group.as_ref(),
    }
}

fn section_pattern(args: &ReplaceArgs) -> Option<String> {
    match (&args.after, &args.before) {
        (Some(after), Some(before)) => Some(format!("{after}(?P<subsection>.*?){before}")),
        (Some(after), None) => Some(format!("{after}(?P<subsection>.*)")),
        (None, Some(before)) => Some(format!("(?P<subsection>.*){before}")),
        (None, None) => None,
    }
}

fn edit(args: &ReplaceArgs, old: &[u8]) -> Result<Edited, String> {
    let section: Range<usize> = match section_pattern(args) {
        None => 0..old.len(),
        Some(text) => {
            let found = compile(&text, pattern::Mode::DotAll)?
                .captures(old)
                .and_then(|c| c.name("subsection").map(|m| m.range()));
            match found {
                Some(range) => range,
                None => {
                    return Ok(Edited {
                        msg: format!(
                            "Pattern for before/after params did not match the given file: {text}"
                        ),
                        ..Edited::nothing(old)
                    });
                }
            }
        }
    };
    let within = &old[section.clone()];
    let regex = compile(&args.regexp, pattern::Mode::Lines)?;
    let mut made = Vec::with_capacity(old.len());
    let mut upto = 0;
    let mut count = 0_usize;
    for found in regex.captures_iter(within) {
        let Some(whole) = found.get(0) else { continue };
        made.extend_from_slice(&within[upto..whole.start()]);
        made.extend_from_slice(&expand(args.replace.as_bytes(), &found)?);
        upto = whole.end();
        count += 1;
    }
    made.extend_from_slice(&within[upto..]);
    if made == within {
        return Ok(Edited::nothing(old));
    }
    Ok(Edited {
        content: [&old[..section.start], &made, &old[section.end..]].concat(),
        msg: format!("{count} replacements made"),
        found: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &str, old: &[u8]) -> Vec<u8> {
        let args: ReplaceArgs =
            serde_json::from_str(&args.replacen('{', r#"{"path": "/f", "#, 1)).unwrap();
        Replace::validate(&args).unwrap();
        edit(&args, old).unwrap().content
    }

    #[test]
    fn bytes_around_the_places_stay() {
        let cases: &[(&str, &[u8], &[u8])] = &[
            (
                r#"{"regexp": "b", "replace": "x"}"#,
                b"\xff\xfeb\r\n",
                b"\xff\xfex\r\n",
            ),
            (r#"{"regexp": "b\\n"}"#, b"a\nb\nc", b"a\nc"),
            (
                r#"{"regexp": "é", "replace": "e"}"#,
                "é\n".as_bytes(),
                b"e\n",
            ),
        ];
        for (args, old, new) in cases {
            assert_eq!(run(args, old), *new, "{args}");
        }
    }
}
