//! Module `pg_dump` and its action: a backup of a database in a file on its host.

use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::host::{Command, Finished, Target};
use runbook_engine::module::{Footprint, Mark, Module, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{self, FUNCTIONS, missing, password_line, rows};
use super::facts_kind::{FactsKey, PgFacts};
use super::server::Server;
use crate::command::exec::folder;
use crate::docker::Container;
use crate::file::fresh::{self, EXISTS};

/// The module.
pub struct PgDump;

/// Arguments of `pg_dump`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgDumpArgs {
    /// The container that the server runs in, `NAME` or `NAME:PORT` (port 5432 by default). The dump is made inside it.
    #[serde(default)]
    pub container: Option<String>,
    /// The server as seen from the host, in place of `container`: `HOST:PORT`, or its socket or the folder of it. The
    /// dump is made by the host's own `pg_dump`.
    #[serde(default)]
    pub server: Option<String>,
    /// The database.
    pub database: String,
    /// The user to log in as.
    pub user: String,
    /// The password of `user`. Without it none is given.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Absolute path of the file on the host, or of a directory, ending in a slash: then the file is
    /// `RUN/DATABASE.dump` in it (`.sql` in plain format), which makes one a run.
    pub dest: String,
    /// Format: custom, the default, compressed and read by `pg_restore`; or plain, SQL text.
    #[serde(default)]
    pub format: Format,
    /// How long it may take, in seconds. Default: 6 hours.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// Format of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Compressed, for `pg_restore`.
    #[default]
    Custom,
    /// SQL text.
    Plain,
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Plain => "plain",
        }
    }
}

const TIMEOUT: u64 = 6 * 3600;

impl PgDumpArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            &self.database,
            &self.user,
            self.password.as_ref(),
        )
    }
}

impl Module for PgDump {
    type Args = PgDumpArgs;

    const NAME: &'static str = "pg_dump";
    const SUMMARY: &'static str =
        "Writes a database to a file on its host, never over an older one.";
    const DOC: &'static str = include_str!("pg_dump.md");

    fn validate(args: &Self::Args) -> Result<(), String> {
        if !args.dest.starts_with('/') || args.dest.split('/').any(|part| part == "..") {
            return Err(format!("dest: `{}` is no absolute path", args.dest));
        }
        client::validate(&args.server()?)
    }

    fn touches(args: &Self::Args) -> Footprint {
        let Ok(server) = args.server() else {
            return Footprint::everything();
        };
        let mut footprint = Footprint::nothing()
            .reads(PgFacts::NAME, server.id())
            .reads("pg-schema", server.id())
            .writes("file", args.dest.trim_end_matches('/'))
            .writes("file", counted(&args.dest));
        if let Some(name) = server.container() {
            footprint = footprint.reads(Container::NAME, name);
        }
        footprint
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let size = match world.get::<PgFacts>(&FactsKey {
            server: server.clone(),
            tables: Vec::new(),
        }) {
            Ok(facts) => format!(", {} in the database", megabytes(facts.size)),
            // What a replaced server will hold is not known; that it will be dumped is.
            Err(Stop::Unknown(_)) => String::new(),
            Err(stop) => return Err(stop),
        };
        let call = DumpCall {
            server,
            dest: args.dest.clone(),
            format: args.format,
            timeout: args.timeout.unwrap_or(TIMEOUT),
        };
        let mark = |id: String| Mark {
            kind: "file".to_owned(),
            id,
        };
        let file = mark(args.dest.trim_end_matches('/').to_owned());
        let marks = vec![file, mark(counted(&args.dest))];
        let summary = format!("dump {} to {}{size}", args.database, args.dest);
        Ok(Wanted::action::<Dump>(
            &call,
            Effects::Changes(marks),
            summary,
        ))
    }
}

/// The file with the rows of each table, beside the dump.
fn counted(dest: &str) -> String {
    format!("{}.rows", dest.trim_end_matches('/'))
}

/// A size for people.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    match bytes / 1_000_000 {
        0 => "less than 1 MB".to_owned(),
        mega if mega < 10_000 => format!("{mega} MB"),
        mega => format!("{} GB", mega / 1000),
    }
}

/// The action.
pub struct Dump;

/// What to dump, and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DumpCall {
    /// The database.
    pub server: Server,
    /// File or directory (ending in a slash) on the host.
    pub dest: String,
    /// Format.
    pub format: Format,
    /// Seconds that it may take.
    pub timeout: u64,
}

/// Runs on the host. Words: file, format, bytes needed, container (or nothing), host, port, user, database. Standard
/// input: a line for a password file. The statuses say what failed; what is left behind never has the final name.
const SCRIPT: &str = r#"
umask 077
final=$1 format=$2 need=$3 name=$4 host=$5 port=$6 user=$7 database=$8
begin_file
pass="$part.pass"
if [ -n "$free" ] && [ "$free" -lt $((need / 1024)) ]; then echo "$free" >&2; exit 92; fi
trap 'rm -f "$part" "$part.rows" "$part.bad" "$pass"' EXIT
trap 'exit 99' HUP INT TERM
cat > "$pass" || exit 91
pg pg_dump -w -U "$user" -F "$format" -d "$database" < /dev/null > "$part" || { s=$?; case $s in 89|90) exit $s ;; esac; exit 94; }
if [ "$format" = plain ]; then
  tail -n 8 "$part" | grep -q 'PostgreSQL database dump complete' || exit 95
  count_rows < "$part" > "$part.rows"
else
  { pg pg_restore --data-only -f - < "$part" || : > "$part.bad"; } | count_rows > "$part.rows"
  [ ! -e "$part.bad" ] || exit 95
fi
keep_file
mv -f "$part.rows" "$final.rows" || exit 91
sha256sum < "$final" | cut -c1-64
wc -c < "$final"
cat "$final.rows"
"#;

fn script() -> String {
    format!("{FUNCTIONS}{}{SCRIPT}", fresh::FUNCTIONS)
}

#[async_trait]
impl ActionKind for Dump {
    type Call = DumpCall;

    const NAME: &'static str = "pg-dump";

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
        let shown = call.server.shown();
        let key = FactsKey {
            server: call.server.clone(),
            tables: Vec::new(),
        };
        let facts = match PgFacts.read(host, &[key]).await.pop() {
            Some(facts) => facts?,
            None => {
                return Err(ActionError::Failed(format!(
                    "{shown} says nothing of itself"
                )));
            }
        };
        let need = match call.format {
            Format::Plain => facts.size,
            Format::Custom => facts.size / 2,
        };
        let path = path(call, run);
        let [name, at, port] = client::place(&call.server);
        let script = script();
        let words = [
            "sh",
            "-c",
            &script,
            "pg_dump",
            &path,
            call.format.word(),
            &need.to_string(),
            &name,
            &at,
            &port,
            &call.server.user,
            &call.server.database,
        ];
        let command = Command {
            argv: words.iter().map(|w| (*w).to_owned()).collect(),
            stdin: Some(password_line(call.server.password.as_ref()).into_bytes()),
            timeout: Some(Duration::from_secs(call.timeout)),
            ..Command::default()
        };
        let finished = host.command(&command, &folder(run)).await?;
        if finished.timed_out {
            return Err(ActionError::Failed(format!(
                "the dump of {shown} did not end within {} s; give it more `timeout`",
                call.timeout
            )));
        }
        if finished.status != 0 {
            return Err(ActionError::Failed(failure(&shown, &path, need, &finished)));
        }
        let text = String::from_utf8_lossy(&finished.stdout);
        let mut lines = text.lines().map(str::trim);
        let (sha256, bytes) = (
            lines.next().unwrap_or_default(),
            lines.next().unwrap_or_default(),
        );
        let rows = rows(&lines.collect::<Vec<_>>().join("\n"));
        let rows = rows
            .into_iter()
            .map(|(table, count)| (table, Value::Int(i64::try_from(count).unwrap_or(i64::MAX))));
        let bytes: i64 = bytes.parse().map_err(|_| {
            ActionError::Failed(format!(
                "{path} was written, but the host did not say its size"
            ))
        })?;
        let output = IndexMap::from([
            ("path".to_owned(), Value::from(path)),
            ("bytes".to_owned(), Value::Int(bytes)),
            ("sha256".to_owned(), Value::from(sha256)),
            ("format".to_owned(), Value::from(call.format.word())),
            ("rows".to_owned(), Value::Map(rows.collect())),
        ]);
        Ok(Outcome {
            changed: true,
            failed: None,
            output,
        })
    }
}

/// The file: `dest`, or in the run's folder below it.
fn path(call: &DumpCall, run: &ActionRun) -> String {
    if !call.dest.ends_with('/') {
        return call.dest.clone();
    }
    let name: String = call
        .server
        .database
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let ending = match call.format {
        Format::Custom => "dump",
        Format::Plain => "sql",
    };
    format!("{}{}/{name}.{ending}", call.dest, run.run)
}

fn failure(shown: &str, path: &str, need: u64, finished: &Finished) -> String {
    let said = client::said(&finished.stderr);
    match finished.status {
        91 => format!("{path} cannot be written: {said}"),
        92 => format!(
            "{path}: not enough space: {said} KiB are free, {} KiB may be needed to dump {shown}",
            need / 1024
        ),
        EXISTS => format!("{path} exists already; a dump is never written over an older one"),
        95 => format!("the dump of {shown} is not complete and was removed: {said}"),
        status => missing(status, shown)
            .unwrap_or_else(|| format!("{shown} could not be dumped ({status}): {said}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_files() {
        let args: PgDumpArgs = serde_json::from_value(
            json!({"container": "db", "database": "pacs/db", "user": "pacs", "dest": "/backup/"}),
        )
        .unwrap();
        let mut call = DumpCall {
            server: args.server().unwrap(),
            dest: args.dest,
            format: args.format,
            timeout: 1,
        };
        let run = ActionRun {
            run: "r1".into(),
            node: "n1".into(),
            private: false,
        };
        assert_eq!(path(&call, &run), "/backup/r1/pacs_db.dump");
        call.format = Format::Plain;
        assert_eq!(path(&call, &run), "/backup/r1/pacs_db.sql");
        call.dest = "/backup/x".into();
        assert_eq!(path(&call, &run), "/backup/x");
    }

    #[test]
    fn refused_arguments() {
        for (name, value) in [
            ("dest", json!("backup")),
            ("dest", json!("/a/../b")),
            ("password", json!("a\nb")),
            ("database", json!("host=evil dbname=x")),
            ("user", json!("-x")),
        ] {
            let mut args = json!({"container": "db", "database": "d", "user": "u", "dest": "/b/"});
            args[name] = value;
            assert!(
                PgDump::validate(&serde_json::from_value(args).unwrap()).is_err(),
                "{name}"
            );
        }
    }

    /// A folder of programs that stand in for docker, pg_dump and pg_restore.
    struct Programs(tempfile::TempDir);

    impl Programs {
        fn new(dump: &str, restore: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, body) in [
                // The words `exec -i NAME` go, the rest runs here.
                ("docker", "echo \"$@\" >> \"$0.log\"; shift 3; exec \"$@\""),
                ("pg_dump", dump),
                ("pg_restore", restore),
            ] {
                let path = folder.path().join(name);
                std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(&path, mode).unwrap();
            }
            Self(folder)
        }

        fn run(&self, format: &str, need: &str, container: &str) -> (Option<i32>, String) {
            use std::io::Write as _;
            let file = self.0.path().join("out/db.dump");
            let mut child = std::process::Command::new("sh")
                .args(["-c", &script(), "pg_dump"])
                .arg(&file)
                .args([format, need, container, "", "5432", "pacs", "pacsdb"])
                .env("PATH", format!("{}:/usr/bin:/bin", self.0.path().display()))
                .env("TMPDIR", self.0.path())
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(b"*:*:*:*:geheim\n")
                .unwrap();
            let out = child.wait_with_output().unwrap();
            let mut kept: Vec<String> = std::fs::read_dir(self.0.path().join("out"))
                .map(|d| {
                    d.map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
                        .collect()
                })
                .unwrap_or_default();
            kept.sort();
            let expected: &[&str] = if out.status.success() {
                &["db.dump", "db.dump.rows"]
            } else {
                &[]
            };
            assert_eq!(kept, expected, "{}", String::from_utf8_lossy(&out.stderr));
            (
                out.status.code(),
                std::fs::read_to_string(file).unwrap_or_default(),
            )
        }
    }

    #[test]
    fn the_dump_is_made_inside_the_container() {
        let says = "echo \"$@\"; cat \"$PGPASSFILE\"; echo '-- PostgreSQL database dump complete'";
        let programs = Programs::new(says, "exit 1");
        let (status, dump) = programs.run("plain", "0", "db");
        assert_eq!(status, Some(0));
        assert!(
            dump.starts_with("-w -U pacs -F plain -d pacsdb\n*:*:*:*:geheim\n"),
            "{dump}"
        );
        let words = std::fs::read_to_string(programs.0.path().join("docker.log")).unwrap();
        assert!(
            words.starts_with("exec -i db sh -c ") && !words.contains("geheim"),
            "{words}"
        );
        let left = std::fs::read_dir(programs.0.path()).unwrap().count();
        assert_eq!(
            left, 5,
            "three programs, a log, a folder, and no password file"
        );
    }

    #[test]
    fn what_is_incomplete_never_gets_the_name() {
        for (format, dump, restore, status) in [
            ("plain", "echo half", "", 95),
            ("custom", "echo half", "exit 1", 95),
            ("custom", "echo half; exit 1", "", 94),
        ] {
            assert_eq!(
                Programs::new(dump, restore).run(format, "0", "db").0,
                Some(status),
                "{format} {dump}"
            );
            assert_eq!(
                Programs::new(dump, restore).run(format, "0", "").0,
                Some(status),
                "{format} {dump}"
            );
        }
        let programs = Programs::new("echo all", "cat > /dev/null");
        assert_eq!(programs.run("custom", "9000000000000000", "db").0, Some(92));
        assert_eq!(programs.run("custom", "1000", "db").0, Some(0));
    }
}
