//! The scripts, run by the shell of this machine in directories of their own.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use runbook_engine::host::FileType;
use runbook_engine::resource::Change;

use super::*;
use crate::file::state::{Content, FileKey, FileState, FileWant, Source};

const SHELLS: [&str; 3] = ["sh", "bash", "busybox"];

/// What stands at a path, read without the code under test.
fn read(path: &Path) -> FileState {
    let name = path.to_string_lossy();
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        let me = std::fs::metadata("/proc/self").unwrap();
        return FileState {
            uid: Some(me.uid()),
            gid: Some(me.gid()),
            ..FileState::absent(&name)
        };
    };
    let mut state = FileState {
        mode: Some(meta.mode() & 0o7777),
        uid: Some(meta.uid()),
        gid: Some(meta.gid()),
        inode: Some(format!("{}:{}", meta.dev(), meta.ino())),
        ..FileState::absent(&name)
    };
    if meta.is_symlink() {
        state.is = FileType::Link;
        state.link = Some(
            std::fs::read_link(path)
                .unwrap()
                .to_string_lossy()
                .into_owned(),
        );
    } else if meta.is_dir() {
        state.is = FileType::Directory;
    } else {
        let bytes = std::fs::read(path).unwrap();
        state.is = FileType::File;
        state.size = Some(bytes.len() as u64);
        state.sha256 = Some(sha256(&bytes));
        state.content = Some(Content(bytes));
    }
    state
}

fn forward(path: &Path, want: FileWant) -> KeyedChange<FileKind> {
    let from = read(path);
    let to = FileKind.predict(&want, &from);
    KeyedChange {
        key: FileKey::new(&path.to_string_lossy()),
        change: Change { from, to, want },
    }
}

/// The same change taken back: from what stands there now to what was before.
fn backward(keyed: &KeyedChange<FileKind>) -> KeyedChange<FileKind> {
    KeyedChange {
        key: keyed.key.clone(),
        change: Change {
            from: read(Path::new(&keyed.key.path)),
            to: keyed.change.from.clone(),
            want: keyed.change.want.clone(),
        },
    }
}

fn shell(name: &str) -> Command {
    let mut command = Command::new(name);
    if name == "busybox" {
        command.arg("sh");
    }
    command
}

fn run_with(name: &str, changes: &[KeyedChange<FileKind>]) -> Result<Vec<Kept>, WriteError> {
    let (body, stdin) = script(changes, "0123456789abcdef", &BTreeMap::new())?;
    let text = format!("{FUNCTIONS}{body}");
    let mut child = shell(name)
        .arg("-c")
        .arg(&text)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.unwrap_or_default();
    let writer = std::thread::spawn(move || {
        let _ = pipe.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "the script said to stderr: {said}\n{text}");
    outcome(&output.stdout, &output.stderr, changes)
}

fn run(changes: &[KeyedChange<FileKind>]) -> Result<Vec<Kept>, WriteError> {
    run_with("sh", changes)
}

/// Everything below a directory: path, type, mode, content or link. No times, no inodes.
fn tree(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let state = read(&path);
        lines.push(format!(
            "{} {:?} {:o} {:?} {:?} {:?}",
            path.display(),
            state.is,
            state.mode.unwrap_or_default(),
            state.uid,
            state.sha256,
            state.link
        ));
        if state.is == FileType::Directory {
            lines.extend(tree(&path));
        }
    }
    lines
}

fn file(content: &[u8]) -> FileWant {
    FileWant {
        is: Some(FileType::File),
        content: Some(Source::Bytes(Content(content.to_vec()))),
        ..FileWant::default()
    }
}

fn is(is: FileType) -> FileWant {
    FileWant {
        is: Some(is),
        ..FileWant::default()
    }
}

fn link(to: &str) -> FileWant {
    FileWant {
        link: Some(to.to_owned()),
        ..is(FileType::Link)
    }
}

/// A directory with one of everything.
fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), "old\n").unwrap();
    std::fs::set_permissions(at("file"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::fs::write(at("it's a \"file\" $HOME"), "odd\n").unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::create_dir(at("full")).unwrap();
    std::fs::write(at("full/inner"), "inner\n").unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    std::os::unix::fs::symlink("full", at("dirlink")).unwrap();
    dir
}

/// Wants and paths of which every pair that makes sense must hold the laws.
fn wants() -> Vec<(&'static str, FileWant)> {
    vec![
        ("a content", file(b"new\n")),
        ("no final newline", file(b"a\nb")),
        ("bytes", file(b"\0\xff\xfe\r\n'\"$`\\")),
        ("an empty file", file(b"")),
        (
            "a mode",
            FileWant {
                mode: Some(0o4711),
                ..file(b"new\n")
            },
        ),
        (
            "a directory",
            FileWant {
                mode: Some(0o750),
                ..is(FileType::Directory)
            },
        ),
        ("a link", link("full")),
        ("a dangling link", link("/no/where it's")),
        ("nothing", is(FileType::Absent)),
        (
            "only a mode",
            FileWant {
                mode: Some(0o600),
                ..FileWant::default()
            },
        ),
    ]
}

const PATHS: [&str; 7] = [
    "file",
    "it's a \"file\" $HOME",
    "empty",
    "full",
    "link",
    "dirlink",
    "missing",
];

#[test]
fn what_is_written_is_what_was_wanted_and_writing_back_restores_it() {
    for shell_name in SHELLS {
        if shell(shell_name).arg("-c").arg(":").status().is_err() {
            crate::skip::skip(
                &format!("scripts under {shell_name}"),
                "it is not installed",
            );
            continue;
        }
        for path in PATHS {
            for (what, want) in wants() {
                let dir = scene();
                let at = dir.path().join(path);
                if want.is.is_none() && !at.exists() {
                    continue;
                }
                let before = tree(dir.path());
                let change = forward(&at, want.clone());
                let kept = run_with(shell_name, std::slice::from_ref(&change))
                    .unwrap_or_else(|e| panic!("{shell_name}: {what} at {path}: {e}"));
                let found = read(&at);
                assert_eq!(
                    FileKind.differences(&want, &found),
                    Vec::<String>::new(),
                    "{shell_name}: {what} at {path}"
                );
                assert_eq!(
                    found.mode, change.change.to.mode,
                    "{shell_name}: mode after {what} at {path}"
                );
                for kept in &kept {
                    assert!(Path::new(&kept.place).exists(), "{kept:?}");
                }
                let hidden = tree(dir.path())
                    .iter()
                    .filter(|l| l.contains(ASIDE))
                    .count();
                assert!(
                    kept.is_empty() == (hidden == 0),
                    "{shell_name}: {what} at {path}: {:#?}",
                    tree(dir.path())
                );

                run_with(shell_name, &[backward(&change)])
                    .unwrap_or_else(|e| panic!("{shell_name}: back from {what} at {path}: {e}"));
                assert_eq!(
                    tree(dir.path()),
                    before,
                    "{shell_name}: back from {what} at {path}"
                );
            }
        }
    }
}

#[test]
fn a_write_finds_the_state_it_was_planned_from_or_writes_nothing() {
    let moves: [(&str, fn(&Path)); 5] = [
        ("other content", |d| {
            std::fs::write(d.join("file"), "mine\n").unwrap()
        }),
        ("other mode", |d| {
            std::fs::set_permissions(d.join("file"), std::fs::Permissions::from_mode(0o600))
                .unwrap();
        }),
        ("gone", |d| std::fs::remove_file(d.join("file")).unwrap()),
        ("a directory", |d| {
            std::fs::remove_file(d.join("file")).unwrap();
            std::fs::create_dir(d.join("file")).unwrap();
        }),
        ("a link", |d| {
            std::fs::remove_file(d.join("file")).unwrap();
            std::os::unix::fs::symlink("full/inner", d.join("file")).unwrap();
        }),
    ];
    for (what, mv) in moves {
        let dir = scene();
        let changes = [
            forward(&dir.path().join("empty"), is(FileType::Absent)),
            forward(&dir.path().join("file"), file(b"new\n")),
            forward(&dir.path().join("missing"), file(b"new\n")),
        ];
        mv(dir.path());
        let before = tree(dir.path());
        match run(&changes) {
            Err(WriteError::Moved { what: which, .. }) => {
                assert!(which.ends_with("/file"), "{which}")
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(tree(dir.path()), before, "{what}");
    }
}

#[test]
fn what_was_done_is_taken_back_when_a_later_change_fails() {
    let dir = scene();
    let before = tree(dir.path());
    let mut changes = vec![
        forward(&dir.path().join("file"), file(b"new\n")),
        forward(&dir.path().join("link"), link("full")),
        forward(&dir.path().join("empty"), link("file")),
        forward(&dir.path().join("missing"), is(FileType::Directory)),
        forward(&dir.path().join("missing/inner"), file(b"x")),
        forward(&dir.path().join("full"), is(FileType::Absent)),
        forward(&dir.path().join("dirlink"), is(FileType::Absent)),
    ];
    // The deepest one comes last among those that make something, and its validator refuses it.
    changes[4].change.want.validate = Some("sh -c 'echo not like this >&2; exit 3' %s".to_owned());
    match run(&changes) {
        Err(WriteError::Failed {
            message,
            left: None,
        }) => {
            assert!(
                message.contains("missing/inner") && message.contains("not like this"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(tree(dir.path()), before);
    changes[4].change.want.validate = Some("grep -q x %s".to_owned());
    let kept = run(&changes).unwrap();
    assert_eq!(
        std::fs::read(dir.path().join("missing/inner")).unwrap(),
        b"x"
    );
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[test]
fn the_validator_sees_the_new_content_before_it_takes_its_place() {
    let dir = scene();
    let at = dir.path().join("file");
    let validated = |line: &str| {
        let want = FileWant {
            validate: Some(line.to_owned()),
            ..file(b"new\n")
        };
        run(&[forward(&at, want)])
    };
    let error = validated("grep old %s").unwrap_err().to_string();
    assert!(
        error.contains("the validator grep old %s refuses"),
        "{error}"
    );
    assert_eq!(std::fs::read(&at).unwrap(), b"old\n");
    validated("sh -c 'grep -q new \"$1\" && ! grep -q old \"$1\"' sh %s").unwrap();
    assert_eq!(std::fs::read(&at).unwrap(), b"new\n");
}

#[test]
fn many_files_travel_together() {
    let dir = scene();
    let contents: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; usize::from(n) * 500]).collect();
    let mut changes = vec![forward(&dir.path().join("new"), is(FileType::Directory))];
    for (n, content) in contents.iter().enumerate() {
        changes.push(forward(&dir.path().join(format!("new/{n}")), file(content)));
    }
    run(&changes).unwrap();
    for (n, content) in contents.iter().enumerate() {
        assert_eq!(
            &std::fs::read(dir.path().join(format!("new/{n}"))).unwrap(),
            content
        );
    }
    assert!(!tree(dir.path()).iter().any(|l| l.contains(ASIDE)));
}

#[test]
fn large_files_are_kept_and_come_back() {
    let dir = scene();
    let at = dir.path().join("file");
    let mut change = forward(&at, file(b"new\n"));
    // As of a file over the limit: its content is not part of the state.
    change.change.from.content = None;
    let kept = run(std::slice::from_ref(&change)).unwrap();
    assert_eq!(std::fs::read(&kept[0].place).unwrap(), b"old\n");
    run(&[backward(&change)]).unwrap();
    assert_eq!(read(&at).sha256, change.change.from.sha256);
    assert_eq!(read(&at).mode, Some(0o640));
}

#[test]
fn a_copy_on_the_host_and_a_hard_link() {
    let dir = scene();
    let old = read(&dir.path().join("file"));
    let copy = FileWant {
        content: Some(Source::Copy {
            path: old.path.clone(),
            sha256: old.sha256.clone().unwrap(),
            size: 4,
            content: None,
        }),
        ..is(FileType::File)
    };
    let changes = [
        forward(&dir.path().join("file"), file(b"new\n")),
        forward(&dir.path().join("full/copy"), copy),
    ];
    run(&changes).unwrap();
    assert_eq!(
        std::fs::read(dir.path().join("full/copy")).unwrap(),
        b"old\n"
    );

    let inner = read(&dir.path().join("full/inner"));
    let hard = FileWant {
        hard: Some(crate::file::state::Hard {
            path: inner.path.clone(),
            inode: inner.inode.clone(),
            owner: inner.belongs_to(),
        }),
        mode: inner.mode,
        ..file(b"inner\n")
    };
    let change = forward(&dir.path().join("file"), hard.clone());
    run(std::slice::from_ref(&change)).unwrap();
    let now = read(&dir.path().join("file"));
    assert_eq!(now.inode, inner.inode);
    assert!(FileKind.differences(&hard, &now).is_empty());
    run(&[backward(&change)]).unwrap();
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"new\n");
    assert_eq!(
        std::fs::read(dir.path().join("full/inner")).unwrap(),
        b"inner\n"
    );
}

#[test]
fn owners_stay_and_are_set() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        crate::skip::skip("owners_stay_and_are_set", "only root can give files away");
        return;
    }
    let dir = scene();
    let at = dir.path().join("file");
    std::os::unix::fs::chown(&at, Some(12_345), Some(23_456)).unwrap();
    let change = forward(&at, file(b"new\n"));
    run(std::slice::from_ref(&change)).unwrap();
    let now = read(&at);
    assert_eq!(
        (now.uid, now.gid, now.mode),
        (Some(12_345), Some(23_456), Some(0o640))
    );
    let want = FileWant {
        owner: Some("root".to_owned()),
        group: Some("4321".to_owned()),
        mode: Some(0o6755),
        ..FileWant::default()
    };
    run(&[forward(&at, want)]).unwrap();
    let now = read(&at);
    assert_eq!(
        (now.uid, now.gid, now.mode),
        (Some(0), Some(4321), Some(0o6755))
    );
    run(&[backward(&change)]).unwrap();
    let now = read(&at);
    assert_eq!(
        (now.uid, now.gid, now.mode),
        (Some(12_345), Some(23_456), Some(0o640))
    );
}

#[test]
fn a_script_killed_at_any_instant_leaves_the_old_file_or_the_new_one() {
    let old = vec![b'o'; 300_000];
    let new = vec![b'n'; 300_000];
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..60_u64 {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("file");
        std::fs::write(&at, &old).unwrap();
        let changes = [
            forward(&at, file(&new)),
            forward(&dir.path().join("other"), file(b"x")),
        ];
        let (body, stdin) = script(&changes, "0123456789abcdef", &BTreeMap::new()).unwrap();
        let text = format!("{FUNCTIONS}{body}");
        let mut child = {
            use std::os::unix::process::CommandExt as _;
            Command::new("sh")
                .arg("-c")
                .arg(&text)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap()
        };
        let mut pipe = child.stdin.take().unwrap();
        let bytes = stdin.unwrap();
        let writer = std::thread::spawn(move || {
            let _ = pipe.write_all(&bytes);
        });
        std::thread::sleep(std::time::Duration::from_micros(round * 1_500));
        let group = format!("-{}", child.id());
        Command::new("kill")
            .args(["-9", "--", &group])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        child.wait().unwrap();
        writer.join().unwrap();
        let found = std::fs::read(&at).unwrap();
        assert!(
            found == old || found == new,
            "round {round}: {} bytes",
            found.len()
        );
        seen.insert(found[0]);
    }
    assert!(
        seen.contains(&b'o'),
        "no round was killed early enough to show anything"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_content_arrives_as_it_is(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let changes: Vec<_> = contents
            .iter()
            .enumerate()
            .map(|(n, c)| forward(&dir.path().join(format!("f{n}")), file(c)))
            .collect();
        run(&changes).unwrap();
        for (n, content) in contents.iter().enumerate() {
            prop_assert_eq!(&std::fs::read(dir.path().join(format!("f{n}"))).unwrap(), content);
        }
    }
}
