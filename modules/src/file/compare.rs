//! How two states of a path are held against each other.

use runbook_engine::host::FileType;

use super::masking::masked;
use super::state::{FileState, FileWant};

/// Texts longer than this are not compared line by line.
const TEXT_LIMIT: usize = 100_000;

/// Where `read` is not as wanted, a line each.
pub(super) fn differences(want: &FileWant, read: &FileState) -> Vec<String> {
    let mut found = Vec::new();
    let is = want.is.unwrap_or(read.is);
    if is != read.is {
        found.push(format!("{} → {}", type_name(read.is), type_name(is)));
    }
    if is == FileType::Absent {
        return found;
    }
    if let (FileType::File, Some(source)) = (is, &want.content) {
        let sha = source.sha256();
        if read.is != FileType::File {
            found.push(format!("content {}", bytes(source.size())));
        } else if read.sha256.as_deref() != Some(&sha) {
            found.push(format!(
                "content {} → {}",
                bytes(read.size.unwrap_or_default()),
                bytes(source.size())
            ));
        }
    }
    if let (FileType::File, Some(earlier)) = (is, &want.earlier)
        && read.sha256 != earlier.sha256
    {
        found.push(format!(
            "content {} → {} as it was",
            bytes(read.size.unwrap_or_default()),
            bytes(earlier.size.unwrap_or_default())
        ));
    }
    if let (FileType::Link, Some(link)) = (is, &want.link)
        && read.link.as_ref() != Some(link)
    {
        found.push(match &read.link {
            Some(old) => format!("link to {old} → {link}"),
            None => format!("link to {link}"),
        });
    }
    if let Some(hard) = &want.hard
        && (hard.inode.is_none() || read.inode != hard.inode)
    {
        found.push(format!("hard link to {}", hard.path));
    }
    if let (Some(mode), true) = (want.mode, is != FileType::Link)
        && (read.mode != Some(mode) || read.is != is)
    {
        found.push(match read.mode.filter(|_| read.is == is) {
            Some(old) => format!("mode {old:04o} → {mode:04o}"),
            None => format!("mode {mode:04o}"),
        });
    }
    let named = |what: &str, want: &Option<String>, name: &Option<String>, number: Option<u32>| {
        let want = want.as_ref()?;
        let same = name.as_ref() == Some(want) || number.is_some_and(|n| n.to_string() == *want);
        (!same).then(|| match name {
            Some(old) => format!("{what} {old} → {want}"),
            None => format!("{what} {want}"),
        })
    };
    found.extend(named("owner", &want.owner, &read.owner, read.uid));
    found.extend(named("group", &want.group, &read.group, read.gid));
    found
}

/// What of `now` is not as it was, a line each.
pub(super) fn drifted(want: Option<&FileWant>, was: &FileState, now: &FileState) -> Vec<String> {
    if was.is != now.is {
        return vec![format!("{} → {}", type_name(was.is), type_name(now.is))];
    }
    let mut lines = Vec::new();
    if was.is == FileType::Absent {
        return lines;
    }
    // What only has its mode set may well grow.
    let content = want.is_none_or(|w| {
        w.content.is_some()
            || w.earlier.is_some()
            || w.hard.is_some()
            || w.is.is_some_and(|is| is != was.is)
    });
    if content && was.sha256.is_some() && was.sha256 != now.sha256 {
        let size = |state: &FileState| bytes(state.size.unwrap_or_default());
        lines.push(match (size(was), size(now)) {
            (old, new) if old == new => format!("other content, {new}"),
            (old, new) => format!("content {old} → {new}"),
        });
    }
    // Of what is to go, nothing else will be.
    let goes = want.is_some_and(|w| w.is == Some(FileType::Absent));
    if was.link != now.link {
        let to = |state: &FileState| state.link.clone().unwrap_or_default();
        lines.push(format!("link to {} → {}", to(was), to(now)));
    }
    if goes {
        return lines;
    }
    if let (Some(old), Some(new)) = (was.mode, now.mode)
        && was.is != FileType::Link
        && old != new
    {
        lines.push(format!("mode {old:04o} → {new:04o}"));
    }
    // Of a predicted owner it may be that only the name is known, or only the number.
    let mut named = |what: &str,
                     (name, number): (&Option<String>, Option<u32>),
                     (name_now, number_now): (&Option<String>, Option<u32>)| {
        let same_name = name.is_some() && name == name_now;
        let same_number = number.is_some() && number == number_now;
        let shown = |name: &Option<String>, number: Option<u32>| {
            let number = number.map(|n| n.to_string());
            name.clone().or(number).unwrap_or_default()
        };
        if (name.is_some() || number.is_some()) && !same_name && !same_number {
            let (old, new) = (shown(name, number), shown(name_now, number_now));
            lines.push(format!("{what} {old} → {new}"));
        }
    };
    named("owner", (&was.owner, was.uid), (&now.owner, now.uid));
    named("group", (&was.group, was.gid), (&now.group, now.gid));
    lines
}

/// Is `now` what was predicted, as far as a prediction can know?
pub(super) fn is_still(to: &FileState, now: &FileState) -> bool {
    // What a prediction could not know (the number of a new owner) is taken as it is.
    let same = |a: Option<String>, b: Option<String>| a.is_none() || a == b;
    let number = |n: Option<u32>| n.map(|n| n.to_string());
    to.is == now.is
        && (to.is == FileType::Absent
            || ((to.is == FileType::Link || same(number(to.mode), number(now.mode)))
                && same(number(to.uid), number(now.uid))
                && same(to.owner.clone(), now.owner.clone())
                && same(number(to.gid), number(now.gid))
                && same(to.group.clone(), now.group.clone())
                && same(to.sha256.clone(), now.sha256.clone())
                && to.link == now.link))
}

/// The text that is compared line by line.
pub(super) fn text_of(state: &FileState) -> String {
    let short = |what: &str| {
        format!(
            "{what}, {}, sha256 {}\n",
            bytes(state.size.unwrap_or_default()),
            state.sha256.as_deref().unwrap_or("unknown")
        )
    };
    let Some(content) = state.bytes() else {
        return short("large");
    };
    if content.len() > TEXT_LIMIT {
        return short("large");
    }
    match std::str::from_utf8(content) {
        Ok(text) if !text.contains('\0') => masked(text),
        _ => short("binary"),
    }
}

/// How a type is called in messages.
#[must_use]
pub fn type_name(is: FileType) -> &'static str {
    match is {
        FileType::Absent => "absent",
        FileType::File => "file",
        FileType::Directory => "directory",
        FileType::Link => "link",
        FileType::Other => "socket, pipe or device",
    }
}

fn bytes(size: u64) -> String {
    format!("{size} bytes")
}
