//! The graph of a program: a node for each task on each host, and what waits for what.

mod draw;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::stable_graph::{NodeIndex, StableDiGraph};

use crate::compile::program::{Group, Item, Play, Program};

pub use draw::{Format, draw};

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Id: place in the playbook and host.
    pub id: String,
    /// Name of the task.
    pub task: String,
    /// The host.
    pub host: String,
    /// The site, if any.
    pub site: Option<String>,
    /// The play.
    pub play: String,
    /// What it is: the module, `include`, `meta`, `rescue`, `always`, `handler`.
    pub kind: String,
    /// A loop or include that unfolds in the run.
    pub unfolds: bool,
}

/// Why one node waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// Written order.
    Order,
    /// `needs`.
    Needs,
    /// A variable that the other registers.
    Data,
    /// A handler waits for its notifiers.
    Notify,
    /// `rescue` hangs off its block: it runs where the block fails.
    Rescue,
    /// `always` waits for its block and its `rescue`, however they end.
    Always,
}

impl Edge {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Needs => "needs",
            Self::Data => "data",
            Self::Notify => "notify",
            Self::Rescue => "rescue",
            Self::Always => "always",
        }
    }
}

/// The graph.
pub type Graph = StableDiGraph<Node, Edge>;

/// Ends of a part of the graph: what begins it, what ends it.
type Ends = Vec<NodeIndex>;

/// The graph of all plays. Which branches of a parallel block meet in a resource is only known when their arguments
/// are; the run keeps those in order too.
#[must_use]
pub fn build(program: &Program) -> Graph {
    let mut builder = Builder::default();
    let mut before: Ends = Vec::new();
    for play in &program.plays {
        let mut ends = Vec::new();
        for group in &play.groups {
            ends.extend(builder.play(play, group, &before));
        }
        if !ends.is_empty() {
            before = ends;
        }
    }
    builder.graph
}

/// Does the list end with a failure in any case?
fn fails(items: &[Item]) -> bool {
    match items.last() {
        Some(Item::Task(task)) => {
            task.module.name() == "fail"
                && task.common.when.is_empty()
                && task.looped.is_none()
                && task.ignore_errors.is_none()
        }
        _ => false,
    }
}

#[derive(Default)]
struct Builder {
    graph: Graph,
    /// The registration nearest above, by variable, and by host.
    registered: BTreeMap<String, Vec<NodeIndex>>,
    /// Who notifies a handler.
    notifiers: BTreeMap<String, Vec<NodeIndex>>,
}

impl Builder {
    fn edge(&mut self, from: NodeIndex, to: NodeIndex, why: Edge) {
        if from != to && self.graph.find_edge(from, to).is_none() {
            self.graph.add_edge(from, to, why);
        }
    }

    fn play(&mut self, play: &Play, group: &Group, before: &[NodeIndex]) -> Ends {
        self.notifiers.clear();
        let mut last = before.to_vec();
        for section in &play.sections {
            last = self.list(play, group, &group.hosts, section, last, Edge::Order);
            last = self.handlers(play, group, last);
        }
        last
    }

    fn handlers(&mut self, play: &Play, group: &Group, mut last: Ends) -> Ends {
        for handler in &play.handlers {
            let name = handler
                .common
                .name
                .as_ref()
                .and_then(|n| n.text())
                .unwrap_or_default()
                .to_owned();
            let mut names: BTreeSet<String> = handler.listen.iter().cloned().collect();
            names.insert(name.clone());
            names.extend(handler.common.id.clone());
            let told: Vec<NodeIndex> = names
                .iter()
                .filter_map(|n| self.notifiers.remove(n))
                .flatten()
                .collect();
            if told.is_empty() {
                continue;
            }
            let hosts: BTreeSet<String> =
                told.iter().map(|n| self.graph[*n].host.clone()).collect();
            let mut made = Vec::new();
            for host in group.hosts.iter().filter(|h| hosts.contains(*h)) {
                let node = self.node(
                    play,
                    group,
                    host,
                    &handler.common.path,
                    &name,
                    "handler",
                    false,
                );
                last.iter()
                    .for_each(|before| self.edge(*before, node, Edge::Order));
                for from in &told {
                    if self.graph[*from].host == *host {
                        if let Some(edge) = self.graph.find_edge(*from, node) {
                            self.graph[edge] = Edge::Notify;
                        } else {
                            self.edge(*from, node, Edge::Notify);
                        }
                    }
                }
                made.push(node);
            }
            if !made.is_empty() {
                last = made;
            }
        }
        last
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a node")]
    fn node(
        &mut self,
        play: &Play,
        group: &Group,
        host: &str,
        path: &str,
        task: &str,
        kind: &str,
        unfolds: bool,
    ) -> NodeIndex {
        self.graph.add_node(Node {
            id: format!("{path}@{host}"),
            task: task.to_owned(),
            host: host.to_owned(),
            site: group.site.clone(),
            play: play.name.clone(),
            kind: kind.to_owned(),
            unfolds,
        })
    }

    fn list(
        &mut self,
        play: &Play,
        group: &Group,
        hosts: &[String],
        items: &[Item],
        mut last: Ends,
        first_edge: Edge,
    ) -> Ends {
        let mut edge = first_edge;
        for item in items {
            let ends = self.item(play, group, hosts, item, &last, edge);
            if !ends.is_empty() {
                last = ends;
                edge = Edge::Order;
            }
        }
        last
    }

    /// Empty where the item is for none of the hosts.
    fn item(
        &mut self,
        play: &Play,
        group: &Group,
        hosts: &[String],
        item: &Item,
        before: &[NodeIndex],
        why: Edge,
    ) -> Ends {
        let common = item.common();
        let mut hosts: Vec<String> = hosts
            .iter()
            .filter(|h| common.hosts.as_ref().is_none_or(|only| only.contains(*h)))
            .cloned()
            .collect();
        let block = match item {
            Item::Block(block) => block,
            _ if !common.selected => return Vec::new(),
            _ => {
                if common.run_once {
                    hosts.truncate(1);
                }
                return self.leaf(play, group, &hosts, item, before, why);
            }
        };
        if hosts.is_empty() {
            return Vec::new();
        }
        let mut ends = if block.parallel {
            self.parallel(play, group, &hosts, &block.items, before)
        } else {
            self.list(play, group, &hosts, &block.items, before.to_vec(), why)
        };
        if !block.rescue.is_empty() {
            let rescued = self.list(
                play,
                group,
                &hosts,
                &block.rescue,
                ends.clone(),
                Edge::Rescue,
            );
            // Where a rescue ends with `fail`, only `always` comes behind it.
            if !block.always.is_empty() || !fails(&block.rescue) {
                ends.extend(
                    rescued
                        .into_iter()
                        .filter(|n| !ends.contains(n))
                        .collect::<Vec<_>>(),
                );
            }
        }
        if !block.always.is_empty() {
            ends = self.list(play, group, &hosts, &block.always, ends, Edge::Always);
        }
        if ends == before { Vec::new() } else { ends }
    }

    fn leaf(
        &mut self,
        play: &Play,
        group: &Group,
        hosts: &[String],
        item: &Item,
        before: &[NodeIndex],
        why: Edge,
    ) -> Ends {
        let common = item.common();
        let name = common
            .name
            .as_ref()
            .and_then(|n| n.text())
            .unwrap_or_default()
            .to_owned();
        let (kind, unfolds) = match item {
            Item::Task(task) => (task.module.name(), task.looped.is_some()),
            Item::Include(_) => ("include_tasks", true),
            Item::Meta(_) => ("meta", false),
            Item::Block(_) => ("block", false),
        };
        let shown = if name.is_empty() {
            kind.to_owned()
        } else {
            name
        };
        let mut made = Vec::new();
        for host in hosts {
            let node = self.node(play, group, host, &common.path, &shown, kind, unfolds);
            before.iter().for_each(|b| self.edge(*b, node, why));
            if let Item::Task(task) = item {
                let mut texts = Vec::new();
                crate::run::parallel::texts(&task.args, &mut texts);
                task.common
                    .when
                    .iter()
                    .for_each(|w| crate::run::parallel::texts(w, &mut texts));
                let mentioned: Vec<NodeIndex> = self
                    .registered
                    .iter()
                    .filter(|(name, _)| {
                        texts
                            .iter()
                            .any(|t| crate::run::parallel::mentions_name(t, name))
                    })
                    .flat_map(|(_, nodes)| nodes.iter().copied())
                    .collect();
                for from in mentioned {
                    if self.graph.find_edge(from, node).is_none() {
                        self.edge(from, node, Edge::Data);
                    }
                }
                for notify in task.notify.iter().filter_map(|n| n.text()) {
                    self.notifiers
                        .entry(notify.to_owned())
                        .or_default()
                        .push(node);
                }
            }
            made.push(node);
        }
        if let Item::Task(task) = item
            && let Some(register) = &task.register
        {
            self.registered.insert(register.clone(), made.clone());
        }
        made
    }

    /// Branches side by side; those with `needs` wait for the siblings that they name.
    fn parallel(
        &mut self,
        play: &Play,
        group: &Group,
        hosts: &[String],
        items: &[Item],
        before: &[NodeIndex],
    ) -> Ends {
        let mut ends: Vec<Option<Ends>> = vec![None; items.len()];
        let mut ids: BTreeMap<String, usize> = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            item.each(&mut |inner| {
                if let Some(id) = &inner.common().id {
                    ids.insert(id.clone(), at);
                }
            });
        }
        // Cycles were refused before, so each round finishes at least one branch.
        for _ in 0..items.len() {
            for (at, item) in items.iter().enumerate() {
                if ends[at].is_some() {
                    continue;
                }
                let needs: Vec<usize> = item
                    .common()
                    .needs
                    .iter()
                    .filter_map(|id| ids.get(id).copied())
                    .filter(|n| *n != at)
                    .collect();
                if needs.iter().any(|n| ends[*n].is_none()) {
                    continue;
                }
                let (from, why) = if needs.is_empty() {
                    (before.to_vec(), Edge::Order)
                } else {
                    (
                        needs
                            .iter()
                            .flat_map(|n| ends[*n].clone().unwrap_or_default())
                            .collect(),
                        Edge::Needs,
                    )
                };
                let made = self.item(play, group, hosts, item, &from, why);
                ends[at] = Some(made);
            }
        }
        let all: Ends = ends.into_iter().flatten().flatten().collect();
        if all.is_empty() { before.to_vec() } else { all }
    }
}
