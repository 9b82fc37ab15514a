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
    /// Starts a command line through the login user's shell.
    async fn start(&self, command: &str) -> Result<Process, HostError>;
    /// Opens a socket as the login user.
    async fn connect(&self, address: &Address) -> Result<Stream, OpenError>;
    /// Name of the host in messages.
    fn name(&self) -> &str;
    /// Is it this very machine, so that a TCP or Unix address is what it says?
    async fn close(&self);
    /// Counters of what goes over it.
    fn meter(&self) -> &Arc<Meter>;
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
#[derive(Debug, Default)]
pub struct Meter {
    round_trips: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Meter {
    /// Something was sent and its answer is waited for.
    pub fn round_trip(&self) {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
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
            round_trips: self.round_trips.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}
