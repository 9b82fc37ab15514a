//! Module `pg_restore` and its action: a dump brought back into a database of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use runbook_engine::action::{ActionError, ActionKind, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::host::{Command, Finished, Target};
use runbook_engine::module::{Footprint, Mark, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{self, FUNCTIONS, missing, password_line, rows};
use super::database_kind::{DatabaseKey, DatabaseState, PgDatabase};
use super::dump_file::{DumpFile, DumpFileKey, PgDumpFile};
use super::rows_kind::{PgRows, RowsKey};
use super::server::Server;
use crate::docker::Container;

/// The module.
pub struct PgRestore;

/// Arguments of `pg_restore`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgRestoreArgs {
    /// The container that the server runs in, `NAME` or `NAME:PORT` (port 5432 by default). `pg_restore` runs inside it.
    #[serde(default)]
    pub container: Option<String>,
    /// The server as seen from the host, in place of `container`: `HOST:PORT`, or its socket or the folder of it. The
    /// host's own `pg_restore` is used.
    #[serde(default)]
    pub server: Option<String>,
    /// The user to log in as; may make databases.
    pub user: String,
    /// The password of `user`. Without it none is given.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Absolute path of the dump on the host: custom format, as `pg_dump` makes it.
    pub src: String,
    /// Name of the database that is made and filled. Nothing but what was restored from the same dump may have it.
    pub database: String,
    /// The database whose place it is to take: it gets the encoding, locale and owner of that one, and the check says what that
    /// one has and the dump has not.
    #[serde(default)]
    pub instead_of: Option<String>,
    /// A database of the server to log in to meanwhile. Default: postgres.
    #[serde(default)]
    pub maintenance_db: Option<String>,
    /// All in it belongs to `user`, and nobody else is granted anything: for a server that does not know the roles of the
    /// dump. Default: false.
    #[serde(default)]
    pub no_owner: bool,
    /// Though `instead_of` is what was restored from this dump already: what was stored in it since is to go. Default: false.
    #[serde(default)]
    pub force: bool,
    /// How long it may take, in seconds. Default: 12 hours.
    #[serde(default)]
    pub timeout: Option<u64>,
}

const TIMEOUT: u64 = 12 * 3600;
/// How many tables are listed that have more rows, or fewer, than the dump.
const LISTED: usize = 15;
/// What the comment on a restored database begins with.
const RESTORED: &str = "runbook: restored from dump ";

impl PgRestoreArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.maintenance_db.as_deref().unwrap_or("postgres"),
            &self.user,
            self.password.as_ref(),
        )
    }

    fn key(&self, server: &Server) -> DatabaseKey {
        DatabaseKey {
            server: server.clone(),
            name: self.database.clone(),
        }
    }
}

impl Module for PgRestore {
    type Args = PgRestoreArgs;

    const NAME: &'static str = "pg_restore";
    const SUMMARY: &'static str =
        "Brings a dump back into a database of its own, and counts its rows.";
    const DOC: &'static str = include_str!("pg_restore.md");
    const PATHS: &'static [&'static str] = &["src"];

    fn validate(args: &Self::Args) -> Result<(), String> {
        let server = args.server()?;
        client::validate(&server)?;
        client::validate(&server.other(&args.database))?;
        if args.database.is_empty() || args.instead_of.as_deref() == Some(&args.database) {
            return Err(
                "`database` is a new one beside `instead_of`; pg_database gives it that name afterwards"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn touches(args: &Self::Args) -> Footprint {
        let Ok(server) = args.server() else {
            return Footprint::everything();
        };
        let mut footprint = Footprint::nothing()
            .reads("file", &args.src)
            .reads(PgDumpFile::NAME, &args.src)
            .writes(PgDatabase::NAME, args.key(&server).to_string());
        if let Some(other) = &args.instead_of {
            let other = server.other(other).id();
            footprint = footprint
                .reads(PgDatabase::NAME, &other)
                .reads(PgRows::NAME, other);
        }
        match server.container() {
            Some(name) => footprint.reads(Container::NAME, name),
            None => footprint,
        }
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let key = args.key(&server);
        let file = DumpFileKey {
            path: args.src.clone(),
            server: server.clone(),
        };
        let in_use = args.instead_of.as_ref().map(|name| DatabaseKey {
            server: server.clone(),
            name: name.clone(),
        });
        let mut needed = vec![
            reference::<PgDumpFile>(&file),
            reference::<PgDatabase>(&key),
        ];
        needed.extend(in_use.iter().map(reference::<PgDatabase>));
        world.need(&needed)?;
        let dump = world.get::<PgDumpFile>(&file)?;
        let there = world.get::<PgDatabase>(&key)?;
        if !dump.exists {
            return Err(Stop::refuse(format!("{}: there is no such dump", args.src)));
        }
        let comment = comment(&dump.id);
        let comes = format!(
            "database {} from {} of {} ({} tables, {})",
            args.database,
            args.src,
            dump.created,
            dump.tables,
            super::pg_dump::megabytes(dump.size),
        );
        let mut there_already = vec![&key];
        there_already.extend(in_use.as_ref().filter(|_| !args.force));
        for one in there_already {
            if world.get::<PgDatabase>(one)?.comment.as_deref() == Some(&comment) {
                let mut wanted = Wanted::nothing();
                wanted.notes.push(format!(
                    "database {} comes from this dump, of {}, already",
                    one.name, dump.created
                ));
                wanted.facts = facts(args, &dump);
                return Ok(wanted);
            }
        }
        if there.exists && !there.comment.as_ref().is_some_and(|c| c.starts_with(BEGUN)) {
            return Err(Stop::refuse(format!(
                "there is a {} already, and it does not come from this dump; name another one, or remove it with pg_database",
                server.other(&args.database).shown()
            )));
        }
        let call = RestoreCall {
            server: server.clone(),
            src: args.src.clone(),
            database: args.database.clone(),
            instead_of: args.instead_of.clone(),
            id: dump.id.clone(),
            no_owner: args.no_owner,
            timeout: args.timeout.unwrap_or(TIMEOUT),
        };
        let mark = Mark {
            kind: PgDatabase::NAME.to_owned(),
            id: key.to_string(),
        };
        let mut wanted = Wanted::action::<Restore>(&call, Effects::Changes(vec![mark]), comes);
        let becomes = DatabaseState {
            exists: true,
            oid: None,
            comment: Some(comment),
            ..DatabaseState::default()
        };
        wanted.leaves::<PgDatabase>(&key, &there, &becomes);
        wanted.facts = facts(args, &dump);
        if let Some(other) = &args.instead_of {
            wanted.notes = lost(&server.other(other), &dump, world)?;
        }
        Ok(wanted)
    }
}

fn facts(args: &PgRestoreArgs, dump: &DumpFile) -> IndexMap<String, Value> {
    IndexMap::from([
        ("database".to_owned(), Value::from(args.database.as_str())),
        ("created".to_owned(), Value::from(dump.created.as_str())),
        (
            "server_version".to_owned(),
            Value::from(dump.server_version.as_str()),
        ),
    ])
}

/// What the database has now and the dump has not, table by table.
fn lost(now: &Server, dump: &DumpFile, world: &View<'_>) -> Result<Vec<String>, Stop> {
    let Some(rows) = &dump.rows else {
        return Ok(vec![format!(
            "what {} has received since cannot be told: no rows were counted when the dump was made",
            now.database
        )]);
    };
    let counted = world.get::<PgRows>(&RowsKey {
        server: now.clone(),
        tables: rows.keys().cloned().collect(),
    });
    let counted = match counted {
        Ok(counted) => counted.0,
        Err(Stop::Unknown(why)) => {
            return Ok(vec![format!(
                "what {} has received since is not known {why}",
                now.database
            )]);
        }
        Err(stop) => return Err(stop),
    };
    Ok(vec![compared(&now.database, rows, &counted)])
}

fn compared(database: &str, dump: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> String {
    let others: Vec<String> = dump
        .iter()
        .filter_map(|(table, then)| {
            let now = now.get(table).copied();
            (now != Some(*then)).then(|| match now {
                Some(now) => format!("{table} {now}, {then} in the dump"),
                None => format!("{table} none, {then} in the dump"),
            })
        })
        .collect();
    if others.is_empty() {
        return format!("{database} has as many rows in each table as the dump");
    }
    let mut line = format!(
        "rows that {database} has now: {}",
        others[..others.len().min(LISTED)].join("; ")
    );
    if others.len() > LISTED {
        line.push_str(&format!("; and {} more tables", others.len() - LISTED));
    }
    line
}

/// The comment on a database that was restored from this dump.
fn comment(id: &str) -> String {
    format!("{RESTORED}{id}")
}

/// The action.
pub struct Restore;

/// What to restore, and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreCall {
    /// The server, and the database to log in to meanwhile.
    pub server: Server,
    /// The dump.
    pub src: String,
    /// The database that is made.
    pub database: String,
    /// The database that it is to be like.
    pub instead_of: Option<String>,
    /// What identifies the dump.
    pub id: String,
    /// All in it belongs to the user.
    pub no_owner: bool,
    /// Seconds that it may take.
    pub timeout: u64,
}

/// What the comment on a database begins with that is still being filled.
const BEGUN: &str = "runbook: being restored";

/// Runs on the host. Words: dump, container (or nothing), host, port, user, database to log in to, new database, the one that
/// it is to be like (or nothing), comment at the end, comment until then, whether without owners. Standard input: a line for
/// a password file. Prints `there`, or the rows of each table of the dump. What is left of a restore that did not come to its
/// end is removed by the next one: it has the comment until then.
const SCRIPT: &str = r#"
umask 077
src=$1 name=$2 host=$3 port=$4 user=$5 main=$6 new=$7 like=$8 done=$9
shift 9
begun=$1 owners=$2
work=$(mktemp -d) || exit 91
pass="$work/pass"
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
cat > "$pass" || exit 91
[ -r "$src" ] || { echo "$src" >&2; exit 91; }
ask() {
  pg psql -w -U "$user" -d "$1" -qAtX -F "$(printf '\t')" -v ON_ERROR_STOP=1 -v new="$new" -v like="$like" -v main="$main" \
    -v done="$done" -v begun="$begun" -f -
}
there=$(ask "$main" <<'SQL'
select case coalesce(shobj_description(oid, 'pg_database'), '') when :'done' then 'done' when :'begun' then 'begun'
  else 'other' end from pg_database where datname = :'new'
SQL
) || exit 93
case $there in
  done) echo there; exit 0 ;;
  begun) echo 'drop database :"new"' | ask "$main" || exit 93 ;;
  '') ;;
  *) exit 94 ;;
esac
room=$(ask "$main" <<'SQL'
select greatest(0, (select pg_database_size(oid) from pg_database where datname = :'like')), current_setting('data_directory')
SQL
) || exit 93
need=${room%%	*} data=${room#*	}
: "${need:=0}"
size=$(wc -c < "$src") || exit 91
[ "$need" -gt $((size * 2)) ] 2>/dev/null || need=$((size * 2))
if [ -n "$name" ]; then
  free=$(docker exec "$name" df -Pk "$data" 2>/dev/null | awk 'NR == 2 { print $4 }')
else
  free=$(df -Pk "$data" 2>/dev/null | awk 'NR == 2 { print $4 }')
fi
if [ -n "$free" ] && [ "$free" -lt $((need / 1024)) ]; then echo "$free KiB are free in $data, $((need / 1024)) KiB may be needed" >&2; exit 92; fi
ask "$main" <<'SQL' || exit 93
select pg_encoding_to_char(encoding) as enc, datcollate as coll, datctype as ctype, pg_get_userbyid(datdba) as own
  from pg_database where datname in (:'like', :'main') order by datname = :'like' desc limit 1 \gset
create database :"new" template template0 encoding :'enc' lc_collate :'coll' lc_ctype :'ctype' owner :"own";
comment on database :"new" is :'begun';
SQL
set -- -w -U "$user" -d "$new" --exit-on-error
[ "$owners" = without ] && set -- "$@" --no-owner --no-privileges
pg pg_restore "$@" < "$src" || exit 95
{ pg pg_restore --data-only -f - < "$src" || : > "$work/bad"; } | count_rows > "$work/dumped"
[ ! -e "$work/bad" ] || exit 95
tables=$(pg pg_restore -l < "$src" | grep -c '^[0-9]*; .* TABLE DATA ')
[ "$tables" -eq "$(wc -l < "$work/dumped")" ] || exit 97
quote="'"
while IFS="$(printf '\t')" read -r table count; do
  text=$(printf '%s\n' "$table" | sed "s/$quote/$quote$quote/g")
  printf "select '%s', count(*) from %s;\n" "$text" "$table"
done < "$work/dumped" > "$work/ask"
ask "$new" < "$work/ask" > "$work/held" || exit 93
[ "$(cat "$work/dumped")" = "$(cat "$work/held")" ] || { diff "$work/dumped" "$work/held" >&2; exit 96; }
echo 'analyze' | ask "$new" || exit 93
echo 'comment on database :"new" is '":'done'" | ask "$main" || exit 93
cat "$work/dumped"
"#;

#[async_trait]
impl ActionKind for Restore {
    type Call = RestoreCall;

    const NAME: &'static str = "pg-restore";

    fn after_cut(&self, _call: &RestoreCall) -> AfterCut {
        // Its command is found in its folder; begun again, it removes what it had begun.
        AfterCut::Again
    }

    async fn run(
        &self,
        host: &Target,
        call: &RestoreCall,
        run: &ActionRun,
    ) -> Result<Outcome, ActionError> {
        let finished = host
            .command(&command(call), &crate::command::exec::folder(run))
            .await?;
        if finished.timed_out {
            return Err(ActionError::Failed(format!(
                "{} was not restored within {} s; give it more `timeout`. What was begun is removed by the next try",
                call.database, call.timeout
            )));
        }
        if finished.status != 0 {
            return Err(ActionError::Failed(failure(call, &finished)));
        }
        let text = String::from_utf8_lossy(&finished.stdout);
        let counted = rows(&text);
        let rows = counted.iter().map(|(table, count)| {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            (table.clone(), Value::Int(count))
        });
        Ok(Outcome {
            changed: text.trim() != "there",
            failed: None,
            output: IndexMap::from([
                ("database".to_owned(), Value::from(call.database.as_str())),
                ("rows".to_owned(), Value::Map(rows.collect())),
            ]),
        })
    }
}

fn command(call: &RestoreCall) -> Command {
    let [name, host, port] = client::place(&call.server);
    let script = format!("{FUNCTIONS}{SCRIPT}");
    let comment = comment(&call.id);
    let words = [
        "sh",
        "-c",
        &script,
        "pg_restore",
        &call.src,
        &name,
        &host,
        &port,
        &call.server.user,
        &call.server.database,
        &call.database,
        call.instead_of.as_deref().unwrap_or_default(),
        &comment,
        BEGUN,
        if call.no_owner { "without" } else { "with" },
    ];
    Command {
        argv: words.iter().map(|w| (*w).to_owned()).collect(),
        stdin: Some(password_line(call.server.password.as_ref()).into_bytes()),
        timeout: Some(Duration::from_secs(call.timeout)),
        ..Command::default()
    }
}

fn failure(call: &RestoreCall, finished: &Finished) -> String {
    let said = client::said(&finished.stderr);
    let shown = call.server.other(&call.database).shown();
    match finished.status {
        91 => format!("{} cannot be read: {said}", call.src),
        92 => format!("{}: not enough space: {said}", call.src),
        94 => format!("{shown} has been made by somebody else meanwhile; nothing was done to it"),
        96 => format!(
            "{shown} has not got the rows of {}: {said}. It is left for you to look at, under its own name; the next try \
             removes it",
            call.src
        ),
        97 => format!(
            "the rows in {} cannot be counted (is it made with --inserts?), so whether all of them are in {shown} cannot be \
             told. It is left for you to look at, under its own name; the next try removes it",
            call.src
        ),
        status => missing(status, &shown).unwrap_or_else(|| {
            format!(
                "{} could not be restored to {shown} ({status}): {said}. What was begun is removed by the next try",
                call.src
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook_engine::world::Fixture;
    use serde_json::json;

    fn args(more: serde_json::Value) -> PgRestoreArgs {
        let mut args = json!({"container": "db", "user": "pacs", "src": "/b/x.dump", "database": "new",
            "instead_of": "pacsdb"});
        for (name, value) in more.as_object().unwrap() {
            args[name] = value.clone();
        }
        serde_json::from_value(args).unwrap()
    }

    fn world(there: &DatabaseState, rows: Option<u64>) -> Fixture {
        world_of(there, &commented("mine"), rows)
    }

    fn world_of(there: &DatabaseState, in_use_state: &DatabaseState, rows: Option<u64>) -> Fixture {
        let args = args(json!({}));
        let server = args.server().unwrap();
        let file = DumpFileKey {
            path: args.src.clone(),
            server: server.clone(),
        };
        let dump = DumpFile {
            exists: true,
            id: "abc".to_owned(),
            created: "yesterday".to_owned(),
            tables: 1,
            rows: rows.map(|n| [("public.study".to_owned(), n)].into()),
            ..DumpFile::default()
        };
        let now = RowsKey {
            server: server.other("pacsdb"),
            tables: vec!["public.study".to_owned()],
        };
        let in_use = DatabaseKey {
            server: server.clone(),
            name: "pacsdb".to_owned(),
        };
        Fixture::default()
            .with::<PgDatabase>(&in_use, in_use_state)
            .with::<PgDumpFile>(&file, &dump)
            .with::<PgDatabase>(&args.key(&server), there)
            .with::<PgRows>(
                &now,
                &super::super::rows_kind::Rows([("public.study".to_owned(), 7)].into()),
            )
    }

    fn commented(comment: &str) -> DatabaseState {
        DatabaseState {
            exists: true,
            oid: Some(5),
            comment: Some(comment.to_owned()),
            ..DatabaseState::default()
        }
    }

    #[test]
    fn what_would_be_lost_is_told() {
        let wanted = |rows| {
            PgRestore::want(
                &args(json!({})),
                &world(&DatabaseState::default(), rows).view(),
            )
            .unwrap()
        };
        assert_eq!(
            wanted(Some(5)).notes,
            ["rows that pacsdb has now: public.study 7, 5 in the dump"]
        );
        assert_eq!(
            wanted(Some(7)).notes,
            ["pacsdb has as many rows in each table as the dump"]
        );
        assert!(wanted(None).notes[0].contains("cannot be told"));
        assert!(wanted(None).action.is_some());
    }

    #[test]
    fn what_is_there_already() {
        let want = |comment: &str| {
            PgRestore::want(&args(json!({})), &world(&commented(comment), None).view())
        };
        assert!(want(&comment("abc")).unwrap().action.is_none());
        assert!(want(BEGUN).unwrap().action.is_some());
        for other in [&comment("abd"), "mine"] {
            assert!(
                matches!(want(other), Err(Stop::Refuse(why)) if why.contains("already")),
                "{other}"
            );
        }
    }

    #[test]
    fn what_has_taken_its_place_already() {
        let nothing = DatabaseState::default();
        let want = |force: bool| {
            let world = world_of(&nothing, &commented(&comment("abc")), None);
            PgRestore::want(&args(json!({"force": force})), &world.view()).unwrap()
        };
        assert!(want(false).action.is_none() && want(false).resources.is_empty());
        assert!(want(true).action.is_some());
    }

    #[test]
    fn refused_arguments() {
        for (name, value) in [
            ("database", json!("pacsdb")),
            ("database", json!("host=evil dbname=x")),
            ("user", json!("-x")),
            ("password", json!("a\nb")),
        ] {
            let args = args(json!({name: value}));
            assert!(PgRestore::validate(&args).is_err(), "{name}");
        }
        assert!(PgRestore::validate(&args(json!({}))).is_ok());
    }
}
