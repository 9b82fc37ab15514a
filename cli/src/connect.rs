//! Connects to the hosts of an inventory.

use std::collections::BTreeMap;
use std::sync::Arc;

use runbook_engine::compile::program::Layer;
use runbook_engine::diag::Severity;
use runbook_engine::host::{Connection, HostError};
use runbook_engine::inventory::{self, Inventory};
use runbook_engine::run::hosts::{Connector, Fleet};
use runbook_engine::run::redact::Redactor;
use runbook_engine::source::Sources;
use runbook_engine::template::Engine;
use runbook_engine::transport::{local, ssh};
use runbook_engine::value::Secret;

use crate::call::HostArgs;
use crate::settings::{Asked, Vars, Way};
use crate::{lookup, report};

/// Ways to all hosts.
pub struct Ways {
    ways: BTreeMap<String, Result<(Way, Option<Secret>), String>>,
}

impl Ways {
    /// From the inventory and the command line; secrets among them are noted.
    pub fn new(
        inventory: &Inventory,
        extra: &Layer,
        engine: &Arc<Engine>,
        args: &HostArgs,
        asked: &Asked,
        redactor: &Redactor,
    ) -> Self {
        let mut ways = BTreeMap::new();
        for host in inventory.hosts.keys() {
            let vars = Vars::new(inventory, host, extra, engine);
            let way = vars
                .way(host, args, asked)
                .and_then(|way| Ok((way, vars.become_password(asked)?)));
            if let Ok((way, become_password)) = &way {
                become_password
                    .iter()
                    .for_each(|p| redactor.add(p.expose()));
                if let Way::Ssh(settings) = way {
                    settings
                        .password
                        .iter()
                        .chain(&settings.passphrase)
                        .for_each(|p| redactor.add(p.expose()));
                }
            }
            ways.insert(host.clone(), way);
        }
        Self { ways }
    }
}

#[async_trait::async_trait]
impl Connector for Ways {
    async fn connect(&self, host: &str) -> Result<Arc<dyn Connection>, HostError> {
        match self.ways.get(host) {
            Some(Ok((Way::Local, password))) => Ok(local::connect(host, password.clone())),
            Some(Ok((Way::Ssh(settings), _))) => ssh::connect(settings.as_ref().clone()).await,
            Some(Err(message)) => Err(HostError::unreachable(format!("{host}: {message}"))),
            None if host == "localhost" || host == "127.0.0.1" => {
                Ok(local::connect("localhost", None))
            }
            None => Err(HostError::unreachable(format!(
                "{host}: it is not in the inventory"
            ))),
        }
    }
}

/// The inventory that was named, with ways to its hosts; for what needs no playbook. `None`: it is wrong, and that was
/// said.
///
/// # Errors
/// A password was to be asked for, and there is no terminal.
pub fn fleet(hosts: &HostArgs) -> anyhow::Result<Option<(Inventory, Fleet)>> {
    let sources = Sources::new();
    sources.set_keyring(Arc::new(hosts.vault.keyring()?));
    let given: Vec<String> = hosts
        .inventory
        .iter()
        .map(|i| lookup::inventory(i))
        .collect();
    let (inventory, errors) = inventory::read(&given, &sources);
    report::diagnostics(&errors, &sources);
    if errors.iter().any(|e| e.severity == Severity::Error) {
        return Ok(None);
    }
    let engine = Arc::new(Engine::new());
    let redactor = Arc::new(Redactor::default());
    sources.keyring().passwords(&mut |p| redactor.add(p));
    let asked = Asked::on_terminal(hosts, &redactor)?;
    let ways = Ways::new(
        &inventory,
        &Arc::default(),
        &engine,
        hosts,
        &asked,
        &redactor,
    );
    Ok(Some((inventory, Fleet::new(Box::new(ways)))))
}
