//! A folder with playbooks and inventories, and calls of the program in it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::program;

/// No call of a test takes longer than this.
const DEADLINE: Duration = Duration::from_secs(90);

/// A folder of its own, with a state and a journal key of its own. It goes when this is dropped.
pub struct Scene {
    folder: tempfile::TempDir,
    locks: Option<PathBuf>,
    /// The program; `None`: the one that the tests find.
    program: Option<PathBuf>,
}

/// What a call has printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// How long it took.
    pub took: Duration,
}

impl Scene {
    /// An empty one.
    ///
    /// # Errors
    /// No folder can be made.
    pub fn new() -> Result<Self> {
        Self::of(tempfile::tempdir()?, None)
    }

    /// An empty one in another folder than that for temporary files, for this program.
    ///
    /// # Errors
    /// No folder can be made.
    pub fn within(above: &Path, program: &Path) -> Result<Self> {
        Self::of(tempfile::tempdir_in(above)?, Some(program.to_owned()))
    }

    fn of(folder: tempfile::TempDir, program: Option<PathBuf>) -> Result<Self> {
        // So that names are looked up here, and not in the project that holds the tests.
        fs::create_dir(folder.path().join("playbooks"))?;
        Ok(Self {
            folder,
            locks: None,
            program,
        })
    }

    /// Its path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// The program as it is called in the folder, without a terminal; for tests that do something while it runs.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        self.command_under(&[], args)
    }

    /// As [`Scene::command`], started by another program with these arguments.
    ///
    /// # Errors
    /// The program cannot be built.
    pub fn command_under(&self, under: &[&str], args: &[&str]) -> Result<Command> {
        let program = match &self.program {
            Some(given) => given.clone(),
            None => program()?,
        };
        let mut command = match under {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .args(args)
            .current_dir(self.folder())
            .env("RUNBOOK_STATE", self.path("state"))
            .env("RUNBOOK_KEY_FILE", self.path("journal.key"))
            .env("RUNBOOK_LOCK_DIR", self.locks())
            .env("HOME", self.folder())
            .env("NO_COLOR", "1")
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("RUNBOOK_LOG")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// The folder in which this machine is locked: that of the scene, so that tests do not wait for each other.
    #[must_use]
    pub fn locks(&self) -> &Path {
        self.locks.as_deref().unwrap_or_else(|| self.folder())
    }

    /// This machine is the same for both scenes: what one locks the other finds locked.
    #[must_use]
    pub fn on_the_machine_of(mut self, other: &Self) -> Self {
        self.locks = Some(other.locks().to_owned());
        self
    }

    /// Calls the program in the folder, without a terminal. Whatever the call, what it prints has to be fit for
    /// people: see [`Run::is_fit_for_people`].
    ///
    /// # Errors
    /// It does not start, does not end within 90 s, is ended by a signal, or prints what is not fit for people.
    pub fn runbook(&self, args: &[&str]) -> Result<Run> {
        self.start(args)?.end()
    }

    /// Starts the program in the folder, without a terminal.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, args: &[&str]) -> Result<Started> {
        self.start_as_on(self, args)
    }

    /// As [`Scene::start`], as if this machine were the one of another scene.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_as_on(&self, machine: &Self, args: &[&str]) -> Result<Started> {
        let mut child = self
            .command(args)?
            .env("RUNBOOK_LOCK_DIR", machine.locks())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Started {
            out: Some(reader(child.stdout.take().context("no standard output")?)),
            err: Some(reader(child.stderr.take().context("no standard error")?)),
            begin: Instant::now(),
            args: format!("runbook {args:?}"),
            child: Some(child),
        })
    }
}

/// A call that runs. It is killed when this is dropped.
pub struct Started {
    child: Option<Child>,
    out: Option<JoinHandle<Vec<u8>>>,
    err: Option<JoinHandle<Vec<u8>>>,
    begin: Instant,
    args: String,
}

fn reader(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What came before a pipe broke is what there is.
        drop(from.read_to_end(&mut text));
        text
    })
}

impl Started {
    /// Number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Sends it a signal, by its name (`INT`).
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill")
            .args(["-s", name, &self.id().to_string()])
            .status()?;
        ensure!(sent.success(), "{}: it could not be signalled", self.args);
        Ok(())
    }

    /// Kills it, so that it can tidy up nothing.
    ///
    /// # Errors
    /// It has ended.
    pub fn kill(mut self) -> Result<()> {
        let mut child = self.child.take().context("it has ended")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end within 90 s, is ended by a signal, or prints what is not fit for people.
    pub fn end(mut self) -> Result<Run> {
        let mut child = self.child.take().context("it has ended")?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.begin.elapsed() > DEADLINE {
                child.kill()?;
                child.wait()?;
                bail!("{} did not end within {DEADLINE:?}", self.args);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = self.begin.elapsed();
        let text = |thread: Option<JoinHandle<Vec<u8>>>| -> Result<String> {
            let bytes = thread
                .context("it was read")?
                .join()
                .map_err(|_| anyhow::anyhow!("the reader has panicked"))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let run = Run {
            code: status
                .code()
                .with_context(|| format!("{}: {status}", self.args))?,
            out: text(self.out.take())?,
            err: text(self.err.take())?,
            took,
        };
        run.is_fit_for_people()?;
        Ok(run)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Run {
    /// All that was printed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// The events of `--output json`.
    ///
    /// # Errors
    /// A line is no JSON.
    pub fn events(&self) -> Result<Vec<Value>> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    /// The events of finished tasks of a host.
    ///
    /// # Errors
    /// A line is no JSON.
    pub fn tasks(&self, host: &str) -> Result<Vec<Value>> {
        let mut events = self.events()?;
        events.retain(|e| e["event"] == "task-finished" && e["host"] == host);
        Ok(events)
    }

    /// Places of all diagnostics on standard error, in order: id, file, line, column.
    #[must_use]
    pub fn places(&self) -> Vec<(String, String, usize, usize)> {
        let mut found = Vec::new();
        let mut id = None;
        for line in self.err.lines() {
            let head = line
                .strip_prefix("error[")
                .or_else(|| line.strip_prefix("warning["));
            if let Some((name, _)) = head.and_then(|rest| rest.split_once(']')) {
                id = Some(name.to_owned());
            } else if let Some(place) = line.trim_start().strip_prefix("--> ") {
                // Only the first place after a head is that of the mistake; others explain it.
                let mut parts = place.rsplitn(3, ':');
                let column = parts.next().and_then(|p| p.parse().ok());
                let number = parts.next().and_then(|p| p.parse().ok());
                let file = parts.next();
                if let (Some(id), Some(file), Some(number), Some(column)) =
                    (id.take(), file, number, column)
                {
                    found.push((id, file.to_owned(), number, column));
                }
            }
        }
        found
    }

    /// Neither a panic nor a value as only its programmer would write it.
    ///
    /// # Errors
    /// What was found.
    pub fn is_fit_for_people(&self) -> Result<()> {
        let text = self.text();
        for dump in [
            "panicked at",
            "RUST_BACKTRACE",
            "stack backtrace",
            "called `Option",
            "called `Result",
            "Os {",
            "Custom {",
            "Error {",
            "Error(",
            "Err(",
            "Ok(",
            "Some(",
            "PathBuf",
            "kind: ",
            "Elapsed(",
        ] {
            ensure!(
                !text.contains(dump),
                "`{dump}` is nothing for people:\n{text}"
            );
        }
        Ok(())
    }
}

/// A call in a scene that has to end with this code.
///
/// # Errors
/// It ends with another; see [`Scene::runbook`].
pub fn call(scene: &Scene, args: &[&str], code: i32) -> Result<Run> {
    let run = scene.runbook(args)?;
    ensure!(run.code == code, "{args:?}: {}\n{}", run.code, run.text());
    Ok(run)
}

/// Waits until a file is there.
///
/// # Errors
/// It is not within 30 s.
pub fn appears(path: &Path) -> Result<()> {
    let begin = Instant::now();
    while !path.exists() {
        ensure!(
            begin.elapsed() < Duration::from_secs(30),
            "{} does not appear",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
