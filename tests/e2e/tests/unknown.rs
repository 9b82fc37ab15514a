//! What a check cannot know stays unknown: it is neither guessed nor taken for a mistake.

use anyhow::Result;
use runbook_e2e::Scene;

const PLAYBOOK: &str = r#"
- hosts: localhost
  tasks:
    - name: Says something
      shell: echo word
      register: said
      changed_when: false
    - name: Keeps it
      set_fact: {kept: "{{ said.stdout }}", fixed: 1}
    - name: Keeps it only where something is so
      set_fact: {perhaps: 1}
      when: said.stdout == "word"
    - name: Uses it
      debug: {msg: "{{ kept }} {{ perhaps }}"}
    - name: Uses what is known
      debug: {msg: "{{ 1 + 1 }}"}
"#;

#[test]
fn a_fact_that_only_the_run_can_tell_is_unknown_in_the_check() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("play.yaml", PLAYBOOK)?;
    let statuses = |args: &[&str]| -> Result<Vec<(String, String)>> {
        let args = [
            &["play", "play.yaml", "-i", "localhost,", "--output", "json"],
            args,
        ]
        .concat();
        let run = scene.runbook(&args)?;
        assert_eq!(run.code, 0, "{}", run.text());
        assert!(!run.out.contains("__runbook"), "{}", run.out);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let tasks = run.tasks("localhost")?;
        Ok(tasks
            .iter()
            .map(|t| (text(&t["task"]), text(&t["status"])))
            .collect())
    };
    let with = |expected: &[(&str, &str)]| -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(task, status)| ((*task).to_owned(), (*status).to_owned()))
            .collect()
    };
    assert_eq!(
        statuses(&["--check", "-v"])?,
        with(&[
            ("Says something", "ok"),
            ("Keeps it", "unknown"),
            ("Keeps it only where something is so", "conditional"),
            ("Uses it", "unknown"),
            ("Uses what is known", "ok"),
        ])
    );
    assert_eq!(
        statuses(&[])?,
        with(&[
            ("Says something", "ok"),
            ("Keeps it", "ok"),
            ("Keeps it only where something is so", "ok"),
            ("Uses it", "ok"),
            ("Uses what is known", "ok"),
        ])
    );
    Ok(())
}
