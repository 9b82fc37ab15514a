//! Files as `runbook vault` reads and writes them: whole or not at all.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use runbook_engine::vault::{Envelope, Key, Keyring, is_vault};
use zeroize::Zeroizing;

use crate::report;

/// The name of standard input and standard output.
pub const STANDARD: &str = "-";

/// The bytes of a file, or of standard input.
///
/// # Errors
/// It cannot be read.
pub fn read(name: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    if name != STANDARD {
        let bytes = std::fs::read(name).with_context(|| format!("{name} cannot be read"))?;
        return Ok(Zeroizing::new(bytes));
    }
    if std::io::stdin().is_terminal() {
        report::note("Type the text, and Ctrl-D behind its last line");
    }
    let mut bytes = Zeroizing::new(Vec::new());
    std::io::stdin()
        .read_to_end(&mut bytes)
        .context("standard input cannot be read")?;
    Ok(bytes)
}

/// What a vault holds, and the password that opened it.
///
/// # Errors
/// It is none, or stays shut; with what to do.
pub fn open<'a>(
    name: &str,
    bytes: &[u8],
    ring: &'a Keyring,
) -> anyhow::Result<(Zeroizing<Vec<u8>>, &'a Key, Envelope)> {
    let shown = shown(name);
    ensure!(
        is_vault(bytes),
        "{shown} is not encrypted: it does not begin with `$ANSIBLE_VAULT;`"
    );
    let text = String::from_utf8_lossy(bytes);
    let envelope = Envelope::parse(&text)
        .map_err(|e| anyhow::anyhow!("{shown} cannot be decrypted: {e}; {}", e.help()))?;
    match ring.open(&envelope) {
        Ok((plain, key)) => Ok((plain, key, envelope)),
        Err(e) => bail!("{shown} cannot be decrypted: {e}; {}", e.help()),
    }
}

/// What several vaults hold, in their order; one that stays shut is an error before anything is done with the others.
///
/// # Errors
/// One cannot be read or opened.
pub fn open_all(names: &[String], ring: &Keyring) -> anyhow::Result<Vec<Zeroizing<Vec<u8>>>> {
    let opened = names.iter().map(|name| {
        let (plain, ..) = open(name, &read(name)?, ring)?;
        Ok(plain)
    });
    opened.collect()
}

/// A name as messages show it.
pub fn shown(name: &str) -> &str {
    if name == STANDARD {
        "standard input"
    } else {
        name
    }
}

/// Where the results of some files go: `output`, else each into its own place. Several cannot go into one.
///
/// # Errors
/// There are several, and one output.
pub fn destinations<'a>(
    files: &'a [String],
    output: Option<&'a str>,
) -> anyhow::Result<Vec<&'a str>> {
    match output {
        Some(_) if files.len() > 1 => {
            bail!(
                "`--output` takes the result of one file, and {} were named",
                files.len()
            )
        }
        Some(output) => Ok(vec![output]),
        None => Ok(files.iter().map(String::as_str).collect()),
    }
}

/// Writes a file whole or not at all, or writes to standard output. A file that is there keeps its mode and owner; a
/// new one is for its owner only.
///
/// # Errors
/// It cannot be written; what stood there stands there still.
pub fn write(name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    if name == STANDARD {
        return report::data(bytes).context("standard output cannot be written");
    }
    // A link stays one: what it points to is written.
    let path = Path::new(name);
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let before = std::fs::metadata(&target).ok();
    let (beside, mut file) =
        beside(&target).with_context(|| format!("{name} cannot be written"))?;
    let written =
        fill(&mut file, bytes, before.as_ref()).and_then(|()| std::fs::rename(&beside, &target));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&beside);
        return Err(error).with_context(|| format!("{name} cannot be written; it is as it was"));
    }
    // The new name is on the disk, too, where the folder can be flushed.
    if let Some(folder) = target.parent().and_then(|f| File::open(f).ok()) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn fill(file: &mut File, bytes: &[u8], before: Option<&Metadata>) -> std::io::Result<()> {
    file.write_all(bytes)?;
    if let Some(before) = before {
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
            std::os::unix::fs::fchown(&*file, Some(before.uid()), Some(before.gid()))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(before.mode() & 0o7777))?;
    }
    file.sync_all()
}

/// A new file beside a path, for its owner only.
fn beside(target: &Path) -> std::io::Result<(PathBuf, File)> {
    let name = target
        .file_name()
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
    for number in 0..100_u32 {
        let own = format!(
            ".{}.runbook-{}-{number}~",
            name.to_string_lossy(),
            std::process::id()
        );
        let path = target.with_file_name(own);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
        {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists))
}
