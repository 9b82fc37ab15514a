//! Reading files in one round trip.
//!
//! One snippet for all paths: the shell's own tests find what is there, one `stat` tells of all of it, contents come
//! as base64, and only files too large to be sent are hashed on the host.

use std::fmt::Write as _;

use base64::Engine as _;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::quote::word;
use crate::host::{Connection, FileEntry, FileQuery, FileType, HostError, User};

/// What `stat` prints of a path: raw mode, numbers, size, time, identity, names.
const FORMAT: &str = "%f %u %g %s %Y %d:%i %U:%G";

/// Reads all queried paths with one snippet.
pub async fn read(
    connection: &dyn Connection,
    user: &User,
    queries: &[FileQuery],
) -> Result<Vec<Result<FileEntry, HostError>>, HostError> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let reply = connection.shell(user, &script(queries), None, true).await?;
    if reply.status != 0 {
        let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
        return Err(HostError::failed(format!(
            "files could not be read: {said}"
        )));
    }
    Ok(answers(&String::from_utf8_lossy(&reply.stdout), queries))
}

fn script(queries: &[FileQuery]) -> String {
    let mut script = String::from(
        // f: follow or not, path, largest content. Prints one block of lines, ended by a dot.
        "ld=; lr=
p() { f=$1; p=$2; m=$3; d=${p%/*}; [ -n \"$d\" ] || d=/; [ \"$p\" = / ] && d=/
if [ \"$d\" != \"$ld\" ]; then ld=$d; lr=; no=; e=$d
while [ ! -d \"$e\" ] && [ -n \"$e\" ]; do e=${e%/*}; done; [ -n \"$e\" ] || e=/
[ -x \"$e\" ] || no=1
if cd -P -- \"$e\" 2>/dev/null; then lr=${PWD%/}${d#\"${e%/}\"}; fi; fi
if [ -n \"$no\" ]; then echo denied; echo .; return; fi
if [ ! -e \"$p\" ] && [ ! -L \"$p\" ]; then echo \"absent $lr\"; echo .; return; fi
if [ $f = 1 ] && [ -e \"$p\" ]; then L=-L; else L=; fi
s=$(stat $L -c '",
    );
    script.push_str(FORMAT);
    script.push_str(
        "' -- \"$p\" 2>&1) || { echo \"failed $s\"; echo .; return; }
echo \"found $s\"; echo \"$lr\"
if [ -L \"$p\" ]; then if [ $f = 1 ]; then echo \"real $(readlink -f -- \"$p\")\"; else echo \"link $(readlink -- \"$p\")\"; fi; fi
if [ -f \"$p\" ] && { [ $f = 1 ] || [ ! -L \"$p\" ]; }; then
if [ ! -r \"$p\" ]; then echo unreadable; else
set -- $s; if [ \"$4\" -le \"$m\" ]; then echo content; base64 < \"$p\"; else h=$(sha256sum < \"$p\"); echo \"hash ${h%% *}\"; fi; fi; fi
echo .; }
",
    );
    for query in queries.iter().filter(|q| can_be_asked(&q.path)) {
        let follow = u8::from(query.follow);
        let _ = writeln!(
            script,
            "p {follow} {} {}",
            word(&query.path),
            query.content_up_to
        );
    }
    script
}

/// A path that has a line end in it would be mistaken for several lines; one without a root has no meaning on a host.
fn can_be_asked(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['\n', '\0'])
}

fn answers(text: &str, queries: &[FileQuery]) -> Vec<Result<FileEntry, HostError>> {
    let mut lines = text.lines();
    queries
        .iter()
        .map(|query| {
            if !can_be_asked(&query.path) {
                return Err(HostError::failed(format!(
                    "{:?} cannot be read: a path begins with `/` and holds neither line ends nor NUL",
                    query.path
                )));
            }
            let mut block = Vec::new();
            let mut ended = false;
            for line in lines.by_ref() {
                if line == "." {
                    ended = true;
                    break;
                }
                block.push(line);
            }
            if !ended {
                return Err(HostError::failed(format!(
                    "{:?} could not be read",
                    query.path
                )));
            }
            entry(&block, query)
        })
        .collect()
}

fn entry(block: &[&str], query: &FileQuery) -> Result<FileEntry, HostError> {
    let path = &query.path;
    let first = block.first().copied().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let real = |folder: &str| {
        if folder.is_empty() {
            path.clone()
        } else {
            format!("{}/{name}", folder.trim_end_matches('/'))
        }
    };
    if first == "denied" {
        return Err(HostError::failed(format!(
            "{path}: this user may not look into its folder; use `become`"
        )));
    }
    if let Some(folder) = first.strip_prefix("absent") {
        return Ok(FileEntry {
            real_path: real(folder.trim_start()),
            file_type: FileType::Absent,
            mode: 0,
            uid: 0,
            owner: String::new(),
            gid: 0,
            group: String::new(),
            size: 0,
            mtime: 0,
            link: None,
            sha256: None,
            content: None,
            inode: String::new(),
        });
    }
    let Some(stat) = first.strip_prefix("found ") else {
        let said = first.trim_start_matches("failed ");
        return Err(HostError::failed(format!(
            "{path} could not be read: {said}"
        )));
    };
    let broken = || {
        HostError::failed(format!(
            "{path}: `stat` answered `{stat}`, which cannot be understood"
        ))
    };
    // Names from a directory server may hold blanks, but no colon.
    let fields: Vec<&str> = stat.splitn(7, ' ').collect();
    let [mode, uid, gid, size, mtime, inode, names] = fields[..] else {
        return Err(broken());
    };
    let (owner, group) = names.split_once(':').ok_or_else(broken)?;
    let raw = u32::from_str_radix(mode, 16).map_err(|_| broken())?;
    let file_type = match raw & 0o170_000 {
        0o100_000 => FileType::File,
        0o040_000 => FileType::Directory,
        0o120_000 => FileType::Link,
        _ => FileType::Other,
    };
    let name_or = |name: &str, number: &str| {
        if name == "UNKNOWN" {
            number.to_owned()
        } else {
            name.to_owned()
        }
    };
    let mut entry = FileEntry {
        real_path: if path == "/" {
            "/".to_owned()
        } else {
            real(block.get(1).copied().unwrap_or_default())
        },
        file_type,
        mode: raw & 0o7777,
        uid: uid.parse().map_err(|_| broken())?,
        owner: name_or(owner, uid),
        gid: gid.parse().map_err(|_| broken())?,
        group: name_or(group, gid),
        size: size.parse().map_err(|_| broken())?,
        mtime: mtime.parse().map_err(|_| broken())?,
        link: None,
        sha256: None,
        content: None,
        inode: inode.to_owned(),
    };
    let mut rest = block.iter().skip(2);
    while let Some(line) = rest.next() {
        if let Some(link) = line.strip_prefix("link ") {
            entry.link = Some(link.to_owned());
        } else if let Some(target) = line.strip_prefix("real ") {
            target.clone_into(&mut entry.real_path);
        } else if let Some(hash) = line.strip_prefix("hash ") {
            entry.sha256 = Some(hash.to_owned());
        } else if *line == "unreadable" {
            return Err(HostError::failed(format!(
                "{path}: this user may not read it; use `become`"
            )));
        } else if *line == "content" {
            let encoded: String = rest.by_ref().copied().collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .map_err(|_| broken())?;
            entry.sha256 = Some(hex::encode(Sha256::digest(&bytes)));
            entry.size = bytes.len() as u64;
            entry.content = (query.content_up_to > 0).then(|| Bytes::from(bytes));
        }
    }
    Ok(entry)
}
