//! Taking back, unlocking and closing a run that was killed while a command of it ran on the host.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::{Scene, appears, call};

/// A run that was killed while its command runs, for `seconds` from its beginning; and its id.
fn killed(seconds: u32) -> Result<(Scene, String)> {
    let scene = Scene::new()?;
    scene.write(
        "long.yaml",
        &format!(
            "- hosts: all
  gather_facts: false
  vars: {{here: \"{{{{ playbook_dir }}}}\"}}
  tasks:
    - name: Before
      copy: {{dest: \"{{{{ here }}}}/conf\", content: \"x\\n\"}}
    - name: Long
      shell:
        cmd: echo begin {{{{ pass }}}} >> {{{{ here }}}}/log; sleep {seconds}; echo end >> {{{{ here }}}}/log
        changes: [\"{{{{ here }}}}/log\"]
"
        ),
    )?;
    let mut child = scene
        .command(&[
            "play",
            "long.yaml",
            "-i",
            "localhost,",
            "-e",
            "pass=some-word",
        ])?
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    appears(&scene.path("log"))?;
    child.kill()?;
    child.wait()?;
    let runs = call(&scene, &["runs", "--output", "json"], 0)?;
    let last = runs.events()?.pop().context("no run")?;
    let run = last["run"].as_str().unwrap_or_default().to_owned();
    ensure!(!log(&scene)?.contains("end"), "it has ended too early");
    Ok((scene, run))
}

fn log(scene: &Scene) -> Result<String> {
    Ok(fs::read_to_string(scene.path("log"))?)
}

/// Are there folders of commands of this run on this host, or a copy of its journal?
fn left(run: &str) -> Result<bool> {
    let uid = fs::metadata("/proc/self")?.uid();
    let there = |end: &str| Path::new(&format!("/var/tmp/.runbook-{uid}/{run}{end}")).exists();
    Ok(there("") || there(".journal"))
}

#[test]
fn a_rollback_waits_for_the_command_and_leaves_nothing_of_it() -> Result<()> {
    let (scene, run) = killed(6)?;
    let check = call(&scene, &["rollback", "--check"], 0)?;
    ensure!(check.out.contains("still running"), "{}", check.out);
    ensure!(
        check.out.contains("a rollback waits for its end"),
        "{}",
        check.out
    );
    ensure!(!log(&scene)?.contains("end"), "a check has waited");
    ensure!(left(&run)?, "a check has removed something");
    let back = call(&scene, &["rollback", "-y"], 0)?;
    ensure!(
        log(&scene)?.contains("end"),
        "it has not waited:\n{}",
        back.out
    );
    let place = |text: &str| back.out.find(text).with_context(|| back.out.clone());
    ensure!(
        place("this waits for its end")? < place("localhost: Before")?,
        "{}",
        back.out
    );
    ensure!(
        back.out.contains("it ran until now, and what it did stays"),
        "{}",
        back.out
    );
    ensure!(!scene.path("conf").exists());
    ensure!(
        !left(&run)?,
        "the folder of the command, or the copy of the journal, is still there"
    );
    call(&scene, &["resume", &run], 1).map(drop)
}

#[test]
fn unlock_says_what_still_runs() -> Result<()> {
    let (scene, run) = killed(5)?;
    let said = format!("the command of \"Long\" of run {run} still runs");
    let asked = call(&scene, &["unlock"], 1)?;
    ensure!(asked.out.contains(&said), "{}", asked.text());
    ensure!(
        asked.out.contains(&format!("`runbook resume {run}`")),
        "{}",
        asked.out
    );
    let removed = call(&scene, &["unlock", "-y"], 0)?;
    ensure!(removed.out.contains(&said), "{}", removed.text());
    call(&scene, &["resume", "-y"], 0)?;
    ensure!(log(&scene)?.contains("end"));
    Ok(())
}

#[test]
fn close_removes_what_is_there_of_commands_that_have_ended() -> Result<()> {
    let (scene, run) = killed(3)?;
    let early = call(&scene, &["close", &run, "-y"], 2)?;
    ensure!(early.err.contains("still running"), "{}", early.text());
    ensure!(left(&run)?);
    let begin = Instant::now();
    while !log(&scene)?.contains("end") {
        ensure!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    let closed = call(&scene, &["close", &run, "-y"], 0)?;
    ensure!(
        closed.out.contains("the command of \"Long\" is removed"),
        "{}",
        closed.text()
    );
    ensure!(!left(&run)?, "the folder of the command is still there");
    // It is not begun once more by whoever goes on.
    let on = call(&scene, &["resume", &run, "-y"], 2)?;
    ensure!(on.out.contains("removed by `runbook close`"), "{}", on.out);
    ensure!(log(&scene)?.matches("begin").count() == 1);
    Ok(())
}
