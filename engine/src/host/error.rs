//! What can go wrong between the controller and a host.

/// Why a host did not answer as asked. Messages name what was tried, what came back and what to do; no secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HostError {
    /// It could not be reached, or the connection was lost and could not be taken up again. Exit code 4.
    #[error("{0}")]
    Unreachable(String),
    /// The connection was lost while something was being done: whether it was done has to be read.
    #[error("{0}")]
    Lost(String),
    /// A command was begun there, and what became of it is not known (the host stopped meanwhile): a person decides.
    #[error("{0}")]
    Undecided(String),
    /// It was reached, but what was asked cannot be read or done there. The task fails.
    #[error("{0}")]
    Failed(String),
}

impl HostError {
    /// A failure of the task.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
    /// A host that cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::Unreachable(message.into())
    }
}
