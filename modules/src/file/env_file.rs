//! The module `env_file`: variables of a file that containers, Compose, shells or systemd read.

use std::fmt::Display;

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;
use super::edit::{Edited, Frame, ending};
use super::env_format::{Broken, Format, Meaning, is_name, variables, written};
use super::lineinfile::Presence;
use super::target::check_validator;

/// Arguments of `env_file`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvFileArgs {
    /// The absolute path of the file. A link is followed. Also written `dest`.
    #[serde(alias = "dest")]
    pub path: String,
    /// A variable. Also written `key`.
    #[serde(default, alias = "key")]
    pub name: Option<String>,
    /// Its value.
    #[serde(default)]
    pub value: Option<Value>,
    /// Several variables with their values, in place of `name` and `value`.
    #[serde(default)]
    pub values: IndexMap<String, Value>,
    /// Whether the variable shall be there: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
    /// Who reads the file: docker (`docker run --env-file`), compose (version 2) or shell (systemd too). Needed only where a value is
    /// not written alike for all of them.
    #[serde(default)]
    pub format: Option<Format>,
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

/// A text, or what YAML takes for something else.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A number with a point, which is refused: of `5.30` it has lost the zero.
    Float(f64),
    /// Refused: nobody can see how it was written.
    Truth(bool),
}

impl Value {
    fn text(&self) -> Result<String, String> {
        let quotes = |value: &dyn Display, else_: &str| {
            Err(format!(
                "put the value in quotes: YAML takes it for `{value}`, and {else_} would be the same"
            ))
        };
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Number(number) => Ok(number.to_string()),
            Self::Float(number) => quotes(number, &format!("`{number}0`")),
            Self::Truth(true) => quotes(&true, "`True`"),
            Self::Truth(false) => quotes(&false, "`False`"),
        }
    }
}

impl EnvFileArgs {
    fn asked(&self) -> impl Iterator<Item = (&String, Option<&Value>)> {
        let values = self.values.iter().map(|(name, value)| (name, Some(value)));
        let one = self.name.iter().map(|name| (name, self.value.as_ref()));
        one.chain(values)
    }
}

/// The module.
pub struct EnvFile;

impl Module for EnvFile {
    type Args = EnvFileArgs;
    const NAME: &'static str = "env_file";
    const SUMMARY: &'static str = "Sees to variables in a file of `NAME=value` lines.";
    const DOC: &'static str = r#"
```yaml
- env_file: {path: /home/user/lockself/env, name: domain, value: lockself.example.org}
- env_file: {path: /srv/app/.env, values: {TAG: "5.32", PORT: 8080}, format: compose}
- env_file: {path: /etc/default/app, name: JAVA_OPTS, value: "-Xmx2g -Dx=$y", format: shell, create: true}
- env_file: {path: /srv/app/.env, name: OLD, state: absent}
```

Only the value changes: its quotes, `export`, blanks and what stands behind it stay, and so do all other lines. Of several lines of one
variable the last one counts for all readers, and is the one that is changed; with `state: absent` all of them go. A new variable goes
to the end of the file. What is commented out stays so.

There is no standard for such files. `docker run --env-file` takes quotes for a part of the value, Compose and shells do not; Compose
and shells put in other variables where a `$` stands; Compose cuts off ` # comments`. As long as a value is made of letters, digits and
`_ - . / : @ % + , = ^`, or is in quotes already and has no quotes, `$`, `\`, `` ` `` or `!`, they agree, and the quotes that it has
are kept. Else `format` has to say who reads the file.

A container sees a change only once it is made anew: `docker_container` with `env` from the same variables, or a handler that has
Compose do it; a restart is not enough.

**Check mode** predicts the file exactly. **Way back**: all of it.
"#;
    const PATHS: &'static [&'static str] = &["path", "dest"];

    fn validate(args: &EnvFileArgs) -> Result<(), String> {
        if args.name.is_none() && args.values.is_empty() {
            return Err(
                "nothing is asked: name a variable with `name`, or several in `values`".to_owned(),
            );
        }
        match args.state {
            Presence::Present if args.name.is_some() != args.value.is_some() => {
                return Err("`name` and `value` go together".to_owned());
            }
            Presence::Absent if args.value.is_some() || !args.values.is_empty() => {
                return Err("`state: absent` takes a `name` alone".to_owned());
            }
            _ => {}
        }
        for (name, value) in args.asked() {
            let spoken = args.format == Some(Format::Shell) && name.contains(['-', '.']);
            if !is_name(name) || spoken {
                return Err(format!(
                    "`{name}` is no name of a variable: letters, digits and `_`, the first no digit{}",
                    if spoken {
                        " (a shell takes no others)"
                    } else {
                        "; many readers take `-` and `.`, too"
                    }
                ));
            }
            if let Some(value) = value {
                // What can be written at all, whatever quotes stand there.
                let quotes = if args.format.is_none() { "''" } else { "" };
                let text = value.text();
                text.and_then(|text| written(&text, quotes, args.format))
                    .map_err(|why| format!("`{name}`: {why}"))?;
            }
        }
        check_validator(args.validate.as_ref())
    }

    fn touches(args: &EnvFileArgs) -> Footprint {
        frame(args).touches()
    }

    fn want(args: &EnvFileArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        frame(args).want(world, |old| edit(args, old))
    }
}

fn frame(args: &EnvFileArgs) -> Frame<'_> {
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

/// The file with the variables as they are asked for.
pub(super) fn edit(args: &EnvFileArgs, old: &[u8]) -> Result<Edited, String> {
    let text = std::str::from_utf8(old).map_err(|at| {
        let before = &old[..at.valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        format!("{}:{line}: it is no UTF-8", args.path)
    })?;
    let mut text = text.to_owned();
    let mut said = "";
    for (name, value) in args.asked() {
        let done = match value {
            Some(value) => set(args, &mut text, name, &value.text()?)?,
            None => remove(args, &mut text, name)?,
        };
        if !done.is_empty() {
            said = done;
        }
    }
    Ok(Edited {
        content: text.into_bytes(),
        msg: said.to_owned(),
        found: None,
    })
}

fn read(args: &EnvFileArgs, text: &str) -> Result<Vec<super::env_format::Variable>, String> {
    variables(text, args.format).map_err(|Broken { line, why }| {
        let remedy = match args.format {
            None => "; say who reads the file, with `format: docker`, `compose` or `shell`",
            Some(_) => "; it is left as it is",
        };
        format!("{}:{line}: {why}{remedy}", args.path)
    })
}

/// Sets a variable; says what was done.
fn set(
    args: &EnvFileArgs,
    text: &mut String,
    name: &str,
    value: &str,
) -> Result<&'static str, String> {
    let all = read(args, text)?;
    let explained = |why: String| format!("{}: {name}: {why}", args.path);
    let Some(last) = all.iter().rev().find(|v| v.name == name) else {
        let export = match !all.is_empty() && all.iter().all(|v| v.exported) {
            true => "export ",
            false => "",
        };
        let end = String::from_utf8_lossy(ending(text.as_bytes())).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str(&end);
        }
        let value = written(value, "", args.format).map_err(explained)?;
        text.push_str(&format!("{export}{name}={value}{end}"));
        return Ok("variable added");
    };
    if last.meaning == Meaning::Is(value.to_owned()) {
        return Ok("");
    }
    let now = &text[last.value.clone()];
    if last.meaning == Meaning::Unclear {
        return Err(explained(
            "what stands there is not understood alike by all that read such files; say who reads this one, with `format: docker`, \
             `compose` or `shell`"
                .to_owned(),
        ));
    }
    let new = written(value, now, args.format).map_err(explained)?;
    text.replace_range(last.value.clone(), &new);
    Ok("variable changed")
}

/// Removes all lines of a variable; says what was done.
fn remove(args: &EnvFileArgs, text: &mut String, name: &str) -> Result<&'static str, String> {
    let all = read(args, text)?;
    let mut said = "";
    for variable in all.iter().rev().filter(|v| v.name == name) {
        text.replace_range(variable.line.clone(), "");
        said = "variable removed";
    }
    Ok(said)
}
