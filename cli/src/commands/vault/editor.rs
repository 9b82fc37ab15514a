//! Lets a person edit what is encrypted: in their editor, in a private folder, which goes afterwards.

use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::file;
use super::scratch::Scratch;
use crate::interrupt::Interrupts;

/// What the person has made of `plain`, the content of the file `name`. `None`: interrupted.
///
/// # Errors
/// There is no place for it, the editor does not start or fails, or has left no file.
pub async fn edited(name: &str, plain: &[u8]) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
    let scratch = Scratch::new().context("there is no place for the decrypted file")?;
    let path = scratch
        .file(Path::new(name), plain)
        .context("the decrypted file cannot be written")?;
    match editor(&path).await? {
        Ended::With(status) if status.success() => {
            let bytes = std::fs::read(&path);
            let bytes = bytes.context("the editor has left no file; nothing was written")?;
            Ok(Some(Zeroizing::new(bytes)))
        }
        Ended::With(status) => bail!("the editor failed ({status}); nothing was written"),
        Ended::Interrupted => Ok(None),
    }
}

/// Writes what was edited, encrypted, where `may` allows it. Nobody types it twice: what cannot be written is put aside.
///
/// # Errors
/// It was not written; where it lies is said.
pub fn written(name: &str, sealed: &str, may: anyhow::Result<()>) -> anyhow::Result<()> {
    let Err(error) = may.and_then(|()| file::write(name, sealed.as_bytes())) else {
        return Ok(());
    };
    let own = Path::new(name).file_name().unwrap_or_default();
    let own = format!("{}.runbook-{}", own.to_string_lossy(), std::process::id());
    let aside = std::env::temp_dir().join(own);
    Err(
        match file::write(&aside.display().to_string(), sealed.as_bytes()) {
            Ok(()) => error.context(format!(
                "what you have edited lies encrypted in {}",
                aside.display()
            )),
            Err(_) => error,
        },
    )
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
