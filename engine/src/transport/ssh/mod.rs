//! SSH (RFC 4251 to 4254), by russh: one connection per host, everything else is channels of it.

mod auth;
mod config;
mod host_keys;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use russh::client::{self, Handle};
use russh::{ChannelMsg, Disconnect};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Mutex, mpsc};
use tokio_util::io::StreamReader;

use super::carrier::{Carrier, Meter, OpenError, Process};
use super::connection::Carried;
use crate::host::{Address, Connection, HostError, Stream};
use crate::value::Secret;

pub use host_keys::HostKeys;

/// Connecting, and each step of logging in, may take this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// A lost connection is taken up again for this long.
const RECONNECT: Duration = Duration::from_secs(600);
/// Jump hosts may be chained this long.
const MOST_JUMPS: usize = 8;

/// How to reach a host.
#[derive(Debug, Clone, Default)]
pub struct SshSettings {
    /// Name in messages.
    pub name: String,
    /// Host name or address; a name of `~/.ssh/config` too.
    pub address: String,
    /// Port (22, or what the configuration says).
    pub port: Option<u16>,
    /// User (that of the configuration, else who calls).
    pub user: Option<String>,
    /// Private key; with it, the agent and the usual files are not tried.
    pub key: Option<PathBuf>,
    /// What the key is encrypted with.
    pub passphrase: Option<Secret>,
    /// Password, for `password` and `keyboard-interactive`.
    pub password: Option<Secret>,
    /// Password that sudo wants.
    pub become_password: Option<Secret>,
    /// Which host keys are right.
    pub host_keys: HostKeys,
    /// Hosts to go through, the first one first: `[user@]host[:port]`.
    pub jump: Vec<String>,
    /// Look at `~/.ssh/config`.
    pub use_config: bool,
}

/// Connects.
pub async fn connect(settings: SshSettings) -> Result<Arc<dyn Connection>, HostError> {
    let become_password = settings.become_password.clone();
    let meter = Arc::new(Meter::default());
    let session = open(&settings, &meter, 0).await?;
    let carrier = Ssh {
        settings,
        meter,
        session: Mutex::new(Some(Arc::new(session))),
    };
    Ok(Arc::new(Carried::new(Arc::new(carrier), become_password)))
}

/// An authenticated session, and those that it goes through.
struct Session {
    handle: Handle<host_keys::Check>,
    _through: Option<Box<Session>>,
}

struct Ssh {
    settings: SshSettings,
    meter: Arc<Meter>,
    session: Mutex<Option<Arc<Session>>>,
}

impl Ssh {
    /// The session, taken up again where it was lost.
    async fn session(&self) -> Result<Arc<Session>, HostError> {
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref().filter(|s| !s.handle.is_closed()) {
            return Ok(session.clone());
        }
        let begin = Instant::now();
        let mut pause = Duration::from_millis(200);
        loop {
            match open(&self.settings, &self.meter, 0).await {
                Ok(session) => {
                    let session = Arc::new(session);
                    *slot = Some(session.clone());
                    return Ok(session);
                }
                Err(error) if begin.elapsed() >= RECONNECT => return Err(error),
                Err(error) => tracing::debug!(%error, "taking the connection up again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }
}

/// Connects and logs in, through the jump hosts where there are some.
fn open<'a>(
    settings: &'a SshSettings,
    meter: &'a Arc<Meter>,
    depth: usize,
) -> futures::future::BoxFuture<'a, Result<Session, HostError>> {
    Box::pin(async move {
        if depth > MOST_JUMPS {
            return Err(HostError::unreachable(format!(
                "{}: its jump hosts lead in a circle",
                settings.name
            )));
        }
        let resolved = config::resolve(settings).await?;
        let place = format!("{}:{}", resolved.address, resolved.port);
        let unreachable =
            |why: String| HostError::unreachable(format!("{} ({place}): {why}", settings.name));
        let (stream, through): (Stream, Option<Box<Session>>) = match resolved.jump.split_last() {
            None => {
                let tcp =
                    tokio::net::TcpStream::connect((resolved.address.as_str(), resolved.port));
                let tcp = tokio::time::timeout(PATIENCE, tcp)
                    .await
                    .map_err(|_| {
                        unreachable(format!("no answer in {} seconds", PATIENCE.as_secs()))
                    })?
                    .map_err(|e| unreachable(e.to_string()))?;
                let _ = tcp.set_nodelay(true);
                (Box::new(tcp), None)
            }
            Some((last, before)) => {
                let jump = config::jump_settings(last, before, settings);
                let session = open(&jump, &Arc::new(Meter::default()), depth + 1).await?;
                let channel = session
                    .handle
                    .channel_open_direct_tcpip(
                        resolved.address.as_str(),
                        u32::from(resolved.port),
                        "127.0.0.1",
                        0,
                    )
                    .await
                    .map_err(|e| {
                        unreachable(format!("the jump host {last} cannot open it: {e}"))
                    })?;
                (Box::new(channel.into_stream()), Some(Box::new(session)))
            }
        };
        let metered = Metered {
            inner: stream,
            meter: meter.clone(),
        };
        let (check, verdict) = host_keys::Check::new(&settings.host_keys, &resolved);
        let config = client::Config {
            nodelay: true,
            keepalive_interval: Some(Duration::from_secs(15)),
            keepalive_max: 8,
            window_size: 8 << 20,
            ..client::Config::default()
        };
        let connecting = client::connect_stream(Arc::new(config), metered, check);
        let handle = match tokio::time::timeout(PATIENCE, connecting).await {
            Err(_) => {
                return Err(unreachable(format!(
                    "no SSH answer in {} seconds",
                    PATIENCE.as_secs()
                )));
            }
            Ok(Err(error)) => {
                let why = verdict.refusal().unwrap_or_else(|| {
                    format!("this is no SSH server that we understand: {error}")
                });
                return Err(unreachable(why));
            }
            Ok(Ok(handle)) => handle,
        };
        let mut session = Session {
            handle,
            _through: through,
        };
        auth::log_in(&mut session.handle, settings, &resolved)
            .await
            .map_err(unreachable)?;
        Ok(session)
    })
}

#[async_trait]
impl Carrier for Ssh {
    async fn start(&self, command: &str) -> Result<Process, HostError> {
        let lost = |e: russh::Error| {
            HostError::Lost(format!(
                "{}: no channel could be opened: {e}",
                self.settings.name
            ))
        };
        let session = self.session().await?;
        self.meter.round_trip();
        let opening = session.handle.channel_open_session();
        let channel = tokio::time::timeout(PATIENCE, opening)
            .await
            .map_err(|_| {
                HostError::unreachable(format!(
                    "{}: no channel was opened in time",
                    self.settings.name
                ))
            })?
            .map_err(lost)?;
        channel.exec(false, command).await.map_err(lost)?;
        let (mut reading, writing) = channel.split();
        let (out, stdout) = mpsc::unbounded_channel::<std::io::Result<Bytes>>();
        let (err, stderr) = mpsc::unbounded_channel::<std::io::Result<Bytes>>();
        // Always drained: a channel that nobody reads would hold up all others of the connection.
        tokio::spawn(async move {
            let _kept_open = session;
            while let Some(message) = reading.wait().await {
                match message {
                    ChannelMsg::Data { data } => {
                        let _ = out.send(Ok(Bytes::copy_from_slice(&data)));
                    }
                    ChannelMsg::ExtendedData { data, .. } => {
                        let _ = err.send(Ok(Bytes::copy_from_slice(&data)));
                    }
                    _ => {}
                }
            }
        });
        Ok(Process {
            stdin: Box::new(writing.make_writer()),
            stdout: Box::new(StreamReader::new(received(stdout))),
            stderr: Box::new(StreamReader::new(received(stderr))),
        })
    }

    async fn connect(&self, address: &Address) -> Result<Stream, OpenError> {
        let session = self.session().await.map_err(OpenError::Failed)?;
        let opened = match address {
            Address::Unix(path) => {
                session
                    .handle
                    .channel_open_direct_streamlocal(path.as_str())
                    .await
            }
            Address::Tcp(host, port) => {
                session
                    .handle
                    .channel_open_direct_tcpip(host.as_str(), u32::from(*port), "127.0.0.1", 0)
                    .await
            }
        };
        match opened {
            Ok(channel) => Ok(Box::new(Kept {
                stream: channel.into_stream(),
                _session: session,
            })),
            // sshd does not tell a socket that may not be opened from one that nobody listens on; a bridge can.
            Err(russh::Error::ChannelOpenFailure(reason)) => match address {
                Address::Unix(_) => Err(OpenError::Forbidden(format!("{reason:?}"))),
                Address::Tcp(host, port) => match reason {
                    russh::ChannelOpenFailure::AdministrativelyProhibited => {
                        Err(OpenError::Forbidden("sshd forbids forwarding".to_owned()))
                    }
                    _ => Err(OpenError::Failed(HostError::failed(format!(
                        "{}: {host}:{port} cannot be opened from the host: nothing listens there",
                        self.settings.name
                    )))),
                },
            },
            Err(e) => Err(OpenError::Failed(HostError::Lost(format!(
                "{}: {e}",
                self.settings.name
            )))),
        }
    }

    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn close(&self) {
        if let Some(session) = self.session.lock().await.take() {
            let _ = session
                .handle
                .disconnect(Disconnect::ByApplication, "done", "en")
                .await;
        }
    }

    fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

fn received(
    queue: mpsc::UnboundedReceiver<std::io::Result<Bytes>>,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + Unpin {
    Box::pin(futures::stream::unfold(queue, |mut queue| async move {
        let next = queue.recv().await?;
        Some((next, queue))
    }))
}

/// A stream that keeps its session open.
struct Kept<S> {
    stream: S,
    _session: Arc<Session>,
}

/// A stream whose bytes are counted.
struct Metered {
    inner: Stream,
    meter: Arc<Meter>,
}

macro_rules! forward_write {
    ($field:ident, $this:ident, $sent:expr) => {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            let $this = &mut *self;
            let written = std::pin::Pin::new(&mut $this.$field).poll_write(cx, buf);
            if let std::task::Poll::Ready(Ok(n)) = &written {
                let count: &dyn Fn(&Self, usize) = &$sent;
                count($this, *n);
            }
            written
        }
        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.$field).poll_flush(cx)
        }
        fn poll_shutdown(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.$field).poll_shutdown(cx)
        }
    };
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = std::pin::Pin::new(&mut self.inner).poll_read(cx, buf);
        self.meter.received(buf.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Metered {
    forward_write!(inner, this, |this: &Self, n| this.meter.sent(n));
}

impl<S: AsyncRead + Unpin> AsyncRead for Kept<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Kept<S> {
    forward_write!(stream, this, |_: &Self, _| ());
}
