//! Argument lists and environments of all that is started, as the kernel sees them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::search::Haystack;

/// What strace has to write down: each program that is started, with all of its words and variables, uncut.
const HOW: [&str; 10] = [
    "-f",
    "-qq",
    "-v",
    "--seccomp-bpf",
    "-s",
    "100000",
    "-e",
    "trace=execve,execveat",
    "-e",
    "signal=none",
];

/// How long strace may take to let go of what it looks at.
const PATIENCE: Duration = Duration::from_secs(20);

/// A call with all that it starts, written into `log`.
#[must_use]
pub fn traced(log: &Path, program: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(HOW).arg("-o").arg(log).arg("--").arg(program);
    command
}

/// A trace of processes that run already, and of all that they start.
pub struct Trace {
    strace: Child,
    log: PathBuf,
}

impl Trace {
    /// Of these processes.
    ///
    /// # Errors
    /// There is no strace, or it may not look at them.
    pub fn of(processes: &[u32], log: &Path) -> Result<Self> {
        let mut command = Command::new("strace");
        command.args(HOW).arg("-o").arg(log);
        for process in processes {
            command.args(["-p", &process.to_string()]);
        }
        let strace = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("strace")?;
        // It is attached when it has made its log and the processes know their tracer.
        for _ in 0..100 {
            let attached = processes.iter().all(|p| {
                std::fs::read_to_string(format!("/proc/{p}/status"))
                    .is_ok_and(|s| !s.contains("TracerPid:\t0\n"))
            });
            if attached {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            strace,
            log: log.to_owned(),
        })
    }

    /// What was started until now; nothing is looked at any more.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn end(mut self) -> Result<Haystack> {
        // SIGTERM lets it go of the processes, one after another. It has been seen to wait for one for ever; then the
        // kernel lets them go, and what was written until now is whole: each line is written at once.
        let id = self.strace.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let begun = Instant::now();
        while self.strace.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                self.strace.kill()?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read(&self.log).context("the log of strace")?;
        Ok(Haystack::new("the exec trace", log))
    }
}
