//! `ldap_export` against a real slapd.

use std::os::unix::fs::PermissionsExt as _;

use runbook_engine::action::{ActionError, ActionKind, ActionRun, Outcome};
use runbook_engine::host::FileType;
use runbook_engine::module::{Module, Stop, Wanted};
use runbook_engine::value::Value;
use runbook_engine::world::Fixture;
use runbook_modules::file::{FileKey, FileKind, FileState};
use runbook_modules::ldap::dn::Dn;
use runbook_modules::ldap::export::{Export, ExportCall, LdapExport, LdapExportArgs};
use runbook_modules::ldap::listing::{LdapListing, Listing, ListingKey};
use runbook_modules::ldap::server::Server;
use runbook_modules::ldap::session::Depth;

use crate::host::Host;
use crate::model::Model;
use crate::realdata;
use crate::slapd::{self, ADMIN, BASE, PASSWORD, Slapd};

pub fn call(slapd: &Slapd, base: &str, dest: &std::path::Path, wrap: bool) -> ExportCall {
    let server = format!("127.0.0.1:{}", slapd.port);
    let password = runbook_engine::value::Secret::new(PASSWORD);
    ExportCall {
        server: Server::from_args(None, Some(&server), Some(ADMIN), Some(&password)).unwrap(),
        base: base.to_owned(),
        dest: dest.to_string_lossy().into_owned(),
        wrap,
    }
}

pub async fn export(host: &Host, call: &ExportCall) -> Result<Outcome, ActionError> {
    let run = ActionRun {
        run: "test".to_owned(),
        node: "export".to_owned(),
        private: false,
    };
    Export.run(&host.target, call, &run).await
}

#[tokio::test]
async fn an_export_can_be_loaded_again() {
    let name = "an_export_can_be_loaded_again";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.32.0");
    let before = Model::read(&slapd.export(BASE));
    slapd.modify(
        "dn: cn=runbook,dc=dcm4che,dc=org\nchangetype: add\nobjectClass: applicationProcess\ncn: runbook\n\
         description: runbook 1 baseline=5.32.0 device=dcm4chee-arc\n",
    );
    let host = Host::new();
    let dest = slapd.folder.path().join("all.ldif");
    for wrap in [false, true] {
        let outcome = export(&host, &call(&slapd, BASE, &dest, wrap))
            .await
            .unwrap();
        assert_eq!(
            outcome.output["entries"],
            Value::Int(i64::try_from(before.0.len()).unwrap())
        );
        assert_eq!(
            std::fs::metadata(&dest).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = std::fs::read_to_string(&dest).unwrap();
        assert!(text.contains("userPassword:"), "passwords are part of it");
        assert_eq!(Model::read(&text).difference(&before), None);

        // The same export again finds its own file; another one is not written over it.
        export(&host, &call(&slapd, BASE, &dest, wrap))
            .await
            .unwrap();
        let other = format!("ou=users,{BASE}");
        assert!(
            export(&host, &call(&slapd, &other, &dest, wrap))
                .await
                .is_err()
        );
        assert_eq!(std::fs::read_to_string(&dest).unwrap(), text);

        // By the client tools, into an empty directory.
        let names = [
            "dicom",
            "dcm4che",
            "dcm4chee-archive",
            "dcm4chee-archive-ui",
        ];
        let schema: Vec<_> = names
            .iter()
            .map(|n| data.join(format!("schema/5.32.0/{n}.ldif")))
            .collect();
        let empty = Slapd::start(&schema);
        empty.add(text.as_bytes());
        assert_eq!(Model::read(&empty.export(BASE)).difference(&before), None);
        std::fs::remove_file(&dest).unwrap();
    }
}

fn args(text: serde_json::Value) -> LdapExportArgs {
    serde_json::from_value(text).unwrap()
}

/// What the module wants where there are these names and this file.
fn want(listing: &Listing, file: FileType, more: &[(&str, &str)]) -> Result<Wanted, Stop> {
    let mut text =
        serde_json::json!({"server": "h", "base": "ou=users,dc=a", "dest": "/b/users.ldif"});
    for (name, value) in more {
        text[*name] = (*value).into();
    }
    let args = args(text);
    let server = Server::from_args(None, Some("h"), None, None).unwrap();
    let base = Dn::parse("ou=users,dc=a").unwrap();
    let state = FileState {
        is: file,
        ..FileState::absent("/b/users.ldif")
    };
    let world = Fixture::default()
        .with::<LdapListing>(
            &ListingKey::new(&server, &base, Depth::Subtree, None),
            listing,
        )
        .with::<FileKind>(&FileKey::new("/b/users.ldif"), &state);
    LdapExport::validate(&args).unwrap();
    LdapExport::want(&args, &world.view())
}

#[test]
fn what_it_wants() {
    let there = Listing {
        exists: true,
        names: [
            "ou=users,dc=a",
            "cn=x,ou=users,dc=a",
            "cn=runbook,ou=users,dc=a",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    let wanted = want(&there, FileType::Absent, &[]).unwrap();
    assert_eq!(
        wanted.action.unwrap().summary,
        "2 entries of ou=users,dc=a → /b/users.ldif"
    );
    let Err(Stop::Refuse(why)) = want(&there, FileType::File, &[]) else {
        panic!()
    };
    assert!(why.contains("exists already"), "{why}");
    let Err(Stop::Refuse(why)) = want(&Listing::default(), FileType::Absent, &[]) else {
        panic!()
    };
    assert!(why.contains("has no entry ou=users,dc=a"), "{why}");
    let skipped = want(&Listing::default(), FileType::Absent, &[("absent", "skip")]).unwrap();
    assert!(skipped.skipped.is_some() && skipped.action.is_none());
    assert!(
        LdapExport::validate(&args(
            serde_json::json!({"server": "h", "base": "x", "dest": "/b"})
        ))
        .is_err()
    );
    assert!(
        LdapExport::validate(&args(
            serde_json::json!({"server": "h", "base": "o=x", "dest": "b"})
        ))
        .is_err()
    );
}
