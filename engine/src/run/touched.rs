//! What a task of a parallel block touches, as far as that is known when the block begins: nothing where its condition is false
//! already, of a loop what its items touch, the whole machine where its arguments are not known yet.
//!
//! What rests on a variable that the block itself sets is not known: it may be another one by then.

use std::collections::{BTreeMap, BTreeSet};

use super::frame::unknown_within;
use super::parallel::{mentions_name, texts};
use super::walk::{Here, Walk};
use crate::compile::program::{Block, Item, Layer, Task};
use crate::module::Footprint;
use crate::source::Node;
use crate::value::Value;

/// The variables that tasks of a block set.
pub(super) enum Set {
    /// These.
    Names(BTreeSet<String>),
    /// Any: tasks run in it that do not stand in it.
    Any,
}

impl Set {
    /// What is set within this block.
    pub fn within(block: &Block) -> Self {
        let mut set = BTreeSet::new();
        let mut open = false;
        for item in &block.items {
            item.each(&mut |item| match item {
                // Handlers that are called here set variables, too.
                Item::Include(_) | Item::Meta(_) => open = true,
                Item::Task(task) => set.extend(task.gives()),
                Item::Block(_) => {}
            });
        }
        if open { Self::Any } else { Self::Names(set) }
    }
}

impl Walk {
    /// The footprint of a task on a host; `set` is what the block sets.
    pub(super) fn touched(&self, task: &Task, host: &str, here: &Here, set: &Set) -> Footprint {
        if !task.module.needs_host() {
            return Footprint::nothing();
        }
        let layers = &task.common.layers;
        let lasts = |nodes: &[&Node]| !self.rests_on(nodes, host, here, layers, set);
        let conditions: Vec<&Node> = task.common.when.iter().collect();
        if lasts(&conditions)
            && let Ok(Some(_)) = self.frame(host, here, layers, &[]).truth(&task.common.when)
        {
            return Footprint::nothing();
        }
        let Some(looped) = &task.looped else {
            return self.touched_with(task, host, here, &[]);
        };
        let items = self.frame(host, here, layers, &[]).value(&looped.items);
        let items = match items {
            Ok(Value::List(items)) if lasts(&[&looped.items]) => items,
            _ => return Footprint::everything(),
        };
        let mut all = Footprint::nothing();
        for (index, item) in items.into_iter().enumerate() {
            let vars = looped.vars(index, item);
            let one = self.touched_with(task, host, here, &vars);
            all.everything |= one.everything;
            all.reads.extend(one.reads);
            all.writes.extend(one.writes);
        }
        all
    }

    fn touched_with(
        &self,
        task: &Task,
        host: &str,
        here: &Here,
        item: &[(String, Value)],
    ) -> Footprint {
        let frame = self.frame(host, here, &task.common.layers, item);
        match frame.arguments(task) {
            Ok(args) if unknown_within(&args).is_none() => task
                .module
                .prepare(&args)
                .map_or_else(|_| Footprint::everything(), |ready| ready.touches()),
            _ => Footprint::everything(),
        }
    }

    /// Do these texts mention one of the variables that are set, or variables that do? A mention too many only costs time.
    fn rests_on(
        &self,
        nodes: &[&Node],
        host: &str,
        here: &Here,
        layers: &[Layer],
        set: &Set,
    ) -> bool {
        let names = match set {
            Set::Any => return !nodes.is_empty(),
            Set::Names(names) if names.is_empty() => return false,
            Set::Names(names) => names,
        };
        let all = self.texts_behind(nodes, host, here, layers);
        names
            .iter()
            .any(|name| all.iter().any(|text| mentions_name(text, name)))
    }

    /// All texts that may go into these: their own, those of variables that they mention, and of variables that these mention.
    pub(super) fn texts_behind(
        &self,
        nodes: &[&Node],
        host: &str,
        here: &Here,
        layers: &[Layer],
    ) -> Vec<String> {
        let (mut found, mut all) = (Vec::new(), Vec::new());
        nodes.iter().for_each(|node| texts(node, &mut found));
        let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let vars = self.shared.hosts.vars.get(host);
        let of_host = vars
            .iter()
            .flat_map(|v| v.inventory.iter().chain([&v.extra]));
        let of_play = self
            .play
            .iter()
            .flat_map(|p| p.defaults.iter().chain(&p.layers));
        let of_task = here.layers.iter().chain(layers);
        for (name, node) in of_host.chain(of_play).chain(of_task).flat_map(|l| l.iter()) {
            texts(node, left.entry(name.clone()).or_default());
        }
        while let Some(text) = found.pop() {
            let mentioned: Vec<String> = left
                .keys()
                .filter(|name| mentions_name(&text, name))
                .cloned()
                .collect();
            for name in mentioned {
                found.extend(left.remove(&name).unwrap_or_default());
            }
            all.push(text);
        }
        all
    }
}
