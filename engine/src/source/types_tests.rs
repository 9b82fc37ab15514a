//! What a written or rendered value is taken for, by the type that is wanted: both ways, read and checked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Node, Sources, check_args, from_node, parse_all};
use crate::diag::{Diagnostic, place};
use crate::value::{Secret, Value};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {
    path: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    state: State,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    inner: Option<Inner>,
    #[serde(default)]
    password: Option<Secret>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Present,
    Absent,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inner {
    url: String,
}

fn shown(d: &Diagnostic, sources: &Sources) -> String {
    let (_, line, column) = place(sources, d.primary.as_ref().unwrap().span);
    let help = d
        .help
        .as_ref()
        .map(|h| format!(" ({h})"))
        .unwrap_or_default();
    format!("{line}:{column} {}: {}{help}", d.id, d.message)
}

/// As read by serde: the JSON of what came out, or the first mistake. And all mistakes that the check finds.
fn both(text: &str) -> (Result<String, String>, Vec<String>) {
    let sources = Sources::new();
    let file = sources.add("t.yaml", text);
    let node = parse_all(&sources, file, &mut Vec::new()).remove(0);
    let read = from_node::<Args>(&node)
        .map(|a| serde_json::to_string(&a).unwrap())
        .map_err(|d| shown(&d, &sources));
    let schema = serde_json::to_value(schemars::schema_for!(Args)).unwrap();
    let deferred = |n: &Node| n.text().is_some_and(|t| t.contains("{{"));
    let checked = check_args(&schema, &node, &deferred);
    (read, checked.iter().map(|d| shown(d, &sources)).collect())
}

#[test]
fn the_position_gives_the_type() {
    for (text, part) in [
        ("path: 80", r#""path":"80""#),
        ("path: 0644", r#""path":"0644""#),
        ("path: yes", r#""path":"yes""#),
        ("path: 1.10", r#""path":"1.10""#),
        ("{path: x, port: 80}", r#""port":80"#),
        ("{path: x, port: '80'}", r#""port":80"#),
        ("{path: x, port: }", r#""port":null"#),
        ("{path: x, force: on}", r#""force":true"#),
        ("{path: x, force: 'No'}", r#""force":false"#),
        ("{path: x, force: 1}", r#""force":true"#),
        ("{path: x, names: one}", r#""names":["one"]"#),
        ("{path: x, names: 'a,b'}", r#""names":["a,b"]"#),
        ("{path: x, names: [a, 1]}", r#""names":["a","1"]"#),
        ("{path: x, state: absent}", r#""state":"absent""#),
        (
            "{path: x, labels: {a: 1, b: true}}",
            r#""labels":{"a":"1","b":"true"}"#,
        ),
        ("{path: x, inner: {url: y}}", r#""inner":{"url":"y"}"#),
        ("{path: x, password: 007}", r#""password":"007""#),
    ] {
        let (read, checked) = both(text);
        assert!(
            read.as_ref().is_ok_and(|r| r.contains(part)),
            "{text}: {read:?}"
        );
        assert_eq!(checked, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn mistakes_are_the_same_read_and_checked_and_stand_at_their_place() {
    for (text, id_and_place) in [
        ("{path: x, port: many}", "1:17 wrong-type"),
        ("{path: x, port: 99999}", "1:17 bad-value"),
        ("{path: x, port: -1}", "1:17 bad-value"),
        ("{path: [x]}", "1:8 wrong-type"),
        ("{path: x, force: maybe}", "1:18 wrong-type"),
        ("{path: x, names: {a: b}}", "1:18 wrong-type"),
        ("{path: x, names: [a, [b]]}", "1:22 wrong-type"),
        ("{path: x, state: absnet}", "1:18 bad-value"),
        ("{path: x, inner: {ulr: y}}", "1:19 unknown-argument"),
        ("{path: x, inner: {}}", "1:18 missing-argument"),
        ("{path: x, labels: [a]}", "1:19 wrong-type"),
        ("{path: x, prot: 1}", "1:11 unknown-argument"),
        ("{port: 1}", "1:1 missing-argument"),
    ] {
        let (read, checked) = both(text);
        let read = read.unwrap_err();
        assert!(
            checked.iter().any(|c| c.starts_with(id_and_place)),
            "{text}: checked {checked:?}"
        );
        let place = id_and_place.split(' ').next().unwrap();
        assert!(
            read.starts_with(&format!("{place} ")),
            "{text}: read {read}"
        );
    }
}

#[test]
fn the_check_finds_all_and_lets_templates_pass() {
    let text = "prot: 1\nforce: maybe\nport: '{{ p }}'\nnames: '{{ n }}'\nstate: absnet\ninner: '{{ i }}'\nlabels: {a: [1]}\n";
    let (_, mut checked) = both(text);
    checked.sort();
    let starts = [
        "1:1 missing-argument: the argument `path` is missing",
        "1:1 unknown-argument: unknown argument `prot` (did you mean `port`?)",
        "2:8 wrong-type: expected a truth value, found the text \"maybe\"",
        "5:8 bad-value: `absnet` is none of the values that this takes (did you mean `absent`?)",
        "7:13 wrong-type: expected a text, found a list",
    ];
    assert_eq!(checked, starts);
}

#[test]
fn what_is_not_known_is_an_error_with_its_reason_and_a_secret_is_not_shown() {
    let span = super::Span {
        file: super::FileId::NOWHERE,
        start: 0,
        end: 0,
    };
    let of = |value: Value| Node {
        span,
        kind: Kind::Value(value),
    };
    let unknown =
        from_node::<String>(&of(Value::Unknown("until \"Swap\"".to_owned()))).unwrap_err();
    assert_eq!(
        (unknown.id, unknown.message.as_str()),
        ("unknown-value", "this is not known yet: until \"Swap\"")
    );
    let secret = || of(Value::Secret(Secret::new("hunter2")));
    assert_eq!(from_node::<String>(&secret()).unwrap(), "hunter2");
    for wrong in [
        from_node::<u16>(&secret()).unwrap_err(),
        from_node::<bool>(&secret()).unwrap_err(),
    ] {
        assert!(!wrong.message.contains("hunter2"), "{}", wrong.message);
    }
    assert_eq!(from_node::<String>(&of(Value::Bool(true))).unwrap(), "True");
    assert_eq!(
        from_node::<u16>(&of(Value::Str(" 80 ".into()))).unwrap(),
        80
    );
}
