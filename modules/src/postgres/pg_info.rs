//! Module `pg_info`: what a database server is, for preflight checks. Reads only.

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::chain::Chain;
use super::evidence::standings;
use super::facts_kind::{FactsKey, PgFacts};
use super::files::Files;
use super::plan::found;
use super::schema_kind::{PgSchema, SchemaKey};
use super::server::Server;
use crate::docker::Container;

/// The module.
pub struct PgInfo;

/// Arguments of `pg_info`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgInfoArgs {
    /// The container that the server runs in, `NAME` or `NAME:PORT` (port 5432 by default).
    #[serde(default)]
    pub container: Option<String>,
    /// The server as seen from the host, in place of `container`: `HOST:PORT`, or its socket or the folder of it.
    #[serde(default)]
    pub server: Option<String>,
    /// The database.
    pub database: String,
    /// The user to log in as.
    pub user: String,
    /// The password of `user`. Without it none is given.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The update files of the schema, as for `pg_schema`: then the schema's version is found, too.
    #[serde(default)]
    pub files: Option<Files>,
    /// Tables whose size is of interest.
    #[serde(default)]
    pub tables: Vec<String>,
}

impl PgInfoArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            &self.database,
            &self.user,
            self.password.as_ref(),
        )
    }
}

impl Module for PgInfo {
    type Args = PgInfoArgs;

    const NAME: &'static str = "pg_info";
    const SUMMARY: &'static str =
        "Says which version a database server and a schema in it have, and how large it is.";
    const DOC: &'static str = include_str!("pg_info.md");
    const LOCAL_FILES: &'static [&'static str] = &["files.path"];

    fn validate(args: &Self::Args) -> Result<(), String> {
        args.server()?;
        args.files.as_ref().map_or(Ok(()), Files::validate)
    }

    fn touches(args: &Self::Args) -> Footprint {
        let Ok(server) = args.server() else {
            return Footprint::everything();
        };
        let mut footprint = Footprint::nothing()
            .reads(PgFacts::NAME, server.id())
            .reads(PgSchema::NAME, server.id());
        if let Some(files) = &args.files {
            footprint = files.touches(footprint);
        }
        if let Some(name) = server.container() {
            footprint = footprint.reads(Container::NAME, name);
        }
        footprint
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let chain = match &args.files {
            None => Chain::default(),
            Some(files) => {
                let files = files.contents(world)?;
                Chain::from_files(files.iter().map(|(n, c)| (n.as_str(), c.as_slice()))).map_err(
                    |e| {
                        Stop::refuse(format!(
                            "the update files cannot be used:\n  {}",
                            e.join("\n  ")
                        ))
                    },
                )?
            }
        };
        let schema = SchemaKey {
            server: server.clone(),
            objects: chain.objects(),
        };
        let facts = FactsKey {
            server: server.clone(),
            tables: args.tables.clone(),
        };
        world.need(&[reference::<PgSchema>(&schema), reference::<PgFacts>(&facts)])?;
        let state = world.get::<PgSchema>(&schema)?;
        let facts = world.get::<PgFacts>(&facts)?;

        let number = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let version = if chain.units.is_empty() {
            Value::Null
        } else {
            Value::from(found(&chain, &standings(&chain, &state)))
        };
        let ledger = state
            .ledger
            .last()
            .map_or(Value::Null, |row| Value::from(row.version.to_string()));
        let rows = facts
            .rows
            .iter()
            .map(|(table, rows)| (table.clone(), number(*rows)))
            .collect();
        let mut wanted = Wanted::nothing();
        wanted.summary = Some(format!(
            "PostgreSQL {}, {}",
            facts.server_version,
            server.shown()
        ));
        wanted.facts = IndexMap::from([
            (
                "server_version".to_owned(),
                Value::from(facts.server_version.as_str()),
            ),
            ("major".to_owned(), number(u64::from(facts.major))),
            ("size".to_owned(), number(facts.size)),
            (
                "clients".to_owned(),
                Value::List(
                    facts
                        .clients
                        .iter()
                        .map(|c| Value::from(c.as_str()))
                        .collect(),
                ),
            ),
            ("rows".to_owned(), Value::Map(rows)),
            ("version_found".to_owned(), version),
            ("ledger_version".to_owned(), ledger),
        ]);
        Ok(wanted)
    }
}
