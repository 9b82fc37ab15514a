//! Whose a file is, and who may change it.

use std::sync::Arc;

use runbook_engine::host::{FileType, HostError, Probe, ReadCommand};

use super::state::{Creator, FileState, SETGID, parent};

/// Why a path cannot be changed so, as far as what was read tells. What takes the place of another thing, or goes, is a
/// matter of the directory; owner and mode are the owner's.
pub(super) fn refusal(path: &str, from: &FileState, to: &FileState) -> Option<String> {
    let user = from.creator.as_ref()?;
    let only_attributes = from.is == to.is
        && from.sha256 == to.sha256
        && from.link == to.link
        && from.inode == to.inode;
    let (named, above) = (&user.owner, parent(path));
    if user.uid == 0 {
        let read_only = from.closed && !only_attributes;
        return read_only
            .then(|| format!("{path} cannot be written: {above} is read-only, even for {named}"));
    }
    let theirs = |state: &FileState| !owns(user, state);
    let name = |state: &FileState| {
        let number = || state.uid.map(|n| n.to_string());
        state.owner.clone().or_else(number).unwrap_or_default()
    };
    let is_grouped = from.gid != to.gid || from.group != to.group;
    let why = if only_attributes {
        if theirs(from) {
            return Some(format!(
                "{path} cannot be changed: it belongs to {}, and {named} may not; use `become`",
                name(from)
            ));
        }
        let is_given = from.uid != to.uid || from.owner != to.owner;
        (is_given || is_grouped || from.mode != to.mode).then_some(())
    } else if from.closed && from.is == FileType::Absent {
        return Some(format!(
            "{path} cannot be written: {named} may not write to {above}; use `become`"
        ));
    } else if from.closed {
        return Some(format!(
            "{path} cannot be written: {named} may not replace or remove it in {above}; use `become`"
        ));
    } else {
        // A further name of a file makes none.
        (to.is != FileType::Absent && !to.shared).then_some(())
    };
    why?;
    if theirs(to) {
        return Some(format!(
            "{path} cannot be {}'s: only root gives files away, and {named} is not; use `become`",
            name(to)
        ));
    }
    if to.is == FileType::File && !may(user, to, 0o4) {
        return Some(format!(
            "{path} cannot have mode {:04o}: {named} could not read it any more, and so not confirm what was written; use \
             `become`",
            to.mode.unwrap_or_default()
        ));
    }
    let group = to.group.as_deref();
    let checked = is_grouped || !only_attributes;
    (checked && !user.is_in(to.gid, group)).then(|| {
        let number = to.gid.map(|n| n.to_string()).unwrap_or_default();
        format!(
            "{path} cannot be of the group {}: {named} is not in it; use `become`",
            group.unwrap_or(&number)
        )
    })
}

/// May this user make things in a directory? As far as is known whose it is.
pub(super) fn may_write(user: &Creator, dir: &FileState) -> bool {
    dir.is != FileType::Directory || may(user, dir, 0o3)
}

/// Is it this user's? Where nothing else is known.
pub(super) fn owns(user: &Creator, state: &FileState) -> bool {
    match (state.uid, &state.owner) {
        (Some(uid), _) => uid == user.uid,
        (None, owner) => owner.as_ref().is_none_or(|o| *o == user.owner),
    }
}

/// Has this user these rights (of `rwx`)? As far as is known whose it is.
pub(super) fn may(user: &Creator, state: &FileState, rights: u32) -> bool {
    let Some(mode) = state.mode.filter(|_| user.uid != 0) else {
        return true;
    };
    if state.uid.is_none() && state.owner.is_none() {
        return true;
    }
    // Of the three classes one counts (path_resolution(7)).
    let bits = if owns(user, state) {
        mode >> 6
    } else if user.is_in(state.gid, state.group.as_deref()) {
        mode >> 3
    } else {
        mode
    };
    bits & rights == rights
}

/// A name or number that is set where one is wanted. The other half is unknown then, only the host can tell; but that of
/// the user or group that reads is known.
pub(super) fn set_name(
    want: &Option<String>,
    known: Option<(String, u32)>,
    name: &mut Option<String>,
    number: &mut Option<u32>,
) {
    let Some(want) = want else { return };
    let is = |name: &str, number: u32| name == want || number.to_string() == *want;
    if name.as_ref() == Some(want) || number.is_some_and(|n| n.to_string() == *want) {
        return;
    }
    if let Some((called, numbered)) = known.filter(|(name, number)| is(name, *number)) {
        (*name, *number) = (Some(called), Some(numbered));
        return;
    }
    *number = want.parse().ok();
    *name = number.is_none().then(|| want.clone());
}

/// Mode of what is made new without a wanted mode.
pub(super) fn default_mode(is: FileType) -> u32 {
    match is {
        FileType::Directory => 0o755,
        FileType::Link => 0o777,
        _ => 0o644,
    }
}

/// The mode of what is made without one being asked for. A directory hands on what it was handed.
pub(super) fn mode_of_new(is: FileType, creator: Option<&Creator>) -> u32 {
    let handed = creator.is_some_and(|c| c.handed.is_some());
    match is {
        FileType::Directory if handed => default_mode(is) | SETGID,
        _ => default_mode(is),
    }
}

/// Whose file it would be that the reading user made.
pub(super) async fn creator(host: &Probe) -> Result<Arc<Creator>, HostError> {
    let name = format!("file creator {:?}", host.user());
    host.session(&name, || async {
        let id = |flag: &'static str| async move {
            let reply = host.command(&ReadCommand::new(["id", flag])).await?;
            Ok::<_, HostError>(String::from_utf8_lossy(&reply.stdout).trim().to_owned())
        };
        let (uid, owner, gid, group, numbers, names) = tokio::try_join!(
            id("-u"),
            id("-un"),
            id("-g"),
            id("-gn"),
            id("-G"),
            id("-Gn")
        )?;
        let number = |text: &str| {
            text.parse().map_err(|_| {
                HostError::failed(format!("`id` answered {text:?} in place of a number"))
            })
        };
        let gid = number(&gid)?;
        // A group without a name is named by its number; one whose name has blanks leaves all names unknown.
        let names: Vec<&str> = names.split(' ').collect();
        let numbers: Vec<&str> = numbers.split(' ').collect();
        let names = if names.len() == numbers.len() {
            names
        } else {
            numbers.clone()
        };
        let groups = numbers.iter().zip(names);
        let groups = groups.filter_map(|(n, name)| Some((n.parse().ok()?, name.to_owned())));
        Ok(Creator {
            uid: number(&uid)?,
            owner,
            group,
            groups: groups.filter(|(further, _)| *further != gid).collect(),
            gid,
            handed: None,
        })
    })
    .await
}
