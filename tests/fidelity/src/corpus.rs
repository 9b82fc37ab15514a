//! The corpus: playbooks over every module, each with cases that a person has thought of.
//!
//! A file in `corpus/` is a list of tasks, each beginning at the left margin. Lines `# $ …` at its head are shell lines
//! that make what is there before. On the half-done host a part of the tasks has run already.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::Scene;
use runbook_e2e::archive::{Archive, POINTS, Snapshot};
use runbook_lab::{Hosts, Lab};

use crate::compare::{Compared, Wrong, compare};
use crate::random::Random;
use crate::script::TARGET;
use crate::trial::{PLAY, Place, accepted, tried_by};

/// The files that need nothing but this machine.
pub const LOCAL: [&str; 6] = ["files", "names", "commands", "service", "web", "signed"];

/// The folder of the corpus.
#[must_use]
pub fn folder() -> PathBuf {
    Lab::project().join("tests/fidelity/corpus")
}

/// The tasks of a file, each with its own text, and the shell lines at its head.
fn parts(text: &str) -> (Vec<String>, Vec<String>) {
    let mut tasks: Vec<String> = Vec::new();
    let mut before = Vec::new();
    for line in text.lines() {
        if let Some(shell) = line.strip_prefix("# $ ") {
            before.push(shell.to_owned());
        } else if line.starts_with("- ") {
            tasks.push(format!("{line}\n"));
        } else if let Some(task) = tasks.last_mut() {
            task.push_str(line);
            task.push('\n');
        }
    }
    (tasks, before)
}

/// The tasks up to one of them, after which the play ends as if it had been interrupted.
fn begun(tasks: &[String], seed: u64) -> String {
    let done = Random::new(seed).between(tasks.len() / 4, tasks.len() * 3 / 4);
    let mut begun: Vec<&str> = tasks.iter().map(String::as_str).collect();
    begun.insert(done, "- meta: end_play\n");
    begun.concat()
}

fn copied(from: &Path, scene: &Scene, name: &str) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|e| {
            (
                e.path(),
                format!("{name}{}", e.file_name().to_string_lossy()),
            )
        })?;
        if path.is_dir() {
            copied(&path, scene, &format!("{name}/"))?;
        } else {
            scene.write(&name, &fs::read_to_string(&path)?)?;
        }
    }
    Ok(())
}

/// Something that answers HTTP, as long as the process goes on: 200 for `/`, 404 for all else.
fn http() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 2048];
            let read = stream.read(&mut request).unwrap_or_default();
            let asked = String::from_utf8_lossy(&request[..read]);
            let status = match asked.split(' ').nth(1) {
                Some("/") => "200 OK",
                _ => "404 Not Found",
            };
            // Who has gone away needs no answer.
            drop(
                stream.write_all(
                    format!(
                        "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                    )
                    .as_bytes(),
                ),
            );
        }
    });
    Ok(port)
}

/// A scene with a file of the corpus, and `play.yaml` and `begun.yaml` that call it.
///
/// # Errors
/// It cannot be made.
pub fn scene_of(name: &str, seed: u64, place: &Place) -> Result<Scene> {
    let scene = Scene::within(&place.folder, &place.program)?;
    let local = folder().join("local");
    copied(&local, &scene, "")?;
    let text = fs::read_to_string(local.join(format!("{name}.yaml")))?;
    let (tasks, before) = parts(&text);
    let at = scene.path(TARGET);
    fs::create_dir_all(&at)?;
    for line in before {
        crate::script::shell(&line, &at)?;
    }
    scene.write("tasks-begun.yaml", &begun(&tasks, seed))?;
    let port = http()?;
    for (play, tasks) in [("play", name), ("begun", "tasks-begun")] {
        let text = format!(
            "- hosts: all\n  vars: {{at: {}, http_port: {port}}}\n  tasks:\n    - import_tasks: {tasks}.yaml\n",
            at.display()
        );
        scene.write(&format!("{play}.yaml"), &text)?;
    }
    Ok(scene)
}

/// Tries a file of the corpus on this machine.
///
/// # Errors
/// It cannot be tried at all.
pub fn local(name: &str, half_done: bool, seed: u64, place: &Place) -> Result<Compared> {
    let scene = scene_of(name, seed, place)?;
    if half_done {
        accepted(&scene.runbook(&["play", "begun.yaml", "-i", "localhost,"])?)?;
    }
    let (compared, run) = tried_by(&scene, &scene.path(TARGET), &PLAY)?;
    // What fails in both ways alike is predicted well, and hides all tasks behind it.
    let failed = run.events()?.into_iter().find(|e| {
        let is = |key: &str, value: &str| e[key] == value;
        is("event", "task-finished") && is("status", "failed") && e["ignored"] != true
    });
    ensure!(
        run.code == 0,
        "{name} ends before its end: {}",
        failed.map_or_else(
            || run.text(),
            |task| format!("{}: {}", task["task"], task["message"])
        )
    );
    Ok(compared)
}

/// Tries the part with containers, directory and database on a fresh site of the lab.
///
/// # Errors
/// The lab is not up, or it cannot be tried at all.
pub fn on_lab(half_done: bool, seed: u64, place: &Place, tell: fn(&str)) -> Result<Compared> {
    let host = if half_done { "half" } else { "clean" };
    let name = format!("{}-{host}", place.sites);
    let site = Lab::ready()?.new_site(&name, Hosts::One)?;
    let archive = Archive::new(site, place.program.clone(), |_| {})?;
    let scene = Scene::within(&place.folder, &place.program)?;
    let from = folder().join("lab");
    copied(&from, &scene, "")?;
    let (tasks, _) = parts(&fs::read_to_string(from.join("archive.yaml"))?);
    scene.write("tasks-begun.yaml", &begun(&tasks, seed))?;
    // A file of a backup is never written twice: each turn has its own.
    let write = |name: &str, tasks: &str| {
        let text = format!(
            "- hosts: sites\n  become: true\n  vars: {{turn: {name}}}\n  tasks:\n    - import_tasks: {tasks}.yaml\n"
        );
        scene.write(&format!("{name}.yaml"), &text)
    };
    let play = |path: &Path, more: &[&str]| -> Result<_> {
        let path = path.to_str().context("the path is no text")?;
        archive.attempt(&[&["play", path], more].concat())
    };
    // Backups that others have made, by other programs.
    archive.on(
        "db",
        "mkdir -p /srv/given/mounted && echo theirs >/srv/given/mounted/one && tar -czf /srv/given/mounted.tar.gz -C /srv/given/mounted . && docker exec db pg_dump -U pacs -Fc pacsdb > /srv/given/pacsdb.dump",
    )?;
    archive.on(
        "ldap",
        r#"docker exec ldap sh -c 'ldapsearch -x -LLL -o ldif-wrap=no -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" -b "ou=users,$LDAP_BASE_DN"' > /srv/given/users.ldif"#,
    )?;
    if half_done {
        let begun = play(&write("begun", "tasks-begun")?, &[])?;
        ensure!(begun.code == 0, "{}", begun.lines().join("\n"));
    }
    let whole = write("play", "archive")?;
    let before = Snapshot::of(archive.site())?;
    let check = play(&whole, &["--check", "--diff"])?;
    let differs = before.differences(&Snapshot::of(archive.site())?);
    let run = play(&whole, &[])?;
    ensure!(run.code == 0, "{}", run.lines().join("\n"));
    let mut compared = compare(&check.events, &run.events);
    let mut wrong = |task: &str, check: &str, run: &str| {
        compared.figures.wrong += 1;
        compared.wrong.push(Wrong {
            node: String::new(),
            task: task.to_owned(),
            module: String::new(),
            check: check.to_owned(),
            run: run.to_owned(),
        });
    };
    if let Some(first) = differs.first() {
        wrong("the check itself", "changes nothing", first);
    }
    if check.code != run.code {
        wrong(
            "the exit code",
            &check.code.to_string(),
            &run.code.to_string(),
        );
    }
    tell(&format!(
        "{name}: {} tasks compared",
        compared.figures.tasks
    ));
    archive.site().destroy()?;
    Ok(compared)
}

/// The upgrade of the archive on a fresh site of the lab, or on one where an upgrade was stopped half way.
///
/// # Errors
/// The lab is not up, or the upgrade fails.
pub fn upgrade(half_done: bool, seed: u64, place: &Place, tell: fn(&str)) -> Result<Compared> {
    let site = Lab::ready()?.new_site(&format!("{}-upgrade", place.sites), Hosts::One)?;
    let archive = Archive::new(site, place.program.clone(), |_| {})?;
    if half_done {
        // Neither before anything was done nor when all is.
        let middle = &POINTS[2..POINTS.len() - 2];
        let at = usize::try_from(seed)? % middle.len();
        tell(&format!("upgrade: stopped after `{}`", middle[at]));
        archive.stop_after(middle[at])?;
    }
    let check = archive.check_changes_nothing()?;
    let run = archive.play("upgrade-5.32.yaml", &[], 0)?;
    let compared = compare(&check.events, &run.events);
    tell(&format!(
        "upgrade: {} tasks compared",
        compared.figures.tasks
    ));
    archive.site().destroy()?;
    Ok(compared)
}

/// The modules that the program has.
///
/// # Errors
/// The program does not list them.
pub fn modules(place: &Place) -> Result<Vec<String>> {
    let scene = Scene::within(&place.folder, &place.program)?;
    let listed = scene.runbook(&["doc"])?;
    ensure!(listed.code == 0, "{}", listed.err);
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    Ok(listed.out.lines().filter_map(first).collect())
}

/// How often each module stands in the corpus, as its tasks are written.
///
/// # Errors
/// A file cannot be read.
pub fn written(modules: &[String]) -> Result<Vec<(String, usize)>> {
    let texts = all()?.concat();
    let count = |module: &String| {
        let called = format!(", {module}: ");
        texts.iter().filter(|t| t.contains(&called)).count()
    };
    Ok(modules.iter().map(|m| (m.clone(), count(m))).collect())
}

/// Tasks that make a container anew which was there, for a new image or another environment.
const REPLACES: [&str; 3] = [
    "Another variable",
    "New directory server",
    "New database server",
];

/// How many tasks come after one whose effect nobody knows, or after a container was replaced.
///
/// # Errors
/// A file cannot be read.
pub fn after_what_is_not_ours() -> Result<usize> {
    let is_such = |task: &String| {
        let declared = ["changes: ", "creates: ", "reads_only: "];
        let calls = [", shell: ", ", command: "]
            .iter()
            .any(|m| task.contains(m));
        // A container has a `command`, too.
        let opaque = calls
            && !task.contains(", docker_container: ")
            && !declared.iter().any(|d| task.contains(d));
        opaque
            || REPLACES
                .iter()
                .any(|name| task.contains(&format!("{{name: {name}, ")))
    };
    let after = |tasks: &Vec<String>| tasks.iter().skip_while(|t| !is_such(t)).skip(1).count();
    Ok(all()?.iter().map(after).sum())
}

/// The tasks of each file.
fn all() -> Result<Vec<Vec<String>>> {
    let mut files = Vec::new();
    for (below, names) in [("local", &LOCAL[..]), ("lab", &["archive"])] {
        for name in names {
            let text = fs::read_to_string(folder().join(below).join(format!("{name}.yaml")))?;
            files.push(parts(&text).0);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_left_out() {
        let mut found: Vec<String> = fs::read_dir(folder().join("local"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned()))
            .collect();
        found.sort();
        // That one is for the comparison with other programs.
        let mut named: Vec<&str> = LOCAL.into_iter().chain(["twenty"]).collect();
        named.sort_unstable();
        assert_eq!(found, named);
    }
}
