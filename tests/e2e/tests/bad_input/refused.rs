//! Hosts that cannot be reached: exit code 4, the host and the cause are named, and the others finish.

use std::net::TcpListener;

use anyhow::Result;
use runbook_e2e::Scene;

use super::server::{self, Server};
use super::{finished, good, play, says, two_files};

/// One host is as it should be, the other, `bad`, as `line` says, which is `NAME=VALUE`s for the inventory.
#[track_caller]
fn one_goes_on(test: &str, line: impl FnOnce(&Server, &Scene) -> String, words: &[&str]) {
    if !server::possible(test) {
        return;
    }
    let server = Server::start("");
    let scene = Scene::new().unwrap();
    let bad = line(&server, &scene);
    let inventory = format!("bad {bad}\n{}", good(&server, "good"));
    scene.write("hosts.ini", &inventory).unwrap();
    scene.write("site.yaml", &two_files(&scene)).unwrap();
    for more in [&[][..], &["--check"]] {
        let run = play(&scene, more).unwrap();
        assert_eq!(run.code, 4, "{}", run.text());
        says(&run, &["unreachable bad", "bad  1 unreachable"]);
        says(&run, words);
        assert!(!scene.path("bad.1").exists(), "{}", run.text());
    }
    assert!(finished(&scene, "good"), "the other host did not finish");
}

fn at(server: &Server, port: u16, key: &str, known: &str) -> String {
    format!(
        "ansible_host=127.0.0.1 ansible_port={port} ansible_user=root ansible_ssh_private_key_file={} known_hosts={known}",
        server.path(key).display()
    )
}

fn known(server: &Server) -> String {
    server.path("known_hosts").display().to_string()
}

/// A known_hosts file of its own.
fn knowing(scene: &Scene, text: &str) -> String {
    let path = scene.write("known", text).unwrap();
    path.display().to_string()
}

/// Another key of the same kind, as known_hosts has it: kind and key.
fn other_key(scene: &Scene) -> String {
    server::keygen(&scene.path("other"), "ed25519", "");
    let text = std::fs::read_to_string(scene.path("other.pub")).unwrap();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_port_that_refuses() {
    let line = |s: &Server, _: &Scene| at(s, server::free_port(), "client", &known(s));
    let words = [
        "bad: cannot be reached at 127.0.0.1 port",
        "refused",
        "is sshd running there",
    ];
    one_goes_on("a port that refuses", line, &words);
}

#[test]
fn a_port_that_is_silent() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let line = |s: &Server, _: &Scene| at(s, port, "client", &known(s));
    let words = ["took the connection", "within 10 s", "MaxStartups"];
    one_goes_on("a port that is silent", line, &words);
}

#[test]
fn a_port_that_speaks_something_else() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write as _;
        for client in other.incoming().flatten() {
            let mut client = client;
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let line = |s: &Server, _: &Scene| at(s, port, "client", &known(s));
    one_goes_on("a port that speaks HTTP", line, &["does not speak SSH"]);
}

#[test]
fn a_name_that_is_not_found() {
    let line = |s: &Server, _: &Scene| {
        at(s, 22, "client", &known(s)).replace("127.0.0.1", "no-such-host.invalid")
    };
    let words = [
        "no-such-host.invalid",
        "its name is not found",
        "`ansible_host`",
    ];
    one_goes_on("a name that is not found", line, &words);
}

#[test]
fn a_key_that_is_refused() {
    let line = |s: &Server, _: &Scene| {
        server::keygen(&s.path("stranger"), "ed25519", "");
        at(s, s.port, "stranger", &known(s))
    };
    one_goes_on(
        "a key that is refused",
        line,
        &["bad (127.0.0.1 port", "root", "stranger"],
    );
}

#[test]
fn a_host_key_that_has_changed() {
    let line = |s: &Server, scene: &Scene| {
        let text = format!("# mine\n[127.0.0.1]:{} {}\n", s.port, other_key(scene));
        at(s, s.port, "client", &knowing(scene, &text))
    };
    let words = [
        "its key has changed",
        "/known, line 2",
        "Somebody may be in between",
        "ssh-keygen -R",
    ];
    one_goes_on("a host key that has changed", line, &words);
}

#[test]
fn a_host_key_that_is_not_known() {
    let line = |s: &Server, scene: &Scene| at(s, s.port, "client", &knowing(scene, ""));
    let words = [
        "nothing is known of its ssh-ed25519 key SHA256:",
        "host_key: SHA256:",
        "accept-new",
        "/known",
    ];
    one_goes_on("a host key that is not known", line, &words);
}

#[test]
fn a_host_key_that_is_revoked() {
    let line = |s: &Server, scene: &Scene| {
        let public = std::fs::read_to_string(s.path("host.pub")).unwrap();
        let text = format!("[127.0.0.1]:{0} {public}@revoked * {public}", s.port);
        at(s, s.port, "client", &knowing(scene, &text))
    };
    one_goes_on(
        "a host key that is revoked",
        line,
        &["is marked as revoked in", "/known, line 2"],
    );
}

#[test]
fn a_host_key_that_is_not_the_pinned_one() {
    let line = |s: &Server, scene: &Scene| {
        server::keygen(&scene.path("other"), "ed25519", "");
        let path = scene.path("other.pub").display().to_string();
        let print = server::run("ssh-keygen", &["-l", "-f", &path]);
        let print = print.split(' ').nth(1).unwrap().to_owned();
        format!("{} host_key={print}", at(s, s.port, "client", &known(s)))
    };
    one_goes_on(
        "a pinned host key",
        line,
        &["but the inventory says SHA256:"],
    );
}

#[test]
fn nothing_but_hosts_that_cannot_be_reached() -> Result<()> {
    let scene = Scene::new()?;
    let line = |n: usize| {
        format!(
            "h{n} ansible_host=127.0.0.1 ansible_port={}\n",
            server::free_port()
        )
    };
    scene.write("hosts.ini", &format!("{}{}", line(1), line(2)))?;
    scene.write("site.yaml", &two_files(&scene))?;
    let run = play(&scene, &["--detailed-exitcode"])?;
    assert_eq!(run.code, 4, "{}", run.text());
    says(&run, &["h1: cannot be reached", "h2: cannot be reached"]);
    Ok(())
}
