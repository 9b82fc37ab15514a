//! Resource kind `pg-database`: which database of a server has a name.
//!
//! A database is known by its oid (of one that is only predicted, by the mark in its comment), so that what is moved from
//! one name to another is the same database, whatever is in it. All renamings of a task are one transaction of the server.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError,
};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Error};

use super::server::Server;
use super::session::{Access, connect, reading, told};

/// The kind.
pub struct PgDatabase;

/// A name on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseKey {
    /// The server, and another database of it, through which this one is looked at and renamed.
    pub server: Server,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for DatabaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.server.other(&self.name).id())
    }
}

/// The database of a name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DatabaseState {
    /// There is one.
    pub exists: bool,
    /// Its oid in `pg_database`; none of one that is predicted.
    #[serde(default)]
    pub oid: Option<u32>,
    /// The comment on it, by which a restored one is recognised.
    #[serde(default)]
    pub comment: Option<String>,
    /// Bytes that it takes.
    #[serde(default)]
    pub size: u64,
    /// Who is logged in to it: user, program and address of each.
    #[serde(default)]
    pub clients: Vec<String>,
}

impl DatabaseState {
    /// The same database, perhaps under another name.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        if !self.exists || !other.exists {
            return self.exists == other.exists;
        }
        match (self.oid, other.oid) {
            (Some(one), Some(other)) => one == other,
            _ => self.comment.is_some() && self.comment == other.comment,
        }
    }
}

/// What a name shall be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseWant {
    /// Nobody's; the database that has it goes, with all that is in it.
    Absent,
    /// Nobody's; the database that has it gets another, or is that of no one any more.
    Free,
    /// That of this database.
    Of {
        /// The database.
        database: DatabaseState,
        /// The name it has until then, as far as it is known.
        was: Option<String>,
    },
}

const STATES: &str = "select d.datname::text, d.oid, shobj_description(d.oid, 'pg_database'), \
    case when has_database_privilege(d.oid, 'connect') then pg_database_size(d.oid) else 0 end, \
    array(select concat_ws(' ', coalesce(usename::text, '?'), nullif(application_name, ''), \
        coalesce(host(client_addr), 'local')) from pg_stat_activity \
        where datid = d.oid and backend_type = 'client backend' and application_name <> 'runbook' order by 1) \
    from pg_database d where d.datname = any($1::text[])";

/// The databases of these names, in their order, by one question.
async fn states(client: &Client, names: &[String]) -> Result<Vec<DatabaseState>, Error> {
    let found = client
        .query_typed(STATES, &[(&names, tokio_postgres::types::Type::TEXT_ARRAY)])
        .await?;
    let there: BTreeMap<String, DatabaseState> = found
        .iter()
        .map(|row| {
            let state = DatabaseState {
                exists: true,
                oid: Some(row.get(1)),
                comment: row.get(2),
                size: u64::try_from(row.get::<_, i64>(3)).unwrap_or(0),
                clients: row.get(4),
            };
            (row.get(0), state)
        })
        .collect();
    Ok(names
        .iter()
        .map(|name| there.get(name).cloned().unwrap_or_default())
        .collect())
}

#[async_trait]
impl Kind for PgDatabase {
    type Key = DatabaseKey;
    type State = DatabaseState;
    type Want = DatabaseWant;

    const NAME: &'static str = "pg-database";

    async fn read(
        &self,
        host: &Probe,
        keys: &[DatabaseKey],
    ) -> Vec<Result<DatabaseState, HostError>> {
        let mut found: Vec<Option<Result<DatabaseState, HostError>>> =
            keys.iter().map(|_| None).collect();
        while let Some(first) = found.iter().position(Option::is_none) {
            // All names of one server together.
            let server = &keys[first].server;
            let asked: Vec<usize> = (first..keys.len())
                .filter(|n| keys[*n].server == *server)
                .collect();
            let names: Vec<String> = asked.iter().map(|n| keys[*n].name.clone()).collect();
            let names = std::sync::Arc::new(names);
            let answer = reading(host, server, |client| {
                let names = names.clone();
                Box::pin(async move { states(client, &names).await })
            });
            match answer.await {
                Ok(states) => {
                    for (n, state) in asked.into_iter().zip(states) {
                        found[n] = Some(Ok(state));
                    }
                }
                Err(error) => {
                    for n in asked {
                        found[n] = Some(Err(error.clone()));
                    }
                }
            }
        }
        found.into_iter().flatten().collect()
    }

    fn differences(&self, want: &DatabaseWant, read: &DatabaseState) -> Vec<String> {
        let line = match want {
            DatabaseWant::Absent if read.exists => "removed, with all that is in it".to_owned(),
            DatabaseWant::Free if read.exists => "gets another name".to_owned(),
            DatabaseWant::Of { database, was } if !database.is(read) => {
                let which = match was {
                    Some(was) => format!("the database that is {was} until now"),
                    None => "the database that it was".to_owned(),
                };
                match read.exists {
                    true => format!("another database → {which}"),
                    false => format!("absent → {which}"),
                }
            }
            _ => return Vec::new(),
        };
        vec![line]
    }

    fn predict(&self, want: &DatabaseWant, _from: &DatabaseState) -> DatabaseState {
        match want {
            DatabaseWant::Absent | DatabaseWant::Free => DatabaseState::default(),
            DatabaseWant::Of { database, .. } => database.clone(),
        }
    }

    fn reversible(
        &self,
        change: &Change<DatabaseState, DatabaseWant>,
        _: &DatabaseKey,
    ) -> Reversible {
        match change.want {
            DatabaseWant::Absent => Reversible::Never("what the database holds is lost".to_owned()),
            DatabaseWant::Free | DatabaseWant::Of { .. } => Reversible::Yes,
        }
    }

    fn back(
        &self,
        _: &DatabaseKey,
        change: &Change<DatabaseState, DatabaseWant>,
    ) -> Option<DatabaseWant> {
        match (&change.want, change.from.exists) {
            (DatabaseWant::Absent, _) => None,
            (_, false) => Some(DatabaseWant::Free),
            (_, true) => Some(DatabaseWant::Of {
                database: change.from.clone(),
                was: None,
            }),
        }
    }

    /// What is in it, and who is logged in, is others' concern.
    fn still(
        &self,
        _: &DatabaseKey,
        change: &Change<DatabaseState, DatabaseWant>,
        now: &DatabaseState,
    ) -> bool {
        change.to.is(now)
    }

    fn drifted(
        &self,
        _: &DatabaseKey,
        _: Option<&DatabaseWant>,
        was: &DatabaseState,
        now: &DatabaseState,
    ) -> Vec<String> {
        let line = match (was.exists, now.exists) {
            (false, true) => "absent → present",
            (true, false) => "present → absent",
            (true, true) if !was.is(now) => "is another database of the same name",
            _ => return Vec::new(),
        };
        vec![line.to_owned()]
    }

    fn assumes(
        &self,
        key: &DatabaseKey,
        change: &Change<DatabaseState, DatabaseWant>,
    ) -> Vec<String> {
        let clients = &change.from.clients;
        let left = (!clients.is_empty()).then(|| {
            format!(
                "nobody is logged in to database {} by then (now: {})",
                key.name,
                clients.join(", ")
            )
        });
        left.into_iter().collect()
    }

    fn touched_by(&self, key: &DatabaseKey, written: &Ref) -> bool {
        (written.kind == Self::NAME && written.id == key.to_string())
            || key.server.is_container(written)
    }

    fn predicted(
        &self,
        key: &DatabaseKey,
        world: &Predicted<'_>,
    ) -> Shadow<DatabaseKey, DatabaseState> {
        key.server.predicted(world).shadow()
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        // Those of one server are written together.
        let mut left: Vec<&KeyedChange<Self>> = changes.iter().collect();
        while let Some(first) = left.first() {
            let server = first.key.server.clone();
            let (own, others) = left.into_iter().partition(|c| c.key.server == server);
            left = others;
            write(host, &server, own).await?;
        }
        Ok(Vec::new())
    }
}

async fn write(
    host: &Target,
    server: &Server,
    changes: Vec<&KeyedChange<PgDatabase>>,
) -> Result<(), WriteError> {
    let client = connect(host, server, Access::Write).await?;
    let failed = |what: &str, e: &Error| WriteError::failed(format!("{what}: {}", told(e)));
    let names: Vec<String> = changes.iter().map(|c| c.key.name.clone()).collect();
    let found = states(&client, &names)
        .await
        .map_err(|e| failed(&format!("{} cannot be looked at", names.join(", ")), &e))?;
    for (change, now) in changes.iter().zip(&found) {
        if !change.change.from.is(now) {
            return Err(WriteError::Moved {
                what: format!("database {}", change.key.name),
                found: PgDatabase
                    .drifted(&change.key, None, &change.change.from, now)
                    .join(", "),
            });
        }
    }
    let own_sessions = "select pg_terminate_backend(pid) from pg_stat_activity where datname = any($1::text[]) \
                        and application_name = 'runbook' and usename = current_user and pid <> pg_backend_pid()";
    client
        .query_typed(
            own_sessions,
            &[(&names, tokio_postgres::types::Type::TEXT_ARRAY)],
        )
        .await
        .map_err(|e| failed("sessions of this run cannot be ended", &e))?;
    for (name, now) in names.iter().zip(&found) {
        if !now.clients.is_empty() {
            return Err(WriteError::failed(format!(
                "database {name} is in use: {}. Stop what is logged in to it, and try again",
                now.clients.join(", ")
            )));
        }
    }
    let moves = moves(&changes, &found)?;
    if !moves.is_empty() {
        // The server itself waits some seconds for sessions that are about to end.
        let renamed = client.batch_execute(&renamings(&moves)).await;
        renamed.map_err(|e| failed(&format!("{} cannot be renamed", server.shown()), &e))?;
    }
    for (change, now) in changes.iter().zip(&found) {
        if change.change.want == DatabaseWant::Absent && now.exists {
            let name = identifier(&change.key.name);
            let gone = client
                .batch_execute(&format!("drop database if exists {name}"))
                .await;
            gone.map_err(|e| {
                failed(
                    &format!("database {} cannot be removed", change.key.name),
                    &e,
                )
            })?;
        }
    }
    Ok(())
}

/// From which name to which.
fn moves(
    changes: &[&KeyedChange<PgDatabase>],
    found: &[DatabaseState],
) -> Result<Vec<(String, String)>, WriteError> {
    let mut moves = Vec::new();
    for (change, now) in changes.iter().zip(found) {
        let DatabaseWant::Of { database, .. } = &change.change.want else {
            continue;
        };
        if database.is(now) {
            continue;
        }
        let from = changes.iter().zip(found).find(|(_, f)| database.is(f));
        let Some((from, _)) = from else {
            return Err(WriteError::Moved {
                what: format!("the database that shall be {}", change.key.name),
                found: "it has none of the names that this task knows".to_owned(),
            });
        };
        moves.push((from.key.name.clone(), change.key.name.clone()));
    }
    Ok(moves)
}

/// Names may go round in a circle, so each database first gets one that nobody has.
fn renamings(moves: &[(String, String)]) -> String {
    let rename = |from: &str, to: &str| {
        format!(
            "alter database {} rename to {};\n",
            identifier(from),
            identifier(to)
        )
    };
    let between = |n: usize| format!("runbook.moving.{n}");
    let mut sql = "begin;\n".to_owned();
    for (n, (from, _)) in moves.iter().enumerate() {
        sql.push_str(&rename(from, &between(n)));
    }
    for (n, (_, to)) in moves.iter().enumerate() {
        sql.push_str(&rename(&between(n), to));
    }
    sql.push_str("commit;");
    sql
}

/// A name as an identifier of SQL, whatever is in it.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(oid: u32) -> DatabaseState {
        DatabaseState {
            exists: true,
            oid: Some(oid),
            ..DatabaseState::default()
        }
    }

    fn key(name: &str) -> DatabaseKey {
        DatabaseKey {
            server: Server::from_args(Some("db"), None, "postgres", "pacs", None).unwrap(),
            name: name.to_owned(),
        }
    }

    fn change(name: &str, from: DatabaseState, want: DatabaseWant) -> KeyedChange<PgDatabase> {
        let to = PgDatabase.predict(&want, &from);
        KeyedChange {
            key: key(name),
            change: Change { from, to, want },
        }
    }

    fn of(oid: u32) -> DatabaseWant {
        DatabaseWant::Of {
            database: database(oid),
            was: None,
        }
    }

    #[test]
    fn a_database_keeps_what_it_is_under_another_name() {
        assert_eq!(key("pacsdb").to_string(), "db/pacsdb");
        let swap = [
            change("pacsdb", database(1), of(2)),
            change("new", database(2), DatabaseWant::Free),
            change("old", DatabaseState::default(), of(1)),
        ];
        let found: Vec<_> = swap.iter().map(|c| c.change.from.clone()).collect();
        let changes: Vec<_> = swap.iter().collect();
        let pairs = moves(&changes, &found).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(pairs, [pair("new", "pacsdb"), pair("pacsdb", "old")]);
        // Back: what each name was is what it shall be again.
        let back: Vec<_> = swap
            .iter()
            .map(|c| {
                let want = PgDatabase.back(&c.key, &c.change).unwrap();
                change(&c.key.name, c.change.to.clone(), want)
            })
            .collect();
        let found: Vec<_> = back.iter().map(|c| c.change.from.clone()).collect();
        let changes: Vec<_> = back.iter().collect();
        let pairs = moves(&changes, &found).unwrap();
        assert_eq!(pairs, [pair("old", "pacsdb"), pair("pacsdb", "new")]);
    }

    #[test]
    fn one_that_is_predicted_is_known_by_its_mark() {
        let marked = |oid, mark: &str| DatabaseState {
            exists: true,
            oid,
            comment: Some(mark.to_owned()),
            ..DatabaseState::default()
        };
        assert!(marked(None, "a").is(&marked(Some(3), "a")));
        assert!(!marked(None, "a").is(&marked(Some(3), "b")));
        assert!(!marked(Some(4), "a").is(&marked(Some(3), "a")));
        assert!(!marked(None, "a").is(&DatabaseState::default()));
        let bare = DatabaseState {
            exists: true,
            ..DatabaseState::default()
        };
        assert!(!bare.is(&database(1)));
    }

    #[test]
    fn names_are_quoted() {
        let sql = renamings(&[("a\"; drop database b; --".to_owned(), "c".to_owned())]);
        assert!(
            sql.contains("alter database \"a\"\"; drop database b; --\" rename to"),
            "{sql}"
        );
    }
}
