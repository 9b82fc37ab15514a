//! How long other clients wait while part 1 runs beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, cluster};
use super::host::{Args, Host};

/// Studies in the usual run: so many that whoever writes or indexes all of them in one step keeps others waiting for
/// more than a second. With `RUNBOOK_LONG=1` three times as many.
fn studies() -> u32 {
    if std::env::var("RUNBOOK_LONG").is_ok_and(|v| v == "1") {
        3_000_000
    } else {
        1_000_000
    }
}

/// A client that does one thing again and again; its longest wait and how often it got its turn.
fn client(
    cluster: &'static Cluster,
    database: String,
    over: Arc<AtomicBool>,
    statement: impl Fn(u64) -> String + Send + 'static,
) -> tokio::task::JoinHandle<(Duration, u64)> {
    tokio::spawn(async move {
        let client = cluster.client(&database).await;
        let (mut longest, mut turns) = (Duration::ZERO, 0);
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            client.batch_execute(&statement(turns)).await.unwrap();
            longest = longest.max(begun.elapsed());
            turns += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (longest, turns)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_waits_for_a_second() {
    let Some(cluster) = cluster("no_client_waits_for_a_second") else {
        return;
    };
    let rows = studies();
    let database = cluster.database();
    cluster.psql(
        &database,
        &format!(
            "create table study (pk int8 primary key, patient_fk int8 not null, study_iuid text not null, \
               study_desc text, study_date text, accession_no text, updated_time timestamp not null); \
             create table series (pk int8 primary key, study_fk int8 not null, ext_retrieve_aet text); \
             insert into study select i, i / 3, '1.2.40.0.13.1.' || i, 'CT of something or other', '20240101', 'A' || i, now() \
               from generate_series(1, {rows}) i; \
             insert into series select i, i, case when i % 2 = 0 then 'AET' end from generate_series(1, {rows}) i; \
             alter table study add constraint uk_iuid unique (study_iuid); \
             create index a on study (patient_fk); create index b on study (study_date); create index c on study (accession_no)"
        ),
    );
    cluster.psql(&database, "vacuum analyze");
    let files = tempfile::tempdir().unwrap();
    std::fs::write(
        files.path().join("update-5.32-1-psql.sql"),
        "update series set ext_retrieve_aet = '*' where ext_retrieve_aet is null;\n\
         alter table study add study_deleting boolean;\n\
         update study set study_deleting = false;\n\
         create index d on study (study_deleting);\n",
    )
    .unwrap();
    std::fs::write(
        files.path().join("update-5.32-3-psql.sql"),
        "alter table study alter study_deleting set not null;",
    )
    .unwrap();

    let over = Arc::new(AtomicBool::new(false));
    let new = |of: u64, i: u64| 100_000_000 + of * 10_000_000 + i;
    let total = u64::from(rows);
    let clients = [
        (
            "reads",
            client(cluster, database.clone(), over.clone(), move |i| {
                format!(
                    "select * from study where pk = {}; select count(*) from study where patient_fk = {}",
                    i * 7919 % total,
                    i % 1000
                )
            }),
        ),
        (
            "inserts",
            client(cluster, database.clone(), over.clone(), move |i| {
                format!(
                    "insert into study values ({0}, 1, 'new.{0}', 'new', '20240102', 'N', now())",
                    new(1, i)
                )
            }),
        ),
        (
            "updates",
            client(cluster, database.clone(), over.clone(), move |i| {
                // Several rows out of order, as an archive does it; a deadlock must never be a client's loss.
                format!(
                    "update study set updated_time = now() where pk in ({}, {}, {})",
                    i * 104_729 % total + 1,
                    total - i * 31 % total,
                    i * 7 % total + 1
                )
            }),
        ),
    ];
    let begun = Instant::now();
    let run = |part: u8| {
        let args = Args::new(cluster, &database, files.path(), "5.32", &[part]);
        async move { Host::new().run(&args).await.unwrap() }
    };
    run(1).await;
    cluster.psql(
        &database,
        "update study set study_deleting = false where study_deleting is null",
    );
    cluster.psql(
        &database,
        "alter table study alter study_deleting set default false",
    );
    cluster.psql(
        &database,
        "update study set study_deleting = false where study_deleting is null",
    );
    run(3).await;
    let took = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    for (name, client) in clients {
        let (longest, turns) = client.await.unwrap();
        eprintln!(
            "{rows} studies, {took:.1?}: the client that {name} had {turns} turns, its longest wait {longest:.0?}"
        );
        assert!(turns > 20, "the client that {name} had only {turns} turns");
        assert!(
            longest < Duration::from_secs(1),
            "the client that {name} waited for {longest:?}"
        );
    }
    assert_eq!(
        cluster.psql(
            &database,
            "select count(*) from study where study_deleting is null"
        ),
        "0"
    );
    assert_eq!(
        cluster.psql(
            &database,
            "select count(*) from series where ext_retrieve_aet is null"
        ),
        "0"
    );
}
