//! What a chain of LDIF records comes to on a directory as it is.
//!
//! Records are not sent one after the other as they stand: on a directory that has some of them already, or that its
//! administrators have changed, half of them would fail. The chain is carried out on a model of the directory, every
//! record is judged, and only the net change of each entry is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::dn::Dn;
use super::entry::{Attribute, AttributeWant, Entry, EntryState, EntryWant, ValuesWant};
use super::ldif::{RecordChange, Value};
use super::matching::Rule;
use super::model::Model;
use super::octets::Octets;
use super::schema::Schema;

/// A record of the chain, at its place.
#[derive(Debug, Clone)]
pub struct Link {
    /// File, as shown.
    pub file: String,
    /// Line of the record.
    pub line: usize,
    /// The name.
    pub dn: Dn,
    /// The folded name.
    pub place: String,
    /// What it asks for, files loaded.
    pub change: RecordChange,
}

/// What a record comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has something to change.
    Apply,
    /// What it asks for is so already, or later records of the chain undo it.
    Already,
    /// It cannot be applied as it stands; why.
    Conflict(String),
}

/// What to do with an entry that a record adds and that exists with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Existing {
    /// It is a conflict.
    #[default]
    Compare,
    /// It stays as it is.
    Keep,
}

/// What the whole chain comes to.
#[derive(Debug, Clone, Default)]
pub struct Net {
    /// One verdict a record, in order.
    pub verdicts: Vec<Verdict>,
    /// The entries that change: name, place, what is wanted.
    pub wants: Vec<(Dn, String, EntryWant)>,
    /// Attributes and classes that the schema does not know, with the record that needs them.
    pub unknown: Vec<String>,
}

/// The directory as it is, by place. A place that is not in it has not been read.
pub type Directory = BTreeMap<String, EntryState>;

/// The places whose states a chain has to know: the entries themselves, what lies above new ones, what lies below
/// removed ones (from `below`).
#[must_use]
pub fn places(links: &[Link], schema: &Schema) -> BTreeMap<String, Dn> {
    let mut places = BTreeMap::new();
    let mut add = |dn: &Dn| {
        places
            .entry(dn.folded(Some(schema)))
            .or_insert_with(|| dn.clone());
    };
    for link in links {
        add(&link.dn);
        match &link.change {
            RecordChange::Add(_) => link.dn.parent().iter().for_each(&mut add),
            RecordChange::Rename { .. } => {
                if let Some(new) = renamed(link) {
                    new.parent().iter().for_each(&mut add);
                    add(&new);
                }
            }
            RecordChange::Delete | RecordChange::Modify(_) => {}
        }
    }
    places.remove("");
    places
}

/// The name after a rename.
pub(super) fn renamed(link: &Link) -> Option<Dn> {
    let RecordChange::Rename {
        new_rdn,
        new_superior,
        ..
    } = &link.change
    else {
        return None;
    };
    let rdn = super::dn::Rdn::parse(new_rdn).ok()?;
    let parent = match new_superior {
        Some(text) => Dn::parse(text).ok()?,
        None => link.dn.parent()?,
    };
    Some(Dn::below(rdn, &parent))
}

/// Judges every record and gives the net change.
#[must_use]
pub fn net(links: &[Link], directory: &Directory, schema: &Schema, existing: Existing) -> Net {
    let mut model = Model {
        now: directory.clone(),
        schema,
        unknown: BTreeSet::new(),
    };
    let mut done_until: BTreeMap<&str, usize> = BTreeMap::new();
    let mut recreated: BTreeSet<String> = BTreeSet::new();
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(links.len());
    for (index, link) in links.iter().enumerate() {
        if done_until
            .get(link.place.as_str())
            .is_some_and(|until| index <= *until)
        {
            verdicts.push(Verdict::Already);
            continue;
        }
        let verdict = match &link.change {
            RecordChange::Add(attributes) => match model.entry(&link.place) {
                None => {
                    let verdict = model.add(link, attributes);
                    if verdict == Verdict::Apply
                        && directory
                            .get(&link.place)
                            .is_some_and(|s| s.entry.is_some())
                    {
                        recreated.insert(link.place.clone());
                    }
                    verdict
                }
                Some(_) if existing == Existing::Keep => Verdict::Already,
                Some(found) => match model.caught_up(links, index, found) {
                    Ok(until) => {
                        done_until.insert(&link.place, until);
                        Verdict::Already
                    }
                    Err(why) => Verdict::Conflict(why),
                },
            },
            RecordChange::Modify(operations) => {
                let later: Vec<&Link> = links[index + 1..]
                    .iter()
                    .filter(|l| l.place == link.place)
                    .collect();
                model.modify(link, operations, &later)
            }
            RecordChange::Delete => model.delete(link),
            RecordChange::Rename { .. } => model.rename(link),
        };
        verdicts.push(verdict);
    }
    let mut net = Net {
        verdicts,
        wants: Vec::new(),
        unknown: model.unknown.iter().cloned().collect(),
    };
    let mut names: BTreeMap<&str, &Dn> = links.iter().map(|l| (l.place.as_str(), &l.dn)).collect();
    let renamed: Vec<(String, Dn)> = links
        .iter()
        .filter_map(renamed)
        .map(|dn| (dn.folded(Some(schema)), dn))
        .collect();
    names.extend(renamed.iter().map(|(place, dn)| (place.as_str(), dn)));
    for (place, dn) in names {
        let before = directory.get(place).cloned().unwrap_or_default();
        let after = model.now.get(place).cloned().unwrap_or_default();
        if before == after {
            // Whatever the records did to it, it ends as it is.
            for (link, verdict) in links.iter().zip(&mut net.verdicts) {
                if link.place == place && *verdict == Verdict::Apply {
                    *verdict = Verdict::Already;
                }
            }
            continue;
        }
        let want = match (&before.entry, after.entry) {
            (_, None) => EntryWant::Absent,
            (None, Some(entry)) => EntryWant::Entry(entry),
            (Some(_), Some(entry)) if recreated.contains(place) => EntryWant::Entry(entry),
            (Some(old), Some(new)) => EntryWant::Attributes(attribute_wants(old, &new)),
        };
        net.wants.push((dn.clone(), place.to_owned(), want));
    }
    net
}

/// The attributes in which two states of an entry differ, value by value where values can be compared.
fn attribute_wants(old: &Entry, new: &Entry) -> Vec<AttributeWant> {
    let mut wants = Vec::new();
    let mut want = |attribute: &Attribute, before: &[Octets], after: &[Octets]| {
        let fold = |values: &[Octets]| -> BTreeSet<Vec<u8>> {
            values
                .iter()
                .map(|v| attribute.rule.fold(v.bytes()))
                .collect()
        };
        let (was, is) = (fold(before), fold(after));
        if was == is {
            return;
        }
        let only = |values: &[Octets], other: &BTreeSet<Vec<u8>>| -> Vec<Octets> {
            values
                .iter()
                .filter(|v| !other.contains(&attribute.rule.fold(v.bytes())))
                .cloned()
                .collect()
        };
        let whole = matches!(
            attribute.rule,
            Rule::NoEquality | Rule::Octets | Rule::Description | Rule::Ordered
        );
        wants.push(AttributeWant {
            name: attribute.name.clone(),
            rule: attribute.rule.clone(),
            values: if whole {
                ValuesWant::Exactly(after.to_vec())
            } else {
                ValuesWant::Holds {
                    with: only(after, &was),
                    without: only(before, &is),
                }
            },
        });
    };
    for attribute in &new.attributes {
        let before = old
            .attribute(&attribute.name)
            .map(|a| a.values.as_slice())
            .unwrap_or_default();
        want(attribute, before, &attribute.values);
    }
    for attribute in old
        .attributes
        .iter()
        .filter(|a| new.attribute(&a.name).is_none())
    {
        want(attribute, &attribute.values, &[]);
    }
    wants
}

pub(super) fn octets(values: &[Value]) -> Vec<Octets> {
    values.iter().filter_map(|v| v.octets().cloned()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ldap::entry::{differences, predicted};
    use crate::ldap::ldif::parse;
    use crate::ldap::schema::Descriptions;

    pub fn schema() -> Schema {
        let list = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
        Schema::new(&Descriptions {
            attribute_types: list(&[
                "( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch )",
                "( 2.5.4.3 NAME ( 'cn' 'commonName' ) EQUALITY caseIgnoreMatch )",
                "( 2.5.4.31 NAME 'member' EQUALITY distinguishedNameMatch )",
                "( 1.1 NAME 'tag' EQUALITY caseExactIA5Match )",
                "( 1.2 NAME 'one' EQUALITY caseExactMatch SINGLE-VALUE )",
                "( 1.3 NAME 'blob' SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )",
            ]),
            object_classes: list(&[
                "( 1.10 NAME 'thing' STRUCTURAL MUST cn MAY ( tag $ one $ blob ) )",
                "( 1.11 NAME 'group' STRUCTURAL MUST ( cn $ member ) )",
            ]),
        })
    }

    pub fn entry(text: &str, schema: &Schema) -> (String, EntryState) {
        let record = parse(text.as_bytes()).unwrap().remove(0);
        let RecordChange::Add(attributes) = record.change else {
            panic!("{text}")
        };
        let attributes = attributes
            .into_iter()
            .map(|(name, values)| Attribute {
                rule: schema.rule(&name),
                name,
                values: octets(&values),
            })
            .collect();
        let dn = Dn::parse(&record.dn).unwrap();
        (
            dn.folded(Some(schema)),
            EntryState::of(Entry {
                dn: record.dn,
                attributes,
            }),
        )
    }

    /// Entries that are there, records of the chain; verdicts by first letter, and the differences that are sent.
    fn check(there: &[&str], chain: &str, verdicts: &str, sent: &[&str]) -> Net {
        let schema = schema();
        let directory: Directory = there.iter().map(|e| entry(e, &schema)).collect();
        let links: Vec<Link> = parse(chain.as_bytes())
            .unwrap()
            .into_iter()
            .map(|r| {
                let dn = Dn::parse(&r.dn).unwrap();
                let place = dn.folded(Some(&schema));
                Link {
                    file: "f".to_owned(),
                    line: r.line,
                    dn,
                    place,
                    change: r.change,
                }
            })
            .collect();
        let net = net(&links, &directory, &schema, Existing::Compare);
        let found: String = net
            .verdicts
            .iter()
            .map(|v| match v {
                Verdict::Apply => '+',
                Verdict::Already => '=',
                Verdict::Conflict(_) => '!',
            })
            .collect();
        assert_eq!(found, verdicts, "{:?}", net.verdicts);
        let mut lines = Vec::new();
        for (dn, place, want) in &net.wants {
            let state = directory.get(place).cloned().unwrap_or_default();
            let found = differences(want, &state);
            assert!(!found.is_empty(), "{dn} is wanted as it is");
            lines.extend(found.iter().map(|l| format!("{dn}: {l}")));
            assert!(differences(want, &predicted(want, &state)).is_empty());
        }
        assert_eq!(lines, sent);
        net
    }

    fn why(net: &Net) -> &str {
        net.verdicts
            .iter()
            .find_map(|v| match v {
                Verdict::Conflict(why) => Some(why.as_str()),
                _ => None,
            })
            .unwrap_or_default()
    }

    pub const A: &str = "dn: cn=a,o=x\nobjectClass: thing\ncn: a\ntag: 1\none: old\n";
    pub const X: &str = "dn: o=x\nobjectClass: thing\ncn: x\n";

    #[test]
    fn values_come_and_go() {
        check(
            &[A],
            "dn: cn=a,o=x\nadd: tag\ntag: 2\n",
            "+",
            &["cn=a,o=x: tag + 2"],
        );
        check(&[A], "dn: CN=A, o=X\nadd: tag\ntag: 1\n", "=", &[]);
        check(
            &[A],
            "dn: cn=a,o=x\nadd: TAG\ntag: 1\nTag: 2\n",
            "+",
            &["cn=a,o=x: tag + 2"],
        );
        check(
            &[A],
            "dn: cn=a,o=x\ndelete: tag\ntag: 1\ntag: 9\n",
            "+",
            &["cn=a,o=x: tag - 1"],
        );
        check(&[A], "dn: cn=a,o=x\ndelete: blob\n", "=", &[]);
        check(
            &[A],
            "dn: cn=a,o=x\nreplace: one\none: new\n",
            "+",
            &["cn=a,o=x: one - old", "cn=a,o=x: one + new"],
        );
        // The case of a tag counts, the case of a name does not.
        check(
            &[A],
            "dn: cn=a,o=x\nadd: commonName\ncommonName: A\n",
            "=",
            &[],
        );
    }

    #[test]
    fn a_chain_is_judged_by_where_it_ends() {
        let chain = "dn: cn=a,o=x\nadd: tag\ntag: 2\n\ndn: cn=a,o=x\ndelete: tag\ntag: 2\n";
        check(&[A], chain, "==", &[]);
        let chain = "dn: cn=a,o=x\nadd: one\none: mid\n\ndn: cn=a,o=x\nreplace: one\none: new\n";
        check(
            &[A],
            chain,
            "++",
            &["cn=a,o=x: one - old", "cn=a,o=x: one + new"],
        );
        let added = "dn: cn=b,o=x\nobjectClass: thing\ncn: b\ntag: 1\n\n\
                     dn: cn=b,o=x\nchangetype: modify\nreplace: tag\ntag: 2\n";
        check(&[X], added, "++", &["cn=b,o=x: add cn=b,o=x"]);
        // Applied before: the entry is as the second record leaves it, not as the first brings it.
        check(
            &[X, "dn: cn=b,o=x\nobjectClass: thing\ncn: b\ntag: 2\n"],
            added,
            "==",
            &[],
        );
        // Half applied: the second record is still to come.
        let half = "dn: cn=b,o=x\nobjectClass: thing\ncn: b\ntag: 1\n";
        check(
            &[X, half],
            added,
            "=+",
            &["cn=b,o=x: tag - 1", "cn=b,o=x: tag + 2"],
        );
        // Applied, and the administrator has added something.
        let more = "dn: cn=b,o=x\nobjectClass: thing\ncn: b\ntag: 2\ntag: mine\n";
        check(&[X, more], added, "==", &[]);
        // Removed and brought back as something else.
        let chain = "dn: cn=a,o=x\nchangetype: delete\n\ndn: cn=a,o=x\nobjectClass: group\ncn: a\nmember: cn=z\n";
        let net = check(
            &[X, A],
            chain,
            "++",
            &[
                "cn=a,o=x: objectClass - thing",
                "cn=a,o=x: objectClass + group",
                "cn=a,o=x: member + cn=z",
                "cn=a,o=x: tag removed",
                "cn=a,o=x: one removed",
            ],
        );
        assert!(matches!(net.wants[0].2, EntryWant::Entry(_)));
    }

    #[test]
    fn conflicts() {
        let because = |there: &[&str], chain: &str, reason: &str| {
            let net = check(there, chain, "!", &[]);
            assert!(why(&net).contains(reason), "{}", why(&net));
        };
        because(
            &[],
            "dn: cn=a,o=x\nadd: tag\ntag: 1\n",
            "the entry is absent",
        );
        because(
            &[],
            "dn: cn=a,o=x\nobjectClass: thing\n",
            "the entry above it, o=x, is absent",
        );
        because(
            &[X, A],
            "dn: cn=a,o=x\nobjectClass: thing\none: new\n",
            "the entry exists and lacks one new",
        );
        because(
            &[A],
            "dn: cn=a,o=x\nadd: one\none: new\n",
            "one holds one value and would have old and new",
        );
        because(&[X], "dn: cn=g,o=x\nobjectClass: group\n", "require member");
        let group = "dn: cn=g,o=x\nobjectClass: group\ncn: g\nmember: cn=z, o=X\n";
        because(
            &[group],
            "dn: cn=g,o=x\ndelete: member\nmember: CN=Z,o=x\n",
            "lose its last value of member",
        );
        because(
            &[X, A],
            "dn: o=x\nchangetype: delete\n",
            "entries lie below it",
        );
        // A conflict leaves the record out, whole, and the others in.
        check(
            &[A],
            "dn: cn=a,o=x\nadd: tag\ntag: 2\n-\nadd: one\none: new\n\ndn: cn=a,o=x\nadd: tag\ntag: 3\n",
            "!+",
            &["cn=a,o=x: tag + 3"],
        );
    }

    #[test]
    fn removals_and_renames() {
        check(&[], "dn: cn=a,o=x\nchangetype: delete\n", "=", &[]);
        let chain = "dn: cn=a,o=x\nchangetype: delete\n\ndn: o=x\nchangetype: delete\n";
        check(
            &[X, A],
            chain,
            "++",
            &["o=x: remove o=x", "cn=a,o=x: remove cn=a,o=x"],
        );
        let rename = "dn: cn=a,o=x\nchangetype: modrdn\nnewrdn: cn=c\ndeleteoldrdn: 1\n";
        let net = check(
            &[X, A],
            rename,
            "+",
            &["cn=a,o=x: remove cn=a,o=x", "cn=c,o=x: add cn=c,o=x"],
        );
        let EntryWant::Entry(new) = &net.wants[1].2 else {
            panic!()
        };
        assert_eq!(new.texts("cn"), ["c"]);
        check(
            &[X, "dn: cn=c,o=x\nobjectClass: thing\ncn: c\n"],
            rename,
            "=",
            &[],
        );
        let net = check(&[X], rename, "!", &[]);
        assert!(why(&net).contains("neither"));
    }

    #[test]
    fn what_the_schema_does_not_know_is_named() {
        let net = check(
            &[X],
            "dn: cn=n,o=x\nobjectClass: thing\nobjectClass: newThing\nnewTag: 1\n",
            "+",
            &["cn=n,o=x: add cn=n,o=x"],
        );
        assert_eq!(
            net.unknown,
            [
                "attribute newTag (f line 1)",
                "object class newThing (f line 1)"
            ]
        );
    }
}
