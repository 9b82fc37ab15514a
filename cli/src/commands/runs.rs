//! List the runs of this project, show one, and its log.

use std::collections::BTreeSet;
use std::path::Path;

use runbook_engine::action::{ActionCall, Effects};
use runbook_engine::journal::{ChangeRecord, Entry, Journal, JournalError, NodeStatus, Record};
use runbook_engine::registry::Registry;
use runbook_engine::resource::Reversible;
use runbook_engine::rollback::Told;
use runbook_engine::run::exit;
use runbook_engine::run::redact::Redactor;
use runbook_engine::value::MASK;
use serde::Serialize;

use crate::conduct::{self, Output};
use crate::history::{self, Brief, Found, History};
use crate::{planned, report};

/// List the runs of this project, the oldest first.
#[derive(clap::Args)]
pub struct RunsArgs {
    /// How to report
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    output: Output,
}

/// Show what a run changed, what of it can be taken back, and what it keeps aside; or what a plan says.
#[derive(clap::Args)]
pub struct ShowArgs {
    /// The run (the last one), or the file of a plan
    #[arg(value_name = "RUN|FILE")]
    run: Option<String>,
    /// Of a plan: show what changes, line by line
    #[arg(short = 'D', long)]
    diff: bool,
    /// Of a plan: how to report
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    output: Output,
}

/// Print the journal of a run, record by record.
#[derive(clap::Args)]
pub struct LogArgs {
    /// The run (the last one)
    run: Option<String>,
    /// How to report: text, or one JSON object a line
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    output: Output,
}

/// A run in a few words.
#[derive(Serialize)]
struct Line {
    run: String,
    /// RFC 3339, UTC.
    started: String,
    /// The playbooks, or the run that it took back.
    what: String,
    /// `done`, `failed`, `unreachable`, `locked`, `interrupted`, `running` on this machine, `unfinished`: it was killed,
    /// or runs elsewhere; `cut off`: so, and it was taken back since.
    outcome: &'static str,
    /// How many tasks changed something.
    changed: usize,
    /// How many things it keeps aside on the hosts.
    kept: usize,
    /// The last run that took it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_back_by: Option<String>,
    /// Something of it was not taken back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_part: bool,
}

/// Records of one run, with what may be shown of them.
struct Reader {
    registry: Registry,
    redactor: Redactor,
}

pub fn runs(args: &RunsArgs) -> anyhow::Result<u8> {
    let journal = match conduct::journal_so_far() {
        Ok(journal) => journal,
        Err(none) if !conduct::has_journal() => {
            report::note(&none.to_string());
            return Ok(exit::DONE);
        }
        Err(error) => return Err(error),
    };
    let history = History::of(&journal)?;
    let at_work = history::at_work()?;
    for found in &history.runs {
        match (found, args.output) {
            (Found::Known(brief), Output::Json) => {
                let line = line_of(brief, &history, &at_work);
                report::say(&serde_json::to_string(&line)?);
            }
            (Found::Known(brief), Output::Text) => {
                report::say(&line_of(brief, &history, &at_work).text());
            }
            (Found::Unreadable { run, started, why }, Output::Json) => report::say(
                &serde_json::json!({
                    "run": run, "started": started, "outcome": "unreadable", "why": why,
                })
                .to_string(),
            ),
            (Found::Unreadable { run, started, why }, Output::Text) => {
                report::say(&format!("{run}  {}  unreadable: {why}", local(started)));
            }
        }
    }
    if history.runs.is_empty() {
        report::note("there is no run in the journal");
    }
    Ok(exit::DONE)
}

pub fn show(args: &ShowArgs) -> anyhow::Result<u8> {
    if let Some(path) = args.run.as_deref().map(Path::new)
        && path.is_file()
    {
        return planned::show(path, args.diff, args.output);
    }
    let journal = conduct::journal_so_far()?;
    let run = conduct::run_or_last(&journal, args.run.as_deref())?;
    let entries = journal.read(&run)?;
    let reader = Reader::of(&entries);
    let (history, at_work) = (History::of(&journal)?, history::at_work()?);
    let own = history.runs.iter().find_map(|found| match found {
        Found::Known(brief) if brief.run == run => Some(brief),
        _ => None,
    });
    if let Some(brief) = own {
        report::say(&line_of(brief, &history, &at_work).text());
    }
    for entry in &entries {
        match &entry.record {
            Record::ChangesIntended {
                task,
                changes,
                hidden,
                ..
            } => {
                report::say(&format!("  {}: {}", entry.host, reader.clean(task)));
                for change in changes {
                    for line in reader.lines(change, *hidden) {
                        report::say(&reader.clean(&format!("    {}: {line}", change.key)));
                    }
                    match &change.reversible {
                        Reversible::Yes => {}
                        Reversible::Loses(what) => {
                            report::say(&reader.clean(&format!("      going back loses: {what}")))
                        }
                        Reversible::Stays(why) => {
                            report::say(
                                &reader.clean(&format!("      stays on the way back: {why}")),
                            );
                        }
                        Reversible::Never(why) => {
                            report::say(
                                &reader.clean(&format!("      cannot be taken back: {why}")),
                            );
                        }
                    }
                }
            }
            Record::ActionIntended {
                task,
                action,
                hidden,
                ..
            } if action.effects != Effects::Nothing => {
                report::say(&format!("  {}: {}", entry.host, reader.clean(task)));
                report::say(&format!("    {}", reader.summary(action, *hidden)));
            }
            Record::NodeFinished { task, status, .. }
                if matches!(status, NodeStatus::Failed | NodeStatus::Unreachable) =>
            {
                let task = reader.clean(task);
                report::say(&format!("  {}: {task}: {}", entry.host, status.word()));
            }
            Record::TakenBack { by } => {
                report::say(&format!("  {}: taken back by {by}", entry.host));
            }
            _ => {}
        }
    }
    for (host, place, of) in kept(&entries) {
        report::say(&reader.clean(&format!("  kept aside on {host}: {place} ({of})")));
    }
    Ok(exit::DONE)
}

pub fn log(args: &LogArgs) -> anyhow::Result<u8> {
    let journal = conduct::journal_so_far()?;
    let run = conduct::run_or_last(&journal, args.run.as_deref())?;
    let entries = journal.read(&run)?;
    verified(&journal)?;
    let reader = Reader::of(&entries);
    for entry in &entries {
        let said = reader.record(&entry.record);
        match args.output {
            Output::Json => report::say(
                &serde_json::json!({
                    "seq": entry.seq, "at": entry.at, "host": entry.host, "node": entry.node,
                    "record": entry.record.kind(), "said": said,
                })
                .to_string(),
            ),
            Output::Text => {
                let host = if entry.host.is_empty() {
                    "-"
                } else {
                    &entry.host
                };
                report::say(&format!("{} {host} {}", entry.at, entry.record.kind()));
                said.iter()
                    .for_each(|line| report::say(&format!("    {line}")));
            }
        }
    }
    Ok(exit::DONE)
}

/// A journal that was altered is not shown as if it were true.
fn verified(journal: &Journal) -> Result<(), JournalError> {
    journal.verify().map(drop)
}

impl Line {
    fn text(&self) -> String {
        let kept = match self.kept {
            0 => String::new(),
            n => format!(", {n} kept aside"),
        };
        let back = self.taken_back_by.as_ref().map(|by| {
            let part = if self.in_part { " in part" } else { "" };
            format!(", taken back{part} by {by}")
        });
        let back = back.unwrap_or_default();
        format!(
            "{}  {}  {}  {}, {} changed{kept}{back}",
            self.run,
            local(&self.started),
            self.what,
            self.outcome,
            self.changed
        )
    }
}

/// A time of the journal as the clock on the wall shows it.
fn local(at: &str) -> String {
    at.parse::<jiff::Timestamp>().map_or_else(
        |_| at.to_owned(),
        |t| {
            let here = t.to_zoned(jiff::tz::TimeZone::system());
            here.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

/// A run that can be read, as it is listed.
fn line_of(brief: &Brief, history: &History, at_work: &BTreeSet<String>) -> Line {
    let back = history.taken_back(brief);
    // The way back after a failure goes under the locks of its run.
    let works = |run: &str| {
        at_work.contains(run)
            || brief
                .takes_back
                .as_ref()
                .is_some_and(|of| at_work.contains(of) && run.starts_with(of.as_str()))
    };
    let outcome = match brief.outcome() {
        "unfinished" if works(&brief.run) => "running",
        "unfinished" if back.is_some() || history.is_followed(brief) => "cut off",
        word => word,
    };
    Line {
        run: brief.run.clone(),
        started: brief.started.clone(),
        what: brief.what.clone(),
        outcome,
        changed: brief.changed,
        kept: brief.kept,
        taken_back_by: back.map(|(by, _)| by.to_owned()),
        in_part: back.is_some_and(|(_, whole)| !whole),
    }
}

/// What a run keeps aside still: host, place, and what it belongs to.
fn kept(entries: &[Entry]) -> Vec<(String, String, String)> {
    let kept = Told::from_entries(entries).kept.into_iter();
    kept.flat_map(|(host, things)| {
        let of_host = things.into_iter();
        of_host.map(move |thing| (host.clone(), thing.place, thing.of))
    })
    .collect()
}

impl Reader {
    /// Knows every secret that a state of these records holds before it shows the first of them.
    fn of(entries: &[Entry]) -> Self {
        let registry = crate::registry();
        let redactor = Redactor::default();
        for entry in entries {
            if let Record::Secrets { texts } = &entry.record {
                texts.iter().for_each(|s| redactor.add_lines(s));
            }
            let Record::ChangesIntended { changes, .. } = &entry.record else {
                continue;
            };
            for change in changes {
                if let Some(kind) = registry.find_kind(&change.key.kind) {
                    for state in [&change.from, &change.to] {
                        kind.secrets(state).iter().for_each(|s| redactor.add(s));
                    }
                }
            }
        }
        Self { registry, redactor }
    }

    fn clean(&self, text: &str) -> String {
        self.redactor.clean(text)
    }

    /// What an action was, unless its task has `no_log`.
    fn summary(&self, action: &ActionCall, hidden: bool) -> String {
        match hidden {
            true => MASK.to_owned(),
            false => self.clean(&action.summary),
        }
    }

    /// What a change did, a line each; of a task with `no_log` only that it did something.
    fn lines(&self, change: &ChangeRecord, hidden: bool) -> Vec<String> {
        if hidden {
            return vec![MASK.to_owned()];
        }
        let kind = self.registry.find_kind(&change.key.kind);
        let lines = kind.and_then(|k| k.differences(&change.want, &change.from).ok());
        let lines = lines.unwrap_or_else(|| vec!["of a kind that is not known here".to_owned()]);
        lines.iter().map(|l| self.clean(l)).collect()
    }

    /// What a record says, a line each.
    fn record(&self, record: &Record) -> Vec<String> {
        let said = match record {
            Record::RunStarted {
                version,
                playbooks,
                takes_back,
                files,
                ..
            } => {
                let what = match takes_back {
                    Some(of) => format!("rollback of {of}"),
                    None => playbooks.join(" "),
                };
                let files = files
                    .iter()
                    .map(|(path, hash)| format!("{path} sha256 {hash}"));
                std::iter::once(format!("{what}, runbook {version}"))
                    .chain(files)
                    .collect()
            }
            Record::RunResumed { version, .. } => {
                vec![format!("runbook {version} goes on with it")]
            }
            Record::Secrets { texts } => vec![format!("{} secrets", texts.len())],
            Record::ChangesIntended {
                task,
                changes,
                hidden,
                ..
            } => {
                let lines = changes.iter().flat_map(|change| {
                    let lines = self.lines(change, *hidden);
                    lines
                        .into_iter()
                        .map(|line| format!("{}: {line}", change.key))
                });
                std::iter::once(task.clone()).chain(lines).collect()
            }
            Record::ChangesWritten { kept, failed } => {
                let kept = kept
                    .iter()
                    .map(|k| format!("kept aside: {} ({})", k.place, k.of));
                kept.chain(failed.iter().map(|why| format!("failed: {why}")))
                    .collect()
            }
            Record::ActionIntended {
                task,
                action,
                hidden,
                ..
            } => vec![task.clone(), self.summary(action, *hidden)],
            Record::ActionFinished {
                changed, failed, ..
            } => match failed {
                Some(why) => vec![format!("failed: {why}")],
                None => vec![if *changed { "changed" } else { "ok" }.to_owned()],
            },
            Record::NodeFinished {
                task,
                status,
                notified,
                skipped,
                ..
            } => {
                let notified = notified.iter().map(|n| format!("notified: {n}"));
                let why = skipped.iter().map(|why| format!("since {why}"));
                std::iter::once(format!("{task}: {}", status.word()))
                    .chain(why)
                    .chain(notified)
                    .collect()
            }
            Record::HandlerStarted { handler } => vec![handler.clone()],
            Record::RunFinished { summary } => summary
                .hosts
                .iter()
                .map(|(host, by)| {
                    let parts: Vec<String> = by.iter().map(|(w, n)| format!("{n} {w}")).collect();
                    format!("{host}: {}", parts.join(", "))
                })
                .collect(),
            Record::Closed { removed } => removed
                .iter()
                .map(|k| format!("removed: {} ({})", k.place, k.of))
                .collect::<Vec<String>>(),
            Record::TakenBack { by } => vec![format!("taken back by {by}")],
            Record::Unlocked { unit, by } => {
                vec![format!("the lock of {unit} was removed by {by}")]
            }
        };
        said.iter().map(|line| self.clean(line)).collect()
    }
}
