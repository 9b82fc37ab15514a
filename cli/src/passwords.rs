//! Vault passwords: from files, from programs that print them, or asked for on the terminal.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use runbook_engine::vault::{DEFAULT_ID, Envelope, Key, Keyring, is_vault};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::interrupt::Interrupts;
use crate::question;

/// What to do where nobody can be asked.
const INSTEAD: &str =
    "give the vault password with `--vault-password-file FILE` or `--vault-id LABEL@FILE`";
/// How a program says that it knows no password of the label that it was asked for.
const UNKNOWN_LABEL: i32 = 2;

/// Where vault passwords come from.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
pub struct VaultArgs {
    /// The vault password is in this file, or is what this program prints (may be given again)
    #[arg(
        long,
        visible_alias = "vault-pass-file",
        value_name = "FILE",
        env = "RUNBOOK_VAULT_PASSWORD_FILE"
    )]
    pub vault_password_file: Vec<PathBuf>,
    /// The vault password of a label: LABEL@FILE, LABEL@PROGRAM, or LABEL@prompt (may be given again)
    #[arg(long, value_name = "LABEL@SOURCE")]
    pub vault_id: Vec<String>,
    /// Ask for the vault password
    #[arg(short = 'J', long, visible_alias = "ask-vault-password")]
    pub ask_vault_pass: bool,
}

/// Where one password comes from.
enum Source {
    File(PathBuf),
    Prompt,
}

impl VaultArgs {
    /// Is anything said?
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.ask_vault_pass || !self.vault_id.is_empty() || !self.vault_password_file.is_empty()
    }

    fn all(&self) -> anyhow::Result<Vec<(String, Source)>> {
        let mut found = Vec::new();
        for text in &self.vault_id {
            found.push(labelled(text)?);
        }
        for file in &self.vault_password_file {
            found.push((DEFAULT_ID.to_owned(), Source::File(file.clone())));
        }
        if self.ask_vault_pass {
            found.push((DEFAULT_ID.to_owned(), Source::Prompt));
        }
        Ok(found)
    }

    /// Reads or asks for all of them, in Ansible's order: those with labels first.
    ///
    /// # Errors
    /// A source does not give a password; which, and why.
    pub fn keyring(&self) -> anyhow::Result<Keyring> {
        self.read(false)
    }

    /// As [`VaultArgs::keyring`]; where no password was given, one is asked for.
    ///
    /// # Errors
    /// As there, and where there is no terminal.
    pub fn keyring_or_ask(&self) -> anyhow::Result<Keyring> {
        let mut ring = self.keyring()?;
        if ring.keys().is_empty() {
            ring.add(ask(DEFAULT_ID)?);
        }
        Ok(ring)
    }

    /// As [`VaultArgs::keyring`]; what is asked for is asked for twice, since something will be encrypted with it.
    ///
    /// # Errors
    /// A source does not give a password, or what was typed twice differs.
    pub fn new_keyring(&self) -> anyhow::Result<Keyring> {
        self.read(true)
    }

    fn read(&self, new: bool) -> anyhow::Result<Keyring> {
        let mut ring = Keyring::default();
        for (id, source) in self.all()? {
            let key = match source {
                Source::Prompt if new => ask_new(&id)?,
                Source::Prompt => ask(&id)?,
                Source::File(path) => from_file(&id, &path, &ring)?,
            };
            ring.add(key);
        }
        Ok(ring)
    }
}

/// `LABEL@SOURCE`, or a source without a label.
fn labelled(text: &str) -> anyhow::Result<(String, Source)> {
    let (id, source) = match text.split_once('@') {
        Some((id, source)) if !id.is_empty() => (id, source),
        Some((_, source)) => (DEFAULT_ID, source),
        None => (DEFAULT_ID, text),
    };
    ensure!(
        !source.is_empty(),
        "`--vault-id {text}` names no file; write LABEL@FILE or LABEL@prompt"
    );
    ensure!(
        !id.contains([';', '\n', '\r']) && id.trim() == id,
        "a vault label is a word; `{id}` is none"
    );
    let source = match source {
        "prompt" | "prompt_ask_vault_pass" => Source::Prompt,
        path => Source::File(home(path)),
    };
    Ok((id.to_owned(), source))
}

/// `~/` behind a label is not seen by the shell.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// A password from a file, or from what a program prints.
///
/// # Errors
/// There is none.
pub fn from_file(id: &str, path: &Path, so_far: &Keyring) -> anyhow::Result<Key> {
    let shown = path.display();
    let about = std::fs::metadata(path)
        .with_context(|| format!("the vault password file {shown} cannot be read"))?;
    ensure!(
        !about.is_dir(),
        "the vault password file {shown} is a directory"
    );
    let executable = about.permissions().mode() & 0o111 != 0;
    let password = if executable {
        let printed = printed(id, path)?;
        Zeroizing::new(without_ends(&printed).to_vec())
    } else {
        let bytes = Zeroizing::new(
            std::fs::read(path)
                .with_context(|| format!("the vault password file {shown} cannot be read"))?,
        );
        let bytes = if is_vault(&bytes) {
            let text = String::from_utf8_lossy(&bytes);
            let failed = |what: String| {
                anyhow::anyhow!("the vault password file {shown} cannot be decrypted: {what}")
            };
            let envelope = Envelope::parse(&text).map_err(|e| failed(e.to_string()))?;
            let (plain, _) = so_far.open(&envelope).map_err(|e| failed(e.to_string()))?;
            plain
        } else {
            bytes
        };
        Zeroizing::new(bytes.trim_ascii().to_vec())
    };
    Key::new(id, password)
        .with_context(|| format!("the vault password file {shown} gives an empty password"))
}

fn without_ends(bytes: &[u8]) -> &[u8] {
    let is_end = |b: &u8| matches!(b, b'\r' | b'\n');
    let start = bytes.iter().position(|b| !is_end(b)).unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|b| !is_end(b))
        .map_or(0, |at| at + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// What a program prints. As in Ansible, one whose name ends in `-client` (before an extension) is told the label.
fn printed(id: &str, path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let shown = path.display();
    // A name without a folder is a file here, and not looked up in PATH.
    let program = std::path::absolute(path)?;
    let mut command = Command::new(&program);
    let client = path
        .file_stem()
        .is_some_and(|s| s.to_string_lossy().ends_with("-client"));
    if client {
        command.args(["--vault-id", id]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    let output = command
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .with_context(|| {
            format!(
                "the vault password program {shown} cannot be run (if it is no program, take away its executable bit)"
            )
        })?;
    let printed = Zeroizing::new(output.stdout);
    match output.status.code() {
        Some(0) => Ok(printed),
        Some(UNKNOWN_LABEL) if client => {
            bail!("the vault password program {shown} knows no password of `{id}`")
        }
        _ => bail!(
            "the vault password program {shown} failed: {}",
            output.status
        ),
    }
}

fn ask(id: &str) -> anyhow::Result<Key> {
    let prompt = if id == DEFAULT_ID {
        "Vault password".to_owned()
    } else {
        format!("Vault password ({id})")
    };
    typed(id, &prompt)
}

/// Asks for a new password, twice.
///
/// # Errors
/// There is no terminal, nothing was typed, or the two differ.
pub fn ask_new(id: &str) -> anyhow::Result<Key> {
    let of = if id == DEFAULT_ID {
        String::new()
    } else {
        format!(" ({id})")
    };
    let first = typed(id, &format!("New vault password{of}"))?;
    let again = typed(id, &format!("New vault password{of} once more"))?;
    ensure!(
        first.same_password(&again),
        "the two passwords differ; nothing was encrypted"
    );
    Ok(first)
}

fn typed(id: &str, prompt: &str) -> anyhow::Result<Key> {
    // Ctrl-C gives the terminal back as it was.
    let _ = Interrupts::listen();
    let typed = question::secret(prompt, INSTEAD)?;
    let password = Zeroizing::new(typed.expose().trim().as_bytes().to_vec());
    Key::new(id, password).context("an empty vault password is none")
}

/// A source as `--new-vault-id` and `--new-vault-password-file` name it: a key to encrypt with.
///
/// # Errors
/// It gives no password.
pub fn new_key(vault_id: Option<&str>, file: Option<&Path>) -> anyhow::Result<Key> {
    let (id, source) = match vault_id {
        Some(text) if text.contains('@') || file.is_none() => labelled(text)?,
        // With a file, a bare word is the label.
        Some(label) => (label.to_owned(), Source::Prompt),
        None => (DEFAULT_ID.to_owned(), Source::Prompt),
    };
    match (source, file) {
        (_, Some(path)) => from_file(&id, path, &Keyring::default()),
        (Source::File(path), None) => from_file(&id, &path, &Keyring::default()),
        (Source::Prompt, None) => ask_new(&id),
    }
}
