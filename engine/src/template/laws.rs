//! What holds for every template: it never panics, never runs on without end, and never lets a secret or an unknown
//! value through unmarked.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use proptest::prelude::*;

use super::{DynamicNames, Engine, ErrorKind, FileOptions, Scope, TemplateError};
use crate::source::{Kind, Node, Sources, parse_one};
use crate::value::{Secret, Value};

fn layer(yaml: &str) -> Arc<IndexMap<String, Arc<Node>>> {
    let sources = Sources::new();
    let file = sources.add("vars.yaml", yaml.to_owned());
    let Some(Node {
        kind: Kind::Map(entries),
        ..
    }) = parse_one(&sources, file).unwrap()
    else {
        panic!("variables are a mapping")
    };
    let entries = entries.into_iter();
    Arc::new(
        entries
            .map(|(k, v)| (k.text().unwrap().to_owned(), Arc::new(v)))
            .collect(),
    )
}

/// Another host with its own variables.
struct Hosts;

impl DynamicNames for Hosts {
    fn get(&self, _: &str) -> Option<Value> {
        None
    }
    fn names(&self) -> Vec<String> {
        vec!["hostvars".to_owned(), "db1".to_owned()]
    }
    fn child(&self, name: &str) -> Option<Scope> {
        let mut scope = Scope::default();
        match name {
            "hostvars" => scope.push_dynamic(Arc::new(Self)),
            "db1" => scope.push_nodes(layer(
                "{port: 5432, name: db1, url: '{{ name }}:{{ port }}', pw_password: x}",
            )),
            _ => return None,
        }
        Some(scope)
    }
}

fn scope() -> Scope {
    let mut scope = Scope::default();
    scope.push_dynamic(Arc::new(Hosts));
    scope.push_nodes(layer(
        "
name: here
port: 80
plain: {a: {b: 1}}
says_no: 'off'
says_yes: 'yes'
plain_no: {x: {a: 'False'}}
self_ref: {host: h, url: 'http://{{ self_ref.host }}/', broken: '{{ nowhere }}'}
circle: '{{ circle2 }}'
circle2: {x: '{{ circle }}'}
opt: '{{ omit }}'
maybe: '{{ nothing | default(omit) }}'
db: {user: u, password: swordfish, port: 5432}
url: 'pg://{{ db.user }}:{{ db.password }}@h'
late: '{{ reg.stdout }}'
late_map: {known: 1, later: '{{ reg.rc }}'}
undefined_inside: 'x {{ nowhere.a }}'
",
    ));
    scope.push_values(Arc::new(IndexMap::from([
        (
            "reg".to_owned(),
            Value::Map(IndexMap::from([
                ("changed".to_owned(), Value::Bool(true)),
                ("failed".to_owned(), Value::Bool(false)),
                ("rc".to_owned(), Value::Unknown("until \"Swap\"".to_owned())),
                (
                    "stdout".to_owned(),
                    Value::Unknown("until \"Swap\"".to_owned()),
                ),
                ("code".to_owned(), Value::Str("{{ name }}".to_owned())),
            ])),
        ),
        (
            "all_later".to_owned(),
            Value::Unknown("until \"x\"".to_owned()),
        ),
        ("key".to_owned(), Value::Secret(Secret::new("hush"))),
        ("secret_no".to_owned(), Value::Secret(Secret::new("no"))),
        (
            "creds".to_owned(),
            Value::Map(IndexMap::from([
                ("port".to_owned(), Value::Int(1)),
                ("key".to_owned(), Value::Secret(Secret::new("hush"))),
            ])),
        ),
        (
            "runbook_run_time".to_owned(),
            Value::Str("2026-11-20T20:30:00Z".to_owned()),
        ),
    ])));
    scope
}

fn node(text: &str, plain: bool) -> Node {
    let sources = Sources::new();
    let file = sources.add("t", text.to_owned());
    let mut span = sources.whole(file);
    span.end = u32::try_from(text.len()).unwrap();
    Node {
        span,
        kind: Kind::Scalar {
            text: text.to_owned(),
            plain,
        },
    }
}

fn shown(result: Result<Value, TemplateError>) -> String {
    match result {
        Ok(Value::Unknown(why)) => format!("unknown: {why}"),
        Ok(value) => value.to_json(false).to_string(),
        Err(error) if error.kind == ErrorKind::Unknown => format!("unknown: {}", error.message),
        Err(error) => format!("{:?}: {}", error.kind, error.message),
    }
}

fn value(text: &str) -> String {
    let engine = Arc::new(Engine::new());
    shown(
        engine
            .value(&scope(), &node(text, false))
            .map_err(|e| e[0].clone()),
    )
}

#[track_caller]
fn table(rows: &[(&str, &str)], of: impl Fn(&str) -> String) {
    for (text, expected) in rows {
        assert_eq!(of(text), *expected, "{text}");
    }
}

#[test]
fn only_what_is_looked_at_is_rendered() {
    table(
        &[
            ("{{ self_ref.url }}", "\"http://h/\""),
            ("{{ self_ref.keys() | list }}", r#"["host","url","broken"]"#),
            ("{{ self_ref.broken is defined }}", "false"),
            ("{{ self_ref }}", "Undefined: `nowhere` is undefined"),
            ("{{ undefined_inside | default('d') }}", "\"d\""),
            (
                "{{ undefined_inside }}",
                "Undefined: `nowhere` is undefined",
            ),
            (
                "{{ circle }}",
                "Cycle: the variable `circle2` is made of itself: circle2 → circle2.x",
            ),
            ("{{ reg.code }}", "\"{{ name }}\""),
        ],
        value,
    );
}

#[test]
fn other_hosts_render_with_their_own_variables() {
    table(
        &[
            ("{{ hostvars['db1'].url }}", "\"db1:5432\""),
            ("{{ hostvars.db1.port }}", "5432"),
            ("{{ hostvars['db2'].port | default(1) }}", "1"),
            ("{{ hostvars['db1'].nope | default('n') }}", "\"n\""),
            ("{{ 'db1' in hostvars }}", "true"),
            (
                "{{ hostvars.db1.nope }}",
                "Undefined: `hostvars.db1.nope` is undefined",
            ),
            ("{{ hostvars['db1'].pw_password }}", "\"********\""),
        ],
        value,
    );
}

#[test]
fn omitted_things_are_taken_out() {
    let engine = Arc::new(Engine::new());
    let sources = Sources::new();
    let yaml = "{a: '{{ omit }}', b: '{{ opt }}', c: '{{ maybe }}', d: [1, '{{ omit }}'], e: '{{ [1, omit] }}', f: 'x{{ omit }}'}";
    let file = sources.add("t.yaml", yaml.to_owned());
    let tree = parse_one(&sources, file).unwrap().unwrap();
    let value = engine.value(&scope(), &tree).unwrap();
    assert_eq!(
        value.to_json(false).to_string(),
        r#"{"d":[1],"e":[1],"f":"x"}"#
    );
}

#[test]
fn secrets_mark_whatever_they_went_into() {
    table(
        &[
            ("{{ url }}", "\"********\""),
            ("{{ url | length }}", "\"********\""),
            ("{{ db.user }}", "\"u\""),
            ("{{ db.port }}", "5432"),
            (
                "{{ db }}",
                r#"{"user":"u","password":"********","port":5432}"#,
            ),
            ("{{ creds }}", r#"{"port":1,"key":"********"}"#),
            ("{{ creds.port }}", "1"),
            ("x{{ creds }}", "\"********\""),
            ("{{ creds | to_json | hash }}", "\"********\""),
            ("{{ [key, 1] }}", r#"["********","********"]"#),
            ("{{ {'a': key}.values() | list }}", r#"["********"]"#),
            ("{% set x = key %}{{ x | upper }}", "\"********\""),
            ("{% for c in key %}{{ c }}{% endfor %}", "\"********\""),
            (
                "{{ creds | combine({'z': 1}) | dict2items | map(attribute='value') | list }}",
                r#"["********","********","********"]"#,
            ),
            ("{{ key == 'hush' }}", "true"),
        ],
        value,
    );
}

#[test]
fn unknown_values_make_unknown_what_rests_on_them() {
    let swap = "unknown: until \"Swap\"";
    table(
        &[
            ("{{ reg.stdout }}", swap),
            ("{{ late }}", swap),
            ("a{{ late }}", swap),
            ("{{ late == 'x' }}", swap),
            ("{{ late in ['x'] }}", swap),
            ("{{ 'x' in late }}", swap),
            ("{{ late.split(',') | first }}", swap),
            ("{{ late | default('d') }}", swap),
            ("{{ 'a' if late else 'b' }}", swap),
            ("{{ not late }}", swap),
            ("{{ [late, 'x'] | join }}", swap),
            (
                "{{ [1, 2] | map('extract', [late, 'b', 'c']) | list | length }}",
                swap,
            ),
            ("{{ late is defined }}", "true"),
            ("{{ reg.stdout is defined and reg.changed }}", "true"),
            ("{{ late is undefined or late == 'x' }}", swap),
            (
                "{% set y = late %}{% if y is defined %}{{ y == 'a' }}{% endif %}",
                swap,
            ),
            ("{{ [late] | select('defined') | list | length }}", swap),
            ("{{ false and late }}", "false"),
            ("{{ true or late }}", "true"),
            ("{{ reg.changed }}", "true"),
            ("{{ reg is changed }}", "true"),
            ("{{ late_map.known }}", "1"),
            ("{{ all_later.a.b['c'] }}", "unknown: until \"x\""),
            ("{{ all_later is succeeded }}", "unknown: until \"x\""),
            ("{{ all_later is defined }}", "true"),
            ("{{ nowhere ~ late }}", swap),
            ("{% for x in late %}{{ x }}{% endfor %}", swap),
            ("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(late) }}", swap),
        ],
        value,
    );
    // What is known of a mapping stays known.
    let engine = Arc::new(Engine::new());
    let whole = engine
        .value(&scope(), &node("{{ late_map }}", false))
        .unwrap();
    assert_eq!(whole.get("known"), Some(&Value::Int(1)));
    assert_eq!(whole.unknown(), Some("until \"Swap\""));
    let strict = engine
        .render_known(&scope(), &node("{{ late_map }}", false))
        .unwrap_err();
    assert_eq!(strict[0].kind, ErrorKind::Unknown);
}

#[test]
fn conditions() {
    let engine = Arc::new(Engine::new());
    let holds = |text: &str| match engine.holds(&scope(), &node(text, true)) {
        Ok(truth) => truth.to_string(),
        Err(error) => shown(Err(error)),
    };
    table(
        &[
            ("true", "true"),
            ("port == 80", "true"),
            ("name == 'there'", "false"),
            ("not (port > 80)", "true"),
            ("nowhere is defined and nowhere.x", "false"),
            ("plain.a.zz is not defined", "true"),
            (
                "'no'",
                "Condition: the condition comes to the text `no`, and every text but the empty one is true",
            ),
            (
                "says_no",
                "Condition: `says_no` is the text `off`, and every text but the empty one is true",
            ),
            (
                "not says_no",
                "Condition: `says_no` is the text `off`, and every text but the empty one is true",
            ),
            (
                "(port == 80) and says_no",
                "Condition: `says_no` is the text `off`, and every text but the empty one is true",
            ),
            ("port == 81 and says_no", "false"),
            ("port == 80 or says_no", "true"),
            (
                "not (port == 81 or says_no | default(true))",
                "Condition: `says_no | default(true)` is the text `off`, and every text but the empty one is true",
            ),
            (
                "'x' if says_no else ''",
                "Condition: `says_no` is the text `off`, and every text but the empty one is true",
            ),
            (
                "not plain_no['x'].a",
                "Condition: `plain_no['x'].a` is the text `False`, and every text but the empty one is true",
            ),
            (
                "secret_no",
                "Condition: `secret_no` is the text `********`, and every text but the empty one is true",
            ),
            ("says_no | bool", "false"),
            ("not says_no | bool", "true"),
            ("says_no == 'off'", "true"),
            ("says_no | length > 0 and not says_no | bool", "true"),
            ("says_no is defined and says_no != ''", "true"),
            ("says_yes", "true"),
            ("not says_yes", "false"),
            ("name and true", "true"),
            ("not name", "false"),
            ("nowhere is defined and nowhere", "false"),
            ("not nowhere", "Undefined: `nowhere` is undefined"),
            ("not reg.rc", "unknown: until \"Swap\""),
            ("'x' if false", "false"),
            ("not ('x' if false)", "true"),
            ("'True'", "true"),
            ("''", "false"),
            ("[]", "false"),
            ("plain", "true"),
            ("none", "false"),
            ("0", "false"),
            ("{{ port == 80 }}", "true"),
            (r"'a.b' is match('a\\.b')", "true"),
            ("reg.rc == 0", "unknown: until \"Swap\""),
            ("port == 81 and reg.rc == 0", "false"),
            ("nowhere", "Undefined: `nowhere` is undefined"),
            (
                "name",
                "Condition: the condition comes to the text `here`, neither true nor false",
            ),
            (
                "key",
                "Condition: the condition comes to the text `********`, neither true nor false",
            ),
            (
                "name ==",
                "Syntax: unexpected end of input, expected expression",
            ),
        ],
        holds,
    );
}

#[test]
fn braces_within_a_condition() {
    let engine = Engine::new();
    for (text, help) in [
        (
            "'{{ name }}' == 'localhost'",
            "write it without the braces: `name == 'localhost'`",
        ),
        (
            "{{ a.b }} > {{- 3 -}}",
            "write it without the braces: `a.b > 3`",
        ),
        ("x in \"{{ y }}\"", "write it without the braces: `x in y`"),
    ] {
        let error = engine.check_syntax(&node(text, false), true).unwrap_err();
        assert_eq!(error.help.as_deref(), Some(help), "{text}: {error}");
        assert!(text[error.offset.unwrap()].starts_with("{{"));
    }
    for text in ["{{ port == 80 }}", "{% if a %}true{% endif %}", "a == 'b'"] {
        assert!(engine.check_syntax(&node(text, false), true).is_ok());
    }
}

#[test]
fn an_if_without_else() {
    table(
        &[
            ("a{{ 'x' if false }}b", "\"ab\""),
            (
                "{% for i in [1, 2] %}{{ i }}{{ ',' if not loop.last }}{% endfor %}",
                "\"1,2\"",
            ),
            ("{{ 'x' if false }}", "\"\""),
            ("{{ 'x' if true }}", "\"x\""),
            ("{{ ('x' if false) | default('d') }}", "\"d\""),
            ("{{ ('x' if false) | upper }}", "\"\""),
            ("{{ ('x' if false) | length }}", "0"),
            ("{{ ('x' if false) | string }}", "\"\""),
            ("{{ ('x' if false) | list }}", "[]"),
            ("{{ ('x' if false) | b64encode }}", "\"\""),
            ("{{ ('x' if false) ~ 'y' }}", "\"y\""),
            ("{{ ('x' if false) or 'z' }}", "\"z\""),
            ("{{ ('x' if false) is defined }}", "false"),
            ("{{ ['a', 'x' if false] | join(',') }}", "\"a,\""),
            ("{% set y = 'x' if false %}[{{ y }}]", "\"[]\""),
            ("{{ nowhere if false }}", "\"\""),
            (
                "a{{ nowhere if true }}",
                "Undefined: `nowhere` is undefined",
            ),
            // Beside something undefined that `default` saves, too.
            ("{{ 'x' if false }}{{ nowhere.a | default('d') }}", "\"d\""),
            ("{{ nowhere.a | default('x' if false) }}b", "\"b\""),
            (
                "{{ plain['zz'] }}{{ 'x' if false }}",
                "Undefined: `plain.zz` is undefined",
            ),
            (
                "{{ ['a', 'x' if false] }}",
                "Undefined: this `if` has no `else`, and its condition does not hold",
            ),
            (
                "{{ ('x' if false).y }}",
                "Undefined: this `if` has no `else`, and its condition does not hold",
            ),
            ("{{ 'x' if late }}", "unknown: until \"Swap\""),
        ],
        value,
    );
}

#[test]
fn mistakes_are_underlined_and_mended() {
    let engine = Arc::new(Engine::new());
    for (text, place, help) in [
        ("{{ prot }}", "prot", "did you mean `port`?"),
        ("a {{ plain.a.bb }} b", "plain.a.bb", "did you mean `b`?"),
        ("{{ plain.x.y.z }}", "plain.x", ""),
        ("{{ plain['x'] }}", "plain['x']", ""),
        (r"{{ 'a\b' ~ nmae }}", "nmae", "did you mean `name`?"),
        ("{{ name | uper }}", "name | uper", "did you mean `upper`?"),
        (
            "{{ name is mach('x') }}",
            "name is mach('x')",
            "did you mean `match`?",
        ),
        ("{{ lokup('env', 'X') }}", "lokup", "did you mean `lookup`?"),
        (
            "{{ name | random }}",
            "name | random",
            "its result differs from run to run; give the value in a variable",
        ),
        ("{% if prot %}x{% endif %}", "prot", "did you mean `port`?"),
        ("{{ name is changed }}", "name is changed", ""),
        ("{{ plain.a.c is failed }}", "plain.a.c", ""),
        (
            "{{ name % port }}",
            "name % port",
            "use `format`: `'%s' | format(x)`",
        ),
        ("{{ name if port = 1 }}", "=", "`==` compares"),
    ] {
        let error = engine
            .value(&scope(), &node(text, false))
            .unwrap_err()
            .remove(0);
        let found = &text[error.span.start as usize..error.span.end as usize];
        assert_eq!(
            (found, error.help.as_deref().unwrap_or("")),
            (place, help),
            "{text}: {error}"
        );
        let by_offset = error.offset.map(|r| text[r].to_owned());
        assert_eq!(by_offset.as_deref(), Some(place), "{text}");
    }
    let asked = engine
        .value(
            &scope(),
            &node("x{{ plain.a is failed or name is changed }}", false),
        )
        .unwrap_err()
        .remove(0);
    assert_eq!(
        asked.message,
        "`is changed` asks what a task has registered, and `name` is a text"
    );
    let broken = engine
        .value(&scope(), &node("{{ self_ref.broken }}", false))
        .unwrap_err()
        .remove(0);
    assert!(
        broken.used_at.is_some(),
        "the template that looked is named too"
    );
}

#[test]
fn places_are_exact_in_folded_and_escaped_scalars_too() {
    let yaml = "a: |\n  first line\n    second {{ nowhere.x }}\nb: >-\n  one {{ 1 }}\n  two {{ nowhere }}\nc: \"t\\tu\\u00e9 {{ nowhere }}\"\nd: 'it''s {{ nowhere }}'\ne: plain {{ 1 }}\n  over {{ nowhere }}\nf: \"x\\\n  y {{ nowhere }}\"\n";
    let sources = Sources::new();
    let file = sources.add("t.yaml", yaml.to_owned());
    let tree = parse_one(&sources, file).unwrap().unwrap();
    let errors = Arc::new(Engine::new()).render(&scope(), &tree).unwrap_err();
    let found: Vec<(&str, usize)> = errors
        .iter()
        .map(|e| {
            let span = e.exact_span(&sources);
            let (start, end) = (span.start as usize, span.end as usize);
            (&yaml[start..end], yaml[..start].matches('\n').count() + 1)
        })
        .collect();
    let lines = [3, 6, 7, 8, 10, 12];
    assert_eq!(found, lines.map(|line| ("nowhere", line)));
}

#[test]
fn names_are_checked_without_rendering() {
    let engine = Engine::new();
    let check = |text: &str, bare: bool| match engine.check_syntax(&node(text, false), bare) {
        Ok(()) => "fine".to_owned(),
        Err(error) => format!("{} [{}]", error.message, &text[error.offset.unwrap()]),
    };
    assert_eq!(check("{{ whatever | combine(x) }}", false), "fine");
    assert_eq!(
        check("x | nofilter", true),
        "there is no filter `nofilter` [x | nofilter]"
    );
    assert_eq!(
        check("{% macro m() %}{% endmacro %}{{ m() }}", false),
        "fine"
    );
    assert_eq!(check("{{ f(1) }}", false), "there is no function `f` [f]");
    for (text, message) in [
        ("x | fileglob", "there is no filter `fileglob`"),
        (
            "x | ansible.builtin.expandvars",
            "there is no filter `ansible.builtin.expandvars`",
        ),
        ("x | _judged", "there is no filter `_judged`"),
        ("x is exists", "there is no test `exists`"),
        (
            "'%s' % x",
            "`%` is the remainder of numbers, and does not format a text",
        ),
    ] {
        assert_eq!(check(text, true), format!("{message} [{text}]"));
    }
    let needed = |text| super::names(text, true).needed;
    assert_eq!(needed("vars.a ~ vars['b'] ~ vars[c]").len(), 4);
    assert!(needed("vars.a").contains("a") && !needed("vars.a").contains("vars"));
}

#[test]
fn template_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("part.j2"), "part of {{ name }}\n").unwrap();
    std::fs::write(folder.path().join("bad.j2"), "one\n{{ nowhere }}\n").unwrap();
    std::fs::write(
        folder.path().join("soft.j2"),
        "{{ nowhere.a | default('soft') }}",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("macros.j2"),
        "{% macro m(x) %}<{{ x }}>{% endmacro %}",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("base.j2"),
        "[{% block b %}base{% endblock %}]\n",
    )
    .unwrap();
    let engine = Arc::new(Engine::new());
    let path = folder.path().join("main.j2");
    let render = |text: &str| {
        let done = engine.file_value(&scope(), &path, text, FileOptions::default());
        shown(done).replace(&format!("{}/", folder.path().display()), "")
    };
    table(
        &[
            ("a\n{% if true %}\nb\n{% endif %}\nc\n", r#""a\nb\nc\n""#),
            ("  {% if true %}\nb\n  {% endif %}\n", r#""  b\n  ""#),
            (
                "#jinja2: lstrip_blocks: True\n  {% if true %}\nb\n  {% endif %}\n",
                r#""b\n""#,
            ),
            (
                "#jinja2: trim_blocks:False\n{% if true %}\nb\n{% endif %}\n",
                r#""\nb\n\n""#,
            ),
            ("{% include 'part.j2' %}", r#""part of here\n""#),
            ("{% include 'soft.j2' %}", r#""soft""#),
            ("{% import 'macros.j2' as m %}{{ m.m(1) }}", r#""<1>""#),
            (
                "{% extends 'base.j2' %}{% block b %}mine{% endblock %}",
                r#""[mine]\n""#,
            ),
            (r"{{ 'a\tb' }}", r#""a\tb""#),
            ("pw={{ db.password }}\n", r#""********""#),
            ("x {{ reg.rc }}", "unknown: until \"Swap\""),
            (
                "one\ntwo {{ nowhere }}\n",
                "Undefined: main.j2:2: `nowhere` is undefined",
            ),
            (
                "#jinja2: trim_blocks:False\n{{ nowhere }}\n",
                "Undefined: main.j2:2: `nowhere` is undefined",
            ),
            (
                "{% include 'bad.j2' %}",
                "Undefined: bad.j2:2: `nowhere` is undefined",
            ),
            (
                "one\n{% if %}",
                "Syntax: main.j2:2: unexpected end of block",
            ),
            (
                "{{ true }} {{ none }} {{ [1, 'a'] }}",
                r#""True  [1, 'a']""#,
            ),
        ],
        render,
    );
    let plain = engine
        .file_value(
            &scope(),
            Path::new("x.j2"),
            "{{ port }}",
            FileOptions::default(),
        )
        .unwrap();
    assert_eq!(plain.as_str(), Some("80"));
}

#[test]
fn times_and_lookups_are_those_of_the_run() {
    table(
        &[
            ("{{ now(fmt='%Y-%m-%d') }}", "\"2026-11-20\""),
            ("{{ now().strftime('%H:%M') }}", "\"20:30\""),
            ("{{ lookup('vars', 'port') }}", "80"),
            (
                "{{ lookup('pipe', 'date') }}",
                "Other: the lookup `pipe` is not made here: use the module `command` on localhost with `reads_only: true` and register its result",
            ),
            (
                "{{ 'x' | password_hash }}",
                "Other: `password_hash` without a salt gives another hash each time, so every run would change it; give `salt=`",
            ),
            ("{{ '192.0.2.7/24' | ipaddr('network') }}", "\"192.0.2.0\""),
            (
                "{{ '192.0.2.7/24' | ipaddr('netmask') }}",
                "\"255.255.255.0\"",
            ),
            ("{{ ['192.0.2.7', 'x'] | ipaddr }}", r#"["192.0.2.7"]"#),
            (
                "{{ '192.0.2.7' | ipaddr('192.0.2.0/24') }}",
                "\"192.0.2.7\"",
            ),
        ],
        value,
    );
}

#[test]
fn nothing_runs_on_without_end() {
    assert!(
        value("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
            .contains("too many steps")
    );
    assert!(value("{% set x = 'y' * 9000000 %}{{ x }}{{ x }}").contains("longer than"));
    assert!(value("{{ 'x' * 99999999999 }}").starts_with("Other"));
    let chain: String = (0..40)
        .map(|n| format!("v{n}: '{{{{ v{} }}}}'\n", n + 1))
        .collect();
    let mut deep = Scope::default();
    deep.push_nodes(layer(&chain));
    let engine = Arc::new(Engine::new());
    let error = engine
        .value(&deep, &node("{{ v0 }}", false))
        .unwrap_err()
        .remove(0);
    assert_eq!(error.kind, ErrorKind::Cycle);
    // Twenty are fine.
    let short: String = (0..20)
        .map(|n| format!("v{n}: '{{{{ v{} }}}}'\n", n + 1))
        .collect();
    let mut fine = Scope::default();
    fine.push_nodes(layer(&format!("{short}v20: end\n")));
    assert_eq!(
        engine.value(&fine, &node("{{ v0 }}", false)).unwrap(),
        Value::Str("end".to_owned())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,60}") {
        let engine = Arc::new(Engine::new());
        let _ = engine.value(&scope(), &node(&text, false));
        let _ = engine.holds(&scope(), &node(&text, true));
        let _ = engine.check_syntax(&node(&text, false), true);
    }

    #[test]
    fn arbitrary_templates_never_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{%", "%}", "{#", "#}", "-", " ", "name", "plain", "key", "reg", ".", "a", "[", "]", "(", ")",
        "'", "\"", "\\", "|", "default", "upper", "is", "defined", "not", "and", "or", "if", "endif", "for", "in",
        "endfor", "set", "=", "==", "+", "~", "1", "0", ",", ":", "{", "}", "é", "\n", "join", "map", "raw", "endraw",
        "late", "nowhere", "omit", "*", "**", "//", "%", "lookup", "hostvars", "dict2items", "to_nice_yaml",
    ]), 0..25)) {
        let text = parts.concat();
        let engine = Arc::new(Engine::new());
        for text in [text.clone(), format!("{{{{ {text} }}}}"), format!("{{{{ {} }}}}", parts.join(" "))] {
            if let Err(errors) = engine.value(&scope(), &node(&text, false)) {
                // Every place can be cut out of the text.
                for error in errors {
                    if let Some(range) = error.offset && error.used_at.is_none() {
                        prop_assert!(text.get(range.clone()).is_some() || error.kind == ErrorKind::Undefined, "{text}: {range:?}");
                    }
                }
            }
            let _ = engine.holds(&scope(), &node(&text, true));
        }
    }

    #[test]
    fn filters_never_panic_and_keep_secrets(at in 0..super::filters::FILTERS.len(), argument in prop::sample::select(vec![
        "", "'x'", "1", "[1]", "{'a': 1}", "none", "-1", "99", "'%Y'", "'a', 'b'", "0", "'('", "1, 0",
    ]), subject in prop::sample::select(vec![
        "key", "[key]", "{'k': key}", "creds", "key ~ 'ü'", "[[key, 1]]",
    ])) {
        let name = super::filters::FILTERS[at];
        let engine = Arc::new(Engine::new());
        let text = format!("{{{{ {subject} | {name}({argument}) }}}}");
        if let Ok(result) = engine.value(&scope(), &node(&text, false)) {
            let json = result.to_json(false).to_string();
            prop_assert!(!json.contains("hush") && !json.contains("HUSH"), "{text}: {json}");
        }
    }
}
