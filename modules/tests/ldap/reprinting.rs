//! What the parser has read, printed again, does the same: every real file is given to one server as it is and to another as it
//! was understood, by `ldapmodify`, one after the other.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runbook_modules::ldap::ldif::{Record, RecordChange, Value, Verb, parse};

use crate::realdata;
use crate::slapd::{self, ADMIN, BASE, PASSWORD, Slapd};

/// What a value that is read from a file is in these tests.
const OF_A_FILE: &[u8] = b"PK of the vendor";

/// Records as LDIF, all values in base64 (RFC 2849).
fn printed(records: &[Record]) -> String {
    let mut text = String::new();
    let values = |text: &mut String, name: &str, values: &[Value]| {
        for value in values {
            let octets = value.octets().unwrap().bytes();
            text.push_str(&format!("{name}:: {}\n", STANDARD.encode(octets)));
        }
    };
    for record in records {
        text.push_str(&format!("dn:: {}\n", STANDARD.encode(&record.dn)));
        match &record.change {
            RecordChange::Add(attributes) => {
                text.push_str("changetype: add\n");
                for (name, list) in attributes {
                    values(&mut text, name, list);
                }
            }
            RecordChange::Delete => text.push_str("changetype: delete\n"),
            RecordChange::Modify(operations) => {
                text.push_str("changetype: modify\n");
                for operation in operations {
                    let verb = match operation.verb {
                        Verb::Add => "add",
                        Verb::Delete => "delete",
                        Verb::Replace => "replace",
                    };
                    text.push_str(&format!("{verb}: {}\n", operation.attribute));
                    values(&mut text, &operation.attribute, &operation.values);
                    text.push_str("-\n");
                }
            }
            RecordChange::Rename {
                new_rdn,
                delete_old,
                new_superior,
            } => {
                let delete_old = u8::from(*delete_old);
                text.push_str(&format!(
                    "changetype: modrdn\nnewrdn: {new_rdn}\ndeleteoldrdn: {delete_old}\n"
                ));
                text.extend(new_superior.iter().map(|s| format!("newsuperior: {s}\n")));
            }
        }
        text.push('\n');
    }
    text
}

/// Gives it to `ldapmodify`, or to `ldapadd` where it has entries of which it does not say that they are to be added, as the vendor does; it
/// goes on after what the server refuses. What it says of each refusal.
fn put(slapd: &Slapd, ldif: &[u8], folder: &Path, adds: bool) -> Vec<String> {
    let mut child = Command::new(if adds { "ldapadd" } else { "ldapmodify" })
        .current_dir(folder)
        .args(["-c", "-x", "-D", ADMIN, "-w", PASSWORD, "-H"])
        .arg(format!("ldap://127.0.0.1:{}", slapd.port))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = ldif.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&text)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let refusals = said
        .lines()
        .filter(|l| l.starts_with("ldap_") || l.starts_with("ldapmodify:"));
    refusals.map(str::to_owned).collect()
}

/// A server with the newest schema and the data of 5.29.0.
fn server(data: &Path) -> Slapd {
    let names = [
        "dicom",
        "dcm4che",
        "dcm4chee-archive",
        "dcm4chee-archive-ui",
    ];
    let schema: Vec<PathBuf> = names
        .iter()
        .map(|n| data.join(format!("schema/5.32.0/{n}.ldif")))
        .collect();
    let slapd = Slapd::start(&schema);
    for name in slapd::INIT {
        slapd.add(&std::fs::read(data.join(format!("init/5.29.0/{name}.ldif"))).unwrap());
    }
    slapd
}

#[test]
fn every_real_file_does_the_same_as_it_was_understood() {
    let test = "every_real_file_does_the_same_as_it_was_understood";
    let Some(data) = realdata::folder(test) else {
        return;
    };
    if !slapd::available(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vendor-data.zip"), OF_A_FILE).unwrap();
    let (one, other) = (server(&data), server(&data));
    let (mut refused, mut files, mut taken) = (Vec::new(), 0, 0);
    let all = [data.join("update"), data.join("init")]
        .map(|f| realdata::files(&f))
        .concat();
    for file in all
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "ldif"))
    {
        let text = std::fs::read(file).unwrap();
        let Ok(mut records) = parse(&text) else {
            refused.push(file.file_name().unwrap().to_string_lossy().into_owned());
            continue;
        };
        for record in &mut records {
            let problems = record.load(&|_| Some(OF_A_FILE.to_vec()));
            assert_eq!(problems, []);
        }
        // With a `changetype` a record says what it is; else the program decides.
        let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        let bare = |record: &&Record| {
            let next = lines.get(record.line).copied().unwrap_or_default();
            !next.to_ascii_lowercase().starts_with(b"changetype:")
        };
        let adds = records
            .iter()
            .filter(bare)
            .any(|record| matches!(record.change, RecordChange::Add(_)));
        let as_it_is = put(&one, &text, folder.path(), adds);
        let as_understood = put(&other, printed(&records).as_bytes(), folder.path(), adds);
        assert_eq!(as_it_is, as_understood, "{}", file.display());
        files += 1;
        taken += records.len() - as_it_is.len().min(records.len());
        // Files of one version at a time; all of them at the end.
        if files % 20 == 0 {
            assert_eq!(
                one.export(BASE),
                other.export(BASE),
                "after {}",
                file.display()
            );
        }
    }
    assert_eq!(one.export(BASE), other.export(BASE));
    assert_eq!(refused, ["update-IOCM_REGULAR_USE-5.26.0.ldif"]);
    eprintln!("{files} files, {taken} records that the server took");
    assert!(
        files > 100 && taken > 500,
        "{files} files, {taken} records that the server took"
    );
}
