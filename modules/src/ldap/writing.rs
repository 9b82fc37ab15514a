//! Writing the changes of a task to one directory: order, guard, and the way back when it fails half way.

use std::collections::{BTreeSet, HashSet};

use futures::stream::{self, StreamExt};
use ldap3::Mod;
use runbook_engine::host::{HostError, Target};
use runbook_engine::resource::{KeyedChange, WriteError};

use super::entry::{Entry, EntryState, EntryWant, predicted};
use super::entry_kind::{EntryKey, LdapEntry, by_depth, read_from};
use super::matching::{Rule, without_index};
use super::octets::Octets;
use super::session::{Refused, Session};

/// Operations in flight within one stage.
const IN_FLIGHT: usize = 32;

/// One operation, with what undoes it.
#[derive(Debug, Clone)]
struct Step<'a> {
    key: &'a EntryKey,
    from: &'a EntryState,
    /// What will be after the task, for telling our own work from others' on the way back.
    to: EntryState,
    /// The guard.
    csn: Option<String>,
    operation: Operation,
}

#[derive(Debug, Clone)]
enum Operation {
    Add(Entry),
    Delete,
    /// Attribute by attribute, from the first state to the second.
    Modify(Vec<AttributeStep>),
}

/// From one set of values of an attribute to another.
#[derive(Debug, Clone)]
struct AttributeStep {
    name: String,
    rule: Rule,
    before: Vec<Octets>,
    after: Vec<Octets>,
}

/// Writes changes that all go to one server under one name.
pub(super) async fn write(
    host: &Target,
    changes: &[&KeyedChange<LdapEntry>],
) -> Result<(), WriteError> {
    let Some(first) = changes.first() else {
        return Ok(());
    };
    let keys: Vec<&EntryKey> = changes.iter().map(|c| &c.key).collect();
    let mut steps = Vec::new();
    for (change, found) in changes.iter().zip(read_from(host, &keys).await) {
        let found = found?;
        if found != change.change.from {
            return Err(WriteError::Moved {
                what: change.key.dn.clone(),
                found: moved(&change.change.from, &found),
            });
        }
        steps.extend(plan(change, &found)?);
    }
    let session = Session::of(host, &first.key.server).await?;
    let schema_changes = steps.iter().any(|s| is_schema(s.key));
    let mut done: Vec<Step<'_>> = Vec::new();
    let mut failed = None;
    for stage in stages(steps) {
        let mut operations = Vec::with_capacity(stage.len());
        for step in &stage {
            operations.push(perform(&session, step));
        }
        let results: Vec<Result<(), Refused>> =
            stream::iter(operations).buffered(IN_FLIGHT).collect().await;
        for (step, result) in stage.into_iter().zip(results) {
            match result {
                Ok(()) => done.push(step),
                Err(refused) => {
                    // A connection that broke may have carried out the operation whose answer it lost.
                    if matches!(refused, Refused::Broken(_)) {
                        done.push(step.clone());
                    }
                    failed.get_or_insert((step, refused));
                }
            }
        }
        if failed.is_some() {
            break;
        }
    }
    if schema_changes {
        session.forget_schema(host).await;
    }
    let Some((step, refused)) = failed else {
        return Ok(());
    };
    if matches!(refused, Refused::Broken(_)) {
        session.forget(host).await;
    }
    let left = take_back(host, done).await;
    if schema_changes {
        session.forget_schema(host).await;
    }
    let moved = matches!(refused, Refused::Code(122 | 32, _));
    if moved && left.is_empty() {
        return Err(WriteError::Moved {
            what: step.key.dn.clone(),
            found: refused.to_string(),
        });
    }
    let message = format!(
        "{} of {} at {}: {refused}",
        step.verb(),
        step.key.dn,
        step.key.server.shown()
    );
    // Whether it was done, and all before it, has to be read once the server is there again.
    if matches!(refused, Refused::Broken(_)) && !left.is_empty() {
        return Err(WriteError::Host(HostError::Lost(message)));
    }
    Err(WriteError::Failed {
        message,
        left: (!left.is_empty()).then(|| left.join("; ")),
    })
}

/// The operations of one change; two where an entry is put in place of one of another structure.
fn plan<'a>(
    change: &'a KeyedChange<LdapEntry>,
    found: &EntryState,
) -> Result<Vec<Step<'a>>, WriteError> {
    let (from, want) = (&change.change.from, &change.change.want);
    let to = predicted(want, from);
    let step = |operation| Step {
        key: &change.key,
        from,
        to: to.clone(),
        csn: found.csn.clone(),
        operation,
    };
    Ok(match (&from.entry, &to.entry) {
        (None, None) if matches!(want, EntryWant::Attributes(_)) => {
            return Err(WriteError::failed(format!(
                "{} is absent, so its attributes cannot be set",
                change.key.dn
            )));
        }
        (None, None) => Vec::new(),
        (None, Some(entry)) => vec![step(Operation::Add(entry.clone()))],
        (Some(_), None) => vec![step(Operation::Delete)],
        (Some(before), Some(after)) => {
            let classes = |e: &Entry| {
                e.attribute("objectClass")
                    .map(|a| a.folded())
                    .unwrap_or_default()
            };
            if matches!(want, EntryWant::Entry(_))
                && classes(before) != classes(after)
                && !found.has_children
            {
                vec![step(Operation::Delete), step(Operation::Add(after.clone()))]
            } else {
                let attributes = attribute_steps(before, after);
                if attributes.is_empty() {
                    Vec::new()
                } else {
                    vec![step(Operation::Modify(attributes))]
                }
            }
        }
    })
}

fn attribute_steps(before: &Entry, after: &Entry) -> Vec<AttributeStep> {
    let mut steps = Vec::new();
    for attribute in &after.attributes {
        let old = before.attribute(&attribute.name);
        if old.is_none_or(|o| o.folded() != attribute.folded()) {
            steps.push(AttributeStep {
                name: attribute.name.clone(),
                rule: old.map_or_else(|| attribute.rule.clone(), |o| o.rule.clone()),
                before: old.map(|o| o.values.clone()).unwrap_or_default(),
                after: attribute.values.clone(),
            });
        }
    }
    for attribute in before
        .attributes
        .iter()
        .filter(|a| after.attribute(&a.name).is_none())
    {
        steps.push(AttributeStep {
            name: attribute.name.clone(),
            rule: attribute.rule.clone(),
            before: attribute.values.clone(),
            after: Vec::new(),
        });
    }
    steps
}

/// Stages one after the other; what is in one stage goes side by side. New entries parents first, then changes, then
/// removals children first. The server's own configuration takes one change at a time, in the order given.
fn stages(steps: Vec<Step<'_>>) -> Vec<Vec<Step<'_>>> {
    let depth = |s: &Step<'_>| s.key.place.matches('/').count();
    let mut recreated: HashSet<&str> = HashSet::new();
    for step in &steps {
        if step.from.entry.is_some() && matches!(step.operation, Operation::Add(_)) {
            recreated.insert(&step.key.place);
        }
    }
    let (mut adds, mut modifies, mut single) = (Vec::new(), Vec::new(), Vec::new());
    let (mut deletes, mut early, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for step in &steps {
        match &step.operation {
            _ if step.key.last => last.push(step.clone()),
            _ if is_config(step.key) => single.push(vec![step.clone()]),
            Operation::Add(_) => adds.push((depth(step), step.clone())),
            Operation::Modify(_) => modifies.push(step.clone()),
            Operation::Delete if recreated.contains(step.key.place.as_str()) => {
                early.push((depth(step), step.clone()));
            }
            Operation::Delete => deletes.push((depth(step), step.clone())),
        }
    }
    let mut stages: Vec<Vec<Step<'_>>> = single;
    stages.extend(by_depth(early).into_values().rev());
    stages.extend(by_depth(adds).into_values());
    stages.push(modifies);
    stages.extend(by_depth(deletes).into_values().rev());
    stages.push(last);
    stages.retain(|s| !s.is_empty());
    stages
}

/// Is it an entry of slapd's own configuration?
pub(super) fn is_config(key: &EntryKey) -> bool {
    key.place == "cn=config" || key.place.starts_with("cn=config/")
}

pub(super) fn is_schema(key: &EntryKey) -> bool {
    key.place.starts_with("cn=config/cn=schema")
}

impl Step<'_> {
    fn verb(&self) -> &'static str {
        match self.operation {
            Operation::Add(_) => "adding",
            Operation::Delete => "removal",
            Operation::Modify(_) => "change",
        }
    }
}

async fn perform(session: &Session, step: &Step<'_>) -> Result<(), Refused> {
    // The configuration backend of slapd knows no assertions; what was read right before guards it.
    let csn = if is_config(step.key) {
        None
    } else {
        step.csn.as_deref()
    };
    match &step.operation {
        Operation::Add(entry) => session.add(&step.key.dn, &values_of(entry)).await,
        Operation::Delete => session.delete(&step.key.dn, csn).await,
        Operation::Modify(attributes) => {
            let mods = attributes
                .iter()
                .flat_map(|a| mods(a, &a.before, &a.after))
                .collect();
            session.modify(&step.key.dn, mods, csn).await
        }
    }
}

fn values_of(entry: &Entry) -> Vec<(String, Vec<Octets>)> {
    entry
        .attributes
        .iter()
        .map(|a| (a.name.clone(), a.values.clone()))
        .collect()
}

/// The operations that bring an attribute from one set of values to another: single values where the server can
/// compare them, the whole attribute where it cannot or where their order counts.
fn mods(step: &AttributeStep, before: &[Octets], after: &[Octets]) -> Vec<Mod<Vec<u8>>> {
    let name = step.name.clone().into_bytes();
    let set = |values: Vec<Vec<u8>>| values.into_iter().collect::<HashSet<_>>();
    match step.rule {
        Rule::NoEquality | Rule::Octets => {
            vec![Mod::Replace(
                name,
                set(after.iter().map(|v| v.bytes().to_vec()).collect()),
            )]
        }
        Rule::Description | Rule::Ordered => {
            // One operation a value: their order counts, since a description may build on one before it, and the
            // values of one operation are a set.
            let mut mods = Vec::with_capacity(after.len() + 1);
            if !before.is_empty() {
                mods.push(Mod::Delete(name.clone(), HashSet::new()));
            }
            for value in after {
                let bare = value
                    .text()
                    .map_or_else(|| value.bytes(), |t| without_index(t).as_bytes());
                mods.push(Mod::Add(name.clone(), set(vec![bare.to_vec()])));
            }
            mods
        }
        _ => {
            let fold = |values: &[Octets]| -> BTreeSet<Vec<u8>> {
                values.iter().map(|v| step.rule.fold(v.bytes())).collect()
            };
            let (old, new) = (fold(before), fold(after));
            let only = |values: &[Octets], other: &BTreeSet<Vec<u8>>| {
                set(values
                    .iter()
                    .filter(|v| !other.contains(&step.rule.fold(v.bytes())))
                    .map(|v| v.bytes().to_vec())
                    .collect())
            };
            let (gone, come) = (only(before, &new), only(after, &old));
            let mut mods = Vec::new();
            if after.is_empty() {
                mods.push(Mod::Delete(name, HashSet::new()));
                return mods;
            }
            if !gone.is_empty() {
                mods.push(Mod::Delete(name.clone(), gone));
            }
            if !come.is_empty() {
                mods.push(Mod::Add(name, come));
            }
            mods
        }
    }
}

/// Undoes operations in reverse order, where the entry is still as they left it. Gives what could not be undone.
async fn take_back(host: &Target, done: Vec<Step<'_>>) -> Vec<String> {
    let mut left = Vec::new();
    for step in done.into_iter().rev() {
        let found = read_from(host, &[step.key]).await.pop();
        let found = match found {
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                left.push(format!("{}: {error}", step.key.dn));
                continue;
            }
            None => continue,
        };
        let ours = match &step.operation {
            Operation::Delete => found.entry.is_none(),
            _ => found == step.to,
        };
        if !ours {
            if found != *step.from {
                left.push(format!(
                    "{} was changed by someone else meanwhile and is left as it is",
                    step.key.dn
                ));
            }
            continue;
        }
        let session = match Session::of(host, &step.key.server).await {
            Ok(session) => session,
            Err(error) => {
                left.push(format!("{}: {error}", step.key.dn));
                continue;
            }
        };
        let csn = if is_config(step.key) {
            None
        } else {
            found.csn.as_deref()
        };
        let undone = match (&step.operation, &step.from.entry) {
            (Operation::Add(_), _) => session.delete(&step.key.dn, csn).await,
            (Operation::Delete, Some(entry)) => session.add(&step.key.dn, &values_of(entry)).await,
            (Operation::Modify(attributes), _) => {
                let mods = attributes
                    .iter()
                    .flat_map(|a| mods(a, &a.after, &a.before))
                    .collect();
                session.modify(&step.key.dn, mods, csn).await
            }
            (Operation::Delete, None) => Ok(()),
        };
        if let Err(refused) = undone {
            left.push(format!(
                "the {} of {} could not be taken back: {refused}",
                step.verb(),
                step.key.dn
            ));
        }
    }
    left
}

/// What is different from what was planned from, short and without values.
fn moved(planned: &EntryState, found: &EntryState) -> String {
    match (&planned.entry, &found.entry) {
        (Some(_), None) => "it is gone".to_owned(),
        (None, Some(_)) => "it exists".to_owned(),
        (Some(a), Some(b)) => {
            let names: BTreeSet<String> =
                attribute_steps(a, b).into_iter().map(|s| s.name).collect();
            format!(
                "other values of {}",
                names.into_iter().collect::<Vec<_>>().join(", ")
            )
        }
        (None, None) => String::new(),
    }
}
