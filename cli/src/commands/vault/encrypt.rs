//! Encrypt files.

use anyhow::ensure;
use runbook_engine::run::exit;
use runbook_engine::vault::is_vault;

use super::{file, keys};
use crate::passwords::VaultArgs;
use crate::report;

/// Encrypt files in place, or from standard input to standard output.
#[derive(clap::Args)]
pub struct Args {
    /// The files; `-` or none: standard input
    #[arg(default_value = file::STANDARD)]
    files: Vec<String>,
    #[command(flatten)]
    vault: VaultArgs,
    /// Encrypt with the password of this label, where several were given
    #[arg(long, value_name = "LABEL")]
    encrypt_vault_id: Option<String>,
    /// Write to this file (`-`: standard output); the file that was read stays as it is
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
}

pub fn run(args: &Args) -> anyhow::Result<u8> {
    let destinations = file::destinations(&args.files, args.output.as_deref())?;
    let mut texts = Vec::new();
    for name in &args.files {
        let bytes = file::read(name)?;
        ensure!(
            !is_vault(&bytes),
            "{} is encrypted already; `runbook vault rekey` gives it another password",
            file::shown(name)
        );
        texts.push(bytes);
    }
    let key = keys::to_encrypt(&args.vault, args.encrypt_vault_id.as_deref())?;
    for (bytes, destination) in texts.iter().zip(destinations) {
        let sealed = key.seal(bytes).map_err(anyhow::Error::msg)?;
        file::write(destination, sealed.to_text().as_bytes())?;
        if destination != file::STANDARD {
            report::note(&format!("{destination} is encrypted"));
        }
    }
    Ok(exit::DONE)
}
