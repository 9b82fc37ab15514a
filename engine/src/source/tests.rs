use super::{Kind, Node, Sources, locate, parse, parse_all};
use crate::diag::place;

fn read(text: &str) -> (Sources, Vec<Node>, Vec<String>) {
    let sources = Sources::new();
    let file = sources.add("t.yaml", text);
    let mut errors = Vec::new();
    let nodes = parse_all(&sources, file, &mut errors);
    let shown = errors
        .iter()
        .map(|d| {
            let at = d.primary.as_ref().map(|l| place(&sources, l.span));
            let (line, column) = at.map_or((0, 0), |(_, l, c)| (l, c));
            format!("{line}:{column} {}: {}", d.id, d.message)
        })
        .collect();
    (sources, nodes, shown)
}

/// Every node with the characters that it spans.
fn spans(node: &Node, file: &str, found: &mut Vec<String>) {
    let text = &file[node.span.start as usize..node.span.end as usize];
    match &node.kind {
        Kind::Scalar { .. } => found.push(text.to_owned()),
        Kind::Seq(items) => {
            found.push(text.to_owned());
            items.iter().for_each(|i| spans(i, file, found));
        }
        Kind::Map(entries) => {
            found.push(text.to_owned());
            for (key, value) in entries {
                spans(key, file, found);
                spans(value, file, found);
            }
        }
        Kind::Value(_) | Kind::Encrypted(_) => found.push(format!("value {text}")),
    }
}

#[test]
fn every_node_spans_what_it_is_written_as() {
    for (text, expected) in [
        ("a: 1\n", vec!["a: 1", "a", "1"]),
        (
            "- 'x y'\n- \"z\"\n",
            vec!["- 'x y'\n- \"z\"", "'x y'", "\"z\""],
        ),
        ("k: [a, b]\n", vec!["k: [a, b]", "k", "[a, b]", "a", "b"]),
        ("k: {a: b}\n", vec!["k: {a: b}", "k", "{a: b}", "a", "b"]),
        (
            "k: |\n  one\n  two\nz: 1\n",
            vec!["k: |\n  one\n  two\nz: 1", "k", "one\n  two", "z", "1"],
        ),
        (
            "k: >-\n  one\n  two\n\n",
            vec!["k: >-\n  one\n  two", "k", "one\n  two"],
        ),
        ("k:\n  a:\n", vec!["k:\n  a:", "k", "a:", "a", ""]),
        ("ü: 'ä'\n", vec!["ü: 'ä'", "ü", "'ä'"]),
        ("k: &x v\nl: *x\n", vec!["k: &x v\nl", "k", "v", "l", "v"]),
    ] {
        let (_, nodes, errors) = read(text);
        assert!(errors.is_empty(), "{errors:?}");
        let mut found = Vec::new();
        spans(&nodes[0], text, &mut found);
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_rest_is_read() {
    for (text, expected, read_anyway) in [
        (
            "a: 1\nb: 2\na: 3\nc: 4\nb: 5\n",
            vec![
                "3:1 duplicate-key: the key `a` stands twice",
                "5:1 duplicate-key: the key `b` stands twice",
            ],
            "a b c",
        ),
        (
            "a: {{ x }}\nb: 1\n",
            vec!["1:5 key-not-text: a key of a mapping has to be a text"],
            "a b",
        ),
        (
            "<<: 5\nb: 1\n",
            vec!["1:5 merge-not-mapping: `<<` takes a mapping or a list of mappings"],
            "b",
        ),
        (
            "a: !frob x\nb: 1\n",
            vec!["1:10 unknown-tag: the tag `!frob` has no meaning here"],
            "a b",
        ),
        (
            "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  61\nb: 1\n",
            vec![
                "2:3 vault-string: this string cannot be decrypted: it is damaged: its end or a part of it is missing",
            ],
            "a b",
        ),
        (
            "a: &x [*x]\n",
            vec!["1:8 alias-cycle: this alias stands within its own anchor"],
            "",
        ),
        ("a: [1, 2\nb: 3\n", vec!["2:2 yaml: this is not YAML: "], ""),
        ("a:\n\t- x\n", vec!["2:2 yaml: "], ""),
        ("a: *nothing\n", vec!["1:4 yaml: "], ""),
        ("a: \"open\n", vec!["2:1 yaml: "], ""),
    ] {
        let (_, nodes, errors) = read(text);
        assert_eq!(errors.len(), expected.len(), "{text}: {errors:?}");
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let keys: Vec<&str> = match nodes.first().map(|n| &n.kind) {
            Some(Kind::Map(entries)) => entries.iter().filter_map(|(k, _)| k.text()).collect(),
            _ => Vec::new(),
        };
        assert_eq!(keys.join(" "), read_anyway, "{text}");
    }
}

#[test]
fn slips_that_break_yaml_come_with_help() {
    for (text, help) in [
        ("a:\n\t- x\n", "indent with spaces"),
        ("a: {{ x }}/y\n", "has to be quoted"),
        ("name: Stop: now\n", "holds `: `"),
    ] {
        let sources = Sources::new();
        let file = sources.add("t.yaml", text);
        let errors = parse(&sources, file).unwrap_err();
        let given = errors[0].help.clone().unwrap_or_default();
        assert!(given.contains(help), "{text}: {errors:?}");
    }
}

#[test]
fn anchors_and_merge_keys() {
    let text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nall:\n  <<: [*b, *m]\n  x: own\n";
    let (_, nodes, errors) = read(text);
    assert_eq!(errors, Vec::<String>::new());
    let all = super::untyped(nodes[0].get("all").unwrap()).to_json(false);
    assert_eq!(all, serde_json::json!({"x": "own", "y": 2, "z": 4}));
}

#[test]
fn an_alias_bomb_is_stopped() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let item = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", "));
    }
    let (_, _, errors) = read(&text);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("too-large"), "{errors:?}");
}

#[test]
fn tags_give_types() {
    let (_, nodes, errors) = read("[!!str 80, !!int '80', !unsafe '{{ x }}', 080, '80', 80]\n");
    assert_eq!(errors, Vec::<String>::new());
    let value = super::untyped(&nodes[0]).to_json(false);
    assert_eq!(
        value,
        serde_json::json!(["80", 80, "{{ x }}", "080", "80", 80])
    );
    let Kind::Seq(items) = &nodes[0].kind else {
        panic!()
    };
    assert!(
        matches!(items[2].kind, Kind::Value(_)),
        "what is unsafe is never a template"
    );
}

#[test]
fn places_within_scalars() {
    // The word MARK in the text of the scalar is underlined where it is written.
    for (text, line, column) in [
        ("k: a MARK b\n", 1, 6),
        ("k: 'it''s MARK'\n", 1, 11),
        ("k: \"a\\tb\\\"\\u00e4 MARK\"\n", 1, 18),
        ("k: \"a\\\n    MARK\"\n", 2, 5),
        ("k: |\n  one\n    two MARK\n", 3, 9),
        ("k: >-\n  one\n  two\n\n  MARK\n", 5, 3),
        ("k: one\n  two\n  MARK\n", 3, 3),
        ("k: |-\n  \"quoted\" ''MARK''\n", 2, 14),
        ("k: |2-\n    ä MARK\n", 2, 7),
        ("k: 'one\n\n  ä MARK'\n", 3, 5),
    ] {
        let (sources, nodes, errors) = read(text);
        assert_eq!(errors, Vec::<String>::new());
        let node = nodes[0].get("k").unwrap();
        let at = node.text().unwrap().find("MARK").unwrap();
        let span = locate(&sources, node, at..at + 4);
        assert_eq!(
            &text[span.start as usize..span.end as usize],
            "MARK",
            "{text}"
        );
        let (_, found_line, found_column) = place(&sources, span);
        assert_eq!((found_line, found_column), (line, column), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_fall(text in "[-a-c:#'\"\\[\\]{}&*!|>%@`,? \\t\\n\\r\u{fe}ü]{0,60}") {
        let (_, nodes, _) = read(&text);
        for node in &nodes {
            spans(node, &text, &mut Vec::new());
        }
    }

    /// Whatever a text holds: written as a scalar of each style it is read as the same text, and each of its words is
    /// found where it stands.
    #[test]
    fn scalars_come_back(words in proptest::collection::vec("[a-zä'\"\\\\{}:#-]{1,6}", 1..6)) {
        let text = words.join(" ");
        let double = serde_json::to_string(&text).unwrap();
        let single = format!("'{}'", text.replace('\'', "''"));
        for written in [double, single, format!("|-\n    {text}"), format!(">-\n    {}", words.join("\n    "))] {
            let file = format!("k: {written}\n");
            let (sources, nodes, errors) = read(&file);
            proptest::prop_assert!(errors.is_empty(), "{file}: {errors:?}");
            let node = nodes[0].get("k").unwrap();
            proptest::prop_assert_eq!(node.text(), Some(text.as_str()));
            let mut at = 0;
            for word in &words {
                let span = locate(&sources, node, at..at + word.len());
                let found = &file[span.start as usize..span.end as usize];
                let plain = match written.as_bytes()[0] {
                    b'"' => serde_json::from_str(&format!("\"{found}\"")).unwrap(),
                    b'\'' => found.replace("''", "'"),
                    _ => found.to_owned(),
                };
                proptest::prop_assert_eq!(&plain, word);
                at += word.len() + 1;
            }
        }
    }
}

#[test]
fn plain_scalars_mean_what_they_mean_to_ansible() {
    use serde_json::json;
    // What ansible-core 2.19 makes of each, but for those that stay texts here (docs/ansible.md).
    for (text, expected) in [
        ("0o17", json!("0o17")),
        ("1_000", json!(1000)),
        ("1__0", json!(10)),
        ("0b11", json!(3)),
        ("0b1_0", json!(2)),
        ("0b2", json!("0b2")),
        ("0x1F", json!(31)),
        ("-0x1F", json!(-31)),
        ("0x1_F", json!(31)),
        ("+5", json!(5)),
        ("_1", json!("_1")),
        ("1e3", json!("1e3")),
        ("12e03", json!("12e03")),
        ("1.5e3", json!("1.5e3")),
        ("1.0e+3", json!(1000.0)),
        (".5e3", json!(".5e3")),
        ("1.", json!(1.0)),
        (".5", json!(0.5)),
        ("0.1_5", json!(0.15)),
        ("685_230.15", json!(685_230.15)),
        ("1_000.5", json!(1000.5)),
        ("-1.5", json!(-1.5)),
        ("y", json!("y")),
        ("N", json!("N")),
        ("yes", json!(true)),
        ("Yes", json!(true)),
        ("YES", json!(true)),
        ("Off", json!(false)),
        ("tRue", json!("tRue")),
        ("Null", json!(null)),
        ("~", json!(null)),
        ("=", json!("=")),
        ("-", json!("-")),
        ("08", json!("08")),
        // These stay texts.
        ("0644", json!("0644")),
        ("2024-01-01", json!("2024-01-01")),
        ("12:30:45", json!("12:30:45")),
        ("1:30", json!("1:30")),
        (".inf", json!(".inf")),
    ] {
        let sources = Sources::new();
        let span = sources.whole(sources.add("x", text));
        let node = Node {
            span,
            kind: Kind::Scalar {
                text: text.to_owned(),
                plain: true,
            },
        };
        assert_eq!(super::untyped(&node).to_json(false), expected, "{text}");
    }
}
