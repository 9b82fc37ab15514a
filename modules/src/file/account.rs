//! The kind `account`: a user or a group of a host, by name or number. Read only.

use std::fmt;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand};
use runbook_engine::module::{Stop, Wanted};
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::{Predicted, View};
use serde::{Deserialize, Serialize};

use super::FileKind;
use super::state::{FileKey, FileState, FileWant};

/// Users and groups.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountKind;

/// A user or a group, by name or number.
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

/// A name and its number, as the host has them. A number without a name is its own name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The number.
    pub id: u32,
}

/// For each word, `uNAME` or `gNAME`, a line: the number and the name, or nothing. `id` knows users of all sources; so does
/// `getent`.
const LOOK: &str = r#"of() { if command -v getent >/dev/null 2>&1; then getent "$1" "$2" 2>/dev/null
else awk -F: -v n="$2" '$1 == n || $3 == n { print; exit }' "/etc/$1"; fi | { IFS=: read -r a x i y && [ -n "$i" ] && echo "$i $a"; }; }
for k; do n=${k#?}; case $k in ?-*) echo;; u*) of passwd "$n" || { i=$(id -u "$n" 2>/dev/null) && echo "$i $n"; } || echo;;
*) of group "$n" || echo;; esac; done"#;

#[async_trait]
impl ReadKind for AccountKind {
    type Key = Account;
    /// `None`: there is none of this name.
    type State = Option<Named>;

    const NAME: &'static str = "account";
    /// Who writes in its name finds out.
    const BINDS: bool = false;

    async fn read(&self, host: &Probe, keys: &[Account]) -> Vec<Result<Option<Named>, HostError>> {
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
                Some(line) => Ok(understood(key, line)),
                None => Err(HostError::failed(format!("{key} could not be looked up"))),
            })
            .collect()
    }

    fn touched_by(&self, _key: &Account, written: &Ref) -> bool {
        written.kind == FileKind::NAME && FILES.iter().any(|file| is_in(file, &written.id))
    }

    fn predicted(&self, _key: &Account, world: &Predicted<'_>) -> Shadow<Account, Option<Named>> {
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
    fn may_become(
        &self,
        _key: &Account,
        there: &Option<Named>,
        world: &Predicted<'_>,
    ) -> Option<String> {
        let mut changes = world.changes.iter().rev();
        let told = changes.find(|c| c.from.is_none() && c.to.is_none())?;
        there.is_none().then(|| format!("until \"{}\"", told.task))
    }
}

fn understood(key: &Account, line: &str) -> Option<Named> {
    let asked = match key {
        Account::User(name) | Account::Group(name) => name,
    };
    match line.split_once(' ') {
        Some((id, name)) => Some(Named {
            name: name.to_owned(),
            id: id.parse().ok()?,
        }),
        None => Some(Named {
            id: asked.parse().ok()?,
            name: asked.clone(),
        }),
    }
}

fn is_in(file: &str, id: &str) -> bool {
    let id = id.trim_end_matches('/');
    id == file || contains(id, file)
}

/// Refuses what is wanted for an owner or a group that the host does not know, and says of the others what they are by name
/// and by number, so that it is known before they are set. A number needs no name; and whom what is at the path belongs to
/// already is known.
pub fn known(
    mut wanted: Wanted,
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
    let called = |asked: &str, name: Option<&String>, id: Option<u32>| {
        let (name, id) = (name?, id?);
        (name == asked || id.to_string() == asked).then(|| Named {
            name: name.clone(),
            id,
        })
    };
    let at_hand = |asked: &String, is_user: bool| match is_user {
        true => called(asked, now.owner.as_ref(), now.uid)
            .or_else(|| creator.and_then(|c| called(asked, Some(&c.owner), Some(c.uid)))),
        false => called(asked, now.group.as_ref(), now.gid)
            .or_else(|| creator.and_then(|c| called(asked, Some(&c.group), Some(c.gid)))),
    };
    let mut owner_is = owner.and_then(|name| at_hand(name, true));
    let mut group_is = group.and_then(|name| at_hand(name, false));
    let user = owner.filter(|_| owner_is.is_none());
    let of = group.filter(|_| group_is.is_none());
    let user = user.map(|name| Account::User(name.clone()));
    let of = of.map(|name| Account::Group(name.clone()));
    let accounts: Vec<Account> = user.into_iter().chain(of).collect();
    let found = world.all::<AccountKind>(&accounts)?;
    for (account, found) in accounts.iter().zip(found) {
        let Some(found) = found else {
            return Err(Stop::refuse(format!(
                "there is no {account} on the host: mend the name, or make it in a task before this one"
            )));
        };
        match account {
            Account::User(_) => owner_is = Some(found),
            Account::Group(_) => group_is = Some(found),
        }
    }
    for state in &mut wanted.resources {
        if state.key.kind != FileKind::NAME {
            continue;
        }
        let broken = |e: serde_json::Error| Stop::refuse(format!("{}: {e}", state.key));
        let mut want = FileWant::deserialize(&state.want).map_err(broken)?;
        want.owner_is = owner_is.clone().filter(|_| want.owner.as_ref() == owner);
        want.group_is = group_is.clone().filter(|_| want.group.as_ref() == group);
        state.want = serde_json::to_value(&want).map_err(broken)?;
    }
    Ok(wanted)
}
