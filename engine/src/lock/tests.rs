use std::sync::Arc;

use serde_json::Value as Json;

use super::{Blocked, Claim, Controller, Holder, Trace};

/// A holder of which one field is another; `process/start` names a field within a field.
fn with(holder: &Holder, field: &str, value: Json) -> Holder {
    let mut all = serde_json::to_value(holder).unwrap();
    *all.pointer_mut(&format!("/{field}")).unwrap() = value;
    serde_json::from_value(all).unwrap()
}

fn here(run: &str) -> Holder {
    Holder::here(run, "runbook play x.yaml")
}

/// Its process has ended; another has its number by now.
fn gone(run: &str) -> Holder {
    with(&here(run), "process/start", 1.into())
}

/// From another machine.
fn elsewhere(run: &str) -> Holder {
    let other = with(&here(run), "process/boot", "other".into());
    with(&other, "process/id", "other".into())
}

fn claim(holder: Holder) -> Claim {
    Claim {
        holder,
        succeeds: Vec::new(),
        from_afar: true,
        inventory: vec!["sites.yaml".to_owned()],
    }
}

fn controller(folder: &std::path::Path) -> Arc<Controller> {
    Arc::new(Controller::open(folder).unwrap())
}

#[test]
fn a_process_is_known_by_its_boot_its_number_and_its_start() {
    let me = here("r");
    assert_eq!(me.trace(), Trace::Runs);
    assert_eq!(gone("r").trace(), Trace::Gone);
    assert_eq!(with(&me, "pid", 4_194_304.into()).trace(), Trace::Gone);
    // This machine before its restart.
    assert_eq!(
        with(&me, "process/boot", "other".into()).trace(),
        Trace::Gone
    );
    // A container of the same kernel.
    assert_eq!(
        with(&me, "process/ns", "pid:[1]".into()).trace(),
        Trace::Elsewhere
    );
    assert_eq!(elsewhere("r").trace(), Trace::Elsewhere);
    // A machine that was cloned, before its restart.
    let clone = with(&me, "machine", "other".into());
    let clone = with(&clone, "process/boot", "other".into());
    assert_eq!(clone.trace(), Trace::Elsewhere);
    assert_eq!(
        with(&me, "process/boot", "".into()).trace(),
        Trace::Elsewhere
    );
}

#[test]
fn one_that_has_ended_and_is_not_waited_for_is_gone() {
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let start: u64 = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(19)
        .unwrap()
        .parse()
        .unwrap();
    let holder = with(&here("r"), "pid", child.id().into());
    let holder = with(&holder, "process/start", start.into());
    assert_eq!(holder.trace(), Trace::Runs);
    child.kill().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    assert_eq!(holder.trace(), Trace::Gone);
    child.wait().unwrap();
    assert_eq!(holder.trace(), Trace::Gone);
}

#[test]
fn it_fits_into_a_link_and_cannot_move_the_cursor() {
    let holder = Holder::here("20261121-120000-abcd", &"\u{fe}\n\u{1b}[2J".repeat(400));
    assert!(holder.text().len() < 1000, "{}", holder.text().len());
    assert!(!holder.command.contains(char::is_control));
    assert_eq!(Holder::read(&holder.text()), Some(holder.clone()));
    let evil = with(&holder, "user", "\u{1b}]0;x\u{7}".into());
    let shown = Holder::read(&evil.text()).unwrap().to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert_eq!(Holder::read("nothing of the kind"), None);
}

#[test]
fn who_takes_over_from_whom() {
    let mut own = claim(here("r2"));
    let takes = |claim: &Claim, held: &Holder, touched| claim.takes_over(held, touched);
    assert!(!takes(&own, &here("r1"), false), "it works");
    assert!(!takes(&own, &here("r2"), true), "this run works already");
    assert!(takes(&own, &gone("r1"), false), "it has changed nothing");
    assert!(!takes(&own, &gone("r1"), true), "it was cut off half way");
    assert!(takes(&own, &gone("r2"), true), "the run is resumed");
    assert!(!takes(&own, &elsewhere("r1"), false));
    assert!(
        takes(&own, &elsewhere("r2"), true),
        "the run is resumed from here"
    );
    own.succeeds.push("r1".to_owned());
    assert!(takes(&own, &gone("r1"), true), "the run is taken back");
    assert!(!takes(&own, &elsewhere("r1"), true));
    own.from_afar = false;
    assert!(!takes(&own, &elsewhere("r2"), true));
}

#[test]
fn all_or_none_and_given_back_when_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let one = controller(dir.path());
    let two = controller(dir.path());
    let held = one
        .take(&names(&["a", "b"]), &claim(here("r1")))
        .unwrap()
        .unwrap();
    let refused = two.take(&names(&["c", "b"]), &claim(here("r2"))).unwrap();
    let blocked = refused.err().unwrap();
    assert_eq!(blocked.len(), 1);
    assert_eq!(blocked[0].unit, "b");
    assert_eq!(
        two.list().unwrap().len(),
        2,
        "`c` was taken although `b` is held"
    );
    assert_eq!(
        two.look(&names(&["b"]), &claim(here("r2"))).unwrap(),
        blocked
    );
    let other = two
        .take(&names(&["c"]), &claim(here("r2")))
        .unwrap()
        .unwrap();
    drop(held);
    let left: Vec<String> = two.list().unwrap().into_iter().map(|l| l.unit).collect();
    assert_eq!(left, ["c"]);
    drop(other);
    assert_eq!(one.list().unwrap(), []);
}

#[test]
fn of_many_that_take_over_one_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let dead = controller(dir.path());
    let unit = ["site".to_owned()];
    std::mem::forget(dead.take(&unit, &claim(gone("r0"))).unwrap().unwrap());
    let won = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|n| {
                let (dir, unit) = (dir.path(), &unit);
                scope.spawn(move || {
                    let taken = controller(dir).take(unit, &claim(here(&format!("r{}", n + 1))));
                    taken.unwrap().map(std::mem::forget).is_ok()
                })
            })
            .collect();
        all.into_iter()
            .map(|t| t.join().unwrap())
            .filter(|won| *won)
            .count()
    });
    assert_eq!(won, 1);
}

#[test]
fn a_run_that_was_cut_off_half_way_lets_only_its_successors_in() {
    let dir = tempfile::tempdir().unwrap();
    let unit = ["site".to_owned()];
    let controller = controller(dir.path());
    let taken = controller.take(&unit, &claim(gone("r1"))).unwrap().unwrap();
    taken.touched("site").unwrap();
    std::mem::forget(taken);
    assert!(controller.list().unwrap()[0].touched);
    let blocked = controller
        .take(&unit, &claim(here("r2")))
        .unwrap()
        .err()
        .unwrap();
    let text = blocked[0].to_string();
    for part in [
        "site is locked by",
        "run r1",
        "cut off",
        "resume r1",
        "rollback r1",
        "unlock site",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let resumed = controller.take(&unit, &claim(here("r1"))).unwrap().unwrap();
    assert_eq!(resumed.notes.len(), 1);
    assert!(
        controller.list().unwrap()[0].touched,
        "it is no less half done"
    );
    std::mem::forget(resumed);
    let line = controller.list().unwrap().remove(0);
    assert_eq!(line.inventory, ["sites.yaml"]);
    assert!(controller.remove(&line).unwrap());
    assert!(!controller.remove(&line).unwrap());
}

#[test]
fn the_message_names_host_holder_and_remedy() {
    let of = |holder: Holder, host: Option<&str>| {
        Blocked {
            unit: "st-anna".to_owned(),
            host: host.map(str::to_owned),
            holder: Ok(Box::new(holder)),
        }
        .to_string()
    };
    let works = of(here("r1"), Some("pacs1"));
    for part in [
        "st-anna is locked on pacs1 by ",
        "@",
        "run r1",
        "runbook play x.yaml",
        "Wait",
    ] {
        assert!(works.contains(part), "{part}: {works}");
    }
    let afar = of(elsewhere("r1"), None);
    assert!(
        afar.contains("cannot be seen from here") && afar.contains("runbook unlock st-anna"),
        "{afar}"
    );
    let foreign = Blocked {
        unit: "h".to_owned(),
        host: Some("h".to_owned()),
        holder: Err("something of the user x stands at /y".to_owned()),
    };
    assert!(
        foreign
            .to_string()
            .starts_with("h is locked: something of the user x stands at /y")
    );
}
