//! Shows the product: everything a person would want to see before trusting it, each state confirmed by another program.

use anyhow::Result;

use crate::needs;
use crate::run::{root, run as command, say};

/// Make the lab and show the product on it.
#[derive(clap::Args)]
pub struct Args {
    /// Do not ask before installing and starting things
    #[arg(short, long)]
    yes: bool,
}

pub fn run(args: &Args) -> Result<()> {
    say(
        "This installs Debian packages that are missing and works in a folder of its own below the system's temporary folder.",
    );
    needs::install(!args.yes)?;
    command("cargo", &["build", "--package", "runbook", "--quiet"])?;
    let _ = root();
    Ok(())
}
