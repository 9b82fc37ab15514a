//! Reading files in one round trip.
//!
//! One snippet for all paths: the shell's own tests find what is there, one `stat` tells of all of it, contents come
//! as base64, and only files too large to be sent are hashed on the host.
//!
//! Names on a host hold whatever its users like, line ends too. So a name is sent as it is only where it has nothing
//! but harmless characters, which costs no process, and as base64 else. What is told of a path stands between two lines
//! that carry its number and a word that nobody on the host can guess: it is never taken for that of another path.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use bytes::Bytes;
use rand::RngCore;
use sha2::{Digest, Sha256};

use super::quote::word;
use crate::host::{Connection, FileEntry, FileQuery, FileType, HostError, Snippet, User};

/// What `stat` prints of a path: raw mode, numbers, size, time, identity, names.
const FORMAT: &str = "%f %u %g %s %Y %d:%i %h %U:%G";

/// Reads all queried paths with one snippet.
pub async fn read(
    connection: &dyn Connection,
    user: &User,
    queries: &[FileQuery],
) -> Result<Vec<Result<FileEntry, HostError>>, HostError> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let mut random = [0_u8; 16];
    rand::rng().fill_bytes(&mut random);
    let nonce = hex::encode(random);
    let body = script(queries, &nonce);
    let snippet = Snippet {
        functions: &FUNCTIONS,
        body: &body,
    };
    let reply = connection.snippet(user, snippet, None, true).await?;
    if reply.status != 0 {
        let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
        return Err(HostError::failed(format!(
            "files could not be read: {said}"
        )));
    }
    answers(&reply.stdout, queries, &nonce)
}

/// `t` tells a word and a name. `lr` is what is told of a directory, once for all paths in it. `p` takes number, follow or
/// not, path, largest content (`-`: not even a hash), and prints a block of lines. Of a link that is followed and leads to
/// nothing is told where that would be; `k` counts links, so that none are followed in a circle.
const FUNCTIONS_OF_FORMAT: &str = r#"unset IFS; LC_ALL=C; export LC_ALL; n='
'; ld=; lr=
t() { case $2 in *[!A-Za-z0-9_./:,@%+=' '-]*) h=$(printf %s "$2" | base64); echo "$1" x $h;; *) echo "$1 =$2";; esac; }
w() { L=$(readlink "$@"; echo x); L=${L%x}; L=${L%"$n"}; }
p() { echo "$N $1"; k=0; b "$2" "$3" "$4"; echo "$N $1 ."; }
b() { f=$1; p=$2; m=$3
if [ $f = 1 ] && [ -L "$p" ] && [ ! -e "$p" ] && [ $k -lt 40 ]; then k=$((k + 1)); w -- "$p"
case $L in /*) r=$L;; *) r=${p%/*}/$L;; esac
while :; do case $r in ?*/) r=${r%/};; *) break;; esac; done
b 1 "$r" "$m"; return; fi
d=${p%/*}; [ -n "$d" ] || d=/; [ "$p" = / ] && d=/
if [ "$d" != "$ld" ]; then ld=$d; lr=; no=; e=$d
while [ ! -d "$e" ] && [ -n "$e" ]; do
if [ -L "$e" ] && [ $k -lt 40 ]; then k=$((k + 1)); w -- "$e"; c=$e
case $L in /*) e=$L;; *) e=${e%/*}/$L;; esac
while :; do case $e in ?*/) e=${e%/};; *) break;; esac; done; d=$e${d#"$c"}
else e=${e%/*}; fi; done; [ -n "$e" ] || e=/
[ -x "$e" ] || no=1
if cd -P -- "$e" 2>/dev/null; then lr=${PWD%/}${d#"${e%/}"}; fi; lr=$(t folder "$lr")
[ -w "$e" ] || lr="$lr${n}closed"
[ ! -k "$e" ] || [ -O "$e" ] || lr="$lr${n}sticky"
if [ -g "$e" ]; then lr=$lr$n$(t handed "$(stat -L -c '%g %G' -- "$e")"); fi; fi
if [ -n "$no" ]; then echo denied; return; fi
if [ ! -e "$p" ] && [ ! -L "$p" ]; then echo absent; echo "$lr"; [ $k = 0 ] || t end "${p##*/}"; return; fi
if [ $f = 1 ] && [ -e "$p" ]; then L=-L; else L=; fi
s=$(stat $L -c 'FORMAT' -- "$p" 2>&1) || { t failed "$s"; return; }
t found "$s"; echo "$lr"
if [ -L "$p" ]; then if [ $f = 1 ]; then w -f -- "$p"; t real "$L"; else w -- "$p"; t link "$L"; fi; fi
if [ "$m" != - ] && [ -f "$p" ] && { [ $f = 1 ] || [ ! -L "$p" ]; }; then
if [ ! -r "$p" ]; then echo unreadable; else
set -f; set -- $s; if [ "$4" -le "$m" ]; then echo content; base64 < "$p"; else h=$(sha256sum < "$p"); echo "hash ${h%% *}"; fi; fi; fi
}
"#;

/// What every script begins with.
static FUNCTIONS: LazyLock<String> =
    LazyLock::new(|| FUNCTIONS_OF_FORMAT.replace("FORMAT", FORMAT));

/// What follows the functions.
fn script(queries: &[FileQuery], nonce: &str) -> String {
    let mut script = format!("N={nonce}\n");
    for (number, query) in queries.iter().enumerate() {
        if can_be_asked(&query.path) {
            let follow = u8::from(query.follow);
            let path = word(&query.path);
            let most = query
                .content_up_to
                .map_or("-".to_owned(), |n| n.to_string());
            let _ = writeln!(script, "p {number} {follow} {path} {most}");
        }
    }
    script
}

/// A path without a root has no meaning on a host, and one with a line end is not written on purpose.
fn can_be_asked(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['\n', '\0'])
}

/// The lines that were printed of each path, by its number. `None`: something else was printed too, so that nothing of
/// it can be trusted.
fn blocks<'a>(text: &'a str, nonce: &str) -> Option<HashMap<usize, Vec<&'a str>>> {
    let mut blocks = HashMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let number = line.strip_prefix(nonce)?.strip_prefix(' ')?;
        let end = format!("{line} .");
        let mut block = Vec::new();
        loop {
            match lines.next()? {
                line if line == end => break,
                line if line.starts_with(nonce) => return None,
                line => block.push(line),
            }
        }
        if blocks.insert(number.parse().ok()?, block).is_some() {
            return None;
        }
    }
    Some(blocks)
}

fn answers(
    output: &[u8],
    queries: &[FileQuery],
    nonce: &str,
) -> Result<Vec<Result<FileEntry, HostError>>, HostError> {
    let blocks = std::str::from_utf8(output)
        .ok()
        .and_then(|text| blocks(text, nonce))
        .ok_or_else(|| {
            HostError::failed("files could not be read: the answer of the host is not in order")
        })?;
    let answer = |(number, query): (usize, &FileQuery)| {
        let path = &query.path;
        if !can_be_asked(path) {
            return Err(HostError::failed(format!(
                "{path:?} cannot be read: a path begins with `/` and holds neither line ends nor NUL"
            )));
        }
        match blocks.get(&number) {
            Some(block) => entry(block, query),
            None => Err(HostError::failed(format!("{path:?} could not be read"))),
        }
    };
    Ok(queries.iter().enumerate().map(answer).collect())
}

/// A name as it was sent: `=NAME`, or `x` and its base64.
fn name(sent: &str, of: &str) -> Result<String, HostError> {
    let broken = || HostError::failed(format!("{of}: the answer of the host cannot be understood"));
    if let Some(plain) = sent.strip_prefix('=') {
        return Ok(plain.to_owned());
    }
    let encoded = sent.strip_prefix('x').ok_or_else(broken)?.replace(' ', "");
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .map_err(|_| broken())?;
    if bytes.is_empty() {
        // Only what holds something is sent so: the host has no base64.
        return Err(broken());
    }
    String::from_utf8(bytes).map_err(|e| {
        HostError::failed(format!(
            "{of}: a name on the way there is not in UTF-8, and runbook cannot write it: {:?}",
            String::from_utf8_lossy(e.as_bytes())
        ))
    })
}

/// Why a path cannot be read behind a directory that this user may not search.
#[must_use]
pub fn shut_out(path: &str) -> HostError {
    HostError::failed(format!(
        "{path}: this user may not look into its folder; use `become`"
    ))
}

/// Why a file cannot be read that this user has no right to read.
#[must_use]
pub fn not_readable(path: &str) -> HostError {
    HostError::failed(format!("{path}: this user may not read it; use `become`"))
}

fn entry(block: &[&str], query: &FileQuery) -> Result<FileEntry, HostError> {
    let path = &query.path;
    let first = block.first().copied().unwrap_or_default();
    if first == "denied" {
        return Err(shut_out(path));
    }
    if let Some(said) = first.strip_prefix("failed ") {
        // Only a message: it may hold anything.
        let said = name(said, path).unwrap_or_else(|e| e.to_string());
        return Err(HostError::failed(format!(
            "{path} could not be read: {said}"
        )));
    }
    let real_path = |folder: &str| {
        let last = path.rsplit('/').next().unwrap_or_default();
        if folder.is_empty() || path == "/" {
            path.clone()
        } else {
            format!("{}/{last}", folder.trim_end_matches('/'))
        }
    };
    let folder = match block.get(1).and_then(|l| l.strip_prefix("folder ")) {
        Some(folder) => name(folder, path)?,
        None => String::new(),
    };
    // What is told of the directory stands between the name of its folder and what is told of the path itself.
    let of_directory = || block.iter().skip(2).take(3);
    let writable = !of_directory().any(|line| *line == "closed");
    let sticky = of_directory().any(|line| *line == "sticky");
    let handed = match of_directory().find_map(|l| l.strip_prefix("handed ")) {
        Some(sent) => {
            let told = name(sent, path)?;
            let parts = told.split_once(' ').and_then(|(gid, group)| {
                let called = if group == "UNKNOWN" { gid } else { group };
                Some((gid.parse().ok()?, called.to_owned()))
            });
            let broken = || {
                HostError::failed(format!(
                    "{path}: the group of its directory cannot be understood: {told}"
                ))
            };
            Some(parts.ok_or_else(broken)?)
        }
        None => None,
    };
    if first == "absent" {
        // What a link leads to that was followed has a name of its own in its folder.
        let end = block.iter().find_map(|line| line.strip_prefix("end "));
        return Ok(FileEntry {
            real_path: match end {
                Some(end) => format!("{}/{}", folder.trim_end_matches('/'), name(end, path)?),
                None => real_path(&folder),
            },
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
            links: 0,
            handed,
            writable,
            sticky,
        });
    }
    let stat = match first.strip_prefix("found ") {
        Some(stat) => name(stat, path)?,
        None => {
            return Err(HostError::failed(format!(
                "{path} could not be read: {first}"
            )));
        }
    };
    let broken = || {
        HostError::failed(format!(
            "{path}: `stat` answered `{stat}`, which cannot be understood"
        ))
    };
    // Names from a directory server may hold blanks, but no colon.
    let fields: Vec<&str> = stat.splitn(8, ' ').collect();
    let [mode, uid, gid, size, mtime, inode, links, names] = fields[..] else {
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
    let name_or = |called: &str, number: &str| {
        if called == "UNKNOWN" {
            number.to_owned()
        } else {
            called.to_owned()
        }
    };
    let mut entry = FileEntry {
        real_path: real_path(&folder),
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
        links: links.parse().map_err(|_| broken())?,
        handed,
        writable,
        sticky,
    };
    let mut rest = block.iter().skip(2);
    while let Some(line) = rest.next() {
        if let Some(link) = line.strip_prefix("link ") {
            entry.link = Some(name(link, path)?);
        } else if let Some(target) = line.strip_prefix("real ") {
            let target = name(target, path)?;
            if !target.is_empty() {
                entry.real_path = target;
            }
        } else if let Some(hash) = line.strip_prefix("hash ") {
            entry.sha256 = Some(hash.to_owned());
        } else if *line == "unreadable" {
            return Err(not_readable(path));
        } else if *line == "content" {
            let encoded: String = rest.by_ref().copied().collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .map_err(|_| broken())?;
            entry.sha256 = Some(hex::encode(Sha256::digest(&bytes)));
            entry.size = bytes.len() as u64;
            let wanted = query.content_up_to.is_some_and(|most| most > 0);
            entry.content = wanted.then(|| Bytes::from(bytes));
        }
    }
    Ok(entry)
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
