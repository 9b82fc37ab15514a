//! SSH, with a client of our own (russh): one connection per host carries all shells, sockets and files.
//!
//! - [`settings`](SshSettings): what the inventory and `~/.ssh/config` say of a host;
//! - `known_hosts`: whether the key it shows is its key;
//! - `auth`: who we are;
//! - `session`: one connection, through jump hosts where there are some;
//! - `carrier`: opens channels on it, and takes it up again when it was lost.

mod auth;
mod carrier;
mod config;
mod known_hosts;
mod session;
mod settings;

pub use settings::{HostKeys, Passphrases, SshSettings};

use std::sync::Arc;

use super::connection::Carried;
use crate::host::{Connection, HostError};

/// Connects to a host and proves who we are. The error is [`HostError::Unreachable`] and names the host, the address,
/// what was tried and what to do.
pub async fn connect(settings: SshSettings) -> Result<Arc<dyn Connection>, HostError> {
    let become_password = settings.become_password.clone();
    let carrier = carrier::Ssh::connect(settings).await?;
    Ok(Arc::new(Carried::new(Arc::new(carrier), become_password)))
}
