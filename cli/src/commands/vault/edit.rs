//! Edit an encrypted file.

use runbook_engine::run::exit;

use super::{editor, file};
use crate::passwords::VaultArgs;
use crate::report;

/// Edit an encrypted file. It is decrypted into a private folder for the editor (`VISUAL`, `EDITOR`, else vi), which is
/// removed afterwards, and encrypted again with the same password.
#[derive(clap::Args)]
pub struct Args {
    /// The file
    file: String,
    #[command(flatten)]
    vault: VaultArgs,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let name = &args.file;
    let ring = args.vault.keyring_or_ask()?;
    let before = file::read(name)?;
    let (plain, key, _) = file::open(name, &before, &ring)?;
    let Some(edited) = editor::edited(name, &plain).await? else {
        report::note(&format!("interrupted; {name} is as it was"));
        return Ok(exit::INTERRUPTED);
    };
    if *edited == *plain {
        report::note(&format!("{name} is as it was"));
        return Ok(exit::DONE);
    }
    let sealed = key.seal(&edited).map_err(anyhow::Error::msg)?.to_text();
    let may = match file::read(name) {
        Ok(now) if *now != *before => Err(anyhow::anyhow!(
            "somebody else has changed {name} meanwhile; it was not written over"
        )),
        _ => Ok(()),
    };
    editor::written(name, &sealed, may)?;
    report::note(&format!("{name} is changed and encrypted"));
    Ok(exit::DONE)
}
