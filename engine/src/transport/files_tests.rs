//! Reading files on a host whose users choose names that look like answers.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::super::quote::{command_line, one_line};
use super::*;
use crate::host::ReadCommand;

/// The shells of this machine, busybox with its own tools.
fn shells() -> Vec<(&'static str, Vec<&'static str>)> {
    let all = [
        ("dash", vec!["dash", "-c"]),
        ("bash", vec!["bash", "-c"]),
        ("busybox", vec!["busybox", "sh", "-c"]),
    ];
    let (found, absent): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, line)| {
        let there = Command::new(line[0]).args(&line[1..]).arg("true").output();
        there.is_ok_and(|o| o.status.success())
    });
    for (name, _) in absent {
        eprintln!("skipped: files with {name}: it is not installed");
    }
    assert!(!found.is_empty());
    found
}

fn output(shell: &(&str, Vec<&str>), script: &str) -> Vec<u8> {
    let (name, line) = shell;
    let mut command = Command::new(line[0]);
    let tools = tempfile::tempdir().unwrap();
    if *name == "busybox" {
        let busybox = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join("busybox"))
            .find(|path| path.exists())
            .unwrap();
        for tool in ["stat", "readlink", "base64", "sha256sum"] {
            symlink(&busybox, tools.path().join(tool)).unwrap();
        }
        command = Command::new(&busybox);
        command.env("PATH", tools.path());
    }
    let done = command
        .args(&line[1..])
        .arg(one_line(script))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(done.status.success(), "{name}: {done:?}");
    done.stdout
}

type Answers = Vec<Result<FileEntry, HostError>>;

fn ask(shell: &(&str, Vec<&str>), queries: &[FileQuery]) -> Answers {
    let nonce = "0123456789abcdef";
    let whole = format!("{}{}", *FUNCTIONS, script(queries, nonce));
    answers(&output(shell, &whole), queries, nonce).unwrap()
}

fn query(path: &Path, follow: bool) -> FileQuery {
    FileQuery {
        path: path.to_str().unwrap().to_owned(),
        follow,
        content_up_to: Some(100),
    }
}

/// A folder with a hostile link, and a hostile folder that a link with a plain name leads to.
struct Trap {
    folder: tempfile::TempDir,
    target: Vec<u8>,
    name: Vec<u8>,
}

impl Trap {
    fn new(target: &[u8], name: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let hostile = at.join(OsStr::from_bytes(name));
        symlink(OsStr::from_bytes(target), at.join("a-link")).unwrap();
        std::fs::create_dir(&hostile).unwrap();
        symlink(OsStr::from_bytes(name), at.join("a-way")).unwrap();
        std::fs::write(hostile.join("f"), "within").unwrap();
        std::fs::write(at.join("a-file"), "plain").unwrap();
        Self {
            folder,
            target: target.to_vec(),
            name: name.to_vec(),
        }
    }

    fn holds(&self, shell: &(&str, Vec<&str>)) {
        let at = self.folder.path();
        let found = ask(
            shell,
            &[
                query(&at.join("a-link"), false),
                query(&at.join("a-way/f"), false),
                query(&at.join("a-way"), true),
                query(&at.join("a-way/gone"), false),
                query(&at.join("a-file"), false),
                query(&at.join("a-gone"), false),
            ],
        );
        let at = at.canonicalize().unwrap();
        let path = |path: &str| Some(at.join(path).to_str().unwrap().to_owned());
        let hostile = |suffix: &str| {
            let name = std::str::from_utf8(&self.name).ok()?;
            path(&format!("{name}{suffix}"))
        };
        // What is no text cannot be named, and is an error of this path alone.
        let agrees = |answer: &Result<FileEntry, HostError>,
                      expected: Option<String>,
                      of: fn(&FileEntry) -> Option<String>| {
            match (answer, expected) {
                (Ok(entry), Some(expected)) => assert_eq!(of(entry), Some(expected)),
                (Err(error), None) => assert!(error.to_string().contains("UTF-8"), "{error}"),
                other => panic!("{}: {other:?}", shell.0),
            }
        };
        let real = |entry: &FileEntry| Some(entry.real_path.clone());
        let target = std::str::from_utf8(&self.target).ok().map(str::to_owned);
        agrees(&found[0], target, |entry| entry.link.clone());
        agrees(&found[1], hostile("/f"), real);
        agrees(&found[2], hostile(""), real);
        agrees(&found[3], hostile("/gone"), real);
        let plain = found[4].as_ref().unwrap();
        assert_eq!(plain.content.as_deref(), Some(&b"plain"[..]));
        assert_eq!(Some(&plain.real_path), path("a-file").as_ref());
        let gone = found[5].as_ref().unwrap();
        assert_eq!(gone.file_type, FileType::Absent);
        assert_eq!(Some(&gone.real_path), path("a-gone").as_ref());
        if let Ok(within) = &found[1] {
            assert_eq!(within.content.as_deref(), Some(&b"within"[..]));
        }
    }

    /// Names of a folder's entries, as the kinds list them.
    fn is_listed(&self) {
        let from = format!("{}/", self.folder.path().display());
        let find = ReadCommand::new(["find", &from, "-maxdepth", "1", "-printf", "%P\\0"]);
        let listed = output(&("dash", vec!["sh", "-c"]), &command_line(&find));
        let names: Vec<&[u8]> = listed.split(|b| *b == 0).collect();
        assert!(names.contains(&&self.name[..]), "{names:?}");
        assert_eq!(names.len(), 6, "{names:?}");
    }
}

/// Bytes that mean something to shells, to `echo`, or in an answer.
fn hostile(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\n.\n".to_vec()),
        Just(b"\nabsent\n".to_vec()),
        Just(b"\n0123456789abcde 1 .\n".to_vec()),
        Just(b"\\n\\c\\0101".to_vec()),
        Just(b"'\"`$(x)".to_vec()),
        Just(b" * -n =x ".to_vec()),
        Just("ä€".as_bytes().to_vec()),
        Just(vec![0xff, 0xfe]),
        proptest::collection::vec(
            any::<u8>().prop_filter("no name", |b| *b != 0 && *b != b'/'),
            1..6
        ),
    ];
    proptest::collection::vec(part, 1..longest)
        .prop_map(|parts| parts.concat())
        .prop_filter("a name of its own", |name| {
            !matches!(&name[..], b"." | b"..") && !name.starts_with(b"a-")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn no_name_changes_what_is_told_of_another_path(target in hostile(6), name in hostile(5)) {
        let trap = Trap::new(&target, &name);
        for shell in shells() {
            trap.holds(&shell);
        }
        trap.is_listed();
    }
}

#[test]
fn a_link_cannot_answer_for_the_next_path() {
    for target in [
        "x\n.\nabsent /etc",
        "x\\n.\\nabsent /etc",
        "ends\n",
        "\n",
        "ends x",
    ] {
        let trap = Trap::new(target.as_bytes(), b"two\n.\nlines\n");
        shells().iter().for_each(|shell| trap.holds(shell));
    }
}

#[test]
fn of_a_link_that_is_followed_to_nothing_is_told_where_that_would_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    std::fs::create_dir(at.join("d")).unwrap();
    symlink("d", at.join("way")).unwrap();
    let links = [
        ("plain", "nowhere", "nowhere"),
        ("slash", "nowhere//", "nowhere"),
        ("chain", "way/on", "d/end"),
        ("below", "no/such/thing", "no/such/thing"),
        ("up", "d/../gone", "gone"),
        ("chain/in/deep", "", "d/end/in/deep"),
        ("plain/in", "", "nowhere/in"),
        ("ends", "with\n", "with\n"),
        ("hostile", "'$(x)\n.\nabsent", "'$(x)\n.\nabsent"),
    ];
    for (name, to, _) in links.iter().filter(|(_, to, _)| !to.is_empty()) {
        symlink(to, at.join(name)).unwrap();
    }
    symlink("../d/end", at.join("d/on")).unwrap();
    symlink("circle", at.join("circle")).unwrap();
    std::fs::write(at.join("file"), "plain").unwrap();
    let names = links.iter().map(|(name, ..)| *name);
    let asked: Vec<FileQuery> = names
        .chain(["circle", "file"])
        .map(|name| query(&at.join(name), true))
        .collect();
    for shell in shells() {
        let found = ask(&shell, &asked);
        for ((name, _, end), entry) in links.iter().zip(&found) {
            let entry = entry.as_ref().unwrap();
            assert_eq!(entry.file_type, FileType::Absent, "{name} in {}", shell.0);
            assert_eq!(entry.real_path, at.join(end).to_str().unwrap(), "{name}");
        }
        let [.., circle, file] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(circle.as_ref().unwrap().file_type, FileType::Link);
        assert_eq!(
            file.as_ref().unwrap().content.as_deref(),
            Some(&b"plain"[..])
        );
    }
}

#[tokio::test]
async fn a_link_cannot_answer_for_the_next_path_of_a_connection() {
    let host = crate::transport::local::connect("here", None);
    for target in ["x\n.\nabsent /etc", "x\\n.\\nabsent /etc", "ends\n"] {
        let trap = Trap::new(target.as_bytes(), b"x");
        let at = trap.folder.path();
        let asked = [
            query(&at.join("a-link"), false),
            query(&at.join("a-file"), false),
        ];
        let found = read(host.as_ref(), &User::Login, &asked).await.unwrap();
        assert_eq!(found[0].as_ref().unwrap().link.as_deref(), Some(target));
        let file = found[1].as_ref().unwrap();
        assert_eq!(file.content.as_deref(), Some(&b"plain"[..]));
    }
    host.close().await;
}

#[test]
fn an_answer_that_is_not_in_order_is_none() {
    let queries = [query(Path::new("/a"), false), query(Path::new("/b"), false)];
    let read = |text: &str| answers(text.as_bytes(), &queries, "N");
    let whole = read("N 0\nabsent\nfolder =/\nN 0 .\nN 1\nabsent\nfolder =/\nN 1 .\n").unwrap();
    assert!(whole.iter().all(Result::is_ok), "{whole:?}");
    let cut = read("N 0\nabsent\nfolder =/\nN 0 .\n").unwrap();
    assert!(cut[0].is_ok() && cut[1].is_err(), "{cut:?}");
    let empty = read("N 0\nabsent\nfolder x\nN 0 .\nN 1\nabsent\nfolder =/\nN 1 .\n").unwrap();
    assert!(empty[0].is_err() && empty[1].is_ok(), "{empty:?}");
    for text in [
        "N 0\nabsent\n.\n",
        "N 0\nabsent\nN 1\nabsent\nN 1 .\nN 0 .\n",
        "N 0\nabsent\nN 0 .\nN 0\nabsent\nN 0 .\n",
        "absent\nN 0\nabsent\nN 0 .\n",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}
