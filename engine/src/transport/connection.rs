//! A [`Connection`] on any [`Carrier`]: shells by user, streams, uploads, commands.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, OnceCell};

use super::carrier::{Carrier, OpenError};
use super::quote::word;
use super::shell::{LOOP, Shell};
use super::{bridge, command, facts};
use crate::host::{
    Address, Command, Connection, Cost, Finished, HostError, HostFacts, Reply, Stream, User,
};
use crate::value::Secret;

/// Contents up to this size travel within a request of the shell; larger ones on a channel of their own.
const SMALL: usize = 128 * 1024;

/// A host, reached through a carrier.
pub(super) struct Carried {
    carrier: Arc<dyn Carrier>,
    become_password: Option<Secret>,
    shells: Mutex<HashMap<User, Arc<OnceCell<Arc<Shell>>>>>,
    facts: OnceCell<HostFacts>,
}

impl Carried {
    pub fn new(carrier: Arc<dyn Carrier>, become_password: Option<Secret>) -> Self {
        Self {
            carrier,
            become_password,
            shells: Mutex::default(),
            facts: OnceCell::new(),
        }
    }

    /// A command line that runs `inner` (a command line itself) as the user.
    fn as_user(&self, user: &User, inner: &str) -> String {
        match user {
            User::Login => inner.to_owned(),
            User::Become(name) if self.become_password.is_some() => {
                format!("sudo -H -S -p '' -u {} -- {inner}", word(name))
            }
            User::Become(name) => format!("sudo -H -n -u {} -- {inner}", word(name)),
        }
    }

    /// Starts a process as the user; sudo has taken its password when this returns.
    pub async fn start(
        &self,
        user: &User,
        inner: &str,
    ) -> Result<super::carrier::Process, HostError> {
        let mut process = self.carrier.start(&self.as_user(user, inner)).await?;
        if let (User::Become(_), Some(password)) = (user, &self.become_password) {
            let line = format!("{}\n", password.expose());
            let sent = process.stdin.write_all(line.as_bytes()).await;
            if sent.is_err() || process.stdin.flush().await.is_err() {
                return Err(HostError::failed(format!(
                    "{}: sudo ended before it took its password",
                    self.carrier.name()
                )));
            }
        }
        Ok(process)
    }

    async fn shell_of(&self, user: &User) -> Result<Arc<Shell>, HostError> {
        let cell = {
            let mut shells = self.shells.lock().await;
            if shells
                .get(user)
                .and_then(|c| c.get())
                .is_some_and(|s| !s.is_open())
            {
                shells.remove(user);
            }
            shells.entry(user.clone()).or_default().clone()
        };
        let made = cell.get_or_try_init(|| async {
            let shell = format!("sh -c {}", word(LOOP));
            let process = self.start(user, &shell).await?;
            Ok::<_, HostError>(Arc::new(Shell::new(
                process,
                self.carrier.meter().clone(),
                self.carrier.name(),
            )))
        });
        made.await.cloned()
    }

    /// Writes a large content through a process of its own.
    async fn pour(
        &self,
        user: &User,
        path: &str,
        content: &[u8],
        made: &mut bool,
    ) -> Result<(), HostError> {
        let place = word(path);
        let script = format!("umask 077; set -C; : > {place} && echo made && cat >> {place}");
        let mut process = self
            .start(user, &format!("sh -c {}", word(&script)))
            .await?;
        self.carrier.meter().round_trip();
        let failed = |e: std::io::Error| {
            HostError::failed(format!(
                "{}: {path} could not be written: {e}",
                self.carrier.name()
            ))
        };
        let written = process.stdin.write_all(content).await;
        if written.is_ok() {
            process.stdin.shutdown().await.map_err(failed)?;
        }
        drop(process.stdin);
        let mut said = String::new();
        let mut sink = Vec::new();
        let (out, err) = tokio::join!(
            process.stdout.read_to_end(&mut sink),
            process.stderr.read_to_string(&mut said)
        );
        *made = sink.split(|b| *b == b'\n').any(|line| line == b"made");
        out.and(err).map_err(failed)?;
        if !said.trim().is_empty() {
            return Err(HostError::failed(format!(
                "{}: {path} could not be written: {}",
                self.carrier.name(),
                said.trim()
            )));
        }
        written.map_err(failed)
    }
}

#[async_trait]
impl Connection for Carried {
    async fn shell(
        &self,
        user: &User,
        script: &str,
        stdin: Option<Bytes>,
        repeatable: bool,
    ) -> Result<Reply, HostError> {
        let mut tries = 0;
        loop {
            let shell = self.shell_of(user).await?;
            match shell.run(script, stdin.as_deref()).await {
                // What only reads may be asked again over a new connection.
                Err(HostError::Lost(_)) if repeatable && tries < 3 => tries += 1,
                answer => return answer,
            }
        }
    }

    async fn open(&self, user: &User, address: &Address) -> Result<Stream, HostError> {
        self.carrier.meter().round_trip();
        let direct = self.carrier.connect(address).await;
        match direct {
            Ok(stream) => Ok(stream),
            Err(OpenError::Failed(error)) => Err(error),
            Err(OpenError::Forbidden(why)) => {
                let line = bridge::command_line(self, user, address, &why).await?;
                let process = self.start(user, &line).await?;
                Ok(Box::new(bridge::Joined::new(process)))
            }
        }
    }

    async fn upload(&self, user: &User, path: &str, content: Bytes) -> Result<(), HostError> {
        if content.len() > SMALL {
            let mut made = false;
            let outcome = self.pour(user, path, &content, &mut made).await;
            // A file that stood there before is the reason of the failure and not its remains.
            if outcome.is_err() && made {
                let _ = self
                    .shell(user, &format!("rm -f -- {}", word(path)), None, false)
                    .await;
            }
            return outcome;
        }
        let script = format!("umask 077; set -C; cat > {}", word(path));
        let reply = self.shell(user, &script, Some(content), false).await?;
        if reply.status != 0 {
            let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
            return Err(HostError::failed(format!(
                "{}: {path} could not be written: {said}",
                self.carrier.name()
            )));
        }
        Ok(())
    }

    async fn command(
        &self,
        user: &User,
        command: &Command,
        folder: &str,
    ) -> Result<Finished, HostError> {
        command::run(self, user, command, folder, self.carrier.name()).await
    }

    async fn facts(&self) -> Result<HostFacts, HostError> {
        self.facts
            .get_or_try_init(|| facts::gather(self, self.carrier.name()))
            .await
            .cloned()
    }

    async fn warm(&self, user: &User) {
        let _ = self.shell_of(user).await;
    }

    fn cost(&self) -> Cost {
        self.carrier.meter().cost()
    }

    async fn close(&self) {
        self.shells.lock().await.clear();
        self.carrier.close().await;
    }
}
