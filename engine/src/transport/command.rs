//! Commands that live apart from the shell that carries them.
//!
//! Each runs in a session of its own, in a folder on the target that is made before it starts: `mkdir` succeeds once,
//! so whoever comes again (after a cut connection, from another controller) collects or waits, and never starts it
//! twice.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::Carried;
use super::quote::word;
use crate::host::{Command, Connection, Finished, HostError, User};

/// Waits within one request: short commands cost one round trip, long ones do not hold the shell.
const WAIT_TENTHS: u32 = 15;

/// Runs it, or waits for it where it runs already.
pub(super) async fn run(
    host: &Carried,
    user: &User,
    command: &Command,
    folder: &str,
    name: &str,
) -> Result<Finished, HostError> {
    if command.argv.iter().any(|w| w.contains('\0')) {
        return Err(HostError::failed("a command cannot hold a NUL byte"));
    }
    let body = body_of(command);
    let start = format!(
        "b=\"${{TMPDIR:-/var/tmp}}/.runbook-$(id -u)\"; d=\"$b\"/{folder}; umask 077; mkdir -p \"${{d%/*}}\" || exit 97
if mkdir \"$d\" 2>/dev/null; then cat > \"$d/run\"; \
if command -v setsid >/dev/null 2>&1; then setsid sh \"$d/run\" \"$d\" </dev/null >/dev/null 2>&1 & \
else sh \"$d/run\" \"$d\" </dev/null >/dev/null 2>&1 & fi; fi
{}",
        collect()
    );
    let again = format!(
        "b=\"${{TMPDIR:-/var/tmp}}/.runbook-$(id -u)\"; d=\"$b\"/{folder}; [ -d \"$d\" ] || exit 96
{}",
        collect()
    );
    let begin = Instant::now();
    let mut reply = host
        .shell(user, &start, Some(Bytes::from(body)), true)
        .await?;
    let mut timed_out = false;
    let mut pause = Duration::from_millis(100);
    loop {
        match reply.status {
            0 => return finished(&reply.stdout, timed_out, name),
            98 => {}
            95 => {
                return Err(HostError::failed(format!(
                    "{name}: the command was started, but its process is gone without a result (did the host restart?). \
                     What it did is not known; look, then run again"
                )));
            }
            status => {
                let said = String::from_utf8_lossy(&reply.stderr).trim().to_owned();
                return Err(HostError::failed(format!(
                    "{name}: the command could not be started ({status}): {said}"
                )));
            }
        }
        if let Some(limit) = command
            .timeout
            .filter(|limit| begin.elapsed() >= *limit && !timed_out)
        {
            timed_out = true;
            let kill = format!(
                "b=\"${{TMPDIR:-/var/tmp}}/.runbook-$(id -u)\"; d=\"$b\"/{folder}; p=$(cat \"$d/pid\"); \
                 kill -TERM -- -\"$p\" 2>/dev/null || kill -TERM \"$p\" 2>/dev/null; sleep 1; \
                 kill -KILL -- -\"$p\" 2>/dev/null || kill -KILL \"$p\" 2>/dev/null; \
                 [ -e \"$d/status\" ] || {{ printf '137 0 0' > \"$d/status\"; }}; true"
            );
            tracing::debug!(?limit, "a command has used up its time");
            host.shell(user, &kill, None, true).await?;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
        reply = host.shell(user, &again, None, true).await?;
    }
}

/// Waits a moment for the result, prints it and removes the folder. 98: not yet; 95: its process is gone.
fn collect() -> String {
    format!(
        "n=0; while [ ! -e \"$d/status\" ]; do n=$((n+1)); [ $n -gt {WAIT_TENTHS} ] && {{ \
if [ -e \"$d/pid\" ] && ! kill -0 \"$(cat \"$d/pid\")\" 2>/dev/null && [ ! -e \"$d/status\" ]; then exit 95; fi; \
exit 98; }}; \
sleep 0.1 2>/dev/null || sleep 1; done
read -r s a e < \"$d/status\" || true
printf '%s %s %s %s\\n' \"$s\" \"$a\" \"$e\" \"$(wc -c < \"$d/out\" | tr -d ' ')\"; cat \"$d/out\" \"$d/err\"; rm -rf \"$d\"; rmdir \"${{d%/*}}\" \"$b\" 2>/dev/null; exit 0"
    )
}

/// The script that runs in the folder: it knows its folder as `$1`.
fn body_of(command: &Command) -> String {
    let mut script = String::from(
        "d=$1; echo $$ > \"$d/pid.new\"; mv \"$d/pid.new\" \"$d/pid\"; : > \"$d/out\"; : > \"$d/err\"\n\
         now() { t=$(date +%s%3N 2>/dev/null); case $t in *[!0-9]*|'') t=$(date +%s)000;; esac; echo \"$t\"; }\n\
         a=$(now)\n( umask 022\n",
    );
    for (name, value) in &command.env {
        let _ = writeln!(script, "export {}={}", word(name), word(value));
    }
    if let Some(folder) = &command.chdir {
        let _ = writeln!(script, "cd -- {} || exit 255", word(folder));
    }
    let words: Vec<String> = command.argv.iter().map(|w| word(w)).collect();
    let line = words.join(" ");
    match &command.stdin {
        None => {
            let _ = writeln!(script, "exec {line} </dev/null");
        }
        Some(bytes) => {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            let _ = writeln!(
                script,
                "base64 -d <<'RUNBOOK_STDIN' | {line}\n{encoded}\nRUNBOOK_STDIN"
            );
        }
    }
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
