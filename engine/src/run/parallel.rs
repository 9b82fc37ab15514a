//! In which order the branches of a parallel block go.
//!
//! A branch waits for the siblings that its `needs` names, for siblings before it that meet it in a resource of the
//! same machine (one writes what the other reads or writes), and for the sibling before it that sets a variable
//! which it mentions, be it through another variable; never for one that needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::touched::Set;
use super::walk::{Here, Walk};
use crate::compile::program::{Block, Item};
use crate::module::Footprint;
use crate::source::{Kind, Node};

/// What a branch touches and mentions.
#[derive(Default)]
struct Branch {
    ids: BTreeSet<String>,
    needs: BTreeSet<String>,
    registers: BTreeSet<String>,
    texts: BTreeSet<String>,
    /// By machine (or host, where it is not connected).
    touches: BTreeMap<String, Vec<Footprint>>,
}

impl Walk {
    /// For each branch, the branches that it waits for.
    pub(super) async fn branch_order(
        &self,
        block: &Block,
        hosts: &[String],
        here: &Here,
    ) -> Vec<Vec<usize>> {
        let set = Set::within(block);
        let mut branches = Vec::with_capacity(block.items.len());
        for item in &block.items {
            branches.push(self.branch(item, hosts, here, &set).await);
        }
        let meets = |a: &Branch, b: &Branch| {
            a.touches.iter().any(|(machine, mine)| {
                let theirs = b.touches.get(machine);
                theirs.is_some_and(|theirs| mine.iter().any(|x| theirs.iter().any(|y| x.meets(y))))
            })
        };
        let all = 0..branches.len();
        let needed: Vec<Vec<usize>> = all
            .clone()
            .map(|at| {
                let needs = |other: &usize| !branches[at].needs.is_disjoint(&branches[*other].ids);
                all.clone().filter(|o| *o != at && needs(o)).collect()
            })
            .collect();
        all.clone()
            .map(|at| {
                let mine = &branches[at];
                let waits = |other: &usize| {
                    let theirs = &branches[*other];
                    // Who is needed by the one before it does not wait for that one.
                    let earlier = *other < at && !is_reached(&needed, *other, at);
                    needed[at].contains(other)
                        || (earlier && (meets(mine, theirs) || mentions(mine, theirs)))
                };
                all.clone().filter(waits).collect()
            })
            .collect()
    }

    async fn branch(&self, item: &Item, hosts: &[String], here: &Here, set: &Set) -> Branch {
        let mut branch = Branch::default();
        let mut tasks = Vec::new();
        item.each(&mut |inner| {
            branch.ids.extend(inner.common().id.clone());
            branch.needs.extend(inner.common().needs.iter().cloned());
            for host in hosts {
                let conditions: Vec<&Node> = inner.common().when.iter().collect();
                let layers = &inner.common().layers;
                let texts = self.texts_behind(&conditions, host, here, layers);
                branch.texts.extend(texts);
            }
            if let Item::Task(task) = inner {
                tasks.push(task.clone());
            }
        });
        let mut includes = false;
        item.each(&mut |inner| includes |= matches!(inner, Item::Include(_)));
        for host in hosts {
            let machine = match self.shared.fleet.link(host).await {
                Ok(link) => link.machine.clone(),
                Err(_) => host.clone(),
            };
            if includes
                && item
                    .common()
                    .hosts
                    .as_ref()
                    .is_none_or(|only| only.contains(host))
            {
                branch
                    .touches
                    .entry(machine.clone())
                    .or_default()
                    .push(Footprint::everything());
            }
            for task in &tasks {
                if task
                    .common
                    .hosts
                    .as_ref()
                    .is_some_and(|only| !only.contains(host))
                {
                    continue;
                }
                let touched = self.touched(task, host, here, set);
                branch
                    .touches
                    .entry(machine.clone())
                    .or_default()
                    .push(touched);
            }
        }
        for task in &tasks {
            branch.registers.extend(task.gives());
            let looped = task.looped.iter().map(|looped| &looped.items);
            let said = [&task.changed_when, &task.failed_when];
            let said = said.into_iter().flatten().flatten();
            let one = [&task.delegate_to, &task.become_user, &task.ignore_errors];
            let nodes: Vec<&Node> = looped
                .chain([&task.args])
                .chain(said)
                .chain(one.into_iter().flatten())
                .chain(&task.until)
                .chain(&task.environment)
                .collect();
            for host in hosts {
                let texts = self.texts_behind(&nodes, host, here, &task.common.layers);
                branch.texts.extend(texts);
            }
        }
        branch
    }
}

/// Does one need the other, at once or through others?
fn is_reached(needed: &[Vec<usize>], from: usize, to: usize) -> bool {
    let (mut ahead, mut seen) = (vec![from], BTreeSet::new());
    while let Some(at) = ahead.pop() {
        if needed[at].contains(&to) {
            return true;
        }
        ahead.extend(needed[at].iter().copied().filter(|next| seen.insert(*next)));
    }
    false
}

/// Every text in a tree that may hold a template.
pub(crate) fn texts(node: &Node, found: &mut Vec<String>) {
    match &node.kind {
        Kind::Scalar { text, .. } => found.push(text.clone()),
        Kind::Value(_) | Kind::Encrypted(_) => {}
        Kind::Seq(items) => items.iter().for_each(|n| texts(n, found)),
        Kind::Map(entries) => entries.iter().for_each(|(_, n)| texts(n, found)),
    }
}

/// Does a branch mention a variable that the other registers? A mention too many only costs time.
fn mentions(mine: &Branch, theirs: &Branch) -> bool {
    theirs
        .registers
        .iter()
        .any(|name| mine.texts.iter().any(|text| mentions_name(text, name)))
}

/// Does the name stand in the text as a word?
pub(crate) fn mentions_name(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !word(text[..at].chars().next_back()) && !word(text[at + name.len()..].chars().next())
    })
}
