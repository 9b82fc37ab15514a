//! Mistakes in a playbook: all are told at once, each at its place, and nobody is connected.

use anyhow::{Context as _, Result};
use runbook_e2e::{Counter, Scene};

/// Each mistake is marked in front of the very character that has to be pointed at; the word is the diagnostic's id.
const PLAYBOOK: &str = r#"- name: Many mistakes
  hosts: all
  «unknown-keyword»gather_fact: false
  vars:
    port: 8080
    «duplicate-key»port: 8081
    circle: «variable-cycle»"{{ around }}"
    around: "{{ circle }}"
  tasks:
    - name: An unknown keyword of a task
      debug: {msg: x}
      «unknown-keyword»whenn: true

    - name: Ansible's name for a module that has another one here
      «unknown-module»win_service: {name: spooler}

    - name: A module that is nowhere
      «unknown-module»dcoker_container: {name: arc}

    - name: An unknown argument
      copy: {dest: /tmp/x, «unknown-argument»contnt: y}

    - name: A missing argument
      copy: «missing-argument»{content: y}

    - name: A list for a text
      file:
        path: «wrong-type»[/tmp/a, /tmp/b]
        state: directory

    - name: One of a few values
      file: {path: /tmp/x, state: «bad-value»folder}

    - name: Undefined, in the middle of a text
      debug: {msg: "the host is {{ «undefined-variable»hostt }}"}

    - name: It is only used where it is defined
      debug: {msg: "{{ perhaps }} of {{ site.perhaps }}"}
      when: [perhaps is defined and port == 1, site is defined, perhaps | length > 0]

    - name: That one is defined says nothing of another, nor of what is asked before
      debug: {msg: "{{ perhaps }} {{ «undefined-variable»certainly }}"}
      when: ["«undefined-variable»never | length > 0", perhaps is defined, never is defined or port == 1]

    - name: Not well formed
      debug: {msg: "{{ port + «template-syntax»}}"}

    - name: A filter that is not there
      debug: {msg: "{{ «template-syntax»port | uper }}"}

    - name: No such id
      debug: {msg: x}
      needs: [«unknown-id»nowhere]

    - name: First
      id: first
      debug: {msg: x}
      needs: [«cycle»second]

    - name: Second
      id: second
      debug: {msg: x}
      needs: [first]

    - name: No such handler
      debug: {msg: x}
      notify: «unknown-handler»restart the archive

    - name: Two modules
      debug: {msg: x}
      «two-modules»command: "true"

    - name: Variables that need each other
      debug: {msg: "{{ circle }}"}

    - name: Arguments in the old form, in a file of its own
      import_tasks: tasks/more.yaml

- name: A group that is not there
  hosts: «unknown-host»archives
  tasks:
    - debug: {msg: x}
"#;

const MORE: &str = "\
- name: In an imported file
  file: path=/tmp/x state=directory «unknown-argument»modus=0755
- name: No such file
  template: {src: «missing-file»nothing.j2, dest: /tmp/x}
";

/// Takes the marks out: the text, and id, file, line and column of each.
fn marks(file: &str, text: &str) -> Result<(String, Vec<(String, String, usize, usize)>)> {
    let mut plain = String::new();
    let mut places = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = line;
        let mut kept = String::new();
        while let Some((before, after)) = rest.split_once('«') {
            kept.push_str(before);
            let (id, after) = after.split_once('»').context("a mark has no end")?;
            let column = kept.chars().count() + 1;
            places.push((id.to_owned(), file.to_owned(), index + 1, column));
            rest = after;
        }
        kept.push_str(rest);
        plain.push_str(&kept);
        plain.push('\n');
    }
    Ok((plain, places))
}

#[test]
fn every_mistake_is_told_at_its_place_and_nobody_is_connected() -> Result<()> {
    let scene = Scene::new()?;
    let counter = Counter::start()?;
    scene.write(
        "hosts.ini",
        &format!(
            "[all:vars]\nansible_host=127.0.0.1\nansible_port={}\n[some]\nweb1\nweb2\n",
            counter.port()
        ),
    )?;
    let (playbook, mut expected) = marks("many.yaml", PLAYBOOK)?;
    let (more, further) = marks("tasks/more.yaml", MORE)?;
    expected.extend(further);
    scene.write("many.yaml", &playbook)?;
    scene.write("tasks/more.yaml", &more)?;
    for more in [
        &[][..],
        &["--check"],
        &["--syntax-check"],
        &["--output", "json"],
    ] {
        let mut args = vec!["play", "many.yaml", "-i", "hosts.ini"];
        args.extend(more);
        let run = scene.runbook(&args)?;
        assert_eq!(run.code, 1, "{more:?}\n{}", run.err);
        assert_eq!(run.out, "", "{more:?}: all of it is on standard error");
        let mut found = run.places();
        let count = found.len();
        found.sort();
        expected.sort();
        if found != expected {
            let absent: Vec<_> = expected.iter().filter(|e| !found.contains(e)).collect();
            let surplus: Vec<_> = found.iter().filter(|f| !expected.contains(f)).collect();
            panic!(
                "not found: {absent:#?}\nnot wanted: {surplus:#?}\n{}",
                run.err
            );
        }
        assert!(count >= 15, "{count} mistakes");
        let says = format!("{count} mistakes. Nothing was touched; no host was connected.");
        assert!(run.err.contains(&says), "{}", run.err);
        for hint in [
            "this version has no module for Windows hosts",
            "did you mean `content`?",
            "did you mean `docker_container`?",
            "did you mean `when`?",
            "did you mean `gather_facts`?",
        ] {
            assert!(run.err.contains(hint), "{hint} is not said\n{}", run.err);
        }
    }
    assert_eq!(counter.connections()?, 0, "somebody was connected");
    assert!(
        !scene.path("state").exists(),
        "a run that did not begin has left a journal"
    );
    Ok(())
}
