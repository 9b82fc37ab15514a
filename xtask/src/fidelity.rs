//! How far a check tells the truth: playbooks are checked and run, and both are compared task by task.

use anyhow::{Result, ensure};
use runbook_fidelity::{Options, Place, measure};

use crate::run::{built_for_long, say};

/// Check and run many playbooks, and compare what was said with what was done.
#[derive(clap::Args)]
pub struct Args {
    /// The seed of the first generated playbook; those that follow have the next ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many playbooks are generated
    #[arg(long, default_value_t = 1000)]
    playbooks: usize,
    /// How many generated playbooks of files Ansible is called with, too
    #[arg(long, default_value_t = 25)]
    ansible: usize,
    /// Only parts whose name has this in it: corpus, lab, upgrade, generated, ansible
    #[arg(long, default_value = "")]
    filter: String,
    /// With the prediction of this kind switched off, to see that it is missed: `file`, `container`, …
    #[arg(long, value_name = "KIND")]
    without: Option<String>,
    /// How many playbooks with a wrong prediction are made small for the report
    #[arg(long, default_value_t = 3)]
    shown: usize,
}

/// Measures, prints the figures; an error where a prediction was wrong or too many were not made.
pub fn run(args: &Args) -> Result<()> {
    let programs = built_for_long(&["runbook", "runbook-fidelity"])?;
    let options = Options {
        seed: args.seed,
        playbooks: args.playbooks,
        ansible: args.ansible,
        filter: args.filter.clone(),
        shown: args.shown,
        until_wrong: false,
    };
    let mut place = Place::new(programs.join("runbook"));
    let links = tempfile::tempdir()?;
    if let Some(kind) = &args.without {
        let unpredicting = programs.join("runbook-unpredicting");
        place = place.without(kind, &unpredicting, links.path())?;
    }
    let report = measure(&options, &place, say)?;
    say(&report.table());
    for text in &report.open {
        say(&format!("open: {text}"));
    }
    for text in &report.otherwise {
        say(&format!("under an assumption, and otherwise: {text}"));
    }
    for (what, why) in &report.skipped {
        say(&format!("skipped: {what}: {why}"));
    }
    report.is_good()?;
    ensure!(
        report.skipped.is_empty(),
        "{} parts were not measured; --filter says that only some are wanted",
        report.skipped.len()
    );
    Ok(())
}
