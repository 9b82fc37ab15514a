//! Print what encrypted files hold.

use runbook_engine::run::exit;

use super::file;
use crate::passwords::VaultArgs;

/// Print files decrypted; they stay encrypted.
#[derive(clap::Args)]
pub struct Args {
    /// The files; `-` or none: standard input
    #[arg(default_value = file::STANDARD)]
    files: Vec<String>,
    #[command(flatten)]
    vault: VaultArgs,
}

pub fn run(args: &Args) -> anyhow::Result<u8> {
    let ring = args.vault.keyring_or_ask()?;
    for plain in file::open_all(&args.files, &ring)? {
        file::write(file::STANDARD, &plain)?;
    }
    Ok(exit::DONE)
}
