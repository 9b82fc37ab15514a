//! Module `ldap_export`: a part of a directory as an LDIF file on the host.

use async_trait::async_trait;
use bytes::Bytes;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::host::{FileQuery, FileType, HostError, Probe, Target};
use runbook_engine::module::{Footprint, Mark, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::transport::quote::word;
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::applied;
use super::dn::Dn;
use super::entry::{Entry, parents_first};
use super::entry_kind;
use super::ldif::{Style, parse, write};
use super::listing::{LdapListing, ListingKey};
use super::server::Server;
use super::session::{Depth, Refused, Session};
use crate::file::{FileKey, FileKind};

/// The module.
pub struct LdapExport;

/// Arguments of `ldap_export`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapExportArgs {
    /// The container that the directory server runs in, `NAME` or `NAME:PORT` (port 389 by default).
    #[serde(default)]
    pub container: Option<String>,
    /// The directory server as seen from the host, in place of `container`: `HOST:PORT`, or the path of its socket.
    #[serde(default)]
    pub server: Option<String>,
    /// The name to bind with. Passwords are exported only where it may read them.
    #[serde(default)]
    pub bind_dn: Option<String>,
    /// The password of `bind_dn`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Encrypt the session on the plain port (StartTLS). With ldaps it is encrypted from the beginning: `ldaps://NAME`
    /// or `ldaps://NAME:PORT` (port 636 by default) as `container` or `server`.
    #[serde(default)]
    pub start_tls: bool,
    /// Does the certificate have to be good, and to be of the name that `container` or `server` has? Default: yes.
    #[serde(default)]
    pub validate_certs: Option<bool>,
    /// PEM file on the controller with the authorities to trust. Default: those of the controller's system.
    #[serde(default)]
    pub ca_path: Option<String>,
    /// The entry that is exported, with all below it.
    pub base: String,
    /// Absolute path of the file on the host, mode 0600. Its directory exists, and it does not: an export is never
    /// written over an older one, so put the run's own folder or a date into the path.
    pub dest: String,
    /// What to do where there is no entry `base`. Default: fail.
    #[serde(default)]
    pub absent: Absent,
    /// Fold lines at 76 characters. Default: no, as `ldapsearch -o ldif-wrap=no` writes.
    #[serde(default)]
    pub wrap: bool,
}

/// What to do where the entry to export does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// The task fails.
    #[default]
    Fail,
    /// The task is skipped.
    Skip,
}

impl LdapExportArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.bind_dn.as_deref(),
            self.password.as_ref(),
        )?
        .encrypted(self.start_tls, self.validate_certs, self.ca_path.as_deref())
    }
}

impl Module for LdapExport {
    type Args = LdapExportArgs;

    const NAME: &'static str = "ldap_export";
    const SUMMARY: &'static str = "Writes a part of a directory to an LDIF file on the host.";
    const DOC: &'static str = include_str!("export.md");

    fn validate(args: &Self::Args) -> Result<(), String> {
        args.server()?;
        Dn::parse(&args.base).map_err(|e| format!("base: {e}"))?;
        if !args.dest.starts_with('/') || args.dest.ends_with('/') {
            return Err(format!(
                "dest: `{}` is no absolute path of a file",
                args.dest
            ));
        }
        Ok(())
    }

    fn touches(args: &Self::Args) -> Footprint {
        let (Ok(server), Ok(base)) = (args.server(), Dn::parse(&args.base)) else {
            return Footprint::everything();
        };
        let place = format!("{}/{}", server.id(), base.folded(None));
        let footprint = Footprint::nothing()
            .reads("ldap-entry", place.clone())
            .reads("ldap-listing", place)
            .writes("file", FileKey::new(&args.dest).to_string());
        server.within(footprint)
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let base = Dn::parse(&args.base).map_err(|e| Stop::refuse(format!("base: {e}")))?;
        let listing = ListingKey::new(&server, &base, Depth::Subtree, None);
        let dest = FileKey::new(&args.dest);
        world.need(&[
            reference::<LdapListing>(&listing),
            reference::<FileKind>(&dest),
        ])?;
        let listing = world.get::<LdapListing>(&listing)?;
        let file = world.get::<FileKind>(&dest)?;
        if !listing.exists {
            if args.absent == Absent::Skip {
                return Ok(Wanted {
                    skipped: Some(format!("{} has no entry {}", server.shown(), args.base)),
                    ..Wanted::nothing()
                });
            }
            return Err(Stop::refuse(format!(
                "{} has no entry {}; mend `base`, or give `absent: skip` where it need not exist",
                server.shown(),
                args.base
            )));
        }
        if file.is != FileType::Absent {
            return Err(Stop::refuse(format!(
                "{} exists already, and an export is never written over another; name another file",
                args.dest
            )));
        }
        let record = format!("cn={},", applied::NAME);
        let count = listing
            .names
            .iter()
            .filter(|n| !n.to_lowercase().starts_with(&record))
            .count();
        let call = ExportCall {
            server,
            base: args.base.clone(),
            dest: dest.path.clone(),
            wrap: args.wrap,
        };
        let effects = Effects::Creates(vec![Mark {
            kind: FileKind::NAME.to_owned(),
            id: dest.to_string(),
        }]);
        let summary = format!("{count} entries of {} → {}", args.base, args.dest);
        Ok(Wanted::action::<Export>(&call, effects, summary))
    }
}

/// The action kind `ldap-export`.
pub struct Export;

/// What to export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportCall {
    /// From which server.
    pub server: Server,
    /// From which entry on.
    pub base: String,
    /// To which file on the host.
    pub dest: String,
    /// Fold lines.
    pub wrap: bool,
}

#[async_trait]
impl ActionKind for Export {
    type Call = ExportCall;

    const NAME: &'static str = "ldap-export";

    fn after_cut(&self, _call: &ExportCall) -> AfterCut {
        // It never writes over a file that is there, and knows its own by what it holds.
        AfterCut::Again
    }

    async fn run(
        &self,
        host: &Target,
        call: &ExportCall,
        run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        if let Some(text) = written_before(host, &call.dest).await? {
            // There was no such file when this was begun, and it appears only when it is whole.
            if !is_export_of(&call.base, &text) {
                return Err(ActionError::Failed(format!(
                    "{} is there by now and is no export of {}; an export is never written over another file",
                    call.dest, call.base
                )));
            }
            return Ok(outcome(call, &text, entries_in(&text)));
        }
        let entries = subtree(host, call).await?;
        let style = if call.wrap {
            Style::Wrapped
        } else {
            Style::Unwrapped
        };
        let text = format!("{}{}", counted(entries.len()), write(&entries, style));
        // Read back by the parser that will read it when it is loaded again.
        let parsed = entries_in(text.as_bytes());
        if parsed != entries.len() {
            return Err(ActionError::Failed(format!(
                "the export of {} would hold {parsed} of {} entries; nothing was written",
                call.base,
                entries.len()
            )));
        }
        let made = outcome(call, text.as_bytes(), entries.len());
        place(host, call, run, Bytes::from(text)).await?;
        Ok(made)
    }
}

/// The line that an export begins with, so that one that was cut off is recognised. Comments are no part of what a file of
/// LDIF says (RFC 2849).
fn counted(entries: usize) -> String {
    format!("{COUNTED}{entries}\n")
}

const COUNTED: &str = "# entries: ";

/// How many entries an export says that it has; none where it does not say so.
pub(super) fn said_to_have(text: &[u8]) -> Option<usize> {
    let line = text.strip_prefix(COUNTED.as_bytes())?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Writes the file beside its place, and gives it its name when it is whole. A file of that name is never written over.
async fn place(
    host: &Target,
    call: &ExportCall,
    run: &ActionRun,
    text: Bytes,
) -> Result<(), ActionError> {
    let part = format!("{}.runbook-{}.part", call.dest, run.node);
    let (p, d) = (word(&part), word(&call.dest));
    let hash = hex::encode(Sha256::digest(&text));
    host.script(&format!("rm -f -- {p}"), None).await?;
    host.upload(&part, text).await?;
    let named = format!(
        "sync -- {p} 2>/dev/null || sync; ln -- {p} {d} 2>/dev/null || {{ [ ! -e {d} ] && mv -n -- {p} {d}; }}; \
         s=$?; rm -f -- {p}; exit $s"
    );
    let reply = host.script(&named, None).await?;
    if reply.status != 0 {
        return Err(ActionError::Failed(format!(
            "{} could not be written; is there a file of that name by now?",
            call.dest
        )));
    }
    if hash_of(host, &call.dest).await?.as_deref() != Some(hash.as_str()) {
        return Err(ActionError::Failed(format!(
            "{} does not hold what was written to it; look at the free space of its file system",
            call.dest
        )));
    }
    Ok(())
}

/// What stands at the place already.
async fn written_before(host: &Target, dest: &str) -> Result<Option<Vec<u8>>, HostError> {
    if hash_of(host, dest).await?.is_none() {
        return Ok(None);
    }
    let mut text = Vec::new();
    host.fetch(dest, &mut text).await?;
    Ok(Some(text))
}

/// Does it hold the entries of this base? The base itself comes first.
fn is_export_of(base: &str, text: &[u8]) -> bool {
    let first = parse(text)
        .ok()
        .and_then(|records| records.into_iter().next());
    first.is_some_and(|record| record.dn.eq_ignore_ascii_case(base))
}

fn entries_in(text: &[u8]) -> usize {
    parse(text).map(|r| r.len()).unwrap_or_default()
}

/// What `register` gets.
fn outcome(call: &ExportCall, text: &[u8], entries: usize) -> Outcome {
    let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let hash = hex::encode(Sha256::digest(text));
    let output: IndexMap<String, Value> = [
        ("dest".to_owned(), Value::from(call.dest.as_str())),
        ("base".to_owned(), Value::from(call.base.as_str())),
        ("entries".to_owned(), number(entries)),
        ("size".to_owned(), number(text.len())),
        ("sha256".to_owned(), Value::from(hash)),
    ]
    .into();
    Outcome {
        changed: true,
        failed: None,
        output,
    }
}

/// The SHA-256 of a file on the host, hex; none where there is no such file.
async fn hash_of(host: &Probe, path: &str) -> Result<Option<String>, HostError> {
    let query = FileQuery {
        path: path.to_owned(),
        follow: false,
        content_up_to: Some(0),
    };
    match host.files(&[query]).await?.pop() {
        Some(entry) => Ok(entry?.sha256),
        None => Ok(None),
    }
}

/// The entries of a subtree, parents first, without the record of applied updates.
async fn subtree(host: &Target, call: &ExportCall) -> Result<Vec<Entry>, HostError> {
    for attempt in 0..2 {
        let session = Session::of(host, &call.server).await?;
        let schema = session.schema(host).await;
        let found = session.search(&call.base, Depth::Subtree, &["*"]).await;
        match (found, schema) {
            (Ok(found), Ok(schema)) => {
                let mut entries: Vec<Entry> = found
                    .into_iter()
                    .map(|raw| entry_kind::entry(raw, &schema))
                    .filter(|e| !applied::is_record(e))
                    .collect();
                parents_first(&mut entries);
                return Ok(entries);
            }
            (Err(Refused::Broken(_)), _) | (_, Err(_)) if attempt == 0 => {
                session.forget(host).await
            }
            (Err(refused), _) => {
                return Err(session.error(&format!("reading {}", call.base), &refused));
            }
            (_, Err(error)) => return Err(error),
        }
    }
    Err(HostError::failed(format!(
        "the session with {} breaks again and again",
        call.server.shown()
    )))
}
