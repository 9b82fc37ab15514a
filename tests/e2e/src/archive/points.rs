//! The way back from every point of the upgrade: it is stopped after one of its tasks, people work on, and it is taken
//! back.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use runbook_lab::Lab;

use super::damage::{self, Value};
use super::likeness::Likeness;
use super::{Archive, Played, VERSION};

const NOTE: &str = "/var/local/dcm4chee-arc/UPGRADE.txt";
const STUDIES: &str = "docker exec db psql -U pacs -d pacsdb -tAc 'select count(*) from study'";
/// Without the ledger, which tells what was done to the schema, the way back too. Recent versions write a random word
/// into `\restrict`.
pub(super) const SCHEMA: &str = r"docker exec db pg_dump -U pacs -d pacsdb --schema-only --exclude-schema=runbook | grep -v '^\\\(un\)\?restrict '";
const STOP: &str = "Stop here";

/// The tasks of the upgrade that change something, in their order. Backups are made before the first of them, and stay.
pub const POINTS: [&str; 11] = [
    "name: Database, part 1, the old archive still running",
    "name: Stop the archive",
    "name: New directory server",
    "name: Schema",
    "name: Data, every version in between",
    "name: Permissions of the user interface",
    "name: Users who may manage users",
    "name: New database server",
    "name: Part 2",
    "name: New archive",
    "name: What runs here, and the ways on",
];

/// Modules of backups, which come before the first change and stay.
const BACKUPS: [&str; 3] = ["pg_dump", "ldap_export", "directory_dump"];

/// Every task that changes something in a whole upgrade is one of [`POINTS`].
fn all_are_points(run: &Played) -> Result<()> {
    let text =
        |event: &serde_json::Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let changes = run
        .events
        .iter()
        .filter(|e| e["event"] == "task-finished" && e["status"] == "changed");
    let names: BTreeSet<String> = changes
        .filter(|e| !BACKUPS.contains(&text(e, "module").as_str()))
        .map(|e| format!("name: {}", text(e, "task")))
        .collect();
    let others: Vec<&String> = names
        .iter()
        .filter(|n| !POINTS.contains(&n.as_str()))
        .collect();
    ensure!(
        others.is_empty(),
        "tasks that change something and are no point: {others:?}"
    );
    Ok(())
}

/// The playbook, or a file of its tasks, with a task behind one of its tasks that fails; as it is where it has none such.
fn stopped_after(playbook: &str, point: &str) -> String {
    let mut text = String::new();
    let mut indent = None;
    for line in playbook.lines() {
        let spaces = line.len() - line.trim_start().len();
        if let Some(of) = indent
            && spaces <= of
            && !line.trim().is_empty()
        {
            text.push_str(&format!(
                "{:of$}- name: {STOP}\n{:of$}  fail: {{msg: stopped}}\n\n",
                "", ""
            ));
            indent = None;
        }
        if line.trim_start() == format!("- {point}") {
            indent = Some(spaces);
        }
        text.push_str(line);
        text.push('\n');
    }
    if let Some(of) = indent {
        text.push_str(&format!(
            "{:of$}- name: {STOP}\n{:of$}  fail: {{msg: stopped}}\n",
            "", ""
        ));
    }
    text
}

/// The parts of the schema that a rollback has left and named.
pub(super) fn kept_parts(back: &Played) -> BTreeSet<String> {
    kept(back, "pg-schema:")
}

/// Of what a rollback has left and named, that whose name begins so.
pub(super) fn kept(back: &Played, begin: &str) -> BTreeSet<String> {
    back.notes()
        .iter()
        .filter(|note| note.contains("stays:"))
        .flat_map(|note| note.split([' ', ',']))
        .map(|word| word.trim_end_matches(':'))
        .filter(|word| word.starts_with(begin))
        .map(str::to_owned)
        .collect()
}

/// What people did between run and rollback.
struct Work {
    value: Value,
    entry: Option<BTreeSet<String>>,
    note: Option<String>,
}

impl Archive {
    /// The upgrade is stopped after each of these tasks in turn, and taken back while people work.
    ///
    /// # Errors
    /// Where something is not as it was before, but for what people did.
    pub fn goes_back_from(&self, points: &[&str]) -> Result<()> {
        for (number, point) in points.iter().enumerate() {
            self.goes_back_from_one(point, number)
                .with_context(|| format!("stopped after `{point}`"))?;
        }
        Ok(())
    }

    fn goes_back_from_one(&self, point: &str, number: usize) -> Result<()> {
        let before = Likeness::of(self)?;
        let (schema, studies) = (self.on("db", SCHEMA)?, self.studies()?);
        let run = self.stop_after(point)?;
        let id = run.run_id().context("the run has no id")?;
        ensure!(
            run.failures().contains_key(STOP),
            "it was not stopped: {:?}",
            run.failures()
        );
        if POINTS.last() == Some(&point) {
            all_are_points(&run)?;
        }
        let work = self.work(number)?;

        // The schema stays, and the old archive runs on it.
        let back = self.rollback(&id, &[])?;
        self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;
        self.is_as_before(&before, &work, &id)?;
        let now = self.studies()?;
        ensure!(now == studies + 1, "{studies} studies before, {now} now");
        self.names_what_stays(&run, &back, &work)?;

        // By name, the schema goes back, too.
        let keys = kept_parts(&back);
        let runs_part = run
            .named("changed")
            .iter()
            .any(|t| t.to_lowercase().contains("part "));
        ensure!(
            keys.is_empty() != runs_part,
            "parts of the schema: {keys:?}"
        );
        if !keys.is_empty() {
            let also: Vec<&str> = keys
                .iter()
                .flat_map(|key| ["--also", key.as_str()])
                .collect();
            self.rollback(&id, &also)?;
            self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;
            self.is_as_before(&before, &work, &id)?;
        }
        let now = self.on("db", SCHEMA)?;
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let differs: Vec<String> = lines(&schema)
            .symmetric_difference(&lines(&now))
            .cloned()
            .collect();
        ensure!(
            differs.is_empty() && schema == now,
            "the schema is not the one before: {differs:#?}"
        );
        ensure!(self.studies()? == studies + 1, "a study is gone");
        self.what_people_did_goes_too(&before, &work, &id, &back)?;
        self.say(&format!(
            "# taken back from `{point}`: all as before, but for what people did"
        ));
        Ok(())
    }

    /// Where it is named, what others have changed goes back, too; then nothing of the run is left but its backups.
    fn what_people_did_goes_too(
        &self,
        before: &Likeness,
        work: &Work,
        run: &str,
        back: &Played,
    ) -> Result<()> {
        let notes = back.notes();
        let keys: BTreeSet<&str> = notes
            .iter()
            .filter_map(|note| note.split("`--overwrite ").nth(1)?.split('`').next())
            .filter(|key| *key != "KEY")
            .collect();
        let entry = work.value.dn.to_lowercase();
        if !keys.iter().any(|key| key.to_lowercase().ends_with(&entry)) {
            // The run had nothing to do with it.
            self.delete_value(&work.value)?;
        }
        if !keys.is_empty() {
            let all: Vec<&str> = keys.iter().flat_map(|key| ["--overwrite", *key]).collect();
            let all = self.rollback(run, &all)?;
            ensure!(all.code == 0, "something was left: {:#?}", all.notes());
        }
        let differs = self.differences(before, run)?;
        ensure!(
            differs.is_empty(),
            "not as before, with `--overwrite`: {differs:#?}"
        );
        Ok(())
    }

    /// The upgrade until this task has ended, one of [`POINTS`]; then it fails.
    ///
    /// # Errors
    /// There is no such task, or the run ends otherwise.
    pub fn stop_after(&self, point: &str) -> Result<Played> {
        let project = Lab::project().join("playbooks");
        let folder = tempfile::tempdir()?;
        symlink(project.join("vars"), folder.path().join("vars"))?;
        let tasks = fs::read_dir(project.join("tasks"))?;
        let tasks = tasks.map(|file| Ok(Path::new("tasks").join(file?.file_name())));
        let mut files = tasks.collect::<Result<Vec<PathBuf>>>()?;
        files.push(super::story::UPGRADE.into());
        fs::create_dir(folder.path().join("tasks"))?;
        let mut stops = 0;
        for file in files {
            let text = stopped_after(&fs::read_to_string(project.join(&file))?, point);
            stops += text.matches(STOP).count();
            fs::write(folder.path().join(file), text)?;
        }
        ensure!(stops == 1, "there are {stops} tasks `{point}`");
        let path = folder.path().join(super::story::UPGRADE);
        self.play(&path.to_string_lossy(), &[], 2)
    }

    pub(super) fn studies(&self) -> Result<u32> {
        Ok(self.on("db", STUDIES)?.trim().parse()?)
    }

    pub(super) fn stores_a_study(&self, uid: &str) -> Result<()> {
        self.say(&format!("# a study comes: {uid}"));
        self.on(
            "db",
            &format!(
                "docker exec db psql -q -U pacs -d pacsdb -c \"insert into study select (jsonb_populate_record(s, jsonb_build_object('pk', (select max(pk) + 1 from study), 'study_iuid', '{uid}'))).* from study s order by pk limit 1\""
            ),
        )
        .map(drop)
    }

    /// A modality stores a study, somebody corrects an entry, and the note of the run where there is one.
    fn work(&self, number: usize) -> Result<Work> {
        self.stores_a_study(&format!("1.2.3.4.{number}"))?;
        let value = self.value_of_others(&format!("001899{number:02}"))?;
        self.add_value(&value)?;
        let entry = damage::lasting(&damage::directory(self)?).remove(&value.dn);
        let written = self.on(
            "arc",
            &format!("test ! -e {NOTE} || (echo scribble >> {NOTE}; cat {NOTE})"),
        )?;
        let note = (!written.is_empty()).then_some(written);
        Ok(Work { value, entry, note })
    }

    /// A value for an entry that the upgrade changes, too.
    pub(super) fn value_of_others(&self, value: &str) -> Result<Value> {
        let entries = damage::lasting(&damage::directory(self)?);
        let dn = entries
            .keys()
            .find(|dn| dn.starts_with("dcmEntity=Instance,"));
        Ok(Value {
            dn: dn.context("the directory has no such entry")?.clone(),
            attribute: "dcmTag".to_owned(),
            value: value.to_owned(),
        })
    }

    /// What is not as before, without the backups of the run and the folder that they are in.
    fn differences(&self, before: &Likeness, run: &str) -> Result<Vec<String>> {
        let mut differs = before.differences(&Likeness::of(self)?, run);
        // The schema of a directory stays (docs/rollback.md); the server keeps it in files of its own.
        let leaves = ["+ /var/backups/dcm4chee d", "/slapd.d/cn=config/cn=schema/"];
        differs.retain(|line| leaves.iter().all(|left| !line.contains(left)));
        Ok(differs)
    }

    /// Everything is as before the run, but for the entry and the note that people have changed, and the backups.
    fn is_as_before(&self, before: &Likeness, work: &Work, run: &str) -> Result<()> {
        let mut differs = self.differences(before, run)?;
        let entry = format!("{}: ", work.value.dn);
        differs.retain(|line| {
            let theirs = line.starts_with(&entry) || (work.note.is_some() && line.contains(NOTE));
            !theirs
        });
        ensure!(differs.is_empty(), "not as before: {differs:#?}");
        let now = damage::lasting(&damage::directory(self)?).remove(&work.value.dn);
        let value = format!("{}: {}", work.value.attribute, work.value.value);
        let kept = now.as_ref().is_some_and(|lines| lines.contains(&value));
        ensure!(
            kept,
            "what somebody entered into the directory is gone: {now:#?}"
        );
        if let Some(note) = &work.note {
            ensure!(
                self.on("arc", &format!("cat {NOTE}"))? == *note,
                "the note is not as it was left"
            );
        }
        Ok(())
    }

    /// What people have changed of what the run has changed is named.
    fn names_what_stays(&self, run: &Played, back: &Played, work: &Work) -> Result<()> {
        let notes = back.notes();
        if work.note.is_some() {
            let named = notes
                .iter()
                .any(|n| n.contains(NOTE) && n.contains("others have changed it since"));
            ensure!(named, "nothing is said of the note: {notes:#?}");
        }
        if run
            .named("changed")
            .contains("Data, every version in between")
        {
            let named = notes
                .iter()
                .any(|n| n.to_lowercase().contains("dcmentity=instance") && n.contains("left:"));
            ensure!(named, "nothing is said of the entry: {notes:#?}");
            ensure!(work.entry.is_some());
        }
        Ok(())
    }
}
