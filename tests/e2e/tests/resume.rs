//! Going on with runs that were cut off, interrupted, or have failed, as other programs see it. Killing a run at every
//! record and at random instants is the matter of the crash suite.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::{Run, Scene, appears, call};

fn start(scene: &Scene, args: &[&str]) -> Result<Child> {
    let mut command = scene.command(args)?;
    Ok(command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?)
}

fn text(scene: &Scene, name: &str) -> Result<String> {
    fs::read_to_string(scene.path(name)).with_context(|| name.to_owned())
}

/// Names of what the run has left below the folder for commands on this host.
fn left(run: &str) -> Vec<String> {
    let uid = fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m));
    let base = format!("/var/tmp/.runbook-{}/{run}", uid.unwrap_or_default());
    let Ok(entries) = fs::read_dir(base) else {
        return Vec::new();
    };
    entries
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn last_run(scene: &Scene) -> Result<String> {
    let runs = call(scene, &["runs", "--output", "json"], 0)?;
    let last = runs.events()?.pop().context("no run")?;
    Ok(last["run"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_command_in_flight_is_waited_for_and_never_started_twice() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "long.yaml",
        "- hosts: all
  gather_facts: false
  vars: {here: \"{{ playbook_dir }}\"}
  tasks:
    - name: Before
      copy: {dest: \"{{ here }}/conf\", content: \"x\\n\"}
      notify: Tell
    - name: Long
      shell: echo begun >> {{ here }}/begun; sleep 4; echo ended >> {{ here }}/ended; echo it was {{ pass }}
      register: long
    - name: After
      copy: {dest: \"{{ here }}/after\", content: \"{{ long.stdout }} {{ long.rc }} {{ long.start is defined }}\\n\"}
  handlers:
    - name: Tell
      shell: echo told >> {{ here }}/told
",
    )?;
    let args = [
        "play",
        "long.yaml",
        "-i",
        "localhost,",
        "-e",
        "pass=Hidden-Word-77",
    ];
    let mut child = start(&scene, &args)?;
    appears(&scene.path("begun"))?;
    child.kill()?;
    child.wait()?;
    ensure!(!scene.path("ended").exists());
    let run = last_run(&scene)?;
    let check = call(&scene, &["resume", "--check"], 0)?;
    ensure!(!check.out.contains("Before"), "{}", check.out);
    let waits = "it still runs on the host; going on waits for its end";
    ensure!(check.out.contains(waits), "{}", check.out);
    let resumed = call(&scene, &["resume", "-y"], 0)?;
    ensure!(
        resumed.out.contains(&format!("run {run} goes on")),
        "{}",
        resumed.out
    );
    ensure!(text(&scene, "begun")? == "begun\n");
    ensure!(text(&scene, "ended")? == "ended\n");
    ensure!(text(&scene, "after")? == "it was Hidden-Word-77 0 True\n");
    ensure!(
        text(&scene, "told")? == "told\n",
        "a pending handler is restored"
    );
    ensure!(left(&run).is_empty(), "{:?}", left(&run));
    let over = call(&scene, &["resume", "-y"], 0)?;
    ensure!(
        over.text().contains("nothing to go on with"),
        "{}",
        over.text()
    );
    // What was done in two parts goes back as one.
    call(&scene, &["rollback", "-y"], 0)?;
    ensure!(!scene.path("conf").exists() && !scene.path("after").exists());
    let refused = call(&scene, &["resume", &run], 1)?;
    ensure!(refused.err.contains("was taken back"), "{}", refused.err);
    Ok(())
}

#[test]
fn who_goes_on_with_an_applied_plan_is_held_to_it() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("last", "theirs\n")?;
    scene.write("wait", "")?;
    scene.write(
        "up.yaml",
        "- hosts: all
  gather_facts: false
  vars: {here: \"{{ playbook_dir }}\"}
  tasks:
    - name: Conf
      copy: {dest: \"{{ here }}/conf\", content: \"new\\n\"}
    - name: Long
      shell:
        cmd: echo begun >> {{ here }}/begun; while [ -e {{ here }}/wait ]; do sleep 0.1; done
        changes: [\"{{ here }}/begun\"]
    - name: Last
      lineinfile: {path: \"{{ here }}/last\", line: ours}
",
    )?;
    call(
        &scene,
        &["plan", "up.yaml", "-i", "localhost,", "-o", "up.plan"],
        0,
    )?;
    let mut child = start(&scene, &["apply", "up.plan"])?;
    appears(&scene.path("begun"))?;
    child.kill()?;
    child.wait()?;
    fs::remove_file(scene.path("wait"))?;
    // Without the plan nothing is done; nor where the host is another than the plan found it.
    fs::rename(scene.path("up.plan"), scene.path("away"))?;
    let refused = call(&scene, &["resume", "-y"], 1)?;
    ensure!(
        refused.err.contains("The run is held to that plan"),
        "{}",
        refused.err
    );
    fs::rename(scene.path("away"), scene.path("up.plan"))?;
    scene.write("last", "of others\n")?;
    for _ in 0..2 {
        let stopped = call(&scene, &["resume", "-y"], 5)?;
        ensure!(stopped.out.contains("Last"), "{}", stopped.out);
        ensure!(text(&scene, "last")? == "of others\n");
    }
    // Once it is as the plan found it, it goes on to its end.
    scene.write("last", "theirs\n")?;
    call(&scene, &["resume", "-y"], 0)?;
    ensure!(text(&scene, "last")? == "theirs\nours\n");
    ensure!(text(&scene, "begun")? == "begun\n");
    ensure!(text(&scene, "conf")? == "new\n");
    Ok(())
}

#[test]
fn after_a_failure_the_failed_task_is_tried_again_and_what_is_done_is_not() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "fails.yaml",
        "- hosts: all
  gather_facts: false
  vars: {here: \"{{ playbook_dir }}\"}
  tasks:
    - name: Each
      shell: echo {{ item }} >> {{ here }}/each; echo value {{ item }}
      loop: [a, b]
      register: each
    - name: Fact
      set_fact: {kept: \"{{ each.results[1].stdout }}\"}
    - block:
        - name: Needs a file
          shell: echo try >> {{ here }}/tries; cat {{ here }}/needed
          register: needed
        - name: Goes on
          copy: {dest: \"{{ here }}/result\", content: \"{{ kept }} {{ needed.stdout }}\\n\"}
      always:
        - name: Always
          shell: echo always >> {{ here }}/always
",
    )?;
    call(&scene, &["play", "fails.yaml", "-i", "localhost,"], 2)?;
    ensure!(text(&scene, "always")? == "always\n");
    let again = call(&scene, &["resume", "-y"], 2)?;
    ensure!(!again.out.contains("Each"), "{}", again.out);
    scene.write("needed", "there\n")?;
    call(&scene, &["resume", "-y"], 0)?;
    ensure!(text(&scene, "each")? == "a\nb\n");
    ensure!(text(&scene, "tries")? == "try\ntry\ntry\n");
    ensure!(text(&scene, "result")? == "value b there\n");
    // It is due once more each time that its block was gone through.
    ensure!(text(&scene, "always")? == "always\nalways\nalways\n");
    Ok(())
}

#[test]
fn an_older_run_is_gone_on_with_only_by_name_where_nobody_is_asked() -> Result<()> {
    let scene = Scene::new()?;
    let play = |version: &str, gate: &str| {
        format!(
            "- hosts: all\n  gather_facts: false\n  vars: {{here: \"{{{{ playbook_dir }}}}\"}}\n  tasks:\n    \
             - command: {{cmd: \"test -e {{{{ here }}}}/{gate}\", changes: []}}\n    \
             - copy: {{dest: \"{{{{ here }}}}/version\", content: \"{version}\\n\"}}\n"
        )
    };
    scene.write("old.yaml", &play("5.1", "gate"))?;
    scene.write("new.yaml", &play("5.2", "new.yaml"))?;
    call(&scene, &["play", "old.yaml", "-i", "localhost,"], 2)?;
    let old = last_run(&scene)?;
    call(&scene, &["play", "new.yaml", "-i", "localhost,"], 0)?;
    scene.write("gate", "")?;
    let said = call(&scene, &["resume"], 0)?;
    ensure!(said.text().contains(&format!("`runbook resume {old}`")));
    ensure!(text(&scene, "version")? == "5.2\n", "{}", said.text());
    call(&scene, &["resume", &old], 0)?;
    ensure!(text(&scene, "version")? == "5.1\n");
    Ok(())
}

#[test]
fn a_failure_that_was_rescued_stays_rescued() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "rescued.yaml",
        "- hosts: all
  gather_facts: false
  vars: {here: \"{{ playbook_dir }}\"}
  tasks:
    - block:
        - name: Fails
          shell: echo x >> {{ here }}/failed; exit 7
      rescue:
        - name: Rescue
          shell: echo {{ ansible_failed_result.rc }} {{ ansible_failed_task.name }} >> {{ here }}/rescued
    - name: Ignored
      shell: echo x >> {{ here }}/ignored; exit 1
      ignore_errors: true
      register: ignored
    - name: Stops
      shell: test -e {{ here }}/go && echo {{ ignored.rc }} {{ ignored.failed }} > {{ here }}/end
",
    )?;
    call(&scene, &["play", "rescued.yaml", "-i", "localhost,"], 2)?;
    scene.write("go", "")?;
    call(&scene, &["resume", "-y"], 0)?;
    for name in ["failed", "ignored"] {
        ensure!(text(&scene, name)? == "x\n", "{name}");
    }
    ensure!(text(&scene, "rescued")? == "7 Fails\n");
    ensure!(text(&scene, "end")? == "1 True\n");
    Ok(())
}

#[test]
fn a_command_that_its_host_lost_is_decided_by_a_person() -> Result<()> {
    let decide = |how: &str| -> Result<(Scene, Run)> {
        let scene = Scene::new()?;
        scene.write(
            "lost.yaml",
            "- hosts: all
  gather_facts: false
  vars: {here: \"{{ playbook_dir }}\"}
  tasks:
    - name: Lost
      shell: echo $$ > {{ here }}/pid; echo begun >> {{ here }}/begun; [ -e {{ here }}/quick ] || sleep 60
    - name: After
      copy: {dest: \"{{ here }}/after\", content: \"x\\n\"}
",
        )?;
        let mut child = start(&scene, &["play", "lost.yaml", "-i", "localhost,"])?;
        appears(&scene.path("begun"))?;
        child.kill()?;
        child.wait()?;
        // As a host does that goes down: every process of the command is gone, and no result is there.
        let pid = text(&scene, "pid")?;
        let session = format!("ps -o sid= -p {} | xargs pkill -KILL -s", pid.trim());
        let ended = std::process::Command::new("sh")
            .args(["-c", &session])
            .status()?;
        ensure!(ended.success());
        let check = call(&scene, &["resume", "--check"], 0)?;
        ensure!(
            check.out.contains("how far it came cannot be seen"),
            "{}",
            check.out
        );
        scene.write("quick", "")?;
        let run = scene.runbook(&["resume", "-y", "--on-interrupted", how])?;
        Ok((scene, run))
    };
    let (scene, fails) = decide("ask")?;
    ensure!(
        fails.code == 2 && fails.out.contains("--on-interrupted rerun"),
        "{}",
        fails.text()
    );
    ensure!(text(&scene, "begun")? == "begun\n" && !scene.path("after").exists());
    // It is asked about again, and not taken for a failure that may be tried again.
    let again = scene.runbook(&["resume", "-y", "--on-interrupted", "fail"])?;
    ensure!(
        again.code == 2 && text(&scene, "begun")? == "begun\n",
        "{}",
        again.text()
    );
    let (scene, skipped) = decide("skip")?;
    ensure!(skipped.code == 0, "{}", skipped.text());
    ensure!(text(&scene, "begun")? == "begun\n" && scene.path("after").exists());
    let (scene, done) = decide("rerun")?;
    ensure!(done.code == 0, "{}", done.text());
    ensure!(text(&scene, "begun")? == "begun\nbegun\n" && scene.path("after").exists());
    Ok(())
}

#[test]
fn files_that_have_changed_since_are_named() -> Result<()> {
    let scene = Scene::new()?;
    let playbook = |value: &str| {
        format!(
            "- hosts: all
  gather_facts: false
  vars: {{here: \"{{{{ playbook_dir }}}}\", needed: {value}}}
  tasks:
    - name: First
      shell: echo x >> {{{{ here }}}}/first
    - name: Second
      shell: test {{{{ needed }}}} = right
"
        )
    };
    scene.write("p.yaml", &playbook("wrong"))?;
    call(&scene, &["play", "p.yaml", "-i", "localhost,"], 2)?;
    scene.write("p.yaml", &playbook("right"))?;
    let refused = call(&scene, &["resume", "-y"], 1)?;
    ensure!(
        refused.err.contains("p.yaml") && refused.err.contains("--changed-files"),
        "{}",
        refused.err
    );
    call(&scene, &["resume", "-y", "--changed-files"], 0)?;
    ensure!(text(&scene, "first")? == "x\n");
    Ok(())
}

#[test]
fn another_machine_goes_on_from_the_copy_on_the_host() -> Result<()> {
    let here = Scene::new()?;
    let there = Scene::new()?;
    let root = here.path("t").display().to_string();
    fs::create_dir(&root)?;
    let playbook = format!(
        "- hosts: all
  gather_facts: false
  tasks:
    - name: Before
      copy: {{dest: {root}/conf, content: \"x\\n\"}}
      register: conf
    - name: Long
      shell: echo begun >> {root}/begun; sleep 3; echo the output
      register: long
    - name: After
      copy: {{dest: {root}/after, content: \"{{{{ long.stdout }}}} {{{{ conf.changed }}}}\\n\"}}
"
    );
    for scene in [&here, &there] {
        scene.write("p.yaml", &playbook)?;
    }
    let mut child = start(&here, &["play", "p.yaml", "-i", "localhost,"])?;
    appears(&here.path("t/begun"))?;
    child.kill()?;
    child.wait()?;
    let run = last_run(&here)?;
    let from = [
        "resume",
        &run,
        "--from",
        "localhost",
        "-i",
        "localhost,",
        "-y",
    ];
    let no_key = call(&there, &from, 1)?;
    ensure!(no_key.err.contains("key"), "{}", no_key.err);
    fs::copy(here.path("journal.key"), there.path("journal.key"))?;
    call(&there, &from, 0)?;
    ensure!(text(&here, "t/begun")? == "begun\n");
    ensure!(text(&here, "t/after")? == "the output True\n");
    ensure!(left(&run).is_empty());
    let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self")?);
    let copy = format!("/var/tmp/.runbook-{uid}/{run}.journal");
    ensure!(
        !Path::new(&copy).exists(),
        "the copy of a run that ended well goes"
    );
    let again = call(&there, &from, 1)?;
    ensure!(again.err.contains("there is no copy"), "{}", again.err);
    Ok(())
}
