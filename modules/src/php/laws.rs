//! What holds of every php.ini and every edit, judged by PHP itself.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::edit::{Edit, Wished};
use super::extension::Sort;
use super::ini::{Ini, Scope, Value};
use super::value::Setting;
use crate::realdata::realdata;
use crate::skip::skip;

/// What PHP makes of each text: its settings, elements of lists left out; `None` where it does not read it to its end.
type Judged = Option<BTreeMap<Vec<u8>, Vec<u8>>>;

const JUDGE: &str = r#"
foreach (file("php://stdin") as $line) {
    $name = tempnam(sys_get_temp_dir(), "ini");
    file_put_contents($name, base64_decode($line));
    $all = @parse_ini_file($name);
    unlink($name);
    if ($all === false) { echo "!\n"; continue; }
    foreach ($all as $key => $value)
        if (!is_array($value)) echo base64_encode($key), ":", base64_encode($value), " ";
    echo "\n";
}
"#;

fn has_php(test: &str) -> bool {
    let has = Command::new("php").arg("-v").output().is_ok();
    if !has {
        skip(test, "no php");
    }
    has
}

fn judged(texts: &[&[u8]]) -> Vec<Judged> {
    let mut child = Command::new("php")
        .args(["-n", "-r", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = texts.iter().map(|t| STANDARD.encode(t) + "\n").collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        stdin.write_all(lines.as_bytes()).unwrap();
    });
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(out.status.success(), "{out:?}");
    let said = String::from_utf8(out.stdout).unwrap();
    let read = |line: &str| {
        let pairs = line.split_whitespace().map(|pair| {
            let (key, value) = pair.split_once(':').unwrap();
            let bytes = |text| STANDARD.decode(text).unwrap();
            (bytes(key), bytes(value))
        });
        (line != "!").then(|| pairs.collect())
    };
    let judged: Vec<Judged> = said.lines().map(read).collect();
    assert_eq!(judged.len(), texts.len());
    judged
}

/// What this module makes of a text, as PHP's answer looks; a value that depends is left out.
fn ours(ini: &Ini<'_>) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in ini.entries() {
        let value = match entry.value {
            Value::Is(value) => Some(value.clone()),
            Value::Depends => None,
        };
        if entry.offset {
            all.remove(entry.name);
        } else {
            all.insert(entry.name.to_vec(), value);
        }
    }
    all
}

/// Bits of files, those that are most likely to be misunderstood among them.
fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "a",
        "b",
        " a",
        "c[]",
        "c[x]",
        "memory_limit",
        "#x",
        "a.b",
    ]);
    let equals = prop::sample::select(vec![" = ", "=", "\t=  "]);
    let bit = prop::sample::select(vec![
        "on",
        "off",
        "12",
        "x",
        "foo bar",
        "\"q;\"",
        "\"a\\\"b\"",
        "'z'",
        " ",
        "E_ALL",
        "& ",
        "~ ",
        "| ",
        "! ",
        "(",
        ")",
        "\\",
        "$x",
        "${HOME}",
        "\"${HOME}\"",
        "1.5",
        "-1",
        "it's",
        "/tmp",
        "N;x",
        "\"C:\\x\\\"",
        "\"\\$x\\${HOME}\"",
        "{",
        "null",
        "=",
        "\"",
        "\\\"",
        "\\\\",
        "'",
        "\u{e9}",
        "128M",
        "\0",
    ]);
    let end = prop::sample::select(vec![
        "\n",
        "\n",
        "\r\n",
        " ; tail\n",
        "\n\n",
        "\n[PHP]\n",
        "\r",
        "\n;c=1\n",
        "\n[PATH=/x]\n",
        "",
    ]);
    let line = (name, equals, prop::collection::vec(bit, 0..4), end)
        .prop_map(|(name, equals, bits, end)| [name, equals, &bits.concat(), end].concat());
    let mark = prop::sample::select(vec!["", "", "\u{feff}"]);
    (mark, prop::collection::vec(line, 0..6))
        .prop_map(|(mark, lines)| [mark, &lines.concat()].concat().into_bytes())
}

#[test]
fn a_file_says_what_php_reads_in_it() {
    if !has_php("a_file_says_what_php_reads_in_it") {
        return;
    }
    let texts = prop::collection::vec(any_text(), 100);
    let mut runner = TestRunner::new(Config::with_cases(30));
    let seen = std::cell::Cell::new((0, 0));
    let result = runner.run(&texts, |texts| {
        let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        for (text, php) in texts.iter().zip(judged(&slices)) {
            let ini = Ini::read(text);
            let mut at = 0;
            for statement in &ini.statements {
                let mark = at == 0 && text.starts_with(b"\xef\xbb\xbf");
                prop_assert!(statement.at.start == at || mark, "{:?}", ini);
                at = statement.at.end;
            }
            match (php, &ini.broken) {
                (None, broken) => prop_assert!(broken.is_some(), "PHP drops a part of {text:?}"),
                (Some(mut php), broken) => {
                    prop_assert!(broken.is_some() || at == text.len(), "{ini:?}");
                    let mut ours = ours(&ini);
                    // What depends on the machine is set, too.
                    ours.retain(|name, value| value.is_some() || php.remove(name).is_none());
                    let ours: BTreeMap<_, _> = ours
                        .into_iter()
                        .filter_map(|(n, v)| Some((n, v?)))
                        .collect();
                    prop_assert_eq!(ours, php, "of {:?}", String::from_utf8_lossy(text));
                    seen.set((seen.get().0 + 1, seen.get().1 + at));
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    assert!(
        seen.get().0 > 500,
        "too few of the files are good: {seen:?}"
    );
}

/// One edit.
#[derive(Debug, Clone)]
enum Step {
    Set(String, serde_json::Value),
    Unset(String),
    Enable(String),
    Disable(String),
}

fn any_step() -> impl Strategy<Value = Step> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "memory_limit",
            "display_errors",
            "error_reporting",
            "extension_dir",
            "session.save_path",
            "mysqli.default_port",
            "mysqli.default_socket",
            "pdo_mysql.default_socket",
            "openssl.cafile",
            "date.timezone",
            "output_buffering",
            "short_open_tag",
            "magic_quotes_gpc",
            "include_path",
        ]),
        Just("site.own"),
        Just("own"),
    ]
    .prop_map(str::to_owned);
    let value = prop_oneof![
        any::<bool>().prop_map(|b| json!(b)),
        (-5_i64..100_000).prop_map(|n| json!(n)),
        prop::sample::select(vec![
            "On",
            "off",
            "8M",
            "8388608",
            "E_ALL & ~E_DEPRECATED & ~E_STRICT",
            "E_ALL",
            "/tmp",
            "ext",
            "./",
            "C:\\Program Files (x86)\\PHP\\ext\\",
            "\\\\server\\share",
            "N;/path",
            "it's",
            "a \"b\"",
            "",
            "none",
            "Europe/Vienna",
            "x=y",
            "a;b",
            "$x",
            "null",
            "1",
        ])
        .prop_map(|t| json!(t)),
        "[ -~\u{e9}]{0,12}".prop_map(|t| json!(t)),
    ];
    let extension = prop::sample::select(vec![
        "mbstring",
        "mysqli",
        "exif",
        "pdo_mysql",
        "openssl",
        "sodium",
        "imagick",
        "imagick.so",
        "php_curl.dll",
        "php8.2_imagick.dll",
        "oci8_12c",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        4 => (name.clone(), value).prop_map(|(n, v)| Step::Set(n, v)),
        1 => name.prop_map(Step::Unset),
        2 => extension.clone().prop_map(Step::Enable),
        1 => extension.prop_map(Step::Disable),
    ]
}

/// The step is done; `None` where the value cannot be written, which is said.
fn step(text: &[u8], step: &Step) -> Option<Vec<u8>> {
    let mut edit = Edit::new(text).unwrap();
    let wished = |name| Wished {
        name,
        sort: Sort::Php,
        form: None,
    };
    match step {
        Step::Set(name, value) => {
            let setting = Setting::read(value).unwrap();
            edit.set(name, &setting, &Scope::All).ok()?;
        }
        Step::Unset(name) => edit.unset(name, &Scope::All),
        Step::Enable(name) => edit.enable(wished(name)).unwrap(),
        Step::Disable(name) => edit.disable(wished(name)),
    }
    Some(edit.text().to_vec())
}

/// Lines that are not in both, at most: what is alike at the beginning and at the end does not count.
fn differing(one: &[u8], other: &[u8]) -> usize {
    let lines = |t: &'_ [u8]| {
        t.split_inclusive(|b| *b == b'\n')
            .map(|line| line.trim_ascii_end().to_vec())
            .collect::<Vec<_>>()
    };
    let (one, other) = (lines(one), lines(other));
    let front = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let back = one[front..].iter().rev().zip(other[front..].iter().rev());
    let back = back.take_while(|(a, b)| a == b).count();
    one.len().max(other.len()) - front - back
}

fn judge_steps(old: &[u8], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut texts = vec![old.to_vec()];
    let mut done = Vec::new();
    for one in steps {
        let before = texts.last().unwrap();
        let Some(after) = step(before, one) else {
            continue;
        };
        let twice = step(&after, one);
        prop_assert_eq!(
            twice.as_ref(),
            Some(&after),
            "a second time changes it again: {:?}",
            one
        );
        let several = matches!(one, Step::Unset(_) | Step::Disable(_));
        prop_assert!(
            several || differing(before, &after) <= 1,
            "{:?} changes more than a line",
            one
        );
        // A line becomes a comment and the same line again.
        if let Step::Enable(name) = one
            && after != *before
            && after.len() + 1 == before.len()
        {
            let undone = step(&after, &Step::Disable(name.clone())).unwrap();
            prop_assert_eq!(&undone, before);
        }
        done.push(one);
        texts.push(after);
    }
    let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let php = judged(&slices);
    for (n, one) in done.iter().enumerate() {
        let (Some(mut before), Some(mut after)) = (php[n].clone(), php[n + 1].clone()) else {
            return Err(TestCaseError::fail(format!(
                "PHP does not read it any more: {one:?}"
            )));
        };
        let name = match one {
            Step::Set(name, _) | Step::Unset(name) => name.as_str(),
            Step::Enable(_) | Step::Disable(_) => "extension",
        };
        let is = after.remove(name.as_bytes());
        before.remove(name.as_bytes());
        prop_assert_eq!(before, after, "{:?} changes another setting", one);
        match one {
            Step::Set(_, value) => {
                let setting = Setting::read(value).unwrap();
                let is = is.ok_or_else(|| TestCaseError::fail(format!("{one:?} is not set")))?;
                let text = match &setting {
                    Setting::Text(text) if !setting.agrees(&Value::Is(is.clone()), &is) => {
                        text.clone()
                    }
                    _ if setting.agrees(&Value::Is(is.clone()), &is) => continue,
                    // What depends on the machine.
                    Setting::Asis(text) if text.contains("${") => continue,
                    other => format!("{other:?}"),
                };
                // `0` agrees with the word `Off`, which PHP gives as nothing.
                prop_assert!(
                    text == "0" && is.is_empty(),
                    "{:?} is {:?}",
                    one,
                    String::from_utf8_lossy(&is)
                );
            }
            Step::Unset(_) => prop_assert_eq!(is, None),
            Step::Enable(_) | Step::Disable(_) => {}
        }
    }
    Ok(())
}

#[test]
fn an_edit_changes_what_it_was_asked_to_and_nothing_else() {
    let test = "an_edit_changes_what_it_was_asked_to_and_nothing_else";
    let Some(folder) = realdata(test, "php") else {
        return;
    };
    if !has_php(test) {
        return;
    }
    let mut files: Vec<Vec<u8>> = Vec::new();
    for kind in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(kind.unwrap().path()).unwrap() {
            files.push(std::fs::read(file.unwrap().path()).unwrap());
        }
    }
    assert!(files.len() >= 5);
    files.push(
        b"\xef\xbb\xbf[PHP]\r\nmemory_limit = 1M ; tail\r\nextension=php_mbstring.dll\r\n".to_vec(),
    );
    files.push(b"[PHP]\n;extension=gd.so\n[Session]\nown=2".to_vec());
    files.push(Vec::new());
    let cases = if std::env::var_os("RUNBOOK_LONG").is_some() {
        2_000
    } else {
        150
    };
    let steps = (
        prop::sample::select(files),
        prop::collection::vec(any_step(), 1..14),
    );
    let mut runner = TestRunner::new(Config::with_cases(cases));
    let result = runner.run(&steps, |(file, steps)| judge_steps(&file, &steps));
    result.unwrap_or_else(|e| panic!("{e}"));
}

/// What a PHP that is started with this file says of settings, by name.
fn configured(text: &[u8], names: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("php.ini");
    std::fs::write(&file, text).unwrap();
    let code =
        "foreach (array_slice($argv, 1) as $n) echo var_export(get_cfg_var($n), true), \"\\n\";";
    let out = Command::new("php")
        .env("PHP_INI_SCAN_DIR", "")
        .arg("-c")
        .arg(&file)
        .args(["-r", code, "--"])
        .args(names)
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_for_all_stands_before_what_is_for_one_path() {
    if !has_php("what_is_for_all_stands_before_what_is_for_one_path") {
        return;
    }
    let text = b"[PHP]\nprecision=9\n\n[PATH=/srv/x]\npost_max_size=1M\n[Session]\nown=2\n";
    // A section of another name does not end it.
    let names = ["precision", "post_max_size", "own"];
    assert_eq!(configured(text, &names), ["'9'", "false", "false"]);
    let mut edit = Edit::new(text).unwrap();
    let number = |n| Setting::read(&json!(n)).unwrap();
    edit.set("own", &number(3), &Scope::All).unwrap();
    edit.set("post_max_size", &number(7), &Scope::All).unwrap();
    let path = Scope::Only(b"PATH=/srv/x".to_vec());
    edit.set("post_max_size", &number(5), &path).unwrap();
    let host = Scope::Only(b"HOST=pacs.example".to_vec());
    edit.set("post_max_size", &number(6), &host).unwrap();
    assert_eq!(
        String::from_utf8_lossy(edit.text()),
        "[PHP]\nprecision=9\nown = 3\npost_max_size = 7\n\n[PATH=/srv/x]\npost_max_size=5\n[Session]\nown=2\n\
         [HOST=pacs.example]\npost_max_size = 6\n"
    );
    assert_eq!(configured(edit.text(), &names), ["'9'", "'7'", "'3'"]);
}
