//! Dumps and facts.

use runbook_engine::action::{ActionKind as _, ActionRun, Outcome};
use runbook_engine::module::{LocalFiles, Module as _};
use runbook_engine::value::Value;
use runbook_modules::postgres::pg_dump::{Dump, PgDump};
use runbook_modules::postgres::pg_info::PgInfo;
use serde_json::json;

use super::cluster::{Cluster, PASSWORD, USER, cluster, realdata};
use super::host::Host;

pub async fn dump(
    cluster: &Cluster,
    database: &str,
    dest: &str,
    format: &str,
    run: &str,
) -> Result<Outcome, String> {
    let args = json!({
        "server": format!("127.0.0.1:{}", cluster.port), "database": database, "user": USER, "password": PASSWORD,
        "dest": dest, "format": format,
    });
    let args = serde_json::from_value(args).unwrap();
    PgDump::validate(&args)?;
    let host = Host::new();
    let (wanted, _) = host.check::<PgDump>(&args, &LocalFiles::new()).await?;
    let call = serde_json::from_value(wanted.action.unwrap().call).unwrap();
    // Every call is a node of its own, or the result of the first would be collected again.
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let node = format!(
        "{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    );
    Dump.run(
        &host.target,
        &call,
        &ActionRun {
            run: run.into(),
            node,
            private: false,
        },
    )
    .await
    .map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_in_the_folder_of_its_run() {
    let Some(cluster) = cluster("a_dump_in_the_folder_of_its_run") else {
        return;
    };
    if !std::path::Path::new("/usr/bin/pg_dump").exists() {
        crate::skip::skip(
            "a_dump_in_the_folder_of_its_run",
            "pg_dump is not installed",
        );
        return;
    }
    let database = cluster.database();
    cluster.psql(
        &database,
        "create table t as select i, repeat('x', 100) from generate_series(1, 20000) i",
    );
    let folder = tempfile::tempdir().unwrap();
    let dest = format!("{}/backups/", folder.path().display());
    for (format, ending) in [("custom", "dump"), ("plain", "sql")] {
        let outcome = dump(cluster, &database, &dest, format, "run1")
            .await
            .unwrap();
        let path = format!("{dest}run1/{database}.{ending}");
        assert_eq!(outcome.output["path"].as_str(), Some(path.as_str()));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(
            outcome.output["bytes"],
            Value::Int(i64::try_from(bytes.len()).unwrap())
        );
        let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        assert_eq!(outcome.output["sha256"].as_str(), Some(hash.as_str()));
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            outcome.output["rows"].get("public.t"),
            Some(&Value::Int(20000))
        );
        let rows = std::fs::read_to_string(format!("{path}.rows")).unwrap();
        assert_eq!(rows, "public.t\t20000\n");

        let error = dump(cluster, &database, &dest, format, "run1")
            .await
            .unwrap_err();
        assert!(error.contains("exists already"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    dump(cluster, &database, &dest, "custom", "run2")
        .await
        .unwrap();
    let left: Vec<_> = std::fs::read_dir(format!("{dest}run1")).unwrap().collect();
    assert_eq!(
        left.len(),
        4,
        "nothing but two dumps and their rows: {left:?}"
    );
    let error = dump(cluster, &database, "/proc/nowhere/x", "custom", "run1")
        .await
        .unwrap_err();
    assert!(error.contains("cannot be written"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_for_a_preflight() {
    let test = "facts_for_a_preflight";
    let (Some(cluster), Some(sql)) = (cluster(test), realdata(test)) else {
        return;
    };
    let database = cluster.release(&sql, "5.31.2");
    cluster.psql(
        &database,
        "create table big as select generate_series(1, 5000); analyze big",
    );
    let _client = cluster.client(&database).await;
    let args = serde_json::from_value(json!({
        "server": format!("127.0.0.1:{}", cluster.port), "database": database, "user": USER, "password": PASSWORD,
        "files": {"path": "sql"}, "tables": ["big", "none"],
    }))
    .unwrap();
    let local = LocalFiles::from([("sql".to_owned(), super::host::local(&sql.join("update")))]);
    let (wanted, _) = Host::new().check::<PgInfo>(&args, &local).await.unwrap();
    let major: i64 = cluster
        .psql("postgres", "show server_version_num")
        .parse::<i64>()
        .unwrap()
        / 10_000;
    assert_eq!(wanted.facts["major"], Value::Int(major));
    assert_eq!(wanted.facts["version_found"].as_str(), Some("5.31.1"));
    assert_eq!(wanted.facts["ledger_version"], Value::Null);
    assert_eq!(wanted.facts["rows"].get("big"), Some(&Value::Int(5000)));
    assert_eq!(wanted.facts["rows"].get("none"), None);
    assert_eq!(
        wanted.facts["clients"],
        Value::List(vec![Value::from("pacs the archive 127.0.0.1")])
    );
    assert!(wanted.resources.is_empty() && wanted.action.is_none());
}
