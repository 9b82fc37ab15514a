//! What is done to a run while it goes on.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::{Connection, OpenFlags};

use crate::Scene;

/// No run of a trial takes longer than this.
const DEADLINE: Duration = Duration::from_secs(300);
/// So long each flush of the journal is held up while its records are looked at.
const HELD: Duration = Duration::from_millis(60);

/// What happens to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Harm {
    /// The program gets SIGKILL when it has written to its journal for the n-th time, from 1, and is about to flush it.
    Flush(u32),
    /// The same, and again whenever a program that resumes the run has written so often, until one comes to the end.
    Every(u32, u32),
    /// The program gets SIGKILL whenever one of these records has come to its journal, and so does whatever resumes it, until
    /// one comes to the end. They are numbered from 0 in the order of their names.
    Records(BTreeSet<usize>),
    /// The program gets SIGKILL after this time.
    Instant(Duration),
    /// The connection breaks when this many bytes have gone over it, in both directions together; for a while nobody can
    /// connect, or, without a while, until somebody has killed the run.
    Byte(u64, Option<Duration>),
    /// What only the stage knows how to do.
    Own(String),
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flush(n) => write!(f, "flush:{n}"),
            Self::Every(n, m) => write!(f, "flush:{n}-every-{m}"),
            Self::Records(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
                write!(f, "records:{}", numbers.join("+"))
            }
            Self::Instant(after) => write!(f, "instant:{}us", after.as_micros()),
            Self::Byte(n, Some(gone)) => write!(f, "byte:{n}:gone-{}ms", gone.as_millis()),
            Self::Byte(n, None) => write!(f, "byte:{n}:gone"),
            Self::Own(what) => f.write_str(what),
        }
    }
}

impl Harm {
    /// The harm of this name, unless it is one that only its stage knows.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (kind, rest) = name.split_once(':')?;
        Some(match kind {
            "flush" => match rest.split_once("-every-") {
                Some((n, m)) => Self::Every(n.parse().ok()?, m.parse().ok()?),
                None => Self::Flush(rest.parse().ok()?),
            },
            "records" => {
                let numbers = rest.split('+').map(|number| number.parse().ok());
                Self::Records(numbers.collect::<Option<_>>()?)
            }
            "instant" => Self::Instant(Duration::from_micros(
                rest.strip_suffix("us")?.parse().ok()?,
            )),
            "byte" => {
                let (n, gone) = rest.split_once(":gone")?;
                let gone = match gone.strip_prefix('-') {
                    Some(gone) => Some(Duration::from_millis(
                        gone.strip_suffix("ms")?.parse().ok()?,
                    )),
                    None => None,
                };
                Self::Byte(n.parse().ok()?, gone)
            }
            _ => return None,
        })
    }
}

/// How a call ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it printed to standard error.
    pub err: String,
    /// How long it took.
    pub took: Duration,
    /// What was to disturb it came while there was something to be disturbed.
    pub in_time: bool,
}

/// A call that goes on. It is killed when this is dropped.
pub struct Going {
    child: Child,
    begin: Instant,
    out: PathBuf,
    err: PathBuf,
    what: String,
}

impl Going {
    /// Starts a call of the program in a scene, under another program where one is given.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(scene: &Scene, under: &[&str], args: &[&str]) -> Result<Self> {
        Self::of(
            scene.command_under(under, args)?,
            scene,
            format!("{args:?}"),
        )
    }

    /// Starts a command whose output goes to files of a scene.
    ///
    /// # Errors
    /// It does not start.
    pub fn of(mut command: Command, scene: &Scene, what: String) -> Result<Self> {
        // Files: a pipe that nobody reads would hold the program up, and its end would be that of what it has started.
        let (out, err) = (scene.path("said.out"), scene.path("said.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()
            .with_context(|| what.clone())?;
        Ok(Self {
            child,
            begin: Instant::now(),
            out,
            err,
            what,
        })
    }

    /// Sends SIGKILL to the program that runs under another one.
    fn kill_followed(&self) -> Result<()> {
        let id = self.child.id();
        let listed = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let Some(followed) = listed.split_whitespace().next() else {
            return Ok(());
        };
        let sent = Command::new("kill").args(["-KILL", followed]).status()?;
        ensure!(sent.success(), "no signal could be sent to {followed}");
        Ok(())
    }

    /// Waits until it ends, for at most this long; none where it goes on still.
    ///
    /// # Errors
    /// The system says nothing of it.
    pub fn wait(&mut self, at_most: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + at_most;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(left.min(Duration::from_millis(2)));
        }
    }

    /// What it has printed so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.out)?).into_owned())
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill()?)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It does not within 300 s.
    pub fn end(mut self) -> Result<Ended> {
        let status = self.wait(DEADLINE)?;
        let took = self.begin.elapsed();
        let text = |path: &PathBuf| {
            fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let (out, err) = (text(&self.out)?, text(&self.err)?);
        let Some(status) = status else {
            bail!("{} did not end within {DEADLINE:?}\n{out}{err}", self.what);
        };
        Ok(Ended {
            code: status.code(),
            out,
            err,
            took,
            in_time: true,
        })
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The words of strace that see each flush of the journal. Only the program's first thread is followed: it is the one
/// that writes the journal, which the trial looks after.
fn strace(scene: &Scene) -> Vec<String> {
    let journal = scene.path("state/runs.db-wal").display().to_string();
    let trace = scene.path("trace").display().to_string();
    let words = [
        "strace",
        "-qqq",
        "-e",
        "signal=none",
        "-e",
        "trace=fsync,fdatasync",
        "-o",
        &trace,
        "-P",
        &journal,
    ];
    words.map(str::to_owned).to_vec()
}

/// Can programs be followed here?
#[must_use]
pub fn can_follow() -> bool {
    let tried = Command::new("strace")
        .args(["-qqq", "-o", "/dev/null", "true"])
        .stdin(Stdio::null())
        .output();
    tried.is_ok_and(|o| o.status.success())
}

/// Carries out a call and counts how often the journal is flushed.
///
/// # Errors
/// It does not start or end.
pub fn counted(scene: &Scene, args: &[&str]) -> Result<(Ended, u32)> {
    let words = strace(scene);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = Going::start(scene, &words, args)?.end()?;
    let trace = fs::read_to_string(scene.path("trace"))?;
    let flushes = trace.lines().filter(|l| l.contains("sync(")).count();
    Ok((ended, u32::try_from(flushes)?))
}

/// Carries out a call that is killed at the n-th flush of the journal.
///
/// # Errors
/// It does not start or end.
pub fn killed_at_flush(scene: &Scene, args: &[&str], n: u32) -> Result<Ended> {
    let mut words = strace(scene);
    // The signal comes before the call is made: what was written is in the file, and was not flushed.
    words.extend([
        "-e".to_owned(),
        format!("inject=fsync,fdatasync:signal=SIGKILL:when={n}"),
    ]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Going::start(scene, &words, args)?.end()
}

/// Carries out a call that is killed as soon as one of these records, as [`super::progress`] names them, is in its journal and
/// about to be flushed. It is held up at each flush, so that no other one of the same branch comes in between.
///
/// # Errors
/// It does not start or end.
pub fn killed_after_record(
    scene: &Scene,
    args: &[&str],
    wanted: &BTreeSet<String>,
) -> Result<Ended> {
    let mut words = strace(scene);
    words.extend([
        "-e".to_owned(),
        format!("inject=fsync,fdatasync:delay_enter={}", HELD.as_micros()),
    ]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut going = Going::start(scene, &words, args)?;
    let mut written = Written::of(scene)?;
    while going.begin.elapsed() < DEADLINE && going.wait(Duration::from_millis(2))?.is_none() {
        if written
            .names()?
            .is_some_and(|names| !names.is_disjoint(wanted))
        {
            going.kill_followed()?;
            break;
        }
    }
    going.end()
}

/// What has been written to a journal, flushed or not. Readers of the file itself see a record when it was flushed, so this
/// looks at a copy.
struct Written {
    journal: PathBuf,
    copy: tempfile::TempDir,
    looked: Option<SystemTime>,
}

/// Times of files are no finer than this.
const TICK: Duration = Duration::from_millis(20);

impl Written {
    fn of(scene: &Scene) -> Result<Self> {
        Ok(Self {
            journal: scene.path("state/runs.db"),
            copy: tempfile::tempdir()?,
            looked: None,
        })
    }

    /// The records that there are, if there may be others than the last time.
    fn names(&mut self) -> Result<Option<BTreeSet<String>>> {
        let log = self.journal.with_extension("db-wal");
        let Ok(at) = fs::metadata(&log).and_then(|m| m.modified()) else {
            return Ok(None);
        };
        let now = SystemTime::now();
        if self.looked.is_some_and(|looked| looked > at + TICK) {
            return Ok(None);
        }
        let copy = self.copy.path().join("runs.db");
        // The index is made from the copied log.
        drop(fs::remove_file(copy.with_extension("db-shm")));
        // The log goes away when the program has ended well.
        if fs::copy(&log, copy.with_extension("db-wal")).is_err() {
            return Ok(None);
        }
        fs::copy(&self.journal, &copy)?;
        self.looked = Some(now);
        // A copy that was made while the program wrote may be none that can be read.
        Ok(read(&copy).ok())
    }
}

fn read(journal: &Path) -> rusqlite::Result<BTreeSet<String>> {
    let store = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut query = store.prepare("select host || ' ' || node || ' ' || kind from records")?;
    query.query_map([], |row| row.get(0))?.collect()
}

/// Carries out a call that is killed after a time.
///
/// # Errors
/// It does not start or end.
pub fn killed_after(scene: &Scene, args: &[&str], after: Duration) -> Result<Ended> {
    let mut going = Going::start(scene, &[], args)?;
    if going.wait(after)?.is_none() {
        going.kill()?;
    }
    going.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_report_names_can_be_asked_for() {
        for harm in [
            Harm::Flush(7),
            Harm::Every(9, 10),
            Harm::Records(BTreeSet::from([4, 13, 22])),
            Harm::Instant(Duration::from_micros(1_234_567)),
            Harm::Byte(311_223, Some(Duration::from_millis(703))),
            Harm::Byte(311_223, None),
        ] {
            assert_eq!(Harm::named(&harm.to_string()), Some(harm));
        }
        assert_eq!(Harm::named("slapd-killed-at-20%"), None);
    }
}
