//! Two runs on one site: the second is told who works there, and touches nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use runbook_e2e::{Scene, Started, call, skip};
use runbook_lab::{Lab, Site};

/// A run that changes a file, and then works until it is told to end: until there is a file `go`.
const WORKS: &str = r#"- hosts: all
  gather_facts: false
  tasks:
    - name: First
      copy: {dest: "{{ inventory_dir | default(playbook_dir) }}/t/first", content: "1\n"}
    - name: Works
      shell: while [ ! -e {{ playbook_dir }}/go ]; do sleep 0.05; done
    - name: Last
      copy: {dest: "{{ playbook_dir }}/t/last", content: "2\n"}
"#;

/// A run that would change things in every way.
const OTHER: &str = r#"- hosts: all
  gather_facts: false
  tasks:
    - name: Reads
      command: {cmd: "true", reads_only: true}
    - block:
        - name: Commands
          shell: echo x > {{ playbook_dir }}/t/by-command
          ignore_errors: true
          retries: 2
          delay: 0
          until: false
      rescue:
        - name: Rescues
          copy: {dest: "{{ playbook_dir }}/t/rescued", content: "x\n"}
      always:
        - name: Ends
          copy: {dest: "{{ playbook_dir }}/t/ended", content: "x\n"}
    - name: Writes
      copy: {dest: "{{ playbook_dir }}/t/first", content: "other\n"}
"#;

fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    write(&scene)?;
    Ok(scene)
}

fn write(scene: &Scene) -> Result<()> {
    scene.write(
        "works.yaml",
        &WORKS.replace("inventory_dir | default(playbook_dir)", "playbook_dir"),
    )?;
    scene.write("other.yaml", OTHER)?;
    scene.write("t/there", "it was here\n")?;
    Ok(())
}

/// Somebody else's project on the same machine.
fn beside(scene: &Scene) -> Result<Scene> {
    let other = Scene::new()?.on_the_machine_of(scene);
    write(&other)?;
    Ok(other)
}

/// Waits until something is so.
fn wait(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !so()? {
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("{what}: not within 30 s");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Starts the run, and waits until it is at its command.
fn at_work(scene: &Scene, inventory: &str) -> Result<Started> {
    let run = scene.start(&["play", "works.yaml", "-i", inventory])?;
    wait("the run comes to its first change", || {
        Ok(scene.path("t/first").exists())
    })?;
    Ok(run)
}

/// Everything below `t/`, with contents and times.
fn tree(scene: &Scene) -> Result<Vec<(PathBuf, i64, i64, String)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(scene.path("t"))? {
        let path = entry?.path();
        let about = fs::metadata(&path)?;
        all.push((
            path.clone(),
            about.mtime(),
            about.mtime_nsec(),
            fs::read_to_string(&path)?,
        ));
    }
    all.sort();
    Ok(all)
}

fn place(scene: &Scene) -> PathBuf {
    scene.locks().join(".runbook-lock")
}

/// What is locked, here or on this machine.
fn locked(scene: &Scene) -> Result<String> {
    let run = scene.runbook(&["unlock", "-i", "localhost,"])?;
    Ok(run.out)
}

fn nothing_is_locked(scene: &Scene) -> Result<()> {
    assert_eq!(locked(scene)?, "");
    assert!(!place(scene).is_symlink());
    Ok(())
}

/// The run that holds the lock, as the journal of the scene names it.
fn last_run(scene: &Scene) -> Result<String> {
    let runs = call(scene, &["runs", "--output", "json"], 0)?.events()?;
    let last = runs.last().context("there is no run")?;
    Ok(last["run"].as_str().unwrap_or_default().to_owned())
}

/// A run that has written, and only waits.
const WAITS: &str = r#"- hosts: all
  gather_facts: false
  tasks:
    - name: First
      copy: {dest: "{{ playbook_dir }}/t/first", content: "1\n"}
    - name: Waits
      wait_for: {path: "{{ playbook_dir }}/go", timeout: 30}
"#;

#[test]
fn who_goes_on_and_has_nothing_left_to_do_gives_the_lock_back() -> Result<()> {
    for (command, elsewhere) in [("resume", false), ("rollback", false), ("resume", true)] {
        let scene = scene()?;
        scene.write("works.yaml", WAITS)?;
        at_work(&scene, "localhost,")?.kill()?;
        ensure!(place(&scene).is_symlink(), "{command}: it was not locked");
        scene.write("go", "")?;
        if command == "rollback" {
            // What was written is as it was already.
            fs::remove_file(scene.path("t/first"))?;
        }
        if elsewhere {
            // Only the machine knows of the lock.
            for name in ["state/locks.db", "state/locks.db-wal", "state/locks.db-shm"] {
                drop(fs::remove_file(scene.path(name)));
            }
        }
        call(&scene, &[command, "-y"], 0)?;
        nothing_is_locked(&scene)?;
    }
    Ok(())
}

#[test]
fn who_takes_back_a_run_of_commands_alone_gives_its_lock_back() -> Result<()> {
    let scene = scene()?;
    let command = "- hosts: all\n  gather_facts: false\n  tasks:\n    - shell: echo 1 > {{ playbook_dir }}/t/first; sleep 3\n";
    scene.write("works.yaml", command)?;
    at_work(&scene, "localhost,")?.kill()?;
    ensure!(place(&scene).is_symlink(), "it was not locked");
    call(&scene, &["rollback", "-y"], 0)?;
    nothing_is_locked(&scene)
}

#[test]
fn the_second_run_of_a_project_touches_nothing_and_is_told_who_works_there() -> Result<()> {
    let scene = scene()?;
    let first = at_work(&scene, "localhost,")?;
    let before = tree(&scene)?;
    let second = call(&scene, &["play", "other.yaml", "-i", "localhost,"], 6)?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let parts = [
        "localhost is locked by ".to_owned(),
        format!("@{}", host.trim()),
        format!("run {}", last_run(&scene)?),
        "`runbook play works.yaml -i localhost,`".to_owned(),
        format!("its process {} works here", first.id()),
        "Nothing was touched.".to_owned(),
    ];
    for part in parts {
        assert!(second.err.contains(&part), "{part}: {}", second.err);
    }
    assert_eq!(second.out, "", "no task has begun");
    call(
        &scene,
        &[
            "call",
            "localhost",
            "command",
            "touch t/called",
            "-i",
            "localhost,",
        ],
        6,
    )?;
    call(&scene, &["rollback", "-i", "localhost,"], 6)?;
    assert_eq!(tree(&scene)?, before);
    // Who only looks is not in the way of anybody.
    call(
        &scene,
        &["play", "other.yaml", "-i", "localhost,", "--check"],
        0,
    )?;
    assert_eq!(tree(&scene)?, before);
    scene.write("go", "")?;
    let first = first.end()?;
    assert_eq!(first.code, 0, "{}", first.text());
    nothing_is_locked(&scene)?;
    call(&scene, &["play", "works.yaml", "-i", "localhost,"], 0)?;
    nothing_is_locked(&scene)
}

#[test]
fn a_run_from_elsewhere_meets_the_lock_on_the_machine() -> Result<()> {
    let scene = scene()?;
    let other = beside(&scene)?;
    let first = at_work(&scene, "localhost,")?;
    let before = tree(&other)?;
    let second = call(
        &other,
        &["play", "other.yaml", "-i", "localhost,", "--output", "json"],
        6,
    )?;
    let tasks = second.tasks("localhost")?;
    let told: Vec<_> = tasks
        .iter()
        .map(|t| (t["task"].as_str(), t["status"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("Reads"), Some("ok")),
            (Some("Commands"), Some("locked"))
        ]
    );
    let message = tasks[1]["message"].as_str().unwrap_or_default();
    assert!(message.contains(&last_run(&scene)?), "{message}");
    assert_eq!(tree(&other)?, before);
    assert!(!other.path("t/rescued").exists() && !other.path("t/ended").exists());
    // Nothing of its own stays locked: the machine is the other's, and its controller has let go.
    let left = locked(&other)?;
    assert!(
        left.contains("localhost: locked at ") && !left.contains("on this controller"),
        "{left}"
    );
    let runs = call(&other, &["runs"], 0)?;
    assert!(runs.out.contains("locked, 0 changed"), "{}", runs.out);
    scene.write("go", "")?;
    assert_eq!(first.end()?.code, 0);
    call(&other, &["play", "other.yaml", "-i", "localhost,"], 0)?;
    nothing_is_locked(&other)
}

#[test]
fn a_run_that_changes_nothing_does_not_ask_for_the_machine() -> Result<()> {
    let scene = scene()?;
    scene.write("go", "")?;
    call(&scene, &["play", "works.yaml", "-i", "localhost,"], 0)?;
    scene.write(
        "same.yaml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {dest: \"{{ playbook_dir }}/t/first\", content: \"1\\n\"}\n",
    )?;
    symlink("{\"of\": \"another version\"}", place(&scene))?;
    call(&scene, &["play", "same.yaml", "-i", "localhost,"], 0)?;
    let run = call(&scene, &["play", "other.yaml", "-i", "localhost,"], 6)?;
    assert!(
        run.out.contains("it is no lock of this program"),
        "{}",
        run.out
    );
    assert!(place(&scene).is_symlink(), "it belongs to somebody");
    Ok(())
}

#[test]
fn a_run_that_was_killed_lets_nobody_in_until_it_is_taken_back() -> Result<()> {
    let scene = scene()?;
    let other = beside(&scene)?;
    let before = tree(&scene)?;
    at_work(&scene, "localhost,")?.kill()?;
    let run = last_run(&scene)?;
    let cut_off = [
        "That run was cut off there".to_owned(),
        format!("runbook resume {run}"),
        format!("runbook rollback {run}"),
        "runbook unlock localhost".to_owned(),
    ];
    // Here it is known before any host is asked; elsewhere the machine tells.
    let here = call(&scene, &["play", "other.yaml", "-i", "localhost,"], 6)?;
    let there = call(&other, &["play", "other.yaml", "-i", "localhost,"], 6)?;
    for part in cut_off {
        assert!(here.err.contains(&part), "{part}: {}", here.err);
        assert!(there.out.contains(&part), "{part}: {}", there.out);
    }
    // The command that it had started goes on by itself.
    scene.write("go", "")?;
    let back = call(&scene, &["rollback", &run], 0)?;
    assert!(back.text().contains("is taken over"), "{}", back.text());
    assert_eq!(tree(&scene)?, before);
    nothing_is_locked(&scene)?;
    nothing_is_locked(&other)?;
    call(
        &other,
        &["play", "works.yaml", "-i", "localhost,", "--check"],
        0,
    )
    .map(drop)
}

#[test]
fn a_run_that_was_killed_is_let_in_when_it_goes_on() -> Result<()> {
    let scene = scene()?;
    at_work(&scene, "localhost,")?.kill()?;
    assert!(place(&scene).is_symlink());
    call(&scene, &["play", "other.yaml", "-i", "localhost,"], 6)?;
    scene.write("go", "")?;
    let resumed = call(&scene, &["resume"], 0)?;
    assert!(
        resumed.text().contains("is taken over"),
        "{}",
        resumed.text()
    );
    assert!(scene.path("t/last").exists());
    nothing_is_locked(&scene)
}

#[test]
fn one_that_was_killed_before_its_first_change_is_in_nobodys_way() -> Result<()> {
    let scene = scene()?;
    scene.write(
        "waits.yaml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - wait_for: {path: \"{{ playbook_dir }}/never\", timeout: 60}\n",
    )?;
    let first = scene.start(&["play", "waits.yaml", "-i", "localhost,"])?;
    wait("the run is at work", || {
        Ok(scene.path("state/runs.db").exists()
            && call(&scene, &["log"], 0).is_ok_and(|l| l.out.contains("action-intended")))
    })?;
    first.kill()?;
    let second = call(
        &scene,
        &[
            "call",
            "localhost",
            "command",
            "touch t/called",
            "-i",
            "localhost,",
        ],
        0,
    )?;
    assert!(second.text().contains("is taken over"), "{}", second.text());
    nothing_is_locked(&scene)
}

#[test]
fn unlock_shows_who_holds_it_and_lets_others_in() -> Result<()> {
    let scene = scene()?;
    let first = at_work(&scene, "localhost,")?;
    let run = last_run(&scene)?;
    // It works still.
    let refused = call(&scene, &["unlock", "localhost", "-y"], 6)?;
    assert!(
        refused.err.contains("still works") && refused.err.contains("--force"),
        "{}",
        refused.err
    );
    for part in [
        "localhost: locked on this controller by ",
        "localhost: locked at ",
        &run,
    ] {
        assert!(refused.out.contains(part), "{part}: {}", refused.out);
    }
    assert!(place(&scene).is_symlink());
    first.kill()?;
    let asks = call(&scene, &["unlock"], 1)?;
    assert!(asks.err.contains("no terminal"), "{}", asks.err);
    let wrong = call(&scene, &["unlock", "nowhere", "-y"], 1)?;
    assert!(
        wrong.err.contains("no site, group or host `nowhere`"),
        "{}",
        wrong.err
    );
    let removed = call(&scene, &["unlock", "localhost", "-y"], 0)?;
    assert!(
        removed.out.contains("its process is gone"),
        "{}",
        removed.out
    );
    nothing_is_locked(&scene)?;
    let log = call(&scene, &["log", &run], 0)?;
    assert_eq!(
        log.out
            .matches("the lock of localhost was removed by ")
            .count(),
        2,
        "{}",
        log.out
    );
    scene.write("go", "")?;
    call(&scene, &["play", "works.yaml", "-i", "localhost,"], 0)?;
    nothing_is_locked(&scene)
}

#[test]
fn force_removes_the_lock_of_a_run_that_works() -> Result<()> {
    let scene = scene()?;
    let other = beside(&scene)?;
    let first = at_work(&scene, "localhost,")?;
    call(&other, &["unlock", "-i", "localhost,", "-y", "--force"], 0)?;
    assert!(!place(&scene).is_symlink());
    call(
        &other,
        &[
            "call",
            "localhost",
            "command",
            "touch t/called",
            "-i",
            "localhost,",
        ],
        0,
    )?;
    scene.write("go", "")?;
    assert_eq!(first.end()?.code, 0);
    nothing_is_locked(&scene)
}

#[test]
fn whatever_signal_ends_a_run_the_locks_go_with_it() -> Result<()> {
    for signal in ["INT", "TERM", "HUP"] {
        let scene = scene()?;
        let run = at_work(&scene, "localhost,")?;
        assert!(locked(&scene)?.contains("works on this machine"));
        run.signal(signal)?;
        scene.write("go", "")?;
        let run = run.end()?;
        assert_eq!(run.code, 130, "{signal}: {}", run.text());
        assert!(!scene.path("t/last").exists(), "{signal}: it went on");
        nothing_is_locked(&scene).with_context(|| signal.to_owned())?;
    }
    Ok(())
}

#[test]
fn a_run_that_fails_gives_its_locks_back() -> Result<()> {
    let scene = scene()?;
    scene.write(
        "fails.yaml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {dest: \"{{ playbook_dir }}/t/x\", content: x}\n    - command: \"false\"\n",
    )?;
    call(&scene, &["play", "fails.yaml", "-i", "localhost,"], 2)?;
    nothing_is_locked(&scene)
}

#[test]
fn what_was_called_is_told_without_its_secrets() -> Result<()> {
    let scene = scene()?;
    let run = scene.start(&[
        "call",
        "localhost",
        "shell",
        "echo pa55word-in-call > t/first; while [ ! -e go ]; do sleep 0.05; done",
        "-i",
        "localhost,",
        "-e",
        "token=pa55word-in-variable",
    ])?;
    wait("the command runs", || Ok(scene.path("t/first").exists()))?;
    let shown = locked(&scene)?;
    let link = fs::read_link(place(&scene))?.display().to_string();
    let stored = String::from_utf8_lossy(&fs::read(scene.path("state/locks.db"))?).into_owned();
    for text in [&shown, &link, &stored] {
        assert!(text.contains("runbook call shell -i localhost,"), "{text}");
        assert!(!text.contains("pa55word"), "{text}");
    }
    scene.write("go", "")?;
    assert_eq!(run.end()?.code, 0);
    Ok(())
}

/// One folder of runs, two processes, each at a site of its own; the journal takes the records of both.
#[test]
fn runs_at_two_sites_of_a_project_go_side_by_side() -> Result<()> {
    let scene = scene()?;
    let tasks = |site: &str| {
        let mut text = format!("- hosts: {site}\n  gather_facts: false\n  tasks:\n");
        for n in 0..40 {
            text.push_str(&format!(
                "    - copy: {{dest: \"{{{{ playbook_dir }}}}/t/{site}-{n}\", content: \"{n}\\n\"}}\n"
            ));
        }
        text
    };
    scene.write("one.yaml", &tasks("one"))?;
    scene.write("two.yaml", &tasks("two"))?;
    scene.write(
        "sites.yaml",
        "sites:\n  one:\n    hosts:\n      h1: {ansible_connection: local}\n  two:\n    hosts:\n      h2: {ansible_connection: local}\n",
    )?;
    // Both hosts are this machine; told apart by where it is locked, they are two.
    let elsewhere = Scene::new()?;
    let begin = Instant::now();
    let first = scene.start(&["play", "one.yaml", "-i", "sites.yaml"])?;
    let second = scene.start_as_on(&elsewhere, &["play", "two.yaml", "-i", "sites.yaml"])?;
    for run in [first.end()?, second.end()?] {
        assert_eq!(run.code, 0, "{}", run.text());
        assert!(run.out.contains("40 changed"), "{}", run.out);
    }
    let took = begin.elapsed();
    let runs = call(&scene, &["runs", "--output", "json"], 0)?.events()?;
    assert_eq!(runs.len(), 2);
    for run in &runs {
        assert_eq!(
            (run["outcome"].as_str(), run["changed"].as_u64()),
            (Some("done"), Some(40))
        );
        // `log` looks whether the chain of records holds.
        call(&scene, &["log", run["run"].as_str().unwrap_or_default()], 0)?;
    }
    runbook_e2e::tell(&format!("two runs of 40 changes side by side: {took:?}"));
    nothing_is_locked(&scene)
}

fn docker() -> bool {
    let info = Command::new("docker").arg("info").output();
    info.is_ok_and(|o| o.status.success())
}

/// Hosts of the lab, reached through sshd, as a site of two and one alone.
fn inventory(lab: &Lab, site: &Site) -> Result<String> {
    let mut text = format!(
        "all:\n  vars:\n    ansible_user: ops\n    known_hosts: {}\n    ansible_ssh_private_key_file: {}\n",
        lab.known_hosts().display(),
        lab.key().display()
    );
    let line = |n: usize| -> Result<String> {
        let host = site.hosts.get(n).context("too few hosts")?;
        Ok(format!(
            "      {}: {{ansible_host: {}}}\n",
            host.name, host.address
        ))
    };
    text.push_str(&format!(
        "sites:\n  pair:\n    hosts:\n{}{}  lone:\n    hosts:\n{}",
        line(0)?,
        line(1)?,
        line(2)?
    ));
    Ok(text)
}

#[test]
fn all_machines_of_a_site_are_locked_before_its_first_change_or_none() -> Result<()> {
    if !docker() {
        skip(
            "locks of a site of two hosts",
            "Docker does not run here (cargo xtask lab up)",
        );
        return Ok(());
    }
    let lab = Lab::up(false)?;
    let site = lab.plain_hosts("locks", 3)?;
    let outcome = a_site_of_two(&lab, &site);
    site.destroy()?;
    outcome
}

fn on(site: &Site, host: &str, command: &str) -> Result<String> {
    let out = site.exec(host, command)?;
    ensure!(out.status == Some(0), "{host}: {command}: {}", out.stderr);
    Ok(out.stdout)
}

const LOCK: &str = "/var/tmp/.runbook-lock";

fn a_site_of_two(lab: &Lab, site: &Site) -> Result<()> {
    let scene = Scene::new()?;
    scene.write("sites.yaml", &inventory(lab, site)?)?;
    // The second host is reached by its tasks long after the first.
    scene.write(
        "change.yaml",
        r#"- hosts: sites
  gather_facts: false
  tasks:
    - name: First host
      copy: {dest: /var/tmp/changed, content: "{{ inventory_hostname }}\n"}
      hosts: host1
    - name: Works
      shell: while [ ! -e /var/tmp/go ]; do sleep 0.05; done
      hosts: host1
    - name: Every host
      become: true
      copy: {dest: /etc/changed, content: "{{ inventory_hostname }}\n"}
"#,
    )?;
    let snapshot = |host: &str| {
        // Not the time of the folder itself: the lock of the first host was there for a moment.
        on(
            site,
            host,
            "find /etc /var/tmp /home /tmp -xdev ! -path /var/tmp -printf '%p %T@ %s %l\\n' | sort",
        )
    };
    // Another machine's run, as another user, has the second host.
    let holder = r#"{"run":"20260101-000000-0001","user":"eva","machine":"far-away","pid":7,"since":"2026-01-01T00:00:00Z","command":"runbook play theirs.yaml","process":{"id":"a","boot":"b","ns":"c","start":1}}"#;
    on(site, "host2", &format!("ln -s '{holder}' {LOCK}"))?;
    on(site, "host1", "touch /var/tmp/go")?;
    let hosts = ["host1", "host2"];
    let before: Vec<String> = hosts.iter().map(|h| snapshot(h)).collect::<Result<_>>()?;
    let refused = call(
        &scene,
        &[
            "play",
            "change.yaml",
            "-i",
            "sites.yaml",
            "--output",
            "json",
        ],
        6,
    )?;
    let after: Vec<String> = hosts.iter().map(|h| snapshot(h)).collect::<Result<_>>()?;
    assert_eq!(before, after, "something was touched, or left locked");
    let first = refused.tasks("host1")?;
    assert_eq!(first[0]["status"], "locked");
    let message = first[0]["message"].as_str().unwrap_or_default();
    for part in [
        "pair is locked on host2 by eva@far-away since 2026-01-01T00:00:00Z",
        "run 20260101-000000-0001",
        "theirs.yaml",
        "cannot be seen from here",
        "runbook unlock pair",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // The other site has nothing to do with it.
    let lone = refused.tasks("host3")?;
    assert!(
        !lone.is_empty() && lone.iter().all(|t| t["status"] == "changed"),
        "{lone:#?}"
    );
    on(
        site,
        "host3",
        &format!("test -e /etc/changed -a ! -L {LOCK}"),
    )?;

    // The lock is root's, so the login user cannot remove it.
    let denied = call(&scene, &["unlock", "host2", "-i", "sites.yaml", "-y"], 2)?;
    assert!(
        denied.out.contains("eva@far-away") && denied.err.contains("belongs to the user root"),
        "{}",
        denied.text()
    );
    assert!(denied.err.contains("`-b`"), "{}", denied.err);
    call(
        &scene,
        &["unlock", "host2", "-i", "sites.yaml", "-y", "-b"],
        0,
    )?;
    on(site, "host2", &format!("test ! -L {LOCK}"))?;

    // Now the site is ours: both are locked while only the first is worked on, and none after it.
    on(site, "host1", "rm /var/tmp/go")?;
    let run = scene.start(&["play", "change.yaml", "-i", "sites.yaml", "-l", "pair"])?;
    wait("the first host is changed", || {
        Ok(site.exec("host1", "test -e /var/tmp/changed")?.status == Some(0))
    })?;
    for host in hosts {
        assert!(on(site, host, &format!("readlink {LOCK}"))?.contains("runbook play change.yaml"));
    }
    // Somebody who logs in as root, with another project, meets it too.
    let other = Scene::new()?;
    other.write(
        "sites.yaml",
        &inventory(lab, site)?.replace("ansible_user: ops", "ansible_user: root"),
    )?;
    let met = call(
        &other,
        &[
            "call",
            "host2",
            "command",
            "touch /etc/met",
            "-i",
            "sites.yaml",
        ],
        6,
    );
    on(site, "host1", "touch /var/tmp/go")?;
    let met = met?;
    assert!(
        met.out.contains("pair is locked on host2 by "),
        "{}",
        met.out
    );
    let run = run.end()?;
    assert_eq!(run.code, 0, "{}", run.text());
    for host in hosts {
        on(site, host, &format!("test ! -L {LOCK} -a ! -e /etc/met"))?;
    }
    Ok(())
}
