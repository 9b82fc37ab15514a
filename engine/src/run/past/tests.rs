#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Cursor, Past};
use crate::action::{ActionCall, Effects};
use crate::journal::{ChangeRecord, Entry, NodeStatus, Record};
use crate::resource::{Ref, Reversible};

fn past(records: Vec<(&str, Record)>) -> Arc<Past> {
    let entries: Vec<Entry> = records
        .into_iter()
        .zip(1..)
        .map(|((node, record), seq)| Entry {
            seq,
            run: "r".to_owned(),
            at: String::new(),
            host: "h".to_owned(),
            node: node.to_owned(),
            record,
        })
        .collect();
    Arc::new(Past::from_entries(&entries))
}

fn ended(status: NodeStatus) -> Record {
    Record::NodeFinished {
        task: "t".to_owned(),
        status,
        register: Some(("r".to_owned(), json!({"rc": 0}))),
        facts: BTreeMap::new(),
        notified: Vec::new(),
        result: None,
        drifted: false,
        skipped: None,
    }
}

fn writes(id: &str, from: &str) -> Record {
    Record::ChangesIntended {
        task: "t".to_owned(),
        on: None,
        user: None,
        changes: vec![ChangeRecord {
            key: Ref {
                kind: "file".to_owned(),
                id: id.to_owned(),
                data: Json::Null,
            },
            from: json!(from),
            to: json!("after"),
            want: json!("after"),
            reversible: Reversible::Yes,
        }],
        hidden: false,
    }
}

fn written() -> Record {
    Record::ChangesWritten {
        kept: Vec::new(),
        failed: None,
    }
}

fn acts(folder: &str) -> Record {
    Record::ActionIntended {
        task: "t".to_owned(),
        action: ActionCall {
            kind: "exec".to_owned(),
            call: Json::Null,
            effects: Effects::Opaque,
            summary: String::new(),
            changes: true,
        },
        folder: folder.to_owned(),
        on: None,
        user: Some("root".to_owned()),
        hidden: false,
    }
}

fn acted() -> Record {
    Record::ActionFinished {
        output: json!({"rc": 0}),
        changed: true,
        failed: None,
    }
}

const NEVER: fn(&super::End) -> bool = |_| false;

#[test]
fn what_ended_is_replayed_and_what_was_not_reached_is_new() {
    let cursor = Cursor::new(past(vec![
        ("a@h", acts("f")),
        ("a@h", acted()),
        ("a@h", ended(NodeStatus::Changed)),
    ]));
    assert!(cursor.next("h", "a@h", false, NEVER).unwrap().end.is_some());
    assert_eq!(cursor.done_anew(&["h".to_owned()]), 0);
    assert!(cursor.next("h", "b@h", false, NEVER).is_none());
    assert_eq!(cursor.done_anew(&["h".to_owned()]), 1);
}

#[test]
fn a_failure_is_tried_again_unless_the_run_went_on() {
    let records = || {
        vec![
            ("a@h", acts("f")),
            ("a@h", acted()),
            ("a@h", ended(NodeStatus::Failed)),
        ]
    };
    let cursor = Cursor::new(past(records()));
    assert!(cursor.next("h", "a@h", false, NEVER).is_none());
    let cursor = Cursor::new(past(records()));
    let pass = cursor.next("h", "a@h", false, |_| true).unwrap();
    assert_eq!(pass.end.unwrap().status, NodeStatus::Failed);
}

#[test]
fn a_lost_host_leaves_a_node_cut_off_where_it_was() {
    let cursor = Cursor::new(past(vec![
        ("a@h", acts("f")),
        ("a@h", ended(NodeStatus::Unreachable)),
    ]));
    let pass = cursor.next("h", "a@h", false, NEVER).unwrap();
    assert!(pass.end.is_none());
    assert_eq!(pass.cut_call().unwrap().folder, "f");
    // It was carried on, cut off again, and came to its end.
    let more = past(vec![
        ("a@h", acts("f")),
        ("a@h", ended(NodeStatus::Unreachable)),
        ("a@h", acted()),
        ("a@h", ended(NodeStatus::Changed)),
    ]);
    let pass = Cursor::new(more).next("h", "a@h", false, NEVER).unwrap();
    assert_eq!(
        (pass.calls.len(), pass.end.unwrap().status),
        (1, NodeStatus::Changed)
    );
}

#[test]
fn of_a_node_that_was_tried_again_the_last_counts() {
    let past = past(vec![
        ("a@h", ended(NodeStatus::Failed)),
        (
            "",
            Record::RunResumed {
                version: String::new(),
                files: BTreeMap::new(),
            },
        ),
        ("a@h", ended(NodeStatus::Ok)),
    ]);
    let pass = Cursor::new(past).next("h", "a@h", false, NEVER).unwrap();
    assert_eq!(pass.end.unwrap().status, NodeStatus::Ok);
}

#[test]
fn a_handler_has_as_many_passes_as_it_was_begun() {
    let begun = || {
        (
            "x@h",
            Record::HandlerStarted {
                handler: "x".to_owned(),
            },
        )
    };
    let cursor = Cursor::new(past(vec![
        begun(),
        ("x@h", ended(NodeStatus::Ok)),
        begun(),
        ("x@h", acts("f")),
    ]));
    assert!(cursor.next("h", "x@h", true, NEVER).unwrap().end.is_some());
    // What has begun in one walk is another matter in the next.
    let other = cursor.fork();
    for walk in [&cursor, &other] {
        assert!(walk.next("h", "x@h", true, NEVER).unwrap().end.is_none());
        assert!(walk.next("h", "x@h", true, NEVER).is_none());
    }
}

#[test]
fn writes_that_carry_on_keep_the_first_state_before() {
    let past = past(vec![
        ("a@h", writes("/x", "before")),
        ("a@h", writes("/x", "half")),
        ("a@h", written()),
        ("a@h", writes("/y", "before y")),
    ]);
    let pass = Cursor::new(past).next("h", "a@h", false, NEVER).unwrap();
    let changes: Vec<(String, Json)> = pass
        .changes()
        .into_iter()
        .map(|c| (c.key.id, c.from))
        .collect();
    assert_eq!(
        changes,
        [
            ("/x".to_owned(), json!("before")),
            ("/y".to_owned(), json!("before y"))
        ]
    );
    assert_eq!(pass.cut_write().unwrap().changes[0].key.id, "/y");
}

#[test]
fn what_comes_after_something_new_is_due_again_where_it_is_said() {
    let cursor = Cursor::new(past(vec![
        ("b/always/0@h", ended(NodeStatus::Ok)),
        ("b/always2@h", ended(NodeStatus::Ok)),
    ]));
    cursor.again(&["h".to_owned()], "b/always");
    assert!(cursor.next("h", "b/always/0@h", false, NEVER).is_none());
    assert!(cursor.next("h", "b/always2@h", false, NEVER).is_some());
}

#[test]
fn folders_of_commands_that_gave_their_result_may_go() {
    let past = past(vec![
        ("a@h", acts("f")),
        ("a@h", acted()),
        ("b@h", acts("g")),
    ]);
    let place = ("h".to_owned(), Some("root".to_owned()));
    assert_eq!(past.folders()[&place], ["f"]);
    assert_eq!((past.calls("h", "a@h"), past.calls("h", "c@h")), (1, 0));
}
