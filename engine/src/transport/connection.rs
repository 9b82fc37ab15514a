//! A [`Connection`] on any [`Carrier`]: shells by user, streams, uploads, commands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, OnceCell};

use super::carrier::{Carrier, OpenError, Process, Ticket};
use super::metered::Metered;
use super::quote::{one_line, word};
use super::shell::{NoReply, Shell};
use super::{bridge, command, facts, shell, sudo};
use crate::host::{
    Address, Command, Connection, Cost, Finished, HostError, HostFacts, Reply, Snippet, Stream,
    User,
};
use crate::value::Secret;

/// Contents up to this size travel within a request of the shell; larger ones on a channel of their own.
const SMALL: usize = 128 * 1024;
/// A read is answered within this time; a disk that hangs is not waited for longer.
const READ: Duration = Duration::from_secs(600);
/// What changes something may take longer.
const WRITE: Duration = Duration::from_secs(4 * 3600);
/// A read whose answer was lost is asked again this often.
const TRIES: usize = 5;

/// A host, reached through a carrier.
pub(super) struct Carried {
    carrier: Arc<dyn Carrier>,
    become_password: Option<Secret>,
    shells: Mutex<HashMap<User, Arc<OnceCell<Arc<Shell>>>>>,
    facts: OnceCell<HostFacts>,
    /// Folders of commands whose results have been taken.
    pub taken: command::Taken,
    notes: std::sync::Mutex<Vec<String>>,
}

impl Carried {
    pub fn new(carrier: Arc<dyn Carrier>, become_password: Option<Secret>) -> Self {
        Self {
            carrier,
            become_password,
            shells: Mutex::default(),
            facts: OnceCell::new(),
            taken: command::Taken::default(),
            notes: std::sync::Mutex::default(),
        }
    }

    /// The host's name in messages.
    pub fn name(&self) -> &str {
        self.carrier.name()
    }

    pub(super) fn note(&self, note: String) {
        let mut notes = self
            .notes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Starts a process as the user; `inner` is a command line of quoted words. sudo has taken its password when this
    /// returns.
    pub async fn start(&self, user: &User, inner: &str) -> Result<Process, HostError> {
        let (process, asked) = self.start_counted(user, inner).await?;
        // What is written to it arrives only after the host has answered that it takes input.
        self.carrier.meter().answered(asked);
        Ok(process)
    }

    /// As [`Carried::start`], for a caller who notices the first answer himself.
    async fn start_counted(
        &self,
        user: &User,
        inner: &str,
    ) -> Result<(Process, Ticket), HostError> {
        let meter = self.carrier.meter();
        let User::Become(name) = user else {
            let process = self.carrier.start(inner).await?;
            return Ok((process, meter.ask()));
        };
        let password = self.become_password.as_ref();
        let line = sudo::command_line(name, inner, password.is_some());
        let mut process = self.carrier.start(&line).await?;
        let asked = meter.ask();
        if let Some(password) = password {
            // The password too waits until the host takes input.
            meter.answered(asked);
            sudo::hand_over(&mut process, password, self.name(), name, meter).await?;
        }
        Ok((process, asked))
    }

    /// Starts a script as the user. It travels as the first line of the process's input, so that no login shell on the
    /// way has to understand it; what follows that line is its own.
    pub async fn start_script(&self, user: &User, script: &str) -> Result<Process, HostError> {
        let mut process = self
            .start(user, r#"sh -c 'IFS= read -r l; eval "$l"'"#)
            .await?;
        let line = format!("{}\n", one_line(script));
        let sent = process.stdin.write_all(line.as_bytes()).await;
        sent.map_err(|_| self.ended(user, ""))?;
        Ok(process)
    }

    /// What the error output of a process that ended means.
    fn ended(&self, user: &User, said: &str) -> HostError {
        if let User::Become(name) = user
            && let Some(error) = sudo::explain(self.name(), name, said)
        {
            return error;
        }
        let name = self.name();
        HostError::Lost(if said.is_empty() {
            format!("{name}: the connection was lost")
        } else {
            format!("{name}: the shell ended: {said}")
        })
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
            // The first shell tells of the host when it opens.
            let opening = match user {
                User::Login => facts::SNIPPET,
                User::Become(_) => ":",
            };
            let (process, asked) = self
                .start_counted(user, &shell::command_line(opening))
                .await?;
            let meter = self.carrier.meter().clone();
            let listens = matches!(user, User::Become(_)) && self.become_password.is_some();
            let shell = Arc::new(Shell::new(process, meter, asked, listens));
            if user != &User::Login && !listens {
                // sudo may refuse, and its reason must not be lost to a request that comes too late.
                if let Err(said) = shell.opening().await {
                    return Err(self.ended(user, &said));
                }
            }
            Ok::<_, HostError>(shell)
        });
        made.await.cloned()
    }

    /// Pours bytes into a script that reads them and says `runbook-done` at its end. Returns what it said.
    async fn pour(
        &self,
        user: &User,
        script: &str,
        content: &[u8],
        what: &str,
        said_first: &mut Vec<u8>,
    ) -> Result<(), HostError> {
        let Process {
            mut stdin,
            mut stdout,
            mut stderr,
        } = self.start_script(user, script).await?;
        let ticket = self.carrier.meter().ask();
        let mut said = Vec::new();
        // Read while writing: a script that fails early says so although nobody takes the rest.
        let (written, _, _) = tokio::join!(
            async move {
                let written = stdin.write_all(content).await;
                let ended = stdin.shutdown().await;
                // Shutting down a pipe to a local process does not close it; dropping it does.
                drop(stdin);
                written.and(ended)
            },
            stdout.read_to_end(said_first),
            stderr.read_to_end(&mut said)
        );
        self.carrier.meter().answered(ticket);
        if written.is_ok() && said_line(said_first, "runbook-done") {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(match self.ended(user, &said) {
            HostError::Lost(_) if !said.is_empty() => HostError::failed(format!(
                "{}: {what} could not be written: {said}",
                self.name()
            )),
            error => error,
        })
    }

    /// As [`Carried::pour`], for a caller that needs nothing else.
    pub async fn pour_into(
        &self,
        user: &User,
        script: &str,
        content: &[u8],
        what: &str,
    ) -> Result<(), HostError> {
        self.pour(user, script, content, what, &mut Vec::new())
            .await
    }
}

/// The content compressed, where that saves a quarter or more; judged by its beginning.
fn compressed(content: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write as _;
    let pack = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).ok()?;
        encoder.finish().ok()
    };
    let sample = &content[..content.len().min(64 * 1024)];
    if pack(sample)?.len() * 4 > sample.len() * 3 {
        return None;
    }
    pack(content)
}

/// Marks tell a program's words from what rc files print, and its end from a cut connection.
fn said_line(output: &[u8], mark: &str) -> bool {
    output.split(|b| *b == b'\n').any(|l| l == mark.as_bytes())
}

#[async_trait]
impl Connection for Carried {
    async fn snippet(
        &self,
        user: &User,
        snippet: Snippet<'_>,
        stdin: Option<Bytes>,
        repeatable: bool,
    ) -> Result<Reply, HostError> {
        if snippet.body.contains('\0') {
            return Err(HostError::failed("a command cannot hold a NUL byte"));
        }
        let deadline = if repeatable { READ } else { WRITE };
        let mut tries = 0;
        loop {
            tries += 1;
            let shell = match self.shell_of(user).await {
                // Nothing has been asked yet.
                Err(HostError::Lost(_)) if tries < TRIES => continue,
                shell => shell?,
            };
            match shell.run(snippet, stdin.as_deref(), deadline).await {
                Ok(reply) => return Ok(reply),
                Err(NoReply::NotSent) if tries < TRIES => {}
                Err(NoReply::NotSent) => return Err(self.ended(user, "")),
                Err(NoReply::Ended(said)) => match self.ended(user, &said) {
                    HostError::Lost(_) if repeatable && tries < TRIES => {}
                    error => return Err(error),
                },
                Err(NoReply::Late) => {
                    return Err(HostError::failed(format!(
                        "{}: no answer within {} minutes: something on the host hangs",
                        self.name(),
                        deadline.as_secs() / 60
                    )));
                }
            }
        }
    }

    async fn open(&self, user: &User, address: &Address) -> Result<Stream, HostError> {
        // A server that asks the kernel who is there must see the user that was asked for. Docker does not ask.
        let own = match (user, address) {
            (User::Become(_), Address::Unix(path)) => !path.ends_with("docker.sock"),
            _ => false,
        };
        let why = if own {
            "it is to be opened as another user than the login user".to_owned()
        } else {
            match self.carrier.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(OpenError::Failed(error)) => return Err(error),
                Err(OpenError::Forbidden(why)) => why,
            }
        };
        let bridge = bridge::find(self, user, address, &why).await?;
        self.note(format!(
            "{} is opened through `{}` on the host: {why}",
            bridge.place, bridge.program
        ));
        let process = self.start_script(user, &bridge.line).await?;
        let meter = self.carrier.meter().clone();
        Ok(Box::new(Metered::turns(
            bridge::Joined::new(process),
            meter,
        )))
    }

    async fn upload(&self, user: &User, path: &str, content: Bytes) -> Result<(), HostError> {
        if path.contains('\0') {
            return Err(HostError::failed("a path cannot hold a NUL byte"));
        }
        let place = word(path);
        if content.len() > SMALL {
            let packed = compressed(&content);
            let (bytes, unpack) = match &packed {
                Some(packed) => (packed.as_slice(), "gzip -dc"),
                None => (content.as_ref(), "cat"),
            };
            let script = format!(
                "umask 077; set -C; : > {place} && echo runbook-made && {unpack} >> {place} && echo runbook-done"
            );
            let mut said = Vec::new();
            let outcome = self.pour(user, &script, bytes, path, &mut said).await;
            // A file that stood there before is the reason of the failure and not its remains.
            if outcome.is_err() && said_line(&said, "runbook-made") {
                let _ = self
                    .shell(user, &format!("rm -f -- {place}"), None, true)
                    .await;
            }
            return outcome;
        }
        let script = format!("umask 077; set -C; cat > {place}");
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

    async fn fetch(
        &self,
        user: &User,
        path: &str,
        to: &mut (dyn tokio::io::AsyncWrite + Send + Unpin),
    ) -> Result<u64, HostError> {
        if path.contains('\0') {
            return Err(HostError::failed("a path cannot hold a NUL byte"));
        }
        let place = word(path);
        // The size goes first, so that a file that shrinks or a line that is cut cannot pass for the whole.
        let script = format!(
            "exec < {place} || exit 1; n=$(wc -c < {place}); echo; echo runbook-content $((n+0)); cat"
        );
        let Process {
            stdin,
            stdout,
            mut stderr,
        } = self.start_script(user, &script).await?;
        let ticket = self.carrier.meter().ask();
        let mut said = Vec::new();
        // Owned, so that the program ends when this side gives up.
        let copy = async move {
            let mut reader = tokio::io::BufReader::with_capacity(256 * 1024, stdout);
            let size: u64 = loop {
                let mut line = Vec::new();
                if reader.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                    return Ok(None);
                }
                let text = String::from_utf8_lossy(&line);
                if let Some(size) = text.strip_prefix("runbook-content ") {
                    break size.trim().parse().unwrap_or(0);
                }
            };
            let mut content = (&mut reader).take(size);
            let copied = tokio::io::copy(&mut content, &mut *to).await?;
            to.flush().await?;
            Ok::<_, std::io::Error>(Some((copied, size)))
        };
        let (copied, _) = tokio::join!(copy, stderr.read_to_end(&mut said));
        drop(stdin);
        self.carrier.meter().answered(ticket);
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match copied {
            Ok(Some((copied, size))) if copied == size => Ok(copied),
            Ok(Some((copied, size))) => Err(HostError::Lost(format!(
                "{}: {path} ended after {copied} of {size} bytes",
                self.name()
            ))),
            Ok(None) if said.is_empty() => Err(self.ended(user, "")),
            Ok(None) => Err(match self.ended(user, &said) {
                HostError::Lost(_) => {
                    HostError::failed(format!("{}: {path} could not be read: {said}", self.name()))
                }
                error => error,
            }),
            Err(e) => Err(HostError::failed(format!(
                "{path} could not be kept here: {e}"
            ))),
        }
    }

    async fn command(
        &self,
        user: &User,
        command: &Command,
        folder: &str,
    ) -> Result<Finished, HostError> {
        command::run(self, user, command, folder).await
    }

    fn is_untidy(&self) -> bool {
        self.taken.any()
    }

    async fn tidy(&self) {
        command::clear(self).await;
    }

    fn collected(&self, user: &User, folders: &[String]) {
        for folder in folders {
            self.taken.add(user, folder);
        }
    }

    async fn facts(&self) -> Result<HostFacts, HostError> {
        let gather = || async {
            let mut tries = 0;
            loop {
                tries += 1;
                let told = match self.shell_of(&User::Login).await {
                    Ok(shell) => shell.opening().await,
                    Err(HostError::Lost(_)) if tries < TRIES => continue,
                    Err(error) => return Err(error),
                };
                match told {
                    Ok(text) => return facts::read(&text, self.name()),
                    Err(said) if tries < TRIES => tracing::debug!(%said, "no greeting"),
                    Err(said) => {
                        return Err(HostError::failed(format!(
                            "{}: its shell does not answer as a POSIX shell does: {said}",
                            self.name()
                        )));
                    }
                }
            }
        };
        self.facts.get_or_try_init(gather).await.cloned()
    }

    async fn warm(&self, user: &User) {
        let _ = self.shell_of(user).await;
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.carrier.notes();
        let own = self
            .notes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        notes.extend(own.iter().cloned());
        notes
    }

    fn cost(&self) -> Cost {
        self.carrier.meter().cost()
    }

    async fn close(&self) {
        command::clear(self).await;
        self.shells.lock().await.clear();
        self.carrier.close().await;
    }
}
