//! One SSH connection: the way to the host, its key, and who we are.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::{Config, Handle, Handler};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use tokio::time::timeout;

use super::auth::{self, Unproven};
use super::known_hosts::{KnownHost, Verdict, fingerprint};
use super::settings::Route;
use crate::host::Stream;
use crate::transport::carrier::Meter;
use crate::transport::metered::Metered;

/// A dead line is noticed after this long without an answer, three times over.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Proving who we are may take this long, a person typing a passphrase included.
const LOGIN: Duration = Duration::from_secs(110);

/// A connection that is logged in, and those it goes through.
pub(super) struct Session {
    pub handle: Handle<Greeter>,
    /// The connections to jump hosts end with this one.
    _jumps: Vec<Handle<Greeter>>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The network or the server did not answer: trying again may help.
    Network(String),
    /// The host was reached, and the connection broke before it was ready.
    Broken(String),
    /// The login was refused: a host that is starting may refuse for a while.
    Login(String),
    /// The host's key is not the right one: trying again does not help.
    Key(String),
}

impl Refusal {
    pub fn message(&self) -> &str {
        match self {
            Self::Network(m) | Self::Broken(m) | Self::Login(m) | Self::Key(m) => m,
        }
    }
}

/// Connects, through jump hosts where there are some.
pub(super) async fn dial(route: &Route, meter: &Arc<Meter>) -> Result<Session, Refusal> {
    let mut jumps: Vec<Handle<Greeter>> = Vec::new();
    for hop in &route.jumps {
        let stream = match jumps.last() {
            None => reach(hop).await?,
            Some(before) => forward(before, hop).await?,
        };
        let handle = log_in(hop, stream).await?;
        jumps.push(handle);
    }
    let stream = match jumps.last() {
        None => reach(route).await?,
        Some(before) => forward(before, route).await?,
    };
    let stream: Stream = Box::new(Metered::bytes(stream, meter.clone()));
    Ok(Session {
        handle: log_in(route, stream).await?,
        _jumps: jumps,
    })
}

/// A stream to the first host on the way.
async fn reach(route: &Route) -> Result<Stream, Refusal> {
    if let Some(command) = &route.proxy_command {
        return proxy(route, command);
    }
    let unreachable = |why: String| {
        Refusal::Network(format!(
            "{}: cannot be reached at {}: {why}. Is it up, is sshd running there, and are `ansible_host` and \
             `ansible_port` right?",
            route.name,
            route.place()
        ))
    };
    let looked_up = timeout(
        route.timeout,
        tokio::net::lookup_host((route.host.as_str(), route.port)),
    );
    let addresses: Vec<_> = match looked_up.await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(e)) => return Err(unreachable(format!("its name is not found ({e})"))),
        Err(_) => return Err(unreachable("its name is not found in time".to_owned())),
    };
    let mut tried = Vec::new();
    for address in addresses {
        match timeout(route.timeout, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without this the last part of each request would wait for an acknowledgement.
                if let Err(e) = stream.set_nodelay(true) {
                    tracing::debug!(%e, "nodelay");
                }
                return Ok(Box::new(stream));
            }
            Ok(Err(e)) => tried.push(format!("{}: {e}", address.ip())),
            Err(_) => tried.push(format!(
                "{}: no answer within {} s",
                address.ip(),
                route.timeout.as_secs()
            )),
        }
    }
    Err(unreachable(tried.join("; ")))
}

/// A stream from one host on the way to the next.
async fn forward(before: &Handle<Greeter>, to: &Route) -> Result<Stream, Refusal> {
    let opened = timeout(
        to.timeout,
        before.channel_open_direct_tcpip(&to.host, u32::from(to.port), "127.0.0.1", 0),
    );
    match opened.await {
        Ok(Ok(channel)) => Ok(Box::new(channel.into_stream())),
        Ok(Err(e)) => Err(Refusal::Network(format!(
            "{}: cannot be reached at {}: the jump host says: {e}",
            to.name,
            to.place()
        ))),
        Err(_) => Err(Refusal::Network(format!(
            "{}: cannot be reached at {}: no answer through the jump host within {} s",
            to.name,
            to.place(),
            to.timeout.as_secs()
        ))),
    }
}

/// The streams of a `ProxyCommand`, run by sh with `%h`, `%p`, `%r` and `%%` put in.
fn proxy(route: &Route, command: &str) -> Result<Stream, Refusal> {
    let mut line = String::from("exec ");
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            line.push(c);
            continue;
        }
        match chars.next() {
            Some('h') => line.push_str(&route.host),
            Some('p') => line.push_str(&route.port.to_string()),
            Some('r') => line.push_str(&route.user),
            Some('n') => line.push_str(&route.name),
            Some('%') | None => line.push('%'),
            Some(other) => line.extend(['%', other]),
        }
    }
    let failed = |why: &dyn std::fmt::Display| {
        Refusal::Network(format!(
            "{}: the ProxyCommand `{line}` cannot be run: {why}",
            route.name
        ))
    };
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", &line])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map_err(|e| failed(&e))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => {
            tokio::spawn(async move { child.wait().await });
            Ok(Box::new(tokio::io::join(stdout, stdin)))
        }
        _ => Err(failed(&"it has no streams")),
    }
}

/// Exchanges keys, judges the host's, and proves who we are.
async fn log_in(route: &Route, stream: Stream) -> Result<Handle<Greeter>, Refusal> {
    let known = route.known();
    let verdict = Arc::new(Mutex::new(None));
    let config = Arc::new(configuration(route, &known));
    let greeter = Greeter {
        name: route.name.clone(),
        place: route.place(),
        host: route.key_name.clone(),
        known,
        pinned: route.host_key.clone(),
        accept_new: route.accept_new,
        verdict: verdict.clone(),
    };
    let connected = timeout(
        route.timeout,
        russh::client::connect_stream(config, stream, greeter),
    );
    let outcome = connected.await;
    let judged = verdict
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    if let Some(why) = judged {
        return Err(Refusal::Key(why));
    }
    let mut handle = match outcome {
        Ok(Ok(handle)) => handle,
        Ok(Err(e)) if is_break(&e) => {
            return Err(Refusal::Broken(broken(route, &e.to_string())));
        }
        Ok(Err(e)) => {
            return Err(Refusal::Network(format!(
                "{}: {} does not speak SSH as expected: {e}",
                route.name,
                route.place()
            )));
        }
        Err(_) => {
            return Err(Refusal::Network(format!(
                "{}: {} took the connection, but did not finish the key exchange within {} s (is sshd overloaded? \
                 see its MaxStartups)",
                route.name,
                route.place(),
                route.timeout.as_secs()
            )));
        }
    };
    match timeout(LOGIN, auth::prove(&mut handle, route)).await {
        Ok(Ok(())) => Ok(handle),
        Ok(Err(Unproven::Refused(why))) => Err(Refusal::Login(format!(
            "{} ({}): {why}",
            route.name,
            route.place()
        ))),
        Ok(Err(Unproven::Broken)) => Err(Refusal::Broken(broken(route, "during the login"))),
        Err(_) => Err(Refusal::Network(format!(
            "{} ({}): the login was not answered within {} s",
            route.name,
            route.place(),
            LOGIN.as_secs()
        ))),
    }
}

/// The other end was there, and is gone.
fn is_break(error: &russh::Error) -> bool {
    use russh::Error::{Disconnect, HUP, IO, RecvError, SendError};
    matches!(error, Disconnect | HUP | IO(_) | RecvError | SendError)
}

fn broken(route: &Route, why: &str) -> String {
    format!(
        "{}: {} does not speak SSH as expected: the connection was closed before it was ready ({why}). Is it sshd that \
         listens there, and does it let this machine in (MaxStartups, hosts.allow, a firewall)?",
        route.name,
        route.place()
    )
}

fn configuration(route: &Route, known: &KnownHost) -> Config {
    let mut preferred = russh::Preferred::default();
    let all: Vec<Algorithm> = preferred.key.to_vec();
    let of_known = known.algorithms();
    // RSA has several algorithms for one kind of key.
    let is_known = |a: &Algorithm| match a {
        Algorithm::Rsa { .. } => of_known.iter().any(|k| matches!(k, Algorithm::Rsa { .. })),
        other => of_known.contains(other),
    };
    let (mut first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_known);
    first.extend(rest);
    if known.has_authority() && route.host_key.is_none() {
        preferred.host_key_certificates = Cow::Owned(first.clone());
    }
    preferred.key = Cow::Owned(first);
    if route.compression {
        preferred.compression = Cow::Owned(vec![
            russh::compression::ZLIB_LEGACY,
            russh::compression::NONE,
        ]);
    }
    Config {
        preferred,
        nodelay: true,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        inactivity_timeout: None,
        // Large, so that an answer seldom has to wait until more may be sent.
        window_size: 8 << 20,
        ..Config::default()
    }
}

/// Judges the key that the host shows.
pub(super) struct Greeter {
    name: String,
    place: String,
    host: String,
    known: KnownHost,
    pinned: Option<String>,
    accept_new: bool,
    /// Why the key was not accepted.
    verdict: Arc<Mutex<Option<String>>>,
}

impl Greeter {
    fn judge(&self, shown: &PublicKeyOrCertificate) -> Result<(), String> {
        let key = shown.public_key();
        let print = fingerprint(&key);
        let at = format!("{} ({})", self.name, self.place);
        if let Some(pinned) = &self.pinned {
            let wanted = pinned.trim();
            let same = wanted == print || wanted.trim_end_matches('=') == print;
            return if same {
                Ok(())
            } else {
                Err(format!(
                    "{at}: its {} key has the fingerprint {print}, but the inventory says {wanted}. Somebody may be in \
                     between; or the host was installed anew, or the inventory names another of its keys",
                    key.algorithm()
                ))
            };
        }
        match self.known.judge(shown, &self.host) {
            Verdict::Known => Ok(()),
            Verdict::Refused(why) => Err(format!("{at}: {why}")),
            Verdict::New if self.accept_new => match self.known.add(&key) {
                Ok(file) => {
                    tracing::info!(host = %self.name, %print, file = %file.display(), "new host key accepted");
                    Ok(())
                }
                Err(e) => Err(format!(
                    "{at}: its new key {print} could not be written down: {e}"
                )),
            },
            Verdict::New => Err(format!(
                "{at}: nothing is known of its {} key {print}. Compare it with what its administrator says, then pin it \
                 in the inventory (`host_key: {print}`), or add it with `ssh-keyscan`, or ask for `accept-new`. Looked \
                 in {}",
                key.algorithm(),
                self.known.files()
            )),
        }
    }
}

impl Handler for Greeter {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        match self.judge(shown) {
            Ok(()) => Ok(true),
            Err(why) => {
                *self
                    .verdict
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(why);
                Ok(false)
            }
        }
    }
}
