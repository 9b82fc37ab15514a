//! Applying statements: those of a part for a stopped archive in one transaction, those beside a running one each in
//! its own, so that no lock outlives its statement. Every statement commits together with its row in the ledger.
//!
//! A whole write holds an advisory lock of the database, and begins by comparing ledger and catalogue with what the
//! change was planned from. Every transaction compares the ledger once more.

use std::time::Duration;

use runbook_engine::host::Target;
use runbook_engine::resource::{Change, WriteError};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::catalogue;
use super::inverse::quoted;
use super::ledger::{Progress, SchemaState};
use super::operation::alone;
use super::plan::{Planned, Step};
use super::schema_kind::{SchemaKey, SchemaWant, one_line};
use super::session::{Access, connect, literal, texts, told};

/// Key of the advisory lock; such locks are per database.
const LOCK: i64 = 0x7275_6e62_6f6f_6b31;
/// How long another writer is waited for: one whose controller was killed ends within seconds.
const OTHER_WRITER: Duration = Duration::from_secs(30);
/// How long a single statement may run once it has its locks.
const STATEMENT: Duration = Duration::from_secs(6 * 3600);
/// How long a part for a stopped archive waits for a lock: nobody else should be there.
const STOPPED_LOCK_MS: u64 = 10_000;

/// How long clients may take to log out.
const LEAVING: Duration = Duration::from_secs(5);

const LEDGER: &str = "create schema if not exists runbook; \
    create table if not exists runbook.ledger (version text not null, number int4 not null, part int2 not null, \
    file text not null, hash text not null, \
    state text not null check (state in ('done', 'adopted', 'running')), statement text not null, \
    inverse text not null, rows_changed int8 not null default 0, progress text, upto text, \
    begun_at timestamptz not null default clock_timestamp(), done_at timestamptz, \
    by_user text not null default session_user, primary key (version, number)); \
    comment on table runbook.ledger is 'Schema updates applied by runbook, format 1. Do not edit.'";

/// The ledger in one text, for comparing.
const DIGEST: &str = "select md5(coalesce(string_agg(concat_ws(' ', version, number, hash, state), ',' \
    order by version collate \"C\", number), '')) from runbook.ledger";

/// Why a statement failed.
pub(super) enum Failure {
    /// The server refused it; its transaction is rolled back.
    Refused(String),
    /// A lock was not to be had in time, or the transaction was picked to resolve a deadlock.
    Busy(String),
    /// The ledger is no longer as it was.
    Moved(String),
    /// The connection broke, or no answer came.
    Broken(String),
}

impl Failure {
    pub(super) fn from(error: &tokio_postgres::Error) -> Self {
        let text = told(error);
        match error.code() {
            None => Self::Broken(text),
            Some(code)
                if *code == SqlState::LOCK_NOT_AVAILABLE
                    || *code == SqlState::T_R_DEADLOCK_DETECTED
                    || *code == SqlState::T_R_SERIALIZATION_FAILURE =>
            {
                Self::Busy(text)
            }
            Some(_) => Self::Refused(text),
        }
    }
}

/// A statement made from a number of rows.
type Note<'a> = &'a (dyn Fn(u64) -> String + Sync);

/// A writer in a database.
pub(super) struct Writer<'a> {
    pub(super) client: Client,
    pub(super) want: &'a SchemaWant,
    /// `server_version_num`.
    pub(super) version: u32,
    digest: String,
    /// Statements committed by this write, for messages.
    done: Vec<String>,
}

/// Applies one change.
pub async fn apply(
    host: &Target,
    key: &SchemaKey,
    change: &Change<SchemaState, SchemaWant>,
) -> Result<(), WriteError> {
    let client = connect(host, &key.server, Access::Write).await?;
    let what = format!("the schema of {}", key.server.shown());
    let mut writer = Writer {
        client,
        want: &change.want,
        version: 0,
        digest: String::new(),
        done: Vec::new(),
    };
    let result = writer.apply(key, &change.from).await;
    let left = (!writer.done.is_empty()).then(|| {
        format!(
            "{} applied, committed and in the ledger; a run after mending goes on behind them",
            writer.done.join(", ")
        )
    });
    let message = match result {
        Ok(()) => return Ok(()),
        Err(Failure::Moved(found)) if left.is_none() => {
            return Err(WriteError::Moved { what, found });
        }
        Err(Failure::Moved(found)) => {
            format!("{what} was changed by another while it was written: {found}")
        }
        Err(Failure::Refused(text) | Failure::Busy(text)) => text,
        Err(Failure::Broken(text)) => format!(
            "the connection to {} broke: {text}. Whether the last statement was committed, the ledger knows: run again",
            key.server.shown()
        ),
    };
    Err(WriteError::Failed { message, left })
}

impl Writer<'_> {
    async fn apply(&mut self, key: &SchemaKey, from: &SchemaState) -> Result<(), Failure> {
        self.begin().await?;
        self.compare(key, from).await?;
        self.ensure_ledger(&key.server.user).await?;
        let want = self.want;
        if want.undo {
            for step in want.steps.iter().filter(|s| !s.adopt) {
                if let Some(statement) =
                    step.statements.iter().find(|s| !s.inverse.never.is_empty())
                {
                    let why = statement.inverse.never.join("; ");
                    let refused = Failure::Refused(format!("it cannot be taken back: {why}"));
                    return Err(placed(refused, step, statement));
                }
            }
            for step in want.steps.iter().rev() {
                self.undo(step).await?;
            }
            return Ok(());
        }
        for step in &want.steps {
            if step.adopt || step.whole {
                self.whole(step, from).await?;
            } else {
                for statement in &step.statements {
                    if from.applied(&step.version, statement.number) {
                        continue;
                    }
                    let begun = from.row(&step.version, statement.number).is_some();
                    self.beside(step, statement, begun)
                        .await
                        .map_err(|f| placed(f, step, statement))?;
                    self.done
                        .push(format!("{} statement {}", step.title, statement.number));
                }
            }
        }
        Ok(())
    }

    /// Prepares the session and takes the lock.
    async fn begin(&mut self) -> Result<(), Failure> {
        // A transaction whose controller was killed ends soon, and a statement whose client is gone as well.
        let rows = self.query("show server_version_num").await?;
        self.version = first(&rows).and_then(|v| v.parse().ok()).unwrap_or(0);
        let mut settings = format!(
            "set idle_in_transaction_session_timeout = '60s'; set statement_timeout = '{}ms'",
            STATEMENT.as_millis()
        );
        if self.version >= 140_000 {
            settings.push_str("; set client_connection_check_interval = '2s'");
        }
        self.query(&settings).await?;
        let started = Instant::now();
        loop {
            let rows = self
                .query(&format!("select pg_try_advisory_lock({LOCK})"))
                .await?;
            if first(&rows).as_deref() == Some("t") {
                return Ok(());
            }
            if started.elapsed() > OTHER_WRITER {
                let holder = self
                    .query(&format!(
                        "select 'process ' || a.pid || ' of user ' || coalesce(a.usename, '?') || ' from ' || \
                         coalesce(a.client_addr::text, 'a local socket') from pg_locks l join pg_stat_activity a \
                         using (pid) where l.locktype = 'advisory' and l.granted and \
                         (l.classid::int8 << 32 | l.objid::int8) = {LOCK}"
                    ))
                    .await?;
                let holder = first(&holder).unwrap_or_else(|| "another session".to_owned());
                return Err(Failure::Refused(format!(
                    "another runbook is changing this database ({holder}); wait for it to end, or end that session"
                )));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Law 6: is everything as it was read?
    async fn compare(&mut self, key: &SchemaKey, from: &SchemaState) -> Result<(), Failure> {
        self.query("begin isolation level repeatable read read only")
            .await?;
        let found = catalogue::state(&self.client, &key.objects).await;
        self.query("rollback").await?;
        let found = found.map_err(|e| Failure::from(&e))?;
        if found == *from {
            return Ok(());
        }
        let mut differ: Vec<String> = found
            .catalogue
            .iter()
            .filter(|(object, fact)| from.catalogue.get(*object) != Some(fact))
            .map(|(object, _)| object.clone())
            .collect();
        if found.ledger != from.ledger {
            differ.push(format!(
                "the ledger, with {} rows in place of {}",
                found.ledger.len(),
                from.ledger.len()
            ));
        }
        Err(Failure::Moved(format!("changed: {}", differ.join(", "))))
    }

    async fn ensure_ledger(&mut self, user: &str) -> Result<(), Failure> {
        let rows = self
            .query("select to_regclass('runbook.ledger') is not null")
            .await?;
        if first(&rows).as_deref() != Some("t") {
            self.query(&format!("begin; {LEDGER}; commit")).await.map_err(|failure| match failure {
                Failure::Refused(text) => Failure::Refused(format!(
                    "the ledger (schema runbook, table ledger) cannot be made: {text}; let its owner make it, or \
                     grant {user} the right to create schemas in this database"
                )),
                other => other,
            })?;
        }
        self.digest = first(&self.query(DIGEST).await?).unwrap_or_default();
        Ok(())
    }

    /// A part as one transaction.
    async fn whole(&mut self, step: &Step, from: &SchemaState) -> Result<(), Failure> {
        let mut left: Vec<&Planned> = step
            .statements
            .iter()
            .filter(|s| !from.applied(&step.version, s.number))
            .collect();
        // What an earlier run began beside a running archive is brought to its end as it was begun.
        if let Some(statement) = left
            .first()
            .copied()
            .filter(|s| from.row(&step.version, s.number).is_some())
        {
            self.beside(step, statement, true)
                .await
                .map_err(|f| placed(f, step, statement))?;
            self.done
                .push(format!("{} statement {}", step.title, statement.number));
            left.remove(0);
        }
        if !step.adopt && self.want.pace.alone {
            self.alone(step).await?;
        }
        self.open(STOPPED_LOCK_MS).await?;
        for statement in &left {
            let mut rows = 0;
            if !step.adopt {
                match self.query(&statement.text).await {
                    Ok(messages) => rows = changed(&messages),
                    Err(Failure::Busy(text)) => {
                        self.rollback().await;
                        let holders = self.holders(statement).await;
                        return Err(placed(
                            Failure::Refused(format!("{text}; is the archive stopped?{holders}")),
                            step,
                            statement,
                        ));
                    }
                    Err(failure) => {
                        self.rollback().await;
                        return Err(placed(failure, step, statement));
                    }
                }
            }
            let row = put(step, statement, step.row(statement).state, rows);
            if let Err(failure) = self.query(&row).await {
                self.rollback().await;
                return Err(placed(failure, step, statement));
            }
        }
        self.commit().await?;
        if !step.adopt {
            self.done.push(step.title.clone());
        }
        Ok(())
    }

    /// Is nobody else logged in as this user? An archive that has just been stopped may take a moment to be gone.
    async fn alone(&self, step: &Step) -> Result<(), Failure> {
        let sql = "select 'process ' || pid || ', ' || coalesce(nullif(application_name, ''), 'no name') || ', from ' \
                   || coalesce(host(client_addr), 'a local socket') from pg_stat_activity \
                   where datname = current_database() and usename = current_user and pid <> pg_backend_pid() \
                   and backend_type = 'client backend' and application_name <> 'runbook' limit 5";
        let started = Instant::now();
        loop {
            let rows = texts(&self.query(sql).await?);
            let others: Vec<String> = rows
                .into_iter()
                .filter_map(|mut r| r.pop().flatten())
                .collect();
            if others.is_empty() {
                return Ok(());
            }
            if started.elapsed() > LEAVING {
                return Err(Failure::Refused(format!(
                    "{} is for a stopped archive, but others are logged in as the same user: {}; stop the archive, or \
                     say `require_alone: false`",
                    step.title,
                    others.join("; ")
                )));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// A statement beside other clients.
    async fn beside(
        &mut self,
        step: &Step,
        statement: &Planned,
        begun: bool,
    ) -> Result<(), Failure> {
        if self.gently(step, statement, begun).await? {
            return Ok(());
        }
        if begun {
            // What is begun in steps is gone on with in steps; to begin anew might do something twice.
            return Err(Failure::Refused(
                "the ledger says that this was begun in steps, but there are none to go on with; finish it by hand and \
                 set its state in runbook.ledger to done"
                    .to_owned(),
            ));
        }
        if alone(&statement.operations) {
            self.query(&statement.text).await?;
            self.transaction(&[put(step, statement, Progress::Done, 0)])
                .await?;
            return Ok(());
        }
        self.noting(
            std::slice::from_ref(&statement.text),
            Some(&|rows| put(step, statement, Progress::Done, rows)),
        )
        .await
    }

    /// Statements in one transaction; tried again while a lock is not to be had.
    pub(super) async fn transaction(&mut self, statements: &[String]) -> Result<(), Failure> {
        self.noting(statements, None).await
    }

    /// The same, with a last statement made from the number of rows that the first one changed.
    async fn noting(
        &mut self,
        statements: &[String],
        note: Option<Note<'_>>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(self.want.pace.within_s);
        let mut pause = Duration::from_millis(200);
        loop {
            match self.attempt(statements, note).await {
                Err(Failure::Busy(text)) if Instant::now() + pause >= deadline => {
                    return Err(Failure::Refused(format!(
                        "{text}; no lock within {} s, in tries of {} ms each",
                        self.want.pace.within_s, self.want.pace.lock_timeout_ms
                    )));
                }
                Err(Failure::Busy(text)) => {
                    tracing::debug!(%text, "trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(3));
                }
                other => return other,
            }
        }
    }

    async fn attempt(
        &mut self,
        statements: &[String],
        note: Option<Note<'_>>,
    ) -> Result<(), Failure> {
        self.open(self.want.pace.lock_timeout_ms).await?;
        let mut rows = None;
        for statement in statements {
            match self.query(statement).await {
                Ok(messages) => {
                    rows.get_or_insert(changed(&messages));
                }
                Err(failure) => {
                    self.rollback().await;
                    return Err(failure);
                }
            }
        }
        if let Some(note) = note {
            let sql = note(rows.unwrap_or(0));
            if let Err(failure) = self.query(&sql).await {
                self.rollback().await;
                return Err(failure);
            }
        }
        self.commit().await
    }

    async fn open(&mut self, lock_timeout_ms: u64) -> Result<(), Failure> {
        let sql = format!("begin; set local lock_timeout = '{lock_timeout_ms}ms'; {DIGEST}");
        let digest = first(&self.query(&sql).await?).unwrap_or_default();
        if digest != self.digest {
            self.rollback().await;
            return Err(Failure::Moved(
                "the ledger has other rows than a moment ago".to_owned(),
            ));
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        match self.query(&format!("{DIGEST}; commit")).await {
            Ok(messages) => {
                self.digest = first(&messages).unwrap_or_default();
                Ok(())
            }
            Err(failure) => {
                self.rollback().await;
                Err(failure)
            }
        }
    }

    pub(super) async fn rollback(&mut self) {
        // Where even this fails the connection is gone, and the server rolls back by itself.
        let _ = self.query("rollback").await;
    }

    /// One message of statements, and all that comes back.
    pub(super) async fn query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Failure> {
        match tokio::time::timeout(
            STATEMENT + Duration::from_secs(60),
            self.client.simple_query(sql),
        )
        .await
        {
            Ok(Ok(messages)) => Ok(messages),
            Ok(Err(error)) => Err(Failure::from(&error)),
            Err(_) => Err(Failure::Broken(format!(
                "no answer within {} s",
                STATEMENT.as_secs()
            ))),
        }
    }

    /// Who holds locks on the table of a statement, as the end of a message.
    async fn holders(&self, statement: &Planned) -> String {
        let Some(table) = statement.operations.iter().find_map(|o| o.table()) else {
            return String::new();
        };
        let sql = format!(
            "select distinct 'process ' || a.pid || ', user ' || coalesce(a.usename, '?') || ', ' || \
             coalesce(nullif(a.application_name, ''), 'no name') || ', ' || coalesce(a.client_addr::text, 'local') \
             from pg_locks l join pg_stat_activity a using (pid) \
             where l.relation = to_regclass({}) and l.granted and l.pid <> pg_backend_pid() limit 5",
            literal(&quoted(table))
        );
        let rows = self
            .query(&sql)
            .await
            .map(|m| texts(&m))
            .unwrap_or_default();
        let found: Vec<String> = rows
            .into_iter()
            .filter_map(|mut r| r.pop().flatten())
            .collect();
        if found.is_empty() {
            String::new()
        } else {
            format!(" {table} is used by {}", found.join("; "))
        }
    }

    /// Takes a part back, its last statement first.
    async fn undo(&mut self, step: &Step) -> Result<(), Failure> {
        if step.adopt {
            let rows: Vec<String> = step.statements.iter().map(|s| gone(step, s)).collect();
            return self.transaction(&rows).await;
        }
        let mut all = Vec::new();
        for statement in step.statements.iter().rev() {
            let mut sql = statement.inverse.sql.clone();
            sql.push(gone(step, statement));
            if step.whole {
                all.extend(sql);
                continue;
            }
            let result = if alone(&statement.operations) {
                for one in &statement.inverse.sql {
                    self.query(one).await?;
                }
                self.transaction(&[gone(step, statement)]).await
            } else {
                self.transaction(&sql).await
            };
            result.map_err(|f| placed(f, step, statement))?;
            self.done.push(format!(
                "{} statement {} taken back,",
                step.title, statement.number
            ));
        }
        if !all.is_empty() {
            self.transaction(&all).await?;
            self.done.push(format!("{} taken back,", step.title));
        }
        Ok(())
    }
}

/// The first value of the last statement that gave rows.
pub(super) fn first(messages: &[SimpleQueryMessage]) -> Option<String> {
    texts(messages)
        .into_iter()
        .last()
        .and_then(|row| row.into_iter().next().flatten())
}

/// How many rows the statement changed.
pub(super) fn changed(messages: &[SimpleQueryMessage]) -> u64 {
    messages
        .iter()
        .find_map(|m| match m {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        })
        .unwrap_or(0)
}

/// Puts a row into the ledger, or brings the one that is there to this state.
pub(super) fn put(step: &Step, statement: &Planned, state: Progress, rows: u64) -> String {
    let inverse = statement.inverse.sql.join(";\n");
    let done = if state == Progress::Running {
        "null"
    } else {
        "clock_timestamp()"
    };
    format!(
        "insert into runbook.ledger (version, number, part, file, hash, state, statement, inverse, rows_changed, \
         done_at) values ({}, {}, {}, {}, {}, {}, {}, {}, {rows}, {done}) on conflict (version, number) do update set \
         state = excluded.state, done_at = excluded.done_at, \
         rows_changed = runbook.ledger.rows_changed + excluded.rows_changed",
        literal(&step.version.to_string()),
        statement.number,
        step.part,
        literal(&step.file),
        literal(&statement.hash),
        literal(state.word()),
        literal(&statement.text),
        literal(&inverse),
    )
}

/// Takes a row out of the ledger.
pub(super) fn gone(step: &Step, statement: &Planned) -> String {
    format!(
        "delete from runbook.ledger where {}",
        this_row(step, statement)
    )
}

/// The condition for a statement's row.
pub(super) fn this_row(step: &Step, statement: &Planned) -> String {
    format!(
        "version = {} and number = {}",
        literal(&step.version.to_string()),
        statement.number
    )
}

/// A failure with the file, the line and the statement.
fn placed(failure: Failure, step: &Step, statement: &Planned) -> Failure {
    let at = format!(
        "{}:{}: {}",
        step.file,
        statement.line,
        one_line(&statement.text)
    );
    match failure {
        Failure::Refused(text) => Failure::Refused(format!("{at}: {text}")),
        Failure::Busy(text) => Failure::Refused(format!("{at}: {text}")),
        Failure::Moved(text) => Failure::Moved(text),
        Failure::Broken(text) => Failure::Broken(format!("{at}: {text}")),
    }
}
