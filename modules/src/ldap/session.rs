//! A session with a directory server, through the connection to its host.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use ldap3::asn1::{PL, StructureTag};
use ldap3::controls::{Assertion, MakeCritical, RawControl};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, Scope, StdStream};
use runbook_engine::host::{Address, HostError, Probe};
use runbook_engine::value::Secret;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::octets::Octets;
use super::schema::{Descriptions, Schema};
use super::server::Server;
use crate::net::tls::Failed;

/// How long one operation may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a server that has just been started may refuse connections.
const STARTING: Duration = Duration::from_secs(5);
/// Searches in flight on one connection of a bound client; slapd closes it at 1000 that wait.
const IN_FLIGHT: usize = 400;
/// The same of an unbound client; slapd closes it at 100.
const IN_FLIGHT_UNBOUND: usize = 64;
/// The assertion control, RFC 4528.
const ASSERTION: &str = "1.3.6.1.1.12";

/// A bound connection.
pub struct Session {
    ldap: Ldap,
    name: String,
    server: Server,
    /// The server takes assertions (RFC 4528).
    pub assertions: bool,
    subschema: String,
}

/// What one server's schema is, kept for all sessions with it.
#[derive(Default)]
pub struct KnownSchema(Mutex<Option<Arc<Schema>>>);

/// An entry as it came over the line, attributes and values in the server's order.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    /// Its name.
    pub dn: String,
    /// Its attributes.
    pub attributes: Vec<(String, Vec<Octets>)>,
}

impl Raw {
    /// The texts of an attribute.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.attributes
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .flat_map(|(_, v)| v.iter().filter_map(Octets::text).map(str::to_owned))
            .collect()
    }
}

/// Why an operation failed.
#[derive(Debug)]
pub enum Refused {
    /// The server answered with this code and text.
    Code(u32, String),
    /// The connection broke.
    Broken(String),
}

/// How far below its base a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// The base alone.
    Base,
    /// The entries right below it.
    Children,
    /// It and all below it.
    Subtree,
}

impl Session {
    /// The session with this server under this name, made at first use.
    ///
    /// # Errors
    /// Where it cannot be reached or refuses the name.
    pub async fn of(probe: &Probe, server: &Server) -> Result<Arc<Self>, HostError> {
        let name = session_name(probe, server);
        let session = probe
            .session(&name, || Self::open(probe, server, name.clone()))
            .await?;
        if session.ldap.clone().is_closed() {
            probe.forget::<Self>(&name).await;
            return probe
                .session(&name, || Self::open(probe, server, name.clone()))
                .await;
        }
        Ok(session)
    }

    /// Drops this session, so that the next use makes a new one.
    pub async fn forget(&self, probe: &Probe) {
        probe.forget::<Self>(&self.name).await;
    }

    async fn open(probe: &Probe, server: &Server, name: String) -> Result<Self, HostError> {
        let started = tokio::time::Instant::now();
        loop {
            match Self::connect(probe, server, name.clone()).await {
                Err(Opening::Again(message)) if started.elapsed() < STARTING => {
                    tracing::debug!(%message, "the directory does not answer yet");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(Opening::Again(message)) => return Err(HostError::failed(message)),
                Err(Opening::Never(error)) => return Err(error),
                Ok(session) => return Ok(session),
            }
        }
    }

    async fn connect(probe: &Probe, server: &Server, name: String) -> Result<Self, Opening> {
        let shown = server.shown();
        let address = server.address(probe).await.map_err(Opening::Never)?;
        let mut remote = match probe.open(&address).await {
            Ok(stream) => stream,
            Err(HostError::Failed(why)) => {
                return Err(Opening::Again(format!("{shown} cannot be reached: {why}")));
            }
            Err(error) => return Err(Opening::Never(error)),
        };
        let again = |why: String| Opening::Again(format!("{shown} does not answer: {why}"));
        if let Some(tls) = &server.tls {
            let begun = tokio::time::timeout(DEADLINE, tls.begin(remote, server.name())).await;
            remote = match begun {
                Ok(Ok(stream)) => stream,
                Ok(Err(Failed::Stream(why))) => return Err(again(why)),
                Ok(Err(Failed::Refused(why))) => {
                    return Err(Opening::Never(HostError::failed(format!("{shown}: {why}"))));
                }
                Err(_) => return Err(again("it says nothing".to_owned())),
            };
        }
        let (ours, theirs) = tokio::net::UnixStream::pair().map_err(|e| again(e.to_string()))?;
        tokio::spawn(async move {
            let mut ours = ours;
            // An end of either side ends the session, which its next operation finds.
            let _ = tokio::io::copy_bidirectional(&mut ours, &mut remote).await;
        });
        let stream = theirs.into_std().map_err(|e| again(e.to_string()))?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(stream));
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, "ldapi:///")
            .await
            .map_err(|e| again(e.to_string()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "the session with a directory ended");
            }
        });
        let bound = match (&server.bind_dn, &server.password) {
            (Some(dn), password) => {
                let password = password.as_ref().map(Secret::expose).unwrap_or_default();
                Some(ldap.with_timeout(DEADLINE).simple_bind(dn, password).await)
            }
            (None, _) if matches!(address, Address::Unix(_)) => {
                Some(ldap.with_timeout(DEADLINE).sasl_external_bind().await)
            }
            _ => None,
        };
        match bound {
            None => {}
            Some(Err(e)) => return Err(again(e.to_string())),
            Some(Ok(result)) if result.rc == 0 => {}
            Some(Ok(result)) => {
                let who = server.bind_dn.as_deref().unwrap_or("the login user");
                let todo = if result.rc == 49 {
                    "; check bind_dn and password"
                } else {
                    ""
                };
                return Err(Opening::Never(HostError::failed(format!(
                    "{shown} does not let {who} in: {}{todo}",
                    code_text(result.rc, &result.text)
                ))));
            }
        }
        let mut session = Self {
            ldap,
            name,
            server: server.clone(),
            assertions: false,
            subschema: "cn=Subschema".to_owned(),
        };
        let root = session
            .search("", Depth::Base, &["supportedControl", "subschemaSubentry"])
            .await;
        // A new connection may lead to another server than the last one.
        session.forget_schema(probe).await;
        match root {
            Ok(found) => {
                if let Some(root) = found.first() {
                    session.assertions = root
                        .texts("supportedControl")
                        .iter()
                        .any(|c| c == ASSERTION);
                    if let Some(dn) = root.texts("subschemaSubentry").into_iter().next() {
                        session.subschema = dn;
                    }
                }
                Ok(session)
            }
            Err(Refused::Broken(why)) => Err(again(why)),
            // A server that hides its root is taken as one without extras.
            Err(Refused::Code(..)) => Ok(session),
        }
    }

    /// The entries of one search.
    ///
    /// # Errors
    /// Where the server refuses, or the connection breaks.
    pub async fn search(
        &self,
        base: &str,
        depth: Depth,
        attributes: &[&str],
    ) -> Result<Vec<Raw>, Refused> {
        self.search_for(base, depth, "(objectClass=*)", attributes)
            .await
    }

    /// The entries of one search for those that a filter (RFC 4515) lets through.
    ///
    /// # Errors
    /// Where the server refuses, or the connection breaks.
    pub async fn search_for(
        &self,
        base: &str,
        depth: Depth,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Raw>, Refused> {
        let scope = match depth {
            Depth::Base => Scope::Base,
            Depth::Children => Scope::OneLevel,
            Depth::Subtree => Scope::Subtree,
        };
        let mut ldap = self.ldap.clone();
        let found = ldap
            .with_timeout(DEADLINE)
            .search(base, scope, filter, attributes.to_vec())
            .await
            .map_err(broken)?;
        refused(&found.1)?;
        let mut entries = Vec::with_capacity(found.0.len());
        for entry in found.0 {
            if entry.is_ref() || entry.is_intermediate() {
                continue;
            }
            entries.push(
                raw(entry.0)
                    .ok_or_else(|| Refused::Broken("an entry cannot be understood".to_owned()))?,
            );
        }
        Ok(entries)
    }

    /// Several searches, sent without waiting for each other; answers in order.
    pub async fn search_all(
        &self,
        bases: &[(String, Depth)],
        attributes: &[&str],
    ) -> Vec<Result<Vec<Raw>, Refused>> {
        let mut searches = Vec::with_capacity(bases.len());
        for (base, depth) in bases {
            searches.push(self.search(base, *depth, attributes));
        }
        let width = if self.server.bind_dn.is_some() {
            IN_FLIGHT
        } else {
            IN_FLIGHT_UNBOUND
        };
        stream::iter(searches).buffered(width).collect().await
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// Where the server refuses, or the connection breaks.
    pub async fn add(&self, dn: &str, attributes: &[(String, Vec<Octets>)]) -> Result<(), Refused> {
        let list = attributes
            .iter()
            .map(|(name, values)| {
                (
                    name.as_bytes().to_vec(),
                    values.iter().map(|v| v.bytes().to_vec()).collect(),
                )
            })
            .collect();
        let mut ldap = self.ldap.clone();
        refused(
            &ldap
                .with_timeout(DEADLINE)
                .add(dn, list)
                .await
                .map_err(broken)?,
        )
    }

    /// Changes an entry whose `entryCSN` is still `csn`.
    ///
    /// # Errors
    /// Where the server refuses, or the connection breaks.
    pub async fn modify(
        &self,
        dn: &str,
        mods: Vec<Mod<Vec<u8>>>,
        csn: Option<&str>,
    ) -> Result<(), Refused> {
        let mut ldap = self.ldap.clone();
        ldap.with_timeout(DEADLINE);
        if let Some(control) = self.assertion(csn) {
            ldap.with_controls(vec![control]);
        }
        refused(&ldap.modify(dn, mods).await.map_err(broken)?)
    }

    /// Deletes an entry whose `entryCSN` is still `csn`.
    ///
    /// # Errors
    /// Where the server refuses, or the connection breaks.
    pub async fn delete(&self, dn: &str, csn: Option<&str>) -> Result<(), Refused> {
        let mut ldap = self.ldap.clone();
        ldap.with_timeout(DEADLINE);
        if let Some(control) = self.assertion(csn) {
            ldap.with_controls(vec![control]);
        }
        refused(&ldap.delete(dn).await.map_err(broken)?)
    }

    fn assertion(&self, csn: Option<&str>) -> Option<RawControl> {
        let csn = csn.filter(|_| self.assertions)?;
        // The text goes into a filter: anything else than a CSN's own characters would make another one of it.
        let plain = csn
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'#');
        plain.then(|| {
            Assertion {
                filter: format!("(entryCSN={csn})"),
            }
            .critical()
            .into()
        })
    }

    /// The schema as the server gives it now; what was known of it is replaced.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn descriptions(&self, probe: &Probe) -> Result<Descriptions, HostError> {
        let found = self
            .search(
                &self.subschema,
                Depth::Base,
                &["attributeTypes", "objectClasses"],
            )
            .await;
        let found = found.map_err(|e| self.error("reading its schema", &e))?;
        let entry = found.into_iter().next().ok_or_else(|| {
            HostError::failed(format!(
                "{} does not show its schema to this bind name",
                self.server.shown()
            ))
        })?;
        let descriptions = Descriptions {
            attribute_types: entry.texts("attributeTypes"),
            object_classes: entry.texts("objectClasses"),
        };
        let known = known_schema(probe, &self.server).await?;
        *known.0.lock().await = Some(Arc::new(Schema::new(&descriptions)));
        Ok(descriptions)
    }

    /// The schema, read at first use.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn schema(&self, probe: &Probe) -> Result<Arc<Schema>, HostError> {
        let known = known_schema(probe, &self.server).await?;
        if let Some(schema) = known.0.lock().await.clone() {
            return Ok(schema);
        }
        Ok(Arc::new(Schema::new(&self.descriptions(probe).await?)))
    }

    /// Forgets the schema after a change of it.
    pub async fn forget_schema(&self, probe: &Probe) {
        if let Ok(known) = known_schema(probe, &self.server).await {
            *known.0.lock().await = None;
        }
    }

    /// A failed operation as a message.
    #[must_use]
    pub fn error(&self, tried: &str, refused: &Refused) -> HostError {
        HostError::failed(format!("{}: {tried}: {refused}", self.server.shown()))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code, text) => f.write_str(&code_text(*code, text)),
            Self::Broken(why) => write!(f, "the connection broke ({why})"),
        }
    }
}

/// Why a session could not be opened.
enum Opening {
    /// It may be starting.
    Again(String),
    /// Waiting does not help.
    Never(HostError),
}

async fn known_schema(probe: &Probe, server: &Server) -> Result<Arc<KnownSchema>, HostError> {
    probe
        .session(&server.id(), || async { Ok(KnownSchema::default()) })
        .await
}

/// Names user, server, bind name and (by its hash) password, so that none is taken for another.
fn session_name(probe: &Probe, server: &Server) -> String {
    let secret = server
        .password
        .as_ref()
        .map(|p| hex::encode(Sha256::digest(p.expose().as_bytes())));
    format!(
        "{:?} {} {:?} {:?} {:?}",
        probe.user(),
        server.id(),
        server.bind_dn,
        secret,
        server.tls
    )
}

fn broken(error: LdapError) -> Refused {
    match error {
        LdapError::LdapResult { result } => Refused::Code(result.rc, result.text),
        other => Refused::Broken(other.to_string()),
    }
}

fn refused(result: &LdapResult) -> Result<(), Refused> {
    if result.rc == 0 {
        Ok(())
    } else {
        Err(Refused::Code(result.rc, result.text.clone()))
    }
}

/// A result code (RFC 4511, appendix A) in words, with what to do where that is known.
#[must_use]
pub fn code_text(code: u32, text: &str) -> String {
    let meaning = match code {
        1 => "operations error",
        2 => "protocol error",
        3 => "time limit exceeded",
        4 => "the server's size limit is exceeded; bind as its administrator",
        8 => "a stronger authentication is required",
        10 => "the server refers to another one",
        12 => "the server lacks a control that is needed",
        13 => "confidentiality is required",
        16 => "no such attribute or value",
        17 => "an attribute is not in the server's schema; update the schema first",
        18 => "the attribute cannot be compared",
        19 => "a constraint is violated",
        20 => "the value exists already",
        21 => "a value has the wrong syntax",
        32 => "no such entry",
        34 => "a name has the wrong syntax",
        48 => "this way of binding is not allowed",
        49 => "wrong bind name or password",
        50 => "the bind name has no right to do this",
        51 => "the server is busy",
        52 => "the server is not available",
        53 => "the server is unwilling to do this",
        64 => "naming violation",
        65 => "the entry would not fit its object classes",
        66 => "entries lie below it",
        68 => "the entry exists already",
        69 => "the structural object class cannot be changed",
        80 => "an internal error of the server",
        122 => "it was changed by someone else meanwhile",
        _ => "",
    };
    match (meaning, text.trim()) {
        ("", "") => format!("code {code}"),
        ("", text) => format!("code {code}: {text}"),
        (meaning, "") => format!("{meaning} (code {code})"),
        (meaning, text) => format!("{meaning} (code {code}: {text})"),
    }
}

/// Decodes a search result entry, RFC 4511 section 4.5.2.
fn raw(tag: StructureTag) -> Option<Raw> {
    fn text(tag: StructureTag) -> Option<String> {
        String::from_utf8(tag.expect_primitive()?).ok()
    }
    let PL::C(parts) = tag.payload else {
        return None;
    };
    let mut parts = parts.into_iter();
    let dn = text(parts.next()?)?;
    let mut attributes = Vec::new();
    for attribute in parts.next()?.expect_constructed()? {
        let mut pair = attribute.expect_constructed()?.into_iter();
        let name = text(pair.next()?)?;
        let values = pair.next()?.expect_constructed()?;
        let values = values
            .into_iter()
            .map(|v| v.expect_primitive().map(Octets::from))
            .collect::<Option<_>>()?;
        attributes.push((name, values));
    }
    Some(Raw { dn, attributes })
}
