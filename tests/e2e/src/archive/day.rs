//! A plan is approved by day and applied by night: in between the archive works on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::damage;
use super::story::UPGRADE;
use super::{Archive, Likeness, Played};

/// In the directory, below what is exported.
const NIGHT_SHIFT: &str = "uid=nightshift,ou=users";
const NOTE: &str = "/var/local/dcm4chee-arc/UPGRADE.txt";
const STUDY: &str = "1.2.3.4.77";
/// Of the folder that goes into the backup of the archive container.
const LOG: &str = "/var/local/dcm4chee-arc/wildfly/log/server.log";

impl Archive {
    /// Writes the plan of the upgrade into a file.
    ///
    /// # Errors
    /// It cannot be planned.
    pub fn plans(&self) -> Result<PathBuf> {
        let file = self.state.path().join("upgrade.plan");
        self.runbook(&["plan", UPGRADE, "-o", &file.to_string_lossy()], 0)?;
        Ok(file)
    }

    /// What others change of what the plan rests on, in a container, the directory, the schema of the database and a file:
    /// each is named, and nothing is written.
    ///
    /// # Errors
    /// The plan is applied all the same, or something else is wrong with it.
    pub fn refuses_drift(&self, plan: &Path) -> Result<()> {
        let policy = self.on(
            "arc",
            "docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' arc",
        )?;
        let sql =
            |statement: &str| format!("docker exec db psql -q -U pacs -d pacsdb -c '{statement}'");
        let cases = [
            (
                "arc",
                "docker update --restart no arc >/dev/null".to_owned(),
                format!("docker update --restart {} arc >/dev/null", policy.trim()),
                "container:arc",
            ),
            (
                "db",
                sql("alter table study add column study_deleting boolean"),
                sql("alter table study drop column study_deleting"),
                "study_deleting",
            ),
            (
                "arc",
                format!("echo theirs > {NOTE}"),
                format!("rm {NOTE}"),
                NOTE,
            ),
        ];
        for (part, change, back, named) in &cases {
            self.say(&format!("# {change}"));
            self.on(part, change)?;
            self.refuses(plan, named)?;
            self.on(part, back)?;
        }
        let value = self.value_of_others("00189977")?;
        self.add_value(&value)?;
        self.refuses(plan, &value.value)?;
        self.delete_value(&value)
    }

    fn refuses(&self, plan: &Path, named: &str) -> Result<()> {
        let before = Likeness::of(self)?;
        let played = self.called(&["apply", &plan.to_string_lossy()])?;
        let drifts = played.drifts();
        ensure!(
            played.code == 5,
            "exit code {}, drifts: {drifts:?}",
            played.code
        );
        ensure!(
            drifts.iter().any(|drift| drift.contains(named)),
            "{named} is not named: {drifts:?}"
        );
        let differs = before.differences(&Likeness::of(self)?, "\0");
        ensure!(
            differs.is_empty(),
            "a refused plan has written: {differs:#?}"
        );
        Ok(())
    }

    /// What a day brings that no plan of an upgrade rests on: a study, an entry that is only exported, containers that
    /// were started anew, a longer log.
    ///
    /// # Errors
    /// A program on the hosts fails.
    pub fn works_for_a_day(&self) -> Result<()> {
        self.stores_a_study(STUDY)?;
        self.say(&format!("# ldapadd {NIGHT_SHIFT}"));
        self.on(
            "ldap",
            &format!(
                "docker exec -i ldap sh -c '(printf \"dn: {NIGHT_SHIFT},$LDAP_BASE_DN\\n\"; cat) | ldapadd -x -D \"cn=admin,$LDAP_BASE_DN\" -w \"$LDAP_ROOTPASS\"' <<'LDIF'\n\
                 objectClass: person\nobjectClass: uidObject\nuid: nightshift\ncn: Night\nsn: Shift\nLDIF"
            ),
        )?;
        self.on(
            "arc",
            &format!("mkdir -p $(dirname {LOG}); echo 'a study has come' >> {LOG}"),
        )?;
        for part in ["arc", "db", "ldap"] {
            self.say(&format!("# docker restart {part}"));
            self.on(part, &format!("docker restart {part} >/dev/null"))?;
        }
        self.on(
            "db",
            "for n in $(seq 100); do docker exec db pg_isready -q -h 127.0.0.1 && exit; sleep 0.2; done; exit 1",
        )?;
        self.on(
            "arc",
            "for n in $(seq 300); do curl -fso /dev/null http://localhost:8080/dcm4chee-arc/ui2 && exit; sleep 0.2; done; exit 1",
        )
        .map(drop)
    }

    /// What the day brought is still there.
    ///
    /// # Errors
    /// Something of it is gone.
    pub fn keeps_what_the_day_brought(&self, applied: &Played) -> Result<()> {
        self.confirm(
            "db",
            &format!("docker exec db psql -U pacs -d pacsdb -tAc \"select count(*) from study where study_iuid = '{STUDY}'\""),
            "1",
        )?;
        let there = |ldif: &str| ldif.contains(&format!("dn: {NIGHT_SHIFT},"));
        ensure!(
            there(&damage::directory(self)?),
            "the entry of the day is gone"
        );
        // The backup was made when the run had begun, not when it was planned.
        let run = applied.run_id().unwrap_or_default();
        let users = self.on(
            "ldap",
            &format!("cat /var/backups/dcm4chee/{run}/users.ldif"),
        )?;
        ensure!(
            there(&users),
            "the backup does not have the entry of the day"
        );
        Ok(())
    }

    /// The plan is applied; what came of it.
    ///
    /// # Errors
    /// It is refused, or fails.
    pub fn applies(&self, plan: &PathBuf) -> Result<Played> {
        let file = plan.to_string_lossy().into_owned();
        let played = self.called(&["apply", &file])?;
        ensure!(
            played.code == 0,
            "exit code {}: {} {:?}\n{}",
            played.code,
            played.said,
            played.drifts(),
            played.lines().join("\n")
        );
        Ok(fs::remove_file(plan).map(|()| played)?)
    }
}
