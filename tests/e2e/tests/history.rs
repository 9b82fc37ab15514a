//! The runs of a project: with whose key they are read, which of them is meant where none is named, and how they are
//! listed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::{Scene, Terminal, appears, call};
use serde_json::Value;

const PLAY: &str = "- hosts: all
  gather_facts: false
  vars: {here: \"{{ playbook_dir }}\"}
  tasks:
    - name: Conf
      copy: {dest: \"{{ here }}/conf\", content: \"new\\n\"}
    - name: Long
      shell: echo $$ > {{ here }}/pid; echo begun >> {{ here }}/begun; while [ -e {{ here }}/wait ]; do sleep 0.1; done
";

fn runs(scene: &Scene) -> Result<Vec<Value>> {
    call(scene, &["runs", "--output", "json"], 0)?.events()
}

fn id(run: &Value) -> Result<&str> {
    run["run"].as_str().context("a run without id")
}

/// A run that was killed in its second task.
fn killed() -> Result<(Scene, String)> {
    let (scene, id) = cut_off()?;
    std::fs::remove_file(scene.path("wait"))?;
    Ok((scene, id))
}

/// As [`killed`], and the command of that task works on.
fn cut_off() -> Result<(Scene, String)> {
    let scene = Scene::new()?;
    scene.write("up.yaml", PLAY)?;
    scene.write("wait", "")?;
    let run = scene.start(&["play", "up.yaml", "-i", "localhost,"])?;
    appears(&scene.path("begun"))?;
    let listed = runs(&scene)?;
    ensure!(listed[0]["outcome"] == "running", "{listed:?}");
    run.kill()?;
    let listed = runs(&scene)?;
    ensure!(listed[0]["outcome"] == "unfinished", "{listed:?}");
    let id = id(&listed[0])?.to_owned();
    Ok((scene, id))
}

fn with_key(scene: &Scene, key: &str, args: &[&str]) -> Result<(Option<i32>, String)> {
    let done = scene
        .command(args)?
        .env("RUNBOOK_KEY_FILE", scene.path(key))
        .output()?;
    let text = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((done.status.code(), text))
}

#[test]
fn another_key_is_refused_before_anything_and_harms_nothing() -> Result<()> {
    let (scene, run) = killed()?;
    scene.write("other.key", &"ab".repeat(32))?;
    let own = scene.path("journal.key").display().to_string();
    for key in ["other.key", "missing.key"] {
        let file = scene.path("by-call");
        let module = format!("touch {}", file.display());
        let args = ["call", "localhost", "command", &module, "-i", "localhost,"];
        let (code, text) = with_key(&scene, key, &args)?;
        ensure!(code == Some(1) && text.contains(&own), "{code:?} {text}");
        ensure!(text.contains("RUNBOOK_KEY_FILE=FILE"), "{text}");
        ensure!(!file.exists());
        let (code, text) = with_key(&scene, key, &["resume", &run, "-y"])?;
        ensure!(code == Some(1) && text.contains(&own), "{code:?} {text}");
    }
    ensure!(!scene.path("missing.key").exists(), "no second key is made");
    let (code, text) = with_key(&scene, "other.key", &["runs"])?;
    ensure!(
        code == Some(0) && text.contains(&format!("{run}  ")) && text.contains("unreadable"),
        "{code:?} {text}"
    );
    call(&scene, &["resume", "-y"], 0)?;
    call(&scene, &["rollback", "-y"], 0)?;
    call(&scene, &["log"], 0)?;
    ensure!(!scene.path("conf").exists());
    Ok(())
}

#[test]
fn who_has_not_the_key_removes_locks_all_the_same() -> Result<()> {
    for key in ["other.key", "missing.key"] {
        let (scene, run) = killed()?;
        scene.write("other.key", &"ab".repeat(32))?;
        let (code, text) = with_key(&scene, key, &["unlock", "-y"])?;
        ensure!(code == Some(0), "{key}: {code:?} {text}");
        ensure!(text.contains("journal") && text.contains(&run), "{text}");
        let args = ["call", "localhost", "command", "true", "-i", "localhost,"];
        call(&scene, &args, 0)?;
    }
    Ok(())
}

#[test]
fn without_a_name_what_can_be_resumed_and_taken_back_is_meant() -> Result<()> {
    let (scene, run) = killed()?;
    // It is refused: the run that was killed holds the lock.
    call(
        &scene,
        &["call", "localhost", "command", "true", "-i", "localhost,"],
        6,
    )?;
    let check = call(&scene, &["rollback", "--check"], 0)?;
    ensure!(
        check.out.contains(&format!("takes back {run}")),
        "{}",
        check.out
    );
    let resumed = call(&scene, &["resume", "-y"], 0)?;
    ensure!(
        resumed.out.contains(&format!("run {run} goes on")),
        "{}",
        resumed.out
    );
    ensure!(
        resumed.err.contains(": 1 of its tasks are done"),
        "{}",
        resumed.err
    );
    // A run that changes nothing is not the one that is taken back.
    call(
        &scene,
        &["call", "localhost", "debug", "msg=x", "-i", "localhost,"],
        0,
    )?;
    call(&scene, &["rollback", "-y"], 0)?;
    ensure!(!scene.path("conf").exists());
    let listed = runs(&scene)?;
    let back = listed.last().context("no run")?;
    let first = &listed[0];
    ensure!(first["taken_back_by"] == back["run"], "{listed:?}");
    ensure!(
        first["outcome"] == "done" && first.get("in_part").is_none(),
        "{listed:?}"
    );
    // Said again it does not go on to what came before, nor back to what was.
    let again = call(&scene, &["rollback", "-y"], 0)?;
    ensure!(again.err.contains("has been taken back"), "{}", again.err);
    ensure!(runs(&scene)?.len() == listed.len());
    Ok(())
}

#[test]
fn a_run_that_was_killed_and_taken_back_is_said_to_be() -> Result<()> {
    let (scene, run) = killed()?;
    call(&scene, &["rollback", "-y"], 0)?;
    let listed = runs(&scene)?;
    ensure!(listed[0]["outcome"] == "cut off", "{listed:?}");
    let text = call(&scene, &["runs"], 0)?.out;
    let back = id(&listed[1])?;
    ensure!(text.contains(&format!("taken back by {back}")), "{text}");
    let resumed = call(&scene, &["resume", "-y"], 0)?;
    ensure!(
        resumed.err.contains("nothing to go on with"),
        "{}",
        resumed.err
    );
    ensure!(!resumed.text().contains(&format!("{run} goes on")));
    Ok(())
}

#[test]
fn a_run_that_fails_says_how_to_go_on_and_back() -> Result<()> {
    let scene = Scene::new()?;
    let tasks = "    - name: Fails\n      command: \"false\"\n";
    scene.write("up.yaml", &format!("{PLAY}{tasks}"))?;
    let failed = call(&scene, &["play", "up.yaml", "-i", "localhost,"], 2)?;
    let run = id(&runs(&scene)?[0])?.to_owned();
    let both = format!(
        "run {run}: `runbook resume {run}` goes on with it, `runbook rollback {run}` takes it back"
    );
    ensure!(failed.out.contains(&both), "{}", failed.out);
    let again = call(&scene, &["resume", "-y"], 2)?;
    ensure!(
        again.err.contains(": 2 of its tasks are done"),
        "{}",
        again.err
    );
    ensure!(again.out.contains(&both), "{}", again.out);
    // What was called again, with success, is not gone on with.
    scene.write("up.yaml", PLAY)?;
    call(&scene, &["play", "up.yaml", "-i", "localhost,"], 0)?;
    let over = call(&scene, &["resume", "-y"], 0)?;
    ensure!(over.err.contains("nothing to go on with"), "{}", over.err);
    Ok(())
}

#[test]
fn the_way_back_after_a_failure_is_not_resumed() -> Result<()> {
    let scene = Scene::new()?;
    let play = PLAY.replace("gather_facts", "on_fail: rollback\n  gather_facts");
    let tasks = "    - name: Fails\n      command: \"false\"\n";
    scene.write("up.yaml", &format!("{play}{tasks}"))?;
    call(&scene, &["play", "up.yaml", "-i", "localhost,"], 2)?;
    let listed = runs(&scene)?;
    let (run, back) = (id(&listed[0])?, id(&listed[1])?);
    ensure!(listed[0]["taken_back_by"] == back, "{listed:?}");
    let named = call(&scene, &["resume", back, "-y"], 1)?;
    ensure!(
        named.err.contains(&format!("`runbook rollback {run}`")),
        "{}",
        named.err
    );
    let unnamed = call(&scene, &["resume", "-y"], 0)?;
    ensure!(
        unnamed.err.contains("nothing to go on with"),
        "{}",
        unnamed.err
    );
    Ok(())
}

#[test]
fn a_question_is_asked_until_it_is_answered_and_hears_only_what_is_typed_after_it() -> Result<()> {
    let (scene, run) = cut_off()?;
    // As a host does that goes down: every process of the command is gone, and no result is there.
    let pid = std::fs::read_to_string(scene.path("pid"))?;
    let session = format!("ps -o sid= -p {} | xargs pkill -KILL -s", pid.trim());
    let ended = std::process::Command::new("sh")
        .args(["-c", &session])
        .status()?;
    ensure!(ended.success());
    let command = format!("sleep 1; runbook resume {run} -y");
    let mut terminal = Terminal::start(&scene, &command)?;
    terminal.press("rerun\nfail\n")?;
    terminal.until("[fail/skip/rerun]")?;
    terminal.press("foo\n")?;
    let begin = Instant::now();
    while terminal.seen().matches("[fail/skip/rerun]").count() < 2 {
        ensure!(
            begin.elapsed() < Duration::from_secs(30),
            "{}",
            terminal.seen()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    terminal.press("skip\n")?;
    let (code, seen) = terminal.end()?;
    ensure!(
        code == 0 && seen.contains("counts as done"),
        "{code} {seen}"
    );
    ensure!(std::fs::read_to_string(scene.path("begun"))? == "begun\n");
    Ok(())
}
