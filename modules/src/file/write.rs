//! Writing files: large contents are brought to the host first, then one script makes all changes of a task.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::Rng as _;
use runbook_engine::host::{HostError, Reply, Snippet, Target};
use runbook_engine::resource::{Kept, KeyedChange, Kind as _, WriteError};
use runbook_engine::transport::quote::word;

mod recover;
mod script;

use script::{Bring, FUNCTIONS, beside, bring, script};

use super::kind::FileKind;
use super::state::{join, parent, sha256};

/// What the names of things kept aside have in common.
pub const ASIDE: &str = ".runbook-";
/// Is a thing of this name one that was kept aside?
pub(super) fn is_aside(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with('.') && name.ends_with('~') && name.contains(ASIDE)
}

/// Contents up to this many bytes travel with the script; larger ones are uploaded before it.
const WITH_SCRIPT: usize = 4 * 1024 * 1024;

/// Writes all changes, or none.
pub(super) async fn write(
    host: &Target,
    changes: &[KeyedChange<FileKind>],
) -> Result<Vec<Kept>, WriteError> {
    let nonce = hex::encode(rand::rng().random::<[u8; 8]>());
    let mut places = BTreeMap::new();
    let outcome = match upload(host, changes, &nonce, &mut places).await {
        Ok(()) => run(host, changes, &nonce, &places).await,
        Err(error) => Err(error),
    };
    if outcome.is_err() && !places.is_empty() {
        // The failure itself is what is reported; what cannot be removed now lies there under its odd name.
        let words: Vec<String> = places.values().map(|p| word(p)).collect();
        let _ = host
            .script(&format!("rm -f -- {}", words.join(" ")), None)
            .await;
    }
    outcome
}

/// Brings a write that was cut off to where it can be read and wanted again; what it keeps aside.
pub(super) async fn recover(
    host: &Target,
    changes: &[KeyedChange<FileKind>],
) -> Result<Vec<Kept>, WriteError> {
    let reply = said(host, &recover::script(changes), None).await?;
    outcome(&reply.stdout, &reply.stderr, changes)
}

async fn run(
    host: &Target,
    changes: &[KeyedChange<FileKind>],
    nonce: &str,
    places: &BTreeMap<usize, String>,
) -> Result<Vec<Kept>, WriteError> {
    let (text, stdin) = script(changes, nonce, places)?;
    let reply = said(host, &text, stdin).await?;
    outcome(&reply.stdout, &reply.stderr, changes)
}

/// Runs a script that rests on the functions of all that write files.
async fn said(host: &Target, body: &str, stdin: Option<Bytes>) -> Result<Reply, HostError> {
    let functions = FUNCTIONS;
    host.snippet(Snippet { functions, body }, stdin).await
}

/// Brings the contents that are too large for the script to the host, each beside the place where it is wanted.
async fn upload(
    host: &Target,
    changes: &[KeyedChange<FileKind>],
    nonce: &str,
    places: &mut BTreeMap<usize, String>,
) -> Result<(), WriteError> {
    let mut with_script = 0;
    for (i, keyed) in changes.iter().enumerate() {
        let path = keyed.key.path.as_str();
        let content = match bring(
            path,
            &keyed.change.from,
            &keyed.change.to,
            &keyed.change.want,
        ) {
            Some(Bring::Bytes(content)) => {
                with_script += content.len();
                if with_script <= WITH_SCRIPT {
                    continue;
                }
                with_script -= content.len();
                Bytes::copy_from_slice(content)
            }
            Some(Bring::Local {
                path: local,
                sha256: expected,
            }) => {
                let content = tokio::fs::read(local).await.map_err(|e| {
                    WriteError::failed(format!("{local} on the controller cannot be read: {e}"))
                })?;
                if sha256(&content) != expected {
                    return Err(WriteError::failed(format!(
                        "{local} on the controller is no longer what it was when this was planned; run again"
                    )));
                }
                Bytes::from(content)
            }
            _ => continue,
        };
        // A directory that is made by the same task is not there yet: go up to one that is. What an upload has left
        // whose program was killed goes.
        let beginning = beside(path, "");
        let nearest = format!(
            "(d={}; while [ ! -d \"$d\" ]; do d=${{d%/*}}; [ -n \"$d\" ] || d=/; done; \
             for f in \"${{d%/}}\"/{}*.part; do case $f in *{nonce}*) ;; *) rm -f -- \"$f\" 2>/dev/null ;; esac; done; \
             printf %s \"$d\")",
            word(parent(path)),
            word(beginning.rsplit('/').next().unwrap_or_default())
        );
        let reply = host.script(&nearest, None).await?;
        if reply.status != 0 {
            return Err(WriteError::failed(format!(
                "no directory for {path} was found: {}",
                String::from_utf8_lossy(&reply.stderr).trim()
            )));
        }
        let dir = String::from_utf8_lossy(&reply.stdout).into_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        let place = beside(&join(&dir, name), &format!("{nonce}-{i}.part"));
        places.insert(i, place.clone());
        host.upload(&place, content).await?;
    }
    Ok(())
}

/// Reads what the script said.
fn outcome(
    stdout: &[u8],
    stderr: &[u8],
    changes: &[KeyedChange<FileKind>],
) -> Result<Vec<Kept>, WriteError> {
    let text = String::from_utf8_lossy(stdout);
    let mut kept = Vec::new();
    let mut trouble = None;
    let mut left = None;
    let mut done = false;
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t');
        let (what, which, rest) = (
            fields.next().unwrap_or_default(),
            fields.next().and_then(|n| n.parse::<usize>().ok()),
            fields.next().unwrap_or_default().trim(),
        );
        let change = which.and_then(|i| changes.get(i));
        let path = change.map(|c| c.key.path.as_str()).unwrap_or_default();
        match what {
            "done" => done = true,
            "kept" => kept.push(Kept {
                kind: FileKind::NAME.to_owned(),
                of: path.to_owned(),
                place: rest.to_owned(),
                size: change.and_then(|c| c.change.from.size),
                user: None,
            }),
            "moved" => {
                trouble = Some(WriteError::Moved {
                    what: format!("file:{path}"),
                    found: rest.trim_start_matches("found: ").to_owned(),
                });
            }
            "failed" => {
                trouble = Some(WriteError::failed(format!(
                    "{path} was not written: {rest}"
                )));
            }
            "left" => {
                let numbers = rest
                    .split_whitespace()
                    .filter_map(|u| u.strip_prefix("undo")?.parse::<usize>().ok());
                let paths: Vec<&str> = numbers
                    .filter_map(|i| Some(changes.get(i)?.key.path.as_str()))
                    .collect();
                left = Some(format!("not taken back: {}", paths.join(", ")));
            }
            _ => {}
        }
    }
    match (trouble, left) {
        (Some(WriteError::Moved { what, found }), Some(left)) => Err(WriteError::Failed {
            message: format!("{what} is no longer as it was read: {found}"),
            left: Some(left),
        }),
        (Some(WriteError::Failed { message, .. }), left) => {
            Err(WriteError::Failed { message, left })
        }
        (Some(error), _) => Err(error),
        (None, _) if done => Ok(kept),
        (None, _) => Err(WriteError::Host(HostError::failed(format!(
            "the script that writes files did not end as it should: {}",
            String::from_utf8_lossy(stderr).trim()
        )))),
    }
}

#[cfg(test)]
mod tests;
