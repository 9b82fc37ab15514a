//! Starts processes and opens sockets on a host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::host::{Address, Cost, HostError, Stream};

/// A process on the host, by its three streams. Dropping them ends it.
pub struct Process {
    /// Its input.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its output; always drained by somebody.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its error output; always drained by somebody.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
}

/// A way to a host.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Starts a command line through the login user's shell. The line holds single-quoted words only, without line
    /// ends, backslashes and exclamation marks in them, so that every login shell understands it.
    async fn start(&self, command: &str) -> Result<Process, HostError>;
    /// Opens a socket as the login user.
    async fn connect(&self, address: &Address) -> Result<Stream, OpenError>;
    /// Name of the host in messages.
    fn name(&self) -> &str;
    /// Ends it. Idempotent; what is started afterwards fails.
    async fn close(&self);
    /// Counters of what goes over it.
    fn meter(&self) -> &Arc<Meter>;
    /// What a person should know of how the host is reached: ignored settings, other ways that had to be taken.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why a socket could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The login user may not, or forwarding is forbidden: a bridge under sudo may help.
    Forbidden(String),
    /// Nobody listens there, or the host cannot be reached.
    Failed(HostError),
}

/// Counts round trips and bytes.
///
/// Round trips are counted as time passes and not as questions are asked: questions sent side by side cost one, a
/// question that waits for the answer of another costs one more. So the count is the longest chain of waiting, which
/// is what a slow line makes felt. A question takes a [`Ticket`] when it is sent and gives it back when its answer
/// comes.
#[derive(Debug, Default)]
pub struct Meter {
    depth: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// The place in the chain of waiting at which a question was asked.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

impl Meter {
    /// Something is being sent whose answer will be waited for.
    #[must_use]
    pub fn ask(&self) -> Ticket {
        Ticket(self.depth.load(Ordering::SeqCst))
    }
    /// Its answer has come.
    pub fn answered(&self, ticket: Ticket) {
        self.depth.fetch_max(ticket.0 + 1, Ordering::SeqCst);
    }
    /// Bytes were sent.
    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    /// Bytes were received.
    pub fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    /// The counts.
    #[must_use]
    pub fn cost(&self) -> Cost {
        Cost {
            round_trips: self.depth.load(Ordering::SeqCst),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}
