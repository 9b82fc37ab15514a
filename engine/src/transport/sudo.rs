//! Becoming another user through sudo.
//!
//! The password goes to sudo's input and nowhere else. Whether sudo will take it is not known beforehand (a rule may say
//! NOPASSWD), so the program that runs under it first throws away what is left of it: it says that it is there, and
//! skips lines up to a mark. Only one password is ever tried: a second question of sudo ends it, since accounts get
//! locked by repeated mistakes.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::carrier::{Meter, Process};
use super::quote::word;
use crate::host::HostError;
use crate::value::Secret;

/// What sudo asks with, so that its question is told from everything else.
const QUESTION: &str = "runbook-asks-for-the-sudo-password:";
/// What the program under sudo says, and what ends the lines it skips.
const READY: &str = "runbook-is-ready";
/// Directory servers behind PAM can be slow.
const DEADLINE: Duration = Duration::from_secs(60);

/// The command line that runs `inner` (words, quoted) as the user.
pub(super) fn command_line(user: &str, inner: &str, password: bool) -> String {
    // LANGUAGE keeps sudo's own messages in English without touching the locale of what runs.
    let user = word(user);
    if password {
        let skip = format!(
            "echo {READY}; while IFS= read -r l; do if [ \"$l\" = {READY} ]; then break; fi; done; exec \"$@\""
        );
        format!("env LANGUAGE=C sudo -H -S -p '{QUESTION}' -u {user} -- sh -c '{skip}' sh {inner}")
    } else {
        format!("env LANGUAGE=C sudo -H -n -u {user} -- {inner}")
    }
}

/// Gives the password and waits until the program runs.
pub(super) async fn hand_over(
    process: &mut Process,
    password: &Secret,
    host: &str,
    user: &str,
    meter: &Meter,
) -> Result<(), HostError> {
    let ticket = meter.ask();
    let line = zeroize::Zeroizing::new(format!("{}\n", password.expose()));
    // If sudo has ended already, its message says why.
    let _ = process.stdin.write_all(line.as_bytes()).await;
    let _ = process.stdin.flush().await;
    let mut out = Vec::new();
    let mut err = Vec::new();
    let waiting = async {
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            tokio::select! {
                read = process.stdout.read_buf(&mut out), if out_open => {
                    out_open = !matches!(read, Ok(0) | Err(_));
                }
                read = process.stderr.read_buf(&mut err), if err_open => {
                    err_open = !matches!(read, Ok(0) | Err(_));
                }
            }
            if out.split(|b| *b == b'\n').any(|l| l == READY.as_bytes()) {
                return Ok(true);
            }
            let said = String::from_utf8_lossy(&err);
            if said.matches(QUESTION).count() > 1 {
                return Err(refused(host, user, "sudo refused the password"));
            }
        }
        Ok(false)
    };
    let ready = tokio::time::timeout(DEADLINE, waiting).await;
    meter.answered(ticket);
    match ready {
        Ok(Ok(true)) => {
            let mark = format!("{READY}\n");
            let sent = process.stdin.write_all(mark.as_bytes()).await;
            sent.map_err(|e| HostError::Lost(format!("{host}: the connection was lost: {e}")))
        }
        Ok(Ok(false)) => {
            let said = String::from_utf8_lossy(&err).replace(QUESTION, "");
            Err(explain(host, user, &said).unwrap_or_else(|| {
                HostError::Lost(format!(
                    "{host}: the connection was lost while sudo was asked"
                ))
            }))
        }
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(refused(
            host,
            user,
            &format!("sudo did not answer within {} s", DEADLINE.as_secs()),
        )),
    }
}

fn refused(host: &str, user: &str, why: &str) -> HostError {
    HostError::failed(format!("{host}: cannot become {user}: {why}"))
}

/// What sudo meant when it ended instead of running anything; nothing where it was not sudo that spoke.
pub(super) fn explain(host: &str, user: &str, said: &str) -> Option<HostError> {
    let said = said.trim();
    let lower = said.to_lowercase();
    let has = |text: &str| lower.contains(text);
    let why = if has("a password is required") || has("no password was provided") {
        "sudo wants a password: give it with `-K` or `ansible_become_password`".to_owned()
    } else if has("incorrect password") || has("sorry, try again") {
        "sudo refused the password".to_owned()
    } else if has("must have a tty") || has("a terminal is required") {
        "sudo is configured with `requiretty` for this user: allow it without a terminal (`Defaults:USER !requiretty`)"
            .to_owned()
    } else if has("not in the sudoers") {
        "the login user is not in the sudoers file".to_owned()
    } else if has("may not run sudo")
        || has("is not allowed to execute")
        || has("not allowed to run")
    {
        format!("the login user may not use sudo for this: {said}")
    } else if has("unknown user") {
        "there is no such user on the host".to_owned()
    } else if has("sudo") && (has("not found") || has("no such file")) {
        "there is no sudo on the host: log in as that user, or install sudo".to_owned()
    } else if has("sudo:") {
        format!("sudo said: {said}")
    } else {
        return None;
    };
    Some(refused(host, user, &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sudo_says_is_explained() {
        for (said, meant) in [
            ("sudo: a password is required", "give it with `-K`"),
            (
                "Sorry, try again.\nsudo: 1 incorrect password attempt",
                "refused the password",
            ),
            ("sudo: sorry, you must have a tty to run sudo", "requiretty"),
            ("ops is not in the sudoers file.", "not in the sudoers"),
            ("sudo: unknown user: nobody2", "no such user"),
            (
                "env: 'sudo': No such file or directory",
                "no sudo on the host",
            ),
            ("sudo: /etc/sudo.conf is world writable", "world writable"),
        ] {
            let error = explain("h", "root", said)
                .map(|e| e.to_string())
                .unwrap_or_default();
            assert!(
                error.contains(meant) && error.starts_with("h: cannot become root"),
                "{error}"
            );
        }
        assert!(explain("h", "root", "Connection closed").is_none());
    }
}
