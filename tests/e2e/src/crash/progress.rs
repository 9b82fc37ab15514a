//! How far a run has come, as its journal tells.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::trial::call;
use crate::Scene;

/// Records that are written whenever a run goes on, or once more when something is done again.
const REPEATED: [&str; 2] = ["run-resumed", "secrets"];

/// The records of these runs that tell of something new, in their order, each by its host, its node and what it is.
///
/// # Errors
/// The journal cannot be read.
pub fn of(scene: &Scene, runs: &[String]) -> Result<Vec<String>> {
    let mut records: Vec<String> = Vec::new();
    for run in runs {
        let log = call(scene, &["log", run, "--output", "json"], 0)?;
        for line in log.out.lines() {
            let line: Value = serde_json::from_str(line)?;
            let part = |name: &str| line[name].as_str().with_context(|| format!("no {name}"));
            let (host, node, what) = (part("host")?, part("node")?, part("record")?);
            let record = format!("{host} {node} {what}");
            if !REPEATED.contains(&what) && !records.contains(&record) {
                records.push(record);
            }
        }
    }
    Ok(records)
}

/// Which node waits for which, as `runbook graph` tells of the playbook.
#[derive(Debug, Default)]
pub struct Order {
    /// Each node with all that come behind it.
    behind: BTreeMap<String, BTreeSet<String>>,
}

impl Order {
    /// Of the call that is carried out.
    ///
    /// # Errors
    /// The graph cannot be drawn.
    pub fn of(scene: &Scene, play: &[&str]) -> Result<Self> {
        let mut args = vec!["graph"];
        let words = play.iter().skip(1).copied();
        args.extend(words.filter(|word| *word != "-y"));
        args.extend(["--format", "json"]);
        let drawn = call(scene, &args, 0)?;
        Self::read(&serde_json::from_str(&drawn.out)?)
    }

    fn read(graph: &Value) -> Result<Self> {
        let list = |name: &str| graph[name].as_array().with_context(|| format!("no {name}"));
        let text = |of: &Value, name: &str| of[name].as_str().map(str::to_owned);
        let mut next: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in list("nodes")? {
            next.insert(
                text(node, "id").context("a node without an id")?,
                Vec::new(),
            );
        }
        for edge in list("edges")? {
            let ends = text(edge, "from").zip(text(edge, "to"));
            let (from, to) = ends.context("an edge without ends")?;
            next.entry(from).or_default().push(to);
        }
        let behind = next.keys().map(|from| {
            let mut reached = BTreeSet::new();
            let mut ahead: Vec<&String> = next[from].iter().collect();
            while let Some(node) = ahead.pop() {
                if reached.insert(node.clone()) {
                    ahead.extend(next.get(node).into_iter().flatten());
                }
            }
            (from.clone(), reached)
        });
        Ok(Self {
            behind: behind.collect(),
        })
    }

    /// The node of the graph that a record belongs to: an item of its loop is `TASK@HOST#2`, and what it unfolds into is
    /// called after it, `TASK/0@HOST`.
    fn node<'a>(&'a self, record: &str) -> Option<&'a str> {
        let (mut path, host) = record.split(' ').nth(1)?.split_once('@')?;
        let host = host.split('#').next()?;
        loop {
            let id = format!("{path}@{host}");
            if let Some((id, _)) = self.behind.get_key_value(&id) {
                return Some(id);
            }
            path = path.rsplit_once('/')?.0;
        }
    }

    /// Neither of two nodes waits for the other.
    fn side_by_side(&self, one: &str, other: &str) -> bool {
        let waits = |first: &str, then: &str| self.behind[first].contains(then);
        one != other && !waits(one, other) && !waits(other, one)
    }

    /// Those of a journal's records behind which nothing stands but what goes side by side with them: the last one of each
    /// branch. Which of those is the very last is up to chance.
    pub fn last(&self, records: &[String]) -> Vec<String> {
        let nodes: Vec<Option<&str>> = records.iter().map(|r| self.node(r)).collect();
        let is_last = |at: &usize| {
            nodes[at + 1..].iter().all(|later| {
                let both = nodes[*at].zip(*later);
                both.is_some_and(|(one, later)| self.side_by_side(one, later))
            })
        };
        let last = (0..records.len()).filter(is_last);
        last.map(|at| records[at].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_branch_has_a_last_record() {
        let ids = ["0/a@h", "0/p/l0@h", "0/p/l1@h", "0/p/r@h", "0/z@h"];
        let edge = |from: usize, to: usize| serde_json::json!({"from": ids[from], "to": ids[to]});
        let graph = serde_json::json!({
            "nodes": ids.map(|id| serde_json::json!({"id": id})),
            "edges": [edge(0, 1), edge(1, 2), edge(0, 3), edge(2, 4), edge(3, 4)],
        });
        let order = Order::read(&graph).unwrap();
        let last = |records: &[&str]| {
            let records: Vec<String> = records.iter().map(|&r| r.to_owned()).collect();
            order.last(&records)
        };
        assert_eq!(last(&["  run-started"]), ["  run-started"]);
        assert_eq!(
            last(&["h 0/a@h node-finished", "h 0/p/l0@h node-finished"]),
            ["h 0/p/l0@h node-finished"]
        );
        // An item is of its task, and what is on the other side does not come behind it.
        let beside = [
            "h 0/p/l0@h node-finished",
            "h 0/p/l1/3@h#2 action-intended",
            "h 0/p/r@h action-intended",
            "h 0/p/r@h action-finished",
        ];
        assert_eq!(last(&beside), [beside[1], beside[3]]);
        let joined = [&beside[..], &["h 0/z@h node-finished"]].concat();
        assert_eq!(last(&joined), ["h 0/z@h node-finished"]);
        // Of what is not in the graph nobody knows that it goes side by side with anything.
        let unknown = [&beside[..], &["h 9/x@h node-finished"]].concat();
        assert_eq!(last(&unknown), ["h 9/x@h node-finished"]);
    }
}
