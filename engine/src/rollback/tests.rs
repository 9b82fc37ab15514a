#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{Choice, Did, Step, Told};
use crate::action::{ActionCall, Effects};
use crate::journal::{ChangeRecord, Entry, NodeStatus, Record};
use crate::resource::{Kept, Ref, Reversible};

fn change(id: &str, reversible: Reversible) -> ChangeRecord {
    ChangeRecord {
        key: Ref {
            kind: "file".to_owned(),
            id: id.to_owned(),
            data: Json::Null,
        },
        from: json!("before"),
        to: json!("after"),
        want: json!("after"),
        reversible,
    }
}

fn entry(host: &str, node: &str, record: Record) -> Entry {
    Entry {
        seq: 1,
        run: "r".to_owned(),
        at: String::new(),
        host: host.to_owned(),
        node: node.to_owned(),
        record,
    }
}

fn intended(task: &str, id: &str, reversible: Reversible) -> Record {
    Record::ChangesIntended {
        task: task.to_owned(),
        on: None,
        user: None,
        changes: vec![change(id, reversible)],
        hidden: false,
    }
}

fn finished(task: &str, status: NodeStatus, notified: &[&str]) -> Record {
    Record::NodeFinished {
        task: task.to_owned(),
        status,
        register: None,
        facts: BTreeMap::new(),
        notified: notified.iter().map(|n| (*n).to_owned()).collect(),
        result: None,
        drifted: false,
        skipped: None,
    }
}

fn action(task: &str, effects: Effects) -> Record {
    Record::ActionIntended {
        task: task.to_owned(),
        action: ActionCall {
            kind: "exec".to_owned(),
            call: Json::Null,
            effects,
            summary: "run it".to_owned(),
            changes: true,
        },
        folder: String::new(),
        on: None,
        user: None,
        hidden: false,
    }
}

fn tasks(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|s| s.task.as_str()).collect()
}

#[test]
fn a_run_is_told_newest_first_without_what_did_nothing() {
    let kept = Kept {
        kind: "file".to_owned(),
        of: "/a".to_owned(),
        place: "/.a~".to_owned(),
        size: None,
        user: None,
    };
    let entries = [
        entry("h", "1", intended("first", "/a", Reversible::Yes)),
        entry(
            "h",
            "1",
            Record::ChangesWritten {
                kept: vec![kept.clone()],
                failed: None,
            },
        ),
        entry(
            "h",
            "1",
            finished("first", NodeStatus::Changed, &["reload"]),
        ),
        entry("h", "2", action("looked", Effects::Nothing)),
        entry("h", "3", action("said ok", Effects::Opaque)),
        entry("h", "3", finished("said ok", NodeStatus::Ok, &[])),
        entry("h", "4", action("did something", Effects::Opaque)),
        entry(
            "h",
            "4",
            finished("did something", NodeStatus::Changed, &[]),
        ),
        entry("h", "5", action("reload", Effects::Opaque)),
        entry("h", "5", finished("reload", NodeStatus::Changed, &[])),
        // Killed in the middle: nothing says that it was written.
        entry("h", "6", intended("last", "/b", Reversible::Yes)),
    ];
    let told = Told::from_entries(&entries);
    assert_eq!(tasks(&told.steps), ["last", "did something", "first"]);
    assert!(matches!(&told.steps[1].did, Did::Action(_)));
    let place = ("h".to_owned(), "1".to_owned());
    assert_eq!(told.notified[&place], ["reload"]);
    assert_eq!(told.kept["h"], std::slice::from_ref(&kept));
    let mut closed = entries.to_vec();
    closed.push(entry(
        "h",
        "",
        Record::Closed {
            removed: vec![kept],
        },
    ));
    assert!(Told::from_entries(&closed).kept.is_empty());
}

/// Two hosts of one site and one by itself; newest first: `late` on both sites, `drop` (never) and `early` on `a1`.
fn steps() -> Vec<Step> {
    let entries = [
        entry("a1", "1", intended("early", "/1", Reversible::Yes)),
        entry("b", "1", intended("early", "/1", Reversible::Yes)),
        entry(
            "a1",
            "2",
            intended("drop", "/2", Reversible::Never("it is gone".to_owned())),
        ),
        entry("a2", "3", intended("late", "/3", Reversible::Yes)),
        entry("b", "3", intended("late", "/3", Reversible::Yes)),
    ];
    Told::from_entries(&entries).steps
}

fn site_of(host: &str) -> String {
    host.get(..1).unwrap_or_default().to_owned()
}

fn chosen(choice: &Choice) -> Result<Vec<String>, Vec<String>> {
    let steps = choice.of(&steps(), &site_of)?;
    Ok(steps
        .iter()
        .map(|s| format!("{} {}", s.host, s.task))
        .collect())
}

#[test]
fn a_point_of_no_return_is_crossed_only_by_name() {
    let wrong = chosen(&Choice::default()).unwrap_err();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    for said in ["it is gone", "--to \"late\"", "--past \"drop\""] {
        assert!(wrong[0].contains(said), "no `{said}` in {wrong:?}");
    }
    let past = Choice {
        past: vec!["drop".to_owned()],
        ..Choice::default()
    };
    let all = ["b late", "a2 late", "a1 drop", "b early", "a1 early"];
    assert_eq!(chosen(&past).unwrap(), all);
    // What comes after it goes back without a question; sites are counted by themselves.
    let to = Choice {
        to: Some("late".to_owned()),
        ..Choice::default()
    };
    assert_eq!(chosen(&to).unwrap(), ["b late", "a2 late"]);
    let other = Choice {
        hosts: vec!["b".to_owned()],
        ..Choice::default()
    };
    assert_eq!(chosen(&other).unwrap(), ["b late", "b early"]);
}

#[test]
fn what_the_run_has_not_done_cannot_be_named() {
    let choice = Choice {
        hosts: vec!["b".to_owned(), "c".to_owned()],
        to: Some("nobody".to_owned()),
        past: vec!["drop".to_owned()],
        overwrite: vec!["/2".to_owned()],
        also: vec!["file:/3".to_owned()],
    };
    let wrong = chosen(&choice).unwrap_err();
    // `drop` and `/2` are of another host; `/3` is of this one.
    assert_eq!(wrong.len(), 4, "{wrong:#?}");
    for said in ["--host c", "\"nobody\"", "\"drop\"", "`/2`"] {
        assert!(
            wrong.iter().any(|w| w.contains(said)),
            "no {said}: {wrong:#?}"
        );
    }
}
