//! How far a run has come, as its journal tells.

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
