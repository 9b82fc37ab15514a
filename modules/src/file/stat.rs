//! The module `stat`: what stands at a path.

use indexmap::IndexMap;
use md5::Md5;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::FileKind;
use super::foresee::is_predicted;
use super::state::{FileKey, FileState, join, parent, tidy};
use super::target::absolute;
use crate::command::query::{CommandOutput, QueryKey};

/// Arguments of `stat`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatArgs {
    /// The absolute path. Also written `dest` or `name`.
    #[serde(alias = "dest", alias = "name")]
    pub path: String,
    /// Where it is a link: look at what it points to. Default: no.
    #[serde(default)]
    pub follow: bool,
    /// Say the checksum of a file. Default: yes.
    #[serde(default = "yes")]
    pub get_checksum: bool,
    /// Which one. Also written `checksum` or `checksum_algo`. Default: sha1.
    #[serde(default, alias = "checksum", alias = "checksum_algo")]
    pub checksum_algorithm: Algorithm,
    /// Accepted, and without effect: types of content are not guessed.
    #[serde(default, alias = "mime")]
    pub get_mime: bool,
    /// Accepted, and without effect: attribute flags are not read.
    #[serde(default, alias = "attr")]
    pub get_attributes: bool,
}

/// An algorithm for checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-1, what Ansible says by default.
    #[default]
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    fn of(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(bytes)),
            Self::Sha1 => hex::encode(Sha1::digest(bytes)),
            Self::Sha224 => hex::encode(Sha224::digest(bytes)),
            Self::Sha256 => hex::encode(Sha256::digest(bytes)),
            Self::Sha384 => hex::encode(Sha384::digest(bytes)),
            Self::Sha512 => hex::encode(Sha512::digest(bytes)),
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Md5 => "md5sum",
            Self::Sha1 => "sha1sum",
            Self::Sha224 => "sha224sum",
            Self::Sha256 => "sha256sum",
            Self::Sha384 => "sha384sum",
            Self::Sha512 => "sha512sum",
        }
    }
}

fn yes() -> bool {
    true
}

/// The module.
pub struct Stat;

impl Module for Stat {
    type Args = StatArgs;
    const NAME: &'static str = "stat";
    const SUMMARY: &'static str = "Says what stands at a path.";
    const DOC: &'static str = r#"
```yaml
- stat: {path: /var/local/db/PG_VERSION}
  register: pg
- fail: {msg: "no database here"}
  when: not pg.stat.exists
```

What is registered has Ansible's names below `stat`: exists, isreg, isdir, islnk, mode, uid, gid, pw_name, gr_name,
size, mtime, checksum, lnk_source, lnk_target and the permission bits (rusr … xoth, isuid, isgid). `executable`,
`readable` and `writeable` are judged from the permission bits alone.

**Check mode**: it reads what will be there when its turn comes.

**On the target**: `sha1sum` or its like, for files over 1 MiB where another checksum than SHA-256 is asked for.
"#;
    const PATHS: &'static [&'static str] = &["path", "dest", "name"];

    fn touches(args: &StatArgs) -> Footprint {
        Footprint::nothing()
            .reads(FileKind::NAME, tidy(&args.path))
            .reads(CommandOutput::NAME, "*")
    }

    fn want(args: &StatArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let path = absolute(&args.path)?;
        let state = world.get::<FileKind>(&FileKey {
            follow: args.follow,
            path: path.clone(),
        })?;
        let mut wanted = Wanted::nothing();
        let mut stat = facts(&path, &state);
        if args.get_checksum && state.is == FileType::File {
            stat.insert(
                "checksum".to_owned(),
                Value::from(checksum(args.checksum_algorithm, &state, world)?),
            );
        }
        wanted.facts.insert("stat".to_owned(), Value::Map(stat));
        Ok(wanted)
    }
}

fn checksum(algorithm: Algorithm, state: &FileState, world: &View<'_>) -> Result<String, Stop> {
    if let (Algorithm::Sha256, Some(sha)) = (algorithm, &state.sha256) {
        return Ok(sha.clone());
    }
    if let Some(bytes) = state.bytes() {
        return Ok(algorithm.of(bytes));
    }
    let answer = world.get::<CommandOutput>(&QueryKey {
        reads: Some(vec![state.path.clone()]),
        ..QueryKey::new([algorithm.program(), "--", state.path.as_str()])
    })?;
    let text = String::from_utf8_lossy(&answer.stdout.0).into_owned();
    match text.trim_start_matches('\\').split_whitespace().next() {
        Some(sum) if answer.rc == 0 => Ok(sum.to_owned()),
        _ => Err(Stop::refuse(format!(
            "the checksum of {} could not be had: {}",
            state.path,
            String::from_utf8_lossy(&answer.stderr.0).trim()
        ))),
    }
}

fn facts(path: &str, state: &FileState) -> IndexMap<String, Value> {
    let mut stat = IndexMap::new();
    let mut put = |name: &str, value: Value| {
        stat.insert(name.to_owned(), value);
    };
    put("exists", Value::Bool(!state.is_absent()));
    if state.is_absent() {
        return stat;
    }
    put("path", Value::from(path));
    put("isreg", Value::Bool(state.is == FileType::File));
    put("isdir", Value::Bool(state.is == FileType::Directory));
    put("islnk", Value::Bool(state.is == FileType::Link));
    let soon = || Value::Unknown("until it is written".to_owned());
    // Of an owner that a prediction has set, only the name or only the number is known.
    let number = |n: Option<u32>| n.map_or_else(soon, |n| Value::Int(n.into()));
    let text = |t: &Option<String>| t.clone().map_or_else(soon, Value::from);
    put("uid", number(state.uid));
    put("gid", number(state.gid));
    put("pw_name", text(&state.owner));
    put("gr_name", text(&state.group));
    if let Some(size) = state.size {
        put("size", Value::Int(i64::try_from(size).unwrap_or(i64::MAX)));
    }
    put("mtime", state.mtime.map_or_else(soon, Value::Int));
    match state.inode.as_ref().filter(|i| !is_predicted(i)) {
        Some(inode) => {
            let mut numbers = inode
                .split([':', '-'])
                .map(|n| n.parse().map_or(Value::Null, Value::Int));
            put("dev", numbers.next().unwrap_or_default());
            put("inode", numbers.next().unwrap_or_default());
        }
        None => {
            put("dev", soon());
            put("inode", soon());
        }
    }
    if let Some(link) = &state.link {
        put("lnk_target", Value::from(link.clone()));
        put("lnk_source", Value::from(join(parent(&state.path), link)));
    }
    if let Some(mode) = state.mode {
        put("mode", Value::from(format!("{mode:04o}")));
        let bits = [
            ("isuid", 0o4000),
            ("isgid", 0o2000),
            ("rusr", 0o400),
            ("wusr", 0o200),
            ("xusr", 0o100),
            ("rgrp", 0o40),
            ("wgrp", 0o20),
            ("xgrp", 0o10),
            ("roth", 0o4),
            ("woth", 0o2),
            ("xoth", 0o1),
        ];
        for (name, bit) in bits {
            put(name, Value::Bool(mode & bit != 0));
        }
        put("executable", Value::Bool(mode & 0o111 != 0));
        put("readable", Value::Bool(mode & 0o444 != 0));
        put("writeable", Value::Bool(mode & 0o222 != 0));
    }
    stat
}
