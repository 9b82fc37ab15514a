//! Who we are, who the host is, and the ways there: keys, passwords, known_hosts, jump hosts, sudo, sockets, cuts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::server::{ScratchUser, Server, keygen, run};
use crate::{proxy, server};
use bytes::Bytes;
use runbook_engine::host::{
    Address, Command, Connection, FileQuery, FileType, HostError, Probe, User,
};
use runbook_engine::transport::local;
use runbook_engine::transport::ssh::{self, Passphrases, SshSettings};
use runbook_engine::value::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The machine's list of users is changed by one test at a time.
pub static USERS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn out(host: &Arc<dyn Connection>, user: &User, script: &str) -> String {
    let reply = host.shell(user, script, None, true).await.unwrap();
    String::from_utf8_lossy(&reply.stdout).into_owned()
}

async fn refusal(settings: SshSettings) -> String {
    match ssh::connect(settings).await {
        Err(HostError::Unreachable(why)) => why,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("connected"),
    }
}

async fn works(settings: SshSettings) {
    let host = ssh::connect(settings).await.unwrap();
    assert_eq!(out(&host, &User::Login, "echo yes").await, "yes\n");
    host.close().await;
}

#[tokio::test]
async fn every_kind_of_key_and_password_logs_in() {
    if !server::possible("ssh logins") {
        return;
    }
    let _one = USERS.lock().await;
    let server = Server::start("PasswordAuthentication yes");
    let authorize = |name: &str| {
        let mut all = std::fs::read_to_string(server.path("authorized")).unwrap();
        all += &std::fs::read_to_string(server.path(&format!("{name}.pub"))).unwrap();
        std::fs::write(server.path("authorized"), all).unwrap();
    };
    for kind in ["rsa", "ecdsa", "ed25519"] {
        keygen(&server.path(kind), kind, "");
        authorize(kind);
        let mut settings = server.settings();
        settings.key = Some(server.path(kind));
        works(settings).await;
    }
    keygen(&server.path("locked"), "ed25519", "open sesame");
    authorize("locked");
    let mut settings = server.settings();
    settings.key = Some(server.path("locked"));
    let why = refusal(settings.clone()).await;
    assert!(
        why.contains("passphrase") && why.contains("testhost") && why.contains("locked"),
        "{why}"
    );
    settings.passphrase = Some(Secret::new("wrong"));
    assert!(refusal(settings.clone()).await.contains("does not open it"));
    settings.passphrase = None;
    settings.passphrases = Arc::new(Passphrases::new(|_| Some(Secret::new("open sesame"))));
    works(settings).await;

    keygen(&server.path("stranger"), "ed25519", "");
    let mut settings = server.settings();
    settings.key = Some(server.path("stranger"));
    let why = refusal(settings).await;
    assert!(
        why.contains("stranger") && why.contains("the server offers publickey, password"),
        "{why}"
    );

    let user = ScratchUser::new("rb-login", "s3cret word", "/bin/sh");
    let mut settings = server.settings();
    settings.key = None;
    settings.user = Some(user.name.clone());
    settings.password = Some(Secret::new("s3cret word"));
    works(settings.clone()).await;
    settings.password = Some(Secret::new("wr0ng"));
    let why = refusal(settings).await;
    assert!(
        why.contains("the password") && !why.contains("wr0ng"),
        "{why}"
    );

    let socket = server.path("agent");
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a", socket.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let added = std::process::Command::new("ssh-add")
        .args(["-q", server.path("rsa").to_str().unwrap()])
        .env("SSH_AUTH_SOCK", &socket)
        .status()
        .unwrap();
    assert!(added.success());
    let mut settings = server.settings();
    settings.key = None;
    settings.agent = Some(socket);
    works(settings).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[tokio::test]
async fn a_certificate_logs_in_and_vouches_for_a_host() {
    if !server::possible("ssh certificates") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ca = keygen(&dir.path().join("ca"), "ed25519", "");
    let ca_text = ca.to_str().unwrap();
    let server = Server::start(&format!("TrustedUserCAKeys {ca_text}.pub"));
    keygen(&server.path("certified"), "ed25519", "");
    let key = server.path("certified.pub");
    run(
        "ssh-keygen",
        &[
            "-q",
            "-s",
            ca_text,
            "-I",
            "me",
            "-n",
            "root",
            key.to_str().unwrap(),
        ],
    );
    let mut settings = server.settings();
    settings.key = Some(server.path("certified"));
    works(settings).await;
    drop(server);

    let server = Server::start(&format!(
        "HostCertificate {}/host-cert.pub",
        dir.path().display()
    ));
    let sign = |principal: &str| {
        std::fs::copy(server.path("host.pub"), dir.path().join("host.pub")).unwrap();
        let key = dir.path().join("host.pub");
        run(
            "ssh-keygen",
            &[
                "-q",
                "-s",
                ca_text,
                "-h",
                "-I",
                "h",
                "-n",
                principal,
                key.to_str().unwrap(),
            ],
        );
    };
    let public = std::fs::read_to_string(dir.path().join("ca.pub")).unwrap();
    std::fs::write(
        server.path("known_hosts"),
        format!("@cert-authority [127.0.0.1]:* {public}"),
    )
    .unwrap();
    sign("127.0.0.1");
    server.reload();
    works(server.settings()).await;
    sign("elsewhere");
    server.reload();
    let why = refusal(server.settings()).await;
    assert!(why.contains("it is for elsewhere"), "{why}");
}

#[tokio::test]
async fn a_host_must_be_who_it_is() {
    if !server::possible("ssh host keys") {
        return;
    }
    let server = Server::start("");
    let print = run(
        "ssh-keygen",
        &["-l", "-f", server.path("host.pub").to_str().unwrap()],
    );
    let print = print.split(' ').nth(1).unwrap();
    let known = server.path("known_hosts");
    let right = std::fs::read_to_string(&known).unwrap();
    run("ssh-keygen", &["-q", "-H", "-f", known.to_str().unwrap()]);
    assert!(std::fs::read_to_string(&known).unwrap().starts_with("|1|"));
    works(server.settings()).await;

    std::fs::write(&known, "").unwrap();
    let why = refusal(server.settings()).await;
    assert!(
        why.contains(print) && why.contains("nothing is known"),
        "{why}"
    );
    let mut settings = server.settings();
    settings.host_keys.accept_new = true;
    works(settings).await;
    works(server.settings()).await;
    assert_eq!(std::fs::read_to_string(&known).unwrap().lines().count(), 1);

    let other = std::fs::read_to_string(server.path("client.pub")).unwrap();
    std::fs::write(
        &known,
        format!("# first\n[127.0.0.1]:{} {other}", server.port),
    )
    .unwrap();
    for accept_new in [false, true] {
        let mut settings = server.settings();
        settings.host_keys.accept_new = accept_new;
        let why = refusal(settings).await;
        assert!(
            why.contains("has changed") && why.contains("line 2") && why.contains(print),
            "{why}"
        );
    }
    std::fs::write(
        &known,
        format!("{right}@revoked * {}", right.split_once(' ').unwrap().1),
    )
    .unwrap();
    assert!(refusal(server.settings()).await.contains("revoked"));

    let mut settings = server.settings();
    settings.host_keys.fingerprint = Some(print.to_owned());
    works(settings.clone()).await;
    settings.host_keys.fingerprint = Some("SHA256:AAAA".to_owned());
    let why = refusal(settings).await;
    assert!(why.contains("SHA256:AAAA") && why.contains(print), "{why}");

    let mut settings = server.settings();
    settings.port = Some(server::free_port());
    let why = refusal(settings).await;
    assert!(
        why.contains("testhost") && why.contains("127.0.0.1") && why.contains("refused"),
        "{why}"
    );
}

#[tokio::test]
async fn jump_hosts_are_gone_through() {
    if !server::possible("ssh jump hosts") {
        return;
    }
    let (first, second, last) = (Server::start(""), Server::start(""), Server::start(""));
    let mut known = String::new();
    for server in [&first, &second, &last] {
        known += &std::fs::read_to_string(server.path("known_hosts")).unwrap();
        std::fs::copy(last.path("client.pub"), server.path("authorized")).unwrap();
    }
    std::fs::write(last.path("known_hosts"), known).unwrap();
    let mut settings = last.settings();
    settings.jump = vec![
        format!("root@127.0.0.1:{}", first.port),
        format!("root@127.0.0.1:{}", second.port),
    ];
    works(settings.clone()).await;
    assert!(
        first.log().contains("Accepted publickey") && second.log().contains("Accepted publickey")
    );
    settings.jump[1] = format!("root@127.0.0.1:{}", server::free_port());
    let why = refusal(settings).await;
    assert!(why.contains("jump host"), "{why}");
}

#[tokio::test]
async fn sudo_with_and_without_a_password() {
    if !server::possible("ssh sudo") {
        return;
    }
    let _one = USERS.lock().await;
    let server = Server::start("");
    let user = ScratchUser::new("rb-sudo", "right one", "/bin/bash");
    let rule = |text: &str| {
        std::fs::write("/etc/sudoers.d/rb-sudo", text).unwrap();
        run("chmod", &["440", "/etc/sudoers.d/rb-sudo"]);
    };
    let root = User::Become("root".to_owned());
    let connect = |password: Option<&str>| {
        let mut settings = server.settings();
        settings.user = Some(user.name.clone());
        settings.become_password = password.map(Secret::new);
        async { ssh::connect(settings).await.unwrap() }
    };
    let why = |answer: Result<_, HostError>| match answer {
        Err(HostError::Failed(why)) => why,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("sudo worked"),
    };
    rule("rb-sudo ALL=(ALL) NOPASSWD: ALL\n");
    for password in [None, Some("not asked for")] {
        let host = connect(password).await;
        assert_eq!(
            out(&host, &root, "id -un; cat").await,
            "root\n",
            "{password:?}"
        );
        host.upload(&root, "/root/rb-test", Bytes::from(vec![b'a'; 400_000]))
            .await
            .unwrap();
        assert_eq!(
            out(
                &host,
                &root,
                "stat -c %U:%s /root/rb-test; rm /root/rb-test"
            )
            .await,
            "root:400000\n"
        );
        let command = Command {
            argv: vec!["id".into(), "-un".into()],
            ..Command::default()
        };
        let done = host.command(&root, &command, "t-sudo/a").await.unwrap();
        assert_eq!(&done.stdout[..], b"root\n");
        host.close().await;
    }
    let host = connect(None).await;
    let said = why(host
        .shell(&User::Become("rb-nobody".into()), "true", None, true)
        .await);
    assert!(said.contains("no such user"), "{said}");
    rule("rb-sudo ALL=(ALL) ALL\n");
    let host = connect(Some("right one")).await;
    assert_eq!(out(&host, &root, "id -un").await, "root\n");
    host.upload(&root, "/root/rb-test", Bytes::from(vec![b'a'; 400_000]))
        .await
        .unwrap();
    assert_eq!(
        out(&host, &root, "wc -c < /root/rb-test; rm /root/rb-test").await,
        "400000\n"
    );
    let seen = out(
        &host,
        &User::Login,
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '",
    )
    .await;
    assert!(
        seen.contains("sudo") && !seen.contains("right one"),
        "the password is to be seen"
    );
    run("sh", &["-c", "rm -rf /run/sudo/ts/rb-sudo"]);
    let said = why(connect(None).await.shell(&root, "true", None, true).await);
    assert!(
        said.contains("wants a password") && said.contains("-K"),
        "{said}"
    );
    let said = why(connect(Some("wrong one"))
        .await
        .shell(&root, "true", None, true)
        .await);
    assert!(
        said.contains("refused the password") && !said.contains("wrong one"),
        "{said}"
    );
    rule("rb-other ALL=(ALL) ALL\n");
    let said = why(connect(Some("right one"))
        .await
        .shell(&root, "true", None, true)
        .await);
    assert!(
        said.contains("sudoers") || said.contains("may not use sudo"),
        "{said}"
    );
}

#[tokio::test]
async fn few_sessions_per_connection_are_enough() {
    if !server::possible("ssh MaxSessions") {
        return;
    }
    for most in [1, 2, 10] {
        let server = Server::start(&format!("MaxSessions {most}"));
        let host = ssh::connect(server.settings()).await.unwrap();
        let users = ["root", "daemon", "nobody"].map(|u| User::Become(u.to_owned()));
        for user in &users {
            let name = out(&host, user, "id -un").await;
            assert_eq!(
                User::Become(name.trim().to_owned()),
                *user,
                "MaxSessions {most}"
            );
        }
        let path = server.path("up");
        host.upload(
            &User::Login,
            path.to_str().unwrap(),
            Bytes::from(vec![1; 500_000]),
        )
        .await
        .unwrap();
        assert_eq!(host.notes().is_empty(), most == 10, "{:?}", host.notes());
        host.close().await;
    }
}

/// Says back what it is told, on a socket.
fn echo(path: &std::path::Path) {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
}

async fn echoes(host: &Arc<dyn Connection>, user: &User, path: &std::path::Path) {
    let address = Address::Unix(path.to_str().unwrap().to_owned());
    let mut stream = host.open(user, &address).await.unwrap();
    let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let mut back = vec![0; sent.len()];
    let (written, got) = tokio::join!(write.write_all(&sent), read.read_exact(&mut back));
    written.unwrap();
    got.unwrap();
    assert!(back == sent);
}

/// Answers once and goes, without waiting for its client to go.
fn farewell(path: &std::path::Path) {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut word = [0; 2];
            let _ = stream.read_exact(&mut word).await;
            let _ = stream.write_all(b"bye").await;
        }
    });
}

#[tokio::test]
async fn a_server_that_goes_is_seen_to_go() {
    if !server::possible("ssh: the end of a socket") {
        return;
    }
    let _one = USERS.lock().await;
    for more in ["", "AllowStreamLocalForwarding no"] {
        let server = Server::start(more);
        let socket = server.path("farewell");
        farewell(&socket);
        let host = ssh::connect(server.settings()).await.unwrap();
        let address = Address::Unix(socket.to_str().unwrap().to_owned());
        let mut stream = host.open(&User::Login, &address).await.unwrap();
        stream.write_all(b"hi").await.unwrap();
        let mut said = String::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut said))
            .await
            .unwrap_or_else(|_| panic!("the end does not come ({more})"))
            .unwrap();
        assert_eq!(said, "bye");
        host.close().await;
    }
}

#[tokio::test]
async fn sockets_are_opened_directly_or_by_a_bridge() {
    if !server::possible("ssh sockets") {
        return;
    }
    let _one = USERS.lock().await;
    for more in ["", "AllowStreamLocalForwarding no"] {
        let server = Server::start(more);
        let socket = server.path("echo");
        echo(&socket);
        let host = ssh::connect(server.settings()).await.unwrap();
        echoes(&host, &User::Login, &socket).await;
        assert_eq!(
            host.notes().is_empty(),
            more.is_empty(),
            "{:?}",
            host.notes()
        );
        let missing = Address::Unix("/nowhere.sock".to_owned());
        let Err(HostError::Failed(why)) = host.open(&User::Login, &missing).await.map(drop) else {
            panic!("opened");
        };
        assert!(why.contains("no such socket"), "{why}");
        run("chmod", &["600", socket.to_str().unwrap()]);
        let user = ScratchUser::new("rb-socket", "x", "/bin/sh");
        std::fs::write(
            "/etc/sudoers.d/rb-socket",
            "rb-socket ALL=(ALL) NOPASSWD: ALL\n",
        )
        .unwrap();
        let mut settings = server.settings();
        settings.user = Some(user.name.clone());
        let host = ssh::connect(settings).await.unwrap();
        let address = Address::Unix(socket.to_str().unwrap().to_owned());
        let Err(HostError::Failed(why)) = host.open(&User::Login, &address).await.map(drop) else {
            panic!("opened");
        };
        assert!(
            why.contains("rb-socket may not open it") && why.contains("become"),
            "{why}"
        );
        echoes(&host, &User::Become("root".to_owned()), &socket).await;
        host.close().await;
    }
}

#[tokio::test]
async fn a_first_connection_that_is_cut_is_made_again() {
    if !server::possible("ssh first cuts") {
        return;
    }
    let server = Server::start("");
    let proxy = proxy::Proxy::start(server.port, Duration::ZERO).await;
    let host_key = run(
        "ssh-keygen",
        &["-l", "-f", server.path("host.pub").to_str().unwrap()],
    );
    // In the greeting, in the exchange of keys, and in the login.
    for (round, after) in [10, 900, 2700, 3000].into_iter().enumerate() {
        let mut settings = server.settings();
        settings.port = Some(proxy.port);
        settings.host_keys.fingerprint = Some(host_key.split(' ').nth(1).unwrap().to_owned());
        let before = proxy.line.connections.load(Ordering::SeqCst);
        proxy.cut_after(after);
        let host = ssh::connect(settings).await.unwrap();
        let text = out_owned(host.clone(), format!("echo {round}")).await;
        assert_eq!(text, format!("{round}\n"), "cut after {after}");
        let made = proxy.line.connections.load(Ordering::SeqCst) - before;
        assert!(made >= 2, "cut after {after}: {made} connections");
        host.close().await;
    }
    // What is no sshd is not tried for long, and it is said what it may be.
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    tokio::spawn(async move { while nobody.accept().await.is_ok() {} });
    let mut settings = server.settings();
    settings.port = Some(port);
    let Err(HostError::Unreachable(why)) = ssh::connect(settings).await else {
        panic!("it has connected");
    };
    assert!(why.contains("closed before it was ready"), "{why}");
}

#[tokio::test]
async fn a_cut_connection_is_taken_up_again() {
    if !server::possible("ssh cuts") {
        return;
    }
    let server = Server::start("");
    let proxy = proxy::Proxy::start(server.port, Duration::ZERO).await;
    let mut settings = server.settings();
    settings.port = Some(proxy.port);
    let host_key = run(
        "ssh-keygen",
        &["-l", "-f", server.path("host.pub").to_str().unwrap()],
    );
    settings.host_keys.fingerprint = Some(host_key.split(' ').nth(1).unwrap().to_owned());
    let host = ssh::connect(settings).await.unwrap();
    let facts = host.facts().await.unwrap();
    // Reads are asked again by themselves, wherever the cut falls.
    for (round, after) in [1, 40, 100, 333, 700, 1500, 4000, 9000]
        .into_iter()
        .enumerate()
    {
        proxy.cut_after(after);
        let reads = (0..5).map(|n| out_owned(host.clone(), format!("seq 1 300; echo {round} {n}")));
        for (n, text) in futures::future::join_all(reads)
            .await
            .into_iter()
            .enumerate()
        {
            assert!(
                text.ends_with(&format!("300\n{round} {n}\n")),
                "cut after {after}"
            );
        }
    }
    assert!(proxy.line.connections.load(Ordering::SeqCst) >= 5);
    // A command goes on while nobody is connected, and is started once.
    let place = server.path("started");
    let script = format!(
        "echo x >> {0}; sleep 2; echo done; wc -l < {0}",
        place.display()
    );
    for after in [200, 900, 2500] {
        std::fs::write(&place, "").unwrap();
        let command = Command {
            argv: vec!["sh".into(), "-c".into(), script.clone()],
            ..Command::default()
        };
        proxy.cut_after(after);
        let folder = format!("t-cut/{after}");
        let done = host.command(&User::Login, &command, &folder).await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            "done\n1\n",
            "cut after {after}"
        );
    }
    // What writes is not asked again: whoever asked must look.
    proxy.cut_after(-1);
    out_owned(host.clone(), "true".to_owned()).await;
    let write = host.shell(&User::Login, "echo w >> /dev/null; sleep 1", None, false);
    let cut = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.cut_after(0);
    };
    let (answer, ()) = tokio::join!(write, cut);
    assert!(matches!(answer, Err(HostError::Lost(_))), "{answer:?}");
    assert_eq!(host.facts().await.unwrap(), facts);
    host.close().await;
}

async fn out_owned(host: Arc<dyn Connection>, script: String) -> String {
    out(&host, &User::Login, &script).await
}

#[tokio::test]
async fn a_file_is_fetched_as_a_stream() {
    if !server::possible("ssh fetch") {
        return;
    }
    let server = Server::start("");
    let host = ssh::connect(server.settings()).await.unwrap();
    for host in [host, local::connect("here", None)] {
        let probe = Probe::new(host, User::Login);
        for size in [0, 10, 5_000_000] {
            let content: Vec<u8> = (0..size).map(|n: u32| (n * 7 % 256) as u8).collect();
            std::fs::write(server.path("it's large"), &content).unwrap();
            let mut got = Vec::new();
            let count = probe
                .fetch(server.path("it's large").to_str().unwrap(), &mut got)
                .await
                .unwrap();
            assert!(count == u64::from(size) && got == content);
        }
        let missing = probe.fetch("/nowhere/at all", &mut Vec::new()).await;
        assert!(
            matches!(missing, Err(HostError::Failed(ref why)) if why.contains("/nowhere/at all")),
            "{missing:?}"
        );
    }
}

#[tokio::test]
async fn files_of_any_kind_are_read_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("plain"), b"text\n").unwrap();
    std::fs::write(at("-it's \"$x\" `y`"), b"\xff\0\n\n").unwrap();
    std::fs::write(at("empty"), b"").unwrap();
    std::fs::write(at("large"), vec![b'l'; 50_000]).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink("plain", at("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    std::os::unix::fs::symlink("folder", at("way")).unwrap();
    let host = local::connect("here", None);
    let probe = Probe::new(host, User::Login);
    let query = |path: String, follow| FileQuery {
        path,
        follow,
        content_up_to: Some(1000),
    };
    let real = std::fs::canonicalize(dir.path()).unwrap();
    let real = |name: &str| real.join(name).to_str().unwrap().to_owned();
    let cases = [
        (
            query(at("plain"), false),
            FileType::File,
            "plain",
            Some(&b"text\n"[..]),
        ),
        (
            query(at("-it's \"$x\" `y`"), false),
            FileType::File,
            "-it's \"$x\" `y`",
            Some(b"\xff\0\n\n"),
        ),
        (
            query(at("empty"), false),
            FileType::File,
            "empty",
            Some(b""),
        ),
        (query(at("large"), false), FileType::File, "large", None),
        (
            query(at("folder"), false),
            FileType::Directory,
            "folder",
            None,
        ),
        (query(at("link"), false), FileType::Link, "link", None),
        (
            query(at("link"), true),
            FileType::File,
            "plain",
            Some(b"text\n"),
        ),
        (
            query(at("dangling"), true),
            FileType::Absent,
            "nowhere",
            None,
        ),
        (
            query(at("way/new/file"), true),
            FileType::Absent,
            "folder/new/file",
            None,
        ),
        (
            query(at("plain/below"), true),
            FileType::Absent,
            "plain/below",
            None,
        ),
    ];
    let queries: Vec<_> = cases.iter().map(|c| c.0.clone()).collect();
    let mut asked = queries.clone();
    asked.insert(3, query("relative".to_owned(), false));
    asked.insert(5, query(at("two\nlines"), false));
    let mut read = probe.files(&asked).await.unwrap();
    assert!(read.remove(5).is_err() && read.remove(3).is_err());
    for ((query, kind, name, content), entry) in cases.iter().zip(read) {
        let entry = entry.unwrap();
        assert_eq!(entry.file_type, *kind, "{}", query.path);
        assert_eq!(entry.real_path, real(name), "{}", query.path);
        assert_eq!(entry.content.as_deref(), *content, "{}", query.path);
        if let Some(hash) = &entry.sha256 {
            let line = run("sha256sum", &["--", &real(name)]);
            assert!(
                line.trim_start_matches('\\').starts_with(hash),
                "{}",
                query.path
            );
        }
        if query.path.ends_with("link") && !query.follow {
            assert_eq!(entry.link.as_deref(), Some("plain"));
        }
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_not_absent() {
    if !server::possible("unreadable files") {
        return;
    }
    let server = Server::start("");
    let _one = USERS.lock().await;
    let user = ScratchUser::new("rb-reader", "x", "/bin/sh");
    std::fs::create_dir_all(server.path("closed/deeper")).unwrap();
    std::fs::write(server.path("closed/deeper/file"), "x").unwrap();
    std::fs::write(server.path("mine"), "x").unwrap();
    run("chmod", &["700", server.path("closed").to_str().unwrap()]);
    run("chmod", &["600", server.path("mine").to_str().unwrap()]);
    let mut settings = server.settings();
    settings.user = Some(user.name.clone());
    let host = ssh::connect(settings).await.unwrap();
    let probe = Probe::new(host.clone(), User::Login);
    let query = |path: &str| FileQuery {
        path: server.path(path).to_str().unwrap().to_owned(),
        follow: false,
        content_up_to: Some(10),
    };
    let read = probe
        .files(&[
            query("closed/deeper/file"),
            query("mine"),
            query("host.pub"),
            query("closed/none"),
        ])
        .await
        .unwrap();
    for index in [0, 1, 3] {
        let why = read[index].as_ref().expect_err("read").to_string();
        assert!(why.contains("become"), "{why}");
    }
    assert_eq!(read[2].as_ref().unwrap().file_type, FileType::File);
    host.close().await;
}
