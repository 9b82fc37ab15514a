//! What a task costs that changes something, and what one that changes nothing: over SSH with sudo to ten hosts, the latter
//! counted by proxies in between.
//!
//! A round trip is a turn of the payload after the login, from the client's to the server's (see `Traffic`). That the
//! login is done is taken from sshd's own log, while the proxy holds back the server's answer.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::{Proxy, Scene, Side, at_rest, skip};
use runbook_lab::{Lab, Site};

const HOSTS: usize = 10;
/// How long a part is under way between program and host.
const DELAY: Duration = Duration::from_millis(150);
/// How long sshd's log is given to tell of a login before the answer to it is handed on.
const LOG: Duration = Duration::from_millis(80);

/// 30 tasks: 15 files, 10 commands, 5 edits of files. Commands say that they only read, and what.
fn playbook() -> String {
    let mut text = "- name: Nothing to do\n  hosts: all\n  become: true\n  tasks:\n".to_owned();
    for n in 1..=15 {
        text.push_str(&match n % 3 {
            0 => format!("    - file: {{path: /srv/e2e/d{n}, state: directory, mode: '0750'}}\n"),
            1 => format!("    - copy: {{dest: /srv/e2e/c{n}, content: \"{n} on {{{{ inventory_hostname }}}}\\n\", mode: '0600'}}\n"),
            _ => format!("    - template: {{src: t.j2, dest: /srv/e2e/t{n}, owner: ops}}\n"),
        });
    }
    for n in 1..=10 {
        text.push_str(&format!(
            "    - command: {{cmd: cat /proc/sys/kernel/hostname, reads_only: true}}\n      register: r{n}\n"
        ));
    }
    for n in 1..=5 {
        text.push_str(&format!(
            "    - lineinfile: {{path: /srv/e2e/lines, line: 'line {n}', create: true}}\n"
        ));
    }
    text.replacen(
        "  tasks:\n",
        "  tasks:\n    - file: {path: /srv/e2e, state: directory}\n      tags: first\n",
        1,
    )
}

/// sshd's log of a host, followed: from where logins have come.
struct Log {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn follow(container: &str) -> Result<Self> {
        let mut child = Command::new("docker")
            .args(["logs", "--follow", container])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let reader = BufReader::new(child.stderr.take().context("no log")?);
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let list = lines.clone();
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                list.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        Ok(Self { child, lines })
    }

    fn count(&self, what: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|l| l.contains(what)).count()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The number that the host's next process will have: within a container they are given in order.
fn next_process(site: &Site, host: &str) -> Result<u64> {
    let out = site.exec(host, "echo $$")?;
    Ok(out.stdout.trim().parse()?)
}

/// The process of this machine below which a host's processes are.
fn first_process(container: &str) -> Result<u32> {
    let format = "--format={{.State.Pid}}";
    let out = Command::new("docker")
        .args(["inspect", format, container])
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let pid = text.trim().parse();
    pid.with_context(|| format!("{container} has the process {text:?}"))
}

#[test]
fn thirty_tasks_that_change_nothing_cost_three_round_trips_on_each_of_ten_hosts() -> Result<()> {
    let test = "thirty tasks on ten hosts";
    let docker = Command::new("docker").arg("info").output();
    if !docker.is_ok_and(|o| o.status.success()) {
        skip(test, "Docker does not run here (cargo xtask lab up)");
        return Ok(());
    }
    let lab = Lab::up(false)?;
    let site = lab.plain_hosts("plain", HOSTS)?;
    let outcome = measure(&lab, &site);
    site.destroy()?;
    outcome
}

fn measure(lab: &Lab, site: &Site) -> Result<()> {
    let scene = Scene::new()?;
    scene.write("t.j2", "{{ ansible_hostname }} {{ inventory_hostname }}\n")?;
    scene.write("thirty.yaml", &playbook())?;
    let known = std::fs::read_to_string(lab.known_hosts())?;
    let mut inventory = format!(
        "[all:vars]\nansible_host=127.0.0.1\nansible_user=ops\nknown_hosts=known\n\
         ansible_ssh_private_key_file={}\n[hosts]\n",
        lab.key().display()
    );
    let mut own_known = String::new();
    let mut proxies = Vec::new();
    let mut logs = Vec::new();
    for host in &site.hosts {
        // So that sshd tells of each channel that it opens for a process.
        let verbose = "echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/e2e.conf && kill -HUP 1";
        let out = site.exec(&host.name, verbose)?;
        ensure!(out.status == Some(0), "{}", out.stderr);
        let log = Arc::new(Log::follow(&site.container(host))?);
        let asked = log.clone();
        let known_port = Mutex::new(HashSet::<u16>::new());
        let init = first_process(&site.container(host))?;
        let proxy = Proxy::start(
            format!("{}:22", host.address).parse()?,
            DELAY,
            Arc::new(move |from| {
                // The exchange of keys is over when sshd has heard of a user; asking later would only cost time.
                std::thread::sleep(LOG);
                let accepted = format!(" port {} ssh2", from.port());
                let lines = asked.lines.lock().unwrap_or_else(PoisonError::into_inner);
                let yes = lines
                    .iter()
                    .any(|l| l.contains("Accepted publickey") && l.contains(&accepted));
                yes && known_port
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(from.port())
            }),
            Arc::new(move |side| match side {
                // The program is one of the processes that this one has started.
                Side::Client => at_rest(std::process::id(), false),
                Side::Server => at_rest(init, true),
            }),
        )?;
        inventory.push_str(&format!("{} ansible_port={}\n", host.name, proxy.port()));
        let key = known
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{} ", host.address)))
            .with_context(|| format!("no key of {} is known", host.name))?;
        own_known.push_str(&format!("[127.0.0.1]:{} {key}\n", proxy.port()));
        proxies.push(proxy);
        logs.push(log);
    }
    scene.write("known", &own_known)?;
    scene.write("hosts.ini", &inventory)?;

    let first = scene.runbook(&["play", "thirty.yaml", "-i", "hosts.ini", "--output", "json"])?;
    ensure!(first.code == 0, "{}", first.text());
    let events = first.events()?;
    let end = events.iter().find(|e| e["event"] == "run-finished");
    let end = end.context("the run has no end")?;
    for host in &site.hosts {
        // A change is journalled on the host, written, and looked at: three. Over a line as slow as this one what was read
        // at first is too old by then, and is read again before. What else there is: the first reads, the lock.
        let number = |of: &serde_json::Value| of.as_u64().with_context(|| format!("{end:#}"));
        let changed = number(&end["hosts"][&host.name]["changed"])?;
        let told = number(&end["costs"][&host.name]["round_trips"])?;
        runbook_e2e::tell(&format!(
            "{}: {changed} changes, {told} round trips",
            host.name
        ));
        assert!(changed >= 20, "{}: {end:#}", host.name);
        assert!(
            told <= 5 * changed + 12,
            "{}: {told} round trips",
            host.name
        );
    }

    let before: Vec<_> = proxies.iter().map(Proxy::traffic).collect();
    let channels: Vec<_> = logs.iter().map(|l| l.count("Starting session:")).collect();
    let processes: Vec<_> = site
        .hosts
        .iter()
        .map(|h| next_process(site, &h.name))
        .collect::<Result<_>>()?;
    let second = scene.runbook(&[
        "play",
        "thirty.yaml",
        "-i",
        "hosts.ini",
        "--skip-tags",
        "first",
        "--output",
        "json",
        "--detailed-exitcode",
    ])?;
    ensure!(second.code == 0, "{}: {}", second.code, second.text());
    let costs = second
        .events()?
        .into_iter()
        .find(|e| e["event"] == "run-finished")
        .context("the run has no end")?;
    for (index, host) in site.hosts.iter().enumerate() {
        let name = &host.name;
        let (then, now) = (before[index], proxies[index].traffic());
        let tasks = second.tasks(name)?;
        assert_eq!(tasks.len(), 30, "{name}: {tasks:#?}");
        for task in &tasks {
            assert_eq!(task["status"], "ok", "{name}: {task:#}");
        }
        assert_eq!(now.connections - then.connections, 1, "{name}: connections");
        assert_eq!(now.logins - then.logins, 1, "{name}: logins");
        let counted = now.after_login - then.after_login;
        let told = costs["costs"][name]["round_trips"]
            .as_u64()
            .with_context(|| format!("{name}: no cost in {costs:#}"))?;
        let opened = logs[index].count("Starting session:") - channels[index];
        let started = next_process(site, name)? - processes[index];
        runbook_e2e::tell(&format!(
            "{name}: {counted} round trips after the login ({told} told, {} before it), {} bytes sent, {} received, \
             {opened} channels, {started} processes",
            now.before_login - then.before_login,
            now.sent - then.sent,
            now.received - then.received,
        ));
        assert!(counted >= 1, "{name}: the proxy has seen nothing");
        assert!(counted <= 3, "{name}: {counted} round trips");
        assert!(
            told >= counted,
            "{name}: it tells of {told} round trips, and there were {counted}"
        );
        assert!(opened <= 2, "{name}: {opened} channels for 30 tasks");
    }
    Ok(())
}

/// Here no line makes it old what was read at first. A change is journalled, written, and looked at with all that its task
/// wants to see of it: so much more does one change more cost.
#[test]
fn one_change_more_costs_three_round_trips() -> Result<()> {
    let scene = Scene::new()?;
    let root = scene.path("t").display().to_string();
    scene.write(
        "play.yaml",
        &format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - file: {{path: {root}, state: directory}}\n    \
             - copy: {{dest: \"{root}/{{{{ of }}}}-{{{{ item }}}}\", content: \"{{{{ item }}}}\\n\"}}\n      \
             loop: \"{{{{ range(of | int) | list }}}}\"\n"
        ),
    )?;
    let cost = |of: &str| -> Result<u64> {
        let call = ["play", "play.yaml", "-i", "localhost,", "--output", "json"];
        let run = scene.runbook(&[&call[..], &["-e", &format!("of={of}")]].concat())?;
        ensure!(run.code == 0, "{}", run.text());
        let events = run.events()?;
        let end = events.iter().find(|e| e["event"] == "run-finished");
        let told = end.and_then(|e| e["costs"]["localhost"]["round_trips"].as_u64());
        told.context("the run has no cost")
    };
    // The folder is made by the first of all.
    cost("1")?;
    let (few, many) = (cost("5")?, cost("15")?);
    runbook_e2e::tell(&format!("5 changes, {few} round trips; 15, {many}"));
    assert!(
        few > 0 && many <= few + 3 * 10,
        "5 cost {few}, 15 cost {many}"
    );
    Ok(())
}
