use super::{Journal, JournalError, Record, Sealer};

fn journal(dir: &tempfile::TempDir) -> Journal {
    Journal::open(&dir.path().join("state/journal.db"), Sealer::new(&[7; 32])).unwrap()
}

fn handler(name: &str) -> Record {
    Record::HandlerStarted {
        handler: name.to_owned(),
    }
}

#[test]
fn records_come_back_in_order_and_the_chain_holds() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(&dir);
    for n in 0..20 {
        assert_eq!(
            journal
                .append("r1", "h", &format!("n{n}"), &handler(&format!("x{n}")))
                .unwrap(),
            n + 1
        );
    }
    journal.append("r2", "", "", &handler("other")).unwrap();
    let read = journal.read("r1").unwrap();
    assert_eq!(read.len(), 20);
    assert_eq!(read[3].record, handler("x3"));
    assert_eq!(journal.verify().unwrap(), 21);
    assert_eq!(journal.runs().unwrap().len(), 2);
}

#[test]
fn an_altered_or_removed_record_is_found() {
    for damage in [
        "update records set host = 'other' where seq = 2",
        "update records set body = x'00' where seq = 2",
        "delete from records where seq = 2",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(&dir);
        for n in 0..4 {
            journal
                .append("r", "h", "n", &handler(&n.to_string()))
                .unwrap();
        }
        journal.with(|s| s.execute(damage, [])).unwrap();
        assert!(
            matches!(journal.verify(), Err(JournalError::Altered { .. })),
            "{damage}"
        );
    }
}

#[test]
fn what_rests_on_disk_is_sealed_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/journal.db");
    {
        let journal = journal(&dir);
        journal
            .append("r", "h", "n", &handler("a-very-secret-word"))
            .unwrap();
    }
    for file in std::fs::read_dir(dir.path().join("state")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(18).any(|w| w == b"a-very-secret-word"));
    }
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let other = Journal::open(&path, Sealer::new(&[8; 32])).unwrap();
    assert!(matches!(
        other.read("r"),
        Err(JournalError::Sealed { seq: 1, .. })
    ));
}

#[test]
fn a_key_file_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config/runbook/journal.key");
    let sealed = Sealer::from_key_file(&path).unwrap().seal(b"text");
    assert_eq!(
        Sealer::from_key_file(&path).unwrap().open(&sealed).unwrap(),
        b"text"
    );
    std::fs::write(&path, "not hex").unwrap();
    assert!(Sealer::from_key_file(&path).is_err());
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    journal(&dir)
        .with(|s| s.execute("update meta set format = 99", []))
        .unwrap();
    let again = Journal::open(&dir.path().join("state/journal.db"), Sealer::new(&[7; 32]));
    assert!(matches!(again, Err(JournalError::Newer { found: 99, .. })));
}
