//! Encrypt strings.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use runbook_engine::run::exit;
use runbook_engine::vault::Key;
use zeroize::Zeroizing;

use super::{file, keys};
use crate::passwords::VaultArgs;
use crate::question;

/// How far the lines are indented: deeper than any variable that they are pasted behind is likely to be.
const INDENT: &str = "          ";

/// Encrypt strings, to be put into a file of variables.
///
/// What is given as an argument stays in the shell's history: give it on standard input, or let yourself be asked with
/// `-p`.
#[derive(clap::Args)]
pub struct Args {
    /// The strings; `-` or none: standard input
    strings: Vec<String>,
    #[command(flatten)]
    vault: VaultArgs,
    /// Encrypt with the password of this label, where several were given
    #[arg(long, value_name = "LABEL")]
    encrypt_vault_id: Option<String>,
    /// The variable's name, once for each string
    #[arg(short, long, value_name = "NAME")]
    name: Vec<String>,
    /// The name of the variable whose string comes from standard input
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Ask for the string on the terminal
    #[arg(short, long)]
    prompt: bool,
    /// Write to this file (`-`: standard output)
    #[arg(long, value_name = "FILE", default_value = file::STANDARD, hide_default_value = true)]
    output: String,
}

pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut names = args.name.iter().cloned();
    let mut all: Vec<(Option<String>, Zeroizing<Vec<u8>>)> = Vec::new();
    let mut standard = args.stdin_name.is_some() || (args.strings.is_empty() && !args.prompt);
    for text in &args.strings {
        if text == file::STANDARD {
            standard = true;
        } else {
            all.push((names.next(), Zeroizing::new(text.clone().into_bytes())));
        }
    }
    if args.prompt {
        let name = names.next();
        let of = name
            .as_deref()
            .map(|n| format!(" of {n}"))
            .unwrap_or_default();
        let prompt = format!("The string{of}");
        let typed = question::secret(&prompt, "give the string on standard input")?;
        all.push((name, Zeroizing::new(typed.expose().as_bytes().to_vec())));
    }
    if standard {
        let name = args.stdin_name.clone().or_else(|| names.next());
        all.push((name, file::read(file::STANDARD)?));
    }
    ensure!(
        names.next().is_none(),
        "there are more names than strings; each string gets one `--name`"
    );
    for (_, text) in &all {
        std::str::from_utf8(text).context(
            "a string is UTF-8; encrypt other contents as a file, with `runbook vault encrypt`",
        )?;
    }
    let key = keys::to_encrypt(&args.vault, args.encrypt_vault_id.as_deref())?;
    let mut out = String::new();
    for (name, text) in &all {
        out.push_str(&sealed(&key, name.as_deref(), text)?);
    }
    file::write(&args.output, out.as_bytes())?;
    Ok(exit::DONE)
}

/// The lines of a file of variables that hold a text, encrypted.
///
/// # Errors
/// It cannot be encrypted.
pub fn sealed(key: &Key, name: Option<&str>, text: &[u8]) -> anyhow::Result<String> {
    let sealed = key.seal(text).map_err(anyhow::Error::msg)?;
    let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
    let mut out = format!("{name}!vault |\n");
    for line in sealed.to_text().lines() {
        let _ = writeln!(out, "{INDENT}{line}");
    }
    Ok(out)
}
