//! What happens when something goes wrong: a statement fails, a run is killed, another one is in the way.

use std::path::Path;
use std::time::Duration;

use runbook_engine::resource::WriteError;
use runbook_modules::postgres::pg_schema::PgSchemaModule;

use super::cluster::{Cluster, cluster};
use super::host::{Args, Host};

/// Update files of our own, shaped like upstream's.
fn files(parts: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in parts {
        std::fs::write(folder.path().join(format!("update-{name}-psql.sql")), sql).unwrap();
    }
    folder
}

fn database(cluster: &Cluster, rows: u32) -> String {
    let name = cluster.database();
    cluster.psql(
        &name,
        &format!(
            "create table study (pk int8 primary key, name text, touched int default 0); \
             create table item (a text, b int, c int, primary key (a, b)); \
             insert into study (pk, name) select i * 10, 'study ' || i from generate_series(1, {rows}) i; \
             insert into item select 'key''' || i / 10, i % 10, 0 from generate_series(1, {rows}) i"
        ),
    );
    name
}

fn args(cluster: &Cluster, database: &str, files: &Path, parts: &[u8]) -> Args {
    Args::new(cluster, database, files, "1.2", parts)
}

fn ledger(cluster: &Cluster, database: &str) -> String {
    cluster.psql(
        database,
        "select string_agg(number || ' ' || state, ', ' order by number) from runbook.ledger",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails() {
    let Some(cluster) = cluster("a_statement_that_fails") else {
        return;
    };
    let files = files(&[
        (
            "1.2-1",
            "alter table study add gone boolean;\n\nupdate study set gone = 1 / (pk - 20) > 0;\ncreate index i on study (gone);",
        ),
        (
            "1.2-2",
            "create table extra (a int);\nupdate study set nothing = 1 where pk = 1;",
        ),
    ]);
    let host = Host::new();
    let beside = database(cluster, 10);
    let error = host
        .run(&args(cluster, &beside, files.path(), &[1]))
        .await
        .unwrap_err();
    for part in [
        "update-1.2-1-psql.sql:3: update study",
        "division by zero (22012)",
        "1.2 part 1 statement 1 applied",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(ledger(cluster, &beside), "1 done");
    // Mended in the data, it goes on behind what stands.
    cluster.psql(&beside, "delete from study where pk = 20");
    host.run(&args(cluster, &beside, files.path(), &[1]))
        .await
        .unwrap();
    assert_eq!(ledger(cluster, &beside), "1 done, 2 done, 3 done");

    let error = host
        .run(&args(cluster, &beside, files.path(), &[2]))
        .await
        .unwrap_err();
    assert!(
        error.contains("update-1.2-2-psql.sql:2") && error.contains("42703"),
        "{error}"
    );
    assert!(
        error.contains("left: None"),
        "nothing of a part that is one transaction stands: {error}"
    );
    assert_eq!(
        cluster.psql(&beside, "select to_regclass('extra') is null"),
        "t"
    );
    assert_eq!(ledger(cluster, &beside), "1 done, 2 done, 3 done");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_midst_of_an_update() {
    let Some(cluster) = cluster("killed_in_the_midst_of_an_update") else {
        return;
    };
    let database = database(cluster, 20_000);
    let files = files(&[(
        "1.2-1",
        "alter table study add gone boolean; update study set gone = false, touched = touched + 1; \
         update item as i set c = c + 1 where i.b <> 3 -- not these\n;",
    )]);
    let host = Host::new();
    let args = args(cluster, &database, files.path(), &[1]).with("batch", 300.into());
    let mut kills = 0;
    for _ in 0..200 {
        let running = tokio::spawn({
            let (args, probe) = (args.args(), host.probe.clone());
            let local = args_local(files.path());
            async move {
                let host = Host {
                    target: runbook_engine::testkit::target(probe.clone()),
                    probe,
                };
                let (wanted, world) = host.check::<PgSchemaModule>(&args, &local).await.unwrap();
                match Host::change(&wanted, &world) {
                    Some(change) => host.write(change).await.map(|()| true),
                    None => Ok(false),
                }
            }
        });
        // A slow machine gets further with every turn, and to the end after a few kills.
        tokio::time::sleep(Duration::from_millis(60 + 20 * kills)).await;
        if kills < 8 && !running.is_finished() {
            // Its connection goes with it, as with a controller that is killed.
            running.abort();
            kills += 1;
            let _ = running.await;
        } else if !running.await.unwrap().unwrap() {
            break;
        }
        // Meanwhile others write, above the highest key at the beginning and below it.
        cluster.psql(
            &database,
            "insert into study (pk, name) select max(pk) + 10, 'new' from study; \
             update study set name = name where pk = 50",
        );
    }
    assert!(kills >= 2, "it was killed {kills} times only");
    assert_eq!(ledger(cluster, &database), "1 done, 2 done, 3 done");
    assert_eq!(
        cluster.psql(
            &database,
            "select count(*), min(touched), max(touched) from study where name <> 'new'"
        ),
        "20000|1|1",
        "every row exactly once"
    );
    let upto = cluster.psql(
        &database,
        "select upto::json ->> 0 from runbook.ledger where number = 2",
    );
    assert_eq!(
        cluster.psql(
            &database,
            &format!("select max(touched) filter (where pk > {upto}), min(touched) filter (where pk <= {upto}) from study")
        ),
        "0|1",
        "what was inserted after the beginning counts as inserted after the update"
    );
    assert_eq!(
        cluster.psql(&database, "select distinct c from item where b <> 3"),
        "1"
    );
    assert_eq!(
        cluster.psql(&database, "select distinct c from item where b = 3"),
        "0"
    );
    assert_eq!(
        cluster.psql(
            &database,
            &format!("select rows_changed = (select count(*) from study where pk <= {upto}) from runbook.ledger where number = 2")
        ),
        "t",
        "the ledger counts rows"
    );
}

fn args_local(files: &Path) -> runbook_engine::module::LocalFiles {
    runbook_engine::module::LocalFiles::from([("sql".to_owned(), super::host::local(files))])
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_steps_of_a_statement() {
    let Some(cluster) = cluster("killed_between_the_steps_of_a_statement") else {
        return;
    };
    let files = files(&[
        (
            "1.2-1",
            "alter table study add constraint FK_x foreign key (touched) references ref; \
         create unique index UK_n on study (name);",
        ),
        ("1.2-3", "alter table study alter name set not null"),
    ]);
    let host = Host::new();
    let database = database(cluster, 5000);
    cluster.psql(
        &database,
        "create table ref (pk int primary key); insert into ref values (0)",
    );
    let all =
        |parts: &[u8]| args(cluster, &database, files.path(), parts).with("batch", 100.into());
    // As a run leaves them that is killed behind the first of a statement's steps.
    let (wanted, world) = host
        .check::<PgSchemaModule>(&all(&[1]).args(), &all(&[1]).local)
        .await
        .unwrap();
    let change = Host::change(&wanted, &world).unwrap();
    let hashes: Vec<&str> = change.change.want.steps[0]
        .statements
        .iter()
        .map(|s| s.hash.as_str())
        .collect();
    host.run(&all(&[1])).await.unwrap();
    cluster.psql(
        &database,
        &format!(
            "alter table study drop constraint fk_x; drop index uk_n; \
             alter table study add constraint fk_x foreign key (touched) references ref not valid; \
             delete from runbook.ledger where number = 2; update runbook.ledger set state = 'running' where hash = '{}'",
            hashes[0]
        ),
    );
    host.run(&all(&[1])).await.unwrap();
    assert_eq!(
        cluster.psql(
            &database,
            "select convalidated from pg_constraint where conname = 'fk_x'"
        ),
        "t"
    );
    cluster.psql(
        &database,
        "update pg_index set indisvalid = false where indexrelid = 'uk_n'::regclass; \
                             update runbook.ledger set state = 'running' where number = 2",
    );
    host.run(&all(&[1])).await.unwrap();
    assert_eq!(
        cluster.psql(
            &database,
            "select indisvalid from pg_index where indexrelid = 'uk_n'::regclass"
        ),
        "t"
    );

    cluster.psql(&database, "update study set name = null where pk = 10");
    let three = all(&[3]).with("archive", "running".into());
    let error = host.run(&three).await.unwrap_err();
    assert!(error.contains("1 rows of study have no name"), "{error}");
    assert_eq!(
        cluster.psql(
            &database,
            "select count(*) from pg_constraint where contype = 'c' and conrelid = 'study'::regclass"
        ),
        "0"
    );
    cluster.psql(&database, "update study set name = 'x' where pk = 10");
    host.run(&three).await.unwrap();
    assert_eq!(
        cluster.psql(
            &database,
            "select count(*) from pg_constraint where contype = 'c' and conrelid = 'study'::regclass"
        ),
        "0"
    );
    assert_eq!(
        cluster.psql(&database, "select attnotnull from pg_attribute where attrelid = 'study'::regclass and attname = 'name'"),
        "t"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn begun_in_batches_and_ended_with_the_archive_stopped() {
    let Some(cluster) = cluster("begun_in_batches_and_ended_with_the_archive_stopped") else {
        return;
    };
    let files = files(&[(
        "1.2-1",
        "update study set touched = touched + 1; create index i on study (touched);",
    )]);
    let database = database(cluster, 1000);
    let host = Host::new();
    let beside = args(cluster, &database, files.path(), &[1]).with("from", "1.1".into());
    let (wanted, _) = host
        .check::<PgSchemaModule>(&beside.args(), &beside.local)
        .await
        .unwrap();
    let want: runbook_modules::postgres::schema_kind::SchemaWant =
        serde_json::from_value(wanted.resources[0].want.clone()).unwrap();
    // As a run leaves it that is killed after 400 rows.
    host.run(&beside).await.unwrap();
    cluster.psql(
        &database,
        &format!(
            "drop index i; delete from runbook.ledger where number = 2; update study set touched = 0 where pk > 4000; \
             update runbook.ledger set state = 'running', progress = '[\"4000\"]', upto = '[\"10000\"]' where hash = '{}'",
            want.steps[0].statements[0].hash
        ),
    );
    for (name, value) in [
        ("archive", serde_json::json!("stopped")),
        ("batch", serde_json::json!(0)),
    ] {
        let args = args(cluster, &database, files.path(), &[1])
            .with("from", "1.1".into())
            .with(name, value);
        host.run(&args).await.unwrap();
        assert_eq!(
            cluster.psql(&database, "select min(touched), max(touched) from study"),
            "1|1",
            "{name}"
        );
        assert_eq!(ledger(cluster, &database), "1 done, 2 done");
        cluster.psql(
            &database,
            "drop index i; delete from runbook.ledger where number = 2; \
                                 update runbook.ledger set state = 'running' where number = 1",
        );
    }
    // Without the key it was begun with, it does not begin anew.
    cluster.psql(&database, "alter table study drop constraint study_pkey");
    let error = host.run(&beside).await.unwrap_err();
    assert!(
        error.contains("no longer the one it was begun with"),
        "{error}"
    );
    assert_eq!(
        cluster.psql(&database, "select max(touched) from study"),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_changed_since_it_was_read() {
    let Some(cluster) = cluster("a_database_that_changed_since_it_was_read") else {
        return;
    };
    let files = files(&[(
        "1.2-1",
        "alter table study add gone boolean; create index i on study (gone);",
    )]);
    let host = Host::new();
    let database = database(cluster, 10);
    let args = args(cluster, &database, files.path(), &[1]);
    let change = || async {
        let (wanted, world) = host
            .check::<PgSchemaModule>(&args.args(), &args.local)
            .await
            .unwrap();
        Host::change(&wanted, &world).unwrap()
    };
    let (one, two, three) = (change().await, change().await, change().await);
    cluster.psql(&database, "alter table study add gone boolean");
    let error = host.write(one).await.unwrap_err();
    assert!(
        matches!(&error, WriteError::Moved { found, .. } if found.contains("column study.gone")),
        "{error:?}"
    );
    assert_eq!(
        cluster.psql(&database, "select to_regclass('runbook.ledger') is null"),
        "t"
    );
    cluster.psql(&database, "alter table study drop column gone");
    host.write(two).await.unwrap();
    let error = host.write(three).await.unwrap_err();
    assert!(
        matches!(&error, WriteError::Moved { found, .. } if found.contains("ledger")),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_to_be_had() {
    let Some(cluster) = cluster("a_lock_that_is_not_to_be_had") else {
        return;
    };
    let files = files(&[
        ("1.2-1", "alter table study add gone boolean"),
        ("1.2-2", "update study set gone = false where gone is null"),
    ]);
    let host = Host::new();
    let database = database(cluster, 10);
    let client = cluster.client(&database).await;
    client
        .batch_execute("begin; select * from study")
        .await
        .unwrap();
    let one = args(cluster, &database, files.path(), &[1]).with("within", "1s".into());
    let error = host.run(&one).await.unwrap_err();
    assert!(error.contains("no lock within 1 s"), "{error}");
    let release = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        client.batch_execute("commit").await.unwrap();
    };
    let patient = args(cluster, &database, files.path(), &[1]);
    let (result, ()) = tokio::join!(host.run(&patient), release);
    result.unwrap();
    // The client is still logged in as the archive's user.
    let two = args(cluster, &database, files.path(), &[2]);
    let error = host.run(&two).await.unwrap_err();
    assert!(
        error.contains("for a stopped archive") && error.contains("the archive, from 127.0.0.1"),
        "{error}"
    );
    drop(client);
    host.run(&two).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_logins() {
    let Some(cluster) = cluster("refused_logins") else {
        return;
    };
    let files = files(&[("1.2-1", "alter table study add gone boolean")]);
    let host = Host::new();
    let database = database(cluster, 1);
    for (name, value, part) in [
        ("password", "wrong-secret", "is the password of pacs right?"),
        ("database", "nodb", "is `database` right?"),
        ("server", "127.0.0.1:1", "cannot be reached"),
    ] {
        let args = args(cluster, &database, files.path(), &[1]).with(name, value.into());
        let error = host
            .check::<PgSchemaModule>(&args.args(), &args.local)
            .await
            .err()
            .unwrap();
        assert!(error.contains(part) && !error.contains("secret"), "{error}");
    }
}
