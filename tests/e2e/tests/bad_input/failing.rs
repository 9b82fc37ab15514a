//! Tasks that fail: exit code 2, the host is as it was before the task, and the others finish.

use anyhow::Result;
use runbook_e2e::Scene;

use super::server::{self, Server};
use super::{finished, good, play, says};

/// A file is written, then something fails on the host `bad` alone, then a file is written. `bad` is what fails, with
/// HERE for the folder; `words` is what is said.
fn one_fails(test: &str, bad: &str, words: &[&str]) -> Option<Scene> {
    if !server::possible(test) {
        return None;
    }
    let server = Server::start("");
    let scene = Scene::new().unwrap();
    let hosts = format!("{}{}", good(&server, "bad"), good(&server, "good"));
    scene.write("hosts.ini", &hosts).unwrap();
    scene.write("config", "as it was\n").unwrap();
    scene.write("folder/inside", "as it was\n").unwrap();
    let playbook = format!(
        "- name: One fails\n  hosts: all\n  tasks:\n    - name: The first\n      \
         copy: {{dest: \"HERE/{{{{ inventory_hostname }}}}.1\", content: one}}\n    - name: It fails\n      \
         when: inventory_hostname == 'bad'\n      {bad}\n    - name: The second\n      \
         copy: {{dest: \"HERE/{{{{ inventory_hostname }}}}.2\", content: two}}\n"
    );
    let here = scene.folder().display().to_string();
    scene
        .write("site.yaml", &playbook.replace("HERE", &here))
        .unwrap();
    let run = play(&scene, &[]).unwrap();
    assert_eq!(run.code, 2, "{}", run.text());
    says(&run, &["bad: It fails", "site.yaml:6:7", "1 failed"]);
    says(&run, words);
    assert!(
        finished(&scene, "good"),
        "the other did not finish: {}",
        run.text()
    );
    assert!(scene.path("bad.1").exists() && !scene.path("bad.2").exists());
    let left: Vec<String> = std::fs::read_dir(scene.folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with('.') || n.contains("runbook"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    for file in ["config", "folder/inside"] {
        let text = std::fs::read_to_string(scene.path(file)).unwrap();
        assert_eq!(text, "as it was\n", "{file}");
    }
    Some(scene)
}

#[test]
fn a_file_that_does_not_pass_its_check() {
    let bad = "copy: {dest: HERE/config, content: new, validate: grep -q old %s}";
    one_fails("a failing validate", bad, &["config"]);
}

#[test]
fn a_file_below_a_file() {
    let bad = "copy: {content: x, dest: HERE/folder/inside/deeper}";
    one_fails("a file below a file", bad, &["inside"]);
}

#[test]
fn a_directory_over_a_file() {
    let bad = "file: {path: HERE/config, state: directory}";
    one_fails("a directory over a file", bad, &["config"]);
}

#[test]
fn a_command_that_fails() {
    let bad = "command: {argv: [sh, -c, 'echo said on stderr >&2; exit 7']}";
    one_fails("a command that fails", bad, &["7", "said on stderr"]);
}

#[test]
fn a_directory_server_that_is_not_there() {
    let bad = "ldap_export: {server: '127.0.0.1:1', bind_dn: cn=admin, password: hidden-word, base: 'dc=x', dest: HERE/out.ldif}";
    if let Some(scene) = one_fails(
        "an absent directory server",
        bad,
        &["nothing can be reached at 127.0.0.1:1 from this host"],
    ) {
        assert!(!scene.path("out.ldif").exists());
    }
}

#[test]
fn a_failure_wins_over_an_unreachable_host() -> Result<()> {
    if !server::possible("both codes") {
        return Ok(());
    }
    let server = Server::start("");
    let scene = Scene::new()?;
    let gone = format!(
        "gone ansible_host=127.0.0.1 ansible_port={}\n",
        server::free_port()
    );
    let hosts = format!("{gone}{}{}", good(&server, "good"), good(&server, "bad"));
    scene.write("hosts.ini", &hosts)?;
    let here = scene.folder().display();
    scene.write(
        "site.yaml",
        &format!(
            "- hosts: all\n  tasks:\n    - command: {{argv: ['false']}}\n      when: inventory_hostname == 'bad'\n    \
             - copy: {{dest: '{here}/{{{{ inventory_hostname }}}}.1', content: x}}\n"
        ),
    )?;
    let code = |more: &[&str]| -> Result<i32> { Ok(play(&scene, more)?.code) };
    assert_eq!(code(&["--detailed-exitcode"])?, 2, "2 before 4 and 3");
    assert!(scene.path("good.1").exists() && !scene.path("bad.1").exists());
    std::fs::remove_file(scene.path("good.1"))?;
    assert_eq!(
        code(&["--limit", "good,gone", "--detailed-exitcode"])?,
        4,
        "4 before 3"
    );
    assert!(scene.path("good.1").exists());
    std::fs::remove_file(scene.path("good.1"))?;
    assert_eq!(code(&["--limit", "good", "--detailed-exitcode"])?, 3);
    assert_eq!(
        code(&["--limit", "good", "--detailed-exitcode"])?,
        0,
        "nothing to change"
    );
    assert_eq!(code(&["--limit", "good"])?, 0);
    Ok(())
}
