//! A database that its ledger calls upgraded, and that somebody has changed by hand since.

use super::cluster::{cluster, realdata};
use super::host::{Args, Host};
use super::upgrading::rows;

/// What the module says of each way to ask for the parts that are applied.
async fn said(host: &Host, args: &dyn Fn(&[u8]) -> Args) -> Vec<String> {
    let mut said = Vec::new();
    for parts in [&[1][..], &[2], &[3], &[1, 2], &[]] {
        said.push(match host.run(&args(parts)).await {
            Ok(wanted) => format!("{} wanted", wanted.resources.len()),
            Err(why) => why,
        });
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_took_away_is_not_called_applied() {
    let test = "what_somebody_took_away_is_not_called_applied";
    let (Some(cluster), Some(sql)) = (cluster(test), realdata(test)) else {
        return;
    };
    for (damage, named) in [
        (
            "alter table study drop column study_deleting cascade",
            "study.study_deleting",
        ),
        (
            "alter table series alter column ext_retrieve_aet drop not null",
            "series.ext_retrieve_aet",
        ),
    ] {
        let database = cluster.release(&sql, "5.31.2");
        rows(cluster, &database, 100);
        let host = Host::new();
        let args = |parts: &[u8]| Args::new(cluster, &database, &sql.join("update"), "5.32", parts);
        for part in [1, 2, 3] {
            host.run(&args(&[part])).await.unwrap();
        }
        cluster.psql(&database, damage);
        let dump = cluster.dump(&database);
        for said in said(&host, &args).await {
            assert!(
                said.contains("the ledger says") && said.contains(named),
                "{said}"
            );
        }
        assert_eq!(cluster.dump(&database), dump, "something was written");
    }
}
