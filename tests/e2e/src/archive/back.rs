//! The way back of the upgrade: `runbook rollback`, with people at work in between.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::damage::{self, Value};
use super::{Archive, Played, Settings, VERSION};

const NOTE: &str = "/var/local/dcm4chee-arc/UPGRADE.txt";
const STUDIES: &str = "docker exec db psql -U pacs -d pacsdb -tAc 'select count(*) from study'";

/// A site as other programs see it, without times and without what a start gives anew.
#[derive(Debug)]
pub struct Before {
    by_hand: Settings,
    /// Id and image of each container.
    containers: Vec<String>,
    entries: BTreeMap<String, BTreeSet<String>>,
    /// Hashes of the archive's configuration.
    configuration: String,
    studies: String,
}

impl Before {
    /// The containers and the archive's configuration are the same.
    fn still_has(&self, now: &Self) -> Result<()> {
        ensure!(
            now.containers == self.containers,
            "the containers are others: {:?}, before {:?}",
            now.containers,
            self.containers
        );
        ensure!(
            now.by_hand == self.by_hand,
            "what was given by hand is not the same: {now:?}"
        );
        ensure!(
            now.configuration == self.configuration,
            "the configuration is not the one before:\n{}\nbut\n{}",
            self.configuration,
            now.configuration
        );
        Ok(())
    }

    /// The site is as it was then.
    ///
    /// # Errors
    /// What is not.
    pub fn is_again(&self, archive: &Archive) -> Result<()> {
        let now = archive.as_it_is()?;
        self.still_has(&now)?;
        let differs: Vec<&String> = self
            .entries
            .keys()
            .chain(now.entries.keys())
            .filter(|dn| self.entries.get(*dn) != now.entries.get(*dn))
            .collect();
        ensure!(
            differs.is_empty(),
            "these entries are not as before: {differs:#?}"
        );
        ensure!(
            self.studies == now.studies,
            "there are {} studies",
            now.studies
        );
        Ok(())
    }
}

impl Archive {
    /// How the site is now.
    ///
    /// # Errors
    /// A program fails.
    pub fn as_it_is(&self) -> Result<Before> {
        let containers = ["ldap", "db", "arc"].iter().map(|name| {
            self.on(
                name,
                &format!(
                    "docker inspect -f '{{{{.Id}}}} {{{{.Image}}}} {{{{.State.Running}}}}' {name}"
                ),
            )
        });
        Ok(Before {
            by_hand: Settings::of(self)?,
            containers: containers.collect::<Result<_>>()?,
            entries: damage::lasting(&damage::directory(self)?),
            configuration: self.on(
                "arc",
                "cd /var/local/dcm4chee-arc/wildfly && find . -path ./log -prune -o -type f -print0 | sort -z | xargs -0 sha256sum",
            )?,
            studies: self.on("db", STUDIES)?,
        })
    }

    /// The upgrade is taken back while people have worked on: what they did stays and is named, all else is as before,
    /// and the old archive runs on the new schema.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn goes_back(&self, before: &Before, run: &Played, value: &Value) -> Result<()> {
        let id = run.run_id().unwrap_or_default();
        // A modality stores a study, somebody corrects an entry and the note.
        self.stores_a_study("1.2.3.4.5")?;
        self.add_value(&Value {
            value: "00189999".to_owned(),
            ..value.clone()
        })?;
        self.say(&format!("# echo scribble >> {NOTE}"));
        self.on("arc", &format!("echo scribble >> {NOTE}"))?;
        let (note, theirs) = (
            self.on("arc", &format!("cat {NOTE}"))?,
            damage::lasting(&damage::directory(self)?),
        );

        let check = self.rollback(&id, &["--check", "--diff"])?;
        ensure!(
            damage::lasting(&damage::directory(self)?) == theirs,
            "the check of the rollback has changed the directory"
        );
        let back = self.rollback(&id, &[])?;
        super::equal(&check, &back)?;
        self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;

        let now = self.as_it_is()?;
        before.still_has(&now)?;
        let mut expected = before.entries.clone();
        if let Some(lines) = theirs.get(&value.dn) {
            expected.insert(value.dn.clone(), lines.clone());
        }
        let differs: Vec<&String> = expected
            .keys()
            .chain(now.entries.keys())
            .filter(|dn| expected.get(*dn) != now.entries.get(*dn))
            .collect();
        ensure!(
            differs.is_empty(),
            "these entries are not as before: {differs:#?}"
        );
        self.say(&format!(
            "# slapcat: {} entries as before, {} as somebody left it",
            expected.len() - 1,
            value.dn
        ));
        ensure!(
            self.on("arc", &format!("cat {NOTE}"))? == note,
            "the note is not as it was left"
        );
        let (had, has): (u32, u32) = (before.studies.trim().parse()?, now.studies.trim().parse()?);
        ensure!(has == had + 1, "{had} studies before, {has} now");
        let notes = back.notes();
        for named in [NOTE, "others have changed it since"] {
            ensure!(
                notes.iter().any(|n| n.contains(named)),
                "nothing is said of {named}: {notes:#?}"
            );
        }
        let entry = value
            .dn
            .split(',')
            .next()
            .unwrap_or_default()
            .to_lowercase();
        ensure!(
            notes
                .iter()
                .any(|n| n.contains("left:") && n.to_lowercase().contains(&entry)),
            "nothing is said of {}: {notes:#?}",
            value.dn
        );
        ensure!(
            notes
                .iter()
                .any(|n| n.contains("pg-schema") && n.contains("stays:")),
            "nothing is said of the schema: {notes:#?}"
        );
        // And forward again.
        let again = self.play(super::story::UPGRADE, &[], 0)?;
        ensure!(
            !again.named("changed").contains("Database, part 1"),
            "part 1 was done twice"
        );
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
    }
}
