//! What came of all trials, for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::trial::{Miss, Outcome};

/// A line of the table: one stage in one way of being disturbed.
#[derive(Debug, Clone, Default)]
struct Line {
    stage: String,
    disturbed: usize,
    late: usize,
    ends: usize,
    calls: usize,
    states: usize,
    counts: usize,
    left: usize,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Table {
    lines: Vec<Line>,
    failures: Vec<String>,
}

impl Table {
    /// Takes in one outcome; `again` is the call that repeats it.
    pub fn add(&mut self, stage: &str, outcome: &Outcome, again: &str) {
        if self.lines.last().is_none_or(|l| l.stage != stage) {
            self.lines.push(Line {
                stage: stage.to_owned(),
                ..Line::default()
            });
        }
        let Some(line) = self.lines.last_mut() else {
            return;
        };
        line.disturbed += usize::from(outcome.disturbed);
        line.late += usize::from(!outcome.disturbed);
        line.ends += outcome.ends;
        let has = |of: fn(&Miss) -> bool| usize::from(outcome.misses.iter().any(of));
        line.calls += has(|m| matches!(m, Miss::Call(_)));
        line.states += has(|m| matches!(m, Miss::State(_)));
        line.counts += has(|m| matches!(m, Miss::Count(_)));
        line.left += has(|m| matches!(m, Miss::Left(_)));
        if !outcome.misses.is_empty() {
            let mut text = format!("{stage}, {}: repeat with `{again}`", outcome.harm);
            for miss in &outcome.misses {
                let _ = write!(
                    text,
                    "\n    {}",
                    miss.text().trim_end().replace('\n', "\n    ")
                );
            }
            if let Some(said) = &outcome.said {
                let _ = write!(text, "\n  {}", said.trim_end().replace('\n', "\n    "));
            }
            self.failures.push(text);
        }
    }

    /// Takes in what could not be tried at all.
    pub fn cannot(&mut self, stage: &str, why: &str) {
        self.failures.push(format!("{stage}: {why}"));
    }

    /// What went wrong last.
    #[must_use]
    pub fn last_failure(&self) -> Option<&str> {
        self.failures.last().map(String::as_str)
    }

    /// All that went wrong, and how to repeat it.
    #[must_use]
    pub fn failures(&self) -> String {
        self.failures.join("\n")
    }

    /// How many went wrong.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures.len()
    }

    /// How many runs were disturbed.
    #[must_use]
    pub fn disturbed(&self) -> usize {
        self.lines.iter().map(|l| l.disturbed).sum()
    }

    /// As text: of each column how many were not as they should be.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<28} {:>9} {:>8} {:>8} {:>10} {:>11} {:>9} {:>9}\n",
            "stage",
            "disturbed",
            "too late",
            "resumed",
            "call wrong",
            "state other",
            "ran twice",
            "left over"
        );
        let stages: BTreeSet<&str> = self.lines.iter().map(|l| l.stage.as_str()).collect();
        for l in &self.lines {
            let _ = writeln!(
                text,
                "{:<28} {:>9} {:>8} {:>8} {:>10} {:>11} {:>9} {:>9}",
                l.stage, l.disturbed, l.late, l.ends, l.calls, l.states, l.counts, l.left
            );
        }
        let _ = write!(
            text,
            "{} runs disturbed in {} stages, and resumed {} times; {} not as they should be",
            self.disturbed(),
            stages.len(),
            self.lines.iter().map(|l| l.ends).sum::<usize>(),
            self.failed()
        );
        text
    }
}
