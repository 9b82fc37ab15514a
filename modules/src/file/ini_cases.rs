//! What `ini_file` makes of files.

use proptest::prelude::*;
use runbook_engine::module::Module as _;

use super::ini_edit::edit;
use super::ini_file::{IniFile, IniFileArgs};

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
