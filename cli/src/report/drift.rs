//! What is no longer as a plan found it, for people and as events.

use std::sync::Arc;

use runbook_engine::run::event::{Event, Sink};
use runbook_engine::run::plan::Drift;

use super::{note, say_error, terminal::coloured};
use crate::conduct::{Output, RunArgs};

/// Tells of it, and that nothing was done.
pub fn tell(drift: Vec<Drift>, run: &RunArgs, sink: &Arc<dyn Sink>) {
    if run.output == Output::Json {
        drift.into_iter().for_each(|one| sink.event(event(one)));
        return;
    }
    for one in &drift {
        say_error(&line(one));
        if run.diff
            && let Some(diff) = &one.diff
        {
            note(coloured(diff, 4).trim_end());
        }
    }
    note(
        "A host has changed since the plan was made. Nothing has been changed; look at it, and make a new plan.",
    );
}

/// Host, resource and task, and what differs.
pub fn line(one: &Drift) -> String {
    let lines = one.lines.join("; ");
    match &one.resource {
        Some(resource) => format!("{}: {resource} (\"{}\"): {lines}", one.host, one.task),
        None => format!("{}: \"{}\": {lines}", one.host, one.task),
    }
}

/// As an event.
pub fn event(one: Drift) -> Event {
    Event::Drifted {
        host: one.host,
        task: one.task,
        resource: one.resource,
        changes: one.lines,
        diff: one.diff,
    }
}
