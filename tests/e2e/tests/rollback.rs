//! Taking runs back, as other programs see it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use anyhow::{Result, ensure};
use runbook_e2e::{Run, Scene, call};

/// Files, directories and links below `t/`, with rights and hashes; what is kept aside is left out.
fn tree(scene: &Scene) -> Result<String> {
    let script = r"
find t -name '.*.runbook-*' -prune -o -printf '%p %y %M %U %G %l\n' | LC_ALL=C sort
find t -name '.*.runbook-*' -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(scene.folder())
        .output()?;
    ensure!(output.status.success());
    Ok(String::from_utf8(output.stdout)?)
}

/// A host with a configuration, a large file, a directory with something in it and a link; and a playbook that changes
/// all of them, some of them twice.
fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    let conf = scene.write("t/conf", "a=1\nb=1\n")?;
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o640))?;
    scene.write("t/old/deep/inside", "kept\n")?;
    scene.write("t/large", &"before ".repeat(300_000))?;
    symlink("conf", scene.path("t/link"))?;
    scene.write("files/large", &"after ".repeat(300_000))?;
    let root = scene.path("t").display().to_string();
    scene.write(
        "change.yaml",
        &format!(
            r#"- hosts: all
  gather_facts: false
  vars: {{root: "{root}"}}
  tasks:
    - name: One line
      lineinfile: {{path: "{{{{ root }}}}/conf", regexp: "^a=", line: "a=2"}}
      notify: reload
    - name: All lines
      copy: {{dest: "{{{{ root }}}}/conf", content: "a=3\nb=3\n", mode: "0600"}}
    - name: A directory
      file: {{path: "{{{{ root }}}}/new/deep", state: directory}}
    - name: A file in it
      copy: {{dest: "{{{{ root }}}}/new/deep/f", content: "x\n"}}
    - name: A large file
      copy: {{src: large, dest: "{{{{ root }}}}/large"}}
    - name: A directory goes
      file: {{path: "{{{{ root }}}}/old", state: absent}}
    - name: A link
      file: {{src: large, dest: "{{{{ root }}}}/link", state: link}}
    - name: Many
      copy: {{dest: "{{{{ root }}}}/many-{{{{ item }}}}", content: "{{{{ item }}}}\n"}}
      loop: [1, 2, 3]
    - name: By command
      shell: echo done > {root}/../by-command
  handlers:
    - name: reload
      shell: cat {root}/conf >> {root}/../reloaded
"#
        ),
    )?;
    Ok(scene)
}

fn change(scene: &Scene) -> Result<()> {
    call(scene, &["play", "change.yaml", "-i", "localhost,"], 0).map(drop)
}

/// Host, task, status and diff of every finished task, in order.
fn told(run: &Run) -> Result<Vec<(String, String, String)>> {
    let finished = run.tasks("localhost")?;
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    Ok(finished
        .iter()
        .map(|t| (text(&t["task"]), text(&t["status"]), text(&t["diff"])))
        .collect())
}

#[test]
fn everything_is_as_it_was_and_handlers_run_after_it() -> Result<()> {
    let scene = scene()?;
    let before = tree(&scene)?;
    change(&scene)?;
    let changed = tree(&scene)?;
    assert_ne!(before, changed);
    assert_eq!(fs::read_to_string(scene.path("reloaded"))?, "a=3\nb=3\n");

    let check = call(&scene, &["rollback", "--check", "--output", "json"], 0)?;
    assert_eq!(tree(&scene)?, changed, "a check has changed something");
    let shown = call(&scene, &["rollback", "--check"], 0)?;
    assert!(
        shown.out.contains("it ran, and what it did stays"),
        "{}",
        shown.out
    );
    let run = call(&scene, &["rollback", "--output", "json"], 0)?;
    assert_eq!(told(&check)?, told(&run)?);
    let tasks: Vec<String> = told(&run)?.into_iter().map(|t| t.0).collect();
    assert_eq!(
        tasks,
        [
            "By command",
            "Many",
            "Many",
            "Many",
            "A link",
            "A directory goes",
            "A large file",
            "A file in it",
            "A directory",
            "All lines",
            "One line",
            "reload"
        ]
    );
    assert_eq!(tree(&scene)?, before);
    assert_eq!(
        fs::read_to_string(scene.path("reloaded"))?,
        "a=3\nb=3\na=1\nb=1\n"
    );
    Ok(())
}

#[test]
fn a_rollback_can_be_repeated_and_taken_back() -> Result<()> {
    let scene = scene()?;
    let before = tree(&scene)?;
    change(&scene)?;
    let changed = tree(&scene)?;
    let first = call(
        &scene,
        &[
            "play",
            "change.yaml",
            "-i",
            "localhost,",
            "--output",
            "json",
        ],
        0,
    )?;
    let second_run = first.events()?[0]["run"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(!second_run.is_empty());
    let runs = call(&scene, &["runs"], 0)?;
    let ids: Vec<&str> = runs
        .out
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .filter(|w| w.starts_with("20"))
        .collect();
    // The oldest stands first.
    assert_eq!(ids.len(), 2, "{}", runs.out);
    assert_eq!(ids[1], second_run, "{}", runs.out);
    let first_run = ids[0];

    call(&scene, &["rollback", first_run], 0)?;
    assert_eq!(tree(&scene)?, before);
    // Said again without a name, it does not take back the rollback.
    // What the second run changed is no longer as it left it.
    let unnamed = call(&scene, &["rollback"], 5)?;
    assert!(
        unnamed.out.contains(&format!("takes back {second_run}")),
        "{}",
        unnamed.out
    );
    let again = call(&scene, &["rollback", first_run, "--output", "json"], 0)?;
    for (task, status, _) in told(&again)? {
        let expected = if task == "By command" {
            "skipped"
        } else {
            "ok"
        };
        assert_eq!(status, expected, "{task}");
    }
    assert_eq!(tree(&scene)?, before);
    // The way back is a run, too.
    let runs = call(&scene, &["runs"], 0)?;
    let back = runs
        .out
        .lines()
        .filter(|l| l.contains(&format!("rollback of {first_run}")))
        .filter_map(|l| l.split_whitespace().next())
        .next()
        .unwrap_or_default()
        .to_owned();
    call(&scene, &["rollback", &back], 0)?;
    assert_eq!(tree(&scene)?, changed);
    Ok(())
}

#[test]
fn what_others_have_changed_is_named_and_left() -> Result<()> {
    let scene = scene()?;
    let before = tree(&scene)?;
    change(&scene)?;
    fs::write(scene.path("t/conf"), "a=3\nb=theirs\n")?;
    fs::set_permissions(scene.path("t/many-2"), fs::Permissions::from_mode(0o600))?;
    scene.write("t/new/theirs", "of somebody else\n")?;
    let run = call(&scene, &["rollback"], 5)?;
    let conf = format!("file:{}", scene.path("t/conf").display());
    let new = format!("file:{}", scene.path("t/new").display());
    for said in [
        format!("{conf}: left: others have changed it since; `--overwrite {conf}`"),
        format!(
            "{new}: left: it still holds {}",
            scene.path("t/new/theirs").display()
        ),
    ] {
        assert!(run.out.contains(&said), "no `{said}` in\n{}", run.out);
    }
    assert_eq!(fs::read_to_string(scene.path("t/conf"))?, "a=3\nb=theirs\n");
    assert!(scene.path("t/new/theirs").exists() && scene.path("t/many-2").exists());
    assert!(!scene.path("t/new/deep").exists() && !scene.path("t/many-1").exists());

    // Named, they go back all the same.
    let runs = call(&scene, &["runs"], 0)?;
    let first = runs
        .out
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .find(|w| w.starts_with("20"))
        .unwrap_or_default()
        .to_owned();
    let many = scene.path("t/many-2").display().to_string();
    call(
        &scene,
        &[
            "rollback",
            &first,
            "--overwrite",
            &conf,
            "--overwrite",
            &new,
            "--overwrite",
            &many,
        ],
        0,
    )?;
    assert_eq!(tree(&scene)?, before);
    Ok(())
}

#[test]
fn a_closed_run_says_beforehand_what_can_no_longer_go_back() -> Result<()> {
    let scene = scene()?;
    change(&scene)?;
    call(&scene, &["close", "-y"], 0)?;
    for args in [&["rollback", "--check"][..], &["rollback"]] {
        let run = call(&scene, args, 5)?;
        for what in ["t/large", "t/old"] {
            let said = format!(
                "file:{}: left: the run was closed",
                scene.path(what).display()
            );
            assert!(run.out.contains(&said), "no `{said}` in\n{}", run.out);
        }
    }
    assert!(!scene.path("t/old").exists() && !scene.path("t/new").exists());
    assert_eq!(fs::read_to_string(scene.path("t/conf"))?, "a=1\nb=1\n");
    Ok(())
}

/// Where the directory that the playbook removes is kept.
fn kept(scene: &Scene) -> Result<std::path::PathBuf> {
    for entry in fs::read_dir(scene.path("t"))?.flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(".old.runbook-")
        {
            return Ok(entry.path());
        }
    }
    anyhow::bail!("the directory is not kept")
}

#[test]
fn a_directory_that_others_have_made_is_not_the_one_that_was_there() -> Result<()> {
    let scene = scene()?;
    let before = tree(&scene)?;
    change(&scene)?;
    let kept = kept(&scene)?;
    let theirs = scene.write("t/old/theirs", "theirs\n")?;
    let run = call(&scene, &["rollback"], 5)?;
    let said = format!("the one that was there is kept as {}", kept.display());
    assert!(run.out.contains(&said), "no `{said}` in\n{}", run.out);
    assert!(theirs.exists() && kept.join("deep/inside").exists());
    // As it is told to.
    fs::rename(scene.path("t/old"), scene.path("theirs"))?;
    let runs = call(&scene, &["runs", "--output", "json"], 0)?.events()?;
    let first = runs[0]["run"].as_str().unwrap_or_default();
    call(&scene, &["rollback", first], 0)?;
    assert_eq!(tree(&scene)?, before);
    Ok(())
}

/// The folder of the backups stays with them, and that is nothing that was left.
#[test]
fn what_commands_have_made_keeps_its_folder() -> Result<()> {
    let scene = Scene::new()?;
    let root = scene.path("t").display().to_string();
    scene.write(
        "change.yaml",
        &format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Folder\n      file: {{path: {root}/backups/a, state: directory}}\n    - name: Backup\n      command: {{cmd: touch {root}/backups/a/dump, creates: {root}/backups/a/dump}}\n"
        ),
    )?;
    change(&scene)?;
    let run = call(&scene, &["rollback"], 0)?;
    let said = "stays: it holds what commands of the run have made";
    assert!(run.out.contains(said), "no `{said}` in\n{}", run.out);
    // With something of others in it, it is left, and says whose sake.
    let theirs = scene.write("t/backups/a/theirs", "x\n")?;
    let runs = call(&scene, &["runs", "--output", "json"], 0)?.events()?;
    let first = runs[0]["run"].as_str().unwrap_or_default();
    let run = call(&scene, &["rollback", first], 5)?;
    let said = format!("it still holds {}", theirs.display());
    assert!(run.out.contains(&said), "no `{said}` in\n{}", run.out);
    Ok(())
}

#[test]
fn a_directory_whose_kept_one_is_gone_is_not_made_anew() -> Result<()> {
    let scene = scene()?;
    change(&scene)?;
    let kept = kept(&scene)?;
    fs::remove_dir_all(&kept)?;
    for args in [&["rollback", "--check"][..], &["rollback"]] {
        let run = call(&scene, args, 5)?;
        let said = format!("is gone: {}", kept.display());
        assert!(run.out.contains(&said), "no `{said}` in\n{}", run.out);
    }
    assert!(!scene.path("t/old").exists());
    Ok(())
}

#[test]
fn back_to_a_task_and_what_cannot_be_named() -> Result<()> {
    let scene = scene()?;
    change(&scene)?;
    call(&scene, &["rollback", "--to", "A large file"], 0)?;
    assert!(scene.path("t/new/deep/f").exists(), "it came before");
    assert!(fs::read_to_string(scene.path("t/large"))?.starts_with("before"));
    for (args, said) in [
        (
            ["--to", "Nobody"],
            "no task \"Nobody\" of the run changed anything",
        ),
        (["--host", "elsewhere"], "the run changed nothing there"),
        (
            ["--overwrite", "file:/nowhere"],
            "the run changed nothing that is called",
        ),
    ] {
        let mut all = vec!["rollback"];
        all.extend(args);
        let run = call(&scene, &all, 1)?;
        assert!(run.err.contains(said), "{}", run.err);
        assert!(run.err.contains("Nothing was touched"), "{}", run.err);
    }
    Ok(())
}

#[test]
fn a_point_of_no_return_is_not_crossed_unless_it_is_named() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("t/first", "1\n")?;
    let root = scene.path("t").display().to_string();
    let fifo = Command::new("mkfifo").arg(scene.path("t/pipe")).status()?;
    ensure!(fifo.success());
    scene.write(
        "change.yaml",
        &format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: First\n      copy: {{dest: {root}/first, content: \"2\\n\"}}\n    - name: Pipe\n      file: {{path: {root}/pipe, state: absent}}\n    - name: Last\n      copy: {{dest: {root}/last, content: x}}\n"
        ),
    )?;
    change(&scene)?;
    let run = call(&scene, &["rollback"], 1)?;
    for said in [
        "\"Pipe\" cannot be taken back",
        "--to \"Last\"",
        "--past \"Pipe\"",
    ] {
        assert!(run.err.contains(said), "no `{said}` in {}", run.err);
    }
    assert!(scene.path("t/last").exists(), "something was touched");
    call(&scene, &["rollback", "--past", "Pipe"], 0)?;
    assert_eq!(fs::read_to_string(scene.path("t/first"))?, "1\n");
    assert!(!scene.path("t/last").exists() && !scene.path("t/pipe").exists());
    Ok(())
}

/// The same task has made the folder and what is in it.
#[test]
fn what_others_have_changed_keeps_its_folder_where_it_is() -> Result<()> {
    let scene = Scene::new()?;
    let root = scene.path("t").display().to_string();
    scene.write("tree/a", "a\n")?;
    scene.write("tree/sub/b", "b\n")?;
    scene.write("tree/sub/deep/c", "c\n")?;
    scene.write(
        "change.yaml",
        &format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Tree\n      copy: {{src: tree/, dest: {root}/}}\n    - name: Line\n      lineinfile: {{path: {root}/k/l/m, line: x, create: true}}\n"
        ),
    )?;
    change(&scene)?;
    scene.write("t/sub/b", "b\nof somebody else\n")?;
    scene.write("t/k/l/m", "of somebody else\n")?;
    for args in [&["rollback", "--check"][..], &["rollback"]] {
        let run = call(&scene, args, 5)?;
        for path in ["t/sub/b", "t/k/l/m"] {
            let path = scene.path(path);
            let said = format!("it still holds {}", path.display());
            assert!(run.out.contains(&said), "no `{said}` in\n{}", run.out);
        }
    }
    call(&scene, &["close", "-y"], 0)?;
    let stays = |path: &str| fs::read_to_string(scene.path(path));
    assert_eq!(stays("t/sub/b")?, "b\nof somebody else\n");
    assert_eq!(stays("t/k/l/m")?, "of somebody else\n");
    assert!(!scene.path("t/a").exists() && !scene.path("t/sub/deep").exists());
    Ok(())
}
