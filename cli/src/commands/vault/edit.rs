//! Edit an encrypted file.

use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use runbook_engine::run::exit;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::file;
use super::scratch::Scratch;
use crate::interrupt::Interrupts;
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
    let scratch = Scratch::new().context("there is no place for the decrypted file")?;
    let path = scratch
        .file(Path::new(name), &plain)
        .context("the decrypted file cannot be written")?;
    let edited = match editor(&path).await? {
        Ended::With(status) if status.success() => std::fs::read(&path)
            .map(Zeroizing::new)
            .context("the editor has left no file; the encrypted file is as it was")?,
        Ended::With(status) => {
            bail!("the editor failed ({status}); {name} is as it was")
        }
        Ended::Interrupted => {
            drop(scratch);
            report::note(&format!("interrupted; {name} is as it was"));
            return Ok(exit::INTERRUPTED);
        }
    };
    if *edited == *plain {
        report::note(&format!("{name} is as it was"));
        return Ok(exit::DONE);
    }
    let text = key.seal(&edited).map_err(anyhow::Error::msg)?.to_text();
    let others = file::read(name).map(|now| *now != *before);
    let written = match others {
        Ok(true) => Err(anyhow::anyhow!(
            "somebody else has changed {name} meanwhile; it was not written over"
        )),
        _ => file::write(name, text.as_bytes()),
    };
    if let Err(error) = written {
        // Nobody types it twice: what was edited is put aside, encrypted.
        let aside = std::env::temp_dir().join(format!(
            "{}.runbook-{}",
            Path::new(name)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy(),
            std::process::id()
        ));
        let kept = file::write(&aside.display().to_string(), text.as_bytes());
        return Err(match kept {
            Ok(()) => error.context(format!(
                "what you have edited lies encrypted in {}",
                aside.display()
            )),
            Err(_) => error,
        });
    }
    report::note(&format!("{name} is changed and encrypted"));
    Ok(exit::DONE)
}

enum Ended {
    With(ExitStatus),
    Interrupted,
}

/// Lets the editor work. Ctrl-C is the editor's business; SIGTERM and SIGHUP end it.
async fn editor(path: &Path) -> anyhow::Result<Ended> {
    let named = |name: &str| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
    let command = named("VISUAL").or_else(|| named("EDITOR"));
    let command = command.unwrap_or_else(|| "vi".to_owned());
    Interrupts::listen().leave();
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut hangups = signal(SignalKind::hangup())?;
    // As git does: the variable may hold arguments, so a shell takes it apart; the path is no part of its text.
    let mut child = Command::new("sh")
        .args(["-c", &format!("exec {command} \"$1\""), "sh"])
        .arg(path)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("the editor `{command}` cannot be started"))?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(Ended::With(status?)),
            _ = interrupts.recv() => {}
            _ = terminations.recv() => break,
            _ = hangups.recv() => break,
        }
    }
    let _ = child.kill().await;
    Ok(Ended::Interrupted)
}
