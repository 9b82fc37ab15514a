//! Every real LDIF file is understood, except the one that is malformed as shipped.

use runbook_modules::ldap::ldif::{RecordChange, Verb, parse};

use crate::realdata;

#[test]
fn every_real_file_but_one() {
    let Some(folder) = realdata::folder("every_real_file_but_one") else {
        return;
    };
    let mut read = 0;
    let mut records = 0;
    let mut refused = Vec::new();
    for file in realdata::files(&folder)
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "ldif"))
    {
        let text = std::fs::read(file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        match parse(&text) {
            Ok(found) => {
                read += 1;
                records += found.len();
                // An independent count: names at the start of a line.
                let text = String::from_utf8_lossy(&text);
                let names = text.lines().filter(|l| l.starts_with("dn:")).count();
                assert_eq!(found.len(), names, "{}", file.display());
            }
            Err(problems) => {
                refused.push(name.clone());
                assert_eq!(name, "update-IOCM_REGULAR_USE-5.26.0.ldif", "{problems:#?}");
                assert_eq!(problems.len(), 1, "{problems:#?}");
                assert!(
                    problems[0].message.contains("here stands `cn:`"),
                    "{problems:#?}"
                );
                let line = text
                    .split(|b| *b == b'\n')
                    .nth(problems[0].line - 1)
                    .unwrap();
                assert!(line.starts_with(b"cn: cn="), "{problems:#?}");
            }
        }
    }
    eprintln!("{read} files, {records} records");
    assert_eq!(refused, ["update-IOCM_REGULAR_USE-5.26.0.ldif"]);
    assert!(
        read > 100 && records > 3000,
        "{read} files, {records} records"
    );
}

#[test]
fn the_counts_of_the_last_three_updates() {
    let Some(folder) = realdata::folder("the_counts_of_the_last_three_updates") else {
        return;
    };
    for (version, expected) in [
        ("5.31.1", (0, 3, 0)),
        ("5.31.2", (13, 309, 0)),
        ("5.32.0", (0, 12, 8)),
    ] {
        let (mut adds, mut modifies, mut deletes) = (0, 0, 0);
        for file in realdata::files(&folder.join("update").join(version)) {
            if file.to_string_lossy().contains("ui-config") {
                continue;
            }
            for record in parse(&std::fs::read(&file).unwrap()).unwrap() {
                match record.change {
                    RecordChange::Add(_) => adds += 1,
                    RecordChange::Modify(operations) => {
                        modifies += 1;
                        deletes += operations.iter().filter(|o| o.verb == Verb::Delete).count();
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((adds, modifies, deletes), expected, "{version}");
    }
}
