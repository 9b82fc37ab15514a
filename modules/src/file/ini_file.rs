//! The module `ini_file`: an option in a section of an INI file.

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;
use super::edit::{Edited, Frame, bare, lines};
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
    fn texts(&self) -> Vec<String> {
        self.value
            .iter()
            .chain(&self.values)
            .map(Text::text)
            .collect()
    }
}

impl IniFileArgs {
    fn texts(&self) -> Vec<String> {
        self.value
            .iter()
            .chain(&self.values)
            .map(Text::text)
            .collect()
    }

    fn same_name(&self, one: &str, other: &str) -> bool {
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

fn edit(args: &IniFileArgs, old: &[u8]) -> Edited {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn args(yaml: &str) -> IniFileArgs {
        let mut value: serde_json::Value = serde_json::from_str(yaml).unwrap();
        value["path"] = "/x".into();
        let args: IniFileArgs = serde_json::from_value(value).unwrap();
        IniFile::validate(&args).unwrap();
        args
    }

    fn edited(yaml: &str, old: &str) -> (String, String) {
        let args = args(yaml);
        let once = edit(&args, old.as_bytes());
        let twice = edit(&args, &once.content);
        assert_eq!(twice.content, once.content, "twice: {yaml} {old:?}");
        assert_eq!(twice.msg, "", "twice: {yaml} {old:?}");
        (String::from_utf8(once.content).unwrap(), once.msg)
    }

    #[test]
    fn options_of_a_section() {
        let cases = [
            // There, whatever its blanks.
            (
                r#"{"section": "a", "option": "x", "value": 1}"#,
                "[a]\n x=1 \n",
                "[a]\n x=1 \n",
                "",
            ),
            // Only its value changes.
            (
                r#"{"section": "a", "option": "x", "value": "two words"}"#,
                "[b]\nx=1\n[ a ]\nx=0\n[a]\n  x =1 \ny=2",
                "[b]\nx=1\n[ a ]\nx=0\n[a]\n  x =two words\ny=2",
                "option changed",
            ),
            (
                r#"{"section": "a", "option": "x", "value": ""}"#,
                "[a]\nx = 1\r\n",
                "[a]\nx =\r\n",
                "option changed",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 1}"#,
                "[a]\nx =\n",
                "[a]\nx = 1\n",
                "option changed",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 1}"#,
                "[a]\nx\n",
                "[a]\nx = 1\n",
                "option changed",
            ),
            // Of several all but the first go.
            (
                r#"{"section": "a", "option": "x", "value": 3}"#,
                "[a]\nx=1\nx=2\n[a]\nx=4\n",
                "[a]\nx=3\n[a]\n",
                "option changed",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 2}"#,
                "[a]\nx=1\nx=2\n",
                "[a]\nx=2\n",
                "option changed",
            ),
            // A comment becomes the option: the one that says it, else the first.
            (
                r#"{"section": "a", "option": "x", "value": 2}"#,
                "[a]\n; x = 1\n  #x=2\n",
                "[a]\n; x = 1\n  x=2\n",
                "option changed",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 3}"#,
                "[a]\n; x = 1\n#x=2\n",
                "[a]\nx = 3\n#x=2\n",
                "option changed",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 3, "modify_inactive_option": false}"#,
                "[a]\n;x=1\n",
                "[a]\nx = 3\n;x=1\n",
                "option added",
            ),
            // A new line goes behind the last option.
            (
                r#"{"section": "a", "option": "x", "value": true}"#,
                "[a]\r\ny=1\r\n\r\n; end\r\n[b]\r\n",
                "[a]\r\ny=1\r\nx = True\r\n\r\n; end\r\n[b]\r\n",
                "option added",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 1, "no_extra_spaces": true}"#,
                "[a]\ny=1",
                "[a]\ny=1\nx=1\n",
                "option added",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 1}"#,
                "y=1",
                "y=1\n[a]\nx = 1\n",
                "section and option added",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 1}"#,
                "",
                "[a]\nx = 1\n",
                "section and option added",
            ),
            (
                r#"{"section": "a"}"#,
                "y=1\n",
                "y=1\n[a]\n",
                "section added",
            ),
            // Before all sections.
            (
                r#"{"option": "x", "value": 1}"#,
                "y=1\n\n[a]\nx=2\n",
                "y=1\nx = 1\n\n[a]\nx=2\n",
                "option added",
            ),
            (
                r#"{"option": "x", "value": 1}"#,
                "[a]\nx=2\n",
                "x = 1\n[a]\nx=2\n",
                "option added",
            ),
            // Several values.
            (
                r#"{"section": "a", "option": "x", "values": [1, 2, 3]}"#,
                "[a]\nx=2\nx=5\ny=1\n",
                "[a]\nx=2\nx=1\ny=1\nx = 3\n",
                "option added",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 3, "exclusive": false}"#,
                "[a]\nx=2\n#x=1\n",
                "[a]\nx=2\nx = 3\n#x=1\n",
                "option added",
            ),
            // Without one.
            (
                r#"{"section": "a", "option": "x", "allow_no_value": true}"#,
                "[a]\n#x\n",
                "[a]\nx\n",
                "option changed",
            ),
            (
                r#"{"section": "a", "option": "x", "allow_no_value": true}"#,
                "[a]\nx = 1\n",
                "[a]\nx\n",
                "option changed",
            ),
            // As MySQL reads names.
            (
                r#"{"section": "a", "option": "x-y", "value": 2, "ignore_dashes": true}"#,
                "[a]\nx_y=1\n",
                "[a]\nx_y=2\n",
                "option changed",
            ),
            (
                r#"{"section": "a", "option": "x-y", "value": 2}"#,
                "[a]\nx_y=1\n",
                "[a]\nx_y=1\nx-y = 2\n",
                "option added",
            ),
            // Away with it.
            (
                r#"{"section": "a", "option": "x", "state": "absent"}"#,
                "[a]\n#x=1\nx=2\nx=3\n[b]\nx=1\n",
                "[a]\n#x=1\n[b]\nx=1\n",
                "option removed",
            ),
            (
                r#"{"section": "a", "option": "x", "value": 2, "exclusive": false, "state": "absent"}"#,
                "[a]\nx=2\nx=3\n",
                "[a]\nx=3\n",
                "option removed",
            ),
            (
                r#"{"section": "a", "state": "absent"}"#,
                "y=1\n[a]\nx=2\n\n[b]\nz=1\n[a]\n",
                "y=1\n[b]\nz=1\n",
                "section removed",
            ),
            (
                r#"{"section": "c", "state": "absent"}"#,
                "[a]\n",
                "[a]\n",
                "",
            ),
            // One of several sections of a name.
            (
                r#"{"section": "a", "section_has_values": [{"option": "n", "value": 2}], "option": "x", "value": 1}"#,
                "[a]\nn=1\n[a]\nn=2\n",
                "[a]\nn=1\n[a]\nn=2\nx = 1\n",
                "option added",
            ),
            (
                r#"{"section": "a", "section_has_values": [{"option": "n", "value": 3}], "option": "x", "value": 1}"#,
                "[a]\nn=1\n",
                "[a]\nn=1\n[a]\nn = 3\nx = 1\n",
                "section and option added",
            ),
        ];
        for (yaml, old, new, msg) in cases {
            assert_eq!(
                edited(yaml, old),
                (new.to_owned(), msg.to_owned()),
                "{yaml} {old:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (yaml, why) in [
            (r#"{}"#, "nothing is asked"),
            (r#"{"option": "x"}"#, "`value` is missing"),
            (
                r#"{"option": "x", "value": 1, "values": [2]}"#,
                "exclude each other",
            ),
            (
                r#"{"option": "x=y", "value": 1}"#,
                "is no name of an option",
            ),
            (
                r##"{"option": "#x", "value": 1}"##,
                "is no name of an option",
            ),
            (
                r#"{"section": "a]", "option": "x", "value": 1}"#,
                "is no name of a section",
            ),
            (r#"{"option": "x", "value": "1\n2"}"#, "more than a line"),
            (r#"{"section": "a", "value": "1"}"#, "`option` is missing"),
            (
                r#"{"option": "x", "exclusive": false, "state": "absent"}"#,
                "`exclusive: false` keeps",
            ),
        ] {
            let mut value: serde_json::Value = serde_json::from_str(yaml).unwrap();
            value["path"] = "/x".into();
            let args: IniFileArgs = serde_json::from_value(value).unwrap();
            let said = IniFile::validate(&args).unwrap_err();
            assert!(said.contains(why), "{yaml}: {said}");
        }
    }

    /// What a plain reader finds: section, name and value of each line that is no comment.
    fn read(text: &str) -> Vec<(String, String, String)> {
        let mut section = String::new();
        let mut all = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix('[') {
                section = rest.split(']').next().unwrap().to_owned();
            } else if !line.is_empty() && !line.starts_with(['#', ';']) {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                all.push((
                    section.clone(),
                    name.trim().to_owned(),
                    value.trim().to_owned(),
                ));
            }
        }
        all
    }

    proptest! {
        #[test]
        fn all_else_is_left_as_it_is(
            lines in prop::collection::vec("(\\[[ab]\\]|[ \t]?[#;]?[ ]?[xyz][ ]?=[ ]?[0-3]?|; words|)(\r\n|\n)", 0..12),
            cut in any::<bool>(),
            section in prop::option::of("[ab]"),
            value in 0i64..4,
        ) {
            let mut old = lines.concat();
            if cut {
                old.truncate(old.trim_end_matches(['\r', '\n']).len());
            }
            let mut yaml = serde_json::json!({"option": "x", "value": value});
            if let Some(section) = &section {
                yaml["section"] = section.clone().into();
            }
            let (new, _) = edited(&yaml.to_string(), &old);
            let own = section.clone().unwrap_or_default();
            let is_own = |o: &&(String, String, String)| o.0 == own && o.1 == "x";
            let found = read(&new);
            let values: Vec<&str> = found.iter().filter(is_own).map(|o| o.2.as_str()).collect();
            prop_assert_eq!(values, vec![value.to_string()]);
            // All others are as they were, byte for byte and in their order.
            let rest = |text: &str| -> Vec<String> {
                let mut at = String::new();
                let mut all = Vec::new();
                for line in text.split_inclusive('\n') {
                    let bare = line.trim();
                    if let Some(rest) = bare.strip_prefix('[') {
                        at = rest.trim_end_matches(']').to_owned();
                    }
                    let name = bare.trim_start_matches(['#', ';', ' ']).split('=').next().unwrap_or_default().trim();
                    if !(at == own && name == "x") {
                        all.push(line.trim_end_matches(['\r', '\n']).to_owned());
                    }
                }
                all
            };
            let (before, mut after) = (rest(&old), rest(&new));
            if after.len() > before.len() {
                // The section is new.
                prop_assert_eq!(after.pop(), Some(format!("[{own}]")));
            }
            prop_assert_eq!(before, after);
            let back = edited(r#"{"option": "none", "state": "absent"}"#, &new).0;
            prop_assert_eq!(back, new);
        }
    }
}
