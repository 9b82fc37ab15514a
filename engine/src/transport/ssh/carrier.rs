//! Channels to a host, on a connection that is taken up again when it was lost.

use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelOpenFailure};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::session::{self, Refusal, Session};
use super::settings::{self, Route, SshSettings};
use crate::host::{Address, HostError, Stream};
use crate::transport::bridge::Joined;
use crate::transport::carrier::{Carrier, Meter, OpenError, Process};
use crate::transport::metered::Metered;
use crate::transport::pipe::pipe;

/// A channel is opened within this time, or the connection counts as dead.
const OPEN: Duration = Duration::from_secs(30);
/// sshd allows a number of sessions per connection (MaxSessions, 10 by default); then another connection is made, up
/// to this many.
const MOST: usize = 10;
/// A starting host may refuse a login; more tries than this could lock an account.
const LOGINS: usize = 4;

/// How long is waited before a first connection that broke is tried again.
const FIRST_PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// A host reached through SSH.
pub(super) struct Ssh {
    route: Route,
    reconnect: Duration,
    meter: Arc<Meter>,
    state: Mutex<State>,
    notes: StdMutex<Vec<String>>,
}

#[derive(Default)]
struct State {
    sessions: Vec<Arc<Session>>,
    closed: bool,
}

impl Ssh {
    /// Connects for the first time. A line that breaks meanwhile is tried again a few times; what else goes wrong is not.
    pub async fn connect(settings: SshSettings) -> Result<Self, HostError> {
        let route = settings::route(&settings).await?;
        let meter = Arc::<Meter>::default();
        let mut pauses = FIRST_PAUSES.into_iter();
        let mut was_there = false;
        let session = loop {
            let refusal = match session::dial(&route, &meter).await {
                Ok(session) => break session,
                Err(refusal) => refusal,
            };
            was_there |= matches!(refusal, Refusal::Broken(_));
            let again = was_there && matches!(refusal, Refusal::Broken(_) | Refusal::Network(_));
            match pauses.next().filter(|_| again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(HostError::unreachable(refusal.message())),
            }
        };
        let ignored = route.ignored.iter();
        let notes = ignored
            .map(|what| format!("not followed of ~/.ssh/config: {what}"))
            .collect();
        Ok(Self {
            route,
            reconnect: settings.reconnect,
            meter,
            state: Mutex::new(State {
                sessions: vec![Arc::new(session)],
                closed: false,
            }),
            notes: StdMutex::new(notes),
        })
    }

    fn note(&self, note: String) {
        let mut notes = self
            .notes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// The connections that live; where none does, one is made again.
    async fn sessions(&self) -> Result<Vec<Arc<Session>>, HostError> {
        let mut state = self.state.lock().await;
        if state.closed {
            return Err(HostError::unreachable(format!(
                "{}: the connection has been closed",
                self.route.name
            )));
        }
        state.sessions.retain(|s| !s.handle.is_closed());
        if state.sessions.is_empty() {
            let session = self.take_up().await?;
            state.sessions.push(Arc::new(session));
        }
        Ok(state.sessions.clone())
    }

    /// Connects again, for as long as is allowed.
    async fn take_up(&self) -> Result<Session, HostError> {
        let begin = Instant::now();
        let mut pause = Duration::from_millis(100);
        let mut logins = 0;
        loop {
            let refusal = match session::dial(&self.route, &self.meter).await {
                Ok(session) => {
                    tracing::info!(host = %self.route.name, "connection taken up again");
                    return Ok(session);
                }
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::Key(_) => return Err(HostError::unreachable(refusal.message())),
                Refusal::Login(_) => {
                    logins += 1;
                    pause = pause.max(Duration::from_secs(5));
                }
                Refusal::Network(_) | Refusal::Broken(_) => {}
            }
            if logins >= LOGINS || begin.elapsed() + pause > self.reconnect {
                return Err(HostError::unreachable(format!(
                    "{} (the connection was lost, and could not be taken up again for {} s)",
                    refusal.message(),
                    begin.elapsed().as_secs()
                )));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    /// Forgets a connection that does not answer.
    async fn drop_session(&self, dead: &Arc<Session>) {
        self.state
            .lock()
            .await
            .sessions
            .retain(|s| !Arc::ptr_eq(s, dead));
    }

    /// A channel for a process.
    async fn session_channel(&self) -> Result<Channel<Msg>, HostError> {
        let begin = Instant::now();
        loop {
            let sessions = self.sessions().await?;
            let mut full = 0;
            for session in &sessions {
                let ticket = self.meter.ask();
                match timeout(OPEN, session.handle.channel_open_session()).await {
                    Ok(Ok(channel)) => {
                        self.meter.answered(ticket);
                        return Ok(channel);
                    }
                    Ok(Err(russh::Error::ChannelOpenFailure(_))) => {
                        self.meter.answered(ticket);
                        full += 1;
                    }
                    _ => self.drop_session(session).await,
                }
            }
            if full == sessions.len() {
                if full >= MOST {
                    return Err(HostError::failed(format!(
                        "{}: the host allows no more sessions on {full} connections (see MaxSessions in its \
                         sshd_config)",
                        self.route.name
                    )));
                }
                let more = session::dial(&self.route, &self.meter)
                    .await
                    .map_err(|r| HostError::unreachable(r.message()))?;
                self.note(format!(
                    "the host allows few sessions per connection (MaxSessions): {} connections",
                    full + 1
                ));
                self.state.lock().await.sessions.push(Arc::new(more));
            } else if begin.elapsed() > self.reconnect + OPEN {
                return Err(HostError::unreachable(format!(
                    "{}: the connection is lost again and again",
                    self.route.name
                )));
            }
        }
    }
}

/// Hands a channel's bytes on at once, in both directions, until the process or its user ends it.
fn attach(channel: Channel<Msg>) -> Process {
    let (mut read, write) = channel.split();
    let (stdin, mut input) = tokio::io::duplex(256 * 1024);
    let (out_in, out) = pipe();
    let (err_in, err) = pipe();
    let write = Arc::new(write);
    let writer = write.clone();
    let mut sending = tokio::spawn(async move {
        loop {
            let mut part = BytesMut::with_capacity(32 * 1024);
            match input.read_buf(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    if writer.data_bytes(part.freeze()).await.is_err() {
                        return;
                    }
                }
            }
        }
        let _ = writer.eof().await;
    });
    tokio::spawn(async move {
        let ended = loop {
            let message = tokio::select! {
                message = read.wait() => message,
                () = async { tokio::join!(out_in.closed(), err_in.closed()); } => None,
            };
            match message {
                Some(ChannelMsg::Data { data }) => out_in.put(data).await,
                Some(ChannelMsg::ExtendedData { data, .. }) => err_in.put(data).await,
                Some(ChannelMsg::Eof) => break true,
                Some(ChannelMsg::Close) | None => break false,
                // Success and failure of the request, exit status: the streams' ends say it.
                Some(_) => {}
            }
        };
        drop((out_in, err_in));
        if ended {
            // A server behind a forwarded socket has nothing more to say, but may still be told something; sshd
            // leaves the end of the channel to us.
            tokio::select! {
                () = async { while !matches!(read.wait().await, Some(ChannelMsg::Close) | None) {} } => {}
                _ = &mut sending => {}
            }
        }
        sending.abort();
        let _ = write.close().await;
    });
    Process {
        stdin: Box::new(stdin),
        stdout: Box::new(out),
        stderr: Box::new(err),
    }
}

#[async_trait]
impl Carrier for Ssh {
    async fn start(&self, command: &str) -> Result<Process, HostError> {
        let channel = self.session_channel().await?;
        // Its answer is not waited for: a refusal ends the channel.
        let asked = channel.exec(false, Bytes::copy_from_slice(command.as_bytes()));
        asked.await.map_err(|e| {
            HostError::Lost(format!("{}: the connection was lost: {e}", self.route.name))
        })?;
        Ok(attach(channel))
    }

    async fn connect(&self, address: &Address) -> Result<Stream, OpenError> {
        let sessions = self.sessions().await.map_err(OpenError::Failed)?;
        let Some(session) = sessions.first() else {
            return Err(OpenError::Failed(HostError::unreachable(format!(
                "{}: there is no connection",
                self.route.name
            ))));
        };
        let ticket = self.meter.ask();
        let opened = match address {
            Address::Unix(path) => {
                timeout(OPEN, session.handle.channel_open_direct_streamlocal(path)).await
            }
            Address::Tcp(host, port) => {
                let ask = session.handle.channel_open_direct_tcpip(
                    host,
                    u32::from(*port),
                    "127.0.0.1",
                    0,
                );
                timeout(OPEN, ask).await
            }
        };
        self.meter.answered(ticket);
        let name = &self.route.name;
        match opened {
            Ok(Ok(channel)) => Ok(Box::new(Metered::turns(
                Joined::new(attach(channel)),
                self.meter.clone(),
            ))),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(match (reason, address) {
                (ChannelOpenFailure::ConnectFailed, Address::Tcp(host, port)) => {
                    OpenError::Failed(HostError::failed(format!(
                        "{name}: nothing can be reached at {host}:{port} from this host"
                    )))
                }
                // sshd does not say whether the socket is missing or the user may not open it.
                (ChannelOpenFailure::ConnectFailed, Address::Unix(_)) => {
                    OpenError::Forbidden("sshd could not open it as the login user".to_owned())
                }
                (reason, _) => {
                    let why = format!("sshd does not forward it: {reason:?}");
                    self.note(format!("sockets go through programs on the host: {why}"));
                    OpenError::Forbidden(why)
                }
            }),
            _ => {
                self.drop_session(session).await;
                Err(OpenError::Failed(HostError::Lost(format!(
                    "{name}: the connection was lost"
                ))))
            }
        }
    }

    fn name(&self) -> &str {
        &self.route.name
    }

    async fn close(&self) {
        let sessions = {
            let mut state = self.state.lock().await;
            state.closed = true;
            std::mem::take(&mut state.sessions)
        };
        for session in sessions {
            let bye = session
                .handle
                .disconnect(russh::Disconnect::ByApplication, "", "en");
            let _ = timeout(Duration::from_secs(2), bye).await;
        }
    }

    fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    fn notes(&self) -> Vec<String> {
        self.notes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}
