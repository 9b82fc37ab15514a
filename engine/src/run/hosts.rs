//! The hosts of a run: connected at first need, and machines found to be one share what is known of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::machine::{Base, Overlay, Seer};
use crate::host::{Connection, Cost, HostError, HostFacts, Probe, User};

/// Makes connections; given by the caller, who knows the inventory's settings, the agent and the person.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Connects to the host of this inventory name.
    async fn connect(&self, host: &str) -> Result<Arc<dyn Connection>, HostError>;
}

/// A connected host.
pub struct Link {
    /// Reads from it, as the login user.
    pub probe: Probe,
    /// What the host says of itself.
    pub facts: HostFacts,
    /// What was read from its machine.
    pub base: Arc<Mutex<Base>>,
    /// Identity of the machine.
    pub machine: String,
    connection: Arc<dyn Connection>,
}

impl Link {
    /// Who sees the machine as this user.
    #[must_use]
    pub fn seer(&self, user: User) -> Seer {
        let name = match &user {
            User::Become(name) => name.clone(),
            User::Login => self.facts.user.clone(),
        };
        Seer { user, name }
    }

    /// Reads from it, as this user (`None`: the login user).
    #[must_use]
    pub fn probe_as(&self, user: Option<&str>) -> Probe {
        Probe::new(self.connection.clone(), self.user(user))
    }

    /// The user as whom something is done: `become` to the login user is no change of user.
    #[must_use]
    pub fn user(&self, become_user: Option<&str>) -> User {
        match become_user {
            Some(name) if name != self.facts.user => User::Become(name.to_owned()),
            _ => User::Login,
        }
    }
}

/// All hosts of a run, and their machines.
pub struct Fleet {
    connector: Box<dyn Connector>,
    /// Users whose shells will be needed on every host.
    pub warm: Vec<User>,
    links: Mutex<BTreeMap<String, Arc<OnceCell<Result<Arc<Link>, HostError>>>>>,
    machines: Mutex<HashMap<String, Arc<Mutex<Base>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Link {
    /// The results of the commands in these folders are in the journal: the folders may go.
    pub fn collected(&self, user: Option<&str>, folders: &[String]) {
        self.connection.collected(&self.user(user), folders);
    }
}

impl Fleet {
    /// No host is connected yet.
    #[must_use]
    pub fn new(connector: Box<dyn Connector>) -> Self {
        Self {
            connector,
            warm: Vec::new(),
            links: Mutex::default(),
            machines: Mutex::default(),
        }
    }

    /// The host, connected at first need. A host that could not be reached stays so until [`Fleet::forget`].
    pub async fn link(&self, host: &str) -> Result<Arc<Link>, HostError> {
        let cell = lock(&self.links)
            .entry(host.to_owned())
            .or_default()
            .clone();
        cell.get_or_init(|| self.connect(host)).await.clone()
    }

    /// The machine that a host has proved to be, once it is connected.
    #[must_use]
    pub fn machine_of(&self, host: &str) -> Option<String> {
        let cell = lock(&self.links).get(host)?.clone();
        let link = cell.get()?.as_ref().ok()?;
        Some(link.machine.clone())
    }

    async fn connect(&self, host: &str) -> Result<Arc<Link>, HostError> {
        let connection = self.connector.connect(host).await?;
        // The shells that will be needed open while the first one tells of the host.
        let warm = futures::future::join_all(self.warm.iter().map(|user| connection.warm(user)));
        let (facts, _) = tokio::join!(connection.facts(), warm);
        let facts = facts?;
        let machine = facts.identity.clone();
        let base = lock(&self.machines)
            .entry(machine.clone())
            .or_default()
            .clone();
        let probe = Probe::new(connection.clone(), User::Login);
        Ok(Arc::new(Link {
            probe,
            facts,
            base,
            machine,
            connection,
        }))
    }

    /// Takes the connection up anew at the next need.
    pub async fn forget(&self, host: &str) {
        let cell = lock(&self.links).remove(host);
        if let Some(Ok(link)) = cell.as_ref().and_then(|c| c.get()) {
            link.connection.close().await;
        }
    }

    /// Removes things kept aside on a host. Gives what was removed, and why the rest was not.
    pub async fn discard(
        &self,
        registry: &crate::registry::Registry,
        host: &str,
        become_root: bool,
        kept: &[crate::resource::Kept],
    ) -> Result<(Vec<crate::resource::Kept>, Vec<String>), HostError> {
        let link = self.link(host).await?;
        let mut removed = Vec::new();
        let mut failed = Vec::new();
        for one in kept {
            let user = match &one.user {
                Some(name) => link.user(Some(name)),
                None if become_root => link.user(Some("root")),
                None => User::Login,
            };
            let target = crate::host::Target::new(link.probe.with_user(user));
            let Some(kind) = registry.find_kind(&one.kind) else {
                failed.push(format!("{}: there is no kind `{}`", one.place, one.kind));
                continue;
            };
            match kind.discard(&target, one).await {
                Ok(()) => removed.push(one.clone()),
                Err(error) => failed.push(format!("{}: {error}", one.place)),
            }
        }
        Ok((removed, failed))
    }

    /// Removes the lock that was found on the machine of a host, as its owner or as root.
    ///
    /// # Errors
    /// The host cannot be reached, or the lock belongs to another user.
    pub async fn unlock(
        &self,
        host: &str,
        become_root: bool,
        found: &crate::lock::machine::Found,
    ) -> Result<(), HostError> {
        let link = self.link(host).await?;
        let user = if become_root {
            link.user(Some("root"))
        } else {
            User::Login
        };
        let target = crate::host::Target::new(link.probe.with_user(user));
        let text = found.text.as_deref().unwrap_or_default();
        crate::lock::machine::remove(&target, text).await.map(drop)
    }

    /// The hosts that are connected.
    #[must_use]
    pub fn connected(&self) -> Vec<(String, Arc<Link>)> {
        let links = lock(&self.links);
        let found = links
            .iter()
            .filter_map(|(host, cell)| Some((host.clone(), cell.get()?.as_ref().ok()?.clone())));
        found.collect()
    }

    /// What each connected host has cost.
    #[must_use]
    pub fn costs(&self) -> BTreeMap<String, Cost> {
        self.connected()
            .into_iter()
            .map(|(host, link)| (host, link.connection.cost()))
            .collect()
    }

    /// What connections have to say of their way (a bridge in place of a forwarded socket), by host.
    #[must_use]
    pub fn notes(&self) -> BTreeMap<String, Vec<String>> {
        self.connected()
            .into_iter()
            .map(|(host, link)| (host, link.connection.notes()))
            .filter(|(_, notes)| !notes.is_empty())
            .collect()
    }

    /// Ends the validity of all that was read: a person has looked at the plan for a while.
    pub fn forget_states(&self) {
        for base in lock(&self.machines).values() {
            lock(base).forget_all();
        }
    }

    /// Is there anything on the hosts that [`Fleet::tidy`] would remove?
    pub fn is_untidy(&self) -> bool {
        let links = self.connected();
        links.iter().any(|(_, link)| link.connection.is_untidy())
    }

    /// Removes from the hosts what has served its purpose.
    pub async fn tidy(&self) {
        let links = self.connected();
        futures::future::join_all(links.iter().map(|(_, link)| link.connection.tidy())).await;
    }

    /// Closes all connections.
    pub async fn close(&self) {
        let links = self.connected();
        futures::future::join_all(links.iter().map(|(_, link)| link.connection.close())).await;
    }
}

/// The overlays of one prediction, by machine.
#[derive(Default)]
pub struct Overlays {
    by_machine: Mutex<HashMap<String, Arc<Mutex<Overlay>>>>,
}

impl Overlays {
    /// The overlay of a machine.
    #[must_use]
    pub fn of(&self, machine: &str) -> Arc<Mutex<Overlay>> {
        lock(&self.by_machine)
            .entry(machine.to_owned())
            .or_default()
            .clone()
    }

    /// A copy that goes its own way.
    #[must_use]
    pub fn fork(&self) -> Self {
        let all = lock(&self.by_machine);
        let copy = |overlay: &Arc<Mutex<Overlay>>| Arc::new(Mutex::new(lock(overlay).clone()));
        let copies = all
            .iter()
            .map(|(machine, overlay)| (machine.clone(), copy(overlay)))
            .collect();
        Self {
            by_machine: Mutex::new(copies),
        }
    }
}
