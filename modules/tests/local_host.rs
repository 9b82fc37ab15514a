//! The file kind, commands, waits and requests on this machine, through the local connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::path::Path;
use std::sync::Arc;

use runbook_engine::action::{ActionKind as _, ActionRun};
use runbook_engine::host::{FileType, Probe, Target, User};
use runbook_engine::module::Module;
use runbook_engine::resource::{Change, KeyedChange, Kind as _, WriteError};
use runbook_engine::transport::local;
use runbook_engine::value::Value;
use runbook_engine::world::Fixture;
use runbook_modules::command::exec::{Exec, ExecCall};
use runbook_modules::command::matches::{GlobKind, Pattern};
use runbook_modules::command::query::{CommandOutput, QueryKey};
use runbook_modules::file::contents::{ContentKey, ContentKind};
use runbook_modules::file::listing::ListingKind;
use runbook_modules::file::state::{Hard, Source};
use runbook_modules::file::{Content, FileKey, FileKind, FileState, FileWant};
use runbook_modules::net::http::{HttpKind, request};
use runbook_modules::net::uri::UriModule;
use runbook_modules::net::wait_for::{Wait, WaitCall, WaitFor};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn probe() -> Probe {
    Probe::new(local::connect("localhost", None), User::Login)
}

fn target(probe: &Probe) -> Target {
    runbook_engine::testkit::target(probe.clone())
}

async fn read(probe: &Probe, key: &FileKey) -> FileState {
    FileKind
        .read(probe, std::slice::from_ref(key))
        .await
        .remove(0)
        .unwrap()
}

fn file(content: &[u8]) -> FileWant {
    FileWant {
        is: Some(FileType::File),
        content: Some(Source::Bytes(Content(content.to_vec()))),
        ..FileWant::default()
    }
}

async fn change(probe: &Probe, path: &Path, want: FileWant) -> KeyedChange<FileKind> {
    let key = FileKey::new(&path.to_string_lossy());
    let from = read(probe, &key).await;
    let to = FileKind.predict(&want, &from);
    KeyedChange {
        key,
        change: Change { from, to, want },
    }
}

/// The laws of kinds on one change: a second want is empty, the write agrees, a stale write is refused, and the way
/// back restores what was.
async fn laws(probe: &Probe, path: &Path, want: FileWant) {
    let host = target(probe);
    let forward = change(probe, path, want.clone()).await;
    let again: KeyedChange<FileKind> = KeyedChange {
        key: forward.key.clone(),
        change: forward.change.clone(),
    };
    let predicted = &again.change.to;
    assert_eq!(
        FileKind.differences(&want, predicted),
        Vec::<String>::new(),
        "law 2"
    );
    let kept = FileKind.write(&host, &[forward]).await.unwrap();
    let now = read(probe, &again.key).await;
    assert_eq!(
        FileKind.differences(&want, &now),
        Vec::<String>::new(),
        "law 3"
    );
    assert_eq!(
        (
            now.is,
            now.mode,
            &now.owner,
            &now.group,
            &now.sha256,
            &now.link
        ),
        (
            predicted.is,
            predicted.mode,
            &predicted.owner,
            &predicted.group,
            &predicted.sha256,
            &predicted.link
        ),
        "law 4: {path:?} {want:?}"
    );
    let before = again.change.from.clone();
    let same = |a: &FileState, b: &FileState| {
        (a.is, a.mode, a.uid, a.gid, a.sha256.clone(), a.link.clone())
            == (b.is, b.mode, b.uid, b.gid, b.sha256.clone(), b.link.clone())
    };
    if !same(&before, &now) {
        let stale = KeyedChange {
            key: again.key.clone(),
            change: again.change.clone(),
        };
        let refused = FileKind.write(&host, &[stale]).await;
        assert!(
            matches!(refused, Err(WriteError::Moved { .. })),
            "law 6: {refused:?}"
        );
    }
    let back = KeyedChange {
        key: again.key.clone(),
        change: Change {
            from: now,
            to: before.clone(),
            want,
        },
    };
    let mut kept = kept;
    kept.extend(FileKind.write(&host, &[back]).await.unwrap());
    let restored = read(probe, &again.key).await;
    assert!(same(&before, &restored), "law 5: {before:?} {restored:?}");
    for kept in kept {
        // What was kept on the way there is back in its place.
        if !Path::new(&kept.place).exists() {
            continue;
        }
        FileKind.discard(&host, &kept).await.unwrap();
        assert!(!Path::new(&kept.place).exists());
    }
}

#[tokio::test]
async fn the_laws_hold_for_files_directories_and_links() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), "old\n").unwrap();
    std::fs::create_dir_all(at("full/sub")).unwrap();
    std::fs::write(at("full/sub/inner"), "inner\n").unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    let probe = probe();
    let absent = FileWant {
        is: Some(FileType::Absent),
        ..FileWant::default()
    };
    for want in [
        file(b"new\n"),
        file(&[0, 255, 10, 13]),
        // Beyond what a state holds, and beyond what travels with the script.
        file(&vec![7; 1_500_000]),
        file(&vec![8; 5_000_000]),
        FileWant {
            mode: Some(0o600),
            ..FileWant::default()
        },
        FileWant {
            mode: Some(0o640),
            ..file(b"new\n")
        },
        absent.clone(),
        FileWant {
            is: Some(FileType::Link),
            link: Some("full".to_owned()),
            ..FileWant::default()
        },
    ] {
        laws(&probe, &at("file"), want).await;
    }
    laws(&probe, &at("full"), absent.clone()).await;
    laws(&probe, &at("link"), absent).await;
    laws(&probe, &at("link"), file(b"a file now\n")).await;
    laws(
        &probe,
        &at("made"),
        FileWant {
            is: Some(FileType::Directory),
            mode: Some(0o750),
            ..FileWant::default()
        },
    )
    .await;
    let inner = read(
        &probe,
        &FileKey::new(&at("full/sub/inner").to_string_lossy()),
    )
    .await;
    laws(
        &probe,
        &at("hard"),
        FileWant {
            hard: Some(Hard {
                path: inner.path.clone(),
                inode: inner.inode.clone(),
                owner: inner.belongs_to(),
            }),
            mode: inner.mode,
            ..file(b"inner\n")
        },
    )
    .await;
}

#[tokio::test]
async fn a_large_local_file_is_uploaded_and_a_changed_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("image");
    let bytes: Vec<u8> = (0..6_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&local, &bytes).unwrap();
    let want = FileWant {
        is: Some(FileType::File),
        content: Some(Source::Local {
            path: local.to_string_lossy().into_owned(),
            sha256: runbook_modules::file::state::sha256(&bytes),
            size: bytes.len() as u64,
        }),
        ..FileWant::default()
    };
    let probe = probe();
    laws(&probe, &dir.path().join("copy"), want.clone()).await;
    let planned = change(&probe, &dir.path().join("copy"), want).await;
    std::fs::write(&local, "other").unwrap();
    let error = FileKind
        .write(&target(&probe), &[planned])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("no longer what it was"),
        "{error}"
    );
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["image"]);
}

#[tokio::test]
async fn what_a_killed_write_has_left_goes_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("image");
    let bytes = vec![7; 5_000_000];
    std::fs::write(&local, &bytes).unwrap();
    for left in ["0123456789abcdef-0.part", "0123456789abcdef-0.tmp"] {
        std::fs::write(dir.path().join(format!(".copy.runbook-{left}")), "half").unwrap();
    }
    // What is kept aside stays, and so does what belongs to another path.
    let others = [
        ".copy.runbook-64768-12~",
        ".copy2.runbook-0123456789abcdef-0.tmp",
    ];
    for other in others {
        std::fs::write(dir.path().join(other), "theirs").unwrap();
    }
    let want = FileWant {
        is: Some(FileType::File),
        content: Some(Source::Local {
            path: local.to_string_lossy().into_owned(),
            sha256: runbook_modules::file::state::sha256(&bytes),
            size: bytes.len() as u64,
        }),
        ..FileWant::default()
    };
    let probe = probe();
    let planned = change(&probe, &dir.path().join("copy"), want).await;
    FileKind.write(&target(&probe), &[planned]).await.unwrap();
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [others[0], others[1], "copy", "image"]);
}

#[tokio::test]
async fn keys_take_their_true_form() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("real")).unwrap();
    std::fs::write(root.join("real/file"), "x").unwrap();
    std::os::unix::fs::symlink("real", root.join("dirlink")).unwrap();
    std::os::unix::fs::symlink("real/file", root.join("link")).unwrap();
    let probe = probe();
    let at = |name: &str| root.join(name).to_string_lossy().into_owned();
    for (key, true_form) in [
        (FileKey::new(&at("dirlink/file")), at("real/file")),
        (FileKey::new(&at("link")), at("link")),
        (FileKey::following(&at("link")), at("real/file")),
        (FileKey::new(&at("dirlink/missing")), at("real/missing")),
        (FileKey::new(&at("real/../link")), at("link")),
    ] {
        let state = read(&probe, &key).await;
        assert_eq!(
            FileKind.canonical(&key, &state).to_string(),
            true_form,
            "{key}"
        );
    }
}

#[tokio::test]
async fn what_only_reads_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir
        .path()
        .canonicalize()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    std::fs::create_dir(format!("{root}/sub dir")).unwrap();
    std::fs::write(format!("{root}/sub dir/a'b"), "x").unwrap();
    std::os::unix::fs::symlink("nowhere", format!("{root}/dangling")).unwrap();
    let probe = probe();
    let listing = ListingKind
        .read(&probe, &[FileKey::new(&root)])
        .await
        .remove(0)
        .unwrap();
    let found: Vec<_> = listing.iter().map(|e| (e.path.as_str(), e.is)).collect();
    assert_eq!(
        found,
        [
            ("dangling", FileType::Link),
            ("sub dir", FileType::Directory),
            ("sub dir/a'b", FileType::File)
        ]
    );
    let missing = ListingKind
        .read(&probe, &[FileKey::new("/no/such/dir")])
        .await
        .remove(0)
        .unwrap();
    assert!(missing.is_empty());

    for (pattern, paths) in [
        (
            format!("{root}/*"),
            vec![format!("{root}/dangling"), format!("{root}/sub dir")],
        ),
        (
            format!("{root}/sub dir/a?b"),
            vec![format!("{root}/sub dir/a'b")],
        ),
        (format!("{root}/none*"), vec![]),
        (format!("{root}/$(touch {root}/no)*"), vec![]),
    ] {
        let read = GlobKind
            .read(&probe, &[Pattern(pattern.clone())])
            .await
            .remove(0)
            .unwrap();
        assert_eq!(read, paths, "{pattern}");
    }
    let keys = [
        QueryKey::new(["printf", "%s", "$HOME *"]),
        QueryKey {
            stdin: Some("in".to_owned()),
            chdir: Some(root.clone()),
            env: [("X".to_owned(), "it's".to_owned())].into(),
            ..QueryKey::new(["sh", "-c", "cat; pwd; echo \"$X\" >&2; exit 3"])
        },
    ];
    let said: Vec<_> = CommandOutput
        .read(&probe, &keys)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(said[0].stdout, Content::from("$HOME *"));
    assert_eq!((said[1].rc, &said[1].stderr), (3, &Content::from("it's\n")));
    assert_eq!(said[1].stdout, Content(format!("in{root}\n").into_bytes()));
    let bytes = ContentKind
        .read(&probe, &[ContentKey(format!("{root}/sub dir/a'b"))])
        .await
        .remove(0);
    assert_eq!(bytes.unwrap(), Content::from("x"));
}

#[tokio::test]
async fn commands_run_apart_and_say_how_they_ended() {
    let probe = probe();
    let run = |node: &str| ActionRun {
        run: format!("test-{}", std::process::id()),
        node: node.to_owned(),
        private: false,
    };
    let call = ExecCall {
        stdin: Some("hello\n".to_owned()),
        ..ExecCall::new(["sh", "-c", "cat; echo oops >&2; exit 4"])
    };
    let outcome = Exec.run(&target(&probe), &call, &run("a")).await.unwrap();
    assert_eq!(outcome.output["stdout"], Value::from("hello"));
    assert_eq!(outcome.output["rc"], Value::Int(4));
    assert_eq!(outcome.failed.as_deref(), Some("status 4: oops"));
    let call = ExecCall {
        timeout: Some(std::time::Duration::from_secs(1)),
        ..ExecCall::new(["sleep", "30"])
    };
    let outcome = Exec.run(&target(&probe), &call, &run("b")).await.unwrap();
    assert!(outcome.failed.is_some_and(|f| f.contains("timeout of 1 s")));
}

/// A server that answers every request by its path.
async fn server() -> (u16, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let log = log.clone();
            tokio::spawn(async move {
                let mut text = String::new();
                let mut buffer = [0; 4096];
                while !text.contains("\r\n\r\n") {
                    let n = stream.read(&mut buffer).await.unwrap_or(0);
                    if n == 0 {
                        return;
                    }
                    text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                }
                log.lock().unwrap().push(text.clone());
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                let authorized = text
                    .to_ascii_lowercase()
                    .contains("authorization: basic dtpw");
                let answer = match path.as_str() {
                    "/json" => "200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"a\": [1]}"
                        .replacen("9", "10", 1),
                    "/moved" => "302 Found\r\nlocation: /json\r\ncontent-length: 0\r\n\r\n".to_owned(),
                    "/secret" if !authorized => "401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(),
                    "/loop" => "302 Found\r\nlocation: loop\r\ncontent-length: 0\r\n\r\n".to_owned(),
                    _ => "200 OK\r\ncontent-length: 2\r\nx-two: 2\r\n\r\nok".to_owned(),
                };
                let _ = stream
                    .write_all(format!("HTTP/1.1 {answer}").as_bytes())
                    .await;
            });
        }
    });
    (port, seen)
}

fn args<M: Module>(json: &serde_json::Value) -> M::Args {
    let args = serde_json::from_value(json.clone()).unwrap();
    M::validate(&args).unwrap();
    args
}

/// What the module `uri` registers, after the one read that it asks for.
async fn uri(probe: &Probe, json: serde_json::Value) -> (serde_json::Value, Option<String>) {
    let args = args::<UriModule>(&json);
    let needed = match UriModule::want(&args, &Fixture::default().view()) {
        Err(runbook_engine::module::Stop::Need(mut refs)) => refs.remove(0),
        other => panic!("{other:?}"),
    };
    let key = serde_json::from_value(needed.data).unwrap();
    let answer = request(probe, &key).await.unwrap();
    let world = Fixture::default().with::<HttpKind>(&key, &answer);
    let wanted = UriModule::want(&args, &world.view()).unwrap();
    (Value::Map(wanted.facts).to_json(false), wanted.failed)
}

#[tokio::test]
async fn requests_are_answered() {
    let (port, seen) = server().await;
    let probe = probe();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let (output, failed) = uri(&probe, serde_json::json!({"url": url("/json")})).await;
    assert_eq!(
        (failed, &output["json"]["a"][0], &output["status"]),
        (None, &1.into(), &200.into())
    );
    let (output, _) = uri(
        &probe,
        serde_json::json!({"url": url("/moved"), "return_content": true}),
    )
    .await;
    assert_eq!(output["redirected"], true);
    assert_eq!(output["content"], "{\"a\": [1]}");
    let (output, failed) = uri(
        &probe,
        serde_json::json!({"url": url("/moved"), "follow_redirects": "none"}),
    )
    .await;
    assert_eq!(output["status"], 302);
    assert_eq!(failed.as_deref(), Some("status 302 Found, expected 200"));
    let login = serde_json::json!({"url": url("/secret"), "user": "u", "password": "pw"});
    let (output, failed) = uri(&probe, login).await;
    assert_eq!((failed, &output["status"]), (None, &200.into()));
    let (_, failed) = uri(&probe, serde_json::json!({"url": url("/loop")})).await;
    assert!(failed.is_some_and(|f| f.contains("without end")));
    let (output, _) = uri(
        &probe,
        serde_json::json!({"url": url("/x?y=1"), "headers": {"X-One": "1"}}),
    )
    .await;
    assert_eq!(output["x_two"], "2");
    let last = seen
        .lock()
        .unwrap()
        .last()
        .cloned()
        .unwrap()
        .to_ascii_lowercase();
    assert!(
        last.starts_with("get /x?y=1 http/1.1\r\n") && last.contains("x-one: 1"),
        "{last}"
    );

    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (output, failed) = uri(
        &probe,
        serde_json::json!({"url": format!("http://127.0.0.1:{free}/")}),
    )
    .await;
    assert_eq!(output["status"], -1);
    assert!(failed.is_some());
}

fn wait(json: &serde_json::Value) -> WaitCall {
    let wanted = WaitFor::want(&args::<WaitFor>(json), &Fixture::default().view()).unwrap();
    serde_json::from_value(wanted.action.unwrap().call).unwrap()
}

#[tokio::test]
async fn ports_and_files_are_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log").to_string_lossy().into_owned();
    let probe = probe();
    let run = ActionRun {
        run: "r".to_owned(),
        node: "n".to_owned(),
        private: false,
    };
    let host = target(&probe);

    let missing = wait(&serde_json::json!({"path": path, "timeout": 0}));
    assert_eq!(Wait.probe(&probe, &missing).await.unwrap(), None);
    let outcome = Wait.run(&host, &missing, &run).await.unwrap();
    assert!(outcome.failed.is_some_and(|f| f.contains("does not exist")));

    let later = path.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        std::fs::write(later, "booting\nstarted in 27 ms\n").unwrap();
    });
    let found = wait(
        &serde_json::json!({"path": path, "search_regex": "started in (?P<ms>\\d+)", "timeout": 10}),
    );
    let outcome = Wait.run(&host, &found, &run).await.unwrap();
    assert_eq!(outcome.failed, None);
    assert_eq!(
        outcome.output["match_groups"],
        Value::List(vec![Value::from("27")])
    );
    assert_eq!(
        outcome.output["match_groupdict"].get("ms"),
        Some(&Value::from("27"))
    );

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let up = wait(&serde_json::json!({"port": port, "timeout": 3}));
    assert!(Wait.probe(&probe, &up).await.unwrap().is_some());
    let down = wait(&serde_json::json!({"port": port, "state": "stopped", "timeout": 0}));
    assert!(Wait.run(&host, &down, &run).await.unwrap().failed.is_some());
    drop(listener);
    assert_eq!(Wait.run(&host, &down, &run).await.unwrap().failed, None);
    assert_eq!(Wait.probe(&probe, &up).await.unwrap(), None);
}
