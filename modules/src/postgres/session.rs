//! Sessions with a database, through the connection to its host.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use runbook_engine::host::{Address, HostError, Probe};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::server::Server;

/// How long one reading may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a server that has just been started may refuse connections.
const STARTING: Duration = Duration::from_secs(5);

/// A session for reading, kept for the whole run: the server itself refuses it any write.
pub struct Session {
    client: Mutex<Client>,
    name: String,
}

impl Session {
    /// The session with this database under this name, made at first use.
    ///
    /// # Errors
    /// Where the server cannot be reached or refuses.
    pub async fn of(probe: &Probe, server: &Server) -> Result<Arc<Self>, HostError> {
        let name = format!("{:?} {} {}", probe.user(), server.user, server.id());
        let make = || async {
            let client = connect(probe, server, Access::Read).await?;
            Ok(Self {
                client: Mutex::new(client),
                name: name.clone(),
            })
        };
        let session = probe.session(&name, make).await?;
        if !session.client.lock().await.is_closed() {
            return Ok(session);
        }
        session.forget(probe).await;
        probe.session(&name, make).await
    }

    /// Drops this session, so that the next use makes a new one.
    pub async fn forget(&self, probe: &Probe) {
        probe.forget::<Self>(&self.name).await;
    }

    /// The connection, for one transaction.
    pub async fn client(&self) -> MutexGuard<'_, Client> {
        self.client.lock().await
    }
}

/// Reads with the kept session; once more with a new one where the old one has broken (a server that was replaced).
///
/// # Errors
/// Where the server cannot be reached, refuses, or does not answer in time.
pub async fn reading<T, F>(probe: &Probe, server: &Server, read: F) -> Result<T, HostError>
where
    F: for<'c> Fn(&'c Client) -> BoxFuture<'c, Result<T, tokio_postgres::Error>>,
{
    for attempt in 0..2 {
        let session = Session::of(probe, server).await?;
        let client = session.client().await;
        let answer = tokio::time::timeout(DEADLINE, in_transaction(&client, &read)).await;
        match answer {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) if error.as_db_error().is_none() && attempt == 0 => {
                drop(client);
                session.forget(probe).await;
            }
            Ok(Err(error)) => {
                let broken = error.as_db_error().is_none();
                drop(client);
                if broken {
                    session.forget(probe).await;
                }
                return Err(HostError::failed(format!(
                    "{} cannot be read: {}",
                    server.shown(),
                    told(&error)
                )));
            }
            Err(_) => {
                drop(client);
                session.forget(probe).await;
                return Err(HostError::failed(format!(
                    "{} did not answer within {} s",
                    server.shown(),
                    DEADLINE.as_secs()
                )));
            }
        }
    }
    Err(HostError::failed(format!(
        "{} closes every connection",
        server.shown()
    )))
}

async fn in_transaction<T, F>(client: &Client, read: &F) -> Result<T, tokio_postgres::Error>
where
    F: for<'c> Fn(&'c Client) -> BoxFuture<'c, Result<T, tokio_postgres::Error>>,
{
    client
        .batch_execute("begin isolation level repeatable read read only")
        .await?;
    let found = read(client).await;
    let end = client.batch_execute("rollback").await;
    let found = found?;
    end?;
    Ok(found)
}

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The server refuses writes.
    Read,
    /// It may write.
    Write,
}

/// A new connection.
///
/// # Errors
/// Where the server cannot be reached or refuses.
pub async fn connect(probe: &Probe, server: &Server, access: Access) -> Result<Client, HostError> {
    let started = tokio::time::Instant::now();
    loop {
        match attempt(probe, server, access).await {
            Err(Opening::Again(message)) if started.elapsed() < STARTING => {
                tracing::debug!(%message, "the database does not answer yet");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(Opening::Again(message)) => return Err(HostError::failed(message)),
            Err(Opening::Never(error)) => return Err(error),
            Ok(client) => return Ok(client),
        }
    }
}

enum Opening {
    /// Perhaps the server is only starting.
    Again(String),
    Never(HostError),
}

async fn attempt(probe: &Probe, server: &Server, access: Access) -> Result<Client, Opening> {
    let shown = server.shown();
    let address = server.address(probe).await.map_err(Opening::Never)?;
    let stream = match probe.open(&address).await {
        Ok(stream) => stream,
        Err(HostError::Failed(why)) => {
            return Err(Opening::Again(format!("{shown} cannot be reached: {why}")));
        }
        Err(error) => return Err(Opening::Never(error)),
    };
    let mut config = Config::new();
    config
        .user(&server.user)
        .dbname(&server.database)
        .application_name("runbook");
    if let Some(password) = &server.password {
        config.password(password.expose());
    }
    // Literals are written in the standard way, and what is read comes in one encoding.
    let mut options = "-c standard_conforming_strings=on -c client_encoding=UTF8".to_owned();
    if access == Access::Read {
        options.push_str(" -c default_transaction_read_only=on");
    }
    config.options(options);
    let connecting = config.connect_raw(stream, NoTls);
    let (client, connection) = match tokio::time::timeout(DEADLINE, connecting).await {
        Err(_) => {
            return Err(Opening::Again(format!(
                "{shown} did not answer within {} s",
                DEADLINE.as_secs()
            )));
        }
        Ok(Err(error)) => return Err(refused(server, &address, &error)),
        Ok(Ok(pair)) => pair,
    };
    tokio::spawn(async move {
        // An end of the connection is found by the next use of its client.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a database ended");
        }
    });
    Ok(client)
}

fn refused(server: &Server, address: &Address, error: &tokio_postgres::Error) -> Opening {
    let shown = server.shown();
    let Some(code) = error.code() else {
        // A server that is starting inside a container may accept and close at once.
        let text = format!(
            "{shown} does not speak as PostgreSQL at {address:?}: {}",
            told(error)
        );
        return if error.is_closed()
            || text.contains("connection closed")
            || text.contains("unexpected end")
        {
            Opening::Again(text)
        } else {
            Opening::Never(HostError::failed(text))
        };
    };
    let text = told(error);
    if *code == SqlState::CANNOT_CONNECT_NOW {
        return Opening::Again(format!("{shown} does not accept connections yet: {text}"));
    }
    let advice = if *code == SqlState::INVALID_PASSWORD
        || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        format!("; is the password of {} right?", server.user)
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        "; is `database` right?".to_owned()
    } else {
        String::new()
    };
    Opening::Never(HostError::failed(format!(
        "{shown} refuses user {}: {text}{advice}",
        server.user
    )))
}

/// An error in the server's own words: message, detail, hint, code.
#[must_use]
pub fn told(error: &tokio_postgres::Error) -> String {
    let Some(db) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        return text;
    };
    let mut text = format!("{}: {} ({})", db.severity(), db.message(), db.code().code());
    if let Some(detail) = db.detail() {
        text.push_str(&format!("; {detail}"));
    }
    if let Some(hint) = db.hint() {
        text.push_str(&format!("; hint: {hint}"));
    }
    text
}

/// The rows that a simple query gave, as texts.
#[must_use]
pub fn texts(messages: &[SimpleQueryMessage]) -> Vec<Vec<Option<String>>> {
    messages
        .iter()
        .filter_map(|m| match m {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|i| row.get(i).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        })
        .collect()
}

/// A text as a literal of SQL.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}
