//! Programs of this machine.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// What a program has written, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit status; none when a signal ended it.
    pub status: Option<i32>,
}

/// A program to run.
pub(crate) struct Command {
    inner: std::process::Command,
    input: Option<String>,
    shown: bool,
}

impl Command {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut inner = std::process::Command::new(program);
        inner.env("DEBIAN_FRONTEND", "noninteractive");
        Self {
            inner,
            input: None,
            shown: false,
        }
    }

    pub(crate) fn docker(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self::new("docker").args(args)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.inner.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.inner.args(args);
        self
    }

    pub(crate) fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// What it writes is seen as it comes.
    pub(crate) fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    pub(crate) fn succeeds(self) -> bool {
        self.output().is_ok_and(|o| o.status == Some(0))
    }

    pub(crate) fn run(self) -> Result<Output> {
        let what = format!("{:?}", self.inner);
        let output = self.output()?;
        if output.status != Some(0) {
            bail!(
                "{what}: status {:?}\n{}{}",
                output.status,
                output.stdout,
                output.stderr
            );
        }
        Ok(output)
    }

    pub(crate) fn output(mut self) -> Result<Output> {
        let what = format!("{:?}", self.inner);
        let pipe = || {
            if self.shown {
                Stdio::inherit()
            } else {
                Stdio::piped()
            }
        };
        let input = if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        self.inner.stdout(pipe()).stderr(pipe()).stdin(input);
        let mut child = self.inner.spawn().with_context(|| what.clone())?;
        // A thread writes, so that a program that answers before it has read everything blocks nobody.
        let writer =
            child.stdin.take().zip(self.input).map(|(mut stdin, text)| {
                std::thread::spawn(move || stdin.write_all(text.as_bytes()))
            });
        let output = child.wait_with_output().context(what)?;
        // A program that ends without reading all of its input says why by its status.
        drop(writer.map(std::thread::JoinHandle::join));
        Ok(Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status.code(),
        })
    }
}

/// Waits until something is so.
pub(crate) fn wait(what: &str, seconds: u64, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !so()? {
        if Instant::now() > end {
            bail!("not within {seconds} s: {what}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

pub(crate) fn say(text: &str) {
    // Nobody reads it when standard error is closed.
    drop(writeln!(std::io::stderr(), "lab: {text}"));
}
