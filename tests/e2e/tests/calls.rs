//! What a call chooses of a playbook, and what it says where it chooses nothing.

use anyhow::Result;
use runbook_e2e::{Run, Scene};

const PLAYBOOK: &str = r#"
- hosts: localhost
  tasks:
    - name: Look first
      command: "true"
      changed_when: false
      tags: [preflight]
    - name: Then do it
      command: "true"
      changed_when: false
      tags: [upgrade]
"#;

fn call(args: &[&str]) -> Result<Run> {
    let scene = Scene::new()?;
    scene.write("play.yaml", PLAYBOOK)?;
    let args = [&["play", "play.yaml", "-i", "localhost,"], args].concat();
    scene.runbook(&args)
}

#[test]
fn a_task_to_start_at_that_is_not_there_is_a_mistake() -> Result<()> {
    let run = call(&["--start-at-task", "Then do ti"])?;
    assert_eq!(run.code, 1, "{}", run.text());
    assert!(
        run.err.contains("there is no task `Then do ti`"),
        "{}",
        run.err
    );
    assert!(
        run.err.contains("did you mean `Then do it`?"),
        "{}",
        run.err
    );
    for (start, hosts) in [
        ("Then do it", "1 ok"),
        ("Then*", "1 ok"),
        ("Look first", "2 ok"),
    ] {
        let run = call(&["--start-at-task", start])?;
        assert_eq!(run.code, 0, "{}", run.text());
        assert!(run.out.contains(hosts), "{start}: {}", run.out);
    }
    Ok(())
}

#[test]
fn a_tag_that_no_task_has_is_named() -> Result<()> {
    let run = call(&["--tags", "preflght"])?;
    assert_eq!(run.code, 0, "{}", run.text());
    assert!(
        run.err.contains("no task has the tag `preflght`"),
        "{}",
        run.err
    );
    assert!(run.err.contains("did you mean `preflight`?"), "{}", run.err);
    let run = call(&["--skip-tags", "backup"])?;
    assert!(
        run.err.contains("there are: preflight, upgrade"),
        "{}",
        run.err
    );
    for tags in ["preflight", "all", "untagged", "always"] {
        let run = call(&["--tags", tags])?;
        assert_eq!(
            (run.code, run.err.contains("no task")),
            (0, false),
            "{tags}: {}",
            run.err
        );
    }
    Ok(())
}

#[test]
fn lists_end_no_line_with_a_blank() -> Result<()> {
    let run = call(&["--list-tags", "--list-tasks", "--list-hosts"])?;
    assert!(run.out.contains("tags: preflight, upgrade"), "{}", run.out);
    for line in run.out.lines() {
        assert_eq!(line, line.trim_end());
    }
    Ok(())
}

#[test]
fn a_part_of_a_site_is_taken_only_where_that_is_said() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "sites.yaml",
        "sites:\n  st-anna:\n    vars: {ansible_connection: local}\n    hosts:\n      dir1: {groups: [ldap]}\n      arc1: {groups: [arc]}\n",
    )?;
    scene.write(
        "play.yaml",
        "- hosts: sites\n  tasks:\n    - command: {cmd: \"true\", reads_only: true}\n",
    )?;
    let call = |more: &[&str]| {
        let args = [&["play", "play.yaml", "-i", "sites.yaml"], more].concat();
        scene.runbook(&args)
    };
    let part = call(&["--limit", "arc1"])?;
    assert_eq!(part.code, 1, "{}", part.text());
    for said in [
        "takes `arc1` of the site `st-anna` and leaves `dir1`",
        "`--limit st-anna` takes the whole site",
        "play.yaml:1:10",
    ] {
        assert!(part.err.contains(said), "no `{said}` in {}", part.err);
    }
    assert_eq!(call(&["--limit", "st-anna"])?.code, 0);
    let allowed = call(&["--limit", "arc1", "--part-of-site"])?;
    assert_eq!(allowed.code, 0, "{}", allowed.text());
    assert!(!allowed.out.contains("dir1"), "{}", allowed.out);
    Ok(())
}

#[test]
fn blocks_and_ids_are_taken_to_start_at() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "play.yaml",
        r#"
- hosts: localhost
  gather_facts: false
  tasks:
    - name: First
      debug: {msg: x}
    - name: Swap
      id: swap-it
      block:
        - name: Within
          id: within
          debug: {msg: x}
    - debug: {msg: x}
"#,
    )?;
    for (start, hosts) in [
        ("Swap", "2 ok"),
        ("swap-it", "2 ok"),
        ("within", "2 ok"),
        ("S*p", "2 ok"),
        ("First", "3 ok"),
    ] {
        let run = scene.runbook(&[
            "play",
            "play.yaml",
            "-i",
            "localhost,",
            "--start-at-task",
            start,
        ])?;
        assert_eq!(run.code, 0, "{start}: {}", run.text());
        assert!(run.out.contains(hosts), "{start}: {}", run.out);
    }
    let run = scene.runbook(&[
        "play",
        "play.yaml",
        "-i",
        "localhost,",
        "--start-at-task",
        "swap-at",
    ])?;
    assert!(run.err.contains("did you mean `swap-it`?"), "{}", run.err);
    Ok(())
}

#[test]
fn without_an_inventory_only_this_machine_is_there() -> Result<()> {
    let scene = Scene::new()?;
    for hosts in ["all", "web", "web:db", "all:!localhost"] {
        let play = format!("- hosts: {hosts}\n  tasks:\n    - debug: {{msg: x}}\n");
        scene.write("play.yaml", &play)?;
        let run = scene.runbook(&["play", "play.yaml"])?;
        assert_eq!(run.code, 1, "{hosts}: {}", run.text());
        let said = format!("no inventory was given, so no host matches `{hosts}`");
        assert!(run.err.contains(&said), "{hosts}: {}", run.err);
        assert!(run.err.contains("1 mistake."), "{hosts}: {}", run.err);
        assert!(!scene.path("state").exists(), "{hosts} is in the journal");
    }
    scene.write(
        "play.yaml",
        "- hosts: localhost\n  tasks:\n    - debug: {msg: x}\n",
    )?;
    let run = scene.runbook(&["play", "play.yaml"])?;
    assert_eq!(run.code, 0, "{}", run.text());
    Ok(())
}

#[test]
fn nobody_at_all_cannot_work() -> Result<()> {
    let run = call(&["-f", "0"])?;
    assert_ne!(run.code, 0, "{}", run.text());
    assert!(run.err.contains("at least one host"), "{}", run.err);
    Ok(())
}

#[test]
fn a_rescue_hangs_off_its_block() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "play.yaml",
        r#"
- hosts: localhost
  tasks:
    - block:
        - {name: new, debug: {msg: x}}
      rescue:
        - {name: old, debug: {msg: x}}
        - {name: not upgraded, fail: {msg: x}}
    - {name: look, debug: {msg: x}}
    - block:
        - {name: other, debug: {msg: x}}
      rescue:
        - {name: mend, debug: {msg: x}}
      always:
        - {name: tidy, debug: {msg: x}}
"#,
    )?;
    let run = scene.runbook(&["graph", "play.yaml", "-i", "localhost,", "--format", "json"])?;
    let graph: serde_json::Value = serde_json::from_str(&run.out)?;
    let name = |id: &serde_json::Value| {
        let all = graph["nodes"].as_array().into_iter().flatten();
        let node = all.into_iter().find(|n| n["id"] == *id);
        node.map_or_else(String::new, |n| n["task"].as_str().unwrap_or("").to_owned())
    };
    let mut edges: Vec<String> = graph["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            format!(
                "{} -{}-> {}",
                name(&e["from"]),
                e["why"].as_str().unwrap_or(""),
                name(&e["to"])
            )
        })
        .collect();
    edges.sort();
    let expected = [
        "look -order-> other",
        "mend -always-> tidy",
        "new -order-> look",
        "new -rescue-> old",
        "old -order-> not upgraded",
        "other -always-> tidy",
        "other -rescue-> mend",
    ];
    assert_eq!(edges, expected, "{}", run.out);
    let help = scene.runbook(&["graph", "--help"])?;
    for word in ["order", "needs", "data", "notify", "rescue", "always"] {
        assert!(
            help.out.contains(&format!("`{word}`")),
            "{word}: {}",
            help.out
        );
    }
    Ok(())
}
