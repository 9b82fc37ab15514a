//! A plan as a file: what anybody may read, and the sealed rest.
//!
//! The file is one JSON object. Beside what it is, where it comes from, and the SHA-256 of every file that went into it,
//! it holds `sealed`: the tasks, the states that they rest on and the call with its values, compressed, encrypted with the
//! key of the journal, in base64. Within it the readable part stands once more, so that an altered file is not taken for
//! a plan.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Bound, Plan};
use crate::journal::Sealer;
use crate::run::event::TaskReport;
use crate::run::local::hash_of;

/// The format that this version writes and reads.
const FORMAT: u32 = 1;
/// Texts from this length on stand once in the sealed part, however often a state holds them.
const LONG: usize = 256;
/// What stands in place of such a text: a mapping with this one name, and its number.
const STANDS_FOR: &str = "\u{1}text";
/// No more than this is unpacked, bytes.
const LARGEST: u64 = 4 << 30;

/// What anybody may read of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The format, by which such a file is known.
    pub runbook_plan: u32,
    /// Version of runbook that made it.
    pub version: String,
    /// Its id; the run that applies it has it too.
    pub id: String,
    /// When it was made, RFC 3339.
    pub made: String,
    /// By whom, `user@machine`.
    pub by: String,
    /// The folder it was made in: relative paths are meant from here.
    pub folder: PathBuf,
    /// The playbooks, as given.
    pub playbooks: Vec<String>,
    /// The inventories, as given.
    pub inventory: Vec<String>,
    /// What else was given, as words; values of variables are sealed.
    pub call: Vec<String>,
    /// Tasks by status.
    pub tasks: BTreeMap<String, usize>,
    /// SHA-256 of every file that went into it, by path.
    pub files: BTreeMap<String, String>,
}

/// A plan that was written to a file or is to be.
#[derive(Debug, Clone)]
pub struct SavedPlan {
    /// What anybody may read of it.
    pub head: Head,
    /// The call, as the command line needs it to make the same again.
    pub call: Json,
    /// What was predicted.
    pub plan: Plan,
}

/// Why a plan cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file.
    #[error("{path} cannot be {what}: {reason}")]
    File {
        /// Its path.
        path: String,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// It is none.
    #[error("{path} is no plan: {reason}")]
    NoPlan {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// A newer version made it.
    #[error(
        "{path} is a plan of format {format}, which runbook {version} made; this version reads format {FORMAT}. Use the \
         version that made it, or make a new plan"
    )]
    Newer {
        /// Its path.
        path: String,
        /// Its format.
        format: u32,
        /// The version that made it.
        version: String,
    },
    /// The key.
    #[error(
        "{path} cannot be opened: it was sealed with another key, or is damaged. A plan can be applied and shown only \
         where the key is with which it was made (by {by}); it is looked for in {key}, or where RUNBOOK_KEY_FILE says"
    )]
    Sealed {
        /// Its path.
        path: String,
        /// Who made it.
        by: String,
        /// Where the key is looked for.
        key: String,
    },
    /// What can be read is not what was sealed.
    #[error("{path} was altered after it was made; make a new plan")]
    Altered {
        /// Its path.
        path: String,
    },
}

/// The file.
#[derive(Serialize, Deserialize)]
struct File {
    #[serde(flatten)]
    head: Head,
    sealed: String,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Body {
    head: Head,
    call: Json,
    tasks: Vec<Planned>,
    rescues: Vec<(String, Planned)>,
    #[serde(default)]
    goes_back: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Planned {
    report: TaskReport,
    bound: Option<Bound>,
}

/// [`Body`] with its long texts taken out.
#[derive(Serialize, Deserialize)]
struct Packed {
    body: Json,
    texts: Vec<String>,
}

impl Planned {
    fn of(report: &TaskReport) -> Self {
        Self {
            report: report.clone(),
            bound: report.bound.as_deref().cloned(),
        }
    }

    fn report(self) -> TaskReport {
        TaskReport {
            bound: self.bound.map(Arc::new),
            ..self.report
        }
    }
}

impl Head {
    /// What can be read of a plan without its key. `None`: the file is something else, or there is none.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        let file: File = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        Some(file.head)
    }

    /// The files that are no longer what they were, and how, by path. Relative paths are meant from the plan's folder.
    #[must_use]
    pub fn other_files(&self) -> Vec<(String, String)> {
        let differs = |(path, hash): (&String, &String)| {
            let why = match hash_of(&self.folder.join(path)) {
                Ok(now) if now == *hash => return None,
                Ok(_) => "is no longer what it was".to_owned(),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => "is gone".to_owned(),
                Err(e) => format!("cannot be read: {e}"),
            };
            Some((path.clone(), why))
        };
        self.files.iter().filter_map(differs).collect()
    }

    /// Where `used`, the files that were used just now, are others than those of the plan, by path.
    #[must_use]
    pub fn other_than(&self, used: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let changed = used.iter().filter_map(|(path, hash)| {
            let why = match self.files.get(path) {
                Some(planned) if planned == hash => return None,
                Some(_) => "is no longer what it was",
                None => "did not go into the plan",
            };
            Some((path.clone(), why.to_owned()))
        });
        changed.collect()
    }
}

impl SavedPlan {
    /// Writes it, for its owner alone; the file is there as a whole or not at all. A plan that is there is replaced, any
    /// other file is not.
    ///
    /// # Errors
    /// It cannot be written, or the place is taken by something else.
    pub fn write(&self, path: &Path, sealer: &Sealer) -> Result<(), PlanError> {
        let cannot = |reason: String| PlanError::File {
            path: path.display().to_string(),
            what: "written",
            reason,
        };
        if path.symlink_metadata().is_ok() && Head::read(path).is_none() {
            return Err(cannot(
                "something that is no plan is there already; name another file, or remove it"
                    .to_owned(),
            ));
        }
        let file = File {
            head: self.head.clone(),
            sealed: STANDARD
                .encode(sealer.seal(&self.packed().map_err(|e| cannot(e.to_string()))?)),
        };
        let mut text = serde_json::to_string_pretty(&file).map_err(|e| cannot(e.to_string()))?;
        text.push('\n');
        replace(path, text.as_bytes()).map_err(|e| cannot(e.to_string()))
    }

    /// Reads one.
    ///
    /// # Errors
    /// It cannot be read, is none, is of another format, was altered, or was sealed with another key.
    pub fn read(path: &Path, sealer: &Sealer, key: &Path) -> Result<Self, PlanError> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| PlanError::File {
            path: shown.clone(),
            what: "read",
            reason: e.to_string(),
        })?;
        let no_plan = |reason: String| PlanError::NoPlan {
            path: shown.clone(),
            reason,
        };
        let json: Json = serde_json::from_slice(&bytes).map_err(|e| no_plan(e.to_string()))?;
        let format = json.get("runbook_plan").and_then(Json::as_u64);
        let format = format.ok_or_else(|| no_plan("it does not say `runbook_plan`".to_owned()))?;
        let format = u32::try_from(format).unwrap_or(u32::MAX);
        if format != FORMAT {
            let version = json.get("version").and_then(Json::as_str);
            return Err(PlanError::Newer {
                path: shown,
                format,
                version: version.unwrap_or("of another version").to_owned(),
            });
        }
        let file: File = serde_json::from_value(json).map_err(|e| no_plan(e.to_string()))?;
        let sealed = || PlanError::Sealed {
            path: shown.clone(),
            by: file.head.by.clone(),
            key: key.display().to_string(),
        };
        let closed = STANDARD.decode(&file.sealed).map_err(|_| sealed())?;
        let open = sealer.open(&closed).map_err(|_| sealed())?;
        let body = unpacked(&open).map_err(|e| no_plan(e.to_string()))?;
        if body.head != file.head {
            return Err(PlanError::Altered { path: shown });
        }
        let report = |(block, planned): (String, Planned)| (block, planned.report());
        Ok(Self {
            head: body.head,
            call: body.call,
            plan: Plan {
                tasks: body.tasks.into_iter().map(Planned::report).collect(),
                rescues: body.rescues.into_iter().map(report).collect(),
                goes_back: body.goes_back,
                warnings: body.warnings,
            },
        })
    }

    fn packed(&self) -> std::io::Result<Vec<u8>> {
        let rescues = self.plan.rescues.iter();
        let mut body = serde_json::to_value(Body {
            head: self.head.clone(),
            call: self.call.clone(),
            tasks: self.plan.tasks.iter().map(Planned::of).collect(),
            rescues: rescues
                .map(|(block, task)| (block.clone(), Planned::of(task)))
                .collect(),
            goes_back: self.plan.goes_back.clone(),
            warnings: self.plan.warnings.clone(),
        })?;
        let mut texts = indexmap::IndexSet::new();
        take_out(&mut body, &mut texts);
        let packed = Packed {
            body,
            texts: texts.into_iter().collect(),
        };
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&serde_json::to_vec(&packed)?)?;
        encoder.finish()
    }
}

fn unpacked(bytes: &[u8]) -> std::io::Result<Body> {
    let mut text = Vec::new();
    DeflateDecoder::new(bytes)
        .take(LARGEST)
        .read_to_end(&mut text)?;
    let Packed { mut body, texts } = serde_json::from_slice(&text)?;
    put_back(&mut body, &texts);
    Ok(serde_json::from_value(body)?)
}

fn take_out(json: &mut Json, texts: &mut indexmap::IndexSet<String>) {
    match json {
        Json::String(text) if text.len() >= LONG => {
            let (number, _) = texts.insert_full(std::mem::take(text));
            *json = serde_json::json!({ STANDS_FOR: number });
        }
        Json::Array(items) => items.iter_mut().for_each(|item| take_out(item, texts)),
        Json::Object(map) => map.values_mut().for_each(|value| take_out(value, texts)),
        _ => {}
    }
}

fn put_back(json: &mut Json, texts: &[String]) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(|item| put_back(item, texts)),
        Json::Object(map) => {
            let number = map.get(STANDS_FOR).and_then(Json::as_u64);
            match number.and_then(|n| texts.get(usize::try_from(n).ok()?)) {
                Some(text) => *json = Json::String(text.clone()),
                None => map.values_mut().for_each(|value| put_back(value, texts)),
            }
        }
        _ => {}
    }
}

/// Writes beside and renames over.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        // What could not take its place is of no use to anyone.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

impl Plan {
    /// Tasks by status.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for task in &self.tasks {
            *counts.entry(task.status.word().to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Head {
    /// The format that this version writes.
    pub const FORMAT: u32 = FORMAT;
}
