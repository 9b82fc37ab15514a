//! Random mutations of files between plan and apply, each judged by what other programs see of the outcome.
//!
//! The oracle does not know plans: it carries the playbook out on the host as it was, and on the mutated host, and
//! compares what each task said it changed and the files that are there afterwards. Where they differ the plan has to be
//! refused, and nothing written; where they do not, it has to be applied, to the same end.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::drift::{Dice, Mutation, Snapshot, Tree, mutate};
use runbook_e2e::{Run, Scene, tell};

const PLAY: &str = r#"
- hosts: all
  gather_facts: false
  vars_files: [vars.yaml]
  vars: {t: "{{ playbook_dir }}/t"}
  tasks:
    - name: New content
      copy: {dest: "{{ t }}/conf", content: "a={{ level }}\nb=2\n"}
    - name: New content and mode
      copy: {dest: "{{ t }}/secret", content: "very\n", mode: "0600"}
    - name: A new file
      copy: {dest: "{{ t }}/made", content: "made\n", mode: "0644"}
    - name: As it is
      copy: {dest: "{{ t }}/same", content: "same\n", mode: "0644"}
    - name: From a file
      copy: {src: small, dest: "{{ t }}/small", mode: "0644"}
    - name: From a large file
      copy: {src: large, dest: "{{ t }}/large", mode: "0644"}
    - name: A folder
      copy: {src: tree/, dest: "{{ t }}/tree/", mode: "0644"}
    - name: From a file on the host
      copy: {src: "{{ t }}/origin", dest: "{{ t }}/copied", remote_src: true, mode: "0644"}
    - name: A template
      template: {src: page.j2, dest: "{{ t }}/page", mode: "0644"}
    - name: A template as it is
      template: {src: part.j2, dest: "{{ t }}/part", mode: "0644"}
    - name: A line
      lineinfile: {path: "{{ t }}/lines", regexp: "^x=", line: "x=1"}
    - name: A block
      blockinfile: {path: "{{ t }}/blocks", block: "one\ntwo"}
    - name: Words
      replace: {path: "{{ t }}/words", regexp: "old", replace: "new"}
    - name: Through a link
      lineinfile: {path: "{{ t }}/through", line: "seen"}
    - name: A directory as it is
      file: {path: "{{ t }}/dir", state: directory, mode: "0755"}
    - name: Directories
      file: {path: "{{ t }}/deep/er/est", state: directory, mode: "0750"}
    - name: A file in them
      copy: {dest: "{{ t }}/deep/er/est/file", content: "deep\n"}
    - name: A link
      file: {path: "{{ t }}/link", src: conf, state: link}
    - name: A link as it is
      file: {path: "{{ t }}/link2", src: same, state: link}
    - name: A hard link
      file: {path: "{{ t }}/hard", src: "{{ t }}/origin", state: hard}
    - name: Mode only
      file: {path: "{{ t }}/log", mode: "0640"}
    - name: A file goes
      file: {path: "{{ t }}/old", state: absent}
    - name: A directory goes
      file: {path: "{{ t }}/olddir", state: absent}
    - name: What is gone
      file: {path: "{{ t }}/gone", state: absent}
    - name: Is it there
      stat: {path: "{{ t }}/flag"}
      register: flag
    - name: Where it is
      copy: {dest: "{{ t }}/flagged", content: "yes\n"}
      when: flag.stat.exists
    - name: How long it is
      stat: {path: "{{ t }}/growing"}
    - name: What it says
      slurp: {path: "{{ t }}/said"}
      register: said
    - name: Said again
      copy: {dest: "{{ t }}/again", content: "{{ said.content | b64decode | upper }}"}
    - name: Once
      command: touch {{ t }}/once
      args: {creates: "{{ t }}/once"}
    - name: Many
      copy: {dest: "{{ t }}/many-{{ item }}", content: "{{ item }}{{ lookup('file', 'word') }}\n"}
      loop: [1, 2]
    - include_tasks: more.yaml
"#;

/// What nobody manages: it may change as it likes.
const FREE: [&str; 4] = ["free", "free/file", "growing", "dir/other"];
/// What is only looked at: it stays as it is, and counts by what follows from it.
const LOOKED_AT: [&str; 2] = ["flag", "said"];
/// Of which only the mode is managed.
const GROWS: &str = "log";

/// What went into the plan.
const INPUTS: [&str; 11] = [
    "play.yaml",
    "more.yaml",
    "vars.yaml",
    "hosts.yaml",
    "group_vars/all.yaml",
    "files/small",
    "files/large",
    "files/tree/x",
    "files/word",
    "templates/page.j2",
    "templates/part.j2",
];

fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.write("play.yaml", PLAY)?;
    scene.write(
        "more.yaml",
        "- name: More\n  copy: {dest: \"{{ t }}/more\", content: \"{{ site }}\\n\"}\n",
    )?;
    scene.write("vars.yaml", "level: 3\n")?;
    scene.write("hosts.yaml", "all: {hosts: {localhost: {}}}\n")?;
    scene.write("group_vars/all.yaml", "site: here\n")?;
    scene.write("files/small", "small\n")?;
    scene.write("files/large", &"large ".repeat(200_000))?;
    scene.write("files/tree/x", "x\n")?;
    scene.write("files/tree/sub/y", "y\n")?;
    scene.write("files/word", "word\n")?;
    scene.write(
        "templates/page.j2",
        "{% include 'part.j2' %}level {{ level }}\n",
    )?;
    scene.write("templates/part.j2", "a part\n")?;
    for (path, content) in [
        ("conf", "a=1\nb=2\n"),
        ("secret", "not very\n"),
        ("same", "same\n"),
        ("small", "smaller\n"),
        ("origin", "origin\n"),
        ("part", "a part\n"),
        ("lines", "w=0\nx=0\ny=0\n"),
        ("blocks", "before\n"),
        ("words", "old and old\n"),
        ("behind", "text\n"),
        ("log", "started\n"),
        ("old", "old\n"),
        ("olddir/one", "1\n"),
        ("olddir/two/three", "3\n"),
        ("flag", ""),
        ("growing", "grown\n"),
        ("said", "word\n"),
        ("free/file", "free\n"),
        ("dir/other", "other\n"),
        ("more", "there\n"),
    ] {
        let path = scene.write(&format!("t/{path}"), content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    scene.write("t/large", &"smaller ".repeat(200_000))?;
    for dir in ["t", "t/dir", "t/free", "t/olddir", "t/olddir/two"] {
        fs::set_permissions(scene.path(dir), fs::Permissions::from_mode(0o755))?;
    }
    symlink("behind", scene.path("t/through"))?;
    symlink("secret", scene.path("t/link"))?;
    symlink("same", scene.path("t/link2"))?;
    Ok(scene)
}

/// What an outcome is: what each task said, the files that are managed, and what went with a directory.
#[derive(Debug, PartialEq)]
struct Outcome {
    tasks: Vec<String>,
    tree: Tree,
    went: Vec<(String, String)>,
}

/// The names and types of what goes with its directory: who has approved that has seen these.
fn to_go(before: &Tree) -> Vec<(String, String)> {
    let lies_there = before
        .0
        .iter()
        .filter(|(path, _)| path.starts_with("olddir/"));
    let type_of = |what: &String| what.split(' ').next().unwrap_or_default().to_owned();
    lies_there
        .map(|(path, what)| (path.clone(), type_of(what)))
        .collect()
}

fn outcome(scene: &Scene, run: &Run, before: &Tree) -> Result<Outcome> {
    let told = |task: &serde_json::Value| {
        let parts = ["task", "item", "status", "changes", "diff", "notes"];
        let parts: Vec<String> = parts.iter().map(|part| task[*part].to_string()).collect();
        parts.join(" ")
    };
    let mut tree = Tree::of(&scene.path("t"))?;
    tree.0.retain(|path, what| {
        if path == GROWS {
            // Type, mode and owner; no hash.
            *what = what.split(' ').take(4).collect::<Vec<_>>().join(" ");
        }
        let others = path.contains(".moved") || path.contains("/new-");
        let managed = ![&FREE[..], &LOOKED_AT].concat().contains(&path.as_str());
        managed && !path.starts_with("free/") && !others
    });
    Ok(Outcome {
        tasks: run.tasks("localhost")?.iter().map(told).collect(),
        tree,
        went: to_go(before),
    })
}

fn folders(scene: &Scene) -> Vec<PathBuf> {
    ["t", "files", "templates", "group_vars"]
        .map(|f| scene.path(f))
        .to_vec()
}

fn forget(scene: &Scene) -> Result<()> {
    let state = scene.path("state");
    if state.exists() {
        fs::remove_dir_all(state)?;
    }
    Ok(())
}

/// How many mutations: a sample, or with RUNBOOK_LONG=1 all.
fn amount(sample: usize, all: usize) -> usize {
    if std::env::var_os("RUNBOOK_LONG").is_some_and(|v| v == "1") {
        all
    } else {
        sample
    }
}

fn seed(default: u64) -> u64 {
    let given = std::env::var("RUNBOOK_SEED").ok();
    given.and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn no_mutation_of_the_host_slips_through() -> Result<()> {
    let scene = scene()?;
    let seed = seed(20_261_121);
    let amount = amount(25, 1000);
    tell(&format!("seed {seed}, {amount} mutations"));
    let plan = scene.runbook(&["plan", "play.yaml", "-i", "hosts.yaml", "-o", "plan.json"])?;
    ensure!(plan.code == 0, "{}", plan.text());
    let before = Tree::of(&scene.path("t"))?;
    let snapshot = Snapshot::of(&folders(&scene))?;
    let play = [
        "play",
        "play.yaml",
        "-i",
        "hosts.yaml",
        "-y",
        "--output",
        "json",
    ];
    let run = scene.runbook(&play)?;
    ensure!(run.code == 0, "{}", run.text());
    let undisturbed = outcome(&scene, &run, &before)?;
    let mut paths: Vec<String> = before.0.keys().cloned().collect();
    paths.extend(undisturbed.tree.0.keys().cloned());
    paths.push("gone".to_owned());
    paths.sort();
    paths.dedup();

    let mut wrong: Vec<String> = Vec::new();
    let (mut refused, mut applied) = (0, 0);
    for number in 0..amount {
        if number % 100 == 99 {
            tell(&format!(
                "{refused} refused, {applied} applied, {} wrong so far",
                wrong.len()
            ));
        }
        let dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let again = |dice: &Dice| -> Result<Mutation> {
            snapshot.restore()?;
            forget(&scene)?;
            mutate(&mut dice.clone(), &scene.path("t"), &paths)
        };
        let mutation = again(&dice)?;
        let mutated = Tree::of(&scene.path("t"))?;
        let run = scene.runbook(&play)?;
        let disturbed = outcome(&scene, &run, &mutated)?;
        let differs = run.code != 0 || disturbed != undisturbed;

        again(&dice)?;
        let run = scene.runbook(&["apply", "plan.json", "--output", "json"])?;
        let said = format!("{number}: {mutation:?}: exit {}", run.code);
        let known = wrong.len();
        match (differs, run.code) {
            (true, 5) => {
                refused += 1;
                let now = Tree::of(&scene.path("t"))?;
                if now != mutated {
                    wrong.push(format!("{said}, and it wrote {:?}", now.differs(&mutated)));
                }
            }
            (false, 0) => {
                applied += 1;
                if outcome(&scene, &run, &mutated)? != undisturbed {
                    wrong.push(format!("{said}, to another end"));
                }
            }
            (true, _) => wrong.push(format!("{said}: it slipped through: {}", run.text())),
            (false, _) => wrong.push(format!("{said}: it is nothing: {}", run.text())),
        }
        // A thousand take half an hour: what is wrong is told at once.
        wrong.iter().skip(known).for_each(|text| tell(text));
    }
    tell(&format!(
        "{refused} refused, {applied} applied, {} wrong",
        wrong.len()
    ));
    ensure!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    ensure!(refused + applied == amount, "not all were tried");
    ensure!(
        refused * 3 > amount && applied * 20 > amount,
        "{refused} refused, {applied} applied"
    );
    Ok(())
}

#[test]
fn no_mutation_of_an_input_slips_through() -> Result<()> {
    let scene = scene()?;
    let seed = seed(5_320_000);
    let amount = amount(12, 200);
    tell(&format!("seed {seed}, {amount} mutations"));
    let plan = scene.runbook(&["plan", "play.yaml", "-i", "hosts.yaml", "-o", "plan.json"])?;
    ensure!(plan.code == 0, "{}", plan.text());
    let inputs: Vec<String> = INPUTS.iter().map(|i| (*i).to_owned()).collect();
    let contents = || -> Vec<Option<Vec<u8>>> {
        let files = inputs.iter().map(|input| scene.path(input));
        files.map(|path| fs::read(path).ok()).collect()
    };
    let originals = contents();
    let snapshot = Snapshot::of(&folders(&scene))?;
    let before = Tree::of(&scene.path("t"))?;
    let mut wrong = Vec::new();
    for number in 0..amount {
        let mut dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        snapshot.restore()?;
        forget(&scene)?;
        for (input, original) in inputs.iter().zip(&originals) {
            let path = scene.path(input);
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else if path.symlink_metadata().is_ok() {
                fs::remove_file(&path)?;
            }
            fs::write(&path, original.as_ref().context("an input")?)?;
        }
        let mutation = mutate(&mut dice, scene.folder(), &inputs)?;
        let differs = contents() != originals;
        let run = scene.runbook(&["apply", "plan.json"])?;
        let said = format!("{number}: {mutation:?}: exit {}: {}", run.code, run.text());
        match (differs, run.code) {
            (true, 5) if !run.err.contains(&mutation.path) => wrong.push(said),
            (true, 5) if Tree::of(&scene.path("t"))? != before => wrong.push(said),
            (true, 5) | (false, 0) => {}
            _ => wrong.push(said),
        }
    }
    ensure!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    Ok(())
}
