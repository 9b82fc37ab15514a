//! The kind `fcontext`: one local rule of a host's SELinux policy.

use std::fmt::Write as _;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand, Target};
use runbook_engine::resource::{Change, Kept, KeyedChange, Kind, Reversible, WriteError};
use serde::{Deserialize, Serialize};

use super::rules::{Rule, Sort, read, set};

/// The kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fcontext;

/// Which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FcontextKey {
    /// The name of the policy.
    pub store: String,
    /// The expression.
    pub target: String,
    /// The sort of files that it is for.
    pub sort: Sort,
}

impl std::fmt::Display for FcontextKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.target, self.sort.letter())
    }
}

/// What is known of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FcontextState {
    /// The label that it gives; `None` where there is no such rule.
    pub context: Option<String>,
    /// The rules that come behind it, in their order: of those that find the same path the last one counts.
    #[serde(default)]
    pub behind: Vec<Rule>,
}

/// What is asked of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FcontextWant {
    /// The label that it shall give; `None`: it shall not be there.
    pub context: Option<String>,
    /// Rules that shall come behind it, as far as they are there, where it is made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<Rule>,
}

async fn local(host: &Probe, store: &str) -> Result<Vec<Rule>, HostError> {
    let path = format!("/etc/selinux/{store}/contexts/files/file_contexts.local");
    // A policy that has never had one has no such file.
    let script = r#"[ ! -e "$1" ] || cat -- "$1""#;
    let command = ReadCommand::new(["sh", "-c", script, "rules", &path]);
    let reply = host.command(&command).await?;
    if reply.status != 0 {
        let why = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
        return Err(HostError::failed(format!(
            "the local rules of SELinux cannot be read: {why}"
        )));
    }
    Ok(read(&String::from_utf8_lossy(&reply.stdout)))
}

fn state_in(rules: &[Rule], key: &FcontextKey) -> FcontextState {
    let own = |r: &Rule| r.target == key.target && r.sort == key.sort;
    match rules.iter().position(own) {
        Some(at) => FcontextState {
            context: Some(rules[at].context.clone()),
            behind: rules[at + 1..].to_vec(),
        },
        None => FcontextState::default(),
    }
}

fn shown(context: Option<&String>) -> &str {
    context.map_or("no rule", String::as_str)
}

/// Lines for `semanage import`, which takes them for one transaction.
fn commands(rules: &[Rule], changes: &[KeyedChange<Fcontext>]) -> Result<String, WriteError> {
    let mut lines = String::new();
    let mut add = |verb: &str, target: &str, sort: Sort, context: Option<&str>| {
        let mut line = format!("fcontext -{verb} -f {}", sort.letter());
        match context {
            Some("<<none>>") => line.push_str(" -t <<none>>"),
            Some(context) => {
                let mut parts = context.splitn(4, ':');
                let (user, _, sort_of) = (parts.next(), parts.next(), parts.next());
                let level = parts.next().map(|l| format!(" -r {}", quoted(l)));
                let _ = write!(
                    line,
                    " -s {} -t {}{}",
                    quoted(user.unwrap_or_default()),
                    quoted(sort_of.unwrap_or_default()),
                    level.unwrap_or_default()
                );
            }
            None => {}
        }
        let _ = writeln!(lines, "{line} {}", quoted(target));
    };
    // As the rules are after each of the lines.
    let mut rules = rules.to_vec();
    for change in changes {
        let (key, want) = (&change.key, &change.change.want);
        let now = state_in(&rules, key);
        if now.context != change.change.from.context {
            return Err(WriteError::Moved {
                what: format!("the rule {key}"),
                found: shown(now.context.as_ref()).to_owned(),
            });
        }
        match (&now.context, &want.context) {
            (None, None) => {}
            (Some(_), None) => add("d", &key.target, key.sort, None),
            (Some(_), Some(context)) => add("m", &key.target, key.sort, Some(context)),
            (None, Some(context)) => add("a", &key.target, key.sort, Some(context)),
        }
        set(&mut rules, &key.target, key.sort, want.context.as_deref());
        if now.context.is_some() || want.context.is_none() {
            continue;
        }
        // Those that stood behind it stand there again, in their order.
        let is_there = |rule: &&Rule| rules.contains(rule);
        let behind: Vec<Rule> = want.behind.iter().filter(is_there).cloned().collect();
        for rule in behind {
            add("d", &rule.target, rule.sort, None);
            add("a", &rule.target, rule.sort, Some(&rule.context));
            set(&mut rules, &rule.target, rule.sort, None);
            set(&mut rules, &rule.target, rule.sort, Some(&rule.context));
        }
    }
    Ok(lines)
}

/// A word as `semanage import` cuts its lines: at blanks, and without the double quotes at both ends. There is no escape: a word
/// with a blank or a quote in it cannot be said, and none of ours has one.
fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

#[async_trait]
impl Kind for Fcontext {
    type Key = FcontextKey;
    type State = FcontextState;
    type Want = FcontextWant;

    const NAME: &'static str = "fcontext";

    async fn read(
        &self,
        host: &Probe,
        keys: &[FcontextKey],
    ) -> Vec<Result<FcontextState, HostError>> {
        let mut stores: Vec<&str> = keys.iter().map(|k| k.store.as_str()).collect();
        stores.sort_unstable();
        stores.dedup();
        let all = stores.iter().map(|store| local(host, store));
        let all = futures::future::join_all(all).await;
        let rules_of = |key: &FcontextKey| stores.iter().position(|s| *s == key.store);
        keys.iter()
            .map(|key| match rules_of(key).map(|at| &all[at]) {
                Some(Ok(rules)) => Ok(state_in(rules, key)),
                Some(Err(error)) => Err(HostError::failed(error.to_string())),
                None => Ok(FcontextState::default()),
            })
            .collect()
    }

    fn differences(&self, want: &FcontextWant, read: &FcontextState) -> Vec<String> {
        if want.context == read.context {
            return Vec::new();
        }
        let (now, then) = (shown(read.context.as_ref()), shown(want.context.as_ref()));
        vec![format!("{now} → {then}")]
    }

    fn predict(&self, want: &FcontextWant, from: &FcontextState) -> FcontextState {
        FcontextState {
            context: want.context.clone(),
            behind: match (&want.context, &from.context) {
                (Some(_), Some(_)) => from.behind.clone(),
                (Some(_), None) => want.behind.clone(),
                (None, _) => Vec::new(),
            },
        }
    }

    fn text(&self, key: &FcontextKey, state: &FcontextState) -> Option<String> {
        let rule = |context: &String| format!("{key} {context}\n");
        Some(state.context.as_ref().map(rule).unwrap_or_default())
    }

    fn reversible(&self, _: &Change<FcontextState, FcontextWant>, _: &FcontextKey) -> Reversible {
        Reversible::Yes
    }

    fn back(
        &self,
        _: &FcontextKey,
        change: &Change<FcontextState, FcontextWant>,
    ) -> Option<FcontextWant> {
        Some(FcontextWant {
            context: change.from.context.clone(),
            behind: change.from.behind.clone(),
        })
    }

    /// What comes behind it is others'.
    fn still(
        &self,
        _: &FcontextKey,
        change: &Change<FcontextState, FcontextWant>,
        now: &FcontextState,
    ) -> bool {
        change.to.context == now.context
    }

    fn drifted(
        &self,
        _: &FcontextKey,
        _: Option<&FcontextWant>,
        was: &FcontextState,
        now: &FcontextState,
    ) -> Vec<String> {
        if was.context == now.context {
            return Vec::new();
        }
        let (was, now) = (shown(was.context.as_ref()), shown(now.context.as_ref()));
        vec![format!("{was} → {now}")]
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        let mut stores: Vec<&str> = changes.iter().map(|c| c.key.store.as_str()).collect();
        stores.sort_unstable();
        stores.dedup();
        let Some(store) = stores.pop().filter(|_| stores.is_empty()) else {
            return Err(WriteError::failed(
                "rules of more than one policy in one task",
            ));
        };
        let rules = local(host, store).await?;
        let lines = commands(&rules, changes)?;
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let words = ["semanage", "import", "-S", store].map(runbook_engine::transport::quote::word);
        let script = format!("PATH=$PATH:/usr/sbin:/sbin\n{}", words.join(" "));
        let reply = host.script(&script, Some(lines.into())).await?;
        if reply.status != 0 {
            let why = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
            return Err(WriteError::failed(format!(
                "semanage refuses the rules: {why}"
            )));
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(target: &str, context: &str) -> Rule {
        Rule {
            target: target.to_owned(),
            sort: Sort::All,
            context: context.to_owned(),
        }
    }

    fn change(target: &str, from: Option<&str>, want: FcontextWant) -> KeyedChange<Fcontext> {
        let from = FcontextState {
            context: from.map(str::to_owned),
            behind: Vec::new(),
        };
        KeyedChange {
            key: FcontextKey {
                store: "default".to_owned(),
                target: target.to_owned(),
                sort: Sort::All,
            },
            change: Change {
                to: Fcontext.predict(&want, &from),
                from,
                want,
            },
        }
    }

    #[test]
    fn one_transaction_for_all_rules_of_a_task() {
        let rules = [
            rule("/a", "u:r:a_t:s0"),
            rule("/b", "u:r:b_t:s0"),
            rule("/c", "u:r:c_t:s0"),
        ];
        let to = |context: Option<&str>| FcontextWant {
            context: context.map(str::to_owned),
            behind: Vec::new(),
        };
        let again = FcontextWant {
            context: Some("u:r:z_t:s0:c1".to_owned()),
            behind: vec![rule("/b", "u:r:b_t:s0"), rule("/gone", "u:r:g_t:s0")],
        };
        let changes = [
            change("/a", Some("u:r:a_t:s0"), to(Some("u:r:x_t:s0"))),
            change("/c", Some("u:r:c_t:s0"), to(None)),
            change("/new", None, again),
            change("/none", None, to(Some("<<none>>"))),
        ];
        assert_eq!(
            commands(&rules, &changes).unwrap(),
            "fcontext -m -f a -s \"u\" -t \"x_t\" -r \"s0\" \"/a\"\nfcontext -d -f a \"/c\"\nfcontext -a -f a -s \"u\" -t \"z_t\" -r \"s0:c1\" \
             \"/new\"\nfcontext -d -f a \"/b\"\nfcontext -a -f a -s \"u\" -t \"b_t\" -r \"s0\" \"/b\"\nfcontext -a -f a -t <<none>> \
             \"/none\"\n"
        );
        let moved = [change("/a", None, to(Some("u:r:x_t:s0")))];
        assert!(matches!(
            commands(&rules, &moved),
            Err(WriteError::Moved { .. })
        ));
    }
}
