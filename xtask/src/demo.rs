//! Shows the product on the lab: check, run, second run, damages mended, a bad image and the archive before it back, a
//! playbook with mistakes. Each state is confirmed by other programs, whose commands and answers are printed.

use anyhow::{Result, ensure};
use runbook_e2e::archive::Archive;
use runbook_lab::{Hosts, Lab};

use crate::needs;
use crate::run::{run as command, say, target};

/// Make the lab and show the product on it.
#[derive(clap::Args)]
pub struct Args {
    /// Do not ask before installing and starting things
    #[arg(short, long)]
    yes: bool,
}

/// Does it; an error where what is shown is not so.
pub fn run(args: &Args) -> Result<()> {
    say(
        "This makes the lab in .lab/: containers of this machine that play the hosts of a site. It starts a Docker daemon \
         where none runs, and builds images from Debian's packages.\n\
         `cargo xtask lab down` removes all of it, except the packages that it installs now:",
    );
    say(&needs::announcement());
    ensure!(args.yes || needs::agreed(), "nothing was done");
    needs::install()?;
    command("cargo", &["build", "--package", "runbook", "--quiet"])?;
    let lab = Lab::up(true)?;
    say("\n== A fresh site, set up by hand with the old versions");
    let site = lab.new_site("demo", Hosts::One)?;
    let outcome =
        Archive::new(site, target().join("debug/runbook"), say).and_then(|archive| show(&archive));
    match &outcome {
        Ok(()) => say("\nEverything was as it should be."),
        Err(error) => say(&format!("\nNot as it should be: {error:#}")),
    }
    outcome
}

fn show(archive: &Archive) -> Result<()> {
    say("\n== The check says what would change, and changes nothing");
    let check = archive.check_changes_nothing()?;
    say("\n== The run does exactly that");
    let (_, done) = archive.run_does_what_the_check_said(&check)?;
    archive.branches_overlap()?;
    say("\n== A second run changes nothing");
    archive.second_run_is_quiet(&done)?;
    say("\n== Damages, done with other programs, are found and mended");
    archive.damages_are_mended(&done)?;
    say("\n== A bad image: the archive before it comes back");
    archive.bad_image_goes_back()?;
    say("\n== A playbook with mistakes stops before any host is touched");
    archive.mistakes_stop_at_once()
}
