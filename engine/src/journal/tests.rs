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
        Err(JournalError::OtherKey { .. })
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

#[test]
fn a_record_of_another_key_does_not_come_into_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("runs.db"), dir.path().join("a/journal.key"));
    let own = || Journal::open(&path, Journal::key(&path, &key).unwrap()).unwrap();
    own().append("r1", "h", "n", &handler("x")).unwrap();
    let raw = own().raw("r1", 0).unwrap();
    let other = Journal::open(&path, Sealer::new(&[8; 32])).unwrap();
    let place = key.display().to_string();
    for refused in [
        other.append("r2", "h", "n", &handler("y")).unwrap_err(),
        other.check_key().unwrap_err(),
        other.read("r1").unwrap_err(),
    ] {
        let said = refused.to_string();
        let mark = Sealer::from_key_file(&key).unwrap().mark().to_owned();
        assert!(said.contains(&place) && said.contains(&mark), "{said}");
        assert!(said.contains("RUNBOOK_KEY_FILE"), "{said}");
    }
    assert!(other.take_over("r3", &raw).is_err());
    // Where the key is missing none is made in its place.
    let missing = dir.path().join("b/journal.key");
    assert!(matches!(
        Journal::key(&path, &missing),
        Err(JournalError::OtherKey { .. })
    ));
    assert!(!missing.exists());
    own().append("r1", "h", "n", &handler("z")).unwrap();
    assert_eq!(own().read("r1").unwrap().len(), 2);
    assert_eq!(own().runs().unwrap().len(), 1);
}

/// Before the key was noted, runs of two keys could come into one journal.
#[test]
fn of_a_journal_that_does_not_name_its_key_the_first_record_tells() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    let open = |key: u8| Journal::open(&path, Sealer::new(&[key; 32])).unwrap();
    let forget = || open(7).with(|s| s.execute("delete from key", [])).unwrap();
    open(7).append("r1", "h", "n", &handler("x")).unwrap();
    forget();
    assert!(open(8).append("r2", "h", "n", &handler("y")).is_err());
    // As an older runbook wrote it.
    let row = super::Raw {
        body: Sealer::new(&[8; 32]).seal(br#"{"record":"handler-started","handler":"y"}"#),
        ..open(7).raw("r1", 0).unwrap().remove(0)
    };
    open(7).as_owner(|tx| super::put(tx, "r2", &row)).unwrap();
    forget();
    let error = open(7).read("r2").unwrap_err();
    assert!(matches!(error, JournalError::Sealed { seq: 2, .. }));
    assert!(error.is_of_one_run());
    assert_eq!(open(7).read("r1").unwrap().len(), 1);
    open(7).append("r3", "h", "n", &handler("z")).unwrap();
    assert_eq!(open(7).verify().unwrap(), 3);
}

#[test]
fn a_journal_without_records_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    Journal::open(&path, Sealer::new(&[7; 32])).unwrap();
    let key = dir.path().join("journal.key");
    let journal = Journal::open(&path, Journal::key(&path, &key).unwrap()).unwrap();
    journal.append("r", "h", "n", &handler("x")).unwrap();
}
