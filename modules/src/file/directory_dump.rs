//! Module `directory_dump` and its action: a directory in a compressed archive on its host.

use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::host::{Command, FileType, Finished, Target};
use runbook_engine::module::{Footprint, Mark, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FileKind;
use super::compare::type_name;
use super::fresh::{self, EXISTS};
use super::place::PathKind;
use super::state::{FileKey, tidy};
use super::target::absolute;
use crate::command::exec::folder;

/// The module.
pub struct DirectoryDump;

/// Arguments of `directory_dump`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryDumpArgs {
    /// Absolute path of the directory. A link at its end is followed.
    pub path: String,
    /// Absolute path of the archive on the host (`.tar.gz`), outside of the directory.
    pub dest: String,
    /// What is left out: names relative to `path`, with all that is in them; `*` stands for anything.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What to do where there is no such directory. Default: fail.
    #[serde(default)]
    pub absent: Absent,
    /// How long it may take, in seconds. Default: 6 hours.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// What to do where the directory does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// The task fails.
    #[default]
    Fail,
    /// The task is skipped.
    Skip,
}

const TIMEOUT: u64 = 6 * 3600;

impl Module for DirectoryDump {
    type Args = DirectoryDumpArgs;

    const NAME: &'static str = "directory_dump";
    const SUMMARY: &'static str =
        "Writes a directory to an archive on its host, never over an older one.";
    const DOC: &'static str = include_str!("directory_dump.md");
    const PATHS: &'static [&'static str] = &["path", "dest"];

    fn validate(args: &DirectoryDumpArgs) -> Result<(), String> {
        for (name, path) in [("path", &args.path), ("dest", &args.dest)] {
            if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(format!("{name}: `{path}` is no absolute path"));
            }
        }
        if args.dest.ends_with('/') {
            return Err(format!("dest: `{}` is no path of a file", args.dest));
        }
        let (path, dest) = (tidy(&args.path), tidy(&args.dest));
        if path == dest || runbook_engine::resource::contains(&path, &dest) {
            return Err(format!(
                "dest: {dest} lies in {path}, and would become a part of itself"
            ));
        }
        let wrong = |name: &&String| {
            name.is_empty()
                || name.starts_with(['/', '-'])
                || name.starts_with("./")
                || name.ends_with('/')
                || name.contains('\n')
        };
        if let Some(name) = args.exclude.iter().find(wrong) {
            return Err(format!(
                "exclude: `{name}` is no name relative to {path}, such as `log` or `data/*.tmp`"
            ));
        }
        Ok(())
    }

    fn touches(args: &DirectoryDumpArgs) -> Footprint {
        Footprint::nothing()
            .reads(FileKind::NAME, tidy(&args.path))
            .writes(FileKind::NAME, tidy(&args.dest))
    }

    fn want(args: &DirectoryDumpArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let (path, dest) = (absolute(&args.path)?, absolute(&args.dest)?);
        let (from, to) = (FileKey::following(&path), FileKey::new(&dest));
        world.need(&[reference::<PathKind>(&from), reference::<PathKind>(&to)])?;
        match world.get::<PathKind>(&from)?.is {
            FileType::Directory => {}
            FileType::Absent if args.absent == Absent::Skip => {
                return Ok(Wanted {
                    skipped: Some(format!("there is no {path}")),
                    ..Wanted::nothing()
                });
            }
            FileType::Absent => return Err(Stop::refuse(format!("{path} does not exist"))),
            other => {
                let what = type_name(other);
                return Err(Stop::refuse(format!("{path} is a {what}, not a directory")));
            }
        }
        if world.get::<PathKind>(&to)?.is != FileType::Absent {
            return Err(Stop::refuse(failed_with(EXISTS, &dest, "")));
        }
        let call = DumpCall {
            path: path.clone(),
            dest: dest.clone(),
            exclude: args.exclude.clone(),
            timeout: args.timeout.unwrap_or(TIMEOUT),
        };
        let mark = Mark {
            kind: FileKind::NAME.to_owned(),
            id: dest.clone(),
        };
        Ok(Wanted::action::<Dump>(
            &call,
            Effects::Changes(vec![mark]),
            format!("write {path} to {dest}"),
        ))
    }
}

/// The action.
pub struct Dump;

/// What to write, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpCall {
    /// The directory.
    pub path: String,
    /// The archive.
    pub dest: String,
    /// Names and patterns relative to the directory.
    pub exclude: Vec<String>,
    /// Seconds that it may take.
    pub timeout: u64,
}

/// Words: archive, directory, then what is left out. The statuses say what failed; what is left behind never has the final
/// name. `tar` ends with 1 where a file changed while it was read, and says which.
const SCRIPT: &str = r#"
umask 077
final=$1 from=$2
shift 2
begin_file
[ -d "$from" ] || exit 96
n=$#
while [ "$n" -gt 0 ]; do
  set -- "$@" "--exclude=./$1"
  shift
  n=$((n - 1))
done
need=$(cd "$from" && du -sk "$@" . | cut -f1)
if [ -n "$free" ] && [ -n "$need" ] && [ "$free" -lt "$need" ]; then echo "$free KiB are free, $need KiB may be needed; make room, or name in exclude what nobody needs" >&2; exit 92; fi
trap 'rm -f "$part" "$part.said" "$part.moved" "$part.names"' EXIT
trap 'exit 99' HUP INT TERM
LC_ALL=C tar --create --gzip --numeric-owner --file "$part" --directory "$from" --anchored "$@" . 2> "$part.said"
status=$?
case $status in
0) ;;
1) sed -n 's/^tar: \.\/\(.*\): \(file changed as we read it\|File removed before we read it\|File shrank by .*\)$/\1/p' "$part.said" | LC_ALL=C sort -u > "$part.moved"
   changed=$(cat "$part.moved"); rm -f "$part.moved" ;;
*) head -n 3 "$part.said" >&2; exit 94 ;;
esac
LC_ALL=C tar --list --gzip --file "$part" > "$part.names" || exit 95
count=$(wc -l < "$part.names")
[ "$count" -gt 0 ] || exit 95
keep_file
sha256sum < "$final" | cut -c1-64
wc -c < "$final"
echo "$count"
[ -z "$changed" ] || printf '%s\n' "$changed"
"#;

fn script() -> String {
    format!("{}{SCRIPT}", fresh::FUNCTIONS)
}

#[async_trait]
impl ActionKind for Dump {
    type Call = DumpCall;

    const NAME: &'static str = "directory-dump";

    fn after_cut(&self, _call: &DumpCall) -> AfterCut {
        // Its command is found in its folder; it never writes over a file that is there.
        AfterCut::Again
    }

    async fn run(
        &self,
        host: &Target,
        call: &DumpCall,
        run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        let script = script();
        let words = [
            "sh",
            "-c",
            &script,
            "directory_dump",
            &call.dest,
            &call.path,
        ];
        let words = words.into_iter().map(str::to_owned);
        let command = Command {
            argv: words.chain(call.exclude.iter().cloned()).collect(),
            timeout: Some(Duration::from_secs(call.timeout)),
            ..Command::default()
        };
        let finished = host.command(&command, &folder(run)).await?;
        if finished.timed_out {
            return Err(ActionError::Failed(format!(
                "{} was not written within {} s; give it more `timeout`",
                call.dest, call.timeout
            )));
        }
        if finished.status != 0 {
            let said = String::from_utf8_lossy(&finished.stderr);
            let why = match finished.status {
                96 => format!("{} is no directory any more", call.path),
                status => failed_with(status, &call.dest, said.trim()),
            };
            return Err(ActionError::Failed(why));
        }
        told(call, &finished)
    }
}

fn failed_with(status: i32, dest: &str, said: &str) -> String {
    match status {
        91 => format!("{dest} cannot be written: {said}"),
        92 => format!("{dest}: not enough space: {said}"),
        EXISTS => format!("{dest} exists already; a backup is never written over an older one"),
        95 => format!("{dest} was not complete and was removed: {said}"),
        status => format!("{dest} could not be written ({status}): {said}"),
    }
}

fn told(call: &DumpCall, finished: &Finished) -> Result<Outcome, ActionError> {
    let text = String::from_utf8_lossy(&finished.stdout);
    let mut lines = text.lines().map(str::trim);
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let (sha256, bytes, entries) = (next(), next(), next());
    let number = |text: &str| {
        text.parse::<i64>().map(Value::Int).map_err(|_| {
            let why = format!(
                "{} was written, but the host did not say its size",
                call.dest
            );
            ActionError::Failed(why)
        })
    };
    let output = IndexMap::from([
        ("path".to_owned(), Value::from(call.path.as_str())),
        ("dest".to_owned(), Value::from(call.dest.as_str())),
        ("bytes".to_owned(), number(&bytes)?),
        ("sha256".to_owned(), Value::from(sha256)),
        // The directory itself is one of them.
        ("entries".to_owned(), number(&entries)?),
        (
            "changed_meanwhile".to_owned(),
            Value::List(lines.map(Value::from).collect()),
        ),
    ]);
    Ok(Outcome {
        changed: true,
        failed: None,
        output,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Output};

    use serde_json::json;

    use super::*;

    fn run(dest: &Path, from: &Path, exclude: &[&str]) -> Output {
        Command::new("sh")
            .args(["-c", &script(), "directory_dump"])
            .args([dest, from])
            .args(exclude)
            .output()
            .unwrap()
    }

    fn names(archive: &Path) -> Vec<String> {
        let out = Command::new("tar")
            .arg("-tzf")
            .arg(archive)
            .output()
            .unwrap();
        assert!(out.status.success());
        let mut names: Vec<String> = String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_but_what_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (from, dest) = (folder.path().join("a b"), folder.path().join("to/x.tar.gz"));
        for file in ["conf/it's.xml", "log/server.log", "conf/log/kept", "x.tmp"] {
            let path = from.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let out = run(&dest, &from, &["log", "*.tmp"]);
        assert!(out.status.success(), "{out:?}");
        let expected = [
            "./",
            "./conf/",
            "./conf/it's.xml",
            "./conf/log/",
            "./conf/log/kept",
        ];
        assert_eq!(names(&dest), expected);
        let call = DumpCall {
            path: from.display().to_string(),
            dest: dest.display().to_string(),
            exclude: Vec::new(),
            timeout: 1,
        };
        let finished = Finished {
            status: 0,
            stdout: out.stdout.into(),
            stderr: out.stderr.into(),
            started_ms: 0,
            ended_ms: 0,
            timed_out: false,
        };
        let outcome = told(&call, &finished).unwrap();
        assert_eq!(outcome.output["entries"], Value::Int(5));
        assert_eq!(outcome.output["changed_meanwhile"], Value::List(Vec::new()));
        // Never over an older one; nothing is left beside it.
        assert_eq!(run(&dest, &from, &[]).status.code(), Some(EXISTS));
        assert_eq!(fs::read_dir(dest.parent().unwrap()).unwrap().count(), 1);
        let mode = fs::metadata(&dest).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
            0o600
        );
        let none = folder.path().join("none");
        assert_eq!(
            run(&folder.path().join("y"), &none, &[]).status.code(),
            Some(96)
        );
    }

    /// Called where `tar` is this script; what is then in the folder of the archive.
    fn with_tar(instead: &str) -> (Output, usize) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["bin", "from/log"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("bin/tar"), format!("#!/bin/sh\n{instead}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(at("bin/tar"), mode).unwrap();
        let out = Command::new("sh")
            .args(["-c", &script(), "directory_dump"])
            .args([at("to/x.tar.gz"), at("from")])
            .env("PATH", format!("{}:/usr/bin:/bin", at("bin").display()))
            .output()
            .unwrap();
        (out, fs::read_dir(at("to")).unwrap().count())
    }

    #[test]
    fn what_grows_meanwhile_is_named() {
        // What GNU tar does where a file changes while it reads it.
        let (out, left) = with_tar(
            "/usr/bin/tar \"$@\" || exit\ncase $1 in --create) echo 'tar: ./log/a b.log: file changed as we read it' >&2; exit 1;; esac",
        );
        assert!(out.status.success(), "{out:?}");
        let said = String::from_utf8(out.stdout).unwrap();
        assert_eq!(said.lines().nth(3), Some("log/a b.log"), "{said}");
        assert_eq!(left, 1);
    }

    #[test]
    fn what_cannot_be_read_again_never_gets_the_name() {
        let (out, left) =
            with_tar("case $1 in --list) echo ./; exit 2;; esac\nexec /usr/bin/tar \"$@\"");
        assert_eq!((out.status.code(), left), (Some(95), 0), "{out:?}");
    }

    #[test]
    fn refused_arguments() {
        for (name, value) in [
            ("path", json!("etc")),
            ("dest", json!("/b/../c")),
            ("dest", json!("/etc/backup.tar.gz")),
            ("dest", json!("/backup/")),
            ("exclude", json!(["/etc/x"])),
            ("exclude", json!(["log/"])),
            ("exclude", json!(["./log"])),
        ] {
            let mut args = json!({"path": "/etc", "dest": "/backup.tar.gz"});
            let good = serde_json::from_value(args.clone()).unwrap();
            assert_eq!(DirectoryDump::validate(&good), Ok(()));
            args[name] = value;
            let bad = serde_json::from_value(args).unwrap();
            assert!(DirectoryDump::validate(&bad).is_err(), "{name}");
        }
    }
}
