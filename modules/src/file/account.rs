//! The kind `account`: whether a host knows a user, or a group, by its name. Read only.

use std::fmt;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand};
use runbook_engine::module::{Stop, Wanted};
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::{Predicted, View};
use serde::{Deserialize, Serialize};

use super::FileKind;
use super::state::{FileKey, FileState};

/// Users and groups.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountKind;

/// A user or a group, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Account {
    /// A user.
    User(String),
    /// A group.
    Group(String),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

/// The local ones stand in these; others come from a directory server, and no task of a playbook makes them here.
const FILES: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// A line for each word: `uNAME` or `gNAME`. `id` knows users of all sources; so does `getent` groups.
const LOOK: &str = r#"for k; do n=${k#?}; case $k in ?-*) false;; u*) id -u "$n";; *)
if command -v getent; then getent group "$n"; else awk -F: -v n="$n" '$1 == n { f = 1 } END { exit !f }' /etc/group; fi
esac >/dev/null 2>&1 && echo there || echo none; done"#;

#[async_trait]
impl ReadKind for AccountKind {
    type Key = Account;
    /// Is there one of this name?
    type State = bool;

    const NAME: &'static str = "account";
    /// Who writes in its name finds out.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[Account]) -> Vec<Result<bool, HostError>> {
        let words = keys.iter().map(|key| match key {
            Account::User(name) => format!("u{name}"),
            Account::Group(name) => format!("g{name}"),
        });
        let begin = ["sh", "-c", LOOK, "sh"].map(str::to_owned);
        let command = ReadCommand::new(begin.into_iter().chain(words));
        let reply = match host.command(&command).await {
            Ok(reply) => reply,
            Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let text = String::from_utf8_lossy(&reply.stdout).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        keys.iter()
            .enumerate()
            .map(|(at, key)| match lines.get(at) {
                Some(&"there") => Ok(true),
                Some(&"none") => Ok(false),
                _ => Err(HostError::failed(format!("{key} could not be looked up"))),
            })
            .collect()
    }

    fn touched_by(&self, _key: &Account, written: &Ref) -> bool {
        written.kind == FileKind::NAME && FILES.iter().any(|file| is_in(file, &written.id))
    }

    fn predicted(&self, _key: &Account, world: &Predicted<'_>) -> Shadow<Account, bool> {
        let mut changes = world.changes.iter().rev();
        let met = changes.find(|c| {
            c.key.kind == FileKind::NAME && FILES.iter().any(|file| is_in(file, &c.key.id))
        });
        match met {
            Some(change) => Shadow::Unknown(format!("until \"{}\"", change.task)),
            None => Shadow::AsRead,
        }
    }

    /// What a command before it is said to make (`creates: /home/NAME`) may come with its user.
    fn may_become(&self, _key: &Account, there: &bool, world: &Predicted<'_>) -> Option<String> {
        let mut changes = world.changes.iter().rev();
        let told = changes.find(|c| c.from.is_none() && c.to.is_none())?;
        (!there).then(|| format!("until \"{}\"", told.task))
    }
}

fn is_in(file: &str, id: &str) -> bool {
    let id = id.trim_end_matches('/');
    id == file || contains(id, file)
}

/// Refuses what is wanted for an owner or a group that the host does not know. A number needs no name; and whom what is at
/// the path belongs to already is there.
pub fn known(
    wanted: Wanted,
    world: &View<'_>,
    path: &FileKey,
    owner: Option<&String>,
    group: Option<&String>,
) -> Result<Wanted, Stop> {
    if wanted.resources.is_empty() || (owner.is_none() && group.is_none()) {
        return Ok(wanted);
    }
    let now = match world.get::<FileKind>(path) {
        Ok(now) => now,
        Err(stop @ Stop::Need(_)) => return Err(stop),
        Err(_) => FileState::absent(&path.path),
    };
    let creator = now.creator.as_ref();
    let is_name = |name: &&String| name.parse::<u32>().is_err();
    let owner = owner.filter(is_name).filter(|name| {
        now.owner.as_ref() != Some(name) && creator.is_none_or(|c| c.owner != **name)
    });
    let group = group.filter(is_name).filter(|name| {
        now.group.as_ref() != Some(name) && creator.is_none_or(|c| c.group != **name)
    });
    let owner = owner.map(|name| Account::User(name.clone()));
    let group = group.map(|name| Account::Group(name.clone()));
    let accounts: Vec<Account> = owner.into_iter().chain(group).collect();
    let found = world.all::<AccountKind>(&accounts)?;
    match accounts.iter().zip(found).find(|(_, there)| !there) {
        Some((account, _)) => Err(Stop::refuse(format!(
            "there is no {account} on the host: mend the name, or make it in a task before this one"
        ))),
        None => Ok(wanted),
    }
}
