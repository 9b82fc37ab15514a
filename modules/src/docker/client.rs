//! The Docker Engine API, spoken from the controller through the host's connection.
//!
//! Requests and answers are plain JSON: a container made by hand is re-created from what the daemon itself says of it,
//! so that fields which no client library knows yet survive. [`Reader`] has the requests that change nothing, and
//! only [`Writer`], which is made from a target, has the others.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use runbook_engine::host::{Address, HostError, Probe, Target};
use serde_json::Value as Json;

/// Where the daemon listens.
pub const SOCKET: &str = "/var/run/docker.sock";
/// An answer may take this long; starting and stopping have their own limits within it.
const DEADLINE: Duration = Duration::from_secs(900);

type Body = BoxBody<Bytes, std::io::Error>;

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

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, HostError> {
        let broken =
            |e: hyper::Error| HostError::failed(format!("the Docker daemon did not answer: {e}"));
        let stream = self
            .probe
            .open(&Address::Unix(SOCKET.to_owned()))
            .await
            .map_err(explain)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        tokio::spawn(connection.with_upgrades());
        tokio::time::timeout(DEADLINE, sender.send_request(request))
            .await
            .map_err(|_| HostError::failed("the Docker daemon did not answer in time"))?
            .map_err(broken)
    }

    async fn ask(
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
        match self.ask(Method::GET, path, None).await? {
            Ok(json) => Ok(Some(json)),
            Err(refused) if refused.status == 404 => Ok(None),
            Err(refused) => Err(failed("", &refused)),
        }
    }

    /// A list or object that is always there.
    pub async fn get(&self, path: &str) -> Result<Json, HostError> {
        self.ask(Method::GET, path, None)
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

    /// Makes a container that is never started, to look into its image, and removes it whatever happens.
    pub async fn look_into(
        &self,
        image: &str,
        directory: &str,
    ) -> Result<Option<Bytes>, HostError> {
        let body = serde_json::json!({
            "Image": image, "Cmd": ["never-started"], "Entrypoint": ["never-started"],
            "Labels": {"org.runbook.look": "1"},
        });
        let created = self
            .ask(Method::POST, "/containers/create", Some(&body))
            .await?;
        let created = created.map_err(|refused| failed(&format!("image {image}"), &refused))?;
        let id = created
            .get("Id")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned();
        // If this future is dropped half way the container still goes.
        let gone = RemoveLater {
            reader: self.clone(),
            id: Some(id.clone()),
        };
        let archive = self
            .raw(&format!(
                "/containers/{id}/archive?path={}",
                encode(directory)
            ))
            .await;
        gone.now().await;
        archive
    }
}

/// Removes a never-started container.
struct RemoveLater {
    reader: Reader,
    id: Option<String>,
}

impl RemoveLater {
    async fn now(mut self) {
        if let Some(id) = self.id.take() {
            let _ = self
                .reader
                .ask(
                    Method::DELETE,
                    &format!("/containers/{id}?v=1&force=1"),
                    None,
                )
                .await;
        }
    }
}

impl Drop for RemoveLater {
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) {
            let reader = self.reader.clone();
            runtime.spawn(async move {
                let _ = reader
                    .ask(
                        Method::DELETE,
                        &format!("/containers/{id}?v=1&force=1"),
                        None,
                    )
                    .await;
            });
        }
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
    pub async fn pour<S>(&self, path: &str, stream: S) -> Result<Result<String, Refused>, HostError>
    where
        S: futures::Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    {
        use futures::StreamExt;
        let body = BodyExt::boxed(StreamBody::new(stream.map(|r| r.map(Frame::data))));
        let mut request = request(Method::POST, path, body, false)?;
        request.headers_mut().insert(
            hyper::header::CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/x-tar"),
        );
        let response = self.send(request).await?;
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

fn explain(error: HostError) -> HostError {
    match error {
        HostError::Failed(why) => HostError::Failed(format!(
            "the Docker daemon cannot be reached: {why}. Is it installed and running, and may this user use it (`become: true`)?"
        )),
        other => other,
    }
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
