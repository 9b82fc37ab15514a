//! Copies of the journal on the hosts, so that another machine can go on where this one is lost.
//!
//! Each host has the records of its own site, sealed as they are in the journal. Before something is written to a host,
//! the records that its copy has not are appended to it; so what was begun there stands in its own copy, and the copies
//! of a site together hold all that its run has begun. Before the folders of its last commands are removed, all copies are
//! brought up to date: a copy that knows of a command's begin and not of its end, where the folder is gone, would have it
//! begun again. A copy goes when its run has come to an end: then
//! this machine goes on with it, if anybody does.
//!
//! A copy is a text, a JSON object a line ([`Raw`]), in `BASE/RUN.journal` of the user who logs in (`BASE` as for
//! commands, [`crate::transport::command`]). A line that did not arrive whole is left out by its reader, and comes again.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Mutex;

use bytes::Bytes;

use super::hosts::{Fleet, Link};
use crate::host::{HostError, Target, User};
use crate::journal::{Journal, JournalError, Raw};
use crate::transport::command::{BASE, PLACE};
use crate::transport::quote::word;

/// Is the place a folder of this user? Who only looks makes none.
const OWN: &str = "[ ! -L \"$b\" ] && [ -d \"$b\" ] && [ -O \"$b\" ]";

/// How far the copies are.
#[derive(Default)]
pub struct Copies {
    /// The last record in the copy of each host. Held while a copy is written: its records come in order.
    sent: Mutex<HashMap<String, std::sync::Arc<tokio::sync::Mutex<i64>>>>,
}

/// Why a copy could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The journal itself.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The host, or the way to it.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Copies {
    /// Appends what the copy on a host has not.
    ///
    /// # Errors
    /// The journal cannot be read, or the host does not take it.
    pub async fn bring(
        &self,
        journal: &Journal,
        run: &str,
        host: &str,
        link: &Link,
        belongs: impl Fn(&str) -> bool,
    ) -> Result<(), CopyError> {
        let cell = {
            let mut sent = self
                .sent
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            sent.entry(host.to_owned()).or_default().clone()
        };
        let mut sent = cell.lock().await;
        let rows = journal.raw(run, *sent)?;
        let Some(last) = rows.last().map(|row| row.seq) else {
            return Ok(());
        };
        let mut text = String::new();
        for row in rows
            .iter()
            .filter(|r| r.host.is_empty() || belongs(&r.host))
        {
            // The line before may have been cut off.
            let _ = writeln!(text, "\n{}", serde_json::json!(row));
        }
        let script = format!(
            "{BASE}; cat >> \"$b\"/{} && {{ sync -- \"$b\"/{} 2>/dev/null || :; }}",
            file(run),
            file(run)
        );
        let target = Target::new(link.probe.with_user(User::Login));
        let reply = target.repeatable(&script, Some(Bytes::from(text))).await?;
        if reply.status != 0 {
            let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
            return Err(HostError::failed(format!("{host}: {said}")).into());
        }
        *sent = last;
        Ok(())
    }
}

impl Copies {
    /// The hosts that have a copy.
    pub fn hosts(&self) -> Vec<String> {
        let sent = self
            .sent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        sent.keys().cloned().collect()
    }
}

/// Removes the copies of a run from these hosts, as far as they can be reached.
pub async fn remove(fleet: &Fleet, run: &str, hosts: impl IntoIterator<Item = String>) {
    let script = format!(
        "{PLACE}; {OWN} && {{ rm -f -- \"$b\"/{}; rmdir \"$b\" 2>/dev/null; }}; true",
        file(run)
    );
    let all = hosts.into_iter().map(|host| {
        let script = &script;
        async move {
            if let Ok(link) = fleet.link(&host).await {
                let target = Target::new(link.probe.with_user(User::Login));
                let _ = target.repeatable(script, None).await;
            }
        }
    });
    futures::future::join_all(all).await;
}

/// The runs of which a host has a copy, oldest first.
///
/// # Errors
/// The host cannot be reached.
pub async fn runs_on(fleet: &Fleet, host: &str) -> Result<Vec<String>, HostError> {
    let script = format!(
        "{PLACE}; {OWN} && cd \"$b\" && for f in *.journal; do [ -f \"$f\" ] && echo \"$f\"; done; true"
    );
    let link = fleet.link(host).await?;
    let reply = Target::new(link.probe.with_user(User::Login))
        .repeatable(&script, None)
        .await?;
    let text = String::from_utf8_lossy(&reply.stdout).into_owned();
    let mut runs: Vec<String> = text
        .lines()
        .filter_map(|name| name.strip_suffix(".journal").map(str::to_owned))
        .collect();
    runs.sort();
    Ok(runs)
}

/// The records of a run in the copies on these hosts, each once, in their order.
///
/// # Errors
/// A host cannot be reached: what was begun there would not be known.
pub async fn read(fleet: &Fleet, run: &str, hosts: &[String]) -> Result<Vec<Raw>, HostError> {
    let script = format!(
        "{PLACE}; {OWN} && [ -f \"$b\"/{f} ] || exit 0; cat \"$b\"/{f}",
        f = file(run)
    );
    let mut rows: BTreeMap<i64, Raw> = BTreeMap::new();
    for host in hosts {
        let link = fleet.link(host).await?;
        let reply = Target::new(link.probe.with_user(User::Login))
            .repeatable(&script, None)
            .await?;
        for line in reply.stdout.split(|b| *b == b'\n') {
            if let Ok(row) = serde_json::from_slice::<Raw>(line) {
                rows.insert(row.seq, row);
            }
        }
    }
    Ok(rows.into_values().collect())
}

fn file(run: &str) -> String {
    word(&format!("{run}.journal"))
}
