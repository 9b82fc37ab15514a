//! `ldap_restore` against a real slapd with real data.

use runbook_engine::module::LocalFiles;
use runbook_modules::ldap::restore::{LdapRestore, LdapRestoreArgs};
use runbook_modules::ldap::update::LdapUpdate;

use crate::exporting::{call, export};
use crate::host::Host;
use crate::model::Model;
use crate::realdata;
use crate::slapd::{ADMIN, BASE, PASSWORD, Slapd, available};
use crate::updating::{args, files};

fn restore(slapd: &Slapd, src: &std::path::Path) -> LdapRestoreArgs {
    serde_json::from_value(serde_json::json!({
        "server": format!("127.0.0.1:{}", slapd.port), "bind_dn": ADMIN, "password": PASSWORD,
        "src": src.to_string_lossy(),
    }))
    .unwrap()
}

/// An update with all that it does is taken back by the export from before it, together with what people have done since.
#[tokio::test]
async fn an_export_from_before_an_update_comes_back() {
    let name = "an_export_from_before_an_update_comes_back";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.31.2");
    let host = Host::new();
    let before = Model::read(&slapd.export(BASE));
    let dest = slapd.folder.path().join("all.ldif");
    export(&host, &call(&slapd, BASE, &dest, true))
        .await
        .unwrap();
    let text = std::fs::read_to_string(&dest).unwrap();
    assert!(
        text.starts_with(&format!("# entries: {}\n", before.0.len())),
        "{}",
        &text[..40]
    );

    let local = files(&data);
    for json in [
        serde_json::json!({"schema": "5.32.0"}),
        serde_json::json!({"to": "5.32.0"}),
    ] {
        let run = host
            .run::<LdapUpdate>(&args(&slapd, json), &local)
            .await
            .unwrap();
        assert!(run.written > 0);
    }
    slapd.modify(
        "dn: uid=admin,ou=users,dc=dcm4che,dc=org\nchangetype: modify\nreplace: userPassword\nuserPassword: mine\n\n\
         dn: cn=new,ou=users,dc=dcm4che,dc=org\nchangetype: add\nobjectClass: groupOfNames\ncn: new\nmember: uid=admin,ou=users,dc=dcm4che,dc=org\n\n\
         dn: cn=auditlog,ou=users,dc=dcm4che,dc=org\nchangetype: delete\n",
    );
    assert!(
        Model::read(&slapd.export(BASE))
            .difference(&before)
            .is_some()
    );

    let args = restore(&slapd, &dest);
    let run = host
        .run::<LdapRestore>(&args, &LocalFiles::new())
        .await
        .unwrap();
    assert!(run.written > 3, "{}", run.written);
    let notes = run.wanted.notes.join("\n");
    assert!(
        notes.contains("cn=new,ou=users") && notes.contains("cn=runbook,"),
        "{notes}"
    );
    assert_eq!(Model::read(&slapd.export(BASE)).difference(&before), None);
    let again = host
        .run::<LdapRestore>(&args, &LocalFiles::new())
        .await
        .unwrap();
    assert_eq!(again.written, 0, "{:?}", again.wanted.summary);
}

/// Another program's export, with what the server sets itself.
#[tokio::test]
async fn what_slapcat_has_written_comes_back() {
    let name = "what_slapcat_has_written_comes_back";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.31.2");
    let host = Host::new();
    let before = Model::read(&slapd.export(BASE));
    let users = format!("ou=users,{BASE}");
    let mut text = String::new();
    for line in slapd.export(&users).lines() {
        text.push_str(&format!("{line}\n"));
        if line.starts_with("dn:") {
            text.push_str("entryUUID: 6f8d5d9a-0000-1041-9000-000000000000\nstructuralobjectclass: top\nentryCSN: 20240101000000.000000Z#000000#000#000000\n");
        }
    }
    let dest = slapd.folder.path().join("users.ldif");
    std::fs::write(&dest, text).unwrap();
    slapd.modify(&format!(
        "dn: cn=auditlog,{users}\nchangetype: delete\n\ndn: {users}\nchangetype: modify\nadd: description\ndescription: x\n"
    ));
    let args = restore(&slapd, &dest);
    let run = host
        .run::<LdapRestore>(&args, &LocalFiles::new())
        .await
        .unwrap();
    assert_eq!(run.written, 2, "{:?}", run.wanted.summary);
    assert_eq!(Model::read(&slapd.export(BASE)).difference(&before), None);
}

#[tokio::test]
async fn what_is_not_whole_is_refused() {
    let name = "what_is_not_whole_is_refused";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.31.2");
    let host = Host::new();
    let users = format!("ou=users,{BASE}");
    let dest = slapd.folder.path().join("users.ldif");
    export(&host, &call(&slapd, &users, &dest, false))
        .await
        .unwrap();
    let whole = std::fs::read_to_string(&dest).unwrap();
    let args = restore(&slapd, &dest);
    let refused = |text: String| {
        std::fs::write(&dest, text).unwrap();
        let (host, args) = (&host, &args);
        async move {
            let checked = host.check::<LdapRestore>(args, &LocalFiles::new()).await;
            checked.err().expect("it is taken")
        }
    };
    // Cut off between two entries, so that each one is whole.
    let cut = whole.trim_end().rfind("\n\n").unwrap() + 1;
    let why = refused(whole[..cut].to_owned()).await;
    assert!(why.contains("is not whole"), "{why}");
    let change = format!("dn: {users}\nchangetype: modify\nadd: description\ndescription: x\n");
    let why = refused(change).await;
    assert!(why.contains("line 1: this changes an entry"), "{why}");
    let why = refused(String::new()).await;
    assert!(why.contains("it has no entry"), "{why}");
    let unknown =
        format!("dn: {users}\nobjectClass: organizationalUnit\nou: users\nunheardOf: x\n");
    let why = refused(unknown).await;
    assert!(why.contains("unheardOf"), "{why}");
    std::fs::remove_file(&dest).unwrap();
    let gone = host.check::<LdapRestore>(&args, &LocalFiles::new()).await;
    assert!(gone.err().is_some_and(|why| why.contains("no such file")));
}
