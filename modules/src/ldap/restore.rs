//! Module `ldap_restore`: a branch of a directory as an export of it has it.

use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::chain::{self, Existing, Verdict};
use super::dn::Dn;
use super::entry_kind::LdapEntry;
use super::export::said_to_have;
use super::ldif::{Record, RecordChange};
use super::planning;
use super::replacing::{self, Passwords};
use super::schema_kind::LdapSchema;
use super::server::Server;
use super::tree::Tree;
use crate::file::FileKind;
use crate::file::contents::{ContentKind, bytes_of};
use crate::file::state::{FileKey, tidy};

/// The module.
pub struct LdapRestore;

/// Arguments of `ldap_restore`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapRestoreArgs {
    /// The container that the directory server runs in, `NAME` or `NAME:PORT` (port 389 by default).
    #[serde(default)]
    pub container: Option<String>,
    /// The directory server as seen from the host, in place of `container`: `HOST:PORT`, or the path of its socket.
    #[serde(default)]
    pub server: Option<String>,
    /// The name to bind with.
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
    /// Absolute path of the export on the host, as `ldap_export` makes it: LDIF with entries, parents first.
    pub src: String,
    /// The entry that, with all below it, becomes what the file says. Default: the first one of the file.
    #[serde(default)]
    pub base: Option<String>,
}

/// How many entries are listed that are only in the directory.
const LISTED: usize = 20;

impl LdapRestoreArgs {
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

impl Module for LdapRestore {
    type Args = LdapRestoreArgs;

    const NAME: &'static str = "ldap_restore";
    const SUMMARY: &'static str = "Makes a branch of a directory what an export of it says.";
    const DOC: &'static str = include_str!("restore.md");
    const PATHS: &'static [&'static str] = &["src"];

    fn validate(args: &Self::Args) -> Result<(), String> {
        args.server()?;
        let base = args.base.as_deref().map(Dn::parse).transpose();
        base.map(drop).map_err(|e| format!("base: {e}"))
    }

    fn touches(args: &Self::Args) -> Footprint {
        let Ok(server) = args.server() else {
            return Footprint::everything();
        };
        let id = server.id();
        let base = args.base.as_deref().and_then(|base| Dn::parse(base).ok());
        let written = base.map_or(id.clone(), |base| format!("{id}/{}", base.certain()));
        planning::reads(&server)
            .reads(FileKind::NAME, tidy(&args.src))
            .reads(ContentKind::NAME, "*")
            .writes(LdapEntry::NAME, written)
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let file = FileKey::following(&args.src);
        let mut keys: Vec<_> = planning::schema_keys(&server)
            .iter()
            .map(reference::<LdapSchema>)
            .collect();
        keys.push(reference::<FileKind>(&file));
        world.need(&keys)?;
        let mut records = records(&args.src, &file, world)?;
        let entries = records.len();
        let base = match (&args.base, records.first()) {
            (Some(base), _) => base,
            (None, Some(first)) => &first.dn,
            (None, None) => return Err(Stop::refuse(format!("{}: it has no entry", args.src))),
        };
        let base = Dn::parse(base).map_err(|e| Stop::refuse(format!("base: {e}")))?;
        let schema = planning::known_schema(&server, world)?;
        for record in &mut records {
            if let RecordChange::Add(attributes) = &mut record.change {
                // What the server lets nobody set (RFC 4512, 4.1.2: NO-USER-MODIFICATION); `slapcat` writes it.
                let is_its_own = |name: &str| schema.attribute(name).is_some_and(|a| a.read_only);
                attributes.retain(|(name, _)| !is_its_own(name));
            }
        }
        let (mut links, mut problems) = (Vec::new(), Vec::new());
        for record in records {
            match planning::link(&args.src, record, &schema) {
                Ok(link) => links.push(link),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(planning::refuse(&problems));
        }
        let place = base.folded(Some(&schema));
        let below = format!("{place}/");
        links.retain(|link| link.place == place || link.place.starts_with(&below));
        let (links, directory) =
            replacing::exactly(links, &base, Passwords::Set, &server, &schema, world)?;
        let net = chain::net(&links, &directory, &schema, Existing::Compare);
        if !net.unknown.is_empty() {
            return Err(Stop::refuse(format!(
                "{} does not know {}, which the export has; its schema has to come first",
                server.shown(),
                net.unknown.join(", ")
            )));
        }
        for (link, verdict) in links.iter().zip(&net.verdicts) {
            if let Verdict::Conflict(why) = verdict {
                return Err(Stop::refuse(format!("{}: {why}", link.dn)));
            }
        }
        let mut wanted = Wanted::nothing();
        planning::set_all(&mut wanted, &server, &net);
        let gone: Vec<String> = links
            .iter()
            .filter(|link| link.change == RecordChange::Delete)
            .map(|link| link.dn.to_string())
            .collect();
        wanted.summary = Some(format!(
            "{base} as in {}: {entries} entries, {} to change, {} of them to remove",
            args.src,
            net.wants.len(),
            gone.len()
        ));
        if !gone.is_empty() {
            let mut line = format!(
                "entries that the export does not have: {}",
                gone[..gone.len().min(LISTED)].join("; ")
            );
            if gone.len() > LISTED {
                line.push_str(&format!("; and {} more", gone.len() - LISTED));
            }
            wanted.notes.push(line);
        }
        let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        for (name, value) in [
            ("entries", entries),
            ("changed_entries", net.wants.len()),
            ("removed", gone.len()),
        ] {
            wanted.facts.insert(name.to_owned(), number(value));
        }
        Ok(wanted)
    }
}

/// The entries of the file, whole.
fn records(path: &str, file: &FileKey, world: &View<'_>) -> Result<Vec<Record>, Stop> {
    let state = world.get::<FileKind>(file)?;
    if state.is != FileType::File {
        return Err(Stop::refuse(format!("{path}: there is no such file")));
    }
    let text = bytes_of(&state, world)?;
    let said = said_to_have(&text);
    let tree = Tree::new("", [(path.to_owned(), text)].into());
    let records = tree.records(path).map_err(|problems| {
        let named: Vec<_> = problems.into_iter().map(|p| (path.to_owned(), p)).collect();
        planning::refuse(&named)
    })?;
    if let Some(said) = said.filter(|said| *said != records.len()) {
        return Err(Stop::refuse(format!(
            "{path} has {} entries and says that it has {said}: it is not whole, and what it lacks would be removed",
            records.len()
        )));
    }
    let other = records
        .iter()
        .find(|record| !matches!(record.change, RecordChange::Add(_)));
    if let Some(record) = other {
        return Err(Stop::refuse(format!(
            "{path} line {}: this changes an entry; an export has whole entries only (ldap_update: {{ldif: …}} applies changes)",
            record.line
        )));
    }
    Ok(records)
}
