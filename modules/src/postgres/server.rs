//! Which database is meant, and as whom one speaks to it.

use runbook_engine::host::{Address, HostError, Probe};
use runbook_engine::resource::{Kind as _, Ref};
use runbook_engine::value::Secret;
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use super::container;
use super::container::Through;
use super::database_kind::PgDatabase;
use crate::docker::{Container, address_of};

/// A database of a server, and the user one logs in as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where it listens, as seen from the host.
    pub at: Place,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// The password; none where the server does not ask for one.
    pub password: Option<Secret>,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In the container of this name on the host.
    Container {
        /// Name of the container.
        name: String,
        /// Port inside it.
        port: u16,
    },
    /// At a TCP address as seen from the host.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// At a Unix socket on the host.
    Socket {
        /// Its path.
        path: String,
    },
}

const PORT: u16 = 5432;

impl Server {
    /// From the arguments that the database modules have in common.
    ///
    /// # Errors
    /// Where not exactly one of `container` and `server` is given, or one cannot be understood.
    pub fn from_args(
        container: Option<&str>,
        server: Option<&str>,
        database: &str,
        user: &str,
        password: Option<&Secret>,
    ) -> Result<Self, String> {
        let at = match (container, server) {
            (Some(text), None) => {
                let (name, port) = host_port(text)?;
                Place::Container { name, port }
            }
            (None, Some(text)) if text.starts_with('/') => {
                // As for psql, a folder stands for the socket of the usual port in it.
                let socket = text
                    .rsplit('/')
                    .next()
                    .is_some_and(|name| name.starts_with(".s.PGSQL."));
                let path = if socket {
                    text.to_owned()
                } else {
                    format!("{}/.s.PGSQL.{PORT}", text.trim_end_matches('/'))
                };
                Place::Socket { path }
            }
            (None, Some(text)) => {
                let (host, port) = host_port(text)?;
                Place::Tcp { host, port }
            }
            (Some(_), Some(_)) => {
                return Err("`container` and `server` both name the server; give one".to_owned());
            }
            (None, None) => {
                return Err(
                    "the server is not named; give `container: NAME` or `server: HOST:PORT`"
                        .to_owned(),
                );
            }
        };
        for (name, value) in [("database", database), ("user", user)] {
            if value.is_empty() || value.contains('\0') {
                return Err(format!("`{name}` is empty"));
            }
        }
        Ok(Self {
            at,
            database: database.to_owned(),
            user: user.to_owned(),
            password: password.cloned(),
        })
    }

    /// What identifies the database in ids of resources: `db/pacsdb`.
    #[must_use]
    pub fn id(&self) -> String {
        let place = match &self.at {
            Place::Container { name, port: PORT } => name.clone(),
            Place::Container { name, port } => format!("{name}:{port}"),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Socket { path } => path.replace('/', "%2f"),
        };
        format!("{place}/{}", self.database.replace('/', "%2f"))
    }

    /// Another database of the same server.
    #[must_use]
    pub fn other(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// The database for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let place = match &self.at {
            Place::Container { name, .. } => format!("in container {name}"),
            Place::Tcp { host, port } => format!("at {host}:{port}"),
            Place::Socket { path } => format!("at {path}"),
        };
        format!("database {} {place}", self.database)
    }

    /// Where it is to be reached now.
    ///
    /// # Errors
    /// Where the container does not run or has no address.
    pub async fn address(&self, probe: &Probe) -> Result<Address, HostError> {
        Ok(match &self.at {
            Place::Container { name, port } => address_of(probe, name, *port).await?,
            Place::Tcp { host, port } => Address::Tcp(host.clone(), *port),
            Place::Socket { path } => Address::Unix(path.clone()),
        })
    }

    /// What predicted changes mean for a reading of now: of its container, and of which database has its name.
    #[must_use]
    pub fn predicted(&self, world: &Predicted<'_>) -> Through {
        let id = self.id();
        let mut renamed = world.of_those::<PgDatabase>(|other| other == id);
        if let Some((.., task)) = renamed.next() {
            return Through::Unknown(format!("until \"{task}\""));
        }
        match &self.at {
            Place::Container { name, .. } => container::through(name, world),
            Place::Tcp { .. } | Place::Socket { .. } => Through::Same,
        }
    }

    /// Does a change of this resource end the validity of what was read from the database?
    #[must_use]
    pub fn is_touched_by(&self, written: &Ref) -> bool {
        self.is_container(written) || (written.kind == PgDatabase::NAME && written.id == self.id())
    }

    /// Is this the container of the server?
    #[must_use]
    pub fn is_container(&self, written: &Ref) -> bool {
        self.container()
            .is_some_and(|name| written.kind == Container::NAME && written.id == name)
    }

    /// The name of its container.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        match &self.at {
            Place::Container { name, .. } => Some(name),
            Place::Tcp { .. } | Place::Socket { .. } => None,
        }
    }
}

fn host_port(text: &str) -> Result<(String, u16), String> {
    let bad = || format!("`{text}` is no `NAME` or `NAME:PORT`");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| bad())?)
        }
        _ => (text, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains('/') {
        Err(bad())
    } else {
        Ok((host.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_places() {
        for (container, server, id) in [
            (Some("db"), None, "db/pacsdb"),
            (Some("db:5433"), None, "db:5433/pacsdb"),
            (None, Some("localhost"), "localhost:5432/pacsdb"),
            (None, Some("[::1]:1"), "::1:1/pacsdb"),
            (
                None,
                Some("/run/postgresql"),
                "%2frun%2fpostgresql%2f.s.PGSQL.5432/pacsdb",
            ),
            (None, Some("/x/.s.PGSQL.1"), "%2fx%2f.s.PGSQL.1/pacsdb"),
        ] {
            assert_eq!(
                Server::from_args(container, server, "pacsdb", "pacs", None)
                    .unwrap()
                    .id(),
                id
            );
        }
        for (container, server) in [
            (None, None),
            (Some("a"), Some("b")),
            (Some("a:x"), None),
            (None, Some("")),
        ] {
            assert!(Server::from_args(container, server, "d", "u", None).is_err());
        }
        assert!(Server::from_args(Some("a"), None, "", "u", None).is_err());
    }
}
