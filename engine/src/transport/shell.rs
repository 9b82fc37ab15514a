//! A persistent POSIX shell that answers requests one after the other.
//!
//! The shell runs a loop that reads a line and evaluates it; a request is such a line. Its own commands run in a
//! subshell with nothing on their input, so that no request can end, move or confuse the loop. Each answer ends, on
//! both output streams, with a line that carries a number nobody can guess. `read` takes its line byte by byte, as
//! POSIX asks of it, so that what follows a line stays in the stream: requests are written without waiting for
//! answers, and those queued within the same moment leave in one packet.
//!
//! What many requests begin with, functions, is sent once and kept in a variable of the shell.
//!
//! It begins with a greeting. What was printed before it (rc files, banners) is nobody's answer, and what the opening
//! script printed comes with it, so that it costs no round trip of its own: a server takes no input for a process
//! before it has started it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use rand::RngCore;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::carrier::{Meter, Process, Ticket};
use super::quote::{expanded, one_line, word};
use crate::host::{Reply, Snippet};

/// Stands before what the opening script prints.
const OPENING: &str = "runbook-opens";
/// Ends it, on both streams.
const GREETING: &str = "runbook-greets";

/// The command line of a shell that first runs an opening script, in a subshell. The script must not hold backslashes,
/// exclamation marks, single quotes and line ends: it passes through login shells of any kind.
pub(super) fn command_line(opening: &str) -> String {
    format!(
        "sh -c 'echo; echo {OPENING}; ( {opening} ) </dev/null 2>/dev/null; echo; echo {GREETING}; echo >&2; \
         echo {GREETING} >&2; while IFS= read -r l; do eval \"$l\"; done'"
    )
}

/// Requests that come within this time of each other leave together.
const TOGETHER: Duration = Duration::from_micros(300);
/// The functions that requests may use: base64 by whatever program knows it.
const TOOLS: &str = "if command -v base64 >/dev/null 2>&1; then runbook_enc() { base64; }; runbook_dec() { base64 -d; }; \
elif command -v openssl >/dev/null 2>&1; then runbook_enc() { openssl base64; }; runbook_dec() { openssl base64 -d -A; }; \
else runbook_enc() { perl -MMIME::Base64 -0777 -ne \"print encode_base64(\\$_)\"; }; \
runbook_dec() { perl -MMIME::Base64 -0777 -ne \"print decode_base64(\\$_)\"; }; fi";

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum NoReply {
    /// It never left: it may be sent through another shell.
    NotSent,
    /// The shell ended with this on its error stream, and whether the request was carried out is not known.
    Ended(String),
    /// It was not answered in time; the shell has been given up.
    Late,
}

type Answer = oneshot::Sender<Result<Reply, NoReply>>;

struct Request {
    line: String,
    answer: Answer,
}

/// A running shell.
pub(super) struct Shell {
    requests: mpsc::UnboundedSender<Request>,
    nonce: String,
    given_up: CancellationToken,
    greeting: watch::Receiver<Option<Result<Bytes, String>>>,
    /// The functions that were sent; each is in a variable of the shell that is named after its place here.
    functions: Mutex<Vec<&'static str>>,
}

impl Shell {
    /// Takes over a process that runs [`command_line`]; `asked` is when it was started. With `listens` its input is
    /// known to be taken already.
    pub fn new(process: Process, meter: Arc<Meter>, asked: Ticket, listens: bool) -> Self {
        let mut secret = [0_u8; 16];
        rand::rng().fill_bytes(&mut secret);
        let nonce = hex::encode(secret);
        let (requests, queue) = mpsc::unbounded_channel();
        let given_up = CancellationToken::new();
        let stop = given_up.clone();
        let mark = nonce.clone();
        let (greet, greeting) = watch::channel(None);
        let greeter = Greeter {
            asked,
            greet,
            listens,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = serve(process, queue, mark, meter, greeter) => {}
                () = stop.cancelled() => {}
            }
        });
        Self {
            requests,
            nonce,
            given_up,
            greeting,
            functions: Mutex::default(),
        }
    }

    /// What the opening script printed; the error is what the shell said before it ended without a greeting.
    pub async fn opening(&self) -> Result<Bytes, String> {
        let mut greeting = self.greeting.clone();
        match greeting.wait_for(Option::is_some).await {
            Ok(said) => said.clone().unwrap_or_else(|| Err(String::new())),
            Err(_) => Err(String::new()),
        }
    }

    /// Can it take requests?
    pub fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Runs a snippet; its answer is waited for until the deadline.
    pub async fn run(
        &self,
        snippet: Snippet<'_>,
        stdin: Option<&[u8]>,
        deadline: Duration,
    ) -> Result<Reply, NoReply> {
        let (answer, answered) = oneshot::channel();
        if self.send(snippet, stdin, answer).is_err() {
            return Err(NoReply::NotSent);
        }
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(NoReply::Ended(String::new())),
            Err(_) => {
                // What hangs would hold up everything behind it.
                self.given_up.cancel();
                Err(NoReply::Late)
            }
        }
    }
}

impl Shell {
    /// Sends a snippet, and before it its functions, where this shell does not have them yet.
    fn send(&self, snippet: Snippet<'_>, stdin: Option<&[u8]>, answer: Answer) -> Result<(), ()> {
        // Held until it is sent: the line that brings the functions comes before every line that uses them.
        let mut known = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut line = String::new();
        let mut begin = String::new();
        if !snippet.functions.is_empty() {
            let at = known.iter().position(|f| *f == snippet.functions);
            let at = at.unwrap_or_else(|| {
                let at = known.len();
                line = format!("runbook_f{at}={}\n", expanded(snippet.functions));
                known.push(snippet.functions);
                at
            });
            begin = format!("eval \"$runbook_f{at}\"; ");
        }
        line.push_str(&request_line(&begin, snippet.body, stdin, &self.nonce));
        let sent = self.requests.send(Request { line, answer });
        sent.map_err(|_| ())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.given_up.cancel();
    }
}

/// A request as one line. `begin` is what the shell does before the script, in the same subshell.
fn request_line(begin: &str, script: &str, stdin: Option<&[u8]>, nonce: &str) -> String {
    let body = format!("{begin}{}", one_line(script));
    let mut line = match stdin {
        None => format!("( {body} ) </dev/null"),
        Some(bytes) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            format!(
                "printf '%s\\n' {} | runbook_dec | ( {body} )",
                word(&encoded)
            )
        }
    };
    let _ = writeln!(
        line,
        "; printf '\\n{nonce} %s\\n' \"$?\"; printf '\\n{nonce}\\n' >&2"
    );
    line
}

/// What is to be done with the greeting.
struct Greeter {
    asked: Ticket,
    greet: watch::Sender<Option<Result<Bytes, String>>>,
    listens: bool,
}

/// Writes requests, reads answers, in order, until the shell ends or nobody asks any more.
async fn serve(
    process: Process,
    mut queue: mpsc::UnboundedReceiver<Request>,
    nonce: String,
    meter: Arc<Meter>,
    greeter: Greeter,
) {
    let listens = greeter.listens;
    let mut greeting = greeter.greet.subscribe();
    let Process {
        mut stdin,
        stdout,
        stderr,
    } = process;
    let (waiting, answers) = mpsc::unbounded_channel();
    let mut reader = tokio::spawn(read_answers(
        stdout,
        stderr,
        answers,
        nonce,
        meter.clone(),
        greeter,
    ));
    if !listens {
        // Its input waits for it anyway; asking now would only count the wait wrongly.
        let _ = greeting.wait_for(Option::is_some).await;
    }
    let mut burst = format!("{TOOLS}\n");
    loop {
        let first = tokio::select! {
            first = queue.recv() => first,
            _ = &mut reader => None,
        };
        let Some(first) = first else {
            break;
        };
        tokio::time::sleep(TOGETHER).await;
        let ticket = meter.ask();
        burst.push_str(&first.line);
        let _ = waiting.send((first.answer, ticket));
        while let Ok(next) = queue.try_recv() {
            burst.push_str(&next.line);
            let _ = waiting.send((next.answer, ticket));
        }
        if stdin.write_all(burst.as_bytes()).await.is_err() || stdin.flush().await.is_err() {
            break;
        }
        burst.clear();
    }
    queue.close();
    // A shell that never greeted tells its reason (sudo said no) to whoever asks.
    let refusal = match &*greeting.borrow() {
        Some(Err(said)) if !said.is_empty() => Some(said.clone()),
        _ => None,
    };
    while let Ok(request) = queue.try_recv() {
        let why = refusal.clone().map_or(NoReply::NotSent, NoReply::Ended);
        let _ = request.answer.send(Err(why));
    }
    drop(waiting);
    drop(stdin);
    if !reader.is_finished() {
        let _ = reader.await;
    }
}

/// Takes both streams apart at the marks, an answer for each request.
async fn read_answers(
    stdout: Box<dyn AsyncRead + Send + Unpin>,
    stderr: Box<dyn AsyncRead + Send + Unpin>,
    mut requests: mpsc::UnboundedReceiver<(Answer, Ticket)>,
    nonce: String,
    meter: Arc<Meter>,
    greeter: Greeter,
) {
    let mut out = Frames::new(stdout);
    let mut err = Frames::new(stderr);
    let end_out = format!("\n{nonce} ");
    let end_err = format!("\n{nonce}\n");
    let end = format!("\n{GREETING}\n");
    let greeted = tokio::join!(
        out.until(end.as_bytes(), false),
        err.until(end.as_bytes(), false)
    );
    let Greeter { asked, greet, .. } = greeter;
    meter.answered(asked);
    let open = if let (Some((opening, _)), Some(_)) = greeted {
        let start = format!("\n{OPENING}\n");
        let at = find(&opening, start.as_bytes(), 0).map_or(0, |at| at + start.len());
        let _ = greet.send(Some(Ok(opening.slice(at..))));
        true
    } else {
        let said = String::from_utf8_lossy(&err.rest).trim().to_owned();
        let _ = greet.send(Some(Err(said)));
        false
    };
    loop {
        if !open {
            break;
        }
        // Also while nothing is asked the streams are watched, so that the end of the shell is noticed.
        let (answer, ticket) = tokio::select! {
            biased;
            request = requests.recv() => match request {
                Some(request) => request,
                None => return,
            },
            open = out.fill() => if open { continue } else { break },
        };
        let (stdout, stderr) = tokio::join!(
            out.until(end_out.as_bytes(), true),
            err.until(end_err.as_bytes(), false)
        );
        let (Some((stdout, status)), Some((stderr, _))) = (stdout, stderr) else {
            let said = String::from_utf8_lossy(&err.rest).trim().to_owned();
            let _ = answer.send(Err(NoReply::Ended(said)));
            break;
        };
        meter.answered(ticket);
        let _ = answer.send(Ok(Reply {
            status,
            stdout,
            stderr,
        }));
    }
    requests.close();
    while let Ok((answer, _)) = requests.try_recv() {
        let said = String::from_utf8_lossy(&err.rest).trim().to_owned();
        let _ = answer.send(Err(NoReply::Ended(said)));
    }
}

/// Bytes of one stream, taken apart at the marks.
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

    /// Takes what has come; false at the end.
    async fn fill(&mut self) -> bool {
        self.rest.reserve(16 * 1024);
        !matches!(self.stream.read_buf(&mut self.rest).await, Ok(0) | Err(_))
    }

    /// The bytes before the next mark; with `status`, the number behind it up to the line end.
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
            if !self.fill().await {
                return None;
            }
        }
    }
}

/// Where the pattern, which begins with a line end, is found.
fn find(bytes: &[u8], pattern: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(tail) = bytes.get(at..) {
        let next = tail.iter().position(|b| *b == b'\n')?;
        at += next;
        if bytes[at..].starts_with(pattern) {
            return Some(at);
        }
        at += 1;
    }
    None
}
