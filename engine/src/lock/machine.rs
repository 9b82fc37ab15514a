//! The lock on a machine: one symbolic link whose text is its holder.
//!
//! A link is made in one step, with its text, and not where something stands already; nobody follows it, so it leads
//! nowhere. It lies where all users of the machine see it and only its owner and root can remove it, so that two who log
//! in as two users meet. It outlives a restart of the machine, as a run that waits for one does. Its place:
//!
//! ```text
//! $RUNBOOK_LOCK_DIR/.runbook-lock    where the login user's environment names a folder
//! /var/tmp/.runbook-lock             where that is a folder for all users (sticky)
//! /tmp/.runbook-lock                 else
//! ```

use crate::host::{HostError, Probe, Reply, Target};
use crate::transport::quote::word;

use super::Holder;

/// Sets `$l`, its place, and defines `who`, the owner of what stands there.
const PLACE: &str = r#"d=${RUNBOOK_LOCK_DIR:-}; [ -n "$d" ] || { d=/var/tmp; [ -k $d ] && [ -w $d ] || d=/tmp; }; l=$d/.runbook-lock
who() { ls -ld "$l" 2>/dev/null | { read -r m n u r; echo "$u"; }; }"#;

/// What came of trying to take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Took {
    /// It is held now.
    Taken,
    /// Somebody else holds it.
    Held(Found),
}

/// What stands in the place of the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The place on the machine.
    pub place: String,
    /// The user that it belongs to.
    pub owner: String,
    /// Its text; none: it is no link.
    pub text: Option<String>,
}

impl Found {
    /// Who holds it. `Err`: what it is instead, and whose.
    ///
    /// # Errors
    /// It is no lock of this program.
    pub fn holder(&self) -> Result<Holder, String> {
        let holder = self.text.as_deref().and_then(Holder::read);
        let place = self.place.replace(char::is_control, "?");
        let owner = self.owner.replace(char::is_control, "?");
        holder.ok_or_else(|| format!("something of the user {owner} stands at {place}"))
    }
}

/// Takes it. Safe to repeat: who holds it already has it.
///
/// # Errors
/// The machine cannot be reached, or a link cannot be made there.
pub async fn take(target: &Target, text: &str) -> Result<Took, HostError> {
    told(&run(target, &taking(text)).await?, text)
}

/// Takes it over from who is known to be gone. Whoever else is faster keeps it.
///
/// # Errors
/// The machine cannot be reached, or the lock belongs to another user.
pub async fn take_over(target: &Target, from: &Found, text: &str) -> Result<Took, HostError> {
    let old = from.text.as_deref().unwrap_or_default();
    told(&run(target, &taking_over(old, text)).await?, text)
}

fn taking(text: &str) -> String {
    format!("{PLACE}\nn={}\n{TAKE}", word(text))
}

fn taking_over(old: &str, text: &str) -> String {
    // Moved aside in one step, under a name that nobody can have guessed; if it is not the one that was looked at, it
    // goes back. Where it cannot be moved it may be that the same run, under another name of the machine, was faster.
    let aside = hex::encode(rand::random::<[u8; 8]>());
    format!(
        r#"{PLACE}
n={}; o={}; a=$l.{aside}
if [ "$(readlink "$l")" = "$o" ]; then
if e=$(mv "$l" "$a" 2>&1); then
if [ "$(readlink "$a")" = "$o" ]; then ln -sn "$n" "$l" 2>/dev/null; else ln -sn "$(readlink "$a")" "$l" 2>/dev/null; fi
rm -f "$a"
elif [ "$(readlink "$l")" = "$o" ]; then printf '%s\n' "$e" >&2; exit 1; fi
fi
{TAKE}"#,
        word(text),
        word(old)
    )
}

fn removing(text: &str) -> String {
    format!(
        "{PLACE}\nif [ \"$(readlink \"$l\")\" = {} ]; then rm -f \"$l\" || exit 1; echo removed; fi; true",
        word(text)
    )
}

fn looking() -> String {
    format!("{PLACE}\nif [ -L \"$l\" ] || [ -e \"$l\" ]; then {FOUND}\nfi")
}

/// Removes it, if it has this text still. Gives whether it had.
///
/// # Errors
/// The machine cannot be reached, or the lock belongs to another user.
pub async fn remove(target: &Target, text: &str) -> Result<bool, HostError> {
    let reply = run(target, &removing(text)).await?;
    Ok(reply.stdout.starts_with(b"removed"))
}

/// What stands there, if anything does.
///
/// # Errors
/// The machine cannot be reached.
pub async fn look(probe: &Probe) -> Result<Option<Found>, HostError> {
    let command = crate::host::ReadCommand::new(["sh", "-c", &looking()]);
    let reply = probe.command(&command).await?;
    Ok(found(&String::from_utf8_lossy(&reply.stdout)))
}

/// Takes it for `$n` where nothing stands, and says whether `$n` stands there now, or what does.
const TAKE: &str = r#"i=0; while [ $i -lt 20 ]; do i=$((i+1)); t=$(readlink "$l" 2>/dev/null)
if [ "$t" = "$n" ]; then echo taken; exit 0; fi
if [ -n "$t" ]; then printf '%s\n%s\n%s\n' "$l" "$(who)" "$t"; exit 0; fi
if [ -e "$l" ] && [ ! -L "$l" ]; then printf '%s\n%s\n' "$l" "$(who)"; exit 0; fi
ln -sn "$n" "$l" 2>/dev/null
done
ln -sn "$n" "$l""#;
/// Says what stands there.
const FOUND: &str = r#"printf '%s\n%s\n' "$l" "$(who)"; readlink "$l" 2>/dev/null; true"#;

async fn run(target: &Target, script: &str) -> Result<Reply, HostError> {
    let reply = target.repeatable(script, None).await?;
    if reply.status == 0 {
        return Ok(reply);
    }
    let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
    Err(HostError::failed(format!(
        "the lock of the machine cannot be taken or removed: {said}"
    )))
}

fn told(reply: &Reply, own: &str) -> Result<Took, HostError> {
    let text = String::from_utf8_lossy(&reply.stdout);
    if text.trim_end() == "taken" {
        return Ok(Took::Taken);
    }
    let found = found(&text);
    // The same run, under another name of the machine, was a moment faster.
    if found
        .as_ref()
        .is_some_and(|f| f.text.as_deref() == Some(own))
    {
        return Ok(Took::Taken);
    }
    found.map(Took::Held).ok_or_else(|| {
        HostError::failed(format!(
            "the lock of the machine cannot be looked at; the host says: {}",
            text.trim()
        ))
    })
}

fn found(text: &str) -> Option<Found> {
    let mut lines = text.splitn(3, '\n');
    let (place, owner) = (lines.next()?, lines.next()?);
    let text = lines.next().and_then(|t| t.strip_suffix('\n'));
    (!place.is_empty()).then(|| Found {
        place: place.to_owned(),
        owner: owner.to_owned(),
        text: text.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    fn shells() -> Vec<&'static [&'static str]> {
        let all: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "sh"]];
        let (there, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|shell| {
            let found = Command::new(shell[0])
                .args(&shell[1..])
                .args(["-c", "true"])
                .output();
            found.is_ok_and(|o| o.status.success())
        });
        for shell in missing {
            crate::skip::skip(&format!("locks in {shell:?}"), "it is not installed");
        }
        assert!(!there.is_empty());
        there
    }

    fn sh(shell: &[&str], folder: &Path, script: &str) -> Output {
        Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", script])
            .env("RUNBOOK_LOCK_DIR", folder)
            .output()
            .unwrap()
    }

    fn said(output: &Output, own: &str) -> Took {
        assert!(output.status.success(), "{output:?}");
        let reply = Reply {
            status: 0,
            stdout: output.stdout.clone().into(),
            stderr: output.stderr.clone().into(),
        };
        told(&reply, own).unwrap()
    }

    fn held(took: Took) -> Found {
        match took {
            Took::Held(found) => found,
            Took::Taken => panic!("it was taken"),
        }
    }

    #[test]
    fn one_takes_it_and_only_he_gives_it_back() {
        for shell in shells() {
            let dir = tempfile::tempdir().unwrap();
            let run = |script: &str| sh(shell, dir.path(), script);
            let (one, other) = ("{\"run\": \"it's 1\"}", "{\"run\": \"2\"}");
            assert!(found(&String::from_utf8(run(&looking()).stdout).unwrap()).is_none());
            assert_eq!(said(&run(&taking(one)), one), Took::Taken);
            assert_eq!(
                said(&run(&taking(one)), one),
                Took::Taken,
                "again, the answer was lost"
            );
            let there = held(said(&run(&taking(other)), other));
            assert_eq!(there.text.as_deref(), Some(one), "{shell:?}");
            assert_eq!(
                there.place,
                dir.path().join(".runbook-lock").display().to_string()
            );
            let looked = run(&looking());
            assert_eq!(
                found(&String::from_utf8(looked.stdout).unwrap()),
                Some(there)
            );
            assert_eq!(run(&removing(other)).stdout, b"");
            held(said(&run(&taking(other)), other));
            assert_eq!(run(&removing(one)).stdout, b"removed\n");
            assert_eq!(said(&run(&taking(other)), other), Took::Taken);
        }
    }

    #[test]
    fn it_is_taken_over_from_the_one_that_was_looked_at_and_from_no_other() {
        for shell in shells() {
            let dir = tempfile::tempdir().unwrap();
            let run = |script: &str| sh(shell, dir.path(), script);
            assert_eq!(said(&run(&taking("dead")), "dead"), Took::Taken);
            let there = held(said(&run(&taking_over("another", "new")), "new"));
            assert_eq!(there.text.as_deref(), Some("dead"));
            assert_eq!(said(&run(&taking_over("dead", "new")), "new"), Took::Taken);
            let there = held(said(&run(&taking_over("dead", "late")), "late"));
            assert_eq!(there.text.as_deref(), Some("new"), "{shell:?}");
            assert_eq!(
                std::fs::read_dir(dir.path()).unwrap().count(),
                1,
                "something was left"
            );
        }
    }

    /// Whoever may write to the folder can be in the way, and can do no more than that.
    #[test]
    fn what_stands_in_its_place_is_not_touched_and_not_followed() {
        for shell in shells() {
            for what in ["file", "folder", "link to a folder", "link to nothing"] {
                let dir = tempfile::tempdir().unwrap();
                let place = dir.path().join(".runbook-lock");
                let other = tempfile::tempdir().unwrap();
                match what {
                    "file" => std::fs::write(&place, "mine").unwrap(),
                    "folder" => std::fs::create_dir(&place).unwrap(),
                    "link to a folder" => symlink(other.path(), &place).unwrap(),
                    _ => symlink("nothing", &place).unwrap(),
                }
                let run = |script: &str| sh(shell, dir.path(), script);
                let there = held(said(&run(&taking("{}")), "{}"));
                assert!(there.holder().is_err());
                assert_eq!(run(&removing("{}")).stdout, b"");
                let kept = std::fs::symlink_metadata(&place).unwrap();
                assert_eq!(kept.is_dir(), what == "folder");
                assert_eq!(
                    std::fs::read_dir(other.path()).unwrap().count(),
                    0,
                    "{shell:?}: {what}"
                );
            }
        }
    }

    #[test]
    fn of_many_at_once_one_gets_it() {
        for shell in shells() {
            let dir = tempfile::tempdir().unwrap();
            let took = std::thread::scope(|scope| {
                let all: Vec<_> = (0..12)
                    .map(|n| {
                        scope.spawn({
                            let dir = dir.path();
                            move || {
                                let own = format!("run {n}");
                                said(&sh(shell, dir, &taking(&own)), &own)
                            }
                        })
                    })
                    .collect();
                let all = all.into_iter().map(|t| t.join().unwrap());
                all.filter(|t| *t == Took::Taken).count()
            });
            assert_eq!(took, 1, "{shell:?}");
        }
    }

    /// Hosts that are one machine go on at once with a run that was cut off.
    #[test]
    fn of_one_run_all_take_it_over() {
        for shell in shells() {
            for _ in 0..10 {
                let dir = tempfile::tempdir().unwrap();
                let dead = sh(shell, dir.path(), &taking("dead"));
                assert_eq!(said(&dead, "dead"), Took::Taken);
                std::thread::scope(|scope| {
                    for _ in 0..6 {
                        let dir = dir.path();
                        scope.spawn(move || {
                            let took = said(&sh(shell, dir, &taking_over("dead", "on")), "on");
                            assert_eq!(took, Took::Taken, "{shell:?}");
                        });
                    }
                });
                assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
            }
        }
    }

    /// Hosts of one run that are one machine come at once: none of them takes the run's own lock for another's.
    #[test]
    fn of_one_run_all_get_it() {
        for shell in shells() {
            for _ in 0..10 {
                let dir = tempfile::tempdir().unwrap();
                std::thread::scope(|scope| {
                    for _ in 0..8 {
                        let dir = dir.path();
                        scope.spawn(move || {
                            let took = said(&sh(shell, dir, &taking("one run")), "one run");
                            assert_eq!(took, Took::Taken, "{shell:?}");
                        });
                    }
                });
            }
        }
    }
}
