//! Blocks with `collect_failures`: all that is wrong is told at once, and then the host fails.

use anyhow::Result;
use runbook_e2e::Scene;

const PLAYBOOK: &str = r#"
- hosts: localhost
  tasks:
    - name: All of it
      collect_failures: true
      parallel: PARALLEL
      block:
        - name: One
          command: {argv: [sh, -c, "echo no; exit 1"], reads_only: true, reads: ["file:/etc"]}
          register: one
        - name: Rests on one
          assert: {that: "one.stdout == 'yes'"}
        - name: Two
          fail: {msg: two is wrong}
        - name: Three
          debug: {msg: three is right}
        - name: Each
          fail: {msg: "{{ item }} is wrong"}
          loop: [four, five]
        - name: Rescued within
          block:
            - name: Six
              fail: {msg: six is mended}
          rescue:
            - name: Mended
              debug: {msg: mended}
    - name: Never reached
      file: {path: "{{ playbook_dir }}/made", state: touch}
"#;

#[test]
fn all_that_is_wrong_is_told_and_nothing_after_it_is_done() -> Result<()> {
    for parallel in ["true", "false"] {
        for check in [&["--check"][..], &[]] {
            let scene = Scene::new()?;
            scene.write("play.yaml", &PLAYBOOK.replace("PARALLEL", parallel))?;
            let base = ["play", "play.yaml", "-i", "localhost,", "--output", "json"];
            let run = scene.runbook(&[&base[..], check].concat())?;
            assert_eq!(run.code, 2, "{}", run.text());
            let tasks = run.tasks("localhost")?;
            let statuses: Vec<String> = tasks
                .iter()
                .map(|t| {
                    let text = |key: &str| t[key].as_str().unwrap_or_default();
                    format!("{}: {}", text("task"), text("status"))
                })
                .collect();
            let mut expected = vec![
                "One: failed",
                "Rests on one: skipped",
                "Two: failed",
                "Three: ok",
                "Each: failed",
                "Each: failed",
                "Six: failed",
                "Mended: ok",
            ];
            let mut found: Vec<&str> = statuses.iter().map(String::as_str).collect();
            // Side by side there is no order but that of what rests on what.
            if parallel == "true" {
                found.sort_unstable();
                expected.sort_unstable();
            }
            assert_eq!(found, expected, "{parallel} {check:?}");
            assert!(run.out.contains("\\\"One\\\" has failed"), "{}", run.out);
            assert!(!scene.path("made").exists());
        }
    }
    Ok(())
}
