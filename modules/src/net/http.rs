//! HTTP requests from the host's point of view: spoken by the controller over streams that the host opens.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use indexmap::IndexMap;
use runbook_engine::host::{Address, HostError, Probe, Stream};
use runbook_engine::resource::{ReadKind, Ref, Shadow};
use runbook_engine::value::Secret;
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::tls::{Trust, encrypted};
use crate::file::state::Content;

/// Bodies up to this many bytes are taken.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// Redirections that are followed.
const REDIRECTS: usize = 10;

/// A request. Also the key of what it answers, where it only reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpCall {
    /// Method, upper case.
    pub method: String,
    /// `http://…` or `https://…`, as the host sees it.
    pub url: String,
    /// Header fields.
    pub headers: IndexMap<String, String>,
    /// Body.
    pub body: Option<Content>,
    /// Its type.
    pub content_type: Option<String>,
    /// Basic authentication: name and password.
    pub user: Option<(String, Secret)>,
    /// Authenticate without being asked.
    pub force_basic_auth: bool,
    /// Seconds.
    pub timeout: u64,
    /// Does the certificate have to be good?
    pub validate_certs: bool,
    /// PEM file on the controller with the authorities to trust, in place of those of the system.
    pub ca_path: Option<String>,
    /// Which redirections are followed.
    pub redirects: Redirects,
    /// Unix socket on the host, in place of the URL's address.
    pub unix_socket: Option<String>,
}

/// Which redirections are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redirects {
    /// None.
    None,
    /// Those of GET and HEAD.
    Safe,
    /// All.
    All,
}

impl fmt::Display for HttpCall {
    /// Method and place, and a hash of all of it: header, body, query and user may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = serde_json::to_vec(self).unwrap_or_default();
        let place = self.url.split(['?', '#']).next().unwrap_or_default();
        let place = match place.split_once("://") {
            Some((scheme, rest)) => {
                let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
                format!("{scheme}://{rest}")
            }
            None => place.to_owned(),
        };
        write!(
            f,
            "{} {place}#{}",
            self.method,
            &hex::encode(Sha256::digest(whole))[..16]
        )
    }
}

/// An answer; status -1 with a message where there was none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Status, -1 where none came.
    pub status: i32,
    /// What went wrong, or the reason that goes with the status.
    pub msg: String,
    /// The URL that answered, behind all redirections.
    pub url: String,
    /// Header fields by their lower-case names; several of one name are joined by `, `.
    pub headers: IndexMap<String, String>,
    /// Body.
    pub body: Content,
}

/// The kind `http`: what servers answer to requests that only read.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpKind;

#[async_trait]
impl ReadKind for HttpKind {
    type Key = HttpCall;
    type State = Answer;

    const NAME: &'static str = "http";
    /// No two answers are the same.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[HttpCall]) -> Vec<Result<Answer, HostError>> {
        futures::future::join_all(keys.iter().map(|call| request(host, call))).await
    }

    /// Any change on the machine may change what its servers answer.
    fn touched_by(&self, _key: &HttpCall, _written: &Ref) -> bool {
        true
    }

    fn predicted(&self, _key: &HttpCall, world: &Predicted<'_>) -> Shadow<HttpCall, Answer> {
        match world.changes.last() {
            Some(change) => Shadow::Unknown(format!("until \"{}\"", change.task)),
            None => Shadow::AsRead,
        }
    }
}

/// Asks. What the server or the network says is an answer; only what concerns the host itself is an error.
pub async fn request(host: &Probe, call: &HttpCall) -> Result<Answer, HostError> {
    let limit = Duration::from_secs(call.timeout.max(1));
    let answer = match tokio::time::timeout(limit, exchange(host, call)).await {
        Ok(answer) => answer,
        Err(_) => Err(Trouble::Said(format!(
            "no answer within {} s",
            call.timeout.max(1)
        ))),
    };
    match answer {
        Ok(answer) => Ok(answer),
        Err(Trouble::Said(msg)) => Ok(Answer {
            status: -1,
            msg,
            url: call.url.clone(),
            headers: IndexMap::new(),
            body: Content::default(),
        }),
        Err(Trouble::Host(error)) => Err(error),
    }
}

/// Why there is no answer.
enum Trouble {
    /// Of the server or the way to it.
    Said(String),
    /// Of the host.
    Host(HostError),
}

impl From<String> for Trouble {
    fn from(said: String) -> Self {
        Self::Said(said)
    }
}

async fn exchange(host: &Probe, call: &HttpCall) -> Result<Answer, Trouble> {
    let mut uri: Uri = call
        .url
        .parse()
        .map_err(|e| format!("`{}` is no URL: {e}", call.url))?;
    let first_host = uri.host().map(str::to_owned);
    let mut method = Method::from_bytes(call.method.as_bytes())
        .map_err(|_| format!("`{}` is no method", call.method))?;
    let mut body = call.body.clone();
    let mut authenticate = call.force_basic_auth;
    for _ in 0..=REDIRECTS {
        // Neither name and password nor own header fields go to another server than the one that was named.
        let same_host = uri.host() == first_host.as_deref();
        let answer = once(
            host,
            call,
            &uri,
            &method,
            body.as_ref(),
            authenticate && same_host,
            same_host,
        )
        .await?;
        if answer.status == 401 && !authenticate && call.user.is_some() && same_host {
            authenticate = true;
            continue;
        }
        let follow = match call.redirects {
            Redirects::None => false,
            Redirects::Safe => method == Method::GET || method == Method::HEAD,
            Redirects::All => true,
        };
        let to = answer
            .headers
            .get(LOCATION.as_str())
            .filter(|_| matches!(answer.status, 301 | 302 | 303 | 307 | 308) && follow);
        let Some(to) = to else {
            return Ok(answer);
        };
        uri = beside(&uri, to)?;
        if answer.status == 303 || matches!(answer.status, 301 | 302) && method == Method::POST {
            method = Method::GET;
            body = None;
        }
    }
    Err(Trouble::Said(format!(
        "{} leads from one place to the next without end",
        call.url
    )))
}

/// The place that a redirection names, seen from `base`.
fn beside(base: &Uri, to: &str) -> Result<Uri, Trouble> {
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map_or("", |a| a.as_str());
    let whole = if to.contains("://") {
        to.to_owned()
    } else if to.starts_with("//") {
        format!("{scheme}:{to}")
    } else if to.starts_with('/') {
        format!("{scheme}://{authority}{to}")
    } else {
        let dir = base.path().rsplit_once('/').map_or("", |(dir, _)| dir);
        format!("{scheme}://{authority}{dir}/{to}")
    };
    whole
        .split('#')
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|e| Trouble::Said(format!("it leads to `{to}`, which is no URL: {e}")))
}

async fn once(
    host: &Probe,
    call: &HttpCall,
    uri: &Uri,
    method: &Method,
    body: Option<&Content>,
    authenticate: bool,
    own_headers: bool,
) -> Result<Answer, Trouble> {
    let name = uri
        .host()
        .ok_or_else(|| format!("`{uri}` names no server"))?
        .trim_matches(['[', ']'])
        .to_owned();
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => {
            return Err(Trouble::Said(format!(
                "`{uri}` is neither http:// nor https://"
            )));
        }
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let address = match &call.unix_socket {
        Some(path) => Address::Unix(path.clone()),
        None => Address::Tcp(name.clone(), port),
    };
    let stream = match host.open(&address).await {
        Ok(stream) => stream,
        Err(HostError::Failed(said)) => return Err(Trouble::Said(said)),
        Err(other) => return Err(Trouble::Host(other)),
    };
    let stream: Stream = if tls {
        let trust = Trust {
            validate: call.validate_certs,
            ca_path: call.ca_path.clone(),
        };
        encrypted(stream, &name, &trust)
            .await
            .map_err(|e| e.to_string())?
    } else {
        stream
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| format!("no HTTP could be spoken: {e}"))?;
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let mut request = Request::builder().method(method.clone()).uri(path).header(
        HOST,
        uri.authority()
            .map_or("", |a| a.as_str().rsplit('@').next().unwrap_or("")),
    );
    let named = |field: &str| call.headers.keys().any(|k| k.eq_ignore_ascii_case(field));
    if own_headers {
        for (name, value) in &call.headers {
            request = request.header(name.as_str(), value.as_str());
        }
    }
    if !named("user-agent") {
        request = request.header("user-agent", concat!("runbook/", env!("CARGO_PKG_VERSION")));
    }
    if let (Some(content_type), Some(_), false) = (&call.content_type, body, named("content-type"))
    {
        request = request.header(CONTENT_TYPE, content_type.as_str());
    }
    if body.is_none() && (*method == Method::POST || *method == Method::PUT) {
        request = request.header(CONTENT_LENGTH, "0");
    }
    if let (true, Some((user, password))) = (authenticate, &call.user) {
        let both = STANDARD.encode(format!("{user}:{}", password.expose()));
        request = request.header(AUTHORIZATION, format!("Basic {both}"));
    }
    let bytes = body.map_or_else(Bytes::new, |b| Bytes::copy_from_slice(&b.0));
    let request = request
        .body(Full::new(bytes))
        .map_err(|e| format!("the request cannot be made: {e}"))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|e| format!("the request was not answered: {e}"))?;
    let status = response.status();
    let mut headers: IndexMap<String, String> = IndexMap::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|v| {
                v.push_str(", ");
                v.push_str(&value);
            })
            .or_insert(value);
    }
    let body = Limited::new(response.into_body(), BODY_LIMIT)
        .collect()
        .await
        .map_err(|e| format!("the body of the answer could not be read: {e}"))?
        .to_bytes();
    driver.abort();
    Ok(Answer {
        status: status.as_u16().into(),
        msg: status.canonical_reason().unwrap_or_default().to_owned(),
        url: uri.to_string(),
        headers,
        body: Content(body.to_vec()),
    })
}
