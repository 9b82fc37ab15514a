//! How to reach a host: from the inventory's variables and the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use runbook_engine::inventory::{Inventory, SshOptions};
use runbook_engine::run::redact::Redactor;
use runbook_engine::source::Node;
use runbook_engine::template::{Engine, Scope};
use runbook_engine::transport::ssh::{HostKeys, Passphrases, SshSettings};
use runbook_engine::value::{Secret, Value};

use crate::call::HostArgs;
use crate::question;

/// What to do where nobody can be asked for a password.
const INSTEAD: &str =
    "put the password into the inventory, encrypted by `runbook vault encrypt_string`";

/// A way to a host.
pub enum Way {
    /// This machine.
    Local,
    /// SSH.
    Ssh(Box<SshSettings>),
}

/// What a person has typed in when asked.
#[derive(Clone)]
pub struct Asked {
    /// `-k`.
    pub password: Option<Secret>,
    /// `-K`.
    pub become_password: Option<Secret>,
    /// For keys that have one: asked for when a server wants the key.
    pub passphrases: Arc<Passphrases>,
}

impl Asked {
    /// Asks for what `-k` and `-K` want. A passphrase is asked for on the terminal once a server wants its key; where
    /// there is no terminal there is none, and the refusal names the key.
    ///
    /// # Errors
    /// There is no terminal to ask on.
    pub fn on_terminal(hosts: &HostArgs, redactor: &Arc<Redactor>) -> anyhow::Result<Self> {
        let redactor = redactor.clone();
        Ok(Self {
            password: hosts
                .ask_pass
                .then(|| question::secret("Password", INSTEAD))
                .transpose()?,
            become_password: hosts
                .ask_become_pass
                .then(|| question::secret("Password for sudo", INSTEAD))
                .transpose()?,
            passphrases: Arc::new(Passphrases::new(move |key| {
                let given = question::secret(&format!("Passphrase of {key}"), INSTEAD).ok()?;
                redactor.add(given.expose());
                Some(given)
            })),
        })
    }
}

/// Connection variables of one host, rendered.
pub struct Vars {
    scope: Scope,
    engine: Arc<Engine>,
    layers: Vec<runbook_engine::inventory::Vars>,
    folder: PathBuf,
}

impl Vars {
    /// Of a host. `extra` are the variables of `-e`.
    pub fn new(
        inventory: &Inventory,
        host: &str,
        extra: &runbook_engine::compile::program::Layer,
        engine: &Arc<Engine>,
    ) -> Self {
        let mut layers = inventory.vars_of(host);
        layers.push(extra.as_ref().clone());
        let mut scope = Scope::default();
        let own = indexmap::IndexMap::from([(
            "inventory_hostname".to_owned(),
            Value::Str(host.to_owned()),
        )]);
        scope.push_values(Arc::new(own));
        layers
            .iter()
            .for_each(|l| scope.push_nodes(Arc::new(l.clone())));
        let folder = inventory
            .hosts
            .get(host)
            .map(|h| h.folder.clone())
            .unwrap_or_default();
        Self {
            scope,
            engine: engine.clone(),
            layers,
            folder,
        }
    }

    fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.layers.iter().rev().find_map(|l| l.get(name))
    }

    /// A variable as text, under the first of these names that is set.
    pub fn text(&self, names: &[&str]) -> Result<Option<String>, String> {
        for name in names {
            if let Some(node) = self.node(name) {
                let value = self.engine.value(&self.scope, node).map_err(|errors| {
                    let first = errors
                        .first()
                        .map(|e| e.message.clone())
                        .unwrap_or_default();
                    format!("the variable `{name}`: {first}")
                })?;
                return Ok(match value {
                    Value::Null => None,
                    Value::Int(n) => Some(n.to_string()),
                    other => other.as_str().map(str::to_owned),
                });
            }
        }
        Ok(None)
    }

    /// A path, relative to the inventory's folder; `~` is the home of who calls.
    fn path(&self, names: &[&str]) -> Result<Option<PathBuf>, String> {
        Ok(self.text(names)?.map(|text| {
            if let Some(rest) = text.strip_prefix("~/") {
                return std::env::var_os("HOME")
                    .map_or_else(|| PathBuf::from(&text), |h| Path::new(&h).join(rest));
            }
            let path = Path::new(&text);
            if path.is_absolute() {
                path.to_owned()
            } else {
                self.folder.join(path)
            }
        }))
    }

    /// The way to the host.
    pub fn way(&self, host: &str, args: &HostArgs, asked: &Asked) -> Result<Way, String> {
        let connection = self.text(&["ansible_connection"])?;
        match connection.as_deref() {
            Some("local") => return Ok(Way::Local),
            None if host == "localhost" => return Ok(Way::Local),
            None | Some("ssh" | "smart" | "paramiko" | "paramiko_ssh") => {}
            Some(other) => {
                return Err(format!(
                    "`ansible_connection: {other}` is not there; there are `ssh` and `local`"
                ));
            }
        }
        let port = match self.text(&["ansible_port", "ansible_ssh_port"])? {
            Some(text) => Some(
                text.parse()
                    .map_err(|_| format!("`ansible_port: {text}` is not a port"))?,
            ),
            None => None,
        };
        let common = self
            .text(&["ansible_ssh_common_args", "ansible_ssh_extra_args"])?
            .unwrap_or_default();
        let options = SshOptions::parse(&common)?;
        let jump = match self.text(&["jump"])?.or(options.jump) {
            Some(text) => text
                .split(',')
                .map(|j| j.trim().to_owned())
                .filter(|j| !j.is_empty())
                .collect(),
            None => Vec::new(),
        };
        let password = self
            .text(&["ansible_password", "ansible_ssh_pass"])?
            .map(Secret::new);
        let key = self.path(&["ansible_ssh_private_key_file", "ansible_private_key_file"])?;
        Ok(Way::Ssh(Box::new(SshSettings {
            name: host.to_owned(),
            address: self
                .text(&["ansible_host", "ansible_ssh_host"])?
                .unwrap_or_else(|| host.to_owned()),
            port,
            user: self
                .text(&["ansible_user", "ansible_ssh_user"])?
                .or_else(|| args.user.clone()),
            key: args.private_key.clone().or(key),
            passphrase: self
                .text(&["ansible_ssh_passphrase", "ansible_private_key_passphrase"])?
                .map(Secret::new),
            passphrases: asked.passphrases.clone(),
            password: asked.password.clone().or(password),
            become_password: self.become_password(asked)?,
            host_keys: HostKeys {
                known_hosts: self.path(&["known_hosts"])?.or(options.known_hosts),
                fingerprint: self.text(&["host_key"])?,
                accept_new: args.accept_new || options.accept_new,
            },
            jump,
            use_config: true,
            ..SshSettings::default()
        })))
    }

    /// The password that sudo wants.
    pub fn become_password(&self, asked: &Asked) -> Result<Option<Secret>, String> {
        let given = self.text(&[
            "ansible_become_password",
            "ansible_become_pass",
            "ansible_sudo_pass",
        ])?;
        Ok(given
            .map(Secret::new)
            .or_else(|| asked.become_password.clone()))
    }
}
