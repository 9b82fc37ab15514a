//! How long the archive is down in an upgrade: as long as the longer one of its two branches, and its own start. And how long
//! the largest of its updates of the directory takes over a slow line.

use std::time::Duration;

use anyhow::{Result, ensure};
use runbook_e2e::archive::Archive;
use runbook_e2e::realdata;
use runbook_lab::{Hosts, Lab};

use crate::needs;
use crate::run::{built_for_long, say};

/// Measure how long the archive is down in an upgrade whose two branches are made to last.
#[derive(clap::Args)]
pub struct Args {
    /// How many seconds longer the directory's branch takes
    #[arg(long, default_value_t = Self::default().directory)]
    directory: u32,
    /// How many seconds longer the database's branch takes
    #[arg(long, default_value_t = Self::default().database)]
    database: u32,
    /// How long a round trip takes on the line over which the records go, in milliseconds
    #[arg(long, default_value_t = Self::default().round_trip)]
    round_trip: u64,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            directory: 40,
            database: 30,
            round_trip: 100,
        }
    }
}

/// The 322 records of 5.31.2 may take so many seconds on a line of 100 ms.
const RECORDS: f64 = 5.0;

/// Measures; an error where it is down for more than a tenth longer.
pub fn run(args: &Args) -> Result<()> {
    needs::install()?;
    let lab = Lab::up(true)?;
    let program = built_for_long(&["runbook"])?.join("runbook");
    let silent: fn(&str) = |_| {};
    let archive = Archive::new(
        lab.new_site("downtime", Hosts::One)?,
        program.clone(),
        silent,
    )?;
    let found = archive.is_down(args.directory, args.database)?;
    archive.site().destroy()?;
    let longer = found.directory.max(found.database);
    let most = (longer + found.start) * 1.1;
    say(&format!(
        "down for {:.1} s; the directory's branch took {:.1} s, the database's {:.1} s, the archive's own start {:.1} s: at most {most:.1} s",
        found.down, found.directory, found.database, found.start
    ));
    let data = realdata("downtime", "");
    if let Some(data) = &data {
        let archive = Archive::new(lab.new_site("downtime", Hosts::One)?, program, silent)?;
        archive.becomes_real(data)?;
        let records = archive.takes_records(&lab, Duration::from_millis(args.round_trip))?;
        archive.site().destroy()?;
        say(&format!(
            "the 322 records of 5.31.2, {} changes, took {:.1} s at {} ms a round trip, the whole call {:.1} s",
            records.changes, records.task, args.round_trip, records.call
        ));
        ensure!(
            records.task <= RECORDS || args.round_trip > 100,
            "that is more than {RECORDS} s"
        );
    }
    ensure!(found.down <= most, "it is down for longer than that");
    ensure!(
        data.is_some(),
        "the real data are not here (realdata in `shared` beside the project), so the records of 5.31.2 were not measured"
    );
    Ok(())
}
