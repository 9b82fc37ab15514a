//! Encrypt files with another password.

use std::path::PathBuf;

use runbook_engine::run::exit;

use super::file;
use crate::passwords::{self, VaultArgs};
use crate::report;

/// Encrypt files with another password.
#[derive(clap::Args)]
pub struct Args {
    /// The files
    #[arg(required = true)]
    files: Vec<String>,
    #[command(flatten)]
    vault: VaultArgs,
    /// The new password: LABEL@FILE, LABEL@PROGRAM or LABEL@prompt
    #[arg(long, value_name = "LABEL@SOURCE")]
    new_vault_id: Option<String>,
    /// The new password is in this file, or is what this program prints
    #[arg(long, value_name = "FILE")]
    new_vault_password_file: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<u8> {
    let ring = args.vault.keyring_or_ask()?;
    let texts = file::open_all(&args.files, &ring)?;
    let key = passwords::new_key(
        args.new_vault_id.as_deref(),
        args.new_vault_password_file.as_deref(),
    )?;
    for (name, plain) in args.files.iter().zip(&texts) {
        let sealed = key.seal(plain).map_err(anyhow::Error::msg)?;
        file::write(name, sealed.to_text().as_bytes())?;
        if name != file::STANDARD {
            report::note(&format!("{name} has the new password"));
        }
    }
    Ok(exit::DONE)
}
