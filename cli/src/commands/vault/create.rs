//! Make a new encrypted file.

use std::path::Path;

use anyhow::ensure;
use runbook_engine::run::exit;

use super::{editor, keys};
use crate::passwords::VaultArgs;
use crate::report;

/// Write a new file in your editor (`VISUAL`, `EDITOR`, else vi) and encrypt it. What you write lies only in a private
/// folder, which is removed afterwards.
#[derive(clap::Args)]
pub struct Args {
    /// The file; nothing may stand there yet
    file: String,
    #[command(flatten)]
    vault: VaultArgs,
    /// Encrypt with the password of this label, where several were given
    #[arg(long, value_name = "LABEL")]
    encrypt_vault_id: Option<String>,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let name = &args.file;
    free(name)?;
    let key = keys::to_encrypt(&args.vault, args.encrypt_vault_id.as_deref())?;
    let Some(edited) = editor::edited(name, b"").await? else {
        report::note(&format!("interrupted; {name} was not made"));
        return Ok(exit::INTERRUPTED);
    };
    if edited.is_empty() {
        report::note(&format!("nothing was written; {name} was not made"));
        return Ok(exit::DONE);
    }
    let sealed = key.seal(&edited).map_err(anyhow::Error::msg)?.to_text();
    editor::written(name, &sealed, free(name))?;
    report::note(&format!("{name} is made and encrypted"));
    Ok(exit::DONE)
}

fn free(name: &str) -> anyhow::Result<()> {
    ensure!(
        Path::new(name).symlink_metadata().is_err(),
        "{name} is there already; `runbook vault edit` opens an encrypted file, `runbook vault encrypt` encrypts one"
    );
    Ok(())
}
