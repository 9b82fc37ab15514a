//! What `env_file` makes of files.

use std::io::Write as _;
use std::process::Command;

use proptest::prelude::*;
use runbook_engine::module::Module as _;

use super::env_file::{EnvFile, EnvFileArgs, edit};
use super::env_format::{Format, Meaning, variables, written};

fn args(json: &str) -> EnvFileArgs {
    let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
    value["path"] = "/env".into();
    let args: EnvFileArgs = serde_json::from_value(value).unwrap();
    EnvFile::validate(&args).unwrap();
    args
}

fn edited(json: &str, old: &str) -> Result<String, String> {
    let args = args(json);
    let once = edit(&args, old.as_bytes())?;
    let twice = edit(&args, &once.content)?;
    assert_eq!(twice.content, once.content, "twice: {json} {old:?}");
    assert_eq!(twice.msg, "", "twice: {json} {old:?}");
    Ok(String::from_utf8(once.content).unwrap())
}

#[test]
fn only_the_value_changes() {
    let domain = r#"{"name": "domain", "value": "new.example"}"#;
    let cases = [
        (domain, "domain=old.example\n", "domain=new.example\n"),
        (
            domain,
            "# domain=x\nA=1\r\ndomain=old\r\nB=2",
            "# domain=x\nA=1\r\ndomain=new.example\r\nB=2",
        ),
        (domain, "domain=\"old\"\n", "domain=\"new.example\"\n"),
        (domain, "domain='old'  \n", "domain='new.example'  \n"),
        (domain, "export domain=old\n", "export domain=new.example\n"),
        (domain, "domain = old\n", "domain = new.example\n"),
        (domain, "domain=\n", "domain=new.example\n"),
        // There, in whatever quotes.
        (domain, "domain=\"new.example\"", "domain=\"new.example\""),
        // The last one counts.
        (
            domain,
            "domain=a\ndomain=b\n",
            "domain=a\ndomain=new.example\n",
        ),
        // A new one: at the end, as the lines beside it are.
        (domain, "A=1", "A=1\ndomain=new.example\n"),
        (domain, "A=1\r\n", "A=1\r\ndomain=new.example\r\n"),
        (
            domain,
            "export A=1\n",
            "export A=1\nexport domain=new.example\n",
        ),
        (domain, "", "domain=new.example\n"),
        (
            domain,
            "subdomain=1\ndomain2=2\nDOMAIN=3\n",
            "subdomain=1\ndomain2=2\nDOMAIN=3\ndomain=new.example\n",
        ),
        (
            r#"{"name": "domain", "state": "absent"}"#,
            "domain=a\nA=1\n domain=b\n#domain=c\n",
            "A=1\n#domain=c\n",
        ),
        (
            r#"{"name": "A", "state": "absent", "format": "shell"}"#,
            "A='1\nB=2'\nC=3\n",
            "C=3\n",
        ),
        (
            r#"{"values": {"B": 2, "D": "1.50", "C": "true"}}"#,
            "B=1\n",
            "B=2\nD=1.50\nC=true\n",
        ),
        // What the reader is told decides.
        (
            r#"{"name": "A", "value": "a b", "format": "docker"}"#,
            "A=\"x\"\n",
            "A=a b\n",
        ),
        (
            r#"{"name": "A", "value": "x", "format": "docker"}"#,
            "A=\"x\"\n",
            "A=x\n",
        ),
        (
            r#"{"name": "A", "value": "a b", "format": "shell"}"#,
            "A=x # why\n",
            "A='a b' # why\n",
        ),
        (
            r#"{"name": "A", "value": "x", "format": "shell"}"#,
            "A=a'b'\"c\" # why\n",
            "A=x # why\n",
        ),
        (
            r#"{"name": "A", "value": "it's $5", "format": "compose"}"#,
            "A='x' # why\n",
            "A=\"it's \\$5\" # why\n",
        ),
        (
            r#"{"name": "A", "value": "$x", "format": "compose"}"#,
            "A=$x\n",
            "A='$x'\n",
        ),
        (
            r#"{"name": "A", "value": "a#b", "format": "compose"}"#,
            "A=a#b\n",
            "A=a#b\n",
        ),
        // Another variable's value is more than a line.
        (
            r#"{"name": "A", "value": "1", "format": "compose"}"#,
            "X=\"a\nA=0\nb\"\n",
            "X=\"a\nA=0\nb\"\nA=1\n",
        ),
        (
            r#"{"name": "A", "value": "1", "format": "docker"}"#,
            "X=\"a\nA=0\nb\"\n",
            "X=\"a\nA=1\nb\"\n",
        ),
    ];
    for (json, old, new) in cases {
        assert_eq!(edited(json, old).as_deref(), Ok(new), "{json} {old:?}");
    }
}

#[test]
fn what_readers_differ_about_needs_the_reader() {
    for (json, old) in [
        (r#"{"name": "A", "value": "a b"}"#, "A=x\n"),
        (r#"{"name": "A", "value": "a b"}"#, ""),
        (r#"{"name": "A", "value": "x"}"#, "A=y # why\n"),
        (r#"{"name": "A", "value": "x"}"#, "A=$y\n"),
        (r#"{"name": "A", "value": "x"}"#, "A= y\n"),
        (r#"{"name": "A", "value": "x"}"#, "B=\"y\nA=1\n\"\n"),
        (r#"{"name": "A", "value": "x"}"#, "B=y\\\nA=1\n"),
        (r#"{"name": "A", "state": "absent"}"#, "B=it's\nA=1\n"),
    ] {
        let why = edited(json, old).expect_err(old);
        assert!(why.contains("format"), "{json} {old:?}: {why}");
    }
    let refused = |json: &str| {
        let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
        value["path"] = "/env".into();
        let args: EnvFileArgs = serde_json::from_value(value).unwrap();
        EnvFile::validate(&args).expect_err(json)
    };
    assert!(
        refused(r#"{"name": "A", "value": "$x"}"#).contains("`A`: the value is not written alike")
    );
    assert!(refused(r#"{"name": "1A", "value": "x"}"#).contains("no name of a variable"));
    assert!(
        refused(r#"{"name": "a.b", "value": "x", "format": "shell"}"#)
            .contains("a shell takes no others")
    );
    assert!(
        refused(r#"{"name": "A", "value": "a\nb", "format": "docker"}"#)
            .contains("more than a line")
    );
    assert!(refused(r#"{"name": "A", "value": 5.30}"#).contains("`5.3`, and `5.30` would be"));
    assert!(refused(r#"{"name": "A", "value": true}"#).contains("in quotes"));
    refused(r#"{"name": "A"}"#);
    refused("{}");
    let broken = edit(
        &args(r#"{"name": "A", "value": "x", "format": "shell"}"#),
        b"B=1\nA='x\n",
    )
    .expect_err("open");
    assert_eq!(broken, "/env:2: a quote is not closed; it is left as it is");
    let broken =
        edit(&args(r#"{"name": "A", "value": "x"}"#), b"B=1\nA=\xff\n").expect_err("no UTF-8");
    assert_eq!(broken, "/env:2: it is no UTF-8");
}

/// What a shell has in a variable of the file.
fn as_sourced(file: &str, name: &str) -> Vec<u8> {
    let mut at = tempfile::NamedTempFile::new().unwrap();
    at.write_all(file.as_bytes()).unwrap();
    let script = format!(". \"$1\"; printf %s \"${name}\"");
    let words = ["-c", &script, "sh"];
    let said = Command::new("sh")
        .args(words)
        .arg(at.path())
        .env_clear()
        .output()
        .unwrap();
    assert!(
        said.status.success(),
        "{file:?}: {}",
        String::from_utf8_lossy(&said.stderr)
    );
    said.stdout
}

fn value() -> impl Strategy<Value = String> {
    "([a-z\"'\\\\$`#!~ :=\n\té]|\\$\\{x\\}|\\$x){0,12}"
}

fn style() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("old"), Just("'o l d'"), Just("\"old\""), Just("")]
}

proptest! {
    #[test]
    fn a_shell_reads_what_was_asked(value in value(), style in style(), other in value()) {
        let other = written(&other, "", Some(Format::Shell)).unwrap();
        let old = format!("Z={other}\nA={style} # tail\nB=1\n");
        let json = serde_json::json!({"name": "A", "value": value, "format": "shell"});
        let new = edited(&json.to_string(), &old).unwrap();
        prop_assert_eq!(as_sourced(&new, "A"), value.as_bytes());
        prop_assert_eq!(as_sourced(&new, "B"), b"1");
        prop_assert!(new.starts_with(&format!("Z={other}\nA=")) && new.ends_with(" # tail\nB=1\n"), "{}", new);
    }

    #[test]
    fn what_a_shell_reads_is_understood(raw in "([a-z\"'\\\\ #$~]|\\$\\{h\\}){0,10}") {
        let file = format!("A={raw}\n");
        if let Ok(found) = variables(&file, Some(Format::Shell))
            && let Meaning::Is(value) = &found[0].meaning
            && found[0].line == (0..file.len())
            // What comes behind the value is a command, or a comment.
            && file[found[0].value.end..].trim_start().chars().next().is_none_or(|c| c == '#')
        {
            prop_assert_eq!(as_sourced(&file, "A"), value.as_bytes());
        }
    }

    #[test]
    fn what_is_agreed_is_agreed(raw in "[a-z\"' #$=.:,\\\\]{0,8}") {
        let file = format!("A={raw}\n");
        if let Ok(found) = variables(&file, None)
            && let Meaning::Is(value) = &found[0].meaning
        {
            prop_assert_eq!(as_sourced(&file, "A"), value.as_bytes());
            let compose = variables(&file, Some(Format::Compose)).unwrap();
            prop_assert_eq!(&compose[0].meaning, &found[0].meaning);
            let docker = variables(&file, Some(Format::Docker)).unwrap();
            let Meaning::Is(docker) = &docker[0].meaning else { panic!("docker computes nothing") };
            prop_assert!(docker == value || docker.trim_end().trim_matches(['"', '\'']) == value);
        }
    }

    #[test]
    fn what_is_written_for_compose_is_read_so(value in value(), style in style()) {
        let json = serde_json::json!({"name": "A", "value": value, "format": "compose"});
        let new = edited(&json.to_string(), &format!("A={style}\nB=2\n")).unwrap();
        let found = variables(&new, Some(Format::Compose)).unwrap();
        prop_assert_eq!(&found[0].meaning, &Meaning::Is(value));
        prop_assert_eq!(&found[1].meaning, &Meaning::Is("2".to_owned()));
    }
}
