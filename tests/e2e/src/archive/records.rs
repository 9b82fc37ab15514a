//! How long the records of one version take to a directory that has none of them, over a line of some length.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use runbook_lab::Lab;
use serde_json::Value;

use super::{Archive, Played};
use crate::Proxy;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Records {
    /// What the check would show of them, a line each.
    pub changes: usize,
    /// From the start of the task to its end, in seconds.
    pub task: f64,
    /// The whole call, with connecting and a prediction before it, in seconds.
    pub call: f64,
}

const PLAYBOOK: &str = r#"
- hosts: sites
  become: true
  module_defaults:
    ldap_update: {container: ldap, bind_dn: "cn=admin,{{ base_dn }}", password: "{{ ldap_password }}", files: {image: "real/slapd-dcm4chee:2.6.6-32.0"}}
  tasks:
    - name: Schema
      ldap_update: {schema: 5.32.0, bind_dn: "cn=admin,cn=config", password: "{{ ldap_config_password }}"}
    - name: Before
      ldap_update: {to: 5.31.1, names: {device: "{{ archive_device }}", aet: "{{ archive_aet }}"}}
    - name: Records
      ldap_update: {to: "{{ to }}", names: {device: "{{ archive_device }}", aet: "{{ archive_aet }}"}}
      register: records
    - name: All of them
      assert: {that: ["records.records == 322", "records.already == 0"]}
      when: to == "5.31.2"
"#;
const TASK: &str = "Records";

fn moment(event: &Value, name: &str) -> Result<Timestamp> {
    let at = event[name]
        .as_str()
        .with_context(|| format!("no `{name}` in {event}"))?;
    at.parse().with_context(|| at.to_owned())
}

fn event<'a>(run: &'a Played, what: &str, task: Option<&str>) -> Result<&'a Value> {
    let is_it = |e: &&Value| e["event"] == what && task.is_none_or(|task| e["task"] == task);
    let found = run.events.iter().find(is_it);
    found.with_context(|| format!("there is no {what}"))
}

impl Archive {
    /// The records of 5.31.2, to the real directory at 5.31.1. It has to be one of [`Self::becomes_real`], on one host.
    ///
    /// # Errors
    /// A call fails, or nothing is changed.
    pub fn takes_records(&self, lab: &Lab, round_trip: Duration) -> Result<Records> {
        let folder = tempfile::tempdir()?;
        let playbook = folder.path().join("records.yaml");
        fs::write(&playbook, PLAYBOOK)?;
        let playbook = playbook.display().to_string();
        self.runbook(&["play", &playbook, "-e", "to=5.31.1"], 0)?;

        let host = self.site.hosts.first().context("the site has no host")?;
        let proxy = Proxy::start(
            format!("{}:22", host.address).parse()?,
            round_trip / 2,
            Arc::new(|_| true),
            Arc::new(|_| true),
        )?;
        let known = fs::read_to_string(lab.known_hosts())?;
        let key = known
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{} ", host.address)))
            .context("the key of the host is not known")?;
        let port = proxy.port();
        fs::write(
            folder.path().join("known"),
            format!("[127.0.0.1]:{port} {key}\n"),
        )?;
        let inventory = fs::read_to_string(&self.inventory)?;
        let there = format!("ansible_host: {}", host.address);
        ensure!(
            inventory.matches(&there).count() == 1,
            "the inventory does not name {} once",
            host.address
        );
        let key_file = lab.key().display().to_string();
        let far = inventory
            .replace(
                &there,
                &format!("ansible_host: 127.0.0.1, ansible_port: {port}"),
            )
            .replace("known_hosts: ../known_hosts", "known_hosts: known")
            .replace("../id_ed25519", &key_file);
        let path = folder.path().join("far.yaml");
        fs::write(&path, far)?;
        let call = ["play", &playbook, "-e", "to=5.31.2", "-i"];
        let run = self.called(&[&call[..], &[&path.display().to_string()]].concat())?;
        ensure!(run.code == 0, "exit code {}: {}", run.code, run.said);
        let task = event(&run, "task-finished", Some(TASK))?;
        ensure!(task["status"] == "changed", "nothing is changed: {task}");
        ensure!(proxy.bytes() > 0, "nothing went over the line");
        let seconds = |from: Timestamp, until: Timestamp| until.duration_since(from).as_secs_f64();
        let (begin, end) = (
            event(&run, "run-started", None)?,
            event(&run, "run-finished", None)?,
        );
        Ok(Records {
            changes: task["changes"].as_array().map_or(0, Vec::len),
            task: seconds(moment(task, "start")?, moment(task, "end")?),
            call: seconds(moment(begin, "at")?, moment(end, "at")?),
        })
    }
}
