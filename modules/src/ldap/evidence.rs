//! By what a directory without a record shows which updates it has had.

use super::chain::{Directory, Link, octets, renamed};
use super::ldif::{RecordChange, Verb};
use super::schema::Schema;

/// How much of a record can be seen in the directory: `None` where it says nothing of it.
#[must_use]
pub fn evidence(link: &Link, directory: &Directory, schema: &Schema) -> Option<Evidence> {
    let state = directory.get(&link.place);
    let entry = state.and_then(|s| s.entry.as_ref());
    match &link.change {
        RecordChange::Add(_) => {
            let parent = link.dn.parent()?.folded(Some(schema));
            directory.get(&parent)?.entry.as_ref()?;
            Some(Evidence {
                additive: true,
                seen: entry.is_some(),
            })
        }
        RecordChange::Modify(operations) => {
            let entry = entry?;
            let mut found = None;
            for operation in operations {
                let key = schema.attribute_key(&operation.attribute);
                let attribute = entry
                    .attributes
                    .iter()
                    .find(|a| schema.attribute_key(&a.name) == key);
                let values = octets(&operation.values);
                if values.len() != operation.values.len() {
                    continue;
                }
                let (additive, seen) = match operation.verb {
                    Verb::Add | Verb::Replace if !values.is_empty() => (
                        true,
                        values.iter().all(|v| attribute.is_some_and(|a| a.has(v))),
                    ),
                    _ if values.is_empty() => (false, attribute.is_none()),
                    _ => (
                        false,
                        values.iter().all(|v| !attribute.is_some_and(|a| a.has(v))),
                    ),
                };
                found = Some(match found {
                    Some(Evidence {
                        additive: true,
                        seen: so_far,
                    }) if additive => Evidence {
                        additive,
                        seen: so_far && seen,
                    },
                    Some(earlier @ Evidence { additive: true, .. }) => earlier,
                    _ => Evidence { additive, seen },
                });
            }
            found
        }
        RecordChange::Delete => Some(Evidence {
            additive: false,
            seen: entry.is_none(),
        }),
        RecordChange::Rename { .. } => {
            let new = renamed(link)?.folded(Some(schema));
            Some(Evidence {
                additive: true,
                seen: directory.get(&new).is_some_and(|s| s.entry.is_some()),
            })
        }
    }
}

/// Whether a record has left its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// It brings something. What it only takes away may never have been there.
    pub additive: bool,
    /// What it asks for is so.
    pub seen: bool,
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::{A, X, entry, schema};
    use super::*;
    use crate::ldap::dn::Dn;
    use crate::ldap::ldif::parse;

    #[test]
    fn marks_of_a_version() {
        let schema = schema();
        let directory: Directory = [X, A].iter().map(|e| entry(e, &schema)).collect();
        let mark = |text: &str| {
            let record = parse(text.as_bytes()).unwrap().remove(0);
            let dn = Dn::parse(&record.dn).unwrap();
            let place = dn.folded(Some(&schema));
            let link = Link {
                file: String::new(),
                line: 1,
                dn,
                place,
                change: record.change,
            };
            evidence(&link, &directory, &schema).map(|e| (e.additive, e.seen))
        };
        assert_eq!(mark("dn: cn=a,o=x\nadd: tag\ntag: 1\n"), Some((true, true)));
        assert_eq!(
            mark("dn: cn=a,o=x\nadd: tag\ntag: 1\ntag: 2\n"),
            Some((true, false))
        );
        assert_eq!(
            mark("dn: cn=a,o=x\ndelete: tag\ntag: 2\n"),
            Some((false, true))
        );
        assert_eq!(mark("dn: cn=a,o=x\nreplace: blob\nblob:< file:x\n"), None);
        assert_eq!(mark("dn: cn=q,o=x\nadd: tag\ntag: 1\n"), None);
        assert_eq!(
            mark("dn: cn=q,o=x\nobjectClass: thing\n"),
            Some((true, false))
        );
        assert_eq!(mark("dn: cn=q,o=y\nobjectClass: thing\n"), None);
    }
}
