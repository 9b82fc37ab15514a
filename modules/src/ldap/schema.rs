//! What a directory knows of its attributes and classes (RFC 4512, section 4.1).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::matching::{Rule, fold_text, without_index};

/// The schema of a server, as far as equality and completeness of entries need it.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    attributes: Vec<AttributeType>,
    classes: Vec<ObjectClass>,
    attribute_names: HashMap<String, usize>,
    class_names: HashMap<String, usize>,
}

/// An attribute type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeType {
    /// Its number.
    pub oid: String,
    /// Its names, the usual one first.
    pub names: Vec<String>,
    /// How its values are compared, inherited from its superior where it does not say.
    pub rule: Rule,
    /// Holds at most one value.
    pub single: bool,
    /// Cannot be written by users.
    pub read_only: bool,
    sup: Option<String>,
    equality: Option<String>,
}

/// An object class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectClass {
    /// Its number.
    pub oid: String,
    /// Its names.
    pub names: Vec<String>,
    /// Classes above it.
    pub sup: Vec<String>,
    /// Attributes that an entry of it must have, those of the classes above not included.
    pub must: Vec<String>,
    /// Attributes that it may have.
    pub may: Vec<String>,
    /// `STRUCTURAL`, the default; else auxiliary or abstract.
    pub structural: bool,
}

/// The descriptions as a server gives them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Descriptions {
    /// Values of `attributeTypes`.
    pub attribute_types: Vec<String>,
    /// Values of `objectClasses`.
    pub object_classes: Vec<String>,
}

impl AttributeType {
    /// The name that identifies it, in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.names.first().unwrap_or(&self.oid).to_ascii_lowercase()
    }
}

impl Schema {
    /// Reads descriptions. One that cannot be understood is left out, as if the server did not know it.
    #[must_use]
    pub fn new(descriptions: &Descriptions) -> Self {
        let mut schema = Self::default();
        for text in &descriptions.attribute_types {
            if let Some(found) = attribute_type(text) {
                let index = schema.attributes.len();
                for name in found.names.iter().chain([&found.oid]) {
                    schema
                        .attribute_names
                        .insert(name.to_ascii_lowercase(), index);
                }
                schema.attributes.push(found);
            }
        }
        for text in &descriptions.object_classes {
            if let Some(found) = object_class(text) {
                let index = schema.classes.len();
                for name in found.names.iter().chain([&found.oid]) {
                    schema.class_names.insert(name.to_ascii_lowercase(), index);
                }
                schema.classes.push(found);
            }
        }
        let rules: Vec<Rule> = schema
            .attributes
            .iter()
            .map(|a| schema.rule_of(a))
            .collect();
        for (attribute, rule) in schema.attributes.iter_mut().zip(rules) {
            attribute.rule = rule;
        }
        schema
    }

    fn rule_of(&self, attribute: &AttributeType) -> Rule {
        let key = attribute.key();
        if matches!(key.as_str(), "olcattributetypes" | "olcobjectclasses") {
            return Rule::Description;
        }
        if attribute.rule == Rule::Ordered {
            return Rule::Ordered;
        }
        let mut at = attribute;
        // A chain of superiors is short; the bound ends one that runs in a circle.
        for _ in 0..32 {
            if let Some(name) = &at.equality {
                return Rule::named(name);
            }
            match at.sup.as_deref().and_then(|s| self.attribute(s)) {
                Some(next) => at = next,
                None => break,
            }
        }
        Rule::NoEquality
    }

    /// The attribute type of a description (`cn`, `2.5.4.3`, `cn;lang-de`); `None` where the server knows none.
    #[must_use]
    pub fn attribute(&self, description: &str) -> Option<&AttributeType> {
        let name = description
            .split(';')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        self.attribute_names
            .get(&name)
            .map(|i| &self.attributes[*i])
    }

    /// The object class of a name or number.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&ObjectClass> {
        self.class_names
            .get(&name.trim().to_ascii_lowercase())
            .map(|i| &self.classes[*i])
    }

    /// How values of an attribute are compared; of an unknown one as text without regard to case.
    #[must_use]
    pub fn rule(&self, description: &str) -> Rule {
        self.attribute(description)
            .map(|a| a.rule.clone())
            .unwrap_or_default()
    }

    /// The form of an attribute description that is equal for equal ones.
    #[must_use]
    pub fn attribute_key(&self, description: &str) -> String {
        let lower = description.to_ascii_lowercase();
        let (name, options) = lower
            .split_once(';')
            .map_or((lower.as_str(), None), |(n, o)| (n, Some(o)));
        let name = self
            .attribute(name)
            .map_or_else(|| name.to_owned(), AttributeType::key);
        match options {
            Some(options) => {
                let mut options: Vec<&str> = options.split(';').collect();
                options.sort_unstable();
                format!("{name};{}", options.join(";"))
            }
            None => name,
        }
    }

    /// The keys of all attributes that an entry of these classes must have.
    #[must_use]
    pub fn required(&self, classes: &[String]) -> Vec<String> {
        let mut required = Vec::new();
        let mut seen = Vec::new();
        let mut open: Vec<String> = classes.to_vec();
        while let Some(name) = open.pop() {
            let Some(class) = self.class(&name) else {
                continue;
            };
            if seen.contains(&class.oid) {
                continue;
            }
            seen.push(class.oid.clone());
            required.extend(class.must.iter().map(|a| self.attribute_key(a)));
            open.extend(class.sup.iter().cloned());
        }
        required.sort();
        required.dedup();
        required
    }
}

/// A word of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Open,
    Close,
    Dollar,
    Plain(String),
    Quoted(String),
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = without_index(text.trim());
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return words;
        };
        match first {
            '(' | ')' | '$' => {
                words.push(match first {
                    '(' => Word::Open,
                    ')' => Word::Close,
                    _ => Word::Dollar,
                });
                rest = &rest[1..];
            }
            '\'' => {
                let end = rest[1..].find('\'').map_or(rest.len(), |i| i + 1);
                words.push(Word::Quoted(rest[1..end].to_owned()));
                rest = rest.get(end + 1..).unwrap_or_default();
            }
            _ => {
                let end = rest
                    .find(|c: char| {
                        c.is_whitespace() || c == '(' || c == ')' || c == '$' || c == '\''
                    })
                    .unwrap_or(rest.len());
                words.push(Word::Plain(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
    }
}

/// A field of a description: keyword and values.
type Field = (String, Vec<String>);

/// A description as its number and its fields.
fn fields(text: &str) -> Option<(String, Vec<Field>)> {
    let words = words(text);
    let mut words = words.into_iter().peekable();
    if words.next()? != Word::Open {
        return None;
    }
    let Word::Plain(oid) = words.next()? else {
        return None;
    };
    let mut fields: Vec<Field> = Vec::new();
    while let Some(word) = words.next() {
        let keyword = match word {
            Word::Plain(keyword) => keyword,
            Word::Close => return Some((oid, fields)),
            _ => return None,
        };
        let flag = [
            "SINGLE-VALUE",
            "NO-USER-MODIFICATION",
            "OBSOLETE",
            "COLLECTIVE",
            "STRUCTURAL",
            "AUXILIARY",
            "ABSTRACT",
        ]
        .contains(&keyword.as_str());
        let mut values = Vec::new();
        if !flag {
            match words.next()? {
                Word::Plain(value) | Word::Quoted(value) => values.push(value),
                Word::Open => loop {
                    match words.next()? {
                        Word::Plain(value) | Word::Quoted(value) => values.push(value),
                        Word::Dollar => {}
                        Word::Close => break,
                        Word::Open => return None,
                    }
                },
                _ => return None,
            }
        }
        fields.push((keyword, values));
    }
    None
}

/// The number of a description: what identifies it in a list.
#[must_use]
pub fn description_oid(text: &str) -> Option<String> {
    fields(text).map(|(oid, _)| oid)
}

/// The usual name in a description, for messages.
#[must_use]
pub fn description_name(text: &str) -> Option<String> {
    let (oid, fields) = fields(text)?;
    Some(
        fields
            .into_iter()
            .find(|(k, _)| k == "NAME")
            .and_then(|(_, v)| v.into_iter().next())
            .unwrap_or(oid),
    )
}

/// A description in the form that is equal for equal ones: fields in one order, one blank between words, names and
/// references without regard to case.
#[must_use]
pub fn description_folded(text: &str) -> String {
    let Some((oid, mut fields)) = fields(text) else {
        return fold_text(without_index(text), true);
    };
    for (keyword, values) in &mut fields {
        if keyword == "DESC" {
            continue;
        }
        for value in values.iter_mut() {
            *value = value.to_ascii_lowercase();
        }
        if keyword == "MUST" || keyword == "MAY" {
            values.sort();
        }
    }
    // The default is written by some servers and left out by others.
    fields.retain(|(k, v)| {
        !(k == "STRUCTURAL" || (k == "USAGE" && v.as_slice() == ["userapplications"]))
    });
    fields.sort();
    let mut folded = format!("( {oid}");
    for (keyword, values) in fields {
        folded.push_str(&format!(
            " {keyword} {}",
            values
                .iter()
                .map(|v| format!("'{v}'"))
                .collect::<Vec<_>>()
                .join(" ")
        ));
    }
    folded
}

fn attribute_type(text: &str) -> Option<AttributeType> {
    let (oid, fields) = fields(text)?;
    let get = |key: &str| {
        fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
    };
    let one = |key: &str| get(key).and_then(|v| v.into_iter().next());
    Some(AttributeType {
        oid,
        names: get("NAME").unwrap_or_default(),
        rule: if get("X-ORDERED").is_some() {
            Rule::Ordered
        } else {
            Rule::default()
        },
        single: get("SINGLE-VALUE").is_some(),
        read_only: get("NO-USER-MODIFICATION").is_some(),
        sup: one("SUP"),
        equality: one("EQUALITY"),
    })
}

fn object_class(text: &str) -> Option<ObjectClass> {
    let (oid, fields) = fields(text)?;
    let get = |key: &str| {
        fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
    };
    Some(ObjectClass {
        oid,
        names: get("NAME").unwrap_or_default(),
        sup: get("SUP").unwrap_or_default(),
        must: get("MUST").unwrap_or_default(),
        may: get("MAY").unwrap_or_default(),
        structural: get("AUXILIARY").is_none() && get("ABSTRACT").is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let list = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
        Schema::new(&Descriptions {
            attribute_types: list(&[
                "( 2.5.4.41 NAME 'name' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{32768} )",
                "( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'a (quoted) $ word' SUP name )",
                "( 1.2.3 NAME 'tag' EQUALITY caseExactIA5Match SINGLE-VALUE )",
                "( 1.2.4 NAME 'blob' NO-USER-MODIFICATION USAGE dSAOperation )",
                "( 1.2.5 NAME 'olcAccess' EQUALITY caseIgnoreMatch X-ORDERED 'VALUES' )",
            ]),
            object_classes: list(&[
                "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )",
                "( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ commonName ) MAY ( tag $ blob ) )",
                "( 2.5.6.7 NAME 'more' SUP person AUXILIARY )",
            ]),
        })
    }

    #[test]
    fn attributes() {
        let schema = schema();
        assert_eq!(schema.rule("CommonName;lang-de"), Rule::CaseIgnore);
        assert_eq!(schema.rule("2.5.4.3"), Rule::CaseIgnore);
        assert_eq!(schema.rule("tag"), Rule::CaseExact);
        assert_eq!(schema.rule("blob"), Rule::NoEquality);
        assert_eq!(schema.rule("olcAccess"), Rule::Ordered);
        assert!(schema.attribute("tag").unwrap().single);
        assert!(schema.attribute("blob").unwrap().read_only);
        assert!(schema.attribute("other").is_none());
        assert_eq!(schema.attribute_key("commonname;LANG-de"), "cn;lang-de");
    }

    #[test]
    fn classes() {
        let schema = schema();
        assert_eq!(
            schema.required(&["more".to_owned()]),
            ["cn", "objectclass", "sn"]
        );
        assert!(schema.class("PERSON").unwrap().structural);
        assert!(!schema.class("more").unwrap().structural);
    }
}
