//! What the vendor's guide gets wrong, carried over literally: told before any host is touched, with the right form. What of it
//! is harmless is not here: the network of another name is refused where it is looked at (`runbook-modules::docker`), the
//! output that does not come is waited for by nobody, and `export-realm-managment` reads.

use anyhow::{Result, ensure};
use runbook_e2e::Scene;

/// The number of the defect, the task, and what is said of it.
const LITERAL: &[(u8, &str, &[&str])] = &[
    (
        1,
        "command: docker exec db update-schema 5-32-1",
        &[
            "the script takes `5.32-1`",
            "pg_schema: {to: \"5.32\", parts: [1]}",
        ],
    ),
    (
        1,
        "pg_schema: {container: db, database: pacsdb, user: pacs, files: {dir: sql}, to: 5-32-1}",
        &["5-32-1"],
    ),
    (
        2,
        "command: docker exec ldap unassign-role-to-user user root",
        &["it is called `unassign-role-from-user`", "`ldap_attrs`"],
    ),
    (
        3,
        "command: docker exec ldap unassign-role-to-user auth root",
        &["the role `user` that is meant, not `auth`"],
    ),
    (
        3,
        "shell: docker exec ldap unassign-role-from-user auth admin",
        &["admin, who could not log in any more"],
    ),
    (
        4,
        "command: docker exec -e ARCHIVE_AET=SECOND ldap update-comp DCM4CHEE 5.32.0",
        &["the variable is AE_TITLE", "names: {aet: SECOND}"],
    ),
    (
        5,
        "shell: |\n        docker run --rm -d \\\n          -v /var/local/dcm4chee-arc/ldap:/var/lib/openldap/openldap-data \\ # Note 1\n          dcm4che/slapd-dcm4chee:2.6.5-31.2",
        &["behind `\\` comes a comment", "Note 1"],
    ),
    (
        8,
        "command: docker exec ldap init-account admin user",
        &["takes one user", "it adds nothing"],
    ),
];

#[test]
fn each_is_told_before_anything_is_touched() -> Result<()> {
    for (number, task, words) in LITERAL {
        let scene = Scene::new()?;
        scene.write("sql/update-5.32-1-psql.sql", "select 1;\n")?;
        scene.write(
            "site.yaml",
            &format!("- hosts: all\n  tasks:\n    - {task}\n"),
        )?;
        let run = scene.runbook(&["play", "site.yaml", "-i", "localhost,", "-y"])?;
        ensure!(
            run.code == 1,
            "defect {number}: it ends with {}\n{}",
            run.code,
            run.text()
        );
        ensure!(
            run.err.contains("Nothing was touched"),
            "defect {number}: {}",
            run.err
        );
        for word in *words {
            ensure!(
                run.err.contains(word),
                "defect {number}: nothing of `{word}` in {}",
                run.err
            );
        }
    }
    Ok(())
}
