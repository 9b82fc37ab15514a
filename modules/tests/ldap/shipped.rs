//! `ldap_update` with files that come with the archive, against a real slapd with real data.

use std::path::Path;

use runbook_engine::module::LocalFiles;
use runbook_modules::ldap::update::{LdapUpdate, LdapUpdateArgs};

use crate::host::Host;
use crate::model::Model;
use crate::realdata;
use crate::slapd::{BASE, Slapd, available};
use crate::updating::{args, files};

const UI: &str = "dcmuiConfigName=default,dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,dc=dcm4che,dc=org";

/// A directory of 5.31.2, and the files of it.
fn begin(test: &str) -> Option<(Slapd, Host, LocalFiles)> {
    let data = realdata::folder(test)?;
    if !available(test) {
        return None;
    }
    let slapd = Slapd::release(&data, "5.31.2");
    Some((slapd, Host::new(), with_initial(&data)))
}

fn with_initial(data: &Path) -> LocalFiles {
    let mut files = files(data);
    let folder = files.get_mut("ldap").unwrap().entries.as_mut().unwrap();
    let initial = crate::host::local(&data.join("init/5.31.2"));
    folder.insert("init".to_owned(), initial);
    files
}

fn remove_branch(slapd: &Slapd, base: &str) {
    let export = slapd.export(base);
    let mut names: Vec<&str> = export
        .lines()
        .filter_map(|l| l.strip_prefix("dn: "))
        .collect();
    names.reverse();
    for dn in names {
        slapd.modify(&format!("dn: {dn}\nchangetype: delete\n"));
    }
}

#[tokio::test]
async fn entries_are_added_where_they_are_absent_and_left_as_they_are_elsewhere() {
    let name = "entries_are_added_where_they_are_absent";
    let Some((slapd, host, files)) = begin(name) else {
        return;
    };
    let fresh = slapd.export(BASE);
    let users = args(
        &slapd,
        serde_json::json!({"shipped": ["default-users.ldif"], "existing": "keep"}),
    );
    let run = host.run::<LdapUpdate>(&users, &files).await.unwrap();
    assert_eq!(run.written, 0, "{:?}", run.wanted.summary);

    // A user with another password and a role less, a group that is absent.
    slapd.modify(
        "dn: uid=admin,ou=users,dc=dcm4che,dc=org\nchangetype: modify\nreplace: userPassword\nuserPassword: mine\n\n\
         dn: cn=auth,ou=users,dc=dcm4che,dc=org\nchangetype: modify\ndelete: member\nmember: uid=admin,ou=users,dc=dcm4che,dc=org\n\n\
         dn: cn=auditlog,ou=users,dc=dcm4che,dc=org\nchangetype: delete\n",
    );
    let before = slapd.export("uid=admin,ou=users,dc=dcm4che,dc=org")
        + &slapd.export("cn=auth,ou=users,dc=dcm4che,dc=org");
    let run = host.run::<LdapUpdate>(&users, &files).await.unwrap();
    assert_eq!(run.written, 1, "{:?}", run.wanted.summary);
    let after = slapd.export("uid=admin,ou=users,dc=dcm4che,dc=org")
        + &slapd.export("cn=auth,ou=users,dc=dcm4che,dc=org");
    assert_eq!(before, after);
    assert!(
        slapd
            .export("cn=auditlog,ou=users,dc=dcm4che,dc=org")
            .contains("uid=root")
    );

    remove_branch(&slapd, UI);
    let ui = args(
        &slapd,
        serde_json::json!({"shipped": ["init/default-ui-config.ldif"], "existing": "keep"}),
    );
    let run = host.run::<LdapUpdate>(&ui, &files).await.unwrap();
    assert!(run.written > 40, "{}", run.written);
    let (old, new) = (Model::read(&fresh), Model::read(&slapd.export(BASE)));
    // Only what the test itself has changed.
    let drop = |model: Model| {
        model
            .without("uid=admin,ou=users,dc=dcm4che,dc=org")
            .without("cn=auth,ou=users,dc=dcm4che,dc=org")
    };
    assert_eq!(drop(new).difference(&drop(old)), None);
}

#[tokio::test]
async fn a_branch_becomes_what_the_files_say_and_nothing_else() {
    let name = "a_branch_becomes_what_the_files_say";
    let Some((slapd, host, files)) = begin(name) else {
        return;
    };
    let given = |more: serde_json::Value| -> LdapUpdateArgs {
        let mut all =
            serde_json::json!({"shipped": ["default-ui-config.ldif"], "replace_below": UI});
        for (key, value) in more.as_object().unwrap() {
            all[key] = value.clone();
        }
        args(&slapd, all)
    };
    let replace = given(serde_json::json!({}));
    let run = host.run::<LdapUpdate>(&replace, &files).await.unwrap();
    let first = run.written;
    let wanted = slapd.export(UI);
    let again = host.run::<LdapUpdate>(&replace, &files).await.unwrap();
    assert_eq!(again.written, 0, "{:?} after {first}", again.wanted.summary);

    // Permissions of the site: one with other roles, one of its own with another below it, one that is gone.
    let own = format!("dcmuiPermissionName=Own,{UI}");
    slapd.modify(&format!(
        "dn: {own}\nchangetype: add\nobjectClass: dcmuiPermission\ndcmuiPermissionName: Own\ndcmuiAction: own\n\n\
         dn: dcmuiPermissionName=Below,{own}\nchangetype: add\nobjectClass: dcmuiPermission\ndcmuiPermissionName: Below\ndcmuiAction: below\n\n\
         dn: dcmuiPermissionName=Menu - Navigation,{UI}\nchangetype: modify\nreplace: dcmAcceptedUserRole\ndcmAcceptedUserRole: mine\n\n\
         dn: dcmuiPermissionName=Tab - Study - Study,{UI}\nchangetype: delete\n"
    ));
    let others = Model::read(&slapd.export(BASE));
    let run = host.run::<LdapUpdate>(&replace, &files).await.unwrap();
    assert_eq!(run.written, 4, "{:?}", run.wanted.summary);
    assert_eq!(
        Model::read(&slapd.export(UI)).difference(&Model::read(&wanted)),
        None
    );
    let elsewhere = |model: Model| model.without(UI);
    assert_eq!(
        elsewhere(Model::read(&slapd.export(BASE))).difference(&elsewhere(others)),
        None
    );

    // Nothing of what is refused is sent.
    let writes = slapd.writes();
    for (more, words) in [
        (
            serde_json::json!({"replace_below": "dcmuiConfigName=other,dc=dcm4che,dc=org"}),
            "none of the files has the entry",
        ),
        (
            serde_json::json!({"existing": "keep"}),
            "contradicts `replace_below`",
        ),
        (
            serde_json::json!({"shipped": ["default-ui.ldif"]}),
            "there is no file `default-ui.ldif`",
        ),
        (
            serde_json::json!({"shipped": ["dicom-modify.ldif"]}),
            "give more of the path",
        ),
    ] {
        let why = host
            .run::<LdapUpdate>(&given(more), &files)
            .await
            .err()
            .unwrap();
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(slapd.writes(), writes);
}

/// Passwords stay also where all else is replaced.
#[tokio::test]
async fn passwords_are_not_replaced() {
    let Some((slapd, host, files)) = begin("passwords_are_not_replaced") else {
        return;
    };
    let replace = args(
        &slapd,
        serde_json::json!({"shipped": ["default-users.ldif"], "replace_below": "ou=users,dc=dcm4che,dc=org"}),
    );
    host.run::<LdapUpdate>(&replace, &files).await.unwrap();
    slapd.modify(
        "dn: uid=admin,ou=users,dc=dcm4che,dc=org\nchangetype: modify\nreplace: userPassword\nuserPassword: mine\n-\n\
         replace: sn\nsn: Mine\n\n\
         dn: uid=guest,ou=users,dc=dcm4che,dc=org\nchangetype: add\nobjectClass: inetOrgPerson\nuid: guest\ncn: g\nsn: g\nuserPassword: g\n",
    );
    let run = host.run::<LdapUpdate>(&replace, &files).await.unwrap();
    assert_eq!(run.written, 2, "{:?}", run.wanted.summary);
    let users = slapd.export("ou=users,dc=dcm4che,dc=org");
    assert!(
        !users.contains("uid=guest") && !users.contains("sn: Mine"),
        "{users}"
    );
    let admin = slapd.export("uid=admin,ou=users,dc=dcm4che,dc=org");
    use base64::Engine as _;
    let mine = base64::engine::general_purpose::STANDARD.encode("mine");
    assert!(admin.contains(&format!("userPassword:: {mine}")), "{admin}");
}
