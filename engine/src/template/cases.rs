//! Expressions with the results that ansible-core 2.19 gives for them, and where this language means something else.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Engine, Scope};
use crate::source::{Kind, Node, Sources, parse_one};
use crate::value::Value;

/// Results that differ from Ansible's, each with its reason.
const DIFFERENT: &[(&str, &str, &str)] = &[
    (
        "{% raw %}\n{{ x }}\n{% endraw %}\nend",
        r#""{{ x }}\nend""#,
        "the line end behind `{% raw %}` is taken away as behind any tag",
    ),
    (
        r#"x{{ [s, 'a"b', "q'\"", 'x\\y', 'ü'] }}"#,
        r#""x[\"it's\", 'a\"b', 'q\\'\"', 'x\\\\\\\\y', 'ü']""#,
        "an escaped quote is the quote, without the backslash in front",
    ),
    (
        "x{{ (1,) }}",
        r#""x(1,)""#,
        "a tuple is printed as Python prints it",
    ),
    (
        "{{ [3,1] | union([1,4]) }}",
        "[3,1,4]",
        "the order of the lists, where Ansible's is that of a hash table",
    ),
    (
        "{{ [3,1] | ansible.builtin.union([1,4]) }}",
        "[3,1,4]",
        "the order of the lists, where Ansible's is that of a hash table",
    ),
    (
        "{{ 'x' | password_hash('sha512', 'abcdefgh') }}",
        r#""$6$abcdefgh$D7W7qyozKBT.t6FD3DVYHvADbIO0eSyI4.p20LaEUjro8PqTGYYo/EQcuNjhFbzo9Yg5ir1KIEqFY/yJpgFph0""#,
        "5000 rounds, as crypt(3) and Ansible without passlib; with it Ansible takes 656000",
    ),
    (
        "{{ 'secret' | password_hash('sha256', 'mysalt') }}",
        r#""$5$mysalt$I2SNajjJ3Gc5gIR/tkrLOGngF8wqv59buJCqxh.o9s8""#,
        "5000 rounds, as crypt(3) and Ansible without passlib; with it Ansible takes 535000",
    ),
    (
        "{{ yaml | from_yaml }}",
        r#"{"a":1,"b":["x","y"],"c":"0644"}"#,
        "numbers with a leading zero stay texts, in playbooks too",
    ),
    (
        "{{ '%s' % 'x' }}",
        r#"{"error":"`%` is the remainder of numbers, and does not format a text"}"#,
        "`%` is the remainder only; `format` does this",
    ),
    (
        "{{ '%03d' % 7 }}",
        r#"{"error":"`%` is the remainder of numbers, and does not format a text"}"#,
        "`%` is the remainder only; `format` does this",
    ),
    (
        "{{ ['x'] | random(seed='a') }}",
        r#"{"error":"there is no filter `random`"}"#,
        "Python's generator is not rebuilt here",
    ),
];

/// Texts that are quoted although YAML 1.1 would not ask for it: readers of YAML 1.2 take them for numbers.
const QUOTED: &[(&str, &str)] = &[("- 1e3\n", "- '1e3'\n"), ("- 0o17\n", "- '0o17'\n")];

fn variables() -> Scope {
    let sources = Sources::new();
    let file = sources.add("variables.json", include_str!("cases/variables.json"));
    let node = parse_one(&sources, file).unwrap().unwrap();
    let Kind::Map(entries) = node.kind else {
        panic!("the variables are a mapping")
    };
    let layer: IndexMap<String, Arc<Node>> = entries
        .into_iter()
        .map(|(k, v)| (k.text().unwrap().to_owned(), Arc::new(v)))
        .collect();
    let mut scope = Scope::default();
    scope.push_nodes(Arc::new(layer));
    scope
}

fn result(engine: &Arc<Engine>, scope: &Scope, text: &str) -> serde_json::Value {
    let sources = Sources::new();
    let file = sources.add("t", String::new());
    let node = Node {
        span: sources.whole(file),
        kind: Kind::Scalar {
            text: text.to_owned(),
            plain: false,
        },
    };
    match engine.value(scope, &node) {
        Ok(value) => value.to_json(false),
        Err(errors) => serde_json::json!({ "error": errors[0].message }),
    }
}

#[test]
fn as_ansible() {
    let engine = Arc::new(Engine::new());
    let scope = variables();
    let mut wrong = Vec::new();
    let mut cases = 0;
    let mut known = DIFFERENT.to_vec();
    for line in include_str!("cases/ansible.jsonl").lines() {
        let (text, mut expected): (String, serde_json::Value) = serde_json::from_str(line).unwrap();
        if let Some(yaml) = expected.as_str().filter(|_| text.contains("to_nice_yaml")) {
            let quoted = QUOTED
                .iter()
                .fold(yaml.to_owned(), |y, (a, b)| y.replace(a, b));
            expected = quoted.into();
        }
        cases += 1;
        let got = result(&engine, &scope, &text);
        if let Some(at) = known.iter().position(|(t, ..)| *t == text) {
            let (_, ours, why) = known.remove(at);
            let ours: serde_json::Value = serde_json::from_str(ours).unwrap();
            assert_eq!(got, ours, "{text} ({why})");
            assert_ne!(got, expected, "{text} is as in Ansible now");
        } else if Value::from_json(&got) != Value::from_json(&expected) {
            wrong.push(format!("{text}\n   ours    {got}\n   Ansible {expected}"));
        }
    }
    assert!(cases > 400, "{cases} cases");
    assert!(known.is_empty(), "no such case: {known:?}");
    assert!(
        wrong.is_empty(),
        "{} of {cases}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_name_that_is_suggested_exists() {
    let engine = Engine::new();
    let mut state = engine.strict.empty_state();
    for name in super::filters::FILTERS {
        let missing = state
            .apply_filter(name, &[])
            .is_err_and(|e| e.kind() == minijinja::ErrorKind::UnknownFilter);
        assert!(!missing, "filter {name}");
    }
    for name in super::tests_of::TESTS {
        let missing = state
            .perform_test(name, &[])
            .is_err_and(|e| e.kind() == minijinja::ErrorKind::UnknownTest);
        assert!(!missing, "test {name}");
    }
    let globals: Vec<&str> = engine.strict.globals().map(|(name, _)| name).collect();
    for name in super::filters::FUNCTIONS {
        assert!(globals.contains(name), "function {name}");
    }
    for name in globals {
        assert!(engine.is_global(name), "`{name}` is missing in FUNCTIONS");
    }
}
