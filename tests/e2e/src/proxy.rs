//! A TCP proxy that counts round trips after the login.

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

/// Listens on a port of 127.0.0.1 and carries everything to a server and back. It does so until the test ends.
pub struct Proxy {
    port: u16,
    traffic: Arc<Mutex<Traffic>>,
}

/// The state of one connection, shared by its two directions.
struct Line {
    traffic: Arc<Mutex<Traffic>>,
    last: Mutex<Side>,
    logged_in: Mutex<bool>,
    delay: Duration,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Proxy {
    /// Every part arrives `delay` later, in either direction, as on a line of that length. `logged_in` is asked before
    /// each answer of the server is handed on, until it says yes: so the client cannot have sent anything that
    /// comes after the login before the login is seen.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start(to: SocketAddr, delay: Duration, logged_in: LoggedIn) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let traffic = Arc::<Mutex<Traffic>>::default();
        let shared = traffic.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                locked(&shared).connections += 1;
                let line = Arc::new(Line {
                    traffic: shared.clone(),
                    last: Mutex::new(Side::Server),
                    logged_in: Mutex::new(false),
                    delay,
                });
                let logged_in = logged_in.clone();
                // A line that breaks is the client's to tell of.
                std::thread::spawn(move || drop(carry(&client, to, &line, &logged_in)));
            }
        });
        Ok(Self { port, traffic })
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
    let mut to = to.try_clone()?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (due, part) in waiting {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
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
            line.count(side, count);
            if side == Side::Server && !*locked(&line.logged_in) && logged_in() {
                *locked(&line.logged_in) = true;
                locked(&line.traffic).logins += 1;
            }
            if queue
                .send((Instant::now() + line.delay, buffer[..count].to_vec()))
                .is_err()
            {
                break;
            }
        }
        drop(queue);
    });
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
