//! A TCP proxy that counts round trips after the login, or breaks the connection at a byte.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

/// What went over one proxy.
///
/// A **round trip** is a turn of the payload: the client has sent something, and the next payload comes from the
/// server. It does not matter how many packets go in one direction before it turns, and what the client sends last and
/// nobody answers (its goodbye) is none. Acknowledgements of TCP are no payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were made.
    pub connections: u64,
    /// Round trips before the login was done: greeting, exchange of keys, authentication.
    pub before_login: u64,
    /// Round trips after it.
    pub after_login: u64,
    /// Bytes from the client after the login.
    pub sent: u64,
    /// Bytes from the server after the login.
    pub received: u64,
    /// Connections whose login was seen to succeed.
    pub logins: u64,
}

/// Says whether the connection that reaches the server from this address has logged in by now.
pub type LoggedIn = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// Says whether who sent the last part has nothing left to do, so that nothing will follow unasked.
pub type AtRest = Arc<dyn Fn(Side) -> bool + Send + Sync>;

/// How long a part is held back at most for a side that does not come to rest; it is handed on then all the same.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a connection breaks.
#[derive(Debug, Clone, Copy)]
pub struct Break {
    /// When so many bytes have gone over the proxy, in both directions and over all connections together.
    pub after: u64,
    /// How long everyone who connects then is sent away; without it, until it is mended.
    pub gone: Option<Duration>,
}

/// The bytes that have gone over a proxy, and where it is to break.
#[derive(Default)]
struct Gauge {
    bytes: u64,
    broken: Option<Break>,
    since: Option<Instant>,
}

impl Gauge {
    /// How many of so many bytes may still go; all of them, unless it breaks within them.
    fn allow(&mut self, count: usize) -> usize {
        let most = match self.broken {
            Some(b) if self.since.is_none() => {
                let left = b.after.saturating_sub(self.bytes);
                count.min(usize::try_from(left).unwrap_or(usize::MAX))
            }
            _ => count,
        };
        if most < count {
            self.since = Some(Instant::now());
        }
        self.bytes += u64::try_from(most).unwrap_or(u64::MAX);
        most
    }

    /// Nobody may connect at the moment.
    fn is_gone(&self) -> bool {
        let gone =
            |since: Instant, gone: Option<Duration>| gone.is_none_or(|g| since.elapsed() < g);
        self.broken
            .zip(self.since)
            .is_some_and(|(broken, since)| gone(since, broken.gone))
    }
}

/// Listens on a port of 127.0.0.1 and carries everything to a server and back. It does so until the test ends.
pub struct Proxy {
    port: u16,
    traffic: Arc<Mutex<Traffic>>,
    gauge: Arc<Mutex<Gauge>>,
}

/// The state of one connection, shared by its two directions.
struct Line {
    traffic: Arc<Mutex<Traffic>>,
    gauge: Arc<Mutex<Gauge>>,
    last: Mutex<Side>,
    logged_in: Mutex<bool>,
    delay: Duration,
    at_rest: AtRest,
}

/// One end of a connection.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Side {
    /// Who has connected.
    Client,
    /// Who was connected to.
    Server,
}

impl Proxy {
    /// Every part arrives `delay` later, in either direction, as on a line of that length, and not before its sender
    /// is at rest: what is sent in several parts by a slow machine arrives as one. `logged_in` is asked before
    /// each answer of the server is handed on, until it says yes: so the client cannot have sent anything that
    /// comes after the login before the login is seen.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start(
        to: SocketAddr,
        delay: Duration,
        logged_in: LoggedIn,
        at_rest: AtRest,
    ) -> Result<Self> {
        Self::with(to, delay, logged_in, at_rest, None)
    }

    /// Breaks the connection once, where that is asked for: both ends see it closed.
    ///
    /// # Errors
    /// There is no free port.
    pub fn breaking(to: SocketAddr, broken: Option<Break>) -> Result<Self> {
        let yes: LoggedIn = Arc::new(|_| true);
        Self::with(to, Duration::ZERO, yes, Arc::new(|_| true), broken)
    }

    fn with(
        to: SocketAddr,
        delay: Duration,
        logged_in: LoggedIn,
        at_rest: AtRest,
        broken: Option<Break>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let traffic = Arc::<Mutex<Traffic>>::default();
        let gauge = Arc::new(Mutex::new(Gauge {
            broken,
            ..Gauge::default()
        }));
        let (shared, measured) = (traffic.clone(), gauge.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                locked(&shared).connections += 1;
                if locked(&measured).is_gone() {
                    continue;
                }
                let line = Arc::new(Line {
                    traffic: shared.clone(),
                    gauge: measured.clone(),
                    last: Mutex::new(Side::Server),
                    logged_in: Mutex::new(false),
                    delay,
                    at_rest: at_rest.clone(),
                });
                let logged_in = logged_in.clone();
                // A line that breaks is the client's to tell of.
                std::thread::spawn(move || drop(carry(&client, to, &line, &logged_in)));
            }
        });
        Ok(Self {
            port,
            traffic,
            gauge,
        })
    }

    /// How many bytes have gone over it so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        locked(&self.gauge).bytes
    }

    /// Whether the connection has broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        locked(&self.gauge).since.is_some()
    }

    /// From now on everyone may connect, and nothing breaks.
    pub fn mend(&self) {
        locked(&self.gauge).broken = None;
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What went over it so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        *locked(&self.traffic)
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(
    client: &TcpStream,
    to: SocketAddr,
    line: &Arc<Line>,
    logged_in: &LoggedIn,
) -> std::io::Result<()> {
    let server = TcpStream::connect(to)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let own = server.local_addr()?;
    let up = {
        let (from, to, line) = (client.try_clone()?, server.try_clone()?, line.clone());
        std::thread::spawn(move || one_way(from, &to, &line, Side::Client, || false))
    };
    let asked = logged_in.clone();
    let down = one_way(server.try_clone()?, client, line, Side::Server, move || {
        asked(own)
    });
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
    drop(up.join());
    down
}

/// Reads from one side and writes to the other, later by the delay and in order.
fn one_way(
    mut from: TcpStream,
    to: &TcpStream,
    line: &Line,
    side: Side,
    logged_in: impl Fn() -> bool,
) -> std::io::Result<()> {
    let (queue, waiting) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
    let other = to;
    let mut to = to.try_clone()?;
    let mut broken = false;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok((due, mut part)) = waiting.recv() {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                while due.elapsed() < PATIENCE && !(line.at_rest)(side) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                part.extend(waiting.try_iter().flat_map(|(_, more)| more));
                if to.write_all(&part).is_err() {
                    break;
                }
            }
            drop(to.shutdown(Shutdown::Write));
        });
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            let allowed = locked(&line.gauge).allow(count);
            line.count(side, count);
            if side == Side::Server && !*locked(&line.logged_in) && logged_in() {
                *locked(&line.logged_in) = true;
                locked(&line.traffic).logins += 1;
            }
            if queue
                .send((Instant::now() + line.delay, buffer[..allowed].to_vec()))
                .is_err()
            {
                break;
            }
            if allowed < count {
                broken = true;
                break;
            }
        }
        drop(queue);
    });
    if broken {
        // What was allowed has been written by now; the other direction ends with this one.
        drop(from.shutdown(Shutdown::Both));
        drop(other.shutdown(Shutdown::Both));
    }
    Ok(())
}

impl Line {
    fn count(&self, side: Side, bytes: usize) {
        let done = *locked(&self.logged_in);
        let turned = std::mem::replace(&mut *locked(&self.last), side) != side;
        let mut traffic = locked(&self.traffic);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match (side, done) {
            (Side::Client, true) => traffic.sent += bytes,
            (Side::Server, true) => traffic.received += bytes,
            _ => {}
        }
        if turned && side == Side::Server {
            if done {
                traffic.after_login += 1;
            } else {
                traffic.before_login += 1;
            }
        }
    }
}
