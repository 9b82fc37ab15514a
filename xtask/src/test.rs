//! Tests everything.

use anyhow::{Result, ensure};
use runbook_lab::Lab;

use crate::downtime;
use crate::needs;
use crate::part::Part;
use crate::rows;
use crate::run::{built_for_long, has, run as command, say};
use crate::skipped::Skipped;

/// Test everything: formatting, lints, tests.
#[derive(clap::Args)]
pub struct Args {
    /// The long matrices too
    #[arg(long)]
    all: bool,
    /// Of these, the first, second, … of so many parts, as `1/3`. The parts of one commit together are all; the last one judges
    /// the steps of the guides
    #[arg(long, requires = "all", value_name = "N/M")]
    part: Option<Part>,
}

pub fn run(args: &Args) -> Result<()> {
    needs::install()?;
    let skipped = Skipped::new()?;
    // The tests that need the lab say by name that they are skipped where it is not up.
    if let Err(why) = Lab::up(true) {
        say(&format!("the lab cannot be had here: {why:#}"));
        skipped.add("the lab", &format!("{why:#}"))?;
    } else {
        needs::compose_plugin()?;
    }
    let outcome = formatted().and_then(|()| tests(args, &skipped.variable()));
    // Named whatever the outcome is, as the last that is said. All is all: nothing may be skipped then.
    outcome.and(skipped.end(args.all))
}

fn formatted() -> Result<()> {
    command("cargo", &["fmt", "--all", "--check"])?;
    command(
        "cargo",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    command("cargo", &["build", "--workspace", "--bins", "--quiet"])
}

fn tests(args: &Args, skipped: &str) -> Result<()> {
    let (program, journals);
    let mut words = vec![skipped];
    let anew = args.part.is_none_or(Part::is_first);
    let folder = args.all.then(|| rows::folder_of(anew)).transpose()?;
    if let Some(part) = args.part {
        ensure!(
            has("cargo-nextest"),
            "parts are made by cargo-nextest, which is not here"
        );
        part.follows()?;
    }
    let of_tests = args.part.map(Part::of_tests);
    if let Some(folder) = &folder {
        say("with the long matrices (RUNBOOK_LONG=1)");
        words.extend(["RUNBOOK_LONG=1", "RUNBOOK_REQUIRE=1"]);
        program = format!(
            "RUNBOOK_PROGRAM={}",
            built_for_long(&["runbook"])?.join("runbook").display()
        );
        words.push(&program);
        journals = rows::variable(folder);
        words.push(&journals);
    }
    words.push("cargo");
    let side_by_side = side_by_side().to_string();
    match (has("cargo-nextest"), args.all) {
        (true, false) => words.extend(["nextest", "run", "--status-level", "fail"]),
        (true, true) => {
            words.extend(["nextest", "run", "--profile", "long"]);
            words.extend(["--status-level", "slow", "--test-threads", &side_by_side]);
        }
        (false, _) => words.push("test"),
    }
    words.extend(["--workspace", "--no-fail-fast"]);
    words.extend(of_tests.as_deref());
    command("env", &words)?;
    let Some(folder) = folder else {
        return Ok(());
    };
    if let Some(part) = args.part {
        part.passed()?;
        if !part.is_last() {
            return Ok(());
        }
    }
    // They measure time, and so stand alone.
    downtime::run(&downtime::Args::default())?;
    rows::judge(&folder)
}

/// How many of the long matrices run at once: they wait for servers for a good part of their time.
fn side_by_side() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from) + 1
}
