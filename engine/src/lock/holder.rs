//! Who holds a lock, and whether he is still there.

use std::fs;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The command is cut to this many bytes: a holder has to fit into a symbolic link (1023 bytes on XFS).
const LONGEST: usize = 240;
/// Names of users and machines are cut to this many bytes.
const NAME: usize = 80;

/// Who holds a lock. It says nothing that is secret: everybody on a machine can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Id of the run.
    pub run: String,
    /// The person: who called sudo, else the user.
    pub user: String,
    /// Name of the machine that the run was started on.
    pub machine: String,
    /// Its process there.
    pub pid: u32,
    /// When it was taken, RFC 3339, UTC, by that machine's clock.
    pub since: String,
    /// What was called, without variables and arguments of modules.
    pub command: String,
    /// What the process is known by.
    pub process: Process,
}

/// What tells a process from all others, as far as it is known: machine and boot as hashes, since ids of machines are
/// nobody's business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine.
    id: String,
    /// Its boot.
    boot: String,
    /// Number of the namespace that the process' number is of.
    ns: String,
    /// When it started, in clock ticks since the boot.
    start: u64,
}

/// Whether a holder is still at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// Its process runs on this machine.
    Runs,
    /// It ran on this machine and is not there any more.
    Gone,
    /// It cannot be seen from here.
    Elsewhere,
}

impl Holder {
    /// This process, for a run.
    #[must_use]
    pub fn here(run: &str, command: &str) -> Self {
        let pid = std::process::id();
        Self {
            run: run.to_owned(),
            user: plain(&person(), NAME),
            machine: plain(&host_name(), NAME),
            pid,
            since: jiff::Timestamp::now()
                .round(jiff::Unit::Second)
                .unwrap_or_else(|_| jiff::Timestamp::now())
                .to_string(),
            command: plain(command, LONGEST),
            process: Process {
                start: started(pid).unwrap_or(0),
                ..Process::here()
            },
        }
    }

    /// Is it still at work?
    #[must_use]
    pub fn trace(&self) -> Trace {
        let (here, there) = (Process::here(), &self.process);
        let known = |a: &str, b: &str| !a.is_empty() && a == b;
        if known(&here.boot, &there.boot) && known(&here.ns, &there.ns) {
            return if started(self.pid) == Some(there.start) {
                Trace::Runs
            } else {
                Trace::Gone
            };
        }
        // Machines that were cloned share their id; they rarely share their name too.
        let this_machine = known(&here.id, &there.id) && host_name() == self.machine;
        if this_machine && !there.boot.is_empty() && here.boot != there.boot {
            return Trace::Gone;
        }
        Trace::Elsewhere
    }

    /// How long it has been held, by this machine's clock, in words.
    #[must_use]
    pub fn age(&self) -> String {
        let Ok(since) = self.since.parse::<jiff::Timestamp>() else {
            return "for an unknown time".to_owned();
        };
        let seconds = jiff::Timestamp::now()
            .duration_since(since)
            .as_secs()
            .max(0);
        let (number, unit) = match seconds {
            0..=119 => (seconds, "second"),
            120..=7_199 => (seconds / 60, "minute"),
            7_200..=172_799 => (seconds / 3600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {unit}{plural}")
    }

    /// As it stands in a lock: one line of JSON.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What a lock says. `None`: it was not written by this program.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let found: Self = serde_json::from_str(text).ok()?;
        Some(Self {
            run: plain(&found.run, NAME),
            user: plain(&found.user, NAME),
            machine: plain(&found.machine, NAME),
            since: plain(&found.since, NAME),
            command: plain(&found.command, LONGEST),
            ..found
        })
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}@{} since {} ({}), run {}: `{}`",
            self.user,
            self.machine,
            self.since,
            self.age(),
            self.run,
            self.command
        )
    }
}

impl Process {
    /// This machine, without a process.
    fn here() -> Self {
        let hashed = |path: &str| match fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => {
                hex::encode(&Sha256::digest(format!("runbook {}", text.trim()))[..8])
            }
            _ => String::new(),
        };
        let namespace = fs::read_link("/proc/self/ns/pid");
        Self {
            id: hashed("/etc/machine-id"),
            boot: hashed("/proc/sys/kernel/random/boot_id"),
            ns: namespace.map_or_else(|_| String::new(), |n| n.display().to_string()),
            start: 0,
        }
    }
}

/// When a process of this machine started, in clock ticks since the boot; `None`: there is none, or only its remains.
fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Who sits there: the person who called sudo, else the user.
fn person() -> String {
    let uid = rustix::process::getuid().as_raw();
    let sudo = std::env::var("SUDO_USER")
        .ok()
        .filter(|n| uid == 0 && !n.is_empty());
    if let Some(name) = sudo {
        return name;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    own.or_else(|| std::env::var("USER").ok())
        .unwrap_or_else(|| uid.to_string())
}

fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The beginning of a text, at most so many bytes, and nothing in it that would move the cursor of who reads it.
fn plain(text: &str, most: usize) -> String {
    let text = text.replace(char::is_control, "?");
    if text.len() <= most {
        return text;
    }
    let end = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= most - 3)
        .last()
        .unwrap_or(0);
    format!("{}…", &text[..end])
}
