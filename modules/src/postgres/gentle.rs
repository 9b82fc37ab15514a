//! Ways to apply a statement beside clients who must not wait: the same result, in steps that each hold their lock
//! for a moment only.
//!
//! | statement | on a table of more than one batch of rows |
//! |---|---|
//! | `update` | in batches by primary key, each its own transaction; see below |
//! | `create index` | `concurrently` |
//! | `alter … set not null` | a check that is not valid, its validation, `set not null` (which from PostgreSQL 12 on relies on the check), the check dropped |
//! | `add constraint … foreign key` | `not valid`, then its validation |
//!
//! A statement of several steps stands in the ledger as `running` from the first of them on, and a later run goes on
//! where it stopped.
//!
//! # What an update in batches means
//!
//! Batches go by primary key from the lowest to the key that was the highest when the update began; each commits
//! together with its last key in the ledger. So every row that was there at the beginning, and still is when its turn
//! comes, is updated exactly once, whatever others do to it before or after; a row that others insert above that key
//! counts as inserted after the update, one inserted below it as inserted before, where its turn is still to come. One
//! statement run as a whole leaves the same, with its own moment for every row. After a kill only the rest is done, and
//! after the end nothing is done again.

use std::time::Duration;

use tokio::time::Instant;

use super::inverse::quoted;
use super::ledger::Progress;
use super::object::{Definition, Object};
use super::operation::{Operation, Update};
use super::plan::{Planned, Step};
use super::schema_kind::Pace;
use super::session::{literal, texts};
use super::writing::{Failure, Writer, changed, first, gone, put, this_row};

/// What a batch should take: far less than the second that a client may have to wait for a row.
const BATCH: Duration = Duration::from_millis(100);
/// The smallest batch.
const FEW: u32 = 50;

impl Writer<'_> {
    /// Applies the statement in steps, where there is a way and the table is large. False: it was not.
    pub(super) async fn gently(
        &mut self,
        step: &Step,
        statement: &Planned,
        begun: bool,
    ) -> Result<bool, Failure> {
        let [operation] = statement.operations.as_slice() else {
            return Ok(false);
        };
        let Some(table) = operation.table() else {
            return Ok(false);
        };
        if !begun && (self.want.pace.batch == 0 || !self.large(table).await?) {
            return Ok(false);
        }
        match operation {
            Operation::Update(update) if update.whole.is_none() => {
                self.in_batches(step, statement, update, begun).await
            }
            Operation::SetNotNull { table, column } if self.version >= 120_000 => {
                self.not_null(step, statement, table, column, begun).await?;
                Ok(true)
            }
            Operation::CreateIndex {
                index: Object::Index { name, .. },
                table,
                concurrently: false,
            } => self.index(step, statement, name, table).await,
            Operation::AddConstraint {
                constraint:
                    Object::Constraint {
                        table,
                        name,
                        definition: Definition::ForeignKey { .. },
                    },
                not_valid: false,
            } => {
                self.foreign_key(step, statement, table, name, begun)
                    .await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Has the table more rows than fit into one batch?
    async fn large(&self, table: &str) -> Result<bool, Failure> {
        let exists = self
            .query(&format!(
                "select to_regclass({}) is not null",
                literal(&quoted(table))
            ))
            .await?;
        if first(&exists).as_deref() != Some("t") {
            return Ok(false);
        }
        let batch = self.want.pace.batch;
        let rows = self
            .query(&format!(
                "select count(*) > {batch} from (select 1 from {} limit {batch} + 1) s",
                quoted(table)
            ))
            .await?;
        Ok(first(&rows).as_deref() == Some("t"))
    }

    async fn in_batches(
        &mut self,
        step: &Step,
        statement: &Planned,
        update: &Update,
        begun: bool,
    ) -> Result<bool, Failure> {
        let key = self.primary_key(&update.table).await?;
        if key.is_empty() || key.iter().any(|k| update.sets.contains(&k.name)) {
            return if begun {
                Err(lost(&update.table))
            } else {
                Ok(false)
            };
        }
        let batches = Batches::new(statement, update, &key);
        let row = this_row(step, statement);
        if !begun {
            let Some(upto) = texts(&self.query(&batches.highest()).await?).pop() else {
                return Ok(false);
            };
            let upto = keys(upto);
            let begin = format!(
                "update runbook.ledger set upto = {} where {row}",
                literal(&to_json(&upto))
            );
            self.transaction(&[put(step, statement, Progress::Running, 0), begin])
                .await?;
        }
        let found = texts(
            &self
                .query(&format!(
                    "select progress, upto from runbook.ledger where {row}"
                ))
                .await?,
        );
        let Some([progress, upto]) = found.first().map(|r| [r[0].clone(), r[1].clone()]) else {
            return Err(Failure::Moved(
                "the row of the statement is gone from the ledger".to_owned(),
            ));
        };
        let upto = upto.as_deref().and_then(from_json);
        let Some(upto) = upto.filter(|upto| upto.len() == key.len()) else {
            return Err(lost(&update.table));
        };
        let mut progress = progress.as_deref().and_then(from_json);
        // An update begun in batches goes on in batches, whatever is asked for now.
        let most = if self.want.pace.batch == 0 {
            Pace::default().batch
        } else {
            self.want.pace.batch
        };
        let mut size = most;
        let deadline = Duration::from_secs(self.want.pace.within_s);
        let mut stuck = None::<Instant>;
        loop {
            let started = Instant::now();
            match self
                .batch(&batches, &row, progress.as_ref(), &upto, size)
                .await
            {
                Ok(Some(last)) => {
                    progress = Some(last);
                    stuck = None;
                    size = next_size(size, started.elapsed(), most);
                }
                Ok(None) => break,
                Err(Failure::Busy(text)) => {
                    self.rollback().await;
                    let since = *stuck.get_or_insert(started);
                    if since.elapsed() > deadline {
                        return Err(Failure::Refused(format!(
                            "{text}; no lock within {} s",
                            deadline.as_secs()
                        )));
                    }
                    size = (size / 4).max(FEW);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(failure) => {
                    self.rollback().await;
                    return Err(failure);
                }
            }
        }
        self.transaction(&[put(step, statement, Progress::Done, 0)])
            .await?;
        Ok(true)
    }

    /// One batch behind `progress`; its last key, or none where nothing is left.
    async fn batch(
        &self,
        batches: &Batches<'_>,
        row: &str,
        progress: Option<&Vec<String>>,
        upto: &[String],
        size: u32,
    ) -> Result<Option<Vec<String>>, Failure> {
        let found = self.query(&batches.bound(progress, upto, size)).await?;
        let Some(last) = texts(&found).pop().map(keys) else {
            return Ok(None);
        };
        let known = progress.map_or_else(|| "null".to_owned(), |p| literal(&to_json(p)));
        // The row of the ledger is locked first: it shows that nobody else has gone on from here.
        let open = self
            .query(&format!(
                "begin; set local lock_timeout = '{}ms'; select 1 from runbook.ledger where {row} and \
                 state = 'running' and progress is not distinct from {known} for update",
                self.want.pace.lock_timeout_ms
            ))
            .await?;
        if texts(&open).is_empty() {
            return Err(Failure::Moved(
                "the batch after the last one is not ours to do".to_owned(),
            ));
        }
        let rows = changed(&self.query(&batches.update(progress, &last)).await?);
        let noted = literal(&to_json(&last));
        self.query(&format!(
            "update runbook.ledger set progress = {noted}, rows_changed = rows_changed + {rows} where {row}; commit"
        ))
        .await?;
        Ok(Some(last))
    }

    async fn primary_key(&self, table: &str) -> Result<Vec<KeyColumn>, Failure> {
        let sql = format!(
            "select a.attname, format_type(a.atttypid, a.atttypmod) from pg_index x \
             cross join lateral unnest(x.indkey) with ordinality k(att, n) \
             join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.att \
             where x.indrelid = to_regclass({}) and x.indisprimary and k.n <= x.indnkeyatts order by k.n",
            literal(&quoted(table))
        );
        let rows = texts(&self.query(&sql).await?);
        Ok(rows
            .into_iter()
            .filter_map(|row| match row.as_slice() {
                [Some(name), Some(of_type)] => Some(KeyColumn {
                    name: name.clone(),
                    of_type: of_type.clone(),
                }),
                _ => None,
            })
            .collect())
    }

    async fn not_null(
        &mut self,
        step: &Step,
        statement: &Planned,
        table: &str,
        column: &str,
        begun: bool,
    ) -> Result<(), Failure> {
        let check = quoted(&format!(
            "runbook_not_null_{}_{}",
            step.part, statement.number
        ));
        let on = quoted(table);
        if !begun {
            let add = format!(
                "alter table {on} add constraint {check} check ({} is not null) not valid",
                quoted(column)
            );
            self.transaction(&[put(step, statement, Progress::Running, 0), add])
                .await?;
        }
        match self
            .transaction(&[format!("alter table {on} validate constraint {check}")])
            .await
        {
            Ok(()) => {}
            Err(Failure::Refused(text)) => {
                let nulls = self
                    .query(&format!(
                        "select count(*) from {on} where {} is null",
                        quoted(column)
                    ))
                    .await;
                let nulls = nulls
                    .ok()
                    .and_then(|m| first(&m))
                    .unwrap_or_else(|| "some".to_owned());
                self.transaction(&[
                    format!("alter table {on} drop constraint {check}"),
                    gone(step, statement),
                ])
                .await?;
                return Err(Failure::Refused(format!(
                    "{nulls} rows of {table} have no {column}: {text}"
                )));
            }
            Err(failure) => return Err(failure),
        }
        self.transaction(&[
            statement.text.clone(),
            format!("alter table {on} drop constraint {check}"),
            put(step, statement, Progress::Done, 0),
        ])
        .await?;
        Ok(())
    }

    async fn foreign_key(
        &mut self,
        step: &Step,
        statement: &Planned,
        table: &str,
        name: &str,
        begun: bool,
    ) -> Result<(), Failure> {
        let on = quoted(table);
        if !begun {
            let add = format!("{} not valid", statement.text);
            self.transaction(&[add, put(step, statement, Progress::Running, 0)])
                .await?;
        }
        let validate = [
            format!("alter table {on} validate constraint {}", quoted(name)),
            put(step, statement, Progress::Done, 0),
        ];
        match self.transaction(&validate).await {
            Err(Failure::Refused(text)) => {
                let drop = format!("alter table {on} drop constraint {}", quoted(name));
                self.transaction(&[drop, gone(step, statement)]).await?;
                Err(Failure::Refused(text))
            }
            other => other,
        }
    }

    async fn index(
        &mut self,
        step: &Step,
        statement: &Planned,
        name: &str,
        table: &str,
    ) -> Result<bool, Failure> {
        let Some(beside) = concurrently(&statement.text) else {
            return Ok(false);
        };
        let schema = table
            .rsplit_once('.')
            .map(|(s, _)| format!("{}.", quoted(s)))
            .unwrap_or_default();
        let path = format!("{schema}\"{}\"", name.replace('"', "\"\""));
        self.transaction(&[put(step, statement, Progress::Running, 0)])
            .await?;
        let valid = self
            .query(&format!(
                "select indisvalid from pg_index where indexrelid = to_regclass({})",
                literal(&path)
            ))
            .await?;
        // Its lock hinders no reader and no writer, so it may wait for those who are in the midst of a transaction.
        let within = self.want.pace.within_s;
        self.query(&format!("set lock_timeout = '{within}s'"))
            .await?;
        let built = match first(&valid).as_deref() {
            Some("t") => Ok(Vec::new()),
            Some(_) => {
                // What a broken-off building left behind.
                self.query(&format!("drop index concurrently {path}"))
                    .await?;
                self.query(&beside).await
            }
            None => self.query(&beside).await,
        };
        if let Err(failure) = built {
            if !matches!(failure, Failure::Broken(_)) {
                self.query(&format!("drop index concurrently if exists {path}"))
                    .await?;
                self.transaction(&[gone(step, statement)]).await?;
            }
            return Err(failure);
        }
        self.transaction(&[put(step, statement, Progress::Done, 0)])
            .await?;
        Ok(true)
    }
}

/// An update whose batches cannot be gone on with.
fn lost(table: &str) -> Failure {
    Failure::Refused(format!(
        "this update was begun in batches by the primary key of {table}, which is no longer the one it was begun with; \
         finish it by hand and set its state in runbook.ledger to done"
    ))
}

/// `create [unique] index …` with `concurrently` in its place.
fn concurrently(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split_whitespace();
    let index = match (words.next()?, words.next()?) {
        ("create", "index") => true,
        ("create", "unique") => words.next()? == "index",
        _ => false,
    };
    let at = lower.find("index")? + "index".len();
    index.then(|| format!("{} concurrently{}", &text[..at], &text[at..]))
}

/// The size of the next batch: so that it takes [`BATCH`], at most doubled.
fn next_size(size: u32, took: Duration, most: u32) -> u32 {
    let took = took.as_millis().max(1);
    let fitting = u128::from(size) * BATCH.as_millis() / took;
    let fitting = u32::try_from(fitting)
        .unwrap_or(u32::MAX)
        .min(size.saturating_mul(2));
    fitting.clamp(FEW.min(most), most)
}

struct KeyColumn {
    name: String,
    of_type: String,
}

/// The statements of an update in batches.
struct Batches<'a> {
    head: &'a str,
    condition: Option<&'a str>,
    table: String,
    called: String,
    key: &'a [KeyColumn],
}

impl<'a> Batches<'a> {
    fn new(statement: &'a Planned, update: &'a Update, key: &'a [KeyColumn]) -> Self {
        let head = statement
            .text
            .get(..update.head)
            .unwrap_or(&statement.text)
            .trim_end();
        let table = quoted(&update.table);
        // A table is called by its last name within the statement, unless it has an alias.
        let own = update.called.rsplit('.').next().unwrap_or(&update.called);
        Self {
            head,
            condition: update.condition.as_deref(),
            table,
            called: quoted(own),
            key,
        }
    }

    fn columns(&self) -> Vec<String> {
        self.key
            .iter()
            .map(|k| format!("{}.{}", self.called, quoted(&k.name)))
            .collect()
    }

    fn compared(&self, with: &str, values: &[String]) -> String {
        let casts: Vec<String> = self
            .key
            .iter()
            .zip(values)
            .map(|(k, v)| format!("cast({} as {})", literal(v), k.of_type))
            .collect();
        format!(
            "({}) {with} ({})",
            self.columns().join(", "),
            casts.join(", ")
        )
    }

    fn range(&self, after: Option<&Vec<String>>, upto: &[String]) -> String {
        let mut parts = Vec::new();
        if let Some(condition) = self.condition {
            // The line break ends a comment that the condition may end in.
            parts.push(format!("({condition}\n)"));
        }
        if let Some(after) = after {
            parts.push(self.compared(">", after));
        }
        parts.push(self.compared("<=", upto));
        parts.join(" and ")
    }

    fn listed(&self, from: &str, rest: &str, descending: &str) -> String {
        let inner: Vec<String> = self
            .columns()
            .iter()
            .enumerate()
            .map(|(i, c)| format!("{c} as k{i}"))
            .collect();
        let outer: Vec<String> = (0..self.key.len()).map(|i| format!("k{i}::text")).collect();
        let order: Vec<String> = (0..self.key.len()).map(|i| format!("k{i} desc")).collect();
        let inner_order: Vec<String> = self
            .columns()
            .iter()
            .map(|c| format!("{c}{descending}"))
            .collect();
        format!(
            "select {} from (select {} from {from} {rest} order by {} limit ",
            outer.join(", "),
            inner.join(", "),
            inner_order.join(", ")
        ) + "{} ) s order by "
            + &order.join(", ")
            + " limit 1"
    }

    fn from(&self) -> String {
        format!("{} as {}", self.table, self.called)
    }

    /// The highest key of all rows.
    fn highest(&self) -> String {
        self.listed(&self.from(), "", " desc").replace("{}", "1")
    }

    /// The last key of the next batch.
    fn bound(&self, after: Option<&Vec<String>>, upto: &[String], size: u32) -> String {
        let rest = format!("where {}", self.range(after, upto));
        let sql = self.listed(&self.from(), &rest, "");
        match sql.rfind("{}") {
            Some(at) => format!("{}{size}{}", &sql[..at], &sql[at + 2..]),
            None => sql,
        }
    }

    fn update(&self, after: Option<&Vec<String>>, last: &[String]) -> String {
        format!("{}\nwhere {}", self.head, self.range(after, last))
    }
}

fn keys(row: Vec<Option<String>>) -> Vec<String> {
    row.into_iter().map(Option::unwrap_or_default).collect()
}

fn to_json(keys: &[String]) -> String {
    serde_json::to_string(keys).unwrap_or_default()
}

fn from_json(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}
