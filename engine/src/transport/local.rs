//! This machine.

use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::process::Command;

use super::carrier::{Carrier, Meter, OpenError, Process};
use super::connection::Carried;
use crate::host::{Address, Connection, HostError, Stream};
use crate::value::Secret;

struct Local {
    name: String,
    meter: Arc<Meter>,
}

/// A connection to this machine under an inventory name.
#[must_use]
pub fn connect(name: &str, become_password: Option<Secret>) -> Arc<dyn Connection> {
    let carrier = Arc::new(Local {
        name: name.to_owned(),
        meter: Arc::default(),
    });
    Arc::new(Carried::new(carrier, become_password))
}

#[async_trait]
impl Carrier for Local {
    async fn start(&self, command: &str) -> Result<Process, HostError> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| {
                HostError::failed(format!("{}: no shell could be started: {e}", self.name))
            })?;
        let gone = || HostError::failed(format!("{}: the shell has no streams", self.name));
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        let stderr = child.stderr.take().ok_or_else(gone)?;
        // Nobody else waits for it; without this it would stay as a zombie.
        tokio::spawn(async move { child.wait().await });
        Ok(Process {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
        })
    }

    async fn connect(&self, address: &Address) -> Result<Stream, OpenError> {
        let outcome: std::io::Result<Stream> = match address {
            Address::Unix(path) => tokio::net::UnixStream::connect(path)
                .await
                .map(|s| Box::new(s) as Stream),
            Address::Tcp(host, port) => tokio::net::TcpStream::connect((host.as_str(), *port))
                .await
                .map(|s| Box::new(s) as Stream),
        };
        outcome.map_err(|e| match e.kind() {
            std::io::ErrorKind::PermissionDenied => OpenError::Forbidden(e.to_string()),
            _ => {
                let place = match address {
                    Address::Unix(path) => path.clone(),
                    Address::Tcp(host, port) => format!("{host}:{port}"),
                };
                OpenError::Failed(HostError::failed(format!(
                    "{}: {place} cannot be opened: {e}",
                    self.name
                )))
            }
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn close(&self) {}

    fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}
