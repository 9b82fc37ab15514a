//! The way back from behind the point of no return, by backups; and another major version of PostgreSQL.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::story::{FINISH, UPGRADE};
use super::{Archive, Played, VERSION, damage, equal};

const RESTORE: &str = "restore.yaml";
/// A file of the site's own in the archive's configuration.
const OWN: &str = "/var/local/dcm4chee-arc/wildfly/configuration/own.properties";
const MAJOR: &str = "postgres-major.yaml";
/// The whole database, as sorted lines, but for the ledger and what differs from one version of `pg_dump` to the other.
const WHOLE: &str = r"docker exec db pg_dump -U pacs -d pacsdb --inserts --exclude-schema=runbook | grep -v -e '^--' -e '^\\\(un\)\?restrict ' -e '^SET ' -e '^$' | LC_ALL=C sort";
/// The same for servers of different versions, whose `pg_dump` writes tables in other words: rows, columns, indexes, rules.
const ANY_VERSION: &str = r#"
docker exec db pg_dump -U pacs -d pacsdb --data-only --inserts --exclude-schema=runbook | grep -e '^INSERT' -e setval | LC_ALL=C sort
docker exec -i db psql -U pacs -d pacsdb -qtA <<'SQL' | LC_ALL=C sort
select table_name, column_name, data_type, is_nullable, column_default from information_schema.columns where table_schema = 'public';
select indexdef from pg_indexes where schemaname = 'public';
select conrelid::regclass, conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace;
SQL"#;
const SERVER: &str =
    "docker exec db psql -U pacs -d pacsdb -tAc 'show server_version_num' | cut -c1-2";

/// A second run of a playbook finds nothing to do.
fn is_quiet(second: &Played) -> Result<()> {
    let changed = second.named("changed");
    ensure!(changed.is_empty(), "a second run changes {changed:?}");
    Ok(())
}

impl Archive {
    fn studies_of(&self, database: &str) -> Result<String> {
        let ask =
            format!("docker exec db psql -U pacs -d {database} -tAc 'select count(*) from study'");
        Ok(self.on("db", &ask)?.trim().to_owned())
    }

    /// Upgraded, finished, worked on, and then restored from the upgrade's backups: directory and database are what they were
    /// before it, the archive of then runs, and what is lost was told. Taken back, today's archive runs on today's database.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn is_restored_behind_part_3(&self) -> Result<()> {
        let database = self.on("db", WHOLE)?;
        let directory = damage::lasting(&damage::directory(self)?);
        let studies: u32 = self.studies_of("pacsdb")?.parse()?;
        self.on("arc", &format!("echo then > {OWN}"))?;
        let upgrade = self.play(UPGRADE, &[], 0)?;
        let id = upgrade.run_id().context("the upgrade has no id")?;
        self.on("arc", &format!("echo now > {OWN}"))?;
        self.play(FINISH, &["-e", "consent=true"], 0)?;
        self.stores_a_study("1.2.3.4.6")?;
        ensure!(
            self.on("db", WHOLE)? != database,
            "there is nothing to be restored"
        );
        let today = damage::lasting(&damage::directory(self)?);
        ensure!(today != directory, "there is nothing to be restored");

        let of = ["-e", &format!("from={id}")];
        let check = self.play(RESTORE, &[&of[..], &["--check", "--diff"]].concat(), 0)?;
        let lost = format!("public.study {}, {studies} in the dump", studies + 1);
        ensure!(
            check.notes().iter().any(|note| note.contains(&lost)),
            "the check does not say `{lost}`: {:#?}",
            check.notes()
        );
        let unknown = check.named("unknown");
        ensure!(unknown.is_empty(), "unknown in the check: {unknown:?}");
        let run = self.play(RESTORE, &of, 0)?;
        equal(&check, &run)?;
        self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;
        self.confirm("arc", &format!("cat {OWN}"), "then")?;
        ensure!(self.on("db", WHOLE)? == database, "the database is another");
        let restored = damage::lasting(&damage::directory(self)?);
        ensure!(restored == directory, "the directory is another");
        is_quiet(&self.play(RESTORE, &of, 0)?)?;

        let id = run.run_id().context("the restore has no id")?;
        let kept = self.studies_of(&format!("pacsdb_until_{id}"))?;
        ensure!(kept == (studies + 1).to_string(), "{kept} studies are kept");
        self.rollback(&id, &[])?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
        self.confirm("arc", &format!("cat {OWN}"), "now")?;
        ensure!(
            self.studies_of("pacsdb")? == kept,
            "studies of today are gone"
        );
        let now = damage::lasting(&damage::directory(self)?);
        ensure!(now == today, "the directory is not that of today");
        self.refuses_backups()
    }

    /// Backups that are none, or not whole: nothing is stopped.
    fn refuses_backups(&self) -> Result<()> {
        let folder = "/var/backups/dcm4chee/damaged";
        self.on(
            "db",
            &format!("mkdir -p {folder} && echo no dump > {folder}/pacsdb.dump"),
        )?;
        self.on(
            "ldap",
            &format!("mkdir -p {folder} && echo > {folder}/data.ldif"),
        )?;
        for (from, why) in [("damaged", "no dump that"), ("nowhere", "")] {
            let refused = self.play(RESTORE, &["-e", &format!("from={from}")], 2)?;
            let said = format!("{:?}", refused.failures());
            ensure!(said.contains(why) && !said.is_empty(), "{said}");
            is_quiet(&refused)?;
        }
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
    }

    /// PostgreSQL 15 becomes 17, with all rows, beside the old directory; and back.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn gets_another_major_version(&self) -> Result<()> {
        self.confirm("db", SERVER, "15")?;
        let database = self.on("db", ANY_VERSION)?;
        let check = self.play(MAJOR, &["--check", "--diff"], 0)?;
        // What a new server holds, which an image makes, only the run can tell.
        let told: BTreeSet<String> = check.named("changed");
        ensure!(told.contains("New database server"), "{told:?}");
        self.confirm("db", SERVER, "15")?;
        let run = self.play(MAJOR, &[], 0)?;
        ensure!(told.is_subset(&run.named("changed")), "{told:?}");
        self.confirm("db", SERVER, "17")?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
        ensure!(
            self.on("db", ANY_VERSION)? == database,
            "the database is another"
        );
        is_quiet(&self.play(MAJOR, &[], 0)?)?;
        self.confirm("db", "cat /var/local/dcm4chee-arc/db/PG_VERSION", "15")?;

        self.rollback(&run.run_id().context("the run has no id")?, &[])?;
        self.confirm("db", SERVER, "15")?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
        ensure!(
            self.on("db", ANY_VERSION)? == database,
            "the database is another"
        );
        // What the try has left is not written over.
        let again = self.play(MAJOR, &[], 2)?;
        let why = format!("{:?}", again.failures());
        ensure!(why.contains("has to be empty"), "{why}");
        is_quiet(&again)
    }
}
