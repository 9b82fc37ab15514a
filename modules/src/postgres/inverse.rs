//! Statements that take statements back, and what is lost on the way.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::object::Object;
use super::operation::Operation;

/// How a statement is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inverse {
    /// Statements to run, in order; empty where nothing has to be done.
    pub sql: Vec<String>,
    /// What does not come back, though the schema does.
    pub loses: Vec<String>,
    /// Why the schema does not come back.
    pub never: Vec<String>,
}

/// Tables and columns that the statements before have made: what happens in them is taken back with them.
#[derive(Debug, Clone, Default)]
pub struct Made {
    tables: BTreeSet<String>,
    columns: BTreeSet<(String, String)>,
}

impl Made {
    /// Adds what these operations make.
    pub fn add(&mut self, operations: &[Operation]) {
        for operation in operations {
            match operation {
                Operation::CreateTable { table } => {
                    self.tables.insert(table.clone());
                }
                Operation::AddColumn { table, column, .. } => {
                    self.columns.insert((table.clone(), column.clone()));
                }
                _ => {}
            }
        }
    }
}

/// A name, quoted, each part of it.
#[must_use]
pub fn quoted(name: &str) -> String {
    name.split('.')
        .map(|part| format!("\"{}\"", part.replace('"', "\"\"")))
        .collect::<Vec<_>>()
        .join(".")
}

/// How these operations of one statement are taken back, after those before it have made what `made` says.
#[must_use]
pub fn inverse(operations: &[Operation], made: &Made) -> Inverse {
    let mut all = Inverse::default();
    for operation in operations.iter().rev() {
        one(operation, made, &mut all);
    }
    all
}

fn one(operation: &Operation, made: &Made, all: &mut Inverse) {
    let alter = |table: &str, action: String| format!("alter table {} {action}", quoted(table));
    match operation {
        Operation::AddColumn { table, column, .. } => {
            all.sql
                .push(alter(table, format!("drop column {}", quoted(column))));
            all.loses.push(format!("the values of {table}.{column}"));
        }
        Operation::AddConstraint {
            constraint: Object::Constraint { table, name, .. },
            ..
        } => {
            all.sql
                .push(alter(table, format!("drop constraint {}", quoted(name))));
        }
        Operation::SetNotNull { table, column } => {
            all.sql.push(alter(
                table,
                format!("alter column {} drop not null", quoted(column)),
            ));
        }
        Operation::DropNotNull { table, column } => {
            all.sql.push(alter(
                table,
                format!("alter column {} set not null", quoted(column)),
            ));
        }
        Operation::CreateTable { table } => {
            all.sql.push(format!("drop table {}", quoted(table)));
            all.loses.push(format!("the rows of {table}"));
        }
        Operation::CreateIndex {
            index: Object::Index { name, .. },
            table,
            concurrently,
        } => {
            // An index stands in the schema of its table.
            let schema = table
                .rsplit_once('.')
                .map(|(s, _)| format!("{}.", quoted(s)))
                .unwrap_or_default();
            let how = if *concurrently { "concurrently " } else { "" };
            all.sql
                .push(format!("drop index {how}{schema}{}", quoted(name)));
        }
        Operation::CreateSequence { name } => {
            all.sql.push(format!("drop sequence {}", quoted(name)))
        }
        Operation::Update(update) => {
            let kept: Vec<&str> = update
                .sets
                .iter()
                .filter(|c| {
                    !made.tables.contains(&update.table)
                        && !made.columns.contains(&(update.table.clone(), (*c).clone()))
                })
                .map(String::as_str)
                .collect();
            if !kept.is_empty() {
                all.loses.push(format!(
                    "which values {}.{} had before",
                    update.table,
                    kept.join(", ")
                ));
            }
        }
        Operation::Insert { table } if !made.tables.contains(table) => {
            all.loses
                .push(format!("nothing, but the rows inserted into {table} stay"));
        }
        Operation::Insert { .. } => {}
        Operation::Delete { table } if made.tables.contains(table) => {}
        Operation::Delete { table } => all
            .never
            .push(format!("the deleted rows of {table} are gone")),
        Operation::DropColumn { table, column } => {
            all.never
                .push(format!("column {table}.{column} and its values are gone"));
        }
        Operation::DropTable { table } => all
            .never
            .push(format!("table {table} and its rows are gone")),
        Operation::DropSequence { name } => all
            .never
            .push(format!("sequence {name} and its position are gone")),
        Operation::DropIndex { name, .. } => {
            all.never.push(format!(
                "the definition of index {name} is not in the script"
            ));
        }
        Operation::DropConstraint { table, name } => {
            all.never.push(format!(
                "the definition of constraint {table}.{name} is not in the script"
            ));
        }
        Operation::AlterType { table, column } => {
            all.never.push(format!(
                "the former type of {table}.{column} is not in the script"
            ));
        }
        Operation::AlterTable { table } => all
            .never
            .push(format!("what is altered in {table} is not understood")),
        Operation::Other(words) => all.never.push(format!("`{words} …` is not understood")),
        Operation::AddConstraint { .. } | Operation::CreateIndex { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn of(sql: &str) -> Inverse {
        let script = Script::parse("f", sql.as_bytes()).unwrap();
        let (last, before) = script.statements.split_last().unwrap();
        let mut made = Made::default();
        before.iter().for_each(|s| made.add(&s.operations));
        inverse(&last.operations, &made)
    }

    #[test]
    fn taken_back_wholly() {
        for (sql, back) in [
            (
                "create index IDXe6 on task (exporter_id)",
                "drop index \"idxe6\"",
            ),
            ("create index i on arc.task (a)", "drop index \"arc\".\"i\""),
            (
                "create index concurrently i on t (a)",
                "drop index concurrently \"i\"",
            ),
            ("create sequence S", "drop sequence \"s\""),
            (
                "alter table t alter a set not null",
                "alter table \"t\" alter column \"a\" drop not null",
            ),
            (
                "alter table t alter a drop not null",
                "alter table \"t\" alter column \"a\" set not null",
            ),
            (
                "alter table t add constraint UK unique (a)",
                "alter table \"t\" drop constraint \"uk\"",
            ),
        ] {
            assert_eq!(
                of(sql),
                Inverse {
                    sql: vec![back.to_owned()],
                    ..Inverse::default()
                },
                "{sql}"
            );
        }
        let two = of("alter table t add a int, alter b drop not null");
        assert_eq!(
            two.sql,
            [
                "alter table \"t\" alter column \"b\" set not null",
                "alter table \"t\" drop column \"a\""
            ]
        );
    }

    #[test]
    fn taken_back_with_a_loss() {
        for (sql, loses) in [
            ("alter table t add a int", "the values of t.a"),
            ("create table t (a int)", "the rows of t"),
            (
                "update t set a = 1 where a is null",
                "which values t.a had before",
            ),
            (
                "insert into t values (1)",
                "nothing, but the rows inserted into t stay",
            ),
        ] {
            let inverse = of(sql);
            assert_eq!(inverse.loses, [loses], "{sql}");
            assert!(inverse.never.is_empty(), "{sql}");
        }
    }

    #[test]
    fn what_happens_in_a_column_made_before_goes_with_it() {
        for sql in [
            "alter table t add a int; update t set a = 1",
            "create table t (a int); insert into t values (1)",
            "create table t (a int); update t set a = 1",
        ] {
            assert_eq!(of(sql), Inverse::default(), "{sql}");
        }
        assert_eq!(
            of("alter table t add a int; update t set a = 1, b = 2").loses,
            ["which values t.b had before"]
        );
    }

    #[test]
    fn never_taken_back() {
        for sql in [
            "alter table t drop a",
            "drop table t",
            "drop sequence s",
            "drop index i",
            "alter table t drop constraint c",
            "alter table t alter a type text",
            "delete from t where a = 1",
            "grant select on t to u",
        ] {
            let inverse = of(sql);
            assert_eq!((inverse.never.len(), inverse.sql.len()), (1, 0), "{sql}");
        }
    }
}
