//! A kind and its module that keep all laws, and the same with one law broken at a time.

use std::path::Path;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::registry::Registry;
use runbook_engine::resource::{Change, Kept, KeyedChange, Kind, Reversible, WriteError};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::case::{Case, PLAIN};

const SECRET: &str = "geheimes-wort";

/// The law that each breaks; none breaks none.
pub fn registries() -> Vec<(Option<u8>, Registry)> {
    vec![
        (None, registry::<0>()),
        (Some(1), registry::<1>()),
        (Some(2), registry::<2>()),
        (Some(3), registry::<3>()),
        (Some(4), registry::<4>()),
        (Some(5), registry::<5>()),
        (Some(6), registry::<6>()),
        (Some(7), registry::<7>()),
    ]
}

fn registry<const BROKEN: u8>() -> Registry {
    Registry::new()
        .kind(Note::<BROKEN>)
        .module::<NoteModule<BROKEN>>()
}

pub fn cases() -> Vec<Case> {
    vec![Case {
        module: "note",
        args: "{path: $DIR/note, text: new geheimes-wort}",
        before: "printf old > $DIR/note",
        foreign: "printf other > $DIR/note",
        secrets: &[SECRET],
        ..PLAIN
    }]
}

/// A text in a file, whose case does not count.
struct Note<const BROKEN: u8>;

fn masked(text: &str) -> String {
    text.replace(SECRET, "***")
}

#[async_trait]
impl<const BROKEN: u8> Kind for Note<BROKEN> {
    type Key = String;
    type State = String;
    type Want = String;

    const NAME: &'static str = "note";

    async fn read(&self, _: &Probe, keys: &[String]) -> Vec<Result<String, HostError>> {
        let read = |path: &String| {
            if BROKEN == 1 {
                std::fs::write(format!("{path}.read"), "").unwrap();
            }
            std::fs::read_to_string(path).map_err(|e| HostError::failed(e.to_string()))
        };
        keys.iter().map(read).collect()
    }

    fn differences(&self, want: &String, read: &String) -> Vec<String> {
        if want.eq_ignore_ascii_case(read) {
            return Vec::new();
        }
        let line = format!("{read} → {want}");
        vec![if BROKEN == 7 { line } else { masked(&line) }]
    }

    fn predict(&self, want: &String, from: &String) -> String {
        if BROKEN == 2 && want == from {
            // Wanting what is so would make something else of it.
            return format!("{want}!");
        }
        want.clone()
    }

    fn text(&self, _: &String, state: &String) -> Option<String> {
        Some(masked(state))
    }

    fn reversible(&self, _: &Change<String, String>, _: &String) -> Reversible {
        Reversible::Yes
    }

    fn back(&self, _: &String, change: &Change<String, String>) -> Option<String> {
        Some(match BROKEN {
            5 => "something else".to_owned(),
            _ => change.from.clone(),
        })
    }

    async fn write(
        &self,
        _: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        for change in changes {
            let path = Path::new(&change.key);
            let found = std::fs::read_to_string(path).unwrap();
            let (from, want) = (&change.change.from, &change.change.want);
            if found != *from && BROKEN != 6 {
                return Err(WriteError::Moved {
                    what: change.key.clone(),
                    found: masked(&found),
                });
            }
            match BROKEN {
                3 => {}
                // It says the same, but not as it was predicted.
                4 => std::fs::write(path, want.to_uppercase()).unwrap(),
                _ => std::fs::write(path, want).unwrap(),
            }
        }
        Ok(Vec::new())
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoteArgs {
    path: String,
    text: String,
}

struct NoteModule<const BROKEN: u8>;

impl<const BROKEN: u8> Module for NoteModule<BROKEN> {
    type Args = NoteArgs;

    const NAME: &'static str = "note";
    const SUMMARY: &'static str = "Writes a text.";
    const DOC: &'static str = "";

    fn touches(_: &NoteArgs) -> Footprint {
        Footprint::default()
    }

    fn want(args: &NoteArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        world.get::<Note<BROKEN>>(&args.path)?;
        Ok(Wanted::one::<Note<BROKEN>>(&args.path, &args.text))
    }
}
