//! Upgrades with upstream's files: by parts, in a chain, without a ledger, and back.

use std::path::Path;

use runbook_engine::resource::{Change, KeyedChange, Kind as _};
use runbook_modules::postgres::pg_schema::PgSchemaModule;
use runbook_modules::postgres::schema_kind::{PgSchema, SchemaWant};

use super::cluster::{Cluster, PASSWORD, USER, assert_same, cluster, realdata};
use super::host::{Args, Host};

fn update(sql: &Path, name: &str) -> std::path::PathBuf {
    sql.join("update").join(format!("update-{name}-psql.sql"))
}

/// Rows in the tables that the updates change.
pub fn rows(cluster: &Cluster, database: &str, studies: u32) {
    let given = |table: &str, column: &str| {
        cluster.psql(
            database,
            &format!("select count(*) from information_schema.columns where table_name='{table}' and column_name='{column}'"),
        ) == "1"
    };
    // Foreign keys are of no interest here.
    let drop = cluster.psql(
        database,
        "select format('alter table %s drop constraint %I;', conrelid::regclass, conname) from pg_constraint \
         where contype = 'f' and conrelid::regclass::text in ('study', 'series', 'instance', 'mwl_item') order by 1",
    );
    cluster.psql(database, &drop.replace('\n', " "));
    cluster.fill(database, "study", studies, &[]);
    for table in ["series", "instance"] {
        let may_be_null = cluster.psql(
            database,
            &format!("select is_nullable from information_schema.columns where table_name = '{table}' and column_name = 'ext_retrieve_aet'"),
        );
        let aet = if may_be_null == "YES" {
            "case when i % 3 = 0 then 'AET' end"
        } else {
            "'AET'"
        };
        cluster.fill(database, table, 300, &[("ext_retrieve_aet", aet)]);
    }
    if given("mwl_item", "local_aet") {
        cluster.fill(database, "mwl_item", 20, &[("local_aet", "'AET' || i")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_parts_as_by_psql() {
    let test = "by_parts_as_by_psql";
    let (Some(cluster), Some(sql)) = (cluster(test), realdata(test)) else {
        return;
    };
    let (ours, theirs) = (
        cluster.release(&sql, "5.31.2"),
        cluster.release(&sql, "5.31.2"),
    );
    for database in [&ours, &theirs] {
        rows(cluster, database, 5000);
    }
    let host = Host::new();
    let files = sql.join("update");
    let before = cluster.dump(&ours);

    let args = |parts: &[u8]| Args::new(cluster, &ours, &files, "5.32.0", parts);
    let (wanted, _) = host
        .check::<PgSchemaModule>(&args(&[1]).args(), &args(&[1]).local)
        .await
        .unwrap();
    assert!(
        wanted
            .summary
            .clone()
            .unwrap()
            .contains("5.31.1 → 5.32 part 1: 4 statements"),
        "{:?}",
        wanted.summary
    );
    assert_eq!(cluster.dump(&ours), before, "a check changes nothing");
    assert_eq!(
        cluster.psql(&ours, "select to_regclass('runbook.ledger') is null"),
        "t"
    );

    host.run(&args(&[1])).await.unwrap();
    assert_eq!(
        cluster.psql(
            &ours,
            "select count(*) from study where study_deleting is false"
        ),
        "5000"
    );
    // The archive goes on, and what it writes is not written over again.
    cluster.psql(
        &ours,
        "update study set study_deleting = true where pk = 17",
    );
    let again = host.run(&args(&[1])).await.unwrap();
    assert!(again.resources.is_empty(), "{again:?}");
    host.run(&args(&[2])).await.unwrap();
    host.run(&args(&[3])).await.unwrap();
    let end = host.run(&args(&[])).await.unwrap();
    assert!(end.resources.is_empty());
    assert!(
        end.summary.clone().unwrap().ends_with("all applied"),
        "{:?}",
        end.summary
    );
    assert_eq!(
        cluster.psql(&ours, "select pk from study where study_deleting"),
        "17"
    );

    cluster.file(&theirs, &update(&sql, "5.32"));
    cluster.psql(
        &theirs,
        "update study set study_deleting = true where pk = 17",
    );
    assert_same(&cluster.dump(&ours), &cluster.dump(&theirs));
}

fn dumped(cluster: &Cluster, database: &str) -> String {
    let dump = std::process::Command::new(cluster.bin.join("pg_dump"))
        .env("PGPASSWORD", PASSWORD)
        .args(["-h", "127.0.0.1", "-p", &cluster.port.to_string()])
        .args(["-U", USER, "-d", database])
        .args(["--no-owner", "--inserts", "--exclude-schema=runbook"])
        .output()
        .unwrap();
    assert!(dump.status.success());
    String::from_utf8(dump.stdout).unwrap()
}

/// The lines of a dump, each with the statement that it belongs to, sorted: the columns of a table may come in any
/// order, and a column of one table is none of another.
fn by_statement(dump: &str) -> Vec<String> {
    let mut head = "";
    let mut lines = Vec::new();
    for line in dump.lines() {
        if line.is_empty() || line.starts_with("--") || line.contains("restrict ") {
            continue;
        }
        if !line.starts_with([' ', ')']) {
            head = line;
        }
        lines.push(format!("{head} | {}", line.trim_end_matches(',')));
    }
    lines.sort();
    lines
}

#[test]
fn a_column_belongs_to_its_table() {
    let dump = |first: &str, second: &str| {
        by_statement(&format!(
            "CREATE TABLE public.study (\n    pk bigint,\n{first}\n);\n\nCREATE TABLE public.series (\n{second}\n    pk bigint\n);\n"
        ))
    };
    let (a, b) = ("    a boolean", "    b text,");
    assert_eq!(dump(a, b).len(), 8);
    assert_ne!(dump(a, b), dump("    b text", "    a boolean,"));
    let turned = by_statement(
        "CREATE TABLE public.series (\n    pk bigint,\n    b text\n);\nCREATE TABLE public.study (\n    a boolean,\n    pk bigint\n);\n",
    );
    assert_eq!(dump(a, b), turned);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_from_5_29() {
    let test = "a_chain_from_5_29";
    let (Some(cluster), Some(sql)) = (cluster(test), realdata(test)) else {
        return;
    };
    let (ours, theirs) = (
        cluster.release(&sql, "5.29.0"),
        cluster.release(&sql, "5.29.0"),
    );
    for database in [&ours, &theirs] {
        rows(cluster, database, 100);
    }
    let host = Host::new();
    let files = sql.join("update");
    let args = |parts: &[u8]| {
        Args::new(cluster, &ours, &files, "5.32", parts).with("consent", true.into())
    };
    let first = host.run(&args(&[1])).await.unwrap();
    assert!(
        first
            .summary
            .clone()
            .unwrap()
            .contains("before 5.30 → 5.32 part 1: 12 statements"),
        "{:?}",
        first.summary
    );
    host.run(&args(&[2])).await.unwrap();
    host.run(&args(&[3])).await.unwrap();
    for version in ["5.30", "5.31", "5.31.1", "5.32"] {
        cluster.file(&theirs, &update(&sql, version));
    }
    // Parts in the order 1, 2, 3 of all versions add columns in another order; nothing else may differ.
    let ours_dump = by_statement(&dumped(cluster, &ours));
    let theirs_dump = by_statement(&dumped(cluster, &theirs));
    assert_same(&ours_dump, &theirs_dump);
    assert!(host.run(&args(&[])).await.unwrap().resources.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_parts_with_the_archive_stopped() {
    let test = "all_parts_with_the_archive_stopped";
    let (Some(cluster), Some(sql)) = (cluster(test), realdata(test)) else {
        return;
    };
    let (ours, theirs) = (
        cluster.release(&sql, "5.29.0"),
        cluster.release(&sql, "5.29.0"),
    );
    for database in [&ours, &theirs] {
        rows(cluster, database, 100);
    }
    let args =
        Args::new(cluster, &ours, &sql.join("update"), "5.32", &[]).with("consent", true.into());
    Host::new().run(&args).await.unwrap();
    for version in ["5.30", "5.31", "5.31.1", "5.32"] {
        cluster.file(&theirs, &update(&sql, version));
    }
    assert_same(&cluster.dump(&ours), &cluster.dump(&theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_recognised_without_a_ledger() {
    let test = "releases_are_recognised_without_a_ledger";
    let (Some(cluster), Some(sql)) = (cluster(test), realdata(test)) else {
        return;
    };
    let host = Host::new();
    for (release, found) in [
        ("5.29.0", "before 5.30"),
        ("5.31.2", "5.31.1"),
        ("5.32.0", "5.32"),
    ] {
        let database = cluster.release(&sql, release);
        let args = Args::new(cluster, &database, &sql.join("update"), "5.32", &[])
            .with("consent", true.into());
        let (wanted, _) = host
            .check::<PgSchemaModule>(&args.args(), &args.local)
            .await
            .unwrap();
        assert_eq!(
            wanted.facts["version_found"].as_str(),
            Some(found),
            "{release}"
        );
        assert_eq!(wanted.resources.is_empty(), release == "5.32.0");
        let explicit = Args::new(cluster, &database, &sql.join("update"), "5.32", &[])
            .with("from", "5.29.0".into())
            .with("consent", true.into());
        let answer = host
            .check::<PgSchemaModule>(&explicit.args(), &explicit.local)
            .await;
        assert_eq!(answer.is_ok(), release == "5.29.0", "{release} is not 5.29");
    }
    // And one that was upgraded by hand, as the guide does.
    let database = cluster.release(&sql, "5.29.0");
    for version in ["5.30", "5.31", "5.31.1", "5.32-1"] {
        cluster.file(&database, &update(&sql, version));
    }
    let args = Args::new(cluster, &database, &sql.join("update"), "5.32", &[2]);
    let wanted = host.run(&args).await.unwrap();
    assert_eq!(wanted.facts["version_found"].as_str(), Some("5.32 part 1"));
    assert_eq!(
        cluster.psql(
            &database,
            "select string_agg(distinct state, ',') from runbook.ledger where version <> '5.32'"
        ),
        "adopted"
    );
    assert_eq!(
        cluster.psql(
            &database,
            "select count(*) from runbook.ledger where version = '5.32' and state = 'done'"
        ),
        "3"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn back_before_part_3() {
    let test = "back_before_part_3";
    let (Some(cluster), Some(sql)) = (cluster(test), realdata(test)) else {
        return;
    };
    let database = cluster.release(&sql, "5.31.2");
    rows(cluster, &database, 3000);
    // What is null now would not come back, and the kind says so; here there is nothing to lose.
    cluster.psql(
        &database,
        "update series set ext_retrieve_aet = '*'; update instance set ext_retrieve_aet = '*'",
    );
    let before = cluster.dump(&database);
    let host = Host::new();
    for parts in [&[1][..], &[1, 2]] {
        let args = Args::new(cluster, &database, &sql.join("update"), "5.32", parts);
        let (wanted, world) = host
            .check::<PgSchemaModule>(&args.args(), &args.local)
            .await
            .unwrap();
        let change = Host::change(&wanted, &world).unwrap();
        let (key, forth) = (change.key.clone(), change.change.clone());
        host.write(change).await.unwrap();
        assert_ne!(cluster.dump(&database), before);
        let want = SchemaWant {
            undo: true,
            ..forth.want
        };
        let to = PgSchema.predict(&want, &forth.to);
        assert_eq!(to, forth.from);
        let back = KeyedChange {
            key: key.clone(),
            change: Change {
                from: forth.to,
                to,
                want,
            },
        };
        host.write(back).await.unwrap();
        assert_same(&cluster.dump(&database), &before);
        assert_eq!(
            PgSchema.read(&host.probe, &[key]).await.remove(0).unwrap(),
            forth.from
        );
    }
}
