//! The Docker Engine API, spoken from the controller through the host's connection.
//!
//! Requests and answers are plain JSON: a container made by hand is re-created from what the daemon itself says of it,
//! so that fields which no client library knows yet survive. [`Reader`] has the requests that change nothing, and
//! only [`Writer`], which is made from a target, has the others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use runbook_engine::host::{Address, HostError, Probe, Target, User};
use serde_json::Value as Json;

/// Where the daemon listens.
pub const SOCKET: &str = "/var/run/docker.sock";
/// An answer may take this long; starting and stopping have their own limits within it.
const DEADLINE: Duration = Duration::from_secs(900);

/// The answer to a question may take this long.
const READING: Duration = Duration::from_secs(120);
/// Between two questions to a daemon that does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// Questions asked at the same time: where the socket is reached through a bridge under sudo, each is a session of its
/// own, of which sshd allows ten.
const AT_ONCE: usize = 4;

type Body = BoxBody<Bytes, std::io::Error>;

/// Connections to the daemon that nobody uses at the moment.
#[derive(Default)]
struct Idle {
    senders: std::sync::Mutex<Vec<SendRequest<Body>>>,
}

impl Idle {
    fn take(&self) -> Option<SendRequest<Body>> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.pop()
    }

    fn put(&self, sender: SendRequest<Body>) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() < AT_ONCE {
            senders.push(sender);
        }
    }
}

/// Does all of it, some at a time, and gives the results in order.
pub(super) fn side_by_side<F: Future>(
    all: impl IntoIterator<Item = F>,
) -> impl Future<Output = Vec<F::Output>> {
    let all: Vec<F> = all.into_iter().collect();
    async move {
        let places = tokio::sync::Semaphore::new(AT_ONCE);
        let each = all.into_iter().map(|one| async {
            // It is never closed, so this never fails.
            let _place = places.acquire().await;
            one.await
        });
        futures::future::join_all(each).await
    }
}

fn nothing() -> Body {
    Full::new(Bytes::new())
        .map_err(|never| match never {})
        .boxed()
}

fn broken(error: &hyper::Error) -> HostError {
    HostError::failed(format!("the Docker daemon did not answer: {error}"))
}

/// Asks the daemon; changes nothing.
#[derive(Clone)]
pub struct Reader {
    probe: Probe,
}

/// Asks the daemon and tells it what to do.
#[derive(Clone)]
pub struct Writer {
    reader: Reader,
}

impl std::ops::Deref for Writer {
    type Target = Reader;
    fn deref(&self) -> &Reader {
        &self.reader
    }
}

/// An answer other than success.
#[derive(Debug)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// What the daemon says.
    pub message: String,
}

impl Reader {
    /// Through this probe.
    #[must_use]
    pub fn new(probe: &Probe) -> Self {
        Self {
            probe: probe.clone(),
        }
    }

    /// What it reads through.
    pub(super) fn probe(&self) -> &Probe {
        &self.probe
    }

    async fn connect(&self) -> Result<SendRequest<Body>, HostError> {
        let socket = Address::Unix(SOCKET.to_owned());
        let opened = self.probe.open(&socket).await;
        let stream = opened.map_err(|e| explain(e, &self.probe))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&e))?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, HostError> {
        let mut sender = self.connect().await?;
        tokio::time::timeout(DEADLINE, sender.send_request(request))
            .await
            .map_err(|_| HostError::failed("the Docker daemon did not answer in time"))?
            .map_err(|e| broken(&e))
    }

    /// Does the daemon answer, or will it soon? It may just be being started again.
    pub async fn answers_within(&self, limit: Duration) -> bool {
        let begin = tokio::time::Instant::now();
        loop {
            match self.look("/version").await {
                Ok(_) => return true,
                Err(HostError::Failed(_)) if begin.elapsed() < limit => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(_) => return false,
            }
        }
    }

    /// What is under a path, or why the daemon does not give it. It is asked on a connection that an earlier question has left
    /// open, so that it costs one round trip and not two.
    pub async fn look(&self, path: &str) -> Result<Result<Json, Refused>, HostError> {
        let idle = self.idle().await?;
        // One that the daemon has closed meanwhile is no failure: the question is asked again on a new one.
        while let Some(mut sender) = idle.take() {
            if sender.is_closed() || sender.ready().await.is_err() {
                continue;
            }
            let asked = sender.send_request(request(Method::GET, path, nothing(), false)?);
            if let Ok(Ok(response)) = tokio::time::timeout(READING, asked).await {
                let answer = answer(response).await?;
                idle.put(sender);
                return Ok(answer);
            }
        }
        let mut sender = self.connect().await?;
        let asked = sender.send_request(request(Method::GET, path, nothing(), false)?);
        let response = tokio::time::timeout(READING, asked)
            .await
            .map_err(|_| HostError::failed("the Docker daemon did not answer in time"))?
            .map_err(|e| broken(&e))?;
        let answer = answer(response).await?;
        idle.put(sender);
        Ok(answer)
    }

    async fn idle(&self) -> Result<Arc<Idle>, HostError> {
        let name = format!("{:?}", self.probe.user());
        self.probe
            .session(&name, || async { Ok(Idle::default()) })
            .await
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Result<Json, Refused>, HostError> {
        let content = body.map_or_else(Bytes::new, |b| Bytes::from(b.to_string()));
        let whole = Full::new(content).map_err(|never| match never {}).boxed();
        let response = self
            .send(request(method, path, whole, body.is_some())?)
            .await?;
        answer(response).await
    }

    /// An object, or `None` where there is none of that name.
    pub async fn find(&self, path: &str) -> Result<Option<Json>, HostError> {
        match self.look(path).await? {
            Ok(json) => Ok(Some(json)),
            Err(refused) if refused.status == 404 => Ok(None),
            Err(refused) => Err(failed("", &refused)),
        }
    }

    /// A list or object that is always there.
    pub async fn get(&self, path: &str) -> Result<Json, HostError> {
        self.look(path)
            .await?
            .map_err(|refused| failed("", &refused))
    }

    /// A body that is no JSON (an archive, a log).
    pub async fn raw(&self, path: &str) -> Result<Option<Bytes>, HostError> {
        let empty = Full::new(Bytes::new())
            .map_err(|never| match never {})
            .boxed();
        let response = self.send(request(Method::GET, path, empty, false)?).await?;
        if response.status().as_u16() == 404 {
            return Ok(None);
        }
        if !response.status().is_success() {
            return match answer(response).await? {
                Err(refused) => Err(failed("", &refused)),
                Ok(_) => Ok(None),
            };
        }
        let collected = response.into_body().collect().await;
        let bytes = collected
            .map_err(|e| HostError::failed(format!("the Docker daemon broke off: {e}")))?;
        Ok(Some(bytes.to_bytes()))
    }
}

impl Reader {
    /// Runs a command in a container that its task has declared to read only.
    pub async fn declared_reading(
        &self,
        call: &super::exec::Call,
    ) -> Result<super::exec::Said, HostError> {
        super::exec::run(
            &Writer {
                reader: self.clone(),
            },
            call,
        )
        .await
    }

    /// Starts a prepared command and gives both its outputs when it has ended.
    pub async fn run_exec(&self, id: &str) -> Result<(String, String), HostError> {
        let body = serde_json::json!({"Detach": false, "Tty": false}).to_string();
        let whole = Full::new(Bytes::from(body))
            .map_err(|never| match never {})
            .boxed();
        let response = self
            .send(request(
                Method::POST,
                &format!("/exec/{id}/start"),
                whole,
                true,
            )?)
            .await?;
        if !response.status().is_success() {
            return match answer(response).await? {
                Err(refused) => Err(failed("", &refused)),
                Ok(_) => Ok((String::new(), String::new())),
            };
        }
        let collected = response.into_body().collect().await;
        let bytes = collected
            .map_err(|e| HostError::failed(format!("the Docker daemon broke off: {e}")))?
            .to_bytes();
        Ok(super::exec::both(&bytes))
    }
}

impl Writer {
    /// Through this target.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self {
            reader: Reader::new(target),
        }
    }

    /// A request that changes something. 304 (it is so already) is success.
    pub async fn post(
        &self,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Result<Json, Refused>, HostError> {
        let empty = Json::Object(serde_json::Map::new());
        let answer = self
            .ask(Method::POST, path, Some(body.unwrap_or(&empty)))
            .await?;
        Ok(match answer {
            Err(refused) if refused.status == 304 => Ok(Json::Null),
            other => other,
        })
    }

    /// Removes something; that it is gone already is success.
    pub async fn delete(&self, path: &str) -> Result<Result<Json, Refused>, HostError> {
        Ok(match self.ask(Method::DELETE, path, None).await? {
            Err(refused) if refused.status == 404 => Ok(Json::Null),
            other => other,
        })
    }

    /// Sends a stream (an image to load) and gives the whole answer as text.
    ///
    /// There is no limit to how long it may take, only to how long nothing moves.
    pub async fn pour<S>(&self, path: &str, stream: S) -> Result<Result<String, Refused>, HostError>
    where
        S: futures::Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    {
        use futures::StreamExt;
        let moved = Arc::new(AtomicU64::new(0));
        let counted = moved.clone();
        let stream = stream.inspect(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let body = BodyExt::boxed(StreamBody::new(stream.map(|r| r.map(Frame::data))));
        let mut request = request(Method::POST, path, body, false)?;
        request.headers_mut().insert(
            hyper::header::CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/x-tar"),
        );
        let mut sender = self.connect().await?;
        let mut sending = Box::pin(sender.send_request(request));
        let response = loop {
            let before = moved.load(Ordering::Relaxed);
            match tokio::time::timeout(DEADLINE, &mut sending).await {
                Ok(response) => break response.map_err(|e| broken(&e))?,
                Err(_) if moved.load(Ordering::Relaxed) > before => {}
                Err(_) => return Err(HostError::failed("the Docker daemon takes no more data")),
            }
        };
        let status = response.status().as_u16();
        let collected = response.into_body().collect().await;
        let bytes = collected
            .map_err(|e| HostError::failed(format!("the Docker daemon broke off: {e}")))?;
        let text = String::from_utf8_lossy(&bytes.to_bytes()).into_owned();
        Ok(if status < 300 {
            Ok(text)
        } else {
            Err(Refused {
                status,
                message: message(&text),
            })
        })
    }
}

fn request(method: Method, path: &str, body: Body, json: bool) -> Result<Request<Body>, HostError> {
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "docker");
    if json {
        builder = builder.header("Content-Type", "application/json");
    }
    builder
        .body(body)
        .map_err(|e| HostError::failed(format!("{path} is no request: {e}")))
}

async fn answer(response: Response<Incoming>) -> Result<Result<Json, Refused>, HostError> {
    let status = response.status().as_u16();
    let collected = response.into_body().collect().await;
    let bytes = collected
        .map_err(|e| HostError::failed(format!("the Docker daemon broke off: {e}")))?
        .to_bytes();
    if status >= 300 {
        return Ok(Err(Refused {
            status,
            message: message(&String::from_utf8_lossy(&bytes)),
        }));
    }
    if bytes.is_empty() {
        return Ok(Ok(Json::Null));
    }
    serde_json::from_slice(&bytes).map(Ok).map_err(|e| {
        HostError::failed(format!(
            "the Docker daemon's answer cannot be understood: {e}"
        ))
    })
}

fn message(text: &str) -> String {
    let parsed: Option<Json> = serde_json::from_str(text).ok();
    let said = parsed
        .as_ref()
        .and_then(|j| j.get("message"))
        .and_then(Json::as_str)
        .map(str::to_owned);
    said.unwrap_or_else(|| text.trim().to_owned())
}

/// A refusal as the failure of a task.
#[must_use]
pub fn failed(what: &str, refused: &Refused) -> HostError {
    let what = if what.is_empty() {
        String::new()
    } else {
        format!("{what}: ")
    };
    HostError::failed(format!(
        "{what}{} (the Docker daemon, {})",
        refused.message, refused.status
    ))
}

/// Why the daemon's socket cannot be opened, and what to do.
fn explain(error: HostError, probe: &Probe) -> HostError {
    let HostError::Failed(why) = error else {
        return error;
    };
    let lower = why.to_ascii_lowercase();
    let advice = if lower.contains("permission denied") {
        match probe.user() {
            User::Login => {
                "this user may not use it: give the task `become: true`, or the user the group `docker`"
                    .to_owned()
            }
            User::Become(user) => format!("{user} may not use it"),
        }
    } else if lower.contains("no such file") {
        "Docker is not installed there, or its daemon does not run".to_owned()
    } else if lower.contains("refused") {
        "its socket is there, but the daemon does not run".to_owned()
    } else {
        "is it installed and running, and may this user use it (`become: true`)?".to_owned()
    };
    HostError::Failed(format!(
        "the Docker daemon at {SOCKET} cannot be reached: {why}; {advice}"
    ))
}

/// Text as part of a URL's query or path.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
