//! The module `command`: a program with its arguments, without a shell.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::transport::quote::word;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::exec::Shown;
use super::guide;
use super::launch::{Launch, stdin};
use crate::file::words;

/// Arguments of `command`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandArgs {
    /// Program and arguments in one line, split into words as a shell does. What a bare string sets.
    #[serde(alias = "_raw_params")]
    pub cmd: Option<String>,
    /// Program and arguments as a list, in place of `cmd`.
    pub argv: Option<Vec<String>>,
    /// Working directory on the host.
    pub chdir: Option<String>,
    /// Path or pattern: where it exists, the command does not run.
    pub creates: Option<String>,
    /// Path or pattern: where it does not exist, the command does not run.
    pub removes: Option<String>,
    /// Text for the standard input.
    pub stdin: Option<String>,
    /// End `stdin` with a newline. Default: yes.
    #[serde(default = "yes")]
    pub stdin_add_newline: bool,
    /// Cut empty lines from the ends of stdout and stderr. Default: yes.
    #[serde(default = "yes")]
    pub strip_empty_ends: bool,
    /// Replace `$NAME`, `${NAME}` and a leading `~` by what they are on the host. Default: yes.
    #[serde(default = "yes")]
    pub expand_argument_vars: bool,
    /// It changes nothing: it runs in check mode too, together with all other reads, and is never `changed`.
    /// Default: no.
    #[serde(default)]
    pub reads_only: bool,
    /// With `reads_only` or `changes`: the resources it reads (`/etc/php.ini`, `container:arc`). Default: anything, so that in a
    /// parallel block nothing that writes goes beside it.
    pub reads: Option<Vec<String>>,
    /// The resources it changes, and no others (`/etc/php.ini`, `container:arc`). Without this and without `creates`
    /// nothing on the machine is known after it.
    pub changes: Option<Vec<String>>,
    /// A shell line that only reads: where it ends with status 0, the command does not run.
    pub unless: Option<String>,
    /// A shell line that only reads: the command runs only where it ends with status 0.
    pub only_if: Option<String>,
    /// Seconds after which it is stopped. Default: none.
    pub timeout: Option<u64>,
    /// Variables added to its environment. Set by the task's keyword `environment`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// The module.
pub struct Command;

impl Module for Command {
    type Args = CommandArgs;
    const NAME: &'static str = "command";
    const SUMMARY: &'static str = "Runs a program with its arguments, without a shell.";
    const DOC: &'static str = r#"
```yaml
- command: /opt/app/bin/migrate --to 5.32
  args: {creates: /opt/app/.migrated}
- command: {argv: [php, -r, "echo PHP_VERSION;"], reads_only: true}
  register: php
- command: {cmd: newaliases, changes: [/etc/aliases.db]}
```

**Check mode.** A command with `reads_only: true` runs. Any other does not run: with `creates`, `removes`, `unless` or
`only_if` it is said whether it would. With neither `changes` nor `creates` it is opaque: what it may have touched is
unknown from there on, and the plan counts it.

**Secrets.** While a program runs, all users of its host may see its arguments, and its own user what is in its environment.
What is secret belongs into `stdin`.

**Way back.** None; what a command does is not ours to know.

**On the target**: the program.
"#;
    const FREE_FORM: Option<&'static str> = Some("cmd");

    fn validate(args: &CommandArgs) -> Result<(), String> {
        match (&args.cmd, &args.argv) {
            (None, None) => return Err("`cmd` or `argv` is missing: what shall run?".to_owned()),
            (Some(_), Some(_)) => {
                return Err("`cmd` and `argv` are the same thing twice; keep one".to_owned());
            }
            _ => {}
        }
        let words = argv(args)?;
        if words.is_empty() {
            return Err("there is no command in it".to_owned());
        }
        if let Some(wrong) = guide::mistaken(&words.join(" ")) {
            return Err(wrong);
        }
        launch(args, Vec::new()).validate()
    }

    fn touches(args: &CommandArgs) -> Footprint {
        launch(args, Vec::new()).touches()
    }

    fn want(args: &CommandArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let words = argv(args).map_err(Stop::Refuse)?;
        launch(args, words).want(world)
    }
}

fn argv(args: &CommandArgs) -> Result<Vec<String>, String> {
    match (&args.argv, &args.cmd) {
        (Some(argv), _) => Ok(argv.clone()),
        (None, Some(cmd)) => words::split(cmd),
        (None, None) => Ok(Vec::new()),
    }
}

fn launch(args: &CommandArgs, words: Vec<String>) -> Launch<'_> {
    let shown = Shown::Words(words.clone());
    Launch {
        argv: if args.expand_argument_vars {
            expanded(words)
        } else {
            words
        },
        shown: Some(shown),
        chdir: args.chdir.as_ref(),
        creates: args.creates.as_ref(),
        removes: args.removes.as_ref(),
        stdin: stdin(args.stdin.as_ref(), args.stdin_add_newline),
        strip_empty_ends: args.strip_empty_ends,
        reads_only: args.reads_only,
        reads: args.reads.as_ref(),
        changes: args.changes.as_ref(),
        unless: args.unless.as_ref(),
        only_if: args.only_if.as_ref(),
        timeout: args.timeout,
        environment: Some(&args.environment),
    }
}

/// Words in which the host's shell replaces variables and home directories, and nothing else; as they are, where
/// there is nothing to replace.
fn expanded(words: Vec<String>) -> Vec<String> {
    let mut mentions = Vec::new();
    let mut expands = false;
    let quoted: Vec<String> = words
        .iter()
        .map(|w| expansion(w, &mut mentions, &mut expands))
        .collect();
    if !expands {
        return words;
    }
    let mut line = String::new();
    for (n, mention) in mentions.iter().enumerate() {
        line.push_str(&format!("_{n}={}; ", word(mention)));
    }
    line.push_str("exec ");
    line.push_str(&quoted.join(" "));
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line]
}

/// One word for a shell. A variable that is not set stays as it is written: its mention is what `_0`, `_1` … hold.
fn expansion(text: &str, mentions: &mut Vec<String>, expands: &mut bool) -> String {
    let mut line = String::new();
    let mut plain = String::new();
    let mut rest = text;
    if let Some(after) = text.strip_prefix('~') {
        let user = after.split('/').next().unwrap_or_default();
        if user
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            line.push('~');
            line.push_str(user);
            *expands = true;
            rest = &after[user.len()..];
        }
    }
    while let Some(c) = rest.chars().next() {
        if let Some((name, len)) = variable(rest) {
            if !plain.is_empty() {
                line.push_str(&word(&plain));
                plain.clear();
            }
            line.push_str(&format!("\"${{{name}-$_{}}}\"", mentions.len()));
            mentions.push(rest[..len].to_owned());
            *expands = true;
            rest = &rest[len..];
            continue;
        }
        plain.push(c);
        rest = &rest[c.len_utf8()..];
    }
    if !plain.is_empty() || line.is_empty() {
        line.push_str(&word(&plain));
    }
    line
}

/// The name of the variable at the start of `text`, and how long its mention is.
fn variable(text: &str) -> Option<(&str, usize)> {
    let after = text.strip_prefix('$')?;
    let (body, extra) = match after.strip_prefix('{') {
        Some(inner) => (&inner[..inner.find('}')?], 3),
        None => {
            let end = after
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(after.len());
            (&after[..end], 1)
        }
    };
    let first = body.chars().next()?;
    let named = (first.is_ascii_alphabetic() || first == '_')
        && body.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then_some((body, body.len() + extra))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> String {
        let argv = expanded(words.iter().map(|w| (*w).to_owned()).collect());
        let output = std::process::Command::new(&argv[0])
            .args(&argv[1..])
            .env("WORD", "a 'b\" $HOME")
            .env("HOME", "/home/x")
            .env_remove("UNSET")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn variables_are_replaced_and_nothing_else_is() {
        let cases = [
            ("plain", "plain"),
            ("$WORD", "a 'b\" $HOME"),
            ("x${WORD}y", "xa 'b\" $HOMEy"),
            ("$UNSET/${UNSET}", "$UNSET/${UNSET}"),
            ("~/f", "/home/x/f"),
            ("a~/f", "a~/f"),
            (
                "$(echo no) `id` $1 $ ${ \\$HOME",
                "$(echo no) `id` $1 $ ${ \\/home/x",
            ),
            ("'\"$HOME\"'", "'\"/home/x\"'"),
            ("*", "*"),
        ];
        for (text, expected) in cases {
            assert_eq!(run(&["printf", "%s", text,]), expected, "{text}");
        }
        assert_eq!(
            expanded(vec!["ls".to_owned(), "-l".to_owned()]),
            ["ls", "-l"]
        );
    }
}
