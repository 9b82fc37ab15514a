//! Lists and mappings.

use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, Value};

use super::{Given, bad, filter, items, text, valid};
use crate::template::views::Marker;

/// The most items that a filter may make of few (`product`, `combinations`).
const MOST: usize = 100_000;

fn unique(all: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut seen: Vec<Value> = Vec::new();
    for item in all {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

fn pairs(value: &Value, what: &str) -> Result<Vec<(Value, Value)>, Error> {
    match value.kind() {
        ValueKind::Map => value
            .try_iter()?
            .map(|key| Ok((key.clone(), valid(value.get_item(&key)?)?)))
            .collect(),
        ValueKind::Plain => Ok(Vec::new()),
        kind => Err(bad(format!("`{what}` takes mappings, not a {kind}"))),
    }
}

fn map_of(pairs: impl IntoIterator<Item = (Value, Value)>) -> Value {
    let map: indexmap::IndexMap<Value, Value> = pairs.into_iter().collect();
    Value::from_object(map)
}

#[derive(Clone, Copy, PartialEq)]
enum ListMerge {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendNew,
    PrependNew,
}

fn merge(base: &Value, over: &Value, deep: bool, lists: ListMerge) -> Result<Value, Error> {
    let mut out = pairs(base, "combine")?;
    for (key, value) in pairs(over, "combine")? {
        let Some((_, old)) = out.iter_mut().find(|(k, _)| *k == key) else {
            out.push((key, value));
            continue;
        };
        let both = |kind| old.kind() == kind && value.kind() == kind;
        *old = if deep && both(ValueKind::Map) {
            merge(old, &value, true, lists)?
        } else if both(ValueKind::Seq) && lists != ListMerge::Replace {
            let (old, new) = (items(old)?, items(&value)?);
            let fresh = |a: Vec<Value>, b: &[Value]| -> Vec<Value> {
                a.into_iter().filter(|x| !b.contains(x)).collect()
            };
            Value::from(match lists {
                ListMerge::Replace | ListMerge::Keep => old,
                ListMerge::Append => [old, new].concat(),
                ListMerge::Prepend => [new, old].concat(),
                ListMerge::AppendNew => [fresh(old, &new), new].concat(),
                ListMerge::PrependNew => {
                    let rest = fresh(old, &new);
                    [new, rest].concat()
                }
            })
        } else {
            value
        };
    }
    Ok(map_of(out))
}

fn combine(base: Value, given: &Given) -> Result<Value, Error> {
    let deep = given.truth(usize::MAX, "recursive")?;
    let lists = match given.text(usize::MAX, "list_merge")?.as_deref() {
        None | Some("replace") => ListMerge::Replace,
        Some("keep") => ListMerge::Keep,
        Some("append") => ListMerge::Append,
        Some("prepend") => ListMerge::Prepend,
        Some("append_rp") => ListMerge::AppendNew,
        Some("prepend_rp") => ListMerge::PrependNew,
        Some(other) => {
            return Err(bad(format!(
                "`{other}` is no way to merge lists; there are replace, keep, append, prepend, append_rp, prepend_rp"
            )));
        }
    };
    given.only(usize::MAX)?;
    // As in Ansible a list of mappings stands for its mappings.
    let mut all = Vec::new();
    for value in std::iter::once(&base).chain(&given.rest) {
        match value.kind() {
            ValueKind::Seq => all.extend(items(value)?),
            _ => all.push(value.clone()),
        }
    }
    let mut all = all.iter();
    let first = map_of(match all.next() {
        Some(first) => pairs(first, "combine")?,
        None => Vec::new(),
    });
    all.try_fold(first, |base, over| merge(&base, over, deep, lists))
}

fn flatten(
    value: &Value,
    levels: Option<i64>,
    nulls: bool,
    out: &mut Vec<Value>,
) -> Result<(), Error> {
    for item in items(value)? {
        if matches!(item.kind(), ValueKind::Seq) && levels.is_none_or(|l| l > 0) {
            flatten(&item, levels.map(|l| l - 1), nulls, out)?;
        } else if nulls || !(item.is_none() || matches!(item.as_str(), Some("None" | "null"))) {
            out.push(item);
        }
    }
    Ok(())
}

fn extract(key: Value, container: Value, more: Option<Value>) -> Result<Value, Error> {
    let mut found = container.get_item(&key)?;
    for step in more
        .map(|m| match m.kind() {
            ValueKind::Seq => items(&m),
            _ => Ok(vec![m]),
        })
        .transpose()?
        .into_iter()
        .flatten()
    {
        found = found.get_item(&step)?;
    }
    if found.is_undefined() {
        return Err(Error::new(
            minijinja::ErrorKind::UndefinedError,
            format!("there is no `{key}` to extract"),
        ));
    }
    Ok(found)
}

fn subelements(value: Value, given: &Given) -> Result<Value, Error> {
    let steps: Vec<String> = match given.value(0, "subelements")? {
        Some(path) if path.kind() == ValueKind::Seq => {
            items(&path)?.iter().map(text).collect::<Result<_, _>>()?
        }
        Some(path) => text(&path)?.split('.').map(str::to_owned).collect(),
        None => return Err(bad("`subelements` takes the name of a list in each item")),
    };
    let skip = given.truth(1, "skip_missing")?;
    given.only(2)?;
    let all = match value.kind() {
        ValueKind::Map => pairs(&value, "subelements")?
            .into_iter()
            .map(|(_, v)| v)
            .collect(),
        _ => items(&value)?,
    };
    let mut out = Vec::new();
    for item in all {
        let inner = steps.iter().try_fold(item.clone(), |at, step| {
            at.get_attr(step).ok().filter(|v| !v.is_undefined())
        });
        match inner {
            Some(inner) => out.extend(
                items(&inner)?
                    .into_iter()
                    .map(|i| Value::from(vec![item.clone(), i])),
            ),
            None if skip => {}
            None => {
                return Err(bad(format!(
                    "an item has no `{}`; `skip_missing=true` leaves such out",
                    steps.join(".")
                )));
            }
        }
    }
    Ok(Value::from(out))
}

/// All ways to choose one item of each list.
fn product(lists: &[Vec<Value>]) -> Result<Value, Error> {
    let size = lists
        .iter()
        .try_fold(1_usize, |n, l| n.checked_mul(l.len()))
        .unwrap_or(usize::MAX);
    if size > MOST {
        return Err(bad(format!("the product has more than {MOST} items")));
    }
    let mut out: Vec<Vec<Value>> = vec![Vec::new()];
    for list in lists {
        out = out
            .iter()
            .flat_map(|head| {
                list.iter()
                    .map(move |item| [head.as_slice(), std::slice::from_ref(item)].concat())
            })
            .collect();
    }
    Ok(Value::from(
        out.into_iter().map(Value::from).collect::<Vec<_>>(),
    ))
}

/// All ways to take `size` items: in order, or in any order.
fn choices(all: &[Value], size: usize, ordered: bool) -> Result<Value, Error> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..size {
        let mut longer = Vec::new();
        for head in &out {
            for at in 0..all.len() {
                let fits = if ordered {
                    head.last().is_none_or(|last| at > *last)
                } else {
                    !head.contains(&at)
                };
                if fits {
                    longer.push([head.as_slice(), &[at]].concat());
                }
            }
            if longer.len() > MOST {
                return Err(bad(format!("there are more than {MOST} choices")));
            }
        }
        out = longer;
    }
    let pick = |chosen: Vec<usize>| {
        let items = chosen.into_iter().filter_map(|at| all.get(at).cloned());
        Value::from(items.collect::<Vec<_>>())
    };
    Ok(Value::from(out.into_iter().map(pick).collect::<Vec<_>>()))
}

fn zip(value: &Value, rest: &[Value], longest: Option<&Value>) -> Result<Value, Error> {
    let lists = std::iter::once(value)
        .chain(rest)
        .map(items)
        .collect::<Result<Vec<_>, _>>()?;
    let lengths = lists.iter().map(Vec::len);
    let length = match longest {
        Some(_) => lengths.max(),
        None => lengths.min(),
    };
    let row = |at: usize| {
        let cells = lists
            .iter()
            .map(|l| l.get(at).or(longest).cloned().unwrap_or_default());
        Value::from(cells.collect::<Vec<_>>())
    };
    Ok(Value::from(
        (0..length.unwrap_or(0)).map(row).collect::<Vec<_>>(),
    ))
}

pub(super) fn add(env: &mut Environment<'static>) {
    filter(env, "combine", combine);
    let difference = |a: &Value, b: &Value| -> Result<Vec<Value>, Error> {
        let b = items(b)?;
        Ok(unique(items(a)?.into_iter().filter(|x| !b.contains(x))))
    };
    env.add_filter("difference", move |a: Value, b: Value| difference(&a, &b));
    env.add_filter(
        "intersect",
        |a: Value, b: Value| -> Result<Vec<Value>, Error> {
            let b = items(&b)?;
            Ok(unique(items(&a)?.into_iter().filter(|x| b.contains(x))))
        },
    );
    env.add_filter("union", |a: Value, b: Value| -> Result<Vec<Value>, Error> {
        Ok(unique(items(&a)?.into_iter().chain(items(&b)?)))
    });
    env.add_filter(
        "symmetric_difference",
        move |a: Value, b: Value| -> Result<Vec<Value>, Error> {
            Ok([difference(&a, &b)?, difference(&b, &a)?].concat())
        },
    );
    filter(env, "unique", |value, given| {
        let attribute = given.text(1, "attribute")?;
        // Ansible's `unique` tells upper and lower case apart unless it is told not to.
        let folded = given
            .value(0, "case_sensitive")?
            .is_some_and(|v| !v.is_true());
        given.only(2)?;
        let mut seen: Vec<Value> = Vec::new();
        let mut out = Vec::new();
        for item in items(&value)? {
            let mut key = match &attribute {
                Some(name) => item.get_attr(name)?,
                None => item.clone(),
            };
            if folded && let Some(text) = key.as_str() {
                key = Value::from(text.to_lowercase());
            }
            if !seen.contains(&key) {
                seen.push(key);
                out.push(item);
            }
        }
        Ok(Value::from(out))
    });
    filter(env, "flatten", |value, given| {
        let levels = given.int(0, "levels")?;
        let skip = given.value(1, "skip_nulls")?.is_none_or(|v| v.is_true());
        given.only(2)?;
        let mut out = Vec::new();
        flatten(&value, levels, !skip, &mut out)?;
        Ok(Value::from(out))
    });
    filter(env, "dict2items", |value, given| {
        let key_name = given
            .text(0, "key_name")?
            .unwrap_or_else(|| "key".to_owned());
        let value_name = given
            .text(1, "value_name")?
            .unwrap_or_else(|| "value".to_owned());
        given.only(2)?;
        let of = |(key, inner)| {
            Value::from_pairs([(key_name.clone(), key), (value_name.clone(), inner)])
        };
        let all = pairs(&value, "dict2items")?.into_iter().map(of);
        Ok(Value::from(all.collect::<Vec<_>>()))
    });
    filter(env, "items2dict", |value, given| {
        let key_name = given
            .text(0, "key_name")?
            .unwrap_or_else(|| "key".to_owned());
        let value_name = given
            .text(1, "value_name")?
            .unwrap_or_else(|| "value".to_owned());
        given.only(2)?;
        let mut out = Vec::new();
        for item in items(&value)? {
            let part = |name: &str| match item.get_attr(name) {
                Ok(found) if !found.is_undefined() => valid(found),
                _ => Err(bad(format!("`items2dict`: an item has no `{name}`"))),
            };
            out.push((part(&key_name)?, part(&value_name)?));
        }
        Ok(map_of(out))
    });
    filter(env, "rekey_on_member", |value, given| {
        let name = given
            .text(0, "key")?
            .ok_or_else(|| bad("`rekey_on_member` takes the name of a member"))?;
        let _ = given.value(1, "duplicates")?;
        given.only(2)?;
        let all = match value.kind() {
            ValueKind::Map => pairs(&value, "rekey_on_member")?
                .into_iter()
                .map(|(_, v)| v)
                .collect(),
            _ => items(&value)?,
        };
        let mut out: Vec<(Value, Value)> = Vec::new();
        for item in all {
            let key = item.get_attr(&name)?;
            if out.iter().any(|(k, _)| *k == key) {
                return Err(bad(format!("`{key}` occurs twice")));
            }
            out.push((key, item));
        }
        Ok(map_of(out))
    });
    filter(env, "ternary", |value, given| {
        let (yes, no, null) = (given.rest.first(), given.rest.get(1), given.rest.get(2));
        let named = |name: &str| given.kwargs.get::<Option<Value>>(name);
        let (yes, no, null) = (
            yes.cloned().or(named("true_val")?),
            no.cloned().or(named("false_val")?),
            null.cloned().or(named("none_val")?),
        );
        given.only(3)?;
        let chosen = match null {
            Some(null) if value.is_none() && !null.is_none() => Some(null),
            _ if value.is_true() => yes,
            _ => no,
        };
        chosen.ok_or_else(|| bad("`ternary` takes a value for true and one for false"))
    });
    filter(env, "default", default);
    filter(env, "d", default);
    filter(env, "mandatory", |value, given| {
        let message = given.text(0, "msg")?;
        given.only(1)?;
        let absent = value.is_undefined()
            || value
                .downcast_object_ref::<Marker>()
                .is_some_and(Marker::is_undefined);
        match message {
            Some(message) if absent => Err(bad(message)),
            _ if value.is_undefined() => Err(Error::from(minijinja::ErrorKind::UndefinedError)),
            _ => Ok(value),
        }
    });
    env.add_filter(
        "product",
        |value: Value, rest: Rest<Value>| -> Result<Value, Error> {
            let lists = std::iter::once(&value)
                .chain(rest.iter())
                .map(items)
                .collect::<Result<Vec<_>, _>>()?;
            product(&lists)
        },
    );
    filter(env, "combinations", |value, given| {
        let size = given.int(0, "r")?.unwrap_or(0);
        choices(&items(&value)?, usize::try_from(size).unwrap_or(0), true)
    });
    filter(env, "permutations", |value, given| {
        let all = items(&value)?;
        let size = given
            .int(0, "r")?
            .map_or(all.len(), |n| usize::try_from(n).unwrap_or(0));
        choices(&all, size, false)
    });
    env.add_filter("zip", |value: Value, rest: Rest<Value>| {
        zip(&value, &rest, None)
    });
    filter(env, "zip_longest", |value, given| {
        let fill = given.kwargs.get::<Option<Value>>("fillvalue")?;
        given.kwargs.assert_all_used()?;
        zip(&value, &given.rest, Some(&fill.unwrap_or_default()))
    });
    env.add_filter("extract", extract);
    filter(env, "subelements", subelements);
}

/// Jinja's `default`: for what is undefined, and with `true` behind it for what is false or empty too.
fn default(value: Value, given: &Given) -> Result<Value, Error> {
    let other = match given.rest.first() {
        Some(other) => other.clone(),
        None => given
            .kwargs
            .get::<Option<Value>>("default_value")?
            .unwrap_or_else(|| Value::from("")),
    };
    let empty_too = given.truth(1, "boolean")?;
    given.only(2)?;
    if let Some(marker) = value.downcast_object_ref::<Marker>() {
        return Ok(if marker.is_undefined() {
            marker.trace.settle(marker.id);
            other
        } else {
            value
        });
    }
    Ok(if value.is_undefined() || (empty_too && !value.is_true()) {
        other
    } else {
        value
    })
}
