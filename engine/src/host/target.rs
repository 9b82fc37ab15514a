//! Writing to a host. Only the engine makes a [`Target`], and in check mode it makes none.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{HostError, Probe, Reply, Snippet, User};

/// Can change a host as one user. Reads as a [`Probe`] does.
#[derive(Clone)]
pub struct Target {
    probe: Probe,
}

impl Deref for Target {
    type Target = Probe;
    fn deref(&self) -> &Probe {
        &self.probe
    }
}

impl Target {
    /// Only the engine's writer calls this, and only in a run.
    pub(crate) fn new(probe: Probe) -> Self {
        Self { probe }
    }

    /// The same host as another user.
    #[must_use]
    pub fn with_user(&self, user: User) -> Self {
        Self {
            probe: self.probe.with_user(user),
        }
    }

    /// Runs a snippet of POSIX sh that changes something. Every variable part must have gone through
    /// [`crate::transport::quote::word`].
    pub async fn script(&self, script: &str, stdin: Option<Bytes>) -> Result<Reply, HostError> {
        self.probe
            .connection
            .shell(&self.probe.user, script, stdin, false)
            .await
    }

    /// As [`Target::script`], for a snippet that begins with functions which many begin with.
    pub async fn snippet(
        &self,
        snippet: Snippet<'_>,
        stdin: Option<Bytes>,
    ) -> Result<Reply, HostError> {
        self.probe
            .connection
            .snippet(&self.probe.user, snippet, stdin, false)
            .await
    }

    /// As [`Target::script`], for one that may run twice: it is sent again where its answer is lost.
    pub async fn repeatable(&self, script: &str, stdin: Option<Bytes>) -> Result<Reply, HostError> {
        self.probe
            .connection
            .shell(&self.probe.user, script, stdin, true)
            .await
    }

    /// Writes `content` to the new file `path` (mode 0600; fails if it exists).
    pub async fn upload(&self, path: &str, content: Bytes) -> Result<(), HostError> {
        self.probe
            .connection
            .upload(&self.probe.user, path, content)
            .await
    }

    /// Runs a command apart from the shell that carries it: own session, own stdin, in `folder` on the target, made
    /// before it starts, where output and status are written. Neither a killed controller nor a cut connection stops
    /// it or starts it twice: no folder, never started; a status, collect it; still running, wait. The folder is
    /// removed once the result is here.
    pub async fn command(&self, command: &Command, folder: &str) -> Result<Finished, HostError> {
        self.probe
            .connection
            .command(&self.probe.user, command, folder)
            .await
    }
}

/// A command to run apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments, passed as they are.
    pub argv: Vec<String>,
    /// Variables added to the environment. Values travel by file, not on a command line.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub chdir: Option<String>,
    /// Standard input; none is `/dev/null`.
    pub stdin: Option<Vec<u8>>,
    /// It is killed after this long.
    pub timeout: Option<Duration>,
    /// It holds a secret: the line of a shell (`sh -c LINE`) is read from a file of the user and stands in no list of
    /// arguments. Other words stand there for all who may list processes.
    #[serde(default)]
    pub private: bool,
}

/// A finished command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Exit status; 128+n for a signal.
    pub status: i32,
    /// Standard output.
    pub stdout: Bytes,
    /// Standard error.
    pub stderr: Bytes,
    /// Start, by the target's clock, milliseconds since 1970.
    pub started_ms: i64,
    /// End.
    pub ended_ms: i64,
    /// Killed because of its timeout.
    pub timed_out: bool,
}
