//! Branches of a parallel block: which go side by side, and which wait for one before them.

use anyhow::{Result, ensure};
use runbook_e2e::Scene;

/// Each waits for what the other one makes.
const SIDE_BY_SIDE: &str = r#"
- hosts: localhost
  gather_facts: false
  vars:
    wait: 'touch "$0"; for n in $(seq 200); do [ -e "$1" ] && exit 0; sleep 0.1; done; exit 1'
  tasks:
    - name: Both
      parallel: true
      block:
        - command: {argv: [sh, -c, "{{ wait }}", FOLDER/one, FOLDER/other], changes: [FOLDER/one], reads: []}
        - command: {argv: [sh, -c, "{{ wait }}", FOLDER/other, FOLDER/one], changes: [FOLDER/other], reads: []}
"#;

/// The second mentions what the first registers, by way of two variables.
const ONE_AFTER_THE_OTHER: &str = r#"
- hosts: localhost
  gather_facts: false
  vars:
    seen: "{{ said.stdout }}"
    told: "{{ seen | upper }}"
  tasks:
    - name: Both
      parallel: true
      block:
        - command: {argv: [sh, -c, "sleep 1; echo it"], changes: [FOLDER/said], reads: []}
          register: said
        - copy: {dest: FOLDER/told, content: "{{ told }}\n"}
        - copy: {dest: FOLDER/when, content: "yes\n"}
          when: told == 'IT'
        # It touches nothing of the host.
        - assert: {that: "told == 'IT'"}
"#;

/// The first needs the last, and both mention what the other gives.
const NEEDS_THE_LAST: &str = r#"
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Both
      parallel: true
      block:
        - needs: [last]
          copy: {dest: FOLDER/told, content: "{{ said.stdout }}\n"}
        - set_fact: {word: it}
        - name: Last
          id: last
          command: {argv: [echo, "{{ word }}"], changes: [FOLDER/said], reads: []}
          register: said
"#;

fn played(playbook: &str) -> Result<Scene> {
    let scene = Scene::new()?;
    let folder = scene.path("made");
    std::fs::create_dir(&folder)?;
    let text = playbook.replace("FOLDER", &folder.display().to_string());
    scene.write("play.yaml", &text)?;
    let run = scene.runbook(&["play", "play.yaml", "-i", "localhost,", "-y"])?;
    ensure!(run.code == 0, "{}", run.text());
    Ok(scene)
}

#[test]
fn commands_that_say_what_they_touch_go_side_by_side() -> Result<()> {
    played(SIDE_BY_SIDE).map(drop)
}

#[test]
fn who_is_needed_by_the_one_before_does_not_wait_for_it() -> Result<()> {
    let scene = played(NEEDS_THE_LAST)?;
    assert_eq!(std::fs::read_to_string(scene.path("made/told"))?, "it\n");
    Ok(())
}

#[test]
fn who_mentions_a_register_through_variables_waits_for_it() -> Result<()> {
    let scene = played(ONE_AFTER_THE_OTHER)?;
    assert_eq!(std::fs::read_to_string(scene.path("made/told"))?, "IT\n");
    assert_eq!(std::fs::read_to_string(scene.path("made/when"))?, "yes\n");
    Ok(())
}
