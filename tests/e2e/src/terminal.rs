//! A call of the program on a terminal, as a person sits at it.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{Scene, program};

const DEADLINE: Duration = Duration::from_secs(60);

/// A shell command on a terminal of its own, which util-linux's `script` gives.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    seen: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Starts a shell command in the scene's folder; `runbook` in it is the program.
    ///
    /// # Errors
    /// There is no `script`, or no program.
    pub fn start(scene: &Scene, command: &str) -> Result<Self> {
        let program = program()?;
        let folder = program.parent().context("the program lies nowhere")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new("script")
            .args(["-qefc", command, "/dev/null"])
            .current_dir(scene.folder())
            .env("PATH", format!("{}:{path}", folder.display()))
            .env("RUNBOOK_STATE", scene.path("state"))
            .env("RUNBOOK_KEY_FILE", scene.path("journal.key"))
            .env("RUNBOOK_LOCK_DIR", scene.locks())
            .env("HOME", scene.folder())
            .env("NO_COLOR", "1")
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("script")?;
        let keys = child.stdin.take().context("no keyboard")?;
        let mut screen = child.stdout.take().context("no screen")?;
        let seen = Arc::new(Mutex::new(String::new()));
        let writes = seen.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let mut seen = writes.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push_str(&text);
            }
        });
        Ok(Self {
            child,
            keys,
            seen,
            reader,
        })
    }

    /// What has been shown so far.
    #[must_use]
    pub fn seen(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// Waits until this is shown.
    ///
    /// # Errors
    /// It is not, within a minute.
    pub fn until(&self, text: &str) -> Result<()> {
        let begin = Instant::now();
        while !self.seen().contains(text) {
            if begin.elapsed() > DEADLINE {
                bail!("`{text}` was not shown, but: {}", self.seen());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Types. `\x03` is Ctrl-C.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// Waits for its end: exit code, and all that was shown.
    ///
    /// # Errors
    /// It does not end within a minute.
    pub fn end(mut self) -> Result<(i32, String)> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begin.elapsed() > DEADLINE {
                self.child.kill()?;
                bail!("it does not end; shown: {}", self.seen());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        drop(self.keys);
        drop(self.reader.join());
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((status.code().context("ended by a signal")?, seen.clone()))
    }
}
