//! A port that is there to be left alone.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Listens on a port of 127.0.0.1, notes who connects, and closes each connection at once. It does so until the test
/// ends.
pub struct Counter {
    port: u16,
    seen: Arc<Mutex<Vec<u16>>>,
}

impl Counter {
    /// Begins to listen.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let seen = Arc::<Mutex<Vec<u16>>>::default();
        let list = seen.clone();
        std::thread::spawn(move || {
            while let Ok((_, from)) = listener.accept() {
                list.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(from.port());
            }
        });
        Ok(Self { port, seen })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many have connected before this call. Connections are taken in the order in which they come, so when one of
    /// its own has been noted, all earlier ones have. Asked once.
    ///
    /// # Errors
    /// It does not listen any more.
    pub fn connections(&self) -> Result<usize> {
        let own = TcpStream::connect(("127.0.0.1", self.port))?
            .local_addr()?
            .port();
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(before) = seen.iter().position(|p| *p == own) {
                return Ok(before);
            }
            drop(seen);
            ensure!(Instant::now() < end, "the counter does not count");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
