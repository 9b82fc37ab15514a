//! What the runs of the tests have done of each step of a guide, as their journals tell.
//!
//! Where the variable [`FOLDER`] names a folder, each site's runs leave what `runbook log` says of them there, a file a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::guide::{Row, WITHOUT_TASK};

/// The variable that names the folder.
pub const FOLDER: &str = "RUNBOOK_JOURNALS";

/// Puts what a site's runs have written into their journals into the folder, where one is named.
///
/// # Errors
/// The journals cannot be read, or the files cannot be written.
pub fn keep(site: &str, program: &Path, state: &Path, project: &Path) -> Result<()> {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        return Ok(());
    };
    let called = |args: &[&str]| -> Result<String> {
        let output = Command::new(program)
            .args(args)
            .args(["--output", "json"])
            .current_dir(project)
            .env("RUNBOOK_STATE", state)
            .env("RUNBOOK_KEY_FILE", state.join("journal.key"))
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    };
    fs::create_dir_all(&folder)?;
    for line in called(&["runs"])?.lines() {
        let run: Value = serde_json::from_str(line)?;
        let id = run["run"].as_str().context("a run without an id")?;
        let file = folder.join(format!("{site} {id}.jsonl"));
        fs::write(&file, called(&["log", id])?).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// The runs in which a task came to something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// It changed something.
    pub changed: BTreeSet<String>,
    /// There was nothing to do.
    pub ok: BTreeSet<String>,
    /// What it had changed was taken back.
    pub taken_back: BTreeSet<String>,
}

impl Done {
    fn add(&mut self, other: &Self, counts: impl Fn(&&String) -> bool) {
        self.changed
            .extend(other.changed.iter().filter(&counts).cloned());
        self.ok.extend(other.ok.iter().filter(&counts).cloned());
        self.taken_back
            .extend(other.taken_back.iter().filter(&counts).cloned());
    }

    fn is_nothing(&self) -> bool {
        self.changed.is_empty() && self.ok.is_empty()
    }
}

/// Steps that share their task with others and are a part of what it does only with the vendor's own data from 5.29.0 on: of
/// those only the runs of sites with such data count.
const OF_REAL_DATA: [&str; 4] = ["D22", "D23", "D51", "D52"];
/// How the names of these sites begin.
const WITH_REAL_DATA: [&str; 1] = ["e2e-real"];

/// Does this run count for this step?
fn counts(step: &str, run: &str) -> bool {
    !OF_REAL_DATA.contains(&step) || WITH_REAL_DATA.iter().any(|site| run.starts_with(site))
}

/// What the journals tell, by playbook (its file's name) and task.
pub type Told = BTreeMap<(String, String), Done>;

/// What the journals in a folder tell.
///
/// # Errors
/// There is none, or one cannot be read.
pub fn told(folder: &Path) -> Result<Told> {
    let mut journals = Vec::new();
    let listed = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<PathBuf> = listed.map(|f| Ok(f?.path())).collect::<Result<_>>()?;
    files.sort();
    ensure!(
        !files.is_empty(),
        "no run has left its journal in {}",
        folder.display()
    );
    for file in files {
        let name = file
            .file_stem()
            .context("a file without a name")?
            .to_string_lossy();
        let text = fs::read_to_string(&file)?;
        let journal = Journal::read(&name, &text);
        journals.push(journal.with_context(|| file.display().to_string())?);
    }
    all_of(&journals)
}

/// What one run has written.
struct Journal {
    /// The site and the run.
    name: String,
    /// The playbook's file, or the run that was taken back.
    began: Began,
    records: Vec<Value>,
}

enum Began {
    Playbook(String),
    RollbackOf(String),
}

fn said(record: &Value) -> &str {
    record["said"][0].as_str().unwrap_or_default()
}

impl Journal {
    fn read(name: &str, journal: &str) -> Result<Self> {
        let records: Vec<Value> = journal
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        let begun = records.iter().find(|r| r["record"] == "run-started");
        let begun = said(begun.context("it never began")?);
        let what = begun.split(", ").next().unwrap_or_default();
        let began = match what.strip_prefix("rollback of ") {
            Some(run) => Began::RollbackOf(run.to_owned()),
            None => Began::Playbook(what.rsplit('/').next().unwrap_or_default().to_owned()),
        };
        Ok(Self {
            name: name.to_owned(),
            began,
            records,
        })
    }
}

fn all_of(journals: &[Journal]) -> Result<Told> {
    let mut tasks = Told::new();
    // What each site's earlier runs have changed.
    let mut changed = BTreeSet::new();
    // A rollback's tasks are those of the run that it takes back, which may be a rollback itself.
    let mut playbooks: BTreeMap<&str, &str> = BTreeMap::new();
    for journal in journals {
        let run = journal.name.rsplit(' ').next().unwrap_or_default();
        let (playbook, back) = match &journal.began {
            Began::Playbook(playbook) => (playbook.as_str(), false),
            Began::RollbackOf(of) => (playbooks.get(of.as_str()).copied().unwrap_or(""), true),
        };
        playbooks.insert(run, playbook);
        add(journal, playbook, back, &mut changed, &mut tasks)?;
    }
    Ok(tasks)
}

fn add(
    journal: &Journal,
    playbook: &str,
    back: bool,
    changed: &mut BTreeSet<(String, String)>,
    tasks: &mut Told,
) -> Result<()> {
    let name = &journal.name;
    let site = name.split(' ').next().unwrap_or_default();
    let run = match &journal.began {
        Began::Playbook(playbook) => format!("{name} ({playbook})"),
        Began::RollbackOf(of) => format!("{name} (rollback of {of})"),
    };
    let ended = journal.records.iter();
    for record in ended.filter(|r| r["record"] == "node-finished") {
        let why = record["said"][1].as_str().unwrap_or_default();
        let (task, status) = said(record)
            .rsplit_once(": ")
            .context("a node without a status")?;
        let key = (playbook.to_owned(), task.to_owned());
        let done = tasks.entry(key).or_default();
        match (status, back) {
            ("changed", true) => done.taken_back.insert(run.clone()),
            ("changed", false) => {
                changed.insert((site.to_owned(), task.to_owned()));
                done.changed.insert(run.clone())
            }
            ("skipped", false) if is_needless(why) => done.ok.insert(run.clone()),
            // Its condition asks for what it changes: the second time it is false.
            ("skipped", false)
                if why.starts_with("since the condition ")
                    && changed.contains(&(site.to_owned(), task.to_owned())) =>
            {
                done.ok.insert(format!("{run}, skipped as done"))
            }
            ("ok", false) => done.ok.insert(run.clone()),
            _ => false,
        };
    }
    Ok(())
}

/// A task that makes room for a change (`before`) has nothing to do where there will be none: then it is skipped.
fn is_needless(why: &str) -> bool {
    why.starts_with("since it is only for the time of a change by ")
}

/// What is known of each step, a line each, and which have not been shown to do what they should. Only runs of these playbooks
/// count, by their files' names.
#[must_use]
pub fn judged(
    rows: &[Row],
    tasks: &Told,
    playbooks: &BTreeSet<&str>,
) -> (Vec<String>, Vec<String>) {
    let mut steps: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        steps.entry(&row.step).or_default().push(row);
    }
    let (mut lines, mut missing) = (Vec::new(), Vec::new());
    for (step, rows) in steps {
        let (without, rows): (Vec<&Row>, Vec<&Row>) =
            rows.into_iter().partition(|row| row.file.is_empty());
        for row in &without {
            lines.push(format!("{step}  {}", row.task));
            if !WITHOUT_TASK.iter().any(|w| row.task.starts_with(w)) {
                missing.push(format!("{step}: {}", row.task));
            }
        }
        if rows.is_empty() {
            continue;
        }
        let mut done = Done::default();
        for row in &rows {
            // A file of tasks may be part of any playbook of the guide.
            let any = row.file.contains('/');
            let told = tasks.iter().filter(|((playbook, task), _)| {
                let of_guide = playbooks.contains(playbook.as_str());
                *task == row.task && (any && of_guide || *playbook == row.file)
            });
            let mut own = Done::default();
            told.for_each(|(_, of)| own.add(of, |run| counts(step, run)));
            if rows.len() > 1 && own.is_nothing() {
                missing.push(format!("{step}: never came to: {}", row.task));
            }
            done.add(&own, |_| true);
        }
        let no_way_back = rows.iter().map(|row| row.no_way_back.as_str());
        let no_way_back = no_way_back.clone().all(|why| !why.is_empty()).then(|| {
            let all: Vec<&str> = no_way_back.collect();
            all.join("; ")
        });
        let mut cells = Vec::new();
        for (what, runs) in [
            ("changed", &done.changed),
            ("ok", &done.ok),
            ("taken back", &done.taken_back),
        ] {
            match (runs.first(), &no_way_back) {
                (Some(first), _) => {
                    let more = match runs.len() - 1 {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    };
                    cells.push(format!("{what} in {first}{more}"));
                }
                (None, Some(why)) if what == "taken back" => {
                    cells.push(format!("no way back: {why}"));
                }
                (None, _) => {
                    cells.push(format!("NEVER {what}"));
                    let names: Vec<&str> = rows.iter().map(|row| row.task.as_str()).collect();
                    missing.push(format!("{step}: never {what}: {}", names.join(", ")));
                }
            }
        }
        lines.push(format!("{step}  {}", cells.join("; ")));
    }
    (lines, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(begun: &str, nodes: &[&str]) -> String {
        let record = |record: &str, said: &str| {
            let said: Vec<&str> = said.lines().collect();
            serde_json::json!({"record": record, "said": said}).to_string()
        };
        let mut lines = vec![record("run-started", begun)];
        lines.extend(nodes.iter().map(|n| record("node-finished", n)));
        lines.join("\n")
    }

    #[test]
    fn a_step_needs_a_run_of_each_kind() {
        let row = |step: &str, task: &str, file: &str, back: &str| Row {
            step: step.to_owned(),
            what: String::new(),
            task: task.to_owned(),
            file: file.to_owned(),
            no_way_back: back.to_owned(),
        };
        let table = [
            row("D01", "Stop: now", "a.yaml", ""),
            row("D02", "Look", "a.yaml", ""),
            row("D02", "Write", "a.yaml", "it only adds"),
            row("D03", "done by a person: a letter", "", ""),
            row("D03", "Post", "a.yaml", "it is gone"),
            row("D04", "open: to come", "", ""),
            row("D05", "Dump", "a.yaml", "a file of its own"),
            row("D06", "Nobody", "a.yaml", ""),
            row("D07", "Make room", "a.yaml", "it is room"),
            row("D08", "Once", "a.yaml", "it stays"),
            row("D09", "Twice", "a.yaml", "it stays"),
        ];
        let first = [
            "Stop: now: changed",
            "Look: ok",
            "Write: changed",
            "Dump: changed",
            "Nobody: skipped",
            "Make room: changed",
            "Once: changed",
            "Twice: skipped\nsince the condition `old` is false",
        ];
        const ROOM: &str = "Make room: skipped\nsince it is only for the time of a change by `swap`, and there is none";
        let second = [
            "Stop: now: ok",
            "Write: ok",
            ROOM,
            "Dump: skipped\nsince it is Monday",
            "Once: skipped\nsince the condition `old` is false",
            "Twice: changed",
        ];
        let back = ["Stop: now: changed", "Dump: ok"];
        // Of another playbook with a task of the same name nothing is taken for this one.
        let other = ["Nobody: changed"];
        let journals = [
            ("a 1", "b/a.yaml, runbook 0.1.0", &first[..]),
            ("a 2", "b/a.yaml, runbook 0.1.0", &second),
            ("a 3", "rollback of 1, runbook 0.1.0", &back),
            ("a 4", "b/other.yaml, runbook 0.1.0", &other),
        ]
        .map(|(name, begun, nodes)| Journal::read(name, &journal(begun, nodes)).unwrap());
        let tasks = all_of(&journals).unwrap();
        let playbooks = BTreeSet::from(["a.yaml", "other.yaml"]);
        let (lines, missing) = judged(&table, &tasks, &playbooks);
        assert_eq!(
            lines[0],
            "D01  changed in a 1 (a.yaml); ok in a 2 (a.yaml); taken back in a 3 (rollback of 1)"
        );
        assert_eq!(
            missing,
            [
                "D02: never taken back: Look, Write",
                "D03: never changed: Post",
                "D03: never ok: Post",
                "D04: open: to come",
                "D05: never ok: Dump",
                "D06: never changed: Nobody",
                "D06: never ok: Nobody",
                "D06: never taken back: Nobody",
                "D09: never ok: Twice",
            ]
        );
        assert!(
            lines[5].ends_with("no way back: a file of its own"),
            "{}",
            lines[5]
        );
    }
    #[test]
    fn what_another_has_done_counts_for_nobody() {
        let row = |step: &str, task: &str, file: &str| Row {
            step: step.to_owned(),
            what: String::new(),
            task: task.to_owned(),
            file: file.to_owned(),
            no_way_back: "it stays".to_owned(),
        };
        let table = [
            row("D01", "In a part", "tasks/part.yaml"),
            row("D02", "One", "a.yaml"),
            row("D02", "Never", "a.yaml"),
            row("D22", "Data", "a.yaml"),
        ];
        let nodes = ["In a part: changed", "In a part: ok"];
        let own = ["One: changed", "One: ok", "Data: changed", "Data: ok"];
        let journals = [
            ("fid 1", "/tmp/corpus.yaml, runbook 0.1.0", &nodes[..]),
            ("e2e-one 2", "b/a.yaml, runbook 0.1.0", &own),
        ]
        .map(|(name, begun, nodes)| Journal::read(name, &journal(begun, nodes)).unwrap());
        let tasks = all_of(&journals).unwrap();
        let missing = judged(&table, &tasks, &BTreeSet::from(["a.yaml"])).1;
        assert_eq!(
            missing,
            [
                "D01: never changed: In a part",
                "D01: never ok: In a part",
                "D02: never came to: Never",
                "D22: never changed: Data",
                "D22: never ok: Data",
            ]
        );
    }
}
