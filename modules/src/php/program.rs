//! The kind `php`: what the `php` command of a host says of itself, and of a php.ini that it is shown. Read only.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runbook_engine::host::{HostError, Probe, ReadCommand};
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::command::program::{changed, may_become};
use crate::file::FileKind;
use crate::file::state::Content;

/// The kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Php;

/// A `php` command, and the content of a php.ini to be judged by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhpKey {
    /// Its name, looked up as a shell does, or its path.
    pub program: String,
    /// What it is to judge.
    #[serde(default)]
    pub candidate: Option<Content>,
}

impl std::fmt::Display for PhpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.program)?;
        match &self.candidate {
            Some(content) => write!(f, "#{}", &hex::encode(Sha256::digest(&content.0))[..16]),
            None => Ok(()),
        }
    }
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhpSays {
    /// `8.2.29`.
    pub version: String,
    /// Where it looks for extensions, unless php.ini says otherwise.
    pub extension_dir: String,
    /// Is it built for threads? Its extensions have to be, too.
    pub thread_safe: bool,
    /// The extensions that are built into it, in small letters.
    pub built_in: Vec<String>,
    /// Of the candidate: why it does not read it to its end.
    pub refuses: Option<String>,
}

/// Does not rest on an extension: `json` is one on some systems. It runs from PHP 5.3 on.
const CODE: &str = r#"
$ini = base64_decode(stream_get_contents(STDIN));
echo PHP_VERSION, "\n", PHP_EXTENSION_DIR, "\n", PHP_ZTS ? "yes" : "no", "\n";
echo strtolower(implode(",", get_loaded_extensions())), "\n";
if ($ini !== "" && @parse_ini_string($ini) === false) {
    $why = error_get_last();
    echo $why ? trim($why["message"]) : "it cannot be parsed", "\n";
}
"#;

/// The status where there is no such program.
const MISSING: i32 = 44;
const SCRIPT: &str = r#"command -v "$1" >/dev/null 2>&1 || exit 44; exec "$1" -n -r "$2""#;

#[async_trait]
impl ReadKind for Php {
    type Key = PhpKey;
    /// `None` where there is no such program.
    type State = Option<PhpSays>;

    const NAME: &'static str = "php";

    async fn read(&self, host: &Probe, keys: &[PhpKey]) -> Vec<Result<Self::State, HostError>> {
        let all = keys.iter().map(|key| async move {
            let words = ["sh", "-c", SCRIPT, "php", &key.program, CODE];
            let candidate = key.candidate.as_ref().map(|c| STANDARD.encode(&c.0));
            let command = ReadCommand {
                stdin: Some(candidate.unwrap_or_default().into()),
                ..ReadCommand::new(words)
            };
            let reply = host.command(&command).await?;
            if reply.status == MISSING {
                return Ok(None);
            }
            let said = String::from_utf8_lossy(&reply.stdout);
            understood(&said).map(Some).ok_or_else(|| {
                HostError::failed(format!(
                    "{} does not say what it is (status {}): {}",
                    key.program,
                    reply.status,
                    String::from_utf8_lossy(&reply.stderr).trim()
                ))
            })
        });
        futures::future::join_all(all).await
    }

    /// Another program may come with a file, a link or a directory.
    fn touched_by(&self, key: &PhpKey, written: &Ref) -> bool {
        written.kind == FileKind::NAME && may_become(&written.id, &key.program)
    }

    fn predicted(&self, key: &PhpKey, world: &Predicted<'_>) -> Shadow<PhpKey, Self::State> {
        match changed(world, |path| may_become(path, &key.program)) {
            Some(change) => Shadow::Unknown(format!("until \"{}\"", change.task)),
            None => Shadow::AsRead,
        }
    }
}

fn understood(said: &str) -> Option<PhpSays> {
    let mut lines = said.lines();
    let version = lines.next()?.trim();
    let begins = version.starts_with(|c: char| c.is_ascii_digit());
    let extension_dir = lines.next()?.trim();
    let thread_safe = lines.next()?.trim() == "yes";
    let built_in = lines.next()?.split(',').map(str::to_owned).collect();
    let refuses = lines.next().map(str::to_owned);
    begins.then(|| PhpSays {
        version: version.to_owned(),
        extension_dir: extension_dir.to_owned(),
        thread_safe,
        built_in,
        refuses,
    })
}
