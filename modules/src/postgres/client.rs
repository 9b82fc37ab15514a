//! PostgreSQL's own programs, where the server is: inside its container by the Docker command of the host, or the host's own.

use runbook_engine::value::Secret;

use super::server::{Place, Server};

/// Functions that scripts on the host begin with. The variables `name` (of the container, or nothing), `host` and `port` are
/// set before; `pass` is a file with a line of a password file.
///
/// `pg PROGRAM ARGUMENTS` runs a program of PostgreSQL, with the standard input that it gets. Inside a container the password
/// goes before that, and lies in a file only while the program runs. 90 and 89: there is no Docker, or no such program.
///
/// `count_rows` reads SQL text with its rows as `COPY` blocks and prints each table, as it is written there, and how many rows
/// it has, with a tabulator in between (PostgreSQL, "COPY", text format: a row is a line, and `\.` alone ends them).
pub const FUNCTIONS: &str = r#"
inside='umask 077; f=$(mktemp) || exit 92; trap '\''rm -f "$f"'\'' EXIT; trap '\''exit 99'\'' HUP INT TERM
IFS= read -r line; printf "%s\n" "$line" > "$f"; PGPASSFILE="$f" "$@"'
pg() {
  if [ -n "$name" ]; then
    command -v docker >/dev/null 2>&1 || return 90
    { cat "$pass"; cat; } | docker exec -i "$name" sh -c "$inside" sh "$@"
  else
    command -v "$1" >/dev/null 2>&1 || return 89
    PGPASSFILE="$pass" PGHOST="$host" PGPORT="$port" "$@"
  fi
}
count_rows() {
  LC_ALL=C awk '
    rows && $0 == "\\." { print table "\t" count; rows = 0; next }
    rows { count++; next }
    /^COPY .* FROM stdin;$/ {
      table = substr($0, 6)
      cut = index(table, " (")
      if (!cut) cut = index(table, " FROM stdin;")
      table = substr(table, 1, cut - 1)
      sub(/ +$/, "", table)
      rows = 1; count = 0
    }'
}
"#;

/// Name of the container (or nothing), host (or folder of the socket) and port, as words of a script.
#[must_use]
pub fn place(server: &Server) -> [String; 3] {
    match &server.at {
        Place::Container { name, port } => [name.clone(), String::new(), port.to_string()],
        Place::Tcp { host, port } => [String::new(), host.clone(), port.to_string()],
        Place::Socket { path } => {
            let (folder, socket) = path.rsplit_once('/').unwrap_or(("", path));
            let port = socket.rsplit('.').next().unwrap_or("5432");
            [String::new(), folder.to_owned(), port.to_owned()]
        }
    }
}

/// A line of a password file for any server (libpq, "The Password File"); an empty one without a password.
#[must_use]
pub fn password_line(password: Option<&Secret>) -> String {
    let line = password.map_or_else(String::new, |p| {
        let escaped = p.expose().replace('\\', "\\\\").replace(':', "\\:");
        format!("*:*:*:*:{escaped}")
    });
    format!("{line}\n")
}

/// What of the arguments would be taken for something else on the way to the programs.
///
/// # Errors
/// Which, and why.
pub fn validate(server: &Server) -> Result<(), String> {
    // They go through a line of text and a connection string.
    let password = server.password.as_ref();
    if password.is_some_and(|p| p.expose().contains(['\n', '\0'])) {
        return Err("password: it holds a line break".to_owned());
    }
    let (user, database) = (&server.user, &server.database);
    if user.starts_with('-') || database.contains(['=', ' ']) || database.contains("://") {
        return Err(
            "`user` or `database` would be taken for something else by PostgreSQL's programs"
                .to_owned(),
        );
    }
    Ok(())
}

/// Why a program could not be run, by the statuses of [`FUNCTIONS`].
#[must_use]
pub fn missing(status: i32, shown: &str) -> Option<String> {
    match status {
        89 => Some(format!(
            "the host has no program of PostgreSQL to reach {shown} with; install its client"
        )),
        90 => Some(format!(
            "there is no docker command on the host to reach {shown} with; install the Docker command"
        )),
        _ => None,
    }
}

/// What a program said, on one line: its errors, or else its last lines.
#[must_use]
pub fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    // `pg_restore: error: could not execute query: ERROR:  …`, after which the whole statement follows.
    let is_error = |line: &&&str| {
        ["error:", "ERROR:", "FATAL:"]
            .iter()
            .any(|e| line.contains(e))
    };
    let errors: Vec<&str> = lines.iter().filter(is_error).take(3).copied().collect();
    if errors.is_empty() {
        lines[lines.len().saturating_sub(5)..].join("; ")
    } else {
        errors.join("; ")
    }
}

/// Rows of tables as [`FUNCTIONS`] counts them.
#[must_use]
pub fn rows(text: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (table, count) = line.rsplit_once('\t')?;
        Some((table.to_owned(), count.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_told_and_not_the_statement_behind_it() {
        let text = "pg_restore: while PROCESSING TOC:\npg_restore: error: could not execute query: ERROR:  no x\nCommand was: CREATE (\n a,\n b,\n c,\n d\n);\n";
        let told = said(text.as_bytes());
        assert_eq!(
            told,
            "pg_restore: error: could not execute query: ERROR:  no x"
        );
        assert_eq!(said(b"one\n\ntwo\n"), "one; two");
    }

    fn counted(text: &str) -> Vec<(String, u64)> {
        use std::io::Write as _;
        let mut child = std::process::Command::new("sh")
            .args(["-c", &format!("{FUNCTIONS}\ncount_rows")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        rows(&String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
    }

    #[test]
    fn rows_of_copy_blocks_are_counted() {
        let text = "SET x = 1;\nCOPY public.study (pk, text) FROM stdin;\n1\tCOPY public.no (x) FROM stdin;\n2\t\\\\.\n\\.\n\n\
                    COPY \"Odd\".\"two words\" (\"a (b\") FROM stdin;\n\\.\nCOPY public.bare  FROM stdin;\n\n\n\\.\nselect 1;\n";
        let table = |name: &str, rows: u64| (name.to_owned(), rows);
        assert_eq!(
            counted(text),
            [
                table("public.study", 2),
                table("\"Odd\".\"two words\"", 0),
                table("public.bare", 2)
            ]
        );
        assert_eq!(counted("INSERT INTO public.study VALUES (1);\n"), []);
    }

    #[test]
    fn passwords_are_escaped() {
        let secret = Secret::new(r"a:b\c");
        assert_eq!(password_line(Some(&secret)), "*:*:*:*:a\\:b\\\\c\n");
        assert_eq!(password_line(None), "\n");
    }
}
