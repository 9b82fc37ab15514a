//! `no_log`: what such a task does is shown nowhere, by whichever command; and nothing else is hidden with it.

use anyhow::{Result, ensure};
use runbook_e2e::{Run, Scene};

const PLAY: &str = "- hosts: all
  gather_facts: false
  vars: {here: \"{{ playbook_dir }}\"}
  tasks:
    - name: Hidden
      copy: {dest: \"{{ here }}/hidden\", content: \"pearl-after\\n\", mode: \"0600\"}
      no_log: true
    - name: Hidden command
      command: {cmd: \"test -n pearl-command\", changes: [\"{{ here }}/made\"]}
      no_log: true
    - name: Shown
      copy: {dest: \"{{ here }}/shown\", content: \"plain-after\\n\", mode: \"0600\"}
";

/// Words that only tasks with `no_log`, or others behind their backs, write.
const WORDS: [&str; 4] = [
    "pearl-before",
    "pearl-after",
    "pearl-theirs",
    "pearl-command",
];

/// Calls it, holds it against all words, and wants to find these texts.
fn call(scene: &Scene, args: &[&str], code: i32, finds: &[&str]) -> Result<Run> {
    let run = scene.runbook(args)?;
    let text = run.text();
    ensure!(run.code == code, "{args:?}: {}\n{text}", run.code);
    for word in WORDS {
        ensure!(!text.contains(word), "{args:?} shows {word}:\n{text}");
    }
    for expected in finds {
        ensure!(text.contains(expected), "{args:?}: no {expected}:\n{text}");
    }
    Ok(run)
}

/// Both files are there, with the content of somebody.
fn written(scene: &Scene, whose: &str) -> Result<()> {
    for (name, word) in [("hidden", "pearl"), ("shown", "plain")] {
        scene.write(name, &format!("{word}-{whose}\n"))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(scene.path(name), mode)?;
    }
    Ok(())
}

#[test]
fn no_command_shows_what_such_a_task_does() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("up.yaml", PLAY)?;
    written(&scene, "before")?;
    let play = ["up.yaml", "-i", "localhost,"];
    let with =
        |before: &[&'static str], after: &[&'static str]| [before, &play[..], after].concat();
    // What hides a change does not hide the same change of another task.
    let change = ["-plain-before", "+plain-after", "mode 0644 → 0600"];
    call(
        &scene,
        &with(&["play"], &["--check", "--diff", "-v"]),
        0,
        &change,
    )?;
    call(&scene, &with(&["drift"], &["--diff"]), 0, &change)?;
    call(
        &scene,
        &with(&["plan"], &["-o", "p.plan", "--diff"]),
        0,
        &change,
    )?;
    call(&scene, &["show", "p.plan", "--diff"], 0, &change)?;
    let json = ["show", "p.plan", "--output", "json"];
    call(&scene, &json, 0, &["plain-after"])?;
    // It has drifted since.
    written(&scene, "theirs")?;
    let theirs = ["+plain-theirs", "file:", "hidden", "no_log"];
    call(&scene, &["apply", "p.plan", "--diff"], 5, &theirs)?;
    let json = ["apply", "p.plan", "--diff", "--output", "json"];
    call(&scene, &json, 5, &["plain-theirs", "no_log"])?;
    written(&scene, "before")?;
    call(
        &scene,
        &with(&["play"], &["--diff", "-y", "-vv"]),
        0,
        &change,
    )?;
    call(
        &scene,
        &["show"],
        0,
        &["shown: content 13 bytes → 12 bytes"],
    )?;
    call(&scene, &["log"], 0, &["shown: content 13 bytes → 12 bytes"])?;
    call(&scene, &["log", "--output", "json"], 0, &["Hidden"])?;
    // Others have been there since.
    written(&scene, "theirs")?;
    call(&scene, &["drift", "--diff"], 0, &theirs)?;
    call(
        &scene,
        &["drift", "--diff", "--output", "json"],
        0,
        &["plain-theirs", "no_log"],
    )?;
    let back = ["rollback", "-y", "--check", "--diff"];
    call(
        &scene,
        &back,
        5,
        &["others have changed it since", "hidden"],
    )?;
    let hidden = format!("file:{}", scene.path("hidden").display());
    let shown = format!("file:{}", scene.path("shown").display());
    let back = [
        "rollback",
        "-y",
        "--diff",
        "--overwrite",
        &hidden,
        "--overwrite",
        &shown,
    ];
    call(&scene, &back, 0, &["+plain-before"])?;
    ensure!(std::fs::read_to_string(scene.path("hidden"))? == "pearl-before\n");
    Ok(())
}
