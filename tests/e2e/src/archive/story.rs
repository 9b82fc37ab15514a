//! The upgrade, step by step: each step does one thing and looks whether it is so.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::damage::{self, Value};
use super::{Archive, Played, Settings, Snapshot, equal, names};

/// The upgrade.
pub const UPGRADE: &str = "upgrade-5.32.yaml";
/// Part 3 of the database, old images.
const FINISH: &str = "finish-5.32.yaml";
/// The archive before it.
const FALLBACK: &str = "fallback-5.31.yaml";

const VERSION: &str = "curl -sf http://localhost:8080/dcm4chee-arc/version";
const RUNNING: &str = "docker inspect -f '{{.Config.Image}} {{.State.Running}}'";
/// What goes before every change of directory, database and archive.
const BEFORE: [&str; 4] = [
    "Folder of this run's backups",
    "Directory to a file",
    "Database to a file",
    "Stop the archive",
];
const DATA: &str = "Data, every version in between";
const NOTE: &str = "What runs here, and the ways on";
const NEW_ARCHIVE: &str = "New archive";

/// What was there when the upgrade was done.
pub struct Done {
    /// A value that the upgrade has added to the directory.
    pub value: Value,
    started: Vec<String>,
    backups: String,
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
        let run = self.play(UPGRADE, &[], 0)?;
        let count = equal(check, &run)?;
        self.say(&format!(
            "check and run are equal in host, task, status and diff of {count} tasks"
        ));
        let lost = by_hand.lost_in(&Settings::of(self)?);
        ensure!(lost.is_empty(), "lost in the upgrade: {lost:#?}");
        self.say("# variables, ports, memory, restart policy and hosts given by hand are all still there");
        self.is_upgraded()?;
        let value = damage::added(&data, &damage::directory(self)?)?;
        let done = Done {
            value,
            started: self.started()?,
            backups: self.backups()?,
        };
        ensure!(
            done.backups.contains("pacsdb.dump") && done.backups.contains("data.ldif"),
            "there is no backup:\n{}",
            done.backups
        );
        Ok((run, done))
    }

    /// Directory, database and archive are new, as other programs see it.
    fn is_upgraded(&self) -> Result<()> {
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
            "0|100",
        )?;
        self.confirm(
            "ldap",
            "docker exec ldap sh -c 'ldapsearch -x -LLL -D \"cn=admin,$LDAP_BASE_DN\" -w \"$LDAP_ROOTPASS\" -s base -b \"cn=runbook,$LDAP_BASE_DN\" 1.1 | grep -c ^dn:'",
            "1",
        )
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
        Ok(hashes)
    }

    /// A second run finds everything done, by looking and not by a version; nothing is restarted, saved or written.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn second_run_is_quiet(&self, done: &Done) -> Result<()> {
        self.on(
            "db",
            "docker exec db psql -q -U pacs -d pacsdb -c \"alter system set log_statement = 'mod'\" -c 'select pg_reload_conf()'",
        )?;
        // The servers' own logs are read from here on; they count in seconds.
        self.on("arc", "sleep 1.1")?;
        let since: Vec<(&str, String)> = ["ldap", "db", "arc"]
            .into_iter()
            .map(|part| Ok((part, self.on(part, "date +%s")?.trim().to_owned())))
            .collect::<Result<_>>()?;
        let second = self.play(UPGRADE, &[], 0)?;
        for finished in second.finished() {
            let before = BEFORE.contains(&finished.task.as_str());
            let expected = if before { "skipped" } else { "ok" };
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
        for (part, since) in &since {
            let script = format!(
                "docker events --since {since} --until $(($(date +%s) + 1)) --filter type=container --format '{{{{.Action}}}} {{{{.Actor.Attributes.name}}}}' | grep -E '^(start|stop|die|kill|restart|rename|update|pause) ' || true"
            );
            self.confirm(part, &script, "")?;
        }
        for (part, since) in since {
            match part {
                // What slapd writes down of operations that change something.
                "ldap" => self.confirm(
                    part,
                    &format!("docker logs --since {since} ldap 2>&1 | grep -E ' op=[0-9]+ (ADD|MOD|DEL|MODRDN) ' || true"),
                    "",
                )?,
                "db" => self.confirm(
                    part,
                    &format!("docker logs --since {since} db 2>&1 | grep -E 'LOG: +(statement|execute)' || true"),
                    "",
                )?,
                _ => {}
            }
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
        let hash = format!("sha256sum < {note}");
        let (text, data) = (self.on("arc", &hash)?, damage::directory(self)?);
        let variable = "docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' arc | grep ^WILDFLY_WAIT_FOR=";
        let variables = self.on("arc", variable)?;
        self.delete_value(&done.value)?;
        self.say(&format!("# echo scribble >> {note}"));
        self.on("arc", &format!("echo scribble >> {note}"))?;
        self.change_variable("WILDFLY_WAIT_FOR", "ldap:389")?;
        ensure!(damage::directory(self)? != data, "nothing was deleted");
        ensure!(
            self.on("arc", variable)? != variables,
            "no variable was changed"
        );

        let check = self.play(UPGRADE, &["--check", "--diff"], 0)?;
        let found = check.named("changed");
        let mut expected = names(&BEFORE);
        expected.extend(names(&[DATA, NOTE, NEW_ARCHIVE]));
        ensure!(
            found == expected,
            "the check names {found:?}, not {expected:?}"
        );
        for (task, word) in [
            (DATA, done.value.value.as_str()),
            (NOTE, "scribble"),
            (NEW_ARCHIVE, "WILDFLY_WAIT_FOR"),
        ] {
            let diff = check.diff_of(task);
            ensure!(
                diff.contains(word),
                "the diff of {task} has no {word}: {diff}"
            );
        }
        let run = self.play(UPGRADE, &[], 0)?;
        equal(&check, &run)?;
        self.confirm("arc", &hash, text.trim())?;
        self.confirm("arc", variable, variables.trim())?;
        let again = damage::added(&without(&data, &done.value), &damage::directory(self)?)?;
        ensure!(
            again.dn == done.value.dn && again.value == done.value.value,
            "{again:?} came back, not {:?}",
            done.value
        );
        self.say(&format!(
            "# slapcat: {} has {}: {} again",
            again.dn, again.attribute, again.value
        ));
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
        let files = "cd /var/local/dcm4chee-arc/wildfly && find configuration deployments -type f -exec sha256sum {} + | sort";
        let (before, configuration) = (self.on("arc", id)?, self.on("arc", files)?);
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
        ensure!(
            self.on("arc", files)? == configuration,
            "the configuration is not the one before:\n{configuration}"
        );
        self.say("# sha256sum: every file of the configuration is the one before");
        self.on(
            "arc",
            &format!("for n in $(seq 100); do {VERSION} && exit; sleep 0.2; done; exit 1"),
        )?;
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
        for place in ["3:7", "4:25", "4:26", "5:24"] {
            ensure!(
                played.said.contains(&format!("wrong.yaml:{place}")),
                "nothing is said of {place}:\n{}",
                played.said
            );
        }
        Ok(fs::remove_file(wrong)?)
    }

    /// Directory and database go side by side: their times overlap.
    ///
    /// # Errors
    /// They do not.
    pub fn branches_overlap(&self, run: &Played) -> Result<()> {
        let directory = run.spans(&["New directory server", "Schema", DATA])?;
        let database = run.spans(&["New database server", "Part 2"])?;
        for one in &directory {
            for other in &database {
                let (start, end) = (
                    one.start.as_str().max(&other.start),
                    one.end.as_str().min(&other.end),
                );
                if start < end {
                    self.say(&format!(
                        "`{}` and `{}` ran side by side from {start} to {end}",
                        one.task, other.task
                    ));
                    return Ok(());
                }
            }
        }
        anyhow::bail!("no task of {directory:?} overlaps one of {database:?}");
    }

    /// The archive before the upgrade, on the new directory and database, and forward again.
    ///
    /// # Errors
    /// Where that does not work.
    pub fn falls_back_and_forward(&self) -> Result<()> {
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
        let check = self.play(UPGRADE, &["--check"], 0)?;
        let run = self.play(UPGRADE, &[], 0)?;
        equal(&check, &run)?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
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
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
    }
}

/// LDIF without one value.
fn without(ldif: &str, value: &Value) -> String {
    let records = ldif.replace("\n ", "");
    let line = format!("{}: {}", value.attribute, value.value);
    let head = format!("dn: {}\n", value.dn);
    let kept: Vec<String> = records
        .split("\n\n")
        .map(|record| {
            if record.starts_with(&head) {
                let lines = record.lines().filter(|l| *l != line);
                lines.collect::<Vec<_>>().join("\n")
            } else {
                record.to_owned()
            }
        })
        .collect();
    kept.join("\n\n")
}
