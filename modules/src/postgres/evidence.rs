//! Which versions a database without (or with an incomplete) ledger has, as its catalogue shows.
//!
//! A statement that creates, drops or alters an object is proven by that object, unless a later part that is applied
//! has touched the object again. A part whose statements all change rows leaves no trace: it is taken as applied only
//! where a later one proves it.

use super::chain::{Chain, Unit};
use super::ledger::{Progress, SchemaState};
use super::object::{Definition, Fact, Object};
use super::operation::{Effect, Operation};

/// How far a part of a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The ledger says that all its statements are applied.
    Recorded,
    /// The ledger says so too, but somebody has taken away what it made.
    Damaged {
        /// What is missing.
        missing: Vec<String>,
    },
    /// The ledger says that some of its statements are.
    Begun,
    /// The catalogue shows that it was applied outside of runbook; these are the traces.
    Found(Vec<String>),
    /// It left no trace, but a later one that is applied rests on it.
    Implied,
    /// It is not applied.
    Todo,
    /// Some of its traces are there, others are not.
    Half {
        /// What is as after it.
        there: Vec<String>,
        /// What is as before it.
        missing: Vec<String>,
    },
    /// It leaves no trace in the catalogue, and nothing proves or disproves it.
    Untraceable,
}

impl Standing {
    /// Is all of it applied?
    #[must_use]
    pub fn applied(&self) -> bool {
        matches!(
            self,
            Self::Recorded | Self::Damaged { .. } | Self::Found(_) | Self::Implied
        )
    }
}

/// How far every part of the chain is, in the chain's order.
#[must_use]
pub fn standings(chain: &Chain, state: &SchemaState) -> Vec<Standing> {
    let mut standings = vec![Standing::Todo; chain.units.len()];
    // What later parts that are applied have touched, with the table that it belongs to.
    let mut touched: Vec<(Effect, Option<String>)> = Vec::new();
    for (i, unit) in chain.units.iter().enumerate().rev() {
        standings[i] = match recorded(unit, state) {
            // The ledger is believed for what leaves no trace; what leaves one has to be there.
            Some(Standing::Recorded) => match traces(unit, state, &touched).1 {
                missing if missing.is_empty() => Standing::Recorded,
                missing => Standing::Damaged { missing },
            },
            Some(standing) => standing,
            None => traced(unit, state, &touched),
        };
        if standings[i].applied() || standings[i] == Standing::Begun {
            touched.extend(
                effects(unit)
                    .filter(|(n, ..)| {
                        !matches!(standings[i], Standing::Begun) || state.applied(&unit.version, *n)
                    })
                    .map(|(_, e, t)| (e, t)),
            );
        }
    }
    weak_to_todo(chain, &mut standings);
    imply(chain, &mut standings);
    standings
}

fn effects(unit: &Unit) -> impl DoubleEndedIterator<Item = (u32, Effect, Option<String>)> {
    let all: Vec<_> = unit
        .numbered()
        .flat_map(|(n, s)| s.operations.iter().map(move |o| (n, o)))
        .flat_map(|(n, o): (u32, &Operation)| {
            let table = o.table().map(str::to_owned);
            o.effects().into_iter().map(move |e| (n, e, table.clone()))
        })
        .collect();
    all.into_iter()
}

fn recorded(unit: &Unit, state: &SchemaState) -> Option<Standing> {
    let rows: Vec<Option<Progress>> = unit
        .numbered()
        .map(|(n, _)| state.row(&unit.version, n).map(|r| r.state))
        .collect();
    if rows.iter().all(Option::is_none) && !rows.is_empty() {
        return None;
    }
    let all = rows
        .iter()
        .all(|r| matches!(r, Some(Progress::Done | Progress::Adopted)));
    Some(if all {
        Standing::Recorded
    } else {
        Standing::Begun
    })
}

fn traced(unit: &Unit, state: &SchemaState, later: &[(Effect, Option<String>)]) -> Standing {
    let (there, missing) = traces(unit, state, later);
    match (there.is_empty(), missing.is_empty()) {
        (true, true) => Standing::Untraceable,
        (false, true) => Standing::Found(there),
        (true, false) => Standing::Todo,
        (false, false) => Standing::Half { there, missing },
    }
}

/// The traces of a part that are there, and those that are not; those that a later part has touched are left out.
fn traces(
    unit: &Unit,
    state: &SchemaState,
    later: &[(Effect, Option<String>)],
) -> (Vec<String>, Vec<String>) {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    let mut touched = later.to_vec();
    for (_, effect, table) in effects(unit).rev() {
        let hidden = touched
            .iter()
            .any(|(by, by_table)| hides(by, by_table.as_deref(), &effect, table.as_deref()));
        if !hidden {
            match shown(&effect, state) {
                Some((true, text)) => there.push(text),
                Some((false, text)) => missing.push(text),
                None => {}
            }
        }
        touched.push((effect, table));
    }
    there.reverse();
    missing.reverse();
    (there, missing)
}

/// Has the later effect taken away the trace of this one?
fn hides(later: &Effect, later_table: Option<&str>, effect: &Effect, table: Option<&str>) -> bool {
    let (by, object) = (later.object(), effect.object());
    if by.to_string() == object.to_string() {
        // A column that may or may not be null is there all the same.
        return !matches!((later, effect), (Effect::NotNull(..), Effect::Creates(..)));
    }
    match later {
        Effect::Drops(Object::Table(_)) => table.is_some() && later_table == table,
        Effect::Drops(Object::Column { table: t, column }) => match object {
            Object::Index {
                definition: Definition::Index { table, columns, .. },
                ..
            } => table == t && columns.contains(column),
            Object::Constraint {
                table,
                definition: Definition::Unique { columns } | Definition::ForeignKey { columns, .. },
                ..
            } => table == t && columns.contains(column),
            _ => false,
        },
        _ => false,
    }
}

/// Does the catalogue show the effect, and how is that said? None where it cannot show it.
fn shown(effect: &Effect, state: &SchemaState) -> Option<(bool, String)> {
    let fact = state.fact(effect.object())?;
    let object = effect.object();
    Some(match (effect, fact) {
        (
            Effect::Creates(..),
            Fact::Present {
                called: Some(name), ..
            },
        ) => (true, format!("{object} (as {name})")),
        (Effect::Creates(..), Fact::Present { .. }) => (true, object.to_string()),
        (Effect::Creates(..), _) => (false, object.to_string()),
        (Effect::Drops(_), Fact::Absent) => (true, format!("no {object}")),
        (Effect::Drops(_), _) => (false, format!("no {object}")),
        (Effect::NotNull(_, wanted), Fact::Present { not_null, .. }) => {
            let how = if *wanted { "not null" } else { "may be null" };
            (wanted == not_null, format!("{object} {how}"))
        }
        (Effect::NotNull(..), _) => return None,
    })
}

/// What is absent may never have been there: a part that is proven by absences alone counts only where all before it
/// of the same part are applied.
fn weak_to_todo(chain: &Chain, standings: &mut [Standing]) {
    for i in 0..standings.len() {
        let weak = matches!(&standings[i], Standing::Found(traces)
            if traces.iter().all(|t| t.starts_with("no ") || t.ends_with(" may be null")));
        let gap = (0..i).any(|j| {
            chain.units[j].version < chain.units[i].version
                && chain.units[j].part <= chain.units[i].part
                && standings[j] == Standing::Todo
        });
        if weak && gap {
            standings[i] = Standing::Todo;
        }
    }
}

/// A part without a trace is applied where one found in the catalogue rests on it: a later part of its version, or
/// the same or a later part of a later version.
fn imply(chain: &Chain, standings: &mut [Standing]) {
    for i in 0..standings.len() {
        if standings[i] != Standing::Untraceable {
            continue;
        }
        let unit = &chain.units[i];
        let proven = chain
            .units
            .iter()
            .zip(&*standings)
            .any(|(other, standing)| {
                standing.applied()
                    && ((other.version == unit.version && other.part > unit.part)
                        || (other.version > unit.version && other.part >= unit.part))
            });
        if proven {
            standings[i] = Standing::Implied;
        }
    }
}
