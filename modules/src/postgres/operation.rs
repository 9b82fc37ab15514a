//! What a statement does: to which objects, under which lock, whether inside a transaction.
//!
//! Names are given as the catalogue has them: unquoted ones folded to lower case. What is not understood is
//! [`Operation::Other`]: it is carried out like anything else, but nothing is claimed of it.

use serde::{Deserialize, Serialize};

use super::object::{Definition, Object};
use super::script::Token;

/// One thing that a statement does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// `alter table … add column`.
    AddColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// `not null`, or a primary key.
        not_null: bool,
        /// It has a default, which may have to be computed for every row.
        default: bool,
        /// `unique` or a primary key: an index is built.
        unique: bool,
    },
    /// `alter table … drop column`.
    DropColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// `alter table … add constraint`.
    AddConstraint {
        /// The constraint.
        constraint: Object,
        /// `not valid`: rows that are there are not looked at.
        not_valid: bool,
    },
    /// `alter table … drop constraint`.
    DropConstraint {
        /// The table.
        table: String,
        /// The name.
        name: String,
    },
    /// `alter table … alter … set not null`.
    SetNotNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// `alter table … alter … drop not null`.
    DropNotNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// `alter table … alter … type`.
    AlterType {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Anything else that `alter table` does.
    AlterTable {
        /// The table.
        table: String,
    },
    /// `create table`.
    CreateTable {
        /// The table.
        table: String,
    },
    /// `drop table`.
    DropTable {
        /// The table.
        table: String,
    },
    /// `create index`.
    CreateIndex {
        /// The index.
        index: Object,
        /// Its table.
        table: String,
        /// Built beside writers.
        concurrently: bool,
    },
    /// `drop index`.
    DropIndex {
        /// The index.
        name: String,
        /// Dropped beside writers.
        concurrently: bool,
    },
    /// `create sequence`.
    CreateSequence {
        /// The sequence.
        name: String,
    },
    /// `drop sequence`.
    DropSequence {
        /// The sequence.
        name: String,
    },
    /// `update`.
    Update(Update),
    /// `insert`.
    Insert {
        /// The table.
        table: String,
    },
    /// `delete` or `truncate`.
    Delete {
        /// The table.
        table: String,
    },
    /// Not understood; its first words.
    Other(String),
}

/// An `update` statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The table.
    pub table: String,
    /// How the statement itself calls the table (its alias, or the name).
    pub called: String,
    /// The columns that are set.
    pub sets: Vec<String>,
    /// Which rows; none: all of them.
    pub condition: Option<String>,
    /// Length of the statement's text up to `where`, or all of it.
    pub head: usize,
    /// Why it cannot be done in batches by key, where it cannot.
    pub whole: Option<String>,
}

/// Locks on tables, from the weakest to the strongest of those that statements take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lock {
    /// Hinders nobody but those who change the same rows.
    RowExclusive,
    /// Hinders other changes of the table's definition only.
    ShareUpdateExclusive,
    /// Hinders those who write.
    Share,
    /// Hinders those who write.
    ShareRowExclusive,
    /// Hinders those who read, too.
    AccessExclusive,
    /// Not known.
    Unknown,
}

impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
            Self::Unknown => "unknown lock",
        })
    }
}

/// What an operation does to an object of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is there afterwards; a column with this `not null`.
    Creates(Object, bool),
    /// It is gone afterwards.
    Drops(Object),
    /// A column's `not null` is this afterwards.
    NotNull(Object, bool),
}

impl Effect {
    /// The object.
    #[must_use]
    pub fn object(&self) -> &Object {
        match self {
            Self::Creates(o, _) | Self::Drops(o) | Self::NotNull(o, _) => o,
        }
    }
}

impl Operation {
    /// The strongest lock it takes on the table it names.
    #[must_use]
    pub fn lock(&self) -> Lock {
        match self {
            Self::AddConstraint {
                constraint:
                    Object::Constraint {
                        definition: Definition::ForeignKey { .. },
                        ..
                    },
                ..
            } => Lock::ShareRowExclusive,
            Self::AddColumn { .. }
            | Self::DropColumn { .. }
            | Self::AddConstraint { .. }
            | Self::DropConstraint { .. }
            | Self::SetNotNull { .. }
            | Self::DropNotNull { .. }
            | Self::AlterType { .. }
            | Self::AlterTable { .. }
            | Self::DropTable { .. }
            | Self::DropIndex {
                concurrently: false,
                ..
            }
            | Self::DropSequence { .. } => Lock::AccessExclusive,
            Self::CreateIndex {
                concurrently: false,
                ..
            } => Lock::Share,
            Self::CreateIndex { .. } | Self::DropIndex { .. } => Lock::ShareUpdateExclusive,
            Self::CreateTable { .. }
            | Self::CreateSequence { .. }
            | Self::Update(_)
            | Self::Insert { .. }
            | Self::Delete { .. } => Lock::RowExclusive,
            Self::Other(_) => Lock::Unknown,
        }
    }

    /// The table it names.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::AddColumn { table, .. }
            | Self::DropColumn { table, .. }
            | Self::DropConstraint { table, .. }
            | Self::SetNotNull { table, .. }
            | Self::DropNotNull { table, .. }
            | Self::AlterType { table, .. }
            | Self::AlterTable { table }
            | Self::CreateTable { table }
            | Self::DropTable { table }
            | Self::CreateIndex { table, .. }
            | Self::Insert { table }
            | Self::Delete { table } => Some(table),
            Self::AddConstraint { constraint, .. } => match constraint {
                Object::Constraint { table, .. } => Some(table),
                _ => None,
            },
            Self::Update(update) => Some(&update.table),
            Self::DropIndex { .. }
            | Self::CreateSequence { .. }
            | Self::DropSequence { .. }
            | Self::Other(_) => None,
        }
    }

    /// Does it look at, or write, every row of its table?
    #[must_use]
    pub fn visits_rows(&self) -> bool {
        match self {
            Self::AddColumn {
                default, unique, ..
            } => *default || *unique,
            Self::AddConstraint { not_valid, .. } => !not_valid,
            Self::SetNotNull { .. }
            | Self::AlterType { .. }
            | Self::CreateIndex { .. }
            | Self::Update(_)
            | Self::Delete { .. } => true,
            _ => false,
        }
    }

    /// What the catalogue shows of it.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        let column = |table: &String, column: &String| Object::Column {
            table: table.clone(),
            column: column.clone(),
        };
        match self {
            Self::AddColumn {
                table,
                column: c,
                not_null,
                ..
            } => vec![Effect::Creates(column(table, c), *not_null)],
            Self::DropColumn { table, column: c } => vec![Effect::Drops(column(table, c))],
            Self::SetNotNull { table, column: c } => vec![Effect::NotNull(column(table, c), true)],
            Self::DropNotNull { table, column: c } => {
                vec![Effect::NotNull(column(table, c), false)]
            }
            Self::AddConstraint { constraint, .. } => {
                vec![Effect::Creates(constraint.clone(), false)]
            }
            Self::DropConstraint { table, name } => vec![Effect::Drops(Object::Constraint {
                table: table.clone(),
                name: name.clone(),
                definition: Definition::Other,
            })],
            Self::CreateTable { table } => {
                vec![Effect::Creates(Object::Table(table.clone()), false)]
            }
            Self::DropTable { table } => vec![Effect::Drops(Object::Table(table.clone()))],
            Self::CreateIndex { index, .. } => vec![Effect::Creates(index.clone(), false)],
            Self::DropIndex { name, .. } => {
                vec![Effect::Drops(Object::Index {
                    name: name.clone(),
                    definition: Definition::Other,
                })]
            }
            Self::CreateSequence { name } => {
                vec![Effect::Creates(Object::Sequence(name.clone()), false)]
            }
            Self::DropSequence { name } => vec![Effect::Drops(Object::Sequence(name.clone()))],
            Self::AlterType { .. }
            | Self::AlterTable { .. }
            | Self::Update(_)
            | Self::Insert { .. }
            | Self::Delete { .. }
            | Self::Other(_) => Vec::new(),
        }
    }
}

/// The strongest lock of a statement's operations.
#[must_use]
pub fn lock_of(operations: &[Operation]) -> Lock {
    operations
        .iter()
        .map(Operation::lock)
        .max()
        .unwrap_or(Lock::Unknown)
}

/// Has the statement to run outside of any transaction block?
#[must_use]
pub fn alone(operations: &[Operation]) -> bool {
    operations.iter().any(|o| match o {
        Operation::CreateIndex { concurrently, .. } | Operation::DropIndex { concurrently, .. } => {
            *concurrently
        }
        Operation::Other(words) => {
            let list = [
                "vacuum",
                "create database",
                "drop database",
                "create tablespace",
                "drop tablespace",
                "alter system",
            ];
            list.iter().any(|w| words.starts_with(w))
                || (words.starts_with("reindex") && words.contains("concurrently"))
        }
        _ => false,
    })
}

/// Understands a statement.
pub(super) fn recognise(tokens: &[Token], text: &str) -> Vec<Operation> {
    let mut cursor = Cursor { tokens, at: 0 };
    let found = if cursor.take(&["alter", "table"]) {
        alter_table(&mut cursor)
    } else if cursor.take(&["create"]) {
        create(&mut cursor).map(|o| vec![o])
    } else if cursor.take(&["drop"]) {
        drop(&mut cursor)
    } else if cursor.take(&["update"]) {
        update(&mut cursor, text).map(|u| vec![Operation::Update(u)])
    } else if cursor.take(&["insert", "into"]) {
        cursor.name().map(|table| vec![Operation::Insert { table }])
    } else if cursor.take(&["delete", "from"]) {
        cursor.take(&["only"]);
        cursor.name().map(|table| vec![Operation::Delete { table }])
    } else if cursor.take(&["truncate"]) {
        cursor.take(&["table"]);
        cursor.take(&["only"]);
        cursor.name().map(|table| vec![Operation::Delete { table }])
    } else {
        None
    };
    found.filter(|list| !list.is_empty()).unwrap_or_else(|| {
        let words = tokens
            .iter()
            .take(4)
            .map(|t| t.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        vec![Operation::Other(words)]
    })
}

struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Cursor<'_> {
    fn word(&self, ahead: usize) -> &str {
        self.tokens
            .get(self.at + ahead)
            .map_or("", |t| t.text.as_str())
    }

    /// Steps over these words, or stays.
    fn take(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(i, w)| self.word(i) == *w);
        if found {
            self.at += words.len();
        }
        found
    }

    /// A name, with its schema where it is written.
    fn name(&mut self) -> Option<String> {
        let mut name = self.part()?;
        while self.word(0) == "." {
            self.at += 1;
            name = format!("{name}.{}", self.part()?);
        }
        Some(name)
    }

    fn part(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at).filter(|t| t.word)?;
        self.at += 1;
        Some(token.name())
    }

    /// `(a, b)` of plain names; none where it is anything else.
    fn columns(&mut self) -> Option<Vec<String>> {
        if !self.take(&["("]) {
            return None;
        }
        let mut names = Vec::new();
        loop {
            names.push(self.part()?);
            if self.take(&[")"]) {
                return Some(names);
            }
            if !self.take(&[","]) {
                return None;
            }
        }
    }

    /// The rest up to a comma or the end outside of parentheses.
    fn rest_of_action(&mut self) -> Vec<String> {
        let (mut depth, mut words) = (0_i32, Vec::new());
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "," if depth == 0 => break,
                _ => {}
            }
            words.push(token.text.clone());
            self.at += 1;
        }
        words
    }
}

fn alter_table(cursor: &mut Cursor<'_>) -> Option<Vec<Operation>> {
    cursor.take(&["if", "exists"]);
    cursor.take(&["only"]);
    let table = cursor.name()?;
    cursor.take(&["*"]);
    let mut operations = Vec::new();
    loop {
        let operation = alter_action(cursor, &table).unwrap_or(Operation::AlterTable {
            table: table.clone(),
        });
        operations.push(operation);
        cursor.rest_of_action();
        if !cursor.take(&[","]) {
            return Some(operations);
        }
    }
}

fn alter_action(cursor: &mut Cursor<'_>, table: &str) -> Option<Operation> {
    let table = table.to_owned();
    if cursor.take(&["add"]) {
        let named = cursor.take(&["constraint"]);
        let starts = ["unique", "primary", "foreign", "check", "exclude"];
        if named
            || (starts.contains(&cursor.word(0)) && !cursor.tokens.get(cursor.at + 1)?.word)
            || matches!(
                (cursor.word(0), cursor.word(1)),
                ("primary" | "foreign", "key")
            )
        {
            let name = if named { cursor.part()? } else { return None };
            let definition = definition(cursor);
            let rest = cursor.rest_of_action();
            let not_valid = rest.windows(2).any(|w| w == ["not", "valid"]);
            return Some(Operation::AddConstraint {
                constraint: Object::Constraint {
                    table,
                    name,
                    definition,
                },
                not_valid,
            });
        }
        cursor.take(&["column"]);
        cursor.take(&["if", "not", "exists"]);
        let column = cursor.part()?;
        let rest = cursor.rest_of_action();
        let has = |words: &[&str]| rest.windows(words.len()).any(|w| w == words);
        let primary = has(&["primary", "key"]);
        return Some(Operation::AddColumn {
            table,
            column,
            not_null: primary || has(&["not", "null"]),
            default: has(&["default"]) || has(&["generated"]),
            unique: primary || has(&["unique"]),
        });
    }
    if cursor.take(&["drop"]) {
        if cursor.take(&["constraint"]) {
            cursor.take(&["if", "exists"]);
            return Some(Operation::DropConstraint {
                table,
                name: cursor.part()?,
            });
        }
        cursor.take(&["column"]);
        cursor.take(&["if", "exists"]);
        return Some(Operation::DropColumn {
            table,
            column: cursor.part()?,
        });
    }
    if cursor.take(&["alter"]) {
        cursor.take(&["column"]);
        let column = cursor.part()?;
        if cursor.take(&["set", "not", "null"]) {
            return Some(Operation::SetNotNull { table, column });
        }
        if cursor.take(&["drop", "not", "null"]) {
            return Some(Operation::DropNotNull { table, column });
        }
        if cursor.take(&["type"]) || cursor.take(&["set", "data", "type"]) {
            return Some(Operation::AlterType { table, column });
        }
    }
    None
}

fn definition(cursor: &mut Cursor<'_>) -> Definition {
    if cursor.take(&["unique"]) {
        return match cursor.columns() {
            Some(columns) => Definition::Unique { columns },
            None => Definition::Other,
        };
    }
    if cursor.take(&["foreign", "key"]) {
        let Some(columns) = cursor.columns() else {
            return Definition::Other;
        };
        if !cursor.take(&["references"]) {
            return Definition::Other;
        }
        return match cursor.name() {
            Some(to) => Definition::ForeignKey { columns, to },
            None => Definition::Other,
        };
    }
    Definition::Other
}

fn create(cursor: &mut Cursor<'_>) -> Option<Operation> {
    let unique = cursor.take(&["unique"]);
    if cursor.take(&["index"]) {
        let concurrently = cursor.take(&["concurrently"]);
        cursor.take(&["if", "not", "exists"]);
        let name = cursor.part()?;
        if !cursor.take(&["on"]) {
            return None;
        }
        cursor.take(&["only"]);
        let table = cursor.name()?;
        let btree = cursor.word(0) != "using" || cursor.take(&["using", "btree"]);
        let columns = if btree { cursor.columns() } else { None };
        let plain = cursor.at == cursor.tokens.len();
        let definition = match columns {
            Some(columns) if plain => Definition::Index {
                table: table.clone(),
                columns,
                unique,
            },
            _ => Definition::Other,
        };
        return Some(Operation::CreateIndex {
            index: Object::Index { name, definition },
            table,
            concurrently,
        });
    }
    if cursor.take(&["table"]) || cursor.take(&["unlogged", "table"]) {
        cursor.take(&["if", "not", "exists"]);
        return Some(Operation::CreateTable {
            table: cursor.name()?,
        });
    }
    if cursor.take(&["sequence"]) {
        cursor.take(&["if", "not", "exists"]);
        return Some(Operation::CreateSequence {
            name: cursor.name()?,
        });
    }
    None
}

fn drop(cursor: &mut Cursor<'_>) -> Option<Vec<Operation>> {
    let what = cursor.word(0).to_owned();
    cursor.at += 1;
    let concurrently = cursor.take(&["concurrently"]);
    cursor.take(&["if", "exists"]);
    let mut operations = Vec::new();
    loop {
        let name = cursor.name()?;
        operations.push(match what.as_str() {
            "table" => Operation::DropTable { table: name },
            "index" => Operation::DropIndex { name, concurrently },
            "sequence" => Operation::DropSequence { name },
            _ => return None,
        });
        if !cursor.take(&[","]) {
            return Some(operations);
        }
    }
}

fn update(cursor: &mut Cursor<'_>, text: &str) -> Option<Update> {
    cursor.take(&["only"]);
    let table = cursor.name()?;
    cursor.take(&["*"]);
    let alias = cursor.take(&["as"]) || cursor.word(0) != "set";
    let called = if alias { cursor.part()? } else { table.clone() };
    if !cursor.take(&["set"]) {
        return None;
    }
    let (mut sets, mut depth, mut whole) = (Vec::new(), 0_i32, None::<String>);
    let (mut condition_at, mut first_of_item) = (None, true);
    let own = table.rsplit('.').next().unwrap_or(&table).to_owned();
    while let Some(token) = cursor.tokens.get(cursor.at) {
        match token.text.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            "where" if depth == 0 && condition_at.is_none() => condition_at = Some(cursor.at),
            "from" if depth == 0 && condition_at.is_none() => {
                whole = Some("it joins another table".to_owned());
            }
            "returning" if depth == 0 => whole = Some("it returns rows".to_owned()),
            "current" if cursor.word(1) == "of" => whole = Some("it follows a cursor".to_owned()),
            "," if depth == 0 && condition_at.is_none() => first_of_item = true,
            "from" | "join" => {
                // A subquery on the same table would see rows that earlier batches have changed.
                let mut ahead = Cursor {
                    tokens: cursor.tokens,
                    at: cursor.at + 1,
                };
                if ahead.name().is_some_and(|n| n == table || n == own) {
                    whole = Some("it reads the table that it changes".to_owned());
                }
            }
            _ if token.word && first_of_item && condition_at.is_none() => {
                sets.push(token.name());
                // Of `(a, b) = …` all names up to the closing parenthesis are set.
                first_of_item = depth > 0 && cursor.word(1) == ",";
            }
            "," if depth > 0 => {}
            _ => {}
        }
        cursor.at += 1;
    }
    let condition = condition_at.and_then(|at| {
        let start = cursor.tokens.get(at)?.end;
        Some(text.get(start..)?.trim().to_owned())
    });
    let head = condition_at
        .and_then(|at| Some(cursor.tokens.get(at)?.start))
        .unwrap_or(text.len());
    Some(Update {
        table,
        called,
        sets,
        condition,
        head,
        whole,
    })
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn of(sql: &str) -> Vec<Operation> {
        let mut script = Script::parse("f", sql.as_bytes()).unwrap();
        assert_eq!(script.statements.len(), 1, "{sql}");
        script.statements.remove(0).operations
    }

    fn effects(sql: &str) -> Vec<String> {
        of(sql)
            .iter()
            .flat_map(Operation::effects)
            .map(|e| match e {
                Effect::Creates(o, _) => format!("+{o}"),
                Effect::Drops(o) => format!("-{o}"),
                Effect::NotNull(o, set) => format!("{o} not null {set}"),
            })
            .collect()
    }

    #[test]
    fn effects_and_locks_of_the_usual_statements() {
        use Lock::{
            AccessExclusive, RowExclusive, Share, ShareRowExclusive, ShareUpdateExclusive, Unknown,
        };
        for (sql, lock, expected) in [
            (
                "alter table mwl_item\n add worklist_label varchar(255)",
                AccessExclusive,
                vec!["+column mwl_item.worklist_label"],
            ),
            (
                "alter table T add column if not exists B int not null default 1",
                AccessExclusive,
                vec!["+column t.b"],
            ),
            (
                "alter table t add a int, add b numeric(5,2)",
                AccessExclusive,
                vec!["+column t.a", "+column t.b"],
            ),
            (
                "alter table t add \"Mixed\" int",
                AccessExclusive,
                vec!["+column t.Mixed"],
            ),
            (
                "alter table patient drop patient_id_fk",
                AccessExclusive,
                vec!["-column patient.patient_id_fk"],
            ),
            (
                "alter table p drop column if exists x cascade",
                AccessExclusive,
                vec!["-column p.x"],
            ),
            (
                "alter table study alter study_deleting set not null",
                AccessExclusive,
                vec!["column study.study_deleting not null true"],
            ),
            (
                "alter table m alter column a drop not null",
                AccessExclusive,
                vec!["column m.a not null false"],
            ),
            (
                "alter table patient_id add constraint FK_hba foreign key (patient_fk) references patient",
                ShareRowExclusive,
                vec!["+constraint patient_id.fk_hba"],
            ),
            (
                "alter table if exists x add constraint UK_1 unique (a, b)",
                AccessExclusive,
                vec!["+constraint x.uk_1"],
            ),
            (
                "alter table x drop constraint UK_1",
                AccessExclusive,
                vec!["-constraint x.uk_1"],
            ),
            (
                "create index IDXe6 on task (exporter_id)",
                Share,
                vec!["+index idxe6"],
            ),
            (
                "create unique index concurrently i on s.t (lower(a))",
                ShareUpdateExclusive,
                vec!["+index i"],
            ),
            (
                "drop index UK_1, b",
                AccessExclusive,
                vec!["-index uk_1", "-index b"],
            ),
            (
                "create table rel (a int8 not null, b int8)",
                RowExclusive,
                vec!["+table rel"],
            ),
            (
                "drop table if exists rel",
                AccessExclusive,
                vec!["-table rel"],
            ),
            (
                "create sequence code_pk_seq start 1 increment 50",
                RowExclusive,
                vec!["+sequence code_pk_seq"],
            ),
            (
                "drop sequence code_pk_seq",
                AccessExclusive,
                vec!["-sequence code_pk_seq"],
            ),
            ("update t set a = 1", RowExclusive, vec![]),
            ("insert into t values (1)", RowExclusive, vec![]),
            ("delete from t where a = 1", RowExclusive, vec![]),
            ("alter table t alter a type bigint", AccessExclusive, vec![]),
            ("comment on table t is 'x'", Unknown, vec![]),
        ] {
            assert_eq!(effects(sql), expected, "{sql}");
            assert_eq!(lock_of(&of(sql)), lock, "{sql}");
        }
    }

    #[test]
    fn what_must_run_alone() {
        for (sql, expected) in [
            ("create index concurrently i on t (a)", true),
            ("drop index concurrently i", true),
            ("vacuum t", true),
            ("create index i on t (a)", false),
            ("alter table t add a int", false),
        ] {
            assert_eq!(alone(&of(sql)), expected, "{sql}");
        }
    }

    fn update_of(sql: &str) -> Update {
        match of(sql).remove(0) {
            Operation::Update(update) => update,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn updates() {
        let all = update_of("update study set study_deleting = false");
        assert_eq!(
            (all.table.as_str(), all.condition, all.whole),
            ("study", None, None)
        );
        assert_eq!(all.sets, ["study_deleting"]);

        let sql = "update Patient_id p set A = (select x from patient where y = p.pk), b = f(1, 2)\nwhere a is null";
        let some = update_of(sql);
        assert_eq!(
            (some.table.as_str(), some.called.as_str()),
            ("patient_id", "p")
        );
        assert_eq!(some.sets, ["a", "b"]);
        assert_eq!(some.condition.as_deref(), Some("a is null"));
        assert_eq!(&sql[some.head..], "where a is null");
        assert_eq!(some.whole, None);

        assert_eq!(update_of("update t set (a, b) = (1, 2)").sets, ["a", "b"]);
        for sql in [
            "update t set a = u.a from u where u.b = t.b",
            "update t set a = (select max(a) from t)",
            "update t set a = 1 where b in (select b from x join t on x.b = t.b)",
            "update t set a = 1 returning a",
        ] {
            assert!(update_of(sql).whole.is_some(), "{sql}");
        }
    }
}
