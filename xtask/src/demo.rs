//! Shows the product on the lab: check, run, second run, one damage mended, a bad image and the old archive back, a playbook
//! with mistakes. Each state is confirmed by another program, whose command and answer are printed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use runbook_lab::{Hosts, Lab, Site};
use serde_json::Value;

use crate::needs;
use crate::run::{root, run as command, say};

/// Make the lab and show the product on it.
#[derive(clap::Args)]
pub struct Args {
    /// Do not ask before installing and starting things
    #[arg(short, long)]
    yes: bool,
}

/// Does it; an error where what is shown is not so.
pub fn run(args: &Args) -> Result<()> {
    say(
        "This installs missing Debian packages, starts a Docker daemon where none runs, and makes the lab in .lab/.",
    );
    needs::install(!args.yes)?;
    command("cargo", &["build", "--package", "runbook", "--quiet"])?;
    let lab = Lab::up(args.yes)?;
    say("\n== A fresh site, set up by hand with the old versions");
    let site = lab.new_site("demo", Hosts::One)?;
    let outcome = Demo::new(site)?.all();
    match &outcome {
        Ok(()) => say("\nEverything was as it should be."),
        Err(error) => say(&format!("\nNot as it should be: {error:#}")),
    }
    outcome
}

struct Demo {
    site: Site,
    inventory: PathBuf,
    runbook: PathBuf,
}

/// Host, task, item, status and diff of a finished task.
type Line = (String, String, String, String, String);

fn text(event: &Value, key: &str) -> String {
    event
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

impl Demo {
    fn new(site: Site) -> Result<Self> {
        let inventory = site.inventory()?;
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root().join("target"), PathBuf::from);
        Ok(Self {
            site,
            inventory,
            runbook: target.join("debug/runbook"),
        })
    }

    fn all(&self) -> Result<()> {
        say("\n== The check says what would change");
        let check = self.play("upgrade-5.32.yaml", &["--check"], 0)?;
        ensure!(
            check.iter().any(|l| l.3 == "changed"),
            "the check found nothing to do"
        );
        say("\n== The run does exactly that");
        let run = self.play("upgrade-5.32.yaml", &[], 0)?;
        let (check, run): (BTreeSet<Line>, BTreeSet<Line>) =
            (check.into_iter().collect(), run.into_iter().collect());
        let differs: Vec<&Line> = check.symmetric_difference(&run).collect();
        ensure!(differs.is_empty(), "check and run differ: {differs:?}");
        say(&format!(
            "check and run are equal in host, task, status and diff of {} events",
            run.len()
        ));
        self.confirm(
            "docker inspect -f '{{.Config.Image}} {{.State.Running}}' arc",
            "dcm4chee-arc-psql:5.32.0 true",
        )?;
        self.confirm(
            "docker inspect -f '{{.Config.Image}} {{.State.Running}}' ldap",
            "slapd-dcm4chee:2.6.6-32.0 true",
        )?;
        self.confirm(
            "curl -sf http://localhost:8080/dcm4chee-arc/version",
            "5.32.0",
        )?;
        self.confirm(
            "docker exec db psql -U pacs -d pacsdb -tAc 'select count(*) from study where study_deleting is null'",
            "0",
        )?;
        let started = self.on_site("docker inspect -f '{{.State.StartedAt}}' arc db ldap")?;
        let backups = self.on_site("find /var/backups/dcm4chee -type f -exec sha256sum {} +")?;
        ensure!(backups.contains("pacsdb.dump"), "there is no backup");
        say("\n== A second run changes nothing");
        let second = self.play("upgrade-5.32.yaml", &[], 0)?;
        let changed: Vec<&Line> = second.iter().filter(|l| l.3 == "changed").collect();
        ensure!(changed.is_empty(), "the second run changed {changed:?}");
        ensure!(
            self.on_site("docker inspect -f '{{.State.StartedAt}}' arc db ldap")? == started,
            "a container was restarted"
        );
        ensure!(
            self.on_site("find /var/backups/dcm4chee -type f -exec sha256sum {} +")? == backups,
            "the first run's backups are not the same"
        );
        say("\n== One damage, done with another program, is found and mended");
        self.on_site("docker stop arc")?;
        let found = self.play("upgrade-5.32.yaml", &["--check"], 0)?;
        let names: Vec<&str> = found
            .iter()
            .filter(|l| l.3 == "changed")
            .map(|l| l.1.as_str())
            .collect();
        ensure!(names.contains(&"New archive"), "the check names {names:?}");
        self.play("upgrade-5.32.yaml", &[], 0)?;
        self.confirm("docker inspect -f '{{.State.Running}}' arc", "true")?;
        say("\n== A bad image: the archive before it comes back");
        self.on_site("docker tag dcm4che/slapd-dcm4chee:2.6.6-32.0 dcm4che/dcm4chee-arc-psql:bad")?;
        let before = self.on_site("docker inspect -f '{{.Id}}' arc")?;
        self.play(
            "upgrade-5.32.yaml",
            &["-e", r#"{"images": {"ldap": "dcm4che/slapd-dcm4chee:2.6.6-32.0", "arc": "dcm4che/dcm4chee-arc-psql:bad", "db": {"15": "dcm4che/postgres-dcm4chee:15.6-32"}}}"#, "--start-at-task", "Stop the archive", "--skip-tags", "never"],
            2,
        )?;
        ensure!(
            self.on_site("docker inspect -f '{{.Id}}' arc")? == before,
            "the old archive is not the same container"
        );
        self.confirm(
            "docker inspect -f '{{.Config.Image}} {{.State.Running}}' arc",
            "5.32.0 true",
        )?;
        say("\n== A playbook with mistakes stops before any host is touched");
        let wrong = self.inventory.with_file_name("wrong.yaml");
        std::fs::write(
            &wrong,
            "- hosts: sites\n  tasks:\n    - win_service: {name: x}\n    - docker_container: {nmae: arc}\n    - debug: {msg: \"{{ nobody }}\"}\n",
        )?;
        let output = Command::new(&self.runbook)
            .arg("play")
            .arg(&wrong)
            .arg("-i")
            .arg(&self.inventory)
            .output()?;
        say(&String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.code() == Some(1),
            "exit code {:?}",
            output.status.code()
        );
        Ok(())
    }

    /// Runs a playbook; its finished tasks.
    fn play(&self, playbook: &str, more: &[&str], code: i32) -> Result<Vec<Line>> {
        say(&format!(
            "$ runbook play {playbook} -i {} {}",
            self.inventory.display(),
            more.join(" ")
        ));
        let state = self.inventory.with_file_name("runs");
        let output = Command::new(&self.runbook)
            .args(["play", playbook, "--output", "json", "-i"])
            .arg(&self.inventory)
            .args(more)
            .current_dir(root())
            .env("RUNBOOK_STATE", state)
            .output()
            .with_context(|| format!("{} could not be started", self.runbook.display()))?;
        let mut lines = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let event: Value = serde_json::from_str(line)?;
            if text(&event, "event") != "task-finished" {
                continue;
            }
            let (status, summary) = (text(&event, "status"), text(&event, "summary"));
            say(&format!("  {status:<12}{} {summary}", text(&event, "task")));
            if status == "failed" {
                say(&format!("    {}", text(&event, "message")));
            }
            lines.push((
                text(&event, "host"),
                text(&event, "task"),
                text(&event, "item"),
                status,
                text(&event, "diff"),
            ));
        }
        if output.status.code() != Some(code) {
            bail!(
                "exit code {:?}, not {code}: {}",
                output.status.code(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(lines)
    }

    fn on_site(&self, line: &str) -> Result<String> {
        let host = self
            .site
            .hosts
            .first()
            .map(|h| h.name.clone())
            .unwrap_or_default();
        Ok(self.site.exec(&host, line)?.stdout)
    }

    /// Prints an outside command with its answer, which has to hold a text.
    fn confirm(&self, line: &str, expected: &str) -> Result<()> {
        let answer = self.on_site(line)?;
        say(&format!("# {line}\n{}", answer.trim_end()));
        ensure!(
            answer.contains(expected),
            "`{line}` does not say `{expected}`"
        );
        Ok(())
    }
}
