//! The kind `labels`: of what lies below a path, what has another label than the rules of the policy say.
//!
//! What differs is found by SELinux's own `setfiles` (setfiles(8)), which is shown the rules as they will be.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError, contains,
};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use crate::command::memory::{IN_MEMORY, NO_MEMORY, nowhere};
use crate::file::FileKind;

/// The kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Labels;

/// What is looked at, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelsKey {
    /// The absolute path.
    pub path: String,
    /// The name of the policy.
    pub store: String,
    /// The local rules as a file.
    pub rules: String,
    /// User, role and level count, too, and types that a person may have set are none of his.
    pub force: bool,
}

impl std::fmt::Display for LabelsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

/// A label that is another than the rules say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Other {
    /// The label; `None` where it has none.
    pub is: Option<String>,
    /// The one that the rules say.
    pub should: String,
}

/// Paths with labels that are others than the rules say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LabelsState {
    /// By path.
    pub others: BTreeMap<String, Other>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LabelsWant {
    /// Labels that are to be there once more, with what the rules say; of all other paths, and without any, what the rules say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub again: BTreeMap<String, Other>,
}

/// The words are: the name of the policy, `-F` or nothing, and the path. The local rules come on standard input.
const SCRIPT: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
c=/etc/selinux/$1/contexts/files
in_memory
cat > "$folder/c.local" && ln -s "$c/file_contexts" "$folder/c" || exit 45
for end in homedirs subs subs_dist; do
  [ ! -e "$c/file_contexts.$end" ] || ln -s "$c/file_contexts.$end" "$folder/c.$end"
done
[ -e "$3" ] || [ -L "$3" ] || exit 0
LC_ALL=C setfiles -n -v $2 "$folder/c" "$3"
"#;

/// The paths of standard input, each behind a zero byte, that are there: others may have gone since they were looked at.
const THERE: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
there() { xargs -0 -r sh -c 'for p do if [ -e "$p" ] || [ -L "$p" ]; then printf "%s\\0" "$p"; fi; done' sh; }
"#;

/// Sets the label of paths.
const SET: &str = "there | xargs -0 -r chcon -h -- \"$label\"";

/// Takes the labels of paths away: as they were where SELinux has never been on.
const TAKE: &str = "there | xargs -0 -r -n 1 setfattr -h -x security.selinux --";

async fn look(host: &Probe, key: &LabelsKey) -> Result<LabelsState, HostError> {
    let force = if key.force { "-F" } else { "" };
    let script = format!("{IN_MEMORY}{SCRIPT}");
    let words = ["sh", "-c", &script, "labels", &key.store, force, &key.path];
    let command = ReadCommand {
        stdin: Some(key.rules.clone().into()),
        ..ReadCommand::new(words)
    };
    let reply = host.command(&command).await?;
    match reply.status {
        0 => match std::str::from_utf8(&reply.stdout) {
            Ok(said) => Ok(found(said)),
            Err(at) => {
                let before = String::from_utf8_lossy(&reply.stdout[..at.valid_up_to()]);
                let line = before.rsplit('\n').next().unwrap_or_default();
                let path = line.strip_prefix("Would relabel ").unwrap_or(line);
                Err(HostError::failed(format!(
                    "a name below {} is no UTF-8, and cannot be told here: the one that begins {path}; rename the file, or leave its \
                     directory out",
                    key.path
                )))
            }
        },
        NO_MEMORY => Err(nowhere("the new rules")),
        status => Err(HostError::failed(format!(
            "setfiles cannot say what labels there are below {} (status {status}): {}",
            key.path,
            String::from_utf8_lossy(&reply.stderr).trim()
        ))),
    }
}

/// `Would relabel PATH from LABEL to LABEL`; a path may have anything in it but a zero byte, a label no blank.
fn found(said: &str) -> LabelsState {
    let mut others = BTreeMap::new();
    let begin = "Would relabel ";
    let said = said.strip_prefix(begin).unwrap_or_default();
    for line in said.split(&format!("\n{begin}")) {
        let line = line.trim_end_matches('\n');
        let parts = line
            .rsplit_once(" to ")
            .and_then(|(rest, to)| Some((rest.rsplit_once(" from ")?, to)));
        if let Some(((path, from), to)) = parts {
            let none = ["(null)", "<no context>"].contains(&from);
            others.insert(
                path.to_owned(),
                Other {
                    is: (!none).then(|| from.to_owned()),
                    should: to.to_owned(),
                },
            );
        }
    }
    LabelsState { others }
}

/// The type in a label.
#[must_use]
pub fn type_of(label: &str) -> &str {
    label.split(':').nth(2).unwrap_or(label)
}

/// How many get which label in place of which: `12 labels: default_t → httpd_sys_content_t`.
fn counted<'a>(
    pairs: impl Iterator<Item = (Option<&'a String>, Option<&'a String>)>,
) -> Vec<String> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let name = |label: Option<&'a String>| label.map_or("none", |l| type_of(l));
    for (from, to) in pairs {
        let (mut a, mut b) = (name(from), name(to));
        // Where the type is the same it is something else of the label.
        if a == b {
            (a, b) = (
                from.map_or("none", String::as_str),
                to.map_or("none", String::as_str),
            );
        }
        *counts.entry((a, b)).or_default() += 1;
    }
    let line = |((from, to), n): (&(&str, &str), &usize)| match n {
        1 => format!("1 label {from} → {to}"),
        n => format!("{n} labels {from} → {to}"),
    };
    counts.iter().map(line).collect()
}

/// The label that a path has, as far as the two say: by what was read, or else as the rules say.
fn now<'a>(read: &'a LabelsState, path: &str, should: &'a String) -> Option<&'a String> {
    match read.others.get(path) {
        Some(other) => other.is.as_ref(),
        None => Some(should),
    }
}

/// What has to be set: path, label before, label after.
type Step<'a> = (&'a String, Option<&'a String>, Option<&'a String>);

fn steps<'a>(want: &'a LabelsWant, read: &'a LabelsState) -> Vec<Step<'a>> {
    let forward = read
        .others
        .iter()
        .filter(|(path, _)| !want.again.contains_key(*path))
        .map(|(path, other)| (path, other.is.as_ref(), Some(&other.should)));
    let back = want
        .again
        .iter()
        .map(|(path, other)| (path, now(read, path, &other.should), other.is.as_ref()))
        .filter(|(_, is, wanted)| is != wanted);
    // What is to be labelled again is all that is asked then.
    if want.again.is_empty() {
        forward.collect()
    } else {
        back.collect()
    }
}

#[async_trait]
impl Kind for Labels {
    type Key = LabelsKey;
    type State = LabelsState;
    type Want = LabelsWant;

    const NAME: &'static str = "labels";

    async fn read(&self, host: &Probe, keys: &[LabelsKey]) -> Vec<Result<LabelsState, HostError>> {
        futures::future::join_all(keys.iter().map(|key| look(host, key))).await
    }

    fn differences(&self, want: &LabelsWant, read: &LabelsState) -> Vec<String> {
        counted(
            steps(want, read)
                .into_iter()
                .map(|(_, from, to)| (from, to)),
        )
    }

    fn predict(&self, want: &LabelsWant, from: &LabelsState) -> LabelsState {
        let mut to = if want.again.is_empty() {
            LabelsState::default()
        } else {
            from.clone()
        };
        to.others.extend(want.again.clone());
        to
    }

    fn reversible(&self, _: &Change<LabelsState, LabelsWant>, _: &LabelsKey) -> Reversible {
        Reversible::Yes
    }

    fn back(&self, _: &LabelsKey, change: &Change<LabelsState, LabelsWant>) -> Option<LabelsWant> {
        Some(LabelsWant {
            again: change.from.others.clone(),
        })
    }

    /// Files that have come since then are others'.
    fn still(
        &self,
        _: &LabelsKey,
        change: &Change<LabelsState, LabelsWant>,
        now: &LabelsState,
    ) -> bool {
        let same = |(path, _): (&String, &Other)| {
            now.others.get(path).map(|o| &o.is) == change.to.others.get(path).map(|o| &o.is)
        };
        change.from.others.iter().all(same)
    }

    fn drifted(
        &self,
        _: &LabelsKey,
        _: Option<&LabelsWant>,
        was: &LabelsState,
        now: &LabelsState,
    ) -> Vec<String> {
        let mut paths: Vec<&String> = was.others.keys().chain(now.others.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let label = |state: &LabelsState, path: &String| match state.others.get(path) {
            Some(other) => other.is.clone().unwrap_or_else(|| "no label".to_owned()),
            None => "as the rules say".to_owned(),
        };
        let line = |path: &&String| {
            let (was, now) = (label(was, path), label(now, path));
            (was != now).then(|| format!("{path}: {was} → {now}"))
        };
        paths.iter().filter_map(line).collect()
    }

    fn touched_by(&self, key: &LabelsKey, written: &Ref) -> bool {
        let is_below = written.id == key.path
            || contains(&key.path, &written.id)
            || contains(&written.id, &key.path);
        (written.kind == FileKind::NAME || written.kind == Self::NAME) && is_below
    }

    /// Which label a new file gets is the kernel's.
    fn predicted(&self, key: &LabelsKey, world: &Predicted<'_>) -> Shadow<LabelsKey, LabelsState> {
        let touches = |c: &&runbook_engine::world::PredictedChange| {
            c.key.kind == FileKind::NAME && self.touched_by(key, &c.key)
        };
        match world.changes.iter().rev().find(touches) {
            Some(change) => Shadow::Unknown(format!("until \"{}\"", change.task)),
            None => Shadow::AsRead,
        }
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        for change in changes {
            let read = look(host, &change.key).await?;
            let moved = self.drifted(&change.key, None, &change.change.from, &read);
            if let Some(first) = moved.first() {
                return Err(WriteError::Moved {
                    what: format!("the labels below {}", change.key),
                    found: first.clone(),
                });
            }
        }
        for change in changes {
            let mut groups: BTreeMap<Option<&String>, Vec<u8>> = BTreeMap::new();
            for (path, _, to) in steps(&change.change.want, &change.change.from) {
                let group = groups.entry(to).or_default();
                group.extend_from_slice(path.as_bytes());
                group.push(0);
            }
            for (label, paths) in groups {
                let script = match label {
                    Some(label) => {
                        let label = runbook_engine::transport::quote::word(label);
                        format!("{THERE}label={label}\n{SET}")
                    }
                    None => format!("{THERE}{TAKE}"),
                };
                let reply = host.script(&script, Some(paths.into())).await?;
                if reply.status != 0 {
                    let why = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
                    return Err(WriteError::failed(format!(
                        "labels below {} cannot be set: {why}",
                        change.key
                    )));
                }
            }
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_setfiles_says() {
        let said = "Would relabel /a from (null) to u:r:a_t:s0\nWould relabel /b from x to y\nz from u:r:b_t:s0 to u:r:a_t:s0\n";
        let state = found(said);
        let all: Vec<(&str, Option<&str>)> = state
            .others
            .iter()
            .map(|(path, other)| (path.as_str(), other.is.as_deref()))
            .collect();
        assert_eq!(
            all,
            [("/a", None), ("/b from x to y\nz", Some("u:r:b_t:s0"))]
        );
        assert_eq!(
            Labels.differences(&LabelsWant::default(), &state),
            ["1 label b_t → a_t", "1 label none → a_t"]
        );
        assert_eq!(found(""), LabelsState::default());
    }
}
