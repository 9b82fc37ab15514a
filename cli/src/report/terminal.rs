//! Events for a person.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use runbook_engine::journal::NodeStatus;
use runbook_engine::run::event::{Event, Sink, TaskReport};
use runbook_engine::run::exit;
use runbook_engine::value::MASK;

use super::skipped::Skipped;

/// Prints events as they come.
pub struct Terminal {
    /// Show diffs.
    pub diff: bool,
    /// `-v`, counted.
    pub verbose: u8,
    /// It is a check.
    pub check: bool,
    lines: Mutex<()>,
    skipped: Skipped,
    /// Id of the run, once it is known: texts have `<run>` in its place, so that check and run say the same.
    run: Mutex<Option<String>>,
    /// It goes on: what it did before may be taken back, too.
    goes_on: AtomicBool,
    /// Hosts on which all of it has been taken back.
    back: Mutex<BTreeSet<String>>,
    /// `on_fail: rollback` has taken something back.
    went_back: AtomicBool,
    /// A task has changed something that can be taken back: no command, nothing that is lost.
    reversible: AtomicBool,
}

impl Terminal {
    /// A report for a person.
    #[must_use]
    pub fn new(diff: bool, verbose: u8, check: bool) -> Self {
        Self {
            diff,
            verbose,
            check,
            lines: Mutex::default(),
            skipped: Skipped::default(),
            run: Mutex::default(),
            goes_on: AtomicBool::default(),
            back: Mutex::default(),
            went_back: AtomicBool::new(false),
            reversible: AtomicBool::new(false),
        }
    }
}

/// The colour of a status; each has one meaning everywhere.
#[must_use]
pub fn style(status: NodeStatus) -> Style {
    match status {
        NodeStatus::Ok => AnsiColor::Green.on_default(),
        NodeStatus::Changed => AnsiColor::Yellow.on_default(),
        NodeStatus::Left => AnsiColor::Yellow.on_default().bold(),
        NodeStatus::Skipped => AnsiColor::Cyan.on_default(),
        NodeStatus::Failed | NodeStatus::Unreachable | NodeStatus::Locked => {
            AnsiColor::Red.on_default().bold()
        }
        NodeStatus::Unknown | NodeStatus::Conditional => AnsiColor::Magenta.on_default(),
    }
}

/// Lines of a text, indented.
#[must_use]
pub fn indented(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines().map(|l| format!("{pad}{l}\n")).collect()
}

/// A diff with its lines coloured.
#[must_use]
pub fn coloured(diff: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    diff.lines()
        .map(|line| {
            let style = match line.as_bytes().first() {
                Some(b'+') => AnsiColor::Green.on_default(),
                Some(b'-') => AnsiColor::Red.on_default(),
                Some(b'@') => AnsiColor::Cyan.on_default(),
                _ => Style::new(),
            };
            format!("{pad}{style}{line}{style:#}\n")
        })
        .collect()
}

fn skipped_line(what: &str) -> String {
    let style = style(NodeStatus::Skipped);
    let word = NodeStatus::Skipped.word();
    format!("{style}{word:<11}{style:#} {what}\n")
}

/// The task, and which item of its loop.
fn named(report: &TaskReport) -> String {
    match &report.item {
        Some(item) => format!("{} ({item})", report.task),
        None => report.task.clone(),
    }
}

impl Terminal {
    fn task(&self, report: &TaskReport) -> String {
        let style = style(report.status);
        let word = match (report.status, self.check) {
            (NodeStatus::Changed, true) => "change",
            (status, _) => status.word(),
        };
        let word = if report.ignored { "ignored" } else { word };
        let name = named(report);
        let mut line = format!("{style}{word:<11}{style:#} {}: {name}", report.host);
        let what = report
            .summary
            .clone()
            .or_else(|| match report.changes.len() {
                0 => None,
                1..=3 => Some(report.changes.join("; ")),
                n => Some(format!(
                    "{}; and {} more",
                    report.changes[..2].join("; "),
                    n - 2
                )),
            });
        let quiet = matches!(
            report.status,
            NodeStatus::Failed | NodeStatus::Unreachable | NodeStatus::Locked
        );
        if let Some(what) = what.filter(|_| !quiet) {
            line.push_str(&format!("  {what}"));
        }
        line.push('\n');
        match &report.message {
            Some(message) if quiet => {
                let hidden = format!(
                    "{MASK} (why is not shown: the task has `no_log`, or what it says is a secret)"
                );
                let shown = if message == MASK { &hidden } else { message };
                line.push_str(&indented(shown, 4));
                if !report.place.file.is_empty() {
                    line.push_str(&format!(
                        "    at {}:{}:{}\n",
                        report.place.file, report.place.line, report.place.column
                    ));
                }
            }
            Some(message) if report.status != NodeStatus::Skipped || self.verbose > 0 => {
                line.push_str(&indented(message, 4));
            }
            _ => {}
        }
        if report.module == "debug" && report.status == NodeStatus::Ok {
            if let Some(said) = report.output.get("msg") {
                let text = said
                    .as_str()
                    .map_or_else(|| said.to_string(), str::to_owned);
                if report.message.as_deref() != Some(&text) {
                    line.push_str(&indented(&text, 4));
                }
            } else {
                // `var: NAME`
                for (name, value) in &report.output {
                    line.push_str(&indented(&format!("{name}: {value:#}"), 4));
                }
            }
        } else if self.verbose > 0 || report.status == NodeStatus::Failed {
            for (key, value) in &report.output {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let wanted = self.verbose > 0 || matches!(key.as_str(), "stdout" | "stderr" | "rc");
                if wanted && !text.is_empty() && Some(&text) != report.message.as_ref() {
                    line.push_str(&indented(&format!("{key}: {text}"), 4));
                }
            }
        }
        for note in &report.notes {
            line.push_str(&indented(&format!("note: {note}"), 4));
        }
        for assumption in report.assumptions.iter().filter(|_| self.check) {
            line.push_str(&indented(&format!("assuming: {assumption}"), 4));
        }
        for lost in &report.irreversible {
            line.push_str(&indented(&format!("irreversible: {lost}"), 4));
        }
        if self.diff
            && let Some(diff) = &report.diff
        {
            line.push_str(&coloured(diff, 4));
        }
        line
    }
}

impl Sink for Terminal {
    fn event(&self, event: Event) {
        let bold = Style::new().bold();
        // The text is that of skipped tasks of another host, after which others are still to be told.
        let mut of_others = false;
        let text = match &event {
            // What is no longer as the plan found it is told as mistakes are (`super::drift`).
            Event::Drifted { .. } => String::new(),
            Event::RunStarted {
                run,
                takes_back,
                resumed,
                ..
            } => {
                let what = takes_back
                    .as_ref()
                    .map_or(String::new(), |of| format!(", takes back {of}"));
                match run {
                    Some(run) if *resumed => format!("run {run} goes on{what}\n"),
                    Some(run) => format!("run {run}{what}\n"),
                    None => format!("check{what}: nothing will be changed\n"),
                }
            }
            Event::PlayStarted {
                play,
                hosts,
                goes_back,
            } => {
                let shown = if hosts.len() > 6 {
                    format!("{} hosts", hosts.len())
                } else {
                    hosts.join(", ")
                };
                let on_fail = if *goes_back {
                    "on failure: what it has done there is taken back\n"
                } else {
                    ""
                };
                format!("\n{bold}{play}{bold:#}  [{shown}]\n{on_fail}")
            }
            Event::RollbackStarted {
                run, play, hosts, ..
            } => format!(
                "\n{bold}\"{play}\" has failed, and is taken back{bold:#}  [{}]\nrun {run}\n",
                hosts.join(", ")
            ),
            Event::RollbackFinished {
                takes_back,
                play,
                hosts,
                left,
                ..
            } => {
                let hosts = hosts.join(", ");
                let what = match play {
                    Some(play) => format!("\"{play}\""),
                    None => format!("\nrun {takes_back}"),
                };
                if left.is_empty() {
                    format!("{what} has been taken back on {hosts}: all of it\n\n")
                } else {
                    format!(
                        "{what} has been taken back on {hosts}, but for:\n{}\n",
                        indented(&left.join("\n"), 2)
                    )
                }
            }
            Event::TaskStarted { .. } => String::new(),
            Event::TaskRetry {
                host,
                task,
                next,
                of,
                message,
            } => {
                let why = message.as_deref().unwrap_or_default();
                format!("retry       {host}: {task}  try {next} of {of}  {why}\n")
            }
            Event::TaskFinished(report) => {
                if report.changes.len() > report.irreversible.len() {
                    self.reversible.store(true, Ordering::Relaxed);
                }
                let plain = report.notes.is_empty() && self.verbose == 0;
                match (report.status, report.message.is_some()) {
                    (NodeStatus::Skipped, false) if plain => String::new(),
                    (NodeStatus::Skipped, true) if plain => {
                        let before = self.skipped.add(&report.host, &named(report));
                        of_others = true;
                        before.map(|line| skipped_line(&line)).unwrap_or_default()
                    }
                    _ => self.task(report),
                }
            }
            Event::RescueForetold { block, report } => {
                format!("if \"{block}\" fails: {}", self.task(report).trim_start())
            }
            Event::Warning { host, message } => {
                format!(
                    "warning: {}{message}\n",
                    host.as_ref().map(|h| format!("{h}: ")).unwrap_or_default()
                )
            }
            Event::RunFinished {
                run,
                hosts,
                costs,
                kept,
                down,
                interrupted,
                exit_code,
                ..
            } => {
                let mut text = "\n".to_owned();
                for (host, counts) in hosts {
                    let parts: Vec<String> = counts
                        .iter()
                        .map(|(status, n)| {
                            let style = style(*status);
                            let word = if self.check && *status == NodeStatus::Changed {
                                "change"
                            } else {
                                status.word()
                            };
                            format!("{style}{n} {word}{style:#}")
                        })
                        .collect();
                    text.push_str(&format!("{bold}{host}{bold:#}  {}", parts.join(", ")));
                    if let Some(cost) = costs.get(host).filter(|_| self.verbose > 0) {
                        text.push_str(&format!(
                            "  ({} round trips, {} bytes sent, {} received)",
                            cost.round_trips, cost.sent, cost.received
                        ));
                    }
                    text.push('\n');
                }
                if *interrupted {
                    text.push_str(
                        "interrupted: what was in flight was finished, nothing new was started\n",
                    );
                }
                if !down.is_empty() {
                    text.push_str("stopped by this run, and not running again:\n");
                    text.push_str(&indented(&down.join("\n"), 2));
                }
                match run {
                    None => text.push_str("Nothing has been changed.\n"),
                    Some(run) => {
                        let back = self.back.lock().map(|b| b.clone()).unwrap_or_default();
                        let changed = self.reversible.load(Ordering::Relaxed)
                            && hosts.iter().any(|(host, by)| {
                                by.contains_key(&NodeStatus::Changed) && !back.contains(host)
                            });
                        // What was taken back, wholly or in part, is not gone on with.
                        let open = matches!(
                            *exit_code,
                            exit::FAILED | exit::UNREACHABLE | exit::INTERRUPTED
                        ) && !self.went_back.load(Ordering::Relaxed);
                        let goes_on = format!("`runbook resume {run}` goes on with it");
                        let goes_back = format!("`runbook rollback {run}` takes it back");
                        let before = open && self.goes_on.load(Ordering::Relaxed);
                        match (open, changed || before || !down.is_empty()) {
                            (true, true) => {
                                text.push_str(&format!("run {run}: {goes_on}, {goes_back}\n"));
                            }
                            (true, false) => text.push_str(&format!("run {run}: {goes_on}\n")),
                            (false, true) => text.push_str(&format!("run {run}: {goes_back}\n")),
                            (false, false) => {}
                        }
                        if *kept > 0 {
                            let things = match kept {
                                1 => "1 thing is".to_owned(),
                                n => format!("{n} things are"),
                            };
                            text.push_str(&format!(
                                "{things} kept aside on the hosts until `runbook close {run}`\n"
                            ));
                        }
                    }
                }
                text
            }
        };
        if let Event::RunStarted { run, resumed, .. } = &event {
            self.goes_on.store(*resumed, Ordering::Relaxed);
            if let (Some(run), Ok(mut known)) = (run, self.run.lock()) {
                *known = Some(run.clone());
            }
        }
        if let Event::RollbackFinished {
            play: Some(_),
            hosts,
            left,
            ..
        } = &event
        {
            self.went_back.store(true, Ordering::Relaxed);
            if let (true, Ok(mut back)) = (left.is_empty(), self.back.lock()) {
                back.extend(hosts.iter().cloned());
            }
        }
        let run = self.run.lock().ok().and_then(|run| run.clone());
        let text = match run {
            Some(run) => text.replace("<run>", &run),
            None => text,
        };
        if !text.is_empty() {
            let _one_at_a_time = self.lines.lock();
            let before = if of_others { None } else { self.skipped.take() };
            let before = before.map(|line| skipped_line(&line)).unwrap_or_default();
            let _ = write!(anstream::stdout(), "{before}{text}");
        }
    }
}
