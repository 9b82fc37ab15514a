//! The script that writes files: all changes of a task, whose parts either all happen or are taken back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use runbook_engine::host::FileType;
use runbook_engine::resource::{KeyedChange, WriteError};
use runbook_engine::transport::quote::word;

use super::ASIDE;
use crate::file::kind::FileKind;
use crate::file::rights::default_mode;
use crate::file::state::{FileState, FileWant, Source, parent};
use crate::file::words;

/// Names in a directory have at most 255 bytes; this much of a name is kept in those made from it.
const NAME_ROOM: usize = 180;

/// The functions that every script rests on. POSIX sh; `stat`, `sha256sum`, `mv -T` in their GNU and BusyBox forms,
/// with those of BSD as the second choice. Where `mv` has no way to take the place of a link to a directory (BusyBox's
/// own), the link goes first, and for a moment nothing is there.
pub(super) const FUNCTIONS: &str = r#"umask 077
LC_ALL=C; export LC_ALL
undo= ; left=
say() { printf '%s\t%s\t%s\n' "$1" "$2" "$(printf %s "$3" | tr '\n\t' '  ')"; }
sum() { { sha256sum <"$1" || openssl dgst -sha256 -r <"$1" || sha256 -q <"$1"; } 2>/dev/null | cut -c1-64; }
facts() { stat -c '%a %u %g' -- "$1" 2>/dev/null || stat -f '%Mp%Lp %u %g' -- "$1" | sed 's/^0*//'; }
type_of() {
  if [ -L "$1" ]; then echo link; elif [ -f "$1" ]; then echo file; elif [ -d "$1" ]; then echo directory
  elif [ -e "$1" ]; then echo other; else echo absent; fi
}
same() {
  t=$(type_of "$1")
  [ "$t" = "$2" ] || { found="found: $t"; return 1; }
  if [ -n "$3" ]; then
    f=$(facts "$1")
    [ "$f" = "$3" ] || { found="found: $t with mode, owner and group $f"; return 1; }
  fi
  if [ -n "$4" ]; then
    case $t in
      file) s=$(sum "$1"); [ "$s" = "$4" ] || { found="found: a file with sha256 $s"; return 1; } ;;
      link) s=$(readlink -- "$1"); [ "$s" = "$4" ] || { found="found: a link to $s"; return 1; } ;;
    esac
  fi
}
back() { clean; for u in $undo; do "$u" || left="$left $u"; done; undo=; }
moved() { back; say moved "$1" "$found"; [ -z "$left" ] || say left "$1" "$left"; exit 0; }
failed() { back; say failed "$1" "$2"; [ -z "$left" ] || say left "$1" "$left"; exit 0; }
try() { i=$1; shift; e=$("$@" 2>&1) || failed "$i" "$e"; }
make() { e=$(mkdir -- "$2" 2>&1) || { [ ! -d "$2" ] || { found='found: directory'; moved "$1"; }; failed "$1" "$e"; }; }
fresh() { ( set -C; : >"$2" ) 2>/dev/null || { e=$( ( set -C; : >"$2" ) 2>&1 ); failed "$1" "no temporary file could be made: $e"; }; }
stale() { for f in "$1"*."$2"; do case $f in *"$3"*) ;; *) [ ! -f "$f" ] && [ ! -L "$f" ] || rm -f -- "$f" 2>/dev/null ;; esac; done; }
over() {
  if [ -L "$2" ] && [ -d "$2" ]; then mv -fT -- "$1" "$2" 2>/dev/null || mv -fh -- "$1" "$2" 2>/dev/null || { rm -f -- "$2" && mv -f -- "$1" "$2"; }
  else mv -f -- "$1" "$2"; fi
}
keep() { ln -f -- "$1" "$2" 2>/dev/null || { [ ! -e "$2" ] && cp -p -- "$1" "$2"; }; }
away() { [ ! -e "$2" ] && [ ! -L "$2" ] || { echo "$2 is in the way"; return 1; }; mv -f -- "$1" "$2"; }
owned() { if [ "$(facts "$1" | cut -d' ' -f2-)" != "$3 $4" ]; then chown $2 -- "$3:$4" "$1"; fi; }
room() {
  free=$(df -Pk -- "$2" 2>/dev/null | awk 'NR==2 {print $4}')
  [ -z "$free" ] || [ "$free" -ge "$3" ] || failed "$1" "$2 has $free KiB free, $3 KiB are needed"
}
"#;

/// A script in the making.
struct Script {
    text: String,
    /// Functions that take a step back, in front of all steps.
    functions: String,
    /// Temporary files.
    temporary: Vec<String>,
    /// Contents that travel with the script.
    contents: Vec<u8>,
    /// Where each of them begins.
    parts: Vec<(usize, String, usize, usize)>,
    /// Temporary files that hold a new content, flushed to disk before their names change.
    prepared: Vec<String>,
    /// Directories whose entries change, flushed to disk at the end.
    flush: Vec<String>,
    /// Kept until the end of the script only.
    drop: Vec<String>,
    /// Made anew: they get the label that the system's policy gives.
    label: Vec<String>,
    nonce: String,
}

/// The script that makes all changes, after [`FUNCTIONS`], and what it reads from its standard input.
pub(super) fn script(
    changes: &[KeyedChange<FileKind>],
    nonce: &str,
    places: &BTreeMap<usize, String>,
) -> Result<(String, Option<Bytes>), WriteError> {
    let mut script = Script::new(nonce);
    let ordered = in_order(changes);
    for &i in &ordered {
        script.prepare(i, &changes[i], places.get(&i))?;
    }
    script.flush_prepared();
    for &i in &ordered {
        script.commit(i, &changes[i]);
    }
    Ok(script.finish(&ordered, changes))
}

/// Parents before what they hold, copies before what they copy is changed, removals last and deepest first.
fn in_order(changes: &[KeyedChange<FileKind>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..changes.len()).collect();
    let rank = |i: usize| {
        let change = &changes[i].change;
        let removal = change.to.is == FileType::Absent;
        let depth = changes[i].key.path.matches('/').count();
        let copied = matches!(&change.want.content, Some(Source::Copy { .. }));
        (
            removal,
            if removal { usize::MAX - depth } else { depth },
            !copied,
        )
    };
    order.sort_by_key(|&i| rank(i));
    order
}

/// The place beside `path` where what stands there now is kept.
#[must_use]
pub(super) fn aside(path: &str, state: &FileState) -> String {
    let mark = state
        .inode
        .as_deref()
        .unwrap_or("old")
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    beside(path, &format!("{mark}~"))
}

pub(super) fn beside(path: &str, end: &str) -> String {
    let dir = parent(path).trim_end_matches('/');
    let mut name = path.rsplit('/').next().unwrap_or_default();
    while name.len() > NAME_ROOM {
        let cut = name.char_indices().next_back().map_or(0, |(at, _)| at);
        name = &name[..cut];
    }
    format!("{dir}/.{name}{ASIDE}{end}")
}

fn type_word(is: FileType) -> &'static str {
    match is {
        FileType::Absent => "absent",
        FileType::File => "file",
        FileType::Directory => "directory",
        FileType::Link => "link",
        FileType::Other => "other",
    }
}

/// `same PATH TYPE FACTS VALUE`: does what stands at the path agree with the state?
pub(super) fn same(path: &str, state: &FileState) -> String {
    let facts = match (state.is, state.mode, state.uid, state.gid) {
        (FileType::Absent | FileType::Link, ..) => String::new(),
        (_, Some(mode), Some(uid), Some(gid)) => format!("{mode:o} {uid} {gid}"),
        _ => String::new(),
    };
    let value = match state.is {
        FileType::File => state.sha256.clone(),
        FileType::Link => state.link.clone(),
        _ => None,
    }
    .unwrap_or_default();
    format!(
        "same {} {} {} {}",
        word(path),
        type_word(state.is),
        word(&facts),
        word(&value)
    )
}

/// Where the bytes of a new content come from.
pub(super) enum Bring<'a> {
    Bytes(&'a [u8]),
    Local {
        path: &'a str,
        sha256: &'a str,
    },
    /// Another file on the host.
    Copy {
        path: &'a str,
    },
    /// What an earlier change kept aside.
    Aside(String),
}

/// What a change asks for the content of its file; `None` where the content stays.
pub(super) fn bring<'a>(
    path: &str,
    from: &FileState,
    to: &'a FileState,
    want: &'a FileWant,
) -> Option<Bring<'a>> {
    if to.is != FileType::File || (from.is == FileType::File && from.sha256 == to.sha256) {
        return None;
    }
    let wanted = want
        .content
        .as_ref()
        .filter(|s| Some(s.sha256()) == to.sha256);
    Some(match (wanted, &to.content) {
        (Some(Source::Bytes(content)), _) | (_, Some(content)) => Bring::Bytes(&content.0),
        (Some(Source::Local { path, sha256, .. }), None) => Bring::Local { path, sha256 },
        (Some(Source::Copy { path, .. }), None) => Bring::Copy { path },
        (None, None) => Bring::Aside(aside(path, to)),
    })
}

impl Script {
    fn new(nonce: &str) -> Self {
        Self {
            text: String::new(),
            functions: String::new(),
            temporary: Vec::new(),
            contents: Vec::new(),
            parts: Vec::new(),
            prepared: Vec::new(),
            flush: Vec::new(),
            drop: Vec::new(),
            label: Vec::new(),
            nonce: nonce.to_owned(),
        }
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn temporary(&self, i: usize, path: &str) -> String {
        beside(path, &format!("{}-{i}.tmp", self.nonce))
    }

    /// A line that removes what a write of the same path has left that was killed half way.
    fn stale(&self, path: &str, end: &str) -> String {
        format!("stale {} {end} {}", word(&beside(path, "")), self.nonce)
    }

    /// Everything that can be done before the first thing is changed. `uploaded`: where its content lies already.
    fn prepare(
        &mut self,
        i: usize,
        keyed: &KeyedChange<FileKind>,
        uploaded: Option<&String>,
    ) -> Result<(), WriteError> {
        let path = keyed.key.path.as_str();
        let (from, to, want) = (&keyed.change.from, &keyed.change.to, &keyed.change.want);
        // A parent that this very script makes is not there yet; the check before the rename covers its children.
        self.line(format!("{} || moved {i}", same(path, from)));
        let Some(bring) = bring(path, from, to, want) else {
            return Ok(());
        };
        if hard_link(from, to, want).is_some() {
            return Ok(());
        }
        let temporary = self.temporary(i, path);
        let t = word(&temporary);
        let dir = word(parent(path));
        let size = to.size.unwrap_or_default();
        if size > 16 * 1024 * 1024 {
            self.line(format!(
                "[ ! -d {dir} ] || room {i} {dir} {}",
                size / 1024 + 1024
            ));
        }
        self.temporary.push(temporary.clone());
        let mut prepared = format!("{}\nfresh {i} {t}\n", self.stale(path, "tmp"));
        if from.is == FileType::File {
            // Access lists, labels and extended attributes come along where the tools for it are there.
            let _ = writeln!(
                prepared,
                "cp --attributes-only --preserve=all -- {p} {t} 2>/dev/null || chcon --reference={p} -- {t} 2>/dev/null || :\nchmod 0600 -- {t}",
                p = word(path)
            );
        }
        match (bring, uploaded) {
            (_, Some(place)) => {
                self.temporary.push(place.clone());
                let _ = writeln!(prepared, "try {i} mv -f -- {} {t}", word(place));
            }
            (Bring::Bytes(content), None) => {
                self.parts
                    .push((i, temporary.clone(), self.contents.len(), content.len()));
                self.contents.extend_from_slice(content);
                let _ = writeln!(prepared, "put{i}");
            }
            (Bring::Local { path: local, .. }, None) => {
                return Err(WriteError::failed(format!(
                    "{local} was not brought to the host"
                )));
            }
            (Bring::Copy { path: other }, None) => {
                let _ = writeln!(prepared, "try {i} cp -- {} {t}", word(other));
            }
            (Bring::Aside(place), None) => {
                let _ = writeln!(prepared, "try {i} ln -f -- {} {t}", word(&place));
            }
        }
        let _ = writeln!(prepared, "touch -- {t}");
        prepared.push_str(&attributes(i, &t, "", from, to, want));
        if let Some(sha) = &to.sha256 {
            let _ = writeln!(
                prepared,
                "[ \"$(sum {t})\" = {sha} ] || failed {i} 'the content did not arrive whole (is the disk full?)'"
            );
        }
        if let Some(validate) = &want.validate {
            let mut line = String::new();
            for part in words::split(validate).map_err(WriteError::failed)? {
                let _ = write!(line, " {}", word(&part.replace("%s", &temporary)));
            }
            let _ = writeln!(
                prepared,
                "e=$({line} 2>&1 </dev/null) || failed {i} \"the validator {} refuses the new content: $e\"",
                shown(validate)
            );
        }
        // The temporary file of a child of a new directory can be made only when the directory stands.
        self.prepared.push(temporary);
        let _ = write!(self.functions, "prepare{i}() {{\n{prepared}:\n}}\n");
        self.line(format!("[ ! -d {dir} ] || {{ prepare{i}; ready{i}=y; }}"));
        Ok(())
    }

    /// What a file holds is on the disk before its name is, so that a machine that stops at any instant shows the
    /// old content or the new. A `sync` that knows no single files flushes everything.
    fn flush_prepared(&mut self) {
        if !self.prepared.is_empty() {
            let words: Vec<String> = self.prepared.iter().map(|p| word(p)).collect();
            self.line(format!("sync -- {} 2>/dev/null || :", words.join(" ")));
        }
    }

    /// The change itself.
    fn commit(&mut self, i: usize, keyed: &KeyedChange<FileKind>) {
        let path = keyed.key.path.as_str();
        let p = word(path);
        let (from, to, want) = (&keyed.change.from, &keyed.change.to, &keyed.change.want);
        let old = aside(path, from);
        let a = word(&old);
        let brings = bring(path, from, to, want);
        let large = from.is == FileType::File && from.content.is_none();

        if to.is == FileType::Absent {
            if from.is == FileType::Absent {
                return;
            }
            self.line(format!("{} || moved {i}", same(path, from)));
            if from.is == FileType::Directory {
                let _ = writeln!(
                    self.functions,
                    "undo{i}() {{ if [ -d {a} ]; then mv -f -- {a} {p}; else mkdir -- {p}{}; fi; }}",
                    restore_attributes(&p, "", from)
                );
                self.line(format!(
                    "rmdir -- {p} 2>/dev/null || {{ try {i} away {p} {a}; kept{i}=y; }}"
                ));
            } else {
                let _ = writeln!(self.functions, "undo{i}() {{ mv -f -- {a} {p}; }}");
                self.line(format!("try {i} away {p} {a}"));
                if large {
                    self.line(format!("kept{i}=y"));
                } else {
                    self.drop.push(old);
                }
            }
            self.line(format!("undo=\"undo{i} $undo\""));
            return;
        }

        let in_the_way = from.is != FileType::Absent
            && from.is != to.is
            && (from.is == FileType::Directory || to.is == FileType::Directory);
        let replaces =
            brings.is_some() || to.is == FileType::Link && from.link != to.link || from.is != to.is;
        if !replaces && hard_link(from, to, want).is_none() {
            self.line(format!("{} || moved {i}", same(path, from)));
            let flag = if to.is == FileType::Link { "-h" } else { "" };
            let _ = writeln!(
                self.functions,
                "undo{i}() {{ :{}; }}",
                restore_attributes(&p, flag, from)
            );
            self.line(format!("undo=\"undo{i} $undo\""));
            self.text.push_str(&attributes(i, &p, flag, from, to, want));
            return;
        }

        if brings.is_some() && hard_link(from, to, want).is_none() {
            let t = word(&self.temporary(i, path));
            self.line(format!(
                "[ -n \"${{ready{i}-}}\" ] || {{ prepare{i}; sync -- {t} 2>/dev/null || :; }}"
            ));
        }
        self.line(format!("{} || moved {i}", same(path, from)));
        if in_the_way {
            let remade = restore_attributes(&p, "", from);
            let again = if from.is == FileType::Directory {
                format!("if [ -d {a} ]; then mv -f -- {a} {p}; else mkdir -- {p}{remade}; fi")
            } else {
                format!("mv -f -- {a} {p}")
            };
            let _ = writeln!(
                self.functions,
                "undo{i}() {{ rm -f -- {p} 2>/dev/null || rmdir -- {p}; {again}; }}"
            );
            if from.is == FileType::Directory {
                self.line(format!(
                    "rmdir -- {p} 2>/dev/null || {{ try {i} away {p} {a}; kept{i}=y; }}"
                ));
            } else {
                self.line(format!("try {i} away {p} {a}"));
                if large {
                    self.line(format!("kept{i}=y"));
                } else {
                    self.drop.push(old);
                }
            }
            self.line(format!("undo=\"undo{i} $undo\""));
        } else {
            match from.is {
                FileType::Absent if to.is == FileType::Directory => {
                    let _ = writeln!(
                        self.functions,
                        "undo{i}() {{ [ ! -d {p} ] || rmdir -- {p}; }}"
                    );
                }
                FileType::Absent => {
                    let _ = writeln!(self.functions, "undo{i}() {{ rm -f -- {p}; }}");
                }
                FileType::File => {
                    let _ = writeln!(self.functions, "undo{i}() {{ mv -f -- {a} {p}; }}");
                    self.line(format!("try {i} keep {p} {a}"));
                    if large {
                        self.line(format!("kept{i}=y"));
                    } else {
                        self.drop.push(old);
                    }
                }
                FileType::Link => {
                    let link = word(from.link.as_deref().unwrap_or_default());
                    let _ = writeln!(
                        self.functions,
                        "undo{i}() {{ rm -f -- {p}; ln -s -- {link} {p}; }}"
                    );
                }
                FileType::Directory | FileType::Other => {
                    let _ = writeln!(
                        self.functions,
                        "undo{i}() {{ rm -f -- {p}; mv -f -- {a} {p}; }}"
                    );
                    self.line(format!("try {i} away {p} {a}"));
                    self.line(format!("kept{i}=y"));
                }
            }
        }
        // A new directory is taken back only once it is known for ours.
        let makes = from.is == FileType::Absent && to.is == FileType::Directory;
        if !in_the_way && !makes {
            self.line(format!("undo=\"undo{i} $undo\""));
        }
        self.make(i, path, keyed);
        if from.is == FileType::Absent {
            self.label.push(path.to_owned());
        }
        self.flush.push(parent(path).to_owned());
    }

    /// Puts the new thing into its place.
    fn make(&mut self, i: usize, path: &str, keyed: &KeyedChange<FileKind>) {
        let p = word(path);
        let (from, to, want) = (&keyed.change.from, &keyed.change.to, &keyed.change.want);
        let temporary = self.temporary(i, path);
        let t = word(&temporary);
        match to.is {
            FileType::Directory => {
                // A directory that an earlier change put aside comes back with all that is in it.
                // Where the number of its inode is in use again, nothing was put aside.
                let back = to
                    .inode
                    .as_ref()
                    .filter(|_| to.inode != from.inode)
                    .map(|_| word(&aside(path, to)));
                match back {
                    Some(back) => self.line(format!(
                        "if [ -d {back} ] && [ ! -L {back} ]; then try {i} mv -f -- {back} {p}; else make {i} {p}; fi"
                    )),
                    None => self.line(format!("make {i} {p}")),
                }
                if from.is == FileType::Absent {
                    self.line(format!("undo=\"undo{i} $undo\""));
                }
                self.text
                    .push_str(&attributes(i, &p, "", &FileState::absent(path), to, want));
            }
            FileType::Link => {
                self.temporary.push(temporary);
                let link = word(to.link.as_deref().unwrap_or_default());
                self.line(self.stale(path, "tmp"));
                self.line(format!("try {i} ln -s -- {link} {t}"));
                self.text.push_str(&attributes(i, &t, "-h", from, to, want));
                self.line(format!("try {i} over {t} {p}"));
            }
            _ => {
                if let Some(hard) = hard_link(from, to, want) {
                    self.temporary.push(temporary);
                    self.line(self.stale(path, "tmp"));
                    self.line(format!("try {i} ln -- {} {t}", word(hard)));
                }
                self.line(format!("try {i} over {t} {p}"));
            }
        }
    }

    /// All of the script and what it reads.
    fn finish(
        mut self,
        ordered: &[usize],
        changes: &[KeyedChange<FileKind>],
    ) -> (String, Option<Bytes>) {
        let mut head = String::from("(\n");
        let bundle = match self.parts.as_slice() {
            [] | [_] => None,
            [(first, ..), ..] => {
                let place = beside(&changes[*first].key.path, &format!("{}.all", self.nonce));
                Some(place)
            }
        };
        for (i, place, start, len) in &self.parts {
            let t = word(place);
            let how = match &bundle {
                None => format!("cat >{t}"),
                Some(_) => format!("tail -c +{} -- \"$bundle\" | head -c {len} >{t}", start + 1),
            };
            let _ = writeln!(
                head,
                "put{i}() {{ e=$({{ {how}; }} 2>&1) || failed {i} \"$e\"; }}"
            );
        }
        head.push_str(&self.functions);
        let words = |paths: &[String]| paths.iter().map(|p| word(p)).collect::<Vec<_>>().join(" ");
        let mut temporary = words(&self.temporary);
        if bundle.is_some() {
            temporary.push_str(" \"$bundle\"");
        }
        if temporary.is_empty() {
            head.push_str("clean() { :; }\n");
        } else {
            let _ = writeln!(head, "clean() {{ rm -f -- {temporary}; }}");
        }
        if let Some(place) = &bundle {
            // The nearest directory that stands: the first file's own may be made by this very script.
            let name = place.rsplit('/').next().unwrap_or_default();
            let _ = writeln!(
                head,
                "d={}; while [ ! -d \"$d\" ]; do d=${{d%/*}}; [ -n \"$d\" ] || d=/; done\nbundle=$d/{}",
                word(parent(place)),
                word(name)
            );
            let (first, ..) = self.parts[0];
            let beginning = beside(&changes[first].key.path, "");
            let beginning = word(beginning.rsplit('/').next().unwrap_or_default());
            let _ = writeln!(
                head,
                "stale \"$d\"/{beginning} all {}\nfresh {first} \"$bundle\"\ne=$({{ cat >\"$bundle\"; }} 2>&1) || failed {first} \"$e\"",
                self.nonce
            );
        }
        self.flush.sort();
        self.flush.dedup();
        if !self.flush.is_empty() {
            let _ = writeln!(self.text, "sync -- {} 2>/dev/null || :", words(&self.flush));
        }
        if !self.label.is_empty() {
            let _ = writeln!(
                self.text,
                "if command -v selinuxenabled >/dev/null 2>&1 && selinuxenabled; then restorecon -- {} 2>/dev/null || :; fi",
                words(&self.label)
            );
        }
        if !self.drop.is_empty() {
            let _ = writeln!(self.text, "rm -f -- {}", words(&self.drop));
        }
        for &i in ordered {
            let change = &changes[i];
            let place = word(&aside(&change.key.path, &change.change.from));
            let _ = writeln!(
                self.text,
                "[ -z \"${{kept{i}-}}\" ] || say kept {i} {place}"
            );
        }
        self.line("clean\nsay done - -\n)");
        head.push_str(&self.text);
        let stdin = (!self.contents.is_empty()).then(|| Bytes::from(self.contents));
        (head, stdin)
    }
}

/// The file that `to` shall be another name of.
fn hard_link<'a>(from: &FileState, to: &FileState, want: &'a FileWant) -> Option<&'a str> {
    let hard = want.hard.as_ref()?;
    (to.is == FileType::File
        && (hard.inode.is_none() || from.inode != hard.inode)
        && to.inode == hard.inode)
        .then_some(hard.path.as_str())
}

/// Owner, then mode (a change of owner strips setuid): as wanted, else as they were.
pub(super) fn attributes(
    i: usize,
    place: &str,
    flag: &str,
    from: &FileState,
    to: &FileState,
    want: &FileWant,
) -> String {
    let mut lines = String::new();
    let moved =
        |name: &Option<String>, was: &Option<String>, number: Option<u32>, old: Option<u32>| {
            // Names are resolved on the host; numbers that were read stand for themselves.
            match (number, name) {
                (Some(n), _) => Some((n.to_string(), old != Some(n) || from.is != to.is)),
                (None, Some(name)) => Some((name.clone(), was.as_ref() != Some(name))),
                _ => None,
            }
        };
    let owner = moved(&to.owner, &from.owner, to.uid, from.uid);
    let group = moved(&to.group, &from.group, to.gid, from.gid);
    let asked = want.owner.is_some()
        || want.group.is_some()
        || from.is != FileType::Absent
        || from.uid != to.uid
        || from.gid != to.gid;
    if asked {
        match (&owner, &group) {
            (Some((uid, _)), Some((gid, _))) if numeric(uid) && numeric(gid) => {
                let _ = writeln!(lines, "try {i} owned {place} '{flag}' {uid} {gid}");
            }
            _ => {
                let o = owner.as_ref().map(|(n, _)| n.as_str()).unwrap_or_default();
                let g = group
                    .as_ref()
                    .map(|(n, _)| format!(":{n}"))
                    .unwrap_or_default();
                let _ = writeln!(
                    lines,
                    "try {i} chown {flag} -- {} {place}",
                    word(&format!("{o}{g}"))
                );
            }
        }
    }
    if to.is != FileType::Link {
        let mode = to.mode.unwrap_or_else(|| default_mode(to.is));
        // With four digits GNU chmod would leave setuid and setgid of a directory as they are.
        let _ = writeln!(lines, "try {i} chmod -- {mode:05o} {place}");
    }
    lines
}

fn numeric(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// `; chown …; chmod …` back to what it was.
fn restore_attributes(place: &str, flag: &str, from: &FileState) -> String {
    let mut line = String::new();
    if let (Some(uid), Some(gid)) = (from.uid, from.gid) {
        let _ = write!(line, "; owned {place} '{flag}' {uid} {gid}");
    }
    if let (Some(mode), true) = (from.mode, from.is != FileType::Link) {
        let _ = write!(line, "; chmod -- {mode:05o} {place}");
    }
    line
}

/// A text inside double quotes of the script.
fn shown(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '"' | '$' | '`' | '\\' | '\n'))
        .collect()
}
