//! The kind `selinux`: what a host says of its SELinux, and of local rules that it is shown. Read only.

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand};
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fcontext::Fcontext;
use super::rules::{Rule, read};
use crate::command::memory::{IN_MEMORY, NO_MEMORY, nowhere};
use crate::file::FileKind;

/// The kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selinux;

/// A policy of a host, and local rules that it is to judge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyKey {
    /// Its name; `None`: the one that the host's configuration names.
    #[serde(default)]
    pub store: Option<String>,
    /// Beginnings of paths: the policy's own rules of paths that begin so are told.
    #[serde(default)]
    pub stems: Vec<String>,
    /// A whole file of local rules.
    #[serde(default)]
    pub candidate: Option<String>,
}

impl std::fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.store.as_deref().unwrap_or("policy"))?;
        for stem in &self.stems {
            write!(f, " {stem}")?;
        }
        match &self.candidate {
            Some(text) => write!(f, "#{}", &hex::encode(Sha256::digest(text))[..16]),
            None => Ok(()),
        }
    }
}

/// What SELinux does on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing: the kernel runs without it.
    Off,
    /// It tells what it would refuse.
    Permissive,
    /// It refuses.
    Enforcing,
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What it does.
    pub mode: Mode,
    /// The name of the policy; empty where the host has none.
    pub store: String,
    /// Programs that are missing of those that are needed.
    pub missing: Vec<String>,
    /// The local rules, in their order.
    pub local: Vec<Rule>,
    /// Directories whose files are labelled as those of another one are: which, and as which.
    pub equivalences: Vec<(String, String)>,
    /// The policy's own rules of paths that begin as asked.
    pub own: Vec<Rule>,
    /// Of the candidate: why the policy does not take it.
    pub refuses: Option<String>,
}

/// The first word is the name of a policy, or empty; the second `candidate` where one comes on standard input; the others are
/// beginnings of paths, as basic regular expressions.
const SCRIPT: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
store=$1 candidate=$2
shift 2
[ -n "$store" ] || store=$(sed -n 's/^SELINUXTYPE=\([^[:space:]]*\).*/\1/p' /etc/selinux/config 2>/dev/null | tail -n 1)
mode=off
if [ -r /sys/fs/selinux/enforce ]; then
  case $(cat /sys/fs/selinux/enforce) in 1) mode=enforcing;; *) mode=permissive;; esac
fi
c=/etc/selinux/$store/contexts/files
echo "mode $mode"
[ -n "$store" ] && [ -r "$c/file_contexts" ] && echo "store $store" || exit 0
for name in semanage setfiles chcon; do command -v "$name" >/dev/null 2>&1 || echo "missing $name"; done
echo '== local'
cat "$c/file_contexts.local" 2>/dev/null
echo '== subs'
cat "$c/file_contexts.subs" "$c/file_contexts.subs_dist" 2>/dev/null
echo '== own'
for stem do cat "$c/file_contexts" "$c/file_contexts.homedirs" 2>/dev/null | grep "^$stem"; done
[ "$candidate" = candidate ] || exit 0
in_memory
ln -s "$c/file_contexts" "$folder/c" && cat > "$folder/c.local" || exit 45
policy=$(ls /etc/selinux/"$store"/policy/policy.* 2>/dev/null | sort -t . -k 2n | tail -n 1)
[ -n "$policy" ] && command -v setfiles >/dev/null 2>&1 || exit 0
said=$(setfiles -c "$policy" "$folder/c" 2>&1) || { echo '== refuses'; printf '%s\n' "$said"; }
"#;

#[async_trait]
impl ReadKind for Selinux {
    type Key = PolicyKey;
    type State = Policy;

    const NAME: &'static str = "selinux";

    async fn read(&self, host: &Probe, keys: &[PolicyKey]) -> Vec<Result<Policy, HostError>> {
        let all = keys.iter().map(|key| async move {
            let store = key.store.as_deref().unwrap_or_default();
            let candidate = key.candidate.as_ref().map_or("", |_| "candidate");
            let script = format!("{IN_MEMORY}{SCRIPT}");
            let mut argv: Vec<String> = ["sh", "-c", &script, "selinux", store, candidate]
                .map(str::to_owned)
                .to_vec();
            argv.extend(key.stems.iter().map(|stem| as_written(stem)));
            let command = ReadCommand {
                stdin: key.candidate.clone().map(Into::into),
                ..ReadCommand::new(argv)
            };
            let reply = host.command(&command).await?;
            if reply.status == NO_MEMORY {
                return Err(nowhere("the new rules"));
            }
            understood(&String::from_utf8_lossy(&reply.stdout)).ok_or_else(|| {
                HostError::failed(format!(
                    "what the host says of SELinux cannot be understood (status {}): {}",
                    reply.status,
                    String::from_utf8_lossy(&reply.stderr).trim()
                ))
            })
        });
        futures::future::join_all(all).await
    }

    fn touched_by(&self, _: &PolicyKey, written: &Ref) -> bool {
        written.kind == Fcontext::NAME
            || (written.kind == FileKind::NAME && contains("/etc/selinux", &written.id))
    }

    fn predicted(&self, _: &PolicyKey, world: &Predicted<'_>) -> Shadow<PolicyKey, Policy> {
        let written = |change: &&runbook_engine::world::PredictedChange| {
            change.key.kind == FileKind::NAME && contains("/etc/selinux", &change.key.id)
        };
        if let Some(change) = world.changes.iter().rev().find(written) {
            return Shadow::Unknown(format!("until \"{}\"", change.task));
        }
        if world.of::<Fcontext>().next().is_some() {
            return Shadow::Over(None);
        }
        Shadow::AsRead
    }

    /// The local rules as they will be.
    fn over(&self, key: &PolicyKey, read: Policy, world: &Predicted<'_>) -> Result<Policy, String> {
        let mut policy = read;
        for (changed, _, to, task) in world.of::<Fcontext>() {
            if changed.store != policy.store && key.store.as_ref() != Some(&changed.store) {
                continue;
            }
            let to = to.ok_or_else(|| format!("until \"{task}\""))?;
            super::rules::set(
                &mut policy.local,
                &changed.target,
                changed.sort,
                to.context.as_deref(),
            );
        }
        Ok(policy)
    }
}

/// A beginning of paths as the policy's rules have it in their expressions, for grep: points are escaped there.
fn as_written(stem: &str) -> String {
    let mut out = String::new();
    for letter in stem.chars() {
        if letter.is_ascii_alphanumeric() || "/_-".contains(letter) || !letter.is_ascii() {
            out.push(letter);
        } else {
            // Whatever stands there.
            break;
        }
    }
    out
}

fn understood(said: &str) -> Option<Policy> {
    let mut parts = said.split("\n== ");
    let about = parts.next()?;
    let after = |begin: &'static str| about.lines().filter_map(move |l| l.strip_prefix(begin));
    let mode = match after("mode ").next()? {
        "off" => Mode::Off,
        "permissive" => Mode::Permissive,
        _ => Mode::Enforcing,
    };
    let mut policy = Policy {
        mode,
        store: after("store ").next().unwrap_or_default().to_owned(),
        missing: after("missing ").map(str::to_owned).collect(),
        local: Vec::new(),
        equivalences: Vec::new(),
        own: Vec::new(),
        refuses: None,
    };
    for part in parts {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        match name {
            "local" => policy.local = read(text),
            "subs" => {
                let pair = |line: &str| {
                    let line = line.trim();
                    let mut words = line.split_whitespace();
                    let first = words.next().filter(|w| !w.starts_with('#'))?;
                    Some((first.to_owned(), words.next()?.to_owned()))
                };
                policy.equivalences = text.lines().filter_map(pair).collect();
            }
            "own" => policy.own = read(text),
            "refuses" => policy.refuses = Some(text.trim().to_owned()),
            _ => return None,
        }
    }
    Some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says() {
        let said = "mode off\nstore default\nmissing semanage\n== local\n# made\n/srv/a    x:y:z:s0\n== subs\n# made\n/bin /usr/bin\n\n== own\n\
                    == refuses\nno\n";
        let policy = understood(said).unwrap();
        assert_eq!(policy.mode, Mode::Off);
        assert_eq!(policy.store, "default");
        assert_eq!(policy.missing, ["semanage"]);
        assert_eq!(policy.local.len(), 1);
        assert_eq!(
            policy.equivalences,
            [("/bin".to_owned(), "/usr/bin".to_owned())]
        );
        assert_eq!(policy.refuses.as_deref(), Some("no"));
        assert_eq!(understood("mode off\n").unwrap().store, "");
        assert_eq!(understood("sh: no\n"), None);
    }
}
