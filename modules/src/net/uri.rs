//! The module `uri`: an HTTP request from the host's point of view.

use async_trait::async_trait;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::host::Target;
use runbook_engine::module::{Footprint, Mark, Module, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::{Answer, HttpCall, HttpKind, Redirects, request};
use crate::command::query::mark;
use crate::file::state::Content;

/// Arguments of `uri`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UriArgs {
    /// `http://…` or `https://…`, as the host sees it.
    pub url: String,
    /// Method. Default: GET.
    #[serde(default = "get")]
    pub method: String,
    /// The status, or statuses, that count as success. Default: 200.
    #[serde(default = "ok")]
    pub status_code: Vec<i32>,
    /// Register the body as `content`. Default: no; a failure always has it.
    #[serde(default)]
    pub return_content: bool,
    /// The body to send. With another format than raw it may be a mapping or a list.
    pub body: Option<serde_json::Value>,
    /// `raw`, `json` or `form-urlencoded`. Default: raw.
    #[serde(default)]
    pub body_format: BodyFormat,
    /// Header fields.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub headers: IndexMap<String, String>,
    /// Name for basic authentication. Also written `user`.
    #[serde(alias = "user")]
    pub url_username: Option<String>,
    /// Password for basic authentication. Also written `password`.
    #[serde(alias = "password")]
    pub url_password: Option<Secret>,
    /// Authenticate without being asked. Default: no.
    #[serde(default)]
    pub force_basic_auth: bool,
    /// Seconds for all of it. Default: 30.
    #[serde(default = "timeout")]
    pub timeout: u64,
    /// Does the certificate have to be good? Default: yes.
    #[serde(default = "yes")]
    pub validate_certs: bool,
    /// PEM file on the controller with the authorities to trust. Default: those of the controller's system.
    pub ca_path: Option<String>,
    /// Which redirections are followed: `safe` (of GET and HEAD), `all`, `none`. Default: safe.
    pub follow_redirects: Option<Follow>,
    /// Path of a Unix socket on the host, over which the URL is asked.
    pub unix_socket: Option<String>,
    /// It changes nothing although its method may. Default: yes for GET, HEAD and OPTIONS, else no.
    pub reads_only: Option<bool>,
    /// The resources that the request changes, and no others. Without this nothing on the machine is known after a
    /// request that may change something.
    pub changes: Option<Vec<String>>,
}

fn get() -> String {
    "GET".to_owned()
}
fn ok() -> Vec<i32> {
    vec![200]
}
fn timeout() -> u64 {
    30
}
fn yes() -> bool {
    true
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BodyFormat {
    /// As it is.
    #[default]
    Raw,
    /// As JSON.
    Json,
    /// As a form.
    FormUrlencoded,
}

/// Which redirections are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Follow {
    /// Those of GET and HEAD.
    #[serde(alias = "urllib2")]
    Safe,
    /// All.
    #[serde(alias = "yes", alias = "true")]
    All,
    /// None.
    #[serde(alias = "no", alias = "false")]
    None,
}

/// The module.
pub struct UriModule;

impl Module for UriModule {
    type Args = UriArgs;
    const NAME: &'static str = "uri";
    const SUMMARY: &'static str = "Makes an HTTP request as the host would.";
    const DOC: &'static str = r#"
```yaml
- uri: {url: "http://localhost:8080/dcm4chee-arc/ui2", return_content: true}
  register: page
  until: page.status == 200
  retries: 30
  delay: 5
- uri: {url: "https://localhost/api/reload", method: POST, body_format: json, body: {all: true},
        user: admin, password: "{{ secret }}", status_code: [200, 202], changes: [service:app]}
```

The request goes through the connection to the host: nothing is installed on it, and addresses are as seen from it.
Registered are status, msg, url, content, json (of a JSON answer), elapsed, redirected, and the header fields with `_`
for `-`. Without an answer status is -1.

**Check mode**: GET, HEAD and OPTIONS are made, unless something is predicted to change on the machine: then the answer
is unknown. Others are not made.
"#;

    fn validate(args: &UriArgs) -> Result<(), String> {
        if !(args.url.starts_with("http://") || args.url.starts_with("https://")) {
            return Err(format!(
                "`url: {}` must begin with http:// or https://",
                args.url
            ));
        }
        args.url
            .parse::<hyper::Uri>()
            .map_err(|e| format!("`url: {}` is no URL: {e}", args.url))?;
        if !args.method.bytes().all(|b| b.is_ascii_uppercase()) || args.method.is_empty() {
            return Err(format!(
                "`method: {}` is written in capital letters",
                args.method
            ));
        }
        if args.url_password.is_some() && args.url_username.is_none() {
            return Err("`url_password` needs `url_username`".to_owned());
        }
        if args.status_code.is_empty() {
            return Err("`status_code` names no status".to_owned());
        }
        if args.reads_only == Some(true) && args.changes.is_some() {
            return Err("`reads_only` and `changes` contradict each other".to_owned());
        }
        for text in args.changes.iter().flatten() {
            if mark(text).is_none() {
                return Err(format!(
                    "`{text}` names no resource; write a path, or KIND:ID as in `container:arc`"
                ));
            }
        }
        body(args).map(drop)
    }

    fn touches(args: &UriArgs) -> Footprint {
        let footprint = Footprint::nothing()
            .reads("*", "*")
            .reads(HttpKind::NAME, "*");
        match (&args.changes, reads_only(args)) {
            (_, true) => footprint,
            (Some(changes), false) => changes
                .iter()
                .filter_map(|c| mark(c))
                .fold(footprint, |f, m| f.writes(&m.kind, m.id)),
            (None, false) => Footprint::everything(),
        }
    }

    fn want(args: &UriArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let call = call(args).map_err(Stop::Refuse)?;
        if reads_only(args) {
            let answer = world.get::<HttpKind>(&call)?;
            let outcome = outcome(&answer, &args.status_code, args.return_content, &args.url);
            return Ok(Wanted {
                facts: outcome.output,
                failed: outcome.failed,
                ..Wanted::nothing()
            });
        }
        let effects = match &args.changes {
            Some(changes) => Effects::Changes(
                changes
                    .iter()
                    .filter_map(|c| mark(c))
                    .map(|m| Mark {
                        kind: m.kind,
                        id: m.id,
                    })
                    .collect(),
            ),
            None => Effects::Opaque,
        };
        let summary = call.to_string();
        let summary = summary
            .rsplit_once('#')
            .map_or(summary.as_str(), |(shown, _)| shown)
            .to_owned();
        let call = RequestCall {
            call,
            status_code: args.status_code.clone(),
            return_content: args.return_content,
        };
        let mut wanted = Wanted::action::<HttpRequest>(&call, effects, summary);
        if let Some(action) = &mut wanted.action {
            // As in Ansible, a request is not a change by itself; `changed_when` says where it is.
            action.changes = false;
        }
        Ok(wanted)
    }
}

fn reads_only(args: &UriArgs) -> bool {
    args.reads_only.unwrap_or_else(|| {
        args.changes.is_none() && matches!(args.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    })
}

fn call(args: &UriArgs) -> Result<HttpCall, String> {
    let (body, content_type) = match body(args)? {
        Some((body, content_type)) => (Some(Content(body)), content_type),
        None => (None, None),
    };
    Ok(HttpCall {
        method: args.method.clone(),
        url: args.url.clone(),
        headers: args.headers.clone(),
        body,
        content_type: content_type.map(str::to_owned),
        user: args
            .url_username
            .clone()
            .map(|user| (user, args.url_password.clone().unwrap_or_default())),
        force_basic_auth: args.force_basic_auth,
        timeout: args.timeout,
        validate_certs: args.validate_certs,
        ca_path: args.ca_path.clone(),
        redirects: match args.follow_redirects {
            None | Some(Follow::Safe) => Redirects::Safe,
            Some(Follow::All) => Redirects::All,
            Some(Follow::None) => Redirects::None,
        },
        unix_socket: args.unix_socket.clone(),
    })
}

type Body = (Vec<u8>, Option<&'static str>);

fn body(args: &UriArgs) -> Result<Option<Body>, String> {
    use serde_json::Value as J;
    let Some(body) = &args.body else {
        return Ok(None);
    };
    Ok(Some(match (args.body_format, body) {
        // A text is taken to be written in its format already.
        (BodyFormat::Raw, J::String(text)) => (text.clone().into_bytes(), None),
        (BodyFormat::Json, J::String(text)) => {
            (text.clone().into_bytes(), Some("application/json"))
        }
        (BodyFormat::FormUrlencoded, J::String(text)) => (
            text.clone().into_bytes(),
            Some("application/x-www-form-urlencoded"),
        ),
        (BodyFormat::Raw, J::Object(_) | J::Array(_)) => {
            return Err("a `body` that is a mapping or a list needs `body_format`".to_owned());
        }
        (BodyFormat::Raw, other) => (other.to_string().into_bytes(), None),
        (BodyFormat::Json, other) => (other.to_string().into_bytes(), Some("application/json")),
        (BodyFormat::FormUrlencoded, J::Object(map)) => {
            let mut pairs = Vec::new();
            for (name, value) in map {
                let values = match value {
                    J::Array(values) => values.clone(),
                    other => vec![other.clone()],
                };
                for value in values {
                    let text = match value {
                        J::String(text) => text,
                        other => other.to_string(),
                    };
                    pairs.push(format!("{}={}", encoded(name), encoded(&text)));
                }
            }
            (
                pairs.join("&").into_bytes(),
                Some("application/x-www-form-urlencoded"),
            )
        }
        (BodyFormat::FormUrlencoded, _) => {
            return Err(
                "with `body_format: form-urlencoded`, `body` must be a mapping or a text"
                    .to_owned(),
            );
        }
    }))
}

/// A part of a form (WHATWG URL, application/x-www-form-urlencoded).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"*-._".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn outcome(answer: &Answer, good: &[i32], return_content: bool, asked: &str) -> Outcome {
    let mut output = IndexMap::new();
    for (name, value) in &answer.headers {
        output.insert(name.replace('-', "_"), Value::from(value.clone()));
    }
    let failed = (!good.contains(&answer.status)).then(|| {
        if answer.status == -1 {
            answer.msg.clone()
        } else {
            let good: Vec<String> = good.iter().map(ToString::to_string).collect();
            format!(
                "status {} {}, expected {}",
                answer.status,
                answer.msg,
                good.join(" or ")
            )
        }
    });
    output.insert("status".to_owned(), Value::Int(answer.status.into()));
    output.insert("url".to_owned(), Value::from(answer.url.clone()));
    output.insert(
        "redirected".to_owned(),
        Value::Bool(answer.url != asked && answer.status != -1),
    );
    let json = answer
        .headers
        .get("content-type")
        .is_some_and(|t| t.to_ascii_lowercase().contains("json"));
    if let Some(parsed) = serde_json::from_slice(&answer.body.0).ok().filter(|_| json) {
        output.insert("json".to_owned(), Value::from_json(&parsed));
    }
    if return_content || failed.is_some() {
        let text = String::from_utf8_lossy(&answer.body.0).into_owned();
        output.insert("content".to_owned(), Value::from(text));
    }
    output.insert(
        "msg".to_owned(),
        Value::from(failed.clone().unwrap_or_else(|| answer.msg.clone())),
    );
    Outcome {
        changed: false,
        failed,
        output,
    }
}

/// The action `http-request`: a request that may change something.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpRequest;

/// The request, and what counts as success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestCall {
    /// The request.
    pub call: HttpCall,
    /// Good statuses.
    pub status_code: Vec<i32>,
    /// Register the body.
    pub return_content: bool,
}

#[async_trait]
impl ActionKind for HttpRequest {
    type Call = RequestCall;

    const NAME: &'static str = "http-request";

    fn after_cut(&self, call: &RequestCall) -> AfterCut {
        // What the method promises (RFC 9110, 9.2.2), whatever the server makes of it.
        match call.call.method.as_str() {
            "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" => AfterCut::Again,
            _ => AfterCut::Undecided,
        }
    }

    async fn run(
        &self,
        host: &Target,
        call: &RequestCall,
        _run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        let answer = request(host, &call.call).await?;
        Ok(outcome(
            &answer,
            &call.status_code,
            call.return_content,
            &call.call.url,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_written_in_their_format() {
        let cases = [
            (r#"{"body": "a=1"}"#, "a=1", None),
            (
                r#"{"body": {"a": [1, null]}, "body_format": "json"}"#,
                r#"{"a":[1,null]}"#,
                Some("application/json"),
            ),
            (
                r#"{"body": "[1]", "body_format": "json"}"#,
                "[1]",
                Some("application/json"),
            ),
            (
                r#"{"body": {"a b": "ä&=", "c": [1, "x"]}, "body_format": "form-urlencoded"}"#,
                "a+b=%C3%A4%26%3D&c=1&c=x",
                Some("application/x-www-form-urlencoded"),
            ),
        ];
        for (args, text, content_type) in cases {
            let args: UriArgs =
                serde_json::from_str(&args.replacen('{', r#"{"url": "http://x/", "#, 1)).unwrap();
            UriModule::validate(&args).unwrap();
            let (bytes, found) = body(&args).unwrap().unwrap();
            assert_eq!(
                (String::from_utf8(bytes).unwrap().as_str(), found),
                (text, content_type)
            );
        }
        for wrong in [
            r#"{"url": "ftp://x"}"#,
            r#"{"url": "http://x", "method": "get"}"#,
            r#"{"url": "http://x", "body": {}}"#,
            r#"{"url": "http://x", "password": "p"}"#,
            r#"{"url": "http://x y/"}"#,
        ] {
            let args: UriArgs = serde_json::from_str(wrong).unwrap();
            assert!(UriModule::validate(&args).is_err(), "{wrong}");
        }
    }

    #[test]
    fn its_name_shows_no_secret() {
        let args: UriArgs = serde_json::from_str(
            r#"{"url": "http://u:pw1@h/p?token=pw2", "user": "u", "password": "pw3", "headers": {"X": "pw4"}}"#,
        )
        .unwrap();
        let shown = call(&args).unwrap().to_string();
        assert!(
            shown.starts_with("GET http://h/p#") && !shown.contains("pw"),
            "{shown}"
        );
    }
}
