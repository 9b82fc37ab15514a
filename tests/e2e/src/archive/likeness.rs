//! Whether a site is again what it was before something was done to it and mended: all that a person means, without
//! what each start and each making of a container gives anew.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Archive, damage, snapshot};

/// Lines of `docker inspect` that are another's with each start or each making. The container's id, which stands in
/// other lines, is written as `ID`.
const ANEW: [&str; 10] = [
    // How often Docker itself has started it, since somebody did.
    ".RestartCount:",
    ".Created:",
    ".State.Pid:",
    ".State.StartedAt:",
    ".State.FinishedAt:",
    // Layers of the file system, by ids of their own.
    ".GraphDriver.Data.",
    ".NetworkSettings.SandboxID:",
    ".NetworkSettings.SandboxKey:",
    // Which container it was made from.
    ".Config.Labels.org.runbook.replaces:",
    // Which of its variables a playbook has asked for.
    ".Config.Labels.org.runbook.asked.env:",
];
/// What the network gives to an endpoint, by whatever network.
const ENDPOINT: [&str; 3] = [".EndpointID:", ".IPAddress:", ".MacAddress:"];

/// All containers, files, volumes and entries of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    /// What was looked at → its lines.
    parts: BTreeMap<String, BTreeSet<String>>,
    /// What is kept aside on the site: containers, files and folders by host.
    kept: BTreeSet<String>,
}

impl Likeness {
    /// What Docker says of a container, without what each start and each making gives anew.
    ///
    /// # Errors
    /// It is no answer of `docker inspect`.
    pub fn described(name: &str, inspected: &str) -> Result<BTreeSet<String>> {
        let list: Vec<Value> = serde_json::from_str(inspected)?;
        let id = list.first().and_then(|c| c["Id"].as_str());
        let id = id.with_context(|| format!("docker says nothing of {name}"))?;
        let short = id.get(..12).unwrap_or(id);
        let own = inspected.replace(id, "ID").replace(short, "ID");
        let mut lines = Vec::new();
        snapshot::flatten("", &serde_json::from_str(&own)?, &mut lines);
        lines.retain(|line| {
            let line = line.strip_prefix("[]").unwrap_or(line);
            let endpoint = line.starts_with(".NetworkSettings.Networks.");
            let anew = ANEW.iter().any(|a| line.starts_with(a));
            let of_endpoint = endpoint && ENDPOINT.iter().any(|e| line.contains(e));
            !(anew || of_endpoint)
        });
        Ok(lines.into_iter().collect())
    }

    /// Looks at all of it.
    ///
    /// # Errors
    /// A program fails.
    pub fn of(archive: &Archive) -> Result<Self> {
        let mut parts = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for name in ["ldap", "db", "arc"] {
            let inspected = archive.on(name, &format!("docker inspect {name}"))?;
            parts.insert(name.to_owned(), Self::described(name, &inspected)?);
        }
        for (dn, lines) in damage::lasting(&damage::directory(archive)?) {
            parts.insert(dn, lines);
        }
        for host in &archive.site().hosts {
            let look = |script: &str| snapshot::lines(archive.site(), host, script);
            let files = look(&snapshot::files_without_times())?;
            parts.insert(
                format!("files of {}", host.name),
                files.into_iter().collect(),
            );
            let volumes = look("docker volume ls -q; echo end")?;
            parts.insert(
                format!("volumes of {}", host.name),
                volumes.into_iter().collect(),
            );
            for one in look(snapshot::KEPT)? {
                kept.insert(format!("{}: {one}", host.name));
            }
        }
        Ok(Self { parts, kept })
    }

    /// All lines, each with what was looked at.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let parts = self.parts.iter();
        parts
            .flat_map(|(name, lines)| lines.iter().map(move |l| format!("{name}: {l}")))
            .collect()
    }

    /// The lines that are in one of both only, with what was looked at, without those that have this in them: backups
    /// of the run in between. Containers, entries and files that only one has are named, too.
    #[must_use]
    pub fn differences(&self, other: &Self, without: &str) -> Vec<String> {
        let none = BTreeSet::new();
        let names: BTreeSet<&String> = self.parts.keys().chain(other.parts.keys()).collect();
        let mut found = Vec::new();
        for name in names {
            let of = |all: &'_ Self| all.parts.get(name).unwrap_or(&none).clone();
            let (mine, theirs) = (of(self), of(other));
            let gone = mine.difference(&theirs).map(|l| format!("{name}: - {l}"));
            let new = theirs.difference(&mine).map(|l| format!("{name}: + {l}"));
            found.extend(gone.chain(new));
        }
        found.retain(|line| !line.contains(without));
        found
    }

    /// What is kept aside now and was not before.
    ///
    /// # Errors
    /// What was kept before is gone or another.
    pub fn newly_kept(&self, after: &Self) -> Result<Vec<String>> {
        let gone: Vec<&String> = self.kept.difference(&after.kept).collect();
        ensure!(gone.is_empty(), "no longer kept as it was: {gone:#?}");
        Ok(after.kept.difference(&self.kept).cloned().collect())
    }
}
