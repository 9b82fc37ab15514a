//! The script that brings a write of files that was cut off to where it can be read and wanted again: temporary files
//! go, what was taken out of its place without anything in its stead comes back, owner and mode of what stands there
//! become those that were to be.

use std::fmt::Write as _;

use runbook_engine::host::FileType;
use runbook_engine::resource::KeyedChange;
use runbook_engine::transport::quote::word;

use super::script::{aside, attributes, beside, same};
use crate::file::kind::FileKind;
use crate::file::state::{FileState, parent};

/// The script, after [`super::script::FUNCTIONS`]; it says what is kept aside as the script that writes does.
pub(super) fn script(changes: &[KeyedChange<FileKind>]) -> String {
    let mut script = "(\nclean() { :; }\n".to_owned();
    for (i, keyed) in changes.iter().enumerate() {
        let path = keyed.key.path.as_str();
        let (from, to, want) = (&keyed.change.from, &keyed.change.to, &keyed.change.want);
        temporary(&mut script, path);
        if from.is != FileType::Absent {
            put_aside(&mut script, i, path, from, to);
        }
        if to.is != FileType::Absent {
            let bare = FileState {
                mode: None,
                uid: None,
                gid: None,
                ..to.clone()
            };
            let flag = if to.is == FileType::Link { "-h" } else { "" };
            let attributes = attributes(i, &word(path), flag, from, to, want);
            let _ = writeln!(script, "if {}; then\n{attributes}:\nfi", same(path, &bare));
        }
    }
    script.push_str("say done - -\n)");
    script
}

/// Temporary files lie beside the file, or in the nearest directory above that stood at the time.
fn temporary(script: &mut String, path: &str) {
    let mark = beside(path, "");
    let mark = word(mark.rsplit('/').next().unwrap_or_default());
    let _ = writeln!(
        script,
        "d={}\nwhile :; do\nrm -f -- \"$d\"/{mark}*.tmp \"$d\"/{mark}*.part \"$d\"/{mark}*.all 2>/dev/null\n\
         case $d in /|'') break;; esac\nd=${{d%/*}}; [ -n \"$d\" ] || d=/\ndone",
        word(parent(path))
    );
}

/// What stood there before, where it was put aside.
fn put_aside(script: &mut String, i: usize, path: &str, from: &FileState, to: &FileState) {
    let place = aside(path, from);
    let (p, a) = (word(path), word(&place));
    let stays = from.is != FileType::File || from.content.is_none();
    let comes_back = to.is != FileType::Absent;
    let _ = writeln!(script, "if [ -e {a} ] || [ -L {a} ]; then");
    // Another name of what still stands there: nothing was replaced.
    let _ = writeln!(script, "if [ {p} -ef {a} ]; then rm -f -- {a}");
    if comes_back {
        let _ = writeln!(
            script,
            "elif [ ! -e {p} ] && [ ! -L {p} ]; then try {i} mv -f -- {a} {p}"
        );
    }
    if stays {
        let _ = writeln!(script, "else say kept {i} {a}\nfi\nfi");
    } else {
        let _ = writeln!(script, "else rm -f -- {a}\nfi\nfi");
    }
}
