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
