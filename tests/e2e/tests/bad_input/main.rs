//! Bad input, each kind of it with the real program: what is said, which code it ends with, what was touched, and
//! that other hosts go on.
#![expect(clippy::unwrap_used, reason = "a test")]

mod failing;
mod refused;
#[expect(dead_code, reason = "the server of the transport's tests can do more")]
#[path = "../../../../engine/tests/ssh/server.rs"]
mod server;
#[path = "../../../skip.rs"]
mod skip;
mod wrong;

use anyhow::Result;
use runbook_e2e::{Run, Scene};

/// Inventory lines of a host that is as it should be, on the server.
fn good(server: &server::Server, name: &str) -> String {
    format!(
        "{name} ansible_host=127.0.0.1 ansible_port={} ansible_user=root ansible_ssh_private_key_file={} known_hosts={}\n",
        server.port,
        server.path("client").display(),
        server.path("known_hosts").display()
    )
}

/// Two tasks that leave a file for each host; the second shows that a host went on.
fn two_files(scene: &Scene) -> String {
    format!(
        "- name: Two files\n  hosts: all\n  tasks:\n    - name: The first\n      \
         copy: {{dest: \"{0}/{{{{ inventory_hostname }}}}.1\", content: one}}\n    - name: The second\n      \
         copy: {{dest: \"{0}/{{{{ inventory_hostname }}}}.2\", content: two}}\n",
        scene.folder().display()
    )
}

/// The host went through both tasks.
fn finished(scene: &Scene, host: &str) -> bool {
    scene.path(&format!("{host}.1")).exists() && scene.path(&format!("{host}.2")).exists()
}

fn play(scene: &Scene, more: &[&str]) -> Result<Run> {
    let mut args = vec!["play", "site.yaml", "-i", "hosts.ini"];
    args.extend(more);
    scene.runbook(&args)
}

/// All of these words are said.
#[track_caller]
fn says(run: &Run, words: &[&str]) {
    let text = run.text();
    for word in words {
        assert!(text.contains(word), "`{word}` is not said:\n{text}");
    }
}
