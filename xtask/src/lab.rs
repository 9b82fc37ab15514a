//! The lab by hand.

use std::io::{IsTerminal as _, Write as _};
use std::process::Command;

use clap::Subcommand;
use runbook_lab::{Hosts, Lab};

/// What to do with the lab.
#[derive(Subcommand)]
pub enum Args {
    /// Makes the lab with the sites st-anna and st-josef; what is there already stays, and is started where it does not run
    Up {
        /// Install missing packages and start Docker without asking
        #[arg(long, short)]
        yes: bool,
        /// Replace the sites by fresh ones
        #[arg(long)]
        fresh: bool,
    },
    /// Removes everything that the lab has made
    Down,
    /// Opens a shell on a host
    Shell {
        /// The site
        #[arg(default_value = "st-anna")]
        site: String,
        /// The host; default: the site's first
        host: Option<String>,
    },
    /// Shows the lab's hosts
    Status,
}

/// Does it.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match args {
        Args::Up { yes, fresh } => {
            let lab = Lab::up(*yes)?;
            for (name, hosts) in [("st-anna", Hosts::One), ("st-josef", Hosts::Three)] {
                match lab.site(name) {
                    Ok(site) if !*fresh => site.wake()?,
                    _ => drop(lab.new_site(name, hosts)?),
                }
            }
            show(&lab.status()?)
        }
        Args::Down => Lab::down(),
        Args::Shell { site, host } => {
            let site = Lab::here().site(site)?;
            let first = site.hosts.first().map_or("", |h| h.name.as_str());
            let host = site.host(host.as_deref().unwrap_or(first))?;
            // Commands may also come from a file.
            let input = if std::io::stdin().is_terminal() {
                "-it"
            } else {
                "-i"
            };
            let status = Command::new("docker")
                .args(["exec", input, &site.container(host), "bash", "-l"])
                .status()?;
            anyhow::ensure!(status.success(), "the shell ended with {status}");
            Ok(())
        }
        Args::Status => show(&Lab::here().status()?),
    }
}

fn show(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
