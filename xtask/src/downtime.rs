//! How long the archive is down in an upgrade: as long as the longer one of its two branches, and its own start.

use anyhow::{Result, ensure};
use runbook_e2e::archive::Archive;
use runbook_lab::{Hosts, Lab};

use crate::needs;
use crate::run::{built_for_long, say};

/// Measure how long the archive is down in an upgrade whose two branches are made to last.
#[derive(clap::Args)]
pub struct Args {
    /// How many seconds longer the directory's branch takes
    #[arg(long, default_value_t = 40)]
    directory: u32,
    /// How many seconds longer the database's branch takes
    #[arg(long, default_value_t = 30)]
    database: u32,
}

/// Measures; an error where it is down for more than a tenth longer.
pub fn run(args: &Args) -> Result<()> {
    needs::install()?;
    let lab = Lab::up(true)?;
    let program = built_for_long(&["runbook"])?.join("runbook");
    let silent: fn(&str) = |_| {};
    let archive = Archive::new(lab.new_site("downtime", Hosts::One)?, program, silent)?;
    let found = archive.is_down(args.directory, args.database)?;
    archive.site().destroy()?;
    let longer = found.directory.max(found.database);
    let most = (longer + found.start) * 1.1;
    say(&format!(
        "down for {:.1} s; the directory's branch took {:.1} s, the database's {:.1} s, the archive's own start {:.1} s: at most {most:.1} s",
        found.down, found.directory, found.database, found.start
    ));
    ensure!(found.down <= most, "it is down for longer than that");
    Ok(())
}
