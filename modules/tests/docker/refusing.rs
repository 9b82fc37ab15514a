//! The daemon of this machine, which refuses some requests.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use runbook_engine::host::{
    Address, Command, Connection, Cost, Finished, HostError, HostFacts, Probe, Reply, Snippet,
    Stream, User,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::daemon::Host;

/// Beginnings of requests, as in `DELETE /containers/`.
type Refused = Arc<Mutex<Vec<String>>>;

struct Refusing {
    inner: Arc<dyn Connection>,
    refused: Refused,
}

/// The same corner of the daemon, in which requests that begin so are refused from now on.
pub fn refusing(host: &mut Host) -> Refused {
    let refused = Refused::default();
    let connection = Arc::new(Refusing {
        inner: runbook_engine::transport::local::connect("localhost", None),
        refused: refused.clone(),
    });
    host.probe = Probe::new(connection, User::Login);
    host.target = runbook_engine::testkit::target(host.probe.clone());
    refused
}

/// Looks at the first request of a connection; each that changes something has one of its own.
async fn between(mut client: DuplexStream, mut daemon: Stream, refused: Refused) {
    let mut head = vec![0; 64 * 1024];
    let Ok(length) = client.read(&mut head).await else {
        return;
    };
    let request = String::from_utf8_lossy(&head[..length]).into_owned();
    let no = |begin: &String| request.starts_with(begin.as_str());
    if refused.lock().unwrap().iter().any(no) {
        let answer = "{\"message\":\"not today\"}";
        let answer = format!(
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{answer}",
            answer.len()
        );
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    }
    if daemon.write_all(&head[..length]).await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
    }
}

#[async_trait]
impl Connection for Refusing {
    async fn snippet(
        &self,
        user: &User,
        snippet: Snippet<'_>,
        stdin: Option<Bytes>,
        repeatable: bool,
    ) -> Result<Reply, HostError> {
        self.inner.snippet(user, snippet, stdin, repeatable).await
    }

    async fn open(&self, user: &User, address: &Address) -> Result<Stream, HostError> {
        let stream = self.inner.open(user, address).await?;
        if !matches!(address, Address::Unix(_)) {
            return Ok(stream);
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(between(theirs, stream, self.refused.clone()));
        Ok(Box::new(ours))
    }

    async fn upload(&self, user: &User, path: &str, content: Bytes) -> Result<(), HostError> {
        self.inner.upload(user, path, content).await
    }

    async fn command(
        &self,
        user: &User,
        command: &Command,
        folder: &str,
    ) -> Result<Finished, HostError> {
        self.inner.command(user, command, folder).await
    }

    async fn facts(&self) -> Result<HostFacts, HostError> {
        self.inner.facts().await
    }

    fn cost(&self) -> Cost {
        self.inner.cost()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
