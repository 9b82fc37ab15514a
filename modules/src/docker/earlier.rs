//! Taking a change of a container back: what to want so that it is what it was, and what is lost on the way. Pure.

use runbook_engine::resource::{Change, Reversible};

use super::aside::goes_when_it_stops;
use super::spec;
use super::state::{ContainerState, ContainerWant, Doing, Earlier, Wanted};

type Changed = Change<ContainerState, ContainerWant>;

/// What becomes of the container when the change is made.
enum Fate {
    /// There was none.
    None,
    /// It stays, and is changed.
    Stays,
    /// It is put aside.
    Aside,
    /// It is removed, and with it what it has written inside itself.
    Removed,
}

fn fate(change: &Changed) -> Fate {
    let from = &change.from;
    let removed = change.want.state == Wanted::Absent;
    let goes = goes_when_it_stops(from) && from.running;
    if !from.exists {
        Fate::None
    } else if !removed && spec::differences(&change.want, from).anew.is_empty() {
        if goes && !change.to.running {
            Fate::Removed
        } else {
            Fate::Stays
        }
    } else if goes || from.is_composed() || (removed && removes_volumes(&change.want, from)) {
        Fate::Removed
    } else {
        Fate::Aside
    }
}

/// Removing it removes volumes that nobody has named.
pub(super) fn removes_volumes(want: &ContainerWant, from: &ContainerState) -> bool {
    want.remove_volumes && from.mounts.iter().any(|m| m.anonymous)
}

/// What to want so that the state before comes again.
pub(super) fn back(change: &Changed) -> ContainerWant {
    let (from, want) = (&change.from, &change.want);
    let mut back = ContainerWant {
        state: match from.doing() {
            _ if !from.exists => Wanted::Absent,
            Doing::Running | Doing::Paused => Wanted::Started,
            Doing::Stopped => Wanted::Stopped,
        },
        healthy: want.healthy.clone(),
        within: want.within,
        stop_timeout: want.stop_timeout,
        ..ContainerWant::default()
    };
    if from.exists {
        back.save.clone_from(&want.save);
        back.earlier = Some(Box::new(Earlier {
            state: from.clone(),
            aside: matches!(fate(change), Fate::Aside),
        }));
    }
    back
}

/// Can it be taken back, and what is lost?
pub(super) fn reversible(change: &Changed) -> Reversible {
    let inside = "what it has written inside itself";
    match fate(change) {
        Fate::None | Fate::Aside => Reversible::Yes,
        Fate::Removed if removes_volumes(&change.want, &change.from) => {
            Reversible::Loses(format!("what its anonymous volumes hold, and {inside}"))
        }
        Fate::Removed if change.from.is_composed() => Reversible::Loses(inside.to_owned()),
        Fate::Removed => {
            Reversible::Loses(format!("{inside} (it is made to be removed when it stops)"))
        }
        Fate::Stays => match spec::differences(&back(change), &change.to).anew.as_slice() {
            [] => Reversible::Yes,
            lines => Reversible::Loses(format!(
                "{inside}: {} would need a new container",
                lines.join(", ")
            )),
        },
    }
}
