//! What the vendor's guide gets wrong, carried over literally: told before any host is touched, with the right form. The network of
//! another name (defect 6) is refused where it is looked at, before anything is made (`runbook-modules`, `docker/keeping.rs`).

use anyhow::{Result, ensure};
use runbook_e2e::{Scene, realdata};

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
    (
        9,
        "shell: docker exec prev-ldap export-realm-managment > /tmp/backup/realm-management.ldif",
        &["only the images 2.4.44", "`ldap_export`"],
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

/// Defect 7: the guide shows `adding new entry "cn=dicom-tls,…"` among what an update to 5.32.0 says. No update of that version
/// has such an entry, and nobody waits for it: the check lists what there is.
#[test]
fn the_entry_that_the_guide_shows_is_in_no_update() -> Result<()> {
    let Some(folder) = realdata("the_entry_that_the_guide_shows", "ldap/update") else {
        return Ok(());
    };
    let mut of_others = 0;
    for version in std::fs::read_dir(folder)? {
        let version = version?.path();
        for file in std::fs::read_dir(&version)? {
            let text = std::fs::read(file?.path())?;
            let adds = String::from_utf8_lossy(&text).contains("dn: cn=dicom-tls");
            ensure!(
                !(adds && version.ends_with("5.32.0")),
                "it is in {}",
                version.display()
            );
            of_others += usize::from(adds);
        }
    }
    ensure!(
        of_others > 0,
        "it is in no update at all: it may be written otherwise"
    );
    Ok(())
}
