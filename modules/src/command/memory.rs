//! A private folder in the host's memory, for what one of its programs shall judge before anything is written.

use runbook_engine::host::HostError;

/// The status of a script that finds no such folder.
pub const NO_MEMORY: i32 = 45;

/// A function of the shell, `in_memory`: makes `$folder`, which no other user can look into, and which goes when the script ends.
/// Called in the script's own shell, not in one below it.
pub const IN_MEMORY: &str = r#"in_memory() {
  umask 077
  folder=
  for memory in /dev/shm /run; do
    [ -d "$memory" ] && folder=$(mktemp -d "$memory/runbook-XXXXXX" 2>/dev/null) && break
  done
  [ -n "$folder" ] || exit 45
  trap 'rm -rf "$folder"' EXIT
  trap 'exit 99' HUP INT TERM
}
"#;

/// What it means: `what` (in the plural) cannot be judged.
#[must_use]
pub fn nowhere(what: &str) -> HostError {
    HostError::failed(format!(
        "{what} cannot be tried: neither /dev/shm nor /run can be written to"
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn it_is_private_and_goes_with_the_script() {
        let script =
            format!("{IN_MEMORY}in_memory; stat -c %a \"$folder\"; echo \"$folder\"; exit 7");
        let said = Command::new("sh")
            .args(["-c", &script])
            .output()
            .expect("a shell");
        assert_eq!(said.status.code(), Some(7));
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let (mode, folder) = text.trim().split_once('\n').expect("two lines");
        assert_eq!(mode, "700");
        assert!(!std::path::Path::new(folder).exists(), "{folder}");
    }
}
