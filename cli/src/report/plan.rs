//! The plan as a person sees it before being asked.

use std::collections::BTreeMap;

use runbook_engine::journal::NodeStatus;
use runbook_engine::run::Plan;
use runbook_engine::run::event::TaskReport;

use super::terminal::{coloured, style};

/// Tasks that change something, by site or host, and what it comes to.
#[must_use]
pub fn show(plan: &Plan, diff: bool) -> String {
    let mut text = String::new();
    let mut places: Vec<&str> = Vec::new();
    for task in &plan.tasks {
        let place = place_of(task);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for place in &places {
        let of_place: Vec<&TaskReport> = plan
            .tasks
            .iter()
            .filter(|t| place_of(t) == *place)
            .collect();
        text.push_str(&format!("{place}\n"));
        for task in of_place
            .iter()
            .filter(|t| !matches!(t.status, NodeStatus::Ok | NodeStatus::Skipped))
        {
            text.push_str(&line(task));
            for note in &task.notes {
                text.push_str(&format!("             note: {note}\n"));
            }
            if diff && let Some(diff) = &task.diff {
                text.push_str(&coloured(diff, 6));
            }
        }
        let mut of_block = "";
        for (block, task) in plan.rescues.iter().filter(|(_, t)| place_of(t) == *place) {
            if of_block != block {
                text.push_str(&format!("  If \"{block}\" fails:\n"));
                of_block = block;
            }
            text.push_str(&format!("  {}", line(task)));
        }
        if let Some((first, last)) = downtime(&of_place) {
            text.push_str(&format!("  Down: from \"{first}\" to \"{last}\".\n"));
        }
    }
    let mut counts: BTreeMap<NodeStatus, usize> = BTreeMap::new();
    plan.tasks
        .iter()
        .for_each(|t| *counts.entry(t.status).or_default() += 1);
    let count = |status: NodeStatus| counts.get(&status).copied().unwrap_or(0);
    let opaque = plan.tasks.iter().filter(|t| t.opaque).count();
    let assumptions: std::collections::BTreeSet<&String> =
        plan.tasks.iter().flat_map(|t| &t.assumptions).collect();
    text.push_str(&format!(
        "Plan: {} change, {} ok, {} unknown, {} opaque, {} assumptions.",
        count(NodeStatus::Changed),
        count(NodeStatus::Ok),
        count(NodeStatus::Unknown) + count(NodeStatus::Conditional),
        opaque,
        assumptions.len()
    ));
    let ignored = plan.tasks.iter().filter(|t| t.ignored).count();
    for (amount, word) in [
        (
            count(NodeStatus::Failed).saturating_sub(ignored),
            "would fail",
        ),
        (ignored, "would fail, which is ignored"),
        (count(NodeStatus::Unreachable), "unreachable"),
        (count(NodeStatus::Left), "would be left"),
    ] {
        if amount > 0 {
            text.push_str(&format!(" {amount} {word}."));
        }
    }
    text.push('\n');
    for assumption in assumptions {
        text.push_str(&format!("Assuming: {assumption}\n"));
    }
    let opaque =
        |t: &&TaskReport| t.opaque && !matches!(t.status, NodeStatus::Ok | NodeStatus::Skipped);
    let lost: Vec<String> = plan
        .tasks
        .iter()
        .filter(|t| !t.irreversible.is_empty() || opaque(t))
        .map(|t| {
            let why = if t.irreversible.is_empty() {
                format!(
                    "`{}` may do anything, so nothing is known of a way back",
                    t.module
                )
            } else {
                t.irreversible.join("; ")
            };
            format!("  {}: {why}\n", t.task)
        })
        .collect();
    let does = |t: &&TaskReport| !matches!(t.status, NodeStatus::Ok | NodeStatus::Skipped);
    let stays: Vec<String> = plan
        .tasks
        .iter()
        .filter(|t| !t.stays.is_empty() && does(t))
        .map(|t| {
            let why: std::collections::BTreeSet<&str> =
                t.stays.iter().map(String::as_str).collect();
            let why: Vec<&str> = why.into_iter().collect();
            format!("  {}: {}\n", t.task, why.join("; "))
        })
        .collect();
    if !lost.is_empty() {
        text.push_str(&format!("Way back: all but\n{}", lost.concat()));
    } else if stays.is_empty() {
        text.push_str("Way back: all of it. ");
    } else {
        text.push_str("Way back: all but what stays.\n");
    }
    if !stays.is_empty() {
        text.push_str(&format!("Stays on the way back:\n{}", stays.concat()));
    }
    for play in &plan.goes_back {
        text.push_str(&format!(
            "If \"{play}\" fails on a host or site, what it has done there is taken back.\n"
        ));
    }
    text.push_str("Nothing has been changed.\n");
    text
}

fn place_of(task: &TaskReport) -> &str {
    task.site.as_deref().unwrap_or(&task.host)
}

fn line(task: &TaskReport) -> String {
    let style = style(task.status);
    let word = if task.status == NodeStatus::Changed {
        "change"
    } else {
        task.status.word()
    };
    let mut name = task.task.clone();
    if let Some(item) = &task.item {
        name = format!("{name} ({item})");
    }
    if task.site.as_ref().is_some_and(|_| true) && name.len() < 30 {
        name = format!("{name:<30}");
    }
    let what = match (&task.summary, task.status) {
        (
            _,
            NodeStatus::Failed
            | NodeStatus::Unreachable
            | NodeStatus::Unknown
            | NodeStatus::Conditional,
        ) => task.message.clone().unwrap_or_default(),
        (Some(summary), _) => summary.clone(),
        (None, _) => task.changes.join("; "),
    };
    let host = if task.site.is_some() {
        format!("{}: ", task.host)
    } else {
        String::new()
    };
    format!("  {style}{word:<11}{style:#} {host}{name} {what}\n")
}

/// From the task that stops a container to the last one that starts it again.
fn downtime<'a>(tasks: &[&'a TaskReport]) -> Option<(&'a str, &'a str)> {
    let stops = tasks
        .iter()
        .find(|t| t.changes.iter().any(|c| c.contains("running → stopped")))?;
    let ends = tasks.iter().rev().find(|t| {
        t.module == "docker_container" && t.status == NodeStatus::Changed && t.node != stops.node
    })?;
    Some((&stops.task, &ends.task))
}
