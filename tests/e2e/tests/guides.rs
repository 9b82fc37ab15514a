//! The guides say which task does each step, and there are such tasks.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::guide::{Row, WITHOUT_TASK, rows};
use runbook_lab::Lab;

/// What is wrong with the table.
fn wrong(rows: &[Row], read: impl Fn(&str) -> Result<String>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let steps: BTreeSet<&str> = rows.iter().map(|row| row.step.as_str()).collect();
    let all: Vec<String> = (1..=64).map(|n| format!("D{n:02}")).collect();
    wrong.extend(
        all.iter()
            .filter(|step| !steps.contains(step.as_str()))
            .map(|step| format!("{step} is missing")),
    );
    for Row {
        step, task, file, ..
    } in rows
    {
        if !all.contains(step) {
            wrong.push(format!("there is no {step}"));
        }
        if file.is_empty() {
            // Only these words say that a step has no task.
            let open = task.starts_with("open: ");
            if !open && !WITHOUT_TASK.iter().any(|w| task.starts_with(w)) {
                wrong.push(format!("{step}: `{task}` is in no file"));
            }
            continue;
        }
        let text = read(file).with_context(|| format!("{step}: {file}"))?;
        let named = |line: &str| line.trim_start() == format!("- name: {task}");
        if !text.lines().any(named) {
            wrong.push(format!("{step}: there is no task `{task}` in {file}"));
        }
    }
    Ok(wrong)
}

#[test]
fn each_step_of_the_archive_upgrade_has_its_task() -> Result<()> {
    let text = fs::read_to_string(Lab::project().join("docs/guides/dcm4chee.md"))?;
    let read = |file: &str| {
        Ok(fs::read_to_string(
            Lab::project().join("playbooks").join(file),
        )?)
    };
    let found = rows(&text, 'D');
    let wrong_now = wrong(&found, read)?;
    ensure!(wrong_now.is_empty(), "{wrong_now:#?}");

    // A step or a task that is taken away is missed.
    let others = found.iter().filter(|row| row.step != "D47");
    let without: Vec<Row> = others.cloned().collect();
    ensure!(wrong(&without, read)? == ["D47 is missing"]);
    let renamed = |file: &str| Ok(read(file)?.replace("- name: Part 2", "- name: Part two"));
    ensure!(wrong(&found, renamed)?.len() == 2);
    Ok(())
}
