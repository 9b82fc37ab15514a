//! Resource kind `pg-facts`: what a server says of itself and of the size of things. Read only; apart from
//! `pg-schema`, since it changes by itself.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe};
use runbook_engine::resource::{ReadKind, Ref, Shadow};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::inverse::quoted;
use super::server::Server;
use super::session::reading;

/// The kind.
pub struct PgFacts;

/// A database, and the tables whose size one wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsKey {
    /// The database.
    pub server: Server,
    /// The tables.
    pub tables: Vec<String>,
}

impl std::fmt::Display for FactsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.server.id())?;
        if self.tables.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.tables.join(","))
        }
    }
}

/// Facts about a server and a database.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The server's version as it says it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    /// The major version: 15. It is what `PG_VERSION` in the data directory says.
    pub major: u32,
    /// Bytes that the database takes.
    pub size: u64,
    /// Other clients of this database: user, program and address of each.
    pub clients: Vec<String>,
    /// Rows of the tables, as the server estimates them; of a table never analysed by its size. Absent tables are
    /// left out.
    pub rows: BTreeMap<String, u64>,
}

#[async_trait]
impl ReadKind for PgFacts {
    type Key = FactsKey;
    type State = Facts;

    const NAME: &'static str = "pg-facts";
    /// Rows come and go.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[FactsKey]) -> Vec<Result<Facts, HostError>> {
        let mut states = Vec::with_capacity(keys.len());
        for key in keys {
            let tables = std::sync::Arc::new(key.tables.clone());
            states.push(
                reading(host, &key.server, |client| {
                    let tables = tables.clone();
                    Box::pin(async move { facts(client, &tables).await })
                })
                .await,
            );
        }
        states
    }

    fn touched_by(&self, key: &FactsKey, written: &Ref) -> bool {
        key.server.is_touched_by(written)
    }

    fn predicted(&self, key: &FactsKey, world: &Predicted<'_>) -> Shadow<FactsKey, Facts> {
        key.server.predicted(world).shadow()
    }
}

const SERVER: &str = "select current_setting('server_version'), current_setting('server_version_num')::int4, \
    pg_database_size(current_database())";

const CLIENTS: &str = "select concat_ws(' ', coalesce(usename::text, '?'), nullif(application_name, ''), \
    coalesce(host(client_addr), 'local')) from pg_stat_activity \
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' \
    and application_name <> 'runbook' order by 1";

/// A table never analysed has -1 rows (0 before version 14): then 40 rows a page is as good a guess as any.
const ROWS: &str = "select i.name, case when c.reltuples > 0 then c.reltuples::int8 \
    else (pg_relation_size(c.oid) / 8192) * 40 end \
    from unnest($1::text[], $2::text[]) i(name, path) join pg_class c on c.oid = to_regclass(i.path)";

async fn facts(client: &Client, tables: &[String]) -> Result<Facts, Error> {
    let paths: Vec<String> = tables.iter().map(|t| quoted(t)).collect();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&tables, Type::TEXT_ARRAY), (&paths, Type::TEXT_ARRAY)];
    let (server, clients, rows) = futures::try_join!(
        client.query_typed_one(SERVER, &[]),
        client.query_typed(CLIENTS, &[]),
        client.query_typed(ROWS, &parameters)
    )?;
    let number: i32 = server.get(1);
    let size: i64 = server.get(2);
    Ok(Facts {
        server_version: server.get(0),
        major: u32::try_from(number / 10_000).unwrap_or(0),
        size: u64::try_from(size).unwrap_or(0),
        clients: clients.iter().map(|r| r.get(0)).collect(),
        rows: rows
            .iter()
            .map(|r| {
                let count: i64 = r.get(1);
                (r.get(0), u64::try_from(count).unwrap_or(0))
            })
            .collect(),
    })
}
