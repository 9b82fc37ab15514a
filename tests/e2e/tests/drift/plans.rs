//! How plans are made, shown, bound and refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::{Scene, call};

const PLAY: &str = r#"
- hosts: all
  gather_facts: false
  vars_files: [vars.yaml]
  tasks:
    - name: Settings
      lineinfile: {path: "{{ root }}/settings", regexp: "^level=", line: "level={{ level }}"}
      notify: reload
    - name: Words
      copy: {dest: "{{ root }}/words", content: "{{ words }}\n"}
    - name: As it is
      copy: {dest: "{{ root }}/same", content: "same\n"}
    - name: Once
      command: touch {{ root }}/once
      args: {creates: "{{ root }}/once"}
    - name: Who
      command: cat {{ root }}/who
      register: who
      changed_when: false
    - name: What the run alone can tell
      copy: {dest: "{{ root }}/greeting", content: "hello {{ who.stdout }}\n"}
  handlers:
    - name: reload
      copy: {dest: "{{ root }}/reloaded", content: "yes\n"}
"#;

fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.write("play.yaml", PLAY)?;
    scene.write("vars.yaml", "level: 3\n")?;
    scene.write("host/settings", "level=1\nother=2\n")?;
    scene.write("host/same", "same\n")?;
    scene.write("host/who", "world\n")?;
    let root = scene.path("host").display().to_string();
    scene.write(
        "hosts.yaml",
        &format!("all: {{hosts: {{localhost: {{}}}}, vars: {{root: {root}}}}}\n"),
    )?;
    Ok(scene)
}

const PLAN: [&str; 8] = [
    "plan",
    "play.yaml",
    "-i",
    "hosts.yaml",
    "-e",
    "words=geheime-worte",
    "-o",
    "plan.json",
];

fn read(scene: &Scene, path: &str) -> Result<String> {
    Ok(fs::read_to_string(scene.path(path))?)
}

#[test]
fn a_plan_is_shown_and_applied_as_it_was_made() -> Result<()> {
    let scene = scene()?;
    let made = call(&scene, &PLAN, 0)?;
    ensure!(made.out.contains("unknown"), "{}", made.out);
    ensure!(!scene.path("host/words").exists(), "planning has written");
    ensure!(!scene.path("state/runs.db").exists(), "planning is no run");
    let mode = fs::metadata(scene.path("plan.json"))?.permissions().mode() & 0o7777;
    ensure!(mode == 0o600, "{mode:o}");

    // Readable as far as it may be.
    let text = read(&scene, "plan.json")?;
    ensure!(!text.contains("geheim"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(json["runbook_plan"] == 1 && json["playbooks"][0] == "play.yaml");
    ensure!(json["call"][0] == "--extra-vars words=…", "{text}");
    for file in ["play.yaml", "vars.yaml", "hosts.yaml"] {
        let hash = json["files"][file].as_str().unwrap_or_default();
        ensure!(hash.len() == 64, "{file} is not bound: {text}");
    }

    // Shown as it was when it was made.
    let shown = call(&scene, &["show", "plan.json"], 0)?;
    ensure!(
        shown.out.ends_with(&made.out),
        "{}\n---\n{}",
        shown.out,
        made.out
    );
    let told = call(&scene, &["show", "plan.json", "--output", "json"], 0)?;
    let tasks = told.tasks("localhost")?;
    ensure!(tasks.len() == 7, "{}", told.out);
    ensure!(
        tasks[0]["diff"]
            .as_str()
            .is_some_and(|d| d.contains("-level=1"))
    );

    let applied = call(&scene, &["apply", "plan.json", "--output", "json"], 0)?;
    let done = applied.tasks("localhost")?;
    for (planned, done) in tasks.iter().zip(&done) {
        let unknown = planned["status"] == "unknown";
        ensure!(planned["node"] == done["node"]);
        ensure!(
            unknown || (planned["status"] == done["status"] && planned["diff"] == done["diff"]),
            "{planned}\n{done}"
        );
    }
    ensure!(read(&scene, "host/settings")? == "level=3\nother=2\n");
    ensure!(read(&scene, "host/words")? == "geheime-worte\n");
    ensure!(read(&scene, "host/greeting")? == "hello world\n");
    ensure!(read(&scene, "host/reloaded")? == "yes\n");

    // It has the plan's name, and is not done twice.
    let run = json["id"].as_str().unwrap_or_default();
    let runs = call(&scene, &["runs"], 0)?;
    ensure!(runs.out.starts_with(run), "{}", runs.out);
    let again = call(&scene, &["apply", "plan.json"], 1)?;
    ensure!(again.err.contains("applied already"), "{}", again.err);
    Ok(())
}

#[test]
fn drift_of_a_host_is_refused_and_shown_before_the_first_change() -> Result<()> {
    let scene = scene()?;
    call(&scene, &PLAN, 0)?;
    scene.write("host/settings", "level=1\nother=3\n")?;
    let refused = call(&scene, &["apply", "plan.json", "--diff"], 5)?;
    for part in [
        "localhost",
        "host/settings",
        "\"Settings\"",
        "-other=2",
        "+other=3",
        "Nothing has been changed",
    ] {
        ensure!(refused.err.contains(part), "no {part}: {}", refused.err);
    }
    ensure!(!scene.path("host/words").exists() && !scene.path("host/once").exists());
    ensure!(!scene.path("state/runs.db").exists() || call(&scene, &["runs"], 0)?.out.is_empty());
    let told = call(&scene, &["apply", "plan.json", "--output", "json"], 5)?;
    let events = told.events()?;
    let drift = events.iter().find(|e| e["event"] == "drifted");
    ensure!(
        drift.is_some_and(|d| d["task"] == "Settings"),
        "{}",
        told.out
    );
    let last = events.last();
    ensure!(last.is_some_and(|e| e["exit_code"] == 5), "{}", told.out);
    // As it was again, it is applied.
    scene.write("host/settings", "level=1\nother=2\n")?;
    call(&scene, &["apply", "plan.json"], 0)?;
    Ok(())
}

#[test]
fn files_that_went_into_it_are_bound() -> Result<()> {
    let scene = scene()?;
    call(&scene, &PLAN, 0)?;
    let files = [
        ("play.yaml", PLAY.replace("same\\n", "same \\n")),
        ("vars.yaml", "level: 4\n".to_owned()),
        ("hosts.yaml", format!("{}# \n", read(&scene, "hosts.yaml")?)),
    ];
    for (file, other) in files {
        let before = read(&scene, file)?;
        scene.write(file, &other)?;
        let refused = call(&scene, &["apply", "plan.json"], 5)?;
        ensure!(
            refused
                .err
                .contains(&format!("{file} is no longer what it was")),
            "{}",
            refused.err
        );
        fs::remove_file(scene.path(file))?;
        let refused = call(&scene, &["apply", "plan.json"], 5)?;
        ensure!(
            refused.err.contains(&format!("{file} is gone")),
            "{}",
            refused.err
        );
        scene.write(file, &before)?;
    }
    // One that would go into it now.
    scene.write("group_vars/all.yaml", "level: 5\n")?;
    let refused = call(&scene, &["apply", "plan.json"], 5)?;
    ensure!(
        refused
            .err
            .contains("group_vars/all.yaml did not go into the plan"),
        "{}",
        refused.err
    );
    ensure!(!scene.path("host/words").exists());
    Ok(())
}

#[test]
fn a_plan_that_was_altered_or_sealed_elsewhere_is_no_plan() -> Result<()> {
    let scene = scene()?;
    call(&scene, &PLAN, 0)?;
    let text = read(&scene, "plan.json")?;
    let cases = [
        (
            text.replace("\"play.yaml\"\n", "\"other.yaml\"\n"),
            "was altered",
        ),
        (
            text.replace("\"runbook_plan\": 1", "\"runbook_plan\": 2"),
            "format 2",
        ),
        (
            text.replace("\"sealed\": \"", "\"sealed\": \"AAAA"),
            "sealed with another key",
        ),
        ("{}".to_owned(), "is no plan"),
        (text[..text.len() / 2].to_owned(), "is no plan"),
    ];
    for (altered, message) in cases {
        ensure!(altered != text);
        scene.write("altered.json", &altered)?;
        let refused = call(&scene, &["apply", "altered.json"], 1)?;
        ensure!(refused.err.contains(message), "{message}: {}", refused.err);
    }
    fs::remove_file(scene.path("journal.key"))?;
    let refused = call(&scene, &["apply", "plan.json"], 1)?;
    ensure!(refused.err.contains("journal.key"), "{}", refused.err);
    // What is no plan is not written over.
    let mut over = PLAN;
    over[7] = "vars.yaml";
    let refused = call(&scene, &over, 1)?;
    ensure!(
        refused.err.contains("no plan is there already"),
        "{}",
        refused.err
    );
    ensure!(read(&scene, "vars.yaml")? == "level: 3\n");
    Ok(())
}

#[test]
fn what_happens_during_the_run_stops_the_host() -> Result<()> {
    let scene = scene()?;
    let root = scene.path("host").display().to_string();
    // Somebody else is at work while the second task runs.
    let play = |named: &str| {
        format!(
            r#"- hosts: all
  gather_facts: false
  tasks:
    - name: First
      copy: {{dest: "{root}/first", content: "first\n"}}
    - name: Meanwhile
      shell: "{named}"
      args: {{creates: "{root}/nothing"}}
    - name: Settings
      lineinfile: {{path: "{root}/settings", regexp: "^level=", line: "level=9"}}
      ignore_errors: true
    - name: Last
      copy: {{dest: "{root}/last", content: "last\n"}}
"#
        )
    };
    for (meanwhile, left) in [
        (
            format!("echo more >> {root}/settings"),
            "level=1\nother=2\nmore\n",
        ),
        (
            format!("sed -i s/level=1/level=9/ {root}/settings"),
            "level=9\nother=2\n",
        ),
    ] {
        scene.write("host/settings", "level=1\nother=2\n")?;
        scene.write("during.yaml", &play(&meanwhile))?;
        call(
            &scene,
            &[
                "plan",
                "during.yaml",
                "-i",
                "hosts.yaml",
                "-o",
                "during.json",
            ],
            0,
        )?;
        let stopped = call(&scene, &["apply", "during.json", "--output", "json"], 5)?;
        let tasks = stopped.tasks("localhost")?;
        ensure!(tasks.len() == 3, "{}", stopped.out);
        ensure!(
            tasks[2]["status"] == "failed" && tasks[2]["drifted"] == true,
            "{}",
            stopped.out
        );
        ensure!(read(&scene, "host/settings")? == left);
        ensure!(!scene.path("host/last").exists());
        // Who goes on comes to the same task, and does not take it for one whose failure is ignored.
        let again = call(&scene, &["resume", "-y", "--output", "json"], 5)?;
        let tasks = again.tasks("localhost")?;
        let last = tasks.last().context("no task")?;
        ensure!(
            last["task"] == "Settings" && last["drifted"] == true,
            "{}",
            again.out
        );
        ensure!(!scene.path("host/last").exists());
        fs::remove_file(scene.path("host/first"))?;
    }
    Ok(())
}

#[test]
fn after_a_failure_the_playbooks_own_answer_is_within_the_plan() -> Result<()> {
    let scene = scene()?;
    let root = scene.path("host").display().to_string();
    scene.write(
        "rescued.yaml",
        &format!(
            r#"- hosts: all
  gather_facts: false
  tasks:
    - name: Try
      block:
        - name: Down
          copy: {{dest: "{root}/state", content: "down\n"}}
        - name: Breaks
          command: "false"
      rescue:
        - name: Up again
          copy: {{dest: "{root}/state", content: "up\n"}}
      always:
        - name: Told
          copy: {{dest: "{root}/told", content: "told\n"}}
"#
        ),
    )?;
    scene.write("host/state", "up\n")?;
    call(
        &scene,
        &[
            "plan",
            "rescued.yaml",
            "-i",
            "hosts.yaml",
            "-o",
            "rescued.json",
        ],
        0,
    )?;
    call(&scene, &["apply", "rescued.json"], 0)?;
    ensure!(read(&scene, "host/state")? == "up\n");
    ensure!(read(&scene, "host/told")? == "told\n");
    Ok(())
}

/// A failure that nobody foresaw, and that is passed over, gives nobody leave for anything.
#[test]
fn after_a_failure_that_is_ignored_the_plan_holds() -> Result<()> {
    let begin = r#"- hosts: all
  gather_facts: false
  tasks:
    - {name: Fails, command: {cmd: "false", changes: []}, ignore_errors: true}
    - {name: Meanwhile, shell: {cmd: "MEANWHILE", changes: []}}
"#;
    let cases = [
        (
            "a file with another content",
            "echo theirs > ROOT/victim",
            r#"    - {copy: {dest: "ROOT/victim", content: "mine\n"}}"#,
        ),
        (
            "a file that was to stay as it is",
            "echo other > ROOT/same",
            r#"    - {lineinfile: {path: "ROOT/same", line: same}}"#,
        ),
        (
            "a directory in place of a file",
            "rm ROOT/victim; mkdir ROOT/victim; echo data > ROOT/victim/data",
            r#"    - {file: {path: "ROOT/victim", state: absent}}"#,
        ),
        (
            "more in a directory that goes",
            "echo precious > ROOT/gone/precious",
            r#"    - {file: {path: "ROOT/gone", state: absent}}"#,
        ),
    ];
    for (what, meanwhile, task) in cases {
        let scene = scene()?;
        let root = scene.path("host").display().to_string();
        scene.write("host/victim", "orig\n")?;
        scene.write("host/gone/a", "a\n")?;
        let text = format!("{begin}{task}\n").replace("MEANWHILE", meanwhile);
        scene.write("fails.yaml", &text.replace("ROOT", &root))?;
        let plan = ["plan", "fails.yaml", "-i", "hosts.yaml", "-o", "fails.json"];
        call(&scene, &plan, 0)?;
        call(&scene, &["apply", "fails.json"], 5)
            .with_context(|| format!("{what}: applied all the same"))?;
        ensure!(
            scene.path("host/victim").exists() && scene.path("host/gone/a").exists(),
            "{what}: something went"
        );
        ensure!(
            read(&scene, "host/same")? != "other\nsame\n",
            "{what}: written"
        );
    }
    Ok(())
}

/// What the plan says is skipped is skipped, though something has failed before.
#[test]
fn what_the_plan_skips_is_not_done_after_a_failure() -> Result<()> {
    let scene = scene()?;
    let root = scene.path("host").display().to_string();
    let play = r#"- hosts: all
  gather_facts: false
  tasks:
    - {stat: {path: "ROOT/mark"}, register: mark}
    - {shell: {cmd: "touch ROOT/mark", changes: []}}
    - {command: {cmd: "false", changes: []}, ignore_errors: true}
    - {stat: {path: "ROOT/mark"}, register: mark}
    - {file: {path: "ROOT/same", state: absent}, when: mark.stat.exists}
"#;
    scene.write("skips.yaml", &play.replace("ROOT", &root))?;
    let plan = ["plan", "skips.yaml", "-i", "hosts.yaml", "-o", "skips.json"];
    call(&scene, &plan, 0)?;
    call(&scene, &["apply", "skips.json"], 5)?;
    ensure!(scene.path("host/same").exists(), "it was removed");
    Ok(())
}
