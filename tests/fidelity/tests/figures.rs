//! A sample of the figures, all of them with `RUNBOOK_LONG=1`: no wrong prediction, and few that were not made.

use std::path::Path;

use anyhow::{Result, ensure};
use runbook_e2e::{program, skip, tell};
use runbook_fidelity::{
    NOT_COUNTED, Options, Place, corpus, each_alone, generate_files, measure, of_script,
};

fn is_long() -> bool {
    std::env::var_os("RUNBOOK_LONG").is_some_and(|v| v == "1")
}

fn measured(filter: &str, playbooks: usize, ansible: usize) -> Result<()> {
    let options = Options {
        seed: 1,
        playbooks,
        ansible,
        filter: filter.to_owned(),
        shown: 3,
        until_wrong: false,
    };
    let report = measure(&options, &Place::new(program()?), tell)?;
    for (what, why) in &report.skipped {
        skip(&format!("fidelity: {what}"), why);
    }
    tell(&report.table());
    report.is_good()
}

#[test]
fn generated_playbooks_do_what_their_check_has_said() -> Result<()> {
    measured("generated", if is_long() { 1000 } else { 20 }, 0)
}

#[test]
fn the_corpus_does_what_its_check_has_said() -> Result<()> {
    measured("corpus", 0, 0)
}

#[test]
fn the_corpus_on_the_lab_does_what_its_check_has_said() -> Result<()> {
    if is_long() {
        measured("lab", 0, 0)?;
        measured("upgrade", 0, 0)?;
    }
    Ok(())
}

#[test]
fn ansible_is_measured_beside_it() -> Result<()> {
    measured("ansible", 0, if is_long() { 25 } else { 1 })
}

/// Debug, set_fact and assert do not count; each module that comes has to bring its cases.
#[test]
fn every_module_has_a_case_in_the_corpus() -> Result<()> {
    let modules = corpus::modules(&Place::new(program()?))?;
    let written = corpus::written(&modules)?;
    let counted: Vec<_> = written
        .iter()
        .filter(|(module, _)| !NOT_COUNTED.contains(&module.as_str()))
        .collect();
    let missing: Vec<_> = counted.iter().filter(|(_, count)| *count == 0).collect();
    assert!(missing.is_empty(), "no case of {missing:?}");
    let all: usize = counted.iter().map(|(_, count)| count).sum();
    assert!(all >= 120, "{all} tasks");
    let after = corpus::after_what_is_not_ours()?;
    assert!(
        after * 5 >= all,
        "{after} of {all} come after what is not ours to know"
    );
    Ok(())
}

/// With the prediction of one of these kinds switched off, a part in which nothing was wrong is told wrongly.
fn wrong_without(part: &str, kinds: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place::new(program()?);
    let unpredicting = Path::new(env!("CARGO_BIN_EXE_runbook-unpredicting"));
    let mut unseen = Vec::new();
    for kind in kinds {
        let options = Options {
            seed: 1,
            playbooks: 0,
            ansible: 0,
            filter: part.to_owned(),
            shown: 0,
            until_wrong: true,
        };
        let place = place.without(kind, unpredicting, folder.path())?;
        let report = measure(&options, &place, tell)?;
        if let Some((what, why)) = report.skipped.first() {
            skip(&format!("fidelity without {kind}: {what}"), why);
            continue;
        }
        let wrong = report.rows.iter().map(|(_, f)| f.wrong).sum::<usize>();
        tell(&format!("without the prediction of {kind}: {wrong} wrong"));
        if wrong == 0 {
            unseen.push(*kind);
        }
    }
    ensure!(
        unseen.is_empty(),
        "nothing is wrong without that of {}",
        unseen.join(", ")
    );
    Ok(())
}

/// Each takes half a minute.
#[test]
fn without_the_prediction_of_a_kind_the_comparison_fails() -> Result<()> {
    let kinds = ["file", "listing", "glob", "command-output"];
    wrong_without("corpus", if is_long() { &kinds } else { &kinds[..1] })
}

/// Each takes minutes.
#[test]
fn without_the_prediction_of_a_kind_the_comparison_on_the_lab_fails() -> Result<()> {
    let kinds = [
        "container",
        "image",
        "network",
        "ldap-entry",
        "ldap-schema",
        "ldap-search",
        "pg-schema",
        "pg-facts",
        "pg-database",
        "compose-project",
    ];
    wrong_without("lab", if is_long() { &kinds } else { &[] })
}

/// Every task of a file checked by itself, against the host as it was before, is what a check without a predicted
/// world comes to. The same comparison that finds nothing wrong with ours has to find much wrong with that.
#[test]
fn without_a_predicted_world_the_comparison_fails() -> Result<()> {
    let place = Place::new(program()?);
    for seed in 1..4 {
        let mut script = generate_files(seed);
        // What asks for a register cannot stand alone.
        script
            .tasks
            .retain(|task| !task.to_string().contains("{{ r") && task.get("when").is_none());
        let ours = of_script(&script, false, &place)?;
        ensure!(ours.wrong.is_empty(), "{:#?}", ours.wrong);
        let alone = each_alone(&script, &place)?;
        ensure!(
            !alone.wrong.is_empty(),
            "seed {seed}: no task of {} needs a predicted world",
            script.tasks.len()
        );
    }
    Ok(())
}
