//! The kind `httpd`: what the server program of a host says of itself, and of a configuration that it is shown. Read only.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand};
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::command::memory::{IN_MEMORY, NO_MEMORY, nowhere};
use crate::command::program::{changed, may_become};
use crate::file::FileKind;
use crate::file::state::Content;

/// The kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Httpd;

/// A server program, and a configuration to be judged by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpdKey {
    /// Its name or path; `None`: the one that is there, under its usual names.
    #[serde(default)]
    pub program: Option<String>,
    /// What it is to judge.
    #[serde(default)]
    pub candidate: Option<Candidate>,
}

/// A configuration to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The whole of it in one file.
    pub text: Content,
    /// The directory that paths in it begin at.
    pub server_root: String,
    /// Names that the command line defines.
    pub defines: Vec<String>,
}

impl std::fmt::Display for HttpdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.program.as_deref().unwrap_or("httpd"))?;
        match &self.candidate {
            Some(candidate) => {
                let digest = Sha256::new()
                    .chain_update(&candidate.text.0)
                    .chain_update(candidate.defines.join(" "));
                write!(f, "#{}", &hex::encode(digest.finalize())[..16])
            }
            None => Ok(()),
        }
    }
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpdSays {
    /// The name under which it was found.
    pub program: String,
    /// `2.4.62`.
    pub version: String,
    /// The directory that relative paths begin at, unless its configuration says otherwise.
    pub server_root: String,
    /// Its first file of configuration.
    pub config_file: String,
    /// The files of the modules that are built into it: `mod_so.c`.
    pub built_in: Vec<String>,
    /// The variables that it is started with, as far as Debian's `envvars` says.
    pub environment: BTreeMap<String, String>,
    /// Of the candidate: why it does not start with it, as it says it.
    pub refuses: Option<String>,
}

/// The names under which it is found, on Debian, on Red Hat, and where it was built from its source.
const NAMES: [&str; 4] = [
    "apache2",
    "httpd",
    "/usr/local/apache2/bin/httpd",
    "/usr/local/apache/bin/httpd",
];

/// The status where there is no such program.
const MISSING: i32 = 44;

/// The first word is the directory for the candidate on standard input, or empty, the second the names that are defined for it; the
/// others are names of the program. It
/// takes a configuration from a regular file alone: the candidate gets one in memory ([`IN_MEMORY`]).
const SCRIPT: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
root=$1 flags=
for name in $2; do flags="$flags -D $name"; done
shift 2
program=
for name do
  command -v "$name" >/dev/null 2>&1 && { program=$name; break; }
done
[ -n "$program" ] || exit 44
envvars=
case $program in *apache2) [ ! -r /etc/apache2/envvars ] || envvars=/etc/apache2/envvars;; esac
echo "program $program"
"$program" -V 2>/dev/null
"$program" -l 2>/dev/null
echo environment
[ -z "$envvars" ] || env -i PATH="$PATH" sh -c '. "$1"; env' sh "$envvars"
[ -n "$root" ] || exit 0
[ -z "$envvars" ] || . "$envvars"
in_memory
cat > "$folder/candidate" || exit 45
said=$("$program" $flags -t -d "$root" -f "$folder/candidate" 2>&1) || printf 'refused\n%s\n' "$said"
"#;

#[async_trait]
impl ReadKind for Httpd {
    type Key = HttpdKey;
    /// `None` where there is no such program.
    type State = Option<HttpdSays>;

    const NAME: &'static str = "httpd";

    async fn read(&self, host: &Probe, keys: &[HttpdKey]) -> Vec<Result<Self::State, HostError>> {
        let all = keys.iter().map(|key| async move {
            let (stdin, root) = match &key.candidate {
                Some(candidate) => (candidate.text.0.clone(), candidate.server_root.as_str()),
                None => (Vec::new(), ""),
            };
            let defines = key.candidate.iter().flat_map(|c| &c.defines);
            let defines: Vec<&str> = defines.map(String::as_str).collect();
            let script = format!("{IN_MEMORY}{SCRIPT}");
            let words = ["sh", "-c", &script, "httpd", root, &defines.join(" ")];
            let mut argv: Vec<String> = words.map(str::to_owned).to_vec();
            match &key.program {
                Some(program) => argv.push(program.clone()),
                None => argv.extend(NAMES.map(str::to_owned)),
            }
            let command = ReadCommand {
                stdin: Some(stdin.into()),
                ..ReadCommand::new(argv)
            };
            let reply = host.command(&command).await?;
            match reply.status {
                MISSING => return Ok(None),
                NO_MEMORY => return Err(nowhere("the new configuration")),
                _ => {}
            }
            let says = understood(&String::from_utf8_lossy(&reply.stdout));
            says.map(Some).ok_or_else(|| {
                HostError::failed(format!(
                    "the server program does not say what it is (status {}): {}",
                    reply.status,
                    String::from_utf8_lossy(&reply.stderr).trim()
                ))
            })
        });
        futures::future::join_all(all).await
    }

    fn touched_by(&self, key: &HttpdKey, written: &Ref) -> bool {
        written.kind == FileKind::NAME && is_program(&written.id, key)
    }

    fn predicted(&self, key: &HttpdKey, world: &Predicted<'_>) -> Shadow<HttpdKey, Self::State> {
        match changed(world, |path| is_program(path, key)) {
            Some(change) => Shadow::Unknown(format!("until \"{}\"", change.task)),
            None => match named(key, world).next_back() {
                Some((path, task)) => Shadow::Over(Some(format!(
                    "the server takes {path} as \"{task}\" leaves it"
                ))),
                None => Shadow::AsRead,
            },
        }
    }

    /// What the server misses now, and finds then, is no reason.
    fn over(
        &self,
        key: &HttpdKey,
        read: Self::State,
        world: &Predicted<'_>,
    ) -> Result<Self::State, String> {
        let mut says = read;
        if let Some(says) = &mut says {
            let misses = says.refuses.take_if(|why| {
                named(key, world).any(|(path, _)| {
                    let name = path.rsplit('/').next().unwrap_or(path);
                    why.contains(name)
                })
            });
            drop(misses);
        }
        Ok(says)
    }
}

/// The files and directories that the candidate names and that are predicted to be others: path and task.
fn named<'a>(
    key: &'a HttpdKey,
    world: &'a Predicted<'_>,
) -> impl DoubleEndedIterator<Item = (&'a str, &'a str)> {
    let candidate = key.candidate.as_ref().map(|c| {
        (
            String::from_utf8_lossy(&c.text.0),
            c.server_root.trim_end_matches('/'),
        )
    });
    let changes = world
        .changes
        .iter()
        .filter(|c| c.key.kind == FileKind::NAME);
    changes.filter_map(move |change| {
        let (text, root) = candidate.as_ref()?;
        let path = change.key.id.trim_end_matches('/');
        let below_root = path.strip_prefix(root).and_then(|r| r.strip_prefix('/'));
        let is_named = text.contains(path) || below_root.is_some_and(|r| text.contains(r));
        is_named.then_some((path, change.task.as_str()))
    })
}

/// Would it be another program if something were written there?
fn is_program(path: &str, key: &HttpdKey) -> bool {
    match &key.program {
        Some(program) => may_become(path, program),
        None => NAMES.iter().any(|name| may_become(path, name)),
    }
}

fn understood(said: &str) -> Option<HttpdSays> {
    let (said, refuses) = match said.split_once("\nrefused\n") {
        Some((said, why)) => (said, Some(why.to_owned())),
        None => (said, None),
    };
    let (about, environment) = said.split_once("\nenvironment\n").unwrap_or((said, ""));
    let after = |begin: &str| {
        let line = about.lines().find_map(|l| l.trim().strip_prefix(begin));
        line.map(|l| l.trim_matches('"').to_owned())
    };
    let version = after("Server version: ")?;
    let version = version.split_once('/')?.1;
    let version = version.split_whitespace().next()?.to_owned();
    let modules = about.lines().map(str::trim).filter(|l| l.ends_with(".c"));
    let variables = environment.lines().filter_map(|l| l.split_once('='));
    let own = variables.filter(|(name, _)| name.starts_with("APACHE") || *name == "LANG");
    Some(HttpdSays {
        program: after("program ")?,
        version,
        server_root: after("-D HTTPD_ROOT=").unwrap_or_default(),
        config_file: after("-D SERVER_CONFIG_FILE=").unwrap_or_default(),
        built_in: modules.map(str::to_owned).collect(),
        environment: own.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        refuses,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says() {
        let said = "program apache2\nServer version: Apache/2.4.62 (Debian)\nServer's Module Magic Number: 20120211:141\n \
             -D HTTPD_ROOT=\"/etc/apache2\"\n -D SERVER_CONFIG_FILE=\"apache2.conf\"\nCompiled in modules:\n  core.c\n  \
             mod_so.c\nenvironment\nPATH=/bin\nAPACHE_RUN_DIR=/run/apache2\n";
        let says = understood(said).unwrap();
        assert_eq!(says.program, "apache2");
        assert_eq!(says.version, "2.4.62");
        assert_eq!(says.server_root, "/etc/apache2");
        assert_eq!(says.config_file, "apache2.conf");
        assert_eq!(says.built_in, ["core.c", "mod_so.c"]);
        assert_eq!(says.environment.len(), 1);
        assert_eq!(understood("program x\nusage: x\n"), None);
    }
}
