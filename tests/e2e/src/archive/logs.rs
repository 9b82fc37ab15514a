//! What the servers of a site write down by themselves of what is done to them: slapd, PostgreSQL, Docker.

use anyhow::{Context as _, Result, ensure};

use super::Archive;

/// Operations of slapd's log that change something.
const OPERATIONS: [&str; 5] = ["ADD", "MOD", "DEL", "MODRDN", "PASSMOD"];

/// What a statement that only reads begins with.
const READING: [&str; 14] = [
    "select", "with", "values", "table", "show", "set", "reset", "begin", "start", "commit", "end",
    "rollback", "declare", "fetch",
];

/// What makes a change of it all the same, wherever it stands.
const CHANGING: [&str; 15] = [
    "insert",
    "update",
    "delete",
    "merge",
    "into",
    "create",
    "alter",
    "drop",
    "truncate",
    "nextval",
    "setval",
    "lo_create",
    "lo_unlink",
    "pg_reload_conf",
    "pg_terminate_backend",
];

/// Something that a server has written down.
#[derive(Debug, Clone)]
pub struct Line {
    /// When, as Docker notes it for each line: RFC 3339, UTC, with nine digits, so that times compare as texts.
    pub at: String,
    /// What.
    pub text: String,
}

/// A line of `docker logs --timestamps`.
fn line(logged: &str) -> Option<Line> {
    let (at, text) = logged.split_once(' ')?;
    Some(Line {
        at: at.to_owned(),
        text: text.to_owned(),
    })
}

/// Statements of PostgreSQL's log, each in one piece: further lines of a statement begin with a tab.
fn statements(log: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    // Whether the line before belongs to a statement.
    let mut open = false;
    for Line { at, text } in log.lines().filter_map(line) {
        if let Some(more) = text.strip_prefix('\t') {
            if let Some(last) = found.last_mut().filter(|_| open) {
                last.text.push('\n');
                last.text.push_str(more);
            }
            continue;
        }
        let logged = text.split_once("LOG:  ").map(|(_, logged)| logged);
        let statement = logged.and_then(|l| {
            let (kind, statement) = l.split_once(": ")?;
            (kind == "statement" || kind.starts_with("execute ")).then(|| statement.to_owned())
        });
        open = statement.is_some();
        found.extend(statement.map(|text| Line { at, text }));
    }
    found
}

/// A statement without what is quoted in it, and without comments, in small letters.
fn bare(statement: &str) -> String {
    let mut rest = statement;
    let mut bare = String::new();
    while let Some(next) = rest.chars().next() {
        // What begins here, and what ends it.
        let dollar = || {
            let tag = rest.strip_prefix('$')?.split_once('$')?.0;
            let named = tag.chars().all(|c| c.is_alphanumeric() || c == '_');
            (named && !tag.starts_with(|c: char| c.is_ascii_digit())).then(|| format!("${tag}$"))
        };
        let quoted = match next {
            '\'' | '"' => Some((1, next.to_string())),
            '$' => dollar().map(|tag| (tag.len(), tag)),
            '-' if rest.starts_with("--") => Some((2, "\n".to_owned())),
            '/' if rest.starts_with("/*") => Some((2, "*/".to_owned())),
            _ => None,
        };
        if let Some((begin, end)) = quoted {
            let inner = rest.get(begin..).unwrap_or_default();
            rest = inner
                .split_once(end.as_str())
                .map_or("", |(_, after)| after);
            bare.push(' ');
        } else {
            bare.extend(next.to_lowercase());
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    bare
}

/// Does a statement, or all that are sent as one, only read? Said of none that could write: a block of code writes.
fn only_reads(statement: &str) -> bool {
    bare(statement).split(';').all(|one| {
        let mut words = one
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|w| !w.is_empty());
        let Some(first) = words.next() else {
            return true;
        };
        READING.contains(&first) && !words.any(|w| CHANGING.contains(&w))
    })
}

impl Archive {
    /// Lets PostgreSQL write down every statement, those within blocks of code with their block. It does so from then
    /// on, in the containers that come after, too: the setting lies with the data.
    ///
    /// # Errors
    /// It refuses.
    pub fn log_every_statement(&self) -> Result<()> {
        self.on(
            "db",
            "docker exec db psql -q -U pacs -d pacsdb -c \"alter system set log_statement = 'all'\" -c 'select pg_reload_conf()'",
        )?;
        // The logs are read by the second.
        self.on("db", "sleep 1.1").map(drop)
    }

    /// The second of a part's host.
    ///
    /// # Errors
    /// It does not tell.
    pub fn second(&self, part: &str) -> Result<String> {
        Ok(self.on(part, "date +%s")?.trim().to_owned())
    }

    fn log(&self, part: &str, since: &str) -> Result<String> {
        self.on(
            part,
            &format!("docker logs --timestamps --since {since} {part} 2>&1"),
        )
    }

    /// What has changed something in the directory since a second, in order, from slapd's log.
    ///
    /// # Errors
    /// There is no log, or nothing at all in it.
    pub fn directory_writes(&self, since: &str) -> Result<Vec<Line>> {
        let log = self.log("ldap", since)?;
        let operation = |line: &Line| {
            let mut words = line.text.split_whitespace();
            let at = words.by_ref().find(|w| w.starts_with("op="));
            at.and(words.next()).map(str::to_owned)
        };
        let lines: Vec<Line> = log.lines().filter_map(line).collect();
        ensure!(
            lines
                .iter()
                .any(|l| operation(l).as_deref() == Some("SRCH")),
            "slapd writes nothing down:\n{log}"
        );
        let writes = |l: &Line| operation(l).is_some_and(|o| OPERATIONS.contains(&o.as_str()));
        Ok(lines.into_iter().filter(writes).collect())
    }

    /// What may have changed something in any database since a second, in order, from PostgreSQL's log.
    ///
    /// # Errors
    /// There is no log, or no statement in it.
    pub fn database_writes(&self, since: &str) -> Result<Vec<Line>> {
        let log = self.log("db", since)?;
        let statements = statements(&log);
        ensure!(
            statements.iter().any(|s| only_reads(&s.text)),
            "PostgreSQL writes nothing down:\n{log}"
        );
        let writes = |s: &Line| !only_reads(&s.text);
        Ok(statements.into_iter().filter(writes).collect())
    }

    /// What Docker has done to containers on a part's host since a second.
    ///
    /// # Errors
    /// It does not tell, or has forgotten some of it.
    pub fn container_events(&self, part: &str, since: &str) -> Result<Vec<String>> {
        let script = format!(
            "docker events --since {since} --until $(($(date +%s) + 1)) --format '{{{{.Type}}}} {{{{.Action}}}} {{{{.Actor.Attributes.name}}}}'"
        );
        let all = self.on(part, &script)?;
        // The daemon remembers that many and no more.
        ensure!(
            all.lines().count() < 256,
            "Docker has forgotten the first events since {since}"
        );
        let done = [
            "start", "stop", "die", "kill", "restart", "rename", "update", "pause", "unpause",
        ];
        let events = all.lines().filter_map(|l| l.strip_prefix("container "));
        let chosen = events.filter(|l| done.contains(&l.split(' ').next().unwrap_or_default()));
        Ok(chosen.map(str::to_owned).collect())
    }

    /// When the container of a part was started, written as the times of logs are.
    ///
    /// # Errors
    /// There is no such container.
    pub fn started_at(&self, part: &str) -> Result<String> {
        let script = format!("docker inspect -f '{{{{.State.StartedAt}}}}' {part}");
        let at = self.on(part, &script)?;
        let at = at.trim().strip_suffix('Z').context("no UTC")?;
        let (seconds, fraction) = at.split_once('.').unwrap_or((at, ""));
        Ok(format!("{seconds}.{fraction:0<9}Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::{only_reads, statements};

    #[test]
    fn what_only_reads_is_told_from_what_writes() {
        for reads in [
            "select 1",
            "begin isolation level repeatable read read only",
            "begin; set local lock_timeout = '10s'; select md5(version) from runbook.ledger",
            "select 'it''s an update; delete', \"insert\" from t -- drop table t",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "rollback",
            "select updated_time, $1::text from study",
            "select $q$insert into t$q$",
        ] {
            assert!(only_reads(reads), "{reads}");
        }
        for writes in [
            "do $$ begin update study set a = 1; end $$",
            "begin; update study set a = 1; commit",
            "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
            "select 1 into t",
            "select nextval('s')",
            "create index on t (a)",
            "call p()",
            "copy t from stdin",
            "vacuum",
            "/* select */ insert into t values (1)",
        ] {
            assert!(!only_reads(writes), "{writes}");
        }
    }

    #[test]
    fn statements_of_several_lines_are_one() {
        let log = "2026-01-01T00:00:00.000000001Z 2026-01-01 00:00:00.000 UTC [1] LOG:  statement: select 1\n\
                   2026-01-01T00:00:00.000000002Z \t; delete from t\n\
                   2026-01-01T00:00:00.000000003Z 2026-01-01 00:00:00.000 UTC [1] LOG:  execute <unnamed>: select $1\n\
                   2026-01-01T00:00:00.000000004Z 2026-01-01 00:00:00.000 UTC [1] DETAIL:  parameters: $1 = 'drop\n\
                   2026-01-01T00:00:00.000000005Z \ttable'\n";
        let found = statements(log);
        let texts: Vec<&str> = found.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(texts, ["select 1\n; delete from t", "select $1"]);
        assert!(found[0].at < found[1].at);
    }
}
