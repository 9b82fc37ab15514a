//! Shells, files, uploads and commands over a real sshd.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::server::Server;
use crate::{proxy, server};
use bytes::Bytes;
use runbook_engine::host::{
    Command, Connection, FileQuery, FileType, HostError, Probe, ReadCommand, User,
};
use runbook_engine::transport::ssh;

async fn connected(server: &Server) -> Arc<dyn Connection> {
    ssh::connect(server.settings()).await.unwrap()
}

async fn sh(host: &Arc<dyn Connection>, script: &str) -> (i32, String, String) {
    let reply = host.shell(&User::Login, script, None, true).await.unwrap();
    let text = |b: &Bytes| String::from_utf8_lossy(b).into_owned();
    (reply.status, text(&reply.stdout), text(&reply.stderr))
}

#[tokio::test]
async fn the_shell_answers_and_is_moved_by_nothing() {
    if !server::possible("ssh shell") {
        return;
    }
    let server = Server::start("");
    let host = connected(&server).await;
    assert_eq!(
        sh(&host, "echo a; echo b >&2; exit 3").await,
        (3, "a\n".into(), "b\n".into())
    );
    let (_, before, _) = sh(&host, "pwd; umask; echo \"$x\"; set -- 1; echo $-").await;
    sh(
        &host,
        "cd /; umask 000; x=1; export x; set -e; set -u; exec 1>&2; false",
    )
    .await;
    sh(&host, "if then").await;
    sh(&host, "trap 'echo no' EXIT; exec sh -c 'exit 9'").await;
    let (_, after, _) = sh(&host, "pwd; umask; echo \"$x\"; set -- 1; echo $-").await;
    assert_eq!(before, after);
    let bytes: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(50);
    let reply = host
        .shell(&User::Login, "cat", Some(Bytes::from(bytes.clone())), true)
        .await
        .unwrap();
    assert_eq!(reply.stdout, bytes);
    assert_eq!(sh(&host, "read x; echo \"[$x]\"").await.1, "[]\n");
    assert_eq!(sh(&host, "printf 'no end'").await.1, "no end");
    let (_, out, _) = sh(&host, "printf '%s\\n' 'a\\nb' \"tab\\tx\"\necho two").await;
    assert_eq!(out, "a\\nb\ntab\\tx\ntwo\n");
    let many = futures::future::join_all((0..200).map(|n| {
        let host = host.clone();
        async move { sh(&host, &format!("echo {n}")).await.1 }
    }));
    for (n, out) in many.await.into_iter().enumerate() {
        assert_eq!(out, format!("{n}\n"));
    }
    host.close().await;
}

#[tokio::test]
async fn noise_and_other_login_shells_do_no_harm() {
    if !server::possible("ssh login shells") {
        return;
    }
    let _one = crate::ways::USERS.lock().await;
    let server = Server::start("PrintMotd yes");
    for shell in ["/bin/bash", "/bin/dash", "/usr/bin/fish", "/bin/tcsh"] {
        if !std::path::Path::new(shell).exists() {
            crate::skip::skip(&format!("login shell {shell}"), "not installed");
            continue;
        }
        let user = server::ScratchUser::new("rb-noisy", "x", shell);
        let home = std::path::PathBuf::from("/home/rb-noisy");
        std::fs::write(
            home.join(".bashrc"),
            "echo noise; echo 'more\n' >&2; cd /\n",
        )
        .unwrap();
        let mut settings = server.settings();
        settings.user = Some(user.name.clone());
        let host = ssh::connect(settings).await.unwrap();
        assert_eq!(
            sh(&host, "echo \"it's\" '!x'; id -un").await.1,
            "it's !x\nrb-noisy\n",
            "{shell}"
        );
        let facts = host.facts().await.unwrap();
        assert_eq!(
            (facts.user.as_str(), facts.home.as_str()),
            ("rb-noisy", "/home/rb-noisy")
        );
        host.upload(
            &User::Login,
            "/tmp/rb-noisy-up",
            Bytes::from(vec![7; 300_000]),
        )
        .await
        .unwrap();
        assert_eq!(
            sh(&host, "wc -c < /tmp/rb-noisy-up; rm /tmp/rb-noisy-up")
                .await
                .1
                .trim(),
            "300000"
        );
        host.close().await;
    }
}

#[tokio::test]
async fn uploads_are_new_private_files_of_any_size() {
    if !server::possible("ssh upload") {
        return;
    }
    let server = Server::start("");
    let host = connected(&server).await;
    for (size, text) in [
        (0, true),
        (10, true),
        (100_000, false),
        (3_000_000, true),
        (3_000_000, false),
    ] {
        let path = server.path(&format!("it's {size} {text}"));
        let content: Vec<u8> = if text {
            vec![b'x'; size]
        } else {
            (0..size).map(|n| (n * n % 251 + n / 7) as u8).collect()
        };
        let place = path.to_str().unwrap();
        host.upload(&User::Login, place, Bytes::from(content.clone()))
            .await
            .unwrap();
        assert!(std::fs::read(&path).unwrap() == content, "{size}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let again = host
            .upload(&User::Login, place, Bytes::from(vec![1; size + 1]))
            .await;
        assert!(
            matches!(again, Err(HostError::Failed(ref m)) if m.contains(place)),
            "{again:?}"
        );
        assert!(
            std::fs::read(&path).unwrap() == content,
            "{size} was touched"
        );
    }
    let nowhere = host
        .upload(&User::Login, "/nowhere/x", Bytes::from(vec![0; 500_000]))
        .await;
    assert!(matches!(nowhere, Err(HostError::Failed(_))), "{nowhere:?}");
    host.close().await;
}

#[tokio::test]
async fn a_command_runs_once_and_apart() {
    if !server::possible("ssh command") {
        return;
    }
    let server = Server::start("");
    let host = connected(&server).await;
    let command = |argv: &[&str]| Command {
        argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        ..Command::default()
    };
    // A test that was broken off has left results, and they would be found.
    sh(&host, "rm -rf /var/tmp/.runbook-0/t-1").await;
    let begin = Instant::now();
    let done = host
        .command(
            &User::Login,
            &command(&["sh", "-c", "echo out; echo err >&2; exit 7"]),
            "t-1/a",
        )
        .await
        .unwrap();
    assert_eq!(
        (done.status, &done.stdout[..], &done.stderr[..]),
        (7, &b"out\n"[..], &b"err\n"[..])
    );
    assert!(
        !done.timed_out && done.ended_ms >= done.started_ms && done.started_ms > 1_600_000_000_000
    );
    assert!(begin.elapsed() < Duration::from_secs(2));
    let place = server.path("count");
    let mut add = command(&["sh", "-c", "cat >> \"$PLACE\"; pwd; echo \"$WORD\""]);
    add.env
        .insert("PLACE".into(), place.to_str().unwrap().into());
    add.env.insert("WORD".into(), "a 'b' \n $c".into());
    add.chdir = Some("/etc".into());
    add.stdin = Some(vec![0, 255, b'\n']);
    let done = host.command(&User::Login, &add, "t-1/b c").await.unwrap();
    assert_eq!(&done.stdout[..], b"/etc\na 'b' \n $c\n");
    assert_eq!(std::fs::read(&place).unwrap(), [0, 255, b'\n']);
    // Whoever comes again finds what it gave; a retry has a folder of its own, and runs again.
    let found = host.command(&User::Login, &add, "t-1/b c").await.unwrap();
    assert_eq!(found, done);
    assert_eq!(std::fs::read(&place).unwrap().len(), 3);
    host.command(&User::Login, &add, "t-1/b c-1").await.unwrap();
    assert_eq!(std::fs::read(&place).unwrap().len(), 6);
    add.stdin = Some(vec![b'z'; 2_000_000]);
    host.command(&User::Login, &add, "t-1/large").await.unwrap();
    assert_eq!(std::fs::read(&place).unwrap().len(), 2_000_006);
    let mut slow = command(&["sh", "-c", "sleep 60 & echo started; wait"]);
    slow.timeout = Some(Duration::from_millis(1500));
    let begin = Instant::now();
    let done = host.command(&User::Login, &slow, "t-1/slow").await.unwrap();
    assert!(done.timed_out && done.status != 0, "{done:?}");
    assert_eq!(&done.stdout[..], b"started\n");
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "{:?}",
        begin.elapsed()
    );
    let missing = host
        .command(&User::Login, &command(&["no-such-program"]), "t-1/n")
        .await
        .unwrap();
    assert_eq!(missing.status, 127);
    host.close().await;
    assert!(
        !std::path::Path::new("/var/tmp/.runbook-0/t-1").exists(),
        "folders stay behind"
    );
}

#[tokio::test]
async fn a_command_whose_process_is_gone_is_told() {
    if !server::possible("ssh command gone") {
        return;
    }
    let server = Server::start("");
    let host = connected(&server).await;
    let command = Command {
        argv: vec!["sh".into(), "-c".into(), "sleep 30".into()],
        ..Command::default()
    };
    let other = connected(&server).await;
    let killer = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        sh(
            &other,
            "kill -s KILL -- -$(cat /var/tmp/.runbook-0/t-2/x/pid)",
        )
        .await;
    };
    let (outcome, ()) = tokio::join!(host.command(&User::Login, &command, "t-2/x"), killer);
    let Err(HostError::Undecided(why)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(why.contains("gone without a result"), "{why}");
    sh(&other, "rm -rf /var/tmp/.runbook-0/t-2").await;
}

#[tokio::test]
async fn thirty_reads_and_commands_cost_three_round_trips() {
    if !server::possible("ssh round trips") {
        return;
    }
    let server = Server::start("");
    let delay = Duration::from_millis(100);
    let proxy = proxy::Proxy::before(server.port, delay, server.process()).await;
    let mut settings = server.settings();
    settings.port = Some(proxy.port);
    settings.host_keys.fingerprint = Some(pinned(&server));
    let host = ssh::connect(settings).await.unwrap();
    tokio::time::sleep(delay * 3).await;
    let logged_in = proxy.turns();
    host.facts().await.unwrap();
    let probe = Probe::new(host.clone(), User::Login);
    let work = (0..30).map(|n| {
        let probe = probe.clone();
        async move {
            if n % 2 == 0 {
                let query = FileQuery {
                    path: "/etc/passwd".into(),
                    follow: true,
                    content_up_to: Some(100_000),
                };
                let read = probe.files(&[query]).await.unwrap();
                assert_eq!(read[0].as_ref().unwrap().file_type, FileType::File);
            } else {
                let reply = probe
                    .command(&ReadCommand::new(["echo", "x"]))
                    .await
                    .unwrap();
                assert_eq!(&reply.stdout[..], b"x\n");
            }
        }
    });
    futures::future::join_all(work).await;
    let cost = host.cost();
    let turns = proxy.turns() - logged_in;
    assert!(turns <= 3, "{turns} turns outside, {cost:?}");
    assert_eq!(cost.round_trips, 3, "as counted inside");
    assert!(cost.sent > 1000 && cost.received > 20_000, "{cost:?}");
    host.close().await;
}

fn pinned(server: &Server) -> String {
    let line = server::run(
        "ssh-keygen",
        &["-l", "-f", server.path("host.pub").to_str().unwrap()],
    );
    line.split(' ').nth(1).unwrap().to_owned()
}
