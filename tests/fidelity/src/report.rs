//! The figures, as a table for the README.

use anyhow::{Result, ensure};

use crate::ansible::{self, Rivals};
use crate::compare::{Compared, Figures};
use crate::corpus;
use crate::generated::{Generated, generated, listed};
use crate::trial::Place;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// How many playbooks are generated.
    pub playbooks: usize,
    /// Playbooks that Ansible is called with, too.
    pub ansible: usize,
    /// Only the parts whose name has this in it: `corpus`, `lab`, `generated`, `upgrade`, `ansible`.
    pub filter: String,
    /// How many wrong playbooks are made small.
    pub shown: usize,
    /// No half-done host where something was wrong on the clean one: it is only asked whether there is anything.
    pub until_wrong: bool,
}

/// All that was measured.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Parts and their figures.
    pub rows: Vec<(String, Figures)>,
    /// The playbook of twenty tasks, and generated ones, with both programs.
    pub rivals: Vec<(String, Rivals)>,
    /// What was wrong.
    pub wrong: Vec<String>,
    /// What was told under an assumption and came otherwise.
    pub otherwise: Vec<String>,
    /// Of playbooks that are written by hand: what was not predicted, or only under a condition.
    pub open: Vec<String>,
    /// What was not measured, and why.
    pub skipped: Vec<(String, String)>,
}

/// Unknown and conditional tasks may be so many of a hundred.
pub const OPEN: f64 = 5.0;
/// What may at most not be compared, in percent.
const BEYOND: usize = 3;

/// Measures.
///
/// # Errors
/// A playbook cannot be tried at all.
pub fn measure(options: &Options, place: &Place, tell: fn(&str)) -> Result<Report> {
    let mut report = Report::default();
    let wanted = |part: &str| part.contains(&options.filter);
    let hosts = [(false, "clean"), (true, "half-done")];
    if wanted("corpus") {
        for (half_done, host) in hosts {
            if report.is_enough(options) {
                break;
            }
            let mut figures = Figures::default();
            for name in corpus::LOCAL {
                let compared = corpus::local(name, half_done, options.seed, place)?;
                report.add_wrong(&format!("corpus {name}, {host} host"), &compared);
                figures += compared.figures;
            }
            report.add(
                &format!("corpus, files and commands, {host}"),
                figures,
                tell,
            );
        }
    }
    if wanted("lab") {
        for (half_done, host) in hosts {
            if report.is_enough(options) {
                break;
            }
            let what = format!("corpus, containers, directory, database, {host}");
            if let Some(compared) = report.on_lab(&what, || {
                corpus::on_lab(half_done, options.seed, place, tell)
            })? {
                report.add_wrong(&what, &compared);
                report.add(&what, compared.figures, tell);
            }
        }
    }
    if wanted("upgrade") {
        for (half_done, host) in hosts {
            if report.is_enough(options) {
                break;
            }
            let what = format!("upgrade-5.32.yaml, {host}");
            if let Some(compared) = report.on_lab(&what, || {
                corpus::upgrade(half_done, options.seed, place, tell)
            })? {
                report.add_wrong(&what, &compared);
                report.add(&what, compared.figures, tell);
            }
        }
    }
    if wanted("generated") {
        let Generated {
            figures: [clean, half_done],
            wrong,
            otherwise,
            written,
            building,
            failing,
            seeds,
        } = generated(options.seed, options.playbooks, options.shown, place, tell)?;
        tell(&format!(
            "{} playbooks of seeds {} to {}: {written} tasks, {building} build on an earlier one, {failing} must fail",
            options.playbooks, seeds.0, seeds.1
        ));
        for (host, figures) in [("clean", clean), ("half-done", half_done)] {
            let what = format!("{} generated, {host}", options.playbooks);
            report.add(&what, figures, tell);
        }
        report.wrong.extend(wrong);
        report.otherwise.extend(otherwise);
    }
    if wanted("ansible") {
        match ansible::program() {
            None => report.skipped.push((
                "ansible-playbook --check".to_owned(),
                "there is no ansible-playbook here".to_owned(),
            )),
            Some(program) => {
                let twenty = ansible::twenty(&program, place)?;
                report
                    .rivals
                    .push(("the playbook of twenty tasks".to_owned(), twenty));
                let files =
                    ansible::generated_files(options.seed, options.ansible, &program, place)?;
                let what = format!("{} generated playbooks of files", files.playbooks);
                report.rivals.push((what, files));
            }
        }
    }
    Ok(report)
}

/// The line of a part in the table.
fn row(what: &str, f: &Figures) -> String {
    format!(
        "| {what} | {} | {} | {} | {} | {:.1} % | {} | {} | {} | {} |",
        f.tasks,
        f.wrong,
        f.unknown,
        f.conditional,
        f.open_percent(),
        f.assumed,
        f.assumed_otherwise,
        f.failed_actions,
        f.beyond,
    )
}

impl Report {
    fn is_enough(&self, options: &Options) -> bool {
        options.until_wrong && !self.wrong.is_empty()
    }

    /// A part is told as soon as it is measured: the next one may take half an hour.
    fn add(&mut self, what: &str, figures: Figures, tell: fn(&str)) {
        tell(&row(what, &figures));
        self.rows.push((what.to_owned(), figures));
    }

    fn add_wrong(&mut self, what: &str, compared: &Compared) {
        if !compared.wrong.is_empty() {
            let text = format!("{what}:\n{}", listed(&compared.wrong));
            self.wrong.push(text);
        }
        let open = compared.open.iter().map(|text| format!("{what}: {text}"));
        self.open.extend(open);
        if !compared.otherwise.is_empty() {
            let text = format!("{what}:\n{}", listed(&compared.otherwise));
            self.otherwise.push(text);
        }
    }

    fn on_lab(
        &mut self,
        what: &str,
        work: impl FnOnce() -> Result<Compared>,
    ) -> Result<Option<Compared>> {
        if let Err(why) = runbook_lab::Lab::ready() {
            self.skipped.push((what.to_owned(), format!("{why:#}")));
            return Ok(None);
        }
        work().map(Some)
    }

    /// The figures as a table in Markdown, and those of Ansible as a second one.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| | tasks | wrong | unknown | conditional | open | under an assumption | of these otherwise | \
             failed actions | after these |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for (what, f) in &self.rows {
            text.push_str(&row(what, f));
            text.push('\n');
        }
        if !self.rivals.is_empty() {
            text.push_str(
                "\n| | predicted by `runbook --check` | by `ansible-playbook --check` |\n|---|---|---|\n",
            );
        }
        for (what, r) in &self.rivals {
            text.push_str(&format!(
                "| {what} | {} of {} | {} of {} |\n",
                r.ours.known - r.ours.wrong,
                r.ours.tasks,
                r.right,
                r.theirs
            ));
        }
        text
    }

    /// No wrong prediction, none that came otherwise under an assumption, in no part more than [`OPEN`] that were not made,
    /// and of all no more than [`BEYOND`] that were not compared.
    ///
    /// # Errors
    /// What is not so.
    pub fn is_good(&self) -> Result<()> {
        ensure!(
            self.wrong.is_empty(),
            "{} wrong:\n{}",
            self.wrong.len(),
            self.wrong.join("\n")
        );
        let compared = self.rows.iter().any(|(_, figures)| figures.tasks > 0);
        ensure!(
            compared || !self.rivals.is_empty() || !self.skipped.is_empty(),
            "nothing was compared: no part is called so, or no playbook was asked for"
        );
        let open: Vec<String> = self
            .rows
            .iter()
            .filter(|(_, figures)| figures.open_percent() > OPEN)
            .map(|(what, figures)| format!("{what}: {:.1} %", figures.open_percent()))
            .collect();
        ensure!(
            open.is_empty(),
            "more than {OPEN} % are unknown or conditional: {}",
            open.join(", ")
        );
        // An action that fails cannot be foretold. Only the generator makes such, and says so.
        let failed: Vec<&str> = self
            .rows
            .iter()
            .filter(|(what, figures)| !what.contains("generated") && figures.failed_actions > 0)
            .map(|(what, _)| what.as_str())
            .collect();
        ensure!(
            failed.is_empty(),
            "actions that were told to succeed fail: {}",
            failed.join(", ")
        );
        // An assumption is no way out: what is told under one comes true here, where nobody disturbs it. And what is not
        // compared, since something failed before it that nobody could know, is a small part.
        ensure!(
            self.otherwise.is_empty(),
            "otherwise under an assumption:\n{}",
            self.otherwise.join("\n")
        );
        let tasks: usize = self.rows.iter().map(|(_, figures)| figures.tasks).sum();
        let beyond: usize = self.rows.iter().map(|(_, figures)| figures.beyond).sum();
        ensure!(
            beyond * 100 <= tasks * BEYOND,
            "{beyond} of {tasks} tasks were not compared"
        );
        Ok(())
    }
}
