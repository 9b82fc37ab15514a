//! Reading ledger and catalogue.

use std::collections::BTreeMap;

use futures::future::try_join4;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::inverse::quoted;
use super::ledger::{Progress, Row, SchemaState};
use super::object::{Catalogue, Definition, Fact, Object};

/// The state of the schema, as far as these objects go. To be called inside a transaction of one snapshot.
///
/// # Errors
/// What the server says.
pub async fn state(client: &Client, objects: &[Object]) -> Result<SchemaState, Error> {
    let exists = client.query_typed("select to_regclass('runbook.ledger') is not null", &[]);
    let (exists, catalogue) = futures::try_join!(exists, catalogue(client, objects))?;
    let exists = exists.first().is_some_and(|row| row.get(0));
    let ledger = if exists {
        ledger(client).await?
    } else {
        Vec::new()
    };
    Ok(SchemaState { ledger, catalogue })
}

async fn ledger(client: &Client) -> Result<Vec<Row>, Error> {
    let sql = "select version, number, part::int4, hash, state from runbook.ledger";
    let mut rows = Vec::new();
    for row in client.query_typed(sql, &[]).await? {
        let version: String = row.get(0);
        let (number, part): (i32, i32) = (row.get(1), row.get(2));
        let state: String = row.get(4);
        // Rows of a later format are of no version and no state that is known here; they are left alone.
        if let (Ok(version), Some(state)) = (version.parse(), Progress::from_word(&state)) {
            rows.push(Row {
                version,
                number: u32::try_from(number).unwrap_or(0),
                part: u8::try_from(part).unwrap_or(0),
                hash: row.get(3),
                state,
            });
        }
    }
    rows.sort();
    Ok(rows)
}

const RELATIONS: &str = "select i.name, i.kind from unnest($1::text[], $2::text[], $3::text[]) i(name, kind, path) \
     join pg_class c on c.oid = to_regclass(i.path) and c.relkind::text = any(string_to_array( \
     case i.kind when 'sequence' then 'S' else 'r,p,f,v,m' end, ','))";

const COLUMNS: &str = "select i.tab, a.attname::text, a.attnotnull \
     from unnest($1::text[], $2::text[], $3::text[]) i(tab, col, path) \
     join pg_attribute a on a.attrelid = to_regclass(i.path) and a.attname = i.col \
     and a.attnum > 0 and not a.attisdropped";

/// By name, or by table, columns and uniqueness: the last column says which.
const INDEXES: &str = "select i.name, c.relname::text, x.indisvalid, c.relname = i.name \
     from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[]) i(name, path, tab, cols, uniq) \
     join pg_index x on x.indexrelid = to_regclass(i.path) or (i.tab <> '' and x.indrelid = to_regclass(i.tab) \
       and x.indisunique = i.uniq and x.indpred is null and x.indexprs is null and i.cols = ( \
         select string_agg(a.attname, chr(31) order by k.n) from unnest(x.indkey) with ordinality k(att, n) \
         join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.att where k.n <= x.indnkeyatts)) \
     join pg_class c on c.oid = x.indexrelid \
     join pg_am m on m.oid = c.relam and (m.amname = 'btree' or c.oid = to_regclass(i.path))";

const CONSTRAINTS: &str = "select i.tab, i.name, c.conname::text, c.convalidated, c.conname = i.name \
     from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) \
       i(tab, name, path, kind, cols, target) \
     join pg_constraint c on c.conrelid = to_regclass(i.path) and (c.conname = i.name or \
       (c.contype::text = i.kind and (i.kind = 'u' or c.confrelid = to_regclass(i.target)) and i.cols = ( \
         select string_agg(a.attname, chr(31) order by k.n) from unnest(c.conkey) with ordinality k(att, n) \
         join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.att)))";

const SEPARATOR: &str = "\u{1f}";

async fn catalogue(client: &Client, objects: &[Object]) -> Result<Catalogue, Error> {
    let mut found: Catalogue = objects
        .iter()
        .map(|o| (o.to_string(), Fact::Absent))
        .collect();
    let array = Type::TEXT_ARRAY;

    let relations: Vec<(&str, &str)> = objects
        .iter()
        .filter_map(|o| match o {
            Object::Table(name) => Some((name.as_str(), "table")),
            Object::Sequence(name) => Some((name.as_str(), "sequence")),
            _ => None,
        })
        .collect();
    let (names, kinds): (Vec<&str>, Vec<&str>) = relations.iter().copied().unzip();
    let paths: Vec<String> = names.iter().map(|n| quoted(n)).collect();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&names, array.clone()),
        (&kinds, array.clone()),
        (&paths, array.clone()),
    ];
    let relations = client.query_typed(RELATIONS, &parameters);

    let columns: Vec<(&str, &str)> = objects
        .iter()
        .filter_map(|o| match o {
            Object::Column { table, column } => Some((table.as_str(), column.as_str())),
            _ => None,
        })
        .collect();
    let (tables, names): (Vec<&str>, Vec<&str>) = columns.into_iter().unzip();
    let paths: Vec<String> = tables.iter().map(|t| quoted(t)).collect();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&tables, array.clone()),
        (&names, array.clone()),
        (&paths, array.clone()),
    ];
    let columns = client.query_typed(COLUMNS, &parameters);

    let mut indexes = Asked::default();
    let mut constraints = Asked::default();
    for object in objects {
        match object {
            Object::Index { name, definition } => indexes.index(name, definition),
            Object::Constraint {
                table,
                name,
                definition,
            } => constraints.constraint(table, name, definition),
            _ => {}
        }
    }
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
        (&indexes.names, array.clone()),
        (&indexes.paths, array.clone()),
        (&indexes.targets, array.clone()),
        (&indexes.columns, array.clone()),
        (&indexes.unique, Type::BOOL_ARRAY),
    ];
    let index_rows = client.query_typed(INDEXES, &parameters);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
        (&constraints.tables, array.clone()),
        (&constraints.names, array.clone()),
        (&constraints.paths, array.clone()),
        (&constraints.kinds, array.clone()),
        (&constraints.columns, array.clone()),
        (&constraints.targets, array),
    ];
    let constraint_rows = client.query_typed(CONSTRAINTS, &parameters);

    let (relations, columns, indexes, constraints) =
        try_join4(relations, columns, index_rows, constraint_rows).await?;
    for row in relations {
        let (name, kind): (String, String) = (row.get(0), row.get(1));
        found.insert(format!("{kind} {name}"), Fact::present(false));
    }
    for row in columns {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        found.insert(
            format!("column {table}.{column}"),
            Fact::present(row.get(2)),
        );
    }
    let mut best = Best::default();
    for row in indexes {
        let name: String = row.get(0);
        best.offer(format!("index {name}"), row.get(1), row.get(2), row.get(3));
    }
    for row in constraints {
        let (table, name): (String, String) = (row.get(0), row.get(1));
        best.offer(
            format!("constraint {table}.{name}"),
            row.get(2),
            row.get(3),
            row.get(4),
        );
    }
    found.extend(best.0.into_iter().map(|(key, (_, fact))| (key, fact)));
    Ok(found)
}

/// Indexes or constraints asked for, as columns of a table of parameters.
#[derive(Default)]
struct Asked {
    tables: Vec<String>,
    names: Vec<String>,
    paths: Vec<String>,
    kinds: Vec<String>,
    columns: Vec<String>,
    targets: Vec<String>,
    unique: Vec<bool>,
}

impl Asked {
    fn index(&mut self, name: &str, definition: &Definition) {
        let (table, columns, unique) = match definition {
            Definition::Index {
                table,
                columns,
                unique,
            } => (Some(table), columns.join(SEPARATOR), *unique),
            _ => (None, String::new(), false),
        };
        let schema = table
            .and_then(|t| t.rsplit_once('.'))
            .map(|(s, _)| format!("{}.", quoted(s)));
        // A name with its schema comes from `drop index`.
        let path = if name.contains('.') {
            quoted(name)
        } else {
            format!("\"{}\"", name.replace('"', "\"\""))
        };
        self.names.push(name.to_owned());
        self.paths
            .push(format!("{}{path}", schema.unwrap_or_default()));
        self.targets
            .push(table.map(|t| quoted(t)).unwrap_or_default());
        self.columns.push(columns);
        self.unique.push(unique);
    }

    fn constraint(&mut self, table: &str, name: &str, definition: &Definition) {
        let (kind, columns, target) = match definition {
            Definition::Unique { columns } => ("u", columns.join(SEPARATOR), String::new()),
            Definition::ForeignKey { columns, to } => ("f", columns.join(SEPARATOR), quoted(to)),
            Definition::Index { .. } | Definition::Other => ("", String::new(), String::new()),
        };
        self.tables.push(table.to_owned());
        self.names.push(name.to_owned());
        self.paths.push(quoted(table));
        self.kinds.push(kind.to_owned());
        self.columns.push(columns);
        self.targets.push(target);
    }
}

/// The best of what was found for each object: of the right name before of the right definition, valid before not.
#[derive(Default)]
struct Best(BTreeMap<String, (u8, Fact)>);

impl Best {
    fn offer(&mut self, key: String, called: String, valid: bool, named: bool) {
        let (rank, fact) = match (named, valid) {
            (true, true) => (3, Fact::present(false)),
            (true, false) => (2, Fact::Invalid),
            (false, true) => (
                1,
                Fact::Present {
                    called: Some(called),
                    not_null: false,
                },
            ),
            (false, false) => return,
        };
        match self.0.get(&key) {
            Some((other, known))
                if *other > rank || (*other == rank && name_of(known) <= name_of(&fact)) => {}
            _ => {
                self.0.insert(key, (rank, fact));
            }
        }
    }
}

/// Of several of one definition the first by name counts, so that reading twice gives the same.
fn name_of(fact: &Fact) -> &str {
    match fact {
        Fact::Present {
            called: Some(name), ..
        } => name,
        _ => "",
    }
}
