//! Decrypt files.

use runbook_engine::run::exit;

use super::file;
use crate::passwords::VaultArgs;
use crate::report;

/// Decrypt files in place, or from standard input to standard output.
#[derive(clap::Args)]
pub struct Args {
    /// The files; `-` or none: standard input
    #[arg(default_value = file::STANDARD)]
    files: Vec<String>,
    #[command(flatten)]
    vault: VaultArgs,
    /// Write to this file (`-`: standard output); the file that was read stays encrypted
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
}

pub fn run(args: &Args) -> anyhow::Result<u8> {
    let destinations = file::destinations(&args.files, args.output.as_deref())?;
    let ring = args.vault.keyring_or_ask()?;
    // All are decrypted before the first is written: a wrong password leaves all as they were.
    let texts = file::open_all(&args.files, &ring)?;
    for (plain, destination) in texts.iter().zip(destinations) {
        file::write(destination, plain)?;
        if destination != file::STANDARD {
            report::note(&format!("{destination} is decrypted"));
        }
    }
    Ok(exit::DONE)
}
