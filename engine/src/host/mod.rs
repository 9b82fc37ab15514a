//! A host as resource kinds and actions are handed it: [`Probe`] can only read, [`Target`] can also write.

mod error;
mod facts;
mod probe;
mod target;

pub use error::HostError;
pub use facts::{HostFacts, NAMES as FACTS, instead_of};
pub use probe::{Address, FileEntry, FileQuery, FileType, Probe, ReadCommand, Stream};
pub use target::{Command, Finished, Target};

use async_trait::async_trait;
use bytes::Bytes;

/// A snippet of POSIX sh.
#[derive(Debug, Clone, Copy)]
pub struct Snippet<'a> {
    /// What it begins with, the same for all of its sort: functions. It goes to a persistent shell once, and each snippet
    /// begins with it there as if it had been sent.
    pub functions: &'static str,
    /// The rest. Every variable part must have gone through [`crate::transport::quote::word`].
    pub body: &'a str,
}

impl<'a> From<&'a str> for Snippet<'a> {
    fn from(body: &'a str) -> Self {
        let functions = "";
        Self { functions, body }
    }
}

/// One way to a host (local, ssh, a container), as the transports implement it. Only [`Probe`] and [`Target`]
/// call it.
#[async_trait]
pub trait Connection: Send + Sync {
    /// Runs a snippet of POSIX sh in the persistent shell of `user` (opened at first use; requests are pipelined,
    /// and those queued within the same moment travel together). Binary-safe in both directions.
    ///
    /// `repeatable`: the snippet may be run again when its answer was lost with the connection (it only reads, or sees
    /// to it by itself that it does a thing once). Else a lost answer is [`HostError::Lost`].
    async fn snippet(
        &self,
        user: &User,
        snippet: Snippet<'_>,
        stdin: Option<Bytes>,
        repeatable: bool,
    ) -> Result<Reply, HostError>;

    /// As [`Connection::snippet`], without functions.
    async fn shell(
        &self,
        user: &User,
        script: &str,
        stdin: Option<Bytes>,
        repeatable: bool,
    ) -> Result<Reply, HostError> {
        self.snippet(user, script.into(), stdin, repeatable).await
    }

    /// Opens a byte stream to a socket as seen from the host. Where the socket needs the privilege of `user` or
    /// forwarding is forbidden, a stdio bridge under sudo takes its place.
    async fn open(&self, user: &User, address: &Address) -> Result<Stream, HostError>;

    /// Writes `content` to a new file `path` (mode 0600, fails if it exists) as `user`; large ones on a channel of
    /// their own.
    async fn upload(&self, user: &User, path: &str, content: Bytes) -> Result<(), HostError>;

    /// Copies a file of any size from the host into `to`, and returns its number of bytes. What was written to `to`
    /// before an error is worth nothing.
    async fn fetch(
        &self,
        user: &User,
        path: &str,
        to: &mut (dyn tokio::io::AsyncWrite + Send + Unpin),
    ) -> Result<u64, HostError> {
        use tokio::io::AsyncWriteExt as _;
        // A way of its own to hosts that have nothing better: through the shell, in memory.
        let script = format!("cat -- {}", crate::transport::quote::word(path));
        let reply = self.shell(user, &script, None, true).await?;
        if reply.status != 0 {
            let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
            return Err(HostError::failed(format!(
                "{path} could not be read: {said}"
            )));
        }
        let written = to.write_all(&reply.stdout).await;
        written.map_err(|e| HostError::failed(format!("{path} could not be kept here: {e}")))?;
        Ok(reply.stdout.len() as u64)
    }

    /// Runs a command apart from the shell, in its folder on the target; see [`Target::command`].
    async fn command(
        &self,
        user: &User,
        command: &Command,
        folder: &str,
    ) -> Result<Finished, HostError>;

    /// The results of the commands in these folders are in the journal: the folders may go.
    fn collected(&self, _user: &User, _folders: &[String]) {}

    /// Has it folders of commands whose results are in the journal?
    fn is_untidy(&self) -> bool {
        false
    }

    /// Removes the folders of commands whose results are in the journal.
    async fn tidy(&self) {}

    /// What the host says of itself, gathered when its first shell opens.
    async fn facts(&self) -> Result<HostFacts, HostError>;

    /// Opens the shell of a user beforehand, so that its first request does not wait for it.
    async fn warm(&self, _user: &User) {}

    /// What a person should know of how the host is reached: settings of `~/.ssh/config` that are not followed, other
    /// ways that had to be taken.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the host has cost so far.
    fn cost(&self) -> Cost;

    /// Ends all sessions. Idempotent.
    async fn close(&self);
}

/// As whom something is done on a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum User {
    /// The user that logged in.
    Login,
    /// Another user, through sudo (`become`).
    Become(String),
}

/// The answer of a shell snippet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: Bytes,
    /// Standard error.
    pub stderr: Bytes,
}

/// What a host has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Times that something was sent and its answer waited for.
    pub round_trips: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}
