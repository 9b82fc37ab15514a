//! A kind and its module that keep all laws, and the same with one law broken at a time.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, Effects, Outcome};
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::registry::Registry;
use runbook_engine::resource::{Change, Kept, KeyedChange, Kind, Reversible, WriteError};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::case::{Case, PLAIN};

/// What is wanted, what is there, and what somebody else writes.
const SECRETS: [&str; 3] = ["geheimes-wort", "altes-wort", "fremdes-wort"];
/// Where a read writes that breaks the first law outside the folder of its case.
const OUTSIDE: &str = "/tmp/runbook-law-broken";

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
        (Some(8), registry::<8>()),
        // In what is found in place of a state, in an output, in an action's output, in its error.
        (Some(7), registry::<9>()),
        (Some(7), registry::<10>()),
        (Some(7), registry::<11>()),
        (Some(7), registry::<12>()),
        (Some(1), registry::<13>()),
        // One that sees no drift, and one that sees nothing else.
        (Some(9), registry::<14>()),
        (Some(9), registry::<15>()),
    ]
}

/// Removes what was written outside.
pub fn clear() {
    let folder = Path::new(OUTSIDE).parent().unwrap();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().to_string_lossy().starts_with(OUTSIDE) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn registry<const BROKEN: u8>() -> Registry {
    Registry::new()
        .kind(Note::<BROKEN>)
        .module::<NoteModule<BROKEN>>()
        .module::<SayModule<BROKEN>>()
        .action(Say::<BROKEN>)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            module: "note",
            args: "{path: $DIR/note, text: new geheimes-wort}",
            before: "printf 'old altes-wort' > $DIR/note",
            foreign: "printf 'other fremdes-wort' > $DIR/note",
            secrets: &SECRETS,
            ..PLAIN
        },
        Case {
            module: "note_say",
            args: "{text: new geheimes-wort}",
            secrets: &SECRETS,
            ..PLAIN
        },
    ]
}

/// A text in a file, whose case does not count.
struct Note<const BROKEN: u8>;

fn masked(text: &str) -> String {
    SECRETS
        .iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
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
            if BROKEN == 13 {
                static NUMBER: AtomicU32 = AtomicU32::new(0);
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let id = std::process::id();
                std::fs::write(format!("{OUTSIDE}-{id}-{number}"), "").unwrap();
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

    fn drifted(&self, _: &String, _: Option<&String>, was: &String, now: &String) -> Vec<String> {
        let differs = !was.eq_ignore_ascii_case(now);
        if (differs && BROKEN != 14) || BROKEN == 15 {
            vec![masked(&format!("{was} → {now}"))]
        } else {
            Vec::new()
        }
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
                    found: if BROKEN == 9 { found } else { masked(&found) },
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

    fn touches(args: &NoteArgs) -> Footprint {
        match BROKEN {
            8 => Footprint::nothing(),
            _ => Footprint::nothing().writes("note", &args.path),
        }
    }

    fn output(args: &NoteArgs, _: &View<'_>, after: &View<'_>) -> IndexMap<String, Value> {
        let read = after.get::<Note<BROKEN>>(&args.path).unwrap_or_default();
        let shown = if BROKEN == 10 { read } else { masked(&read) };
        IndexMap::from([("text".to_owned(), Value::Str(shown))])
    }

    fn want(args: &NoteArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        world.get::<Note<BROKEN>>(&args.path)?;
        Ok(Wanted::one::<Note<BROKEN>>(&args.path, &args.text))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SayArgs {
    text: String,
}

struct SayModule<const BROKEN: u8>;

impl<const BROKEN: u8> Module for SayModule<BROKEN> {
    type Args = SayArgs;

    const NAME: &'static str = "note_say";
    const SUMMARY: &'static str = "Says a text.";
    const DOC: &'static str = "";

    fn touches(_: &SayArgs) -> Footprint {
        Footprint::nothing()
    }

    fn want(args: &SayArgs, _: &View<'_>) -> Result<Wanted, Stop> {
        let summary = masked(&args.text);
        Ok(Wanted::action::<Say<BROKEN>>(
            &args.text,
            Effects::Opaque,
            summary,
        ))
    }
}

struct Say<const BROKEN: u8>;

#[async_trait]
impl<const BROKEN: u8> ActionKind for Say<BROKEN> {
    type Call = String;

    const NAME: &'static str = "say";

    async fn run(&self, _: &Target, call: &String, _: &ActionRun) -> Result<Outcome, ActionError> {
        if BROKEN == 12 {
            return Err(ActionError::Failed(call.clone()));
        }
        let said = if BROKEN == 11 {
            call.clone()
        } else {
            masked(call)
        };
        Ok(Outcome {
            changed: true,
            failed: None,
            output: IndexMap::from([("said".to_owned(), Value::Str(said))]),
        })
    }
}
