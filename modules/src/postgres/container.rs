//! A server inside a container: what predicted changes of the container do to what is read through it.

use runbook_engine::resource::Shadow;
use runbook_engine::world::Predicted;

use crate::docker::{Container, ContainerState};

/// Where the server's data directory is, unless `PGDATA` says otherwise (the official image).
const DATA: &str = "/var/lib/postgresql/data";

/// What is known of a server behind predicted changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Through {
    /// It will be as it is.
    Same,
    /// It keeps its data, on this assumption.
    Assuming(String),
    /// Not known, and why.
    Unknown(String),
}

impl Through {
    /// What it means for a state that was read.
    #[must_use]
    pub fn shadow<K, S>(self) -> Shadow<K, S> {
        match self {
            Self::Same => Shadow::AsRead,
            Self::Assuming(what) => Shadow::Assuming(what),
            Self::Unknown(why) => Shadow::Unknown(why),
        }
    }
}

/// A container that is started cannot be read yet, one that is stopped no longer. One that is replaced is read as it
/// is, on the assumption that what it mounts at its data directory keeps the data; without such a mount, or with
/// another one, nothing is known.
pub(super) fn through(name: &str, world: &Predicted<'_>) -> Through {
    let changes: Vec<_> = world
        .of::<Container>()
        .filter(|(key, ..)| key.name == name)
        .collect();
    let (Some((_, first, ..)), Some((_, _, last, task))) = (changes.first(), changes.last()) else {
        return Through::Same;
    };
    let until = || Through::Unknown(format!("until \"{task}\""));
    let (Some(now), Some(then)) = (first, last) else {
        return until();
    };
    if !then.running {
        return Through::Unknown(format!("container {name} does not run after \"{task}\""));
    }
    if !now.running {
        return until();
    }
    let same = now.id == then.id && !now.id.is_empty();
    match (data_mount(now), data_mount(then)) {
        _ if same => Through::Assuming(format!("container {name} keeps its data in \"{task}\"")),
        (Some(old), Some(new)) if old == new => Through::Assuming(format!(
            "container {name} keeps the data that it mounts from {old} in \"{task}\""
        )),
        (_, None) => Through::Unknown(format!(
            "\"{task}\" replaces container {name}, whose data directory is on no mount that is kept"
        )),
        _ => Through::Unknown(format!(
            "\"{task}\" gives container {name} another data directory"
        )),
    }
}

/// The source of the mount that the data directory lies in, where it outlives the container.
fn data_mount(state: &ContainerState) -> Option<String> {
    let environment = state.environment();
    let data = environment.get("PGDATA").map_or(DATA, String::as_str);
    state
        .mounts
        .iter()
        .filter(|m| !m.anonymous && !m.read_only && (m.kind == "bind" || m.kind == "volume"))
        .find(|m| {
            let target = m.target.trim_end_matches('/');
            data == target
                || data.starts_with(&format!("{target}/"))
                || target.starts_with("/var/lib/postgresql")
        })
        .map(|m| m.source.clone())
}
