//! Module `pg_schema`: brings a database's schema to a version, by the update files of all versions in between.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::{Secret, Value};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::chain::Chain;
use super::facts_kind::{Facts, FactsKey, PgFacts};
use super::files::Files;
use super::operation::{Lock, Operation, alone, lock_of};
use super::plan::{Plan, Planned, Request, Step, plan};
use super::schema_kind::{Pace, PgSchema, SchemaKey, SchemaWant, one_line};
use super::server::Server;
use super::version::Version;
use crate::docker::{Container, ContainerKey};

/// The module.
pub struct PgSchemaModule;

/// Arguments of `pg_schema`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgSchemaArgs {
    /// The container that the server runs in, `NAME` or `NAME:PORT` (port 5432 by default). Nothing has to be
    /// published: the server is reached at the container's own address.
    #[serde(default)]
    pub container: Option<String>,
    /// The server as seen from the host, in place of `container`: `HOST:PORT`, or its socket or the folder of it.
    #[serde(default)]
    pub server: Option<String>,
    /// The database.
    pub database: String,
    /// The user to log in as: the owner of the tables.
    pub user: String,
    /// The password of `user`. Without it none is given.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Where the update files come from.
    pub files: Files,
    /// The version to reach. There is an update file of it; 5.32.0 is the same as 5.32.
    pub to: String,
    /// The version that the schema has now, or `auto`, the default: as the ledger in the database says; without one
    /// the catalogue is asked for the objects that each version's statements create.
    #[serde(default)]
    pub from: Option<String>,
    /// Which parts of every version to apply: 1 while the old archive runs, 2 while none does, 3 while the new one
    /// runs. Default: all of them, version by version.
    #[serde(default)]
    pub parts: Option<Vec<u8>>,
    /// Whether the archive runs meanwhile. Running: each statement commits by itself, gives up locks that it does not
    /// get at once, and large updates go in batches. Stopped: each part is one transaction. Default: stopped where
    /// `parts` has 2 in it (or is not given), else running.
    #[serde(default)]
    pub archive: Option<Archive>,
    /// The container on the same host that must not run while a part for a stopped archive is applied.
    #[serde(default)]
    pub require_stopped: Option<String>,
    /// Refuse a part for a stopped archive while other clients are logged in as `user`. Default: yes.
    #[serde(default)]
    pub require_alone: Option<bool>,
    /// Minor versions that have no update files, so that their absence is no gap.
    #[serde(default)]
    pub without: Vec<String>,
    /// Apply statements that nothing brings back: dropped columns, tables, constraints, deleted rows. Default: no.
    #[serde(default)]
    pub consent: bool,
    /// How long a statement waits for a lock before it gives way and tries again, as in `250ms`; below `1s`. Default:
    /// 250ms. Other clients wait behind it for that long at most.
    #[serde(default)]
    pub lock_timeout: Option<String>,
    /// How long it goes on trying, as in `10m`. Default: 10m.
    #[serde(default)]
    pub within: Option<String>,
    /// Rows that an update changes in one transaction at most, 0 for all at once. Default: 2000.
    #[serde(default)]
    pub batch: Option<u32>,
}

/// Whether the archive runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Archive {
    /// Clients read and write meanwhile.
    Running,
    /// Nobody does.
    Stopped,
}

impl PgSchemaArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            &self.database,
            &self.user,
            self.password.as_ref(),
        )
    }

    fn request(&self) -> Result<Request, String> {
        let to = self.to.parse().map_err(|e| format!("to: {e}"))?;
        let from = match self.from.as_deref() {
            None | Some("auto") => None,
            Some(text) => Some(
                text.parse::<Version>()
                    .map_err(|e| format!("from: {e}, nor is it `auto`"))?,
            ),
        };
        let mut parts = self.parts.clone().unwrap_or_default();
        parts.sort_unstable();
        parts.dedup();
        if self.parts.as_ref().is_some_and(Vec::is_empty) {
            return Err("parts: the list is empty; leave it out for all parts".to_owned());
        }
        if let Some(bad) = parts.iter().find(|p| !(1..=3).contains(*p)) {
            return Err(format!(
                "parts: there is no part {bad}; there are 1, 2 and 3"
            ));
        }
        let needs_stop = parts.is_empty() || parts.contains(&2);
        let stopped = match self.archive {
            None => needs_stop,
            Some(Archive::Stopped) => true,
            Some(Archive::Running) if needs_stop => {
                return Err(
                    "archive: part 2 is for a stopped archive; name the other parts with `parts`"
                        .to_owned(),
                );
            }
            Some(Archive::Running) => false,
        };
        let without = self
            .without
            .iter()
            .map(|v| v.parse().map_err(|e| format!("without: {e}")))
            .collect::<Result<_, _>>()?;
        Ok(Request {
            to,
            from,
            parts,
            stopped,
            without,
        })
    }

    fn pace(&self) -> Result<Pace, String> {
        let default = Pace::default();
        let lock_timeout_ms = match &self.lock_timeout {
            None => default.lock_timeout_ms,
            Some(text) => milliseconds(text).map_err(|e| format!("lock_timeout: {e}"))?,
        };
        if !(1..1000).contains(&lock_timeout_ms) {
            return Err("lock_timeout: it must be more than nothing and less than 1s, since behind a statement that \
                        waits for a lock all other clients wait, and after 1s the server may end one of them"
                .to_owned());
        }
        let within_s = match &self.within {
            None => default.within_s,
            Some(text) => milliseconds(text)
                .map_err(|e| format!("within: {e}"))?
                .div_ceil(1000),
        };
        Ok(Pace {
            lock_timeout_ms,
            within_s,
            batch: self.batch.unwrap_or(default.batch),
            alone: self.require_alone.unwrap_or(true),
        })
    }
}

/// A duration: a number with `ms`, `s`, `m` or `h`; without a unit seconds.
fn milliseconds(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => {
            return Err(format!(
                "`{text}` is no duration; write it as in `250ms`, `10s` or `5m`"
            ));
        }
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no duration; write it as in `250ms`, `10s` or `5m`"))?;
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("`{text}` is too long"))
}

impl Module for PgSchemaModule {
    type Args = PgSchemaArgs;

    const NAME: &'static str = "pg_schema";
    const SUMMARY: &'static str =
        "Brings a database's schema to a version, by the update files of all versions in between.";
    const DOC: &'static str = include_str!("pg_schema.md");
    const LOCAL_FILES: &'static [&'static str] = &["files.path"];

    fn validate(args: &Self::Args) -> Result<(), String> {
        args.server()?;
        args.request()?;
        args.pace()?;
        args.files.validate()
    }

    fn touches(args: &Self::Args) -> Footprint {
        let Ok(server) = args.server() else {
            return Footprint::everything();
        };
        let mut footprint = args
            .files
            .touches(Footprint::nothing())
            .reads(PgFacts::NAME, server.id())
            .writes(PgSchema::NAME, server.id());
        for name in server
            .container()
            .into_iter()
            .chain(args.require_stopped.as_deref())
        {
            footprint = footprint.reads(Container::NAME, name);
        }
        footprint
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let request = args.request().map_err(Stop::Refuse)?;
        let files = args.files.contents(world)?;
        let chain = Chain::from_files(files.iter().map(|(n, c)| (n.as_str(), c.as_slice())))
            .map_err(|e| Stop::refuse(listed("the update files cannot be used", &e)))?;
        let key = SchemaKey {
            server: server.clone(),
            objects: chain.objects(),
        };
        let facts_key = FactsKey {
            server: server.clone(),
            tables: chain.tables(),
        };
        world.need(&[
            runbook_engine::module::reference::<PgSchema>(&key),
            runbook_engine::module::reference::<PgFacts>(&facts_key),
        ])?;
        let state = world.get::<PgSchema>(&key)?;
        let facts = world.get::<PgFacts>(&facts_key)?;
        let plan = plan(&chain, &request, &state).map_err(|e| {
            Stop::refuse(listed(
                &format!("{} cannot be brought to {}", server.shown(), request.to),
                &e,
            ))
        })?;
        let lost: Vec<&str> = applied(&plan)
            .flat_map(|s| &s.inverse.never)
            .map(String::as_str)
            .collect();
        if !lost.is_empty() && !args.consent {
            return Err(Stop::refuse(format!(
                "after this there is no way back ({}); say `consent: true` where that is meant",
                lost.join("; ")
            )));
        }
        if let Some(name) = args
            .require_stopped
            .as_ref()
            .filter(|_| applied(&plan).next().is_some() && request.stopped)
        {
            let key = ContainerKey { name: name.clone() };
            if world.get::<Container>(&key)?.running {
                return Err(Stop::refuse(format!(
                    "container {name} runs, and {} is for when it does not; stop it first",
                    plan.steps
                        .iter()
                        .find(|s| !s.adopt)
                        .map_or("this", |s| s.title.as_str())
                )));
            }
        }
        let mut wanted = if plan.steps.is_empty() {
            Wanted::nothing()
        } else {
            let want = SchemaWant {
                steps: plan.steps.clone(),
                undo: false,
                pace: args.pace().map_err(Stop::Refuse)?,
            };
            Wanted::one::<PgSchema>(&key, &want)
        };
        wanted.summary = Some(summary(&args.database, &plan, &facts));
        wanted.notes = notes(&plan, &facts, request.stopped);
        if !plan.steps.is_empty() {
            wanted.diff = Some(diff(&plan));
        }
        wanted.facts = told(&plan, &chain, &files);
        Ok(wanted)
    }
}

fn listed(what: &str, errors: &[String]) -> String {
    match errors {
        [one] => format!("{what}: {one}"),
        many => format!("{what}:\n  {}", many.join("\n  ")),
    }
}

/// The statements to be applied; adopted ones are not among them.
fn applied(plan: &Plan) -> impl Iterator<Item = &Planned> {
    plan.steps
        .iter()
        .filter(|s| !s.adopt)
        .flat_map(|s| &s.statements)
}

/// `pacsdb 5.31.1 → 5.32 part 1: 4 statements, study about 412,000 rows`: each table whose rows are visited, with as many
/// rows as the server estimates.
fn summary(database: &str, plan: &Plan, facts: &Facts) -> String {
    let steps: Vec<&Step> = plan.steps.iter().filter(|s| !s.adopt).collect();
    let Some(last) = steps.last() else {
        return format!(
            "{database} {}: {} statements, all applied",
            plan.found, plan.done
        );
    };
    let to = match steps.as_slice() {
        [one] => one.title.clone(),
        many if many.iter().all(|s| s.part == last.part) => {
            format!("{} part {}", last.version, last.part)
        }
        _ => last.version.to_string(),
    };
    let count = applied(plan).count();
    let mut text = format!(
        "{database} {} → {to}: {count} {}",
        plan.found,
        if count == 1 {
            "statement"
        } else {
            "statements"
        }
    );
    // The server's estimates are here and not in the diff: they move by themselves, and a plan is compared by its diff.
    let visited: BTreeMap<&str, u64> = applied(plan)
        .flat_map(|s| &s.operations)
        .filter(|o| o.visits_rows())
        .filter_map(|o| Some((o.table()?, *facts.rows.get(o.table()?)?)))
        .collect();
    for (table, rows) in visited {
        text.push_str(&format!(", {table} about {} rows", grouped(rows)));
    }
    text
}

/// 412000 as `412,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn notes(plan: &Plan, facts: &Facts, stopped: bool) -> Vec<String> {
    let mut notes = plan.notes.clone();
    for step in plan.steps.iter().filter(|s| !s.adopt) {
        for statement in &step.statements {
            for why in &statement.inverse.never {
                notes.push(format!(
                    "no way back from {}:{}: {why}",
                    step.file, statement.line
                ));
            }
            for what in &statement.inverse.loses {
                notes.push(format!(
                    "going back from {}:{} loses {what}",
                    step.file, statement.line
                ));
            }
            if stopped && alone(&statement.operations) {
                notes.push(format!(
                    "{}:{} cannot run in a transaction, so {} is applied statement by statement",
                    step.file, statement.line, step.title
                ));
            }
            if !stopped {
                notes.extend(
                    statement
                        .operations
                        .iter()
                        .filter_map(|o| waits(o, facts))
                        .map(|w| format!("{}:{} {w}", step.file, statement.line)),
                );
            }
        }
    }
    notes
}

/// What makes other clients wait for longer than a moment, although the archive runs.
fn waits(operation: &Operation, facts: &Facts) -> Option<String> {
    let table = operation.table()?;
    let rows = *facts.rows.get(table)?;
    let many = rows > 100_000 && operation.visits_rows();
    match operation {
        Operation::Update(update) => {
            let why = update.whole.as_ref().filter(|_| many)?;
            Some(format!(
                "updates {table} ({} rows) as a whole, since {why}: clients that change the same rows wait",
                grouped(rows)
            ))
        }
        Operation::CreateIndex { .. } | Operation::SetNotNull { .. } => None,
        Operation::AddConstraint { .. } if operation.lock() == Lock::ShareRowExclusive => None,
        Operation::Delete { .. } | Operation::Insert { .. } => None,
        _ if many => Some(format!(
            "looks at every row of {table} ({} rows) under a lock that keeps all clients waiting; better apply it while \
             the archive is stopped",
            grouped(rows)
        )),
        _ => None,
    }
}

fn diff(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let how = match (step.adopt, step.whole) {
            (true, _) => "applied already, only noted in the ledger",
            (_, true) => "one transaction",
            (_, false) => "statement by statement",
        };
        let hash = step.sha256.get(..12).unwrap_or(&step.sha256);
        text.push_str(&format!(
            "  {} ({}, sha256 {hash}), {how}\n",
            step.title, step.file
        ));
        if step.adopt {
            continue;
        }
        for statement in &step.statements {
            text.push_str(&format!(
                "+ {}  [{}]\n",
                one_line(&statement.text),
                lock_of(&statement.operations)
            ));
        }
    }
    text
}

fn told(plan: &Plan, chain: &Chain, files: &BTreeMap<String, Vec<u8>>) -> IndexMap<String, Value> {
    let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let statements = plan.steps.iter().filter(|s| !s.adopt).flat_map(|step| {
        step.statements.iter().map(move |s| {
            Value::Map(IndexMap::from([
                ("file".to_owned(), Value::from(step.file.as_str())),
                ("line".to_owned(), Value::Int(i64::from(s.line))),
                ("sql".to_owned(), Value::from(s.text.as_str())),
            ]))
        })
    });
    let hashes = chain
        .units
        .iter()
        .filter(|u| files.contains_key(&u.file))
        .map(|u| (u.file.clone(), Value::from(u.sha256.as_str())))
        .collect();
    IndexMap::from([
        ("version_found".to_owned(), Value::from(plan.found.as_str())),
        ("todo".to_owned(), number(applied(plan).count())),
        ("done".to_owned(), number(plan.done)),
        ("statements".to_owned(), Value::List(statements.collect())),
        ("files".to_owned(), Value::Map(hashes)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook_engine::module::LocalFile;
    use runbook_engine::world::Fixture;
    use serde_json::json;

    use crate::postgres::ledger::SchemaState;
    use crate::postgres::object::Fact;

    fn args(extra: &serde_json::Value) -> PgSchemaArgs {
        let mut json = json!({"container": "db", "database": "pacsdb", "user": "pacs", "password": "geheim",
            "files": {"path": "sql"}, "to": "1.2", "parts": [1]});
        for (name, value) in extra.as_object().unwrap() {
            json[name] = value.clone();
        }
        serde_json::from_value(json).unwrap()
    }

    const FILES: [(&str, &str); 4] = [
        ("update-1.1-psql.sql", "create index IDXa on task (a)"),
        (
            "update-1.2-1-psql.sql",
            "-- part 1\nalter table study add gone boolean;\nupdate study set gone = false;\n",
        ),
        (
            "update-1.2-2-psql.sql",
            "update study set gone = false where gone is null",
        ),
        (
            "update-1.2-3-psql.sql",
            "alter table study alter gone set not null; alter table study drop old",
        ),
    ];

    fn file(content: &str) -> LocalFile {
        LocalFile {
            path: "x".into(),
            content: content.to_owned().into(),
            mode: 0o644,
            entries: None,
            secret: false,
        }
    }

    fn world(args: &PgSchemaArgs, present: &[&str]) -> Fixture {
        let chain = Chain::from_files(FILES.iter().map(|(n, t)| (*n, t.as_bytes()))).unwrap();
        let server = args.server().unwrap();
        let mut state = SchemaState::default();
        for object in chain.objects() {
            let there = present.contains(&object.to_string().as_str());
            state.catalogue.insert(
                object.to_string(),
                if there {
                    Fact::present(false)
                } else {
                    Fact::Absent
                },
            );
        }
        let facts = Facts {
            major: 15,
            rows: [("study".to_owned(), 412_000)].into(),
            ..Facts::default()
        };
        let mut world = Fixture::default()
            .with::<PgSchema>(
                &SchemaKey {
                    server: server.clone(),
                    objects: chain.objects(),
                },
                &state,
            )
            .with::<PgFacts>(
                &FactsKey {
                    server,
                    tables: chain.tables(),
                },
                &facts,
            );
        let entries = FILES
            .iter()
            .map(|(n, t)| ((*n).to_owned(), file(t)))
            .collect();
        world.local.insert(
            "sql".to_owned(),
            LocalFile {
                entries: Some(entries),
                ..file("")
            },
        );
        world
    }

    const AT_1_1: &[&str] = &[
        "table study",
        "table task",
        "index idxa",
        "column study.old",
    ];

    #[test]
    fn part_1_as_the_plan_shows_it() {
        let args = args(&json!({}));
        let wanted = PgSchemaModule::want(&args, &world(&args, AT_1_1).view()).unwrap();
        assert_eq!(
            wanted.summary.as_deref(),
            Some("pacsdb 1.1 → 1.2 part 1: 2 statements, study about 412,000 rows")
        );
        let hash =
            |text: &str| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text))[..12].to_owned();
        let shown = wanted.diff.clone().map(|d| {
            d.replace(&hash(FILES[0].1), "HASH")
                .replace(&hash(FILES[1].1), "HASH")
        });
        assert_eq!(
            shown.as_deref(),
            Some(
                "  1.1 (update-1.1-psql.sql, sha256 HASH), applied already, only noted in the ledger\n\
                 \x20 1.2 part 1 (update-1.2-1-psql.sql, sha256 HASH), statement by statement\n\
                 + alter table study add gone boolean  [ACCESS EXCLUSIVE]\n\
                 + update study set gone = false  [ROW EXCLUSIVE]\n"
            )
        );
        assert_eq!(
            wanted.notes,
            [
                "1.1 was applied outside of runbook (index idxa)",
                "going back from update-1.2-1-psql.sql:2 loses the values of study.gone"
            ]
        );
        assert_eq!(wanted.facts["version_found"], Value::from("1.1"));
        assert_eq!(wanted.facts["todo"], Value::Int(2));
        assert!(
            !format!("{wanted:?}").contains("MASK") && !wanted.diff.unwrap().contains("geheim")
        );
    }

    #[test]
    fn no_way_back_needs_consent() {
        let there = [
            "table study",
            "table task",
            "index idxa",
            "column study.gone",
            "column study.old",
        ];
        let plain = args(&json!({"parts": [3], "from": "1.1"}));
        let stop = PgSchemaModule::want(&plain, &world(&plain, &there).view()).unwrap_err();
        assert!(
            matches!(&stop, Stop::Refuse(why) if why.contains("1.2")),
            "{stop:?}"
        );

        let all = args(&json!({"parts": [2, 3]}));
        let stop = PgSchemaModule::want(&all, &world(&all, &there).view()).unwrap_err();
        assert!(
            matches!(&stop, Stop::Refuse(why) if why.contains("column study.old and its values are gone") && why.contains("consent: true")),
            "{stop:?}"
        );
        let agreed = args(&json!({"parts": [2, 3], "consent": true}));
        let wanted = PgSchemaModule::want(&agreed, &world(&agreed, &there).view()).unwrap();
        assert_eq!(wanted.facts["todo"], Value::Int(3));
        assert_eq!(
            wanted.summary.as_deref(),
            Some("pacsdb 1.2 part 1 → 1.2: 3 statements, study about 412,000 rows")
        );
    }

    #[test]
    fn an_archive_that_must_not_run() {
        let there = [
            "table study",
            "table task",
            "index idxa",
            "column study.gone",
            "column study.old",
        ];
        let args = args(&json!({"parts": [2], "require_stopped": "arc"}));
        let key = ContainerKey {
            name: "arc".to_owned(),
        };
        let runs = |running| crate::docker::ContainerState {
            exists: true,
            running,
            ..Default::default()
        };
        let stopped = world(&args, &there).with::<Container>(&key, &runs(false));
        assert!(PgSchemaModule::want(&args, &stopped.view()).is_ok());
        let running = world(&args, &there).with::<Container>(&key, &runs(true));
        let stop = PgSchemaModule::want(&args, &running.view()).unwrap_err();
        assert!(
            matches!(&stop, Stop::Refuse(why) if why.contains("container arc runs, and 1.2 part 2")),
            "{stop:?}"
        );
    }

    #[test]
    fn arguments_that_are_refused() {
        for (extra, part) in [
            (json!({"parts": [4]}), "no part 4"),
            (json!({"parts": []}), "empty"),
            (
                json!({"parts": [2], "archive": "running"}),
                "stopped archive",
            ),
            (json!({"to": "latest"}), "no version"),
            (json!({"from": "old"}), "nor is it `auto`"),
            (json!({"lock_timeout": "2s"}), "less than 1s"),
            (json!({"lock_timeout": "soon"}), "no duration"),
            (json!({"within": "1x"}), "no duration"),
            (json!({"server": "db:5432"}), "both name the server"),
            (json!({"files": {}}), "either `image` or `path`"),
            (
                json!({"files": {"path": "a", "dir": "/sql"}}),
                "goes with `image`",
            ),
            (json!({"without": ["x"]}), "without"),
        ] {
            let error = PgSchemaModule::validate(&args(&extra)).unwrap_err();
            assert!(error.contains(part), "{extra}: {error}");
        }
        assert_eq!(
            PgSchemaModule::validate(&args(&json!({"within": "90", "lock_timeout": "500ms"}))),
            Ok(())
        );
    }

    #[test]
    fn mistakes_in_files_are_told_with_their_line() {
        let args = args(&json!({}));
        let mut world = world(&args, AT_1_1);
        let bad = LocalFile {
            entries: Some(
                [(
                    "update-1.2-psql.sql".to_owned(),
                    file("select 1;\n\\connect x"),
                )]
                .into(),
            ),
            ..file("")
        };
        world.local.insert("sql".to_owned(), bad);
        let stop = PgSchemaModule::want(&args, &world.view()).unwrap_err();
        assert!(
            matches!(&stop, Stop::Refuse(why) if why.contains("update-1.2-psql.sql:2")),
            "{stop:?}"
        );
    }

    #[test]
    fn numbers() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (412_000, "412,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
