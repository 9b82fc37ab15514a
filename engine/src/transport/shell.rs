//! A persistent POSIX shell that answers requests one after the other.
//!
//! The shell runs a loop that reads a line and evaluates it; a request is such a line. Its own commands run in a
//! subshell with nothing on their input, so that no request can end, move or confuse the loop. Each answer ends, on
//! both output streams, with a line that carries a number nobody can guess. `read` takes its line byte by byte, as
//! POSIX asks of it, so that what follows a line stays in the stream: requests are written without waiting for
//! answers, and those queued within the same moment leave in one packet.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use rand::RngCore;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::carrier::{Meter, Process};
use super::quote::word;
use crate::host::{HostError, Reply};

/// What the shell runs.
pub(super) const LOOP: &str = r#"while IFS= read -r l; do eval "$l"; done"#;
/// Requests that come within this time of each other leave together.
const TOGETHER: Duration = Duration::from_micros(300);
/// An answer may take this long.
const DEADLINE: Duration = Duration::from_secs(600);

struct Request {
    line: String,
    answer: oneshot::Sender<Result<Reply, HostError>>,
}

/// A running shell.
pub(super) struct Shell {
    requests: mpsc::UnboundedSender<Request>,
    nonce: String,
    host: String,
}

impl Shell {
    /// Takes over a process that runs [`LOOP`].
    pub fn new(process: Process, meter: Arc<Meter>, host: &str) -> Self {
        let mut secret = [0_u8; 16];
        rand::rng().fill_bytes(&mut secret);
        let nonce = hex::encode(secret);
        let (requests, queue) = mpsc::unbounded_channel();
        tokio::spawn(serve(process, queue, nonce.clone(), meter, host.to_owned()));
        Self {
            requests,
            nonce,
            host: host.to_owned(),
        }
    }

    /// Can it take requests?
    pub fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Runs a snippet.
    pub async fn run(&self, script: &str, stdin: Option<&[u8]>) -> Result<Reply, HostError> {
        if script.contains('\0') {
            return Err(HostError::failed("a command cannot hold a NUL byte"));
        }
        let (answer, answered) = oneshot::channel();
        let line = request_line(script, stdin, &self.nonce);
        if self.requests.send(Request { line, answer }).is_err() {
            return Err(lost(&self.host));
        }
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(lost(&self.host)),
            Err(_) => Err(HostError::unreachable(format!(
                "{}: no answer for {} seconds",
                self.host,
                DEADLINE.as_secs()
            ))),
        }
    }
}

fn lost(host: &str) -> HostError {
    HostError::Lost(format!("{host}: the connection was lost"))
}

/// A request as one line.
fn request_line(script: &str, stdin: Option<&[u8]>, nonce: &str) -> String {
    let body = if script.contains('\n') {
        // One line per request: line ends travel as escapes that printf's %b puts back.
        let escaped = script.replace('\\', "\\\\").replace('\n', "\\n");
        format!("eval \"$(printf '%b' {})\"", word(&escaped))
    } else {
        format!("eval {}", word(script))
    };
    let mut line = match stdin {
        None => format!("( {body} ) </dev/null"),
        Some(bytes) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            format!("printf %s {} | base64 -d | ( {body} )", word(&encoded))
        }
    };
    let _ = writeln!(
        line,
        "; printf '\\n{nonce} %s\\n' \"$?\"; printf '\\n{nonce}\\n' >&2"
    );
    line
}

/// Writes requests, reads answers, in order, until the shell ends.
async fn serve(
    process: Process,
    mut queue: mpsc::UnboundedReceiver<Request>,
    nonce: String,
    meter: Arc<Meter>,
    host: String,
) {
    let Process {
        mut stdin,
        stdout,
        stderr,
    } = process;
    let (waiting, mut answers) =
        mpsc::unbounded_channel::<oneshot::Sender<Result<Reply, HostError>>>();
    let reader = tokio::spawn(async move {
        let mut out = Frames::new(stdout);
        let mut err = Frames::new(stderr);
        let mut pending = VecDeque::new();
        while let Some(answer) = answers.recv().await {
            pending.push_back(answer);
            let Some(answer) = pending.pop_front() else {
                continue;
            };
            let end_out = format!("\n{nonce} ");
            let end_err = format!("\n{nonce}\n");
            let (stdout, stderr) = tokio::join!(
                out.until(end_out.as_bytes(), true),
                err.until(end_err.as_bytes(), false)
            );
            let reply = match (stdout, stderr) {
                (Some((stdout, status)), Some((stderr, _))) => Ok(Reply {
                    status,
                    stdout,
                    stderr,
                }),
                _ => {
                    let said = String::from_utf8_lossy(&err.rest).trim().to_owned();
                    Err(ended(&host, &said))
                }
            };
            let failed = reply.is_err();
            let _ = answer.send(reply);
            if failed {
                answers.close();
                break;
            }
        }
    });
    while let Some(first) = queue.recv().await {
        let mut burst = first.line;
        let _ = waiting.send(first.answer);
        tokio::time::sleep(TOGETHER).await;
        while let Ok(next) = queue.try_recv() {
            burst.push_str(&next.line);
            let _ = waiting.send(next.answer);
        }
        meter.round_trip();
        if stdin.write_all(burst.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
            break;
        }
        if reader.is_finished() {
            break;
        }
    }
    queue.close();
    drop(stdin);
    drop(waiting);
    let _ = reader.await;
}

/// The shell ended before it answered.
fn ended(host: &str, said: &str) -> HostError {
    let lower = said.to_lowercase();
    if lower.contains("sudo") || lower.contains("password") {
        let reason = if lower.contains("a password is required")
            || lower.contains("no password was provided")
        {
            "sudo wants a password: give it with `-K` or `ansible_become_password`".to_owned()
        } else if lower.contains("incorrect password") || lower.contains("sorry, try again") {
            "sudo refused the password".to_owned()
        } else if lower.contains("not in the sudoers") || lower.contains("may not run sudo") {
            "this user may not use sudo".to_owned()
        } else if lower.contains("not found") {
            "there is no sudo on the host".to_owned()
        } else {
            format!("sudo said: {said}")
        };
        return HostError::failed(format!("{host}: cannot become another user: {reason}"));
    }
    if said.is_empty() {
        lost(host)
    } else {
        HostError::Lost(format!("{host}: the shell ended: {said}"))
    }
}

/// Bytes of one stream, taken apart at the markers.
struct Frames<R> {
    stream: R,
    rest: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    fn new(stream: R) -> Self {
        Self {
            stream,
            rest: BytesMut::new(),
        }
    }

    /// The bytes before the next marker; with `status`, the number behind it up to the line end.
    async fn until(&mut self, marker: &[u8], status: bool) -> Option<(Bytes, i32)> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.rest, marker, searched) {
                let after = at + marker.len();
                if !status {
                    let body = self.rest.split_to(after).freeze().slice(..at);
                    return Some((body, 0));
                }
                if let Some(end) = find(&self.rest, b"\n", after) {
                    let number = String::from_utf8_lossy(&self.rest[after..end])
                        .trim()
                        .parse()
                        .unwrap_or(-1);
                    let body = self.rest.split_to(end + 1).freeze().slice(..at);
                    return Some((body, number));
                }
                searched = at;
            } else {
                searched = self.rest.len().saturating_sub(marker.len());
            }
            if self.stream.read_buf(&mut self.rest).await.ok()? == 0 {
                return None;
            }
        }
    }
}

fn find(bytes: &[u8], pattern: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    tail.windows(pattern.len())
        .position(|w| w == pattern)
        .map(|at| at + from)
}
