//! Planted secrets are found nowhere: not in what is printed, not in what is written down, not in argument lists and
//! environments of what is started.
//!
//! Of the fifty, numbers 0 to 37 are used on this machine, where every program that is started is traced; the rest on a
//! site of the lab. Ten stand only on hosts: 30 to 36, and 47 to 49.

#[path = "secrets/host.rs"]
mod host;
#[path = "secrets/plant.rs"]
mod plant;
#[path = "secrets/site.rs"]
mod site;

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::secrets::{Found, Haystack, Secrets, Trace, secret, traced};
use runbook_e2e::{Scene, Terminal, program, skip};
use runbook_lab::{Hosts, Lab};

use host::Echo;

/// Runs a call under strace; gives what it printed and what was started.
fn call(scene: &Scene, args: &[&str], code: &[i32]) -> Result<Vec<Haystack>> {
    let log = scene.path("exec.log");
    let output = traced(&log, &program()?)
        .args(args)
        .current_dir(scene.folder())
        .env("RUNBOOK_STATE", scene.path("state"))
        .env("RUNBOOK_KEY_FILE", scene.path("journal.key"))
        .env("RUNBOOK_LOG", "trace")
        .env("RUNBOOK_LOCK_DIR", scene.locks())
        .env("HOME", scene.folder())
        .env("TMPDIR", scene.path("tmp"))
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .output()
        .context("strace")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ended = output.status.code();
    ensure!(
        ended.is_some_and(|c| code.contains(&c)),
        "{args:?}: {ended:?}\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let name = args.join(" ");
    Ok(vec![
        Haystack::new(format!("standard output of {name}"), output.stdout),
        Haystack::new(format!("standard error of {name}"), output.stderr),
        Haystack::new(format!("what was started by {name}"), fs::read(&log)?),
    ])
}

fn told(found: &[Found]) -> String {
    let lines = found.iter().map(|f| {
        format!(
            "secret {} {} in {}: …{}…\n",
            f.number, f.form, f.place, f.around
        )
    });
    lines.collect()
}

fn is_strace_here(test: &str) -> bool {
    let there = std::process::Command::new("strace").arg("-V").output();
    if there.is_err() {
        skip(test, "there is no strace");
    }
    there.is_ok()
}

/// What is shown on purpose is found by the same search, in every kind of place; of the others nothing is.
fn only_the_control(seen: &[Haystack], kinds: &[&str]) -> Result<()> {
    let control = Secrets::new([plant::CONTROL])?;
    for kind in kinds {
        let places = seen.iter().filter(|h| h.name.starts_with(kind));
        let found = places.flat_map(|h| h.search(&control)).count();
        ensure!(found > 0, "the search does not find the control in {kind}");
    }
    let secrets = Secrets::new((0..plant::MANY).filter(|n| *n != plant::CONTROL))?;
    let found: Vec<Found> = seen.iter().flat_map(|h| h.search(&secrets)).collect();
    ensure!(found.is_empty(), "{} found:\n{}", found.len(), told(&found));
    Ok(())
}

/// Passwords of a login, of a directory and of a database, variables of containers, and what stands only on the host.
#[test]
fn on_a_site_no_secret_is_shown_written_or_handed_over() -> Result<()> {
    const NAME: &str = "on_a_site_no_secret_is_shown_written_or_handed_over";
    if !is_strace_here(NAME) {
        return Ok(());
    }
    let lab = match Lab::ready() {
        Ok(lab) => lab,
        Err(why) => {
            skip(NAME, &format!("{why:#}"));
            return Ok(());
        }
    };
    let place = lab.new_site("e2e-secrets", Hosts::One)?;
    site::host(&place)?;
    let scene = Scene::new()?;
    site::scene(&scene, &place)?;
    let trace = Trace::of(&site::processes(&place)?, &scene.path("site.log"))?;
    let common = ["-i", "hosts.yaml", "--vault-id", "main@pw"];
    let mut seen = Vec::new();
    let mut run = |args: &[&str], code: &[i32]| -> Result<()> {
        seen.extend(call(&scene, args, code)?);
        Ok(())
    };
    let play = [&["play", "site.yaml"], &common[..]].concat();
    let wrong = [&["play", "wrong.yaml"], &common[..]].concat();
    run(&[&play[..], &["--check", "--diff", "-vv"]].concat(), &[0])?;
    run(
        &[&["plan", "site.yaml", "-o", "made.plan"], &common[..]].concat(),
        &[0],
    )?;
    run(&[&play[..], &["--diff", "-vv", "-y"]].concat(), &[0])?;
    let logs = [&["show"][..], &["log"], &["log", "--output", "json"]];
    for what in [&logs[..], &[&["show", "made.plan"][..]]].concat() {
        run(what, &[0])?;
    }
    run(
        &[&["rollback", "--diff", "-vv", "-y"], &common[..]].concat(),
        &[0],
    )?;
    run(
        &[&play[..], &["-e", "turn=2", "--diff", "--output", "json"]].concat(),
        &[0],
    )?;
    for how in [
        &["--check", "-vv"][..],
        &["--diff", "-vv"],
        &["--output", "json"],
    ] {
        run(&[&wrong[..], how].concat(), &[4])?;
    }
    for what in logs {
        run(what, &[0])?;
    }
    run(
        &[&["drift", "site.yaml"], &common[..]].concat(),
        &[0, 2, 3, 5],
    )?;
    seen.push(trace.end()?.changed(site::without_own));
    site::mark(&place)?;
    seen.extend(site::written(&place)?);
    let on_purpose = [
        "pw",
        "locked",
        "hosts.yaml",
        "group_vars",
        "site.log",
        "exec.log",
    ];
    let leave = |path: &std::path::Path| {
        let name = path.strip_prefix(scene.folder()).unwrap_or(path);
        on_purpose.iter().any(|p| name.starts_with(p))
    };
    seen.extend(Haystack::below(scene.folder(), &leave)?);
    let all = Secrets::new(0..plant::MANY)?;
    let there: Vec<usize> = site::meant(&place)?
        .search(&all)
        .iter()
        .map(|f| f.number)
        .collect();
    for number in site::USED {
        ensure!(there.contains(&number), "secret {number} is used nowhere");
    }
    let servers = ["files of the host", "log of ldap", "log of db"];
    only_the_control(
        &seen,
        &[&["standard output", "the exec trace"], &servers[..]].concat(),
    )?;
    place.destroy()
}

#[test]
fn on_this_machine_no_secret_is_shown_written_or_handed_over() -> Result<()> {
    const NAME: &str = "on_this_machine_no_secret_is_shown_written_or_handed_over";
    if !is_strace_here(NAME) {
        return Ok(());
    }
    let scene = Scene::new()?;
    let echo = Echo::start()?;
    plant::scene(&scene, echo.port())?;
    let inventory = ["-i", "hosts.yaml", "-e", "@extra.yaml"];
    let passwords = ["--vault-id", "main@pw", "--vault-id", "other@pw2"];
    let common = [&inventory[..], &passwords].concat();
    let mut seen = Vec::new();
    let mut run = |args: &[&str], code: &[i32]| -> Result<()> {
        seen.extend(call(&scene, args, code)?);
        Ok(())
    };
    let play = [&["play", "play.yaml"], &common[..]].concat();
    let failing = [&["play", "failing.yaml"], &common[..]].concat();
    run(&[&play[..], &["--check", "--diff", "-vv"]].concat(), &[0])?;
    run(&[&play[..], &["--diff", "-vv", "-y"]].concat(), &[0])?;
    for what in [
        &["show"][..],
        &["log"],
        &["log", "--output", "json"],
        &["runs"],
    ] {
        run(what, &[0])?;
    }
    run(
        &[&["rollback", "--check", "--diff", "-vv"], &common[..]].concat(),
        &[0],
    )?;
    run(
        &[&["rollback", "--diff", "-vv", "-y"], &common[..]].concat(),
        &[0],
    )?;
    run(&["log"], &[0])?;
    plant::host(&scene)?;
    run(&[&play[..], &["--diff", "--output", "json"]].concat(), &[0])?;
    run(&[&play[..], &["--diff", "-vv"]].concat(), &[0])?;
    run(&[&["graph", "play.yaml"], &common[..]].concat(), &[0])?;
    run(
        &[&play[..], &["--list-tasks", "--list-tags"]].concat(),
        &[0],
    )?;
    // Each way of failing on a host of its own.
    for how in [&["--check"][..], &["--output", "json"], &["-vv", "--diff"]] {
        run(&[&failing[..], how].concat(), &[2])?;
    }
    for what in [&["show"][..], &["log"], &["log", "--output", "json"]] {
        run(what, &[0])?;
    }
    for wrong in plant::WRONG {
        run(&[&["play", wrong], &common[..]].concat(), &[1])?;
    }
    run(
        &[
            "vault",
            "rekey",
            "again.yaml",
            "--vault-id",
            "pw",
            "--new-vault-id",
            "n@pw2",
        ],
        &[0],
    )?;
    run(
        &[
            "vault",
            "encrypt",
            "journal.key",
            "--vault-id",
            "pw",
            "--output",
            "sealed.key",
        ],
        &[0],
    )?;

    // What is asked for, on a terminal; the trace is that of the whole terminal.
    let args = common.join(" ");
    let command = format!("runbook play asks.yaml {args} -y --diff -vv");
    let mut terminal = Terminal::start(&scene, &command)?;
    terminal.until("The word: ")?;
    terminal.press(&format!("{}\r", secret(17)))?;
    let (code, screen) = terminal.end()?;
    ensure!(code == 0, "{screen}");
    seen.push(Haystack::new("the terminal", screen));

    // What is left in folders: the state, what is temporary, and a copy of all of it.
    let on_purpose = [
        "pw",
        "pw2",
        "playbooks",
        "exec.log",
        "target",
        "hosts.yaml",
        "group_vars",
        "play.yaml",
        "failing.yaml",
        "asks.yaml",
        "files",
        "templates",
        "wrong",
        "host_vars",
        "only",
    ];
    let leave = |path: &std::path::Path| {
        let name = path.strip_prefix(scene.folder()).unwrap_or(path);
        on_purpose.iter().any(|p| name.starts_with(p))
    };
    seen.extend(Haystack::below(scene.folder(), &leave)?);
    for place in ["/var/tmp", "/tmp"] {
        for entry in fs::read_dir(place)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".runbook-") {
                seen.extend(Haystack::below(&entry.path(), &|_| false)?);
            }
        }
    }
    let searched = seen.len();
    ensure!(searched > 60, "only {searched} places were searched");
    // The playbook did what it says: the secrets are where it puts them.
    let wanted = Haystack::below(&scene.path("target"), &|_| false)?;
    let all = Secrets::new(0..plant::MANY)?;
    let there: Vec<usize> = wanted
        .iter()
        .flat_map(|h| h.search(&all))
        .map(|f| f.number)
        .collect();
    for number in plant::USED {
        ensure!(there.contains(&number), "secret {number} is used nowhere");
    }
    only_the_control(
        &seen,
        &[
            "standard output",
            "standard error",
            "what was started",
            "the terminal",
        ],
    )
}
