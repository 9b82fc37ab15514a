//! A plan is approved by day and applied by night: in between the archive works on.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::damage;
use super::story::UPGRADE;
use super::{Archive, Played};

/// In the directory, below what is exported.
const NIGHT_SHIFT: &str = "uid=nightshift,ou=users";
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
            "for n in $(seq 100); do docker exec db psql -h 127.0.0.1 -U pacs -d pacsdb -qc 'select 1' >/dev/null 2>&1 && exit; sleep 0.2; done; exit 1",
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
            "exit code {}: {}\n{}",
            played.code,
            played.said,
            played.lines().join("\n")
        );
        Ok(fs::remove_file(plan).map(|()| played)?)
    }
}
