//! The module `template`: a file rendered on the controller.

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::copy::{Copy, CopyArgs, CopyMode, rendered};
use super::target::check_validator;

/// Arguments of `template`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateArgs {
    /// The template on the controller, looked for in `templates/` too.
    pub src: String,
    /// Absolute path of the file to be; ending in a slash, or where a directory stands: the directory to put it into,
    /// under the template's own name.
    pub dest: String,
    /// Permission bits, octal, symbolic, or `preserve` for those of the template. Without it they stay; a new file
    /// gets 0644.
    pub mode: Option<CopyMode>,
    /// Owner, name or number.
    pub owner: Option<String>,
    /// Group, name or number.
    pub group: Option<String>,
    /// Keep the file that is replaced beside it, as `NAME.HASH~`. Default: no.
    #[serde(default)]
    pub backup: bool,
    /// Replace a file whose content differs. No: only where there is none. Default: yes.
    #[serde(default = "yes")]
    pub force: bool,
    /// Where the destination is a link: write to what it points to. Default: no, the link is replaced.
    #[serde(default)]
    pub follow: bool,
    /// A command that checks the new file before it takes its place; `%s` is its path.
    pub validate: Option<String>,
    /// How its lines end: `\n`, `\r\n` or `\r`. Default: `\n`.
    pub newline_sequence: Option<String>,
    /// Take away the newline after a block tag. Default: yes. Read by the engine when it renders.
    #[serde(default = "yes")]
    pub trim_blocks: bool,
    /// Take away blanks before a block tag. Default: no. Read by the engine when it renders.
    #[serde(default)]
    pub lstrip_blocks: bool,
}

fn yes() -> bool {
    true
}

/// The module.
pub struct Template;

impl Module for Template {
    type Args = TemplateArgs;
    const NAME: &'static str = "template";
    const SUMMARY: &'static str = "Renders a template into a file on the host.";
    const DOC: &'static str = r#"
```yaml
- template: {src: php.ini.j2, dest: /etc/php.ini, validate: php -n -c %s -v}
```

Variables are those of the task. Where one of them is not known before the run, neither is the file.

**Check mode, way back, on the target**: as `copy`.
"#;
    const PATHS: &'static [&'static str] = &["dest"];
    const LOCAL_FILES: &'static [&'static str] = &["src"];

    fn validate(args: &TemplateArgs) -> Result<(), String> {
        newline(args)?;
        check_validator(args.validate.as_ref())
    }

    fn touches(args: &TemplateArgs) -> Footprint {
        Copy::touches(&as_copy(args))
    }

    fn want(args: &TemplateArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let file = world.local(&args.src)?;
        if file.entries.is_some() {
            return Err(Stop::refuse(format!(
                "{} is a directory; `template` renders single files",
                args.src
            )));
        }
        let sequence = newline(args).map_err(Stop::Refuse)?;
        let content = with_newlines(&file.content, sequence);
        rendered(&as_copy(args), content, file.mode, world)
    }

    fn output(args: &TemplateArgs, before: &View<'_>, after: &View<'_>) -> IndexMap<String, Value> {
        Copy::output(&as_copy(args), before, after)
    }
}

fn as_copy(args: &TemplateArgs) -> CopyArgs {
    CopyArgs {
        src: Some(args.src.clone()),
        dest: args.dest.clone(),
        mode: args.mode.clone(),
        owner: args.owner.clone(),
        group: args.group.clone(),
        backup: args.backup,
        force: args.force,
        follow: args.follow,
        validate: args.validate.clone(),
        ..CopyArgs::default()
    }
}

/// The newline to write. In plain YAML a backslash stays a backslash, so both spellings are understood.
fn newline(args: &TemplateArgs) -> Result<&'static [u8], String> {
    match args.newline_sequence.as_deref() {
        None | Some("\n" | "\\n") => Ok(b"\n"),
        Some("\r\n" | "\\r\\n") => Ok(b"\r\n"),
        Some("\r" | "\\r") => Ok(b"\r"),
        Some(other) => Err(format!(
            r"`newline_sequence: {}` is none of \n, \r\n and \r",
            other.escape_debug()
        )),
    }
}

fn with_newlines(content: &[u8], sequence: &[u8]) -> Vec<u8> {
    if sequence == b"\n" {
        return content.to_vec();
    }
    let mut made = Vec::with_capacity(content.len() + content.len() / 16);
    for line in content.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                made.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                made.extend_from_slice(sequence);
            }
            None => made.extend_from_slice(line),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_asked() {
        for (sequence, made) in [
            (&b"\n"[..], &b"a\nb\r\nc"[..]),
            (b"\r\n", b"a\r\nb\r\nc"),
            (b"\r", b"a\rb\rc"),
        ] {
            assert_eq!(with_newlines(b"a\nb\r\nc", sequence), made);
        }
    }
}
