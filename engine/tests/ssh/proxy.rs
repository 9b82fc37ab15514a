//! A TCP proxy that delays, counts and cuts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::rest::at_rest;

/// How long an answer is held back at most for a server that does not come to rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the proxy has seen, and what it is to do.
#[derive(Default)]
pub struct Line {
    /// Times that the client sent something after it had received something: an upper bound of its round trips.
    pub turns: AtomicU64,
    pub connections: AtomicU64,
    /// The connection is cut after this many further bytes in either direction; negative: never.
    pub cut_after: AtomicI64,
    /// The process that answers, and all below it: an answer is handed on when it is at rest, and as one part. 0: at
    /// once.
    server: u32,
}

pub struct Proxy {
    pub port: u16,
    pub line: Arc<Line>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// `delay` is added in each direction.
    pub async fn start(to: u16, delay: Duration) -> Self {
        Self::before(to, delay, 0).await
    }

    /// Before a server whose process is known: what it sends before it has nothing left to do arrives as one part, so
    /// that a turn is one however slow this machine is.
    pub async fn before(to: u16, delay: Duration, server: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::new(Line {
            cut_after: AtomicI64::new(-1),
            server,
            ..Line::default()
        });
        let shared = line.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, to, delay, shared.clone()));
            }
        });
        Self { port, line, task }
    }

    pub fn turns(&self) -> u64 {
        self.line.turns.load(Ordering::SeqCst)
    }

    pub fn cut_after(&self, bytes: i64) {
        self.line.cut_after.store(bytes, Ordering::SeqCst);
    }
}

async fn carry(client: TcpStream, to: u16, delay: Duration, line: Arc<Line>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else {
        return;
    };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    // Even: the last word was the client's; odd: the server's.
    let last = Arc::new(AtomicU64::new(1));
    let up = one_way(
        client_in,
        server_out,
        delay,
        line.clone(),
        last.clone(),
        true,
    );
    let down = one_way(server_in, client_out, delay, line, last, false);
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

async fn one_way(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
    line: Arc<Line>,
    last: Arc<AtomicU64>,
    up: bool,
) {
    let (queue, mut waiting) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            if up && last.swap(0, Ordering::SeqCst) == 1 {
                line.turns.fetch_add(1, Ordering::SeqCst);
            }
            let left = line.cut_after.load(Ordering::SeqCst);
            let mut keep = count;
            if left >= 0 {
                keep = count.min(usize::try_from(left).unwrap());
                line.cut_after
                    .store(left - i64::try_from(keep).unwrap(), Ordering::SeqCst);
            }
            let due = tokio::time::Instant::now() + delay;
            let _ = queue.send((due, buffer[..keep].to_vec()));
            if keep < count {
                // The cut is done once; the next connection is whole.
                line.cut_after.store(-1, Ordering::SeqCst);
                break;
            }
        }
        drop(queue);
    };
    let write = async {
        while let Some((due, mut part)) = waiting.recv().await {
            tokio::time::sleep_until(due).await;
            if !up && line.server != 0 {
                while due.elapsed() < PATIENCE && !at_rest(line.server, true) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                while let Ok((_, more)) = waiting.try_recv() {
                    part.extend(more);
                }
            }
            if !up {
                last.store(1, Ordering::SeqCst);
            }
            if to.write_all(&part).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}
