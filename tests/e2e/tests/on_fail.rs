//! `on_fail: rollback`: what a play has done where it fails is taken back at once.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::{Scene, Terminal, call, skip};
use serde_json::Value;

/// A play that changes files, in words of ours, and then fails.
fn play(head: &str, tasks: &str) -> String {
    format!(
        "- name: Upgrade\n  hosts: all\n  gather_facts: false\n{head}  vars: {{root: \"{{{{ playbook_dir }}}}/t\"}}\n  tasks:\n{tasks}"
    )
}

const CHANGES: &str = r#"    - name: Conf
      copy: {dest: "{{ root }}/conf", content: "new\n"}
      notify: reload
    - name: Folder
      file: {path: "{{ root }}/new", state: directory}
    - name: In it
      copy: {dest: "{{ root }}/new/f", content: "x\n"}
"#;
const FAILS: &str = "    - name: Breaks\n      command: 'false'\n";
const HANDLERS: &str =
    "  handlers:\n    - name: reload\n      shell: cat {{ root }}/conf >> {{ root }}/../reloaded\n";

fn scene(playbook: &str) -> Result<Scene> {
    let scene = Scene::new()?;
    scene.write("t/conf", "old\n")?;
    scene.write("p.yaml", playbook)?;
    Ok(scene)
}

/// Files and links below `t/` with content; what is kept aside is left out.
fn tree(scene: &Scene) -> Result<String> {
    let script = "find t -name '.*.runbook-*' -prune -o -printf '%p %y %M %l\\n' | LC_ALL=C sort; \
                  find t -name '.*.runbook-*' -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(scene.folder())
        .output()?;
    ensure!(output.status.success());
    Ok(String::from_utf8(output.stdout)?)
}

fn event<'a>(events: &'a [Value], name: &str) -> Result<&'a Value> {
    let found = events.iter().find(|e| e["event"] == name);
    found.with_context(|| format!("there is no {name}: {events:#?}"))
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn read(scene: &Scene, name: &str) -> Result<String> {
    fs::read_to_string(scene.path(name)).with_context(|| name.to_owned())
}

#[test]
fn everything_is_as_before_and_the_run_has_failed() -> Result<()> {
    let text = play("  on_fail: rollback\n", &format!("{CHANGES}{FAILS}")) + HANDLERS;
    let scene = scene(&text)?;
    let before = tree(&scene)?;
    let run = call(
        &scene,
        &["play", "p.yaml", "-i", "localhost,", "--output", "json"],
        2,
    )?;
    assert_eq!(tree(&scene)?, before);
    assert_eq!(
        read(&scene, "reloaded")?,
        "old\n",
        "the handler runs after the old file is back"
    );
    let events = run.events()?;
    let (started, finished) = (
        event(&events, "rollback-started")?,
        event(&events, "rollback-finished")?,
    );
    let end = event(&events, "run-finished")?;
    assert_eq!(started["takes_back"], end["run"]);
    assert_eq!(started["play"], "Upgrade");
    assert_eq!(texts(&started["hosts"]), ["localhost"]);
    // A command is nothing that could be taken back, and this one has failed: who knows what it did.
    assert_eq!(
        texts(&finished["left"]),
        ["localhost: Breaks: it ran, and what it did stays: run false"]
    );
    // What the run did is counted, not what was done to take it back.
    assert_eq!(end["hosts"]["localhost"]["changed"], 3);
    assert_eq!(end["hosts"]["localhost"]["failed"], 1);

    // It stands in the journal as a run of its own.
    let runs = call(&scene, &["runs", "--output", "json"], 0)?.events()?;
    assert_eq!(runs.len(), 2);
    let (run, back) = (
        runs[0]["run"].as_str().unwrap_or_default(),
        runs[1]["run"].as_str().unwrap_or_default(),
    );
    assert_eq!(started["run"], back);
    assert_eq!(runs[0]["outcome"], "failed");
    assert_eq!(
        (runs[1]["outcome"].as_str(), runs[1]["what"].as_str()),
        (Some("done"), Some(format!("rollback of {run}").as_str()))
    );
    let shown = call(&scene, &["show", run], 0)?;
    assert!(
        shown
            .out
            .contains(&format!("localhost: taken back by {back}")),
        "{}",
        shown.out
    );
    call(&scene, &["log", back], 0)?;
    // Said again, there is nothing left to do; and the way back can be taken back.
    call(&scene, &["rollback", run], 0)?;
    assert_eq!(tree(&scene)?, before);
    call(&scene, &["rollback", back], 0)?;
    assert_eq!(read(&scene, "t/new/f")?, "x\n");
    Ok(())
}

#[test]
fn people_are_told_before_and_after() -> Result<()> {
    let text = play("  on_fail: rollback\n", &format!("{CHANGES}{FAILS}"));
    let scene = scene(&text.replace("      notify: reload\n", ""))?;
    let check = call(
        &scene,
        &["play", "p.yaml", "-i", "localhost,", "--check"],
        0,
    )?;
    assert!(
        check
            .out
            .contains("on failure: what it has done there is taken back"),
        "{}",
        check.out
    );
    let terminal = Terminal::start(&scene, "runbook play p.yaml -i localhost,")?;
    terminal
        .until("If \"Upgrade\" fails on a host or site, what it has done there is taken back.")?;
    drop(terminal);
    let run = call(&scene, &["play", "p.yaml", "-i", "localhost,"], 2)?;
    let at = |part: &str| {
        run.out
            .find(part)
            .with_context(|| format!("{part}: {}", run.out))
    };
    let order = [
        at("failed      localhost: Breaks")?,
        at("\"Upgrade\" has failed, and is taken back  [localhost]")?,
        run.out
            .rfind("changed     localhost: In it")
            .context("it is not taken back")?,
        at("\"Upgrade\" has been taken back on localhost, but for:\n  localhost: Breaks: it ran")?,
    ];
    assert!(order.is_sorted(), "{}", run.out);
    Ok(())
}

#[test]
fn only_where_it_is_asked_for_and_not_where_it_is_rescued() -> Result<()> {
    let stop = play("  on_fail: stop\n", &format!("{CHANGES}{FAILS}"))
        .replace("      notify: reload\n", "");
    let default = stop.replace("  on_fail: stop\n", "");
    let rescued = stop.replace("stop", "rollback").replace(
        FAILS,
        "    - block:\n        - command: 'false'\n      rescue:\n        - debug: {msg: saved}\n",
    );
    for (text, code) in [(stop, 2), (default, 2), (rescued, 0)] {
        let scene = scene(&text)?;
        let run = call(&scene, &["play", "p.yaml", "-i", "localhost,"], code)?;
        assert_eq!(read(&scene, "t/conf")?, "new\n", "{text}");
        assert!(!run.out.contains("taken back on"), "{}", run.out);
    }
    Ok(())
}

#[test]
fn a_host_goes_back_alone_and_a_site_as_a_whole() -> Result<()> {
    let hosts = "a: {ansible_connection: local}\n      b: {ansible_connection: local}\n      c: {ansible_connection: local}\n";
    let inventory = |of: &str| {
        format!("{of}:\n  one:\n    hosts:\n      {hosts}")
            .replace("      c:", "  two:\n    hosts:\n      c:")
    };
    let tasks = "    - copy: {dest: \"{{ root }}/{{ inventory_hostname }}\", content: x}\n    - command: 'false'\n      when: inventory_hostname == 'b'\n    - copy: {dest: \"{{ root }}/{{ inventory_hostname }}-2\", content: x}\n";
    let text = play("  on_fail: rollback\n", tasks);
    for (group, of, there) in [
        ("all", "all:\n  children", &["a", "a-2", "c", "c-2"][..]),
        ("sites", "sites", &["c", "c-2"]),
    ] {
        let scene = scene(&text.replace("hosts: all", &format!("hosts: {group}")))?;
        let inventory = inventory(of);
        let inventory = match group {
            "all" => inventory
                .replace("\n  one", "\n    one")
                .replace("\n  two", "\n    two")
                .replace("    hosts:", "      hosts:")
                .replace("\n      a", "\n        a")
                .replace("\n      b", "\n        b")
                .replace("\n      c", "\n        c"),
            _ => inventory,
        };
        scene.write("hosts.yaml", &inventory)?;
        let run = call(
            &scene,
            &["play", "p.yaml", "-i", "hosts.yaml", "--output", "json"],
            2,
        )?;
        let mut names: Vec<String> = fs::read_dir(scene.path("t"))?
            .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.retain(|n| n != "conf");
        names.sort();
        assert_eq!(names, there, "{group}: {}", run.text());
        let events = run.events()?;
        let started = event(&events, "rollback-started")?;
        let expected: &[&str] = if group == "sites" {
            &["a", "b"]
        } else {
            &["b"]
        };
        assert_eq!(texts(&started["hosts"]), expected);
    }
    Ok(())
}

#[test]
fn of_a_run_of_two_plays_only_the_one_that_failed() -> Result<()> {
    let first = "- name: First\n  hosts: all\n  gather_facts: false\n  on_fail: rollback\n  tasks:\n    - copy: {dest: \"{{ playbook_dir }}/t/first\", content: x}\n";
    let second = play("  on_fail: rollback\n", &format!("{CHANGES}{FAILS}"))
        .replace("      notify: reload\n", "");
    let scene = scene(&format!("{first}{second}"))?;
    call(&scene, &["play", "p.yaml", "-i", "localhost,"], 2)?;
    assert_eq!(read(&scene, "t/first")?, "x");
    assert_eq!(read(&scene, "t/conf")?, "old\n");
    Ok(())
}

#[test]
fn what_others_have_changed_stays_and_is_named() -> Result<()> {
    let others = "    - name: Others\n      command: cp {{ root }}/theirs {{ root }}/conf\n      changed_when: false\n";
    let text = play(
        "  on_fail: rollback\n",
        &format!("{CHANGES}{others}{FAILS}"),
    )
    .replace("      notify: reload\n", "");
    let scene = scene(&text)?;
    scene.write("t/theirs", "theirs\n")?;
    let run = call(
        &scene,
        &["play", "p.yaml", "-i", "localhost,", "--output", "json"],
        2,
    )?;
    assert_eq!(read(&scene, "t/conf")?, "theirs\n");
    assert!(!scene.path("t/new").exists());
    let events = run.events()?;
    let left = texts(&event(&events, "rollback-finished")?["left"]).join("\n");
    assert!(
        left.contains("localhost: Conf: file:") && left.contains("others have changed it since"),
        "{left}"
    );
    Ok(())
}

/// A step of the way back fails, so what came before it stays, and each is said.
#[test]
fn a_way_back_that_fails_says_what_is_where() -> Result<()> {
    let tasks = r#"    - name: Before
      copy: {dest: "{{ root }}/before", content: "x\n"}
    - name: Large
      copy: {src: large, dest: "{{ root }}/large"}
    - name: After
      copy: {dest: "{{ root }}/after", content: "x\n"}
    - name: Somebody tidies up
      shell: for f in {{ root }}/.*.runbook-*; do rm -f $f; mkdir $f; done
      changed_when: false
"#;
    let scene = scene(&play("  on_fail: rollback\n", &format!("{tasks}{FAILS}")))?;
    scene.write("t/large", &"before ".repeat(300_000))?;
    scene.write("files/large", &"after ".repeat(300_000))?;
    let run = call(
        &scene,
        &["play", "p.yaml", "-i", "localhost,", "--output", "json"],
        2,
    )?;
    assert!(!scene.path("t/after").exists());
    assert_eq!(read(&scene, "t/before")?, "x\n");
    assert!(read(&scene, "t/large")?.starts_with("after"));
    let events = run.events()?;
    let left = texts(&event(&events, "rollback-finished")?["left"]);
    let said = |parts: [&str; 2]| left.iter().any(|l| parts.iter().all(|p| l.contains(p)));
    assert!(said(["localhost: Large: ", ""]), "{left:#?}");
    assert!(
        said([
            "localhost: Before: ",
            "not taken back, since \"Large\" was not"
        ]),
        "{left:#?}"
    );
    let text = call(&scene, &["show"], 0)?;
    assert!(text.out.contains("Large"), "{}", text.out);
    Ok(())
}

#[test]
fn a_point_of_no_return_is_named_and_not_crossed() -> Result<()> {
    let tasks = r#"    - name: Before
      copy: {dest: "{{ root }}/before", content: "x\n"}
    - name: A pipe goes
      file: {path: "{{ root }}/pipe", state: absent}
    - name: After
      copy: {dest: "{{ root }}/after", content: "x\n"}
"#;
    let scene = scene(&play("  on_fail: rollback\n", &format!("{tasks}{FAILS}")))?;
    ensure!(
        Command::new("mkfifo")
            .arg(scene.path("t/pipe"))
            .status()?
            .success()
    );
    let run = call(
        &scene,
        &["play", "p.yaml", "-i", "localhost,", "--output", "json"],
        2,
    )?;
    assert!(!scene.path("t/after").exists() && scene.path("t/before").exists());
    let events = run.events()?;
    let left = texts(&event(&events, "rollback-finished")?["left"]);
    let said = |parts: [&str; 2]| left.iter().any(|l| parts.iter().all(|p| l.contains(p)));
    assert!(
        said([
            "localhost: A pipe goes: cannot be taken back: file:",
            "is not made again"
        ]),
        "{left:#?}"
    );
    assert!(
        said([
            "localhost: Before: ",
            "stays, since it came before \"A pipe goes\""
        ]),
        "{left:#?}"
    );
    Ok(())
}

/// What cannot be taken back has failed, and so was not done: it is in nobody's way.
#[test]
fn a_point_of_no_return_that_was_not_reached_is_none() -> Result<()> {
    let test = "a point of no return that was not reached";
    let sudo = Command::new("sudo")
        .args(["-n", "-u", "nobody", "true"])
        .status();
    if !sudo.is_ok_and(|s| s.success()) {
        skip(test, "sudo to nobody is not allowed here");
        return Ok(());
    }
    let tasks = r#"    - name: Before
      copy: {dest: "{{ root }}/before", content: "x\n"}
    - name: A pipe goes
      file: {path: /var/tmp/PLACE/pipe, state: absent}
      become: true
      become_user: nobody
"#;
    let folder = tempfile::Builder::new()
        .prefix("on-fail-")
        .tempdir_in("/var/tmp")?;
    let name = folder
        .path()
        .file_name()
        .context("no name")?
        .to_string_lossy()
        .into_owned();
    ensure!(
        Command::new("chmod")
            .arg("755")
            .arg(folder.path())
            .status()?
            .success()
    );
    ensure!(
        Command::new("mkfifo")
            .arg(folder.path().join("pipe"))
            .status()?
            .success()
    );
    let scene = scene(&play(
        "  on_fail: rollback\n",
        &tasks.replace("PLACE", &name),
    ))?;
    let run = call(
        &scene,
        &["play", "p.yaml", "-i", "localhost,", "--output", "json"],
        2,
    )?;
    let failed = run.tasks("localhost")?;
    assert_eq!(failed[1]["status"], "failed", "{failed:#?}");
    assert!(folder.path().join("pipe").exists());
    assert!(!scene.path("t/before").exists(), "{}", run.text());
    Ok(())
}
