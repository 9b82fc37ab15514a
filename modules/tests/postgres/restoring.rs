//! Dumps brought back, and databases that take each other's place.

use runbook_engine::action::{ActionKind as _, ActionRun, Outcome};
use runbook_engine::module::{LocalFiles, Wanted};
use runbook_engine::resource::{Change, KeyedChange, Kind as _};
use runbook_engine::value::Value;
use runbook_modules::postgres::database_kind::PgDatabase;
use runbook_modules::postgres::pg_database::PgDatabaseModule;
use runbook_modules::postgres::pg_restore::{PgRestore, Restore};
use serde_json::{Value as Json, json};

use super::cluster::{Cluster, PASSWORD, USER, assert_same, cluster, realdata};
use super::dumping::dump;
use super::host::{Host, World};

/// Rows that look like the ends of others, names that are none, and what a dump has besides tables.
const ODD: &str = r#"
create schema "Odd";
create table "Odd"."two words" ("a (b" text, c int);
insert into "Odd"."two words" values (E'x\n\\.\ny', 1), ('COPY public.t (i) FROM stdin;', 2), (null, null);
create table t as select i, repeat('x', 100) x from generate_series(1, 500) i;
create table empty (i int);
create index on t (i);
create sequence s start 77;
create view v as select count(*) from t;
"#;

fn restore_args(cluster: &Cluster, src: &str, database: &str, instead_of: &str) -> Json {
    json!({
        "server": format!("127.0.0.1:{}", cluster.port), "user": USER, "password": PASSWORD,
        "src": src, "database": database, "instead_of": instead_of,
    })
}

async fn planned(args: &Json) -> Result<Wanted, String> {
    let args = serde_json::from_value(args.clone()).unwrap();
    let (wanted, _) = Host::new()
        .check::<PgRestore>(&args, &LocalFiles::new())
        .await?;
    Ok(wanted)
}

async fn restore(args: &Json) -> Result<Outcome, String> {
    let call = planned(args).await?.action.ok_or("nothing to do")?.call;
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let run = ActionRun {
        run: "restore".into(),
        node: format!("{}-{next}", std::process::id()),
        private: false,
    };
    let call = serde_json::from_value(call).unwrap();
    Restore
        .run(&Host::new().target, &call, &run)
        .await
        .map_err(|e| e.to_string())
}

async fn renamed(cluster: &Cluster, more: &Json) -> Result<(Wanted, World), String> {
    let mut args = json!({"server": format!("127.0.0.1:{}", cluster.port), "user": USER, "password": PASSWORD});
    for (name, value) in more.as_object().unwrap() {
        args[name] = value.clone();
    }
    let args = serde_json::from_value(args).unwrap();
    Host::new()
        .check::<PgDatabaseModule>(&args, &LocalFiles::new())
        .await
}

async fn write(changes: &[KeyedChange<PgDatabase>]) -> Result<(), String> {
    let written = PgDatabase.write(&Host::new().target, changes).await;
    written.map(drop).map_err(|e| e.to_string())
}

fn needs_tools(test: &str) -> bool {
    let there = std::path::Path::new("/usr/bin/pg_restore").exists();
    if !there {
        crate::skip::skip(test, "pg_restore is not installed");
    }
    !there
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_comes_back_beside_what_is_in_use() {
    let test = "a_dump_comes_back_beside_what_is_in_use";
    let Some(cluster) = cluster(test) else { return };
    if needs_tools(test) {
        return;
    }
    let database = cluster.database();
    cluster.psql(&database, ODD);
    let before = cluster.dump(&database);
    let folder = tempfile::tempdir().unwrap();
    let src = format!("{}/it's a.dump", folder.path().display());
    dump(cluster, &database, &src, "custom", "r").await.unwrap();
    cluster.psql(
        &database,
        "insert into t values (501, 'since'); drop table empty",
    );

    let new = format!("{database}-\"new");
    let args = restore_args(cluster, &src, &new, &database);
    let wanted = planned(&args).await.unwrap();
    let now = format!(
        "rows that {database} has now: public.empty none, 0 in the dump; public.t 501, 500 in the dump"
    );
    assert_eq!(wanted.notes, [now]);
    let outcome = restore(&args).await.unwrap();
    assert!(outcome.changed);
    let rows = &outcome.output["rows"];
    assert_eq!(rows.get("public.t"), Some(&Value::Int(500)));
    assert_eq!(rows.get("\"Odd\".\"two words\""), Some(&Value::Int(3)));
    assert_same(&cluster.dump(&new), &before);
    assert!(
        planned(&args).await.unwrap().action.is_none(),
        "it is there"
    );
    // Whoever has the name otherwise keeps it.
    let mut taken = restore_args(cluster, &src, &database, "");
    taken.as_object_mut().unwrap().remove("instead_of");
    let refused = planned(&taken).await.unwrap_err();
    assert!(
        refused.contains("does not come from this dump"),
        "{refused}"
    );

    // It takes the place of the one in use, once nobody is logged in to that.
    let after = cluster.dump(&database);
    let kept = format!("{database}-kept");
    let swap = json!({"name": database, "from": new, "keep_as": kept});
    let (wanted, world) = renamed(cluster, &swap).await.unwrap();
    let changes = Host::changes(&PgDatabase, &wanted, &world);
    assert_eq!(changes.len(), 3);
    let client = cluster.client(&database).await;
    let refused = write(&changes).await.unwrap_err();
    assert!(refused.contains("the archive"), "{refused}");
    drop(client);
    while cluster.psql(
        "postgres",
        &format!("select count(*) from pg_stat_activity where datname = '{database}'"),
    ) != "0"
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    write(&changes).await.unwrap();
    assert_same(&cluster.dump(&database), &before);
    assert_same(&cluster.dump(&kept), &after);
    let (again, world) = renamed(cluster, &swap).await.unwrap();
    assert!(Host::changes(&PgDatabase, &again, &world).is_empty());
    let moved = write(&changes).await.unwrap_err();
    assert!(moved.contains("no longer as it was read"), "{moved}");

    // And back.
    let back: Vec<_> = changes
        .iter()
        .map(|c| {
            let want = PgDatabase.back(&c.key, &c.change).unwrap();
            let to = PgDatabase.predict(&want, &c.change.to);
            let from = c.change.to.clone();
            KeyedChange {
                key: c.key.clone(),
                change: Change { from, to, want },
            }
        })
        .collect();
    write(&back).await.unwrap();
    assert_same(&cluster.dump(&database), &after);
    assert_same(&cluster.dump(&new), &before);

    let (gone, world) = renamed(cluster, &json!({"name": new, "state": "absent"}))
        .await
        .unwrap();
    write(&Host::changes(&PgDatabase, &gone, &world))
        .await
        .unwrap();
    let left = format!("select count(*) from pg_database where datname = '{new}'");
    assert_eq!(cluster.psql("postgres", &left), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archives_database_comes_back() {
    let test = "an_archives_database_comes_back";
    let (Some(cluster), Some(sql)) = (cluster(test), realdata(test)) else {
        return;
    };
    if needs_tools(test) {
        return;
    }
    let database = cluster.release(&sql, "5.31.2");
    for table in ["dicomattrs", "patient"] {
        cluster.fill(&database, table, 40, &[]);
    }
    cluster.fill(&database, "patient_id", 40, &[]);
    let before = cluster.dump(&database);
    let folder = tempfile::tempdir().unwrap();
    let src = format!("{}/pacsdb.dump", folder.path().display());
    dump(cluster, &database, &src, "custom", "r").await.unwrap();
    let new = format!("{database}-r");
    restore(&restore_args(cluster, &src, &new, &database))
        .await
        .unwrap();
    assert_same(&cluster.dump(&new), &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_never_counts_as_restored() {
    let test = "what_is_damaged_never_counts_as_restored";
    let Some(cluster) = cluster(test) else { return };
    if needs_tools(test) {
        return;
    }
    let database = cluster.database();
    cluster.psql(
        &database,
        "create table t as select i, md5(i::text) from generate_series(1, 50000) i",
    );
    let folder = tempfile::tempdir().unwrap();
    let src = format!("{}/a.dump", folder.path().display());
    dump(cluster, &database, &src, "custom", "r").await.unwrap();
    let whole = std::fs::read(&src).unwrap();
    let new = format!("{database}-r");
    let args = restore_args(cluster, &src, &new, &database);

    std::fs::write(&src, &whole[..100]).unwrap();
    let no_dump = planned(&args).await.unwrap_err();
    assert!(no_dump.contains("no dump that"), "{no_dump}");

    // The table of contents is whole, what follows is not.
    std::fs::write(&src, &whole[..whole.len() / 2]).unwrap();
    let failed = restore(&args).await.unwrap_err();
    assert!(failed.contains("could not be restored"), "{failed}");
    let comment = format!(
        "select shobj_description(oid, 'pg_database') from pg_database where datname = '{new}'"
    );
    assert_eq!(
        cluster.psql("postgres", &comment),
        "runbook: being restored"
    );

    // Rows that are no blocks of lines cannot be counted.
    let inserts = format!("{}/inserts.dump", folder.path().display());
    cluster.dump_with_inserts(&database, &inserts);
    let uncounted = restore_args(cluster, &inserts, &format!("{database}-i"), &database);
    let failed = restore(&uncounted).await.unwrap_err();
    assert!(failed.contains("cannot be counted"), "{failed}");

    std::fs::write(&src, &whole).unwrap();
    restore(&args).await.unwrap();
    assert_same(&cluster.dump(&new), &cluster.dump(&database));
    let absent = restore_args(cluster, "/nowhere/a.dump", "x", &database);
    let refused = planned(&absent).await.unwrap_err();
    assert!(refused.contains("no such dump"), "{refused}");
}
