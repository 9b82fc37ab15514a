//! `ldap_update` against a real slapd with real data.

use std::collections::BTreeMap;
use std::path::Path;

use runbook_engine::module::{LocalFile, LocalFiles};
use runbook_engine::resource::WriteError;
use runbook_modules::ldap::update::{LdapUpdate, LdapUpdateArgs};

use crate::host::{Host, Run, local};
use crate::model::Model;
use crate::realdata;
use crate::slapd::{self, BASE, Slapd};

const VENDOR: &[u8] = &[b'P', b'K', 3, 4, 0, 255, 254, 10, 13, 0];
const CHAIN: [&str; 7] = [
    "5.29.1", "5.29.2", "5.30.0", "5.31.0", "5.31.1", "5.31.2", "5.32.0",
];

/// The components in the order of `update-data`.
const COMPONENTS: [&str; 11] = [
    "dev",
    "DCM4CHEE",
    "WORKLIST",
    "AS_RECEIVED",
    "IOCM_REGULAR_USE",
    "IOCM_QUALITY",
    "IOCM_PAT_SAFETY",
    "IOCM_WRONG_MWL",
    "IOCM_EXPIRED",
    "storescp",
    "stowrsd",
];

pub fn args(slapd: &Slapd, text: serde_json::Value) -> LdapUpdateArgs {
    let config = text.get("schema").is_some();
    let mut args = serde_json::json!({
        "server": format!("127.0.0.1:{}", slapd.port),
        "bind_dn": if config { slapd::CONFIG_ADMIN } else { slapd::ADMIN },
        "password": if config { slapd::CONFIG_PASSWORD } else { slapd::PASSWORD },
    });
    if text.get("ldif").is_none() {
        args["files"] = serde_json::json!({"path": "ldap"});
    }
    for (key, value) in text.as_object().unwrap() {
        args[key] = value.clone();
    }
    serde_json::from_value(args).unwrap()
}

/// The upstream folders as the controller has them, with a vendor file of our own.
pub fn files(data: &Path) -> LocalFiles {
    let mut entries = BTreeMap::new();
    for name in ["update", "schema"] {
        entries.insert(name.to_owned(), local(&data.join(name)));
    }
    entries.insert(
        "vendor-data.zip".to_owned(),
        LocalFile {
            path: "vendor-data.zip".into(),
            content: VENDOR.into(),
            mode: 0o644,
            entries: None,
            secret: false,
        },
    );
    let folder = LocalFile {
        path: "ldap".into(),
        content: Default::default(),
        mode: 0o755,
        entries: Some(entries),
        secret: false,
    };
    [("ldap".to_owned(), folder)].into()
}

/// What the records of these versions make of a directory, by the model. Gives the number of records too.
fn expected(data: &Path, before: &str, versions: &[&str]) -> (Model, usize) {
    let mut model = Model::read(before);
    let mut records = 0;
    for version in versions {
        for component in COMPONENTS {
            let file = data.join(format!(
                "update/{version}/update-{component}-{version}.ldif"
            ));
            if let Ok(text) = std::fs::read_to_string(file) {
                records += model.apply(&text, VENDOR);
            }
        }
    }
    (model, records)
}

fn fact(run: &Run, name: &str) -> i64 {
    match run.wanted.facts.get(name) {
        Some(runbook_engine::value::Value::Int(i)) => *i,
        other => panic!("{name} is {other:?}"),
    }
}

/// A definition of a schema as it means: its words without line ends, quotes and order of fields, by keyword.
type Definition = BTreeMap<String, Vec<String>>;

/// The words of a definition: what is quoted is one, and each parenthesis.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in text.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
            continue;
        }
        let spaced = part
            .replace('(', " ( ")
            .replace(')', " ) ")
            .replace('$', " ");
        words.extend(spaced.split_whitespace().map(str::to_owned));
    }
    words
}

fn definition(text: &str) -> Definition {
    // The server numbers them in front.
    let words = words(&text[text.find('(').unwrap() + 1..]);
    let mut words = words.into_iter().peekable();
    let mut found = Definition::from([("OID".to_owned(), vec![words.next().unwrap()])]);
    const FLAGS: [&str; 7] = [
        "OBSOLETE",
        "SINGLE-VALUE",
        "COLLECTIVE",
        "NO-USER-MODIFICATION",
        "ABSTRACT",
        "STRUCTURAL",
        "AUXILIARY",
    ];
    while let Some(keyword) = words.next().filter(|word| word != ")") {
        let mut values = Vec::new();
        if FLAGS.contains(&keyword.as_str()) {
        } else if words.peek().is_some_and(|word| word == "(") {
            words.next();
            values.extend(words.by_ref().take_while(|word| word != ")"));
        } else {
            values.extend(words.next());
        }
        if matches!(keyword.as_str(), "MUST" | "MAY" | "SUP") {
            values.iter_mut().for_each(|v| *v = v.to_lowercase());
            values.sort();
        }
        assert!(found.insert(keyword, values).is_none(), "{text}");
    }
    // What goes without saying.
    found.remove("STRUCTURAL");
    found
}

/// The definitions of an attribute, sorted by what they define.
fn definitions(text: &str, attribute: &str) -> Vec<Definition> {
    use base64::Engine as _;
    let whole = text.replace("\r\n", "\n").replace("\n ", "");
    let mut found: Vec<Definition> = whole
        .lines()
        .filter_map(|l| l.strip_prefix(attribute)?.strip_prefix(':'))
        .map(|l| match l.strip_prefix(": ") {
            // A description with other than ASCII characters.
            Some(code) => {
                let text = base64::engine::general_purpose::STANDARD
                    .decode(code)
                    .unwrap();
                String::from_utf8(text).unwrap()
            }
            None => l.to_owned(),
        })
        .map(|l| definition(&l))
        .collect();
    found.sort_by(|a, b| a["OID"].cmp(&b["OID"]));
    found
}

#[test]
fn definitions_are_the_same_however_they_are_written_and_each_word_counts() {
    let one = "olcAttributeTypes: {3}( 1.2.3 NAME 'lawFirst' DESC 'It is (so)'\n  SYNTAX 1.3.6{64} SINGLE-VALUE )\n";
    let other = "olcAttributeTypes: (1.2.3 NAME ( 'lawFirst' )\n  SINGLE-VALUE SYNTAX 1.3.6{64}  DESC 'It is (so)')\n";
    let read = |text: &str| definitions(text, "olcAttributeTypes");
    assert_eq!(read(one), read(other));
    assert_eq!(read(one).len(), 1);
    for (from, to) in [
        (" SINGLE-VALUE", ""),
        ("{64}", ""),
        ("(so)", "so"),
        ("lawFirst", "lawfirst"),
    ] {
        assert_ne!(read(one), read(&one.replace(from, to)), "{from}");
    }
}

/// A schema that a site has loaded before it installed the archive.
const OWN_SCHEMA: &str = "\
dn: cn=site,cn=schema,cn=config
objectClass: olcSchemaConfig
cn: site
olcAttributeTypes: ( 1.3.6.1.4.1.99999.1.1 NAME 'siteNote' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
olcObjectClasses: ( 1.3.6.1.4.1.99999.2.1 NAME 'siteThing' SUP top AUXILIARY MAY siteNote )
";

async fn upgrade(version: &str, own: &[std::path::PathBuf], chain: &[&str], at_least: usize) {
    let name = format!("upgrade from {version}");
    let Some(data) = realdata::folder(&name) else {
        return;
    };
    if !slapd::available(&name) {
        return;
    }
    let slapd = Slapd::release_behind(&data, version, own);
    let host = Host::new();
    let files = files(&data);

    // Data before schema is refused, and nothing is sent.
    if version == "5.29.0" {
        let writes = slapd.writes();
        let args = args(&slapd, serde_json::json!({"to": "5.32.0", "from": version}));
        let why = host.run::<LdapUpdate>(&args, &files).await.err().unwrap();
        assert!(why.contains("update its schema first"), "{why}");
        assert_eq!(slapd.writes(), writes);
    }

    let schema = args(&slapd, serde_json::json!({"schema": "5.32.0"}));
    let run = host.run::<LdapUpdate>(&schema, &files).await.unwrap();
    assert!((1..=4).contains(&run.written), "{}", run.written);
    let numbered = format!("cn={{{}}}dicom,cn=schema", 4 + own.len());
    assert!(slapd.config().contains(&numbered), "there is no {numbered}");
    for name in [
        "dicom",
        "dcm4che",
        "dcm4chee-archive",
        "dcm4chee-archive-ui",
    ] {
        let file = std::fs::read_to_string(data.join(format!("schema/5.32.0/{name}-modify.ldif")))
            .unwrap();
        let config = slapd.config();
        let entry = config
            .split("\n\n")
            .find(|e| e.contains(&format!("}}{name},cn=schema")))
            .unwrap();
        for attribute in ["olcAttributeTypes", "olcObjectClasses"] {
            // Their order counts only where one is built on another, which the server has checked.
            let (has, wants) = (definitions(entry, attribute), definitions(&file, attribute));
            let differing = has.iter().zip(&wants).find(|(a, b)| a != b);
            assert_eq!(differing, None, "{name} {attribute}");
            assert_eq!(has.len(), wants.len(), "{name} {attribute}");
        }
        let stripped = file.replace("SINGLE-VALUE", "");
        if stripped != file {
            let attribute = "olcAttributeTypes";
            assert_ne!(
                definitions(entry, attribute),
                definitions(&stripped, attribute)
            );
        }
    }
    let again = host.run::<LdapUpdate>(&schema, &files).await.unwrap();
    assert_eq!(again.written, 0, "{:?}", again.wanted.summary);

    let before = slapd.export(BASE);
    let (model, records) = expected(&data, &before, chain);
    assert!(records >= at_least, "{records}");

    let args = args(&slapd, serde_json::json!({"to": "5.32.0"}));
    let run = host.run::<LdapUpdate>(&args, &files).await.unwrap();
    eprintln!(
        "{version}: {:?}, {} entries written, {} rounds",
        run.wanted.summary, run.written, run.rounds
    );
    assert_eq!(
        fact(&run, "records"),
        i64::try_from(records).unwrap(),
        "{:?}",
        run.wanted.summary
    );
    assert_eq!(fact(&run, "conflicts"), 0);
    let after = Model::read(&slapd.export(BASE)).without("cn=runbook,dc=dcm4che,dc=org");
    if let Some(difference) = after.difference(&model) {
        panic!("not as the model: {difference}");
    }

    // The second run reads every entry that the updates name, in few rounds, and changes nothing.
    let writes = slapd.writes();
    let again = host.run::<LdapUpdate>(&args, &files).await.unwrap();
    assert_eq!(
        (again.written, fact(&again, "records")),
        (0, 0),
        "{:?}",
        again.wanted.summary
    );
    assert!(again.rounds <= run.rounds, "{} rounds", again.rounds);
    assert!(again.reads >= run.written, "{} reads", again.reads);
    assert_eq!(slapd.writes(), writes);

    // What an administrator gives back afterwards is not taken away again; what the updates have brought and is gone
    // is brought again, and nothing else.
    let device = "dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,dc=dcm4che,dc=org";
    let before = slapd.export(&format!("dcmEntity=Study,{device}"));
    slapd.modify(&format!(
        "dn: dicomAETitle=DCM4CHEE,{device}\nchangetype: modify\nadd: dcmAcceptedUserRole\n\
         dcmAcceptedUserRole: admin\n\n\
         dn: dcmEntity=Study,{device}\nchangetype: modify\ndelete: dcmTag\ndcmTag: 00401012\n",
    ));
    let mended = host.run::<LdapUpdate>(&args, &files).await.unwrap();
    assert_eq!((mended.written, fact(&mended, "mended")), (1, 1));
    let study = slapd.export(&format!("dcmEntity=Study,{device}"));
    assert_eq!(Model::read(&study).difference(&Model::read(&before)), None);
    let archive = slapd.export(&format!("dicomAETitle=DCM4CHEE,{device}"));
    assert!(archive.contains("dcmAcceptedUserRole: admin"), "{archive}");
    let writes = slapd.writes();
    let again = host.run::<LdapUpdate>(&args, &files).await.unwrap();
    assert_eq!((again.written, slapd.writes()), (0, writes));
}

#[tokio::test]
async fn from_5_29_0_through_all_updates() {
    upgrade("5.29.0", &[], &CHAIN, 380).await;
}

/// The entries of the archive's schema have other numbers then.
#[tokio::test]
async fn behind_a_schema_that_the_site_has_loaded_first() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("site.ldif");
    std::fs::write(&own, OWN_SCHEMA).unwrap();
    upgrade("5.29.0", &[own], &CHAIN, 380).await;
}

#[tokio::test]
async fn from_5_31_2() {
    upgrade("5.31.2", &[], &["5.32.0"], 12).await;
}

#[tokio::test]
async fn without_its_record_a_second_run_finds_everything_there() {
    let name = "without_its_record_a_second_run_finds_everything_there";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.29.0");
    let (host, files) = (Host::new(), files(&data));
    host.run::<LdapUpdate>(
        &args(&slapd, serde_json::json!({"schema": "5.32.0"})),
        &files,
    )
    .await
    .unwrap();
    let args = args(
        &slapd,
        serde_json::json!({"to": "5.32.0", "from": "5.29.0"}),
    );
    host.run::<LdapUpdate>(&args, &files).await.unwrap();
    slapd.modify("dn: cn=runbook,dc=dcm4che,dc=org\nchangetype: delete\n");
    let run = host.run::<LdapUpdate>(&args, &files).await.unwrap();
    assert_eq!(
        (fact(&run, "apply"), fact(&run, "conflicts")),
        (0, 0),
        "{:?}",
        run.wanted.summary
    );
    assert_eq!(fact(&run, "records"), fact(&run, "already"));
    assert_eq!(run.written, 1, "the record alone");
}

#[tokio::test]
async fn a_customised_directory() {
    let name = "a_customised_directory";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.31.2");
    let (host, files) = (Host::new(), files(&data));
    host.run::<LdapUpdate>(
        &args(&slapd, serde_json::json!({"schema": "5.32.0"})),
        &files,
    )
    .await
    .unwrap();
    let device = "dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,dc=dcm4che,dc=org";
    // One entity half updated by hand, one with a role removed, one tag there, one entity removed.
    slapd.modify(&format!(
        "dn: dicomAETitle=DCM4CHEE,{device}\nchangetype: modify\ndelete: dcmAcceptedUserRole\ndcmAcceptedUserRole: admin\n\n\
         dn: dicomAETitle=WORKLIST,{device}\nchangetype: modify\ndelete: dcmAcceptedUserRole\n\n\
         dn: dcmEntity=Series,{device}\nchangetype: modify\nadd: dcmTag\ndcmTag: 00081070\n"
    ));
    let subtree = slapd.export(&format!("dicomAETitle=IOCM_EXPIRED,{device}"));
    let mut names: Vec<&str> = subtree
        .lines()
        .filter_map(|l| l.strip_prefix("dn: "))
        .collect();
    names.reverse();
    names
        .iter()
        .for_each(|dn| slapd.modify(&format!("dn: {dn}\nchangetype: delete\n")));

    let before = slapd.export(BASE);
    let writes = slapd.writes();
    let why = host
        .run::<LdapUpdate>(&args(&slapd, serde_json::json!({"to": "5.32.0"})), &files)
        .await
        .err()
        .unwrap();
    assert!(
        why.contains("update-IOCM_EXPIRED-5.32.0.ldif line 3"),
        "{why}"
    );
    assert!(why.contains("the entry is absent"), "{why}");
    assert_eq!(slapd.writes(), writes, "nothing is sent");
    assert_eq!(slapd.export(BASE), before);

    let args = args(
        &slapd,
        serde_json::json!({"to": "5.32.0", "on_conflict": "continue"}),
    );
    let run = host.run::<LdapUpdate>(&args, &files).await.unwrap();
    eprintln!("{:?}", run.wanted.summary);
    assert_eq!(
        (
            fact(&run, "records"),
            fact(&run, "apply"),
            fact(&run, "already"),
            fact(&run, "conflicts")
        ),
        (12, 10, 1, 1)
    );
    let after = slapd.export(&format!("dicomAETitle=DCM4CHEE,{device}"));
    let entry = after.split("\n\n").next().unwrap();
    assert!(
        !entry.contains("dcmAcceptedUserRole: user")
            && !entry.contains("dcmAcceptedUserRole: admin"),
        "{entry}"
    );
    let series = slapd.export(&format!("dcmEntity=Series,{device}"));
    assert!(
        series.contains("dcmTag: 00081070") && series.contains("dcmTag: 00081072"),
        "{series}"
    );
    let again = host.run::<LdapUpdate>(&args, &files).await.unwrap();
    assert_eq!(again.written, 0);
    assert!(
        again
            .wanted
            .notes
            .iter()
            .any(|n| n.contains("without 1 records in conflict")),
        "{:?}",
        again.wanted.notes
    );
}

#[tokio::test]
async fn a_failure_half_way_is_taken_back() {
    let name = "a_failure_half_way_is_taken_back";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.29.0");
    let (host, files) = (Host::new(), files(&data));
    host.run::<LdapUpdate>(
        &args(&slapd, serde_json::json!({"schema": "5.32.0"})),
        &files,
    )
    .await
    .unwrap();
    let (run, world) = host
        .check::<LdapUpdate>(&args(&slapd, serde_json::json!({"to": "5.32.0"})), &files)
        .await
        .unwrap();
    let mut changes = host.changes(&run.wanted, &world);
    let before = slapd.export(BASE);
    let writes = slapd.writes();
    // The last change is one that the server refuses: a value of the wrong syntax.
    let last = changes
        .iter_mut()
        .rev()
        .find(|c| c.change.from.entry.is_some() && !c.key.last)
        .unwrap();
    let entry = last.change.to.entry.as_mut().unwrap();
    entry.add(
        "dicomInstalled",
        &runbook_modules::ldap::matching::Rule::Boolean,
        &["perhaps".into()],
    );
    last.change.want = runbook_modules::ldap::entry::EntryWant::Entry(entry.clone());
    match host.write(&changes).await {
        Err(WriteError::Failed { message, left }) => {
            assert!(
                message.contains(&last_name(&message)) && left.is_none(),
                "{message} {left:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    let done = slapd.writes() - writes;
    assert!(done > 200, "{done} operations were sent and taken back");
    let (after, before) = (Model::read(&slapd.export(BASE)), Model::read(&before));
    assert_eq!(after.difference(&before), None);
}

fn last_name(message: &str) -> String {
    assert!(message.starts_with("change of "), "{message}");
    "change of".to_owned()
}

#[tokio::test]
async fn a_change_by_someone_else_is_found_and_nothing_is_written() {
    let name = "a_change_by_someone_else_is_found_and_nothing_is_written";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.31.2");
    let (host, files) = (Host::new(), files(&data));
    host.run::<LdapUpdate>(
        &args(&slapd, serde_json::json!({"schema": "5.32.0"})),
        &files,
    )
    .await
    .unwrap();
    let (run, world) = host
        .check::<LdapUpdate>(&args(&slapd, serde_json::json!({"to": "5.32.0"})), &files)
        .await
        .unwrap();
    let changes = host.changes(&run.wanted, &world);
    slapd.modify(
        "dn: dcmEntity=Study,dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,dc=dcm4che,dc=org\n\
         changetype: modify\nadd: dcmTag\ndcmTag: 0040A078\n",
    );
    let writes = slapd.writes();
    match host.write(&changes).await {
        Err(WriteError::Moved { what, found }) => {
            assert!(what.starts_with("dcmEntity=Study"), "{what}");
            assert_eq!(found, "other values of dcmTag");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(slapd.writes(), writes);
}

#[tokio::test]
async fn wrong_versions_components_and_malformed_files() {
    let name = "wrong_versions_components_and_malformed_files";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.29.0");
    let (host, mut files) = (Host::new(), files(&data));
    for (given, told) in [
        (
            serde_json::json!({"to": "5.32.1"}),
            "there are 5.26.0, 5.29.1, 5.29.2, 5.30.0, 5.31.0, 5.31.1, 5.31.2, 5.32.0",
        ),
        (
            serde_json::json!({"to": "5.32.0", "components": ["DCM4CHE"]}),
            "there is no file of component `DCM4CHE`",
        ),
        (
            serde_json::json!({"to": "5.26.0", "from": "5.25.2"}),
            "update-IOCM_REGULAR_USE-5.26.0.ldif line 3: a record begins with `dn:`",
        ),
        (
            serde_json::json!({"schema": "5.33.0"}),
            "there are no files `…-modify.ldif` of schema 5.33.0",
        ),
    ] {
        let why = host
            .run::<LdapUpdate>(&args(&slapd, given), &files)
            .await
            .err()
            .unwrap();
        assert!(why.contains(told), "{why}");
    }
    files
        .get_mut("ldap")
        .unwrap()
        .entries
        .as_mut()
        .unwrap()
        .remove("vendor-data.zip");
    let given = serde_json::json!({"to": "5.29.1", "from": "5.29.0"});
    let why = host
        .run::<LdapUpdate>(&args(&slapd, given), &files)
        .await
        .err()
        .unwrap();
    assert!(
        why.contains("update-dev-5.29.1.ldif line 18: the file `vendor-data.zip` is neither"),
        "{why}"
    );
    assert!(
        slapd
            .export(BASE)
            .lines()
            .all(|l| !l.contains("cn=runbook"))
    );
}

#[tokio::test]
async fn another_application_entity_under_its_own_name() {
    let name = "another_application_entity_under_its_own_name";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.31.2");
    let (host, files) = (Host::new(), files(&data));
    host.run::<LdapUpdate>(
        &args(&slapd, serde_json::json!({"schema": "5.32.0"})),
        &files,
    )
    .await
    .unwrap();
    // A second entity as a site adds it: a copy of the first under another name.
    let device = "dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,dc=dcm4che,dc=org";
    let copy = slapd
        .export(&format!("dicomAETitle=DCM4CHEE,{device}"))
        .replace("dicomAETitle=DCM4CHEE", "dicomAETitle=Anna CT");
    slapd.add(
        copy.replace("dicomAETitle: DCM4CHEE", "dicomAETitle: Anna CT")
            .as_bytes(),
    );
    host.run::<LdapUpdate>(&args(&slapd, serde_json::json!({"to": "5.32.0"})), &files)
        .await
        .unwrap();
    let other = serde_json::json!({"to": "5.32.0", "components": ["DCM4CHEE"], "names": {"aet": "Anna CT"}});
    let run = host
        .run::<LdapUpdate>(&args(&slapd, other.clone()), &files)
        .await
        .unwrap();
    assert_eq!(
        (fact(&run, "records"), fact(&run, "apply"), run.written),
        (1, 1, 2),
        "{:?}",
        run.wanted.summary
    );
    let entry = slapd.export(&format!("dicomAETitle=Anna CT,{device}"));
    assert!(
        !entry
            .split("\n\n")
            .next()
            .unwrap()
            .contains("dcmAcceptedUserRole"),
        "{entry}"
    );
    let again = host
        .run::<LdapUpdate>(&args(&slapd, other), &files)
        .await
        .unwrap();
    assert_eq!((again.written, fact(&again, "recorded")), (0, 1));
}

#[tokio::test]
async fn plain_files_groups_and_the_socket() {
    let name = "plain_files_groups_and_the_socket";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.31.2");
    let host = Host::new();
    let file = |name: &str, text: &str| {
        let file = LocalFile {
            path: name.into(),
            content: text.to_owned().into(),
            mode: 0o644,
            entries: None,
            secret: false,
        };
        (name.to_owned(), file)
    };
    let ldif = |name: &str| args(&slapd, serde_json::json!({"ldif": [name]}));

    // The roles of the upgrade guide: a group, members in and out.
    let role = "dn: cn=radiology,ou=users,dc=dcm4che,dc=org\nobjectClass: groupOfNames\ncn: radiology\n\
                member: uid=root,ou=users,dc=dcm4che,dc=org\n\n\
                dn: cn=radiology,ou=users,dc=dcm4che,dc=org\nchangetype: modify\nadd: member\n\
                member: uid=admin,ou=users,dc=dcm4che,dc=org\n";
    let files: LocalFiles = [file("role.ldif", role)].into();
    let run = host
        .run::<LdapUpdate>(&ldif("role.ldif"), &files)
        .await
        .unwrap();
    assert_eq!((run.written, fact(&run, "apply")), (1, 2));
    let again = host
        .run::<LdapUpdate>(&ldif("role.ldif"), &files)
        .await
        .unwrap();
    assert_eq!((again.written, fact(&again, "already")), (0, 2));

    // The last member cannot go.
    let empty = "dn: cn=radiology,ou=users,dc=dcm4che,dc=org\ndelete: member\n";
    let files: LocalFiles = [file("empty.ldif", empty)].into();
    let why = host
        .run::<LdapUpdate>(&ldif("empty.ldif"), &files)
        .await
        .err()
        .unwrap();
    assert!(why.contains("would lose its last value of member"), "{why}");

    // A tree goes, children first, and comes back as it was when the change is written backwards.
    let before = slapd.export(BASE);
    let tree = slapd.export("dcmuiConfigName=default,dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,dc=dcm4che,dc=org");
    let mut deletes = String::new();
    for dn in tree.lines().filter_map(|l| l.strip_prefix("dn: ")).rev() {
        deletes.push_str(&format!("dn: {dn}\nchangetype: delete\n\n"));
    }
    let files: LocalFiles = [file("gone.ldif", &deletes)].into();
    let (run, world) = host
        .check::<LdapUpdate>(&ldif("gone.ldif"), &files)
        .await
        .unwrap();
    let changes = host.changes(&run.wanted, &world);
    assert!(changes.len() > 40, "{}", changes.len());
    host.write(&changes).await.unwrap();
    let back: Vec<_> = changes
        .into_iter()
        .map(|c| runbook_engine::resource::KeyedChange {
            key: c.key,
            change: runbook_engine::resource::Change {
                want: runbook_modules::ldap::entry::EntryWant::Entry(
                    c.change.from.entry.clone().unwrap(),
                ),
                from: c.change.to,
                to: c.change.from,
            },
        })
        .collect();
    host.write(&back).await.unwrap();
    assert_eq!(
        Model::read(&slapd.export(BASE)).difference(&Model::read(&before)),
        None
    );

    // A parent alone cannot go.
    let parent = "dn: ou=users,dc=dcm4che,dc=org\nchangetype: delete\n";
    let files: LocalFiles = [file("parent.ldif", parent)].into();
    let why = host
        .run::<LdapUpdate>(&ldif("parent.ldif"), &files)
        .await
        .err()
        .unwrap();
    assert!(why.contains("entries lie below it"), "{why}");

    // A wrong password says so.
    let mut wrong = ldif("parent.ldif");
    wrong.password = Some(runbook_engine::value::Secret::new("wrong"));
    let why = host.run::<LdapUpdate>(&wrong, &files).await.err().unwrap();
    assert!(
        why.contains("wrong bind name or password") && !why.contains("\"wrong\""),
        "{why}"
    );

    // Over the socket, as the process's own user.
    let mut over_socket = ldif("role.ldif");
    over_socket.server = Some(slapd.socket());
    (over_socket.bind_dn, over_socket.password) = (None, None);
    let files: LocalFiles = [file("role.ldif", role)].into();
    let run = host.run::<LdapUpdate>(&over_socket, &files).await.unwrap();
    assert_eq!(run.written, 0);
}
