//! The module `ini_file`: an option in a section of an INI file.

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;
use super::edit::Frame;
use super::ini_edit::edit;
use super::lineinfile::Presence;
use super::target::check_validator;

/// Arguments of `ini_file`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IniFileArgs {
    /// The absolute path of the file. A link is followed. Also written `dest`.
    #[serde(alias = "dest")]
    pub path: String,
    /// The section, without its brackets. Default: none, that is what stands before all sections.
    #[serde(default)]
    pub section: Option<String>,
    /// Of several sections of this name, those that have these options.
    #[serde(default)]
    pub section_has_values: Vec<HasValues>,
    /// The option. Without it the whole section is meant.
    #[serde(default)]
    pub option: Option<String>,
    /// Its value.
    #[serde(default)]
    pub value: Option<Text>,
    /// Its values, each in a line of its own.
    #[serde(default)]
    pub values: Vec<Text>,
    /// Whether it shall be there: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
    /// Other lines of the option go (present), or all of its lines whatever they say (absent). Default: yes.
    #[serde(default = "yes")]
    pub exclusive: bool,
    /// An option without a value: `skip-name-resolve`. Default: no.
    #[serde(default)]
    pub allow_no_value: bool,
    /// A line of the option that is a comment becomes the option, in place of a new line. Default: yes.
    #[serde(default = "yes")]
    pub modify_inactive_option: bool,
    /// A new line is `option=value`, without blanks. Default: no.
    #[serde(default)]
    pub no_extra_spaces: bool,
    /// `-` and `_` in the names of options are one, as MySQL and MariaDB have it. Default: no.
    #[serde(default)]
    pub ignore_dashes: bool,
    /// Make the file, and the directories above it, where it is missing. Default: yes.
    #[serde(default = "yes")]
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

fn yes() -> bool {
    true
}

/// A text, or what YAML takes for a number or a truth value and an INI file does not.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Text {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A number.
    Float(f64),
    /// `True` or `False`, as Ansible writes them.
    Truth(bool),
}

impl Text {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.trim().to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Truth(true) => "True".to_owned(),
            Self::Truth(false) => "False".to_owned(),
        }
    }
}

/// An option that a section has to have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HasValues {
    /// The option.
    pub option: String,
    /// A value of it.
    #[serde(default)]
    pub value: Option<Text>,
    /// Values of it, all of which have to be there.
    #[serde(default)]
    pub values: Vec<Text>,
}

impl HasValues {
    pub(super) fn texts(&self) -> Vec<String> {
        self.value
            .iter()
            .chain(&self.values)
            .map(Text::text)
            .collect()
    }
}

impl IniFileArgs {
    pub(super) fn texts(&self) -> Vec<String> {
        self.value
            .iter()
            .chain(&self.values)
            .map(Text::text)
            .collect()
    }

    pub(super) fn same_name(&self, one: &str, other: &str) -> bool {
        if !self.ignore_dashes {
            return one == other;
        }
        one.replace('-', "_") == other.replace('-', "_")
    }
}

/// The module.
pub struct IniFile;

impl Module for IniFile {
    type Args = IniFileArgs;
    const NAME: &'static str = "ini_file";
    const SUMMARY: &'static str = "Sees to an option in a section of an INI file.";
    const DOC: &'static str = r#"
```yaml
- ini_file: {path: /etc/mysql/my.cnf, section: mysqld, option: character-set-server, value: latin1, ignore_dashes: true}
- ini_file: {path: /home/pacsone/PACS.ini, option: AETitle, value: PACS, create: false}
- ini_file: {path: /etc/app.ini, section: hosts, option: host, values: [a, b]}
- ini_file: {path: /etc/app.ini, section: old, state: absent}
```

A line that says the value stays as it is, whatever blanks it has; of one that is changed only the value is. Of several lines of the
option all but the first go, with `exclusive: false` they stay. What is commented out (`#` or `;`) is uncommented where it stands.
A new line goes behind the last option of its section, a new section to the end of the file. Several sections of one name are one: the
option is looked for in all of them, and a new line goes into the last. Lines end as those beside them do.

All that stands behind `=` is the value: programs do not agree on what is a comment there. `:` in place of `=` and values over more than
a line are not understood.

**Check mode** predicts the file exactly. **Way back**: all of it.
"#;
    const PATHS: &'static [&'static str] = &["path", "dest"];

    fn validate(args: &IniFileArgs) -> Result<(), String> {
        if args.value.is_some() && !args.values.is_empty() {
            return Err("`value` and `values` exclude each other".to_owned());
        }
        if args.section.is_none() && args.option.is_none() {
            return Err("nothing is asked: name an `option`, or a `section`".to_owned());
        }
        if args.section.is_none() && !args.section_has_values.is_empty() {
            return Err("`section_has_values` needs `section`".to_owned());
        }
        let values = args.texts();
        match &args.option {
            None if !values.is_empty() => {
                return Err("`option` is missing, of which a value is given".to_owned());
            }
            Some(_)
                if args.state == Presence::Present && values.is_empty() && !args.allow_no_value =>
            {
                return Err(
                    "`value` is missing; an option without one needs `allow_no_value: true`"
                        .to_owned(),
                );
            }
            Some(_) if args.state == Presence::Absent && values.is_empty() && !args.exclusive => {
                return Err("`exclusive: false` keeps lines with other values than `value`, which is missing".to_owned());
            }
            Some(option) => {
                let begins_else = option.starts_with(['[', '#', ';']);
                if option.trim().is_empty()
                    || option != option.trim()
                    || option.contains(['=', '\n', '\r'])
                    || begins_else
                {
                    return Err(format!("`option: {option}` is no name of an option"));
                }
            }
            None => {}
        }
        if let Some(section) = args
            .section
            .as_ref()
            .filter(|s| s.is_empty() || s.contains([']', '\n', '\r']))
        {
            return Err(format!("`section: {section}` is no name of a section"));
        }
        let has = args.section_has_values.iter().flat_map(HasValues::texts);
        if values
            .into_iter()
            .chain(has)
            .any(|v| v.contains(['\n', '\r']))
        {
            return Err("a value is more than a line".to_owned());
        }
        check_validator(args.validate.as_ref())
    }

    fn touches(args: &IniFileArgs) -> Footprint {
        frame(args).touches()
    }

    fn want(args: &IniFileArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        frame(args).want(world, |old| Ok(edit(args, old)))
    }
}

fn frame(args: &IniFileArgs) -> Frame<'_> {
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
