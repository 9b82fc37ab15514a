//! What a check predicts is what the run does, also where a task builds on one that has not run.

use runbook_engine::module::reference;
use runbook_engine::resource::{Kind, Shadow};
use runbook_engine::world::{Known, Predicted, PredictedChange};
use runbook_modules::ldap::dn::Dn;
use runbook_modules::ldap::entry::{Attribute, Entry, EntryState};
use runbook_modules::ldap::entry_kind::{EntryKey, LdapEntry};
use runbook_modules::ldap::listing::{LdapListing, Listing, ListingKey};
use runbook_modules::ldap::matching::Rule;
use runbook_modules::ldap::schema_kind::{LdapSchema, Part, SchemaKey};
use runbook_modules::ldap::server::Server;
use runbook_modules::ldap::session::Depth;
use runbook_modules::ldap::update::LdapUpdate;

use crate::host::Host;
use crate::realdata;
use crate::slapd::{self, Slapd};
use crate::updating::{args, files};

fn server(text: &str) -> Server {
    match text.strip_prefix("container ") {
        Some(name) => Server::from_args(Some(name), None, None, None).unwrap(),
        None => Server::from_args(None, Some(text), None, None).unwrap(),
    }
}

fn key(at: &str, dn: &str) -> EntryKey {
    EntryKey::new(&server(at), &Dn::parse(dn).unwrap(), None)
}

fn entry(dn: &str, attributes: &[(&str, &str)]) -> EntryState {
    let attribute = |(name, value): &(&str, &str)| Attribute {
        name: (*name).to_owned(),
        rule: Rule::Description,
        values: vec![(*value).into()],
    };
    EntryState::of(Entry {
        dn: dn.to_owned(),
        attributes: attributes.iter().map(attribute).collect(),
    })
}

fn change(key: &EntryKey, from: &EntryState, to: &EntryState) -> PredictedChange {
    PredictedChange {
        key: reference::<LdapEntry>(key),
        from: Some(serde_json::to_value(from).unwrap()),
        to: Some(serde_json::to_value(to).unwrap()),
        task: "Task".to_owned(),
    }
}

#[test]
fn below_what_goes_or_has_just_come_there_is_nothing() {
    let parent = key("h", "ou=p,o=x");
    let there = entry("ou=p,o=x", &[]);
    for (from, to, expected) in [
        (
            &there,
            &EntryState::absent(),
            Shadow::Known(EntryState::absent()),
        ),
        (
            &EntryState::absent(),
            &there,
            Shadow::Known(EntryState::absent()),
        ),
        (&there, &there, Shadow::AsRead),
    ] {
        let changes = [change(&parent, from, to)];
        let world = Predicted { changes: &changes };
        assert_eq!(
            LdapEntry.predicted(&key("h", "cn=a,OU=P,o=x"), &world),
            expected
        );
        assert_eq!(
            LdapEntry.predicted(&key("h", "cn=a,ou=q,o=x"), &world),
            Shadow::AsRead
        );
        assert_eq!(
            LdapEntry.predicted(&key("other", "cn=a,ou=p,o=x"), &world),
            Shadow::AsRead
        );
        let listing = |base: &str| {
            ListingKey::new(
                &server("h"),
                &Dn::parse(base).unwrap(),
                Depth::Subtree,
                None,
            )
        };
        let all = listing("o=x");
        if from == to {
            assert_eq!(LdapListing.predicted(&all, &world), Shadow::AsRead);
        } else {
            assert_eq!(LdapListing.predicted(&all, &world), Shadow::Over(None));
            let read = Listing {
                exists: true,
                names: ["o=x", "OU=P,o=x", "cn=b,ou=q,o=x"]
                    .map(str::to_owned)
                    .into(),
            };
            let names = LdapListing.over(&all, read, &world).unwrap().names;
            let expected = match to.entry {
                Some(_) => vec!["o=x", "OU=P,o=x", "cn=b,ou=q,o=x"],
                None => vec!["o=x", "cn=b,ou=q,o=x"],
            };
            assert_eq!(names, expected);
            let made = LdapListing.over(&listing("ou=p,o=x"), Listing::default(), &world);
            assert_eq!(made.unwrap().exists, to.entry.is_some());
        }
        assert_eq!(
            LdapListing.predicted(&listing("o=y"), &world),
            Shadow::AsRead
        );
    }
}

#[test]
fn an_entry_that_came_is_there_though_the_one_above_it_changes_after_it() {
    let (parent, child) = (key("h", "ou=p,o=x"), key("h", "cn=a,ou=p,o=x"));
    let (old, new) = (
        entry("ou=p,o=x", &[]),
        entry("ou=p,o=x", &[("description", "two")]),
    );
    let added = entry("cn=a,ou=p,o=x", &[]);
    let mut changes = vec![
        change(&parent, &EntryState::absent(), &old),
        change(&child, &EntryState::absent(), &added),
        change(&parent, &old, &new),
    ];
    let foretold = |changes: &[PredictedChange]| {
        LdapEntry.predicted(&key("h", "CN=a,ou=p,o=x"), &Predicted { changes })
    };
    assert_eq!(foretold(&changes), Shadow::Known(added));
    changes.push(change(&parent, &new, &EntryState::absent()));
    assert_eq!(foretold(&changes), Shadow::Known(EntryState::absent()));
}

#[test]
fn writes_end_early_readings_of_the_same_branch_only() {
    let read = key("h", "cn=a,ou=p,o=x");
    for (written, touched) in [
        ("cn=a,ou=p,o=x", true),
        ("ou=P,o=x", true),
        ("cn=b,cn=a,ou=p,o=x", true),
        ("cn=b,ou=p,o=x", false),
    ] {
        assert_eq!(
            LdapEntry.touched_by(&read, &reference::<LdapEntry>(&key("h", written))),
            touched,
            "{written}"
        );
    }
    let schema = SchemaKey {
        server: server("h"),
        part: Part::Now,
    };
    let config = reference::<LdapEntry>(&key("h", "cn={4}a,cn=schema,cn=config"));
    assert!(LdapSchema.touched_by(&schema, &config));
    assert!(!LdapSchema.touched_by(&schema, &reference::<LdapEntry>(&read)));
}

#[test]
fn the_schema_to_come() {
    let entry_key = key("h", "cn={4}a,cn=schema,cn=config");
    let old = "{0}( 1.1 NAME 'old' EQUALITY caseIgnoreMatch )";
    let new = "( 1.2 NAME 'new' EQUALITY caseExactMatch )";
    let from = entry("cn={4}a,cn=schema,cn=config", &[("olcAttributeTypes", old)]);
    let to = entry("cn={4}a,cn=schema,cn=config", &[("olcAttributeTypes", new)]);
    let changes = [change(&entry_key, &from, &to)];
    let coming = SchemaKey {
        server: server("h"),
        part: Part::Coming,
    };
    let Shadow::Known(state) = LdapSchema.predicted(&coming, &Predicted { changes: &changes })
    else {
        panic!()
    };
    let mut now = runbook_modules::ldap::schema_kind::SchemaState::default();
    now.there.attribute_types = vec![
        "( 1.1 NAME 'old' EQUALITY caseIgnoreMatch )".to_owned(),
        "( 1.0 NAME 'core' EQUALITY caseIgnoreMatch )".to_owned(),
    ];
    let schema = runbook_modules::ldap::schema::Schema::new(&now.with(&state));
    let knows = |name: &str| schema.attribute(name).is_some();
    assert_eq!(
        (knows("core"), knows("old"), knows("new")),
        (true, false, true)
    );
}

/// The data task is checked while the schema task is only predicted, on a directory that does not know the new
/// attributes yet; then both run.
#[tokio::test]
async fn data_on_a_schema_that_is_only_predicted() {
    let name = "data_on_a_schema_that_is_only_predicted";
    let Some(data) = realdata::folder(name) else {
        return;
    };
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::release(&data, "5.29.0");
    let (host, files) = (Host::new(), files(&data));
    let schema_task = args(&slapd, serde_json::json!({"schema": "5.32.0"}));
    let data_task = args(&slapd, serde_json::json!({"to": "5.32.0"}));
    let writes = slapd.writes();

    let (run, world) = host
        .check::<LdapUpdate>(&schema_task, &files)
        .await
        .unwrap();
    let predicted: Vec<PredictedChange> = host
        .changes(&run.wanted, &world)
        .iter()
        .map(|c| change(&c.key, &c.change.from, &c.change.to))
        .collect();
    assert!(!predicted.is_empty());
    let server = Server::from_args(None, schema_task.server.as_deref(), None, None).unwrap();
    let coming = SchemaKey {
        server,
        part: Part::Coming,
    };
    let Shadow::Known(state) = LdapSchema.predicted(
        &coming,
        &Predicted {
            changes: &predicted,
        },
    ) else {
        panic!()
    };
    let known = (
        reference::<LdapSchema>(&coming),
        Known::State(serde_json::to_value(&state).unwrap()),
    );
    let (checked, checked_world) = host
        .check_in::<LdapUpdate>(&data_task, &files, vec![known])
        .await
        .unwrap();
    let checked_changes = host.changes(&checked.wanted, &checked_world);
    assert_eq!(slapd.writes(), writes, "a check writes nothing");

    host.run::<LdapUpdate>(&schema_task, &files).await.unwrap();
    let (ran, ran_world) = host.check::<LdapUpdate>(&data_task, &files).await.unwrap();
    assert_eq!(checked.wanted.summary, ran.wanted.summary);
    assert_eq!(checked.wanted.facts, ran.wanted.facts);
    let ran_changes = host.changes(&ran.wanted, &ran_world);
    assert_eq!(checked_changes.len(), ran_changes.len());
    for (a, b) in checked_changes.iter().zip(&ran_changes) {
        assert_eq!((&a.key, &a.change), (&b.key, &b.change));
        assert_eq!(
            LdapEntry.text(&a.key, &a.change.to),
            LdapEntry.text(&b.key, &b.change.to),
            "the diff of the check is the diff of the run"
        );
    }
    host.write(&ran_changes).await.unwrap();
}
