//! Archives that take the place of what a container mounts, while it is replaced.

use runbook_engine::host::Target;
use runbook_engine::resource::WriteError;
use runbook_engine::transport::quote::word;

use super::state::ContainerWant;

/// Reads an archive from beginning to end: 3 where it cannot be read, 4 where a name in it leads out of the directory, 5 where the
/// directory is a link, of which no copy of what it leads to would be kept. A name may have a line end in it, so they come quoted.
const CHECK: &str = r#"
if [ -L "$p" ]; then exit 5; fi
names=$(LC_ALL=C tar --list --gzip --quoting-style=c --file "$a") || exit 3
if printf '%s\n' "$names" | grep -q -e '^"/' -e '^"\.\./' -e '/\.\./' -e '/\.\."$' -e '^"\.\."$'; then exit 4; fi
"#;

/// The content goes, the archive's comes. Called again after it was cut off, it does the same. What the directory itself is (a
/// mount point, its owner) comes from the archive as far as that can be.
const UNPACK: &str = r#"
mkdir -p "$p" && find "$p/." -mindepth 1 -maxdepth 1 -exec rm -rf {} + &&
tar --extract --gzip --preserve-permissions --numeric-owner --file "$a" --directory "$p" || exit 3
if command -v restorecon >/dev/null 2>&1; then restorecon -R "$p" >/dev/null 2>&1; fi
exit 0
"#;

async fn each(host: &Target, want: &ContainerWant, script: &str) -> Result<(), WriteError> {
    for (path, archive) in &want.unpack {
        let script = format!("p={} a={}\n({script})", word(path), word(archive));
        let reply = host.script(&script, None).await?;
        let why = match reply.status {
            0 => continue,
            4 => format!("{archive} has names in it that lead out of {path}"),
            5 => format!("{path} is a link; name what it leads to"),
            _ => format!(
                "{archive} could not be unpacked into {path}: {}",
                String::from_utf8_lossy(&reply.stderr).trim()
            ),
        };
        return Err(WriteError::failed(why));
    }
    Ok(())
}

/// Asked while the container still runs.
pub(super) async fn check(host: &Target, want: &ContainerWant) -> Result<(), WriteError> {
    each(host, want, CHECK).await
}

/// Done when nothing runs that mounts the directories, and copies of what is in them were made.
pub(super) async fn unpack(host: &Target, want: &ContainerWant) -> Result<(), WriteError> {
    each(host, want, UNPACK).await
}
