//! From what is asked for and what a database says of itself to the statements that are left to run.

use serde::{Deserialize, Serialize};

use super::chain::{Chain, Unit};
use super::evidence::{Standing, standings};
use super::inverse::{Inverse, Made, inverse};
use super::ledger::{Progress, Row, SchemaState};
use super::object::{Fact, Object};
use super::operation::{Effect, Operation, alone};
use super::script::Statement;
use super::version::Version;

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The version to reach.
    pub to: Version,
    /// The version that is there; none: as ledger and catalogue show.
    pub from: Option<Version>,
    /// Which parts; empty: all.
    pub parts: Vec<u8>,
    /// The archive is stopped: each part commits as one.
    pub stopped: bool,
    /// Minor versions that have no update files.
    pub without: Vec<Version>,
}

/// What is left to do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The version found, as shown: `5.31.1`, `5.32 part 1`, `before 5.30`.
    pub found: String,
    /// Parts to adopt and to apply, in order; adopted ones first. Empty: nothing to do.
    pub steps: Vec<Step>,
    /// Statements of the asked-for parts that are applied already.
    pub done: usize,
    /// Things a person should know.
    pub notes: Vec<String>,
}

/// A part to apply, or to write down as applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The version.
    pub version: Version,
    /// The part.
    pub part: u8,
    /// As shown: `5.32 part 1`, `5.31.1`.
    pub title: String,
    /// Name of the file.
    pub file: String,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// One transaction; else statement by statement.
    pub whole: bool,
    /// It is applied; only the ledger is to say so.
    pub adopt: bool,
    /// Its statements; those applied already are not among them.
    pub statements: Vec<Planned>,
}

/// A statement to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its number within the version, from 1.
    pub number: u32,
    /// Its line in the file.
    pub line: u32,
    /// Its text.
    pub text: String,
    /// Hash of its normalised text.
    pub hash: String,
    /// What it does.
    pub operations: Vec<Operation>,
    /// How it is taken back.
    pub inverse: Inverse,
}

impl Step {
    /// The row of the ledger for one of its statements.
    #[must_use]
    pub fn row(&self, statement: &Planned) -> Row {
        Row {
            version: self.version.clone(),
            number: statement.number,
            part: self.part,
            hash: statement.hash.clone(),
            state: if self.adopt {
                Progress::Adopted
            } else {
                Progress::Done
            },
        }
    }
}

/// Finds what is left to do.
///
/// # Errors
/// All reasons why it cannot be done: unknown versions, gaps, parts out of order, files edited after they were
/// applied, parts half applied by hand, parts of which nothing shows whether they were.
pub fn plan(chain: &Chain, request: &Request, state: &SchemaState) -> Result<Plan, Vec<String>> {
    let mut errors = known(chain, request);
    errors.extend(edited(chain, state));
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut standings = standings(chain, state);
    settle(chain, request, &mut standings, &mut errors);
    errors.extend(gaps(chain, request, &standings));
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut plan = Plan {
        found: found(chain, &standings),
        ..Plan::default()
    };
    let wanted = |u: &Unit| {
        u.version <= request.to && (request.parts.is_empty() || request.parts.contains(&u.part))
    };
    let mut made = Made::default();
    let mut todo = Vec::new();
    let mut catalogue = state.clone();
    for (i, unit) in chain.units.iter().enumerate().filter(|(_, u)| wanted(u)) {
        if standings[i].applied() {
            plan.done += unit.statements.len();
            continue;
        }
        errors.extend(out_of_order(chain, &standings, i, &wanted));
        let left: Vec<(u32, &Statement)> = unit
            .numbered()
            .filter(|(n, _)| !state.applied(&unit.version, *n))
            .collect();
        plan.done += unit.statements.len() - left.len();
        errors.extend(missing_tables(unit, &left, &mut catalogue));
        todo.push(step(unit, &left, request.stopped, false, &mut made));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if !todo.is_empty() {
        adopt(chain, &standings, state, &mut plan);
    }
    plan.steps.extend(todo);
    Ok(plan)
}

/// What will be once the steps are applied; pure.
#[must_use]
pub fn predict(steps: &[Step], from: &SchemaState) -> SchemaState {
    let mut state = from.clone();
    for step in steps {
        for statement in &step.statements {
            state.put(step.row(statement));
            if !step.adopt {
                statement
                    .operations
                    .iter()
                    .flat_map(Operation::effects)
                    .for_each(|e| take_effect(&e, &mut state));
            }
        }
    }
    state
}

/// What will be once a statement of these operations is taken back; pure.
pub(super) fn predict_undone(operations: &[Operation], state: &mut SchemaState) {
    for effect in operations.iter().rev().flat_map(Operation::effects) {
        let back = match effect {
            Effect::Creates(object, _) => Effect::Drops(object),
            Effect::NotNull(object, set) => Effect::NotNull(object, !set),
            // It has no inverse, so it is never taken back.
            Effect::Drops(_) => continue,
        };
        take_effect(&back, state);
    }
}

fn take_effect(effect: &Effect, state: &mut SchemaState) {
    let key = effect.object().to_string();
    match effect {
        Effect::Creates(_, not_null) => {
            if let Some(fact) = state.catalogue.get_mut(&key) {
                *fact = Fact::present(*not_null);
            }
        }
        Effect::NotNull(_, set) => {
            if let Some(Fact::Present { not_null, .. }) = state.catalogue.get_mut(&key) {
                *not_null = *set;
            }
        }
        Effect::Drops(object) => {
            let gone = |key: &str| match object {
                Object::Table(table) => {
                    key == format!("table {table}")
                        || key.starts_with(&format!("column {table}."))
                        || key.starts_with(&format!("constraint {table}."))
                }
                other => key == other.to_string(),
            };
            for (key, fact) in &mut state.catalogue {
                if gone(key) {
                    *fact = Fact::Absent;
                }
            }
        }
    }
}

fn known(chain: &Chain, request: &Request) -> Vec<String> {
    let mut errors = Vec::new();
    let mut versions: Vec<&Version> = chain.units.iter().map(|u| &u.version).collect();
    versions.dedup();
    if !versions.contains(&&request.to) {
        let near = versions
            .iter()
            .map(|v| v.to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let have = if near.is_empty() {
            "there are none at all".to_owned()
        } else {
            format!("there are {near}")
        };
        errors.push(format!(
            "there is no update file of version {}; {have}",
            request.to
        ));
        return errors;
    }
    if let Some(from) = request.from.as_ref().filter(|from| **from > request.to) {
        errors.push(format!(
            "`from` {from} is later than `to` {}; there is no way back by update files",
            request.to
        ));
    }
    let start = request.from.iter();
    let rest = versions
        .into_iter()
        .filter(|v| request.from.as_ref().is_none_or(|f| *v > f) && **v <= request.to);
    let walk: Vec<&Version> = start.chain(rest).collect();
    for pair in walk.windows(2) {
        let ((major, minor), (next_major, next_minor)) = (pair[0].minor(), pair[1].minor());
        if major != next_major {
            continue;
        }
        for missing in (minor + 1)..next_minor {
            let version = format!("{major}.{missing}");
            if !request.without.iter().any(|v| v.to_string() == version) {
                errors.push(format!(
                    "the update files of {version} are missing between {} and {}; bring them, or say `without: \
                     [\"{version}\"]` where that version has none",
                    pair[0], pair[1]
                ));
            }
        }
    }
    errors
}

fn edited(chain: &Chain, state: &SchemaState) -> Vec<String> {
    let mut errors = Vec::new();
    for unit in &chain.units {
        for (number, statement) in unit.numbered() {
            if state
                .row(&unit.version, number)
                .is_some_and(|r| r.hash != statement.hash)
            {
                errors.push(format!(
                    "{}:{}: statement {number} of {} is another than the one that the ledger says was applied: the \
                     file was edited afterwards; bring the file that was applied",
                    unit.file, statement.line, unit.version
                ));
            }
        }
        let last = unit.first + u32::try_from(unit.statements.len()).unwrap_or(u32::MAX) - 1;
        let next = chain
            .units
            .iter()
            .any(|u| u.version == unit.version && u.part > unit.part);
        if !next
            && state
                .ledger
                .iter()
                .any(|r| r.version == unit.version && r.number > last)
        {
            errors.push(format!(
                "{}: the ledger says that {} has more than {last} statements: statements were removed from the file \
                 after it was applied; bring the file that was applied",
                unit.file, unit.version
            ));
        }
    }
    errors
}

/// Decides what the catalogue leaves open, by `from` and by what is harmless.
fn settle(chain: &Chain, request: &Request, standings: &mut [Standing], errors: &mut Vec<String>) {
    for i in 0..standings.len() {
        let unit = &chain.units[i];
        if let Some(from) = &request.from {
            match &standings[i] {
                Standing::Found(traces) if unit.version > *from => errors.push(format!(
                    "`from` says {from}, but the database has {unit}: {} is there already",
                    traces.join(", ")
                )),
                Standing::Todo | Standing::Untraceable | Standing::Half { .. }
                    if unit.version <= *from =>
                {
                    standings[i] = Standing::Implied;
                }
                _ => {}
            }
        }
        if unit.version > request.to {
            continue;
        }
        match &standings[i] {
            Standing::Damaged { missing } => errors.push(format!(
                "the ledger says that {unit} is applied, but the database has not what it made: {}; somebody has changed \
                 the schema by hand. Make it again as {} does, or restore the database",
                missing.join(", "),
                unit.file
            )),
            Standing::Half { there, missing } => errors.push(format!(
                "{unit} was applied in half outside of runbook: {} is there, {} is not; finish {} or take it back by \
                 hand",
                there.join(", "),
                missing.join(", "),
                unit.file
            )),
            Standing::Untraceable => {
                let needed_is_missing = chain.units[..i].iter().zip(&standings[..i]).any(|(u, s)| {
                    u.part <= unit.part && matches!(s, Standing::Todo | Standing::Begun)
                });
                let harmless = unit.statements.iter().flat_map(|s| &s.operations).all(|o| {
                    matches!(o, Operation::Update(update) if update.condition.is_some())
                });
                if needed_is_missing || harmless {
                    standings[i] = Standing::Todo;
                } else if request.parts.is_empty() || request.parts.contains(&unit.part) {
                    errors.push(format!(
                        "nothing in the database shows whether {unit} ({}) was applied, and applying it twice may do \
                         harm; say it with `from`",
                        unit.file
                    ));
                }
            }
            _ => {}
        }
    }
}

/// A version that is applied, above one that is not.
fn gaps(chain: &Chain, request: &Request, standings: &[Standing]) -> Vec<String> {
    let mut errors = Vec::new();
    for (i, unit) in chain.units.iter().enumerate() {
        if standings[i] != Standing::Todo || unit.version > request.to {
            continue;
        }
        let later = chain.units.iter().zip(standings).find(|(u, s)| {
            u.version > unit.version
                && u.part == unit.part
                && matches!(s, Standing::Recorded | Standing::Found(_))
        });
        if let Some((later, _)) = later.filter(|_| unit.part == 1) {
            errors.push(format!(
                "{later} is applied, but {unit} before it is not ({}): a version was left out; apply it by hand",
                unit.file
            ));
        }
    }
    errors
}

/// A part whose earlier parts are neither applied nor asked for.
fn out_of_order(
    chain: &Chain,
    standings: &[Standing],
    i: usize,
    wanted: &dyn Fn(&Unit) -> bool,
) -> Option<String> {
    let unit = &chain.units[i];
    let (before, _) = chain.units.iter().zip(standings).find(|(u, s)| {
        u.version <= unit.version && u.part < unit.part && !s.applied() && !wanted(u)
    })?;
    Some(format!(
        "{unit} needs {before}, which is not applied; apply part {} first",
        before.part
    ))
}

/// Tables that statements need and that are not there.
fn missing_tables(
    unit: &Unit,
    left: &[(u32, &Statement)],
    catalogue: &mut SchemaState,
) -> Vec<String> {
    let mut errors = Vec::new();
    for (_, statement) in left {
        for operation in &statement.operations {
            let made_or_gone = matches!(
                operation,
                Operation::CreateTable { .. } | Operation::DropTable { .. }
            );
            let table = operation.table().filter(|_| !made_or_gone);
            let absent =
                |t: &&str| catalogue.fact(&Object::Table((*t).to_owned())) == Some(&Fact::Absent);
            if let Some(table) = table.filter(absent) {
                errors.push(format!(
                        "{}:{}: table {table} is not there; is this the right database, and has its user the right \
                         search_path?",
                        unit.file, statement.line
                    ));
            }
            operation
                .effects()
                .iter()
                .for_each(|e| take_effect(e, catalogue));
        }
    }
    errors
}

fn step(
    unit: &Unit,
    statements: &[(u32, &Statement)],
    stopped: bool,
    adopt: bool,
    made: &mut Made,
) -> Step {
    let planned = statements
        .iter()
        .map(|(number, statement)| {
            let inverse = inverse(&statement.operations, made);
            made.add(&statement.operations);
            Planned {
                number: *number,
                line: statement.line,
                text: statement.text.clone(),
                hash: statement.hash.clone(),
                operations: statement.operations.clone(),
                inverse,
            }
        })
        .collect();
    let outside = statements.iter().any(|(_, s)| alone(&s.operations));
    Step {
        version: unit.version.clone(),
        part: unit.part,
        title: unit.to_string(),
        file: unit.file.clone(),
        sha256: unit.sha256.clone(),
        whole: stopped && !outside,
        adopt,
        statements: planned,
    }
}

fn adopt(chain: &Chain, standings: &[Standing], state: &SchemaState, plan: &mut Plan) {
    for (unit, standing) in chain.units.iter().zip(standings) {
        let why = match standing {
            Standing::Found(traces) => traces.join(", "),
            Standing::Implied => "as `from` says, or by what comes after it".to_owned(),
            _ => continue,
        };
        let left: Vec<(u32, &Statement)> = unit
            .numbered()
            .filter(|(n, _)| state.row(&unit.version, *n).is_none())
            .collect();
        let updates = unit
            .statements
            .iter()
            .filter(|s| {
                s.operations.iter().any(|o| {
                    matches!(
                        o,
                        Operation::Update(_) | Operation::Insert { .. } | Operation::Delete { .. }
                    )
                })
            })
            .count();
        let rows = if updates > 0 {
            "; what it changes in rows is taken as done".to_owned()
        } else {
            String::new()
        };
        plan.notes.push(format!(
            "{unit} was applied outside of runbook ({why}){rows}"
        ));
        plan.steps
            .push(step(unit, &left, false, true, &mut Made::default()));
    }
}

/// The version found, as shown.
pub(super) fn found(chain: &Chain, standings: &[Standing]) -> String {
    let last = chain
        .units
        .iter()
        .zip(standings)
        .rfind(|(_, s)| s.applied())
        .map(|(u, _)| &u.version);
    let Some(version) = last else {
        return chain
            .units
            .first()
            .map_or_else(String::new, |u| format!("before {}", u.version));
    };
    let of_it: Vec<(&Unit, &Standing)> = chain
        .units
        .iter()
        .zip(standings)
        .filter(|(u, _)| u.version == *version)
        .collect();
    if of_it.iter().all(|(_, s)| s.applied()) {
        return version.to_string();
    }
    let parts: Vec<String> = of_it
        .iter()
        .filter(|(_, s)| s.applied())
        .map(|(u, _)| u.part.to_string())
        .collect();
    let word = if parts.len() == 1 { "part" } else { "parts" };
    format!("{version} {word} {}", parts.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::chain;
    use super::*;

    /// Shaped like the real ones: a column in three parts, a lone index, a column with an update of all rows.
    fn files() -> Chain {
        chain(&[
            (
                "update-1.1-1-psql.sql",
                "alter table item add Label text; update item set label = aet; create index UK_l on item (label);",
            ),
            (
                "update-1.1-2-psql.sql",
                "update item set label = aet where label is null; alter table item alter aet drop not null;",
            ),
            (
                "update-1.1-3-psql.sql",
                "alter table item alter label set not null; alter table item drop aet;",
            ),
            (
                "update-1.1.1-psql.sql",
                "create index IDXe on task (exporter)",
            ),
            (
                "update-1.2-1-psql.sql",
                "update item set x = '*' where x is null; alter table study add gone boolean; update study set gone = false",
            ),
            (
                "update-1.2-2-psql.sql",
                "update study set gone = false where gone is null",
            ),
            (
                "update-1.2-3-psql.sql",
                "alter table study alter gone set not null",
            ),
        ])
    }

    fn database(present: &[&str]) -> SchemaState {
        let mut state = SchemaState::default();
        for object in files().objects() {
            let key = object.to_string();
            let entry = present.iter().find(|p| p.trim_end_matches('!') == key);
            let fact = match entry {
                Some(p) => Fact::present(p.ends_with('!')),
                None => Fact::Absent,
            };
            state.catalogue.insert(key, fact);
        }
        for table in ["item", "task", "study"] {
            state
                .catalogue
                .insert(format!("table {table}"), Fact::present(false));
        }
        state
    }

    fn request(to: &str, parts: &[u8]) -> Request {
        Request {
            to: to.parse().unwrap(),
            from: None,
            parts: parts.to_vec(),
            stopped: parts.is_empty() || parts.contains(&2),
            without: Vec::new(),
        }
    }

    fn todo(plan: &Plan) -> Vec<String> {
        plan.steps
            .iter()
            .filter(|s| !s.adopt)
            .map(|s| format!("{}: {}", s.title, s.statements.len()))
            .collect()
    }

    const OLD: &[&str] = &["column item.aet!"];
    const AT_1_1_1: &[&str] = &["column item.label!", "index uk_l", "index idxe"];

    #[test]
    fn a_database_before_all_files() {
        let plan = plan(&files(), &request("1.2", &[]), &database(OLD)).unwrap();
        assert_eq!(plan.found, "before 1.1");
        assert_eq!(
            todo(&plan),
            [
                "1.1 part 1: 3",
                "1.1 part 2: 2",
                "1.1 part 3: 2",
                "1.1.1: 1",
                "1.2 part 1: 3",
                "1.2 part 2: 1",
                "1.2 part 3: 1"
            ]
        );
        assert!(plan.steps.iter().all(|s| s.whole));
    }

    #[test]
    fn parts_of_every_version_in_order() {
        let old = database(OLD);
        let one = plan(&files(), &request("1.2.0", &[1]), &old).unwrap();
        assert_eq!(todo(&one), ["1.1 part 1: 3", "1.1.1: 1", "1.2 part 1: 3"]);
        assert!(one.steps.iter().all(|s| !s.whole));
        let after = predict(&one.steps, &old);
        let again = plan(&files(), &request("1.2", &[1]), &after).unwrap();
        assert_eq!((todo(&again), again.done), (vec![], 7));
        let two = plan(&files(), &request("1.2", &[2]), &after).unwrap();
        assert_eq!(todo(&two), ["1.1 part 2: 2", "1.2 part 2: 1"]);
        assert!(two.steps.iter().all(|s| s.whole));
        let three = plan(
            &files(),
            &request("1.2", &[3]),
            &predict(&two.steps, &after),
        )
        .unwrap();
        assert_eq!(todo(&three), ["1.1 part 3: 2", "1.2 part 3: 1"]);
        assert_eq!(
            three.steps[0].statements[1].inverse.never,
            ["column item.aet and its values are gone"]
        );
        let end = predict(&three.steps, &predict(&two.steps, &after));
        assert_eq!(
            plan(&files(), &request("1.2", &[]), &end).unwrap().steps,
            []
        );
    }

    #[test]
    fn adoption_by_the_catalogue() {
        let plan = plan(&files(), &request("1.2", &[1]), &database(AT_1_1_1)).unwrap();
        assert_eq!(plan.found, "1.1.1");
        assert_eq!(todo(&plan), ["1.2 part 1: 3"]);
        let adopted: Vec<&str> = plan
            .steps
            .iter()
            .filter(|s| s.adopt)
            .map(|s| s.title.as_str())
            .collect();
        assert_eq!(adopted, ["1.1 part 1", "1.1 part 2", "1.1 part 3", "1.1.1"]);
        assert!(
            plan.notes[0].contains("column item.label"),
            "{:?}",
            plan.notes
        );
    }

    #[test]
    fn at_the_end_nothing_is_wanted_without_a_ledger() {
        let mut present = AT_1_1_1.to_vec();
        present.push("column study.gone!");
        let plan = plan(&files(), &request("1.2", &[]), &database(&present)).unwrap();
        assert_eq!((plan.found.as_str(), plan.steps.len()), ("1.2", 0));
    }

    #[test]
    fn an_index_of_another_name_counts() {
        let mut state = database(AT_1_1_1);
        state.catalogue.insert(
            "index uk_l".into(),
            Fact::Present {
                called: Some("idx_l".into()),
                not_null: false,
            },
        );
        assert_eq!(
            plan(&files(), &request("1.2", &[1]), &state).unwrap().found,
            "1.1.1"
        );
    }

    fn refused(request: &Request, state: &SchemaState) -> String {
        plan(&files(), request, state).unwrap_err().join("\n")
    }

    #[test]
    fn refusals() {
        let old = database(OLD);
        assert!(
            refused(&request("1.3", &[1]), &old)
                .contains("no update file of version 1.3; there are 1.1, 1.1.1, 1.2")
        );
        assert!(refused(&request("1.2", &[2]), &old).contains("1.1 part 2 needs 1.1 part 1"));
        let half = database(&["column item.aet!", "column item.label"]);
        assert!(
            refused(&request("1.2", &[1]), &half).contains("applied in half"),
            "{}",
            refused(&request("1.2", &[1]), &half)
        );
        let gap = database(&["column item.aet!", "column study.gone"]);
        assert!(refused(&request("1.2", &[1]), &gap).contains("a version was left out"));
        let from = Request {
            from: Some("1.0".parse().unwrap()),
            ..request("1.2", &[1])
        };
        assert!(refused(&from, &database(AT_1_1_1)).contains("`from` says 1.0"));
        let mut no_table = old;
        no_table
            .catalogue
            .insert("table study".into(), Fact::Absent);
        assert!(
            refused(&request("1.2", &[1]), &no_table)
                .contains("update-1.2-1-psql.sql:1: table study is not there")
        );
    }

    #[test]
    fn missing_minor_versions() {
        let chain = chain(&[
            ("update-1.1-psql.sql", "create index a on t (a)"),
            ("update-1.4-psql.sql", "create index b on t (b)"),
        ]);
        let mut ask = request("1.4", &[]);
        let mut state = SchemaState::default();
        state.catalogue.insert("index a".into(), Fact::Absent);
        state.catalogue.insert("index b".into(), Fact::Absent);
        let errors = plan(&chain, &ask, &state).unwrap_err();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("1.2 are missing between 1.1 and 1.4"));
        ask.without = vec!["1.2".parse().unwrap(), "1.3".parse().unwrap()];
        assert_eq!(
            todo(&plan(&chain, &ask, &state).unwrap()),
            ["1.1: 1", "1.4: 1"]
        );
    }

    #[test]
    fn an_edited_file_is_refused() {
        let one = plan(&files(), &request("1.2", &[1]), &database(OLD)).unwrap();
        let mut after = predict(&one.steps, &database(OLD));
        after.ledger[0].hash = "other".into();
        assert!(
            refused(&request("1.2", &[2]), &after)
                .contains("update-1.1-1-psql.sql:1: statement 1 of 1.1")
        );
    }

    #[test]
    fn an_interrupted_part_goes_on() {
        let old = database(AT_1_1_1);
        let one = plan(&files(), &request("1.2", &[1]), &old).unwrap();
        let mut after = predict(&one.steps, &old);
        let row = after
            .ledger
            .iter_mut()
            .find(|r| r.version.to_string() == "1.2" && r.number == 3)
            .unwrap();
        row.state = Progress::Running;
        let rest = plan(&files(), &request("1.2", &[1]), &after).unwrap();
        assert_eq!(todo(&rest), ["1.2 part 1: 1"]);
        assert_eq!(rest.steps[0].statements[0].number, 3);
    }

    #[test]
    fn an_unconditional_update_without_a_trace_is_not_guessed() {
        let chain = chain(&[
            ("update-1.1-1-psql.sql", "create index a on t (a)"),
            ("update-1.1-2-psql.sql", "update t set b = 1"),
        ]);
        let mut state = SchemaState::default();
        state
            .catalogue
            .insert("index a".into(), Fact::present(false));
        let errors = plan(&chain, &request("1.1", &[2]), &state).unwrap_err();
        assert!(errors[0].contains("say it with `from`"), "{errors:?}");
        state.catalogue.insert("index a".into(), Fact::Absent);
        assert_eq!(
            todo(&plan(&chain, &request("1.1", &[]), &state).unwrap()).len(),
            2
        );
    }
}
