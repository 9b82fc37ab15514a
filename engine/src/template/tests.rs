use std::sync::Arc;

use indexmap::IndexMap;

use super::{Engine, ErrorKind, Scope, names};
use crate::source::{Kind, Node, Sources, parse_one};
use crate::value::{Secret, Value};

fn scope(yaml: &str) -> Scope {
    let sources = Sources::new();
    let file = sources.add("vars.yaml", yaml.to_owned());
    let node = parse_one(&sources, file).unwrap().unwrap();
    let Kind::Map(entries) = node.kind else {
        panic!()
    };
    let layer: IndexMap<String, Arc<Node>> = entries
        .into_iter()
        .map(|(k, v)| (k.text().unwrap().to_owned(), Arc::new(v)))
        .collect();
    let mut scope = Scope::default();
    scope.push_nodes(Arc::new(layer));
    scope.push_values(Arc::new(IndexMap::from([
        ("later".to_owned(), Value::Unknown("until \"x\"".to_owned())),
        (
            "half".to_owned(),
            Value::Map(IndexMap::from([
                ("changed".to_owned(), Value::Bool(true)),
                ("rc".to_owned(), Value::Unknown("until \"y\"".to_owned())),
            ])),
        ),
        ("key".to_owned(), Value::Secret(Secret::new("hush"))),
        (
            "ran".to_owned(),
            Value::from_json(
                &serde_json::json!({"failed": false, "changed": true, "stdout": "a\nb"}),
            ),
        ),
    ])));
    scope
}

const VARS: &str = r"
name: arc
port: 8080
ports: [80, 443]
nested: {a: {b: 1}, list: [x, y]}
lazy: '{{ name }}-{{ port }}'
loop_a: '{{ loop_b }}'
loop_b: '{{ loop_a }}'
truth: true
admin_password: swordfish
mode: 0644
empty: ''
";

fn shown(text: &str) -> String {
    let sources = Sources::new();
    let file = sources.add(
        "t.yaml",
        format!("{}\n", serde_json::to_string(text).unwrap()),
    );
    let node = parse_one(&sources, file).unwrap().unwrap();
    match Arc::new(Engine::new()).value(&scope(VARS), &node) {
        Ok(value) => value.to_json(false).to_string(),
        Err(errors) => format!("{:?}: {}", errors[0].kind, errors[0].message),
    }
}

#[test]
fn expressions() {
    for (text, expected) in [
        ("plain", "\"plain\""),
        ("{{ name }}", "\"arc\""),
        ("{{ port }}", "8080"),
        ("{{ port }}!", "\"8080!\""),
        ("{{ ports }}", "[80,443]"),
        ("{{ ports }} {{ truth }}", "\"[80, 443] True\""),
        ("{{ lazy }}", "\"arc-8080\""),
        ("{{ mode }}", "\"0644\""),
        ("{{ nested.a.b + 1 }}", "2"),
        ("{{ nested['list'][0] }}", "\"x\""),
        ("{{ missing | default('d') }}", "\"d\""),
        ("{{ nested.nope | default('d') }}", "\"d\""),
        ("{{ {'a': 1} | combine({'b': 2}) }}", r#"{"a":1,"b":2}"#),
        ("{{ ports | map('string') | join(',') }}", "\"80,443\""),
        ("{{ 'a.b.c'.split('.')[1] }}", "\"b\""),
        ("{{ '/a/b.txt' | basename }}", "\"b.txt\""),
        ("{{ 'x' | b64encode }}", "\"eA==\""),
        (
            "{{ 'abc' | regex_replace('^(a)(.)', '\\2\\1') }}",
            "\"bac\"",
        ),
        ("{{ 'v5.31' | regex_search('[0-9.]+') }}", "\"5.31\""),
        ("{{ '5.9' is version('5.10', '<') }}", "true"),
        ("{{ '2.6.5-31.2' is version('2.6.6-32.0', '<') }}", "true"),
        ("{{ nested.a | dict2items }}", r#"[{"key":"b","value":1}]"#),
        ("{{ (port > 80) | ternary('y', 'n') }}", "\"y\""),
        ("{{ ran is changed and ran is succeeded }}", "true"),
        ("{{ ran.stdout.splitlines() | length }}", "2"),
        (
            "{{ nested | to_json }}",
            r#""{\"a\": {\"b\": 1}, \"list\": [\"x\", \"y\"]}""#,
        ),
        ("{% for p in ports %}{{ p }};{% endfor %}", "\"80;443;\""),
        ("{{ [[1],[2,[3]]] | flatten }}", "[1,2,3]"),
        ("{{ half.changed }}", "true"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn secrets_stay_secret() {
    for text in [
        "{{ key }}",
        "x{{ key }}",
        "{{ key | b64encode }}",
        "{{ admin_password }}",
        "{{ {'a': key}.a }}",
    ] {
        assert_eq!(shown(text), "\"********\"", "{text}");
    }
}

#[test]
fn what_is_unknown_makes_unknown_what_uses_it() {
    for (text, expected) in [
        ("{{ later }}", r#"{"__runbook_unknown":"until \"x\""}"#),
        ("a{{ later }}", r#"{"__runbook_unknown":"until \"x\""}"#),
        (
            "{{ later.stdout }}",
            r#"{"__runbook_unknown":"until \"x\""}"#,
        ),
        (
            "{{ half.rc + 1 }}",
            r#"{"__runbook_unknown":"until \"y\""}"#,
        ),
        (
            "{{ later is changed }}",
            r#"{"__runbook_unknown":"until \"x\""}"#,
        ),
        ("{{ false and later }}", "false"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn errors() {
    for (text, expected) in [
        ("{{ nmae }}", "Undefined: `nmae` is undefined"),
        ("{{ nested.x }}", "Undefined: `nested.x` is undefined"),
        (
            "{{ loop_a }}",
            "Cycle: the variable `loop_a` is made of itself: loop_a → loop_b → loop_a",
        ),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
    assert!(shown("{{ name").starts_with("Syntax: "));
    assert!(shown("{{ name | nofilter }}").starts_with("Syntax: "));
    assert!(
        shown("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}")
            .starts_with("Other")
    );
}

#[test]
fn places_are_exact() {
    let sources = Sources::new();
    let file = sources.add("t.yaml", "a: x {{ nope.x }} y\nb: \"{{ nope }}\"\n");
    let node = parse_one(&sources, file).unwrap().unwrap();
    let errors = Arc::new(Engine::new())
        .render(&Scope::default(), &node)
        .unwrap_err();
    let (_, text) = sources.get(file);
    let places: Vec<&str> = errors
        .iter()
        .map(|e| &text[e.span.start as usize..e.span.end as usize])
        .collect();
    assert!(errors.iter().all(|e| e.kind == ErrorKind::Undefined));
    assert_eq!(places, ["nope", "nope"]);
}

#[test]
fn names_of() {
    for (text, bare, all, needed) in [
        ("{{ a.b }} {{ c | default(1) }}", false, "a c", "a"),
        ("a is defined and a.b > c", true, "a c", "c"),
        ("{{ x | map('int') | list }}", false, "x", "x"),
        ("plain", false, "", ""),
    ] {
        let found = names(text, bare);
        let join = |s: &std::collections::BTreeSet<String>| {
            s.iter().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            (join(&found.all).as_str(), join(&found.needed).as_str()),
            (all, needed),
            "{text}"
        );
    }
}
