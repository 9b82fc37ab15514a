//! Commands that a run has begun on a host: how they stand there now, as their folders say
//! ([`crate::transport::command`]).
//!
//! A run that was killed leaves its commands running, and the folders of those that have ended: their scripts hold values
//! of variables. Whoever takes the run back waits for the first, and removes the second.

use std::collections::BTreeMap;

use super::hosts::Fleet;
use crate::host::{HostError, ReadCommand, Reply, Target};
use crate::journal::{Entry, Record};
use crate::transport::command::{BASE, PLACE};
use crate::transport::quote::word;

/// A command (or another action) that stands in the journal as begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// The host that the task was about.
    pub host: String,
    /// The host that it was begun on, where that is another (`delegate_to`).
    pub on: Option<String>,
    /// The user that was become, if any.
    pub user: Option<String>,
    /// Id of the node.
    pub node: String,
    /// Name of the task.
    pub task: String,
    /// Its folder below that of the user: `RUN/NAME`.
    pub folder: String,
    /// What came of it stands in the journal.
    pub known: bool,
}

impl Begun {
    /// The host that it was begun on.
    #[must_use]
    pub fn acting(&self) -> &str {
        self.on.as_deref().unwrap_or(&self.host)
    }
}

/// The actions of a run whose folders may still be on the hosts, in their order. A run that came to its end has removed
/// those of which it knows what came of them.
#[must_use]
pub fn begun(entries: &[Entry]) -> Vec<Begun> {
    let mut all: Vec<Begun> = Vec::new();
    for entry in entries {
        match &entry.record {
            Record::ActionIntended {
                task,
                folder,
                on,
                user,
                ..
            } => all.push(Begun {
                host: entry.host.clone(),
                on: on.clone(),
                user: user.clone(),
                node: entry.node.clone(),
                task: task.clone(),
                folder: folder.clone(),
                known: false,
            }),
            Record::ActionFinished { .. } => {
                let of_node = |b: &&mut Begun| b.host == entry.host && b.node == entry.node;
                if let Some(last) = all.iter_mut().rev().find(of_node) {
                    last.known = true;
                }
            }
            Record::RunFinished { .. } => all.retain(|b| !b.known),
            _ => {}
        }
    }
    all
}

/// How a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There is no folder: it was never begun there, or it has ended and was tidied away.
    Absent,
    /// It has ended; its result lies there.
    Ended,
    /// Its process is gone without a result: the host restarted, or somebody ended it.
    Lost,
    /// It was to be started, and no process of it came up so far.
    Unbegun,
    /// It runs.
    Running,
}

impl Stage {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "absent" => Self::Absent,
            "ended" => Self::Ended,
            "lost" => Self::Lost,
            "unbegun" => Self::Unbegun,
            "running" => Self::Running,
            _ => return None,
        })
    }
}

/// Sets `w` to how the command in the folder `$d` stands.
const STAGE: &str = r#"stage() {
[ -d "$d" ] || { w=absent; return; }
[ -e "$d/status" ] && { w=ended; return; }
r=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)
if [ -e "$d/boot" ] && [ "$(cat "$d/boot")" != "$r" ]; then w=lost; return; fi
if [ ! -e "$d/go" ]; then sleep 1; [ -e "$d/go" ] || { w=unbegun; return; }; fi
[ -e "$d/pid" ] || sleep 1
if [ -e "$d/pid" ] && kill -0 "$(cat "$d/pid")" 2>/dev/null; then w=running
elif [ -e "$d/status" ]; then w=ended; else w=lost; fi
}"#;

/// The folders of commands as words of a shell, below `$b`.
fn below(begun: &[Begun]) -> String {
    let mut words = String::new();
    for one in begun {
        words.push_str(" \"$b\"/");
        words.push_str(&word(&one.folder));
    }
    words
}

/// The commands with the same host and user, in one question.
#[must_use]
pub fn by_user(begun: &[Begun]) -> BTreeMap<(String, Option<String>), Vec<Begun>> {
    let mut by: BTreeMap<(String, Option<String>), Vec<Begun>> = BTreeMap::new();
    for one in begun {
        let place = (one.acting().to_owned(), one.user.clone());
        by.entry(place).or_default().push(one.clone());
    }
    by
}

impl Fleet {
    /// How these commands stand, in their order. Nothing is changed on the host.
    ///
    /// # Errors
    /// The host cannot be reached, or the user cannot be become.
    pub async fn stages(
        &self,
        host: &str,
        user: Option<&str>,
        begun: &[Begun],
    ) -> Result<Vec<Stage>, HostError> {
        let script = format!(
            "{PLACE}; {STAGE}\nfor d in{}; do if [ -O \"$b\" ]; then stage; else w=absent; fi; echo $w; done",
            below(begun)
        );
        let reply = self.ask(host, user, &script).await?;
        understood(host, &reply, begun.len())
    }

    /// How many commands of a run still run on a host, where its journal is not at hand.
    ///
    /// # Errors
    /// The host cannot be reached, or the user cannot be become.
    pub async fn runs_still(
        &self,
        host: &str,
        user: Option<&str>,
        run: &str,
    ) -> Result<usize, HostError> {
        let script = format!(
            "{PLACE}; {STAGE}\nif [ -O \"$b\" ]; then for d in \"$b\"/{}/*; do [ -d \"$d\" ] || continue; stage; echo $w; \
             done; fi",
            word(run)
        );
        let reply = self.ask(host, user, &script).await?;
        let text = String::from_utf8_lossy(&reply.stdout).into_owned();
        Ok(text.lines().filter(|line| *line == "running").count())
    }

    /// Removes the folders of the commands that do not run; one that has not begun cannot begin afterwards. Gives how they
    /// stood, in their order: those that are [`Stage::Running`] are as they were.
    ///
    /// # Errors
    /// The host cannot be reached, or the user cannot be become.
    pub async fn sweep(
        &self,
        host: &str,
        user: Option<&str>,
        begun: &[Begun],
    ) -> Result<Vec<Stage>, HostError> {
        // Of two that make `go` one succeeds: it has not begun, or it runs.
        let script = format!(
            "{BASE}; {STAGE}\nfor d in{}; do stage\n\
             [ $w != unbegun ] || mkdir \"$d/go\" 2>/dev/null || w=running\n\
             case $w in ended|lost|unbegun|absent) rm -rf \"$d\" \"$d\".*;; esac\n\
             rmdir \"${{d%/*}}\" 2>/dev/null; echo $w; done; rmdir \"$b\" 2>/dev/null; true",
            below(begun)
        );
        let link = self.link(host).await?;
        let target = Target::new(link.probe.with_user(link.user(user)));
        let reply = target.repeatable(&script, None).await?;
        understood(host, &reply, begun.len())
    }

    /// What a script of the shell says that changes nothing.
    async fn ask(&self, host: &str, user: Option<&str>, script: &str) -> Result<Reply, HostError> {
        let link = self.link(host).await?;
        let probe = link.probe.with_user(link.user(user));
        probe.command(&ReadCommand::new(["sh", "-c", script])).await
    }
}

fn understood(host: &str, reply: &Reply, amount: usize) -> Result<Vec<Stage>, HostError> {
    let text = String::from_utf8_lossy(&reply.stdout).into_owned();
    let stages: Vec<Stage> = text.lines().filter_map(Stage::of).collect();
    if stages.len() == amount {
        return Ok(stages);
    }
    let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
    Err(HostError::failed(format!(
        "{host}: it cannot be seen whether a command of the run still runs: {said}"
    )))
}
