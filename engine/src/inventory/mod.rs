//! Hosts, groups and sites, with their variables.

mod connection;
mod ini;
mod literal;
pub(crate) mod pattern;
mod ranges;
mod read;
mod vars_files;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

pub(crate) use connection::KNOWN as CONNECTION_VARIABLES;
pub use connection::SshOptions;
pub use pattern::Pattern;
pub use read::read;
pub use vars_files::load_beside;

use crate::diag::Diagnostic;
use crate::source::{Node, Span};

/// Variables as written.
pub type Vars = IndexMap<String, Arc<Node>>;

/// All hosts of a call.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Hosts in written order.
    pub hosts: IndexMap<String, Host>,
    /// Groups in written order; `all` and `ungrouped` always exist.
    pub groups: IndexMap<String, Group>,
    /// Sites in written order.
    pub sites: IndexMap<String, Site>,
    /// Files and folders it was read from.
    pub sources: Vec<PathBuf>,
    /// Folders whose group_vars and host_vars have been read.
    loaded: BTreeSet<PathBuf>,
}

/// Variables from the three places that Ansible knows, by rising precedence.
#[derive(Debug, Clone, Default)]
struct FileVars {
    beside_inventory: Vec<Vars>,
    beside_playbook: Vec<Vars>,
}

/// A host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Its own variables in the inventory.
    pub vars: Vec<Vars>,
    files: FileVars,
    /// Nobody named it: `localhost`, which is always there and belongs to no group, not even to `all`.
    pub implicit: bool,
    /// Where it is named first.
    pub span: Option<Span>,
    /// Folder of the inventory file, which relative paths in its connection variables start from.
    pub folder: PathBuf,
}

/// A group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Hosts directly in it.
    pub hosts: IndexSet<String>,
    /// Groups in it.
    pub children: IndexSet<String>,
    /// Its variables in the inventory.
    pub vars: Vec<Vars>,
    files: FileVars,
    /// Where it is named first.
    pub span: Option<Span>,
}

/// A site: a group whose hosts are upgraded together.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// Labels for waves.
    pub labels: IndexMap<String, String>,
    /// Its hosts, in written order.
    pub hosts: IndexSet<String>,
    /// Its maintenance window as written.
    pub window: Option<Node>,
    /// Where it is named.
    pub span: Option<Span>,
}

impl Group {
    /// `ansible_group_priority`, 1 by default.
    fn priority(&self) -> i64 {
        let named = self
            .vars
            .iter()
            .rev()
            .find_map(|v| v.get("ansible_group_priority"));
        named.and_then(|n| n.text()?.parse().ok()).unwrap_or(1)
    }
}

impl Inventory {
    /// Makes sure that a group exists.
    pub fn group(&mut self, name: &str, span: Option<Span>) -> &mut Group {
        let group = self.groups.entry(name.to_owned()).or_default();
        group.span = group.span.or(span);
        group
    }

    /// Makes sure that a host exists.
    pub fn host(&mut self, name: &str, span: Option<Span>, folder: &std::path::Path) -> &mut Host {
        let host = self.hosts.entry(name.to_owned()).or_default();
        host.span = host.span.or(span);
        if host.folder.as_os_str().is_empty() {
            host.folder = folder.to_owned();
        }
        host
    }

    /// Puts every host without a group into `ungrouped`, all top groups below `all`, and looks for cycles.
    pub fn complete(&mut self, errors: &mut Vec<Diagnostic>) {
        self.group("all", None);
        self.group("ungrouped", None);
        for name in self.groups.keys().cloned().collect::<Vec<_>>() {
            if let Some(circle) = self.circle(&name) {
                let message = format!("the groups {} contain each other", circle.join(" → "));
                let mut wrong = Diagnostic::error("group-cycle", message);
                if let Some(span) = self.groups.get(&name).and_then(|g| g.span) {
                    wrong = wrong.at(span, "");
                }
                errors.push(wrong);
                return;
            }
        }
        let grouped: BTreeSet<String> = self
            .groups
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "all" | "ungrouped"))
            .flat_map(|(_, g)| g.hosts.iter().cloned())
            .collect();
        let loose: Vec<String> = self
            .hosts
            .iter()
            .filter(|(name, host)| !grouped.contains(*name) && !host.implicit)
            .map(|(name, _)| name.clone())
            .collect();
        self.group("ungrouped", None).hosts.extend(loose);
    }

    fn circle(&self, from: &str) -> Option<Vec<String>> {
        fn walk(inventory: &Inventory, at: &str, path: &mut Vec<String>) -> bool {
            if path.iter().any(|p| p == at) {
                path.push(at.to_owned());
                return true;
            }
            path.push(at.to_owned());
            for child in inventory
                .groups
                .get(at)
                .map(|g| g.children.iter())
                .into_iter()
                .flatten()
            {
                if walk(inventory, child, path) {
                    return true;
                }
            }
            path.pop();
            false
        }
        let mut path = Vec::new();
        walk(self, from, &mut path).then_some(path)
    }

    /// All hosts of a group, in inventory order.
    #[must_use]
    pub fn hosts_of(&self, group: &str) -> Vec<String> {
        if group == "all" {
            return self.named_hosts().map(str::to_owned).collect();
        }
        let mut found = BTreeSet::new();
        let mut todo = vec![group.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(name) = todo.pop() {
            if let (true, Some(group)) = (seen.insert(name.clone()), self.groups.get(&name)) {
                found.extend(group.hosts.iter().cloned());
                todo.extend(group.children.iter().cloned());
            }
        }
        self.hosts
            .keys()
            .filter(|h| found.contains(*h))
            .cloned()
            .collect()
    }

    /// All hosts that somebody named.
    pub fn named_hosts(&self) -> impl Iterator<Item = &str> {
        let named = self.hosts.iter().filter(|(_, host)| !host.implicit);
        named.map(|(name, _)| name.as_str())
    }

    /// The groups that a host is in, from `all` to the innermost; within one depth by `ansible_group_priority`, then
    /// by name: the order in which variables override each other.
    #[must_use]
    pub fn groups_of(&self, host: &str) -> Vec<String> {
        let mut found: BTreeSet<&str> = BTreeSet::from(["all"]);
        let direct = self.groups.iter().filter(|(_, g)| g.hosts.contains(host));
        let mut todo: Vec<&str> = direct.map(|(name, _)| name.as_str()).collect();
        while let Some(name) = todo.pop() {
            if found.insert(name) {
                let around = self
                    .groups
                    .iter()
                    .filter(|(_, g)| g.children.contains(name));
                todo.extend(around.map(|(name, _)| name.as_str()));
            }
        }
        let depths = self.depths();
        let mut order: Vec<(usize, i64, &str)> = found
            .into_iter()
            .map(|name| {
                let priority = self.groups.get(name).map_or(1, Group::priority);
                (depths.get(name).copied().unwrap_or(1), priority, name)
            })
            .collect();
        order.sort_unstable();
        order
            .into_iter()
            .map(|(_, _, name)| name.to_owned())
            .collect()
    }

    fn depths(&self) -> BTreeMap<String, usize> {
        let mut depths: BTreeMap<String, usize> = self
            .groups
            .keys()
            .map(|name| (name.clone(), usize::from(name != "all")))
            .collect();
        // Without cycles, as `complete` has seen to, this ends after as many rounds as groups are nested.
        for _ in 0..self.groups.len() {
            let mut changed = false;
            for (name, group) in self.groups.iter().filter(|(name, _)| *name != "all") {
                for child in &group.children {
                    let least = depths[name] + 1;
                    let depth = depths.entry(child.clone()).or_insert(1);
                    if *depth < least {
                        *depth = least;
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        depths
    }

    /// Variables of a host, lowest precedence first, in Ansible's order: what the inventory says of the groups; the
    /// files `group_vars/all`, beside the inventory and then beside the playbook; the files of the other groups, in
    /// the same way; what the inventory says of the host; the files of the host. So a file of an outer group wins over
    /// what stands in the inventory itself for an inner one.
    #[must_use]
    pub fn vars_of(&self, host: &str) -> Vec<Vars> {
        let names = self.groups_of(host);
        let groups: Vec<&Group> = names.iter().filter_map(|n| self.groups.get(n)).collect();
        let (all, others) = groups.split_at(usize::from(!groups.is_empty()));
        let mut layers: Vec<Vars> = Vec::new();
        let mut add = |vars: &Vec<Vars>| layers.extend(vars.iter().cloned());
        groups.iter().for_each(|g| add(&g.vars));
        for part in [all, others] {
            part.iter().for_each(|g| add(&g.files.beside_inventory));
            part.iter().for_each(|g| add(&g.files.beside_playbook));
        }
        if let Some(host) = self.hosts.get(host) {
            add(&host.vars);
            add(&host.files.beside_inventory);
            add(&host.files.beside_playbook);
        }
        layers
    }

    /// The site of a host.
    #[must_use]
    pub fn site_of(&self, host: &str) -> Option<&str> {
        self.sites
            .iter()
            .find(|(_, s)| s.hosts.contains(host))
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests;
