//! Commands that live apart from the shell that carries them.
//!
//! Each runs in a session of its own, in a folder on the target that is made before it starts: `mkdir` succeeds once,
//! so whoever comes again (after a cut connection, after the controller was killed) collects or waits, and never starts
//! it twice. The folder goes only when its result has been written down on our side: with a later command, or when the
//! connection is closed.
//!
//! ```text
//! BASE/RUN/NODE/run      the script; 0700, since it holds values of variables
//! BASE/RUN/NODE/line     the line of a shell, where it holds a secret
//! BASE/RUN/NODE/go       made by the command first of all: it has begun
//! BASE/RUN/NODE/boot     which boot of the machine it was started in
//! BASE/RUN/NODE/pid      its session, written by itself after that
//! BASE/RUN/NODE/out, err what it printed
//! BASE/RUN/NODE/status   exit status, start and end in milliseconds; written last, by renaming
//! BASE/RUN/NODE.in       input that is too large for a request, until it is there whole
//! BASE/RUN/NODE.NAME     the folder of a further command of the same action; it goes with that of the action at the latest
//! ```

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::Carried;
use super::quote::{word, words};
use crate::host::{Command, Connection as _, Finished, HostError, User};

/// A result that was taken this long ago has been written down, also in the host's copy of the journal, which is brought up
/// to date before each command.
const WRITTEN_DOWN: Duration = Duration::from_secs(5);
/// Longest pause between two questions whether a long command has ended.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the removal of folders is tried.
const CLEARING: usize = 2;
/// How often a command that was started may be found not to have begun; each takes a second.
const UNBEGUN: u32 = 15;
/// Input above this size travels on a channel of its own.
const SMALL: usize = 96 * 1024;

/// Names where all folders of a user are, and makes nothing.
pub(crate) const PLACE: &str = "b=/var/tmp; [ -w $b ] || b=/tmp; b=$b/.runbook-$(id -u)";

/// Where all folders of a user are. The check keeps another user of the host from putting a folder of his there.
pub(crate) const BASE: &str = "b=/var/tmp; [ -w $b ] || b=/tmp; b=$b/.runbook-$(id -u); umask 077; mkdir \"$b\" 2>/dev/null; \
if [ -L \"$b\" ] || [ ! -d \"$b\" ] || [ ! -O \"$b\" ]; then echo \"$b is not a folder of this user\" >&2; exit 94; fi";

/// Folders whose results were taken, and when.
#[derive(Default)]
pub(super) struct Taken(Mutex<HashMap<(User, String), Instant>>);

impl Taken {
    pub(super) fn add(&self, user: &User, folder: &str) {
        self.lock()
            .insert((user.clone(), folder.to_owned()), Instant::now());
    }
    /// Is there any?
    pub(super) fn any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Those of a user that may go; whoever asks removes them.
    fn due(&self, of: &User, age: Duration) -> Vec<String> {
        let mut due = Vec::new();
        self.lock().retain(|(user, folder), since| {
            let keep = user != of || since.elapsed() < age;
            if !keep {
                due.push(folder.clone());
            }
            keep
        });
        due
    }

    fn users(&self) -> BTreeSet<User> {
        self.lock().keys().map(|(user, _)| user.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(User, String), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line that removes folders; it fails silently, for nothing depends on it.
fn removal(folders: &[String]) -> String {
    let mut line = String::new();
    for folder in folders {
        let folder = word(folder);
        let _ = write!(
            line,
            "d=\"$b\"/{folder}; rm -rf \"$d\" \"$d\".*; rmdir \"${{d%/*}}\" 2>/dev/null; "
        );
    }
    line
}

/// Removes all folders whose results were taken, before the connection is closed. What could not be removed is there for the
/// next call, and told.
pub(super) async fn clear(host: &Carried) {
    for user in host.taken.users() {
        let folders = host.taken.due(&user, Duration::ZERO);
        let script = format!(
            "{BASE}; {} rmdir \"$b\" 2>/dev/null; true",
            removal(&folders)
        );
        for tried in 1.. {
            // Removed twice is removed: where the connection breaks just then, it is done once more.
            let removed = host.shell(&user, &script, None, true);
            let why = match tokio::time::timeout(Duration::from_secs(20), removed).await {
                Ok(Ok(reply)) if reply.status == 0 => break,
                Ok(Ok(reply)) => String::from_utf8_lossy(&reply.stderr).trim().to_owned(),
                Ok(Err(error)) => error.to_string(),
                // A host that is gone keeps them; they hold what its own user may see anyway.
                Err(_) => break,
            };
            if tried == CLEARING {
                folders.iter().for_each(|f| host.taken.add(&user, f));
                host.note(format!(
                    "what {} commands have said is left on the host for now: {why}",
                    folders.len()
                ));
                break;
            }
        }
    }
}

/// Runs it, or waits for it where it runs already.
pub(super) async fn run(
    host: &Carried,
    user: &User,
    command: &Command,
    folder: &str,
) -> Result<Finished, HostError> {
    let name = host.name();
    let mut texts = command.argv.iter().chain(command.env.keys());
    if texts.any(|t| t.contains('\0')) || command.env.values().any(|t| t.contains('\0')) {
        return Err(HostError::failed("a command cannot hold a NUL byte"));
    }
    if command.argv.is_empty() {
        return Err(HostError::failed("a command has at least one word"));
    }
    let quoted = word(folder);
    let apart = command.stdin.as_ref().is_some_and(|s| s.len() > SMALL);
    if let Some(stdin) = command.stdin.as_ref().filter(|_| apart) {
        send_input(host, user, stdin, &quoted).await?;
    }
    let old = removal(&host.taken.due(user, WRITTEN_DOWN));
    let script = Bytes::from(script_of(command, apart));
    // What was cut off before the command began (there is no `go`) is begun once more; the command itself makes `go`
    // first of all, so that of two that are started only one begins. A script that did not arrive whole is not run.
    let start = format!(
        "{BASE}; {old}d=\"$b\"/{quoted}; mkdir -p \"${{d%/*}}\" || exit 97
if mkdir \"$d\" 2>/dev/null || {{ [ -d \"$d\" ] && [ ! -e \"$d/go\" ]; }}; then
cat > \"$d/run.$$\" && [ $(wc -c < \"$d/run.$$\") -eq {length} ] && mv \"$d/run.$$\" \"$d/run\" || exit 97
cat /proc/sys/kernel/random/boot_id > \"$d/boot\" 2>/dev/null
if command -v setsid >/dev/null 2>&1; then setsid sh \"$d/run\" \"$d\" </dev/null >/dev/null 2>&1 &
else sh \"$d/run\" \"$d\" </dev/null >/dev/null 2>&1 & fi
elif [ ! -d \"$d\" ]; then mkdir \"$d\"; exit 97; fi
{COLLECT}",
        length = script.len()
    );
    let again = format!("{BASE}; d=\"$b\"/{quoted}; [ -d \"$d\" ] || exit 96\n{COLLECT}");
    let begin = Instant::now();
    let mut reply = host.shell(user, &start, Some(script), true).await?;
    let mut timed_out = false;
    let mut unbegun = 0;
    let mut pause = Duration::from_millis(50);
    loop {
        match reply.status {
            0 => {
                host.taken.add(user, folder);
                return finished(&reply.stdout, timed_out, name);
            }
            98 => {}
            93 if unbegun < UNBEGUN => unbegun += 1,
            93 => {
                // From now on it cannot begin any more.
                let never = format!("{BASE}; d=\"$b\"/{quoted}; mkdir \"$d/go\" && rm -rf \"$d\"");
                let reply = host.shell(user, &never, None, true).await?;
                if reply.status == 0 {
                    return Err(HostError::failed(format!(
                        "{name}: the command could not be begun: no process of it came up (is the host out of \
                         processes or memory?)"
                    )));
                }
                let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
                return Err(HostError::failed(format!(
                    "{name}: the command could not be begun: nothing can be written below its folder ({said})"
                )));
            }
            95 => {
                return Err(HostError::Undecided(format!(
                    "{name}: the command was started, but its process is gone without a result (did the host restart, \
                     or did somebody end it?), and what it did is not known"
                )));
            }
            96 => {
                return Err(HostError::Undecided(format!(
                    "{name}: the folder of the running command was removed from the host, and what it did is not known"
                )));
            }
            status => {
                let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
                return Err(HostError::failed(format!(
                    "{name}: the command could not be started ({status}): {said}"
                )));
            }
        }
        let left = command
            .timeout
            .map(|limit| limit.saturating_sub(begin.elapsed()));
        if left.is_some_and(|left| left.is_zero()) && !timed_out {
            timed_out = true;
            let kill = format!("{BASE}; d=\"$b\"/{quoted}\n{KILL}");
            host.shell(user, &kill, None, true).await?;
        } else {
            let wait = left.map_or(pause, |left| pause.min(left));
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE);
        }
        reply = host.shell(user, &again, None, true).await?;
    }
}

/// Waits for the result for about a second, at first in short steps, and prints it. 98: not yet; 95: its process is
/// gone; 93: it has not begun.
const COLLECT: &str = r#"for s in 0.01 0.01 0.02 0.03 0.05 0.08 0.1 0.1 0.2 0.4 x; do
[ -e "$d/status" ] && break
[ $s = x ] || sleep $s 2>/dev/null || sleep 1
done
if [ ! -e "$d/status" ]; then
r=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)
if [ -e "$d/boot" ] && [ "$(cat "$d/boot")" != "$r" ]; then exit 95; fi
if [ ! -e "$d/go" ]; then sleep 1; [ -e "$d/go" ] || exit 93; fi
if [ -e "$d/pid" ]; then if ! kill -0 "$(cat "$d/pid")" 2>/dev/null; then sleep 1; [ -e "$d/status" ] || exit 95; fi
else sleep 1; [ -e "$d/pid" ] || exit 95; fi
[ -e "$d/status" ] || exit 98
fi
read -r s a e < "$d/status"
n=$(wc -c < "$d/out"); n=$((n+0))
printf '%s %s %s %s\n' "$s" "$a" "$e" "$n"; head -c "$n" "$d/out"; cat "$d/err"; exit 0"#;

/// Ends the whole session: politely, then not. A result that is there already stays.
const KILL: &str = r#"p=$(cat "$d/pid" 2>/dev/null) || exit 0
k() { kill -s "$1" -- "-$p" 2>/dev/null || kill -s "$1" "$p" 2>/dev/null; }
[ -e "$d/status" ] && exit 0
k TERM
for s in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -0 "$p" 2>/dev/null || break; sleep 0.1 2>/dev/null || sleep 1; done
k KILL
t=$(date +%s)
[ -e "$d/status" ] || { echo "137 ${t}000 ${t}000" > "$d/status.new"; mv "$d/status.new" "$d/status"; }
exit 0"#;

/// Input that is too large for a request.
async fn send_input(
    host: &Carried,
    user: &User,
    stdin: &[u8],
    folder: &str,
) -> Result<(), HostError> {
    let script = format!(
        "{BASE}; d=\"$b\"/{folder}; mkdir -p \"${{d%/*}}\"; \
         if [ -d \"$d\" ]; then cat > /dev/null; else cat > \"$d.in\"; fi && echo runbook-done"
    );
    host.pour_into(user, &script, stdin, "the input of the command")
        .await
}

/// The script that runs in the folder: it knows its folder as `$1`.
fn script_of(command: &Command, apart: bool) -> String {
    let mut script = String::from(
        "d=$1; mkdir \"$d/go\" 2>/dev/null || exit 0; echo $$ > \"$d/pid.new\"; mv \"$d/pid.new\" \"$d/pid\"; : > \"$d/out\"; : > \"$d/err\"\n\
         now() { t=$(date +%s%3N 2>/dev/null); case $t in *[!0-9]*|'') t=$(date +%s)000;; esac; echo \"$t\"; }\n\
         a=$(now)\n",
    );
    let line = match &command.argv[..] {
        // By a descriptor, so that what the shell says of its line does not name a folder of this run.
        [shell, flag, line] if command.private && flag == "-c" => {
            let _ = writeln!(script, "printf %s {} > \"$d/line\"", word(line));
            format!("{} /dev/fd/9 9< \"$d/line\"", word(shell))
        }
        argv => words(argv),
    };
    let input = match &command.stdin {
        None => "</dev/null".to_owned(),
        Some(_) if apart => {
            script.push_str("mv \"$d.in\" \"$d/in\"\n");
            "< \"$d/in\"".to_owned()
        }
        Some(bytes) => {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            let _ = writeln!(
                script,
                "{{ base64 -d 2>/dev/null || openssl base64 -d -A; }} > \"$d/in\" <<'RUNBOOK_STDIN'\n{encoded}\nRUNBOOK_STDIN"
            );
            "< \"$d/in\"".to_owned()
        }
    };
    script.push_str("( umask 022\n");
    for (name, value) in &command.env {
        let _ = writeln!(script, "export {}", word(&format!("{name}={value}")));
    }
    let _ = writeln!(script, "exec {input}");
    if let Some(folder) = &command.chdir {
        let _ = writeln!(script, "cd -- {} || exit 255", word(folder));
    }
    let _ = writeln!(script, "exec {line}");
    script.push_str(
        ") > \"$d/out\" 2> \"$d/err\"\ns=$?; printf '%s %s %s\\n' \"$s\" \"$a\" \"$(now)\" > \"$d/status.new\"; \
         mv \"$d/status.new\" \"$d/status\"\n",
    );
    script
}

fn finished(output: &Bytes, timed_out: bool, name: &str) -> Result<Finished, HostError> {
    let broken = || {
        HostError::failed(format!(
            "{name}: the result of the command cannot be understood"
        ))
    };
    let end = output.iter().position(|b| *b == b'\n').ok_or_else(broken)?;
    let header = String::from_utf8_lossy(&output[..end]).into_owned();
    let fields: Vec<i64> = header.split(' ').map(|f| f.parse().unwrap_or(-1)).collect();
    let [status, started_ms, ended_ms, length] = fields[..] else {
        return Err(broken());
    };
    let body = output.slice(end + 1..);
    let split = usize::try_from(length).unwrap_or(0).min(body.len());
    Ok(Finished {
        status: i32::try_from(status).unwrap_or(-1),
        stdout: body.slice(..split),
        stderr: body.slice(split..),
        started_ms,
        ended_ms,
        timed_out,
    })
}
