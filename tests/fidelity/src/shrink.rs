//! A playbook with a wrong prediction made as small as it can be while the prediction stays wrong.

use serde_json::Value;

use crate::script::Script;
use crate::trial::{Place, of_script};

/// How many trials are spent on one playbook.
const TRIALS: usize = 150;

/// The smaller playbook; the same one where nothing can go.
#[must_use]
pub fn shrunk(script: &Script, half_done: bool, module: &str, place: &Place) -> Script {
    let mut left = TRIALS;
    let mut smallest = script.clone();
    let mut still_wrong = |candidate: &Script| {
        let Some(fewer) = left.checked_sub(1) else {
            return false;
        };
        left = fewer;
        // A playbook that is refused, because it lacks what was taken away, shows nothing.
        of_script(candidate, half_done, place)
            .is_ok_and(|c| c.wrong.iter().any(|w| w.module == module))
    };
    loop {
        let size = weight(&smallest);
        for candidate in smaller(&smallest) {
            if weight(&candidate) < weight(&smallest) && still_wrong(&candidate) {
                smallest = candidate;
                break;
            }
        }
        if weight(&smallest) == size {
            return smallest;
        }
    }
}

fn weight(script: &Script) -> usize {
    let lists = [&script.tasks, &script.handlers];
    let included = script.included.iter().map(|(_, tasks)| tasks);
    let tasks: usize = lists
        .into_iter()
        .chain(included)
        .flatten()
        .map(|t| t.to_string().len())
        .sum();
    let lines = script.before.iter().chain(&script.damage);
    let files = script.files.iter().map(|(_, content)| content);
    tasks
        + script.done
        + script.included.len()
        + lines.chain(files).map(|text| text.len() + 1).sum::<usize>()
}

/// Every way to take something away, the large ones first.
fn smaller(script: &Script) -> Vec<Script> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Script)| {
        let mut copy = script.clone();
        change(&mut copy);
        all.push(copy);
    };
    let count = script.tasks.len();
    let mut part = count.div_ceil(2);
    while part >= 1 {
        for from in (0..count).step_by(part).rev() {
            add(&|s| {
                let to = (from + part).min(count);
                s.tasks.drain(from..to);
                s.done -= s.done.min(to) - s.done.min(from);
            });
        }
        if part == 1 {
            break;
        }
        part = part.div_ceil(2);
    }
    add(&|s| s.handlers.clear());
    add(&|s| s.damage.clear());
    add(&|s| s.included.clear());
    add(&|s| s.files.clear());
    for at in 0..script.handlers.len() {
        add(&|s| {
            s.handlers.remove(at);
        });
    }
    for at in 0..script.before.len() {
        add(&|s| {
            s.before.remove(at);
        });
    }
    for at in 0..script.damage.len() {
        add(&|s| {
            s.damage.remove(at);
        });
    }
    for at in 0..script.included.len() {
        add(&|s| {
            s.included.remove(at);
        });
        for task in without_parts(&script.included[at].1) {
            add(&|s| s.included[at].1.clone_from(&task));
        }
    }
    if script.done > 0 {
        add(&|s| s.done = 0);
        add(&|s| s.done -= 1);
    }
    for tasks in without_parts(&script.tasks) {
        if tasks.len() == count {
            add(&|s| s.tasks.clone_from(&tasks));
        }
    }
    for handlers in without_parts(&script.handlers) {
        add(&|s| s.handlers.clone_from(&handlers));
    }
    all
}

/// The list without one of its tasks, or with one that lacks a keyword, an argument or a task of a block.
fn without_parts(tasks: &[Value]) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        let mut shorter = tasks.to_vec();
        shorter.remove(at);
        all.push(shorter);
        for smaller in smaller_values(task) {
            let mut changed = tasks.to_vec();
            changed[at] = smaller;
            all.push(changed);
        }
    }
    all
}

fn smaller_values(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let mut without = map.clone();
                without.shift_remove(key);
                all.push(Value::Object(without));
                for smaller in smaller_values(inner) {
                    let mut changed = map.clone();
                    changed.insert(key.clone(), smaller);
                    all.push(Value::Object(changed));
                }
            }
        }
        Value::Array(list) => {
            for at in 0..list.len() {
                let mut without = list.clone();
                without.remove(at);
                all.push(Value::Array(without));
                for smaller in smaller_values(&list[at]) {
                    let mut changed = list.clone();
                    changed[at] = smaller;
                    all.push(Value::Array(changed));
                }
            }
        }
        _ => {}
    }
    all
}
