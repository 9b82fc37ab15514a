//! The upgrade, step by step: each step does one thing and looks whether it is so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::damage::{self, Value};
use super::{Archive, Likeness, Played, Settings, Snapshot, VERSION, equal, names};

/// The upgrade.
pub const UPGRADE: &str = "upgrade-5.32.yaml";
/// Part 3 of the database, old images.
pub(super) const FINISH: &str = "finish-5.32.yaml";
/// The archive before it.
const FALLBACK: &str = "fallback-5.31.yaml";

const RUNNING: &str = "docker inspect -f '{{.Config.Image}} {{.State.Running}}'";
/// What goes before every change of directory, database and archive.
const BEFORE: [&str; 5] = [
    "Folder of this run's backups",
    "Directory to a file",
    "Archive's configuration to a file",
    "Database to a file",
    "Stop the archive",
];
const DATA: &str = "Data, every version in between";
const NOTE: &str = "What runs here, and the ways on";
const NEW_ARCHIVE: &str = "New archive";
/// In no line.
const NOTHING: &str = "\0";

/// What was there when the upgrade was done.
pub struct Done {
    /// A value that the upgrade has added to the directory.
    pub value: Value,
    started: Vec<String>,
    backups: String,
    /// Tasks that are not for this site, or for the version that it comes from.
    skipped: BTreeSet<String>,
}

impl Archive {
    /// The check says that there is something to do, and nothing at all is changed by it.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn check_changes_nothing(&self) -> Result<Played> {
        let before = Snapshot::of(self.site())?;
        let check = self.play(UPGRADE, &["--check", "--diff"], 0)?;
        let after = Snapshot::of(self.site())?;
        let differs = before.differences(&after);
        ensure!(
            differs.is_empty(),
            "the check has changed:\n{}",
            differs.join("\n")
        );
        self.say(&format!(
            "# before and after the check, as other programs see it: the same lines of {:?}",
            after.size()
        ));
        for status in ["failed", "unknown", "conditional"] {
            let found = check.named(status);
            ensure!(found.is_empty(), "{status} in the check: {found:?}");
        }
        ensure!(
            check.named("changed").contains(NEW_ARCHIVE),
            "the check does not find the old archive"
        );
        Ok(check)
    }

    /// The run does what the check has said, and containers keep what was given to them by hand.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn run_does_what_the_check_said(&self, check: &Played) -> Result<(Played, Done)> {
        self.does_what_the_check_said(check, &|| self.play(UPGRADE, &[], 0))
    }

    /// The same of a plan that was made a day before.
    ///
    /// # Errors
    /// Where that is not so, or where the plan is refused.
    pub fn plan_does_what_the_check_said(&self, check: &Played) -> Result<Done> {
        let plan = self.plans()?;
        self.refuses_drift(&plan)?;
        self.works_for_a_day()?;
        let (run, done) = self.does_what_the_check_said(check, &|| self.applies(&plan))?;
        self.keeps_what_the_day_brought(&run)?;
        Ok(done)
    }

    fn does_what_the_check_said(
        &self,
        check: &Played,
        run: &dyn Fn() -> Result<Played>,
    ) -> Result<(Played, Done)> {
        let (by_hand, data) = (Settings::of(self)?, damage::directory(self)?);
        for (container, what, value) in [
            ("ldap", "variables", "SITE_CONTACT="),
            ("db", "ports", "15432"),
            ("db", "memory", "1073741824"),
            ("db", "restart policy", "always"),
            ("arc", "hosts", "modality-ct1:"),
        ] {
            ensure!(
                by_hand.has(container, what, value),
                "{container} has no {value} among its {what}: there is nothing to be kept"
            );
        }
        self.log_every_statement()?;
        let since = self.seconds()?;
        let studies = self.studies()?;
        let run = run()?;
        let count = equal(check, &run)?;
        self.say(&format!(
            "check and run are equal in host, task, status and diff of {count} tasks"
        ));
        // Where the same looks find nothing after the second run, that says something only because they do here.
        for (server, writes) in self.writes(&since)? {
            let (count, first) = (writes.len(), writes.first());
            let first = first.with_context(|| format!("{server}: nothing of this run is seen"))?;
            self.say(&format!(
                "# the log of {server}: {count} writes, the first: {first}"
            ));
        }
        let lost = by_hand.lost_in(&Settings::of(self)?);
        ensure!(lost.is_empty(), "lost in the upgrade: {lost:#?}");
        self.say("# variables, ports, memory, restart policy and hosts given by hand are all still there");
        self.is_upgraded(studies)?;
        let value = damage::added(&data, &damage::directory(self)?)?;
        let done = Done {
            value,
            started: self.started()?,
            backups: self.backups()?,
            skipped: run.named("skipped"),
        };
        ensure!(
            done.backups.contains("pacsdb.dump") && done.backups.contains("data.ldif"),
            "there is no backup:\n{}",
            done.backups
        );
        Ok((run, done))
    }

    /// Directory, database and archive are new, as other programs see it.
    fn is_upgraded(&self, studies: u32) -> Result<()> {
        let image = |name: &str| format!("{RUNNING} {name}");
        self.confirm(
            "ldap",
            &image("ldap"),
            "dcm4che/slapd-dcm4chee:2.6.6-32.0 true",
        )?;
        self.confirm("db", &image("db"), "dcm4che/postgres-dcm4chee:15.6-32 true")?;
        self.confirm(
            "arc",
            &image("arc"),
            "dcm4che/dcm4chee-arc-psql:5.32.0 true",
        )?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
        self.confirm(
            "db",
            "docker exec db psql -U pacs -d pacsdb -tAc 'select count(*) filter (where study_deleting is null), count(*) from study'",
            &format!("0|{studies}"),
        )?;
        self.confirm(
            "ldap",
            "docker exec ldap sh -c 'ldapsearch -x -LLL -D \"cn=admin,$LDAP_BASE_DN\" -w \"$LDAP_ROOTPASS\" -s base -b \"cn=runbook,$LDAP_BASE_DN\" 1.1 | grep -c ^dn:'",
            "1",
        )
    }

    /// The second of each part's host.
    fn seconds(&self) -> Result<BTreeMap<&'static str, String>> {
        let parts = ["ldap", "db", "arc"].into_iter();
        parts.map(|part| Ok((part, self.second(part)?))).collect()
    }

    /// What Docker on each host, slapd and PostgreSQL have written down since then of what changes something.
    fn writes(
        &self,
        since: &BTreeMap<&'static str, String>,
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let mut all = BTreeMap::new();
        for (part, second) in since {
            let docker = format!("Docker on {}", self.host_of(part)?);
            all.insert(docker, self.container_events(part, second)?);
            let (server, lines) = match *part {
                "ldap" => ("slapd", self.directory_writes(second)?),
                "db" => ("PostgreSQL", self.database_writes(second)?),
                _ => continue,
            };
            let texts = lines.into_iter().map(|l| l.text).collect();
            all.insert(server.to_owned(), texts);
        }
        Ok(all)
    }

    /// When each container was started.
    fn started(&self) -> Result<Vec<String>> {
        ["ldap", "db", "arc"]
            .iter()
            .map(|name| {
                let script =
                    format!("docker inspect -f '{{{{.Id}}}} {{{{.State.StartedAt}}}}' {name}");
                self.on(name, &script)
            })
            .collect()
    }

    /// The hashes of all backups.
    fn backups(&self) -> Result<String> {
        let script =
            "find /var/backups/dcm4chee -type f -exec sha256sum {} + 2>/dev/null | sort || true";
        let mut hashes = self.on("ldap", script)?;
        hashes.push_str(&self.on("db", script)?);
        hashes.push_str(&self.on("arc", script)?);
        Ok(hashes)
    }

    /// A second run finds everything done, by looking and not by a version; nothing is restarted, saved or written.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn second_run_is_quiet(&self, done: &Done) -> Result<()> {
        // The servers' own logs are read from here on; they count in seconds.
        self.on("arc", "sleep 1.1")?;
        let since = self.seconds()?;
        let second = self.play(UPGRADE, &[], 0)?;
        for finished in second.finished() {
            let before = BEFORE.contains(&finished.task.as_str());
            let skipped = before || done.skipped.contains(&finished.task);
            let expected = if skipped { "skipped" } else { "ok" };
            ensure!(finished.status == expected, "{finished:?}");
        }
        ensure!(
            self.started()? == done.started,
            "a container was restarted: {:?}",
            done.started
        );
        ensure!(
            self.backups()? == done.backups,
            "the first run's backups are not the same"
        );
        for (server, writes) in self.writes(&since)? {
            ensure!(writes.is_empty(), "the log of {server}: {writes:#?}");
        }
        self.say("# the logs of slapd, PostgreSQL and Docker show no write; StartedAt and backups are the same");
        Ok(())
    }

    /// A value of the directory deleted, a file and a variable of a container changed with other programs: the check
    /// names exactly these, and the run mends exactly these.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn damages_are_mended(&self, done: &Done) -> Result<()> {
        let note = "/var/local/dcm4chee-arc/UPGRADE.txt";
        let before = Likeness::of(self)?;
        self.delete_value(&done.value)?;
        self.say(&format!("# echo scribble >> {note}"));
        self.on("arc", &format!("echo scribble >> {note}"))?;
        self.change_variable("WILDFLY_WAIT_FOR", "ldap:389")?;
        let damaged = before.differences(&Likeness::of(self)?, NOTHING);
        let Value {
            attribute, value, ..
        } = &done.value;
        let (lost, dn) = (format!("{attribute}: {value}"), &done.value.dn);
        for what in [
            &format!("{dn}: - {lost}"),
            note,
            "WILDFLY_WAIT_FOR=ldap:389",
        ] {
            ensure!(
                damaged.iter().any(|d| d.contains(what)),
                "nothing is damaged at {what}: {damaged:#?}"
            );
        }

        let check = self.play(UPGRADE, &["--check", "--diff"], 0)?;
        let found = check.named("changed");
        let mut expected = names(&BEFORE);
        expected.extend(names(&[DATA, NOTE, NEW_ARCHIVE]));
        ensure!(
            found == expected,
            "the check names {found:?}, not {expected:?}"
        );
        for (task, lines) in [
            (DATA, names(&[&format!("+{lost}")])),
            (NOTE, names(&["-scribble"])),
            (
                NEW_ARCHIVE,
                names(&[
                    "-state: stopped",
                    "+state: running",
                    "-env: WILDFLY_WAIT_FOR=ldap:389",
                    "+env: WILDFLY_WAIT_FOR=ldap:389 db:5432",
                ]),
            ),
        ] {
            let diff = check.changed_lines(task);
            ensure!(
                diff == lines,
                "the diff of {task} has {diff:#?}, not {lines:#?}"
            );
        }
        let run = self.play(UPGRADE, &[], 0)?;
        equal(&check, &run)?;
        let after = Likeness::of(self)?;
        let id = run.run_id().context("a run without an id")?;
        let differs = before.differences(&after, &format!("/var/backups/dcm4chee/{id}"));
        ensure!(
            differs.is_empty(),
            "not as before the damage:\n{}",
            differs.join("\n")
        );
        self.keeps_what_it_says(&before, &after, &run)?;
        self.say("# docker inspect, slapcat and all files are as before the damage");
        let second = self.play(UPGRADE, &["--check"], 0)?;
        ensure!(
            second.named("changed").is_empty(),
            "still to be changed: {:?}",
            second.named("changed")
        );
        Ok(())
    }

    /// An image that does not work: the archive before it is back, the same container with the same configuration.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn bad_image_goes_back(&self) -> Result<()> {
        let bad = "dcm4che/dcm4chee-arc-psql:5.32.1";
        self.say(&format!(
            "# docker commit: {bad}, which writes into the archive's configuration and then gives up"
        ));
        let spoil = r#"ENTRYPOINT ["sh", "-c", "echo spoiled > /opt/wildfly/standalone/configuration/spoiled.xml; sleep 2; echo deployment failed >&2; exit 1"]"#;
        self.on(
            "arc",
            &format!(
                "set -e; id=$(docker create dcm4che/dcm4chee-arc-psql:5.32.0); docker commit --change '{spoil}' $id {bad}; docker rm $id"
            ),
        )?;
        let id = "docker inspect -f '{{.Id}}' arc";
        let (before, whole) = (self.on("arc", id)?, Likeness::of(self)?);
        let images = format!(
            r#"{{"images": {{"ldap": "dcm4che/slapd-dcm4chee:2.6.6-32.0", "arc": "{bad}", "db": {{"15": "dcm4che/postgres-dcm4chee:15.6-32"}}}}}}"#
        );
        let run = self.play(UPGRADE, &["-e", &images], 2)?;
        let failures = run.failures();
        let message = failures
            .get(NEW_ARCHIVE)
            .with_context(|| format!("what failed is {failures:?}"))?;
        for word in ["deployment failed", "is back"] {
            ensure!(message.contains(word), "nothing of `{word}` in: {message}");
        }
        let said = failures.get("Not upgraded").map_or("", String::as_str);
        ensure!(said.contains(NEW_ARCHIVE), "it ends with {failures:?}");
        self.confirm("arc", id, before.trim())?;
        self.confirm(
            "arc",
            &format!("{RUNNING} arc"),
            "dcm4che/dcm4chee-arc-psql:5.32.0 true",
        )?;
        let after = Likeness::of(self)?;
        let run_id = run.run_id().context("a run without an id")?;
        let differs = whole.differences(&after, &format!("/var/backups/dcm4chee/{run_id}"));
        ensure!(
            differs.is_empty(),
            "not as before the bad image:\n{}",
            differs.join("\n")
        );
        self.keeps_what_it_says(&whole, &after, &run)?;
        self.say("# docker inspect, slapcat and all files are as before the bad image");
        self.on(
            "arc",
            &format!("for n in $(seq 100); do {VERSION} && exit; sleep 0.2; done; exit 1"),
        )?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
    }

    /// The same for the archive that is to be upgraded: directory and database have become new, and the new archive does not
    /// start; or it runs and never answers. The old one runs, with its own configuration. The right image ends the upgrade.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn bad_image_leaves_the_old_archive(&self, also_silent: bool) -> Result<()> {
        let spoilt = "echo spoiled > /opt/wildfly/standalone/configuration/spoiled.xml";
        let mut ways = vec![(
            "5.32.7",
            "sleep 2; echo deployment failed >&2; exit 1",
            "deployment failed",
        )];
        if also_silent {
            ways.push((
                "5.32.8",
                "trap exit TERM; while :; do sleep 1; done",
                "did not become healthy",
            ));
        }
        let id = "docker inspect -f '{{.Id}}' arc";
        // Its configuration, but for what it logs.
        let tree = "cd /var/local/dcm4chee-arc/wildfly && find . -name log -prune -o -printf '%P %y %m %U:%G %l\n' | sort; find . -name \
                    log -prune -o -type f -print0 | sort -z | xargs -0r sha256sum";
        let (before, whole) = (self.on("arc", id)?, self.on("arc", tree)?);
        ensure!(
            whole.lines().count() > 10,
            "the archive mounts no configuration: {whole}"
        );
        for (tag, does, said) in ways {
            let bad = format!("dcm4che/dcm4chee-arc-psql:{tag}");
            self.on(
                "arc",
                &format!(
                    r#"set -e; id=$(docker create dcm4che/dcm4chee-arc-psql:5.32.0); docker commit --change 'ENTRYPOINT ["sh", "-c", "{spoilt}; {does}"]' $id {bad}; docker rm $id"#
                ),
            )?;
            let images = format!(
                r#"{{"images": {{"ldap": "dcm4che/slapd-dcm4chee:2.6.6-32.0", "arc": "{bad}", "db": {{"15": "dcm4che/postgres-dcm4chee:15.6-32"}}}}}}"#
            );
            let run = self.play(UPGRADE, &["-e", &images], 2)?;
            let failures = run.failures();
            let message = failures.get(NEW_ARCHIVE).map_or("", String::as_str);
            for word in [said, "is back"] {
                ensure!(
                    message.contains(word),
                    "nothing of `{word}` in what failed: {failures:?}"
                );
            }
            let report = failures.get("Not upgraded").map_or("", String::as_str);
            ensure!(
                report.contains("the archive before it runs again"),
                "the report does not say that the old archive runs: {report}"
            );
            self.confirm("arc", id, before.trim())?;
            self.confirm(
                "arc",
                &format!("{RUNNING} arc"),
                "dcm4che/dcm4chee-arc-psql:5.31.2 true",
            )?;
            let now = self.on("arc", tree)?;
            ensure!(
                now == whole,
                "its configuration is not as before:\n{whole}\n{now}"
            );
            let answers =
                format!("for n in $(seq 100); do {VERSION} && exit; sleep 0.2; done; exit 1");
            self.on("arc", &answers)?;
            self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;
        }
        self.say("# the old archive runs, the same container with the same configuration");
        self.play(UPGRADE, &[], 0)?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
    }

    /// A playbook with mistakes stops before any host is touched.
    ///
    /// # Errors
    /// Where it does not.
    pub fn mistakes_stop_at_once(&self) -> Result<()> {
        let wrong = self.inventory.with_file_name("wrong.yaml");
        fs::write(
            &wrong,
            "- hosts: sites\n  tasks:\n    - win_service: {name: x}\n    - docker_container: {nmae: arc}\n    - debug: {msg: \"{{ nobody }}\"}\n",
        )?;
        let path = wrong.to_string_lossy().into_owned();
        let played = self.play(&path, &[], 1)?;
        self.say(&played.said);
        ensure!(played.finished().is_empty(), "tasks were begun");
        for place in ["3:7", "4:26", "5:24"] {
            ensure!(
                played.said.contains(&format!("wrong.yaml:{place}")),
                "nothing is said of {place}:\n{}",
                played.said
            );
        }
        Ok(fs::remove_file(wrong)?)
    }

    /// Directory and database go side by side, as Docker, slapd and PostgreSQL have written it down: each of the new
    /// servers was started before the other branch had written its last. One after the other, a branch's server starts
    /// when the other's last word is written. (What is written to both after their starts takes half a second here: too
    /// short to demand that single operations alternate.)
    ///
    /// # Errors
    /// They do not.
    pub fn branches_overlap(&self) -> Result<()> {
        let mut branches = Vec::new();
        for part in ["ldap", "db"] {
            let start = self.started_at(part)?;
            // The logs of the new servers, from their first line on.
            let writes = match part {
                "ldap" => self.directory_writes("0")?,
                _ => self.database_writes("0")?,
            };
            let last = writes
                .last()
                .with_context(|| format!("nothing was written to {part}"))?;
            self.say(&format!(
                "# {part}: started at {start}, {} writes, the last at {}",
                writes.len(),
                last.at
            ));
            branches.push((start, last.at.clone()));
        }
        let start = branches.iter().map(|(start, _)| start).max();
        let end = branches.iter().map(|(_, end)| end).min();
        ensure!(start < end, "one went after the other: {branches:#?}");
        Ok(())
    }

    /// What a run has kept aside is as much as it says, and nothing else of the kind is left behind.
    fn keeps_what_it_says(&self, before: &Likeness, after: &Likeness, run: &Played) -> Result<()> {
        let kept = before.newly_kept(after)?;
        ensure!(
            run.kept() == Some(kept.len() as u64),
            "the run says that it keeps {:?}, and there is {kept:#?}",
            run.kept()
        );
        self.say(&format!("# kept aside: {kept:?}"));
        Ok(())
    }

    /// The archive before the upgrade, on the new directory and database, and forward again; with `all`, the way back itself taken
    /// back in between.
    ///
    /// # Errors
    /// Where that does not work.
    pub fn falls_back_and_forward(&self, all: bool) -> Result<()> {
        let check = self.play(FALLBACK, &["--check"], 0)?;
        let run = self.play(FALLBACK, &[], 0)?;
        equal(&check, &run)?;
        self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;
        let second = self.play(FALLBACK, &[], 0)?;
        ensure!(
            second.named("changed").is_empty(),
            "the second fallback changes {:?}",
            second.named("changed")
        );
        if all {
            self.rollback(&run.run_id().context("the run has no id")?, &[])?;
            self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
            self.play(FALLBACK, &[], 0)?;
            self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;
        }
        let check = self.play(UPGRADE, &["--check"], 0)?;
        let run = self.play(UPGRADE, &[], 0)?;
        equal(&check, &run)?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
    }

    /// The image of the archive before goes when that is asked for, and only then.
    fn old_images_go(&self) -> Result<()> {
        let there = "docker images -q dcm4che/dcm4chee-arc-psql:5.31.2 | wc -l";
        self.confirm("arc", there, "1")?;
        for expected in [names(&["Old images"]), names(&[])] {
            let run = self.play(FINISH, &["--tags", "images"], 0)?;
            let changed = run.named("changed");
            ensure!(changed == expected, "it changed {changed:?}");
            self.confirm("arc", there, "0")?;
        }
        Ok(())
    }

    /// Part 3 of the database: done once, nothing to do the second time, and no way back offered any more.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn finishes(&self) -> Result<()> {
        let columns = "docker exec db psql -U pacs -d pacsdb -tAc \"select count(*) from information_schema.columns where column_name in ('ext_retrieve_aet', 'study_deleting') and is_nullable = 'NO'\"";
        self.confirm("db", columns, "0")?;
        let check = self.play(FINISH, &["--check", "--diff"], 0)?;
        self.confirm("db", columns, "0")?;
        let run = self.play(FINISH, &[], 0)?;
        equal(&check, &run)?;
        ensure!(
            run.named("changed") == names(&["Database, part 3"]),
            "it changed {:?}",
            run.named("changed")
        );
        self.confirm("db", columns, "3")?;
        let second = self.play(FINISH, &[], 0)?;
        ensure!(
            second.named("changed").is_empty(),
            "the second finish changes {:?}",
            second.named("changed")
        );
        let upgrade = self.play(UPGRADE, &["--check"], 0)?;
        ensure!(
            upgrade.named("changed").is_empty(),
            "the upgrade would change {:?}",
            upgrade.named("changed")
        );
        let back = self.play(FALLBACK, &[], 2)?;
        ensure!(
            back.named("changed").is_empty(),
            "the fallback has changed {:?} before it refused",
            back.named("changed")
        );
        self.old_images_go()?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
    }
}
