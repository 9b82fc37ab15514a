//! Resource kind `pg-rows`: how many rows tables have, counted. Read only.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe};
use runbook_engine::resource::{ReadKind, Ref, Shadow};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::server::Server;
use super::session::{literal, reading, texts};

/// The kind.
pub struct PgRows;

/// A database, and tables of it as SQL names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsKey {
    /// The database.
    pub server: Server,
    /// The tables; they are part of SQL text, so they come from a dump only, which is SQL itself.
    pub tables: Vec<String>,
}

impl std::fmt::Display for RowsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let which = hex::encode(&Sha256::digest(self.tables.join("\n"))[..4]);
        write!(f, "{}/{which}", self.server.id())
    }
}

/// Rows by table; a table that is absent is not in it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rows(pub BTreeMap<String, u64>);

#[async_trait]
impl ReadKind for PgRows {
    type Key = RowsKey;
    type State = Rows;

    const NAME: &'static str = "pg-rows";
    /// Rows come and go.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[RowsKey]) -> Vec<Result<Rows, HostError>> {
        let mut states = Vec::with_capacity(keys.len());
        for key in keys {
            let tables = std::sync::Arc::new(key.tables.clone());
            states.push(
                reading(host, &key.server, |client| {
                    let tables = tables.clone();
                    Box::pin(async move { counted(client, &tables).await })
                })
                .await,
            );
        }
        states
    }

    fn touched_by(&self, key: &RowsKey, written: &Ref) -> bool {
        key.server.is_touched_by(written)
    }

    fn predicted(&self, key: &RowsKey, world: &Predicted<'_>) -> Shadow<RowsKey, Rows> {
        key.server.predicted(world).shadow()
    }
}

async fn counted(client: &Client, tables: &[String]) -> Result<Rows, tokio_postgres::Error> {
    let there = client
        .query_typed(
            "select t from unnest($1::text[]) t where to_regclass(t) is not null",
            &[(&tables, tokio_postgres::types::Type::TEXT_ARRAY)],
        )
        .await?;
    let there: Vec<String> = there.iter().map(|row| row.get(0)).collect();
    if there.is_empty() {
        return Ok(Rows::default());
    }
    // All of them by one question.
    let counts: Vec<String> = there
        .iter()
        .map(|table| format!("select {}, count(*) from {table}", literal(table)))
        .collect();
    let answer = client.simple_query(&counts.join(" union all ")).await?;
    let count = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        Some((row.next()??, row.next()??.parse().ok()?))
    };
    Ok(Rows(texts(&answer).into_iter().filter_map(count).collect()))
}
