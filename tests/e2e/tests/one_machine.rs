//! Several hosts of a play that work on one machine, and the hosts of a site in the plays that follow.

use std::fs;

use anyhow::{Result, ensure};
use runbook_e2e::{Scene, call};

/// What a check says of hosts that work on one machine comes true: they go one after the other, in its order.
#[test]
fn names_of_one_machine_do_not_race() -> Result<()> {
    let scene = Scene::new()?;
    let names: Vec<String> = (1..=9).map(|n| format!("h{n}")).collect();
    let hosts: String = names.iter().map(|n| format!("{n}: {{}}, ")).collect();
    scene.write(
        "hosts.yaml",
        &format!("all: {{vars: {{ansible_connection: local}}, hosts: {{{hosts}}}}}\n"),
    )?;
    let root = scene.path("host").display().to_string();
    fs::create_dir(&root)?;
    scene.write(
        "play.yaml",
        &format!(
            r#"- hosts: "all:!h9"
  gather_facts: false
  tasks:
    - lineinfile: {{path: "{root}/one", line: "{{{{ inventory_hostname }}}}", create: true}}
    - file: {{path: "{root}/new/{{{{ inventory_hostname }}}}", state: directory}}
    - name: For another one
      lineinfile: {{path: "{root}/other", line: "{{{{ inventory_hostname }}}}", create: true}}
      delegate_to: h9
"#
        ),
    )?;
    let plan = ["plan", "play.yaml", "-i", "hosts.yaml", "-o", "plan.json"];
    call(&scene, &plan, 0)?;
    call(&scene, &["apply", "plan.json"], 0)?;
    let lines: String = names[..8].iter().map(|n| format!("{n}\n")).collect();
    for file in ["one", "other"] {
        ensure!(
            fs::read_to_string(format!("{root}/{file}"))? == lines,
            "{file}"
        );
    }
    Ok(())
}

/// Who only waits is in nobody's way: the second has ended before the first has.
#[test]
fn hosts_that_only_wait_on_one_machine_go_side_by_side() -> Result<()> {
    let scene = Scene::new()?;
    let (there, nowhere) = (scene.write("there", "x\n")?, scene.path("nowhere"));
    scene.write(
        "hosts.yaml",
        &format!(
            "all:\n  vars: {{ansible_connection: local}}\n  hosts:\n    a: {{path: {}}}\n    b: {{path: {}}}\n    c: {{}}\n",
            nowhere.display(),
            there.display()
        ),
    )?;
    scene.write(
        "play.yaml",
        r#"- hosts: "a,b"
  gather_facts: false
  tasks:
    - {wait_for: {path: "{{ path }}", timeout: 2}, delegate_to: c, ignore_errors: true}
"#,
    )?;
    let run = [
        "play",
        "play.yaml",
        "-i",
        "hosts.yaml",
        "-y",
        "--output",
        "json",
    ];
    let run = call(&scene, &run, 0)?;
    let events = run.events()?;
    let ended = events.iter().filter(|e| e["event"] == "task-finished");
    let hosts: Vec<&str> = ended.filter_map(|e| e["host"].as_str()).collect();
    ensure!(hosts == ["b", "a"], "{hosts:?}");
    Ok(())
}

/// A host of a site that has failed stops the others of it, in later plays, too.
#[test]
fn a_site_that_has_failed_is_left_alone() -> Result<()> {
    let scene = Scene::new()?;
    let root = scene.path("host").display().to_string();
    fs::create_dir(&root)?;
    scene.write(
        "sites.yaml",
        r"
sites:
  st-anna:
    vars: {ansible_connection: local}
    hosts: {a: {groups: [first]}, b: {groups: [second]}}
",
    )?;
    scene.write(
        "play.yaml",
        &format!(
            r#"- hosts: sites
  gather_facts: false
  tasks:
    - {{fail: {{msg: no}}, hosts: a}}
- hosts: second
  gather_facts: false
  tasks:
    - copy: {{dest: "{root}/written", content: x}}
"#
        ),
    )?;
    let run = call(&scene, &["play", "play.yaml", "-i", "sites.yaml", "-y"], 2)?;
    ensure!(!scene.path("host/written").exists(), "{}", run.out);
    Ok(())
}

/// Sites do not wait for each other: how far another one has come is not known before the run.
#[test]
fn what_another_site_has_come_to_is_unknown() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "sites.yaml",
        r"
sites:
  one: {vars: {ansible_connection: local, place: north}, hosts: {a: {}}}
  two: {vars: {ansible_connection: local}, hosts: {b: {}, c: {}}}
",
    )?;
    scene.write(
        "play.yaml",
        r#"- hosts: sites
  gather_facts: false
  tasks:
    - {stat: {path: /}, register: s}
    - {name: Own, debug: {msg: "{{ hostvars['c'].s.stat.exists }} {{ hostvars['a'].place }}"}, hosts: b}
    - {name: Other, debug: {msg: "{{ hostvars['a'].s.stat.exists | default('?') }}"}, hosts: b}
"#,
    )?;
    let check = [
        "play",
        "play.yaml",
        "-i",
        "sites.yaml",
        "--check",
        "--output",
        "json",
    ];
    let check = call(&scene, &check, 0)?;
    let status = |name: &str| -> Result<String> {
        let tasks = check.tasks("b")?;
        let task = tasks.iter().find(|t| t["task"] == name);
        Ok(task.map(|t| t["status"].to_string()).unwrap_or_default())
    };
    ensure!(
        status("Own")? == "\"ok\"" && status("Other")? == "\"unknown\"",
        "{}",
        check.out
    );
    Ok(())
}
