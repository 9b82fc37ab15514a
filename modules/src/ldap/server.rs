//! Which directory server is meant, and as whom one speaks to it.

use runbook_engine::host::{Address, HostError, Probe};
use runbook_engine::module::Footprint;
use runbook_engine::value::Secret;
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use super::container;
use super::encrypted::Tls;
use crate::net::tls::Trust;

/// Begins the address of a server that encrypts from the beginning.
const LDAPS: &str = "ldaps://";

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
    /// How the session is encrypted; none speaks in plain, inside the connection to the host.
    #[serde(default)]
    pub tls: Option<Tls>,
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
        let of_tls = |text: &str| text.starts_with(LDAPS);
        let tls = container.or(server).is_some_and(of_tls).then_some(Tls {
            start: false,
            trust: Trust {
                validate: true,
                ca_path: None,
            },
        });
        let at = match (container, server) {
            (Some(text), None) => {
                let name = text.strip_prefix(LDAPS).unwrap_or(text);
                let (name, port) = host_port(name, default_port(text))?;
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
            tls,
        })
    }

    /// With StartTLS where `start` asks for it, and with these arguments on whom to trust.
    ///
    /// # Errors
    /// Where they do not go with each other, or with how the server is reached.
    pub fn encrypted(
        mut self,
        start: bool,
        validate: Option<bool>,
        ca_path: Option<&str>,
    ) -> Result<Self, String> {
        let on_socket = matches!(self.at, Place::Socket { .. });
        match (start, &self.tls) {
            (true, Some(_)) => {
                return Err(
                    "`start_tls` is for the plain port; ldaps:// is encrypted from the beginning"
                        .to_owned(),
                );
            }
            (true, None) if on_socket => {
                return Err("`start_tls` is for TCP; a socket leaves no host".to_owned());
            }
            (false, None) if validate.is_some() || ca_path.is_some() => {
                return Err(
                    "`validate_certs` and `ca_path` are for `start_tls: true` and for ldaps://"
                        .to_owned(),
                );
            }
            (false, None) => return Ok(self),
            (true, None) | (false, Some(_)) => {}
        }
        if validate == Some(false) && ca_path.is_some() {
            return Err(
                "`ca_path` says whom to trust, and `validate_certs: false` that it does not matter"
                    .to_owned(),
            );
        }
        self.tls = Some(Tls {
            start,
            trust: Trust {
                validate: validate.unwrap_or(true),
                ca_path: ca_path.map(str::to_owned),
            },
        });
        Ok(self)
    }

    /// The name that its certificate has to have.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.at {
            Place::Container { name, .. } => name,
            Place::Tcp { host, .. } => host,
            Place::Socket { .. } => "localhost",
        }
    }

    /// What identifies the server in ids of resources: no slash, no secret.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.at {
            Place::Container { name, port: 389 } => name.clone(),
            Place::Container { name, port: 636 } if self.is_ldaps() => name.clone(),
            Place::Container { name, port } => format!("{name}:{port}"),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Socket { path } => path.replace('/', "%2f"),
        }
    }

    fn is_ldaps(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.start)
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
    /// `host:port`, `ldap://host:port`, `ldaps://host:port`, or a socket as `/path` or `ldapi:///path`.
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
        let default = default_port(text);
        let text = text
            .strip_prefix("ldap://")
            .or_else(|| text.strip_prefix(LDAPS))
            .unwrap_or(text)
            .trim_end_matches('/');
        let (host, port) = host_port(text, default)?;
        Ok(Self::Tcp { host, port })
    }
}

fn default_port(text: &str) -> u16 {
    if text.starts_with(LDAPS) { 636 } else { 389 }
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
            ("ldaps://x", "x:636"),
            ("ldaps://x:1636/", "x:1636"),
        ] {
            assert_eq!(
                Server::from_args(None, Some(text), None, None)
                    .unwrap()
                    .id(),
                id
            );
        }
        for text in ["", "ldaps://", "ldaps:///", "a:b", "ldapi://", "a/b"] {
            assert!(
                Server::from_args(None, Some(text), None, None).is_err(),
                "{text}"
            );
        }
        assert!(Server::from_args(None, None, None, None).is_err());
        assert!(Server::from_args(Some("a"), None, Some("cn=x"), None).is_err());
    }

    #[test]
    fn encryption() {
        let of = |container: Option<&str>, server: Option<&str>| {
            Server::from_args(container, server, None, None).unwrap()
        };
        // The same entries, whichever way one comes.
        let plain = of(Some("ldap"), None);
        let ldaps = of(Some("ldaps://ldap"), None);
        assert_eq!((plain.id(), plain.tls.is_some()), (ldaps.id(), false));
        assert_eq!(
            ldaps.at,
            Place::Container {
                name: "ldap".to_owned(),
                port: 636
            }
        );
        assert!(
            ldaps
                .tls
                .as_ref()
                .is_some_and(|t| !t.start && t.trust.validate)
        );
        assert_eq!(of(Some("ldap:636"), None).id(), "ldap:636");
        let started = plain.clone().encrypted(true, None, Some("ca.pem")).unwrap();
        let tls = started.tls.unwrap();
        assert!(tls.start && tls.trust.validate && tls.trust.ca_path.is_some());
        let loose = ldaps.clone().encrypted(false, Some(false), None).unwrap();
        assert!(!loose.tls.unwrap().trust.validate);
        assert_eq!(plain.clone().encrypted(false, None, None).unwrap(), plain);
        assert_eq!(ldaps.clone().encrypted(false, None, None).unwrap(), ldaps);
        for (server, start, validate, ca_path) in [
            (ldaps.clone(), true, None, None),
            (of(None, Some("/run/ldapi")), true, None, None),
            (plain.clone(), false, Some(true), None),
            (plain, false, None, Some("ca.pem")),
            (ldaps, false, Some(false), Some("ca.pem")),
        ] {
            assert!(server.encrypted(start, validate, ca_path).is_err());
        }
    }
}
