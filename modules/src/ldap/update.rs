//! Module `ldap_update`: brings a directory's schema or data to a version, or applies LDIF files.

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::chain::{Existing, Verdict};
use super::dn::Dn;
use super::entry_kind::LdapEntry;
use super::image::{ImageFiles, ImageFilesKey};
use super::names::Names;
use super::planning::{self, Planned};
use super::server::Server;
use super::tree::Tree;
use super::version::Version;
use super::{data_plan, ldif_plan, schema_plan};

/// The module.
pub struct LdapUpdate;

/// Arguments of `ldap_update`. Exactly one of `schema`, `to`, `ldif` and `shipped` says what to do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapUpdateArgs {
    /// The container that the directory server runs in, `NAME` or `NAME:PORT` (port 389 by default). Nothing has to be
    /// published: the server is reached at the container's own address.
    #[serde(default)]
    pub container: Option<String>,
    /// The directory server as seen from the host, in place of `container`: `HOST:PORT`, or the path of its socket,
    /// where the login user (or the become user) is recognised by its credentials unless `bind_dn` is given.
    #[serde(default)]
    pub server: Option<String>,
    /// The name to bind with, such as `cn=admin,dc=dcm4che,dc=org`; for `schema` one that may change `cn=config`.
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
    /// The base that the data lie below, in place of `dc=dcm4che,dc=org` in the files. Default: what stands above the
    /// entry of `bind_dn`, else as in the files.
    #[serde(default)]
    pub base_dn: Option<String>,
    /// Where the files of `schema`, `to` and `shipped` come from; with `ldif`, the files that its records name by `:<`.
    #[serde(default)]
    pub files: Option<Files>,
    /// Brings the schema to this version, by the files `…-modify.ldif`. Entries of `cn=schema,cn=config` are found by
    /// name, whatever their number.
    #[serde(default)]
    pub schema: Option<String>,
    /// Brings the data to this version, through all versions in between, by the files `V/update-COMPONENT-V.ldif`.
    #[serde(default)]
    pub to: Option<String>,
    /// With `to`: the version that the data have now, or `auto`, the default: as the record in the directory says;
    /// without a record the highest version whose marks are found.
    #[serde(default)]
    pub from: Option<String>,
    /// With `to`: the components to update. Default: dev, DCM4CHEE, WORKLIST, AS_RECEIVED, IOCM_REGULAR_USE,
    /// IOCM_QUALITY, IOCM_PAT_SAFETY, IOCM_WRONG_MWL, IOCM_EXPIRED, storescp, stowrsd.
    #[serde(default)]
    pub components: Option<Vec<String>>,
    /// Applies these LDIF files of the controller, in this order. They are compared with the directory each time;
    /// nothing of them is recorded.
    #[serde(default)]
    pub ldif: Option<Vec<String>>,
    /// Applies these LDIF files that come with the archive, in this order, such as `default-users.ldif`: by their paths in
    /// `files`, or by the ends of these. They are compared with the directory each time; nothing of them is recorded.
    #[serde(default)]
    pub shipped: Option<Vec<String>>,
    /// With `ldif` and `shipped`: the name of an entry that the files have. It and all below it become exactly what the files
    /// say: other values are replaced (passwords are not), and entries that the files do not have are removed.
    #[serde(default)]
    pub replace_below: Option<String>,
    /// The site's own names in place of those in the files.
    #[serde(default)]
    pub names: Names,
    /// What to do where a record cannot be applied as it stands. Default: stop, before anything is sent.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// What to do with an entry that a record adds and that exists already: compare (the default) takes other content
    /// for a conflict, keep leaves it as it is.
    #[serde(default)]
    pub existing: Existing,
    /// With `to`: the name of the entry that records what was applied. Default: `cn=runbook`, right below the base.
    #[serde(default)]
    pub record: Option<String>,
}

/// Where LDIF files come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// An image on the host; a container of it is created and never started.
    #[serde(default)]
    pub image: Option<String>,
    /// The directory inside the image. Default: `/etc/openldap`.
    #[serde(default)]
    pub dir: Option<String>,
    /// A directory on the controller, in place of `image`.
    #[serde(default)]
    pub path: Option<String>,
}

/// What to do where a record cannot be applied as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Nothing is sent, and all conflicts are listed.
    #[default]
    Stop,
    /// Records in conflict are left out and reported; the others are applied.
    Continue,
}

const DIRECTORY: &str = "/etc/openldap";

impl LdapUpdateArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.bind_dn.as_deref(),
            self.password.as_ref(),
        )?
        .encrypted(self.start_tls, self.validate_certs, self.ca_path.as_deref())
    }

    /// The base that takes the place of the one in the files.
    pub(super) fn base(&self) -> Option<Dn> {
        if let Some(base) = &self.base_dn {
            return Dn::parse(base).ok();
        }
        let parent = Dn::parse(self.bind_dn.as_deref()?).ok()?.parent()?;
        let base = parent.folded(None);
        (base.starts_with("dc=") || base.starts_with("o=") || base.starts_with("c="))
            .then_some(parent)
    }

    fn job(&self) -> Result<Job<'_>, String> {
        let version = |name: &str, text: &str| {
            Version::parse(text).ok_or_else(|| format!("{name}: `{text}` is no version"))
        };
        match (&self.schema, &self.to, &self.ldif, &self.shipped) {
            (Some(text), None, None, None) => version("schema", text).map(Job::Schema),
            (None, Some(text), None, None) => version("to", text).map(Job::Data),
            (None, None, Some(files), None) => Ok(Job::Ldif(files)),
            (None, None, None, Some(files)) => Ok(Job::Shipped(files)),
            (None, None, None, None) => Err(
                "say what to do: `schema: VERSION`, `to: VERSION`, `ldif: [files]` or `shipped: [files]`"
                    .to_owned(),
            ),
            _ => Err(
                "`schema`, `to`, `ldif` and `shipped` are four tasks; give one of them".to_owned(),
            ),
        }
    }

    /// The branch that shall hold nothing but what the files say.
    pub(super) fn replaced_branch(&self) -> Result<Option<Dn>, String> {
        let parsed = self.replace_below.as_deref().map(Dn::parse).transpose();
        parsed.map_err(|e| format!("replace_below: {e}"))
    }

    /// All files of the source.
    fn tree(&self, world: &View<'_>) -> Result<Tree, Stop> {
        let Some(files) = &self.files else {
            return Err(Stop::refuse("`files` is missing"));
        };
        match (&files.image, &files.path) {
            (Some(image), _) => {
                let state = world.get::<ImageFiles>(&self.image_key(image))?;
                Ok(Tree::new(image.clone(), state.contents()))
            }
            (None, Some(path)) => {
                let folder = world.local(path)?;
                if folder.entries.is_none() {
                    return Err(Stop::refuse(format!("files: `{path}` is no directory")));
                }
                Ok(Tree::local(folder))
            }
            (None, None) => Err(Stop::refuse("files: give `image` or `path`")),
        }
    }

    fn image_key(&self, image: &str) -> ImageFilesKey {
        let dir = self.files.as_ref().and_then(|f| f.dir.clone());
        ImageFilesKey {
            image: image.to_owned(),
            directory: dir.unwrap_or_else(|| DIRECTORY.to_owned()),
        }
    }
}

/// What is to be done.
enum Job<'a> {
    Schema(Version),
    Data(Version),
    Ldif(&'a [String]),
    Shipped(&'a [String]),
}

impl Module for LdapUpdate {
    type Args = LdapUpdateArgs;

    const NAME: &'static str = "ldap_update";
    const SUMMARY: &'static str =
        "Brings a directory's schema or data to a version, or applies LDIF files.";
    const DOC: &'static str = include_str!("update.md");
    const LOCAL_FILES: &'static [&'static str] = &["files.path", "ldif"];

    fn validate(args: &Self::Args) -> Result<(), String> {
        args.server()?;
        let job = args.job()?;
        if let Some(base) = &args.base_dn {
            Dn::parse(base).map_err(|e| format!("base_dn: {e}"))?;
        }
        if let Some(record) = &args.record {
            Dn::parse(record).map_err(|e| format!("record: {e}"))?;
        }
        let only_data = [
            ("from", args.from.is_some()),
            ("components", args.components.is_some()),
            ("record", args.record.is_some()),
        ];
        if !matches!(job, Job::Data(_))
            && let Some((name, _)) = only_data.iter().find(|(_, given)| *given)
        {
            return Err(format!("`{name}` goes with `to` only"));
        }
        let with_files = matches!(job, Job::Ldif(_) | Job::Shipped(_));
        if args.replaced_branch()?.is_some() && !with_files {
            return Err("`replace_below` goes with `ldif` and `shipped` only".to_owned());
        }
        if args.replace_below.is_some() && args.existing == Existing::Keep {
            return Err("`existing: keep` contradicts `replace_below`".to_owned());
        }
        if let Some(from) = args.from.as_deref().filter(|f| *f != "auto") {
            Version::parse(from)
                .ok_or_else(|| format!("from: `{from}` is neither a version nor `auto`"))?;
        }
        match (&job, &args.files) {
            (Job::Ldif(_), _) => {}
            (_, None) => {
                return Err("`files` is missing: where do the LDIF files come from?".to_owned());
            }
            (_, Some(files)) => match (&files.image, &files.path, &files.dir) {
                (Some(_), None, _) | (None, Some(_), None) => {}
                (None, Some(_), Some(_)) => {
                    return Err("files: `dir` goes with `image` only".to_owned());
                }
                _ => return Err("files: give either `image` or `path`".to_owned()),
            },
        }
        Ok(())
    }

    fn validate_file(argument: &str, content: &dyn Fn() -> Option<Vec<u8>>) -> Vec<String> {
        if argument != "ldif" {
            return Vec::new();
        }
        let problems = content().and_then(|text| super::ldif::parse(&text).err());
        problems.iter().flatten().map(ToString::to_string).collect()
    }

    fn touches(args: &Self::Args) -> Footprint {
        let Ok(server) = args.server() else {
            return Footprint::everything();
        };
        let id = server.id();
        let mut footprint = planning::reads(&server);
        if let Some(image) = args.files.as_ref().and_then(|f| f.image.as_ref()) {
            footprint = footprint
                .reads("image-files", args.image_key(image).to_string())
                .reads("image", image.clone());
        }
        match (args.job(), args.base()) {
            (Ok(Job::Schema(_)), _) => footprint.writes("ldap-entry", format!("{id}/cn=config")),
            (Ok(Job::Data(_)), Some(base)) => {
                footprint.writes("ldap-entry", format!("{id}/{}", base.folded(None)))
            }
            _ => footprint.writes("ldap-entry", id),
        }
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let planned = match args.job().map_err(Stop::Refuse)? {
            Job::Schema(version) => {
                schema_plan::schema(args, &server, &version, || args.tree(world), world)?
            }
            Job::Data(version) => {
                data_plan::data(args, &server, &version, || args.tree(world), world)?
            }
            Job::Ldif(files) => ldif_plan::given(args, &server, files, || args.tree(world), world)?,
            Job::Shipped(files) => {
                ldif_plan::shipped(args, &server, files, || args.tree(world), world)?
            }
        };
        wanted(args, &server, planned)
    }

    fn output(args: &Self::Args, before: &View<'_>, _after: &View<'_>) -> IndexMap<String, Value> {
        // The counts are facts of `want`; what the directory is at afterwards follows from them.
        let _ = before;
        let mut output = IndexMap::new();
        if let Some(to) = &args.to {
            output.insert("version".to_owned(), Value::from(to.as_str()));
        }
        output
    }
}

/// How many conflicts a message lists.
const LISTED: usize = 20;

fn wanted(args: &LdapUpdateArgs, server: &Server, planned: Planned) -> Result<Wanted, Stop> {
    let count =
        |verdict: fn(&Verdict) -> bool| planned.net.verdicts.iter().filter(|v| verdict(v)).count();
    let (apply, already) = (
        count(|v| *v == Verdict::Apply),
        count(|v| *v == Verdict::Already),
    );
    let conflicts: Vec<String> = planned
        .links
        .iter()
        .zip(&planned.net.verdicts)
        .filter_map(|(link, verdict)| match verdict {
            Verdict::Conflict(why) => Some(format!(
                "{} line {}: {}: {why}",
                link.file, link.line, link.dn
            )),
            _ => None,
        })
        .collect();
    let mut summary = format!(
        "{}: {} records, {apply} to apply, {already} already there",
        planned.title,
        planned.links.len()
    );
    if !conflicts.is_empty() {
        summary.push_str(&format!(", {} in conflict", conflicts.len()));
    }
    if !planned.net.unknown.is_empty() {
        let list = planned
            .net
            .unknown
            .iter()
            .take(LISTED)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n  ");
        return Err(Stop::refuse(format!(
            "{} does not know {} of the attributes and classes that the records need; update its schema first \
             (`ldap_update: {{schema: VERSION}}`). Nothing was sent.\n  {list}",
            server.shown(),
            planned.net.unknown.len()
        )));
    }
    let mut failed = None;
    if !conflicts.is_empty() && args.on_conflict == OnConflict::Stop {
        let more = conflicts.len().saturating_sub(LISTED);
        let mut list = conflicts
            .iter()
            .take(LISTED)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n  ");
        if more > 0 {
            list.push_str(&format!("\n  and {more} more"));
        }
        failed = Some(format!(
            "{summary}. Nothing was sent. Mend the entries, leave out components that the site does not have, or \
             give `on_conflict: continue` to leave these records out:\n  {list}"
        ));
    }
    let mut wanted = Wanted::nothing();
    if failed.is_none() {
        planning::set_all(&mut wanted, server, &planned.net);
    }
    if let Some((key, want)) = planned.record.as_ref().filter(|_| failed.is_none()) {
        wanted.set::<LdapEntry>(key, want);
    }
    wanted.summary = Some(summary);
    wanted.notes = planned.notes;
    if failed.is_none() {
        wanted
            .notes
            .extend(conflicts.iter().map(|c| format!("left out: {c}")));
    }
    wanted.failed = failed;
    let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let classified = planned
        .links
        .iter()
        .zip(&planned.net.verdicts)
        .map(|(link, verdict)| {
            let (word, why) = match verdict {
                Verdict::Apply => ("apply", ""),
                Verdict::Already => ("already", ""),
                Verdict::Conflict(why) => ("conflict", why.as_str()),
            };
            let mut map = IndexMap::new();
            map.insert("file".to_owned(), Value::from(link.file.as_str()));
            map.insert("line".to_owned(), number(link.line));
            map.insert("dn".to_owned(), Value::from(link.dn.to_string()));
            map.insert("verdict".to_owned(), Value::from(word));
            if !why.is_empty() {
                map.insert("why".to_owned(), Value::from(why));
            }
            Value::Map(map)
        });
    wanted
        .facts
        .insert("records".to_owned(), number(planned.links.len()));
    wanted.facts.insert("apply".to_owned(), number(apply));
    wanted.facts.insert("already".to_owned(), number(already));
    wanted
        .facts
        .insert("conflicts".to_owned(), number(conflicts.len()));
    wanted
        .facts
        .insert("entries".to_owned(), number(planned.net.wants.len()));
    wanted
        .facts
        .insert("classified".to_owned(), Value::List(classified.collect()));
    let hashes = planned
        .hashes
        .into_iter()
        .map(|(file, hash)| (file, Value::from(hash)))
        .collect();
    wanted.facts.insert("files".to_owned(), Value::Map(hashes));
    for (name, value) in planned.facts {
        wanted.facts.insert(name.to_owned(), value);
    }
    Ok(wanted)
}
