//! Which password to encrypt with.

use anyhow::Context as _;
use runbook_engine::vault::{DEFAULT_ID, Key, Keyring};

use crate::passwords::{self, VaultArgs};

/// The password under `label`, else the only one there is, else one that is asked for.
///
/// # Errors
/// There is none under the label, or there are several and no label.
pub fn to_encrypt(vault: &VaultArgs, label: Option<&str>) -> anyhow::Result<Key> {
    let ring = vault.new_keyring()?;
    if let Some(label) = label {
        let known = ids(&ring);
        return ring.key(label).cloned().with_context(|| {
            format!(
                "there is no vault password `{label}` to encrypt with; give it with `--vault-id {label}@FILE`{}",
                if known.is_empty() {
                    String::new()
                } else {
                    format!(" (there are: {})", known.join(", "))
                }
            )
        });
    }
    match ring.keys() {
        [] => passwords::ask_new(DEFAULT_ID),
        [only] => Ok(only.clone()),
        _ => anyhow::bail!(
            "several vault passwords were given ({}); say which one to encrypt with: `--encrypt-vault-id LABEL`",
            ids(&ring).join(", ")
        ),
    }
}

fn ids(ring: &Keyring) -> Vec<String> {
    ring.keys().iter().map(|k| k.id.clone()).collect()
}
