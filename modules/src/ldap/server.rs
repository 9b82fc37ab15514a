//! Which directory server is meant, and as whom one speaks to it.

use runbook_engine::host::{Address, HostError, Probe};
use runbook_engine::module::Footprint;
use runbook_engine::value::Secret;
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use super::container;

/// A directory server and the name one binds with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where it listens, as seen from the host.
    pub at: Place,
    /// The name to bind with; none binds by the socket's credentials (SASL EXTERNAL) on a socket, and not at all
    /// elsewhere.
    pub bind_dn: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// Where a directory server listens.
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

impl Server {
    /// From the arguments that the directory modules have in common.
    ///
    /// # Errors
    /// Where not exactly one of `container` and `server` is given, or `server` cannot be understood.
    pub fn from_args(
        container: Option<&str>,
        server: Option<&str>,
        bind_dn: Option<&str>,
        password: Option<&Secret>,
    ) -> Result<Self, String> {
        let at = match (container, server) {
            (Some(name), None) => {
                let (name, port) = host_port(name, 389)?;
                Place::Container { name, port }
            }
            (None, Some(text)) => Place::parse(text)?,
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
        if bind_dn.is_some() != password.is_some() {
            return Err("`bind_dn` and `password` go together".to_owned());
        }
        Ok(Self {
            at,
            bind_dn: bind_dn.map(str::to_owned),
            password: password.cloned(),
        })
    }

    /// What identifies the server in ids of resources: no slash, no secret.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.at {
            Place::Container { name, port: 389 } => name.clone(),
            Place::Container { name, port } => format!("{name}:{port}"),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Socket { path } => path.replace('/', "%2f"),
        }
    }

    /// The server for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.at {
            Place::Container { name, .. } => format!("the directory in container {name}"),
            Place::Tcp { host, port } => format!("the directory at {host}:{port}"),
            Place::Socket { path } => format!("the directory at {path}"),
        }
    }

    /// Where it is to be reached now.
    ///
    /// # Errors
    /// Where the container does not run or has no address.
    pub async fn address(&self, probe: &Probe) -> Result<Address, HostError> {
        Ok(match &self.at {
            Place::Container { name, port } => container::address(probe, name, *port).await?,
            Place::Tcp { host, port } => Address::Tcp(host.clone(), *port),
            Place::Socket { path } => Address::Unix(path.clone()),
        })
    }

    /// What predicted changes of its container mean for a reading of now.
    #[must_use]
    pub fn predicted(&self, world: &Predicted<'_>) -> Through {
        match &self.at {
            Place::Container { name, .. } => container::through(name, world),
            Place::Tcp { .. } | Place::Socket { .. } => Through::Same,
        }
    }

    /// Does a change of this resource end the validity of what was read from the server?
    #[must_use]
    pub fn is_container(&self, written: &runbook_engine::resource::Ref) -> bool {
        matches!(&self.at, Place::Container { name, .. } if written.kind == container::KIND && written.id == *name)
    }

    /// With what has to be read to reach it.
    #[must_use]
    pub fn within(&self, footprint: Footprint) -> Footprint {
        match &self.at {
            Place::Container { name, .. } => footprint.reads(container::KIND, name.clone()),
            Place::Tcp { .. } | Place::Socket { .. } => footprint,
        }
    }
}

impl Place {
    /// `host:port`, `ldap://host:port`, or a socket as `/path` or `ldapi:///path`.
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("ldapi://") {
            let path = path.replace("%2F", "/").replace("%2f", "/");
            let path = if path.starts_with("//") {
                path[1..].to_owned()
            } else {
                path
            };
            return if path.starts_with('/') && path.len() > 1 {
                Ok(Self::Socket { path })
            } else {
                Err(format!(
                    "`{text}` names no socket; write its path, as in `/run/slapd/ldapi`"
                ))
            };
        }
        if text.starts_with('/') {
            return Ok(Self::Socket {
                path: text.to_owned(),
            });
        }
        if text.starts_with("ldaps://") {
            return Err("ldaps is not spoken; name the plain port, which is reached through the host's own encrypted \
                        connection"
                .to_owned());
        }
        let text = text
            .strip_prefix("ldap://")
            .unwrap_or(text)
            .trim_end_matches('/');
        let (host, port) = host_port(text, 389)?;
        Ok(Self::Tcp { host, port })
    }
}

fn host_port(text: &str, default: u16) -> Result<(String, u16), String> {
    let bad = || format!("`{text}` is no `HOST` or `HOST:PORT`");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| bad())?)
        }
        _ => (text, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains('/') {
        return Err(bad());
    }
    Ok((host.to_owned(), port))
}

/// What is known of a server behind predicted changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Through {
    /// It will be as it is.
    Same,
    /// It keeps its data, on this assumption.
    Assuming(String),
    /// Not known, and why.
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, id) in [
            ("localhost", "localhost:389"),
            ("ldap://10.0.0.1:1389/", "10.0.0.1:1389"),
            ("[::1]:389", "::1:389"),
            ("/run/slapd/ldapi", "%2frun%2fslapd%2fldapi"),
            ("ldapi://%2Frun%2Fslapd%2Fldapi", "%2frun%2fslapd%2fldapi"),
            ("ldapi:///run/slapd/ldapi", "%2frun%2fslapd%2fldapi"),
        ] {
            assert_eq!(
                Server::from_args(None, Some(text), None, None)
                    .unwrap()
                    .id(),
                id
            );
        }
        for text in ["", "ldaps://x", "a:b", "ldapi://", "a/b"] {
            assert!(
                Server::from_args(None, Some(text), None, None).is_err(),
                "{text}"
            );
        }
        assert!(Server::from_args(None, None, None, None).is_err());
        assert!(Server::from_args(Some("a"), None, Some("cn=x"), None).is_err());
    }
}
